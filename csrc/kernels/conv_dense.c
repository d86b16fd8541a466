/* One sample of a dense layer, by weights that lie (input, output): they are read once, row after row, as fast as
 * memory gives them. */
#include "dispatch/conv_kernels.h"
#include "simd.h"

enum { ROWS = 8 }; /* that are added together: sums are loaded and stored once for them */

/* So many of the rows, one vector of outputs; in the order of the register tiles, so that the bits are theirs. */
FC_INLINE fc_vec add_rows(const int rows, const FC_REAL *x, const FC_REAL *weights, ptrdiff_t step, int lanes,
                          fc_vec sum)
{
    _Pragma("GCC unroll 8") for (int r = 0; r < rows; r++) sum +=
        fc_splat(x[r]) * fc_load_lanes(weights + r * step, lanes);
    return sum;
}

FC_INLINE void add_group(const int rows, const FC_REAL *x, const fc_dense_row *s, const FC_REAL *weights, bool first,
                         bool last)
{
    const fc_vec least = fc_splat((FC_REAL)s->end.least);
    FC_REAL *sums = s->sums;
    for (ptrdiff_t k = 0; k < s->count; k += FC_LANES) {
        const int lanes = fc_lanes_left(s->count, k);
        fc_vec sum = add_rows(rows, x, weights + k, s->step, lanes, first ? fc_zero() : fc_load(sums + k));
        if (!last) {
            fc_store(sums + k, sum);
            continue;
        }
        if (s->end.from)
            sum = fc_load_lanes((const FC_REAL *)s->end.from + k, lanes) + sum;
        fc_store_lanes((FC_REAL *)s->end.dst + k, fc_greater(least, sum), lanes);
    }
}

fc_dense_row_fn FC_NAME(dense_row);

void FC_NAME(dense_row)(const fc_dense_row *s)
{
    const FC_REAL *x = s->src, *weights = s->weights;
    for (ptrdiff_t i = 0; i < s->rows;) {
        const bool whole = s->rows - i >= ROWS;
        const ptrdiff_t after = i + (whole ? ROWS : 1);
        if (whole)
            add_group(ROWS, x + i, s, weights + i * s->step, i == 0, after == s->rows);
        else
            add_group(1, x + i, s, weights + i * s->step, i == 0, after == s->rows);
        i = after;
    }
}
