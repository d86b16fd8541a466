"""2-D convolution of each channel by itself."""

from __future__ import annotations

from fastconv.layers.convolution import DepthwiseConvolution


class DepthwiseConv2D(DepthwiseConvolution):
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

    rank = 2
