"""A lower learning rate when nothing gets better."""

from __future__ import annotations

from fastconv.callbacks.callback import Logs
from fastconv.callbacks.monitor import MonitorCallback


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
