"""What up-sampling over one, two and three axes shares: each position becomes several."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastconv.functional._gather import gather, passes
from fastconv.layers.arguments import Array, Extents, Shape, data_layout, extents
from fastconv.layers.layer import Layer


class UpSampling(Layer):
    """Base of UpSampling1D, UpSampling2D and UpSampling3D.

    Parameters
    ----------
    size : int or tuple of int
        How many positions become of one, for each spatial axis.
    data_format : {"channels_last", "channels_first"}, optional
    interpolation : {"nearest", "bilinear"}
    **kwargs
        As for `Layer`.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """

    # The number of spatial axes.
    rank: ClassVar[int] = 2

    def __init__(
        self, size: Extents = 2, data_format: str | None = None, interpolation: str = "nearest", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.size = extents(size, self.rank, "size")
        self.data_format = data_layout(data_format)
        if interpolation not in ("nearest", "bilinear"):
            raise ValueError(f"interpolation: expected 'nearest' or 'bilinear', got {interpolation!r}")
        self.interpolation = interpolation
        self.exact_rank = self.rank + 2
        self._first = 1 if self.data_format == "channels_last" else 2

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the outputs' shape."""
        shape = list(input_shape)
        for axis, factor in enumerate(self.size, self._first):
            extent = shape[axis]
            shape[axis] = None if extent is None else extent * factor
        return tuple(shape)

    def call(self, inputs: Array) -> Array:
        """Return the larger inputs."""
        if self.interpolation == "bilinear":
            for axis, factor in enumerate(self.size, self._first):
                inputs = _stretched(inputs, axis, factor)
            return inputs
        axes = enumerate(self.size, self._first)
        places = {axis: np.repeat(np.arange(inputs.shape[axis]), factor) for axis, factor in axes if factor > 1}
        return gather(inputs, passes(inputs.shape, places), None)

    def backward(self, grad_outputs: Array) -> Array:
        """Return the gradient, summed over what became of each position."""
        if self.interpolation == "bilinear":
            for axis, factor in enumerate(self.size, self._first):
                grad_outputs = _gathered(grad_outputs, axis, factor)
            return grad_outputs
        shape = list(grad_outputs.shape)
        for axis, factor in enumerate(self.size, self._first):
            shape[axis] //= factor
        # Each spatial axis is followed by one that runs within what became of a position.
        within = tuple(self._first + 2 * axis + 1 for axis in range(self.rank))
        total: Array = grad_outputs.reshape(self._split(tuple(shape))).sum(within)
        return total

    def _split(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        spatial = shape[self._first : self._first + self.rank]
        pairs = zip(spatial, self.size, strict=True)
        return (*shape[: self._first], *(n for pair in pairs for n in pair), *shape[self._first + self.rank :])


def _offsets(factor: int) -> list[float]:
    """Return how far the middles of the new positions lie from the middle of the old one."""
    return [(place + 0.5) / factor - 0.5 for place in range(factor)]


def _neighbours(values: Array, axis: int, offset: float) -> Array:
    """Return for each position the one beside it, on the side of an offset; itself at the edge."""
    extent = values.shape[axis]
    places = np.arange(extent) + (1 if offset > 0 else -1)
    return np.take(values, np.clip(places, 0, extent - 1), axis=axis)


def _stretched(values: Array, axis: int, factor: int) -> Array:
    parts = [
        values if offset == 0 else values * (1 - abs(offset)) + _neighbours(values, axis, offset) * abs(offset)
        for offset in map(values.dtype.type, _offsets(factor))
    ]
    shape = [extent * factor if place == axis else extent for place, extent in enumerate(values.shape)]
    return np.stack(parts, axis + 1).reshape(shape)


def _gathered(gradient: Array, axis: int, factor: int) -> Array:
    """Return the gradient of `_stretched` with respect to its values."""
    extent = gradient.shape[axis] // factor
    split = gradient.reshape((*gradient.shape[:axis], extent, factor, *gradient.shape[axis + 1 :]))
    total = np.zeros((*gradient.shape[:axis], extent, *gradient.shape[axis + 1 :]), gradient.dtype)
    lines = np.moveaxis(total, axis, 0)
    for place, offset in enumerate(map(gradient.dtype.type, _offsets(factor))):
        part = np.moveaxis(np.take(split, place, axis + 1), axis, 0)
        lines += part * (1 - abs(offset))
        share = part * abs(offset)
        if offset > 0:
            lines[1:] += share[:-1]
            lines[-1] += share[-1]
        elif offset < 0:
            lines[:-1] += share[1:]
            lines[0] += share[0]
    return total
