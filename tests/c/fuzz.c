/* Descriptors nobody would write: a libFuzzer target over the geometry, the checks of descriptors and, where what they
 * describe is small, whole runs.
 *
 * Bytes become the fields of a convolution or a pool; most are small numbers, some are what breaks arithmetic. A plan
 * must be refused or be true to its word: every buffer has exactly the size that it asked for, and no element of a
 * result stays unwritten. .ci/run builds this with AddressSanitizer and UndefinedBehaviorSanitizer.
 */
#include "fastconv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ELEMENTS = 1 << 14, MOST_BYTES = 1 << 22 };

typedef struct {
    const uint8_t *at, *end;
} bytes;

static unsigned next(bytes *b) { return b->at < b->end ? *b->at++ : 0; }

/* `usual` values from `least` on, or one of the numbers that overflow, wrap or divide by zero. */
static ptrdiff_t number(bytes *b, ptrdiff_t least, unsigned usual)
{
    static const ptrdiff_t odd[] = {0,         -1,         PTRDIFF_MAX,     PTRDIFF_MIN,     INT32_MAX,
                                    1L << 32,  3037000500, PTRDIFF_MAX / 2, PTRDIFF_MAX / 7, 1L << 20,
                                    INT32_MIN, 65537};
    const unsigned value = next(b);
    if (value >= 250)
        return odd[next(b) % (sizeof odd / sizeof *odd)];
    return least + (ptrdiff_t)(value % usual);
}

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "fuzz.c:%d: %s\n", __LINE__, #condition);                                                  \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static void *allocate(size_t size)
{
    void *memory = NULL;
    CHECK(posix_memalign(&memory, FC_ALIGNMENT, size ? size : 1) == 0);
    memset(memory, 0xFF, size); /* NaN: what is not written shows */
    return memory;
}

static size_t size_of(fc_dtype dtype) { return dtype == FC_F32 ? sizeof(float) : sizeof(double); }

/* Small integers, in memory that ends where the array ends. */
static void *integers(fc_dtype dtype, ptrdiff_t count)
{
    char *array = malloc((size_t)count * size_of(dtype) + !count);
    CHECK(array);
    for (ptrdiff_t i = 0; i < count; i++) {
        const float single = (float)(i % 5 - 2);
        const double wide = single;
        memcpy(array + (size_t)i * size_of(dtype), dtype == FC_F32 ? (const void *)&single : (const void *)&wide,
               size_of(dtype));
    }
    return array;
}

static bool all_finite(fc_dtype dtype, const void *array, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++)
        if (!isfinite(dtype == FC_F32 ? ((const float *)array)[i] : ((const double *)array)[i]))
            return false;
    return true;
}

static void describe(const fc_conv_plan *plan, ptrdiff_t n)
{
    const fc_conv_desc *d = &plan->desc;
    fprintf(stderr,
            "dtype %d layout %d isa %d direction %d algorithm %d reuse %d family %d: n %td ic %td oc %td groups %td\n",
            d->dtype, d->layout, d->isa, d->direction, plan->algorithm, d->reuse, plan->family, n, d->ic, d->oc,
            d->groups);
    for (int a = 0; a < FC_SPATIAL; a++)
        fprintf(stderr, "src %td kernel %td stride %td dilation %td pad %td %td dst %td\n", d->src[a], d->kernel[a],
                d->stride[a], d->dilation[a], d->pad_begin[a], d->pad_end[a], d->dst[a]);
}

/* The product, or more than MOST_ELEMENTS when it is larger. */
static ptrdiff_t elements(ptrdiff_t n, ptrdiff_t channels, const ptrdiff_t extent[FC_SPATIAL])
{
    double product = (double)n * (double)channels;
    for (int a = 0; a < FC_SPATIAL; a++)
        product *= (double)extent[a];
    return product > MOST_ELEMENTS ? MOST_ELEMENTS + 1 : (ptrdiff_t)product;
}

static fc_isa any_isa(bytes *b)
{
    const fc_isa isa = (fc_isa)(next(b) % FC_ISAS);
    return fc_isa_available(isa) ? isa : fc_isa_best();
}

static void axes(bytes *b, ptrdiff_t *src, ptrdiff_t *kernel, ptrdiff_t *stride, ptrdiff_t *dilation, ptrdiff_t *before,
                 ptrdiff_t *after)
{
    const int spatial = 1 + (int)(next(b) % FC_SPATIAL);
    for (int a = 0; a < FC_SPATIAL; a++) {
        const bool used = a >= FC_SPATIAL - spatial;
        src[a] = used ? number(b, 1, 24) : 1;
        kernel[a] = used ? number(b, 1, 6) : 1;
        stride[a] = used ? number(b, 1, 4) : 1;
        dilation[a] = used ? number(b, 1, 4) : 1;
        before[a] = used ? number(b, 0, 5) : 0;
        after[a] = used ? number(b, 0, 5) : 0;
    }
}

static void run_conv(const fc_conv_plan *plan, ptrdiff_t n, int threads)
{
    const fc_conv_desc *d = &plan->desc;
    const bool backward = d->direction == FC_BACKWARD_INPUT, weight = d->direction == FC_BACKWARD_WEIGHT;
    const ptrdiff_t in = elements(n, d->ic, d->src), out = elements(n, d->oc, d->dst);
    const ptrdiff_t weights = elements(d->oc, d->ic / d->groups, d->kernel);
    const size_t room = fc_conv_workspace(plan, n, threads);
    if (in > MOST_ELEMENTS || out > MOST_ELEMENTS || weights > MOST_ELEMENTS || plan->packed_bytes > MOST_BYTES ||
        room > MOST_BYTES || plan->flops * (double)n > 1e8)
        return;
    const fc_conv_desc *g = &plan->given; /* the weights are those that were asked for, whatever they are planned as */
    const ptrdiff_t taps = g->kernel[0] * g->kernel[1] * g->kernel[2];
    const ptrdiff_t strides[2 + FC_SPATIAL] = {g->ic / g->groups * taps, taps, g->kernel[1] * g->kernel[2],
                                               g->kernel[2], 1};
    void *x = integers(d->dtype, in), *y = integers(d->dtype, out), *w = integers(d->dtype, weights);
    void *packed = allocate(plan->packed_bytes), *workspace = allocate(room);
    const ptrdiff_t count = weight ? weights : backward ? in : out;
    void *result = malloc((size_t)count * size_of(d->dtype) + !count);
    CHECK(result);
    memset(result, 0xFF, (size_t)count * size_of(d->dtype));
    fc_status status;
    if (weight) {
        status = fc_conv_weight_grad(plan, n, x, y, result, strides, workspace, threads);
    } else if (plan->desc.reuse == FC_ONCE) {
        status = fc_conv_once(plan, n, backward ? y : x, w, strides, packed, NULL, NULL, result, workspace, threads);
    } else {
        fc_conv_pack(plan, w, strides, packed);
        status = fc_conv_run(plan, n, backward ? y : x, packed, NULL, NULL, result, workspace, threads);
    }
    CHECK(status == FC_OK);
    if (!all_finite(d->dtype, result, count)) {
        describe(plan, n);
        abort();
    }
    free(x), free(y), free(w), free(packed), free(workspace), free(result);
}

static void conv(bytes *b)
{
    fc_conv_desc desc = {
        .dtype = (fc_dtype)(next(b) % FC_DTYPES),
        .layout = (fc_layout)(next(b) % 2),
        .isa = any_isa(b),
        .direction = (fc_direction)(next(b) % 3),
        .algorithm = (fc_algorithm)(next(b) % 4),
        .reuse = (fc_reuse)(next(b) % 2),
        .activation = (fc_activation)(next(b) % 3),
        .groups = number(b, 1, 4),
    };
    const bool even = next(b) % 4 != 0; /* channels that the groups divide */
    desc.ic = number(b, 1, 20);
    desc.oc = number(b, 1, 20);
    if (even && desc.groups > 0 && desc.groups < 5) {
        desc.ic = desc.ic > 0 && desc.ic < 100 ? desc.ic * desc.groups : desc.ic;
        desc.oc = desc.oc > 0 && desc.oc < 100 ? desc.oc * desc.groups : desc.oc;
    }
    axes(b, desc.src, desc.kernel, desc.stride, desc.dilation, desc.pad_begin, desc.pad_end);
    const ptrdiff_t n = next(b) % 4;
    const int threads = 1 + (int)(next(b) % 2);
    fc_conv_plan plan;
    if (fc_conv_plan_make(&desc, &plan) != FC_OK)
        return;
    for (int a = 0; a < FC_SPATIAL; a++)
        CHECK(plan.desc.dst[a] > 0);
    run_conv(&plan, n, threads);
}

static void run_pool(const fc_pool_plan *plan, ptrdiff_t n, int threads, bool indexed)
{
    const fc_pool_desc *d = &plan->desc;
    const ptrdiff_t in = elements(n, d->channels, d->src), out = elements(n, d->channels, d->dst);
    double window = (double)out;
    for (int a = 0; a < FC_SPATIAL && !d->adaptive; a++)
        window *= (double)d->kernel[a];
    if (in > MOST_ELEMENTS || out > MOST_ELEMENTS || plan->workspace_bytes > MOST_BYTES || window > 1e7)
        return;
    void *x = integers(d->dtype, in), *y = malloc((size_t)out * size_of(d->dtype) + !out);
    void *dx = malloc((size_t)in * size_of(d->dtype) + !in), *grad = integers(d->dtype, out);
    void *workspace = allocate(plan->workspace_bytes * (size_t)threads);
    int64_t *indices = d->kind == FC_POOL_MAX && indexed ? malloc((size_t)out * sizeof *indices + !out) : NULL;
    CHECK(y && dx);
    CHECK(fc_pool_run(plan, n, x, y, indices, workspace, threads) == FC_OK);
    for (ptrdiff_t i = 0; i < out; i++) /* a window that holds only padding has no maximum, and an average of nothing */
        CHECK(d->kind == FC_POOL_MAX || d->divisor != 0 ||
              !isinf(d->dtype == FC_F32 ? ((float *)y)[i] : ((double *)y)[i]));
    CHECK(fc_pool_backward(plan, n, x, indices, grad, dx, workspace, threads) == FC_OK);
    free(x), free(y), free(dx), free(grad), free(workspace), free(indices);
}

static void pool(bytes *b)
{
    fc_pool_desc desc = {
        .dtype = (fc_dtype)(next(b) % FC_DTYPES),
        .layout = (fc_layout)(next(b) % 2),
        .isa = any_isa(b),
        .kind = (fc_pool_kind)(next(b) % 2),
        .adaptive = next(b) % 4 == 0,
        .ceil_mode = next(b) % 2,
        .include_pad = next(b) % 2,
        .divisor = next(b) % 3,
        .channels = number(b, 1, 40),
    };
    axes(b, desc.src, desc.kernel, desc.stride, desc.dilation, desc.pad_begin, desc.pad_end);
    for (int a = 0; a < FC_SPATIAL && desc.adaptive; a++)
        desc.dst[a] = number(b, 1, 8);
    const ptrdiff_t n = next(b) % 4;
    const int threads = 1 + (int)(next(b) % 2);
    fc_pool_plan plan;
    if (fc_pool_plan_make(&desc, &plan) == FC_OK)
        run_pool(&plan, n, threads, next(b) % 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bytes b = {data, data + size};
    if (next(&b) % 3)
        conv(&b);
    else
        pool(&b);
    return 0;
}
