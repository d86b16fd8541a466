"""Gradients of unpooling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastconv import _arguments
from fastconv.functional.max_unpool import inside, plane_axis, planes

if TYPE_CHECKING:
    from fastconv._arguments import Array, Layout


def max_unpool1d(grad_output: Array, indices: Array, *, layout: Layout = "NCHW", out: Array | None = None) -> Array:
    """Return the gradient of max_unpool1d with respect to its input: what arrives where it was put.

    Parameters
    ----------
    grad_output : ndarray
        Gradient with respect to the result, with one spatial axis.
    indices : ndarray of int64, in the shape of the input
        As max_unpool1d was called.
    layout : {"NCHW", "NHWC"}
        Order of the axes.
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
    >>> grad.max_unpool1d(np.float32([[1, 2, 3, 4]]), np.int64([[1, 2]]))
    array([[2., 3.]], dtype=float32)
    """
    return _gathered(1, grad_output, indices, layout, out)


def max_unpool2d(grad_output: Array, indices: Array, *, layout: Layout = "NCHW", out: Array | None = None) -> Array:
    """Return the gradient of max_unpool2d with respect to its input: what arrives where it was put.

    Parameters
    ----------
    grad_output : ndarray
        Gradient with respect to the result, with two spatial axes.
    indices : ndarray of int64, in the shape of the input
        As max_unpool2d was called.
    layout : {"NCHW", "NHWC"}
        Order of the axes.
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
    >>> grad.max_unpool2d(np.float32([[[1, 2], [3, 4]]]), np.int64([[[2]]]))
    array([[[3.]]], dtype=float32)
    """
    return _gathered(2, grad_output, indices, layout, out)


def max_unpool3d(grad_output: Array, indices: Array, *, layout: Layout = "NCHW", out: Array | None = None) -> Array:
    """Return the gradient of max_unpool3d with respect to its input: what arrives where it was put.

    Parameters
    ----------
    grad_output : ndarray
        Gradient with respect to the result, with three spatial axes.
    indices : ndarray of int64, in the shape of the input
        As max_unpool3d was called.
    layout : {"NCHW", "NHWC"}
        Order of the axes.
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
    >>> grad.max_unpool3d(np.float32([[[[1, 2], [3, 4]]]]), np.int64([[[[2]]]]))
    array([[[[3.]]]], dtype=float32)
    """
    return _gathered(3, grad_output, indices, layout, out)


def _gathered(axes: int, grad_output: object, indices: object, layout: object, out: object) -> Array:
    gradient, order = _arguments.plain("grad_output", grad_output), _arguments.layout_of(layout)
    image = _arguments.image("grad_output", gradient.shape, order, axes)
    shape = indices.shape if isinstance(indices, np.ndarray) else gradient.shape
    where = _arguments.positions("indices", indices, shape)
    picked = _arguments.image("indices", where.shape, order, axes)
    if picked._replace(spatial=image.spatial) != image:
        expected = f"as many images and channels as grad_output has, of shape {gradient.shape}"
        _arguments.wrong("indices", expected, f"shape {where.shape}")
    whole = _arguments.Unpool(order, image, image.spatial)
    inside("indices", where, whole)
    target = None
    if out is not None:
        target = _arguments.output(out, shape, gradient.dtype, [("grad_output", grad_output), ("indices", indices)])
    result = np.take_along_axis(planes(gradient, whole), planes(where, whole), plane_axis(whole))
    return _arguments.delivered(result.reshape(shape), target)
