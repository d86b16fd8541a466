/* What the processor can do at best: the yardstick that plans and benchmarks are held against. */
#include "dispatch/kernels.h"
#include "simd.h"

enum { CHAINS = 12 }; /* independent sums: two multiply-adds a cycle of latency four to five, in 16 registers */

fc_multiply_adds_fn FC_NAME(multiply_adds);

/* `rounds` of CHAINS multiply-adds on vectors that never leave their registers; returns how many single ones. */
double FC_NAME(multiply_adds)(ptrdiff_t rounds)
{
    const fc_vec factor = fc_hold(fc_splat((FC_REAL)0.999));
    fc_vec sum[CHAINS];
    _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) sum[i] = fc_splat((FC_REAL)i);
    for (ptrdiff_t round = 0; round < rounds; round++)
        _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) sum[i] = sum[i] * factor + factor;
    fc_vec total = fc_zero();
    _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) total += sum[i];
    /* the sums stay below 1,000; without a use of them nothing would be computed */
    return (double)rounds * CHAINS * FC_LANES + 0 * (double)fc_sum_lanes(total);
}
