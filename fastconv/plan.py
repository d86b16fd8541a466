"""A convolution that is planned once, with its weights packed, and called many times."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, final

import numpy as np

from fastconv import _arguments, _core

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastconv._arguments import Algorithm, Array, Layout, Padding, Pair

__all__ = ["Conv2dPlan", "plan_conv2d"]

REASONS = {
    "channel": "vectors run along output channels, a pixel's value is broadcast: for many channels",
    "plane": "vectors run along pixels, a weight is broadcast: for few channels and for NCHW",
    "filter": "vectors run along pixels, of several rows of outputs that share their input: for one channel",
    "depthwise": "every channel has filters of its own: groups == channels",
    "winograd": "tiles are transformed, multiplied channel by channel, and transformed back",
}


@final
class Conv2dPlan(_core.ConvPlan):
    """A convolution with packed weights, ready to be called; made by plan_conv2d.

    ``plan(x, out=None)`` takes images of the planned channels, extents, layout and dtype, any number of them or one
    without a batch axis, and returns what ``functional.conv2d`` would. The weights were copied, so that later changes
    to the array do not show. Any number of threads may call a plan at once.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv
    >>> plan = fastconv.plan_conv2d((1, 3, 8, 8), np.ones((4, 3, 3, 3), np.float32), activation="relu")
    >>> plan(np.ones((2, 3, 8, 8), np.float32)).shape
    (2, 4, 6, 6)
    >>> plan.algorithm in ("direct", "im2col", "winograd")
    True
    >>> print(plan.explain().splitlines()[0].partition(", kernel")[0])
    conv2d (1, 3, 8, 8) -> (1, 4, 6, 6), NCHW, float32
    """

    _conv: _arguments.Conv
    _dtype: np.dtype[Any]
    _images: int
    _asked: str
    _activation: str | None
    _has_bias: bool

    def general(self, x: object, out: object) -> Array:
        """Serve arrays that are not contiguous, aligned and native, or say what is wrong with them."""
        array = _arguments.real("x", x)
        if array.dtype.newbyteorder("=") != self._dtype:
            _arguments.wrong("x", f"the plan's dtype {self._dtype.name}", array.dtype.name, TypeError)
        conv = self._conv
        tail = conv.input._replace(lead=()).shape(conv.layout, conv.input.channels, conv.input.spatial)
        if array.ndim not in (3, 4) or array.shape[-3:] != tail:
            _arguments.wrong("x", f"shape {tail}, or (n, {str(tail)[1:]}", f"shape {array.shape}")
        if out is not None:
            shape = conv.input._replace(lead=array.shape[:-3]).shape(conv.layout, conv.oc, self.dst)
            out = _arguments.output(out, shape, self._dtype, [("x", x)])
        plain = _arguments.plain("x", array)
        result = self.execute(plain, out)
        return _arguments.delivered(self.execute(plain, None) if result is None else result, out)

    @property
    def algorithm(self) -> str:
        """The algorithm that was chosen: "direct", "im2col" or "winograd"."""
        return str(self.chosen["algorithm"])

    @property
    def isa(self) -> str:
        """The instruction set that the weights are packed for."""
        return str(self.chosen["isa"])

    @property
    def workspace_bytes(self) -> int:
        """Memory that a call borrows, for the planned number of images and today's number of threads."""
        return self.workspace(self._images, _core.get_threads())

    @property
    def flops(self) -> float:
        """Floating-point operations of a call on the planned number of images, two for a multiply-add."""
        return float(self.chosen["flops"]) * self._images

    def explain(self) -> str:
        """Return what was chosen and why: algorithm, kernel, tile, bytes, and the roofline.

        The first call measures the processor's peak and its memory, for some hundredths of a second.
        """
        from fastconv import _machine  # needed here alone, and it must not slow the import

        conv, facts = self._conv, self.chosen
        n, item = self._images, self._dtype.itemsize
        lead = self._conv.input._replace(lead=(n,))
        src = lead.shape(conv.layout, conv.input.channels, conv.input.spatial)
        dst = lead.shape(conv.layout, conv.oc, self.dst)
        moved = item * sum(map(math.prod, (src, dst, conv.weight_shape)))
        why = "as asked for" if self._asked != "auto" else "the choice for this shape"
        rows, vectors, lanes = facts["rows"], facts["vectors"], facts["lanes"]
        roof = _machine.Roofline(self.flops, moved, self._dtype.itemsize == 8, _core.ISAS[facts["isa"]])
        ending = " + ".join(["bias"] * self._has_bias + [self._activation or ""]).strip(" +")
        return "\n".join(
            [
                f"conv2d {src} -> {dst}, {conv.layout}, {facts['dtype']}, "
                f"kernel {conv.kernel}, stride {conv.stride}, dilation {conv.dilation}, groups {conv.groups}, "
                f"padding {conv.padding}" + (f", then {ending}" if ending else ""),
                f"algorithm  {facts['algorithm']}, {why}",
                f"kernel     {facts['family']}: {REASONS[facts['family']]}"
                + (f"; on images turned to NHWC, {facts['turned']} at a time" if facts["turned"] else ""),
                f"tile       {rows} x {vectors * lanes} accumulators: {rows} rows of {vectors} vectors of {lanes}",
                f"isa        {facts['isa']}",
                f"memory     {facts['packed_bytes']:,} bytes of packed weights, {self.workspace_bytes:,} of workspace",
                f"roofline   {self.flops:,.0f} flop / {moved:,} bytes = {self.flops / moved:.1f} flop per byte; "
                f"one core: {roof.peak / 1e9:.0f} GFLOP/s, copies {roof.copy / 1e9:.0f} GB/s, so at least "
                f"{round(roof.seconds * 1e6, 1):,} us, bound by {roof.bound}",
            ]
        )

    def __repr__(self) -> str:
        return f"<Conv2dPlan: {self.explain().splitlines()[0]}>"


def plan_conv2d(
    input_shape: Sequence[int],
    weight: Array,
    bias: Array | None = None,
    stride: int | Pair = 1,
    padding: Padding = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
    *,
    layout: Layout = "NCHW",
    activation: str | None = None,
    algorithm: Algorithm = "auto",
) -> Conv2dPlan:
    """Plan a convolution for many calls: choose the algorithm, pack the weights.

    Parameters
    ----------
    input_shape : (n, c, h, w) or (c, h, w)
        What calls will bring, in the layout; n is a hint, a plan serves any.
    weight, bias, stride, padding, dilation, groups, layout, activation, algorithm
        As in functional.conv2d; the plan's dtype is the weights'.

    Returns
    -------
    Conv2dPlan
        Called as ``plan(x, out=None)``; bound to the instruction set of now.

    Raises
    ------
    TypeError, ValueError
        As in functional.conv2d.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv
    >>> image = np.repeat(np.float32([[10, 10, 10, 0, 0, 0]]), 6, axis=0)[None]
    >>> edge = np.repeat(np.float32([[1, 0, -1]]), 3, axis=0)[None, None]
    >>> plan = fastconv.plan_conv2d((1, 6, 6), edge)
    >>> plan(image)[0, 0]
    array([ 0., 30., 30.,  0.], dtype=float32)
    >>> plan.flops
    288.0
    """
    w = _arguments.strided("weight", weight)
    shape = _arguments.sizes("input_shape", input_shape, (3, 4))
    conv = _arguments.conv(
        2, shape, w.shape, stride, padding, dilation, groups, layout, names=("input_shape", "weight")
    )
    b = _arguments.vector("bias", bias, conv.oc)
    _arguments.same_dtype("weight", w, ("bias", b))
    plan = Conv2dPlan()
    _arguments.describe(plan, conv, _core.FORWARD, w.dtype, _core.MANY, algorithm, activation)
    plan._conv, plan._dtype, plan._asked = conv, w.dtype, algorithm
    plan._images = conv.input.lead[0] if conv.input.lead else 1
    plan._activation, plan._has_bias = activation, b is not None
    if not plan.pack(w, b):
        raise RuntimeError("the engine refused checked weights")
    return plan
