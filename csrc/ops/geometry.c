#include "geometry.h"

bool fc_multiply(ptrdiff_t a, ptrdiff_t b, ptrdiff_t *product) { return !__builtin_mul_overflow(a, b, product); }

ptrdiff_t fc_saturate(ptrdiff_t a, ptrdiff_t b)
{
    ptrdiff_t product;
    return fc_multiply(a, b, &product) ? product : PTRDIFF_MAX;
}

static ptrdiff_t greatest_common_divisor(ptrdiff_t a, ptrdiff_t b)
{
    while (b != 0) {
        ptrdiff_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

fc_status fc_extent(ptrdiff_t src, ptrdiff_t kernel, ptrdiff_t stride, ptrdiff_t dilation, ptrdiff_t pad_begin,
                    ptrdiff_t pad_end, bool ceil_mode, ptrdiff_t *dst)
{
    if (src < 0 || kernel < 1 || stride < 1 || dilation < 1 || pad_begin < 0 || pad_end < 0)
        return FC_BAD_SHAPE;
    ptrdiff_t reach, padded;
    if (!fc_multiply(kernel - 1, dilation, &reach) || __builtin_add_overflow(src, pad_begin, &padded) ||
        __builtin_add_overflow(padded, pad_end, &padded))
        return FC_OVERFLOW;
    ptrdiff_t room = padded - reach - 1;
    if (room < 0 && (!ceil_mode || room <= -stride))
        return FC_EMPTY_OUTPUT;
    *dst = (ceil_mode ? fc_divide_up(room, stride) : room / stride) + 1; /* a negative room divides up to 0 */
    /* (dst - 1) * stride < room + stride, which may overflow: compare by division */
    if (ceil_mode && *dst - 1 >= fc_divide_up(src + pad_begin, stride))
        --*dst;
    return *dst > 0 ? FC_OK : FC_EMPTY_OUTPUT;
}

/* Whether src with its padding, dst and weights, eight bytes an element, have addresses: a tap in the padding too. */
static bool sizes_fit(const fc_conv_desc *desc)
{
    ptrdiff_t src = 8, dst = 8, weights = 8;
    bool fit = fc_multiply(src, desc->ic, &src) && fc_multiply(dst, desc->oc, &dst) &&
               fc_multiply(weights, desc->oc, &weights) && fc_multiply(weights, desc->ic / desc->groups, &weights);
    for (int a = 0; a < FC_SPATIAL && fit; a++)
        fit = fc_multiply(src, fc_max_extent(desc->src[a] + desc->pad_begin[a] + desc->pad_end[a], 1), &src) &&
              fc_multiply(dst, desc->dst[a], &dst) && fc_multiply(weights, desc->kernel[a], &weights);
    return fit;
}

fc_status fc_conv_extents(fc_conv_desc *desc)
{
    if (desc->ic < 1 || desc->oc < 1 || desc->groups < 1 || desc->ic % desc->groups || desc->oc % desc->groups)
        return FC_BAD_SHAPE;
    for (int a = 0; a < FC_SPATIAL; a++) {
        fc_status status = fc_extent(desc->src[a], desc->kernel[a], desc->stride[a], desc->dilation[a],
                                     desc->pad_begin[a], desc->pad_end[a], false, &desc->dst[a]);
        if (status != FC_OK)
            return status;
        /* what no position or tap is there to take: a step past the padded input, a distance to a second tap */
        desc->stride[a] =
            fc_min(desc->stride[a], fc_max_extent(desc->src[a] + desc->pad_begin[a] + desc->pad_end[a], 1));
        if (desc->kernel[a] == 1)
            desc->dilation[a] = 1;
    }
    return sizes_fit(desc) ? FC_OK : FC_OVERFLOW;
}

/* Phases along one axis. A stride past the input leaves the phases that hold no position out. */
static ptrdiff_t axis_phases(const fc_conv_desc *desc, int a)
{
    return desc->direction == FC_BACKWARD_INPUT ? fc_min(desc->stride[a], desc->src[a]) : 1;
}

ptrdiff_t fc_phases(const fc_conv_desc *desc)
{
    return axis_phases(desc, 0) * axis_phases(desc, 1) * axis_phases(desc, 2);
}

/* Field by field in place: a structure returned by value is copied, which waits for its own fields. */
static void forward_axis(const fc_conv_desc *desc, int a, fc_axis *axis)
{
    axis->src = desc->src[a];
    axis->dst = axis->count = desc->dst[a];
    axis->dst_first = axis->kernel_first = 0;
    axis->dst_step = axis->kernel_step = 1;
    axis->src_step = desc->stride[a];
    axis->offset_first = -desc->pad_begin[a];
    axis->offset_step = desc->dilation[a];
    axis->taps = desc->kernel[a];
}

/* Input position first + i * stride receives output position o through tap k when o * stride = position + pad - k *
 * dilation: such k recur every stride / gcd(stride, dilation), and o falls by dilation / gcd each time. They are listed
 * from the last to the first, so that offsets ascend as they do forward. */
static fc_axis backward_axis(const fc_conv_desc *desc, int a, ptrdiff_t first)
{
    const ptrdiff_t stride = desc->stride[a], dilation = desc->dilation[a], kernel = desc->kernel[a];
    const ptrdiff_t divisor = greatest_common_divisor(stride, dilation), period = stride / divisor;
    const ptrdiff_t position = first + desc->pad_begin[a], end = fc_min(kernel, period);
    ptrdiff_t tap = 0;
    while (tap < end && (position - tap * dilation) % stride != 0)
        tap++;
    const ptrdiff_t taps = tap == end ? 0 : (kernel - 1 - tap) / period + 1;
    const ptrdiff_t last = taps > 0 ? tap + (taps - 1) * period : 0;
    return (fc_axis){
        .src = desc->dst[a],
        .dst = desc->src[a],
        .count = fc_divide_up(desc->src[a] - first, stride),
        .dst_first = first,
        .dst_step = stride,
        .src_step = 1,
        .offset_first = taps > 0 ? (position - last * dilation) / stride : 0,
        .offset_step = dilation / divisor,
        .taps = taps,
        .kernel_first = last,
        .kernel_step = -period,
    };
}

void fc_phase_at(const fc_conv_desc *desc, ptrdiff_t index, fc_phase *phase)
{
    phase->taps = phase->count = 1;
    for (int a = FC_SPATIAL - 1; a >= 0; a--) {
        if (desc->direction == FC_BACKWARD_INPUT) {
            const ptrdiff_t phases = axis_phases(desc, a);
            phase->axis[a] = backward_axis(desc, a, index % phases);
            index /= phases;
        } else {
            forward_axis(desc, a, &phase->axis[a]);
        }
        phase->taps *= phase->axis[a].taps;
        phase->count *= phase->axis[a].count;
    }
}

ptrdiff_t fc_tap(const fc_conv_desc *desc, const fc_phase *phase, ptrdiff_t index, ptrdiff_t offset[FC_SPATIAL])
{
    ptrdiff_t flat = 0, scale = 1;
    for (int a = FC_SPATIAL - 1; a >= 0; a--) {
        const fc_axis *axis = &phase->axis[a];
        const ptrdiff_t tap = index % axis->taps;
        index /= axis->taps;
        offset[a] = axis->offset_first + tap * axis->offset_step;
        flat += (axis->kernel_first + tap * axis->kernel_step) * scale;
        scale *= desc->kernel[a];
    }
    return flat;
}

fc_window fc_valid(const fc_axis *axis, ptrdiff_t offset)
{
    fc_window window = {0, 0};
    if (offset < 0)
        window.begin = fc_divide_up(-offset, axis->src_step);
    if (offset < axis->src)
        window.end = fc_min(fc_divide_up(axis->src - offset, axis->src_step), axis->count);
    if (window.end < window.begin)
        window.end = window.begin = fc_min(window.begin, axis->count);
    return window;
}

fc_window fc_taps_inside(const fc_axis *axis, ptrdiff_t index)
{
    fc_window window = {0, axis->taps};
    const ptrdiff_t first = index * axis->src_step + axis->offset_first;
    while (window.begin < window.end && (size_t)(first + window.begin * axis->offset_step) >= (size_t)axis->src)
        window.begin++;
    while (window.end > window.begin && (size_t)(first + (window.end - 1) * axis->offset_step) >= (size_t)axis->src)
        window.end--;
    return window;
}

bool fc_flatten(fc_phase *phase)
{
    fc_axis *axis = phase->axis;
    for (int a = 0; a < FC_SPATIAL; a++)
        if (axis[a].taps != 1 || axis[a].src_step != 1 || axis[a].dst_step != 1 || axis[a].offset_first != 0 ||
            axis[a].src != axis[a].count || axis[a].dst != axis[a].count)
            return false;
    const ptrdiff_t volume = axis[0].src * axis[1].src * axis[2].src;
    for (int a = 0; a < FC_SPATIAL; a++)
        axis[a].src = axis[a].dst = axis[a].count = a == FC_SPATIAL - 1 ? volume : 1;
    return true;
}
