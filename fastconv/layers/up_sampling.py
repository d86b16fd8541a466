"""What up-sampling over one, two and three axes shares: each position becomes several."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastconv.functional._gather import Blend, blend, gather, passes
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
            return blend(inputs, self._first, self._blends(inputs.shape, inputs.dtype), None)
        axes = enumerate(self.size, self._first)
        places = {axis: np.repeat(np.arange(inputs.shape[axis]), factor) for axis, factor in axes if factor > 1}
        return gather(inputs, passes(inputs.shape, places), None)

    def backward(self, grad_outputs: Array) -> Array:
        """Return the gradient, summed over what became of each position."""
        shape = list(grad_outputs.shape)
        for axis, factor in enumerate(self.size, self._first):
            shape[axis] //= factor
        if self.interpolation == "bilinear":
            pairs = zip(self._blends(tuple(shape), grad_outputs.dtype), shape[self._first :], strict=False)
            back = [made if made is None else made.transposed(extent) for made, extent in pairs]
            return blend(grad_outputs, self._first, back, None)
        # Each spatial axis is followed by one that runs within what became of a position.
        within = tuple(self._first + 2 * axis + 1 for axis in range(self.rank))
        total: Array = grad_outputs.reshape(self._split(tuple(shape))).sum(within)
        return total

    def _blends(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> list[Blend | None]:
        extents = zip(shape[self._first :], self.size, strict=False)
        return [_between(extent, factor, dtype) for extent, factor in extents]

    def _split(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        spatial = shape[self._first : self._first + self.rank]
        pairs = zip(spatial, self.size, strict=True)
        return (*shape[: self._first], *(n for pair in pairs for n in pair), *shape[self._first + self.rank :])


def _between(extent: int, factor: int, dtype: np.dtype[Any]) -> Blend | None:
    """Return what each new position along an axis is a blend of: the old one around it, and the one beside that."""
    if factor == 1:
        return None
    offsets = np.tile((np.arange(factor) + 0.5) / factor - 0.5, extent)  # between the middles of new and old
    around, share = np.repeat(np.arange(extent), factor), np.abs(offsets)
    beside = np.clip(around + np.sign(offsets).astype(np.intp), 0, extent - 1)
    share[offsets == 0] = 0.5  # of the same position
    return Blend.of_taps([(around, 1 - share), (beside, share)], dtype)
