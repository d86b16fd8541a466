"""What every callback has, and callbacks as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from fastconv._arguments import constructors as check

if TYPE_CHECKING:
    from fastconv.models.model import Model

Logs = Mapping[str, float]


_RULES: dict[str, check.Rule] = {
    "append": check.switch,
    "baseline": check.optional(check.any_number),
    "cooldown": check.count,
    "factor": check.not_negative,
    "filename": check.path,
    "filepath": check.path,
    "initial_value_threshold": check.optional(check.any_number),
    "min_delta": check.finite,
    "min_lr": check.not_negative,
    "mode": check.text,
    "monitor": check.text,
    "patience": check.count,
    "restore_best_weights": check.switch,
    "save_best_only": check.switch,
    "save_weights_only": check.switch,
    "schedule": check.function,
    "separator": check.letter,
    "start_from_epoch": check.count,
    "verbose": check.count,
    **dict.fromkeys(
        (
            *("on_epoch_begin", "on_epoch_end", "on_train_begin", "on_train_end"),
            *("on_train_batch_begin", "on_train_batch_end"),
        ),
        check.optional(check.function),
    ),
}


class Callback(check.Checked, rules=_RULES):
    """Base of all callbacks; one of one's own overrides what it needs.

    Attributes
    ----------
    model : Model
        What is being trained; ``model.stop_training = True`` ends training after the epoch.
    params : dict
        ``epochs``, ``steps`` and ``verbose``.

    Examples
    --------
    >>> class Counter(Callback):
    ...     epochs = 0
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         self.epochs += 1
    """

    model: Model
    params: dict[str, Any]

    def set_params(self, params: dict[str, Any]) -> None:
        """Take the parameters of a run."""
        self.params = params

    def set_model(self, model: Model) -> None:
        """Take the model."""
        self.model = model

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Run before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Run after the last epoch."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Run before an epoch."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Run after an epoch and its validation."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Run before a training batch."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Run after a training batch."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Run before an evaluation."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Run after an evaluation."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Run before a batch of an evaluation."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Run after a batch of an evaluation."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Run before a prediction."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Run after a prediction."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Run before a batch of a prediction."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Run after a batch of a prediction."""


class CallbackList:
    """Callbacks as one; what none of them overrides costs nothing.

    Parameters
    ----------
    callbacks : Callback or sequence of Callback, optional
    model : Model
    **params
        Passed to every callback.

    Raises
    ------
    TypeError
        If something is no callback.

    Examples
    --------
    >>> from fastconv import models
    >>> CallbackList([Callback()], models.Sequential()).listens("on_train_batch_end")
    False
    """

    def __init__(self, callbacks: Any, model: Model, **params: Any) -> None:
        given = [] if callbacks is None else callbacks
        self.callbacks: list[Callback] = list(given) if isinstance(given, (list, tuple)) else [given]
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(f"callbacks: expected Callback objects, got {callback!r}")
            callback.set_params(params)
            callback.set_model(model)
        self._listeners: dict[str, list[Callable[..., Any]]] = {}

    def listens(self, event: str) -> bool:
        """Return whether any callback overrides an event."""
        return bool(self._listening(event))

    def call(self, event: str, *args: Any) -> None:
        """Tell all callbacks of an event."""
        for listener in self._listening(event):
            listener(*args)

    def _listening(self, event: str) -> list[Callable[..., Any]]:
        if event not in self._listeners:
            default = getattr(Callback, event)
            self._listeners[event] = [
                getattr(callback, event)
                for callback in self.callbacks
                if getattr(getattr(callback, event), "__func__", None) is not default
            ]
        return self._listeners[event]
