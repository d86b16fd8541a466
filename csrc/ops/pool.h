/* What the pooling operator asks of geometry. */
#ifndef FC_POOL_H
#define FC_POOL_H

#include "dispatch/pool_kernels.h"

/* Every window along one axis, clipped to the input, and how many positions an average counts in each (counts may be
 * NULL): fc_pool_window_valid and fc_pool_counted in one loop, since there is a call's worth of work in each. */
void fc_pool_axis(const fc_pool_desc *desc, int axis, fc_pool_span *windows, double *counts);

#endif
