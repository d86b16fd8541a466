"""Activations and their gradients, elementwise, at the speed of memory."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from fastconv.cuda._numba import ALIGNED, cuda, int64
from fastconv.cuda.kernel import Kernel
from fastconv.cuda.kernels.activations import GATES, NAMES, forward, slope
from fastconv.cuda.primitives import BLOCK, LANES, LOADS_128, REALS, stretch

THREADS = BLOCK


@functools.cache
def activation(name: str, dtype: str) -> Kernel:
    """Return dst[i] = f(src[i]) for i < count; a thread takes 128 bits.

    src, dst  of count elements
    aligned  whether both are, to 128 bits
    alpha, beta  f's parameters
    """
    real, apply, lanes = REALS[dtype], forward(name, dtype), LANES[dtype]
    read, write = stretch(lanes)

    def kernel(src: Any, dst: Any, count: Any, aligned: Any, alpha: Any, beta: Any) -> None:
        held = cuda.local.array(lanes, real, ALIGNED)
        place = (int64(cuda.blockIdx.x) * THREADS + cuda.threadIdx.x) * lanes
        if place < count:
            read(held, src, place, count, aligned)
            for lane in range(lanes):
                held[lane] = apply(held[lane], alpha, beta)
            write(held, dst, place, count, aligned)

    return Kernel(
        f"activation {name} {dtype}",
        kernel,
        (f"{dtype}[]", f"{dtype}[]", "i8", "i4", dtype, dtype),
        THREADS,
        registers=64,
        instructions=(LOADS_128[dtype],),
    )


@functools.cache
def gradient(name: str, dtype: str) -> Kernel:
    """Return dst[i] = grad[i] * f'(saved[i]) for i < count; as `activation` else. dst may be grad or saved."""
    real, apply, lanes = REALS[dtype], slope(name, dtype), LANES[dtype]
    gate, zero = name in GATES, real(0)
    read, write = stretch(lanes)

    def kernel(grad: Any, saved: Any, dst: Any, count: Any, aligned: Any, alpha: Any, beta: Any) -> None:
        held = cuda.local.array(lanes, real, ALIGNED)
        state = cuda.local.array(lanes, real, ALIGNED)
        place = (int64(cuda.blockIdx.x) * THREADS + cuda.threadIdx.x) * lanes
        if place < count:
            read(held, grad, place, count, aligned)
            read(state, saved, place, count, aligned)
            for lane in range(lanes):
                factor = real(apply(state[lane], alpha, beta))
                if gate & (factor == zero):
                    held[lane] = zero
                else:
                    held[lane] = held[lane] * factor
            write(held, dst, place, count, aligned)

    return Kernel(
        f"activation gradient {name} {dtype}",
        kernel,
        (f"{dtype}[]", f"{dtype}[]", f"{dtype}[]", "i8", "i4", dtype, dtype),
        THREADS,
        registers=64,
        instructions=(LOADS_128[dtype],),
    )


def specialisations() -> Iterator[Kernel]:
    """Every kernel that can be asked for."""
    for dtype in REALS:
        for name in NAMES:
            yield activation(name, dtype)
            yield gradient(name, dtype)
