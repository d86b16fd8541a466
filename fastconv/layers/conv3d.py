"""3-D convolution."""

from __future__ import annotations

from fastconv.layers.convolution import FilterConvolution


class Conv3D(FilterConvolution):
    """3-D convolution (a cross-correlation, as in Keras): ``filters`` windows of weights that move over volumes.

    Inputs are (batch, depth, height, width, channels), outputs (batch, planes, rows, columns, filters); the kernel is
    (kernel depth, kernel height, kernel width, channels / groups, filters), for either `data_format`.

    Parameters
    ----------
    filters : int
        Output channels.
    kernel_size : int or (int, int, int)
    strides : int or (int, int, int)
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
    dilation_rate : int or (int, int, int)
    groups : int
        Divides input channels and filters into as many independent convolutions.
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
        If an argument is out of range or the inputs' channels cannot be divided into groups.

    Examples
    --------
    >>> import numpy as np
    >>> Conv3D(12, 3, padding="same", activation="relu")(np.zeros((1, 8, 8, 8, 3))).shape
    (1, 8, 8, 8, 12)
    """

    rank = 3
