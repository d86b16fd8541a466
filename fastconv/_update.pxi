# Training beside gradients: an optimizer's step for all variables in one call, and dropout.

UPDATES = {"sgd": <int> FC_SGD, "rmsprop": <int> FC_RMSPROP, "adam": <int> FC_ADAM}


@cython.final
cdef class Update:
    """Variables that are updated together; it writes where the caller keeps them.

    Parameters
    ----------
    values, gradients : list of ndarray
        Contiguous, each pair of one type and size.
    slots : list of tuple of ndarray or None
        What the rule keeps of each variable, as csrc/fastconv.h lists it.
    """

    cdef fc_variable *variables
    cdef size_t capacity
    cdef int count
    cdef list arrays  # whose memory the variables point to

    def __init__(self, list values, list gradients, list slots):
        cdef Py_ssize_t i, k, count = len(values)
        cdef fc_variable *variable
        cdef tuple kept
        if self.variables != NULL or len(gradients) != count or len(slots) != count:
            raise ValueError("expected a gradient and slots for each value, once")
        self.arrays = []
        self.variables = <fc_variable *> fc_block_acquire(count * sizeof(fc_variable), &self.capacity)
        if self.variables == NULL:
            raise MemoryError(f"no memory for {count} variables")
        memset(self.variables, 0, count * sizeof(fc_variable))
        for i in range(count):
            variable = &self.variables[i]
            kept = slots[i]
            if len(kept) > FC_SLOTS:
                raise ValueError(f"expected at most {FC_SLOTS} slots, got {len(kept)}")
            variable.dtype = FC_F64 if values[i].dtype.itemsize == 8 else FC_F32
            variable.count = values[i].size
            variable.value = self.address(values[i], variable, PyBUF_WRITABLE)
            variable.gradient = self.address(gradients[i], variable, 0)
            for k in range(len(kept)):
                variable.slots[k] = self.address(kept[k], variable, PyBUF_WRITABLE)
        self.count = <int> count

    def __dealloc__(self):
        if self.variables != NULL:
            fc_block_release(self.variables, self.capacity)

    def __reduce__(self):
        # A copy of what holds this makes its own.
        return type(None), ()

    cdef void *address(self, object array, fc_variable *variable, int flags) except? NULL:
        cdef Held held
        cdef Py_buffer *view
        cdef void *data
        if array is None:
            return NULL
        hold_nothing(&held)
        try:
            view = hold_contiguous(&held, array, flags)
            if view == NULL or view.format[0] != (c'd' if variable.dtype == FC_F64 else c'f') or (
                view.len != variable.count * view.itemsize
            ):
                raise ValueError(f"expected a contiguous array of {variable.count} elements, got {array!r}")
            data = view.buf
        finally:
            drop(&held)
        self.arrays.append(array)
        return data

    def __call__(self, *, int kind, double rate, list keeps, list scales, double limit, double momentum=0.0,
                 double first=0.0, double second=0.0, double epsilon=0.0, bint nesterov=False):
        """Take one step. `keeps` is what decay leaves of each value, `scales` what each gradient is multiplied by."""
        cdef fc_update update
        cdef int i, isa = current_isa(), thread_count = threads()
        update.kind = <fc_update_kind> kind
        update.nesterov = nesterov
        update.rate, update.momentum, update.first, update.second = rate, momentum, first, second
        update.epsilon, update.limit = epsilon, limit
        if len(keeps) != self.count or len(scales) != self.count:
            raise ValueError(f"expected {self.count} factors")
        for i in range(self.count):
            self.variables[i].keep = keeps[i]
            self.variables[i].scale = scales[i]
        with nogil:
            fc_update_run(<fc_isa> isa, &update, self.count, self.variables, thread_count)


def sum_squares(array):
    """Return the sum of a plain array's squares, added in double; None for what is not plain."""
    cdef Held held
    cdef double total = 0
    cdef Py_buffer *view
    cdef fc_dtype dtype
    cdef int isa = current_isa()
    hold_nothing(&held)
    try:
        view = hold_contiguous(&held, array, 0)
        if view == NULL or not is_real(view):
            return None
        dtype = FC_F64 if view.format[0] == c'd' else FC_F32
        with nogil:
            total = fc_sum_squares(dtype, <fc_isa> isa, view.len // view.itemsize, view.buf)
        return total
    finally:
        drop(&held)


cdef void fill_draw(fc_draw *draw, tuple drawn, double rate) except *:
    # drawn: key, call
    draw.key, draw.call = drawn[0], drawn[1]
    draw.threshold = <uint64_t> (rate * 4294967296.0 + 0.5)
    draw.factor = 1 / (1 - rate) if rate < 1 else 0


def dropout(x, double rate, tuple drawn, Py_ssize_t rows, out):
    """Write x, that many rows, with random zeros into out, which may be x; None when one of them is not plain."""
    cdef Held held
    cdef Py_buffer *src
    cdef Py_buffer *dst
    cdef fc_draw draw
    cdef fc_dtype dtype
    cdef fc_status status
    cdef Py_ssize_t count
    cdef int isa = current_isa(), thread_count = threads()
    hold_nothing(&held)
    try:
        src, dst = hold_contiguous(&held, x, 0), hold_contiguous(&held, out, PyBUF_WRITABLE)
        if src == NULL or dst == NULL or not is_real(src) or src.format[0] != dst.format[0]:
            return None
        if not same_shape(src, dst):
            return None
        fill_draw(&draw, drawn, rate)
        dtype = FC_F64 if src.format[0] == c'd' else FC_F32
        count = src.len // src.itemsize // rows if rows > 0 else 0
        with nogil:
            status = fc_dropout_run(dtype, <fc_isa> isa, &draw, rows, count, src.buf, dst.buf, thread_count)
        finish(status)
        return out
    finally:
        drop(&held)
