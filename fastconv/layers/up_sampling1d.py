"""Sequences made larger."""

from __future__ import annotations

from typing import Any

from fastconv.layers.arguments import Extents
from fastconv.layers.up_sampling import UpSampling


class UpSampling1D(UpSampling):
    """Sequences made larger by whole factors, by repetition.

    Inputs are (batch, steps, channels).

    Parameters
    ----------
    size : int
        How many positions become of one.
    **kwargs
        As for `Layer`.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> UpSampling1D(3)(np.ones((1, 3, 1))).shape
    (1, 9, 1)
    """

    rank = 1

    def __init__(self, size: Extents = 2, **kwargs: Any) -> None:
        super().__init__(size, **kwargs)

    @classmethod
    def _argument_names(cls) -> list[str]:
        return ["size"]
