"""The passes that filters are made of, as data: so that the engine can run them line by line.

What a line is filtered to stays in cache until the next pass has read it, and images of small whole numbers never
become floating-point images. What the engine does not run so goes pass by pass, over whole images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv import _core
from fastconv._arguments import overlaps
from fastconv.image import _passes
from fastconv.image._passes import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastconv._arguments.arrays import Array

# More taps are better off where a loaded pixel serves several rows, and larger maxima as maxima of maxima.
_MOST_TAPS, _LARGEST_WINDOW = 64, 64
# Within which scipy takes two weights for one.
_EPSILON = float(np.finfo(np.float64).eps)
# Sums in float32 may be so far from those in float64: then one of sixteen in eight lanes is made again. More sums
# are where weights are fractions of a small denominator, so that one in as many is a whole number.
_LARGEST_BOUND, _LARGEST_DENOMINATOR = 2.0**-9, 32


@dataclass(frozen=True)
class Sum:
    """Correlate along one or two axes, those of the windows in ascending order, and divide."""

    kernel: Array
    windows: list[Window]
    cval: float
    divisor: float = 1.0
    bound: float = 0.0  # as in fc_lines_pass

    def __call__(self, x: Array, place: Array | None) -> Array:
        """Return the pass' result for an image of floating-point numbers, in `place` if there is one."""
        if self.kernel.ndim == 1:
            into = _core.empty(x.shape, x.dtype) if place is None else place
            return _run(np.require(x, None, ["C", "A"]), into, [self], x.dtype.itemsize == 8)
        made = _passes.correlate(x, self.kernel, self.windows, self.cval, place)
        if self.divisor != 1:
            made /= self.divisor
        return made

    def parts(self) -> list[Sum]:
        """Return what runs line by line."""
        return [self]

    @property
    def taps(self) -> int:
        """How many weights there are to multiply by."""
        return int(np.count_nonzero(self.kernel))

    def given(self) -> tuple[int, int, Array, int, float, float]:
        """Return rows, columns, weights, fold, divisor and bound of a kernel, as the engine takes them."""
        rows, columns = self.kernel.shape if self.kernel.ndim == 2 else (1, self.kernel.size)
        return rows, columns, np.ascontiguousarray(self.kernel, np.float64), self._fold(), self.divisor, self.bound

    def bounded(self, largest: float) -> Sum | None:
        """Return the same for whole numbers up to the largest in float32, with a bound; None where it cannot hold them.

        Each product and each addition is rounded once, and so is each weight.
        """
        size, total = self.kernel.size, float(np.abs(self.kernel).sum())
        roundings = (size // 2 + 1 if self._fold() else size) + 2
        bound = 1.001 * roundings * 2.0**-24 * largest * total
        if not largest * total < 2**24:
            return None
        multiples = self.kernel * np.arange(1.0, _LARGEST_DENOMINATOR + 1)[:, None]
        often = (np.abs(multiples - np.rint(multiples)) < 1e-9).all(1).any()
        return replace(self, bound=1.0 if often or bound > _LARGEST_BOUND else bound)

    def _fold(self) -> int:
        """Whether scipy adds (1), or subtracts (-1), the two values that share a weight before it multiplies."""
        if self.kernel.ndim == 2 or self.kernel.size % 2 == 0:
            return 0
        half = self.kernel.size // 2
        with np.errstate(invalid="ignore"):
            before, behind = self.kernel[:half][::-1], self.kernel[half + 1 :]
            if not (np.abs(behind - before) > _EPSILON).any():
                return 1
            return 0 if (np.abs(behind + before) > _EPSILON).any() else -1


@dataclass(frozen=True)
class Extremum:
    """Take the largest, or the smallest, of each window along one axis or more."""

    windows: list[Window]
    cval: float
    largest: bool

    def __call__(self, x: Array, place: Array | None) -> Array:
        """Return the pass' result: two axes at a time; the smallest is that of the negative, negated."""
        windows, cval = self.windows, self.cval
        if not self.largest:
            x, cval = np.negative(x, out=_core.empty(x.shape, x.dtype)), -cval
        while len(windows) > 2:
            x = _passes.maximum(x, windows[:1], cval)
            windows = windows[1:]
        made = _passes.maximum(x, windows, cval, place)
        return made if self.largest else np.negative(made, out=made)

    def parts(self) -> list[Extremum]:
        """Return what runs line by line."""
        return [Extremum([window], self.cval, self.largest) for window in self.windows]

    def given(self) -> tuple[int, int, None, int, float, float]:
        """Return what `Sum.given` does: there are no weights."""
        return 1, self.windows[0].size, None, 0, 1.0, 0.0


def line_by_line(
    source: Array, dtype: np.dtype[Any], target: Array | None, passes: Sequence[Any], exact: bool, finish: int = 0
) -> Array | None:
    """Filter an image by one call of the engine for one axis, or for two that are neighbours; None where it cannot.

    Parameters
    ----------
    source : ndarray
    dtype : dtype
        Of the result.
    target : ndarray, optional
        Where it may go.
    passes : sequence of callable
    exact : bool
        float32 holds every number that can turn up.
    finish : int
        What becomes of the last pass' values: some of the engine's SQUARE, ADD and ROOT, for floating-point results.

    Returns
    -------
    ndarray or None
        A new array, or `target`.
    """
    if not (_is_sample(source.dtype) and _is_sample(dtype) and all(isinstance(one, Sum | Extremum) for one in passes)):
        return None
    parts: list[Sum | Extremum] = [part for one in passes for part in one.parts()]
    if not parts or not all(_serves(part, source.dtype, exact) for part in parts):
        return None
    # What lies beyond the edge has to be exact, too.
    bordered = any(window.mode == "constant" for part in parts for window in part.windows)
    edged = bordered and any(not abs(part.cval) < 2**16 or part.cval % 1 for part in parts)
    exact = exact and not edged
    double = _passes.working_dtype(source.dtype, dtype, exact).itemsize == 8
    bounded = _bounded(parts, source.dtype, dtype) if double and not edged else None
    if bounded is not None:
        parts, double = bounded, False
    if finish and dtype.itemsize != (8 if double else 4):
        return None
    values = np.require(source, source.dtype.newbyteorder("="), ["C", "A"])
    while parts:
        count = 2 if _may_join(parts) else 1
        now, parts = parts[:count], parts[count:]
        into = None
        if not parts and target is not None and target.flags.c_contiguous and target.flags.aligned:
            into = target if target.dtype == dtype.newbyteorder("=") and not overlaps(target, values) else None
        if into is None:
            into = _core.empty(source.shape, dtype.newbyteorder("="))
        values = _run(values, into, now, double, 0 if parts else finish)
    return values


def added(
    source: Array, dtype: np.dtype[Any], target: Array | None, chains: Sequence[Sequence[Sum]], squared: bool
) -> Array | None:
    """Add what chains of passes make of an image, or take the root of the sum of its squares; None as above.

    Parameters
    ----------
    source, dtype, target
        As above; of floating-point numbers.
    chains : sequence of sequence of Sum
    squared : bool

    Returns
    -------
    ndarray or None
        A new array, or `target`.
    """
    if target is not None and overlaps(target, source):
        target = None  # each chain reads the image anew
    total = None
    for number, passes in enumerate(chains if dtype.kind == "f" else []):
        finish = _core.SQUARE if squared else 0
        finish |= _core.ADD if number > 0 else 0
        finish |= _core.ROOT if squared and number == len(chains) - 1 else 0
        total = line_by_line(source, dtype, target if total is None else total, passes, False, finish)
        if total is None:
            return None
    return total


def _is_sample(dtype: np.dtype[Any]) -> bool:
    return (dtype.kind in "iu" and dtype.itemsize <= 2) or dtype in (np.int32, np.float32, np.float64)


def _serves(part: Sum | Extremum, dtype: np.dtype[Any], exact: bool) -> bool:
    if isinstance(part, Extremum):
        return part.windows[0].size <= _LARGEST_WINDOW
    first, last = part.windows[0].axis, part.windows[-1].axis
    if part.kernel.ndim == 1:
        return True
    in_lines = exact or dtype.kind != "f"  # or whole images of floating-point numbers would have to be made
    return in_lines and last == first + 1 and part.taps <= _MOST_TAPS


def _bounded(parts: Sequence[Sum | Extremum], source: np.dtype[Any], result: np.dtype[Any]) -> list[Any] | None:
    """Return passes over whole numbers whose lines may be float32, their sums where it matters float64; or None."""
    made: list[Sum] = []
    for part in parts:
        if source.kind == "f" or result.kind == "f" or not isinstance(part, Sum):
            return None
        if part.divisor != 1 or part.kernel.ndim > 1 or source.itemsize > 2:
            return None
        bounded = part.bounded(max(2.0 ** (8 * source.itemsize), abs(part.cval)))
        if bounded is None:
            return None
        made.append(bounded)
        source = result
    return made


def _may_join(parts: list[Sum | Extremum]) -> bool:
    """Whether two passes may run as one: over rows, and then over the columns that are the next axis."""
    return (
        len(parts) > 1
        and all(len(part.windows) == 1 for part in parts[:2])
        and parts[1].windows[0].axis == parts[0].windows[0].axis + 1
    )


def _run(source: Array, out: Array, parts: list[Sum | Extremum], double: bool, finish: int = 0) -> Array:
    """Run one pass, or two over neighbouring axes."""
    windows = [window for part in parts for window in part.windows]
    extents = source.shape
    axis = windows[0].axis
    lead, trail = math.prod(extents[:axis]), math.prod(extents[windows[-1].axis + 1 :])
    kind = "sum" if isinstance(parts[0], Sum) else "largest" if parts[0].largest else "smallest"
    rows: Window | None = windows[0]
    columns: Window | None = windows[-1]
    first, second = parts[0].given(), None
    if len(windows) == 2:
        shape = (lead, extents[axis], extents[axis + 1], trail)
        if len(parts) == 2:
            first, second = (first[1], 1, *first[2:]), parts[1].given()
    elif trail == 1:
        shape, rows = (1, lead, extents[axis], 1), None
    else:
        shape, columns, first = (lead, extents[axis], trail, 1), None, (first[1], 1, *first[2:])
    made = _core.filter_samples(
        _core.LINES[kind], double, source, out, shape,
        None if rows is None else _places(rows, extents[rows.axis]),
        None if columns is None else _places(columns, extents[columns.axis]),
        parts[0].cval, first, second, finish,
    )  # fmt: skip
    assert made is not None
    return made


def _places(window: Window, extent: int) -> Array:
    return np.ascontiguousarray(_passes.places(slice(0, extent), window, extent), np.intp)
