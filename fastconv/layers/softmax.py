"""Probabilities from scores."""

from __future__ import annotations

from typing import Any

from fastconv._arguments.values import index
from fastconv.layers import activations
from fastconv.layers.activation import ActivationLayer


class Softmax(ActivationLayer):
    """Probabilities from scores: ``exp(x) / sum(exp(x))`` along an axis.

    Parameters
    ----------
    axis : int
    **kwargs
        As for `Layer`.

    Examples
    --------
    >>> Softmax()([[1.0, 1.0]])
    array([[0.5, 0.5]], dtype=float32)
    """

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(activations.softmax(index("axis", axis, "an int")), **kwargs)
        self.axis = index("axis", axis, "an int")
