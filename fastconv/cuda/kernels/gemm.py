"""Convolution as a matrix product whose operands are never written down: the forward pass and both gradients.

Rows are output positions, columns output channels of a group, products run over (tap, channel). A table has for each
product where its input lies relative to the row's base, where its weight lies, and how far the tap moves the row's
position, so that padding is a comparison. The gradient of the input is the same over a subset of the taps for each
phase of the stride; the gradient of the weights is the same with channels as rows' images and positions as products.

    block     a tile of rows × columns of one group; blockIdx is (tile, split of the sum, phase)
    thread    rows_each × columns_each sums in registers, in vectors of 128 bits
    shared    two buffers of depth × (rows + columns), written from registers while the other is multiplied
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastconv.cuda._numba import ALIGNED, cuda, device_function, int32, int64
from fastconv.cuda.kernel import Kernel
from fastconv.cuda.kernels import activations
from fastconv.cuda.kernels import tensor as matrix_units
from fastconv.cuda.kernels.gemm_operands import (
    ENTRY,
    NOWHERE,
    first_line,
    first_product,
    load_columns,
    load_rows,
    multiply,
    store,
)
from fastconv.cuda.kernels.geometry import FIELD, FIELDS, along, digits
from fastconv.cuda.kernels.tiles import TENSOR, TILES, Strip, Tile, share
from fastconv.cuda.primitives import LANES, MMA_TF32, REALS, copy_vector, fetch, put

RESIDENT = {256: 2, 128: 3, 64: 6}  # blocks per multiprocessor: threads of at most 128 or 168 registers
PAD = 4  # elements between rows of shared memory beyond a tile: transposed stores then meet no bank twice

(ROWS, COLUMNS, ROW_TILES, COLUMN_TILES, TABLE, STEPS, LAST_STEP, SPLIT_STEPS, SRC_IMAGE, WEIGHT_IMAGE, SRC_GROUP,
 WEIGHT_GROUP, DST_GROUP, WEIGHT_COLUMN, DST_COLUMN, DEPTH, HEIGHT, WIDTH, ORIGIN_Z, ORIGIN_Y, ORIGIN_X, DST_ORIGIN,
 DST_SPLIT, BIAS, VECTORS) = range(25)  # fmt: skip
assert FIELD["vectors"] == VECTORS
SRC_0, DST_0, Z_0, Y_0, X_0 = (FIELD[f"{what}_0"] for what in ("src", "dst", "z", "y", "x"))


@functools.cache
def gemm(
    tile: Tile, dtype: str, left: str, right: str, fast: str, volumes: bool, activation: str, tensor: bool = False
) -> Kernel:  # fmt: skip
    """Return the kernel of dst = activation(rows · columns + bias).

    left, right : {"", "line", "product"}
        What vectors of the operands run along. "line": lines that are neighbours lie one after the other in memory, in
        whole vectors, and move together. "product": the same of products.
    fast : {"row", "column"}
        What threads of a warp, and vectors of results, run along.
    volumes : bool
        Whether positions have a depth.
    tensor : bool
        Multiply on tensor cores, what is loaded rounded to TF32; the tile is one of tiles.TENSOR.
    """
    real, lanes = REALS[dtype], LANES[dtype]
    zero = real(0)
    rows_tile, columns_tile, depth_tile, rows_each, columns_each = tile
    pad = matrix_units.PAD if tensor else PAD
    threads, pitch_left, pitch_right = tile.threads, tile.rows + pad, tile.columns + pad
    left_part, right_part = share(tile, tile.rows, left, dtype), share(tile, tile.columns, right, dtype)
    left_line, left_product = first_line(left_part), first_product(left_part)
    right_line, right_product = first_line(right_part), first_product(right_part)
    load_left, load_right = load_rows(left_part, zero, volumes), load_columns(right_part, zero)
    store_left, store_right = store(left_part, pitch_left, tensor), store(right_part, pitch_right, tensor)
    held_left, held_right = left_part.held, right_part.held
    lines_each, line_step = left_part.lines_each, left_part.line_step
    column_lines_each, column_line_step = right_part.lines_each, right_part.line_step
    if tensor:
        rows_of, columns_of = matrix_units.strips(tile)
        place_of, step = matrix_units.places(tile), matrix_units.multiply(tile, (pitch_left, pitch_right))
    else:
        rows_of, columns_of = tile.strips(lanes)
        place_of = _places(tile, lanes, fast)
        step = multiply(depth_tile, rows_of, columns_of, (pitch_left, pitch_right))
    held_rows, held_columns = rows_each * (2 if tensor else 1), columns_each
    finish = _finish(dtype, rows_of, columns_of, fast, activation)
    buffer_left, buffer_right = depth_tile * pitch_left, depth_tile * pitch_right
    buffers_left, buffers_right, each = 2 * buffer_left, 2 * buffer_right, rows_each * columns_each

    def kernel(
        src: Any, weights: Any, bias: Any, dst: Any, table: Any, depths: Any, geometry: Any, alpha: Any, beta: Any
    ) -> None:
        shared_left = cuda.shared.array(buffers_left, real, ALIGNED)
        shared_right = cuda.shared.array(buffers_right, real, ALIGNED)
        sums = cuda.local.array(each, real, ALIGNED)
        a = cuda.local.array(held_rows, real, ALIGNED)
        b = cuda.local.array(held_columns, real, ALIGNED)
        held_a = cuda.local.array(held_left, real, ALIGNED)
        held_b = cuda.local.array(held_right, real, ALIGNED)
        entry = cuda.local.array(ENTRY, np.int32, ALIGNED)
        base = cuda.local.array(lines_each, np.int64)
        start = cuda.local.array(column_lines_each, np.int64)
        y = cuda.local.array(lines_each, np.int32)
        x = cuda.local.array(lines_each, np.int32)
        z = cuda.local.array(lines_each, np.int32)

        # which tile of which group
        at = int32(cuda.blockIdx.z) * FIELDS
        t = int32(cuda.threadIdx.x)
        block = int32(cuda.blockIdx.x)
        column_tiles, row_tiles = int32(fetch(geometry, at + COLUMN_TILES)), int32(fetch(geometry, at + ROW_TILES))
        first_row = block // column_tiles % row_tiles * rows_tile
        first_column = block % column_tiles * columns_tile
        group = block // column_tiles // row_tiles
        rows, columns = int32(fetch(geometry, at + ROWS)), int32(fetch(geometry, at + COLUMNS))
        first_step = int32(cuda.blockIdx.y) * int32(fetch(geometry, at + SPLIT_STEPS))
        last_step = min(first_step + int32(fetch(geometry, at + SPLIT_STEPS)), int32(fetch(geometry, at + LAST_STEP)))
        if first_row >= rows:
            return

        # the lines that this thread loads
        steps = max(int32(fetch(geometry, at + STEPS)), int32(1))
        image = first_step // steps
        within = first_step - image * steps
        line, product = left_line(t), left_product(t)
        column_line, column_product = right_line(t), right_product(t)
        for i in range(lines_each):
            row = first_row + line + i * line_step
            base[i] = 0
            y[i] = NOWHERE
            x[i] = 0
            z[i] = 0
            if row < rows:
                number = digits(row, geometry, at)
                base[i] = (
                    along(number, geometry, at + SRC_0)
                    + group * fetch(geometry, at + SRC_GROUP)
                    + image * fetch(geometry, at + SRC_IMAGE)
                )
                y[i] = int32(along(number, geometry, at + Y_0) + fetch(geometry, at + ORIGIN_Y))
                x[i] = int32(along(number, geometry, at + X_0) + fetch(geometry, at + ORIGIN_X))
                if volumes:
                    z[i] = int32(along(number, geometry, at + Z_0) + fetch(geometry, at + ORIGIN_Z))
        for i in range(column_lines_each):
            column = first_column + column_line + i * column_line_step
            column = column if column < columns else int32(0)
            start[i] = (
                column * fetch(geometry, at + WEIGHT_COLUMN)
                + group * fetch(geometry, at + WEIGHT_GROUP)
                + image * fetch(geometry, at + WEIGHT_IMAGE)
            )
        height, width = int32(fetch(geometry, at + HEIGHT)), int32(fetch(geometry, at + WIDTH))
        depth = int32(fetch(geometry, at + DEPTH))
        for i in range(each):
            sums[i] = zero

        # the sum: load a step while the one before is multiplied
        row_in_tile, column_in_tile = place_of(t)
        table_start = int32(fetch(geometry, at + TABLE))
        buffer = int32(0)
        if first_step < last_step:
            place = table_start + within * depth_tile
            load_left(held_a, src, table, depths, entry, place + product, base, y, x, z, height, width, depth)
            load_right(held_b, weights, table, entry, place + column_product, start)
            store_left(shared_left, 0, held_a, line, product)
            store_right(shared_right, 0, held_b, column_line, column_product)
        cuda.syncthreads()
        for now in range(first_step, last_step):
            more = now + 1 < last_step
            if more:
                within += 1
                if within == steps:
                    within = int32(0)
                    for i in range(lines_each):
                        base[i] += fetch(geometry, at + SRC_IMAGE)
                    for i in range(column_lines_each):
                        start[i] += fetch(geometry, at + WEIGHT_IMAGE)
                place = table_start + within * depth_tile
                load_left(held_a, src, table, depths, entry, place + product, base, y, x, z, height, width, depth)
                load_right(held_b, weights, table, entry, place + column_product, start)
            step(sums, shared_left, shared_right, a, b, buffer * buffer_left, buffer * buffer_right,
                 row_in_tile, column_in_tile)  # fmt: skip
            buffer = int32(1) - buffer
            if more:
                store_left(shared_left, buffer * buffer_left, held_a, line, product)
                store_right(shared_right, buffer * buffer_right, held_b, column_line, column_product)
            cuda.syncthreads()

        row, column = first_row + row_in_tile, first_column + column_in_tile
        finish(sums, a, b, bias, dst, geometry, at, row, column, rows, columns, group, int32(cuda.blockIdx.y),
               alpha, beta)  # fmt: skip

    return Kernel(
        f"gemm {dtype} {tile}, left {left or 'single'}, right {right or 'single'}, {fast} fast"
        f"{', volumes' if volumes else ''}{', tf32' if tensor else ''}"
        f"{'' if activation == 'linear' else ', ' + activation}",
        kernel,
        (*(f"{dtype}[]",) * 4, "i4[]", "i4[]", "i8[]", dtype, dtype),
        threads,
        registers=min(65536 // (threads * RESIDENT.get(threads, 1)) // 8 * 8, 255),
        resident=RESIDENT.get(threads, 1),
        instructions=("cvt.rna.tf32.f32", MMA_TF32)
        if tensor
        else ({"f4": ("ld.shared.v4.f32", "fma.rn.f32"), "f8": ("ld.shared.v2.f64", "fma.rn.f64")}[dtype]),
    )


def _places(tile: Tile, lanes: int, fast: str) -> Callable[..., Any]:
    """Return t -> the first row and the first column of thread t's sums."""
    across, row_fast = (tile.rows // tile.rows_each, tile.columns // tile.columns_each), fast == "row"
    threads_rows, threads_columns = across

    def function(t: Any) -> Any:
        row = t % threads_rows if row_fast else t // threads_columns
        column = t // threads_rows if row_fast else t % threads_columns
        return row * lanes, column * lanes

    return device_function(function)


def _finish(dtype: str, rows_of: Strip, columns_of: Strip, fast: str, activation: str) -> Callable[..., Any]:
    """Return what ends a tile: bias, activation, and the stores, in vectors along the fast axis where they fit."""
    lanes, zero = LANES[dtype], REALS[dtype](0)
    apply = activations.forward(activation, dtype)
    rows_each, row_run, row_step = rows_of
    columns_each, column_run, column_step = columns_of
    vectors = (row_run if fast == "row" else column_run) == lanes

    def _begin(b: Any, bias: Any, geometry: Any, at: Any, column: Any, columns: Any, group: Any, split: Any) -> Any:
        for j in range(columns_each):
            k = column + j // column_run * column_step + j % column_run
            b[j] = zero
            if (k < columns) & (fetch(geometry, at + BIAS) != 0):
                b[j] = fetch(bias, int64(group) * columns + k)
        return (
            fetch(geometry, at + DST_ORIGIN)
            + group * fetch(geometry, at + DST_GROUP)
            + split * fetch(geometry, at + DST_SPLIT)
        )

    begin = device_function(_begin)

    def by_columns(
        sums: Any, a: Any, b: Any, bias: Any, dst: Any, geometry: Any, at: Any, row: Any, column: Any,
        rows: Any, columns: Any, group: Any, split: Any, alpha: Any, beta: Any,
    ) -> None:  # fmt: skip
        start, stride = begin(b, bias, geometry, at, column, columns, group, split), fetch(geometry, at + DST_COLUMN)
        for i in range(rows_each):
            r = row + i // row_run * row_step + i % row_run
            if r < rows:
                to = start + along(digits(r, geometry, at), geometry, at + DST_0)
                for j in range(columns_each):
                    a[j % lanes] = apply(sums[i * columns_each + j] + b[j], alpha, beta)
                    k = column + j // column_run * column_step + j % column_run
                    if vectors & (fetch(geometry, at + VECTORS) != 0):
                        if (j % lanes == lanes - 1) & (k < columns):
                            copy_vector(dst, to + k - (lanes - 1), a, 0)
                    elif k < columns:
                        put(dst, to + k * stride, a[j % lanes])

    def by_rows(
        sums: Any, a: Any, b: Any, bias: Any, dst: Any, geometry: Any, at: Any, row: Any, column: Any,
        rows: Any, columns: Any, group: Any, split: Any, alpha: Any, beta: Any,
    ) -> None:  # fmt: skip
        start, stride = begin(b, bias, geometry, at, column, columns, group, split), fetch(geometry, at + DST_COLUMN)
        for g in range(rows_each // row_run):
            r = row + g * row_step
            if vectors & (fetch(geometry, at + VECTORS) != 0):
                if r < rows:
                    to = start + along(digits(r, geometry, at), geometry, at + DST_0)
                    for j in range(columns_each):
                        k = column + j // column_run * column_step + j % column_run
                        if k < columns:
                            for lane in range(row_run):
                                a[lane] = apply(sums[(g * row_run + lane) * columns_each + j] + b[j], alpha, beta)
                            copy_vector(dst, to + k * stride, a, 0)
            else:
                for lane in range(row_run):
                    if r + lane < rows:
                        to = start + along(digits(r + lane, geometry, at), geometry, at + DST_0)
                        for j in range(columns_each):
                            k = column + j // column_run * column_step + j % column_run
                            if k < columns:
                                value = sums[(g * row_run + lane) * columns_each + j] + b[j]
                                put(dst, to + k * stride, apply(value, alpha, beta))

    return device_function(by_rows if fast == "row" else by_columns)


# (left, right, fast) that operators ask for. Channels first: any; 1 × 1. Channels last: any; dense; gradients.
FORMS = (
    ("", "", "row"), ("", "product", "row"), ("line", "product", "row"), ("line", "line", "row"),
    ("product", "product", "row"), ("", "", "column"), ("", "line", "column"), ("product", "line", "column"),
    ("product", "product", "column"), ("line", "line", "column"),
)  # fmt: skip
PLAIN = (("", "", "row"), ("", "", "column"))
SOME = (*PLAIN, ("", "product", "row"), ("line", "product", "row"), ("product", "line", "column"))
FORWARD = (*PLAIN, ("", "product", "row"), ("product", "line", "column"))
FORMS_OF = {Tile(128, 128, 8, 8, 8): FORMS, Tile(64, 64, 8, 8, 8): SOME, **dict.fromkeys(TENSOR.values(), FORWARD)}


def form(tile: Tile, left: str, right: str, fast: str) -> tuple[str, str, str]:
    """Return the nearest form that there is for a tile: fewer vectors serve as well."""
    there = FORMS_OF.get(tile, PLAIN)
    return next((*wish, fast) for wish in ((left, right), (left, ""), ("", right), ("", "")) if (*wish, fast) in there)


def specialisations() -> Iterator[Kernel]:
    """Every tile and form with no activation; a light one on the largest tile, volumes and others on the smallest.

    Results of float64 that are not dense end in heavy activations too, at 128 bytes of local memory a thread.
    """
    for dtype, tiles in TILES.items():
        for tile in tiles:
            for left, right, fast in FORMS_OF.get(tile, PLAIN):
                yield gemm(tile, dtype, left, right, fast, False, "linear")
        heavy = ("tanh", "gelu") if dtype == "f4" else ("linear",)
        for fast, activation in (*(("row", name) for name in heavy), ("column", "linear")):
            yield gemm(tiles[-1], dtype, "", "", fast, True, activation)
    yield gemm(TILES["f4"][0], "f4", "", "", "row", False, "relu")
    for tile in TENSOR.values():
        for left, right, fast in FORMS_OF[tile]:
            yield gemm(tile, "f4", left, right, fast, False, "linear", tensor=True)
