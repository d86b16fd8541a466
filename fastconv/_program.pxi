# Programs: networks of planned steps that run under one call.

STEPS = {
    "conv": <int> FC_STEP_CONV, "pool": <int> FC_STEP_POOL, "point": <int> FC_STEP_POINT,
    "softmax": <int> FC_STEP_SOFTMAX, "pad": <int> FC_STEP_PAD,
    "dropout": <int> FC_STEP_DROPOUT,
}


cdef void fill_two(ptrdiff_t *axes, tuple pair) except *:
    axes[0] = pair[0]
    axes[1] = pair[1]


@cython.final
cdef class Program:
    """A planned network over images (height, width, channels); it reads the weights where the caller keeps them."""

    cdef fc_program program
    cdef fc_step *steps
    cdef size_t steps_capacity
    cdef void *tables
    cdef size_t tables_capacity
    cdef char kind              # 'f', 'd'; 0 before describe
    cdef Py_ssize_t itemsize
    cdef tuple read             # shapes of an image that goes in, and comes out
    cdef tuple made
    cdef list arrays            # whose memory the steps point to
    cdef list facts             # (dict, key, value): what the program was made from
    cdef PyObject **looked_at   # those, one after the other
    cdef size_t looked_at_capacity

    def __dealloc__(self):
        fc_block_release(self.steps, self.steps_capacity)
        fc_block_release(self.tables, self.tables_capacity)
        fc_block_release(self.looked_at, self.looked_at_capacity)

    def describe(self, *, bint double_precision, tuple read, tuple made, list steps, list facts):
        """Plan for the current instruction set; return the status.

        A step is a dict of fc_step's members, arrays being contiguous ones of the program's type.
        """
        if self.kind:
            raise RuntimeError("this program is described already")
        cdef Py_ssize_t i
        self.read = read
        self.made = made
        self.arrays = []
        self.facts = list(facts)
        self.looked_at = <PyObject **> self.take(3 * len(facts) * sizeof(void *), &self.looked_at_capacity)
        for i in range(len(facts)):
            where, name, value = facts[i]
            self.looked_at[3 * i] = <PyObject *> <dict> where
            self.looked_at[3 * i + 1] = <PyObject *> name
            self.looked_at[3 * i + 2] = <PyObject *> value
        self.itemsize = 8 if double_precision else 4
        self.steps = <fc_step *> self.take(len(steps) * sizeof(fc_step), &self.steps_capacity)
        memset(self.steps, 0, len(steps) * sizeof(fc_step))
        for i in range(len(steps)):
            self.describe_step(&self.steps[i], steps[i], c'd' if double_precision else c'f')
        self.program.dtype = FC_F64 if double_precision else FC_F32
        self.program.isa = <fc_isa> current_isa()
        self.program.count = <int> len(steps)
        self.program.steps = self.steps
        cdef fc_status status = fc_program_plan(&self.program)
        if status != FC_OK:
            return <int> status
        self.tables = self.take(self.program.table_bytes, &self.tables_capacity)
        fc_program_bind(&self.program, self.tables)
        self.kind = c'd' if double_precision else c'f'
        return <int> FC_OK

    cdef void *take(self, size_t nbytes, size_t *capacity) except NULL:
        cdef void *memory = fc_block_acquire(nbytes, capacity)
        if memory == NULL:
            raise MemoryError(f"no memory for a program of {nbytes} bytes")
        return memory

    cdef void describe_step(self, fc_step *step, dict given, char kind) except *:
        step.kind = <fc_step_kind> <int> given["kind"]
        step.activation = <fc_activation> <int> given.get("activation", 0)
        step.alpha = given.get("alpha", 0.0)
        step.beta = given.get("beta", 0.0)
        step.logarithm = given.get("logarithm", False)
        step.pool = FC_POOL_MAX if given.get("maximum", False) else FC_POOL_AVERAGE
        step.adaptive = given.get("adaptive", False)
        step.ic = given["ic"]
        step.oc = given["oc"]
        step.groups = given.get("groups", 1)
        fill_two(step.src, given["src"])
        fill_two(step.kernel, given.get("kernel", (1, 1)))
        fill_two(step.stride, given.get("stride", (1, 1)))
        fill_two(step.dilation, given.get("dilation", (1, 1)))
        fill_two(step.pad_begin, given.get("pad_begin", (0, 0)))
        fill_two(step.pad_end, given.get("pad_end", (0, 0)))
        step.epsilon = given.get("epsilon", 0.0)
        cdef Py_ssize_t products = step.kernel[0] * step.kernel[1] * (step.ic // step.groups)
        step.weights = self.address(given.get("weights"), kind, products * step.oc)
        step.bias = self.address(given.get("bias"), kind, step.oc)
        step.mean = self.address(given.get("mean"), kind, step.oc)
        step.variance = self.address(given.get("variance"), kind, step.oc)
        step.gamma = self.address(given.get("gamma"), kind, step.oc)
        step.offset = self.address(given.get("offset"), kind, step.oc)
        step.grad_weights = self.address(given.get("grad_weights"), kind, products * step.oc)
        step.grad_bias = self.address(given.get("grad_bias"), kind, step.oc)

    cdef void *address(self, object array, char kind, Py_ssize_t count) except? NULL:
        # Of an array that lives as long as the program.
        cdef Held held
        cdef Py_buffer *view
        cdef void *data
        if array is None:
            return NULL
        hold_nothing(&held)
        try:
            view = hold_contiguous(&held, array, 0)
            if view == NULL or view.format[0] != kind or view.len != count * self.itemsize:
                raise ValueError(f"expected a contiguous array of {count} elements, got {array!r}")
            data = view.buf
        finally:
            drop(&held)
        self.arrays.append(array)
        return data

    @property
    def chosen(self):
        """What the program holds, by the names of csrc/fastconv.h."""
        cdef fc_program *program = &self.program
        return {
            "isa": fc_isa_name(program.isa).decode(), "lanes": program.lanes, "steps": program.count,
            "dense": program.dense, "work": program.work, "image_bytes": program.image_bytes,
            "thread_bytes": program.thread_bytes,
        }

    cpdef bint is_current(self):
        """Whether what the program was made from is still so, and the instruction set is that of the plan."""
        cdef Py_ssize_t i
        cdef PyObject **fact = self.looked_at
        if current_isa() != <int> self.program.isa:
            return False
        for i in range(len(self.facts)):
            if PyDict_GetItemWithError(fact[0], fact[1]) != fact[2]:
                return False
            fact += 3
        return True

    @property
    def trains(self):
        """Whether `train` can serve the steps."""
        return bool(fc_program_trains(&self.program))

    @property
    def dropouts(self):
        """How many steps draw random numbers in training."""
        cdef int i, count = 0
        for i in range(self.program.count):
            count += self.steps[i].kind == FC_STEP_DROPOUT
        return count

    def training_bytes(self, Py_ssize_t n, int count):
        """Return the bytes of workspace of `train` for n images on `count` threads."""
        return fc_program_train_workspace(&self.program, n, count)

    cdef Py_buffer *hold_images(self, Held *held, object x) except? NULL:
        # A batch that fits a current program, or NULL.
        cdef Py_buffer *view = hold_contiguous(held, x, 0)
        cdef Py_ssize_t i
        if view == NULL or view.format[0] != self.kind or view.ndim != len(self.read) + 1:
            return NULL
        for i in range(len(self.read)):
            if view.shape[i + 1] != <Py_ssize_t> self.read[i]:
                return NULL
        return view if self.is_current() else NULL

    cdef object new_outputs(self, Held *held, Py_ssize_t n, void **dst):
        if n and self.program.made * self.itemsize > PTRDIFF_MAX // n:
            raise MemoryError(f"out: no memory for the outputs of {n} images")
        return new_array(held, (n, *self.made), self.kind, n * self.program.made * self.itemsize, dst)

    def __call__(self, x):
        """Return the outputs of a batch; None when x is not plain, does not fit, or the program is not current."""
        cdef Held held
        hold_nothing(&held)
        cdef Py_buffer *view
        cdef Py_ssize_t n
        cdef void *dst = NULL
        cdef void *workspace
        cdef const void *src
        cdef int count = threads()
        cdef fc_status status
        try:
            view = self.hold_images(&held, x)
            if view == NULL:
                return None
            n = view.shape[0]
            out = self.new_outputs(&held, n, &dst)
            if n:
                workspace = scratch(&held, self.program.thread_bytes * <size_t> count)
                src = view.buf
                with nogil:
                    status = fc_program_run(&self.program, n, src, dst, workspace, count)
                finish(status)
            return out
        finally:
            drop(&held)

    def train(self, x, truth, weights, double share, tuple drawn=(0, 0)):
        """Fill all gradients of a batch's cross-entropy; return it, and the outputs. None as in a call.

        `truth` is (n,) classes, which must be in range, or (n, classes); `weights` (n,) or None; `drawn` key and call
        of the first dropout.
        """
        cdef Held held
        hold_nothing(&held)
        cdef Py_buffer *view
        cdef Py_buffer *other
        cdef Py_ssize_t n
        cdef void *dst = NULL
        cdef void *workspace
        cdef const void *src
        cdef fc_truth wanted
        cdef double loss = 0
        cdef int count = threads()
        cdef fc_status status
        try:
            view = self.hold_images(&held, x)
            other = hold_contiguous(&held, truth, 0)
            if view == NULL or other == NULL or not self.trains:
                return None
            n = view.shape[0]
            if other.ndim < 1 or other.shape[0] != n or other.len != (
                n * 8 if other.ndim == 1 else n * self.program.made * self.itemsize
            ) or is_real(other) == (other.ndim == 1) or (other.ndim > 1 and other.format[0] != self.kind):
                return None
            memset(&wanted, 0, sizeof(wanted))
            wanted.share = share
            wanted.key, wanted.call = drawn[0], drawn[1]
            if other.ndim == 1:
                wanted.classes = <const int64_t *> other.buf
            else:
                wanted.distributions = other.buf
            if weights is not None:
                other = hold_contiguous(&held, weights, 0)
                if other == NULL or other.format[0] != self.kind or other.ndim != 1 or other.shape[0] != n:
                    return None
                wanted.weights = other.buf
            out = self.new_outputs(&held, n, &dst)
            workspace = scratch(&held, fc_program_train_workspace(&self.program, n, count))
            src = view.buf
            with nogil:
                status = fc_program_train(&self.program, n, src, &wanted, dst, &loss, workspace, count)
            finish(status)
            return loss, out
        finally:
            drop(&held)
