"""What a compiled model is measured by: its loss and metrics, gathered over an epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastconv import losses, metrics
from fastconv.layers.arguments import Array
from fastconv.losses import Loss
from fastconv.metrics import Metric


class Objective:
    """A loss and metrics, and their values so far.

    Parameters
    ----------
    loss : str, Loss or callable, optional
    plain, weighted : sequence of str, Metric or callable
        Metrics that ignore sample weights, and those that heed them.

    Raises
    ------
    ValueError
        If a name is unknown.

    Examples
    --------
    >>> Objective("mse", ["mae"], []).names
    ['loss', 'mae']
    """

    def __init__(self, loss: Any, plain: Sequence[Any], weighted: Sequence[Any]) -> None:
        self.loss: Loss | None = losses.get(loss)
        self._identifiers = [*((item, False) for item in plain), *((item, True) for item in weighted)]
        self._metrics: list[tuple[Metric, bool]] | None = None
        self._shapes: tuple[Any, Any] = (None, None)
        self._total = 0.0
        self._count = 0
        for identifier, _ in self._identifiers:
            metrics.get(identifier, (1,), (1, 2))

    def bind(self, target_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> None:
        """Resolve names such as ``accuracy`` by the shapes of truth and predictions, the first time."""
        if self._metrics is None:
            self._metrics = [
                (metrics.get(identifier, target_shape, output_shape), weighted)
                for identifier, weighted in self._identifiers
            ]

    @property
    def metrics(self) -> list[Metric]:
        """The metrics; those that only the data will tell are missing before the first batch."""
        return [metric for metric, _ in self._metrics or []]

    @property
    def names(self) -> list[str]:
        """The names under which values are reported."""
        if self._metrics is not None:
            return ["loss", *(metric.name for metric in self.metrics)]
        return ["loss", *(i if isinstance(i, str) else metrics.get(i).name for i, _ in self._identifiers)]

    def require_loss(self) -> Loss:
        """Return the loss.

        Raises
        ------
        ValueError
            If the model was compiled without one.
        """
        if self.loss is None:
            raise ValueError("No loss to compute. Provide a `loss` argument in `compile()`.")
        return self.loss

    def reset(self) -> None:
        """Start an epoch."""
        self._total = 0.0
        self._count = 0
        for metric in self.metrics:
            metric.reset_state()

    def add(self, loss: float, targets: Array, outputs: Array, weights: Array | None) -> None:
        """Add a batch, with the value of its loss."""
        self._total += loss * len(outputs)
        self._count += len(outputs)
        for metric, weighted in self._metrics or ():
            if weighted and weights is not None:
                metric.update_state(targets, outputs, sample_weight=weights)
            else:
                metric.update_state(targets, outputs)

    def results(self) -> dict[str, float]:
        """Return all values so far."""
        values = {"loss": self._total / self._count if self._count else 0.0}
        for metric in self.metrics:
            values[metric.name] = float(metric.result())
        return values
