/* The depthwise family, channels-last: one output row at a time, its inner pixels (all taps inside the input) in one
 * stretch, border pixels one by one with the taps that they have. Rows follow each other within a block of channels
 * that is narrow enough for the input rows of a kernel to stay in L1. */
#include "conv.h"
#include "parallel.h"

typedef struct {
    const void **src, **weights; /* by kernel row */
} workspace;

static void lay_out(const fc_conv_plan *plan, fc_arena *arena, workspace *at)
{
    const ptrdiff_t rows = plan->desc.kernel[0] * plan->desc.kernel[1];
    at->src = fc_carve(arena, rows, sizeof(void *));
    at->weights = fc_carve(arena, rows, sizeof(void *));
}

fc_status fc_plan_depthwise(fc_conv_plan *plan)
{
    plan->vectors = plan->rows = 1;
    plan->tile[0] = plan->tile[1] = 1;
    plan->tile[2] = 8;
    fc_arena arena = {.fits = true};
    workspace at;
    lay_out(plan, &arena, &at);
    return fc_reserve_packed(plan) ? fc_set_workspace(plan, &arena) : FC_OVERFLOW;
}

typedef struct {
    const fc_conv_call *call;
    const fc_phase *phase;
    const char *packed;
    workspace at;
    ptrdiff_t image, place[2]; /* of the output row, in the phase's own grid */
    ptrdiff_t channel, channels;
} output_row;

enum { ROWS_BYTES = 48 * 1024, LEAST_VECTORS = 8 };

/* Channels of one block: equal parts, in whole vectors, whose rows under one kernel fit ROWS_BYTES. Never narrow ones:
 * pieces of a vector or two of each pixel defeat the prefetcher (112 x 112 x 32 took 252 us in halves, 134 whole). */
static ptrdiff_t channels_at_once(const fc_conv_call *call, const fc_phase *phase)
{
    const fc_axis *axis = phase->axis;
    const double rows = (double)axis[2].src * (double)(axis[0].taps * axis[1].taps) * (double)call->element;
    const double fitting = ROWS_BYTES / (rows * call->plan->lanes + 1);
    const ptrdiff_t vectors = fc_divide_up(call->channels.src_channels, call->plan->lanes);
    const ptrdiff_t most = fitting < LEAST_VECTORS ? LEAST_VECTORS : fitting < 1e6 ? (ptrdiff_t)fitting : vectors;
    return fc_divide_up(vectors, fc_divide_up(vectors, most)) * call->plan->lanes;
}

/* Fills in the kernel rows that lie inside the input, at their tap `first`, for pixel `pixel`; returns their number. */
static ptrdiff_t kernel_rows(output_row *s, ptrdiff_t first, ptrdiff_t pixel)
{
    const fc_conv_call *call = s->call;
    const fc_axis *axis = s->phase->axis;
    const ptrdiff_t channels = call->channels.src_channels;
    const ptrdiff_t column = pixel * axis[2].src_step + axis[2].offset_first + first * axis[2].offset_step;
    ptrdiff_t count = 0;
    for (ptrdiff_t d = 0; d < axis[0].taps; d++) {
        const ptrdiff_t depth = s->place[0] * axis[0].src_step + axis[0].offset_first + d * axis[0].offset_step;
        if (depth < 0 || depth >= axis[0].src)
            continue;
        for (ptrdiff_t h = 0; h < axis[1].taps; h++) {
            const ptrdiff_t row = s->place[1] * axis[1].src_step + axis[1].offset_first + h * axis[1].offset_step;
            if (row < 0 || row >= axis[1].src)
                continue;
            const ptrdiff_t position = ((s->image * axis[0].src + depth) * axis[1].src + row) * axis[2].src + column;
            const ptrdiff_t tap = (d * axis[1].taps + h) * axis[2].taps + first;
            s->at.src[count] = call->src + (size_t)(position * channels + s->channel) * call->element;
            const ptrdiff_t weights = s->channel * s->phase->taps + tap * call->plan->lanes;
            s->at.weights[count++] = s->packed + (size_t)weights * call->element;
        }
    }
    return count;
}

/* Pixels [begin, end) of the row, which all have the same taps [first, last) along the row. */
static void run_stretch(output_row *s, ptrdiff_t begin, ptrdiff_t end, ptrdiff_t first, ptrdiff_t last)
{
    const fc_conv_call *call = s->call;
    const fc_axis *axis = s->phase->axis;
    const ptrdiff_t channels = call->channels.src_channels;
    ptrdiff_t at = s->image;
    at = at * axis[0].dst + axis[0].dst_first + s->place[0] * axis[0].dst_step;
    at = at * axis[1].dst + axis[1].dst_first + s->place[1] * axis[1].dst_step;
    at = at * axis[2].dst + axis[2].dst_first + begin * axis[2].dst_step;
    const size_t bytes = (size_t)(at * channels + s->channel) * call->element;
    call->kernels->conv->depthwise(&(fc_depthwise_row){
        .src = s->at.src,
        .weights = s->at.weights,
        .rows = last > first ? kernel_rows(s, first, begin) : 0,
        .taps = last - first,
        .all_taps = s->phase->taps,
        .together = fc_max_extent(FC_SUM_LENGTH / fc_max_extent(axis[2].taps, 1), 1),
        .tap_step = axis[2].offset_step * channels,
        .src_step = axis[2].src_step * channels,
        .dst_step = axis[2].dst_step * channels,
        .count = end - begin,
        .channels = s->channels,
        .bias = call->bias ? call->bias + (size_t)s->channel * call->element : NULL,
        .residual = call->residual ? call->residual + bytes : NULL,
        .dst = call->dst + bytes,
        .epilogue = &call->epilogue,
    });
}

static void run_row(output_row *s)
{
    const fc_axis *axis = &s->phase->axis[2];
    fc_window inner = {0, axis->count};
    if (axis->taps > 0) {
        const fc_window a = fc_valid(axis, axis->offset_first);
        const fc_window b = fc_valid(axis, axis->offset_first + (axis->taps - 1) * axis->offset_step);
        inner.begin = fc_max_extent(a.begin, b.begin);
        inner.end = fc_max_extent(fc_min(a.end, b.end), inner.begin);
    }
    for (ptrdiff_t pixel = 0; pixel < axis->count; pixel++) {
        if (pixel == inner.begin && inner.end > inner.begin) {
            run_stretch(s, inner.begin, inner.end, 0, axis->taps);
            pixel = inner.end - 1;
        } else {
            const fc_window taps = fc_taps_inside(axis, pixel);
            run_stretch(s, pixel, pixel + 1, taps.begin, taps.end);
        }
    }
}

void fc_conv_depthwise(const void *context, int thread, int threads)
{
    const fc_conv_call *call = context;
    const fc_conv_plan *plan = call->plan;
    const ptrdiff_t phases = fc_phases(&plan->desc);
    fc_arena arena = fc_thread_arena(call, thread);
    output_row s = {.call = call, .packed = call->packed};
    lay_out(plan, &arena, &s.at);
    for (ptrdiff_t i = 0; i < phases; i++) {
        fc_phase phase;
        fc_phase_at(&plan->desc, i, &phase);
        s.phase = &phase;
        const ptrdiff_t rows = phase.axis[0].count * phase.axis[1].count, channels = call->channels.src_channels;
        const ptrdiff_t together = channels_at_once(call, &phase), blocks = fc_divide_up(channels, together);
        ptrdiff_t begin, end;
        fc_share(call->n * blocks * rows, thread, threads, &begin, &end);
        for (ptrdiff_t unit = begin; unit < end; unit++) {
            s.place[1] = unit % phase.axis[1].count;
            s.place[0] = unit % rows / phase.axis[1].count;
            s.channel = unit / rows % blocks * together;
            s.channels = fc_min(together, channels - s.channel);
            s.image = unit / rows / blocks;
            run_row(&s);
        }
        s.packed += (size_t)fc_packed_size(plan, &phase) * call->element;
    }
}
