# Pooling: plans, and the call that functional makes with plans that are kept.

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
            finish(status)
        return (out, positions) if with_indices else out

    cdef size_t workspace(self, int count) noexcept nogil:
        if self.plan.workspace_bytes > SIZE_MAX // <size_t> count:
            return SIZE_MAX
        return self.plan.workspace_bytes * <size_t> count

    def backward(self, x, indices, grad, out):
        """Write the input's gradient into `out` and return it; None when not plain, False on an index out of range."""
        cdef Held held
        hold_nothing(&held)
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
                finish(status)
            return out
        finally:
            drop(&held)


def pool(int axes, x, tuple options, bint with_indices, out, make):
    """As conv: pool with the plan that is kept for this shape and these options, or that `make()` returns."""
    cdef Held held
    hold_nothing(&held)
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
