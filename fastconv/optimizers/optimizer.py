"""What every optimizer has: a learning rate, clipping, weight decay, and a step that writes in place."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from operator import is_not
from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv import _registry
from fastconv._arguments import constructors as check
from fastconv._training import Update, sum_squares
from fastconv.optimizers import schedules
from fastconv.optimizers.schedules import LearningRateSchedule

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastconv.layers.variable import Variable


_RULES: dict[str, check.Rule] = {
    **dict.fromkeys(("amsgrad", "centered", "nesterov"), check.switch),
    **dict.fromkeys(("beta_1", "beta_2", "momentum", "rho"), check.finite),
    **dict.fromkeys(("clipnorm", "clipvalue", "global_clipnorm"), check.optional(check.not_negative)),
    "weight_decay": check.optional(check.finite),
    "epsilon": check.not_negative,
    "name": check.optional(check.text),
}


class Optimizer(check.Checked, rules=_RULES):
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
        self._together: Update | None = None
        self._told: list[Any] = []
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
        return [array for slots in self._slots.values() for array in slots.values()]

    def build(self, variables: Sequence[Variable]) -> None:
        """Make the slots of variables that have none yet."""
        for variable in variables:
            if variable not in self._slots:
                value = variable.value
                self._slots[variable] = {key: np.zeros(value.shape, value.dtype) for key in self.slot_names()}

    def slot_names(self) -> tuple[str, ...]:
        """Return the names of the arrays to keep for each variable; subclasses say which."""
        return ()

    def slot(self, variable: Variable, name: str) -> NDArray[Any]:
        """Return an array that is kept for a variable, zeros at first."""
        return self._slots[variable][name]

    def slots_of(self, variable: Variable) -> dict[str, NDArray[Any]]:
        """Return the arrays that are kept for a variable, by name; none before its first step."""
        return dict(self._slots.get(variable, {}))

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
        keeps = [1.0] * len(trainable_variables)
        if self.weight_decay is not None:
            keeps = [1 - self.weight_decay * rate if self.decays(v) else 1.0 for v in trainable_variables]
        scales, limit = self._clipping(grads)
        self.begin_step()
        if type(self).update_step is Optimizer.update_step:
            self._update(grads, trainable_variables, rate, keeps, scales, limit)
        else:
            for gradient, variable, keep, scale in zip(grads, trainable_variables, keeps, scales, strict=True):
                if keep != 1:
                    variable.value *= keep
                clipped = gradient if scale == 1 else gradient * scale
                self.update_step(clipped if limit == math.inf else np.clip(clipped, -limit, limit), variable, rate)
        self.iterations += 1

    def begin_step(self) -> None:
        """Compute what all variables of a step have in common; nothing by default."""

    def update_step(self, gradient: NDArray[Any], variable: Variable, learning_rate: float) -> None:
        """Change one variable in place; an optimizer of one's own says how."""
        self._update([gradient], [variable], learning_rate, [1.0], [1.0], math.inf)

    def rule(self, learning_rate: float) -> dict[str, Any] | None:
        """Return the engine's rule for a step, by the names of `Update`, or None if it has none."""
        return None

    def _update(
        self,
        grads: Sequence[NDArray[Any]],
        variables: Sequence[Variable],
        rate: float,
        keeps: list[float],
        scales: list[float],
        limit: float,
    ) -> None:
        """Take a step by the engine's rule, all variables in one call."""
        rule = self.rule(rate)
        if rule is None:
            raise TypeError(f"{type(self).__name__} defines no update_step(gradient, variable, learning_rate)")
        told = [*grads, *variables]
        if self._together is None or len(told) != len(self._told) or any(map(is_not, told, self._told)):
            values = [_plain(variable.value, variable) for variable in variables]
            gradients = [_plain(gradient, variable) for gradient, variable in zip(grads, variables, strict=True)]
            slots = [tuple(self._slots[variable].get(name) for name in rule["slots"]) for variable in variables]
            self._together, self._told = Update(values, gradients, slots), told
            copies = [
                (variable, value)
                for variable, value in zip(variables, values, strict=True)
                if value is not variable.value
            ]
            if copies or any(map(is_not, gradients, grads)):
                self._told = []  # copies serve one step
        else:
            copies = []
        options = {name: value for name, value in rule.items() if name != "slots"}
        self._together(keeps=keeps, scales=scales, limit=limit, **options)
        for variable, value in copies:
            variable.value[...] = value

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

    def decays(self, variable: Variable) -> bool:
        """Whether weight decay applies to a variable."""
        named = any(part in variable.name for part in self._undecayed_names)
        return not named and not any(variable is other for other in self._undecayed)

    def _clipping(self, grads: Sequence[NDArray[Any]]) -> tuple[list[float], float]:
        """Return what each gradient is multiplied by, and the largest magnitude that is left of an element."""
        if self.clipnorm or self.global_clipnorm:
            return self.scales([_norm(gradient) for gradient in grads]), math.inf
        return [1.0] * len(grads), self.clipvalue or math.inf

    def scales(self, norms: Sequence[float]) -> list[float]:
        """Return what clipping by norm multiplies gradients of these Euclidean norms by."""
        if self.clipnorm:
            return [self.clipnorm / max(norm, self.clipnorm) for norm in norms]
        limit = self.global_clipnorm or math.inf
        total = math.sqrt(sum(norm**2 for norm in norms))
        return [limit / max(total, limit) if math.isfinite(total) else math.nan] * len(norms)

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
    if not real or not 0 <= learning_rate < np.inf:
        raise ValueError(
            f"learning_rate: expected a number that is not negative, a schedule or a callable, got {learning_rate!r}"
        )
    return float(learning_rate)


def _norm(gradient: NDArray[Any]) -> float:
    total = sum_squares(gradient)
    if total is None:
        total = float(np.square(gradient.reshape(-1), dtype=np.float64).sum())
    return math.sqrt(total)


def _plain(array: NDArray[Any], variable: Variable) -> NDArray[Any]:
    """Return an array, or a copy of it, as the engine reads and writes it.

    Raises
    ------
    ValueError
        If it has not the variable's shape.
    """
    if np.shape(array) != variable.shape:
        raise ValueError(f"{variable.path}: expected a gradient of shape {variable.shape}, got {np.shape(array)}")
    dtype = variable.dtype.newbyteorder("=")
    if type(array) is np.ndarray and array.dtype == dtype and array.flags.c_contiguous and array.flags.aligned:
        return array  # itself: `require` makes a view where the type's object is another one
    return np.require(array, dtype, ["C", "A", "E"])
