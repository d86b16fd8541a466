"""Volumes made larger."""

from __future__ import annotations

from typing import Any

from fastconv.layers.arguments import Extents
from fastconv.layers.up_sampling import UpSampling


class UpSampling3D(UpSampling):
    """Volumes made larger by whole factors, by repetition.

    Inputs are (batch, depth, height, width, channels).

    Parameters
    ----------
    size : int or (int, int, int)
        How many positions become of one.
    data_format : {"channels_last", "channels_first"}, optional
    **kwargs
        As for `Layer`.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> UpSampling3D((1, 2, 3))(np.ones((1, 3, 3, 3, 1))).shape
    (1, 3, 6, 9, 1)
    """

    rank = 3

    def __init__(self, size: Extents = 2, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(size, data_format, **kwargs)

    @classmethod
    def _argument_names(cls) -> list[str]:
        return ["size", "data_format"]
