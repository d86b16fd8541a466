/* Filters of one channel: each loaded pixel serves several rows of outputs. */
#include "dispatch/conv_kernels.h"
#include "epilogue.h"
#include "tiles.h"

/* sum[r] += weights[t] * src[t …] for the rows lo <= r < hi of a tile and the taps t of one row of the kernel, which
 * for row r is `weights` less r rows. With `lanes` below a vector's, nothing past them is read. */
FC_INLINE void add_row(const int lo, const int hi, const int vectors, fc_vec sum[FC_FILTER_ROWS][FC_FILTER_VECTORS],
                       const FC_REAL *src, ptrdiff_t taps, const FC_REAL *weights, int lanes)
{
    for (ptrdiff_t t = 0; t < taps; t++) {
        fc_vec x[FC_FILTER_VECTORS];
        FC_UNROLL for (int v = 0; v < vectors; v++)
            x[v] = vectors > 1 ? fc_load(src + t + v * FC_LANES) : fc_load_lanes(src + t, lanes);
        FC_UNROLL for (int r = lo; r < hi; r++) {
            const fc_vec weight = fc_splat(weights[t - r * taps]);
            FC_UNROLL for (int v = 0; v < vectors; v++)
                sum[r][v] += weight * x[v];
        }
    }
}

/* The products of `count` kernel rows from `first` on: input row i meets output row r with kernel row i - r. */
FC_INLINE void add_rows(const int rows, const int vectors, const fc_filter *s, ptrdiff_t column, ptrdiff_t first,
                        ptrdiff_t count, fc_vec sum[FC_FILTER_ROWS][FC_FILTER_VECTORS], int lanes)
{
    const FC_REAL *weights = (const FC_REAL *)s->weights + first * s->taps;
    const void *const *src = s->src + first;
#define FC_ADD(lo, hi, i)                                                                                              \
    add_row(lo, hi, vectors, sum, (const FC_REAL *)src[i] + column, s->taps, weights + (i) * s->taps, lanes)
    FC_UNROLL for (int i = 0; i < rows - 1; i++)
        FC_ADD(0, i + 1, i);
    for (ptrdiff_t i = rows - 1; i < count; i++)
        FC_ADD(0, rows, i);
    FC_UNROLL for (int i = 0; i < rows - 1; i++)
        FC_ADD(i + 1, rows, count + i);
#undef FC_ADD
}

FC_INLINE void tile(const int rows, const int vectors, const fc_filter *s, ptrdiff_t column, int lanes)
{
    fc_vec sum[FC_FILTER_ROWS][FC_FILTER_VECTORS], total[FC_FILTER_ROWS][FC_FILTER_VECTORS];
    const fc_vec bias = fc_splat(s->bias ? *(const FC_REAL *)s->bias : (FC_REAL)-0.0);
    FC_UNROLL for (int r = 0; r < rows; r++) FC_UNROLL
        for (int v = 0; v < vectors; v++)
            sum[r][v] = total[r][v] = fc_zero();
    for (ptrdiff_t part = 0; part < s->parts; part++) {
        const ptrdiff_t first = s->kernel_rows * part / s->parts, end = s->kernel_rows * (part + 1) / s->parts;
        add_rows(rows, vectors, s, column, first, end - first, sum, lanes);
        if (s->parts == 1)
            break;
        FC_UNROLL for (int r = 0; r < rows; r++) FC_UNROLL
            for (int v = 0; v < vectors; v++) {
                total[r][v] += sum[r][v];
                sum[r][v] = fc_zero();
            }
    }
    FC_UNROLL for (int r = 0; r < rows; r++) FC_UNROLL
        for (int v = 0; v < vectors; v++) {
            const ptrdiff_t at = r * s->dst_pitch + column + v * FC_LANES;
            fc_vec value = sum[r][v] + total[r][v] + bias;
            if (s->residual)
                value += fc_load_lanes((const FC_REAL *)s->residual + at, lanes);
            fc_store_lanes((FC_REAL *)s->dst + at, value, lanes);
        }
}

/* Three rows of a 3x3 kernel, as straight code, of which there is one copy; 5x5 has too many values under way for it.
 */
static __attribute__((noinline)) void square_tile(const fc_filter *s, ptrdiff_t column, bool streams)
{
    enum { SIDE = 3 };
    const FC_REAL *weights = s->weights;
    fc_vec sum[SIDE][FC_FILTER_VECTORS];
    FC_UNROLL for (int r = 0; r < SIDE; r++) FC_UNROLL
        for (int v = 0; v < FC_FILTER_VECTORS; v++)
            sum[r][v] = fc_zero();
    FC_UNROLL for (int i = 0; i < 2 * SIDE - 1; i++) {
        const FC_REAL *src = (const FC_REAL *)s->src[i] + column;
        FC_UNROLL for (int t = 0; t < SIDE; t++) {
            fc_vec x[FC_FILTER_VECTORS];
            FC_UNROLL for (int v = 0; v < FC_FILTER_VECTORS; v++)
                x[v] = fc_load(src + t + v * FC_LANES);
            FC_UNROLL for (int r = 0; r < SIDE; r++)
                if (r <= i && i < r + SIDE) {
                    const fc_vec weight = fc_splat(weights[(i - r) * SIDE + t]);
                    FC_UNROLL for (int v = 0; v < FC_FILTER_VECTORS; v++)
                        sum[r][v] += weight * x[v];
                }
        }
    }
    const fc_vec bias = fc_splat(s->bias ? *(const FC_REAL *)s->bias : (FC_REAL)-0.0);
    FC_UNROLL for (int r = 0; r < SIDE; r++) FC_UNROLL
        for (int v = 0; v < FC_FILTER_VECTORS; v++) {
            const ptrdiff_t at = r * s->dst_pitch + column + v * FC_LANES;
            fc_vec value = sum[r][v] + bias;
            if (s->residual)
                value += fc_load((const FC_REAL *)s->residual + at);
            if (streams)
                fc_stream((FC_REAL *)s->dst + at, value);
            else
                fc_store((FC_REAL *)s->dst + at, value);
        }
}

/* As many columns as make whole tiles. */
static ptrdiff_t square_columns(const fc_filter *s)
{
    const bool aligned = ((uintptr_t)s->dst | ((size_t)s->dst_pitch * sizeof(FC_REAL))) % FC_VEC_BYTES == 0;
    const bool streams = s->streams && aligned;
    ptrdiff_t column = 0;
    for (; column + FC_FILTER_VECTORS * FC_LANES <= s->columns; column += FC_FILTER_VECTORS * FC_LANES)
        square_tile(s, column, streams);
    if (streams)
        fc_end_stream();
    return column;
}

FC_INLINE void filter(const int rows, const fc_filter *s, ptrdiff_t column)
{
    for (; column + FC_FILTER_VECTORS * FC_LANES <= s->columns; column += FC_FILTER_VECTORS * FC_LANES)
        tile(rows, FC_FILTER_VECTORS, s, column, FC_LANES);
    for (; column < s->columns; column += FC_LANES)
        tile(rows, 1, s, column, fc_lanes_left(s->columns, column));
}

/* On results that are still in L1: all activations inlined into every tile were 150 KB of code. */
static void activate(const fc_filter *s)
{
    const fc_epilogue *e = s->epilogue;
    for (int r = 0; r < s->rows; r++) {
        FC_REAL *dst = (FC_REAL *)s->dst + r * s->dst_pitch;
        for (ptrdiff_t i = 0; i < s->columns; i += FC_LANES) {
            const int lanes = fc_lanes_left(s->columns, i);
            const fc_vec value = fc_load_lanes(dst + i, lanes);
            fc_store_lanes(dst + i, fc_finish(e, value), lanes);
        }
    }
}

void FC_NAME(conv_filter)(const fc_filter *s)
{
    switch (s->rows) {
    case 1:
        filter(1, s, 0);
        break;
    case 2:
        filter(2, s, 0);
        break;
    case 3:
        filter(3, s, s->kernel_rows == 3 && s->taps == 3 ? square_columns(s) : 0);
        break;
    default:
        filter(4, s, 0);
    }
    if (s->epilogue->activation != FC_IDENTITY)
        activate(s);
}
