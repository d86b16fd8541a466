/* Channels-last depthwise convolution: vectors run along channels. */
#include "dispatch/conv_kernels.h"
#include "simd.h"
#include "vmath.h"

#define FC_UNROLL _Pragma("GCC unroll 32")

enum { SUMS = 8 }; /* accumulators: two multiply-adds a cycle of latency four want eight independent sums */

/* A stretch of `pixels` x `vectors` accumulators: the pixels from `first` on, the lanes from channel c on. */
typedef struct {
    const fc_depthwise_row *row;
    ptrdiff_t first, c;
    int lanes; /* of the last vector that exist */
} stretch;

FC_INLINE fc_vec load_lanes(const FC_REAL *p, const bool tail, int lanes)
{
    return tail ? fc_load_tail(p, lanes) : fc_load(p);
}

/* sum[p] += sum over t < taps of src[p * ratio + t] * weight[t], in input pixels that lie tap_step apart; each input
 * is read once. */
FC_INLINE void add_row(fc_vec sum[SUMS], const int pixels, const int taps, const int ratio, const FC_REAL *src,
                       ptrdiff_t tap_step, const FC_REAL *weight)
{
    fc_vec w[SUMS];
    FC_UNROLL for (int t = 0; t < taps; t++)
        w[t] = fc_load(weight + t * FC_LANES);
    FC_UNROLL for (int i = 0; i < (pixels - 1) * ratio + taps; i++, src += tap_step) {
        const fc_vec x = fc_hold(fc_load(src));
        FC_UNROLL for (int t = 0; t < taps; t++)
            if (i >= t && (i - t) % ratio == 0 && (i - t) / ratio < pixels)
                sum[(i - t) / ratio] += x * w[t];
    }
}

/* The same for any number of taps and any step, over vectors instead of pixels when there is one pixel. */
FC_INLINE void add_any_row(fc_vec sum[SUMS], const int pixels, const int vectors, const bool tail, const stretch *s,
                           const FC_REAL *src, const FC_REAL *weight)
{
    const fc_depthwise_row *row = s->row;
    for (ptrdiff_t t = 0; t < row->taps; t++, src += row->tap_step, weight += FC_LANES) {
        FC_UNROLL for (int v = 0; v < vectors; v++) {
            const fc_vec w = fc_load(weight + v * row->all_taps * FC_LANES);
            FC_UNROLL for (int p = 0; p < pixels; p++)
                sum[v * pixels + p] += load_lanes(src + p * row->src_step + v * FC_LANES, tail, s->lanes) * w;
        }
    }
}

/* In a function of its own, on results that are still in L1: all activations inlined into every shape of stretch
 * were 300 KB of code. */
static __attribute__((noinline)) void activate(const fc_epilogue *e, FC_REAL *dst, int pixels, ptrdiff_t step,
                                               int channels)
{
    for (int p = 0; p < pixels; p++, dst += step)
        for (int c = 0; c < channels; c += FC_LANES) {
            const int lanes = fc_lanes_left(channels, c);
            const fc_vec value = fc_load_lanes(dst + c, lanes);
            fc_store_lanes(dst + c, fc_activate(e->activation, (FC_REAL)e->alpha, (FC_REAL)e->beta, value), lanes);
        }
}

FC_INLINE void put(const stretch *s, const int pixels, const int vectors, const bool tail, fc_vec sum[SUMS])
{
    const fc_depthwise_row *row = s->row;
    const ptrdiff_t at = s->first * row->dst_step + s->c;
    FC_REAL *dst = (FC_REAL *)row->dst + at;
    const FC_REAL *bias = row->bias ? (const FC_REAL *)row->bias + s->c : NULL;
    const FC_REAL *residual = row->residual ? (const FC_REAL *)row->residual + at : NULL;
    FC_UNROLL for (int v = 0; v < vectors; v++) {
        const fc_vec shift = bias ? load_lanes(bias + v * FC_LANES, tail, s->lanes) : fc_zero();
        FC_UNROLL for (int p = 0; p < pixels; p++) {
            const ptrdiff_t lane = p * row->dst_step + v * FC_LANES;
            fc_vec result = sum[v * pixels + p];
            if (bias)
                result += shift;
            if (residual)
                result += load_lanes(residual + lane, tail, s->lanes);
            if (tail)
                fc_store_tail(dst + lane, result, s->lanes);
            else
                fc_store(dst + lane, result);
        }
    }
    if (row->epilogue->activation != FC_IDENTITY)
        activate(row->epilogue, dst, pixels, row->dst_step, (vectors - 1) * FC_LANES + s->lanes);
}

/* dst[p][c] = activation(sum over kernel rows j and taps t of src[j][p * src_step + t * tap_step + c] *
 * weights[j][c's vector][t][lane] + bias[c] + residual[p][c]); taps and ratio (src_step / tap_step) are 0 when they
 * are not constants of the code. */
FC_INLINE void run_stretch(const stretch *s, const int pixels, const int vectors, const int taps, const int ratio,
                           const bool tail)
{
    const fc_depthwise_row *row = s->row;
    fc_vec sum[SUMS], total[SUMS];
    FC_UNROLL for (int i = 0; i < pixels * vectors; i++)
        sum[i] = total[i] = fc_zero();
    for (ptrdiff_t j = 0, cut = row->together; j < row->rows; j++) {
        const FC_REAL *src = (const FC_REAL *)row->src[j] + s->first * row->src_step + s->c;
        const FC_REAL *weight = (const FC_REAL *)row->weights[j] + s->c * row->all_taps;
        if (taps > 0)
            add_row(sum, pixels, taps, ratio, src, row->tap_step, weight);
        else
            add_any_row(sum, pixels, vectors, tail, s, src, weight);
        if (--cut > 0)
            continue;
        cut = row->together;
        FC_UNROLL for (int i = 0; i < pixels * vectors; i++) {
            total[i] += sum[i];
            sum[i] = fc_zero();
        }
    }
    FC_UNROLL for (int i = 0; i < pixels * vectors; i++)
        sum[i] += total[i];
    put(s, pixels, vectors, tail, sum);
}

/* All channels of `pixels` pixels; a lone pixel takes several vectors of channels at once. */
FC_INLINE void run_block(const fc_depthwise_row *row, const int pixels, const int taps, const int ratio,
                         ptrdiff_t first)
{
    enum { WIDE = 4 };
    stretch s = {.row = row, .first = first, .lanes = FC_LANES};
    if (pixels == 1)
        for (; s.c + WIDE * FC_LANES <= row->channels; s.c += WIDE * FC_LANES)
            run_stretch(&s, 1, WIDE, 0, 0, false);
    for (; s.c + FC_LANES <= row->channels; s.c += FC_LANES)
        run_stretch(&s, pixels, 1, taps, ratio, false);
    s.lanes = (int)(row->channels - s.c);
    if (s.lanes > 0)
        run_stretch(&s, pixels, 1, 0, 0, true);
}

/* Blocks of eight pixels, then what covers the rest with least work: the last block may overlap the one before it,
 * whose pixels it writes again, rather than leave lone pixels. */
FC_INLINE void run_row(const fc_depthwise_row *row, const int taps, const int ratio)
{
    const ptrdiff_t count = row->count;
    ptrdiff_t first = 0;
    for (; first + 8 <= count; first += 8)
        run_block(row, 8, taps, ratio, first);
    if (first < count && count - first > 4 && count >= 8) {
        run_block(row, 8, taps, ratio, count - 8);
        return;
    }
    for (; first < count && count >= 4; first += 4)
        run_block(row, 4, taps, ratio, first + 4 <= count ? first : count - 4);
    for (; first < count; first++)
        run_block(row, 1, 0, 0, first);
}

fc_depthwise_fn FC_NAME(conv_depthwise);

void FC_NAME(conv_depthwise)(const fc_depthwise_row *row)
{
    const bool dense = row->src_step == row->tap_step, halved = row->src_step == 2 * row->tap_step;
    if (dense && row->taps == 3)
        run_row(row, 3, 1);
    else if (dense && row->taps == 5)
        run_row(row, 5, 1);
    else if (dense && row->taps == 7)
        run_row(row, 7, 1);
    else if (halved && row->taps == 3)
        run_row(row, 3, 2);
    else if (halved && row->taps == 5)
        run_row(row, 5, 2);
    else
        run_row(row, 0, 0);
}
