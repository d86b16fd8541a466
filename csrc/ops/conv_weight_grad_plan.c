/* The gradient of the weights, planned: which tile, which regions of pixels, what a pass takes. */
#include "conv_weight_grad.h"
#include "winograd.h"

enum { STAGE_BYTES = 256 * 1024, PANEL_BYTES = 256 * 1024, HALF_L1 = 16 * 1024, MOST_IMAGES = 256, MOST_JOINED = 32 };

static ptrdiff_t volume(const ptrdiff_t extent[FC_SPATIAL]) { return extent[0] * extent[1] * extent[2]; }

/* A convolution of single pixels does not care for their shape: its axes become one line. */
static void fold_axes(fc_conv_desc *desc)
{
    for (int a = 0; a < FC_SPATIAL; a++)
        if (desc->kernel[a] > 1 || desc->stride[a] > 1 || desc->pad_begin[a] > 0 || desc->src[a] != desc->dst[a])
            return;
    const ptrdiff_t pixels = volume(desc->dst);
    for (int a = 0; a < FC_SPATIAL; a++)
        desc->src[a] = desc->dst[a] = a == FC_SPATIAL - 1 ? pixels : 1;
}

/* Half cycles of a pixel times all rows and lanes: multiply-adds, loads, and the panel that streams from the second
 * cache run side by side, and a sum's chain of additions bounds them. */
static double cost_of(ptrdiff_t rows, ptrdiff_t tiles, int vectors, ptrdiff_t lane_tiles)
{
    const double fma = (double)rows * vectors, loads = (double)rows + vectors, stream = 5.0 * vectors, latency = 8;
    double step = fma > loads ? fma : loads;
    step = step > stream ? step : stream;
    return ((step > latency ? step : latency) + 2) * (double)tiles * (double)lane_tiles;
}

/* The tile of least cost, and that. */
static double choose_tile(fc_conv_plan *plan)
{
    const fc_conv_desc *desc = &plan->desc;
    const fc_kernels *kernels = fc_kernels_for(desc->isa, desc->dtype);
    const ptrdiff_t ic = desc->ic / desc->groups, oc = desc->oc / desc->groups, inner = desc->kernel[2];
    const bool can_join = inner > 1 && desc->dilation[2] == 1 && ic <= MOST_JOINED;
    double least = 0;
    for (int v = 1; v <= FC_MAX_VECTORS; v++) {
        if (kernels->max_rows[v] == 0)
            continue;
        const ptrdiff_t lane_tiles = fc_divide_up(oc, (ptrdiff_t)v * plan->lanes);
        for (int joined = 0; joined <= can_join; joined++) {
            const ptrdiff_t rows = joined ? ic * inner : ic, tiles = fc_divide_up(rows, kernels->max_rows[v]);
            const ptrdiff_t each = fc_divide_up(rows, tiles);
            const double gather = 8 * (double)(joined ? 1 : tiles) / (double)(desc->kernel[0] * desc->kernel[1]);
            const double cost = cost_of(each, joined ? tiles : tiles * inner, v, lane_tiles) + gather;
            if (plan->vectors == 0 || cost < least) {
                plan->vectors = v;
                plan->rows = (int)each;
                plan->joined = joined;
                least = cost;
            }
        }
    }
    return least * (double)(desc->kernel[0] * desc->kernel[1]);
}

void fc_grad_span(const fc_grad_shape *s, const ptrdiff_t box[FC_SPATIAL], ptrdiff_t span[FC_SPATIAL])
{
    for (int a = 0; a < FC_SPATIAL; a++)
        span[a] = (box[a] - 1) * s->stride[a] + (s->desc.kernel[a] - 1) * s->desc.dilation[a] + 1;
}

/* Bytes of `channels` staged for a box. */
static double staged_bytes(const fc_grad_shape *s, const ptrdiff_t box[FC_SPATIAL], ptrdiff_t channels)
{
    ptrdiff_t span[FC_SPATIAL];
    fc_grad_span(s, box, span);
    return (double)span[0] * (double)span[1] * (double)span[2] * (double)channels * (double)fc_element(&s->desc);
}

/* Halves the box, outermost axis first, until all channels fit, but never below one partial sum; of a kernel of one
 * tap, not below half of one: a second pass would stage the gradient again. */
static void choose_box(const fc_grad_shape *s, ptrdiff_t box[FC_SPATIAL])
{
    for (int a = 0; a < FC_SPATIAL; a++)
        box[a] = s->desc.dst[a];
    box[2] = fc_divide_up(box[2], fc_divide_up(box[2], s->length));
    for (int a = 0; a < 2; a++)
        while (box[a] > 1 && (double)box[0] * (double)box[1] * (double)box[2] > (double)s->length &&
               staged_bytes(s, box, s->desc.ic) > STAGE_BYTES)
            box[a] = fc_divide_up(box[a], 2);
    while (s->taps == 1 && box[2] > s->length / 2 && staged_bytes(s, box, s->desc.ic) > STAGE_BYTES)
        box[2] = fc_divide_up(box[2], 2);
}

/* Whether input is read where it lies: channels are neighbours, no padding stands between, few panels share what
 * staging costs, and the pixels that a tile walks over do not meet in too few sets of the second cache. */
static bool in_place(const fc_conv_plan *plan, const fc_grad_shape *s)
{
    enum { FEW_PANELS = 16 }; /* in place is 5% faster with 4 and 16, 9% slower with 64 */
    const fc_conv_desc *desc = &s->desc;
    const ptrdiff_t lines = fc_divide_up(desc->ic * desc->stride[2] * (ptrdiff_t)fc_element(desc), FC_ALIGNMENT);
    ptrdiff_t apart = 1; /* the power of two in a pixel's lines */
    for (; lines % (2 * apart) == 0; apart *= 2)
        ;
    for (int a = 0; a < FC_SPATIAL; a++)
        if (desc->pad_begin[a] > 0 || desc->pad_end[a] > 0)
            return false;
    return desc->layout == FC_CHANNELS_LAST && (!s->joined || desc->groups == 1) && s->lane_tiles <= FEW_PANELS &&
           (double)volume(plan->tile) * (double)apart <= (double)fc_l2_bytes() / FC_ALIGNMENT / 2;
}

static fc_grad_shape uncut_shape(const fc_conv_plan *plan)
{
    fc_grad_shape s = {.desc = plan->desc, .joined = plan->joined};
    fold_axes(&s.desc);
    s.ic = s.desc.ic / s.desc.groups;
    s.oc = s.desc.oc / s.desc.groups;
    s.width = (ptrdiff_t)plan->vectors * plan->lanes;
    s.lane_tiles = fc_divide_up(s.oc, s.width);
    s.length = s.joined ? FC_SUM_LENGTH : fc_min(FC_SUM_LENGTH, HALF_L1 / (s.width * (ptrdiff_t)fc_element(&s.desc)));
    s.inner = s.joined ? s.desc.kernel[2] : 1;
    s.parts = fc_divide_up(s.ic * s.inner, plan->rows);
    s.blocks = s.joined ? 1 : s.parts;
    s.deep = s.joined ? s.ic : plan->rows;
    s.taps = volume(s.desc.kernel) / s.inner;
    for (int a = 0; a < FC_SPATIAL; a++) {
        const bool single = s.desc.kernel[a] == 1;
        s.step[a] = single ? s.desc.stride[a] : 1;
        s.stride[a] = single ? 1 : s.desc.stride[a];
    }
    return s;
}

/* What one pass takes: as many groups, or blocks of one, as fit. */
static void cut_passes(const fc_conv_plan *plan, fc_grad_shape *s)
{
    const double fit = STAGE_BYTES / staged_bytes(s, plan->tile, s->deep);
    const ptrdiff_t most = fit < 1 ? 1 : fit < 1e6 ? (ptrdiff_t)fit : 1000000;
    s->pass_groups = fc_min(fc_max_extent(most / s->blocks, 1), s->desc.groups);
    s->pass_blocks = fc_divide_up(s->blocks, fc_divide_up(s->blocks, most));
    const double panels = PANEL_BYTES / ((double)s->length * (double)s->width * (double)fc_element(&s->desc));
    s->in_place = in_place(plan, s);
    s->pixel = s->in_place ? s->desc.ic : s->deep;
    s->panels = panels < 1 ? 1 : fc_min((ptrdiff_t)panels, s->pass_groups * s->lane_tiles);
}

fc_grad_shape fc_grad_shape_of(const fc_conv_plan *plan)
{
    fc_grad_shape s = uncut_shape(plan);
    cut_passes(plan, &s);
    return s;
}

/* Images per region: several when a whole one is small. */
ptrdiff_t fc_grad_images(const fc_conv_plan *plan, const fc_grad_shape *s)
{
    for (int a = 0; a < FC_SPATIAL; a++)
        if (plan->tile[a] < s->desc.dst[a])
            return 1;
    const double images = STAGE_BYTES / staged_bytes(s, plan->tile, s->desc.ic);
    return images < 1 ? 1 : images > MOST_IMAGES ? MOST_IMAGES : (ptrdiff_t)images;
}

/* Items of a pass: what one thread sums at a time. Joined rows, of which there are few, one register tile; else all
 * taps of a block. */
ptrdiff_t fc_grad_items(const fc_grad_shape *s, ptrdiff_t groups, ptrdiff_t blocks)
{
    return groups * s->lane_tiles * blocks * (s->joined ? s->taps * s->parts : 1);
}

ptrdiff_t fc_grad_item_rows(const fc_conv_plan *plan, const fc_grad_shape *s)
{
    return plan->rows * (s->joined ? 1 : s->taps);
}

void fc_grad_lay_out(const fc_conv_plan *plan, const fc_grad_shape *s, fc_arena *arena, fc_grad_workspace *at)
{
    const size_t element = fc_element(&s->desc);
    const ptrdiff_t images = fc_grad_images(plan, s);
    ptrdiff_t span[FC_SPATIAL], src, items;
    fc_grad_span(s, plan->tile, span);
    src = fc_saturate(fc_saturate(span[0], span[1]), fc_saturate(span[2], s->pass_groups * s->pass_blocks * s->deep));
    arena->fits = src < PTRDIFF_MAX / 4096 && arena->fits; /* at most MOST_IMAGES */
    arena->fits =
        fc_multiply(fc_grad_items(s, s->pass_groups, s->pass_blocks), fc_grad_item_rows(plan, s) * s->width, &items) &&
        arena->fits;
    at->src = fc_carve(arena, arena->fits && !s->in_place ? images * src : 0, element);
    at->acc = fc_carve(arena, items, element);
    at->starts = fc_carve(arena, images * plan->tile[0] * plan->tile[1], sizeof(ptrdiff_t));
    at->tap_at = fc_carve(arena, s->taps, sizeof(ptrdiff_t));
    at->tap_to = fc_carve(arena, s->taps, sizeof(ptrdiff_t));
}

void fc_grad_lay_out_thread(const fc_conv_plan *plan, const fc_grad_shape *s, fc_arena *arena,
                            fc_grad_thread_workspace *at)
{
    const size_t element = fc_element(&s->desc);
    at->grad = fc_carve(arena, s->panels * s->length * s->width, element);
    at->acc = fc_carve(arena, fc_grad_item_rows(plan, s) * s->width, element);
    at->rows = fc_carve(arena, fc_grad_item_rows(plan, s), sizeof(ptrdiff_t));
}

fc_status fc_plan_weight_grad(fc_conv_plan *plan)
{
    fc_conv_plan along = *plan;
    const double planes = fc_choose_planes(&along);
    if (fc_is_depthwise(&plan->desc) && plan->desc.layout == FC_CHANNELS_LAST && plan->desc.groups > 1)
        return fc_plan_depthwise_grad(plan);
    if (fc_is_depthwise(&plan->desc) || (planes < 0.8 * choose_tile(plan) && !fc_is_folded(plan))) {
        *plan = along;
        plan->along_pixels = true;
        return fc_plan_planes_grad(plan);
    }
    fc_grad_shape s = uncut_shape(plan);
    choose_box(&s, plan->tile);
    cut_passes(plan, &s);
    fc_arena arena = {.fits = true}, thread_arena = {.fits = true};
    fc_grad_workspace at;
    fc_grad_thread_workspace thread_at;
    fc_grad_lay_out(plan, &s, &arena, &at);
    fc_grad_lay_out_thread(plan, &s, &thread_arena, &thread_at);
    plan->shared_bytes = (arena.used + 127) / 128 * 128;
    if (!arena.fits || fc_set_workspace(plan, &thread_arena) != FC_OK)
        return FC_OVERFLOW;
    fc_plan_winograd_grad(plan);
    return FC_OK;
}
