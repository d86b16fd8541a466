#include "fastconv.h"

#if defined(__linux__)
#include <unistd.h>
#endif

/* GCC's and clang's own detection looks at CPUID and at the register state that the system saves (XCR0). The lists
 * are those of x86-64-v2, -v3 and -v4, as far as the compilers use them for these kernels. */
#if defined(__x86_64__) || defined(_M_X64)
static bool processor_has(fc_isa isa)
{
    __builtin_cpu_init();
    switch (isa) {
    case FC_BASELINE:
        return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
    case FC_AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
               __builtin_cpu_supports("bmi2");
    case FC_AVX512:
        return processor_has(FC_AVX2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl");
    default:
        return false;
    }
}
#elif defined(__aarch64__)
static bool processor_has(fc_isa isa) { return isa == FC_NEON; }
#else
static bool processor_has(fc_isa isa) { return isa == FC_BASELINE; }
#endif

bool fc_isa_available(fc_isa isa) { return processor_has(isa); }

const char *fc_isa_name(fc_isa isa)
{
    static const char *const names[FC_ISAS] = {"baseline", "avx2", "avx512", "neon"};
    return (unsigned)isa < FC_ISAS ? names[isa] : "unknown";
}

fc_isa fc_isa_best(void)
{
    fc_isa best = FC_BASELINE;
    for (int isa = 0; isa < FC_ISAS; isa++)
        if (fc_isa_available((fc_isa)isa))
            best = (fc_isa)isa;
    return best;
}

/* Systems that do not tell, and virtual machines that tell nonsense, get the half to two megabytes of what is sold. */
size_t fc_l2_bytes(void)
{
    enum { USUAL = 1 << 20, LEAST = 1 << 18, MOST = 1 << 22 };
#if defined(_SC_LEVEL2_CACHE_SIZE)
    const long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
    if (bytes >= LEAST)
        return bytes > MOST ? MOST : (size_t)bytes;
#endif
    return USUAL;
}

/* A core of AMD's has a slice of the third-level cache beside it, at its own clock, one of 32 MB for each group of
 * cores; Intel's servers reach theirs over a mesh. Neighbours want their share, and systems tell of all slices
 * together. Measured: 24 bytes a cycle on Zen 3 up to 16 MB, 9 on a Xeon, from memory 5 on both, 9 on Zen 4; what fills
 * more than a third of a slice comes at 16, the more neighbours, the less. */
double fc_stream_bytes(double bytes)
{
    enum { FROM_SLICE = 24, FROM_FULL_SLICE = 16, FROM_MESH = 9, FROM_MEMORY = 8, SHARE = 24 << 20 };
    if (bytes > SHARE)
        return FROM_MEMORY;
#if defined(__x86_64__) || defined(_M_X64)
    __builtin_cpu_init();
    if (__builtin_cpu_is("amd"))
        return bytes > SHARE / 2 ? FROM_FULL_SLICE : FROM_SLICE;
#endif
    return FROM_MESH;
}
