"""Adam."""

from __future__ import annotations

import math
from typing import Any

from fastconv._arguments.values import number
from fastconv._training import UPDATES
from fastconv.optimizers.optimizer import Optimizer


class Adam(Optimizer):
    """Moving averages of gradients over the roots of those of their squares (Kingma and Ba, 2014).

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
    beta_1, beta_2 : float
        Weights of the past in the averages of gradients and of their squares.
    epsilon : float
        Added to the root; the paper's "epsilon hat".
    amsgrad : bool
        Divide by the largest average so far (Reddi et al., 2018).
    weight_decay, clipnorm, clipvalue, global_clipnorm, name, **kwargs
        As for `Optimizer`.

    Examples
    --------
    >>> Adam().learning_rate
    0.001
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name, **kwargs)
        self.beta_1 = number("beta_1", beta_1)
        self.beta_2 = number("beta_2", beta_2)
        self.epsilon = number("epsilon", epsilon)
        self.amsgrad = bool(amsgrad)
        self._correction = 1.0

    def slot_names(self) -> tuple[str, ...]:
        """Return the names of the arrays to keep for each variable."""
        return ("momentum", "velocity", *(["velocity_max"] if self.amsgrad else []))

    def begin_step(self) -> None:
        """Compute what makes up for averages that began at zero."""
        step = self.iterations + 1
        self._correction = math.sqrt(1 - self.beta_2**step) / (1 - self.beta_1**step)

    def rule(self, learning_rate: float) -> dict[str, Any]:
        """Return the engine's rule for a step."""
        return {
            "kind": UPDATES["adam"],
            "slots": ("momentum", "velocity", "velocity_max"),
            "rate": learning_rate * self._correction,
            "first": self.beta_1,
            "second": self.beta_2,
            "epsilon": self.epsilon,
        }
