/* What one (instruction set, dtype) offers: register tiles as data, and typed pointers to its kernels.
 *
 * Every kernel is pure compute over memory that the caller owns. Element pointers are void because one table type
 * serves both dtypes; each kernel knows its own FC_REAL. A tile is rows x (vectors * lanes) accumulators, kept in
 * registers while a sum runs and left in `acc`, row after row; with `accumulate` the sum is added to what acc holds,
 * which is how long sums are cut into partial ones.
 */
#ifndef FC_KERNELS_H
#define FC_KERNELS_H

#include "fastconv.h"

enum { FC_MAX_ROWS = 16, FC_MAX_VECTORS = 8, FC_MAX_GROUP = 8, FC_GROUP_ROWS = 6 };

/* Where a register tile's sums go: row r of dst becomes row r of `from` plus the sums, or `least` where that is more.
 * from: zeros (step 0), what the sum has come to so far, or a bias where that runs along the row.
 *
 * So many `more` tiles alike follow. Their rows go on in dst and in from; what else they take lies `step` apart:
 * pointers where the weights stay the same, biases where the weights go on. A kernel returns how many it has done: one,
 * or all. The last one has fetched into L2, where tiles read weights as vectors, as many bytes as its weights, `ahead`
 * of them. */
typedef struct {
    void *dst;
    const void *from;
    ptrdiff_t dst_step, from_step; /* elements from row to row */
    double least;                  /* -INFINITY: any */
    ptrdiff_t more, step;
    ptrdiff_t ahead; /* bytes; 0: nothing */
} fc_tile_end;

/* end.dst[r][k] = end.from[r][k] + sum over taps t and channels c of src[t][r][first + c] * weights[t][c][k]. */
typedef ptrdiff_t fc_channel_fn(const void *const *src, ptrdiff_t taps, ptrdiff_t first, ptrdiff_t channels,
                                const void *weights, const fc_tile_end *end);

/* end.dst[r][p] = end.from[r][p] + sum over i < count of weights[i][r] * src[offsets[i] + p], + start[r]. */
typedef ptrdiff_t fc_plane_fn(const void *src, const ptrdiff_t *offsets, ptrdiff_t count, const void *weights,
                              const void *start, const fc_tile_end *end);

/* Staged operands of a weight gradient: `runs` stretches of `length` pixels, all taken by one register tile. */
typedef struct {
    const void *src; /* [pixel][width] */
    const ptrdiff_t *starts;
    ptrdiff_t runs, length;
    ptrdiff_t width, step; /* elements of a pixel, and from a pixel of the run to the next */
    const void *grad;      /* [pixel][vectors * lanes] */
    ptrdiff_t acc_step;    /* from a row of acc to the next */
} fc_grad_panel;

/* acc[r * acc_step + k] (+)= sum over runs i and their pixels p of src[starts[i] * width + p * step + r] *
 * grad[pixel][k]. */
typedef void fc_weight_grad_fn(const fc_grad_panel *panel, void *acc, bool accumulate);

/* Operands of a weight gradient along pixels: `runs` stretches of `length` neighbouring pixels. */
typedef struct {
    const void *src, *grad;
    const ptrdiff_t *rows;                     /* of the tile: where a (channel, tap) lies */
    const ptrdiff_t *src_starts, *grad_starts; /* of the runs */
    ptrdiff_t runs, length;
    ptrdiff_t grad_step; /* from an output channel to the next */
} fc_grad_planes;

/* acc[r][v] (+)= sum over runs i and vectors of pixels p of src[rows[r] + src_starts[i] + p] * grad[v * grad_step +
 * grad_starts[i] + p]; a row of acc is `vectors` vectors, each to be added up. */
typedef void fc_planes_grad_fn(const fc_grad_planes *operands, void *acc, bool accumulate);

/* A stretch of `count` pixels: src and grad point at the first one's channels. */
typedef struct {
    const void *src, *grad;
    ptrdiff_t count;
} fc_pixel_run;

/* acc[r][k] (+)= sum over runs and their pixels p of src[p * src_step + offsets[r] + k] * grad[p * grad_step +
 * grad_first + k]. */
typedef void fc_depthwise_grad_fn(const fc_pixel_run *runs, ptrdiff_t count, const ptrdiff_t *offsets,
                                  ptrdiff_t src_step, ptrdiff_t grad_first, ptrdiff_t grad_step, void *acc,
                                  bool accumulate);

typedef double fc_multiply_adds_fn(ptrdiff_t rounds); /* returns how many were done */

struct fc_conv_kernels;      /* conv_kernels.h */
struct fc_winograd_kernels;  /* winograd_kernels.h */
struct fc_pool_kernels;      /* pool_kernels.h */
struct fc_pointwise_kernels; /* pointwise_kernels.h */
struct fc_norm_kernels;      /* norm_kernels.h */
struct fc_lanes_kernels;     /* lanes_kernels.h */
struct fc_update_kernels;    /* update_kernels.h */
struct fc_line_kernels;      /* line_kernels.h */

typedef struct {
    int lanes;
    int max_rows[FC_MAX_VECTORS + 1]; /* by vectors; 0: no such tile */
    /* [vectors][rows]; depthwise tiles have one vector: [rows] */
    fc_channel_fn *const (*channel)[FC_MAX_ROWS + 1];
    fc_plane_fn *const (*plane)[FC_MAX_ROWS + 1];
    fc_channel_fn *const (*groups)[FC_GROUP_ROWS + 1]; /* [channels of a narrow group][rows], one vector */
    fc_weight_grad_fn *const (*weight_grad)[FC_MAX_ROWS + 1];
    fc_planes_grad_fn *const (*planes_weight_grad)[FC_MAX_ROWS + 1];
    fc_depthwise_grad_fn *const *depthwise_weight_grad;
    fc_multiply_adds_fn *multiply_adds;
    const struct fc_conv_kernels *conv;
    const struct fc_winograd_kernels *winograd;
    const struct fc_pool_kernels *pool;
    const struct fc_pointwise_kernels *pointwise;
    const struct fc_norm_kernels *norm;
    const struct fc_lanes_kernels *lanes_kernels;
    const struct fc_update_kernels *update;
    const struct fc_line_kernels *lines;
} fc_kernels;

const fc_kernels *fc_kernels_for(fc_isa isa, fc_dtype dtype); /* the isa must be available */

#endif
