"""What training needs beside gradients: an optimizer's step, dropout, sums of squares."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastconv.cuda._numba import ALIGNED, SIMULATED, cuda, device_function, int32, int64, types
from fastconv.cuda.kernel import Kernel
from fastconv.cuda.primitives import BLOCK, REALS, sqrt

THREADS = BLOCK

# ---- dropout ------------------------------------------------------------------------------------------------------

# Philox4x32-10: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
ROUNDS = 10
FIRST, THIRD = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
KEY_0, KEY_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
TOGETHER, SIDE = 64, 16  # elements 0 … 63 are words 0 of counters 0 … 15, then their words 1, and so on

uint64 = np.uint64 if SIMULATED else types.uint64


@device_function
def philox(counter: Any, row: Any, call: Any, key: Any) -> Any:
    """Return four words of 32 bits."""
    a, b, c, d = counter & LOW, row & LOW, call & LOW, call >> HALF
    key_0, key_1 = key & LOW, key >> HALF
    for _ in range(ROUNDS):
        first, third = a * FIRST, c * THIRD
        a, b, c, d = (third >> HALF) ^ b ^ key_0, third & LOW, (first >> HALF) ^ d ^ key_1, first & LOW
        key_0 = (key_0 + KEY_0) & LOW
        key_1 = (key_1 + KEY_1) & LOW
    return a, b, c, d


@functools.cache
def dropout(dtype: str) -> Kernel:
    """Return dst[row][i] = src[row][i] * factor, or zero where the word of (key, call, row, i) is below threshold.

    A thread makes four elements, SIDE apart, of one counter; `blocks` are the runs of TOGETHER elements of a row.
    """
    real = REALS[dtype]
    zero = real(0)

    def kernel(
        src: Any, dst: Any, rows: Any, count: Any, blocks: Any, key: Any, call: Any, threshold: Any, factor: Any
    ) -> None:
        number = int64(cuda.blockIdx.x) * THREADS + cuda.threadIdx.x
        counters = blocks * SIDE
        row = number // counters
        if row >= rows:
            return
        counter = number - row * counters
        a, b, c, d = philox(uint64(counter), uint64(row), uint64(call), uint64(key))
        at = counter // SIDE * TOGETHER + counter % SIDE
        start = row * count
        if at < count:
            dst[start + at] = src[start + at] * (factor if int64(a) >= threshold else zero)
        if at + SIDE < count:
            dst[start + at + SIDE] = src[start + at + SIDE] * (factor if int64(b) >= threshold else zero)
        if at + 2 * SIDE < count:
            dst[start + at + 2 * SIDE] = src[start + at + 2 * SIDE] * (factor if int64(c) >= threshold else zero)
        if at + 3 * SIDE < count:
            dst[start + at + 3 * SIDE] = src[start + at + 3 * SIDE] * (factor if int64(d) >= threshold else zero)

    return Kernel(
        f"dropout {dtype}",
        kernel,
        (f"{dtype}[]", f"{dtype}[]", "i8", "i8", "i8", "u8", "u8", "i8", dtype),
        THREADS,
        registers=64,
    )


# ---- optimizers ---------------------------------------------------------------------------------------------------


@functools.cache
def update(kind: str, dtype: str, second_slot: bool, third_slot: bool, nesterov: bool = False) -> Kernel:
    """Return the kernel of an optimizer's step on weights[at : at + count] in place; rules as in csrc/kernels/update.c.

    kind  "sgd": slot 0 is the velocity, if second_slot. "rmsprop": velocity, momentum (second_slot), average
    (third_slot). "adam": momentum, velocity, the largest velocity (third_slot).
    scale, limit, keep  what gradients are multiplied by, the most of them that is left, what weights are multiplied by
    """
    real = REALS[dtype]
    one = real(1)
    sgd, adam = kind == "sgd", kind == "adam"

    def kernel(
        weights: Any, grad: Any, slot_0: Any, slot_1: Any, slot_2: Any, at: Any, count: Any, scale: Any, limit: Any,
        keep: Any, rate: Any, momentum: Any, first: Any, second: Any, epsilon: Any,
    ) -> None:  # fmt: skip
        i = int64(cuda.blockIdx.x) * THREADS + cuda.threadIdx.x
        if i >= count:
            return
        i += at
        x = grad[i] * scale
        if x > limit:
            x = limit
        if x < -limit:
            x = -limit
        w = weights[i] * keep
        if sgd:
            if second_slot:
                v = slot_0[i] * momentum - x * rate
                slot_0[i] = v
                if nesterov:
                    weights[i] = w - x * rate + v * momentum
                else:
                    weights[i] = w + v
            else:
                weights[i] = w - x * rate
        elif adam:
            m = slot_0[i] + (x - slot_0[i]) * first
            v = slot_1[i] + (x * x - slot_1[i]) * second
            slot_0[i] = m
            slot_1[i] = v
            if third_slot:
                v = slot_2[i] if slot_2[i] > v else v
                slot_2[i] = v
            weights[i] = w - m / (real(sqrt(v)) + epsilon) * rate
        else:
            v = slot_0[i] * (one - second) + x * x * second
            slot_0[i] = v
            if third_slot:
                mean = slot_2[i] * (one - second) + x * second
                slot_2[i] = mean
                v = v - mean * mean
            step = x / real(sqrt(v + epsilon)) * rate
            if second_slot:
                step = slot_1[i] * momentum + step
                slot_1[i] = step
            weights[i] = w - step

    extras = "".join(f" {name}" for name, there in (("second", second_slot), ("third", third_slot)) if there)
    return Kernel(
        f"update {kind} {dtype}{extras}{' nesterov' if nesterov else ''}",
        kernel,
        (*(f"{dtype}[]",) * 5, "i8", "i8", *(dtype,) * 8),
        THREADS,
        registers=64,
    )


@functools.cache
def squares(dtype: str) -> Kernel:
    """Return totals[v] = sum of squares of grad[starts[v] : starts[v] + counts[v]], in double, a block for each."""
    levels = THREADS.bit_length() - 1

    def kernel(grad: Any, starts: Any, counts: Any, totals: Any) -> None:
        shared = cuda.shared.array(THREADS, np.float64, ALIGNED)
        t, v = int32(cuda.threadIdx.x), int64(cuda.blockIdx.x)
        total = np.float64(0)
        for i in range(t, counts[v], THREADS):
            x = np.float64(grad[starts[v] + i])
            total += x * x
        shared[t] = total
        cuda.syncthreads()
        for level in range(levels):
            half = int32(THREADS >> 1) >> level
            if t < half:
                shared[t] += shared[t + half]
            cuda.syncthreads()
        if t == 0:
            totals[v] = shared[0]

    return Kernel(f"squares {dtype}", kernel, (f"{dtype}[]", "i8[]", "i8[]", "f8[]"), THREADS)


@functools.cache
def entropy(dtype: str, sparse: bool) -> Kernel:
    """Return dst[n] = (p[n] * sum of truth[n] - truth[n]) * share * weight[n], a thread for each sample.

    That is the gradient of cross-entropy with respect to the scores of a softmax, p being its result.
    truth  with `sparse` labels, (rows,) int64; else distributions, (rows, classes)
    weight  (rows,), or anything if not `weighs`
    """
    real = REALS[dtype]
    zero, one = real(0), real(1)

    def kernel(p: Any, truth: Any, weight: Any, dst: Any, rows: Any, classes: Any, share: Any, weighs: Any) -> None:
        n = int64(cuda.blockIdx.x) * THREADS + cuda.threadIdx.x
        if n >= rows:
            return
        scale = share
        if weighs != 0:
            scale = share * weight[n]
        start, total = n * classes, one
        if not sparse:
            total = zero
            for k in range(classes):
                total += truth[start + k]
        for k in range(classes):
            seen = (one if truth[n] == k else zero) if sparse else truth[start + k]
            dst[start + k] = (p[start + k] * total - seen) * scale

    return Kernel(
        f"entropy {'sparse ' if sparse else ''}{dtype}",
        kernel,
        (f"{dtype}[]", "i8[]" if sparse else f"{dtype}[]", f"{dtype}[]", f"{dtype}[]", "i8", "i8", dtype, "i4"),
        THREADS,
    )


def specialisations() -> Iterator[Kernel]:
    """Every kernel that can be asked for."""
    for dtype in REALS:
        yield dropout(dtype)
        yield squares(dtype)
        yield entropy(dtype, False)
        yield entropy(dtype, True)
        yield update("sgd", dtype, False, False)
        for nesterov in (False, True):
            yield update("sgd", dtype, True, False, nesterov)
        for third in (False, True):
            yield update("adam", dtype, True, third)
            for second in (False, True):
                yield update("rmsprop", dtype, second, third)
