"""Penalties on weights that training adds to the loss: L1, L2, and both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv import _registry

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["L1", "L1L2", "L2", "Regularizer", "get", "l1", "l1_l2", "l2", "serialize"]


class Regularizer:
    """Base of all regularizers: called with weights it returns the penalty; `gradient` is its derivative.

    Examples
    --------
    >>> class Sum(Regularizer):
    ...     def __call__(self, x):
    ...         return float(x.sum())
    ...     def gradient(self, x):
    ...         return np.ones_like(x)
    >>> Sum()(np.ones(3))
    3.0
    """

    def __call__(self, x: NDArray[Any]) -> float:
        """Return the penalty of weights."""
        raise TypeError(f"{type(self).__name__} defines no __call__(x)")

    def gradient(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return the derivative of the penalty, of the weights' shape."""
        raise TypeError(f"{type(self).__name__} defines no gradient(x), which training needs")

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return dict(vars(self))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Regularizer:
        """Make a regularizer from what `get_config` returned."""
        return cls(**config)


class L1L2(Regularizer):
    """``l1 * sum(abs(x)) + l2 * sum(x ** 2)``.

    Parameters
    ----------
    l1, l2 : float

    Examples
    --------
    >>> L1L2(0.5, 0.25)(np.array([1.0, -2.0]))
    2.75
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1 = _factor(l1, "l1", 0.0)
        self.l2 = _factor(l2, "l2", 0.0)

    def __call__(self, x: NDArray[Any]) -> float:
        """Return the penalty of weights."""
        return _penalty(x, self.l1, self.l2)

    def gradient(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return the derivative of the penalty."""
        slope: NDArray[Any] = self.l1 * np.sign(x) + (2 * self.l2) * x
        return slope


class L1(Regularizer):
    """``l1 * sum(abs(x))``.

    Parameters
    ----------
    l1 : float

    Examples
    --------
    >>> L1(0.5)(np.array([1.0, -2.0]))
    1.5
    """

    def __init__(self, l1: float = 0.01) -> None:
        self.l1 = _factor(l1, "l1", 0.01)

    def __call__(self, x: NDArray[Any]) -> float:
        """Return the penalty of weights."""
        return _penalty(x, self.l1, 0.0)

    def gradient(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return the derivative of the penalty."""
        slope: NDArray[Any] = self.l1 * np.sign(x)
        return slope


class L2(Regularizer):
    """``l2 * sum(x ** 2)``.

    Parameters
    ----------
    l2 : float

    Examples
    --------
    >>> L2(0.5)(np.array([1.0, -2.0]))
    2.5
    """

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = _factor(l2, "l2", 0.01)

    def __call__(self, x: NDArray[Any]) -> float:
        """Return the penalty of weights."""
        return _penalty(x, 0.0, self.l2)

    def gradient(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return the derivative of the penalty."""
        slope: NDArray[Any] = (2 * self.l2) * x
        return slope


def _factor(value: float | None, name: str, default: float) -> float:
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not np.isfinite(value):
        raise ValueError(f"{name}: expected a finite number, got {value!r}")
    return float(value)


def _penalty(x: NDArray[Any], l1: float, l2: float) -> float:
    total = 0.0
    if l1:
        total += l1 * float(np.abs(x).sum())
    if l2:
        total += l2 * float(np.square(x).sum())
    return total


def _l1_l2(l1: float = 0.01, l2: float = 0.01) -> L1L2:
    return L1L2(l1, l2)


l1 = L1
l2 = L2
l1_l2 = L1L2

_TABLE: dict[str, Any] = {"L1": L1, "L2": L2, "L1L2": L1L2, "l1": L1, "l2": L2, "l1_l2": _l1_l2}


def get(identifier: Any) -> Any:
    """Return a regularizer by name, configuration or itself; None stays None.

    Raises
    ------
    ValueError
        If the name is unknown.

    Examples
    --------
    >>> get("l2").l2
    0.01
    """
    found = _registry.resolve(identifier, _TABLE, "regularizer")
    return found() if found is _l1_l2 else found


def serialize(regularizer: Any) -> Any:
    """Describe a regularizer as plain JSON types.

    Examples
    --------
    >>> serialize(L2(0.5))["config"]
    {'l2': 0.5}
    """
    return _registry.serialize(regularizer)
