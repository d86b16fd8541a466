/* Filters of images, line by line: samples become elements, are filtered and become samples again while they are in
 * cache, so that memory sees the image and the result and nothing between them.
 *
 * A unit of work is a strip of columns of a band of rows of one image. The rows of input under a row of windows wait in
 * a ring, as elements, each with what windows see beyond its ends; a row of results is made by one pass over them, and
 * by a second along itself.
 *
 * Sums of whole numbers are exact, so that those of a column of ones move down by one row more and one less.
 *
 *   ring [kernel rows]   | border | strip | border |      elements
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
enum { BAND = 128, RING_BYTES = 163840, NARROW = 64, MOST_IN_PLACE = 4, LEAST_MOVING = 4, STEPS = 3 };

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
    ptrdiff_t slots;                          /* lines of the ring */
    bool moving;                              /* the sums of the first pass move down */
    ptrdiff_t group;                          /* elements that kernels read and write together */
} lines_job;

typedef struct {
    char *ring, *middle, *last, *sums, *beyond;
    void *steps; /* weights of a step of moving sums */
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
    job->slots = desc->first.rows + job->moving;
    job->strip = strip_of(desc, job->halo, job->group);
    job->bands = fc_divide_up(desc->height, BAND);
    job->strips = fc_divide_up(desc->width, job->strip);
    const ptrdiff_t taps = taps_of(&desc->first) + desc->second.columns, most = PTRDIFF_MAX / 64;
    ptrdiff_t line, lines;
    if (!fc_multiply(job->strip + job->halo, desc->trail, &line) || line > most || taps > most)
        return false;
    /* an odd number of cache lines, so that the ring's lines do not meet in one set of L1 */
    job->line_bytes = ((((size_t)(line + job->group) * job->element + 63) / 64) | 1) * 64;
    if (!fc_multiply(job->slots + 4, (ptrdiff_t)job->line_bytes, &lines))
        return false;
    size_t bytes = (size_t)taps * (sizeof(void *) + sizeof(double)) + (size_t)job->slots * sizeof(void *);
    bytes += STEPS * sizeof(double);
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
    s.middle = s.ring + (size_t)job->slots * job->line_bytes;
    s.last = s.middle + job->line_bytes;
    s.sums = s.last + job->line_bytes;
    s.beyond = s.sums + job->line_bytes;
    s.taps = (const void **)(s.beyond + job->line_bytes);
    const ptrdiff_t taps[2] = {taps_of(&desc->first), desc->second.columns};
    s.rows = (const char **)(s.taps + taps[0] + taps[1]);
    s.weights[0] = s.rows + job->slots;
    s.weights[1] = (double *)s.weights[0] + taps[0];
    s.steps = (double *)s.weights[1] + taps[1];
    s.segments = (segment *)((double *)s.steps + STEPS);
    for (int i = 0; i < STEPS; i++)
        put(desc->dtype, s.steps, i, i < STEPS - 1 ? 1 : -1);
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

static void load_row(const lines_job *job, const strip_space *s, ptrdiff_t image, ptrdiff_t position)
{
    const fc_lines_desc *desc = job->desc;
    const ptrdiff_t row = desc->rows ? desc->rows[position] : position;
    const ptrdiff_t place = position % job->slots;
    char *line = s->ring + (size_t)place * job->line_bytes;
    const size_t trail = (size_t)desc->trail, sample = sample_bytes(desc->src_type);
    const ptrdiff_t rows_before = image * desc->height + fc_max_extent(row, 0);
    const char *src = job->src + (size_t)rows_before * (size_t)desc->width * trail * sample;
    s->rows[place] = line;
    if (lies_in_place(job, s, src, row)) {
        s->rows[place] = src + (size_t)s->segments[0].column * trail * sample;
        return;
    }
    for (ptrdiff_t i = 0; i < s->segment_count; i++) {
        const segment *part = &s->segments[i];
        char *const dst = line + (size_t)part->at * trail * job->element;
        if (row < 0 || part->column < 0)
            memcpy(dst, s->beyond, (size_t)part->count * trail * job->element);
        else
            job->kernels->in(desc->src_type, part->count * desc->trail, src + (size_t)part->column * trail * sample,
                             dst);
    }
}

static void run_pass(const lines_job *job, const fc_lines *lines, ptrdiff_t columns, void *dst)
{
    const fc_lines_kind kind = job->desc->kind;
    if (kind == FC_LINES_SUM)
        job->kernels->sum(lines, columns * job->desc->trail, dst);
    else
        job->kernels->extremum(lines, kind == FC_LINES_LARGEST, columns * job->desc->trail, dst);
}

/* What the first pass makes of row `row`, for `columns` columns. */
static void run_first(const lines_job *job, const strip_space *s, ptrdiff_t row, ptrdiff_t columns, void *dst)
{
    const fc_lines_pass *pass = &job->desc->first;
    ptrdiff_t count = 0;
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
        run_pass(job, &(fc_lines){s->taps, count, s->weights[0], pass->fold, pass->divisor}, columns, dst);
        return;
    }
    const void *const step[STEPS] = {s->sums, s->taps[count - 1], s->rows[(row + job->slots - 1) % job->slots]};
    const void *const sums[1] = {s->sums};
    if (row % BAND == 0) /* the band's first */
        run_pass(job, &(fc_lines){s->taps, count, s->weights[0], 0, 1}, columns, s->sums);
    else
        run_pass(job, &(fc_lines){step, STEPS, s->steps, 0, 1}, columns, s->sums);
    run_pass(job, &(fc_lines){sums, 1, s->steps, 0, pass->divisor}, columns, dst);
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
    for (ptrdiff_t x = 0; x < pass->columns; x++)
        s->taps[x] = s->middle + (size_t)x * column;
    run_pass(job, &(fc_lines){s->taps, pass->columns, s->weights[1], pass->fold, pass->divisor}, columns, dst);
}

static void run_unit(const lines_job *job, strip_space *s, ptrdiff_t unit)
{
    const fc_lines_desc *desc = job->desc;
    const ptrdiff_t image = unit / job->strips / job->bands, left = unit % job->strips * job->strip;
    const ptrdiff_t top = unit / job->strips % job->bands * BAND, bottom = fc_min(top + BAND, desc->height);
    const ptrdiff_t columns = fc_min(job->strip, desc->width - left), halo = desc->first.rows - 1;
    const size_t sample = sample_bytes(desc->dst_type);
    find_segments(job, s, left, columns + job->halo);
    for (ptrdiff_t y = top; y < top + halo; y++)
        load_row(job, s, image, y);
    const bool direct = is_element(desc, desc->dst_type) && columns * desc->trail % job->group == 0;
    for (ptrdiff_t y = top; y < bottom; y++) {
        char *dst = job->dst + (size_t)(((image * desc->height + y) * desc->width + left) * desc->trail) * sample;
        char *const last = direct ? dst : s->last;
        load_row(job, s, image, y + halo);
        if (desc->second.columns > 0) {
            run_first(job, s, y, columns + desc->second.columns - 1, s->middle);
            run_second(job, s, columns, last);
        } else {
            run_first(job, s, y, columns, last);
        }
        if (!direct)
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
