/* The only door to threads, to what OpenMP says of them, and to the caller's wish to stop. */
#ifndef FC_PARALLEL_H
#define FC_PARALLEL_H

#include "fastconv.h"

/* Who does some work: so many threads, each of which has a share, in so many turns. Between them it looks whether it
 * should stop, and when its own are done it takes those that others have not come to. Brief work is as good as done
 * before a thread that sleeps could help (workers.h). */
typedef struct {
    int threads, turns;
    bool brief;
} fc_crew;

/* What one call of a body does, on which thread: workspaces are by thread, results by share and turn. */
typedef struct {
    int thread, share, shares, turn, turns;
} fc_part;

typedef void fc_body(const void *context, fc_part part);

/* How many threads `work` deserves, at most `threads`, and in how many turns. FC_WITHIN threads: the
 * caller's alone in one turn, after which nobody is asked, as what runs within a part of another run must. */
enum { FC_WITHIN = 0 };
fc_crew fc_crew_for(double work, int threads);

/* Work of so many multiply-adds: those of vectors of 16 count as one each, of fewer lanes for as much more as they
 * take.
 */
static inline double fc_work_of(double products, ptrdiff_t lanes)
{
    enum { WIDEST = 16 };
    return products * WIDEST / (double)lanes;
}

/* Runs body(context, part) for every part, on the caller's thread alone when the crew has one. FC_STOPPED: some were
 * left out. */
fc_status fc_parallel(fc_crew crew, fc_body *body, const void *context);

/* Whether the caller wants to stop; who is asked twenty times a second at most. For loops of many short fc_parallel. */
bool fc_stopped(void);

/* Share [begin, end) of `count` units among `shares`, and that of a part. */
static inline void fc_share(ptrdiff_t count, ptrdiff_t index, ptrdiff_t shares, ptrdiff_t *begin, ptrdiff_t *end)
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

/* A part of `count` units, of which every `run` begin with work of their own: a share may begin within a run, a turn of
 * it does not. */
void fc_share_of_runs(ptrdiff_t count, ptrdiff_t run, fc_part part, ptrdiff_t *begin, ptrdiff_t *end);

static inline void fc_share_of(ptrdiff_t count, fc_part part, ptrdiff_t *begin, ptrdiff_t *end)
{
    fc_share_of_runs(count, 1, part, begin, end);
}

#endif
