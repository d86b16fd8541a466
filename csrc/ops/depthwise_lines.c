/* The depthwise family, channels-first, where outputs lie as the input does: stride 1 and a padding that keeps the
 * width.
 *
 * A unit of work is a box of rows of one group's plane, which its kernel reads where it lies. At the array's two ends,
 * where a kernel would read a little past them, the box's rows are copied to the workspace first. */
#include "conv.h"
#include "parallel.h"

#include <string.h>

enum { BOX_POSITIONS = 16 * 1024, MOST_CHANNELS = 4 };

static ptrdiff_t left_of(const fc_axis *axis) { return fc_max_extent(-axis->offset_first, 0); }

static ptrdiff_t right_of(const fc_axis *axis)
{
    return fc_max_extent(axis->offset_first + (axis->taps - 1) * axis->offset_step, 0);
}

bool fc_depthwise_lines_serve(const fc_conv_desc *desc)
{
    const fc_channels channels = fc_conv_channels(desc);
    if (channels.ic != 1 || channels.oc > MOST_CHANNELS || fc_phases(desc) != 1)
        return false;
    fc_phase phase;
    fc_phase_at(desc, 0, &phase);
    const fc_axis *h = &phase.axis[1], *w = &phase.axis[2];
    const bool unit = h->src_step == 1 && h->dst_step == 1 && w->src_step == 1 && w->dst_step == 1;
    const bool known = phase.taps > 0 && phase.taps <= FC_SUM_LENGTH;
    /* taps far outside only cost, and offsets of any size would overflow */
    return unit && known && w->count == w->src && left_of(w) <= w->src && right_of(w) <= w->src &&
           left_of(h) <= h->src && right_of(h) <= h->src;
}

typedef struct {
    char *masks, *zeros, *room;
    const void **src_row;
} workspace;

/* Elements before and after a row that are read with it. */
static ptrdiff_t beside(const fc_conv_plan *plan, const fc_axis *axis)
{
    return left_of(axis) + right_of(axis) + plan->lanes;
}

/* Columns in which all taps lie inside and so no masks are needed. */
static ptrdiff_t skipped(const fc_conv_plan *plan, const fc_axis *axis)
{
    return fc_max_extent(axis->src - beside(plan, axis), 0);
}

static ptrdiff_t mask_step(const fc_conv_plan *plan, const fc_axis *axis)
{
    return axis->src - skipped(plan, axis) + plan->lanes;
}

/* Rows that a box of outputs spans, and those of the source under it at most. */
static ptrdiff_t rows_over(const fc_axis *axis, ptrdiff_t rows) { return rows + (axis->taps - 1) * axis->offset_step; }

static ptrdiff_t rows_under(const fc_axis *axis, ptrdiff_t rows) { return fc_min(rows_over(axis, rows), axis->src); }

static void lay_out(const fc_conv_plan *plan, const fc_phase *phase, fc_arena *arena, workspace *at)
{
    const fc_axis *h = &phase->axis[1], *w = &phase->axis[2];
    const size_t element = fc_element(&plan->desc);
    at->masks = fc_carve(arena, w->taps * mask_step(plan, w), element);
    at->zeros = fc_carve(arena, w->src + beside(plan, w), element);
    at->room = fc_carve(arena, rows_under(h, plan->tile[1]) * w->src + beside(plan, w), element);
    at->src_row = fc_carve(arena, 7 + h->taps, sizeof(void *));
}

fc_status fc_plan_depthwise_lines(fc_conv_plan *plan)
{
    fc_phase phase;
    fc_phase_at(&plan->desc, 0, &phase);
    const ptrdiff_t rows = phase.axis[1].count, cols = phase.axis[2].count;
    plan->flat = true;
    plan->rows = 1;
    plan->vectors = 8;
    plan->tile[0] = 1;
    plan->tile[1] = fc_divide_up(rows, fc_max_extent(rows * cols / BOX_POSITIONS, 1));
    plan->tile[2] = cols;
    fc_arena arena = {.fits = true};
    workspace at;
    lay_out(plan, &phase, &arena, &at);
    return fc_reserve_packed(plan) ? fc_set_workspace(plan, &arena) : FC_OVERFLOW;
}

/* Units of work: (image, box of rows, group); a thread takes the groups of one box together, and those whose rows the
 * array's ends let it read in one call. */
void fc_conv_depthwise_lines(const void *context, fc_part part)
{
    const fc_conv_call *call = context;
    const fc_conv_plan *plan = call->plan;
    const fc_channels *channels = &call->channels;
    fc_arena arena = fc_thread_arena(call, part.thread);
    fc_phase phase;
    fc_phase_at(&plan->desc, 0, &phase);
    workspace at;
    lay_out(plan, &phase, &arena, &at);
    const fc_axis *h = &phase.axis[1], *w = &phase.axis[2];
    const ptrdiff_t groups = channels->groups, oc = channels->oc, plane = h->src * w->src, out = h->dst * w->dst;
    const ptrdiff_t boxes = fc_divide_up(h->count, plan->tile[1]), all = call->n * groups * plane;
    const size_t element = call->element;
    ptrdiff_t begin, end;
    fc_share_of(call->n * boxes * groups, part, &begin, &end);
    for (ptrdiff_t count; begin < end; begin += count) {
        const ptrdiff_t group = begin % groups, image = begin / groups / boxes;
        const ptrdiff_t first = begin / groups % boxes * plan->tile[1];
        const ptrdiff_t rows = fc_min(plan->tile[1], h->count - first);
        const ptrdiff_t row = first + h->offset_first;
        const ptrdiff_t top = fc_min(fc_max_extent(row, 0), h->src);
        const ptrdiff_t bottom = fc_max_extent(fc_min(row + rows_over(h, rows), h->src), top);
        const ptrdiff_t low = top * w->src - left_of(w), high = bottom * w->src + right_of(w) + plan->lanes;
        const ptrdiff_t from = (image * groups + group) * plane;
        const bool inside = top == bottom || (from + low >= 0 && from + high <= all);
        count = inside ? fc_min(groups - group, end - begin) : 1;
        while (inside && top < bottom && from + (count - 1) * plane + high > all)
            count--;
        const char *src = call->src + (size_t)from * element;
        if (!inside) {
            char *copy = at.room + (size_t)left_of(w) * element;
            memcpy(copy, src + (size_t)(top * w->src) * element, (size_t)((bottom - top) * w->src) * element);
            src = copy - (size_t)(top * w->src) * element;
        }
        const size_t channel = (size_t)(group * oc),
                     dst = (size_t)((image * channels->dst_channels) * out + first * w->dst);
        const size_t dst_at = (dst + channel * (size_t)out) * element;
        call->kernels->conv->depthwise_lines(&(fc_depthwise_lines){
            .groups = count,
            .oc = oc,
            .src = src,
            .src_channel = plane,
            .src_rows = h->src,
            .rows = rows,
            .cols = w->src,
            .taps_h = h->taps,
            .taps_w = w->taps,
            .row_first = row,
            .row_offset = h->offset_step,
            .col_first = w->offset_first,
            .col_offset = w->offset_step,
            .src_row = at.src_row,
            .zeros = at.zeros,
            .zero_count = w->src + beside(plan, w),
            .masks = at.masks,
            .mask_step = mask_step(plan, w),
            .left = left_of(w),
            .skipped = skipped(plan, w),
            .weights = call->packed + channel * (size_t)phase.taps * element,
            .bias = call->bias ? call->bias + channel * element : NULL,
            .residual = call->residual ? call->residual + dst_at : NULL,
            .dst = call->dst + dst_at,
            .dst_channel = out,
            .dst_row = h->offset_step * w->dst,
            .epilogue = &call->epilogue,
        });
    }
}
