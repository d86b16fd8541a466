/* What the files that run convolutions share. */
#ifndef FC_CONV_H
#define FC_CONV_H

#include "dispatch/conv_kernels.h"
#include "geometry.h"
#include "parallel.h"

/* Products that are added before a partial sum is put away: bounds the rounding error of long sums (float32: about
 * 6e-7 of the result's norm for zero-mean data) and never depends on a cache. */
enum { FC_SUM_LENGTH = 512 };

/* So many positions do not pay for packing first: a weight takes about as long as its products with 16 of them. */
enum { FC_FEW_POSITIONS = 512 };

/* Whole tiles whose lanes lie side by side and are packed together, of so many channels left: memory is read in longer
 * runs, and pages that hold few rows are looked up less often. */
enum { FC_TILES_TOGETHER = 16 };
static inline ptrdiff_t fc_tiles_together(ptrdiff_t channels, ptrdiff_t width)
{
    return fc_max_extent(fc_min(channels / width, FC_TILES_TOGETHER), 1);
}

/* The channels of one run: a backward-input run reads the forward outputs' channels. */
typedef struct {
    ptrdiff_t src_channels, dst_channels; /* of the whole arrays */
    ptrdiff_t groups, ic, oc;             /* ic, oc: per group, in the run's own direction */
} fc_channels;

/* To the tile alike whose rows are so many further on in dst and in from. */
static inline void fc_next_tile(fc_tile_end *end, ptrdiff_t rows, size_t element)
{
    end->dst = (char *)end->dst + rows * end->dst_step * (ptrdiff_t)element;
    end->from = (const char *)end->from + rows * end->from_step * (ptrdiff_t)element;
}

/* `run` tiles alike, of so many `rows`, at one matrix of weights. */
static inline void fc_channel_run(fc_channel_fn *tile, const void *const *src, ptrdiff_t taps, ptrdiff_t first,
                                  ptrdiff_t channels, const void *weights, fc_tile_end *end, ptrdiff_t rows,
                                  ptrdiff_t run, size_t element)
{
    end->more = run;
    for (ptrdiff_t done; end->more > 0; src += done * end->step, fc_next_tile(end, done * rows, element)) {
        end->more--;
        done = tile(src, taps, first, channels, weights, end);
        end->more -= done - 1;
    }
}

/* Everything that a family's loop needs, gathered once per call. */
typedef struct {
    const fc_conv_plan *plan;
    const fc_kernels *kernels;
    fc_channels channels;
    size_t element; /* bytes */
    ptrdiff_t n;
    const char *src, *packed, *bias, *residual;
    const char *weights; /* of a run without packed ones, at these strides; NULL */
    const ptrdiff_t *strides;
    char *dst, *workspace;
    fc_epilogue epilogue;
} fc_conv_call;

fc_channels fc_conv_channels(const fc_conv_desc *desc);

/* Channels that are summed together before a partial sum is put away: whole tap sets, FC_SUM_LENGTH products. */
ptrdiff_t fc_channel_block(ptrdiff_t taps, ptrdiff_t channels);

size_t fc_element(const fc_conv_desc *desc); /* bytes */

extern const char fc_zeros[]; /* a row of the widest register tile: what sums start from */

ptrdiff_t fc_tile_width(const fc_conv_plan *plan, ptrdiff_t oc, ptrdiff_t first); /* of the tile at channel `first` */

/* Elements of a phase's packed weights, and of those for one product of one group. fc_reserve_packed sizes a plan's
 * buffer; false on overflow. */
ptrdiff_t fc_packed_width(const fc_conv_plan *plan);
ptrdiff_t fc_packed_size(const fc_conv_plan *plan, const fc_phase *phase);
bool fc_reserve_packed(fc_conv_plan *plan);

/* Zeros of padding need no multiplication where all weights are finite: packed ones of some plans say so behind them.
 */
void fc_reserve_mark(fc_conv_plan *plan);
void fc_mark_finite(const fc_conv_plan *plan, char *packed);
bool fc_marked_finite(const fc_conv_plan *plan, const char *packed);

/* From a weight to the next group's, output channel's and input channel's, in the run's own direction. */
typedef struct {
    ptrdiff_t group, lane, channel;
} fc_weight_steps;
fc_weight_steps fc_steps_of(const fc_conv_desc *desc, const ptrdiff_t *strides);

/* Where tap `index` of a phase finds its weights, in elements. */
ptrdiff_t fc_tap_at(const fc_conv_desc *desc, const fc_phase *phase, ptrdiff_t index, const ptrdiff_t *strides);

/* Whether an output channel's weights are neighbours, channel after channel of its input. */
bool fc_lie_in_rows(const fc_conv_desc *desc, const ptrdiff_t strides[2 + FC_SPATIAL]);

/* One input and one output channel a group. */
bool fc_is_depthwise(const fc_conv_desc *desc);

/* One image's work, for fc_crew_for: a depthwise convolution's multiply-adds take twice the time and more. */
double fc_conv_work(const fc_conv_plan *plan);

/* How many images a plan had better turn to channels-last together (conv_turned.c); 0: none. The shared workspace that
 * those take, and a run. */
ptrdiff_t fc_images_to_turn(const fc_conv_plan *plan);
size_t fc_turned_bytes(const fc_conv_plan *plan);
typedef fc_status fc_run_call(const fc_conv_call *call, int threads);
fc_status fc_run_turned(const fc_conv_call *call, fc_run_call *run, int threads);

/* plan->given and plan->desc, which may be another convolution that comes to the same. */
void fc_fold(fc_conv_plan *plan);
bool fc_is_folded(const fc_conv_plan *plan);

/* The weights' strides as plan->desc has them; false when no strides can say it. Then fc_input_at tells where the
 * weights of an input channel lie, and fc_pack_unfolded packs one by one. */
bool fc_fold_strides(const fc_conv_plan *plan, const ptrdiff_t *strides, ptrdiff_t folded[2 + FC_SPATIAL]);
ptrdiff_t fc_input_at(const fc_conv_plan *plan, ptrdiff_t index, const ptrdiff_t *strides);
fc_status fc_pack_unfolded(const fc_conv_plan *plan, const char *weights, const ptrdiff_t *strides, char *packed);
void fc_unfold_bias(const fc_conv_plan *plan, const char *bias, char *unfolded); /* of a backward-input run */

/* Who packs so many weights of so many tiles of output channels. */
fc_crew fc_crew_to_pack(double elements, ptrdiff_t tiles, int threads);

/* fc_conv_weight_grad for depthwise convolution, and along pixels. */
fc_status fc_depthwise_grad(const fc_conv_plan *plan, ptrdiff_t n, const void *src, const void *grad, void *dweights,
                            const ptrdiff_t strides[2 + FC_SPATIAL], void *memory, int threads);

fc_status fc_planes_grad(const fc_conv_plan *plan, ptrdiff_t n, const void *src, const void *grad, void *dweights,
                         const ptrdiff_t strides[2 + FC_SPATIAL], void *memory, int threads);

/* Family loops: a part of a run, and the plans that size them. */
void fc_conv_channel(const void *call, fc_part part);
void fc_conv_dots(const void *call, fc_part part); /* with weights that are not packed */
void fc_conv_plane(const void *call, fc_part part);
void fc_conv_filter(const void *call, fc_part part);
void fc_conv_depthwise(const void *call, fc_part part);
void fc_conv_depthwise_planes(const void *call, fc_part part);
void fc_conv_depthwise_lines(const void *call, fc_part part);
void fc_conv_depthwise_turned(const void *call, fc_part part);
fc_status fc_plan_channel(fc_conv_plan *plan);
fc_status fc_plan_plane(fc_conv_plan *plan);
fc_status fc_plan_filter(fc_conv_plan *plan);
fc_status fc_plan_depthwise(fc_conv_plan *plan);
fc_status fc_plan_depthwise_planes(fc_conv_plan *plan);
fc_status fc_plan_depthwise_lines(fc_conv_plan *plan);
fc_status fc_plan_depthwise_turned(fc_conv_plan *plan);
bool fc_depthwise_turns(const fc_conv_plan *plan);        /* whether that is the fastest way, channels-first */
bool fc_depthwise_planes_serve(const fc_conv_desc *desc); /* the depthwise family, channels-first */
bool fc_depthwise_lines_serve(const fc_conv_desc *desc);  /* and, of what that serves, without a copy */
fc_status fc_plan_weight_grad(fc_conv_plan *plan);
fc_status fc_plan_depthwise_grad(fc_conv_plan *plan);
fc_status fc_plan_planes_grad(fc_conv_plan *plan);
double fc_choose_planes(fc_conv_plan *plan); /* sets a weight gradient's tile along pixels; its cost */

/* Makes several narrow groups one where that fills vectors, and packs the weights of a plan whose groups are joined. */
void fc_join_groups(fc_conv_plan *plan);
void fc_pack_joined(const fc_conv_plan *plan, const char *weights, const ptrdiff_t *strides, char *packed);

/* Notes behind packed depthwise weights, channels-last, whether they are finite. */

/* Whether the loops of filters serve a descriptor, and their own form of packed weights. */
bool fc_filter_serves(const fc_conv_desc *desc);
void fc_pack_filter(const fc_conv_plan *plan, const void *weights, const ptrdiff_t strides[2 + FC_SPATIAL],
                    void *packed);

/* Members of a buffer, carved off one after the other, each 64-byte aligned. Without a base only `used` counts, which
 * is how a plan learns the size; false `fits` says that it overflowed. */
typedef struct {
    char *base;
    size_t used;
    bool fits;
} fc_arena;
void *fc_carve(fc_arena *arena, ptrdiff_t count, size_t element);
fc_arena fc_thread_arena(const fc_conv_call *call, int thread);
fc_status fc_set_workspace(fc_conv_plan *plan, const fc_arena *measured); /* of one thread */

/* Whether a dense layer's results may be dot products with its weights where they lie, and the workspace they take. */
bool fc_dots_serve(const fc_conv_desc *desc);
void fc_dots_lay_out(const fc_conv_plan *plan, fc_arena *arena);

#endif
