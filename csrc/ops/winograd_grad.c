/* The gradient of 3 x 3 weights by Winograd's transforms, channels-last: forward, led back.
 *
 * Tiles of 4 x 4 gradients and the 6 x 6 patches of input that they see are transformed, block of tiles after block,
 * and multiplied product by product, a sum over tiles; the sums are transformed to 3 x 3 weights when all tiles are
 * done: 36 multiply-adds where a tile has 144.
 *
 *     src [group of channels][product][tile][channel]   grad [panel][product][tile][lane]
 *                                         └─► acc [item][product][row][lane] ─► dweights
 *
 * An item is a register tile of input channels by output channels, in all products. A group of input channels stays in
 * L2 while the panels stream past it. Threads share the transforms and then the items; each item has one owner and one
 * order of its sums, so the bits never depend on the threads.
 */
#include "parallel.h"
#include "winograd.h"

#include <string.h>

enum { TILE = 4, SIDE = 6, PRODUCTS = SIDE * SIDE, ACROSS = 3, TAPS = ACROSS * ACROSS, VECTORS = 2, TILES = 4 };
enum { ITEM_BYTES = 64 * 1024, LEAST_VECTORS = 2 }; /* an item's sums; vectors of a group of input channels */

typedef struct {
    char *src, *grad;
    char *acc;                  /* of all items, unless one block holds every tile */
    ptrdiff_t tiles_h, tiles_w; /* of an image */
    ptrdiff_t together;         /* tiles of a block */
    ptrdiff_t rows, width;      /* of an item */
    ptrdiff_t vectors, panels;  /* of channels in and out, padded to whole ones */
    ptrdiff_t deep, groups;     /* input channels of a group; groups */
    ptrdiff_t src_product, grad_product;
} layout;

typedef struct {
    char *acc, *taps;
} thread_layout;

typedef struct {
    const fc_conv_plan *plan;
    const fc_kernels *kernels;
    layout at;
    size_t element;
    const char *src, *grad;
    char *dweights, *thread_memory;
    const ptrdiff_t *strides;
    ptrdiff_t first, count; /* tiles of the block */
    bool initial, final;
    bool *broken; /* by thread */
} grad_call;

/* ---- planning --------------------------------------------------------------------------------------------- */

/* Elements from a product's tiles to the next one's: lines of all products must not meet in few sets of L1. */
static ptrdiff_t product_step(ptrdiff_t together, ptrdiff_t width, size_t element)
{
    const ptrdiff_t line = FC_ALIGNMENT / (ptrdiff_t)element, lines = fc_divide_up(together * width, line);
    return (lines | 1) * line;
}

static layout lay_out(const fc_conv_plan *plan, fc_arena *arena)
{
    const fc_conv_desc *desc = &plan->desc;
    const fc_kernels *kernels = fc_kernels_for(desc->isa, desc->dtype);
    const size_t element = fc_element(desc);
    layout at = {
        .tiles_h = fc_divide_up(desc->dst[1], TILE),
        .tiles_w = fc_divide_up(desc->dst[2], TILE),
        .together = plan->winograd.tiles,
        .width = (ptrdiff_t)VECTORS * plan->lanes,
        .vectors = fc_divide_up(desc->ic, plan->lanes),
    };
    const ptrdiff_t most = (ptrdiff_t)(fc_l2_bytes() / 4 / element) / (PRODUCTS * at.together * plan->lanes);
    at.groups = fc_divide_up(at.vectors, fc_max_extent(most, LEAST_VECTORS));
    at.deep = fc_divide_up(at.vectors, at.groups) * plan->lanes;
    at.groups = fc_divide_up(at.vectors * plan->lanes, at.deep);
    at.panels = fc_divide_up(desc->oc, at.width);
    at.rows = fc_min(ITEM_BYTES / (PRODUCTS * at.width * (ptrdiff_t)element), TILES * kernels->max_rows[VECTORS]);
    at.src_product = product_step(at.together, at.deep, element);
    at.grad_product = product_step(at.together, at.width, element);
    at.src = fc_carve(arena, fc_saturate(PRODUCTS * at.src_product, at.groups), element);
    at.grad = fc_carve(arena, fc_saturate(PRODUCTS * at.grad_product, at.panels), element);
    const ptrdiff_t items = fc_saturate(at.groups * fc_divide_up(at.deep, at.rows), at.panels);
    at.acc = fc_carve(arena, fc_saturate(PRODUCTS * at.rows * at.width, items), element);
    return at;
}

static thread_layout lay_out_thread(const layout *at, size_t element, fc_arena *arena)
{
    return (thread_layout){
        .acc = fc_carve(arena, PRODUCTS * at->rows * at->width, element),
        .taps = fc_carve(arena, TAPS * at->rows * at->width, element),
    };
}

static bool serves(const fc_conv_plan *plan)
{
    const fc_conv_desc *desc = &plan->desc;
    for (int a = 0; a < FC_SPATIAL; a++)
        if (desc->kernel[a] != (a == 0 ? 1 : ACROSS) || desc->stride[a] != 1 || desc->dilation[a] != 1)
            return false;
    return desc->precision == FC_HIGH && desc->algorithm == FC_AUTO && desc->layout == FC_CHANNELS_LAST &&
           desc->groups == 1 && desc->src[0] == 1 && desc->dst[0] == 1 && !fc_is_folded(plan) &&
           desc->ic >= plan->lanes && desc->oc >= plan->lanes;
}

/* Cycles of one image by transforms over those of the direct sums. Two vector multiply-adds a cycle; a register tile
 * costs 40 cycles beside them, a vector through the transforms 110, through the last one 80, and sums that wait between
 * blocks stream from beyond L2 at 9 bytes a cycle. */
static double relative_cost(const fc_conv_plan *plan, const layout *at)
{
    const fc_conv_desc *desc = &plan->desc;
    const double tiles = (double)(at->tiles_h * at->tiles_w), together = (double)fc_min(at->together, tiles);
    const double in = (double)(at->vectors * plan->lanes), out = (double)at->panels * VECTORS,
                 blocks = tiles / together;
    const double rows = fc_kernels_for(desc->isa, desc->dtype)->max_rows[VECTORS];
    const double items = in / rows * (double)at->panels;
    const double sums = PRODUCTS * items * (rows * VECTORS / 2 * tiles + 40 * blocks);
    const double waiting = (blocks - 1) * 2 * PRODUCTS * in * out * plan->lanes * (double)fc_element(desc) / 9;
    const double transforms = tiles * 110 * (in / plan->lanes + out) + in * out * 80;
    const double direct = plan->flops / 2 / plan->lanes / 2 / 0.85;
    return (sums + transforms + (blocks > 1 ? waiting : 0)) / direct;
}

void fc_plan_winograd_grad(fc_conv_plan *plan)
{
    if (!serves(plan))
        return;
    fc_conv_plan candidate = *plan;
    const fc_conv_desc *desc = &plan->desc;
    const double element = (double)fc_element(desc), channels = (double)(desc->ic + desc->oc);
    const double weights = (double)desc->ic * (double)desc->oc * TAPS * element;
    /* a panel of gradients stays in a quarter of L2; all transformed tiles are no more than three and a half gradients
     * of the weights, or half of L2 */
    const double panel = (double)fc_l2_bytes() / 4 / (PRODUCTS * VECTORS * plan->lanes * element);
    const double room = 3.5 * weights > (double)fc_l2_bytes() / 2 ? 3.5 * weights : (double)fc_l2_bytes() / 2;
    const double all = room / (PRODUCTS * channels * element), most = panel < all ? panel : all;
    candidate.winograd = (fc_winograd_blocks){.form = FC_F4_3,
                                              .tiles = most < 8     ? 8
                                                       : most > 256 ? 256
                                                                    : (ptrdiff_t)most};
    fc_arena arena = {.fits = true}, thread = {.fits = true};
    const layout at = lay_out(&candidate, &arena);
    lay_out_thread(&at, fc_element(desc), &thread);
    const size_t shared = (arena.used + 127) / 128 * 128;
    if (!arena.fits || relative_cost(&candidate, &at) > 0.9 || fc_set_workspace(&candidate, &thread) != FC_OK)
        return;
    candidate.algorithm = FC_WINOGRAD;
    candidate.shared_bytes = shared > plan->shared_bytes ? shared : plan->shared_bytes;
    if (candidate.workspace_bytes < plan->workspace_bytes)
        candidate.workspace_bytes = plan->workspace_bytes; /* the direct sums may follow */
    *plan = candidate;
}

/* ---- transforms ------------------------------------------------------------------------------------------- */

/* The elements 0 ... side - 1 from `first` on that lie inside [0, extent). */
static fc_window inside(ptrdiff_t first, ptrdiff_t extent, int side)
{
    fc_window window = {fc_min(fc_max_extent(-first, 0), side), fc_min(fc_max_extent(extent - first, 0), side)};
    window.end = fc_max_extent(window.begin, window.end);
    return window;
}

/* A vector of channels of the block's tiles, from an array of `extent`: patches of `side`, the first one at -pad. */
static void transform(const grad_call *s, const char *array, const ptrdiff_t *extent, ptrdiff_t channels,
                      ptrdiff_t channel, const ptrdiff_t *pad, int side, fc_winograd_input_fn *kernel, char *dst,
                      ptrdiff_t dst_tile, ptrdiff_t dst_product)
{
    const layout *at = &s->at;
    fc_winograd_input to = {
        .src_row = extent[2] * channels,
        .src_col = channels,
        .src_tile = TILE * channels,
        .channels = fc_min(s->plan->lanes, channels - channel),
        .dst_tile = dst_tile,
        .dst_product = dst_product,
    };
    for (ptrdiff_t tile = 0; tile < s->count; tile += to.tiles) {
        const ptrdiff_t index = s->first + tile, line = index / at->tiles_w, in_row = index % at->tiles_w;
        const ptrdiff_t row = line % at->tiles_h * TILE - pad[1], col = in_row * TILE - pad[2];
        const fc_window rows = inside(row, extent[1], side), cols = inside(col, extent[2], side);
        const ptrdiff_t image = line / at->tiles_h;
        to.row_begin = (int)rows.begin;
        to.row_end = (int)rows.end;
        to.col_begin = (int)cols.begin;
        to.col_end = (int)cols.end;
        to.tiles = 1;
        if (cols.begin == 0 && cols.end == side)
            to.tiles = fc_min(fc_min((extent[2] - side - col) / TILE + 1, at->tiles_w - in_row), s->count - tile);
        to.src = array + (((image * extent[1] + row) * extent[2] + col) * channels + channel) * (ptrdiff_t)s->element;
        to.dst = dst + tile * dst_tile * (ptrdiff_t)s->element;
        kernel(&to);
    }
}

/* The transformed tiles of a group of input channels; of a panel of output channels. */
static char *src_at(const grad_call *s, ptrdiff_t group)
{
    return s->at.src + (size_t)(group * PRODUCTS * s->at.src_product) * s->element;
}

static char *grad_at(const grad_call *s, ptrdiff_t panel)
{
    return s->at.grad + (size_t)(panel * PRODUCTS * s->at.grad_product) * s->element;
}

/* Units of work: vectors of input channels, then of output channels. */
static void transform_block(const void *context, fc_part part)
{
    const grad_call *s = context;
    const layout *at = &s->at;
    const fc_conv_desc *desc = &s->plan->desc;
    const struct fc_winograd_kernels *kernels = s->kernels->winograd;
    const ptrdiff_t lanes = s->plan->lanes, none[FC_SPATIAL] = {0};
    ptrdiff_t begin, end;
    fc_share_of(at->vectors + at->panels * VECTORS, part, &begin, &end);
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        if (unit < at->vectors) {
            const ptrdiff_t channel = unit * lanes, group = channel / at->deep;
            char *const dst = src_at(s, group) + channel % at->deep * (ptrdiff_t)s->element;
            transform(s, s->src, desc->src, desc->ic, channel, desc->pad_begin, SIDE, kernels->input[FC_F4_3], dst,
                      at->deep, at->src_product);
            continue;
        }
        const ptrdiff_t vector = unit - at->vectors;
        char *const dst = grad_at(s, vector / VECTORS) + vector % VECTORS * lanes * (ptrdiff_t)s->element;
        if (vector * lanes < desc->oc) {
            transform(s, s->grad, desc->dst, desc->oc, vector * lanes, none, TILE, kernels->grad, dst, at->width,
                      at->grad_product);
            continue;
        }
        for (ptrdiff_t i = 0; i < PRODUCTS * at->together; i++) {
            const ptrdiff_t to = i / at->together * at->grad_product + i % at->together * at->width;
            memset(dst + (size_t)to * s->element, 0, (size_t)lanes * s->element);
        }
    }
}

/* ---- sums ------------------------------------------------------------------------------------------------- */

/* What one thread sums at a time: rows of input channels from `channel` on, lanes of output channels from `lane` on. */
typedef struct {
    ptrdiff_t channel, rows, lane;
} item;

/* An item's finished sums where lanes are neighbours in dweights, and taps equally far apart. */
static bool finish_rows(const grad_call *s, const item *one, const char *acc)
{
    const layout *at = &s->at;
    const ptrdiff_t element = (ptrdiff_t)s->element;
    bool broken = false;
    for (ptrdiff_t r = 0; r < one->rows; r++)
        broken |= s->kernels->winograd->sums(&(fc_winograd_sums){
            .src = acc + r * at->width * element,
            .src_product = one->rows * at->width,
            .vectors = VECTORS,
            .dst = s->dweights + ((one->channel + r) * s->strides[1] + one->lane) * element,
            .dst_tap = s->strides[4],
        });
    return broken;
}

/* Every product of an item, tile by tile: lines of src and grad serve several of them from L1. */
static void sum_item(const grad_call *s, const item *one, const char *src, const char *grad, char *acc)
{
    const layout *at = &s->at;
    const ptrdiff_t element = (ptrdiff_t)s->element, start = 0;
    const int tiles = (int)fc_divide_up(one->rows, s->kernels->max_rows[VECTORS]);
    fc_weight_grad_fn *kernel[TILES];
    ptrdiff_t first[TILES], last;
    for (int t = 0; t < tiles; t++) {
        fc_share(one->rows, t, tiles, &first[t], &last);
        kernel[t] = s->kernels->weight_grad[VECTORS][last - first[t]];
    }
    fc_grad_panel operands = {.starts = &start, .runs = 1, .length = s->count, .step = at->deep, .acc_step = at->width};
    for (ptrdiff_t p = 0; p < PRODUCTS; p++) {
        operands.grad = grad + p * at->grad_product * element;
        for (int t = 0; t < tiles; t++) {
            operands.src = src + (p * at->src_product + first[t]) * element;
            kernel[t](&operands, acc + (p * one->rows + first[t]) * at->width * element, !s->initial);
        }
    }
}

/* An item's finished sums, wherever weights lie. */
static bool finish(const grad_call *s, const item *one, const char *acc, char *taps)
{
    static const fc_epilogue none = {FC_IDENTITY, 0, 0};
    const layout *at = &s->at;
    const fc_conv_desc *desc = &s->plan->desc;
    if (s->strides[0] == 1 && s->strides[3] == ACROSS * s->strides[4] && desc->oc - one->lane >= at->width)
        return finish_rows(s, one, acc);
    const bool broken = s->kernels->winograd->sums(&(fc_winograd_sums){
        .src = acc,
        .src_product = one->rows * at->width,
        .vectors = (int)one->rows * VECTORS,
        .dst = taps,
        .dst_tap = one->rows * at->width,
    });
    for (ptrdiff_t tap = 0; tap < TAPS; tap++) {
        ptrdiff_t offsets[TILES * FC_MAX_ROWS];
        for (ptrdiff_t r = 0; r < one->rows; r++)
            offsets[r] =
                (one->channel + r) * s->strides[1] + tap / ACROSS * s->strides[3] + tap % ACROSS * s->strides[4];
        s->kernels->conv->store_rows(&(fc_row_store){
            .acc = taps + (size_t)(tap * one->rows * at->width) * s->element,
            .rows = (int)one->rows,
            .stride = (int)at->width,
            .live = (int)fc_min(at->width, desc->oc - one->lane),
            .offsets = offsets,
            .channel_step = s->strides[0],
            .dst = s->dweights + one->lane * s->strides[0] * (ptrdiff_t)s->element,
            .epilogue = &none,
        });
    }
    return broken;
}

/* Units of work: items, panel after panel, group after group. */
static void sum_block(const void *context, fc_part part)
{
    const grad_call *s = context;
    const layout *at = &s->at;
    const ptrdiff_t parts = fc_divide_up(at->deep, at->rows), element = (ptrdiff_t)s->element;
    fc_arena arena = {s->thread_memory + (size_t)part.thread * s->plan->workspace_bytes, 0, true};
    const thread_layout own = lay_out_thread(at, s->element, &arena);
    ptrdiff_t begin, end, first, last;
    fc_share_of(at->groups * at->panels * parts, part, &begin, &end);
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const ptrdiff_t panel = unit / parts % at->panels, group = unit / parts / at->panels;
        fc_share(fc_min(at->deep, s->plan->desc.ic - group * at->deep), unit % parts, parts, &first, &last);
        const item one = {group * at->deep + first, last - first, panel * at->width};
        if (one.rows == 0)
            continue;
        char *const acc = s->initial && s->final ? own.acc : at->acc + unit * PRODUCTS * at->rows * at->width * element;
        const char *const src = src_at(s, group) + first * element, *const grad = grad_at(s, panel);
        sum_item(s, &one, src, grad, acc);
        if (s->final && finish(s, &one, acc, own.taps))
            s->broken[part.thread] = true;
    }
}

fc_status fc_winograd_grad(const fc_conv_plan *plan, ptrdiff_t n, const void *src, const void *grad, void *dweights,
                           const ptrdiff_t strides[2 + FC_SPATIAL], void *memory, int threads, bool *finite)
{
    enum { MOST_THREADS = 256 };
    bool broken[MOST_THREADS] = {false};
    fc_arena arena = {memory, 0, true};
    grad_call s = {
        .plan = plan,
        .kernels = fc_kernels_for(plan->desc.isa, plan->desc.dtype),
        .at = lay_out(plan, &arena),
        .element = fc_element(&plan->desc),
        .src = src,
        .grad = grad,
        .dweights = dweights,
        .thread_memory = (char *)memory + plan->shared_bytes,
        .strides = strides,
        .broken = broken,
    };
    const ptrdiff_t total = n * s.at.tiles_h * s.at.tiles_w, blocks = fc_divide_up(total, s.at.together);
    for (ptrdiff_t i = 0; i < blocks; i++) {
        ptrdiff_t end;
        fc_share(total, i, blocks, &s.first, &end);
        s.count = end - s.first;
        s.initial = i == 0;
        s.final = i == blocks - 1;
        const double image = (double)s.count / (double)(s.at.tiles_h * s.at.tiles_w), work = plan->flops / 8 * image;
        const fc_crew crew = fc_crew_for(work, threads < MOST_THREADS ? threads : MOST_THREADS);
        if (fc_parallel(crew, transform_block, &s) || fc_parallel(crew, sum_block, &s) || (!s.final && fc_stopped()))
            return FC_STOPPED;
    }
    *finite = total > 0;
    for (int i = 0; i < MOST_THREADS; i++)
        *finite = *finite && !broken[i];
    return FC_OK;
}
