"""Maxima and means of windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast, overload

import numpy as np

from fastconv import _arguments, _core

if TYPE_CHECKING:
    from fastconv._arguments import Array, Layout, Padding, Pair


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
    return _pool(input, options, bool(_arguments.word("return_indices", return_indices)), out)


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
    return cast("Array", _pool(input, options, False, out))


def adaptive_avg_pool2d(
    input: Array,
    output_size: int | tuple[int | None, int | None] | None,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Take means of windows that divide the image into a given number of rows and columns.

    Parameters
    ----------
    input : ndarray (n, c, h, w) or (c, h, w)
        Images; (n, h, w, c) or (h, w, c) with ``layout="NHWC"``.
    output_size : int, None or a pair of them
        Rows and columns of the result; None keeps the image's. Window i covers
        ``floor(i * h / oh)`` to ``ceil((i + 1) * h / oh)``.
    layout, out
        As in conv2d.

    Returns
    -------
    ndarray (n, c, oh, ow)
        The means; with ``output_size=1`` the global average of each channel.

    Raises
    ------
    TypeError, ValueError
        As in conv2d.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.adaptive_avg_pool2d(np.arange(15, dtype=np.float32).reshape(1, 3, 5), (1, 2))
    array([[[6., 8.]]], dtype=float32)
    """
    return cast("Array", _pool(input, ("adaptive avg", output_size, layout), False, out))


@overload
def adaptive_max_pool2d(
    input: Array,
    output_size: int | tuple[int | None, int | None] | None,
    return_indices: Literal[False] = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array: ...
@overload
def adaptive_max_pool2d(
    input: Array,
    output_size: int | tuple[int | None, int | None] | None,
    return_indices: Literal[True],
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> tuple[Array, Array]: ...
@overload
def adaptive_max_pool2d(
    input: Array,
    output_size: int | tuple[int | None, int | None] | None,
    return_indices: bool = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array | tuple[Array, Array]: ...
def adaptive_max_pool2d(
    input: Array,
    output_size: int | tuple[int | None, int | None] | None,
    return_indices: bool = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array | tuple[Array, Array]:
    """Take maxima of windows that divide the image into a given number of rows and columns.

    Parameters
    ----------
    input, output_size, layout, out
        As in adaptive_avg_pool2d.
    return_indices : bool
        Also return where each maximum was, as max_pool2d does.

    Returns
    -------
    ndarray (n, c, oh, ow), and the indices with `return_indices`
        The maxima.

    Raises
    ------
    TypeError, ValueError
        As in conv2d.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.adaptive_max_pool2d(np.arange(15, dtype=np.float32).reshape(1, 3, 5), (None, 1))
    array([[[ 4.],
            [ 9.],
            [14.]]], dtype=float32)
    """
    return _pool(
        input, ("adaptive max", output_size, layout), bool(_arguments.word("return_indices", return_indices)), out
    )


def _pool(
    input: object,
    options: tuple[object, ...],
    return_indices: bool,
    out: object,
) -> Array | tuple[Array, Array]:
    result = _core.pool2d(input, options, return_indices, out, None)
    return _checked_pool(input, options, return_indices, out) if result is None else result


def _pooling(shape: tuple[int, ...], options: tuple[object, ...]) -> _arguments.Pool2d:
    """Check a pooling's options, in the order that they are kept by."""
    if len(options) == 3:
        return _arguments.adaptive_pool2d(options[0] == "adaptive max", shape, options[1], options[2])
    kind, kernel, stride, padding, dilation, layout, ceil_mode, include_pad, divisor = options
    return _arguments.pool2d(
        kind == "max",
        shape,
        kernel,
        stride,
        padding,
        dilation,
        layout,
        ceil_mode=bool(ceil_mode),
        include_pad=bool(include_pad),
        divisor_override=divisor,
    )


def _checked_pool(
    input: object,
    options: tuple[object, ...],
    return_indices: bool,
    out: object,
) -> Array | tuple[Array, Array]:
    """Check everything, make the array plain, keep the plan."""
    x = _arguments.real("input", input)
    pool = _pooling(x.shape, options)
    if pool.dst is not None:
        canonical: tuple[object, ...] = (options[0], pool.dst, pool.layout)
    else:
        canonical = (options[0], pool.kernel, pool.stride, pool.padding, pool.dilation, *options[5:])
    dtype = x.dtype.newbyteorder("=")
    empty = pool.dst is not None and 0 in pool.dst
    dst = pool.dst if pool.dst is not None else pool.plan(dtype).dst
    shape = pool.input.shape(pool.layout, pool.input.channels, dst)
    if out is not None:
        out = _arguments.output(out, shape, dtype, [("input", input)])
    if empty:
        maxima = np.empty(shape, dtype) if out is None else out
        return (maxima, np.empty(shape, np.int64)) if return_indices else maxima
    plain = _arguments.plain("input", x)
    for key, target in ((options, out), (canonical, out), (canonical, None)):
        result = _core.pool2d(plain, key, return_indices, target, lambda: pool.plan(dtype))
        if result is not None:
            break
    if isinstance(result, tuple):
        return _arguments.delivered(result[0], out), result[1]
    return _arguments.delivered(result, out)
