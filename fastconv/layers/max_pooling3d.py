"""The largest value in a moving window over three axes."""

from __future__ import annotations

from fastconv.layers.pooling import MaxPooling


class MaxPooling3D(MaxPooling):
    """The largest value of each channel within a moving window.

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
    >>> MaxPooling3D()(np.arange(8.0).reshape(1, 2, 2, 2, 1)).ravel()
    array([7.], dtype=float32)
    """

    rank = 3
