/* Elementary functions and activations of one vector, in FC_REAL; every lane is computed alike.
 *
 * Each result is within 4 ulp of the exact one, subnormal results included; NaN gives NaN. There is no table, no
 * branch and no libm: arguments are reduced, polynomials (minimax fits of the function named beside them, lowest
 * power first) do the rest. Nothing needs a fused multiply-add, which the baseline lacks, nor its absence.
 */
#ifndef FC_VMATH_H
#define FC_VMATH_H

#include "fastconv.h"
#include "simd.h"

#if FC_REAL_BITS == 32
typedef uint32_t fc_bits __attribute__((vector_size(FC_VEC_BYTES)));
enum { FC_MANTISSA_BITS = 23, FC_EXPONENT_BIAS = 127, FC_ERROR_BITS = 12 };
#define FC_ROUNDER 12582912.0f   /* 1.5 * 2^23: adding it rounds to an integer */
#define FC_LN2_HIGH 0.693359375f /* 9 bits: exact times any exponent */
#define FC_LN2_LOW (-2.12194440e-4f)
#define FC_EXP_LEAST (-110.0f)  /* exp underflows to zero below, also after a factor of 110 */
#define FC_EXP_MOST 90.0f       /* overflows above */
#define FC_EXPM1_LEAST (-40.0f) /* expm1 rounds to -1 below */
#define FC_EXPM1_MOST 88.8f
#define FC_TANH_LEAST 0x1p-12f                       /* x^2 / 3 is a third of an ulp below */
#define FC_TANH_MOST 10.0f                           /* tanh rounds to 1 above */
#define FC_SIGMOID_MOST 20.0f                        /* sigmoid rounds to 1 above */
#define FC_NORMAL_FIRST_LOW (-1.265223388671875e-8f) /* what FC_NORMAL_TERMS[0] loses by rounding */
#define FC_NORMAL_MOST 14.5f                         /* x * Phi(-x) underflows to zero above */
#define FC_CUBIC_FIRST 1.5957691669464111f           /* 2 sqrt(2 / pi), and what it loses by rounding */
#define FC_CUBIC_FIRST_LOW (-4.534068042e-8f)
#define FC_CUBIC_THIRD 0.07135481387376785f /* 0.044715 times that */
#define FC_CUBIC_THIRD_LOW 2.398832396e-9f
#define FC_CUBIC_MOST 12.0f /* gelu's tanh form underflows to zero below minus this */
/* (exp(r) - 1 - r) / r^2 for |r| <= ln 2 / 2 */
static const FC_REAL FC_EXP_TERMS[] = {5.000000061e-1f, 1.666654359e-1f, 4.166627947e-2f, 8.366603366e-3f,
                                       1.394679608e-3f};
/* (2^f - 1) / f for |f| <= 1/2 */
static const FC_REAL FC_EXP2_TERMS[] = {6.9314718814e-1f, 2.4022649773e-1f, 5.5503564716e-2f,
                                        9.6182390847e-3f, 1.3391234804e-3f, 1.5403600418e-4f};
/* (log((1 + s) / (1 - s)) - 2 s) / s^3 as a polynomial in s^2 for |s| <= 0.1716 */
static const FC_REAL FC_LOG_TERMS[] = {6.666677741e-1f, 3.997730489e-1f, 2.988014252e-1f};
/* Phi(-a) exp(a^2 / 2) (a + 4) as a polynomial in t = (a - 4) / (a + 4) for 0 <= a <= FC_NORMAL_MOST */
static const FC_REAL FC_NORMAL_TERMS[] = {7.552851312e-1f, -6.078966498e-1f, 3.871373186e-1f,  -1.865215545e-1f,
                                          6.039814806e-2f, -7.54290577e-3f,  -3.491296521e-3f, 1.637088426e-3f,
                                          1.7094008e-4f,   -2.220585338e-4f, -4.631917047e-5f};
#else
typedef uint64_t fc_bits __attribute__((vector_size(FC_VEC_BYTES)));
enum { FC_MANTISSA_BITS = 52, FC_EXPONENT_BIAS = 1023, FC_ERROR_BITS = 27 };
#define FC_ROUNDER 6755399441055744.0
#define FC_LN2_HIGH 6.93147180369123816490e-01 /* 21 trailing zeros */
#define FC_LN2_LOW 1.90821492927058770002e-10
#define FC_EXP_LEAST (-760.0)
#define FC_EXP_MOST 720.0
#define FC_EXPM1_LEAST (-60.0)
#define FC_EXPM1_MOST 709.9
#define FC_TANH_LEAST 0x1p-26
#define FC_SIGMOID_MOST 45.0
#define FC_NORMAL_FIRST_LOW (-2.314241074e-17)
#define FC_NORMAL_MOST 39.0
#define FC_CUBIC_FIRST 1.5957691216057308115
#define FC_CUBIC_FIRST_LOW (-9.9693088091109203146e-17)
#define FC_CUBIC_THIRD 0.071354816272600249394
#define FC_CUBIC_THIRD_LOW (-6.1751499181553154534e-19)
#define FC_CUBIC_MOST 24.0
static const FC_REAL FC_EXP_TERMS[] = {5.000000000000004762e-1, 1.666666666666668503e-1, 4.16666666665793614e-2,
                                       8.333333333315015089e-3, 1.388888893115331236e-3, 1.984126990247176175e-4,
                                       2.48015054188100288e-5,  2.755722817968704232e-6, 2.762608156881264153e-7,
                                       2.511447615682033561e-8};
static const FC_REAL FC_LOG_TERMS[] = {6.666666666666730615e-1, 3.999999999942422986e-1, 2.857142874257147788e-1,
                                       2.222219837589744682e-1, 1.818358208369187745e-1, 1.531343365832975505e-1,
                                       1.480354222330582828e-1};
static const FC_REAL FC_NORMAL_TERMS[] = {
    7.552851304157514924e-1, -6.078966419718920952e-1, 3.87137400742214841e-1,   -1.865218579596586161e-1,
    6.039657489091965074e-2, -7.540188966683540839e-3, -3.479692367020047885e-3, 1.630818456982676206e-3,
    1.333443081512365687e-4, -2.310949307105499924e-4, -1.908229963878149e-6,    3.514466777985262026e-5,
    7.165464412787625093e-7, -5.920133579352093292e-6, -6.293706891939958409e-7, 1.021525959470683817e-6,
    2.712319463537641099e-7, -1.550295587329530064e-7, -8.478022853062589716e-8, 1.345439531382691937e-8,
    1.922826274424659017e-8, 1.757257271295379907e-9,  -2.416391503736290811e-9, -6.708972515416771455e-10};
#endif

enum { FC_NORMAL_COUNT = sizeof FC_NORMAL_TERMS / sizeof FC_NORMAL_TERMS[0] };

#define FC_LOG2_E ((FC_REAL)1.44269504088896340736)
#define FC_NORMAL_PEAK ((FC_REAL)0.39894228040143267794) /* 1 / sqrt(2 pi) */
#define FC_SELU_SCALE ((FC_REAL)1.0507009873554804934193349852946)
#define FC_SELU_BELOW ((FC_REAL)1.7580993408473768599402175208123) /* scale * alpha */

/* A value as an unevaluated sum: `low` is what `high` lost by rounding. */
typedef struct {
    fc_vec high, low;
} fc_pair;

FC_INLINE fc_vec fc_abs(fc_vec x) { return (fc_vec)((fc_mask)x & ~(fc_mask)fc_splat((FC_REAL)-0.0)); }

FC_INLINE fc_vec fc_copy_sign(fc_vec x, fc_vec sign) { return fc_select((fc_mask)fc_splat((FC_REAL)-0.0), sign, x); }

/* The smaller and the larger of x and a bound; NaN stays NaN, and equal zeros stay x. */
FC_INLINE fc_vec fc_at_most(fc_vec x, FC_REAL bound) { return fc_lesser(fc_splat(bound), x); }
FC_INLINE fc_vec fc_at_least(fc_vec x, FC_REAL bound) { return fc_greater(fc_splat(bound), x); }

/* a / b within an ulp, of normal b far from overflow; a division takes 16 cycles a vector, its estimate 2. */
FC_INLINE fc_vec fc_quotient(fc_vec a, fc_vec b)
{
#ifdef FC_ESTIMATES
    fc_vec estimate = fc_estimate(b);
    if (FC_REAL_BITS == 64)
        estimate += estimate * (1 - b * estimate);
    fc_vec quotient = a * estimate;
    return quotient + estimate * (a - b * quotient);
#else
    return a / b;
#endif
}

FC_INLINE fc_vec fc_polynomial(fc_vec x, const FC_REAL *terms, int count)
{
    fc_vec sum = fc_splat(terms[count - 1]);
    _Pragma("GCC unroll 32") for (int i = count - 2; i >= 0; i--) sum = sum * x + terms[i];
    return sum;
}

#define FC_POLYNOMIAL(x, terms) fc_polynomial(x, terms, (int)(sizeof(terms) / sizeof(terms)[0]))

/* The leading half of x's mantissa: products of two such parts, or of one and a remainder, are exact. */
FC_INLINE fc_vec fc_leading(fc_vec x) { return (fc_vec)((fc_bits)x >> FC_ERROR_BITS << FC_ERROR_BITS); }

/* a + b and a * b exactly, where nothing over- or underflows. */
FC_INLINE fc_pair fc_sum_pair(fc_vec a, fc_vec b)
{
    fc_vec sum = a + b, of_b = sum - a;
    return (fc_pair){sum, (a - (sum - of_b)) + (b - of_b)};
}

FC_INLINE fc_pair fc_product_pair(fc_vec a, fc_vec b)
{
    fc_vec product = fc_rounded(a * b);
#ifdef FC_FUSED
    return (fc_pair){product, fc_fused(a, b, -product)};
#else
    fc_vec a1 = fc_leading(a), a2 = a - a1, b1 = fc_leading(b), b2 = b - b1;
    return (fc_pair){product, ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2};
#endif
}

/* high + low as an argument of exp: `low` counts only where exp neither over- nor underflows. */
FC_INLINE fc_pair fc_exponent(fc_vec high, fc_vec low)
{
    return (fc_pair){high, (fc_vec)((fc_mask)low & (fc_abs(high) < -FC_EXP_LEAST))};
}

/* ---- exponentials ------------------------------------------------------------------------------------------ */

/* exp(x) as mantissa * 2^power with an integer power. */
typedef struct {
    fc_vec mantissa, power;
} fc_parts;

/* x = n ln 2 + r with an integer n and |r| <= ln 2 / 2. */
FC_INLINE fc_vec fc_reduce(fc_vec x, fc_vec *n)
{
    *n = (x * FC_LOG2_E + FC_ROUNDER) - FC_ROUNDER;
    return (x - *n * FC_LN2_HIGH) - *n * FC_LN2_LOW;
}

/* exp(r) - 1 of |r| <= ln 2 / 2 */
FC_INLINE fc_vec fc_exp_near(fc_vec r) { return r + r * (r * FC_POLYNOMIAL(r, FC_EXP_TERMS)); }

/* Of FC_EXP_LEAST <= x.high <= FC_EXP_MOST or so; x.low is an ulp of x.high. */
FC_INLINE fc_parts fc_exp_parts(fc_pair x)
{
    fc_vec n, r = fc_reduce(x.high, &n) + x.low;
    return (fc_parts){fc_exp_near(r) + 1, n};
}

/* 2^n of an integer n, given as the integer that its lanes hold, in the range of normal exponents. */
FC_INLINE fc_vec fc_power_of_two(fc_mask n) { return (fc_vec)((n + FC_EXPONENT_BIAS) << FC_MANTISSA_BITS); }

FC_INLINE fc_mask fc_integer(fc_vec n) { return (fc_mask)(n + FC_ROUNDER) - (fc_mask)fc_splat(FC_ROUNDER); }

/* v * 2^n of an integer |n| below twice the largest exponent, rounded into the subnormals once. */
FC_INLINE fc_vec fc_scaled(fc_vec v, fc_vec n)
{
#ifdef FC_SCALES
    return fc_scale(v, n);
#else
    fc_mask whole = fc_integer(n), half = whole >> 1;
    return v * fc_power_of_two(half) * fc_power_of_two(whole - half);
#endif
}

/* x within the arguments for which exp, also times a factor of 110, neither underflows to zero nor overflows. */
FC_INLINE fc_vec fc_exp_range(fc_vec x, FC_REAL most) { return fc_at_most(fc_at_least(x, FC_EXP_LEAST), most); }

/* factor * exp(x.high + x.low), rounded once; |factor| <= 110, |x.low| an ulp of x.high. */
FC_INLINE fc_vec fc_exp_scaled(fc_pair x, fc_vec factor)
{
    fc_parts e = fc_exp_parts((fc_pair){fc_exp_range(x.high, FC_EXP_MOST), x.low});
    return fc_scaled(factor * e.mantissa, e.power);
}

FC_INLINE fc_vec fc_exp(fc_vec x) { return fc_exp_scaled((fc_pair){x, fc_zero()}, fc_splat(1)); }

/* exp(x) - 1 of x <= 0 */
FC_INLINE fc_vec fc_expm1(fc_vec x)
{
    fc_vec n, r = fc_reduce(fc_at_least(x, FC_EXPM1_LEAST), &n), scale = fc_power_of_two(fc_integer(n));
    return fc_copy_sign(scale * fc_exp_near(r) + (scale - 1), x);
}

/* (t - 1) / (t + 1) of t = exp(-2 |x|), or -|x| where that is closer to zero, as it is for small ones: numbers below
 * FC_TANH_LEAST, whose intermediate results could be subnormal, do not take part. All of it is negative; the sign comes
 * last. In float32 t = 2^n 2^f without an exact reduction: what f lacks matters to t alone, where |x| is large and t
 * small. Terms are added in pairs, which makes the chain shorter; the last step alone has a rounding that counts. */
FC_INLINE fc_vec fc_tanh(fc_vec x)
{
    const fc_mask sign = (fc_mask)fc_splat((FC_REAL)-0.0);
    fc_vec minus = (fc_vec)((fc_mask)x | sign), a = fc_at_most(minus, -FC_TANH_LEAST);
#if FC_REAL_BITS == 32
    a = fc_at_least(a, -FC_TANH_MOST);
    fc_vec to_power = fc_splat(2 * FC_LOG2_E);
    fc_vec shifted = a * to_power + FC_ROUNDER, f = a * to_power - (shifted - FC_ROUNDER), square = f * f;
    fc_vec scale = (fc_vec)(((fc_mask)shifted << FC_MANTISSA_BITS) + (fc_mask)fc_splat(1)), part = scale * f;
    fc_vec low = f * FC_EXP2_TERMS[2] + FC_EXP2_TERMS[1], high = f * FC_EXP2_TERMS[4] + FC_EXP2_TERMS[3];
    fc_vec terms = ((FC_EXP2_TERMS[5] * square + high) * square + low) * f + FC_EXP2_TERMS[0];
    fc_vec y = fc_quotient(part * terms + (scale - 1), part * terms + (scale + 1));
#else
    fc_vec less = fc_expm1(2 * a), y = fc_quotient(less, less + 2);
#endif
    return (fc_vec)((fc_mask)fc_greater(minus, y) ^ (~(fc_mask)x & sign));
}

/* factor * sigmoid(x.high + x.low) = factor * e / (1 + e) with the product rounded once; |factor| <= 110. */
FC_INLINE fc_vec fc_sigmoid_scaled(fc_pair x, fc_vec factor)
{
    fc_parts e = fc_exp_parts((fc_pair){fc_exp_range(x.high, FC_SIGMOID_MOST), x.low});
    return fc_quotient(fc_scaled(factor * e.mantissa, e.power), 1 + fc_scaled(e.mantissa, e.power));
}

FC_INLINE fc_vec fc_sigmoid(fc_vec x)
{
    fc_vec e = fc_exp_scaled((fc_pair){fc_at_most(x, FC_SIGMOID_MOST), fc_zero()}, fc_splat(1));
    return fc_quotient(e, 1 + e);
}

/* ---- logarithm --------------------------------------------------------------------------------------------- */

/* log(1 + x) for 0 <= x < infinity. 1 + x = 2^k (1 + f), and the rounding of 1 + x is put back at the end. */
FC_INLINE fc_vec fc_log1p(fc_vec x)
{
    fc_pair u = fc_sum_pair(fc_splat(1), x);
    fc_bits one = (fc_bits)fc_splat(1), bits = (fc_bits)u.high;
    fc_bits exponent = (bits + (one - (fc_bits)fc_splat((FC_REAL)0.70710678118654752440))) >> FC_MANTISSA_BITS;
    fc_bits shift = exponent - FC_EXPONENT_BIAS;
    fc_vec k = (fc_vec)(shift + (fc_bits)fc_splat(FC_ROUNDER)) - FC_ROUNDER;
    fc_vec f = fc_select(k == 0, x, (fc_vec)(bits - (shift << FC_MANTISSA_BITS)) - 1);
    fc_vec lost = fc_select(k == 0, fc_zero(), fc_quotient(u.low, u.high));
    fc_vec s = fc_quotient(f, 2 + f), z = s * s, half = f * f * (FC_REAL)0.5;
    fc_vec log = half - s * (half + z * FC_POLYNOMIAL(z, FC_LOG_TERMS));
    return k * FC_LN2_HIGH - ((log - (k * FC_LN2_LOW + lost)) - f);
}

/* ---- normal distribution ----------------------------------------------------------------------------------- */

/* -a^2 / 2 of 0 <= a <= FC_NORMAL_MOST, as a pair: exp of it keeps its digits where a is large. */
FC_INLINE fc_pair fc_normal_exponent(fc_vec a)
{
    fc_vec leading = fc_leading(a), high = leading * leading, low = (a - leading) * (a + leading), sum = high + low;
    return (fc_pair){sum * (FC_REAL)-0.5, (low - (sum - high)) * (FC_REAL)-0.5};
}

/* factor * Phi(-a) exp(a^2 / 2), the normal distribution's tail without its exponential, of 0 <= a <= FC_NORMAL_MOST.
 * scale = 1 / (a + 4) and the polynomial's last step are carried as pairs, or their roundings would add up to 3 ulp. */
FC_INLINE fc_vec fc_normal_ratio(fc_vec a, fc_vec factor)
{
    fc_pair sum = fc_sum_pair(a, fc_splat(4));
    fc_vec scale = fc_quotient(fc_splat(1), sum.high);
    fc_pair one = fc_product_pair(sum.high, scale);
    fc_vec scale_low = scale * ((1 - one.high) - one.low - sum.low * scale);
    fc_vec t = (2 * a * scale - 1) + 2 * a * scale_low;
    fc_pair rest = fc_product_pair(t, fc_polynomial(t, FC_NORMAL_TERMS + 1, FC_NORMAL_COUNT - 1));
    fc_vec high = rest.high + FC_NORMAL_TERMS[0], low = rest.high - (high - FC_NORMAL_TERMS[0]);
    fc_pair ratio = fc_product_pair(high, scale);
    fc_vec more = ratio.low + (high * scale_low + (low + (rest.low + FC_NORMAL_FIRST_LOW)) * scale);
    return factor * (ratio.high + more);
}

/* ---- activations ------------------------------------------------------------------------------------------- */

FC_INLINE fc_vec fc_hard_sigmoid(fc_vec x) { return fc_at_most(fc_at_least(x + 3, 0), 6) / 6; }

/* x sigmoid(x); x * 0 keeps an infinity from passing as a number where the result is zero. */
FC_INLINE fc_vec fc_silu(fc_vec x)
{
    fc_vec within = fc_exp_range(x, FC_SIGMOID_MOST);
    fc_vec y = fc_sigmoid_scaled((fc_pair){within, fc_zero()}, within) + fc_at_most(x, 0) * 0;
    return fc_copy_sign(fc_select(x > FC_SIGMOID_MOST, x, y), x);
}

/* x Phi(x) = max(x, 0) - |x| Phi(-|x|) */
FC_INLINE fc_vec fc_gelu(fc_vec x)
{
    fc_vec a = fc_at_most(fc_abs(x), FC_NORMAL_MOST),
           tail = fc_exp_scaled(fc_normal_exponent(a), fc_normal_ratio(a, a));
    return (fc_at_least(x, 0) + fc_at_most(x, 0) * 0) - tail;
}

/* 2 sqrt(2 / pi) (x + 0.044715 x^3), the argument of gelu's tanh form, of |x| <= FC_CUBIC_MOST. */
FC_INLINE fc_pair fc_gelu_cubic(fc_vec x)
{
    fc_pair square = fc_product_pair(x, x), term = fc_product_pair(square.high, fc_splat(FC_CUBIC_THIRD));
    fc_pair sum = fc_sum_pair(fc_splat(FC_CUBIC_FIRST), term.high);
    fc_vec rest = square.low * FC_CUBIC_THIRD + (square.high * FC_CUBIC_THIRD_LOW + FC_CUBIC_FIRST_LOW);
    fc_vec low = sum.low + (term.low + rest);
    fc_pair product = fc_product_pair(sum.high, x);
    return fc_sum_pair(product.high, product.low + low * x);
}

FC_INLINE fc_vec fc_gelu_tanh(fc_vec x)
{
    fc_vec within = fc_at_most(fc_at_least(x, -FC_CUBIC_MOST), FC_CUBIC_MOST);
    fc_vec y = fc_sigmoid_scaled(fc_gelu_cubic(within), within);
    return fc_copy_sign(fc_select(x < -FC_CUBIC_MOST, x * 0, fc_select(x > FC_CUBIC_MOST, x, y)), x);
}

/* log(1 + exp(beta x)) / beta, and x itself where beta x exceeds the threshold. */
FC_INLINE fc_vec fc_softplus(fc_vec x, FC_REAL beta, FC_REAL threshold)
{
    fc_pair z = fc_product_pair(x, fc_splat(beta));
    fc_mask negative = z.high < 0;
    z = fc_exponent(z.high, z.low);
    fc_pair minus = {-fc_abs(z.high), fc_select(negative, z.low, -z.low)};
    fc_vec log = fc_log1p(fc_exp_scaled(minus, fc_splat(1)));
    fc_vec y = fc_select(negative, log, z.high + (z.low + log)) / beta;
    return fc_select(z.high > threshold, x, y);
}

/* The activation `kind` of fastconv.h; a constant `kind` leaves a single case. */
FC_INLINE fc_vec fc_activate(fc_activation kind, FC_REAL alpha, FC_REAL beta, fc_vec x)
{
    switch (kind) {
    case FC_RELU:
        return fc_at_least(x, 0);
    case FC_RELU6:
        return fc_at_most(fc_at_least(x, 0), 6);
    case FC_LEAKY_RELU:
        return fc_select(x > 0, x, x * alpha);
    case FC_ELU:
        return fc_select(x > 0, x, alpha * fc_expm1(fc_at_most(x, 0)));
    case FC_SELU:
        return fc_select(x > 0, x * FC_SELU_SCALE, fc_expm1(fc_at_most(x, 0)) * FC_SELU_BELOW);
    case FC_TANH:
        return fc_tanh(x);
    case FC_SIGMOID:
        return fc_sigmoid(x);
    case FC_HARD_SIGMOID:
        return fc_hard_sigmoid(x);
    case FC_HARD_SWISH:
        return x * fc_hard_sigmoid(x);
    case FC_SILU:
        return fc_silu(x);
    case FC_GELU:
        return fc_gelu(x);
    case FC_GELU_TANH:
        return fc_gelu_tanh(x);
    case FC_SOFTPLUS:
        return fc_softplus(x, beta, alpha);
    case FC_EXP:
        return fc_exp(x);
    case FC_IDENTITY:
    case FC_ACTIVATIONS:
        break;
    }
    return x;
}

#endif
