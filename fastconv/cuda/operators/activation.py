"""Activations and their gradients."""

from __future__ import annotations

from typing import Any

from fastconv import _arguments
from fastconv.cuda import arrays
from fastconv.cuda.arrays import Operand
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
    apply(name, alpha, beta, x, y, stream)
    return y.array


def apply(name: str, alpha: float, beta: float, x: Operand, y: Operand, stream: Any) -> None:
    """Launch y = f(x); both are dense, and may be the same."""
    kernel = pointwise.activation(name, x.dtype)
    blocks = -(-x.size // (LANES[x.dtype] * kernel.threads))
    kernel.launch(blocks, stream, x.flat, y.flat, x.size, int(x.aligned() and y.aligned()), alpha, beta)


def activation_grad(
    name: str, alpha: float, beta: float, grad_output: Any, saved: Any, saved_name: str, out: Any
) -> Any:
    """Multiply a gradient by an activation's derivative; `out` may be the gradient or what was saved."""
    g, state = arrays.operand("grad_output", grad_output), arrays.operand(saved_name, saved)
    arrays.same_dtype(g, state)
    if state.shape != g.shape:
        _arguments.wrong(saved_name, f"shape {g.shape}", f"shape {state.shape}")
    stream = arrays.stream_of(grad_output)
    same = [each for each in (g, state) if each.array is out]
    dx = same[0] if same else arrays.result(g.shape, g, stream, out, [g, state])
    arrays.join(stream, g, state, dx)
    for each in (g, state, dx):
        arrays.dense(each)
    aligned = all(each.aligned() for each in (g, state, dx))
    kernel = pointwise.gradient(name, g.dtype)
    blocks = -(-g.size // (LANES[g.dtype] * kernel.threads))
    kernel.launch(blocks, stream, g.flat, state.flat, dx.flat, g.size, int(aligned), alpha, beta)
    return dx.array
