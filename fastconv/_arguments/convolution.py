"""Convolutions: shapes, options, and the plan that serves them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from fastconv import _core
from fastconv._arguments.arrays import FLOAT64
from fastconv._arguments.images import Image, by_axis, image, padding_of
from fastconv._arguments.values import ACTIVATIONS, Pair, activation_name, choice, integer, layout_of, pair, wrong

if TYPE_CHECKING:
    import numpy as np

    from fastconv._arguments.pooling import Pool2d

Algorithm = Literal["auto", "direct", "im2col", "winograd"]


class Conv2d(NamedTuple):
    """A checked 2-D convolution, whichever of its three products is wanted."""

    name: str  # of the argument that gave the input's shape
    layout: str
    input: Image
    oc: int
    groups: int
    kernel: Pair
    stride: Pair
    dilation: Pair
    pad_begin: Pair
    pad_end: Pair

    @property
    def padding(self) -> tuple[Pair, Pair]:
        """The padding as ((top, bottom), (left, right))."""
        return by_axis(self.pad_begin, self.pad_end)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """The weights' shape in the layout."""
        ic = self.input.channels // self.groups
        return (self.oc, ic, *self.kernel) if self.layout == "NCHW" else (*self.kernel, ic, self.oc)


def conv2d(
    input_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    stride: object,
    padding: object,
    dilation: object,
    groups: object,
    layout: object,
    *,
    names: tuple[str, str] = ("input", "weight"),
) -> Conv2d:
    """Check shapes and options of a convolution."""
    first, second = names
    layout = layout_of(layout)
    picture = image(first, input_shape, layout)
    letters = "(o, i, h, w)" if layout == "NCHW" else "(h, w, i, o)"
    if len(weight_shape) != 4:
        wrong(second, f"4 axes {letters}", f"shape {weight_shape}")
    if min(weight_shape) < 1:
        wrong(second, f"{letters} with every extent at least 1", f"shape {weight_shape}")
    order = (0, 1, 2, 3) if layout == "NCHW" else (3, 2, 0, 1)
    oc, ic, kh, kw = (weight_shape[axis] for axis in order)
    strides, dilations = pair("stride", stride, 1), pair("dilation", dilation, 1)
    count = integer("groups", groups, 1)
    if picture.channels % count or oc % count:
        wrong("groups", f"a divisor of the {picture.channels} input and {oc} output channels", groups)
    if ic * count != picture.channels:
        per_group = f"{picture.channels} channels of {first}" + (f" / {count} groups" if count > 1 else "")
        wrong(second, f"{picture.channels // count} input channels ({per_group})", f"{ic} in shape {weight_shape}")
    begin, end = padding_of(padding, picture.spatial, (kh, kw), strides, dilations)
    return Conv2d(first, layout, picture, oc, count, (kh, kw), strides, dilations, begin, end)


def plan_conv(
    conv: Conv2d,
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
    conv: Conv2d,
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


def can_describe(conv: Conv2d, direction: int, dtype: np.dtype[Any], reuse: int, algorithm: str) -> bool:
    """Whether an algorithm serves a convolution."""
    try:
        describe(_core.ConvPlan(), conv, direction, dtype, reuse, algorithm, None)
    except ValueError:
        return False
    return True


def refuse(status: int, made: Conv2d | Pool2d) -> None:
    """Turn the status of a plan into the error that says what does not fit; return when it is OK."""
    if status == _core.OK:
        return
    padded = tuple(map(sum, zip(made.input.spatial, made.pad_begin, made.pad_end, strict=True)))
    reach = tuple((k - 1) * d + 1 for k, d in zip(made.kernel, made.dilation, strict=True))
    if status == _core.EMPTY_OUTPUT or any(r > p for r, p in zip(reach, padded, strict=True)):
        least = f"padded extents of at least the kernel's {reach[0]} x {reach[1]}"
        wrong(made.name, least, f"{padded[0]} x {padded[1]}")
    if status == _core.OVERFLOW:
        wrong(made.name, "sizes whose products fit 63 bits", f"extents {padded} with padding, kernel {made.kernel}")
    raise RuntimeError(f"the engine refused a checked description: status {status}")
