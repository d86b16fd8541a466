"""1-D separable convolution."""

from __future__ import annotations

from fastconv.layers.separable_convolution import SeparableConvolution


class SeparableConv1D(SeparableConvolution):
    """1-D convolution of each channel by itself, and then of all channels at each position.

    Inputs are (batch, steps, channels), outputs (batch, new steps, filters); the kernels are
    (kernel size, channels, depth_multiplier) and
    (1, channels * depth_multiplier, filters), for either `data_format`.

    Parameters
    ----------
    filters : int
        Output channels.
    kernel_size : int
    strides : int
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
    dilation_rate : int
    depth_multiplier : int
        Channels between the two halves per input channel.
    activation : None, str or callable
    use_bias : bool
    depthwise_initializer, pointwise_initializer, bias_initializer : str or Initializer
    depthwise_regularizer, pointwise_regularizer, bias_regularizer : str or Regularizer, optional
    activity_regularizer, depthwise_constraint, pointwise_constraint, bias_constraint : None
    **kwargs
        As for `Layer`.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> SeparableConv1D(10, 3)(np.zeros((1, 8, 4))).shape
    (1, 6, 10)
    """

    rank = 1
