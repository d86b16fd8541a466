"""What this machine does at best, measured when somebody asks: the roof for plans and benchmarks."""

from __future__ import annotations

import time
from functools import cache

import numpy as np

from fastconv import _core

__all__ = ["Roofline", "copy_rate", "peak_rate"]

RUNS = 5
RUN_SECONDS = 1e-3
COPY_BYTES = 1 << 25  # past the second-level cache of every processor


@cache
def peak_rate(double_precision: bool, isa: int) -> float:
    """Measure the multiply-adds that one core does in registers, two operations each.

    Parameters
    ----------
    double_precision : bool
        float64 instead of float32.
    isa : int
        The engine's number of an available instruction set.

    Returns
    -------
    float
        Operations a second, the best of a few runs of a millisecond; measured once in a process.
    """
    rounds, best = 1000, 0.0
    for _ in range(RUNS):
        start = time.perf_counter()
        done = _core.multiply_adds(double_precision, isa, rounds)
        seconds = time.perf_counter() - start
        best = max(best, 2 * done / seconds)
        rounds = max(1, round(rounds * RUN_SECONDS / seconds))
    return best


@cache
def copy_rate() -> float:
    """Measure a copy between arrays that do not fit in the second-level cache, on one core.

    Returns
    -------
    float
        Bytes a second that are read, as many again being written; measured once in a process.
    """
    source = np.ones(COPY_BYTES // 8)
    target = np.zeros_like(source)
    best = float("inf")
    for _ in range(RUNS):
        start = time.perf_counter()
        np.copyto(target, source)
        best = min(best, time.perf_counter() - start)
    return COPY_BYTES / best


class Roofline:
    """The least time that so much work can take: arithmetic at the peak, or memory at the speed of a copy.

    What fits in the second-level cache may stay there, and is not held to memory's speed.

    Parameters
    ----------
    flops : float
        Operations, two for a multiply-add.
    bytes_moved : float
        What must be read or written once.
    double_precision : bool
    isa : int, optional
        The engine's number of the instruction set; that of here and now by default.

    Examples
    --------
    >>> roof = Roofline(1e9, 1e6, False)
    >>> roof.bound, roof.seconds > 0
    ('arithmetic', True)
    """

    def __init__(self, flops: float, bytes_moved: float, double_precision: bool, isa: int | None = None) -> None:
        self.peak = peak_rate(double_precision, _core.get_isa() if isa is None else isa)
        self.copy = 2 * copy_rate()
        arithmetic = flops / self.peak
        memory = bytes_moved / self.copy if bytes_moved > _core.l2_bytes() else 0.0
        self.bound = "arithmetic" if arithmetic >= memory else "memory"
        self.seconds = max(arithmetic, memory)
