/* Dense layers whose weights serve once, an output's weights being neighbours: every result is a dot product of a
 * sample and a row of weights, and neither has to be packed. Vectors run along the products of both; their lanes are
 * added when all is done.
 *
 * A register tile is samples x outputs. A unit of work is a block of samples and some tiles of outputs, which take
 * their products in pieces, so that the samples' piece stays in L2 and a piece is a partial sum.
 */
#include "conv.h"
#include "parallel.h"

enum { SAMPLES = 64, TILES = 4, MOST_OUTPUTS = 8 };

bool fc_dots_serve(const fc_conv_desc *desc)
{
    for (int a = 0; a < FC_SPATIAL; a++)
        if (desc->src[a] != 1 || desc->dst[a] != 1 || desc->kernel[a] != 1)
            return false;
    return desc->reuse == FC_ONCE && desc->direction == FC_FORWARD && desc->groups == 1 && desc->ic > 0;
}

typedef struct {
    char *acc, *sums;
    ptrdiff_t *rows, *offsets; /* of the block's samples in src and dst */
} workspace;

static void lay_out(const fc_conv_plan *plan, fc_arena *arena, workspace *at)
{
    const size_t element = fc_element(&plan->desc);
    at->acc = fc_carve(arena, (ptrdiff_t)TILES * MOST_OUTPUTS * SAMPLES * plan->lanes, element);
    at->sums = fc_carve(arena, (ptrdiff_t)FC_MAX_ROWS * FC_MAX_VECTORS + 2 * plan->lanes, element);
    at->rows = fc_carve(arena, SAMPLES, sizeof(ptrdiff_t));
    at->offsets = fc_carve(arena, SAMPLES, sizeof(ptrdiff_t));
}

void fc_dots_lay_out(const fc_conv_plan *plan, fc_arena *arena)
{
    workspace at;
    lay_out(plan, arena, &at);
}

/* A register tile: so many samples, so many outputs. */
typedef struct {
    int samples, outputs;
} tile;

/* The one whose work is least: multiply-adds and loads run side by side, and a chain of sums takes its time. The order
 * of a sum does not depend on it. */
static tile choose_tile(const fc_kernels *kernels, ptrdiff_t n, ptrdiff_t oc)
{
    tile best = {1, 1};
    double least = 0;
    for (int v = 1; v <= MOST_OUTPUTS && v <= oc; v++) {
        const ptrdiff_t most = fc_min(kernels->max_rows[v], n);
        if (most < 1)
            continue;
        const ptrdiff_t each = fc_divide_up(n, fc_divide_up(n, most));
        const double fma = (double)each * v, loads = 1.5 * ((double)each + v), latency = 8;
        const double busy = fma > loads ? fma : loads;
        const double cost =
            (busy > latency ? busy : latency) * (double)fc_divide_up(n, each) * (double)fc_divide_up(oc, v);
        if (least == 0 || cost < least) {
            best = (tile){(int)each, v};
            least = cost;
        }
    }
    return best;
}

typedef struct {
    const fc_conv_call *call;
    workspace at;
    tile tile;
    ptrdiff_t first, samples;  /* of the block */
    ptrdiff_t output, outputs; /* of the unit */
} unit;

/* Outputs of the next tile of `left`: as many as there is a tile for. */
static int outputs_of(const unit *s, ptrdiff_t left)
{
    int outputs = (int)fc_min(left, s->tile.outputs);
    while (s->call->kernels->max_rows[outputs] < s->tile.samples)
        outputs--;
    return outputs;
}

static void add_piece(const unit *s, ptrdiff_t begin, ptrdiff_t length)
{
    const fc_conv_call *call = s->call;
    const ptrdiff_t ic = call->channels.ic, step = call->strides[0];
    char *acc = s->at.acc;
    for (ptrdiff_t k = 0, outputs; k < s->outputs; k += outputs) {
        outputs = outputs_of(s, s->outputs - k);
        for (ptrdiff_t i = 0, samples; i < s->samples; i += samples) {
            samples = fc_min(s->tile.samples, s->samples - i);
            const fc_grad_planes operands = {
                .src = call->src + (size_t)(s->first * ic) * call->element,
                .grad = call->weights + (s->output + k) * step * (ptrdiff_t)call->element,
                .rows = s->at.rows + i,
                .src_starts = &begin,
                .grad_starts = &begin,
                .runs = 1,
                .length = length,
                .grad_step = step,
            };
            call->kernels->planes_weight_grad[outputs][samples](&operands, acc, begin > 0);
            acc += (size_t)(samples * outputs * call->plan->lanes) * call->element;
        }
    }
}

static void store(const unit *s)
{
    const fc_conv_call *call = s->call;
    const char *acc = s->at.acc;
    for (ptrdiff_t k = 0, outputs; k < s->outputs; k += outputs) {
        outputs = outputs_of(s, s->outputs - k);
        const size_t channel = (size_t)(s->output + k) * call->element;
        for (ptrdiff_t i = 0, samples; i < s->samples; i += samples) {
            samples = fc_min(s->tile.samples, s->samples - i);
            call->kernels->conv->sum_vectors(acc, samples * outputs, s->at.sums);
            call->kernels->conv->store_rows(&(fc_row_store){
                .acc = s->at.sums,
                .rows = (int)samples,
                .stride = (int)outputs,
                .live = (int)outputs,
                .offsets = s->at.offsets + i,
                .channel_step = 1,
                .bias = call->bias ? call->bias + channel : NULL,
                .residual = call->residual ? call->residual + channel : NULL,
                .dst = call->dst + channel,
                .epilogue = &call->epilogue,
            });
            acc += (size_t)(samples * outputs * call->plan->lanes) * call->element;
        }
    }
}

/* Units of work: (block of samples, some tiles of outputs). */
void fc_conv_dots(const void *context, fc_part part)
{
    const fc_conv_call *call = context;
    const ptrdiff_t oc = call->channels.oc, ic = call->channels.ic;
    fc_arena arena = fc_thread_arena(call, part.thread);
    unit s = {.call = call, .tile = choose_tile(call->kernels, fc_min(call->n, SAMPLES), oc)};
    lay_out(call->plan, &arena, &s.at);
    const ptrdiff_t together = (ptrdiff_t)TILES * s.tile.outputs, groups = fc_divide_up(oc, together);
    ptrdiff_t begin, end;
    fc_share_of(fc_divide_up(call->n, SAMPLES) * groups, part, &begin, &end);
    for (ptrdiff_t i = begin; i < end; i++) {
        s.first = i / groups * SAMPLES;
        s.samples = fc_min(SAMPLES, call->n - s.first);
        s.output = i % groups * together;
        s.outputs = fc_min(together, oc - s.output);
        for (ptrdiff_t r = 0; r < s.samples; r++) {
            s.at.rows[r] = r * ic;
            s.at.offsets[r] = (s.first + r) * oc;
        }
        for (ptrdiff_t c = 0; c < ic; c += FC_SUM_LENGTH)
            add_piece(&s, c, fc_min(FC_SUM_LENGTH, ic - c));
        store(&s);
    }
}
