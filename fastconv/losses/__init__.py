"""What training makes small: cross-entropies and distances, with Keras' names, and their gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv import _registry
from fastconv.losses.cross_entropies import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
)
from fastconv.losses.distances import MeanAbsoluteError, MeanSquaredError
from fastconv.losses.loss import FunctionLoss, Loss

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "SparseCategoricalCrossentropy",
    "binary_crossentropy",
    "categorical_crossentropy",
    "get",
    "mean_absolute_error",
    "mean_squared_error",
    "serialize",
    "sparse_categorical_crossentropy",
]


def sparse_categorical_crossentropy(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1
) -> NDArray[Any]:
    """Return `SparseCategoricalCrossentropy` of each sample.

    Examples
    --------
    >>> sparse_categorical_crossentropy([1], [[0.5, 0.5]]).round(3)
    array([0.693])
    """
    return np.asarray(SparseCategoricalCrossentropy(from_logits, ignore_class, None, axis)(y_true, y_pred))


def categorical_crossentropy(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> NDArray[Any]:
    """Return `CategoricalCrossentropy` of each sample.

    Examples
    --------
    >>> categorical_crossentropy([[0, 1]], [[0.5, 0.5]]).round(3)
    array([0.693])
    """
    return np.asarray(CategoricalCrossentropy(from_logits, label_smoothing, axis, None)(y_true, y_pred))


def binary_crossentropy(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> NDArray[Any]:
    """Return `BinaryCrossentropy` of each sample.

    Examples
    --------
    >>> binary_crossentropy([[1.0]], [[0.5]]).round(3)
    array([0.693])
    """
    return np.asarray(BinaryCrossentropy(from_logits, label_smoothing, axis, None)(y_true, y_pred))


def mean_squared_error(y_true: ArrayLike, y_pred: ArrayLike) -> NDArray[Any]:
    """Return `MeanSquaredError` of each sample.

    Examples
    --------
    >>> mean_squared_error([[0.0, 0.0]], [[1.0, 3.0]])
    array([5.])
    """
    return np.asarray(MeanSquaredError(None)(y_true, y_pred))


def mean_absolute_error(y_true: ArrayLike, y_pred: ArrayLike) -> NDArray[Any]:
    """Return `MeanAbsoluteError` of each sample.

    Examples
    --------
    >>> mean_absolute_error([[0.0, 0.0]], [[1.0, 3.0]])
    array([2.])
    """
    return np.asarray(MeanAbsoluteError(None)(y_true, y_pred))


_CLASSES = (
    BinaryCrossentropy, CategoricalCrossentropy, MeanAbsoluteError, MeanSquaredError, SparseCategoricalCrossentropy,
)  # fmt: skip
_TABLE: dict[str, Any] = {cls.__name__: cls for cls in _CLASSES}
_TABLE |= {_registry.snake_case(cls.__name__): cls for cls in _CLASSES}
_TABLE |= {"mse": MeanSquaredError, "MSE": MeanSquaredError, "mae": MeanAbsoluteError, "MAE": MeanAbsoluteError}
_TABLE |= {"bce": BinaryCrossentropy, "BCE": BinaryCrossentropy}
_FUNCTIONS = {
    binary_crossentropy, categorical_crossentropy, mean_absolute_error, mean_squared_error,
    sparse_categorical_crossentropy,
}  # fmt: skip

mse = mean_squared_error
mae = mean_absolute_error


def get(identifier: Any) -> Any:
    """Return a loss by name, configuration or itself; a function of one's own is wrapped; None stays None.

    Raises
    ------
    ValueError
        If the name is unknown.

    Examples
    --------
    >>> get("mse").name
    'mean_squared_error'
    """
    if isinstance(identifier, Loss) or identifier is None:
        return identifier
    if not isinstance(identifier, (str, dict, type)) and identifier in _FUNCTIONS:
        identifier = identifier.__name__
    found = _registry.resolve(identifier, _TABLE, "loss")
    return found if isinstance(found, Loss) else FunctionLoss(found)


def serialize(loss: Any) -> Any:
    """Describe a loss as plain JSON types.

    Examples
    --------
    >>> serialize(MeanSquaredError())["class_name"]
    'MeanSquaredError'
    """
    if isinstance(loss, FunctionLoss):
        return _registry.serialize(loss.function)
    return _registry.serialize(loss)
