#ifdef __linux__
#define _GNU_SOURCE /* the coarse clock */
#endif

#include "parallel.h"

#include "workers.h"

#include <stdatomic.h>
#include <time.h>

#ifdef FC_OPENMP
#include <omp.h>
#endif

/* Below this many multiply-adds a thread costs more than it brings. */
static const double LEAST_WORK = 5e5;

/* 60 to 200 us: waking a thread costs its caller 5 us, on a virtual machine 30 to 80, and it comes as much later. */
static const double BRIEF_WORK = 1.6e7;

/* Multiply-adds of a turn: 2 to 10 ms on a processor of today, a tenth of a second where one does a billion a second.
 */
static const double TURN_WORK = 1e8;
enum { MOST_TURNS = 1 << 20 };

/* Threads are never equally fast: a share is that many turns, so that others can help with it at its end, but none of
 * them is less than a turn's beginning deserves. */
static const double EVEN_TURNS = 8, LEAST_TURN = 2e6;

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

/* Shares of more threads than this are done by whoever comes. */
enum { MOST_SHARES = 256 };

typedef struct {
    fc_body *body;
    const void *context;
    int shares, turns;
    atomic_bool stop;
    _Atomic uint64_t gone[MOST_SHARES]; /* turns of a share: from its front in the lower half, from its back above */
} job;

/* The next turn of a share, from its front for its own thread and from its back for one that helps; false: none. */
static bool draw(job *j, int share, bool own, int *turn)
{
    const uint64_t one = own ? 1 : (uint64_t)1 << 32;
    uint64_t gone = atomic_load_explicit(&j->gone[share], memory_order_relaxed);
    do {
        const int front = (int)(uint32_t)gone, back = (int)(gone >> 32);
        if (front + back >= j->turns)
            return false;
        *turn = own ? front : j->turns - 1 - back;
    } while (!atomic_compare_exchange_weak_explicit(&j->gone[share], &gone, gone + one, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

/* A thread's own share, then what is left of the others'. The caller's own thread, the first, asks whether to stop; the
 * others see what it was told. */
static void take_turns(void *context, int thread)
{
    job *j = context;
    for (int i = 0; i < j->shares; i++) {
        const int share = (thread + i) % j->shares;
        for (int turn; draw(j, share, i == 0, &turn);) {
            j->body(j->context, (fc_part){thread, share, j->shares, turn, j->turns});
            if (j->turns == 1)
                continue;
            if (thread == 0 && fc_stopped())
                atomic_store_explicit(&j->stop, true, memory_order_relaxed);
            if (atomic_load_explicit(&j->stop, memory_order_relaxed))
                return;
        }
    }
}

fc_status fc_parallel(fc_crew crew, fc_body *body, const void *context)
{
    if (crew.threads == 1 && crew.turns == 1) {
        body(context, (fc_part){.shares = 1, .turns = 1});
        return FC_OK;
    }
    job j;
    j.body = body;
    j.context = context;
    j.shares = crew.threads < MOST_SHARES ? crew.threads : MOST_SHARES;
    j.turns = crew.turns;
    atomic_init(&j.stop, false);
    for (int i = 0; i < j.shares; i++)
        atomic_init(&j.gone[i], 0);
    fc_with_workers(crew.threads, crew.brief, take_turns, &j);
    return j.stop ? FC_STOPPED : FC_OK;
}

fc_crew fc_crew_for(double work, int threads)
{
    const double useful = work / LEAST_WORK;
    const int count = threads <= 1 || useful < 2 ? 1 : useful < threads ? (int)useful : threads;
    if (threads == FC_WITHIN)
        return (fc_crew){.threads = 1, .turns = 1};
    const double share = work / count, long_turns = share / TURN_WORK, even = share / LEAST_TURN;
    const double turns = count == 1 || long_turns > EVEN_TURNS ? long_turns : even < EVEN_TURNS ? even : EVEN_TURNS;
    return (fc_crew){count, turns < 2 ? 1 : turns < MOST_TURNS ? (int)turns : MOST_TURNS, work < BRIEF_WORK};
}

/* Where a turn of the units [first, last) begins. */
static ptrdiff_t turn_begin(ptrdiff_t first, ptrdiff_t last, int turn, int turns, ptrdiff_t run)
{
    ptrdiff_t begin, end;
    if (turn == 0 || turn == turns)
        return turn ? last : first;
    fc_share(last - first, turn, turns, &begin, &end);
    const ptrdiff_t over = (first + begin) % run;
    begin += first + (over ? run - over : 0);
    return begin < last ? begin : last;
}

void fc_share_of_runs(ptrdiff_t count, ptrdiff_t run, fc_part part, ptrdiff_t *begin, ptrdiff_t *end)
{
    ptrdiff_t first, last;
    fc_share(count, part.share, part.shares, &first, &last);
    *begin = turn_begin(first, last, part.turn, part.turns, run);
    *end = turn_begin(first, last, part.turn + 1, part.turns, run);
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
