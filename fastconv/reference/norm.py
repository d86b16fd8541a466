"""Normalisation and its gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]


def channels_first(x: Any, layout: str) -> Array:
    """Return (n, c, pixels) in float64."""
    images: Array = np.asarray(x, np.float64)
    images = np.moveaxis(images, -1, 1) if layout == "NHWC" else images
    return images.reshape(*images.shape[:2], math.prod(images.shape[2:]))


def back(y: Array, like: Any, layout: str) -> Array:
    """Return (n, c, pixels) in the shape and the layout of the input."""
    if layout == "NCHW":
        return y.reshape(like.shape)
    return np.moveaxis(y.reshape(like.shape[0], like.shape[-1], *like.shape[1:-1]), 1, -1)


def along(value: Any, default: float) -> Any:
    """Shape one value per channel to meet (n, c, pixels)."""
    return default if value is None else np.asarray(value, np.float64)[:, None]


def group_norm(
    input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, *, layout: str = "NCHW"
) -> Array:
    """Normalise groups of channels of an image."""
    x = channels_first(input, layout)
    grouped = x.reshape(x.shape[0], num_groups, -1)
    mean, variance = grouped.mean(2, keepdims=True), grouped.var(2, keepdims=True)
    normal = ((grouped - mean) / np.sqrt(variance + eps)).reshape(x.shape)
    return back(normal * along(weight, 1) + along(bias, 0), input, layout)


def group_norm_backward(
    input: Any, grad_output: Any, num_groups: int, weight: Any = None, eps: float = 1e-5, *, layout: str = "NCHW"
) -> tuple[Array, Array, Array]:
    """Return the gradients of the input, the weight and the bias."""
    x, g = channels_first(input, layout), channels_first(grad_output, layout)
    rows = (x.shape[0], num_groups, -1)
    dx, normal = rows_backward(x.reshape(rows), (g * along(weight, 1)).reshape(rows), eps)
    normal = normal.reshape(x.shape)
    return back(dx.reshape(x.shape), input, layout), (g * normal).sum((0, 2)), g.sum((0, 2))


def rows_backward(x: Array, g: Array, eps: float) -> tuple[Array, Array]:
    """Return the gradient of normalisation along the last axis, and the normalised values."""
    rstd = 1 / np.sqrt(x.var(-1, keepdims=True) + eps)
    normal = (x - x.mean(-1, keepdims=True)) * rstd
    return rstd * (g - g.mean(-1, keepdims=True) - normal * (g * normal).mean(-1, keepdims=True)), normal


def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    eps: float = 1e-5,
    *,
    layout: str = "NCHW",
) -> Array:
    """Normalise each image's channels; running statistics are read only."""
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, eps, layout=layout)
    return group_norm(input, channels_first(input, layout).shape[1], weight, bias, eps, layout=layout)


def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    eps: float = 1e-5,
    *,
    layout: str = "NCHW",
) -> Array:
    """Normalise each channel; running statistics are read only."""
    x = channels_first(input, layout)
    mean, variance = x.mean((0, 2)), x.var((0, 2))
    if not training:
        mean, variance = np.asarray(running_mean, np.float64), np.asarray(running_var, np.float64)
    normal = (x - mean[:, None]) / np.sqrt(variance[:, None] + eps)
    return back(normal * along(weight, 1) + along(bias, 0), input, layout)


def batch_norm_backward(
    input: Any,
    grad_output: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    training: bool = False,
    eps: float = 1e-5,
    *,
    layout: str = "NCHW",
) -> tuple[Array, Array, Array]:
    """Return the gradients of the input, the weight and the bias."""
    x, g = channels_first(input, layout), channels_first(grad_output, layout)
    scaled = g * along(weight, 1)
    if training:
        n, c, p = x.shape
        turned = x.transpose(1, 0, 2).reshape(c, -1), scaled.transpose(1, 0, 2).reshape(c, -1)
        dx, normal = (part.reshape(c, n, p).transpose(1, 0, 2) for part in rows_backward(*turned, eps))
    else:
        rstd = 1 / np.sqrt(np.asarray(running_var, np.float64)[:, None] + eps)
        dx, normal = scaled * rstd, (x - np.asarray(running_mean, np.float64)[:, None]) * rstd
    return back(dx, input, layout), (g * normal).sum((0, 2)), g.sum((0, 2))


def layer_norm(input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Array:
    """Normalise the last axes."""
    x = np.asarray(input, np.float64)
    axes = tuple(range(x.ndim - np.size(normalized_shape), x.ndim))
    normal: Array = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)
    if weight is not None:
        normal *= np.asarray(weight, np.float64)
    if bias is not None:
        normal += np.asarray(bias, np.float64)
    return normal


def layer_norm_backward(
    input: Any, grad_output: Any, normalized_shape: Any, weight: Any = None, eps: float = 1e-5
) -> tuple[Array, Array, Array]:
    """Return the gradients of the input, the weight and the bias."""
    x, g = np.asarray(input, np.float64), np.asarray(grad_output, np.float64)
    lead = x.shape[: x.ndim - np.size(normalized_shape)]
    scaled = g if weight is None else g * np.asarray(weight, np.float64)
    dx, normal = rows_backward(x.reshape(*lead, -1), scaled.reshape(*lead, -1), eps)
    axes = tuple(range(len(lead)))
    return dx.reshape(x.shape), (g * normal.reshape(x.shape)).sum(axes), g.sum(axes)


def response_window(x: Array, size: int, before: int) -> Array:
    """Return the mean of `size` neighbouring channels, `before` of them below."""
    padded = np.pad(x, ((0, 0), (before, size - 1 - before), (0, 0)))
    total: Array = np.zeros_like(x)
    for i in range(size):
        total += padded[:, i : i + x.shape[1]]
    total /= size
    return total


def local_response_norm(
    input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0, *, layout: str = "NCHW"
) -> Array:
    """Divide by a power of the mean square of neighbouring channels."""
    x = channels_first(input, layout)
    return back(x / (k + alpha * response_window(x * x, size, size // 2)) ** beta, input, layout)


def local_response_norm_backward(
    input: Any,
    grad_output: Any,
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    *,
    layout: str = "NCHW",
) -> Array:
    """Return the gradient of the input."""
    x, g = channels_first(input, layout), channels_first(grad_output, layout)
    base = k + alpha * response_window(x * x, size, size // 2)
    inner = response_window(g * x * base ** (-beta - 1), size, (size - 1) // 2)
    return back(g * base**-beta - 2 * alpha * beta * x * inner, input, layout)
