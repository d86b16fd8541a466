# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
"""The C engine for Python: pointers in, status out, one call without the GIL in between.

Nothing here converts, broadcasts or explains. Functions that take arrays want *plain* ones: exactly
``numpy.ndarray``, float32 or float64 in native byte order, aligned, C-contiguous unless said otherwise. On anything
else they return None, having done nothing, and the caller makes the arrays plain or says what is wrong with them.
"""

cimport cython
from cpython.buffer cimport (
    Py_buffer, PyBUF_FORMAT, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release,
)
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.ref cimport PyObject
from libc.string cimport memcmp, memcpy, memset

import sys
from contextvars import ContextVar
from _thread import RLock  # threading itself would be an import beyond NumPy; a finalizer may convolve too

import numpy

cdef extern from "Python.h":
    PyObject *PyDict_GetItemWithError(PyObject *where, PyObject *key) noexcept  # borrowed
    void PyErr_Clear() noexcept
    int PyErr_CheckSignals() noexcept
    int PyErr_ExceptionMatches(object kind) noexcept
    int PyObject_GetBuffer(object array, Py_buffer *view, int flags) noexcept
    unsigned long PyThread_get_thread_ident() noexcept nogil

cdef extern from *:
    """
    #ifdef _WIN32
    static int fc_at_fork(void (*child)(void)) { (void)child; return 0; }
    #else
    #include <pthread.h>
    static int fc_at_fork(void (*child)(void)) { return pthread_atfork(NULL, NULL, child); }
    #endif
    """
    int fc_at_fork(void (*child)() noexcept nogil)

cdef object ndarray = numpy.ndarray
cdef object numpy_empty = numpy.empty
cdef object FLOAT32 = numpy.dtype(numpy.float32)
cdef object FLOAT64 = numpy.dtype(numpy.float64)
cdef object INT64 = numpy.dtype(numpy.int64)

ISAS = {fc_isa_name(<fc_isa> isa).decode(): isa for isa in range(<int> FC_ISAS)}
LAYOUTS = {"NCHW": <int> FC_CHANNELS_FIRST, "NHWC": <int> FC_CHANNELS_LAST}
ALGORITHMS = {
    "auto": <int> FC_AUTO, "direct": <int> FC_DIRECT, "im2col": <int> FC_IM2COL, "winograd": <int> FC_WINOGRAD,
}
FAMILIES = {
    <int> FC_FAMILY_CHANNEL: "channel", <int> FC_FAMILY_PLANE: "plane", <int> FC_FAMILY_DEPTHWISE: "depthwise",
    <int> FC_FAMILY_WEIGHT_GRAD: "weight gradient", <int> FC_FAMILY_FILTER: "filter",
    <int> FC_FAMILY_WINOGRAD: "winograd",
}
ACTIVATIONS = {
    "linear": <int> FC_IDENTITY, "relu": <int> FC_RELU, "relu6": <int> FC_RELU6, "leaky_relu": <int> FC_LEAKY_RELU,
    "elu": <int> FC_ELU, "selu": <int> FC_SELU, "tanh": <int> FC_TANH, "sigmoid": <int> FC_SIGMOID,
    "hardsigmoid": <int> FC_HARD_SIGMOID, "hardswish": <int> FC_HARD_SWISH, "silu": <int> FC_SILU,
    "gelu": <int> FC_GELU, "gelu_tanh": <int> FC_GELU_TANH, "softplus": <int> FC_SOFTPLUS, "exp": <int> FC_EXP,
}
FORWARD, BACKWARD_INPUT, BACKWARD_WEIGHT = <int> FC_FORWARD, <int> FC_BACKWARD_INPUT, <int> FC_BACKWARD_WEIGHT
ONCE, MANY = <int> FC_ONCE, <int> FC_MANY
OK, BAD_SHAPE, EMPTY_OUTPUT = <int> FC_OK, <int> FC_BAD_SHAPE, <int> FC_EMPTY_OUTPUT
OVERFLOW, UNSUPPORTED = <int> FC_OVERFLOW, <int> FC_UNSUPPORTED


# ---- threads and instruction sets --------------------------------------------------------------------------------

cdef int asked_threads = 0  # 0: as many as OpenMP says
cdef int most_threads = 0   # what an unasked call may use besides; 0: no such bound
cdef int forked = 0
cdef unsigned long main_thread = (
    sys.modules["threading"].main_thread().ident if "threading" in sys.modules else PyThread_get_thread_ident()
)

cdef void after_fork() noexcept nogil:
    # Workers do not survive a fork, and a lock that one of them held would be held for ever.
    global forked, main_thread
    forked = 1
    main_thread = PyThread_get_thread_ident()

fc_at_fork(after_fork)


cdef int threads() noexcept nogil:
    if forked or not fc_openmp():
        return 1
    if asked_threads:
        return asked_threads
    cdef int count = fc_max_threads()
    if most_threads and count > most_threads:
        count = most_threads
    return count if count > 0 else 1


def get_threads():
    return threads()


def set_threads(int count):
    global asked_threads
    asked_threads = count


def wake_always(bint always):
    fc_wake_always(always)


def bound_default_threads(int count):
    global most_threads
    most_threads = count


def has_openmp():
    return bool(fc_openmp())


def isa_available(int isa):
    return bool(fc_isa_available(<fc_isa> isa))


def l2_bytes():
    return fc_l2_bytes()


def multiply_adds(bint double_precision, int isa, ptrdiff_t rounds):
    return fc_multiply_adds(FC_F64 if double_precision else FC_F32, <fc_isa> isa, rounds)


cdef int default_isa = <int> fc_isa_best()
cdef bint isa_ever_chosen = False
cdef object isa_choice = ContextVar("fastconv_isa")


cdef int current_isa() except -1:
    return isa_choice.get(default_isa) if isa_ever_chosen else default_isa


def get_isa():
    return current_isa()


def set_default_isa(int isa):
    global default_isa
    default_isa = isa


def choose_isa(int isa):
    global isa_ever_chosen
    isa_ever_chosen = True
    return isa_choice.set(isa)


def unchoose_isa(token):
    isa_choice.reset(token)


cdef bint every_product = False  # "highest": only algorithms that add each output's own products


def set_highest_precision(bint highest):
    global every_product
    every_product = highest


cdef int circumstances() except -1:
    # What plans depend on besides their descriptions.
    return current_isa() + <int> FC_ISAS * every_product


# ---- how a run ends ----------------------------------------------------------------------------------------------

cdef bool_ wants_to_stop() noexcept nogil:
    # What long runs ask: whether the handler of a signal raised, as Ctrl-C's does. The exception waits for finish().
    # Python calls handlers in its main thread alone. Another one must not even ask for the GIL here: unless somebody
    # waits for it, the interpreter may be gone.
    if PyThread_get_thread_ident() != main_thread:
        return False
    with gil:
        return PyErr_CheckSignals() < 0

fc_set_poll(wants_to_stop)


cdef int finish(fc_status status) except -1:
    if status == FC_STOPPED:
        return -1  # with the exception that wants_to_stop found
    if status != FC_OK:
        raise RuntimeError(f"the engine refused a planned run: status {<int> status}")
    return 0


include "_memory.pxi"
include "_images.pxi"
include "_kept.pxi"
include "_conv.pxi"
include "_pool.pxi"
include "_pointwise.pxi"
include "_norm.pxi"
include "_update.pxi"
include "_lines.pxi"
include "_gather.pxi"
include "_program.pxi"
