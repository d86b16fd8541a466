/* What planning and running of the plane family share. */
#ifndef FC_PLANE_H
#define FC_PLANE_H

#include "band.h"

typedef struct {
    char *band, *panel, *acc;
    ptrdiff_t *in_band, *in_panel; /* where a block's products lie */
    ptrdiff_t *in_row;             /* and their weights, when those are not packed */
    char *copied;                  /* those of some tiles and a block, row after row, where they lie far apart */
    fc_segment *sources, *results; /* of a panel */
} fc_plane_workspace;

static inline bool fc_plane_gathers(const fc_conv_plan *plan) { return plan->form == FC_PLANE_PANELS; }

static inline ptrdiff_t fc_plane_width(const fc_conv_plan *plan) { return (ptrdiff_t)plan->vectors * plan->lanes; }

fc_band fc_plane_band(const fc_conv_plan *plan, const fc_phase *phase, const ptrdiff_t box[FC_SPATIAL]);

/* Whether runs that take weights as they lie copy some of them at a time, with the panels of all positions ready, and
 * for how many tiles at most. */
enum { FC_TILES_COPIED = 16 };
static inline bool fc_plane_copies(const fc_conv_plan *plan)
{
    return plan->reads_weights && plan->desc.direction == FC_BACKWARD_INPUT;
}

/* Positions of a box along the line that a form lays out. */
ptrdiff_t fc_plane_line(fc_plane_form form, const fc_band *band, const ptrdiff_t box[FC_SPATIAL]);

/* The widest of the narrower tiles of `rows` that still holds `count` positions, or the plan's. */
int fc_plane_narrow(const fc_kernels *kernels, int vectors, int rows, ptrdiff_t count);

/* Cycles for one image and group, whichever form its input takes. */
double fc_plane_cost(const fc_conv_plan *plan);

void fc_plane_lay_out(const fc_conv_plan *plan, fc_arena *arena, fc_plane_workspace *at);

#endif
