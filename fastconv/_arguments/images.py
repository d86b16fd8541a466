"""Batches of images with one, two or three spatial axes, and the padding around them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from fastconv._arguments.values import LARGEST, Ints, Pair, index, shorten, wrong

if TYPE_CHECKING:
    from fastconv._arguments.arrays import Array
    from fastconv._arguments.convolution import Conv

Layout = Literal["NCHW", "NHWC"]
PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]
PaddingWord = Literal["valid", "same", "same_lower"]
Padding1d = int | tuple[int] | tuple[Pair] | PaddingWord
Padding = int | Pair | tuple[Pair, Pair] | PaddingWord
Padding3d = int | tuple[int, int, int] | tuple[Pair, Pair, Pair] | PaddingWord

PAD_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
AXES = {1: ("l",), 2: ("h", "w"), 3: ("d", "h", "w")}
AXIS_NAMES = {"l": "length", "d": "depth", "h": "height", "w": "width"}
SIDES = {
    1: "((left, right),)",
    2: "((top, bottom), (left, right))",
    3: "((front, back), (top, bottom), (left, right))",
}


class Image(NamedTuple):
    """What the shape of a batch of images, or of one, says."""

    lead: tuple[int, ...]  # (n,), or () for one image without a batch axis
    channels: int
    spatial: Ints

    def shape(self, layout: str, channels: int, spatial: Ints) -> tuple[int, ...]:
        """Return the shape with other channels and extents."""
        tail = (channels, *spatial) if layout == "NCHW" else (*spatial, channels)
        return (*self.lead, *tail)


def letters_of(layout: str, axes: int) -> str:
    """Return the axes of images by their letters, with and without a batch."""
    tail = ("c", *AXES[axes]) if layout == "NCHW" else (*AXES[axes], "c")
    return f"({', '.join(('n', *tail))}) or ({', '.join(tail)})"


def image(name: str, shape: tuple[int, ...], layout: str, axes: int = 2) -> Image:
    """Take the shape of a batch of images apart; only the batch may be empty."""
    if len(shape) not in (axes + 1, axes + 2):
        wrong(name, f"{axes + 1} or {axes + 2} axes {letters_of(layout, axes)}", f"shape {shape}")
    lead, tail = shape[: -axes - 1], shape[-axes - 1 :]
    if min(tail) < 1:
        wrong(name, f"{letters_of(layout, axes)} with channels and extents of at least 1", f"shape {shape}")
    return Image(lead, tail[0], tail[1:]) if layout == "NCHW" else Image(lead, tail[-1], tail[:-1])


def spatial_axes(ndim: int, layout: str, axes: int) -> range:
    """Return which axes of an array of images are the spatial ones."""
    last = ndim if layout == "NCHW" else ndim - 1
    return range(last - axes, last)


def padding_of(value: object, src: Ints, kernel: Ints, stride: Ints, dilation: Ints) -> tuple[Ints, Ints]:
    """Return what is added before and after each axis, for any form of padding."""
    axes = len(src)
    each = f"({', '.join(AXES[axes])}{',' * (axes == 1)})"
    expected = f"an int of at least 0, {each}, {SIDES[axes]}, 'valid', 'same' or 'same_lower'"
    if isinstance(value, str):
        if value not in ("valid", "same", "same_lower"):
            wrong("padding", expected, shorten(value))
        totals = (0,) * axes if value == "valid" else tuple(map(same_total, src, kernel, stride, dilation))
        small = tuple(total // 2 for total in totals)
        large = tuple(total - less for total, less in zip(totals, small, strict=True))
        return (large, small) if value == "same_lower" else (small, large)
    entries: tuple[Any, ...] = tuple(value) if isinstance(value, tuple | list) else (value,) * axes
    if len(entries) != axes:
        wrong("padding", expected, shorten(value))
    if any(isinstance(entry, tuple | list) for entry in entries):
        if not all(isinstance(entry, tuple | list) and len(entry) == 2 for entry in entries):
            wrong("padding", expected, shorten(value))
        sides = [[index("padding", side, expected) for side in entry] for entry in entries]
    else:
        sides = [[index("padding", entry, expected)] * 2 for entry in entries]
    if min(map(min, sides)) < 0:
        wrong("padding", expected, shorten(value))
    return tuple(before for before, _ in sides), tuple(after for _, after in sides)


def by_axis(begin: Ints, end: Ints) -> tuple[Pair, ...]:
    """Return (before, after) for each axis."""
    return tuple(zip(begin, end, strict=True))


def same_total(src: int, kernel: int, stride: int, dilation: int) -> int:
    """Return the padding that makes ceil(src / stride) output positions."""
    total = max((-(-src // stride) - 1) * stride + (kernel - 1) * dilation + 1 - src, 0)
    return total if total <= LARGEST else wrong("dilation", "a kernel of less than 63 bits", dilation)


def pad(x: Array, conv: Conv, mode: str) -> Array:
    """Pad the spatial axes by something other than zeros, with torch's limits on how far."""
    names = AXES[len(conv.kernel)]
    for axis, (extent, begin, end) in enumerate(zip(conv.input.spatial, conv.pad_begin, conv.pad_end, strict=True)):
        most = {"reflect": extent - 1, "circular": extent}.get(mode, LARGEST)
        if max(begin, end) > most:
            name = AXIS_NAMES[names[axis]]
            wrong("padding", f"at most {most} for padding_mode={mode!r} and a {name} of {extent}", max(begin, end))
    widths = [(0, 0)] * x.ndim
    for axis, width in zip(spatial_axes(x.ndim, conv.layout, len(names)), conv.padding, strict=True):
        widths[axis] = width
    fits_memory("padding", "an input", [extent + sum(width) for extent, width in zip(x.shape, widths, strict=True)], x)
    return np.pad(x, widths, mode=PAD_MODES[mode])  # type: ignore[call-overload, no-any-return]


def fits_memory(name: str, what: str, shape: list[int] | tuple[int, ...], like: Array) -> None:
    """Refuse what no memory could hold, before NumPy fails in a way of its own."""
    if math.prod(shape) * like.itemsize > LARGEST:
        raise MemoryError(f"{name}: no memory for {what} of shape {tuple(shape)}")
