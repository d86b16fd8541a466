"""The mean of each channel of a sequence."""

from __future__ import annotations

from fastconv.layers.pooling import GlobalAveragePooling


class GlobalAveragePooling1D(GlobalAveragePooling):
    """The mean of each channel of a sequence.

    Inputs are (batch, steps, channels), outputs (batch, channels), or
    (batch, 1, channels) with `keepdims`.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, optional
    keepdims : bool
    **kwargs
        As for `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> GlobalAveragePooling1D()(np.arange(6.0).reshape(1, 3, 2))
    array([[2., 3.]], dtype=float32)
    """

    rank = 1
