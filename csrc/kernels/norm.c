/* Normalisation: moments and sums of blocks that stay in L1, put together in double, and scaling.
 *
 * Moments take two passes over a block: its mean, then the distances from it, whose own sum corrects what the mean lost
 * by rounding. So neither a large mean nor many values cost digits.
 */
#include "dispatch/norm_kernels.h"
#include "simd.h"

enum {
    BLOCK = 64 * FC_LANES, /* elements of a row that are summed plainly: 16 vectors in each of 4 chains */
    CHAINS = 4,
};

FC_INLINE fc_vec masked(fc_vec v, int lanes)
{
    return lanes == FC_LANES ? v : (fc_vec)((fc_mask)v & fc_first_lanes(lanes));
}

FC_INLINE FC_REAL sum_chains(const fc_vec chain[CHAINS])
{
    return fc_sum_lanes((chain[0] + chain[1]) + (chain[2] + chain[3]));
}

/* ---- moments ----------------------------------------------------------------------------------------------- */

FC_INLINE FC_REAL sum_block(ptrdiff_t count, const FC_REAL *src)
{
    fc_vec chain[CHAINS] = {fc_zero(), fc_zero(), fc_zero(), fc_zero()};
    ptrdiff_t i = 0;
    for (; i + CHAINS * FC_LANES <= count; i += CHAINS * FC_LANES)
        for (int k = 0; k < CHAINS; k++)
            chain[k] += fc_load(src + i + k * FC_LANES);
    for (int k = 0; k < CHAINS && i < count; k++, i += FC_LANES)
        chain[k] += fc_load_lanes(src + i, fc_lanes_left(count, i));
    return sum_chains(chain);
}

static fc_moments block_moments(ptrdiff_t count, const FC_REAL *src)
{
    const FC_REAL near = sum_block(count, src) / (FC_REAL)count;
    const fc_vec middle = fc_splat(near);
    fc_vec sum[CHAINS] = {fc_zero(), fc_zero(), fc_zero(), fc_zero()};
    fc_vec squares[CHAINS] = {fc_zero(), fc_zero(), fc_zero(), fc_zero()};
    ptrdiff_t i = 0;
    for (; i + CHAINS * FC_LANES <= count; i += CHAINS * FC_LANES) {
        for (int k = 0; k < CHAINS; k++) {
            const fc_vec d = fc_load(src + i + k * FC_LANES) - middle;
            sum[k] += d;
            squares[k] += d * d;
        }
    }
    for (int k = 0; k < CHAINS && i < count; k++, i += FC_LANES) {
        const int lanes = fc_lanes_left(count, i);
        const fc_vec d = masked(fc_load_lanes(src + i, lanes) - middle, lanes);
        sum[k] += d;
        squares[k] += d * d;
    }
    const double off = (double)sum_chains(sum) / (double)count;
    return (fc_moments){(double)near + off, (double)sum_chains(squares) - off * off * (double)count};
}

static void moments_row(ptrdiff_t count, const void *from, fc_moments *out)
{
    const FC_REAL *src = from;
    fc_moments all = block_moments(count < BLOCK ? count : BLOCK, src);
    for (ptrdiff_t first = BLOCK; first < count; first += BLOCK) {
        const ptrdiff_t length = count - first < BLOCK ? count - first : BLOCK;
        const fc_moments block = block_moments(length, src + first);
        const double share = (double)length / (double)(first + length), off = block.mean - all.mean;
        all.mean += off * share;
        all.squares += block.squares + off * off * share * (double)first;
    }
    *out = all;
}

/* The columns of one vector. */
FC_INLINE void column_moments(ptrdiff_t rows, ptrdiff_t step, int lanes, const FC_REAL *src, fc_moments *out)
{
    fc_vec total = fc_zero(), other = fc_zero();
    ptrdiff_t r = 0;
    for (; r + 2 <= rows; r += 2) {
        total += fc_load_lanes(src + r * step, lanes);
        other += fc_load_lanes(src + (r + 1) * step, lanes);
    }
    if (r < rows)
        total += fc_load_lanes(src + r * step, lanes);
    const fc_vec middle = (total + other) / (FC_REAL)rows;
    fc_vec sum = fc_zero(), squares = fc_zero(), squares2 = fc_zero();
    for (r = 0; r + 2 <= rows; r += 2) {
        const fc_vec d = fc_load_lanes(src + r * step, lanes) - middle;
        const fc_vec e = fc_load_lanes(src + (r + 1) * step, lanes) - middle;
        sum += d + e;
        squares += d * d;
        squares2 += e * e;
    }
    if (r < rows) {
        const fc_vec d = fc_load_lanes(src + r * step, lanes) - middle;
        sum += d;
        squares += d * d;
    }
    squares += squares2;
    for (int i = 0; i < lanes; i++) {
        const double off = (double)sum[i] / (double)rows;
        out[i] = (fc_moments){(double)middle[i] + off, (double)squares[i] - off * off * (double)rows};
    }
}

static void moments_columns(ptrdiff_t rows, ptrdiff_t step, ptrdiff_t columns, const void *from, fc_moments *out)
{
    for (ptrdiff_t c = 0; c < columns; c += FC_LANES)
        column_moments(rows, step, fc_lanes_left(columns, c), (const FC_REAL *)from + c, out + c);
}

/* ---- sums of gradients -------------------------------------------------------------------------------------- */

static void sums_row(ptrdiff_t count, const void *from, const void *of, double mean, fc_norm_sums *out)
{
    const FC_REAL *src = from, *grad = of;
    const fc_vec middle = fc_splat((FC_REAL)mean);
    fc_norm_sums all = {0, 0};
    for (ptrdiff_t first = 0; first < count; first += BLOCK) {
        const ptrdiff_t end = first + BLOCK < count ? first + BLOCK : count;
        fc_vec sum[CHAINS] = {fc_zero(), fc_zero(), fc_zero(), fc_zero()};
        fc_vec product[CHAINS] = {fc_zero(), fc_zero(), fc_zero(), fc_zero()};
        ptrdiff_t i = first;
        for (; i + CHAINS * FC_LANES <= end; i += CHAINS * FC_LANES) {
            for (int k = 0; k < CHAINS; k++) {
                const fc_vec g = fc_load(grad + i + k * FC_LANES);
                sum[k] += g;
                product[k] += g * (fc_load(src + i + k * FC_LANES) - middle);
            }
        }
        for (int k = 0; k < CHAINS && i < end; k++, i += FC_LANES) {
            const int lanes = fc_lanes_left(end, i);
            const fc_vec g = fc_load_lanes(grad + i, lanes);
            sum[k] += g;
            product[k] += masked(g * (fc_load_lanes(src + i, lanes) - middle), lanes);
        }
        all.grad += (double)sum_chains(sum);
        all.product += (double)sum_chains(product);
    }
    all.product += ((double)(FC_REAL)mean - mean) * all.grad;
    *out = all;
}

static void sums_columns(ptrdiff_t rows, ptrdiff_t step, ptrdiff_t columns, const void *from, const void *of,
                         const void *mean, fc_norm_sums *out)
{
    for (ptrdiff_t c = 0; c < columns; c += FC_LANES) {
        const int lanes = fc_lanes_left(columns, c);
        const FC_REAL *src = (const FC_REAL *)from + c, *grad = (const FC_REAL *)of + c;
        const fc_vec middle = fc_load_lanes((const FC_REAL *)mean + c, lanes);
        fc_vec sum[2] = {fc_zero(), fc_zero()}, product[2] = {fc_zero(), fc_zero()};
        for (ptrdiff_t r = 0; r < rows; r++) {
            const fc_vec g = fc_load_lanes(grad + r * step, lanes);
            sum[r & 1] += g;
            product[r & 1] += g * (fc_load_lanes(src + r * step, lanes) - middle);
        }
        const fc_vec sums = sum[0] + sum[1], products = product[0] + product[1];
        for (int i = 0; i < lanes; i++)
            out[c + i] = (fc_norm_sums){(double)sums[i], (double)products[i]};
    }
}

/* ---- scaling ------------------------------------------------------------------------------------------------ */

/* With a gradient the value is grad * slope + ((src - mean) * scale + shift). */
FC_INLINE void scale_row(const bool back, ptrdiff_t count, const FC_REAL *src, const FC_REAL *grad,
                         const fc_norm_factors *factors, FC_REAL *dst)
{
    const fc_vec mean = fc_splat(*(const FC_REAL *)factors->mean), scale = fc_splat(*(const FC_REAL *)factors->scale);
    const fc_vec shift = fc_splat(*(const FC_REAL *)factors->shift);
    const fc_vec slope = back ? fc_splat(*(const FC_REAL *)factors->slope) : fc_zero();
    for (ptrdiff_t i = 0; i < count; i += FC_LANES) {
        const int lanes = fc_lanes_left(count, i);
        fc_vec y = (fc_load_lanes(src + i, lanes) - mean) * scale + shift;
        if (back)
            y += fc_load_lanes(grad + i, lanes) * slope;
        fc_store_lanes(dst + i, y, lanes);
    }
}

static void row(ptrdiff_t count, const void *src, const void *grad, const fc_norm_factors *factors, void *dst)
{
    if (grad)
        scale_row(true, count, src, grad, factors, dst);
    else
        scale_row(false, count, src, NULL, factors, dst);
}

FC_INLINE void scale_columns(const bool back, ptrdiff_t rows, ptrdiff_t step, ptrdiff_t columns, const FC_REAL *src,
                             const FC_REAL *grad, const fc_norm_factors *factors, FC_REAL *dst)
{
    for (ptrdiff_t r = 0; r < rows; r++) {
        for (ptrdiff_t c = 0; c < columns; c += FC_LANES) {
            const int lanes = fc_lanes_left(columns, c);
            const fc_vec mean = fc_load_lanes((const FC_REAL *)factors->mean + c, lanes);
            const fc_vec scale = fc_load_lanes((const FC_REAL *)factors->scale + c, lanes);
            const fc_vec shift = fc_load_lanes((const FC_REAL *)factors->shift + c, lanes);
            fc_vec y = (fc_load_lanes(src + r * step + c, lanes) - mean) * scale + shift;
            if (back)
                y += fc_load_lanes(grad + r * step + c, lanes) *
                     fc_load_lanes((const FC_REAL *)factors->slope + c, lanes);
            fc_store_lanes(dst + r * step + c, y, lanes);
        }
    }
}

static void columns(ptrdiff_t rows, ptrdiff_t step, ptrdiff_t count, const void *src, const void *grad,
                    const fc_norm_factors *factors, void *dst)
{
    if (grad)
        scale_columns(true, rows, step, count, src, grad, factors, dst);
    else
        scale_columns(false, rows, step, count, src, NULL, factors, dst);
}

/* ---- layers ------------------------------------------------------------------------------------------------- */

FC_INLINE fc_vec load_or_one(const FC_REAL *p, ptrdiff_t i, int lanes)
{
    return p ? fc_load_lanes(p + i, lanes) : fc_splat(1);
}

static void layer_row(ptrdiff_t count, const void *from, const void *weight, const void *bias, double mean, double rstd,
                      void *to)
{
    const FC_REAL *src = from, *add = bias;
    FC_REAL *dst = to;
    const FC_REAL high = (FC_REAL)mean, low = (FC_REAL)((mean - (double)high) * rstd);
    const fc_vec middle = fc_splat(high), scale = fc_splat((FC_REAL)rstd), rest = fc_splat(low);
    for (ptrdiff_t i = 0; i < count; i += FC_LANES) {
        const int lanes = fc_lanes_left(count, i);
        const fc_vec y = ((fc_load_lanes(src + i, lanes) - middle) * scale - rest) * load_or_one(weight, i, lanes);
        fc_store_lanes(dst + i, add ? y + fc_load_lanes(add + i, lanes) : y, lanes);
    }
}

static void layer_row_grad(ptrdiff_t count, const void *from, const void *of, const void *weight, double mean,
                           double rstd, void *to)
{
    const FC_REAL *src = from, *grad = of;
    FC_REAL *dst = to;
    const fc_vec middle = fc_splat((FC_REAL)mean);
    double sum = 0, product = 0;
    for (ptrdiff_t first = 0; first < count; first += BLOCK) {
        const ptrdiff_t end = first + BLOCK < count ? first + BLOCK : count;
        fc_vec sums[2] = {fc_zero(), fc_zero()}, products[2] = {fc_zero(), fc_zero()};
        for (ptrdiff_t i = first, k = 0; i < end; i += FC_LANES, k ^= 1) {
            const int lanes = fc_lanes_left(end, i);
            const fc_vec g = fc_load_lanes(grad + i, lanes) * load_or_one(weight, i, lanes);
            sums[k] += g;
            products[k] += masked(g * (fc_load_lanes(src + i, lanes) - middle), lanes);
        }
        sum += (double)fc_sum_lanes(sums[0] + sums[1]);
        product += (double)fc_sum_lanes(products[0] + products[1]);
    }
    product += ((double)(FC_REAL)mean - mean) * sum;
    const double off = product / (double)count * rstd * rstd;
    const fc_vec slope = fc_splat((FC_REAL)off), scale = fc_splat((FC_REAL)rstd);
    const fc_vec shift = fc_splat((FC_REAL)(sum / (double)count + ((double)(FC_REAL)mean - mean) * off));
    for (ptrdiff_t i = 0; i < count; i += FC_LANES) {
        const int lanes = fc_lanes_left(count, i);
        const fc_vec g = fc_load_lanes(grad + i, lanes) * load_or_one(weight, i, lanes);
        const fc_vec y = (g - shift) - (fc_load_lanes(src + i, lanes) - middle) * slope;
        fc_store_lanes(dst + i, y * scale, lanes);
    }
}

static void layer_sums(ptrdiff_t rows, ptrdiff_t step, ptrdiff_t count, const void *from, const void *of,
                       const double *mean, const double *rstd, void *weight_sum, void *bias_sum)
{
    for (ptrdiff_t c = 0; c < count; c += FC_LANES) {
        const int lanes = fc_lanes_left(count, c);
        const FC_REAL *src = (const FC_REAL *)from + c, *grad = (const FC_REAL *)of + c;
        FC_REAL *weights = (FC_REAL *)weight_sum + c, *biases = (FC_REAL *)bias_sum + c;
        fc_vec product = fc_zero(), sum = fc_zero();
        for (ptrdiff_t r = 0; r < rows; r++) {
            const fc_vec g = fc_load_lanes(grad + r * step, lanes);
            const fc_vec d = fc_load_lanes(src + r * step, lanes) - (FC_REAL)mean[r];
            product += g * (d * (FC_REAL)rstd[r]);
            sum += g;
        }
        fc_store_lanes(weights, fc_load_lanes(weights, lanes) + product, lanes);
        fc_store_lanes(biases, fc_load_lanes(biases, lanes) + sum, lanes);
    }
}

extern const struct fc_norm_kernels FC_NAME(norm);

const struct fc_norm_kernels FC_NAME(norm) = {
    .moments_row = moments_row,
    .moments_columns = moments_columns,
    .sums_row = sums_row,
    .sums_columns = sums_columns,
    .row = row,
    .columns = columns,
    .layer_row = layer_row,
    .layer_row_grad = layer_row_grad,
    .layer_sums = layer_sums,
};
