"""Gradients of padding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from fastconv import _arguments
from fastconv.functional.pad import kept_part, padded_positions
from fastconv.grad._places import checked, scatter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastconv._arguments import Array, Layout


def pad(
    input_size: Sequence[int],
    grad_output: Array,
    pad: Sequence[int],
    mode: Literal["constant", "reflect", "replicate", "circular"] = "constant",
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Return the gradient of pad with respect to its input.

    Parameters
    ----------
    input_size : tuple of int
        Shape of the input, in the layout.
    grad_output : ndarray
        Gradient with respect to the result.
    pad, mode, layout
        As pad was called.
    out : ndarray, optional
        Where the gradient goes.

    Returns
    -------
    ndarray in the shape of the input
        The gradient.

    Raises
    ------
    TypeError, ValueError
        As in functional.conv2d, and for sizes that do not belong together.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.pad((1, 3), np.float32([[1, 2, 3, 4, 5]]), (1, 1), "reflect")
    array([[2., 9., 4.]], dtype=float32)
    """
    size = _arguments.sizes("input_size", input_size, tuple(range(64)))
    made = _arguments.margins(size, pad, mode, None, layout, "input_size")
    gradient, target = checked(grad_output, made.shape, size, out)
    if made.mode == "constant":
        source, place = kept_part(size, made)
        result = np.zeros(size, gradient.dtype)
        result[source] = gradient[place]
        return _arguments.delivered(result, target)
    result = gradient
    for axis, (extent, width) in enumerate(zip(size, made.widths, strict=True)):
        if width != (0, 0):
            result = scatter(result, padded_positions(extent, width, made.mode), None, extent, axis)
    return _arguments.delivered(result.copy() if result is gradient else result, target)
