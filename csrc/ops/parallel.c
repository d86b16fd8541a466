#ifdef __linux__
#define _GNU_SOURCE /* sched_getcpu, the affinity of one thread, the coarse clock */
#endif

#include "parallel.h"

#include <stdatomic.h>
#include <time.h>

#ifdef FC_OPENMP
#include <omp.h>
#ifdef __linux__
#include <sched.h>
#endif
#endif

/* Below this many multiply-adds a thread costs more than it brings: a libgomp region takes about 2 us to enter. */
static const double LEAST_WORK = 5e5;

/* Multiply-adds of a turn: 2 to 10 ms on a processor of today, a tenth of a second where one does a billion a second.
 */
static const double TURN_WORK = 1e8;
enum { MOST_TURNS = 1 << 20 };

/* ---- stopping ------------------------------------------------------------------------------------------------- */

static const double PERIOD = 0.05; /* seconds between two questions whether to stop */

static bool (*ask)(void); /* set once, when the library is loaded */

void fc_set_poll(bool (*poll)(void)) { ask = poll; }

static double seconds(void)
{
    struct timespec now;
#if defined(CLOCK_MONOTONIC_COARSE)
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now); /* 5 ns, exact to 4 ms */
#elif defined(CLOCK_MONOTONIC)
    clock_gettime(CLOCK_MONOTONIC, &now);
#else
    timespec_get(&now, TIME_UTC);
#endif
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

bool fc_stopped(void)
{
    static _Thread_local double asked;
    if (!ask)
        return false;
    const double now = seconds();
    if (now - asked < PERIOD && now >= asked)
        return false;
    asked = now;
    return ask();
}

/* ---- threads -------------------------------------------------------------------------------------------------- */

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

/* A thread's turns. The caller's own thread, the first, asks; the others see what it was told. */
static void take_turns(fc_crew crew, fc_body *body, const void *context, int thread, atomic_bool *stop)
{
    for (int turn = 0; turn < crew.turns; turn++) {
        body(context, (fc_part){thread, crew.threads, turn, crew.turns});
        if (crew.turns == 1)
            return;
        if (thread == 0 && fc_stopped())
            atomic_store_explicit(stop, true, memory_order_relaxed);
        if (atomic_load_explicit(stop, memory_order_relaxed))
            return;
    }
}

fc_status fc_parallel(fc_crew crew, fc_body *body, const void *context)
{
    atomic_bool stop = false;
#ifdef FC_OPENMP
    if (crew.threads > 1) {
        const int master = current_cpu();
#pragma omp parallel num_threads(crew.threads)
        {
            const int thread = omp_get_thread_num();
            if (thread > 0)
                leave_cpu(master);
            take_turns((fc_crew){omp_get_num_threads(), crew.turns}, body, context, thread, &stop);
        }
        return stop ? FC_STOPPED : FC_OK;
    }
#endif
    take_turns((fc_crew){1, crew.turns}, body, context, 0, &stop);
    return stop ? FC_STOPPED : FC_OK;
}

fc_crew fc_crew_for(double work, int threads)
{
    const double useful = work / LEAST_WORK, turns = work / TURN_WORK;
    const int count = threads <= 1 || useful < 2 ? 1 : useful < threads ? (int)useful : threads;
    return (fc_crew){count, threads == FC_WITHIN || turns < 2 * count
                                ? 1
                                : (int)(turns / count < MOST_TURNS ? turns / count : MOST_TURNS)};
}

void fc_share_of(ptrdiff_t count, fc_part part, ptrdiff_t *begin, ptrdiff_t *end)
{
    fc_share(count, part.thread, part.threads, begin, end);
    if (part.turns > 1) {
        const ptrdiff_t first = *begin;
        fc_share(*end - first, part.turn, part.turns, begin, end);
        *begin += first;
        *end += first;
    }
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
