"""Softmax and its logarithm."""

from __future__ import annotations

import math
from typing import Any

from fastconv import _arguments
from fastconv.cuda import arrays
from fastconv.cuda.kernels import softmax as kernels
from fastconv.cuda.primitives import divisor
from fastconv.functional.activation import axis_of


def softmax(logarithm: bool, input: Any, dim: Any, out: Any) -> Any:
    """Apply softmax or its logarithm; `out` may be the input."""
    x = arrays.operand("input", input)
    axis = axis_of(dim, len(x.shape))
    stream = arrays.stream_of(input)
    y = x if out is input else arrays.result(x.shape, x, stream, out, [x])
    arrays.join(stream, x, y)
    for each in (x, y):
        arrays.dense(each)
    rows, extent, inner, strands = partition(x.shape, axis)
    kernel = kernels.forward(logarithm, x.dtype, strands)
    kernel.launch(-(-rows * strands // kernel.threads), stream, x.flat, y.flat, rows, extent, inner, *divisor(inner))
    return y.array


def softmax_backward(logarithm: bool, grad_output: Any, output: Any, dim: Any, out: Any) -> Any:
    """Return the gradient of softmax or of its logarithm; `out` may be the gradient or the output."""
    g, y = arrays.operand("grad_output", grad_output), arrays.operand("output", output)
    axis = axis_of(dim, len(g.shape))
    arrays.same_dtype(g, y)
    if y.shape != g.shape:
        _arguments.wrong("output", f"shape {g.shape}", f"shape {y.shape}")
    stream = arrays.stream_of(grad_output)
    same = [each for each in (g, y) if each.array is out]
    dx = same[0] if same else arrays.result(g.shape, g, stream, out, [g, y])
    arrays.join(stream, g, y, dx)
    for each in (g, y, dx):
        arrays.dense(each)
    rows, extent, inner, strands = partition(g.shape, axis)
    kernel = kernels.gradient(logarithm, g.dtype, strands)
    blocks = -(-rows * strands // kernel.threads)
    kernel.launch(blocks, stream, g.flat, y.flat, dx.flat, rows, extent, inner, *divisor(inner))
    return dx.array


def partition(shape: tuple[int, ...], axis: int) -> tuple[int, int, int, int]:
    """Return rows, their extent, how far their elements are apart, and how many threads each gets.

    Examples
    --------
    >>> partition((2, 10, 3), 1)
    (6, 10, 3, 1)
    >>> partition((4, 1000), 1)
    (4, 1000, 1, 128)
    """
    extent, inner = (shape[axis], math.prod(shape[axis + 1 :])) if shape else (1, 1)
    rows = math.prod(shape[:axis]) * inner
    if extent == 0 or rows == 0:
        return 0, 0, 1, 1
    if rows >= 2**31:
        _arguments.wrong("input", f"fewer than {2**31} rows on a GPU", f"{rows}")
    strands = 1 if inner > 1 or extent < 24 else (32 if extent <= 512 else 128)
    return rows, extent, inner, strands
