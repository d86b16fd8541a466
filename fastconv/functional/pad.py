"""Padding of arrays."""

from __future__ import annotations

import math
from functools import lru_cache
from types import NoneType
from typing import TYPE_CHECKING, Literal

import numpy as np

from fastconv import _arguments, _core
from fastconv.functional._gather import Pass, gather, passes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastconv._arguments import Array, Layout, Margins

# For arrays of so many positions along an axis lists are kept.
_FEW = 4096
_INTS, _VALUES = {int}, {float, NoneType}


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
    made, steps = None, None
    if _is_hashed(pad, mode, value, layout):
        made, steps = _few_steps(x.shape, pad, mode, value, layout)
    if steps is not None and out is None:
        return gather(x, steps, None, 0.0 if value is None else value)
    if made is None:
        made = _arguments.margins(x.shape, pad, mode, value, layout)
    dtype = x.dtype.newbyteorder("=")
    _arguments.fits_memory("pad", "a result", made.shape, x)
    if out is not None:
        target = _arguments.output(out, made.shape, dtype, [("input", input)])
    else:
        target = _core.empty(made.shape, dtype)  # before lists of its extents
    return gather(x, steps or _steps(x.shape, made), target, made.value if value is None or not steps else value)


def _is_hashed(pad: object, mode: object, value: object, layout: object) -> bool:
    """Whether equal arguments mean the same, as 1 and True do not."""
    plain = type(pad) is tuple and type(mode) is str and type(layout) is str
    return plain and set(map(type, pad)) <= _INTS and type(value) in _VALUES  # type: ignore[call-overload]


def _steps(shape: tuple[int, ...], made: Margins) -> list[Pass]:
    """List what is copied from where."""
    places = {
        axis: padded_positions(extent, width, made.mode)
        for axis, (extent, width) in enumerate(zip(shape, made.widths, strict=True))
        if width != (0, 0)
    }
    return passes(shape, places)


@lru_cache(64)
def _few_steps(
    shape: tuple[int, ...], pad: object, mode: object, value: object, layout: object
) -> tuple[Margins, list[Pass] | None]:
    """Return the steps, too, of an array that fits memory and has few positions along each axis."""
    made = _arguments.margins(shape, pad, mode, value, layout)
    few = max(shape + made.shape, default=0) <= _FEW and math.prod(made.shape) < _arguments.LARGEST // 8
    return made, _steps(shape, made) if few else None


def kept_part(shape: tuple[int, ...], made: Margins) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return what of the input stays, and where in the result it lies."""
    source = tuple(slice(max(-b, 0), e - max(-a, 0)) for e, (b, a) in zip(shape, made.widths, strict=True))
    places = zip(source, made.widths, strict=True)
    return source, tuple(slice(max(b, 0), max(b, 0) + part.stop - part.start) for part, (b, _) in places)


def padded_positions(extent: int, width: tuple[int, int], mode: str) -> Array:
    """Return which position of an axis each of the padded one holds; -1 is none.

    What is cut off may be mirrored or repeated first, but does not come round.
    """
    before, after = width
    at = np.arange(-before, extent + after)
    if mode == "constant":
        at[(at < 0) | (at >= extent)] = -1
    elif mode == "reflect":
        at = np.abs(at)
        at = np.minimum(at, 2 * (extent - 1) - at)
    elif mode == "replicate":
        at = np.clip(at, 0, extent - 1)
    else:
        first, left = max(-before, 0), extent + min(before, 0) + min(after, 0)
        at = first + (at - first) % left
    return at.astype(np.intp, copy=False)
