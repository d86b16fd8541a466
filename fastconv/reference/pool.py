"""Pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv.reference.shapes import (
    Array,
    Axes,
    Edges,
    Indices,
    Padding,
    channels_first,
    output_size,
    padding_edges,
    per_axis,
    restore,
    shape_channels_first,
    tap,
    unpadded,
)

Options: TypeAlias = tuple[Axes, Axes | None, Padding, Axes, bool, str]


def max_pool2d(
    input: ArrayLike,
    kernel_size: Axes,
    stride: Axes | None = None,
    padding: Padding = 0,
    dilation: Axes = 1,
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
    options = (kernel_size, stride, padding, dilation, ceil_mode, layout)
    return _maxima(2, input, options, return_indices)


def max_pool2d_backward(
    input: ArrayLike,
    grad_output: ArrayLike,
    kernel_size: Axes,
    stride: Axes | None = None,
    padding: Padding = 0,
    dilation: Axes = 1,
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
    options = (kernel_size, stride, padding, dilation, ceil_mode, layout)
    return _maxima_backward(2, input, grad_output, options)


def avg_pool2d(
    input: ArrayLike,
    kernel_size: Axes,
    stride: Axes | None = None,
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
    options = (kernel_size, stride, padding, 1, ceil_mode, layout)
    return _means(2, input, options, count_include_pad, divisor_override)


def avg_pool2d_backward(
    input_size: Sequence[int],
    grad_output: ArrayLike,
    kernel_size: Axes,
    stride: Axes | None = None,
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
    options = (kernel_size, stride, padding, 1, ceil_mode, layout)
    return _means_backward(2, input_size, grad_output, options, count_include_pad, divisor_override)


def max_pool1d(
    input: ArrayLike,
    kernel_size: Axes,
    stride: Axes | None = None,
    padding: Padding = 0,
    dilation: Axes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    layout: str = "NCHW",
) -> Any:
    """:func:`max_pool2d` with one spatial axis."""
    options = (kernel_size, stride, padding, dilation, ceil_mode, layout)
    return _maxima(1, input, options, return_indices)


def max_pool1d_backward(
    input: ArrayLike,
    grad_output: ArrayLike,
    kernel_size: Axes,
    stride: Axes | None = None,
    padding: Padding = 0,
    dilation: Axes = 1,
    ceil_mode: bool = False,
    *,
    layout: str = "NCHW",
) -> Array:
    """:func:`max_pool2d_backward` with one spatial axis."""
    options = (kernel_size, stride, padding, dilation, ceil_mode, layout)
    return _maxima_backward(1, input, grad_output, options)


def avg_pool1d(
    input: ArrayLike,
    kernel_size: Axes,
    stride: Axes | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    layout: str = "NCHW",
) -> Array:
    """:func:`avg_pool2d` with one spatial axis."""
    options = (kernel_size, stride, padding, 1, ceil_mode, layout)
    return _means(1, input, options, count_include_pad, divisor_override)


def avg_pool1d_backward(
    input_size: Sequence[int],
    grad_output: ArrayLike,
    kernel_size: Axes,
    stride: Axes | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    layout: str = "NCHW",
) -> Array:
    """:func:`avg_pool2d_backward` with one spatial axis."""
    options = (kernel_size, stride, padding, 1, ceil_mode, layout)
    return _means_backward(1, input_size, grad_output, options, count_include_pad, divisor_override)


def max_pool3d(
    input: ArrayLike,
    kernel_size: Axes,
    stride: Axes | None = None,
    padding: Padding = 0,
    dilation: Axes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    layout: str = "NCHW",
) -> Any:
    """:func:`max_pool2d` with three spatial axes."""
    options = (kernel_size, stride, padding, dilation, ceil_mode, layout)
    return _maxima(3, input, options, return_indices)


def max_pool3d_backward(
    input: ArrayLike,
    grad_output: ArrayLike,
    kernel_size: Axes,
    stride: Axes | None = None,
    padding: Padding = 0,
    dilation: Axes = 1,
    ceil_mode: bool = False,
    *,
    layout: str = "NCHW",
) -> Array:
    """:func:`max_pool2d_backward` with three spatial axes."""
    options = (kernel_size, stride, padding, dilation, ceil_mode, layout)
    return _maxima_backward(3, input, grad_output, options)


def avg_pool3d(
    input: ArrayLike,
    kernel_size: Axes,
    stride: Axes | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    layout: str = "NCHW",
) -> Array:
    """:func:`avg_pool2d` with three spatial axes."""
    options = (kernel_size, stride, padding, 1, ceil_mode, layout)
    return _means(3, input, options, count_include_pad, divisor_override)


def avg_pool3d_backward(
    input_size: Sequence[int],
    grad_output: ArrayLike,
    kernel_size: Axes,
    stride: Axes | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    layout: str = "NCHW",
) -> Array:
    """:func:`avg_pool2d_backward` with three spatial axes."""
    options = (kernel_size, stride, padding, 1, ceil_mode, layout)
    return _means_backward(3, input_size, grad_output, options, count_include_pad, divisor_override)


def windows(size: Sequence[int], options: Options) -> tuple[list[tuple[Any, ...]], Edges, Edges, tuple[int, ...]]:
    """Prepare what the pools have in common.

    Slices of the padded input, one for each position of the window; the padding that was asked for; that padding with
    what a last window may reach over on top (``ceil_mode``); and the size of the output.
    """
    kernel_size, stride, padding, dilation, ceil_mode, _ = options
    axes = len(size)
    kernel, spread = per_axis(kernel_size, axes), per_axis(dilation, axes)
    step = kernel if stride is None else per_axis(stride, axes)
    edges = padding_edges(padding, size, kernel, step, spread)
    out = output_size(size, kernel, step, edges, spread, ceil_mode)
    reach = []
    for i, k, s, d, o, (before, after) in zip(size, kernel, step, spread, out, edges, strict=True):
        reach.append((before, max(after, (o - 1) * s + (k - 1) * d + 1 - before - i)))
    return [tap(position, out, step, spread) for position in np.ndindex(*kernel)], edges, reach, out


def positions_of(size: Sequence[int]) -> NDArray[np.int64]:
    """Return the number of every pixel of a plane."""
    return np.arange(np.prod(size), dtype=np.int64).reshape(1, 1, *size)


def take_maximum(best: Array, where: Indices, value: Array, position: Indices) -> None:
    """Let ``value`` win where it is the first pixel of its window, or larger, or NaN; padding (-1) never wins."""
    wins = (position >= 0) & ((where < 0) | (value > best) | np.isnan(value))
    best[wins] = value[wins]
    where[wins] = np.broadcast_to(position, value.shape)[wins]


def _maxima(axes: int, input: ArrayLike, options: Options, return_indices: bool) -> Any:
    images, batched = channels_first(input, options[-1], axes)
    taps, _, reach, out = windows(images.shape[2:], options)
    whole = np.pad(images, ((0, 0), (0, 0), *reach))
    positions = np.pad(positions_of(images.shape[2:]), ((0, 0), (0, 0), *reach), constant_values=-1)
    best = np.full((*images.shape[:2], *out), -np.inf)
    where = np.full(best.shape, -1)
    for pixels in taps:
        take_maximum(best, where, whole[pixels], positions[pixels])
    values = restore(best, options[-1], batched)
    return (values, restore(where, options[-1], batched)) if return_indices else values


def scatter(shape: Sequence[int], gradient: Array, where: Indices) -> Array:
    """Add each value of ``gradient`` at its place in its plane; -1 is no place."""
    n, c, *size = shape
    result = np.zeros((n, c, int(np.prod(size))))
    count = int(np.prod(gradient.shape[2:]))
    flat, places = gradient.reshape(n, c, count), where.reshape(n, c, count)
    image, channel, window = np.nonzero(places >= 0)
    np.add.at(result, (image, channel, places[image, channel, window]), flat[image, channel, window])
    return result.reshape(shape)


def _maxima_backward(axes: int, input: ArrayLike, grad_output: ArrayLike, options: Options) -> Array:
    images, batched = channels_first(input, options[-1], axes)
    gradient = channels_first(grad_output, options[-1], axes)[0]
    _, where = _maxima(axes, images, (*options[:-1], "NCHW"), True)
    return restore(scatter(images.shape, gradient, where), options[-1], batched)


def window_counts(
    size: Sequence[int], taps: list[tuple[Any, ...]], edges: Edges, reach: Edges, count_include_pad: bool
) -> Array:
    """How many positions of each window count: those inside the input, or inside the padding that was asked for."""
    counts = np.ones(tuple(size))
    rest = reach
    if count_include_pad:
        counts = np.pad(counts, edges, constant_values=1)
        rest = [(0, all_[1] - asked[1]) for all_, asked in zip(reach, edges, strict=True)]
    counts = np.pad(counts, rest)
    return np.asarray(sum(counts[pixels] for pixels in taps), np.float64)


def _means(axes: int, input: ArrayLike, options: Options, count_include_pad: bool, divisor: int | None) -> Array:
    images, batched = channels_first(input, options[-1], axes)
    taps, edges, reach, _ = windows(images.shape[2:], options)
    counts = window_counts(images.shape[2:], taps, edges, reach, count_include_pad)
    whole = np.pad(images, ((0, 0), (0, 0), *reach))
    total = np.asarray(sum(whole[pixels] for pixels in taps), np.float64)
    with np.errstate(invalid="ignore"):  # the mean of no position at all is NaN
        means = total / (counts if divisor is None else divisor)
    return restore(means, options[-1], batched)


def _means_backward(
    axes: int,
    input_size: Sequence[int],
    grad_output: ArrayLike,
    options: Options,
    count_include_pad: bool,
    divisor: int | None,
) -> Array:
    shape, batched = shape_channels_first(input_size, options[-1], axes)
    gradient = channels_first(grad_output, options[-1], axes)[0]
    taps, edges, reach, _ = windows(shape[2:], options)
    counts = window_counts(shape[2:], taps, edges, reach, count_include_pad)
    # A window of no position at all gives nobody anything.
    share = gradient / (np.maximum(counts, 1) if divisor is None else divisor)
    whole = np.zeros((*shape[:2], *(extent + sum(edge) for extent, edge in zip(shape[2:], reach, strict=True))))
    for pixels in taps:
        whole[pixels] += share
    return restore(unpadded(whole, reach), options[-1], batched)
