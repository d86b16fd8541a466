/* Normalisation over threads. Moments and sums are taken of slots, an image's channel each (or of up to FC_NORM_ROWS
 * pixels of it, channels last), and put together in a fixed order, so that no result depends on the threads. */
#include <math.h>

#include "dispatch/norm_kernels.h"
#include "dispatch/pointwise_kernels.h"
#include "geometry.h"
#include "parallel.h"

enum {
    COLUMN_BLOCK = 64, /* channels that one unit of work takes, channels last */
    CHUNK = 4096,      /* elements that are scaled and activated before the next: they stay in L1 */
    LAYER_PARTS = 64,  /* partial sums over rows, whatever the threads */
    COST_SUM = 8,      /* what an element costs, in multiply-adds of fc_crew_for */
    COST_SCALE = 8,
};

static ptrdiff_t real_bytes(fc_dtype dtype) { return dtype == FC_F32 ? 4 : 8; }

static const char *at(const void *p, fc_dtype dtype, ptrdiff_t i) { return (const char *)p + i * real_bytes(dtype); }

static double read_real(const void *p, fc_dtype dtype, ptrdiff_t i)
{
    return dtype == FC_F32 ? (double)((const float *)p)[i] : ((const double *)p)[i];
}

static void write_real(void *p, fc_dtype dtype, ptrdiff_t i, double value)
{
    if (dtype == FC_F32)
        ((float *)p)[i] = (float)value;
    else
        ((double *)p)[i] = value;
}

/* ---- slots -------------------------------------------------------------------------------------------------- */

/* The array as images of rows. Channels first, a row is an image's channel, `length` pixels; channels last, an image
 * has `pixels` rows of `channels`, cut into chunks. For a batch's statistics all images are one there. */
typedef struct {
    bool planes;
    ptrdiff_t images, channels, pixels;
    ptrdiff_t chunks; /* of an image's pixels; 1 for planes */
} norm_view;

static norm_view view_of(const fc_norm_desc *desc)
{
    norm_view view = {desc->layout == FC_CHANNELS_FIRST && desc->pixels > 1, desc->n, desc->channels, desc->pixels, 1};
    if (view.planes)
        return view;
    if (desc->kind == FC_NORM_BATCH) {
        view.pixels *= view.images;
        view.images = 1;
    }
    view.chunks = fc_divide_up(view.pixels, FC_NORM_ROWS);
    return view;
}

static ptrdiff_t chunk_rows(const norm_view *view, ptrdiff_t chunk)
{
    return fc_min(FC_NORM_ROWS, view->pixels - chunk * FC_NORM_ROWS);
}

ptrdiff_t fc_norm_sets(const fc_norm_desc *desc)
{
    return desc->kind == FC_NORM_BATCH      ? desc->channels
           : desc->kind == FC_NORM_INSTANCE ? desc->n * desc->channels
                                            : desc->n * desc->groups;
}

/* Slots of two doubles each, then four arrays of factors: one of each for an image's channel. */
size_t fc_norm_workspace(const fc_norm_desc *desc)
{
    const norm_view view = view_of(desc);
    const ptrdiff_t slots = fc_saturate(fc_saturate(view.images, view.chunks), view.channels);
    const ptrdiff_t factors = fc_saturate(desc->n, desc->channels);
    const ptrdiff_t bytes = fc_saturate(slots, 16), more = fc_saturate(factors, 32);
    return bytes > PTRDIFF_MAX - more ? SIZE_MAX : (size_t)(bytes + more);
}

typedef struct {
    const fc_norm_desc *desc;
    const struct fc_norm_kernels *kernels;
    const struct fc_pointwise_kernels *pointwise;
    norm_view view;
    const void *src, *grad;
    void *dst;
    fc_moments *moments;
    fc_norm_sums *sums;                 /* in the same place */
    char *mean, *scale, *shift, *slope; /* of an image's channel each, in the elements' type */
    bool per_image;                     /* whether they are, or of a channel */
} norm_job;

static norm_job job_make(const fc_norm_desc *desc, void *workspace)
{
    const fc_kernels *kernels = fc_kernels_for(desc->isa, desc->dtype);
    norm_job job = {.desc = desc, .kernels = kernels->norm, .pointwise = kernels->pointwise, .view = view_of(desc)};
    const ptrdiff_t slots = job.view.images * job.view.chunks * job.view.channels;
    const ptrdiff_t bytes = desc->n * desc->channels * real_bytes(desc->dtype);
    job.moments = workspace;
    job.sums = workspace;
    job.mean = (char *)workspace + slots * 16;
    job.scale = job.mean + bytes;
    job.shift = job.scale + bytes;
    job.slope = job.shift + bytes;
    job.per_image = desc->kind != FC_NORM_BATCH;
    return job;
}

static double elements(const fc_norm_desc *desc)
{
    return (double)desc->n * (double)desc->channels * (double)desc->pixels;
}

/* Units of work: planes; or a chunk of an image's pixels by a block of its channels. */
static ptrdiff_t units_of(const norm_view *view)
{
    if (view->planes)
        return view->images * view->channels;
    return view->images * view->chunks * fc_divide_up(view->channels, COLUMN_BLOCK);
}

/* A unit channels last: where it begins in the array and in the slots, and its extent. */
typedef struct {
    ptrdiff_t image, first, columns, rows, offset, slot;
} norm_block;

static norm_block block_of(const norm_view *view, ptrdiff_t unit)
{
    const ptrdiff_t blocks = fc_divide_up(view->channels, COLUMN_BLOCK), first = unit % blocks * COLUMN_BLOCK;
    const ptrdiff_t chunk = unit / blocks % view->chunks, image = unit / blocks / view->chunks;
    return (norm_block){
        .image = image,
        .first = first,
        .columns = fc_min(COLUMN_BLOCK, view->channels - first),
        .rows = chunk_rows(view, chunk),
        .offset = (image * view->pixels + chunk * FC_NORM_ROWS) * view->channels + first,
        .slot = (image * view->chunks + chunk) * view->channels + first,
    };
}

/* ---- statistics --------------------------------------------------------------------------------------------- */

static void moments_body(const void *context, fc_part part)
{
    const norm_job *job = context;
    const fc_dtype dtype = job->desc->dtype;
    ptrdiff_t begin, end;
    fc_share_of(units_of(&job->view), part, &begin, &end);
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        if (job->view.planes) {
            job->kernels->moments_row(job->view.pixels, at(job->src, dtype, unit * job->view.pixels),
                                      &job->moments[unit]);
            continue;
        }
        const norm_block block = block_of(&job->view, unit);
        job->kernels->moments_columns(block.rows, job->view.channels, block.columns, at(job->src, dtype, block.offset),
                                      &job->moments[block.slot]);
    }
}

/* Of a set: what its slots say together. */
typedef struct {
    double count, mean, squares;
} norm_total;

static void join(norm_total *total, fc_moments slot, double count)
{
    const double all = total->count + count, off = slot.mean - total->mean, share = count / all;
    total->squares += slot.squares + off * off * share * total->count;
    total->mean += off * share;
    total->count = all;
}

/* All slots of channels [first, first + channels) of images [image, end). */
static norm_total total_of(const norm_job *job, ptrdiff_t image, ptrdiff_t end, ptrdiff_t first, ptrdiff_t channels)
{
    const norm_view *view = &job->view;
    norm_total total = {0, 0, 0};
    for (; image < end; image++)
        for (ptrdiff_t chunk = 0; chunk < view->chunks; chunk++)
            for (ptrdiff_t c = first; c < first + channels; c++)
                join(&total, job->moments[(image * view->chunks + chunk) * view->channels + c],
                     view->planes ? (double)view->pixels : (double)chunk_rows(view, chunk));
    return total;
}

fc_status fc_norm_statistics(const fc_norm_desc *desc, const void *src, double *mean, double *variance, void *workspace,
                             int threads)
{
    norm_job job = job_make(desc, workspace);
    job.src = src;
    if (fc_parallel(fc_crew_for(elements(desc) * COST_SUM, threads), moments_body, &job))
        return FC_STOPPED;
    const ptrdiff_t per_image = desc->kind == FC_NORM_GROUP ? desc->groups : desc->channels;
    const ptrdiff_t channels = desc->channels / per_image, sets = fc_norm_sets(desc);
    for (ptrdiff_t set = 0; set < sets; set++) {
        const ptrdiff_t image = set / per_image, first = set % per_image * channels;
        const norm_total total = job.per_image ? total_of(&job, image, image + 1, first, channels)
                                               : total_of(&job, 0, job.view.images, set, 1);
        mean[set] = total.mean;
        variance[set] = total.squares / total.count;
    }
    return FC_OK;
}

/* ---- scaling ------------------------------------------------------------------------------------------------ */

static void activate(const norm_job *job, ptrdiff_t count, char *dst)
{
    if (job->desc->activation != FC_IDENTITY)
        job->pointwise->activation(job->desc->activation, job->desc->alpha, job->desc->beta, count, dst, dst);
}

static fc_norm_factors factors_at(const norm_job *job, ptrdiff_t index)
{
    const ptrdiff_t offset = index * real_bytes(job->desc->dtype);
    return (fc_norm_factors){job->mean + offset, job->scale + offset, job->shift + offset, job->slope + offset};
}

static void scale_plane(const norm_job *job, ptrdiff_t plane)
{
    const fc_dtype dtype = job->desc->dtype;
    const ptrdiff_t pixels = job->view.pixels;
    const fc_norm_factors factors = factors_at(job, job->per_image ? plane : plane % job->view.channels);
    for (ptrdiff_t i = 0; i < pixels; i += CHUNK) {
        const ptrdiff_t count = fc_min(CHUNK, pixels - i), offset = plane * pixels + i;
        char *dst = (char *)job->dst + offset * real_bytes(dtype);
        job->kernels->row(count, at(job->src, dtype, offset), job->grad ? at(job->grad, dtype, offset) : NULL, &factors,
                          dst);
        activate(job, count, dst);
    }
}

/* Whole rows of channels: [begin, end) of all the images' pixels. */
static void scale_rows(const norm_job *job, ptrdiff_t begin, ptrdiff_t end)
{
    const fc_dtype dtype = job->desc->dtype;
    const ptrdiff_t channels = job->view.channels, pixels = job->view.pixels;
    const ptrdiff_t most = fc_max_extent(1, CHUNK / channels);
    while (begin < end) {
        const ptrdiff_t image = begin / pixels;
        const ptrdiff_t rows = fc_min(fc_min(most, end - begin), (image + 1) * pixels - begin);
        const ptrdiff_t offset = begin * channels;
        const fc_norm_factors factors = factors_at(job, job->per_image ? image * channels : 0);
        char *dst = (char *)job->dst + offset * real_bytes(dtype);
        job->kernels->columns(rows, channels, channels, at(job->src, dtype, offset),
                              job->grad ? at(job->grad, dtype, offset) : NULL, &factors, dst);
        activate(job, rows * channels, dst);
        begin += rows;
    }
}

static void scale_body(const void *context, fc_part part)
{
    const norm_job *job = context;
    ptrdiff_t begin, end;
    if (!job->view.planes) {
        fc_share_of(job->view.images * job->view.pixels, part, &begin, &end);
        scale_rows(job, begin, end);
        return;
    }
    fc_share_of(units_of(&job->view), part, &begin, &end);
    for (ptrdiff_t plane = begin; plane < end; plane++)
        scale_plane(job, plane);
}

/* The set of an image's channel. */
static ptrdiff_t set_of(const fc_norm_desc *desc, ptrdiff_t image, ptrdiff_t channel)
{
    return desc->kind == FC_NORM_BATCH      ? channel
           : desc->kind == FC_NORM_INSTANCE ? image * desc->channels + channel
                                            : image * desc->groups + channel / (desc->channels / desc->groups);
}

/* What multiplies and what is added to a value; the mean's own rounding goes into the latter. */
static void write_factors(const norm_job *job, ptrdiff_t i, double mean, double scale, double shift, double slope)
{
    const fc_dtype dtype = job->desc->dtype;
    const double rounded = dtype == FC_F32 ? (double)(float)mean : mean;
    write_real(job->mean, dtype, i, rounded);
    write_real(job->scale, dtype, i, scale);
    write_real(job->shift, dtype, i, shift + (rounded - mean) * scale);
    write_real(job->slope, dtype, i, slope);
}

fc_status fc_norm_run(const fc_norm_desc *desc, const void *src, const double *mean, const double *variance,
                      const void *weight, const void *bias, void *dst, void *workspace, int threads)
{
    norm_job job = job_make(desc, workspace);
    job.src = src;
    job.dst = dst;
    for (ptrdiff_t image = 0; image < (job.per_image ? desc->n : 1); image++) {
        for (ptrdiff_t c = 0; c < desc->channels; c++) {
            const ptrdiff_t set = set_of(desc, image, c);
            const double scale = (weight ? read_real(weight, desc->dtype, c) : 1) / sqrt(variance[set] + desc->eps);
            const double shift = bias ? read_real(bias, desc->dtype, c) : 0;
            write_factors(&job, image * desc->channels + c, mean[set], scale, shift, 0);
        }
    }
    return fc_parallel(fc_crew_for(elements(desc) * COST_SCALE, threads), scale_body, &job);
}

/* ---- backward ----------------------------------------------------------------------------------------------- */

static void sums_body(const void *context, fc_part part)
{
    const norm_job *job = context;
    const fc_dtype dtype = job->desc->dtype;
    ptrdiff_t begin, end;
    fc_share_of(units_of(&job->view), part, &begin, &end);
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        if (job->view.planes) {
            const ptrdiff_t offset = unit * job->view.pixels;
            const ptrdiff_t factor = job->per_image ? unit : unit % job->view.channels;
            job->kernels->sums_row(job->view.pixels, at(job->src, dtype, offset), at(job->grad, dtype, offset),
                                   read_real(job->mean, dtype, factor), &job->sums[unit]);
            continue;
        }
        const norm_block block = block_of(&job->view, unit);
        const ptrdiff_t factor = (job->per_image ? block.image * job->view.channels : 0) + block.first;
        job->kernels->sums_columns(block.rows, job->view.channels, block.columns, at(job->src, dtype, block.offset),
                                   at(job->grad, dtype, block.offset), at(job->mean, dtype, factor),
                                   &job->sums[block.slot]);
    }
}

/* The sums of one channel of images [image, end), about the mean itself. */
static fc_norm_sums sums_of(const norm_job *job, ptrdiff_t image, ptrdiff_t end, ptrdiff_t c, double mean)
{
    const norm_view *view = &job->view;
    const double rounded = job->desc->dtype == FC_F32 ? (double)(float)mean : mean;
    fc_norm_sums total = {0, 0};
    for (; image < end; image++) {
        for (ptrdiff_t chunk = 0; chunk < view->chunks; chunk++) {
            const fc_norm_sums slot = job->sums[(image * view->chunks + chunk) * view->channels + c];
            total.grad += slot.grad;
            total.product += slot.product;
        }
    }
    total.product += (rounded - mean) * total.grad;
    return total;
}

/* The factors of one set's gradient: dsrc = rstd (g w - mean of g w - (src - mean) rstd^2 mean of g w (src - mean)). */
static void backward_set(const norm_job *job, const void *weight, ptrdiff_t image, ptrdiff_t first, ptrdiff_t channels,
                         double mean, double variance, bool constant)
{
    const fc_norm_desc *desc = job->desc;
    const double rstd = 1 / sqrt(variance + desc->eps);
    const ptrdiff_t from = job->per_image ? image : 0, to = job->per_image ? image + 1 : job->view.images;
    double sum = 0, product = 0, count = (double)channels * (double)desc->pixels;
    if (!job->per_image)
        count *= (double)desc->n;
    for (ptrdiff_t c = first; c < first + channels; c++) {
        const fc_norm_sums sums = sums_of(job, from, to, c, mean);
        const double w = weight ? read_real(weight, desc->dtype, c) : 1;
        sum += w * sums.grad;
        product += w * sums.product;
    }
    const double scale = constant ? 0 : -product / count * rstd * rstd * rstd;
    const double shift = constant ? 0 : -sum / count * rstd;
    for (ptrdiff_t c = first; c < first + channels; c++)
        write_factors(job, image * desc->channels + c, mean, scale, shift,
                      (weight ? read_real(weight, desc->dtype, c) : 1) * rstd);
}

static void weight_gradients(const norm_job *job, const double *mean, const double *variance, void *dweight,
                             void *dbias)
{
    const fc_norm_desc *desc = job->desc;
    for (ptrdiff_t c = 0; c < desc->channels; c++) {
        double of_weight = 0, of_bias = 0;
        for (ptrdiff_t image = 0; image < (job->per_image ? desc->n : 1); image++) {
            const ptrdiff_t set = set_of(desc, image, c);
            const fc_norm_sums sums = sums_of(job, image, job->per_image ? image + 1 : job->view.images, c, mean[set]);
            of_weight += sums.product / sqrt(variance[set] + desc->eps);
            of_bias += sums.grad;
        }
        if (dweight)
            write_real(dweight, desc->dtype, c, of_weight);
        if (dbias)
            write_real(dbias, desc->dtype, c, of_bias);
    }
}

fc_status fc_norm_backward(const fc_norm_desc *desc, const void *src, const void *grad, const double *mean,
                           const double *variance, const void *weight, bool constant, void *dsrc, void *dweight,
                           void *dbias, void *workspace, int threads)
{
    norm_job job = job_make(desc, workspace);
    job.src = src;
    job.grad = grad;
    job.dst = dsrc;
    const ptrdiff_t images = job.per_image ? desc->n : 1;
    for (ptrdiff_t i = 0; i < images * desc->channels; i++)
        write_factors(&job, i, mean[set_of(desc, i / desc->channels, i % desc->channels)], 0, 0, 0);
    if (fc_parallel(fc_crew_for(elements(desc) * COST_SUM, threads), sums_body, &job))
        return FC_STOPPED;
    if (dweight || dbias)
        weight_gradients(&job, mean, variance, dweight, dbias);
    if (!dsrc)
        return FC_OK;
    const ptrdiff_t channels = desc->kind == FC_NORM_GROUP ? desc->channels / desc->groups : 1;
    for (ptrdiff_t image = 0; image < images; image++) {
        for (ptrdiff_t first = 0; first < desc->channels; first += channels) {
            const ptrdiff_t set = set_of(desc, image, first);
            backward_set(&job, weight, image, first, channels, mean[set], variance[set], constant);
        }
    }
    fc_norm_desc plain = *desc;
    plain.activation = FC_IDENTITY;
    job.desc = &plain;
    return fc_parallel(fc_crew_for(elements(desc) * COST_SCALE, threads), scale_body, &job);
}

/* ---- layers ------------------------------------------------------------------------------------------------- */

typedef struct {
    const struct fc_norm_kernels *kernels;
    fc_dtype dtype;
    ptrdiff_t rows, count;
    double eps;
    const void *src, *grad, *weight, *bias;
    double *mean, *rstd;
    void *dst;
    char *sums; /* backward: of the weight and the bias, one pair for each part of the rows; NULL: not wanted */
} layer_job;

static void layer_statistics(const layer_job *job, ptrdiff_t row)
{
    fc_moments moments;
    job->kernels->moments_row(job->count, at(job->src, job->dtype, row * job->count), &moments);
    job->mean[row] = moments.mean;
    job->rstd[row] = 1 / sqrt(moments.squares / (double)job->count + job->eps);
}

static void layer_body(const void *context, fc_part part)
{
    const layer_job *job = context;
    ptrdiff_t begin, end;
    fc_share_of(job->rows, part, &begin, &end);
    for (ptrdiff_t row = begin; row < end; row++) {
        const ptrdiff_t offset = row * job->count * real_bytes(job->dtype);
        layer_statistics(job, row);
        job->kernels->layer_row(job->count, (const char *)job->src + offset, job->weight, job->bias, job->mean[row],
                                job->rstd[row], (char *)job->dst + offset);
    }
}

fc_status fc_layer_norm_run(fc_dtype dtype, fc_isa isa, ptrdiff_t rows, ptrdiff_t count, double eps, const void *src,
                            const void *weight, const void *bias, double *mean, double *rstd, void *dst, int threads)
{
    const layer_job job = {
        fc_kernels_for(isa, dtype)->norm, dtype, rows, count, eps, src, NULL, weight, bias, mean, rstd, dst, NULL};
    const double work = (double)rows * (double)count * (COST_SUM + COST_SCALE);
    return fc_parallel(fc_crew_for(work, threads), layer_body, &job);
}

static void layer_grad_part(const layer_job *job, ptrdiff_t part, ptrdiff_t begin, ptrdiff_t end)
{
    const ptrdiff_t bytes = job->count * real_bytes(job->dtype);
    for (ptrdiff_t row = begin; row < end; row++)
        layer_statistics(job, row);
    if (job->sums) {
        char *weights = job->sums + 2 * part * bytes;
        for (ptrdiff_t i = 0; i < 2 * job->count; i++)
            write_real(weights, job->dtype, i, 0);
        for (ptrdiff_t row = begin; row < end; row += FC_NORM_ROWS / 4)
            job->kernels->layer_sums(fc_min(FC_NORM_ROWS / 4, end - row), job->count, job->count,
                                     (const char *)job->src + row * bytes, (const char *)job->grad + row * bytes,
                                     job->mean + row, job->rstd + row, weights, weights + bytes);
    }
    for (ptrdiff_t row = begin; row < end && job->dst; row++)
        job->kernels->layer_row_grad(job->count, (const char *)job->src + row * bytes,
                                     (const char *)job->grad + row * bytes, job->weight, job->mean[row], job->rstd[row],
                                     (char *)job->dst + row * bytes);
}

static void layer_grad_body(const void *context, fc_part part)
{
    const layer_job *job = context;
    ptrdiff_t begin, end;
    fc_share_of(LAYER_PARTS, part, &begin, &end);
    for (ptrdiff_t part = begin; part < end; part++) {
        ptrdiff_t first, last;
        fc_share(job->rows, part, LAYER_PARTS, &first, &last);
        layer_grad_part(job, part, first, last);
    }
}

fc_status fc_layer_norm_backward(fc_dtype dtype, fc_isa isa, ptrdiff_t rows, ptrdiff_t count, double eps,
                                 const void *src, const void *grad, const void *weight, double *mean, double *rstd,
                                 void *dsrc, void *dweight, void *dbias, void *workspace, int threads)
{
    const bool sums = dweight || dbias;
    const layer_job job = {
        fc_kernels_for(isa, dtype)->norm, dtype, rows, count, eps, src, grad, weight, NULL, mean, rstd, dsrc,
        sums ? workspace : NULL};
    const double work = (double)rows * (double)count * (COST_SUM + 2 * COST_SCALE);
    if (fc_parallel(fc_crew_for(work, threads), layer_grad_body, &job))
        return FC_STOPPED;
    for (ptrdiff_t i = 0; sums && i < count; i++) {
        double of_weight = 0, of_bias = 0;
        for (ptrdiff_t part = 0; part < LAYER_PARTS; part++) {
            of_weight += read_real(workspace, dtype, 2 * part * count + i);
            of_bias += read_real(workspace, dtype, (2 * part + 1) * count + i);
        }
        if (dweight)
            write_real(dweight, dtype, i, of_weight);
        if (dbias)
            write_real(dbias, dtype, i, of_bias);
    }
    return FC_OK;
}
