# Convolution: plans, and the calls that functional makes with plans that are kept.

cdef enum:
    SHORT_FLOPS = 10000  # a run of fewer keeps the interpreter's lock: giving it away takes as long
    NEAR_BYTES = 2048    # a workspace of no more lies on the stack


cdef class ConvPlan:
    """A planned convolution: forward, gradient of the input or gradient of the weights; with packed weights or not."""

    cdef fc_conv_plan plan
    cdef int axes               # spatial ones
    cdef ptrdiff_t read[RANK]   # of one image, in the layout's order: what a run reads and what it writes
    cdef ptrdiff_t written[RANK]
    cdef char kind              # 'f', 'd'; 0 before describe
    cdef Py_ssize_t itemsize
    cdef void *packed
    cdef size_t capacity
    cdef Py_ssize_t bias_count
    cdef void *bias
    cdef size_t bias_capacity

    def __dealloc__(self):
        fc_block_release(self.packed, self.capacity)
        fc_block_release(self.bias, self.bias_capacity)

    def describe(self, *, int direction, int algorithm, int reuse, bint double_precision, int layout, int activation,
                 double alpha, double beta, Py_ssize_t ic, Py_ssize_t oc, Py_ssize_t groups, tuple src, tuple kernel,
                 tuple stride, tuple dilation, tuple pad_begin, tuple pad_end):
        """Plan for the current instruction set; return the status."""
        cdef fc_conv_desc desc
        memset(&desc, 0, sizeof(desc))
        if self.kind:
            raise RuntimeError("this plan is described already")
        desc.dtype = FC_F64 if double_precision else FC_F32
        desc.layout = <fc_layout> layout
        desc.isa = <fc_isa> current_isa()
        desc.direction = <fc_direction> direction
        desc.algorithm = <fc_algorithm> algorithm
        desc.reuse = <fc_reuse> reuse
        desc.precision = FC_HIGHEST if every_product else FC_HIGH
        desc.activation = <fc_activation> activation
        desc.alpha = alpha
        desc.beta = beta
        desc.ic = ic
        desc.oc = oc
        desc.groups = groups
        fill(desc.src, src, 1)
        fill(desc.kernel, kernel, 1)
        fill(desc.stride, stride, 1)
        fill(desc.dilation, dilation, 1)
        fill(desc.pad_begin, pad_begin, 0)
        fill(desc.pad_end, pad_end, 0)
        cdef fc_status status = fc_conv_plan_make(&desc, &self.plan)
        if status != FC_OK:
            return <int> status
        cdef fc_conv_desc *made = &self.plan.given
        self.axes = <int> len(src)
        tail_shape(self.read, desc.layout, ic, made.src, self.axes)
        tail_shape(self.written, desc.layout, oc, made.dst, self.axes)
        if desc.direction == FC_BACKWARD_INPUT:
            tail_shape(self.read, desc.layout, oc, made.dst, self.axes)
            tail_shape(self.written, desc.layout, ic, made.src, self.axes)
        self.itemsize = 8 if double_precision else 4
        self.kind = c'd' if double_precision else c'f'
        return <int> FC_OK

    # What was chosen. ---------------------------------------------------------------------------------------------

    @property
    def chosen(self):
        """What the plan holds, by the names of csrc/fastconv.h."""
        cdef fc_conv_plan *plan = &self.plan
        return {
            "algorithm": [name for name, value in ALGORITHMS.items() if value == <int> plan.algorithm][0],
            "family": FAMILIES[<int> plan.family],
            "isa": fc_isa_name(plan.desc.isa).decode(),
            "dtype": "float64" if self.kind == c'd' else "float32",
            "vectors": plan.vectors, "rows": plan.rows, "lanes": plan.lanes, "sum_length": plan.sum_length,
            "turned": plan.turned,
            "tile": (plan.tile[1], plan.tile[2]),
            "packed_bytes": plan.packed_bytes,
            "thread_bytes": plan.workspace_bytes,
            "shared_bytes": plan.shared_bytes,
            "flops": plan.flops,
            "src": last_axes(plan.given.src, self.axes),
            "dst": last_axes(plan.given.dst, self.axes),
        }

    @property
    def dst(self):
        """The forward convolution's spatial output extents."""
        return last_axes(self.plan.given.dst, self.axes)

    def workspace(self, Py_ssize_t n, int count):
        """Bytes of workspace of a run over n images on `count` threads."""
        cdef size_t nbytes = fc_conv_workspace(&self.plan, n, count)
        if nbytes == SIZE_MAX:
            raise MemoryError(f"no memory for the workspace of {n} images on {count} threads")
        return nbytes

    # Weights that stay. -------------------------------------------------------------------------------------------

    def pack(self, weight, bias):
        """Keep packed weights and a copy of the bias for calls of the plan; False when an array is not plain."""
        cdef Held held
        hold_nothing(&held)
        cdef ptrdiff_t strides[5]
        cdef Py_buffer *w
        cdef Py_buffer *b
        cdef fc_status status
        cdef int count
        if self.packed != NULL:
            raise RuntimeError("this plan has its weights already")
        try:
            w = hold(&held, weight, 0)
            if w == NULL or not self.fits_weight(w, strides):
                return False
            if bias is not None:
                b = hold_contiguous(&held, bias, 0)
                if b == NULL or not self.fits_bias(b):
                    return False
                self.bias = fc_block_acquire(b.len, &self.bias_capacity)
                if self.bias == NULL:
                    raise MemoryError("no memory for the bias")
                memcpy(self.bias, b.buf, b.len)
            self.packed = fc_block_acquire(self.plan.packed_bytes, &self.capacity)
            if self.packed == NULL:
                raise MemoryError(f"no memory for packed weights of {self.plan.packed_bytes} bytes")
            count = threads()
            with nogil:
                status = fc_conv_pack(&self.plan, w.buf, strides, self.packed, count)
            finish(status)
            return True
        finally:
            drop(&held)

    def __call__(self, x, out=None):
        result = self.run_packed(x, out)
        return self.general(x, out) if result is None else result

    def execute(self, x, out):
        """Run with the weights that stay; None when an array is not plain or does not fit."""
        return self.run_packed(x, out)

    cdef object run_packed(self, object x, object out):
        cdef Held held
        hold_nothing(&held)
        cdef Py_buffer *source
        try:
            source = hold_contiguous(&held, x, 0)
            if source == NULL or self.packed == NULL:
                return None
            return self.run(&held, source, NULL, NULL, NULL, out)
        finally:
            drop(&held)

    def general(self, x, out):
        """Serve what a call could not: arrays that are not plain, or an error that says why."""
        raise RuntimeError("this plan has no weights")

    # Weights for one run. -----------------------------------------------------------------------------------------

    def once(self, x, weight, bias, out):
        """Pack, run, forget; None when an array is not plain or does not fit. `weight` may have any strides."""
        cdef Held held
        hold_nothing(&held)
        try:
            return self.run_once(&held, hold_contiguous(&held, x, 0), hold(&held, weight, 0), bias, out)
        finally:
            drop(&held)

    def weight_grad(self, x, grad, out):
        """Write the weights' gradient into `out` (any strides) and return it; None when an array is not plain."""
        cdef Held held
        hold_nothing(&held)
        cdef ptrdiff_t strides[5]
        cdef fc_status status
        cdef Py_ssize_t n
        cdef int count = threads()
        cdef void *workspace
        try:
            xv = hold_contiguous(&held, x, 0)
            gv = hold_contiguous(&held, grad, 0)
            ov = hold(&held, out, PyBUF_WRITABLE)
            if xv == NULL or gv == NULL or ov == NULL or xv.ndim != gv.ndim or not self.fits_weight(ov, strides):
                return None
            n = images_in(xv, self.axes)
            if not self.fits(xv, self.read) or not self.fits(gv, self.written) or images_in(gv, self.axes) != n:
                return None
            if overlap(xv, ov) or overlap(gv, ov):
                return None
            workspace = scratch(&held, fc_conv_workspace(&self.plan, n, count))
            with nogil:
                status = fc_conv_weight_grad(&self.plan, n, xv.buf, gv.buf, ov.buf, strides, workspace, count)
            finish(status)
            return out
        finally:
            drop(&held)

    # ----------------------------------------------------------------------------------------------------------------

    cdef bint fits(self, const Py_buffer *view, const ptrdiff_t *tail) noexcept nogil:
        return view.format[0] == self.kind and fits_tail(view, tail, self.axes)

    cdef bint fits_bias(self, const Py_buffer *view) noexcept nogil:
        cdef const fc_conv_desc *desc = &self.plan.given
        cdef ptrdiff_t channels = desc.ic if desc.direction == FC_BACKWARD_INPUT else desc.oc
        return view.format[0] == self.kind and view.ndim == 1 and view.shape[0] == channels

    cdef bint fits_weight(self, const Py_buffer *view, ptrdiff_t *strides) noexcept nogil:
        # Fills in the element strides in the order output channel, input channel, depth, height, width.
        # Weights with two axes (out, in) serve a 1 x 1 kernel in either layout.
        cdef const fc_conv_desc *desc = &self.plan.given
        cdef bint last = desc.layout == FC_CHANNELS_LAST
        cdef int i, spatial, axes = self.axes
        cdef int output_axis = axes + 1 if last else 0
        cdef int input_axis = axes if last else 1
        if view.format[0] != self.kind:
            return False
        memset(strides, 0, (2 + FC_SPATIAL) * sizeof(ptrdiff_t))
        if view.ndim == 2 and desc.kernel[0] * desc.kernel[1] * desc.kernel[2] == 1:
            output_axis, input_axis, axes = 0, 1, 0
        elif view.ndim != axes + 2:
            return False
        if view.shape[output_axis] != desc.oc or view.shape[input_axis] != desc.ic // desc.groups:
            return False
        strides[0] = view.strides[output_axis] // self.itemsize
        strides[1] = view.strides[input_axis] // self.itemsize
        for i in range(axes):
            spatial = FC_SPATIAL - axes + i
            if view.shape[i if last else i + 2] != desc.kernel[spatial]:
                return False
            strides[2 + spatial] = view.strides[i if last else i + 2] // self.itemsize
        return True

    cdef object run_once(self, Held *held, const Py_buffer *x, const Py_buffer *w, object bias, object out):
        cdef ptrdiff_t strides[5]
        cdef const Py_buffer *b = NULL
        if x == NULL or w == NULL or not self.fits_weight(w, strides):
            return None
        if bias is not None:
            b = hold_contiguous(held, bias, 0)
            if b == NULL or not self.fits_bias(b):
                return None
        return self.run(held, x, w, strides, b, out)

    cdef object run(self, Held *held, const Py_buffer *x, const Py_buffer *w, const ptrdiff_t *strides,
                    const Py_buffer *b, object out):
        # x, b contiguous. With w NULL the plan's own weights and bias are used.
        if not self.fits(x, self.read):
            return None
        cdef tuple shape = batch_shape(x, self.written, self.axes) if out is None else None
        return self.run_into(held, images_in(x, self.axes), x, w, strides, b, shape, out)

    cdef bint fits_output(self, const Py_buffer *view, Py_ssize_t n, int ndim) noexcept nogil:
        return self.fits(view, self.written) and view.ndim == ndim and images_in(view, self.axes) == n

    cdef object run_into(self, Held *held, Py_ssize_t n, const Py_buffer *x, const Py_buffer *w,
                         const ptrdiff_t *strides, const Py_buffer *b, tuple shape, object out):
        # `shape` is the result's, or None where it is that of n images and there is an `out`.
        cdef const Py_buffer *o
        cdef Py_ssize_t nbytes = nbytes_of(n, self.written, self.itemsize)
        cdef void *dst = NULL
        if out is None:
            out = new_array(held, shape, self.kind, nbytes, &dst)
        else:
            o = hold_contiguous(held, out, PyBUF_WRITABLE)
            if o == NULL or o.format[0] != self.kind:
                return None
            if not (self.fits_output(o, n, x.ndim) if shape is None else has_shape(o, shape)):
                return None
            if overlap(o, x) or (w != NULL and overlap(o, w)) or (b != NULL and overlap(o, b)):
                return None
            dst = o.buf
        if nbytes == 0:
            return out

        cdef int count = threads()
        cdef size_t packed_bytes = 0 if w == NULL else (self.plan.packed_bytes + 127) & ~<size_t> 127
        cdef size_t workspace_bytes = fc_conv_workspace(&self.plan, n, count)
        if workspace_bytes > SIZE_MAX - packed_bytes:
            workspace_bytes = packed_bytes = SIZE_MAX // 2
        cdef char near[NEAR_BYTES + FC_ALIGNMENT]
        cdef char *memory = <char *> ((<size_t> near + FC_ALIGNMENT - 1) & ~<size_t> (FC_ALIGNMENT - 1))
        if packed_bytes + workspace_bytes > NEAR_BYTES:
            memory = <char *> scratch(held, packed_bytes + workspace_bytes)
        cdef void *workspace = memory + packed_bytes
        cdef const void *src = x.buf
        cdef const void *weights = NULL if w == NULL else w.buf
        cdef void *packed = self.packed if w == NULL else memory
        cdef const void *bias = self.bias if w == NULL else NULL if b == NULL else b.buf
        cdef fc_status status
        if self.plan.flops * n < SHORT_FLOPS:
            status = self.start(n, src, weights, strides, packed, bias, dst, workspace, count)
        else:
            with nogil:
                status = self.start(n, src, weights, strides, packed, bias, dst, workspace, count)
        finish(status)
        return out

    cdef fc_status start(self, Py_ssize_t n, const void *src, const void *weights, const ptrdiff_t *strides,
                         void *packed, const void *bias, void *dst, void *workspace, int count) noexcept nogil:
        if weights != NULL:
            return fc_conv_once(&self.plan, n, src, weights, strides, packed, bias, NULL, dst, workspace, count)
        return fc_conv_run(&self.plan, n, src, packed, bias, NULL, dst, workspace, count)


def conv(int axes, x, weight, bias, tuple options, out, make):
    """Convolve over so many spatial axes with the plan that is kept for these shapes and options, or `make()`'s.

    None when an array is not plain, does not fit, or when there is neither a plan nor a `make`.
    """
    cdef Held held
    hold_nothing(&held)
    cdef Py_buffer *xv
    cdef Py_buffer *wv
    cdef ConvPlan plan
    try:
        xv = hold_contiguous(&held, x, 0)
        wv = hold(&held, weight, 0)
        if xv == NULL or wv == NULL or wv.ndim != axes + 2 or not is_exact(options):
            return None
        if xv.ndim != axes + 2 and xv.ndim != axes + 1:
            return None
        key = key_of(xv, xv.ndim - axes - 1, wv, options)
        found = kept_plans.get(key)
        if found is None:
            if make is None:
                return None
            found = make()
            keep(key, found)
        plan = found
        return plan.run_once(&held, xv, wv, bias, out)
    finally:
        drop(&held)


def linear(x, weight, bias, tuple options, out, make):
    """As conv: a 1 x 1 convolution over the rows of x (..., in), each row an image of one pixel."""
    cdef Held held
    hold_nothing(&held)
    cdef Py_buffer *xv
    cdef Py_buffer *wv
    cdef Py_buffer *bv = NULL
    cdef ptrdiff_t strides[5]
    cdef Py_ssize_t rows = 1
    cdef int i
    cdef ConvPlan plan
    try:
        xv = hold_contiguous(&held, x, 0)
        wv = hold(&held, weight, 0)
        if xv == NULL or wv == NULL or wv.ndim != 2 or xv.ndim < 1 or not is_exact(options):
            return None
        key = key_of(xv, xv.ndim - 1, wv, options)
        found = kept_plans.get(key)
        if found is None:
            if make is None:
                return None
            found = make()
            keep(key, found)
        plan = found
        if (not plan.fits_weight(wv, strides) or xv.format[0] != plan.kind or
                xv.shape[xv.ndim - 1] != plan.plan.given.ic):
            return None
        if bias is not None:
            bv = hold_contiguous(&held, bias, 0)
            if bv == NULL or not plan.fits_bias(bv):
                return None
        for i in range(xv.ndim - 1):
            rows *= xv.shape[i]
        shape = (rows, wv.shape[0]) if xv.ndim == 2 else (*x.shape[:xv.ndim - 1], wv.shape[0])
        return plan.run_into(&held, rows, xv, wv, strides, bv, shape, out)
    finally:
        drop(&held)


def bias_grad(int layout, grad, out):
    """Sum grad (n, c, ...) or (n, ..., c) over everything but channels into out (c,); None when not plain."""
    cdef Held held
    hold_nothing(&held)
    cdef Py_buffer *g
    cdef Py_buffer *o
    cdef Py_ssize_t channels, pixels = 1
    cdef int i, channel_axis
    cdef int count = threads()
    cdef fc_dtype dtype
    cdef fc_isa isa = <fc_isa> current_isa()
    cdef fc_status status
    try:
        g = hold_contiguous(&held, grad, 0)
        o = hold_contiguous(&held, out, PyBUF_WRITABLE)
        if g == NULL or o == NULL or g.ndim < 2 or o.ndim != 1 or not is_real(g) or g.format[0] != o.format[0]:
            return None
        channel_axis = 1 if layout == <int> FC_CHANNELS_FIRST else g.ndim - 1
        channels = g.shape[channel_axis]
        for i in range(1, g.ndim):
            pixels *= 1 if i == channel_axis else g.shape[i]
        if o.shape[0] != channels or overlap(g, o):
            return None
        dtype = FC_F64 if g.format[0] == c'd' else FC_F32
        with nogil:
            status = fc_bias_grad(dtype, <fc_layout> layout, isa, g.shape[0], channels, pixels, g.buf, o.buf, count)
        finish(status)
        return out
    finally:
        drop(&held)
