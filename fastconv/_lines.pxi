# Filters of images, line by line.

LINES = {"sum": <int> FC_LINES_SUM, "largest": <int> FC_LINES_LARGEST, "smallest": <int> FC_LINES_SMALLEST}

SQUARE, ADD, ROOT = FC_LINES_SQUARE, FC_LINES_ADD, FC_LINES_ROOT


cdef Py_buffer *hold_samples(Held *held, object array, int flags, fc_sample *sample) except? NULL:
    # A contiguous ndarray of native values: whole numbers of up to 32 bits, or floating-point ones; or NULL.
    if type(array) is not ndarray:
        return NULL
    cdef Py_buffer *view = &held.views[held.count]
    if PyObject_GetBuffer(array, view, PyBUF_FORMAT | PyBUF_STRIDES | flags) < 0:
        if not PyErr_ExceptionMatches(MemoryError):
            PyErr_Clear()
        return NULL
    held.count += 1
    cdef char kind = view.format[0]
    if kind == c'B':
        sample[0] = FC_SAMPLE_U8
    elif kind == c'b':
        sample[0] = FC_SAMPLE_I8
    elif kind == c'H':
        sample[0] = FC_SAMPLE_U16
    elif kind == c'h':
        sample[0] = FC_SAMPLE_I16
    elif kind == c'i':
        sample[0] = FC_SAMPLE_I32
    elif kind == c'f':
        sample[0] = FC_SAMPLE_F32
    elif kind == c'd':
        sample[0] = FC_SAMPLE_F64
    else:
        return NULL
    return view if view.format[1] == c'\0' and is_contiguous(view) else NULL


cdef const ptrdiff_t *places_of(Held *held, object places, ptrdiff_t count) except? NULL:
    if places is None:
        return NULL
    cdef Py_buffer *view = hold_contiguous(held, places, 0)
    if view == NULL or view.itemsize != sizeof(ptrdiff_t) or is_real(view) or view.shape[0] != count:
        raise ValueError(f"expected {count} places of int64")
    return <const ptrdiff_t *> view.buf


cdef int fill_pass(Held *held, fc_lines_pass *into, tuple given) except -1:
    cdef Py_buffer *weights = NULL
    into.rows, into.columns, into.fold, into.divisor, into.bound = given[0], given[1], given[3], given[4], given[5]
    if given[2] is not None:
        weights = hold_contiguous(held, given[2], 0)
        if weights == NULL or weights.format[0] != c'd' or weights.len != into.rows * into.columns * 8:
            raise ValueError("expected weights of float64, one for each place of a window")
        into.weights = <const double *> weights.buf
    return 0


def filter_samples(
    int kind, bint double_precision, src, out, tuple shape, rows, columns, double beyond, tuple first, second,
    int then,
):
    """Filter src (n, height, width, trail) into out; None when one of them is not plain or they overlap."""
    cdef Held held
    cdef Py_buffer *source
    cdef Py_buffer *target
    cdef fc_lines_desc desc
    cdef fc_status status
    cdef void *workspace
    cdef ptrdiff_t halo
    cdef int count = threads()
    hold_nothing(&held)
    memset(&desc, 0, sizeof(desc))
    try:
        source = hold_samples(&held, src, 0, &desc.src_type)
        target = hold_samples(&held, out, PyBUF_WRITABLE, &desc.dst_type)
        if source == NULL or target == NULL or not same_shape(source, target) or overlap(source, target):
            return None
        desc.dtype = FC_F64 if double_precision else FC_F32
        desc.finish = then
        if then and desc.dst_type != (FC_SAMPLE_F64 if double_precision else FC_SAMPLE_F32):
            raise ValueError("expected a result in elements where it is finished")
        desc.isa = <fc_isa> current_isa()
        desc.kind = <fc_lines_kind> kind
        desc.n, desc.height, desc.width, desc.trail = shape
        if desc.n * desc.height * desc.width * desc.trail * source.itemsize != source.len:
            raise ValueError(f"expected an array of shape {shape}")
        desc.beyond = beyond
        fill_pass(&held, &desc.first, first)
        if second is not None:
            fill_pass(&held, &desc.second, second)
        desc.rows = places_of(&held, rows, desc.height + desc.first.rows - 1)
        halo = desc.first.columns - 1 + (desc.second.columns - 1 if desc.second.columns else 0)
        desc.columns = places_of(&held, columns, desc.width + halo)
        if source.len:
            workspace = scratch(&held, fc_lines_workspace(&desc, count))
            with nogil:
                status = fc_lines_run(&desc, source.buf, target.buf, workspace, count)
            finish(status)
        return out
    finally:
        drop(&held)
