/* Vectors run along pixels; a weight is broadcast. */
#include "tiles.h"

/* Rows of results are a few lines of every channel, which no processor foresees. */
FC_INLINE void expect(const FC_REAL *dst, ptrdiff_t step, const int vectors, const int rows)
{
    FC_UNROLL for (int r = 0; r < rows; r++, dst += step) {
        __builtin_prefetch(dst, 1);
        __builtin_prefetch(dst + vectors * FC_LANES - 1, 1);
    }
}

/* end.dst[r][p] = end.from[r][p] + sum over i < count of weights[i][r] * src[offsets[i] + p], + start[r], one register
 * tile; tall ones, one after another.
 *
 * src      a zero-padded band, readable to the end of the last vector
 * offsets  of one (channel, tap) each, in elements
 * weights  packed [count][rows]
 * start    a bias, or zeros
 */
FC_INLINE ptrdiff_t tile(const int vectors, const int rows, const FC_REAL *src, const ptrdiff_t *offsets,
                         ptrdiff_t count, const FC_REAL *weights, const FC_REAL *start, const fc_tile_end *end)
{
    for (ptrdiff_t done = 0;; start += end->step) {
        if (fc_goes_on(vectors, rows))
            expect((FC_REAL *)end->dst + done * rows * end->dst_step, end->dst_step, vectors, rows);
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
        const fc_tile_end *const here = fc_read_here(end);
        const FC_REAL *from = (const FC_REAL *)here->from + done * rows * here->from_step;
        FC_REAL *dst = (FC_REAL *)here->dst + done * rows * here->dst_step;
        const fc_vec least = fc_splat((FC_REAL)here->least);
        FC_UNROLL for (int r = 0; r < rows; r++, from += here->from_step, dst += here->dst_step) {
            const fc_vec bias = fc_splat(start[r]);
            FC_UNROLL for (int v = 0; v < vectors; v++) {
                const fc_vec value = fc_load(from + v * FC_LANES) + sum[r][v] + bias;
                fc_store(dst + v * FC_LANES, fc_greater(least, value));
            }
        }
        if (!fc_goes_on(vectors, rows) || done++ == here->more)
            return fc_goes_on(vectors, rows) ? done : 1;
    }
}

#define DEFINE(v, r)                                                                                                   \
    static ptrdiff_t tile_##v##_##r(const void *src, const ptrdiff_t *offsets, ptrdiff_t count, const void *weights,   \
                                    const void *start, const fc_tile_end *end)                                         \
    {                                                                                                                  \
        return tile(v, r, src, offsets, count, weights, start, end);                                                   \
    }
FC_TILES(DEFINE)

#define ENTRY(v, r) [v][r] = tile_##v##_##r,
fc_plane_fn *const FC_NAME(conv_plane)[FC_MAX_VECTORS + 1][FC_MAX_ROWS + 1] = {FC_TILES(ENTRY)};
