"""Norms, geometric and harmonic means of windows: averages of powers, logarithms and reciprocals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import numpy as np

from fastconv import _arguments
from fastconv.functional._windows import run

if TYPE_CHECKING:
    from fastconv._arguments import Array, Layout, Padding, Pair, Triple


def lp_pool1d(
    input: Array,
    norm_type: float,
    kernel_size: int | tuple[int],
    stride: int | tuple[int] | None = None,
    ceil_mode: bool = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Take the p-norm of each window: lp_pool2d with one spatial axis.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.lp_pool1d(np.float32([[3, 4, 6, 8]]), 2, 2)
    array([[ 5., 10.]], dtype=float32)
    """
    return _norms(1, input, norm_type, (kernel_size, stride, ceil_mode, layout), out)


def lp_pool2d(
    input: Array,
    norm_type: float,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    ceil_mode: bool = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Take the power mean of each window without its division: ``sum(x ** p) ** (1 / p)``.

    Parameters
    ----------
    input : ndarray (n, c, h, w) or (c, h, w)
        Images; (n, h, w, c) or (h, w, c) with ``layout="NHWC"``.
    norm_type : float
        The power p, not 0: 1 sums, 2 is the Euclidean norm; infinity takes the largest magnitude, minus infinity the
        smallest.
    kernel_size : int or (int, int)
        Extents of a window.
    stride : int or (int, int), optional
        Steps between windows; the window's own extents by default.
    ceil_mode : bool
        Keep a last window that hangs over the end; its sum counts as if the window were whole, as in torch.
    layout : {"NCHW", "NHWC"}
        Order of the axes.
    out : ndarray, optional
        Where the result goes.

    Returns
    -------
    ndarray (n, c, oh, ow)
        The norms; NaN where a sum is negative and its root is none.

    Raises
    ------
    TypeError, ValueError
        As in conv2d.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.lp_pool2d(np.float32([[[3, 0], [0, 4]]]), 2, 2)
    array([[[5.]]], dtype=float32)
    """
    return _norms(2, input, norm_type, (kernel_size, stride, ceil_mode, layout), out)


def lp_pool3d(
    input: Array,
    norm_type: float,
    kernel_size: int | Triple,
    stride: int | Triple | None = None,
    ceil_mode: bool = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Take the p-norm of each window: lp_pool2d with three spatial axes.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.lp_pool3d(np.ones((1, 2, 2, 2), np.float32), 1, 2)
    array([[[[8.]]]], dtype=float32)
    """
    return _norms(3, input, norm_type, (kernel_size, stride, ceil_mode, layout), out)


def _norms(axes: int, input: object, norm_type: object, options: tuple[object, ...], out: Array | None) -> Array:
    x, power = _arguments.real("input", input), power_of(norm_type)
    kernel, stride, ceil_mode, layout = options
    pool = _arguments.pool(axes, False, x.shape, kernel, stride, 0, 1, layout, ceil_mode=ceil_mode)
    target = _target(pool, x, input, out)
    if math.isinf(power):
        words = (_arguments.word("ceil_mode", ceil_mode), "")
        windows = ("max", kernel, stride, 0, 1, layout, *words, None)
        most = cast("Array", run(axes, sizes(x, power), windows, False, None))
        return _arguments.delivered(np.negative(most, out=most) if power < 0 else most, target)
    with np.errstate(all="ignore"):  # zeros to a negative power and roots of negative sums are as IEEE says
        sums = window_sums(axes, x, power, options)
        np.power(sums, x.dtype.type(1 / power), out=sums)
    return _arguments.delivered(sums, target)


def power_of(norm_type: object) -> float:
    """Return a power that has a root."""
    power = _arguments.number("norm_type", norm_type)
    return _arguments.wrong("norm_type", "a number other than 0", norm_type) if power == 0 else power


def sizes(x: Array, power: float) -> Array:
    """Return what an infinite norm takes maxima of: magnitudes, negated for the smallest."""
    made: Array = np.abs(_arguments.plain("input", x))
    return np.negative(made, out=made) if power < 0 else made


def window_sums(axes: int, x: Array, power: float, options: tuple[object, ...]) -> Array:
    """Return the sums of powers of checked windows, from their means."""
    kernel, stride, ceil_mode, layout = options
    powers = np.power(_arguments.plain("input", x), x.dtype.type(power))
    words = (_arguments.word("ceil_mode", ceil_mode), "yes")
    sums = cast("Array", run(axes, powers, ("avg", kernel, stride, 0, 1, layout, *words, None), False, None))
    sums *= x.dtype.type(math.prod(_arguments.per_axis("kernel_size", kernel, 1, axes)))
    return sums


def geometric_avg_pool2d(
    input: Array,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Take the geometric mean of each window: ``exp(mean(log(x)))``, the root of the product.

    Parameters
    ----------
    input, kernel_size, stride, padding, ceil_mode, layout, out
        As in avg_pool2d. Padding does not count: the mean is that of the positions inside the image.

    Returns
    -------
    ndarray (n, c, oh, ow)
        The means, computed in float64. Zero where a window holds a zero, NaN where it holds a negative value or NaN or
        no position of the image at all.

    Raises
    ------
    TypeError, ValueError
        As in conv2d.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.geometric_avg_pool2d(np.float64([[[1, 4, 0, 5]]]), (1, 2)).round(12)
    array([[[2., 0.]]])
    """
    return _means(input, (kernel_size, stride, padding, ceil_mode, layout), np.log, np.exp, out)


def harmonic_avg_pool2d(
    input: Array,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Take the harmonic mean of each window: ``1 / mean(1 / x)``.

    Parameters
    ----------
    input, kernel_size, stride, padding, ceil_mode, layout, out
        As in avg_pool2d. Padding does not count: the mean is that of the positions inside the image.

    Returns
    -------
    ndarray (n, c, oh, ow)
        The means, computed in float64. Zero where a window holds a zero, NaN where it holds a negative value or NaN or
        no position of the image at all.

    Raises
    ------
    TypeError, ValueError
        As in conv2d.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.harmonic_avg_pool2d(np.float64([[[2, 6, 0, 5]]]), (1, 2))
    array([[[3., 0.]]])
    """
    return _means(input, (kernel_size, stride, padding, ceil_mode, layout), np.reciprocal, np.reciprocal, out)


def _means(input: object, options: tuple[object, ...], forward: np.ufunc, back: np.ufunc, out: Array | None) -> Array:
    x = _arguments.real("input", input)
    kernel, stride, padding, ceil_mode, layout = options
    pool = _arguments.pool(2, False, x.shape, kernel, stride, padding, 1, layout, ceil_mode=ceil_mode)
    target = _target(pool, x, input, out)
    means = quasi_means(x, options, forward, back)
    return _arguments.delivered(means.astype(x.dtype.newbyteorder("="), copy=False), target)


def quasi_means(x: Array, options: tuple[object, ...], forward: np.ufunc, back: np.ufunc) -> Array:
    """Return in float64 what `back` makes of the means of what `forward` makes of values that are not negative."""
    kernel, stride, padding, ceil_mode, layout = options
    words = (_arguments.word("ceil_mode", ceil_mode), "")
    values = np.where(x >= 0, x, np.nan).astype(np.float64, copy=False)
    values += 0.0  # a negative zero is a zero
    with np.errstate(all="ignore"):
        changed = np.ascontiguousarray(forward(values))
        means = cast("Array", run(2, changed, ("avg", kernel, stride, padding, 1, layout, *words, None), False, None))
        return cast("Array", back(means, out=means))


def _target(pool: _arguments.Pool, x: Array, input: object, out: object) -> Array | None:
    dtype = x.dtype.newbyteorder("=")
    shape = pool.input.shape(pool.layout, pool.input.channels, pool.plan(dtype).dst)
    return None if out is None else _arguments.output(out, shape, dtype, [("input", input)])
