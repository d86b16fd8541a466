"""The values of each epoch."""

from __future__ import annotations

from fastconv.callbacks.callback import Callback, Logs


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
