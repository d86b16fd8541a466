/* An allocator that fails when it is told to, for LD_PRELOAD: tests/test_out_of_memory.py counts with it and makes
 * every allocation of a call fail, one after the other.
 *
 * It watches the allocations of at least `least` bytes that the thread makes that armed it: lets `skip` of them
 * through, and fails the next `failures`.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stddef.h>

static _Thread_local bool armed;
static _Thread_local size_t least;
static _Thread_local long skip, failures, seen, failed;

void failing_arm(size_t bytes, long after, long count)
{
    least = bytes;
    skip = after;
    failures = count;
    seen = failed = 0;
    armed = true;
}

/* How many allocations it has seen, and how many of them it failed. */
long failing_disarm(long *refused)
{
    armed = false;
    *refused = failed;
    return seen;
}

/* Bytes that are lent out, by this process. */
size_t failing_in_use(void)
{
    const struct mallinfo2 all = mallinfo2();
    return all.uordblks + all.hblkhd;
}

static bool fails(size_t bytes)
{
    if (!armed || bytes < least)
        return false;
    const long index = seen++;
    if (index < skip || index >= skip + failures)
        return false;
    failed++;
    return true;
}

extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *old, size_t bytes);

void *malloc(size_t bytes)
{
    if (fails(bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    if (fails(count * bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_calloc(count, bytes);
}

void *realloc(void *old, size_t bytes)
{
    if (fails(bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_realloc(old, bytes);
}

int posix_memalign(void **block, size_t alignment, size_t bytes)
{
    static int (*next)(void **, size_t, size_t);
    if (!next)
        next = (int (*)(void **, size_t, size_t))dlsym(RTLD_NEXT, "posix_memalign");
    return fails(bytes) ? ENOMEM : next(block, alignment, bytes);
}
