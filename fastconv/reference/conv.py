"""Convolution."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from fastconv.reference.activation import ACTIVATIONS
from fastconv.reference.shapes import (
    Array,
    Axes,
    Padding,
    channels_first,
    output_size,
    outputs_first,
    outputs_restored,
    padded,
    padding_edges,
    per_axis,
    restore,
    shape_channels_first,
    tap,
    unpadded,
)


def conv2d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Axes = 1,
    padding: Padding = 0,
    dilation: Axes = 1,
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
    options = (stride, padding, dilation, groups, layout)
    return _forward(2, input, weight, bias, options, activation, padding_mode)


def conv2d_input(
    input_size: Sequence[int],
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: Axes = 1,
    padding: Padding = 0,
    dilation: Axes = 1,
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
    options = (stride, padding, dilation, groups, layout)
    return _input(2, input_size, weight, grad_output, options)


def conv2d_weight(
    input: ArrayLike,
    weight_size: Sequence[int],
    grad_output: ArrayLike,
    stride: Axes = 1,
    padding: Padding = 0,
    dilation: Axes = 1,
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
    options = (stride, padding, dilation, groups, layout)
    return _weight(2, input, weight_size, grad_output, options)


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
    return _bias(2, grad_output, layout)


def conv1d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Axes = 1,
    padding: Padding = 0,
    dilation: Axes = 1,
    groups: int = 1,
    *,
    layout: str = "NCHW",
    activation: str | None = None,
    padding_mode: str = "zeros",
) -> Array:
    """:func:`conv2d` with one spatial axis."""
    options = (stride, padding, dilation, groups, layout)
    return _forward(1, input, weight, bias, options, activation, padding_mode)


def conv1d_input(
    input_size: Sequence[int],
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: Axes = 1,
    padding: Padding = 0,
    dilation: Axes = 1,
    groups: int = 1,
    *,
    layout: str = "NCHW",
) -> Array:
    """:func:`conv2d_input` with one spatial axis."""
    options = (stride, padding, dilation, groups, layout)
    return _input(1, input_size, weight, grad_output, options)


def conv1d_weight(
    input: ArrayLike,
    weight_size: Sequence[int],
    grad_output: ArrayLike,
    stride: Axes = 1,
    padding: Padding = 0,
    dilation: Axes = 1,
    groups: int = 1,
    *,
    layout: str = "NCHW",
) -> Array:
    """:func:`conv2d_weight` with one spatial axis."""
    options = (stride, padding, dilation, groups, layout)
    return _weight(1, input, weight_size, grad_output, options)


def conv1d_bias(grad_output: ArrayLike, *, layout: str = "NCHW") -> Array:
    """:func:`conv2d_bias` with one spatial axis."""
    return _bias(1, grad_output, layout)


def conv3d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Axes = 1,
    padding: Padding = 0,
    dilation: Axes = 1,
    groups: int = 1,
    *,
    layout: str = "NCHW",
    activation: str | None = None,
    padding_mode: str = "zeros",
) -> Array:
    """:func:`conv2d` with three spatial axes."""
    options = (stride, padding, dilation, groups, layout)
    return _forward(3, input, weight, bias, options, activation, padding_mode)


def conv3d_input(
    input_size: Sequence[int],
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: Axes = 1,
    padding: Padding = 0,
    dilation: Axes = 1,
    groups: int = 1,
    *,
    layout: str = "NCHW",
) -> Array:
    """:func:`conv2d_input` with three spatial axes."""
    options = (stride, padding, dilation, groups, layout)
    return _input(3, input_size, weight, grad_output, options)


def conv3d_weight(
    input: ArrayLike,
    weight_size: Sequence[int],
    grad_output: ArrayLike,
    stride: Axes = 1,
    padding: Padding = 0,
    dilation: Axes = 1,
    groups: int = 1,
    *,
    layout: str = "NCHW",
) -> Array:
    """:func:`conv2d_weight` with three spatial axes."""
    options = (stride, padding, dilation, groups, layout)
    return _weight(3, input, weight_size, grad_output, options)


def conv3d_bias(grad_output: ArrayLike, *, layout: str = "NCHW") -> Array:
    """:func:`conv2d_bias` with three spatial axes."""
    return _bias(3, grad_output, layout)


Options = tuple[Axes, Padding, Axes, int, str]


def _forward(
    axes: int,
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    options: Options,
    activation: str | None,
    padding_mode: str,
) -> Array:
    stride, padding, dilation, groups, layout = options
    images, batched = channels_first(input, layout, axes)
    weights = outputs_first(weight, layout)
    (n, c, *size), (k, _, *kernel) = images.shape, weights.shape
    steps, spread = per_axis(stride, axes), per_axis(dilation, axes)
    edges = padding_edges(padding, size, kernel, steps, spread)
    out = output_size(size, kernel, steps, edges, spread)
    whole = padded(images, edges, padding_mode)
    whole = whole.reshape(n, groups, c // groups, *whole.shape[2:])
    weights = weights.reshape(groups, k // groups, c // groups, *kernel)
    result = np.zeros((n, groups, k // groups, *out))
    for position in np.ndindex(*kernel):
        pixels = whole[tap(position, out, steps, spread)]
        result += np.einsum("ngc...,gkc->ngk...", pixels, weights[(..., *position)])
    result = result.reshape(n, k, *out)
    if bias is not None:
        result += np.asarray(bias).astype(np.float64).reshape(-1, *[1] * axes)
    if activation is not None:
        result = ACTIVATIONS[activation](result)
    return restore(result, layout, batched)


def _input(axes: int, input_size: Sequence[int], weight: ArrayLike, grad_output: ArrayLike, options: Options) -> Array:
    stride, padding, dilation, groups, layout = options
    (n, c, *size), batched = shape_channels_first(input_size, layout, axes)
    gradient, weights = channels_first(grad_output, layout, axes)[0], outputs_first(weight, layout)
    (k, _, *kernel), steps, spread = weights.shape, per_axis(stride, axes), per_axis(dilation, axes)
    edges = padding_edges(padding, size, kernel, steps, spread)
    out = output_size(size, kernel, steps, edges, spread)
    gradient = gradient.reshape(n, groups, k // groups, *out)
    weights = weights.reshape(groups, k // groups, c // groups, *kernel)
    extents = (extent + sum(edge) for extent, edge in zip(size, edges, strict=True))
    whole = np.zeros((n, groups, c // groups, *extents))
    for position in np.ndindex(*kernel):
        pixels = whole[tap(position, out, steps, spread)]
        pixels += np.einsum("ngk...,gkc->ngc...", gradient, weights[(..., *position)])
    return restore(unpadded(whole.reshape(n, c, *whole.shape[3:]), edges), layout, batched)


def _weight(axes: int, input: ArrayLike, weight_size: Sequence[int], grad_output: ArrayLike, options: Options) -> Array:
    stride, padding, dilation, groups, layout = options
    images, gradient = (channels_first(array, layout, axes)[0] for array in (input, grad_output))
    k, kernel = (weight_size[0], weight_size[2:]) if layout == "NCHW" else (weight_size[-1], weight_size[:-2])
    (n, c, *size), steps, spread = images.shape, per_axis(stride, axes), per_axis(dilation, axes)
    edges = padding_edges(padding, size, kernel, steps, spread)
    out = output_size(size, kernel, steps, edges, spread)
    whole = padded(images, edges)
    whole = whole.reshape(n, groups, c // groups, *whole.shape[2:])
    gradient = gradient.reshape(n, groups, k // groups, *out)
    result = np.zeros((groups, k // groups, c // groups, *kernel))
    for position in np.ndindex(*kernel):
        pixels = whole[tap(position, out, steps, spread)]
        flat = (array.reshape(*array.shape[:3], math.prod(out)) for array in (pixels, gradient))
        result[(..., *position)] = np.einsum("ngcp,ngkp->gkc", *flat)
    return outputs_restored(result.reshape(k, c // groups, *kernel), layout)


def _bias(axes: int, grad_output: ArrayLike, layout: str) -> Array:
    gradient = channels_first(grad_output, layout, axes)[0]
    return np.asarray(gradient.sum(axis=(0, *range(2, axes + 2))))
