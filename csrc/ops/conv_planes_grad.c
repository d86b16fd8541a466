/* The gradient of the weights along pixels: a register tile holds rows of (input channel, tap) by output channels, its
 * vectors run over the pixels of an output row, and their lanes are added when all images are done. It serves what has
 * too few channels to fill vectors with: narrow groups, channels-first depthwise, images of one channel.
 *
 * Operands are planes of channels. Channels-first arrays are read where they lie, unless the input is padded or
 * strided; else a region (some images, or rows of one) is staged first, zero-padded and de-interleaved by the stride.
 * Threads share the staging first and the tiles after it; each tile has one owner and one order of its sums.
 */
#include "conv.h"
#include "parallel.h"

#include <string.h>

enum { STAGE_BYTES = 256 * 1024, MOST_IMAGES = 256 };

/* How planes lie: elements from one to the next. */
typedef struct {
    ptrdiff_t image, channel, depth, row;
    ptrdiff_t phase; /* columns a stride apart are neighbours; from one residue's to the next */
} plane_steps;

typedef struct {
    char *src, *grad;
    char *acc;                           /* [item][row][vector][lane] */
    ptrdiff_t *rows, *row_to;            /* of (channel of a group, tap): in src, in dweights */
    ptrdiff_t *src_starts, *grad_starts; /* of the region's output rows */
    char *sums;                          /* of an item, one thread's */
} workspace;

typedef struct {
    const fc_conv_plan *plan;
    const fc_kernels *kernels;
    size_t element;
    ptrdiff_t ic, oc; /* of a group */
    const char *src, *grad;
    char *dweights, *thread_memory;
    const ptrdiff_t *strides;
    workspace at;
    plane_steps src_steps, grad_steps;
    ptrdiff_t first_group, groups;
    ptrdiff_t first_image, images, first[FC_SPATIAL], box[FC_SPATIAL], span[FC_SPATIAL];
    bool initial, final;
} planes_call;

static ptrdiff_t volume(const ptrdiff_t extent[FC_SPATIAL]) { return extent[0] * extent[1] * extent[2]; }

/* ---- planning --------------------------------------------------------------------------------------------- */

static bool stages_src(const fc_conv_desc *desc)
{
    bool padded = desc->layout == FC_CHANNELS_LAST || desc->stride[2] > 1;
    for (int a = 0; a < FC_SPATIAL; a++) /* or cut short by a stride that does not divide */
        padded = padded || desc->pad_begin[a] > 0 || desc->pad_end[a] > 0;
    return padded;
}

static bool stages_grad(const fc_conv_desc *desc) { return desc->layout == FC_CHANNELS_LAST; }

static ptrdiff_t row_count(const fc_conv_desc *desc) { return volume(desc->kernel) * (desc->ic / desc->groups); }

static ptrdiff_t row_tiles(const fc_conv_plan *plan) { return fc_divide_up(row_count(&plan->desc), plan->rows); }

static ptrdiff_t channel_tiles(const fc_conv_plan *plan)
{
    return fc_divide_up(plan->desc.oc / plan->desc.groups, plan->vectors);
}

/* Half cycles of one pixel of one group: unaligned loads count twice, a tile's chains of additions bound it. */
double fc_choose_planes(fc_conv_plan *plan)
{
    const fc_conv_desc *desc = &plan->desc;
    const fc_kernels *kernels = fc_kernels_for(desc->isa, desc->dtype);
    const ptrdiff_t all = row_count(desc), oc = desc->oc / desc->groups;
    const double steps = (double)fc_divide_up(desc->dst[2], plan->lanes);
    double least = -1;
    for (int v = 1; v <= 4; v++) {
        const ptrdiff_t tiles = fc_divide_up(all, kernels->max_rows[v]), columns = fc_divide_up(oc, v);
        const ptrdiff_t each = fc_divide_up(all, tiles);
        const double fma = (double)each * v, loads = 2 * (double)each + v, latency = 8;
        const double step = (fma > loads ? fma : loads) > latency ? (fma > loads ? fma : loads) : latency;
        const double cost = ((step + 2) * steps + 8) * (double)tiles * (double)columns / (double)desc->dst[2];
        if (least < 0 || cost < least) {
            plan->vectors = v;
            plan->rows = (int)each;
            least = cost;
        }
    }
    return least;
}

static void span_of(const fc_conv_desc *desc, const ptrdiff_t box[FC_SPATIAL], ptrdiff_t span[FC_SPATIAL])
{
    for (int a = 0; a < FC_SPATIAL; a++)
        span[a] = (box[a] - 1) * desc->stride[a] + (desc->kernel[a] - 1) * desc->dilation[a] + 1;
}

/* Columns of one residue of a staged row. */
static ptrdiff_t columns(const fc_conv_desc *desc, const ptrdiff_t span[FC_SPATIAL])
{
    return fc_divide_up(span[2], desc->stride[2]);
}

/* Elements staged for one image's box, of `groups` groups. */
static ptrdiff_t staged_src(const fc_conv_desc *desc, const ptrdiff_t box[FC_SPATIAL], ptrdiff_t groups)
{
    ptrdiff_t span[FC_SPATIAL];
    span_of(desc, box, span);
    const ptrdiff_t row = fc_saturate(columns(desc, span), desc->stride[2]);
    return fc_saturate(fc_saturate(span[0], span[1]), fc_saturate(row, groups * (desc->ic / desc->groups)));
}

static ptrdiff_t staged_grad(const fc_conv_desc *desc, const ptrdiff_t box[FC_SPATIAL], ptrdiff_t groups)
{
    return fc_saturate(volume(box), groups * (desc->oc / desc->groups));
}

static double staged_bytes(const fc_conv_desc *desc, const ptrdiff_t box[FC_SPATIAL], ptrdiff_t groups)
{
    return ((double)staged_src(desc, box, groups) + (double)staged_grad(desc, box, groups)) * (double)fc_element(desc);
}

/* Groups of one pass, and images of one region, as many as fit. */
static ptrdiff_t pass_groups(const fc_conv_plan *plan)
{
    const double groups = STAGE_BYTES / staged_bytes(&plan->desc, plan->tile, 1);
    return groups < 1 ? 1 : groups < (double)plan->desc.groups ? (ptrdiff_t)groups : plan->desc.groups;
}

static ptrdiff_t region_images(const fc_conv_plan *plan)
{
    const double images = STAGE_BYTES / staged_bytes(&plan->desc, plan->tile, pass_groups(plan));
    for (int a = 0; a < FC_SPATIAL; a++)
        if (plan->tile[a] < plan->desc.dst[a])
            return 1;
    return images < 1 ? 1 : images > MOST_IMAGES ? MOST_IMAGES : (ptrdiff_t)images;
}

static ptrdiff_t items_of(const fc_conv_plan *plan, ptrdiff_t groups)
{
    return groups * channel_tiles(plan) * row_tiles(plan);
}

static ptrdiff_t item_vectors(const fc_conv_plan *plan) { return (ptrdiff_t)plan->rows * plan->vectors; }

static void lay_out(const fc_conv_plan *plan, fc_arena *arena, workspace *at)
{
    const fc_conv_desc *desc = &plan->desc;
    const size_t element = fc_element(desc);
    const ptrdiff_t images = region_images(plan), groups = pass_groups(plan);
    const ptrdiff_t src = stages_src(desc) ? staged_src(desc, plan->tile, groups) : 0;
    const ptrdiff_t grad = stages_grad(desc) ? staged_grad(desc, plan->tile, groups) : 0;
    ptrdiff_t items;
    arena->fits = src < PTRDIFF_MAX / 4096 && grad < PTRDIFF_MAX / 4096 && arena->fits; /* at most MOST_IMAGES */
    arena->fits = fc_multiply(items_of(plan, groups), item_vectors(plan) * plan->lanes, &items) && arena->fits;
    at->src = fc_carve(arena, arena->fits ? images * src : 0, element);
    at->grad = fc_carve(arena, arena->fits ? images * grad : 0, element);
    at->acc = fc_carve(arena, items, element);
    at->rows = fc_carve(arena, row_count(desc), sizeof(ptrdiff_t));
    at->row_to = fc_carve(arena, row_count(desc), sizeof(ptrdiff_t));
    at->src_starts = fc_carve(arena, images * plan->tile[0] * plan->tile[1], sizeof(ptrdiff_t));
    at->grad_starts = fc_carve(arena, images * plan->tile[0] * plan->tile[1], sizeof(ptrdiff_t));
}

/* Sums of an item and a vector of slack, one thread's. */
static char *lay_out_thread(const fc_conv_plan *plan, fc_arena *arena)
{
    return fc_carve(arena, item_vectors(plan) + 2 * plan->lanes, fc_element(&plan->desc));
}

fc_status fc_plan_planes_grad(fc_conv_plan *plan)
{
    const fc_conv_desc *desc = &plan->desc;
    for (int a = 0; a < FC_SPATIAL; a++)
        plan->tile[a] = desc->dst[a];
    for (int a = 0; a < 2; a++)
        while (plan->tile[a] > 1 && staged_bytes(desc, plan->tile, 1) > STAGE_BYTES)
            plan->tile[a] = fc_divide_up(plan->tile[a], 2);
    fc_arena arena = {.fits = true}, thread_arena = {.fits = true};
    workspace at;
    lay_out(plan, &arena, &at);
    lay_out_thread(plan, &thread_arena);
    plan->shared_bytes = (arena.used + 127) / 128 * 128;
    return arena.fits ? fc_set_workspace(plan, &thread_arena) : FC_OVERFLOW;
}

/* ---- staging ---------------------------------------------------------------------------------------------- */

/* Where planes lie in a channels-first array. */
static plane_steps in_place(const ptrdiff_t extent[FC_SPATIAL], ptrdiff_t channels)
{
    return (plane_steps){
        .image = volume(extent) * channels,
        .channel = volume(extent),
        .depth = extent[1] * extent[2],
        .row = extent[2],
    };
}

/* Where they lie when `channels` of them are staged: channel by channel, or row by row. */
static plane_steps staged(bool last, const ptrdiff_t span[FC_SPATIAL], ptrdiff_t pitch, ptrdiff_t residues,
                          ptrdiff_t channels)
{
    if (!last)
        return (plane_steps){
            .image = residues * span[0] * span[1] * pitch * channels,
            .channel = residues * span[0] * span[1] * pitch,
            .phase = span[0] * span[1] * pitch,
            .depth = span[1] * pitch,
            .row = pitch,
        };
    const ptrdiff_t row = residues * channels * pitch;
    return (plane_steps){
        .image = span[0] * span[1] * row,
        .channel = pitch,
        .phase = channels * pitch,
        .depth = span[1] * row,
        .row = row,
    };
}

/* One residue of one depth of one channel of one image. */
static void stage_plane(const planes_call *s, ptrdiff_t unit)
{
    const fc_conv_desc *desc = &s->plan->desc;
    const ptrdiff_t channels = s->groups * s->ic, residues = desc->stride[2], *span = s->span;
    const ptrdiff_t depth = unit % span[0], residue = unit / span[0] % residues;
    const ptrdiff_t channel = unit / span[0] / residues % channels, image = unit / span[0] / residues / channels;
    const ptrdiff_t from = s->first[0] * desc->stride[0] - desc->pad_begin[0] + depth;
    const bool outside = (size_t)from >= (size_t)desc->src[0];
    const ptrdiff_t plane = ((s->first_image + image) * desc->ic + s->first_group * s->ic + channel) * desc->src[0];
    const ptrdiff_t to = image * s->src_steps.image + channel * s->src_steps.channel + residue * s->src_steps.phase +
                         depth * s->src_steps.depth;
    s->kernels->conv->copy_rectangle(&(fc_rectangle){
        .src = s->src + (size_t)(outside ? 0 : (plane + from) * desc->src[1] * desc->src[2]) * s->element,
        .src_rows = outside ? 0 : desc->src[1],
        .src_cols = desc->src[2],
        .src_pitch = desc->src[2],
        .row_first = s->first[1] * desc->stride[1] - desc->pad_begin[1],
        .row_step = 1,
        .rows = span[1],
        .col_first = s->first[2] * desc->stride[2] - desc->pad_begin[2] + residue,
        .col_step = desc->stride[2],
        .cols = columns(desc, span),
        .dst = s->at.src + (size_t)to * s->element,
    });
}

/* A row of pixels, `step` apart from element `from` on, to a plane each of `channels` channels. */
static void part_channels(const planes_call *s, const char *src, ptrdiff_t pixel, ptrdiff_t channels, ptrdiff_t pixels,
                          char *dst, ptrdiff_t pitch)
{
    s->kernels->conv->gather(&(fc_gather){
        .src = src,
        .pixel_step = 1,
        .channel_step = pixel,
        .pixels = channels,
        .channels = pixels,
        .piece = (int)pixels,
        .width = (int)pixels,
        .pitch = pitch,
        .dst = dst,
    });
}

/* One row of all channels of channels-last input. */
static void stage_row(const planes_call *s, ptrdiff_t unit)
{
    const fc_conv_desc *desc = &s->plan->desc;
    const ptrdiff_t channels = s->groups * s->ic, residues = desc->stride[2], *span = s->span;
    const ptrdiff_t pitch = columns(desc, span), row = unit % span[1], depth = unit / span[1] % span[0];
    const ptrdiff_t image = unit / span[1] / span[0];
    const ptrdiff_t from[FC_SPATIAL] = {s->first[0] * desc->stride[0] - desc->pad_begin[0] + depth,
                                        s->first[1] * desc->stride[1] - desc->pad_begin[1] + row,
                                        s->first[2] * desc->stride[2] - desc->pad_begin[2]};
    char *const dst = s->at.src + (size_t)(unit * s->src_steps.row) * s->element;
    const bool outside = (size_t)from[0] >= (size_t)desc->src[0] || (size_t)from[1] >= (size_t)desc->src[1];
    if (outside || from[2] < 0 || from[2] + pitch * residues > desc->src[2])
        memset(dst, 0, (size_t)s->src_steps.row * s->element);
    for (ptrdiff_t residue = 0; residue < residues && !outside; residue++) {
        const fc_axis axis = {.src = desc->src[2], .src_step = residues, .count = pitch};
        const fc_window inside = fc_valid(&axis, from[2] + residue);
        if (inside.begin >= inside.end)
            continue;
        const ptrdiff_t pixel =
            (((s->first_image + image) * desc->src[0] + from[0]) * desc->src[1] + from[1]) * desc->src[2] + from[2] +
            residue + inside.begin * residues;
        part_channels(s, s->src + (size_t)(pixel * desc->ic + s->first_group * s->ic) * s->element, residues * desc->ic,
                      channels, inside.end - inside.begin,
                      dst + (size_t)(residue * s->src_steps.phase + inside.begin) * s->element, pitch);
    }
}

static void stage_grad_row(const planes_call *s, ptrdiff_t unit)
{
    const fc_conv_desc *desc = &s->plan->desc;
    const ptrdiff_t row = unit % s->box[1], depth = unit / s->box[1] % s->box[0];
    const ptrdiff_t image = s->first_image + unit / s->box[1] / s->box[0];
    const ptrdiff_t line = (image * desc->dst[0] + s->first[0] + depth) * desc->dst[1] + s->first[1] + row;
    const ptrdiff_t at = (line * desc->dst[2] + s->first[2]) * desc->oc + s->first_group * s->oc;
    part_channels(s, s->grad + (size_t)at * s->element, desc->oc, s->groups * s->oc, s->box[2],
                  s->at.grad + (size_t)(unit * s->grad_steps.row) * s->element, s->box[2]);
}

static void stage(const void *context, fc_part part)
{
    const planes_call *s = context;
    const fc_conv_desc *desc = &s->plan->desc;
    const bool last = desc->layout == FC_CHANNELS_LAST;
    const ptrdiff_t planes = s->images * s->groups * s->ic * desc->stride[2] * s->span[0];
    const ptrdiff_t src = last ? s->images * s->span[0] * s->span[1] : stages_src(desc) ? planes : 0;
    ptrdiff_t begin, end;
    fc_share_of(src + (last ? s->images * s->box[0] * s->box[1] : 0), part, &begin, &end);
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        if (unit >= src)
            stage_grad_row(s, unit - src);
        else if (last)
            stage_row(s, unit);
        else
            stage_plane(s, unit);
    }
}

/* ---- summing ---------------------------------------------------------------------------------------------- */

/* Where a region's operands lie: its output rows, and the (channel, tap) pairs seen from them. */
static void describe_region(planes_call *s)
{
    const fc_conv_desc *desc = &s->plan->desc;
    const bool last = desc->layout == FC_CHANNELS_LAST;
    s->src_steps = stages_src(desc) ? staged(last, s->span, columns(desc, s->span), desc->stride[2], s->groups * s->ic)
                                    : in_place(desc->src, desc->ic);
    s->grad_steps =
        stages_grad(desc) ? staged(last, s->box, s->box[2], 1, s->groups * s->oc) : in_place(desc->dst, desc->oc);
    const ptrdiff_t src_image = stages_src(desc) ? 0 : s->first_image, grad_image = last ? 0 : s->first_image;
    const ptrdiff_t none[FC_SPATIAL] = {0};
    const ptrdiff_t *const from = stages_src(desc) ? none : s->first, *const to = last ? none : s->first;
    ptrdiff_t run = 0;
    for (ptrdiff_t i = 0; i < s->images; i++)
        for (ptrdiff_t d = 0; d < s->box[0]; d++)
            for (ptrdiff_t h = 0; h < s->box[1]; h++, run++) {
                s->at.src_starts[run] = (src_image + i) * s->src_steps.image +
                                        (from[0] + d) * desc->stride[0] * s->src_steps.depth +
                                        (from[1] + h) * desc->stride[1] * s->src_steps.row;
                s->at.grad_starts[run] = (grad_image + i) * s->grad_steps.image + (to[0] + d) * s->grad_steps.depth +
                                         (to[1] + h) * s->grad_steps.row;
            }
    const ptrdiff_t taps = volume(desc->kernel);
    for (ptrdiff_t r = 0; r < taps * s->ic; r++) {
        const ptrdiff_t channel = r / taps, width = desc->kernel[2], height = desc->kernel[1];
        const ptrdiff_t w = r % width, h = r % taps / width % height, d = r % taps / width / height;
        const ptrdiff_t column = w * desc->dilation[2];
        s->at.rows[r] = channel * s->src_steps.channel + d * desc->dilation[0] * s->src_steps.depth +
                        h * desc->dilation[1] * s->src_steps.row + column % desc->stride[2] * s->src_steps.phase +
                        column / desc->stride[2];
        s->at.row_to[r] = channel * s->strides[1] + d * s->strides[2] + h * s->strides[3] + w * s->strides[4];
    }
}

typedef struct {
    ptrdiff_t group;        /* of the pass */
    ptrdiff_t begin, end;   /* rows */
    ptrdiff_t first, count; /* output channels of the group */
    char *acc;
} item;

static void find_item(const planes_call *s, ptrdiff_t index, item *one)
{
    const ptrdiff_t rows = row_tiles(s->plan), channels = channel_tiles(s->plan);
    ptrdiff_t end;
    one->group = index / rows / channels;
    fc_share(row_count(&s->plan->desc), index % rows, rows, &one->begin, &one->end);
    fc_share(s->oc, index / rows % channels, channels, &one->first, &end);
    one->count = end - one->first;
    one->acc = s->at.acc + (size_t)(index * item_vectors(s->plan) * s->plan->lanes) * s->element;
}

static void store(const planes_call *s, const item *one, char *sums)
{
    static const fc_epilogue none = {FC_IDENTITY, 0, 0};
    const ptrdiff_t channel = (s->first_group + one->group) * s->oc + one->first;
    s->kernels->conv->sum_vectors(one->acc, (one->end - one->begin) * one->count, sums);
    s->kernels->conv->store_rows(&(fc_row_store){
        .acc = sums,
        .rows = (int)(one->end - one->begin),
        .stride = (int)one->count,
        .live = (int)one->count,
        .offsets = s->at.row_to + one->begin,
        .channel_step = s->strides[0],
        .dst = s->dweights + channel * s->strides[0] * (ptrdiff_t)s->element,
        .epilogue = &none,
    });
}

/* The region's share of every tile that this thread owns; a lane adds FC_SUM_LENGTH products at most. */
static void sum_region(const void *context, fc_part part)
{
    const planes_call *s = context;
    const fc_conv_plan *plan = s->plan;
    const ptrdiff_t runs = s->images * s->box[0] * s->box[1];
    const ptrdiff_t together = fc_max_extent(FC_SUM_LENGTH / fc_divide_up(s->box[2], plan->lanes), 1);
    const ptrdiff_t src_group = stages_src(&plan->desc) ? 0 : s->first_group;
    const ptrdiff_t grad_group = stages_grad(&plan->desc) ? 0 : s->first_group;
    const char *const src = stages_src(&plan->desc) ? s->at.src : s->src;
    const char *const grad = stages_grad(&plan->desc) ? s->at.grad : s->grad;
    fc_arena arena = {s->thread_memory + (size_t)part.thread * plan->workspace_bytes, 0, true};
    char *const sums = lay_out_thread(plan, &arena);
    ptrdiff_t begin, end;
    fc_share_of(items_of(plan, s->groups), part, &begin, &end);
    for (ptrdiff_t i = begin; i < end; i++) {
        item one;
        find_item(s, i, &one);
        const ptrdiff_t channel = (grad_group + one.group) * s->oc + one.first;
        fc_grad_planes operands = {
            .src = src + (size_t)((src_group + one.group) * s->ic * s->src_steps.channel) * s->element,
            .grad = grad + (size_t)(channel * s->grad_steps.channel) * s->element,
            .rows = s->at.rows + one.begin,
            .length = s->box[2],
            .grad_step = s->grad_steps.channel,
        };
        fc_planes_grad_fn *const kernel = s->kernels->planes_weight_grad[one.count][one.end - one.begin];
        ptrdiff_t run = 0;
        do { /* once at least: no image gives zeros */
            operands.src_starts = s->at.src_starts + run;
            operands.grad_starts = s->at.grad_starts + run;
            operands.runs = fc_min(together, runs - run);
            kernel(&operands, one.acc, !s->initial || run > 0);
            run += together;
        } while (run < runs);
        if (s->final)
            store(s, &one, sums);
    }
}

/* ---- running ---------------------------------------------------------------------------------------------- */

static fc_status run_pass(planes_call *s, ptrdiff_t n, int threads)
{
    const fc_conv_plan *plan = s->plan;
    const fc_conv_desc *desc = &plan->desc;
    const ptrdiff_t images = region_images(plan);
    ptrdiff_t regions = fc_divide_up(n, images);
    for (int a = 0; a < FC_SPATIAL; a++)
        regions *= fc_divide_up(desc->dst[a], plan->tile[a]);
    regions = fc_max_extent(regions, 1);
    for (ptrdiff_t i = 0; i < regions; i++) {
        ptrdiff_t index = i;
        for (int a = FC_SPATIAL - 1; a >= 0; a--) {
            const ptrdiff_t boxes = fc_divide_up(desc->dst[a], plan->tile[a]);
            s->first[a] = index % boxes * plan->tile[a];
            s->box[a] = fc_min(plan->tile[a], desc->dst[a] - s->first[a]);
            index /= boxes;
        }
        s->first_image = index * images;
        s->images = fc_min(images, n - s->first_image);
        s->initial = i == 0;
        s->final = i == regions - 1;
        span_of(desc, s->box, s->span);
        describe_region(s);
        const double share = (double)s->groups / (double)desc->groups * (double)(s->images * volume(s->box));
        const fc_crew crew = fc_crew_for(fc_conv_work(plan) * share / (double)volume(desc->dst), threads);
        if (stages_src(desc) && fc_parallel(crew, stage, s))
            return FC_STOPPED;
        if (fc_parallel(crew, sum_region, s) || (!s->final && fc_stopped()))
            return FC_STOPPED;
    }
    return FC_OK;
}

fc_status fc_planes_grad(const fc_conv_plan *plan, ptrdiff_t n, const void *src, const void *grad, void *dweights,
                         const ptrdiff_t strides[2 + FC_SPATIAL], void *memory, int threads)
{
    const fc_conv_desc *desc = &plan->desc;
    planes_call s = {
        .plan = plan,
        .kernels = fc_kernels_for(desc->isa, desc->dtype),
        .element = fc_element(desc),
        .ic = desc->ic / desc->groups,
        .oc = desc->oc / desc->groups,
        .src = src,
        .grad = grad,
        .dweights = dweights,
        .strides = strides,
        .thread_memory = (char *)memory + plan->shared_bytes,
    };
    fc_arena arena = {memory, 0, true};
    lay_out(plan, &arena, &s.at);
    const ptrdiff_t most = pass_groups(plan);
    for (s.first_group = 0; s.first_group < desc->groups; s.first_group += s.groups) {
        s.groups = fc_min(most, desc->groups - s.first_group);
        if (run_pass(&s, n, threads))
            return FC_STOPPED;
    }
    return FC_OK;
}
