"""The rectifier."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv._arguments.values import number
from fastconv.layers import activations
from fastconv.layers.activation import ActivationLayer
from fastconv.layers.activations import ActivationFunction
from fastconv.layers.arguments import Array


class ReLU(ActivationLayer):
    """The rectifier: x from `threshold` up to `max_value`, and ``negative_slope * (x - threshold)`` below.

    Parameters
    ----------
    max_value : float, optional
        No limit by default.
    negative_slope, threshold : float
    **kwargs
        As for `Layer`.

    Raises
    ------
    ValueError
        If an argument is negative or None where a number is needed.

    Examples
    --------
    >>> ReLU(max_value=6)([[-1.0, 2.0, 8.0]])
    array([[0., 2., 6.]], dtype=float32)
    """

    def __init__(
        self, max_value: float | None = None, negative_slope: float = 0.0, threshold: float = 0.0, **kwargs: Any
    ) -> None:
        if max_value is not None and number("max_value", max_value) < 0:
            raise ValueError(f"max_value of a ReLU layer cannot be a negative value. Received: {max_value}")
        if negative_slope is None or number("negative_slope", negative_slope) < 0:
            raise ValueError(
                f"negative_slope of a ReLU layer cannot be None or a negative value. Received: {negative_slope}"
            )
        if threshold is None or number("threshold", threshold) < 0:
            raise ValueError(f"threshold of a ReLU layer cannot be None or a negative value. Received: {threshold}")
        super().__init__(_rectifier(max_value, negative_slope, threshold), **kwargs)
        self.max_value = max_value
        self.negative_slope = negative_slope
        self.threshold = threshold


def _rectifier(max_value: float | None, negative_slope: float, threshold: float) -> ActivationFunction:
    """Take the engine's rectifier where it has one, and NumPy otherwise."""
    if threshold == 0 and negative_slope == 0 and max_value in (None, 6):
        return activations.get("relu" if max_value is None else "relu6")
    if threshold == 0 and max_value is None:
        return activations.leaky_relu(negative_slope)
    ceiling = np.inf if max_value is None else max_value

    def forward(x: Array, out: Array | None) -> Array:
        below = negative_slope * (x - threshold)
        return np.where(x >= threshold, np.minimum(x, ceiling), below).astype(x.dtype, copy=False)

    def backward(gradient: Array, x: Array) -> Array:
        slope = np.where(x >= threshold, (x < ceiling).astype(x.dtype), negative_slope)
        return np.multiply(gradient, slope, out=gradient, casting="same_kind")

    parameters = {"max_value": max_value, "negative_slope": negative_slope, "threshold": threshold}
    return ActivationFunction("rectifier", forward, backward, saves="input", parameters=parameters)
