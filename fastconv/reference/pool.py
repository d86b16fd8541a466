"""Pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv.reference.shapes import (
    Array,
    Edges,
    Indices,
    Padding,
    Pair,
    nchw,
    output_size,
    padding_edges,
    pair,
    restore,
    shape_nchw,
    tap,
)


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
    kernel, spread = pair(kernel_size), pair(dilation)
    step = kernel if stride is None else pair(stride)
    rows, columns = size[-2:]
    edges = padding_edges(padding, (rows, columns), kernel, step, spread)
    out = output_size((rows, columns), kernel, step, edges, spread, ceil_mode)
    reach = []
    for i, k, s, d, o, (before, after) in zip((rows, columns), kernel, step, spread, out, edges, strict=True):
        reach.append((before, max(after, (o - 1) * s + (k - 1) * d + 1 - before - i)))
    taps = [tap(i, j, out, step, spread) for i in range(kernel[0]) for j in range(kernel[1])]
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
    images, batched = nchw(input, layout)
    taps, _, reach, out = _windows(images.shape, kernel_size, stride, padding, dilation, ceil_mode)
    padded = np.pad(images, ((0, 0), (0, 0), *reach))
    positions = np.pad(_plane_positions(*images.shape[2:]), ((0, 0), (0, 0), *reach), constant_values=-1)
    best = np.full((*images.shape[:2], *out), -np.inf)
    where = np.full(best.shape, -1)
    for pixels in taps:
        _take_maximum(best, where, padded[pixels], positions[pixels])
    values = restore(best, layout, batched)
    return (values, restore(where, layout, batched)) if return_indices else values


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
    images, batched = nchw(input, layout)
    gradient = nchw(grad_output, layout)[0]
    _, where = max_pool2d(images, kernel_size, stride, padding, dilation, ceil_mode, return_indices=True)
    n, c, h, w = images.shape
    return restore(_scatter((n, c, h, w), gradient, where), layout, batched)


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
    images, batched = nchw(input, layout)
    taps, edges, reach, _ = _windows(images.shape, kernel_size, stride, padding, 1, ceil_mode)
    divisor = _average_divisor(images.shape, taps, edges, reach, count_include_pad)
    padded = np.pad(images, ((0, 0), (0, 0), *reach))
    total = np.asarray(sum(padded[tap] for tap in taps), np.float64)
    with np.errstate(invalid="ignore"):  # the mean of no position at all is NaN
        means = total / (divisor if divisor_override is None else divisor_override)
    return restore(means, layout, batched)


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
    (n, c, h, w), batched = shape_nchw(input_size, layout)
    gradient = nchw(grad_output, layout)[0]
    taps, edges, reach, _ = _windows((h, w), kernel_size, stride, padding, 1, ceil_mode)
    divisor = _average_divisor((h, w), taps, edges, reach, count_include_pad)
    # A window of no position at all gives nobody anything.
    share = gradient / (np.maximum(divisor, 1) if divisor_override is None else divisor_override)
    (top, bottom), (left, right) = reach
    padded = np.zeros((n, c, h + top + bottom, w + left + right))
    for pixels in taps:
        padded[pixels] += share
    return restore(padded[:, :, top : top + h, left : left + w], layout, batched)


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
    images, batched = nchw(input, layout)
    out, grid = _adaptive_grid(images.shape[2:], output_size)
    result = np.empty((*images.shape[:2], *out))
    for (i, j), (rows, columns) in grid:
        result[:, :, i, j] = images[:, :, rows, columns].mean(axis=(2, 3))
    return restore(result, layout, batched)


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
    shape, batched = shape_nchw(input_size, layout)
    gradient = nchw(grad_output, layout)[0]
    result = np.zeros(shape)
    for (i, j), (rows, columns) in _adaptive_grid(shape[2:], gradient.shape[2:])[1]:
        window = result[:, :, rows, columns]
        window += gradient[:, :, i : i + 1, j : j + 1] / (window.shape[2] * window.shape[3])
    return restore(result, layout, batched)


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
    images, batched = nchw(input, layout)
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
    values = restore(best, layout, batched)
    return (values, restore(where, layout, batched)) if return_indices else values


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
    images, batched = nchw(input, layout)
    gradient = nchw(grad_output, layout)[0]
    _, where = adaptive_max_pool2d(images, gradient.shape[2:], return_indices=True)
    n, c, h, w = images.shape
    return restore(_scatter((n, c, h, w), gradient, where), layout, batched)
