"""Convolutions, transposed ones, and their gradients: which strides and taps the matrix product runs over.

An array of images is (n, c, z, y, x) whatever its layout, with strides to match; a missing spatial axis has extent 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastconv import _arguments, _core, runtime
from fastconv.cuda import arrays
from fastconv.cuda.arrays import DTYPES, Operand
from fastconv.cuda.kernels import reduction
from fastconv.cuda.operators import depthwise, product
from fastconv.cuda.operators.product import Digit, Phase, Product, Term
from fastconv.cuda.primitives import divisor

Ints = tuple[int, ...]
SPATIAL = 3


class Images(NamedTuple):
    """Strides and extents of a batch of images, or of filters with (o, i) for (n, c)."""

    batch: int
    channels: int
    spatial: Ints
    n: int  # strides, in elements
    c: int
    steps: Ints


def images(operand: Operand, axes: int, layout: str, filters: bool = False) -> Images:
    """Read an operand's shape and strides in a layout; filters are (o, i, …) or (…, i, o)."""
    shape, strides = operand.shape, operand.strides
    if len(shape) == axes + 1:
        shape, strides = (1, *shape), (operand.size, *strides)
    pairs = list(zip(shape, strides, strict=True))
    if layout == "NCHW":
        first, second, rest = pairs[0], pairs[1], pairs[2:]
    elif filters:
        first, second, rest = pairs[-1], pairs[-2], pairs[:-2]
    else:
        first, second, rest = pairs[0], pairs[-1], pairs[1:-1]
    rest = [(1, 0)] * (SPATIAL - axes) + rest
    return Images(first[0], second[0], tuple(e for e, _ in rest), first[1], second[1], tuple(s for _, s in rest))


def three(values: Ints, fill: int) -> Ints:
    """Return one number for each of (z, y, x)."""
    return (fill,) * (SPATIAL - len(values)) + values


def terms(channels: int, src: int, weight: int, taps: list[Term], channels_fastest: bool) -> tuple[Term, ...]:
    """Return the terms of a sum over taps and channels, in the order in which memory is read."""
    over = Term(tuple(c * src for c in range(channels)), tuple(c * weight for c in range(channels)))
    return (*taps, over) if channels_fastest else (over, *taps)


def forward_product(conv: _arguments.Conv, x: Images, w: Images, y: Images) -> Product:
    """Describe a convolution."""
    kernel, stride = three(conv.kernel, 1), three(conv.stride, 1)
    dilation, begin = three(conv.dilation, 1), three(conv.pad_begin, 0)
    inputs, outputs = x.channels // conv.groups, y.channels // conv.groups
    inside = math.prod(kernel) == 1 and not any(conv.pad_begin) and not any(conv.pad_end)
    digits = [
        Digit(y.spatial[axis], stride[axis] * x.steps[axis], y.steps[axis], -1 if inside else axis, stride[axis])
        for axis in (2, 1, 0)
    ]
    if inside:
        digits = [digit._replace(step=0) for digit in digits]
        digits = merged(digits)
    taps = [
        Term(
            tuple(k * dilation[axis] * x.steps[axis] for k in range(kernel[axis])),
            tuple(k * w.steps[axis] for k in range(kernel[axis])),
            axis,
            tuple(k * dilation[axis] for k in range(kernel[axis])),
        )
        for axis in range(SPATIAL)
        if kernel[axis] > 1 or begin[axis]
    ]
    if inside:
        taps = []
    origin = (0, 0, 0) if inside else tuple(-b for b in begin)
    # A row's base is its first tap's place, before the padding is taken off; offsets may be negative, places are not.
    taps = [shifted(term, -begin[term.axis] * x.steps[term.axis]) for term in taps]
    phase = Phase(
        (*digits, Digit(y.batch, x.n, y.n)),
        terms(inputs, x.c, w.c, taps, x.c < max(x.steps[2], 1) or x.c == 1),
        origin,  # type: ignore[arg-type]
    )
    return Product(
        (phase,), outputs, conv.groups, (1, 1, 1) if inside else x.spatial,  # type: ignore[arg-type]
        inputs * x.c, outputs * w.n, outputs * y.c, w.n, y.c,
    )  # fmt: skip


def shifted(term: Term, by: int) -> Term:
    """Return a term whose places in src are moved."""
    return term._replace(src=tuple(place + by for place in term.src))


def merged(digits: list[Digit]) -> list[Digit]:
    """Join digits that continue each other in both arrays, so that vectors run over their ends."""
    made = [digits[0]]
    for digit in digits[1:]:
        last = made[-1]
        if digit.extent == 1:
            continue
        if last.extent == 1:
            made[-1] = digit
        elif (digit.src, digit.dst) == (last.extent * last.src, last.extent * last.dst):
            made[-1] = last._replace(extent=last.extent * digit.extent)
        else:
            made.append(digit)
    return made


def input_product(conv: _arguments.Conv, g: Images, w: Images, dx: Images) -> Product:
    """Describe the gradient of the input: a convolution of the gradient for each phase of the stride.

    Position i of the input meets tap k at output (i + begin - k dilation) / stride, where that is whole.
    """
    kernel, stride = three(conv.kernel, 1), three(conv.stride, 1)
    dilation, begin = three(conv.dilation, 1), three(conv.pad_begin, 0)
    inputs, outputs = dx.channels // conv.groups, g.channels // conv.groups
    inside = math.prod(kernel) == math.prod(stride) == 1 and g.spatial == dx.spatial and not any(begin)
    phases = []
    for number in np.ndindex(*stride):
        digits, taps = [], []
        for axis in range(SPATIAL):
            s, residue = stride[axis], number[axis]
            meets = [k for k in range(kernel[axis]) if (residue + begin[axis] - k * dilation[axis]) % s == 0]
            moves = tuple((residue + begin[axis] - k * dilation[axis]) // s for k in meets)
            count = max(-(-(dx.spatial[axis] - residue) // s), 0)
            digits.append(Digit(count, g.steps[axis], s * dx.steps[axis], axis, 1))
            places = tuple(move * g.steps[axis] for move in moves)
            taps.append(Term(places, tuple(k * w.steps[axis] for k in meets), axis, moves))
        if math.prod(digit.extent for digit in digits) == 0:
            continue
        start = sum(residue * step for residue, step in zip(number, dx.steps, strict=True))
        needed = [term for term in taps if (term.move, term.weight) != ((0,), (0,))]
        if inside:
            digits = merged([digit._replace(axis=-1, step=0) for digit in digits[::-1]])[::-1]
        phases.append(
            Phase(
                (*digits[::-1], Digit(dx.batch, g.n, dx.n)),
                terms(outputs, g.c, w.n, needed, g.c == 1 or g.c < max(g.steps[2], 1)),
                dst_origin=start,
            )
        )
    return Product(
        tuple(phases), inputs, conv.groups, (1, 1, 1) if inside else g.spatial,  # type: ignore[arg-type]
        outputs * g.c, outputs * w.n, inputs * dx.c, w.c, dx.c,
    )  # fmt: skip


def weight_product(conv: _arguments.Conv, x: Images, g: Images, dw: Images) -> Product:
    """Describe the gradient of the weights: rows are (channel, tap), products are output positions of all images."""
    kernel, stride = three(conv.kernel, 1), three(conv.stride, 1)
    dilation, begin = three(conv.dilation, 1), three(conv.pad_begin, 0)
    inputs, outputs = x.channels // conv.groups, g.channels // conv.groups
    inside = not any(conv.pad_begin) and not any(conv.pad_end)
    digits = [
        Digit(kernel[axis], dilation[axis] * x.steps[axis], dw.steps[axis], axis, dilation[axis]) for axis in (2, 1, 0)
    ]
    over = Digit(inputs, x.c, dw.c)
    by_channel = dw.c == 1 or (x.c == 1 and dw.c < max(dw.steps[2], 1))
    products = []
    for axis in range(SPATIAL):
        count = g.spatial[axis]
        moves = tuple(o * stride[axis] - begin[axis] for o in range(count))
        places = tuple(move * x.steps[axis] for move in moves)
        products.append(Term(places, tuple(o * g.steps[axis] for o in range(count)), axis, moves))
    if inside:  # no window leaves the image, and no position need be compared
        digits = [digit._replace(axis=-1, step=0) for digit in digits]
        products = [term._replace(axis=-1, move=()) for term in products]
    phase = Phase((over, *digits) if by_channel or x.c == 1 else (*digits, over), tuple(products))
    return Product(
        (phase,), outputs, conv.groups, (1, 1, 1) if inside else x.spatial,  # type: ignore[arg-type]
        inputs * x.c, outputs * g.c, outputs * dw.n, g.c, dw.n,
        images=x.batch, src_image=x.n, weight_image=g.n,
    )  # fmt: skip


# ---- what functional and grad hand over ---------------------------------------------------------------------------


def conv(axes: int, input: Any, weight: Any, bias: Any, options: tuple[Any, ...], padding_mode: Any, out: Any) -> Any:
    """Convolve; the arguments are functional's."""
    stride, padding, dilation, groups, layout, activation, algorithm = options
    x, w = arrays.operand("input", input), arrays.operand("weight", weight)
    made = _arguments.conv(axes, x.shape, w.shape, stride, padding, dilation, groups, layout)
    b = arrays.vector("bias", bias, made.oc)
    arrays.same_dtype(x, w, b)
    rounds = serves(algorithm) == "auto" and runtime.get_precision() == "medium"
    mode = _arguments.choice("padding_mode", padding_mode, ("zeros", *_arguments.PAD_MODES))
    if mode != "zeros":
        _arguments.wrong("padding_mode", "'zeros' for an array on a GPU", mode)
    end = ending(activation)
    extents = _arguments.plan_conv(made, _core.FORWARD, DTYPES[x.dtype]).dst
    stream = arrays.stream_of(input)
    given = [each for each in (x, w, b) if each is not None]
    y = arrays.result(made.input.shape(made.layout, made.oc, extents), x, stream, out, given)
    arrays.join(stream, *given, y)
    described = forward_product(
        made, images(x, axes, made.layout), images(w, axes, made.layout, filters=True), images(y, axes, made.layout)
    )
    launch(made, described, x, w, b, y, stream, end, inner(y, axes, made.layout), rounds)
    return y.array


def conv_input(
    axes: int, input_size: Sequence[int], weight: Any, grad_output: Any, options: tuple[Any, ...], out: Any
) -> Any:
    """Return the gradient of the input; the arguments are grad's."""
    g, w = arrays.operand("grad_output", grad_output), arrays.operand("weight", weight)
    size = _arguments.sizes("input_size", input_size, (axes + 1, axes + 2))
    made = _arguments.conv(axes, size, w.shape, *options, names=("input_size", "weight"))
    arrays.same_dtype(w, g)
    expect_gradient(made, g)
    stream = arrays.stream_of(grad_output)
    dx = arrays.result(size, g, stream, out, [g, w])
    arrays.join(stream, g, w, dx)
    described = input_product(
        made, images(g, axes, made.layout), images(w, axes, made.layout, filters=True), images(dx, axes, made.layout)
    )
    launch(made, described, g, w, None, dx, stream)
    return dx.array


def conv_weight(
    axes: int, input: Any, weight_size: Sequence[int], grad_output: Any, options: tuple[Any, ...], out: Any
) -> Any:
    """Return the gradient of the weights, the same bits each time; the arguments are grad's."""
    x, g = arrays.operand("input", input), arrays.operand("grad_output", grad_output)
    size = _arguments.sizes("weight_size", weight_size, (axes + 2,))
    made = _arguments.conv(axes, x.shape, size, *options, names=("input", "weight_size"))
    arrays.same_dtype(x, g)
    expect_gradient(made, g)
    stream = arrays.stream_of(input)
    dw = arrays.result(size, x, stream, out, [x, g])
    arrays.join(stream, x, g, dw)
    launch_weight(made, axes, x, g, dw, stream)
    return dw.array


def conv_bias(axes: int, grad_output: Any, layout: Any, out: Any) -> Any:
    """Sum over everything but channels, in a fixed order."""
    g = arrays.operand("grad_output", grad_output)
    order = _arguments.layout_of(layout)
    channels = _arguments.image("grad_output", g.shape, order, axes).channels
    arrays.dense(g)
    stream = arrays.stream_of(grad_output)
    db = arrays.result((channels,), g, stream, out, [g])
    arrays.dense(db)
    arrays.join(stream, g, db)
    count = g.size // channels
    inner = math.prod(g.shape[-axes:]) if order == "NCHW" else 1
    steps = (channels * inner, 1, inner) if order == "NCHW" else (channels, 1, 1)
    parts = max(min(-(-count // 4096), 64), 1)
    kernel = reduction.channels(g.dtype)
    partial = db.flat if parts == 1 else arrays.pooled((parts * channels,), g.dtype, stream)
    length = -(-count // parts)
    kernel.launch((channels, parts), stream, g.flat, partial, count, length, *divisor(inner), inner, *steps)
    if parts > 1:
        product.add_splits(partial, parts, None, db, stream)
    return db.array


def is_depthwise(made: _arguments.Conv) -> bool:
    """Whether each channel has one filter of its own."""
    return made.groups > 1 and made.groups == made.input.channels == made.oc


def launch(
    made: _arguments.Conv, described: Product, src: Operand, weights: Operand, bias: Operand | None, dst: Operand,
    stream: Any, end: tuple[str, float, float] = ("linear", 0.0, 0.0), bias_inner: int = 1,
    tensor: bool = False,
) -> None:  # fmt: skip
    """Run a product by the kernels that suit it; `tensor` allows tensor cores, which round the operands to TF32."""
    if is_depthwise(made):
        taps = math.prod(made.kernel)
        depthwise.run(described, taps, src, weights, bias, dst, stream, activation=end)
    else:
        product.run(described, src, weights, bias, dst, stream, activation=end, bias_inner=bias_inner, tensor=tensor)


def launch_weight(made: _arguments.Conv, axes: int, x: Operand, g: Operand, dw: Operand, stream: Any) -> None:
    """Run the gradient of the weights by the kernels that suit it."""
    filters = images(dw, axes, made.layout, filters=True)
    source, results = images(x, axes, made.layout), images(g, axes, made.layout)
    if is_depthwise(made) and len(dw.flat) == dw.size:
        depthwise.run_weight(forward_product(made, source, filters, results), x, g, dw, stream)
    else:
        product.run(weight_product(made, source, results, filters), x, g, None, dw, stream)


def serves(algorithm: object) -> str:
    """Return the algorithm's name, and refuse those that there are no kernels for here."""
    name = _arguments.choice("algorithm", algorithm, _core.ALGORITHMS)
    if name == "winograd":
        _arguments.wrong("algorithm", "one that serves an array on a GPU ('auto', 'direct', 'im2col')", "winograd")
    return name


def ending(activation: object) -> tuple[str, float, float]:
    """Return an activation's name and parameters."""
    name = _arguments.activation_name(activation)
    return (name, *_arguments.ACTIVATIONS[name][1:])


def expect_gradient(made: _arguments.Conv, g: Operand) -> None:
    """Refuse a gradient that is not of the result's shape."""
    extents = _arguments.plan_conv(made, _core.FORWARD, DTYPES[g.dtype]).dst
    shape = made.input.shape(made.layout, made.oc, extents)
    if g.shape != shape:
        _arguments.wrong("grad_output", f"shape {shape}", f"shape {g.shape}")


def inner(y: Operand, axes: int, layout: str) -> int:
    """Return how many elements of a dense result lie between one channel and the next."""
    return max(images(y, axes, layout).c, 1)
