"""Each sample in another shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fastconv.layers.arguments import Array, Shape
from fastconv.layers.layer import Layer


class Reshape(Layer):
    """Each sample in another shape.

    Parameters
    ----------
    target_shape : sequence of int
        Without the batch; one extent may be -1, which is then inferred.
    **kwargs
        As for `Layer`.

    Raises
    ------
    ValueError
        If the shape has another number of elements than the inputs, or more than one -1.

    Examples
    --------
    >>> import numpy as np
    >>> Reshape((28, 28, 1))(np.zeros((2, 784))).shape
    (2, 28, 28, 1)
    """

    def __init__(self, target_shape: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(target_shape, (tuple, list)):
            raise ValueError(f"target_shape: expected a tuple of integers, got {target_shape!r}")
        target = tuple(target_shape)
        valid = all(isinstance(extent, int) and not isinstance(extent, bool) and extent >= -1 for extent in target)
        if not valid or target.count(-1) > 1:
            raise ValueError(f"target_shape: expected non-negative integers and at most one -1, got {target_shape!r}")
        self.target_shape = target
        self._saved: tuple[int, ...] = ()

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the outputs' shape."""
        extents = [extent for extent in input_shape[1:] if extent is not None]
        if len(extents) < len(input_shape) - 1:
            return (input_shape[0], *(None if extent == -1 else extent for extent in self.target_shape))
        total, known = math.prod(extents), math.prod(extent for extent in self.target_shape if extent != -1)
        fits = total == known if -1 not in self.target_shape else known and total % known == 0
        if not fits:
            raise ValueError(
                "The total size of the tensor must be unchanged. Received:"
                f" input_shape={input_shape[1:]}, target_shape={self.target_shape}"
            )
        return (input_shape[0], *(total // known if extent == -1 else extent for extent in self.target_shape))

    def call(self, inputs: Array, training: bool = False) -> Array:
        """Return the samples in their new shape."""
        if training:
            self._saved = inputs.shape
        _, *extents = self.compute_output_shape(inputs.shape)
        return inputs.reshape(inputs.shape[0], *(extent or 0 for extent in extents))

    def backward(self, grad_outputs: Array) -> Array:
        """Return the gradient in the shape of the inputs."""
        return grad_outputs.reshape(self._saved)
