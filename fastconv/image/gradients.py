"""Derivatives: Sobel's and Prewitt's, and the Laplacian."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv._arguments.filters import axes_of, border_mode, filter_output, per_axis, picture, real_number
from fastconv.image import _frame, _passes
from fastconv.image._passes import Window
from fastconv.image._steps import Sum

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fastconv._arguments.arrays import Array

_DIFFERENCE = np.array([-1.0, 0.0, 1.0])


def sobel(input: ArrayLike, axis: int = -1, output: Any = None, mode: Any = "reflect", cval: float = 0.0) -> Array:
    """Take Sobel's derivative: differences along an axis, smoothed by 1 2 1 along all others.

    Parameters
    ----------
    input : array_like
    axis : int
    output, cval
        As in `correlate`.
    mode : str or sequence of str
        As in `correlate`, one for all axes or one for each.

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
    >>> image.sobel(np.array([[0.0, 0.0, 1.0, 1.0]] * 3))
    array([[0., 4., 4., 0.],
           [0., 4., 4., 0.],
           [0., 4., 4., 0.]])
    """
    return _derivative(input, axis, output, mode, cval, np.array([1.0, 2.0, 1.0]))


def prewitt(input: ArrayLike, axis: int = -1, output: Any = None, mode: Any = "reflect", cval: float = 0.0) -> Array:
    """Take Prewitt's derivative: differences along an axis, summed over three places along all others.

    Parameters
    ----------
    input, axis, output, mode, cval
        As in `sobel`.

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
    >>> image.prewitt(np.array([[0.0, 0.0, 1.0, 1.0]] * 3))
    array([[0., 3., 3., 0.],
           [0., 3., 3., 0.],
           [0., 3., 3., 0.]])
    """
    return _derivative(input, axis, output, mode, cval, np.ones(3))


def _derivative(input: Any, axis: Any, output: Any, mode: Any, cval: Any, smooth: Array) -> Array:
    source = picture(input)
    (along,) = axes_of(axis, source.ndim, "axis")
    modes, beyond = [border_mode(one) for one in per_axis("mode", mode, source.ndim)], real_number("cval", cval)
    order = [along, *(other for other in range(source.ndim) if other != along)]
    windows = [Window(one, 1, 1, modes[one]) for one in order]
    kernels = [_DIFFERENCE, *(smooth for _ in order[1:])]
    passes: list[_frame.Pass] = [Sum(kernel, [window], beyond) for kernel, window in zip(kernels, windows, strict=True)]
    exact = _frame.whole(np.array([2 * smooth.sum() ** (source.ndim - 1)]), source)
    # With a cval other than 0 the second pass sees it beyond the edge of the first one's result.
    # Whole numbers between the passes are rounded, as in scipy.
    kept = source.dtype.kind != "f" or filter_output(output, source)[0].kind == "f"
    if len(order) > 1 and kept and (beyond == 0 or "constant" not in modes):
        pair = np.outer(kernels[0], smooth) if along < order[1] else np.outer(smooth, kernels[0])
        passes[:2] = [Sum(pair, sorted(windows[:2]), beyond)]
    return _frame.run(source, output, passes, exact)


def laplace(
    input: ArrayLike, output: Any = None, mode: Any = "reflect", cval: float = 0.0, *, axes: Any = None
) -> Array:
    """Take the Laplacian: the sum of the second differences 1 -2 1 along the axes.

    Parameters
    ----------
    input : array_like
    output, cval, axes
        As in `correlate`.
    mode : str or sequence of str
        As in `correlate`, one for all axes or one for each.

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
    >>> image.laplace(np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]]))
    array([[ 0,  1,  0],
           [ 1, -4,  1],
           [ 0,  1,  0]])
    """
    source = picture(input)
    chosen = axes_of(axes, source.ndim)
    modes, beyond = [border_mode(one) for one in per_axis("mode", mode, len(chosen))], real_number("cval", cval)
    windows = [Window(axis, 1, 1, one) for axis, one in zip(chosen, modes, strict=True)]
    second = np.array([1.0, -2.0, 1.0])

    dtype, _ = filter_output(output, source)
    if windows and dtype.kind != "f" and (source.dtype.kind == "f" or not beyond.is_integer()):
        # Each axis' share is rounded to a whole number, as in scipy.
        total = np.zeros(source.shape, dtype)
        for window in windows:
            total += _frame.run(source, dtype, [Sum(second, [window], beyond)])
        return _frame.run(total, output, [])

    def cross(x: Array, place: Array | None) -> Array:
        total = _passes.correlate(x, second, windows[:1], beyond, place)
        for window in windows[1:]:
            total += _passes.correlate(x, second, [window], beyond)
        return total

    passes: list[_frame.Pass] = [cross] if windows else []
    if len(windows) == 2:
        kernel = np.zeros((3, 3))
        kernel[1] += second
        kernel[:, 1] += second
        passes = [Sum(kernel, sorted(windows), beyond)]
    elif len(windows) == 1:
        passes = [Sum(second, windows, beyond)]
    return _frame.run(source, output, passes, _frame.whole(np.array([4.0 * len(windows)]), source))
