"""Cross-entropies between true and predicted distributions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv.losses.loss import Loss, last_extent, mean_of_last, same_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Keras' epsilon: probabilities are kept this far from 0 and 1 before their logarithm is taken.
_EPSILON = 1e-7


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
        truth = same_shape(y_true, shape).astype(dtype, copy=False)
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
        truth = same_shape(y_true, shape).astype(dtype, copy=False)
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
        return mean_of_last(values)

    def gradient(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> NDArray[Any]:
        """Return the derivative of each sample's value."""
        if self.from_logits:
            return self.gradient_before_activation(y_true, np.exp(-np.logaddexp(0, -y_pred)))
        inside = np.clip(y_pred, _EPSILON, 1 - _EPSILON)
        slope = (inside - y_true) / (inside * (1 - inside))
        gradient: NDArray[Any] = slope * _inside(y_pred) / last_extent(y_pred)
        return gradient

    def gradient_before_activation(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> NDArray[Any]:
        """Return probability minus truth, the derivative with respect to a sigmoid's scores."""
        gradient: NDArray[Any] = y_pred - y_true
        gradient /= last_extent(y_pred)
        return gradient


def _last_axis(axis: int) -> None:
    if axis != -1:
        raise ValueError(f"axis: expected -1, the last, got {axis!r}")


def _smoothing(value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 <= value <= 1:
        raise ValueError(f"label_smoothing: expected a number from 0 to 1, got {value!r}")
    return float(value)


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
