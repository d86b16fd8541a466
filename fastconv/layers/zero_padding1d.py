"""A border of zeros round sequences."""

from __future__ import annotations

from fastconv.layers.margins import ZeroPadding


class ZeroPadding1D(ZeroPadding):
    """A border of zeros round sequences.

    Inputs are (batch, steps, channels).

    Parameters
    ----------
    padding : int or (int, int)
        Both ends, or beginning and end.
    data_format : {"channels_last", "channels_first"}, optional
    **kwargs
        As for `Layer`.

    Raises
    ------
    ValueError
        If `padding` has another form or is negative.

    Examples
    --------
    >>> import numpy as np
    >>> ZeroPadding1D((1, 2))(np.ones((1, 3, 1))).shape
    (1, 6, 1)
    """

    rank = 1
