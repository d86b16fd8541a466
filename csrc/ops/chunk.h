/* A chunk of the channel family's positions: what running it and finding its input share. */
#ifndef FC_CHUNK_H
#define FC_CHUNK_H

#include "conv.h"

/* Workspace of one thread. Direct: pointers[tile][tap][row]. im2col: panel[position][product], and pointers[tile]
 * [kernel row][row] into it or past it. */
typedef struct {
    const void **pointers;
    char *panel;
    const void **stretches; /* of one position's products that lie together in src */
    fc_window *inside;      /* the columns of positions that see each tap of a kernel row inside the image */
    ptrdiff_t *offsets;     /* of the chunk's positions in dst, in elements */
    ptrdiff_t *steps;       /* of each register tile, from a position's results to the next one's; 0: uneven */
    ptrdiff_t *runs; /* of each register tile, how many from it on are alike, and go on where the last one ends */
    char *zeros;     /* what a padded position points at */
    char *acc;       /* of all the chunk's tiles */
    /* when runs may take weights that are not packed */
    char *piece;        /* some of them, packed */
    char *row_sums;     /* of the one row of outputs whose weights are read where they lie */
    ptrdiff_t *taps_at; /* where the weights of each tap lie */
} fc_channel_workspace;

/* A range of a phase's positions, cut into register tiles of nearly equal rows. */
typedef struct {
    const fc_conv_call *call;
    const fc_phase *phase;
    const char *packed;     /* of this phase */
    ptrdiff_t taps, length; /* what a position's pointers lead to: so many runs of so many elements */
    ptrdiff_t block;        /* elements of each run that are packed, and summed, together */
    ptrdiff_t first, count;
    int tiles;
    bool skips;       /* pointers of a tap are NULL where a whole tile meets padding */
    ptrdiff_t beside; /* so many images, whose positions of one place are neighbours */
    bool straight;    /* channels of results are neighbours, and nothing but a bias and a ReLU happens to the sums: they
                         start from the bias, and leave as results where the positions of a tile are equally far apart */
    fc_channel_workspace *at;
} fc_chunk;

/* Products of one position: of so many taps, with all input channels of a group. */
static inline ptrdiff_t fc_products(const fc_conv_plan *plan, ptrdiff_t taps)
{
    return taps * fc_conv_channels(&plan->desc).ic;
}

/* Whether im2col's kernel rows are neighbours in src, to be read where they lie. */
bool fc_rows_lie_ready(const fc_chunk *s);

/* Pointers of the chunk for all groups, or its panel for one, and where its positions' results go; returns how far
 * apart those are, from each to the next, or 0 where that differs. */
ptrdiff_t fc_chunk_prepare(const fc_chunk *s, ptrdiff_t group);

#endif
