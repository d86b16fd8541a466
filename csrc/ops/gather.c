/* Copies by lists of places: padding, and the nearest pixel. Units of work are rows of the result. */
#include "geometry.h"
#include "parallel.h"

#include <stdint.h>
#include <string.h>

/* A shorter stretch of neighbours is copied place by place, a longer one by the library: its call takes as long as a
 * short row does. */
enum { LEAST_RUN = 8, COST = 2, BLOCK = 16, MOST_BLOCKS = 2048 };

/* Held by value: what rows are written through may point at anything, so that a pointer's fields would be read again.
 */
typedef struct {
    fc_gather_desc desc;
    const char *src;
    char *dst;
    size_t element, pixel_bytes, row_bytes;
    fc_window run; /* of the last axis: neighbours in src, too */
} gather_job;

static inline ptrdiff_t place(const fc_gather_desc *desc, int axis, ptrdiff_t i)
{
    return desc->places[axis] ? desc->places[axis][i] : i;
}

/* The longest stretch of neighbours along the last axis. */
static fc_window longest_run(const fc_gather_desc *desc)
{
    fc_window run = {0, 0};
    ptrdiff_t before = -1, begin = 0;
    if (!desc->places[2])
        return (fc_window){0, desc->dst[2]};
    for (ptrdiff_t i = 0; i < desc->dst[2]; i++) {
        const ptrdiff_t at = place(desc, 2, i);
        if (before < 0 || at != before + 1)
            begin = i;
        if (at >= 0 && i + 1 - begin > run.end - run.begin)
            run = (fc_window){begin, i + 1};
        before = at;
    }
    return (run.end - run.begin) * desc->trail < LEAST_RUN ? (fc_window){0, 0} : run;
}

#define FC_INLINED static inline __attribute__((always_inline))

FC_INLINED void fill(size_t element, double value, char *dst, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++)
        if (element == 4)
            ((float *)dst)[i] = (float)value;
        else
            ((double *)dst)[i] = value;
}

FC_INLINED void copy_run(char *dst, const char *src, size_t bytes)
{
    if (bytes < BLOCK || bytes > MOST_BLOCKS) {
        memcpy(dst, src, bytes);
        return;
    }
    for (size_t i = 0; i + BLOCK < bytes; i += BLOCK)
        memcpy(dst + i, src + i, BLOCK);
    memcpy(dst + bytes - BLOCK, src + bytes - BLOCK, BLOCK);
}

#define FC_GATHER(type)                                                                                                \
    for (ptrdiff_t i = begin; i < end; i++)                                                                            \
    ((type *)dst)[i] = places[i] < 0 ? (type)value : ((const type *)src)[places[i]]

/* Of a fixed size, so that no call is made for a pixel of few channels. */
FC_INLINED void copy_pixels(const size_t bytes, const ptrdiff_t *places, const char *src, char *dst, ptrdiff_t begin,
                            ptrdiff_t end)
{
    for (ptrdiff_t i = begin; i < end; i++)
        memcpy(dst + (size_t)i * bytes, src + (size_t)places[i] * bytes, bytes);
}

/* Places [begin, end) of a row, of an axis that has a list. */
static void copy_places(const gather_job *job, const char *src, char *dst, ptrdiff_t begin, ptrdiff_t end)
{
    const ptrdiff_t *places = job->desc.places[2], trail = job->desc.trail;
    const size_t bytes = job->pixel_bytes;
    const double value = job->desc.value;
    while (begin < end && places[begin] < 0)
        fill(job->element, value, dst + (size_t)begin++ * bytes, trail);
    while (begin < end && places[end - 1] < 0)
        fill(job->element, value, dst + (size_t)--end * bytes, trail);
    switch (bytes) {
    case 8:
        copy_pixels(8, places, src, dst, begin, end);
        break;
    case 12:
        copy_pixels(12, places, src, dst, begin, end);
        break;
    case 16:
        copy_pixels(16, places, src, dst, begin, end);
        break;
    default:
        copy_pixels(bytes, places, src, dst, begin, end);
    }
}

FC_INLINED void copy_row(const gather_job *job, const char *src, char *dst)
{
    const ptrdiff_t *places = job->desc.places[2];
    const fc_window run = job->run;
    const double value = job->desc.value;
    if (run.end > run.begin)
        copy_run(dst + (size_t)run.begin * job->pixel_bytes,
                 src + (size_t)place(&job->desc, 2, run.begin) * job->pixel_bytes,
                 (size_t)(run.end - run.begin) * job->pixel_bytes);
    for (int side = 0; side < 2 && places != NULL; side++) {
        const ptrdiff_t begin = side ? run.end : 0, end = side ? job->desc.dst[2] : run.begin;
        if (job->desc.trail > 1)
            copy_places(job, src, dst, begin, end);
        else if (job->element == 4)
            FC_GATHER(float);
        else
            FC_GATHER(double);
    }
}

static void gather_body(const void *context, fc_part part)
{
    const gather_job job = *(const gather_job *)context;
    const fc_gather_desc *desc = &job.desc;
    const size_t src_row = (size_t)desc->src[2] * job.pixel_bytes;
    ptrdiff_t begin, end, before = -2; /* the row of src that the row before holds; -1: the value */
    fc_share_of(desc->lead * desc->dst[0] * desc->dst[1], part, &begin, &end);
    if (begin >= end)
        return;
    ptrdiff_t second = begin % desc->dst[1], first = begin / desc->dst[1] % desc->dst[0];
    ptrdiff_t lead = begin / desc->dst[1] / desc->dst[0];
    char *dst = job.dst + (size_t)begin * job.row_bytes;
    for (ptrdiff_t row = begin; row < end; row++, dst += job.row_bytes) {
        const ptrdiff_t a = place(desc, 0, first), b = place(desc, 1, second);
        const ptrdiff_t from = a < 0 || b < 0 ? -1 : (lead * desc->src[0] + a) * desc->src[1] + b;
        if (from == before)
            copy_run(dst, dst - job.row_bytes, job.row_bytes);
        else if (from < 0)
            fill(job.element, desc->value, dst, desc->dst[2] * desc->trail);
        else
            copy_row(&job, job.src + (size_t)from * src_row, dst);
        before = from;
        if (++second == desc->dst[1]) {
            second = 0;
            if (++first == desc->dst[0]) {
                first = 0;
                lead++;
            }
        }
    }
}

fc_status fc_gather_run(const fc_gather_desc *desc, const void *src, void *dst, int threads)
{
    if (desc->lead <= 0 || desc->trail <= 0 || desc->dst[0] <= 0 || desc->dst[1] <= 0 || desc->dst[2] <= 0)
        return FC_OK;
    const size_t element = desc->dtype == FC_F32 ? 4 : 8;
    const gather_job job = {
        .desc = *desc,
        .src = src,
        .dst = dst,
        .element = element,
        .pixel_bytes = (size_t)desc->trail * element,
        .row_bytes = (size_t)(desc->dst[2] * desc->trail) * element,
        .run = longest_run(desc),
    };
    const double elements = (double)desc->dst[0] * (double)desc->dst[1] * (double)desc->dst[2] * (double)desc->trail;
    return fc_parallel(fc_crew_for(COST * (double)desc->lead * elements, threads), gather_body, &job);
}
