"""Normalisation of each sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv import initializers, regularizers
from fastconv.layers.affine import no_constraint
from fastconv.layers.arguments import Array, Shape
from fastconv.layers.layer import Layer
from fastconv.layers.variable import Variable


class LayerNormalization(Layer):
    """Normalise each sample by the mean and variance of its own values along some axes (Ba et al., 2016).

    Parameters
    ----------
    axis : int or sequence of int
        The axes along which a sample has one mean and variance; gamma and beta have their extents.
    epsilon : float
        Added to the variance.
    center, scale : bool
        Whether to add a learned beta and multiply by a learned gamma.
    beta_initializer, gamma_initializer : str or Initializer
    beta_regularizer, gamma_regularizer : str or Regularizer, optional
    beta_constraint, gamma_constraint : None
    **kwargs
        As for `Layer`.

    Raises
    ------
    ValueError
        If an axis does not exist or its extent is not known.

    Examples
    --------
    >>> LayerNormalization()([[1.0, 3.0]]).round(2)
    array([[-1.,  1.]], dtype=float32)
    """

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: None = None,
        gamma_constraint: None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        no_constraint(beta_constraint, "beta_constraint")
        no_constraint(gamma_constraint, "gamma_constraint")
        several = not isinstance(axis, (int, np.integer))
        self._listed = [int(one) for one in axis] if several else [int(axis)]  # type: ignore[union-attr, arg-type]
        self.axis: Any = self._listed if several else self._listed[0]
        self.epsilon = float(epsilon)
        self.center = bool(center)
        self.scale = bool(scale)
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.gamma: Variable | None = None
        self.beta: Variable | None = None
        self._extents: tuple[int, ...] = ()
        self._saved: tuple[Array, Array] | None = None

    def build(self, input_shape: Shape) -> None:
        """Create gamma and beta."""
        axes = self._axes(len(input_shape))
        extents = [input_shape[axis] for axis in axes]
        if None in extents:
            raise ValueError(f"layer {self.name!r}: axes {axes} of the inputs should be defined, got {input_shape}")
        self._extents = tuple(extent or 0 for extent in extents)
        if self.scale:
            self.gamma = self.add_weight(
                self._extents, self.gamma_initializer, regularizer=self.gamma_regularizer, name="gamma"
            )
        if self.center:
            self.beta = self.add_weight(
                self._extents, self.beta_initializer, regularizer=self.beta_regularizer, name="beta"
            )

    def check_input_shape(self, input_shape: Shape) -> None:
        """Raise a ValueError if the layer cannot take inputs of a shape."""
        axes = self._axes(len(input_shape))
        if self.built and tuple(input_shape[axis] for axis in axes) != self._extents:
            self._refuse(f"expected extents {self._extents} along axes {axes}, found shape {input_shape}")

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the inputs' shape."""
        return input_shape

    def call(self, inputs: Array, training: bool = False) -> Array:
        """Return the normalised inputs; in training keep what the gradient needs."""
        axes = self._axes(inputs.ndim)
        normal: Array = inputs - inputs.mean(axes, keepdims=True)
        inverse = 1 / np.sqrt(np.square(normal).mean(axes, keepdims=True) + self.epsilon)
        normal *= inverse
        if training:
            self._saved = (normal, inverse)
        if self.gamma is None and self.beta is None:
            return normal.copy() if training else normal
        outputs: Array = normal * self._along(self.gamma, inputs.ndim)
        if self.beta is not None:
            outputs += self._along(self.beta, inputs.ndim)
        return outputs

    def backward(self, grad_outputs: Array) -> Array:
        """Fill the gradients of gamma and beta and return that of the inputs."""
        if self._saved is None:
            raise ValueError(f"layer {self.name!r}: backward needs a call with training=True before it")
        (normal, inverse), self._saved = self._saved, None
        axes = self._axes(grad_outputs.ndim)
        others = tuple(axis for axis in range(grad_outputs.ndim) if axis not in axes)
        if self.gamma is not None:
            self.gamma.gradient[...] = (grad_outputs * normal).sum(others)
        if self.beta is not None:
            self.beta.gradient[...] = grad_outputs.sum(others)
        # With n the normalised inputs and h = dy·gamma: dx = inverse·(h - mean(h) - n·mean(h·n)).
        grad_outputs *= self._along(self.gamma, grad_outputs.ndim)
        count = math.prod(grad_outputs.shape[axis] for axis in axes)
        mean = grad_outputs.sum(axes, keepdims=True) / count
        normal *= (grad_outputs * normal).sum(axes, keepdims=True) / count
        grad_outputs -= mean
        grad_outputs -= normal
        grad_outputs *= inverse
        return grad_outputs

    def _axes(self, rank: int) -> tuple[int, ...]:
        if any(not -rank <= axis < rank for axis in self._listed):
            raise ValueError(f"axis: expected one of {rank} axes, got {self.axis}")
        return tuple(sorted(axis % rank for axis in self._listed))

    def _along(self, variable: Variable | None, rank: int) -> Any:
        """Shape gamma or beta so that it meets the inputs."""
        if variable is None:
            return 1
        axes = self._axes(rank)
        shape = [variable.shape[axes.index(axis)] if axis in axes else 1 for axis in range(rank)]
        return variable.value.reshape(shape)
