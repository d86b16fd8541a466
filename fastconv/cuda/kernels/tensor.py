"""Products on tensor cores: what each thread of a warp holds of the operands and of the sums, and a tile's step.

A warp multiplies 16 × 8 by 8 × 8 in one instruction (mma.m16n8k8 of the PTX ISA): operands rounded to TF32, sums in
float32. Thread t of a warp has line g = t // 4 of a group of eight and place q = t % 4 in it:

    rows        a[0] (g, q)   a[1] (g + 8, q)   a[2] (g, q + 4)   a[3] (g + 8, q + 4)   of (row, product)
    columns     b[0] (q, g)   b[1] (q + 4, g)                                           of (product, column)
    sums        (g, 2 q)   (g, 2 q + 1)   (g + 8, 2 q)   (g + 8, 2 q + 1)               of (row, column)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastconv.cuda import primitives
from fastconv.cuda._numba import SIMULATED, device_function
from fastconv.cuda.kernels.tiles import Strip, Tile
from fastconv.cuda.primitives import fetch

WARP = 32
PAD = 8  # elements between rows of shared memory beyond a tile: a warp's fragments then meet no bank twice

Function = Callable[..., Any]


def strips(tile: Tile) -> tuple[Strip, Strip]:
    """Return each thread's rows and columns."""
    return Strip(tile.rows_each, 1, 8), Strip(tile.columns_each, 2, 8)


def places(tile: Tile) -> Function:
    """Return t -> the first row and the first column of thread t's sums."""
    rows, columns = 8 * tile.rows_each, 4 * tile.columns_each  # of a warp
    across = tile.columns // columns
    assert tile.rows % rows == tile.columns % columns == 0

    def function(t: Any) -> Any:
        warp, lane = t // WARP, t % WARP
        return warp // across * rows + lane // 4, warp % across * columns + lane % 4 * 2

    return device_function(function)


def load_fragment(lines: int, pitch: int) -> Function:
    """Return what loads a fragment of 8 products: held[at:] = lines g, g + 8, … at product q, and then at q + 4.

    (held, at, shared, start, line, q): where the buffer begins, and the thread's own first line, g included.
    """

    def function(held: Any, at: Any, shared: Any, start: Any, line: Any, q: Any) -> None:
        for half in range(2):
            for i in range(lines):
                held[at + half * lines + i] = fetch(shared, start + (q + half * 4) * pitch + line + i * 8)

    return device_function(function)


def multiply(tile: Tile, pitches: tuple[int, int]) -> Function:
    """Return one step of the sums: sums[i][j] += left[k][i] * right[k][j] for k < tile.depth, which is 8.

    (sums, left, right, a, b, start_left, start_right, row, column): where the buffers begin, and what `places` says.
    """
    assert tile.depth == 8
    return twin(tile, pitches) if SIMULATED else by_fragments(tile, pitches, primitives.multiply_tf32)


def twin(tile: Tile, pitches: tuple[int, int]) -> Function:
    """Return the step with no other thread's help, for the simulator, which has no warps."""
    rows_each, columns_each = tile.rows_each, tile.columns_each
    pitch_left, pitch_right = pitches

    def function(
        sums: Any, left: Any, right: Any, a: Any, b: Any, start_left: Any, start_right: Any, row: Any, column: Any
    ) -> None:
        for i in range(rows_each):
            for j in range(columns_each):
                for k in range(8):
                    factor = right[start_right + k * pitch_right + column + j // 2 * 8 + j % 2]
                    sums[i * columns_each + j] += left[start_left + k * pitch_left + row + i * 8] * factor

    return device_function(function)


def by_fragments(tile: Tile, pitches: tuple[int, int], instruction: Function) -> Function:
    """Return the step by a warp's instruction: (sums, i, j, a, k, b, m), as primitives.multiply_tf32."""
    rows_each, columns_each = tile.rows_each, tile.columns_each
    load_rows, load_columns = load_fragment(2, pitches[0]), load_fragment(1, pitches[1])

    def function(
        sums: Any, left: Any, right: Any, a: Any, b: Any, start_left: Any, start_right: Any, row: Any, column: Any
    ) -> None:
        q = column % 8 // 2
        for i in range(rows_each // 2):
            load_rows(a, i * 4, left, start_left, row + i * 16, q)
        for j in range(columns_each // 2):
            load_columns(b, j * 2, right, start_right, column - q * 2 + row % 8 + j * 8, q)
        for i in range(rows_each // 2):
            for j in range(columns_each // 2):
                first = i * 2 * columns_each + j * 2
                instruction(sums, first, first + columns_each, a, i * 4, b, j * 2)

    return device_function(function)
