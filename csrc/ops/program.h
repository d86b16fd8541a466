/* What the files of programs share. */
#ifndef FC_PROGRAM_H
#define FC_PROGRAM_H

#include "dispatch/lanes_kernels.h"
#include "dispatch/pointwise_kernels.h"
#include "dispatch/update_kernels.h"
#include "geometry.h"

/* Products that are added before a partial sum is put away, as in conv.h. */
enum { FC_PROGRAM_SUM = 512 };

/* One thread's way through a program. */
typedef struct {
    const fc_program *program;
    const struct fc_lanes_kernels *kernels;
    const struct fc_pointwise_kernels *pointwise;
    const int *max_rows; /* by vectors */
    ptrdiff_t element;   /* bytes */
    char *padded;        /* the input of a convolution between its padding */
    char *factor;        /* of a normalisation, then its shift */
    char *pool;          /* workspace */
} fc_program_thread;

/* Activations of `groups` groups of images, `step` elements of one image apart. */
typedef struct {
    char *data;
    ptrdiff_t step;
} fc_lanes_buffer;

static inline ptrdiff_t fc_step_read(const fc_step *s) { return s->src[0] * s->src[1] * s->ic; }
static inline ptrdiff_t fc_step_made(const fc_step *s) { return s->dst[0] * s->dst[1] * s->oc; }

bool fc_step_is_padded(const fc_step *s);

/* Elements of one image between its padding: rows keep their number, columns get what the kernel reaches. */
ptrdiff_t fc_step_padded(const fc_step *s);

/* The kernel rows [begin, end) of output row `row` that lie inside the image. */
fc_window fc_step_kernel_rows(const fc_step *s, ptrdiff_t row);

/* Neighbouring vectors of a tile of `oc` rows over a line of `width`. */
int fc_tile_vectors(const fc_kernels *kernels, ptrdiff_t oc, ptrdiff_t width);

/* All products of a tile, in partial sums. */
void fc_lanes_sum(const fc_program_thread *t, fc_lanes_fn *kernel, const fc_lanes_tile *whole);

/* ---- backward, lanes images only; g and dx are of one group ------------------------------------------------- */

/* Vectors of images that hold a step's weight gradients while they are summed, bias included. */
ptrdiff_t fc_step_sums(const fc_program *p, const fc_step *s, bool dense);
ptrdiff_t fc_step_back_packed(const fc_program *p, const fc_step *s); /* elements of weights for the way back */
ptrdiff_t fc_step_back_padded(const fc_step *s);                      /* elements of one image */
ptrdiff_t fc_step_grad_padded(const fc_step *s);                      /* the same, of a weight gradient's input */
void fc_step_back_pack(const fc_program_thread *t, const fc_step *s, bool dense, char *packed);

/* Adds to sums what a group's x and g say of the weights. `rows`: g as (lane, output channel), dense steps only. */
void fc_step_weight_grad(const fc_program_thread *t, const fc_step *s, bool dense, const char *x, const char *g,
                         char *rows, char *sums);
void fc_step_weight_grad_end(const fc_program_thread *t, const fc_step *s, bool dense, const char *sums, bool add);

/* The gradient of the input; `offsets` has room for a kernel row's products. */
void fc_step_input_grad(const fc_program_thread *t, const fc_step *s, bool dense, const char *packed,
                        ptrdiff_t *offsets, const char *g, char *dx);

void fc_step_pad_back(const fc_program_thread *t, const fc_step *s, const char *g, char *dx);

/* A step for `groups` groups of lanes images, or for one image by itself. */
void fc_step_lanes(const fc_program_thread *t, const fc_step *s, int groups, fc_lanes_buffer src, fc_lanes_buffer dst);
/* The same for a spatial convolution and the banded pool after it; `band` holds the rows of a window. */
void fc_step_pooled(const fc_program_thread *t, const fc_step *conv, const char *src, char *band, char *dst);

void fc_step_pixels(const fc_program_thread *t, const fc_step *s, bool from_planes, const char *src, char *dst);
void fc_step_planes(const fc_program_thread *t, const fc_step *s, const char *src, char *dst);

#endif
