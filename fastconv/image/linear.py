"""Weighted sums over a window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv._arguments import integer, wrong
from fastconv._arguments.filters import axes_of, border_mode, filter_output, per_axis, picture, reach, real_number
from fastconv.image import _frame
from fastconv.image._passes import Window
from fastconv.image._steps import Sum

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fastconv._arguments.arrays import Array


def correlate(
    input: ArrayLike,
    weights: ArrayLike,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
) -> Array:
    """Correlate an image with a kernel: each result is a weighted sum of the window around its place.

    Parameters
    ----------
    input : array_like
        An image, or a stack of them with `axes`; of any real type.
    weights : array_like
        As many axes as are filtered, of which two are longer than 1 at most.
    output : dtype or ndarray, optional
        The type of the result, or where it goes; the type of the input by default.
    mode : {"reflect", "constant", "nearest", "mirror", "wrap"}
        What lies beyond the edge: d c b a | a b c d | d c b a, `cval`, the last value, d c b | a b c d | c b a,
        or the other side of the image; "grid-mirror", "grid-constant" and "grid-wrap" are other names.
    cval : float
        Beyond the edge in the mode "constant".
    origin : int or sequence of int
        Moves the window; positive numbers to smaller indices.
    axes : int or sequence of int, optional
        The axes to filter; all of them by default. The others hold images, or channels.

    Returns
    -------
    ndarray of the input's shape
        float32 images are filtered in float32, float64 ones in float64, and whole numbers in float64 (in float32
        where that is exact); results that are whole numbers are cut off at the point, and wrap.

    Raises
    ------
    TypeError
        For anything but real numbers.
    ValueError
        For shapes, modes, origins or axes that do not fit.

    Notes
    -----
    Names, arguments and results are those of ``scipy.ndimage``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import image
    >>> image.correlate(np.arange(9.0).reshape(3, 3), [[0, 0, 0], [0, 1, 0], [0, 0, -1]])
    array([[-4., -4., -3.],
           [-4., -4., -3.],
           [-1., -1.,  0.]])
    """
    return _kernel(input, weights, output, mode, cval, origin, axes, flip=False)


def convolve(
    input: ArrayLike,
    weights: ArrayLike,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
) -> Array:
    """Convolve an image with a kernel: `correlate` with the kernel turned by half a turn.

    Parameters
    ----------
    input, weights, output, mode, cval, origin, axes
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
    >>> image.convolve([[0, 0, 0], [0, 1, 0], [0, 0, 0]], [[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    array([[1, 2, 3],
           [4, 5, 6],
           [7, 8, 9]])
    """
    return _kernel(input, weights, output, mode, cval, origin, axes, flip=True)


def _kernel(
    input: Any, weights: Any, output: Any, mode: Any, cval: Any, origin: Any, axes: Any, *, flip: bool
) -> Array:
    source, kernel = picture(input), picture(weights, "weights")
    named = axes_of(axes, source.ndim)
    chosen = sorted(named)  # the kernel's axes are the image's, in whatever order they are named
    if kernel.ndim != len(chosen) or 0 in kernel.shape:
        wrong("weights", f"{len(chosen)} axes of at least 1, as many as are filtered", f"shape {kernel.shape}")
    border, beyond = border_mode(mode), real_number("cval", cval)
    # scipy gives an origin to the axis that is named at its place, unless all are named: then to that of the kernel
    origins = per_axis("origin", origin, len(chosen))
    shifts = dict(zip(chosen if len(named) == source.ndim else named, origins, strict=True))
    windows = []
    for axis, size in zip(chosen, kernel.shape, strict=True):
        begin, end = reach(size, shifts[axis])
        windows.append(Window(axis, end, begin, border) if flip else Window(axis, begin, end, border))
    turned = np.asarray(kernel[(slice(None, None, -1),) * kernel.ndim] if flip else kernel, np.float64)
    if source.ndim:
        return _frame.run(source, output, _sums(windows, turned, beyond), _frame.whole(turned, source))
    return _frame.run(source, output, [lambda x, place: x * turned])


def _sums(windows: list[Window], kernel: Array, cval: float) -> list[_frame.Pass]:
    """Return the pass that correlates along the axes on which the kernel is longer than 1."""
    long = [place for place, size in enumerate(kernel.shape) if size > 1] or [0]
    if len(long) > 2:
        wrong("weights", "at most two axes longer than 1 (use functional.conv3d for more)", f"shape {kernel.shape}")
    small = kernel.reshape([kernel.shape[place] for place in long])
    return [Sum(small, [windows[place] for place in long], cval)]


def correlate1d(
    input: ArrayLike,
    weights: ArrayLike,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: int = 0,
) -> Array:
    """Correlate an array with weights along one axis.

    Parameters
    ----------
    input : array_like
    weights : array_like (k,)
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
    >>> image.correlate1d([2, 8, 0, 4, 1, 9, 9, 0], weights=[1, 3])
    array([ 8, 26,  8, 12,  7, 28, 36,  9])
    """
    return _along(input, weights, axis, output, mode, cval, origin, flip=False)


def convolve1d(
    input: ArrayLike,
    weights: ArrayLike,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: int = 0,
) -> Array:
    """Convolve an array with weights along one axis: `correlate1d` with the weights in reverse order.

    Parameters
    ----------
    input, weights, axis, output, mode, cval, origin
        As in `correlate1d`.

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
    >>> image.convolve1d([2, 8, 0, 4, 1, 9, 9, 0], weights=[1, 3])
    array([14, 24,  4, 13, 12, 36, 27,  0])
    """
    return _along(input, weights, axis, output, mode, cval, origin, flip=True)


def _along(input: Any, weights: Any, axis: Any, output: Any, mode: Any, cval: Any, origin: Any, *, flip: bool) -> Array:
    source, kernel = picture(input), picture(weights, "weights")
    if kernel.ndim != 1 or not kernel.size:
        wrong("weights", "one axis of at least 1", f"shape {kernel.shape}")
    (along,) = axes_of(int(axis) if isinstance(axis, np.integer) else axis, source.ndim, "axis")
    begin, end = reach(kernel.size, origin)
    window = Window(along, *((end, begin) if flip else (begin, end)), border_mode(mode))
    turned = np.asarray(kernel[::-1] if flip else kernel, np.float64)
    passes = [Sum(turned, [window], real_number("cval", cval))]
    return _frame.run(source, output, passes, _frame.whole(turned, source))


def uniform_filter1d(
    input: ArrayLike,
    size: int,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: int = 0,
) -> Array:
    """Take the mean of each window along one axis.

    Parameters
    ----------
    input : array_like
    size : int
        The window's extent.
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
    >>> image.uniform_filter1d([2, 8, 0, 4, 1, 9, 9, 0], size=3)
    array([4, 3, 4, 1, 4, 6, 6, 3])
    """
    source = picture(input)
    along = axes_of(axis, source.ndim, "axis")
    return _means(source, along, [size], output, [mode], cval, [origin])


def uniform_filter(
    input: ArrayLike,
    size: Any = 3,
    output: Any = None,
    mode: Any = "reflect",
    cval: float = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
) -> Array:
    """Take the mean of each window.

    Parameters
    ----------
    input : array_like
    size : int or sequence of int
        The window's extents along the axes.
    output, cval
        As in `correlate`.
    mode : str or sequence of str
        As in `correlate`, one for all axes or one for each.
    origin, axes
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
    >>> import numpy as np
    >>> from fastconv import image
    >>> image.uniform_filter(np.eye(4), size=2)
    array([[1.  , 0.5 , 0.  , 0.  ],
           [0.5 , 0.5 , 0.25, 0.  ],
           [0.  , 0.25, 0.5 , 0.25],
           [0.  , 0.  , 0.25, 0.5 ]])
    """
    source = picture(input)
    chosen = axes_of(axes, source.ndim)
    sizes, modes = per_axis("size", size, len(chosen)), per_axis("mode", mode, len(chosen))
    return _means(source, chosen, sizes, output, modes, cval, per_axis("origin", origin, len(chosen)))


def _means(source: Array, axes: tuple[int, ...], sizes: Any, output: Any, modes: Any, cval: Any, origins: Any) -> Array:
    beyond, windows = real_number("cval", cval), []
    for axis, size, mode, origin in zip(axes, sizes, modes, origins, strict=True):
        extent = integer("size", size, 1)
        windows.append(Window(axis, *reach(extent, origin), border_mode(mode)))
    windows = [window for window in windows if window.size > 1]
    if source.dtype.kind == "f" and filter_output(output, source)[0].kind == "f":
        means = [Sum(np.full(window.size, 1 / window.size), [window], beyond) for window in windows]
        return _frame.run(source, output, means)
    exact = all(_frame.whole(np.ones(window.size), source) for window in windows)
    # Sum and divide in this order, as scipy does, so that the mean of whole numbers is cut off where it should be.
    means = [Sum(np.ones(window.size), [window], beyond, window.size) for window in windows]
    return _frame.run(source, output, means, exact)
