"""Learning rates that change with the number of steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fastconv import _registry

__all__ = [
    "CosineDecay",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "deserialize",
    "serialize",
]


class LearningRateSchedule:
    """Base of all schedules: called with the number of steps so far, it returns the learning rate.

    Examples
    --------
    >>> class Halved(LearningRateSchedule):
    ...     def __call__(self, step):
    ...         return 0.1 * 0.5**step
    >>> Halved()(1)
    0.05
    """

    def __call__(self, step: int) -> float:
        """Return the learning rate after a number of steps."""
        raise TypeError(f"{type(self).__name__} defines no __call__(step)")

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {key: value for key, value in vars(self).items() if not key.startswith("_")}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LearningRateSchedule:
        """Make a schedule from what `get_config` returned."""
        return cls(**config)


class ExponentialDecay(LearningRateSchedule):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate, decay_rate : float
    decay_steps : int
    staircase : bool
        Round ``step / decay_steps`` down.
    name : str

    Raises
    ------
    ValueError
        If `decay_steps` is not positive.

    Examples
    --------
    >>> ExponentialDecay(0.1, decay_steps=10, decay_rate=0.5)(20)
    0.025
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        self.initial_learning_rate = float(initial_learning_rate)
        self.decay_steps = _positive(decay_steps)
        self.decay_rate = float(decay_rate)
        self.staircase = bool(staircase)
        self.name = name

    def __call__(self, step: int) -> float:
        """Return the learning rate after a number of steps."""
        return float(self.initial_learning_rate * self.decay_rate ** _periods(step, self.decay_steps, self.staircase))


class InverseTimeDecay(LearningRateSchedule):
    """``initial_learning_rate / (1 + decay_rate * step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate, decay_rate : float
    decay_steps : int
    staircase : bool
        Round ``step / decay_steps`` down.
    name : str

    Raises
    ------
    ValueError
        If `decay_steps` is not positive.

    Examples
    --------
    >>> InverseTimeDecay(0.1, decay_steps=10, decay_rate=1.0)(10)
    0.05
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        self.initial_learning_rate = float(initial_learning_rate)
        self.decay_steps = _positive(decay_steps)
        self.decay_rate = float(decay_rate)
        self.staircase = bool(staircase)
        self.name = name

    def __call__(self, step: int) -> float:
        """Return the learning rate after a number of steps."""
        periods = _periods(step, self.decay_steps, self.staircase)
        return self.initial_learning_rate / (1 + self.decay_rate * periods)


class PiecewiseConstantDecay(LearningRateSchedule):
    """One value up to each boundary, and another after the last.

    Parameters
    ----------
    boundaries : sequence of int
        Steps, rising.
    values : sequence of float
        One more than boundaries.
    name : str

    Raises
    ------
    ValueError
        If there is not one value more than there are boundaries.

    Examples
    --------
    >>> schedule = PiecewiseConstantDecay([100, 200], [0.1, 0.01, 0.001])
    >>> schedule(100), schedule(101), schedule(300)
    (0.1, 0.01, 0.001)
    """

    def __init__(self, boundaries: Sequence[float], values: Sequence[float], name: str = "PiecewiseConstant") -> None:
        if len(boundaries) != len(values) - 1:
            raise ValueError(
                "The length of boundaries should be 1 less than the length of values."
                f" Received: boundaries={boundaries} of length {len(boundaries)},"
                f" and values={values} of length {len(values)}."
            )
        self.boundaries = list(boundaries)
        self.values = [float(value) for value in values]
        self.name = name

    def __call__(self, step: int) -> float:
        """Return the learning rate after a number of steps."""
        return self.values[sum(step > boundary for boundary in self.boundaries)]


class PolynomialDecay(LearningRateSchedule):
    """From the initial rate to the end rate along ``(1 - step / decay_steps) ** power``.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
    end_learning_rate, power : float
    cycle : bool
        Start again, over twice, three times … the steps, instead of staying at the end rate.
    name : str

    Raises
    ------
    ValueError
        If `decay_steps` is not positive.

    Examples
    --------
    >>> PolynomialDecay(0.1, decay_steps=10, end_learning_rate=0.0)(5)
    0.05
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        self.initial_learning_rate = float(initial_learning_rate)
        self.decay_steps = _positive(decay_steps)
        self.end_learning_rate = float(end_learning_rate)
        self.power = float(power)
        self.cycle = bool(cycle)
        self.name = name

    def __call__(self, step: int) -> float:
        """Return the learning rate after a number of steps."""
        steps: float = self.decay_steps
        if self.cycle:
            steps *= max(1, math.ceil(step / self.decay_steps))
        left = 1 - min(step, steps) / steps
        span = self.initial_learning_rate - self.end_learning_rate
        return float(span * left**self.power + self.end_learning_rate)


class CosineDecay(LearningRateSchedule):
    """After an optional rise, half a cosine from the initial rate down to its `alpha`-th part (Loshchilov, 2016).

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
    alpha : float
        The lowest rate, as a part of the initial one.
    name : str
    warmup_target : float, optional
        The rate to which it first rises, and which it then falls from.
    warmup_steps : int

    Raises
    ------
    ValueError
        If `decay_steps` is not positive.

    Examples
    --------
    >>> round(CosineDecay(0.1, decay_steps=10)(5), 6)
    0.05
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        self.initial_learning_rate = float(initial_learning_rate)
        self.decay_steps = _positive(decay_steps)
        self.alpha = float(alpha)
        self.name = name
        self.warmup_target = warmup_target
        self.warmup_steps = int(warmup_steps)

    def __call__(self, step: int) -> float:
        """Return the learning rate after a number of steps."""
        top = self.initial_learning_rate
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return top + (self.warmup_target - top) * step / self.warmup_steps
            top = self.warmup_target
            step -= self.warmup_steps
        cosine = 0.5 * (1 + math.cos(math.pi * min(step, self.decay_steps) / self.decay_steps))
        return top * ((1 - self.alpha) * cosine + self.alpha)


def _positive(decay_steps: int) -> int:
    if decay_steps <= 0:
        raise ValueError(f"Argument `decay_steps` must be > 0. Received: decay_steps={decay_steps}")
    return decay_steps


def _periods(step: int, decay_steps: int, staircase: bool) -> float:
    return step // decay_steps if staircase else step / decay_steps


_CLASSES = (CosineDecay, ExponentialDecay, InverseTimeDecay, PiecewiseConstantDecay, PolynomialDecay)
_TABLE: dict[str, Any] = {cls.__name__: cls for cls in _CLASSES}


def deserialize(config: Any) -> Any:
    """Make a schedule from what `serialize` returned.

    Examples
    --------
    >>> deserialize(serialize(InverseTimeDecay(0.1, 10, 1.0)))(10)
    0.05
    """
    return _registry.resolve(config, _TABLE, "learning rate schedule")


def serialize(learning_rate_schedule: LearningRateSchedule) -> Any:
    """Describe a schedule as plain JSON types.

    Examples
    --------
    >>> serialize(InverseTimeDecay(0.1, 10, 1.0))["class_name"]
    'InverseTimeDecay'
    """
    return _registry.serialize(learning_rate_schedule)
