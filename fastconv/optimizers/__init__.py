"""Optimizers with Keras' names, arguments, defaults and arithmetic; each step changes the weights in place."""

from typing import Any

from fastconv import _registry
from fastconv.optimizers import schedules
from fastconv.optimizers.adam import Adam
from fastconv.optimizers.adamw import AdamW
from fastconv.optimizers.optimizer import Optimizer
from fastconv.optimizers.rmsprop import RMSprop
from fastconv.optimizers.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "get", "schedules", "serialize"]

_CLASSES = (SGD, Adam, AdamW, RMSprop)
_TABLE: dict[str, Any] = {cls.__name__: cls for cls in _CLASSES} | {cls.__name__.lower(): cls for cls in _CLASSES}


def get(identifier: Any) -> Any:
    """Return an optimizer by name, configuration or itself.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If the identifier is nothing of the kind.

    Examples
    --------
    >>> get("adam").learning_rate
    0.001
    """
    found = _registry.resolve(identifier, _TABLE, "optimizer")
    if not isinstance(found, Optimizer):
        raise TypeError(f"optimizer: expected a name, a configuration or an Optimizer, got {identifier!r}")
    return found


def serialize(optimizer: Optimizer) -> Any:
    """Describe an optimizer as plain JSON types; the steps that it has taken are not part of it.

    Examples
    --------
    >>> serialize(SGD(0.5))["config"]["learning_rate"]
    0.5
    """
    return _registry.serialize(optimizer)
