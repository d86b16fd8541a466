"""What is right: every operator in plain NumPy and float64, for the tests and for reading.

The functions carry the names and arguments of :mod:`fastconv.functional` and of the convolutions' gradients in
:mod:`fastconv.grad`; the gradient of any other operator is called ``<operator>_backward``. They convert what they get
to float64, return new float64 arrays, loop over the positions of the kernel, and check hardly anything: the arguments
are taken to be valid. Nothing else in the package uses this module.

Dimensions: ``n`` images, ``c`` channels, ``h`` rows, ``w`` columns; ``k`` output channels; ``g`` groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[np.float64]
Indices: TypeAlias = NDArray[np.int64]
Layout: TypeAlias = Literal["NCHW", "NHWC"]
Pair: TypeAlias = int | Sequence[int]
Padding: TypeAlias = str | int | Sequence[int] | Sequence[Sequence[int]]
Edges: TypeAlias = tuple[tuple[int, int], tuple[int, int]]

_PAD_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


# ---------------------------------------------------------------------------------------------------------------------
# Shapes


def _pair(value: Pair) -> tuple[int, int]:
    """``value`` for rows and for columns."""
    if isinstance(value, int | np.integer):
        return int(value), int(value)
    first, second = value
    return int(first), int(second)


def padding_edges(padding: Padding, size: Pair, kernel: Pair, stride: Pair = 1, dilation: Pair = 1) -> Edges:
    """Bring padding of any form to ``((top, bottom), (left, right))``.

    Parameters
    ----------
    padding : {"valid", "same", "same_lower"}, int, (h, w) or ((top, bottom), (left, right))
        ``"same"`` makes ``ceil(size / stride)`` outputs and puts an odd pixel at the end, ``"same_lower"`` at the
        start.
    size, kernel, stride, dilation : int or pair of int
        For rows and columns.

    Returns
    -------
    tuple
        Four non-negative extents.

    Raises
    ------
    ValueError
        If ``padding`` is an unknown word.

    Examples
    --------
    >>> padding_edges("same", size=5, kernel=3)
    ((1, 1), (1, 1))
    >>> padding_edges("same", size=(6, 7), kernel=(4, 2), stride=2)
    ((1, 1), (0, 1))
    >>> padding_edges("same_lower", size=6, kernel=2)
    ((1, 0), (1, 0))
    """
    if isinstance(padding, str):
        if padding not in ("valid", "same", "same_lower"):
            raise ValueError(f"padding must be 'valid', 'same' or 'same_lower', got {padding!r}")
        edges = []
        for i, k, s, d in zip(_pair(size), _pair(kernel), _pair(stride), _pair(dilation), strict=True):
            total = 0 if padding == "valid" else max((math.ceil(i / s) - 1) * s + (k - 1) * d + 1 - i, 0)
            edges.append((total // 2, total - total // 2) if padding == "same" else (total - total // 2, total // 2))
        return edges[0], edges[1]
    if isinstance(padding, int | np.integer):
        return (int(padding), int(padding)), (int(padding), int(padding))
    rows, columns = padding
    return _ends(rows), _ends(columns)


def _ends(value: Any) -> tuple[int, int]:
    return _pair(value)


def output_size(
    size: Pair, kernel: Pair, stride: Pair = 1, padding: Padding = 0, dilation: Pair = 1, ceil_mode: bool = False
) -> tuple[int, int]:
    """Rows and columns of a convolution's or a pooling's output: ``floor((n - k + 2p) / s) + 1`` for each.

    Parameters
    ----------
    size, kernel, stride, dilation : int or pair of int
        For rows and columns.
    padding : str, int or sequence
        As in :func:`padding_edges`.
    ceil_mode : bool
        Round up, but drop a window that would start in the bottom or right padding (torch's rule).

    Returns
    -------
    (oh, ow) : tuple of int

    Examples
    --------
    A 5x5 image under a 3x3 filter, "valid" and "same":

    >>> output_size(5, 3), output_size(5, 3, padding="same")
    ((3, 3), (5, 5))

    A stride that does not divide, an image that is not square, padding of one's own:

    >>> output_size(7, 3, stride=2), output_size(8, 3, stride=2)
    ((3, 3), (3, 3))
    >>> output_size((32, 20), (5, 3), stride=(3, 2), padding=((2, 0), (1, 1)))
    (10, 10)
    >>> output_size(6, 3, stride=2), output_size(6, 3, stride=2, ceil_mode=True)
    ((2, 2), (3, 3))
    """
    edges = padding_edges(padding, size, kernel, stride, dilation)
    result = []
    for i, k, s, d, (before, after) in zip(
        _pair(size), _pair(kernel), _pair(stride), _pair(dilation), edges, strict=True
    ):
        steps = i + before + after - ((k - 1) * d + 1)
        count = (math.ceil(steps / s) if ceil_mode else steps // s) + 1
        if ceil_mode and (count - 1) * s >= i + before:
            count -= 1
        result.append(count)
    return result[0], result[1]


def _nchw(array: ArrayLike, layout: str) -> tuple[Array, bool]:
    """Images as float64 (n, c, h, w), and whether there was a batch axis."""
    images = np.asarray(array).astype(np.float64)
    batched = images.ndim == 4
    if not batched:
        images = images[None]
    return (images if layout == "NCHW" else images.transpose(0, 3, 1, 2)), batched


def _restore(images: NDArray[Any], layout: str, batched: bool) -> NDArray[Any]:
    """Undo ``_nchw``."""
    images = images if layout == "NCHW" else images.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images if batched else images[0])


def _shape_nchw(shape: Sequence[int], layout: str) -> tuple[tuple[int, int, int, int], bool]:
    batched = len(shape) == 4
    a, b, c, d = shape if batched else (1, *shape)
    return ((a, b, c, d) if layout == "NCHW" else (a, d, b, c)), batched


def _oihw(weight: ArrayLike, layout: str) -> Array:
    weights = np.asarray(weight).astype(np.float64)
    return weights if layout == "NCHW" else weights.transpose(3, 2, 0, 1)


def _pad(images: Array, edges: Edges, mode: str = "zeros") -> Array:
    return np.pad(images, ((0, 0), (0, 0), *edges), mode=_PAD_MODES[mode])  # type: ignore[call-overload, no-any-return]


def _tap(i: int, j: int, out: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]) -> tuple[Any, ...]:
    """Which padded pixels kernel position ``(i, j)`` meets, one for each output pixel."""
    (oh, ow), (sh, sw), (dh, dw) = out, stride, dilation
    rows = slice(i * dh, i * dh + (oh - 1) * sh + 1, sh) if oh else slice(0, 0)
    columns = slice(j * dw, j * dw + (ow - 1) * sw + 1, sw) if ow else slice(0, 0)
    return ..., rows, columns


# ---------------------------------------------------------------------------------------------------------------------
# Convolution


def conv2d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
    *,
    layout: str = "NCHW",
    activation: str | None = None,
    padding_mode: str = "zeros",
) -> Array:
    """Two-dimensional cross-correlation, as ``torch.nn.functional.conv2d``.

    Parameters
    ----------
    input : array_like, shape (n, c, h, w) or (c, h, w); "NHWC": (n, h, w, c) or (h, w, c)
    weight : array_like, shape (k, c / groups, kh, kw); "NHWC": (kh, kw, c / groups, k)
    bias : array_like, shape (k,), optional
    stride, dilation : int or pair of int
    padding : {"valid", "same", "same_lower"}, int, (h, w) or ((top, bottom), (left, right))
    groups : int
        Output channels ``[i*k/g, (i+1)*k/g)`` see input channels ``[i*c/g, (i+1)*c/g)`` only.
    layout : {"NCHW", "NHWC"}
    activation : str, optional
        Name of one of this module's activations, taken with its defaults.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}

    Returns
    -------
    ndarray of float64, shape (n, k, oh, ow); "NHWC": (n, oh, ow, k)

    Examples
    --------
    A vertical edge under the filter 1 0 -1:

    >>> image = np.tile([10, 10, 10, 0, 0, 0], (6, 1))
    >>> edge = np.tile([1, 0, -1], (3, 1))
    >>> conv2d(image[None, None], edge[None, None])[0, 0]
    array([[ 0., 30., 30.,  0.],
           [ 0., 30., 30.,  0.],
           [ 0., 30., 30.,  0.],
           [ 0., 30., 30.,  0.]])

    Twelve filters on a colour picture, "same"; forty 5x5 filters, "valid", have ``(5*5*3 + 1) * 40`` parameters:

    >>> conv2d(np.ones((1, 32, 32, 3)), np.ones((3, 3, 3, 12)), padding="same", layout="NHWC").shape
    (1, 32, 32, 12)
    >>> weight, bias = np.ones((5, 5, 3, 40)), np.zeros(40)
    >>> conv2d(np.ones((1, 128, 128, 3)), weight, bias, layout="NHWC").shape
    (1, 124, 124, 40)
    >>> weight.size + bias.size
    3040
    """
    images, batched = _nchw(input, layout)
    weights = _oihw(weight, layout)
    stride, dilation = _pair(stride), _pair(dilation)
    edges = padding_edges(padding, images.shape[2:], weights.shape[2:], stride, dilation)
    (n, c, *size), (k, _, kh, kw) = images.shape, weights.shape
    out = output_size(size, (kh, kw), stride, edges, dilation)
    padded = _pad(images, edges, padding_mode)
    padded = padded.reshape(n, groups, c // groups, *padded.shape[2:])
    weights = weights.reshape(groups, k // groups, c // groups, kh, kw)
    result = np.zeros((n, groups, k // groups, *out))
    for i in range(kh):
        for j in range(kw):
            pixels = padded[_tap(i, j, out, stride, dilation)]
            result += np.einsum("ngchw,gkc->ngkhw", pixels, weights[..., i, j])
    result = result.reshape(n, k, *out)
    if bias is not None:
        result += np.asarray(bias).astype(np.float64)[:, None, None]
    if activation is not None:
        result = ACTIVATIONS[activation](result)
    return _restore(result, layout, batched)


def conv2d_input(
    input_size: Sequence[int],
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
    *,
    layout: str = "NCHW",
) -> Array:
    """Gradient of :func:`conv2d` with respect to its input, as ``torch.nn.grad.conv2d_input``.

    Parameters
    ----------
    input_size : sequence of int
        Shape of the input, in ``layout``.
    weight, stride, padding, dilation, groups, layout
        As in :func:`conv2d`.
    grad_output : array_like, shape (n, k, oh, ow); "NHWC": (n, oh, ow, k)

    Returns
    -------
    ndarray of float64, shape input_size

    Examples
    --------
    >>> conv2d_input((1, 1, 3, 3), np.array([[[[1, 2]]]]), np.ones((1, 1, 3, 2)))[0, 0]
    array([[1., 3., 2.],
           [1., 3., 2.],
           [1., 3., 2.]])
    """
    (n, c, h, w), batched = _shape_nchw(input_size, layout)
    gradient, weights = _nchw(grad_output, layout)[0], _oihw(weight, layout)
    stride, dilation = _pair(stride), _pair(dilation)
    k, _, kh, kw = weights.shape
    (top, bottom), (left, right) = edges = padding_edges(padding, (h, w), (kh, kw), stride, dilation)
    out = output_size((h, w), (kh, kw), stride, edges, dilation)
    gradient = gradient.reshape(n, groups, k // groups, *out)
    weights = weights.reshape(groups, k // groups, c // groups, kh, kw)
    padded = np.zeros((n, groups, c // groups, h + top + bottom, w + left + right))
    for i in range(kh):
        for j in range(kw):
            pixels = padded[_tap(i, j, out, stride, dilation)]
            pixels += np.einsum("ngkhw,gkc->ngchw", gradient, weights[..., i, j])
    inner = padded.reshape(n, c, *padded.shape[3:])[:, :, top : top + h, left : left + w]
    return _restore(inner, layout, batched)


def conv2d_weight(
    input: ArrayLike,
    weight_size: Sequence[int],
    grad_output: ArrayLike,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
    *,
    layout: str = "NCHW",
) -> Array:
    """Gradient of :func:`conv2d` with respect to its weight, as ``torch.nn.grad.conv2d_weight``.

    Parameters
    ----------
    input, stride, padding, dilation, groups, layout
        As in :func:`conv2d`.
    weight_size : sequence of int
        Shape of the weight, in ``layout``.
    grad_output : array_like, shape (n, k, oh, ow); "NHWC": (n, oh, ow, k)

    Returns
    -------
    ndarray of float64, shape weight_size

    Examples
    --------
    >>> image = np.arange(6.0).reshape(1, 1, 2, 3)
    >>> conv2d_weight(image, (1, 1, 1, 2), np.ones((1, 1, 2, 2)))
    array([[[[ 8., 12.]]]])
    """
    images, gradient = _nchw(input, layout)[0], _nchw(grad_output, layout)[0]
    stride, dilation = _pair(stride), _pair(dilation)
    if layout == "NCHW":
        k, _, kh, kw = weight_size
    else:
        kh, kw, _, k = weight_size
    n, c, *size = images.shape
    edges = padding_edges(padding, size, (kh, kw), stride, dilation)
    out = output_size(size, (kh, kw), stride, edges, dilation)
    padded = _pad(images, edges)
    padded = padded.reshape(n, groups, c // groups, *padded.shape[2:])
    gradient = gradient.reshape(n, groups, k // groups, *out)
    result = np.zeros((groups, k // groups, c // groups, kh, kw))
    for i in range(kh):
        for j in range(kw):
            pixels = padded[_tap(i, j, out, stride, dilation)]
            result[..., i, j] = np.einsum("ngchw,ngkhw->gkc", pixels, gradient)
    weights = result.reshape(k, c // groups, kh, kw)
    return np.ascontiguousarray(weights if layout == "NCHW" else weights.transpose(2, 3, 1, 0))


def conv2d_bias(grad_output: ArrayLike, *, layout: str = "NCHW") -> Array:
    """Gradient of :func:`conv2d` with respect to its bias: the sum over everything but channels.

    Parameters
    ----------
    grad_output : array_like, shape (n, k, oh, ow); "NHWC": (n, oh, ow, k)
    layout : {"NCHW", "NHWC"}

    Returns
    -------
    ndarray of float64, shape (k,)

    Examples
    --------
    >>> conv2d_bias(np.ones((2, 3, 4, 5)))
    array([40., 40., 40.])
    """
    return np.asarray(_nchw(grad_output, layout)[0].sum(axis=(0, 2, 3)))


def linear(
    input: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, *, activation: str | None = None
) -> Array:
    """``input @ weight.T + bias``, as ``torch.nn.functional.linear``.

    Parameters
    ----------
    input : array_like, shape (..., c)
    weight : array_like, shape (k, c)
    bias : array_like, shape (k,), optional
    activation : str, optional
        Name of one of this module's activations, taken with its defaults.

    Returns
    -------
    ndarray of float64, shape (..., k)

    Examples
    --------
    >>> linear([[1, 2]], [[3, 4], [5, 6]], [10, 20])
    array([[21., 37.]])
    """
    result = np.einsum("...c,kc->...k", np.asarray(input).astype(np.float64), np.asarray(weight).astype(np.float64))
    if bias is not None:
        result = result + np.asarray(bias).astype(np.float64)
    return np.asarray(result if activation is None else ACTIVATIONS[activation](result))


# ---------------------------------------------------------------------------------------------------------------------
# Pooling


def _windows(
    size: Sequence[int],
    kernel_size: Pair,
    stride: Pair | None,
    padding: Padding,
    dilation: Pair = 1,
    ceil_mode: bool = False,
) -> tuple[list[tuple[Any, ...]], Edges, Edges, tuple[int, int]]:
    """Prepare what the four pools have in common.

    Slices of the padded input, one for each position of the window; the padding that was asked for; that padding with
    what a last window may reach over on top (``ceil_mode``); and the size of the output.
    """
    kernel, spread = _pair(kernel_size), _pair(dilation)
    step = kernel if stride is None else _pair(stride)
    rows, columns = size[-2:]
    edges = padding_edges(padding, (rows, columns), kernel, step, spread)
    out = output_size((rows, columns), kernel, step, edges, spread, ceil_mode)
    reach = []
    for i, k, s, d, o, (before, after) in zip((rows, columns), kernel, step, spread, out, edges, strict=True):
        reach.append((before, max(after, (o - 1) * s + (k - 1) * d + 1 - before - i)))
    taps = [_tap(i, j, out, step, spread) for i in range(kernel[0]) for j in range(kernel[1])]
    return taps, edges, (reach[0], reach[1]), out


def _plane_positions(h: int, w: int) -> NDArray[np.int64]:
    return np.arange(h * w, dtype=np.int64).reshape(1, 1, h, w)


def _take_maximum(best: Array, where: Indices, value: Array, position: Indices) -> None:
    """Let ``value`` win where it is the first pixel of its window, or larger, or NaN; padding (-1) never wins."""
    wins = (position >= 0) & ((where < 0) | (value > best) | np.isnan(value))
    best[wins] = value[wins]
    where[wins] = np.broadcast_to(position, value.shape)[wins]


def max_pool2d(
    input: ArrayLike,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    layout: str = "NCHW",
) -> Any:
    """Largest value of each window, as ``torch.nn.functional.max_pool2d``.

    Parameters
    ----------
    input : array_like, shape (n, c, h, w) or (c, h, w); "NHWC": (n, h, w, c) or (h, w, c)
    kernel_size, dilation : int or pair of int
    stride : int or pair of int, optional
        ``kernel_size`` by default.
    padding : str, int or sequence
        As in :func:`conv2d`. Padding never wins.
    ceil_mode : bool
        As in :func:`output_size`.
    return_indices : bool
        Return also where each value stood: ``row * w + column`` within its plane, in both layouts. The first of equal
        values counts, and the last NaN of a window that has any.
    layout : {"NCHW", "NHWC"}

    Returns
    -------
    ndarray of float64, shape (n, c, oh, ow) in ``layout``, or a pair of that and the indices as int64

    Examples
    --------
    >>> image = np.array([[1, 3, 2, 1], [2, 9, 1, 1], [1, 3, 2, 3], [5, 6, 1, 2]])
    >>> values, indices = max_pool2d(image[None, None], 2, return_indices=True)
    >>> values[0, 0]
    array([[9., 2.],
           [6., 3.]])
    >>> indices[0, 0]
    array([[ 5,  2],
           [13, 11]])
    >>> max_pool2d(np.ones((1, 32, 32, 12)), 2, layout="NHWC").shape
    (1, 16, 16, 12)
    """
    images, batched = _nchw(input, layout)
    taps, _, reach, out = _windows(images.shape, kernel_size, stride, padding, dilation, ceil_mode)
    padded = np.pad(images, ((0, 0), (0, 0), *reach))
    positions = np.pad(_plane_positions(*images.shape[2:]), ((0, 0), (0, 0), *reach), constant_values=-1)
    best = np.full((*images.shape[:2], *out), -np.inf)
    where = np.full(best.shape, -1)
    for tap in taps:
        _take_maximum(best, where, padded[tap], positions[tap])
    values = _restore(best, layout, batched)
    return (values, _restore(where, layout, batched)) if return_indices else values


def _scatter(shape: tuple[int, int, int, int], gradient: Array, where: Indices) -> Array:
    """Add each value of ``gradient`` at its place in its plane; -1 is no place."""
    n, c, h, w = shape
    result = np.zeros((n, c, h * w))
    image, channel, row, column = np.nonzero(where >= 0)
    np.add.at(result, (image, channel, where[image, channel, row, column]), gradient[image, channel, row, column])
    return result.reshape(shape)


def max_pool2d_backward(
    input: ArrayLike,
    grad_output: ArrayLike,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
    *,
    layout: str = "NCHW",
) -> Array:
    """Gradient of :func:`max_pool2d`: each value goes to the pixel that won.

    Parameters
    ----------
    input, kernel_size, stride, padding, dilation, ceil_mode, layout
        As in :func:`max_pool2d`.
    grad_output : array_like, shape (n, c, oh, ow) in ``layout``

    Returns
    -------
    ndarray of float64, shape of input

    Examples
    --------
    >>> max_pool2d_backward([[[1, 3, 2]]], [[[10, 20]]], (1, 2), stride=1)
    array([[[ 0., 30.,  0.]]])
    """
    images, batched = _nchw(input, layout)
    gradient = _nchw(grad_output, layout)[0]
    _, where = max_pool2d(images, kernel_size, stride, padding, dilation, ceil_mode, return_indices=True)
    n, c, h, w = images.shape
    return _restore(_scatter((n, c, h, w), gradient, where), layout, batched)


def _average_divisor(
    size: Sequence[int], taps: list[tuple[Any, ...]], edges: Edges, reach: Edges, count_include_pad: bool
) -> Array:
    """How many positions of each window count: those inside the input, or inside the padding that was asked for."""
    counts = np.ones((size[-2], size[-1]))
    if count_include_pad:
        counts = np.pad(counts, edges, constant_values=1)
        rest = tuple((0, all_[1] - asked[1]) for all_, asked in zip(reach, edges, strict=True))
    else:
        rest = reach
    counts = np.pad(counts, rest)
    return np.asarray(sum(counts[tap] for tap in taps), np.float64)


def avg_pool2d(
    input: ArrayLike,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    layout: str = "NCHW",
) -> Array:
    """Mean of each window, as ``torch.nn.functional.avg_pool2d``.

    Parameters
    ----------
    input : array_like, shape (n, c, h, w) or (c, h, w); "NHWC": (n, h, w, c) or (h, w, c)
    kernel_size : int or pair of int
    stride : int or pair of int, optional
        ``kernel_size`` by default.
    padding : str, int or sequence
        As in :func:`conv2d`.
    ceil_mode : bool
        As in :func:`output_size`.
    count_include_pad : bool
        Whether padding counts in the divisor. What a window reaches beyond the padding never does.
    divisor_override : int, optional
        Divide by this instead.
    layout : {"NCHW", "NHWC"}

    Returns
    -------
    ndarray of float64, shape (n, c, oh, ow) in ``layout``

    Examples
    --------
    >>> avg_pool2d([[[1, 2, 3, 4]]], (1, 2))
    array([[[1.5, 3.5]]])
    >>> avg_pool2d([[[1, 2, 3, 4]]], (1, 2), padding=(0, 1))
    array([[[0.5, 2.5, 2. ]]])
    >>> avg_pool2d([[[1, 2, 3, 4]]], (1, 2), padding=(0, 1), count_include_pad=False)
    array([[[1. , 2.5, 4. ]]])
    """
    images, batched = _nchw(input, layout)
    taps, edges, reach, _ = _windows(images.shape, kernel_size, stride, padding, 1, ceil_mode)
    divisor = _average_divisor(images.shape, taps, edges, reach, count_include_pad)
    padded = np.pad(images, ((0, 0), (0, 0), *reach))
    total = np.asarray(sum(padded[tap] for tap in taps), np.float64)
    with np.errstate(invalid="ignore"):  # the mean of no position at all is NaN
        means = total / (divisor if divisor_override is None else divisor_override)
    return _restore(means, layout, batched)


def avg_pool2d_backward(
    input_size: Sequence[int],
    grad_output: ArrayLike,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    layout: str = "NCHW",
) -> Array:
    """Gradient of :func:`avg_pool2d`: each value is spread evenly over its window.

    Parameters
    ----------
    input_size : sequence of int
        Shape of the input, in ``layout``.
    grad_output : array_like, shape (n, c, oh, ow) in ``layout``
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, layout
        As in :func:`avg_pool2d`.

    Returns
    -------
    ndarray of float64, shape input_size

    Examples
    --------
    >>> avg_pool2d_backward((1, 1, 3), [[[10, 20]]], (1, 2), stride=1)
    array([[[ 5., 15., 10.]]])
    """
    (n, c, h, w), batched = _shape_nchw(input_size, layout)
    gradient = _nchw(grad_output, layout)[0]
    taps, edges, reach, _ = _windows((h, w), kernel_size, stride, padding, 1, ceil_mode)
    divisor = _average_divisor((h, w), taps, edges, reach, count_include_pad)
    # A window of no position at all gives nobody anything.
    share = gradient / (np.maximum(divisor, 1) if divisor_override is None else divisor_override)
    (top, bottom), (left, right) = reach
    padded = np.zeros((n, c, h + top + bottom, w + left + right))
    for tap in taps:
        padded[tap] += share
    return _restore(padded[:, :, top : top + h, left : left + w], layout, batched)


def _adaptive_windows(size: int, count: int) -> list[slice]:
    """Window ``i`` runs from ``floor(i * size / count)`` to ``ceil((i + 1) * size / count)``."""
    return [slice(i * size // count, -((-(i + 1) * size) // count)) for i in range(count)]


Cell: TypeAlias = tuple[tuple[int, int], tuple[slice, slice]]


def _adaptive_grid(
    size: Sequence[int], wanted: int | Sequence[int | None] | None
) -> tuple[tuple[int, int], list[Cell]]:
    """Rows and columns of the output, and for each of its pixels the window."""
    pair = (wanted, wanted) if wanted is None or isinstance(wanted, int | np.integer) else tuple(wanted)
    oh, ow = (s if p is None else int(p) for s, p in zip(size, pair, strict=True))
    rows, columns = _adaptive_windows(size[0], oh), _adaptive_windows(size[1], ow)
    return (oh, ow), [((i, j), (rows[i], columns[j])) for i in range(oh) for j in range(ow)]


def adaptive_avg_pool2d(
    input: ArrayLike, output_size: int | Sequence[int | None] | None, *, layout: str = "NCHW"
) -> Array:
    """Means of windows that divide the input evenly, as ``torch.nn.functional.adaptive_avg_pool2d``.

    Parameters
    ----------
    input : array_like, shape (n, c, h, w) or (c, h, w); "NHWC": (n, h, w, c) or (h, w, c)
    output_size : int, None or a pair of them
        Rows and columns of the output; None keeps the input's.
    layout : {"NCHW", "NHWC"}

    Returns
    -------
    ndarray of float64, shape (n, c, oh, ow) in ``layout``

    Examples
    --------
    >>> adaptive_avg_pool2d([[[1, 2, 3, 4, 5]]], (1, 2))
    array([[[2., 4.]]])
    """
    images, batched = _nchw(input, layout)
    out, grid = _adaptive_grid(images.shape[2:], output_size)
    result = np.empty((*images.shape[:2], *out))
    for (i, j), (rows, columns) in grid:
        result[:, :, i, j] = images[:, :, rows, columns].mean(axis=(2, 3))
    return _restore(result, layout, batched)


def adaptive_avg_pool2d_backward(input_size: Sequence[int], grad_output: ArrayLike, *, layout: str = "NCHW") -> Array:
    """Gradient of :func:`adaptive_avg_pool2d`.

    Parameters
    ----------
    input_size : sequence of int
        Shape of the input, in ``layout``.
    grad_output : array_like, shape (n, c, oh, ow) in ``layout``
    layout : {"NCHW", "NHWC"}

    Returns
    -------
    ndarray of float64, shape input_size

    Examples
    --------
    >>> adaptive_avg_pool2d_backward((1, 1, 5), [[[3, 6]]])
    array([[[1., 1., 3., 2., 2.]]])
    """
    shape, batched = _shape_nchw(input_size, layout)
    gradient = _nchw(grad_output, layout)[0]
    result = np.zeros(shape)
    for (i, j), (rows, columns) in _adaptive_grid(shape[2:], gradient.shape[2:])[1]:
        window = result[:, :, rows, columns]
        window += gradient[:, :, i : i + 1, j : j + 1] / (window.shape[2] * window.shape[3])
    return _restore(result, layout, batched)


def adaptive_max_pool2d(
    input: ArrayLike,
    output_size: int | Sequence[int | None] | None,
    return_indices: bool = False,
    *,
    layout: str = "NCHW",
) -> Any:
    """Maxima of windows that divide the input evenly, as ``torch.nn.functional.adaptive_max_pool2d``.

    Parameters
    ----------
    input : array_like, shape (n, c, h, w) or (c, h, w); "NHWC": (n, h, w, c) or (h, w, c)
    output_size : int, None or a pair of them
        Rows and columns of the output; None keeps the input's.
    return_indices : bool
        As in :func:`max_pool2d`.
    layout : {"NCHW", "NHWC"}

    Returns
    -------
    ndarray of float64, shape (n, c, oh, ow) in ``layout``, or a pair of that and the indices as int64

    Examples
    --------
    >>> adaptive_max_pool2d([[[1, 5, 3, 4, 2]]], (1, 2), return_indices=True)
    (array([[[5., 4.]]]), array([[[1, 3]]]))
    """
    images, batched = _nchw(input, layout)
    out, grid = _adaptive_grid(images.shape[2:], output_size)
    positions = _plane_positions(*images.shape[2:])
    best = np.full((*images.shape[:2], *out), -np.inf)
    where = np.full(best.shape, -1)
    for (i, j), (rows, columns) in grid:
        for row in range(rows.start, rows.stop):
            for column in range(columns.start, columns.stop):
                pixel = (..., slice(row, row + 1), slice(column, column + 1))
                cell = (..., slice(i, i + 1), slice(j, j + 1))
                _take_maximum(best[cell], where[cell], images[pixel], positions[pixel])
    values = _restore(best, layout, batched)
    return (values, _restore(where, layout, batched)) if return_indices else values


def adaptive_max_pool2d_backward(input: ArrayLike, grad_output: ArrayLike, *, layout: str = "NCHW") -> Array:
    """Gradient of :func:`adaptive_max_pool2d`.

    Parameters
    ----------
    input : array_like
        As in :func:`adaptive_max_pool2d`.
    grad_output : array_like, shape (n, c, oh, ow) in ``layout``
    layout : {"NCHW", "NHWC"}

    Returns
    -------
    ndarray of float64, shape of input

    Examples
    --------
    >>> adaptive_max_pool2d_backward([[[1, 5, 3, 4, 2]]], [[[10, 20]]])
    array([[[ 0., 10.,  0., 20.,  0.]]])
    """
    images, batched = _nchw(input, layout)
    gradient = _nchw(grad_output, layout)[0]
    _, where = adaptive_max_pool2d(images, gradient.shape[2:], return_indices=True)
    n, c, h, w = images.shape
    return _restore(_scatter((n, c, h, w), gradient, where), layout, batched)


# ---------------------------------------------------------------------------------------------------------------------
# Activations. Each takes an array of any shape and returns float64 of that shape, as torch.nn.functional's of its name.


def _float64(value: ArrayLike) -> Array:
    return np.asarray(value).astype(np.float64)


def relu(input: ArrayLike) -> Array:
    """``max(x, 0)``; NaN stays.

    >>> relu([-1, 0, 2])
    array([0., 0., 2.])
    """
    return np.maximum(_float64(input), 0.0)


def relu6(input: ArrayLike) -> Array:
    """``min(max(x, 0), 6)``.

    >>> relu6([-1, 2, 8])
    array([0., 2., 6.])
    """
    return np.minimum(np.maximum(_float64(input), 0.0), 6.0)


def leaky_relu(input: ArrayLike, negative_slope: float = 0.01) -> Array:
    """``x`` where positive, else ``negative_slope * x``.

    >>> leaky_relu([-1, 2], 0.25)
    array([-0.25,  2.  ])
    """
    x = _float64(input)
    return np.where(x > 0, x, negative_slope * x)


def elu(input: ArrayLike, alpha: float = 1.0) -> Array:
    """``x`` where positive, else ``alpha * (exp(x) - 1)``.

    >>> elu([-np.inf, 0, 2])
    array([-1.,  0.,  2.])
    """
    x = _float64(input)
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0)))


def selu(input: ArrayLike) -> Array:
    """``1.0507 * elu(x, 1.6733)``, the constants in full being those of Klambauer et al. 2017.

    >>> selu([-np.inf, 0, 1]).round(4)
    array([-1.7581,  0.    ,  1.0507])
    """
    return _SELU_SCALE * elu(input, _SELU_ALPHA)


def sigmoid(input: ArrayLike) -> Array:
    """``1 / (1 + exp(-x))``.

    >>> sigmoid([-np.inf, 0, np.inf])
    array([0. , 0.5, 1. ])
    """
    x = _float64(input)
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1.0 + small)


def tanh(input: ArrayLike) -> Array:
    """Hyperbolic tangent.

    >>> tanh([-np.inf, 0, np.inf])
    array([-1.,  0.,  1.])
    """
    return np.tanh(_float64(input))


def silu(input: ArrayLike) -> Array:
    """``x * sigmoid(x)``.

    >>> silu([0, 100])
    array([  0., 100.])
    """
    with np.errstate(invalid="ignore"):
        return _float64(input) * sigmoid(input)


def _normal_cdf(x: Array) -> Array:
    """Probability that a standard normal variable is at most ``x``."""
    return np.asarray(np.vectorize(lambda v: 0.5 * math.erfc(-v / math.sqrt(2)), otypes=[np.float64])(x), np.float64)


def gelu(input: ArrayLike, approximate: str = "none") -> Array:
    """``x`` times the normal distribution's ``P(X <= x)``; ``approximate="tanh"``: by its usual approximation.

    >>> gelu([0, 1, 100]).round(4)
    array([  0.    ,   0.8413, 100.    ])
    >>> gelu([0, 1, 100], approximate="tanh").round(4)
    array([  0.    ,   0.8412, 100.    ])
    """
    x = _float64(input)
    with np.errstate(invalid="ignore", over="ignore"):
        if approximate == "tanh":
            return x * sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
        return x * _normal_cdf(x)


def softplus(input: ArrayLike, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """``log(1 + exp(beta * x)) / beta``, and ``x`` where ``beta * x > threshold``.

    >>> softplus([-np.inf, 0, 30]).round(4)
    array([ 0.    ,  0.6931, 30.    ])
    """
    x = _float64(input)
    return np.where(beta * x > threshold, x, np.log1p(np.exp(np.minimum(beta * x, threshold))) / beta)


def hardsigmoid(input: ArrayLike) -> Array:
    """``relu6(x + 3) / 6``.

    >>> hardsigmoid([-4, 0, 4])
    array([0. , 0.5, 1. ])
    """
    return relu6(_float64(input) + 3) / 6


def hardswish(input: ArrayLike) -> Array:
    """``x * relu6(x + 3) / 6``.

    >>> hardswish([-4, 0, 3, 4])
    array([-0.,  0.,  3.,  4.])
    """
    with np.errstate(invalid="ignore"):
        return _float64(input) * hardsigmoid(input)


def _softmax_axis(x: Array, dim: int | None) -> int:
    """Follow torch's rule where no dimension is named: 0 for arrays of 0, 1 or 3 dimensions, else 1."""
    return (0 if x.ndim in (0, 1, 3) else 1) if dim is None else dim


def softmax(input: ArrayLike, dim: int | None = None) -> Array:
    """``exp(x) / sum(exp(x))`` along ``dim`` (by default 0 for arrays of 0, 1 or 3 dimensions, else 1).

    >>> softmax([[0, 0], [1, 1000]])
    array([[0.5, 0.5],
           [0. , 1. ]])
    """
    x = _float64(input)
    axis = _softmax_axis(x, dim)
    if x.ndim == 0:
        return softmax(x[None]).reshape(())
    with np.errstate(invalid="ignore"):
        powers = np.exp(x - x.max(axis=axis, keepdims=True, initial=-np.inf))
        return np.asarray(powers / powers.sum(axis=axis, keepdims=True))


def log_softmax(input: ArrayLike, dim: int | None = None) -> Array:
    """``x - log(sum(exp(x)))`` along ``dim`` (by default as in :func:`softmax`).

    >>> log_softmax([[0, 0], [0, 1000]]).round(4)
    array([[-6.931e-01, -6.931e-01],
           [-1.000e+03,  0.000e+00]])
    """
    x = _float64(input)
    axis = _softmax_axis(x, dim)
    if x.ndim == 0:
        return log_softmax(x[None]).reshape(())
    with np.errstate(invalid="ignore", divide="ignore"):
        shifted = x - x.max(axis=axis, keepdims=True, initial=-np.inf)
        return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True)))


# By the names that a convolution's `activation` takes.
ACTIVATIONS: dict[str, Callable[[ArrayLike], Array]] = {
    "linear": _float64,
    "exp": lambda input: np.exp(_float64(input)),
    "gelu_tanh": lambda input: gelu(input, approximate="tanh"),
}
ACTIVATIONS |= {
    function.__name__: function
    for function in (
        relu, relu6, leaky_relu, elu, selu, sigmoid, tanh, silu, gelu, softplus, hardsigmoid, hardswish
    )
}  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# Gradients of the activations: what arrives at the output, times the derivative. From the output where that tells the
# derivative, else from the input. The derivative at a corner is the one from the left, as torch has it.


def relu_backward(grad_output: ArrayLike, output: ArrayLike) -> Array:
    """Gradient of :func:`relu` from its output.

    >>> relu_backward([5, 5], [0, 2])
    array([0., 5.])
    """
    return _float64(grad_output) * (_float64(output) > 0)


def relu6_backward(grad_output: ArrayLike, output: ArrayLike) -> Array:
    """Gradient of :func:`relu6` from its output.

    >>> relu6_backward([5, 5, 5], [0, 2, 6])
    array([0., 5., 0.])
    """
    y = _float64(output)
    return _float64(grad_output) * ((y > 0) & (y < 6))


def leaky_relu_backward(grad_output: ArrayLike, output: ArrayLike, negative_slope: float = 0.01) -> Array:
    """Gradient of :func:`leaky_relu` from its output.

    >>> leaky_relu_backward([4, 4], [-1, 2], 0.25)
    array([1., 4.])
    """
    return _float64(grad_output) * np.where(_float64(output) > 0, 1.0, negative_slope)


def elu_backward(grad_output: ArrayLike, output: ArrayLike, alpha: float = 1.0) -> Array:
    """Gradient of :func:`elu` from its output.

    >>> elu_backward([4, 4], [-0.5, 2])
    array([2., 4.])
    """
    y = _float64(output)
    return _float64(grad_output) * np.where(y > 0, 1.0, y + alpha)


def selu_backward(grad_output: ArrayLike, output: ArrayLike) -> Array:
    """Gradient of :func:`selu` from its output.

    >>> selu_backward([1, 1], [-1, 2]).round(4)
    array([0.7581, 1.0507])
    """
    y = _float64(output)
    return _float64(grad_output) * np.where(y > 0, _SELU_SCALE, y + _SELU_SCALE * _SELU_ALPHA)


def tanh_backward(grad_output: ArrayLike, output: ArrayLike) -> Array:
    """Gradient of :func:`tanh` from its output.

    >>> tanh_backward([4, 4], [0, 0.5])
    array([4., 3.])
    """
    y = _float64(output)
    return _float64(grad_output) * (1 - y) * (1 + y)


def sigmoid_backward(grad_output: ArrayLike, output: ArrayLike) -> Array:
    """Gradient of :func:`sigmoid` from its output.

    >>> sigmoid_backward([4, 4], [0, 0.5])
    array([0., 1.])
    """
    y = _float64(output)
    return _float64(grad_output) * y * (1 - y)


def hardsigmoid_backward(grad_output: ArrayLike, output: ArrayLike) -> Array:
    """Gradient of :func:`hardsigmoid` from its output.

    >>> hardsigmoid_backward([6, 6, 6], [0, 0.5, 1])
    array([0., 1., 0.])
    """
    y = _float64(output)
    return _float64(grad_output) * ((y > 0) & (y < 1)) / 6


def silu_backward(grad_output: ArrayLike, input: ArrayLike) -> Array:
    """Gradient of :func:`silu` from its input.

    >>> silu_backward([4, 4], [0, 100])
    array([2., 4.])
    """
    x = _float64(input)
    return _float64(grad_output) * sigmoid(x) * (1 + x * sigmoid(-x))


def gelu_backward(grad_output: ArrayLike, input: ArrayLike, approximate: str = "none") -> Array:
    """Gradient of :func:`gelu` from its input.

    >>> gelu_backward([4, 4], [0, 100]), gelu_backward([4, 4], [0, 100], approximate="tanh")
    (array([2., 4.]), array([2., 4.]))
    """
    x = _float64(input)
    if approximate == "tanh":
        factor = 2 * math.sqrt(2 / math.pi)
        inner = factor * (x + 0.044715 * x**3)
        derivative = sigmoid(inner) * (1 + x * sigmoid(-inner) * factor * (1 + 3 * 0.044715 * x**2))
    else:
        derivative = _normal_cdf(x) + x * np.exp(-0.5 * x**2) / math.sqrt(2 * math.pi)
    return _float64(grad_output) * derivative


def softplus_backward(grad_output: ArrayLike, input: ArrayLike, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """Gradient of :func:`softplus` from its input.

    >>> softplus_backward([4, 4], [0, 30])
    array([2., 4.])
    """
    x = _float64(input)
    return _float64(grad_output) * np.where(beta * x > threshold, 1.0, sigmoid(beta * x))


def hardswish_backward(grad_output: ArrayLike, input: ArrayLike) -> Array:
    """Gradient of :func:`hardswish` from its input.

    >>> hardswish_backward([6, 6, 6], [-4, 0, 4])
    array([0., 3., 6.])
    """
    x = _float64(input)
    return _float64(grad_output) * np.where(x <= -3, 0.0, np.where(x < 3, x / 3 + 0.5, 1.0))


def softmax_backward(grad_output: ArrayLike, output: ArrayLike, dim: int | None = None) -> Array:
    """Gradient of :func:`softmax` from its output.

    >>> softmax_backward([1, 0], [0.5, 0.5])
    array([ 0.25, -0.25])
    """
    gradient, y = _float64(grad_output), _float64(output)
    axis = _softmax_axis(y, dim)
    if y.ndim == 0:
        return softmax_backward(gradient[None], y[None]).reshape(())
    return np.asarray(y * (gradient - (gradient * y).sum(axis=axis, keepdims=True)))


def log_softmax_backward(grad_output: ArrayLike, output: ArrayLike, dim: int | None = None) -> Array:
    """Gradient of :func:`log_softmax` from its output.

    >>> log_softmax_backward([1, 0], np.log([0.5, 0.5]))
    array([ 0.5, -0.5])
    """
    gradient, y = _float64(grad_output), _float64(output)
    axis = _softmax_axis(y, dim)
    if y.ndim == 0:
        return log_softmax_backward(gradient[None], y[None]).reshape(())
    return np.asarray(gradient - np.exp(y) * gradient.sum(axis=axis, keepdims=True))
