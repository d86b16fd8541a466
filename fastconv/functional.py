"""The operators: the names, argument order, defaults and results of ``torch.nn.functional``, on NumPy arrays.

Arrays are float32 or float64 and of one dtype per call; nothing is cast, other types are a ``TypeError``. They may have
any strides, byte order and alignment and may be read-only; they are copied only where the engine needs them
contiguous. Subclasses are taken as the ndarrays they are, a masked array only if it masks nothing; results are plain
ndarrays. Large results come from a pool of reusable memory, so that their pages need not be touched for the first time.

Beyond torch every operator takes, by keyword only,

layout : {"NCHW", "NHWC"}
    Order of an image's axes: n images, c channels, h height, w width; without n for one image. Weights are
    (o, i, kh, kw) or (kh, kw, i, o) with i = c / groups.
out : ndarray, optional
    Where the result goes and what is returned: of the result's shape and dtype, of any strides, sharing no memory with
    an input. (Activations may write over their own input.)

References
----------
https://docs.pytorch.org/docs/stable/nn.functional.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast, overload

import numpy as np

from fastconv import _arguments, _core
from fastconv._activations import (
    dropout,
    elu,
    gelu,
    hardsigmoid,
    hardswish,
    leaky_relu,
    log_softmax,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    softmax,
    softplus,
    tanh,
)

if TYPE_CHECKING:
    from fastconv._arguments import Algorithm, Array, Layout, Padding, PaddingMode, Pair

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "avg_pool2d",
    "conv2d",
    "dropout",
    "elu",
    "gelu",
    "hardsigmoid",
    "hardswish",
    "leaky_relu",
    "linear",
    "log_softmax",
    "max_pool2d",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
]


def conv2d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: int | Pair = 1,
    padding: Padding = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
    activation: str | None = None,
    padding_mode: PaddingMode = "zeros",
    algorithm: Algorithm = "auto",
) -> Array:
    """Convolve images with filters (a cross-correlation, as in torch and Keras).

    Parameters
    ----------
    input : ndarray (n, c, h, w) or (c, h, w)
        Images; (n, h, w, c) or (h, w, c) with ``layout="NHWC"``.
    weight : ndarray (o, c / groups, kh, kw)
        Filters; (kh, kw, c / groups, o) with ``layout="NHWC"``. Any strides are read in place.
    bias : ndarray (o,), optional
        Added to each output channel.
    stride, dilation : int or (int, int)
        Steps between windows, and between the taps of one.
    padding : int, (h, w), ((top, bottom), (left, right)), "valid", "same" or "same_lower"
        Positions added around the image. "same" makes ``ceil(h / stride)`` rows at any stride and puts an odd
        position at the end, "same_lower" at the beginning.
    groups : int
        Output channels of group g see the input channels of group g alone.
    layout : {"NCHW", "NHWC"}
        Order of the axes.
    out : ndarray, optional
        Where the result goes.
    activation : str, optional
        Applied to the result while it is in registers: "relu", "relu6", "leaky_relu", "elu", "selu", "tanh",
        "sigmoid", "hardsigmoid", "hardswish", "silu", "gelu", "gelu_tanh", "softplus", "exp" or "linear".
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        What the added positions hold, with torch's limits: reflected ones reach less than the image's extent,
        circular ones at most that far.
    algorithm : {"auto", "direct", "im2col", "winograd"}
        "auto" chooses by shape.

    Returns
    -------
    ndarray (n, o, oh, ow)
        In the layout of the input, and without n like it;
        ``oh = floor((h + top + bottom - (kh - 1) * dilation - 1) / stride) + 1``.

    Raises
    ------
    TypeError
        For another dtype, a mixture of dtypes, or an option of the wrong type.
    ValueError
        For shapes that do not fit, a kernel that reaches past the padded image, or an algorithm that cannot serve it.

    Examples
    --------
    A vertical edge, found by the filter 1 0 -1:

    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> image = np.repeat(np.float32([[10, 10, 10, 0, 0, 0]]), 6, axis=0)
    >>> edge = np.repeat(np.float32([[1, 0, -1]]), 3, axis=0)
    >>> F.conv2d(image[None, None], edge[None, None])[0, 0]
    array([[ 0., 30., 30.,  0.],
           [ 0., 30., 30.,  0.],
           [ 0., 30., 30.,  0.],
           [ 0., 30., 30.,  0.]], dtype=float32)

    Extents: "same" keeps 32 x 32 x 3 at 32 x 32 with 12 filters; 40 filters of 5 x 5 make 124 x 124 of 128 x 128;
    5 x 5 by 3 x 3 is 3 x 3, or 5 x 5 with "same".

    >>> x, w = np.zeros((32, 32, 3), np.float32), np.zeros((3, 3, 3, 12), np.float32)
    >>> F.conv2d(x, w, padding="same", layout="NHWC").shape
    (32, 32, 12)
    >>> x, w = np.zeros((128, 128, 3), np.float32), np.zeros((5, 5, 3, 40), np.float32)
    >>> F.conv2d(x, w, layout="NHWC").shape
    (124, 124, 40)
    >>> x, w = np.zeros((1, 5, 5), np.float32), np.zeros((1, 1, 3, 3), np.float32)
    >>> F.conv2d(x, w).shape, F.conv2d(x, w, padding="same").shape
    ((1, 3, 3), (1, 5, 5))

    A stride that does not divide, an image that is not square, padding on one side alone:
    floor((7 - 3 + 0) / 3) + 1 = 2 and floor((10 - 3 + 2) / 2) + 1 = 5.

    >>> x = np.zeros((1, 7, 10), np.float32)
    >>> F.conv2d(x, w, stride=(3, 2), padding=((0, 0), (2, 0))).shape
    (1, 2, 5)
    """
    options = (stride, padding, dilation, groups, layout, activation, algorithm)
    if padding_mode == "zeros":
        result = _core.conv2d(input, weight, bias, options, out, None)
        if result is not None:
            return result
    return _conv2d(input, weight, bias, options, padding_mode, out)


def _conv2d(
    input: object,
    weight: object,
    bias: object,
    options: tuple[object, ...],
    padding_mode: object,
    out: object,
) -> Array:
    """Check everything, make the arrays plain, keep the plan."""
    stride, padding, dilation, groups, layout, activation, algorithm = options
    x, w = _arguments.real("input", input), _arguments.strided("weight", weight)
    conv = _arguments.conv2d(x.shape, w.shape, stride, padding, dilation, groups, layout)
    b = _arguments.vector("bias", bias, conv.oc)
    _arguments.same_dtype("input", x, ("weight", w), ("bias", b))
    mode = _arguments.choice("padding_mode", padding_mode, ("zeros", *_arguments.PAD_MODES))
    algorithm = _arguments.choice("algorithm", algorithm, _core.ALGORITHMS)
    activation = _arguments.activation_name(activation)
    if mode != "zeros":
        x = _arguments.pad(x, conv, mode)
        options = (stride, 0, dilation, groups, layout, activation, algorithm)
        conv = _arguments.conv2d(x.shape, w.shape, stride, 0, dilation, groups, layout)

    def make() -> _core.ConvPlan:
        return _arguments.plan_conv(conv, _core.FORWARD, w.dtype, algorithm=algorithm, activation=activation)

    if out is not None:
        shape = conv.input.shape(conv.layout, conv.oc, make().dst)
        out = _arguments.output(out, shape, w.dtype, [("input", input), ("weight", weight), ("bias", bias)])
    plain = _arguments.plain("input", x)
    canonical = (conv.stride, conv.padding, conv.dilation, conv.groups, conv.layout, activation, algorithm)
    for key, target in ((options, out), (canonical, out), (canonical, None)):
        result = _core.conv2d(plain, w, b, key, target, make)
        if result is not None:
            break
    return _arguments.delivered(result, out)


def linear(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    out: Array | None = None,
    activation: str | None = None,
) -> Array:
    """Multiply vectors by a matrix: ``input @ weight.T + bias``.

    Parameters
    ----------
    input : ndarray (..., i)
        Vectors, with any axes before.
    weight : ndarray (o, i) or (i,)
        The matrix; a vector gives scalars. Any strides are read in place, so the transpose of an (i, o) matrix
        costs nothing.
    bias : ndarray (o,), optional
        Added to each result; of shape () for a vector of weights.
    out : ndarray, optional
        Where the result goes.
    activation : str, optional
        As in conv2d.

    Returns
    -------
    ndarray (..., o)
        (...) for a vector of weights.

    Raises
    ------
    TypeError, ValueError
        As in conv2d.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.linear(np.float32([[1, 2]]), np.float32([[1, 10], [0, 1], [3, 0]]), np.float32([0, 0, 1]))
    array([[21.,  2.,  4.]], dtype=float32)
    """
    result = _core.linear(input, weight, bias, (activation,), out, None)
    return _linear(input, weight, bias, activation, out) if result is None else result


def _linear(input: object, weight: object, bias: object, activation: object, out: object) -> Array:
    x, w = _arguments.real("input", input), _arguments.strided("weight", weight)
    if w.ndim not in (1, 2) or not w.size:
        _arguments.wrong("weight", "shape (o, i) or (i,) with extents of at least 1", f"shape {w.shape}")
    if x.ndim < 1 or x.shape[-1] != w.shape[-1]:
        _arguments.wrong("input", f"shape (..., {w.shape[-1]}), as weight has shape {w.shape}", f"shape {x.shape}")
    name = _arguments.activation_name(activation)
    shape = (*x.shape[:-1], *w.shape[:-1])
    b = None
    if bias is not None:
        b = _arguments.plain("bias", bias)
        _arguments.has_shape("bias", b, w.shape[:-1])
        b = b.reshape(-1)
    _arguments.same_dtype("input", x, ("weight", w), ("bias", b))
    if out is not None:
        out = _arguments.output(out, shape, w.dtype, [("input", input), ("weight", weight), ("bias", bias)])
    matrix = w if w.ndim == 2 else w[None]
    conv = _arguments.conv2d((1, 1, matrix.shape[1]), (1, 1, *matrix.shape[::-1]), 1, 0, 1, 1, "NHWC")

    def make() -> _core.ConvPlan:
        return _arguments.plan_conv(conv, _core.FORWARD, matrix.dtype, activation=name)

    plain = _arguments.plain("input", x)
    fitting = out if w.ndim == 2 else None
    for key, target in (((activation,), fitting), ((name,), fitting), ((name,), None)):
        result = _core.linear(plain, matrix, b, key, target, make)
        if result is not None:
            break
    return _arguments.delivered(result if result is None or result is out else result.reshape(shape), out)


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
