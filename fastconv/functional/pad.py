"""Padding of arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from fastconv import _arguments, _core

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastconv._arguments import Array, Layout, Margins

FILLS = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def pad(
    input: Array,
    pad: Sequence[int],
    mode: Literal["constant", "reflect", "replicate", "circular"] = "constant",
    value: float | None = None,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Add positions around an array.

    Parameters
    ----------
    input : ndarray (...)
        Any shape with mode="constant", images with one to three spatial axes (and with or without n) otherwise.
    pad : (left, right), (left, right, top, bottom), …
        How many before and after each axis, from the last axis on; less than 0 cuts off. With ``layout="NHWC"`` from
        the last axis but one on: channels are never padded.
    mode : {"constant", "reflect", "replicate", "circular"}
        What the added positions hold: `value`, the image mirrored at its first and last position, these positions
        again, or the image from its other end.
    value : float, optional
        For mode="constant"; 0 without.
    layout : {"NCHW", "NHWC"}
        Order of the axes.
    out : ndarray, optional
        Where the result goes.

    Returns
    -------
    ndarray (...)
        The padded array.

    Raises
    ------
    TypeError, ValueError
        As in conv2d; for reflected positions beyond the image's extent, and circular ones of more than that.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> x = np.float32([[1, 2, 3]])
    >>> F.pad(x, (1, 2), value=9)
    array([[9., 1., 2., 3., 9., 9.]], dtype=float32)
    >>> F.pad(x, (2, 1), "reflect")
    array([[3., 2., 1., 2., 3., 2.]], dtype=float32)
    >>> F.pad(x, (2, 1), "circular")
    array([[2., 3., 1., 2., 3., 1.]], dtype=float32)
    """
    x = _arguments.real("input", input)
    made = _arguments.margins(x.shape, pad, mode, value, layout)
    dtype = x.dtype.newbyteorder("=")
    _arguments.fits_memory("pad", "a result", made.shape, x)
    if out is not None:
        target = _arguments.output(out, made.shape, dtype, [("input", input)])
    else:
        target = _core.empty(made.shape, dtype)
    if made.mode == "constant":
        source, place = kept_part(x.shape, made)
        if place != tuple(map(slice, (0,) * x.ndim, made.shape)):
            target[...] = made.value
        target[place] = x[source]
        return target
    if any(min(width) < 0 for width in made.widths):
        np.copyto(target, _extended(x, made))
    else:
        fill_around(x, made, target)
    return target


def fill_around(x: Array, made: Margins, target: Array) -> None:
    """Copy what stays, then what is added along one axis after the other, from what is there already."""
    target[kept_part(x.shape, made)[1]] = x
    for axis, (extent, (before, after)) in enumerate(zip(x.shape, made.widths, strict=True)):
        lines, end = np.moveaxis(target, axis, 0), before + extent
        if made.mode == "reflect":
            lines[:before] = lines[2 * before : before : -1]
            lines[end:] = lines[before:end][-2 : -after - 2 : -1]
        elif made.mode == "circular":
            lines[:before] = lines[extent:end]
            lines[end:] = lines[before : before + after]
        else:
            lines[:before] = lines[before]
            lines[end:] = lines[end - 1]


def kept_part(shape: tuple[int, ...], made: Margins) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return what of the input stays, and where in the result it lies."""
    source = tuple(slice(max(-b, 0), e - max(-a, 0)) for e, (b, a) in zip(shape, made.widths, strict=True))
    places = zip(source, made.widths, strict=True)
    return source, tuple(slice(max(b, 0), max(b, 0) + part.stop - part.start) for part, (b, _) in places)


def padded_positions(extent: int, width: tuple[int, int], mode: str) -> Array:
    """Return which position of an axis each of the padded one holds."""
    shape = (extent + sum(width),)
    return _extended(np.arange(extent), _arguments.Margins((width,), shape, mode, 0.0))


def _extended(x: Array, made: Margins) -> Array:
    """Pad by what the array holds; what is cut off may be mirrored or repeated first, but does not come round."""
    cut = tuple(slice(max(-b, 0), e - max(-a, 0)) for e, (b, a) in zip(x.shape, made.widths, strict=True))
    if made.mode == "circular":
        x = x[cut]
    added = [(max(before, 0), max(after, 0)) for before, after in made.widths]
    whole: Array = np.pad(x, added, mode=FILLS[made.mode])  # type: ignore[call-overload]
    if made.mode == "circular":
        return whole
    ends = zip(whole.shape, made.widths, strict=True)
    return whole[tuple(slice(max(-b, 0), e - max(-a, 0)) for e, (b, a) in ends)]
