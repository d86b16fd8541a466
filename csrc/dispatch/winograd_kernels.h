/* What Winograd's convolution needs besides the channel family's register tiles: the transforms, whose vectors run
 * along channels, and what turns channels-first rows into such vectors and back.
 *
 * F(m x m, r x r) makes m x m outputs, a *tile*, from a patch of side m + r - 1: as many *products* of a transformed
 * input and a transformed weight for each pair of channels as the patch has elements, instead of r r m m.
 */
#ifndef FC_WINOGRAD_KERNELS_H
#define FC_WINOGRAD_KERNELS_H

#include "conv_kernels.h"

enum { FC_WINOGRAD_SIDE = 6, FC_WINOGRAD_TAPS = 5 }; /* the largest patch's side, the most taps along an axis */

/* dst[product][tile][c] of a run of tiles beside each other, whose patches all have the same part outside the input. */
typedef struct {
    const void *src;                            /* patch element (0, 0) of the first tile, channel 0 */
    ptrdiff_t src_row, src_col, src_tile;       /* steps */
    int row_begin, row_end, col_begin, col_end; /* the part of a patch that exists; the rest reads as zero */
    ptrdiff_t tiles, channels;
    void *dst; /* room for whole vectors of channels */
    ptrdiff_t dst_tile, dst_product;
} fc_winograd_input;
typedef void fc_winograd_input_fn(const fc_winograd_input *);

/* The same of m x m gradients of outputs: what the transform of outputs leads back to. */
typedef fc_winograd_input_fn fc_winograd_grad_fn;

/* dst[tap][i] of the weights' gradient from src[product][i], sums over tiles, for i < vectors. */
typedef struct {
    const void *src;
    ptrdiff_t src_product;
    int vectors;
    void *dst;
    ptrdiff_t dst_tap;
} fc_winograd_sums;
typedef bool fc_winograd_sums_fn(const fc_winograd_sums *); /* whether any is not finite */

/* Outputs of a run of tiles from src[product][tile][k]. */
typedef struct {
    const void *src;
    ptrdiff_t src_tile, src_product;
    ptrdiff_t tiles;
    int channels;                /* that exist */
    int rows;                    /* of each tile that exist */
    ptrdiff_t cols;              /* of the whole run that exist */
    const void *bias, *residual; /* of the run's channels; addressed as dst; either may be NULL */
    void *dst;
    ptrdiff_t dst_row, dst_col;
    const fc_epilogue *epilogue; /* NULL: activation comes later */
    unsigned char *broken;       /* broken[tile] is set where a result is not finite */
} fc_winograd_output;
typedef bool fc_winograd_output_fn(const fc_winograd_output *); /* whether any is broken */

/* dst[product][c][lane] from src[c0][tap][c][lane], channels in blocks of `block`. */
typedef struct {
    const void *src;
    ptrdiff_t channels, block, width;
    void *dst;
    ptrdiff_t dst_product;
} fc_winograd_weights;
typedef void fc_winograd_weights_fn(const fc_winograd_weights *);

/* dst[column][lane] of a row whose channels lie channel_step apart; columns outside [begin, end), and lanes from
 * `channels` on, are zero. */
typedef struct {
    const void *src; /* column 0, whether it exists or not */
    ptrdiff_t channel_step;
    int channels; /* at most a vector */
    ptrdiff_t begin, end, columns;
    void *dst;
} fc_strip;
typedef void fc_fill_strip_fn(const fc_strip *);

/* dst[lane * channel_step + column * column_step] = activation(src[column][lane] + bias[lane] + residual). */
typedef struct {
    const void *src;
    int channels;
    ptrdiff_t columns;
    const void *bias, *residual;
    void *dst;
    ptrdiff_t channel_step, column_step;
    const fc_epilogue *epilogue;
} fc_strip_store;
typedef void fc_store_strip_fn(const fc_strip_store *);

struct fc_winograd_kernels {
    fc_winograd_input_fn *input[FC_WINOGRAD_SIDE + 1]; /* by side */
    /* by side and taps: F(2, 3), F(4, 3), F(2, 5) */
    fc_winograd_output_fn *output[FC_WINOGRAD_SIDE + 1][FC_WINOGRAD_TAPS + 1];
    fc_winograd_weights_fn *weights[FC_WINOGRAD_SIDE + 1][FC_WINOGRAD_TAPS + 1];
    fc_winograd_grad_fn *grad; /* F(4, 3) */
    fc_winograd_sums_fn *sums;
    fc_fill_strip_fn *fill_strip;
    fc_store_strip_fn *store_strip;
};

#endif
