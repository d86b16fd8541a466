"""Transposed convolutions and their gradients: each is one of the three products of the convolution the other way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastconv import _arguments
from fastconv.cuda import arrays
from fastconv.cuda.arrays import Operand
from fastconv.cuda.operators import convolution
from fastconv.cuda.operators.convolution import images


def conv_transpose(axes: int, input: Any, weight: Any, bias: Any, options: tuple[Any, ...], out: Any) -> Any:
    """Convolve the other way round; the arguments are functional's."""
    *numbers, activation, algorithm = options
    x, w = arrays.operand("input", input), arrays.operand("weight", weight)
    made, _ = _arguments.conv_transpose(axes, x.shape, w.shape, *numbers)
    b = arrays.vector("bias", bias, made.input.channels)
    arrays.same_dtype(x, w, b)
    convolution.serves(algorithm)
    end = convolution.ending(activation)
    stream = arrays.stream_of(input)
    given = [each for each in (x, w, b) if each is not None]
    y = arrays.result(made.input.shape(made.layout, made.input.channels, made.input.spatial), x, stream, out, given)
    arrays.join(stream, *given, y)
    described = convolution.input_product(
        made, images(x, axes, made.layout), images(w, axes, made.layout, filters=True), images(y, axes, made.layout)
    )
    convolution.launch(made, described, x, w, b, y, stream, end, convolution.inner(y, axes, made.layout))
    return y.array


def conv_transpose_input(
    axes: int, input_size: Sequence[int], weight: Any, grad_output: Any, options: tuple[Any, ...], out: Any
) -> Any:
    """Return the gradient of the input, an ordinary convolution; the arguments are grad's."""
    g, w = arrays.operand("grad_output", grad_output), arrays.operand("weight", weight)
    size = _arguments.sizes("input_size", input_size, (axes + 1, axes + 2))
    made, _ = _arguments.conv_transpose(axes, size, w.shape, *options, names=("input_size", "weight"))
    arrays.same_dtype(w, g)
    expect_result(made, g)
    stream = arrays.stream_of(grad_output)
    dx = arrays.result(size, g, stream, out, [g, w])
    arrays.join(stream, g, w, dx)
    filters = images(w, axes, made.layout, filters=True)
    described = convolution.forward_product(made, images(g, axes, made.layout), filters, images(dx, axes, made.layout))
    convolution.launch(made, described, g, w, None, dx, stream)
    return dx.array


def conv_transpose_weight(
    axes: int, input: Any, weight_size: Sequence[int], grad_output: Any, options: tuple[Any, ...], out: Any
) -> Any:
    """Return the gradient of the weights, with input and gradient in each other's place; the arguments are grad's."""
    x, g = arrays.operand("input", input), arrays.operand("grad_output", grad_output)
    size = _arguments.sizes("weight_size", weight_size, (axes + 2,))
    made, _ = _arguments.conv_transpose(axes, x.shape, size, *options, names=("input", "weight_size"))
    arrays.same_dtype(x, g)
    expect_result(made, g)
    stream = arrays.stream_of(input)
    dw = arrays.result(size, x, stream, out, [x, g])
    arrays.join(stream, x, g, dw)
    convolution.launch_weight(made, axes, g, x, dw, stream)
    return dw.array


def expect_result(made: _arguments.Conv, g: Operand) -> None:
    """Refuse a gradient that is not of the result's shape."""
    shape = made.input.shape(made.layout, made.input.channels, made.input.spatial)
    if g.shape != shape:
        _arguments.wrong("grad_output", f"shape {shape}", f"shape {g.shape}")
