"""Pooling: maxima and means of windows, and their gradients, gathered in a fixed order at the speed of memory.

A geometry is a table of int64 by the numbers below. Outputs are numbered in memory order, (n, c, z, y, x) or, channels
last, (n, z, y, x, c); a missing spatial axis has extent 1. A position is (z * height + y) * width + x within its plane.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastconv.cuda._numba import ALIGNED, cuda, device_function, int32, int64
from fastconv.cuda.kernel import Kernel
from fastconv.cuda.primitives import BLOCK, LANES, LOADS_128, REALS, copy_vector, quotient

THREADS = BLOCK
NAMES = (
    "count", "src_at", "dst_at",  # threads with work; where this launch's first image begins
    "multiplier_0", "shift_0", "extent_0", "multiplier_1", "shift_1", "extent_1",
    "multiplier_2", "shift_2", "extent_2", "multiplier_3", "shift_3", "extent_3",
    "n", "c", "z", "y", "x",  # strides of what is read, in elements
    "size_z", "size_y", "size_x",  # of the images
    "out_z", "out_y", "out_x", "kernel_z", "kernel_y", "kernel_x", "stride_z", "stride_y", "stride_x",
    "dilation_z", "dilation_y", "dilation_x", "begin_z", "begin_y", "begin_x", "end_z", "end_y", "end_x",
    "divisor", "include_pad",
    "quick_z", "quick_y", "quick_x", "quick_shift_z", "quick_shift_y", "quick_shift_x",  # divide by the strides
)  # fmt: skip
FIELD = {name: place for place, name in enumerate(NAMES)}
(COUNT, SRC_AT, DST_AT), DIVIDE, STEP = range(3), FIELD["multiplier_0"], FIELD["n"]
SIZE, OUT, KERNEL, STRIDE = FIELD["size_z"], FIELD["out_z"], FIELD["kernel_z"], FIELD["stride_z"]
DILATION, BEGIN, END = FIELD["dilation_z"], FIELD["begin_z"], FIELD["end_z"]
DIVISOR, INCLUDE_PAD = FIELD["divisor"], FIELD["include_pad"]
QUICK, QUICK_SHIFT = FIELD["quick_z"], FIELD["quick_shift_z"]

# Windows whose loops are unrolled, (y, x); others run by the geometry.
FIXED = ((2, 2), (3, 3))


@device_function
def digits(number: Any, geometry: Any) -> Any:
    """Return the five digits of an element's number, the fastest first."""
    rest_0 = quotient(number, geometry[DIVIDE], geometry[DIVIDE + 1])
    rest_1 = quotient(rest_0, geometry[DIVIDE + 3], geometry[DIVIDE + 4])
    rest_2 = quotient(rest_1, geometry[DIVIDE + 6], geometry[DIVIDE + 7])
    rest_3 = quotient(rest_2, geometry[DIVIDE + 9], geometry[DIVIDE + 10])
    return (
        int32(number - rest_0 * geometry[DIVIDE + 2]),
        int32(rest_0 - rest_1 * geometry[DIVIDE + 5]),
        int32(rest_1 - rest_2 * geometry[DIVIDE + 8]),
        int32(rest_2 - rest_3 * geometry[DIVIDE + 11]),
        int32(rest_3),
    )


def _locator(channels_last: bool, lanes: int) -> Callable[..., Any]:
    """Return the device function (x, y, z of an element's number, where its image's channel begins in what is read)."""

    def locate(number: Any, geometry: Any) -> Any:
        d0, d1, d2, d3, n = digits(number, geometry)
        c = d0 * lanes if channels_last else d3
        start = geometry[SRC_AT] + n * geometry[STEP] + c * geometry[STEP + 1]
        return d1 if channels_last else d0, d2 if channels_last else d1, d3 if channels_last else d2, start

    return device_function(locate)


def _spans(adaptive: bool, fixed: tuple[int, int] | None) -> Callable[..., Any]:
    """Return the device function (first position, positions) of a window along an axis: 0 for z, 1 for y, 2 for x."""
    unrolled = fixed is not None
    rows, columns = fixed or (1, 1)

    def span(o: Any, axis: Any, geometry: Any) -> Any:
        if adaptive:
            first = int32(int64(o) * geometry[SIZE + axis] // geometry[OUT + axis])
            past = int32(((int64(o) + 1) * geometry[SIZE + axis] + geometry[OUT + axis] - 1) // geometry[OUT + axis])
            return first, past - first
        first = int32(o * geometry[STRIDE + axis] - geometry[BEGIN + axis])
        if unrolled:
            return first, int32(1 if axis == 0 else (rows if axis == 1 else columns))
        return first, int32(geometry[KERNEL + axis])

    return device_function(span)


@device_function
def counted(first: Any, axis: Any, geometry: Any) -> Any:
    """Return how many positions of a window along an axis count in an average's divisor."""
    size, past = geometry[SIZE + axis], first + geometry[KERNEL + axis]
    if geometry[INCLUDE_PAD] != 0:
        return min(past, size + geometry[END + axis]) - first
    return min(past, size) - max(int64(first), int64(0))


@device_function
def share(z: Any, y: Any, x: Any, geometry: Any) -> Any:
    """Return the divisor of the average over the window that starts there."""
    if geometry[DIVISOR] != 0:
        return geometry[DIVISOR]
    return counted(z, 0, geometry) * counted(y, 1, geometry) * counted(x, 2, geometry)


@functools.cache
def windows(
    maximum: bool, dtype: str, channels_last: bool, vectors: bool, adaptive: bool, fixed: tuple[int, int] | None,
    indexed: bool = False,
) -> Kernel:  # fmt: skip
    """Return dst = maximum or mean of each window; if `indexed` also the position of the first maximum, or -1.

    A thread makes one output, or with `vectors` (channels last) 128 bits of them. The last NaN of a window wins.
    """
    real = REALS[dtype]
    lanes = LANES[dtype] if vectors else 1
    lowest, zero = real(-np.inf), real(0)
    span, locate = _spans(adaptive, fixed), _locator(channels_last, lanes)

    def kernel(src: Any, dst: Any, indices: Any, geometry: Any) -> None:
        best = cuda.local.array(lanes, real, ALIGNED)
        held = cuda.local.array(lanes, real, ALIGNED)
        where = cuda.local.array(lanes, np.int64)
        number = int64(cuda.blockIdx.x) * THREADS + cuda.threadIdx.x
        if number >= geometry[COUNT]:
            return
        x, y, z, start = locate(int32(number), geometry)
        first_z, depth = span(z, 0, geometry)
        first_y, height = span(y, 1, geometry)
        first_x, width = span(x, 2, geometry)
        step_z, step_y, step_x = geometry[DILATION], geometry[DILATION + 1], geometry[DILATION + 2]
        for lane in range(lanes):
            best[lane] = lowest if maximum else zero
            where[lane] = -1
        for k in range(depth):
            pz = first_z + k * step_z
            for j in range(height):
                py = first_y + j * step_y
                for i in range(width):
                    px = first_x + i * step_x
                    inside = (px >= 0) & (px < geometry[SIZE + 2]) & (py >= 0) & (py < geometry[SIZE + 1])
                    if inside & (pz >= 0) & (pz < geometry[SIZE]):
                        place = start + pz * geometry[STEP + 2] + py * geometry[STEP + 3] + px * geometry[STEP + 4]
                        if vectors:
                            copy_vector(held, 0, src, place)
                        else:
                            held[0] = src[place]
                        for lane in range(lanes):
                            v = held[lane]
                            if not maximum:
                                best[lane] += v
                            elif indexed:
                                if (where[lane] < 0) | (v > best[lane]) | (v != v):
                                    best[lane] = v
                                    where[lane] = int64((pz * geometry[SIZE + 1] + py) * geometry[SIZE + 2] + px)
                            elif (v > best[lane]) | (v != v):
                                best[lane] = v
        if not maximum:
            over = real(depth * height * width) if adaptive else real(share(first_z, first_y, first_x, geometry))
            for lane in range(lanes):
                best[lane] = best[lane] / over
        to = geometry[DST_AT] + number * lanes
        if vectors:
            copy_vector(dst, to, best, 0)
        else:
            dst[to] = best[0]
        if indexed:
            for lane in range(lanes):
                indices[to + lane] = where[lane]

    shape = "adaptive" if adaptive else ("{}x{}".format(*fixed) if fixed else "any")
    return Kernel(
        f"pool {'max' if maximum else 'avg'} {dtype} {'last' if channels_last else 'first'} {shape}"
        f"{' vectors' if vectors else ''}{' indices' if indexed else ''}",
        kernel,
        (f"{dtype}[]", f"{dtype}[]", "i8[]", "i8[]"),
        THREADS,
        registers=128,
        instructions=(LOADS_128[dtype],) if vectors else (),
    )


@functools.cache
def gradient(maximum: bool, dtype: str, channels_last: bool, vectors: bool, adaptive: bool) -> Kernel:
    """Return dst = sum over the windows that hold an input's element of their gradients, or of their shares of them.

    A maximum's gradient goes to the position in `indices`. What is read is the gradient, and with
    `vectors` (channels last) a thread makes 128 bits. Windows are added in their order.
    """
    real = REALS[dtype]
    lanes = LANES[dtype] if vectors else 1
    zero = real(0)
    span, locate = _spans(adaptive, None), _locator(channels_last, lanes)

    def window_range(p: Any, axis: Any, geometry: Any) -> Any:
        """Return the first window that may hold a position, and the one past the last."""
        size, out = geometry[SIZE + axis], geometry[OUT + axis]
        if adaptive:
            return int32(int64(p) * out // size), int32(((int64(p) + 1) * out + size - 1) // size)
        at, stride = p + geometry[BEGIN + axis], geometry[STRIDE + axis]
        early = at - (geometry[KERNEL + axis] - 1) * geometry[DILATION + axis]
        multiplier, shift = geometry[QUICK + axis], geometry[QUICK_SHIFT + axis]
        first = quotient(max(early, int64(0)) + stride - 1, multiplier, shift)
        return first, int32(min(int64(quotient(at, multiplier, shift)) + 1, out))

    range_of = device_function(window_range)

    def kernel(grad: Any, dst: Any, indices: Any, geometry: Any) -> None:
        total = cuda.local.array(lanes, real, ALIGNED)
        held = cuda.local.array(lanes, real, ALIGNED)
        number = int64(cuda.blockIdx.x) * THREADS + cuda.threadIdx.x
        if number >= geometry[COUNT]:
            return
        x, y, z, start = locate(int32(number), geometry)
        first_z, past_z = range_of(z, 0, geometry)
        first_y, past_y = range_of(y, 1, geometry)
        first_x, past_x = range_of(x, 2, geometry)
        here = (z * geometry[SIZE + 1] + y) * geometry[SIZE + 2] + x
        for lane in range(lanes):
            total[lane] = zero
        for oz in range(first_z, past_z):
            for oy in range(first_y, past_y):
                for ox in range(first_x, past_x):
                    place = start + oz * geometry[STEP + 2] + oy * geometry[STEP + 3] + ox * geometry[STEP + 4]
                    if vectors:
                        copy_vector(held, 0, grad, place)
                    else:
                        held[0] = grad[place]
                    if maximum:
                        for lane in range(lanes):
                            if indices[place + lane] == here:
                                total[lane] += held[lane]
                    else:
                        begin_z, depth = span(oz, 0, geometry)
                        begin_y, height = span(oy, 1, geometry)
                        begin_x, width = span(ox, 2, geometry)
                        within = depth * height * width
                        over = real(within) if adaptive else real(share(begin_z, begin_y, begin_x, geometry))
                        for lane in range(lanes):
                            total[lane] += held[lane] / over
        to = geometry[DST_AT] + number * lanes
        if vectors:
            copy_vector(dst, to, total, 0)
        else:
            dst[to] = total[0]

    return Kernel(
        f"pool gradient {'max' if maximum else 'avg'} {dtype} {'last' if channels_last else 'first'}"
        f"{' adaptive' if adaptive else ''}{' vectors' if vectors else ''}",
        kernel,
        (f"{dtype}[]", f"{dtype}[]", "i8[]", "i8[]"),
        THREADS,
        registers=128,
        instructions=(LOADS_128[dtype],) if vectors else (),
    )


STRANDS = {False: 32, True: 8}  # threads per channel, by channels_last; the others of a block are other channels


@functools.cache
def whole(maximum: bool, dtype: str, channels_last: bool) -> Kernel:
    """Return dst[n * channels + c] = maximum or mean over all pixels, several threads for each and a tree of them.

    Pixel p of (n, c) lies at n * image_step + c * channel_step + p * pixel_step. Threads of a warp run along pixels, or
    along channels if those are last.
    """
    real = REALS[dtype]
    strands = STRANDS[channels_last]
    across = THREADS // strands
    levels = strands.bit_length() - 1
    nothing = real(-np.inf) if maximum else real(0)

    def kernel(
        src: Any, dst: Any, channels: Any, tiles: Any, pixels: Any, image_step: Any, channel_step: Any, pixel_step: Any
    ) -> None:
        shared = cuda.shared.array(THREADS, real, ALIGNED)
        t, block = int32(cuda.threadIdx.x), int64(cuda.blockIdx.x)
        strand = t // across if channels_last else t % strands
        member = t % across if channels_last else t // strands
        n, c = block // tiles, block % tiles * across + member
        result = nothing
        if c < channels:
            start = n * image_step + c * channel_step
            for p in range(strand, pixels, strands):
                v = src[start + p * pixel_step]
                if not maximum:
                    result += v
                elif (v > result) | (v != v):
                    result = v
        place = strand * across + member
        shared[place] = result
        cuda.syncthreads()
        for level in range(levels):
            half = int32(strands >> 1) >> level
            if strand < half:
                v = shared[place + half * across]
                if not maximum:
                    shared[place] += v
                elif (v > shared[place]) | (v != v):
                    shared[place] = v
            cuda.syncthreads()
        if (strand == 0) & (c < channels):
            dst[n * channels + c] = shared[place] if maximum else shared[place] / real(pixels)

    return Kernel(
        f"pool whole {'max' if maximum else 'avg'} {dtype} {'last' if channels_last else 'first'}",
        kernel,
        (f"{dtype}[]", f"{dtype}[]", "i8", "i8", "i8", "i8", "i8", "i8"),
        THREADS,
        registers=64,
    )


def specialisations() -> Iterator[Kernel]:
    """Every kernel that can be asked for."""
    for dtype in REALS:
        for channels_last, vectors in ((False, False), (True, False), (True, True)):
            for maximum in (False, True):
                for adaptive in (False,) if vectors else (False, True):
                    yield gradient(maximum, dtype, channels_last, vectors, adaptive)
                    for indexed in (False, True) if maximum else (False,):
                        yield windows(maximum, dtype, channels_last, vectors, adaptive, None, indexed)
                for fixed in FIXED if dtype == "f4" else ():
                    yield windows(maximum, dtype, channels_last, vectors, False, fixed)
                if not vectors:
                    yield whole(maximum, dtype, channels_last)
