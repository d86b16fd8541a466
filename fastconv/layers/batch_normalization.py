"""Normalisation over the batch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastconv import initializers, regularizers
from fastconv._arguments.values import index, number
from fastconv.functional.norm import Norm, in_double, normalised, statistics
from fastconv.grad.norm import gradients
from fastconv.layers.affine import no_constraint
from fastconv.layers.arguments import Array, Shape
from fastconv.layers.layer import Layer
from fastconv.layers.variable import Variable


class BatchNormalization(Layer):
    """Normalise each channel: in training by the batch's mean and variance, otherwise by their moving averages.

    A layer that is not trainable uses the moving averages in training, too (Ioffe and Szegedy, 2015; Keras' rules).

    Parameters
    ----------
    axis : int
        The channels' axis.
    momentum : float
        Weight of the past in the moving averages.
    epsilon : float
        Added to the variance.
    center, scale : bool
        Whether to add a learned beta and multiply by a learned gamma.
    beta_initializer, gamma_initializer : str or Initializer
    moving_mean_initializer, moving_variance_initializer : str or Initializer
    beta_regularizer, gamma_regularizer : str or Regularizer, optional
    beta_constraint, gamma_constraint : None
    **kwargs
        As for `Layer`.

    Raises
    ------
    ValueError
        If the axis does not exist or its extent is not known.

    Examples
    --------
    >>> BatchNormalization()([[1.0], [3.0]], training=True).round(2)
    array([[-1.],
           [ 1.]], dtype=float32)
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: None = None,
        gamma_constraint: None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        no_constraint(beta_constraint, "beta_constraint")
        no_constraint(gamma_constraint, "gamma_constraint")
        self.axis = index("axis", axis, "an int")
        self.momentum = number("momentum", momentum)
        self.epsilon = number("epsilon", epsilon)
        self.center = bool(center)
        self.scale = bool(scale)
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.gamma: Variable | None = None
        self.beta: Variable | None = None
        self._saved: Any = None

    def build(self, input_shape: Shape) -> None:
        """Create gamma, beta and the moving averages."""
        rank = len(input_shape)
        if not -rank <= self.axis < rank:
            raise ValueError(f"axis: expected one of {rank} axes, got {self.axis}")
        channels = input_shape[self.axis]
        if channels is None:
            raise ValueError(
                f"layer {self.name!r}: axis {self.axis} of the inputs should be defined, got {input_shape}"
            )
        self._channels = channels
        if self.scale:
            self.gamma = self.add_weight(
                (channels,), self.gamma_initializer, regularizer=self.gamma_regularizer, name="gamma"
            )
        if self.center:
            self.beta = self.add_weight(
                (channels,), self.beta_initializer, regularizer=self.beta_regularizer, name="beta"
            )
        self.moving_mean = self.add_weight(
            (channels,), self.moving_mean_initializer, trainable=False, name="moving_mean"
        )
        self.moving_variance = self.add_weight(
            (channels,), self.moving_variance_initializer, trainable=False, name="moving_variance"
        )

    def check_input_shape(self, input_shape: Shape) -> None:
        """Raise a ValueError if the layer cannot take inputs of a shape."""
        rank = len(input_shape)
        if self.built and (not -rank <= self.axis < rank or input_shape[self.axis] != self._channels):
            self._refuse(
                f"expected axis {self.axis} of input shape to have value {self._channels},"
                f" but received input with shape {input_shape}"
            )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the inputs' shape."""
        return input_shape

    def call(self, inputs: Array, training: bool = False) -> Array:
        """Return the normalised inputs; in training move the averages and keep what the gradient needs."""
        inputs = np.require(inputs, requirements=["C", "A", "E"])
        layout = self._layout(inputs)
        own = training and self.trainable
        given = (
            statistics(layout, inputs)
            if own
            else (in_double(self.moving_mean.value), in_double(self.moving_variance.value))
        )
        if own and inputs.size:  # nothing has no mean
            for moving, batch in zip((self.moving_mean, self.moving_variance), given, strict=True):
                moving.value *= self.momentum
                moving.value += (batch * (1 - self.momentum)).astype(moving.value.dtype)
        if training:
            self._saved = (inputs, given, not own)
        return normalised(layout, self.epsilon, inputs, inputs, given, _value(self.gamma), _value(self.beta), None)

    def backward(self, grad_outputs: Array) -> Array:
        """Fill the gradients of gamma and beta and return that of the inputs."""
        if self._saved is None:
            raise ValueError(f"layer {self.name!r}: backward needs a call with training=True before it")
        (inputs, given, constant), self._saved = self._saved, None
        grad_inputs, grad_gamma, grad_beta = gradients(
            self._layout(inputs), self.epsilon, inputs, grad_outputs, given, _value(self.gamma), constant, None
        )
        if not constant:
            for variable, gradient in ((self.gamma, grad_gamma), (self.beta, grad_beta)):
                if variable is not None:
                    variable.gradient[...] = gradient
        return grad_inputs

    def _layout(self, inputs: Array) -> Norm:
        """Return what the engine normalises: images of channels of pixels, or pixels of channels."""
        axis = self.axis % inputs.ndim
        before, after = math.prod(inputs.shape[:axis]), math.prod(inputs.shape[axis + 1 :])
        return Norm("batch", "NHWC" if after == 1 else "NCHW", before, inputs.shape[axis], 1, after)


def _value(variable: Variable | None) -> Array | None:
    return None if variable is None else variable.value
