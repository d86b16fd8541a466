"""Means of windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from fastconv import _arguments
from fastconv.functional._windows import run

if TYPE_CHECKING:
    from fastconv._arguments import Array, Layout, Padding, Padding1d, Padding3d, Pair, Triple


def avg_pool1d(
    input: Array,
    kernel_size: int | tuple[int],
    stride: int | tuple[int] | None = None,
    padding: Padding1d = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Take the mean of each window of sequences.

    Parameters
    ----------
    input : ndarray (n, c, l) or (c, l)
        Sequences; (n, l, c) or (l, c) with ``layout="NHWC"``.
    others
        As in avg_pool2d, with one number where it takes two.

    Returns
    -------
    ndarray
        As avg_pool2d returns, with one spatial axis.

    Raises
    ------
    TypeError, ValueError
        As in conv2d.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.avg_pool1d(np.float32([[1, 3, 2, 1, 6]]), 3, 2)
    array([[2., 3.]], dtype=float32)
    """
    flags = (_arguments.word("ceil_mode", ceil_mode), _arguments.word("count_include_pad", count_include_pad))
    options = ("avg", kernel_size, stride, padding, 1, layout, *flags, None)
    return cast("Array", run(1, input, options, False, out))


def avg_pool2d(
    input: Array,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Take the mean of each window.

    Parameters
    ----------
    input, kernel_size, stride, padding, ceil_mode, layout, out
        As in max_pool2d, with zeros around the image.
    count_include_pad : bool
        Divide by the positions of the window that lie in the padded image; without, by those in the image.
    divisor_override : int, optional
        Divide by this instead.

    Returns
    -------
    ndarray (n, c, oh, ow)
        The means.

    Raises
    ------
    TypeError, ValueError
        As in conv2d.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.avg_pool2d(np.arange(16, dtype=np.float32).reshape(1, 4, 4), 2)
    array([[[ 2.5,  4.5],
            [10.5, 12.5]]], dtype=float32)
    >>> F.avg_pool2d(np.ones((1, 2, 2), np.float32), 2, padding=1, count_include_pad=False)
    array([[[1., 1.],
            [1., 1.]]], dtype=float32)
    """
    flags = (_arguments.word("ceil_mode", ceil_mode), _arguments.word("count_include_pad", count_include_pad))
    options = ("avg", kernel_size, stride, padding, 1, layout, *flags, divisor_override)
    return cast("Array", run(2, input, options, False, out))


def avg_pool3d(
    input: Array,
    kernel_size: int | Triple,
    stride: int | Triple | None = None,
    padding: Padding3d = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Take the mean of each window of volumes.

    Parameters
    ----------
    input : ndarray (n, c, d, h, w) or (c, d, h, w)
        Volumes; (n, d, h, w, c) or (d, h, w, c) with ``layout="NHWC"``.
    others
        As in avg_pool2d, with three numbers where it takes two.

    Returns
    -------
    ndarray
        As avg_pool2d returns, with three spatial axes.

    Raises
    ------
    TypeError, ValueError
        As in conv2d.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.avg_pool3d(np.arange(16, dtype=np.float32).reshape(1, 2, 2, 4), 2)
    array([[[[6.5, 8.5]]]], dtype=float32)
    """
    flags = (_arguments.word("ceil_mode", ceil_mode), _arguments.word("count_include_pad", count_include_pad))
    options = ("avg", kernel_size, stride, padding, 1, layout, *flags, divisor_override)
    return cast("Array", run(3, input, options, False, out))
