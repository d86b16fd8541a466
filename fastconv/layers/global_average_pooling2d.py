"""The mean of each channel."""

from __future__ import annotations

from fastconv import functional, grad
from fastconv.layers.arguments import Array
from fastconv.layers.pooling import GlobalPooling2D


class GlobalAveragePooling2D(GlobalPooling2D):
    """The mean of each channel of an image.

    Inputs are (batch, height, width, channels), outputs (batch, channels), or (batch, 1, 1, channels) with `keepdims`.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, optional
    keepdims : bool
    **kwargs
        As for `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> GlobalAveragePooling2D()(np.arange(6.0).reshape(1, 3, 1, 2))
    array([[2., 3.]], dtype=float32)
    """

    def call(self, inputs: Array, training: bool = False) -> Array:
        """Return the means."""
        if training:
            self._saved = inputs.shape
        return self._squeeze(functional.adaptive_avg_pool2d(inputs, 1, layout=self._layout))

    def backward(self, grad_outputs: Array) -> Array:
        """Spread each gradient over the image."""
        shape, self._saved = self._saved, None
        return grad.adaptive_avg_pool2d(shape, self._expand(grad_outputs), layout=self._layout)
