"""What convolutions over one, two and three axes share: the window, its checks, and the calls of the engine."""

from __future__ import annotations

from typing import Any, ClassVar

import fastconv
from fastconv import _planned, initializers, regularizers
from fastconv.layers.affine import AffineLayer, no_constraint
from fastconv.layers.arguments import (
    Array,
    Extents,
    Shape,
    border,
    data_layout,
    engine_layout,
    extents,
    positive,
    window_shape,
)
from fastconv.layers.variable import Variable


class Convolution(AffineLayer):
    """Base of the convolutions.

    A subclass says over how many axes it goes, creates its kernel in `build` and hands it to `_convolve_with`.

    Parameters
    ----------
    kernel_size, strides, dilation_rate : int or tuple of int
        For each spatial axis.
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
    **kwargs
        As for `AffineLayer`.

    Raises
    ------
    ValueError
        If an argument is out of range, or strides and dilation are both above one.
    """

    # The number of spatial axes.
    rank: ClassVar[int] = 2

    def __init__(
        self,
        kernel_size: Extents,
        strides: Extents = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Extents = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.kernel_size = extents(kernel_size, self.rank, "kernel_size")
        self.strides = extents(strides, self.rank, "strides")
        self.padding = border(padding)
        self.data_format = data_layout(data_format)
        self.dilation_rate = extents(dilation_rate, self.rank, "dilation_rate")
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                "`strides > 1` not supported in conjunction with `dilation_rate > 1`."
                f" Received: strides={self.strides} and dilation_rate={self.dilation_rate}"
            )
        self.exact_rank = self.rank + 2
        self._layout = engine_layout(self.data_format)
        self._engine_name = f"conv{self.rank}d"
        self._channels = 0

    def _input_channels(self, input_shape: Shape) -> int:
        channels = input_shape[-1 if self._layout == "NHWC" else 1]
        if not channels:
            raise ValueError(
                f"layer {self.name!r}: the channel dimension of the inputs should be defined, got {input_shape}"
            )
        self._channels = channels
        return channels

    def _convolve_with(self, kernel: Variable, engine_shape: tuple[int, ...], groups: int) -> None:
        """Keep a kernel in the engine's shape, (…, in, out), and layout."""
        self._kernel_variable = kernel
        self._engine_shape = engine_shape
        self._groups = groups

    @property
    def _weight(self) -> Array:
        weight = self._kernel_variable.value.reshape(self._engine_shape)
        return weight if self._layout == "NHWC" else weight.transpose(-1, -2, *range(self.rank))

    def check_input_shape(self, input_shape: Shape) -> None:
        """Raise a ValueError if the layer cannot take inputs of a shape."""
        super().check_input_shape(input_shape)
        axis = -1 if self._layout == "NHWC" else 1
        if self._channels and input_shape[axis] != self._channels:
            self._refuse(
                f"expected axis {axis} of input shape to have value {self._channels},"
                f" but received input with shape {input_shape}"
            )

    def _windows(self, input_shape: Shape, channels: int | None) -> Shape:
        return window_shape(
            input_shape,
            self.kernel_size,
            self.strides,
            self.dilation_rate,
            self.padding,
            self.data_format,
            channels,
            self.name,
        )

    def _apply(self, inputs: Array, activation: str | None) -> Array:
        window, layout = self._window(), self._layout
        if self._engine_name == f"conv{self.rank}d":
            return _planned.convolve(self.rank, inputs, self._weight, self._bias, window, layout, activation)
        convolve = getattr(fastconv.functional, self._engine_name)
        made: Array = convolve(inputs, self._weight, self._bias, *window, layout=layout, activation=activation)
        return made

    def _window(self) -> tuple[Any, ...]:
        """Return what the engine wants to know after the arrays, in its order."""
        return self.strides, self.padding, self.dilation_rate, self._groups

    def _apply_backward(self, inputs: Array, grad_products: Array, input_gradient: bool) -> Array | None:
        window = self._window()
        of_bias, of_weight, of_input = (
            getattr(fastconv.grad, f"{self._engine_name}_{of}") for of in ("bias", "weight", "input")
        )
        if self.trainable:
            if self.bias is not None:
                of_bias(grad_products, layout=self._layout, out=self.bias.gradient)
            gradient = self._kernel_variable.gradient.reshape(self._engine_shape)
            if self._layout == "NHWC":
                of_weight(inputs, self._weight.shape, grad_products, *window, layout="NHWC", out=gradient)
            else:
                channels_first = of_weight(inputs, self._weight.shape, grad_products, *window, layout="NCHW")
                gradient[...] = channels_first.transpose(*range(2, self.rank + 2), 1, 0)
        if not input_gradient:
            return None
        if self._engine_name == f"conv{self.rank}d":
            return _planned.input_gradient(self.rank, inputs.shape, self._weight, grad_products, window, self._layout)
        found: Array = of_input(inputs.shape, self._weight, grad_products, *window, layout=self._layout)
        return found


class FilterConvolution(Convolution):
    """Base of Conv1D, Conv2D and Conv3D, whose docstrings say what the arguments are."""

    def __init__(
        self,
        filters: int,
        kernel_size: Extents,
        strides: Extents = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Extents = 1,
        groups: int = 1,
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
        no_constraint(kernel_constraint, "kernel_constraint")
        self.filters = positive(filters, "filters")
        self.groups = positive(groups, "groups")
        if self.filters % self.groups:
            raise ValueError(
                "The number of filters must be evenly divisible by the number of groups."
                f" Received: groups={groups}, filters={filters}."
            )
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)

    def build(self, input_shape: Shape) -> None:
        """Create kernel and bias."""
        channels = self._input_channels(input_shape)
        if channels % self.groups:
            raise ValueError(
                "The number of input channels must be evenly divisible by the number of groups. Received"
                f" groups={self.groups}, but the input has {channels} channels (full input shape is {input_shape})."
            )
        shape = (*self.kernel_size, channels // self.groups, self.filters)
        self.kernel = self.add_weight(
            shape, self.kernel_initializer, regularizer=self.kernel_regularizer, name="kernel"
        )
        self._add_bias(self.filters)
        self._convolve_with(self.kernel, shape, self.groups)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the outputs' shape."""
        return self._windows(input_shape, self.filters)


class DepthwiseConvolution(Convolution):
    """Base of DepthwiseConv1D and DepthwiseConv2D, whose docstrings say what the arguments are."""

    def __init__(
        self,
        kernel_size: Extents,
        strides: Extents = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Extents = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: None = None,
        depthwise_constraint: None = None,
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
        self.depth_multiplier = positive(depth_multiplier, "depth_multiplier")
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)

    def build(self, input_shape: Shape) -> None:
        """Create kernel and bias."""
        channels = self._input_channels(input_shape)
        outputs = channels * self.depth_multiplier
        self.kernel = self.add_weight(
            (*self.kernel_size, channels, self.depth_multiplier),
            self.depthwise_initializer,
            regularizer=self.depthwise_regularizer,
            name="kernel",
        )
        self._add_bias(outputs)
        self._convolve_with(self.kernel, (*self.kernel_size, 1, outputs), groups=channels)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the outputs' shape."""
        channels = input_shape[-1 if self.data_format == "channels_last" else 1]
        return self._windows(input_shape, None if channels is None else channels * self.depth_multiplier)
