"""Watching one value, and knowing when it gets better."""

from __future__ import annotations

import warnings
from typing import Literal

from fastconv.callbacks.callback import Callback, Logs


class MonitorCallback(Callback):
    """Base of the callbacks that watch one value and know when it gets better.

    Parameters
    ----------
    monitor : str
        The loss or a metric, such as ``val_loss``.
    mode : {"auto", "min", "max"}
        Whether lower or higher is better; ``auto`` finds out by the metric.
    baseline : float, optional
        The best value before the first.
    min_delta : float
        The least change that counts.

    Raises
    ------
    ValueError
        In training, if ``auto`` cannot tell.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        mode: str = "auto",
        baseline: float | None = None,
        min_delta: float = 0.0,
    ) -> None:
        if mode not in ("auto", "min", "max"):
            warnings.warn(f"{type(self).__name__} mode '{mode}' is unknown, fallback to auto mode.", stacklevel=3)
            mode = "auto"
        self.monitor = monitor
        self.mode = mode
        self.best = baseline
        self.min_delta = abs(min_delta)

    def _improves(self, value: float, reference: float | None) -> bool:
        if reference is None:
            return True
        if self._direction() == "up":
            return value - self.min_delta > reference
        return value + self.min_delta < reference

    def _direction(self) -> Literal["up", "down"]:
        if self.mode != "auto":
            return "up" if self.mode == "max" else "down"
        name = self.monitor.removeprefix("val_")
        if name == "loss":
            return "down"
        direction = next((metric.direction for metric in self.model.metrics if metric.name == name), None)
        if direction is None:
            raise ValueError(
                f"{type(self).__name__} callback received monitor={self.monitor}, but it is not known whether that"
                " metric should be maximized or minimized. Pass `mode='max'` or `mode='min'`."
            )
        return direction

    def _monitored(self, logs: Logs | None, does: str) -> float | None:
        value = (logs or {}).get(self.monitor)
        if value is None:
            warnings.warn(
                f"{does} conditioned on metric `{self.monitor}` which is not available."
                f" Available metrics are: {','.join(logs or {})}",
                stacklevel=3,
            )
        return value
