"""What training asks of the engine beside gradients: an optimizer's step for all variables, and random zeros."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastconv import _core
from fastconv._core import UPDATES, Update, sum_squares

if TYPE_CHECKING:
    from fastconv._arguments import Array

__all__ = ["UPDATES", "Update", "dropped", "sum_squares"]


def dropped(values: Array, rate: float, drawn: tuple[int, int], over: bool = False) -> Array:
    """Return values, each zero with probability `rate` or else scaled up; the same call does the way back.

    Parameters
    ----------
    values : ndarray (rows, ...)
    rate : float
    drawn : (int, int)
        What `runtime.Draws.next` returned.
    over : bool
        Write over the values where they are plain.

    Examples
    --------
    >>> ones = np.ones((2, 3), "f4")
    >>> bool((dropped(ones, 0.5, (1, 2)) == dropped(ones, 0.5, (1, 2))).all())
    True
    """
    plain = np.require(values, values.dtype.newbyteorder("="), ["C", "A", "E", "W"] if over else ["C", "A", "E"])
    out = plain if over else _core.empty(plain.shape, plain.dtype)
    made = _core.dropout(plain, rate, drawn, len(plain), out)
    if made is None:
        raise TypeError(f"values: expected float32 or float64, got {values.dtype}")
    return made
