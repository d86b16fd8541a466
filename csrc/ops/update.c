/* An optimizer's step and dropout over threads. Blocks have a fixed size, so that no bit depends on the threads. */
#include "dispatch/update_kernels.h"
#include "geometry.h"
#include "parallel.h"

enum {
    BLOCK = 16384,     /* elements that one thread takes at a time, a multiple of FC_DRAWN_TOGETHER */
    COST_UPDATE = 10,  /* of an element, in multiply-adds: it streams */
    COST_DROPOUT = 20, /* and so many more for ten rounds */
};

static const struct fc_update_kernels *kernels_for(fc_isa isa, fc_dtype dtype)
{
    return fc_kernels_for(isa, dtype)->update;
}

static ptrdiff_t element_bytes(fc_dtype dtype) { return dtype == FC_F32 ? 4 : 8; }

/* ---- optimizers -------------------------------------------------------------------------------------------- */

typedef struct {
    fc_isa isa;
    const fc_update *update;
    int count;
    const fc_variable *variables;
    ptrdiff_t blocks;
} update_job;

/* Units of work: blocks of all variables, one variable after the other. */
static void update_body(const void *context, fc_part part)
{
    const update_job *job = context;
    ptrdiff_t begin, end, before = 0;
    fc_share_of(job->blocks, part, &begin, &end);
    for (int i = 0; i < job->count && before < end; i++) {
        const fc_variable *v = &job->variables[i];
        const ptrdiff_t blocks = fc_divide_up(v->count, BLOCK);
        const ptrdiff_t first = fc_max_extent(begin - before, 0), last = fc_min(end - before, blocks);
        for (ptrdiff_t block = first; block < last; block++)
            kernels_for(job->isa, v->dtype)
                ->update(job->update, v, block * BLOCK, fc_min(BLOCK, v->count - block * BLOCK));
        before += blocks;
    }
}

void fc_update_run(fc_isa isa, const fc_update *update, int count, const fc_variable *variables, int threads)
{
    update_job job = {isa, update, count, variables, 0};
    double elements = 0;
    for (int i = 0; i < count; i++) {
        job.blocks += fc_divide_up(variables[i].count, BLOCK);
        elements += (double)variables[i].count;
    }
    /* in one turn: a step is taken whole */
    const fc_crew crew = fc_crew_for(COST_UPDATE * elements, threads);
    if (job.blocks > 0)
        fc_parallel((fc_crew){(int)fc_min(crew.threads, job.blocks), 1, crew.brief}, update_body, &job);
}

double fc_sum_squares(fc_dtype dtype, fc_isa isa, ptrdiff_t count, const void *x)
{
    return kernels_for(isa, dtype)->sum_squares(count, x);
}

/* ---- dropout ----------------------------------------------------------------------------------------------- */

typedef struct {
    const struct fc_update_kernels *kernels;
    const fc_draw *draw;
    ptrdiff_t rows, count, element;
    const char *src;
    char *dst;
} dropout_job;

/* Units of work: blocks of a row. */
static void dropout_body(const void *context, fc_part part)
{
    const dropout_job *job = context;
    const ptrdiff_t blocks = fc_divide_up(job->count, BLOCK);
    ptrdiff_t begin, end;
    fc_share_of(job->rows * blocks, part, &begin, &end);
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const ptrdiff_t row = unit / blocks, first = unit % blocks * BLOCK;
        const ptrdiff_t at = (row * job->count + first) * job->element;
        job->kernels->dropout(job->draw, row, first, fc_min(BLOCK, job->count - first), job->src + at, job->dst + at);
    }
}

fc_status fc_dropout_run(fc_dtype dtype, fc_isa isa, const fc_draw *draw, ptrdiff_t rows, ptrdiff_t count,
                         const void *src, void *dst, int threads)
{
    const dropout_job job = {kernels_for(isa, dtype), draw, rows, count, element_bytes(dtype), src, dst};
    if (rows <= 0 || count <= 0)
        return FC_OK;
    return fc_parallel(fc_crew_for(COST_DROPOUT * (double)rows * (double)count, threads), dropout_body, &job);
}
