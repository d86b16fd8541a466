/* Narrow groups, channels-last: as many of them as fill a vector count as one group, whose weights from one of them to
 * another do not exist. Packed weights are [joined group][tap][channel of a group][lane], with room for as many
 * channels as there are lanes, so that they lie where those of an ordinary group of that width would. */
#include "conv.h"

#include <string.h>

enum { MOST_TAPS = 64 }; /* all of a tap's channels belong to one partial sum */

static ptrdiff_t width_of(const fc_conv_desc *desc) { return desc->ic / desc->groups; }

void fc_join_groups(fc_conv_plan *plan)
{
    fc_conv_desc *desc = &plan->desc;
    const ptrdiff_t width = width_of(desc), taps = desc->kernel[0] * desc->kernel[1] * desc->kernel[2];
    const bool asked = desc->algorithm == FC_AUTO || desc->algorithm == FC_DIRECT;
    if (desc->layout != FC_CHANNELS_LAST || desc->ic != desc->oc || !asked || taps > MOST_TAPS ||
        width > FC_MAX_GROUP || desc->direction == FC_BACKWARD_WEIGHT || width >= plan->lanes)
        return;
    const ptrdiff_t together = plan->lanes / width;
    if (!fc_kernels_for(desc->isa, desc->dtype)->groups[width][1] || desc->groups % together != 0)
        return;
    plan->group_width = (int)width;
    desc->groups /= together;
}

void fc_pack_joined(const fc_conv_plan *plan, const char *weights, const ptrdiff_t *strides, char *packed)
{
    const size_t element = fc_element(&plan->desc);
    const ptrdiff_t width = plan->group_width, lanes = plan->lanes, phases = fc_phases(&plan->desc);
    const bool backward = plan->desc.direction == FC_BACKWARD_INPUT;
    for (ptrdiff_t i = 0; i < phases; i++) {
        fc_phase phase;
        fc_phase_at(&plan->desc, i, &phase);
        for (ptrdiff_t unit = 0; unit < plan->desc.groups * phase.taps;
             unit++, packed += (size_t)(lanes * lanes) * element) {
            const ptrdiff_t group = unit / phase.taps, tap = fc_tap_at(&plan->desc, &phase, unit % phase.taps, strides);
            for (ptrdiff_t c = 0; c < width; c++)
                for (ptrdiff_t lane = 0; lane < lanes; lane++) {
                    const ptrdiff_t first = group * lanes + lane / width * width; /* output channel of its own group */
                    const ptrdiff_t out = first + (backward ? c : lane % width), in = backward ? lane % width : c;
                    const ptrdiff_t from = tap + out * strides[0] + in * strides[1];
                    memcpy(packed + (size_t)(c * lanes + lane) * element, weights + from * (ptrdiff_t)element, element);
                }
        }
    }
}
