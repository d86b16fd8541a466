"""How results are compared: exact equality, error bounds, guarded outputs, and who computed them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import fastconv
from fastconv import _core, runtime

# All that the host has; for builds so slow that the narrower ones are left to other checks, the widest alone.
_ALL_ISAS = fastconv.available_isas()
ISAS = tuple(_ALL_ISAS[-1:] if os.environ.get("FASTCONV_TEST_ISAS") == "widest" else _ALL_ISAS)

# ||got - exact|| / ||exact|| on zero-mean random data.
RELATIVE_ERROR = {np.dtype(np.float32): 3e-6, np.dtype(np.float64): 1e-14}
# |got - exact| <= ROUNDINGS * epsilon * (|x| * |w|) for each element. In float64 the reference rounds no less.
ROUNDINGS = {np.dtype(np.float32): 4, np.dtype(np.float64): 8}

_core.wake_always(True)  # so that small cases are shared among threads too

_GUARD = 0xA5
_GUARD_BYTES = 192


# What algorithms that transform their input may lose, of the whole result: ROUNDINGS * epsilon * ||x| * |w||, too.
TRANSFORMED_ERROR = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 3e-14}


@contextmanager
def precision(name: Any) -> Iterator[None]:
    """Compute with a precision."""
    before: Any = fastconv.get_precision()
    fastconv.set_precision(name)
    try:
        yield
    finally:
        fastconv.set_precision(before)


@contextmanager
def running(isa: str, threads: int = 1) -> Iterator[None]:
    """Compute with ``isa`` and so many threads, and see that nothing else is in charge."""
    with fastconv.use_isa(isa), running_threads(threads):
        assert runtime.get_isa() == isa
        yield
        assert runtime.get_isa() == isa


@contextmanager
def running_threads(count: int) -> Iterator[None]:
    """Ask for threads; a build without OpenMP stays at one, and then its results are compared with themselves."""
    before = fastconv.get_num_threads()
    fastconv.set_num_threads(count)
    try:
        assert fastconv.get_num_threads() == (count if fastconv.show_config("dicts")["openmp"] else 1)
        yield
    finally:
        fastconv.set_num_threads(before)


class Guarded:
    """An array to write into, between two stretches of bytes that nobody may touch.

    It starts out as NaN (or -7 for integers), so that an element that was never written shows, and by default it is
    aligned to its item size and to nothing more.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any, offset: int | None = None) -> None:
        dtype = np.dtype(dtype)
        count = int(np.prod(shape)) * dtype.itemsize
        offset = _GUARD_BYTES + (dtype.itemsize if offset is None else offset)
        self._bytes = np.full(offset + count + _GUARD_BYTES, _GUARD, np.uint8)
        self._inner = slice(offset, offset + count)
        self.array = self._bytes[self._inner].view(dtype).reshape(shape)
        self.array[...] = np.nan if dtype.kind == "f" else -7

    def check(self, *label: Any) -> None:
        outside = self._bytes.copy()
        outside[self._inner] = _GUARD
        touched = np.flatnonzero(outside != _GUARD)
        assert not touched.size, f"{label}: bytes {touched - self._inner.start} around the output were written"


def assert_exact(got: Any, expected: np.ndarray, *label: Any) -> None:
    """``got`` is an ordinary array with just the values of ``expected``."""
    assert type(got) is np.ndarray, f"{label}: {type(got)}"
    assert got.shape == expected.shape, f"{label}: shape {got.shape}, not {expected.shape}"
    if not np.array_equal(got, expected, equal_nan=got.dtype.kind == "f"):
        wrong = ~((got == expected) | ((got != got) & (expected != expected)))
        places = np.argwhere(wrong)
        first = tuple(int(i) for i in places[0])
        raise AssertionError(
            f"{label}: {len(places)} of {got.size} differ, the first at {first}: {got[first]!r}, "
            f"not {expected[first]!r}; {got.dtype} of shape {got.shape}"
        )


def assert_same_bits(got: np.ndarray, expected: np.ndarray, *label: Any) -> None:
    assert got.dtype == expected.dtype, f"{label}: {got.dtype}, not {expected.dtype}"
    assert got.shape == expected.shape, f"{label}: shape {got.shape}, not {expected.shape}"
    if got.tobytes() != expected.tobytes():
        unsigned = f"u{got.dtype.itemsize}"
        places = np.argwhere(np.ascontiguousarray(got).view(unsigned) != np.ascontiguousarray(expected).view(unsigned))
        first = tuple(int(i) for i in places[0])
        raise AssertionError(
            f"{label}: {len(places)} of {got.size} differ in bits, the first at {first}: "
            f"{got[first]!r} and {expected[first]!r}"
        )


def assert_close(got: Any, expected: np.ndarray, magnitude: np.ndarray, *label: Any) -> None:
    """The error is within ``ROUNDINGS`` roundings of ``magnitude``, elementwise, and small against the whole."""
    assert got.shape == expected.shape, f"{label}: shape {got.shape}, not {expected.shape}"
    error = np.abs(got - expected)
    bound = ROUNDINGS[got.dtype] * np.finfo(got.dtype).eps * magnitude + np.finfo(got.dtype).tiny
    if not (error <= bound).all():
        first = tuple(int(i) for i in np.argwhere(~(error <= bound))[0])
        raise AssertionError(
            f"{label}: {np.count_nonzero(~(error <= bound))} of {got.size} beyond the bound, the first at {first}: "
            f"{got[first]!r}, not {expected[first]!r} within {bound[first]:.3g}"
        )
    relative = np.linalg.norm(error) / max(np.linalg.norm(expected), np.finfo(got.dtype).tiny)
    assert relative <= RELATIVE_ERROR[got.dtype], f"{label}: relative error {relative:.3g}"


def assert_close_overall(got: Any, expected: np.ndarray, magnitude: np.ndarray, *label: Any) -> None:
    """As assert_close, for results whose errors spread over their neighbours."""
    assert got.shape == expected.shape, f"{label}: shape {got.shape}, not {expected.shape}"
    error = np.abs(got - expected)
    rounding = ROUNDINGS[got.dtype] * np.finfo(got.dtype).eps
    largest, most = error.max(initial=0), 4 * rounding * magnitude.max(initial=0)
    assert largest <= most, f"{label}: {got.dtype} off by {largest:.3g}, more than {most:.3g}"
    norm, bound = np.linalg.norm(error), rounding * np.linalg.norm(magnitude)
    assert norm <= bound, f"{label}: {got.dtype} off by {norm:.3g} in all, more than {bound:.3g}"
    relative = norm / max(np.linalg.norm(expected), np.finfo(got.dtype).tiny)
    assert relative <= TRANSFORMED_ERROR[got.dtype], f"{label}: relative error {relative:.3g}"


def steepness(activation: str, result: np.ndarray) -> Any:
    """How much an activation magnifies an error of its input; beside the exponential, gelu and silu are steepest."""
    return result if activation == "exp" else 1.13


def ulps(got: np.ndarray, exact: list[Any]) -> np.ndarray:
    """Distance of each finite value from what ``decimal`` says, in units of the last place of the exact value."""
    from decimal import Decimal

    high = np.array([float(value) for value in exact])
    low = np.array([float(value - Decimal(h)) for value, h in zip(exact, high, strict=True)])
    unit = np.spacing(np.abs(high).astype(got.dtype)).astype(np.float64)
    return np.abs((got.astype(np.float64) - high) - low) / unit


def central_differences(
    function: Callable[[np.ndarray], np.ndarray], at: np.ndarray, grad_output: np.ndarray, step: float
) -> np.ndarray:
    """What ``grad_output`` at the result of a function makes of its argument, one element at a time."""
    gradient = np.empty_like(at)
    for index in np.ndindex(at.shape):
        moved = at.copy()
        moved[index] = at[index] + step
        above = function(moved).copy()
        moved[index] = at[index] - step
        gradient[index] = ((above - function(moved)) * grad_output).sum() / (2 * step)
    return gradient
