"""What is reported during training and evaluation: accuracies and errors, with Keras' names and rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from fastconv import _registry, losses
from fastconv._arguments import constructors as check

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Accuracy",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "Mean",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy",
    "binary_accuracy",
    "categorical_accuracy",
    "get",
    "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "top_k_categorical_accuracy",
]


_RULES: dict[str, check.Rule] = {
    "dtype": check.optional(check.real_type),
    "from_sorted_ids": check.switch,
    "k": check.positive,
    "name": check.optional(check.text),
    "threshold": check.finite,
}


class Metric(check.Checked, rules=_RULES):
    """Base of all metrics: a number that is gathered batch by batch.

    A metric of one's own defines ``update_state``, ``result`` and ``reset_state``.

    Parameters
    ----------
    dtype : None
        Accepted for Keras' sake; sums are kept in double precision.
    name : str, optional

    Examples
    --------
    >>> class Largest(Metric):
    ...     largest = 0.0
    ...     def update_state(self, y_true, y_pred, sample_weight=None):
    ...         self.largest = max(self.largest, float(y_pred.max()))
    ...     def result(self):
    ...         return self.largest
    ...     def reset_state(self):
    ...         self.largest = 0.0
    >>> Largest()([0.0], np.array([3.0]))
    3.0
    """

    # Whether a better value is a higher or a lower one.
    direction: ClassVar[Literal["up", "down"] | None] = None

    def __init__(self, dtype: Any = None, name: str | None = None) -> None:
        self.name = name or _registry.snake_case(type(self).__name__)

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Add a batch."""
        raise TypeError(f"{type(self).__name__} defines no update_state(y_true, y_pred, sample_weight=None)")

    def result(self) -> float:
        """Return the value so far."""
        raise TypeError(f"{type(self).__name__} defines no result()")

    def reset_state(self) -> None:
        """Forget all batches."""
        raise TypeError(f"{type(self).__name__} defines no reset_state()")

    def __call__(self, *args: Any, **kwargs: Any) -> float:
        """Add a batch and return the value so far."""
        self.update_state(*args, **kwargs)
        return self.result()

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Metric:
        """Make a metric from what `get_config` returned."""
        return cls(**config)


class Mean(Metric):
    """The weighted mean of values.

    Parameters
    ----------
    name : str

    Examples
    --------
    >>> mean = Mean()
    >>> mean.update_state([1.0, 3.0])
    >>> mean.result()
    2.0
    """

    def __init__(self, name: str = "mean", dtype: Any = None) -> None:
        super().__init__(name=name)
        self._total = 0.0
        self._count = 0.0

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Add values, each with its weight."""
        if sample_weight is None:
            self._add(float(np.sum(values)), np.size(values))
            return
        weights = np.broadcast_to(_fitted(sample_weight, np.asarray(values)), np.shape(values))
        self._add(float((np.asarray(values) * weights).sum()), float(weights.sum()))

    def _add(self, total: float, count: float) -> None:
        self._total += total
        self._count += count

    def result(self) -> float:
        """Return the mean so far, 0 for none."""
        return self._total / self._count if self._count else 0.0

    def reset_state(self) -> None:
        """Forget all values."""
        self._total = self._count = 0.0


class MeanMetricWrapper(Mean):
    """The mean over samples of a function of truth and predictions.

    Parameters
    ----------
    fn : callable
        ``fn(y_true, y_pred, **kwargs)`` returns a value for each sample.
    name : str, optional
    **kwargs
        Passed on to `fn`.

    Examples
    --------
    >>> metric = MeanMetricWrapper(lambda y_true, y_pred: abs(y_true - y_pred), name="distance")
    >>> metric(np.array([1.0, 2.0]), np.array([2.0, 2.0]))
    0.5
    """

    def __init__(
        self, fn: Callable[..., NDArray[Any]], name: str | None = None, dtype: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(name or str(getattr(fn, "__name__", "metric")))
        self._fn = fn
        self._fn_kwargs = kwargs

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        """Add a batch of truth and predictions."""
        super().update_state(self._fn(y_true, y_pred, **self._fn_kwargs), sample_weight)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return super().get_config() | self._fn_kwargs


def accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> NDArray[Any]:
    """Return for each sample whether truth and prediction are equal.

    Examples
    --------
    >>> accuracy([1, 2], [1, 3])
    array([ True, False])
    """
    truth, predicted = _same_rank(np.asarray(y_true), np.asarray(y_pred))
    return np.asarray(truth == predicted)


def binary_accuracy(y_true: ArrayLike, y_pred: ArrayLike, threshold: float = 0.5) -> NDArray[Any]:
    """Return for each prediction whether it lies on the truth's side of a threshold.

    Examples
    --------
    >>> binary_accuracy([1, 0], [0.7, 0.6])
    array([ True, False])
    """
    truth, predicted = _same_rank(np.asarray(y_true), np.asarray(y_pred))
    return np.asarray(truth == (predicted > threshold))


def categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> NDArray[Any]:
    """Return for each sample whether the likeliest class is the true one, the truth being one-hot.

    Examples
    --------
    >>> categorical_accuracy([[0, 1], [1, 0]], [[0.2, 0.8], [0.3, 0.7]])
    array([ True, False])
    """
    return np.asarray(np.argmax(y_true, -1) == np.argmax(y_pred, -1))


def sparse_categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> NDArray[Any]:
    """Return for each sample whether the likeliest class is the true one, the truth being an integer.

    Examples
    --------
    >>> sparse_categorical_accuracy([1, 0], [[0.2, 0.8], [0.3, 0.7]])
    array([ True, False])
    """
    predicted = np.asarray(y_pred)
    best = predicted.argmax(-1)
    return np.asarray(np.asarray(y_true).reshape(best.shape) == best)


def top_k_categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike, k: int = 5) -> NDArray[Any]:
    """Return for each sample whether the true class is among the k likeliest, the truth being one-hot.

    Examples
    --------
    >>> top_k_categorical_accuracy([[0, 0, 1]], [[0.5, 0.3, 0.2]], k=2)
    array([False])
    """
    return sparse_top_k_categorical_accuracy(np.argmax(y_true, -1), y_pred, k)


def sparse_top_k_categorical_accuracy(
    y_true: ArrayLike, y_pred: ArrayLike, k: int = 5, from_sorted_ids: bool = False
) -> NDArray[Any]:
    """Return for each sample whether the true class is among the k likeliest, the truth being an integer.

    Parameters
    ----------
    y_true : array_like of int, (…) or (…, 1)
    y_pred : array_like, (…, classes)
        Scores, or with `from_sorted_ids` classes from the likeliest on.
    k : int
    from_sorted_ids : bool

    Examples
    --------
    >>> sparse_top_k_categorical_accuracy([2, 1], [[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]], k=2)
    array([False,  True])
    """
    scores = np.asarray(y_pred)
    labels = np.asarray(y_true).reshape(*scores.shape[:-1], 1)
    if from_sorted_ids:
        return np.asarray((scores[..., :k] == labels).any(-1))
    chosen = np.take_along_axis(scores, labels.astype(np.intp), -1)
    above = (scores > chosen).sum(-1)
    return np.asarray((above < k) & np.isfinite(chosen[..., 0]))


class Accuracy(MeanMetricWrapper):
    """How often predictions equal the truth.

    Examples
    --------
    >>> Accuracy()([1, 2, 3, 4], [1, 2, 3, 0])
    0.75
    """

    direction = "up"

    def __init__(self, name: str = "accuracy", dtype: Any = None) -> None:
        super().__init__(accuracy, name)


class BinaryAccuracy(MeanMetricWrapper):
    """How often predictions lie on the truth's side of a threshold.

    Examples
    --------
    >>> BinaryAccuracy()([[1], [1], [0], [0]], [[0.98], [1], [0], [0.6]])
    0.75
    """

    direction = "up"

    def __init__(self, name: str = "binary_accuracy", dtype: Any = None, threshold: float = 0.5) -> None:
        if not 0 < threshold < 1:
            raise ValueError(f"threshold: expected a number between 0 and 1, got {threshold!r}")
        super().__init__(binary_accuracy, name, threshold=threshold)


class CategoricalAccuracy(MeanMetricWrapper):
    """How often the likeliest class is the true one, the truth being one-hot.

    Examples
    --------
    >>> CategoricalAccuracy()([[0, 1], [1, 0]], [[0.2, 0.8], [0.3, 0.7]])
    0.5
    """

    direction = "up"

    def __init__(self, name: str = "categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(categorical_accuracy, name)


class SparseCategoricalAccuracy(MeanMetricWrapper):
    """How often the likeliest class is the true one, the truth being an integer.

    Examples
    --------
    >>> SparseCategoricalAccuracy()([1, 0], [[0.2, 0.8], [0.3, 0.7]])
    0.5
    """

    direction = "up"

    def __init__(self, name: str = "sparse_categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(sparse_categorical_accuracy, name)


class TopKCategoricalAccuracy(MeanMetricWrapper):
    """How often the true class is among the k likeliest, the truth being one-hot.

    Examples
    --------
    >>> TopKCategoricalAccuracy(k=1)([[0, 1]], [[0.2, 0.8]])
    1.0
    """

    direction = "up"

    def __init__(self, k: int = 5, name: str = "top_k_categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(top_k_categorical_accuracy, name, k=k)


class SparseTopKCategoricalAccuracy(MeanMetricWrapper):
    """How often the true class is among the k likeliest, the truth being an integer.

    Examples
    --------
    >>> SparseTopKCategoricalAccuracy(k=1)([1], [[0.2, 0.8]])
    1.0
    """

    direction = "up"

    def __init__(
        self,
        k: int = 5,
        name: str = "sparse_top_k_categorical_accuracy",
        dtype: Any = None,
        from_sorted_ids: bool = False,
    ) -> None:
        super().__init__(sparse_top_k_categorical_accuracy, name, k=k, from_sorted_ids=from_sorted_ids)


class MeanSquaredError(MeanMetricWrapper):
    """The mean of the squared differences.

    Examples
    --------
    >>> MeanSquaredError()([[0.0, 0.0]], [[1.0, 3.0]])
    5.0
    """

    direction = "down"

    def __init__(self, name: str = "mean_squared_error", dtype: Any = None) -> None:
        super().__init__(losses.mean_squared_error, name)


class MeanAbsoluteError(MeanMetricWrapper):
    """The mean of the absolute differences.

    Examples
    --------
    >>> MeanAbsoluteError()([[0.0, 0.0]], [[1.0, 3.0]])
    2.0
    """

    direction = "down"

    def __init__(self, name: str = "mean_absolute_error", dtype: Any = None) -> None:
        super().__init__(losses.mean_absolute_error, name)


class LossMetric(MeanMetricWrapper):
    """A loss as a metric, such as ``metrics=["sparse_categorical_crossentropy"]``.

    Examples
    --------
    >>> LossMetric(losses.MeanSquaredError())([[0.0]], [[2.0]])
    4.0
    """

    direction = "down"

    def __init__(self, loss: losses.Loss) -> None:
        super().__init__(self._values, loss.name)
        self._loss = loss

    def _values(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> NDArray[Any]:
        predicted = np.asarray(y_pred)
        if predicted.dtype.kind != "f":
            predicted = predicted.astype(np.float32)
        return self._loss.call(self._loss.prepare(np.asarray(y_true), predicted.shape, predicted.dtype), predicted)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"loss": losses.serialize(self._loss)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LossMetric:
        """Make a metric from what `get_config` returned."""
        return cls(losses.get(config["loss"]))


def _fitted(sample_weight: ArrayLike, values: NDArray[Any]) -> NDArray[Any]:
    """Return weights of the values' rank."""
    weights = np.asarray(sample_weight, np.float64)
    if weights.ndim == values.ndim + 1 and weights.shape[-1] == 1:
        weights = weights.reshape(weights.shape[:-1])
    return weights.reshape(weights.shape + (1,) * (values.ndim - weights.ndim))


def _same_rank(truth: NDArray[Any], predicted: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Drop or add a last axis of extent 1, so that the two agree."""
    if truth.ndim == predicted.ndim - 1 and predicted.shape[-1] == 1:
        truth = truth[..., None]
    if truth.ndim == predicted.ndim + 1 and truth.shape[-1] == 1:
        truth = truth[..., 0]
    return truth, predicted


_CLASSES = (
    Accuracy, BinaryAccuracy, CategoricalAccuracy, LossMetric, Mean, MeanAbsoluteError, MeanSquaredError,
    SparseCategoricalAccuracy, SparseTopKCategoricalAccuracy, TopKCategoricalAccuracy,
)  # fmt: skip
_TABLE: dict[str, Any] = {cls.__name__: cls for cls in _CLASSES}
_TABLE |= {_registry.snake_case(cls.__name__): cls for cls in _CLASSES}
_TABLE |= {"top_k_categorical_accuracy": TopKCategoricalAccuracy}
_TABLE |= {"sparse_top_k_categorical_accuracy": SparseTopKCategoricalAccuracy}
_TABLE |= {"mse": MeanSquaredError, "MSE": MeanSquaredError, "mae": MeanAbsoluteError, "MAE": MeanAbsoluteError}
_LOSSES = ("binary_crossentropy", "bce", "categorical_crossentropy", "sparse_categorical_crossentropy")


def get(
    identifier: Any, target_shape: tuple[int, ...] | None = None, output_shape: tuple[int, ...] | None = None
) -> Any:
    """Return a metric by name, configuration or itself; a function of one's own is wrapped.

    ``"accuracy"`` and ``"acc"`` become, as in Keras, `BinaryAccuracy` where predictions have one column,
    `SparseCategoricalAccuracy` where the truth has none or one, and `CategoricalAccuracy` otherwise.

    Parameters
    ----------
    identifier : str, dict, Metric or callable
    target_shape, output_shape : tuple of int, optional
        Shapes of truth and predictions, for ``"accuracy"``.

    Raises
    ------
    ValueError
        If the name is unknown.

    Examples
    --------
    >>> type(get("accuracy", (32,), (32, 10))).__name__
    'SparseCategoricalAccuracy'
    """
    if isinstance(identifier, Metric):
        return identifier
    if identifier in ("accuracy", "acc") and target_shape and output_shape:
        return _accuracy_for(target_shape, output_shape)(name=identifier)
    known = isinstance(identifier, str) and identifier in _LOSSES
    found = LossMetric(losses.get(identifier)) if known else _registry.resolve(identifier, _TABLE, "metric")
    if not isinstance(found, Metric):
        found = MeanMetricWrapper(found)
    if isinstance(identifier, str):
        found.name = identifier
    return found


def _accuracy_for(target_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> Callable[..., Metric]:
    if output_shape[-1] == 1:
        return BinaryAccuracy
    if len(target_shape) < len(output_shape) or (target_shape[-1] == 1 and output_shape[-1] > 1):
        return SparseCategoricalAccuracy
    return CategoricalAccuracy
