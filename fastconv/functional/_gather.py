"""Copies by lists of places, which padding and nearest pixels are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from fastconv import _arguments, _core

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastconv._arguments import Array

# The engine takes so many neighbouring axes in one pass.
_AXES = 3


class Pass(NamedTuple):
    """What the engine is told of one pass: the result's shape, extents as (lead, three axes, trail), and places."""

    shape: tuple[int, ...]
    lead: int
    extents: tuple[tuple[int, int], ...]
    trail: int
    places: tuple[Array | None, ...]


def passes(shape: tuple[int, ...], places: Mapping[int, Array]) -> list[Pass]:
    """Return the passes in which some axes of an array come to hold other places of themselves, one at least.

    Parameters
    ----------
    shape : tuple of int
    places : mapping of int to ndarray of intp
        For an axis, which of its places each new one holds; -1 is none.
    """
    groups: list[list[int]] = []
    for axis in sorted(places):
        if groups and axis - groups[-1][0] < _AXES:
            groups[-1].append(axis)
        else:
            groups.append([axis])
    made = []
    for group in groups or [[]]:
        first, end = (group[0], group[-1] + 1) if group else (len(shape), len(shape))
        after, extents = list(shape), [(1, 1)] * _AXES
        listed: list[Array | None] = [None] * _AXES
        for place, axis in enumerate(range(first, end), _AXES - (end - first)):
            if axis in group:
                after[axis], listed[place] = len(places[axis]), places[axis]
            extents[place] = (shape[axis], after[axis])
        lead, trail = math.prod(shape[:first]), math.prod(shape[end:])
        made.append(Pass(tuple(after), lead, tuple(extents), trail, tuple(listed)))
        shape = tuple(after)
    return made


def gather(x: Array, steps: list[Pass], out: Array | None, value: float = 0.0) -> Array:
    """Return a copy of an array, in `out` if there is one, as passes say; -1 is `value`."""
    for step in steps:
        into = out if step is steps[-1] else None
        made = _core.gather(x, *step, value, into)
        if made is None:  # an array is not plain
            plain = _arguments.plain("input", x)
            made = _core.gather(plain, *step, value, None)
        x = _arguments.delivered(made, into)
    return x
