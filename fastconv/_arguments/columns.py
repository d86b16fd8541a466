"""Windows as columns: what unfold takes apart and fold puts together."""

from __future__ import annotations

import math
from typing import NamedTuple

from fastconv._arguments.images import Image, image, padding_of
from fastconv._arguments.values import Ints, layout_of, per_axis, wrong


class Columns(NamedTuple):
    """Checked windows over images, and the matrix that holds one window in each column (in each row, NHWC)."""

    layout: str
    input: Image
    kernel: Ints
    stride: Ints
    dilation: Ints
    pad_begin: Ints
    pad_end: Ints
    dst: Ints

    @property
    def shape(self) -> tuple[int, ...]:
        """The matrix's shape, with the images' batch axis."""
        window, count = self.input.channels * math.prod(self.kernel), math.prod(self.dst)
        return (*self.input.lead, window, count) if self.layout == "NCHW" else (*self.input.lead, count, window)


def columns(
    input_shape: tuple[int, ...],
    kernel_size: object,
    dilation: object,
    padding: object,
    stride: object,
    layout: object,
    name: str = "input",
) -> Columns:
    """Check the shape of images and the windows over them."""
    layout = layout_of(layout)
    picture = image(name, input_shape, layout)
    kernel, strides = per_axis("kernel_size", kernel_size, 1, 2), per_axis("stride", stride, 1, 2)
    dilations = per_axis("dilation", dilation, 1, 2)
    begin, end = padding_of(padding, picture.spatial, kernel, strides, dilations)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    padded = [sum(extents) for extents in zip(picture.spatial, begin, end, strict=True)]
    if any(r > p for r, p in zip(reach, padded, strict=True)):
        least = f"padded extents of at least the kernel's {' x '.join(map(str, reach))}"
        wrong(name, least, " x ".join(map(str, padded)))
    dst = tuple((p - r) // s + 1 for p, r, s in zip(padded, reach, strides, strict=True))
    return Columns(layout, picture, kernel, strides, dilations, begin, end, dst)


def folded(
    input_shape: tuple[int, ...],
    output_size: object,
    kernel_size: object,
    dilation: object,
    padding: object,
    stride: object,
    layout: object,
) -> Columns:
    """Check a matrix of windows and the images that it makes."""
    layout = layout_of(layout)
    kernel, extents = per_axis("kernel_size", kernel_size, 1, 2), per_axis("output_size", output_size, 1, 2)
    letters = "(n, c * kh * kw, windows)" if layout == "NCHW" else "(n, windows, kh * kw * c)"
    if len(input_shape) not in (2, 3) or min(input_shape[-2:]) < 1:
        wrong("input", f"2 or 3 axes {letters} with extents of at least 1, n optional", f"shape {input_shape}")
    window, taps = input_shape[-2 if layout == "NCHW" else -1], math.prod(kernel)
    if window % taps:
        wrong("input", f"shape {letters} with a multiple of {taps} positions a window", f"shape {input_shape}")
    images = Image(input_shape[:-2], window // taps, extents).shape(layout, window // taps, extents)
    made = columns(images, kernel, dilation, padding, stride, layout, "output_size")
    if made.shape != input_shape:
        wrong("input", f"shape {made.shape}, as output_size and windows make it", f"shape {input_shape}")
    return made
