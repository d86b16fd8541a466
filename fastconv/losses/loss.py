"""What every loss has: samples' values, their gradients, and how they become one number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv import _registry
from fastconv._arguments import constructors as check

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_REDUCTIONS = ("sum_over_batch_size", "mean", "mean_with_sample_weight", "sum", "none", None)


_RULES: dict[str, check.Rule] = {
    "dtype": check.optional(check.real_type),
    "from_logits": check.switch,
    "ignore_class": check.optional(check.whole),
    "label_smoothing": check.finite,
    "name": check.optional(check.text),
}


class Loss(check.Checked, rules=_RULES):
    """Base of all losses.

    A loss of one's own defines ``call(y_true, y_pred)``, one value for each sample, and to be trained with
    ``gradient(y_true, y_pred)``, the derivative of each sample's value with respect to `y_pred`.

    Parameters
    ----------
    name : str, optional
    reduction : {"sum_over_batch_size", "mean", "mean_with_sample_weight", "sum", "none", None}
        How the samples' values become one; the first two divide their weighted sum by their number.

    Raises
    ------
    ValueError
        If the reduction is unknown.

    Examples
    --------
    >>> class Distance(Loss):
    ...     def call(self, y_true, y_pred):
    ...         return np.abs(y_pred - y_true).sum(-1)
    ...     def gradient(self, y_true, y_pred):
    ...         return np.sign(y_pred - y_true)
    >>> Distance()([[1.0]], [[3.0]])
    2.0
    """

    def __init__(
        self, name: str | None = None, reduction: str | None = "sum_over_batch_size", dtype: Any = None
    ) -> None:
        if reduction not in _REDUCTIONS:
            raise ValueError(f"reduction: expected one of {_REDUCTIONS}, got {reduction!r}")
        self.name = name or _registry.snake_case(type(self).__name__)
        self.reduction = reduction
        self._fused_activation: str | None = None

    @property
    def fused_activation(self) -> str | None:
        """The activation that, as a model's last step, is differentiated together with this loss."""
        return self._fused_activation

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> Any:
        """Return the loss, a float, or an array for the reduction None.

        Parameters
        ----------
        y_true : array_like
        y_pred : array_like, (batch, …)
        sample_weight : array_like, (batch,) or as the samples' values, optional
        """
        predicted = np.asarray(y_pred)
        if predicted.dtype.kind != "f":
            predicted = predicted.astype(np.float32)
        truth = self.prepare(np.asarray(y_true), predicted.shape, predicted.dtype)
        if self.reduction not in ("none", None):
            return self.value(truth, predicted, sample_weight)
        values = self.call(truth, predicted)
        return values if sample_weight is None else values * _weights(sample_weight, values)

    def call(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> NDArray[Any]:
        """Return one value for each sample."""
        raise TypeError(f"{type(self).__name__} defines no call(y_true, y_pred)")

    def gradient(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> NDArray[Any]:
        """Return the derivative of each sample's value with respect to its predictions, as a new array."""
        raise TypeError(f"{type(self).__name__} defines no gradient(y_true, y_pred) to train with")

    def gradient_before_activation(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> NDArray[Any]:
        """Return the derivative with respect to what `fused_activation` was applied to, as a new array."""
        raise TypeError(f"{type(self).__name__} is not differentiated together with an activation")

    def prepare(self, y_true: NDArray[Any], shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Check targets against the shape of predictions, and bring them to the type that `call` wants.

        Raises
        ------
        ValueError
            If they do not fit.
        """
        return same_shape(y_true, shape).astype(dtype, copy=False)

    def value(self, y_true: NDArray[Any], y_pred: NDArray[Any], sample_weight: ArrayLike | None = None) -> float:
        """Return the loss of a batch, from targets as `prepare` returned them."""
        values = self.call(y_true, y_pred)
        if sample_weight is None:
            return float(values.sum()) * self.share(values, None)
        weights = _weights(sample_weight, values)
        return float((values * weights).sum()) * self.share(values, weights)

    def value_and_gradient(
        self,
        y_true: NDArray[Any],
        y_pred: NDArray[Any],
        sample_weight: NDArray[Any] | None = None,
        before_activation: bool = False,
    ) -> tuple[float, NDArray[Any]]:
        """Return the loss of a batch and its gradient with respect to the predictions, or to what precedes them.

        Parameters
        ----------
        y_true : ndarray
            As `prepare` returned them.
        y_pred : ndarray, (batch, …)
        sample_weight : ndarray, optional
        before_activation : bool
            Return the gradient with respect to the input of `fused_activation`.

        Raises
        ------
        ValueError
            If the loss has no reduction to one number.
        """
        if self.reduction in ("none", None):
            raise ValueError(f"reduction: training needs one that gives a number, got {self.reduction!r}")
        values = self.call(y_true, y_pred)
        gradient = (self.gradient_before_activation if before_activation else self.gradient)(y_true, y_pred)
        weights = None if sample_weight is None else _weights(sample_weight, values)
        share = self.share(values, weights)
        if weights is None:
            gradient *= share
            return float(values.sum()) * share, gradient
        scale = weights * share
        gradient *= scale.reshape(scale.shape + (1,) * (gradient.ndim - scale.ndim)).astype(gradient.dtype, copy=False)
        return float((values * weights).sum()) * share, gradient

    def share(self, values: NDArray[Any], weights: NDArray[Any] | None) -> float:
        """Return what the weighted sum of as many samples' values is multiplied by."""
        if self.reduction == "sum":
            return 1.0
        if self.reduction == "mean_with_sample_weight" and weights is not None:
            total = float(weights.sum())
        else:
            total = float(values.size)
        return 1 / total if total else 0.0

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {key: value for key, value in vars(self).items() if not key.startswith("_")}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Loss:
        """Make a loss from what `get_config` returned."""
        return cls(**config)


class FunctionLoss(Loss):
    """A user's function of truth and predictions, which can be evaluated but not trained with.

    Parameters
    ----------
    function : callable
        ``function(y_true, y_pred)`` returns one value for each sample.

    Examples
    --------
    >>> FunctionLoss(lambda y_true, y_pred: np.abs(y_true - y_pred).max(-1))([[1.0, 2.0]], [[1.0, 4.0]])
    2.0
    """

    def __init__(self, function: Any, name: str | None = None) -> None:
        super().__init__(name or str(getattr(function, "__name__", "loss")))
        self._function = function

    @property
    def function(self) -> Any:
        """The user's function."""
        return self._function

    def call(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> NDArray[Any]:
        """Return one value for each sample."""
        return np.asarray(self._function(y_true, y_pred))

    def prepare(self, y_true: NDArray[Any], shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Leave the targets to the function."""
        return y_true


def same_shape(y_true: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the truth in the shape of predictions; an axis of extent 1 at the end may be missing or extra."""
    if y_true.shape != shape and (y_true.shape == (*shape, 1) or (*y_true.shape, 1) == shape):
        y_true = y_true.reshape(shape)
    if y_true.shape != shape:
        raise ValueError(
            "Arguments `target` and `output` must have the same shape."
            f" Received: target.shape={y_true.shape}, output.shape={shape}"
        )
    if y_true.dtype.kind not in "iufb":
        raise ValueError(f"y_true: expected real numbers, got the dtype {y_true.dtype}")
    return y_true


def _weights(sample_weight: ArrayLike, values: NDArray[Any]) -> NDArray[Any]:
    """Return weights that broadcast against the samples' values."""
    weights = np.asarray(sample_weight, values.dtype)
    if weights.ndim == values.ndim + 1 and weights.shape[-1] == 1:
        weights = weights.reshape(weights.shape[:-1])
    if weights.ndim and (weights.ndim > values.ndim or weights.shape != values.shape[: weights.ndim]):
        raise ValueError(f"sample_weight: expected the shape {values.shape} or its beginning, got {weights.shape}")
    return np.broadcast_to(weights.reshape(weights.shape + (1,) * (values.ndim - weights.ndim)), values.shape)


def mean_of_last(values: NDArray[Any]) -> NDArray[Any]:
    """Return the mean over the last axis, or the values themselves where the batch is the only one."""
    mean: NDArray[Any] = values.mean(-1) if values.ndim > 1 else values
    return mean


def last_extent(values: NDArray[Any]) -> int:
    """Return how many values `mean_of_last` makes into one."""
    return values.shape[-1] if values.ndim > 1 else 1
