"""Activations and their gradients, elementwise, at the speed of memory."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from fastconv.cuda._numba import ALIGNED, cuda, int64
from fastconv.cuda.kernel import Kernel
from fastconv.cuda.kernels.activations import GATES, NAMES, forward, slope
from fastconv.cuda.primitives import BLOCK, LANES, REALS, copy_vector

THREADS = BLOCK


@functools.cache
def activation(name: str, dtype: str, vectors: bool) -> Kernel:
    """Return dst[i] = f(src[i]) for i < count; a thread takes 128 bits, or one element when not `vectors`.

    src, dst  of count elements; with `vectors` count is a multiple of the lanes, and both are aligned to 128 bits
    alpha, beta  f's parameters
    """
    real, apply = REALS[dtype], forward(name, dtype)
    lanes = LANES[dtype] if vectors else 1

    def kernel(src: Any, dst: Any, count: Any, alpha: Any, beta: Any) -> None:
        place = (int64(cuda.blockIdx.x) * THREADS + cuda.threadIdx.x) * lanes
        if place < count:
            if vectors:
                held = cuda.local.array(lanes, real, ALIGNED)
                copy_vector(held, 0, src, place)
                for lane in range(lanes):
                    held[lane] = apply(held[lane], alpha, beta)
                copy_vector(dst, place, held, 0)
            else:
                dst[place] = apply(src[place], alpha, beta)

    return Kernel(
        f"activation {name} {dtype}{' vectors' if vectors else ''}",
        kernel,
        (f"{dtype}[]", f"{dtype}[]", "i8", dtype, dtype),
        THREADS,
        registers=64,
        instructions=({"f4": "ld.global.v4.f32", "f8": "ld.global.v2.f64"}[dtype],) if vectors else (),
    )


@functools.cache
def gradient(name: str, dtype: str, vectors: bool) -> Kernel:
    """Return dst[i] = grad[i] * f'(saved[i]) for i < count; as `activation` else. dst may be grad or saved."""
    real, apply = REALS[dtype], slope(name, dtype)
    lanes = LANES[dtype] if vectors else 1
    gate, zero = name in GATES, real(0)

    def kernel(grad: Any, saved: Any, dst: Any, count: Any, alpha: Any, beta: Any) -> None:
        held = cuda.local.array(lanes, real, ALIGNED)
        state = cuda.local.array(lanes, real, ALIGNED)
        place = (int64(cuda.blockIdx.x) * THREADS + cuda.threadIdx.x) * lanes
        if place < count:
            if vectors:
                copy_vector(held, 0, grad, place)
                copy_vector(state, 0, saved, place)
            else:
                held[0] = grad[place]
                state[0] = saved[place]
            for lane in range(lanes):
                factor = real(apply(state[lane], alpha, beta))
                if gate & (factor == zero):
                    held[lane] = zero
                else:
                    held[lane] = held[lane] * factor
            if vectors:
                copy_vector(dst, place, held, 0)
            else:
                dst[place] = held[0]

    return Kernel(
        f"activation gradient {name} {dtype}{' vectors' if vectors else ''}",
        kernel,
        (f"{dtype}[]", f"{dtype}[]", f"{dtype}[]", "i8", dtype, dtype),
        THREADS,
        registers=64,
        instructions=({"f4": "ld.global.v4.f32", "f8": "ld.global.v2.f64"}[dtype],) if vectors else (),
    )


def specialisations() -> Iterator[Kernel]:
    """Every kernel that can be asked for."""
    for dtype in REALS:
        for name in NAMES:
            for vectors in (False, True):
                yield activation(name, dtype, vectors)
                yield gradient(name, dtype, vectors)
