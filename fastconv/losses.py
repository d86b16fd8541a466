"""What training makes small: cross-entropies and distances, with Keras' names, and their gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv import _registry

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

# Keras' epsilon: probabilities are kept this far from 0 and 1 before their logarithm is taken.
_EPSILON = 1e-7
_REDUCTIONS = ("sum_over_batch_size", "mean", "mean_with_sample_weight", "sum", "none", None)


class Loss:
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
        return _same_shape(y_true, shape).astype(dtype, copy=False)

    def value(self, y_true: NDArray[Any], y_pred: NDArray[Any], sample_weight: ArrayLike | None = None) -> float:
        """Return the loss of a batch, from targets as `prepare` returned them."""
        values = self.call(y_true, y_pred)
        if sample_weight is None:
            return float(values.sum()) * self._share(values, None)
        weights = _weights(sample_weight, values)
        return float((values * weights).sum()) * self._share(values, weights)

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
        share = self._share(values, weights)
        if weights is None:
            gradient *= share
            return float(values.sum()) * share, gradient
        scale = weights * share
        gradient *= scale.reshape(scale.shape + (1,) * (gradient.ndim - scale.ndim)).astype(gradient.dtype, copy=False)
        return float((values * weights).sum()) * share, gradient

    def _share(self, values: NDArray[Any], weights: NDArray[Any] | None) -> float:
        """Return what the weighted sum of the samples' values is multiplied by."""
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


class SparseCategoricalCrossentropy(Loss):
    """``-log`` of the probability that was given to the right class, the classes being integers.

    Parameters
    ----------
    from_logits : bool
        Predictions are scores that a softmax has still to turn into probabilities.
    ignore_class : int, optional
        A label whose samples count as zero.
    reduction : str, optional
    axis : int
        Only the last.
    name : str

    Raises
    ------
    ValueError
        If labels and predictions do not fit.

    Examples
    --------
    >>> round(SparseCategoricalCrossentropy()([1, 2], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]]), 3)
    1.177
    """

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        axis: int = -1,
        name: str = "sparse_categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction)
        _last_axis(axis)
        self.from_logits = bool(from_logits)
        self.ignore_class = ignore_class
        self._fused_activation = None if from_logits else "softmax"

    def prepare(self, y_true: NDArray[Any], shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Check labels against the shape of predictions and make them integers without a last axis of extent 1."""
        if y_true.ndim == len(shape) and y_true.shape[-1] == 1:
            y_true = y_true.reshape(y_true.shape[:-1])
        if y_true.shape != shape[:-1]:
            raise ValueError(
                "Arguments `target` and `output` must have the same shape up until the last dimension:"
                f" target.shape={y_true.shape}, output.shape={shape}"
            )
        if y_true.dtype.kind not in "iufb":
            raise ValueError(f"y_true: expected integer labels, got the dtype {y_true.dtype}")
        labels = y_true.astype(np.intp, copy=False)
        checked = labels if self.ignore_class is None else labels[labels != self.ignore_class]
        if checked.size and (checked.min() < 0 or checked.max() >= shape[-1]):
            raise ValueError(
                f"y_true: expected labels in 0 … {shape[-1] - 1} for predictions of shape {shape},"
                f" got {checked.min()} … {checked.max()}"
            )
        return labels

    def call(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> NDArray[Any]:
        """Return one value for each sample."""
        rows, labels, kept = self._rows(y_true, y_pred)
        index = np.arange(len(labels))
        if self.from_logits:
            values = _log_sum_exp(rows) - rows[index, labels]
        else:
            values = -np.log(np.clip(rows[index, labels] / rows.sum(-1), _EPSILON, 1 - _EPSILON))
        if kept is not None:
            values *= _kept_scale(kept, self.reduction, values.dtype)
        return np.reshape(values, y_true.shape)

    def gradient(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> NDArray[Any]:
        """Return the derivative of each sample's value."""
        if self.from_logits:
            return self._softmax_gradient(y_true, y_pred, _softmax(y_pred))
        rows, labels, kept = self._rows(y_true, y_pred)
        index = np.arange(len(labels))
        chosen, total = rows[index, labels], rows.sum(-1)
        inside = _inside(chosen / total)
        gradient = np.repeat((inside / total)[:, None], rows.shape[-1], axis=1).astype(y_pred.dtype, copy=False)
        gradient[index, labels] -= inside / np.where(inside, chosen, 1)
        if kept is not None:
            gradient *= _kept_scale(kept, self.reduction, gradient.dtype)[:, None]
        return gradient.reshape(y_pred.shape)

    def gradient_before_activation(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> NDArray[Any]:
        """Return probability minus truth, the derivative with respect to a softmax's scores."""
        return self._softmax_gradient(y_true, y_pred, y_pred.copy())

    def _softmax_gradient(
        self, y_true: NDArray[Any], y_pred: NDArray[Any], probabilities: NDArray[Any]
    ) -> NDArray[Any]:
        _, labels, kept = self._rows(y_true, y_pred)
        rows = probabilities.reshape(-1, y_pred.shape[-1])
        rows[np.arange(len(labels)), labels] -= 1
        if kept is not None:
            rows *= _kept_scale(kept, self.reduction, rows.dtype)[:, None]
        return rows.reshape(y_pred.shape)

    def _rows(
        self, y_true: NDArray[Any], y_pred: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]:
        """Return predictions as rows, their labels, and which of them count (None for all)."""
        labels = y_true.reshape(-1)
        kept = None
        if self.ignore_class is not None:
            kept = labels != self.ignore_class
            labels = np.where(kept, labels, 0)
        return y_pred.reshape(-1, y_pred.shape[-1]), labels, kept


class CategoricalCrossentropy(Loss):
    """``-sum(y_true * log(y_pred))``, the truth being a distribution over classes, such as one-hot rows.

    Parameters
    ----------
    from_logits : bool
        Predictions are scores that a softmax has still to turn into probabilities.
    label_smoothing : float
        The part of the truth that is spread evenly over all classes.
    axis : int
        Only the last.
    reduction : str, optional
    name : str

    Raises
    ------
    ValueError
        If truth and predictions differ in shape.

    Examples
    --------
    >>> round(CategoricalCrossentropy()([[0, 1, 0], [0, 0, 1]], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]]), 3)
    1.177
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction)
        _last_axis(axis)
        self.from_logits = bool(from_logits)
        self.label_smoothing = _smoothing(label_smoothing)
        self._fused_activation = None if from_logits else "softmax"

    def prepare(self, y_true: NDArray[Any], shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Check the truth against the shape of predictions, and smooth it."""
        truth = _same_shape(y_true, shape).astype(dtype, copy=False)
        if self.label_smoothing:
            truth = truth * (1 - self.label_smoothing) + self.label_smoothing / shape[-1]
        return truth

    def call(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> NDArray[Any]:
        """Return one value for each sample."""
        if self.from_logits:
            logs = y_pred - _log_sum_exp(y_pred)[..., None]
        else:
            logs = np.log(np.clip(y_pred / y_pred.sum(-1, keepdims=True), _EPSILON, 1 - _EPSILON))
        values: NDArray[Any] = -(y_true * logs).sum(-1)
        return values

    def gradient(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> NDArray[Any]:
        """Return the derivative of each sample's value."""
        if self.from_logits:
            return self.gradient_before_activation(y_true, _softmax(y_pred))
        total = y_pred.sum(-1, keepdims=True)
        inside = _inside(y_pred / total)
        counted = y_true * inside
        gradient: NDArray[Any] = counted.sum(-1, keepdims=True) / total - counted / np.where(inside, y_pred, 1)
        return gradient

    def gradient_before_activation(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> NDArray[Any]:
        """Return probability minus truth, the derivative with respect to a softmax's scores."""
        gradient: NDArray[Any] = y_pred * y_true.sum(-1, keepdims=True)
        gradient -= y_true
        return gradient


class BinaryCrossentropy(Loss):
    """``-(y_true * log(y_pred) + (1 - y_true) * log(1 - y_pred))``, averaged over the last axis.

    Parameters
    ----------
    from_logits : bool
        Predictions are scores that a sigmoid has still to turn into probabilities.
    label_smoothing : float
        How far the truth is pulled towards one half.
    axis : int
        Only the last.
    reduction : str, optional
    name : str

    Raises
    ------
    ValueError
        If truth and predictions differ in shape.

    Examples
    --------
    >>> round(BinaryCrossentropy()([[0.0], [1.0]], [[0.5], [0.5]]), 3)
    0.693
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "binary_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction)
        _last_axis(axis)
        self.from_logits = bool(from_logits)
        self.label_smoothing = _smoothing(label_smoothing)
        self._fused_activation = None if from_logits else "sigmoid"

    def prepare(self, y_true: NDArray[Any], shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Check the truth against the shape of predictions, and smooth it."""
        truth = _same_shape(y_true, shape).astype(dtype, copy=False)
        if self.label_smoothing:
            truth = truth * (1 - self.label_smoothing) + 0.5 * self.label_smoothing
        return truth

    def call(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> NDArray[Any]:
        """Return one value for each sample."""
        if self.from_logits:
            # max(x, 0) - x·y + log(1 + exp(-|x|)): no exponential overflows.
            values = np.maximum(y_pred, 0) - y_pred * y_true + np.log1p(np.exp(-np.abs(y_pred)))
        else:
            inside = np.clip(y_pred, _EPSILON, 1 - _EPSILON)
            values = -(y_true * np.log(inside) + (1 - y_true) * np.log1p(-inside))
        return _mean_of_last(values)

    def gradient(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> NDArray[Any]:
        """Return the derivative of each sample's value."""
        if self.from_logits:
            return self.gradient_before_activation(y_true, np.exp(-np.logaddexp(0, -y_pred)))
        inside = np.clip(y_pred, _EPSILON, 1 - _EPSILON)
        slope = (inside - y_true) / (inside * (1 - inside))
        gradient: NDArray[Any] = slope * _inside(y_pred) / _last_extent(y_pred)
        return gradient

    def gradient_before_activation(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> NDArray[Any]:
        """Return probability minus truth, the derivative with respect to a sigmoid's scores."""
        gradient: NDArray[Any] = y_pred - y_true
        gradient /= _last_extent(y_pred)
        return gradient


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
        return _mean_of_last(np.square(y_pred - y_true))

    def gradient(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> NDArray[Any]:
        """Return the derivative of each sample's value."""
        gradient: NDArray[Any] = y_pred - y_true
        gradient *= 2 / _last_extent(y_pred)
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
        return _mean_of_last(np.abs(y_pred - y_true))

    def gradient(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> NDArray[Any]:
        """Return the derivative of each sample's value."""
        gradient: NDArray[Any] = np.sign(y_pred - y_true)
        gradient /= _last_extent(y_pred)
        return gradient


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


def _last_axis(axis: int) -> None:
    if axis != -1:
        raise ValueError(f"axis: expected -1, the last, got {axis!r}")


def _smoothing(value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f"label_smoothing: expected a number from 0 to 1, got {value!r}")
    return float(value)


def _same_shape(y_true: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
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


def _kept_scale(kept: NDArray[Any], reduction: str | None, dtype: Any) -> NDArray[Any]:
    """Return 0 for ignored samples, and for others what makes a mean over all one over those that count."""
    scale = kept.astype(dtype)
    if reduction in ("mean", "sum_over_batch_size") and kept.any():
        scale *= kept.size / np.count_nonzero(kept)
    return scale


def _inside(probabilities: NDArray[Any]) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (probabilities >= _EPSILON) & (probabilities <= 1 - _EPSILON)
    return inside


def _log_sum_exp(scores: NDArray[Any]) -> NDArray[Any]:
    top = scores.max(-1, keepdims=True)
    total: NDArray[Any] = np.log(np.exp(scores - top).sum(-1)) + top[..., 0]
    return total


def _softmax(scores: NDArray[Any]) -> NDArray[Any]:
    parts: NDArray[Any] = np.exp(scores - scores.max(-1, keepdims=True))
    parts /= parts.sum(-1, keepdims=True)
    return parts


def _mean_of_last(values: NDArray[Any]) -> NDArray[Any]:
    mean: NDArray[Any] = values.mean(-1) if values.ndim > 1 else values
    return mean


def _last_extent(values: NDArray[Any]) -> int:
    return values.shape[-1] if values.ndim > 1 else 1


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
