/* The Winograd family: blocks of tiles are transformed, multiplied by the channel family's register tiles, product by
 * product, and transformed back, all within a part of L2.
 *
 * With a stride the input of a tile has all phases of each channel, one beside the other: [product][tile][phase][ic].
 *
 * Tiles of all images form one line, cut into blocks; a unit of work is a block, a group, and a block of output
 * channels.
 *
 *     src ──► input [product][tile][ic] ──► products [output tile][product][tile][width] ──► dst
 *                        ▲ for every block of input channels  ▲ packed weights stream through
 *
 * A tile with a result that is not finite is done again (winograd_redo.c).
 */
#include "parallel.h"
#include "winograd_block.h"

#include <string.h>

static ptrdiff_t strip_columns(const fc_tile_grid *grid)
{
    return (fc_winograd_run(grid) * grid->m[1] + grid->taps[1] - 2) * grid->step[1] + grid->phases[1];
}

static void lay_out(const fc_conv_plan *plan, ptrdiff_t tiles, fc_arena *arena, fc_tile_memory *at)
{
    const fc_winograd_blocks *blocks = &plan->winograd;
    const fc_winograd_steps steps = fc_winograd_steps_of(plan, tiles);
    const fc_tile_grid grid = fc_winograd_grid(&plan->desc, blocks, 0);
    const size_t element = fc_element(&plan->desc);
    at->input = fc_carve(arena, grid.products * steps.input_product, element);
    at->products = fc_carve(arena, blocks->oc / steps.width * grid.products * steps.output_product, element);
    at->pointers = fc_carve(arena, tiles, sizeof(void *));
    at->runs = fc_carve(arena, tiles, sizeof(fc_tile_run));
    at->broken = fc_carve(arena, tiles, 1);
    at->strip = NULL;
    if (plan->desc.layout == FC_CHANNELS_FIRST)
        at->strip = fc_carve(arena, fc_saturate(grid.side[0] * plan->lanes, strip_columns(&grid)), element);
    at->patch = fc_carve(arena, fc_winograd_patch(plan), element);
    at->acc = fc_carve(arena, (ptrdiff_t)grid.m[0] * grid.m[1] * steps.width, element);
}

fc_status fc_size_winograd(fc_conv_plan *plan)
{
    fc_arena arena = {.fits = true};
    fc_tile_memory at;
    lay_out(plan, plan->winograd.tiles, &arena, &at);
    return fc_set_workspace(plan, &arena);
}

/* ---- where tiles lie -------------------------------------------------------------------------------------- */

typedef struct {
    ptrdiff_t position; /* of the tile's first output */
    ptrdiff_t left;     /* outputs from there to the end of the dense line */
    ptrdiff_t tiles;    /* tiles from there to the end of it */
} place;

static place place_on(const fc_tile_axis *axis, ptrdiff_t index, int m)
{
    const ptrdiff_t in_long = axis->long_lines * axis->long_tiles;
    const bool is_long = index < in_long;
    const ptrdiff_t tiles = is_long ? axis->long_tiles : axis->short_tiles;
    const ptrdiff_t rest = is_long ? index : index - in_long;
    const ptrdiff_t line = rest / tiles + (is_long ? 0 : axis->long_lines), tile = rest % tiles;
    return (place){
        .position = line + axis->dilation * m * tile,
        .left = (is_long ? axis->long_positions : axis->short_positions) - m * tile,
        .tiles = tiles - tile,
    };
}

static void find_runs(fc_tile_block *b)
{
    const fc_tile_axis *axis = b->grid.axis;
    const ptrdiff_t longest = fc_winograd_run(&b->grid);
    b->runs = 0;
    for (ptrdiff_t done = 0; done < b->count;) {
        const ptrdiff_t tile = b->first + done, line = tile / axis[1].tiles, plane = line / axis[0].tiles;
        const place row = place_on(&axis[0], line % axis[0].tiles, b->grid.m[0]);
        const place col = place_on(&axis[1], tile % axis[1].tiles, b->grid.m[1]);
        fc_tile_run *r = &b->at->runs[b->runs++];
        *r = (fc_tile_run){
            .first = done,
            .count = fc_min(fc_min(col.tiles, longest), b->count - done),
            .image = plane / b->grid.planes,
            .plane = plane % b->grid.planes,
            .row = row.position,
            .col = col.position,
            .rows = row.left,
            .cols = col.left,
        };
        done += r->count;
    }
}

/* ---- input ------------------------------------------------------------------------------------------------ */

static char *input_of(const fc_tile_block *b, ptrdiff_t tile, ptrdiff_t channel)
{
    return b->at->input + (size_t)(tile * b->steps.input_tile + channel) * b->call->element;
}

static void exchange(ptrdiff_t *a, ptrdiff_t *b)
{
    const ptrdiff_t kept = *a;
    *a = *b;
    *b = kept;
}

/* Transforms a run's patches, of which `rows` and `cols` exist. */
static void transform(const fc_tile_block *b, fc_winograd_input in, fc_window rows, fc_window cols)
{
    const fc_winograd_blocks *blocks = &b->call->plan->winograd;
    if (blocks->exchanged) {
        const fc_window kept = rows;
        rows = cols;
        cols = kept;
        exchange(&in.src_row, &in.src_col);
    }
    in.row_begin = (int)rows.begin;
    in.row_end = (int)rows.end;
    in.col_begin = (int)cols.begin;
    in.col_end = (int)cols.end;
    b->call->kernels->winograd->input[blocks->form](&in);
}

/* What transforms of a row of phases have in common. */
static fc_winograd_input input_from(const fc_tile_block *b, ptrdiff_t tile, ptrdiff_t channel)
{
    return (fc_winograd_input){
        .dst = input_of(b, tile, channel),
        .dst_tile = b->steps.input_tile,
        .dst_product = b->steps.input_product,
    };
}

/* A row of phases, channels-last: straight from the image. Where patches and the vectors of their last channels lie
 * inside, all phases of the row at once and in stretches of tiles, if a pixel's channels are all there are. */
static void transform_last(const fc_tile_block *b, const fc_tile_run *r, ptrdiff_t phases_row, ptrdiff_t channel,
                           ptrdiff_t channels)
{
    const fc_axis *axis = b->phase->axis;
    const int height = b->grid.side[0], width = b->grid.side[1], lanes = b->call->plan->lanes;
    const ptrdiff_t row = fc_tile_source_row(b, r) + phases_row, step = b->grid.step[1], phases = b->grid.phases[1];
    const ptrdiff_t together = b->src_pixel == channels ? phases : 1;
    const ptrdiff_t whole = fc_divide_up(together * channels, lanes) * lanes;
    const ptrdiff_t read = fc_divide_up(b->group * b->call->channels.ic + channel + whole, b->src_pixel);
    const fc_window rows = fc_window_inside(&axis[1], row, b->grid.step[0], height);
    for (ptrdiff_t tile = 0, next; tile < r->count; tile = next) {
        const ptrdiff_t col = fc_tile_source_col(b, r, tile);
        const ptrdiff_t room = axis[2].src - read - col - (width - 1) * step;
        const bool is_whole = col >= 0 && room >= 0 && together == phases;
        next = is_whole ? fc_min(r->count, tile + 1 + room / (b->grid.m[1] * step)) : tile + 1;
        for (ptrdiff_t phase = 0; phase < (is_whole ? 1 : phases); phase++) {
            fc_winograd_input in = input_from(b, r->first + tile, (phases_row * phases + phase) * channels);
            in.src = b->call->src + fc_tile_source_at(b, r, row, col + phase, channel) * (ptrdiff_t)b->call->element;
            in.src_row = b->grid.step[0] * axis[2].src * b->src_pixel;
            in.src_col = step * b->src_pixel;
            in.src_tile = b->grid.m[1] * step * b->src_pixel;
            in.tiles = next - tile;
            in.channels = is_whole ? whole : channels;
            transform(b, in, rows, fc_window_inside(&axis[2], col + phase, step, width));
        }
    }
}

/* Turns rows of a vector of channels, of as many columns as a row of patches has: those that patches read, and zeros
 * where there are none. */
static void fill_strips(const fc_tile_block *b, const fc_tile_run *r, ptrdiff_t row, ptrdiff_t channel,
                        ptrdiff_t channels, ptrdiff_t columns, ptrdiff_t pitch)
{
    const fc_axis *axis = b->phase->axis;
    const fc_conv_call *call = b->call;
    const ptrdiff_t col = fc_tile_source_col(b, r, 0), height = b->grid.side[0];
    const fc_window rows = fc_window_inside(&axis[1], row, b->grid.step[0], height);
    const ptrdiff_t begin = fc_min(fc_max_extent(-col, 0), columns);
    const ptrdiff_t end = fc_max_extent(fc_min(axis[2].src - col, columns), begin);
    const size_t strip_row = (size_t)(columns * pitch) * call->element;
    memset(b->at->strip, 0, (size_t)rows.begin * strip_row);
    for (ptrdiff_t i = rows.begin; i < rows.end; i++) {
        const ptrdiff_t at = fc_tile_source_at(b, r, row + i * b->grid.step[0], col, channel);
        call->kernels->winograd->fill_strip(&(fc_strip){
            .src = call->src + at * (ptrdiff_t)call->element,
            .channel_step = b->src_channel,
            .channels = (int)channels,
            .begin = begin,
            .end = end,
            .columns = columns,
            .dst = b->at->strip + (size_t)i * strip_row,
            .dst_col = pitch,
        });
    }
    memset(b->at->strip + (size_t)rows.end * strip_row, 0, (size_t)(height - rows.end) * strip_row);
}

/* A row of phases, channels-first: a vector of channels at a time, whose rows are turned first. If they are fewer, all
 * phases of the row lie beside each other there, too. */
static void transform_first(const fc_tile_block *b, const fc_tile_run *r, ptrdiff_t phases_row, ptrdiff_t channel,
                            ptrdiff_t channels)
{
    const int height = b->grid.side[0], width = b->grid.side[1], lanes = b->call->plan->lanes;
    const ptrdiff_t step = b->grid.step[1], phases = b->grid.phases[1];
    const ptrdiff_t columns = ((r->count - 1) * b->grid.m[1] + width - 1) * step + phases;
    const bool together = phases > 1 && channels < lanes;
    const ptrdiff_t pitch = together ? channels : lanes;
    /* from the last channels on: what their vectors write past them belongs to the next phase */
    for (ptrdiff_t c = (channels - 1) / lanes * lanes; c >= 0; c -= lanes) {
        fill_strips(b, r, fc_tile_source_row(b, r) + phases_row, channel + c, fc_min(lanes, channels - c), columns,
                    pitch);
        for (ptrdiff_t phase = 0; phase < (together ? 1 : phases); phase++) {
            fc_winograd_input in = input_from(b, r->first, (phases_row * phases + phase) * channels + c);
            in.src = b->at->strip + (size_t)(phase * pitch) * b->call->element;
            in.src_row = columns * pitch;
            in.src_col = step * pitch;
            in.src_tile = b->grid.m[1] * step * pitch;
            in.tiles = r->count;
            in.channels = together ? fc_divide_up(phases * channels, lanes) * lanes : lanes;
            transform(b, in, (fc_window){0, height}, (fc_window){0, width});
        }
    }
}

static void transform_input(const fc_tile_block *b, ptrdiff_t channel, ptrdiff_t channels)
{
    for (ptrdiff_t i = 0; i < b->runs; i++) {
        for (ptrdiff_t row = 0; row < b->grid.phases[0]; row++) {
            if (b->call->plan->desc.layout == FC_CHANNELS_LAST)
                transform_last(b, &b->at->runs[i], row, channel, channels);
            else
                transform_first(b, &b->at->runs[i], row, channel, channels);
        }
    }
}

/* ---- products --------------------------------------------------------------------------------------------- */

static char *products_of(const fc_tile_block *b, ptrdiff_t oc_tile, ptrdiff_t place, ptrdiff_t product, ptrdiff_t tile)
{
    const ptrdiff_t at =
        (place * b->grid.products + product) * b->steps.output_product + tile * fc_tile_width_at(b, oc_tile);
    return b->at->products + (size_t)at * b->call->element;
}

/* Products of output tile `oc_tile`, kept at `place`: of input channels, or phases of them, from `channel` on, which
 * the block holds. The last register tile of a product has the next one's weights fetched, which the first one waits
 * for otherwise. */
static void multiply(const fc_tile_block *b, ptrdiff_t oc_tile, ptrdiff_t place, ptrdiff_t channel, ptrdiff_t channels)
{
    const fc_conv_call *call = b->call;
    const fc_conv_plan *plan = call->plan;
    const ptrdiff_t width = fc_tile_width_at(b, oc_tile), matrix = fc_winograd_weights_step(plan, &b->grid, width);
    fc_channel_fn *const *tiles = call->kernels->channel[width / plan->lanes];
    const ptrdiff_t before = fc_winograd_weights_before(plan, &b->grid, b->group, oc_tile) + channel * width;
    const char *weights = b->transformed + (size_t)before * call->element;
    const ptrdiff_t pieces = fc_divide_up(b->count, plan->rows);
    const ptrdiff_t each = b->count / pieces, left = b->count % pieces, larger = left * (each + 1); /* as fc_share */
    for (ptrdiff_t product = 0; product < b->grid.products; product++, weights += (size_t)matrix * call->element) {
        char *const sums = products_of(b, oc_tile, place, product, 0);
        for (ptrdiff_t c = 0; c < channels; c += FC_SUM_LENGTH) {
            for (ptrdiff_t begin = 0, rows, run; begin < b->count; begin += rows * run) {
                rows = begin < larger ? each + 1 : each;
                run = begin < larger ? left : pieces - left;
                fc_tile_end to = fc_sums_from(sums + (size_t)(begin * width) * call->element, width, channel + c > 0);
                to.step = rows;
                to.ahead = begin + rows * run == b->count ? matrix * (ptrdiff_t)call->element : 0;
                fc_channel_run(tiles[rows], b->at->pointers + begin, 1, product * b->steps.input_product + c,
                               fc_min(FC_SUM_LENGTH, channels - c), weights + (size_t)(c * width) * call->element, &to,
                               rows, run, call->element);
            }
        }
    }
}

/* ---- output ----------------------------------------------------------------------------------------------- */

static fc_winograd_output output_of(const fc_tile_block *b, const fc_tile_run *r, ptrdiff_t oc_tile, ptrdiff_t place)
{
    return (fc_winograd_output){
        .src = products_of(b, oc_tile, place, 0, r->first),
        .src_tile = fc_tile_width_at(b, oc_tile),
        .src_product = b->steps.output_product,
        .tiles = r->count,
        .rows = (int)fc_min(b->grid.m[0], r->rows),
        .cols = fc_min(r->count * b->grid.m[1], r->cols),
        .cols_step = b->grid.m[1],
        .broken = b->at->broken,
    };
}

static bool transform_back(const fc_tile_block *b, fc_winograd_output out)
{
    const fc_winograd_blocks *blocks = &b->call->plan->winograd;
    out.dst_tile = b->grid.m[1] * out.dst_col;
    if (blocks->exchanged) { /* lines of rows, one beside the other */
        out.cols = out.rows;
        out.cols_step = 0;
        out.rows = 1;
        exchange(&out.dst_row, &out.dst_col);
    }
    return b->call->kernels->winograd->output[blocks->form](&out);
}

static bool store_last(const fc_tile_block *b, const fc_tile_run *r, ptrdiff_t oc_tile, ptrdiff_t place)
{
    const fc_conv_call *call = b->call;
    const fc_axis *axis = b->phase->axis;
    const ptrdiff_t first = oc_tile * b->steps.width, channel = b->group * call->channels.oc + first;
    const size_t at = (size_t)fc_tile_target_at(b, r, 0, first) * call->element;
    fc_winograd_output out = output_of(b, r, oc_tile, place);
    out.channels = (int)fc_min(b->steps.width, call->channels.oc - first);
    out.bias = call->bias ? call->bias + (size_t)channel * call->element : NULL;
    out.residual = call->residual ? call->residual + at : NULL;
    out.dst = call->dst + at;
    out.dst_row = b->grid.out_step[0] * axis[2].dst * b->dst_pixel;
    out.dst_col = b->grid.out_step[1] * b->dst_pixel;
    out.epilogue = &call->epilogue;
    return transform_back(b, out);
}

/* A vector of channels at a time: tiles beside each other make rows, which are turned. */
static bool store_first(const fc_tile_block *b, const fc_tile_run *r, ptrdiff_t oc_tile, ptrdiff_t place,
                        ptrdiff_t vector)
{
    const fc_conv_call *call = b->call;
    const fc_axis *axis = b->phase->axis;
    const int lanes = call->plan->lanes;
    const ptrdiff_t first = oc_tile * b->steps.width + vector * lanes, channel = b->group * call->channels.oc + first;
    fc_winograd_output out = output_of(b, r, oc_tile, place);
    out.src = (const char *)out.src + (size_t)(vector * lanes) * call->element;
    out.channels = lanes;
    out.dst = b->at->strip;
    out.dst_row = out.cols * lanes;
    out.dst_col = lanes;
    const bool broken = transform_back(b, out);
    for (int i = 0; i < out.rows; i++) {
        const ptrdiff_t row = i * b->grid.out_step[0] * axis[2].dst;
        const size_t at = (size_t)(fc_tile_target_at(b, r, 0, first) + row) * call->element;
        call->kernels->winograd->store_strip(&(fc_strip_store){
            .src = b->at->strip + (size_t)(i * out.dst_row) * call->element,
            .channels = (int)fc_min(lanes, call->channels.oc - first),
            .columns = out.cols,
            .bias = call->bias ? call->bias + (size_t)channel * call->element : NULL,
            .residual = call->residual ? call->residual + at : NULL,
            .dst = call->dst + at,
            .channel_step = b->dst_channel,
            .column_step = b->grid.out_step[1],
            .epilogue = &call->epilogue,
        });
    }
    return broken;
}

static void transform_output(const fc_tile_block *b, ptrdiff_t oc_tile, ptrdiff_t place)
{
    const ptrdiff_t left = b->call->channels.oc - oc_tile * b->steps.width;
    for (ptrdiff_t i = 0; i < b->runs; i++) {
        const fc_tile_run *r = &b->at->runs[i];
        bool broken = false;
        memset(b->at->broken, 0, (size_t)r->count);
        if (b->call->plan->desc.layout == FC_CHANNELS_LAST) {
            broken = store_last(b, r, oc_tile, place);
        } else {
            for (int v = 0; v < b->call->plan->vectors && v * b->call->plan->lanes < left; v++)
                broken |= store_first(b, r, oc_tile, place, v);
        }
        if (broken)
            fc_redo_broken(b, r, oc_tile);
    }
}

/* ---- running ---------------------------------------------------------------------------------------------- */

/* Output tiles [begin, end) of a block whose input channels come in several parts, or have come already. */
static void run_unit(const fc_tile_block *b, ptrdiff_t begin, ptrdiff_t end, bool ready)
{
    const ptrdiff_t ic = b->call->channels.ic, together = b->call->plan->winograd.ic;
    const ptrdiff_t phases = fc_winograd_phases(&b->grid);
    for (ptrdiff_t c = 0; c < ic; c += together) {
        const ptrdiff_t channels = fc_min(together, ic - c);
        if (!ready)
            transform_input(b, c, channels);
        for (ptrdiff_t tile = begin; tile < end; tile++)
            multiply(b, tile, tile - begin, c * phases, channels * phases);
    }
    for (ptrdiff_t tile = begin; tile < end; tile++)
        transform_output(b, tile, tile - begin);
}

/* Blocks of so many tiles of a phase. Where threads share them whole, each gets equally many: smaller ones then, of
 * which none has more than it had (128 channels at 56 x 56, stride 2, three blocks for 2 threads: 1,610 us, four
 * 1,230). */
static ptrdiff_t blocks_of(const fc_conv_call *call, ptrdiff_t tiles, ptrdiff_t shares)
{
    const fc_winograd_blocks *blocks = &call->plan->winograd;
    const ptrdiff_t least = fc_divide_up(tiles, blocks->tiles), even = fc_divide_up(least, shares) * shares;
    const bool whole = blocks->ic < call->channels.ic && blocks->oc >= call->channels.oc && call->channels.groups == 1;
    return whole ? fc_min(even, tiles) : least;
}

/* The tiles of one phase, whose extents `b` has, in so many blocks. */
static void run_phase(fc_tile_block *b, ptrdiff_t pieces, fc_part part)
{
    const fc_conv_call *call = b->call;
    const fc_winograd_blocks *blocks = &call->plan->winograd;
    const ptrdiff_t total = call->n * b->grid.tiles;
    const ptrdiff_t oc_tiles = fc_divide_up(call->channels.oc, b->steps.width), each = blocks->oc / b->steps.width;
    const ptrdiff_t units = fc_divide_up(oc_tiles, each);
    ptrdiff_t begin, end, ready = -1;
    fc_share_of_runs(pieces * call->channels.groups * units, blocks->ic < call->channels.ic ? 1 : units, part, &begin,
                     &end);
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const ptrdiff_t work = unit / units, part_of = unit % units, piece = work / call->channels.groups;
        if (work != ready) {
            b->first = piece * (total / pieces) + fc_min(piece, total % pieces);
            b->count = total / pieces + (piece < total % pieces);
            b->group = work % call->channels.groups;
            find_runs(b);
            for (ptrdiff_t i = 0; i < b->count; i++)
                b->at->pointers[i] = input_of(b, i, 0);
        }
        run_unit(b, part_of * each, fc_min((part_of + 1) * each, oc_tiles),
                 work == ready && blocks->ic >= call->channels.ic);
        ready = work;
    }
}

void fc_conv_winograd(const void *context, fc_part part)
{
    const fc_conv_call *call = context;
    const fc_conv_plan *plan = call->plan;
    const bool last = plan->desc.layout == FC_CHANNELS_LAST;
    fc_tile_block b = {
        .call = call, .weights = call->packed, .transformed = call->packed + fc_winograd_weights_at(plan)};
    for (ptrdiff_t index = 0; index < fc_phases(&plan->desc); index++) {
        fc_phase phase;
        fc_phase_at(&plan->desc, index, &phase);
        const fc_axis *axis = phase.axis;
        b.phase = &phase;
        b.grid = fc_winograd_grid(&plan->desc, &plan->winograd, index);
        b.src_pixel = last ? call->channels.src_channels : 1;
        b.src_channel = last ? 1 : axis[0].src * axis[1].src * axis[2].src;
        b.dst_pixel = last ? call->channels.dst_channels : 1;
        b.dst_channel = last ? 1 : axis[0].dst * axis[1].dst * axis[2].dst;
        const ptrdiff_t total = call->n * b.grid.tiles, pieces = blocks_of(call, total, part.shares);
        if (total > 0) {
            fc_tile_memory at;
            fc_arena arena = fc_thread_arena(call, part.thread);
            b.at = &at;
            b.steps = fc_winograd_steps_of(plan, fc_divide_up(total, pieces));
            lay_out(plan, fc_divide_up(total, pieces), &arena, &at);
            run_phase(&b, pieces, part);
        }
        b.weights += (size_t)fc_packed_size(plan, &phase) * call->element;
        b.transformed += (size_t)fc_winograd_weights_before(plan, &b.grid, call->channels.groups, 0) * call->element;
    }
}
