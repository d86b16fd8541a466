/* What carries finished accumulators to the result: bias, residual and activation on the way. */
#include "dispatch/conv_kernels.h"
#include "epilogue.h"
#include "tiles.h"

/* The first `count` lanes at p, p + step, … */
FC_INLINE fc_vec load_lanes(const FC_REAL *p, ptrdiff_t step, int count)
{
    if (step == 1)
        return fc_load_lanes(p, count);
    FC_REAL lane[FC_LANES] = {0};
    for (int i = 0; i < count; i++)
        lane[i] = p[i * step];
    return fc_load(lane);
}

FC_INLINE void store_lanes(FC_REAL *p, ptrdiff_t step, int count, fc_vec value)
{
    if (step == 1) {
        fc_store_lanes(p, value, count);
    } else {
        FC_REAL lane[FC_LANES];
        fc_store(lane, value);
        for (int i = 0; i < count; i++)
            p[i * step] = lane[i];
    }
}

/* Neighbouring channels and nothing but bias and a constant activation: one vector of channels, row after row. */
FC_INLINE void store_simple_rows(const fc_row_store *s, const fc_activation activation)
{
    for (int k = 0; k < s->live; k += FC_LANES) {
        const int count = fc_lanes_left(s->live, k);
        const FC_REAL *acc = (const FC_REAL *)s->acc + k;
        const fc_vec bias = s->bias ? fc_load_lanes((const FC_REAL *)s->bias + k, count) : fc_zero();
        FC_REAL *dst = (FC_REAL *)s->dst + k;
        if (count == FC_LANES)
            for (int r = 0; r < s->rows; r++, acc += s->stride)
                fc_store(dst + s->offsets[r], fc_activate(activation, 0, 0, fc_load(acc) + bias));
        else
            for (int r = 0; r < s->rows; r++, acc += s->stride)
                fc_store_tail(dst + s->offsets[r], fc_activate(activation, 0, 0, fc_load(acc) + bias), count);
    }
}

/* Channels that are planes: as many rows as lanes at most, neighbours in each plane, are turned in registers. */
FC_INLINE void store_turned(const fc_row_store *s, int first, int rows)
{
    for (int k = 0; k < s->live; k += FC_LANES) {
        const int channels = fc_lanes_left(s->live, k);
        const FC_REAL *acc = (const FC_REAL *)s->acc + first * (ptrdiff_t)s->stride + k;
        const fc_vec bias = s->bias ? fc_load_lanes((const FC_REAL *)s->bias + k, channels) : fc_zero();
        fc_vec v[FC_LANES];
        for (int i = 0; i < FC_LANES; i++)
            v[i] = i < rows ? fc_load(acc + i * s->stride) + bias : fc_zero();
        fc_transpose_lanes(v);
        for (int i = 0; i < channels; i++) {
            const ptrdiff_t at = s->offsets[first] + (k + i) * s->channel_step;
            if (s->residual)
                v[i] += fc_load_lanes((const FC_REAL *)s->residual + at, rows);
            fc_store_lanes((FC_REAL *)s->dst + at, fc_finish(s->epilogue, v[i]), rows);
        }
    }
}

static void store_planes(const fc_row_store *s)
{
    for (int r = 0, rows; r < s->rows; r += rows) {
        rows = 1;
        while (rows < FC_LANES && r + rows < s->rows && s->offsets[r + rows] == s->offsets[r] + rows)
            rows++;
        store_turned(s, r, rows);
    }
}

/* dst[offsets[r] + k * channel_step] = activation(acc[r][k] + bias[k] + residual[the same place]), k < live. */
static void store_rows(const fc_row_store *s)
{
    if (s->channel_step == 1 && !s->residual && s->epilogue->activation == FC_IDENTITY) {
        store_simple_rows(s, FC_IDENTITY);
        return;
    }
    if (s->channel_step == 1 && !s->residual && s->epilogue->activation == FC_RELU) {
        store_simple_rows(s, FC_RELU);
        return;
    }
    if (s->channel_step != 1) {
        store_planes(s);
        return;
    }
    const FC_REAL *acc = s->acc, *bias = s->bias, *residual = s->residual;
    FC_REAL *dst = s->dst;
    for (int r = 0; r < s->rows; r++, acc += s->stride) {
        for (int k = 0; k < s->live; k += FC_LANES) {
            const int count = fc_lanes_left(s->live, k);
            const ptrdiff_t at = s->offsets[r] + k;
            fc_vec value = fc_load(acc + k);
            if (bias)
                value += fc_load_lanes(bias + k, count);
            if (residual)
                value += fc_load_lanes(residual + at, count);
            fc_store_lanes(dst + at, fc_finish(s->epilogue, value), count);
        }
    }
}

/* Row r of a tile of channels-first results; a plain one has no residual, and its activation is `kind`. */
FC_INLINE void store_channel(const fc_plane_store *s, const FC_REAL *acc, int r, const fc_activation kind,
                             const bool plain)
{
    const FC_REAL *residual = s->residual;
    const fc_vec bias = fc_splat(s->bias ? ((const FC_REAL *)s->bias)[r] : (FC_REAL)-0.0);
    FC_REAL *dst = s->dst;
    for (int j = 0; j < s->count; j++) {
        const fc_segment *segment = &s->segments[j];
        const ptrdiff_t at = r * s->channel_step + segment->offset;
        const FC_REAL *from = acc + segment->begin; /* with a vector of slack behind its last row */
        for (int i = 0; i < segment->count; i += FC_LANES) {
            const int count = fc_lanes_left(segment->count, i);
            fc_vec value = fc_load(from + i) + bias;
            if (!plain && residual)
                value += load_lanes(residual + at + i * s->step, s->step, count);
            value = plain ? fc_activate(kind, 0, 0, value) : fc_finish(s->epilogue, value);
            if (plain)
                fc_store_lanes(dst + at + i, value, count);
            else
                store_lanes(dst + at + i * s->step, s->step, count, value);
        }
    }
}

/* Channels that lie side by side in dst: pixels are turned in registers. */
static void store_pixels(const fc_plane_store *s, const FC_REAL *acc, const fc_segment *segment, int first, int i)
{
    const int rows = fc_lanes_left(s->rows, first), count = fc_lanes_left(segment->count, i);
    fc_vec v[FC_LANES];
    for (int r = 0; r < FC_LANES; r++)
        v[r] = r < rows ? fc_load(acc + (first + r) * (ptrdiff_t)s->stride + segment->begin + i) : fc_zero();
    fc_transpose_lanes(v);
    const fc_vec bias = s->bias ? fc_load_lanes((const FC_REAL *)s->bias + first, rows) : fc_zero();
    for (int p = 0; p < count; p++) {
        const ptrdiff_t at = segment->offset + (i + p) * s->step + first;
        fc_vec value = v[p] + bias;
        if (s->residual)
            value += fc_load_lanes((const FC_REAL *)s->residual + at, rows);
        fc_store_lanes((FC_REAL *)s->dst + at, fc_finish(s->epilogue, value), rows);
    }
}

/* dst[r * channel_step + segment.offset + i * step] = activation(acc[r][segment.begin + i] + bias[r] + residual). */
static void store_plane(const fc_plane_store *s)
{
    const FC_REAL *acc = s->acc;
    const fc_activation kind = s->epilogue->activation;
    const bool plain = s->residual == NULL && s->step == 1;
    if (s->channel_step == 1 && s->step != 1) {
        for (int first = 0; first < s->rows; first += FC_LANES)
            for (int j = 0; j < s->count; j++)
                for (int i = 0; i < s->segments[j].count; i += FC_LANES)
                    store_pixels(s, acc, &s->segments[j], first, i);
        return;
    }
    for (int r = 0; r < s->rows; r++, acc += s->stride) {
        if (plain && kind == FC_IDENTITY)
            store_channel(s, acc, r, FC_IDENTITY, true);
        else if (plain && kind == FC_RELU)
            store_channel(s, acc, r, FC_RELU, true);
        else
            store_channel(s, acc, r, FC_IDENTITY, false);
    }
}

/* dst[p * dst_step + j * length + i] = src[j][p * src_step + i]. */
static void copy_stretches(const fc_stretches *s)
{
    const ptrdiff_t whole = s->length / FC_LANES * FC_LANES;
    const int rest = (int)(s->length - whole);
    for (ptrdiff_t p = 0; p < s->count; p++) {
        FC_REAL *dst = (FC_REAL *)s->dst + p * s->dst_step;
        for (ptrdiff_t j = 0; j < s->rows; j++, dst += s->length) {
            if (s->src[j] == NULL) {
                memset(dst, 0, (size_t)s->length * sizeof *dst);
                continue;
            }
            const FC_REAL *src = (const FC_REAL *)s->src[j] + p * s->src_step;
            for (ptrdiff_t i = 0; i < whole; i += FC_LANES)
                fc_store(dst + i, fc_load(src + i));
            fc_store_tail(dst + whole, fc_load_tail(src + whole, rest), rest);
        }
    }
}

/* dst[p * dst_pixel + c] = src[c * src_channel + p * src_step]. */
static void transpose(const void *from, ptrdiff_t src_channel, ptrdiff_t src_step, ptrdiff_t channels, ptrdiff_t pixels,
                      void *to, ptrdiff_t dst_pixel)
{
    const FC_REAL *FC_RESTRICT src = from;
    FC_REAL *FC_RESTRICT dst = to;
    enum { BLOCK = 8 }; /* rows read at once: each pixel then writes a run of BLOCK channels */
    ptrdiff_t c = 0;
    for (; c + BLOCK <= channels; c += BLOCK)
        for (ptrdiff_t p = 0; p < pixels; p++)
            for (int i = 0; i < BLOCK; i++)
                dst[p * dst_pixel + c + i] = src[(c + i) * src_channel + p * src_step];
    for (ptrdiff_t p = 0; p < pixels; p++)
        for (ptrdiff_t i = c; i < channels; i++)
            dst[p * dst_pixel + i] = src[i * src_channel + p * src_step];
}

fc_gather_fn FC_NAME(gather);

/* A row of several tiles; rows are too far apart for a processor to see where the next ones lie. */
FC_INLINE void copy_lanes(const fc_pack_tile *s, const FC_REAL *src, FC_REAL *dst)
{
    enum { AHEAD = 16 };
    for (ptrdiff_t tile = 0; tile < s->tiles; tile++, src += s->live, dst += s->tile_step) {
        for (ptrdiff_t i = 0; i < s->live; i += FC_LANES) {
            const int lanes = fc_lanes_left(s->live, i);
            __builtin_prefetch(src + AHEAD * s->channel_step + i);
            fc_store_lanes(dst + i, fc_load_lanes(src + i, lanes), lanes);
        }
        for (ptrdiff_t i = s->live; i < s->width; i++)
            dst[i] = 0;
    }
}

static void copy_scattered(const fc_pack_tile *s, const FC_REAL *src, FC_REAL *dst)
{
    for (ptrdiff_t tile = 0; tile < s->tiles; tile++, src += s->live * s->lane_step, dst += s->tile_step) {
        for (ptrdiff_t i = 0; i < s->live; i++)
            dst[i] = src[i * s->lane_step];
        for (ptrdiff_t i = s->live; i < s->width; i++)
            dst[i] = 0;
    }
}

/* Channels that are neighbours become lanes, tap by tap: the blocks of one follow each other in memory. */
static void pack_across(const fc_pack_tile *s)
{
    const ptrdiff_t block = s->taps == 1 ? s->channels : s->block;
    for (ptrdiff_t t = 0; t < s->taps; t++)
        for (ptrdiff_t first = 0; first < s->channels; first += block) {
            const ptrdiff_t left = s->channels - first, count = left < block ? left : block;
            FC_NAME(gather)
            (&(fc_gather){
                .src = (const FC_REAL *)s->src + s->taps_at[t] + first,
                .pixel_step = 1,
                .channel_step = s->lane_step,
                .pixels = count,
                .channels = s->live * s->tiles,
                .piece = (int)s->width,
                .width = (int)s->width,
                .pitch = s->width,
                .panel_step = s->tile_step,
                .dst = (FC_REAL *)s->dst + (first * s->taps + t * count) * s->width,
            });
        }
}

enum { DENSE_TAPS = 128 };

/* Where the weights of a lane lie that are neighbours, taps of a channel after each other: from `least` on the i-th of
 * a channel is tap tap_of[i]. */
typedef struct {
    ptrdiff_t least;
    bool in_order;
    unsigned char tap_of[DENSE_TAPS];
} neighbours;

static bool are_neighbours(const fc_pack_tile *s, neighbours *n)
{
    if (s->taps < 2 || s->taps > DENSE_TAPS)
        return false;
    ptrdiff_t last = s->taps_at[0];
    n->least = last;
    n->in_order = true;
    for (ptrdiff_t t = 1; t < s->taps; t++) {
        n->in_order = n->in_order && s->taps_at[t] > s->taps_at[t - 1];
        n->least = s->taps_at[t] < n->least ? s->taps_at[t] : n->least;
        last = s->taps_at[t] > last ? s->taps_at[t] : last;
    }
    if (last - n->least != s->taps - 1)
        return false;
    memset(n->tap_of, DENSE_TAPS, sizeof n->tap_of);
    for (ptrdiff_t t = 0; t < s->taps; t++) {
        unsigned char *tap = &n->tap_of[s->taps_at[t] - n->least];
        if (*tap != DENSE_TAPS) /* two taps of an array that overlaps itself, and another place is left out */
            return false;
        *tap = (unsigned char)t;
    }
    return true;
}

/* Neighbours of lanes from k on, and where they go: dst[tap][channel][width], or one after the other. */
typedef struct {
    const FC_REAL *src;
    ptrdiff_t count, taps;
    const unsigned char *tap_of;
    ptrdiff_t channel, channels; /* the first one's, and of the block */
    FC_REAL *dst, *end;
} stretch;

/* Vectors of weights become vectors of lanes. */
static void turn(const fc_pack_tile *s, const stretch *n, ptrdiff_t k)
{
    const int live = fc_lanes_left(s->live, k), lanes = fc_lanes_left(s->width, k);
    ptrdiff_t tap = 0, c = n->channel;
    for (ptrdiff_t begin = 0; begin < n->count; begin += FC_LANES) {
        const ptrdiff_t back = begin + FC_LANES - n->count,
                        from = back > 0 && n->count >= FC_LANES ? begin - back : begin;
        const int count = fc_lanes_left(n->count, from);
        const FC_REAL *src = n->src + k * s->lane_step + from;
        fc_vec v[FC_LANES];
        if (live == FC_LANES && count == FC_LANES) {
            _Pragma("GCC unroll 16") for (int i = 0; i < FC_LANES; i++) v[i] = fc_load(src + i * s->lane_step);
        } else {
            for (int i = 0; i < FC_LANES; i++)
                v[i] = i < live ? fc_load_lanes(src + i * s->lane_step, count) : fc_zero();
        }
        fc_transpose_lanes(v);
        for (ptrdiff_t i = begin - from; i < count; i++) {
            FC_REAL *dst = n->dst + (n->tap_of[tap] * n->channels + c) * s->width + k;
            /* what a narrow one writes past its lanes is overwritten by the next */
            if (lanes == FC_LANES || (s->width < FC_LANES && n->end - dst >= FC_LANES))
                fc_store(dst, v[i]);
            else
                fc_store_lanes(dst, v[i], lanes);
            if (++tap == n->taps) {
                tap = 0;
                c++;
            }
        }
    }
}

static void pack_turned(const fc_pack_tile *s, const neighbours *n)
{
    static const unsigned char ONE[1] = {0};
    const bool joined = s->channel_step == s->taps, plain = s->block == 1 && n->in_order;
    const ptrdiff_t block = plain ? s->channels : s->block;
    for (ptrdiff_t first = 0; first < s->channels; first += block) {
        const ptrdiff_t left = s->channels - first, channels = left < block ? left : block;
        const ptrdiff_t together = joined ? channels : 1;
        for (ptrdiff_t c = 0; c < channels; c += together)
            for (ptrdiff_t tile = 0; tile < s->tiles; tile++) {
                FC_REAL *const dst = (FC_REAL *)s->dst + tile * s->tile_step;
                const stretch all = {
                    .src = (const FC_REAL *)s->src + n->least + tile * s->live * s->lane_step +
                           (first + c) * s->channel_step,
                    .count = together * s->taps,
                    .taps = plain ? 1 : s->taps,
                    .tap_of = plain ? ONE : n->tap_of,
                    .channel = plain ? c * s->taps : c,
                    .channels = channels,
                    .dst = dst + first * s->taps * s->width,
                    .end = dst + s->channels * s->taps * s->width,
                };
                for (ptrdiff_t k = 0; k < s->width; k += FC_LANES)
                    turn(s, &all, k);
            }
    }
}

/* Row by row of lanes. */
static void pack_rows(const fc_pack_tile *s)
{
    const FC_REAL *src = s->src;
    FC_REAL *FC_RESTRICT dst = s->dst;
    for (ptrdiff_t first = 0; first < s->channels; first += s->block) {
        const ptrdiff_t end = first + s->block < s->channels ? first + s->block : s->channels;
        for (ptrdiff_t t = 0; t < s->taps; t++) {
            const FC_REAL *weight = src + s->taps_at[t] + first * s->channel_step;
            for (ptrdiff_t c = first; c < end; c++, weight += s->channel_step, dst += s->width) {
                if (s->lane_step == 1)
                    copy_lanes(s, weight, dst);
                else
                    copy_scattered(s, weight, dst);
            }
        }
    }
}

/* packed[c0][tap][c][lane] in blocks of channels; see fc_pack_tile. */
static void pack(const fc_pack_tile *s)
{
    neighbours n;
    if (s->channel_step == 1 && s->lane_step != 1 && (s->block > 1 || s->taps == 1))
        pack_across(s);
    else if (s->lane_step != 1 && are_neighbours(s, &n) && (s->width % FC_LANES == 0 || (s->block == 1 && n.in_order)))
        pack_turned(s, &n);
    else
        pack_rows(s);
}

static bool are_finite(const void *from, ptrdiff_t count)
{
    const FC_REAL *src = from;
    fc_vec sum = fc_zero(); /* zero times what is not finite is NaN */
    for (ptrdiff_t i = 0; i < count; i += FC_LANES)
        sum += fc_load_lanes(src + i, fc_lanes_left(count, i)) * 0;
    return fc_sum_lanes(sum) == 0;
}

fc_store_images_fn FC_NAME(store_images);
fc_copy_rectangle_fn FC_NAME(copy_rectangle);
fc_copy_panel_fn FC_NAME(copy_panel);
fc_filter_fn FC_NAME(conv_filter);
fc_dense_row_fn FC_NAME(dense_row);
fc_depthwise_fn FC_NAME(conv_depthwise);
fc_depthwise_fn FC_NAME(depthwise_squares);
fc_depthwise_planes_fn FC_NAME(depthwise_planes);
fc_depthwise_lines_fn FC_NAME(depthwise_lines);
fc_store_columns_fn FC_NAME(store_columns);
fc_sum_vectors_fn FC_NAME(sum_vectors);

const struct fc_conv_kernels FC_NAME(conv) = {
    .store_rows = store_rows,
    .store_plane = store_plane,
    .store_images = FC_NAME(store_images),
    .copy_rectangle = FC_NAME(copy_rectangle),
    .copy_panel = FC_NAME(copy_panel),
    .filter = FC_NAME(conv_filter),
    .filter_vectors = FC_FILTER_VECTORS,
    .copy_stretches = copy_stretches,
    .transpose = transpose,
    .gather = FC_NAME(gather),
    .store_columns = FC_NAME(store_columns),
    .sum_vectors = FC_NAME(sum_vectors),
    .depthwise = FC_NAME(conv_depthwise),
#ifndef FC_ISA_BASELINE
    .depthwise_squares = FC_NAME(depthwise_squares),
#endif
    .depthwise_planes = FC_NAME(depthwise_planes),
    .depthwise_lines = FC_NAME(depthwise_lines),
    .pack = pack,
    .dense_row = FC_NAME(dense_row),
    .are_finite = are_finite,
};
