/* Where the positions of a chunk find their input: pointers to pixels, or to rows of an im2col matrix, and its panels.
 */
#include "chunk.h"

#include <string.h>

/* Position `index` of a phase, images included, as image and place along each axis: image after image, or place after
 * place of some images beside each other. */
static ptrdiff_t locate(const fc_chunk *s, ptrdiff_t index, ptrdiff_t place[FC_SPATIAL])
{
    const fc_phase *phase = s->phase;
    const ptrdiff_t first = index / (s->beside * phase->count) * s->beside;
    const ptrdiff_t images = fc_min(s->beside, s->call->n - first), rest = index - first * phase->count;
    index = rest / images;
    for (int a = FC_SPATIAL - 1; a >= 0; a--) {
        place[a] = index % phase->axis[a].count;
        index /= phase->axis[a].count;
    }
    return first + rest % images;
}

/* The element of dst's channel 0 that a position writes. */
static ptrdiff_t target(const fc_conv_call *call, const fc_phase *phase, const ptrdiff_t *place, ptrdiff_t image)
{
    const bool last = call->plan->desc.layout == FC_CHANNELS_LAST;
    ptrdiff_t at = last ? image : image * call->channels.dst_channels;
    for (int a = 0; a < FC_SPATIAL; a++) {
        const fc_axis *axis = &phase->axis[a];
        at = at * axis->dst + axis->dst_first + place[a] * axis->dst_step;
    }
    return last ? at * call->channels.dst_channels : at;
}

/* ---- products --------------------------------------------------------------------------------------------- */

/* How a position's products lie in src: tap by tap in channels-last images, else channel by channel. Taps of one
 * kernel row make a stretch, `length` elements if they are neighbours. */
typedef struct {
    ptrdiff_t pixel;          /* elements from a position to the next */
    ptrdiff_t vector;         /* elements of a tap */
    ptrdiff_t channels;       /* whose kernel rows follow each other */
    ptrdiff_t image, channel; /* elements from an image, a channel to the next */
    bool together;            /* the taps of a kernel row are neighbours */
    bool ready;               /* and long enough to be read where they lie */
} layout_of_products;

static layout_of_products products_in(const fc_chunk *s)
{
    const fc_channels *channels = &s->call->channels;
    const fc_axis *axis = s->phase->axis;
    const bool last = s->call->plan->desc.layout == FC_CHANNELS_LAST;
    const ptrdiff_t plane = axis[0].src * axis[1].src * axis[2].src;
    layout_of_products layout = {
        .pixel = last ? channels->src_channels : 1,
        .vector = last ? channels->ic : 1,
        .channels = last ? 1 : channels->ic,
        .image = plane * channels->src_channels,
        .channel = last ? 1 : plane,
    };
    layout.together = axis[2].taps > 0 && axis[2].offset_step * layout.pixel == layout.vector;
    layout.ready = last && layout.together;
    return layout;
}

/* The kernel rows of a position: where their tap 0 lies in src, though it may be padding; NULL where all are. */
static ptrdiff_t find_stretches(const fc_chunk *s, const layout_of_products *layout, const ptrdiff_t *place,
                                ptrdiff_t image, ptrdiff_t group)
{
    const fc_axis *axis = s->phase->axis;
    const ptrdiff_t element = (ptrdiff_t)s->call->element;
    const ptrdiff_t column = place[2] * axis[2].src_step + axis[2].offset_first;
    ptrdiff_t count = 0;
    for (ptrdiff_t c = 0; c < layout->channels; c++) {
        const ptrdiff_t base = image * layout->image + (group * s->call->channels.ic + c) * layout->channel;
        for (ptrdiff_t d = 0; d < axis[0].taps; d++) {
            const ptrdiff_t depth = place[0] * axis[0].src_step + axis[0].offset_first + d * axis[0].offset_step;
            for (ptrdiff_t h = 0; h < axis[1].taps; h++) {
                const ptrdiff_t row = place[1] * axis[1].src_step + axis[1].offset_first + h * axis[1].offset_step;
                const bool inside = (size_t)depth < (size_t)axis[0].src && (size_t)row < (size_t)axis[1].src;
                const ptrdiff_t at = base + ((depth * axis[1].src + row) * axis[2].src + column) * layout->pixel;
                s->at->stretches[count++] = inside ? s->call->src + at * element : NULL;
            }
        }
    }
    return count;
}

/* ---- walks ------------------------------------------------------------------------------------------------- */

/* Over the chunk's positions, run by run: what those of one row share is found once. */
typedef struct {
    const fc_chunk *s;
    layout_of_products layout;
    ptrdiff_t group, image, place[FC_SPATIAL]; /* of the position that comes next */
    ptrdiff_t first, last;                     /* images that lie beside each other with it */
    ptrdiff_t stretches;                       /* of the row's first position; less than 0: not found yet */
} walk;

static void restart(walk *w)
{
    const fc_chunk *s = w->s;
    w->image = locate(s, s->first, w->place);
    w->first = s->beside > 1 ? w->image / s->beside * s->beside : w->image;
    w->last = fc_min(w->first + s->beside, s->call->n);
    w->stretches = -1;
}

static void start(walk *w, const fc_chunk *s, ptrdiff_t group)
{
    w->s = s;
    w->layout = products_in(s);
    w->group = group;
    restart(w);
}

/* How many positions, `most` at most, are neighbours: along the row, or in the images beside. */
static ptrdiff_t neighbours(const walk *w, ptrdiff_t most)
{
    return fc_min(most, w->s->beside > 1 ? w->last - w->image : w->s->phase->axis[2].count - w->place[2]);
}

static void advance(walk *w, ptrdiff_t positions)
{
    const fc_chunk *s = w->s;
    const fc_axis *axis = s->phase->axis;
    if (s->beside > 1) {
        w->image += positions;
        if (w->image < w->last)
            return;
        w->image = w->first;
        positions = 1;
    }
    w->place[2] += positions;
    if (w->place[2] < axis[2].count)
        return;
    w->place[2] = 0;
    w->stretches = -1;
    if (++w->place[1] < axis[1].count)
        return;
    w->place[1] = 0;
    if (++w->place[0] < axis[0].count)
        return;
    w->place[0] = 0;
    w->image = w->first = w->last;
    w->last = fc_min(w->first + s->beside, s->call->n);
}

static ptrdiff_t enter_row(walk *w)
{
    const ptrdiff_t first[FC_SPATIAL] = {w->place[0], w->place[1], 0};
    if (w->stretches < 0)
        w->stretches = find_stretches(w->s, &w->layout, first, w->image, w->group);
    return w->stretches;
}

/* ---- panels ------------------------------------------------------------------------------------------------ */

/* One position whose kernel rows are partly padding, or whose taps are not neighbours; stretches are those of the one
 * at `from`, in the same row. */
static void fill_position(const fc_chunk *s, const layout_of_products *layout, ptrdiff_t stretches, ptrdiff_t from,
                          ptrdiff_t column, char *panel)
{
    const fc_axis *axis = &s->phase->axis[2];
    const ptrdiff_t element = (ptrdiff_t)s->call->element;
    const size_t vector = (size_t)(layout->vector * element);
    const ptrdiff_t step = axis->offset_step * layout->pixel * element;
    const ptrdiff_t beyond = (column - from) * axis->src_step * layout->pixel * element;
    const fc_window inside = fc_taps_inside(axis, column);
    for (ptrdiff_t j = 0; j < stretches; j++) {
        const char *src = s->at->stretches[j] ? (const char *)s->at->stretches[j] + beyond : NULL;
        for (ptrdiff_t t = 0; t < axis->taps; t++, panel += vector) {
            if (src == NULL || t < inside.begin || t >= inside.end)
                memset(panel, 0, vector);
            else
                memcpy(panel, src + t * step, vector);
        }
    }
}

/* Positions of a row from `column` on, at most `count`, whose kernel rows are neither padding nor scattered. */
static ptrdiff_t whole_positions(const fc_chunk *s, const layout_of_products *layout, ptrdiff_t column, ptrdiff_t count)
{
    const fc_window *first = s->at->inside, *last = first + s->phase->axis[2].taps - 1;
    if (!layout->together || column < first->begin || column < last->begin)
        return 0;
    return fc_min(fc_max_extent(fc_min(last->end, first->end) - column, 0), count);
}

/* Whether a position's products are its channels in planes, all inside. */
static bool turns(const fc_chunk *s, const layout_of_products *layout)
{
    return s->phase->taps == 1 && layout->channels > 1 && s->at->stretches[0];
}

/* The chunk's panel, row of positions by row of positions. */
static void fill_panel(walk *w)
{
    const fc_chunk *s = w->s;
    const layout_of_products *layout = &w->layout;
    const fc_axis *axis = &s->phase->axis[2];
    const ptrdiff_t length = fc_products(s->call->plan, s->phase->taps);
    char *panel = s->at->panel;
    for (ptrdiff_t i = 0; i < s->count; i++)
        s->at->pointers[i] = panel + (size_t)(i * length) * s->call->element;
    for (ptrdiff_t done = 0, column; done < s->count;) {
        const ptrdiff_t stretches = find_stretches(s, layout, w->place, w->image, w->group);
        column = w->place[2];
        const ptrdiff_t run = whole_positions(s, layout, column, s->count - done);
        if (run > 0 && turns(s, layout))
            s->call->kernels->conv->gather(&(fc_gather){
                .src = s->at->stretches[0],
                .pixel_step = axis->src_step,
                .channel_step = layout->channel,
                .pixels = run,
                .channels = length,
                .piece = (int)length,
                .width = (int)length,
                .pitch = length,
                .dst = panel,
            });
        else if (run > 0)
            s->call->kernels->conv->copy_stretches(&(fc_stretches){
                .src = s->at->stretches,
                .rows = stretches,
                .length = axis->taps * layout->vector,
                .src_step = axis->src_step * layout->pixel,
                .count = run,
                .dst = panel,
                .dst_step = length,
            });
        else
            fill_position(s, layout, stretches, column, column, panel);
        const ptrdiff_t filled = fc_max_extent(run, 1);
        advance(w, filled);
        done += filled;
        panel += (size_t)(filled * length) * s->call->element;
    }
}

/* ---- pointers --------------------------------------------------------------------------------------------- */

/* The pointers of `count` neighbouring positions to one tap: src for the first of them, the next ones `step` bytes
 * further on; zeros outside [begin, end). */
static void point_along(const void **pointers, ptrdiff_t count, const char *src, ptrdiff_t step, ptrdiff_t begin,
                        ptrdiff_t end, const char *zeros)
{
    for (ptrdiff_t i = 0; i < begin; i++)
        pointers[i] = zeros;
    for (ptrdiff_t i = begin; i < end; i++)
        pointers[i] = src + i * step;
    for (ptrdiff_t i = end; i < count; i++)
        pointers[i] = zeros;
}

/* From a position of the row to the next one, in bytes of src. */
static ptrdiff_t step_of(const walk *w)
{
    return w->s->phase->axis[2].src_step * w->layout.pixel * (ptrdiff_t)w->s->call->element;
}

/* The kernel rows of one register tile's positions, [kernel row][row]: in src, or in the panel where some of their
 * taps are padding. */
static void fill_rows(walk *w, ptrdiff_t begin, ptrdiff_t rows, const void **pointers)
{
    const fc_chunk *s = w->s;
    const fc_axis *axis = &s->phase->axis[2];
    const ptrdiff_t element = (ptrdiff_t)s->call->element, step = step_of(w);
    const ptrdiff_t length = axis->taps * w->layout.vector * element;
    char *panel = s->at->panel + begin * fc_products(s->call->plan, s->phase->taps) * element;
    for (ptrdiff_t r = 0, run; r < rows; r += run) {
        const ptrdiff_t stretches = enter_row(w), column = w->place[2];
        run = whole_positions(s, &w->layout, column, rows - r);
        for (ptrdiff_t j = 0; j < stretches && run > 0; j++) {
            const char *src = s->at->stretches[j];
            const ptrdiff_t along = src ? step : 0;
            src = src ? src + column * step : s->at->zeros;
            for (const void **to = pointers + j * rows + r, **const end = to + run; to < end; src += along)
                *to++ = src;
        }
        if (run == 0) {
            fill_position(s, &w->layout, stretches, 0, column, panel + r * stretches * length);
            for (ptrdiff_t j = 0; j < stretches; j++)
                pointers[j * rows + r] = panel + (r * stretches + j) * length;
            run = 1;
        }
        advance(w, run);
    }
}

/* The pointers of one register tile, [tap][row], stretch by stretch of positions that lie in one row; to the first
 * group's channels. With one tap, tiles follow each other as their rows do: then it may be several. */
static void fill_tile(walk *w, ptrdiff_t rows, const void **pointers)
{
    const fc_chunk *s = w->s;
    const fc_axis *axis = &s->phase->axis[2];
    const ptrdiff_t tap = axis->offset_step * w->layout.pixel * (ptrdiff_t)s->call->element, step = step_of(w);
    for (ptrdiff_t r = 0, run; r < rows; r += run) {
        const ptrdiff_t stretches = enter_row(w), column = w->place[2];
        run = fc_min(rows - r, axis->count - column);
        for (ptrdiff_t t = 0; t < axis->taps; t++) {
            const fc_window *inside = &s->at->inside[t];
            const ptrdiff_t begin = fc_min(fc_max_extent(inside->begin - column, 0), run);
            const ptrdiff_t end = fc_max_extent(fc_min(inside->end - column, run), begin);
            for (ptrdiff_t j = 0; j < stretches; j++) {
                const char *src = s->at->stretches[j];
                const void **of_tap = pointers + (j * axis->taps + t) * rows;
                point_along(of_tap + r, run, src ? src + column * step + t * tap : NULL, step, src ? begin : run,
                            src ? end : run, s->at->zeros);
                if (s->skips && run == rows && (!src || begin == end))
                    of_tap[0] = NULL;
            }
        }
        advance(w, run);
    }
}

/* The same of a tile whose positions are those of some images beside each other. */
static void fill_tile_beside(walk *w, ptrdiff_t rows, const void **pointers)
{
    const fc_chunk *s = w->s;
    const layout_of_products *layout = &w->layout;
    const fc_axis *axis = &s->phase->axis[2];
    const ptrdiff_t element = (ptrdiff_t)s->call->element, tap = axis->offset_step * layout->pixel * element;
    for (ptrdiff_t r = 0, run; r < rows; r += run) {
        const ptrdiff_t stretches = find_stretches(s, layout, w->place, w->image, 0), column = w->place[2];
        run = neighbours(w, rows - r);
        for (ptrdiff_t i = 0; i < stretches * axis->taps; i++) {
            const fc_window *inside = &s->at->inside[i % axis->taps];
            const char *src = s->at->stretches[i / axis->taps];
            const bool met = src && inside->begin <= column && column < inside->end;
            point_along(pointers + i * rows + r, run, met ? src + i % axis->taps * tap : NULL, layout->image * element,
                        met ? 0 : run, run, s->at->zeros);
            if (s->skips && run == rows && !met)
                pointers[i * rows] = NULL;
        }
        advance(w, run);
    }
}

/* pointers[tile][tap or kernel row][row] of the chunk. */
static void fill_pointers(walk *w)
{
    const fc_chunk *s = w->s;
    const void **pointers = s->at->pointers;
    const bool im2col = s->call->plan->algorithm == FC_IM2COL;
    const int tiles = s->taps == 1 && !im2col ? 1 : s->tiles;
    for (int tile = 0; tile < tiles; tile++) {
        ptrdiff_t begin, end;
        fc_share(s->count, tile, tiles, &begin, &end);
        if (s->beside > 1)
            fill_tile_beside(w, end - begin, pointers);
        else if (im2col)
            fill_rows(w, begin, end - begin, pointers);
        else
            fill_tile(w, end - begin, pointers);
        pointers += s->taps * (end - begin);
    }
}

bool fc_rows_lie_ready(const fc_chunk *s) { return products_in(s).ready; }

ptrdiff_t fc_chunk_prepare(const fc_chunk *s, ptrdiff_t group)
{
    const bool last = s->call->plan->desc.layout == FC_CHANNELS_LAST;
    const fc_axis *all = s->phase->axis;
    const ptrdiff_t along = all[2].dst_step * (last ? s->call->channels.dst_channels : 1);
    const ptrdiff_t step =
        s->beside > 1 ? s->call->channels.dst_channels * all[0].dst * all[1].dst * all[2].dst : along;
    const bool im2col = s->call->plan->algorithm == FC_IM2COL;
    walk w;
    start(&w, s, im2col ? group : 0);
    bool even = true;
    for (ptrdiff_t i = 0, run; i < s->count; i += run, advance(&w, run)) {
        const ptrdiff_t at = target(s->call, s->phase, w.place, w.image);
        even = even && (i == 0 || at == s->at->offsets[i - 1] + step);
        run = neighbours(&w, s->count - i);
        for (ptrdiff_t j = 0; j < run; j++)
            s->at->offsets[i + j] = at + j * step;
    }
    const fc_axis *axis = &s->phase->axis[2];
    for (ptrdiff_t t = 0; t < axis->taps; t++)
        s->at->inside[t] = fc_valid(axis, axis->offset_first + t * axis->offset_step);
    restart(&w);
    if (im2col && !w.layout.ready)
        fill_panel(&w);
    else
        fill_pointers(&w);
    return even ? step : 0;
}
