"""Softmax and its logarithm along an axis, and their gradients: a thread, a warp or a block for each row.

Element k of row r lies at (r // inner) * extent * inner + r % inner + k * inner; `inner` comes as its divisor, too.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastconv.cuda._numba import ALIGNED, cuda, device_function, int32, int64
from fastconv.cuda.kernel import Kernel
from fastconv.cuda.primitives import REALS, exp, log, quotient

THREADS = 128
STRANDS = (1, 32, 128)  # threads of a row


@device_function
def start_of(row: Any, extent: Any, inner: Any, multiplier: Any, shift: Any) -> Any:
    """Return where a row's first element lies."""
    outer = int64(quotient(row, multiplier, shift))
    return outer * extent * inner + (row - outer * inner)


@functools.cache
def forward(logarithm: bool, dtype: str, strands: int) -> Kernel:
    """Return dst = exp(src) / sum of exp(src), or its logarithm."""
    real = REALS[dtype]
    each, levels = THREADS // strands, strands.bit_length() - 1
    lowest, zero = real(-np.inf), real(0)

    def kernel(src: Any, dst: Any, rows: Any, extent: Any, inner: Any, multiplier: Any, shift: Any) -> None:
        shared = cuda.shared.array(THREADS, real, ALIGNED)
        t = int32(cuda.threadIdx.x)
        strand = t % strands
        row = int64(cuda.blockIdx.x) * each + t // strands
        start = start_of(row, extent, inner, multiplier, shift)
        first = strand if row < rows else extent
        most = lowest
        for k in range(first, extent, strands):
            v = src[start + k * inner]
            if v > most:
                most = v
        shared[t] = most
        cuda.syncthreads()
        for level in range(levels):
            half = int32(strands >> 1) >> level
            if strand < half:
                shared[t] = max(shared[t], shared[t + half])
            cuda.syncthreads()
        most = shared[t - strand]
        cuda.syncthreads()
        total = zero
        for k in range(first, extent, strands):
            total += real(exp(src[start + k * inner] - most))
        shared[t] = total
        cuda.syncthreads()
        for level in range(levels):
            half = int32(strands >> 1) >> level
            if strand < half:
                shared[t] += shared[t + half]
            cuda.syncthreads()
        total = shared[t - strand]
        if logarithm:
            total = real(log(total))
        for k in range(first, extent, strands):
            v = src[start + k * inner] - most
            if logarithm:
                dst[start + k * inner] = v - total
            else:
                dst[start + k * inner] = real(exp(v)) / total

    return Kernel(
        f"softmax{' logarithm' if logarithm else ''} {dtype} by {strands}",
        kernel,
        (f"{dtype}[]", f"{dtype}[]", "i8", "i8", "i8", "i8", "i8"),
        THREADS,
        registers=64,
    )


@functools.cache
def gradient(logarithm: bool, dtype: str, strands: int) -> Kernel:
    """Return dst = y (g - sum of g y), or g - exp(y) sum of g; dst may be g or y."""
    real = REALS[dtype]
    each, levels, zero = THREADS // strands, strands.bit_length() - 1, real(0)

    def kernel(
        grad: Any, result: Any, dst: Any, rows: Any, extent: Any, inner: Any, multiplier: Any, shift: Any
    ) -> None:
        shared = cuda.shared.array(THREADS, real, ALIGNED)
        t = int32(cuda.threadIdx.x)
        strand = t % strands
        row = int64(cuda.blockIdx.x) * each + t // strands
        start = start_of(row, extent, inner, multiplier, shift)
        first = strand if row < rows else extent
        total = zero
        for k in range(first, extent, strands):
            place = start + k * inner
            total += grad[place] if logarithm else grad[place] * result[place]
        shared[t] = total
        cuda.syncthreads()
        for level in range(levels):
            half = int32(strands >> 1) >> level
            if strand < half:
                shared[t] += shared[t + half]
            cuda.syncthreads()
        total = shared[t - strand]
        for k in range(first, extent, strands):
            place = start + k * inner
            if logarithm:
                dst[place] = grad[place] - real(exp(result[place])) * total
            else:
                dst[place] = result[place] * (grad[place] - total)

    return Kernel(
        f"softmax gradient{' logarithm' if logarithm else ''} {dtype} by {strands}",
        kernel,
        (f"{dtype}[]", f"{dtype}[]", f"{dtype}[]", "i8", "i8", "i8", "i8", "i8"),
        THREADS,
        registers=64,
    )


def specialisations() -> Iterator[Kernel]:
    """Every kernel that can be asked for."""
    for dtype in REALS:
        for logarithm in (False, True):
            for strands in STRANDS:
                yield forward(logarithm, dtype, strands)
                yield gradient(logarithm, dtype, strands)
