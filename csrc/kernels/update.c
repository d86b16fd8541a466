/* Steps of optimizers, and dropout. Loops over elements that the compiler turns into vectors. */
#include "dispatch/update_kernels.h"
#include "simd.h"

#include <math.h>

/* ---- optimizers -------------------------------------------------------------------------------------------- */

/* What all rules begin with: the gradient, scaled and clipped (NaN stays), and the weight, decayed. */
typedef struct {
    FC_REAL scale, limit, keep;
} shared;

FC_INLINE FC_REAL clipped(const shared *s, FC_REAL gradient)
{
    const FC_REAL g = gradient * s->scale;
    return g > s->limit ? s->limit : g < -s->limit ? -s->limit : g;
}

FC_INLINE void sgd(const fc_update *u, const shared s, ptrdiff_t count, FC_REAL *FC_RESTRICT w,
                   const FC_REAL *FC_RESTRICT g, FC_REAL *FC_RESTRICT velocity)
{
    const FC_REAL rate = (FC_REAL)u->rate, momentum = (FC_REAL)u->momentum;
    if (velocity == NULL) {
        for (ptrdiff_t i = 0; i < count; i++)
            w[i] = w[i] * s.keep - clipped(&s, g[i]) * rate;
    } else if (u->nesterov) {
        for (ptrdiff_t i = 0; i < count; i++) {
            const FC_REAL step = clipped(&s, g[i]) * rate, v = velocity[i] * momentum - step;
            velocity[i] = v;
            w[i] = w[i] * s.keep - step + v * momentum;
        }
    } else {
        for (ptrdiff_t i = 0; i < count; i++) {
            const FC_REAL v = velocity[i] * momentum - clipped(&s, g[i]) * rate;
            velocity[i] = v;
            w[i] = w[i] * s.keep + v;
        }
    }
}

/* `momentum` and `average` may be NULL: each combination is a loop of its own. */
FC_INLINE void rmsprop(const fc_update *u, const shared s, ptrdiff_t count, FC_REAL *FC_RESTRICT w,
                       const FC_REAL *FC_RESTRICT g, FC_REAL *FC_RESTRICT velocity, FC_REAL *FC_RESTRICT momentum,
                       FC_REAL *FC_RESTRICT average)
{
    const FC_REAL rate = (FC_REAL)u->rate, inertia = (FC_REAL)u->momentum, epsilon = (FC_REAL)u->epsilon;
    const FC_REAL past = (FC_REAL)u->second, present = (FC_REAL)(1 - u->second);
    for (ptrdiff_t i = 0; i < count; i++) {
        const FC_REAL x = clipped(&s, g[i]), v = velocity[i] * past + x * x * present;
        FC_REAL spread = v;
        velocity[i] = v;
        if (average) {
            const FC_REAL mean = average[i] * past + x * present;
            average[i] = mean;
            spread = v - mean * mean;
        }
        FC_REAL step = x / FC_ROOT(spread + epsilon) * rate;
        if (momentum) {
            step = momentum[i] * inertia + step;
            momentum[i] = step;
        }
        w[i] = w[i] * s.keep - step;
    }
}

FC_INLINE void adam(const fc_update *u, const shared s, ptrdiff_t count, FC_REAL *FC_RESTRICT w,
                    const FC_REAL *FC_RESTRICT g, FC_REAL *FC_RESTRICT momentum, FC_REAL *FC_RESTRICT velocity,
                    FC_REAL *FC_RESTRICT largest)
{
    const FC_REAL rate = (FC_REAL)u->rate, epsilon = (FC_REAL)u->epsilon;
    const FC_REAL first = (FC_REAL)(1 - u->first), second = (FC_REAL)(1 - u->second);
    for (ptrdiff_t i = 0; i < count; i++) {
        const FC_REAL x = clipped(&s, g[i]);
        const FC_REAL m = momentum[i] + (x - momentum[i]) * first, v = velocity[i] + (x * x - velocity[i]) * second;
        FC_REAL top = v;
        momentum[i] = m;
        velocity[i] = v;
        if (largest) {
            top = largest[i] > v ? largest[i] : v;
            largest[i] = top;
        }
        w[i] = w[i] * s.keep - m / (FC_ROOT(top) + epsilon) * rate;
    }
}

static void update(const fc_update *u, const fc_variable *variable, ptrdiff_t first, ptrdiff_t count)
{
    const shared s = {(FC_REAL)variable->scale, (FC_REAL)u->limit, (FC_REAL)variable->keep};
    FC_REAL *w = (FC_REAL *)variable->value + first, *slots[FC_SLOTS];
    const FC_REAL *g = (const FC_REAL *)variable->gradient + first;
    for (int i = 0; i < FC_SLOTS; i++)
        slots[i] = variable->slots[i] ? (FC_REAL *)variable->slots[i] + first : NULL;
    switch (u->kind) {
    case FC_SGD:
        sgd(u, s, count, w, g, slots[0]);
        break;
    case FC_RMSPROP:
        if (slots[1] && slots[2])
            rmsprop(u, s, count, w, g, slots[0], slots[1], slots[2]);
        else if (slots[1])
            rmsprop(u, s, count, w, g, slots[0], slots[1], NULL);
        else if (slots[2])
            rmsprop(u, s, count, w, g, slots[0], NULL, slots[2]);
        else
            rmsprop(u, s, count, w, g, slots[0], NULL, NULL);
        break;
    case FC_ADAM:
        if (slots[2])
            adam(u, s, count, w, g, slots[0], slots[1], slots[2]);
        else
            adam(u, s, count, w, g, slots[0], slots[1], NULL);
        break;
    }
}

/* Four sums side by side: one waits for the other's addition. */
static double sum_squares(ptrdiff_t count, const void *data)
{
    const FC_REAL *x = data;
    double sums[4] = {0};
    ptrdiff_t i = 0;
    for (; i + 4 <= count; i += 4)
        for (int k = 0; k < 4; k++)
            sums[k] += (double)x[i + k] * (double)x[i + k];
    for (int k = 0; i < count; i++, k++)
        sums[k] += (double)x[i] * (double)x[i];
    return sums[0] + sums[1] + (sums[2] + sums[3]);
}

/* ---- dropout ----------------------------------------------------------------------------------------------- */

/* Philox4x32-10: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. */
enum { WIDTH = FC_DRAWN_TOGETHER / 4, ROUNDS = 10 };

typedef struct {
    uint32_t word[4][WIDTH]; /* of so many counters, side by side */
} philox;

FC_INLINE void draw_words(uint64_t key, const int width, philox *p)
{
    uint32_t key0 = (uint32_t)key, key1 = (uint32_t)(key >> 32);
    for (int round = 0; round < ROUNDS; round++, key0 += 0x9E3779B9u, key1 += 0xBB67AE85u)
        for (int i = 0; i < width; i++) {
            const uint64_t first = (uint64_t)0xD2511F53u * p->word[0][i], third = (uint64_t)0xCD9E8D57u * p->word[2][i];
            p->word[0][i] = (uint32_t)(third >> 32) ^ p->word[1][i] ^ key0;
            p->word[1][i] = (uint32_t)third;
            p->word[2][i] = (uint32_t)(first >> 32) ^ p->word[3][i] ^ key1;
            p->word[3][i] = (uint32_t)first;
        }
}

/* Elements 0 … 63 of a row are words 0 of counters 0 … 15, then their words 1, and so on. */
static void dropout(const fc_draw *draw, ptrdiff_t row, ptrdiff_t first, ptrdiff_t count, const void *from, void *to)
{
    const FC_REAL *src = from, factor = (FC_REAL)draw->factor;
    FC_REAL *dst = to;
    for (ptrdiff_t at = 0; at < count; at += FC_DRAWN_TOGETHER) {
        const uint32_t counter = (uint32_t)((first + at) / 4);
        philox p;
        for (int i = 0; i < WIDTH; i++) {
            p.word[0][i] = counter + (uint32_t)i;
            p.word[1][i] = (uint32_t)row;
            p.word[2][i] = (uint32_t)draw->call;
            p.word[3][i] = (uint32_t)(draw->call >> 32);
        }
        draw_words(draw->key, WIDTH, &p);
        const uint32_t *word = &p.word[0][0];
        const int live = count - at < FC_DRAWN_TOGETHER ? (int)(count - at) : FC_DRAWN_TOGETHER;
        for (int i = 0; i < live; i++)
            dst[at + i] = src[at + i] * (word[i] >= draw->threshold ? factor : 0);
    }
}

static void dropout_lanes(const fc_draw *draw, ptrdiff_t row, ptrdiff_t count, const void *from, void *to)
{
    const FC_REAL *src = from, factor = (FC_REAL)draw->factor;
    FC_REAL *dst = to;
    for (ptrdiff_t at = 0; at < count; at += FC_DRAWN_TOGETHER)
        for (int k = 0; k < WIDTH && at + k < count; k++) {
            philox p;
            for (int i = 0; i < FC_LANES; i++) {
                p.word[0][i] = (uint32_t)(at / 4 + k);
                p.word[1][i] = (uint32_t)(row + i);
                p.word[2][i] = (uint32_t)draw->call;
                p.word[3][i] = (uint32_t)(draw->call >> 32);
            }
            draw_words(draw->key, FC_LANES, &p);
            for (int w = 0; w < 4 && at + w * WIDTH + k < count; w++) {
                const ptrdiff_t element = (at + w * WIDTH + k) * FC_LANES;
                for (int i = 0; i < FC_LANES; i++)
                    dst[element + i] = src[element + i] * (p.word[w][i] >= draw->threshold ? factor : 0);
            }
        }
}

extern const struct fc_update_kernels FC_NAME(update);
const struct fc_update_kernels FC_NAME(update) = {
    .update = update,
    .sum_squares = sum_squares,
    .dropout = dropout,
    .dropout_lanes = dropout_lanes,
};
