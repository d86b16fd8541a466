/* The plane family's band: a box of zero-padded input, de-interleaved so that every tap of a convolution reads
 * consecutive elements whatever the stride and dilation.
 *
 *   band[channel][slot d][slot h][slot w][depth][row][column]
 *
 * Along an axis, taps whose offsets differ by a multiple of the stride share a slot, and a tap is a shift within it.
 * With columns apart each tap of the last axis has a slot of its own: rows are then as long as the box is wide, and a
 * line of positions that runs over several rows has no gaps.
 */
#ifndef FC_BAND_H
#define FC_BAND_H

#include "conv.h"

/* How one axis of a box of `count` positions is stored. */
typedef struct {
    ptrdiff_t slots;
    ptrdiff_t length; /* of a slot */
    ptrdiff_t shift;  /* from a tap to the next one in its slot */
} fc_band_axis;

typedef struct {
    fc_band_axis axis[FC_SPATIAL];
    ptrdiff_t channel; /* elements of one channel; PTRDIFF_MAX when they do not fit an address */
} fc_band;

fc_band fc_band_of(const fc_phase *phase, const ptrdiff_t box[FC_SPATIAL], bool columns_apart);

/* offsets[channel * taps + tap]: where the products of a position lie, from the position itself. */
void fc_band_offsets(const fc_phase *phase, const fc_band *band, ptrdiff_t channels, ptrdiff_t *offsets);

/* Copies `channels` planes of src (of the phase's extents) to dst, for the box whose first position is `first`. */
void fc_band_fill(const fc_kernels *kernels, const fc_phase *phase, const fc_band *band,
                  const ptrdiff_t first[FC_SPATIAL], ptrdiff_t channels, size_t element, const char *src, char *dst);

#endif
