/* Windows of pools, regular and adaptive, and the extents that they give. */
#include "geometry.h"
#include "pool.h"

/* Taps of [begin, end), `dilation` apart, that lie before `limit`. */
static inline ptrdiff_t taps_before(fc_window window, ptrdiff_t dilation, ptrdiff_t limit)
{
    const ptrdiff_t length = fc_min(window.end, limit) - window.begin;
    if (length <= 0)
        return 0;
    return dilation == 1 ? length : fc_divide_up(length, dilation); /* windows are many, and divisions slow */
}

static inline ptrdiff_t dilation_of(const fc_pool_desc *desc, int axis)
{
    return desc->adaptive ? 1 : desc->dilation[axis];
}

static inline fc_window window_at(const fc_pool_desc *desc, int axis, ptrdiff_t index)
{
    if (desc->adaptive) {
        const ptrdiff_t src = desc->src[axis], dst = desc->dst[axis];
        return (fc_window){index * src / dst, fc_divide_up((index + 1) * src, dst)};
    }
    const ptrdiff_t begin = index * desc->stride[axis] - desc->pad_begin[axis];
    return (fc_window){begin, begin + (desc->kernel[axis] - 1) * desc->dilation[axis] + 1};
}

static inline fc_window clipped(fc_window window, ptrdiff_t dilation, ptrdiff_t src)
{
    if (window.begin < 0)
        window.begin += dilation == 1 ? -window.begin : fc_divide_up(-window.begin, dilation) * dilation;
    window.end = fc_min(window.end, src);
    if (window.end < window.begin)
        window.end = window.begin = 0;
    return window;
}

static inline ptrdiff_t counted(const fc_pool_desc *desc, int axis, fc_window whole, fc_window valid)
{
    const bool padding = desc->include_pad && !desc->adaptive;
    return taps_before(padding ? whole : valid, dilation_of(desc, axis),
                       desc->src[axis] + (padding ? desc->pad_end[axis] : 0));
}

fc_window fc_pool_window(const fc_pool_desc *desc, int axis, ptrdiff_t index) { return window_at(desc, axis, index); }

fc_window fc_pool_window_valid(const fc_pool_desc *desc, int axis, ptrdiff_t index)
{
    return clipped(window_at(desc, axis, index), dilation_of(desc, axis), desc->src[axis]);
}

ptrdiff_t fc_pool_counted(const fc_pool_desc *desc, int axis, ptrdiff_t index)
{
    return counted(desc, axis, fc_pool_window(desc, axis, index), fc_pool_window_valid(desc, axis, index));
}

void fc_pool_axis(const fc_pool_desc *desc, int axis, fc_pool_span *windows, double *counts)
{
    const ptrdiff_t dilation = dilation_of(desc, axis), src = desc->src[axis];
    for (ptrdiff_t j = 0; j < desc->dst[axis]; j++) {
        const fc_window whole = window_at(desc, axis, j), valid = clipped(whole, dilation, src);
        windows[j] = (fc_pool_span){valid.begin, valid.end};
        if (counts)
            counts[j] = (double)counted(desc, axis, whole, valid);
    }
}

static fc_status regular_extent(fc_pool_desc *desc, int axis)
{
    const ptrdiff_t kernel = desc->kernel[axis];
    if (kernel == 1 && desc->dilation[axis] > 1)
        desc->dilation[axis] = 1; /* of a single tap it says nothing, and may be anything */
    const ptrdiff_t dilation = desc->dilation[axis];
    fc_status status = fc_extent(desc->src[axis], kernel, desc->stride[axis], dilation, desc->pad_begin[axis],
                                 desc->pad_end[axis], desc->ceil_mode, &desc->dst[axis]);
    if (status != FC_OK)
        return status;
    /* A last window may hang over the padding: its end has to be a number too. */
    const ptrdiff_t padded = desc->src[axis] + desc->pad_begin[axis] + desc->pad_end[axis];
    ptrdiff_t reach;
    return __builtin_add_overflow(padded, (kernel - 1) * dilation, &reach) || reach == PTRDIFF_MAX ? FC_OVERFLOW
                                                                                                   : FC_OK;
}

static fc_status adaptive_extent(const fc_pool_desc *desc, int axis)
{
    ptrdiff_t product;
    if (desc->src[axis] < 1 || desc->dst[axis] < 1)
        return FC_BAD_SHAPE;
    return fc_multiply(desc->dst[axis], desc->src[axis], &product) ? FC_OK : FC_OVERFLOW;
}

fc_status fc_pool_extents(fc_pool_desc *desc)
{
    if (desc->channels < 1)
        return FC_BAD_SHAPE;
    /* 64 bytes for each position leave room for whatever a workspace keeps of it. */
    ptrdiff_t src = 64, dst = 64;
    for (int a = 0; a < FC_SPATIAL; a++) {
        fc_status status = desc->adaptive ? adaptive_extent(desc, a) : regular_extent(desc, a);
        if (status != FC_OK)
            return status;
        if (!fc_multiply(src, fc_max_extent(desc->src[a], 1), &src) || !fc_multiply(dst, desc->dst[a], &dst))
            return FC_OVERFLOW;
    }
    return fc_multiply(src, desc->channels, &src) && fc_multiply(dst, desc->channels, &dst) ? FC_OK : FC_OVERFLOW;
}
