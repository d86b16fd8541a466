/* Takes the results of a block of images, one image a lane, to the images. */
#include "dispatch/conv_kernels.h"
#include "epilogue.h"
#include "simd.h"

FC_INLINE void store(const fc_image_store *s, const fc_activation kind)
{
    const FC_REAL *bias = s->bias;
    for (ptrdiff_t c = 0; c < s->channels; c++) {
        const fc_vec shift = fc_splat(bias ? bias[c] : (FC_REAL)-0.0);
        for (ptrdiff_t p = 0; p < s->positions; p += FC_LANES) {
            const int left = fc_lanes_left(s->positions, p);
            const FC_REAL *acc = (const FC_REAL *)s->acc + (p * s->channels + c) * FC_LANES;
            FC_REAL *dst = (FC_REAL *)s->dst + c * s->channel_step + p;
            fc_vec v[FC_LANES];
            _Pragma("GCC unroll 16") for (int i = 0; i < FC_LANES; i++)
            {
                v[i] = i < left ? fc_load(acc + i * s->channels * FC_LANES) + shift : fc_zero();
                v[i] = fc_activate(kind, 0, 0, v[i]);
            }
            fc_transpose_lanes(v);
            _Pragma("GCC unroll 16") for (int i = 0; i < FC_LANES; i++) if (i < s->live)
                fc_store_lanes(dst + i * s->image_step, v[i], left);
        }
    }
}

/* Activations that are not a few instructions are applied before, in a loop of their own; and biases, where channels
 * lie side by side: then a position's are one row of results. */
void FC_NAME(store_images)(const fc_image_store *s)
{
    const fc_activation kind = s->epilogue->activation;
    if (kind == FC_IDENTITY && !s->interleaved) {
        store(s, FC_IDENTITY);
    } else if (kind == FC_RELU && !s->interleaved) {
        store(s, FC_RELU);
    } else {
        const FC_REAL *bias = s->bias;
        FC_REAL *acc = s->acc;
        for (ptrdiff_t p = 0; p < s->positions; p++)
            for (ptrdiff_t c = 0; c < s->channels; c++, acc += FC_LANES) {
                const fc_vec value = fc_load(acc) + fc_splat(bias ? bias[c] : (FC_REAL)-0.0);
                fc_store(acc, fc_finish(s->epilogue, value));
            }
        fc_image_store finished = *s;
        finished.bias = NULL;
        if (s->interleaved) {
            finished.positions *= s->channels;
            finished.channels = 1;
        }
        store(&finished, FC_IDENTITY);
    }
}
