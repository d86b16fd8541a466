# Normalisation. Arrays are plain and of matching shapes: what calls these has made sure of it, and they look again only
# at what memory depends on.

NORMS = {"batch": <int> FC_NORM_BATCH, "instance": <int> FC_NORM_INSTANCE, "group": <int> FC_NORM_GROUP}


cdef void describe_norm(fc_norm_desc *desc, tuple shape, double eps, int activation) except *:
    # shape: kind, layout, images, channels, groups, pixels
    memset(desc, 0, sizeof(fc_norm_desc))
    desc.kind = <fc_norm_kind> <int> shape[0]
    desc.layout = <fc_layout> <int> shape[1]
    desc.n, desc.channels, desc.groups, desc.pixels = shape[2], shape[3], shape[4], shape[5]
    desc.isa = <fc_isa> current_isa()
    desc.eps = eps
    desc.activation = <fc_activation> activation


cdef const void *take(Held *held, object array, char kind, Py_ssize_t count, int flags) except? NULL:
    # The memory of an array of `count` elements, or NULL for None.
    if array is None:
        return NULL
    cdef Py_buffer *view = hold_contiguous(held, array, flags)
    if view == NULL or view.format[0] != kind or view.len != count * view.itemsize:
        raise RuntimeError("the engine refused checked arrays")
    return view.buf


cdef char kind_taken(fc_norm_desc *desc, object x) except? 0:
    cdef char kind = c'd' if x.dtype.itemsize == 8 else c'f'
    desc.dtype = FC_F64 if kind == c'd' else FC_F32
    return kind


def norm_statistics(tuple shape, x, mean, variance):
    """Write each set's mean and biased variance, as float64."""
    cdef Held held
    cdef fc_norm_desc desc
    cdef int count = threads()
    cdef fc_status status
    hold_nothing(&held)
    try:
        describe_norm(&desc, shape, 0.0, 0)
        kind = kind_taken(&desc, x)
        src = take(&held, x, kind, desc.n * desc.channels * desc.pixels, 0)
        m = <double *> take(&held, mean, c'd', fc_norm_sets(&desc), PyBUF_WRITABLE)
        v = <double *> take(&held, variance, c'd', fc_norm_sets(&desc), PyBUF_WRITABLE)
        work = scratch(&held, fc_norm_workspace(&desc))
        with nogil:
            status = fc_norm_statistics(&desc, src, m, v, work, count)
        finish(status)
    finally:
        drop(&held)


def norm_run(tuple shape, double eps, int activation, x, mean, variance, weight, bias, out):
    """Normalise x into out, which may be x, by statistics in float64."""
    cdef Held held
    cdef fc_norm_desc desc
    cdef int count = threads()
    cdef fc_status status
    hold_nothing(&held)
    try:
        describe_norm(&desc, shape, eps, activation)
        kind = kind_taken(&desc, x)
        src = take(&held, x, kind, desc.n * desc.channels * desc.pixels, 0)
        dst = <void *> take(&held, out, kind, desc.n * desc.channels * desc.pixels, PyBUF_WRITABLE)
        m = <const double *> take(&held, mean, c'd', fc_norm_sets(&desc), 0)
        v = <const double *> take(&held, variance, c'd', fc_norm_sets(&desc), 0)
        w = take(&held, weight, kind, desc.channels, 0)
        b = take(&held, bias, kind, desc.channels, 0)
        work = scratch(&held, fc_norm_workspace(&desc))
        with nogil:
            status = fc_norm_run(&desc, src, m, v, w, b, dst, work, count)
        finish(status)
    finally:
        drop(&held)


def norm_backward(tuple shape, double eps, x, grad, mean, variance, weight, bint constant, dx, dweight, dbias):
    """Write the gradients that are not None; dx may be grad."""
    cdef Held held
    cdef fc_norm_desc desc
    cdef int count = threads()
    cdef fc_status status
    hold_nothing(&held)
    try:
        describe_norm(&desc, shape, eps, 0)
        kind = kind_taken(&desc, x)
        src = take(&held, x, kind, desc.n * desc.channels * desc.pixels, 0)
        g = take(&held, grad, kind, desc.n * desc.channels * desc.pixels, 0)
        m = <const double *> take(&held, mean, c'd', fc_norm_sets(&desc), 0)
        v = <const double *> take(&held, variance, c'd', fc_norm_sets(&desc), 0)
        w = take(&held, weight, kind, desc.channels, 0)
        dst = <void *> take(&held, dx, kind, desc.n * desc.channels * desc.pixels, PyBUF_WRITABLE)
        dw = <void *> take(&held, dweight, kind, desc.channels, PyBUF_WRITABLE)
        db = <void *> take(&held, dbias, kind, desc.channels, PyBUF_WRITABLE)
        work = scratch(&held, fc_norm_workspace(&desc))
        with nogil:
            status = fc_norm_backward(&desc, src, g, m, v, w, constant, dst, dw, db, work, count)
        finish(status)
    finally:
        drop(&held)


def layer_norm(Py_ssize_t rows, Py_ssize_t count, double eps, x, weight, bias, mean, rstd, out):
    """Normalise each of `rows` rows of x into out, which may be x."""
    cdef Held held
    cdef fc_norm_desc desc
    cdef int workers = threads()
    cdef fc_status status
    cdef fc_isa isa = <fc_isa> current_isa()
    hold_nothing(&held)
    try:
        kind = kind_taken(&desc, x)
        src = take(&held, x, kind, rows * count, 0)
        dst = <void *> take(&held, out, kind, rows * count, PyBUF_WRITABLE)
        w = take(&held, weight, kind, count, 0)
        b = take(&held, bias, kind, count, 0)
        m = <double *> take(&held, mean, c'd', rows, PyBUF_WRITABLE)
        r = <double *> take(&held, rstd, c'd', rows, PyBUF_WRITABLE)
        with nogil:
            status = fc_layer_norm_run(desc.dtype, isa, rows, count, eps, src, w, b, m, r, dst, workers)
        finish(status)
    finally:
        drop(&held)


def layer_norm_backward(Py_ssize_t rows, Py_ssize_t count, double eps, x, grad, weight, mean, rstd, dx, dweight, dbias):
    """Write the gradients that are not None."""
    cdef Held held
    cdef fc_norm_desc desc
    cdef int workers = threads()
    cdef fc_status status
    cdef fc_isa isa = <fc_isa> current_isa()
    hold_nothing(&held)
    try:
        kind = kind_taken(&desc, x)
        src = take(&held, x, kind, rows * count, 0)
        g = take(&held, grad, kind, rows * count, 0)
        w = take(&held, weight, kind, count, 0)
        m = <double *> take(&held, mean, c'd', rows, PyBUF_WRITABLE)
        r = <double *> take(&held, rstd, c'd', rows, PyBUF_WRITABLE)
        dst = <void *> take(&held, dx, kind, rows * count, PyBUF_WRITABLE)
        dw = <void *> take(&held, dweight, kind, count, PyBUF_WRITABLE)
        db = <void *> take(&held, dbias, kind, count, PyBUF_WRITABLE)
        work = scratch(&held, 128 * <size_t> count * <size_t> x.dtype.itemsize)
        with nogil:
            status = fc_layer_norm_backward(
                desc.dtype, isa, rows, count, eps, src, g, w, m, r, dst, dw, db, work, workers
            )
        finish(status)
    finally:
        drop(&held)
