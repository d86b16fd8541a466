"""What a model with several outputs is measured by: a loss and metrics for each, and the weighted sum of the losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastconv.layers.arguments import Array
from fastconv.losses import Loss
from fastconv.metrics import Metric
from fastconv.models.batches import Structure
from fastconv.models.objective import Objective


class JointLoss:
    """The weighted sum of the losses of several outputs; what `Loss` does, on lists.

    Parameters
    ----------
    losses : sequence of Loss or None
        None for an output that training ignores.
    weights : sequence of float

    Raises
    ------
    ValueError
        If no output has a loss.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import losses
    >>> joint = JointLoss([losses.get("mse"), losses.get("mae")], [1.0, 0.5])
    >>> joint.value([np.zeros((1, 1))] * 2, [np.ones((1, 1)), np.ones((1, 1))])
    1.5
    """

    # Each output's gradient is with respect to its values.
    fused_activation = None

    def __init__(self, losses: Sequence[Loss | None], weights: Sequence[float]) -> None:
        if all(loss is None for loss in losses):
            raise ValueError("No loss to compute. Provide a `loss` argument in `compile()`.")
        self.losses = list(losses)
        self.weights = [float(weight) for weight in weights]
        # Of the last batch, without their weights.
        self.values = [0.0] * len(self.losses)

    def prepare(self, y_true: list[Array], shapes: list[tuple[int, ...]], dtypes: list[Any]) -> list[Array]:
        """Check targets against the shapes of predictions, and bring them to the types that the losses want."""
        given = zip(self.losses, y_true, shapes, dtypes, strict=True)
        return [truth if loss is None else loss.prepare(truth, shape, dtype) for loss, truth, shape, dtype in given]

    def value(self, y_true: list[Array], y_pred: list[Array], sample_weight: Any = None) -> float:
        """Return the loss of a batch, from targets as `prepare` returned them."""
        self.values = [
            0.0 if loss is None else loss.value(truth, predicted, weights)
            for loss, truth, predicted, weights in self._with(y_true, y_pred, sample_weight)
        ]
        return self._sum()

    def value_and_gradient(
        self, y_true: list[Array], y_pred: list[Array], sample_weight: Any = None, before_activation: bool = False
    ) -> tuple[float, list[Array | None]]:
        """Return the loss of a batch and its gradients with respect to the predictions; None for one without a loss."""
        gradients: list[Array | None] = []
        values = []
        given = self._with(y_true, y_pred, sample_weight)
        for (loss, truth, predicted, weights), share in zip(given, self.weights, strict=True):
            if loss is None:
                values.append(0.0)
                gradients.append(None)
                continue
            value, gradient = loss.value_and_gradient(truth, predicted, weights)
            gradient *= share
            values.append(value)
            gradients.append(gradient)
        self.values = values
        return self._sum(), gradients

    def _with(self, y_true: list[Array], y_pred: list[Array], sample_weight: Any) -> list[tuple[Any, ...]]:
        weights = sample_weight if isinstance(sample_weight, list) else [sample_weight] * len(self.losses)
        return list(zip(self.losses, y_true, y_pred, weights, strict=True))

    def _sum(self) -> float:
        return sum(weight * value for weight, value in zip(self.weights, self.values, strict=True))


class JointObjective(Objective):
    """A loss and metrics for each output of a model, and their values so far.

    Parameters
    ----------
    names : sequence of str
        Of the outputs.
    loss : str, Loss, list or dict
        One for all outputs, or one for each; None where there is none.
    loss_weights : list or dict of float, optional
    plain, weighted : list or dict
        Metrics for each output, by the outputs' names or in their order.

    Raises
    ------
    ValueError
        If a name is unknown, or there is another number of losses or metrics than of outputs.

    Examples
    --------
    >>> JointObjective(["a", "b"], "mse", None, {"a": ["mae"]}, []).names
    ['loss', 'a_loss', 'b_loss', 'a_mae']
    """

    def __init__(
        self, names: Sequence[str], loss: Any, loss_weights: Any = None, plain: Any = (), weighted: Any = ()
    ) -> None:
        self._names = list(names)
        losses = self._for_each(loss, "loss", alike=True)
        shares = [1.0 if share is None else share for share in self._for_each(loss_weights, "loss_weights")]
        parts = zip(losses, self._for_each(plain, "metrics"), self._for_each(weighted, "weighted_metrics"), strict=True)
        self._parts = [Objective(one, _list(own), _list(heeding)) for one, own, heeding in parts]
        self._joint = None if loss is None else JointLoss([part.loss for part in self._parts], shares)
        self.loss: Any = self._joint
        self._sum = 0.0
        self._samples = 0

    def _for_each(self, value: Any, what: str, alike: bool = False) -> list[Any]:
        """Return what is given for each output, by name, in order, or once for all."""
        if isinstance(value, Mapping):
            unknown = [name for name in value if name not in self._names]
            if unknown:
                raise ValueError(f"{what}: expected names among the outputs {self._names}, got {unknown}")
            return [value.get(name) for name in self._names]
        if value is None or (not alike and isinstance(value, (list, tuple)) and not value):
            return [None] * len(self._names)
        if alike and not isinstance(value, (list, tuple)):
            return [value] * len(self._names)
        return Structure(self._names, True, what).listed(value)

    def bind(self, target_shape: Any, output_shape: Any) -> None:
        """Resolve names such as ``accuracy`` by the shapes of truth and predictions, the first time."""
        for part, truth, made in zip(self._parts, target_shape, output_shape, strict=True):
            part.bind(truth, made)

    @property
    def metrics(self) -> list[Metric]:
        """The metrics; those that only the data will tell are missing before the first batch."""
        return [metric for part in self._parts for metric in part.metrics]

    @property
    def names(self) -> list[str]:
        """The names under which values are reported."""
        parts = list(zip(self._names, self._parts, strict=True))
        losses = [f"{name}_loss" for name, part in parts if part.loss is not None]
        return ["loss", *losses, *(f"{name}_{metric}" for name, part in parts for metric in part.names[1:])]

    def require_loss(self) -> Any:
        """Return the joint loss.

        Raises
        ------
        ValueError
            If the model was compiled without one.
        """
        if self._joint is None:
            raise ValueError("No loss to compute. Provide a `loss` argument in `compile()`.")
        return self._joint

    def reset(self) -> None:
        """Start an epoch."""
        self._sum = 0.0
        self._samples = 0
        for part in self._parts:
            part.reset()

    def add(self, loss: float, targets: Any, outputs: Any, weights: Any) -> None:
        """Add a batch, with the value of its loss."""
        self._sum += loss * len(outputs[0])
        self._samples += len(outputs[0])
        each = weights if isinstance(weights, list) else [weights] * len(self._parts)
        values = self.require_loss().values
        for part, value, truth, made, own in zip(self._parts, values, targets, outputs, each, strict=True):
            part.add(value, truth, made, own)

    def results(self) -> dict[str, float]:
        """Return all values so far."""
        values = {"loss": self._sum / self._samples if self._samples else 0.0}
        found = [(name, part, part.results()) for name, part in zip(self._names, self._parts, strict=True)]
        values |= {f"{name}_loss": results["loss"] for name, part, results in found if part.loss is not None}
        for name, _, results in found:
            values |= {f"{name}_{metric}": value for metric, value in results.items() if metric != "loss"}
        return values


def _list(metrics: Any) -> list[Any]:
    if metrics is None:
        return []
    return list(metrics) if isinstance(metrics, (list, tuple)) else [metrics]
