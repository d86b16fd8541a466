"""Sequences without their edges."""

from __future__ import annotations

from typing import Any

from fastconv.layers.margins import Cropping


class Cropping1D(Cropping):
    """Sequences without their edges.

    Inputs are (batch, steps, channels).

    Parameters
    ----------
    cropping : int or (int, int)
        Both ends, or beginning and end.
    **kwargs
        As for `Layer`.

    Raises
    ------
    ValueError
        If `cropping` has another form, is negative, or leaves nothing.

    Examples
    --------
    >>> import numpy as np
    >>> Cropping1D((1, 2))(np.ones((1, 5, 1))).shape
    (1, 2, 1)
    """

    rank = 1

    def __init__(self, cropping: Any = (1, 1), **kwargs: Any) -> None:
        super().__init__(cropping, **kwargs)

    @classmethod
    def _argument_names(cls) -> list[str]:
        return [name for name in super()._argument_names() if name != "data_format"]
