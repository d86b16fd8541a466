"""A border of zeros round volumes."""

from __future__ import annotations

from typing import Any

from fastconv.layers.margins import ZeroPadding


class ZeroPadding3D(ZeroPadding):
    """A border of zeros round volumes.

    Inputs are (batch, depth, height, width, channels).

    Parameters
    ----------
    padding : int, (int, int, int) or three (int, int)
        For all sides, for each axis, or for both sides of each axis.
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
    >>> ZeroPadding3D((0, 1, (1, 0)))(np.ones((1, 3, 3, 3, 1))).shape
    (1, 3, 5, 4, 1)
    """

    rank = 3

    def __init__(self, padding: Any = ((1, 1), (1, 1), (1, 1)), data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(padding, data_format, **kwargs)
