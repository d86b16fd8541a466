"""The largest value in a moving window over one axis."""

from __future__ import annotations

from fastconv.layers.pooling import MaxPooling


class MaxPooling1D(MaxPooling):
    """The largest value of each channel within a moving window.

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
    >>> MaxPooling1D()(np.arange(2.0).reshape(1, 2, 1)).ravel()
    array([1.], dtype=float32)
    """

    rank = 1
