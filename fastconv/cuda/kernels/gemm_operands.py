"""Loading operands of the implicit matrix product: from memory into registers, and from there into shared memory.

A *line* is a row of the left operand (an output position) or a column of the right one (an output channel); *products*
run along the sum. The table says for each product where it is found and by how much it moves a line's position.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastconv.cuda._numba import device_function
from fastconv.cuda.kernels.tiles import Share, Strip
from fastconv.cuda.primitives import copy_vector, fetch, to_tf32, uint32

NOWHERE = -(2**30)  # as a vertical position: outside of every image

# Columns of the table of products, int32. The third is NOWHERE past the table's end.
ENTRY = 4
SRC, WEIGHT, DY, DX = range(ENTRY)

Function = Callable[..., Any]


def first_line(part: Share) -> Function:
    """Return t -> the first line of thread t."""
    across, width, along_product = part.across, part.width, part.along == "product"

    def function(t: Any) -> Any:
        return t // across if along_product else (t % across) * width

    return device_function(function)


def first_product(part: Share) -> Function:
    """Return t -> the first product of thread t."""
    across, width, along_product = part.across, part.width, part.along == "product"

    def function(t: Any) -> Any:
        return (t % across) * width if along_product else t // across

    return device_function(function)


def load_rows(part: Share, zero: Any, volumes: bool) -> Function:
    """Return the loader of the left operand: held = src at line and product, zero outside the image.

    (held, src, table, depths, entry, place, base, y, x, z, height, width, depth) with `place` the thread's first
    product in the table, and for each of its lines where it begins and its position.
    """
    lines_each, products_each, step, vector = part.lines_each, part.products_each, part.product_step, part.width

    def function(
        held: Any, src: Any, table: Any, depths: Any, entry: Any, place: Any,
        base: Any, y: Any, x: Any, z: Any, height: Any, width: Any, depth: Any,
    ) -> None:  # fmt: skip
        for j in range(products_each):
            copy_vector(entry, 0, table, (place + j * step) * ENTRY)
            for i in range(lines_each):
                inside = (uint32(y[i] + entry[DY]) < uint32(height)) & (uint32(x[i] + entry[DX]) < uint32(width))
                if volumes:
                    inside = inside & (uint32(z[i] + fetch(depths, place + j * step)) < uint32(depth))
                at = (i * products_each + j) * vector
                for lane in range(vector):
                    held[at + lane] = zero
                if inside:
                    if vector == 1:
                        held[at] = fetch(src, base[i] + entry[SRC])
                    else:
                        copy_vector(held, at, src, base[i] + entry[SRC])

    return device_function(function)


def load_columns(part: Share, zero: Any) -> Function:
    """Return the loader of the right operand: held = weights at line and product, zero past the last product.

    (held, weights, table, entry, place, base): the thread's first product in the table, and where its lines begin.
    Lines that there are not may hold anything, since their results are not stored.
    """
    lines_each, products_each, step, vector = part.lines_each, part.products_each, part.product_step, part.width

    def function(held: Any, weights: Any, table: Any, entry: Any, place: Any, base: Any) -> None:
        for j in range(products_each):
            copy_vector(entry, 0, table, (place + j * step) * ENTRY)
            for i in range(lines_each):
                at = (i * products_each + j) * vector
                for lane in range(vector):
                    held[at + lane] = zero
                if entry[DY] != NOWHERE:
                    if vector == 1:
                        held[at] = fetch(weights, base[i] + entry[WEIGHT])
                    else:
                        copy_vector(held, at, weights, base[i] + entry[WEIGHT])

    return device_function(function)


def store(part: Share, pitch: int, rounded: bool = False) -> Function:
    """Return what puts held elements into shared memory, [product][line] with `pitch` between products.

    (shared, start, held, line, product): where the buffer begins, the thread's first line and product. `rounded` to
    TF32 on the way.
    """
    lines_each, products_each, step, vector = part.lines_each, part.products_each, part.product_step, part.width
    line_step, along_product = part.line_step, part.along == "product"

    def function(shared: Any, start: Any, held: Any, line: Any, product: Any) -> None:
        if rounded:
            for i in range(lines_each * products_each * vector):
                held[i] = to_tf32(held[i])
        for j in range(products_each):
            for i in range(lines_each):
                at = (i * products_each + j) * vector
                to = start + (product + j * step) * pitch + line + i * line_step
                if along_product:
                    for lane in range(vector):
                        shared[to + lane * pitch] = held[at + lane]
                elif vector == 1:
                    shared[to] = held[at]
                else:
                    copy_vector(shared, to, held, at)

    return device_function(function)


def multiply(depth: int, rows: Strip, columns: Strip, pitches: tuple[int, int]) -> Function:
    """Return the outer products of one step: sums[i][j] += left[k][i] * right[k][j] for k < depth.

    (sums, left, right, a, b, start_left, start_right, row, column): where the buffers begin, and the thread's first
    line of each.
    """
    (rows_each, vector, row_step), (columns_each, _, column_step) = rows, columns
    pitch_left, pitch_right = pitches

    def function(
        sums: Any, left: Any, right: Any, a: Any, b: Any, start_left: Any, start_right: Any, row: Any, column: Any
    ) -> None:
        from_left, from_right = start_left + row, start_right + column
        for k in range(depth):
            for i in range(rows_each // vector):
                copy_vector(a, i * vector, left, from_left + k * pitch_left + i * row_step)
            for j in range(columns_each // vector):
                copy_vector(b, j * vector, right, from_right + k * pitch_right + j * column_step)
            for i in range(rows_each):
                for j in range(columns_each):
                    sums[i * columns_each + j] += a[i] * b[j]

    return device_function(function)
