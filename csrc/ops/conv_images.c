/* Batches of small images, channels-first: vectors run along images, so that no lane is empty whatever the extents.
 *
 * A block of `lanes` images is brought into vectors, one for each element, padded with zeros; results go back the same
 * way. Packed weights and the order of sums are the plane family's, whose plan decides that blocks are worth it: an
 * image gives the same bits in a block and by itself.
 */
#include "images.h"

#include "dispatch/lanes_kernels.h"

#include <string.h>

enum { RESULT_BYTES = 32 * 1024 }; /* of results that wait, inside L1 */

/* Of gathered input: with all the rest, half of L2. */
static double most_input(void) { return (double)fc_l2_bytes() * 3 / 8; }

/* One axis of the padded input of a block. */
typedef struct {
    ptrdiff_t begin, length; /* begin: the first position, at most 0 */
} padded_axis;

typedef struct {
    char *input, *results;
    ptrdiff_t *offsets;
} workspace;

static padded_axis padded(const fc_axis *axis)
{
    const ptrdiff_t first = fc_min(axis->offset_first, 0);
    const ptrdiff_t last =
        (axis->count - 1) * axis->src_step + axis->offset_first + (axis->taps - 1) * axis->offset_step;
    return (padded_axis){first, fc_max_extent(axis->src, last + 1) - first};
}

static ptrdiff_t padded_elements(const fc_phase *phase, ptrdiff_t channels)
{
    for (int a = 0; a < FC_SPATIAL; a++)
        channels = fc_saturate(channels, padded(&phase->axis[a]).length);
    return channels;
}

/* Rows of outputs that wait for their way back together. */
static ptrdiff_t rows_together(const fc_conv_plan *plan, const fc_phase *phase)
{
    const double row = (double)phase->axis[2].count * (double)fc_conv_channels(&plan->desc).oc * plan->lanes;
    const ptrdiff_t rows = (ptrdiff_t)(RESULT_BYTES / (row * (double)fc_element(&plan->desc)));
    return fc_max_extent(1, fc_min(rows, phase->axis[0].count * phase->axis[1].count));
}

static void lay_out(const fc_conv_plan *plan, const fc_phase *phase, fc_arena *arena, workspace *at)
{
    const fc_channels channels = fc_conv_channels(&plan->desc);
    const ptrdiff_t positions = fc_saturate(rows_together(plan, phase), phase->axis[2].count);
    const size_t vector = (size_t)plan->lanes * fc_element(&plan->desc);
    at->input = fc_carve(arena, padded_elements(phase, channels.ic), vector);
    at->results = fc_carve(arena, fc_saturate(positions, channels.oc), vector);
    at->offsets = fc_carve(arena, fc_saturate(phase->taps, channels.ic), sizeof(ptrdiff_t));
}

double fc_images_cost(const fc_conv_plan *plan, const fc_phase *phase)
{
    const fc_channels channels = fc_conv_channels(&plan->desc);
    const double input = (double)padded_elements(phase, channels.ic);
    const double results = (double)phase->count * (double)channels.oc;
    const double block = input * plan->lanes * (double)fc_element(&plan->desc);
    if (fc_phases(&plan->desc) != 1 || phase->axis[2].dst_step != 1 || phase->taps == 0 || block > most_input())
        return -1;
    const double products = (double)phase->taps * (double)channels.ic;
    /* a vector takes about five cycles to be brought in or back, a lane's share of it is one element's */
    return (results * products / 2 + (input + results) * 5) / plan->lanes;
}

void fc_images_lay_out(const fc_conv_plan *plan, const fc_phase *phase, fc_arena *arena)
{
    workspace at;
    lay_out(plan, phase, arena, &at);
}

ptrdiff_t fc_images_taken(const fc_conv_call *call)
{
    const ptrdiff_t lanes = call->plan->lanes;
    if (!call->plan->blocks_of_images || call->residual)
        return 0;
    return call->n % lanes * 2 >= lanes ? call->n : call->n / lanes * lanes;
}

/* ---- running ---------------------------------------------------------------------------------------------- */

typedef struct {
    const fc_conv_call *call;
    const fc_phase *phase;
    workspace at;
    padded_axis axis[FC_SPATIAL];
    ptrdiff_t image, group; /* the block's first image */
    int live;
} block;

/* The widest tile of the plan's rows, and of no more than a few vectors. */
static int widest(const fc_conv_plan *plan, const fc_kernels *kernels)
{
    int vectors = plan->vectors;
    for (int v = 1; v <= 4; v++)
        if (kernels->max_rows[v] >= plan->rows)
            vectors = v;
    return vectors;
}

static void gather(const block *s)
{
    const fc_conv_call *call = s->call;
    const fc_axis *axis = s->phase->axis;
    const size_t vector = (size_t)call->plan->lanes * call->element;
    const ptrdiff_t volume = axis[0].src * axis[1].src * axis[2].src, image = call->channels.src_channels * volume;
    const ptrdiff_t elements = padded_elements(s->phase, call->channels.ic);
    const bool whole = elements == call->channels.ic * volume;
    const char *src = call->src + (size_t)(s->image * image + s->group * call->channels.ic * volume) * call->element;
    if (whole) {
        call->kernels->lanes_kernels->gather(src, image, s->live, elements, s->at.input);
        return;
    }
    memset(s->at.input, 0, (size_t)elements * vector);
    for (ptrdiff_t row = 0; row < call->channels.ic * axis[0].src * axis[1].src; row++) {
        const ptrdiff_t h = row % axis[1].src - s->axis[1].begin,
                        d = row / axis[1].src % axis[0].src - s->axis[0].begin;
        const ptrdiff_t plane = row / axis[1].src / axis[0].src * s->axis[0].length + d;
        const ptrdiff_t to = (plane * s->axis[1].length + h) * s->axis[2].length - s->axis[2].begin;
        call->kernels->lanes_kernels->gather(src + (size_t)(row * axis[2].src) * call->element, image, s->live,
                                             axis[2].src, s->at.input + (size_t)to * vector);
    }
}

static void fill_offsets(const block *s)
{
    const fc_axis *axis = s->phase->axis;
    const ptrdiff_t channel = s->axis[0].length * s->axis[1].length * s->axis[2].length;
    for (ptrdiff_t i = 0; i < s->phase->taps * s->call->channels.ic; i++) {
        ptrdiff_t rest = i % s->phase->taps, place[FC_SPATIAL];
        for (int a = FC_SPATIAL - 1; a >= 0; a--) {
            place[a] = rest % axis[a].taps * axis[a].offset_step;
            rest /= axis[a].taps;
        }
        s->at.offsets[i] =
            (place[0] * s->axis[1].length + place[1]) * s->axis[2].length + place[2] + i / s->phase->taps * channel;
    }
}

/* One row of outputs, all its output channels, to `results`. */
static void run_row(const block *s, ptrdiff_t row, char *results)
{
    const fc_conv_call *call = s->call;
    const fc_conv_plan *plan = call->plan;
    const fc_axis *axis = s->phase->axis;
    const ptrdiff_t oc = call->channels.oc, ic = call->channels.ic, taps = s->phase->taps, count = axis[2].count;
    const size_t vector = (size_t)plan->lanes * call->element;
    const int tiles = (int)fc_divide_up(oc, plan->rows);
    const int wide = (int)fc_divide_up(count, widest(plan, call->kernels));
    ptrdiff_t at = row / axis[1].count * axis[0].src_step + axis[0].offset_first - s->axis[0].begin;
    at = at * s->axis[1].length + row % axis[1].count * axis[1].src_step + axis[1].offset_first - s->axis[1].begin;
    at = at * s->axis[2].length + axis[2].offset_first - s->axis[2].begin;
    for (int tile = 0; tile < tiles; tile++) {
        ptrdiff_t first, last;
        fc_share(oc, tile, tiles, &first, &last);
        const char *weights = call->packed + (size_t)((s->group * oc + first) * ic * taps) * call->element;
        for (int part = 0; part < wide; part++) {
            ptrdiff_t begin, end;
            fc_share(count, part, wide, &begin, &end);
            fc_lanes_tile sums = {
                .src = s->at.input + (size_t)(at + begin * axis[2].src_step) * vector,
                .src_step = axis[2].src_step,
                .weight_step = last - first,
                .dst = results + (size_t)(begin * oc + first) * vector,
                .dst_step = oc,
            };
            for (ptrdiff_t c = 0; c < ic; c += plan->block)
                for (ptrdiff_t i = 0, all = fc_min(plan->block, ic - c) * taps; i < all; i += FC_SUM_LENGTH) {
                    sums.offsets = s->at.offsets + c * taps + i;
                    sums.count = fc_min(FC_SUM_LENGTH, all - i);
                    sums.weights = weights + (size_t)((c * taps + i) * (last - first)) * call->element;
                    call->kernels->lanes_kernels->lanes[end - begin][last - first](&sums);
                    sums.accumulate = true;
                }
        }
    }
}

/* Rows first … first + count of a block's outputs. */
static void run_rows(const block *s, ptrdiff_t first, ptrdiff_t count)
{
    const fc_conv_call *call = s->call;
    const fc_axis *axis = s->phase->axis;
    const ptrdiff_t volume = axis[0].dst * axis[1].dst * axis[2].dst, channel = s->group * call->channels.oc;
    const size_t row = (size_t)(axis[2].count * call->channels.oc * call->plan->lanes) * call->element;
    for (ptrdiff_t i = 0; i < count; i++)
        run_row(s, first + i, s->at.results + (size_t)i * row);
    const bool last = call->plan->desc.layout == FC_CHANNELS_LAST; /* of one group, then */
    const ptrdiff_t image = s->image * call->channels.dst_channels * volume, pixel = first * axis[2].dst;
    const ptrdiff_t at = image + (last ? pixel * call->channels.oc : channel * volume + pixel);
    call->kernels->conv->store_images(&(fc_image_store){
        .acc = s->at.results,
        .channels = call->channels.oc,
        .positions = count * axis[2].count,
        .live = s->live,
        .image_step = call->channels.dst_channels * volume,
        .channel_step = volume,
        .interleaved = last,
        .bias = call->bias ? call->bias + (size_t)channel * call->element : NULL,
        .dst = call->dst + (size_t)at * call->element,
        .epilogue = &call->epilogue,
    });
}

/* Units of work: (block of images, group, rows of outputs). */
void fc_conv_images(const fc_conv_call *call, fc_arena *arena, fc_part share)
{
    const fc_conv_plan *plan = call->plan;
    const ptrdiff_t images = fc_images_taken(call), groups = call->channels.groups;
    fc_phase phase;
    fc_phase_at(&plan->desc, 0, &phase);
    block s = {.call = call, .phase = &phase};
    lay_out(plan, &phase, arena, &s.at);
    for (int a = 0; a < FC_SPATIAL; a++)
        s.axis[a] = padded(&phase.axis[a]);
    fill_offsets(&s);
    const ptrdiff_t rows = phase.axis[0].count * phase.axis[1].count, together = rows_together(plan, &phase);
    const ptrdiff_t parts = fc_divide_up(rows, together), blocks = fc_divide_up(images, plan->lanes);
    ptrdiff_t begin, end, ready = -1;
    fc_share_of(blocks * groups * parts, share, &begin, &end);
    for (ptrdiff_t i = begin; i < end; i++) {
        const ptrdiff_t part = i % parts;
        if (i / parts != ready) {
            ready = i / parts;
            s.group = ready % groups;
            s.image = ready / groups * plan->lanes;
            s.live = (int)fc_min(plan->lanes, images - s.image);
            gather(&s);
        }
        run_rows(&s, part * together, fc_min(together, rows - part * together));
    }
}
