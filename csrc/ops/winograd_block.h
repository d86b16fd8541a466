/* A block of tiles on its way through Winograd's loops. */
#ifndef FC_WINOGRAD_BLOCK_H
#define FC_WINOGRAD_BLOCK_H

#include "winograd.h"

#include <math.h>

/* Tiles beside each other, of one line of one axis pair. */
typedef struct {
    ptrdiff_t first, count; /* within the block */
    ptrdiff_t image, plane;
    ptrdiff_t row, col;   /* positions of the first tile's output (0, 0), within the phase */
    ptrdiff_t rows, cols; /* positions from there to the end of the dense line */
} fc_tile_run;

typedef struct {
    char *input, *products;
    const void **pointers; /* input of each tile, product 0 */
    fc_tile_run *runs;
    unsigned char *broken; /* by tile of a run */
    char *strip;           /* channels-first rows, turned: [row][column][lane] */
    char *patch, *acc;     /* of a tile that is done again, all pixels: [row][column][channel], [row][column][width] */
} fc_tile_memory;

/* One block of tiles of one group on its way. */
typedef struct {
    const fc_conv_call *call;
    const fc_phase *phase;
    fc_tile_grid grid;
    fc_winograd_steps steps;
    ptrdiff_t src_pixel, src_channel, dst_pixel, dst_channel; /* steps in elements */
    const char *weights, *transformed; /* of the phase: as they are, for tiles that are done again, and products' */
    ptrdiff_t group;
    ptrdiff_t first, count; /* tiles */
    ptrdiff_t runs;
    fc_tile_memory *at;
} fc_tile_block;

/* Lanes of an output tile. */
static inline ptrdiff_t fc_tile_width_at(const fc_tile_block *b, ptrdiff_t oc_tile)
{
    return fc_tile_width(b->call->plan, b->call->channels.oc, oc_tile * b->steps.width);
}

/* Sums that begin at acc, or go on there. */
static inline fc_tile_end fc_sums_from(void *acc, ptrdiff_t width, bool accumulate)
{
    return (fc_tile_end){
        .dst = acc,
        .from = accumulate ? acc : fc_zeros,
        .dst_step = width,
        .from_step = accumulate ? width : 0,
        .least = -INFINITY,
    };
}

/* ---- where tiles lie -------------------------------------------------------------------------------------- */

/* The elements 0 … side - 1 of a patch, `step` apart from `first` on, that lie inside an axis. */
static inline fc_window fc_window_inside(const fc_axis *axis, ptrdiff_t first, ptrdiff_t step, ptrdiff_t side)
{
    fc_window window = {0, 0};
    if (first < 0)
        window.begin = fc_min(fc_divide_up(-first, step), side);
    if (first < axis->src)
        window.end = fc_min(fc_divide_up(axis->src - first, step), side);
    window.begin = fc_min(window.begin, window.end);
    return window;
}

/* The first row and column of a tile's patch, in the first phase. */
static inline ptrdiff_t fc_tile_source_row(const fc_tile_block *b, const fc_tile_run *r)
{
    return r->row * b->grid.stride[0] + b->phase->axis[1].offset_first;
}

static inline ptrdiff_t fc_tile_source_col(const fc_tile_block *b, const fc_tile_run *r, ptrdiff_t tile)
{
    return r->col * b->grid.stride[1] + tile * b->grid.m[1] * b->grid.step[1] + b->phase->axis[2].offset_first;
}

/* Elements from the start of src to a pixel, inside the image or not. */
static inline ptrdiff_t fc_tile_source_at(const fc_tile_block *b, const fc_tile_run *r, ptrdiff_t row, ptrdiff_t col,
                                          ptrdiff_t channel)
{
    const fc_axis *axis = b->phase->axis;
    const ptrdiff_t image = r->image * b->call->channels.src_channels * axis[0].src * axis[1].src * axis[2].src;
    const ptrdiff_t pixel = (r->plane * axis[1].src + row) * axis[2].src + col;
    return image + pixel * b->src_pixel + (b->group * b->call->channels.ic + channel) * b->src_channel;
}

static inline ptrdiff_t fc_tile_target_at(const fc_tile_block *b, const fc_tile_run *r, ptrdiff_t tile,
                                          ptrdiff_t channel)
{
    const fc_axis *axis = b->phase->axis;
    const ptrdiff_t image = r->image * b->call->channels.dst_channels * axis[0].dst * axis[1].dst * axis[2].dst;
    const ptrdiff_t row = axis[1].dst_first + r->row * axis[1].dst_step;
    const ptrdiff_t col = axis[2].dst_first + r->col * axis[2].dst_step + tile * b->grid.m[1] * b->grid.out_step[1];
    const ptrdiff_t pixel = (r->plane * axis[1].dst + row) * axis[2].dst + col;
    return image + pixel * b->dst_pixel + (b->group * b->call->channels.oc + channel) * b->dst_channel;
}

/* ---- what is done again --------------------------------------------------------------------------------- */

/* Elements of the largest patch of a tile that is done again. */
ptrdiff_t fc_winograd_patch(const fc_conv_plan *plan);

/* Results of those of a run's tiles that are marked as broken, from the weights themselves. */
void fc_redo_broken(const fc_tile_block *b, const fc_tile_run *r, ptrdiff_t oc_tile);

#endif
