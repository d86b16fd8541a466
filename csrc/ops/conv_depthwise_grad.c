/* The gradient of depthwise weights, channels-last.
 *
 * Every tile of the result, rows of taps by a vector of channels, streams over the pixels of a block of output
 * positions (some images, or a box of one), block after block. Whole vectors of channels are read where they lie: a
 * block is cut into patches of pixels that see the same taps, all of them but near the borders. Else gradients and the
 * zero-padded input that they see are staged first. Threads share the staging and then the tiles; each tile has one
 * owner and one order of its sums, so the bits never depend on the threads.
 */
#include "conv.h"
#include "parallel.h"

#include <string.h>

/* Nine rows are a kernel of 3 x 3 at once; more than eight taps along an axis would make many patches. */
enum { STAGE_BYTES = 384 * 1024, DEPTHWISE_ROWS = 9, MOST_TAPS = 8 };

/* Pixels of a run that is read in place. */
enum { STRIP = 32 };

/* Output positions of a block that see the same taps, of its kernel rows and columns. */
typedef struct {
    fc_pixel_run *runs; /* src at the first of these taps */
    ptrdiff_t count;
    fc_window rows, columns;
} patch;

/* Shared by all threads. */
typedef struct {
    char *src, *grad;
    char *acc;          /* [item][row][lane] */
    ptrdiff_t *offsets; /* of every tap in a staged image, in elements */
    ptrdiff_t *row_at;  /* of every tap in dweights */
    fc_pixel_run *runs; /* the block's output rows */
    patch *patches;
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
    bool accumulate, in_place;
    ptrdiff_t patches;
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

/* Whether vectors of channels can be read where they lie, without a last one that leaves the array. */
static bool whole_vectors(const fc_conv_plan *plan) { return plan->desc.groups % plan->lanes == 0; }

/* Whether the input is not staged: images are flat, and nearly all of a row lies between its borders. */
static bool in_place(const fc_conv_plan *plan)
{
    enum { COLUMNS = 16 }; /* for each of the border's: 112 of 3 x 3 gain a third, 14 of 3 and 28 of 5 x 5 lose one */
    const fc_conv_desc *desc = &plan->desc;
    return whole_vectors(plan) && desc->src[0] == 1 && desc->dst[0] == 1 && desc->kernel[0] == 1 &&
           desc->kernel[1] <= MOST_TAPS && desc->kernel[2] <= MOST_TAPS &&
           desc->dst[2] >= COLUMNS * (desc->kernel[2] - 1);
}

static ptrdiff_t most_patches(const fc_conv_desc *desc, int axis) { return 2 * desc->kernel[axis] - 1; }

/* Strips of a block's row, at most. */
static ptrdiff_t strips_of(const fc_conv_plan *plan) { return most_patches(&plan->desc, 2) + plan->tile[2] / STRIP; }

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

/* Halves the box, outermost axis first, until it fits; a run of pixels is never longer than a partial sum. What is read
 * in place needs no room but for its runs. */
static void choose_box(fc_conv_plan *plan)
{
    enum { MOST_RUNS = 2048 };
    const fc_conv_desc *desc = &plan->desc;
    const ptrdiff_t least[FC_SPATIAL] = {1, 1, 16};
    for (int a = 0; a < FC_SPATIAL; a++)
        plan->tile[a] = desc->dst[a];
    plan->tile[2] = fc_min(plan->tile[2], FC_SUM_LENGTH);
    if (in_place(plan)) {
        plan->tile[1] = fc_min(plan->tile[1], MOST_RUNS / strips_of(plan));
        return;
    }
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

static void lay_out_in_place(const fc_conv_plan *plan, fc_arena *arena, workspace *at)
{
    const fc_conv_desc *desc = &plan->desc;
    const ptrdiff_t columns = most_patches(desc, 2), items = row_tiles(plan) * lane_tiles(plan);
    at->acc = fc_carve(arena, items * tile_elements(plan), fc_element(desc));
    at->row_at = fc_carve(arena, volume(desc->kernel), sizeof(ptrdiff_t));
    at->runs = fc_carve(arena, fc_saturate(block_images(plan) * strips_of(plan), plan->tile[1]), sizeof(fc_pixel_run));
    at->patches = fc_carve(arena, most_patches(desc, 1) * columns, sizeof(patch));
}

static void lay_out(const fc_conv_plan *plan, fc_arena *arena, workspace *at)
{
    const fc_conv_desc *desc = &plan->desc;
    const size_t element = fc_element(desc);
    const ptrdiff_t images = block_images(plan), slack = (ptrdiff_t)plan->vectors * plan->lanes;
    if (in_place(plan)) {
        lay_out_in_place(plan, arena, at);
        return;
    }
    ptrdiff_t span[FC_SPATIAL], src, items;
    span_of(desc, plan->tile, span);
    src = fc_saturate(fc_saturate(span[0], span[1]), fc_saturate(span[2], desc->ic));
    arena->fits = src < PTRDIFF_MAX / 4096 && arena->fits; /* at most 256 images */
    arena->fits = fc_multiply(row_tiles(plan), lane_tiles(plan) * tile_elements(plan), &items) && arena->fits;
    at->src = fc_carve(arena, arena->fits ? images * src + slack : 0, element);
    at->grad = fc_carve(arena, whole_vectors(plan) ? 0 : images * volume(plan->tile) * desc->oc + slack, element);
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
    const ptrdiff_t src_rows = s->images * s->span[0] * s->span[1];
    const ptrdiff_t grad_rows = whole_vectors(s->plan) ? 0 : s->images * s->box[0] * s->box[1];
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

/* The positions [first, end) of a block that see the taps `window`, from `first` on. */
static ptrdiff_t same_taps(const weight_grad_call *s, int axis, ptrdiff_t first, fc_window *window)
{
    const ptrdiff_t last = s->first[axis] + s->box[axis];
    ptrdiff_t end = first + 1;
    *window = fc_taps_inside(&s->phase.axis[axis], first);
    for (; end < last; end++) {
        const fc_window next = fc_taps_inside(&s->phase.axis[axis], end);
        if (next.begin != window->begin || next.end != window->end)
            break;
    }
    return end;
}

/* One strip of a patch: output rows [top, bottom) and columns [left, right) of the block's images. */
static void describe_strip(const weight_grad_call *s, patch *one, ptrdiff_t top, ptrdiff_t bottom, ptrdiff_t left,
                           ptrdiff_t right)
{
    const fc_conv_desc *desc = &s->plan->desc;
    const fc_axis *axis = s->phase.axis;
    const ptrdiff_t column = left * desc->stride[2] + axis[2].offset_first + one->columns.begin * axis[2].offset_step;
    for (ptrdiff_t i = s->first_image; i < s->first_image + s->images; i++)
        for (ptrdiff_t y = top; y < bottom; y++) {
            const ptrdiff_t row = y * desc->stride[1] + axis[1].offset_first + one->rows.begin * axis[1].offset_step;
            const ptrdiff_t src = (i * desc->src[1] + row) * desc->src[2] + column;
            one->runs[one->count++] = (fc_pixel_run){
                .src = s->src + (size_t)(src * desc->ic) * s->element,
                .grad = s->grad + (size_t)(((i * desc->dst[1] + y) * desc->dst[2] + left) * desc->oc) * s->element,
                .count = right - left,
            };
        }
}

static void describe_patches(weight_grad_call *s)
{
    const ptrdiff_t *first = s->first, *box = s->box;
    fc_pixel_run *runs = s->at.runs;
    s->patches = 0;
    for (ptrdiff_t y = first[1], bottom; y < first[1] + box[1]; y = bottom) {
        patch one = {.count = 0};
        bottom = same_taps(s, 1, y, &one.rows);
        for (ptrdiff_t x = first[2], right; x < first[2] + box[2]; x = right) {
            right = same_taps(s, 2, x, &one.columns);
            if (one.rows.begin == one.rows.end || one.columns.begin == one.columns.end)
                continue;
            patch *const made = &s->at.patches[s->patches++];
            *made = one;
            made->runs = runs;
            const ptrdiff_t strips = fc_divide_up(right - x, STRIP);
            for (int i = 0; i < strips; i++) {
                ptrdiff_t left, end;
                fc_share(right - x, i, strips, &left, &end);
                describe_strip(s, made, y, bottom, x + left, x + end);
            }
            runs += made->count;
        }
    }
    const fc_conv_desc *desc = &s->plan->desc;
    for (ptrdiff_t tap = 0; tap < volume(desc->kernel); tap++)
        s->at.row_at[tap] = tap / desc->kernel[2] * s->strides[3] + tap % desc->kernel[2] * s->strides[4];
}

/* What a block adds to the tables: its output rows, and where each row of the result reads in a staged image. */
static void describe_block(weight_grad_call *s)
{
    const fc_conv_desc *desc = &s->plan->desc;
    const size_t element = s->element;
    if (s->in_place) {
        describe_patches(s);
        return;
    }
    ptrdiff_t run = 0;
    for (ptrdiff_t i = 0; i < s->images; i++)
        for (ptrdiff_t d = 0; d < s->box[0]; d++)
            for (ptrdiff_t h = 0; h < s->box[1]; h++, run++) {
                const ptrdiff_t row = (i * s->span[0] + d * desc->stride[0]) * s->span[1] + h * desc->stride[1];
                const ptrdiff_t depth = (s->first_image + i) * desc->dst[0] + s->first[0] + d;
                const ptrdiff_t pixel = (depth * desc->dst[1] + s->first[1] + h) * desc->dst[2] + s->first[2];
                s->at.runs[run] = (fc_pixel_run){
                    .src = s->at.src + (size_t)(row * s->span[2] * desc->ic) * element,
                    .grad = whole_vectors(s->plan) ? s->grad + (size_t)(pixel * desc->oc) * element
                                                   : s->at.grad + (size_t)(run * s->box[2] * desc->oc) * element,
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
    if (!whole_vectors(s->plan))
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
    fc_share(volume(plan->desc.kernel), index % tiles, tiles, &one.begin, &one.end);
    return one;
}

static ptrdiff_t item_count(const fc_conv_plan *plan) { return row_tiles(plan) * lane_tiles(plan); }

/* Neighbouring taps of one row tile that a patch sees; offsets lead to them from the first tap that it sees. */
typedef struct {
    ptrdiff_t acc, count; /* acc: elements from a lane tile's accumulators */
    ptrdiff_t offsets[FC_MAX_ROWS];
} stretch;

/* The stretches of a patch: one for each row tile where it sees every tap. Returns their number. */
static ptrdiff_t list_stretches(const weight_grad_call *s, const patch *one, stretch *stretches)
{
    const fc_conv_desc *desc = &s->plan->desc;
    const ptrdiff_t width = desc->kernel[2];
    ptrdiff_t count = 0;
    for (ptrdiff_t tile = 0; tile < row_tiles(s->plan); tile++) {
        const item rows = item_at(s, tile);
        bool open = false;
        for (ptrdiff_t tap = rows.begin; tap < rows.end; tap++) {
            const ptrdiff_t h = tap / width - one->rows.begin, w = tap % width - one->columns.begin;
            const bool inside =
                h >= 0 && h < one->rows.end - one->rows.begin && w >= 0 && w < one->columns.end - one->columns.begin;
            if (inside && !open)
                stretches[count++] = (stretch){
                    .acc = tile * tile_elements(s->plan) + (tap - rows.begin) * s->plan->lanes,
                };
            open = inside;
            if (inside) {
                stretch *const last = &stretches[count - 1];
                last->offsets[last->count++] =
                    (h * desc->dilation[1] * desc->src[2] + w * desc->dilation[2]) * desc->ic;
            }
        }
    }
    return count;
}

/* Output rows that are summed at once: what a vector of their channels touches stays in L1 for the line's others. */
static ptrdiff_t runs_together(const weight_grad_call *s, const patch *one)
{
    enum { L1_BYTES = 24 * 1024 };
    const fc_conv_desc *desc = &s->plan->desc;
    const ptrdiff_t pixels = one->runs[0].count, columns = (pixels - 1) * desc->stride[2] + desc->kernel[2];
    const ptrdiff_t room = L1_BYTES / FC_ALIGNMENT - desc->kernel[1] * columns;
    const ptrdiff_t runs = room / (columns * desc->stride[1] + pixels);
    return fc_max_extent(fc_min(runs, FC_SUM_LENGTH / pixels), 1);
}

/* All taps of the lane tiles [begin, end) over all patches: a few rows of a strip for every tile, so that memory is
 * read nearly in its order. */
static void sum_lanes(const weight_grad_call *s, ptrdiff_t begin, ptrdiff_t end)
{
    const fc_conv_plan *plan = s->plan;
    const fc_conv_desc *desc = &plan->desc;
    const ptrdiff_t step = row_tiles(plan) * tile_elements(plan);
    for (ptrdiff_t p = 0; p < s->patches; p++) {
        const patch *const one = &s->at.patches[p];
        stretch stretches[MOST_TAPS * MOST_TAPS];
        const ptrdiff_t count = list_stretches(s, one, stretches), together = runs_together(s, one);
        for (ptrdiff_t run = 0; run < one->count; run += together)
            for (ptrdiff_t tile = begin; tile < end; tile++)
                for (ptrdiff_t i = 0; i < count; i++) {
                    ptrdiff_t offsets[FC_MAX_ROWS];
                    for (ptrdiff_t r = 0; r < stretches[i].count; r++)
                        offsets[r] = stretches[i].offsets[r] + tile * plan->lanes;
                    s->kernels->depthwise_weight_grad[stretches[i].count](
                        one->runs + run, fc_min(together, one->count - run), offsets, desc->stride[2] * desc->ic,
                        tile * plan->lanes, desc->oc, s->at.acc + (size_t)(tile * step + stretches[i].acc) * s->element,
                        true);
                }
    }
}

/* The block's share of the lane tiles that this thread owns, read in place. */
static void sum_in_place(const void *context, fc_part part)
{
    const weight_grad_call *s = context;
    const fc_conv_plan *plan = s->plan;
    const size_t tile = (size_t)(row_tiles(plan) * tile_elements(plan)) * s->element;
    const ptrdiff_t line = fc_max_extent(FC_ALIGNMENT / (plan->lanes * (ptrdiff_t)s->element), 1);
    ptrdiff_t begin, end;
    fc_share_of_runs(lane_tiles(plan), line, part, &begin, &end);
    if (!s->accumulate)
        memset(s->at.acc + (size_t)begin * tile, 0, (size_t)(end - begin) * tile);
    if (begin < end)
        sum_lanes(s, begin, end);
}

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
        .in_place = in_place(plan),
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
        const double work = fc_conv_work(plan) * (double)(s.images * volume(s.box)) / (double)volume(desc->dst);
        const fc_crew crew = fc_crew_for(work, threads);
        if ((!s.in_place && fc_parallel(crew, stage, &s)) ||
            fc_parallel(crew, s.in_place ? sum_in_place : sum_block, &s) || (i + 1 < blocks && fc_stopped()))
            return FC_STOPPED;
        s.accumulate = true;
    }
    return fc_parallel((fc_crew){.threads = 1, .turns = 1}, finish, &s);
}
