"""What gradients that gather or scatter have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastconv import _arguments

if TYPE_CHECKING:
    from fastconv._arguments import Array


def checked(
    grad_output: object, shape: tuple[int, ...], result: tuple[int, ...], out: object, *inputs: tuple[str, object]
) -> tuple[Array, Array | None]:
    """Return a gradient of this shape in plain form, and where the result goes if the caller has named it."""
    gradient = _arguments.plain("grad_output", grad_output)
    _arguments.has_shape("grad_output", gradient, shape)
    _arguments.fits_memory("input_size", "a result", result, gradient)
    if out is None:
        return gradient, None
    return gradient, _arguments.output(out, result, gradient.dtype, [("grad_output", grad_output), *inputs])


def scatter(gradient: Array, where: Array, weight: Array | None, extent: int, axis: int) -> Array:
    """Add the entries along an axis up at the places, of so many, that they came from."""
    shape = tuple(extent if i == axis else size for i, size in enumerate(gradient.shape))
    result = np.zeros(shape, gradient.dtype)
    if not gradient.size:
        return result
    if weight is not None:
        gradient = gradient * weight.reshape([-1 if i == axis else 1 for i in range(gradient.ndim)])
    order = np.argsort(where, kind="stable")
    places = where[order]
    starts = np.flatnonzero(np.diff(places, prepend=-1))
    if (order[1:] < order[:-1]).any():
        gradient = np.take(gradient, order, axis)
    result[(slice(None),) * axis + (places[starts],)] = np.add.reduceat(gradient, starts, axis)
    return result
