/* How the gradient of the weights is cut into passes, regions and tiles: shared by its plan and its loops. */
#ifndef FC_CONV_WEIGHT_GRAD_H
#define FC_CONV_WEIGHT_GRAD_H

#include "conv.h"

/* What a plan comes down to, found again at each call. All counts are of one group. */
typedef struct {
    fc_conv_desc desc; /* with axes folded */
    ptrdiff_t ic, oc, width, lane_tiles;
    bool joined;                        /* a row of a tile is a (tap of a kernel row, channel) */
    ptrdiff_t parts;                    /* register tiles of a tap's rows */
    ptrdiff_t blocks, deep;             /* of staged channels, and the channels of one: one of all when joined */
    ptrdiff_t taps, inner;              /* taps that are walked one by one; those that are joined */
    ptrdiff_t length;                   /* pixels of a partial sum: unless joined, a panel of them takes half of L1 */
    ptrdiff_t pass_groups, pass_blocks; /* one pass takes some groups, or some blocks of one */
    ptrdiff_t panels;                   /* of the gradient that a thread stages at once */
    bool in_place;                      /* the input is not staged */
    ptrdiff_t pixel;                    /* elements from a pixel of the input, staged or not, to the next */
    ptrdiff_t step[FC_SPATIAL];         /* from a staged position to the next, in the input */
    ptrdiff_t stride[FC_SPATIAL];       /* from an output position to the next, in staged ones */
} fc_grad_shape;

/* Shared by all threads. */
typedef struct {
    char *src;         /* [block][image][depth][row][column][channel of the block] */
    char *acc;         /* [item][row][lane] */
    ptrdiff_t *starts; /* of the region's output rows, in staged pixels */
    ptrdiff_t *tap_at; /* of the taps that are walked, in staged pixels */
    ptrdiff_t *tap_to; /* of their weights in dweights */
} fc_grad_workspace;

typedef struct {
    char *grad; /* panels */
    char *acc;  /* of one item */
    ptrdiff_t *rows;
} fc_grad_thread_workspace;

/* Found again at each call, from a plan whose tile and box are chosen. */
fc_grad_shape fc_grad_shape_of(const fc_conv_plan *plan);

/* Extents of the input that a box of output positions sees, in staged pixels. */
void fc_grad_span(const fc_grad_shape *shape, const ptrdiff_t box[FC_SPATIAL], ptrdiff_t span[FC_SPATIAL]);

/* Images per region; items of a pass, each what one thread sums at a time; rows of an item's sums. */
ptrdiff_t fc_grad_images(const fc_conv_plan *plan, const fc_grad_shape *shape);
ptrdiff_t fc_grad_items(const fc_grad_shape *shape, ptrdiff_t groups, ptrdiff_t blocks);
ptrdiff_t fc_grad_item_rows(const fc_conv_plan *plan, const fc_grad_shape *shape);

void fc_grad_lay_out(const fc_conv_plan *plan, const fc_grad_shape *shape, fc_arena *arena, fc_grad_workspace *at);
void fc_grad_lay_out_thread(const fc_conv_plan *plan, const fc_grad_shape *shape, fc_arena *arena,
                            fc_grad_thread_workspace *at);

#endif
