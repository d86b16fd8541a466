"""Products with matrices."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fastconv.reference.activation import ACTIVATIONS
from fastconv.reference.shapes import Array


def linear(
    input: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, *, activation: str | None = None
) -> Array:
    """``input @ weight.T + bias``, as ``torch.nn.functional.linear``.

    Parameters
    ----------
    input : array_like, shape (..., c)
    weight : array_like, shape (k, c)
    bias : array_like, shape (k,), optional
    activation : str, optional
        Name of one of this module's activations, taken with its defaults.

    Returns
    -------
    ndarray of float64, shape (..., k)

    Examples
    --------
    >>> linear([[1, 2]], [[3, 4], [5, 6]], [10, 20])
    array([[21., 37.]])
    """
    result = np.einsum("...c,kc->...k", np.asarray(input).astype(np.float64), np.asarray(weight).astype(np.float64))
    if bias is not None:
        result = result + np.asarray(bias).astype(np.float64)
    return np.asarray(result if activation is None else ACTIVATIONS[activation](result))
