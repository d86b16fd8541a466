# Copies by lists of places.

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
    memset(&held, 0, sizeof(held))
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
