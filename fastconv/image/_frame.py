"""What all filters share: input and output in any real type, and a chain of passes between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv._arguments import overlaps
from fastconv._arguments.filters import filter_output
from fastconv.image import _passes, _steps

if TYPE_CHECKING:
    from fastconv._arguments.arrays import Array

# Takes an array and where the result may go, returns the result.
Pass = Callable[["Array", "Array | None"], "Array"]


def run(source: Array, output: Any, passes: Sequence[Pass], exact: bool = False) -> Array:
    """Run passes one after the other; between them values are in the type of the result, as in scipy.

    Parameters
    ----------
    source : ndarray
    output : None, dtype or ndarray
    passes : sequence of callable
    exact : bool
        On images of small whole numbers every value that turns up is a whole number below 2**24.
    """
    dtype, target = filter_output(output, source)
    lines = _steps.line_by_line(source, dtype, target, passes, exact) if source.size else None
    if lines is not None:
        if target is None or lines is target:
            return lines
        np.copyto(target, lines)
        return target
    working = _passes.working_dtype(source.dtype, dtype, exact)
    values = _passes.cast(source, working)
    if values.size:
        for number, one in enumerate(passes):
            place = None
            last = number == len(passes) - 1
            if last and target is not None and target.dtype == working and target.flags.c_contiguous:
                place = target if target.flags.aligned and not overlaps(target, values) else None
            made = one(values, place)
            values = made if last else _passes.cast(_passes.converted(made, dtype), working)
    if target is None:
        result = _passes.converted(values, dtype)
        return result.copy() if np.may_share_memory(result, source) else result
    if values is not target:
        np.copyto(target, _passes.converted(values, dtype))
    return target


def whole(weights: Array, source: Array) -> bool:
    """Whether all products and sums of weights and small whole numbers are multiples of 1/2**k that float32 holds."""
    if source.dtype.kind == "f":
        return False
    largest = 1 if source.dtype.kind == "b" else {1: 2**8, 2: 2**16}.get(source.dtype.itemsize, 2**64)
    for unit in (1.0, 2.0**4, 2.0**8, 2.0**12):
        counted = weights * unit
        if (counted == np.rint(counted)).all():
            return bool(np.abs(counted).sum() * largest < 2**24)
    return False
