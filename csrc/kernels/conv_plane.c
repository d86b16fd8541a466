/* Vectors run along pixels; a weight is broadcast. */
#include "tiles.h"

/* acc[r][p] (+)= sum over i < count of weights[i][r] * src[offsets[i] + p], one register tile.
 *
 * src      a zero-padded band, readable to the end of the last vector
 * offsets  of one (channel, tap) each, in elements
 * weights  packed [count][rows]
 * acc      rows x (vectors * lanes)
 */
FC_INLINE void tile(const int vectors, const int rows, const FC_REAL *FC_RESTRICT src, const ptrdiff_t *offsets,
                    ptrdiff_t count, const FC_REAL *FC_RESTRICT weights, FC_REAL *acc, bool accumulate)
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
    fc_put_tile(vectors, rows, sum, acc, accumulate);
}

#define DEFINE(v, r)                                                                                                   \
    static void tile_##v##_##r(const void *src, const ptrdiff_t *offsets, ptrdiff_t count, const void *weights,        \
                               void *acc, bool accumulate)                                                             \
    {                                                                                                                  \
        tile(v, r, src, offsets, count, weights, acc, accumulate);                                                     \
    }
FC_TILES(DEFINE)

#define ENTRY(v, r) [v][r] = tile_##v##_##r,
fc_plane_fn *const FC_NAME(conv_plane)[FC_MAX_VECTORS + 1][FC_MAX_ROWS + 1] = {FC_TILES(ENTRY)};
