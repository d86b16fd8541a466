"""Each epoch as a line of a file."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from fastconv.callbacks.callback import Callback, Logs


class CSVLogger(Callback):
    """Write each epoch's values as a line of a CSV file, ``NA`` for those of a validation that did not take place.

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
            if not any(key.startswith("val_") for key in values):
                # A validation may follow in a later epoch.
                self._keys += [f"val_{key}" for key in self._keys]
        with Path(self.filename).open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter=self.separator)
            if file.tell() == 0:
                writer.writerow(["epoch", *self._keys])
            writer.writerow([epoch, *(values.get(key, "NA") for key in self._keys)])
