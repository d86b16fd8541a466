"""The mean over a moving window over two axes."""

from __future__ import annotations

from fastconv.layers.pooling import AveragePooling


class AveragePooling2D(AveragePooling):
    """The mean of each channel within a moving window; padding is not counted.

    Inputs are (batch, height, width, channels), outputs (batch, rows, columns, channels).

    Parameters
    ----------
    pool_size : int or (int, int)
    strides : int or (int, int), optional
        The pool size by default.
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
    name : str, optional
    **kwargs
        As for `Layer`.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> AveragePooling2D(2)(np.arange(4.0).reshape(1, 2, 2, 1)).ravel()
    array([1.5], dtype=float32)
    """

    rank = 2
