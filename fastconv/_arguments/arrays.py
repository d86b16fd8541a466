"""Arrays: dtype, memory, overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv import _core
from fastconv._arguments.values import kind_of, wrong

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


def real(name: str, value: object) -> Array:
    """Return a float32 or float64 array as an ndarray of its own memory, of any strides and byte order."""
    if not isinstance(value, np.ndarray):
        wrong(name, "a float32 or float64 numpy.ndarray", kind_of(value), TypeError)
    if type(value) is not np.ndarray:
        if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
            wrong(name, "an array without masked elements (fill them with x.filled(0))", "a masked array", TypeError)
        value = np.asarray(value)
    if value.dtype.kind != "f" or value.dtype.itemsize not in (4, 8):
        wrong(name, "float32 or float64 (convert it: x.astype(np.float32))", value.dtype.name, TypeError)
    return value


def strided(name: str, value: object) -> Array:
    """Return a float32 or float64 array in native byte order and aligned; a copy only when it is not."""
    array = real(name, value)
    return array if array.dtype.isnative and array.flags.aligned else plain_copy(name, array)


def plain(name: str, value: object) -> Array:
    """Return a float32 or float64 array in native byte order, aligned and C-contiguous; a copy only when it is not."""
    array = real(name, value)
    flags = array.flags
    return array if flags.c_contiguous and flags.aligned and array.dtype.isnative else plain_copy(name, array)


def plain_copy(name: str, array: Array) -> Array:
    """Copy an array into memory from the pool."""
    try:
        copy = _core.empty(array.shape, array.dtype.newbyteorder("="))
    except MemoryError:
        raise MemoryError(f"{name}: no memory for a contiguous copy of {array.nbytes} bytes") from None
    np.copyto(copy, array)
    return copy


def same_dtype(first: str, array: Array, *others: tuple[str, Array | None]) -> None:
    """Refuse a mixture of float32 and float64."""
    for name, other in others:
        if other is not None and other.dtype.itemsize != array.dtype.itemsize:
            wrong(name, f"the dtype of {first}, {array.dtype.name}", other.dtype.name, TypeError)


def has_shape(name: str, array: Array, shape: tuple[int, ...]) -> None:
    """Refuse any other shape."""
    if array.shape != shape:
        wrong(name, f"shape {shape}", f"shape {array.shape}")


def positions(name: str, value: object, shape: tuple[int, ...]) -> Array:
    """Return int64 indices in plain form."""
    if not isinstance(value, np.ndarray):
        wrong(name, f"an int64 numpy.ndarray of shape {shape}", type(value).__name__, TypeError)
    if value.dtype.newbyteorder("=") != np.int64:
        wrong(name, "dtype int64", value.dtype.name, TypeError)
    has_shape(name, value, shape)
    array = np.asarray(value)
    flags = array.flags
    return array if flags.c_contiguous and flags.aligned and array.dtype.isnative else plain_copy(name, array)


def vector(name: str, value: object, length: int) -> Array | None:
    """Return an optional array (length,), plain."""
    if value is None:
        return None
    array = plain(name, value)
    has_shape(name, array, (length,))
    return array


def overlaps(a: Array, b: Array) -> bool:
    """Whether two arrays share an element; where that is too hard to tell, whether their bounds meet."""
    try:
        return np.may_share_memory(a, b) and np.shares_memory(a, b, max_work=10_000)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def output(
    out: object, shape: tuple[int, ...], dtype: np.dtype[Any], inputs: Iterable[tuple[str, object]], name: str = "out"
) -> Array:
    """Return `out` if results of this shape and dtype can be written there without changing an input."""
    if not isinstance(out, np.ndarray) or isinstance(out, np.ma.MaskedArray):
        wrong(name, f"a {dtype.name} numpy.ndarray of shape {shape}", type(out).__name__, TypeError)
    if out.dtype.newbyteorder("=") != dtype:
        wrong(name, f"dtype {dtype.name}", out.dtype.name, TypeError)
    if out.shape != shape:
        wrong(name, f"shape {shape}", f"shape {out.shape}")
    if not out.flags.writeable:
        wrong(name, "a writable array", "a read-only one")
    for other, array in inputs:
        if isinstance(array, np.ndarray) and overlaps(out, array):
            wrong(name, f"an array that shares no memory with {other}", "one that does")
    return out


def delivered(result: Array | None, out: Array | None) -> Array:
    """Copy a result to where the caller wants it, if it is not there yet."""
    if result is None:
        raise RuntimeError("the engine refused checked arrays")
    if out is None or result is out:
        return result
    np.copyto(out, result)
    return out


def pointwise_output(out: object, like: Array, inputs: Sequence[tuple[str, object]], name: str = "out") -> Array:
    """Return `out` as in output(), where it may also be one of the inputs, element for element."""

    def is_out(array: object) -> bool:
        return (
            isinstance(array, np.ndarray)
            and isinstance(out, np.ndarray)
            and array.__array_interface__["data"][0] == out.__array_interface__["data"][0]
            and array.strides == out.strides
            and array.dtype == out.dtype
        )

    dtype = like.dtype.newbyteorder("=")
    return output(out, like.shape, dtype, [(key, array) for key, array in inputs if not is_out(array)], name)
