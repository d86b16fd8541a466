/* Several narrow groups side by side: vectors run along their output channels, and each lane takes an input channel of
 * its own group.
 *
 *   channels of a pixel      a0 a1 a2 a3 | b0 b1 b2 b3         two groups of four
 *   spread for channel c     ac ac ac ac | bc bc bc bc         times the weights [tap][c], all of whose lanes are at
 * work
 */
#include "tiles.h"

#if FC_VEC_BYTES / (FC_REAL_BITS / 8) >= 4 /* a vector holds two groups at least */
FC_INLINE void tile(const int width, const int rows, const void *const *src, ptrdiff_t taps, ptrdiff_t first,
                    const FC_REAL *FC_RESTRICT weights, const fc_tile_end *end)
{
    fc_vec sum[FC_GROUP_ROWS];
    FC_UNROLL for (int r = 0; r < rows; r++)
        sum[r] = fc_zero();
    for (ptrdiff_t t = 0; t < taps; t++, src += rows, weights += FC_LANES * FC_LANES) {
        fc_vec x[FC_GROUP_ROWS];
        FC_UNROLL for (int r = 0; r < rows; r++)
            x[r] = fc_load((const FC_REAL *)src[r] + first);
        FC_UNROLL for (int c = 0; c < width; c++) {
            const fc_vec w = fc_load(weights + c * FC_LANES);
            FC_UNROLL for (int r = 0; r < rows; r++)
                sum[r] += fc_spread(x[r], width, c) * w;
        }
    }
    const FC_REAL *from = end->from;
    const fc_vec least = fc_splat((FC_REAL)end->least);
    FC_REAL *dst = end->dst;
    FC_UNROLL for (int r = 0; r < rows; r++, from += end->from_step, dst += end->dst_step)
        fc_store(dst, fc_greater(least, fc_load(from) + sum[r]));
}
#endif

#define DEFINE(width, r)                                                                                               \
    static ptrdiff_t tile_##width##_##r(const void *const *src, ptrdiff_t taps, ptrdiff_t first, ptrdiff_t channels,   \
                                        const void *weights, const fc_tile_end *end)                                   \
    {                                                                                                                  \
        (void)channels; /* all that a vector holds */                                                                  \
        tile(width, r, src, taps, first, weights, end);                                                                \
        return 1;                                                                                                      \
    }
#define ENTRY(width, r) [width][r] = tile_##width##_##r,

#if FC_VEC_BYTES / (FC_REAL_BITS / 8) >= 16
#define WIDTHS(X) FC_ROWS_6(X, 2) FC_ROWS_6(X, 4) FC_ROWS_6(X, 8)
#elif FC_VEC_BYTES / (FC_REAL_BITS / 8) >= 8
#define WIDTHS(X) FC_ROWS_6(X, 2) FC_ROWS_6(X, 4)
#elif FC_VEC_BYTES / (FC_REAL_BITS / 8) >= 4
#define WIDTHS(X) FC_ROWS_6(X, 2)
#else
#define WIDTHS(X)
#endif
WIDTHS(DEFINE)

/* By channels of a group; none where a vector does not hold two groups. */
fc_channel_fn *const FC_NAME(conv_groups)[FC_MAX_GROUP + 1][FC_GROUP_ROWS + 1] = {[0] = {NULL}, WIDTHS(ENTRY)};
