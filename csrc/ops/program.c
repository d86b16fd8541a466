/* Programs: planning, and the way of a batch through the steps.
 *
 * Vectors run along images, so no shape wastes a lane: `lanes` images form a group, whose activations are
 * (height, width, channel, lane) and stay in the second-level cache. A thread takes one group through all spatial
 * steps, then several groups together through the dense ones, whose weights are then read once for all. What is left of
 * a batch, if it is less than half a group, goes image by image, with vectors along output channels. Both ways add the
 * products of an output in the same order.
 */
#include "program.h"
#include "parallel.h"

#include <math.h>
#include <string.h>

enum { MOST_GROUPS = 4, SLACK = 256 };

static ptrdiff_t element_of(const fc_program *p) { return p->dtype == FC_F32 ? 4 : 8; }

static size_t round_up(ptrdiff_t bytes) { return (size_t)(bytes + 127) / 128 * 128; }

/* ---- planning ---------------------------------------------------------------------------------------------- */

bool fc_step_is_padded(const fc_step *s)
{
    return s->kind == FC_STEP_CONV && (s->pad_begin[1] > 0 || s->pad_end[1] > 0);
}

/* Columns of a row of the input with its padding. */
static ptrdiff_t pitch_of(const fc_step *s) { return s->src[1] + s->pad_begin[1] + s->pad_end[1]; }

ptrdiff_t fc_step_padded(const fc_step *s) { return fc_step_is_padded(s) ? s->src[0] * pitch_of(s) * s->ic : 0; }

fc_window fc_step_kernel_rows(const fc_step *s, ptrdiff_t row)
{
    const ptrdiff_t first = row * s->stride[0] - s->pad_begin[0], step = s->dilation[0];
    const ptrdiff_t begin = first >= 0 ? 0 : fc_min(fc_divide_up(-first, step), s->kernel[0]);
    const ptrdiff_t end = first >= s->src[0] ? 0 : fc_min(fc_divide_up(s->src[0] - first, step), s->kernel[0]);
    return (fc_window){begin, fc_max_extent(end, begin)};
}

/* The vectors of neighbouring pixels in a tile whose work is least: multiply-adds and loads run side by side, and a sum
 * takes some cycles. */
int fc_tile_vectors(const fc_kernels *kernels, ptrdiff_t oc, ptrdiff_t width)
{
    static const int COUNTS[] = {1, 2, 3, 4};
    double least = 0;
    int best = 1;
    for (size_t i = 0; i < sizeof COUNTS / sizeof COUNTS[0]; i++) {
        const int v = COUNTS[i];
        if (v > width || kernels->max_rows[v] == 0)
            continue;
        const ptrdiff_t tiles = fc_divide_up(oc, kernels->max_rows[v]), rows = fc_divide_up(oc, tiles);
        const double fma = (double)rows * v, loads = (double)rows + v + 2, latency = 10;
        const double step = fma > loads ? (fma > latency ? fma : latency) : (loads > latency ? loads : latency);
        const double cost = step * (double)tiles * (double)fc_divide_up(width, v);
        if (i == 0 || cost <= least) { /* fewer, longer tiles among equals */
            least = cost;
            best = v;
        }
    }
    return best;
}

static fc_conv_desc conv_of(const fc_program *p, const fc_step *s)
{
    fc_conv_desc desc = {.dtype = p->dtype, .layout = FC_CHANNELS_LAST, .isa = p->isa};
    desc.ic = s->ic;
    desc.oc = s->oc;
    desc.groups = s->groups;
    desc.src[0] = desc.kernel[0] = desc.stride[0] = desc.dilation[0] = 1;
    for (int a = 0; a < 2; a++) {
        desc.src[a + 1] = s->src[a];
        desc.kernel[a + 1] = s->kernel[a];
        desc.stride[a + 1] = s->stride[a];
        desc.dilation[a + 1] = s->dilation[a];
        desc.pad_begin[a + 1] = s->pad_begin[a];
        desc.pad_end[a + 1] = s->pad_end[a];
    }
    return desc;
}

static fc_status plan_conv(const fc_program *p, fc_step *s)
{
    fc_conv_desc desc = conv_of(p, s);
    const fc_status status = fc_conv_extents(&desc);
    if (status != FC_OK)
        return status;
    s->dst[0] = desc.dst[1];
    s->dst[1] = desc.dst[2];
    s->products = s->kernel[0] * s->kernel[1] * (s->ic / s->groups);
    s->vectors = fc_tile_vectors(fc_kernels_for(p->isa, p->dtype), s->oc / s->groups, s->dst[1]);
    return FC_OK;
}

static fc_status plan_pool(const fc_program *p, fc_step *s)
{
    fc_pool_desc desc = {.dtype = p->dtype, .layout = FC_CHANNELS_LAST, .isa = p->isa, .kind = s->pool};
    desc.adaptive = s->adaptive;
    desc.by_channel = true; /* the order of sums of images that are lanes */
    desc.channels = s->ic;
    desc.src[0] = desc.kernel[0] = desc.stride[0] = desc.dilation[0] = desc.dst[0] = 1;
    for (int a = 0; a < 2; a++) {
        desc.src[a + 1] = s->src[a];
        desc.kernel[a + 1] = s->kernel[a];
        desc.stride[a + 1] = s->stride[a];
        desc.dilation[a + 1] = s->dilation[a];
        desc.pad_begin[a + 1] = s->pad_begin[a];
        desc.pad_end[a + 1] = s->pad_end[a];
        desc.dst[a + 1] = 1;
    }
    const fc_status status = fc_pool_plan_make(&desc, &s->pixel_pool);
    if (status != FC_OK)
        return status;
    desc.channels *= p->lanes;
    s->dst[0] = s->pixel_pool.desc.dst[1];
    s->dst[1] = s->pixel_pool.desc.dst[2];
    return fc_pool_plan_make(&desc, &s->lanes_pool);
}

/* Multiply-adds of an image; what else happens to an element counts as so many. */
static double work_of(const fc_program *p, const fc_step *s)
{
    enum { A_TAP = 8, AN_ELEMENT = 16 };
    const ptrdiff_t *window = s->adaptive ? s->src : s->kernel;
    double each = AN_ELEMENT;
    if (s->kind == FC_STEP_CONV)
        each = fc_work_of((double)s->products, p->lanes);
    else if (s->kind == FC_STEP_POOL)
        each = A_TAP * (double)window[0] * (double)window[1];
    return each * (double)fc_step_made(s);
}

static fc_status plan_by_kind(const fc_program *p, fc_step *s)
{
    s->dst[0] = s->src[0];
    s->dst[1] = s->src[1];
    if (s->kind == FC_STEP_CONV)
        return plan_conv(p, s);
    if (s->oc != s->ic)
        return FC_BAD_SHAPE;
    if (s->kind == FC_STEP_POOL)
        return plan_pool(p, s);
    if (s->kind == FC_STEP_PAD)
        for (int a = 0; a < 2; a++)
            s->dst[a] = s->src[a] + s->pad_begin[a] + s->pad_end[a];
    return FC_OK;
}

/* Whether an image is so small that the bytes of a few groups of them are a number. */
static bool is_countable(ptrdiff_t height, ptrdiff_t width, ptrdiff_t channels)
{
    return fc_saturate(fc_saturate(height, width), channels) <= PTRDIFF_MAX / 4096;
}

static fc_status plan_step(const fc_program *p, fc_step *s)
{
    if (s->ic < 1 || s->oc < 1)
        return FC_BAD_SHAPE;
    ptrdiff_t padded[2];
    for (int a = 0; a < 2; a++) {
        if (s->src[a] < 1 || s->pad_begin[a] < 0 || s->pad_end[a] < 0)
            return FC_BAD_SHAPE;
        if (__builtin_add_overflow(s->src[a], s->pad_begin[a], &padded[a]) ||
            __builtin_add_overflow(padded[a], s->pad_end[a], &padded[a]))
            return FC_OVERFLOW;
        /* a step past the image that no window takes, a distance to no second tap */
        s->stride[a] = fc_min(s->stride[a], padded[a]);
        if (s->kernel[a] == 1)
            s->dilation[a] = 1;
    }
    if (!is_countable(padded[0], padded[1], s->ic))
        return FC_OVERFLOW;
    const fc_status status = plan_by_kind(p, s);
    return status == FC_OK && !is_countable(s->dst[0], s->dst[1], s->oc) ? FC_OVERFLOW : status;
}

/* Whether windows are whole, of neighbouring pixels of the image itself. */
static bool has_plain_windows(const fc_step *s)
{
    for (int a = 0; a < 2; a++)
        if (s->pad_begin[a] > 0 || s->pad_end[a] > 0 || s->dilation[a] != 1)
            return false;
    return true;
}

/* Whether a step's output is one pixel that sees all of its input, in order. */
static bool is_dense(const fc_step *s)
{
    const bool covers = s->kernel[0] == s->src[0] && s->kernel[1] == s->src[1] && has_plain_windows(s);
    return s->dst[0] * s->dst[1] == 1 && s->kind != FC_STEP_POOL && s->kind != FC_STEP_PAD &&
           (s->kind != FC_STEP_CONV || (s->groups == 1 && covers));
}

/* The first step from which on all are dense. */
static int first_dense(const fc_program *p)
{
    int first = p->count;
    while (first > 0 && is_dense(&p->steps[first - 1]))
        first--;
    return first;
}

/* Whether a step, not the first, sees its input as the one before made it: reshaping between them takes no step. */
static bool follows(const fc_step *s)
{
    const fc_step *before = s - 1;
    return s->src[0] == before->dst[0] && s->src[1] == before->dst[1] && s->ic == before->oc;
}

/* Whether a step makes planes of planes: a pool must have whole windows, and a stride that vectors can follow. */
static bool keeps_planes(const fc_step *s)
{
    if (!follows(s))
        return false;
    if (s->kind != FC_STEP_POOL)
        return s->kind == FC_STEP_POINT && !s->mean;
    /* longer sums are cut where channels are neighbours, and not in planes */
    enum { PARTIAL = 64 };
    const bool long_sum = s->pool == FC_POOL_AVERAGE && fc_saturate(s->kernel[0], s->kernel[1]) > PARTIAL;
    return has_plain_windows(s) && !s->adaptive && s->stride[1] <= 2 && !long_sum;
}

/* A single image of one channel has better lines than channels to vectorise: how many steps make planes of it, if a
 * convolution that reads planes follows. */
static int plane_steps(const fc_program *p)
{
    const fc_step *s = p->steps;
    if (s->kind != FC_STEP_CONV || s->ic != 1 || s->oc >= p->lanes || fc_step_is_padded(s) || s->stride[1] != 1 ||
        s->mean)
        return 0;
    int count = 1;
    while (count < p->count && keeps_planes(&s[count]))
        count++;
    const bool reads = count < p->count && s[count].kind == FC_STEP_CONV && s[count].groups == 1 &&
                       follows(&s[count]) && !fc_step_is_padded(&s[count]);
    return reads ? count : 0;
}

/* Elements of one image, at most, that come out of or go into the steps of a range. */
static ptrdiff_t largest(const fc_program *p, int begin, int end)
{
    ptrdiff_t most = 0;
    for (int i = begin; i < end; i++)
        most = fc_max_extent(most, fc_step_made(&p->steps[i]));
    return most;
}

typedef struct {
    char *base;
    size_t used;
} arena;

static char *carve(arena *a, ptrdiff_t bytes)
{
    char *const member = a->base ? a->base + a->used : NULL;
    a->used += round_up(bytes);
    return member;
}

/* Whether a pool can take the rows of the convolution before it as they come: whole windows, rows of which do not
 * overlap. Longer sums are cut in pools, and not in bands. */
static bool takes_band(const fc_program *p, int step)
{
    enum { PARTIAL = 64 };
    const fc_step *s = &p->steps[step];
    if (step == 0 || s->kind != FC_STEP_POOL || (s - 1)->kind != FC_STEP_CONV || s->adaptive || !follows(s))
        return false;
    return has_plain_windows(s) && s->stride[0] == s->kernel[0] && fc_saturate(s->kernel[0], s->kernel[1]) <= PARTIAL;
}

/* A thread's workspace: two buffers for the spatial steps of one group and one for rows between a convolution and a
 * pool, one that hands their results to the dense steps, and two for those. */
typedef struct {
    char *spatial[2], *band, *handed, *dense[2];
    fc_program_thread thread;
} workspace;

static ptrdiff_t handed_elements(const fc_program *p)
{
    return p->dense > 0 ? fc_step_made(&p->steps[p->dense - 1]) : p->read;
}

static workspace lay_out(const fc_program *p, arena *a)
{
    const ptrdiff_t group = p->lanes * element_of(p);
    const ptrdiff_t spatial = fc_max_extent(largest(p, 0, p->dense), p->read);
    ptrdiff_t padded = 0, channels = 0, pool = 0, band = 0;
    for (int i = 0; i < p->count; i++) {
        const fc_step *s = &p->steps[i];
        padded = fc_max_extent(padded, fc_step_padded(s));
        channels = fc_max_extent(channels, s->oc);
        if (s->kind == FC_STEP_POOL)
            pool = fc_max_extent(pool, fc_max_extent((ptrdiff_t)s->lanes_pool.workspace_bytes,
                                                     (ptrdiff_t)s->pixel_pool.workspace_bytes));
        if (takes_band(p, i))
            band = fc_max_extent(band, s->kernel[0] * s->src[1] * s->ic);
    }
    workspace w = {.thread = {.program = p, .element = element_of(p)}};
    for (int i = 0; i < 2; i++) {
        w.spatial[i] = carve(a, spatial * group + SLACK);
        w.dense[i] = carve(a, largest(p, p->dense, p->count) * group * p->groups + SLACK);
    }
    w.handed = carve(a, handed_elements(p) * group * p->groups + SLACK);
    w.band = carve(a, band * group);
    w.thread.padded = carve(a, padded * group + SLACK);
    w.thread.factor = carve(a, 2 * channels * element_of(p));
    w.thread.pool = carve(a, pool);
    w.thread.kernels = fc_kernels_for(p->isa, p->dtype)->lanes_kernels;
    w.thread.pointwise = fc_kernels_for(p->isa, p->dtype)->pointwise;
    w.thread.max_rows = fc_kernels_for(p->isa, p->dtype)->max_rows;
    return w;
}

fc_status fc_program_plan(fc_program *p)
{
    if (!fc_isa_available(p->isa) || p->count < 1)
        return FC_UNSUPPORTED;
    p->lanes = fc_kernels_for(p->isa, p->dtype)->lanes;
    p->groups = MOST_GROUPS;
    p->table_bytes = p->image_bytes = 0;
    p->work = 0;
    for (int i = 0; i < p->count; i++) {
        fc_step *s = &p->steps[i];
        const fc_status status = plan_step(p, s);
        if (status != FC_OK)
            return status;
        s->kept = i > 0 ? (s - 1)->kept + fc_step_made(s - 1) : fc_step_read(s);
        if (i > 0 && fc_step_made(s - 1) != fc_step_read(s))
            return FC_BAD_SHAPE;
        if (s->kind == FC_STEP_CONV)
            p->table_bytes += 2 * round_up(s->products * (ptrdiff_t)sizeof(ptrdiff_t));
        p->work += work_of(p, s);
    }
    p->read = fc_step_read(&p->steps[0]);
    p->made = fc_step_made(&p->steps[p->count - 1]);
    p->dense = first_dense(p);
    p->planes = plane_steps(p);
    p->image_bytes =
        (size_t)((fc_max_extent(largest(p, 0, p->dense), p->read) * 2 + handed_elements(p)) * element_of(p) * p->lanes);
    arena measured = {NULL, 0};
    lay_out(p, &measured);
    p->thread_bytes = measured.used;
    return FC_OK;
}

void fc_program_bind(fc_program *p, void *tables)
{
    char *table = tables;
    for (int i = 0; i < p->count; i++) {
        fc_step *s = &p->steps[i];
        if (s->kind != FC_STEP_CONV)
            continue;
        ptrdiff_t *offset = (ptrdiff_t *)(void *)table;
        const ptrdiff_t pitch = (fc_step_is_padded(s) ? pitch_of(s) : s->src[1]) * s->ic;
        s->offsets = offset;
        for (ptrdiff_t h = 0; h < s->kernel[0]; h++)
            for (ptrdiff_t w = 0; w < s->kernel[1]; w++)
                for (ptrdiff_t c = 0; c < s->ic / s->groups; c++)
                    *offset++ = h * s->dilation[0] * pitch + w * s->dilation[1] * s->ic + c;
        table += round_up(s->products * (ptrdiff_t)sizeof(ptrdiff_t));
        offset = (ptrdiff_t *)(void *)table;
        s->plane_offsets = offset;
        for (ptrdiff_t h = 0; h < s->kernel[0]; h++)
            for (ptrdiff_t w = 0; w < s->kernel[1]; w++)
                for (ptrdiff_t c = 0; c < s->ic / s->groups; c++)
                    *offset++ = (c * s->src[0] + h * s->dilation[0]) * s->src[1] + w * s->dilation[1];
        table += round_up(s->products * (ptrdiff_t)sizeof(ptrdiff_t));
    }
}

/* ---- running ----------------------------------------------------------------------------------------------- */

typedef struct {
    const fc_program *program;
    ptrdiff_t n;
    const char *src;
    char *dst, *workspace;
    ptrdiff_t block; /* images */
} program_call;

/* `live` images of one group through the spatial steps. */
static void run_group(const workspace *w, const char *src, int live, char *handed)
{
    const fc_program *p = w->thread.program;
    char *from = p->dense > 0 ? w->spatial[0] : handed;
    w->thread.kernels->gather(src, p->read, live, p->read, from);
    for (int i = 0, next; i < p->dense; i = next) {
        const fc_step *s = &p->steps[i];
        const bool pooled = i + 1 < p->dense && takes_band(p, i + 1);
        next = pooled ? i + 2 : i + 1;
        char *const to = next == p->dense ? handed : w->spatial[from == w->spatial[0]];
        if (pooled)
            fc_step_pooled(&w->thread, s, from, w->band, to);
        else
            fc_step_lanes(&w->thread, s, 1, (fc_lanes_buffer){from, 0}, (fc_lanes_buffer){to, 0});
        from = to;
    }
}

static void run_lanes(const workspace *w, const char *src, ptrdiff_t images, char *dst)
{
    const fc_program *p = w->thread.program;
    const int groups = (int)fc_divide_up(images, p->lanes);
    fc_lanes_buffer from = {w->handed, handed_elements(p)};
    for (int g = 0; g < groups; g++) {
        const ptrdiff_t first = (ptrdiff_t)g * p->lanes;
        run_group(w, src + first * p->read * w->thread.element, (int)fc_min(images - first, p->lanes),
                  from.data + g * from.step * p->lanes * w->thread.element);
    }
    for (int i = p->dense; i < p->count; i++) {
        const fc_lanes_buffer to = {w->dense[i % 2], fc_step_made(&p->steps[i])};
        fc_step_lanes(&w->thread, &p->steps[i], groups, from, to);
        from = to;
    }
    for (int g = 0; g < groups; g++) {
        const ptrdiff_t first = (ptrdiff_t)g * p->lanes;
        w->thread.kernels->scatter(from.data + g * from.step * p->lanes * w->thread.element, p->made,
                                   (int)fc_min(images - first, p->lanes), p->made,
                                   dst + first * p->made * w->thread.element);
    }
}

static void run_image(const workspace *w, const char *src, char *dst)
{
    const fc_program *p = w->thread.program;
    for (int i = 0; i < p->count; i++) {
        char *const to = i + 1 == p->count ? dst : i < p->dense ? w->spatial[i % 2] : w->dense[i % 2];
        if (i < p->planes)
            fc_step_planes(&w->thread, &p->steps[i], src, to);
        else
            fc_step_pixels(&w->thread, &p->steps[i], p->planes > 0 && i == p->planes, src, to);
        src = to;
    }
}

/* Units of work: blocks of images. */
static void run_blocks(const void *context, fc_part part)
{
    const program_call *call = context;
    const fc_program *p = call->program;
    arena a = {call->workspace + (size_t)part.thread * p->thread_bytes, 0};
    const workspace w = lay_out(p, &a);
    const ptrdiff_t read = p->read * w.thread.element, made = p->made * w.thread.element;
    ptrdiff_t begin, end;
    fc_share_of(fc_divide_up(call->n, call->block), part, &begin, &end);
    for (ptrdiff_t first = begin * call->block, last = fc_min(end * call->block, call->n); first < last;) {
        ptrdiff_t images = fc_min(call->block, last - first);
        const ptrdiff_t rest = images % p->lanes;
        if (images - rest + (2 * rest > p->lanes ? rest : 0) > 0) {
            images -= 2 * rest > p->lanes ? 0 : rest;
            run_lanes(&w, call->src + first * read, images, call->dst + first * made);
        } else {
            images = 1;
            run_image(&w, call->src + first * read, call->dst + first * made);
        }
        first += images;
    }
}

fc_status fc_program_run(const fc_program *p, ptrdiff_t n, const void *src, void *dst, void *workspace, int threads)
{
    const ptrdiff_t groups = fc_divide_up(fc_divide_up(n, p->lanes), threads);
    const program_call call = {
        .program = p,
        .n = n,
        .src = src,
        .dst = dst,
        .workspace = workspace,
        .block = p->lanes * fc_max_extent(fc_min(groups, p->groups), 1),
    };
    return n > 0 ? fc_parallel(fc_crew_for(p->work * (double)n, threads), run_blocks, &call) : FC_OK;
}
