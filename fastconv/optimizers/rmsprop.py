"""RMSprop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv.optimizers.optimizer import Optimizer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastconv.layers.variable import Variable


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
        self.rho = float(rho)
        self.momentum = float(momentum)
        self.epsilon = float(epsilon)
        self.centered = bool(centered)

    def slot_names(self) -> tuple[str, ...]:
        """Return the names of the arrays to keep for each variable."""
        return ("velocity", *(["momentum"] if self.momentum else []), *(["average"] if self.centered else []))

    def update_step(self, gradient: NDArray[Any], variable: Variable, learning_rate: float) -> None:
        """Change one variable in place."""
        slots = self._slots[variable]
        velocity, scratch = slots["velocity"], slots["scratch"]
        np.multiply(gradient, gradient, out=scratch)
        _blend(velocity, scratch, self.rho)
        if self.centered:
            average = slots["average"]
            np.copyto(scratch, gradient)
            _blend(average, scratch, self.rho)
            np.multiply(average, average, out=scratch)
            np.subtract(velocity, scratch, out=scratch)
            np.add(scratch, self.epsilon, out=scratch)
        else:
            np.add(velocity, self.epsilon, out=scratch)
        np.sqrt(scratch, out=scratch)
        np.divide(gradient, scratch, out=scratch)
        np.multiply(scratch, learning_rate, out=scratch)
        if self.momentum:
            momentum = slots["momentum"]
            np.multiply(momentum, self.momentum, out=momentum)
            np.add(momentum, scratch, out=momentum)
            scratch = momentum
        np.subtract(variable.value, scratch, out=variable.value)


def _blend(average: NDArray[Any], values: NDArray[Any], weight: float) -> None:
    """Move an average towards values, which are written over."""
    np.multiply(average, weight, out=average)
    np.multiply(values, 1 - weight, out=values)
    np.add(average, values, out=average)
