"""Random zeros in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv import runtime
from fastconv._training import dropped
from fastconv.layers.arguments import Array, Shape, shape_of
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
        Numbers of the layer's own; otherwise the engine's, which ``fastconv.set_seed`` seeds.
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
        self.noise_shape = None if noise_shape is None else shape_of(noise_shape, "noise_shape")
        self.seed = seed
        self._draws = None if seed is None else runtime.Draws(seed)
        # What the way back repeats: the numbers of a call, or a mask where inputs share their fate.
        self._drawn: tuple[int, int] | None = None
        self._mask: Array | None = None

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the inputs' shape."""
        return input_shape

    def call(self, inputs: Array, training: bool = False) -> Array:
        """Return the inputs, in training with random zeros."""
        if not training:
            return inputs
        self._mask = self._drawn = None
        if self.rate == 0:
            return inputs
        drawn = self.draw()
        if self.noise_shape is None:
            self._drawn = drawn
            return dropped(inputs, self.rate, drawn)
        self._mask = dropped(np.ones(self._shared_shape(inputs.shape), inputs.dtype), self.rate, drawn)
        masked: Array = inputs * self._mask
        return masked

    def backward(self, grad_outputs: Array) -> Array:
        """Return the gradient where the inputs were kept."""
        if self._mask is not None:
            grad_outputs *= self._mask
        elif self._drawn is not None:
            grad_outputs = dropped(grad_outputs, self.rate, self._drawn, over=True)
        self._mask = self._drawn = None
        return grad_outputs

    def draw(self, calls: int = 1) -> tuple[int, int]:
        """Return the numbers of the next call, or of the first of some."""
        return (self._draws or runtime.draws()).next(calls)

    def _shared_shape(self, shape: Shape) -> tuple[int, ...]:
        """Return the extents of the mask, 1 where inputs share their fate."""
        noise = self.noise_shape or ()
        if len(noise) != len(shape):
            raise ValueError(f"noise_shape: expected {len(shape)} extents, got {self.noise_shape}")
        return tuple((whole or 0) if extent is None else extent for extent, whole in zip(noise, shape, strict=True))
