"""Normalisation of each sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv import functional, grad, initializers, regularizers
from fastconv._arguments.values import index, number
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
        several = isinstance(axis, (list, tuple))
        named = axis if isinstance(axis, (list, tuple)) else [axis]
        self._listed = [index("axis", one, "an int or a list of them") for one in named]
        self.axis: Any = self._listed if several else self._listed[0]
        self.epsilon = number("epsilon", epsilon)
        self.center = bool(center)
        self.scale = bool(scale)
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.gamma: Variable | None = None
        self.beta: Variable | None = None
        self._extents: tuple[int, ...] = ()
        self._saved: Array | None = None

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
        turned = self._turned(inputs)
        if training:
            self._saved = turned
        outputs = functional.layer_norm(turned, self._extents, _value(self.gamma), _value(self.beta), self.epsilon)
        return self._turned_back(outputs)

    def backward(self, grad_outputs: Array) -> Array:
        """Fill the gradients of gamma and beta and return that of the inputs."""
        if self._saved is None:
            raise ValueError(f"layer {self.name!r}: backward needs a call with training=True before it")
        inputs, self._saved = self._saved, None
        grad_inputs, grad_gamma, grad_beta = grad.layer_norm(
            inputs, self._turned(grad_outputs), self._extents, _value(self.gamma), self.epsilon
        )
        for variable, gradient in ((self.gamma, grad_gamma), (self.beta, grad_beta)):
            if variable is not None:
                variable.gradient[...] = gradient
        return self._turned_back(grad_inputs)

    def _axes(self, rank: int) -> tuple[int, ...]:
        if any(not -rank <= axis < rank for axis in self._listed):
            raise ValueError(f"axis: expected one of {rank} axes, got {self.axis}")
        return tuple(sorted(axis % rank for axis in self._listed))

    def _turned(self, inputs: Array) -> Array:
        """Move the axes that are normalised to the end."""
        axes = self._axes(inputs.ndim)
        last = tuple(range(inputs.ndim - len(axes), inputs.ndim))
        return inputs if axes == last else np.ascontiguousarray(np.moveaxis(inputs, axes, last))

    def _turned_back(self, outputs: Array) -> Array:
        axes = self._axes(outputs.ndim)
        last = tuple(range(outputs.ndim - len(axes), outputs.ndim))
        return outputs if axes == last else np.ascontiguousarray(np.moveaxis(outputs, last, axes))


def _value(variable: Variable | None) -> Array | None:
    return None if variable is None else variable.value
