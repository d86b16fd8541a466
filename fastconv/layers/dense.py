"""A layer in which every output sees every input."""

from __future__ import annotations

from typing import Any

import fastconv
from fastconv import initializers, regularizers
from fastconv.layers.affine import AffineLayer, no_constraint
from fastconv.layers.arguments import Array, Shape, positive


class Dense(AffineLayer):
    """Every output is a weighted sum of all inputs: ``activation(inputs @ kernel + bias)``.

    Inputs are (batch, …, features), outputs (batch, …, units); the kernel is (features, units).

    Parameters
    ----------
    units : int
    activation : None, str or callable
    use_bias : bool
    kernel_initializer, bias_initializer : str or Initializer
    kernel_regularizer, bias_regularizer : str or Regularizer, optional
    activity_regularizer, kernel_constraint, bias_constraint : None
    **kwargs
        As for `Layer`.

    Raises
    ------
    ValueError
        If `units` is not positive or the last axis of the inputs has another extent than the kernel.

    Examples
    --------
    >>> import numpy as np
    >>> Dense(10, activation="softmax")(np.zeros((2, 84)))[0].sum().round(6)
    np.float32(1.0)
    """

    min_rank = 2

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: None = None,
        kernel_constraint: None = None,
        bias_constraint: None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            activation,
            use_bias,
            bias_initializer,
            bias_regularizer,
            bias_constraint,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )
        no_constraint(kernel_constraint, "kernel_constraint")
        self.units = positive(units, "units")
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self._features = 0

    def build(self, input_shape: Shape) -> None:
        """Create kernel and bias."""
        features = input_shape[-1]
        if not features:
            raise ValueError(
                f"layer {self.name!r}: the last dimension of the inputs should be defined, got {input_shape}"
            )
        self._features = features
        self.kernel = self.add_weight(
            (features, self.units), self.kernel_initializer, regularizer=self.kernel_regularizer, name="kernel"
        )
        self._add_bias(self.units)

    def check_input_shape(self, input_shape: Shape) -> None:
        """Raise a ValueError if the layer cannot take inputs of a shape."""
        super().check_input_shape(input_shape)
        if self._features and input_shape[-1] != self._features:
            self._refuse(
                f"expected axis -1 of input shape to have value {self._features},"
                f" but received input with shape {input_shape}"
            )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the outputs' shape."""
        return (*input_shape[:-1], self.units)

    @property
    def _weight(self) -> Array:
        return self.kernel.value.T

    def _apply(self, inputs: Array, activation: str | None) -> Array:
        return fastconv.functional.linear(inputs, self._weight, self._bias, activation=activation)

    def _apply_backward(self, inputs: Array, grad_products: Array, input_gradient: bool) -> Array | None:
        # The engine's 1 × 1 convolution, over one image with one row, whose pixels are the samples.
        features, units = self.kernel.shape
        pixels = inputs.reshape(1, 1, -1, features)
        grad_pixels = grad_products.reshape(1, 1, -1, units)
        shape = (1, 1, features, units)
        if self.trainable:
            if self.bias is not None:
                fastconv.grad.conv2d_bias(grad_pixels, layout="NHWC", out=self.bias.gradient)
            gradient = self.kernel.gradient.reshape(shape)
            fastconv.grad.conv2d_weight(pixels, shape, grad_pixels, layout="NHWC", out=gradient)
        if not input_gradient:
            return None
        weight = self.kernel.value.reshape(shape)
        return fastconv.grad.conv2d_input(pixels.shape, weight, grad_pixels, layout="NHWC").reshape(inputs.shape)
