/* Filters over lines of an image, and the way from samples to elements and back. */
#include "dispatch/line_kernels.h"
#include "tiles.h"

#include <math.h>

/* ---- samples ------------------------------------------------------------------------------------------------- */

#define FC_CONVERT(to, from)                                                                                           \
    for (ptrdiff_t i = 0; i < count; i++)                                                                              \
    ((to *)dst)[i] = (to)((const from *)src)[i]

static void samples_in(fc_sample type, ptrdiff_t count, const void *FC_RESTRICT src, void *FC_RESTRICT dst)
{
    switch (type) {
    case FC_SAMPLE_U8:
        FC_CONVERT(FC_REAL, uint8_t);
        break;
    case FC_SAMPLE_I8:
        FC_CONVERT(FC_REAL, int8_t);
        break;
    case FC_SAMPLE_U16:
        FC_CONVERT(FC_REAL, uint16_t);
        break;
    case FC_SAMPLE_I16:
        FC_CONVERT(FC_REAL, int16_t);
        break;
    case FC_SAMPLE_I32:
        FC_CONVERT(FC_REAL, int32_t);
        break;
    case FC_SAMPLE_F32:
        FC_CONVERT(FC_REAL, float);
        break;
    default:
        FC_CONVERT(FC_REAL, double);
    }
}

/* What wraps has the same bits with and without a sign. */
static void samples_out(fc_sample type, ptrdiff_t count, const void *FC_RESTRICT src, void *FC_RESTRICT dst)
{
    switch (type) {
    case FC_SAMPLE_U8:
    case FC_SAMPLE_I8:
        for (ptrdiff_t i = 0; i < count; i++)
            ((uint8_t *)dst)[i] = (uint8_t)(int32_t)((const FC_REAL *)src)[i];
        break;
    case FC_SAMPLE_U16:
    case FC_SAMPLE_I16:
        for (ptrdiff_t i = 0; i < count; i++)
            ((uint16_t *)dst)[i] = (uint16_t)(int32_t)((const FC_REAL *)src)[i];
        break;
    case FC_SAMPLE_I32:
        FC_CONVERT(int32_t, FC_REAL);
        break;
    case FC_SAMPLE_F32:
        FC_CONVERT(float, FC_REAL);
        break;
    default:
        FC_CONVERT(double, FC_REAL);
    }
}

static void samples_cut(fc_sample type, ptrdiff_t count, void *line)
{
    const int32_t most = type == FC_SAMPLE_U8 || type == FC_SAMPLE_I8 ? UINT8_MAX : UINT16_MAX;
    const int32_t sign = type == FC_SAMPLE_U8 || type == FC_SAMPLE_U16 ? 0 : most / 2 + 1;
    FC_REAL *x = line;
    if (type == FC_SAMPLE_F32)
        for (ptrdiff_t i = 0; i < count; i++)
            x[i] = (float)x[i];
    else if (type == FC_SAMPLE_I32)
        for (ptrdiff_t i = 0; i < count; i++)
            x[i] = (FC_REAL)(int32_t)x[i];
    else if (type != FC_SAMPLE_F64)
        for (ptrdiff_t i = 0; i < count; i++)
            x[i] = (FC_REAL)((((int32_t)x[i] & most) ^ sign) - sign);
}

/* ---- windows ------------------------------------------------------------------------------------------------- */

/* A product; in double it is rounded, as scipy's are, which is compiled without fused multiply-adds. */
FC_INLINE fc_vec product(fc_vec a, fc_vec b)
{
#if FC_REAL_BITS == 64
    return fc_hold(a * b);
#else
    return a * b;
#endif
}

FC_INLINE fc_vec tap(const fc_lines *s, ptrdiff_t t, ptrdiff_t i) { return fc_load((const FC_REAL *)s->src[t] + i); }

FC_INLINE void sum(const int fold, const fc_lines *s, ptrdiff_t i, FC_REAL *dst)
{
    const FC_REAL *weights = s->weights;
    const ptrdiff_t last = s->taps - 1, start = fold ? last / 2 : last;
    fc_vec total[FC_LINES_SLACK];
    FC_UNROLL for (int v = 0; v < FC_LINES_SLACK; v++)
        total[v] = product(tap(s, start, i + v * FC_LANES), fc_splat(weights[start]));
    for (ptrdiff_t t = 0; t < start; t++) {
        const fc_vec weight = fc_splat(weights[t]);
        FC_UNROLL for (int v = 0; v < FC_LINES_SLACK; v++) {
            fc_vec x = tap(s, t, i + v * FC_LANES);
            if (fold > 0)
                x += tap(s, last - t, i + v * FC_LANES);
            else if (fold < 0)
                x -= tap(s, last - t, i + v * FC_LANES);
            total[v] += product(x, weight);
        }
    }
    if (s->divisor != 1) {
        FC_UNROLL for (int v = 0; v < FC_LINES_SLACK; v++)
            total[v] /= fc_splat((FC_REAL)s->divisor);
    }
    FC_UNROLL for (int v = 0; v < FC_LINES_SLACK; v++)
        fc_store(dst + i + v * FC_LANES, total[v]);
}

static void lines_sum(const fc_lines *s, ptrdiff_t count, void *dst)
{
    enum { STEP = FC_LINES_SLACK * FC_LANES };
    if (s->fold > 0)
        for (ptrdiff_t i = 0; i < count; i += STEP)
            sum(1, s, i, dst);
    else if (s->fold < 0)
        for (ptrdiff_t i = 0; i < count; i += STEP)
            sum(-1, s, i, dst);
    else
        for (ptrdiff_t i = 0; i < count; i += STEP)
            sum(0, s, i, dst);
}

#if FC_REAL_BITS == 32
FC_INLINE fc_wide wide_product(fc_wide a, double b) { return (fc_wide)fc_hold((fc_vec)(a * b)); }

FC_INLINE fc_wide wide_tap(const fc_lines *s, ptrdiff_t t, ptrdiff_t i)
{
    return fc_load_wide((const float *)s->src[t] + i);
}

/* Half a group of sums in double, cut off at the point. */
FC_INLINE void sum_in_double(const fc_lines *s, const double *weights, ptrdiff_t i, float *dst)
{
    const ptrdiff_t last = s->taps - 1, start = s->fold ? last / 2 : last;
    const double fold = s->fold;
    fc_wide total[FC_LINES_SLACK];
    FC_UNROLL for (int v = 0; v < FC_LINES_SLACK; v++)
        total[v] = wide_product(wide_tap(s, start, i + v * FC_LANES / 2), weights[start]);
    for (ptrdiff_t t = 0; t < start; t++) {
        fc_wide x[FC_LINES_SLACK];
        FC_UNROLL for (int v = 0; v < FC_LINES_SLACK; v++)
            x[v] = wide_tap(s, t, i + v * FC_LANES / 2);
        if (fold != 0) FC_UNROLL
            for (int v = 0; v < FC_LINES_SLACK; v++)
                x[v] += fold * wide_tap(s, last - t, i + v * FC_LANES / 2);
        FC_UNROLL for (int v = 0; v < FC_LINES_SLACK; v++)
            total[v] += wide_product(x[v], weights[t]);
    }
    FC_UNROLL for (int v = 0; v < FC_LINES_SLACK; v++)
        fc_store_cut(dst + i + v * FC_LANES / 2, total[v]);
}

static void lines_settle(const fc_lines *s, const double *weights, double bound, ptrdiff_t count, void *line)
{
    enum { GROUP = FC_LINES_SLACK * FC_LANES };
    const fc_vec most = fc_splat((float)bound), point = fc_splat(0x1.8p23f); /* adding it rounds to a whole number */
    float *dst = line;
    for (ptrdiff_t i = 0; i < count; i += GROUP) {
        fc_mask near = {0};
        if (bound < 1) FC_UNROLL
            for (int v = 0; v < FC_LINES_SLACK; v++) {
                const fc_vec x = fc_load(dst + i + v * FC_LANES), whole = x + point - point;
                const fc_vec distance = (fc_vec)((fc_mask)(x - whole) & INT32_MAX);
                near |= (distance <= most) & (whole != 0);
            }
        for (int half = 0; half < GROUP && (bound >= 1 || fc_any(near)); half += GROUP / 2)
            sum_in_double(s, weights, i + half, dst);
    }
}
#endif

FC_INLINE void extremum(const bool largest, const fc_lines *s, ptrdiff_t count, FC_REAL *dst)
{
    for (ptrdiff_t i = 0; i < count; i += FC_LINES_SLACK * FC_LANES) {
        fc_vec most[FC_LINES_SLACK];
        FC_UNROLL for (int v = 0; v < FC_LINES_SLACK; v++)
            most[v] = tap(s, 0, i + v * FC_LANES);
        for (ptrdiff_t t = 1; t < s->taps; t++) FC_UNROLL
            for (int v = 0; v < FC_LINES_SLACK; v++) {
                const fc_vec x = tap(s, t, i + v * FC_LANES);
                most[v] = fc_select(x != x, x, largest ? fc_greater(x, most[v]) : fc_lesser(x, most[v]));
            }
        FC_UNROLL for (int v = 0; v < FC_LINES_SLACK; v++)
            fc_store(dst + i + v * FC_LANES, most[v]);
    }
}

static void lines_extremum(const fc_lines *s, bool largest, ptrdiff_t count, void *dst)
{
    if (largest)
        extremum(true, s, count, dst);
    else
        extremum(false, s, count, dst);
}

static void lines_finish(int finish, ptrdiff_t count, void *FC_RESTRICT values, void *FC_RESTRICT line)
{
    FC_REAL *const src = values, *const dst = line;
    if (finish & FC_LINES_SQUARE)
        for (ptrdiff_t i = 0; i < count; i++)
            src[i] *= src[i];
    if (finish & FC_LINES_ADD)
        for (ptrdiff_t i = 0; i < count; i++)
            src[i] += dst[i];
    if (finish & FC_LINES_ROOT)
        for (ptrdiff_t i = 0; i < count; i++)
            dst[i] = FC_ROOT(src[i]);
    else
        memcpy(dst, src, (size_t)count * sizeof(FC_REAL));
}

fc_blend_rows_fn FC_NAME(blend_rows); /* blend.c */
fc_blend_columns_fn FC_NAME(blend_columns);

const struct fc_line_kernels FC_NAME(lines_of_samples) = {
    .sum = lines_sum,
#if FC_REAL_BITS == 32
    .settle = lines_settle,
#endif
    .extremum = lines_extremum,
    .in = samples_in,
    .out = samples_out,
    .cut = samples_cut,
    .finish = lines_finish,
    .blend_rows = FC_NAME(blend_rows),
    .blend_columns = FC_NAME(blend_columns),
};
