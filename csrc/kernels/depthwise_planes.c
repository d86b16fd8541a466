/* Channels-first convolutions of groups of few channels: vectors run along pixels. One call takes many groups, so that
 * small planes do not pay for calls. */
#include "dispatch/conv_kernels.h"
#include "epilogue.h"
#include "simd.h"
#include "steps.h"

#define FC_UNROLL _Pragma("GCC unroll 32")

enum { LINE = FC_ALIGNMENT / sizeof(FC_REAL) }; /* elements of a line of a cache */
enum { MOST_VECTORS = 8 }; /* two multiply-adds a cycle of latency four want eight independent sums */

/* dst[j] = src[j * step], of a row that has `left` elements from src on. A last vector that hangs over is moved back
 * instead. */
FC_INLINE void copy_row(const FC_REAL *src, ptrdiff_t step, ptrdiff_t count, ptrdiff_t left, FC_REAL *dst)
{
    ptrdiff_t j = 0;
    if (step == 1) {
        for (; j + FC_LANES <= count; j += FC_LANES)
            fc_store(dst + j, fc_load(src + j));
        if (j < count && count >= FC_LANES)
            fc_store(dst + count - FC_LANES, fc_load(src + count - FC_LANES));
        else if (j < count)
            fc_store_tail(dst + j, fc_load_tail(src + j, (int)(count - j)), (int)(count - j));
        return;
    }
    if (step == 2 && count >= FC_LANES) {
        for (; j + FC_LANES <= count && (j + FC_LANES) * 2 <= left; j += FC_LANES)
            fc_store(dst + j, fc_even(fc_load(src + 2 * j), fc_load(src + 2 * j + FC_LANES)));
        if (j < count) { /* the last lane's neighbour may lie outside the array */
            const FC_REAL *from = src + 2 * (count - FC_LANES);
            fc_store(dst + count - FC_LANES, fc_even(fc_load(from), fc_load_tail(from + FC_LANES, FC_LANES - 1)));
        }
        return;
    }
    if (step == 2 && FC_FREE_TAILS && count > 0) {
        const int rest = left < 2 * count ? (int)left : (int)(2 * count);
        const fc_vec low = fc_load_lanes(src, rest < FC_LANES ? rest : FC_LANES);
        const fc_vec high = fc_load_tail(src + (rest > FC_LANES ? FC_LANES : 0), rest > FC_LANES ? rest - FC_LANES : 0);
        fc_store_tail(dst, fc_even(low, high), (int)count);
        return;
    }
    for (; j < count; j++)
        dst[j] = src[j * step];
}

/* The columns of one slot that lie inside the plane. */
typedef struct {
    ptrdiff_t at, count, to; /* from there in a row, so many, to there in the band's */
} slot_columns;

static slot_columns columns_of(const fc_depthwise_planes *s, ptrdiff_t slot)
{
    const ptrdiff_t col = s->col_first + slot * s->col_offset;
    const ptrdiff_t begin = fc_clamp(fc_steps_to(col, s->col_step, 0), 0, s->pitch);
    const ptrdiff_t end = fc_clamp(fc_steps_to(col, s->col_step, s->src_cols), begin, s->pitch);
    return (slot_columns){col + begin * s->col_step, end - begin, begin};
}

/* Columns of two slots, every second one each, that lie side by side and so come from the same loads. */
typedef struct {
    ptrdiff_t at, even, odd, count; /* from there in a row, to there in the band's, so many of each: whole vectors */
} slot_pair;

/* What is left of a slot after `done` columns, with a whole vector where it has one. */
static slot_columns rest_of(slot_columns slot, ptrdiff_t done)
{
    const ptrdiff_t last = slot.count - FC_LANES, first = done < slot.count && 0 < last && last < done ? last : done;
    return (slot_columns){slot.at + 2 * first, slot.count - first, slot.to + first};
}

/* The pair of two slots, `slot` elements apart, which keep the rest. */
static slot_pair pair_of(const fc_depthwise_planes *s, ptrdiff_t slot, slot_columns *one, slot_columns *other)
{
    const bool ascending = one->at < other->at;
    const slot_columns *even = ascending ? one : other, *odd = ascending ? other : one;
    slot_pair pair = {.at = even->at, .even = even->to, .odd = odd->to};
    *(ascending ? &pair.odd : &pair.even) += slot;
    const ptrdiff_t inside = (s->src_cols - even->at) / (2 * FC_LANES), both = fc_clamp(odd->count, 0, even->count);
    if (s->col_step != 2 || odd->at != even->at + 1 || both < FC_LANES || inside < 1)
        return pair;
    pair.count = fc_clamp(both / FC_LANES, 0, inside) * FC_LANES;
    *one = rest_of(*one, pair.count);
    *other = rest_of(*other, pair.count);
    return pair;
}

/* Slots of some channels: all of rows by two at most of columns, in the order of the plane's rows, so that the memory
 * foresees them. What lies outside the plane stays as it is, zero. */
static void fill_columns(const fc_depthwise_planes *s, const FC_REAL *plane, ptrdiff_t first, ptrdiff_t channels,
                         FC_REAL *band)
{
    const ptrdiff_t slot = s->rows * s->pitch, row_slot = s->slots_w * slot, two = s->slots_w - first > 1;
    slot_columns one = columns_of(s, first), other = columns_of(s, first + two);
    const slot_pair pair = pair_of(s, slot, &one, &other);
    for (ptrdiff_t c = 0; c < channels; c++, plane += s->src_rows * s->src_cols)
        for (ptrdiff_t i = 0; i < s->rows; i++)
            for (ptrdiff_t a = 0; a < s->slots_h; a++) {
                const ptrdiff_t row = s->row_first + i * s->row_step + a * s->row_offset;
                const FC_REAL *src = plane + row * s->src_cols;
                FC_REAL *dst = band + (c * s->slots_h + a) * row_slot + first * slot + i * s->pitch;
                if (row < 0 || row >= s->src_rows)
                    continue;
                for (ptrdiff_t j = 0; j < pair.count; j += FC_LANES) {
                    const FC_REAL *from = src + pair.at + 2 * j;
                    const fc_vec low = fc_load(from), high = fc_load(from + FC_LANES);
                    fc_store(dst + pair.even + j, fc_even(low, high));
                    fc_store(dst + pair.odd + j, fc_odd(low, high));
                }
                if (one.count > 0)
                    copy_row(src + one.at, s->col_step, one.count, s->src_cols - one.at, dst + one.to);
                if (two && other.count > 0)
                    copy_row(src + other.at, s->col_step, other.count, s->src_cols - other.at, dst + slot + other.to);
            }
}

static void fill(const fc_depthwise_planes *s, const FC_REAL *plane, ptrdiff_t channels, FC_REAL *band)
{
    for (ptrdiff_t b = 0; b < s->slots_w; b += 2)
        fill_columns(s, plane, b, channels, band);
}

/* acc[v] = (acc[v] or start) + sum over t < taps of weights[t] * src[offsets[t] …]. */
FC_INLINE void tile(const int vectors, const FC_REAL *src, const ptrdiff_t *offsets, ptrdiff_t taps,
                    const FC_REAL *weights, FC_REAL *acc, const FC_REAL *start)
{
    fc_vec sum[MOST_VECTORS];
    FC_UNROLL for (int v = 0; v < vectors; v++)
        sum[v] = start ? fc_splat(*start) : fc_zero();
    for (ptrdiff_t t = 0; t < taps; t++) {
        const fc_vec w = fc_splat(weights[t]);
        const FC_REAL *from = src + offsets[t];
        FC_UNROLL for (int v = 0; v < vectors; v++)
            sum[v] += fc_load(from + v * FC_LANES) * w;
    }
    FC_UNROLL for (int v = 0; v < vectors; v++)
        fc_store(acc + v * FC_LANES, start ? sum[v] : fc_load(acc + v * FC_LANES) + sum[v]);
}

static void tile_of(ptrdiff_t vectors, const FC_REAL *src, const ptrdiff_t *offsets, ptrdiff_t taps,
                    const FC_REAL *weights, FC_REAL *acc, const FC_REAL *start)
{
    switch (vectors) {
#define CASE(v)                                                                                                        \
    case v:                                                                                                            \
        tile(v, src, offsets, taps, weights, acc, start);                                                              \
        break;
        CASE(1)
        CASE(2)
        CASE(3)
        CASE(4)
        CASE(5)
        CASE(6)
        CASE(7)
        CASE(8)
    }
}

static void sum_line(const fc_depthwise_planes *s, const FC_REAL *band, const FC_REAL *weights, const FC_REAL *start,
                     FC_REAL *sums)
{
    const ptrdiff_t line = (s->out_rows - 1) * s->pitch + s->out_cols;
    const ptrdiff_t vectors = (line + FC_LANES - 1) / FC_LANES, tiles = (vectors + MOST_VECTORS - 1) / MOST_VECTORS;
    for (ptrdiff_t i = 0; i < tiles; i++) {
        const ptrdiff_t first = vectors * i / tiles, count = vectors * (i + 1) / tiles - first;
        const FC_REAL *src = band + first * FC_LANES;
        FC_REAL *acc = sums + first * FC_LANES;
        ptrdiff_t t = 0;
        do {
            const ptrdiff_t taps = s->taps - t < s->piece ? s->taps - t : s->piece;
            tile_of(count, src, s->offsets + t, taps, weights + t, acc, t == 0 ? start : NULL);
            t += taps;
        } while (t < s->taps);
    }
}

/* The first `lanes` lanes at p, p + step, … */
FC_INLINE fc_vec load_apart(const FC_REAL *p, ptrdiff_t step, int lanes)
{
    if (step == 1)
        return fc_load_lanes(p, lanes);
    FC_REAL lane[FC_LANES] = {0};
    for (int i = 0; i < lanes; i++)
        lane[i] = p[i * step];
    return fc_load(lane);
}

FC_INLINE void store_apart(FC_REAL *p, ptrdiff_t step, int lanes, fc_vec value)
{
    if (step == 1) {
        fc_store_lanes(p, value, lanes);
        return;
    }
    FC_REAL lane[FC_LANES];
    fc_store(lane, value);
    for (int i = 0; i < lanes; i++)
        p[i * step] = lane[i];
}

/* dst[2 * j] = acc[j]; what stands between is read, and written again, up to the last vector. */
static void store_between(const FC_REAL *acc, ptrdiff_t count, FC_REAL *dst)
{
    ptrdiff_t j = 0;
    for (; j + FC_LANES < count; j += FC_LANES) {
        const fc_vec own = fc_load(acc + j), other = fc_odd(fc_load(dst + 2 * j), fc_load(dst + 2 * j + FC_LANES));
        fc_store(dst + 2 * j, fc_zip_low(own, other));
        fc_store(dst + 2 * j + FC_LANES, fc_zip_high(own, other));
    }
    for (; j < count; j++)
        dst[2 * j] = acc[j];
}

static void store_line(const fc_depthwise_planes *s, const FC_REAL *sums, ptrdiff_t channel)
{
    const fc_epilogue *e = s->epilogue;
    const bool plain = !s->residual && e->activation == FC_IDENTITY;
    for (ptrdiff_t r = 0; r < s->out_rows; r++) {
        const FC_REAL *acc = sums + r * s->pitch;
        const ptrdiff_t row = channel * s->dst_channel + r * s->dst_row;
        if (plain && s->dst_col == 2 && s->owns_rows) {
            for (ptrdiff_t i = 0; i < 2 * s->out_cols; i += LINE) /* of the next channel: rows apart are not foreseen */
                __builtin_prefetch((const FC_REAL *)s->dst + row + s->dst_channel + i, 1);
            store_between(acc, s->out_cols, (FC_REAL *)s->dst + row);
            continue;
        }
        if (plain && s->dst_col == 1) {
            copy_row(acc, 1, s->out_cols, s->out_cols, (FC_REAL *)s->dst + row);
            continue;
        }
        for (ptrdiff_t j = 0; j < s->out_cols; j += FC_LANES) {
            const int lanes = fc_lanes_left(s->out_cols, j);
            const ptrdiff_t at = row + j * s->dst_col;
            fc_vec value = fc_load(acc + j);
            if (s->residual)
                value += load_apart((const FC_REAL *)s->residual + at, s->dst_col, lanes);
            value = fc_finish(e, value);
            store_apart((FC_REAL *)s->dst + at, s->dst_col, lanes, value);
        }
    }
}

fc_depthwise_planes_fn FC_NAME(depthwise_planes);

void FC_NAME(depthwise_planes)(const fc_depthwise_planes *s)
{
    const ptrdiff_t slots = s->slots_h * s->slots_w * s->rows * s->pitch, band = s->ic * slots;
    const FC_REAL zero = 0, *const weights = s->weights, *const bias = s->bias;
    FC_REAL *const bands = s->band;
    const ptrdiff_t together = s->groups < s->together ? s->groups : s->together;
    memset(bands, 0, (size_t)(together * band + FC_LANES) * sizeof(FC_REAL));
    for (ptrdiff_t g = 0; g < s->groups; g += together) {
        const ptrdiff_t count = s->groups - g < together ? s->groups - g : together;
        const ptrdiff_t first = g * s->oc, outputs = count * s->oc;
        fill(s, (const FC_REAL *)s->src + g * s->ic * s->src_rows * s->src_cols, count * s->ic, bands);
        for (ptrdiff_t o = 0; o < outputs; o++)
            sum_line(s, bands + o / s->oc * band, weights + (first + o) * s->taps, bias ? bias + first + o : &zero,
                     (FC_REAL *)s->acc + o * s->acc_step);
        for (ptrdiff_t o = 0; o < outputs; o++)
            store_line(s, (const FC_REAL *)s->acc + o * s->acc_step, first + o);
    }
}
