/* Channels-last depthwise convolution with 3x3 taps, two output rows at once: all weights of a vector of channels stay
 * in registers while it goes along the rows, two pixels of both at a time, so an input is loaded once or twice for its
 * up to six products.
 *
 *   sums  2 rows x 2 pixels      weights  9      input  1
 *
 * Not for the baseline, where a product needs a register too.
 */
#include "dispatch/conv_kernels.h"
#include "epilogue.h"
#include "simd.h"

#ifndef FC_ISA_BASELINE

#define FC_UNROLL _Pragma("GCC unroll 32")

enum { TAPS = 3, PIXELS = 2, MOST_LINES = 5 };

/* One vector of channels on its way. */
typedef struct {
    const FC_REAL *line[MOST_LINES]; /* at the next pixel's first column */
    FC_REAL *dst;
    ptrdiff_t step, next_src, next_dst, dst_row; /* next: from a pixel to the next */
    fc_vec weights[TAPS * TAPS], bias;
} walk;

/* Adds columns to two rows of `pixels` sums; columns and lines are numbered from those of the first sum's first tap. */
FC_INLINE void add_column(fc_vec sum[2][PIXELS], const walk *w, const int i, const int pixels, const int ratio,
                          const int from, const int to)
{
    FC_UNROLL for (int j = from; j < to; j++) {
        const fc_vec x = fc_hold(fc_load(w->line[j] + i * w->step));
        FC_UNROLL for (int r = 0; r < 2; r++) FC_UNROLL
            for (int p = 0; p < pixels; p++) {
                const int h = j - r * ratio, t = i - p * ratio;
                if (h >= 0 && h < TAPS && t >= 0 && t < TAPS)
                    sum[r][p] += x * w->weights[h * TAPS + t];
            }
    }
}

/* Results with all that may happen to them, from s->partial to dst; in a function of its own because it is long. */
static __attribute__((noinline)) void finish(const fc_depthwise_rows *s, ptrdiff_t at, int pixels)
{
    const FC_REAL *from = s->partial;
    for (int r = 0; r < 2; r++)
        for (int p = 0; p < pixels; p++, from += FC_LANES) {
            const ptrdiff_t to = at + r * s->dst_row + p * s->dst_step;
            fc_vec value = fc_load(from);
            if (s->residual)
                value += fc_load((const FC_REAL *)s->residual + to);
            fc_store((FC_REAL *)s->dst + to, fc_finish(s->epilogue, value));
        }
}

/* The next `pixels` pixels of both rows. exist: bit i for column i; where `inside`, all do. */
FC_INLINE void take(const fc_depthwise_rows *s, walk *w, const fc_activation activation, const bool plain,
                    const int pixels, const int ratio, const int from, const int to, const bool inside, unsigned exist)
{
    fc_vec sum[2][PIXELS];
    FC_UNROLL for (int r = 0; r < 2; r++) FC_UNROLL
        for (int p = 0; p < pixels; p++)
            sum[r][p] = w->bias;
    FC_UNROLL for (int i = 0; i < (pixels - 1) * ratio + TAPS; i++)
        if (inside || exist & 1u << i)
            add_column(sum, w, i, pixels, ratio, from, to);
    if (!plain) {
        FC_UNROLL for (int r = 0; r < 2; r++) FC_UNROLL
            for (int p = 0; p < pixels; p++)
                fc_store((FC_REAL *)s->partial + (r * pixels + p) * FC_LANES, sum[r][p]);
        finish(s, w->dst - (FC_REAL *)s->dst, pixels);
    } else {
        if (activation != FC_IDENTITY) FC_UNROLL
            for (int r = 0; r < 2; r++) FC_UNROLL
                for (int p = 0; p < pixels; p++)
                    sum[r][p] = fc_rectify(activation, sum[r][p]);
        FC_UNROLL for (int r = 0; r < 2; r++) FC_UNROLL
            for (int p = 0; p < pixels; p++)
                fc_store(w->dst + r * w->dst_row + p * w->next_dst, sum[r][p]);
    }
    FC_UNROLL for (int j = from; j < to; j++)
        w->line[j] += pixels * w->next_src;
    w->dst += pixels * w->next_dst;
}

/* Columns of a pixel that exist. */
static unsigned columns_of(const fc_depthwise_rows *s, ptrdiff_t pixel)
{
    unsigned exist = 0;
    for (int t = 0; t < TAPS; t++)
        if (pixel * s->ratio + t >= s->low && pixel * s->ratio + t < s->high)
            exist |= 1u << t;
    return exist;
}

/* The lines from `from` to `to` of those that both rows have. */
FC_INLINE void run_stretch(const fc_depthwise_rows *s, ptrdiff_t begin, ptrdiff_t end, const int ratio, const int from,
                           const int to)
{
    const fc_activation activation = s->epilogue->activation;
    const bool plain = !s->residual && fc_only_clamps(activation);
    unsigned exist[FC_STRETCH];
    for (ptrdiff_t pixel = begin; pixel < end; pixel++)
        exist[pixel - begin] = columns_of(s, pixel);
    const ptrdiff_t first = (s->low + ratio - 1) / ratio; /* all columns exist from here to `last` */
    const ptrdiff_t last = s->high < TAPS ? 0 : (s->high - TAPS) / ratio + 1, most = last < end ? last : end;
    for (ptrdiff_t c = 0; c < s->channels; c += FC_LANES) {
        const FC_REAL *weights = (const FC_REAL *)s->lines[0].weights[0] + c * TAPS * TAPS - from * TAPS * FC_LANES;
        walk w = {.dst = (FC_REAL *)s->dst + begin * s->dst_step + c,
                  .step = s->step,
                  .next_src = ratio * s->step,
                  .next_dst = s->dst_step,
                  .dst_row = s->dst_row};
        w.bias = s->bias ? fc_load((const FC_REAL *)s->bias + c) : fc_zero();
        FC_UNROLL for (int i = 0; i < TAPS * TAPS; i++)
            w.weights[i] = fc_hold(fc_load(weights + i * FC_LANES));
        FC_UNROLL for (int j = from; j < to; j++)
            w.line[j] = (const FC_REAL *)s->lines[j - from].src + s->first + begin * ratio * s->step + c;
        for (ptrdiff_t pixel = begin; pixel < end;) {
            for (; pixel >= first && pixel + PIXELS <= most; pixel += PIXELS)
                take(s, &w, activation, plain, PIXELS, ratio, from, to, true, 0);
            if (pixel < end) {
                take(s, &w, activation, plain, 1, ratio, from, to, false, exist[pixel - begin]);
                pixel++;
            }
        }
    }
}

/* Rows at a border of the image lack their first or their last line. */
#define STRETCHES(ratio, from, to)                                                                                     \
    static void stretch_##ratio##_##from##_##to(const fc_depthwise_rows *s, ptrdiff_t begin, ptrdiff_t end)            \
    {                                                                                                                  \
        run_stretch(s, begin, end, ratio, from, to);                                                                   \
    }
STRETCHES(1, 0, 4)
STRETCHES(1, 1, 4)
STRETCHES(1, 0, 3)
STRETCHES(2, 0, 5)
STRETCHES(2, 1, 5)
STRETCHES(2, 0, 4)

fc_depthwise_fn FC_NAME(depthwise_squares);

void FC_NAME(depthwise_squares)(const fc_depthwise_rows *s)
{
    static void (*const stretches[2][3])(const fc_depthwise_rows *, ptrdiff_t begin, ptrdiff_t end) = {
        {stretch_1_0_4, stretch_1_1_4, stretch_1_0_3}, {stretch_2_0_5, stretch_2_1_5, stretch_2_0_4}};
    const int lacks = s->count == TAPS + s->ratio ? 0 : s->line == 1 ? 1 : 2; /* none, the first, the last */
    for (ptrdiff_t pixel = 0; pixel < s->pixels; pixel += FC_STRETCH)
        stretches[s->ratio - 1][lacks](s, pixel, s->pixels - pixel < FC_STRETCH ? s->pixels : pixel + FC_STRETCH);
}

#endif
