# Memory: blocks of the pool, the buffers that a call holds, new arrays and workspaces.

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


cdef inline void hold_nothing(Held *held) noexcept:
    held.count = 0
    held.scratch = NULL


cdef void drop(Held *held) noexcept:
    cdef int i
    for i in range(held.count):
        PyBuffer_Release(&held.views[i])
    if held.scratch != NULL:
        fc_block_release(held.scratch, held.capacity)


cdef Py_buffer *hold(Held *held, object array, int flags) except? NULL:
    # An aligned ndarray of native float32 or float64 (or int64) with any strides, or NULL.
    if type(array) is not ndarray:
        return NULL
    cdef Py_buffer *view = &held.views[held.count]
    if PyObject_GetBuffer(array, view, PyBUF_FORMAT | PyBUF_STRIDES | flags) < 0:
        if not PyErr_ExceptionMatches(MemoryError):
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


cdef Py_buffer *hold_contiguous(Held *held, object array, int flags) except? NULL:
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


cdef bint has_shape(const Py_buffer *view, tuple shape) except -1:
    cdef int i
    if view.ndim != len(shape):
        return False
    for i in range(view.ndim):
        if view.shape[i] != <Py_ssize_t> shape[i]:
            return False
    return True


cdef Py_ssize_t nbytes_of(Py_ssize_t n, const ptrdiff_t *tail, Py_ssize_t itemsize) except -1:
    cdef Py_ssize_t extent, nbytes = itemsize
    cdef int i
    for i in range(RANK + 1):
        extent = n if i == RANK else tail[i]
        if __builtin_mul_overflow(nbytes, extent, &nbytes):
            shape = " x ".join([str(tail[i]) for i in range(RANK)])
            raise MemoryError(f"out: no memory for {n} x {shape} elements")
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
