/* The kernels of normalisation: moments, what a gradient sums, and scaling. */
#ifndef FC_NORM_KERNELS_H
#define FC_NORM_KERNELS_H

#include "kernels.h"

enum { FC_NORM_ROWS = 256 }; /* the most rows of one call for columns */

/* The mean of some values and the sum of their squared distances from it. */
typedef struct {
    double mean, squares;
} fc_moments;

/* Moments of `count` contiguous elements, and of each of `columns` columns of up to FC_NORM_ROWS rows, `step` apart. */
typedef void fc_moments_row_fn(ptrdiff_t count, const void *src, fc_moments *out);
typedef void fc_moments_columns_fn(ptrdiff_t rows, ptrdiff_t step, ptrdiff_t columns, const void *src, fc_moments *out);

/* What the gradient of normalised values is summed to: grad, and grad * (src - mean). */
typedef struct {
    double grad, product;
} fc_norm_sums;

/* Of `count` contiguous elements; and of columns, each with its own mean (of the elements' type). */
typedef void fc_norm_sums_row_fn(ptrdiff_t count, const void *src, const void *grad, double mean, fc_norm_sums *out);
typedef void fc_norm_sums_columns_fn(ptrdiff_t rows, ptrdiff_t step, ptrdiff_t columns, const void *src,
                                     const void *grad, const void *mean, fc_norm_sums *out);

/* dst = (src - mean) * scale + shift + grad * slope, the four of the elements' type; grad may be NULL (slope unused).
 * A row has one of each; columns have one each per column. dst may be src or grad. */
typedef struct {
    const void *mean, *scale, *shift, *slope;
} fc_norm_factors;
typedef void fc_norm_row_fn(ptrdiff_t count, const void *src, const void *grad, const fc_norm_factors *factors,
                            void *dst);
typedef void fc_norm_columns_fn(ptrdiff_t rows, ptrdiff_t step, ptrdiff_t columns, const void *src, const void *grad,
                                const fc_norm_factors *factors, void *dst);

/* One row of a layer normalisation: dst[i] = (src[i] - mean) * rstd * weight[i] + bias[i]; weight and bias may be NULL.
 * Its gradient: dst[i] = (grad[i] * weight[i] - a - (src[i] - mean) * b) * rstd, where a and b are the means that make
 * it orthogonal to 1 and to src. dst may be src (or grad). */
typedef void fc_layer_row_fn(ptrdiff_t count, const void *src, const void *weight, const void *bias, double mean,
                             double rstd, void *dst);
typedef void fc_layer_row_grad_fn(ptrdiff_t count, const void *src, const void *grad, const void *weight, double mean,
                                  double rstd, void *dst);

/* weight_sum[c] += grad[r][c] * (src[r][c] - mean[r]) * rstd[r] and bias_sum[c] += grad[r][c] over `rows` rows of
 * `step` elements, for c < columns. The sums are of the elements' type. */
typedef void fc_layer_sums_fn(ptrdiff_t rows, ptrdiff_t step, ptrdiff_t columns, const void *src, const void *grad,
                              const double *mean, const double *rstd, void *weight_sum, void *bias_sum);

struct fc_norm_kernels {
    fc_moments_row_fn *moments_row;
    fc_moments_columns_fn *moments_columns;
    fc_norm_sums_row_fn *sums_row;
    fc_norm_sums_columns_fn *sums_columns;
    fc_norm_row_fn *row;
    fc_norm_columns_fn *columns;
    fc_layer_row_fn *layer_row;
    fc_layer_row_grad_fn *layer_row_grad;
    fc_layer_sums_fn *layer_sums;
};

#endif
