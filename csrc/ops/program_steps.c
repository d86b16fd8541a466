/* The steps of programs, for groups of images and for one image. */
#include "parallel.h"
#include "program.h"

#include <math.h>
#include <string.h>

static char *at(const fc_program_thread *t, const char *data, ptrdiff_t elements)
{
    return (char *)data + elements * t->element;
}

/* ---- what convolutions share ------------------------------------------------------------------------------- */

/* The image's rows between zeros. `width`: neighbours of a channel, lanes or 1. */
static const char *between_padding(const fc_program_thread *t, const fc_step *s, const char *src, int width)
{
    if (!fc_step_is_padded(s))
        return src;
    const size_t pixel = (size_t)(s->ic * width * t->element), row = (size_t)s->src[1] * pixel;
    const size_t before = (size_t)s->pad_begin[1] * pixel, behind = (size_t)s->pad_end[1] * pixel;
    char *dst = t->padded;
    for (ptrdiff_t i = 0; i < s->src[0]; i++, src += row) {
        memset(dst, 0, before);
        memcpy(dst + before, src, row);
        memset(dst + before + row, 0, behind);
        dst += before + row + behind;
    }
    return t->padded;
}

static double value_of(const fc_program_thread *t, const void *array, ptrdiff_t i, double absent)
{
    if (array == NULL)
        return absent;
    return t->element == 4 ? (double)((const float *)array)[i] : ((const double *)array)[i];
}

static void put_value(const fc_program_thread *t, char *array, ptrdiff_t i, double value)
{
    if (t->element == 4)
        ((float *)(void *)array)[i] = (float)value;
    else
        ((double *)(void *)array)[i] = value;
}

/* Factor and shift of a normalisation by moving averages. */
static void prepare_scale(const fc_program_thread *t, const fc_step *s)
{
    for (ptrdiff_t c = 0; s->mean && c < s->oc; c++) {
        const double deviation = sqrt(value_of(t, s->variance, c, 1) + s->epsilon);
        const double factor = value_of(t, s->gamma, c, 1) / deviation;
        put_value(t, t->factor, c, factor);
        put_value(t, t->factor, s->oc + c, value_of(t, s->offset, c, 0) - value_of(t, s->mean, c, 0) * factor);
    }
}

/* Normalisation and activation of `pixels` finished pixels. */
static void finish(const fc_program_thread *t, const fc_step *s, char *x, ptrdiff_t pixels, int width)
{
    if (s->mean)
        t->kernels->affine(x, pixels, s->oc, width, t->factor, t->factor + s->oc * t->element);
    if (s->activation != FC_IDENTITY)
        t->pointwise->activation(s->activation, s->alpha, s->beta, pixels * s->oc * width, x, x);
}

void fc_lanes_sum(const fc_program_thread *t, fc_lanes_fn *kernel, const fc_lanes_tile *whole)
{
    if (whole->count <= FC_PROGRAM_SUM) {
        kernel(whole);
        return;
    }
    fc_lanes_tile tile = *whole;
    for (ptrdiff_t left = whole->count; left > 0; left -= tile.count) {
        tile.count = fc_min(left, FC_PROGRAM_SUM);
        kernel(&tile);
        tile.offsets += tile.count;
        tile.weights = (const char *)tile.weights + tile.count * tile.weight_step * t->element;
        tile.accumulate = true;
    }
}

/* The most vectors of a tile that there are at most `most` of, with as many rows as the table has; *rows receives them.
 */
static int vectors_of(const fc_program_thread *t, ptrdiff_t most, int *rows)
{
    int v = most >= 8 ? 8 : most >= 4 ? 4 : (int)most;
    while (t->max_rows[v] == 0)
        v--;
    *rows = t->max_rows[v];
    return v;
}

/* ---- groups of images -------------------------------------------------------------------------------------- */

/* A partial sum of one pixel that sees all of its input: products [first, first + count), vectors of several groups. */
static void dense_lanes_part(const fc_program_thread *t, const fc_step *s, int groups, ptrdiff_t first, ptrdiff_t count,
                             fc_lanes_buffer src, fc_lanes_buffer dst)
{
    const int lanes = t->program->lanes;
    const ptrdiff_t most = fc_tile_vectors(fc_kernels_for(t->program->isa, t->program->dtype), s->oc, groups);
    const ptrdiff_t tiles = fc_divide_up(s->oc, t->max_rows[most]);
    for (ptrdiff_t i = 0; i < tiles; i++) {
        const ptrdiff_t begin = s->oc * i / tiles, end = s->oc * (i + 1) / tiles;
        for (ptrdiff_t g = 0, vectors; g < groups; g += vectors) {
            vectors = fc_min(groups - g, most);
            t->kernels->lanes[vectors][end - begin](&(fc_lanes_tile){
                .src = at(t, src.data, g * src.step * lanes),
                .src_step = src.step,
                .offsets = s->offsets + first,
                .count = count,
                .weights = at(t, s->weights, first * s->oc + begin),
                .weight_step = s->oc,
                .bias = s->bias ? at(t, s->bias, begin) : NULL,
                .dst = at(t, dst.data, (g * dst.step + begin) * lanes),
                .dst_step = dst.step,
                .accumulate = first > 0,
            });
        }
    }
}

static void dense_lanes(const fc_program_thread *t, const fc_step *s, int groups, fc_lanes_buffer src,
                        fc_lanes_buffer dst)
{
    for (ptrdiff_t first = 0; first < s->products; first += FC_PROGRAM_SUM)
        dense_lanes_part(t, s, groups, first, fc_min(s->products - first, FC_PROGRAM_SUM), src, dst);
    finish(t, s, dst.data, groups, t->program->lanes);
}

/* One row of outputs of one group of channels: a tile is neighbouring pixels by output channels. */
static void conv_row_lanes(const fc_program_thread *t, const fc_step *s, ptrdiff_t group, ptrdiff_t row,
                           const char *src, char *dst)
{
    const int lanes = t->program->lanes;
    const ptrdiff_t ic = s->ic / s->groups, oc = s->oc / s->groups;
    const ptrdiff_t pitch = (fc_step_is_padded(s) ? s->src[1] + s->pad_begin[1] + s->pad_end[1] : s->src[1]) * s->ic;
    const fc_window inside = fc_step_kernel_rows(s, row);
    const ptrdiff_t skipped = inside.begin * s->kernel[1] * ic;
    const char *line = at(t, src, ((row * s->stride[0] - s->pad_begin[0]) * pitch + group * ic) * lanes);
    const ptrdiff_t tiles = fc_divide_up(oc, t->max_rows[s->vectors]), width = s->dst[1];
    const ptrdiff_t src_step = s->stride[1] * s->ic * lanes * t->element, dst_step = s->oc * lanes * t->element;
    for (ptrdiff_t k = 0; k < tiles; k++) {
        const ptrdiff_t begin = oc * k / tiles, end = oc * (k + 1) / tiles, channel = group * oc + begin;
        char *const to = at(t, dst, channel * lanes);
        fc_lanes_tile tile = {
            .src_step = s->stride[1] * s->ic,
            .offsets = s->offsets + skipped,
            .count = (inside.end - inside.begin) * s->kernel[1] * ic,
            .weights = at(t, s->weights, skipped * s->oc + channel),
            .weight_step = s->oc,
            .bias = s->bias ? at(t, s->bias, channel) : NULL,
            .dst_step = s->oc,
        };
        for (ptrdiff_t x = 0, vectors = s->vectors; x < width; x += vectors) {
            if (vectors > width - x)
                vectors = width - x;
            tile.src = line + x * src_step;
            tile.dst = to + x * dst_step;
            fc_lanes_sum(t, t->kernels->lanes[vectors][end - begin], &tile);
        }
    }
}

/* Rows [first, first + count). */
static void conv_lanes(const fc_program_thread *t, const fc_step *s, ptrdiff_t first, ptrdiff_t count, const char *src,
                       char *dst)
{
    const int lanes = t->program->lanes;
    for (ptrdiff_t row = 0; row < count; row++) {
        char *const to = at(t, dst, row * s->dst[1] * s->oc * lanes);
        for (ptrdiff_t group = 0; group < s->groups; group++)
            conv_row_lanes(t, s, group, first + row, src, to);
        finish(t, s, to, s->dst[1], lanes);
    }
}

static void pad(const fc_program_thread *t, const fc_step *s, const char *src, char *dst, int width)
{
    const size_t pixel = (size_t)(s->ic * width * t->element), row = (size_t)s->src[1] * pixel;
    const size_t whole = (size_t)s->dst[1] * pixel, before = (size_t)s->pad_begin[1] * pixel;
    memset(dst, 0, (size_t)s->dst[0] * whole);
    dst += (size_t)s->pad_begin[0] * whole + before;
    for (ptrdiff_t i = 0; i < s->src[0]; i++, src += row, dst += whole)
        memcpy(dst, src, row);
}

/* ---- steps ------------------------------------------------------------------------------------------------- */

static void softmax(const fc_program_thread *t, const fc_step *s, ptrdiff_t pixels, int width, int live,
                    const char *src, char *dst)
{
    for (ptrdiff_t i = 0; i < pixels; i++) {
        const ptrdiff_t pixel = i * s->ic * width;
        t->pointwise->softmax_columns(s->logarithm, s->ic, width, live, at(t, src, pixel), at(t, dst, pixel));
    }
}

static void point(const fc_program_thread *t, const fc_step *s, ptrdiff_t pixels, int width, const char *src, char *dst)
{
    memcpy(dst, src, (size_t)(pixels * s->ic * width * t->element));
    finish(t, s, dst, pixels, width);
}

void fc_step_lanes(const fc_program_thread *t, const fc_step *s, int groups, fc_lanes_buffer src, fc_lanes_buffer dst)
{
    const ptrdiff_t pixels = groups * s->dst[0] * s->dst[1];
    const int lanes = t->program->lanes;
    prepare_scale(t, s);
    switch (s->kind) {
    case FC_STEP_CONV:
        if (src.step)
            dense_lanes(t, s, groups, src, dst);
        else
            conv_lanes(t, s, 0, s->dst[0], between_padding(t, s, src.data, lanes), dst.data);
        break;
    case FC_STEP_POOL:
        fc_pool_run(&s->lanes_pool, groups, src.data, dst.data, NULL, t->pool, FC_WITHIN);
        break;
    case FC_STEP_POINT:
        point(t, s, pixels, lanes, src.data, dst.data);
        break;
    case FC_STEP_SOFTMAX:
        softmax(t, s, pixels, lanes, lanes, src.data, dst.data);
        break;
    case FC_STEP_PAD:
        pad(t, s, src.data, dst.data, lanes);
        break;
    case FC_STEP_DROPOUT:
        break; /* in training alone */
    }
}

void fc_step_pooled(const fc_program_thread *t, const fc_step *conv, const char *src, char *band, char *dst)
{
    const fc_step *pool = conv + 1;
    const int lanes = t->program->lanes;
    prepare_scale(t, conv);
    src = between_padding(t, conv, src, lanes);
    void (*const windows)(const fc_pool_plane *) =
        pool->pool == FC_POOL_MAX ? t->kernels->max_band : t->kernels->average_band;
    for (ptrdiff_t row = 0; row < pool->dst[0]; row++) {
        conv_lanes(t, conv, row * pool->kernel[0], pool->kernel[0], src, band);
        windows(&(fc_pool_plane){
            .src = band,
            .pitch = pool->src[1],
            .height = pool->kernel[0],
            .width = pool->kernel[1],
            .stride = pool->stride[1],
            .count = pool->dst[1],
            .channels = pool->ic,
            .dst = at(t, dst, row * pool->dst[1] * pool->oc * lanes),
        });
    }
}

/* ---- one image --------------------------------------------------------------------------------------------- */

/* All rows of a tile: neighbouring pixels from `begin` on by vectors of output channels. */
static void conv_pixels_tile(const fc_program_thread *t, const fc_step *s, bool from_planes, ptrdiff_t begin,
                             fc_lanes_fn *kernel, fc_lanes_tile tile)
{
    const ptrdiff_t pixel = from_planes ? 1 : s->ic;
    const ptrdiff_t pitch = (fc_step_is_padded(s) ? s->src[1] + s->pad_begin[1] + s->pad_end[1] : s->src[1]) * pixel;
    const ptrdiff_t *offsets = from_planes ? s->plane_offsets : s->offsets;
    const ptrdiff_t kernel_row = s->kernel[1] * (s->ic / s->groups);
    const char *src = at(t, tile.src, begin * s->stride[1] * pixel), *weights = tile.weights;
    char *dst = at(t, tile.dst, begin * s->oc);
    tile.src_step = s->stride[1] * pixel;
    tile.weight_step = tile.dst_step = s->oc;
    for (ptrdiff_t row = 0; row < s->dst[0]; row++) {
        const fc_window inside = fc_step_kernel_rows(s, row);
        tile.src = at(t, src, (row * s->stride[0] - s->pad_begin[0]) * pitch);
        tile.offsets = offsets + inside.begin * kernel_row;
        tile.count = (inside.end - inside.begin) * kernel_row;
        tile.weights = at(t, weights, inside.begin * kernel_row * s->oc);
        tile.dst = at(t, dst, row * s->dst[1] * s->oc);
        fc_lanes_sum(t, kernel, &tile);
    }
}

static void conv_pixels(const fc_program_thread *t, const fc_step *s, bool from_planes, ptrdiff_t group,
                        const char *src, char *dst)
{
    const int lanes = t->program->lanes;
    const ptrdiff_t oc = s->oc / s->groups;
    for (ptrdiff_t k = 0, vectors; k < oc; k += vectors * lanes) {
        int most;
        vectors = vectors_of(t, fc_divide_up(oc - k, lanes), &most);
        const ptrdiff_t tiles = fc_divide_up(s->dst[1], most), channel = group * oc + k;
        for (ptrdiff_t tile = 0; tile < tiles; tile++) {
            const ptrdiff_t begin = s->dst[1] * tile / tiles, end = s->dst[1] * (tile + 1) / tiles;
            conv_pixels_tile(t, s, from_planes, begin, t->kernels->pixels[vectors][end - begin],
                             (fc_lanes_tile){
                                 .src = at(t, src, group * (s->ic / s->groups)),
                                 .weights = at(t, s->weights, channel),
                                 .bias = s->bias ? at(t, s->bias, channel) : NULL,
                                 .dst = at(t, dst, channel),
                                 .live = (int)fc_min(oc - k, vectors * lanes),
                             });
        }
    }
}

/* One pixel that sees all of its input, block by block of rows of weights, which then come from L2 in one stream. */
static void dense_pixels(const fc_program_thread *t, const fc_step *s, const char *src, char *dst)
{
    enum { BLOCK_BYTES = 16384 };
    const int lanes = t->program->lanes;
    const ptrdiff_t block = fc_max_extent(BLOCK_BYTES / (s->oc * t->element), 8);
    for (ptrdiff_t first = 0; first < s->products; first += block)
        for (ptrdiff_t k = 0, vectors; k < s->oc; k += vectors * lanes) {
            int most;
            vectors = vectors_of(t, fc_divide_up(s->oc - k, lanes), &most);
            t->kernels->pixels[vectors][1](&(fc_lanes_tile){
                .src = src,
                .offsets = s->offsets + first,
                .count = fc_min(s->products - first, block),
                .weights = at(t, s->weights, first * s->oc + k),
                .weight_step = s->oc,
                .bias = s->bias && first + block >= s->products ? at(t, s->bias, k) : NULL,
                .dst = at(t, dst, k),
                .live = (int)fc_min(s->oc - k, vectors * lanes),
                .resume = first > 0,
            });
        }
}

void fc_step_pixels(const fc_program_thread *t, const fc_step *s, bool from_planes, const char *src, char *dst)
{
    const ptrdiff_t pixels = s->dst[0] * s->dst[1];
    prepare_scale(t, s);
    switch (s->kind) {
    case FC_STEP_CONV:
        src = between_padding(t, s, src, 1);
        if (s - t->program->steps >= t->program->dense && s->products <= FC_PROGRAM_SUM && !from_planes)
            dense_pixels(t, s, src, dst);
        else
            for (ptrdiff_t group = 0; group < s->groups; group++)
                conv_pixels(t, s, from_planes, group, src, dst);
        finish(t, s, dst, pixels, 1);
        break;
    case FC_STEP_POOL:
        fc_pool_run(&s->pixel_pool, 1, src, dst, NULL, t->pool, FC_WITHIN);
        break;
    case FC_STEP_POINT:
        point(t, s, pixels, 1, src, dst);
        break;
    case FC_STEP_SOFTMAX:
        softmax(t, s, pixels, 1, 1, src, dst);
        break;
    case FC_STEP_PAD:
        pad(t, s, src, dst, 1);
        break;
    case FC_STEP_DROPOUT:
        break;
    }
}

/* ---- one image as planes ------------------------------------------------------------------------------------ */

/* All rows of a tile: vectors of pixels from x on by output channels. */
static void conv_planes_tile(const fc_program_thread *t, const fc_step *s, ptrdiff_t x, fc_lanes_fn *kernel,
                             fc_lanes_tile tile)
{
    const char *src = at(t, tile.src, x), *weights = tile.weights;
    char *dst = at(t, tile.dst, x);
    tile.weight_step = s->oc;
    tile.dst_step = s->dst[0] * s->dst[1];
    for (ptrdiff_t row = 0; row < s->dst[0]; row++) {
        const fc_window inside = fc_step_kernel_rows(s, row);
        const ptrdiff_t skipped = inside.begin * s->kernel[1];
        tile.src = at(t, src, (row * s->stride[0] - s->pad_begin[0]) * s->src[1]);
        tile.offsets = s->plane_offsets + skipped;
        tile.count = (inside.end - inside.begin) * s->kernel[1];
        tile.weights = at(t, weights, skipped * s->oc);
        tile.dst = at(t, dst, row * s->dst[1]);
        fc_lanes_sum(t, kernel, &tile);
    }
}

static void conv_planes(const fc_program_thread *t, const fc_step *s, const char *src, char *dst)
{
    const int lanes = t->program->lanes;
    const ptrdiff_t width = s->dst[1];
    for (ptrdiff_t x = 0, vectors; x < width; x += vectors * lanes) {
        vectors = fc_min(fc_divide_up(width - x, lanes), 2);
        /* the last vectors move back to where they are whole, unless that added parts of sums twice */
        if (width - x < vectors * lanes && width >= vectors * lanes && s->products <= FC_PROGRAM_SUM)
            x = width - vectors * lanes;
        const ptrdiff_t tiles = fc_divide_up(s->oc, t->max_rows[vectors]);
        for (ptrdiff_t i = 0; i < tiles; i++) {
            const ptrdiff_t begin = s->oc * i / tiles, end = s->oc * (i + 1) / tiles;
            conv_planes_tile(t, s, x, t->kernels->lines[vectors][end - begin],
                             (fc_lanes_tile){
                                 .src = src,
                                 .weights = at(t, s->weights, begin),
                                 .bias = s->bias ? at(t, s->bias, begin) : NULL,
                                 .dst = at(t, dst, begin * s->dst[0] * width),
                                 .live = (int)fc_min(width - x, vectors * lanes),
                             });
        }
    }
}

static void pool_planes(const fc_program_thread *t, const fc_step *s, const char *src, char *dst)
{
    void (*const plane)(const fc_pool_plane *) =
        s->pool == FC_POOL_MAX ? t->kernels->max_plane : t->kernels->average_plane;
    for (ptrdiff_t c = 0; c < s->ic; c++)
        plane(&(fc_pool_plane){
            .src = at(t, src, c * s->src[0] * s->src[1]),
            .pitch = s->src[1],
            .height = s->kernel[0],
            .width = s->kernel[1],
            .down = s->stride[0],
            .stride = s->stride[1],
            .rows = s->dst[0],
            .count = s->dst[1],
            .dst = at(t, dst, c * s->dst[0] * s->dst[1]),
        });
}

void fc_step_planes(const fc_program_thread *t, const fc_step *s, const char *src, char *dst)
{
    const ptrdiff_t pixels = s->dst[0] * s->dst[1];
    switch (s->kind) {
    case FC_STEP_CONV:
        conv_planes(t, s, src, dst);
        finish(t, s, dst, pixels, 1);
        break;
    case FC_STEP_POOL:
        pool_planes(t, s, src, dst);
        break;
    default:
        point(t, s, pixels, 1, src, dst);
        break;
    }
}
