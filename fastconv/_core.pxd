"""csrc/fastconv.h as Cython sees it; every comment on what things mean stands there."""

cdef extern from "<stdbool.h>" nogil:
    ctypedef bint bool_ "bool"

cdef extern from "<stdint.h>" nogil:
    ctypedef signed long long int64_t
    ctypedef unsigned long long uint64_t
    const size_t SIZE_MAX
    const ptrdiff_t PTRDIFF_MAX

cdef extern from * nogil:
    bint __builtin_mul_overflow(Py_ssize_t a, Py_ssize_t b, Py_ssize_t *product)

cdef extern from "fastconv.h" nogil:
    enum:
        FC_SPATIAL, FC_ALIGNMENT
    ctypedef enum fc_status:
        FC_OK, FC_BAD_SHAPE, FC_EMPTY_OUTPUT, FC_OVERFLOW, FC_UNSUPPORTED, FC_STOPPED
    ctypedef enum fc_dtype:
        FC_F32, FC_F64
    ctypedef enum fc_layout:
        FC_CHANNELS_FIRST, FC_CHANNELS_LAST
    ctypedef enum fc_isa:
        FC_BASELINE, FC_AVX2, FC_AVX512, FC_NEON, FC_ISAS
    ctypedef enum fc_algorithm:
        FC_AUTO, FC_DIRECT, FC_IM2COL, FC_WINOGRAD
    ctypedef enum fc_reuse:
        FC_MANY, FC_ONCE
    ctypedef enum fc_precision:
        FC_HIGH, FC_HIGHEST
    ctypedef enum fc_activation:
        FC_IDENTITY, FC_RELU, FC_RELU6, FC_LEAKY_RELU, FC_ELU, FC_SELU, FC_TANH, FC_SIGMOID, FC_HARD_SIGMOID
        FC_HARD_SWISH, FC_SILU, FC_GELU, FC_GELU_TANH, FC_SOFTPLUS, FC_EXP
    ctypedef enum fc_direction:
        FC_FORWARD, FC_BACKWARD_INPUT, FC_BACKWARD_WEIGHT
    ctypedef enum fc_family:
        FC_FAMILY_CHANNEL, FC_FAMILY_PLANE, FC_FAMILY_DEPTHWISE, FC_FAMILY_WEIGHT_GRAD, FC_FAMILY_FILTER
        FC_FAMILY_WINOGRAD
    ctypedef enum fc_pool_kind:
        FC_POOL_MAX, FC_POOL_AVERAGE

    bool_ fc_isa_available(fc_isa isa)
    const char *fc_isa_name(fc_isa isa)
    fc_isa fc_isa_best()
    bool_ fc_openmp()
    void fc_set_poll(bool_ (*poll)() noexcept nogil)
    void fc_wake_always(bool_ always)
    int fc_max_threads()
    size_t fc_l2_bytes()
    double fc_multiply_adds(fc_dtype dtype, fc_isa isa, ptrdiff_t rounds)

    ctypedef struct fc_conv_desc:
        fc_dtype dtype
        fc_layout layout
        fc_isa isa
        fc_direction direction
        fc_algorithm algorithm
        fc_reuse reuse
        fc_precision precision
        fc_activation activation
        double alpha, beta
        ptrdiff_t ic, oc, groups
        ptrdiff_t src[3]
        ptrdiff_t kernel[3]
        ptrdiff_t stride[3]
        ptrdiff_t dilation[3]
        ptrdiff_t pad_begin[3]
        ptrdiff_t pad_end[3]
        ptrdiff_t dst[3]

    ctypedef struct fc_conv_plan:
        fc_conv_desc given
        fc_conv_desc desc
        ptrdiff_t turned
        fc_algorithm algorithm
        fc_family family
        int vectors, rows, lanes
        ptrdiff_t sum_length
        ptrdiff_t tile[3]
        size_t packed_bytes, workspace_bytes, shared_bytes
        double flops

    fc_status fc_conv_plan_make(const fc_conv_desc *desc, fc_conv_plan *plan)
    size_t fc_conv_workspace(const fc_conv_plan *plan, ptrdiff_t n, int threads)
    fc_status fc_conv_pack(const fc_conv_plan *plan, const void *weights, const ptrdiff_t *strides, void *packed,
                           int threads)
    fc_status fc_conv_once(const fc_conv_plan *plan, ptrdiff_t n, const void *src, const void *weights,
                           const ptrdiff_t *strides, void *packed, const void *bias, const void *residual, void *dst,
                           void *workspace, int threads)
    fc_status fc_conv_run(const fc_conv_plan *plan, ptrdiff_t n, const void *src, const void *packed,
                          const void *bias, const void *residual, void *dst, void *workspace, int threads)
    fc_status fc_conv_weight_grad(const fc_conv_plan *plan, ptrdiff_t n, const void *src, const void *grad,
                                  void *dweights, const ptrdiff_t *strides, void *workspace, int threads)
    fc_status fc_bias_grad(fc_dtype dtype, fc_layout layout, fc_isa isa, ptrdiff_t n, ptrdiff_t channels,
                           ptrdiff_t pixels, const void *grad, void *out, int threads)

    ctypedef struct fc_pool_desc:
        fc_dtype dtype
        fc_layout layout
        fc_isa isa
        fc_pool_kind kind
        bool_ adaptive, ceil_mode, include_pad
        double divisor
        ptrdiff_t channels
        ptrdiff_t src[3]
        ptrdiff_t kernel[3]
        ptrdiff_t stride[3]
        ptrdiff_t dilation[3]
        ptrdiff_t pad_begin[3]
        ptrdiff_t pad_end[3]
        ptrdiff_t dst[3]

    ctypedef struct fc_pool_plan:
        fc_pool_desc desc
        size_t workspace_bytes

    fc_status fc_pool_plan_make(const fc_pool_desc *desc, fc_pool_plan *plan)
    fc_status fc_pool_run(const fc_pool_plan *plan, ptrdiff_t n, const void *src, void *dst, int64_t *indices,
                          void *workspace, int threads)
    fc_status fc_pool_backward(const fc_pool_plan *plan, ptrdiff_t n, const void *src, const int64_t *indices,
                               const void *grad, void *dsrc, void *workspace, int threads)

    fc_status fc_activation_run(fc_dtype dtype, fc_isa isa, fc_activation kind, double alpha, double beta,
                                ptrdiff_t count, const void *src, void *dst, int threads)
    fc_status fc_activation_grad(fc_dtype dtype, fc_isa isa, fc_activation kind, double alpha, double beta,
                                 ptrdiff_t count, const void *grad, const void *saved, void *dst, int threads)
    ctypedef enum fc_norm_kind:
        FC_NORM_BATCH, FC_NORM_INSTANCE, FC_NORM_GROUP

    ctypedef struct fc_norm_desc:
        fc_dtype dtype
        fc_layout layout
        fc_isa isa
        fc_norm_kind kind
        ptrdiff_t n, channels, groups, pixels
        double eps
        fc_activation activation
        double alpha, beta

    ptrdiff_t fc_norm_sets(const fc_norm_desc *desc)
    size_t fc_norm_workspace(const fc_norm_desc *desc)
    fc_status fc_norm_statistics(const fc_norm_desc *desc, const void *src, double *mean, double *variance,
                                 void *workspace, int threads)
    fc_status fc_norm_run(const fc_norm_desc *desc, const void *src, const double *mean, const double *variance,
                          const void *weight, const void *bias, void *dst, void *workspace, int threads)
    fc_status fc_norm_backward(const fc_norm_desc *desc, const void *src, const void *grad, const double *mean,
                               const double *variance, const void *weight, bool_ constant, void *dsrc, void *dweight,
                               void *dbias, void *workspace, int threads)
    fc_status fc_layer_norm_run(fc_dtype dtype, fc_isa isa, ptrdiff_t rows, ptrdiff_t count, double eps,
                                const void *src, const void *weight, const void *bias, double *mean, double *rstd,
                                void *dst, int threads)
    fc_status fc_layer_norm_backward(fc_dtype dtype, fc_isa isa, ptrdiff_t rows, ptrdiff_t count, double eps,
                                     const void *src, const void *grad, const void *weight, double *mean, double *rstd,
                                     void *dsrc, void *dweight, void *dbias, void *workspace, int threads)

    fc_status fc_softmax_run(fc_dtype dtype, fc_isa isa, bool_ logarithm, ptrdiff_t outer, ptrdiff_t axis,
                             ptrdiff_t inner, const void *src, void *dst, int threads)
    fc_status fc_softmax_grad(fc_dtype dtype, fc_isa isa, bool_ logarithm, ptrdiff_t outer, ptrdiff_t axis,
                              ptrdiff_t inner, const void *grad, const void *result, void *dst, int threads)

    ctypedef enum fc_update_kind:
        FC_SGD, FC_RMSPROP, FC_ADAM

    enum:
        FC_SLOTS

    ctypedef struct fc_update:
        fc_update_kind kind
        bool_ nesterov
        double rate
        double momentum
        double first
        double second
        double epsilon
        double limit

    ctypedef struct fc_variable:
        fc_dtype dtype
        ptrdiff_t count
        void *value
        const void *gradient
        void *slots[3]
        double scale
        double keep

    ctypedef struct fc_draw:
        uint64_t key
        uint64_t call
        uint64_t threshold
        double factor

    void fc_update_run(fc_isa isa, const fc_update *update, int count, const fc_variable *variables, int threads)
    double fc_sum_squares(fc_dtype dtype, fc_isa isa, ptrdiff_t count, const void *x)
    fc_status fc_dropout_run(fc_dtype dtype, fc_isa isa, const fc_draw *draw, ptrdiff_t rows, ptrdiff_t count,
                             const void *src, void *dst, int threads)

    ctypedef struct fc_gather_desc:
        fc_dtype dtype
        ptrdiff_t lead
        ptrdiff_t src[3]
        ptrdiff_t dst[3]
        ptrdiff_t trail
        const ptrdiff_t *places[3]
        double value

    fc_status fc_gather_run(const fc_gather_desc *desc, const void *src, void *dst, int threads)

    ctypedef struct fc_blend_desc:
        fc_dtype dtype
        fc_isa isa
        ptrdiff_t lead
        ptrdiff_t src[3]
        ptrdiff_t dst[3]
        ptrdiff_t trail
        const ptrdiff_t *begin[3]
        const ptrdiff_t *places[3]
        const void *weights[3]

    size_t fc_blend_workspace(const fc_blend_desc *desc, int threads)
    fc_status fc_blend_run(const fc_blend_desc *desc, const void *src, void *dst, void *workspace, int threads)

    ctypedef enum fc_sample:
        FC_SAMPLE_U8, FC_SAMPLE_I8, FC_SAMPLE_U16, FC_SAMPLE_I16, FC_SAMPLE_I32, FC_SAMPLE_F32, FC_SAMPLE_F64

    ctypedef enum fc_lines_kind:
        FC_LINES_SUM, FC_LINES_LARGEST, FC_LINES_SMALLEST

    ctypedef struct fc_lines_pass:
        ptrdiff_t rows
        ptrdiff_t columns
        const double *weights
        int fold
        double divisor
        double bound

    enum:
        FC_LINES_SQUARE, FC_LINES_ADD, FC_LINES_ROOT

    ctypedef struct fc_lines_desc:
        fc_dtype dtype
        fc_isa isa
        fc_sample src_type
        fc_sample dst_type
        fc_lines_kind kind
        ptrdiff_t n
        ptrdiff_t height
        ptrdiff_t width
        ptrdiff_t trail
        const ptrdiff_t *rows
        const ptrdiff_t *columns
        double beyond
        fc_lines_pass first
        fc_lines_pass second
        int finish

    size_t fc_lines_workspace(const fc_lines_desc *desc, int threads)
    fc_status fc_lines_run(const fc_lines_desc *desc, const void *src, void *dst, void *workspace, int threads)

    ctypedef enum fc_step_kind:
        FC_STEP_CONV, FC_STEP_POOL, FC_STEP_POINT, FC_STEP_SOFTMAX, FC_STEP_PAD, FC_STEP_DROPOUT

    ctypedef struct fc_step:
        fc_step_kind kind
        fc_activation activation
        double alpha
        double beta
        bool_ logarithm
        fc_pool_kind pool
        bool_ adaptive
        ptrdiff_t ic
        ptrdiff_t oc
        ptrdiff_t groups
        ptrdiff_t src[2]
        ptrdiff_t kernel[2]
        ptrdiff_t stride[2]
        ptrdiff_t dilation[2]
        ptrdiff_t pad_begin[2]
        ptrdiff_t pad_end[2]
        const void *weights
        const void *bias
        const void *mean
        const void *variance
        const void *gamma
        const void *offset
        double epsilon
        void *grad_weights
        void *grad_bias
        ptrdiff_t dst[2]

    ctypedef struct fc_program:
        fc_dtype dtype
        fc_isa isa
        int count
        fc_step *steps
        int lanes
        int dense
        double work
        size_t table_bytes
        size_t image_bytes
        size_t thread_bytes
        ptrdiff_t read
        ptrdiff_t made

    fc_status fc_program_plan(fc_program *program)
    void fc_program_bind(fc_program *program, void *tables)
    ctypedef struct fc_truth:
        const int64_t *classes
        const void *distributions
        const void *weights
        double share
        uint64_t key
        uint64_t call

    bool_ fc_program_trains(const fc_program *program)
    size_t fc_program_train_workspace(const fc_program *program, ptrdiff_t n, int threads)
    fc_status fc_program_train(const fc_program *program, ptrdiff_t n, const void *src, const fc_truth *truth,
                               void *dst, double *loss, void *workspace, int threads)
    fc_status fc_program_run(const fc_program *program, ptrdiff_t n, const void *src, void *dst, void *workspace,
                             int threads)

    void *fc_block_acquire(size_t bytes, size_t *capacity)
    void fc_block_release(void *block, size_t capacity)
    void fc_block_trim()
    size_t fc_block_idle_bytes()
    void fc_block_set_limit(size_t bytes)
