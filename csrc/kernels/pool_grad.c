/* The gradients of pooling: shares of averages spread over their windows, gradients of maxima put where they stood. */
#include "dispatch/pool_kernels.h"
#include "simd.h"

fc_pool_spread_fn FC_NAME(spread_plane), FC_NAME(spread_channel);
fc_pool_put_fn FC_NAME(put_channel);
fc_pool_inside_fn FC_NAME(places_inside);
fc_pool_scatter_fn FC_NAME(scatter);

/* line[x + pad] = sum of the shares of the windows at stride 1 that hold column x, in their order; returns how many
 * columns of a row any window holds. */
static ptrdiff_t spread_dense(const fc_pool_windows *w, const FC_REAL *g, FC_REAL *line)
{
    const ptrdiff_t length = w->count + (w->kernel - 1) * w->dilation, columns = length - w->pad;
    const FC_REAL *counts = w->column_counts, divisor = (FC_REAL)w->row_divisor;
    for (ptrdiff_t x = 0; x < length; x++)
        line[x] = 0;
    for (ptrdiff_t k = w->kernel - 1; k >= 0; k--) {
        FC_REAL *to = line + k * w->dilation;
        for (ptrdiff_t j = 0; j < w->count; j += FC_LANES) {
            const int lanes = fc_lanes_left(w->count, j);
            const fc_vec share = fc_load_lanes(g + j, lanes) / (divisor * fc_load_lanes(counts + j, lanes));
            fc_store_lanes(to + j, fc_load_lanes(to + j, lanes) + share, lanes);
        }
    }
    return columns < w->width ? columns : w->width;
}

/* rows[r][x] += grad[j] / (row_divisor * column_counts[j]) for each window j that holds column x: first into a line. */
void FC_NAME(spread_plane)(const fc_pool_windows *w, void *const *rows, ptrdiff_t row_count, const void *grad)
{
    const FC_REAL *g = grad, *counts = w->column_counts;
    FC_REAL *line = w->line;
    ptrdiff_t columns = w->width;
    if (w->uniform && w->stride == 1) {
        columns = spread_dense(w, g, line);
        line += w->pad;
    } else {
        for (ptrdiff_t x = 0; x < w->width; x++)
            line[x] = 0;
        for (ptrdiff_t j = 0; j < w->count; j++) {
            const fc_pool_span span = w->columns[j];
            const FC_REAL share = g[j] / ((FC_REAL)w->row_divisor * counts[j]);
            for (ptrdiff_t x = span.begin; x < span.end; x += w->dilation)
                line[x] += share;
        }
    }
    for (ptrdiff_t r = 0; r < row_count; r++) {
        FC_REAL *row = rows[r];
        for (ptrdiff_t x = 0; x < columns; x += FC_LANES) {
            const int lanes = fc_lanes_left(columns, x);
            fc_store_lanes(row + x, fc_load_lanes(row + x, lanes) + fc_load_lanes(line + x, lanes), lanes);
        }
    }
}

FC_INLINE fc_vec share_of(const fc_pool_windows *w, const FC_REAL *grad, ptrdiff_t j, ptrdiff_t c, int lanes)
{
    const FC_REAL divisor = (FC_REAL)w->row_divisor * ((const FC_REAL *)w->column_counts)[j];
    return fc_load_lanes(grad + j * w->dst_step + c, lanes) / divisor;
}

/* A vector of channels of windows that overlap: shares add up along a line of columns, and the line goes to the rows.
 */
static void spread_line(const fc_pool_windows *w, void *const *rows, ptrdiff_t row_count, const FC_REAL *grad,
                        ptrdiff_t c)
{
    const int lanes = fc_lanes_left(w->channels, c);
    FC_REAL *const line = w->line;
    for (ptrdiff_t x = 0; x < w->width; x++)
        fc_store(line + x * FC_LANES, fc_zero());
    for (ptrdiff_t j = 0; j < w->count; j++) {
        const fc_vec share = share_of(w, grad, j, c, lanes);
        for (ptrdiff_t x = w->columns[j].begin; x < w->columns[j].end; x += w->dilation)
            fc_store(line + x * FC_LANES, fc_load(line + x * FC_LANES) + share);
    }
    for (ptrdiff_t r = 0; r < row_count; r++) {
        FC_REAL *at = (FC_REAL *)rows[r] + c;
        for (ptrdiff_t x = 0; x < w->width; x++, at += w->src_step)
            fc_store_lanes(at, fc_load_lanes(at, lanes) + fc_load(line + x * FC_LANES), lanes);
    }
}

/* rows[r][x][c] += grad[j][c] / (row_divisor * column_counts[j]) for each column x of each window j. */
void FC_NAME(spread_channel)(const fc_pool_windows *w, void *const *rows, ptrdiff_t row_count, const void *grad)
{
    if (w->uniform && w->stride < w->kernel) {
        for (ptrdiff_t c = 0; c < w->channels; c += FC_LANES)
            spread_line(w, rows, row_count, grad, c);
        return;
    }
    for (ptrdiff_t j = 0; j < w->count; j++) {
        const fc_pool_span span = w->columns[j];
        for (ptrdiff_t c = 0; c < w->channels; c += FC_LANES) {
            const int lanes = fc_lanes_left(w->channels, c);
            const fc_vec share = share_of(w, grad, j, c, lanes);
            for (ptrdiff_t r = 0; r < row_count; r++) {
                for (ptrdiff_t x = span.begin; x < span.end; x += w->dilation) {
                    FC_REAL *at = (FC_REAL *)rows[r] + x * w->src_step + c;
                    fc_store_lanes(at, fc_load_lanes(at, lanes) + share, lanes);
                }
            }
        }
    }
}

/* Places that fit the integers that go with a vector's lanes; -1 behind the last lane. */
FC_INLINE fc_mask load_places(const int64_t *indices, int lanes)
{
    int64_t some[FC_LANES];
    if (lanes < FC_LANES) {
        memset(some, 0xff, sizeof some);
        memcpy(some, indices, (size_t)lanes * sizeof *indices);
        indices = some;
    }
    const FC_REAL *const words = (const FC_REAL *)(const void *)indices;
#if FC_REAL_BITS == 32
    return (fc_mask)fc_even(fc_load(words), fc_load(words + FC_LANES)); /* the lower halves */
#else
    return (fc_mask)fc_load(words);
#endif
}

/* `vectors` vectors of channels from c on, of window j: every place of it is compared with theirs, so that nothing is
 * scattered. Returns whether all stand in the window, or nowhere. */
FC_INLINE bool put_channels(const int vectors, const fc_pool_windows *w, void *const *rows, const ptrdiff_t *positions,
                            ptrdiff_t row_count, ptrdiff_t j, ptrdiff_t c, int lanes, const FC_REAL *grad,
                            const int64_t *indices)
{
    const fc_pool_span span = w->columns[j];
    fc_vec g[4];
    fc_mask where[4], found[4];
    for (int v = 0; v < vectors; v++) {
        g[v] = fc_load_lanes(grad + v * FC_LANES, lanes);
        where[v] = load_places(indices + v * FC_LANES, lanes);
        found[v] = where[v] < 0;
    }
    for (ptrdiff_t r = 0; r < row_count; r++) {
        FC_REAL *to = (FC_REAL *)rows[r] + span.begin * w->src_step + c;
        for (ptrdiff_t x = span.begin; x < span.end; x += w->dilation, to += w->dilation * w->src_step) {
            const fc_mask here = (fc_mask){0} + (fc_int)(positions[r] + x);
            for (int v = 0; v < vectors; v++) {
                const fc_mask is = where[v] == here;
                found[v] |= is;
                fc_vec share = (fc_vec)(is & (fc_mask)g[v]);
                if (!w->alone)
                    share += fc_load_lanes(to + v * FC_LANES, lanes);
                fc_store_lanes(to + v * FC_LANES, share, lanes);
            }
        }
    }
    bool all = true;
    for (int v = 0; v < vectors; v++)
        all &= !fc_any(~found[v]);
    return all;
}

/* rows[r][x][c] += grad[j][c] where indices[j][c] is the position of column x of row r in window j. */
bool FC_NAME(put_channel)(const fc_pool_windows *w, void *const *rows, const ptrdiff_t *positions, ptrdiff_t row_count,
                          const void *grad, const int64_t *indices, ptrdiff_t index_step)
{
    const FC_REAL *g = grad;
    bool all = true;
    for (ptrdiff_t j = 0; j < w->count; j++, g += w->dst_step, indices += index_step) {
        ptrdiff_t c = 0;
        for (; c + 4 * FC_LANES <= w->channels; c += 4 * FC_LANES)
            all &= put_channels(4, w, rows, positions, row_count, j, c, FC_LANES, g + c, indices + c);
        for (; c < w->channels; c += FC_LANES)
            all &=
                put_channels(1, w, rows, positions, row_count, j, c, fc_lanes_left(w->channels, c), g + c, indices + c);
    }
    return all;
}

/* A difference that is negative, or wraps, has the upper bit: no comparison, which not every processor has vectors of.
 */
bool FC_NAME(places_inside)(const int64_t *indices, ptrdiff_t count, int64_t end)
{
    uint64_t outside = 0;
    for (ptrdiff_t i = 0; i < count; i++)
        outside |= ((uint64_t)indices[i] + 1) | ((uint64_t)end - 1 - (uint64_t)indices[i]);
    return outside >> 63 == 0;
}

/* dst[indices[p][c] * dst_step + c] += grad[p][c], pixel by pixel; of a plane, one after the other. */
void FC_NAME(scatter)(ptrdiff_t pixels, ptrdiff_t channels, const void *grad, ptrdiff_t grad_step,
                      const int64_t *indices, ptrdiff_t index_step, void *dst, ptrdiff_t dst_step)
{
    const FC_REAL *g = grad;
    FC_REAL *to = dst;
    if (channels == 1 && grad_step == 1 && index_step == 1 && dst_step == 1) {
        for (ptrdiff_t p = 0; p < pixels; p++)
            if (indices[p] >= 0)
                to[indices[p]] += g[p];
        return;
    }
    for (ptrdiff_t p = 0; p < pixels; p++, g += grad_step, indices += index_step)
        for (ptrdiff_t c = 0; c < channels; c++)
            if (indices[c] >= 0)
                to[indices[c] * dst_step + c] += g[c];
}
