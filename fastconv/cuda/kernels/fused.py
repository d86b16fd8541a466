"""A convolution of few channels, its activation and 2 × 2 pooling, in one pass that writes a quarter of the results."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from fastconv.cuda._numba import ALIGNED, cuda, int32, int64
from fastconv.cuda.kernel import Kernel
from fastconv.cuda.kernels import activations
from fastconv.cuda.primitives import BLOCK, REALS, fetch, put, quotient, uint32

THREADS = BLOCK
OUTPUTS = 4  # output channels of a thread: with its 4 positions 16 sums
MOST_WEIGHTS = 4096  # of a block's filters, in shared memory

# int64 that a launch passes beside the arrays
PARAMETERS = (
    "count", "channels", "outputs", "kernel_height", "kernel_width", "height", "width",
    "stride_y", "stride_x", "dilation_y", "dilation_x", "top", "left",
    "rows", "rows_multiplier", "rows_shift", "columns", "columns_multiplier", "columns_shift",
    "src_n", "src_c", "src_y", "src_x", "dst_n", "dst_c", "dst_y", "dst_x",
    "weight_o", "weight_c", "weight_y", "weight_x", "bias",
)  # fmt: skip
(COUNT, CHANNELS, OUT, KH, KW, HEIGHT, WIDTH, STRIDE_Y, STRIDE_X, DILATION_Y, DILATION_X, TOP, LEFT, ROWS, ROWS_M,
 ROWS_S, COLUMNS, COLUMNS_M, COLUMNS_S, SRC_N, SRC_C, SRC_Y, SRC_X, DST_N, DST_C, DST_Y, DST_X, WEIGHT_O, WEIGHT_C,
 WEIGHT_Y, WEIGHT_X, BIAS) = range(len(PARAMETERS))  # fmt: skip


@functools.cache
def conv_pool(dtype: str, pool: str, activation: str) -> Kernel:
    """Return dst = pool(activation(conv(src) + bias)) over windows of 2 × 2 at stride 2.

    A thread makes one position of OUTPUTS channels; blockIdx is (positions of all images, channels / OUTPUTS). The
    block's filters lie in shared memory, [channel][tap][output].
    """
    real, apply = REALS[dtype], activations.forward(activation, dtype)
    zero, quarter = real(0), real(0.25)
    maximum = pool == "max"
    sums_each = 4 * OUTPUTS

    def kernel(src: Any, weights: Any, bias: Any, dst: Any, parameters: Any, alpha: Any, beta: Any) -> None:
        shared = cuda.shared.array(MOST_WEIGHTS, real, ALIGNED)
        sums = cuda.local.array(sums_each, real, ALIGNED)
        pixels = cuda.local.array(4, real, ALIGNED)
        t = int32(cuda.threadIdx.x)
        first = int32(cuda.blockIdx.y) * OUTPUTS
        channels, outputs = int32(fetch(parameters, CHANNELS)), int32(fetch(parameters, OUT))
        kh, kw = int32(fetch(parameters, KH)), int32(fetch(parameters, KW))
        for place in range(t, channels * kh * kw * OUTPUTS, THREADS):
            o, rest = place % OUTPUTS, place // OUTPUTS
            c, r, s = rest // (kh * kw), rest // kw % kh, rest % kw
            shared[place] = zero
            if first + o < outputs:
                shared[place] = fetch(
                    weights,
                    (first + o) * fetch(parameters, WEIGHT_O) + c * fetch(parameters, WEIGHT_C)
                    + r * fetch(parameters, WEIGHT_Y) + s * fetch(parameters, WEIGHT_X),
                )  # fmt: skip
        cuda.syncthreads()
        position = int64(cuda.blockIdx.x) * THREADS + t
        if position >= fetch(parameters, COUNT):
            return
        above = quotient(position, fetch(parameters, COLUMNS_M), fetch(parameters, COLUMNS_S))
        column = int32(position - above * fetch(parameters, COLUMNS))
        image = quotient(above, fetch(parameters, ROWS_M), fetch(parameters, ROWS_S))
        row = int32(above - image * fetch(parameters, ROWS))
        for i in range(sums_each):
            sums[i] = zero
        step_y, step_x = int32(fetch(parameters, STRIDE_Y)), int32(fetch(parameters, STRIDE_X))
        height, width = uint32(fetch(parameters, HEIGHT)), uint32(fetch(parameters, WIDTH))
        top = 2 * row * step_y - int32(fetch(parameters, TOP))
        left = 2 * column * step_x - int32(fetch(parameters, LEFT))
        at = int32(0)
        for c in range(channels):
            plane = image * fetch(parameters, SRC_N) + c * fetch(parameters, SRC_C)
            for r in range(kh):
                for s in range(kw):
                    for p in range(4):
                        y = int32(top + r * fetch(parameters, DILATION_Y) + p // 2 * step_y)
                        x = int32(left + s * fetch(parameters, DILATION_X) + p % 2 * step_x)
                        pixels[p] = zero
                        if (uint32(y) < height) & (uint32(x) < width):
                            pixels[p] = fetch(src, plane + y * fetch(parameters, SRC_Y) + x * fetch(parameters, SRC_X))
                    for o in range(OUTPUTS):
                        weight = shared[at + o]
                        for p in range(4):
                            sums[o * 4 + p] += weight * pixels[p]
                    at += OUTPUTS
        to = image * fetch(parameters, DST_N) + row * fetch(parameters, DST_Y) + column * fetch(parameters, DST_X)
        for o in range(OUTPUTS):
            if first + o < outputs:
                add = zero
                if fetch(parameters, BIAS) != 0:
                    add = fetch(bias, first + o)
                for p in range(4):
                    sums[o * 4 + p] = apply(sums[o * 4 + p] + add, alpha, beta)
                result = sums[o * 4]
                if maximum:
                    for p in range(1, 4):
                        # a NaN is the largest of all
                        result = result if (result >= sums[o * 4 + p]) | (result != result) else sums[o * 4 + p]
                else:
                    result = (sums[o * 4] + sums[o * 4 + 1] + sums[o * 4 + 2] + sums[o * 4 + 3]) * quarter
                put(dst, to + (first + o) * fetch(parameters, DST_C), result)

    return Kernel(
        f"conv_pool {dtype} {pool} {activation}",
        kernel,
        (*(f"{dtype}[]",) * 4, "i8[]", dtype, dtype),
        THREADS,
        registers=128,
        resident=2,
        instructions=({"f4": "fma.rn.f32", "f8": "fma.rn.f64"}[dtype],),
    )


def specialisations() -> Iterator[Kernel]:
    """Both poolings with activations that take registers."""
    for dtype in REALS:
        yield conv_pool(dtype, "max", "gelu")
        yield conv_pool(dtype, "avg", "tanh")
