"""The largest value in a moving window over two axes."""

from __future__ import annotations

from fastconv.layers.pooling import MaxPooling


class MaxPooling2D(MaxPooling):
    """The largest value of each channel within a moving window.

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
    >>> MaxPooling2D()(np.arange(4.0).reshape(1, 2, 2, 1)).ravel()
    array([3.], dtype=float32)
    """

    rank = 2
