"""Padding by pairs of numbers, and sizes that interpolation makes."""

from __future__ import annotations

import math
from typing import NamedTuple

from fastconv._arguments.images import Image, image
from fastconv._arguments.values import LARGEST, Ints, Pair, choice, flag, index, layout_of, number, shorten, wrong

FILLS = ("constant", "reflect", "replicate", "circular")
MODES = {
    "nearest": (3, 4, 5),
    "nearest-exact": (3, 4, 5),
    "linear": (3,),
    "bilinear": (4,),
    "bicubic": (4,),
    "trilinear": (5,),
    "area": (3, 4, 5),
}


class Margins(NamedTuple):
    """Checked padding of an array: what is added before and after each of its axes; less than nothing is cut off."""

    widths: tuple[Pair, ...]
    shape: tuple[int, ...]  # of the result
    mode: str
    value: float


def margins(
    shape: tuple[int, ...], pad: object, mode: object, value: object, layout: object, name: str = "input"
) -> Margins:
    """Check torch's pad, which counts axes from the last one; channels that are last are left out."""
    fill, layout = choice("mode", mode, FILLS), layout_of(layout)
    axes = list(range(len(shape)))[::-1] if layout == "NCHW" else list(range(len(shape) - 1))[::-1]
    expected = f"an even number of ints, at most {2 * len(axes)} for shape {shape}"
    if not isinstance(pad, tuple | list):
        wrong("pad", expected, shorten(pad), TypeError)
    entries = [index("pad", entry, expected) for entry in pad]
    if len(entries) % 2 or len(entries) > 2 * len(axes):
        wrong("pad", expected, shorten(pad))
    count = len(entries) // 2
    if fill != "constant":
        if count < 1 or count > 3 or len(shape) not in (count + 1, count + 2):
            wrong("pad", f"two ints for each of one to three spatial axes with mode={fill!r}", f"{pad} for {shape}")
        if value is not None and value != 0:
            wrong("value", f"None with mode={fill!r}", value)
        if min(shape[-count - 1 :]) < 1:
            wrong(name, f"extents of at least 1 with mode={fill!r}", f"shape {shape}")
    widths = [(0, 0)] * len(shape)
    for i in range(count):
        axis, before, after = axes[i], entries[2 * i], entries[2 * i + 1]
        widths[axis] = (before, after)
        extent = shape[axis]
        left = extent + min(before, 0) + min(after, 0)
        if extent + before + after < (fill != "constant") or (fill != "replicate" and left < 0):
            wrong("pad", f"no more cut off than the extent of {extent}", (before, after))
        most = {"reflect": extent - 1, "circular": left}.get(fill, LARGEST)
        if max(before, after) > most:
            wrong("pad", f"at most {most} for mode={fill!r} and an extent of {extent}", (before, after))
    made = tuple(extent + before + after for extent, (before, after) in zip(shape, widths, strict=True))
    return Margins(tuple(widths), made, fill, 0.0 if value is None else number("value", value))


class Resize(NamedTuple):
    """A checked interpolation."""

    layout: str
    input: Image
    mode: str
    dst: Ints
    steps: tuple[float | None, ...]  # input positions for each output position where the caller has said; else None
    align_corners: bool


def resize(
    shape: tuple[int, ...],
    size: object,
    scale_factor: object,
    mode: object,
    align_corners: object,
    recompute_scale_factor: object,
    antialias: object,
    layout: object,
    name: str = "input",
) -> Resize:
    """Check torch's interpolate."""
    layout, mode = layout_of(layout), choice("mode", mode, MODES)
    if len(shape) not in MODES[mode]:
        wrong(name, f"{' or '.join(map(str, MODES[mode]))} axes with mode={mode!r}", f"shape {shape}")
    axes = len(shape) - 2
    picture = image(name, shape, layout, axes)
    if mode in ("nearest", "nearest-exact", "area"):
        if align_corners is not None:
            wrong("align_corners", f"None with mode={mode!r}", align_corners)
        corners = False
    else:
        corners = align_corners is not None and flag("align_corners", align_corners)
    if flag("antialias", antialias):
        wrong("antialias", "False", antialias)
    recompute = recompute_scale_factor is not None and flag("recompute_scale_factor", recompute_scale_factor)
    if (size is None) == (scale_factor is None):
        wrong("size", "either size or scale_factor", f"size={size}, scale_factor={scale_factor}")
    if size is None:
        factors = factors_of(scale_factor, axes)
        dst = tuple(scaled(extent, factor) for extent, factor in zip(picture.spatial, factors, strict=True))
        steps: tuple[float | None, ...] = (None,) * axes if recompute else tuple(1.0 / factor for factor in factors)
    else:
        if recompute:
            wrong("recompute_scale_factor", "None or False with size", recompute_scale_factor)
        expected = f"a positive int or {axes} of them"
        entries = size if isinstance(size, tuple | list) else (size,) * axes
        if len(entries) != axes:
            wrong("size", expected, size)
        dst, steps = tuple(index("size", entry, expected) for entry in entries), (None,) * axes
    if min(dst) < (mode != "area"):
        wrong("size" if scale_factor is None else "scale_factor", "a result with extents of at least 1", f"{dst}")
    return Resize(layout, picture, mode, dst, steps, corners)


def factors_of(value: object, axes: int) -> tuple[float, ...]:
    """Return a finite positive factor for each spatial axis."""
    entries = value if isinstance(value, tuple | list) else (value,) * axes
    if len(entries) != axes:
        wrong("scale_factor", f"a positive number or {axes} of them", value)
    factors = tuple(number("scale_factor", entry) for entry in entries)
    if not all(0 < factor < math.inf for factor in factors):
        wrong("scale_factor", f"a positive number or {axes} of them", value)
    return factors


def scaled(extent: int, factor: float) -> int:
    """Return an extent times a factor, rounded down."""
    product = extent * factor
    return math.floor(product) if product < LARGEST else wrong("scale_factor", "a result of less than 63 bits", factor)
