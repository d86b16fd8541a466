/* Channels-first depthwise convolutions of stride 1, read where the image lies.
 *
 * A tile is a vector of columns in up to 8 rows of outputs. Column of the kernel by column, each row of the source
 * under it is loaded once, what lies beyond the image's sides is masked away, and it enters all the outputs that it has
 * a tap for. So a 3 x 3 kernel takes 10 loads for 24 multiply-adds.
 *
 *   sums  rows      weights  a column's taps      source  1      mask  1
 */
#include "dispatch/conv_kernels.h"
#include "epilogue.h"
#include "simd.h"

#define FC_UNROLL _Pragma("GCC unroll 16")

enum { MOST_ROWS = 8, MOST_TAPS = 7 };

/* Outputs: `rows` of them from `row` on, those of a vector of columns from `column` on. The first ones are done already
 * where the last tile of a row or column reaches back. */
typedef struct {
    const FC_REAL **src;    /* the source's rows from the one under the first output and tap */
    const FC_REAL *weights; /* of a channel */
    FC_REAL start;          /* what sums start from */
    const fc_int *mask;
    ptrdiff_t at, column, end; /* at: of the first output, end: of the channel, in elements of dst */
    int done_rows, done_lanes, lanes;
} block;

/* taps: rows of the kernel, 0 when any number. */
FC_INLINE void add(const int rows, const int taps, const fc_depthwise_lines *s, const block *b, fc_vec sum[MOST_ROWS])
{
    const ptrdiff_t all = taps > 0 ? taps : s->taps_h;
    ptrdiff_t at = b->column + s->col_first;
    FC_UNROLL for (int r = 0; r < rows; r++)
        sum[r] = fc_splat(b->start);
    for (ptrdiff_t k = 0; k < s->taps_w; k++, at += s->col_offset) {
        const fc_mask exists = (fc_mask)fc_load((const FC_REAL *)(b->mask + k * s->mask_step));
        const FC_REAL *weight = b->weights + k;
        if (taps == 0) {
            for (ptrdiff_t t = 0; t < all; t++, weight += s->taps_w) {
                const fc_vec w = fc_splat(*weight);
                FC_UNROLL for (int r = 0; r < rows; r++)
                    sum[r] += (fc_vec)((fc_mask)fc_load(b->src[r + t] + at) & exists) * w;
            }
            continue;
        }
        fc_vec w[MOST_TAPS];
        FC_UNROLL for (int t = 0; t < taps; t++)
            w[t] = fc_hold(fc_splat(weight[t * s->taps_w]));
        FC_UNROLL for (int i = 0; i < rows + taps - 1; i++) {
            const fc_vec x = fc_hold((fc_vec)((fc_mask)fc_load(b->src[i] + at) & exists));
            FC_UNROLL for (int t = 0; t < taps; t++)
                if (i >= t && i - t < rows)
                    sum[i - t] += x * w[t];
        }
    }
}

/* Results with all that may happen to them, or in rows shorter than a vector; in a function of its own because it is
 * long. */
static __attribute__((noinline)) void finish(const fc_depthwise_lines *s, const block *b, int rows, const FC_REAL *from)
{
    const fc_epilogue *e = s->epilogue;
    const bool plain = !s->residual && e->activation == FC_IDENTITY;
    for (int r = b->done_rows; r < rows; r++) {
        const ptrdiff_t at = b->at + r * s->dst_row + b->done_lanes;
        const int lanes = b->lanes - b->done_lanes;
        fc_vec value = fc_load(from + r * FC_LANES + b->done_lanes);
        if (s->residual)
            value += fc_load_lanes((const FC_REAL *)s->residual + at, lanes);
        value = fc_finish(e, value);
        /* what a whole vector writes of the next row, the next row's own writes again */
        const bool whole = plain && s->row_offset == 1 && at + FC_LANES <= b->end;
        fc_store_lanes((FC_REAL *)s->dst + at, value, whole ? FC_LANES : lanes);
    }
}

FC_INLINE void tile(const int rows, const int taps, const fc_depthwise_lines *s, const block *b)
{
    fc_vec sum[MOST_ROWS];
    add(rows, taps, s, b, sum);
    FC_REAL *dst = (FC_REAL *)s->dst + b->at, results[(MOST_ROWS + 1) * FC_LANES];
    const bool direct = !s->residual && s->epilogue->activation == FC_IDENTITY && b->lanes == FC_LANES;
    const ptrdiff_t step = direct ? s->dst_row : FC_LANES;
    FC_REAL *to = direct ? dst : results;
    FC_UNROLL for (int r = 0; r < rows; r++)
        fc_store(to + r * step, sum[r]);
    if (!direct)
        finish(s, b, rows, results);
}

#define ROWS(X, taps) X(1, taps) X(2, taps) X(4, taps) X(7, taps) X(8, taps)
#define DEFINE(rows, taps)                                                                                             \
    static void tile_##rows##_##taps(const fc_depthwise_lines *s, const block *b) { tile(rows, taps, s, b); }
ROWS(DEFINE, 0)
ROWS(DEFINE, 3)
#if FC_REAL_BITS == 32 /* as channels-last ones, large kernels in float64 take the general tile */
ROWS(DEFINE, 5)
ROWS(DEFINE, 7)
#define LARGE_KERNELS ROWS(ENTRY, 5) ROWS(ENTRY, 7)
#else
#define LARGE_KERNELS
#endif

#define ENTRY(rows, taps) [taps][rows] = tile_##rows##_##taps,
typedef void (*tile_fn)(const fc_depthwise_lines *s, const block *b);
static const tile_fn tiles[MOST_TAPS + 1][MOST_ROWS + 1] = {ROWS(ENTRY, 0) ROWS(ENTRY, 3) LARGE_KERNELS};

/* Rows of the next tile of `left` of them, more than are left where it reaches back into `done` ones. */
static int next_rows(ptrdiff_t left, ptrdiff_t done)
{
    static const int sizes[] = {1, 2, 4, 7, 8};
    if (left >= 8)
        return left % 8 != 0 && left % 7 == 0 ? 7 : 8;
    int best = 1;
    for (int i = 0; i < 5; i++) {
        if (sizes[i] >= left)
            return sizes[i] - left <= done ? sizes[i] : best;
        best = sizes[i];
    }
    return best;
}

/* All ones where a tap's column lies inside the image, for one column after the other of a row that is narrower by
 * those in which all taps do. */
static void fill_masks(const fc_depthwise_lines *s)
{
    const ptrdiff_t width = s->cols - s->skipped;
    for (ptrdiff_t k = 0; k < s->taps_w; k++) {
        const ptrdiff_t offset = s->col_first + k * s->col_offset;
        fc_int *mask = (fc_int *)s->masks + k * s->mask_step;
        for (ptrdiff_t x = 0; x < s->mask_step; x++)
            mask[x] = -(x + offset >= 0 && x + offset < width);
    }
}

/* The rows of one channel, from `row` on, every row_offset-th of them: neighbours in the eyes of the kernel. `at` is
 * where the channel begins in dst. */
static void run_rows(const fc_depthwise_lines *s, block *b, const FC_REAL *plane, ptrdiff_t row, ptrdiff_t at)
{
    const ptrdiff_t count = (s->rows - row + s->row_offset - 1) / s->row_offset, taps = s->taps_h;
    const FC_REAL *const zeros = (const FC_REAL *)s->zeros + s->left;
    const tile_fn *const by_rows = tiles[taps <= MOST_TAPS && tiles[taps][1] ? taps : 0];
    for (ptrdiff_t done = 0, left = count; left > 0; left = count - done) {
        const int rows = next_rows(left, done);
        const ptrdiff_t first = rows <= left ? done : count - rows;
        b->done_rows = (int)(done - first);
        done = first + rows;
        for (ptrdiff_t i = 0; i < rows + taps - 1; i++) {
            const ptrdiff_t from = s->row_first + row + (first + i) * s->row_offset;
            b->src[i] = from >= 0 && from < s->src_rows ? plane + from * s->cols : zeros;
        }
        for (ptrdiff_t x = 0; x < s->cols; x += FC_LANES) {
            b->column = x + FC_LANES <= s->cols ? x : s->cols - b->lanes;
            b->done_lanes = (int)(x - b->column);
            const ptrdiff_t inside = b->column - s->left;
            b->mask = (const fc_int *)s->masks + b->column -
                      (inside < 0            ? 0
                       : inside < s->skipped ? inside
                                             : s->skipped);
            b->at = at + (row + first * s->row_offset) * s->cols + b->column;
            by_rows[rows](s, b);
        }
    }
}

fc_depthwise_lines_fn FC_NAME(depthwise_lines);

void FC_NAME(depthwise_lines)(const fc_depthwise_lines *s)
{
    const FC_REAL *const bias = s->bias, *plane = s->src;
    block b = {
        .src = (const FC_REAL **)s->src_row,
        .weights = s->weights,
        .lanes = s->cols < FC_LANES ? (int)s->cols : FC_LANES,
    };
    memset(s->zeros, 0, (size_t)s->zero_count * sizeof(FC_REAL));
    fill_masks(s);
    for (ptrdiff_t group = 0, output = 0; group < s->groups; group++, plane += s->src_channel)
        for (ptrdiff_t o = 0; o < s->oc; o++, output++, b.weights += s->taps_h * s->taps_w) {
            b.start = bias ? bias[output] : 0;
            b.end = output * s->dst_channel + s->rows * s->cols;
            for (ptrdiff_t row = 0; row < s->row_offset && row < s->rows; row++)
                run_rows(s, &b, plane, row, output * s->dst_channel);
        }
}
