"""Images without their edges."""

from __future__ import annotations

from typing import Any

from fastconv.layers.margins import Cropping


class Cropping2D(Cropping):
    """Images without their edges.

    Inputs are (batch, height, width, channels).

    Parameters
    ----------
    cropping : int, (int, int) or ((int, int), (int, int))
        For all sides, for rows and columns, or for (top, bottom) and (left, right).
    data_format : {"channels_last", "channels_first"}, optional
    **kwargs
        As for `Layer`.

    Raises
    ------
    ValueError
        If `cropping` has another form, is negative, or leaves nothing.

    Examples
    --------
    >>> import numpy as np
    >>> Cropping2D(((1, 0), (2, 2)))(np.ones((1, 5, 5, 1))).shape
    (1, 4, 1, 1)
    """

    rank = 2

    def __init__(self, cropping: Any = ((0, 0), (0, 0)), data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(cropping, data_format, **kwargs)
