"""2-D convolution."""

from __future__ import annotations

from typing import Any

from fastconv import initializers, regularizers
from fastconv.layers.affine import no_constraint
from fastconv.layers.arguments import Pair, Shape, positive
from fastconv.layers.convolution import Convolution2D


class Conv2D(Convolution2D):
    """2-D convolution (a cross-correlation, as in Keras): ``filters`` windows of weights that move over images.

    Inputs are (batch, height, width, channels), outputs (batch, rows, columns, filters); the kernel is
    (kernel height, kernel width, channels / groups, filters), for either `data_format`.

    Parameters
    ----------
    filters : int
        Output channels.
    kernel_size : int or (int, int)
    strides : int or (int, int)
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
    dilation_rate : int or (int, int)
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
    >>> Conv2D(12, 3, padding="same", activation="relu")(np.zeros((1, 32, 32, 3))).shape
    (1, 32, 32, 12)
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Pair,
        strides: Pair = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Pair = (1, 1),
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
