"""Maxima back in their places."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv import _arguments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastconv._arguments import Array, Layout, Pair, Triple, Unpool


def max_unpool1d(
    input: Array,
    indices: Array,
    kernel_size: int | tuple[int],
    stride: int | tuple[int] | None = None,
    padding: int | tuple[int] = 0,
    output_size: Sequence[int] | None = None,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Put maxima back where they were: max_unpool2d with one spatial axis.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.max_unpool1d(np.float32([[9, 5]]), np.int64([[1, 2]]), 2)
    array([[0., 9., 5., 0.]], dtype=float32)
    """
    return _unpool(1, input, indices, (kernel_size, stride, padding, output_size, layout), out)


def max_unpool2d(
    input: Array,
    indices: Array,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    output_size: Sequence[int] | None = None,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Put maxima back where they were: the inverse of max_pool2d, with zeros between.

    Parameters
    ----------
    input : ndarray (n, c, h, w) or (c, h, w)
        Maxima; (n, h, w, c) or (h, w, c) with ``layout="NHWC"``.
    indices : ndarray of int64, in the shape of input
        What max_pool2d gave with ``return_indices=True``: positions within each plane. Of several values for one
        position the last one stays.
    kernel_size, stride, padding : int or (int, int)
        As max_pool2d was called.
    output_size : (oh, ow) or the whole shape of the result, optional
        ``(h - 1) * stride - 2 * padding + kernel`` without; may differ from that by less than the stride.
    layout : {"NCHW", "NHWC"}
        Order of the axes.
    out : ndarray, optional
        Where the result goes.

    Returns
    -------
    ndarray (n, c, oh, ow)
        The maxima in their places.

    Raises
    ------
    TypeError, ValueError
        As in conv2d, and for an index outside the result.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.max_unpool2d(np.float32([[[9, 5]]]), np.int64([[[1, 6]]]), 2)
    array([[[0., 9., 0., 0.],
            [0., 0., 5., 0.]]], dtype=float32)
    """
    return _unpool(2, input, indices, (kernel_size, stride, padding, output_size, layout), out)


def max_unpool3d(
    input: Array,
    indices: Array,
    kernel_size: int | Triple,
    stride: int | Triple | None = None,
    padding: int | Triple = 0,
    output_size: Sequence[int] | None = None,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Put maxima back where they were: max_unpool2d with three spatial axes.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.max_unpool3d(np.float32([[[[9]]]]), np.int64([[[[5]]]]), 2)
    array([[[[0., 0.],
             [0., 0.]],
    <BLANKLINE>
            [[0., 9.],
             [0., 0.]]]], dtype=float32)
    """
    return _unpool(3, input, indices, (kernel_size, stride, padding, output_size, layout), out)


def _unpool(axes: int, input: object, indices: object, options: tuple[Any, ...], out: object) -> Array:
    x = _arguments.real("input", input)
    made = _arguments.unpool(axes, x.shape, *options)
    where = _arguments.positions("indices", indices, x.shape)
    inside("indices", where, made)
    dtype, shape = x.dtype.newbyteorder("="), made.input.shape(made.layout, made.input.channels, made.dst)
    if out is not None:
        out = _arguments.output(out, shape, dtype, [("input", input), ("indices", indices)])
    _arguments.fits_memory("output_size", "a result", shape, x)
    result = np.zeros(shape, dtype)
    result.reshape(-1)[flat_places(where, made)] = _arguments.plain("input", x).reshape(-1)
    return _arguments.delivered(result, out)


def flat_places(where: Array, made: Unpool) -> Array:
    """Return where in the whole result each position within its plane is."""
    plane, channels, images = math.prod(made.dst), made.input.channels, math.prod(made.input.lead)
    windows = math.prod(made.input.spatial)
    if made.layout == "NCHW":
        places = where.reshape(images * channels, windows) + np.arange(images * channels)[:, None] * plane
    else:
        places = (where.reshape(images, windows, channels) + np.arange(images)[:, None, None] * plane) * channels
        places += np.arange(channels)
    return places.reshape(-1)


def planes(array: Array, made: Unpool) -> Array:
    """View images with their spatial axes as one."""
    axes, lead = len(made.dst), len(made.input.lead)
    if made.layout == "NCHW":
        return array.reshape((*array.shape[: lead + 1], math.prod(array.shape[-axes:])))
    return array.reshape((*array.shape[:lead], math.prod(array.shape[lead:-1]), array.shape[-1]))


def plane_axis(made: Unpool) -> int:
    """Return which axis of `planes` is the spatial one."""
    return -1 if made.layout == "NCHW" else -2


def inside(name: str, where: Array, made: Unpool) -> None:
    """Refuse positions outside the result's planes."""
    last = math.prod(made.dst) - 1
    if where.size and (where.min() < 0 or where.max() > last):
        outside = where[(where < 0) | (where > last)]
        _arguments.wrong(name, f"positions in [0, {last}]", int(outside[0]))
