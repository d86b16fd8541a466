/* The engine's only public header: descriptors, plan / pack / run, status codes.
 *
 * Nothing here allocates: the caller owns every buffer, and asks the plan how large it must be. Extents, strides
 * and offsets are in elements (ptrdiff_t), sizes of buffers in bytes (size_t). Spatial arrays hold depth, height,
 * width; an operator with fewer spatial dimensions leaves the leading ones at extent 1, kernel 1, stride 1.
 *
 *   n batch   ic, oc input, output channels   src, dst arrays that are read, written
 *
 * Arrays are contiguous, in the layout that the descriptor names:
 *   FC_CHANNELS_FIRST  (n, c, depth, height, width)
 *   FC_CHANNELS_LAST   (n, depth, height, width, c)
 */
#ifndef FASTCONV_H
#define FASTCONV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FC_SPATIAL = 3, FC_ALIGNMENT = 64 };

typedef enum {
    FC_OK,
    FC_BAD_SHAPE,    /* an extent, stride, dilation, kernel or group count is out of its range */
    FC_EMPTY_OUTPUT, /* the kernel reaches past the padded input: no output position exists */
    FC_OVERFLOW,     /* a product of extents does not fit 63 bits */
    FC_UNSUPPORTED,  /* this algorithm or instruction set cannot serve this descriptor */
    FC_STOPPED,      /* the caller wanted to stop: what was to be written is there in part */
} fc_status;

typedef enum { FC_F32, FC_F64, FC_DTYPES } fc_dtype;
typedef enum { FC_CHANNELS_FIRST, FC_CHANNELS_LAST } fc_layout;
typedef enum { FC_BASELINE, FC_AVX2, FC_AVX512, FC_NEON, FC_ISAS } fc_isa;
typedef enum { FC_AUTO, FC_DIRECT, FC_IM2COL, FC_WINOGRAD } fc_algorithm;

/* FC_ONCE: weights are packed for a single run, so that packing counts; FC_MANY: they are packed once for many. */
typedef enum { FC_MANY, FC_ONCE } fc_reuse;

/* FC_HIGH: algorithms that transform their input are allowed; FC_HIGHEST: every output is the sum of its own products.
 * An algorithm that is asked for by name wins over it. */
typedef enum { FC_HIGH, FC_HIGHEST } fc_precision;

/* Activations y = f(x). `alpha` and `beta` are the parameters named beside each; others ignore them.
 * "from y" and "from x" say which of the two fc_activation_grad expects as `saved`. */
typedef enum {
    FC_IDENTITY,
    FC_RELU,         /* from y */
    FC_RELU6,        /* from y */
    FC_LEAKY_RELU,   /* from y; alpha: slope below zero */
    FC_ELU,          /* from y; alpha: scale below zero */
    FC_SELU,         /* from y */
    FC_TANH,         /* from y */
    FC_SIGMOID,      /* from y */
    FC_HARD_SIGMOID, /* from y: clip(x / 6 + 1/2, 0, 1) */
    FC_HARD_SWISH,   /* from x: x * hard_sigmoid(x) */
    FC_SILU,         /* from x: x * sigmoid(x) */
    FC_GELU,         /* from x: x * Phi(x) */
    FC_GELU_TANH,    /* from x: gelu's tanh form */
    FC_SOFTPLUS,     /* from x: log(1 + exp(beta x)) / beta, x itself where beta x > alpha (threshold) */
    FC_EXP,          /* from y */
    FC_ACTIVATIONS
} fc_activation;

/* ---- instruction sets ------------------------------------------------------------------------------------- */

bool fc_isa_available(fc_isa isa);    /* built into this library, and the processor and its system run it */
const char *fc_isa_name(fc_isa isa);  /* "baseline", "avx2", "avx512", "neon" */
fc_isa fc_isa_best(void);             /* the widest one available */
bool fc_openmp(void);                 /* built with OpenMP */
int fc_max_threads(void);             /* as many as OpenMP says; 1 without it */
double fc_stream_bytes(double bytes); /* a cycle, of so many that one core reads in turn, again and again */
size_t fc_l2_bytes(void);             /* of one core's second-level cache, as far as the system tells */

/* What runs ask on the caller's thread, twenty times a second if they take so long: whether to end with FC_STOPPED. */
void fc_set_poll(bool (*poll)(void));

/* Whether short runs wake sleeping threads too, which costs them more than it brings: tests want threads everywhere. */
void fc_wake_always(bool always);

/* Does `rounds` rounds of multiply-adds in registers and returns their number: timed, the processor's peak. */
double fc_multiply_adds(fc_dtype dtype, fc_isa isa, ptrdiff_t rounds);

/* ---- convolution ------------------------------------------------------------------------------------------ */

typedef enum { FC_FORWARD, FC_BACKWARD_INPUT, FC_BACKWARD_WEIGHT } fc_direction;

/* Always describes the forward convolution: `ic` x `src` goes in, `oc` x `dst` comes out; `direction` says which
 * of its three products is computed. A backward-input run reads dst-shaped gradients and writes src-shaped ones. */
typedef struct {
    fc_dtype dtype;
    fc_layout layout;
    fc_isa isa;
    fc_direction direction;
    fc_algorithm algorithm;
    fc_reuse reuse;
    fc_precision precision;
    fc_activation activation; /* of what a run writes, forward or backward-input */
    double alpha, beta;       /* the activation's parameters */
    ptrdiff_t ic, oc, groups;
    ptrdiff_t src[FC_SPATIAL], kernel[FC_SPATIAL], stride[FC_SPATIAL], dilation[FC_SPATIAL];
    ptrdiff_t pad_begin[FC_SPATIAL], pad_end[FC_SPATIAL];
    ptrdiff_t dst[FC_SPATIAL]; /* filled in by fc_conv_extents and fc_conv_plan_make */
} fc_conv_desc;

typedef enum {
    FC_FAMILY_CHANNEL,
    FC_FAMILY_PLANE,
    FC_FAMILY_DEPTHWISE,
    FC_FAMILY_WEIGHT_GRAD,
    FC_FAMILY_FILTER,
    FC_FAMILY_WINOGRAD
} fc_family;

/* Winograd's form, with rows and columns exchanged or not, and its blocks: tiles of outputs, input channels that are
 * transformed together, output channels that share them. */
typedef struct {
    int form;
    bool exchanged;
    ptrdiff_t tiles, ic, oc;
} fc_winograd_blocks;

/* Where a plane's register tile reads its products: in a band of rows that all taps share, in one with a copy for each
 * column of the kernel, or in panels that hold them in the tile's order. */
typedef enum { FC_PLANE_SHARED, FC_PLANE_COLUMNS, FC_PLANE_PANELS } fc_plane_form;

/* Plain data: no pointers, valid for any batch and thread count, bound to the instruction set it names. */
typedef struct {
    fc_conv_desc given;     /* as it was described */
    fc_conv_desc desc;      /* as it runs: the same, or a 1x1 convolution that comes to the same, or channels-last */
    ptrdiff_t turned;       /* images that are turned to channels-last together; 0: they are not */
    fc_algorithm algorithm; /* never FC_AUTO */
    fc_family family;
    int vectors, rows;          /* the register tile: vectors of lanes, rows of accumulators */
    int lanes;                  /* elements of one vector */
    ptrdiff_t sum_length;       /* products that are added before a partial sum is put away */
    ptrdiff_t tile[FC_SPATIAL]; /* output positions of one unit of work: of a plane, or of an im2col panel */
    bool along_pixels;          /* vectors of a weight gradient run along pixels */
    int group_width;            /* channels of a group of those that were joined to fill vectors; 0: none were */
    bool reads_weights;         /* a short run may take weights that are not packed */
    bool skips;                 /* tiles skip taps that meet nothing but padding, where all weights are finite */
    bool joined;                /* rows of a weight gradient's tile run over taps and channels */
    fc_plane_form form;         /* this and the next six: of the plane family */
    bool flat;                  /* a 1x1 convolution of stride 1, for which images are lines of pixels */
    bool blocks_of_images;      /* batches go through vectors along images */
    bool channel_lanes;         /* channels-first depthwise images are turned, a vector of channels at a time */
    ptrdiff_t block;            /* input channels that are added at once */
    ptrdiff_t band;             /* elements of a band of so many channels */
    ptrdiff_t stretch;          /* positions whose sums a unit stores together: of some register tiles */
    ptrdiff_t panels;           /* stretches along a unit's positions */
    fc_winograd_blocks winograd;
    size_t packed_bytes;    /* of packed weights, 64-byte aligned */
    size_t workspace_bytes; /* of one thread's workspace, a multiple of 128 */
    size_t shared_bytes;    /* of workspace besides, shared by all threads */
    double flops;           /* of one image: two per multiply-add */
} fc_conv_plan;

fc_status fc_conv_extents(fc_conv_desc *desc);
fc_status fc_conv_plan_make(const fc_conv_desc *desc, fc_conv_plan *plan);

/* Bytes of workspace for a run of n images on `threads` threads; SIZE_MAX when that overflows. */
size_t fc_conv_workspace(const fc_conv_plan *plan, ptrdiff_t n, int threads);

/* weights: (oc, ic / groups, kernel...) at the given element strides, in the order o, i, depth, height, width. */
fc_status fc_conv_pack(const fc_conv_plan *plan, const void *weights, const ptrdiff_t strides[2 + FC_SPATIAL],
                       void *packed, int threads);

/* dst = activation(conv(src, packed) + bias + residual). bias (oc) and residual (dst's shape) may be NULL.
 * Backward-input plans take the output's gradient as src and write the input's gradient: a transposed convolution,
 * whose bias is (ic) and whose residual has src's shape. */
fc_status fc_conv_run(const fc_conv_plan *plan, ptrdiff_t n, const void *src, const void *packed, const void *bias,
                      const void *residual, void *dst, void *workspace, int threads);

/* The same with weights that serve one run. They are packed to `packed`, packed_bytes of it, or on the way. */
fc_status fc_conv_once(const fc_conv_plan *plan, ptrdiff_t n, const void *src, const void *weights,
                       const ptrdiff_t strides[2 + FC_SPATIAL], void *packed, const void *bias, const void *residual,
                       void *dst, void *workspace, int threads);

/* For a plan with direction FC_BACKWARD_WEIGHT: the gradient of the weights, written at the given strides. */
fc_status fc_conv_weight_grad(const fc_conv_plan *plan, ptrdiff_t n, const void *src, const void *grad, void *dweights,
                              const ptrdiff_t strides[2 + FC_SPATIAL], void *workspace, int threads);

/* out[c] = sum of grad over the batch and all `pixels`. */
fc_status fc_bias_grad(fc_dtype dtype, fc_layout layout, fc_isa isa, ptrdiff_t n, ptrdiff_t channels, ptrdiff_t pixels,
                       const void *grad, void *out, int threads);

/* ---- pooling ---------------------------------------------------------------------------------------------- */

typedef enum { FC_POOL_MAX, FC_POOL_AVERAGE } fc_pool_kind;

typedef struct {
    fc_dtype dtype;
    fc_layout layout;
    fc_isa isa;
    fc_pool_kind kind;
    bool adaptive;    /* dst is given, kernel, stride, dilation and padding are ignored */
    bool ceil_mode;   /* a last window that hangs over is kept unless it starts in the right padding */
    bool by_channel;  /* sums run as channels-last ones do even for a single channel */
    bool include_pad; /* an average counts padded positions */
    double divisor;   /* of an average; 0: the number of positions counted */
    ptrdiff_t channels;
    ptrdiff_t src[FC_SPATIAL], kernel[FC_SPATIAL], stride[FC_SPATIAL], dilation[FC_SPATIAL];
    ptrdiff_t pad_begin[FC_SPATIAL], pad_end[FC_SPATIAL];
    ptrdiff_t dst[FC_SPATIAL]; /* filled in by fc_pool_plan_make unless adaptive */
} fc_pool_desc;

typedef struct {
    fc_pool_desc desc;
    size_t workspace_bytes; /* of one thread, forward or backward */
} fc_pool_plan;

fc_status fc_pool_plan_make(const fc_pool_desc *desc, fc_pool_plan *plan);

/* indices (int64, dst's shape; NULL when not wanted): a maximum's position, flat within its spatial volume.
 * A window with a NaN gives NaN and the last NaN's position, as torch; one that holds only padding gives -inf, -1. */
fc_status fc_pool_run(const fc_pool_plan *plan, ptrdiff_t n, const void *src, void *dst, int64_t *indices,
                      void *workspace, int threads);

/* dsrc (src's shape) is overwritten. Maximum: by `indices`, each in [-1, src's volume) — others are FC_BAD_SHAPE
 * and checked before dsrc is touched — or, with indices NULL, by looking for the maxima of `src` again. */
fc_status fc_pool_backward(const fc_pool_plan *plan, ptrdiff_t n, const void *src, const int64_t *indices,
                           const void *grad, void *dsrc, void *workspace, int threads);

/* ---- pointwise -------------------------------------------------------------------------------------------- */

/* dst[i] = f(src[i]); dst may be src. */
fc_status fc_activation_run(fc_dtype dtype, fc_isa isa, fc_activation kind, double alpha, double beta, ptrdiff_t count,
                            const void *src, void *dst, int threads);

/* dst[i] = grad[i] * f'(…), `saved` being y or x as said beside each activation; dst may be grad or saved. */
fc_status fc_activation_grad(fc_dtype dtype, fc_isa isa, fc_activation kind, double alpha, double beta, ptrdiff_t count,
                             const void *grad, const void *saved, void *dst, int threads);

/* Along the middle axis of (outer, axis, inner); dst may be src. */
fc_status fc_softmax_run(fc_dtype dtype, fc_isa isa, bool logarithm, ptrdiff_t outer, ptrdiff_t axis, ptrdiff_t inner,
                         const void *src, void *dst, int threads);
fc_status fc_softmax_grad(fc_dtype dtype, fc_isa isa, bool logarithm, ptrdiff_t outer, ptrdiff_t axis, ptrdiff_t inner,
                          const void *grad, const void *result, void *dst, int threads);

/* ---- copies by lists of places ------------------------------------------------------------------------------ */

/* Position i of an axis of dst holds position places[axis][i] of src, or `value` where that is -1; NULL: position i. */
typedef struct {
    fc_dtype dtype;
    ptrdiff_t lead, src[FC_SPATIAL], dst[FC_SPATIAL], trail; /* (lead, three axes, trail) */
    const ptrdiff_t *places[FC_SPATIAL];
    double value;
} fc_gather_desc;

fc_status fc_gather_run(const fc_gather_desc *desc, const void *src, void *dst, int threads);

/* ---- weighted sums of places: interpolation ------------------------------------------------------------------ */

/* Position i of an axis of dst is the sum of weights[axis][t] times position places[axis][t] of src over begin[axis][i]
 * <= t < begin[axis][i + 1]; an axis without `begin` stays as it is. */
typedef struct {
    fc_dtype dtype;
    fc_isa isa;
    ptrdiff_t lead, src[FC_SPATIAL], dst[FC_SPATIAL], trail; /* (lead, three axes, trail) */
    const ptrdiff_t *begin[FC_SPATIAL], *places[FC_SPATIAL];
    const void *weights[FC_SPATIAL];
} fc_blend_desc;

size_t fc_blend_workspace(const fc_blend_desc *desc, int threads); /* SIZE_MAX when that overflows */
fc_status fc_blend_run(const fc_blend_desc *desc, const void *src, void *dst, void *workspace, int threads);

/* ---- filters of images, line by line ------------------------------------------------------------------------ */

typedef enum {
    FC_SAMPLE_U8,
    FC_SAMPLE_I8,
    FC_SAMPLE_U16,
    FC_SAMPLE_I16,
    FC_SAMPLE_I32,
    FC_SAMPLE_F32,
    FC_SAMPLE_F64,
} fc_sample;
typedef enum { FC_LINES_SUM, FC_LINES_LARGEST, FC_LINES_SMALLEST } fc_lines_kind;

/* One pass over windows of rows x columns. A sum over one axis adds as scipy.ndimage does, so that what is cut off at
 * the point is the same: in double every product is rounded, the last one comes first, and where `fold` is 1 or -1 the
 * middle one does and then each weight t meets src[t] + src[last - t], or their difference. Of a kernel over two axes,
 * zeros are left out. */
typedef struct {
    ptrdiff_t rows, columns;
    const double *weights; /* rows x columns; not of extrema */
    int fold;
    double divisor; /* of the sum */
    double bound;   /* how far a float sum of whole numbers may be from that in double, which is then cut off where it
                     * should be; 1: all are summed in double; 0: none has to be */
} fc_lines_pass;

/* What becomes of a result in elements: its square, to which what `dst` holds is added, and the root of that. */
enum { FC_LINES_SQUARE = 1, FC_LINES_ADD = 2, FC_LINES_ROOT = 4 };

/* Images (n, height, width, trail): windows step over whole trails. What windows see beyond an edge is listed: position
 * i of the image with its border is row rows[i], -1 being `beyond`; with NULL the image has no border, nor windows,
 * along that axis. */
typedef struct {
    fc_dtype dtype; /* of the arithmetic */
    fc_isa isa;
    fc_sample src_type, dst_type;
    fc_lines_kind kind;
    ptrdiff_t n, height, width, trail;
    const ptrdiff_t *rows, *columns;
    double beyond;
    fc_lines_pass first, second; /* the second has one row; none where it has no columns */
    int finish;                  /* 0, or some of FC_LINES_SQUARE and the others where dst is of elements */
} fc_lines_desc;

/* Bytes of workspace; SIZE_MAX when that overflows. */
size_t fc_lines_workspace(const fc_lines_desc *desc, int threads);

/* dst (n, height, width, trail): what a pass makes becomes a sample; for whole numbers it is cut off at the point and
 * wraps, as a C cast does. An extremum is NaN where its window holds one. */
fc_status fc_lines_run(const fc_lines_desc *desc, const void *src, void *dst, void *workspace, int threads);

/* ---- programs: small networks in one call ------------------------------------------------------------------ */

typedef enum {
    FC_STEP_CONV,    /* a convolution; a dense layer is one whose kernel covers its input, or 1 x 1 */
    FC_STEP_POOL,    /* an average does not count padding */
    FC_STEP_POINT,   /* scale and activation alone */
    FC_STEP_SOFTMAX, /* along the channels */
    FC_STEP_PAD,     /* zeros around the image */
    FC_STEP_DROPOUT, /* of rate `alpha`; in training alone */
} fc_step_kind;

/* One step over images (height, width, channels), two spatial axes. What a convolution or FC_STEP_POINT makes is
 * normalised by moving averages if there is a `mean`, then goes through the activation. Weights, (kernel height, kernel
 * width, ic / groups, oc) as Keras has them, and the other arrays are the caller's: every run reads them anew. */
typedef struct {
    fc_step_kind kind;
    fc_activation activation;
    double alpha, beta;
    bool logarithm; /* of a softmax */
    fc_pool_kind pool;
    bool adaptive; /* a pool over the whole image */
    ptrdiff_t ic, oc, groups;
    ptrdiff_t src[2], kernel[2], stride[2], dilation[2], pad_begin[2], pad_end[2];
    const void *weights, *bias;                   /* bias may be NULL */
    const void *mean, *variance, *gamma, *offset; /* (oc); gamma and offset may be NULL */
    double epsilon;                               /* added to the variance */
    void *grad_weights, *grad_bias;               /* what training writes; NULL: not wanted */
    /* Filled in by fc_program_plan. */
    ptrdiff_t dst[2];
    int vectors;        /* of a lanes tile of a spatial convolution */
    ptrdiff_t products; /* of one output */
    ptrdiff_t kept;     /* elements of an image that training keeps before this step's results */
    const ptrdiff_t *offsets, *plane_offsets;
    fc_pool_plan lanes_pool, pixel_pool;
} fc_step;

typedef struct {
    fc_dtype dtype;
    fc_isa isa;
    int count;
    fc_step *steps;
    /* Filled in by fc_program_plan. */
    int lanes;
    int dense;   /* the first step from which on there is one pixel and every convolution covers its input */
    int planes;  /* the first steps of a single image that make planes; the next one, a convolution, reads them */
    int groups;  /* of lanes images, that a thread takes through the dense steps together */
    double work; /* multiply-adds of an image */
    size_t table_bytes;   /* of what fc_program_bind fills in */
    size_t image_bytes;   /* of the activations that one group of images holds in cache */
    size_t thread_bytes;  /* of a thread's workspace */
    ptrdiff_t read, made; /* elements of an image that goes in, and that comes out */
} fc_program;

/* Checks the steps, which must fit each other; the caller then owns table_bytes of memory until the last run. */
fc_status fc_program_plan(fc_program *program);
void fc_program_bind(fc_program *program, void *tables);

/* n images, (read) elements each, to (made) elements each; workspace: thread_bytes for each of the threads. Neither n
 * nor the threads change a bit of the results. */
fc_status fc_program_run(const fc_program *program, ptrdiff_t n, const void *src, void *dst, void *workspace,
                         int threads);

/* What a batch's last softmax is trained towards: classes (n), or distributions (n, classes). Each image's
 * cross-entropy counts `share` times, or `share` times its weight. */
typedef struct {
    const int64_t *classes;              /* in 0 … classes - 1; NULL: distributions */
    const void *distributions, *weights; /* weights (n) may be NULL */
    double share;
    uint64_t key, call; /* of the first dropout's fc_draw; each further one has the next call */
} fc_truth;

/* Whether a program can be trained: it ends with dense steps and a softmax, and every activation's gradient follows
 * from its result. The workspace of a training step; SIZE_MAX when that overflows. */
bool fc_program_trains(const fc_program *program);
size_t fc_program_train_workspace(const fc_program *program, ptrdiff_t n, int threads);

/* The outputs of n images to dst, their cross-entropy to *loss, and its gradients to every step's grad_weights and
 * grad_bias. The threads change no bit. */
fc_status fc_program_train(const fc_program *program, ptrdiff_t n, const void *src, const fc_truth *truth, void *dst,
                           double *loss, void *workspace, int threads);

/* ---- training beside gradients ------------------------------------------------------------------------------ */

typedef enum { FC_SGD, FC_RMSPROP, FC_ADAM } fc_update_kind;

/* One step of an optimizer: what all variables share. */
typedef struct {
    fc_update_kind kind;
    bool nesterov;        /* of SGD */
    double rate;          /* of Adam: with what makes up for averages that began at zero */
    double momentum;      /* of SGD and RMSprop */
    double first, second; /* weights of the past in the averages of gradients and of their squares */
    double epsilon;
    double limit; /* the largest magnitude within a gradient */
} fc_update;

enum { FC_SLOTS = 3, FC_DRAWN_TOGETHER = 64 };

/* Slots, which may be NULL where a rule says so:
 *   FC_SGD      momentum or NULL
 *   FC_RMSPROP  average of squares, momentum or NULL, average of gradients or NULL
 *   FC_ADAM     average of gradients, of squares, the largest of these or NULL */
typedef struct {
    fc_dtype dtype;
    ptrdiff_t count;
    void *value;
    const void *gradient;
    void *slots[FC_SLOTS];
    double scale; /* of the gradient */
    double keep;  /* what decay leaves of the value */
} fc_variable;

/* All variables take one step, in place; the threads change no bit. */
void fc_update_run(fc_isa isa, const fc_update *update, int count, const fc_variable *variables, int threads);

/* The sum of count squares, in double. */
double fc_sum_squares(fc_dtype dtype, fc_isa isa, ptrdiff_t count, const void *x);

/* Random zeros: element i of row r becomes zero times what it was if a number in 0 … 2^32 - 1 that depends on key,
 * call, r and i alone is below `threshold`, and `factor` times otherwise. */
typedef struct {
    uint64_t key, call;
    uint64_t threshold; /* at most 2^32 */
    double factor;
} fc_draw;

/* (rows, count) elements; dst may be src. The gradient's way back is the same call. */
fc_status fc_dropout_run(fc_dtype dtype, fc_isa isa, const fc_draw *draw, ptrdiff_t rows, ptrdiff_t count,
                         const void *src, void *dst, int threads);

/* ---- normalisation ---------------------------------------------------------------------------------------- */

/* Over what a value is normalised, and so what a set of values is: the sets are, in this order,
 *   FC_NORM_BATCH     channels: the batch and all pixels
 *   FC_NORM_INSTANCE  (image, channel): its pixels
 *   FC_NORM_GROUP     (image, group): its channels and pixels */
typedef enum { FC_NORM_BATCH, FC_NORM_INSTANCE, FC_NORM_GROUP } fc_norm_kind;

typedef struct {
    fc_dtype dtype;
    fc_layout layout;
    fc_isa isa;
    fc_norm_kind kind;
    ptrdiff_t n, channels, groups, pixels; /* all at least 1; groups divide the channels */
    double eps;
    fc_activation activation; /* of what is written forward */
    double alpha, beta;
} fc_norm_desc;

ptrdiff_t fc_norm_sets(const fc_norm_desc *desc);
size_t fc_norm_workspace(const fc_norm_desc *desc); /* bytes; SIZE_MAX when that overflows */

/* The mean and the (biased) variance of each set. */
fc_status fc_norm_statistics(const fc_norm_desc *desc, const void *src, double *mean, double *variance, void *workspace,
                             int threads);

/* dst = activation((src - mean) / sqrt(variance + eps) * weight + bias); weight and bias (channels) may be NULL, dst
 * may be src. */
fc_status fc_norm_run(const fc_norm_desc *desc, const void *src, const double *mean, const double *variance,
                      const void *weight, const void *bias, void *dst, void *workspace, int threads);

/* The gradients of src, weight and bias, each NULL when not wanted. With `constant` statistics they are no function of
 * src. dsrc may be grad. */
fc_status fc_norm_backward(const fc_norm_desc *desc, const void *src, const void *grad, const double *mean,
                           const double *variance, const void *weight, bool constant, void *dsrc, void *dweight,
                           void *dbias, void *workspace, int threads);

/* Rows of `count` values, each normalised by its own mean and variance, which are written too. weight and bias
 * (count) may be NULL, dst may be src. */
fc_status fc_layer_norm_run(fc_dtype dtype, fc_isa isa, ptrdiff_t rows, ptrdiff_t count, double eps, const void *src,
                            const void *weight, const void *bias, double *mean, double *rstd, void *dst, int threads);

/* Its gradients, each NULL when not wanted. The workspace holds 2 * 64 * count elements and the mean and the
 * reciprocal standard deviation of each row are worked out again into mean and rstd. dsrc may be grad only when dweight
 * and dbias are not wanted. */
fc_status fc_layer_norm_backward(fc_dtype dtype, fc_isa isa, ptrdiff_t rows, ptrdiff_t count, double eps,
                                 const void *src, const void *grad, const void *weight, double *mean, double *rstd,
                                 void *dsrc, void *dweight, void *dbias, void *workspace, int threads);

/* ---- reusable blocks of memory ---------------------------------------------------------------------------- */

/* A block of at least `bytes`, 64-byte aligned, from the pool of blocks that were given back or from the system;
 * NULL when memory runs out. *capacity receives its true size, which fc_block_release wants back. Thread-safe. */
void *fc_block_acquire(size_t bytes, size_t *capacity);
void fc_block_release(void *block, size_t capacity);
void fc_block_trim(void); /* gives every idle block back to the system */
size_t fc_block_idle_bytes(void);
void fc_block_set_limit(size_t bytes); /* of idle memory that the pool keeps */

#endif
