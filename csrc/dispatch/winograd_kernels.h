/* What Winograd's convolution needs besides the channel family's register tiles: the transforms, whose vectors run
 * along channels, and what turns channels-first rows into such vectors and back.
 *
 * F(m, r) makes m outputs of an axis with r taps from m + r - 1 inputs, by as many products of transformed inputs and
 * transformed weights instead of r m. A *form* has one for the rows and one for the columns: a *tile* of outputs comes
 * from a *patch* of inputs. Kernels of a single row (or column: rows and columns are then exchanged) transform lines.
 */
#ifndef FC_WINOGRAD_KERNELS_H
#define FC_WINOGRAD_KERNELS_H

#include "conv_kernels.h"

/* X(name, outputs and taps of the rows, outputs and taps of the columns) */
#define FC_WINOGRAD_LIST(X)                                                                                            \
    X(F2_3, 2, 3, 2, 3)                                                                                                \
    X(F4_3, 4, 3, 4, 3)                                                                                                \
    X(F2_5, 2, 5, 2, 5)                                                                                                \
    X(F5_2, 5, 2, 5, 2)                                                                                                \
    X(F3_4, 3, 4, 3, 4)                                                                                                \
    X(F6_3_LINE, 1, 1, 6, 3)                                                                                           \
    X(F4_5_LINE, 1, 1, 4, 5)                                                                                           \
    X(F2_7_LINE, 1, 1, 2, 7)

#define FC_WINOGRAD_NAME(name, rows, row_taps, cols, col_taps) FC_##name,
typedef enum { FC_WINOGRAD_LIST(FC_WINOGRAD_NAME) FC_WINOGRAD_FORMS } fc_winograd_name;
#undef FC_WINOGRAD_NAME

/* A patch's elements and a tile's outputs, at most. */
enum { FC_WINOGRAD_PRODUCTS = 36, FC_WINOGRAD_OUTPUTS = 25 };

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
    ptrdiff_t cols, cols_step;   /* of the first tile that exist, and so many less of each further one */
    const void *bias, *residual; /* of the run's channels; addressed as dst; either may be NULL */
    void *dst;
    ptrdiff_t dst_row, dst_col, dst_tile;
    const fc_epilogue *epilogue; /* NULL: activation comes later */
    unsigned char *broken;       /* broken[tile] is set where a result is not finite */
} fc_winograd_output;
typedef bool fc_winograd_output_fn(const fc_winograd_output *); /* whether any is broken */

/* dst[product][i] from src[tap row][tap column][i] for i < count, whole vectors. Taps that do not exist are zero. */
typedef struct {
    const void *src;
    ptrdiff_t src_row, src_col;
    int rows, cols; /* that exist */
    ptrdiff_t count;
    void *dst;
    ptrdiff_t dst_product;
} fc_winograd_weights;
typedef void fc_winograd_weights_fn(const fc_winograd_weights *);

/* dst[column][lane] of a row whose channels lie channel_step apart; columns outside [begin, end), and lanes from
 * `channels` on, are zero. Columns less than a vector apart overlap, and the last one needs room for a whole vector. */
typedef struct {
    const void *src; /* column 0, whether it exists or not */
    ptrdiff_t channel_step;
    int channels; /* at most a vector */
    ptrdiff_t begin, end, columns;
    void *dst;
    ptrdiff_t dst_col;
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
    fc_winograd_input_fn *input[FC_WINOGRAD_FORMS];
    fc_winograd_output_fn *output[FC_WINOGRAD_FORMS];
    fc_winograd_weights_fn *weights[FC_WINOGRAD_FORMS];
    fc_winograd_grad_fn *grad; /* FC_F4_3's */
    fc_winograd_sums_fn *sums;
    fc_fill_strip_fn *fill_strip;
    fc_store_strip_fn *store_strip;
};

#endif
