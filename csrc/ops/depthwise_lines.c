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

typedef struct {
    const fc_conv_call *call;
    const fc_phase *phase;
    workspace at;
    ptrdiff_t image, group; /* the first of some groups */
    ptrdiff_t first, rows;  /* of outputs */
    ptrdiff_t top, bottom;  /* rows of the source under them */
} unit;

static ptrdiff_t plane_of(const unit *s) { return s->phase->axis[1].src * s->phase->axis[2].src; }

/* Elements of src before the unit's first plane. */
static ptrdiff_t source_at(const unit *s) { return (s->image * s->call->channels.groups + s->group) * plane_of(s); }

/* How many groups, from the unit's own on, the array's ends let be read where they lie; at most `most`. */
static ptrdiff_t groups_in_place(const unit *s, ptrdiff_t most)
{
    const fc_axis *w = &s->phase->axis[2];
    const ptrdiff_t plane = plane_of(s), from = source_at(s), all = s->call->n * s->call->channels.groups * plane;
    const ptrdiff_t begin = from + s->top * w->src - left_of(w);
    const ptrdiff_t end = from + s->bottom * w->src + right_of(w) + s->call->plan->lanes;
    if (s->top == s->bottom) /* nothing is read */
        return most;
    return begin < 0 || end > all ? 0 : fc_min(most, (all - end) / plane + 1);
}

/* The unit's rows of one plane, copied to where what lies beside them may be read; as an address of the whole plane. */
static const char *copied(const unit *s, const char *plane)
{
    const fc_axis *w = &s->phase->axis[2];
    const size_t row = (size_t)w->src * s->call->element;
    char *const copy = s->at.room + (size_t)left_of(w) * s->call->element;
    memcpy(copy, plane + (size_t)s->top * row, (size_t)(s->bottom - s->top) * row);
    return copy - (size_t)s->top * row;
}

static void run_groups(const unit *s, ptrdiff_t count, const char *src)
{
    const fc_conv_call *call = s->call;
    const fc_conv_plan *plan = call->plan;
    const fc_axis *h = &s->phase->axis[1], *w = &s->phase->axis[2];
    const ptrdiff_t oc = call->channels.oc, channel = s->group * oc, out = h->dst * w->dst;
    const ptrdiff_t at = (s->image * call->channels.dst_channels + channel) * out + s->first * w->dst;
    const size_t dst_at = (size_t)at * call->element;
    call->kernels->conv->depthwise_lines(&(fc_depthwise_lines){
        .groups = count,
        .oc = oc,
        .src = src,
        .src_channel = plane_of(s),
        .src_rows = h->src,
        .rows = s->rows,
        .cols = w->src,
        .taps_h = h->taps,
        .taps_w = w->taps,
        .row_first = s->first + h->offset_first,
        .row_offset = h->offset_step,
        .col_first = w->offset_first,
        .col_offset = w->offset_step,
        .src_row = s->at.src_row,
        .zeros = s->at.zeros,
        .zero_count = w->src + beside(plan, w),
        .masks = s->at.masks,
        .mask_step = mask_step(plan, w),
        .left = left_of(w),
        .skipped = skipped(plan, w),
        .weights = call->packed + (size_t)(channel * s->phase->taps) * call->element,
        .bias = call->bias ? call->bias + (size_t)channel * call->element : NULL,
        .residual = call->residual ? call->residual + dst_at : NULL,
        .dst = call->dst + dst_at,
        .dst_channel = out,
        .dst_row = h->offset_step * w->dst,
        .epilogue = &call->epilogue,
    });
}

/* Units of work: (image, box of rows, group); a thread takes the groups of one box together, and those whose rows the
 * array's ends let it read in one call. */
void fc_conv_depthwise_lines(const void *context, fc_part part)
{
    const fc_conv_call *call = context;
    const fc_conv_plan *plan = call->plan;
    const ptrdiff_t groups = call->channels.groups;
    fc_arena arena = fc_thread_arena(call, part.thread);
    fc_phase phase;
    fc_phase_at(&plan->desc, 0, &phase);
    unit s = {.call = call, .phase = &phase};
    lay_out(plan, &phase, &arena, &s.at);
    const fc_axis *h = &phase.axis[1];
    const ptrdiff_t boxes = fc_divide_up(h->count, plan->tile[1]);
    ptrdiff_t begin, end;
    fc_share_of(call->n * boxes * groups, part, &begin, &end);
    for (ptrdiff_t count; begin < end; begin += count) {
        s.group = begin % groups;
        s.image = begin / groups / boxes;
        s.first = begin / groups % boxes * plan->tile[1];
        s.rows = fc_min(plan->tile[1], h->count - s.first);
        const ptrdiff_t row = s.first + h->offset_first;
        s.top = fc_min(fc_max_extent(row, 0), h->src);
        s.bottom = fc_max_extent(fc_min(row + rows_over(h, s.rows), h->src), s.top);
        const char *src = call->src + (size_t)source_at(&s) * call->element;
        count = groups_in_place(&s, fc_min(groups - s.group, end - begin));
        if (count == 0) {
            count = 1;
            src = copied(&s, src);
        }
        run_groups(&s, count, src);
    }
}
