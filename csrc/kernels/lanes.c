/* Convolutions and dense layers of programs: vectors along images, or along the output channels of one image. */
#include "dispatch/lanes_kernels.h"
#include "tiles.h"

#include <math.h>

/* The last vector of a row, of which so many lanes exist: no branch where tails are free, or each tile has two codes.
 */
FC_INLINE fc_vec load_last(const FC_REAL *p, int lanes)
{
    return FC_FREE_TAILS ? fc_load_tail(p, lanes) : fc_load_lanes(p, lanes);
}

FC_INLINE void store_last(FC_REAL *p, fc_vec v, int lanes)
{
    if (FC_FREE_TAILS)
        fc_store_tail(p, v, lanes);
    else
        fc_store_lanes(p, v, lanes);
}

/* ---- sums -------------------------------------------------------------------------------------------------- */

FC_INLINE void lanes_tile(const int vectors, const int rows, const fc_lanes_tile *s)
{
    const FC_REAL *FC_RESTRICT src = s->src, *FC_RESTRICT weights = s->weights;
    const ptrdiff_t *offsets = s->offsets, step = s->src_step * FC_LANES, weight_step = s->weight_step;
    FC_CLEAR_TILE(sum);
    for (ptrdiff_t i = 0; i < s->count; i++, weights += weight_step) {
        const FC_REAL *at = src + offsets[i] * FC_LANES;
        fc_vec x[FC_MAX_VECTORS];
        FC_UNROLL for (int v = 0; v < vectors; v++)
            x[v] = fc_load(at + v * step);
        FC_UNROLL for (int r = 0; r < rows; r++) {
            const fc_vec weight = fc_splat(weights[r]);
            FC_UNROLL for (int v = 0; v < vectors; v++)
                sum[r][v] += weight * x[v];
        }
    }
    FC_REAL *dst = s->dst;
    const FC_REAL *bias = s->bias;
    const ptrdiff_t dst_step = s->dst_step * FC_LANES;
    if (s->accumulate) {
        FC_UNROLL for (int r = 0; r < rows; r++) FC_UNROLL
            for (int v = 0; v < vectors; v++)
                sum[r][v] += fc_load(dst + r * FC_LANES + v * dst_step);
    } else if (bias) {
        FC_UNROLL for (int r = 0; r < rows; r++) FC_UNROLL
            for (int v = 0; v < vectors; v++)
                sum[r][v] += fc_splat(bias[r]);
    }
    FC_UNROLL for (int r = 0; r < rows; r++) FC_UNROLL
        for (int v = 0; v < vectors; v++)
            fc_store(dst + r * FC_LANES + v * dst_step, sum[r][v]);
}

FC_INLINE void line_tile(const int vectors, const int rows, const fc_lanes_tile *s)
{
    const FC_REAL *FC_RESTRICT src = s->src, *FC_RESTRICT weights = s->weights, *bias = s->bias;
    const ptrdiff_t *offsets = s->offsets, weight_step = s->weight_step, dst_step = s->dst_step;
    const int last = s->live - (vectors - 1) * FC_LANES;
    FC_REAL *dst = s->dst;
    FC_CLEAR_TILE(sum);
    for (ptrdiff_t i = 0; i < s->count; i++, weights += weight_step) {
        const FC_REAL *at = src + offsets[i];
        fc_vec x[FC_MAX_VECTORS];
        FC_UNROLL for (int v = 0; v < vectors; v++)
            x[v] = v + 1 < vectors ? fc_load(at + v * FC_LANES) : load_last(at + v * FC_LANES, last);
        FC_UNROLL for (int r = 0; r < rows; r++) {
            const fc_vec weight = fc_splat(weights[r]);
            FC_UNROLL for (int v = 0; v < vectors; v++)
                sum[r][v] += weight * x[v];
        }
    }
    if (s->accumulate) {
        FC_UNROLL for (int r = 0; r < rows; r++) FC_UNROLL
            for (int v = 0; v < vectors; v++)
                sum[r][v] += v + 1 < vectors ? fc_load(dst + r * dst_step + v * FC_LANES)
                                             : load_last(dst + r * dst_step + v * FC_LANES, last);
    } else if (bias) {
        FC_UNROLL for (int r = 0; r < rows; r++) FC_UNROLL
            for (int v = 0; v < vectors; v++)
                sum[r][v] += fc_splat(bias[r]);
    }
    FC_UNROLL for (int r = 0; r < rows; r++) FC_UNROLL
        for (int v = 0; v < vectors; v++)
            if (v + 1 < vectors)
                fc_store(dst + r * dst_step + v * FC_LANES, sum[r][v]);
            else
                store_last(dst + r * dst_step + v * FC_LANES, sum[r][v], last);
}

/* `unit`: src_step is 1, and rows are displacements of one address. */
FC_INLINE void pixel_tile(const int vectors, const int rows, const bool unit, const fc_lanes_tile *s)
{
    const FC_REAL *FC_RESTRICT src = s->src, *FC_RESTRICT weights = s->weights;
    const ptrdiff_t *offsets = s->offsets, step = s->src_step, weight_step = s->weight_step;
    const int last = s->live - (vectors - 1) * FC_LANES; /* lanes of the last vector */
    const FC_REAL *triple[FC_MAX_ROWS / 3 + 1];          /* three rows each: an address holds a base and twice a step */
    FC_UNROLL for (int r = 0; r < rows; r += 3)
        triple[r / 3] = src + r * step;
    FC_CLEAR_TILE(sum);
    if (rows == 1 && s->resume) FC_UNROLL
        for (int v = 0; v < vectors; v++) {
            const FC_REAL *so_far = (const FC_REAL *)s->dst + v * FC_LANES;
            sum[0][v] = v + 1 < vectors ? fc_load(so_far) : fc_load_lanes(so_far, last);
        }
    for (ptrdiff_t i = 0; i < s->count; i++, weights += weight_step) {
        const ptrdiff_t offset = offsets[i];
        fc_vec weight[FC_MAX_VECTORS];
        FC_UNROLL for (int v = 0; v < vectors; v++)
            weight[v] = v + 1 < vectors ? fc_load(weights + v * FC_LANES) : fc_load_lanes(weights + v * FC_LANES, last);
        FC_UNROLL for (int r = 0; r < rows; r++) {
            const fc_vec x = fc_splat(unit ? (src + offset)[r] : (triple[r / 3] + offset)[r % 3 * step]);
            FC_UNROLL for (int v = 0; v < vectors; v++)
                sum[r][v] += x * weight[v];
        }
    }
    /* what the sums are added to: the results so far, the bias, or nothing; chosen once, or the code of all tiles
     * doubles */
    static const FC_REAL nothing[FC_MAX_VECTORS * FC_LANES];
    const FC_REAL *rest = s->accumulate ? s->dst : s->bias ? s->bias : nothing;
    const ptrdiff_t rest_step = s->accumulate ? s->dst_step : 0;
    FC_UNROLL for (int r = 0; r < rows; r++) FC_UNROLL
        for (int v = 0; v < vectors; v++) {
            FC_REAL *dst = (FC_REAL *)s->dst + r * s->dst_step + v * FC_LANES;
            const FC_REAL *from = rest + r * rest_step + v * FC_LANES;
            if (v + 1 < vectors)
                fc_store(dst, sum[r][v] + fc_load(from));
            else if (FC_FREE_TAILS)
                fc_store_tail(dst, sum[r][v] + fc_load_tail(from, last), last);
            else
                fc_store_lanes(dst, sum[r][v] + fc_load_lanes(from, last), last);
        }
}

#define DEFINE(v, r)                                                                                                   \
    static void lanes_##v##_##r(const fc_lanes_tile *s) { lanes_tile(v, r, s); }                                       \
    static void lines_##v##_##r(const fc_lanes_tile *s) { line_tile(v, r, s); }                                        \
    static void pixels_##v##_##r(const fc_lanes_tile *s)                                                               \
    {                                                                                                                  \
        if (v == 1 && s->src_step == 1)                                                                                \
            pixel_tile(v, r, true, s);                                                                                 \
        else                                                                                                           \
            pixel_tile(v, r, false, s);                                                                                \
    }
FC_TILES(DEFINE)

#define LINES_ENTRY(v, r) [v][r] = lines_##v##_##r,
#define LANES_ENTRY(v, r) [v][r] = lanes_##v##_##r,
#define PIXELS_ENTRY(v, r) [v][r] = pixels_##v##_##r,

/* ---- pools of planes ---------------------------------------------------------------------------------------- */

/* The first lanes of a vector at p, of which `left` elements may be read, perhaps none. */
FC_INLINE fc_vec load_inside(const FC_REAL *p, ptrdiff_t left)
{
    return left <= 0 ? fc_zero() : fc_load_lanes(p, left < FC_LANES ? (int)left : FC_LANES);
}

FC_INLINE fc_vec join(const bool max, fc_vec next, fc_vec so_far) { return max ? fc_max(next, so_far) : next + so_far; }

/* A row of windows' columns k … , in this order; at stride 2 two of them come from the same two loads. */
FC_INLINE fc_vec join_row(const bool max, const fc_pool_plane *s, const FC_REAL *row, ptrdiff_t j, fc_vec sum)
{
    for (ptrdiff_t k = 0; k < s->width; k += s->stride) {
        const ptrdiff_t column = j * s->stride + k, left = s->pitch - column;
        const fc_vec a = load_inside(row + column, left);
        if (s->stride == 1) {
            sum = join(max, a, sum);
            continue;
        }
        const fc_vec b = load_inside(row + column + FC_LANES, left - FC_LANES);
        sum = join(max, fc_even(a, b), sum);
        if (k + 1 < s->width)
            sum = join(max, fc_odd(a, b), sum);
    }
    return sum;
}

/* `pairs`: windows of two columns at stride 2, at least a vector of them; the last vector moves back to where it is
 * whole. */
FC_INLINE void pool_line(const bool max, const bool pairs, const fc_pool_plane *s, const FC_REAL *src, FC_REAL *dst)
{
    for (ptrdiff_t i = 0; i < s->count; i += FC_LANES) {
        const ptrdiff_t j = pairs && i + FC_LANES > s->count ? s->count - FC_LANES : i;
        fc_vec sum = max ? fc_splat((FC_REAL)-INFINITY) : fc_zero();
        for (ptrdiff_t r = 0; r < s->height; r++) {
            const FC_REAL *row = src + r * s->pitch;
            if (pairs) {
                const fc_vec a = fc_load(row + 2 * j), b = fc_load(row + 2 * j + FC_LANES);
                sum = join(max, fc_odd(a, b), join(max, fc_even(a, b), sum));
            } else {
                sum = join_row(max, s, row, j, sum);
            }
        }
        if (!max)
            sum /= (FC_REAL)(s->height * s->width);
        if (pairs)
            fc_store(dst + j, sum);
        else
            fc_store_lanes(dst + j, sum, fc_lanes_left(s->count, j));
    }
}

FC_INLINE void pool_plane(const bool max, const fc_pool_plane *s)
{
    const FC_REAL *src = s->src;
    FC_REAL *dst = s->dst;
    const bool pairs = s->stride == 2 && s->width == 2 && s->count >= FC_LANES;
    for (ptrdiff_t row = 0; row < s->rows; row++, src += s->down * s->pitch, dst += s->count)
        if (pairs)
            pool_line(max, true, s, src, dst);
        else
            pool_line(max, false, s, src, dst);
}

static void max_plane(const fc_pool_plane *s) { pool_plane(true, s); }
static void average_plane(const fc_pool_plane *s) { pool_plane(false, s); }

FC_INLINE void pool_windows(const bool max, const ptrdiff_t height, const ptrdiff_t width, const fc_pool_plane *s)
{
    const ptrdiff_t step = s->channels * FC_LANES, row = s->pitch * step;
    const FC_REAL *src = s->src;
    FC_REAL *dst = s->dst;
    for (ptrdiff_t j = 0; j < s->count; j++, src += s->stride * step)
        for (ptrdiff_t c = 0; c < step; c += FC_LANES, dst += FC_LANES) {
            fc_vec sum = max ? fc_splat((FC_REAL)-INFINITY) : fc_zero();
            for (ptrdiff_t r = 0; r < height; r++)
                for (ptrdiff_t k = 0; k < width; k++)
                    sum = join(max, fc_load(src + c + r * row + k * step), sum);
            fc_store(dst, max ? sum : sum / (FC_REAL)(height * width));
        }
}

FC_INLINE void pool_band(const bool max, const fc_pool_plane *s)
{
    if (s->height == 2 && s->width == 2)
        pool_windows(max, 2, 2, s);
    else
        pool_windows(max, s->height, s->width, s);
}

static void max_band(const fc_pool_plane *s) { pool_band(true, s); }
static void average_band(const fc_pool_plane *s) { pool_band(false, s); }

/* ---- weight gradients -------------------------------------------------------------------------------------- */

FC_INLINE void grad_tile(const int rows, const int columns, const fc_lanes_grad *s)
{
    FC_REAL *acc = s->acc;
    fc_vec sum[FC_GRAD_ROWS][FC_GRAD_COLUMNS];
    FC_UNROLL for (int r = 0; r < rows; r++) FC_UNROLL
        for (int k = 0; k < columns; k++)
            sum[r][k] = fc_load(acc + (r * columns + k) * FC_LANES);
    const ptrdiff_t src_step = s->src_step * FC_LANES, grad_step = s->grad_step * FC_LANES;
    for (ptrdiff_t h = 0; h < s->height; h++) {
        const FC_REAL *grad = (const FC_REAL *)s->grad + h * s->grad_row * FC_LANES, *at[FC_GRAD_ROWS];
        FC_UNROLL for (int r = 0; r < rows; r++)
            at[r] = (const FC_REAL *)s->src + (h * s->src_row + s->offsets[r]) * FC_LANES;
        for (ptrdiff_t w = 0, p = 0; w < s->width; w++, p += src_step, grad += grad_step) {
            fc_vec g[FC_GRAD_COLUMNS];
            FC_UNROLL for (int k = 0; k < columns; k++)
                g[k] = fc_load(grad + k * FC_LANES);
            FC_UNROLL for (int r = 0; r < rows; r++) {
                const fc_vec x = fc_load(at[r] + p);
                FC_UNROLL for (int k = 0; k < columns; k++)
                    sum[r][k] += x * g[k];
            }
        }
    }
    FC_UNROLL for (int r = 0; r < rows; r++) FC_UNROLL
        for (int k = 0; k < columns; k++)
            fc_store(acc + (r * columns + k) * FC_LANES, sum[r][k]);
}

#define DEFINE_GRAD(r, k)                                                                                              \
    static void grad_##r##_##k(const fc_lanes_grad *s) { grad_tile(r, k, s); }
#define GRAD_COLUMNS(X, r) X(r, 1) X(r, 2) X(r, 3) X(r, 4)
#define GRAD_TILES(X)                                                                                                  \
    GRAD_COLUMNS(X, 1) GRAD_COLUMNS(X, 2) GRAD_COLUMNS(X, 3) GRAD_COLUMNS(X, 4) GRAD_COLUMNS(X, 5) GRAD_COLUMNS(X, 6)
GRAD_TILES(DEFINE_GRAD)

#define GRAD_ENTRY(r, k) [r][k] = grad_##r##_##k,

FC_INLINE void outer_tile(const int vectors, const int rows, const FC_REAL *FC_RESTRICT src,
                          const FC_REAL *FC_RESTRICT grad, ptrdiff_t grad_step, int live, FC_REAL *dst,
                          ptrdiff_t dst_step)
{
    const int last = live - (vectors - 1) * FC_LANES;
    FC_CLEAR_TILE(sum);
    for (int lane = 0; lane < FC_LANES; lane++, grad += grad_step) {
        fc_vec g[FC_MAX_VECTORS];
        FC_UNROLL for (int v = 0; v < vectors; v++)
            g[v] = fc_load(grad + v * FC_LANES);
        FC_UNROLL for (int r = 0; r < rows; r++) {
            const fc_vec x = fc_splat(src[r * FC_LANES + lane]);
            FC_UNROLL for (int v = 0; v < vectors; v++)
                sum[r][v] += x * g[v];
        }
    }
    FC_UNROLL for (int r = 0; r < rows; r++) FC_UNROLL
        for (int v = 0; v < vectors; v++) {
            FC_REAL *at = dst + r * dst_step + v * FC_LANES;
            if (v + 1 < vectors)
                fc_store(at, fc_load(at) + sum[r][v]);
            else
                store_last(at, load_last(at, last) + sum[r][v], last);
        }
}

#define DEFINE_OUTER(v, r)                                                                                             \
    static void outer_##v##_##r(const void *src, const void *grad, ptrdiff_t grad_step, int live, void *dst,           \
                                ptrdiff_t dst_step)                                                                    \
    {                                                                                                                  \
        outer_tile(v, r, src, grad, grad_step, live, dst, dst_step);                                                   \
    }
FC_TILES(DEFINE_OUTER)

#define OUTER_ENTRY(v, r) [v][r] = outer_##v##_##r,

/* out[i] = sum over the lanes of acc[i] */
static void sum_lanes(const void *from, ptrdiff_t count, void *to)
{
    const FC_REAL *acc = from;
    FC_REAL *out = to;
    for (ptrdiff_t i = 0; i < count; i++, acc += FC_LANES)
        out[i] = fc_sum_lanes(fc_load(acc));
}

static void add(ptrdiff_t count, const void *from, void *to)
{
    const FC_REAL *src = from;
    FC_REAL *dst = to;
    for (ptrdiff_t i = 0; i < count; i += FC_LANES) {
        const int lanes = fc_lanes_left(count, i);
        fc_store_lanes(dst + i, fc_load_lanes(dst + i, lanes) + fc_load_lanes(src + i, lanes), lanes);
    }
}

/* ---- images to lanes and back ------------------------------------------------------------------------------ */

/* v[e][lane] = src[lane * step + e] for lane < live and e < left */
FC_INLINE void load_square(const FC_REAL *src, ptrdiff_t step, int live, int left, fc_vec v[FC_LANES])
{
    FC_UNROLL for (int i = 0; i < FC_LANES; i++)
        v[i] = i < live ? fc_load_lanes(src + i * step, left) : fc_zero();
    fc_transpose_lanes(v);
}

/* dst[e][lane] = src[lane * step + e] */
static void gather(const void *from, ptrdiff_t step, int live, ptrdiff_t count, void *to)
{
    const FC_REAL *src = from;
    FC_REAL *dst = to;
    for (ptrdiff_t e = 0; e < count; e += FC_LANES) {
        const int left = fc_lanes_left(count, e);
        fc_vec v[FC_LANES];
        load_square(src + e, step, live, left, v);
        if (left == FC_LANES) {
            FC_UNROLL for (int i = 0; i < FC_LANES; i++)
                fc_store(dst + (e + i) * FC_LANES, v[i]);
        } else {
            FC_UNROLL for (int i = 0; i < FC_LANES; i++)
                if (i < left)
                    fc_store(dst + (e + i) * FC_LANES, v[i]);
        }
    }
}

/* dst[lane * step + e] = src[e][lane] */
static void scatter(const void *from, ptrdiff_t step, int live, ptrdiff_t count, void *to)
{
    const FC_REAL *src = from;
    FC_REAL *dst = to;
    for (ptrdiff_t e = 0; e < count; e += FC_LANES) {
        const int left = fc_lanes_left(count, e);
        fc_vec v[FC_LANES];
        FC_UNROLL for (int i = 0; i < FC_LANES; i++)
            v[i] = i < left ? fc_load(src + (e + i) * FC_LANES) : fc_zero();
        fc_transpose_lanes(v);
        FC_UNROLL for (int i = 0; i < FC_LANES; i++)
            if (i < live)
                fc_store_lanes(dst + i * step + e, v[i], left);
    }
}

/* ---- depthwise --------------------------------------------------------------------------------------------- */

#if FC_REAL_BITS == 32 && !defined(FC_ISA_BASELINE)
/* The next place of a row of the band, or of the next row. */
typedef struct {
    const fc_lanes_rows *rows;
    FC_REAL *row;
    ptrdiff_t col;
} band_place;

FC_INLINE void put(band_place *at, fc_vec v)
{
    if (at->col == at->rows->cols) {
        at->col = 0;
        at->row += at->rows->pitch * FC_LANES;
    }
    fc_store(at->row + at->rows->places[at->col++] * FC_LANES, v);
}

static void gather_rows(const fc_lanes_rows *s)
{
    const ptrdiff_t count = s->rows * s->cols;
    const FC_REAL *src = s->src;
    band_place at = {s, s->dst, 0};
    for (ptrdiff_t e = 0; e < count; e += FC_LANES) {
        const int left = fc_lanes_left(count, e);
        if (left < FC_LANES || s->live < FC_LANES) {
            FC_REAL some[FC_LANES * FC_LANES];
            gather(src + e, s->step, s->live, left, some);
            for (int i = 0; i < left; i++)
                put(&at, fc_load(some + i * FC_LANES));
            continue;
        }
        fc_vec v[FC_LANES];
        load_square(src + e, s->step, FC_LANES, FC_LANES, v);
        if (at.col + FC_LANES <= s->cols) {
            FC_UNROLL for (int i = 0; i < FC_LANES; i++)
                fc_store(at.row + s->places[at.col + i] * FC_LANES, v[i]);
            at.col += FC_LANES;
        } else {
            FC_UNROLL for (int i = 0; i < FC_LANES; i++)
                put(&at, v[i]);
        }
    }
}

FC_INLINE void depthwise_box(const int pixels, const fc_lanes_depthwise *s)
{
    const fc_vec start = fc_load(s->start);
    const ptrdiff_t dst_step = s->dst_step * FC_LANES;
    for (ptrdiff_t r = 0; r < s->rows; r++) {
        const FC_REAL *src = (const FC_REAL *)s->src + r * s->src_row * FC_LANES;
        FC_REAL *dst = (FC_REAL *)s->dst + r * s->dst_row * FC_LANES;
        for (ptrdiff_t i = 0; i < s->tiles; i++, src += pixels * FC_LANES, dst += pixels * dst_step) {
            const FC_REAL *weights = s->weights;
            fc_vec sum[FC_MOST_PIXELS];
            FC_UNROLL for (int p = 0; p < pixels; p++)
                sum[p] = start;
            for (ptrdiff_t t = 0; t < s->taps; t++, weights += FC_LANES) {
                const FC_REAL *at = src + s->offsets[t] * FC_LANES;
                const fc_vec w = fc_load(weights);
                FC_UNROLL for (int p = 0; p < pixels; p++)
                    sum[p] += fc_load(at + p * FC_LANES) * w;
            }
            FC_UNROLL for (int p = 0; p < pixels; p++)
                fc_store(dst + p * dst_step, sum[p]);
        }
    }
}

#define PIXELS(X) FC_ROWS_8(X, 1)
#define DEFINE_DEPTHWISE(v, pixels)                                                                                    \
    static void depthwise_##pixels(const fc_lanes_depthwise *s) { depthwise_box(pixels, s); }
#define DEPTHWISE_ENTRY(v, pixels) [pixels] = depthwise_##pixels,
PIXELS(DEFINE_DEPTHWISE)
#endif

/* ---- affine ------------------------------------------------------------------------------------------------ */

static void affine(void *data, ptrdiff_t pixels, ptrdiff_t channels, int width, const void *factors, const void *shifts)
{
    const FC_REAL *factor = factors, *shift = shifts;
    FC_REAL *x = data;
    for (ptrdiff_t p = 0; p < pixels; p++) {
        if (width > 1) {
            for (ptrdiff_t c = 0; c < channels; c++, x += FC_LANES)
                fc_store(x, fc_load(x) * fc_splat(factor[c]) + fc_splat(shift[c]));
            continue;
        }
        for (ptrdiff_t c = 0; c < channels; c += FC_LANES) {
            const int live = fc_lanes_left(channels, c);
            const fc_vec value = fc_load_lanes(x + c, live) * fc_load_lanes(factor + c, live);
            fc_store_lanes(x + c, value + fc_load_lanes(shift + c, live), live);
        }
        x += channels;
    }
}

const struct fc_lanes_kernels FC_NAME(lanes) = {
    .lanes = {FC_TILES(LANES_ENTRY)},
    .pixels = {FC_TILES(PIXELS_ENTRY)},
    .lines = {FC_TILES(LINES_ENTRY)},
    .grad = {GRAD_TILES(GRAD_ENTRY)},
    .outer = {FC_TILES(OUTER_ENTRY)},
    .max_plane = max_plane,
    .average_plane = average_plane,
    .max_band = max_band,
    .average_band = average_band,
    .gather = gather,
    .scatter = scatter,
#if FC_REAL_BITS == 32 && !defined(FC_ISA_BASELINE)
    .gather_rows = gather_rows,
    .depthwise = {PIXELS(DEPTHWISE_ENTRY)},
#endif
    .affine = affine,
    .sum_lanes = sum_lanes,
    .add = add,
};
