# Plans that functional keeps, by everything that they depend on.

cdef enum:
    KEPT_PLANS = 512

cdef dict kept_plans = {}
cdef object kept_lock = RLock()


cdef void keep(object key, object plan) except *:
    with kept_lock:
        if len(kept_plans) >= KEPT_PLANS:
            del kept_plans[next(iter(kept_plans))]
        kept_plans[key] = plan


def kept(tuple options):
    """Return the plan that was kept for these options under this instruction set and precision, or None."""
    return kept_plans.get((circumstances(), options)) if is_exact(options) else None


def keep_plan(tuple options, plan):
    """Keep a plan for `kept`, where the options can be told apart."""
    if is_exact(options):
        keep((circumstances(), options), plan)


cdef object key_of(const Py_buffer *x, int skip, const Py_buffer *w, tuple options):
    # Everything that a plan depends on: extents but the first `skip`, dtype, instruction set, precision,
    # options.
    cdef ptrdiff_t facts[16]
    cdef int i, count = 3
    if x.ndim - skip + (0 if w == NULL else w.ndim) > 13:
        return None
    facts[0] = circumstances()
    facts[1] = x.format[0]
    facts[2] = x.ndim - skip
    for i in range(skip, x.ndim):
        facts[count] = x.shape[i]
        count += 1
    if w != NULL:
        for i in range(w.ndim):
            facts[count] = w.shape[i]
            count += 1
    return (PyBytes_FromStringAndSize(<const char *> facts, count * sizeof(ptrdiff_t)), options)


def circumstances_now():
    """What plans depend on besides their descriptions, as a number."""
    return circumstances()


def same_bytes(list arrays, list others):
    """Whether contiguous arrays hold the bytes of others of their sizes; False for what is not contiguous."""
    cdef Held held
    cdef Py_buffer *a
    cdef Py_buffer *b
    cdef Py_ssize_t i
    cdef bint same
    if len(arrays) != len(others):
        return False
    for i in range(len(arrays)):
        hold_nothing(&held)
        try:
            a, b = hold_contiguous(&held, arrays[i], 0), hold_contiguous(&held, others[i], 0)
            same = a != NULL and b != NULL and a.len == b.len and memcmp(a.buf, b.buf, a.len) == 0
        finally:
            drop(&held)
        if not same:
            return False
    return True
