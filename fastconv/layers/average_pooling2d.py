"""The mean over a moving window."""

from __future__ import annotations

from fastconv import functional, grad
from fastconv.layers.arguments import Array
from fastconv.layers.pooling import Pooling2D


class AveragePooling2D(Pooling2D):
    """The mean of each channel within a moving window; padding is not counted.

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
    >>> AveragePooling2D(2)(np.arange(4.0).reshape(1, 2, 2, 1)).ravel()
    array([1.5], dtype=float32)
    """

    def call(self, inputs: Array, training: bool = False) -> Array:
        """Return the means."""
        if training:
            self._saved = inputs.shape
        return functional.avg_pool2d(
            inputs, self.pool_size, self.strides, self.padding, count_include_pad=False, layout=self._layout
        )

    def backward(self, grad_outputs: Array) -> Array:
        """Spread each gradient over its window."""
        shape, self._saved = self._saved, None
        return grad.avg_pool2d(
            shape,
            grad_outputs,
            self.pool_size,
            self.strides,
            self.padding,
            count_include_pad=False,
            layout=self._layout,
        )
