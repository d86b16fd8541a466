/* What fills the plane family's bands and panels. */
#include "dispatch/conv_kernels.h"
#include "simd.h"
#include "steps.h"

FC_INLINE void clear(FC_REAL *dst, ptrdiff_t count)
{
    for (ptrdiff_t j = 0; j < count; j += FC_LANES)
        fc_store_lanes(dst + j, fc_zero(), fc_lanes_left(count, j));
}

FC_INLINE void copy(FC_REAL *dst, const FC_REAL *src, ptrdiff_t count)
{
    for (ptrdiff_t j = 0; j < count; j += FC_LANES) {
        const int lanes = fc_lanes_left(count, j);
        fc_store_lanes(dst + j, fc_load_lanes(src + j, lanes), lanes);
    }
}

/* The `index`-th vector of `count` elements; what lies past them is zero. */
FC_INLINE fc_vec load_vector(const FC_REAL *p, ptrdiff_t count, int index)
{
    const ptrdiff_t left = fc_clamp(count - index * FC_LANES, 0, FC_LANES);
    return left > 0 ? fc_load_lanes(p + index * FC_LANES, (int)left) : fc_zero();
}

/* dst[j] = src[j * step]. */
FC_INLINE void sample(FC_REAL *dst, const FC_REAL *src, ptrdiff_t count, ptrdiff_t step)
{
    if ((step != 2 && step != 4) || count < 1) {
        for (ptrdiff_t j = 0; j < count; j++)
            dst[j] = src[j * step];
        return;
    }
    ptrdiff_t j = 0;
    for (; j + FC_LANES < count; j += FC_LANES, src += FC_LANES * step) { /* the next vector's first is there to read */
        fc_vec value = fc_even(fc_load(src), fc_load(src + FC_LANES));
        if (step == 4)
            value = fc_even(value, fc_even(fc_load(src + 2 * FC_LANES), fc_load(src + 3 * FC_LANES)));
        fc_store(dst + j, value);
    }
    const int lanes = fc_lanes_left(count, j);
    if (j > 0) { /* the last vector, of which the last element is the last one that is wanted */
        src -= (FC_LANES - lanes) * step + step - 1;
        fc_vec value = fc_odd(fc_load(src), fc_load(src + FC_LANES));
        if (step == 4)
            value = fc_odd(value, fc_odd(fc_load(src + 2 * FC_LANES), fc_load(src + 3 * FC_LANES)));
        fc_store(dst + count - FC_LANES, value);
        return;
    }
    const ptrdiff_t left = (lanes - 1) * step + 1; /* elements up to the last one that is wanted */
    fc_vec value = fc_even(load_vector(src, left, 0), load_vector(src, left, 1));
    if (step == 4)
        value = fc_even(value, fc_even(load_vector(src, left, 2), load_vector(src, left, 3)));
    fc_store_lanes(dst + j, value, lanes);
}

/* dst[i][j] = src[row_first + i * row_step][col_first + j * col_step], zero outside the plane. */
void FC_NAME(copy_rectangle)(const fc_rectangle *s)
{
    FC_REAL *dst = s->dst;
    const ptrdiff_t begin = fc_clamp(fc_steps_to(s->col_first, s->col_step, 0), 0, s->cols);
    const ptrdiff_t end = fc_clamp(fc_steps_to(s->col_first, s->col_step, s->src_cols), begin, s->cols);
    const ptrdiff_t last = s->row_first + (s->rows - 1) * s->row_step;
    const bool whole = s->cols == s->src_pitch && end - begin == s->cols && s->col_step == 1 && s->row_step == 1;
    if (whole && s->row_first >= 0 && last < s->src_rows) { /* rows without a gap */
        const FC_REAL *src = (const FC_REAL *)s->src + s->row_first * s->src_pitch + s->col_first;
        copy(dst, src, s->rows * s->cols);
        return;
    }
    for (ptrdiff_t i = 0; i < s->rows; i++, dst += s->cols) {
        const ptrdiff_t row = s->row_first + i * s->row_step;
        if (row < 0 || row >= s->src_rows || begin == end) {
            clear(dst, s->cols);
            continue;
        }
        const FC_REAL *src = (const FC_REAL *)s->src + row * s->src_pitch + s->col_first + begin * s->col_step;
        clear(dst, begin);
        if (s->col_step == 1)
            copy(dst + begin, src, end - begin);
        else
            sample(dst + begin, src, end - begin, s->col_step);
        clear(dst + end, s->cols - end);
    }
}

/* One product of a panel in so many whole vectors. */
FC_INLINE void copy_vectors(const fc_panel *s, const int vectors)
{
    const FC_REAL *src = (const FC_REAL *)s->src + s->segments[0].offset;
    FC_REAL *dst = s->dst;
    for (ptrdiff_t i = 0; i < s->count; i++, dst += s->pitch) {
        const FC_REAL *from = src + s->offsets[i];
        _Pragma("GCC unroll 8") for (int v = 0; v < vectors; v++)
        {
            __builtin_prefetch(from + (vectors + v) * FC_LANES); /* the next panel's */
            fc_store(dst + v * FC_LANES, fc_load(from + v * FC_LANES));
        }
    }
}

void FC_NAME(copy_panel)(const fc_panel *s)
{
    const fc_segment *last = &s->segments[s->segment_count - 1];
    if (s->segment_count == 1 && last->count % FC_LANES == 0) {
        switch (last->count / FC_LANES) {
        case 1:
            copy_vectors(s, 1);
            return;
        case 2:
            copy_vectors(s, 2);
            return;
        case 3:
            copy_vectors(s, 3);
            return;
        case 4:
            copy_vectors(s, 4);
            return;
        }
    }
    const int tail = (last->count - 1) % FC_LANES + 1, end = last->begin + last->count;
    FC_REAL *dst = s->dst;
    for (ptrdiff_t i = 0; i < s->count; i++, dst += s->pitch) {
        const FC_REAL *src = (const FC_REAL *)s->src + s->offsets[i];
        for (const fc_segment *segment = s->segments; segment < last; segment++)
            for (int j = 0; j < segment->count; j += FC_LANES)
                fc_store(dst + segment->begin + j, fc_load(src + segment->offset + j));
        FC_REAL *to = dst + last->begin;
        src += last->offset;
        for (int j = 0; j < last->count - tail; j += FC_LANES)
            fc_store(to + j, fc_load(src + j));
        fc_store(to + last->count - tail, fc_load_lanes(src + last->count - tail, tail));
        if (end % FC_LANES != 0)
            fc_store(dst + end, fc_zero());
    }
}
