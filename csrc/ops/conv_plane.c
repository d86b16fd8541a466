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
#include "dispatch/lanes_kernels.h"
#include "images.h"
#include "parallel.h"
#include "plane.h"

#include <math.h>
#include <string.h>

enum { NEAR_BYTES = 32 * 1024 };

typedef struct {
    const fc_conv_call *call;
    const fc_phase *phase;
    const char *packed; /* of this phase */
    fc_plane_workspace at;
    fc_band band; /* of a whole box: a box at the edge only uses less of it */
    ptrdiff_t image, group;
    ptrdiff_t dst_pixel, dst_channel; /* steps in elements */
    ptrdiff_t first[FC_SPATIAL], box[FC_SPATIAL];
    int tiles, tile_begin, tile_end; /* of output channels */
    ptrdiff_t each, more;            /* channels of a tile, and how many have one more, as fc_share */
    ptrdiff_t channel, channels;     /* of the block */
    bool expects;                    /* results are to be fetched: an image's are more than L1 holds */
} unit;

/* A stretch of a unit's line: `count` positions from `begin`, computed by tiles that have so many vectors in all. */
typedef struct {
    ptrdiff_t begin, count;
    int vectors, sources, results;
} panel;

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
    const bool compact = fc_plane_gathers(s->call->plan);
    const ptrdiff_t pitch = compact ? s->box[2] : s->band.axis[2].length;
    const ptrdiff_t rows = compact ? s->box[1] : s->band.axis[1].length, end = p->begin + p->count;
    p->sources = p->results = 0;
    for (ptrdiff_t row = p->begin / pitch; row * pitch < end; row++) {
        const ptrdiff_t d = s->box[0] > 1 ? row / rows : 0, h = row - d * rows;
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
        p->results = append(s->at.results, p->results, (fc_segment){begin, count, at * s->dst_pixel},
                            axis[2].dst_step * s->dst_pixel == 1);
        at = s->call->plan->flat ? s->first[2] + w : (d * s->band.axis[1].length + h) * s->band.axis[2].length + w;
        if (compact)
            p->sources = append(s->at.sources, p->sources, (fc_segment){begin, count, at}, true);
    }
}

/* Into the caller's panel: one that is returned waits, as it is copied, for what was just written in pieces. */
static void find_panel(const unit *s, ptrdiff_t begin, ptrdiff_t line, panel *p)
{
    const fc_conv_plan *plan = s->call->plan;
    const ptrdiff_t width = fc_plane_width(plan);
    p->begin = begin;
    p->count = fc_min(plan->stretch, line - begin);
    const ptrdiff_t others = (p->count - 1) / width; /* tiles before the last */
    p->vectors = (int)others * plan->vectors +
                 fc_plane_narrow(s->call->kernels, plan->vectors, plan->rows, p->count - others * width);
    find_segments(s, p);
}

/* Elements of dst before an output channel's of the unit's image. */
static ptrdiff_t results_at(const unit *s, ptrdiff_t channel)
{
    const fc_axis *axis = s->phase->axis;
    const ptrdiff_t volume = axis[0].dst * axis[1].dst * axis[2].dst;
    return s->image * s->call->channels.dst_channels * volume + channel * s->dst_channel;
}

static void store(const unit *s, const panel *p, const char *acc, ptrdiff_t channel, ptrdiff_t rows)
{
    const fc_conv_call *call = s->call;
    const size_t dst_at = (size_t)results_at(s, channel) * call->element;
    call->kernels->conv->store_plane(&(fc_plane_store){
        .acc = acc,
        .rows = (int)rows,
        .stride = p->vectors * call->plan->lanes,
        .segments = s->at.results,
        .count = p->results,
        .step = s->phase->axis[2].dst_step * s->dst_pixel,
        .channel_step = s->dst_channel,
        .bias = call->bias ? call->bias + (size_t)channel * call->element : NULL,
        .residual = call->residual ? call->residual + dst_at : NULL,
        .dst = call->dst + dst_at,
        .epilogue = &call->epilogue,
    });
}

/* Has the lines that a tile will write brought near while the tile runs: a panel's results are a few lines of every
 * channel, which no processor foresees. */
static void expect_rows(const char *dst, size_t bytes, ptrdiff_t rows, ptrdiff_t step)
{
    for (ptrdiff_t r = 0; r < rows; r++, dst += step)
        for (size_t at = 0; at < bytes + FC_ALIGNMENT - 1; at += FC_ALIGNMENT)
            __builtin_prefetch(dst + (at < bytes ? at : bytes - 1), 1);
}

static void expect_results(const unit *s, const panel *p, ptrdiff_t channel, ptrdiff_t rows)
{
    const fc_conv_call *call = s->call;
    const ptrdiff_t begin = s->at.results[0].offset;
    const fc_segment *last = &s->at.results[p->results - 1];
    const ptrdiff_t end = last->offset + (last->count - 1) * s->phase->axis[2].dst_step;
    if (s->dst_pixel == 1)
        expect_rows(call->dst + (size_t)(results_at(s, channel) + begin) * call->element,
                    (size_t)(end - begin + 1) * call->element, rows, s->dst_channel * (ptrdiff_t)call->element);
}

/* Whether the sums of a panel are results but for a bias and a ReLU, and their rows whole. */
static bool goes_straight(const unit *s, const panel *p)
{
    const fc_conv_call *call = s->call;
    const fc_activation activation = call->epilogue.activation;
    return p->results == 1 && s->at.results[0].count == p->vectors * call->plan->lanes &&
           s->phase->axis[2].dst_step * s->dst_pixel == 1 && !call->residual &&
           (activation == FC_IDENTITY || activation == FC_RELU);
}

/* The sums of a tile stay in acc. */
static void sums_in(const unit *s, const panel *p, char *acc, bool first, fc_tile_end *end)
{
    const ptrdiff_t width = (ptrdiff_t)p->vectors * s->call->plan->lanes;
    end->dst = acc;
    end->from = first ? fc_zeros : acc;
    end->dst_step = width;
    end->from_step = first ? 0 : width;
    end->least = -INFINITY;
    end->ahead = 0;
}

/* They become results; returns what their rows start from. */
static const char *make_results(const unit *s, ptrdiff_t channel, fc_tile_end *end)
{
    const fc_conv_call *call = s->call;
    end->dst = call->dst + (size_t)(results_at(s, channel) + s->at.results[0].offset) * call->element;
    end->dst_step = s->dst_channel;
    end->least = call->epilogue.activation == FC_RELU ? 0 : -INFINITY;
    return call->bias ? call->bias + (size_t)channel * call->element : fc_zeros;
}

/* A tile's sums with weights that are not packed, those of row r at weights + r * step: then it is the panel that a
 * tile streams. */
static void add_in_place(const unit *s, const panel *p, ptrdiff_t rows, const char *weights, ptrdiff_t step,
                         const char *src, char *acc)
{
    const fc_conv_call *call = s->call;
    const ptrdiff_t pitch = fc_plane_width(call->plan), width = (ptrdiff_t)p->vectors * call->plan->lanes;
    const ptrdiff_t length = s->phase->taps * s->channels;
    for (ptrdiff_t i = 0; i < length; i += FC_SUM_LENGTH)
        call->kernels->lanes_kernels->pixels[p->vectors][rows](&(fc_lanes_tile){
            .src = weights,
            .src_step = step,
            .offsets = s->at.in_row + i,
            .count = fc_min(FC_SUM_LENGTH, length - i),
            .weights = src + (size_t)(i * pitch) * call->element,
            .weight_step = pitch,
            .dst = acc,
            .dst_step = width,
            .live = (int)width,
            .accumulate = i > 0 || s->channel > 0,
        });
}

/* Whether a panel's products are one piece, after which its sums leave at once: then the weights of one tile go on
 * where those of the last one end. */
static bool is_one_piece(const unit *s, const panel *p)
{
    const ptrdiff_t length = s->phase->taps * s->channels;
    return !s->call->weights && length > 0 && length <= FC_SUM_LENGTH && s->channels == s->call->channels.ic &&
           goes_straight(s, p);
}

/* The sums of a register tile from position `at` of the panel on, with packed weights, and of those that follow it, so
 * many in all. */
static void add_tiles(const unit *s, const panel *p, ptrdiff_t at, ptrdiff_t channel, ptrdiff_t rows, int run,
                      bool straight, char *acc)
{
    const fc_conv_call *call = s->call;
    const fc_conv_plan *plan = call->plan;
    const ptrdiff_t ic = call->channels.ic, taps = s->phase->taps, element = (ptrdiff_t)call->element;
    const ptrdiff_t length = taps * s->channels;
    const char *const packed = s->packed + (channel * ic + s->channel * rows) * taps * element;
    const bool panel = fc_plane_gathers(plan);
    const char *src = panel ? s->at.panel : s->at.band + (p->begin + at) * element;
    const ptrdiff_t *offsets = panel ? s->at.in_panel : s->at.in_band;
    const ptrdiff_t vectors = fc_min(plan->vectors, p->vectors - at / plan->lanes);
    fc_plane_fn *const tile = call->kernels->plane[vectors][rows];
    for (ptrdiff_t i = 0; i < length; i += FC_SUM_LENGTH) {
        const ptrdiff_t count = fc_min(FC_SUM_LENGTH, length - i);
        const char *start = fc_zeros, *weights = packed + i * rows * element;
        fc_tile_end end;
        sums_in(s, p, acc, i == 0 && s->channel == 0, &end);
        if (straight && i + count == length)
            start = make_results(s, channel, &end);
        end.dst = (char *)end.dst + at * element;
        if (end.from != fc_zeros)
            end.from = (const char *)end.from + at * element;
        end.step = start == fc_zeros ? 0 : rows;
        for (ptrdiff_t left = run, done; left > 0; left -= done) {
            if (run > 1)
                expect_rows(end.dst, (size_t)(vectors * plan->lanes * element), rows, end.dst_step * element);
            end.more = left - 1;
            done = tile(src, offsets + i, count, weights, start, &end);
            fc_next_tile(&end, done * rows, call->element);
            start += done * end.step * element;
            weights += done * rows * count * element;
        }
    }
}

/* The sums of `run` tiles of output channels, of one where they are several pieces, at a whole panel; whether they have
 * become results. */
static bool add_packed(const unit *s, const panel *p, ptrdiff_t channel, ptrdiff_t rows, int run, char *acc)
{
    const ptrdiff_t width = fc_plane_width(s->call->plan);
    const bool straight = s->channel + s->channels == s->call->channels.ic && goes_straight(s, p);
    for (ptrdiff_t at = 0; at < p->count; at += width)
        add_tiles(s, p, at, channel, rows, run, straight, acc);
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
    const size_t tile_bytes = (size_t)plan->rows * (size_t)plan->stretch * call->element;
    const ptrdiff_t kept = plan->block < ic ? p->begin / plan->stretch * s->tiles : 0;
    const ptrdiff_t block = s->channel * s->phase->taps;
    const bool together = is_one_piece(s, p);
    ptrdiff_t channel = s->group * oc + s->tile_begin * s->each + fc_min(s->tile_begin, s->more), rows;
    for (int tile = s->tile_begin, run; tile < s->tile_end; tile += run, channel += rows * run) {
        const int alike = tile < s->more ? (int)fc_min(s->more, s->tile_end) : s->tile_end;
        rows = s->each + (tile < s->more);
        run = together ? alike - tile : 1;
        char *acc = s->at.acc;
        bool done = false;
        if (plan->block < ic)
            acc += (size_t)(kept + tile) * tile_bytes;
        if (s->expects && last_block && run == 1)
            expect_results(s, p, channel, rows);
        if (length == 0)
            memset(acc, 0, tile_bytes);
        else if (call->weights)
            add_in_place(s, p, rows, call->weights + (channel * call->strides[0] + block) * (ptrdiff_t)call->element,
                         call->strides[0], s->at.panel, acc);
        else
            done = add_packed(s, p, channel, rows, run, acc);
        if (last_block && !done)
            store(s, p, acc, channel, rows);
    }
}

static void fill_panel(const unit *s, const panel *p, char *dst)
{
    const fc_conv_call *call = s->call;
    call->kernels->conv->copy_panel(&(fc_panel){
        .src = call->plan->flat ? input_of(s) : s->at.band,
        .offsets = s->at.in_band,
        .count = s->phase->taps * s->channels,
        .segments = s->at.sources,
        .segment_count = p->sources,
        .dst = dst,
        .pitch = fc_plane_width(call->plan),
    });
}

static void run_panel(const unit *s, const panel *p)
{
    if (fc_plane_gathers(s->call->plan))
        fill_panel(s, p, s->at.panel);
    run_tiles(s, p);
}

/* Of a channel, neighbours: a phase wants some of them. */
static ptrdiff_t kernel_taps(const fc_conv_plan *plan)
{
    return plan->desc.kernel[0] * plan->desc.kernel[1] * plan->desc.kernel[2];
}

/* Some tiles at every panel of the block, which run_block has filled and copied weights for. */
static void run_copied(const unit *s, int begin, int end, ptrdiff_t line)
{
    const fc_conv_call *call = s->call;
    const fc_conv_plan *plan = call->plan;
    const ptrdiff_t oc = call->channels.oc, taps = s->phase->taps, width = fc_plane_width(plan);
    const size_t panel_bytes = (size_t)(taps * s->channels * width) * call->element;
    const int tiles = s->tiles;
    const ptrdiff_t row = kernel_taps(plan);
    ptrdiff_t origin, first, last;
    fc_share(oc, begin, tiles, &origin, &last);
    for (ptrdiff_t at = 0, number = 0; at < line; at += width, number++) {
        panel p;
        find_panel(s, at, line, &p);
        for (int tile = begin; tile < end; tile++) {
            fc_share(oc, tile, tiles, &first, &last);
            const ptrdiff_t kept = plan->block < call->channels.ic ? number * tiles + tile : 0;
            char *const acc = s->at.acc + (size_t)(kept * plan->rows * width) * call->element;
            add_in_place(s, &p, last - first, s->at.copied + (size_t)((first - origin) * row) * call->element, row,
                         s->at.panel + (size_t)number * panel_bytes, acc);
            if (s->channel + s->channels == call->channels.ic)
                store(s, &p, acc, s->group * oc + first, last - first);
        }
    }
}

/* A block of channels of an input gradient whose weights serve once: the panels of all positions first; then tile after
 * tile of output channels, whose weights are neighbours, at each of them. */
static void run_block(const unit *s, ptrdiff_t line)
{
    static const ptrdiff_t none[] = {0};
    const fc_conv_call *call = s->call;
    const ptrdiff_t width = fc_plane_width(call->plan), oc = call->channels.oc, taps = s->phase->taps;
    const size_t panel_bytes = (size_t)(taps * s->channels * width) * call->element;
    for (ptrdiff_t begin = 0, number = 0; begin < line; begin += width, number++) {
        panel p;
        find_panel(s, begin, line, &p);
        fill_panel(s, &p, s->at.panel + (size_t)number * panel_bytes);
    }
    const fc_weight_steps steps = fc_steps_of(&call->plan->desc, call->strides);
    const int tiles = s->tiles;
    for (int tile = s->tile_begin, end; tile < s->tile_end; tile = end) {
        ptrdiff_t first, last, behind;
        end = (int)fc_min(s->tile_end, tile + FC_TILES_COPIED);
        fc_share(oc, tile, tiles, &first, &behind);
        fc_share(oc, end - 1, tiles, &behind, &last);
        const ptrdiff_t at = s->group * steps.group + first * steps.lane + s->channel * steps.channel;
        const ptrdiff_t run = (last - first) * kernel_taps(call->plan);
        call->kernels->conv->pack(&(fc_pack_tile){
            .src = call->weights + at * (ptrdiff_t)call->element,
            .lane_step = 1,
            .channel_step = steps.channel,
            .taps_at = none,
            .taps = 1,
            .channels = s->channels,
            .block = s->channels,
            .live = run,
            .width = run,
            .tiles = 1,
            .dst = s->at.copied,
        });
        for (ptrdiff_t c = 0, i = 0; c < s->channels; c++)
            for (ptrdiff_t t = 0; t < taps; t++)
                s->at.in_row[i++] = c * run + fc_tap_at(&call->plan->desc, s->phase, t, call->strides);
        run_copied(s, tile, end, line);
    }
}

/* Panel after panel of a block of channels, block after block; between blocks the sums of all panels are kept. */
static void run_unit(unit *s)
{
    const fc_conv_call *call = s->call;
    const fc_conv_plan *plan = call->plan;
    const ptrdiff_t line = fc_plane_line(plan->form, &s->band, s->box), ic = call->channels.ic;
    for (s->channel = 0; s->channel < ic; s->channel += s->channels) {
        s->channels = fc_min(plan->block, ic - s->channel);
        if (!plan->flat) {
            fc_band_fill(call->kernels, s->phase, &s->band, s->first, s->channels, call->element, input_of(s),
                         s->at.band);
            memset(s->at.band + (size_t)(s->channels * s->band.channel) * call->element, 0,
                   (size_t)fc_plane_width(plan) * call->element);
        }
        if (call->weights && fc_plane_copies(plan) && s->phase->taps > 0) {
            run_block(s, line);
            continue;
        }
        for (ptrdiff_t begin = 0; begin < line; begin += plan->stretch) {
            panel p;
            find_panel(s, begin, line, &p);
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
    const int tiles = (int)fc_divide_up(call->channels.oc, plan->rows);
    ptrdiff_t boxes[FC_SPATIAL], begin, end;
    s->tiles = tiles;
    s->each = call->channels.oc / tiles;
    s->more = call->channels.oc % tiles;
    for (int a = 0; a < FC_SPATIAL; a++)
        boxes[a] = fc_divide_up(axis[a].count, plan->tile[a]);
    const bool last = plan->desc.layout == FC_CHANNELS_LAST; /* of one channel, then, and one group */
    s->dst_pixel = last ? call->channels.dst_channels : 1;
    s->dst_channel = last ? 1 : axis[0].dst * axis[1].dst * axis[2].dst;
    s->expects = s->dst_channel * call->channels.dst_channels * (ptrdiff_t)call->element > NEAR_BYTES;
    s->band = fc_plane_band(plan, s->phase, plan->tile);
    if (plan->flat)
        s->band.channel = axis[2].src;
    fc_band_offsets(s->phase, &s->band, plan->block, s->at.in_band);
    if (fc_plane_gathers(plan))
        for (ptrdiff_t i = 0; i < s->phase->taps * plan->block; i++)
            s->at.in_panel[i] = i * fc_plane_width(plan);
    if (call->weights)
        for (ptrdiff_t i = 0; i < s->phase->taps * plan->block; i++)
            s->at.in_row[i] = i;
    const ptrdiff_t taken = fc_images_taken(call);
    fc_share_of_runs((call->n - taken) * call->channels.groups * boxes[0] * boxes[1] * boxes[2] * tiles, tiles, part,
                     &begin, &end);
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
    fc_plane_lay_out(plan, &arena, &s.at);
    for (ptrdiff_t i = 0; i < phases; i++) {
        fc_phase phase;
        fc_phase_at(&plan->desc, i, &phase);
        const ptrdiff_t packed = fc_packed_size(plan, &phase);
        if (plan->flat)
            fc_flatten(&phase);
        s.phase = &phase;
        run_phase(&s, part);
        if (s.packed)
            s.packed += (size_t)packed * call->element;
    }
}
