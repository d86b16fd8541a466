"""The mean over a moving window over three axes."""

from __future__ import annotations

from fastconv.layers.pooling import AveragePooling


class AveragePooling3D(AveragePooling):
    """The mean of each channel within a moving window; padding is not counted.

    Inputs are (batch, depth, height, width, channels), outputs (batch, planes, rows, columns, channels).

    Parameters
    ----------
    pool_size : int or (int, int, int)
    strides : int or (int, int, int), optional
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
    >>> AveragePooling3D(2)(np.arange(8.0).reshape(1, 2, 2, 2, 1)).ravel()
    array([3.5], dtype=float32)
    """

    rank = 3
