/* The kernels of activations, softmax and sums over batch and pixels. */
#ifndef FC_POINTWISE_KERNELS_H
#define FC_POINTWISE_KERNELS_H

#include "kernels.h"

/* dst[i] = f(src[i]); dst may be src. */
typedef void fc_activation_fn(fc_activation kind, double alpha, double beta, ptrdiff_t count, const void *src,
                              void *dst);

/* dst[i] = grad[i] * f'(saved[i]); dst may be grad or saved. */
typedef void fc_activation_grad_fn(fc_activation kind, double alpha, double beta, ptrdiff_t count, const void *grad,
                                   const void *saved, void *dst);

/* `rows` rows of `axis` elements, each normalised; dst may be src. */
typedef void fc_softmax_rows_fn(bool logarithm, ptrdiff_t rows, ptrdiff_t axis, const void *src, void *dst);
typedef void fc_softmax_rows_grad_fn(bool logarithm, ptrdiff_t rows, ptrdiff_t axis, const void *grad,
                                     const void *result, void *dst);

/* `columns` columns of `axis` elements that lie `inner` apart, each normalised; dst may be src. */
typedef void fc_softmax_columns_fn(bool logarithm, ptrdiff_t axis, ptrdiff_t inner, ptrdiff_t columns, const void *src,
                                   void *dst);
typedef void fc_softmax_columns_grad_fn(bool logarithm, ptrdiff_t axis, ptrdiff_t inner, ptrdiff_t columns,
                                        const void *grad, const void *result, void *dst);

/* *out = sum of `count` planes of `pixels` elements, `step` apart. */
typedef void fc_sum_planes_fn(ptrdiff_t count, ptrdiff_t step, ptrdiff_t pixels, const void *src, void *out);

/* out[c] = sum over `rows` rows, `step` apart, of src[row][c], for c < columns. */
typedef void fc_sum_columns_fn(ptrdiff_t rows, ptrdiff_t step, ptrdiff_t columns, const void *src, void *out);

struct fc_pointwise_kernels {
    fc_activation_fn *activation;
    fc_activation_grad_fn *activation_grad;
    fc_softmax_rows_fn *softmax_rows;
    fc_softmax_rows_grad_fn *softmax_rows_grad;
    fc_softmax_columns_fn *softmax_columns;
    fc_softmax_columns_grad_fn *softmax_columns_grad;
    fc_sum_planes_fn *sum_planes;
    fc_sum_columns_fn *sum_columns;
};

#endif
