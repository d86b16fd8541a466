#include "isa_list.h"
#include "kernels.h"

#define DECLARE(token, isa) extern const fc_kernels fc_f32_kernels_##token, fc_f64_kernels_##token;
FC_ISA_LIST(DECLARE)

#define ENTRY(token, isa) [isa] = {[FC_F32] = &fc_f32_kernels_##token, [FC_F64] = &fc_f64_kernels_##token},
static const fc_kernels *const TABLE[FC_ISAS][FC_DTYPES] = {FC_ISA_LIST(ENTRY)};

const fc_kernels *fc_kernels_for(fc_isa isa, fc_dtype dtype) { return TABLE[isa][dtype]; }

double fc_multiply_adds(fc_dtype dtype, fc_isa isa, ptrdiff_t rounds)
{
    return fc_kernels_for(isa, dtype)->multiply_adds(rounds);
}
