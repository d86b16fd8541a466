"""Activations: each takes an array of any shape and returns float64 of that shape, as torch's of its name."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from fastconv.reference.shapes import Array

SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


def float64(value: ArrayLike) -> Array:
    """Return a new float64 array."""
    return np.asarray(value).astype(np.float64)


def relu(input: ArrayLike) -> Array:
    """``max(x, 0)``; NaN stays.

    >>> relu([-1, 0, 2])
    array([0., 0., 2.])
    """
    return np.maximum(float64(input), 0.0)


def relu6(input: ArrayLike) -> Array:
    """``min(max(x, 0), 6)``.

    >>> relu6([-1, 2, 8])
    array([0., 2., 6.])
    """
    return np.minimum(np.maximum(float64(input), 0.0), 6.0)


def leaky_relu(input: ArrayLike, negative_slope: float = 0.01) -> Array:
    """``x`` where positive, else ``negative_slope * x``.

    >>> leaky_relu([-1, 2], 0.25)
    array([-0.25,  2.  ])
    """
    x = float64(input)
    return np.where(x > 0, x, negative_slope * x)


def elu(input: ArrayLike, alpha: float = 1.0) -> Array:
    """``x`` where positive, else ``alpha * (exp(x) - 1)``.

    >>> elu([-np.inf, 0, 2])
    array([-1.,  0.,  2.])
    """
    x = float64(input)
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0)))


def selu(input: ArrayLike) -> Array:
    """``1.0507 * elu(x, 1.6733)``, the constants in full being those of Klambauer et al. 2017.

    >>> selu([-np.inf, 0, 1]).round(4)
    array([-1.7581,  0.    ,  1.0507])
    """
    return SELU_SCALE * elu(input, SELU_ALPHA)


def sigmoid(input: ArrayLike) -> Array:
    """``1 / (1 + exp(-x))``.

    >>> sigmoid([-np.inf, 0, np.inf])
    array([0. , 0.5, 1. ])
    """
    x = float64(input)
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1.0 + small)


def tanh(input: ArrayLike) -> Array:
    """Hyperbolic tangent.

    >>> tanh([-np.inf, 0, np.inf])
    array([-1.,  0.,  1.])
    """
    return np.tanh(float64(input))


def silu(input: ArrayLike) -> Array:
    """``x * sigmoid(x)``.

    >>> silu([0, 100])
    array([  0., 100.])
    """
    with np.errstate(invalid="ignore"):
        return float64(input) * sigmoid(input)


def normal_cdf(x: Array) -> Array:
    """Probability that a standard normal variable is at most ``x``."""
    return np.asarray(np.vectorize(lambda v: 0.5 * math.erfc(-v / math.sqrt(2)), otypes=[np.float64])(x), np.float64)


def gelu(input: ArrayLike, approximate: str = "none") -> Array:
    """``x`` times the normal distribution's ``P(X <= x)``; ``approximate="tanh"``: by its usual approximation.

    >>> gelu([0, 1, 100]).round(4)
    array([  0.    ,   0.8413, 100.    ])
    >>> gelu([0, 1, 100], approximate="tanh").round(4)
    array([  0.    ,   0.8412, 100.    ])
    """
    x = float64(input)
    with np.errstate(invalid="ignore", over="ignore"):
        if approximate == "tanh":
            return x * sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
        return x * normal_cdf(x)


def softplus(input: ArrayLike, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """``log(1 + exp(beta * x)) / beta``, and ``x`` where ``beta * x > threshold``.

    >>> softplus([-np.inf, 0, 30]).round(4)
    array([ 0.    ,  0.6931, 30.    ])
    """
    x = float64(input)
    return np.where(beta * x > threshold, x, np.log1p(np.exp(np.minimum(beta * x, threshold))) / beta)


def hardsigmoid(input: ArrayLike) -> Array:
    """``relu6(x + 3) / 6``.

    >>> hardsigmoid([-4, 0, 4])
    array([0. , 0.5, 1. ])
    """
    return relu6(float64(input) + 3) / 6


def hardswish(input: ArrayLike) -> Array:
    """``x * relu6(x + 3) / 6``.

    >>> hardswish([-4, 0, 3, 4])
    array([-0.,  0.,  3.,  4.])
    """
    with np.errstate(invalid="ignore"):
        return float64(input) * hardsigmoid(input)


def softmax_axis(x: Array, dim: int | None) -> int:
    """Follow torch's rule where no dimension is named: 0 for arrays of 0, 1 or 3 dimensions, else 1."""
    return (0 if x.ndim in (0, 1, 3) else 1) if dim is None else dim


def softmax(input: ArrayLike, dim: int | None = None) -> Array:
    """``exp(x) / sum(exp(x))`` along ``dim`` (by default 0 for arrays of 0, 1 or 3 dimensions, else 1).

    >>> softmax([[0, 0], [1, 1000]])
    array([[0.5, 0.5],
           [0. , 1. ]])
    """
    x = float64(input)
    axis = softmax_axis(x, dim)
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
    x = float64(input)
    axis = softmax_axis(x, dim)
    if x.ndim == 0:
        return log_softmax(x[None]).reshape(())
    with np.errstate(invalid="ignore", divide="ignore"):
        shifted = x - x.max(axis=axis, keepdims=True, initial=-np.inf)
        return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True)))


# By the names that a convolution's `activation` takes.
ACTIVATIONS: dict[str, Callable[[ArrayLike], Array]] = {
    "linear": float64,
    "exp": lambda input: np.exp(float64(input)),
    "gelu_tanh": lambda input: gelu(input, approximate="tanh"),
}
ACTIVATIONS |= {
    function.__name__: function
    for function in (
        relu, relu6, leaky_relu, elu, selu, sigmoid, tanh, silu, gelu, softplus, hardsigmoid, hardswish
    )
}  # fmt: skip
