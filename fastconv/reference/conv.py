"""Convolution."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from fastconv.reference.activation import ACTIVATIONS
from fastconv.reference.shapes import (
    Array,
    Padding,
    Pair,
    nchw,
    oihw,
    output_size,
    pad,
    padding_edges,
    pair,
    restore,
    shape_nchw,
    tap,
)


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
    images, batched = nchw(input, layout)
    weights = oihw(weight, layout)
    stride, dilation = pair(stride), pair(dilation)
    edges = padding_edges(padding, images.shape[2:], weights.shape[2:], stride, dilation)
    (n, c, *size), (k, _, kh, kw) = images.shape, weights.shape
    out = output_size(size, (kh, kw), stride, edges, dilation)
    padded = pad(images, edges, padding_mode)
    padded = padded.reshape(n, groups, c // groups, *padded.shape[2:])
    weights = weights.reshape(groups, k // groups, c // groups, kh, kw)
    result = np.zeros((n, groups, k // groups, *out))
    for i in range(kh):
        for j in range(kw):
            pixels = padded[tap(i, j, out, stride, dilation)]
            result += np.einsum("ngchw,gkc->ngkhw", pixels, weights[..., i, j])
    result = result.reshape(n, k, *out)
    if bias is not None:
        result += np.asarray(bias).astype(np.float64)[:, None, None]
    if activation is not None:
        result = ACTIVATIONS[activation](result)
    return restore(result, layout, batched)


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
    (n, c, h, w), batched = shape_nchw(input_size, layout)
    gradient, weights = nchw(grad_output, layout)[0], oihw(weight, layout)
    stride, dilation = pair(stride), pair(dilation)
    k, _, kh, kw = weights.shape
    (top, bottom), (left, right) = edges = padding_edges(padding, (h, w), (kh, kw), stride, dilation)
    out = output_size((h, w), (kh, kw), stride, edges, dilation)
    gradient = gradient.reshape(n, groups, k // groups, *out)
    weights = weights.reshape(groups, k // groups, c // groups, kh, kw)
    padded = np.zeros((n, groups, c // groups, h + top + bottom, w + left + right))
    for i in range(kh):
        for j in range(kw):
            pixels = padded[tap(i, j, out, stride, dilation)]
            pixels += np.einsum("ngkhw,gkc->ngchw", gradient, weights[..., i, j])
    inner = padded.reshape(n, c, *padded.shape[3:])[:, :, top : top + h, left : left + w]
    return restore(inner, layout, batched)


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
    images, gradient = nchw(input, layout)[0], nchw(grad_output, layout)[0]
    stride, dilation = pair(stride), pair(dilation)
    if layout == "NCHW":
        k, _, kh, kw = weight_size
    else:
        kh, kw, _, k = weight_size
    n, c, *size = images.shape
    edges = padding_edges(padding, size, (kh, kw), stride, dilation)
    out = output_size(size, (kh, kw), stride, edges, dilation)
    padded = pad(images, edges)
    padded = padded.reshape(n, groups, c // groups, *padded.shape[2:])
    gradient = gradient.reshape(n, groups, k // groups, *out)
    result = np.zeros((groups, k // groups, c // groups, kh, kw))
    for i in range(kh):
        for j in range(kw):
            pixels = padded[tap(i, j, out, stride, dilation)]
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
    return np.asarray(nchw(grad_output, layout)[0].sum(axis=(0, 2, 3)))


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
