"""The largest and the smallest value in a window."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv._arguments import integer, wrong
from fastconv._arguments.filters import axes_of, border_mode, per_axis, picture, reach, real_number
from fastconv.image import _frame, _passes
from fastconv.image._passes import Window
from fastconv.image._steps import Extremum

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fastconv._arguments.arrays import Array


def maximum_filter(
    input: ArrayLike,
    size: Any = None,
    footprint: Any = None,
    output: Any = None,
    mode: Any = "reflect",
    cval: float = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
) -> Array:
    """Take the largest value of each window.

    Parameters
    ----------
    input : array_like
    size : int or sequence of int, optional
        The window's extents along the axes; this or `footprint` is needed.
    footprint : array_like of bool, optional
        The window as an array that says which places count; not all need to.
    output, cval, axes
        As in `correlate`.
    mode : str or sequence of str
        As in `correlate`, one for all axes or one for each.
    origin : int or sequence of int
        As in `correlate`.

    Returns
    -------
    ndarray of the input's shape
        NaN where a window holds one.

    Raises
    ------
    TypeError, ValueError
        As in `correlate`, and for a footprint in which nothing counts.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import image
    >>> image.maximum_filter(np.arange(16).reshape(4, 4), 3)
    array([[ 5,  6,  7,  7],
           [ 9, 10, 11, 11],
           [13, 14, 15, 15],
           [13, 14, 15, 15]])
    """
    return _extremum(input, size, footprint, output, mode, cval, origin, axes, largest=True)


def minimum_filter(
    input: ArrayLike,
    size: Any = None,
    footprint: Any = None,
    output: Any = None,
    mode: Any = "reflect",
    cval: float = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
) -> Array:
    """Take the smallest value of each window.

    Parameters
    ----------
    input, size, footprint, output, mode, cval, origin, axes
        As in `maximum_filter`.

    Returns
    -------
    ndarray of the input's shape

    Raises
    ------
    TypeError, ValueError
        As in `maximum_filter`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import image
    >>> image.minimum_filter(np.arange(16).reshape(4, 4), 3)
    array([[ 0,  0,  1,  2],
           [ 0,  0,  1,  2],
           [ 4,  4,  5,  6],
           [ 8,  8,  9, 10]])
    """
    return _extremum(input, size, footprint, output, mode, cval, origin, axes, largest=False)


def maximum_filter1d(
    input: ArrayLike,
    size: int,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: int = 0,
) -> Array:
    """Take the largest value of each window along one axis.

    Parameters
    ----------
    input : array_like
    size : int
    axis : int
    output, mode, cval, origin
        As in `correlate`.

    Returns
    -------
    ndarray of the input's shape

    Raises
    ------
    TypeError, ValueError
        As in `correlate`.

    Examples
    --------
    >>> from fastconv import image
    >>> image.maximum_filter1d([2, 8, 0, 4, 1, 9, 9, 0], size=3)
    array([8, 8, 8, 4, 9, 9, 9, 9])
    """
    return _extremum(input, integer("size", size, 1), None, output, mode, cval, origin, (axis,), largest=True)


def minimum_filter1d(
    input: ArrayLike,
    size: int,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: int = 0,
) -> Array:
    """Take the smallest value of each window along one axis.

    Parameters
    ----------
    input, size, axis, output, mode, cval, origin
        As in `maximum_filter1d`.

    Returns
    -------
    ndarray of the input's shape

    Raises
    ------
    TypeError, ValueError
        As in `correlate`.

    Examples
    --------
    >>> from fastconv import image
    >>> image.minimum_filter1d([2, 8, 0, 4, 1, 9, 9, 0], size=3)
    array([2, 0, 0, 0, 1, 1, 0, 0])
    """
    return _extremum(input, integer("size", size, 1), None, output, mode, cval, origin, (axis,), largest=False)


def _extremum(
    input: Any,
    size: Any,
    footprint: Any,
    output: Any,
    mode: Any,
    cval: Any,
    origin: Any,
    axes: Any,
    *,
    largest: bool,
) -> Array:
    source = picture(input)
    chosen = axes_of(axes, source.ndim)
    shape: list[int] = []
    counted = None
    if footprint is not None:
        counted = np.asarray(footprint, bool)
        if counted.ndim != len(chosen) or not counted.any():
            wrong("footprint", f"{len(chosen)} axes with a place that counts", f"shape {counted.shape}")
        # the footprint's axes are the image's, in whatever order they are named; for origins see linear._kernel
        named, chosen = chosen, tuple(sorted(chosen))
        if len(named) < source.ndim:
            origins = per_axis("origin", origin, len(chosen))
            origin = [origins[named.index(axis)] for axis in chosen]
        shape = list(counted.shape)
        counted = None if counted.all() else counted
    elif size is None:
        wrong("size", "an int or one for each axis, where there is no footprint", size)
    else:
        shape = [integer("size", extent, 1) for extent in per_axis("size", size, len(chosen))]
    given = zip(
        chosen, shape, per_axis("mode", mode, len(chosen)), per_axis("origin", origin, len(chosen)), strict=True
    )
    windows = [Window(axis, *reach(extent, shift), border_mode(one)) for axis, extent, one, shift in given]
    beyond = real_number("cval", cval)
    if counted is not None:
        choose = np.maximum if largest else np.minimum
        return _frame.run(source, output, [partial(_scattered, windows, counted, beyond, choose)], exact=True)
    wide = sorted(window for window in windows if window.size > 1)
    return _frame.run(source, output, [Extremum(wide, beyond, largest)] if wide else [], exact=True)


def _scattered(
    windows: list[Window], counted: Array, cval: float, choose: np.ufunc, x: Array, place: Array | None
) -> Array:
    """Take the extremum of the places that count, one after the other, from a copy with its border."""
    padded = x
    for window in windows:
        padded = _passes.bordered(padded, window, cval)
    seen = []
    for offsets in np.argwhere(counted):
        part = [slice(None)] * x.ndim
        for window, offset in zip(windows, offsets, strict=True):
            part[window.axis] = slice(int(offset), int(offset) + x.shape[window.axis])
        seen.append(padded[tuple(part)])
    best = seen[0].copy()
    for values in seen[1:]:
        choose(best, values, out=best)
    return best
