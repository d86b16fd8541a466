/* What one (instruction set, dtype) offers: register tiles as data, and typed pointers to its kernels.
 *
 * Every kernel is pure compute over memory that the caller owns. Element pointers are void because one table type
 * serves both dtypes; each kernel knows its own FC_REAL. "Tile" means rows x (vectors * lanes) accumulators.
 */
#ifndef FC_KERNELS_H
#define FC_KERNELS_H

#include "fastconv.h"

enum { FC_MAX_ROWS = 16, FC_MAX_VECTORS = 8 };

/* acc[r][k] (+)= sum over taps t and channels c of src[t][r][c] * weights[t][c][k]. */
typedef void fc_channel_fn(const void *const *src, ptrdiff_t taps, ptrdiff_t channels, const void *weights, void *acc,
                           bool accumulate);

/* acc[r][p] (+)= sum over i < count of weights[i][r] * src[offsets[i] + p]. */
typedef void fc_plane_fn(const void *src, const ptrdiff_t *offsets, ptrdiff_t count, const void *weights, void *acc,
                         bool accumulate);

/* A stretch of `count` pixels: src and grad point at the first one's channel vectors. */
typedef struct {
    const void *src, *grad;
    ptrdiff_t count;
} fc_pixel_run;

/* acc[r][k] (+)= sum over runs and their pixels p of src[p * src_step + r] * grad[p * grad_step + k]. */
typedef void fc_weight_grad_fn(const fc_pixel_run *runs, ptrdiff_t count, ptrdiff_t src_step, ptrdiff_t grad_step,
                               void *acc, bool accumulate);

/* How finished accumulators become results: bias, residual, activation. */
typedef struct {
    fc_activation activation;
    double alpha, beta;
} fc_epilogue;

typedef struct {
    int lanes;
    int max_rows[FC_MAX_VECTORS + 1]; /* by vectors; 0: no such tile */
    fc_channel_fn *channel[FC_MAX_VECTORS + 1][FC_MAX_ROWS + 1];
    fc_plane_fn *plane[FC_MAX_VECTORS + 1][FC_MAX_ROWS + 1];
    fc_weight_grad_fn *weight_grad[FC_MAX_VECTORS + 1][FC_MAX_ROWS + 1];
    const struct fc_conv_kernels *conv;           /* everything else that convolution needs */
    const struct fc_pool_kernels *pool;           /* pool_kernels.h */
    const struct fc_pointwise_kernels *pointwise; /* pointwise_kernels.h */
} fc_kernels;

const fc_kernels *fc_kernels_for(fc_isa isa, fc_dtype dtype); /* the isa must be available */

#endif
