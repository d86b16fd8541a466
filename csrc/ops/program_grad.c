/* The way back through the steps of programs, for groups of images.
 *
 * Weight gradients are summed lane by lane over all images of a part of the batch, and over the lanes once at its end.
 * The gradient of an input is a convolution of the output's gradient, between zeros and spread by the stride, with
 * weights whose output channels have become products.
 */
#include "program.h"

#include <string.h>

static char *at(const fc_program_thread *t, const char *data, ptrdiff_t elements)
{
    return (char *)data + elements * t->element;
}

static bool has_padding(const fc_step *s)
{
    return s->pad_begin[0] > 0 || s->pad_end[0] > 0 || s->pad_begin[1] > 0 || s->pad_end[1] > 0;
}

static ptrdiff_t pitch_of(const fc_step *s) { return s->src[1] + s->pad_begin[1] + s->pad_end[1]; }

/* ---- gradients of weights ---------------------------------------------------------------------------------- */

ptrdiff_t fc_step_sums(const fc_program *p, const fc_step *s, bool dense)
{
    const ptrdiff_t weights = s->products * s->oc;
    return (dense ? fc_divide_up(weights, p->lanes) : weights) + s->oc;
}

ptrdiff_t fc_step_grad_padded(const fc_step *s)
{
    return has_padding(s) ? (s->src[0] + s->pad_begin[0] + s->pad_end[0]) * pitch_of(s) * s->ic : 0;
}

/* The whole image between its padding. */
static const char *between_padding(const fc_program_thread *t, const fc_step *s, const char *src)
{
    if (!has_padding(s))
        return src;
    const size_t pixel = (size_t)(s->ic * t->program->lanes * t->element), row = (size_t)s->src[1] * pixel;
    const size_t pitch = (size_t)pitch_of(s) * pixel;
    memset(t->padded, 0, (size_t)(s->src[0] + s->pad_begin[0] + s->pad_end[0]) * pitch);
    char *dst = t->padded + (size_t)s->pad_begin[0] * pitch + (size_t)s->pad_begin[1] * pixel;
    for (ptrdiff_t i = 0; i < s->src[0]; i++, src += row, dst += pitch)
        memcpy(dst, src, row);
    return t->padded;
}

/* A tile of a convolution's weights: products [first, first + rows) by channels [channel, channel + columns). */
typedef struct {
    ptrdiff_t group, first, rows, channel, columns;
    ptrdiff_t sums; /* vectors before it */
} weight_tile;

/* Tile `index` in the order in which sums lie; false after the last. */
static bool weight_tile_at(const fc_step *s, ptrdiff_t index, weight_tile *tile)
{
    const ptrdiff_t oc = s->oc / s->groups;
    const ptrdiff_t row_tiles = fc_divide_up(s->products, FC_GRAD_ROWS);
    const ptrdiff_t column_tiles = fc_divide_up(oc, FC_GRAD_COLUMNS);
    const ptrdiff_t r = index % row_tiles, k = index / row_tiles % column_tiles;
    tile->group = index / row_tiles / column_tiles;
    tile->first = s->products * r / row_tiles;
    tile->rows = s->products * (r + 1) / row_tiles - tile->first;
    const ptrdiff_t begin = oc * k / column_tiles;
    tile->columns = oc * (k + 1) / column_tiles - begin;
    tile->channel = tile->group * oc + begin;
    tile->sums = tile->channel * s->products + tile->first * tile->columns;
    return tile->group < s->groups;
}

static void conv_weight_grad(const fc_program_thread *t, const fc_step *s, const char *x, const char *g, char *sums)
{
    const int lanes = t->program->lanes;
    const ptrdiff_t pitch = pitch_of(s) * s->ic;
    weight_tile tile;
    x = between_padding(t, s, x);
    for (ptrdiff_t i = 0; weight_tile_at(s, i, &tile); i++)
        t->kernels->grad[tile.rows][tile.columns](&(fc_lanes_grad){
            .src = at(t, x, tile.group * (s->ic / s->groups) * lanes),
            .grad = at(t, g, tile.channel * lanes),
            .offsets = s->offsets + tile.first,
            .height = s->dst[0],
            .width = s->dst[1],
            .src_row = s->stride[0] * pitch,
            .src_step = s->stride[1] * s->ic,
            .grad_row = s->dst[1] * s->oc,
            .grad_step = s->oc,
            .acc = at(t, sums, tile.sums * lanes),
        });
}

/* Rows of a tile and vectors of output channels for outer products. */
static void dense_weight_grad(const fc_program_thread *t, const fc_step *s, const char *x, const char *rows, char *sums)
{
    const int lanes = t->program->lanes;
    const ptrdiff_t step = fc_divide_up(s->oc, lanes) * lanes;
    for (ptrdiff_t k = 0, vectors; k < s->oc; k += vectors * lanes) {
        vectors = fc_min(fc_divide_up(s->oc - k, lanes), 2);
        const ptrdiff_t tiles = fc_divide_up(s->products, t->max_rows[vectors]);
        for (ptrdiff_t i = 0; i < tiles; i++) {
            const ptrdiff_t begin = s->products * i / tiles, end = s->products * (i + 1) / tiles;
            t->kernels->outer[vectors][end - begin](at(t, x, begin * lanes), at(t, rows, k), step,
                                                    (int)fc_min(s->oc - k, vectors * lanes),
                                                    at(t, sums, begin * s->oc + k), s->oc);
        }
    }
}

void fc_step_weight_grad(const fc_program_thread *t, const fc_step *s, bool dense, const char *x, const char *g,
                         char *rows, char *sums)
{
    const int lanes = t->program->lanes;
    const ptrdiff_t step = fc_divide_up(s->oc, lanes) * lanes, channels = s->oc * lanes;
    char *const bias = at(t, sums, (fc_step_sums(t->program, s, dense) - s->oc) * lanes);
    if (s->grad_weights && dense) {
        for (int lane = 0; lane < lanes; lane++)
            memset(at(t, rows, lane * step + s->oc), 0, (size_t)((step - s->oc) * t->element));
        t->kernels->scatter(g, step, lanes, s->oc, rows);
        dense_weight_grad(t, s, x, rows, sums);
    } else if (s->grad_weights) {
        conv_weight_grad(t, s, x, g, sums);
    }
    if (s->grad_bias) {
        t->pointwise->sum_columns(s->dst[0] * s->dst[1], channels, channels, g, rows);
        t->kernels->add(channels, rows, bias);
    }
}

void fc_step_weight_grad_end(const fc_program_thread *t, const fc_step *s, bool dense, const char *sums, bool add)
{
    const int lanes = t->program->lanes;
    const ptrdiff_t weights = s->products * s->oc;
    char *const few = t->factor; /* at least as large as a tile, and as the bias */
    weight_tile tile;
    for (ptrdiff_t i = 0; s->grad_weights && !dense && weight_tile_at(s, i, &tile); i++) {
        t->kernels->sum_lanes(at(t, sums, tile.sums * lanes), tile.rows * tile.columns, few);
        for (ptrdiff_t r = 0; r < tile.rows; r++) {
            char *const dst = at(t, s->grad_weights, (tile.first + r) * s->oc + tile.channel);
            const char *src = at(t, few, r * tile.columns);
            if (add)
                t->kernels->add(tile.columns, src, dst);
            else
                memcpy(dst, src, (size_t)(tile.columns * t->element));
        }
    }
    if (s->grad_weights && dense) {
        if (add)
            t->kernels->add(weights, sums, s->grad_weights);
        else
            memcpy(s->grad_weights, sums, (size_t)(weights * t->element));
    }
    if (s->grad_bias) {
        t->kernels->sum_lanes(at(t, sums, (fc_step_sums(t->program, s, dense) - s->oc) * lanes), s->oc, few);
        if (add)
            t->kernels->add(s->oc, few, s->grad_bias);
        else
            memcpy(s->grad_bias, few, (size_t)(s->oc * t->element));
    }
}

/* ---- gradients of inputs ----------------------------------------------------------------------------------- */

/* Channels of one group that are rows of the way back: a dense step's are all of its inputs. */
static ptrdiff_t back_rows(const fc_step *s, bool dense) { return dense ? s->products : s->ic / s->groups; }

/* Products of one kernel row. */
static ptrdiff_t back_products(const fc_step *s, bool dense)
{
    return (dense ? 1 : s->kernel[1]) * (s->oc / s->groups);
}

/* Zeros before the first column of the gradient, and the column that output 0 and the last tap read. */
static ptrdiff_t back_left(const fc_step *s)
{
    return fc_max_extent((s->kernel[1] - 1) * s->dilation[1] - s->pad_begin[1], 0);
}

static ptrdiff_t back_base(const fc_step *s)
{
    return s->pad_begin[1] - (s->kernel[1] - 1) * s->dilation[1] + back_left(s);
}

static ptrdiff_t back_pitch(const fc_step *s)
{
    const ptrdiff_t read = s->src[1] + back_base(s) + (s->kernel[1] - 1) * s->dilation[1];
    return fc_max_extent(read, back_left(s) + (s->dst[1] - 1) * s->stride[1] + 1);
}

ptrdiff_t fc_step_back_padded(const fc_step *s) { return s->dst[0] * back_pitch(s) * s->oc; }

ptrdiff_t fc_step_back_packed(const fc_program *p, const fc_step *s)
{
    const ptrdiff_t blocks = fc_max_extent(fc_divide_up(s->ic / s->groups, p->lanes) * s->kernel[0] * s->kernel[1],
                                           fc_divide_up(s->products, p->lanes));
    return blocks * s->oc * p->lanes;
}

/* packed[group][block of rows][kernel row][tap, from the last][output channel][row] */
void fc_step_back_pack(const fc_program_thread *t, const fc_step *s, bool dense, char *packed)
{
    const int lanes = t->program->lanes;
    const ptrdiff_t oc = s->oc / s->groups, rows = back_rows(s, dense);
    const ptrdiff_t height = dense ? 1 : s->kernel[0], width = dense ? 1 : s->kernel[1];
    for (ptrdiff_t group = 0; group < s->groups; group++)
        for (ptrdiff_t row = 0; row < rows; row += lanes)
            for (ptrdiff_t h = 0; h < height; h++)
                for (ptrdiff_t w = width - 1; w >= 0; w--, packed += oc * lanes * t->element)
                    t->kernels->gather(at(t, s->weights, ((h * width + w) * rows + row) * s->oc + group * oc), s->oc,
                                       (int)fc_min(lanes, rows - row), oc, packed);
}

/* A block of at most `lanes` rows over a line of pixels, one kernel row: dst is the block's first row. */
static void back_line(const fc_program_thread *t, fc_lanes_tile tile, ptrdiff_t rows, ptrdiff_t most, ptrdiff_t width,
                      ptrdiff_t src_step, ptrdiff_t dst_step)
{
    const ptrdiff_t tiles = fc_divide_up(rows, t->max_rows[most]), element = t->element;
    const char *weights = tile.weights, *src = tile.src;
    char *dst = tile.dst;
    for (ptrdiff_t i = 0; i < tiles; i++) {
        const ptrdiff_t begin = rows * i / tiles, end = rows * (i + 1) / tiles;
        tile.weights = weights + begin * element;
        for (ptrdiff_t x = 0, vectors = most; x < width; x += vectors) {
            vectors = fc_min(vectors, width - x);
            tile.src = src + x * src_step * t->program->lanes * element;
            tile.dst = dst + (x * dst_step + begin) * t->program->lanes * element;
            fc_lanes_sum(t, t->kernels->lanes[vectors][end - begin], &tile);
        }
    }
}

static void dense_input_grad(const fc_program_thread *t, const fc_step *s, const char *packed, ptrdiff_t *offsets,
                             const char *g, char *dx)
{
    const int lanes = t->program->lanes;
    for (ptrdiff_t k = 0; k < s->oc; k++)
        offsets[k] = k;
    for (ptrdiff_t row = 0; row < s->products; row += lanes, packed += s->oc * lanes * t->element)
        back_line(t,
                  (fc_lanes_tile){.src = g,
                                  .offsets = offsets,
                                  .count = s->oc,
                                  .weights = packed,
                                  .weight_step = lanes,
                                  .dst = at(t, dx, row * lanes)},
                  fc_min(lanes, s->products - row), 1, 1, 0, 0);
}

/* The gradient's rows, spread by the stride between zeros. */
static const char *spread(const fc_program_thread *t, const fc_step *s, const char *g)
{
    const size_t pixel = (size_t)(s->oc * t->program->lanes * t->element), pitch = (size_t)back_pitch(s) * pixel;
    const ptrdiff_t left = back_left(s), right = back_pitch(s) - left - (s->dst[1] - 1) * s->stride[1] - 1;
    if (left == 0 && right == 0 && s->stride[1] == 1)
        return g;
    memset(t->padded, 0, (size_t)s->dst[0] * pitch);
    for (ptrdiff_t row = 0; row < s->dst[0]; row++) {
        char *dst = t->padded + (size_t)row * pitch + (size_t)left * pixel;
        if (s->stride[1] == 1)
            memcpy(dst, g, (size_t)s->dst[1] * pixel);
        for (ptrdiff_t x = 0; x < s->dst[1] && s->stride[1] > 1; x++, dst += (size_t)s->stride[1] * pixel)
            memcpy(dst, g + (size_t)x * pixel, pixel);
        g += (size_t)s->dst[1] * pixel;
    }
    return t->padded;
}

/* One row of the input's gradient, one group, one block of its channels. */
static void back_row(const fc_program_thread *t, const fc_step *s, ptrdiff_t row, const char *packed,
                     const ptrdiff_t *offsets, const char *g, ptrdiff_t rows, char *dx)
{
    const int lanes = t->program->lanes;
    const ptrdiff_t count = back_products(s, false);
    const ptrdiff_t vectors = fc_tile_vectors(fc_kernels_for(t->program->isa, t->program->dtype), rows, s->src[1]);
    bool accumulate = false;
    for (ptrdiff_t h = 0; h < s->kernel[0]; h++) {
        const ptrdiff_t from = row + s->pad_begin[0] - h * s->dilation[0];
        if (from < 0 || from % s->stride[0] != 0 || from / s->stride[0] >= s->dst[0])
            continue;
        back_line(t,
                  (fc_lanes_tile){.src = at(t, g, (from / s->stride[0] * back_pitch(s) + back_base(s)) * s->oc * lanes),
                                  .src_step = s->oc,
                                  .offsets = offsets,
                                  .count = count,
                                  .weights = at(t, packed, h * count * lanes),
                                  .weight_step = lanes,
                                  .dst = dx,
                                  .dst_step = s->ic,
                                  .accumulate = accumulate},
                  rows, vectors, s->src[1], s->oc, s->ic);
        accumulate = true;
    }
    for (ptrdiff_t x = 0; x < s->src[1] && !accumulate; x++)
        memset(at(t, dx, x * s->ic * lanes), 0, (size_t)(rows * lanes * t->element));
}

void fc_step_input_grad(const fc_program_thread *t, const fc_step *s, bool dense, const char *packed,
                        ptrdiff_t *offsets, const char *g, char *dx)
{
    if (dense) {
        dense_input_grad(t, s, packed, offsets, g, dx);
        return;
    }
    const int lanes = t->program->lanes;
    const ptrdiff_t ic = s->ic / s->groups, oc = s->oc / s->groups;
    for (ptrdiff_t w = 0; w < s->kernel[1]; w++)
        for (ptrdiff_t k = 0; k < oc; k++)
            offsets[w * oc + k] = w * s->dilation[1] * s->oc + k;
    g = spread(t, s, g);
    for (ptrdiff_t group = 0; group < s->groups; group++)
        for (ptrdiff_t first = 0; first < ic; first += lanes) {
            for (ptrdiff_t row = 0; row < s->src[0]; row++)
                back_row(t, s, row, packed, offsets, at(t, g, group * oc * lanes), fc_min(lanes, ic - first),
                         at(t, dx, (row * s->src[1] * s->ic + group * ic + first) * lanes));
            packed += s->kernel[0] * back_products(s, false) * lanes * t->element;
        }
}

/* What lies within the border. */
void fc_step_pad_back(const fc_program_thread *t, const fc_step *s, const char *g, char *dx)
{
    const size_t pixel = (size_t)(s->ic * t->program->lanes * t->element), row = (size_t)s->src[1] * pixel;
    g += (size_t)(s->pad_begin[0] * s->dst[1] + s->pad_begin[1]) * pixel;
    for (ptrdiff_t i = 0; i < s->src[0]; i++, g += (size_t)s->dst[1] * pixel, dx += row)
        memcpy(dx, g, row);
}
