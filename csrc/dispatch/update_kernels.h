/* The kernels of training beside gradients: an optimizer's step, and dropout. */
#ifndef FC_UPDATE_KERNELS_H
#define FC_UPDATE_KERNELS_H

#include "kernels.h"

/* A step for elements [first, first + count) of a variable. */
typedef void fc_update_fn(const fc_update *update, const fc_variable *variable, ptrdiff_t first, ptrdiff_t count);

/* The sum of count squares. */
typedef double fc_sum_squares_fn(ptrdiff_t count, const void *x);

/* dst[i] = src[i] times what is drawn for element `first` + i of a row, `first` a multiple of FC_DRAWN_TOGETHER; dst
 * may be src. */
typedef void fc_dropout_fn(const fc_draw *draw, ptrdiff_t row, ptrdiff_t first, ptrdiff_t count, const void *src,
                           void *dst);

/* The same for as many rows as a vector has lanes, from `row` on: elements are (count, lane). */
typedef void fc_dropout_lanes_fn(const fc_draw *draw, ptrdiff_t row, ptrdiff_t count, const void *src, void *dst);

struct fc_update_kernels {
    fc_update_fn *update;
    fc_sum_squares_fn *sum_squares;
    fc_dropout_fn *dropout;
    fc_dropout_lanes_fn *dropout_lanes;
};

#endif
