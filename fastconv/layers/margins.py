"""What zero padding and cropping share: so many positions at the beginning and at the end of each spatial axis."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastconv.layers.arguments import Array, Shape, data_layout, sides
from fastconv.layers.layer import Layer


class Margins(Layer):
    """Base of the layers that add or take away positions at the edges.

    Parameters
    ----------
    margins : tuple of (int, int)
        Positions at the beginning and at the end of each spatial axis.
    data_format : {"channels_last", "channels_first"}, optional
    **kwargs
        As for `Layer`.
    """

    # The number of spatial axes.
    rank: ClassVar[int] = 2

    def __init__(self, margins: tuple[tuple[int, int], ...], data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = data_layout(data_format)
        self.exact_rank = self.rank + 2
        self._margins = margins
        self._first = 1 if self.data_format == "channels_last" else 2

    def _resized(self, input_shape: Shape, sign: int) -> Shape:
        shape = list(input_shape)
        for axis, margin in enumerate(self._margins, self._first):
            extent = shape[axis]
            shape[axis] = None if extent is None else extent + sign * sum(margin)
        return tuple(shape)

    def _inside(self, large: Array) -> tuple[slice, ...]:
        """Return where the smaller array lies in the larger one."""
        extents = large.shape[self._first : self._first + self.rank]
        inside = (slice(first, extent - last) for (first, last), extent in zip(self._margins, extents, strict=True))
        return (slice(None),) * self._first + tuple(inside)

    def _surrounded(self, values: Array) -> Array:
        """Return a copy with zeros around it."""
        outputs = np.zeros([extent or 0 for extent in self._resized(values.shape, 1)], values.dtype)
        outputs[self._inside(outputs)] = values
        return outputs

    @classmethod
    def _argument_names(cls) -> list[str]:
        return [name for name in super()._argument_names() if name != "margins"]


class ZeroPadding(Margins):
    """Base of ZeroPadding1D, ZeroPadding2D and ZeroPadding3D."""

    def __init__(self, padding: Any = 1, data_format: str | None = None, **kwargs: Any) -> None:
        margins = sides(padding, self.rank, "padding")
        super().__init__(margins, data_format, **kwargs)
        self.padding = margins[0] if self.rank == 1 else margins

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the outputs' shape."""
        return self._resized(input_shape, 1)

    def call(self, inputs: Array) -> Array:
        """Return the inputs with a border of zeros."""
        return self._surrounded(inputs)

    def backward(self, grad_outputs: Array) -> Array:
        """Return the gradient without the border."""
        return grad_outputs[self._inside(grad_outputs)]


class Cropping(Margins):
    """Base of Cropping1D, Cropping2D and Cropping3D."""

    def __init__(self, cropping: Any, data_format: str | None = None, **kwargs: Any) -> None:
        margins = sides(cropping, self.rank, "cropping")
        super().__init__(margins, data_format, **kwargs)
        self.cropping = margins[0] if self.rank == 1 else margins

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the outputs' shape."""
        shape = self._resized(input_shape, -1)
        for axis in range(self._first, self._first + self.rank):
            extent = shape[axis]
            if extent is not None and extent <= 0:
                raise ValueError(
                    "Values in `cropping` argument should be smaller than the corresponding spatial dimension of the"
                    f" input. Received: input_shape={input_shape}, cropping={self.cropping}"
                )
        return shape

    def call(self, inputs: Array) -> Array:
        """Return what is left of the inputs."""
        self.compute_output_shape(inputs.shape)
        return np.ascontiguousarray(inputs[self._inside(inputs)])

    def backward(self, grad_outputs: Array) -> Array:
        """Return the gradient with zeros where the inputs were cut off."""
        return self._surrounded(grad_outputs)
