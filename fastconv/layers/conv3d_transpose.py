"""3-D transposed convolution."""

from __future__ import annotations

from typing import Any

from fastconv.layers.arguments import Extents
from fastconv.layers.transposed_convolution import TransposedConvolution


class Conv3DTranspose(TransposedConvolution):
    """3-D transposed convolution: each input adds a kernel, weighted by itself, to the volumes that come out.

    It is the gradient of a convolution with respect to its inputs. Inputs are (batch, depth, height, width, channels),
    outputs (batch, planes, rows, columns, filters); the kernel is
    (kernel depth, kernel height, kernel width, filters, channels), for either `data_format`.

    Parameters
    ----------
    filters : int
        Output channels.
    kernel_size : int or (int, int, int)
    strides : int or (int, int, int)
        Steps between the places at which inputs add.
    padding : {"valid", "same"}
        Keep everything, at least in * strides positions, or just as many.
    data_format : {"channels_last", "channels_first"}, optional
    output_padding : int or (int, int, int), optional
        Positions added at the end; by default as many as the padding needs.
    dilation_rate : int or (int, int, int)
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
    >>> Conv3DTranspose(2, 3, 2, "same")(np.zeros((1, 4, 4, 4, 2))).shape
    (1, 8, 8, 8, 2)
    """

    rank = 3

    def __init__(
        self,
        filters: int,
        kernel_size: Extents,
        strides: Extents = 1,
        padding: str = "valid",
        data_format: str | None = None,
        output_padding: Extents | None = None,
        dilation_rate: Extents = 1,
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
        # Keras has two arguments in another order here than over one and two axes.
        super().__init__(
            filters,
            kernel_size,
            strides,
            padding,
            output_padding,
            data_format,
            dilation_rate,
            activation,
            use_bias,
            kernel_initializer,
            bias_initializer,
            kernel_regularizer,
            bias_regularizer,
            activity_regularizer,
            kernel_constraint,
            bias_constraint,
            **kwargs,
        )
