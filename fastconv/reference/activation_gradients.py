"""Gradients of the activations: what arrives at the output, times the derivative.

From the output where that tells the derivative, else from the input. The derivative at a corner is the one from the
left, as torch has it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from fastconv.reference.activation import (
    SELU_ALPHA,
    SELU_SCALE,
    float64,
    normal_cdf,
    sigmoid,
    softmax_axis,
)
from fastconv.reference.shapes import Array


def relu_backward(grad_output: ArrayLike, output: ArrayLike) -> Array:
    """Gradient of :func:`relu` from its output.

    >>> relu_backward([5, 5], [0, 2])
    array([0., 5.])
    """
    return float64(grad_output) * (float64(output) > 0)


def relu6_backward(grad_output: ArrayLike, output: ArrayLike) -> Array:
    """Gradient of :func:`relu6` from its output.

    >>> relu6_backward([5, 5, 5], [0, 2, 6])
    array([0., 5., 0.])
    """
    y = float64(output)
    return float64(grad_output) * ((y > 0) & (y < 6))


def leaky_relu_backward(grad_output: ArrayLike, output: ArrayLike, negative_slope: float = 0.01) -> Array:
    """Gradient of :func:`leaky_relu` from its output.

    >>> leaky_relu_backward([4, 4], [-1, 2], 0.25)
    array([1., 4.])
    """
    return float64(grad_output) * np.where(float64(output) > 0, 1.0, negative_slope)


def elu_backward(grad_output: ArrayLike, output: ArrayLike, alpha: float = 1.0) -> Array:
    """Gradient of :func:`elu` from its output.

    >>> elu_backward([4, 4], [-0.5, 2])
    array([2., 4.])
    """
    y = float64(output)
    return float64(grad_output) * np.where(y > 0, 1.0, y + alpha)


def selu_backward(grad_output: ArrayLike, output: ArrayLike) -> Array:
    """Gradient of :func:`selu` from its output.

    >>> selu_backward([1, 1], [-1, 2]).round(4)
    array([0.7581, 1.0507])
    """
    y = float64(output)
    return float64(grad_output) * np.where(y > 0, SELU_SCALE, y + SELU_SCALE * SELU_ALPHA)


def tanh_backward(grad_output: ArrayLike, output: ArrayLike) -> Array:
    """Gradient of :func:`tanh` from its output.

    >>> tanh_backward([4, 4], [0, 0.5])
    array([4., 3.])
    """
    y = float64(output)
    return float64(grad_output) * (1 - y) * (1 + y)


def sigmoid_backward(grad_output: ArrayLike, output: ArrayLike) -> Array:
    """Gradient of :func:`sigmoid` from its output.

    >>> sigmoid_backward([4, 4], [0, 0.5])
    array([0., 1.])
    """
    y = float64(output)
    return float64(grad_output) * y * (1 - y)


def hardsigmoid_backward(grad_output: ArrayLike, output: ArrayLike) -> Array:
    """Gradient of :func:`hardsigmoid` from its output.

    >>> hardsigmoid_backward([6, 6, 6], [0, 0.5, 1])
    array([0., 1., 0.])
    """
    y = float64(output)
    return float64(grad_output) * ((y > 0) & (y < 1)) / 6


def silu_backward(grad_output: ArrayLike, input: ArrayLike) -> Array:
    """Gradient of :func:`silu` from its input.

    >>> silu_backward([4, 4], [0, 100])
    array([2., 4.])
    """
    x = float64(input)
    return float64(grad_output) * sigmoid(x) * (1 + x * sigmoid(-x))


def gelu_backward(grad_output: ArrayLike, input: ArrayLike, approximate: str = "none") -> Array:
    """Gradient of :func:`gelu` from its input.

    >>> gelu_backward([4, 4], [0, 100]), gelu_backward([4, 4], [0, 100], approximate="tanh")
    (array([2., 4.]), array([2., 4.]))
    """
    x = float64(input)
    if approximate == "tanh":
        factor = 2 * math.sqrt(2 / math.pi)
        inner = factor * (x + 0.044715 * x**3)
        derivative = sigmoid(inner) * (1 + x * sigmoid(-inner) * factor * (1 + 3 * 0.044715 * x**2))
    else:
        derivative = normal_cdf(x) + x * np.exp(-0.5 * x**2) / math.sqrt(2 * math.pi)
    return float64(grad_output) * derivative


def softplus_backward(grad_output: ArrayLike, input: ArrayLike, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """Gradient of :func:`softplus` from its input.

    >>> softplus_backward([4, 4], [0, 30])
    array([2., 4.])
    """
    x = float64(input)
    return float64(grad_output) * np.where(beta * x > threshold, 1.0, sigmoid(beta * x))


def hardswish_backward(grad_output: ArrayLike, input: ArrayLike) -> Array:
    """Gradient of :func:`hardswish` from its input.

    >>> hardswish_backward([6, 6, 6], [-4, 0, 4])
    array([0., 3., 6.])
    """
    x = float64(input)
    return float64(grad_output) * np.where(x <= -3, 0.0, np.where(x < 3, x / 3 + 0.5, 1.0))


def softmax_backward(grad_output: ArrayLike, output: ArrayLike, dim: int | None = None) -> Array:
    """Gradient of :func:`softmax` from its output.

    >>> softmax_backward([1, 0], [0.5, 0.5])
    array([ 0.25, -0.25])
    """
    gradient, y = float64(grad_output), float64(output)
    axis = softmax_axis(y, dim)
    if y.ndim == 0:
        return softmax_backward(gradient[None], y[None]).reshape(())
    return np.asarray(y * (gradient - (gradient * y).sum(axis=axis, keepdims=True)))


def log_softmax_backward(grad_output: ArrayLike, output: ArrayLike, dim: int | None = None) -> Array:
    """Gradient of :func:`log_softmax` from its output.

    >>> log_softmax_backward([1, 0], np.log([0.5, 0.5]))
    array([ 0.5, -0.5])
    """
    gradient, y = float64(grad_output), float64(output)
    axis = softmax_axis(y, dim)
    if y.ndim == 0:
        return log_softmax_backward(gradient[None], y[None]).reshape(())
    return np.asarray(gradient - np.exp(y) * gradient.sum(axis=axis, keepdims=True))
