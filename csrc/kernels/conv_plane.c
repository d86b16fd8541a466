/* Vectors run along pixels; a weight is broadcast. */
#include "tiles.h"

/* end.dst[r][p] = end.from[r][p] + sum over i < count of weights[i][r] * src[offsets[i] + p], + start[r], one register
 * tile.
 *
 * src      a zero-padded band, readable to the end of the last vector
 * offsets  of one (channel, tap) each, in elements
 * weights  packed [count][rows]
 * start    a bias, or zeros
 */
FC_INLINE void tile(const int vectors, const int rows, const FC_REAL *FC_RESTRICT src, const ptrdiff_t *offsets,
                    ptrdiff_t count, const FC_REAL *FC_RESTRICT weights, const FC_REAL *start, const fc_tile_end *end)
{
    FC_CLEAR_TILE(sum);
    for (ptrdiff_t i = 0; i < count; i++, weights += rows) {
        const FC_REAL *at = src + offsets[i];
        fc_vec x[FC_MAX_VECTORS];
        FC_UNROLL for (int v = 0; v < vectors; v++)
            x[v] = fc_load(at + v * FC_LANES);
        FC_UNROLL for (int r = 0; r < rows; r++) {
            const fc_vec weight = fc_splat(weights[r]);
            FC_UNROLL for (int v = 0; v < vectors; v++)
                sum[r][v] += weight * x[v];
        }
    }
    const FC_REAL *from = end->from;
    const fc_vec least = fc_splat((FC_REAL)end->least);
    FC_REAL *dst = end->dst;
    FC_UNROLL for (int r = 0; r < rows; r++, from += end->from_step, dst += end->dst_step) {
        const fc_vec bias = fc_splat(start[r]);
        FC_UNROLL for (int v = 0; v < vectors; v++) {
            const fc_vec value = fc_load(from + v * FC_LANES) + sum[r][v] + bias;
            fc_store(dst + v * FC_LANES, fc_greater(least, value));
        }
    }
}

#define DEFINE(v, r)                                                                                                   \
    static void tile_##v##_##r(const void *src, const ptrdiff_t *offsets, ptrdiff_t count, const void *weights,        \
                               const void *start, const fc_tile_end *end)                                              \
    {                                                                                                                  \
        tile(v, r, src, offsets, count, weights, start, end);                                                          \
    }
FC_TILES(DEFINE)

#define ENTRY(v, r) [v][r] = tile_##v##_##r,
fc_plane_fn *const FC_NAME(conv_plane)[FC_MAX_VECTORS + 1][FC_MAX_ROWS + 1] = {FC_TILES(ENTRY)};
