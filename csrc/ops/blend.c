/* Weighted sums of neighbouring places along up to three axes: interpolation, and its gradient. A unit of work is a row
 * of the result: rows of the source are added up, and then places of that row; or the other way round, where places are
 * so few that most of the rows would be added up for nothing. */
#include "dispatch/line_kernels.h"
#include "geometry.h"
#include "parallel.h"

#include <stdint.h>
#include <string.h>

enum { FEW = 8, COST = 4 };

typedef struct {
    const fc_blend_desc *desc;
    const struct fc_line_kernels *kernels;
    const char *src;
    char *dst, *workspace;
    size_t element, line_bytes, thread_bytes;
    ptrdiff_t most; /* rows that a row of the result is made of */
    bool across;    /* places along a row first */
    ptrdiff_t taps; /* of each place along a row, or 0 where they differ */
} blend_job;

typedef struct {
    const void **rows;
    void *weights;
    char *lines;
} blend_space;

static ptrdiff_t taps_at(const fc_blend_desc *desc, int axis, ptrdiff_t i)
{
    return desc->begin[axis] ? desc->begin[axis][i + 1] - desc->begin[axis][i] : 1;
}

static ptrdiff_t most_taps(const fc_blend_desc *desc, int axis)
{
    ptrdiff_t most = 1;
    for (ptrdiff_t i = 0; i < desc->dst[axis]; i++)
        most = fc_max_extent(most, taps_at(desc, axis, i));
    return most;
}

/* Fills in the sizes; false when they overflow. */
static bool lay_out(const fc_blend_desc *desc, blend_job *job)
{
    const ptrdiff_t last = desc->begin[2] ? desc->begin[2][desc->dst[2]] : desc->src[2];
    ptrdiff_t line, lines, bytes;
    job->desc = desc;
    job->kernels = fc_kernels_for(desc->isa, desc->dtype)->lines;
    job->element = desc->dtype == FC_F32 ? 4 : 8;
    job->taps = taps_at(desc, 2, 0);
    for (ptrdiff_t i = 1; i < desc->dst[2]; i++)
        if (taps_at(desc, 2, i) != job->taps)
            job->taps = 0;
    job->across = desc->begin[2] && fc_saturate(last, desc->trail > 1 ? 1 : FEW) < desc->src[2];
    if (!fc_multiply(most_taps(desc, 0), most_taps(desc, 1), &job->most))
        return false;
    if (!fc_multiply(job->across ? desc->dst[2] : desc->src[2], desc->trail, &line) || line > PTRDIFF_MAX / 64)
        return false;
    job->line_bytes = ((size_t)line * job->element + 63) / 64 * 64;
    if (!fc_multiply(job->across ? job->most : 1, (ptrdiff_t)job->line_bytes, &lines) ||
        !fc_multiply(job->most, sizeof(void *) + sizeof(double), &bytes) || bytes > PTRDIFF_MAX - lines - 128)
        return false;
    job->thread_bytes = ((size_t)bytes + (size_t)lines + 127) / 64 * 64;
    return true;
}

size_t fc_blend_workspace(const fc_blend_desc *desc, int threads)
{
    blend_job job;
    ptrdiff_t bytes;
    return lay_out(desc, &job) && fc_multiply((ptrdiff_t)job.thread_bytes, threads, &bytes) ? (size_t)bytes : SIZE_MAX;
}

static double weight_at(const fc_blend_desc *desc, int axis, ptrdiff_t t)
{
    if (!desc->begin[axis])
        return 1;
    return desc->dtype == FC_F32 ? ((const float *)desc->weights[axis])[t] : ((const double *)desc->weights[axis])[t];
}

/* Lists the rows of the source that row (lead, first, second) of the result is made of, and their weights. */
static ptrdiff_t find_rows(const blend_job *job, const blend_space *space, const ptrdiff_t at[3])
{
    const fc_blend_desc *desc = job->desc;
    const size_t row_bytes = (size_t)(desc->src[2] * desc->trail) * job->element;
    const ptrdiff_t from[2] = {desc->begin[0] ? desc->begin[0][at[1]] : at[1],
                               desc->begin[1] ? desc->begin[1][at[2]] : at[2]};
    const ptrdiff_t taps[2] = {taps_at(desc, 0, at[1]), taps_at(desc, 1, at[2])};
    ptrdiff_t count = 0;
    for (ptrdiff_t a = from[0]; a < from[0] + taps[0]; a++)
        for (ptrdiff_t b = from[1]; b < from[1] + taps[1]; b++, count++) {
            const ptrdiff_t first = desc->begin[0] ? desc->places[0][a] : a;
            const ptrdiff_t second = desc->begin[1] ? desc->places[1][b] : b;
            const double weight = weight_at(desc, 0, a) * weight_at(desc, 1, b);
            const ptrdiff_t row = (at[0] * desc->src[0] + first) * desc->src[1] + second;
            space->rows[count] = job->src + (size_t)row * row_bytes;
            if (desc->dtype == FC_F32)
                ((float *)space->weights)[count] = (float)weight;
            else
                ((double *)space->weights)[count] = weight;
        }
    return count;
}

static void make_row(const blend_job *job, const blend_space *space, const ptrdiff_t at[3], char *dst)
{
    const fc_blend_desc *desc = job->desc;
    const fc_lines lines = {space->rows, find_rows(job, space, at), space->weights, 0, 1};
    fc_blend_columns columns = {
        .src = space->lines,
        .begin = desc->begin[2],
        .places = desc->places[2],
        .weights = desc->weights[2],
        .count = desc->dst[2],
        .trail = desc->trail,
        .taps = job->taps,
    };
    if (lines.taps == 0) {
        memset(dst, 0, (size_t)(desc->dst[2] * desc->trail) * job->element);
        return;
    }
    if (job->across) {
        for (ptrdiff_t t = 0; t < lines.taps; t++) {
            char *line = space->lines + (size_t)t * job->line_bytes;
            columns.src = space->rows[t];
            job->kernels->blend_columns(&columns, line);
            space->rows[t] = line;
        }
        job->kernels->blend_rows(&lines, desc->dst[2] * desc->trail, dst);
        return;
    }
    if (!desc->begin[2]) {
        job->kernels->blend_rows(&lines, desc->dst[2] * desc->trail, dst);
        return;
    }
    if (!desc->begin[0] && !desc->begin[1])
        columns.src = space->rows[0];
    else
        job->kernels->blend_rows(&lines, desc->src[2] * desc->trail, space->lines);
    job->kernels->blend_columns(&columns, dst);
}

static void blend_body(const void *context, fc_part part)
{
    const blend_job *job = context;
    const fc_blend_desc *desc = job->desc;
    const size_t row_bytes = (size_t)(desc->dst[2] * desc->trail) * job->element;
    char *at = job->workspace + (size_t)part.thread * job->thread_bytes;
    blend_space space = {.lines = at};
    at += (job->across ? (size_t)job->most : 1) * job->line_bytes;
    space.weights = at;
    space.rows = (const void **)(at + (size_t)job->most * sizeof(double));
    ptrdiff_t begin, end;
    fc_share_of(desc->lead * desc->dst[0] * desc->dst[1], part, &begin, &end);
    for (ptrdiff_t row = begin; row < end; row++) {
        const ptrdiff_t plane = row / desc->dst[1];
        const ptrdiff_t place[3] = {plane / desc->dst[0], plane % desc->dst[0], row % desc->dst[1]};
        make_row(job, &space, place, job->dst + (size_t)row * row_bytes);
    }
}

fc_status fc_blend_run(const fc_blend_desc *desc, const void *src, void *dst, void *workspace, int threads)
{
    blend_job job;
    if (desc->lead <= 0 || desc->trail <= 0 || desc->dst[0] <= 0 || desc->dst[1] <= 0 || desc->dst[2] <= 0)
        return FC_OK;
    if (!lay_out(desc, &job))
        return FC_OVERFLOW;
    job.src = src;
    job.dst = dst;
    job.workspace = workspace;
    const double elements = (double)desc->dst[0] * (double)desc->dst[1] * (double)desc->dst[2] * (double)desc->trail;
    const double cost = COST * (double)job.most * (double)desc->lead * elements;
    return fc_parallel(fc_crew_for(cost, threads), blend_body, &job);
}
