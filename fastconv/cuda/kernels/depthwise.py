"""Convolutions in which a channel meets its own filter alone: no operand is shared, so memory sets the pace."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastconv.cuda._numba import ALIGNED, cuda, int32, int64
from fastconv.cuda.kernel import Kernel
from fastconv.cuda.kernels import activations
from fastconv.cuda.kernels.gemm_operands import DX, DY, ENTRY, SRC, WEIGHT
from fastconv.cuda.kernels.geometry import FIELD, FIELDS, along, digits
from fastconv.cuda.primitives import BLOCK, LANES, LOADS_128, REALS, copy_vector, fetch, put, uint32

THREADS = BLOCK
UNROLLED = (9, 25)  # taps of filters whose loop has no end to test

(ROWS, TABLE, STEPS, SRC_IMAGE, DST_IMAGE, DEPTH, HEIGHT, WIDTH, ORIGIN_Z, ORIGIN_Y, ORIGIN_X, DST_ORIGIN, SRC_0, DST_0,
 Z_0, Y_0, X_0, WEIGHT_0, BIAS_0) = (FIELD[name] for name in (
    "rows", "table", "steps", "src_image", "dst_image", "depth", "height", "width", "origin_z", "origin_y", "origin_x",
    "dst_origin", "src_0", "dst_0", "z_0", "y_0", "x_0", "weight_0", "bias_0"))  # fmt: skip


@functools.cache
def depthwise(dtype: str, vectors: bool, taps: int, activation: str) -> Kernel:
    """Return dst = activation(sum over taps of src · weights + bias), a row of one image and one phase per thread.

    A row is an output position of a channel, or of as many channels as 128 bits hold when `vectors`. blockIdx is (rows,
    images, phase); a thread goes through the images that are gridDim.y apart. `taps` is their number, or 0 for any.
    """
    real, apply = REALS[dtype], activations.forward(activation, dtype)
    lanes = LANES[dtype] if vectors else 1
    zero = real(0)

    def kernel(
        src: Any, weights: Any, bias: Any, dst: Any, table: Any, depths: Any, geometry: Any, images: Any, has_bias: Any,
        alpha: Any, beta: Any,
    ) -> None:  # fmt: skip
        sums = cuda.local.array(lanes, real, ALIGNED)
        a = cuda.local.array(lanes, real, ALIGNED)
        b = cuda.local.array(lanes, real, ALIGNED)
        entry = cuda.local.array(ENTRY, np.int32, ALIGNED)
        at = int32(cuda.blockIdx.z) * FIELDS
        row = int32(cuda.blockIdx.x) * THREADS + int32(cuda.threadIdx.x)
        if row < fetch(geometry, at + ROWS):
            number = digits(row, geometry, at)
            base = along(number, geometry, at + SRC_0)
            to = along(number, geometry, at + DST_0) + fetch(geometry, at + DST_ORIGIN)
            start = along(number, geometry, at + WEIGHT_0)
            first = along(number, geometry, at + BIAS_0)
            z = int32(along(number, geometry, at + Z_0) + fetch(geometry, at + ORIGIN_Z))
            y = int32(along(number, geometry, at + Y_0) + fetch(geometry, at + ORIGIN_Y))
            x = int32(along(number, geometry, at + X_0) + fetch(geometry, at + ORIGIN_X))
            depth, height = uint32(fetch(geometry, at + DEPTH)), uint32(fetch(geometry, at + HEIGHT))
            width = uint32(fetch(geometry, at + WIDTH))
            place = int32(fetch(geometry, at + TABLE))
            count = taps if taps > 0 else int32(fetch(geometry, at + STEPS))
            for image in range(int64(cuda.blockIdx.y), images, int64(cuda.gridDim.y)):
                for lane in range(lanes):
                    sums[lane] = zero
                    if has_bias != 0:
                        sums[lane] = fetch(bias, first + lane)
                pixel = base + image * fetch(geometry, at + SRC_IMAGE)
                for k in range(count):
                    copy_vector(entry, 0, table, (place + k) * ENTRY)
                    inside = (uint32(y + entry[DY]) < height) & (uint32(x + entry[DX]) < width)
                    if inside & (uint32(z + fetch(depths, place + k)) < depth):
                        if vectors:
                            copy_vector(a, 0, src, pixel + entry[SRC])
                            copy_vector(b, 0, weights, start + entry[WEIGHT])
                        else:
                            a[0] = fetch(src, pixel + entry[SRC])
                            b[0] = fetch(weights, start + entry[WEIGHT])
                        for lane in range(lanes):
                            sums[lane] += a[lane] * b[lane]
                for lane in range(lanes):
                    sums[lane] = apply(sums[lane], alpha, beta)
                if vectors:
                    copy_vector(dst, to + image * fetch(geometry, at + DST_IMAGE), sums, 0)
                else:
                    put(dst, to + image * fetch(geometry, at + DST_IMAGE), sums[0])

    vector = (LOADS_128[dtype],) if vectors else ()
    return Kernel(
        f"depthwise {dtype}{' vectors' if vectors else ''}{f', {taps} taps' if taps else ''}"
        f"{'' if activation == 'linear' else ', ' + activation}",
        kernel,
        (*(f"{dtype}[]",) * 4, "i4[]", "i4[]", "i8[]", "i8", "i4", dtype, dtype),
        THREADS,
        registers=128,
        resident=2,
        instructions=vector,
    )


@functools.cache
def depthwise_weight(dtype: str, side: int) -> Kernel:
    """Return partial[part * size + place of channel and tap] = the sum of g · src over a part, in a fixed order.

    blockIdx is (channels / side, taps, parts); a part is `length` output positions, rows of the geometry. Of a block's
    threads `side` stand side by side along channels, where those lie one after the other, the others along positions.

    table    an entry for each tap, and then its depths
    steps    of src, g and weights, from a channel to the next
    """
    real = REALS[dtype]
    zero = real(0)
    deep = THREADS // side
    levels = deep.bit_length() - 1

    def kernel(
        src: Any, grad: Any, partial: Any, table: Any, geometry: Any, count: Any, length: Any, channels: Any,
        src_step: Any, grad_step: Any, weight_step: Any, size: Any,
    ) -> None:  # fmt: skip
        shared = cuda.shared.array(THREADS, real, ALIGNED)
        entry = cuda.local.array(ENTRY, np.int32, ALIGNED)
        t = int32(cuda.threadIdx.x)
        channel, line = int32(cuda.blockIdx.x) * side + t % side, t // side
        tap, part = int32(cuda.blockIdx.y), int64(cuda.blockIdx.z)
        height, width = uint32(fetch(geometry, HEIGHT)), uint32(fetch(geometry, WIDTH))
        depth = uint32(fetch(geometry, DEPTH))
        copy_vector(entry, 0, table, tap * ENTRY)
        dz = fetch(table, int64(cuda.gridDim.y) * ENTRY + tap)
        total = zero
        if channel < channels:
            for row in range(part * length + line, min((part + 1) * length, count), deep):
                number = digits(row, geometry, 0)
                y = int32(along(number, geometry, Y_0) + fetch(geometry, ORIGIN_Y)) + entry[DY]
                x = int32(along(number, geometry, X_0) + fetch(geometry, ORIGIN_X)) + entry[DX]
                z = int32(along(number, geometry, Z_0) + fetch(geometry, ORIGIN_Z)) + dz
                if (uint32(y) < height) & (uint32(x) < width) & (uint32(z) < depth):
                    a = fetch(src, along(number, geometry, SRC_0) + entry[SRC] + channel * src_step)
                    total += a * fetch(grad, along(number, geometry, DST_0) + channel * grad_step)
        shared[t] = total
        cuda.syncthreads()
        for level in range(levels):
            half = int32(deep >> 1) >> level
            if line < half:
                shared[t] += shared[t + half * side]
            cuda.syncthreads()
        if (line == 0) & (channel < channels):
            put(partial, part * size + channel * weight_step + entry[WEIGHT], shared[t])

    return Kernel(
        f"depthwise weights {dtype}, {side} channels",
        kernel,
        (*(f"{dtype}[]",) * 3, "i4[]", "i8[]", *("i8",) * 7),
        THREADS,
        registers=96,
    )


def specialisations() -> Iterator[Kernel]:
    """Every kernel without an activation, and the one of most registers with a heavy one."""
    for dtype in REALS:
        for vectors in (False, True):
            for taps in (0, *UNROLLED):
                yield depthwise(dtype, vectors, taps, "linear")
        yield depthwise(dtype, True, UNROLLED[-1], "gelu")
        for side in (1, 32):
            yield depthwise_weight(dtype, side)
