/* Convolution: which algorithm and family a descriptor gets, packing, and the way into the families' loops. */
#include "conv.h"
#include "parallel.h"
#include "winograd.h"

#include <string.h>

/* Most layers have one group, and a division takes as long as the rest of what asks for it. */
static ptrdiff_t of_group(ptrdiff_t channels, ptrdiff_t groups) { return groups == 1 ? channels : channels / groups; }

fc_channels fc_conv_channels(const fc_conv_desc *desc)
{
    const bool backward = desc->direction == FC_BACKWARD_INPUT;
    return (fc_channels){
        .src_channels = backward ? desc->oc : desc->ic,
        .dst_channels = backward ? desc->ic : desc->oc,
        .groups = desc->groups,
        .ic = of_group(backward ? desc->oc : desc->ic, desc->groups),
        .oc = of_group(backward ? desc->ic : desc->oc, desc->groups),
    };
}

fc_weight_steps fc_steps_of(const fc_conv_desc *desc, const ptrdiff_t *strides)
{
    const bool backward = desc->direction == FC_BACKWARD_INPUT;
    return (fc_weight_steps){
        .group = strides[0] * (desc->oc / desc->groups),
        .lane = backward ? strides[1] : strides[0],
        .channel = backward ? strides[0] : strides[1],
    };
}

ptrdiff_t fc_channel_block(ptrdiff_t taps, ptrdiff_t channels)
{
    if (taps < 1)
        return channels;
    enum { LINE = 16 }; /* float32 elements: transposes of whole cache lines pack a third faster */
    ptrdiff_t most = fc_max_extent(FC_SUM_LENGTH / taps, 1);
    if (channels <= most)
        return channels;
    if (most > LINE)
        most = most / LINE * LINE;
    const ptrdiff_t each = fc_divide_up(channels, fc_divide_up(channels, most));
    return most > LINE ? fc_min(fc_divide_up(each, LINE) * LINE, channels) : each;
}

const char fc_zeros[FC_MAX_VECTORS * FC_ALIGNMENT] __attribute__((aligned(FC_ALIGNMENT)));

size_t fc_element(const fc_conv_desc *desc) { return desc->dtype == FC_F32 ? sizeof(float) : sizeof(double); }

void *fc_carve(fc_arena *arena, ptrdiff_t count, size_t element)
{
    ptrdiff_t bytes;
    void *const member = arena->base ? arena->base + arena->used : NULL;
    if (!fc_multiply(count, (ptrdiff_t)element, &bytes) || bytes > PTRDIFF_MAX / 4 || arena->used > PTRDIFF_MAX / 4)
        arena->fits = false;
    else
        arena->used += ((size_t)bytes + FC_ALIGNMENT - 1) / FC_ALIGNMENT * FC_ALIGNMENT;
    return member;
}

fc_arena fc_thread_arena(const fc_conv_call *call, int thread)
{
    const fc_conv_plan *plan = call->plan;
    return (fc_arena){call->workspace + plan->shared_bytes + (size_t)thread * plan->workspace_bytes, 0, true};
}

/* Threads' slices start 128 bytes apart at least: adjacent cache lines are fetched in pairs. */
fc_status fc_set_workspace(fc_conv_plan *plan, const fc_arena *measured)
{
    plan->workspace_bytes = (measured->used + 127) / 128 * 128;
    return measured->fits ? FC_OK : FC_OVERFLOW;
}

bool fc_is_depthwise(const fc_conv_desc *desc) { return desc->groups == desc->ic && desc->groups == desc->oc; }

/* Output positions of one image, over all phases. */
static ptrdiff_t positions(const fc_conv_desc *desc)
{
    const ptrdiff_t *extent = desc->direction == FC_BACKWARD_INPUT ? desc->src : desc->dst;
    return extent[0] * extent[1] * extent[2];
}

/* An image of one channel lies the same way in both layouts, and so do its results if they have one. Of fewer than fill
 * a vector planes are computed all the same, and their pixels brought together where they leave. */
static bool channels_first(const fc_conv_desc *desc)
{
    const bool few = desc->oc < fc_kernels_for(desc->isa, desc->dtype)->lanes && desc->direction == FC_FORWARD;
    return desc->layout == FC_CHANNELS_FIRST || (desc->ic == 1 && (desc->oc == 1 || few));
}

/* Whether im2col's rows lie ready in channels-last images, and are worth their longer runs: at a stride, where taps are
 * not shared by neighbours, 4 to 10% over direct, as long as the weights come from L2 and enough output channels share
 * what the borders cost. */
static bool reads_kernel_rows(const fc_conv_desc *desc)
{
    enum { ENOUGH = 32 };
    const double weights = (double)desc->oc * (double)desc->ic * (double)(desc->kernel[0] * desc->kernel[1]);
    return desc->direction == FC_FORWARD && desc->groups == 1 && desc->dilation[2] == 1 && desc->stride[2] > 1 &&
           desc->kernel[2] > 1 && desc->oc >= ENOUGH &&
           weights * (double)desc->kernel[2] * (double)fc_element(desc) <= (double)fc_l2_bytes() / 2;
}

/* Whether planes fill their last vector so badly that it is less work to turn them, and the results back: 49 pixels are
 * six vectors of eight and a seventh for the last one. */
static bool turning_pays(const fc_conv_desc *desc, fc_channels channels)
{
    enum { LEAST_PIXELS = 32 };
    const ptrdiff_t lanes = fc_kernels_for(desc->isa, desc->dtype)->lanes, pixels = positions(desc);
    const double work = (double)(fc_divide_up(pixels, lanes) * lanes) / (double)fc_max_extent(pixels, 1);
    const double turning = 16 / (double)fc_max_extent(channels.ic, 1) + 16 / (double)fc_max_extent(channels.oc, 1);
    return desc->layout == FC_CHANNELS_FIRST && desc->reuse == FC_MANY && desc->groups == 1 && pixels >= LEAST_PIXELS &&
           desc->stride[0] * desc->stride[1] * desc->stride[2] == 1 && work > 1 + turning;
}

/* im2col pays where direct cannot fill its vectors or its sums: channels-last with few input channels (a tap brings
 * only a few products between two reloads of the pointers), channels-first with planes of few pixels. */
static fc_algorithm choose(const fc_conv_desc *desc, fc_channels channels)
{
    const ptrdiff_t taps = desc->kernel[0] * desc->kernel[1] * desc->kernel[2];
    if (fc_is_depthwise(desc))
        return FC_DIRECT;
    if (taps == 1)
        return turning_pays(desc, channels) ? FC_IM2COL : FC_DIRECT;
    if (desc->precision == FC_HIGH && fc_winograd_gain(desc) > 1)
        return FC_WINOGRAD;
    if (!channels_first(desc))
        return channels.ic < 8 || reads_kernel_rows(desc) ? FC_IM2COL : FC_DIRECT;
    return positions(desc) < 16 && channels.oc >= 8 ? FC_IM2COL : FC_DIRECT;
}

static fc_family family_of(const fc_conv_desc *desc, fc_algorithm algorithm)
{
    if (algorithm == FC_WINOGRAD)
        return FC_FAMILY_WINOGRAD;
    if (algorithm == FC_IM2COL)
        return FC_FAMILY_CHANNEL;
    const bool same = desc->layout == FC_CHANNELS_FIRST || desc->oc == 1; /* results as channels-first ones */
    if (channels_first(desc) && same && fc_filter_serves(desc))
        return FC_FAMILY_FILTER;
    if (channels_first(desc) && !same)
        return FC_FAMILY_PLANE;
    if (channels_first(desc))
        return fc_depthwise_planes_serve(desc) ? FC_FAMILY_DEPTHWISE : FC_FAMILY_PLANE;
    return fc_is_depthwise(desc) ? FC_FAMILY_DEPTHWISE : FC_FAMILY_CHANNEL;
}

/* Whether the lanes of packed weights are channels, where the depthwise family's need not be. */
static bool has_lanes(const fc_conv_plan *plan)
{
    return plan->family == FC_FAMILY_CHANNEL || plan->family == FC_FAMILY_WINOGRAD ||
           (plan->family == FC_FAMILY_DEPTHWISE && (plan->desc.layout == FC_CHANNELS_LAST || plan->channel_lanes));
}

static double flops_of(const fc_conv_desc *desc)
{
    double flops = 2.0 * (double)desc->oc * (double)(desc->ic / desc->groups);
    for (int a = 0; a < FC_SPATIAL; a++)
        flops *= (double)desc->kernel[a] * (double)desc->dst[a];
    return flops;
}

double fc_conv_work(const fc_conv_plan *plan)
{
    return fc_work_of(fc_is_depthwise(&plan->desc) ? plan->flops : plan->flops / 2, plan->lanes);
}

/* Plans look at every phase. Strides of a thousand along two axes have as many; more of them would only take time: a
 * stride of billions, minutes. */
enum { MOST_PHASES = 1 << 20 };

fc_status fc_conv_plan_make(const fc_conv_desc *desc, fc_conv_plan *plan)
{
    *plan = (fc_conv_plan){.desc = *desc, .sum_length = FC_SUM_LENGTH};
    fc_status status = fc_conv_extents(&plan->desc);
    if (status != FC_OK)
        return status;
    if (fc_phases(&plan->desc) == 0) /* the gradient of an input of no positions */
        return FC_EMPTY_OUTPUT;
    if (fc_phases(&plan->desc) > MOST_PHASES)
        return FC_OVERFLOW;
    if (!fc_isa_available(desc->isa) || (desc->algorithm == FC_WINOGRAD && !fc_winograd_serves(desc)))
        return FC_UNSUPPORTED;
    plan->lanes = fc_kernels_for(desc->isa, desc->dtype)->lanes;
    plan->flops = flops_of(&plan->desc);
    fc_fold(plan);
    if (desc->direction != FC_BACKWARD_WEIGHT && choose(&plan->desc, fc_conv_channels(&plan->desc)) != FC_WINOGRAD)
        plan->turned = fc_images_to_turn(plan);
    if (plan->turned > 0) {
        plan->desc.layout = FC_CHANNELS_LAST;
        plan->shared_bytes = fc_turned_bytes(plan);
    }
    fc_join_groups(plan);
    if (fc_is_folded(plan) && desc->direction == FC_BACKWARD_INPUT) /* for the bias of all of them */
        plan->shared_bytes = ((size_t)plan->desc.ic * fc_element(desc) + 127) / 128 * 128;
    if (desc->direction == FC_BACKWARD_WEIGHT) {
        plan->algorithm = FC_DIRECT;
        plan->family = FC_FAMILY_WEIGHT_GRAD;
        return fc_plan_weight_grad(plan);
    }
    plan->algorithm = plan->group_width > 0        ? FC_DIRECT
                      : desc->algorithm == FC_AUTO ? choose(&plan->desc, fc_conv_channels(&plan->desc))
                                                   : desc->algorithm;
    plan->family = family_of(&plan->desc, plan->algorithm);
    switch (plan->family) {
    case FC_FAMILY_PLANE:
        return fc_plan_plane(plan);
    case FC_FAMILY_FILTER:
        return fc_plan_filter(plan);
    case FC_FAMILY_DEPTHWISE:
        if (fc_depthwise_turns(plan))
            return fc_plan_depthwise_turned(plan);
        return has_lanes(plan)                         ? fc_plan_depthwise(plan)
               : fc_depthwise_lines_serve(&plan->desc) ? fc_plan_depthwise_lines(plan)
                                                       : fc_plan_depthwise_planes(plan);
    case FC_FAMILY_WINOGRAD:
        return fc_plan_winograd(plan);
    default:
        return fc_plan_channel(plan);
    }
}

size_t fc_conv_workspace(const fc_conv_plan *plan, ptrdiff_t n, int threads)
{
    (void)n;
    size_t total;
    if (threads < 1 || __builtin_mul_overflow(plan->workspace_bytes, (size_t)threads, &total) ||
        __builtin_add_overflow(total, plan->shared_bytes, &total))
        return SIZE_MAX;
    return total;
}

/* ---- packing ---------------------------------------------------------------------------------------------- */

/* Lanes of the tile of output channels that begins at `first`: the last one is as narrow as the tiles there are allow.
 */
ptrdiff_t fc_tile_width(const fc_conv_plan *plan, ptrdiff_t oc, ptrdiff_t first)
{
    const fc_kernels *kernels = fc_kernels_for(plan->desc.isa, plan->desc.dtype);
    int vectors = (int)fc_min(fc_divide_up(oc - first, plan->lanes), plan->vectors);
    while (kernels->max_rows[vectors] < plan->rows && vectors < plan->vectors)
        vectors++;
    return (ptrdiff_t)vectors * plan->lanes;
}

/* Lanes of packed weights for every product of a group: whole vectors where output channels are lanes, exactly the
 * output channels where they are rows. */
ptrdiff_t fc_packed_width(const fc_conv_plan *plan)
{
    const fc_channels channels = fc_conv_channels(&plan->desc);
    const ptrdiff_t lanes = plan->lanes * plan->vectors, whole = channels.oc / lanes * lanes;
    if (!has_lanes(plan))
        return channels.oc;
    if (plan->family == FC_FAMILY_DEPTHWISE)
        return fc_divide_up(channels.groups, lanes) * lanes;
    return whole + (whole < channels.oc ? fc_tile_width(plan, channels.oc, whole) : 0);
}

ptrdiff_t fc_packed_size(const fc_conv_plan *plan, const fc_phase *phase)
{
    const fc_channels channels = fc_conv_channels(&plan->desc);
    const bool depthwise = plan->family == FC_FAMILY_DEPTHWISE && has_lanes(plan);
    const ptrdiff_t groups = depthwise ? 1 : channels.groups;
    return phase->taps * groups * channels.ic * fc_packed_width(plan);
}

bool fc_reserve_packed(fc_conv_plan *plan)
{
    const fc_phase all = {.taps = plan->desc.kernel[0] * plan->desc.kernel[1] * plan->desc.kernel[2]};
    const ptrdiff_t lanes = (ptrdiff_t)plan->lanes * plan->vectors;
    ptrdiff_t padded; /* sizes_fit bounds the product without the padding of width to whole vectors */
    if (!fc_multiply(all.taps * plan->desc.ic, fc_max_extent(plan->desc.oc, lanes) + lanes, &padded) ||
        !fc_multiply(padded, 2 * plan->desc.groups, &padded))
        return false;
    fc_arena arena = {.fits = true};
    fc_carve(&arena, fc_packed_size(plan, &all), fc_element(&plan->desc));
    plan->packed_bytes = arena.used;
    return arena.fits;
}

void fc_reserve_mark(fc_conv_plan *plan) { plan->packed_bytes += FC_ALIGNMENT; }

static size_t mark_at(const fc_conv_plan *plan) { return plan->packed_bytes - FC_ALIGNMENT; }

void fc_mark_finite(const fc_conv_plan *plan, char *packed)
{
    ptrdiff_t count = 0;
    for (ptrdiff_t i = 0; i < fc_phases(&plan->desc); i++) {
        fc_phase phase;
        fc_phase_at(&plan->desc, i, &phase);
        count += fc_packed_size(plan, &phase);
    }
    const fc_kernels *kernels = fc_kernels_for(plan->desc.isa, plan->desc.dtype);
    *(int *)(void *)(packed + mark_at(plan)) = kernels->conv->are_finite(packed, count);
}

bool fc_marked_finite(const fc_conv_plan *plan, const char *packed)
{
    return *(const int *)(const void *)(packed + mark_at(plan));
}

ptrdiff_t fc_tap_at(const fc_conv_desc *desc, const fc_phase *phase, ptrdiff_t index, const ptrdiff_t *strides)
{
    ptrdiff_t offset[FC_SPATIAL], at = 0;
    ptrdiff_t flat = fc_tap(desc, phase, index, offset);
    for (int a = FC_SPATIAL - 1; a >= 0; a--) {
        at += flat % desc->kernel[a] * strides[2 + a];
        flat /= desc->kernel[a];
    }
    return at;
}

enum { TAPS_AT_ONCE = 512, MOST_ROW_TILES = 16 };

/* The order of one group's products: which channels are packed together, tap by tap. Planes and im2col rows of
 * channels-first images are channel after channel, im2col rows of channels-last ones tap after tap; the direct channel
 * kernel takes blocks of channels, so that a partial sum holds whole tap sets. */
static ptrdiff_t packed_block(const fc_conv_plan *plan, ptrdiff_t taps, ptrdiff_t channels)
{
    if (!has_lanes(plan))
        return 1;
    if (plan->algorithm == FC_IM2COL)
        return plan->desc.layout == FC_CHANNELS_LAST ? channels : 1;
    return fc_channel_block(taps, channels);
}

/* What weights are packed in: tiles of a group's output channels, or of groups that have one channel each. */
typedef struct {
    bool joined;
    ptrdiff_t groups, channels, width, tiles; /* tiles: of a group */
} tiling;

static tiling tiling_of(const fc_conv_plan *plan)
{
    const fc_channels channels = fc_conv_channels(&plan->desc);
    tiling cut = {.joined = has_lanes(plan) && plan->family == FC_FAMILY_DEPTHWISE};
    cut.groups = cut.joined ? 1 : channels.groups;
    cut.channels = cut.joined ? channels.groups : channels.oc;
    cut.width = has_lanes(plan) ? (ptrdiff_t)plan->lanes * plan->vectors : plan->rows;
    cut.tiles = fc_divide_up(cut.channels, cut.width);
    return cut;
}

typedef struct {
    const fc_conv_plan *plan;
    const fc_phase *phase;
    const char *weights;
    const ptrdiff_t *strides;
    char *packed; /* the phase's */
} packing;

/* Output tiles of one phase, of all groups. */
static void pack_part(const void *context, fc_part part)
{
    const packing *p = context;
    const fc_conv_plan *plan = p->plan;
    const fc_phase *phase = p->phase;
    const fc_conv_desc *desc = &plan->desc;
    const fc_kernels *kernels = fc_kernels_for(desc->isa, desc->dtype);
    const fc_channels channels = fc_conv_channels(desc);
    const ptrdiff_t element = (ptrdiff_t)fc_element(desc);
    const bool rows = !has_lanes(plan);
    const tiling cut = tiling_of(plan);
    const ptrdiff_t oc = cut.channels, width = cut.width, tiles = cut.tiles, group_width = fc_packed_width(plan);
    const fc_weight_steps steps = fc_steps_of(desc, p->strides);
    const ptrdiff_t lane_step = cut.joined ? p->strides[0] : steps.lane;
    const ptrdiff_t block = packed_block(plan, phase->taps, channels.ic);
    /* more taps than the table holds come one block of channels at a time, in several runs */
    const ptrdiff_t together = phase->taps <= TAPS_AT_ONCE ? channels.ic : block;
    ptrdiff_t taps_at[TAPS_AT_ONCE], known = -1, unit, last;
    fc_share_of(cut.groups * tiles, part, &unit, &last);
    for (ptrdiff_t side; unit < last; unit += side) {
        ptrdiff_t begin = unit % tiles * width, end = fc_min(begin + width, oc);
        if (rows)
            fc_share(oc, unit % tiles, tiles, &begin, &end);
        const ptrdiff_t packed_width = rows ? end - begin : fc_tile_width(plan, oc, begin);
        const ptrdiff_t products = phase->taps * channels.ic, tile_step = products * packed_width;
        if (rows && lane_step < steps.channel)
            side = fc_min(fc_equal_shares(oc, unit % tiles, tiles), MOST_ROW_TILES);
        else
            side = lane_step == 1 && !rows ? fc_tiles_together(oc - begin, width) : 1;
        side = fc_min(side, last - unit);
        char *dst = p->packed + (unit / tiles * group_width + begin) * products * element;
        for (ptrdiff_t c = 0; c < channels.ic; c += together) {
            for (ptrdiff_t tap = 0; tap < phase->taps; tap += TAPS_AT_ONCE) {
                const ptrdiff_t count = fc_min(TAPS_AT_ONCE, phase->taps - tap);
                for (ptrdiff_t t = 0; t < count && known != tap; t++)
                    taps_at[t] = fc_tap_at(desc, phase, tap + t, p->strides);
                known = tap;
                const fc_pack_tile tile = {
                    .src = p->weights + (unit / tiles * steps.group + begin * lane_step + c * steps.channel) * element,
                    .lane_step = lane_step,
                    .channel_step = steps.channel,
                    .taps_at = taps_at,
                    .taps = count,
                    .channels = fc_min(together, channels.ic - c),
                    .block = block,
                    .live = end - begin,
                    .width = packed_width,
                    .tiles = side,
                    .tile_step = tile_step,
                    .dst = dst,
                };
                kernels->conv->pack(&tile);
                dst += tile.taps * tile.channels * tile.width * element;
            }
        }
    }
}

fc_crew fc_crew_to_pack(double elements, ptrdiff_t tiles, int threads)
{
    static const double WORK = 16; /* multiply-adds that take as long as one element */
    fc_crew crew = fc_crew_for(WORK * elements, threads);
    const ptrdiff_t long_runs = fc_max_extent(tiles / ((ptrdiff_t)FC_TILES_TOGETHER * crew.threads), 1);
    crew.turns = (int)fc_min(crew.turns, long_runs);
    return crew;
}

fc_status fc_conv_pack(const fc_conv_plan *plan, const void *weights, const ptrdiff_t strides[2 + FC_SPATIAL],
                       void *packed, int threads)
{
    const ptrdiff_t phases = fc_phases(&plan->desc);
    if (plan->family == FC_FAMILY_FILTER) {
        fc_pack_filter(plan, weights, strides, packed);
        return FC_OK;
    }
    if (plan->group_width > 0) {
        fc_pack_joined(plan, weights, strides, packed);
        return FC_OK;
    }
    ptrdiff_t folded[2 + FC_SPATIAL];
    if (!fc_fold_strides(plan, strides, folded))
        return fc_pack_unfolded(plan, weights, strides, packed);
    packing p = {.plan = plan, .weights = weights, .strides = folded, .packed = packed};
    const tiling cut = tiling_of(plan);
    for (ptrdiff_t i = 0; i < phases; i++) {
        fc_phase phase;
        fc_phase_at(&plan->desc, i, &phase);
        const ptrdiff_t size = fc_packed_size(plan, &phase);
        p.phase = &phase;
        const fc_crew crew = fc_crew_to_pack((double)size, cut.groups * cut.tiles, threads);
        if (size > 0 && fc_parallel(crew, pack_part, &p) != FC_OK)
            return FC_STOPPED;
        p.packed += (size_t)size * fc_element(&plan->desc);
    }
    if (plan->family == FC_FAMILY_WINOGRAD)
        return fc_pack_winograd(plan, packed, threads);
    if (plan->skips || (plan->family == FC_FAMILY_DEPTHWISE && has_lanes(plan)))
        fc_mark_finite(plan, packed);
    return FC_OK;
}

/* ---- run -------------------------------------------------------------------------------------------------- */

static bool takes_dots(const fc_conv_plan *plan, const ptrdiff_t *strides)
{
    return plan->family == FC_FAMILY_CHANNEL && strides[1] == 1 && fc_dots_serve(&plan->desc);
}

static fc_status run_call(const fc_conv_call *call, int threads)
{
    const fc_conv_plan *plan = call->plan;
    fc_body *const body = call->weights && takes_dots(plan, call->strides) ? fc_conv_dots
                          : plan->family == FC_FAMILY_PLANE                ? fc_conv_plane
                          : plan->family == FC_FAMILY_FILTER               ? fc_conv_filter
                          : plan->family == FC_FAMILY_WINOGRAD             ? fc_conv_winograd
                          : plan->family != FC_FAMILY_DEPTHWISE            ? fc_conv_channel
                          : plan->channel_lanes                            ? fc_conv_depthwise_turned
                          : has_lanes(plan)                                ? fc_conv_depthwise
                          : plan->flat                                     ? fc_conv_depthwise_lines
                                                                           : fc_conv_depthwise_planes;
    return fc_parallel(fc_crew_for(fc_conv_work(plan) * (double)call->n, threads), body, call);
}

/* With packed weights, or with weights at their strides. */
static fc_status run(const fc_conv_plan *plan, ptrdiff_t n, const void *src, const void *packed, const void *weights,
                     const ptrdiff_t *strides, const void *bias, const void *residual, void *dst, void *workspace,
                     int threads)
{
    const fc_conv_desc *desc = &plan->desc;
    const bool unfolded = bias && fc_is_folded(plan) && desc->direction == FC_BACKWARD_INPUT;
    if (unfolded)
        fc_unfold_bias(plan, bias, workspace);
    const fc_conv_call call = {
        .plan = plan,
        .kernels = fc_kernels_for(desc->isa, desc->dtype),
        .channels = fc_conv_channels(desc),
        .element = fc_element(desc),
        .n = n,
        .src = src,
        .packed = packed,
        .weights = weights,
        .strides = strides,
        .bias = unfolded ? workspace : bias,
        .residual = residual,
        .dst = dst,
        .workspace = workspace,
        .epilogue = {desc->activation, desc->alpha, desc->beta},
    };
    if (n == 0 || positions(desc) == 0)
        return FC_OK;
    return plan->turned > 0 ? fc_run_turned(&call, run_call, threads) : run_call(&call, threads);
}

fc_status fc_conv_run(const fc_conv_plan *plan, ptrdiff_t n, const void *src, const void *packed, const void *bias,
                      const void *residual, void *dst, void *workspace, int threads)
{
    return run(plan, n, src, packed, NULL, NULL, bias, residual, dst, workspace, threads);
}

/* Whether a run of n images takes weights as they lie: dense layers do where an output's weights are neighbours, others
 * when the run is too short to pay for packing first. */
static bool reads_weights(const fc_conv_plan *plan, ptrdiff_t n, const ptrdiff_t *strides)
{
    if (!plan->reads_weights)
        return false;
    if (takes_dots(plan, strides))
        return true;
    if (plan->family == FC_FAMILY_PLANE && plan->desc.direction == FC_BACKWARD_INPUT && n > 1)
        return false; /* other images would copy them again */
    return (has_lanes(plan) || fc_lie_in_rows(&plan->desc, strides)) &&
           (double)n * (double)positions(&plan->desc) <= FC_FEW_POSITIONS;
}

fc_status fc_conv_once(const fc_conv_plan *plan, ptrdiff_t n, const void *src, const void *weights,
                       const ptrdiff_t strides[2 + FC_SPATIAL], void *packed, const void *bias, const void *residual,
                       void *dst, void *workspace, int threads)
{
    if (reads_weights(plan, n, strides))
        return run(plan, n, src, NULL, weights, strides, bias, residual, dst, workspace, threads);
    const fc_status status = fc_conv_pack(plan, weights, strides, packed, threads);
    return status != FC_OK ? status : run(plan, n, src, packed, NULL, NULL, bias, residual, dst, workspace, threads);
}
