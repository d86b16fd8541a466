"""What every optimizer has: a learning rate, clipping, weight decay, and a step that writes in place."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv import _registry
from fastconv.optimizers import schedules
from fastconv.optimizers.schedules import LearningRateSchedule

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastconv.layers.variable import Variable


class Optimizer:
    """Base of all optimizers.

    One of one's own defines ``update_step(gradient, variable, learning_rate)``; it finds arrays of its own for each
    variable by `slot`.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
        A callable has no arguments.
    weight_decay : float, optional
        The part of the weights, times the learning rate, that each step takes away.
    clipnorm : float, optional
        The largest Euclidean norm of one variable's gradient.
    clipvalue : float, optional
        The largest magnitude within a gradient.
    global_clipnorm : float, optional
        The largest Euclidean norm of all gradients together.
    name : str, optional
    **kwargs
        ``decay``, as in older scripts: the learning rate is divided by ``1 + decay * steps``.

    Raises
    ------
    ValueError
        If the learning rate is no number, schedule or callable, an argument is unknown, or more than one kind of
        clipping is asked for.

    Examples
    --------
    >>> class Sign(Optimizer):
    ...     def update_step(self, gradient, variable, learning_rate):
    ...         variable.value -= learning_rate * np.sign(gradient)
    >>> Sign(learning_rate=0.1).learning_rate
    0.1
    """

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule | Callable[[], float] = 0.01,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        decay = kwargs.pop("decay", None)
        if kwargs:
            raise ValueError(f"Argument(s) not recognized: {kwargs}")
        if sum(limit is not None for limit in (clipnorm, clipvalue, global_clipnorm)) > 1:
            raise ValueError(
                "Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set. Received:"
                f" clipnorm={clipnorm}, clipvalue={clipvalue}, global_clipnorm={global_clipnorm}"
            )
        if isinstance(learning_rate, dict):
            learning_rate = schedules.deserialize(learning_rate)
        if decay:
            learning_rate = schedules.InverseTimeDecay(_number(learning_rate), 1, decay)
        self._rate: float | LearningRateSchedule | Callable[[], float]
        self._rate = learning_rate if callable(learning_rate) else _number(learning_rate)
        self.name = name or _registry.unique_name(type(self).__name__)
        self.weight_decay = weight_decay
        self.clipnorm = clipnorm
        self.clipvalue = clipvalue
        self.global_clipnorm = global_clipnorm
        self.iterations = 0
        self._slots: dict[Variable, dict[str, NDArray[Any]]] = {}
        self._undecayed: list[Variable] = []
        self._undecayed_names: list[str] = []

    @property
    def learning_rate(self) -> Any:
        """The learning rate of the next step; setting it replaces a number, but not a schedule."""
        if isinstance(self._rate, LearningRateSchedule):
            return self._rate(self.iterations)
        return float(self._rate()) if callable(self._rate) else self._rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if callable(self._rate) and not callable(value):
            raise TypeError(
                "This optimizer was created with a `LearningRateSchedule` object as its `learning_rate` constructor"
                " argument, hence its learning rate is not settable."
            )
        self._rate = value if callable(value) else _number(value)

    @property
    def built(self) -> bool:
        """Whether there are slots for variables."""
        return bool(self._slots)

    @property
    def variables(self) -> list[NDArray[Any]]:
        """The arrays that the optimizer keeps, such as momenta, variable after variable."""
        return [array for slots in self._slots.values() for key, array in slots.items() if key != "scratch"]

    def build(self, variables: Sequence[Variable]) -> None:
        """Make the slots of variables that have none yet."""
        for variable in variables:
            if variable not in self._slots:
                value = variable.value
                self._slots[variable] = {key: np.zeros_like(value) for key in self.slot_names()}
                self._slots[variable]["scratch"] = np.empty_like(value)

    def slot_names(self) -> tuple[str, ...]:
        """Return the names of the arrays to keep for each variable; subclasses say which."""
        return ()

    def slot(self, variable: Variable, name: str) -> NDArray[Any]:
        """Return an array that is kept for a variable, zeros at first; ``"scratch"`` may hold anything."""
        return self._slots[variable][name]

    def slots_of(self, variable: Variable) -> dict[str, NDArray[Any]]:
        """Return the arrays that are kept for a variable, by name; none before its first step."""
        return {key: array for key, array in self._slots.get(variable, {}).items() if key != "scratch"}

    def restore(self, variable: Variable, state: dict[str, NDArray[Any]]) -> None:
        """Take over the arrays to keep for a variable, as `slots_of` returned them.

        Raises
        ------
        ValueError
            If their names or shapes differ.
        """
        self.build([variable])
        slots = self.slots_of(variable)
        if slots.keys() != state.keys() or any(slots[key].shape != state[key].shape for key in slots):
            raise ValueError(f"{self.name}: the state of {variable.path} does not fit")
        for key, array in slots.items():
            np.copyto(array, state[key])

    def apply_gradients(self, grads_and_vars: Iterable[tuple[NDArray[Any], Variable]]) -> int:
        """Take one step, from pairs of gradient and variable; return the number of steps so far."""
        gradients, variables = zip(*grads_and_vars, strict=True)
        self.apply(gradients, variables)
        return self.iterations

    def apply(self, grads: Sequence[NDArray[Any]], trainable_variables: Sequence[Variable]) -> None:
        """Take one step: change each variable in place by its gradient.

        Parameters
        ----------
        grads : sequence of ndarray
            Left as they are.
        trainable_variables : sequence of Variable
        """
        self.build(trainable_variables)
        rate = self.learning_rate
        grads = self._clipped(grads)
        if self.weight_decay is not None:
            for variable in trainable_variables:
                if self._decays(variable):
                    variable.value *= 1 - self.weight_decay * rate
        self.begin_step()
        for gradient, variable in zip(grads, trainable_variables, strict=True):
            self.update_step(gradient, variable, rate)
        self.iterations += 1

    def begin_step(self) -> None:
        """Compute what all variables of a step have in common; nothing by default."""

    def update_step(self, gradient: NDArray[Any], variable: Variable, learning_rate: float) -> None:
        """Change one variable in place; subclasses say how."""
        raise TypeError(f"{type(self).__name__} defines no update_step(gradient, variable, learning_rate)")

    def exclude_from_weight_decay(
        self, var_list: Sequence[Variable] | None = None, var_names: Sequence[str] | None = None
    ) -> None:
        """Leave variables out of weight decay, by themselves or by a part of their name, such as ``"bias"``.

        Raises
        ------
        ValueError
            If the first step has been taken.
        """
        if self.built:
            raise ValueError("`exclude_from_weight_decay()` can only be configured before the optimizer is built.")
        self._undecayed = list(var_list or [])
        self._undecayed_names = list(var_names or [])

    def _decays(self, variable: Variable) -> bool:
        named = any(part in variable.name for part in self._undecayed_names)
        return not named and not any(variable is other for other in self._undecayed)

    def _clipped(self, grads: Sequence[NDArray[Any]]) -> Sequence[NDArray[Any]]:
        if self.clipnorm:
            return [gradient * (self.clipnorm / max(_norm(gradient), self.clipnorm)) for gradient in grads]
        if self.global_clipnorm:
            total = math.sqrt(sum(_norm(gradient) ** 2 for gradient in grads))
            scale = self.global_clipnorm / max(total, self.global_clipnorm) if math.isfinite(total) else math.nan
            return [gradient * scale for gradient in grads]
        if self.clipvalue:
            return [np.clip(gradient, -self.clipvalue, self.clipvalue) for gradient in grads]
        return grads

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain JSON types.

        Raises
        ------
        TypeError
            If the learning rate is a callable that cannot be described.
        """
        config = {key: value for key, value in vars(self).items() if not key.startswith("_") and key != "iterations"}
        scheduled = isinstance(self._rate, LearningRateSchedule)
        if callable(self._rate) and not scheduled:
            raise TypeError("learning_rate: a callable cannot be described in a configuration; use a schedule")
        return config | {"learning_rate": _registry.serialize(self._rate)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Optimizer:
        """Make an optimizer, without any steps taken, from what `get_config` returned."""
        return cls(**config)


def _number(learning_rate: Any) -> float:
    real = isinstance(learning_rate, (int, float, np.number)) and not isinstance(learning_rate, bool)
    if not real or learning_rate < 0:
        raise ValueError(
            f"learning_rate: expected a number that is not negative, a schedule or a callable, got {learning_rate!r}"
        )
    return float(learning_rate)


def _norm(gradient: NDArray[Any]) -> float:
    flat = gradient.reshape(-1)
    return math.sqrt(float(np.square(flat, dtype=np.float64).sum()))
