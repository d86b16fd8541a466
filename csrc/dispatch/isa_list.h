/* The instruction sets that this build holds, as X(token, enumerator), the widest last. */
#ifndef FC_ISA_LIST_H
#define FC_ISA_LIST_H

#if defined(__x86_64__) || defined(_M_X64)
#define FC_ISA_LIST(X) X(baseline, FC_BASELINE) X(avx2, FC_AVX2) X(avx512, FC_AVX512)
#elif defined(__aarch64__)
#define FC_ISA_LIST(X) X(neon, FC_NEON)
#else
#define FC_ISA_LIST(X) X(baseline, FC_BASELINE)
#endif

#endif
