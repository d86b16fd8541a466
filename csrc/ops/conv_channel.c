/* The channel family: register tiles of output positions x output channels, with pointers to the positions' input
 * vectors (direct), or to rows of an im2col matrix. Serves channels-last convolution, and im2col in both layouts.
 *
 * A row of the im2col matrix is built in a panel, unless its parts lie ready: in channels-last images the taps of a
 * kernel row are neighbours, so a position inside the image only needs a pointer for each kernel row.
 *
 * Positions of all images form one line; a chunk of it (some register tiles) gets its pointers or its panel built
 * once, then every tile of output channels runs over the chunk, so that weights are read once per chunk.
 */
#include "chunk.h"
#include "parallel.h"

#include <math.h>
#include <string.h>

enum { CHUNK_TILES = 16, CHUNK_BYTES = 64 * 1024 };

enum { CHUNK_RESULTS = 256 * 1024, LEAST_TILES = 4 }; /* results of a chunk stay in L2 */
enum { FEW_TAPS = 25 }; /* of a run in one chunk: each takes a pointer for every position */

static ptrdiff_t most_taps(const fc_conv_desc *desc) { return desc->kernel[0] * desc->kernel[1] * desc->kernel[2]; }

static ptrdiff_t kernel_rows(const fc_conv_desc *desc) { return desc->kernel[0] * desc->kernel[1]; }

/* Kernel rows, of every channel where channels are planes. */
static ptrdiff_t most_stretches(const fc_conv_desc *desc)
{
    const ptrdiff_t channels = desc->layout == FC_CHANNELS_LAST ? 1 : fc_conv_channels(desc).ic;
    return kernel_rows(desc) * channels;
}

/* What stands for padding: a pixel, or with im2col a kernel row of one group. */
static ptrdiff_t zeros_of(const fc_conv_plan *plan)
{
    const fc_channels channels = fc_conv_channels(&plan->desc);
    return plan->algorithm == FC_IM2COL ? channels.ic * plan->desc.kernel[2] : channels.src_channels;
}

/* Of one image's results, over all phases. */
static ptrdiff_t positions(const fc_conv_desc *desc)
{
    const ptrdiff_t *extent = desc->direction == FC_BACKWARD_INPUT ? desc->src : desc->dst;
    return extent[0] * extent[1] * extent[2];
}

/* Register tiles per chunk: as many as keep pointers or panel small, and results that are rows. */
static int chunk_tiles(const fc_conv_plan *plan)
{
    const double element = (double)fc_element(&plan->desc), taps = (double)most_taps(&plan->desc);
    const bool im2col = plan->algorithm == FC_IM2COL, turned = im2col && plan->desc.layout == FC_CHANNELS_FIRST;
    const double row = taps * (im2col ? (double)fc_conv_channels(&plan->desc).ic * element : (double)sizeof(void *));
    const double result = (double)fc_conv_channels(&plan->desc).dst_channels * element;
    const double results = CHUNK_RESULTS / (result * plan->rows), most = results < LEAST_TILES ? LEAST_TILES : results;
    double fitting = (turned ? 0.45 * (double)fc_l2_bytes() : CHUNK_BYTES) / (row * plan->rows);
    if (!turned && fitting > most)
        fitting = most;
    return fitting < 1 ? 1 : fitting > CHUNK_TILES ? CHUNK_TILES : (int)fitting;
}

/* Positions of a chunk; a run that packs its weights on the way is short, and one chunk. */
static ptrdiff_t chunk_positions(const fc_conv_plan *plan, bool on_the_way)
{
    return (on_the_way ? fc_divide_up(FC_FEW_POSITIONS, plan->rows) : chunk_tiles(plan)) * plan->rows;
}

/* Tiles of output channels that weights are packed for together, on the way: as many as keep the sums of a chunk's
 * positions, and the weights, in L2. Where the weights of a tile do not lie beside the next one's, it is one tile with
 * as many blocks of channels: memory is read in longer runs either way. */
enum { MOST_AT_ONCE = 4 };

static ptrdiff_t tiles_at_once(const fc_conv_call *call, ptrdiff_t count)
{
    if (fc_steps_of(&call->plan->desc, call->strides).lane != 1)
        return 1;
    return fc_min(fc_max_extent(FC_FEW_POSITIONS / fc_max_extent(count, 1), 1), MOST_AT_ONCE);
}

/* Of a partial sum, at most. */
static ptrdiff_t piece_products(const fc_conv_plan *plan)
{
    return fc_min(FC_SUM_LENGTH, fc_products(plan, most_taps(&plan->desc)));
}

static void lay_out(const fc_conv_plan *plan, fc_arena *arena, fc_channel_workspace *at)
{
    const ptrdiff_t taps = most_taps(&plan->desc), shortest = plan->reads_weights ? chunk_positions(plan, true) : 0;
    const ptrdiff_t rows = fc_max_extent(chunk_positions(plan, false), shortest);
    const size_t element = fc_element(&plan->desc);
    const bool im2col = plan->algorithm == FC_IM2COL;
    ptrdiff_t cells;
    arena->fits = fc_multiply(rows, im2col ? fc_products(plan, taps) : taps, &cells) && arena->fits;
    at->pointers = fc_carve(arena, im2col ? rows * kernel_rows(&plan->desc) : cells, sizeof(void *));
    at->panel = im2col ? fc_carve(arena, cells, element) : NULL;
    at->stretches = fc_carve(arena, most_stretches(&plan->desc), sizeof(void *));
    at->inside = fc_carve(arena, plan->desc.kernel[2], sizeof(fc_window));
    at->offsets = fc_carve(arena, rows, sizeof(ptrdiff_t));
    at->steps = fc_carve(arena, rows, sizeof(ptrdiff_t));
    at->runs = fc_carve(arena, rows, sizeof(ptrdiff_t));
    at->zeros = fc_carve(arena, zeros_of(plan), element);
    const ptrdiff_t lanes = (ptrdiff_t)plan->vectors * plan->lanes, room = plan->reads_weights ? MOST_AT_ONCE : 0;
    at->acc = fc_carve(arena, rows * lanes, element);
    at->piece = fc_carve(arena, piece_products(plan) * room * lanes, element);
    at->row_sums = fc_carve(arena, fc_dots_serve(&plan->desc) ? shortest * lanes : 0, element); /* so many tiles */
    at->taps_at = fc_carve(arena, plan->reads_weights ? taps : 0, sizeof(ptrdiff_t));
}

/* A tile's work for one position and product: multiply-adds and loads run side by side. */
static double position_cost(int rows, int vectors)
{
    const double fma = (double)rows * vectors, loads = (double)rows + vectors;
    return (fma > loads ? fma : loads) / rows;
}

/* The tile whose work is least, with the narrower one that ends the output channels. */
static void choose_tile(fc_conv_plan *plan)
{
    const fc_kernels *kernels = fc_kernels_for(plan->desc.isa, plan->desc.dtype);
    const ptrdiff_t oc = fc_conv_channels(&plan->desc).oc;
    double least = 0;
    for (int v = 1; v <= FC_MAX_VECTORS; v++) {
        const int rows = kernels->max_rows[v];
        if (rows == 0)
            continue;
        const fc_conv_plan candidate = {.desc = plan->desc, .vectors = v, .rows = rows, .lanes = plan->lanes};
        const ptrdiff_t width = (ptrdiff_t)v * plan->lanes, whole = oc / width;
        double cost = (double)whole * position_cost(rows, v);
        if (whole * width < oc)
            cost += position_cost(rows, (int)(fc_tile_width(&candidate, oc, whole * width) / plan->lanes));
        if (plan->vectors == 0 || cost < least) {
            plan->vectors = v;
            plan->rows = rows;
            least = cost;
        }
    }
}

/* Whether padding is more than a few of the products. */
static bool has_much_padding(const fc_conv_plan *plan)
{
    static const double LEAST = 0.04;
    fc_phase phase;
    fc_phase_at(&plan->desc, 0, &phase);
    double inside = 1;
    for (int a = 0; a < FC_SPATIAL; a++) {
        const fc_axis *axis = &phase.axis[a];
        double met = 0;
        for (ptrdiff_t t = 0; t < axis->taps; t++) {
            const fc_window window = fc_valid(axis, axis->offset_first + t * axis->offset_step);
            met += (double)(window.end - window.begin);
        }
        inside *= met / ((double)axis->count * (double)fc_max_extent(axis->taps, 1));
    }
    return phase.count > 0 && phase.taps > 1 && inside < 1 - LEAST;
}

fc_status fc_plan_channel(fc_conv_plan *plan)
{
    if (plan->group_width > 0) {
        plan->vectors = 1;
        plan->rows = FC_GROUP_ROWS;
    } else {
        choose_tile(plan);
    }
    plan->reads_weights = plan->group_width == 0 && plan->desc.reuse == FC_ONCE && plan->algorithm == FC_DIRECT &&
                          !fc_is_folded(plan) && positions(&plan->desc) <= FC_FEW_POSITIONS &&
                          most_taps(&plan->desc) <= FEW_TAPS;
    plan->skips =
        plan->algorithm == FC_DIRECT && plan->group_width == 0 && fc_phases(&plan->desc) == 1 && has_much_padding(plan);
    plan->tile[0] = plan->tile[1] = 1;
    plan->tile[2] = chunk_positions(plan, false);
    fc_arena arena = {.fits = true};
    fc_channel_workspace at;
    lay_out(plan, &arena, &at);
    if (plan->reads_weights && fc_dots_serve(&plan->desc)) {
        fc_arena dots = {.fits = true};
        fc_dots_lay_out(plan, &dots);
        arena.used = arena.used > dots.used ? arena.used : dots.used;
        arena.fits = arena.fits && dots.fits;
    }
    if (!fc_reserve_packed(plan))
        return FC_OVERFLOW;
    if (plan->skips)
        fc_reserve_mark(plan);
    return fc_set_workspace(plan, &arena);
}

/* ---- running ---------------------------------------------------------------------------------------------- */

/* From a channel of dst to the next, in elements. */
static ptrdiff_t channel_step(const fc_chunk *s)
{
    const fc_axis *axis = s->phase->axis;
    return s->call->plan->desc.layout == FC_CHANNELS_LAST ? 1 : axis[0].dst * axis[1].dst * axis[2].dst;
}

/* How far apart the results of a register tile's positions are; 0: uneven. */
static ptrdiff_t step_of_tile(const fc_chunk *s, ptrdiff_t begin, ptrdiff_t rows)
{
    const ptrdiff_t *at = s->at->offsets + begin, step = rows > 1 ? at[1] - at[0] : s->call->channels.dst_channels;
    for (ptrdiff_t i = 2; i < rows; i++)
        if (at[i] - at[i - 1] != step)
            return 0;
    return step;
}

/* The steps of all tiles, and which ones go on at the same pace: a kernel runs over those in one call. even: the step
 * from any position to the next; 0: there are several. */
static void find_steps(const fc_chunk *s, ptrdiff_t even)
{
    const ptrdiff_t each = s->count / s->tiles, more = s->count % s->tiles; /* as fc_share */
    const ptrdiff_t *at = s->at->offsets;
    ptrdiff_t *const steps = s->at->steps, *const runs = s->at->runs;
    for (ptrdiff_t tile = s->tiles - 1, begin = s->count, rows; tile >= 0; tile--) {
        rows = each + (tile < more);
        const ptrdiff_t behind = begin;
        begin -= rows;
        steps[tile] = even != 0 ? even : step_of_tile(s, begin, rows);
        const bool alike = behind < s->count && tile + 1 != more && steps[tile] != 0 &&
                           steps[tile] == steps[tile + 1] && at[behind] - at[behind - 1] == steps[tile];
        runs[tile] = alike ? runs[tile + 1] + 1 : 1;
    }
}

/* Some tiles of output channels of one group, side by side. */
typedef struct {
    ptrdiff_t group, first, count;
    ptrdiff_t live, width; /* channels of each that exist, and those of the tile */
    bool straight;
} oc_tiles;

static oc_tiles tiles_at(const fc_chunk *s, ptrdiff_t group, ptrdiff_t index, ptrdiff_t count)
{
    const fc_conv_call *call = s->call;
    const fc_conv_plan *plan = call->plan;
    oc_tiles t = {.group = group, .first = index * plan->vectors * plan->lanes, .count = count};
    t.width = fc_tile_width(plan, call->channels.oc, t.first);
    t.live = fc_min(t.width, call->channels.oc - t.first);
    t.straight = s->straight && t.live == t.width;
    return t;
}

/* Whether finished sums of a register tile go to dst at once. */
static bool leaves(const fc_chunk *s, const oc_tiles *t, int tile) { return t->straight && s->at->steps[tile] != 0; }

/* The first channel of tile k, in the whole of dst, and what of an array begins with it. */
static ptrdiff_t channel_of(const fc_chunk *s, const oc_tiles *t, ptrdiff_t k)
{
    return t->group * s->call->channels.oc + t->first + k * t->width;
}

static const char *bias_of(const fc_chunk *s, const oc_tiles *t, ptrdiff_t k)
{
    return s->call->bias ? s->call->bias + (size_t)channel_of(s, t, k) * s->call->element : NULL;
}

static size_t dst_of(const fc_chunk *s, const oc_tiles *t, ptrdiff_t k)
{
    return (size_t)(channel_of(s, t, k) * channel_step(s)) * s->call->element;
}

static char *acc_of(const fc_chunk *s, const oc_tiles *t, ptrdiff_t k, ptrdiff_t position)
{
    return s->at->acc + (size_t)((k * s->count + position) * t->width) * s->call->element;
}

/* Products of one partial sum: those of some taps, or kernel rows, with some of their channels. */
typedef struct {
    ptrdiff_t tap, taps, channel, channels;
    bool first, last; /* of the sum */
} piece;

/* The weights of some blocks of channels for every tile, where runs take weights that are not packed. */
static void pack_blocks(const fc_chunk *s, const oc_tiles *t, ptrdiff_t first, ptrdiff_t channels)
{
    const fc_conv_call *call = s->call;
    const fc_weight_steps steps = fc_steps_of(&call->plan->desc, call->strides);
    call->kernels->conv->pack(&(fc_pack_tile){
        .src = call->weights +
               (t->group * steps.group + t->first * steps.lane + first * steps.channel) * (ptrdiff_t)call->element,
        .lane_step = steps.lane,
        .channel_step = steps.channel,
        .taps_at = s->at->taps_at,
        .taps = s->taps,
        .channels = channels,
        .block = s->block,
        .live = t->live,
        .width = t->width,
        .tiles = t->count,
        .tile_step = s->taps * channels * t->width,
        .dst = s->at->piece,
    });
}

/* Where the sums of register tiles begin, and where they go: from one piece to the next they stay in acc. */
typedef struct {
    char *acc, *dst;   /* of position 0; finished ones that leave at once go to dst */
    const char *start; /* of a first piece; NULL: what is in acc */
    ptrdiff_t width;
    double least; /* of those that leave */
} tile_ends;

static tile_ends ends_of(const fc_chunk *s, const oc_tiles *t, ptrdiff_t k, const piece *p)
{
    const fc_conv_call *call = s->call;
    return (tile_ends){
        .acc = acc_of(s, t, k, 0),
        .dst = call->dst + dst_of(s, t, k),
        .start = !p->first                   ? NULL
                 : t->straight && call->bias ? bias_of(s, t, k)
                                             : fc_zeros,
        .width = t->width,
        .least = call->epilogue.activation == FC_RELU ? 0 : -INFINITY,
    };
}

static fc_tile_end end_at(const fc_chunk *s, const tile_ends *ends, bool leaves, ptrdiff_t tile, ptrdiff_t begin)
{
    char *const acc = ends->acc + (size_t)(begin * ends->width) * s->call->element;
    return (fc_tile_end){
        .dst = leaves ? ends->dst + s->at->offsets[begin] * (ptrdiff_t)s->call->element : acc,
        .from = ends->start ? ends->start : acc,
        .dst_step = leaves ? s->at->steps[tile] : ends->width,
        .from_step = ends->start ? 0 : ends->width,
        .least = leaves ? ends->least : -INFINITY,
    };
}

/* Packed weights that do not stay in L2 are fetched for the next piece by the last tile of this one. */
static void add_piece(const fc_chunk *s, const oc_tiles *t, ptrdiff_t k, const piece *p, const char *weights)
{
    const fc_kernels *kernels = s->call->kernels;
    const int narrow = s->call->plan->group_width;
    fc_channel_fn *const *const by_rows =
        narrow > 0 ? kernels->groups[narrow] : kernels->channel[t->width / s->call->plan->lanes];
    /* pointers serve all groups: of each they lead to the first one's channels */
    const ptrdiff_t own = s->call->plan->algorithm == FC_IM2COL ? 0 : t->group * s->call->channels.ic;
    const ptrdiff_t each = s->count / s->tiles, more = s->count % s->tiles; /* as fc_share */
    const tile_ends ends = ends_of(s, t, k, p);
    const void *const *pointers = s->at->pointers;
    const bool stream = s->call->packed && s->call->plan->packed_bytes > fc_l2_bytes() / 2;
    for (ptrdiff_t tile = 0, begin = 0, rows, run; tile < s->tiles; tile += run, begin += rows * run) {
        rows = each + (tile < more);
        run = s->at->runs[tile];
        fc_tile_end to = end_at(s, &ends, p->last && leaves(s, t, (int)tile), tile, begin);
        to.step = s->taps * rows;
        if (stream && tile + run == s->tiles)
            to.ahead = p->taps * p->channels * t->width * (ptrdiff_t)s->call->element;
        fc_channel_run(by_rows[rows], pointers + p->tap * rows, p->taps, own + p->channel, p->channels, weights, &to,
                       rows, run, s->call->element);
        pointers += to.step * run;
    }
}

/* Few samples of a dense layer: one chunk each, whose tiles all read the weights where they lie, row after row. */
static bool streams(const fc_conv_call *call)
{
    enum { FEW = 3 };
    return call->weights && call->strides[0] == 1 && call->n <= FEW && fc_dots_serve(&call->plan->desc);
}

static void stream_piece(const fc_chunk *s, const oc_tiles *t, const piece *p)
{
    const fc_conv_call *call = s->call;
    const ptrdiff_t element = (ptrdiff_t)call->element;
    const tile_ends ends = ends_of(s, t, 0, p);
    fc_tile_end end = end_at(s, &ends, p->last && leaves(s, t, 0), 0, 0);
    if (end.from == fc_zeros)
        end.from = NULL;
    call->kernels->conv->dense_row(&(fc_dense_row){
        .src = (const char *)s->at->pointers[0] + p->channel * element,
        .weights = call->weights + (p->channel * call->strides[1] + t->first) * element,
        .rows = p->channels,
        .step = call->strides[1],
        .count = t->count > 1 ? t->count * t->width : t->live,
        .end = end,
        .sums = s->at->row_sums,
    });
}

/* The chunk's sums, piece after piece of FC_SUM_LENGTH products at most, with packed weights. */
static void add_packed(const fc_chunk *s, const oc_tiles *t)
{
    const ptrdiff_t before = t->group * fc_packed_width(s->call->plan) + t->first, all = s->length * s->taps;
    const char *packed = s->packed + (size_t)(before * all) * s->call->element;
    piece p = {.first = true};
    ptrdiff_t left = all;
    for (ptrdiff_t first = 0; first < s->length; first += s->block) {
        const ptrdiff_t together = fc_min(s->block, s->length - first);
        const ptrdiff_t most = fc_max_extent(FC_SUM_LENGTH / together, 1);
        for (p.tap = 0; p.tap < s->taps; p.tap += most) {
            p.taps = fc_min(most, s->taps - p.tap);
            for (ptrdiff_t c = 0; c < together; c += FC_SUM_LENGTH) {
                p.channel = first + c;
                p.channels = fc_min(FC_SUM_LENGTH, together - c);
                left -= p.taps * p.channels;
                p.last = left == 0;
                add_piece(s, t, 0, &p, packed);
                packed += (size_t)(p.taps * p.channels * t->width) * s->call->element;
                p.first = false;
            }
        }
    }
}

/* The same sums where the weights are packed on the way, for several tiles or several blocks of one: a block, of few
 * taps, is a piece. */
static void add_on_the_way(const fc_chunk *s, const oc_tiles *t)
{
    const bool rows = streams(s->call);
    const ptrdiff_t most = s->block * (rows || t->count > 1 ? 1 : MOST_AT_ONCE);
    for (ptrdiff_t first = 0, ready; first < s->length; first += ready) {
        ready = fc_min(most, s->length - first);
        if (!rows)
            pack_blocks(s, t, first, ready);
        const char *weights = s->at->piece;
        for (ptrdiff_t k = 0; k < (rows ? 1 : t->count); k++) {
            piece p = {.taps = s->taps, .channel = first};
            for (; p.channel < first + ready; p.channel += p.channels) {
                p.channels = fc_min(s->block, first + ready - p.channel);
                p.first = p.channel == 0;
                p.last = p.channel + p.channels == s->length;
                if (rows)
                    stream_piece(s, t, &p);
                else
                    add_piece(s, t, k, &p, weights);
                weights += (size_t)(p.taps * p.channels * t->width) * s->call->element;
            }
        }
    }
}

static void store_tiles(const fc_chunk *s, const oc_tiles *t, ptrdiff_t k)
{
    const fc_conv_call *call = s->call;
    for (int tile = 0, next; tile < s->tiles; tile = next) {
        next = tile + 1;
        if (leaves(s, t, tile))
            continue;
        while (next < s->tiles && !leaves(s, t, next))
            next++;
        ptrdiff_t begin, end, last;
        fc_share(s->count, tile, s->tiles, &begin, &last);
        fc_share(s->count, next - 1, s->tiles, &last, &end);
        call->kernels->conv->store_rows(&(fc_row_store){
            .acc = acc_of(s, t, k, begin),
            .rows = (int)(end - begin),
            .stride = (int)t->width,
            .live = (int)t->live,
            .offsets = s->at->offsets + begin,
            .channel_step = channel_step(s),
            .bias = t->straight ? NULL : bias_of(s, t, k),
            .residual = call->residual ? call->residual + dst_of(s, t, k) : NULL,
            .dst = call->dst + dst_of(s, t, k),
            .epilogue = &call->epilogue,
        });
    }
}

/* Some tiles of output channels of one group, over all positions of the chunk. */
static void run_tiles(const fc_chunk *s, const oc_tiles *t)
{
    if (s->taps * s->length == 0)
        memset(s->at->acc, 0, (size_t)(t->count * s->count * t->width) * s->call->element);
    if (s->call->weights)
        add_on_the_way(s, t);
    else
        add_packed(s, t);
    for (ptrdiff_t k = 0; k < t->count; k++)
        store_tiles(s, t, k);
}

static void set_runs(fc_chunk *s)
{
    const ptrdiff_t ic = s->call->channels.ic, taps = s->phase->taps;
    const bool im2col = s->call->plan->algorithm == FC_IM2COL, ready = fc_rows_lie_ready(s);
    s->taps = !im2col ? taps : ready ? s->phase->axis[0].taps * s->phase->axis[1].taps : 1;
    s->length = !im2col ? ic : ready ? s->phase->axis[2].taps * ic : taps * ic;
    s->block = im2col ? s->length : fc_channel_block(taps, ic);
}

static bool goes_straight(const fc_conv_call *call, const fc_phase *phase)
{
    const fc_activation activation = call->epilogue.activation;
    return call->plan->desc.layout == FC_CHANNELS_LAST && !call->residual && phase->taps > 0 && call->channels.ic > 0 &&
           (activation == FC_IDENTITY || activation == FC_RELU);
}

/* Rows shorter than two tiles meet padding above them in few whole tiles, and beside them in none: then the positions
 * of one place in a tile's worth of images come together. */
static ptrdiff_t images_beside(const fc_chunk *s)
{
    const ptrdiff_t rows = s->call->plan->rows;
    return s->skips && s->call->n >= rows && s->phase->axis[2].count < 2 * rows ? rows : 1;
}

/* Units of work: (chunk of positions, group, tile of output channels), in this order. */
static void run_phase(const fc_conv_call *call, const fc_phase *phase, const char *packed, fc_channel_workspace *at,
                      fc_part part)
{
    const fc_conv_plan *plan = call->plan;
    const bool rows = streams(call);
    const ptrdiff_t positions = call->n * phase->count, most = chunk_positions(plan, call->weights);
    const ptrdiff_t height = rows ? 1 : plan->rows, heights = fc_divide_up(positions, height);
    const ptrdiff_t chunks = rows ? positions : fc_divide_up(positions, most);
    const ptrdiff_t width = (ptrdiff_t)plan->vectors * plan->lanes, whole = call->channels.oc / width;
    const ptrdiff_t tiles = fc_divide_up(call->channels.oc, width);
    ptrdiff_t begin, end, ready = -1;
    fc_share_of_runs(chunks * call->channels.groups * tiles, plan->algorithm == FC_IM2COL ? tiles : 1, part, &begin,
                     &end);
    fc_chunk s = {
        .call = call,
        .phase = phase,
        .packed = packed,
        .straight = goes_straight(call, phase),
        .at = at,
    };
    set_runs(&s);
    s.skips = plan->skips && call->packed && fc_marked_finite(plan, call->packed);
    s.beside = images_beside(&s);
    for (ptrdiff_t t = 0; call->weights && t < phase->taps; t++)
        at->taps_at[t] = fc_tap_at(&plan->desc, phase, t, call->strides);
    for (ptrdiff_t unit = begin, count; unit < end; unit += count) {
        const ptrdiff_t work = unit / tiles, group = work % call->channels.groups, index = unit % tiles;
        const ptrdiff_t inputs = plan->algorithm == FC_IM2COL ? work : work / call->channels.groups;
        if (inputs != ready) {
            ptrdiff_t first, last;
            fc_share(heights, work / call->channels.groups, chunks, &first, &last);
            s.first = first * height;
            s.count = fc_min(last * height, positions) - s.first;
            s.tiles = (int)fc_divide_up(s.count, plan->rows);
            find_steps(&s, fc_chunk_prepare(&s, group));
            ready = inputs;
        }
        count =
            call->weights ? fc_min(fc_min(whole - index, end - unit), rows ? most : tiles_at_once(call, s.count)) : 1;
        count = fc_max_extent(count, 1);
        const oc_tiles t = tiles_at(&s, group, index, count);
        run_tiles(&s, &t);
    }
}

void fc_conv_channel(const void *context, fc_part part)
{
    const fc_conv_call *call = context;
    const fc_conv_desc *desc = &call->plan->desc;
    const char *packed = call->packed;
    const ptrdiff_t phases = fc_phases(desc);
    fc_channel_workspace at;
    fc_arena arena = fc_thread_arena(call, part.thread);
    lay_out(call->plan, &arena, &at);
    memset(at.zeros, 0, (size_t)zeros_of(call->plan) * call->element);
    for (ptrdiff_t i = 0; i < phases; i++) {
        fc_phase phase;
        fc_phase_at(desc, i, &phase);
        const ptrdiff_t size = fc_packed_size(call->plan, &phase);
        fc_flatten(&phase);
        run_phase(call, &phase, packed, &at, part);
        if (packed)
            packed += (size_t)size * call->element;
    }
}
