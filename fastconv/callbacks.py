"""What happens round the epochs and batches of ``fit``: Keras' callbacks."""

from __future__ import annotations

import csv
import math
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from fastconv.models.model import Model

__all__ = [
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
]

Logs = Mapping[str, float]


class Callback:
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
    >>> CallbackList([History()], models.Sequential()).listens("on_train_batch_end")
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


class History(Callback):
    """The values of each epoch; ``fit`` returns one.

    Attributes
    ----------
    epoch : list of int
    history : dict of list of float
        One list for the loss and each metric, with ``val_`` before the name for those of the validation.

    Examples
    --------
    >>> history = History()
    >>> history.on_epoch_end(0, {"loss": 0.5})
    >>> history.history
    {'loss': [0.5]}
    """

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = {}

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget earlier epochs' numbers."""
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Keep an epoch's values."""
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)


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


class EarlyStopping(MonitorCallback):
    """End training when a value has stopped getting better.

    Parameters
    ----------
    monitor : str
    min_delta : float
        The least change that counts as better.
    patience : int
        How many epochs in a row may bring nothing better.
    verbose : int
        With 1, say so.
    mode : {"auto", "min", "max"}
    baseline : float, optional
        What has to be surpassed, too.
    restore_best_weights : bool
        Put back the weights of the best epoch in the end.
    start_from_epoch : int
        Epochs before it are not watched.

    Examples
    --------
    >>> EarlyStopping(patience=3, restore_best_weights=True).monitor
    'val_loss'
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, None, min_delta)
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self.wait = 0
        self.stopped_epoch = 0
        self.best_epoch = 0
        self.best_weights: list[Any] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Start to watch."""
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best = None
        self.best_weights = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Compare the epoch's value with the best."""
        current = self._monitored(logs, "Early stopping")
        if current is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self.best_weights = self.model.get_weights()
            self.best_epoch = epoch
        self.wait += 1
        if self._improves(current, self.best):
            self.best = current
            self.best_epoch = epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self._improves(current, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Put the best weights back."""
        if self.stopped_epoch > 0 and self.verbose > 0:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            if self.verbose > 0:
                print(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.")
            self.model.set_weights(self.best_weights)


class ModelCheckpoint(MonitorCallback):
    """Save the model, or its weights, after epochs or batches.

    Parameters
    ----------
    filepath : path
        Ends in ``.npz`` or ``.safetensors``; may hold ``{epoch:02d}``, ``{val_loss:.2f}`` and the like.
    monitor : str
    verbose : int
        With 1, say so.
    save_best_only : bool
        Save only what is better than all before.
    save_weights_only : bool
    mode : {"auto", "min", "max"}
    save_freq : "epoch" or int
        After how many batches to save.
    initial_value_threshold : float, optional
        What the first model saved has to surpass.

    Raises
    ------
    ValueError
        If the file name or `save_freq` is no such thing.

    Examples
    --------
    >>> ModelCheckpoint("best.npz", save_best_only=True).filepath
    'best.npz'
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, initial_value_threshold)
        self.filepath = os.fspath(filepath)
        if not self.filepath.endswith((".npz", ".safetensors")):
            raise ValueError(f"filepath: expected a name that ends in .npz or .safetensors, got {self.filepath!r}")
        if save_freq != "epoch" and not isinstance(save_freq, int):
            raise ValueError(f"Unrecognized save_freq: {save_freq}. Expected save_freq are 'epoch' or integer values")
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = save_freq
        self._epoch = 0
        self._batches = 0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Keep the number of the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Save after so many batches."""
        if isinstance(self.save_freq, int):
            self._batches += 1
            if self._batches >= self.save_freq:
                self._batches = 0
                self._save(self._epoch, logs or {}, batch)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Save after an epoch."""
        if self.save_freq == "epoch":
            self._save(epoch, logs or {}, None)

    def _save(self, epoch: int, logs: Logs, batch: int | None) -> None:
        if self.save_best_only and not self._best_so_far(epoch, logs):
            return
        fields = dict(logs) | ({} if batch is None else {"batch": batch + 1})
        try:
            path = self.filepath.format(epoch=epoch + 1, **fields)
        except KeyError as error:
            raise KeyError(f'Failed to format this callback filepath: "{self.filepath}". Reason: {error}') from None
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            self.model.save(path)
        if self.verbose > 0:
            print(f"Epoch {epoch + 1}: saved to {path}")

    def _best_so_far(self, epoch: int, logs: Logs) -> bool:
        value = self._monitored(logs, "Saving the best model is")
        if value is None:
            return True
        better = self._improves(value, self.best)
        if self.verbose > 0 and not better:
            print(f"Epoch {epoch + 1}: {self.monitor} did not improve from {self.best:.5f}")
        if better:
            self.best = value
        return better


class CSVLogger(Callback):
    """Write each epoch's values as a line of a CSV file.

    Parameters
    ----------
    filename : path
    separator : str
    append : bool
        Add to a file that exists, instead of overwriting it.

    Examples
    --------
    >>> CSVLogger("training.csv").separator
    ','
    """

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        self.filename = os.fspath(filename)
        self.separator = separator
        self.append = append
        self._keys: list[str] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Make the file."""
        path = Path(self.filename)
        self._keys = []
        if not self.append or not path.exists():
            path.write_text("", encoding="utf-8")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write an epoch's values."""
        values = dict(logs or {})
        if not self._keys:
            self._keys = sorted(values)
        with Path(self.filename).open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter=self.separator)
            if file.tell() == 0:
                writer.writerow(["epoch", *self._keys])
            writer.writerow([epoch, *(values.get(key, "NA") for key in self._keys)])


class LambdaCallback(Callback):
    """A callback out of functions.

    Parameters
    ----------
    on_epoch_begin, on_epoch_end : callable, optional
        Called with ``(epoch, logs)``.
    on_train_begin, on_train_end : callable, optional
        Called with ``(logs)``.
    on_train_batch_begin, on_train_batch_end : callable, optional
        Called with ``(batch, logs)``.
    **kwargs
        The same for Callback's other events.

    Raises
    ------
    ValueError
        If an event is unknown.

    Examples
    --------
    >>> LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs)).on_epoch_end(0, {"loss": 0.5})
    0 {'loss': 0.5}
    """

    def __init__(
        self,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None,
        on_train_batch_end: Callable[..., Any] | None = None,
        **kwargs: Callable[..., Any],
    ) -> None:
        events = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
        } | kwargs
        for event, function in events.items():
            if not event.startswith("on_") or not hasattr(Callback, event):
                raise ValueError(f"LambdaCallback: unknown event {event!r}")
            if function is not None:
                setattr(self, event, function)


class LearningRateScheduler(Callback):
    """Set the learning rate before each epoch.

    Parameters
    ----------
    schedule : callable
        Called with the epoch and the present rate, it returns the new one.
    verbose : int
        With 1, say so.

    Examples
    --------
    >>> LearningRateScheduler(lambda epoch, rate: rate * 0.9).verbose
    0
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        self.schedule = schedule
        self.verbose = verbose

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Set the learning rate."""
        rate = float(self.schedule(epoch, self.model.optimizer.learning_rate))
        self.model.optimizer.learning_rate = rate
        if self.verbose > 0:
            print(f"Epoch {epoch + 1}: LearningRateScheduler setting learning rate to {rate}.")


class ReduceLROnPlateau(MonitorCallback):
    """Lower the learning rate when a value has stopped getting better.

    Parameters
    ----------
    monitor : str
    factor : float
        What the rate is multiplied by, below 1.
    patience : int
        How many epochs in a row may bring nothing better.
    verbose : int
        With 1, say so.
    mode : {"auto", "min", "max"}
    min_delta : float
    cooldown : int
        Epochs after a reduction that are not watched.
    min_lr : float

    Raises
    ------
    ValueError
        If the factor is not below 1.

    Examples
    --------
    >>> ReduceLROnPlateau(factor=0.5).patience
    10
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, None, min_delta)
        if factor >= 1.0:
            raise ValueError(f"ReduceLROnPlateau does not support a factor >= 1.0. Got {factor}")
        self.factor = factor
        self.patience = patience
        self.verbose = verbose
        self.cooldown = cooldown
        self.min_lr = min_lr
        self.wait = 0
        self.cooldown_counter = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Start to watch."""
        self.best = None
        self.wait = self.cooldown_counter = 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Compare the epoch's value with the best."""
        current = self._monitored(logs, "Learning rate reduction is")
        if current is None:
            return
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.wait = 0
        if self._improves(current, self.best):
            self.best = current
            self.wait = 0
        elif self.cooldown_counter <= 0:
            self.wait += 1
            if self.wait >= self.patience:
                self._reduce(epoch)

    def _reduce(self, epoch: int) -> None:
        old = self.model.optimizer.learning_rate
        if old > self.min_lr:
            rate = max(old * self.factor, self.min_lr)
            self.model.optimizer.learning_rate = rate
            if self.verbose > 0:
                print(f"Epoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {rate}.")
            self.cooldown_counter = self.cooldown
            self.wait = 0


class TerminateOnNaN(Callback):
    """End training when the loss is no longer a number.

    Examples
    --------
    >>> isinstance(TerminateOnNaN(), Callback)
    True
    """

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Look at the loss."""
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            print(f"Batch {batch}: Invalid loss, terminating training")
            self.model.stop_training = True
