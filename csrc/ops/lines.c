/* Filters of images, line by line: samples become elements, are filtered and become samples again while they are in
 * cache, so that memory sees the image and the result and nothing between them.
 *
 * A unit of work is a strip of columns of a band of rows of one image. The rows of input under a row of windows wait in
 * a ring, as elements, each with what windows see beyond its ends; a row of results is made by one pass over them, and
 * by a second along itself.
 *
 * Sums of whole numbers are exact, so that those of a column of ones move down by one row more and one less. Sums along
 * a line or a column by equal weights, and extrema, are those of `run` places first, and then of every run-th of those.
 *
 *   ring [kernel rows]   | border | strip | border |      elements
 *   partial [rows - run + 1] the same    what runs of rows come to
 *   middle                 | border | strip | border |    what the first pass of two makes, cut to whole numbers
 *   last                            | strip |
 */
#include "dispatch/line_kernels.h"
#include "geometry.h"
#include "parallel.h"

#include <stdint.h>
#include <string.h>

/* A band of rows begins with kernel rows - 1 that the band before it has read, too. A ring keeps to a third of L2: in
 * strips that fit L1 a vertical filter of 15 taps took twice as long (1080x1920, float: 4.5 ms, now 2.4), since rows of
 * a narrow strip are too short for the processor to fetch ahead. A few rows of elements are read where they lie; more
 * of them might meet in one set of L1. */
enum { BAND = 128, RING_BYTES = 163840, NARROW = 64, MOST_IN_PLACE = 4, LEAST_MOVING = 4, STEPS = 3, LEAST_SPLIT = 8 };

/* A run of columns that lie side by side in the image, or beyond it. */
typedef struct {
    ptrdiff_t at, column, count; /* in the strip with its border; in the image, or -1; columns */
} segment;

typedef struct {
    const fc_lines_desc *desc;
    const struct fc_line_kernels *kernels;
    const char *src, *src_end;
    char *dst;
    char *workspace;
    size_t thread_bytes, element, line_bytes; /* of a thread's workspace, an element, a line */
    ptrdiff_t strip, halo, bands, strips;     /* columns; strip + halo with borders */
    ptrdiff_t slots, partial;                 /* lines of the ring, and of one of runs of rows */
    bool moving;                              /* the sums of the first pass move down */
    ptrdiff_t runs[2];                        /* of places that a pass takes together first, or 0 */
    ptrdiff_t group;                          /* elements that kernels read and write together */
} lines_job;

typedef struct {
    char *ring, *partial, *middle, *last, *sums, *beyond;
    void *steps; /* weights of a step of moving sums, and ones */
    void *weights[2];
    const void **taps;
    const char **rows; /* where the ring's lines are: in it, or in the image */
    segment *segments;
    ptrdiff_t segment_count;
} strip_space;

static size_t sample_bytes(fc_sample type)
{
    return type <= FC_SAMPLE_I8 ? 1 : type <= FC_SAMPLE_I16 ? 2 : type <= FC_SAMPLE_F32 ? 4 : 8;
}

static bool is_element(const fc_lines_desc *desc, fc_sample type)
{
    return type == (desc->dtype == FC_F32 ? FC_SAMPLE_F32 : FC_SAMPLE_F64);
}

static void put(fc_dtype dtype, void *p, ptrdiff_t i, double value)
{
    if (dtype == FC_F32)
        ((float *)p)[i] = (float)value;
    else
        ((double *)p)[i] = value;
}

static ptrdiff_t taps_of(const fc_lines_pass *pass) { return pass->rows * pass->columns; }

/* Zeros of a kernel over two axes are left out, as in scipy. */
static bool counts(const fc_lines_pass *pass, ptrdiff_t tap)
{
    return pass->rows == 1 || pass->columns == 1 || pass->weights == NULL || pass->weights[tap] != 0;
}

/* Whether the first pass adds whole numbers down a column. */
static bool adds_down(const fc_lines_desc *desc)
{
    const fc_lines_pass *pass = &desc->first;
    if (desc->kind != FC_LINES_SUM || desc->src_type > FC_SAMPLE_I32 || pass->columns != 1 || pass->rows < LEAST_MOVING)
        return false;
    for (ptrdiff_t i = 0; i < pass->rows; i++)
        if (pass->weights[i] != 1)
            return false;
    return true;
}

/* Whether the order of sums does not matter, nor whether weights come before them or after. */
static bool splits(const fc_lines_desc *desc, const fc_lines_pass *pass)
{
    const bool whole = desc->src_type <= FC_SAMPLE_I32, kept = desc->dst_type >= FC_SAMPLE_F32;
    for (ptrdiff_t i = 0; i < taps_of(pass); i++)
        if (pass->weights[i] != pass->weights[0])
            return false;
    return kept || (whole && pass->weights[0] == 1);
}

/* The places of a run, so that those of a window and its runs are fewest; 0 where a window is taken as a whole. */
static ptrdiff_t run_of(const fc_lines_desc *desc, const fc_lines_pass *pass)
{
    const ptrdiff_t taps = taps_of(pass);
    if (fc_min(pass->rows, pass->columns) != 1 || taps < LEAST_SPLIT)
        return 0;
    if (desc->kind == FC_LINES_SUM && !splits(desc, pass))
        return 0;
    ptrdiff_t run = 1;
    while ((run + 1) * (run + 1) <= taps)
        run++;
    for (ptrdiff_t shorter = run; shorter > 1 && taps % run != 0; shorter--)
        if (taps % shorter == 0 && shorter * 2 > run)
            run = shorter;
    return run;
}

/* Columns of a strip: as many as the ring's share of L2 holds, whole groups of vectors where that cuts the image. */
static ptrdiff_t strip_of(const fc_lines_desc *desc, ptrdiff_t halo, ptrdiff_t group)
{
    const ptrdiff_t element = desc->dtype == FC_F32 ? 4 : 8, trail = fc_max_extent(desc->trail, 1);
    const ptrdiff_t fit = RING_BYTES / element / (desc->first.rows + 2) / trail - halo;
    ptrdiff_t strip = fc_max_extent(fc_max_extent(fit, fc_saturate(4, halo)), fc_divide_up(NARROW, trail));
    if (trail == 1 && strip < PTRDIFF_MAX - group)
        strip = fc_divide_up(strip, group) * group;
    return fc_max_extent(fc_min(strip, desc->width), 1);
}

/* Fills in the sizes; false when they overflow. */
static bool lay_out(const fc_lines_desc *desc, lines_job *job)
{
    job->desc = desc;
    job->kernels = fc_kernels_for(desc->isa, desc->dtype)->lines;
    job->element = desc->dtype == FC_F32 ? 4 : 8;
    job->halo = desc->first.columns - 1 + fc_max_extent(desc->second.columns - 1, 0);
    job->group = FC_LINES_SLACK * fc_kernels_for(desc->isa, desc->dtype)->lanes;
    job->moving = adds_down(desc);
    job->runs[0] = job->moving ? 0 : run_of(desc, &desc->first);
    job->runs[1] = run_of(desc, &desc->second);
    const bool down = desc->first.rows > 1 && job->runs[0] > 0;
    job->slots = down ? job->runs[0] : desc->first.rows + job->moving;
    job->partial = down ? desc->first.rows - job->runs[0] + 1 : 0;
    job->strip = strip_of(desc, job->halo, job->group);
    job->bands = fc_divide_up(desc->height, BAND);
    job->strips = fc_divide_up(desc->width, job->strip);
    const ptrdiff_t taps = taps_of(&desc->first) + desc->second.columns, most = PTRDIFF_MAX / 64;
    ptrdiff_t line, lines;
    if (!fc_multiply(job->strip + job->halo, desc->trail, &line) || line > most || taps > most)
        return false;
    /* an odd number of cache lines, so that the ring's lines do not meet in one set of L1 */
    job->line_bytes = ((((size_t)(line + job->group) * job->element + 63) / 64) | 1) * 64;
    if (!fc_multiply(job->slots + job->partial + 4, (ptrdiff_t)job->line_bytes, &lines))
        return false;
    size_t bytes = (size_t)taps * (sizeof(void *) + sizeof(double)) + (size_t)job->slots * sizeof(void *);
    bytes += (size_t)(STEPS + job->runs[0] + job->runs[1]) * sizeof(double);
    bytes += (size_t)(job->strip + job->halo) * sizeof(segment);
    if (lines > most)
        return false;
    job->thread_bytes = ((size_t)lines + bytes + 127) / 128 * 128;
    return true;
}

size_t fc_lines_workspace(const fc_lines_desc *desc, int threads)
{
    lines_job job;
    ptrdiff_t bytes;
    return lay_out(desc, &job) && fc_multiply((ptrdiff_t)job.thread_bytes, threads, &bytes) ? (size_t)bytes : SIZE_MAX;
}

static strip_space space_of(const lines_job *job, int thread)
{
    const fc_lines_desc *desc = job->desc;
    char *at = job->workspace + (size_t)thread * job->thread_bytes;
    strip_space s = {.ring = at};
    s.partial = s.ring + (size_t)job->slots * job->line_bytes;
    s.middle = s.partial + (size_t)job->partial * job->line_bytes;
    s.last = s.middle + job->line_bytes;
    s.sums = s.last + job->line_bytes;
    s.beyond = s.sums + job->line_bytes;
    s.taps = (const void **)(s.beyond + job->line_bytes);
    const ptrdiff_t taps[2] = {taps_of(&desc->first), desc->second.columns};
    s.rows = (const char **)(s.taps + taps[0] + taps[1]);
    s.weights[0] = s.rows + job->slots;
    s.weights[1] = (double *)s.weights[0] + taps[0];
    s.steps = (double *)s.weights[1] + taps[1];
    const ptrdiff_t ones = STEPS + job->runs[0] + job->runs[1];
    s.segments = (segment *)((double *)s.steps + ones);
    for (ptrdiff_t i = 0; i < ones; i++)
        put(desc->dtype, s.steps, i, i > 0 ? 1 : -1);
    memset(s.ring, 0, (size_t)(s.beyond - s.ring)); /* what kernels read past lines is a number */
    for (ptrdiff_t i = 0; i < (job->strip + job->halo) * desc->trail; i++)
        put(desc->dtype, s.beyond, i, desc->beyond);
    if (desc->kind == FC_LINES_SUM) {
        ptrdiff_t count = 0;
        for (ptrdiff_t t = 0; t < taps[0]; t++)
            if (counts(&desc->first, t))
                put(desc->dtype, s.weights[0], count++, desc->first.weights[t]);
        for (ptrdiff_t t = 0; t < taps[1]; t++)
            put(desc->dtype, s.weights[1], t, desc->second.weights[t]);
    }
    return s;
}

/* The runs of columns of the strip that begins at `first`, with its border. */
static void find_segments(const lines_job *job, strip_space *s, ptrdiff_t first, ptrdiff_t columns)
{
    const ptrdiff_t *places = job->desc->columns;
    s->segment_count = 0;
    for (ptrdiff_t i = 0; i < columns; i++) {
        const ptrdiff_t column = places ? places[first + i] : first + i;
        segment *last = s->segment_count > 0 ? &s->segments[s->segment_count - 1] : NULL;
        const bool joins =
            last && (column < 0 ? last->column < 0 : last->column >= 0 && last->column + last->count == column);
        if (joins)
            last->count++;
        else
            s->segments[s->segment_count++] = (segment){i, column, 1};
    }
}

/* Whether a row is read in the image itself, all of it and what kernels read past it. */
static bool lies_in_place(const lines_job *job, const strip_space *s, const char *src, ptrdiff_t row)
{
    const fc_lines_desc *desc = job->desc;
    if (row < 0 || s->segment_count != 1 || s->segments[0].column < 0)
        return false;
    if (desc->first.rows > MOST_IN_PLACE || !is_element(desc, desc->src_type))
        return false;
    const ptrdiff_t elements = (s->segments[0].column + s->segments[0].count) * desc->trail + job->group;
    return elements <= (job->src_end - src) / (ptrdiff_t)job->element;
}

static const char *row_at(const lines_job *job, ptrdiff_t image, ptrdiff_t row)
{
    const fc_lines_desc *desc = job->desc;
    const size_t pixel = (size_t)desc->trail * sample_bytes(desc->src_type);
    return job->src + (size_t)(image * desc->height + fc_max_extent(row, 0)) * (size_t)desc->width * pixel;
}

/* Columns [begin, end) of a strip with its border, as elements. */
static void load_columns(const lines_job *job, const strip_space *s, const char *src, bool beyond, ptrdiff_t begin,
                         ptrdiff_t end, char *line)
{
    const fc_lines_desc *desc = job->desc;
    const size_t trail = (size_t)desc->trail, sample = sample_bytes(desc->src_type);
    for (ptrdiff_t i = 0; i < s->segment_count; i++) {
        const segment *part = &s->segments[i];
        const ptrdiff_t first = fc_max_extent(part->at, begin), count = fc_min(part->at + part->count, end) - first;
        char *const dst = line + (size_t)first * trail * job->element;
        if (count <= 0)
            continue;
        if (beyond || part->column < 0)
            memcpy(dst, s->beyond, (size_t)count * trail * job->element);
        else
            job->kernels->in(desc->src_type, count * desc->trail,
                             src + (size_t)(part->column + first - part->at) * trail * sample, dst);
    }
}

static void load_row(const lines_job *job, const strip_space *s, ptrdiff_t image, ptrdiff_t position)
{
    const fc_lines_desc *desc = job->desc;
    const ptrdiff_t row = desc->rows ? desc->rows[position] : position;
    const ptrdiff_t place = position % job->slots;
    char *line = s->ring + (size_t)place * job->line_bytes;
    const char *src = row_at(job, image, row);
    s->rows[place] = line;
    if (lies_in_place(job, s, src, row))
        s->rows[place] = src + (size_t)(s->segments[0].column * desc->trail) * job->element;
    else
        load_columns(job, s, src, row < 0, 0, PTRDIFF_MAX, line);
}

static void run_sum(const lines_job *job, const fc_lines *lines, ptrdiff_t columns, void *dst)
{
    job->kernels->sum(lines, columns * job->desc->trail, dst);
}

/* What runs come to, or windows of which the taps are runs: an extremum, or a sum by weights. */
static void run_taps(const lines_job *job, const strip_space *s, ptrdiff_t taps, const void *weights, double divisor,
                     ptrdiff_t columns, void *dst)
{
    const fc_lines lines = {s->taps, taps, weights, 0, divisor};
    const fc_lines_kind kind = job->desc->kind;
    if (kind == FC_LINES_SUM)
        run_sum(job, &lines, columns, dst);
    else
        job->kernels->extremum(&lines, kind == FC_LINES_LARGEST, columns * job->desc->trail, dst);
}

static void run_pass(const lines_job *job, const fc_lines_pass *pass, const strip_space *s, ptrdiff_t taps,
                     const void *weights, ptrdiff_t columns, void *dst)
{
    const fc_lines lines = {s->taps, taps, weights, pass->fold, pass->divisor};
    const ptrdiff_t count = columns * job->desc->trail;
    if (job->desc->kind != FC_LINES_SUM) {
        run_taps(job, s, taps, NULL, 1, columns, dst);
        return;
    }
    const bool settles = pass->bound > 0 && job->kernels->settle != NULL;
    if (!settles || pass->bound < 1)
        job->kernels->sum(&lines, count, dst);
    if (settles)
        job->kernels->settle(&lines, pass->weights, pass->bound, count, dst);
}

/* Pass 0 or 1 along `line`, where it splits: of runs, then of those and of the places left. */
static void run_along(const lines_job *job, const strip_space *s, int number, const char *line, ptrdiff_t columns,
                      void *dst)
{
    const fc_lines_pass *pass = number == 0 ? &job->desc->first : &job->desc->second;
    const ptrdiff_t run = job->runs[number], runs = run > 0 ? pass->columns / run : 0;
    const size_t column = (size_t)job->desc->trail * job->element;
    const void *const ones = (const char *)s->steps + job->element;
    ptrdiff_t count = 0;
    for (ptrdiff_t x = 0; x < run; x++)
        s->taps[x] = line + (size_t)x * column;
    if (run > 0)
        run_taps(job, s, run, ones, 1, columns + (runs - 1) * run, s->sums);
    for (; count < runs; count++)
        s->taps[count] = s->sums + (size_t)(count * run) * column;
    for (ptrdiff_t x = runs * run; x < pass->columns; x++)
        s->taps[count++] = line + (size_t)x * column;
    if (run > 0)
        run_taps(job, s, count, s->weights[number], pass->divisor, columns, dst);
    else
        run_pass(job, pass, s, count, s->weights[number], columns, dst);
}

/* The run of rows that ends with `row`. */
static void add_run(const lines_job *job, const strip_space *s, ptrdiff_t row, ptrdiff_t columns)
{
    const ptrdiff_t run = job->runs[0], first = row - run + 1;
    for (ptrdiff_t y = 0; y < run; y++)
        s->taps[y] = s->rows[(first + y) % job->slots];
    run_taps(job, s, run, (const char *)s->steps + job->element, 1, columns,
             s->partial + (size_t)(first % job->partial) * job->line_bytes);
}

/* What the first pass makes of row `row`, for `columns` columns. */
static void run_first(const lines_job *job, const strip_space *s, ptrdiff_t row, ptrdiff_t columns, void *dst)
{
    const fc_lines_pass *pass = &job->desc->first;
    ptrdiff_t count = 0;
    if (pass->rows == 1) {
        run_along(job, s, 0, s->rows[row % job->slots], columns, dst);
        return;
    }
    if (job->partial > 0) {
        ptrdiff_t y = 0;
        for (; y + job->runs[0] <= pass->rows; y += job->runs[0])
            s->taps[count++] = s->partial + (size_t)((row + y) % job->partial) * job->line_bytes;
        for (; y < pass->rows; y++)
            s->taps[count++] = s->rows[(row + y) % job->slots];
        run_taps(job, s, count, s->weights[0], pass->divisor, columns, dst);
        return;
    }
    for (ptrdiff_t y = 0; y < pass->rows; y++) {
        const char *line = s->rows[(row + y) % job->slots];
        for (ptrdiff_t x = 0; x < pass->columns; x++)
            if (counts(pass, y * pass->columns + x))
                s->taps[count++] = line + (size_t)(x * job->desc->trail) * job->element;
    }
    if (count == 0) { /* a kernel of zeros */
        memset(dst, 0, (size_t)(columns * job->desc->trail) * job->element);
        return;
    }
    if (!job->moving) {
        run_pass(job, pass, s, count, s->weights[0], columns, dst);
        return;
    }
    const void *const step[STEPS] = {s->rows[(row + job->slots - 1) % job->slots], s->sums, s->taps[count - 1]};
    const void *const sums[1] = {s->sums};
    const void *const one = (const char *)s->steps + job->element;
    if (row % BAND == 0) /* the band's first */
        run_sum(job, &(fc_lines){s->taps, count, s->weights[0], 0, 1}, columns, s->sums);
    else
        run_sum(job, &(fc_lines){step, STEPS, s->steps, 0, 1}, columns, s->sums);
    run_sum(job, &(fc_lines){sums, 1, one, 0, pass->divisor}, columns, dst);
}

static void run_second(const lines_job *job, const strip_space *s, ptrdiff_t columns, void *dst)
{
    const fc_lines_desc *desc = job->desc;
    const fc_lines_pass *pass = &desc->second;
    job->kernels->cut(desc->dst_type, (columns + pass->columns - 1) * desc->trail, s->middle);
    const size_t column = (size_t)desc->trail * job->element;
    for (ptrdiff_t i = 0; i < s->segment_count; i++)
        if (s->segments[i].column < 0)
            memcpy(s->middle + (size_t)s->segments[i].at * column, s->beyond, (size_t)s->segments[i].count * column);
    run_along(job, s, 1, s->middle, columns, dst);
}

/* Windows of one row over elements: those inside the image are read where they lie, the others from a copy of little
 * more than the border. */
static void run_row(const lines_job *job, const strip_space *s, ptrdiff_t image, ptrdiff_t row, ptrdiff_t columns,
                    char *dst)
{
    const fc_lines_desc *desc = job->desc;
    const segment *longest = s->segments;
    for (ptrdiff_t i = 1; i < s->segment_count; i++)
        if (s->segments[i].column >= 0 && s->segments[i].count > longest->count)
            longest = &s->segments[i];
    const size_t column = (size_t)desc->trail * job->element;
    const ptrdiff_t halo = desc->first.columns - 1, group = fc_divide_up(job->group, desc->trail);
    const ptrdiff_t inside = (longest->count - halo - group) / job->group * job->group;
    const ptrdiff_t begin = inside > 0 && longest->column >= 0 ? longest->at : columns;
    const ptrdiff_t end = begin + (begin < columns ? inside : 0);
    const char *src = row_at(job, image, row);
    load_columns(job, s, src, false, 0, begin + halo + group, s->ring);
    run_along(job, s, 0, s->ring, begin, s->last);
    memcpy(dst, s->last, (size_t)begin * column);
    if (begin == columns)
        return;
    run_along(job, s, 0, src + (size_t)longest->column * column, inside, dst + (size_t)begin * column);
    load_columns(job, s, src, false, end, PTRDIFF_MAX, s->ring);
    run_along(job, s, 0, s->ring + (size_t)end * column, columns - end, s->last);
    memcpy(dst + (size_t)end * column, s->last, (size_t)(columns - end) * column);
}

static void run_unit(const lines_job *job, strip_space *s, ptrdiff_t unit)
{
    const fc_lines_desc *desc = job->desc;
    const ptrdiff_t image = unit / job->strips / job->bands, left = unit % job->strips * job->strip;
    const ptrdiff_t top = unit / job->strips % job->bands * BAND, bottom = fc_min(top + BAND, desc->height);
    const ptrdiff_t columns = fc_min(job->strip, desc->width - left), halo = desc->first.rows - 1;
    const size_t sample = sample_bytes(desc->dst_type);
    find_segments(job, s, left, columns + job->halo);
    const bool plain = is_element(desc, desc->src_type) && is_element(desc, desc->dst_type);
    const bool rows =
        plain && desc->first.rows == 1 && desc->rows == NULL && desc->second.columns == 0 && desc->finish == 0;
    const ptrdiff_t wide = columns + fc_max_extent(desc->second.columns - 1, 0); /* of what the first pass makes */
    for (ptrdiff_t y = top; y < top + halo; y++) {
        load_row(job, s, image, y);
        if (job->partial > 0 && y + 1 - top >= job->runs[0])
            add_run(job, s, y, wide);
    }
    const bool direct = is_element(desc, desc->dst_type) && columns * desc->trail % job->group == 0 && !desc->finish;
    for (ptrdiff_t y = top; y < bottom; y++) {
        char *dst = job->dst + (size_t)(((image * desc->height + y) * desc->width + left) * desc->trail) * sample;
        char *const last = direct ? dst : s->last;
        if (rows) {
            run_row(job, s, image, y, columns, dst);
            continue;
        }
        load_row(job, s, image, y + halo);
        if (job->partial > 0)
            add_run(job, s, y + halo, wide);
        if (desc->second.columns > 0) {
            run_first(job, s, y, wide, s->middle);
            run_second(job, s, columns, last);
        } else {
            run_first(job, s, y, wide, last);
        }
        if (desc->finish)
            job->kernels->finish(desc->finish, columns * desc->trail, last, dst);
        else if (!direct)
            job->kernels->out(desc->dst_type, columns * desc->trail, last, dst);
    }
}

static void lines_body(const void *context, fc_part part)
{
    const lines_job *job = context;
    ptrdiff_t begin, end;
    fc_share_of(job->desc->n * job->bands * job->strips, part, &begin, &end);
    if (begin >= end)
        return;
    strip_space s = space_of(job, part.thread);
    for (ptrdiff_t unit = begin; unit < end; unit++)
        run_unit(job, &s, unit);
}

fc_status fc_lines_run(const fc_lines_desc *desc, const void *src, void *dst, void *workspace, int threads)
{
    lines_job job;
    if (desc->n <= 0 || desc->height <= 0 || desc->width <= 0 || desc->trail <= 0)
        return FC_OK;
    if (!lay_out(desc, &job))
        return FC_OVERFLOW;
    job.src = src;
    job.src_end = job.src + (size_t)(desc->n * desc->height * desc->width * desc->trail) * sample_bytes(desc->src_type);
    job.dst = dst;
    job.workspace = workspace;
    const double taps = (double)(taps_of(&desc->first) + desc->second.columns) + 4;
    const double elements = (double)desc->n * (double)desc->height * (double)desc->width * (double)desc->trail;
    return fc_parallel(fc_crew_for(taps * elements, threads), lines_body, &job);
}
