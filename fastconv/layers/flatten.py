"""Each sample as one row."""

from __future__ import annotations

import math
from typing import Any

from fastconv.layers.arguments import Array, Shape, data_layout
from fastconv.layers.layer import Layer


class Flatten(Layer):
    """Each sample as one row; channels, whichever side they come in on, vary fastest.

    Inputs are (batch, …), outputs (batch, features).

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, optional
    **kwargs
        As for `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> Flatten()(np.zeros((2, 5, 5, 16))).shape
    (2, 400)
    """

    min_rank = 1

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = data_layout(data_format)
        self._saved: tuple[int, ...] = ()

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the outputs' shape."""
        extents = input_shape[1:]
        known = [extent for extent in extents if extent is not None]
        return (input_shape[0], math.prod(known) if len(known) == len(extents) else None)

    def call(self, inputs: Array, training: bool = False) -> Array:
        """Return the samples as rows."""
        if self.data_format == "channels_first" and inputs.ndim > 2:
            inputs = inputs.transpose(0, *range(2, inputs.ndim), 1)
        if training:
            self._saved = inputs.shape
        return inputs.reshape(inputs.shape[0], math.prod(inputs.shape[1:]))

    def backward(self, grad_outputs: Array) -> Array:
        """Return the rows as samples."""
        gradient = grad_outputs.reshape(self._saved)
        if self.data_format == "channels_first" and gradient.ndim > 2:
            return gradient.transpose(0, -1, *range(1, gradient.ndim - 1))
        return gradient
