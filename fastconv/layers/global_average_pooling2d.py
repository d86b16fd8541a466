"""The mean of each channel of an image."""

from __future__ import annotations

from fastconv.layers.pooling import GlobalAveragePooling


class GlobalAveragePooling2D(GlobalAveragePooling):
    """The mean of each channel of an image.

    Inputs are (batch, height, width, channels), outputs (batch, channels), or
    (batch, 1, 1, channels) with `keepdims`.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, optional
    keepdims : bool
    **kwargs
        As for `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> GlobalAveragePooling2D()(np.arange(6.0).reshape(1, 3, 1, 2))
    array([[2., 3.]], dtype=float32)
    """

    rank = 2
