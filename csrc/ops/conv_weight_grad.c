/* The gradient of the weights: a matrix product of the input's channels, tap by tap, with the output's, over pixels.
 *
 * Input channels are cut into blocks of a register tile's rows. A pass takes as many blocks as fit half of a cache and
 * goes over the batch: regions of it (some images, or a box of one) are staged block by block, [block][pixel][row],
 * zero-padded, whatever the arrays' layout. Then every tile of the result streams over the region, some hundred pixels
 * at a time, against a panel of the gradient, [pixel][lane], that its owner stages for itself. Few input channels give
 * a block few rows; then the taps of a kernel row, which are neighbours in a staged row, are joined to one run of rows.
 *
 * Threads share the staging first and the tiles after it; each tile has one owner and one order of its sums, so the
 * bits never depend on the threads.
 */
#include "conv_weight_grad.h"
#include "parallel.h"
#include "winograd.h"

#include <string.h>

typedef struct {
    const fc_conv_plan *plan;
    const fc_kernels *kernels;
    fc_grad_shape shape;
    size_t element;
    const char *src, *grad;
    char *dweights, *thread_memory;
    const ptrdiff_t *strides;
    fc_grad_workspace at;
    fc_phase phase;
    bool uniform; /* strides say where weights lie */
    bool columns; /* a channel's rows of dweights are neighbours */
    bool rows;    /* lanes are neighbours in dweights, rows `row_step` apart */
    ptrdiff_t row_step;
    ptrdiff_t span[FC_SPATIAL];                         /* of the staged input of one image */
    ptrdiff_t first_group, groups, first_block, blocks; /* of this pass */
    ptrdiff_t first_image, images, first[FC_SPATIAL], box[FC_SPATIAL];
    bool initial, final; /* the region is the pass's first, or last */
} weight_grad_call;

static ptrdiff_t volume(const ptrdiff_t extent[FC_SPATIAL]) { return extent[0] * extent[1] * extent[2]; }

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
    const fc_grad_shape *shape = &s->shape;
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
    const fc_grad_shape *shape = &s->shape;
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
    const fc_grad_shape *shape = &s->shape;
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
    const char *src; /* of the block */
    char *acc;
} item;

/* Bytes from a block to the next, and from an item's accumulators to the next one's. */
static ptrdiff_t block_step(const weight_grad_call *s)
{
    return (s->shape.in_place ? s->shape.deep : block_size(s)) * (ptrdiff_t)s->element;
}

static ptrdiff_t acc_step(const weight_grad_call *s)
{
    return fc_grad_item_rows(s->plan, &s->shape) * s->shape.width * (ptrdiff_t)s->element;
}

/* By pointer: a copy would wait for the stores of the item before. */
static void find_item(const weight_grad_call *s, ptrdiff_t index, item *one)
{
    const fc_grad_shape *shape = &s->shape;
    const ptrdiff_t tiles = shape->joined ? shape->taps * shape->parts : 1, tile = index % tiles;
    const ptrdiff_t number = index / tiles, panel = number / s->blocks, group = panel / shape->lane_tiles;
    *one = (item){
        .panel = panel,
        .group = s->first_group + group,
        .lane = (panel - group * shape->lane_tiles) * shape->width,
        .block = number % s->blocks,
        .channel = (s->first_block + number % s->blocks) * shape->deep,
        .acc = s->at.acc + index * acc_step(s),
        .taps = shape->taps,
    };
    one->src = shape->in_place ? s->src + (size_t)(one->group * shape->ic + one->channel) * s->element
                               : s->at.src + (group * s->blocks + one->block) * block_step(s);
    one->end = fc_min(shape->deep, shape->ic - one->channel);
    if (shape->joined) {
        one->tap = tile / shape->parts;
        one->taps = 1;
        fc_share(shape->ic * shape->inner, tile % shape->parts, shape->parts, &one->begin, &one->end);
    }
}

/* From item `index` to the one behind it. */
static void next_item(const weight_grad_call *s, ptrdiff_t index, item *one)
{
    if (s->shape.joined || ++one->block == s->blocks) {
        find_item(s, index + 1, one);
        return;
    }
    one->channel += s->shape.deep;
    one->end = fc_min(s->shape.deep, s->shape.ic - one->channel);
    one->src += block_step(s);
    one->acc += acc_step(s);
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
    const fc_grad_shape *shape = &s->shape;
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

/* Output rows of the region, added to an item's sums: to `acc`, tap after tap, or to dweights themselves. */
static void sum_item(const weight_grad_call *s, const item *one, fc_grad_panel *panel, char *acc, bool accumulate)
{
    const fc_grad_shape *shape = &s->shape;
    const ptrdiff_t rows = one->end - one->begin, element = (ptrdiff_t)s->element;
    fc_weight_grad_fn *const kernel = s->kernels->weight_grad[s->plan->vectors][rows];
    const bool direct = acc == NULL;
    if (direct)
        acc = s->dweights + (one->group * shape->oc + one->lane + one->channel * s->strides[1]) * element +
              one->begin * s->row_step * element;
    panel->acc_step = direct ? s->row_step : shape->width;
    for (ptrdiff_t t = 0; t < one->taps; t++) {
        panel->src = one->src + (s->at.tap_at[one->tap + t] * shape->pixel + one->begin) * element;
        kernel(panel, direct ? acc + s->at.tap_to[one->tap + t] * element : acc + t * rows * shape->width * element,
               accumulate);
    }
}

/* The region's share of the items [begin, end), for output rows [first, last) of it. */
static void sum_piece(const weight_grad_call *s, const fc_grad_thread_workspace *at, ptrdiff_t begin, ptrdiff_t end,
                      ptrdiff_t first, ptrdiff_t last, bool initial, bool final)
{
    const fc_grad_shape *shape = &s->shape;
    const ptrdiff_t size = (last - first) * s->box[2] * shape->width;
    item one;
    find_item(s, fc_max_extent(end - 1, 0), &one);
    const ptrdiff_t panels = one.panel + 1;
    ptrdiff_t staged = 0, next = 0; /* panels [staged, next) are there */
    fc_grad_panel panel = {
        .starts = s->at.starts + first,
        .runs = last - first,
        .length = s->box[2],
        .width = shape->pixel,
        .step = shape->pixel * (shape->in_place ? shape->desc.stride[2] : shape->stride[2]),
    };
    find_item(s, begin, &one);
    for (ptrdiff_t i = begin; i < end; i++) {
        if (one.panel >= next) {
            staged = one.panel;
            next = fc_min(staged + shape->panels, panels);
            stage_grad(s, staged, next - staged, first, last - first, at->grad);
        }
        const bool direct = s->rows && shape->oc - one.lane >= shape->width;
        char *const acc = direct ? NULL : initial && final ? at->acc : one.acc;
        panel.grad = at->grad + (size_t)((one.panel - staged) * size) * s->element;
        sum_item(s, &one, &panel, acc, !initial);
        if (final && !direct)
            store(s, &one, acc, at->rows);
        if (i + 1 < end)
            next_item(s, i, &one);
    }
}

/* The region's share of every item that this thread owns, in partial sums. */
static void sum_region(const void *context, fc_part part)
{
    const weight_grad_call *s = context;
    const fc_grad_shape *shape = &s->shape;
    const ptrdiff_t runs = s->images * s->box[0] * s->box[1];
    const ptrdiff_t pieces = fc_max_extent(fc_divide_up(runs, fc_max_extent(shape->length / s->box[2], 1)), 1);
    fc_grad_thread_workspace at;
    fc_arena arena = {s->thread_memory + (size_t)part.thread * s->plan->workspace_bytes, 0, true};
    fc_grad_lay_out_thread(s->plan, shape, &arena, &at);
    ptrdiff_t begin, end, first, last;
    fc_share_of(fc_grad_items(shape, s->groups, s->blocks), part, &begin, &end);
    for (ptrdiff_t piece = 0; piece < pieces && begin < end; piece++) {
        fc_share(runs, piece, pieces, &first, &last);
        sum_piece(s, &at, begin, end, first, last, s->initial && piece == 0, s->final && piece == pieces - 1);
    }
}

/* ---- running ---------------------------------------------------------------------------------------------- */

/* Where the region's output rows begin: in what is staged of it, or in the arrays. */
static void place_rows(const weight_grad_call *s)
{
    const fc_grad_shape *shape = &s->shape;
    const bool in_place = shape->in_place;
    const ptrdiff_t *const extent = in_place ? shape->desc.src : s->span;
    const ptrdiff_t *const stride = in_place ? shape->desc.stride : shape->stride;
    ptrdiff_t first[FC_SPATIAL] = {0};
    for (int a = 0; a < FC_SPATIAL && in_place; a++)
        first[a] = s->first[a] * stride[a];
    ptrdiff_t *start = s->at.starts;
    for (ptrdiff_t i = 0; i < s->images; i++) {
        const ptrdiff_t image = in_place ? s->first_image + i : i;
        for (ptrdiff_t d = 0; d < s->box[0]; d++)
            for (ptrdiff_t h = 0; h < s->box[1]; h++) {
                const ptrdiff_t depth = image * extent[0] + first[0] + d * stride[0];
                *start++ = (depth * extent[1] + first[1] + h * stride[1]) * extent[2] + first[2];
            }
    }
}

/* Region `index` of one pass over `n` images: which images, which box, where its rows and taps lie. */
static void place_region(weight_grad_call *s, ptrdiff_t index, ptrdiff_t n, ptrdiff_t images)
{
    const fc_grad_shape *shape = &s->shape;
    for (int a = FC_SPATIAL - 1; a >= 0; a--) {
        const ptrdiff_t boxes = fc_divide_up(shape->desc.dst[a], s->plan->tile[a]);
        s->first[a] = index % boxes * s->plan->tile[a];
        s->box[a] = fc_min(s->plan->tile[a], shape->desc.dst[a] - s->first[a]);
        index /= boxes;
    }
    s->first_image = index * images;
    s->images = fc_min(images, n - s->first_image);
    fc_grad_span(shape, s->box, s->span);
    place_rows(s);
    for (ptrdiff_t t = 0; t < shape->taps; t++) {
        ptrdiff_t offset[FC_SPATIAL], at = 0;
        ptrdiff_t flat = fc_tap(&shape->desc, &s->phase, t * shape->inner, offset);
        for (int a = 0; a < FC_SPATIAL; a++)
            at = at * (shape->in_place ? shape->desc.src[a] : s->span[a]) + offset[a] + shape->desc.pad_begin[a];
        s->at.tap_at[t] = at;
        s->at.tap_to[t] = 0;
        for (int a = FC_SPATIAL - 1; a >= 0; a--) {
            s->at.tap_to[t] += flat % shape->desc.kernel[a] * s->strides[2 + a];
            flat /= shape->desc.kernel[a];
        }
    }
}

/* Whether lanes are neighbours in dweights and the rows of an item equally far apart: then sums need no store. */
static bool leaves_as_rows(const weight_grad_call *s, ptrdiff_t *step)
{
    *step = s->strides[1];
    return s->strides[0] == 1 && (!s->shape.joined || s->strides[4] == s->shape.ic * s->strides[1]);
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
    const fc_grad_shape *shape = &s->shape;
    const ptrdiff_t images = fc_grad_images(plan, shape);
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
        const fc_crew crew = fc_crew_for(fc_conv_work(plan) * share * pixels, threads);
        if ((!shape->in_place && fc_parallel(crew, stage, s)) || fc_parallel(crew, sum_region, s) ||
            (!s->final && fc_stopped()))
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
    if (plan->algorithm == FC_WINOGRAD) {
        bool finite;
        const fc_status status = fc_winograd_grad(plan, n, src, grad, dweights, strides, memory, threads, &finite);
        if (status != FC_OK || finite)
            return status;
    }
    weight_grad_call s = {
        .plan = plan,
        .kernels = fc_kernels_for(plan->desc.isa, plan->desc.dtype),
        .shape = fc_grad_shape_of(plan),
        .element = fc_element(&plan->desc),
        .src = src,
        .grad = grad,
        .dweights = dweights,
        .thread_memory = (char *)memory + plan->shared_bytes,
    };
    ptrdiff_t folded[2 + FC_SPATIAL];
    s.uniform = fc_fold_strides(plan, strides, folded);
    s.strides = s.uniform ? folded : strides;
    s.columns = s.uniform && leaves_as_columns(&s);
    s.rows = s.uniform && leaves_as_rows(&s, &s.row_step);
    fc_arena arena = {memory, 0, true};
    fc_grad_lay_out(plan, &s.shape, &arena, &s.at);
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
