/* The register tiles of this instruction set, as the list FC_TILES(X) of X(vectors, rows).
 *
 * rows x vectors accumulators, plus the vectors of the streamed operand and one broadcast, fit the register file:
 *
 *   AVX-512, NEON  32 registers: 2 vectors x 14 rows = 28 accumulators + 2 + 1
 *   AVX2           16 registers: 2 vectors x  6 rows = 12 accumulators + 2 + 1
 *   baseline       16 registers, a product needs one more: 2 vectors x 4 rows
 *
 * Every count of rows below the largest exists too, so that a remainder is split evenly instead of padded. A source
 * that includes this file instantiates its tile function once per entry and collects the pointers in a table; the
 * functions are ordinary ones with constant arguments, forced inline.
 */
#ifndef FC_TILES_H
#define FC_TILES_H

#include "dispatch/kernels.h"
#include "simd.h"

#define FC_ROWS_1(X, v) X(v, 1)
#define FC_ROWS_2(X, v) FC_ROWS_1(X, v) X(v, 2)
#define FC_ROWS_3(X, v) FC_ROWS_2(X, v) X(v, 3)
#define FC_ROWS_4(X, v) FC_ROWS_3(X, v) X(v, 4)
#define FC_ROWS_5(X, v) FC_ROWS_4(X, v) X(v, 5)
#define FC_ROWS_6(X, v) FC_ROWS_5(X, v) X(v, 6)
#define FC_ROWS_7(X, v) FC_ROWS_6(X, v) X(v, 7)
#define FC_ROWS_8(X, v) FC_ROWS_7(X, v) X(v, 8)
#define FC_ROWS_9(X, v) FC_ROWS_8(X, v) X(v, 9)
#define FC_ROWS_10(X, v) FC_ROWS_9(X, v) X(v, 10)
#define FC_ROWS_11(X, v) FC_ROWS_10(X, v) X(v, 11)
#define FC_ROWS_12(X, v) FC_ROWS_11(X, v) X(v, 12)
#define FC_ROWS_13(X, v) FC_ROWS_12(X, v) X(v, 13)
#define FC_ROWS_14(X, v) FC_ROWS_13(X, v) X(v, 14)

#if defined(FC_ISA_AVX512) || defined(FC_ISA_NEON)
#define FC_TILES(X) FC_ROWS_14(X, 1) FC_ROWS_14(X, 2) FC_ROWS_9(X, 3) FC_ROWS_6(X, 4) FC_ROWS_2(X, 8)
#elif defined(FC_ISA_AVX2)
#define FC_TILES(X) FC_ROWS_10(X, 1) FC_ROWS_6(X, 2) FC_ROWS_4(X, 3) FC_ROWS_2(X, 4) FC_ROWS_1(X, 8)
#else
#define FC_TILES(X) FC_ROWS_8(X, 1) FC_ROWS_4(X, 2) FC_ROWS_3(X, 3) FC_ROWS_2(X, 4) FC_ROWS_1(X, 8)
#endif

/* Vectors of a filter's tile: FC_FILTER_ROWS x vectors sums, as many pixels and one weight fit the registers. */
#if defined(FC_ISA_AVX512) || defined(FC_ISA_NEON)
enum { FC_FILTER_VECTORS = 4 };
#elif defined(FC_ISA_AVX2)
enum { FC_FILTER_VECTORS = 3 };
#else
enum { FC_FILTER_VECTORS = 2 };
#endif

#define FC_UNROLL _Pragma("GCC unroll 32")

/* A tile of so many vectors of sums goes on with the tiles alike that follow, which saves each of them 10 to 25 cycles:
 * in float32, and on processors since 2013, since each such loop is some 300 bytes of the wheel. */
#if FC_REAL_BITS == 64 || defined(FC_ISA_BASELINE)
enum { FC_TALL = FC_MAX_VECTORS * FC_MAX_ROWS + 1 };
#elif defined(FC_ISA_AVX2)
enum { FC_TALL = 8 };
#else
enum { FC_TALL = 24 };
#endif

FC_INLINE bool fc_goes_on(const int vectors, const int rows) { return vectors * rows >= FC_TALL; }

/* The same pointer, of which the compiler knows nothing: what is read by it is read here, and takes no register before.
 */
FC_INLINE const fc_tile_end *fc_read_here(const fc_tile_end *end)
{
    __asm__ volatile("" : "+r"(end));
    return end;
}

/* Registers hold the sums in any order that the compiler likes; acc is where they become rows of memory, `step`
 * elements apart. */
FC_INLINE void fc_put_rows(const int vectors, const int rows, fc_vec sum[FC_MAX_ROWS][FC_MAX_VECTORS],
                           FC_REAL *FC_RESTRICT acc, ptrdiff_t step, bool accumulate)
{
    if (accumulate) {
        FC_UNROLL for (int r = 0; r < rows; r++) FC_UNROLL
            for (int v = 0; v < vectors; v++)
                fc_store(acc + r * step + v * FC_LANES, fc_load(acc + r * step + v * FC_LANES) + sum[r][v]);
    } else {
        FC_UNROLL for (int r = 0; r < rows; r++) FC_UNROLL
            for (int v = 0; v < vectors; v++)
                fc_store(acc + r * step + v * FC_LANES, sum[r][v]);
    }
}

FC_INLINE void fc_put_tile(const int vectors, const int rows, fc_vec sum[FC_MAX_ROWS][FC_MAX_VECTORS], FC_REAL *acc,
                           bool accumulate)
{
    fc_put_rows(vectors, rows, sum, acc, (ptrdiff_t)vectors * FC_LANES, accumulate);
}

#define FC_CLEAR_TILE(sum)                                                                                             \
    fc_vec sum[FC_MAX_ROWS][FC_MAX_VECTORS];                                                                           \
    FC_UNROLL for (int r = 0; r < rows; r++) FC_UNROLL                                                                 \
        for (int v = 0; v < vectors; v++)                                                                              \
    sum[r][v] = fc_zero()

#endif
