"""Gradient descent, with momentum."""

from __future__ import annotations

from typing import Any

from fastconv._training import UPDATES
from fastconv.optimizers.optimizer import Optimizer


class SGD(Optimizer):
    """Gradient descent: ``w -= learning_rate * g``.

    With momentum, ``v = momentum * v - learning_rate * g`` and ``w += v``; with nesterov, too, then
    ``w += momentum * v - learning_rate * g`` (Sutskever et al., 2013).

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
    momentum : float
        From 0 to 1.
    nesterov : bool
    weight_decay, clipnorm, clipvalue, global_clipnorm, name, **kwargs
        As for `Optimizer`.

    Raises
    ------
    ValueError
        If the momentum is not from 0 to 1.

    Examples
    --------
    >>> SGD(0.1, momentum=0.9).get_config()["momentum"]
    0.9
    """

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name, **kwargs)
        if not isinstance(momentum, (int, float)) or not 0 <= momentum <= 1:
            raise ValueError("`momentum` must be a float between [0, 1].")
        self.momentum = float(momentum)
        self.nesterov = bool(nesterov)

    def slot_names(self) -> tuple[str, ...]:
        """Return the names of the arrays to keep for each variable."""
        return ("momentum",) if self.momentum else ()

    def rule(self, learning_rate: float) -> dict[str, Any]:
        """Return the engine's rule for a step."""
        return {
            "kind": UPDATES["sgd"],
            "slots": ("momentum",),
            "rate": learning_rate,
            "momentum": self.momentum,
            "nesterov": self.nesterov,
        }
