/* Reusable blocks of memory: results and workspaces whose pages are already there.
 *
 * Touching a fresh page for the first time costs more than the convolution that fills it, so a block that is given
 * back waits here for the next call of its size. Sizes fall into classes, eight to a doubling, so a block is at most
 * an eighth larger than what was asked for; within a class the block that was given back last goes out first, while
 * it is still in cache. Past the limit the blocks that have waited longest go back to the system.
 *
 * An idle block keeps its own bookkeeping in its first bytes; a block that is lent out costs nothing.
 */
#ifndef _WIN32
#define _DEFAULT_SOURCE
#endif

#include "fastconv.h"

#include <stdlib.h>

#ifdef _WIN32
#include <malloc.h>
#include <windows.h>
#else
#include <pthread.h>
#include <sys/mman.h>
#endif

enum { STEPS = 8, EXPONENTS = 64, CLASSES = STEPS * EXPONENTS };

/* A block may come from its own class or from one of the two above: at most three eighths larger than needed. */
enum { CLASSES_TRIED = 3 };

/* From this size on a block is aligned to, and advised for, huge pages: 12 times less time for the first touch. */
static const size_t HUGE_PAGE = (size_t)2 << 20;

#ifdef __SANITIZE_ADDRESS__
enum { LIMIT_MB = 0 }; /* reused memory would hide what the sanitizer looks for */
#else
enum { LIMIT_MB = 512 };
#endif

typedef struct idle_block idle_block;
struct idle_block {
    idle_block *above, *below; /* in the stack of its class; the top has nothing above */
    idle_block *newer, *older; /* among all idle blocks */
    size_t capacity;
};

static struct {
    idle_block *top[CLASSES];
    idle_block *newest, *oldest;
    size_t idle, limit;
} pool = {.limit = (size_t)LIMIT_MB << 20};

/* ---- the lock, which a fork takes along in a known state ---------------------------------------------------- */

#ifdef _WIN32
static SRWLOCK mutex = SRWLOCK_INIT;
static void lock(void) { AcquireSRWLockExclusive(&mutex); }
static void unlock(void) { ReleaseSRWLockExclusive(&mutex); }
#else
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static void lock(void) { pthread_mutex_lock(&mutex); }
static void unlock(void) { pthread_mutex_unlock(&mutex); }

__attribute__((constructor)) static void survive_fork(void) { pthread_atfork(lock, unlock, unlock); }
#endif

/* ---- the system's memory ------------------------------------------------------------------------------------ */

static void *system_acquire(size_t bytes)
{
#ifdef _WIN32
    return _aligned_malloc(bytes, FC_ALIGNMENT);
#else
    void *block = NULL;
    bool huge = bytes >= HUGE_PAGE;
    if (posix_memalign(&block, huge ? HUGE_PAGE : FC_ALIGNMENT, bytes))
        return NULL;
#ifdef MADV_HUGEPAGE
    if (huge)
        madvise(block, bytes & ~(HUGE_PAGE - 1), MADV_HUGEPAGE);
#endif
    return block;
#endif
}

static void system_release(void *block)
{
#ifdef _WIN32
    _aligned_free(block);
#else
    free(block);
#endif
}

/* ---- classes ------------------------------------------------------------------------------------------------ */

/* The class of `bytes`, and its size in *capacity; -1 when no block can be that large. */
static int class_of(size_t bytes, size_t *capacity)
{
    if (bytes > (size_t)PTRDIFF_MAX / 2)
        return -1;
    if (bytes < STEPS * FC_ALIGNMENT)
        bytes = STEPS * FC_ALIGNMENT;
    int exponent = 63 - __builtin_clzll((unsigned long long)bytes);
    size_t step = ((size_t)1 << exponent) / STEPS; /* a multiple of FC_ALIGNMENT */
    size_t steps = (bytes + step - 1) / step;      /* STEPS to 2 * STEPS */
    *capacity = steps * step;
    return (exponent - 1) * STEPS + (int)steps;
}

/* ---- idle blocks; the lock is held -------------------------------------------------------------------------- */

static void put(idle_block *block, int class, size_t capacity)
{
    *block = (idle_block){.below = pool.top[class], .older = pool.newest, .capacity = capacity};
    if (block->below)
        block->below->above = block;
    if (block->older)
        block->older->newer = block;
    else
        pool.oldest = block;
    pool.top[class] = pool.newest = block;
    pool.idle += capacity;
}

static void take(idle_block *block, int class)
{
    if (block->above)
        block->above->below = block->below;
    else
        pool.top[class] = block->below;
    if (block->below)
        block->below->above = block->above;
    if (block->newer)
        block->newer->older = block->older;
    else
        pool.newest = block->older;
    if (block->older)
        block->older->newer = block->newer;
    else
        pool.oldest = block->newer;
    pool.idle -= block->capacity;
}

/* Takes out the oldest blocks until `bytes` idle ones remain at most; returns them as a list through `older`. */
static idle_block *shrink_to(size_t bytes)
{
    idle_block *list = NULL;
    while (pool.idle > bytes) {
        idle_block *block = pool.oldest;
        size_t capacity;
        take(block, class_of(block->capacity, &capacity));
        block->older = list;
        list = block;
    }
    return list;
}

/* Gives a list of shrink_to back to the system; the lock is not held. */
static void release_list(idle_block *list)
{
    while (list) {
        idle_block *next = list->older;
        system_release(list);
        list = next;
    }
}

/* ---- the interface ------------------------------------------------------------------------------------------ */

void *fc_block_acquire(size_t bytes, size_t *capacity)
{
    int class = class_of(bytes, capacity);
    if (class < 0)
        return NULL;
    lock();
    for (int i = class; i < class + CLASSES_TRIED && i < CLASSES; i++) {
        idle_block *block = pool.top[i];
        if (block) {
            take(block, i);
            *capacity = block->capacity;
            unlock();
            return block;
        }
    }
    unlock();
    void *block = system_acquire(*capacity);
    if (!block) {
        fc_block_trim();
        block = system_acquire(*capacity);
    }
    return block;
}

void fc_block_release(void *block, size_t capacity)
{
    if (!block)
        return;
    lock();
    bool keep = capacity <= pool.limit;
    idle_block *list = keep ? shrink_to(pool.limit - capacity) : NULL;
    if (keep)
        put(block, class_of(capacity, &capacity), capacity);
    unlock();
    release_list(list);
    if (!keep)
        system_release(block);
}

void fc_block_trim(void)
{
    lock();
    idle_block *list = shrink_to(0);
    unlock();
    release_list(list);
}

size_t fc_block_idle_bytes(void)
{
    lock();
    size_t bytes = pool.idle;
    unlock();
    return bytes;
}

void fc_block_set_limit(size_t bytes)
{
    lock();
    pool.limit = bytes;
    idle_block *list = shrink_to(bytes);
    unlock();
    release_list(list);
}
