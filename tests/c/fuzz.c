/* Descriptors nobody would write: a libFuzzer target over the geometry, the checks of descriptors and, where what they
 * describe is small, whole runs.
 *
 * Bytes become the fields of a convolution, a pool or a program; most are small numbers, some are what breaks
 * arithmetic. A plan must be refused or be true to its word: every buffer has exactly the size that it asked for, no
 * element of a result stays unwritten, and a program makes of an image alone what it makes of it among others. .ci/run
 * builds this with AddressSanitizer and UndefinedBehaviorSanitizer.
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
        fc_conv_pack(plan, w, strides, packed, threads);
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

/* ---- programs ---------------------------------------------------------------------------------------------- */

enum { MOST_STEPS = 6, MOST_ARRAYS = 8 * MOST_STEPS };

typedef struct {
    fc_program program;
    fc_step steps[MOST_STEPS];
    void *arrays[MOST_ARRAYS];
    int count; /* arrays */
} network;

static void *array_of(network *net, ptrdiff_t count)
{
    CHECK(net->count < MOST_ARRAYS);
    return net->arrays[net->count++] = integers(net->program.dtype, count);
}

/* An image of a step, as another step may see it: as it was made, or in another shape. */
static void see(bytes *b, const fc_step *made, fc_step *s)
{
    const unsigned way = next(b) % 8;
    s->src[0] = way == 1 ? made->dst[0] * made->dst[1] : way == 2 ? made->dst[1] : way == 3 ? 1 : made->dst[0];
    s->src[1] = way == 1 ? 1 : way == 2 ? made->dst[0] : way == 3 ? made->dst[0] * made->dst[1] : made->dst[1];
    s->ic = made->oc;
    if (way == 4 || way == 5) { /* a pixel of all, or rows of channels */
        s->ic = way == 4 ? made->dst[0] * made->dst[1] * made->oc : 1;
        s->src[0] = way == 4 ? 1 : made->dst[0];
        s->src[1] = way == 4 ? 1 : made->dst[1] * made->oc;
    }
}

static void window_of(bytes *b, fc_step *s)
{
    for (int a = 0; a < 2; a++) {
        s->kernel[a] = next(b) % 4 == 0 ? s->src[a] : number(b, 1, 4);
        s->stride[a] = number(b, 1, 3);
        s->dilation[a] = s->kind == FC_STEP_CONV ? number(b, 1, 2) : 1;
        s->pad_begin[a] = next(b) % 2 ? number(b, 0, 3) : 0;
        s->pad_end[a] = next(b) % 2 ? number(b, 0, 3) : 0;
    }
}

/* Arrays for a step that has been planned; the weights of one that may be trained get gradients. */
static void fill(bytes *b, network *net, fc_step *s, bool trained)
{
    const unsigned with = next(b);
    if (s->kind == FC_STEP_CONV) {
        s->weights = array_of(net, s->products * s->oc);
        s->bias = with & 1 ? array_of(net, s->oc) : NULL;
        s->grad_weights = trained && with & 2 ? array_of(net, s->products * s->oc) : NULL;
        s->grad_bias = trained && with & 4 ? array_of(net, s->oc) : NULL;
    }
    if (!trained && (s->kind == FC_STEP_CONV || s->kind == FC_STEP_POINT) && with & 8) {
        s->mean = array_of(net, s->oc);
        s->variance = array_of(net, s->oc);
        s->gamma = with & 16 ? array_of(net, s->oc) : NULL;
        s->offset = with & 32 ? array_of(net, s->oc) : NULL;
        s->epsilon = 3; /* the variances are -2 at least */
    }
}

/* Describes step `index` and plans all so far; whether they can be. */
static bool add_step(bytes *b, network *net, int index, bool trained)
{
    static const fc_step_kind kinds[] = {FC_STEP_CONV, FC_STEP_CONV,  FC_STEP_CONV,    FC_STEP_POOL,
                                         FC_STEP_POOL, FC_STEP_POINT, FC_STEP_SOFTMAX, FC_STEP_PAD};
    fc_step *s = &net->steps[index];
    memset(s, 0, sizeof *s);
    s->kind = kinds[next(b) % (trained ? 6 : 8)];
    s->activation = (fc_activation)(next(b) % (s->kind == FC_STEP_CONV || s->kind == FC_STEP_POINT ? 3 : 1));
    s->pool = (fc_pool_kind)(next(b) % 2);
    if (index > 0) {
        see(b, s - 1, s);
    } else {
        s->src[0] = number(b, 1, 12);
        s->src[1] = number(b, 1, 20);
        s->ic = next(b) % 2 ? 1 : number(b, 1, 9);
    }
    window_of(b, s);
    s->adaptive = s->kind == FC_STEP_POOL && next(b) % 4 == 0;
    s->groups = next(b) % 4 == 0 && s->ic > 0 && s->ic < 100 ? s->ic : 1;
    s->oc = s->kind == FC_STEP_CONV ? s->groups * (1 + next(b) % 20) : s->ic;
    net->program.count = index + 1;
    if (fc_program_plan(&net->program) != FC_OK || elements(1, s->oc, (ptrdiff_t[]){1, s->dst[0], s->dst[1]}) > 4096 ||
        (s->kind == FC_STEP_CONV && elements(s->oc, s->products, (ptrdiff_t[]){1, 1, 1}) > MOST_ELEMENTS))
        return false;
    fill(b, net, s, trained);
    return true;
}

static bool same(fc_dtype dtype, const char *a, const char *b, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++) {
        const double x = dtype == FC_F32 ? ((const float *)(const void *)a)[i] : ((const double *)(const void *)a)[i];
        const double y = dtype == FC_F32 ? ((const float *)(const void *)b)[i] : ((const double *)(const void *)b)[i];
        if (x != y && !(isnan(x) && isnan(y)))
            return false;
    }
    return true;
}

static void describe_steps(const fc_program *p, ptrdiff_t n, ptrdiff_t image)
{
    fprintf(stderr, "dtype %d isa %d: image %td of %td, %d planes, dense from %d\n", p->dtype, p->isa, image, n,
            p->planes, p->dense);
    for (const fc_step *s = p->steps; s < p->steps + p->count; s++)
        fprintf(
            stderr,
            "kind %d: src %td %td ic %td oc %td groups %td kernel %td %td stride %td %td dilation %td %td pad %td %td "
            "%td %td pool %d adaptive %d activation %d mean %d dst %td %td\n",
            s->kind, s->src[0], s->src[1], s->ic, s->oc, s->groups, s->kernel[0], s->kernel[1], s->stride[0],
            s->stride[1], s->dilation[0], s->dilation[1], s->pad_begin[0], s->pad_begin[1], s->pad_end[0],
            s->pad_end[1], s->pool, s->adaptive, s->activation, s->mean != NULL, s->dst[0], s->dst[1]);
}

static void run_program(const fc_program *p, ptrdiff_t n, int threads, bool trained)
{
    const size_t element = size_of(p->dtype), read = (size_t)p->read * element, made = (size_t)p->made * element;
    char *x = integers(p->dtype, n * p->read), *y = malloc((size_t)n * made), *alone = malloc(made);
    void *workspace = allocate(p->thread_bytes * (size_t)threads);
    CHECK(y && alone);
    CHECK(fc_program_run(p, n, x, y, workspace, threads) == FC_OK);
    for (ptrdiff_t i = 0; i < n; i++) {
        CHECK(fc_program_run(p, 1, x + (size_t)i * read, alone, workspace, 1) == FC_OK);
        if (!same(p->dtype, alone, y + (size_t)i * made, p->made)) {
            describe_steps(p, n, i);
            abort();
        }
    }
    free(workspace);
    if (trained && fc_program_trains(p)) {
        int64_t *classes = malloc((size_t)n * sizeof *classes);
        CHECK(classes);
        for (ptrdiff_t i = 0; i < n; i++)
            classes[i] = i % p->made;
        const fc_truth truth = {.classes = classes, .share = 1};
        double loss;
        workspace = allocate(fc_program_train_workspace(p, n, threads));
        CHECK(fc_program_train(p, n, x, &truth, y, &loss, workspace, threads) == FC_OK);
        free(workspace), free(classes);
    }
    free(x), free(y), free(alone);
}

static void program(bytes *b)
{
    network net = {.program = {.dtype = (fc_dtype)(next(b) % FC_DTYPES), .isa = any_isa(b), .steps = net.steps}};
    const bool trained = next(b) % 2;
    const int steps = 1 + (int)(next(b) % (MOST_STEPS - 1));
    const ptrdiff_t n = 1 + next(b) % 40;
    const int threads = 1 + (int)(next(b) % 2);
    bool planned = true;
    for (int i = 0; i < steps && planned; i++)
        planned = add_step(b, &net, i, trained);
    if (planned && trained) {
        const fc_step *last = &net.steps[steps - 1];
        const ptrdiff_t classes = last->dst[0] * last->dst[1] * last->oc;
        net.steps[steps] = (fc_step){.kind = FC_STEP_SOFTMAX, .ic = classes, .oc = classes, .src = {1, 1}};
        net.program.count = steps + 1;
    }
    planned = planned && fc_program_plan(&net.program) == FC_OK; /* with the arrays of the last step */
    if (planned && net.program.thread_bytes < MOST_BYTES && net.program.work * (double)n < 1e7) {
        void *tables = allocate(net.program.table_bytes);
        fc_program_bind(&net.program, tables);
        run_program(&net.program, n, threads, trained);
        free(tables);
    }
    for (int i = 0; i < net.count; i++)
        free(net.arrays[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bytes b = {data, data + size};
    switch (next(&b) % 4) {
    case 0:
        program(&b);
        break;
    case 1:
        pool(&b);
        break;
    default:
        conv(&b);
        break;
    }
    return 0;
}
