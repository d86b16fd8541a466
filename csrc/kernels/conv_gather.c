/* Panels of pixels whose channels lie together, from either layout, and columns of sums back to channels-first
 * weights: blocks of lanes x lanes are transposed in registers. */
#include "dispatch/conv_kernels.h"
#include "simd.h"

fc_gather_fn FC_NAME(gather);
fc_store_columns_fn FC_NAME(store_columns);
fc_sum_vectors_fn FC_NAME(sum_vectors);

/* One pixel of one panel. */
FC_INLINE void copy_piece(const FC_REAL *src, int live, int width, FC_REAL *dst)
{
    int c = 0;
    for (; c + FC_LANES <= live; c += FC_LANES)
        fc_store(dst + c, fc_load(src + c));
    if (c < live)
        fc_store_tail(dst + c, fc_load_tail(src + c, live - c), live - c);
    for (c = live; c < width; c++)
        dst[c] = 0;
}

/* The same in whole vectors: what they write past the piece, the next pixel writes again. */
FC_INLINE void copy_loosely(const FC_REAL *src, int live, FC_REAL *dst)
{
    for (int c = 0; c < live; c += FC_LANES)
        fc_store(dst + c, fc_load(src + c));
}

/* Leading pixels that whole vectors may read and write without leaving the stretch. */
static ptrdiff_t loose_pixels(const fc_gather *s)
{
    const ptrdiff_t over = (s->piece + FC_LANES - 1) / FC_LANES * FC_LANES - s->piece;
    const ptrdiff_t behind = over / s->pixel_step + 1, past = over / s->pitch + 1;
    const ptrdiff_t kept = behind > past ? behind : past;
    return s->piece == s->width && over < FC_LANES / 2 && s->pixels > kept ? s->pixels - kept : 0;
}

/* The channels of a pixel are neighbours: it is read at once, in the order of memory, and dealt out to the panels. */
static void gather_rows(const fc_gather *s)
{
    const FC_REAL *src = s->src;
    FC_REAL *dst = s->dst;
    const ptrdiff_t whole = s->channels / s->piece, loose = loose_pixels(s);
    const int rest = (int)(s->channels - whole * s->piece);
    if (s->piece == s->width && s->pixel_step == s->width && s->channels == s->width && s->pitch == s->width) {
        memcpy(dst, src, (size_t)(s->pixels * s->width) * sizeof *dst);
        return;
    }
    const bool pairs = s->piece == 2 * FC_LANES && s->width == s->piece;
    for (ptrdiff_t p = 0; p < s->pixels; p++, src += s->pixel_step, dst += s->pitch) {
        const FC_REAL *from = src;
        FC_REAL *to = dst;
        if (pairs)
            for (ptrdiff_t q = 0; q < whole; q++, from += 2 * FC_LANES, to += s->panel_step) {
                const fc_vec first = fc_load(from), second = fc_load(from + FC_LANES);
                fc_store(to, first);
                fc_store(to + FC_LANES, second);
            }
        else if (p < loose)
            for (ptrdiff_t q = 0; q < whole; q++, from += s->piece, to += s->panel_step)
                copy_loosely(from, s->piece, to);
        else
            for (ptrdiff_t q = 0; q < whole; q++, from += s->piece, to += s->panel_step)
                copy_piece(from, s->piece, s->width, to);
        if (rest > 0)
            copy_piece(from, rest, s->width, to);
    }
}

/* `count` lanes at src, src + step, … */
FC_INLINE fc_vec load_pixels(const FC_REAL *src, ptrdiff_t step, int count)
{
    if (step == 1)
        return fc_load_lanes(src, count);
    if (step == 2 && count == FC_LANES) /* the last lane's neighbour may lie outside the array */
        return fc_even(fc_load(src), fc_load_tail(src + FC_LANES, FC_LANES - 1));
    FC_REAL lane[FC_LANES] = {0};
    for (int i = 0; i < count; i++)
        lane[i] = src[i * step];
    return fc_load(lane);
}

enum { AHEAD = 256 / sizeof(FC_REAL), TOGETHER = 256 / sizeof(FC_REAL) }; /* pixels */

/* Pixels from p on, a vector of them at most, of channels from c on. */
FC_INLINE void gather_block(const fc_gather *s, const FC_REAL *src, int live, FC_REAL *panel, ptrdiff_t p, int c)
{
    const int pixels = fc_lanes_left(s->pixels, p), lanes = fc_lanes_left(s->width, c);
    FC_REAL *dst = panel + p * s->pitch + c;
    fc_vec v[FC_LANES];
    src += c * s->channel_step + p * s->pixel_step;
    /* as many streams as lanes are more than a processor follows */
    for (int i = 0; i < FC_LANES && c + i < live; i++)
        __builtin_prefetch(src + i * s->channel_step + AHEAD * s->pixel_step);
    if (s->pixel_step == 1 && pixels == FC_LANES && c + FC_LANES <= live && lanes == FC_LANES) {
        _Pragma("GCC unroll 16") for (int i = 0; i < FC_LANES; i++) v[i] = fc_load(src + i * s->channel_step);
        fc_transpose_lanes(v);
        _Pragma("GCC unroll 16") for (int i = 0; i < FC_LANES; i++) fc_store(dst + i * s->pitch, v[i]);
        return;
    }
    for (int i = 0; i < FC_LANES; i++)
        v[i] = c + i < live ? load_pixels(src + i * s->channel_step, s->pixel_step, pixels) : fc_zero();
    fc_transpose_lanes(v);
    for (int i = 0; i < pixels; i++, dst += s->pitch)
        fc_store_lanes(dst, v[i], lanes);
}

/* One panel, `live` of whose channels exist. The pixels of a channel are neighbours, or a step apart. A vector of
 * channels is read a few lines long before the next one: where channels lie 4 KB apart, all of a panel's lines would
 * meet in one set of L1. */
static void gather_columns(const fc_gather *s, const FC_REAL *src, int live, FC_REAL *panel)
{
    for (ptrdiff_t first = 0; first < s->pixels; first += TOGETHER) {
        const ptrdiff_t end = s->pixels - first < TOGETHER ? s->pixels : first + TOGETHER;
        for (int c = 0; c < s->width; c += FC_LANES)
            for (ptrdiff_t p = first; p < end; p += FC_LANES)
                gather_block(s, src, live, panel, p, c);
    }
}

void FC_NAME(gather)(const fc_gather *s)
{
    if (s->channel_step == 1) {
        gather_rows(s);
        return;
    }
    for (ptrdiff_t c = 0, q = 0; c < s->channels; c += s->piece, q++)
        gather_columns(s, (const FC_REAL *)s->src + c * s->channel_step,
                       (int)(s->channels - c < s->piece ? s->channels - c : s->piece),
                       (FC_REAL *)s->dst + q * s->panel_step);
}

void FC_NAME(store_columns)(const fc_column_store *s)
{
    const FC_REAL *const acc = s->acc;
    for (ptrdiff_t j = 0; j < s->count; j += FC_LANES) {
        const int count = fc_lanes_left(s->count, j);
        for (int k = 0; k < s->live; k += FC_LANES) {
            FC_REAL *dst = (FC_REAL *)s->dst + k * s->channel_step + j;
            const int lanes = fc_lanes_left(s->live, k);
            fc_vec v[FC_LANES];
            for (int i = 0; i < FC_LANES; i++)
                v[i] = i < count ? fc_load(acc + s->rows[j + i] + k) : fc_zero();
            fc_transpose_lanes(v);
            for (int i = 0; i < lanes; i++)
                fc_store_lanes(dst + i * s->channel_step, v[i], count);
        }
    }
}

/* Two vectors become one of sums of neighbouring lanes, round after round, until each is one lane. */
void FC_NAME(sum_vectors)(const void *from, ptrdiff_t count, void *to)
{
    const FC_REAL *src = from;
    for (ptrdiff_t first = 0; first < count; first += FC_LANES) {
        fc_vec v[FC_LANES];
        for (int i = 0; i < FC_LANES; i++)
            v[i] = first + i < count ? fc_load(src + (first + i) * FC_LANES) : fc_zero();
        _Pragma("GCC unroll 4") for (int left = FC_LANES / 2; left > 0; left /= 2)
        {
            _Pragma("GCC unroll 8") for (int i = 0; i < left; i++) v[i] =
                fc_even(v[2 * i], v[2 * i + 1]) + fc_odd(v[2 * i], v[2 * i + 1]);
        }
        fc_store((FC_REAL *)to + first, v[0]);
    }
}
