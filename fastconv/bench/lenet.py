"""LeNet-5 from its definition, in NumPy and float64: prediction, loss, and the gradients of all ten arrays.

Images are (batch, 32, 32, 1), weights in Keras' order and layouts: c1, c3, c5 as HWIO, f6 and the output as (in, out),
each followed by its bias.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.bench.exact import Array, generator

SHAPES = [(5, 5, 1, 6), (5, 5, 6, 16), (5, 5, 16, 120), (120, 84), (84, 10)]
EXTENTS = [28, 10, 1, 1, 1]
# Two for a multiply-add of the five layers that multiply.
FLOPS = sum(2 * int(np.prod(shape)) * extent**2 for shape, extent in zip(SHAPES, EXTENTS, strict=True))


def random_weights() -> list[Array]:
    """Glorot's range for weights, and biases that are not zero."""
    rng, weights = generator("LeNet-5"), []
    for shape in SHAPES:
        field = int(np.prod(shape[:-2]))
        limit = np.sqrt(6 / (field * (shape[-2] + shape[-1])))
        weights += [rng.uniform(-limit, limit, shape), rng.uniform(-0.1, 0.1, shape[-1])]
    return [weight.astype(np.float32) for weight in weights]


def windows(x: Array) -> Array:
    """Return the 5 × 5 windows of (n, h, w, c) as (n, h - 4, w - 4, c, 5, 5)."""
    return np.lib.stride_tricks.sliding_window_view(x, (5, 5), axis=(1, 2))


def halved(x: Array) -> Array:
    n, h, w, c = x.shape
    mean: Array = x.reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4))
    return mean


def conv_tanh(x: Array, w: Array, b: Array) -> Array:
    result: Array = np.tanh(np.einsum("nhwcij,ijck->nhwk", windows(x), w, optimize=True) + b)
    return result


def conv_backward(x: Array, y: Array, w: Array, g: Array) -> tuple[Array, Array, Array]:
    """Return dL/dx, dL/dw, dL/db from g = dL/dy, where y = tanh(conv(x))."""
    g = g * (1 - y**2)
    edges = np.pad(g, ((0, 0), (4, 4), (4, 4), (0, 0)))
    dx = np.einsum("nhwkij,ijck->nhwc", windows(edges), w[::-1, ::-1], optimize=True)
    return dx, np.einsum("nhwcij,nhwk->ijck", windows(x), g, optimize=True), g.sum((0, 1, 2))


def doubled(g: Array) -> Array:
    return g.repeat(2, 1).repeat(2, 2) / 4


def forward(weights: list[Array], x: Array) -> list[Array]:
    """Return what each layer makes, the input first and the probabilities last."""
    w1, b1, w3, b3, w5, b5, w6, b6, w7, b7 = (weight.astype(np.float64) for weight in weights)
    x = x.astype(np.float64)
    s2 = halved(c1 := conv_tanh(x, w1, b1))
    s4 = halved(c3 := conv_tanh(s2, w3, b3))
    c5 = conv_tanh(s4, w5, b5)
    f6 = np.tanh(c5[:, 0, 0] @ w6 + b6)
    scores = f6 @ w7 + b7
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return [x, c1, s2, c3, s4, c5, f6, powers / powers.sum(1, keepdims=True)]


def gradients(weights: list[Array], x: Array, labels: Array) -> list[Any]:
    """Of the mean cross-entropy, in the weights' order."""
    w1, _, w3, _, w5, _, w6, _, w7, _ = (weight.astype(np.float64) for weight in weights)
    x, c1, s2, c3, s4, c5, f6, probabilities = forward(weights, x)
    g = (probabilities - np.eye(10)[labels]) / len(x)
    d7 = [f6.T @ g, g.sum(0)]
    g = g @ w7.T * (1 - f6**2)
    d6 = [c5[:, 0, 0].T @ g, g.sum(0)]
    g, *d5 = conv_backward(s4, c5, w5, (g @ w6.T)[:, None, None])
    g, *d3 = conv_backward(s2, c3, w3, doubled(g))
    _, *d1 = conv_backward(x, c1, w1, doubled(g))
    return [*d1, *d3, *d5, *d6, *d7]
