/* Activations, softmax and bias gradients: memory in, memory out, every element by the same arithmetic.
 *
 * A tail goes through the very instructions that whole vectors go through, with the missing lanes masked in memory
 * alone, so that an element's bits depend neither on its lane nor on where a range was cut.
 */
#include <assert.h>

#include "dispatch/pointwise_kernels.h"
#include "epilogue.h"
#include "simd.h"

/* Vectors that are added plainly before their sum is put away: keeps the error of a long sum at that of a short one. */
enum { PARTIAL = 64 };

/* ---- activations ------------------------------------------------------------------------------------------- */

/* dst[i] = f(src[i]) */
FC_INLINE void map(const fc_activation kind, FC_REAL alpha, FC_REAL beta, ptrdiff_t count, const FC_REAL *src,
                   FC_REAL *dst)
{
    ptrdiff_t i = 0;
    for (; kind == FC_TANH && i + FC_LANES <= count; i += FC_LANES) /* 13% faster without branches; the others not */
        fc_store(dst + i, fc_activate(kind, alpha, beta, fc_load(src + i)));
    for (; i < count; i += FC_LANES) {
        const int lanes = fc_lanes_left(count, i);
        fc_store_lanes(dst + i, fc_activate(kind, alpha, beta, fc_load_lanes(src + i, lanes)), lanes);
    }
}

fc_vec FC_NAME(activated)(const fc_epilogue *epilogue, fc_vec x)
{
    return fc_activate(epilogue->activation, (FC_REAL)epilogue->alpha, (FC_REAL)epilogue->beta, x);
}

/* Phi'(x) x + Phi(x) */
FC_INLINE fc_vec gelu_slope(fc_vec x)
{
    const fc_vec a = fc_at_most(fc_abs(x), FC_NORMAL_MOST);
    const fc_vec power = fc_exp_scaled(fc_normal_exponent(a), fc_splat(1));
    const fc_vec below = power * (fc_normal_ratio(a, fc_splat(1)) - a * FC_NORMAL_PEAK); /* of -a */
    return fc_select(x < 0, below, 1 - below);
}

/* s + x s (1 - s), s = sigmoid(x): both s and 1 - s are one of e / (1 + e) and 1 / (1 + e) where e = exp(-|x|). */
FC_INLINE fc_vec silu_slope(fc_vec x)
{
    const fc_vec e = fc_exp_scaled((fc_pair){-fc_abs(x), fc_zero()}, fc_splat(1));
    const fc_vec larger = fc_quotient(fc_splat(1), 1 + e), smaller = e * larger;
    return fc_select(x < 0, smaller, larger) + x * (larger * smaller);
}

/* s + x s (1 - s) v'(x), where s = sigmoid(v(x)) and gelu's tanh form is x s. */
FC_INLINE fc_vec gelu_tanh_slope(fc_vec x)
{
    const fc_vec within = fc_at_most(fc_at_least(x, -FC_CUBIC_MOST), FC_CUBIC_MOST);
    const fc_pair v = fc_gelu_cubic(within), minus = {-v.high, -v.low};
    const fc_vec s = fc_sigmoid_scaled(v, fc_splat(1)), rest = fc_sigmoid_scaled(minus, fc_splat(1));
    const fc_vec slope = FC_CUBIC_FIRST + 3 * FC_CUBIC_THIRD * within * within;
    return s + within * slope * s * rest;
}

/* f'(x) from the result y or the argument x, as fastconv.h says of each kind; what torch gives at corners. */
FC_INLINE fc_vec slope(const fc_activation kind, FC_REAL alpha, FC_REAL beta, fc_vec saved)
{
    const fc_vec zero = fc_zero(), one = fc_splat(1);
    switch (kind) {
    case FC_RELU:
        return fc_select(saved <= 0, zero, one);
    case FC_RELU6:
        return fc_select((saved <= 0) | (saved >= 6), zero, one);
    case FC_LEAKY_RELU:
        return fc_select(saved > 0, one, fc_splat(alpha));
    case FC_ELU:
        return fc_select(saved > 0, one, saved + alpha);
    case FC_SELU:
        return fc_select(saved > 0, fc_splat(FC_SELU_SCALE), saved + FC_SELU_BELOW);
    case FC_TANH:
        return (1 - saved) * (1 + saved);
    case FC_SIGMOID:
        return saved * (1 - saved);
    case FC_HARD_SIGMOID:
        return fc_select((saved > 0) & (saved < 1), one / 6, zero);
    case FC_HARD_SWISH:
        return fc_select(saved <= -3, zero, fc_select(saved >= 3, one, saved / 3 + (FC_REAL)0.5));
    case FC_SILU:
        return silu_slope(saved);
    case FC_GELU:
        return gelu_slope(saved);
    case FC_GELU_TANH:
        return gelu_tanh_slope(saved);
    case FC_SOFTPLUS: {
        const fc_pair z = fc_product_pair(saved, fc_splat(beta));
        return fc_select(z.high > alpha, one, fc_sigmoid_scaled(fc_exponent(z.high, z.low), one));
    }
    case FC_EXP:
        return saved;
    case FC_IDENTITY:
    case FC_ACTIVATIONS:
        break;
    }
    return one;
}

/* dst[i] = grad[i] * f'; a slope of zero passes no NaN or infinity on. */
FC_INLINE void map_grad(const fc_activation kind, FC_REAL alpha, FC_REAL beta, ptrdiff_t count, const FC_REAL *grad,
                        const FC_REAL *saved, FC_REAL *dst)
{
    const bool gate = kind == FC_RELU || kind == FC_RELU6 || kind == FC_HARD_SIGMOID || kind == FC_HARD_SWISH;
    for (ptrdiff_t i = 0; i < count; i += FC_LANES) {
        const int lanes = fc_lanes_left(count, i);
        const fc_vec g = fc_load_lanes(grad + i, lanes),
                     factor = slope(kind, alpha, beta, fc_load_lanes(saved + i, lanes));
        fc_store_lanes(dst + i, gate ? fc_select(factor == 0, fc_zero(), g * factor) : g * factor, lanes);
    }
}

/* One loop per kind, chosen once. */
/* clang-format off */
#define EACH_KIND(RUN)                                                                              \
    RUN(FC_IDENTITY) RUN(FC_RELU) RUN(FC_RELU6) RUN(FC_LEAKY_RELU) RUN(FC_ELU) RUN(FC_SELU)         \
    RUN(FC_TANH) RUN(FC_SIGMOID) RUN(FC_HARD_SIGMOID) RUN(FC_HARD_SWISH) RUN(FC_SILU) RUN(FC_GELU)  \
    RUN(FC_GELU_TANH) RUN(FC_SOFTPLUS) RUN(FC_EXP)
/* clang-format on */

/* dst[i] = f(src[i]) for i < count; dst may be src. */
static void activation(fc_activation kind, double alpha, double beta, ptrdiff_t count, const void *src, void *dst)
{
    const FC_REAL a = (FC_REAL)alpha, b = (FC_REAL)beta;
    switch (kind) {
#define RUN(KIND)                                                                                                      \
    case KIND:                                                                                                         \
        map(KIND, a, b, count, src, dst);                                                                              \
        return;
        EACH_KIND(RUN)
#undef RUN
    case FC_ACTIVATIONS:
        break;
    }
    assert(!"an activation of fastconv.h");
}

/* dst[i] = grad[i] * f'(…) for i < count; dst may be grad or saved. */
static void activation_grad(fc_activation kind, double alpha, double beta, ptrdiff_t count, const void *grad,
                            const void *saved, void *dst)
{
    const FC_REAL a = (FC_REAL)alpha, b = (FC_REAL)beta;
    switch (kind) {
#define RUN(KIND)                                                                                                      \
    case KIND:                                                                                                         \
        map_grad(KIND, a, b, count, grad, saved, dst);                                                                 \
        return;
        EACH_KIND(RUN)
#undef RUN
    case FC_ACTIVATIONS:
        break;
    }
    assert(!"an activation of fastconv.h");
}

/* ---- sums -------------------------------------------------------------------------------------------------- */

/* A sum of vectors, put away every PARTIAL vectors. */
typedef struct {
    fc_vec total, partial;
    int left;
} running_sum;

FC_INLINE running_sum sum_start(void) { return (running_sum){fc_zero(), fc_zero(), PARTIAL}; }

FC_INLINE void sum_add(running_sum *sum, fc_vec v)
{
    sum->partial += v;
    if (--sum->left == 0) {
        sum->total += sum->partial;
        sum->partial = fc_zero();
        sum->left = PARTIAL;
    }
}

FC_INLINE fc_vec sum_end(const running_sum *sum) { return sum->total + sum->partial; }

/* *out = sum of `count` planes of `pixels` elements, `step` apart: four running sums of vectors, then their lanes. */
static void sum_planes(ptrdiff_t count, ptrdiff_t step, ptrdiff_t pixels, const void *from, void *out)
{
    const FC_REAL *src = from;
    running_sum sum[4] = {sum_start(), sum_start(), sum_start(), sum_start()};
    for (ptrdiff_t n = 0; n < count; n++, src += step) {
        ptrdiff_t i = 0;
        for (; i + 4 * FC_LANES <= pixels; i += 4 * FC_LANES)
            for (int k = 0; k < 4; k++)
                sum_add(&sum[k], fc_load(src + i + k * FC_LANES));
        for (int k = 0; k < 4; k++, i += FC_LANES)
            if (i < pixels)
                sum_add(&sum[k], fc_load_lanes(src + i, fc_lanes_left(pixels, i)));
    }
    *(FC_REAL *)out = fc_sum_lanes((sum_end(&sum[0]) + sum_end(&sum[1])) + (sum_end(&sum[2]) + sum_end(&sum[3])));
}

/* out[c] = sum over `rows` rows, `step` apart, of src[row][c], for c < columns. */
static void sum_columns(ptrdiff_t rows, ptrdiff_t step, ptrdiff_t columns, const void *from, void *to)
{
    const FC_REAL *src = from;
    FC_REAL *out = to;
    ptrdiff_t c = 0;
    for (; c + 4 * FC_LANES <= columns; c += 4 * FC_LANES) {
        running_sum sum[4] = {sum_start(), sum_start(), sum_start(), sum_start()};
        for (ptrdiff_t r = 0; r < rows; r++)
            for (int k = 0; k < 4; k++)
                sum_add(&sum[k], fc_load(src + r * step + c + k * FC_LANES));
        for (int k = 0; k < 4; k++)
            fc_store(out + c + k * FC_LANES, sum_end(&sum[k]));
    }
    for (; c < columns; c += FC_LANES) {
        const int lanes = fc_lanes_left(columns, c);
        running_sum sum = sum_start();
        for (ptrdiff_t r = 0; r < rows; r++)
            sum_add(&sum, fc_load_lanes(src + r * step + c, lanes));
        fc_store_lanes(out + c, sum_end(&sum), lanes);
    }
}

/* ---- softmax ----------------------------------------------------------------------------------------------- */

/* x - largest as a pair: rounding it would cost exp as many ulp as the difference is large. */
FC_INLINE fc_pair below(fc_vec x, fc_vec largest)
{
    const fc_pair d = fc_sum_pair(x, -largest);
    return fc_exponent(d.high, d.low);
}

/* Sums of exp over elements below the largest, by Kahan's rule, and how many equal it: exp of those is 1, and a
 * logarithm wants the sum without the first of them. */
typedef struct {
    fc_vec sum, lost, ties;
} exp_sum;

FC_INLINE exp_sum exp_sum_start(void) { return (exp_sum){fc_zero(), fc_zero(), fc_zero()}; }

FC_INLINE void exp_sum_add(exp_sum *s, fc_vec difference, fc_vec power, fc_mask live)
{
    const fc_mask tie = difference == 0;
    s->ties += (fc_vec)((fc_mask)fc_splat(1) & tie & live);
    const fc_vec term = (fc_vec)((fc_mask)power & ~tie & live) - s->lost, sum = s->sum + term;
    s->lost = (sum - s->sum) - term;
    s->sum = sum;
}

/* result = power / sum, or difference - log(sum), where sum = 1 + rest. */
FC_INLINE fc_vec normalised(bool logarithm, fc_pair difference, fc_vec power, fc_vec rest, fc_vec log)
{
    return logarithm ? difference.high + (difference.low - log) : fc_quotient(power, 1 + rest);
}

/* One vector of a row: its powers, which are added up and kept for softmax. */
FC_INLINE void softmax_powers(const bool logarithm, exp_sum *sum, fc_vec largest, int lanes, const FC_REAL *src,
                              FC_REAL *dst)
{
    const fc_mask live = lanes == FC_LANES ? ~(fc_mask){0} : fc_first_lanes(lanes);
    const fc_pair d = below(fc_load_lanes(src, lanes), largest);
    const fc_vec power = fc_exp_scaled(d, fc_splat(1));
    exp_sum_add(sum, d.high, power, live);
    if (!logarithm)
        fc_store_lanes(dst, power, lanes);
}

FC_INLINE void softmax_finish(const bool logarithm, fc_vec largest, fc_vec rest, fc_vec log, int lanes,
                              const FC_REAL *src, FC_REAL *dst)
{
    const fc_vec x = fc_load_lanes(logarithm ? src : dst, lanes);
    const fc_pair d = logarithm ? below(x, largest) : (fc_pair){x, x};
    fc_store_lanes(dst, normalised(logarithm, d, x, rest, log), lanes);
}

/* Whole vectors go through loops of their own, without masks and with two sums, since one waits for itself. */
FC_INLINE void softmax_row(const bool logarithm, ptrdiff_t axis, const FC_REAL *src, FC_REAL *dst)
{
    const ptrdiff_t whole = axis / FC_LANES * FC_LANES;
    const int left = (int)(axis - whole);
    fc_vec most = fc_splat(src[0]), other = most;
    exp_sum sum = exp_sum_start(), second = exp_sum_start();
    ptrdiff_t i = 0;
    for (; i + 2 * FC_LANES <= whole; i += 2 * FC_LANES) {
        most = fc_max(fc_load(src + i), most);
        other = fc_max(fc_load(src + i + FC_LANES), other);
    }
    if (i < whole)
        most = fc_max(fc_load(src + i), most);
    most = fc_max(other, most);
    if (left)
        most = fc_max(fc_select(fc_first_lanes(left), fc_load_tail(src + whole, left), most), most);
    const fc_vec largest = fc_splat(fc_max_lanes(most));
    for (i = 0; i + 2 * FC_LANES <= whole; i += 2 * FC_LANES) {
        softmax_powers(logarithm, &sum, largest, FC_LANES, src + i, dst + i);
        softmax_powers(logarithm, &second, largest, FC_LANES, src + i + FC_LANES, dst + i + FC_LANES);
    }
    if (i < whole)
        softmax_powers(logarithm, &sum, largest, FC_LANES, src + i, dst + i);
    if (left)
        softmax_powers(logarithm, &sum, largest, left, src + whole, dst + whole);
    const fc_vec rest = fc_splat(fc_sum_lanes(sum.sum + second.sum) + (fc_sum_lanes(sum.ties + second.ties) - 1));
    const fc_vec log = logarithm ? fc_log1p(rest) : rest;
    for (i = 0; i < whole; i += FC_LANES)
        softmax_finish(logarithm, largest, rest, log, FC_LANES, src + i, dst + i);
    if (left)
        softmax_finish(logarithm, largest, rest, log, left, src + whole, dst + whole);
}

/* Each row of `axis` elements: exp(x) / sum of exp, or its logarithm. */
static void softmax_rows(bool logarithm, ptrdiff_t rows, ptrdiff_t axis, const void *src, void *dst)
{
    const FC_REAL *from = src;
    FC_REAL *to = dst;
    for (ptrdiff_t r = 0; r < rows && axis > 0; r++, from += axis, to += axis) {
        if (logarithm)
            softmax_row(true, axis, from, to);
        else
            softmax_row(false, axis, from, to);
    }
}

/* The columns of one vector. */
FC_INLINE void softmax_vector(const bool logarithm, ptrdiff_t axis, ptrdiff_t inner, int lanes, const FC_REAL *src,
                              FC_REAL *dst)
{
    const fc_mask all = ~(fc_mask){0};
    fc_vec largest = fc_load_lanes(src, lanes);
    for (ptrdiff_t k = 1; k < axis; k++)
        largest = fc_max(fc_load_lanes(src + k * inner, lanes), largest);
    exp_sum sum = exp_sum_start();
    for (ptrdiff_t k = 0; k < axis; k++) {
        const fc_pair d = below(fc_load_lanes(src + k * inner, lanes), largest);
        const fc_vec power = fc_exp_scaled(d, fc_splat(1));
        exp_sum_add(&sum, d.high, power, all);
        if (!logarithm)
            fc_store_lanes(dst + k * inner, power, lanes);
    }
    const fc_vec rest = sum.sum + (sum.ties - 1), log = logarithm ? fc_log1p(rest) : rest;
    for (ptrdiff_t k = 0; k < axis; k++) {
        const fc_vec x = fc_load_lanes((logarithm ? src : dst) + k * inner, lanes);
        const fc_pair d = logarithm ? below(x, largest) : (fc_pair){x, x};
        fc_store_lanes(dst + k * inner, normalised(logarithm, d, x, rest, log), lanes);
    }
}

/* Each of `columns` columns, whose elements lie `inner` apart. */
static void softmax_columns(bool logarithm, ptrdiff_t axis, ptrdiff_t inner, ptrdiff_t columns, const void *src,
                            void *dst)
{
    for (ptrdiff_t c = 0; c < columns && axis > 0; c += FC_LANES) {
        const int lanes = fc_lanes_left(columns, c);
        if (logarithm)
            softmax_vector(true, axis, inner, lanes, (const FC_REAL *)src + c, (FC_REAL *)dst + c);
        else
            softmax_vector(false, axis, inner, lanes, (const FC_REAL *)src + c, (FC_REAL *)dst + c);
    }
}

/* y (g - sum of g y), or g - exp(y) sum of g. */
FC_INLINE fc_vec grad_term(bool logarithm, fc_vec g, fc_vec y) { return logarithm ? g : g * y; }

FC_INLINE fc_vec grad_result(bool logarithm, fc_vec g, fc_vec y, fc_vec sum)
{
    return logarithm ? g - fc_exp(y) * sum : y * (g - sum);
}

/* Each row's gradient from its result; dst may be grad or result. */
static void softmax_rows_grad(bool logarithm, ptrdiff_t rows, ptrdiff_t axis, const void *grad, const void *result,
                              void *dst)
{
    const FC_REAL *g = grad, *y = result;
    FC_REAL *to = dst;
    for (ptrdiff_t r = 0; r < rows; r++, g += axis, y += axis, to += axis) {
        running_sum sum = sum_start();
        for (ptrdiff_t i = 0; i < axis; i += FC_LANES) {
            const int lanes = fc_lanes_left(axis, i);
            sum_add(&sum, grad_term(logarithm, fc_load_lanes(g + i, lanes), fc_load_lanes(y + i, lanes)));
        }
        const fc_vec total = fc_splat(fc_sum_lanes(sum_end(&sum)));
        for (ptrdiff_t i = 0; i < axis; i += FC_LANES) {
            const int lanes = fc_lanes_left(axis, i);
            const fc_vec gi = fc_load_lanes(g + i, lanes), yi = fc_load_lanes(y + i, lanes);
            fc_store_lanes(to + i, grad_result(logarithm, gi, yi, total), lanes);
        }
    }
}

/* Each column's gradient from its result; dst may be grad or result. */
static void softmax_columns_grad(bool logarithm, ptrdiff_t axis, ptrdiff_t inner, ptrdiff_t columns, const void *grad,
                                 const void *result, void *dst)
{
    for (ptrdiff_t c = 0; c < columns; c += FC_LANES) {
        const int lanes = fc_lanes_left(columns, c);
        const FC_REAL *g = (const FC_REAL *)grad + c, *y = (const FC_REAL *)result + c;
        FC_REAL *to = (FC_REAL *)dst + c;
        running_sum sum = sum_start();
        for (ptrdiff_t k = 0; k < axis; k++)
            sum_add(&sum,
                    grad_term(logarithm, fc_load_lanes(g + k * inner, lanes), fc_load_lanes(y + k * inner, lanes)));
        const fc_vec total = sum_end(&sum);
        for (ptrdiff_t k = 0; k < axis; k++) {
            const fc_vec gk = fc_load_lanes(g + k * inner, lanes), yk = fc_load_lanes(y + k * inner, lanes);
            fc_store_lanes(to + k * inner, grad_result(logarithm, gk, yk, total), lanes);
        }
    }
}

extern const struct fc_pointwise_kernels FC_NAME(pointwise);

const struct fc_pointwise_kernels FC_NAME(pointwise) = {
    .activation = activation,
    .activation_grad = activation_grad,
    .softmax_rows = softmax_rows,
    .softmax_rows_grad = softmax_rows_grad,
    .softmax_columns = softmax_columns,
    .softmax_columns_grad = softmax_columns_grad,
    .sum_planes = sum_planes,
    .sum_columns = sum_columns,
};
