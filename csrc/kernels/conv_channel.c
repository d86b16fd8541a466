/* Vectors run along output channels; a pixel's value is broadcast. */
#include "tiles.h"

FC_INLINE void add_channel(const int vectors, const int rows, fc_vec sum[FC_MAX_ROWS][FC_MAX_VECTORS],
                           const FC_REAL *const *pixel, ptrdiff_t c, const FC_REAL *FC_RESTRICT weights)
{
    fc_vec weight[FC_MAX_VECTORS];
    FC_UNROLL for (int v = 0; v < vectors; v++)
        weight[v] = fc_load(weights + v * FC_LANES);
    FC_UNROLL for (int r = 0; r < rows; r++) {
        const fc_vec x = fc_splat(pixel[r][c]);
        FC_UNROLL for (int v = 0; v < vectors; v++)
            sum[r][v] += x * weight[v];
    }
}

/* Whether lines are fetched ahead: by tiles with loads to spare, that is. */
FC_INLINE bool fetches(const int vectors, const int rows)
{
    return vectors > 1 && (rows + vectors) * FC_ALIGNMENT + vectors * FC_VEC_BYTES <= rows * vectors * FC_ALIGNMENT;
}

FC_INLINE void fetch(const FC_REAL *weights, ptrdiff_t ahead, const int vectors)
{
    FC_UNROLL for (int line = 0; line < vectors * FC_VEC_BYTES; line += FC_ALIGNMENT)
        __builtin_prefetch((const char *)weights + ahead + line, 0, 2);
}

/* end.dst[r][k] = end.from[r][k] + sum over taps t and channels c of src[t][r][first + c] * weights[t][c][k], one
 * register tile; tall ones, one after another.
 *
 * src      taps x rows pointers to channel vectors; a padded pixel points at zeros, a tap to be skipped at NULL
 * weights  packed [taps][channels][vectors * lanes], 64-byte aligned
 */
FC_INLINE ptrdiff_t tile(const int vectors, const int rows, const void *const *src, ptrdiff_t taps, ptrdiff_t first,
                         ptrdiff_t channels, const FC_REAL *weights, const fc_tile_end *end)
{
    const ptrdiff_t step = end->step, from_step = end->from_step, dst_step = end->dst_step;
    const FC_REAL *from = end->from;
    FC_REAL *dst = end->dst;
    for (ptrdiff_t more = end->more;; src += step) {
        const ptrdiff_t ahead = more > 0 ? 0 : end->ahead;
        const void *const *at = src;
        const FC_REAL *FC_RESTRICT w = weights;
        FC_CLEAR_TILE(sum);
        for (ptrdiff_t t = 0; t < taps; t++, at += rows) {
            if (!at[0]) {
                w += channels * vectors * FC_LANES;
                continue;
            }
            const FC_REAL *pixel[FC_MAX_ROWS];
            FC_UNROLL for (int r = 0; r < rows; r++)
                pixel[r] = (const FC_REAL *)at[r] + first;
            /* Two channels a round: the exit of a loop of half as many rounds is foreseen more often (9 taps of 56
             * channels on AVX-512: 172 to 181 GFLOP/s). Tiles of three vectors spill when they are unrolled, with GCC
             * 12. */
            ptrdiff_t c = 0;
            for (; vectors != 3 && c + 2 <= channels; c += 2, w += 2 * vectors * FC_LANES) {
                add_channel(vectors, rows, sum, pixel, c, w);
                add_channel(vectors, rows, sum, pixel, c + 1, w + vectors * FC_LANES);
                if (fetches(vectors, rows))
                    fetch(w, ahead, 2 * vectors);
            }
            for (; c < channels; c++, w += vectors * FC_LANES) {
                add_channel(vectors, rows, sum, pixel, c, w);
                if (vectors == 3 && fetches(vectors, rows))
                    fetch(w, ahead, vectors);
            }
        }
        const fc_vec least = fc_splat((FC_REAL)fc_read_here(end)->least);
        FC_UNROLL for (int r = 0; r < rows; r++, from += from_step, dst += dst_step) FC_UNROLL
            for (int v = 0; v < vectors; v++)
                fc_store(dst + v * FC_LANES, fc_greater(least, fc_load(from + v * FC_LANES) + sum[r][v]));
        if (!fc_goes_on(vectors, rows) || --more < 0)
            return fc_goes_on(vectors, rows) ? end->more + 1 : 1;
    }
}

#define DEFINE(v, r)                                                                                                   \
    static ptrdiff_t tile_##v##_##r(const void *const *src, ptrdiff_t taps, ptrdiff_t first, ptrdiff_t channels,       \
                                    const void *weights, const fc_tile_end *end)                                       \
    {                                                                                                                  \
        return tile(v, r, src, taps, first, channels, weights, end);                                                   \
    }
FC_TILES(DEFINE)

#define ENTRY(v, r) [v][r] = tile_##v##_##r,
fc_channel_fn *const FC_NAME(conv_channel)[FC_MAX_VECTORS + 1][FC_MAX_ROWS + 1] = {FC_TILES(ENTRY)};
