"""A border of zeros round images."""

from __future__ import annotations

from fastconv.layers.margins import ZeroPadding


class ZeroPadding2D(ZeroPadding):
    """A border of zeros round images.

    Inputs are (batch, height, width, channels).

    Parameters
    ----------
    padding : int, (int, int) or ((int, int), (int, int))
        For all sides, for rows and columns, or for (top, bottom) and (left, right).
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
    >>> ZeroPadding2D(((1, 0), (2, 2)))(np.ones((1, 3, 3, 1))).shape
    (1, 4, 7, 1)
    """

    rank = 2
