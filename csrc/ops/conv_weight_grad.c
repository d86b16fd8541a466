/* The gradient of the weights: a matrix product of the input's channels, tap by tap, with the output's, over pixels.
 *
 * Input channels are cut into blocks of a register tile's rows. A pass takes as many blocks as fit half of a cache and
 * goes over the batch: regions of it (some images, or a box of one) are staged block by block, [block][pixel][row],
 * zero-padded, whatever the arrays' layout. Then every tile of the result streams over the region, FC_SUM_LENGTH pixels
 * at a time, against a panel of the gradient, [pixel][lane], that its owner stages for itself. Few input channels give
 * a block few rows; then the taps of a kernel row, which are neighbours in a staged row, are joined to one run of rows.
 *
 * Threads share the staging first and the tiles after it; each tile has one owner and one order of its sums, so the
 * bits never depend on the threads.
 */
#include "conv.h"
#include "parallel.h"

#include <string.h>

enum { STAGE_BYTES = 256 * 1024, PANEL_BYTES = 128 * 1024, MOST_IMAGES = 256, MOST_JOINED = 32 };

/* What a plan comes down to, found again at each call. All counts are of one group. */
typedef struct {
    fc_conv_desc desc; /* with axes folded */
    ptrdiff_t ic, oc, width, lane_tiles;
    bool joined;                        /* a row of a tile is a (tap of a kernel row, channel) */
    ptrdiff_t parts;                    /* register tiles of a tap's rows */
    ptrdiff_t blocks, deep;             /* of staged channels, and the channels of one: one of all when joined */
    ptrdiff_t taps, inner;              /* taps that are walked one by one; those that are joined */
    ptrdiff_t pass_groups, pass_blocks; /* one pass takes some groups, or some blocks of one */
    ptrdiff_t panels;                   /* of the gradient that a thread stages at once */
    ptrdiff_t step[FC_SPATIAL];         /* from a staged position to the next, in the input */
    ptrdiff_t stride[FC_SPATIAL];       /* from an output position to the next, in staged ones */
} shape;

/* Shared by all threads. */
typedef struct {
    char *src;         /* [block][image][depth][row][column][channel of the block] */
    char *acc;         /* [item][row][lane] */
    ptrdiff_t *starts; /* of the region's output rows, in staged pixels */
    ptrdiff_t *tap_at; /* of the taps that are walked, in staged pixels */
    ptrdiff_t *tap_to; /* of their weights in dweights */
} workspace;

typedef struct {
    char *grad; /* panels */
    char *acc;  /* of one item */
    ptrdiff_t *rows;
} thread_workspace;

typedef struct {
    const fc_conv_plan *plan;
    const fc_kernels *kernels;
    shape shape;
    size_t element;
    const char *src, *grad;
    char *dweights, *thread_memory;
    const ptrdiff_t *strides;
    workspace at;
    fc_phase phase;
    bool uniform;                                       /* strides say where weights lie */
    bool columns;                                       /* a channel's rows of dweights are neighbours */
    ptrdiff_t span[FC_SPATIAL];                         /* of the staged input of one image */
    ptrdiff_t first_group, groups, first_block, blocks; /* of this pass */
    ptrdiff_t first_image, images, first[FC_SPATIAL], box[FC_SPATIAL];
    bool initial, final; /* the region is the pass's first, or last */
} weight_grad_call;

static ptrdiff_t volume(const ptrdiff_t extent[FC_SPATIAL]) { return extent[0] * extent[1] * extent[2]; }

/* ---- planning --------------------------------------------------------------------------------------------- */

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

static void span_of(const shape *s, const ptrdiff_t box[FC_SPATIAL], ptrdiff_t span[FC_SPATIAL])
{
    for (int a = 0; a < FC_SPATIAL; a++)
        span[a] = (box[a] - 1) * s->stride[a] + (s->desc.kernel[a] - 1) * s->desc.dilation[a] + 1;
}

/* Bytes of `channels` staged for a box. */
static double staged_bytes(const shape *s, const ptrdiff_t box[FC_SPATIAL], ptrdiff_t channels)
{
    ptrdiff_t span[FC_SPATIAL];
    span_of(s, box, span);
    return (double)span[0] * (double)span[1] * (double)span[2] * (double)channels * (double)fc_element(&s->desc);
}

/* Halves the box, outermost axis first, until all channels fit, but never below one partial sum. */
static void choose_box(const shape *s, ptrdiff_t box[FC_SPATIAL])
{
    for (int a = 0; a < FC_SPATIAL; a++)
        box[a] = s->desc.dst[a];
    box[2] = fc_divide_up(box[2], fc_divide_up(box[2], FC_SUM_LENGTH));
    for (int a = 0; a < 2; a++)
        while (box[a] > 1 && (double)box[0] * (double)box[1] * (double)box[2] > FC_SUM_LENGTH &&
               staged_bytes(s, box, s->desc.ic) > STAGE_BYTES)
            box[a] = fc_divide_up(box[a], 2);
}

static shape shape_of(const fc_conv_plan *plan)
{
    shape s = {.desc = plan->desc, .joined = plan->joined};
    fold_axes(&s.desc);
    s.ic = s.desc.ic / s.desc.groups;
    s.oc = s.desc.oc / s.desc.groups;
    s.width = (ptrdiff_t)plan->vectors * plan->lanes;
    s.lane_tiles = fc_divide_up(s.oc, s.width);
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
static void cut_passes(const fc_conv_plan *plan, shape *s)
{
    const double fit = STAGE_BYTES / staged_bytes(s, plan->tile, s->deep);
    const ptrdiff_t most = fit < 1 ? 1 : fit < 1e6 ? (ptrdiff_t)fit : 1000000;
    s->pass_groups = fc_min(fc_max_extent(most / s->blocks, 1), s->desc.groups);
    s->pass_blocks = fc_divide_up(s->blocks, fc_divide_up(s->blocks, most));
    const double panels = PANEL_BYTES / ((double)FC_SUM_LENGTH * (double)s->width * (double)fc_element(&s->desc));
    s->panels = panels < 1 ? 1 : fc_min((ptrdiff_t)panels, s->pass_groups * s->lane_tiles);
}

/* Images per region: several when a whole one is small. */
static ptrdiff_t region_images(const fc_conv_plan *plan, const shape *s)
{
    for (int a = 0; a < FC_SPATIAL; a++)
        if (plan->tile[a] < s->desc.dst[a])
            return 1;
    const double images = STAGE_BYTES / staged_bytes(s, plan->tile, s->desc.ic);
    return images < 1 ? 1 : images > MOST_IMAGES ? MOST_IMAGES : (ptrdiff_t)images;
}

/* Items of a pass: what one thread sums at a time. Joined rows, of which there are few, one register tile; else all
 * taps of a block. */
static ptrdiff_t items_of(const shape *s, ptrdiff_t groups, ptrdiff_t blocks)
{
    return groups * s->lane_tiles * blocks * (s->joined ? s->taps * s->parts : 1);
}

static ptrdiff_t item_rows(const fc_conv_plan *plan, const shape *s) { return plan->rows * (s->joined ? 1 : s->taps); }

static void lay_out(const fc_conv_plan *plan, const shape *s, fc_arena *arena, workspace *at)
{
    const size_t element = fc_element(&s->desc);
    const ptrdiff_t images = region_images(plan, s);
    ptrdiff_t span[FC_SPATIAL], src, items;
    span_of(s, plan->tile, span);
    src = fc_saturate(fc_saturate(span[0], span[1]), fc_saturate(span[2], s->pass_groups * s->pass_blocks * s->deep));
    arena->fits = src < PTRDIFF_MAX / 4096 && arena->fits; /* at most MOST_IMAGES */
    arena->fits =
        fc_multiply(items_of(s, s->pass_groups, s->pass_blocks), item_rows(plan, s) * s->width, &items) && arena->fits;
    at->src = fc_carve(arena, arena->fits ? images * src : 0, element);
    at->acc = fc_carve(arena, items, element);
    at->starts = fc_carve(arena, images * plan->tile[0] * plan->tile[1], sizeof(ptrdiff_t));
    at->tap_at = fc_carve(arena, s->taps, sizeof(ptrdiff_t));
    at->tap_to = fc_carve(arena, s->taps, sizeof(ptrdiff_t));
}

static void lay_out_thread(const fc_conv_plan *plan, const shape *s, fc_arena *arena, thread_workspace *at)
{
    const size_t element = fc_element(&s->desc);
    at->grad = fc_carve(arena, s->panels * FC_SUM_LENGTH * s->width, element);
    at->acc = fc_carve(arena, item_rows(plan, s) * s->width, element);
    at->rows = fc_carve(arena, item_rows(plan, s), sizeof(ptrdiff_t));
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
    shape s = shape_of(plan);
    choose_box(&s, plan->tile);
    cut_passes(plan, &s);
    fc_arena arena = {.fits = true}, thread_arena = {.fits = true};
    workspace at;
    thread_workspace thread_at;
    lay_out(plan, &s, &arena, &at);
    lay_out_thread(plan, &s, &thread_arena, &thread_at);
    plan->shared_bytes = (arena.used + 127) / 128 * 128;
    return arena.fits ? fc_set_workspace(plan, &thread_arena) : FC_OVERFLOW;
}

/* ---- staging ---------------------------------------------------------------------------------------------- */

/* `pixels` of one row, `step` apart, from `place` on, all inside the array; `channels` of them from `channel` on, cut
 * into panels. */
static void gather(const weight_grad_call *s, const char *array, const ptrdiff_t extent[FC_SPATIAL],
                   ptrdiff_t all_channels, ptrdiff_t image, const ptrdiff_t place[FC_SPATIAL], ptrdiff_t step,
                   ptrdiff_t channel, fc_gather *to)
{
    const bool last = s->shape.desc.layout == FC_CHANNELS_LAST;
    const ptrdiff_t pixel = (place[0] * extent[1] + place[1]) * extent[2] + place[2], plane = volume(extent);
    const ptrdiff_t at =
        last ? (image * plane + pixel) * all_channels + channel : (image * all_channels + channel) * plane + pixel;
    to->src = array + (size_t)at * s->element;
    to->pixel_step = last ? step * all_channels : step;
    to->channel_step = last ? 1 : plane;
    s->kernels->conv->gather(to);
}

/* Elements of one staged block. */
static ptrdiff_t block_size(const weight_grad_call *s) { return s->images * volume(s->span) * s->shape.deep; }

static void zero_pixels(const weight_grad_call *s, ptrdiff_t blocks, ptrdiff_t pixels, char *dst)
{
    for (ptrdiff_t b = 0; b < blocks && pixels > 0; b++)
        memset(dst + (size_t)(b * block_size(s)) * s->element, 0, (size_t)(pixels * s->shape.deep) * s->element);
}

/* One row of the input of some blocks, zero outside the array. */
static void stage_row(const weight_grad_call *s, ptrdiff_t channel, ptrdiff_t channels, ptrdiff_t unit, char *dst)
{
    const shape *shape = &s->shape;
    const fc_conv_desc *desc = &shape->desc;
    const ptrdiff_t step = shape->step[2], rows = s->span[0] * s->span[1];
    const ptrdiff_t blocks = fc_divide_up(channels, shape->deep);
    const size_t pixel = (size_t)shape->deep * s->element;
    ptrdiff_t place[FC_SPATIAL] = {unit % rows / s->span[1], unit % s->span[1], 0};
    for (int a = 0; a < FC_SPATIAL; a++)
        place[a] = s->first[a] * desc->stride[a] - desc->pad_begin[a] + place[a] * shape->step[a];
    const fc_axis axis = {.src = desc->src[2], .src_step = step, .count = s->span[2]};
    const fc_window inside = fc_valid(&axis, place[2]);
    if ((size_t)place[0] >= (size_t)desc->src[0] || (size_t)place[1] >= (size_t)desc->src[1] ||
        inside.begin >= inside.end) {
        zero_pixels(s, blocks, s->span[2], dst);
        return;
    }
    zero_pixels(s, blocks, inside.begin, dst);
    zero_pixels(s, blocks, s->span[2] - inside.end, dst + (size_t)inside.end * pixel);
    place[2] += inside.begin * step;
    fc_gather to = {
        .pixels = inside.end - inside.begin,
        .channels = channels,
        .piece = (int)shape->deep,
        .width = (int)shape->deep,
        .pitch = shape->deep,
        .panel_step = block_size(s),
        .dst = dst + (size_t)inside.begin * pixel,
    };
    gather(s, s->src, desc->src, desc->ic, s->first_image + unit / rows, place, step, channel, &to);
}

/* Units of work: rows of the region, each with all blocks of the pass. */
static void stage(const void *context, fc_part part)
{
    const weight_grad_call *s = context;
    const shape *shape = &s->shape;
    const ptrdiff_t rows = s->images * s->span[0] * s->span[1], first = s->first_block * shape->deep;
    const ptrdiff_t channels = fc_min(s->blocks * shape->deep, shape->ic - first);
    const bool whole = shape->ic % shape->deep == 0 && s->blocks == shape->blocks; /* groups follow without a gap */
    const ptrdiff_t calls = whole ? 1 : s->groups, groups = whole ? s->groups : 1;
    ptrdiff_t begin, end;
    fc_share_of(rows, part, &begin, &end);
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        for (ptrdiff_t g = 0; g < calls; g++) {
            const ptrdiff_t at = g * s->blocks * block_size(s) + unit * s->span[2] * shape->deep;
            stage_row(s, (s->first_group + g) * shape->ic + first, groups * channels, unit,
                      s->at.src + (size_t)at * s->element);
        }
    }
}

/* Panels [panel, panel + count) of the pass: output rows [first, first + runs) of the region. */
static void stage_grad(const weight_grad_call *s, ptrdiff_t panel, ptrdiff_t count, ptrdiff_t first, ptrdiff_t runs,
                       char *dst)
{
    const shape *shape = &s->shape;
    const ptrdiff_t size = runs * s->box[2] * shape->width; /* of a panel */
    const bool whole = shape->lane_tiles == 1 || shape->desc.groups == 1 || shape->oc % shape->width == 0;
    for (ptrdiff_t run = first; run < first + runs; run++) {
        const ptrdiff_t place[FC_SPATIAL] = {s->first[0] + run / s->box[1] % s->box[0], s->first[1] + run % s->box[1],
                                             s->first[2]};
        const ptrdiff_t image = s->first_image + run / s->box[1] / s->box[0];
        for (ptrdiff_t q = panel; q < panel + count;) {
            const ptrdiff_t group = s->first_group + q / shape->lane_tiles, lane = q % shape->lane_tiles * shape->width;
            const ptrdiff_t left = whole ? (shape->desc.groups - group) * shape->oc - lane : shape->oc - lane;
            const int piece = (int)fc_min(shape->width, shape->oc);
            const ptrdiff_t channels = fc_min((panel + count - q) * piece, left);
            fc_gather to = {
                .pixels = s->box[2],
                .channels = channels,
                .piece = piece,
                .width = (int)shape->width,
                .pitch = shape->width,
                .panel_step = size,
                .dst = dst + (size_t)((q - panel) * size + (run - first) * s->box[2] * shape->width) * s->element,
            };
            gather(s, s->grad, shape->desc.dst, shape->desc.oc, image, place, 1, group * shape->oc + lane, &to);
            q += fc_divide_up(channels, piece);
        }
    }
}

/* ---- summing ---------------------------------------------------------------------------------------------- */

/* What a thread sums at a time: taps [tap, tap + taps) by rows [begin, end) of a staged pixel. */
typedef struct {
    ptrdiff_t panel, group, lane, block, channel; /* group and channel (the block's first) in the whole arrays */
    ptrdiff_t tap, taps, begin, end;
    char *acc;
} item;

/* By pointer: a copy would wait for the stores of the item before. */
static void find_item(const weight_grad_call *s, ptrdiff_t index, item *one)
{
    const shape *shape = &s->shape;
    const ptrdiff_t tiles = shape->joined ? shape->taps * shape->parts : 1, tile = index % tiles;
    const ptrdiff_t number = index / tiles, panel = number / s->blocks, group = panel / shape->lane_tiles;
    *one = (item){
        .panel = panel,
        .group = s->first_group + group,
        .lane = (panel - group * shape->lane_tiles) * shape->width,
        .block = group * s->blocks + number % s->blocks,
        .channel = (s->first_block + number % s->blocks) * shape->deep,
        .acc = s->at.acc + (size_t)(index * item_rows(s->plan, shape) * shape->width) * s->element,
        .taps = shape->taps,
    };
    one->end = fc_min(shape->deep, shape->ic - one->channel);
    if (shape->joined) {
        one->tap = tile / shape->parts;
        one->taps = 1;
        fc_share(shape->ic * shape->inner, (int)(tile % shape->parts), (int)shape->parts, &one->begin, &one->end);
    }
}

/* Where rows [begin, end) of an item, seen through tap `tap`, have their weights. */
static void weights_at(const weight_grad_call *s, const item *one, ptrdiff_t tap, ptrdiff_t *at)
{
    for (ptrdiff_t r = one->begin; r < one->end && !s->uniform; r++)
        *at++ = fc_input_at(s->plan, one->channel + r, s->strides);
    if (!s->uniform)
        return;
    ptrdiff_t inner = one->begin / s->shape.deep, channel = one->begin % s->shape.deep;
    for (ptrdiff_t r = one->begin; r < one->end; r++) {
        *at++ = s->at.tap_to[tap] + inner * s->strides[4] + (one->channel + channel) * s->strides[1];
        if (++channel == s->shape.deep) {
            channel = 0;
            inner++;
        }
    }
}

/* An item's sums to dweights. Rows whose weights are neighbours leave as columns. */
static void store(const weight_grad_call *s, const item *one, const char *acc, ptrdiff_t *rows)
{
    static const fc_epilogue none = {FC_IDENTITY, 0, 0};
    const shape *shape = &s->shape;
    const ptrdiff_t count = one->end - one->begin, live = fc_min(shape->width, shape->oc - one->lane);
    char *const dst = s->dweights + (one->group * shape->oc + one->lane) * s->strides[0] * (ptrdiff_t)s->element;
    if (s->columns) {
        ptrdiff_t *row = rows;
        for (ptrdiff_t r = 0; r < count; r++)
            for (ptrdiff_t t = 0; t < one->taps; t++)
                *row++ = (t * count + r) * shape->width;
        s->kernels->conv->store_columns(&(fc_column_store){
            .acc = acc,
            .rows = rows,
            .count = one->taps * count,
            .live = (int)live,
            .channel_step = s->strides[0],
            .dst = dst + (one->channel * s->strides[1]) * (ptrdiff_t)s->element,
        });
        return;
    }
    for (ptrdiff_t t = 0; t < one->taps; t++)
        weights_at(s, one, one->tap + t, rows + t * count);
    s->kernels->conv->store_rows(&(fc_row_store){
        .acc = acc,
        .rows = (int)(one->taps * count),
        .stride = (int)shape->width,
        .live = (int)live,
        .offsets = rows,
        .channel_step = s->strides[0],
        .dst = dst,
        .epilogue = &none,
    });
}

/* Output rows [first, first + runs) of the region, added to an item's sums. */
static void sum_item(const weight_grad_call *s, const item *one, ptrdiff_t first, ptrdiff_t runs, const char *grad,
                     char *acc, bool accumulate)
{
    const shape *shape = &s->shape;
    const char *src = s->at.src + (size_t)(one->block * block_size(s)) * s->element;
    const ptrdiff_t rows = one->end - one->begin;
    fc_weight_grad_fn *const kernel = s->kernels->weight_grad[s->plan->vectors][rows];
    fc_grad_panel panel = {
        .starts = s->at.starts + first,
        .runs = runs,
        .length = s->box[2],
        .width = shape->deep,
        .step = shape->deep * shape->stride[2],
        .grad = grad,
    };
    for (ptrdiff_t t = 0; t < one->taps; t++, acc += (size_t)(rows * shape->width) * s->element) {
        panel.src = src + (size_t)(s->at.tap_at[one->tap + t] * shape->deep + one->begin) * s->element;
        kernel(&panel, acc, accumulate);
    }
}

/* The region's share of every item that this thread owns, in partial sums of FC_SUM_LENGTH pixels at most. */
static void sum_region(const void *context, fc_part part)
{
    const weight_grad_call *s = context;
    const shape *shape = &s->shape;
    const ptrdiff_t runs = s->images * s->box[0] * s->box[1];
    const ptrdiff_t pieces = fc_max_extent(fc_divide_up(runs, fc_max_extent(FC_SUM_LENGTH / s->box[2], 1)), 1);
    const bool single = s->initial && s->final && pieces == 1;
    thread_workspace at;
    fc_arena arena = {s->thread_memory + (size_t)part.thread * s->plan->workspace_bytes, 0, true};
    lay_out_thread(s->plan, shape, &arena, &at);
    ptrdiff_t begin, end;
    fc_share_of(items_of(shape, s->groups, s->blocks), part, &begin, &end);
    item one;
    find_item(s, fc_max_extent(end - 1, 0), &one);
    const ptrdiff_t panels = one.panel + 1;
    for (ptrdiff_t piece = 0; piece < pieces; piece++) {
        ptrdiff_t first, last, staged = 0, next = 0; /* panels [staged, next) are there */
        fc_share(runs, (int)piece, (int)pieces, &first, &last);
        const ptrdiff_t size = (last - first) * s->box[2] * shape->width;
        for (ptrdiff_t i = begin; i < end; i++) {
            find_item(s, i, &one);
            char *const acc = single ? at.acc : one.acc;
            if (one.panel >= next) {
                staged = one.panel;
                next = fc_min(staged + shape->panels, panels);
                stage_grad(s, staged, next - staged, first, last - first, at.grad);
            }
            sum_item(s, &one, first, last - first, at.grad + (size_t)((one.panel - staged) * size) * s->element, acc,
                     !s->initial || piece > 0);
            if (s->final && piece == pieces - 1)
                store(s, &one, acc, at.rows);
        }
    }
}

/* ---- running ---------------------------------------------------------------------------------------------- */

/* Region `index` of one pass over `n` images: which images, which box, where its rows and taps lie. */
static void place_region(weight_grad_call *s, ptrdiff_t index, ptrdiff_t n, ptrdiff_t images)
{
    const shape *shape = &s->shape;
    for (int a = FC_SPATIAL - 1; a >= 0; a--) {
        const ptrdiff_t boxes = fc_divide_up(shape->desc.dst[a], s->plan->tile[a]);
        s->first[a] = index % boxes * s->plan->tile[a];
        s->box[a] = fc_min(s->plan->tile[a], shape->desc.dst[a] - s->first[a]);
        index /= boxes;
    }
    s->first_image = index * images;
    s->images = fc_min(images, n - s->first_image);
    span_of(shape, s->box, s->span);
    ptrdiff_t *start = s->at.starts;
    for (ptrdiff_t i = 0; i < s->images; i++)
        for (ptrdiff_t d = 0; d < s->box[0]; d++)
            for (ptrdiff_t h = 0; h < s->box[1]; h++)
                *start++ = ((i * s->span[0] + d * shape->stride[0]) * s->span[1] + h * shape->stride[1]) * s->span[2];
    for (ptrdiff_t t = 0; t < shape->taps; t++) {
        ptrdiff_t offset[FC_SPATIAL], at = 0;
        ptrdiff_t flat = fc_tap(&shape->desc, &s->phase, t * shape->inner, offset);
        for (int a = 0; a < FC_SPATIAL; a++)
            at = at * s->span[a] + offset[a] + shape->desc.pad_begin[a];
        s->at.tap_at[t] = at;
        s->at.tap_to[t] = 0;
        for (int a = FC_SPATIAL - 1; a >= 0; a--) {
            s->at.tap_to[t] += flat % shape->desc.kernel[a] * s->strides[2 + a];
            flat /= shape->desc.kernel[a];
        }
    }
}

/* Whether the rows of an item, channel after channel and tap after tap, are neighbours in dweights. */
static bool leaves_as_columns(const weight_grad_call *s)
{
    const fc_conv_desc *desc = &s->plan->desc;
    ptrdiff_t expected = 1;
    for (int a = FC_SPATIAL - 1; a >= 0; a--) {
        if (desc->kernel[a] > 1 && s->strides[2 + a] != expected)
            return false;
        expected *= desc->kernel[a];
    }
    return !s->shape.joined && (s->shape.ic == 1 || s->strides[1] == expected);
}

static fc_status run_pass(weight_grad_call *s, ptrdiff_t n, int threads)
{
    const fc_conv_plan *plan = s->plan;
    const shape *shape = &s->shape;
    const ptrdiff_t images = region_images(plan, shape);
    const double share = (double)(s->groups * s->blocks) / (double)(shape->desc.groups * shape->blocks);
    ptrdiff_t regions = fc_divide_up(n, images);
    for (int a = 0; a < FC_SPATIAL; a++)
        regions *= fc_divide_up(shape->desc.dst[a], plan->tile[a]);
    regions = fc_max_extent(regions, 1); /* of no image: zeros */
    for (ptrdiff_t i = 0; i < regions; i++) {
        place_region(s, i, n, images);
        s->initial = i == 0;
        s->final = i == regions - 1;
        const double pixels = (double)(s->images * volume(s->box)) / (double)volume(shape->desc.dst);
        const fc_crew crew = fc_crew_for(plan->flops / 2 * share * pixels, threads);
        if (fc_parallel(crew, stage, s) || fc_parallel(crew, sum_region, s) || (!s->final && fc_stopped()))
            return FC_STOPPED;
    }
    return FC_OK;
}

fc_status fc_conv_weight_grad(const fc_conv_plan *plan, ptrdiff_t n, const void *src, const void *grad, void *dweights,
                              const ptrdiff_t strides[2 + FC_SPATIAL], void *memory, int threads)
{
    if (plan->along_pixels)
        return fc_planes_grad(plan, n, src, grad, dweights, strides, memory, threads);
    if (fc_is_depthwise(&plan->desc))
        return fc_depthwise_grad(plan, n, src, grad, dweights, strides, memory, threads);
    weight_grad_call s = {
        .plan = plan,
        .kernels = fc_kernels_for(plan->desc.isa, plan->desc.dtype),
        .shape = shape_of(plan),
        .element = fc_element(&plan->desc),
        .src = src,
        .grad = grad,
        .dweights = dweights,
        .thread_memory = (char *)memory + plan->shared_bytes,
    };
    ptrdiff_t folded[2 + FC_SPATIAL];
    s.uniform = fc_fold_strides(plan, strides, folded);
    s.strides = s.uniform ? folded : strides;
    cut_passes(plan, &s.shape);
    s.columns = s.uniform && leaves_as_columns(&s);
    fc_arena arena = {memory, 0, true};
    lay_out(plan, &s.shape, &arena, &s.at);
    fc_phase_at(&s.shape.desc, 0, &s.phase);
    for (s.first_group = 0; s.first_group < plan->desc.groups; s.first_group += s.groups) {
        s.groups = fc_min(s.shape.pass_groups, plan->desc.groups - s.first_group);
        for (s.first_block = 0; s.first_block < s.shape.blocks; s.first_block += s.blocks) {
            s.blocks = fc_min(s.shape.pass_blocks, s.shape.blocks - s.first_block);
            if (run_pass(&s, n, threads))
                return FC_STOPPED;
        }
    }
    return FC_OK;
}
