/* All shape arithmetic, in overflow-checked 64 bits; nothing outside geometry.c computes an extent, a tap or a window.
 *
 * A convolution in one of its directions is, along each spatial axis, a set of phases; within a phase everything is
 * an arithmetic progression, so nothing is stored per tap:
 *
 *   output positions   dst = dst_first + i * dst_step          i < count
 *   tap t reads        src = i * src_step + offset_first + t * offset_step        t < taps; outside [0, src): zero
 *   with the weight    kernel_first + t * kernel_step
 *
 * Forward has one phase (dst_step 1, src_step the stride). The gradient of the input has `stride` phases of ordinary
 * stride-1 convolutions over the output's gradient, each with its own subset of the taps, so nothing ever scatters.
 * Either way offset_step is positive: taps are listed by ascending offset.
 */
#ifndef FC_GEOMETRY_H
#define FC_GEOMETRY_H

#include "fastconv.h"

typedef struct {
    ptrdiff_t src, dst; /* whole extents of the arrays that are read and written */
    ptrdiff_t count, dst_first, dst_step;
    ptrdiff_t src_step, offset_first, offset_step;
    ptrdiff_t taps, kernel_first, kernel_step;
} fc_axis;

typedef struct {
    fc_axis axis[FC_SPATIAL];
    ptrdiff_t taps;  /* product over the axes */
    ptrdiff_t count; /* output positions, product over the axes */
} fc_phase;

typedef struct {
    ptrdiff_t begin, end; /* half open; positions begin, begin + dilation, … */
} fc_window;

bool fc_multiply(ptrdiff_t a, ptrdiff_t b, ptrdiff_t *product); /* false on overflow */
ptrdiff_t fc_saturate(ptrdiff_t a, ptrdiff_t b);                /* the product of two extents, or PTRDIFF_MAX */

static inline ptrdiff_t fc_divide_up(ptrdiff_t a, ptrdiff_t b) { return a / b + (a % b > 0); }
static inline ptrdiff_t fc_min(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
static inline ptrdiff_t fc_max_extent(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }

/* The output extent of one axis, or FC_BAD_SHAPE, FC_EMPTY_OUTPUT, FC_OVERFLOW. */
fc_status fc_extent(ptrdiff_t src, ptrdiff_t kernel, ptrdiff_t stride, ptrdiff_t dilation, ptrdiff_t pad_begin,
                    ptrdiff_t pad_end, bool ceil_mode, ptrdiff_t *dst);

ptrdiff_t fc_phases(const fc_conv_desc *desc);
void fc_phase_at(const fc_conv_desc *desc, ptrdiff_t index, fc_phase *phase);

/* Tap `index` (depth-major) of a phase: its flat kernel position, and its source offset along each axis. */
ptrdiff_t fc_tap(const fc_conv_desc *desc, const fc_phase *phase, ptrdiff_t index, ptrdiff_t offset[FC_SPATIAL]);

/* Whether every position is one tap's at the same place of the input. Then the phase becomes a single axis. */
bool fc_flatten(fc_phase *phase);

/* The part of [0, count) whose source position i * src_step + offset lies inside [0, src). */
fc_window fc_valid(const fc_axis *axis, ptrdiff_t offset);

/* The taps of output position `index` that read inside [0, src): one run, since their offsets are monotone. */
fc_window fc_taps_inside(const fc_axis *axis, ptrdiff_t index);

/* A pool's window `index` along one axis, not clipped to the input: regular, or adaptive (never outside it). */
fc_window fc_pool_window(const fc_pool_desc *desc, int axis, ptrdiff_t index);
fc_window fc_pool_window_valid(const fc_pool_desc *desc, int axis, ptrdiff_t index); /* clipped, first tap aligned */

/* How many positions of window `index` along one axis an average counts: those inside the input, and with include_pad
 * those in the padding, but nothing beyond it. */
ptrdiff_t fc_pool_counted(const fc_pool_desc *desc, int axis, ptrdiff_t index);

/* Fills in dst of a pool that is not adaptive; checks everything. */
fc_status fc_pool_extents(fc_pool_desc *desc);

#endif
