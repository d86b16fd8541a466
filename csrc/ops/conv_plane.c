/* The plane family, channels-first: vectors run along pixels.
 *
 * A unit of work is a box of output positions of one image and group, and some tiles of its output channels. Its
 * input comes in blocks of channels. A block is copied to a zero-padded band (band.h), and a line of positions is cut
 * into panels of one register tile's width. What the tile reads has one of three forms:
 *
 *   shared   the band itself. A line runs over the rows of the band's pitch; the few columns past the box's width are
 *            computed too and thrown away
 *   columns  the band itself, with a copy of it for every column of the kernel: no columns are thrown away
 *   panels   the block's products of one panel, gathered from the band: whole aligned vectors in the order in which
 *            the tile takes them. A 1x1 convolution of stride 1 needs no band, its panels come straight from the input
 *
 * Gathering pays when enough output channels use what was gathered.
 */
#include "band.h"
#include "dispatch/lanes_kernels.h"
#include "images.h"
#include "parallel.h"

#include <math.h>
#include <string.h>

/* What a thread keeps stays well inside the L2 of every processor since 2017 (half a megabyte and more), and a
 * panel's block inside L1. */
enum { BAND_BYTES = 160 * 1024, ACC_BYTES = 192 * 1024, PANEL_PRODUCTS = 256, LONG_LINE = 768 };

typedef struct {
    char *band, *panel, *acc;
    ptrdiff_t *in_band, *in_panel; /* where a block's products lie */
    ptrdiff_t *in_row;             /* and their weights, when those are not packed */
    fc_segment *sources, *results; /* of a panel */
} workspace;

static bool gathers(const fc_conv_plan *plan) { return plan->form == FC_PLANE_PANELS; }

static fc_band band_of(const fc_conv_plan *plan, const fc_phase *phase, const ptrdiff_t box[FC_SPATIAL])
{
    return fc_band_of(phase, box, plan->form == FC_PLANE_COLUMNS);
}

/* Positions of a box along the line that a form lays out. */
static ptrdiff_t line_of(fc_plane_form form, const fc_band *band, const ptrdiff_t box[FC_SPATIAL])
{
    if (form == FC_PLANE_PANELS)
        return box[0] * box[1] * box[2];
    return ((box[0] - 1) * band->axis[1].length + box[1] - 1) * band->axis[2].length + box[2];
}

/* Whether products are the input's own planes. Then the phase is seen as a single axis. */
static bool flatten(fc_phase *phase)
{
    fc_axis *axis = phase->axis;
    for (int a = 0; a < FC_SPATIAL; a++)
        if (axis[a].taps != 1 || axis[a].src_step != 1 || axis[a].dst_step != 1 || axis[a].offset_first != 0 ||
            axis[a].src != axis[a].count || axis[a].dst != axis[a].count)
            return false;
    const fc_axis unit = {.src = 1, .dst = 1, .count = 1, .dst_step = 1, .src_step = 1, .offset_step = 1, .taps = 1};
    const ptrdiff_t volume = axis[0].src * axis[1].src * axis[2].src;
    axis[0] = axis[1] = axis[2] = unit;
    axis[2].src = axis[2].dst = axis[2].count = volume;
    return true;
}

/* ---- planning --------------------------------------------------------------------------------------------- */

static ptrdiff_t vector_elements(const fc_conv_plan *plan) { return (ptrdiff_t)plan->vectors * plan->lanes; }

static ptrdiff_t input_channels(const fc_conv_plan *plan) { return fc_conv_channels(&plan->desc).ic; }

static ptrdiff_t most_taps(const fc_conv_plan *plan)
{
    const ptrdiff_t *kernel = plan->desc.kernel;
    return kernel[0] * kernel[1] * kernel[2];
}

/* Channels that are taken together: equal blocks of about `products`. */
static ptrdiff_t block_of(const fc_conv_plan *plan, const fc_phase *phase, ptrdiff_t products)
{
    const ptrdiff_t channels = input_channels(plan);
    const ptrdiff_t most = fc_max_extent(products / fc_max_extent(phase->taps, 1), 1);
    return fc_divide_up(channels, fc_divide_up(channels, most));
}

/* The form whose work for one image is least, in cycles of a processor with two multiply-add and two load units: a
 * vector that crosses cache lines, as those of a band do, costs 1.15 in a tile; one that is copied costs three, and
 * every row of them ten; one that is stored costs ten. */
static fc_plane_form choose_form(const fc_conv_plan *plan, const fc_phase *phase, double *cost)
{
    const fc_axis *axis = phase->axis;
    const ptrdiff_t box[FC_SPATIAL] = {axis[0].count, axis[1].count, axis[2].count};
    const double lanes = plan->lanes, channels = (double)input_channels(plan);
    const double products = channels * (double)phase->taps, rows = (double)fc_conv_channels(&plan->desc).oc / 2;
    const fc_band shared = fc_band_of(phase, box, false), columns = fc_band_of(phase, box, true);
    const double copy = 3, row = 10;
    const double shared_copy = channels * (double)shared.channel * (copy / lanes + row / (double)shared.axis[2].length);
    const double columns_copy = channels * (double)columns.channel * (copy / lanes + row / (double)axis[2].count);
    const double compact = (double)phase->count / lanes;
    const double shared_line = (double)line_of(FC_PLANE_SHARED, &shared, box) / lanes;
    const double by_shared = shared_copy + products * shared_line * rows * 1.15;
    const double by_columns = columns_copy + products * compact * rows * 1.1;
    const double gathered = compact + (double)(axis[0].count * axis[1].count);
    const double by_panels = shared_copy + products * (compact * rows + gathered * copy);
    const bool panels = by_panels < by_shared && by_panels < by_columns;
    *cost = panels ? by_panels : by_columns < by_shared ? by_columns : by_shared;
    *cost += compact * rows * 20;
    return panels ? FC_PLANE_PANELS : by_columns < by_shared ? FC_PLANE_COLUMNS : FC_PLANE_SHARED;
}

/* Half cycles that a step of a tile takes: multiply-adds, loads (one that crosses a cache line counts twice) and the
 * latency of a short chain of sums run side by side; what a panel holds may have to come from L2. */
static double step_of(const fc_conv_plan *plan, double rows, double vectors)
{
    const double fma = rows * vectors, latency = 8;
    const double loads = rows + (gathers(plan) ? 1.0 : 2.0) * vectors;
    const double busy = fma > loads ? fma : loads;
    return (busy > latency ? busy : latency) + 0.25 * vectors;
}

/* The widest of the narrower tiles of `rows` that still holds `count` positions, or the plan's. */
static int narrow(const fc_kernels *kernels, int vectors, int rows, ptrdiff_t count)
{
    for (int v = (int)fc_divide_up(count, kernels->lanes); v < vectors; v++)
        if (rows <= kernels->max_rows[v])
            return v;
    return vectors;
}

/* Rows of weights that are not packed are as far apart as they are long: more of them than L1 has ways could all meet
 * in one set. */
enum { MOST_ROWS_IN_PLACE = 8 };

/* The tile whose work for a line is least. */
static void choose_tile(fc_conv_plan *plan, ptrdiff_t line)
{
    const int most_rows = plan->reads_weights ? MOST_ROWS_IN_PLACE : FC_MAX_ROWS;
    const fc_kernels *kernels = fc_kernels_for(plan->desc.isa, plan->desc.dtype);
    const ptrdiff_t oc = fc_conv_channels(&plan->desc).oc;
    double least = 0;
    plan->vectors = 0;
    for (int v = 1; v <= FC_MAX_VECTORS; v++) {
        if (kernels->max_rows[v] == 0)
            continue;
        const ptrdiff_t tiles = fc_divide_up(oc, fc_min(kernels->max_rows[v], most_rows)),
                        vector = (ptrdiff_t)v * plan->lanes;
        const int rows = (int)fc_divide_up(oc, tiles), rest = narrow(kernels, v, rows, line % vector);
        const double panels = (double)(line / vector) * step_of(plan, rows, v);
        const double cost = (double)tiles * (panels + (line % vector > 0 ? step_of(plan, rows, rest) : 0));
        if (plan->vectors == 0 || cost < least) {
            plan->vectors = v;
            plan->rows = rows;
            least = cost;
        }
    }
}

static bool fits(const fc_conv_plan *plan, const fc_phase *phase, const ptrdiff_t box[FC_SPATIAL])
{
    const fc_band band = band_of(plan, phase, box);
    const double element = (double)fc_element(&plan->desc), line = (double)line_of(plan->form, &band, box);
    if (gathers(plan) && line > LONG_LINE)
        return false;
    if (plan->block < input_channels(plan) && line * element * (double)fc_conv_channels(&plan->desc).oc > ACC_BYTES)
        return false;
    return plan->flat || (double)band.channel * element * (double)plan->block <= BAND_BYTES;
}

/* The largest extent in [least, count] that fits, for one axis of the box; `least` when none does. */
static void grow(fc_conv_plan *plan, const fc_phase *phase, int axis, ptrdiff_t least)
{
    ptrdiff_t low = least, high = phase->axis[axis].count;
    while (low < high) {
        plan->tile[axis] = low + (high - low + 1) / 2;
        if (fits(plan, phase, plan->tile))
            low = plan->tile[axis];
        else
            high = plan->tile[axis] - 1;
    }
    if (low > least) /* equal pieces instead of a small last one */
        low = fc_divide_up(phase->axis[axis].count, fc_divide_up(phase->axis[axis].count, low));
    plan->tile[axis] = low;
}

/* Whole rows where they fit, at least some vectors of columns where they do not; then rows, then depth. */
static void choose_box(fc_conv_plan *plan, const fc_phase *phase)
{
    plan->tile[0] = plan->tile[1] = 1;
    grow(plan, phase, 2, fc_min((ptrdiff_t)4 * plan->lanes, phase->axis[2].count));
    grow(plan, phase, 1, 1);
    grow(plan, phase, 0, 1);
}

static void lay_out(const fc_conv_plan *plan, fc_arena *arena, workspace *at)
{
    const size_t element = fc_element(&plan->desc);
    const ptrdiff_t vector = vector_elements(plan), products = fc_saturate(most_taps(plan), plan->block);
    const ptrdiff_t tiles = fc_divide_up(fc_conv_channels(&plan->desc).oc, plan->rows);
    const ptrdiff_t kept = plan->block < input_channels(plan) ? fc_saturate(plan->panels, tiles) : 1;
    /* the last vector of a tile may start at the line's last position, in any channel */
    at->band = fc_carve(arena, plan->flat ? 0 : plan->band + vector, element);
    at->panel = fc_carve(arena, gathers(plan) ? fc_saturate(products + 1, vector) : 0, element);
    at->in_band = fc_carve(arena, products, sizeof(ptrdiff_t));
    at->in_panel = fc_carve(arena, gathers(plan) ? products : 0, sizeof(ptrdiff_t));
    at->in_row = fc_carve(arena, plan->reads_weights ? products : 0, sizeof(ptrdiff_t));
    at->sources = fc_carve(arena, vector, sizeof(fc_segment));
    at->results = fc_carve(arena, vector, sizeof(fc_segment));
    at->acc = fc_carve(arena, fc_saturate(kept, plan->rows * vector), element);
    fc_carve(arena, plan->lanes, element); /* store_plane reads a vector past the sums */
}

/* Room for the bands and lines of every phase. */
static void reserve(fc_conv_plan *plan)
{
    const ptrdiff_t phases = fc_phases(&plan->desc);
    plan->band = 0;
    ptrdiff_t line = 1;
    for (ptrdiff_t i = 0; i < phases; i++) {
        fc_phase phase;
        fc_phase_at(&plan->desc, i, &phase);
        if (plan->flat)
            flatten(&phase);
        const fc_band band = band_of(plan, &phase, plan->tile);
        plan->band = fc_max_extent(plan->band, band.channel);
        if (band.channel < PTRDIFF_MAX)
            line = fc_max_extent(line, line_of(plan->form, &band, plan->tile));
    }
    plan->band = fc_saturate(plan->band, plan->block);
    plan->panels = fc_divide_up(line, vector_elements(plan));
}

/* The phase with the most work. */
static fc_phase largest_phase(const fc_conv_desc *desc)
{
    const ptrdiff_t phases = fc_phases(desc);
    fc_phase largest = {.taps = 0};
    for (ptrdiff_t i = 0; i < phases; i++) {
        fc_phase phase;
        fc_phase_at(desc, i, &phase);
        if (i == 0 || (double)phase.taps * (double)phase.count > (double)largest.taps * (double)largest.count)
            largest = phase;
    }
    return largest;
}

/* Whether a single run had better read weights where they lie: they are many, and meet few positions. */
static bool packing_counts(const fc_conv_plan *plan, const fc_phase *phase)
{
    enum { MANY_WEIGHTS = 32 * 1024 };
    const double weights = (double)phase->taps * (double)plan->desc.oc * (double)input_channels(plan);
    return plan->desc.reuse == FC_ONCE && plan->desc.direction == FC_FORWARD && !plan->blocks_of_images &&
           phase->count <= FC_FEW_POSITIONS && weights >= MANY_WEIGHTS;
}

bool fc_lie_in_rows(const fc_conv_desc *desc, const ptrdiff_t strides[2 + FC_SPATIAL])
{
    ptrdiff_t length = 1;
    for (int a = FC_SPATIAL - 1; a >= 0; a--) {
        if (desc->kernel[a] > 1 && strides[2 + a] != length)
            return false;
        length *= desc->kernel[a];
    }
    return desc->ic == desc->groups || strides[1] == length;
}

fc_status fc_plan_plane(fc_conv_plan *plan)
{
    fc_phase phase = largest_phase(&plan->desc);
    if (phase.count == 0) {
        plan->vectors = plan->rows = 1;
        return FC_OK;
    }
    plan->flat = flatten(&phase);
    double cost;
    plan->form = choose_form(plan, &phase, &cost);
    if (plan->flat)
        plan->form = FC_PLANE_PANELS;
    const double in_blocks = fc_images_cost(plan, &phase);
    plan->blocks_of_images = in_blocks >= 0 && in_blocks < cost;
    plan->reads_weights = packing_counts(plan, &phase);
    if (plan->reads_weights)
        plan->form = FC_PLANE_PANELS;
    plan->block = block_of(plan, &phase, gathers(plan) ? PANEL_PRODUCTS : FC_SUM_LENGTH);
    choose_box(plan, &phase);
    const fc_band band = band_of(plan, &phase, plan->tile);
    choose_tile(plan, band.channel < PTRDIFF_MAX ? line_of(plan->form, &band, plan->tile) : band.channel);
    reserve(plan);
    if (plan->band > PTRDIFF_MAX / 16)
        return FC_OVERFLOW;
    fc_arena arena = {.fits = true};
    workspace at;
    lay_out(plan, &arena, &at);
    if (plan->blocks_of_images) {
        fc_arena blocks = {.fits = true};
        fc_images_lay_out(plan, &phase, &blocks);
        arena.used = arena.used > blocks.used ? arena.used : blocks.used;
        arena.fits = arena.fits && blocks.fits;
    }
    return fc_reserve_packed(plan) ? fc_set_workspace(plan, &arena) : FC_OVERFLOW;
}

/* ---- running ---------------------------------------------------------------------------------------------- */

typedef struct {
    const fc_conv_call *call;
    const fc_phase *phase;
    const char *packed; /* of this phase */
    workspace at;
    fc_band band; /* of a whole box: a box at the edge only uses less of it */
    ptrdiff_t image, group;
    ptrdiff_t first[FC_SPATIAL], box[FC_SPATIAL];
    int tile_begin, tile_end;    /* of output channels */
    ptrdiff_t channel, channels; /* of the block */
} unit;

/* A stretch of a unit's line: `count` positions from `begin`, computed by a tile of so many vectors. */
typedef struct {
    ptrdiff_t begin, count;
    int vectors, sources, results;
} panel;

static int oc_tiles(const fc_conv_call *call) { return (int)fc_divide_up(call->channels.oc, call->plan->rows); }

static const char *input_of(const unit *s)
{
    const fc_axis *axis = s->phase->axis;
    const ptrdiff_t plane = s->image * s->call->channels.src_channels + s->group * s->call->channels.ic + s->channel;
    return s->call->src + (size_t)(plane * axis[0].src * axis[1].src * axis[2].src) * s->call->element;
}

/* Adds a stretch, to the last one where it continues it. */
static int append(fc_segment *segments, int count, fc_segment next, bool contiguous)
{
    if (count > 0 && contiguous) {
        fc_segment *last = &segments[count - 1];
        if (last->begin + last->count == next.begin && last->offset + last->count == next.offset) {
            last->count += next.count;
            return count;
        }
    }
    segments[count] = next;
    return count + 1;
}

/* The stretches of a panel that are results: where they come from in the band, and where they belong. */
static void find_segments(const unit *s, panel *p)
{
    const fc_axis *axis = s->phase->axis;
    const bool compact = gathers(s->call->plan);
    const ptrdiff_t pitch = compact ? s->box[2] : s->band.axis[2].length;
    const ptrdiff_t rows = compact ? s->box[1] : s->band.axis[1].length, end = p->begin + p->count;
    p->sources = p->results = 0;
    for (ptrdiff_t row = p->begin / pitch; row * pitch < end; row++) {
        const ptrdiff_t h = row % rows, d = row / rows;
        if (d >= s->box[0])
            break;
        const ptrdiff_t from = fc_max_extent(row * pitch, p->begin), to = fc_min(row * pitch + s->box[2], end);
        if (h >= s->box[1] || from >= to)
            continue;
        const int begin = (int)(from - p->begin), count = (int)(to - from);
        const ptrdiff_t w = from - row * pitch;
        ptrdiff_t at = axis[0].dst_first + (s->first[0] + d) * axis[0].dst_step;
        at = at * axis[1].dst + axis[1].dst_first + (s->first[1] + h) * axis[1].dst_step;
        at = at * axis[2].dst + axis[2].dst_first + (s->first[2] + w) * axis[2].dst_step;
        p->results = append(s->at.results, p->results, (fc_segment){begin, count, at}, axis[2].dst_step == 1);
        at = s->call->plan->flat ? s->first[2] + w : (d * s->band.axis[1].length + h) * s->band.axis[2].length + w;
        if (compact)
            p->sources = append(s->at.sources, p->sources, (fc_segment){begin, count, at}, true);
    }
}

static panel panel_at(const unit *s, ptrdiff_t begin, ptrdiff_t line)
{
    const fc_conv_plan *plan = s->call->plan;
    panel p = {.begin = begin, .count = fc_min(vector_elements(plan), line - begin)};
    p.vectors = narrow(s->call->kernels, plan->vectors, plan->rows, p.count);
    find_segments(s, &p);
    return p;
}

static void store(const unit *s, const panel *p, const char *acc, ptrdiff_t channel, ptrdiff_t rows)
{
    const fc_conv_call *call = s->call;
    const fc_axis *axis = s->phase->axis;
    const ptrdiff_t volume = axis[0].dst * axis[1].dst * axis[2].dst;
    const size_t dst_at = (size_t)((s->image * call->channels.dst_channels + channel) * volume) * call->element;
    call->kernels->conv->store_plane(&(fc_plane_store){
        .acc = acc,
        .rows = (int)rows,
        .stride = p->vectors * call->plan->lanes,
        .segments = s->at.results,
        .count = p->results,
        .step = axis[2].dst_step,
        .channel_step = volume,
        .bias = call->bias ? call->bias + (size_t)channel * call->element : NULL,
        .residual = call->residual ? call->residual + dst_at : NULL,
        .dst = call->dst + dst_at,
        .epilogue = &call->epilogue,
    });
}

/* Has the lines that a tile will write brought near while the tile runs: a panel's results are a few lines of every
 * channel, which no processor foresees. */
static void expect_results(const unit *s, const panel *p, ptrdiff_t channel, ptrdiff_t rows)
{
    const fc_conv_call *call = s->call;
    const fc_axis *axis = s->phase->axis;
    const size_t volume = (size_t)(axis[0].dst * axis[1].dst * axis[2].dst) * call->element;
    const char *dst = call->dst + (size_t)(s->image * call->channels.dst_channels + channel) * volume;
    const size_t begin = (size_t)s->at.results[0].offset * call->element;
    const fc_segment *last = &s->at.results[p->results - 1];
    const size_t end = (size_t)(last->offset + (last->count - 1) * axis[2].dst_step) * call->element;
    for (ptrdiff_t r = 0; r < rows; r++, dst += volume)
        for (size_t at = begin; at <= end; at += FC_ALIGNMENT)
            __builtin_prefetch(dst + at, 1);
}

/* Whether the sums of a panel are results but for a bias and a ReLU, and their rows whole. */
static bool goes_straight(const unit *s, const panel *p)
{
    const fc_conv_call *call = s->call;
    const fc_activation activation = call->epilogue.activation;
    return p->results == 1 && s->at.results[0].count == p->vectors * call->plan->lanes &&
           s->phase->axis[2].dst_step == 1 && !call->residual && (activation == FC_IDENTITY || activation == FC_RELU);
}

/* The sums of a tile stay in acc. */
static fc_tile_end sums_in(const unit *s, const panel *p, char *acc, bool first)
{
    const ptrdiff_t width = (ptrdiff_t)p->vectors * s->call->plan->lanes;
    return (fc_tile_end){acc, first ? fc_zeros : acc, width, first ? 0 : width, -INFINITY};
}

/* They become results; returns what their rows start from. */
static const char *make_results(const unit *s, ptrdiff_t channel, fc_tile_end *end)
{
    const fc_conv_call *call = s->call;
    const fc_axis *axis = s->phase->axis;
    const ptrdiff_t volume = axis[0].dst * axis[1].dst * axis[2].dst;
    const ptrdiff_t at = (s->image * call->channels.dst_channels + channel) * volume + s->at.results[0].offset;
    end->dst = call->dst + (size_t)at * call->element;
    end->dst_step = volume;
    end->least = call->epilogue.activation == FC_RELU ? 0 : -INFINITY;
    return call->bias ? call->bias + (size_t)channel * call->element : fc_zeros;
}

/* A tile's sums with weights that are not packed: then it is the panel that a tile streams. */
static void add_in_place(const unit *s, const panel *p, ptrdiff_t channel, ptrdiff_t rows, ptrdiff_t length, char *acc)
{
    const fc_conv_call *call = s->call;
    const ptrdiff_t pitch = vector_elements(call->plan), width = (ptrdiff_t)p->vectors * call->plan->lanes;
    const ptrdiff_t at = channel * call->strides[0] + s->channel * s->phase->taps;
    for (ptrdiff_t i = 0; i < length; i += FC_SUM_LENGTH)
        call->kernels->lanes_kernels->pixels[p->vectors][rows](&(fc_lanes_tile){
            .src = call->weights + at * (ptrdiff_t)call->element,
            .src_step = call->strides[0],
            .offsets = s->at.in_row + i,
            .count = fc_min(FC_SUM_LENGTH, length - i),
            .weights = s->at.panel + (size_t)(i * pitch) * call->element,
            .weight_step = pitch,
            .dst = acc,
            .dst_step = width,
            .live = (int)width,
            .accumulate = i > 0 || s->channel > 0,
        });
}

/* A tile's sums with packed weights; whether the last block's have become results. */
static bool add_packed(const unit *s, const panel *p, ptrdiff_t channel, ptrdiff_t rows, ptrdiff_t length, char *acc)
{
    const fc_conv_call *call = s->call;
    const ptrdiff_t ic = call->channels.ic, taps = s->phase->taps, first = (channel * ic + s->channel * rows) * taps;
    const bool straight = s->channel + s->channels == ic && goes_straight(s, p);
    const bool panel = gathers(call->plan);
    const char *src = panel ? s->at.panel : s->at.band + (size_t)p->begin * call->element;
    const ptrdiff_t *offsets = panel ? s->at.in_panel : s->at.in_band;
    for (ptrdiff_t i = 0; i < length; i += FC_SUM_LENGTH) {
        const ptrdiff_t count = fc_min(FC_SUM_LENGTH, length - i);
        fc_tile_end end = sums_in(s, p, acc, i == 0 && s->channel == 0);
        const char *start = fc_zeros;
        if (straight && i + count == length)
            start = make_results(s, channel, &end);
        call->kernels->plane[p->vectors][rows](src, offsets + i, count,
                                               s->packed + (size_t)(first + i * rows) * call->element, start, &end);
    }
    return straight;
}

/* The unit's tiles of output channels at one panel: the block's products are added, after the last block the sums
 * leave. */
static void run_tiles(const unit *s, const panel *p)
{
    const fc_conv_call *call = s->call;
    const fc_conv_plan *plan = call->plan;
    const ptrdiff_t oc = call->channels.oc, ic = call->channels.ic, length = s->phase->taps * s->channels;
    const bool last_block = s->channel + s->channels == ic;
    const size_t tile_bytes = (size_t)plan->rows * (size_t)vector_elements(plan) * call->element;
    const int tiles = oc_tiles(call);
    const ptrdiff_t number = p->begin / vector_elements(plan);
    for (int tile = s->tile_begin; tile < s->tile_end; tile++) {
        ptrdiff_t first, last;
        fc_share(oc, tile, tiles, &first, &last);
        const ptrdiff_t rows = last - first, channel = s->group * oc + first;
        char *acc = s->at.acc;
        bool done = false;
        if (plan->block < ic)
            acc += (size_t)(number * tiles + tile) * tile_bytes;
        if (last_block)
            expect_results(s, p, channel, rows);
        if (length == 0)
            memset(acc, 0, tile_bytes);
        else if (call->weights)
            add_in_place(s, p, channel, rows, length, acc);
        else
            done = add_packed(s, p, channel, rows, length, acc);
        if (last_block && !done)
            store(s, p, acc, channel, rows);
    }
}

static void run_panel(const unit *s, const panel *p)
{
    const fc_conv_call *call = s->call;
    if (gathers(call->plan))
        call->kernels->conv->copy_panel(&(fc_panel){
            .src = call->plan->flat ? input_of(s) : s->at.band,
            .offsets = s->at.in_band,
            .count = s->phase->taps * s->channels,
            .segments = s->at.sources,
            .segment_count = p->sources,
            .dst = s->at.panel,
            .pitch = vector_elements(call->plan),
        });
    run_tiles(s, p);
}

/* Panel after panel of a block of channels, block after block; between blocks the sums of all panels are kept. */
static void run_unit(unit *s)
{
    const fc_conv_call *call = s->call;
    const fc_conv_plan *plan = call->plan;
    const ptrdiff_t line = line_of(plan->form, &s->band, s->box), ic = call->channels.ic;
    for (s->channel = 0; s->channel < ic; s->channel += s->channels) {
        s->channels = fc_min(plan->block, ic - s->channel);
        if (!plan->flat) {
            fc_band_fill(call->kernels, s->phase, &s->band, s->first, s->channels, call->element, input_of(s),
                         s->at.band);
            memset(s->at.band + (size_t)(s->channels * s->band.channel) * call->element, 0,
                   (size_t)vector_elements(plan) * call->element);
        }
        for (ptrdiff_t begin = 0; begin < line; begin += vector_elements(plan)) {
            const panel p = panel_at(s, begin, line);
            if (p.results > 0)
                run_panel(s, &p);
        }
    }
}

/* Units of work: (image, group, box, tile of output channels), in this order; a thread takes the tiles of one box
 * together. */
static void run_phase(unit *s, fc_part part)
{
    const fc_conv_call *call = s->call;
    const fc_conv_plan *plan = call->plan;
    const fc_axis *axis = s->phase->axis;
    const int tiles = oc_tiles(call);
    ptrdiff_t boxes[FC_SPATIAL], begin, end;
    for (int a = 0; a < FC_SPATIAL; a++)
        boxes[a] = fc_divide_up(axis[a].count, plan->tile[a]);
    s->band = band_of(plan, s->phase, plan->tile);
    if (plan->flat)
        s->band.channel = axis[2].src;
    fc_band_offsets(s->phase, &s->band, plan->block, s->at.in_band);
    if (gathers(plan))
        for (ptrdiff_t i = 0; i < s->phase->taps * plan->block; i++)
            s->at.in_panel[i] = i * vector_elements(plan);
    if (call->weights)
        for (ptrdiff_t i = 0; i < s->phase->taps * plan->block; i++)
            s->at.in_row[i] = i;
    const ptrdiff_t taken = fc_images_taken(call);
    fc_share_of((call->n - taken) * call->channels.groups * boxes[0] * boxes[1] * boxes[2] * tiles, part, &begin, &end);
    while (begin < end) {
        ptrdiff_t rest = begin / tiles;
        s->tile_begin = (int)(begin % tiles);
        s->tile_end = (int)fc_min(tiles, s->tile_begin + end - begin);
        begin += s->tile_end - s->tile_begin;
        for (int a = FC_SPATIAL - 1; a >= 0; a--) {
            s->first[a] = rest % boxes[a] * plan->tile[a];
            s->box[a] = fc_min(plan->tile[a], axis[a].count - s->first[a]);
            rest /= boxes[a];
        }
        s->group = rest % call->channels.groups;
        s->image = taken + rest / call->channels.groups;
        run_unit(s);
    }
}

void fc_conv_plane(const void *context, fc_part part)
{
    const fc_conv_call *call = context;
    const fc_conv_plan *plan = call->plan;
    const ptrdiff_t phases = fc_phases(&plan->desc);
    fc_arena arena = fc_thread_arena(call, part.thread);
    unit s = {.call = call, .packed = call->packed};
    if (fc_images_taken(call) > 0) {
        fc_arena blocks = arena;
        fc_conv_images(call, &blocks, part);
    }
    lay_out(plan, &arena, &s.at);
    for (ptrdiff_t i = 0; i < phases; i++) {
        fc_phase phase;
        fc_phase_at(&plan->desc, i, &phase);
        const ptrdiff_t packed = fc_packed_size(plan, &phase);
        if (plan->flat)
            flatten(&phase);
        s.phase = &phase;
        run_phase(&s, part);
        if (s.packed)
            s.packed += (size_t)packed * call->element;
    }
}
