"""Activations: y = f(x), elementwise, at the speed of memory."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from fastconv.cuda._numba import ALIGNED, cuda, int64
from fastconv.cuda.kernel import Kernel
from fastconv.cuda.kernels.activations import NAMES, forward
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


def specialisations() -> Iterator[Kernel]:
    """Every kernel that can be asked for."""
    for dtype in REALS:
        for name in NAMES:
            for vectors in (False, True):
                yield activation(name, dtype, vectors)
