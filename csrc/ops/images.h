/* What the plane family knows of blocks of images. */
#ifndef FC_IMAGES_H
#define FC_IMAGES_H

#include "conv.h"
#include "parallel.h"

/* Cycles for one image of a full block; negative where blocks cannot serve. */
double fc_images_cost(const fc_conv_plan *plan, const fc_phase *phase);
void fc_images_lay_out(const fc_conv_plan *plan, const fc_phase *phase, fc_arena *arena);

/* How many of a call's images go in blocks: the first ones. */
ptrdiff_t fc_images_taken(const fc_conv_call *call);
void fc_conv_images(const fc_conv_call *call, fc_arena *arena, fc_part share);

#endif
