/* Pooling over threads: rows of outputs forward, whole planes or blocks of channels backward, so that nothing races and
 * no sum depends on who computes it. */
#include <string.h>

#include "geometry.h"
#include "parallel.h"
#include "pool.h"

enum {
    SLACK = 256,         /* bytes behind a buffer: two of the longest vectors, rounded up */
    FORWARD_BLOCK = 256, /* channels of a channels-last row that one unit of work takes */
    BACKWARD_BLOCK = 64, /* channels of a channels-last image that one unit takes */
    LEAST_UNIFORM = 4,   /* outputs in a row from which vectors along the row pay */
    LONG_WINDOW = 8,     /* columns from which vectors along a window pay */
    MOST_PLANES = 64,    /* that one call takes */
    SMALL_PLANE = 256,   /* pixels up to which a call for each plane would cost more than the plane */
    LONGEST_PADDING = 4, /* a line is at most so many times the source row, and LINE_ROOM: else padding is not built */
    LINE_ROOM = 1024,
    COST = 8, /* an element that is read, in multiply-adds: a core pools 10 of them in the time of 100 */
};

static ptrdiff_t bytes_of(fc_dtype dtype) { return dtype == FC_F32 ? 4 : 8; }

/* ---- what a plan means ------------------------------------------------------------------------------------- */

static ptrdiff_t volume(const ptrdiff_t extent[FC_SPATIAL]) { return extent[0] * extent[1] * extent[2]; }

static ptrdiff_t line_length(const fc_pool_desc *desc)
{
    return (desc->dst[2] - 1) * desc->stride[2] + (desc->kernel[2] - 1) * desc->dilation[2] + 1;
}

/* Whether rows are made by vectors along them from a padded line. Long windows that are far apart are not: those are
 * folded by vectors along each. */
static bool is_uniform(const fc_pool_desc *desc)
{
    if (desc->adaptive || desc->dst[2] < LEAST_UNIFORM || (desc->stride[2] > 2 && desc->kernel[2] >= LONG_WINDOW))
        return false;
    return line_length(desc) / LONGEST_PADDING <= desc->src[2] + LINE_ROOM;
}

/* Whether the only window is the whole source. */
static bool is_global(const fc_pool_desc *desc)
{
    for (int a = 0; a < FC_SPATIAL; a++) {
        const fc_window window = fc_pool_window(desc, a, 0);
        if (desc->dst[a] != 1 || window.begin != 0 || window.end != desc->src[a])
            return false;
        if (!desc->adaptive && (desc->dilation[a] != 1 || desc->pad_end[a] != 0))
            return false;
    }
    return true;
}

/* The same pool in its simplest form: one channel has no layout, and a global window is one long row. */
static fc_pool_desc simplest(const fc_pool_desc *desc)
{
    fc_pool_desc simple = *desc;
    if (desc->channels == 1 && !desc->by_channel)
        simple.layout = FC_CHANNELS_FIRST;
    if (is_global(desc)) {
        simple.adaptive = true;
        simple.src[2] = volume(desc->src);
        simple.src[0] = simple.src[1] = 1;
    }
    return simple;
}

/* A global pool of small planes, forward: many planes are one row, each a window of it, so that one call of a kernel
 * makes them all. Positions in a plane get lost. */
static fc_pool_desc planes_as_row(const fc_pool_desc *simple)
{
    fc_pool_desc row = *simple;
    if (simple->layout != FC_CHANNELS_FIRST || !is_global(simple) || simple->src[2] > SMALL_PLANE)
        return row;
    ptrdiff_t planes = fc_min(simple->channels, MOST_PLANES);
    while (simple->channels % planes != 0)
        planes--;
    row.adaptive = false;
    row.channels = simple->channels / planes;
    row.kernel[2] = row.stride[2] = simple->src[2];
    row.src[2] = planes * simple->src[2];
    row.dst[2] = planes;
    for (int a = 0; a < FC_SPATIAL; a++) {
        row.dilation[a] = 1;
        row.pad_begin[a] = row.pad_end[a] = 0;
        if (a < 2)
            row.kernel[a] = row.stride[a] = 1;
    }
    return row;
}

/* The most rows that a window holds along one axis. */
static ptrdiff_t most_taps(const fc_pool_desc *desc, int axis)
{
    const ptrdiff_t src = desc->src[axis];
    return desc->adaptive ? fc_min(src, src / desc->dst[axis] + 2) : fc_min(src, desc->kernel[axis]);
}

/* ---- workspace --------------------------------------------------------------------------------------------- */

/* Offsets in bytes into one thread's workspace. */
typedef struct {
    ptrdiff_t windows[FC_SPATIAL], counts[FC_SPATIAL], column_counts; /* of every output along an axis */
    ptrdiff_t rows, positions, line, line_positions, values, indices, end;
} pool_room;

static ptrdiff_t take(ptrdiff_t *end, ptrdiff_t bytes)
{
    const ptrdiff_t begin = *end;
    *end = begin + fc_divide_up(bytes, 128) * 128;
    return begin;
}

static pool_room room_of(const fc_pool_desc *desc)
{
    const ptrdiff_t real = bytes_of(desc->dtype), count = desc->dst[2];
    const ptrdiff_t rows = most_taps(desc, 0) * most_taps(desc, 1);
    const bool plane = desc->layout == FC_CHANNELS_FIRST, max = desc->kind == FC_POOL_MAX;
    const ptrdiff_t length = fc_max_extent(desc->src[2], plane && is_uniform(desc) ? line_length(desc) : 0);
    const ptrdiff_t vectors = max ? 0 : desc->src[2] * FC_ALIGNMENT; /* a column's, of gradients, channels last */
    const ptrdiff_t line = plane ? length * real + SLACK : vectors;
    const ptrdiff_t results = max ? count * (plane ? 1 : fc_min(desc->channels, BACKWARD_BLOCK)) : 0;
    pool_room room = {0};
    for (int a = 0; a < FC_SPATIAL; a++)
        room.windows[a] = take(&room.end, desc->dst[a] * (ptrdiff_t)sizeof(fc_pool_span));
    for (int a = 0; a < FC_SPATIAL; a++)
        room.counts[a] = take(&room.end, desc->dst[a] * (ptrdiff_t)sizeof(double));
    room.column_counts = take(&room.end, count * real);
    room.rows = take(&room.end, rows * (ptrdiff_t)sizeof(void *));
    room.positions = take(&room.end, rows * (ptrdiff_t)sizeof(ptrdiff_t));
    room.line = take(&room.end, line);
    room.line_positions = take(&room.end, max ? line : 0);
    room.values = take(&room.end, results * real);
    room.indices = take(&room.end, results * (ptrdiff_t)sizeof(int64_t));
    return room;
}

fc_status fc_pool_plan_make(const fc_pool_desc *desc, fc_pool_plan *plan)
{
    plan->desc = *desc;
    if (!fc_isa_available(desc->isa))
        return FC_UNSUPPORTED;
    fc_status status = fc_pool_extents(&plan->desc);
    if (status != FC_OK)
        return status;
    const fc_pool_desc simple = simplest(&plan->desc);
    const fc_pool_desc row = planes_as_row(&simple);
    plan->workspace_bytes = (size_t)fc_max_extent(room_of(&simple).end, room_of(&row).end);
    return FC_OK;
}

/* ---- one thread's view ------------------------------------------------------------------------------------- */

typedef struct {
    fc_pool_desc desc; /* simplest */
    const struct fc_pool_kernels *kernels;
    ptrdiff_t n;
    const char *src, *grad;
    const int64_t *positions; /* backward: where the maxima stood; NULL: look again */
    char *dst;
    int64_t *indices; /* forward: wanted */
    char *workspace;
    pool_room room;
} pool_job;

typedef struct {
    const pool_job *job;
    ptrdiff_t real;
    fc_pool_windows windows;
    const fc_pool_span *depth, *height;
    const double *depth_counts, *height_counts;
    void **rows;
    ptrdiff_t *positions;
    ptrdiff_t row_count;
    void *values; /* backward: maxima that are looked for again, and their places */
    int64_t *indices;
} pool_worker;

/* The windows along each axis, and what an average counts there: worked out once, they serve every row of outputs. The
 * counts along a row are in the elements' type, 1 where the divisor is given. */
static void fill_tables(const fc_pool_desc *desc, const pool_room *room, char *own)
{
    const bool average = desc->kind == FC_POOL_AVERAGE;
    for (int a = 0; a < FC_SPATIAL; a++)
        fc_pool_axis(desc, a, (fc_pool_span *)(own + room->windows[a]),
                     average ? (double *)(own + room->counts[a]) : NULL);
    if (!average)
        return;
    const double *counts = (const double *)(own + room->counts[2]);
    for (ptrdiff_t j = 0; j < desc->dst[2]; j++) {
        const double counted = desc->divisor != 0 ? 1 : counts[j];
        if (desc->dtype == FC_F32)
            ((float *)(own + room->column_counts))[j] = (float)counted;
        else
            ((double *)(own + room->column_counts))[j] = counted;
    }
}

static pool_worker worker_make(const pool_job *job, int thread)
{
    const fc_pool_desc *desc = &job->desc;
    const pool_room *room = &job->room;
    char *own = job->workspace + thread * room->end;
    fill_tables(desc, room, own);
    return (pool_worker){
        .job = job,
        .real = bytes_of(desc->dtype),
        .depth = (const fc_pool_span *)(own + room->windows[0]),
        .height = (const fc_pool_span *)(own + room->windows[1]),
        .depth_counts = (const double *)(own + room->counts[0]),
        .height_counts = (const double *)(own + room->counts[1]),
        .rows = (void **)(own + room->rows),
        .positions = (ptrdiff_t *)(own + room->positions),
        .values = own + room->values,
        .indices = (int64_t *)(own + room->indices),
        .windows = {.columns = (const fc_pool_span *)(own + room->windows[2]),
                    .count = desc->dst[2],
                    .dilation = desc->adaptive ? 1 : desc->dilation[2],
                    .width = desc->src[2],
                    .column_counts = own + room->column_counts,
                    .uniform = is_uniform(desc),
                    .kernel = desc->kernel[2],
                    .stride = desc->stride[2],
                    .pad = desc->pad_begin[2],
                    .repeat = 1,
                    .line = own + room->line,
                    .line_positions = own + room->line_positions,
                    .channels = 1,
                    .src_step = 1,
                    .dst_step = 1},
    };
}

/* Lists the source rows of output row (z, y) of the volume at `src`, whose pixels are `step` elements apart. */
static void list_rows(pool_worker *worker, const char *src, ptrdiff_t step, ptrdiff_t z, ptrdiff_t y)
{
    const fc_pool_desc *desc = &worker->job->desc;
    const fc_pool_span depth = worker->depth[z], height = worker->height[y];
    const ptrdiff_t step_d = desc->adaptive ? 1 : desc->dilation[0], step_h = desc->adaptive ? 1 : desc->dilation[1];
    worker->row_count = 0;
    for (ptrdiff_t d = depth.begin; d < depth.end; d += step_d) {
        for (ptrdiff_t h = height.begin; h < height.end; h += step_h) {
            const ptrdiff_t position = (d * desc->src[1] + h) * desc->src[2];
            worker->positions[worker->row_count] = position;
            worker->rows[worker->row_count++] = (void *)(src + position * step * worker->real);
        }
    }
    if (desc->kind == FC_POOL_AVERAGE)
        worker->windows.row_divisor =
            desc->divisor != 0 ? desc->divisor : worker->depth_counts[z] * worker->height_counts[y];
}

static fc_pool_fn *pool_kernel(const pool_job *job)
{
    const bool plane = job->desc.layout == FC_CHANNELS_FIRST;
    if (job->desc.kind == FC_POOL_MAX)
        return plane ? job->kernels->max_plane : job->kernels->max_channel;
    return plane ? job->kernels->average_plane : job->kernels->average_channel;
}

static void pool_rows(pool_worker *worker, void *dst, int64_t *indices)
{
    pool_kernel(worker->job)(&worker->windows, (const void *const *)worker->rows, worker->positions, worker->row_count,
                             dst, indices);
}

/* ---- forward ----------------------------------------------------------------------------------------------- */

/* A unit is a row of outputs: of one plane, or of one block of channels. */
static ptrdiff_t forward_units(const pool_job *job)
{
    const fc_pool_desc *desc = &job->desc;
    const ptrdiff_t blocks =
        desc->layout == FC_CHANNELS_FIRST ? desc->channels : fc_divide_up(desc->channels, FORWARD_BLOCK);
    return job->n * blocks * desc->dst[0] * desc->dst[1];
}

/* Output rows from y on, at most `most`, that see as many source rows as y does, each the same distance further on. */
static ptrdiff_t rows_alike(const pool_worker *worker, ptrdiff_t y, ptrdiff_t most)
{
    const fc_pool_span *span = worker->height + y;
    const double *counted = worker->job->desc.kind == FC_POOL_AVERAGE ? worker->height_counts + y : NULL;
    ptrdiff_t count = 1;
    for (; count < most; count++) {
        const ptrdiff_t ahead = span[count].begin - span[0].begin;
        if (ahead != (span[1].begin - span[0].begin) * count || span[count].end - span[0].end != ahead ||
            (counted && counted[count] != counted[0]))
            break;
    }
    return count;
}

/* Output rows [begin, end), counted over all planes. */
static void forward_planes(pool_worker *worker, ptrdiff_t begin, ptrdiff_t end)
{
    const pool_job *job = worker->job;
    const fc_pool_desc *desc = &job->desc;
    const ptrdiff_t real = worker->real, width = desc->dst[2], plane = volume(desc->src) * real;
    ptrdiff_t y = begin % desc->dst[1], z = begin / desc->dst[1] % desc->dst[0];
    const char *src = job->src + begin / (desc->dst[0] * desc->dst[1]) * plane;
    for (ptrdiff_t unit = begin; unit < end; unit += worker->windows.repeat) {
        list_rows(worker, src, 1, z, y);
        if (!job->indices)
            worker->windows.repeat = rows_alike(worker, y, fc_min(desc->dst[1] - y, end - unit));
        if (worker->windows.repeat > 1)
            worker->windows.row_step = (worker->height[y + 1].begin - worker->height[y].begin) * desc->src[2];
        pool_rows(worker, job->dst + unit * width * real, job->indices ? job->indices + unit * width : NULL);
        worker->windows.framed = true;
        y += worker->windows.repeat;
        if (y < desc->dst[1])
            continue;
        y = 0;
        if (++z < desc->dst[0])
            continue;
        z = 0;
        src += plane;
    }
}

/* A row of outputs of a block of channels, channels last. */
static void forward_unit(pool_worker *worker, ptrdiff_t unit)
{
    const pool_job *job = worker->job;
    const fc_pool_desc *desc = &job->desc;
    const ptrdiff_t channels = desc->channels, height = desc->dst[1], rows = desc->dst[0] * height;
    const ptrdiff_t blocks = fc_divide_up(channels, FORWARD_BLOCK), first = unit % blocks * FORWARD_BLOCK;
    const ptrdiff_t image = unit / blocks / rows, row = unit / blocks % rows;
    const ptrdiff_t src = image * volume(desc->src) * channels + first;
    const ptrdiff_t dst = unit / blocks * desc->dst[2] * channels + first;
    worker->windows.channels = fc_min(channels - first, FORWARD_BLOCK);
    worker->windows.src_step = worker->windows.dst_step = channels;
    list_rows(worker, job->src + src * worker->real, channels, row / height, row % height);
    pool_rows(worker, job->dst + dst * worker->real, job->indices ? job->indices + dst : NULL);
}

static void forward_body(const void *context, fc_part part)
{
    const pool_job *job = context;
    ptrdiff_t begin, end;
    fc_share_of(forward_units(job), part, &begin, &end);
    pool_worker worker = worker_make(job, part.thread);
    if (job->desc.layout == FC_CHANNELS_FIRST) {
        forward_planes(&worker, begin, end);
        return;
    }
    for (ptrdiff_t unit = begin; unit < end; unit++)
        forward_unit(&worker, unit);
}

static double work_of(const fc_pool_desc *desc, ptrdiff_t n)
{
    double work = (double)n * (double)desc->channels * (double)volume(desc->dst);
    for (int a = 0; a < FC_SPATIAL; a++)
        work *= (double)most_taps(desc, a);
    return COST * (work + (double)n * (double)desc->channels * (double)volume(desc->src));
}

static pool_job job_make(const fc_pool_desc *simple, ptrdiff_t n, void *workspace)
{
    pool_job job = {.desc = *simple, .n = n, .workspace = workspace};
    job.kernels = fc_kernels_for(job.desc.isa, job.desc.dtype)->pool;
    job.room = room_of(&job.desc);
    return job;
}

fc_status fc_pool_run(const fc_pool_plan *plan, ptrdiff_t n, const void *src, void *dst, int64_t *indices,
                      void *workspace, int threads)
{
    if (n < 0)
        return FC_BAD_SHAPE;
    const fc_pool_desc simple = simplest(&plan->desc), row = planes_as_row(&simple);
    pool_job job = job_make(indices ? &simple : &row, n, workspace);
    job.src = src;
    job.dst = dst;
    job.indices = indices;
    return n > 0 ? fc_parallel(fc_crew_for(work_of(&job.desc, n), threads), forward_body, &job) : FC_OK;
}

/* ---- backward ---------------------------------------------------------------------------------------------- */

/* A unit is a plane, or a block of an image's channels: all that may add to the same elements. */
static ptrdiff_t backward_units(const pool_job *job)
{
    const fc_pool_desc *desc = &job->desc;
    return job->n * (desc->layout == FC_CHANNELS_FIRST ? desc->channels : fc_divide_up(desc->channels, BACKWARD_BLOCK));
}

static void clear_pixels(char *dst, ptrdiff_t pixels, ptrdiff_t step, ptrdiff_t bytes)
{
    if (step == bytes) {
        memset(dst, 0, (size_t)(pixels * bytes));
        return;
    }
    for (ptrdiff_t p = 0; p < pixels; p++)
        memset(dst + p * step, 0, (size_t)bytes);
}

/* Where one unit's first source and destination elements lie, and how its pixels follow each other. */
typedef struct {
    ptrdiff_t src, dst, step, channels;
} pool_slice;

static pool_slice slice_of(const pool_job *job, ptrdiff_t unit)
{
    const fc_pool_desc *desc = &job->desc;
    const ptrdiff_t src = volume(desc->src), dst = volume(desc->dst);
    if (desc->layout == FC_CHANNELS_FIRST)
        return (pool_slice){unit * src, unit * dst, 1, 1};
    const ptrdiff_t blocks = fc_divide_up(desc->channels, BACKWARD_BLOCK), first = unit % blocks * BACKWARD_BLOCK;
    const ptrdiff_t image = unit / blocks;
    return (pool_slice){image * src * desc->channels + first, image * dst * desc->channels + first, desc->channels,
                        fc_min(desc->channels - first, BACKWARD_BLOCK)};
}

/* A unit's destination and how many of its rows, all depths' one after the other, are cleared: not before the first
 * window adds to them, so that they are still in cache. */
typedef struct {
    char *to;
    ptrdiff_t cleared;
} pool_target;

static void clear_to(const pool_worker *worker, const pool_slice *slice, pool_target *target, ptrdiff_t rows)
{
    const ptrdiff_t width = worker->job->desc.src[2], pixel = slice->step * worker->real;
    if (rows <= target->cleared)
        return;
    clear_pixels(target->to + target->cleared * width * pixel, (rows - target->cleared) * width, pixel,
                 slice->channels * worker->real);
    target->cleared = rows;
}

/* One row of gradients to the places of its maxima, which are given or looked for again: in its own windows, or
 * `scattered` anywhere. Returns false when it should have been scattered. */
static bool place_row(pool_worker *worker, const pool_slice *slice, const char *grad, const int64_t *places,
                      bool scattered, const pool_target *target)
{
    const struct fc_pool_kernels *kernels = worker->job->kernels;
    ptrdiff_t step = slice->step;
    if (!places) {
        worker->windows.dst_step = step = slice->channels; /* of values and indices */
        pool_rows(worker, worker->values, worker->indices);
        worker->windows.framed = true;
        places = worker->indices;
    }
    if (scattered) {
        kernels->scatter(worker->windows.count, slice->channels, grad, slice->step, places, step, target->to,
                         slice->step);
        return true;
    }
    for (ptrdiff_t r = 0; r < worker->row_count; r++)
        worker->rows[r] = target->to + worker->positions[r] * slice->step * worker->real;
    worker->windows.dst_step = slice->step; /* of grad */
    return kernels->put_channel(&worker->windows, worker->rows, worker->positions, worker->row_count, grad, places,
                                step);
}

static void spread_row(pool_worker *worker, const pool_slice *slice, const char *grad)
{
    const struct fc_pool_kernels *kernels = worker->job->kernels;
    const bool plane = worker->job->desc.layout == FC_CHANNELS_FIRST;
    worker->windows.dst_step = slice->step; /* of grad */
    (plane ? kernels->spread_plane : kernels->spread_channel)(&worker->windows, worker->rows, worker->row_count, grad);
}

/* Whether every place of the source is in exactly one window. */
static bool is_partition(const fc_pool_desc *desc)
{
    bool exact = !desc->adaptive;
    for (int a = 0; a < FC_SPATIAL; a++)
        exact = exact && desc->kernel[a] == desc->stride[a] && desc->dilation[a] == 1 && desc->pad_begin[a] == 0 &&
                desc->dst[a] * desc->stride[a] == desc->src[a];
    return exact;
}

/* All rows of a unit; false when the places of some are not in their windows, and were to be scattered. */
static bool backward_rows(pool_worker *worker, const pool_slice *slice, bool scattered)
{
    const pool_job *job = worker->job;
    const fc_pool_desc *desc = &job->desc;
    const ptrdiff_t real = worker->real, width = desc->dst[2], rows = desc->src[0] * desc->src[1];
    const char *grad = job->grad + slice->dst * real;
    const int64_t *places = job->positions ? job->positions + slice->dst : NULL;
    pool_target target = {.to = job->dst + slice->src * real};
    const bool max = desc->kind == FC_POOL_MAX;
    const char *listed = max && !places ? job->src + slice->src * real : target.to;
    worker->windows.alone = max && !scattered && is_partition(desc);
    if (worker->windows.alone)
        target.cleared = rows; /* each is written once */
    clear_to(worker, slice, &target, places && scattered ? rows : 0);
    for (ptrdiff_t z = 0; z < desc->dst[0]; z++) {
        for (ptrdiff_t y = 0; y < desc->dst[1]; y++, grad += width * slice->step * real) {
            const ptrdiff_t last = fc_max_extent(worker->depth[z].end - 1, 0) * desc->src[1] + worker->height[y].end;
            clear_to(worker, slice, &target, fc_min(last, rows));
            list_rows(worker, listed, slice->step, z, y);
            if (!max)
                spread_row(worker, slice, grad);
            else if (!place_row(worker, slice, grad, places, scattered, &target))
                return false;
            if (places)
                places += width * slice->step;
        }
    }
    clear_to(worker, slice, &target, rows);
    return true;
}

static void backward_unit(pool_worker *worker, ptrdiff_t unit)
{
    const pool_job *job = worker->job;
    const fc_pool_desc *desc = &job->desc;
    const pool_slice slice = slice_of(job, unit);
    worker->windows.channels = slice.channels;
    worker->windows.src_step = slice.step;
    if (job->positions && slice.step == 1) { /* a plane */
        pool_target target = {.to = job->dst + slice.src * worker->real};
        clear_to(worker, &slice, &target, desc->src[0] * desc->src[1]);
        job->kernels->scatter(volume(desc->dst), 1, job->grad + slice.dst * worker->real, 1, job->positions + slice.dst,
                              1, target.to, 1);
        return;
    }
    const bool scattered = desc->layout == FC_CHANNELS_FIRST || volume(desc->src) > INT32_MAX;
    if (!backward_rows(worker, &slice, scattered))
        backward_rows(worker, &slice, true);
}

static void backward_body(const void *context, fc_part part)
{
    const pool_job *job = context;
    ptrdiff_t begin, end;
    fc_share_of(backward_units(job), part, &begin, &end);
    pool_worker worker = worker_make(job, part.thread);
    for (ptrdiff_t unit = begin; unit < end; unit++)
        backward_unit(&worker, unit);
}

fc_status fc_pool_backward(const fc_pool_plan *plan, ptrdiff_t n, const void *src, const int64_t *indices,
                           const void *grad, void *dsrc, void *workspace, int threads)
{
    const bool max = plan->desc.kind == FC_POOL_MAX;
    if (n < 0 || (max && !src && !indices))
        return FC_BAD_SHAPE;
    const fc_pool_desc simple = simplest(&plan->desc);
    pool_job job = job_make(&simple, n, workspace);
    job.src = src;
    job.grad = grad;
    job.positions = max ? indices : NULL;
    job.dst = dsrc;
    const ptrdiff_t count = n * job.desc.channels * volume(job.desc.dst);
    if (job.positions &&
        !job.kernels->places_inside(indices, count, volume(job.desc.src))) /* before anything is written */
        return FC_BAD_SHAPE;
    return n > 0 ? fc_parallel(fc_crew_for(work_of(&job.desc, n), threads), backward_body, &job) : FC_OK;
}
