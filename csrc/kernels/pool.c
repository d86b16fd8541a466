/* Maximum and average pooling of one row of outputs.
 *
 * Channels first, a row is made in two steps: the source rows are folded into one line, vectors running along it, and
 * the windows are then taken from the line. Channels last, every pixel is a vector already. The order in which a window
 * is folded (rows within a column first, then columns; or row by row) is fixed by its shape alone.
 */
#include <assert.h>
#include <math.h>

#include "dispatch/pool_kernels.h"
#include "simd.h"

/* Terms that are added plainly before their sum is put away: keeps the error of a long sum at that of a short one. */
enum { PARTIAL = 64 };

#if FC_REAL_BITS == 32
#define NOWHERE INT32_MAX
#else
#define NOWHERE INT64_MAX
#endif

FC_INLINE fc_mask splat_position(ptrdiff_t position) { return (fc_mask){0} + (fc_int)position; }

/* What a window holds before its first element. */
FC_INLINE FC_REAL nothing(const bool max) { return max ? -(FC_REAL)INFINITY : 0; }

FC_INLINE fc_vec join(const bool max, fc_vec next, fc_vec so_far) { return max ? fc_max(next, so_far) : so_far + next; }

FC_INLINE FC_REAL join_one(const bool max, FC_REAL next, FC_REAL so_far)
{
    return !max ? so_far + next : next > so_far || next != next ? next : so_far;
}

/* Whether positions relative to the first fit the integers that go with a vector's lanes. */
static bool positions_fit(const fc_pool_windows *w, const ptrdiff_t *positions, ptrdiff_t row_count)
{
    return row_count == 0 || positions[row_count - 1] - positions[0] + w->width < NOWHERE;
}

/* The maximum of one window of one channel, element by element. */
static void max_one(const fc_pool_windows *w, const void *const *rows, const ptrdiff_t *positions, ptrdiff_t row_count,
                    ptrdiff_t window, ptrdiff_t step, ptrdiff_t channel, FC_REAL *value, int64_t *index)
{
    const fc_pool_span span = w->columns[window];
    FC_REAL best = nothing(true);
    int64_t where = -1;
    for (ptrdiff_t r = 0; r < row_count; r++) {
        const FC_REAL *row = (const FC_REAL *)rows[r] + channel;
        for (ptrdiff_t x = span.begin; x < span.end; x += w->dilation) {
            const FC_REAL v = row[x * step];
            if (where < 0 || v > best || v != v) {
                best = v;
                where = positions[r] + x;
            }
        }
    }
    *value = best;
    *index = where;
}

/* ---- channels first: rows into a line ---------------------------------------------------------------------- */

/* The source rows under a row of outputs. */
typedef struct {
    const void *const *first; /* those under the first of several rows of outputs */
    ptrdiff_t count, ahead;   /* ahead: elements from those to these */
} row_list;

FC_INLINE const FC_REAL *row_at(const row_list *rows, ptrdiff_t r)
{
    return (const FC_REAL *)rows->first[r] + rows->ahead;
}

/* line[x] = rows folded at x, for `vectors` vectors of which the last has `lanes` lanes. */
FC_INLINE void fold_vectors(const bool max, const int vectors, const row_list *rows, ptrdiff_t x, int lanes,
                            FC_REAL *line)
{
    fc_vec total[4], partial[4];
    for (int v = 0; v < vectors; v++) {
        total[v] = fc_zero();
        partial[v] = fc_load_lanes(row_at(rows, 0) + x + v * FC_LANES, lanes);
    }
    int left = PARTIAL - 1;
    for (ptrdiff_t r = 1; r < rows->count; r++) {
        const FC_REAL *row = row_at(rows, r) + x;
        for (int v = 0; v < vectors; v++)
            partial[v] = join(max, fc_load_lanes(row + v * FC_LANES, lanes), partial[v]);
        if (!max && --left == 0) {
            left = PARTIAL;
            for (int v = 0; v < vectors; v++) {
                total[v] += partial[v];
                partial[v] = fc_zero();
            }
        }
    }
    for (int v = 0; v < vectors; v++)
        fc_store_lanes(line + x + v * FC_LANES, max ? partial[v] : total[v] + partial[v], lanes);
}

/* Where the vector at j begins, of `count` elements: the last one overlaps the one before, which spares a mask. */
FC_INLINE ptrdiff_t whole_vector(ptrdiff_t j, ptrdiff_t count)
{
    return count >= FC_LANES && j + FC_LANES > count ? count - FC_LANES : j;
}

/* line[x] = rows folded at x for x < width; `nothing` where there are no rows. */
FC_INLINE void fold_rows(const bool max, const row_list *rows, ptrdiff_t width, FC_REAL *line)
{
    ptrdiff_t x = 0;
    for (; rows->count == 0 && x < width; x++)
        line[x] = nothing(max);
    for (; x + 4 * FC_LANES <= width; x += 4 * FC_LANES)
        fold_vectors(max, 4, rows, x, FC_LANES, line);
    for (; x < width; x += FC_LANES) {
        x = whole_vector(x, width);
        fold_vectors(max, 1, rows, x, fc_lanes_left(width, x), line);
    }
}

/* The line of uniform windows: what lies outside the source holds nothing. Returns the source's columns in it. */
static ptrdiff_t frame_line(const fc_pool_windows *w, FC_REAL nothing, FC_REAL *line)
{
    const ptrdiff_t length = (w->count - 1) * w->stride + (w->kernel - 1) * w->dilation + 1;
    const ptrdiff_t begin = w->pad < length ? w->pad : length;
    const ptrdiff_t live = w->width < length - begin ? w->width : length - begin;
    if (w->framed)
        return live;
    for (ptrdiff_t x = 0; x < begin; x++)
        line[x] = nothing;
    for (ptrdiff_t x = begin + live; x < length + 2 * FC_LANES; x++)
        line[x] = nothing;
    return live;
}

/* Lane i is p[i * step]. May read 2 * FC_LANES elements from p on. */
FC_INLINE fc_vec load_apart(const FC_REAL *p, ptrdiff_t step, int lanes)
{
    if (step == 1)
        return fc_load(p);
    if (step == 2)
        return fc_even(fc_load(p), fc_load(p + FC_LANES));
    FC_REAL lane[FC_LANES] = {0};
    for (int i = 0; i < lanes; i++)
        lane[i] = p[i * step];
    return fc_load(lane);
}

/* Up to PARTIAL taps, from tap `first` on, of the windows that begin at p, p + stride, … */
FC_INLINE fc_vec fold_taps(const bool max, const fc_pool_windows *w, const ptrdiff_t stride, const FC_REAL *p,
                           ptrdiff_t first, int lanes)
{
    const ptrdiff_t end = first + PARTIAL < w->kernel ? first + PARTIAL : w->kernel;
    if (stride == 2 && w->dilation == 1) { /* two taps from the same two loads */
        const fc_vec a = fc_load(p + first), b = fc_load(p + first + FC_LANES);
        fc_vec folded = fc_even(a, b);
        if (first + 1 < end)
            folded = join(max, fc_odd(a, b), folded);
        for (ptrdiff_t k = first + 2; k < end; k += 2) {
            const fc_vec c = fc_load(p + k), d = fc_load(p + k + FC_LANES);
            folded = join(max, fc_even(c, d), folded);
            if (k + 1 < end)
                folded = join(max, fc_odd(c, d), folded);
        }
        return folded;
    }
    fc_vec folded = load_apart(p + first * w->dilation, stride, lanes);
    for (ptrdiff_t k = first + 1; k < end; k++)
        folded = join(max, load_apart(p + k * w->dilation, stride, lanes), folded);
    return folded;
}

FC_INLINE void uniform_windows(const bool max, const fc_pool_windows *w, const ptrdiff_t stride, const FC_REAL *line,
                               FC_REAL *dst)
{
    for (ptrdiff_t j = 0; j < w->count; j += FC_LANES) {
        j = whole_vector(j, w->count);
        const int lanes = fc_lanes_left(w->count, j);
        fc_vec folded = fold_taps(max, w, stride, line + j * stride, 0, lanes);
        for (ptrdiff_t k = PARTIAL; k < w->kernel; k += PARTIAL)
            folded = join(max, fold_taps(max, w, stride, line + j * stride, k, lanes), folded);
        if (!max)
            folded /= (FC_REAL)w->row_divisor * fc_load_lanes((const FC_REAL *)w->column_counts + j, lanes);
        fc_store_lanes(dst + j, folded, lanes);
    }
}

/* Elements x, x + step, … of [x, end); a step may be too large to be one of a pointer's. */
FC_INLINE FC_REAL fold_apart(const bool max, const FC_REAL *line, ptrdiff_t x, ptrdiff_t end, ptrdiff_t step)
{
    FC_REAL total = nothing(max);
    while (x < end) {
        FC_REAL partial = nothing(max);
        for (int i = 0; i < PARTIAL && x < end; i++, x += step)
            partial = join_one(max, line[x], partial);
        total = join_one(max, partial, total);
    }
    return total;
}

/* `count` contiguous elements: four chains of vectors, then their lanes. */
FC_INLINE FC_REAL fold_long(const bool max, const FC_REAL *p, ptrdiff_t count)
{
    const fc_vec none = fc_splat(nothing(max));
    fc_vec total = none;
    for (ptrdiff_t first = 0; first < count; first += PARTIAL * FC_LANES) {
        const ptrdiff_t end = first + PARTIAL * FC_LANES < count ? first + PARTIAL * FC_LANES : count;
        fc_vec chain[4] = {none, none, none, none};
        ptrdiff_t i = first;
        for (; i + 4 * FC_LANES <= end; i += 4 * FC_LANES)
            for (int k = 0; k < 4; k++)
                chain[k] = join(max, fc_load(p + i + k * FC_LANES), chain[k]);
        for (int k = 0; k < 4; k++, i += FC_LANES) {
            if (i < end) {
                const int lanes = fc_lanes_left(end, i);
                chain[k] = join(max, fc_select(fc_first_lanes(lanes), fc_load_lanes(p + i, lanes), none), chain[k]);
            }
        }
        total = join(max, join(max, join(max, chain[1], chain[0]), join(max, chain[3], chain[2])), total);
    }
    return max ? fc_max_lanes(total) : fc_sum_lanes(total);
}

FC_INLINE void separate_windows(const bool max, const fc_pool_windows *w, const FC_REAL *line, FC_REAL *dst)
{
    enum { SHORT = 8 }; /* shorter windows are folded element by element */
    for (ptrdiff_t j = 0; j < w->count; j++) {
        const fc_pool_span span = w->columns[j];
        const ptrdiff_t length = span.end - span.begin;
        const FC_REAL folded = w->dilation == 1 && length >= SHORT
                                   ? fold_long(max, line + span.begin, length)
                                   : fold_apart(max, line, span.begin, span.end, w->dilation);
        dst[j] = max ? folded : folded / ((FC_REAL)w->row_divisor * ((const FC_REAL *)w->column_counts)[j]);
    }
}

/* `lanes` columns from x on, folded over the rows. */
FC_INLINE fc_vec fold_columns(const bool max, const row_list *rows, ptrdiff_t x, int lanes)
{
    fc_vec folded = fc_load_lanes(row_at(rows, 0) + x, lanes);
    for (ptrdiff_t r = 1; r < rows->count; r++)
        folded = join(max, fc_load_lanes(row_at(rows, r) + x, lanes), folded);
    return folded;
}

/* Whether windows are pairs of columns, all inside the source, of rows that need no partial sums. */
static bool are_pairs(const fc_pool_windows *w, ptrdiff_t row_count)
{
    return w->stride == 2 && w->kernel == 2 && w->dilation == 1 && w->pad == 0 && 2 * w->count <= w->width &&
           row_count > 0 && row_count <= PARTIAL;
}

/* Pairs go from the rows to the results without a line between. */
FC_INLINE void pool_pairs(const bool max, const fc_pool_windows *w, const row_list *rows, FC_REAL *dst)
{
    for (ptrdiff_t j = 0; j < w->count; j += FC_LANES) {
        j = whole_vector(j, w->count);
        const int lanes = fc_lanes_left(w->count, j), first = 2 * lanes < FC_LANES ? 2 * lanes : FC_LANES;
        const fc_vec a = fold_columns(max, rows, 2 * j, first);
        const fc_vec b =
            2 * lanes > FC_LANES ? fold_columns(max, rows, 2 * j + FC_LANES, 2 * lanes - FC_LANES) : fc_zero();
        fc_vec folded = join(max, fc_odd(a, b), fc_even(a, b));
        if (!max)
            folded /= (FC_REAL)w->row_divisor * fc_load_lanes((const FC_REAL *)w->column_counts + j, lanes);
        fc_store_lanes(dst + j, folded, lanes);
    }
}

/* The windows of stride 1 that lie inside the source: begin … end. */
static fc_pool_span inner_windows(const fc_pool_windows *w, ptrdiff_t row_count)
{
    enum { SHORT = 8 }; /* longer windows had better share their columns' sums */
    const ptrdiff_t last = w->width - w->kernel + w->pad + 1, end = last < w->count ? last : w->count;
    const bool serves = w->stride == 1 && w->dilation == 1 && w->kernel <= SHORT && row_count > 0 && row_count <= SHORT;
    return serves && end - w->pad >= FC_LANES ? (fc_pool_span){w->pad, end} : (fc_pool_span){0, 0};
}

/* Windows at a side, element by element. */
FC_INLINE void pool_side(const bool max, const fc_pool_windows *w, const row_list *rows, ptrdiff_t j, ptrdiff_t end,
                         FC_REAL *dst)
{
    for (; j < end; j++) {
        FC_REAL folded = nothing(max);
        for (ptrdiff_t x = w->columns[j].begin; x < w->columns[j].end; x++) {
            FC_REAL column = row_at(rows, 0)[x];
            for (ptrdiff_t r = 1; r < rows->count; r++)
                column = join_one(max, row_at(rows, r)[x], column);
            folded = x == w->columns[j].begin ? column : join_one(max, column, folded);
        }
        dst[j] = max ? folded : folded / ((FC_REAL)w->row_divisor * ((const FC_REAL *)w->column_counts)[j]);
    }
}

/* Short windows that overlap go from the rows to the results too: a line would be read before it has been stored. */
FC_INLINE void pool_inner(const bool max, const fc_pool_windows *w, const row_list *rows, fc_pool_span inner,
                          FC_REAL *dst)
{
    pool_side(max, w, rows, 0, inner.begin, dst);
    const ptrdiff_t count = inner.end - inner.begin;
    for (ptrdiff_t i = 0; i < count; i += FC_LANES) {
        i = whole_vector(i, count);
        const ptrdiff_t j = inner.begin + i;
        fc_vec folded = fold_columns(max, rows, i, FC_LANES);
        for (ptrdiff_t k = 1; k < w->kernel; k++)
            folded = join(max, fold_columns(max, rows, i + k, FC_LANES), folded);
        if (!max)
            folded /= (FC_REAL)w->row_divisor * fc_load((const FC_REAL *)w->column_counts + j);
        fc_store(dst + j, folded);
    }
    pool_side(max, w, rows, inner.end, w->count, dst);
}

/* One row of outputs whose windows are all alike. */
FC_INLINE void pool_uniform(const bool max, const fc_pool_windows *w, const row_list *rows, ptrdiff_t live,
                            FC_REAL *dst)
{
    FC_REAL *line = w->line;
    fold_rows(max, rows, live, line + w->pad);
    if (w->stride == 1)
        uniform_windows(max, w, 1, line, dst);
    else if (w->stride == 2)
        uniform_windows(max, w, 2, line, dst);
    else
        uniform_windows(max, w, w->stride, line, dst);
}

FC_INLINE void pool_plane(const bool max, const fc_pool_windows *w, const void *const *first, ptrdiff_t row_count,
                          FC_REAL *dst)
{
    const bool pairs = w->uniform && are_pairs(w, row_count);
    const fc_pool_span inner = w->uniform ? inner_windows(w, row_count) : (fc_pool_span){0, 0};
    const ptrdiff_t live = w->uniform && !pairs && inner.end == 0 ? frame_line(w, nothing(max), w->line) : 0;
    for (ptrdiff_t i = 0; i < w->repeat; i++, dst += w->count) {
        const row_list rows = {first, row_count, i * w->row_step}, two = {first, 2, i * w->row_step};
        const row_list three = {first, 3, i * w->row_step};
        if (pairs) {
            if (row_count == 2)
                pool_pairs(max, w, &two, dst);
            else
                pool_pairs(max, w, &rows, dst);
        } else if (inner.end > 0) {
            if (row_count == 3)
                pool_inner(max, w, &three, inner, dst);
            else
                pool_inner(max, w, &rows, inner, dst);
        } else if (w->uniform) {
            pool_uniform(max, w, &rows, live, dst);
        } else if (row_count == 1) {
            separate_windows(max, w, row_at(&rows, 0), dst);
        } else {
            fold_rows(max, &rows, w->width, w->line);
            separate_windows(max, w, w->line, dst);
        }
    }
}

/* ---- channels first: maxima and where they stood ----------------------------------------------------------- */

/* line[x] = the largest of the rows at x, at[x] = its position relative to the first row's. */
static void fold_positions(const void *const *rows, const ptrdiff_t *positions, ptrdiff_t row_count, ptrdiff_t width,
                           FC_REAL *line, FC_REAL *at)
{
    for (ptrdiff_t x = 0; x < width; x += FC_LANES) {
        const int lanes = fc_lanes_left(width, x);
        fc_vec best = row_count == 0 ? fc_splat(nothing(true)) : fc_load_lanes((const FC_REAL *)rows[0] + x, lanes);
        fc_mask where = row_count == 0 ? splat_position(NOWHERE) : fc_lane_numbers() + (fc_int)x;
        for (ptrdiff_t r = 1; r < row_count; r++) {
            const fc_vec v = fc_load_lanes((const FC_REAL *)rows[r] + x, lanes);
            const fc_mask wins = (v > best) | (v != v);
            best = fc_select(wins, v, best);
            where = ((fc_lane_numbers() + (fc_int)(positions[r] - positions[0] + x)) & wins) | (where & ~wins);
        }
        fc_store_lanes(line + x, best, lanes);
        fc_store_lanes(at + x, (fc_vec)where, lanes);
    }
}

/* Of two candidates the larger, then the earlier; of two NaN the later. */
FC_INLINE fc_mask beats(fc_vec v, fc_mask at, fc_vec best, fc_mask where)
{
    return (v > best) | ((v == best) & (at < where)) | ((v != v) & ((best == best) | (at > where)));
}

/* A vector of places takes one or two of their numbers in the result. */
typedef int64_t wide_positions __attribute__((vector_size(FC_VEC_BYTES)));
typedef fc_int some_positions __attribute__((vector_size(FC_VEC_BYTES * sizeof(fc_int) / sizeof(int64_t))));

FC_INLINE void store_positions(int64_t *indices, fc_mask where, ptrdiff_t origin, int lanes)
{
    enum { PARTS = sizeof(int64_t) / sizeof(fc_int) };
    some_positions part[PARTS];
    wide_positions made[PARTS];
    memcpy(part, &where, sizeof where);
    for (int i = 0; i < PARTS; i++) {
        const wide_positions lane = __builtin_convertvector(part[i], wide_positions), nowhere = lane == NOWHERE;
        made[i] = (((lane & ~nowhere) + origin) & ~nowhere) | nowhere; /* -1 is all ones */
    }
    if (lanes == FC_LANES)
        memcpy(indices, made, sizeof made);
    else
        memcpy(indices, made, (size_t)lanes * sizeof *indices);
}

static void max_plane_positions(const fc_pool_windows *w, const void *const *rows, const ptrdiff_t *positions,
                                ptrdiff_t row_count, FC_REAL *dst, int64_t *indices)
{
    if (!w->uniform || !positions_fit(w, positions, row_count)) {
        for (ptrdiff_t j = 0; j < w->count; j++)
            max_one(w, rows, positions, row_count, j, 1, 0, &dst[j], &indices[j]);
        return;
    }
    FC_REAL *line = w->line, *at = w->line_positions;
    const fc_mask nowhere = splat_position(NOWHERE);
    FC_REAL none;
    memcpy(&none, &nowhere, sizeof none);
    frame_line(w, none, at);
    const ptrdiff_t live = frame_line(w, nothing(true), line);
    fold_positions(rows, positions, row_count, live, line + w->pad, at + w->pad);
    const ptrdiff_t origin = row_count ? positions[0] : 0;
    for (ptrdiff_t j = 0; j < w->count; j += FC_LANES) {
        j = whole_vector(j, w->count);
        const int lanes = fc_lanes_left(w->count, j);
        fc_vec best = load_apart(line + j * w->stride, w->stride, lanes);
        fc_mask where = (fc_mask)load_apart(at + j * w->stride, w->stride, lanes);
        for (ptrdiff_t k = 1; k < w->kernel; k++) {
            const fc_vec v = load_apart(line + j * w->stride + k * w->dilation, w->stride, lanes);
            const fc_mask position = (fc_mask)load_apart(at + j * w->stride + k * w->dilation, w->stride, lanes);
            const fc_mask wins = beats(v, position, best, where);
            best = fc_select(wins, v, best);
            where = (position & wins) | (where & ~wins);
        }
        fc_store_lanes(dst + j, best, lanes);
        store_positions(indices + j, where, origin, lanes);
    }
}

/* Channels first: dst[j] = the largest of window j, and where it stood. */
static void max_plane(const fc_pool_windows *w, const void *const *rows, const ptrdiff_t *positions,
                      ptrdiff_t row_count, void *dst, int64_t *indices)
{
    if (indices)
        max_plane_positions(w, rows, positions, row_count, dst, indices);
    else
        pool_plane(true, w, rows, row_count, dst);
}

/* Channels first: dst[j] = sum of window j / (row_divisor * column_counts[j]). */
static void average_plane(const fc_pool_windows *w, const void *const *rows, const ptrdiff_t *positions,
                          ptrdiff_t row_count, void *dst, int64_t *indices)
{
    (void)positions;
    (void)indices;
    pool_plane(false, w, rows, row_count, dst);
}

/* ---- channels last ----------------------------------------------------------------------------------------- */

/* `vectors` vectors of channels from c on, of window j; the last has `lanes` lanes. */
FC_INLINE void pool_channels(const bool max, const int vectors, const fc_pool_windows *w, const void *const *rows,
                             ptrdiff_t row_count, ptrdiff_t j, ptrdiff_t c, int lanes, FC_REAL *dst)
{
    const fc_pool_span span = w->columns[j];
    fc_vec total[4], partial[4];
    for (int v = 0; v < vectors; v++)
        total[v] = partial[v] = fc_splat(nothing(max));
    int left = PARTIAL;
    for (ptrdiff_t r = 0; r < row_count; r++) {
        const FC_REAL *src = (const FC_REAL *)rows[r] + span.begin * w->src_step + c;
        for (ptrdiff_t x = span.begin; x < span.end; x += w->dilation, src += w->dilation * w->src_step) {
            for (int v = 0; v < vectors; v++)
                partial[v] = join(max, fc_load_lanes(src + v * FC_LANES, lanes), partial[v]);
            if (!max && --left == 0) {
                left = PARTIAL;
                for (int v = 0; v < vectors; v++) {
                    total[v] += partial[v];
                    partial[v] = fc_zero();
                }
            }
        }
    }
    for (int v = 0; v < vectors; v++) {
        fc_vec result = partial[v];
        if (!max)
            result = (total[v] + partial[v]) / ((FC_REAL)w->row_divisor * ((const FC_REAL *)w->column_counts)[j]);
        fc_store_lanes(dst + j * w->dst_step + c + v * FC_LANES, result, lanes);
    }
}

FC_INLINE void pool_pixels(const bool max, const fc_pool_windows *w, const void *const *rows, ptrdiff_t row_count,
                           FC_REAL *dst)
{
    for (ptrdiff_t j = 0; j < w->count; j++) {
        ptrdiff_t c = 0;
        for (; c + 4 * FC_LANES <= w->channels; c += 4 * FC_LANES)
            pool_channels(max, 4, w, rows, row_count, j, c, FC_LANES, dst);
        for (; c + FC_LANES <= w->channels; c += FC_LANES)
            pool_channels(max, 1, w, rows, row_count, j, c, FC_LANES, dst);
        if (c < w->channels)
            pool_channels(max, 1, w, rows, row_count, j, c, fc_lanes_left(w->channels, c), dst);
    }
}

/* `vectors` vectors of channels from c on, of window j, as pool_channels takes them. */
FC_INLINE void max_channels_positions(const int vectors, const fc_pool_windows *w, const void *const *rows,
                                      const ptrdiff_t *positions, ptrdiff_t row_count, ptrdiff_t j, ptrdiff_t c,
                                      int lanes, FC_REAL *dst, int64_t *indices)
{
    const fc_pool_span span = w->columns[j];
    const bool empty = row_count == 0 || span.begin == span.end;
    fc_vec best[4];
    fc_mask where[4];
    for (int v = 0; v < vectors; v++) { /* the first place: it does not beat itself, or as a NaN leaves itself there */
        best[v] = empty ? fc_splat(nothing(true))
                        : fc_load_lanes((const FC_REAL *)rows[0] + span.begin * w->src_step + c + v * FC_LANES, lanes);
        where[v] = splat_position(empty ? NOWHERE : span.begin);
    }
    for (ptrdiff_t r = 0; r < row_count; r++) {
        const FC_REAL *src = (const FC_REAL *)rows[r] + span.begin * w->src_step + c;
        for (ptrdiff_t x = span.begin; x < span.end; x += w->dilation, src += w->dilation * w->src_step) {
            const fc_mask here = splat_position(positions[r] - positions[0] + x);
            for (int v = 0; v < vectors; v++) {
                const fc_vec value = fc_load_lanes(src + v * FC_LANES, lanes);
                const fc_mask wins = (value > best[v]) | (value != value);
                best[v] = fc_select(wins, value, best[v]);
                where[v] = (here & wins) | (where[v] & ~wins);
            }
        }
    }
    for (int v = 0; v < vectors; v++) {
        const ptrdiff_t at = j * w->dst_step + c + v * FC_LANES;
        fc_store_lanes(dst + at, best[v], lanes);
        store_positions(indices + at, where[v], row_count ? positions[0] : 0, lanes);
    }
}

/* Channels last: dst[j][c] = the largest of window j, and where it stood. */
static void max_channel(const fc_pool_windows *w, const void *const *rows, const ptrdiff_t *positions,
                        ptrdiff_t row_count, void *dst, int64_t *indices)
{
    if (!indices) {
        pool_pixels(true, w, rows, row_count, dst);
        return;
    }
    FC_REAL *values = dst;
    if (!positions_fit(w, positions, row_count)) {
        for (ptrdiff_t j = 0; j < w->count; j++)
            for (ptrdiff_t c = 0, at = j * w->dst_step; c < w->channels; c++, at++)
                max_one(w, rows, positions, row_count, j, w->src_step, c, &values[at], &indices[at]);
        return;
    }
    for (ptrdiff_t j = 0; j < w->count; j++) {
        ptrdiff_t c = 0;
        for (; c + 4 * FC_LANES <= w->channels; c += 4 * FC_LANES)
            max_channels_positions(4, w, rows, positions, row_count, j, c, FC_LANES, values, indices);
        for (; c < w->channels; c += FC_LANES)
            max_channels_positions(1, w, rows, positions, row_count, j, c, fc_lanes_left(w->channels, c), values,
                                   indices);
    }
}

/* Channels last: dst[j][c] = sum of window j / (row_divisor * column_counts[j]). */
static void average_channel(const fc_pool_windows *w, const void *const *rows, const ptrdiff_t *positions,
                            ptrdiff_t row_count, void *dst, int64_t *indices)
{
    (void)positions;
    (void)indices;
    pool_pixels(false, w, rows, row_count, dst);
}

fc_pool_spread_fn FC_NAME(spread_plane), FC_NAME(spread_channel);
fc_pool_put_fn FC_NAME(put_channel);
fc_pool_inside_fn FC_NAME(places_inside);
fc_pool_scatter_fn FC_NAME(scatter);

extern const struct fc_pool_kernels FC_NAME(pool);

const struct fc_pool_kernels FC_NAME(pool) = {
    .max_plane = max_plane,
    .max_channel = max_channel,
    .average_plane = average_plane,
    .average_channel = average_channel,
    .spread_plane = FC_NAME(spread_plane),
    .spread_channel = FC_NAME(spread_channel),
    .put_channel = FC_NAME(put_channel),
    .places_inside = FC_NAME(places_inside),
    .scatter = FC_NAME(scatter),
};
