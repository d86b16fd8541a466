"""Activations."""

from __future__ import annotations

from typing import Any

from fastconv import _arguments
from fastconv.cuda import arrays
from fastconv.cuda.kernels import pointwise
from fastconv.cuda.primitives import LANES


def unary(name: str, alpha: float, beta: float, input: Any, inplace: object, out: Any) -> Any:
    """Apply an activation into a new array, `out`, or the input itself."""
    x = arrays.operand("input", input)
    stream = arrays.stream_of(input)
    if _arguments.flag("inplace", inplace):
        if out is not None and out is not input:
            _arguments.wrong("out", "None or the input itself with inplace=True", "another array")
        out = input
    y = x if out is input else arrays.result(x.shape, x, stream, out, [x])
    arrays.join(stream, x, y)
    arrays.dense(x)
    arrays.dense(y)
    vectors = x.aligned(x.size) and y.aligned(y.size)
    kernel = pointwise.activation(name, x.dtype, vectors)
    work = x.size // (LANES[x.dtype] if vectors else 1)
    kernel.launch(-(-work // kernel.threads), stream, x.flat, y.flat, x.size, alpha, beta)
    return y.array
