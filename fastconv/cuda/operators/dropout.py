"""Dropout: the same elements as on a CPU, whatever the seed."""

from __future__ import annotations

from typing import Any

from fastconv import _arguments, runtime
from fastconv.cuda import arrays
from fastconv.cuda.arrays import Operand
from fastconv.cuda.kernels import training as kernels


def dropout(input: Any, p: object, training: object, inplace: object, out: Any) -> Any:
    """Set elements to zero; the arguments are functional's."""
    x = arrays.operand("input", input)
    rate = _arguments.number("p", p)
    if not 0 <= rate <= 1:
        _arguments.wrong("p", "a probability in [0, 1]", p)
    active = _arguments.flag("training", training) and rate > 0
    if _arguments.flag("inplace", inplace):
        if out is not None and out is not input:
            _arguments.wrong("out", "None or the input itself with inplace=True", "another array")
        out = input
    if not active and (out is None or out is input):
        return input
    stream = arrays.stream_of(input)
    y = x if out is input else arrays.result(x.shape, x, stream, out, [x])
    arrays.join(stream, x, y)
    dropped(x, y, rate if active else 0.0, runtime.draws().next() if active else (0, 0), 1, stream)
    return y.array


def dropped(x: Operand, y: Operand, rate: float, drawn: tuple[int, int], rows: int, stream: Any) -> None:
    """Write x, that many rows, with random zeros into y, which may be x."""
    for each in (x, y):
        arrays.dense(each)
    count = x.size // max(rows, 1)
    blocks = -(-count // kernels.TOGETHER)
    threshold, factor = int(rate * 4294967296.0 + 0.5), (1 / (1 - rate) if rate < 1 else 0.0)
    kernel = kernels.dropout(x.dtype)
    threads = rows * blocks * kernels.SIDE
    kernel.launch(-(-threads // kernel.threads), stream, x.flat, y.flat, rows, count, blocks, *drawn, threshold, factor)
