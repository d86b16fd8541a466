"""Batch normalisation and its gradient."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from fastconv import _arguments
from fastconv.cuda import arrays
from fastconv.cuda.arrays import Operand
from fastconv.cuda.kernels import norm as kernels
from fastconv.cuda.primitives import LANES, divisor

MOST = 2**31 - 4  # elements of one launch
PART = 8192  # elements of a part of a channel at least
PARTS = 64


class Channels(NamedTuple):
    """An array as channels of elements."""

    last: bool
    images: int
    channels: int
    pixels: int

    @property
    def values(self) -> int:
        """Elements of one channel."""
        return self.images * self.pixels

    @property
    def steps(self) -> tuple[int, int, int]:
        """From image to image, pixel to pixel, channel to channel."""
        each = self.channels * self.pixels
        return (each, self.channels, 1) if self.last else (each, 1, self.pixels)


def channels_of(x: Operand, layout: object) -> Channels:
    """Take an array of at least two axes apart."""
    order = _arguments.layout_of(layout)
    if len(x.shape) < 2:
        axes = "(n, c, ...)" if order == "NCHW" else "(n, ..., c)"
        _arguments.wrong("input", f"at least 2 axes {axes}", f"shape {x.shape}")
    arrays.dense(x)
    spatial = x.shape[2:] if order == "NCHW" else x.shape[1:-1]
    return Channels(order == "NHWC", x.shape[0], x.shape[1 if order == "NCHW" else -1], math.prod(spatial))


def batch_norm(
    input: Any, running_mean: Any, running_var: Any, weight: Any, bias: Any, training: object, momentum: object,
    eps: object, layout: object, out: Any, unbiased: bool = True,
) -> Any:  # fmt: skip
    """Normalise each channel; the arguments are functional's, and whether the variance that is kept is unbiased."""
    x = arrays.operand("input", input)
    form = channels_of(x, layout)
    own, rate, number = _told(form, x, training, momentum, eps)
    vectors = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    found = {name: arrays.vector(name, value, form.channels) for name, value in vectors.items()}
    arrays.same_dtype(x, *found.values())
    stream = arrays.stream_of(input)
    y = arrays.result(x.shape, x, stream, out, [x, *(each for each in found.values() if each is not None)])
    arrays.dense(y)
    arrays.join(stream, x, y, *(each for each in found.values() if each is not None))
    if x.size == 0:
        return y.array
    moments = statistics(form, x, found["running_mean"], found["running_var"], own, rate if own else None, stream,
                         unbiased)  # fmt: skip
    table = arrays.pooled((4 * form.channels,), "f8", stream)
    kernel = kernels.factors(x.dtype, False)
    w, b = found["weight"], found["bias"]
    kernel.launch(
        -(-form.channels // kernel.threads), stream, moments, moments, _flat(w, x), _flat(b, x), table, x.flat, x.flat,
        form.channels, 0, form.values, number, int(w is not None), int(b is not None), 0,
    )  # fmt: skip
    apply(form, x, None, table, y, stream)
    return y.array


def batch_norm_backward(
    input: Any, grad_output: Any, running_mean: Any, running_var: Any, weight: Any, training: object, eps: object,
    layout: object, out: Any, into: Any = (None, None),
) -> tuple[Any, Any, Any]:  # fmt: skip
    """Return the gradients of input, weight and bias, the latter in `into`; the arguments else are grad's."""
    x, g = arrays.operand("input", input), arrays.operand("grad_output", grad_output)
    form = channels_of(x, layout)
    own, _, number = _told(form, x, training, 0.0, eps)
    vectors = {"running_mean": running_mean, "running_var": running_var, "weight": weight}
    found = {name: arrays.vector(name, value, form.channels) for name, value in vectors.items()}
    arrays.same_dtype(x, g, *found.values())
    if g.shape != x.shape:
        _arguments.wrong("grad_output", f"shape {x.shape}", f"shape {g.shape}")
    arrays.dense(g)
    stream = arrays.stream_of(input)
    others = [each for each in found.values() if each is not None]
    dx = arrays.result(x.shape, x, stream, out, [x, g, *others])
    arrays.dense(dx)
    dweight, dbias = (arrays.result((form.channels,), x, stream, each, [x, g]) for each in into)
    arrays.join(stream, x, g, dx, *others)
    moments = statistics(form, x, found["running_mean"], found["running_var"], own, None, stream)
    parts, partial = sums(form, x, g, moments, stream)
    table = arrays.pooled((4 * form.channels,), "f8", stream)
    w = found["weight"]
    kernel = kernels.factors(x.dtype, True)
    kernel.launch(
        -(-form.channels // kernel.threads), stream, moments, partial, _flat(w, x), x.flat, table, dweight.flat,
        dbias.flat, form.channels, parts, max(form.values, 1), number, int(w is not None), 0, int(not own),
    )  # fmt: skip
    apply(form, x, g, table, dx, stream)
    return dx.array, dweight.array, dbias.array


def _told(
    form: Channels, x: Operand, training: object, momentum: object, eps: object
) -> tuple[bool, float, float]:  # fmt: skip
    own = _arguments.flag("training", training)
    if own and form.values == 1:
        _arguments.wrong("input", "more than 1 value per channel when training", f"shape {x.shape}")
    return own, _arguments.number("momentum", momentum), _arguments.number("eps", eps)


def _flat(vector: Operand | None, instead: Operand) -> Any:
    return instead.flat if vector is None else vector.flat


def statistics(
    form: Channels, x: Operand, mean: Operand | None, var: Operand | None, own: bool, momentum: float | None,
    stream: Any, unbiased: bool = True,
) -> Any:  # fmt: skip
    """Return means and variances, (2, channels) in double; with a momentum the running ones are moved."""
    moments = arrays.pooled((2 * form.channels,), "f8", stream)
    if not own:
        for name, vector in (("running_mean", mean), ("running_var", var)):
            if vector is None:
                expected = f"an array ({form.channels},) unless the input's own statistics are used"
                _arguments.wrong(name, expected, None)
        assert mean is not None
        assert var is not None
        kernel = kernels.given(x.dtype)
        kernel.launch(-(-form.channels // kernel.threads), stream, mean.flat, var.flat, moments, form.channels)
        return moments
    parts, partial = sums(form, x, None, moments, stream)
    kernel = kernels.moments(x.dtype)
    moving = momentum is not None
    kernel.launch(
        -(-form.channels // kernel.threads), stream, x.flat, partial, moments, _flat(mean, x), _flat(var, x),
        form.channels, parts, max(form.values, 1), form.steps[2], momentum or 0.0,
        int(moving and mean is not None), (1 if unbiased else 2) * int(moving and var is not None),
    )  # fmt: skip
    return moments


def sums(form: Channels, x: Operand, g: Operand | None, moments: Any, stream: Any) -> tuple[int, Any]:
    """Return the number of parts and each part's two sums for each channel."""
    if form.values > MOST:
        _arguments.wrong("input", f"at most {MOST} values per channel on a GPU", f"{form.values}")
    parts = max(min(-(-form.values // PART), PARTS), 1)
    partial = arrays.pooled((parts * form.channels * 2,), "f8", stream)
    kernel = kernels.sums(x.dtype, form.last, g is not None)
    across = kernel.threads // kernels.STRANDS[form.last]
    kernel.launch(
        (-(-form.channels // across), parts), stream, x.flat, _flat(g, x), moments, partial, form.channels, form.values,
        -(-form.values // parts), form.pixels, *divisor(max(form.pixels, 1)), *form.steps,
    )  # fmt: skip
    return parts, partial


def apply(form: Channels, x: Operand, g: Operand | None, table: Any, y: Operand, stream: Any) -> None:
    """Compute all elements, some images at a time."""
    each = form.channels * form.pixels
    lanes = LANES[x.dtype]
    kernel = kernels.apply(x.dtype, g is not None)
    together = max(MOST // max(each, 1), 1)
    between = each if together < form.images else 0
    whole = all(one.aligned(between) for one in (x, y, g) if one is not None)
    inner = 1 if form.last else form.pixels
    for first in range(0, form.images, together):
        count = min(together, form.images - first) * each
        blocks = -(-count // (kernel.threads * lanes))
        kernel.launch(
            blocks, stream, x.flat, _flat(g, x), table, y.flat, count, first * each, int(whole), form.channels,
            *divisor(max(inner, 1)), *divisor(form.channels),
        )  # fmt: skip
