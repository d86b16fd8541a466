# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
"""The C engine for Python: pointers in, status out, one call without the GIL in between.

Nothing here converts, broadcasts or explains. Functions that take arrays want *plain* ones: exactly
``numpy.ndarray``, float32 or float64 in native byte order, aligned, C-contiguous unless said otherwise. On anything
else they return None, having done nothing, and the caller makes the arrays plain or says what is wrong with them.
"""

cimport cython
from cpython.buffer cimport (
    Py_buffer, PyBUF_FORMAT, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release,
)
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.string cimport memcpy, memset

from contextvars import ContextVar
from _thread import allocate_lock as Lock  # threading itself would be an import beyond NumPy

import numpy

cdef extern from "Python.h":
    void PyErr_Clear() noexcept
    int PyObject_GetBuffer(object array, Py_buffer *view, int flags) noexcept

cdef extern from *:
    """
    #ifdef _WIN32
    static int fc_at_fork(void (*child)(void)) { (void)child; return 0; }
    #else
    #include <pthread.h>
    static int fc_at_fork(void (*child)(void)) { return pthread_atfork(NULL, NULL, child); }
    #endif
    """
    int fc_at_fork(void (*child)() noexcept nogil)

cdef object ndarray = numpy.ndarray
cdef object numpy_empty = numpy.empty
cdef object FLOAT32 = numpy.dtype(numpy.float32)
cdef object FLOAT64 = numpy.dtype(numpy.float64)
cdef object INT64 = numpy.dtype(numpy.int64)

ISAS = {fc_isa_name(<fc_isa> isa).decode(): isa for isa in range(<int> FC_ISAS)}
LAYOUTS = {"NCHW": <int> FC_CHANNELS_FIRST, "NHWC": <int> FC_CHANNELS_LAST}
ALGORITHMS = {
    "auto": <int> FC_AUTO, "direct": <int> FC_DIRECT, "im2col": <int> FC_IM2COL, "winograd": <int> FC_WINOGRAD,
}
FAMILIES = {
    <int> FC_FAMILY_CHANNEL: "channel", <int> FC_FAMILY_PLANE: "plane", <int> FC_FAMILY_DEPTHWISE: "depthwise",
    <int> FC_FAMILY_WEIGHT_GRAD: "weight gradient", <int> FC_FAMILY_FILTER: "filter",
    <int> FC_FAMILY_WINOGRAD: "winograd",
}
ACTIVATIONS = {
    "linear": <int> FC_IDENTITY, "relu": <int> FC_RELU, "relu6": <int> FC_RELU6, "leaky_relu": <int> FC_LEAKY_RELU,
    "elu": <int> FC_ELU, "selu": <int> FC_SELU, "tanh": <int> FC_TANH, "sigmoid": <int> FC_SIGMOID,
    "hardsigmoid": <int> FC_HARD_SIGMOID, "hardswish": <int> FC_HARD_SWISH, "silu": <int> FC_SILU,
    "gelu": <int> FC_GELU, "gelu_tanh": <int> FC_GELU_TANH, "softplus": <int> FC_SOFTPLUS, "exp": <int> FC_EXP,
}
FORWARD, BACKWARD_INPUT, BACKWARD_WEIGHT = <int> FC_FORWARD, <int> FC_BACKWARD_INPUT, <int> FC_BACKWARD_WEIGHT
ONCE, MANY = <int> FC_ONCE, <int> FC_MANY
OK, BAD_SHAPE, EMPTY_OUTPUT = <int> FC_OK, <int> FC_BAD_SHAPE, <int> FC_EMPTY_OUTPUT
OVERFLOW, UNSUPPORTED = <int> FC_OVERFLOW, <int> FC_UNSUPPORTED


# ---- threads and instruction sets --------------------------------------------------------------------------------

cdef int asked_threads = 0  # 0: as many as OpenMP would use
cdef int most_threads = 0   # what an unasked call may use besides; 0: no such bound
cdef int forked = 0

cdef void after_fork() noexcept nogil:
    # libgomp's workers did not survive the fork, and a parallel region would wait for them for ever.
    global forked
    forked = 1

fc_at_fork(after_fork)


cdef int threads() noexcept nogil:
    if forked or not fc_openmp():
        return 1
    if asked_threads:
        return asked_threads
    cdef int count = fc_max_threads()
    if most_threads and count > most_threads:
        count = most_threads
    return count if count > 0 else 1


def get_threads():
    return threads()


def set_threads(int count):
    global asked_threads
    asked_threads = count


def bound_default_threads(int count):
    global most_threads
    most_threads = count


def has_openmp():
    return bool(fc_openmp())


def is_forked():
    return bool(forked)


def isa_available(int isa):
    return bool(fc_isa_available(<fc_isa> isa))


def l2_bytes():
    return fc_l2_bytes()


def multiply_adds(bint double_precision, int isa, ptrdiff_t rounds):
    return fc_multiply_adds(FC_F64 if double_precision else FC_F32, <fc_isa> isa, rounds)


cdef int default_isa = <int> fc_isa_best()
cdef bint isa_ever_chosen = False
cdef object isa_choice = ContextVar("fastconv_isa")


cdef int current_isa() except -1:
    return isa_choice.get(default_isa) if isa_ever_chosen else default_isa


def get_isa():
    return current_isa()


def set_default_isa(int isa):
    global default_isa
    default_isa = isa


def choose_isa(int isa):
    global isa_ever_chosen
    isa_ever_chosen = True
    return isa_choice.set(isa)


def unchoose_isa(token):
    isa_choice.reset(token)


cdef bint every_product = False  # "highest": only algorithms that add each output's own products


def set_highest_precision(bint highest):
    global every_product
    every_product = highest


cdef int circumstances() except -1:
    # What plans depend on besides their descriptions.
    return current_isa() + <int> FC_ISAS * every_product


# ---- memory ------------------------------------------------------------------------------------------------------

cdef enum:
    POOLED = 1 << 16       # results from this many bytes on come from the pool
    RANK = 1 + FC_SPATIAL  # axes of one image


@cython.final
cdef class Block:
    """Memory from the pool, through the buffer protocol; goes back when the last array over it dies."""

    cdef void *data
    cdef size_t capacity
    cdef Py_ssize_t nbytes

    def __cinit__(self, Py_ssize_t nbytes):
        if nbytes < 0:
            raise ValueError("nbytes must not be negative")
        self.data = fc_block_acquire(<size_t> nbytes, &self.capacity)
        if self.data == NULL:
            raise MemoryError(f"out: no memory for {nbytes} bytes")
        self.nbytes = nbytes

    def __dealloc__(self):
        if self.data != NULL:
            fc_block_release(self.data, self.capacity)

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.data, self.nbytes, 0, flags)


def trim_blocks():
    with nogil:
        fc_block_trim()


def idle_block_bytes():
    return fc_block_idle_bytes()


def set_block_limit(size_t nbytes):
    with nogil:
        fc_block_set_limit(nbytes)


cdef struct Held:
    # The buffers that a call has taken, and its scratch memory: all given back by drop().
    Py_buffer views[8]
    int count
    void *scratch
    size_t capacity


cdef void drop(Held *held) noexcept:
    cdef int i
    for i in range(held.count):
        PyBuffer_Release(&held.views[i])
    if held.scratch != NULL:
        fc_block_release(held.scratch, held.capacity)


cdef Py_buffer *hold(Held *held, object array, int flags) noexcept:
    # An aligned ndarray of native float32 or float64 (or int64) with any strides, or NULL.
    if type(array) is not ndarray:
        return NULL
    cdef Py_buffer *view = &held.views[held.count]
    if PyObject_GetBuffer(array, view, PyBUF_FORMAT | PyBUF_STRIDES | flags) < 0:
        PyErr_Clear()
        return NULL
    held.count += 1
    cdef char kind = view.format[0]
    if kind != c'\0' and view.format[1] == c'\0' and (kind == c'f' or kind == c'd' or kind == c'l' or kind == c'q'):
        return view
    return NULL


cdef bint is_contiguous(const Py_buffer *view) noexcept nogil:
    cdef Py_ssize_t expected = view.itemsize
    cdef int i
    for i in range(view.ndim - 1, -1, -1):
        if view.shape[i] == 0:
            return True
        if view.shape[i] != 1:
            if view.strides[i] != expected:
                return False
            expected *= view.shape[i]
    return True


cdef Py_buffer *hold_contiguous(Held *held, object array, int flags) noexcept:
    cdef Py_buffer *view = hold(held, array, flags)
    return view if view != NULL and is_contiguous(view) else NULL


cdef bint is_real(const Py_buffer *view) noexcept nogil:
    return view.format[0] == c'f' or view.format[0] == c'd'


cdef bint overlap(const Py_buffer *a, const Py_buffer *b) noexcept nogil:
    # Whether the address ranges meet, which for contiguous arrays is the whole truth.
    cdef char *low[2]
    cdef char *high[2]
    cdef const Py_buffer *view = a
    cdef int i, k
    for k in range(2):
        low[k] = <char *> view.buf
        high[k] = low[k] + view.itemsize
        for i in range(view.ndim):
            if view.shape[i] == 0:
                return False
            if view.strides[i] < 0:
                low[k] += view.strides[i] * (view.shape[i] - 1)
            else:
                high[k] += view.strides[i] * (view.shape[i] - 1)
        view = b
    return low[0] < high[1] and low[1] < high[0]


cdef bint same_shape(const Py_buffer *a, const Py_buffer *b) noexcept nogil:
    cdef int i
    if a.ndim != b.ndim:
        return False
    for i in range(a.ndim):
        if a.shape[i] != b.shape[i]:
            return False
    return True


cdef Py_ssize_t nbytes_of(Py_ssize_t n, const ptrdiff_t *tail, Py_ssize_t itemsize) except -1:
    cdef Py_ssize_t extent, nbytes = itemsize
    cdef int i
    for i in range(RANK + 1):
        extent = n if i == RANK else tail[i]
        if extent and nbytes > PTRDIFF_MAX // extent:
            shape = " x ".join([str(tail[i]) for i in range(RANK)])
            raise MemoryError(f"out: no memory for {n} x {shape} elements")
        nbytes *= extent
    return nbytes


cdef object new_array(Held *held, tuple shape, char kind, Py_ssize_t nbytes, void **data):
    # A fresh C-contiguous array and its address.
    cdef object dtype = FLOAT32 if kind == c'f' else FLOAT64 if kind == c'd' else INT64
    cdef Block block
    if nbytes >= POOLED:
        block = Block(nbytes)
        data[0] = block.data
        return ndarray(shape, dtype, block)
    array = numpy_empty(shape, dtype)
    cdef Py_buffer *view = hold(held, array, PyBUF_WRITABLE)
    if view == NULL:
        raise MemoryError("out: no memory for its buffer")
    data[0] = view.buf
    return array


cdef void *scratch(Held *held, size_t nbytes) except? NULL:
    if nbytes == 0:
        return NULL
    held.scratch = fc_block_acquire(nbytes, &held.capacity) if nbytes != SIZE_MAX else NULL
    if held.scratch == NULL:
        raise MemoryError(f"out: no memory for a workspace of {nbytes} bytes")
    return held.scratch


def empty(tuple shape, dtype):
    """``numpy.empty``, from the pool when it is large."""
    cdef object count = dtype.itemsize
    for extent in shape:
        count *= extent
    if count > <object> PTRDIFF_MAX:
        raise MemoryError(f"out: no memory for an array of shape {shape}")
    return ndarray(shape, dtype, Block(count)) if count >= POOLED else numpy_empty(shape, dtype)


cdef bint is_exact(object value) noexcept:
    # ints, strings, None and tuples of these: equal ones then mean the same, as 1, 1.0 and True do not.
    cdef object kind = type(value)
    if kind is int or kind is str or value is None:
        return True
    if kind is tuple:
        for item in <tuple> value:
            if not is_exact(item):
                return False
        return True
    return False


# ---- images: channels and one to three spatial axes ----------------------------------------------------------------

cdef void fill(ptrdiff_t *axes, tuple given, ptrdiff_t missing) except *:
    # The leading axes that a problem has not are `missing`.
    cdef int i, skip = FC_SPATIAL - <int> len(given)
    for i in range(FC_SPATIAL):
        axes[i] = missing if i < skip else given[i - skip]


cdef void tail_shape(ptrdiff_t *shape, fc_layout layout, ptrdiff_t channels, const ptrdiff_t *spatial,
                     int axes) noexcept nogil:
    # One image's shape in the layout's order, then ones.
    cdef int i, first = layout == FC_CHANNELS_FIRST
    for i in range(axes + 1, RANK):
        shape[i] = 1
    shape[0 if first else axes] = channels
    for i in range(axes):
        shape[i + first] = spatial[FC_SPATIAL - axes + i]


cdef bint fits_tail(const Py_buffer *view, const ptrdiff_t *tail, int axes) noexcept nogil:
    # Whether a view is a batch of images of this shape, or one without a batch axis.
    cdef int i, lead = view.ndim - axes - 1
    if lead != 0 and lead != 1:
        return False
    for i in range(axes + 1):
        if view.shape[lead + i] != tail[i]:
            return False
    return True


cdef Py_ssize_t images_in(const Py_buffer *view, int axes) noexcept nogil:
    return view.shape[0] if view.ndim == axes + 2 else 1


cdef tuple batch_shape(const Py_buffer *view, const ptrdiff_t *tail, int axes):
    # The shape of as many images as in a view, with a batch axis if it has one.
    if view.ndim == axes + 2:
        if axes == 2:
            return (view.shape[0], tail[0], tail[1], tail[2])
        if axes == 1:
            return (view.shape[0], tail[0], tail[1])
        return (view.shape[0], tail[0], tail[1], tail[2], tail[3])
    if axes == 2:
        return (tail[0], tail[1], tail[2])
    if axes == 1:
        return (tail[0], tail[1])
    return (tail[0], tail[1], tail[2], tail[3])


cdef tuple last_axes(const ptrdiff_t *spatial, int axes):
    return tuple([spatial[FC_SPATIAL - axes + i] for i in range(axes)])


# ---- convolution -------------------------------------------------------------------------------------------------


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
        memset(&held, 0, sizeof(held))
        cdef ptrdiff_t strides[5]
        cdef Py_buffer *w
        cdef Py_buffer *b
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
            with nogil:
                fc_conv_pack(&self.plan, w.buf, strides, self.packed)
            return True
        finally:
            drop(&held)

    def __call__(self, x, out=None):
        result = self.execute(x, out)
        return self.general(x, out) if result is None else result

    cpdef object execute(self, object x, object out):
        """Run with the weights that stay; None when an array is not plain or does not fit."""
        cdef Held held
        memset(&held, 0, sizeof(held))
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
        memset(&held, 0, sizeof(held))
        try:
            return self.run_once(&held, hold_contiguous(&held, x, 0), hold(&held, weight, 0), bias, out)
        finally:
            drop(&held)

    def weight_grad(self, x, grad, out):
        """Write the weights' gradient into `out` (any strides) and return it; None when an array is not plain."""
        cdef Held held
        memset(&held, 0, sizeof(held))
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
            if status != FC_OK:
                raise RuntimeError(f"fc_conv_weight_grad: status {<int> status}")
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
        cdef tuple shape = batch_shape(x, self.written, self.axes)
        return self.run_into(held, images_in(x, self.axes), x, w, strides, b, shape, out)

    cdef object run_into(self, Held *held, Py_ssize_t n, const Py_buffer *x, const Py_buffer *w,
                         const ptrdiff_t *strides, const Py_buffer *b, tuple shape, object out):
        cdef const Py_buffer *o
        cdef Py_ssize_t i, nbytes = nbytes_of(n, self.written, self.itemsize)
        cdef void *dst = NULL
        if out is None:
            out = new_array(held, shape, self.kind, nbytes, &dst)
        else:
            o = hold_contiguous(held, out, PyBUF_WRITABLE)
            if o == NULL or o.format[0] != self.kind or o.ndim != len(shape):
                return None
            for i in range(o.ndim):
                if o.shape[i] != <Py_ssize_t> shape[i]:
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
        cdef char *memory = <char *> scratch(held, packed_bytes + workspace_bytes)
        cdef void *workspace = NULL if memory == NULL else memory + packed_bytes
        cdef const void *src = x.buf
        cdef const void *weights = NULL if w == NULL else w.buf
        cdef void *packed = self.packed if w == NULL else memory
        cdef const void *bias = self.bias if w == NULL else NULL if b == NULL else b.buf
        cdef fc_status status
        with nogil:
            if weights != NULL:
                fc_conv_pack(&self.plan, weights, strides, packed)
            status = fc_conv_run(&self.plan, n, src, packed, bias, NULL, dst, workspace, count)
        if status != FC_OK:
            raise RuntimeError(f"fc_conv_run: status {<int> status}")
        return out


# ---- plans that functional keeps -----------------------------------------------------------------------------------

cdef enum:
    KEPT_PLANS = 512

cdef dict kept_plans = {}
cdef object kept_lock = Lock()


def forget_plans():
    kept_plans.clear()


cdef void keep(object key, object plan) except *:
    with kept_lock:
        if len(kept_plans) >= KEPT_PLANS:
            del kept_plans[next(iter(kept_plans))]
        kept_plans[key] = plan


def kept(tuple options):
    """Return the plan that was kept for these options under this instruction set and precision, or None."""
    return kept_plans.get((circumstances(), options)) if is_exact(options) else None


def keep_plan(tuple options, plan):
    """Keep a plan for `kept`, where the options can be told apart."""
    if is_exact(options):
        keep((circumstances(), options), plan)


cdef object key_of(const Py_buffer *x, int skip, const Py_buffer *w, tuple options):
    # Everything that a plan depends on: extents but the first `skip`, dtype, instruction set, precision,
    # options.
    cdef ptrdiff_t facts[16]
    cdef int i, count = 3
    if x.ndim - skip + (0 if w == NULL else w.ndim) > 13:
        return None
    facts[0] = circumstances()
    facts[1] = x.format[0]
    facts[2] = x.ndim - skip
    for i in range(skip, x.ndim):
        facts[count] = x.shape[i]
        count += 1
    if w != NULL:
        for i in range(w.ndim):
            facts[count] = w.shape[i]
            count += 1
    return (PyBytes_FromStringAndSize(<const char *> facts, count * sizeof(ptrdiff_t)), options)


def conv(int axes, x, weight, bias, tuple options, out, make):
    """Convolve over so many spatial axes with the plan that is kept for these shapes and options, or `make()`'s.

    None when an array is not plain, does not fit, or when there is neither a plan nor a `make`.
    """
    cdef Held held
    memset(&held, 0, sizeof(held))
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
    memset(&held, 0, sizeof(held))
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
    memset(&held, 0, sizeof(held))
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
        if status != FC_OK:
            raise RuntimeError(f"fc_bias_grad: status {<int> status}")
        return out
    finally:
        drop(&held)


# ---- pooling -----------------------------------------------------------------------------------------------------

@cython.final
cdef class PoolPlan:
    """A planned pooling, forward and backward."""

    cdef fc_pool_plan plan
    cdef int axes
    cdef ptrdiff_t read[RANK]
    cdef ptrdiff_t written[RANK]
    cdef char kind
    cdef Py_ssize_t itemsize

    def describe(self, *, bint maximum, bint adaptive, bint ceil_mode, bint include_pad, double divisor,
                 bint double_precision, int layout, Py_ssize_t channels, tuple src, tuple kernel, tuple stride,
                 tuple dilation, tuple pad_begin, tuple pad_end, tuple dst):
        """Plan for the current instruction set; return the status. `dst` counts when adaptive."""
        cdef fc_pool_desc desc
        memset(&desc, 0, sizeof(desc))
        if self.kind:
            raise RuntimeError("this plan is described already")
        desc.dtype = FC_F64 if double_precision else FC_F32
        desc.layout = <fc_layout> layout
        desc.isa = <fc_isa> current_isa()
        desc.kind = FC_POOL_MAX if maximum else FC_POOL_AVERAGE
        desc.adaptive = adaptive
        desc.ceil_mode = ceil_mode
        desc.include_pad = include_pad
        desc.divisor = divisor
        desc.channels = channels
        fill(desc.src, src, 1)
        fill(desc.kernel, kernel, 1)
        fill(desc.stride, stride, 1)
        fill(desc.dilation, dilation, 1)
        fill(desc.pad_begin, pad_begin, 0)
        fill(desc.pad_end, pad_end, 0)
        fill(desc.dst, dst, 1)
        cdef fc_status status = fc_pool_plan_make(&desc, &self.plan)
        if status != FC_OK:
            return <int> status
        self.axes = <int> len(src)
        tail_shape(self.read, desc.layout, channels, self.plan.desc.src, self.axes)
        tail_shape(self.written, desc.layout, channels, self.plan.desc.dst, self.axes)
        self.itemsize = 8 if double_precision else 4
        self.kind = c'd' if double_precision else c'f'
        return <int> FC_OK

    @property
    def dst(self):
        """The output's spatial extents."""
        return last_axes(self.plan.desc.dst, self.axes)

    cdef bint fits(self, const Py_buffer *view, const ptrdiff_t *tail) noexcept nogil:
        return fits_tail(view, tail, self.axes)

    cdef object run(self, Held *held, const Py_buffer *x, bint with_indices, object out):
        if x.format[0] != self.kind or not self.fits(x, self.read):
            return None
        cdef Py_ssize_t n = images_in(x, self.axes)
        cdef tuple shape = batch_shape(x, self.written, self.axes)
        cdef Py_ssize_t nbytes = nbytes_of(n, self.written, self.itemsize)
        cdef const Py_buffer *o
        cdef void *dst = NULL
        cdef void *indices = NULL
        cdef object positions = None
        cdef int count = threads()
        if out is None:
            out = new_array(held, shape, self.kind, nbytes, &dst)
        else:
            o = hold_contiguous(held, out, PyBUF_WRITABLE)
            if (o == NULL or o.format[0] != self.kind or o.ndim != x.ndim or not self.fits(o, self.written)
                    or images_in(o, self.axes) != n or overlap(o, x)):
                return None
            dst = o.buf
        if with_indices:
            positions = new_array(held, shape, c'l', nbytes_of(n, self.written, 8), &indices)
        cdef fc_status status
        cdef const void *src = x.buf
        cdef void *workspace
        if nbytes:
            workspace = scratch(held, self.workspace(count))
            with nogil:
                status = fc_pool_run(&self.plan, n, src, dst, <int64_t *> indices, workspace, count)
            if status != FC_OK:
                raise RuntimeError(f"fc_pool_run: status {<int> status}")
        return (out, positions) if with_indices else out

    cdef size_t workspace(self, int count) noexcept nogil:
        if self.plan.workspace_bytes > SIZE_MAX // <size_t> count:
            return SIZE_MAX
        return self.plan.workspace_bytes * <size_t> count

    def backward(self, x, indices, grad, out):
        """Write the input's gradient into `out` and return it; None when not plain, False on an index out of range."""
        cdef Held held
        memset(&held, 0, sizeof(held))
        cdef Py_buffer *xv = NULL
        cdef Py_buffer *iv = NULL
        cdef Py_buffer *gv
        cdef Py_buffer *ov
        cdef Py_ssize_t n
        cdef int count = threads()
        cdef fc_status status
        cdef const void *src = NULL
        cdef const int64_t *positions = NULL
        cdef void *workspace
        try:
            gv = hold_contiguous(&held, grad, 0)
            ov = hold_contiguous(&held, out, PyBUF_WRITABLE)
            if gv == NULL or ov == NULL or gv.ndim != ov.ndim or gv.format[0] != self.kind or ov.format[0] != self.kind:
                return None
            n = images_in(gv, self.axes)
            if not self.fits(gv, self.written) or not self.fits(ov, self.read) or images_in(ov, self.axes) != n:
                return None
            if overlap(gv, ov):
                return None
            if x is not None:
                xv = hold_contiguous(&held, x, 0)
                if xv == NULL or xv.format[0] != self.kind or not same_shape(xv, ov) or overlap(xv, ov):
                    return None
                src = xv.buf
            if indices is not None:
                iv = hold_contiguous(&held, indices, 0)
                if iv == NULL or is_real(iv) or not same_shape(iv, gv) or overlap(iv, ov):
                    return None
                positions = <const int64_t *> iv.buf
            if n:
                workspace = scratch(&held, self.workspace(count))
                with nogil:
                    status = fc_pool_backward(&self.plan, n, src, positions, gv.buf, ov.buf, workspace, count)
                if status == FC_BAD_SHAPE:
                    return False
                if status != FC_OK:
                    raise RuntimeError(f"fc_pool_backward: status {<int> status}")
            return out
        finally:
            drop(&held)


def pool(int axes, x, tuple options, bint with_indices, out, make):
    """As conv: pool with the plan that is kept for this shape and these options, or that `make()` returns."""
    cdef Held held
    memset(&held, 0, sizeof(held))
    cdef Py_buffer *xv
    cdef PoolPlan plan
    try:
        xv = hold_contiguous(&held, x, 0)
        if xv == NULL or not (xv.ndim == axes + 2 or xv.ndim == axes + 1) or not is_exact(options):
            return None
        key = key_of(xv, xv.ndim - axes - 1, NULL, options)
        found = kept_plans.get(key)
        if found is None:
            if make is None:
                return None
            found = make()
            keep(key, found)
        plan = found
        return plan.run(&held, xv, with_indices, out)
    finally:
        drop(&held)


# ---- pointwise ---------------------------------------------------------------------------------------------------

cdef object result_like(Held *held, const Py_buffer *x, object array, object out, void **data):
    # `out` if it is plain and of x's shape and type, a new array without one, None otherwise.
    cdef const Py_buffer *o
    if out is None:
        return new_array(held, array.shape, x.format[0], x.len, data)
    o = hold_contiguous(held, out, PyBUF_WRITABLE)
    if o == NULL or o.format[0] != x.format[0] or not same_shape(o, x):
        return None
    data[0] = o.buf
    return out


cdef bint collide(const Py_buffer *view, const void *data) noexcept nogil:
    # Whether an array of the same size at `data` overlaps the view without being it.
    cdef const char *a = <const char *> view.buf
    cdef const char *b = <const char *> data
    return a != b and a < b + view.len and b < a + view.len


def activation(int kind, double alpha, double beta, x, out):
    """Apply an activation; `out` may be x. None when an array is not plain or they overlap otherwise."""
    cdef Held held
    memset(&held, 0, sizeof(held))
    cdef Py_buffer *xv
    cdef void *dst = NULL
    cdef int count = threads()
    cdef fc_dtype dtype
    cdef fc_isa isa = <fc_isa> current_isa()
    try:
        xv = hold_contiguous(&held, x, 0)
        if xv == NULL or not is_real(xv):
            return None
        out = result_like(&held, xv, x, out, &dst)
        if out is None or collide(xv, dst):
            return None
        dtype = FC_F64 if xv.format[0] == c'd' else FC_F32
        if xv.len:
            with nogil:
                fc_activation_run(
                    dtype, isa, <fc_activation> kind, alpha, beta, xv.len // xv.itemsize, xv.buf, dst, count
                )
        return out
    finally:
        drop(&held)


def activation_grad(int kind, double alpha, double beta, grad, saved, out):
    """Gradient of an activation from what it saved; `out` may be grad or saved. None as in activation."""
    cdef Held held
    memset(&held, 0, sizeof(held))
    cdef Py_buffer *gv
    cdef Py_buffer *sv
    cdef void *dst = NULL
    cdef int count = threads()
    cdef fc_dtype dtype
    cdef fc_isa isa = <fc_isa> current_isa()
    try:
        gv = hold_contiguous(&held, grad, 0)
        sv = hold_contiguous(&held, saved, 0)
        if gv == NULL or sv == NULL or not is_real(gv) or gv.format[0] != sv.format[0] or not same_shape(gv, sv):
            return None
        out = result_like(&held, gv, grad, out, &dst)
        if out is None or collide(gv, dst) or collide(sv, dst):
            return None
        dtype = FC_F64 if gv.format[0] == c'd' else FC_F32
        if gv.len:
            with nogil:
                fc_activation_grad(dtype, isa, <fc_activation> kind, alpha, beta, gv.len // gv.itemsize, gv.buf, sv.buf,
                                   dst, count)
        return out
    finally:
        drop(&held)


cdef void split_axis(
    const Py_buffer *view, int axis, ptrdiff_t *outer, ptrdiff_t *extent, ptrdiff_t *inner
) noexcept nogil:
    # The three start at 1.
    cdef int i
    for i in range(view.ndim):
        if i < axis:
            outer[0] *= view.shape[i]
        elif i == axis:
            extent[0] = view.shape[i]
        else:
            inner[0] *= view.shape[i]


def softmax(bint logarithm, int axis, x, out):
    """(Log-)softmax along an axis in [0, ndim); `out` may be x. None as in activation."""
    cdef Held held
    memset(&held, 0, sizeof(held))
    cdef Py_buffer *xv
    cdef void *dst = NULL
    cdef int count = threads()
    cdef fc_dtype dtype
    cdef ptrdiff_t outer = 1, extent = 1, inner = 1
    cdef fc_isa isa = <fc_isa> current_isa()
    try:
        xv = hold_contiguous(&held, x, 0)
        if xv == NULL or not is_real(xv):
            return None
        out = result_like(&held, xv, x, out, &dst)
        if out is None or collide(xv, dst):
            return None
        dtype = FC_F64 if xv.format[0] == c'd' else FC_F32
        split_axis(xv, axis, &outer, &extent, &inner)
        if xv.len:
            with nogil:
                fc_softmax_run(dtype, isa, logarithm, outer, extent, inner, xv.buf, dst, count)
        return out
    finally:
        drop(&held)


def softmax_grad(bint logarithm, int axis, grad, result, out):
    """Gradient of (log-)softmax from its result; `out` may be grad. None as in activation."""
    cdef Held held
    memset(&held, 0, sizeof(held))
    cdef Py_buffer *gv
    cdef Py_buffer *rv
    cdef void *dst = NULL
    cdef int count = threads()
    cdef fc_dtype dtype
    cdef ptrdiff_t outer = 1, extent = 1, inner = 1
    cdef fc_isa isa = <fc_isa> current_isa()
    try:
        gv = hold_contiguous(&held, grad, 0)
        rv = hold_contiguous(&held, result, 0)
        if gv == NULL or rv == NULL or not is_real(gv) or gv.format[0] != rv.format[0] or not same_shape(gv, rv):
            return None
        out = result_like(&held, gv, grad, out, &dst)
        if out is None or collide(gv, dst) or collide(rv, dst):
            return None
        dtype = FC_F64 if gv.format[0] == c'd' else FC_F32
        split_axis(gv, axis, &outer, &extent, &inner)
        if gv.len:
            with nogil:
                fc_softmax_grad(dtype, isa, logarithm, outer, extent, inner, gv.buf, rv.buf, dst, count)
        return out
    finally:
        drop(&held)


include "_norm.pxi"
include "_program.pxi"
