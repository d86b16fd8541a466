/* Weight gradients stream over pixels. Dense: vectors along output channels, an input value is broadcast. Depthwise:
 * vectors along channels, input and gradient multiply lane by lane. */
#include "tiles.h"

/* acc[r][k] (+)= sum over the pixels of src[starts[i] * width + p * step + r] * grad[pixel][k], one register tile.
 *
 * src      staged pixels of `width` channels each, zero-padded; starts (in pixels) are those of the runs
 * grad     staged [pixel][vectors * lanes], the pixels of all runs one after the other
 * acc      rows x (vectors * lanes), acc_step apart; fetched while the sums run
 *
 * One pointer serves all rows of src: they are neighbours, so that no register holds an address per row.
 */
FC_INLINE void tile(const int vectors, const int rows, const fc_grad_panel *s, FC_REAL *acc, bool accumulate)
{
    FC_CLEAR_TILE(sum);
    FC_UNROLL for (int r = 0; r < rows; r++)
        __builtin_prefetch(acc + r * s->acc_step, 1);
    const FC_REAL *FC_RESTRICT grad = s->grad;
    for (ptrdiff_t i = 0; i < s->runs; i++) {
        const FC_REAL *FC_RESTRICT src = (const FC_REAL *)s->src + s->starts[i] * s->width;
        for (ptrdiff_t p = s->length; p > 0; p--, src += s->step, grad += vectors * FC_LANES) {
            fc_vec g[FC_MAX_VECTORS];
            FC_UNROLL for (int v = 0; v < vectors; v++)
                g[v] = fc_load(grad + v * FC_LANES);
            FC_UNROLL for (int r = 0; r < rows; r++) {
                const fc_vec x = fc_splat(src[r]);
                FC_UNROLL for (int v = 0; v < vectors; v++)
                    sum[r][v] += x * g[v];
            }
        }
    }
    fc_put_rows(vectors, rows, sum, acc, s->acc_step, accumulate);
}

#define DEFINE(v, r)                                                                                                   \
    static void tile_##v##_##r(const fc_grad_panel *panel, void *acc, bool accumulate)                                 \
    {                                                                                                                  \
        tile(v, r, panel, acc, accumulate);                                                                            \
    }
FC_TILES(DEFINE)

#define ENTRY(v, r) [v][r] = tile_##v##_##r,
fc_weight_grad_fn *const FC_NAME(conv_weight_grad)[FC_MAX_VECTORS + 1][FC_MAX_ROWS + 1] = {FC_TILES(ENTRY)};

/* acc[r][v] (+)= sum over runs i, vectors of pixels p of src[rows[r] + src_starts[i] + p] * grad[v * grad_step +
 * grad_starts[i] + p]: vectors run along pixels, and their lanes are added when all is done.
 *
 * A run's last vector takes the lanes that exist of both operands: what lies behind them may not be finite.
 */
FC_INLINE void planes(const int vectors, const int rows, const fc_grad_planes *s, FC_REAL *acc, bool accumulate)
{
    FC_CLEAR_TILE(sum);
    const FC_REAL *row[FC_MAX_ROWS], *grad[FC_MAX_VECTORS];
    FC_UNROLL for (int r = 0; r < rows; r++)
        row[r] = (const FC_REAL *)s->src + s->rows[r];
    FC_UNROLL for (int v = 0; v < vectors; v++)
        grad[v] = (const FC_REAL *)s->grad + v * s->grad_step;
    const ptrdiff_t whole = s->length / FC_LANES;
    const int rest = (int)(s->length - whole * FC_LANES);
    for (ptrdiff_t i = 0; i < s->runs; i++) {
        ptrdiff_t at = s->src_starts[i], to = s->grad_starts[i];
        for (ptrdiff_t p = whole; p > 0; p--, at += FC_LANES, to += FC_LANES) {
            fc_vec g[FC_MAX_VECTORS];
            FC_UNROLL for (int v = 0; v < vectors; v++)
                g[v] = fc_hold(fc_load(grad[v] + to));
            FC_UNROLL for (int r = 0; r < rows; r++) {
                const fc_vec x = fc_hold(fc_load(row[r] + at));
                FC_UNROLL for (int v = 0; v < vectors; v++)
                    sum[r][v] += x * g[v];
            }
        }
        if (rest > 0) {
            fc_vec g[FC_MAX_VECTORS];
            FC_UNROLL for (int v = 0; v < vectors; v++)
                g[v] = fc_load_tail(grad[v] + to, rest);
            FC_UNROLL for (int r = 0; r < rows; r++) {
                const fc_vec x = fc_load_tail(row[r] + at, rest);
                FC_UNROLL for (int v = 0; v < vectors; v++)
                    sum[r][v] += x * g[v];
            }
        }
    }
    fc_put_tile(vectors, rows, sum, acc, accumulate);
}

#define DEFINE_PLANES(v, r)                                                                                            \
    static void planes_##v##_##r(const fc_grad_planes *operands, void *acc, bool accumulate)                           \
    {                                                                                                                  \
        planes(v, r, operands, acc, accumulate);                                                                       \
    }
FC_TILES(DEFINE_PLANES)

#define PLANES_ENTRY(v, r) [v][r] = planes_##v##_##r,
fc_planes_grad_fn *const FC_NAME(planes_weight_grad)[FC_MAX_VECTORS + 1][FC_MAX_ROWS + 1] = {FC_TILES(PLANES_ENTRY)};

/* acc[r][k] (+)= sum over runs and their pixels p of src[p * src_step + offsets[r] + k] * grad[p * grad_step +
 * grad_first + k].
 *
 * runs     stretches of pixels; both operands are staged in zero-padded channels-last blocks
 * offsets  rows of them: where a tap lies from a pixel, in elements
 * acc      rows x lanes
 */
FC_INLINE void depthwise(const int rows, const fc_pixel_run *runs, ptrdiff_t count, const ptrdiff_t *offsets,
                         ptrdiff_t src_step, ptrdiff_t grad_first, ptrdiff_t grad_step, FC_REAL *acc, bool accumulate)
{
    const int vectors = 1;
    FC_CLEAR_TILE(sum);
    for (ptrdiff_t i = 0; i < count; i++) {
        const FC_REAL *src = runs[i].src, *grad = (const FC_REAL *)runs[i].grad + grad_first;
        const FC_REAL *row[FC_MAX_ROWS];
        FC_UNROLL for (int r = 0; r < rows; r++)
            row[r] = src + offsets[r];
        ptrdiff_t at = 0;
        for (ptrdiff_t p = runs[i].count; p > 0; p--, at += src_step, grad += grad_step) {
            const fc_vec g = fc_load(grad);
            FC_UNROLL for (int r = 0; r < rows; r++)
                sum[r][0] += fc_load(row[r] + at) * g;
        }
    }
    fc_put_tile(vectors, rows, sum, acc, accumulate);
}

#define DEFINE_DEPTHWISE(v, r)                                                                                         \
    static void depthwise_##r(const fc_pixel_run *runs, ptrdiff_t count, const ptrdiff_t *offsets, ptrdiff_t src_step, \
                              ptrdiff_t grad_first, ptrdiff_t grad_step, void *acc, bool accumulate)                   \
    {                                                                                                                  \
        depthwise(r, runs, count, offsets, src_step, grad_first, grad_step, acc, accumulate);                          \
    }
FC_ROWS_9(DEFINE_DEPTHWISE, 1)

#define DEPTHWISE_ENTRY(v, r) [r] = depthwise_##r,
fc_depthwise_grad_fn *const FC_NAME(depthwise_weight_grad)[FC_MAX_ROWS + 1] = {FC_ROWS_9(DEPTHWISE_ENTRY, 1)};
