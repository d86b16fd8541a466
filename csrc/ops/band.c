#include "band.h"

#include <string.h>

static fc_band_axis axis_of(const fc_axis *axis, ptrdiff_t count, bool apart)
{
    const ptrdiff_t taps = axis->taps, stride = axis->src_step, step = axis->offset_step;
    fc_band_axis band = {.slots = taps, .length = count};
    for (ptrdiff_t t = 1; t < taps && !apart; t++) /* the first tap that returns to slot 0 */
        if (t * step % stride == 0) {
            band.slots = t;
            band.shift = t * step / stride;
            break;
        }
    if (taps > 0)
        band.length += (taps - 1) / band.slots * band.shift;
    return band;
}

fc_band fc_band_of(const fc_phase *phase, const ptrdiff_t box[FC_SPATIAL], bool columns_apart)
{
    fc_band band = {.channel = 1};
    for (int a = 0; a < FC_SPATIAL; a++) {
        band.axis[a] = axis_of(&phase->axis[a], box[a], columns_apart && a == FC_SPATIAL - 1);
        band.channel = fc_saturate(band.channel, fc_saturate(band.axis[a].slots, band.axis[a].length));
    }
    return band;
}

/* Where a tap finds its input along one axis. */
typedef struct {
    ptrdiff_t slot, shift;
} place;

static void to_next_tap(place *at, const fc_band_axis *axis)
{
    if (++at->slot < axis->slots)
        return;
    at->slot = 0;
    at->shift += axis->shift;
}

void fc_band_offsets(const fc_phase *phase, const fc_band *band, ptrdiff_t channels, ptrdiff_t *offsets)
{
    const fc_band_axis *axis = band->axis;
    const fc_axis *of = phase->axis;
    const ptrdiff_t volume = axis[0].length * axis[1].length * axis[2].length;
    place d = {0, 0};
    ptrdiff_t *next = offsets;
    for (ptrdiff_t i = 0; i < of[0].taps; i++, to_next_tap(&d, &axis[0])) {
        place h = {0, 0};
        for (ptrdiff_t j = 0; j < of[1].taps; j++, to_next_tap(&h, &axis[1])) {
            const ptrdiff_t slots = (d.slot * axis[1].slots + h.slot) * axis[2].slots;
            const ptrdiff_t shift = (d.shift * axis[1].length + h.shift) * axis[2].length;
            place w = {0, 0};
            for (ptrdiff_t k = 0; k < of[2].taps; k++, to_next_tap(&w, &axis[2]))
                *next++ = (slots + w.slot) * volume + shift + w.shift;
        }
    }
    for (ptrdiff_t i = phase->taps; i < phase->taps * channels; i++)
        offsets[i] = offsets[i - phase->taps] + band->channel;
}

/* One channel's slots, each plane of each a rectangle of the source sampled with the stride. */
static void fill_channel(const fc_kernels *kernels, const fc_phase *phase, const fc_band *shape,
                         const ptrdiff_t first[FC_SPATIAL], size_t element, const char *src, char *dst)
{
    const fc_axis *axis = phase->axis;
    const fc_band_axis *band = shape->axis;
    const ptrdiff_t plane = band[1].length * band[2].length;
    for (ptrdiff_t slot = 0; slot < band[0].slots * band[1].slots * band[2].slots; slot++) {
        const ptrdiff_t slot_w = slot % band[2].slots, slot_h = slot / band[2].slots % band[1].slots;
        const ptrdiff_t slot_d = slot / band[2].slots / band[1].slots;
        fc_rectangle rectangle = {
            .src_rows = axis[1].src,
            .src_cols = axis[2].src,
            .src_pitch = axis[2].src,
            .row_first = first[1] * axis[1].src_step + axis[1].offset_first + slot_h * axis[1].offset_step,
            .row_step = axis[1].src_step,
            .rows = band[1].length,
            .col_first = first[2] * axis[2].src_step + axis[2].offset_first + slot_w * axis[2].offset_step,
            .col_step = axis[2].src_step,
            .cols = band[2].length,
        };
        for (ptrdiff_t d = 0; d < band[0].length; d++, dst += (size_t)plane * element) {
            const ptrdiff_t depth =
                (first[0] + d) * axis[0].src_step + axis[0].offset_first + slot_d * axis[0].offset_step;
            if ((size_t)depth >= (size_t)axis[0].src) {
                memset(dst, 0, (size_t)plane * element);
                continue;
            }
            rectangle.src = src + (size_t)(depth * axis[1].src * axis[2].src) * element;
            rectangle.dst = dst;
            kernels->conv->copy_rectangle(&rectangle);
        }
    }
}

void fc_band_fill(const fc_kernels *kernels, const fc_phase *phase, const fc_band *band,
                  const ptrdiff_t first[FC_SPATIAL], ptrdiff_t channels, size_t element, const char *src, char *dst)
{
    const size_t volume = (size_t)(phase->axis[0].src * phase->axis[1].src * phase->axis[2].src) * element;
    const size_t channel = (size_t)band->channel * element;
    for (ptrdiff_t c = 0; c < channels; c++)
        fill_channel(kernels, phase, band, first, element, src + (size_t)c * volume, dst + (size_t)c * channel);
}
