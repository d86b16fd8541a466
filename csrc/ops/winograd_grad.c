/* The gradient of 3 x 3 weights by Winograd's transforms, channels-last: forward, led back.
 *
 * Tiles of 4 x 4 gradients and the 6 x 6 patches of input that they see are transformed, block of tiles after block,
 * and multiplied product by product, a sum over tiles; the sums are transformed to 3 x 3 weights when all tiles are
 * done: 36 multiply-adds where a tile has 144.
 *
 *     src [block of channels][product][tile][lane]   grad [panel][product][tile][lane]
 *                                         └─► acc [item][product][row][lane] ─► dweights
 *
 * An item is a register tile of input channels by output channels, in all products. Threads share the transforms and
 * then the items; each item has one owner and one order of its sums, so the bits never depend on the threads.
 */
#include "parallel.h"
#include "winograd.h"

#include <string.h>

enum { TILE = 4, SIDE = 6, PRODUCTS = SIDE * SIDE, ACROSS = 3, TAPS = ACROSS * ACROSS, VECTORS = 2 };

typedef struct {
    char *src, *grad;
    char *acc;                  /* of all items, unless one block holds every tile */
    ptrdiff_t tiles_h, tiles_w; /* of an image */
    ptrdiff_t together;         /* tiles of a block */
    ptrdiff_t rows, width;      /* of an item */
    ptrdiff_t blocks, panels;   /* of channels, padded to whole ones */
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

static layout lay_out(const fc_conv_plan *plan, fc_arena *arena)
{
    const fc_conv_desc *desc = &plan->desc;
    const fc_kernels *kernels = fc_kernels_for(desc->isa, desc->dtype);
    layout at = {
        .tiles_h = fc_divide_up(desc->dst[1], TILE),
        .tiles_w = fc_divide_up(desc->dst[2], TILE),
        .together = plan->winograd.tiles,
        .rows = plan->lanes,
        .width = (ptrdiff_t)VECTORS * plan->lanes,
    };
    while (at.rows > kernels->max_rows[VECTORS])
        at.rows /= 2;
    at.blocks = fc_divide_up(desc->ic, plan->lanes);
    at.panels = fc_divide_up(desc->oc, at.width);
    const size_t element = fc_element(desc);
    const ptrdiff_t block = PRODUCTS * at.together, items = at.blocks * plan->lanes * at.panels;
    at.src = fc_carve(arena, fc_saturate(block, at.blocks * plan->lanes), element);
    at.grad = fc_carve(arena, fc_saturate(block, at.panels * at.width), element);
    at.acc = fc_carve(arena, fc_saturate(PRODUCTS, fc_saturate(items, at.width)), element);
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
    const double in = (double)(at->blocks * plan->lanes), out = (double)at->panels * VECTORS, blocks = tiles / together;
    const double items = in / (double)at->rows * (double)at->panels;
    const double sums = PRODUCTS * items * ((double)(at->rows * VECTORS) / 2 * tiles + 40 * blocks);
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
                      ptrdiff_t dst_tile)
{
    const layout *at = &s->at;
    fc_winograd_input to = {
        .src_row = extent[2] * channels,
        .src_col = channels,
        .src_tile = TILE * channels,
        .channels = fc_min(s->plan->lanes, channels - channel),
        .dst_tile = dst_tile,
        .dst_product = s->at.together * dst_tile,
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

/* Units of work: vectors of input channels, then of output channels. */
static void transform_block(const void *context, fc_part part)
{
    const grad_call *s = context;
    const layout *at = &s->at;
    const fc_conv_desc *desc = &s->plan->desc;
    const struct fc_winograd_kernels *kernels = s->kernels->winograd;
    const ptrdiff_t lanes = s->plan->lanes, none[FC_SPATIAL] = {0}, tiles = PRODUCTS * at->together;
    ptrdiff_t begin, end;
    fc_share_of(at->blocks + at->panels * VECTORS, part, &begin, &end);
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const ptrdiff_t vector = unit - at->blocks, panel = vector / VECTORS;
        if (unit < at->blocks) {
            transform(s, s->src, desc->src, desc->ic, unit * lanes, desc->pad_begin, SIDE, kernels->input[FC_F4_3],
                      at->src + (size_t)(unit * tiles * lanes) * s->element, lanes);
            continue;
        }
        char *const dst = at->grad + (size_t)(panel * tiles * at->width + vector % VECTORS * lanes) * s->element;
        if (vector * lanes < desc->oc) {
            transform(s, s->grad, desc->dst, desc->oc, vector * lanes, none, TILE, kernels->grad, dst, at->width);
            continue;
        }
        for (ptrdiff_t i = 0; i < tiles; i++)
            memset(dst + (size_t)(i * at->width) * s->element, 0, (size_t)lanes * s->element);
    }
}

/* ---- sums ------------------------------------------------------------------------------------------------- */

/* An item's finished sums: rows from input channel `channel` on, lanes from output channel `lane` on. */
static bool finish(const grad_call *s, ptrdiff_t channel, ptrdiff_t lane, const char *acc, char *taps)
{
    static const fc_epilogue none = {FC_IDENTITY, 0, 0};
    const layout *at = &s->at;
    const fc_conv_desc *desc = &s->plan->desc;
    const bool broken = s->kernels->winograd->sums(&(fc_winograd_sums){
        .src = acc,
        .src_product = at->rows * at->width,
        .vectors = (int)at->rows * VECTORS,
        .dst = taps,
        .dst_tap = at->rows * at->width,
    });
    const ptrdiff_t live = fc_min(at->rows, desc->ic - channel);
    for (ptrdiff_t tap = 0; tap < TAPS; tap++) {
        ptrdiff_t offsets[FC_MAX_ROWS];
        for (ptrdiff_t r = 0; r < live; r++)
            offsets[r] = (channel + r) * s->strides[1] + tap / ACROSS * s->strides[3] + tap % ACROSS * s->strides[4];
        s->kernels->conv->store_rows(&(fc_row_store){
            .acc = taps + (size_t)(tap * at->rows * at->width) * s->element,
            .rows = (int)live,
            .stride = (int)at->width,
            .live = (int)fc_min(at->width, desc->oc - lane),
            .offsets = offsets,
            .channel_step = s->strides[0],
            .dst = s->dweights + lane * s->strides[0] * (ptrdiff_t)s->element,
            .epilogue = &none,
        });
    }
    return broken;
}

/* Units of work: items, panel after panel. */
static void sum_block(const void *context, fc_part part)
{
    const grad_call *s = context;
    const layout *at = &s->at;
    const ptrdiff_t lanes = s->plan->lanes, parts = lanes / at->rows, element = (ptrdiff_t)s->element, start = 0;
    const ptrdiff_t size = at->rows * at->width, tiles = PRODUCTS * at->together;
    fc_arena arena = {s->thread_memory + (size_t)part.thread * s->plan->workspace_bytes, 0, true};
    const thread_layout own = lay_out_thread(at, s->element, &arena);
    fc_weight_grad_fn *const kernel = s->kernels->weight_grad[VECTORS][at->rows];
    ptrdiff_t begin, end;
    fc_share_of(at->panels * at->blocks * parts, part, &begin, &end);
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const ptrdiff_t panel = unit / (at->blocks * parts), row = unit % (at->blocks * parts);
        const ptrdiff_t channel = row * at->rows;
        if (channel >= s->plan->desc.ic)
            continue;
        char *const acc = s->initial && s->final ? own.acc : at->acc + unit * PRODUCTS * size * element;
        const char *const src = at->src + (row / parts * tiles * lanes + row % parts * at->rows) * element;
        const char *const grad = at->grad + panel * tiles * at->width * element;
        fc_grad_panel operands = {
            .starts = &start, .runs = 1, .length = s->count, .step = lanes, .acc_step = at->width};
        for (ptrdiff_t p = 0; p < PRODUCTS; p++) {
            operands.src = src + p * at->together * lanes * element;
            operands.grad = grad + p * at->together * at->width * element;
            kernel(&operands, acc + p * size * element, !s->initial);
        }
        if (s->final && finish(s, channel, panel * at->width, acc, own.taps))
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
        fc_share(total, (int)i, (int)blocks, &s.first, &end);
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
