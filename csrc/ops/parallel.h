/* The only door to OpenMP. */
#ifndef FC_PARALLEL_H
#define FC_PARALLEL_H

#include "fastconv.h"

/* Runs body(context, thread, threads) once on each of `threads` threads; on the caller's alone when threads is 1. */
typedef void fc_body(const void *context, int thread, int threads);
void fc_parallel(int threads, fc_body *body, const void *context);

/* How many threads `work` multiply-adds deserve, at most `threads`. */
int fc_threads_for(double work, int threads);

/* This thread's share [begin, end) of `count` units. */
void fc_share(ptrdiff_t count, int thread, int threads, ptrdiff_t *begin, ptrdiff_t *end);

#endif
