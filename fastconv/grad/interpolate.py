"""Gradients of interpolation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastconv import _arguments
from fastconv.functional._gather import blend
from fastconv.functional.interpolate import blends, spatial
from fastconv.grad._places import checked
from fastconv.grad.pool import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastconv._arguments import Array, Layout, Pair, Triple
    from fastconv.functional.interpolate import Mode

ADAPTIVE: dict[int, Callable[..., Array]] = {1: adaptive_avg_pool1d, 2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}


def interpolate(
    input_size: Sequence[int],
    grad_output: Array,
    size: int | tuple[int] | Pair | Triple | None = None,
    scale_factor: float | tuple[float, ...] | None = None,
    mode: Mode = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Return the gradient of interpolate with respect to its input.

    Parameters
    ----------
    input_size : tuple of int
        Shape of the input, in the layout.
    grad_output : ndarray
        Gradient with respect to the result.
    size, scale_factor, mode, align_corners, recompute_scale_factor, layout
        As interpolate was called.
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
    >>> grad.interpolate((1, 1, 3), np.float32([[[1, 2, 3, 4, 5, 6]]]), scale_factor=2)
    array([[[ 3.,  7., 11.]]], dtype=float32)
    """
    shape = _arguments.sizes("input_size", input_size, (3, 4, 5))
    made = _arguments.resize(
        shape, size, scale_factor, mode, align_corners, recompute_scale_factor, False, layout, "input_size"
    )
    gradient, target = checked(
        grad_output, made.input.shape(made.layout, made.input.channels, made.dst), shape, out
    )  # fmt: skip
    if made.mode == "area":
        return ADAPTIVE[len(made.dst)](shape, gradient, layout=layout, out=target)
    return blend(gradient, spatial(made).start, blends(made, gradient.dtype, back=True), target)
