"""Norms, geometric and harmonic means of windows, and unpooling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastconv.reference.pool import Options, window_counts, windows
from fastconv.reference.shapes import Array, Axes, Padding, channels_first, per_axis, restore, unpadded


def lp_pool2d(
    input: ArrayLike,
    norm_type: float,
    kernel_size: Axes,
    stride: Axes | None = None,
    ceil_mode: bool = False,
    *,
    layout: str = "NCHW",
) -> Array:
    """``sum(x ** p) ** (1 / p)`` of each window, as ``torch.nn.functional.lp_pool2d``.

    A last window that hangs over (``ceil_mode``) counts as if it were whole: its sum is scaled up.

    >>> lp_pool2d([[[3, 0], [0, 4]]], 2, 2)
    array([[[5.]]])
    """
    return _norms(2, input, None, norm_type, (kernel_size, stride, 0, 1, ceil_mode, layout))


def lp_pool2d_backward(
    input: ArrayLike,
    grad_output: ArrayLike,
    norm_type: float,
    kernel_size: Axes,
    stride: Axes | None = None,
    ceil_mode: bool = False,
    *,
    layout: str = "NCHW",
) -> Array:
    """Gradient of :func:`lp_pool2d`."""
    return _norms(2, input, grad_output, norm_type, (kernel_size, stride, 0, 1, ceil_mode, layout))


def lp_pool1d(
    input: ArrayLike,
    norm_type: float,
    kernel_size: Axes,
    stride: Axes | None = None,
    ceil_mode: bool = False,
    *,
    layout: str = "NCHW",
) -> Array:
    """:func:`lp_pool2d` with one spatial axis."""
    return _norms(1, input, None, norm_type, (kernel_size, stride, 0, 1, ceil_mode, layout))


def lp_pool1d_backward(
    input: ArrayLike,
    grad_output: ArrayLike,
    norm_type: float,
    kernel_size: Axes,
    stride: Axes | None = None,
    ceil_mode: bool = False,
    *,
    layout: str = "NCHW",
) -> Array:
    """Gradient of :func:`lp_pool1d`."""
    return _norms(1, input, grad_output, norm_type, (kernel_size, stride, 0, 1, ceil_mode, layout))


def lp_pool3d(
    input: ArrayLike,
    norm_type: float,
    kernel_size: Axes,
    stride: Axes | None = None,
    ceil_mode: bool = False,
    *,
    layout: str = "NCHW",
) -> Array:
    """:func:`lp_pool2d` with three spatial axes."""
    return _norms(3, input, None, norm_type, (kernel_size, stride, 0, 1, ceil_mode, layout))


def lp_pool3d_backward(
    input: ArrayLike,
    grad_output: ArrayLike,
    norm_type: float,
    kernel_size: Axes,
    stride: Axes | None = None,
    ceil_mode: bool = False,
    *,
    layout: str = "NCHW",
) -> Array:
    """Gradient of :func:`lp_pool3d`."""
    return _norms(3, input, grad_output, norm_type, (kernel_size, stride, 0, 1, ceil_mode, layout))


def _norms(axes: int, input: ArrayLike, grad_output: ArrayLike | None, power: float, options: Options) -> Array:
    """Return the norms, or with a gradient at them the one at the input."""
    images, batched = channels_first(input, options[-1], axes)
    taps, edges, reach, _ = windows(images.shape[2:], options)
    if math.isinf(power):
        return _extreme_norms(images, grad_output, math.copysign(1, power), (taps, reach), options[-1], batched)
    scale = math.prod(per_axis(options[0], axes)) / window_counts(images.shape[2:], taps, edges, reach, False)
    with np.errstate(all="ignore"):
        powers = np.pad(images**power, ((0, 0), (0, 0), *reach))
        sums = np.asarray(sum(powers[pixels] for pixels in taps)) * scale
        if grad_output is None:
            return restore(sums ** (1 / power), options[-1], batched)
        gradient = channels_first(grad_output, options[-1], axes)[0]
        share = np.where(sums == 0, 0.0, sums ** (1 / power - 1)) * scale * gradient
        whole = np.zeros(powers.shape)
        for pixels in taps:
            whole[pixels] += share
        return restore(unpadded(whole, reach) * images ** (power - 1), options[-1], batched)


def _extreme_norms(
    images: Array, grad_output: ArrayLike | None, sign: float, places: tuple[Any, Any], layout: str, batched: bool
) -> Array:
    """Return the largest magnitudes, or with -1 the smallest ones; the gradient goes to the first of equals."""
    taps, reach = places
    padded = np.pad(sign * abs(images), ((0, 0), (0, 0), *reach), constant_values=-np.inf)
    seen = np.stack([padded[pixels] for pixels in taps])
    if grad_output is None:
        return restore(sign * seen.max(0), layout, batched)
    gradient, first = channels_first(grad_output, layout, images.ndim - 2)[0], seen.argmax(0)
    whole = np.zeros(padded.shape)
    for tap, pixels in enumerate(taps):
        whole[pixels] += np.where(first == tap, gradient, 0)
    return restore(unpadded(whole, reach) * np.sign(images), layout, batched)


def geometric_avg_pool2d(
    input: ArrayLike,
    kernel_size: Axes,
    stride: Axes | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    *,
    layout: str = "NCHW",
) -> Array:
    """Take the root of the product of each window's n positions inside the image: their n-th one.

    Zero with a zero among them, NaN with a negative value or with no position at all.

    >>> geometric_avg_pool2d([[[1, 4, 0, 5]]], (1, 2))
    array([[[2., 0.]]])
    """
    return _means("geometric", input, None, (kernel_size, stride, padding, 1, ceil_mode, layout))


def geometric_avg_pool2d_backward(
    input: ArrayLike,
    grad_output: ArrayLike,
    kernel_size: Axes,
    stride: Axes | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    *,
    layout: str = "NCHW",
) -> Array:
    """Gradient of :func:`geometric_avg_pool2d`; a window with a zero gives nobody anything."""
    return _means("geometric", input, grad_output, (kernel_size, stride, padding, 1, ceil_mode, layout))


def harmonic_avg_pool2d(
    input: ArrayLike,
    kernel_size: Axes,
    stride: Axes | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    *,
    layout: str = "NCHW",
) -> Array:
    """Divide the number of each window's positions inside the image by the sum of their reciprocals.

    Zero with a zero among them, NaN with a negative value or with no position at all.

    >>> harmonic_avg_pool2d([[[2, 6, 0, 5]]], (1, 2))
    array([[[3., 0.]]])
    """
    return _means("harmonic", input, None, (kernel_size, stride, padding, 1, ceil_mode, layout))


def harmonic_avg_pool2d_backward(
    input: ArrayLike,
    grad_output: ArrayLike,
    kernel_size: Axes,
    stride: Axes | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    *,
    layout: str = "NCHW",
) -> Array:
    """Gradient of :func:`harmonic_avg_pool2d`; a window with a zero gives nobody anything."""
    return _means("harmonic", input, grad_output, (kernel_size, stride, padding, 1, ceil_mode, layout))


def _means(kind: str, input: ArrayLike, grad_output: ArrayLike | None, options: Options) -> Array:
    """Return the means, or with a gradient at them the one at the input."""
    images, batched = channels_first(input, options[-1])
    taps, edges, reach, _ = windows(images.shape[2:], options)
    counts = window_counts(images.shape[2:], taps, edges, reach, False)
    neutral = 1.0 if kind == "geometric" else np.inf
    whole = np.pad(np.where(images >= 0, images, np.nan), ((0, 0), (0, 0), *reach), constant_values=neutral)
    with np.errstate(all="ignore"):
        if kind == "geometric":
            means = np.prod([whole[pixels] ** (1 / counts) for pixels in taps], axis=0)
        else:
            means = counts / np.sum([1 / np.abs(whole[pixels]) for pixels in taps], axis=0)
        means[np.broadcast_to(counts == 0, means.shape)] = np.nan
        if grad_output is None:
            return restore(means, options[-1], batched)
        gradient, total = channels_first(grad_output, options[-1])[0], np.zeros(whole.shape)
        for pixels in taps:
            x = whole[pixels]
            slope = means / (counts * x) if kind == "geometric" else (means / x) ** 2 / counts
            total[pixels] += np.where(means == 0, 0.0, slope) * gradient
    return restore(unpadded(total, reach), options[-1], batched)


def max_unpool2d(
    input: ArrayLike,
    indices: ArrayLike,
    kernel_size: Axes,
    stride: Axes | None = None,
    padding: Axes = 0,
    output_size: Sequence[int] | None = None,
    *,
    layout: str = "NCHW",
) -> Array:
    """Maxima back where they were, as ``torch.nn.functional.max_unpool2d``; of several the last one stays."""
    images, batched = channels_first(input, layout, 2)
    kernel, margin = per_axis(kernel_size, 2), per_axis(padding, 2)
    step = kernel if stride is None else per_axis(stride, 2)
    every = zip(images.shape[2:], step, kernel, margin, strict=True)
    size = [(i - 1) * s + k - 2 * p for i, s, k, p in every] if output_size is None else list(output_size)
    places = channels_first(indices, layout, 2)[0].astype(np.int64)
    result = np.zeros((*images.shape[:2], math.prod(size)))
    for position in np.ndindex(*images.shape):
        result[(*position[:2], places[position])] = images[position]
    return restore(result.reshape(*images.shape[:2], *size), layout, batched)


def max_unpool1d(
    input: ArrayLike,
    indices: ArrayLike,
    kernel_size: Axes,
    stride: Axes | None = None,
    padding: Axes = 0,
    output_size: Sequence[int] | None = None,
    *,
    layout: str = "NCHW",
) -> Array:
    """:func:`max_unpool2d` with one spatial axis."""
    images, batched = channels_first(input, layout, 1)
    kernel, margin = per_axis(kernel_size, 1), per_axis(padding, 1)
    step = kernel if stride is None else per_axis(stride, 1)
    every = zip(images.shape[2:], step, kernel, margin, strict=True)
    size = [(i - 1) * s + k - 2 * p for i, s, k, p in every] if output_size is None else list(output_size)
    places = channels_first(indices, layout, 1)[0].astype(np.int64)
    result = np.zeros((*images.shape[:2], math.prod(size)))
    for position in np.ndindex(*images.shape):
        result[(*position[:2], places[position])] = images[position]
    return restore(result.reshape(*images.shape[:2], *size), layout, batched)


def max_unpool3d(
    input: ArrayLike,
    indices: ArrayLike,
    kernel_size: Axes,
    stride: Axes | None = None,
    padding: Axes = 0,
    output_size: Sequence[int] | None = None,
    *,
    layout: str = "NCHW",
) -> Array:
    """:func:`max_unpool2d` with three spatial axes."""
    images, batched = channels_first(input, layout, 3)
    kernel, margin = per_axis(kernel_size, 3), per_axis(padding, 3)
    step = kernel if stride is None else per_axis(stride, 3)
    every = zip(images.shape[2:], step, kernel, margin, strict=True)
    size = [(i - 1) * s + k - 2 * p for i, s, k, p in every] if output_size is None else list(output_size)
    places = channels_first(indices, layout, 3)[0].astype(np.int64)
    result = np.zeros((*images.shape[:2], math.prod(size)))
    for position in np.ndindex(*images.shape):
        result[(*position[:2], places[position])] = images[position]
    return restore(result.reshape(*images.shape[:2], *size), layout, batched)
