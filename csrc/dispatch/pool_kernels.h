/* The kernels of pooling. One call makes one row of outputs, or spreads one row of gradients.
 *
 * A row of outputs sees `row_count` source rows, the same for all its windows: kernel_depth x kernel_height of them, or
 * fewer at an edge. "Plane" kernels serve channels first, where vectors run along a row; "channel" kernels serve
 * channels last, where they run along channels. Columns and rows are counted in pixels, steps in elements.
 */
#ifndef FC_POOL_KERNELS_H
#define FC_POOL_KERNELS_H

#include "kernels.h"

/* The columns begin, begin + dilation, … < end of a window, all inside the source; none when end == begin. */
typedef struct {
    ptrdiff_t begin, end;
} fc_pool_span;

/* What one row of windows looks like. */
typedef struct {
    const fc_pool_span *columns; /* of each window */
    ptrdiff_t count, dilation;
    ptrdiff_t width;           /* columns of a source row */
    const void *column_counts; /* average: what each window counts along the row; divided by that and row_divisor */
    double row_divisor;
    /* Of plane kernels: when `uniform`, window j has the columns j * stride + k * dilation - pad, k < kernel. */
    bool uniform;
    bool framed; /* the lines hold their padding already: a call with the same windows and lines went before */
    ptrdiff_t kernel, stride, pad;
    ptrdiff_t repeat, row_step; /* without indices: rows of outputs, whose source rows lie so many elements apart */
    void *line;           /* uniform: (count - 1) * stride + (kernel - 1) * dilation + 1 elements and 256 bytes; else */
    void *line_positions; /* width elements and 256 bytes. line_positions: as large, for indices */
    /* Of channel kernels; `line`, for averages, is a vector for each column. */
    ptrdiff_t channels, src_step, dst_step; /* step: from pixel to pixel */
    bool alone;                             /* put: no other window sees the same places, whose values do not count */
} fc_pool_windows;

/* dst[j] = maximum or average over the rows and columns of window j.
 *
 * rows       first elements of the source rows, in order
 * positions  each row's first flat position in its volume; for indices
 * indices    where the maximum stood: its first place, or the last NaN's; -1 in an empty window. NULL: not wanted
 */
typedef void fc_pool_fn(const fc_pool_windows *windows, const void *const *rows, const ptrdiff_t *positions,
                        ptrdiff_t row_count, void *dst, int64_t *indices);

/* rows[r][x] += grad[j] / (row_divisor * column_counts[j]) for each row r and column x of each window j. */
typedef void fc_pool_spread_fn(const fc_pool_windows *windows, void *const *rows, ptrdiff_t row_count,
                               const void *grad);

/* rows[r][x][c] += grad[j][c] (of windows that are alone: = grad[j][c], or 0) where indices[j][c] is positions[r] + x,
 * for each row r and column x of each window j, whose positions fit an fc_int. Returns whether every index is such a
 * one, or -1: others are left out. */
typedef bool fc_pool_put_fn(const fc_pool_windows *windows, void *const *rows, const ptrdiff_t *positions,
                            ptrdiff_t row_count, const void *grad, const int64_t *indices, ptrdiff_t index_step);

/* Whether -1 <= indices[i] < end for i < count. */
typedef bool fc_pool_inside_fn(const int64_t *indices, ptrdiff_t count, int64_t end);

/* dst[indices[p][c] * dst_step + c] += grad[p][c] for p < pixels, c < channels, where the index is not -1. */
typedef void fc_pool_scatter_fn(ptrdiff_t pixels, ptrdiff_t channels, const void *grad, ptrdiff_t grad_step,
                                const int64_t *indices, ptrdiff_t index_step, void *dst, ptrdiff_t dst_step);

struct fc_pool_kernels {
    fc_pool_fn *max_plane, *max_channel, *average_plane, *average_channel;
    fc_pool_spread_fn *spread_plane, *spread_channel;
    fc_pool_put_fn *put_channel;
    fc_pool_inside_fn *places_inside;
    fc_pool_scatter_fn *scatter;
};

#endif
