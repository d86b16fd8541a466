"""Pools: shapes, options, and the plan that serves them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from fastconv import _core
from fastconv._arguments.arrays import FLOAT64
from fastconv._arguments.convolution import refuse
from fastconv._arguments.images import Image, by_axis, image, padding_of
from fastconv._arguments.values import TUPLES, Ints, Pair, flag, index, layout_of, per_axis, sizes, wrong

if TYPE_CHECKING:
    import numpy as np


class Pool(NamedTuple):
    """A checked pooling over one, two or three axes."""

    name: str  # of the argument that gave the input's shape
    maximum: bool
    layout: str
    input: Image
    kernel: Ints
    stride: Ints
    dilation: Ints
    pad_begin: Ints
    pad_end: Ints
    ceil_mode: bool = False
    include_pad: bool = True
    divisor: int = 0
    dst: Ints | None = None  # of an adaptive pooling

    @property
    def padding(self) -> tuple[Pair, ...]:
        """The padding as (before, after) for each axis."""
        return by_axis(self.pad_begin, self.pad_end)

    def plan(self, dtype: np.dtype[Any]) -> _core.PoolPlan:
        """Describe it to the engine, or say why it cannot be."""
        plan = _core.PoolPlan()
        status = plan.describe(
            maximum=self.maximum,
            adaptive=self.dst is not None,
            ceil_mode=self.ceil_mode,
            include_pad=self.include_pad,
            divisor=float(self.divisor),
            double_precision=dtype == FLOAT64,
            layout=_core.LAYOUTS[self.layout],
            channels=self.input.channels,
            src=self.input.spatial,
            kernel=self.kernel,
            stride=self.stride,
            dilation=self.dilation,
            pad_begin=self.pad_begin,
            pad_end=self.pad_end,
            dst=self.dst or (0,) * len(self.kernel),
        )
        if self.dst is not None and status != _core.OK:
            wrong("output_size", "sizes whose products fit 63 bits", self.dst)
        refuse(status, self)
        return plan


def pool(
    axes: int,
    maximum: bool,
    input_shape: tuple[int, ...],
    kernel_size: object,
    stride: object,
    padding: object,
    dilation: object,
    layout: object,
    *,
    ceil_mode: object = False,
    include_pad: object = True,
    divisor_override: object = None,
    name: str = "input",
) -> Pool:
    """Check shape and options of a pooling; numbers of padding are at most half the kernel, as in torch."""
    layout = layout_of(layout)
    picture = image(name, input_shape, layout, axes)
    kernel = per_axis("kernel_size", kernel_size, 1, axes)
    strides = kernel if stride is None else per_axis("stride", stride, 1, axes)
    dilations = per_axis("dilation", dilation, 1, axes)
    begin, end = padding_of(padding, picture.spatial, kernel, strides, dilations)
    by_side = isinstance(padding, str) or (isinstance(padding, tuple | list) and isinstance(padding[0], tuple | list))
    for p, k, d in zip(begin, kernel, dilations, strict=True):
        if not by_side and p > ((k - 1) * d + 1) // 2:
            wrong("padding", f"at most half of the kernel's extent of {(k - 1) * d + 1}", padding)
    divisor = 0
    if divisor_override is not None:
        divisor = index("divisor_override", divisor_override, "an int other than 0")
        if divisor == 0:
            wrong("divisor_override", "an int other than 0", divisor_override)
    flags = flag("ceil_mode", ceil_mode), flag("count_include_pad", include_pad)
    return Pool(name, maximum, layout, picture, kernel, strides, dilations, begin, end, *flags, divisor)


def adaptive_pool(
    axes: int, maximum: bool, input_shape: tuple[int, ...], output_size: object, layout: object, *, name: str = "input"
) -> Pool:
    """Check shape and output size of an adaptive pooling; None keeps an extent."""
    layout = layout_of(layout)
    picture = image(name, input_shape, layout, axes)
    expected = f"an int of at least 0, None, or {TUPLES[axes]} of them"
    if isinstance(output_size, tuple | list) and len(output_size) != axes:
        wrong("output_size", expected, output_size)
    entries = output_size if isinstance(output_size, tuple | list) else (output_size,) * axes
    dst = tuple(
        extent if entry is None else index("output_size", entry, expected)
        for entry, extent in zip(entries, picture.spatial, strict=True)
    )
    if min(dst) < 0:
        wrong("output_size", expected, output_size)
    one, none = (1,) * axes, (0,) * axes
    return Pool(name, maximum, layout, picture, one, one, one, none, none, dst=dst)


def pooling(axes: int, shape: Ints, options: tuple[object, ...], name: str = "input") -> Pool:
    """Check a pooling's options, in the order that they are kept by: three for an adaptive one."""
    if len(options) == 3:
        return adaptive_pool(axes, options[0] == "adaptive max", shape, options[1], options[2], name=name)
    kind, kernel, stride, padding, dilation, layout, ceil_mode, include_pad, divisor = options
    return pool(
        axes,
        kind == "max",
        shape,
        kernel,
        stride,
        padding,
        dilation,
        layout,
        ceil_mode=bool(ceil_mode),
        include_pad=bool(include_pad),
        divisor_override=divisor,
        name=name,
    )


class Unpool(NamedTuple):
    """A checked inverse of a maximum pooling."""

    layout: str
    input: Image
    dst: Ints


def unpool(
    axes: int,
    input_shape: tuple[int, ...],
    kernel_size: object,
    stride: object,
    padding: object,
    output_size: object,
    layout: object,
    name: str = "input",
) -> Unpool:
    """Check shape and options of an unpooling; the output's size may differ from the least by less than the stride."""
    layout = layout_of(layout)
    picture = image(name, input_shape, layout, axes)
    kernel = per_axis("kernel_size", kernel_size, 1, axes)
    strides = kernel if stride is None else per_axis("stride", stride, 1, axes)
    margin = per_axis("padding", padding, 0, axes)
    usual = tuple((i - 1) * s + k - 2 * p for i, s, k, p in zip(picture.spatial, strides, kernel, margin, strict=True))
    if output_size is None:
        if min(usual) < 1:
            wrong(name, "extents whose result is at least 1", f"{picture.spatial}, which make {usual}")
        return Unpool(layout, picture, usual)
    size = sizes("output_size", output_size, (axes, axes + 1, axes + 2))
    whole = size if len(size) == axes else last_parts(size, layout, axes)[1]
    for extent, least, s in zip(whole, usual, strides, strict=True):
        if not max(least - s, 0) < extent < least + s:
            wrong("output_size", f"more than {max(least - s, 0)} and less than {least + s}", size)
    return Unpool(layout, picture, whole)


def last_parts(shape: tuple[int, ...], layout: str, axes: int) -> tuple[int, Ints]:
    """Return channels and extents of a shape."""
    tail = shape[-axes - 1 :]
    return (tail[0], tail[1:]) if layout == "NCHW" else (tail[-1], tail[:-1])
