/* The kernels of filters over lines of an image, and of interpolation. Lines are in the element type; what lies past
 * their end may be read and written for FC_LINES_SLACK vectors. */
#ifndef FC_LINE_KERNELS_H
#define FC_LINE_KERNELS_H

#include "kernels.h"

enum { FC_LINES_SLACK = 4 };

/* A window, tap by tap: line t starts where tap t of the first window lies. */
typedef struct {
    const void *const *src;
    ptrdiff_t taps;
    const void *weights; /* one for each tap; not of extrema */
    int fold;            /* as in fc_lines_pass */
    double divisor;
} fc_lines;

/* dst[i] = the sum of weights[t] * src[t][i] over taps t, divided. */
typedef void fc_lines_sum_fn(const fc_lines *lines, ptrdiff_t count, void *dst);

/* dst[i] is such a sum of whole numbers by weights that are not, in float. Those within `bound` of a whole number other
 * than 0, all with a bound of 1, become the sum in double, by `weights` and as fc_lines_pass says, cut off at the
 * point. Float kernels alone. */
typedef void fc_lines_settle_fn(const fc_lines *lines, const double *weights, double bound, ptrdiff_t count, void *dst);

/* dst[i] = the largest, or the smallest, of src[t][i] over taps t; NaN where one of them is. */
typedef void fc_lines_extremum_fn(const fc_lines *lines, bool largest, ptrdiff_t count, void *dst);

/* dst[i] = src[i], samples to elements, exactly `count` of them. */
typedef void fc_samples_in_fn(fc_sample type, ptrdiff_t count, const void *src, void *dst);

/* dst[i] = src[i] as a sample; for whole numbers cut off at the point, modulo the samples' range. In place: the element
 * that such a sample would become again. */
typedef void fc_samples_out_fn(fc_sample type, ptrdiff_t count, const void *src, void *dst);
typedef void fc_samples_cut_fn(fc_sample type, ptrdiff_t count, void *line);

/* dst[i] = what `finish`, as in fc_lines_desc, makes of values[i] and dst[i], exactly `count` of them; values are lost.
 */
typedef void fc_lines_finish_fn(int finish, ptrdiff_t count, void *values, void *dst);

/* dst[i] = the sum of weights[t] * src[t][i] over taps t, exactly `count` of them. */
typedef void fc_blend_rows_fn(const fc_lines *lines, ptrdiff_t count, void *dst);

/* Along a line of pixels of `trail` elements: dst[i] = the sum of weights[t] * src[places[t]] over begin[i] <= t <
 * begin[i + 1]. */
typedef struct {
    const void *src;
    const ptrdiff_t *begin, *places;
    const void *weights;
    ptrdiff_t count, trail;
    ptrdiff_t taps; /* of every position, or 0 where they differ */
} fc_blend_columns;
typedef void fc_blend_columns_fn(const fc_blend_columns *columns, void *dst);

struct fc_line_kernels {
    fc_lines_sum_fn *sum;
    fc_lines_settle_fn *settle;
    fc_lines_extremum_fn *extremum;
    fc_samples_in_fn *in;
    fc_samples_out_fn *out;
    fc_samples_cut_fn *cut;
    fc_lines_finish_fn *finish;
    fc_blend_rows_fn *blend_rows;
    fc_blend_columns_fn *blend_columns;
};

#endif
