/* The engine from C alone, for sanitizers and emulators: `engine [ROUNDS [all|best [SHAPES]]]` prints what it checked,
 * for all instruction sets that this processor has, or the best.
 *
 * The results of the first SHAPES shapes (all) are compared with plain loops on integer-valued data, so equality is
 * exact where no algorithm transforms its input. Then, ROUNDS times (1), several threads run one shared plan with one
 * shared set of packed weights, each with its own thread count, and must get the same bits. The exit status is 0 when
 * all was right. Every buffer has exactly the size that the engine asked for. .ci/run builds this with ThreadSanitizer,
 * with AddressSanitizer (which looks for leaks), and for aarch64; CONTRIBUTING.md has the commands.
 */
#include "fastconv.h"
#include "ops/parallel.h"
#include "ops/workers.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CALLERS = 4, ALGORITHM_COUNT = 4 };
static const fc_algorithm ALGORITHMS[ALGORITHM_COUNT] = {FC_AUTO, FC_DIRECT, FC_IM2COL, FC_WINOGRAD};

#define CHECK(condition, ...)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "engine.c:%d: %s: ", __LINE__, #condition);                                                \
            fprintf(stderr, __VA_ARGS__);                                                                              \
            fprintf(stderr, "\n");                                                                                     \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static size_t size_of(fc_dtype dtype) { return dtype == FC_F32 ? sizeof(float) : sizeof(double); }

static double get(fc_dtype dtype, const void *array, ptrdiff_t i)
{
    return dtype == FC_F32 ? (double)((const float *)array)[i] : ((const double *)array)[i];
}

static void *allocate(size_t bytes)
{
    void *memory = NULL;
    CHECK(posix_memalign(&memory, FC_ALIGNMENT, bytes ? bytes : 1) == 0, "%zu bytes", bytes);
    memset(memory, 0xFF, bytes); /* NaN in both types: what is read before it is written shows */
    return memory;
}

/* `count` integers of -3 … 3. */
static void *integers(fc_dtype dtype, ptrdiff_t count)
{
    static uint32_t state = 1;
    void *array = allocate((size_t)count * size_of(dtype));
    for (ptrdiff_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        double value = (double)(state >> 24) - 128;
        value = (double)((int)value % 4);
        if (dtype == FC_F32)
            ((float *)array)[i] = (float)value;
        else
            ((double *)array)[i] = value;
    }
    return array;
}

/* ---- convolution ------------------------------------------------------------------------------------------ */

typedef struct {
    ptrdiff_t n, ic, oc, groups, height, width, kernel, stride, pad, dilation;
} shape;

static const shape SHAPES[] = {
    {1, 1, 6, 1, 32, 32, 5, 1, 0, 1},   /* LeNet-5's first layer */
    {3, 6, 16, 1, 14, 14, 5, 1, 0, 1},  /* and its second */
    {2, 24, 40, 1, 17, 19, 3, 1, 1, 1}, /* tails of channels and of pixels */
    {2, 12, 20, 4, 15, 13, 3, 2, 1, 1}, /* groups and a stride */
    {2, 8, 8, 8, 20, 21, 3, 1, 1, 1},   /* depthwise */
    {2, 9, 9, 9, 19, 8, 3, 2, 1, 1},    /* at a stride */
    {1, 5, 7, 1, 16, 11, 3, 2, 3, 2},   /* dilated, with more padding than kernel */
    {2, 32, 48, 1, 9, 9, 1, 1, 0, 1},   /* a matrix product */
    {1, 3, 4, 1, 12, 12, 2, 3, 0, 1},   /* a stride past the kernel */
    {1, 3, 20, 1, 21, 30, 7, 2, 3, 1},  /* phases of few channels */
    {4, 16, 16, 1, 24, 24, 3, 1, 1, 1}, /* enough work for every thread */
    {1, 76, 96, 1, 6, 5, 3, 1, 1, 1},   /* enough weights for every thread */
    {0, 4, 4, 1, 5, 5, 3, 1, 1, 1},     /* no image at all */
};

typedef struct {
    fc_conv_plan plan;
    ptrdiff_t n, count; /* images, elements of the result */
    ptrdiff_t strides[2 + FC_SPATIAL];
    const void *src, *grad, *weights, *packed, *bias;
} problem;

typedef struct {
    const problem *of;
    int threads;
    void *result;
} call;

static ptrdiff_t volume(const ptrdiff_t extents[FC_SPATIAL]) { return extents[0] * extents[1] * extents[2]; }

/* The position of (image, channel, y, x) in an array of images. */
static ptrdiff_t at(const fc_conv_desc *d, const ptrdiff_t extents[FC_SPATIAL], ptrdiff_t channels, ptrdiff_t image,
                    ptrdiff_t channel, ptrdiff_t y, ptrdiff_t x)
{
    ptrdiff_t pixel = y * extents[2] + x;
    if (d->layout == FC_CHANNELS_FIRST)
        return (image * channels + channel) * volume(extents) + pixel;
    return (image * volume(extents) + pixel) * channels + channel;
}

static void *run(void *argument)
{
    call *c = argument;
    const problem *p = c->of;
    const fc_conv_plan *plan = &p->plan;
    size_t bytes = fc_conv_workspace(plan, p->n, c->threads);
    CHECK(bytes != SIZE_MAX, "workspace of %td images", p->n);
    void *workspace = allocate(bytes);
    c->result = allocate((size_t)p->count * size_of(plan->desc.dtype));
    fc_status status;
    if (plan->desc.direction == FC_BACKWARD_WEIGHT)
        status = fc_conv_weight_grad(plan, p->n, p->src, p->grad, c->result, p->strides, workspace, c->threads);
    else if (plan->desc.direction == FC_BACKWARD_INPUT)
        status = fc_conv_run(plan, p->n, p->grad, p->packed, NULL, NULL, c->result, workspace, c->threads);
    else
        status = fc_conv_run(plan, p->n, p->src, p->packed, p->bias, NULL, c->result, workspace, c->threads);
    CHECK(status == FC_OK, "status %d", (int)status);
    free(workspace);
    return NULL;
}

/* The multiply-adds of one output position, in whichever direction; `expected` is in the result's layout. */
static void position(const problem *p, double *expected, ptrdiff_t image, ptrdiff_t o, ptrdiff_t y, ptrdiff_t x)
{
    const fc_conv_desc *d = &p->plan.given;
    ptrdiff_t in_group = d->ic / d->groups, first = o / (d->oc / d->groups) * in_group;
    ptrdiff_t out = at(d, d->dst, d->oc, image, o, y, x);
    for (ptrdiff_t i = 0; i < in_group; i++)
        for (ptrdiff_t ky = 0; ky < d->kernel[1]; ky++)
            for (ptrdiff_t kx = 0; kx < d->kernel[2]; kx++) {
                ptrdiff_t sy = y * d->stride[1] + ky * d->dilation[1] - d->pad_begin[1];
                ptrdiff_t sx = x * d->stride[2] + kx * d->dilation[2] - d->pad_begin[2];
                if (sy < 0 || sy >= d->src[1] || sx < 0 || sx >= d->src[2])
                    continue;
                ptrdiff_t in = at(d, d->src, d->ic, image, first + i, sy, sx);
                ptrdiff_t w = o * p->strides[0] + i * p->strides[1] + ky * p->strides[3] + kx * p->strides[4];
                if (d->direction == FC_FORWARD)
                    expected[out] += get(d->dtype, p->src, in) * get(d->dtype, p->weights, w);
                else if (d->direction == FC_BACKWARD_INPUT)
                    expected[in] += get(d->dtype, p->grad, out) * get(d->dtype, p->weights, w);
                else
                    expected[w] += get(d->dtype, p->src, in) * get(d->dtype, p->grad, out);
            }
}

static double *expect(const problem *p)
{
    const fc_conv_desc *d = &p->plan.given;
    double *expected = calloc((size_t)p->count + 1, sizeof *expected);
    CHECK(expected, "no memory");
    for (ptrdiff_t image = 0; image < p->n; image++)
        for (ptrdiff_t o = 0; o < d->oc; o++)
            for (ptrdiff_t y = 0; y < d->dst[1]; y++)
                for (ptrdiff_t x = 0; x < d->dst[2]; x++) {
                    if (d->direction == FC_FORWARD)
                        expected[at(d, d->dst, d->oc, image, o, y, x)] = get(d->dtype, p->bias, o);
                    position(p, expected, image, o, y, x);
                }
    return expected;
}

static void compare(const problem *p, const double *expected, const void *result)
{
    const fc_conv_desc *d = &p->plan.given;
    const bool exact = p->plan.algorithm != FC_WINOGRAD && p->plan.given.algorithm != FC_AUTO;
    const double bound = exact ? 0 : d->dtype == FC_F32 ? 1e-3 : 1e-10; /* of sums up to some hundreds */
    for (ptrdiff_t i = 0; i < p->count; i++)
        CHECK(fabs(get(d->dtype, result, i) - expected[i]) <= bound,
              "element %td of %td is %g, not %g (%s, direction %d)", i, p->count, get(d->dtype, result, i), expected[i],
              fc_isa_name(d->isa), (int)d->direction);
}

/* One caller computes and is compared with plain loops; then all of them at once must repeat its bits. */
static void check_problem(const problem *p, const double *expected, int rounds)
{
    size_t bytes = (size_t)p->count * size_of(p->plan.given.dtype);
    call first = {p, 1, NULL};
    run(&first);
    compare(p, expected, first.result);
    for (int round = 0; round < rounds; round++) {
        pthread_t callers[CALLERS];
        call calls[CALLERS];
        for (int i = 0; i < CALLERS; i++) {
            calls[i] = (call){p, 1 + (i + round) % 3, NULL};
            CHECK(pthread_create(&callers[i], NULL, run, &calls[i]) == 0, "caller %d", i);
        }
        for (int i = 0; i < CALLERS; i++) {
            pthread_join(callers[i], NULL);
            CHECK(memcmp(calls[i].result, first.result, bytes) == 0, "%d threads change bits", calls[i].threads);
            free(calls[i].result);
        }
    }
    free(first.result);
}

/* Data of one problem, and each algorithm that serves it: how many did. What is right is worked out once for all of
 * them. */
static int check_conv(fc_conv_desc desc, ptrdiff_t n, int rounds)
{
    problem p = {.n = n};
    CHECK(fc_conv_plan_make(&desc, &p.plan) == FC_OK, "plan");
    const fc_conv_desc *d = &p.plan.given;
    ptrdiff_t in_group = d->ic / d->groups, taps = volume(d->kernel), weight_count = d->oc * in_group * taps;
    const ptrdiff_t oihw[] = {in_group * taps, taps, taps, d->kernel[2], 1};
    const ptrdiff_t hwio[] = {1, d->oc, 0, d->kernel[2] * in_group * d->oc, in_group * d->oc};
    memcpy(p.strides, d->layout == FC_CHANNELS_FIRST ? oihw : hwio, sizeof p.strides);
    ptrdiff_t src_count = n * d->ic * volume(d->src), dst_count = n * d->oc * volume(d->dst);
    p.count = d->direction == FC_FORWARD ? dst_count : d->direction == FC_BACKWARD_INPUT ? src_count : weight_count;

    void *src = integers(d->dtype, src_count), *grad = integers(d->dtype, dst_count);
    void *weights = integers(d->dtype, weight_count), *bias = integers(d->dtype, d->oc);
    p.src = src, p.grad = grad, p.weights = weights, p.bias = bias;
    double *expected = expect(&p);
    int served = 0;
    for (int a = 0; a < ALGORITHM_COUNT; a++) {
        desc.algorithm = ALGORITHMS[a];
        fc_status status = fc_conv_plan_make(&desc, &p.plan);
        CHECK(status == FC_OK || (status == FC_UNSUPPORTED && desc.algorithm != FC_AUTO), "plan: %d", (int)status);
        CHECK(status == FC_OK || desc.direction != FC_FORWARD || desc.algorithm == FC_WINOGRAD,
              "forward is served by every algorithm but Winograd's");
        if (status != FC_OK)
            continue;
        void *packed = allocate(p.plan.packed_bytes);
        if (d->direction != FC_BACKWARD_WEIGHT)
            fc_conv_pack(&p.plan, weights, p.strides, packed, 3);
        p.packed = packed;
        check_problem(&p, expected, rounds);
        free(packed);
        served++;
    }
    free(src), free(grad), free(weights), free(bias), free(expected);
    return served;
}

static fc_conv_desc describe(const shape *s, fc_isa isa, fc_dtype dtype, fc_layout layout)
{
    return (fc_conv_desc){
        .isa = isa,
        .dtype = dtype,
        .layout = layout,
        .ic = s->ic,
        .oc = s->oc,
        .groups = s->groups,
        .src = {1, s->height, s->width},
        .kernel = {1, s->kernel, s->kernel},
        .stride = {1, s->stride, s->stride},
        .dilation = {1, s->dilation, s->dilation},
        .pad_begin = {0, s->pad, s->pad},
        .pad_end = {0, s->pad, s->pad},
    };
}

static void check_convolutions(fc_isa isa, int rounds, int shapes)
{
    int ran = 0, asked = 0;
    for (int s = 0; s < shapes; s++)
        for (int dtype = 0; dtype < FC_DTYPES; dtype++)
            for (int layout = FC_CHANNELS_FIRST; layout <= FC_CHANNELS_LAST; layout++)
                for (int direction = FC_FORWARD; direction <= FC_BACKWARD_WEIGHT; direction++) {
                    fc_conv_desc desc = describe(&SHAPES[s], isa, (fc_dtype)dtype, (fc_layout)layout);
                    desc.direction = (fc_direction)direction;
                    ran += check_conv(desc, SHAPES[s].n, rounds), asked += ALGORITHM_COUNT;
                }
    printf("%-8s  convolution: %d right, %d refused\n", fc_isa_name(isa), ran, asked - ran);
}

/* ---- pooling and pointwise -------------------------------------------------------------------------------- */

typedef struct {
    fc_pool_plan plan;
    const void *src, *grad;
    int threads;
    void *dst, *dsrc;
    int64_t *indices;
} pool_call;

enum { POOL_IMAGES = 3, POOL_CHANNELS = 19 };

static void *run_pool(void *argument)
{
    pool_call *c = argument;
    const fc_pool_desc *d = &c->plan.desc;
    size_t element = size_of(d->dtype);
    size_t src_count = (size_t)(POOL_IMAGES * d->channels * volume(d->src));
    size_t dst_count = (size_t)(POOL_IMAGES * d->channels * volume(d->dst));
    void *workspace = allocate(c->plan.workspace_bytes * (size_t)c->threads);
    c->dst = allocate(dst_count * element);
    c->dsrc = allocate(src_count * element);
    c->indices = d->kind == FC_POOL_MAX ? allocate(dst_count * sizeof *c->indices) : NULL;
    CHECK(fc_pool_run(&c->plan, POOL_IMAGES, c->src, c->dst, c->indices, workspace, c->threads) == FC_OK, "pool");
    CHECK(fc_pool_backward(&c->plan, POOL_IMAGES, c->src, c->indices, c->grad, c->dsrc, workspace, c->threads) == FC_OK,
          "pool backward");
    free(workspace);
    return NULL;
}

static void check_pool(const fc_pool_desc *desc)
{
    pool_call calls[CALLERS] = {{.threads = 1}};
    CHECK(fc_pool_plan_make(desc, &calls[0].plan) == FC_OK, "pool plan");
    const fc_pool_desc *d = &calls[0].plan.desc;
    ptrdiff_t src_count = POOL_IMAGES * d->channels * volume(d->src);
    ptrdiff_t dst_count = POOL_IMAGES * d->channels * volume(d->dst);
    void *src = integers(d->dtype, src_count), *grad = integers(d->dtype, dst_count);
    pthread_t callers[CALLERS];
    for (int i = 0; i < CALLERS; i++) {
        calls[i].plan = calls[0].plan;
        calls[i].src = src, calls[i].grad = grad, calls[i].threads = 1 + i % 3;
        CHECK(pthread_create(&callers[i], NULL, run_pool, &calls[i]) == 0, "caller %d", i);
    }
    for (int i = 0; i < CALLERS; i++)
        pthread_join(callers[i], NULL);
    for (ptrdiff_t i = 0; calls[0].indices && i < dst_count; i++) {
        ptrdiff_t plane = d->layout == FC_CHANNELS_FIRST ? i / volume(d->dst) * volume(d->src) : 0;
        ptrdiff_t image = i / (d->channels * volume(d->dst)) * d->channels * volume(d->src);
        ptrdiff_t from = d->layout == FC_CHANNELS_FIRST ? plane + calls[0].indices[i]
                                                        : image + calls[0].indices[i] * d->channels + i % d->channels;
        CHECK(get(d->dtype, calls[0].dst, i) == get(d->dtype, src, from), "maximum %td is not at its index", i);
    }
    for (int i = 0; i < CALLERS; i++) {
        size_t bytes = (size_t)dst_count * size_of(d->dtype), back = (size_t)src_count * size_of(d->dtype);
        CHECK(memcmp(calls[i].dst, calls[0].dst, bytes) == 0, "%d threads change a pool's bits", calls[i].threads);
        CHECK(memcmp(calls[i].dsrc, calls[0].dsrc, back) == 0, "%d threads change a gradient's bits", calls[i].threads);
        if (i)
            free(calls[i].dst), free(calls[i].dsrc), free(calls[i].indices);
    }
    free(calls[0].dst), free(calls[0].dsrc), free(calls[0].indices), free(src), free(grad);
}

static void check_pools(fc_isa isa)
{
    int ran = 0;
    for (int dtype = 0; dtype < FC_DTYPES; dtype++)
        for (int layout = FC_CHANNELS_FIRST; layout <= FC_CHANNELS_LAST; layout++)
            for (int kind = FC_POOL_MAX; kind <= FC_POOL_AVERAGE; kind++)
                for (int form = 0; form < 3; form++, ran++) {
                    fc_pool_desc desc = {
                        .dtype = (fc_dtype)dtype,
                        .layout = (fc_layout)layout,
                        .isa = isa,
                        .kind = (fc_pool_kind)kind,
                        .adaptive = form == 2,
                        .ceil_mode = form == 1,
                        .channels = POOL_CHANNELS,
                        .src = {1, 41, 37},
                        .kernel = {1, 2 + form, 2 + form},
                        .stride = {1, 2, 2},
                        .dilation = {1, 1, 1},
                        .pad_begin = {0, form, form},
                        .pad_end = {0, form, form},
                        .dst = {1, 5, 7},
                    };
                    check_pool(&desc);
                }
    printf("%-8s  pooling: %d right\n", fc_isa_name(isa), ran);
}

static void check_pointwise(fc_isa isa, int rounds)
{
    const ptrdiff_t count = rounds ? 1 << 20 : 4099; /* what threads share, or a few vectors and a tail */
    for (int dtype = 0; dtype < FC_DTYPES; dtype++) {
        size_t bytes = (size_t)count * size_of((fc_dtype)dtype);
        void *src = integers((fc_dtype)dtype, count), *one = allocate(bytes), *many = allocate(bytes);
        for (int kind = FC_IDENTITY; kind < FC_ACTIVATIONS; kind++) {
            fc_activation_run((fc_dtype)dtype, isa, (fc_activation)kind, 1, 1, count, src, one, 1);
            fc_activation_run((fc_dtype)dtype, isa, (fc_activation)kind, 1, 1, count, src, many, 3);
            CHECK(memcmp(one, many, bytes) == 0, "activation %d", kind);
            fc_activation_grad((fc_dtype)dtype, isa, (fc_activation)kind, 1, 1, count, src, one, one, 1);
            fc_activation_grad((fc_dtype)dtype, isa, (fc_activation)kind, 1, 1, count, src, many, many, 3);
            CHECK(memcmp(one, many, bytes) == 0, "gradient of activation %d", kind);
        }
        fc_softmax_run((fc_dtype)dtype, isa, false, count / 16, 16, 1, src, one, 1);
        fc_softmax_run((fc_dtype)dtype, isa, false, count / 16, 16, 1, src, many, 3);
        CHECK(memcmp(one, many, bytes) == 0, "softmax");
        free(src), free(one), free(many);
    }
    printf("%-8s  pointwise: %d right\n", fc_isa_name(isa), FC_ACTIVATIONS);
}

/* ---- blocks of memory ------------------------------------------------------------------------------------- */

/* Takes and returns blocks of mixed sizes, each marked as its own for as long as it is held. */
static void *churn(void *argument)
{
    unsigned char mark = *(unsigned char *)argument;
    for (size_t round = 0; round < 400; round++) {
        unsigned char *blocks[8];
        size_t capacity[8];
        for (size_t i = 0; i < 8; i++) {
            size_t bytes = (round * 7919 + i * 104729) % 300000 + 1;
            blocks[i] = fc_block_acquire(bytes, &capacity[i]);
            CHECK(blocks[i] && capacity[i] >= bytes && (uintptr_t)blocks[i] % FC_ALIGNMENT == 0, "%zu bytes", bytes);
            blocks[i][0] = blocks[i][bytes - 1] = mark;
        }
        for (size_t i = 0; i < 8; i++) {
            CHECK(blocks[i][0] == mark, "a block was handed out twice");
            fc_block_release(blocks[i], capacity[i]);
        }
    }
    return NULL;
}

static void check_blocks(void)
{
    pthread_t callers[CALLERS];
    unsigned char marks[CALLERS];
    for (int i = 0; i < CALLERS; i++) {
        marks[i] = (unsigned char)(i + 1);
        CHECK(pthread_create(&callers[i], NULL, churn, &marks[i]) == 0, "caller %d", i);
    }
    for (int i = 0; i < CALLERS; i++)
        pthread_join(callers[i], NULL);
    fc_block_trim();
    CHECK(fc_block_idle_bytes() == 0, "%zu bytes are idle after a trim", fc_block_idle_bytes());
    printf("blocks: right\n");
}

/* ---- workers ------------------------------------------------------------------------------------------------- */

enum { CREW = 4, TURNS = 5 };

typedef struct {
    atomic_int came[CREW], left;
} register_of;

static void sign(void *context, int thread)
{
    register_of *r = context;
    atomic_fetch_add(&r->came[thread], 1);
    for (int i = 0; i < 100; i++)
        sched_yield();
    atomic_fetch_add(&r->left, 1);
}

static int signed_in(register_of *r)
{
    int all = 0;
    for (int thread = 0; thread < CREW; thread++) {
        CHECK(atomic_load(&r->came[thread]) <= 1, "thread %d came twice", thread);
        all += atomic_load(&r->came[thread]);
    }
    return all;
}

static void *sign_often(void *unused)
{
    for (int i = 0; i < 200; i++) {
        register_of r = {0};
        fc_with_workers(1 + i % CREW, i % 3 == 0, sign, &r);
        CHECK(atomic_load(&r.came[0]) == 1, "the caller did not work");
        CHECK(atomic_load(&r.left) == signed_in(&r), "a call ended before its workers");
    }
    return unused;
}

static atomic_int done[CREW][TURNS];

static void do_part(const void *context, fc_part part)
{
    (void)context;
    CHECK(part.thread == 0, "there was no worker left to be thread %d", part.thread);
    atomic_fetch_add(&done[part.share][part.turn], 1);
}

/* Workers stay until the caller has made another call, for which none of them is left: it must not wait for them, and
 * do their shares. */
static void hold(void *context, int thread)
{
    register_of *r = context;
    atomic_fetch_add(&r->came[thread], 1);
    if (thread == 0) {
        while (signed_in(r) < CREW)
            sched_yield();
        CHECK(fc_parallel((fc_crew){.threads = CREW, .turns = TURNS}, do_part, NULL) == FC_OK,
              "a call without workers");
        atomic_store(&r->left, 1);
    }
    while (!atomic_load(&r->left))
        sched_yield();
}

/* Brief errands wake nobody, until they have followed each other for a while. */
static void check_brief_errands(void)
{
    enum { MOST = 10 * 1000 * 1000 };
    struct timespec long_enough = {.tv_nsec = 200 * 1000 * 1000};
    fc_wake_always(false);
    nanosleep(&long_enough, NULL);
    register_of lone = {0};
    fc_with_workers(CREW, true, sign, &lone);
    CHECK(signed_in(&lone) == 1, "a lone brief errand had workers");
    int calls = 0, came = 1;
    for (; calls < MOST && came == 1; calls++) {
        register_of r = {0};
        fc_with_workers(CREW, true, sign, &r);
        came = signed_in(&r);
    }
    CHECK(came > 1, "no worker came for %d brief errands", calls);
    fc_wake_always(true);
}

static void check_workers(void)
{
    check_brief_errands();
    register_of r = {0};
    fc_with_workers(CREW, false, hold, &r);
    for (int share = 0; share < CREW; share++)
        for (int turn = 0; turn < TURNS; turn++)
            CHECK(atomic_load(&done[share][turn]) == 1, "turn %d of share %d", turn, share);
    pthread_t callers[CALLERS];
    for (int i = 0; i < CALLERS; i++)
        CHECK(pthread_create(&callers[i], NULL, sign_often, NULL) == 0, "caller %d", i);
    for (int i = 0; i < CALLERS; i++)
        pthread_join(callers[i], NULL);
    printf("workers: right\n");
}

int main(int count, char **arguments)
{
    const int rounds = count > 1 ? atoi(arguments[1]) : 1;
    const int all = (int)(sizeof SHAPES / sizeof *SHAPES), shapes = count > 3 ? atoi(arguments[3]) : all;
    const bool best = count > 2 && strcmp(arguments[2], "best") == 0;
    fc_wake_always(true);
    CHECK(rounds >= 0 && shapes > 0 && shapes <= all, "arguments");
    for (int isa = 0; isa < FC_ISAS; isa++) {
        if (!fc_isa_available((fc_isa)isa) || (best && isa != (int)fc_isa_best()))
            continue;
        check_convolutions((fc_isa)isa, rounds, shapes);
        check_pools((fc_isa)isa);
        check_pointwise((fc_isa)isa, rounds);
    }
    check_blocks();
    check_workers();
    printf("best instruction set: %s; OpenMP: %s\n", fc_isa_name(fc_isa_best()), fc_openmp() ? "yes" : "no");
    return 0;
}
