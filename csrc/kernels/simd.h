/* The vector vocabulary of every kernel, for one instruction set (FC_ISA) and one element type (FC_REAL).
 *
 * The build compiles each source of this folder once per (ISA, dtype) and defines
 *   FC_ISA         baseline | avx2 | avx512 | neon, and FC_ISA_BASELINE … as 1
 *   FC_REAL        float | double, with FC_DTYPE f32 | f64 and FC_REAL_BITS 32 | 64
 *
 * Vectors are GCC/Clang vector extensions; arithmetic and comparisons are the language's own operators. This is the
 * only file that may use intrinsics.
 */
#ifndef FC_SIMD_H
#define FC_SIMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(FC_ISA_AVX512) || defined(FC_ISA_AVX2)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

#define FC_PASTE_(dtype, name, isa) fc_##dtype##_##name##_##isa
#define FC_PASTE(dtype, name, isa) FC_PASTE_(dtype, name, isa)
#define FC_NAME(name) FC_PASTE(FC_DTYPE, name, FC_ISA)

#define FC_RESTRICT restrict
#define FC_INLINE static inline __attribute__((always_inline))

#if defined(FC_ISA_AVX512)
#define FC_VEC_BYTES 64
#elif defined(FC_ISA_AVX2)
#define FC_VEC_BYTES 32
#else
#define FC_VEC_BYTES 16
#endif

#define FC_LANES ((int)(FC_VEC_BYTES / sizeof(FC_REAL)))

#if FC_REAL_BITS == 32
typedef int32_t fc_int;
#define FC_ROOT sqrtf
#else
typedef int64_t fc_int;
#define FC_ROOT sqrt
#endif

typedef FC_REAL fc_vec __attribute__((vector_size(FC_VEC_BYTES)));
typedef fc_int fc_mask __attribute__((vector_size(FC_VEC_BYTES))); /* lanes of all ones or all zeros; also integers */
typedef FC_REAL fc_vec_unaligned __attribute__((vector_size(FC_VEC_BYTES), aligned(sizeof(FC_REAL)), may_alias));

FC_INLINE fc_vec fc_load(const FC_REAL *p) { return *(const fc_vec_unaligned *)p; }
FC_INLINE void fc_store(FC_REAL *p, fc_vec v) { *(fc_vec_unaligned *)p = v; }

/* v, in a register from here on: keeps GCC from loading it again for each use, as a memory operand. */
FC_INLINE fc_vec fc_hold(fc_vec v)
{
#if defined(FC_ISA_NEON)
    __asm__("" : "+w"(v));
#elif defined(FC_ISA_AVX512)
    __asm__("" : "+v"(v));
#elif defined(__x86_64__)
    __asm__("" : "+x"(v));
#endif
    return v;
}

FC_INLINE fc_vec fc_splat(FC_REAL value) { return value - (fc_vec){0}; } /* "-" keeps the sign of zero */
FC_INLINE fc_vec fc_zero(void) { return (fc_vec){0}; }

FC_INLINE fc_vec fc_select(fc_mask mask, fc_vec yes, fc_vec no)
{
    return (fc_vec)((mask & (fc_mask)yes) | (~mask & (fc_mask)no));
}

/* To memory past the caches, at a multiple of a vector's bytes; and after the last of such stores. */
#if defined(FC_ISA_AVX512)
FC_INLINE void fc_stream(FC_REAL *p, fc_vec v) { _mm512_stream_si512((void *)p, (__m512i)v); }
#elif defined(FC_ISA_AVX2)
FC_INLINE void fc_stream(FC_REAL *p, fc_vec v) { _mm256_stream_si256((void *)p, (__m256i)v); }
#elif defined(__SSE2__)
FC_INLINE void fc_stream(FC_REAL *p, fc_vec v) { _mm_stream_si128((void *)p, (__m128i)v); }
#else
FC_INLINE void fc_stream(FC_REAL *p, fc_vec v) { fc_store(p, v); }
#endif
#if defined(__SSE2__)
FC_INLINE void fc_end_stream(void) { _mm_sfence(); }
#else
FC_INLINE void fc_end_stream(void) {}
#endif

/* Whether any lane is all ones. */
FC_INLINE bool fc_any(fc_mask mask)
{
#if defined(FC_ISA_AVX512)
    return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0;
#elif defined(FC_ISA_AVX2)
    return !_mm256_testz_si256((__m256i)mask, (__m256i)mask);
#elif defined(__SSE2__)
    return _mm_movemask_epi8((__m128i)mask) != 0;
#else
    typedef int64_t pair __attribute__((vector_size(16)));
    return (((pair)mask)[0] | ((pair)mask)[1]) != 0;
#endif
}

/* x where it is smaller (fc_lesser) or larger than the other: the other's lanes where neither is, NaN or equal zeros.
 */
#if defined(FC_ISA_AVX512) && FC_REAL_BITS == 32
FC_INLINE fc_vec fc_lesser(fc_vec x, fc_vec other) { return _mm512_min_ps(x, other); }
FC_INLINE fc_vec fc_greater(fc_vec x, fc_vec other) { return _mm512_max_ps(x, other); }
#elif defined(FC_ISA_AVX512)
FC_INLINE fc_vec fc_lesser(fc_vec x, fc_vec other) { return _mm512_min_pd(x, other); }
FC_INLINE fc_vec fc_greater(fc_vec x, fc_vec other) { return _mm512_max_pd(x, other); }
#elif defined(FC_ISA_AVX2) && FC_REAL_BITS == 32
FC_INLINE fc_vec fc_lesser(fc_vec x, fc_vec other) { return _mm256_min_ps(x, other); }
FC_INLINE fc_vec fc_greater(fc_vec x, fc_vec other) { return _mm256_max_ps(x, other); }
#elif defined(FC_ISA_AVX2)
FC_INLINE fc_vec fc_lesser(fc_vec x, fc_vec other) { return _mm256_min_pd(x, other); }
FC_INLINE fc_vec fc_greater(fc_vec x, fc_vec other) { return _mm256_max_pd(x, other); }
#elif defined(__SSE2__) && FC_REAL_BITS == 32
FC_INLINE fc_vec fc_lesser(fc_vec x, fc_vec other) { return _mm_min_ps(x, other); }
FC_INLINE fc_vec fc_greater(fc_vec x, fc_vec other) { return _mm_max_ps(x, other); }
#elif defined(__SSE2__)
FC_INLINE fc_vec fc_lesser(fc_vec x, fc_vec other) { return _mm_min_pd(x, other); }
FC_INLINE fc_vec fc_greater(fc_vec x, fc_vec other) { return _mm_max_pd(x, other); }
#else
FC_INLINE fc_vec fc_lesser(fc_vec x, fc_vec other) { return fc_select(x < other, x, other); }
FC_INLINE fc_vec fc_greater(fc_vec x, fc_vec other) { return fc_select(x > other, x, other); }
#endif

/* The larger; NaN when either is NaN. A chain of maxima is shortest when b carries what came before. */
FC_INLINE fc_vec fc_max(fc_vec a, fc_vec b) { return fc_select(a != a, a, fc_greater(a, b)); }

/* Half as many lanes of double; GCC converts them in halves, through memory, where it is left to it. */
#if FC_REAL_BITS == 32
typedef double fc_wide __attribute__((vector_size(FC_VEC_BYTES)));
#if defined(FC_ISA_AVX512)
FC_INLINE fc_wide fc_load_wide(const float *p) { return _mm512_cvtps_pd(_mm256_loadu_ps(p)); }
FC_INLINE void fc_store_cut(float *p, fc_wide v) { _mm256_storeu_ps(p, _mm256_cvtepi32_ps(_mm512_cvttpd_epi32(v))); }
#elif defined(FC_ISA_AVX2)
FC_INLINE fc_wide fc_load_wide(const float *p) { return _mm256_cvtps_pd(_mm_loadu_ps(p)); }
FC_INLINE void fc_store_cut(float *p, fc_wide v) { _mm_storeu_ps(p, _mm_cvtepi32_ps(_mm256_cvttpd_epi32(v))); }
#else
FC_INLINE fc_wide fc_load_wide(const float *p) { return (fc_wide){p[0], p[1]}; }
FC_INLINE void fc_store_cut(float *p, fc_wide v) /* without what is behind the point */
{
    p[0] = (float)(int32_t)v[0];
    p[1] = (float)(int32_t)v[1];
}
#endif
#endif

/* Lanes 0, 2, 4 … of a, then of b; fc_odd: lanes 1, 3, 5 … */
#if defined(FC_ISA_AVX512) && FC_REAL_BITS == 32
FC_INLINE fc_vec fc_even(fc_vec a, fc_vec b)
{
    const __m512i lanes = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    return _mm512_permutex2var_ps(a, lanes, b);
}
FC_INLINE fc_vec fc_odd(fc_vec a, fc_vec b)
{
    const __m512i lanes = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    return _mm512_permutex2var_ps(a, lanes, b);
}
#elif defined(FC_ISA_AVX512)
FC_INLINE fc_vec fc_even(fc_vec a, fc_vec b)
{
    return _mm512_permutex2var_pd(a, _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14), b);
}
FC_INLINE fc_vec fc_odd(fc_vec a, fc_vec b)
{
    return _mm512_permutex2var_pd(a, _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15), b);
}
#elif defined(FC_ISA_AVX2) && FC_REAL_BITS == 32
FC_INLINE fc_vec fc_even(fc_vec a, fc_vec b)
{
    __m256 pairs = _mm256_shuffle_ps(a, b, 0x88); /* within halves: a a b b | a a b b */
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(pairs), 0xd8));
}
FC_INLINE fc_vec fc_odd(fc_vec a, fc_vec b)
{
    __m256 pairs = _mm256_shuffle_ps(a, b, 0xdd);
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(pairs), 0xd8));
}
#elif defined(FC_ISA_AVX2)
FC_INLINE fc_vec fc_even(fc_vec a, fc_vec b) { return _mm256_permute4x64_pd(_mm256_unpacklo_pd(a, b), 0xd8); }
FC_INLINE fc_vec fc_odd(fc_vec a, fc_vec b) { return _mm256_permute4x64_pd(_mm256_unpackhi_pd(a, b), 0xd8); }
#elif FC_REAL_BITS == 32
FC_INLINE fc_vec fc_even(fc_vec a, fc_vec b) { return (fc_vec){a[0], a[2], b[0], b[2]}; }
FC_INLINE fc_vec fc_odd(fc_vec a, fc_vec b) { return (fc_vec){a[1], a[3], b[1], b[3]}; }
#else
FC_INLINE fc_vec fc_even(fc_vec a, fc_vec b) { return (fc_vec){a[0], b[0]}; }
FC_INLINE fc_vec fc_odd(fc_vec a, fc_vec b) { return (fc_vec){a[1], b[1]}; }
#endif

/* What fc_even and fc_odd take apart: lanes of a and b by turns, the lower half of them and the upper. */
#if FC_VEC_BYTES * 8 / FC_REAL_BITS == 16
#define FC_ZIP_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define FC_ZIP_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif FC_VEC_BYTES * 8 / FC_REAL_BITS == 8
#define FC_ZIP_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define FC_ZIP_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#elif FC_VEC_BYTES * 8 / FC_REAL_BITS == 4
#define FC_ZIP_LOW 0, 4, 1, 5
#define FC_ZIP_HIGH 2, 6, 3, 7
#else
#define FC_ZIP_LOW 0, 2
#define FC_ZIP_HIGH 1, 3
#endif
FC_INLINE fc_vec fc_zip_low(fc_vec a, fc_vec b) { return __builtin_shufflevector(a, b, FC_ZIP_LOW); }
FC_INLINE fc_vec fc_zip_high(fc_vec a, fc_vec b) { return __builtin_shufflevector(a, b, FC_ZIP_HIGH); }

/* Lane i becomes lane i / width * width + c, for c < width below FC_LANES. */
#if defined(FC_ISA_AVX512) && FC_REAL_BITS == 32
FC_INLINE fc_vec fc_spread(fc_vec v, const int width, const int c)
{
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i first = _mm512_and_si512(lane, _mm512_set1_epi32(-width));
    return _mm512_permutexvar_ps(_mm512_or_si512(first, _mm512_set1_epi32(c)), v);
}
#elif defined(FC_ISA_AVX512)
FC_INLINE fc_vec fc_spread(fc_vec v, const int width, const int c)
{
    const __m512i lane = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
    const __m512i first = _mm512_and_si512(lane, _mm512_set1_epi64(-width));
    return _mm512_permutexvar_pd(_mm512_or_si512(first, _mm512_set1_epi64(c)), v);
}
#elif defined(FC_ISA_AVX2) && FC_REAL_BITS == 32
FC_INLINE fc_vec fc_spread(fc_vec v, const int width, const int c)
{
    return width == 2 ? (c ? _mm256_permute_ps(v, 0xf5) : _mm256_permute_ps(v, 0xa0))
           : c == 0   ? _mm256_permute_ps(v, 0x00)
           : c == 1   ? _mm256_permute_ps(v, 0x55)
           : c == 2   ? _mm256_permute_ps(v, 0xaa)
                      : _mm256_permute_ps(v, 0xff);
}
#elif defined(FC_ISA_AVX2)
FC_INLINE fc_vec fc_spread(fc_vec v, const int width, const int c)
{
    (void)width; /* 2 */
    return c ? _mm256_permute_pd(v, 0xf) : _mm256_permute_pd(v, 0x0);
}
#elif FC_REAL_BITS == 32
FC_INLINE fc_vec fc_spread(fc_vec v, const int width, const int c)
{
    (void)width; /* 2 */
    return (fc_vec){v[c], v[c], v[2 + c], v[2 + c]};
}
#endif

/* Lane j of vector i becomes lane i of vector j. Each round sends one bit of a lane's number into the vector's. */
#if defined(FC_ISA_AVX2) && FC_REAL_BITS == 32
FC_INLINE void fc_transpose_lanes(fc_vec v[FC_LANES]) /* half of what fc_even and fc_odd would take to cross halves */
{
    fc_vec pair[FC_LANES], quad[FC_LANES];
    _Pragma("GCC unroll 4") for (int i = 0; i < FC_LANES; i += 2)
    {
        pair[i] = _mm256_unpacklo_ps(v[i], v[i + 1]);
        pair[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
    }
    _Pragma("GCC unroll 4") for (int i = 0; i < FC_LANES; i += 4) for (int j = 0; j < 2; j++)
    {
        quad[i + 2 * j] = _mm256_shuffle_ps(pair[i + j], pair[i + j + 2], 0x44);
        quad[i + 2 * j + 1] = _mm256_shuffle_ps(pair[i + j], pair[i + j + 2], 0xee);
    }
    _Pragma("GCC unroll 4") for (int i = 0; i < FC_LANES / 2; i++)
    {
        v[i] = _mm256_permute2f128_ps(quad[i], quad[i + 4], 0x20);
        v[i + 4] = _mm256_permute2f128_ps(quad[i], quad[i + 4], 0x31);
    }
}
#else
FC_INLINE void fc_transpose_lanes(fc_vec v[FC_LANES])
{
    _Pragma("GCC unroll 4") for (int bit = 1; bit < FC_LANES; bit *= 2)
    {
        _Pragma("GCC unroll 16") for (int i = 0; i < FC_LANES; i++)
        {
            if (i & bit)
                continue;
            const fc_vec even = fc_even(v[i], v[i + bit]), odd = fc_odd(v[i], v[i + bit]);
            v[i] = even;
            v[i + bit] = odd;
        }
    }
}
#endif

/* 0, 1, 2 … as integers. */
FC_INLINE fc_mask fc_lane_numbers(void)
{
    fc_mask lane;
    for (int i = 0; i < FC_LANES; i++)
        lane[i] = i;
    return lane;
}

/* All ones in the first `count` lanes. */
FC_INLINE fc_mask fc_first_lanes(int count) { return fc_lane_numbers() < (fc_mask){0} + count; }

/* v as it stands: the compiler may not fuse the product that it comes from with what follows. */
FC_INLINE fc_vec fc_rounded(fc_vec v)
{
#if defined(__aarch64__)
    __asm__("" : "+w"(v));
#elif defined(FC_ISA_AVX512)
    __asm__("" : "+v"(v));
#else
    __asm__("" : "+x"(v));
#endif
    return v;
}

/* a * b + c rounded once, where the processor can (FC_FUSED). */
#if defined(FC_ISA_AVX512) && FC_REAL_BITS == 32
#define FC_FUSED
FC_INLINE fc_vec fc_fused(fc_vec a, fc_vec b, fc_vec c) { return _mm512_fmadd_ps(a, b, c); }
#elif defined(FC_ISA_AVX512)
#define FC_FUSED
FC_INLINE fc_vec fc_fused(fc_vec a, fc_vec b, fc_vec c) { return _mm512_fmadd_pd(a, b, c); }
#elif defined(FC_ISA_AVX2) && FC_REAL_BITS == 32
#define FC_FUSED
FC_INLINE fc_vec fc_fused(fc_vec a, fc_vec b, fc_vec c) { return _mm256_fmadd_ps(a, b, c); }
#elif defined(FC_ISA_AVX2)
#define FC_FUSED
FC_INLINE fc_vec fc_fused(fc_vec a, fc_vec b, fc_vec c) { return _mm256_fmadd_pd(a, b, c); }
#endif

/* Whether access to some lanes of a vector costs no more than to all of them. */
#ifdef FC_ISA_AVX512
#define FC_FREE_TAILS true
#else
#define FC_FREE_TAILS false
#endif

/* v * 2^n of an integer n, rounded once (FC_SCALES), and 1 / v with an error of 2^-14 (FC_ESTIMATES). */
#if defined(FC_ISA_AVX512) && FC_REAL_BITS == 32
#define FC_SCALES
#define FC_ESTIMATES
FC_INLINE fc_vec fc_scale(fc_vec v, fc_vec n) { return _mm512_scalef_ps(v, n); }
FC_INLINE fc_vec fc_estimate(fc_vec v) { return _mm512_rcp14_ps(v); }
#elif defined(FC_ISA_AVX512)
#define FC_SCALES
#define FC_ESTIMATES
FC_INLINE fc_vec fc_scale(fc_vec v, fc_vec n) { return _mm512_scalef_pd(v, n); }
FC_INLINE fc_vec fc_estimate(fc_vec v) { return _mm512_rcp14_pd(v); }
#endif

/* The first `count` lanes (0 … FC_LANES) of p; the others are zero and not read. */
FC_INLINE fc_vec fc_load_tail(const FC_REAL *p, int count)
{
#if defined(FC_ISA_AVX512) && FC_REAL_BITS == 32
    return _mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), p);
#elif defined(FC_ISA_AVX512)
    return _mm512_maskz_loadu_pd((__mmask8)((1u << count) - 1), p);
#elif defined(FC_ISA_AVX2) && FC_REAL_BITS == 32
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_maskload_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32(count), lane));
#elif defined(FC_ISA_AVX2)
    const __m256i lane = _mm256_setr_epi64x(0, 1, 2, 3);
    return _mm256_maskload_pd(p, _mm256_cmpgt_epi64(_mm256_set1_epi64x(count), lane));
#else
    fc_vec v = fc_zero();
    for (int i = 0; i < count; i++)
        v[i] = p[i];
    return v;
#endif
}

/* Writes the first `count` lanes (0 … FC_LANES) of v; touches no memory beyond them. */
FC_INLINE void fc_store_tail(FC_REAL *p, fc_vec v, int count)
{
#if defined(FC_ISA_AVX512) && FC_REAL_BITS == 32
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << count) - 1), v);
#elif defined(FC_ISA_AVX512)
    _mm512_mask_storeu_pd(p, (__mmask8)((1u << count) - 1), v);
#elif defined(FC_ISA_AVX2) && FC_REAL_BITS == 32
    /* by halves: a masked store of AVX2 is forty operations on AMD's processors */
    __m128 rest = _mm256_castps256_ps128(v);
    if (count >= FC_LANES) {
        _mm256_storeu_ps(p, v);
        return;
    }
    if (count & 4) {
        _mm_storeu_ps(p, rest);
        rest = _mm256_extractf128_ps(v, 1);
        p += 4;
    }
    if (count & 2) {
        _mm_storel_pi((__m64 *)p, rest);
        rest = _mm_movehl_ps(rest, rest);
        p += 2;
    }
    if (count & 1)
        _mm_store_ss(p, rest);
#elif defined(FC_ISA_AVX2)
    __m128d rest = _mm256_castpd256_pd128(v);
    if (count >= FC_LANES) {
        _mm256_storeu_pd(p, v);
        return;
    }
    if (count & 2) {
        _mm_storeu_pd(p, rest);
        rest = _mm256_extractf128_pd(v, 1);
        p += 2;
    }
    if (count & 1)
        _mm_store_sd(p, rest);
#else
    for (int i = 0; i < count; i++)
        p[i] = v[i];
#endif
}

/* How many lanes of a vector at i lie within `count` elements; and all of a vector, or so many of its lanes. */
FC_INLINE int fc_lanes_left(ptrdiff_t count, ptrdiff_t i) { return count - i < FC_LANES ? (int)(count - i) : FC_LANES; }

FC_INLINE fc_vec fc_load_lanes(const FC_REAL *p, int lanes)
{
    return lanes == FC_LANES ? fc_load(p) : fc_load_tail(p, lanes);
}

FC_INLINE void fc_store_lanes(FC_REAL *p, fc_vec v, int lanes)
{
    if (lanes == FC_LANES)
        fc_store(p, v);
    else
        fc_store_tail(p, v, lanes);
}

/* Each lane gets the value of the lane `distance` away, a power of two below FC_LANES: lane i that of lane i ^
 * distance. */
FC_INLINE fc_vec fc_swap_lanes(fc_vec v, const int distance)
{
#if defined(FC_ISA_AVX512) && FC_REAL_BITS == 32
    return distance == 8   ? _mm512_shuffle_f32x4(v, v, 0x4e)
           : distance == 4 ? _mm512_shuffle_f32x4(v, v, 0xb1)
           : distance == 2 ? _mm512_permute_ps(v, 0x4e)
                           : _mm512_permute_ps(v, 0xb1);
#elif defined(FC_ISA_AVX512)
    return distance == 4   ? _mm512_shuffle_f64x2(v, v, 0x4e)
           : distance == 2 ? _mm512_shuffle_f64x2(v, v, 0xb1)
                           : _mm512_permute_pd(v, 0x55);
#elif defined(FC_ISA_AVX2) && FC_REAL_BITS == 32
    return distance == 4   ? _mm256_permute2f128_ps(v, v, 1)
           : distance == 2 ? _mm256_permute_ps(v, 0x4e)
                           : _mm256_permute_ps(v, 0xb1);
#elif defined(FC_ISA_AVX2)
    return distance == 2 ? _mm256_permute2f128_pd(v, v, 1) : _mm256_permute_pd(v, 0x5);
#elif FC_REAL_BITS == 32
    return distance == 2 ? (fc_vec){v[2], v[3], v[0], v[1]} : (fc_vec){v[1], v[0], v[3], v[2]};
#else
    (void)distance;
    return (fc_vec){v[1], v[0]};
#endif
}

/* Sum over the lanes, pairwise: halves are added until one lane is left. */
FC_INLINE FC_REAL fc_sum_lanes(fc_vec v)
{
    _Pragma("GCC unroll 4") for (int half = FC_LANES / 2; half > 0; half /= 2) v += fc_swap_lanes(v, half);
    return v[0];
}

/* The largest lane; NaN when one is NaN. */
FC_INLINE FC_REAL fc_max_lanes(fc_vec v)
{
    _Pragma("GCC unroll 4") for (int half = FC_LANES / 2; half > 0; half /= 2) v = fc_max(v, fc_swap_lanes(v, half));
    return v[0];
}

#endif
