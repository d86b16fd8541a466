"""The largest value of each channel."""

from __future__ import annotations

from fastconv import functional, grad
from fastconv.layers.arguments import Array
from fastconv.layers.pooling import GlobalPooling2D


class GlobalMaxPooling2D(GlobalPooling2D):
    """The largest value of each channel of an image.

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
    >>> GlobalMaxPooling2D()(np.arange(6.0).reshape(1, 3, 1, 2))
    array([[4., 5.]], dtype=float32)
    """

    def call(self, inputs: Array, training: bool = False) -> Array:
        """Return the largest values; in training keep where they stood."""
        if not training:
            return self._squeeze(functional.adaptive_max_pool2d(inputs, 1, layout=self._layout))
        outputs, indices = functional.adaptive_max_pool2d(inputs, 1, return_indices=True, layout=self._layout)
        self._saved = (inputs, indices)
        return self._squeeze(outputs)

    def backward(self, grad_outputs: Array) -> Array:
        """Send each gradient to where the largest value stood."""
        (inputs, indices), self._saved = self._saved, None
        return grad.adaptive_max_pool2d(inputs, self._expand(grad_outputs), layout=self._layout, indices=indices)
