"""Windows of images as the columns of a matrix, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv import _arguments, _core

if TYPE_CHECKING:
    from fastconv._arguments import Array, Columns, Layout, Padding, Pair


def unfold(
    input: Array,
    kernel_size: int | Pair,
    dilation: int | Pair = 1,
    padding: Padding = 0,
    stride: int | Pair = 1,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Lay out every window of an image as a column (im2col).

    Parameters
    ----------
    input : ndarray (n, c, h, w) or (c, h, w)
        Images; (n, h, w, c) or (h, w, c) with ``layout="NHWC"``.
    kernel_size, dilation, stride : int or (int, int)
        Extents of a window, steps between its positions, and between windows.
    padding : int, (h, w), ((top, bottom), (left, right)), "valid", "same" or "same_lower"
        Zeros around the image.
    layout : {"NCHW", "NHWC"}
        Order of the axes.
    out : ndarray, optional
        Where the result goes.

    Returns
    -------
    ndarray (n, c * kh * kw, windows)
        Channel by channel, a window's rows one after the other; windows from left to right, then downwards. With
        ``layout="NHWC"`` (n, windows, kh * kw * c), so that a product with Keras' weights as a matrix convolves.

    Raises
    ------
    TypeError, ValueError
        As in conv2d.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.unfold(np.arange(6, dtype=np.float32).reshape(1, 2, 3), (2, 2))
    array([[0., 1.],
           [1., 2.],
           [3., 4.],
           [4., 5.]], dtype=float32)
    """
    x = _arguments.real("input", input)
    made = _arguments.columns(x.shape, kernel_size, dilation, padding, stride, layout)
    target = _target(out, made.shape, x, input)
    return take_apart(x, made, target)


def fold(
    input: Array,
    output_size: int | Pair,
    kernel_size: int | Pair,
    dilation: int | Pair = 1,
    padding: Padding = 0,
    stride: int | Pair = 1,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Add up the columns of unfold where their windows were (col2im).

    Parameters
    ----------
    input : ndarray (n, c * kh * kw, windows) or (c * kh * kw, windows)
        Windows, as unfold lays them out; (n, windows, kh * kw * c) with ``layout="NHWC"``.
    output_size : int or (int, int)
        Rows and columns of the images.
    kernel_size, dilation, padding, stride, layout, out
        As in unfold.

    Returns
    -------
    ndarray (n, c, h, w)
        The sums; zero where no window was.

    Raises
    ------
    TypeError, ValueError
        As in conv2d.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.fold(np.ones((4, 2), np.float32), (2, 3), 2)
    array([[[1., 2., 1.],
            [1., 2., 1.]]], dtype=float32)
    """
    x = _arguments.real("input", input)
    made = _arguments.folded(x.shape, output_size, kernel_size, dilation, padding, stride, layout)
    shape = made.input.shape(made.layout, made.input.channels, made.input.spatial)
    return put_together(x, made, _target(out, shape, x, input))


def _target(out: object, shape: tuple[int, ...], x: Array, input: object) -> Array:
    dtype = x.dtype.newbyteorder("=")
    return _core.empty(shape, dtype) if out is None else _arguments.output(out, shape, dtype, [("input", input)])


def _padded_shape(made: Columns) -> tuple[int, ...]:
    extents = tuple(map(sum, zip(made.input.spatial, made.pad_begin, made.pad_end, strict=True)))
    return made.input.shape(made.layout, made.input.channels, extents)


def _inside(made: Columns) -> tuple[Any, ...]:
    """Return where the image lies in the padded one."""
    rows, columns = (slice(b, b + i) for b, i in zip(made.pad_begin, made.input.spatial, strict=True))
    return (..., rows, columns) if made.layout == "NCHW" else (..., rows, columns, slice(None))


def take_apart(x: Array, made: Columns, target: Array) -> Array:
    """Copy every window into its column."""
    if any(made.pad_begin) or any(made.pad_end):
        shape = _padded_shape(made)
        _arguments.fits_memory("padding", "an input", shape, x)
        padded = np.zeros(shape, target.dtype)
        padded[_inside(made)] = x
        x = padded
    first = len(made.input.lead) + (made.layout == "NCHW")
    steps, taps = x.strides[first : first + 2], made.kernel
    between = tuple(step * s for step, s in zip(steps, made.stride, strict=True))
    within = tuple(step * d for step, d in zip(steps, made.dilation, strict=True))
    if made.layout == "NCHW":
        shape = (*x.shape[:first], *taps, *made.dst)
        strides = (*x.strides[:first], *within, *between)
    else:
        shape = (*x.shape[:first], *made.dst, *taps, x.shape[-1])
        strides = (*x.strides[:first], *between, *within, x.strides[-1])
    windows = np.lib.stride_tricks.as_strided(x, shape, strides, writeable=False)
    if target.flags.c_contiguous:
        np.copyto(target.reshape(shape), windows)
    else:
        np.copyto(target, windows.reshape(made.shape))
    return target


def put_together(x: Array, made: Columns, target: Array) -> Array:
    """Add every column where its window was, one position of the windows after the other."""
    shape = _padded_shape(made)
    _arguments.fits_memory("padding", "a result", shape, x)
    padded = np.zeros(shape, target.dtype)
    (kh, kw), (oh, ow), (sh, sw), (dh, dw) = made.kernel, made.dst, made.stride, made.dilation
    channels = made.input.channels
    split = (channels, kh, kw, oh, ow) if made.layout == "NCHW" else (oh, ow, kh, kw, channels)
    columns = x.reshape((*made.input.lead, *split))
    for i in range(kh):
        for j in range(kw):
            rows = slice(i * dh, i * dh + (oh - 1) * sh + 1, sh)
            across = slice(j * dw, j * dw + (ow - 1) * sw + 1, sw)
            if made.layout == "NCHW":
                padded[..., rows, across] += columns[..., i, j, :, :]
            else:
                padded[..., rows, across, :] += columns[..., i, j, :]
    np.copyto(target, padded[_inside(made)])
    return target
