/* The depthwise family, channels-first: groups with one channel going in, or one coming out, and few on the other side.
 *
 * A unit of work is one group's box of output positions, whose input a kernel copies to a band that stays in L1,
 * de-interleaved by the stride as the plane family's is. */
#include "conv.h"
#include "parallel.h"

enum { BAND_BYTES = 20 * 1024, MOST_CHANNELS = 4, MOST_TOGETHER = 8 };

bool fc_depthwise_planes_serve(const fc_conv_desc *desc)
{
    const fc_channels channels = fc_conv_channels(desc);
    const bool flat = desc->src[0] == 1 && desc->kernel[0] == 1 && desc->dst[0] == 1 && desc->pad_begin[0] == 0;
    return flat && channels.groups > 1 && (channels.ic == 1 || channels.oc == 1) &&
           channels.ic * channels.oc <= MOST_CHANNELS;
}

/* How an axis of a box is stored: one slot for each residue of the taps' offsets modulo the stride. */
typedef struct {
    ptrdiff_t slots, length;
} band_axis;

static band_axis band_axis_of(const fc_axis *axis, ptrdiff_t count)
{
    band_axis band = {.slots = fc_max_extent(axis->taps, 1), .length = count};
    for (ptrdiff_t t = 1; t < axis->taps; t++) /* the first tap that returns to slot 0 */
        if (t * axis->offset_step % axis->src_step == 0) {
            band.slots = t;
            break;
        }
    ptrdiff_t reach = 0;
    for (ptrdiff_t t = band.slots; t < axis->taps; t++)
        reach = fc_max_extent(reach, (t - t % band.slots) * axis->offset_step / axis->src_step);
    band.length += reach;
    return band;
}

static ptrdiff_t band_size(const fc_phase *phase, const ptrdiff_t *box)
{
    const band_axis h = band_axis_of(&phase->axis[1], box[1]), w = band_axis_of(&phase->axis[2], box[2]);
    return fc_saturate(fc_saturate(h.slots, h.length), fc_saturate(w.slots, w.length));
}

/* Groups whose bands fit together; and the elements of one result's line, whole vectors. */
static ptrdiff_t groups_together(const fc_conv_plan *plan)
{
    const ptrdiff_t fitting = BAND_BYTES / (ptrdiff_t)fc_element(&plan->desc) / fc_max_extent(plan->band, 1);
    return fc_min(fc_max_extent(fitting, 1), MOST_TOGETHER);
}

static ptrdiff_t line_of(const fc_conv_plan *plan) { return (plan->band / plan->lanes + 2) * plan->lanes; }

typedef struct {
    char *band, *acc;
    ptrdiff_t *offsets;
} workspace;

static void lay_out(const fc_conv_plan *plan, fc_arena *arena, workspace *at)
{
    const fc_channels channels = fc_conv_channels(&plan->desc);
    const ptrdiff_t *kernel = plan->desc.kernel, together = groups_together(plan);
    at->band = fc_carve(arena, together * plan->band + plan->lanes, fc_element(&plan->desc));
    at->acc = fc_carve(arena, together * channels.oc * line_of(plan), fc_element(&plan->desc));
    at->offsets = fc_carve(arena, fc_saturate(fc_saturate(kernel[1], kernel[2]), channels.ic), sizeof(ptrdiff_t));
}

/* The largest box, whole rows first, whose band fits. */
static void choose_box(fc_conv_plan *plan, const fc_phase *phase)
{
    const ptrdiff_t least[] = {1, 1, fc_min(8 * plan->lanes, phase->axis[2].count)};
    const double channel = (double)fc_element(&plan->desc) * (double)fc_conv_channels(&plan->desc).ic;
    plan->tile[0] = plan->tile[1] = 1;
    for (int a = 2; a >= 1; a--) {
        const ptrdiff_t count = phase->axis[a].count;
        ptrdiff_t pieces = 1;
        for (;; pieces *= 2) {
            plan->tile[a] = fc_divide_up(count, pieces);
            if (plan->tile[a] <= least[a] || (double)band_size(phase, plan->tile) * channel <= BAND_BYTES)
                break;
        }
    }
}

fc_status fc_plan_depthwise_planes(fc_conv_plan *plan)
{
    const ptrdiff_t phases = fc_phases(&plan->desc);
    plan->rows = 1;
    plan->vectors = 8;
    for (ptrdiff_t i = 0; i < phases; i++) {
        fc_phase phase;
        fc_phase_at(&plan->desc, i, &phase);
        if (i == 0) /* the one with the most positions */
            choose_box(plan, &phase);
        const ptrdiff_t line = fc_saturate(plan->tile[1], band_axis_of(&phase.axis[2], plan->tile[2]).length);
        const ptrdiff_t band = fc_saturate(band_size(&phase, plan->tile), fc_conv_channels(&plan->desc).ic);
        plan->band = fc_max_extent(plan->band, fc_max_extent(band, line));
    }
    if (plan->band > PTRDIFF_MAX / 16)
        return FC_OVERFLOW;
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
    band_axis band[FC_SPATIAL];
    bool owns_rows; /* a thread runs all phases of its planes */
    ptrdiff_t image, group, groups;
    ptrdiff_t first[FC_SPATIAL], box[FC_SPATIAL];
} unit;

/* Where every tap of every channel of a group begins in the band. */
static void fill_offsets(const unit *s)
{
    const fc_axis *axis = s->phase->axis;
    const band_axis *h = &s->band[1], *w = &s->band[2];
    const ptrdiff_t slot = h->length * w->length, channel = h->slots * w->slots * slot;
    ptrdiff_t *to = s->at.offsets;
    for (ptrdiff_t c = 0; c < s->call->channels.ic; c++)
        for (ptrdiff_t y = 0; y < axis[1].taps; y++)
            for (ptrdiff_t x = 0; x < axis[2].taps; x++) {
                const ptrdiff_t down = (y - y % h->slots) * axis[1].offset_step / axis[1].src_step;
                const ptrdiff_t right = (x - x % w->slots) * axis[2].offset_step / axis[2].src_step;
                *to++ = c * channel + (y % h->slots * w->slots + x % w->slots) * slot + down * w->length + right;
            }
}

static void run_unit(const unit *s)
{
    const fc_conv_call *call = s->call;
    const fc_channels *channels = &call->channels;
    const fc_axis *h = &s->phase->axis[1], *w = &s->phase->axis[2];
    const ptrdiff_t taps = s->phase->taps * channels->ic, out = s->group * channels->oc;
    const ptrdiff_t plane = s->image * channels->src_channels + s->group * channels->ic;
    ptrdiff_t at = s->image * channels->dst_channels + out;
    at = at * h->dst + h->dst_first + s->first[1] * h->dst_step;
    at = at * w->dst + w->dst_first + s->first[2] * w->dst_step;
    call->kernels->conv->depthwise_planes(&(fc_depthwise_planes){
        .groups = s->groups,
        .together = groups_together(call->plan),
        .ic = channels->ic,
        .oc = channels->oc,
        .src = call->src + (size_t)(plane * h->src * w->src) * call->element,
        .src_rows = h->src,
        .src_cols = w->src,
        .slots_h = s->band[1].slots,
        .slots_w = s->band[2].slots,
        .rows = s->band[1].length,
        .pitch = s->band[2].length,
        .row_first = s->first[1] * h->src_step + h->offset_first,
        .row_offset = h->offset_step,
        .row_step = h->src_step,
        .col_first = s->first[2] * w->src_step + w->offset_first,
        .col_offset = w->offset_step,
        .col_step = w->src_step,
        .offsets = s->at.offsets,
        .taps = taps,
        .piece = FC_SUM_LENGTH,
        .weights = s->packed + (size_t)(out * taps) * call->element,
        .bias = call->bias ? call->bias + (size_t)out * call->element : NULL,
        .residual = call->residual ? call->residual + (size_t)at * call->element : NULL,
        .band = s->at.band,
        .acc = s->at.acc,
        .acc_step = line_of(call->plan),
        .out_rows = s->box[1],
        .out_cols = s->box[2],
        .dst = call->dst + (size_t)at * call->element,
        .dst_channel = h->dst * w->dst,
        .dst_row = h->dst_step * w->dst,
        .dst_col = w->dst_step,
        .owns_rows = s->owns_rows,
        .epilogue = &call->epilogue,
    });
}

/* Some groups of one image, box by box. */
static void run_boxes(unit *s, ptrdiff_t first, ptrdiff_t end)
{
    const ptrdiff_t *tile = s->call->plan->tile;
    const fc_axis *axis = s->phase->axis;
    s->group = first;
    s->groups = end - first;
    for (s->first[1] = 0; s->first[1] < axis[1].count; s->first[1] += tile[1])
        for (s->first[2] = 0; s->first[2] < axis[2].count; s->first[2] += tile[2]) {
            for (int a = 1; a < FC_SPATIAL; a++)
                s->box[a] = fc_min(tile[a], axis[a].count - s->first[a]);
            run_unit(s);
        }
}

/* What a phase means for the bands of its boxes. */
static void enter_phase(unit *s, const fc_phase *phase)
{
    s->phase = phase;
    for (int a = 1; a < FC_SPATIAL; a++)
        s->band[a] = band_axis_of(&phase->axis[a], s->call->plan->tile[a]);
    fill_offsets(s);
}

/* Units of work: (image, box, group); a thread takes the groups of one box together. */
static void run_phase(unit *s, fc_part part)
{
    const fc_conv_call *call = s->call;
    const ptrdiff_t *tile = call->plan->tile, groups = call->channels.groups;
    const fc_axis *axis = s->phase->axis;
    const ptrdiff_t down = fc_divide_up(axis[1].count, tile[1]), across = fc_divide_up(axis[2].count, tile[2]);
    ptrdiff_t begin, end;
    fc_share_of(call->n * down * across * groups, part, &begin, &end);
    while (begin < end) {
        const ptrdiff_t box = begin / groups;
        s->group = begin % groups;
        s->groups = fc_min(groups - s->group, end - begin);
        begin += s->groups;
        s->first[1] = box / across % down * tile[1];
        s->first[2] = box % across * tile[2];
        for (int a = 1; a < FC_SPATIAL; a++)
            s->box[a] = fc_min(tile[a], axis[a].count - s->first[a]);
        s->image = box / across / down;
        run_unit(s);
    }
}

/* Units of work: (image, group). Phases write to the same lines: they take turns, over as many groups as stay in cache.
 */
static void run_phases(unit *s, ptrdiff_t phases, fc_part part)
{
    const fc_conv_call *call = s->call;
    const fc_conv_plan *plan = call->plan;
    const ptrdiff_t groups = call->channels.groups;
    const double plane = (double)plan->desc.src[1] * (double)plan->desc.src[2] * (double)call->channels.oc;
    const double fitting = (double)fc_l2_bytes() / 2 / (plane * (double)call->element);
    s->owns_rows = true;
    const ptrdiff_t most = fitting < 1 ? 1 : fc_min((ptrdiff_t)fitting, groups_together(plan));
    ptrdiff_t begin, end;
    fc_share_of(call->n * groups, part, &begin, &end);
    for (ptrdiff_t count; begin < end; begin += count) {
        const ptrdiff_t group = begin % groups;
        count = fc_min(fc_min(most, groups - group), end - begin);
        s->image = begin / groups;
        s->packed = call->packed;
        for (ptrdiff_t i = 0; i < phases; i++) {
            fc_phase phase;
            fc_phase_at(&plan->desc, i, &phase);
            enter_phase(s, &phase);
            run_boxes(s, group, group + count);
            s->packed += (size_t)fc_packed_size(plan, &phase) * call->element;
        }
    }
}

void fc_conv_depthwise_planes(const void *context, fc_part part)
{
    const fc_conv_call *call = context;
    const ptrdiff_t phases = fc_phases(&call->plan->desc);
    fc_arena arena = fc_thread_arena(call, part.thread);
    unit s = {.call = call, .packed = call->packed};
    lay_out(call->plan, &arena, &s.at);
    if (phases > 1) {
        run_phases(&s, phases, part);
        return;
    }
    fc_phase phase;
    fc_phase_at(&call->plan->desc, 0, &phase);
    if (phase.count > 0) {
        enter_phase(&s, &phase);
        run_phase(&s, part);
    }
}
