"""Images made larger."""

from __future__ import annotations

from fastconv.layers.up_sampling import UpSampling


class UpSampling2D(UpSampling):
    """Images made larger by whole factors.

    Inputs are (batch, height, width, channels).

    Parameters
    ----------
    size : int or (int, int)
        How many positions become of one.
    data_format : {"channels_last", "channels_first"}, optional
    interpolation : {"nearest", "bilinear"}
    **kwargs
        As for `Layer`.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> UpSampling2D((2, 3))(np.ones((1, 3, 3, 1))).shape
    (1, 6, 9, 1)
    """

    rank = 2
