"""RMSprop."""

from __future__ import annotations

from typing import Any

from fastconv._arguments.values import number
from fastconv._training import UPDATES
from fastconv.optimizers.optimizer import Optimizer


class RMSprop(Optimizer):
    """Gradients divided by the root of a moving average of their squares (Tieleman and Hinton, 2012).

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
    rho : float
        Weight of the past in the moving average.
    momentum : float
    epsilon : float
        Added to the average.
    centered : bool
        Subtract the squared average of the gradients from that of their squares.
    weight_decay, clipnorm, clipvalue, global_clipnorm, name, **kwargs
        As for `Optimizer`.

    Examples
    --------
    >>> RMSprop().learning_rate
    0.001
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name, **kwargs)
        self.rho = number("rho", rho)
        self.momentum = number("momentum", momentum)
        self.epsilon = number("epsilon", epsilon)
        self.centered = bool(centered)

    def slot_names(self) -> tuple[str, ...]:
        """Return the names of the arrays to keep for each variable."""
        return ("velocity", *(["momentum"] if self.momentum else []), *(["average"] if self.centered else []))

    def rule(self, learning_rate: float) -> dict[str, Any]:
        """Return the engine's rule for a step."""
        return {
            "kind": UPDATES["rmsprop"],
            "slots": ("velocity", "momentum", "average"),
            "rate": learning_rate,
            "momentum": self.momentum,
            "second": self.rho,
            "epsilon": self.epsilon,
        }
