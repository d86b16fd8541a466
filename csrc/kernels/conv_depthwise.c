/* Channels-last depthwise convolution: vectors run along channels. */
#include "dispatch/conv_kernels.h"
#include "simd.h"
#include "vmath.h"

#define FC_UNROLL _Pragma("GCC unroll 16")

/* dst[p][c] = activation(sum over kernel rows j and taps t of src[j][p * src_step + t * tap_step + c] *
 * weights[j][c's vector][t][lane] + bias[c] + residual[p][c]) for `pixels` pixels and the lanes from channel c.
 *
 * With a tail only `lanes` lanes exist in src, bias, residual and dst; weights are padded to whole vectors.
 */
FC_INLINE void stretch(const fc_depthwise_row *s, const int pixels, const bool tail, ptrdiff_t first, ptrdiff_t c,
                       int lanes)
{
    fc_vec sum[8];
    FC_UNROLL for (int p = 0; p < pixels; p++)
        sum[p] = fc_zero();
    for (ptrdiff_t j = 0; j < s->rows; j++) {
        const FC_REAL *src = (const FC_REAL *)s->src[j] + first * s->src_step + c;
        const FC_REAL *weight = (const FC_REAL *)s->weights[j] + c * s->all_taps;
        for (ptrdiff_t t = 0; t < s->taps; t++, src += s->tap_step, weight += FC_LANES) {
            const fc_vec w = fc_load(weight);
            FC_UNROLL for (int p = 0; p < pixels; p++)
                sum[p] += (tail ? fc_load_tail(src + p * s->src_step, lanes) : fc_load(src + p * s->src_step)) * w;
        }
    }
    FC_REAL *dst = (FC_REAL *)s->dst + first * s->dst_step + c;
    const FC_REAL *residual = s->residual ? (const FC_REAL *)s->residual + first * s->dst_step + c : NULL;
    const FC_REAL *bias = s->bias ? (const FC_REAL *)s->bias + c : NULL;
    const fc_vec shift = !bias ? fc_zero() : tail ? fc_load_tail(bias, lanes) : fc_load(bias);
    const fc_epilogue *e = s->epilogue;
    FC_UNROLL for (int p = 0; p < pixels; p++) {
        if (bias)
            sum[p] += shift;
        if (residual)
            sum[p] += tail ? fc_load_tail(residual + p * s->dst_step, lanes) : fc_load(residual + p * s->dst_step);
    }
    FC_UNROLL for (int p = 0; p < pixels; p++) {
        if (tail)
            fc_store_tail(dst + p * s->dst_step, sum[p], lanes);
        else
            fc_store(dst + p * s->dst_step, sum[p]);
    }
    if (e->activation == FC_IDENTITY)
        return;
    /* In a loop of its own, not unrolled, on results that are still in L1: a switch per register would be a page of
     * code for each pixel. */
    for (FC_REAL *at = dst, *end = dst + pixels * s->dst_step; at != end; at += s->dst_step) {
        const fc_vec value = tail ? fc_load_tail(at, lanes) : fc_load(at);
        const fc_vec result = fc_activate(e->activation, (FC_REAL)e->alpha, (FC_REAL)e->beta, value);
        if (tail)
            fc_store_tail(at, result, lanes);
        else
            fc_store(at, result);
    }
}

/* All channels of `pixels` pixels. */
FC_INLINE void block(const fc_depthwise_row *s, const int pixels, ptrdiff_t first)
{
    ptrdiff_t c = 0;
    for (; c + FC_LANES <= s->channels; c += FC_LANES)
        stretch(s, pixels, false, first, c, FC_LANES);
    if (c < s->channels)
        stretch(s, pixels, true, first, c, (int)(s->channels - c));
}

fc_depthwise_fn FC_NAME(conv_depthwise);

void FC_NAME(conv_depthwise)(const fc_depthwise_row *s)
{
    ptrdiff_t first = 0;
    for (; first + 8 <= s->count; first += 8)
        block(s, 8, first);
    for (; first + 4 <= s->count; first += 4)
        block(s, 4, first);
    for (; first < s->count; first++)
        block(s, 1, first);
}
