# Images: channels and one to three spatial axes, in the layout's order.

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
