"""The end of training when the loss is no longer a number."""

from __future__ import annotations

import math

from fastconv.callbacks.callback import Callback, Logs


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
