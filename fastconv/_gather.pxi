# Copies by lists of places, and weighted sums of them.

def gather(x, tuple shape, Py_ssize_t lead, tuple extents, Py_ssize_t trail, tuple places, double value, out):
    """Copy x, (lead, three axes, trail), to `out` or a new array of `shape`, as csrc/fastconv.h says.

    Each of `extents` is an axis' in x and in the result. None when an array is not plain or they overlap.
    """
    cdef Held held
    cdef Py_buffer *src
    cdef Py_buffer *view
    cdef fc_gather_desc desc
    cdef fc_status status
    cdef void *dst = NULL
    cdef int i, count = threads()
    cdef ptrdiff_t elements, extent
    cdef const ptrdiff_t *place
    hold_nothing(&held)
    memset(&desc, 0, sizeof(desc))
    try:
        src = hold_contiguous(&held, x, 0)
        if src == NULL or not is_real(src):
            return None
        desc.dtype = FC_F64 if src.format[0] == c'd' else FC_F32
        desc.lead, desc.trail, desc.value = lead, trail, value
        elements = lead * trail
        for i in range(3):
            desc.src[i], desc.dst[i] = extents[i]
            place = places_of(&held, places[i], desc.dst[i])
            desc.places[i] = place
            if place == NULL and desc.src[i] != desc.dst[i]:
                raise ValueError("expected places for an axis that changes")
            for extent in range(desc.dst[i] if place != NULL else 0):
                if place[extent] >= desc.src[i]:
                    raise ValueError(f"expected places below {desc.src[i]}")
            elements *= desc.src[i]
        if elements * src.itemsize != src.len:
            raise ValueError("expected extents of the array")
        elements = lead * trail * desc.dst[0] * desc.dst[1] * desc.dst[2]
        if out is None:
            out = new_array(&held, shape, src.format[0], elements * src.itemsize, &dst)
        else:
            view = hold_contiguous(&held, out, PyBUF_WRITABLE)
            if view == NULL or view.format[0] != src.format[0] or view.len != elements * src.itemsize:
                return None
            if overlap(src, view):
                return None
            dst = view.buf
        if elements:
            with nogil:
                status = fc_gather_run(&desc, src.buf, dst, count)
            finish(status)
        return out
    finally:
        drop(&held)


cdef int fill_axis(Held *held, fc_blend_desc *desc, int axis, tuple given, char kind) except -1:
    # Checks that lists and weights of an axis belong together.
    cdef ptrdiff_t i, begins = desc.dst[axis] + 1, count = len(given[0]) - begins
    cdef Py_buffer *weights = hold_contiguous(held, given[1], 0)
    desc.begin[axis] = places_of(held, given[0], begins + count)
    desc.places[axis] = desc.begin[axis] + begins
    if count < 0 or weights == NULL or weights.format[0] != kind or weights.shape[0] != count:
        raise ValueError(f"expected {count} weights of the array's type")
    desc.weights[axis] = weights.buf
    for i in range(desc.dst[axis]):
        if desc.begin[axis][i] > desc.begin[axis][i + 1]:
            raise ValueError("expected places that begin in order")
    if desc.begin[axis][0] != 0 or desc.begin[axis][desc.dst[axis]] != count:
        raise ValueError(f"expected places that begin at 0 and end at {count}")
    for i in range(count):
        if desc.places[axis][i] < 0 or desc.places[axis][i] >= desc.src[axis]:
            raise ValueError(f"expected places below {desc.src[axis]}")
    return 0


def blend(x, tuple shape, Py_ssize_t lead, tuple extents, Py_ssize_t trail, tuple axes, out):
    """Sum places of x, (lead, three axes, trail), to `out` or a new array of `shape`, as csrc/fastconv.h says.

    Each of `axes` is None, or a list and weights: where the places of each position begin and the last ones end, then
    the places. None when an array is not plain or they overlap.
    """
    cdef Held held
    cdef Py_buffer *src
    cdef Py_buffer *view
    cdef fc_blend_desc desc
    cdef fc_status status
    cdef void *dst = NULL
    cdef void *workspace
    cdef int i, count = threads()
    cdef ptrdiff_t elements
    hold_nothing(&held)
    memset(&desc, 0, sizeof(desc))
    try:
        src = hold_contiguous(&held, x, 0)
        if src == NULL or not is_real(src):
            return None
        desc.dtype = FC_F64 if src.format[0] == c'd' else FC_F32
        desc.isa = <fc_isa> current_isa()
        desc.lead, desc.trail = lead, trail
        elements = lead * trail
        for i in range(3):
            desc.src[i], desc.dst[i] = extents[i]
            if axes[i] is not None:
                fill_axis(&held, &desc, i, axes[i], src.format[0])
            elif desc.src[i] != desc.dst[i]:
                raise ValueError("expected places for an axis that changes")
            elements *= desc.src[i]
        if elements * src.itemsize != src.len:
            raise ValueError("expected extents of the array")
        elements = lead * trail * desc.dst[0] * desc.dst[1] * desc.dst[2]
        if out is None:
            out = new_array(&held, shape, src.format[0], elements * src.itemsize, &dst)
        else:
            view = hold_contiguous(&held, out, PyBUF_WRITABLE)
            if view == NULL or view.format[0] != src.format[0] or view.len != elements * src.itemsize:
                return None
            if overlap(src, view):
                return None
            dst = view.buf
        if elements:
            workspace = scratch(&held, fc_blend_workspace(&desc, count))
            with nogil:
                status = fc_blend_run(&desc, src.buf, dst, workspace, count)
            finish(status)
        return out
    finally:
        drop(&held)
