/* The only door to OpenMP, and to the caller's wish to stop. */
#ifndef FC_PARALLEL_H
#define FC_PARALLEL_H

#include "fastconv.h"

/* Who does some work: so many threads, each of which takes its share in so many turns, and between them looks whether
 * it should stop. */
typedef struct {
    int threads, turns;
} fc_crew;

/* What one call of a body does: this turn of this thread's share. Workspaces are by thread. */
typedef struct {
    int thread, threads, turn, turns;
} fc_part;

typedef void fc_body(const void *context, fc_part part);

/* How many threads `work` multiply-adds deserve, at most `threads`, and in how many turns. FC_WITHIN threads: the
 * caller's alone in one turn, after which nobody is asked, as what runs within a part of another run must. */
enum { FC_WITHIN = 0 };
fc_crew fc_crew_for(double work, int threads);

/* Runs body(context, part) for every part, on the caller's thread alone when the crew has one. FC_STOPPED: some were
 * left out. */
fc_status fc_parallel(fc_crew crew, fc_body *body, const void *context);

/* Whether the caller wants to stop; who is asked twenty times a second at most. For loops of many short fc_parallel. */
bool fc_stopped(void);

/* Share [begin, end) of `count` units among `shares`, and that of a part. */
static inline void fc_share(ptrdiff_t count, int index, int shares, ptrdiff_t *begin, ptrdiff_t *end)
{
    const ptrdiff_t each = count / shares, left = count % shares;
    *begin = index * each + (index < left ? index : left);
    *end = *begin + each + (index < left);
}

/* Shares from `index` on that are as large as that. */
static inline ptrdiff_t fc_equal_shares(ptrdiff_t count, ptrdiff_t index, ptrdiff_t shares)
{
    const ptrdiff_t left = count % shares;
    return (index < left ? left : shares) - index;
}

void fc_share_of(ptrdiff_t count, fc_part part, ptrdiff_t *begin, ptrdiff_t *end);

#endif
