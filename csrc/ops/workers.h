/* Threads that wait for work beside the caller's own. */
#ifndef FC_WORKERS_H
#define FC_WORKERS_H

#include <stdbool.h>

typedef void fc_errand(void *context, int thread);

/* Runs errand(context, 0) on the caller's thread and meanwhile errand(context, 1), ... on up to threads - 1 workers, as
 * many as come before the first has returned: the caller waits for those that came, never for one that did not. A brief
 * errand is done before a sleeping worker could arrive: it wakes none unless such calls follow each other closely. */
void fc_with_workers(int threads, bool brief, fc_errand *errand, void *context);

#endif
