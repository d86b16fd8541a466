"""Products of vectors and matrices: the convolution of one pixel."""

from __future__ import annotations

import math
from typing import Any

from fastconv import _arguments
from fastconv.cuda import arrays
from fastconv.cuda.arrays import Operand
from fastconv.cuda.operators import convolution


def linear(input: Any, weight: Any, bias: Any, activation: Any, out: Any, transposed: bool = False) -> Any:
    """Multiply vectors by a matrix; the arguments are functional's. A `transposed` weight is (i, o)."""
    x, w = arrays.operand("input", input), arrays.operand("weight", weight)
    if transposed:
        w = _shaped(w, w.shape[::-1], w.strides[::-1])
    if len(w.shape) not in (1, 2) or not w.size:
        _arguments.wrong("weight", "shape (o, i) or (i,) with extents of at least 1", f"shape {w.shape}")
    features = w.shape[-1]
    if not x.shape or x.shape[-1] != features:
        _arguments.wrong("input", f"shape (..., {features}), as weight has shape {w.shape}", f"shape {x.shape}")
    b = None if bias is None else arrays.operand("bias", bias)
    if b is not None and b.shape != w.shape[:-1]:
        _arguments.wrong("bias", f"shape {w.shape[:-1]}", f"shape {b.shape}")
    arrays.same_dtype(x, w, b)
    end = convolution.ending(activation)
    arrays.dense(x)
    stream = arrays.stream_of(input)
    given = [each for each in (x, w, b) if each is not None]
    y = arrays.result((*x.shape[:-1], *w.shape[:-1]), x, stream, out, given)
    arrays.dense(y)
    arrays.join(stream, *given, y)
    outputs, rows = math.prod(w.shape[:-1]), math.prod(x.shape[:-1])
    if rows == 0:
        return y.array
    over, across = w.strides if len(w.shape) == 2 else (features, w.strides[0])
    made = _arguments.conv(2, (1, rows, 1, features), (1, 1, features, outputs), 1, 0, 1, 1, "NHWC")
    pixels, matrix = _pixels(x, rows, features), _shaped(w, (1, 1, features, outputs), (over, over, across, over))
    vectors = _pixels(y, rows, outputs)
    described = convolution.forward_product(
        made,
        convolution.images(pixels, 2, "NHWC"),
        convolution.images(matrix, 2, "NHWC", filters=True),
        convolution.images(vectors, 2, "NHWC"),
    )
    convolution.launch(made, described, pixels, matrix, b, vectors, stream, end)
    return y.array


def _pixels(x: Operand, rows: int, channels: int) -> Operand:
    """Read vectors as the pixels of an image that is one wide."""
    return _shaped(x, (1, rows, 1, channels), (rows * channels, channels, channels, 1))


def _shaped(operand: Operand, shape: tuple[int, ...], strides: tuple[int, ...]) -> Operand:
    return operand._replace(shape=shape, strides=strides)
