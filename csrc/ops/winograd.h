/* How Winograd's convolution is cut into blocks: shared by its plan and its loops. */
#ifndef FC_WINOGRAD_H
#define FC_WINOGRAD_H

#include "conv.h"
#include "dispatch/winograd_kernels.h"

/* Tiles along one axis. A dilated kernel reads every dilation-th position only, so that each residue is a dense axis of
 * its own; the first `long_lines` residues hold one position more than the others. */
typedef struct {
    ptrdiff_t dilation;
    ptrdiff_t long_lines, long_positions, long_tiles, short_positions, short_tiles;
    ptrdiff_t tiles; /* of all residues */
} fc_tile_axis;

fc_tile_axis fc_winograd_axis(const fc_axis *axis, int m);

/* Tiles of one image, group and phase of the direction, and what a plan cuts its blocks from; of two extents the first
 * is that of rows.
 *
 * A kernel with a stride reads each of `phases` subsets of the pixels, every stride-th one, by taps of its own at
 * stride 1, and adds: so does Winograd, whose patches of all phases are multiplied as so many more channels. The
 * gradient of the input has them on its other side: each phase of the direction is a convolution of its own, with its
 * own weights and some of the pixels of the result. */
typedef struct {
    int m[2], taps[2], side[2]; /* outputs, taps and inputs of a tile, of one phase */
    ptrdiff_t products;         /* elements of a patch */
    ptrdiff_t phases[2];
    ptrdiff_t stride[2], step[2]; /* pixels from output to output, and between a patch's elements */
    ptrdiff_t kernel[2];          /* taps as they are packed; a form's may be more */
    ptrdiff_t out_step[2];        /* pixels of the result between the outputs of a tile */
    fc_tile_axis axis[2];
    ptrdiff_t planes; /* of an image: its depth */
    ptrdiff_t tiles;  /* of an image */
} fc_tile_grid;

fc_tile_grid fc_winograd_grid(const fc_conv_desc *desc, const fc_winograd_blocks *blocks, ptrdiff_t index);

/* The taps of a kernel, at most; and the phases of its input. */
enum { FC_WINOGRAD_TAPS = 256 };
static inline ptrdiff_t fc_winograd_phases(const fc_tile_grid *grid) { return grid->phases[0] * grid->phases[1]; }

/* Steps of a block's arrays, in elements, for blocks of so many tiles. */
typedef struct {
    ptrdiff_t input_tile, input_product; /* of transformed input [product][tile][input channel] */
    ptrdiff_t width, output_product;     /* of products [output tile][product][tile][width] */
} fc_winograd_steps;

fc_winograd_steps fc_winograd_steps_of(const fc_conv_plan *plan, ptrdiff_t tiles);

/* Elements from a product's weights to the next one's, and of all of a phase's before an output tile's. */
ptrdiff_t fc_winograd_weights_step(const fc_conv_plan *plan, const fc_tile_grid *grid, ptrdiff_t width);
ptrdiff_t fc_winograd_weights_before(const fc_conv_plan *plan, const fc_tile_grid *grid, ptrdiff_t group,
                                     ptrdiff_t oc_tile);

/* Tiles whose channels-first rows are turned together. */
ptrdiff_t fc_winograd_run(const fc_tile_grid *grid);

/* Whether there is such a form for the description at all; fc_plan_winograd takes the best form. */
bool fc_winograd_serves(const fc_conv_desc *desc);
fc_status fc_plan_winograd(fc_conv_plan *plan);
fc_status fc_size_winograd(fc_conv_plan *plan);                                  /* its workspace */
fc_status fc_pack_winograd(const fc_conv_plan *plan, void *packed, int threads); /* after the weights themselves */
size_t fc_winograd_weights_at(const fc_conv_plan *plan); /* bytes into packed: after the weights themselves */
void fc_conv_winograd(const void *call, fc_part part);

/* Time of a direct convolution over that of the best Winograd form, estimated; 0 where there is none. */
double fc_winograd_gain(const fc_conv_desc *desc);

/* The gradient of the weights, channels-last: a plan that is made already turns to it where it is faster. When a
 * result is not finite, all is to be done directly. */
void fc_plan_winograd_grad(fc_conv_plan *plan);
fc_status fc_winograd_grad(const fc_conv_plan *plan, ptrdiff_t n, const void *src, const void *grad, void *dweights,
                           const ptrdiff_t strides[2 + FC_SPATIAL], void *memory, int threads, bool *finite);

#endif
