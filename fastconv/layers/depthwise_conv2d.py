"""2-D convolution of each channel by itself."""

from __future__ import annotations

from typing import Any

from fastconv import initializers, regularizers
from fastconv.layers.affine import no_constraint
from fastconv.layers.arguments import Pair, Shape, positive
from fastconv.layers.convolution import Convolution2D


class DepthwiseConv2D(Convolution2D):
    """2-D convolution of each channel by itself: outputs ``c * depth_multiplier + m`` see input channel c alone.

    Inputs are (batch, height, width, channels), outputs (batch, rows, columns, channels * depth_multiplier); the
    kernel is (kernel height, kernel width, channels, depth_multiplier), for either `data_format`.

    Parameters
    ----------
    kernel_size : int or (int, int)
    strides : int or (int, int)
    padding : {"valid", "same"}
    depth_multiplier : int
        Output channels per input channel.
    data_format : {"channels_last", "channels_first"}, optional
    dilation_rate : int or (int, int)
    activation : None, str or callable
    use_bias : bool
    depthwise_initializer, bias_initializer : str or Initializer
    depthwise_regularizer, bias_regularizer : str or Regularizer, optional
    activity_regularizer, depthwise_constraint, bias_constraint : None
    **kwargs
        As for `Layer`.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> DepthwiseConv2D(3, depth_multiplier=2)(np.zeros((1, 8, 8, 4))).shape
    (1, 6, 6, 8)
    """

    def __init__(
        self,
        kernel_size: Pair,
        strides: Pair = (1, 1),
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Pair = (1, 1),
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
