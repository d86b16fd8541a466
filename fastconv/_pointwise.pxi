# Activations and softmax, forward and backward.

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
    hold_nothing(&held)
    cdef Py_buffer *xv
    cdef void *dst = NULL
    cdef int count = threads()
    cdef fc_status status
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
                status = fc_activation_run(
                    dtype, isa, <fc_activation> kind, alpha, beta, xv.len // xv.itemsize, xv.buf, dst, count
                )
            finish(status)
        return out
    finally:
        drop(&held)


def activation_grad(int kind, double alpha, double beta, grad, saved, out):
    """Gradient of an activation from what it saved; `out` may be grad or saved. None as in activation."""
    cdef Held held
    hold_nothing(&held)
    cdef Py_buffer *gv
    cdef Py_buffer *sv
    cdef void *dst = NULL
    cdef int count = threads()
    cdef fc_status status
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
                status = fc_activation_grad(
                    dtype, isa, <fc_activation> kind, alpha, beta, gv.len // gv.itemsize, gv.buf, sv.buf, dst, count
                )
            finish(status)
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
    hold_nothing(&held)
    cdef Py_buffer *xv
    cdef void *dst = NULL
    cdef int count = threads()
    cdef fc_status status
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
                status = fc_softmax_run(dtype, isa, logarithm, outer, extent, inner, xv.buf, dst, count)
            finish(status)
        return out
    finally:
        drop(&held)


def softmax_grad(bint logarithm, int axis, grad, result, out):
    """Gradient of (log-)softmax from its result; `out` may be grad. None as in activation."""
    cdef Held held
    hold_nothing(&held)
    cdef Py_buffer *gv
    cdef Py_buffer *rv
    cdef void *dst = NULL
    cdef int count = threads()
    cdef fc_status status
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
                status = fc_softmax_grad(dtype, isa, logarithm, outer, extent, inner, gv.buf, rv.buf, dst, count)
            finish(status)
        return out
    finally:
        drop(&held)
