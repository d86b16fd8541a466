/* Whole numbers of an arithmetic progression that lie inside bounds. */
#ifndef FC_STEPS_H
#define FC_STEPS_H

#include <stddef.h>

static inline ptrdiff_t fc_clamp(ptrdiff_t value, ptrdiff_t least, ptrdiff_t most)
{
    return value < least ? least : value > most ? most : value;
}

/* The least i with first + i * step >= bound, for step > 0. */
static inline ptrdiff_t fc_steps_to(ptrdiff_t first, ptrdiff_t step, ptrdiff_t bound)
{
    return first >= bound ? 0 : (bound - first - 1) / step + 1;
}

#endif
