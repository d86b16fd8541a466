"""Copies by lists of places, which padding and nearest pixels are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fastconv import _arguments, _core

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastconv._arguments import Array

# The engine takes so many neighbouring axes in one pass.
_AXES = 3


def gather(x: Array, places: Mapping[int, Array], out: Array | None, value: float = 0.0) -> Array:
    """Return a copy in which some axes hold other places of themselves.

    Parameters
    ----------
    x : ndarray of float32 or float64
    places : mapping of int to ndarray of intp
        For an axis, which of its places each new one holds; -1 is `value`.
    out : ndarray, optional
        Where the copy goes; shares no memory with x.
    value : float
    """
    x = _arguments.plain("input", x)
    axes = sorted(places)
    passes: list[list[int]] = []
    for axis in axes:
        if passes and axis - passes[-1][0] < _AXES:
            passes[-1].append(axis)
        else:
            passes.append([axis])
    for number, group in enumerate(passes or [[]]):
        last = number >= len(passes) - 1
        ready = last and out is not None and out.flags.c_contiguous and out.flags.aligned and out.dtype.isnative
        first = group[0] if group else max(x.ndim - 1, 0)
        shape, extents = list(x.shape), [(1, 1)] * _AXES
        listed: list[Array | None] = [None] * _AXES
        end = (group[-1] if group else first) + 1 if x.ndim else 0
        for place, axis in enumerate(range(first, end), _AXES - (end - first)):
            here = places.get(axis) if axis in group else None
            shape[axis] = x.shape[axis] if here is None else len(here)
            extents[place], listed[place] = (x.shape[axis], shape[axis]), here
        lead, trail = math.prod(x.shape[:first]), math.prod(x.shape[end:])
        made = _core.gather(x, tuple(shape), lead, tuple(extents), trail, tuple(listed), value, out if ready else None)
        x = _arguments.delivered(made, None)
    return _arguments.delivered(x, out)
