/* A kernel that covers the whole input has one output position: it is a 1x1 convolution whose input channels are all
 * elements of the input, and every direction of it a dense matrix product. The arrays keep their memory; only the
 * weights' strides are seen anew, since (channel, position) or (position, channel) counts as one channel. */
#include "conv.h"

#include <string.h>

static ptrdiff_t volume(const ptrdiff_t extent[FC_SPATIAL]) { return extent[0] * extent[1] * extent[2]; }

static bool covers(const fc_conv_desc *desc)
{
    for (int a = 0; a < FC_SPATIAL; a++)
        if (desc->dst[a] != 1 || desc->pad_begin[a] > 0 || desc->pad_end[a] > 0 || desc->src[a] != desc->kernel[a] ||
            (desc->kernel[a] > 1 && desc->dilation[a] > 1))
            return false;
    return desc->groups == 1;
}

bool fc_is_folded(const fc_conv_plan *plan) { return plan->given.ic != plan->desc.ic; }

void fc_fold(fc_conv_plan *plan)
{
    fc_conv_desc *desc = &plan->desc;
    plan->given = *desc;
    if (!covers(desc) || desc->algorithm == FC_WINOGRAD)
        return;
    desc->ic *= volume(desc->kernel);
    desc->layout = FC_CHANNELS_LAST; /* a single position has both layouts */
    for (int a = 0; a < FC_SPATIAL; a++)
        desc->src[a] = desc->kernel[a] = desc->stride[a] = desc->dilation[a] = 1;
}

/* The channel, and where the weights of it lie, that input channel `index` of a folded plan stands for. */
static ptrdiff_t unfold(const fc_conv_plan *plan, ptrdiff_t index, const ptrdiff_t *strides, ptrdiff_t *channel)
{
    const fc_conv_desc *given = &plan->given;
    const ptrdiff_t taps = volume(given->kernel);
    const bool last = given->layout == FC_CHANNELS_LAST;
    ptrdiff_t tap = last ? index / given->ic : index % taps;
    *channel = last ? index % given->ic : index / taps;
    ptrdiff_t at = *channel * strides[1];
    for (int a = FC_SPATIAL - 1; a >= 0; a--) {
        at += tap % given->kernel[a] * strides[2 + a];
        tap /= given->kernel[a];
    }
    return at;
}

ptrdiff_t fc_input_at(const fc_conv_plan *plan, ptrdiff_t index, const ptrdiff_t *strides)
{
    ptrdiff_t channel;
    return fc_is_folded(plan) ? unfold(plan, index, strides, &channel) : index * strides[1];
}

bool fc_fold_strides(const fc_conv_plan *plan, const ptrdiff_t *strides, ptrdiff_t folded[2 + FC_SPATIAL])
{
    memcpy(folded, strides, (2 + FC_SPATIAL) * sizeof *folded);
    if (!fc_is_folded(plan))
        return true;
    const fc_conv_desc *given = &plan->given;
    const bool last = given->layout == FC_CHANNELS_LAST;
    ptrdiff_t step = 0, expected = 0; /* of the innermost axis that has an extent */
    bool uniform = true;
    for (int i = FC_SPATIAL; i >= 0; i--) {
        const int axis = last ? (i == FC_SPATIAL ? 1 : 2 + i) : (i == 0 ? 1 : 1 + i);
        const ptrdiff_t extent = axis == 1 ? given->ic : given->kernel[axis - 2];
        if (extent == 1)
            continue;
        if (step == 0)
            step = expected = strides[axis];
        uniform = uniform && strides[axis] == expected;
        expected = strides[axis] * extent;
    }
    folded[1] = step;
    return uniform;
}

/* Whether packing, which takes tenths of a second where weights have a gigabyte, should end. */
static bool has_to_stop(const fc_conv_plan *plan)
{
    enum { LARGE = 1 << 26 }; /* smaller ones are packed in milliseconds, and need no clock */
    return plan->packed_bytes >= LARGE && fc_stopped();
}

fc_status fc_pack_unfolded(const fc_conv_plan *plan, const char *weights, const ptrdiff_t *strides, char *packed)
{
    const size_t element = fc_element(&plan->desc);
    const fc_channels channels = fc_conv_channels(&plan->desc);
    const bool backward = plan->desc.direction == FC_BACKWARD_INPUT;
    ptrdiff_t width;
    for (ptrdiff_t lane = 0; lane < channels.oc; lane += width) {
        if (has_to_stop(plan))
            return FC_STOPPED;
        width = fc_tile_width(plan, channels.oc, lane);
        for (ptrdiff_t c = 0; c < channels.ic; c++)
            for (ptrdiff_t i = lane; i < lane + width; i++, packed += element) {
                const ptrdiff_t at = backward ? c * strides[0] + fc_input_at(plan, i, strides)
                                              : i * strides[0] + fc_input_at(plan, c, strides);
                if (i < channels.oc)
                    memcpy(packed, weights + at * (ptrdiff_t)element, element);
                else
                    memset(packed, 0, element);
            }
    }
    return FC_OK;
}

void fc_unfold_bias(const fc_conv_plan *plan, const char *bias, char *unfolded)
{
    static const ptrdiff_t none[2 + FC_SPATIAL] = {0};
    const size_t element = fc_element(&plan->desc);
    for (ptrdiff_t i = 0; i < plan->desc.ic; i++) {
        ptrdiff_t channel;
        unfold(plan, i, none, &channel);
        memcpy(unfolded + (size_t)i * element, bias + (size_t)channel * element, element);
    }
}
