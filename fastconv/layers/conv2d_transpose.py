"""2-D transposed convolution."""

from __future__ import annotations

from fastconv.layers.transposed_convolution import TransposedConvolution


class Conv2DTranspose(TransposedConvolution):
    """2-D transposed convolution: each input adds a kernel, weighted by itself, to the images that come out.

    It is the gradient of a convolution with respect to its inputs. Inputs are (batch, height, width, channels),
    outputs (batch, rows, columns, filters); the kernel is
    (kernel height, kernel width, filters, channels), for either `data_format`.

    Parameters
    ----------
    filters : int
        Output channels.
    kernel_size : int or (int, int)
    strides : int or (int, int)
        Steps between the places at which inputs add.
    padding : {"valid", "same"}
        Keep everything, at least in * strides positions, or just as many.
    output_padding : int or (int, int), optional
        Positions added at the end; by default as many as the padding needs.
    data_format : {"channels_last", "channels_first"}, optional
    dilation_rate : int or (int, int)
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
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> Conv2DTranspose(2, 3, 2, "same")(np.zeros((1, 8, 8, 4))).shape
    (1, 16, 16, 2)
    """

    rank = 2
