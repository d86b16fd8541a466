/* What an epilogue makes of finished sums. */
#ifndef FC_EPILOGUE_H
#define FC_EPILOGUE_H

#include "dispatch/conv_kernels.h"
#include "vmath.h"

#include <math.h>

/* Any activation, in one function: inlined wherever results leave, they were a fourteenth of the module. */
fc_vec FC_NAME(activated)(const fc_epilogue *epilogue, fc_vec x);

/* What needs two instructions at most, and stays where the sums are. */
FC_INLINE bool fc_only_clamps(fc_activation activation)
{
    return activation == FC_IDENTITY || activation == FC_RELU || activation == FC_RELU6;
}

/* ReLU or ReLU6, without a branch between them. */
FC_INLINE fc_vec fc_rectify(fc_activation activation, fc_vec x)
{
    return fc_at_most(fc_at_least(x, 0), activation == FC_RELU6 ? 6 : INFINITY);
}

FC_INLINE fc_vec fc_finish(const fc_epilogue *epilogue, fc_vec x)
{
    if (epilogue->activation == FC_IDENTITY)
        return x;
    if (epilogue->activation != FC_RELU && epilogue->activation != FC_RELU6)
        return FC_NAME(activated)(epilogue, x);
    const fc_vec positive = fc_at_least(x, 0);
    return epilogue->activation == FC_RELU ? positive : fc_at_most(positive, 6);
}

#endif
