#include "parallel.h"

#ifdef FC_OPENMP
#include <omp.h>
#endif

/* Below this many multiply-adds a thread costs more than it brings: a libgomp region takes about 2 us to enter. */
static const double LEAST_WORK = 5e5;

void fc_parallel(int threads, fc_body *body, const void *context)
{
#ifdef FC_OPENMP
    if (threads > 1) {
#pragma omp parallel num_threads(threads)
        body(context, omp_get_thread_num(), omp_get_num_threads());
        return;
    }
#endif
    (void)threads;
    body(context, 0, 1);
}

int fc_threads_for(double work, int threads)
{
    double useful = work / LEAST_WORK;
    if (threads <= 1 || useful < 2)
        return 1;
    return useful < threads ? (int)useful : threads;
}

void fc_share(ptrdiff_t count, int thread, int threads, ptrdiff_t *begin, ptrdiff_t *end)
{
    ptrdiff_t each = count / threads, left = count % threads;
    *begin = thread * each + (thread < left ? thread : left);
    *end = *begin + each + (thread < left);
}

bool fc_openmp(void)
{
#ifdef FC_OPENMP
    return true;
#else
    return false;
#endif
}

int fc_max_threads(void)
{
#ifdef FC_OPENMP
    return omp_get_max_threads();
#else
    return 1;
#endif
}
