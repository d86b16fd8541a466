/* The convolution kernels that are not register tiles: what fills their inputs, and what takes their results away. */
#ifndef FC_CONV_KERNELS_H
#define FC_CONV_KERNELS_H

#include "kernels.h"

#include <stdint.h>

/* How finished sums become results: + bias, + residual, activation. */
typedef struct {
    fc_activation activation;
    double alpha, beta;
} fc_epilogue;

/* A register tile of channels-last results: row r goes to dst + offsets[r], its channels channel_step apart. */
typedef struct {
    const void *acc;
    int rows, stride; /* of acc */
    int live;         /* channels of a row that exist */
    const ptrdiff_t *offsets;
    ptrdiff_t channel_step;
    const void *bias, *residual; /* bias: of the tile's channels; residual: addressed as dst; either may be NULL */
    void *dst;
    const fc_epilogue *epilogue;
} fc_row_store;
typedef void fc_store_rows_fn(const fc_row_store *);

/* `count` results at acc[begin …] of each row belong at dst[offset …], `step` apart. */
typedef struct {
    int begin, count;
    ptrdiff_t offset;
} fc_segment;

/* A register tile of channels-first results: row r is a channel, channel_step further on in dst. */
typedef struct {
    const void *acc;
    int rows, stride;
    const fc_segment *segments;
    int count;
    ptrdiff_t step, channel_step;
    const void *bias, *residual;
    void *dst;
    const fc_epilogue *epilogue;
} fc_plane_store;
typedef void fc_store_plane_fn(const fc_plane_store *);

/* A rectangle of a plane, sampled with steps, copied to contiguous rows; what lies outside the plane reads as zero. */
typedef struct {
    const void *src;              /* element (0, 0) of the plane */
    ptrdiff_t src_rows, src_cols; /* extents of the plane */
    ptrdiff_t src_pitch;          /* from row to row */
    ptrdiff_t row_first, row_step, rows;
    ptrdiff_t col_first, col_step, cols;
    void *dst; /* rows x cols */
} fc_rectangle;
typedef void fc_copy_rectangle_fn(const fc_rectangle *);

/* The products of one panel of positions, gathered: dst[i * pitch + segment.begin + j] = src[offsets[i] +
 * segment.offset + j] for j < segment.count. The segments lie one after the other, without gaps; src is readable for a
 * vector past each but the last; lanes after the last are zero up to a whole vector, and dst may be written for a
 * vector past its end. */
typedef struct {
    const void *src;
    const ptrdiff_t *offsets;
    ptrdiff_t count;
    const fc_segment *segments;
    int segment_count;
    void *dst;
    ptrdiff_t pitch;
} fc_panel;
typedef void fc_copy_panel_fn(const fc_panel *);

enum { FC_FILTER_ROWS = 4 };

/* Rows of outputs of a filter of one channel: dst[r * dst_pitch + j] = activation(bias + residual + sum over kernel
 * rows k and taps t of weights[k][t] * src[k + r][j + t]) for r < rows <= FC_FILTER_ROWS and j < columns. */
typedef struct {
    const void *const *src; /* kernel_rows + rows - 1 rows of columns + taps - 1 elements */
    int rows;
    ptrdiff_t columns, kernel_rows, taps;
    ptrdiff_t parts; /* of the kernel's rows, each of at least `rows` of them, that make partial sums */
    const void *weights;
    const void *bias, *residual; /* bias: one element; residual: addressed as dst; either may be NULL */
    void *dst;
    ptrdiff_t dst_pitch;
    const fc_epilogue *epilogue;
    bool streams; /* results may go past the caches; those of 3x3 kernels do */
} fc_filter;
typedef void fc_filter_fn(const fc_filter *);

/* Results of a block of images: dst[lane * image_step + c * channel_step + p] = activation(acc[p][c][lane] + bias[c])
 * for c < channels, p < positions and lane < live; interleaved ones at p * channels + c. acc is scratch. */
typedef struct {
    void *acc;
    ptrdiff_t channels, positions;
    int live;
    ptrdiff_t image_step, channel_step;
    bool interleaved;
    const void *bias; /* may be NULL */
    void *dst;
    const fc_epilogue *epilogue;
} fc_image_store;
typedef void fc_store_images_fn(const fc_image_store *);

/* dst[p][c] = src[c][p * src_step] for c < channels and p < pixels. */
typedef void fc_transpose_fn(const void *src, ptrdiff_t src_channel, ptrdiff_t src_step, ptrdiff_t channels,
                             ptrdiff_t pixels, void *dst, ptrdiff_t dst_pixel);

/* Pixels of either layout, brought together in panels of `piece` of their channels: dst[q * panel_step + p * width + c]
 * = src[p * pixel_step + (q * piece + c) * channel_step] for c < piece, zero from there to `width` and past `channels`.
 */
typedef struct {
    const void *src;
    ptrdiff_t pixel_step, channel_step;
    ptrdiff_t pixels, channels;
    int piece, width;
    ptrdiff_t pitch, panel_step;
    void *dst;
} fc_gather;
typedef void fc_gather_fn(const fc_gather *);

/* dst[i] = the sum of src's vector i, for i < count; both are whole vectors long. */
typedef void fc_sum_vectors_fn(const void *src, ptrdiff_t count, void *dst);

/* Columns of a tile of sums: dst[k * channel_step + j] = acc[rows[j] + k] for j < count, k < live. */
typedef struct {
    const void *acc;
    const ptrdiff_t *rows;
    ptrdiff_t count;
    int live; /* acc is readable to the end of the last vector */
    ptrdiff_t channel_step;
    void *dst;
} fc_column_store;
typedef void fc_store_columns_fn(const fc_column_store *);

/* Stretches of `length` elements, gathered for `count` consecutive positions: dst[p * dst_step + j * length + i] =
 * src[j][p * src_step + i] for j < rows, or zero where src[j] is NULL. */
typedef struct {
    const void *const *src;
    ptrdiff_t rows, length, src_step, count;
    void *dst;
    ptrdiff_t dst_step;
} fc_stretches;
typedef void fc_copy_stretches_fn(const fc_stretches *);

/* A row of input under a depthwise kernel, at its column 0, and the row of weights by which it enters each of the two
 * output rows; NULL where it does not. */
typedef struct {
    const void *src;
    const void *weights[2];
} fc_depthwise_line;

/* One or two rows of channels-last depthwise outputs. Pixel p takes its tap t from the column that lies first + (p *
 * ratio
 * + t) * step elements behind a line's own; it exists where low <= p * ratio + t < high. Weights are packed by vectors
 * of channels, each with all_taps vectors of weights, of which a line's point at its first. */
typedef struct {
    const fc_depthwise_line *lines;
    ptrdiff_t count, line; /* line: how many of those that the rows need lie before the first that is listed */
    ptrdiff_t together;    /* lines whose products make one partial sum */
    ptrdiff_t taps, all_taps, ratio;
    ptrdiff_t first, step, low, high;
    int rows;
    ptrdiff_t pixels, channels;
    ptrdiff_t dst_step, dst_row; /* from pixel to pixel, from the first output row to the second */
    const void *bias, *residual;
    void *dst, *partial; /* partial: 16 vectors */
    const fc_epilogue *epilogue;
} fc_depthwise_rows;
typedef void fc_depthwise_fn(const fc_depthwise_rows *);

/* Pixels of a row that all channels pass before the next, in squares: what they touch stays in cache meanwhile. */
enum { FC_STRETCH = 16 };

/* Groups of few channels, channels-first: for each group, its `ic` channels are copied to a zero-padded band, and each
 * of its `oc` outputs is the sum of `taps` stretches of that band, which begin at offsets[t], times weights[o][t].
 *
 *   band[channel][slot_h][slot_w][rows][pitch]     slot (a, b), row i, column j holds the source at
 *                                                   (row_first + a * row_offset + i * row_step, col_first + b * …)
 *
 * Results are one line over the band's pitch, of which each row's first out_cols are stored. */
typedef struct {
    ptrdiff_t groups, ic, oc;
    ptrdiff_t together; /* groups whose bands are filled before any is read: what was just stored loads slowly */
    const void *src;    /* the first group's first channel */
    ptrdiff_t src_rows, src_cols;
    ptrdiff_t slots_h, slots_w, rows, pitch;
    ptrdiff_t row_first, row_offset, row_step, col_first, col_offset, col_step;
    const ptrdiff_t *offsets;
    ptrdiff_t taps, piece; /* of the sum that is made at once */
    const void *weights, *bias, *residual;
    void *band, *acc; /* of the groups together; a vector longer than all slots, and acc_step than the line */
    ptrdiff_t acc_step;
    ptrdiff_t out_rows, out_cols;
    void *dst;
    ptrdiff_t dst_channel, dst_row, dst_col; /* from one to the next */
    bool owns_rows;                          /* nobody else writes between a row's results meanwhile */
    const fc_epilogue *epilogue;
} fc_depthwise_planes;
typedef void fc_depthwise_planes_fn(const fc_depthwise_planes *);

/* Groups of one input channel, channels-first, whose outputs have the source's width: rows x cols of them for each
 * channel in dst. Output row i takes its tap t from the source's row row_first + i + t * row_offset, zero outside
 * src_rows. Rows that are read are readable for the columns' offsets before them and for them and a vector after them;
 * what is read there means nothing. */
typedef struct {
    ptrdiff_t groups, oc; /* oc: outputs of a group */
    const void *src;
    ptrdiff_t src_channel, src_rows, rows, cols;
    ptrdiff_t taps_h, taps_w, row_first, row_offset, col_first, col_offset;
    const void **src_row; /* scratch: 7 + taps_h rows */
    void *zeros;          /* scratch: a row with all that is read of it */
    ptrdiff_t zero_count;
    void *masks; /* scratch: taps_w x mask_step elements */
    ptrdiff_t mask_step;
    ptrdiff_t left, skipped; /* left: before a row's first column; skipped: columns that need no masks of their own */
    const void *weights, *bias, *residual;
    void *dst;
    ptrdiff_t dst_channel, dst_row; /* dst_row: of row_offset rows */
    const fc_epilogue *epilogue;
} fc_depthwise_lines;
typedef void fc_depthwise_lines_fn(const fc_depthwise_lines *);

/* One tile's weights for `channels` x `taps`: packed[c0][tap][c][lane], channels in blocks of `block`; lanes from
 * `live` to `width` are zero. Tap t's weights lie at src + taps_at[t]. `tiles` of them, full ones if there are several:
 * the next one's lanes follow in src, and its packed weights tile_step further on in dst. */
typedef struct {
    const void *src;
    ptrdiff_t lane_step, channel_step;
    const ptrdiff_t *taps_at;
    ptrdiff_t taps, channels, block, live, width;
    ptrdiff_t tiles, tile_step;
    void *dst;
} fc_pack_tile;
typedef void fc_pack_fn(const fc_pack_tile *);

/* end.dst[k] = end.from[k] + sum over i < rows of src[i] * weights[i * step + k] for k < count, from NULL: zero; or
 * end.least where that is more. */
typedef struct {
    const void *src, *weights;
    ptrdiff_t rows, step, count;
    fc_tile_end end;
    void *sums; /* scratch: count elements, whole vectors */
} fc_dense_row;
typedef void fc_dense_row_fn(const fc_dense_row *);

/* Whether all elements are numbers, and finite. */
typedef bool fc_are_finite_fn(const void *src, ptrdiff_t count);

struct fc_conv_kernels {
    fc_store_rows_fn *store_rows;
    fc_store_plane_fn *store_plane;
    fc_store_images_fn *store_images;
    fc_copy_rectangle_fn *copy_rectangle;
    fc_copy_panel_fn *copy_panel;
    fc_filter_fn *filter;
    int filter_vectors; /* of one tile of it */
    fc_copy_stretches_fn *copy_stretches;
    fc_transpose_fn *transpose;
    fc_gather_fn *gather;
    fc_store_columns_fn *store_columns;
    fc_sum_vectors_fn *sum_vectors;
    fc_depthwise_fn *depthwise;
    fc_depthwise_fn *depthwise_squares; /* two rows, 3x3 taps, a ratio of 1 or 2, whole vectors; NULL: none */
    fc_depthwise_planes_fn *depthwise_planes;
    fc_depthwise_lines_fn *depthwise_lines;
    fc_pack_fn *pack;
    fc_dense_row_fn *dense_row;
    fc_are_finite_fn *are_finite;
};

#endif
