"""Distances between true and predicted numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv.losses.loss import Loss, last_extent, mean_of_last

if TYPE_CHECKING:
    from numpy.typing import NDArray


class MeanSquaredError(Loss):
    """``mean((y_true - y_pred) ** 2)`` over the last axis.

    Parameters
    ----------
    reduction : str, optional
    name : str

    Raises
    ------
    ValueError
        If truth and predictions differ in shape.

    Examples
    --------
    >>> MeanSquaredError()([[0.0, 0.0]], [[1.0, 3.0]])
    5.0
    """

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str = "mean_squared_error", dtype: Any = None
    ) -> None:
        super().__init__(name, reduction)

    def call(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> NDArray[Any]:
        """Return one value for each sample."""
        return mean_of_last(np.square(y_pred - y_true))

    def gradient(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> NDArray[Any]:
        """Return the derivative of each sample's value."""
        gradient: NDArray[Any] = y_pred - y_true
        gradient *= 2 / last_extent(y_pred)
        return gradient


class MeanAbsoluteError(Loss):
    """``mean(abs(y_true - y_pred))`` over the last axis.

    Parameters
    ----------
    reduction : str, optional
    name : str

    Raises
    ------
    ValueError
        If truth and predictions differ in shape.

    Examples
    --------
    >>> MeanAbsoluteError()([[0.0, 0.0]], [[1.0, 3.0]])
    2.0
    """

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str = "mean_absolute_error", dtype: Any = None
    ) -> None:
        super().__init__(name, reduction)

    def call(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> NDArray[Any]:
        """Return one value for each sample."""
        return mean_of_last(np.abs(y_pred - y_true))

    def gradient(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> NDArray[Any]:
        """Return the derivative of each sample's value."""
        gradient: NDArray[Any] = np.sign(y_pred - y_true)
        gradient /= last_extent(y_pred)
        return gradient
