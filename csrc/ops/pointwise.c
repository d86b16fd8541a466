/* Activations, softmax and bias gradients over threads. Every element, row, column or channel belongs to one unit of
 * work whose arithmetic does not depend on where the units are cut. */
#include "dispatch/pointwise_kernels.h"
#include "geometry.h"
#include "parallel.h"

enum {
    CHUNK = 4096,       /* elements that one thread takes at a time: whole cache lines and pages */
    COLUMN_BLOCK = 256, /* columns of a softmax that one thread takes at a time */
    SUM_BLOCK = 64,     /* contiguous channels whose sums one thread takes at a time */
    /* What an element costs, in multiply-adds: one that streams, and one that goes through exp. */
    COST_STREAM = 10,
    COST_EXP = 32,
};

static size_t element_bytes(fc_dtype dtype) { return dtype == FC_F32 ? 4 : 8; }

static const void *at(const void *p, fc_dtype dtype, ptrdiff_t i)
{
    return (const char *)p + i * (ptrdiff_t)element_bytes(dtype);
}

static void *at_mutable(void *p, fc_dtype dtype, ptrdiff_t i)
{
    return (char *)p + i * (ptrdiff_t)element_bytes(dtype);
}

static const struct fc_pointwise_kernels *kernels_for(fc_isa isa, fc_dtype dtype)
{
    return fc_kernels_for(isa, dtype)->pointwise;
}

static int activation_cost(fc_activation kind)
{
    switch (kind) {
    case FC_IDENTITY:
    case FC_RELU:
    case FC_RELU6:
    case FC_LEAKY_RELU:
    case FC_HARD_SIGMOID:
    case FC_HARD_SWISH:
        return COST_STREAM;
    default:
        return COST_EXP;
    }
}

/* ---- activations ------------------------------------------------------------------------------------------- */

typedef struct {
    const struct fc_pointwise_kernels *kernels;
    fc_dtype dtype;
    fc_activation kind;
    double alpha, beta;
    ptrdiff_t count;
    const void *grad, *src; /* grad: NULL forward */
    void *dst;
} activation_job;

static void activation_body(const void *context, fc_part part)
{
    const activation_job *job = context;
    ptrdiff_t begin, end;
    fc_share_of(fc_divide_up(job->count, CHUNK), part, &begin, &end);
    begin = fc_min(begin * CHUNK, job->count);
    end = fc_min(end * CHUNK, job->count);
    const void *src = at(job->src, job->dtype, begin);
    void *dst = at_mutable(job->dst, job->dtype, begin);
    if (job->grad)
        job->kernels->activation_grad(job->kind, job->alpha, job->beta, end - begin, at(job->grad, job->dtype, begin),
                                      src, dst);
    else
        job->kernels->activation(job->kind, job->alpha, job->beta, end - begin, src, dst);
}

static fc_status activation(const activation_job *job, int threads)
{
    if (job->count <= 0)
        return FC_OK;
    const double work = (double)job->count * activation_cost(job->kind);
    return fc_parallel(fc_crew_for(work, threads), activation_body, job);
}

fc_status fc_activation_run(fc_dtype dtype, fc_isa isa, fc_activation kind, double alpha, double beta, ptrdiff_t count,
                            const void *src, void *dst, int threads)
{
    return activation(&(activation_job){kernels_for(isa, dtype), dtype, kind, alpha, beta, count, NULL, src, dst},
                      threads);
}

fc_status fc_activation_grad(fc_dtype dtype, fc_isa isa, fc_activation kind, double alpha, double beta, ptrdiff_t count,
                             const void *grad, const void *saved, void *dst, int threads)
{
    return activation(&(activation_job){kernels_for(isa, dtype), dtype, kind, alpha, beta, count, grad, saved, dst},
                      threads);
}

/* ---- softmax ----------------------------------------------------------------------------------------------- */

typedef struct {
    const struct fc_pointwise_kernels *kernels;
    fc_dtype dtype;
    bool logarithm;
    ptrdiff_t outer, axis, inner;
    const void *grad, *src; /* grad: NULL forward */
    void *dst;
} softmax_job;

/* Units are rows where the axis is contiguous, else blocks of columns. */
static ptrdiff_t softmax_units(const softmax_job *job)
{
    return job->inner == 1 ? job->outer : job->outer * fc_divide_up(job->inner, COLUMN_BLOCK);
}

static void softmax_columns(const softmax_job *job, ptrdiff_t unit)
{
    const ptrdiff_t blocks = fc_divide_up(job->inner, COLUMN_BLOCK), first = unit % blocks * COLUMN_BLOCK;
    const ptrdiff_t offset = unit / blocks * job->axis * job->inner + first;
    const ptrdiff_t columns = fc_min(COLUMN_BLOCK, job->inner - first);
    const void *src = at(job->src, job->dtype, offset);
    void *dst = at_mutable(job->dst, job->dtype, offset);
    if (job->grad)
        job->kernels->softmax_columns_grad(job->logarithm, job->axis, job->inner, columns,
                                           at(job->grad, job->dtype, offset), src, dst);
    else
        job->kernels->softmax_columns(job->logarithm, job->axis, job->inner, columns, src, dst);
}

static void softmax_body(const void *context, fc_part part)
{
    const softmax_job *job = context;
    ptrdiff_t begin, end;
    fc_share_of(softmax_units(job), part, &begin, &end);
    if (job->inner != 1) {
        for (ptrdiff_t unit = begin; unit < end; unit++)
            softmax_columns(job, unit);
        return;
    }
    const ptrdiff_t offset = begin * job->axis;
    const void *src = at(job->src, job->dtype, offset);
    void *dst = at_mutable(job->dst, job->dtype, offset);
    if (job->grad)
        job->kernels->softmax_rows_grad(job->logarithm, end - begin, job->axis, at(job->grad, job->dtype, offset), src,
                                        dst);
    else
        job->kernels->softmax_rows(job->logarithm, end - begin, job->axis, src, dst);
}

static fc_status softmax(const softmax_job *job, int threads)
{
    if (job->outer <= 0 || job->axis <= 0 || job->inner <= 0)
        return FC_OK;
    const double work = (double)job->outer * (double)job->axis * (double)job->inner * COST_EXP;
    return fc_parallel(fc_crew_for(work, threads), softmax_body, job);
}

fc_status fc_softmax_run(fc_dtype dtype, fc_isa isa, bool logarithm, ptrdiff_t outer, ptrdiff_t axis, ptrdiff_t inner,
                         const void *src, void *dst, int threads)
{
    return softmax(&(softmax_job){kernels_for(isa, dtype), dtype, logarithm, outer, axis, inner, NULL, src, dst},
                   threads);
}

fc_status fc_softmax_grad(fc_dtype dtype, fc_isa isa, bool logarithm, ptrdiff_t outer, ptrdiff_t axis, ptrdiff_t inner,
                          const void *grad, const void *result, void *dst, int threads)
{
    return softmax(&(softmax_job){kernels_for(isa, dtype), dtype, logarithm, outer, axis, inner, grad, result, dst},
                   threads);
}

/* ---- bias gradient ----------------------------------------------------------------------------------------- */

typedef struct {
    const struct fc_pointwise_kernels *kernels;
    fc_dtype dtype;
    bool rows; /* the channels are contiguous */
    ptrdiff_t n, channels, pixels;
    const void *grad;
    void *out;
} bias_job;

/* A unit is one channel of planes, or a block of contiguous channels: never a part of a sum. */
static void bias_body(const void *context, fc_part part)
{
    const bias_job *job = context;
    ptrdiff_t begin, end;
    if (job->rows) {
        fc_share_of(fc_divide_up(job->channels, SUM_BLOCK), part, &begin, &end);
        begin = fc_min(begin * SUM_BLOCK, job->channels);
        end = fc_min(end * SUM_BLOCK, job->channels);
        job->kernels->sum_columns(job->n * job->pixels, job->channels, end - begin, at(job->grad, job->dtype, begin),
                                  at_mutable(job->out, job->dtype, begin));
        return;
    }
    fc_share_of(job->channels, part, &begin, &end);
    for (ptrdiff_t c = begin; c < end; c++)
        job->kernels->sum_planes(job->n, job->channels * job->pixels, job->pixels,
                                 at(job->grad, job->dtype, c * job->pixels), at_mutable(job->out, job->dtype, c));
}

fc_status fc_bias_grad(fc_dtype dtype, fc_layout layout, fc_isa isa, ptrdiff_t n, ptrdiff_t channels, ptrdiff_t pixels,
                       const void *grad, void *out, int threads)
{
    if (n < 0 || channels < 0 || pixels < 0)
        return FC_BAD_SHAPE;
    const bool rows = pixels == 1 || (layout == FC_CHANNELS_LAST && channels > 1);
    const double work = (double)n * (double)channels * (double)pixels * COST_STREAM;
    return fc_parallel(fc_crew_for(work, threads), bias_body,
                       &(bias_job){kernels_for(isa, dtype), dtype, rows, n, channels, pixels, grad, out});
}
