"""Volumes without their edges."""

from __future__ import annotations

from typing import Any

from fastconv.layers.margins import Cropping


class Cropping3D(Cropping):
    """Volumes without their edges.

    Inputs are (batch, depth, height, width, channels).

    Parameters
    ----------
    cropping : int, (int, int, int) or three (int, int)
        For all sides, for each axis, or for both sides of each axis.
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
    >>> Cropping3D((0, 1, (1, 0)))(np.ones((1, 5, 5, 5, 1))).shape
    (1, 5, 3, 4, 1)
    """

    rank = 3

    def __init__(self, cropping: Any = ((1, 1), (1, 1), (1, 1)), data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(cropping, data_format, **kwargs)
