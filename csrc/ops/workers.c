/* Threads that wait for work beside the caller's own.
 *
 * A call is done when its work is done. With OpenMP, whose regions end when every thread has arrived, a call also
 * waited for threads that came only to find that the others had done everything: where another program, or another
 * library of the same program, keeps a processor busy, that takes milliseconds. A caller here publishes its call,
 * begins, and closes the call when it finds nothing left to do. Only who has come by then is waited for.
 *
 * Workers are created when they are first wanted, as many as the largest call asked for, and serve all callers of the
 * process. Where the system refuses a thread, those that exist do the work. They end with the process; a child of a
 * fork has none, and works on its caller's threads alone (`_core`).
 */
#ifdef __linux__
#define _GNU_SOURCE /* sched_getcpu, the affinity of threads */
#endif

#include "workers.h"

#include "fastconv.h"

#ifndef _WIN32
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#ifdef __linux__
#include <sched.h>
#include <unistd.h>
#endif

/* Looks for work, or for the end of it, before a thread sleeps: 20 to 50 us. Waking one takes as long; but while it
 * looks, it takes its processor from whoever could use it. */
enum { LOOKS = 2000 };

/* Nanoseconds: about what waking a worker costs its caller, and as long as one looks. */
enum { PAUSE = 50 * 1000 };

typedef struct call call;
struct call {
    fc_errand *errand;
    void *context;
    call *next;
    int cpu;           /* where its caller runs; -1: nobody knows */
    int wanted, came;  /* workers */
    atomic_int inside; /* those that came and have not left */
};

/* Everything but the looks is under the lock. A call lies on its caller's stack, so whoever holds the lock may touch it
 * while it is open or while he is inside, and nobody else. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t opened, left;
    _Atomic(call *) open; /* calls that want workers, the latest first */
    atomic_int workers, asleep;
    int waiting;
    _Atomic int64_t busy_since, last_left; /* calls: when the first of those began that followed each other closely */
} crew = {.lock = PTHREAD_MUTEX_INITIALIZER, .opened = PTHREAD_COND_INITIALIZER, .left = PTHREAD_COND_INITIALIZER};

static call *first_open(void) { return atomic_load_explicit(&crew.open, memory_order_relaxed); }
static void set_first_open(call *c) { atomic_store_explicit(&crew.open, c, memory_order_relaxed); }

static int count(atomic_int *of) { return atomic_load_explicit(of, memory_order_relaxed); }

static int64_t now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

static void relax(void)
{
#if defined(__x86_64__)
    __asm__ volatile("pause");
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#ifdef __linux__
static int current_cpu(void) { return sched_getcpu(); }

/* A worker that was woken on its caller's processor waits there until the caller sleeps, and the two take turns for
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

/* A worker runs where the process may, not only where the thread that happened to be the first caller may. */
static void run_anywhere(void)
{
    cpu_set_t allowed;
    if (sched_getaffinity(getpid(), sizeof allowed, &allowed) == 0)
        sched_setaffinity(0, sizeof allowed, &allowed);
}
#else
static int current_cpu(void) { return -1; }
static void leave_cpu(int taken) { (void)taken; }
static void run_anywhere(void) {}
#endif

/* ---- a worker's life ------------------------------------------------------------------------------------------- */

static void join_and_work(void)
{
    call *c = first_open();
    const int thread = ++c->came;
    if (c->came == c->wanted)
        set_first_open(c->next);
    atomic_fetch_add_explicit(&c->inside, 1, memory_order_relaxed);
    pthread_mutex_unlock(&crew.lock);
    leave_cpu(c->cpu);
    c->errand(c->context, thread);
    pthread_mutex_lock(&crew.lock);
    if (atomic_fetch_sub_explicit(&c->inside, 1, memory_order_release) == 1 && crew.waiting)
        pthread_cond_broadcast(&crew.left);
}

static void *live(void *unused)
{
    (void)unused;
    run_anywhere();
    for (;;) {
        for (int i = 0; i < LOOKS && !first_open(); i++)
            relax();
        pthread_mutex_lock(&crew.lock);
        crew.asleep++;
        while (!first_open())
            pthread_cond_wait(&crew.opened, &crew.lock);
        crew.asleep--;
        join_and_work();
        pthread_mutex_unlock(&crew.lock);
    }
    return NULL;
}

/* Signals go to the program's own threads. */
static void hire(int workers)
{
    sigset_t all, before;
    pthread_t id;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (; count(&crew.workers) < workers && pthread_create(&id, NULL, live, NULL) == 0; crew.workers++)
        pthread_detach(id);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* ---- a caller's -------------------------------------------------------------------------------------------------- */

static void publish(call *c)
{
    pthread_mutex_lock(&crew.lock);
    if (count(&crew.workers) < c->wanted)
        hire(c->wanted);
    c->next = first_open();
    set_first_open(c);
    const int asleep = count(&crew.asleep);
    pthread_mutex_unlock(&crew.lock);
    if (asleep > 0 && asleep <= c->wanted)
        pthread_cond_broadcast(&crew.opened);
    else
        for (int i = 0; i < c->wanted && asleep > 0; i++)
            pthread_cond_signal(&crew.opened);
}

static void withdraw(call *c)
{
    pthread_mutex_lock(&crew.lock);
    if (c->came < c->wanted) {
        if (first_open() == c)
            set_first_open(c->next);
        else {
            call *newer = first_open();
            while (newer->next != c)
                newer = newer->next;
            newer->next = c->next;
        }
    }
    pthread_mutex_unlock(&crew.lock);
}

static bool somebody_inside(call *c) { return atomic_load_explicit(&c->inside, memory_order_acquire) > 0; }

static void wait_for_the_last(call *c)
{
    for (int i = 0; i < LOOKS && somebody_inside(c); i++)
        relax();
    if (!somebody_inside(c))
        return;
    pthread_mutex_lock(&crew.lock);
    crew.waiting++;
    while (somebody_inside(c))
        pthread_cond_wait(&crew.left, &crew.lock);
    crew.waiting--;
    pthread_mutex_unlock(&crew.lock);
}

static atomic_bool wakes_always;

void fc_wake_always(bool always) { atomic_store_explicit(&wakes_always, always, memory_order_relaxed); }

/* Calls that have followed each other closely for as long as waking takes will hardly stop now. */
static bool calls_follow(void)
{
    const int64_t begin = now(), last = atomic_load_explicit(&crew.last_left, memory_order_relaxed);
    if (begin - last > PAUSE)
        atomic_store_explicit(&crew.busy_since, begin, memory_order_relaxed);
    return begin - atomic_load_explicit(&crew.busy_since, memory_order_relaxed) >= PAUSE;
}

void fc_with_workers(int threads, bool brief, fc_errand *errand, void *context)
{
    if (threads < 2) {
        errand(context, 0);
        return;
    }
    const bool follows = calls_follow(), awake = count(&crew.asleep) < count(&crew.workers);
    if (!brief || follows || awake || atomic_load_explicit(&wakes_always, memory_order_relaxed)) {
        call c = {.errand = errand, .context = context, .cpu = current_cpu(), .wanted = threads - 1};
        publish(&c);
        errand(context, 0);
        withdraw(&c);
        wait_for_the_last(&c);
    } else
        errand(context, 0);
    atomic_store_explicit(&crew.last_left, now(), memory_order_relaxed);
}

#else /* Windows */

void fc_wake_always(bool always) { (void)always; }

void fc_with_workers(int threads, bool brief, fc_errand *errand, void *context)
{
    (void)threads;
    (void)brief;
    errand(context, 0);
}

#endif
