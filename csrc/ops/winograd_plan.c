/* Winograd's convolution, planned: which form, how large its blocks are, what it gains; and its weights, packed. */
#include "parallel.h"
#include "plane.h"
#include "winograd.h"

#include <math.h>

fc_tile_axis fc_winograd_axis(const fc_axis *axis, int m)
{
    const ptrdiff_t dilation = axis->offset_step;
    fc_tile_axis line = {.dilation = dilation};
    line.short_positions = axis->count / dilation;
    line.long_lines = axis->count % dilation;
    line.long_positions = line.short_positions + 1;
    line.long_tiles = fc_divide_up(line.long_positions, m);
    line.short_tiles = fc_divide_up(line.short_positions, m);
    line.tiles = line.long_lines * line.long_tiles;
    if (line.short_positions > 0)
        line.tiles += (dilation - line.long_lines) * line.short_tiles;
    return line;
}

/* Outputs and taps of each form's rows and columns. */
#define FORM(name, rows, row_taps, cols, col_taps) [FC_##name] = {{rows, cols}, {row_taps, col_taps}},
static const struct {
    int m[2], taps[2];
} FORMS[FC_WINOGRAD_FORMS] = {FC_WINOGRAD_LIST(FORM)};

fc_tile_grid fc_winograd_grid(const fc_conv_desc *desc, const fc_winograd_blocks *blocks, ptrdiff_t index)
{
    fc_phase phase;
    fc_phase_at(desc, index, &phase);
    fc_tile_grid grid = {.planes = phase.axis[0].count};
    for (int a = 0; a < 2; a++) {
        const int of = blocks->exchanged ? 1 - a : a;
        const fc_axis *axis = &phase.axis[1 + a];
        grid.m[a] = FORMS[blocks->form].m[of];
        grid.taps[a] = FORMS[blocks->form].taps[of];
        grid.side[a] = grid.m[a] + grid.taps[a] - 1;
        grid.kernel[a] = axis->taps;
        grid.stride[a] = axis->src_step;
        grid.phases[a] = fc_min(grid.stride[a], grid.kernel[a]);
        grid.step[a] = grid.stride[a] * axis->offset_step;
        grid.out_step[a] = axis->offset_step * axis->dst_step;
        grid.axis[a] = fc_winograd_axis(axis, grid.m[a]);
    }
    grid.products = (ptrdiff_t)grid.side[0] * grid.side[1];
    grid.tiles = grid.planes * grid.axis[0].tiles * grid.axis[1].tiles;
    return grid;
}

static bool form_serves(const fc_conv_desc *desc, int form, bool exchanged)
{
    const int *taps = FORMS[form].taps;
    return fc_divide_up(desc->kernel[1], desc->stride[1]) == taps[exchanged] &&
           fc_divide_up(desc->kernel[2], desc->stride[2]) == taps[!exchanged];
}

/* Along rows or columns: no stride with a dilation, and no phase of the direction without a tap. */
static bool steps_serve(const fc_conv_desc *desc, int a)
{
    const ptrdiff_t stride = desc->stride[1 + a];
    const bool all = desc->direction == FC_FORWARD || desc->kernel[1 + a] >= stride;
    return stride == 1 || (all && desc->dilation[1 + a] == 1);
}

bool fc_winograd_serves(const fc_conv_desc *desc)
{
    bool any = false;
    for (int form = 0; form < FC_WINOGRAD_FORMS; form++)
        any = any || form_serves(desc, form, false) || form_serves(desc, form, true);
    return any && desc->kernel[0] == 1 && desc->pad_begin[0] == 0 && desc->pad_end[0] == 0 && desc->stride[0] == 1 &&
           steps_serve(desc, 0) && steps_serve(desc, 1) && desc->kernel[1] * desc->kernel[2] <= FC_WINOGRAD_TAPS &&
           desc->direction != FC_BACKWARD_WEIGHT;
}

/* ---- blocks ----------------------------------------------------------------------------------------------- */

/* Extents in cache lines that no multiple of `lines` is: powers of two would meet in the same sets of L1. */
static ptrdiff_t spread(const fc_conv_plan *plan, ptrdiff_t elements, ptrdiff_t lines)
{
    const ptrdiff_t line = FC_ALIGNMENT / (ptrdiff_t)fc_element(&plan->desc);
    const ptrdiff_t count = fc_divide_up(elements, line);
    return (count % lines == 0 ? count + 1 : count) * line;
}

fc_winograd_steps fc_winograd_steps_of(const fc_conv_plan *plan, ptrdiff_t tiles)
{
    const fc_tile_grid grid = fc_winograd_grid(&plan->desc, &plan->winograd, 0);
    const ptrdiff_t ic = plan->winograd.ic; /* whose last vectors are whole */
    const ptrdiff_t phases = fc_winograd_phases(&grid), past = phases > 1 ? plan->lanes - 1 : 0;
    fc_winograd_steps steps = {.input_tile = spread(plan, phases * ic + past, 16)};
    steps.input_product = spread(plan, tiles * steps.input_tile, 2);
    steps.width = (ptrdiff_t)plan->vectors * plan->lanes;
    steps.output_product = spread(plan, tiles * steps.width, 2);
    return steps;
}

ptrdiff_t fc_winograd_weights_step(const fc_conv_plan *plan, const fc_tile_grid *grid, ptrdiff_t width)
{
    return spread(plan, fc_winograd_phases(grid) * fc_conv_channels(&plan->desc).ic * width, 2);
}

ptrdiff_t fc_winograd_weights_before(const fc_conv_plan *plan, const fc_tile_grid *grid, ptrdiff_t group,
                                     ptrdiff_t oc_tile)
{
    const ptrdiff_t oc = fc_conv_channels(&plan->desc).oc, width = (ptrdiff_t)plan->vectors * plan->lanes;
    const ptrdiff_t tiles = fc_divide_up(oc, width);
    const ptrdiff_t whole = fc_winograd_weights_step(plan, grid, width);
    const ptrdiff_t last = fc_winograd_weights_step(plan, grid, fc_tile_width(plan, oc, (tiles - 1) * width));
    return (group * ((tiles - 1) * whole + last) + oc_tile * whole) * grid->products;
}

ptrdiff_t fc_winograd_run(const fc_tile_grid *grid)
{
    enum { COLUMNS = 66 }; /* six rows of them are 25 KB of L1 */
    return fc_max_extent((COLUMNS / grid->step[1] - grid->taps[1] + 1) / grid->m[1], 1);
}

/* Cycles of one core, in rough figures: two vector multiply-adds a cycle; a vector of channels of a tile through both
 * lines of each transform, measured with AVX-512, and on 16 registers (AVX2), where the values between them do not stay
 * in registers; the turning of channels-first rows. */
typedef struct {
    double input[FC_WINOGRAD_FORMS], output[FC_WINOGRAD_FORMS];
} transform_cycles;
static const transform_cycles WITH_32 = {{45, 110, 110, 110, 110, 25, 25, 25}, {40, 100, 60, 125, 80, 30, 25, 18}};
static const transform_cycles WITH_16 = {{70, 190, 190, 190, 190, 35, 35, 35}, {60, 190, 100, 230, 140, 50, 40, 25}};
enum { TURN = 4 };
static const double PACK = 0.5; /* an element of the weights, as they are and transformed, besides what memory takes */

/* The cost of a row of the register tile, per product: multiply-adds and loads run side by side, and fewer than ten
 * independent sums wait for each other (256 channels on AVX2, tiles of 4 x 2: 0.8 of the speed of 4 x 3). */
static double row_cost(double rows, double vectors)
{
    const double fma = rows * vectors / 2, loads = (rows + vectors) / 2;
    const double cost = fma > loads ? fma : loads;
    return (cost > 5 ? cost : 5) / rows;
}

typedef struct {
    int vectors, rows;
    fc_winograd_blocks blocks;
    double cycles, packing; /* of one image, and before it */
    bool streams;           /* weights come from beyond L2 */
} choice;

/* What streaming so many bytes adds to so many cycles of sums over them: the last of `pieces` register tiles fetches
 * the next weights, unless it has a single vector. */
static double wait_for(double bytes, double rate, double sums, double pieces, int vectors)
{
    const double wait = bytes / rate - (vectors > 1 ? sums / pieces : 0);
    return wait > 0 ? wait : 0;
}

static double bytes_of(const fc_conv_plan *plan, double elements) { return elements * (double)fc_element(&plan->desc); }

static void estimate(const fc_conv_plan *plan, const fc_tile_grid *grid, choice *c)
{
    const fc_channels channels = fc_conv_channels(&plan->desc);
    const double tiles = (double)grid->tiles, groups = (double)channels.groups;
    const double phases = (double)fc_winograd_phases(grid), ic = (double)channels.ic * phases, lanes = plan->lanes;
    const double oc_tiles = (double)fc_divide_up(channels.oc, (ptrdiff_t)c->vectors * plan->lanes);
    const double again = c->blocks.ic < channels.ic ? (double)fc_divide_up(channels.oc, c->blocks.oc) : 1;
    const double in = (double)fc_divide_up(channels.ic, plan->lanes) * again;
    const bool beside = channels.ic < plan->lanes; /* phases share vectors */
    const double patches =
        beside ? (double)(grid->phases[0] * fc_divide_up(grid->phases[1] * channels.ic, plan->lanes)) : in * phases;
    const double out = (double)fc_divide_up(channels.oc, plan->lanes);
    const double together = (double)fc_min(c->blocks.tiles, grid->tiles);
    const double pieces = (double)fc_divide_up((ptrdiff_t)together, c->rows), rows = together / pieces;
    const double parts = ceil(ic / (double)fc_min(c->blocks.ic * (ptrdiff_t)phases, FC_SUM_LENGTH));
    const double sums = tiles * (double)grid->products * oc_tiles * row_cost(rows, c->vectors) * (ic + 24 * parts - 14);
    const transform_cycles *each =
        fc_kernels_for(plan->desc.isa, plan->desc.dtype)->max_rows[2] > 8 ? &WITH_32 : &WITH_16;
    double cycles = sums + tiles * (patches * each->input[c->blocks.form] + out * each->output[c->blocks.form]);
    const double turned_rows = (double)(grid->side[0] * grid->phases[0] * grid->step[1]);
    if (plan->desc.layout == FC_CHANNELS_FIRST)
        cycles += tiles * TURN * grid->m[1] * (in * turned_rows + out * grid->m[0]);
    const double weights = bytes_of(plan, (double)grid->products * ic * oc_tiles * c->vectors * lanes);
    const double blocks = (double)fc_divide_up(grid->tiles, c->blocks.tiles);
    c->streams = weights > (double)fc_l2_bytes() / 2;
    if (c->streams) {
        const double rate = fc_stream_bytes((phases > 1 ? 2 : 1) * weights * groups); /* see csrc/README.md */
        cycles += blocks * wait_for(weights, rate, sums / blocks, pieces, c->vectors);
    }
    c->cycles = cycles * groups * (double)fc_phases(&plan->desc);
    if (plan->desc.reuse == FC_ONCE) {
        const double taps = (double)(plan->desc.kernel[1] * plan->desc.kernel[2]);
        const double transformed = (double)grid->products * phases * (double)fc_phases(&plan->desc);
        const double elements = groups * (double)(channels.ic * channels.oc) * (taps + transformed);
        c->packing = PACK * elements + bytes_of(plan, elements) / fc_stream_bytes(bytes_of(plan, elements));
    }
}

/* What choices are compared by: weights that leave the cache are written to memory, too, where they serve once. */
static double cost_of(const choice *c) { return c->cycles + (c->streams ? c->packing : 0); }

/* As many tiles as three quarters of L2 hold, for blocks of so many channels; none or less than that if it holds none.
 */
static ptrdiff_t most_tiles(const fc_conv_plan *plan, const fc_tile_grid *grid, const choice *c)
{
    enum { MOST_TILES = 512 };
    const double line = FC_ALIGNMENT; /* of a tile's padding */
    const double ic = (double)(c->blocks.ic * fc_winograd_phases(grid));
    const double tile = (double)grid->products * (bytes_of(plan, ic + (double)c->blocks.oc) + line);
    const double run = (double)fc_winograd_run(grid) * grid->m[1] + grid->taps[1] - 1;
    const double strip = run * grid->side[0] * bytes_of(plan, plan->lanes) * (double)grid->step[1];
    const double room = 0.75 * (double)fc_l2_bytes() - 24 * 1024 - strip;
    const ptrdiff_t tiles = room > tile * MOST_TILES ? MOST_TILES : (ptrdiff_t)(room / tile);
    return tiles > 2 * c->rows ? tiles / c->rows * c->rows : tiles;
}

/* The best blocks of one form with the register tile of `c`. Input channels are cut where few tiles would fit: the
 * input is then transformed once for every block of output channels. */
static void try_blocks(const fc_conv_plan *plan, const fc_tile_grid *grid, choice c, choice *best)
{
    enum { LEAST_CHANNELS = 64 }; /* of all phases: more than twice the lanes of any vector */
    const ptrdiff_t least = fc_max_extent(LEAST_CHANNELS / fc_winograd_phases(grid), 2 * plan->lanes);
    const fc_channels channels = fc_conv_channels(&plan->desc);
    const ptrdiff_t width = (ptrdiff_t)c.vectors * plan->lanes, whole = fc_divide_up(channels.oc, width) * width;
    for (ptrdiff_t ic = channels.ic, less; ic > 0; ic = less) {
        less = fc_divide_up(ic / 2, plan->lanes) * plan->lanes;
        if (less < least)
            less = 0;
        for (ptrdiff_t oc = width; oc == width || (ic < channels.ic && oc < 2 * whole); oc *= 2) {
            c.blocks.ic = ic;
            c.blocks.oc = fc_min(oc, whole);
            c.blocks.tiles = most_tiles(plan, grid, &c);
            if (c.blocks.tiles <= 0 && less > 0)
                continue;
            c.blocks.tiles = fc_max_extent(c.blocks.tiles, 1);
            estimate(plan, grid, &c);
            if (best->cycles == 0 || cost_of(&c) < cost_of(best))
                *best = c;
        }
    }
}

static void try_form(const fc_conv_plan *plan, fc_winograd_blocks form, choice *best)
{
    const fc_kernels *kernels = fc_kernels_for(plan->desc.isa, plan->desc.dtype);
    const fc_tile_grid grid = fc_winograd_grid(&plan->desc, &form, 0); /* of the phase with the most positions */
    for (int v = 1; v <= 4; v++)
        if (kernels->max_rows[v] > 0)
            try_blocks(plan, &grid, (choice){.vectors = v, .rows = kernels->max_rows[v], .blocks = form}, best);
}

static choice best_form(const fc_conv_plan *plan)
{
    choice best = {.vectors = 0};
    for (int form = 0; form < FC_WINOGRAD_FORMS; form++) {
        if (form_serves(&plan->desc, form, false))
            try_form(plan, (fc_winograd_blocks){.form = form}, &best);
        else if (form_serves(&plan->desc, form, true))
            try_form(plan, (fc_winograd_blocks){.form = form, .exchanged = true}, &best);
    }
    return best;
}

double fc_winograd_gain(const fc_conv_desc *desc)
{
    const fc_kernels *kernels = fc_kernels_for(desc->isa, desc->dtype);
    fc_conv_plan plan = {.desc = *desc, .lanes = kernels->lanes};
    const fc_channels channels = fc_conv_channels(desc);
    if (!fc_winograd_serves(desc) || channels.oc < plan.lanes)
        return 0;
    const choice c = best_form(&plan);
    const fc_tile_grid grid = fc_winograd_grid(desc, &c.blocks, 0);
    if (channels.ic * fc_winograd_phases(&grid) < plan.lanes)
        return 0;
    const double weights = (double)channels.groups * (double)channels.ic * (double)channels.oc;
    const double taps = (double)(desc->kernel[1] * desc->kernel[2]);
    double products = 0; /* of a channel with a channel */
    for (ptrdiff_t index = 0; index < fc_phases(desc); index++) {
        fc_phase phase;
        fc_phase_at(desc, index, &phase);
        if (desc->layout == FC_CHANNELS_FIRST) /* vectors of pixels, of which the last is not full */
            phase.count = fc_divide_up(phase.count, plan.lanes) * plan.lanes;
        products += (double)phase.count * (double)phase.taps;
    }
    double direct = products * weights / plan.lanes / 2;
    if (desc->layout == FC_CHANNELS_FIRST && desc->direction == FC_FORWARD && channels.ic >= plan.lanes)
        direct = fmax(direct, fc_plane_cost(&plan) * (double)channels.groups);
    direct /= 0.93;
    const double streamed = bytes_of(&plan, taps * weights);
    if (streamed > (double)fc_l2_bytes() / 2) {
        const double pieces = ceil(products / taps / kernels->max_rows[2]);
        direct += wait_for(streamed, fc_stream_bytes(streamed), direct, pieces, 2);
    }
    return direct / (c.cycles + c.packing);
}

size_t fc_winograd_weights_at(const fc_conv_plan *plan)
{
    const fc_phase all = {.taps = plan->desc.kernel[1] * plan->desc.kernel[2]};
    fc_arena arena = {.fits = true};
    fc_carve(&arena, fc_packed_size(plan, &all), fc_element(&plan->desc));
    return arena.used;
}

/* As many tiles as were estimated to fit, or fewer. */
static fc_status size_blocks(fc_conv_plan *plan)
{
    fc_status status = fc_size_winograd(plan);
    while (status == FC_OK && plan->workspace_bytes > fc_l2_bytes() / 4 * 3 && plan->winograd.tiles > 1) {
        plan->winograd.tiles -= fc_divide_up(plan->winograd.tiles, 16);
        status = fc_size_winograd(plan);
    }
    return status;
}

fc_status fc_plan_winograd(fc_conv_plan *plan)
{
    const choice c = best_form(plan);
    plan->vectors = c.vectors;
    plan->rows = c.rows;
    plan->winograd = c.blocks;
    const fc_tile_grid grid = fc_winograd_grid(&plan->desc, &c.blocks, 0);
    plan->tile[0] = 1;
    plan->tile[1] = grid.m[0];
    plan->tile[2] = grid.m[1];
    if (!fc_reserve_packed(plan)) /* the weights themselves, for the tiles that are done directly */
        return FC_OVERFLOW;
    if (plan->packed_bytes > PTRDIFF_MAX / 64) /* the transformed ones are up to 36 times as many */
        return FC_OVERFLOW;
    const ptrdiff_t transformed = fc_winograd_weights_before(plan, &grid, fc_conv_channels(&plan->desc).groups, 0);
    fc_arena arena = {.used = plan->packed_bytes, .fits = true};
    fc_carve(&arena, fc_saturate(transformed, fc_phases(&plan->desc)), fc_element(&plan->desc));
    if (!arena.fits)
        return FC_OVERFLOW;
    plan->packed_bytes = arena.used;
    return size_blocks(plan);
}

/* Channels [c, c + count) of one output tile's weights, which lie in blocks for the sums of the direct way, to where
 * the blocks of the transformed input want them. */
static void pack_channels(const fc_conv_plan *plan, const fc_tile_grid *grid, ptrdiff_t c, ptrdiff_t count,
                          ptrdiff_t width, const char *src, char *dst)
{
    const ptrdiff_t ic = fc_conv_channels(&plan->desc).ic, taps = grid->kernel[0] * grid->kernel[1];
    const ptrdiff_t block = fc_channel_block(taps, ic), first = c / block * block;
    const ptrdiff_t tap = fc_min(block, ic - first) * width; /* from tap to tap */
    const ptrdiff_t to_block = c / plan->winograd.ic * plan->winograd.ic,
                    beside = fc_min(plan->winograd.ic, ic - to_block);
    const bool exchanged = plan->winograd.exchanged;
    const size_t element = fc_element(&plan->desc);
    for (ptrdiff_t phase = 0; phase < fc_winograd_phases(grid); phase++) {
        const ptrdiff_t row = phase / grid->phases[1], col = phase % grid->phases[1];
        const ptrdiff_t first_tap = row * grid->kernel[1] + col;
        const int exist[2] = {(int)fc_divide_up(grid->kernel[0] - row, grid->stride[0]),
                              (int)fc_divide_up(grid->kernel[1] - col, grid->stride[1])};
        const ptrdiff_t step[2] = {grid->stride[0] * grid->kernel[1] * tap, grid->stride[1] * tap};
        const ptrdiff_t from = first * taps * width + first_tap * tap + (c - first) * width;
        const ptrdiff_t to = (to_block * fc_winograd_phases(grid) + phase * beside + c - to_block) * width;
        fc_kernels_for(plan->desc.isa, plan->desc.dtype)
            ->winograd->weights[plan->winograd.form](&(fc_winograd_weights){
                .src = src + (size_t)from * element,
                .src_row = step[exchanged],
                .src_col = step[!exchanged],
                .rows = exist[exchanged],
                .cols = exist[!exchanged],
                .count = count * width,
                .dst = dst + (size_t)to * element,
                .dst_product = fc_winograd_weights_step(plan, grid, width),
            });
    }
}

typedef struct {
    const fc_conv_plan *plan;
    fc_tile_grid grid;
    const char *src;
    char *transformed;
} packing;

/* Output tiles of one phase of the direction, of all groups: [group][output tile][product][block of input channels]
 * [phase of its own][input channel][width]. */
static void pack_part(const void *context, fc_part part)
{
    const packing *p = context;
    const fc_conv_plan *plan = p->plan;
    const fc_channels channels = fc_conv_channels(&plan->desc);
    const ptrdiff_t taps = p->grid.kernel[0] * p->grid.kernel[1], block = fc_channel_block(taps, channels.ic);
    const ptrdiff_t full = (ptrdiff_t)plan->vectors * plan->lanes, tiles = fc_divide_up(channels.oc, full);
    const size_t element = fc_element(&plan->desc);
    ptrdiff_t unit, last;
    fc_share_of(channels.groups * tiles, part, &unit, &last);
    for (; unit < last; unit++) {
        const ptrdiff_t group = unit / tiles, tile = unit % tiles;
        const ptrdiff_t lanes = group * fc_packed_width(plan) + tile * full;
        const char *src = p->src + (size_t)(lanes * taps * channels.ic) * element;
        char *dst = p->transformed + (size_t)fc_winograd_weights_before(plan, &p->grid, group, tile) * element;
        for (ptrdiff_t c = 0, end; c < channels.ic; c = end) {
            end = fc_min(c / block * block + block, c / plan->winograd.ic * plan->winograd.ic + plan->winograd.ic);
            end = fc_min(end, channels.ic);
            pack_channels(plan, &p->grid, c, end - c, fc_tile_width(plan, channels.oc, tile * full), src, dst);
        }
    }
}

fc_status fc_pack_winograd(const fc_conv_plan *plan, void *packed, int threads)
{
    const fc_channels channels = fc_conv_channels(&plan->desc);
    const ptrdiff_t tiles = channels.groups * fc_divide_up(channels.oc, (ptrdiff_t)plan->vectors * plan->lanes);
    const size_t element = fc_element(&plan->desc);
    packing p = {.plan = plan, .src = packed, .transformed = (char *)packed + fc_winograd_weights_at(plan)};
    fc_status status = FC_OK;
    for (ptrdiff_t index = 0; index < fc_phases(&plan->desc) && status == FC_OK; index++) {
        p.grid = fc_winograd_grid(&plan->desc, &plan->winograd, index);
        const fc_phase taps = {.taps = p.grid.kernel[0] * p.grid.kernel[1]};
        const ptrdiff_t size = fc_winograd_weights_before(plan, &p.grid, channels.groups, 0);
        status = fc_parallel(fc_crew_to_pack((double)size, tiles, threads), pack_part, &p);
        p.src += (size_t)fc_packed_size(plan, &taps) * element;
        p.transformed += (size_t)size * element;
    }
    return status;
}
