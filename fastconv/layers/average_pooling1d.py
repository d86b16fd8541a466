"""The mean over a moving window over one axis."""

from __future__ import annotations

from fastconv.layers.pooling import AveragePooling


class AveragePooling1D(AveragePooling):
    """The mean of each channel within a moving window; padding is not counted.

    Inputs are (batch, steps, channels), outputs (batch, new steps, channels).

    Parameters
    ----------
    pool_size : int
    strides : int, optional
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
    >>> AveragePooling1D(2)(np.arange(2.0).reshape(1, 2, 1)).ravel()
    array([0.5], dtype=float32)
    """

    rank = 1
