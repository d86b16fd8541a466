"""How a filter runs: a view that the engine takes for one-channel images, a plain border, then the strips at it.

The engine filters the whole image with zeros (or minus infinity) around it and writes straight into the result; where
the border mode says otherwise, the strips whose windows reach over the edge are made again, from a gathered copy of
little more than themselves. So an image is never copied for the sake of its border.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastconv import _core, functional
from fastconv._arguments import FLOAT32, FLOAT64

if TYPE_CHECKING:
    from fastconv._arguments.arrays import Array

# Windows up to this extent run in one piece; larger maxima are taken of maxima.
_LARGEST_WINDOW = 12


class Window(NamedTuple):
    """What a filter sees along one axis: how far before and behind its place, and what lies beyond the edge."""

    axis: int
    begin: int
    end: int
    mode: str

    @property
    def size(self) -> int:
        """The number of places that it covers."""
        return self.begin + 1 + self.end


def working_dtype(source: np.dtype[Any], result: np.dtype[Any], exact: bool) -> np.dtype[Any]:
    """Return the type to compute in.

    Parameters
    ----------
    source, result : dtype
        Of the image, and of what is asked for.
    exact : bool
        float32 holds every whole number that can turn up.
    """
    if source.kind == "f" and result.kind == "f":
        return FLOAT64 if max(source.itemsize, result.itemsize) > 4 else FLOAT32
    small = source.kind == "b" or source.itemsize <= 2
    return FLOAT32 if small and exact else FLOAT64


def cast(values: Array, dtype: np.dtype[Any]) -> Array:
    """Return values in a type, themselves if it is theirs; copies are in pooled memory, whose pages are there."""
    if values.dtype == dtype:
        return values
    copy = _core.empty(values.shape, dtype)
    with np.errstate(invalid="ignore"):
        np.copyto(copy, values, casting="unsafe")
    return copy


def converted(values: Array, dtype: np.dtype[Any]) -> Array:
    """Return values in a type; for whole numbers they are cut off at the point and wrap, as in scipy's C code."""
    if values.dtype == dtype:
        return values
    if dtype.kind == "f":
        return values.astype(dtype)
    if dtype == np.uint64:
        with np.errstate(invalid="ignore"):
            return np.where(values < 2.0**63, values.astype(np.int64).astype(dtype), values.astype(dtype))
    return cast(values, np.dtype(np.int32 if dtype.itemsize <= 2 else np.int64)).astype(dtype)


def correlate(x: Array, kernel: Array, windows: Sequence[Window], cval: float, out: Array | None = None) -> Array:
    """Correlate images with a kernel along one or two axes.

    Parameters
    ----------
    x : ndarray of float32 or float64
    kernel : ndarray (k,) or (kh, kw)
        One axis for each window.
    windows : sequence of Window
    cval : float
        Beyond the edge in the mode "constant".
    out : ndarray, optional
        C-contiguous, of the shape and dtype of x, sharing no memory with it.
    """
    view = _View(x, windows)
    weight = np.ascontiguousarray(kernel, x.dtype).reshape(1, 1, view.rows.size, view.columns.size)

    def run(images: Array, padding: Any, into: Array | None) -> Array:
        n, height, width, trail = images.shape
        (top, bottom), (left, right) = padding
        sides = ((top, bottom), (left * trail, right * trail))
        rows = height + top + bottom - weight.shape[2] + 1
        columns = width + left + right - weight.shape[3] + 1
        flat = images.reshape(n, 1, height, width * trail)
        place = None if into is None else into.reshape(n, 1, rows, columns * trail)
        made = functional.conv2d(flat, weight, padding=sides, dilation=(1, trail), out=place)
        return made.reshape(n, rows, columns, trail)

    result = run(view.images, view.padding, view.place(out))
    for strip, block in view.strips(cval, plain=0.0):
        result[strip] = run(block, ((0, 0), (0, 0)), None)
    return view.delivered(result, out)


def maximum(x: Array, windows: Sequence[Window], cval: float, out: Array | None = None) -> Array:
    """Take the maximum of each window along one or two axes.

    Parameters
    ----------
    x, windows, cval, out
        As in `correlate`.
    """
    if len(windows) > 1 and max(window.size for window in windows) > _LARGEST_WINDOW:
        for window in windows[:-1]:
            x = maximum(x, [window], cval)
        return maximum(x, windows[-1:], cval, out)
    view = _View(x, windows)
    sizes = (view.rows.size, view.columns.size)
    result = _largest(view.images, sizes, view.padding, view.place(out))
    # Mirrored values that the window sees anyway change no maximum.
    for strip, block in view.strips(cval, plain=-math.inf, unless=_sees_what_is_mirrored):
        result[strip] = _largest(block, sizes, ((0, 0), (0, 0)), None)
    return view.delivered(result, out)


def bordered(x: Array, window: Window, cval: float) -> Array:
    """Return a copy of an array with what lies beyond its edges along one axis."""
    extent = x.shape[window.axis]
    seen = places(slice(0, extent), window, extent)
    copy: Array = np.take(x, np.maximum(seen, 0), axis=window.axis)
    copy[(slice(None),) * window.axis + (seen < 0,)] = cval
    return copy


def _sees_what_is_mirrored(window: Window) -> bool:
    """Whether whatever a mode puts beyond the edge lies in the same window within the image, too."""
    difference = abs(window.begin - window.end)
    return window.mode == "nearest" or difference <= {"reflect": 1, "mirror": 0}.get(window.mode, -1)


def _largest(images: Array, sizes: tuple[int, int], padding: Any, out: Array | None) -> Array:
    """Return the maximum of windows; one that is large is that of fewer, spread windows within it."""
    n, height, width, trail = images.shape
    (top, bottom), (left, right) = padding
    rows, columns = height + top + bottom - sizes[0] + 1, width + left + right - sizes[1] + 1
    flat = images.reshape(n, 1, height, width * trail)
    sides = ((top, bottom), (left * trail, right * trail))
    steps = _steps(sizes)
    for number, (kernel, dilation) in enumerate(steps):
        place = None
        if out is not None and number == len(steps) - 1:
            place = out.reshape(n, 1, rows, columns * trail)
        spread = (dilation, dilation * trail)
        flat = functional.max_pool2d(flat, kernel, 1, sides, spread, layout="NCHW", out=place)
        sides = ((0, 0), (0, 0))
    return flat.reshape(n, rows, columns, trail)


def _steps(sizes: tuple[int, int]) -> list[tuple[tuple[int, int], int]]:
    """Return kernels and dilations whose maxima, one after the other, are those of one window.

    Four windows of `first` places, `dilation` apart, cover first + 3 dilation places without a gap as long as dilation
    is at most first.
    """
    axis = 0 if sizes[0] > 1 else 1
    size = sizes[axis]
    if min(sizes) > 1 or size <= _LARGEST_WINDOW:
        return [(sizes, 1)]
    dilation = size // 4
    inner, four = [(size - 3 * dilation, 1), (1, size - 3 * dilation)][axis], [(4, 1), (1, 4)][axis]
    return [*_steps((inner[0], inner[1])), ((four[0], four[1]), dilation)]


class _View:
    """An array as one-channel images (n, rows, columns, trail); windows step over whole trails."""

    def __init__(self, x: Array, windows: Sequence[Window]) -> None:
        ordered = sorted(windows, key=lambda window: window.axis)
        self._shape = x.shape
        self._moved: tuple[int, ...] | None = None
        first, last = ordered[0].axis, ordered[-1].axis
        if last - first > 1:  # what lies between is moved to the front
            self._moved = (*(axis for axis in range(x.ndim) if axis not in (first, last)), first, last)
            x = x.transpose(self._moved)
            first, last = x.ndim - 2, x.ndim - 1
        self._ordered_shape = x.shape
        lead, trail = math.prod(x.shape[:first]), math.prod(x.shape[last + 1 :])
        none = Window(0, 0, 0, "constant")
        if len(ordered) == 2:
            self.rows, self.columns = ordered
            shape = (lead, x.shape[first], x.shape[last], trail)
        elif trail == 1:
            self.rows, self.columns = none, ordered[0]
            shape = (1, lead, x.shape[last], 1)
        else:
            self.rows, self.columns = ordered[0], none
            shape = (lead, x.shape[first], 1, trail)
        self.images = np.ascontiguousarray(x).reshape(shape)
        self.padding = ((self.rows.begin, self.rows.end), (self.columns.begin, self.columns.end))

    def place(self, out: Array | None) -> Array | None:
        """Return `out` as the engine may write to it, or None."""
        return None if out is None or self._moved is not None else out.reshape(self.images.shape)

    def delivered(self, result: Array, out: Array | None) -> Array:
        """Return the result in the shape of the array that was viewed."""
        made = result.reshape(self._ordered_shape)
        if self._moved is not None:
            made = made.transpose(np.argsort(self._moved))
        if out is None:
            return made
        if self._moved is not None:
            np.copyto(out, made)
        return out

    def strips(
        self, cval: float, plain: float, unless: Callable[[Window], bool] = lambda window: False
    ) -> Iterator[tuple[tuple[slice, ...], Array]]:
        """Give out the parts of the result whose windows reach over an edge, each with the image around it.

        Parameters
        ----------
        cval : float
        plain : float
            What lies beyond the edge already, so that the mode "constant" may have nothing to do.
        unless : callable
            Tells windows whose strips are right as they are.
        """
        _, height, width, _ = self.images.shape

        def right(window: Window) -> bool:
            return unless(window) or (window.mode == "constant" and cval == plain)

        top, bottom = (0, height) if right(self.rows) else _edges(height, self.rows)
        left, end = (0, width) if right(self.columns) else _edges(width, self.columns)
        for rows, columns in (
            (slice(0, top), slice(0, width)),
            (slice(bottom, height), slice(0, width)),
            (slice(top, bottom), slice(0, left)),
            (slice(top, bottom), slice(end, width)),
        ):
            if rows.start < rows.stop and columns.start < columns.stop:
                lines, across = places(rows, self.rows, height), places(columns, self.columns, width)
                # one axis after the other, first what leaves less: NumPy's indexing by both dies without memory
                takes = [(np.maximum(lines, 0), 1), (np.maximum(across, 0), 2)]
                takes.sort(key=lambda take: len(take[0]) / self.images.shape[take[1]])
                block = self.images.take(*takes[0]).take(*takes[1])
                block[:, lines < 0] = cval
                block[:, :, across < 0] = cval
                yield (slice(None), rows, columns), block


def _edges(extent: int, window: Window) -> tuple[int, int]:
    """Return where the places begin and end whose windows stay inside; everything is edge in a small image."""
    first, last = window.begin, extent - window.end
    return (first, last) if first < last else (extent, extent)


def places(part: slice, window: Window, extent: int) -> Array:
    """Return which places of the image the windows of a part see; -1 is beyond the edge in the mode "constant"."""
    seen = np.arange(part.start - window.begin, part.stop + window.end)
    if window.mode == "constant":
        return np.where((seen < 0) | (seen >= extent), -1, seen)
    if window.mode == "nearest":
        return np.clip(seen, 0, extent - 1)
    if window.mode == "wrap":
        return seen % extent
    if window.mode == "reflect":
        seen = seen % (2 * extent)
        return np.asarray(np.minimum(seen, 2 * extent - 1 - seen))
    period = max(2 * extent - 2, 1)  # mirror
    seen = seen % period
    turned: Array = np.minimum(seen, period - seen) if extent > 1 else np.zeros_like(seen)
    return turned
