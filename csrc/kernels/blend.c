/* Weighted sums of lines, and of places along a line: interpolation between pixels, and its gradient. */
#include "dispatch/line_kernels.h"
#include "simd.h"

fc_blend_rows_fn FC_NAME(blend_rows);
fc_blend_columns_fn FC_NAME(blend_columns);

enum { TOGETHER = 4 };

FC_INLINE fc_vec add_line(const fc_lines *s, ptrdiff_t t, ptrdiff_t i, int lanes, fc_vec total)
{
    const fc_vec x = fc_load_lanes((const FC_REAL *)s->src[t] + i, lanes);
    return total + x * fc_splat(((const FC_REAL *)s->weights)[t]);
}

void FC_NAME(blend_rows)(const fc_lines *s, ptrdiff_t count, void *line)
{
    FC_REAL *dst = line;
    ptrdiff_t i = 0;
    for (; i + TOGETHER * FC_LANES <= count; i += TOGETHER * FC_LANES) {
        fc_vec total[TOGETHER] = {{0}};
        for (ptrdiff_t t = 0; t < s->taps; t++)
            for (int v = 0; v < TOGETHER; v++)
                total[v] = add_line(s, t, i + v * FC_LANES, FC_LANES, total[v]);
        for (int v = 0; v < TOGETHER; v++)
            fc_store(dst + i + v * FC_LANES, total[v]);
    }
    for (; i < count; i += FC_LANES) {
        const int lanes = fc_lanes_left(count, i);
        fc_vec total = {0};
        for (ptrdiff_t t = 0; t < s->taps; t++)
            total = add_line(s, t, i, lanes, total);
        fc_store_lanes(dst + i, total, lanes);
    }
}

/* Pixels of one element. */
static void blend_elements(const fc_blend_columns *s, FC_REAL *FC_RESTRICT dst)
{
    const FC_REAL *src = s->src, *weights = s->weights;
    const ptrdiff_t *places = s->places;
    if (s->taps == 2) {
        for (ptrdiff_t i = 0; i < s->count; i++, places += 2, weights += 2)
            dst[i] = src[places[0]] * weights[0] + src[places[1]] * weights[1];
        return;
    }
    for (ptrdiff_t i = 0; i < s->count; i++) {
        FC_REAL total = 0;
        for (ptrdiff_t t = s->begin[i]; t < s->begin[i + 1]; t++)
            total += src[places[t]] * weights[t];
        dst[i] = total;
    }
}

/* Channels c on of pixel i. */
FC_INLINE fc_vec blend_pixel(const fc_blend_columns *s, ptrdiff_t i, ptrdiff_t c, int lanes)
{
    const FC_REAL *src = s->src, *weights = s->weights;
    fc_vec total = {0};
    for (ptrdiff_t t = s->begin[i]; t < s->begin[i + 1]; t++)
        total += fc_load_lanes(src + s->places[t] * s->trail + c, lanes) * fc_splat(weights[t]);
    return total;
}

void FC_NAME(blend_columns)(const fc_blend_columns *s, void *line)
{
    const ptrdiff_t trail = s->trail;
    FC_REAL *dst = line;
    if (trail == 1) {
        blend_elements(s, dst);
        return;
    }
    for (ptrdiff_t i = 0; i < s->count; i++, dst += trail) {
        if (s->taps != 2) {
            for (ptrdiff_t c = 0; c < trail; c += FC_LANES) {
                const int lanes = fc_lanes_left(trail, c);
                fc_store_lanes(dst + c, blend_pixel(s, i, c, lanes), lanes);
            }
            continue;
        }
        const ptrdiff_t *places = s->places + 2 * i;
        const FC_REAL *a = (const FC_REAL *)s->src + places[0] * trail;
        const FC_REAL *b = (const FC_REAL *)s->src + places[1] * trail;
        const fc_vec at_a = fc_splat(((const FC_REAL *)s->weights)[2 * i]);
        const fc_vec at_b = fc_splat(((const FC_REAL *)s->weights)[2 * i + 1]);
        for (ptrdiff_t c = 0; c < trail; c += FC_LANES) {
            const int lanes = fc_lanes_left(trail, c);
            const fc_vec x = fc_load_lanes(a + c, lanes), y = fc_load_lanes(b + c, lanes);
            fc_store_lanes(dst + c, x * at_a + y * at_b, lanes);
        }
    }
}
