/* The depthwise family, channels-first, with channels as lanes: a vector of them at a time is brought into a padded
 * band, summed there, and the results are brought back.
 *
 * Short rows leave lanes empty and a stride takes rows apart; channels do neither. Columns lie in the band sorted by
 * their residue modulo the stride, so that neighbouring outputs always read neighbours. A unit of work is a box of rows
 * of one image's results, of all phases together, for one vector of channels. */
#include "conv.h"
#include "dispatch/lanes_kernels.h"
#include "parallel.h"

#include <string.h>

/* Of a band, its results and a residual, beside which weights and the images' own lines want room in L2: 16 to 32 KB
 * are slower, since boxes overlap (28 x 28 x 256 at stride 2 72 and 64 us, now 61), 128 KB no faster. */
enum { BOX_BYTES = 64 * 1024 };

/* Input along one axis that outputs read, and what lies around it: source positions begin ... begin + length. */
typedef struct {
    ptrdiff_t begin, length;
} padded_axis;

/* What the outputs [first, end) of one phase read. */
static padded_axis reads_of(const fc_axis *axis, ptrdiff_t first, ptrdiff_t end)
{
    if (first >= end || axis->taps == 0)
        return (padded_axis){0, 0};
    return (padded_axis){first * axis->src_step + axis->offset_first,
                         (end - 1 - first) * axis->src_step + (axis->taps - 1) * axis->offset_step + 1};
}

static padded_axis join(padded_axis a, padded_axis b)
{
    if (a.length == 0 || b.length == 0)
        return a.length == 0 ? b : a;
    const ptrdiff_t begin = fc_min(a.begin, b.begin);
    return (padded_axis){begin, fc_max_extent(a.begin + a.length, b.begin + b.length) - begin};
}

/* The outputs of a phase that lie in [first, end) of dst. */
static fc_window inside(const fc_axis *axis, ptrdiff_t first, ptrdiff_t end)
{
    const ptrdiff_t step = axis->dst_step, low = first - axis->dst_first, high = end - axis->dst_first;
    return (fc_window){low > 0 ? fc_divide_up(low, step) : 0,
                       fc_min(high > 0 ? fc_divide_up(high, step) : 0, axis->count)};
}

/* What the outputs [first, end) along an axis read, over all phases. */
static padded_axis reads(const fc_conv_desc *desc, int a, ptrdiff_t first, ptrdiff_t end)
{
    padded_axis range = {0, 0};
    for (ptrdiff_t i = 0; i < fc_phases(desc); i++) {
        fc_phase phase;
        fc_phase_at(desc, i, &phase);
        const fc_window own = inside(&phase.axis[a], first, end);
        range = join(range, reads_of(&phase.axis[a], own.begin, own.end));
    }
    return range;
}

/* The image's columns and what lies around them, in the band: `fold` residues of `half` each. */
typedef struct {
    ptrdiff_t begin, fold, half;
} band_columns;

static band_columns columns_of(const fc_conv_desc *desc)
{
    fc_phase phase;
    fc_phase_at(desc, 0, &phase);
    const fc_axis *axis = &phase.axis[2];
    const padded_axis read = reads(desc, 2, 0, axis->dst);
    const ptrdiff_t begin = fc_min(read.begin, 0), end = fc_max_extent(read.begin + read.length, axis->src);
    return (band_columns){begin, axis->src_step, fc_divide_up(end - begin, axis->src_step)};
}

static ptrdiff_t pitch_of(const band_columns *c) { return c->fold * c->half; }

static ptrdiff_t place(const band_columns *c, ptrdiff_t column)
{
    const ptrdiff_t at = column - c->begin;
    return at % c->fold * c->half + at / c->fold;
}

typedef struct {
    char *band, *results, *residual, *start;
    ptrdiff_t *offsets, *places;
} workspace;

/* The vectors of a box of so many rows: what it reads, its results and perhaps as many of a residual. */
static double vectors_of(const fc_conv_desc *desc, ptrdiff_t rows)
{
    fc_phase phase;
    fc_phase_at(desc, 0, &phase);
    const band_columns columns = columns_of(desc);
    return (double)reads(desc, 1, 0, rows).length * (double)pitch_of(&columns) +
           2 * (double)rows * (double)phase.axis[2].dst;
}

static void lay_out(const fc_conv_plan *plan, fc_arena *arena, workspace *at)
{
    const fc_conv_desc *desc = &plan->desc;
    const size_t vector = (size_t)plan->lanes * fc_element(desc);
    const band_columns columns = columns_of(desc);
    fc_phase phase;
    fc_phase_at(desc, 0, &phase);
    const ptrdiff_t results = plan->tile[1] * phase.axis[2].dst;
    at->band = fc_carve(arena, reads(desc, 1, 0, plan->tile[1]).length * pitch_of(&columns), vector);
    at->results = fc_carve(arena, results, vector);
    at->residual = fc_carve(arena, results, vector);
    at->start = fc_carve(arena, 1, vector);
    at->offsets = fc_carve(arena, desc->kernel[1] * desc->kernel[2], sizeof(ptrdiff_t));
    at->places = fc_carve(arena, phase.axis[2].src, sizeof(ptrdiff_t));
}

/* Rows of a box: all, or as many as fit, a multiple of the steps between a phase's, so that every box reads as many. */
static ptrdiff_t box_rows(const fc_conv_plan *plan)
{
    const fc_conv_desc *desc = &plan->desc;
    fc_phase phase;
    fc_phase_at(desc, 0, &phase);
    const double vector = (double)plan->lanes * (double)fc_element(desc);
    const ptrdiff_t step = phase.axis[1].dst_step;
    ptrdiff_t rows = phase.axis[1].dst;
    while (rows > step && vectors_of(desc, rows) * vector > BOX_BYTES)
        rows = fc_divide_up(fc_divide_up(rows, 2), step) * step;
    return rows;
}

/* Cycles for one image, as measured over rows of 4 to 112 pixels, kernels of 3 to 7 and strides 1 and 2. */
static double cost_of_turning(const fc_conv_plan *plan)
{
    const fc_conv_desc *desc = &plan->desc;
    fc_phase phase;
    double cost = 200;
    for (ptrdiff_t i = 0; i < fc_phases(desc); i++) {
        fc_phase_at(desc, i, &phase);
        cost += (double)phase.count * (4 + 0.6 * (double)phase.taps);
    }
    cost += 4.2 * (double)phase.axis[1].src * (double)phase.axis[2].src;
    return cost * (double)fc_divide_up(desc->groups, plan->lanes);
}

/* The same of reading images where they lie (depthwise_lines.c), whose rows shorter than a vector are slow, or of bands
 * of planes (depthwise_planes.c). */
static double cost_of_planes(const fc_conv_plan *plan)
{
    const fc_conv_desc *desc = &plan->desc;
    fc_phase phase;
    fc_phase_at(desc, 0, &phase);
    const fc_axis *h = &phase.axis[1], *w = &phase.axis[2];
    const double taps = (double)phase.taps, lanes = (double)plan->lanes, rows = (double)h->count;
    double cost;
    if (fc_depthwise_lines_serve(desc)) {
        const double short_row = w->count < plan->lanes ? 12 : 0;
        cost = 25 + rows * (double)fc_divide_up(w->count, plan->lanes) * (3.5 + 0.65 * taps + short_row);
    } else
        cost = (double)h->src * (30 + 0.35 * (double)w->src) + rows * (double)w->count / lanes * 0.55 * taps;
    return cost * (double)desc->groups;
}

bool fc_depthwise_turns(const fc_conv_plan *plan)
{
    enum { MOST_PHASES = 16 };
    const fc_conv_desc *desc = &plan->desc;
    const double vector = (double)plan->lanes * (double)fc_element(desc);
    if (desc->layout != FC_CHANNELS_FIRST || !fc_is_depthwise(desc) || !fc_depthwise_planes_serve(desc) ||
        !fc_kernels_for(desc->isa, desc->dtype)->lanes_kernels->depthwise[1] || fc_phases(desc) > MOST_PHASES ||
        desc->kernel[1] * desc->kernel[2] > FC_SUM_LENGTH)
        return false;
    return vectors_of(desc, box_rows(plan)) * vector <= 2 * BOX_BYTES &&
           (fc_phases(desc) > 1 || cost_of_turning(plan) < cost_of_planes(plan));
}

fc_status fc_plan_depthwise_turned(fc_conv_plan *plan)
{
    plan->channel_lanes = true;
    plan->vectors = 1;
    plan->rows = FC_MOST_PIXELS;
    plan->tile[0] = 1;
    plan->tile[1] = box_rows(plan);
    plan->tile[2] = FC_MOST_PIXELS;
    fc_arena arena = {.fits = true};
    workspace at;
    lay_out(plan, &arena, &at);
    if (!fc_reserve_packed(plan))
        return FC_OVERFLOW;
    fc_reserve_mark(plan);
    return fc_set_workspace(plan, &arena);
}

/* ---- running ------------------------------------------------------------------------------------------------ */

typedef struct {
    const fc_conv_call *call;
    ptrdiff_t phases;
    fc_phase phase; /* one after the other */
    band_columns columns;
    workspace at;
    ptrdiff_t image, channel, first, end; /* rows of results */
    padded_axis rows;                     /* what they read */
    int live;
} unit;

/* Bytes of a plane of input, or of results. */
static size_t plane_bytes(const unit *s, bool input)
{
    const fc_axis *h = &s->phase.axis[1], *w = &s->phase.axis[2];
    return (size_t)(input ? h->src * w->src : h->dst * w->dst) * s->call->element;
}

static size_t channels_before(const unit *s)
{
    return (size_t)(s->image * s->call->channels.src_channels + s->channel);
}

/* The rows of the band that lie inside the image; those around it become zero. */
static void fill_band(const unit *s)
{
    const fc_conv_call *call = s->call;
    const fc_axis *h = &s->phase.axis[1], *w = &s->phase.axis[2];
    const ptrdiff_t pitch = pitch_of(&s->columns), last = s->rows.begin + s->rows.length;
    const ptrdiff_t from = fc_min(fc_max_extent(s->rows.begin, 0), last),
                    to = fc_max_extent(fc_min(h->src, last), from);
    const size_t row = (size_t)(pitch * call->plan->lanes) * call->element;
    const size_t above = (size_t)(from - s->rows.begin) * row, below = (size_t)(last - to) * row;
    memset(s->at.band, 0, above);
    memset(s->at.band + (size_t)s->rows.length * row - below, 0, below);
    if (to == from)
        return;
    call->kernels->lanes_kernels->gather_rows(&(fc_lanes_rows){
        .src = call->src + channels_before(s) * plane_bytes(s, true) + (size_t)(from * w->src) * call->element,
        .step = h->src * w->src,
        .live = s->live,
        .rows = to - from,
        .cols = w->src,
        .places = s->at.places,
        .dst = s->at.band + above,
        .pitch = pitch,
    });
}

/* Where every tap of a phase lies from an output's first row on. */
static void enter_phase(unit *s, ptrdiff_t index)
{
    fc_phase_at(&s->call->plan->desc, index, &s->phase);
    const fc_axis *h = &s->phase.axis[1], *w = &s->phase.axis[2];
    ptrdiff_t *to = s->at.offsets;
    for (ptrdiff_t y = 0; y < h->taps; y++)
        for (ptrdiff_t x = 0; x < w->taps; x++)
            *to++ =
                y * h->offset_step * pitch_of(&s->columns) + place(&s->columns, w->offset_first + x * w->offset_step);
}

/* The unit's outputs of one phase: tiles of equal size along a row, or one less. */
static void sum_phase(const unit *s, const char *packed)
{
    const fc_conv_call *call = s->call;
    const fc_axis *h = &s->phase.axis[1], *w = &s->phase.axis[2];
    const size_t vector = (size_t)call->plan->lanes * call->element;
    const fc_window own = inside(h, s->first, s->end);
    const ptrdiff_t pitch = pitch_of(&s->columns), tiles = fc_divide_up(w->count, FC_MOST_PIXELS);
    const ptrdiff_t row = own.begin * h->src_step + h->offset_first - s->rows.begin;
    const ptrdiff_t at = (h->dst_first + own.begin * h->dst_step - s->first) * w->dst + w->dst_first;
    if (own.end <= own.begin || tiles == 0)
        return;
    fc_lanes_depthwise box = {
        .src = s->phase.taps > 0 ? s->at.band + (size_t)(row * pitch) * vector : s->at.band,
        .weights = packed + (size_t)(s->channel * s->phase.taps) * call->element,
        .start = s->at.start,
        .offsets = s->at.offsets,
        .taps = s->phase.taps,
        .rows = own.end - own.begin,
        .src_row = h->src_step * pitch,
        .dst = s->at.results + (size_t)at * vector,
        .dst_row = h->dst_step * w->dst,
        .dst_step = w->dst_step,
    };
    const ptrdiff_t each = w->count / tiles, longer = w->count % tiles;
    for (int more = 1; more >= 0; more--) {
        const ptrdiff_t pixels = each + more, columns = (more ? longer : tiles - longer) * pixels;
        if (columns == 0)
            continue;
        box.tiles = columns / pixels;
        call->kernels->lanes_kernels->depthwise[pixels](&box);
        box.src = (const char *)box.src + (size_t)columns * vector;
        box.dst = (char *)box.dst + (size_t)(columns * w->dst_step) * vector;
    }
}

/* Results to their planes. */
static void store(const unit *s)
{
    const fc_conv_call *call = s->call;
    const ptrdiff_t columns = s->phase.axis[2].dst, count = (s->end - s->first) * columns;
    const ptrdiff_t plane = s->phase.axis[1].dst * columns;
    const size_t at = channels_before(s) * plane_bytes(s, false) + (size_t)(s->first * columns) * call->element;
    if (call->residual) {
        call->kernels->lanes_kernels->gather(call->residual + at, plane, s->live, count, s->at.residual);
        call->kernels->lanes_kernels->add(count * call->plan->lanes, s->at.residual, s->at.results);
    }
    call->kernels->conv->store_images(&(fc_image_store){
        .acc = s->at.results,
        .channels = 1,
        .positions = count,
        .live = s->live,
        .image_step = plane,
        .dst = call->dst + at,
        .epilogue = &call->epilogue,
    });
}

static void run_unit(unit *s)
{
    const fc_conv_call *call = s->call;
    const fc_conv_desc *desc = &call->plan->desc;
    const char *packed = call->packed;
    s->rows = s->phases == 1 ? reads_of(&s->phase.axis[1], s->first, s->end) : reads(desc, 1, s->first, s->end);
    fill_band(s);
    if (call->bias)
        memcpy(s->at.start, call->bias + (size_t)s->channel * call->element, (size_t)s->live * call->element);
    for (ptrdiff_t i = 0; i < s->phases; i++) {
        if (s->phases > 1)
            enter_phase(s, i);
        sum_phase(s, packed);
        packed += (size_t)fc_packed_size(call->plan, &s->phase) * call->element;
    }
    store(s);
}

/* Units of work: (image, vector of channels, box of rows). */
void fc_conv_depthwise_turned(const void *context, fc_part part)
{
    const fc_conv_call *call = context;
    const fc_conv_plan *plan = call->plan;
    const ptrdiff_t rows = plan->tile[1], lanes = plan->lanes, channels = call->channels.src_channels;
    fc_arena arena = fc_thread_arena(call, part.thread);
    unit s = {.call = call, .phases = fc_phases(&plan->desc), .columns = columns_of(&plan->desc)};
    lay_out(plan, &arena, &s.at);
    enter_phase(&s, 0);
    memset(s.at.band, 0, (size_t)(s.at.results - s.at.band));
    memset(s.at.start, 0, (size_t)lanes * call->element);
    for (ptrdiff_t c = 0; c < s.phase.axis[2].src; c++)
        s.at.places[c] = place(&s.columns, c);
    const ptrdiff_t dst_rows = s.phase.axis[1].dst, boxes = fc_divide_up(dst_rows, rows);
    const ptrdiff_t blocks = fc_divide_up(channels, lanes);
    ptrdiff_t begin, end;
    fc_share_of(call->n * blocks * boxes, part, &begin, &end);
    for (ptrdiff_t i = begin; i < end; i++) {
        s.first = i % boxes * rows;
        s.end = fc_min(s.first + rows, dst_rows);
        s.channel = i / boxes % blocks * lanes;
        s.live = (int)fc_min(lanes, channels - s.channel);
        s.image = i / boxes / blocks;
        run_unit(&s);
    }
}
