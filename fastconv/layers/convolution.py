"""What Conv2D and DepthwiseConv2D share: the window, its checks, and the calls of the engine."""

from __future__ import annotations

from typing import Any

from fastconv import functional, grad
from fastconv.layers.affine import AffineLayer
from fastconv.layers.arguments import Array, Pair, Shape, border, data_layout, engine_layout, pair, window_shape
from fastconv.layers.variable import Variable


class Convolution2D(AffineLayer):
    """Base of the 2-D convolutions.

    A subclass creates its kernel in `build` and hands it to `_convolve_with`.

    Parameters
    ----------
    kernel_size, strides, dilation_rate : int or (int, int)
        Rows, columns.
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
    **kwargs
        As for `AffineLayer`.

    Raises
    ------
    ValueError
        If an argument is out of range, or strides and dilation are both above one.
    """

    exact_rank = 4

    def __init__(
        self,
        kernel_size: Pair,
        strides: Pair = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Pair = (1, 1),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.kernel_size = pair(kernel_size, "kernel_size")
        self.strides = pair(strides, "strides")
        self.padding = border(padding)
        self.data_format = data_layout(data_format)
        self.dilation_rate = pair(dilation_rate, "dilation_rate")
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                "`strides > 1` not supported in conjunction with `dilation_rate > 1`."
                f" Received: strides={self.strides} and dilation_rate={self.dilation_rate}"
            )
        self._layout = engine_layout(self.data_format)
        self._channels = 0

    def _input_channels(self, input_shape: Shape) -> int:
        channels = input_shape[-1 if self._layout == "NHWC" else 1]
        if not channels:
            raise ValueError(
                f"layer {self.name!r}: the channel dimension of the inputs should be defined, got {input_shape}"
            )
        self._channels = channels
        return channels

    def _convolve_with(self, kernel: Variable, engine_shape: tuple[int, int, int, int], groups: int) -> None:
        """Keep a kernel in the engine's shape, HWIO, and layout."""
        self._kernel_variable = kernel
        self._engine_shape = engine_shape
        self._groups = groups
        weight = kernel.value.reshape(engine_shape)
        self._weight = weight if self._layout == "NHWC" else weight.transpose(3, 2, 0, 1)
        self._bias = None if self.bias is None else self.bias.value

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
        return functional.conv2d(
            inputs,
            self._weight,
            self._bias,
            self.strides,
            self.padding,
            self.dilation_rate,
            self._groups,
            layout=self._layout,
            activation=activation,
        )

    def _apply_backward(self, inputs: Array, grad_products: Array, input_gradient: bool) -> Array | None:
        window = (self.strides, self.padding, self.dilation_rate, self._groups)
        if self.trainable:
            if self.bias is not None:
                grad.conv2d_bias(grad_products, layout=self._layout, out=self.bias.gradient)
            gradient = self._kernel_variable.gradient.reshape(self._engine_shape)
            if self._layout == "NHWC":
                grad.conv2d_weight(inputs, self._weight.shape, grad_products, *window, layout="NHWC", out=gradient)
            else:
                channels_first = grad.conv2d_weight(inputs, self._weight.shape, grad_products, *window, layout="NCHW")
                gradient[...] = channels_first.transpose(2, 3, 1, 0)
        if not input_gradient:
            return None
        return grad.conv2d_input(inputs.shape, self._weight, grad_products, *window, layout=self._layout)
