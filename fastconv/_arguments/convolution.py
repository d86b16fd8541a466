"""Convolutions: shapes, options, and the plan that serves them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from fastconv import _core
from fastconv._arguments.arrays import FLOAT64
from fastconv._arguments.images import AXES, Image, by_axis, image, padding_of, spatial_axes
from fastconv._arguments.values import (
    ACTIVATIONS,
    LARGEST,
    Ints,
    Pair,
    activation_name,
    choice,
    integer,
    layout_of,
    per_axis,
    wrong,
)

if TYPE_CHECKING:
    from fastconv._arguments.arrays import Array
    from fastconv._arguments.pooling import Pool

Algorithm = Literal["auto", "direct", "im2col", "winograd"]


# A transposed convolution, or the gradient of an input, is as many convolutions as the strides' product says.
MOST_PHASES = 2**20


class Conv(NamedTuple):
    """A checked convolution over one, two or three axes, whichever of its three products is wanted."""

    name: str  # of the argument that gave the input's shape
    layout: str
    input: Image
    oc: int
    groups: int
    kernel: Ints
    stride: Ints
    dilation: Ints
    pad_begin: Ints
    pad_end: Ints

    @property
    def padding(self) -> tuple[Pair, ...]:
        """The padding as (before, after) for each axis."""
        return by_axis(self.pad_begin, self.pad_end)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """The weights' shape in the layout."""
        ic = self.input.channels // self.groups
        return (self.oc, ic, *self.kernel) if self.layout == "NCHW" else (*self.kernel, ic, self.oc)


def weight_extents(
    name: str, shape: tuple[int, ...], layout: str, axes: int, transposed: bool = False
) -> tuple[int, int, Ints]:
    """Return what the weights' shape says: output channels, input channels of a group (or the reverse), and kernel."""
    whole, part = ("i", "o") if transposed else ("o", "i")
    order = (whole, part, *AXES[axes]) if layout == "NCHW" else (*AXES[axes], part, whole)
    letters = f"({', '.join(order)})"
    if len(shape) != axes + 2:
        wrong(name, f"{axes + 2} axes {letters}", f"shape {shape}")
    if min(shape) < 1:
        wrong(name, f"{letters} with every extent at least 1", f"shape {shape}")
    return (shape[0], shape[1], shape[2:]) if layout == "NCHW" else (shape[-1], shape[-2], shape[:-2])


def conv(
    axes: int,
    input_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    stride: object,
    padding: object,
    dilation: object,
    groups: object,
    layout: object,
    *,
    names: tuple[str, str] = ("input", "weight"),
) -> Conv:
    """Check shapes and options of a convolution over so many spatial axes."""
    first, second = names
    layout = layout_of(layout)
    picture = image(first, input_shape, layout, axes)
    oc, ic, kernel = weight_extents(second, weight_shape, layout, axes)
    strides, dilations = per_axis("stride", stride, 1, axes), per_axis("dilation", dilation, 1, axes)
    count = integer("groups", groups, 1)
    if picture.channels % count or oc % count:
        wrong("groups", f"a divisor of the {picture.channels} input and {oc} output channels", groups)
    if ic * count != picture.channels:
        per_group = f"{picture.channels} channels of {first}" + (f" / {count} groups" if count > 1 else "")
        wrong(second, f"{picture.channels // count} input channels ({per_group})", f"{ic} in shape {weight_shape}")
    begin, end = padding_of(padding, picture.spatial, kernel, strides, dilations)
    return Conv(first, layout, picture, oc, count, kernel, strides, dilations, begin, end)


def conv_transpose(
    axes: int,
    input_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    stride: object,
    padding: object,
    output_padding: object,
    groups: object,
    dilation: object,
    layout: object,
    *,
    names: tuple[str, str] = ("input", "weight"),
) -> tuple[Conv, Ints]:
    """Check a transposed convolution; return the ordinary one whose input's gradient it is.

    Also how many zeros the input wants at the end of each axis: output padding of a stride or more, which torch allows
    up to the dilation, is what further windows with nothing in them would write.
    """
    first, second = names
    layout = layout_of(layout)
    picture = image(first, input_shape, layout, axes)
    ic, oc, kernel = weight_extents(second, weight_shape, layout, axes, transposed=True)
    strides, dilations = per_axis("stride", stride, 1, axes), per_axis("dilation", dilation, 1, axes)
    count = integer("groups", groups, 1)
    if picture.channels % count:
        wrong("groups", f"a divisor of the {picture.channels} input channels", groups)
    if ic != picture.channels:
        wrong(second, f"{picture.channels} input channels, as {first} has", f"{ic} in shape {weight_shape}")
    extra = per_axis("output_padding", output_padding, 0, axes)
    for value, s, d in zip(extra, strides, dilations, strict=True):
        if value >= max(s, d):
            wrong("output_padding", f"less than the stride ({s}) or the dilation ({d})", output_padding)
    if isinstance(padding, str) and any(extra):
        wrong("output_padding", f"0 with padding={padding!r}", output_padding)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    full = [(i - 1) * s for i, s in zip(picture.spatial, strides, strict=True)]
    if isinstance(padding, str):
        same = padding in ("same", "same_lower")
        dst = [f + (s if same else max(r, s)) for f, s, r in zip(full, strides, reach, strict=True)]
        begin, end = padding_of(padding, tuple(dst), kernel, strides, dilations)
    else:
        begin, end = padding_of(padding, picture.spatial, kernel, strides, dilations)
        dst = [f - b - e + r + x for f, b, e, r, x in zip(full, begin, end, reach, extra, strict=True)]
    if min(dst) < 1:
        wrong("padding", f"less than what is there to cut off {first}'s windows", f"{padding}, which leaves {dst}")
    if max(dst) > LARGEST:
        wrong(first, "sizes of less than 63 bits", f"a result of extents {dst}")
    result = Image(picture.lead, oc * count, tuple(dst))
    made = Conv(first, layout, result, ic, count, kernel, strides, dilations, begin, end)
    return made, tuple(value // s for value, s in zip(extra, strides, strict=True))


def lengthened(x: Array, layout: str, longer: Ints) -> Array:
    """Append zeros to the spatial axes of images."""
    if not any(longer):
        return x
    widths = [(0, 0)] * x.ndim
    for axis, more in zip(spatial_axes(x.ndim, layout, len(longer)), longer, strict=True):
        widths[axis] = (0, more)
    return np.pad(x, widths)


def plan_conv(
    conv: Conv,
    direction: int,
    dtype: np.dtype[Any],
    *,
    algorithm: object = "auto",
    activation: object = None,
) -> _core.ConvPlan:
    """Return a plan that packs its weights for each run."""
    plan = _core.ConvPlan()
    describe(plan, conv, direction, dtype, _core.ONCE, algorithm, activation)
    return plan


def describe(
    plan: _core.ConvPlan,
    conv: Conv,
    direction: int,
    dtype: np.dtype[Any],
    reuse: int,
    algorithm: object,
    activation: object,
) -> None:
    """Describe a checked convolution to the engine, or say why it cannot be."""
    chosen = choice("algorithm", algorithm, _core.ALGORITHMS)
    kind, alpha, beta = ACTIVATIONS[activation_name(activation)]
    status = plan.describe(
        direction=direction,
        algorithm=_core.ALGORITHMS[chosen],
        reuse=reuse,
        double_precision=dtype == FLOAT64,
        layout=_core.LAYOUTS[conv.layout],
        activation=kind,
        alpha=alpha,
        beta=beta,
        ic=conv.input.channels,
        oc=conv.oc,
        groups=conv.groups,
        src=conv.input.spatial,
        kernel=conv.kernel,
        stride=conv.stride,
        dilation=conv.dilation,
        pad_begin=conv.pad_begin,
        pad_end=conv.pad_end,
    )
    if status == _core.UNSUPPORTED:
        others = [name for name in _core.ALGORITHMS if name != chosen]
        possible = [name for name in others if can_describe(conv, direction, dtype, reuse, name)]
        wrong("algorithm", f"one that serves this convolution ({', '.join(map(repr, possible))})", repr(chosen))
    refuse(status, conv)


def can_describe(conv: Conv, direction: int, dtype: np.dtype[Any], reuse: int, algorithm: str) -> bool:
    """Whether an algorithm serves a convolution."""
    try:
        describe(_core.ConvPlan(), conv, direction, dtype, reuse, algorithm, None)
    except ValueError:
        return False
    return True


def refuse(status: int, made: Conv | Pool) -> None:
    """Turn the status of a plan into the error that says what does not fit; return when it is OK."""
    if status == _core.OK:
        return
    padded = tuple(map(sum, zip(made.input.spatial, made.pad_begin, made.pad_end, strict=True)))
    reach = tuple((k - 1) * d + 1 for k, d in zip(made.kernel, made.dilation, strict=True))
    if status == _core.EMPTY_OUTPUT or any(r > p for r, p in zip(reach, padded, strict=True)):
        least = f"padded extents of at least the kernel's {' x '.join(map(str, reach))}"
        wrong(made.name, least, " x ".join(map(str, padded)))
    if status == _core.OVERFLOW:
        if isinstance(made, Conv) and math.prod(made.stride) > MOST_PHASES:
            wrong("stride", f"a product over the axes of at most {MOST_PHASES}, one convolution each", made.stride)
        wrong(made.name, "sizes whose products fit 63 bits", f"extents {padded} with padding, kernel {made.kernel}")
    raise RuntimeError(f"the engine refused a checked description: status {status}")
