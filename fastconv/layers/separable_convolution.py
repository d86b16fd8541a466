"""What separable convolutions over one and two axes share: each channel by itself, then all channels of a position."""

from __future__ import annotations

from typing import Any

from fastconv import functional, grad, initializers, regularizers
from fastconv.layers.affine import no_constraint
from fastconv.layers.arguments import Array, Extents, Shape, positive
from fastconv.layers.convolution import Convolution


class SeparableConvolution(Convolution):
    """Base of SeparableConv1D and SeparableConv2D, whose docstrings say what the arguments are."""

    def __init__(
        self,
        filters: int,
        kernel_size: Extents,
        strides: Extents = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Extents = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: None = None,
        depthwise_constraint: None = None,
        pointwise_constraint: None = None,
        bias_constraint: None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            activation=activation,
            use_bias=use_bias,
            bias_initializer=bias_initializer,
            bias_regularizer=bias_regularizer,
            bias_constraint=bias_constraint,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )
        no_constraint(depthwise_constraint, "depthwise_constraint")
        no_constraint(pointwise_constraint, "pointwise_constraint")
        self.filters = positive(filters, "filters")
        self.depth_multiplier = positive(depth_multiplier, "depth_multiplier")
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.pointwise_initializer = initializers.get(pointwise_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.pointwise_regularizer = regularizers.get(pointwise_regularizer)

    def build(self, input_shape: Shape) -> None:
        """Create both kernels and the bias."""
        channels = self._input_channels(input_shape)
        middle = channels * self.depth_multiplier
        self.depthwise_kernel = self.add_weight(
            (*self.kernel_size, channels, self.depth_multiplier),
            self.depthwise_initializer,
            regularizer=self.depthwise_regularizer,
            name="depthwise_kernel",
        )
        self.pointwise_kernel = self.add_weight(
            (*(1,) * self.rank, middle, self.filters),
            self.pointwise_initializer,
            regularizer=self.pointwise_regularizer,
            name="pointwise_kernel",
        )
        self._add_bias(self.filters)
        self._deep = (*self.kernel_size, 1, middle)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the outputs' shape."""
        return self._windows(input_shape, self.filters)

    def _apply(self, inputs: Array, activation: str | None) -> Array:
        weight = self._in_layout(self.pointwise_kernel.value)
        made: Array = getattr(functional, f"conv{self.rank}d")(
            self._each_channel(inputs), weight, self._bias, layout=self._layout, activation=activation
        )
        return made

    def _apply_backward(self, inputs: Array, grad_products: Array, input_gradient: bool) -> Array | None:
        of_bias, of_weight, of_input = (getattr(grad, f"conv{self.rank}d_{of}") for of in ("bias", "weight", "input"))
        middle = self._each_channel(inputs)
        pointwise = self._in_layout(self.pointwise_kernel.value)
        deep = self._in_layout(self.depthwise_kernel.value.reshape(self._deep))
        window = (self.strides, self.padding, self.dilation_rate, self._channels)
        grad_middle = of_input(middle.shape, pointwise, grad_products, layout=self._layout)
        if self.trainable:
            if self.bias is not None:
                of_bias(grad_products, layout=self._layout, out=self.bias.gradient)
            gradient = of_weight(middle, pointwise.shape, grad_products, layout=self._layout)
            self.pointwise_kernel.gradient[...] = self._from_layout(gradient)
            gradient = of_weight(inputs, deep.shape, grad_middle, *window, layout=self._layout)
            self.depthwise_kernel.gradient.reshape(self._deep)[...] = self._from_layout(gradient)
        if not input_gradient:
            return None
        found: Array = of_input(inputs.shape, deep, grad_middle, *window, layout=self._layout)
        return found

    def _each_channel(self, inputs: Array) -> Array:
        """Return the depthwise half; it is cheap enough to be made again on the way back."""
        weight = self._in_layout(self.depthwise_kernel.value.reshape(self._deep))
        made: Array = getattr(functional, f"conv{self.rank}d")(
            inputs, weight, None, self.strides, self.padding, self.dilation_rate, self._channels, layout=self._layout
        )
        return made

    def _in_layout(self, kernel: Array) -> Array:
        return kernel if self._layout == "NHWC" else kernel.transpose(-1, -2, *range(self.rank))

    def _from_layout(self, kernel: Array) -> Array:
        return kernel if self._layout == "NHWC" else kernel.transpose(*range(2, self.rank + 2), 1, 0)
