"""The largest value in a moving window."""

from __future__ import annotations

from typing import Any

from fastconv import functional, grad
from fastconv.layers.arguments import Array, Pair
from fastconv.layers.pooling import Pooling2D


class MaxPooling2D(Pooling2D):
    """The largest value of each channel within a moving window.

    Inputs are (batch, height, width, channels), outputs (batch, rows, columns, channels).

    Parameters
    ----------
    pool_size : int or (int, int)
    strides : int or (int, int), optional
        The pool size by default.
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
    name : str, optional
    **kwargs
        As for `Layer`.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> MaxPooling2D()(np.arange(4.0).reshape(1, 2, 2, 1)).ravel()
    array([3.], dtype=float32)
    """

    def __init__(
        self,
        pool_size: Pair = (2, 2),
        strides: Pair | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name, **kwargs)

    def call(self, inputs: Array, training: bool = False) -> Array:
        """Return the largest values; in training keep where they stood."""
        if not training:
            return functional.max_pool2d(inputs, self.pool_size, self.strides, self.padding, layout=self._layout)
        outputs, indices = functional.max_pool2d(
            inputs, self.pool_size, self.strides, self.padding, return_indices=True, layout=self._layout
        )
        self._saved = (inputs, indices)
        return outputs

    def backward(self, grad_outputs: Array) -> Array:
        """Send each gradient to where the largest value stood."""
        (inputs, indices), self._saved = self._saved, None
        return grad.max_pool2d(
            inputs, grad_outputs, self.pool_size, self.strides, self.padding, layout=self._layout, indices=indices
        )
