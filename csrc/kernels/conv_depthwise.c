/* Channels-last depthwise convolution: vectors run along channels.
 *
 * A block is up to 8 pixels of one or two output rows, and takes one vector of channels after the other: so memory is
 * read in order, and an input serves all its taps in both rows while it is in a register.
 *
 *   sums  rows x pixels      weights  rows x taps      input  1
 */
#include "dispatch/conv_kernels.h"
#include "epilogue.h"
#include "simd.h"

#define FC_UNROLL _Pragma("GCC unroll 32")

enum { MOST_PIXELS = 8, MOST_TAPS = 7, MOST_RATIO = 2, ANY_PIXELS = 6 };
enum { MOST_COLUMNS = (MOST_PIXELS - 1) * MOST_RATIO + MOST_TAPS };

#if defined(FC_ISA_AVX512) || defined(FC_ISA_NEON)
enum { REGISTERS = 32 - 1 }; /* less the input's */
#elif defined(FC_ISA_AVX2)
enum { REGISTERS = 16 - 1 };
#else
enum { REGISTERS = 16 - 2 }; /* a product needs one */
#endif

/* Pixels of a block of so many rows whose sums and weights fit the registers; none where single rows are faster, and in
 * float64, which is rare: a fiftieth of the module for a fifth of the time of what depthwise_squares.c leaves. */
FC_INLINE int most_pixels(const int rows, const int taps)
{
    const int fitting = (REGISTERS - rows * taps) / rows;
    if (rows == 2 && (fitting < 4 || taps == 7 || FC_REAL_BITS == 64))
        return 0;
    return fitting < MOST_PIXELS ? fitting : MOST_PIXELS;
}

/* One block at one vector of channels, from channel c on, of which `lanes` exist. */
typedef struct {
    const fc_depthwise_rows *rows;
    ptrdiff_t pixel, c;
    uint32_t exist; /* bit i: the block's own column i exists; of the blocks of known shape */
    int row, lanes; /* row: the first one, or the only one */
} block;

FC_INLINE fc_vec load_lanes(const FC_REAL *p, const bool whole, int lanes)
{
    return whole ? fc_load(p) : fc_load_tail(p, lanes);
}

/* Whether all columns under a block fit the registers beside its sums. */
FC_INLINE bool holds_columns(const int rows, const int pixels, const int taps, const int ratio)
{
    return rows * pixels + (pixels - 1) * ratio + taps + 1 <= REGISTERS;
}

/* Tap by tap: as many products as there are sums follow each other before a sum's turn comes again. */
FC_INLINE void add_by_taps(fc_vec sum[2][MOST_PIXELS], const void *const weights[2], const bool enters[2],
                           const int pixels, const int taps, const int ratio, const block *b, const FC_REAL *at)
{
    fc_vec x[MOST_COLUMNS];
    FC_UNROLL for (int i = 0; i < (pixels - 1) * ratio + taps; i++, at += b->rows->step) {
        x[i] = fc_zero();
        if (b->exist & 1u << i)
            x[i] = load_lanes(at, !FC_FREE_TAILS, b->lanes);
    }
    FC_UNROLL for (int t = 0; t < taps; t++) FC_UNROLL
        for (int r = 0; r < 2; r++) {
            if (!enters[r])
                continue;
            const fc_vec w = fc_load((const FC_REAL *)weights[r] + b->c * b->rows->all_taps + t * FC_LANES);
            FC_UNROLL for (int p = 0; p < pixels; p++)
                sum[r][p] += x[p * ratio + t] * w;
        }
}

/* Column by column, each loaded once: for what holds_columns refuses. */
FC_INLINE void add_by_columns(fc_vec sum[2][MOST_PIXELS], const void *const weights[2], const bool enters[2],
                              const int pixels, const int taps, const int ratio, const block *b, const FC_REAL *at)
{
    const fc_depthwise_rows *s = b->rows;
    fc_vec w[2][MOST_TAPS];
    FC_UNROLL for (int r = 0; r < 2; r++)
        if (enters[r]) FC_UNROLL
            for (int t = 0; t < taps; t++)
                w[r][t] = fc_hold(fc_load((const FC_REAL *)weights[r] + b->c * s->all_taps + t * FC_LANES));
    FC_UNROLL for (int i = 0; i < (pixels - 1) * ratio + taps; i++, at += s->step) {
        fc_vec x = fc_zero();
        if (b->exist & 1u << i)
            x = load_lanes(at, !FC_FREE_TAILS, b->lanes);
        x = fc_hold(x);
        FC_UNROLL for (int r = 0; r < 2; r++) FC_UNROLL
            for (int t = 0; t < taps; t++)
                if (enters[r] && i >= t && (i - t) % ratio == 0 && (i - t) / ratio < pixels)
                    sum[r][(i - t) / ratio] += x * w[r][t];
    }
}

/* sum[r][p] += sum over taps t of column p * ratio + t times weights[r][t], for the rows that the line enters.
 * Columns that do not exist are zeros, which a weight that is not finite makes NaN. */
FC_INLINE void add_line(fc_vec sum[2][MOST_PIXELS], const void *const weights[2], const bool enters[2], const int rows,
                        const int pixels, const int taps, const int ratio, const block *b, const FC_REAL *src)
{
    const FC_REAL *at = src + b->rows->first + b->pixel * ratio * b->rows->step + b->c;
    if (holds_columns(rows, pixels, taps, ratio))
        add_by_taps(sum, weights, enters, pixels, taps, ratio, b, at);
    else
        add_by_columns(sum, weights, enters, pixels, taps, ratio, b, at);
}

/* Results with all that may happen to them, from `from` to dst; in a function of its own because it is long. */
static __attribute__((noinline)) void finish(const block *b, int rows, int pixels, const FC_REAL *from)
{
    const fc_depthwise_rows *s = b->rows;
    const fc_epilogue *e = s->epilogue;
    for (int r = b->row; r < b->row + rows; r++)
        for (int p = 0; p < pixels; p++, from += FC_LANES) {
            const ptrdiff_t at = r * s->dst_row + (b->pixel + p) * s->dst_step + b->c;
            fc_vec value = fc_load(from);
            if (s->residual)
                value += fc_load_lanes((const FC_REAL *)s->residual + at, b->lanes);
            value = fc_finish(e, value);
            fc_store_lanes((FC_REAL *)s->dst + at, value, b->lanes);
        }
}

/* The bias, which sums start from. */
FC_INLINE fc_vec start(const block *b, const bool whole)
{
    const FC_REAL *bias = b->rows->bias;
    return bias ? load_lanes(bias + b->c, whole, b->lanes) : fc_zero();
}

/* One block at one vector: dst[r][p][c] = activation(bias[c] + sum over lines and taps + residual[r][p][c]). */
FC_INLINE void run_vector(const block *b, const int rows, const int pixels, const int taps, const int ratio)
{
    const fc_depthwise_rows *s = b->rows;
    const fc_activation activation = s->epilogue->activation;
    fc_vec sum[2][MOST_PIXELS];
    FC_UNROLL for (int r = 0; r < rows; r++) FC_UNROLL
        for (int p = 0; p < pixels; p++)
            sum[r][p] = start(b, !FC_FREE_TAILS);
    const bool both[2] = {true, true}, upper[2] = {true, false}, lower[2] = {false, true};
    for (ptrdiff_t j = 0; j < s->count; j++) {
        const fc_depthwise_line *line = &s->lines[j];
        const FC_REAL *src = line->src;
        if (rows == 1 && line->weights[b->row])
            add_line(sum, &line->weights[b->row], upper, rows, pixels, taps, ratio, b, src);
        else if (rows == 2 && !line->weights[1])
            add_line(sum, line->weights, upper, rows, pixels, taps, ratio, b, src);
        else if (rows == 2 && !line->weights[0])
            add_line(sum, line->weights, lower, rows, pixels, taps, ratio, b, src);
        else if (rows == 2)
            add_line(sum, line->weights, both, rows, pixels, taps, ratio, b, src);
    }
    if (s->residual || !fc_only_clamps(activation)) {
        FC_UNROLL for (int r = 0; r < rows; r++) FC_UNROLL
            for (int p = 0; p < pixels; p++)
                fc_store((FC_REAL *)s->partial + (r * pixels + p) * FC_LANES, sum[r][p]);
        finish(b, rows, pixels, s->partial);
        return;
    }
    if (activation != FC_IDENTITY) FC_UNROLL
        for (int r = 0; r < rows; r++) FC_UNROLL
            for (int p = 0; p < pixels; p++)
                sum[r][p] = fc_rectify(activation, sum[r][p]);
    FC_REAL *dst = (FC_REAL *)s->dst + b->pixel * s->dst_step + b->row * s->dst_row + b->c;
    FC_UNROLL for (int r = 0; r < rows; r++) FC_UNROLL
        for (int p = 0; p < pixels; p++)
            if (FC_FREE_TAILS)
                fc_store_tail(dst + r * s->dst_row + p * s->dst_step, sum[r][p], b->lanes);
            else
                fc_store(dst + r * s->dst_row + p * s->dst_step, sum[r][p]);
}

static block block_at(const fc_depthwise_rows *s, int row, ptrdiff_t pixel, ptrdiff_t c)
{
    return (block){.rows = s, .pixel = pixel, .c = c, .row = row, .lanes = FC_LANES};
}

/* Any taps and ratio, any length of sums: one vector of `pixels` pixels of one row; `inside` where all its columns
 * exist. */
FC_INLINE void run_any_vector(const block *b, const int pixels, const bool whole, const bool inside)
{
    static const FC_REAL zeros[FC_LANES];
    const fc_depthwise_rows *s = b->rows;
    const ptrdiff_t column = b->pixel * s->ratio, low = s->low - column, high = s->high - column;
    fc_vec sum[ANY_PIXELS], total[ANY_PIXELS];
    FC_UNROLL for (int p = 0; p < pixels; p++) {
        sum[p] = start(b, whole);
        total[p] = fc_zero();
    }
    for (ptrdiff_t j = 0, cut = s->together; j < s->count; j++) {
        const FC_REAL *src = s->lines[j].src, *weight = s->lines[j].weights[b->row];
        for (ptrdiff_t t = 0; t < s->taps && weight; t++) {
            const fc_vec w = fc_load(weight + b->c * s->all_taps + t * FC_LANES);
            const FC_REAL *at = src + s->first + (column + t) * s->step + b->c;
            FC_UNROLL for (int p = 0; p < pixels; p++, at += s->ratio * s->step) {
                const bool exists = inside || (p * s->ratio + t >= low && p * s->ratio + t < high);
                sum[p] += load_lanes(exists ? at : zeros, whole, b->lanes) * w;
            }
        }
        if (--cut > 0)
            continue;
        cut = s->together;
        FC_UNROLL for (int p = 0; p < pixels; p++) {
            total[p] += sum[p];
            sum[p] = fc_zero();
        }
    }
    FC_UNROLL for (int p = 0; p < pixels; p++)
        fc_store((FC_REAL *)s->partial + p * FC_LANES, total[p] + sum[p]);
    finish(b, 1, pixels, s->partial);
}

FC_INLINE void run_any_row(const fc_depthwise_rows *s, int row, ptrdiff_t pixel, const int pixels, ptrdiff_t c)
{
    const ptrdiff_t column = pixel * s->ratio;
    const bool inside = column >= s->low && column + (pixels - 1) * s->ratio + s->taps <= s->high;
    block b = block_at(s, row, pixel, c);
    for (; b.c + FC_LANES <= s->channels; b.c += FC_LANES) {
        if (inside && pixels == ANY_PIXELS)
            run_any_vector(&b, pixels, true, true);
        else
            run_any_vector(&b, pixels, true, false);
    }
    b.lanes = (int)(s->channels - b.c);
    if (b.lanes > 0)
        run_any_vector(&b, pixels, false, false);
}

static __attribute__((noinline)) void run_any(const fc_depthwise_rows *s, ptrdiff_t pixel, ptrdiff_t pixels,
                                              ptrdiff_t c)
{
    const ptrdiff_t end = pixel + pixels;
    while (pixel < end) {
        const ptrdiff_t left = end - pixel;
        const int together = left >= ANY_PIXELS ? ANY_PIXELS : left >= 2 ? 2 : 1;
        for (int row = 0; row < s->rows; row++) {
            if (together == ANY_PIXELS)
                run_any_row(s, row, pixel, ANY_PIXELS, c);
            else if (together == 2)
                run_any_row(s, row, pixel, 2, c);
            else
                run_any_row(s, row, pixel, 1, c);
        }
        pixel += together;
    }
}

/* All whole vectors of one block. */
FC_INLINE void run_block(const fc_depthwise_rows *s, int row, ptrdiff_t pixel, const int rows, const int pixels,
                         const int taps, const int ratio)
{
    const ptrdiff_t end = FC_FREE_TAILS ? s->channels : s->channels / FC_LANES * FC_LANES;
    block b = block_at(s, row, pixel, 0);
    for (int i = 0; i < (pixels - 1) * ratio + taps; i++)
        if (pixel * ratio + i >= s->low && pixel * ratio + i < s->high)
            b.exist |= 1u << i;
    for (; b.c < end; b.c += FC_LANES) {
        b.lanes = fc_lanes_left(s->channels, b.c);
        run_vector(&b, rows, pixels, taps, ratio);
    }
}

/* Each block is a function of its own: in one function they take compilers more than twice as long. Those that do not
 * fit the registers are empty. */
#define DEFINE(ratio, taps, rows, pixels)                                                                              \
    static void block_##ratio##_##taps##_##rows##_##pixels(const fc_depthwise_rows *s, int row, ptrdiff_t pixel)       \
    {                                                                                                                  \
        if (pixels <= most_pixels(rows, taps))                                                                         \
            run_block(s, row, pixel, rows, pixels, taps, ratio);                                                       \
    }
#define ENTRY(ratio, taps, rows, pixels) [rows - 1][pixels - 1] = block_##ratio##_##taps##_##rows##_##pixels,
#define SMALL_BLOCKS(X, ...) X(__VA_ARGS__, 1) X(__VA_ARGS__, 2) X(__VA_ARGS__, 3) X(__VA_ARGS__, 4)
#define LARGE_BLOCKS(X, ...) X(__VA_ARGS__, 5) X(__VA_ARGS__, 6) X(__VA_ARGS__, 7) X(__VA_ARGS__, 8)
#define ROW_BLOCKS(X, ...) SMALL_BLOCKS(X, __VA_ARGS__) LARGE_BLOCKS(X, __VA_ARGS__)
#define BLOCKS(X, ratio, taps) ROW_BLOCKS(X, ratio, taps, 1) ROW_BLOCKS(X, ratio, taps, 2)
BLOCKS(DEFINE, 1, 1)
BLOCKS(DEFINE, 1, 2)
BLOCKS(DEFINE, 1, 3)
BLOCKS(DEFINE, 2, 3)
/* Large kernels in float64, and on processors before 2013, are not worth a tenth of the module. */
#if FC_REAL_BITS == 32 && !defined(FC_ISA_BASELINE)
BLOCKS(DEFINE, 1, 5)
BLOCKS(DEFINE, 1, 7)
BLOCKS(DEFINE, 2, 5)
BLOCKS(DEFINE, 2, 7)
#define LARGE_KERNELS                                                                                                  \
    {1, 5, {BLOCKS(ENTRY, 1, 5)}}, {1, 7, {BLOCKS(ENTRY, 1, 7)}}, {2, 5, {BLOCKS(ENTRY, 2, 5)}},                       \
        {2, 7, {BLOCKS(ENTRY, 2, 7)}},
#else
#define LARGE_KERNELS
#endif

/* One and two taps are the phases of an input gradient at stride 2. */
static const struct {
    ptrdiff_t ratio, taps;
    void (*blocks[2][MOST_PIXELS])(const fc_depthwise_rows *, int row, ptrdiff_t pixel); /* by rows and pixels less 1 */
} shapes[] = {{1, 1, {BLOCKS(ENTRY, 1, 1)}},
              {1, 2, {BLOCKS(ENTRY, 1, 2)}},
              {1, 3, {BLOCKS(ENTRY, 1, 3)}},
              {2, 3, {BLOCKS(ENTRY, 2, 3)}},
              LARGE_KERNELS};

fc_depthwise_fn FC_NAME(conv_depthwise);

/* Two rows at once where enough pixels of both fit the registers, else one after the other; blocks of equal size, or
 * one pixel less. */
void FC_NAME(conv_depthwise)(const fc_depthwise_rows *s)
{
    size_t shape = 0;
    while (shape < sizeof shapes / sizeof shapes[0] &&
           (s->ratio != shapes[shape].ratio || s->taps != shapes[shape].taps))
        shape++;
    if (shape == sizeof shapes / sizeof shapes[0] || s->count > s->together) {
        run_any(s, 0, s->pixels, 0);
        return;
    }
    const int taps = (int)s->taps, rows = s->rows == 2 && most_pixels(2, taps) > 0 ? 2 : 1;
    const int most = most_pixels(rows, taps);
    const ptrdiff_t blocks = (s->pixels + most - 1) / most, each = s->pixels / blocks, longer = s->pixels % blocks;
    for (ptrdiff_t i = 0, pixel = 0; i < blocks; i++) {
        const ptrdiff_t pixels = each + (i < longer);
        for (int row = 0; row < s->rows; row += rows)
            shapes[shape].blocks[rows - 1][pixels - 1](s, row, pixel);
        if (!FC_FREE_TAILS && s->channels % FC_LANES)
            run_any(s, pixel, pixels, s->channels / FC_LANES * FC_LANES);
        pixel += pixels;
    }
}
