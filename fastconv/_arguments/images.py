"""Batches of images, and the padding around them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from fastconv._arguments.values import LARGEST, Pair, index, shorten, wrong

if TYPE_CHECKING:
    from fastconv._arguments.arrays import Array
    from fastconv._arguments.convolution import Conv2d

Layout = Literal["NCHW", "NHWC"]
PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]
Padding = int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]] | Literal["valid", "same", "same_lower"]

PAD_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


class Image(NamedTuple):
    """What the shape of a batch of images, or of one, says."""

    lead: tuple[int, ...]  # (n,), or () for one image without a batch axis
    channels: int
    spatial: Pair

    def shape(self, layout: str, channels: int, spatial: Pair) -> tuple[int, ...]:
        """Return the shape with other channels and extents."""
        tail = (channels, *spatial) if layout == "NCHW" else (*spatial, channels)
        return (*self.lead, *tail)


def image(name: str, shape: tuple[int, ...], layout: str) -> Image:
    """Take the shape of a batch of images apart; only the batch may be empty."""
    letters = "(n, c, h, w) or (c, h, w)" if layout == "NCHW" else "(n, h, w, c) or (h, w, c)"
    if len(shape) not in (3, 4):
        wrong(name, f"3 or 4 axes {letters}", f"shape {shape}")
    lead, tail = shape[:-3], shape[-3:]
    if min(tail) < 1:
        wrong(name, f"{letters} with channels and extents of at least 1", f"shape {shape}")
    channels, *spatial = tail if layout == "NCHW" else (tail[2], tail[0], tail[1])
    return Image(lead, channels, (spatial[0], spatial[1]))


def padding_of(value: object, src: Pair, kernel: Pair, stride: Pair, dilation: Pair) -> tuple[Pair, Pair]:
    """Return (top, left) and (bottom, right) for any form of padding."""
    expected = "an int of at least 0, (h, w), ((top, bottom), (left, right)), 'valid', 'same' or 'same_lower'"
    if isinstance(value, str):
        if value not in ("valid", "same", "same_lower"):
            wrong("padding", expected, shorten(value))
        totals = (0, 0) if value == "valid" else tuple(map(same_total, src, kernel, stride, dilation))
        small = (totals[0] // 2, totals[1] // 2)
        large = (totals[0] - small[0], totals[1] - small[1])
        return (large, small) if value == "same_lower" else (small, large)
    if isinstance(value, tuple | list) and any(isinstance(entry, tuple | list) for entry in value):
        if len(value) != 2 or not all(isinstance(entry, tuple | list) and len(entry) == 2 for entry in value):
            wrong("padding", expected, shorten(value))
        (top, bottom), (left, right) = ([index("padding", entry, expected) for entry in row] for row in value)
        if min(top, bottom, left, right) < 0:
            wrong("padding", expected, shorten(value))
        return (top, left), (bottom, right)
    if isinstance(value, tuple | list) and len(value) != 2:
        wrong("padding", expected, shorten(value))
    entries = value if isinstance(value, tuple | list) else (value, value)
    first, second = (index("padding", entry, expected) for entry in entries)
    if min(first, second) < 0:
        wrong("padding", expected, shorten(value))
    return (first, second), (first, second)


def by_axis(begin: Pair, end: Pair) -> tuple[Pair, Pair]:
    """Return ((top, bottom), (left, right))."""
    return (begin[0], end[0]), (begin[1], end[1])


def same_total(src: int, kernel: int, stride: int, dilation: int) -> int:
    """Return the padding that makes ceil(src / stride) output positions."""
    total = max((-(-src // stride) - 1) * stride + (kernel - 1) * dilation + 1 - src, 0)
    return total if total <= LARGEST else wrong("dilation", "a kernel of less than 63 bits", dilation)


def pad(x: Array, conv: Conv2d, mode: str) -> Array:
    """Pad the spatial axes by something other than zeros, with torch's limits on how far."""
    for axis, (extent, begin, end) in enumerate(zip(conv.input.spatial, conv.pad_begin, conv.pad_end, strict=True)):
        most = {"reflect": extent - 1, "circular": extent}.get(mode, LARGEST)
        if max(begin, end) > most:
            name = ("height", "width")[axis]
            wrong("padding", f"at most {most} for padding_mode={mode!r} and a {name} of {extent}", max(begin, end))
    widths = [(0, 0)] * x.ndim
    first = x.ndim - (2 if conv.layout == "NCHW" else 3)
    widths[first : first + 2] = list(zip(conv.pad_begin, conv.pad_end, strict=True))
    shape = [extent + sum(width) for extent, width in zip(x.shape, widths, strict=True)]
    if math.prod(shape) * x.itemsize > LARGEST:
        raise MemoryError(f"padding: no memory for an input of shape {tuple(shape)}")
    return np.pad(x, widths, mode=PAD_MODES[mode])  # type: ignore[call-overload, no-any-return]
