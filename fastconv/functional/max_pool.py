"""Maxima of windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, overload

from fastconv import _arguments
from fastconv.functional._windows import run

if TYPE_CHECKING:
    from fastconv._arguments import Array, Layout, Padding, Padding1d, Padding3d, Pair, Triple


@overload
def max_pool1d(
    input: Array,
    kernel_size: int | tuple[int],
    stride: int | tuple[int] | None = None,
    padding: Padding1d = 0,
    dilation: int | tuple[int] = 1,
    ceil_mode: bool = False,
    return_indices: Literal[False] = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array: ...
@overload
def max_pool1d(
    input: Array,
    kernel_size: int | tuple[int],
    stride: int | tuple[int] | None = None,
    padding: Padding1d = 0,
    dilation: int | tuple[int] = 1,
    ceil_mode: bool = False,
    *,
    return_indices: Literal[True],
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> tuple[Array, Array]: ...
@overload
def max_pool1d(
    input: Array,
    kernel_size: int | tuple[int],
    stride: int | tuple[int] | None = None,
    padding: Padding1d = 0,
    dilation: int | tuple[int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array | tuple[Array, Array]: ...
def max_pool1d(
    input: Array,
    kernel_size: int | tuple[int],
    stride: int | tuple[int] | None = None,
    padding: Padding1d = 0,
    dilation: int | tuple[int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array | tuple[Array, Array]:
    """Take the maximum of each window of sequences.

    Parameters
    ----------
    input : ndarray (n, c, l) or (c, l)
        Sequences; (n, l, c) or (l, c) with ``layout="NHWC"``.
    others
        As in max_pool2d, with one number where it takes two.

    Returns
    -------
    ndarray
        As max_pool2d returns, with one spatial axis.

    Raises
    ------
    TypeError, ValueError
        As in conv2d.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.max_pool1d(np.float32([[1, 3, 2, 1, 5]]), 3, 2)
    array([[3., 5.]], dtype=float32)
    """
    options = ("max", kernel_size, stride, padding, dilation, layout, _arguments.word("ceil_mode", ceil_mode), "", None)
    return run(1, input, options, bool(_arguments.word("return_indices", return_indices)), out)


@overload
def max_pool2d(
    input: Array,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: Padding = 0,
    dilation: int | Pair = 1,
    ceil_mode: bool = False,
    return_indices: Literal[False] = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array: ...
@overload
def max_pool2d(
    input: Array,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: Padding = 0,
    dilation: int | Pair = 1,
    ceil_mode: bool = False,
    *,
    return_indices: Literal[True],
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> tuple[Array, Array]: ...
@overload
def max_pool2d(
    input: Array,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: Padding = 0,
    dilation: int | Pair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array | tuple[Array, Array]: ...
def max_pool2d(
    input: Array,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: Padding = 0,
    dilation: int | Pair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array | tuple[Array, Array]:
    """Take the maximum of each window.

    Parameters
    ----------
    input : ndarray (n, c, h, w) or (c, h, w)
        Images; (n, h, w, c) or (h, w, c) with ``layout="NHWC"``.
    kernel_size : int or (int, int)
        Extents of a window.
    stride : int or (int, int), optional
        Steps between windows; the window's own extents by default.
    padding : int, (h, w), ((top, bottom), (left, right)), "valid", "same" or "same_lower"
        Positions of minus infinity around the image; the first two forms at most half of the window, as in torch.
    dilation : int or (int, int)
        Steps between the positions of one window.
    ceil_mode : bool
        Keep a last window that hangs over the end, unless it starts in the padding.
    return_indices : bool
        Also return where each maximum was.
    layout : {"NCHW", "NHWC"}
        Order of the axes.
    out : ndarray, optional
        Where the maxima go.

    Returns
    -------
    maxima : ndarray (n, c, oh, ow)
        NaN where a window holds one; minus infinity where it holds padding alone.
    indices : ndarray of int64, in the shape of maxima
        Only with `return_indices`: h * W + w of the first maximum within its own plane, in both layouts, or -1.

    Raises
    ------
    TypeError, ValueError
        As in conv2d.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> x = np.float32([[[1, 3, 2, 1], [2, 9, 1, 1], [1, 3, 2, 3], [5, 6, 1, 2]]])
    >>> maxima, indices = F.max_pool2d(x, 2, return_indices=True)
    >>> maxima
    array([[[9., 2.],
            [6., 3.]]], dtype=float32)
    >>> indices
    array([[[ 5,  2],
            [13, 11]]])
    >>> F.max_pool2d(np.zeros((32, 32, 12), np.float32), 2, layout="NHWC").shape
    (16, 16, 12)
    """
    options = ("max", kernel_size, stride, padding, dilation, layout, _arguments.word("ceil_mode", ceil_mode), "", None)
    return run(2, input, options, bool(_arguments.word("return_indices", return_indices)), out)


@overload
def max_pool3d(
    input: Array,
    kernel_size: int | Triple,
    stride: int | Triple | None = None,
    padding: Padding3d = 0,
    dilation: int | Triple = 1,
    ceil_mode: bool = False,
    return_indices: Literal[False] = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array: ...
@overload
def max_pool3d(
    input: Array,
    kernel_size: int | Triple,
    stride: int | Triple | None = None,
    padding: Padding3d = 0,
    dilation: int | Triple = 1,
    ceil_mode: bool = False,
    *,
    return_indices: Literal[True],
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> tuple[Array, Array]: ...
@overload
def max_pool3d(
    input: Array,
    kernel_size: int | Triple,
    stride: int | Triple | None = None,
    padding: Padding3d = 0,
    dilation: int | Triple = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array | tuple[Array, Array]: ...
def max_pool3d(
    input: Array,
    kernel_size: int | Triple,
    stride: int | Triple | None = None,
    padding: Padding3d = 0,
    dilation: int | Triple = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array | tuple[Array, Array]:
    """Take the maximum of each window of volumes.

    Parameters
    ----------
    input : ndarray (n, c, d, h, w) or (c, d, h, w)
        Volumes; (n, d, h, w, c) or (d, h, w, c) with ``layout="NHWC"``.
    others
        As in max_pool2d, with three numbers where it takes two.

    Returns
    -------
    ndarray
        As max_pool2d returns, with three spatial axes.

    Raises
    ------
    TypeError, ValueError
        As in conv2d.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.max_pool3d(np.arange(16, dtype=np.float32).reshape(1, 2, 2, 4), 2)
    array([[[[13., 15.]]]], dtype=float32)
    """
    options = ("max", kernel_size, stride, padding, dilation, layout, _arguments.word("ceil_mode", ceil_mode), "", None)
    return run(3, input, options, bool(_arguments.word("return_indices", return_indices)), out)
