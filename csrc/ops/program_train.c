/* One training step of a program: forward, cross-entropy, and the way back to the gradients of all weights.
 *
 * A batch is cut into parts, whose number depends on the batch alone; a thread takes a part, group by group, through
 * the whole of the step while its activations are in cache. Each part has its own sums of the weights' gradients, which
 * are added in order at the end: so the threads change no bit.
 */
#include "parallel.h"
#include "program.h"

#include <math.h>
#include <string.h>

enum {
    FEWEST_PARTS = 2,
    MOST_PARTS = 8,
    GROUPS_OF_PART = 4,          /* from which on there are more parts */
    MOST_GROUPS = 4,             /* that go through the dense steps together */
    CACHE_BYTES = 1536 * 1024,   /* of activations that are kept for them */
    SUMS_BYTES = 2 * 1024 * 1024 /* of one part: more are left to the layers */
};

typedef struct {
    char *base;
    size_t used;
} arena;

static char *carve(arena *a, ptrdiff_t bytes)
{
    char *const member = a->base ? a->base + a->used : NULL;
    a->used += (size_t)(bytes + 127) / 128 * 128;
    return member;
}

static ptrdiff_t element_of(const fc_program *p) { return p->dtype == FC_F32 ? 4 : 8; }

/* ---- what can be trained ----------------------------------------------------------------------------------- */

static bool from_result(fc_activation kind)
{
    return kind != FC_HARD_SWISH && kind != FC_SILU && kind != FC_GELU && kind != FC_GELU_TANH && kind != FC_SOFTPLUS;
}

static bool is_dense(const fc_program *p, const fc_step *s) { return s - p->steps >= p->dense; }

/* Elements of one part's sums before step `end`. */
static ptrdiff_t sums_before(const fc_program *p, int end)
{
    ptrdiff_t sums = 0;
    for (int i = 0; i < end; i++)
        if (p->steps[i].kind == FC_STEP_CONV && (p->steps[i].grad_weights || p->steps[i].grad_bias))
            sums += fc_step_sums(p, &p->steps[i], is_dense(p, &p->steps[i]));
    return sums * p->lanes;
}

bool fc_program_trains(const fc_program *p)
{
    const fc_step *last = &p->steps[p->count - 1];
    for (int i = 0; i < p->count; i++) {
        const fc_step *s = &p->steps[i];
        if (s->mean || !from_result(s->activation) || (s->kind == FC_STEP_SOFTMAX && (s != last || s->logarithm)))
            return false;
    }
    return last->kind == FC_STEP_SOFTMAX && p->dense < p->count &&
           sums_before(p, p->count) * element_of(p) <= SUMS_BYTES;
}

/* ---- workspace --------------------------------------------------------------------------------------------- */

static ptrdiff_t kept_elements(const fc_program *p)
{
    return p->steps[p->count - 1].kept + fc_step_made(&p->steps[p->count - 1]);
}

static int groups_together(const fc_program *p)
{
    const ptrdiff_t group = kept_elements(p) * p->lanes * element_of(p);
    return (int)fc_max_extent(fc_min(CACHE_BYTES / group, MOST_GROUPS), 1);
}

static int parts_of(const fc_program *p, ptrdiff_t n)
{
    const ptrdiff_t groups = fc_divide_up(n, p->lanes);
    return (int)fc_min(fc_min(fc_max_extent(groups / GROUPS_OF_PART, FEWEST_PARTS), MOST_PARTS), groups);
}

/* Of one thread. */
typedef struct {
    fc_program_thread thread;
    char *kept;          /* [step][group][element]: inputs, then every step's results */
    char *end, *grad[2]; /* gradients: of the outputs, of one group's steps */
    char *rows;
    ptrdiff_t *offsets;
} workspace;

static workspace lay_out(const fc_program *p, arena *a)
{
    const ptrdiff_t element = element_of(p), group = p->lanes * element, groups = groups_together(p);
    ptrdiff_t most = p->read, padded = 0, channels = 64, rows = 0, offsets = 0, pool = 0;
    for (int i = 0; i < p->count; i++) {
        const fc_step *s = &p->steps[i];
        most = fc_max_extent(most, fc_step_made(s));
        channels = fc_max_extent(channels, s->oc);
        if (s->kind == FC_STEP_CONV) {
            padded = fc_max_extent(fc_max_extent(padded, fc_step_padded(s)), fc_step_grad_padded(s));
            padded = fc_max_extent(padded, fc_step_back_padded(s));
            rows = fc_max_extent(rows, fc_divide_up(s->oc, p->lanes) * p->lanes);
            offsets = fc_max_extent(offsets, s->kernel[1] * s->oc);
        }
        if (s->kind == FC_STEP_POOL)
            pool = fc_max_extent(pool, (ptrdiff_t)s->lanes_pool.workspace_bytes);
    }
    workspace w = {.thread = {.program = p, .element = element}};
    w.kept = carve(a, kept_elements(p) * group * groups);
    for (int i = 0; i < 2; i++)
        w.grad[i] = carve(a, most * group);
    w.end = carve(a, p->made * group * groups);
    w.rows = carve(a, rows * group);
    w.offsets = (ptrdiff_t *)(void *)carve(a, offsets * (ptrdiff_t)sizeof(ptrdiff_t));
    w.thread.padded = carve(a, padded * group);
    w.thread.factor = carve(a, 2 * channels * element);
    w.thread.pool = carve(a, pool);
    w.thread.kernels = fc_kernels_for(p->isa, p->dtype)->lanes_kernels;
    w.thread.pointwise = fc_kernels_for(p->isa, p->dtype)->pointwise;
    w.thread.max_rows = fc_kernels_for(p->isa, p->dtype)->max_rows;
    return w;
}

/* The first step with weights to train: nothing below it needs a gradient. */
static int lowest_trained(const fc_program *p)
{
    int i = 0;
    while (i < p->count && !p->steps[i].grad_weights && !p->steps[i].grad_bias)
        i++;
    return i;
}

/* Weights for the way back, step after step. */
static ptrdiff_t packed_before(const fc_program *p, int end)
{
    ptrdiff_t packed = 0;
    for (int i = lowest_trained(p) + 1; i < end; i++)
        if (p->steps[i].kind == FC_STEP_CONV)
            packed += fc_step_back_packed(p, &p->steps[i]);
    return packed;
}

typedef struct {
    const fc_program *program;
    ptrdiff_t n;
    const char *src;
    const fc_truth *truth;
    char *dst;
    int parts;
    char *packed, *sums, *workspace;
    double *losses; /* of each part */
    size_t thread_bytes;
} train_call;

static void share_out(train_call *call, arena *a, int threads)
{
    const fc_program *p = call->program;
    arena thread = {NULL, 0};
    lay_out(p, &thread);
    call->thread_bytes = thread.used;
    call->parts = parts_of(p, call->n);
    call->losses = (double *)(void *)carve(a, MOST_PARTS * (ptrdiff_t)sizeof(double));
    call->packed = carve(a, packed_before(p, p->count) * element_of(p));
    call->sums = carve(a, sums_before(p, p->count) * element_of(p) * call->parts);
    call->workspace = carve(a, (ptrdiff_t)thread.used * threads);
}

size_t fc_program_train_workspace(const fc_program *p, ptrdiff_t n, int threads)
{
    train_call call = {.program = p, .n = n};
    arena a = {NULL, 0};
    share_out(&call, &a, threads);
    return a.used;
}

/* ---- cross-entropy ----------------------------------------------------------------------------------------- */

static double value_at(const fc_program *p, const void *array, ptrdiff_t i)
{
    return p->dtype == FC_F32 ? (double)((const float *)array)[i] : ((const double *)array)[i];
}

static void put_value(const fc_program *p, void *array, ptrdiff_t i, double value)
{
    if (p->dtype == FC_F32)
        ((float *)array)[i] = (float)value;
    else
        ((double *)array)[i] = value;
}

/* Probabilities are kept this far from 0 and 1 before their logarithm is taken, as Keras does. */
static double logarithm(double p) { return log(p < 1e-7 ? 1e-7 : p > 1 - 1e-7 ? 1 - 1e-7 : p); } /* NaN stays */

/* The cross-entropy of image `image`, whose probabilities are one lane of `made`; its gradient with respect to what the
 * softmax was applied to goes to the same lane of `g`. */
static double cross_entropy(const train_call *call, ptrdiff_t image, int lane, const char *made, char *g)
{
    const fc_program *p = call->program;
    const fc_truth *truth = call->truth;
    const double scale = truth->share * (truth->weights ? value_at(p, truth->weights, image) : 1);
    double total = 0, mass = 0, loss = 0;
    for (ptrdiff_t k = 0; k < p->made; k++) {
        total += value_at(p, made, k * p->lanes + lane);
        mass += truth->classes ? 0 : value_at(p, truth->distributions, image * p->made + k);
    }
    for (ptrdiff_t k = 0; k < p->made; k++) {
        const double probability = value_at(p, made, k * p->lanes + lane);
        const double wanted = truth->classes ? (double)(truth->classes[image] == k)
                                             : value_at(p, truth->distributions, image * p->made + k);
        if (wanted != 0)
            loss -= wanted * logarithm(probability / total);
        put_value(p, g, k * p->lanes + lane, (probability * (truth->classes ? 1 : mass) - wanted) * scale);
    }
    return loss * scale;
}

/* ---- dropout ----------------------------------------------------------------------------------------------- */

/* Step i, whose images are those of a group from `image` on: forth and back alike. */
static void drop_out(const train_call *call, int i, ptrdiff_t image, const char *src, char *dst)
{
    const fc_program *p = call->program;
    const fc_step *s = &p->steps[i];
    uint64_t before = 0;
    for (int k = 0; k < i; k++)
        before += p->steps[k].kind == FC_STEP_DROPOUT;
    const fc_draw draw = {
        .key = call->truth->key,
        .call = call->truth->call + before,
        .threshold = (uint64_t)(s->alpha * 4294967296.0 + 0.5),
        .factor = s->alpha < 1 ? 1 / (1 - s->alpha) : 0,
    };
    fc_kernels_for(p->isa, p->dtype)->update->dropout_lanes(&draw, image, fc_step_made(s), src, dst);
}

/* ---- one block of groups ----------------------------------------------------------------------------------- */

typedef struct {
    const train_call *call;
    const workspace *w;
    ptrdiff_t first, images;
    int groups;
    char *sums;
} block;

/* What training keeps for step i, -1 being the input, of a group. */
static char *kept(const block *b, int i, int group)
{
    const fc_program *p = b->call->program;
    const ptrdiff_t before = i < 0 ? 0 : p->steps[i].kept, made = i < 0 ? p->read : fc_step_made(&p->steps[i]);
    return b->w->kept + (before * groups_together(p) + made * group) * p->lanes * b->w->thread.element;
}

static void forward(const block *b)
{
    const fc_program *p = b->call->program;
    const fc_program_thread *t = &b->w->thread;
    for (int g = 0; g < b->groups; g++) {
        const ptrdiff_t image = b->first + (ptrdiff_t)g * p->lanes;
        t->kernels->gather(b->call->src + image * p->read * t->element, p->read,
                           (int)fc_min(b->first + b->images - image, p->lanes), p->read, kept(b, -1, g));
        for (int i = 0; i < p->dense; i++)
            if (p->steps[i].kind == FC_STEP_DROPOUT)
                drop_out(b->call, i, image, kept(b, i - 1, g), kept(b, i, g));
            else
                fc_step_lanes(t, &p->steps[i], 1, (fc_lanes_buffer){kept(b, i - 1, g), 0},
                              (fc_lanes_buffer){kept(b, i, g), 0});
    }
    for (int i = p->dense; i < p->count; i++) {
        for (int g = 0; g < b->groups && p->steps[i].kind == FC_STEP_DROPOUT; g++)
            drop_out(b->call, i, b->first + (ptrdiff_t)g * p->lanes, kept(b, i - 1, g), kept(b, i, g));
        fc_step_lanes(t, &p->steps[i], b->groups, (fc_lanes_buffer){kept(b, i - 1, 0), fc_step_read(&p->steps[i])},
                      (fc_lanes_buffer){kept(b, i, 0), fc_step_made(&p->steps[i])});
    }
}

/* Outputs to the caller, their gradient to `g`; lanes without an image get zeros. */
static double end(const block *b, char *g)
{
    const fc_program *p = b->call->program;
    const fc_program_thread *t = &b->w->thread;
    double loss = 0;
    for (int group = 0; group < b->groups; group++) {
        const ptrdiff_t image = b->first + (ptrdiff_t)group * p->lanes;
        const int live = (int)fc_min(b->first + b->images - image, p->lanes);
        const char *made = kept(b, p->count - 1, group);
        t->kernels->scatter(made, p->made, live, p->made, b->call->dst + image * p->made * t->element);
        char *const to = g + group * p->made * p->lanes * t->element;
        if (live < p->lanes)
            memset(to, 0, (size_t)(p->made * p->lanes * t->element));
        for (int lane = 0; lane < live; lane++)
            loss += cross_entropy(b->call, image + lane, lane, made, to);
    }
    return loss;
}

/* Step i of one group: g becomes the gradient before the activation, dx that of the input unless it is NULL. */
static void step_back(const block *b, int i, int group, char *g, char *dx)
{
    const fc_program *p = b->call->program;
    const fc_program_thread *t = &b->w->thread;
    const fc_step *s = &p->steps[i];
    const bool dense = is_dense(p, s);
    if (s->activation != FC_IDENTITY)
        t->pointwise->activation_grad(s->activation, s->alpha, s->beta, fc_step_made(s) * p->lanes, g,
                                      kept(b, i, group), g);
    if (s->kind == FC_STEP_CONV && (s->grad_weights || s->grad_bias))
        fc_step_weight_grad(t, s, dense, kept(b, i - 1, group), g, b->w->rows,
                            b->sums + sums_before(p, i) * t->element);
    if (dx == NULL)
        return;
    if (s->kind == FC_STEP_CONV)
        fc_step_input_grad(t, s, dense, b->call->packed + packed_before(p, i) * t->element, b->w->offsets, g, dx);
    else if (s->kind == FC_STEP_POOL)
        fc_pool_backward(&s->lanes_pool, 1, kept(b, i - 1, group), NULL, g, dx, t->pool, FC_WITHIN);
    else if (s->kind == FC_STEP_PAD)
        fc_step_pad_back(t, s, g, dx);
    else if (s->kind == FC_STEP_DROPOUT)
        drop_out(b->call, i, b->first + (ptrdiff_t)group * p->lanes, g, dx);
    else
        memcpy(dx, g, (size_t)(fc_step_read(s) * p->lanes * t->element));
}

/* The dense steps of a group; returns where the gradient of their input lies. */
static char *dense_back(const block *b, int lowest, int group)
{
    const fc_program *p = b->call->program;
    const ptrdiff_t element = p->lanes * b->w->thread.element;
    char *g = b->w->end + group * p->made * element;
    for (int i = p->count - 2, turn = 0; i >= p->dense && i >= lowest; i--, turn ^= 1) {
        char *const dx = i > lowest ? b->w->grad[turn] : NULL;
        step_back(b, i, group, g, dx);
        g = dx;
    }
    return g;
}

static double train_block(const block *b)
{
    const fc_program *p = b->call->program;
    const int lowest = lowest_trained(p);
    forward(b);
    const double loss = end(b, b->w->end);
    for (int group = 0; group < b->groups; group++) {
        char *g = dense_back(b, lowest, group);
        for (int i = p->dense - 1; i >= lowest; i--) {
            char *const dx = i > lowest ? b->w->grad[g == b->w->grad[0]] : NULL;
            step_back(b, i, group, g, dx);
            g = dx;
        }
    }
    return loss;
}

/* ---- a batch ----------------------------------------------------------------------------------------------- */

/* Units of work: parts of the batch. */
static void train_parts(const void *context, fc_part share)
{
    const train_call *call = context;
    const fc_program *p = call->program;
    const ptrdiff_t sums = sums_before(p, p->count) * element_of(p);
    arena a = {call->workspace + (size_t)share.thread * call->thread_bytes, 0};
    const workspace w = lay_out(p, &a);
    ptrdiff_t begin, last;
    fc_share_of(call->parts, share, &begin, &last);
    for (ptrdiff_t part = begin; part < last; part++) {
        ptrdiff_t group, groups;
        fc_share(fc_divide_up(call->n, p->lanes), part, call->parts, &group, &groups);
        char *const own = call->sums + part * sums;
        memset(own, 0, (size_t)sums);
        call->losses[part] = 0;
        for (ptrdiff_t together; group < groups; group += together) {
            together = fc_min(groups - group, groups_together(p));
            const block b = {
                .call = call,
                .w = &w,
                .first = group * p->lanes,
                .images = fc_min(together * p->lanes, call->n - group * p->lanes),
                .groups = (int)together,
                .sums = own,
            };
            call->losses[part] += train_block(&b);
        }
    }
}

/* Units of work: steps, whose parts are added in order. */
static void add_parts(const void *context, fc_part share)
{
    const train_call *call = context;
    const fc_program *p = call->program;
    arena a = {call->workspace + (size_t)share.thread * call->thread_bytes, 0};
    const workspace w = lay_out(p, &a);
    ptrdiff_t begin, last;
    fc_share_of(p->count, share, &begin, &last);
    for (int i = (int)begin; i < last; i++)
        for (int part = 0; part < call->parts && p->steps[i].kind == FC_STEP_CONV; part++)
            fc_step_weight_grad_end(&w.thread, &p->steps[i], is_dense(p, &p->steps[i]),
                                    call->sums + (part * sums_before(p, p->count) + sums_before(p, i)) * element_of(p),
                                    part > 0);
}

fc_status fc_program_train(const fc_program *p, ptrdiff_t n, const void *src, const fc_truth *truth, void *dst,
                           double *loss, void *memory, int threads)
{
    train_call call = {.program = p, .n = n, .src = src, .truth = truth, .dst = dst};
    arena a = {memory, 0};
    *loss = 0;
    if (n == 0)
        return FC_OK;
    share_out(&call, &a, threads);
    arena own = {call.workspace, 0};
    const workspace w = lay_out(p, &own);
    for (int i = lowest_trained(p) + 1; i < p->count; i++)
        if (p->steps[i].kind == FC_STEP_CONV)
            fc_step_back_pack(&w.thread, &p->steps[i], is_dense(p, &p->steps[i]),
                              call.packed + packed_before(p, i) * element_of(p));
    fc_crew crew = fc_crew_for(3 * p->work * (double)n, threads);
    crew.threads = (int)fc_min(crew.threads, call.parts);
    if (fc_parallel(crew, train_parts, &call))
        return FC_STOPPED;
    if (fc_parallel((fc_crew){(int)fc_min(crew.threads, p->count), 1, crew.brief}, add_parts, &call))
        return FC_STOPPED;
    for (int part = 0; part < call.parts; part++)
        *loss += call.losses[part];
    return FC_OK;
}
