/* Winograd's transforms (Lavin and Gray, 2016), vectors along channels.
 *
 * F(m, r) interpolates at m + r - 2 points and at infinity. With M(x) the product of (x - point):
 *
 *   weights  row of a point p: (1, p, p p, ...) / M'(p);     infinity: (..., 0, 1)
 *   input    row of a point p: coefficients of M(x) / (x - p);  infinity: of M(x)
 *   output   row i: p^i for each point;                      infinity: 1 in the last row
 *
 * Points 0, 1, -1 for four inputs, and 0, 2/3, -2/3, 3/2, -3/2 for six: these lose less than half of what the integers
 * 0, 1, -1, 2, -2 lose to rounding. Eight inputs, which only lines have, add 1/2, -1/2 to the integers. Forms of as
 * many inputs share their points, and so the input's transform.
 */
#include "dispatch/winograd_kernels.h"
#include "epilogue.h"
#include "simd.h"

#define FC_UNROLL _Pragma("GCC unroll 36")

#define P ((FC_REAL)2 / 3)
#define Q ((FC_REAL)3 / 2)
#define PP ((FC_REAL)4 / 9)
#define QQ ((FC_REAL)9 / 4)
#define PPP ((FC_REAL)8 / 27)
#define QQQ ((FC_REAL)27 / 8)

/* 1 / M'(p), 1 / M'(q): 1 / (2 p p (p p - q q)), 1 / (2 q q (q q - p p)) */
#define P_SCALE ((FC_REAL)(-81.0 / 130))
#define Q_SCALE ((FC_REAL)(8.0 / 65))
/* and those of 1/2, 1 and 2 */
#define HALF_SCALE ((FC_REAL)(32.0 / 45))
#define ONE_SCALE ((FC_REAL)(-2.0 / 9))
#define TWO_SCALE ((FC_REAL)(1.0 / 90))

enum { MOST = 8, MOST_TAPS = 7 }; /* along an axis */

/* Outputs and taps of one axis. */
typedef struct {
    int m, taps;
} axis_form;

typedef struct {
    axis_form rows, cols;
} form;

#define FORM(name, rows, row_taps, cols, col_taps) static const form name = {{rows, row_taps}, {cols, col_taps}};
FC_WINOGRAD_LIST(FORM)

FC_INLINE int side_of(const axis_form axis) { return axis.m + axis.taps - 1; }

/* ---- input ------------------------------------------------------------------------------------------------ */

FC_INLINE void input_line(const int side, const fc_vec d[MOST], fc_vec v[MOST])
{
    const FC_REAL quarter = (FC_REAL)0.25, all = (FC_REAL)5.25;
    if (side == 1) {
        v[0] = d[0];
    } else if (side == 4) {
        v[0] = d[2] - d[0];
        v[1] = d[2] + d[1];
        v[2] = d[2] - d[1];
        v[3] = d[3] - d[1];
    } else if (side == 8) {
        const fc_vec half_even = d[6] - 5 * d[4] + 4 * d[2], half_odd = (d[5] - 5 * d[3] + 4 * d[1]) * (FC_REAL)0.5;
        const fc_vec one_even = d[6] - (4 + quarter) * d[4] + d[2], one_odd = d[5] - (4 + quarter) * d[3] + d[1];
        const fc_vec two_even = d[6] - (1 + quarter) * d[4] + quarter * d[2];
        const fc_vec two_odd = (d[5] - (1 + quarter) * d[3] + quarter * d[1]) * 2;
        v[0] = d[6] - d[0] + (d[2] - d[4]) * all;
        v[1] = half_even + half_odd;
        v[2] = half_even - half_odd;
        v[3] = one_even + one_odd;
        v[4] = one_even - one_odd;
        v[5] = two_even + two_odd;
        v[6] = two_even - two_odd;
        v[7] = d[7] - d[1] + (d[3] - d[5]) * all;
    } else {
        const fc_vec p_even = d[4] - QQ * d[2], p_odd = d[3] - QQ * d[1];
        const fc_vec q_even = d[4] - PP * d[2], q_odd = d[3] - PP * d[1];
        v[0] = d[0] + d[4] - (PP + QQ) * d[2];
        v[1] = p_even + P * p_odd;
        v[2] = p_even - P * p_odd;
        v[3] = q_even + Q * q_odd;
        v[4] = q_even - Q * q_odd;
        v[5] = d[1] + d[5] - (PP + QQ) * d[3];
    }
}

/* One vector of channels of one patch. What is between rows and columns is written in order, half[column][row]: 1 to 3%
 * less time than stores that go from line to line. */
FC_INLINE void transform_patch(const form f, const FC_REAL *src, ptrdiff_t row, ptrdiff_t col, const int lanes,
                               FC_REAL *FC_RESTRICT dst, ptrdiff_t product)
{
    const int height = side_of(f.rows), width = side_of(f.cols);
    fc_vec half[MOST][MOST];
    if (height == 1) {
        FC_UNROLL for (int j = 0; j < width; j++)
            half[j][0] = fc_load_lanes(src + j * col, lanes);
    } else {
        for (int j = 0; j < width; j++) {
            fc_vec d[MOST], v[MOST];
            FC_UNROLL for (int i = 0; i < height; i++)
                d[i] = fc_load_lanes(src + i * row + j * col, lanes);
            input_line(height, d, v);
            FC_UNROLL for (int i = 0; i < height; i++)
                half[j][i] = v[i];
        }
    }
    for (int i = 0; i < height; i++) {
        fc_vec d[MOST], v[MOST];
        FC_UNROLL for (int j = 0; j < width; j++)
            d[j] = half[j][i];
        input_line(width, d, v);
        FC_UNROLL for (int j = 0; j < width; j++)
            fc_store(dst + (i * width + j) * product, v[j]);
    }
}

/* Patches on the border go through a copy whose missing part stays zero from vector to vector. */
FC_INLINE void transform_border(const form f, const fc_winograd_input *s, const FC_REAL *src, FC_REAL *dst)
{
    const int width = side_of(f.cols);
    FC_REAL patch[FC_WINOGRAD_PRODUCTS * FC_LANES] __attribute__((aligned(FC_VEC_BYTES))) = {0};
    for (ptrdiff_t c = 0; c < s->channels; c += FC_LANES) {
        const int lanes = fc_lanes_left(s->channels, c);
        for (int i = s->row_begin; i < s->row_end; i++)
            for (int j = s->col_begin; j < s->col_end; j++)
                fc_store(patch + (i * width + j) * FC_LANES,
                         fc_load_lanes(src + i * s->src_row + j * s->src_col + c, lanes));
        transform_patch(f, patch, width * FC_LANES, FC_LANES, FC_LANES, dst + c, s->dst_product);
    }
}

FC_INLINE void transform_input(const form f, const fc_winograd_input *s)
{
    const bool whole =
        s->row_begin == 0 && s->col_begin == 0 && s->row_end == side_of(f.rows) && s->col_end == side_of(f.cols);
    const ptrdiff_t full = whole ? s->channels / FC_LANES * FC_LANES : 0;
    for (ptrdiff_t t = 0; t < s->tiles; t++) {
        const FC_REAL *src = (const FC_REAL *)s->src + t * s->src_tile;
        FC_REAL *dst = (FC_REAL *)s->dst + t * s->dst_tile;
        for (ptrdiff_t c = 0; c < full; c += FC_LANES)
            transform_patch(f, src + c, s->src_row, s->src_col, FC_LANES, dst + c, s->dst_product);
        if (full < s->channels) {
            fc_winograd_input rest = *s;
            rest.channels = s->channels - full;
            transform_border(f, &rest, src + full, dst + full);
        }
    }
}

static void input_4(const fc_winograd_input *s) { transform_input(F2_3, s); }
static void input_6(const fc_winograd_input *s) { transform_input(F4_3, s); }
static void input_line_8(const fc_winograd_input *s) { transform_input(F6_3_LINE, s); }

/* ---- output ----------------------------------------------------------------------------------------------- */

FC_INLINE void output_line(const axis_form axis, const fc_vec v[MOST], fc_vec y[MOST])
{
    const int side = side_of(axis), m = axis.m;
    if (side == 1) {
        y[0] = v[0];
        return;
    }
    if (side == 4) {
        y[0] = v[0] + v[1] + v[2];
        y[1] = v[1] - v[2] + v[3];
        return;
    }
    if (side == 8) {
        FC_REAL half = 1, two = 1;
        FC_UNROLL for (int i = 0; i < m; i++, half /= 2, two *= 2)
            y[i] = i % 2 ? half * (v[1] - v[2]) + (v[3] - v[4]) + two * (v[5] - v[6])
                         : half * (v[1] + v[2]) + (v[3] + v[4]) + two * (v[5] + v[6]);
        y[0] += v[0];
        y[m - 1] += v[7];
        return;
    }
    const fc_vec p_sum = v[1] + v[2], p_difference = v[1] - v[2];
    const fc_vec q_sum = v[3] + v[4], q_difference = v[3] - v[4];
    y[0] = v[0] + p_sum + q_sum;
    y[1] = P * p_difference + Q * q_difference;
    if (m > 2)
        y[2] = PP * p_sum + QQ * q_sum;
    if (m > 3)
        y[3] = PPP * p_difference + QQQ * q_difference;
    if (m > 4)
        y[4] = PP * PP * p_sum + QQ * QQ * q_sum;
    y[m - 1] += v[5];
}

/* A vector of channels of a tile, rows first: half[row][column]. */
FC_INLINE void transform_products(const form f, const FC_REAL *src, ptrdiff_t product, fc_vec half[MOST][MOST])
{
    const int height = side_of(f.rows), width = side_of(f.cols);
    if (height == 1) {
        FC_UNROLL for (int j = 0; j < width; j++)
            half[0][j] = fc_load(src + j * product);
    } else {
        for (int j = 0; j < width; j++) {
            fc_vec v[MOST], column[MOST];
            FC_UNROLL for (int i = 0; i < height; i++)
                v[i] = fc_load(src + (i * width + j) * product);
            output_line(f.rows, v, column);
            FC_UNROLL for (int i = 0; i < f.rows.m; i++)
                half[i][j] = column[i];
        }
    }
}

static __attribute__((noinline)) void activate(const fc_winograd_output *s, FC_REAL *dst, ptrdiff_t cols)
{
    const fc_epilogue *e = s->epilogue;
    for (int i = 0; i < s->rows; i++)
        for (ptrdiff_t j = 0; j < cols; j++)
            for (int k = 0; k < s->channels; k += FC_LANES) {
                const int lanes = fc_lanes_left(s->channels, k);
                FC_REAL *at = dst + i * s->dst_row + j * s->dst_col + k;
                const fc_vec value = fc_load_lanes(at, lanes);
                fc_store_lanes(at, fc_finish(e, value), lanes);
            }
}

FC_INLINE bool transform_output(const form f, const fc_winograd_output *s)
{
    const FC_REAL *bias = s->bias, *residual = s->residual;
    const int rows = s->rows < f.rows.m ? s->rows : f.rows.m;
    const fc_activation activation = s->epilogue ? s->epilogue->activation : FC_IDENTITY;
    const fc_vec least = fc_splat(activation == FC_RELU ? 0 : -(FC_REAL)__builtin_inf());
    bool any = false;
    for (ptrdiff_t t = 0; t < s->tiles; t++) {
        const FC_REAL *src = (const FC_REAL *)s->src + t * s->src_tile;
        const ptrdiff_t at = t * s->dst_tile, left = s->cols - t * s->cols_step,
                        cols = left < f.cols.m ? left : f.cols.m;
        FC_REAL *dst = (FC_REAL *)s->dst + at;
        fc_vec sums = fc_zero();
        for (int k = 0; k < s->channels; k += FC_LANES) {
            const int lanes = fc_lanes_left(s->channels, k);
            fc_vec half[MOST][MOST];
            transform_products(f, src + k, s->src_product, half);
            const fc_vec shift = bias ? fc_load_lanes(bias + k, lanes) : fc_zero();
            for (int i = 0; i < rows; i++) {
                fc_vec y[MOST];
                output_line(f.cols, half[i], y);
                FC_UNROLL for (int j = 0; j < f.cols.m; j++) {
                    const ptrdiff_t place = i * s->dst_row + j * s->dst_col + k;
                    if (j >= cols)
                        break;
                    fc_vec value = y[j];
                    sums += value;
                    if (bias)
                        value += shift;
                    if (residual)
                        value += fc_load_lanes(residual + at + place, lanes);
                    fc_store_lanes(dst + place, fc_greater(least, value), lanes);
                }
            }
        }
        const bool broken = !(fc_sum_lanes(sums * 0) == 0);
        s->broken[t] |= broken;
        any = any || broken;
        if (activation != FC_IDENTITY && activation != FC_RELU)
            activate(s, dst, cols);
    }
    return any;
}

#define OUTPUT(name, ...)                                                                                              \
    static bool output_##name(const fc_winograd_output *s) { return transform_output(name, s); }
FC_WINOGRAD_LIST(OUTPUT)

/* ---- weights ---------------------------------------------------------------------------------------------- */

/* The taps as a polynomial at a point of this square: its even powers; and its odd ones, over the point. */
FC_INLINE fc_vec even_part(const int taps, const fc_vec g[MOST_TAPS], FC_REAL square)
{
    const int last = (taps - 1) / 2 * 2;
    fc_vec sum = g[last];
    FC_UNROLL for (int i = last - 2; i >= 0; i -= 2)
        sum = g[i] + sum * square;
    return sum;
}

FC_INLINE fc_vec odd_part(const int taps, const fc_vec g[MOST_TAPS], FC_REAL square)
{
    const int last = taps / 2 * 2 - 1;
    fc_vec sum = g[last];
    FC_UNROLL for (int i = last - 2; i >= 0; i -= 2)
        sum = g[i] + sum * square;
    return sum;
}

/* Products of a point and of its opposite. */
FC_INLINE void weigh_pair(const int taps, const fc_vec g[MOST_TAPS], FC_REAL point, FC_REAL square, FC_REAL scale,
                          fc_vec u[2])
{
    const fc_vec even = scale * even_part(taps, g, square), odd = scale * point * odd_part(taps, g, square);
    u[0] = even + odd;
    u[1] = even - odd;
}

FC_INLINE void weight_line(const axis_form axis, const fc_vec g[MOST_TAPS], fc_vec u[MOST])
{
    const int taps = axis.taps, side = side_of(axis);
    u[0] = side == 4 || side == 8 ? -g[0] : g[0];
    if (side == 4) {
        weigh_pair(taps, g, 1, 1, (FC_REAL)0.5, u + 1);
    } else if (side == 6) {
        weigh_pair(taps, g, P, PP, P_SCALE, u + 1);
        weigh_pair(taps, g, Q, QQ, Q_SCALE, u + 3);
    } else if (side == 8) {
        weigh_pair(taps, g, (FC_REAL)0.5, (FC_REAL)0.25, HALF_SCALE, u + 1);
        weigh_pair(taps, g, 1, 1, ONE_SCALE, u + 3);
        weigh_pair(taps, g, 2, 4, TWO_SCALE, u + 5);
    }
    u[side - 1] = g[taps - 1];
}

FC_INLINE void transform_weights(const form f, const fc_winograd_weights *s)
{
    const int height = side_of(f.rows), width = side_of(f.cols);
    for (ptrdiff_t at = 0; at < s->count; at += FC_LANES) {
        const FC_REAL *src = (const FC_REAL *)s->src + at;
        FC_REAL *dst = (FC_REAL *)s->dst + at;
        fc_vec half[MOST][MOST_TAPS];
        for (int w = 0; w < f.cols.taps; w++) {
            fc_vec g[MOST_TAPS], u[MOST];
            FC_UNROLL for (int h = 0; h < f.rows.taps; h++)
                g[h] = h < s->rows && w < s->cols ? fc_load(src + h * s->src_row + w * s->src_col) : fc_zero();
            weight_line(f.rows, g, u);
            FC_UNROLL for (int i = 0; i < height; i++)
                half[i][w] = u[i];
        }
        for (int i = 0; i < height; i++) {
            fc_vec u[MOST];
            weight_line(f.cols, half[i], u);
            FC_UNROLL for (int j = 0; j < width; j++)
                fc_store(dst + (i * width + j) * s->dst_product, u[j]);
        }
    }
}

#define WEIGHTS(name, ...)                                                                                             \
    static void weights_##name(const fc_winograd_weights *s) { transform_weights(name, s); }
FC_WINOGRAD_LIST(WEIGHTS)

/* ---- the gradient of the weights -------------------------------------------------------------------------- */

enum { TILE = 4, TAPS = 3, SIDE = 6 };

FC_INLINE void grad_line(const fc_vec y[TILE], fc_vec v[SIDE])
{
    const fc_vec p_even = y[0] + PP * y[2], p_odd = P * y[1] + PPP * y[3];
    const fc_vec q_even = y[0] + QQ * y[2], q_odd = Q * y[1] + QQQ * y[3];
    v[0] = y[0];
    v[1] = p_even + p_odd;
    v[2] = p_even - p_odd;
    v[3] = q_even + q_odd;
    v[4] = q_even - q_odd;
    v[5] = y[3];
}

FC_INLINE void transform_grad(const FC_REAL *src, ptrdiff_t row, ptrdiff_t col, FC_REAL *FC_RESTRICT dst,
                              ptrdiff_t product)
{
    fc_vec half[SIDE][TILE];
    for (int j = 0; j < TILE; j++) {
        fc_vec y[TILE], v[SIDE];
        FC_UNROLL for (int i = 0; i < TILE; i++)
            y[i] = fc_load(src + i * row + j * col);
        grad_line(y, v);
        FC_UNROLL for (int i = 0; i < SIDE; i++)
            half[i][j] = v[i];
    }
    for (int i = 0; i < SIDE; i++) {
        fc_vec v[SIDE];
        grad_line(half[i], v);
        FC_UNROLL for (int j = 0; j < SIDE; j++)
            fc_store(dst + (i * SIDE + j) * product, v[j]);
    }
}

static void grad_4_3(const fc_winograd_input *s)
{
    const bool whole = s->row_begin == 0 && s->col_begin == 0 && s->row_end == TILE && s->col_end == TILE;
    for (ptrdiff_t t = 0; t < s->tiles; t++)
        for (ptrdiff_t c = 0; c < s->channels; c += FC_LANES) {
            const FC_REAL *src = (const FC_REAL *)s->src + t * s->src_tile + c;
            FC_REAL *dst = (FC_REAL *)s->dst + t * s->dst_tile + c;
            const int lanes = fc_lanes_left(s->channels, c);
            FC_REAL patch[TILE * TILE * FC_LANES] __attribute__((aligned(FC_VEC_BYTES))) = {0};
            if (whole && lanes == FC_LANES) {
                transform_grad(src, s->src_row, s->src_col, dst, s->dst_product);
                continue;
            }
            for (int i = s->row_begin; i < s->row_end; i++)
                for (int j = s->col_begin; j < s->col_end; j++)
                    fc_store(patch + (i * TILE + j) * FC_LANES,
                             fc_load_lanes(src + i * s->src_row + j * s->src_col, lanes));
            transform_grad(patch, TILE * FC_LANES, FC_LANES, dst, s->dst_product);
        }
}

/* What weight_line leads back to. */
FC_INLINE void sum_line(const fc_vec u[SIDE], fc_vec g[TAPS])
{
    const fc_vec p_sum = P_SCALE * (u[1] + u[2]), q_sum = Q_SCALE * (u[3] + u[4]);
    g[0] = u[0] + p_sum + q_sum;
    g[1] = P * P_SCALE * (u[1] - u[2]) + Q * Q_SCALE * (u[3] - u[4]);
    g[2] = PP * p_sum + QQ * q_sum + u[5];
}

static bool sums_4_3(const fc_winograd_sums *s)
{
    fc_vec check = fc_zero();
    for (int k = 0; k < s->vectors; k++) {
        const FC_REAL *src = (const FC_REAL *)s->src + k * FC_LANES;
        FC_REAL *dst = (FC_REAL *)s->dst + k * FC_LANES;
        fc_vec half[TAPS][SIDE];
        for (int j = 0; j < SIDE; j++) {
            fc_vec u[SIDE], g[TAPS];
            FC_UNROLL for (int i = 0; i < SIDE; i++)
                u[i] = fc_load(src + (i * SIDE + j) * s->src_product);
            sum_line(u, g);
            FC_UNROLL for (int i = 0; i < TAPS; i++)
                half[i][j] = g[i];
        }
        for (int i = 0; i < TAPS; i++) {
            fc_vec g[TAPS];
            sum_line(half[i], g);
            FC_UNROLL for (int j = 0; j < TAPS; j++) {
                fc_store(dst + (i * TAPS + j) * s->dst_tap, g[j]);
                check += g[j] * 0;
            }
        }
    }
    return !(fc_sum_lanes(check) == 0);
}

/* ---- channels-first rows ---------------------------------------------------------------------------------- */

static void fill_strip(const fc_strip *s)
{
    const FC_REAL *src = s->src;
    FC_REAL *dst = s->dst;
    for (ptrdiff_t j = 0; j < s->begin; j++)
        fc_store(dst + j * s->dst_col, fc_zero());
    for (ptrdiff_t j = s->begin; j < s->end; j += FC_LANES) {
        const int lanes = fc_lanes_left(s->end, j);
        fc_vec v[FC_LANES];
        if (lanes == FC_LANES && s->channels == FC_LANES) {
            FC_UNROLL for (int c = 0; c < FC_LANES; c++)
                v[c] = fc_load(src + c * s->channel_step + j);
        } else {
            FC_UNROLL for (int c = 0; c < FC_LANES; c++)
                v[c] = c < s->channels ? fc_load_tail(src + c * s->channel_step + j, lanes) : fc_zero();
        }
        fc_transpose_lanes(v);
        FC_UNROLL for (int i = 0; i < FC_LANES; i++)
            if (i < lanes)
                fc_store(dst + (j + i) * s->dst_col, v[i]);
    }
    for (ptrdiff_t j = s->end; j < s->columns; j++)
        fc_store(dst + j * s->dst_col, fc_zero());
}

FC_INLINE fc_vec load_spread(const FC_REAL *p, ptrdiff_t step, int count)
{
    if (step == 1)
        return fc_load_lanes(p, count);
    FC_REAL lane[FC_LANES] = {0};
    for (int i = 0; i < count; i++)
        lane[i] = p[i * step];
    return fc_load(lane);
}

FC_INLINE void store_spread(FC_REAL *p, ptrdiff_t step, int count, fc_vec v)
{
    if (step == 1) {
        fc_store_lanes(p, v, count);
        return;
    }
    FC_REAL lane[FC_LANES];
    fc_store(lane, v);
    for (int i = 0; i < count; i++)
        p[i * step] = lane[i];
}

static void store_strip(const fc_strip_store *s)
{
    static const FC_REAL zeros[FC_LANES] = {0};
    const FC_REAL *src = s->src, *bias = s->bias ? s->bias : zeros, *residual = s->residual;
    const fc_epilogue *e = s->epilogue;
    const bool whole = s->channels == FC_LANES && s->column_step == 1 && !residual &&
                       (e->activation == FC_IDENTITY || e->activation == FC_RELU);
    const fc_vec least = fc_splat(e->activation == FC_RELU ? 0 : -(FC_REAL)__builtin_inf());
    FC_REAL *dst = s->dst;
    for (ptrdiff_t j = 0; j < s->columns; j += FC_LANES) {
        const int lanes = fc_lanes_left(s->columns, j);
        fc_vec v[FC_LANES];
        FC_UNROLL for (int i = 0; i < FC_LANES; i++)
            v[i] = i < lanes ? fc_load(src + (j + i) * FC_LANES) : fc_zero();
        fc_transpose_lanes(v);
        if (whole && lanes == FC_LANES) {
            FC_UNROLL for (int c = 0; c < FC_LANES; c++)
                fc_store(dst + c * s->channel_step + j, fc_greater(least, v[c] + fc_splat(bias[c])));
            continue;
        }
        FC_REAL turned[FC_LANES * FC_LANES];
        FC_UNROLL for (int c = 0; c < FC_LANES; c++)
            fc_store(turned + c * FC_LANES, v[c]);
        for (int c = 0; c < s->channels; c++) {
            const ptrdiff_t at = c * s->channel_step + j * s->column_step;
            fc_vec value = fc_load(turned + c * FC_LANES) + fc_splat(bias[c]);
            if (residual)
                value += load_spread(residual + at, s->column_step, lanes);
            value = fc_finish(e, value);
            store_spread(dst + at, s->column_step, lanes, value);
        }
    }
}

/* Forms of as many inputs share their transform. */
#define INPUT_ENTRY(name, rows, row_taps, cols, col_taps)                                                              \
    [FC_##name] = (rows) == 1 ? input_line_8 : (rows) + (row_taps) - 1 == 4 ? input_4 : input_6,
#define OUTPUT_ENTRY(name, ...) [FC_##name] = output_##name,
#define WEIGHTS_ENTRY(name, ...) [FC_##name] = weights_##name,

extern const struct fc_winograd_kernels FC_NAME(winograd);

const struct fc_winograd_kernels FC_NAME(winograd) = {
    .input = {FC_WINOGRAD_LIST(INPUT_ENTRY)},
    .output = {FC_WINOGRAD_LIST(OUTPUT_ENTRY)},
    .weights = {FC_WINOGRAD_LIST(WEIGHTS_ENTRY)},
    .grad = grad_4_3,
    .sums = sums_4_3,
    .fill_strip = fill_strip,
    .store_strip = store_strip,
};
