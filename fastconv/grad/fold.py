"""Gradients of unfold and fold, each the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastconv import _arguments, _core
from fastconv.functional.fold import put_together, take_apart
from fastconv.grad._places import checked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastconv._arguments import Array, Layout, Padding, Pair


def unfold(
    input_size: Sequence[int],
    grad_output: Array,
    kernel_size: int | Pair,
    dilation: int | Pair = 1,
    padding: Padding = 0,
    stride: int | Pair = 1,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Return the gradient of unfold with respect to its input.

    Parameters
    ----------
    input_size : (n, c, h, w) or (c, h, w)
        Shape of the input, in the layout.
    grad_output : ndarray (n, c * kh * kw, windows), or (n, windows, kh * kw * c) with ``layout="NHWC"``
        Gradient with respect to the result.
    kernel_size, dilation, padding, stride, layout
        As unfold was called.
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
    >>> grad.unfold((1, 2, 3), np.ones((4, 2), np.float32), 2)
    array([[[1., 2., 1.],
            [1., 2., 1.]]], dtype=float32)
    """
    size = _arguments.sizes("input_size", input_size, (3, 4))
    made = _arguments.columns(size, kernel_size, dilation, padding, stride, layout, "input_size")
    gradient, target = checked(grad_output, made.shape, size, out)
    return put_together(gradient, made, _core.empty(size, gradient.dtype) if target is None else target)


def fold(
    grad_output: Array,
    kernel_size: int | Pair,
    dilation: int | Pair = 1,
    padding: Padding = 0,
    stride: int | Pair = 1,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Return the gradient of fold with respect to its input.

    Parameters
    ----------
    grad_output : ndarray (n, c, h, w) or (c, h, w), or with the channels last
        Gradient with respect to the result.
    kernel_size, dilation, padding, stride, layout
        As fold was called.
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
    >>> grad.fold(np.float32([[[1, 2, 3]]]), (1, 2))
    array([[1., 2.],
           [2., 3.]], dtype=float32)
    """
    gradient = _arguments.plain("grad_output", grad_output)
    made = _arguments.columns(gradient.shape, kernel_size, dilation, padding, stride, layout, "grad_output")
    _, target = checked(gradient, gradient.shape, made.shape, out, ("grad_output", grad_output))
    return take_apart(gradient, made, _core.empty(made.shape, gradient.dtype) if target is None else target)
