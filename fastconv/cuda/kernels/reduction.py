"""Sums in a fixed order: over the splits of a product, and over all positions of a channel."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from fastconv.cuda._numba import ALIGNED, cuda, int32, int64
from fastconv.cuda.kernel import Kernel
from fastconv.cuda.kernels import activations
from fastconv.cuda.primitives import BLOCK, LANES, LOADS_128, REALS, fetch, put, quotient, stretch

THREADS = BLOCK
LEVELS = THREADS.bit_length() - 1  # THREADS is a power of two


@functools.cache
def splits(dtype: str, activation: str) -> Kernel:
    """Return dst[i] = activation(sum of partial[s * count + i] in the order of s + bias[i // inner % channels]).

    `inner` comes as its divisor; a thread takes 128 bits, in one copy if `whole`: all rows and dst are aligned.
    """
    real, apply, lanes = REALS[dtype], activations.forward(activation, dtype), LANES[dtype]
    zero = real(0)
    read, write = stretch(lanes)

    def kernel(
        partial: Any, bias: Any, dst: Any, count: Any, parts: Any, whole: Any, multiplier: Any, shift: Any,
        channels: Any, alpha: Any, beta: Any,
    ) -> None:  # fmt: skip
        sums = cuda.local.array(lanes, real, ALIGNED)
        part = cuda.local.array(lanes, real, ALIGNED)
        place = (int64(cuda.blockIdx.x) * THREADS + cuda.threadIdx.x) * lanes
        if place < count:
            for lane in range(lanes):
                sums[lane] = zero
            for s in range(parts):
                read(part, partial, s * count + place, s * count + count, whole)
                for lane in range(lanes):
                    sums[lane] += part[lane]
            for lane in range(lanes):
                if channels > 0:
                    sums[lane] += fetch(bias, quotient(place + lane, multiplier, shift) % channels)
                sums[lane] = apply(sums[lane], alpha, beta)
            write(sums, dst, place, count, whole)

    return Kernel(
        f"splits {dtype} {activation}",
        kernel,
        (*(f"{dtype}[]",) * 3, "i8", "i4", "i4", "i8", "i8", "i4", dtype, dtype),
        THREADS,
        registers=64,
        instructions=(LOADS_128[dtype],),
    )


@functools.cache
def channels(dtype: str) -> Kernel:
    """Return partial[part * channels + c] = the sum of one part of channel c, a block for each.

    Element j of a channel lies at (j // inner) * outer_step + (j % inner) * step + c * channel_step; a part is
    `length` elements. Threads add strided elements and then pairs of them, in a fixed order.
    """
    real = REALS[dtype]
    zero = real(0)

    def kernel(
        src: Any, partial: Any, count: Any, length: Any, multiplier: Any, shift: Any, inner: Any,
        outer_step: Any, step: Any, channel_step: Any,
    ) -> None:  # fmt: skip
        shared = cuda.shared.array(THREADS, real, ALIGNED)
        t, channel, part = int32(cuda.threadIdx.x), int64(cuda.blockIdx.x), int64(cuda.blockIdx.y)
        total = zero
        last = min((part + 1) * length, count)
        for j in range(part * length + t, last, THREADS):
            outer = quotient(j, multiplier, shift)
            total += fetch(src, outer * outer_step + (j - outer * inner) * step + channel * channel_step)
        shared[t] = total
        cuda.syncthreads()
        for level in range(LEVELS):
            half = int32(THREADS >> 1) >> level
            if t < half:
                shared[t] += shared[t + half]
            cuda.syncthreads()
        if t == 0:
            put(partial, part * int64(cuda.gridDim.x) + channel, shared[0])

    return Kernel(
        f"channels {dtype}",
        kernel,
        (f"{dtype}[]", f"{dtype}[]", "i8", "i8", "i8", "i8", "i8", "i8", "i8", "i8"),
        THREADS,
        registers=64,
    )


def specialisations() -> Iterator[Kernel]:
    """Every kernel that can be asked for, with one activation besides none."""
    for dtype in REALS:
        yield channels(dtype)
        for activation in ("linear", "tanh"):
            yield splits(dtype, activation)
