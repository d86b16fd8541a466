"""Copies by lists of places, which padding and nearest pixels are, and weighted sums of places."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastconv import _arguments, _core

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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


class Blend(NamedTuple):
    """Weighted sums along an axis: where the places of each position begin and the last ones end, then the places."""

    extent: int  # of the result
    lists: Array
    weights: Array

    @classmethod
    def of_taps(cls, taps: list[tuple[Array, Array | None]], dtype: np.dtype[np.floating]) -> Blend:
        """Return it for taps, each a place and a weight (None: one) for every position."""
        extent, count = len(taps[0][0]), len(taps)
        weights = [np.ones(extent) if weight is None else weight for _, weight in taps]
        starts, places = np.arange(0, extent * count + 1, count), np.stack([where for where, _ in taps], 1)
        lists = np.concatenate([starts, places.ravel()]).astype(np.intp, copy=False)
        return cls(extent, lists, np.stack(weights, 1).ravel().astype(dtype, copy=False))

    def transposed(self, extent: int) -> Blend:
        """Return what its gradient sums, for so many places."""
        starts, places = np.split(self.lists, [self.extent + 1])
        order = np.argsort(places, kind="stable")
        begins = np.searchsorted(places[order], np.arange(extent + 1))
        positions = np.repeat(np.arange(self.extent), np.diff(starts))[order]
        return Blend(extent, np.concatenate([begins, positions]).astype(np.intp, copy=False), self.weights[order])


def blend(x: Array, first: int, blends: Sequence[Blend | None], out: Array | None) -> Array:
    """Sum places of an array along neighbouring axes, from the first one on; None keeps an axis."""
    end = first + len(blends)
    after = tuple(
        extent if made is None else made.extent for extent, made in zip(x.shape[first:end], blends, strict=True)
    )
    missing = _AXES - len(blends)
    extents = ((1, 1),) * missing + tuple(zip(x.shape[first:end], after, strict=True))
    axes = (None,) * missing + tuple(None if made is None else made[1:] for made in blends)
    shape = x.shape[:first] + after + x.shape[end:]
    lead, trail = math.prod(x.shape[:first]), math.prod(x.shape[end:])
    made = _core.blend(x, shape, lead, extents, trail, axes, out)
    if made is None:  # an array is not plain
        made = _core.blend(_arguments.plain("input", x), shape, lead, extents, trail, axes, None)
    return _arguments.delivered(made, out)
