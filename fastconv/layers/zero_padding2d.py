"""A border of zeros round images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv.layers.arguments import Array, Shape, data_layout
from fastconv.layers.layer import Layer


class ZeroPadding2D(Layer):
    """A border of zeros round images.

    Inputs are (batch, height, width, channels).

    Parameters
    ----------
    padding : int, (int, int) or ((int, int), (int, int))
        For all sides, for rows and columns, or for (top, bottom) and (left, right).
    data_format : {"channels_last", "channels_first"}, optional
    **kwargs
        As for `Layer`.

    Raises
    ------
    ValueError
        If `padding` has another form or is negative.

    Examples
    --------
    >>> import numpy as np
    >>> ZeroPadding2D(((1, 0), (2, 2)))(np.ones((1, 3, 3, 1))).shape
    (1, 4, 7, 1)
    """

    exact_rank = 4

    def __init__(
        self,
        padding: int | Sequence[int] | Sequence[Sequence[int]] = (1, 1),
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        rows, columns = _sides(padding, padding)
        self.padding = (_sides(rows, padding), _sides(columns, padding))
        if any(not isinstance(n, int) or isinstance(n, bool) or n < 0 for side in self.padding for n in side):
            raise ValueError(f"padding: expected non-negative integers, got {padding!r}")
        self.data_format = data_layout(data_format)
        self._first = 1 if self.data_format == "channels_last" else 2

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the outputs' shape."""
        shape = list(input_shape)
        for axis, side in enumerate(self.padding, self._first):
            extent = shape[axis]
            shape[axis] = None if extent is None else extent + sum(side)
        return tuple(shape)

    def call(self, inputs: Array) -> Array:
        """Return the images with their border."""
        shape = [extent or 0 for extent in self.compute_output_shape(inputs.shape)]
        outputs = np.zeros(shape, inputs.dtype)
        outputs[self._inside(outputs)] = inputs
        return outputs

    def backward(self, grad_outputs: Array) -> Array:
        """Return the gradient without the border."""
        return grad_outputs[self._inside(grad_outputs)]

    def _inside(self, padded: Array) -> tuple[slice, ...]:
        (top, bottom), (left, right) = self.padding
        height, width = padded.shape[self._first : self._first + 2]
        inside = (slice(top, height - bottom), slice(left, width - right))
        return (slice(None),) * self._first + inside


def _sides(value: Any, padding: Any) -> tuple[Any, Any]:
    if isinstance(value, (tuple, list)):
        if len(value) != 2:
            raise ValueError(f"padding: expected an integer, 2 integers or 2 pairs of integers, got {padding!r}")
        return value[0], value[1]
    return value, value
