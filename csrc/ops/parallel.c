#if defined(FC_OPENMP) && defined(__linux__)
#define _GNU_SOURCE /* sched_getcpu and the affinity of one thread */
#include <sched.h>
#endif

#include "parallel.h"

#ifdef FC_OPENMP
#include <omp.h>
#endif

/* Below this many multiply-adds a thread costs more than it brings: a libgomp region takes about 2 us to enter. */
static const double LEAST_WORK = 5e5;

#if defined(FC_OPENMP) && defined(__linux__)
static int current_cpu(void) { return sched_getcpu(); }

/* A worker that was woken on its master's processor waits there until the master sleeps, and the two take turns for
 * tens of milliseconds before the system parts them. It steps aside at once, and may then run anywhere again. */
static void leave_cpu(int taken)
{
    cpu_set_t allowed, others;
    if (taken < 0 || taken >= CPU_SETSIZE || sched_getcpu() != taken || sched_getaffinity(0, sizeof allowed, &allowed))
        return;
    others = allowed;
    CPU_CLR(taken, &others);
    if (CPU_COUNT(&others) > 0 && sched_setaffinity(0, sizeof others, &others) == 0)
        sched_setaffinity(0, sizeof allowed, &allowed);
}
#elif defined(FC_OPENMP)
static int current_cpu(void) { return -1; }
static void leave_cpu(int taken) { (void)taken; }
#endif

void fc_parallel(int threads, fc_body *body, const void *context)
{
#ifdef FC_OPENMP
    if (threads > 1) {
        const int master = current_cpu();
#pragma omp parallel num_threads(threads)
        {
            if (omp_get_thread_num() > 0)
                leave_cpu(master);
            body(context, omp_get_thread_num(), omp_get_num_threads());
        }
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
