"""Random zeros in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv import functional
from fastconv.layers.arguments import Array, Shape
from fastconv.layers.layer import Layer


class Dropout(Layer):
    """In training, set a random part of the inputs to zero and scale the rest up; otherwise return the inputs.

    Parameters
    ----------
    rate : float
        The part that is set to zero, from 0 to 1.
    noise_shape : sequence of int or None, optional
        Along axes of extent 1 all inputs share their fate; None is the inputs' extent.
    seed : int, optional
        A generator of the layer's own; otherwise the engine's, which ``fastconv.set_seed`` seeds.
    **kwargs
        As for `Layer`.

    Raises
    ------
    ValueError
        If `rate` is not in 0 … 1.

    Examples
    --------
    >>> import numpy as np
    >>> Dropout(0.5)(np.ones((1, 4)))
    array([[1., 1., 1., 1.]], dtype=float32)
    """

    def __init__(
        self, rate: float, noise_shape: Sequence[int | None] | None = None, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(rate, bool) or not isinstance(rate, (int, float, np.number)) or not 0 <= rate <= 1:
            raise ValueError(f"rate: expected a number from 0 to 1, got {rate!r}")
        self.rate = float(rate)
        self.noise_shape = None if noise_shape is None else tuple(noise_shape)
        self.seed = seed
        self._generator = None if seed is None else np.random.default_rng(seed)
        self._mask: Array | None = None

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the inputs' shape."""
        return input_shape

    def call(self, inputs: Array, training: bool = False) -> Array:
        """Return the inputs, in training with random zeros."""
        if not training:
            return inputs
        if self.rate == 0:
            self._mask = None
            return inputs
        self._mask = self._draw(inputs)
        return inputs * self._mask

    def backward(self, grad_outputs: Array) -> Array:
        """Return the gradient where the inputs were kept."""
        if self._mask is not None:
            grad_outputs *= self._mask
            self._mask = None
        return grad_outputs

    def _draw(self, inputs: Array) -> Array:
        """Return 0 for inputs to drop and 1 / (1 - rate) for those to keep."""
        shape: tuple[int, ...] = inputs.shape
        if self.noise_shape is not None:
            if len(self.noise_shape) != inputs.ndim:
                raise ValueError(f"noise_shape: expected {inputs.ndim} extents, got {self.noise_shape}")
            shape = tuple(
                whole if extent is None else extent for extent, whole in zip(self.noise_shape, shape, strict=True)
            )
        if self._generator is None:
            return functional.dropout(np.ones(shape, inputs.dtype), self.rate)
        if self.rate == 1:
            return np.zeros(shape, inputs.dtype)
        kept = self._generator.random(shape, np.float32) >= self.rate
        mask: Array = kept.astype(inputs.dtype)
        mask /= 1 - self.rate
        return mask
