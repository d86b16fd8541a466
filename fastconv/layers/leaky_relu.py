"""The leaky rectifier."""

from __future__ import annotations

from typing import Any

from fastconv._arguments.values import number
from fastconv.layers import activations
from fastconv.layers.activation import ActivationLayer


class LeakyReLU(ActivationLayer):
    """The leaky rectifier: negative inputs are scaled by a slope.

    Parameters
    ----------
    negative_slope : float
        0.3 by default, as in Keras; torch's is 0.01.
    **kwargs
        As for `Layer`; ``alpha`` is an older name of `negative_slope`.

    Raises
    ------
    ValueError
        If the slope is None or negative.

    Examples
    --------
    >>> LeakyReLU(0.5)([[-1.0, 2.0]])
    array([[-0.5,  2. ]], dtype=float32)
    """

    def __init__(self, negative_slope: float = 0.3, **kwargs: Any) -> None:
        negative_slope = kwargs.pop("alpha", negative_slope)
        if negative_slope is None or number("negative_slope", negative_slope) < 0:
            raise ValueError(
                "The negative_slope value of a Leaky ReLU layer cannot be None or negative value."
                f" Expected a float. Received: negative_slope={negative_slope}"
            )
        super().__init__(activations.leaky_relu(negative_slope), **kwargs)
        self.negative_slope = negative_slope
