/* The plane family, channels-first: vectors run along pixels.
 *
 * A unit of work is a box of output positions of one image and group. Its input is copied to a zero-padded band in
 * the thread's workspace, de-interleaved so that every tap reads consecutive elements whatever the stride: along an
 * axis, taps whose offsets differ by a multiple of the stride share a slot, and a tap is a shift within its slot.
 *
 *   band[channel][slot d][slot h][slot w][depth][row][column]
 *
 * Output positions are then one flat line, row after row of the band's pitch; the few columns past the box's width
 * are computed too and thrown away, so that narrow maps fill whole vectors.
 */
#include "conv.h"
#include "parallel.h"

#include <string.h>

/* A band and its offsets stay well inside the L2 of every processor since 2017 (half a megabyte and more). */
enum { BAND_BYTES = 192 * 1024 };

/* How one axis of a box of `count` positions is stored. */
typedef struct {
    ptrdiff_t slots;  /* residues of the taps' offsets modulo the stride */
    ptrdiff_t length; /* of a slot */
} band_axis;

typedef struct {
    band_axis axis[FC_SPATIAL];
    ptrdiff_t channel; /* elements of one channel */
    ptrdiff_t line;    /* flat output positions of a box */
} band_shape;

typedef struct {
    char *band, *acc;
    ptrdiff_t *offsets; /* of every product, in the band */
    fc_segment *segments;
} workspace;

static band_axis band_axis_of(const fc_axis *axis, ptrdiff_t count)
{
    const ptrdiff_t taps = axis->taps, stride = axis->src_step, step = axis->offset_step;
    band_axis band = {.slots = taps, .length = count};
    for (ptrdiff_t t = 1; t < taps; t++) /* the first tap that returns to slot 0 */
        if (t * step % stride == 0) {
            band.slots = t;
            break;
        }
    ptrdiff_t reach = 0;
    for (ptrdiff_t t = band.slots; t < taps; t++)
        reach = fc_max_extent(reach, t * step / stride - t % band.slots * step / stride);
    band.length += reach;
    return band;
}

static band_shape band_shape_of(const fc_phase *phase, const ptrdiff_t box[FC_SPATIAL])
{
    band_shape shape = {.channel = 1};
    for (int a = 0; a < FC_SPATIAL; a++) {
        shape.axis[a] = band_axis_of(&phase->axis[a], box[a]);
        shape.channel = fc_saturate(shape.channel, fc_saturate(shape.axis[a].slots, shape.axis[a].length));
    }
    shape.line = shape.channel; /* one that does not fit an address fails the plan */
    if (shape.channel < PTRDIFF_MAX)
        shape.line = ((box[0] - 1) * shape.axis[1].length + box[1] - 1) * shape.axis[2].length + box[2];
    return shape;
}

/* Where tap `t` of an axis lies in its axis of the band: slot and shift. */
static void tap_place(const fc_axis *axis, const band_axis *band, ptrdiff_t t, ptrdiff_t *slot, ptrdiff_t *shift)
{
    *slot = t % band->slots;
    *shift = t * axis->offset_step / axis->src_step - *slot * axis->offset_step / axis->src_step;
}

static void fill_offsets(const fc_phase *phase, const band_shape *shape, ptrdiff_t channels, ptrdiff_t *offsets)
{
    const band_axis *axis = shape->axis;
    const ptrdiff_t volume = axis[0].length * axis[1].length * axis[2].length;
    for (ptrdiff_t t = 0; t < phase->taps; t++) {
        ptrdiff_t rest = t, slot[FC_SPATIAL], shift[FC_SPATIAL];
        for (int a = FC_SPATIAL - 1; a >= 0; a--) {
            tap_place(&phase->axis[a], &axis[a], rest % phase->axis[a].taps, &slot[a], &shift[a]);
            rest /= phase->axis[a].taps;
        }
        offsets[t] = ((slot[0] * axis[1].slots + slot[1]) * axis[2].slots + slot[2]) * volume +
                     (shift[0] * axis[1].length + shift[1]) * axis[2].length + shift[2];
    }
    for (ptrdiff_t i = phase->taps; i < phase->taps * channels; i++)
        offsets[i] = offsets[i - phase->taps] + shape->channel;
}

/* ---- planning --------------------------------------------------------------------------------------------- */

static ptrdiff_t vector_elements(const fc_conv_plan *plan) { return (ptrdiff_t)plan->vectors * plan->lanes; }

static ptrdiff_t most_products(const fc_conv_plan *plan)
{
    const ptrdiff_t *kernel = plan->desc.kernel;
    return kernel[0] * kernel[1] * kernel[2] * fc_conv_channels(&plan->desc).ic;
}

static bool band_fits(const fc_conv_plan *plan, const fc_phase *phase, const ptrdiff_t box[FC_SPATIAL])
{
    const double channel = (double)band_shape_of(phase, box).channel * (double)fc_element(&plan->desc);
    return channel * (double)fc_conv_channels(&plan->desc).ic <= BAND_BYTES;
}

/* The largest extent in [1, most] whose band fits, for one axis of the box; 1 when none does. */
static void grow(const fc_conv_plan *plan, const fc_phase *phase, ptrdiff_t box[FC_SPATIAL], int axis, ptrdiff_t least)
{
    ptrdiff_t low = least, high = phase->axis[axis].count;
    while (low < high) {
        box[axis] = low + (high - low + 1) / 2;
        if (band_fits(plan, phase, box))
            low = box[axis];
        else
            high = box[axis] - 1;
    }
    box[axis] = low;
    if (low > least) /* equal pieces instead of a small last one */
        box[axis] = fc_divide_up(phase->axis[axis].count, fc_divide_up(phase->axis[axis].count, low));
}

/* Whole rows where they fit, at least a vector's worth of columns where they do not; then rows, then depth. */
static void choose_box(fc_conv_plan *plan, const fc_phase *phase)
{
    const ptrdiff_t wide = 4 * plan->lanes;
    plan->tile[0] = plan->tile[1] = 1;
    grow(plan, phase, plan->tile, 2, fc_min(wide, phase->axis[2].count));
    grow(plan, phase, plan->tile, 1, 1);
    grow(plan, phase, plan->tile, 0, 1);
}

/* The tile whose work for the whole box is least: multiply-adds, loads (one that crosses a cache line counts twice)
 * and the latency of a short chain of sums run side by side. */
static void choose_tile(fc_conv_plan *plan, ptrdiff_t line)
{
    const fc_kernels *kernels = fc_kernels_for(plan->desc.isa, plan->desc.dtype);
    const ptrdiff_t oc = fc_conv_channels(&plan->desc).oc;
    double least = 0;
    for (int v = 1; v <= FC_MAX_VECTORS; v++) {
        if (kernels->max_rows[v] == 0)
            continue;
        const ptrdiff_t oc_tiles = fc_divide_up(oc, kernels->max_rows[v]), rows = fc_divide_up(oc, oc_tiles);
        const double fma = (double)rows * v, loads = (double)rows + 2.0 * v, latency = 8;
        const double step = fma > loads ? (fma > latency ? fma : latency) : (loads > latency ? loads : latency);
        const double cost = step * (double)oc_tiles * (double)fc_divide_up(line, (ptrdiff_t)v * plan->lanes);
        if (plan->vectors == 0 || cost < least) {
            plan->vectors = v;
            plan->rows = (int)rows;
            least = cost;
        }
    }
}

static void lay_out(const fc_conv_plan *plan, fc_arena *arena, workspace *at)
{
    const size_t element = fc_element(&plan->desc);
    const ptrdiff_t vector = vector_elements(plan);
    /* the last vector of a tile may start at the line's last position, in any channel */
    at->band = fc_carve(arena, plan->band + vector, element);
    at->offsets = fc_carve(arena, most_products(plan), sizeof(ptrdiff_t));
    at->segments = fc_carve(arena, vector, sizeof(fc_segment));
    at->acc = fc_carve(arena, plan->rows * vector + plan->lanes, element); /* store_plane reads a vector past it */
}

/* The largest band of any phase, in elements. */
static ptrdiff_t largest_band(const fc_conv_plan *plan)
{
    const ptrdiff_t phases = fc_phases(&plan->desc), channels = fc_conv_channels(&plan->desc).ic;
    ptrdiff_t largest = 0;
    for (ptrdiff_t i = 0; i < phases; i++) {
        fc_phase phase;
        fc_phase_at(&plan->desc, i, &phase);
        if (phase.taps > 0)
            largest = fc_max_extent(largest, band_shape_of(&phase, plan->tile).channel);
    }
    return fc_saturate(largest, channels);
}

fc_status fc_plan_plane(fc_conv_plan *plan)
{
    fc_phase phase = {.taps = 0};
    if (fc_phases(&plan->desc) > 0)
        fc_phase_at(&plan->desc, 0, &phase); /* the one with the most positions */
    if (phase.count == 0) {
        plan->vectors = plan->rows = 1;
        return FC_OK;
    }
    choose_box(plan, &phase);
    choose_tile(plan, band_shape_of(&phase, plan->tile).line);
    plan->band = largest_band(plan);
    if (plan->band > PTRDIFF_MAX / 16)
        return FC_OVERFLOW;
    fc_arena arena = {.fits = true};
    workspace at;
    lay_out(plan, &arena, &at);
    return fc_reserve_packed(plan) ? fc_set_workspace(plan, &arena) : FC_OVERFLOW;
}

/* ---- running ---------------------------------------------------------------------------------------------- */

typedef struct {
    const fc_conv_call *call;
    const fc_phase *phase;
    const char *packed; /* of this phase */
    workspace at;
    band_shape shape; /* of a whole box: a box at the edge only uses less of it */
    ptrdiff_t image, group;
    ptrdiff_t first[FC_SPATIAL], box[FC_SPATIAL];
    int tile_begin, tile_end; /* of output channels */
} unit;

static int oc_tiles(const fc_conv_call *call) { return (int)fc_divide_up(call->channels.oc, call->plan->rows); }

/* One channel's slots, each plane of each a rectangle of the source sampled with the stride. */
static void fill_channel(const unit *s, const char *src, char *dst)
{
    const fc_axis *axis = s->phase->axis;
    const band_axis *band = s->shape.axis;
    const size_t element = s->call->element;
    const ptrdiff_t plane = band[1].length * band[2].length;
    for (ptrdiff_t slot = 0; slot < band[0].slots * band[1].slots * band[2].slots; slot++) {
        const ptrdiff_t slot_w = slot % band[2].slots, slot_h = slot / band[2].slots % band[1].slots;
        const ptrdiff_t slot_d = slot / band[2].slots / band[1].slots;
        fc_rectangle rectangle = {
            .src_rows = axis[1].src,
            .src_cols = axis[2].src,
            .src_pitch = axis[2].src,
            .row_first = s->first[1] * axis[1].src_step + axis[1].offset_first + slot_h * axis[1].offset_step,
            .row_step = axis[1].src_step,
            .rows = band[1].length,
            .col_first = s->first[2] * axis[2].src_step + axis[2].offset_first + slot_w * axis[2].offset_step,
            .col_step = axis[2].src_step,
            .cols = band[2].length,
        };
        for (ptrdiff_t d = 0; d < band[0].length; d++, dst += (size_t)plane * element) {
            const ptrdiff_t depth =
                (s->first[0] + d) * axis[0].src_step + axis[0].offset_first + slot_d * axis[0].offset_step;
            if ((size_t)depth >= (size_t)axis[0].src) {
                memset(dst, 0, (size_t)plane * element);
                continue;
            }
            rectangle.src = src + (size_t)(depth * axis[1].src * axis[2].src) * element;
            rectangle.dst = dst;
            s->call->kernels->conv->copy_rectangle(&rectangle);
        }
    }
}

static void fill_band(const unit *s)
{
    const fc_axis *axis = s->phase->axis;
    const fc_channels *channels = &s->call->channels;
    const size_t element = s->call->element;
    const ptrdiff_t volume = axis[0].src * axis[1].src * axis[2].src;
    for (ptrdiff_t c = 0; c < channels->ic; c++) {
        const ptrdiff_t plane = s->image * channels->src_channels + s->group * channels->ic + c;
        fill_channel(s, s->call->src + (size_t)(plane * volume) * element,
                     s->at.band + (size_t)(c * s->shape.channel) * element);
    }
    memset(s->at.band + (size_t)(channels->ic * s->shape.channel) * element, 0,
           (size_t)vector_elements(s->call->plan) * element);
}

/* The stretches of flat positions [begin, begin + vector) that are results, and where they belong. */
static int find_segments(const unit *s, ptrdiff_t begin, fc_segment *segments)
{
    const fc_axis *axis = s->phase->axis;
    const ptrdiff_t pitch = s->shape.axis[2].length, rows = s->shape.axis[1].length;
    const ptrdiff_t end = begin + vector_elements(s->call->plan);
    int count = 0;
    for (ptrdiff_t row = begin / pitch; row * pitch < end; row++) {
        const ptrdiff_t h = row % rows, d = row / rows;
        if (d >= s->box[0])
            break;
        const ptrdiff_t from = fc_max_extent(row * pitch, begin), to = fc_min(row * pitch + s->box[2], end);
        if (h >= s->box[1] || from >= to)
            continue;
        const ptrdiff_t w = s->first[2] + from - row * pitch;
        ptrdiff_t at = axis[0].dst_first + (s->first[0] + d) * axis[0].dst_step;
        at = at * axis[1].dst + axis[1].dst_first + (s->first[1] + h) * axis[1].dst_step;
        at = at * axis[2].dst + axis[2].dst_first + w * axis[2].dst_step;
        segments[count++] = (fc_segment){(int)(from - begin), (int)(to - from), at};
    }
    return count;
}

/* The unit's tiles of output channels at one vector's worth of positions. */
static void run_positions(const unit *s, ptrdiff_t begin, int segments)
{
    const fc_conv_call *call = s->call;
    const fc_conv_plan *plan = call->plan;
    const ptrdiff_t oc = call->channels.oc, length = s->phase->taps * call->channels.ic;
    const ptrdiff_t vector = vector_elements(plan);
    const int tiles = oc_tiles(s->call);
    const ptrdiff_t volume = s->phase->axis[0].dst * s->phase->axis[1].dst * s->phase->axis[2].dst;
    const char *src = s->at.band + (size_t)begin * call->element;
    for (int tile = s->tile_begin; tile < s->tile_end; tile++) {
        ptrdiff_t first, last;
        fc_share(oc, tile, tiles, &first, &last);
        const ptrdiff_t rows = last - first, channel = s->group * oc + first;
        const char *weights = s->packed + (size_t)(channel * length) * call->element;
        fc_plane_fn *const kernel = call->kernels->plane[plan->vectors][rows];
        for (ptrdiff_t i = 0; i < length; i += FC_SUM_LENGTH)
            kernel(src, s->at.offsets + i, fc_min(FC_SUM_LENGTH, length - i),
                   weights + (size_t)(i * rows) * call->element, s->at.acc, i > 0);
        if (length == 0)
            memset(s->at.acc, 0, (size_t)(rows * vector) * call->element);
        const size_t dst_at = (size_t)((s->image * call->channels.dst_channels + channel) * volume) * call->element;
        call->kernels->conv->store_plane(&(fc_plane_store){
            .acc = s->at.acc,
            .rows = (int)rows,
            .stride = (int)vector,
            .segments = s->at.segments,
            .count = segments,
            .step = s->phase->axis[2].dst_step,
            .channel_step = volume,
            .bias = call->bias ? call->bias + (size_t)channel * call->element : NULL,
            .residual = call->residual ? call->residual + dst_at : NULL,
            .dst = call->dst + dst_at,
            .epilogue = &call->epilogue,
        });
    }
}

static void run_unit(unit *s)
{
    fill_band(s);
    const ptrdiff_t pitch = s->shape.axis[2].length;
    const ptrdiff_t line = ((s->box[0] - 1) * s->shape.axis[1].length + s->box[1] - 1) * pitch + s->box[2];
    for (ptrdiff_t begin = 0; begin < line; begin += vector_elements(s->call->plan)) {
        const int segments = find_segments(s, begin, s->at.segments);
        if (segments > 0)
            run_positions(s, begin, segments);
    }
}

/* Units of work: (image, group, box, tile of output channels), in this order; a thread takes the tiles of one box
 * together. */
static void run_phase(unit *s, int thread, int threads)
{
    const fc_conv_call *call = s->call;
    const fc_conv_plan *plan = call->plan;
    const fc_axis *axis = s->phase->axis;
    const int tiles = oc_tiles(call);
    ptrdiff_t boxes[FC_SPATIAL], begin, end;
    for (int a = 0; a < FC_SPATIAL; a++)
        boxes[a] = fc_divide_up(axis[a].count, plan->tile[a]);
    s->shape = band_shape_of(s->phase, plan->tile);
    fill_offsets(s->phase, &s->shape, call->channels.ic, s->at.offsets);
    fc_share(call->n * call->channels.groups * boxes[0] * boxes[1] * boxes[2] * tiles, thread, threads, &begin, &end);
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
        s->image = rest / call->channels.groups;
        run_unit(s);
    }
}

void fc_conv_plane(const void *context, int thread, int threads)
{
    const fc_conv_call *call = context;
    const fc_conv_plan *plan = call->plan;
    const ptrdiff_t phases = fc_phases(&plan->desc);
    fc_arena arena = fc_thread_arena(call, thread);
    unit s = {.call = call, .packed = call->packed};
    lay_out(plan, &arena, &s.at);
    for (ptrdiff_t i = 0; i < phases; i++) {
        fc_phase phase;
        fc_phase_at(&plan->desc, i, &phase);
        s.phase = &phase;
        run_phase(&s, thread, threads);
        s.packed += (size_t)fc_packed_size(plan, &phase) * call->element;
    }
}
