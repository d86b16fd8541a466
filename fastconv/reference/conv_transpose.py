"""Transposed convolution: every input pixel adds its kernel to the output."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastconv.reference.activation import ACTIVATIONS
from fastconv.reference.shapes import (
    Array,
    Axes,
    Edges,
    Padding,
    channels_first,
    outputs_first,
    outputs_restored,
    padding_edges,
    per_axis,
    restore,
    shape_channels_first,
    tap,
)

Options = tuple[Axes, Padding, Axes, int, Axes, str]


def conv_transpose2d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Axes = 1,
    padding: Padding = 0,
    output_padding: Axes = 0,
    groups: int = 1,
    dilation: Axes = 1,
    *,
    layout: str = "NCHW",
    activation: str | None = None,
) -> Array:
    """Transposed convolution, as ``torch.nn.functional.conv_transpose2d``.

    Parameters
    ----------
    input : array_like, shape (n, c, h, w) or (c, h, w); "NHWC": (n, h, w, c) or (h, w, c)
    weight : array_like, shape (c, k / groups, kh, kw); "NHWC": (kh, kw, k / groups, c)
    bias : array_like, shape (k,), optional
    stride, output_padding, dilation : int or pair of int
    padding : str, int or sequence
        What is cut off; words as Keras' Conv2DTranspose has them.
    groups, layout, activation
        As in :func:`conv2d`.

    Returns
    -------
    ndarray of float64, shape (n, k, oh, ow); "NHWC": (n, oh, ow, k)

    Examples
    --------
    >>> conv_transpose2d([[[1, 2]]], [[[[1, 10, 100]]]], stride=2)
    array([[[  1.,  10., 102.,  20., 200.]]])
    """
    options = (stride, padding, output_padding, groups, dilation, layout)
    return _scattered(2, input, weight, bias, options, activation)


def conv_transpose2d_input(
    input_size: Sequence[int],
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: Axes = 1,
    padding: Padding = 0,
    output_padding: Axes = 0,
    groups: int = 1,
    dilation: Axes = 1,
    *,
    layout: str = "NCHW",
) -> Array:
    """Gradient of :func:`conv_transpose2d` with respect to its input."""
    options = (stride, padding, output_padding, groups, dilation, layout)
    return _input(2, input_size, weight, grad_output, options)


def conv_transpose2d_weight(
    input: ArrayLike,
    weight_size: Sequence[int],
    grad_output: ArrayLike,
    stride: Axes = 1,
    padding: Padding = 0,
    output_padding: Axes = 0,
    groups: int = 1,
    dilation: Axes = 1,
    *,
    layout: str = "NCHW",
) -> Array:
    """Gradient of :func:`conv_transpose2d` with respect to its weight."""
    options = (stride, padding, output_padding, groups, dilation, layout)
    return _weight(2, input, weight_size, grad_output, options)


def conv_transpose1d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Axes = 1,
    padding: Padding = 0,
    output_padding: Axes = 0,
    groups: int = 1,
    dilation: Axes = 1,
    *,
    layout: str = "NCHW",
    activation: str | None = None,
) -> Array:
    """:func:`conv_transpose2d` with one spatial axis."""
    options = (stride, padding, output_padding, groups, dilation, layout)
    return _scattered(1, input, weight, bias, options, activation)


def conv_transpose1d_input(
    input_size: Sequence[int],
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: Axes = 1,
    padding: Padding = 0,
    output_padding: Axes = 0,
    groups: int = 1,
    dilation: Axes = 1,
    *,
    layout: str = "NCHW",
) -> Array:
    """Gradient of :func:`conv_transpose1d` with respect to its input."""
    options = (stride, padding, output_padding, groups, dilation, layout)
    return _input(1, input_size, weight, grad_output, options)


def conv_transpose1d_weight(
    input: ArrayLike,
    weight_size: Sequence[int],
    grad_output: ArrayLike,
    stride: Axes = 1,
    padding: Padding = 0,
    output_padding: Axes = 0,
    groups: int = 1,
    dilation: Axes = 1,
    *,
    layout: str = "NCHW",
) -> Array:
    """Gradient of :func:`conv_transpose1d` with respect to its weight."""
    options = (stride, padding, output_padding, groups, dilation, layout)
    return _weight(1, input, weight_size, grad_output, options)


def conv_transpose3d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Axes = 1,
    padding: Padding = 0,
    output_padding: Axes = 0,
    groups: int = 1,
    dilation: Axes = 1,
    *,
    layout: str = "NCHW",
    activation: str | None = None,
) -> Array:
    """:func:`conv_transpose2d` with three spatial axes."""
    options = (stride, padding, output_padding, groups, dilation, layout)
    return _scattered(3, input, weight, bias, options, activation)


def conv_transpose3d_input(
    input_size: Sequence[int],
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: Axes = 1,
    padding: Padding = 0,
    output_padding: Axes = 0,
    groups: int = 1,
    dilation: Axes = 1,
    *,
    layout: str = "NCHW",
) -> Array:
    """Gradient of :func:`conv_transpose3d` with respect to its input."""
    options = (stride, padding, output_padding, groups, dilation, layout)
    return _input(3, input_size, weight, grad_output, options)


def conv_transpose3d_weight(
    input: ArrayLike,
    weight_size: Sequence[int],
    grad_output: ArrayLike,
    stride: Axes = 1,
    padding: Padding = 0,
    output_padding: Axes = 0,
    groups: int = 1,
    dilation: Axes = 1,
    *,
    layout: str = "NCHW",
) -> Array:
    """Gradient of :func:`conv_transpose3d` with respect to its weight."""
    options = (stride, padding, output_padding, groups, dilation, layout)
    return _weight(3, input, weight_size, grad_output, options)


def _extents(size: Sequence[int], kernel: Sequence[int], options: Options) -> tuple[tuple[int, ...], Edges]:
    """Return what the kernels cover, and what of it is cut off; less than nothing is added."""
    stride, padding, output_padding, _, dilation, _ = options
    axes = len(size)
    steps, spread, more = (per_axis(value, axes) for value in (stride, dilation, output_padding))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, spread, strict=True)]
    covered = tuple((i - 1) * s + r for i, s, r in zip(size, steps, reach, strict=True))
    if padding == "valid":
        return covered, [(0, min(r - s, 0)) for r, s in zip(reach, steps, strict=True)]
    if isinstance(padding, str):
        wanted = [i * s for i, s in zip(size, steps, strict=True)]
        edges = padding_edges(padding, wanted, kernel, steps, spread)
        cut = zip(covered, wanted, edges, strict=True)
        return covered, [(before, c - w - before) for c, w, (before, _) in cut]
    edges = padding_edges(padding, size, kernel, steps, spread)
    return covered, [(before, after - x) for (before, after), x in zip(edges, more, strict=True)]


def _scattered(
    axes: int,
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    options: Options,
    activation: str | None,
) -> Array:
    stride, _, _, groups, dilation, layout = options
    images, batched = channels_first(input, layout, axes)
    weights = outputs_first(weight, layout)
    (n, c, *size), (_, per_group, *kernel) = images.shape, weights.shape
    covered, cut = _extents(size, kernel, options)
    images = images.reshape(n, groups, c // groups, *size)
    weights = weights.reshape(groups, c // groups, per_group, *kernel)
    whole = np.zeros((n, groups, per_group, *covered))
    for position in np.ndindex(*kernel):
        pixels = whole[tap(position, size, per_axis(stride, axes), per_axis(dilation, axes))]
        pixels += np.einsum("ngc...,gck->ngk...", images, weights[(..., *position)])
    result = _cut(whole.reshape(n, groups * per_group, *covered), cut)
    if bias is not None:
        result = result + np.asarray(bias).astype(np.float64).reshape(-1, *[1] * axes)
    if activation is not None:
        result = ACTIVATIONS[activation](result)
    return restore(result, layout, batched)


def _cut(images: Array, edges: Edges) -> Array:
    more = [(max(-before, 0), max(-after, 0)) for before, after in edges]
    images = np.pad(images, ((0, 0), (0, 0), *more))
    ends = zip(images.shape[2:], edges, strict=True)
    kept: tuple[Any, ...] = (..., *(slice(max(b, 0), e - max(a, 0)) for e, (b, a) in ends))
    result: Array = images[kept]
    return result


def _input(axes: int, input_size: Sequence[int], weight: ArrayLike, grad_output: ArrayLike, options: Options) -> Array:
    stride, _, _, groups, dilation, layout = options
    (n, c, *size), batched = shape_channels_first(input_size, layout, axes)
    weights = outputs_first(weight, layout)
    _, per_group, *kernel = weights.shape
    whole = _uncut(grad_output, size, kernel, options)
    weights = weights.reshape(groups, c // groups, per_group, *kernel)
    result = np.zeros((n, groups, c // groups, *size))
    for position in np.ndindex(*kernel):
        pixels = whole[tap(position, size, per_axis(stride, axes), per_axis(dilation, axes))]
        result += np.einsum("ngk...,gck->ngc...", pixels, weights[(..., *position)])
    return restore(result.reshape(n, c, *size), layout, batched)


def _uncut(grad_output: ArrayLike, size: Sequence[int], kernel: Sequence[int], options: Options) -> Array:
    """Return the gradient of everything that the kernels cover, (n, g, k / g, ...)."""
    axes, groups = len(size), options[3]
    gradient = channels_first(grad_output, options[5], axes)[0]
    covered, cut = _extents(size, kernel, options)
    whole = _cut(gradient, [(-before, -after) for before, after in cut])
    assert whole.shape[2:] == covered
    return whole.reshape(len(whole), groups, whole.shape[1] // groups, *covered)


def _weight(axes: int, input: ArrayLike, weight_size: Sequence[int], grad_output: ArrayLike, options: Options) -> Array:
    stride, _, _, groups, dilation, layout = options
    images = channels_first(input, layout, axes)[0]
    n, c, *size = images.shape
    kernel = weight_size[2:] if layout == "NCHW" else weight_size[:-2]
    whole = _uncut(grad_output, size, kernel, options)
    images = images.reshape(n, groups, c // groups, *size)
    result = np.zeros((groups, c // groups, whole.shape[2], *kernel))
    for position in np.ndindex(*kernel):
        pixels = whole[tap(position, size, per_axis(stride, axes), per_axis(dilation, axes))]
        flat = (array.reshape(*array.shape[:3], math.prod(size)) for array in (images, pixels))
        result[(..., *position)] = np.einsum("ngcp,ngkp->gck", *flat)
    return outputs_restored(result.reshape(c, whole.shape[2], *kernel), layout)
