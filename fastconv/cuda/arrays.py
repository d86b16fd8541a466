"""Arrays in a GPU's memory, whoever made them: Numba, CuPy, PyTorch, and all that speak __cuda_array_interface__.

Kernels see an array as its elements in memory, one-dimensional, and strides beside: nothing is copied on the way in.
What goes out is an array of the input's kind, on the stream that the input's library works on.
"""

from __future__ import annotations

import contextvars
import functools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from fastconv import _arguments
from fastconv.cuda import dlpack
from fastconv.cuda._numba import SIMULATED, cuda
from fastconv.cuda.pool import Pool

DTYPES: dict[str, np.dtype[Any]] = {key: np.dtype(key) for key in ("f4", "f8", "i4", "i8")}

_kept: contextvars.ContextVar[list[Any] | None] = contextvars.ContextVar("fastconv_cuda_kept", default=None)
_stream: contextvars.ContextVar[Any] = contextvars.ContextVar("fastconv_cuda_stream", default=None)


class Operand(NamedTuple):
    """An array as kernels see it."""

    name: str
    flat: Any  # the memory from the first element to the last, one-dimensional
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in elements, none below zero
    dtype: str  # "f4", "f8", "i4" or "i8"
    address: int
    array: Any  # as the caller knows it

    @property
    def size(self) -> int:
        """Elements."""
        return math.prod(self.shape)

    @property
    def contiguous(self) -> bool:
        """Whether the elements lie one after the other, the last axis fastest."""
        return self.strides == contiguous_strides(self.shape)

    def aligned(self, *strides: int) -> bool:
        """Whether 128-bit copies can start at the first element and at multiples of these strides from it."""
        lanes = 16 // DTYPES[self.dtype].itemsize
        return self.address % 16 == 0 and all(stride % lanes == 0 for stride in strides)


def contiguous_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Return C strides in elements; an extent of one has the stride that any other would give it.

    Examples
    --------
    >>> contiguous_strides((2, 3, 4))
    (12, 4, 1)
    """
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def kind_of(array: Any) -> str:
    """Return whose array it is: "torch", "cupy" or "numba", which also stands for all others."""
    root = type(array).__module__.partition(".")[0]
    return root if root in ("torch", "cupy") else "numba"


def operand(name: str, value: Any, letters: str = "f") -> Operand:
    """Take an array in GPU memory apart, without a copy unless a stride is negative or elements overlap.

    Parameters
    ----------
    name : str
        What errors call it.
    value : array
        Of float32 or float64; of int64 with ``letters="i"``.
    letters : str
        Kinds of dtype that are welcome.
    """
    if not _arguments.on_device(value):
        _arguments.wrong(name, "an array in GPU memory, like the input", _arguments.kind_of(value), TypeError)
    if getattr(value, "requires_grad", False):
        _arguments.wrong(name, "a tensor that is out of autograd (x.detach())", "one with requires_grad", TypeError)
    owner, interface = value, value._ary.__array_interface__ if SIMULATED else described(value)
    if interface is None:
        owner = value.__dlpack__(stream=stream_key(stream_of(value)) or dlpack.LEGACY_STREAM)
        interface = dlpack.interface(owner)
    dtype, shape = np.dtype(interface["typestr"]), tuple(interface["shape"])
    key = f"{dtype.kind}{dtype.itemsize}"
    if dtype.kind not in letters or key not in DTYPES or not dtype.isnative:
        expected = "float32 or float64" if letters == "f" else "int64"
        _arguments.wrong(name, expected, dtype.name, TypeError)
    steps = interface.get("strides")
    strides = contiguous_strides(shape) if steps is None else tuple(step // dtype.itemsize for step in steps)
    strides = normal_strides(shape, strides)
    if min(strides, default=0) < 0:
        _arguments.wrong(name, "an array without negative strides (copy it)", f"strides {steps}")
    extent = 0 if 0 in shape else 1 + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    address = interface["data"][0]
    return Operand(name, _flat(owner, dtype, address, extent), shape, strides, key, address, value)


def described(value: Any) -> Any:
    """Return an array's own __cuda_array_interface__, or None."""
    return getattr(value, "__cuda_array_interface__", None)


def normal_strides(shape: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...]:
    """Give axes of extent one the stride of a contiguous array, so that equal layouts have equal strides."""
    normal = list(strides)
    for axis in reversed(range(len(shape))):
        if shape[axis] == 1:
            normal[axis] = normal[axis + 1] * shape[axis + 1] if axis + 1 < len(shape) else 1
    return tuple(normal)


def _flat(owner: Any, dtype: np.dtype[Any], address: int, extent: int) -> Any:
    """Return the memory of an array as a one-dimensional one."""
    if SIMULATED:
        flat = np.lib.stride_tricks.as_strided(owner._ary, (extent,), (dtype.itemsize,))
        return type(owner)(flat)
    if extent == 0:
        return cuda.device_array(0, dtype)
    description = {"shape": (extent,), "typestr": dtype.str, "data": (address, False), "version": 3, "strides": None}
    return cuda.from_cuda_array_interface(description, owner=owner, sync=False)


# ---- streams ------------------------------------------------------------------------------------------------------


@contextmanager
def stream(value: Any) -> Iterator[None]:
    """Launch everything within a ``with`` block on a stream of Numba's, whatever stream the arrays are on."""
    token = _stream.set(value)
    try:
        yield
    finally:
        _stream.reset(token)


@functools.cache
def _external(pointer: int) -> Any:
    return 0 if pointer in (0, 1) else cuda.external_stream(pointer)


def stream_of(array: Any) -> Any:
    """Return the stream that an array's library works on at the moment, as Numba takes it."""
    chosen = _stream.get()
    if chosen is not None:
        return chosen
    if SIMULATED:
        return 0
    kind = kind_of(array)
    if kind == "torch":
        import torch

        return _external(torch.cuda.current_stream(array.device).cuda_stream)
    if kind == "cupy":
        import cupy

        return _external(cupy.cuda.get_current_stream().ptr)
    if hasattr(array, "stream") and hasattr(array, "gpu_data"):
        return array.stream
    return _external((described(array) or {}).get("stream") or 0)


def join(stream: Any, *operands: Operand) -> None:
    """Make a stream wait for what other streams have still to write into operands."""
    if SIMULATED:
        return
    seen = {stream_key(stream)}
    for each in operands:
        other = stream_of(each.array)
        if stream_key(other) not in seen:
            seen.add(stream_key(other))
            event = cuda.event(timing=False)
            event.record(other)
            event.wait(stream)


def stream_key(stream: Any) -> int:
    """Return what tells streams apart."""
    return 0 if SIMULATED or stream == 0 else int(stream)


# ---- results ------------------------------------------------------------------------------------------------------

POOL = Pool(lambda nbytes: cuda.device_array(nbytes, np.uint8))


def empty(shape: Sequence[int], dtype: str, like: Any, stream: Any) -> Any:
    """Return an uninitialised array of the kind of `like`: from PyTorch's or CuPy's own pool, or else from this one."""
    kind, shape = kind_of(like), tuple(shape)
    if kind == "torch":
        import torch

        return torch.empty(shape, dtype=getattr(torch, DTYPES[dtype].name), device=like.device)
    if kind == "cupy":
        import cupy

        return cupy.empty(shape, DTYPES[dtype])
    return pooled(shape, dtype, stream)


def pooled(shape: tuple[int, ...], dtype: str, stream: Any) -> Any:
    """Return an uninitialised Numba array in memory from the pool; workspaces are such, too."""
    nbytes = math.prod(shape) * DTYPES[dtype].itemsize
    if SIMULATED or nbytes == 0:
        return cuda.device_array(shape, DTYPES[dtype])
    lease = POOL.lease((cuda.get_current_device().id, stream_key(stream)), nbytes)
    address = lease.block.device_ctypes_pointer.value
    description = {"shape": shape, "typestr": DTYPES[dtype].str, "data": (address, False), "version": 3}
    made = cuda.from_cuda_array_interface(description, owner=lease, sync=False)
    kept = _kept.get()
    if kept is not None:
        kept.append(made)
    return made.bind(stream) if stream_key(stream) else made


@contextmanager
def keeping() -> Iterator[list[Any]]:
    """Hold on to everything from the pool that is made within a ``with`` block, in the list that it gives."""
    made: list[Any] = []
    token = _kept.set(made)
    try:
        yield made
    finally:
        _kept.reset(token)


def result(
    shape: Sequence[int], like: Operand, stream: Any, out: Any = None, inputs: Sequence[Operand] = ()
) -> Operand:
    """Return where a result goes: a new array of the kind of `like`, or `out` when it fits and shares nothing.

    `inputs` are the operands that `out` must not overlap.
    """
    shape = tuple(shape)
    if out is None:
        return operand("out", empty(shape, like.dtype, like.array, stream), "fi")
    made = operand("out", out, "fi")
    if made.dtype != like.dtype:
        _arguments.wrong("out", f"dtype {DTYPES[like.dtype].name}", DTYPES[made.dtype].name, TypeError)
    if made.shape != shape:
        _arguments.wrong("out", f"shape {shape}", f"shape {made.shape}")
    for other in inputs:
        if overlap(made, other):
            _arguments.wrong("out", f"an array that shares no memory with {other.name}", "one that does")
    return made


def overlap(a: Operand, b: Operand) -> bool:
    """Whether the bounds of two arrays meet."""
    size = {key: dtype.itemsize for key, dtype in DTYPES.items()}
    end_a = a.address + len(a.flat) * size[a.dtype]
    end_b = b.address + len(b.flat) * size[b.dtype]
    return a.address < end_b and b.address < end_a


def same_dtype(first: Operand, *others: Operand | None) -> None:
    """Refuse a mixture of float32 and float64."""
    for other in others:
        if other is not None and other.dtype != first.dtype:
            expected = f"the dtype of {first.name}, {DTYPES[first.dtype].name}"
            _arguments.wrong(other.name, expected, DTYPES[other.dtype].name, TypeError)


def vector(name: str, value: Any, length: int) -> Operand | None:
    """Return an optional array (length,) whose elements lie one after the other."""
    if value is None:
        return None
    made = operand(name, value)
    if made.shape != (length,):
        _arguments.wrong(name, f"shape {(length,)}", f"shape {made.shape}")
    if not made.contiguous:
        _arguments.wrong(name, "an array whose elements lie one after the other", f"strides {made.strides}")
    return made


@functools.lru_cache(maxsize=512)
def constant(values: tuple[int, ...], dtype: str, device: int) -> Any:
    """Return a table on the GPU, uploaded once: for what a kernel reads of geometry."""
    return cuda.to_device(np.array(values, DTYPES[dtype]))


def device_id() -> int:
    """Return the current device's number."""
    return 0 if SIMULATED else int(cuda.get_current_device().id)


def dense(operand: Operand) -> None:
    """Refuse an array whose elements do not lie one after the other."""
    if not operand.contiguous:
        expected = "a contiguous array (its strides being those of its shape)"
        _arguments.wrong(operand.name, expected, f"strides {operand.strides} for shape {operand.shape}")
