"""Normalisation of channels: their sums in double precision, what follows from them, and what is done to elements.

Element j of channel c lies at (j // pixels) * image_step + (j % pixels) * pixel_step + c * channel_step.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastconv.cuda._numba import ALIGNED, cuda, int32, int64
from fastconv.cuda.kernel import Kernel
from fastconv.cuda.primitives import BLOCK, LANES, LOADS_128, REALS, quotient, sqrt, stretch

THREADS = BLOCK
STRANDS = {False: THREADS, True: 8}  # threads per channel, by channels_last; the others of a block are other channels


@functools.cache
def sums(dtype: str, channels_last: bool, backward: bool) -> Kernel:
    """Return partial[(part * channels + c) * 2 + i], two sums of one part of a channel, `length` elements, in double.

    Forward: of x - s and its square, s being the channel's first element. Backward: of grad and of grad (x - mean).
    """
    strands = STRANDS[channels_last]
    across, levels = THREADS // strands, strands.bit_length() - 1

    def kernel(
        src: Any, grad: Any, mean: Any, partial: Any, channels: Any, count: Any, length: Any, pixels: Any,
        multiplier: Any, shift: Any, image_step: Any, pixel_step: Any, channel_step: Any,
    ) -> None:  # fmt: skip
        first_sums = cuda.shared.array(THREADS, np.float64, ALIGNED)
        second_sums = cuda.shared.array(THREADS, np.float64, ALIGNED)
        t, part = int32(cuda.threadIdx.x), int64(cuda.blockIdx.y)
        strand, member = t // across, t % across
        c = int64(cuda.blockIdx.x) * across + member
        total, other = np.float64(0), np.float64(0)
        if c < channels:
            base = np.float64(mean[c]) if backward else np.float64(src[c * channel_step])
            for j in range(part * length + strand, min((part + 1) * length, count), strands):
                n = int64(quotient(j, multiplier, shift))
                place = n * image_step + (j - n * pixels) * pixel_step + c * channel_step
                distance = np.float64(src[place]) - base
                if backward:
                    g = np.float64(grad[place])
                    total += g
                    other += g * distance
                else:
                    total += distance
                    other += distance * distance
        first_sums[t] = total
        second_sums[t] = other
        cuda.syncthreads()
        for level in range(levels):
            half = int32(strands >> 1) >> level
            if strand < half:
                first_sums[t] += first_sums[t + half * across]
                second_sums[t] += second_sums[t + half * across]
            cuda.syncthreads()
        if (strand == 0) & (c < channels):
            partial[(part * channels + c) * 2] = first_sums[t]
            partial[(part * channels + c) * 2 + 1] = second_sums[t]

    return Kernel(
        f"norm sums {'backward ' if backward else ''}{dtype} {'last' if channels_last else 'first'}",
        kernel,
        (f"{dtype}[]", f"{dtype}[]", "f8[]", "f8[]", *("i8",) * 9),
        THREADS,
        registers=64,
    )


@functools.cache
def moments(dtype: str) -> Kernel:
    """Return moments[c] and moments[channels + c], mean and biased variance of a channel, and move what is running.

    moves_var  0: not; 1: towards the unbiased variance; 2: towards the biased one
    """
    real = REALS[dtype]

    def kernel(
        src: Any, partial: Any, moments: Any, running_mean: Any, running_var: Any, channels: Any, parts: Any,
        count: Any, channel_step: Any, momentum: Any, moves_mean: Any, moves_var: Any,
    ) -> None:  # fmt: skip
        c = int64(cuda.blockIdx.x) * THREADS + cuda.threadIdx.x
        if c >= channels:
            return
        total, other = np.float64(0), np.float64(0)
        for part in range(parts):
            total += partial[(part * channels + c) * 2]
            other += partial[(part * channels + c) * 2 + 1]
        distance = total / count
        variance = max(other / count - distance * distance, np.float64(0))
        if not variance >= np.float64(0):
            variance = other / count
        mean = np.float64(src[c * channel_step]) + distance
        moments[c] = mean
        moments[channels + c] = variance
        if moves_mean != 0:
            running_mean[c] = real(np.float64(running_mean[c]) * (1 - momentum) + mean * momentum)
        if moves_var != 0:
            seen = variance
            if moves_var == 1:
                seen = variance * (np.float64(count) / np.float64(count - 1))
            running_var[c] = real(np.float64(running_var[c]) * (1 - momentum) + seen * momentum)

    return Kernel(
        f"norm moments {dtype}",
        kernel,
        (f"{dtype}[]", "f8[]", "f8[]", f"{dtype}[]", f"{dtype}[]", "i8", "i8", "i8", "i8", "f8", "i4", "i4"),
        THREADS,
        registers=64,
    )


@functools.cache
def given(dtype: str) -> Kernel:
    """Return running statistics as `moments` leaves them."""

    def kernel(running_mean: Any, running_var: Any, moments: Any, channels: Any) -> None:
        c = int64(cuda.blockIdx.x) * THREADS + cuda.threadIdx.x
        if c < channels:
            moments[c] = np.float64(running_mean[c])
            moments[channels + c] = np.float64(running_var[c])

    return Kernel(f"norm given {dtype}", kernel, (f"{dtype}[]", f"{dtype}[]", "f8[]", "i8"), THREADS)


@functools.cache
def factors(dtype: str, backward: bool) -> Kernel:
    """Return the table of four numbers per channel that `apply` takes, in double; backward the weights' gradients, too.

    moments  mean and variance; partial  backward: what `sums` returned, of `parts` parts
    constant  backward: whether the moments do not depend on the input
    """
    real = REALS[dtype]

    def kernel(
        moments: Any, partial: Any, weight: Any, bias: Any, table: Any, grad_weight: Any, grad_bias: Any,
        channels: Any, parts: Any, count: Any, eps: Any, has_weight: Any, has_bias: Any, constant: Any,
    ) -> None:  # fmt: skip
        c = int64(cuda.blockIdx.x) * THREADS + cuda.threadIdx.x
        if c >= channels:
            return
        inverse = np.float64(1) / sqrt(moments[channels + c] + eps)
        scale = inverse
        if has_weight != 0:
            scale = inverse * np.float64(weight[c])
        table[c * 4] = moments[c]
        if backward:
            total, other = np.float64(0), np.float64(0)
            for part in range(parts):
                total += partial[(part * channels + c) * 2]
                other += partial[(part * channels + c) * 2 + 1]
            grad_bias[c] = real(total)
            grad_weight[c] = real(other * inverse)
            table[c * 4 + 1] = np.float64(0) if constant != 0 else -scale * inverse * inverse * other / count
            table[c * 4 + 2] = np.float64(0) if constant != 0 else -scale * total / count
            table[c * 4 + 3] = scale
        else:
            table[c * 4 + 1] = scale
            table[c * 4 + 2] = np.float64(bias[c]) if has_bias != 0 else np.float64(0)
            table[c * 4 + 3] = np.float64(0)

    return Kernel(
        f"norm factors {'backward ' if backward else ''}{dtype}",
        kernel,
        ("f8[]", "f8[]", f"{dtype}[]", f"{dtype}[]", "f8[]", f"{dtype}[]", f"{dtype}[]",
         "i8", "i8", "i8", "f8", "i4", "i4", "i4"),
        THREADS,
        registers=80,
    )  # fmt: skip


@functools.cache
def apply(dtype: str, backward: bool) -> Kernel:
    """Return dst[i] = (src[i] - table[0]) * table[1] + table[2], backward plus grad[i] * table[3], by i's channel.

    Element i is of channel i // inner % channels; `inner` comes as its divisor, `channels` also as its own. A thread
    takes 128 bits, in one copy if `whole`: element `at`, where i is 0, is aligned to them in all arrays.
    """
    real, lanes = REALS[dtype], LANES[dtype]
    read, write = stretch(lanes)

    def kernel(
        src: Any, grad: Any, table: Any, dst: Any, count: Any, at: Any, whole: Any, channels: Any,
        inner_multiplier: Any, inner_shift: Any, multiplier: Any, shift: Any,
    ) -> None:  # fmt: skip
        held = cuda.local.array(lanes, real, ALIGNED)
        more = cuda.local.array(lanes, real, ALIGNED)
        number = (int64(cuda.blockIdx.x) * THREADS + cuda.threadIdx.x) * lanes
        if number >= count:
            return
        place, end = at + number, at + count
        read(held, src, place, end, whole)
        if backward:
            read(more, grad, place, end, whole)
        for lane in range(lanes):
            plane = quotient(number + lane, inner_multiplier, inner_shift)
            c = int64(plane) - int64(quotient(plane, multiplier, shift)) * channels
            value = (held[lane] - real(table[c * 4])) * real(table[c * 4 + 1]) + real(table[c * 4 + 2])
            if backward:
                value += more[lane] * real(table[c * 4 + 3])
            held[lane] = value
        write(held, dst, place, end, whole)

    return Kernel(
        f"norm apply {'backward ' if backward else ''}{dtype}",
        kernel,
        (f"{dtype}[]", f"{dtype}[]", "f8[]", f"{dtype}[]", *("i8",) * 8),
        THREADS,
        registers=64,
        instructions=(LOADS_128[dtype],),
    )


def specialisations() -> Iterator[Kernel]:
    """Every kernel that can be asked for."""
    for dtype in REALS:
        yield moments(dtype)
        yield given(dtype)
        for backward in (False, True):
            yield factors(dtype, backward)
            yield apply(dtype, backward)
            for channels_last in (False, True):
                yield sums(dtype, channels_last, backward)
