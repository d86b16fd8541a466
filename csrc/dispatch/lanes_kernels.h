/* The kernels of programs: small networks, whose activations stay in cache.
 *
 * Two layouts, both channels-last. In blocks of `lanes` images every element is a vector, (height, width, channel,
 * lane): "lanes" kernels run along images and never have a tail. A single image is (height, width, channel): "pixel"
 * kernels run along output channels. Both add an output's products in the same order, so they give the same bits.
 * Weights are read where they live, (product, output channel): nothing is packed.
 */
#ifndef FC_LANES_KERNELS_H
#define FC_LANES_KERNELS_H

#include "kernels.h"

/* dst[r][v] = sum over i < count of weights[i * weight_step + r] * src[v][offsets[i]], + bias[r] or what dst held.
 *
 * src[v] lies v * src_step further on, dst[r][v] r channels and v * dst_step further on; all steps and offsets are in
 * elements of one image. Lanes kernels: v is a vector of images, r an output channel. Pixel kernels: r is a pixel
 * (src_step, dst_step) and v a vector of output channels, of which `live` exist. Line kernels: v is a vector of
 * neighbouring pixels of a plane, of which `live` exist, r an output channel, dst_step elements further on. */
typedef struct {
    const void *src;
    ptrdiff_t src_step;
    const ptrdiff_t *offsets;
    ptrdiff_t count;
    const void *weights;
    ptrdiff_t weight_step;
    const void *bias; /* NULL: none */
    void *dst;
    ptrdiff_t dst_step;
    int live;
    bool accumulate; /* adds to what dst holds, without bias */
    bool resume;     /* goes on from the sums that dst holds; pixel kernels of one row alone */
} fc_lanes_tile;
typedef void fc_lanes_fn(const fc_lanes_tile *);

/* Rows of a pool without padding over a plane, `down` rows of the input apart: dst[j] = maximum or average of
 * src[r * pitch + j * stride + k] for r < height and k < width, in the order in which average_channel and max_channel
 * take them; stride is 1 or 2, j < count.
 *
 * Bands are one row of windows, of any stride, over `channels` vectors of images at each place: dst[j][c], src[r *
 * pitch + j * stride + k][c]. */
typedef struct {
    const void *src;
    ptrdiff_t pitch, height, width, down, stride, rows, count, channels;
    void *dst;
} fc_pool_plane;

/* A tile of weight gradients of a convolution: acc[r][k] += sum over `height` x `width` pixels of src[offsets[r]] *
 * grad[k], all vectors of images; from pixel to pixel and from row to row src and grad go on by their steps. Steps and
 * offsets are in elements of one image. */
typedef struct {
    const void *src, *grad;
    const ptrdiff_t *offsets;
    ptrdiff_t height, width, src_row, src_step, grad_row, grad_step;
    void *acc; /* rows x columns vectors */
} fc_lanes_grad;
typedef void fc_lanes_grad_fn(const fc_lanes_grad *);

/* A tile of weight gradients of a dense layer: dst[r * dst_step + k] += sum over the lanes of src[r] * grad[lane *
 * grad_step + k], r a feature (a vector of images), k output channels, of which `live` exist. */
typedef void fc_lanes_outer_fn(const void *src, const void *grad, ptrdiff_t grad_step, int live, void *dst,
                               ptrdiff_t dst_step);

/* Rows of planes, one plane a lane: dst[r * pitch + places[c]][lane] = src[lane * step + r * cols + c] for r < rows,
 * c < cols and lane < live; the other lanes are zero. */
typedef struct {
    const void *src;
    ptrdiff_t step;
    int live;
    ptrdiff_t rows, cols;
    const ptrdiff_t *places;
    void *dst;
    ptrdiff_t pitch;
} fc_lanes_rows;

/* A box of depthwise sums, channels as lanes: dst[r * dst_row + j * dst_step] = start + sum over t < taps of src[r *
 * src_row + j + offsets[t]] * weights[t] for r < rows and j < tiles * pixels. Steps and offsets are in vectors. */
typedef struct {
    const void *src, *weights, *start;
    const ptrdiff_t *offsets;
    ptrdiff_t taps, rows, tiles, src_row;
    void *dst;
    ptrdiff_t dst_row, dst_step;
} fc_lanes_depthwise;
typedef void fc_lanes_depthwise_fn(const fc_lanes_depthwise *);

enum { FC_MOST_PIXELS = 8 }; /* two multiply-adds a cycle of latency four want eight independent sums */
enum { FC_GRAD_ROWS = 6, FC_GRAD_COLUMNS = 4 };

struct fc_lanes_kernels {
    /* [vectors][rows], the tiles of FC_TILES */
    fc_lanes_fn *lanes[FC_MAX_VECTORS + 1][FC_MAX_ROWS + 1];
    fc_lanes_fn *pixels[FC_MAX_VECTORS + 1][FC_MAX_ROWS + 1];
    fc_lanes_fn *lines[FC_MAX_VECTORS + 1][FC_MAX_ROWS + 1];
    fc_lanes_grad_fn *grad[FC_GRAD_ROWS + 1][FC_GRAD_COLUMNS + 1]; /* [rows][columns] */
    fc_lanes_outer_fn *outer[FC_MAX_VECTORS + 1][FC_MAX_ROWS + 1];
    void (*max_plane)(const fc_pool_plane *);
    void (*average_plane)(const fc_pool_plane *);
    void (*max_band)(const fc_pool_plane *);
    void (*average_band)(const fc_pool_plane *);
    /* dst[e][lane] = src[lane * step + e] for e < count and lane < live; the other lanes are zero; and back. */
    void (*gather)(const void *src, ptrdiff_t step, int live, ptrdiff_t count, void *dst);
    void (*scatter)(const void *src, ptrdiff_t step, int live, ptrdiff_t count, void *dst);
    /* in float64 and the baseline: NULL */
    void (*gather_rows)(const fc_lanes_rows *);
    fc_lanes_depthwise_fn *depthwise[FC_MOST_PIXELS + 1]; /* [pixels] */
    /* x[p][c] = x[p][c] * factor[c] + shift[c] for `width` neighbours (1: pixels, lanes: images) of each channel. */
    void (*affine)(void *x, ptrdiff_t pixels, ptrdiff_t channels, int width, const void *factor, const void *shift);
    /* out[i] = sum over the lanes of acc[i] */
    void (*sum_lanes)(const void *acc, ptrdiff_t count, void *out);
    void (*add)(ptrdiff_t count, const void *src, void *dst); /* dst[i] += src[i] */
};

#endif
