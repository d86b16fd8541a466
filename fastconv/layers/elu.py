"""The exponential linear unit."""

from __future__ import annotations

from typing import Any

from fastconv._arguments.values import number
from fastconv.layers import activations
from fastconv.layers.activation import ActivationLayer


class ELU(ActivationLayer):
    """The exponential linear unit: negative inputs become ``alpha * (exp(x) - 1)``.

    Parameters
    ----------
    alpha : float
    **kwargs
        As for `Layer`.

    Examples
    --------
    >>> ELU()([[-1.0, 2.0]]).round(3)
    array([[-0.632,  2.   ]], dtype=float32)
    """

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(activations.elu(number("alpha", alpha)), **kwargs)
        self.alpha = number("alpha", alpha)
