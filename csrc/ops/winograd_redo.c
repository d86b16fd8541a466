/* Tiles of Winograd's convolution with a result that is not finite, done again directly: the transforms spread NaN and
 * infinity over a tile. */
#include "winograd_block.h"

#include <string.h>

/* Pixels that the outputs of one tile see along an axis, every dilation-th one. */
static ptrdiff_t reach(const fc_tile_grid *grid, int a) { return (grid->m[a] - 1) * grid->stride[a] + grid->kernel[a]; }

ptrdiff_t fc_winograd_patch(const fc_conv_plan *plan)
{
    ptrdiff_t most = 0;
    for (ptrdiff_t index = 0; index < fc_phases(&plan->desc); index++) {
        const fc_tile_grid grid = fc_winograd_grid(&plan->desc, &plan->winograd, index);
        const ptrdiff_t taps = grid.kernel[0] * grid.kernel[1];
        const ptrdiff_t together = fc_channel_block(taps, fc_conv_channels(&plan->desc).ic);
        most = fc_max_extent(most, reach(&grid, 0) * reach(&grid, 1) * together);
    }
    return most;
}

/* Elements of a matrix of weights [group][output tile][input channel][width] before an output tile's. */
static ptrdiff_t weights_before(const fc_tile_block *b, ptrdiff_t oc_tile)
{
    const ptrdiff_t lanes = b->group * fc_packed_width(b->call->plan) + oc_tile * b->steps.width;
    return lanes * b->call->channels.ic;
}

/* The patch's pixels of some channels, as rows of channels. */
static void fill_patch(const fc_tile_block *b, const fc_tile_run *r, ptrdiff_t tile, ptrdiff_t channel,
                       ptrdiff_t channels)
{
    const fc_axis *axis = b->phase->axis;
    const ptrdiff_t height = reach(&b->grid, 0), width = reach(&b->grid, 1);
    const ptrdiff_t row = fc_tile_source_row(b, r), col = fc_tile_source_col(b, r, tile),
                    dilation = axis[2].offset_step;
    const fc_window rows = fc_window_inside(&axis[1], row, axis[1].offset_step, height);
    const fc_window cols = fc_window_inside(&axis[2], col, dilation, width);
    const size_t pixel = (size_t)channels * b->call->element;
    memset(b->at->patch, 0, (size_t)(height * width) * pixel);
    for (ptrdiff_t i = rows.begin; i < rows.end && cols.begin < cols.end; i++) {
        const ptrdiff_t at =
            fc_tile_source_at(b, r, row + i * axis[1].offset_step, col + cols.begin * dilation, channel);
        b->call->kernels->conv->transpose(b->call->src + (size_t)at * b->call->element, b->src_channel,
                                          dilation * b->src_pixel, channels, cols.end - cols.begin,
                                          b->at->patch + (size_t)(i * width + cols.begin) * pixel, channels);
    }
}

/* Results of one tile, from the weights themselves. */
static void redo(const fc_tile_block *b, const fc_tile_run *r, ptrdiff_t tile, ptrdiff_t oc_tile)
{
    const fc_conv_call *call = b->call;
    const fc_conv_plan *plan = call->plan;
    enum { MOST_POINTERS = 25 * FC_MAX_ROWS };
    _Static_assert(MOST_POINTERS >= (int)FC_WINOGRAD_TAPS, "a row's pointers fit");
    const ptrdiff_t kernel_width = b->grid.kernel[1], taps = b->grid.kernel[0] * kernel_width;
    const fc_axis *axis = b->phase->axis;
    const ptrdiff_t width = fc_tile_width_at(b, oc_tile), oc = call->channels.oc, ic = call->channels.ic;
    const int rows = (int)fc_min(b->grid.m[0], r->rows);
    const int cols = (int)fc_min(b->grid.m[1], r->cols - tile * b->grid.m[1]);
    const int most = (int)fc_min(plan->rows, MOST_POINTERS / taps);
    const ptrdiff_t first_channel = oc_tile * b->steps.width, channel = b->group * oc + first_channel;
    const char *weights = b->weights + (size_t)(weights_before(b, oc_tile) * taps) * call->element;
    const ptrdiff_t together = fc_channel_block(taps, ic); /* as they are packed */
    for (ptrdiff_t c = 0; c < ic; c += together) {
        const ptrdiff_t channels = fc_min(together, ic - c);
        fill_patch(b, r, tile, c, channels);
        for (int first = 0; first < rows * cols; first += most) {
            const void *pointers[MOST_POINTERS];
            const int count = (int)fc_min(most, rows * cols - first);
            for (ptrdiff_t t = 0; t < taps; t++)
                for (int i = 0; i < count; i++) {
                    const ptrdiff_t row = (first + i) / cols * b->grid.stride[0] + t / kernel_width;
                    const ptrdiff_t col = (first + i) % cols * b->grid.stride[1] + t % kernel_width;
                    pointers[t * count + i] =
                        b->at->patch + (size_t)((row * reach(&b->grid, 1) + col) * channels) * call->element;
                }
            const fc_tile_end sums = fc_sums_from(b->at->acc + (size_t)(first * width) * call->element, width, c > 0);
            call->kernels->channel[width / plan->lanes][count](pointers, taps, 0, channels, weights, &sums);
        }
        weights += (size_t)(taps * channels * width) * call->element;
    }
    ptrdiff_t offsets[FC_WINOGRAD_OUTPUTS];
    for (int i = 0; i < rows * cols; i++)
        offsets[i] = (i / cols * b->grid.out_step[0] * axis[2].dst + i % cols * b->grid.out_step[1]) * b->dst_pixel;
    const size_t at = (size_t)fc_tile_target_at(b, r, tile, first_channel) * call->element;
    call->kernels->conv->store_rows(&(fc_row_store){
        .acc = b->at->acc,
        .rows = rows * cols,
        .stride = (int)width,
        .live = (int)fc_min(width, oc - first_channel),
        .offsets = offsets,
        .channel_step = b->dst_channel,
        .bias = call->bias ? call->bias + (size_t)channel * call->element : NULL,
        .residual = call->residual ? call->residual + at : NULL,
        .dst = call->dst + at,
        .epilogue = &call->epilogue,
    });
}

void fc_redo_broken(const fc_tile_block *b, const fc_tile_run *r, ptrdiff_t oc_tile)
{
    for (ptrdiff_t tile = 0; tile < r->count; tile++)
        if (b->at->broken[tile])
            redo(b, r, tile, oc_tile);
}
