"""Models saved while they are trained."""

from __future__ import annotations

import os
from pathlib import Path

from fastconv.callbacks.callback import Logs
from fastconv.callbacks.monitor import MonitorCallback


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
        if save_freq != "epoch" and (type(save_freq) is not int or save_freq < 1):
            raise ValueError(f"save_freq: expected 'epoch' or a positive int, got {save_freq!r}")
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
