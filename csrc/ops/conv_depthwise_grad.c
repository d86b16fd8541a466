/* The gradient of depthwise weights.
 *
 * Blocks of output positions (some images, or a box of one) are staged one after the other: their gradients and the
 * zero-padded input that they see, both channels-last whatever the arrays' layout. Then every tile of the result, rows
 * of taps by a vector of channels, streams over the block's pixels. Threads share the staging first and the tiles after
 * it; each tile has one owner and one order of its sums, so the bits never depend on the threads.
 */
#include "conv.h"
#include "parallel.h"

#include <string.h>

enum { STAGE_BYTES = 384 * 1024, DEPTHWISE_ROWS = 8 };

/* Shared by all threads. */
typedef struct {
    char *src, *grad;
    char *acc;          /* [item][row][lane] */
    ptrdiff_t *offsets; /* of every tap in a staged image, in elements */
    ptrdiff_t *row_at;  /* of every tap in dweights */
    fc_pixel_run *runs; /* the block's output rows */
} workspace;

typedef struct {
    const fc_conv_plan *plan;
    const fc_kernels *kernels;
    size_t element;
    const char *src, *grad;
    char *dweights;
    const ptrdiff_t *strides;
    fc_phase phase;
    workspace at;
    ptrdiff_t span[FC_SPATIAL]; /* of the staged input of one image */
    ptrdiff_t first_image, images, first[FC_SPATIAL], box[FC_SPATIAL];
    bool accumulate;
} weight_grad_call;

static ptrdiff_t volume(const ptrdiff_t extent[FC_SPATIAL]) { return extent[0] * extent[1] * extent[2]; }

/* ---- the result's tiles ----------------------------------------------------------------------------------- */

static ptrdiff_t row_tiles(const fc_conv_plan *plan) { return fc_divide_up(volume(plan->desc.kernel), plan->rows); }

static ptrdiff_t lane_tiles(const fc_conv_plan *plan)
{
    return fc_divide_up(plan->desc.groups, (ptrdiff_t)plan->vectors * plan->lanes);
}

static ptrdiff_t tile_elements(const fc_conv_plan *plan) { return (ptrdiff_t)plan->rows * plan->vectors * plan->lanes; }

static void choose_tile(fc_conv_plan *plan)
{
    const ptrdiff_t rows = volume(plan->desc.kernel);
    plan->vectors = 1;
    plan->rows = (int)fc_divide_up(rows, fc_divide_up(rows, DEPTHWISE_ROWS));
}

/* ---- blocks ----------------------------------------------------------------------------------------------- */

static void span_of(const fc_conv_desc *desc, const ptrdiff_t box[FC_SPATIAL], ptrdiff_t span[FC_SPATIAL])
{
    for (int a = 0; a < FC_SPATIAL; a++)
        span[a] = (box[a] - 1) * desc->stride[a] + (desc->kernel[a] - 1) * desc->dilation[a] + 1;
}

static double staged_bytes(const fc_conv_desc *desc, const ptrdiff_t box[FC_SPATIAL])
{
    ptrdiff_t span[FC_SPATIAL];
    span_of(desc, box, span);
    const double src = (double)span[0] * (double)span[1] * (double)span[2] * (double)desc->ic;
    const double grad = (double)volume(box) * (double)desc->oc;
    return (src + grad) * (double)fc_element(desc);
}

/* Halves the box, outermost axis first, until it fits; a run of pixels is never longer than a partial sum. */
static void choose_box(fc_conv_plan *plan)
{
    const fc_conv_desc *desc = &plan->desc;
    const ptrdiff_t least[FC_SPATIAL] = {1, 1, 16};
    for (int a = 0; a < FC_SPATIAL; a++)
        plan->tile[a] = desc->dst[a];
    plan->tile[2] = fc_min(plan->tile[2], FC_SUM_LENGTH);
    for (int a = 0; a < FC_SPATIAL; a++)
        while (plan->tile[a] > least[a] && staged_bytes(desc, plan->tile) > STAGE_BYTES)
            plan->tile[a] = fc_divide_up(plan->tile[a], 2);
}

/* Images per block: several when a whole one is small. */
static ptrdiff_t block_images(const fc_conv_plan *plan)
{
    for (int a = 0; a < FC_SPATIAL; a++)
        if (plan->tile[a] < plan->desc.dst[a])
            return 1;
    const double images = STAGE_BYTES / staged_bytes(&plan->desc, plan->tile);
    return images < 1 ? 1 : images > 256 ? 256 : (ptrdiff_t)images;
}

static void lay_out(const fc_conv_plan *plan, fc_arena *arena, workspace *at)
{
    const fc_conv_desc *desc = &plan->desc;
    const size_t element = fc_element(desc);
    const ptrdiff_t images = block_images(plan), slack = (ptrdiff_t)plan->vectors * plan->lanes;
    ptrdiff_t span[FC_SPATIAL], src, items;
    span_of(desc, plan->tile, span);
    src = fc_saturate(fc_saturate(span[0], span[1]), fc_saturate(span[2], desc->ic));
    arena->fits = src < PTRDIFF_MAX / 4096 && arena->fits; /* at most 256 images */
    arena->fits = fc_multiply(row_tiles(plan), lane_tiles(plan) * tile_elements(plan), &items) && arena->fits;
    at->src = fc_carve(arena, arena->fits ? images * src + slack : 0, element);
    at->grad = fc_carve(arena, images * volume(plan->tile) * desc->oc + slack, element);
    at->acc = fc_carve(arena, items, element);
    at->offsets = fc_carve(arena, volume(desc->kernel), sizeof(ptrdiff_t));
    at->row_at = fc_carve(arena, volume(desc->kernel), sizeof(ptrdiff_t));
    at->runs = fc_carve(arena, images * plan->tile[0] * plan->tile[1], sizeof(fc_pixel_run));
}

fc_status fc_plan_depthwise_grad(fc_conv_plan *plan)
{
    choose_tile(plan);
    choose_box(plan);
    fc_arena arena = {.fits = true};
    workspace at;
    lay_out(plan, &arena, &at);
    plan->shared_bytes = (arena.used + 127) / 128 * 128;
    return arena.fits ? FC_OK : FC_OVERFLOW;
}

/* ---- staging ---------------------------------------------------------------------------------------------- */

/* Rows [row, row + rows) and columns [col, col + cols) of one depth of an array, channels-last, zero outside it. */
static void stage_rows(const weight_grad_call *s, const char *array, const ptrdiff_t extent[FC_SPATIAL],
                       ptrdiff_t channels, ptrdiff_t image, ptrdiff_t depth, ptrdiff_t row, ptrdiff_t col,
                       ptrdiff_t rows, ptrdiff_t cols, char *dst)
{
    const size_t element = s->element;
    if ((size_t)depth >= (size_t)extent[0]) {
        memset(dst, 0, (size_t)(rows * cols * channels) * element);
        return;
    }
    if (s->plan->desc.layout == FC_CHANNELS_LAST) {
        const ptrdiff_t plane = extent[1] * extent[2] * channels;
        s->kernels->conv->copy_rectangle(&(fc_rectangle){
            .src = array + (size_t)((image * extent[0] + depth) * plane) * element,
            .src_rows = extent[1],
            .src_cols = extent[2] * channels,
            .src_pitch = extent[2] * channels,
            .row_first = row,
            .row_step = 1,
            .rows = rows,
            .col_first = col * channels,
            .col_step = 1,
            .cols = cols * channels,
            .dst = dst,
        });
        return;
    }
    const ptrdiff_t begin = fc_min(fc_max_extent(-col, 0), cols);
    const ptrdiff_t end = fc_max_extent(fc_min(extent[2] - col, cols), begin);
    const size_t pixel = (size_t)channels * element;
    for (ptrdiff_t r = 0; r < rows; r++, dst += (size_t)cols * pixel) {
        if (row + r < 0 || row + r >= extent[1] || begin == end) {
            memset(dst, 0, (size_t)cols * pixel);
            continue;
        }
        const ptrdiff_t at = ((image * channels * extent[0] + depth) * extent[1] + row + r) * extent[2] + col + begin;
        memset(dst, 0, (size_t)begin * pixel);
        s->kernels->conv->transpose(array + (size_t)at * element, volume(extent), 1, channels, end - begin,
                                    dst + (size_t)begin * pixel, channels);
        memset(dst + (size_t)end * pixel, 0, (size_t)(cols - end) * pixel);
    }
}

/* Units of work: one staged row of the input, or one of the gradient, of some image and depth. */
static void stage(const void *context, fc_part part)
{
    const weight_grad_call *s = context;
    const fc_conv_desc *desc = &s->plan->desc;
    const ptrdiff_t src_rows = s->images * s->span[0] * s->span[1], grad_rows = s->images * s->box[0] * s->box[1];
    ptrdiff_t begin, end;
    fc_share_of(src_rows + grad_rows, part, &begin, &end);
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        if (unit < src_rows) {
            const ptrdiff_t row = unit % s->span[1], depth = unit / s->span[1] % s->span[0];
            stage_rows(s, s->src, desc->src, desc->ic, s->first_image + unit / s->span[1] / s->span[0],
                       s->first[0] * desc->stride[0] - desc->pad_begin[0] + depth,
                       s->first[1] * desc->stride[1] - desc->pad_begin[1] + row,
                       s->first[2] * desc->stride[2] - desc->pad_begin[2], 1, s->span[2],
                       s->at.src + (size_t)(unit * s->span[2] * desc->ic) * s->element);
        } else {
            const ptrdiff_t at = unit - src_rows, row = at % s->box[1], depth = at / s->box[1] % s->box[0];
            stage_rows(s, s->grad, desc->dst, desc->oc, s->first_image + at / s->box[1] / s->box[0],
                       s->first[0] + depth, s->first[1] + row, s->first[2], 1, s->box[2],
                       s->at.grad + (size_t)(at * s->box[2] * desc->oc) * s->element);
        }
    }
}

/* What a block adds to the tables: its output rows, and where each row of the result reads in a staged image. */
static void describe_block(weight_grad_call *s)
{
    const fc_conv_desc *desc = &s->plan->desc;
    const size_t element = s->element;
    ptrdiff_t run = 0;
    for (ptrdiff_t i = 0; i < s->images; i++)
        for (ptrdiff_t d = 0; d < s->box[0]; d++)
            for (ptrdiff_t h = 0; h < s->box[1]; h++, run++) {
                const ptrdiff_t row = (i * s->span[0] + d * desc->stride[0]) * s->span[1] + h * desc->stride[1];
                s->at.runs[run] = (fc_pixel_run){
                    .src = s->at.src + (size_t)(row * s->span[2] * desc->ic) * element,
                    .grad = s->at.grad + (size_t)(run * s->box[2] * desc->oc) * element,
                    .count = s->box[2],
                };
            }
    const ptrdiff_t taps = volume(desc->kernel);
    for (ptrdiff_t tap = 0; tap < taps; tap++) {
        ptrdiff_t offset[FC_SPATIAL], at = 0, flat = fc_tap(desc, &s->phase, tap, offset), row_at = 0;
        for (int a = 0; a < FC_SPATIAL; a++)
            at = at * s->span[a] + offset[a] + desc->pad_begin[a];
        for (int a = FC_SPATIAL - 1; a >= 0; a--) {
            row_at += flat % desc->kernel[a] * s->strides[2 + a];
            flat /= desc->kernel[a];
        }
        s->at.offsets[tap] = at * desc->ic;
        s->at.row_at[tap] = row_at;
    }
    const size_t slack = (size_t)s->plan->vectors * (size_t)s->plan->lanes * element;
    memset(s->at.src + (size_t)(s->images * volume(s->span) * desc->ic) * element, 0, slack);
    memset(s->at.grad + (size_t)(run * s->box[2] * desc->oc) * element, 0, slack);
}

/* ---- summing ---------------------------------------------------------------------------------------------- */

typedef struct {
    ptrdiff_t lane;       /* the first */
    ptrdiff_t begin, end; /* rows */
    char *acc;
} item;

static item item_at(const weight_grad_call *s, ptrdiff_t index)
{
    const fc_conv_plan *plan = s->plan;
    const ptrdiff_t tiles = row_tiles(plan);
    item one = {
        .lane = index / tiles * plan->lanes,
        .acc = s->at.acc + (size_t)(index * tile_elements(plan)) * s->element,
    };
    fc_share(volume(plan->desc.kernel), (int)(index % tiles), (int)tiles, &one.begin, &one.end);
    return one;
}

static ptrdiff_t item_count(const fc_conv_plan *plan) { return row_tiles(plan) * lane_tiles(plan); }

/* The block's share of every tile that this thread owns, in partial sums of FC_SUM_LENGTH pixels at most. */
static void sum_block(const void *context, fc_part part)
{
    const weight_grad_call *s = context;
    const fc_conv_plan *plan = s->plan;
    const fc_conv_desc *desc = &plan->desc;
    const ptrdiff_t runs = s->images * s->box[0] * s->box[1];
    const ptrdiff_t together = fc_max_extent(FC_SUM_LENGTH / s->box[2], 1);
    ptrdiff_t begin, end;
    fc_share_of(item_count(plan), part, &begin, &end);
    for (ptrdiff_t i = begin; i < end; i++) {
        const item one = item_at(s, i);
        const ptrdiff_t rows = one.end - one.begin;
        fc_depthwise_grad_fn *const kernel = s->kernels->depthwise_weight_grad[rows];
        ptrdiff_t offsets[FC_MAX_ROWS];
        for (ptrdiff_t r = 0; r < rows; r++)
            offsets[r] = s->at.offsets[one.begin + r] + one.lane;
        for (ptrdiff_t run = 0; run < runs; run += together)
            kernel(s->at.runs + run, fc_min(together, runs - run), offsets, desc->stride[2] * desc->ic, one.lane,
                   desc->oc, one.acc, s->accumulate || run > 0);
    }
}

/* Accumulators to dweights. */
static void finish(const void *context, fc_part part)
{
    static const fc_epilogue none = {FC_IDENTITY, 0, 0};
    const weight_grad_call *s = context;
    const fc_conv_plan *plan = s->plan;
    const fc_conv_desc *desc = &plan->desc;
    const ptrdiff_t width = (ptrdiff_t)plan->vectors * plan->lanes;
    ptrdiff_t begin, end;
    fc_share_of(item_count(plan), part, &begin, &end);
    for (ptrdiff_t i = begin; i < end; i++) {
        const item one = item_at(s, i);
        s->kernels->conv->store_rows(&(fc_row_store){
            .acc = one.acc,
            .rows = (int)(one.end - one.begin),
            .stride = (int)width,
            .live = (int)fc_min(width, desc->groups - one.lane),
            .offsets = s->at.row_at + one.begin,
            .channel_step = s->strides[0],
            .dst = s->dweights + one.lane * s->strides[0] * (ptrdiff_t)s->element,
            .epilogue = &none,
        });
    }
}

/* Block `index` of one pass over `n` images: which images, which box. */
static void place_block(weight_grad_call *s, ptrdiff_t index, ptrdiff_t n, ptrdiff_t images)
{
    const fc_conv_plan *plan = s->plan;
    for (int a = FC_SPATIAL - 1; a >= 0; a--) {
        const ptrdiff_t boxes = fc_divide_up(plan->desc.dst[a], plan->tile[a]);
        s->first[a] = index % boxes * plan->tile[a];
        s->box[a] = fc_min(plan->tile[a], plan->desc.dst[a] - s->first[a]);
        index /= boxes;
    }
    s->first_image = index * images;
    s->images = fc_min(images, n - s->first_image);
    span_of(&plan->desc, s->box, s->span);
}

fc_status fc_depthwise_grad(const fc_conv_plan *plan, ptrdiff_t n, const void *src, const void *grad, void *dweights,
                            const ptrdiff_t strides[2 + FC_SPATIAL], void *memory, int threads)
{
    const fc_conv_desc *desc = &plan->desc;
    weight_grad_call s = {
        .plan = plan,
        .kernels = fc_kernels_for(desc->isa, desc->dtype),
        .element = fc_element(desc),
        .src = src,
        .grad = grad,
        .dweights = dweights,
        .strides = strides,
    };
    fc_arena arena = {memory, 0, true};
    lay_out(plan, &arena, &s.at);
    fc_phase_at(desc, 0, &s.phase);
    const ptrdiff_t images = block_images(plan);
    ptrdiff_t blocks = fc_divide_up(n, images);
    for (int a = 0; a < FC_SPATIAL; a++)
        blocks *= fc_divide_up(desc->dst[a], plan->tile[a]);
    if (blocks == 0) { /* no image: zeros, which finish() puts where an empty block says */
        place_block(&s, 0, n, images);
        describe_block(&s);
        memset(s.at.acc, 0, (size_t)(item_count(plan) * tile_elements(plan)) * s.element);
    }
    for (ptrdiff_t i = 0; i < blocks; i++) {
        place_block(&s, i, n, images);
        describe_block(&s);
        const double work = plan->flops / 2 * (double)(s.images * volume(s.box)) / (double)volume(desc->dst);
        const fc_crew crew = fc_crew_for(work, threads);
        if (fc_parallel(crew, stage, &s) || fc_parallel(crew, sum_block, &s) || (i + 1 < blocks && fc_stopped()))
            return FC_STOPPED;
        s.accumulate = true;
    }
    return fc_parallel((fc_crew){1, 1}, finish, &s);
}
