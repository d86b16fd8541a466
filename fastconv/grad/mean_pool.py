"""Gradients of norms, geometric and harmonic means of windows, through those of averages."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv import _arguments
from fastconv.functional.mean_pool import power_of, quasi_means, sizes, window_sums
from fastconv.grad._places import checked
from fastconv.grad.pool import avg_pool1d, avg_pool2d, avg_pool3d, max_pool1d, max_pool2d, max_pool3d

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastconv._arguments import Array, Layout, Padding, Pair, Triple

AVERAGES: dict[int, Callable[..., Array]] = {1: avg_pool1d, 2: avg_pool2d, 3: avg_pool3d}
MAXIMA: dict[int, Callable[..., Array]] = {1: max_pool1d, 2: max_pool2d, 3: max_pool3d}


def lp_pool1d(
    input: Array,
    grad_output: Array,
    norm_type: float,
    kernel_size: int | tuple[int],
    stride: int | tuple[int] | None = None,
    ceil_mode: bool = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Return the gradient of lp_pool1d with respect to its input.

    Parameters
    ----------
    input : ndarray
        The input.
    grad_output : ndarray
        Gradient with respect to the norms.
    norm_type, kernel_size, stride, ceil_mode, layout
        As lp_pool1d was called.
    out : ndarray, optional
        Where the gradient goes.

    Returns
    -------
    ndarray in the shape of the input
        The gradient; zero where a norm is zero, as in torch.

    Raises
    ------
    TypeError, ValueError
        As in functional.conv2d, and for sizes that do not belong together.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.lp_pool1d(np.float32([[3, 4]]), np.float32([[5]]), 2, 2)
    array([[3., 4.]], dtype=float32)
    """
    return _norms(1, input, grad_output, norm_type, (kernel_size, stride, ceil_mode, layout), out)


def lp_pool2d(
    input: Array,
    grad_output: Array,
    norm_type: float,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    ceil_mode: bool = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Return the gradient of lp_pool2d with respect to its input.

    Parameters
    ----------
    input : ndarray
        The input.
    grad_output : ndarray
        Gradient with respect to the norms.
    norm_type, kernel_size, stride, ceil_mode, layout
        As lp_pool2d was called.
    out : ndarray, optional
        Where the gradient goes.

    Returns
    -------
    ndarray in the shape of the input
        The gradient; zero where a norm is zero, as in torch.

    Raises
    ------
    TypeError, ValueError
        As in functional.conv2d, and for sizes that do not belong together.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.lp_pool2d(np.float32([[[3, 0], [0, 4]]]), np.float32([[[5]]]), 2, 2)
    array([[[3., 0.],
            [0., 4.]]], dtype=float32)
    """
    return _norms(2, input, grad_output, norm_type, (kernel_size, stride, ceil_mode, layout), out)


def lp_pool3d(
    input: Array,
    grad_output: Array,
    norm_type: float,
    kernel_size: int | Triple,
    stride: int | Triple | None = None,
    ceil_mode: bool = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Return the gradient of lp_pool3d with respect to its input.

    Parameters
    ----------
    input : ndarray
        The input.
    grad_output : ndarray
        Gradient with respect to the norms.
    norm_type, kernel_size, stride, ceil_mode, layout
        As lp_pool3d was called.
    out : ndarray, optional
        Where the gradient goes.

    Returns
    -------
    ndarray in the shape of the input
        The gradient; zero where a norm is zero, as in torch.

    Raises
    ------
    TypeError, ValueError
        As in functional.conv2d, and for sizes that do not belong together.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.lp_pool3d(np.float32([[[[3, 4]]]]), np.float32([[[[5]]]]), 2, (1, 1, 2))
    array([[[[3., 4.]]]], dtype=float32)
    """
    return _norms(3, input, grad_output, norm_type, (kernel_size, stride, ceil_mode, layout), out)


def _norms(
    axes: int, input: object, grad_output: object, norm_type: object, options: tuple[Any, ...], out: object
) -> Array:
    x, power = _arguments.plain("input", input), power_of(norm_type)
    kernel, stride, ceil_mode, layout = options
    pool = _arguments.pool(axes, False, x.shape, kernel, stride, 0, 1, layout, ceil_mode=ceil_mode)
    shape = pool.input.shape(pool.layout, pool.input.channels, pool.plan(x.dtype).dst)
    gradient, target = checked(grad_output, shape, x.shape, out, ("input", input))
    _arguments.same_dtype("input", x, ("grad_output", gradient))
    real = x.dtype.type
    if math.isinf(power):
        result = MAXIMA[axes](sizes(x, power), gradient, kernel, stride, 0, 1, ceil_mode, layout=layout)
        return _arguments.delivered(np.multiply(result, np.sign(x), out=result), target)
    with np.errstate(all="ignore"):
        sums = window_sums(axes, x, power, options)
        slope = np.power(sums, real(1 / power - 1)) * real(math.prod(pool.kernel))
        slope[sums == 0] = 0
        slope *= gradient  # and the 1 / power of the root meets the power of its products
        result = AVERAGES[axes](x.shape, slope, kernel, stride, 0, ceil_mode, layout=layout)
        result *= np.power(x, real(power - 1))
    return _arguments.delivered(result, target)


def geometric_avg_pool2d(
    input: Array,
    grad_output: Array,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Return the gradient of geometric_avg_pool2d with respect to its input: ``mean / (count * x)`` of what arrives.

    Parameters
    ----------
    input : ndarray
        The input.
    grad_output : ndarray
        Gradient with respect to the means.
    kernel_size, stride, padding, ceil_mode, layout
        As geometric_avg_pool2d was called.
    out : ndarray, optional
        Where the gradient goes.

    Returns
    -------
    ndarray in the shape of the input
        The gradient. Zero from windows that hold a zero (where the slope has no bound), NaN from those whose mean is.

    Raises
    ------
    TypeError, ValueError
        As in functional.conv2d, and for sizes that do not belong together.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.geometric_avg_pool2d(np.float64([[[1, 4]]]), np.float64([[[1]]]), (1, 2)).round(12)
    array([[[1.  , 0.25]]])
    """
    options = (kernel_size, stride, padding, ceil_mode, layout)
    return _means(input, grad_output, options, (np.log, np.exp), (1, -1), out)


def harmonic_avg_pool2d(
    input: Array,
    grad_output: Array,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Return the gradient of harmonic_avg_pool2d with respect to its input: ``(mean / x) ** 2 / count``.

    Parameters
    ----------
    input, grad_output, kernel_size, stride, padding, ceil_mode, layout, out
        As in geometric_avg_pool2d.

    Returns
    -------
    ndarray in the shape of the input
        The gradient. Zero from windows that hold a zero, NaN from those whose mean is.

    Raises
    ------
    TypeError, ValueError
        As in functional.conv2d, and for sizes that do not belong together.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.harmonic_avg_pool2d(np.float64([[[2, 6]]]), np.float64([[[1]]]), (1, 2))
    array([[[1.125, 0.125]]])
    """
    options = (kernel_size, stride, padding, ceil_mode, layout)
    return _means(input, grad_output, options, (np.reciprocal, np.reciprocal), (2, -2), out)


def _means(
    input: object,
    grad_output: object,
    options: tuple[Any, ...],
    functions: tuple[np.ufunc, np.ufunc],
    powers: tuple[int, int],
    out: object,
) -> Array:
    """Return ``x ** powers[1]`` times what averaging does to ``mean ** powers[0]`` of what arrives."""
    x = _arguments.plain("input", input)
    kernel, stride, padding, ceil_mode, layout = options
    pool = _arguments.pool(2, False, x.shape, kernel, stride, padding, 1, layout, ceil_mode=ceil_mode)
    shape = pool.input.shape(pool.layout, pool.input.channels, pool.plan(x.dtype).dst)
    gradient, target = checked(grad_output, shape, x.shape, out, ("input", input))
    _arguments.same_dtype("input", x, ("grad_output", gradient))
    with np.errstate(all="ignore"):
        arriving = quasi_means(x, options, *functions) ** powers[0] * gradient
        spread = avg_pool2d(x.shape, arriving, kernel, stride, padding, ceil_mode, False, layout=layout)
        factor = np.where(x == 0, 0.0, x.astype(np.float64) ** powers[1])
        result = (spread * factor).astype(x.dtype, copy=False)
    return _arguments.delivered(result, target)
