"""Tiles of the matrix product that a block of threads makes, and how its threads share the loading of operands."""

from __future__ import annotations

from typing import NamedTuple

from fastconv.cuda.primitives import LANES


class Strip(NamedTuple):
    """The lines of a tile that are one thread's: line i is i // run * step + i % run after the first."""

    each: int
    run: int
    step: int


class Tile(NamedTuple):
    """rows × columns of results per block, in steps of `depth` products, rows_each × columns_each per thread."""

    rows: int
    columns: int
    depth: int
    rows_each: int
    columns_each: int

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return (self.rows // self.rows_each) * (self.columns // self.columns_each)

    def strips(self, lanes: int) -> tuple[Strip, Strip]:
        """Return each thread's rows and columns, in vectors of so many."""
        return (
            Strip(self.rows_each, lanes, self.rows // self.rows_each * lanes),
            Strip(self.columns_each, lanes, self.columns // self.columns_each * lanes),
        )

    def __str__(self) -> str:
        return f"{self.rows}x{self.columns}x{self.depth} by {self.rows_each}x{self.columns_each}"


# 8 × 8 accumulators are half of the 128 registers with which two blocks of 256 threads fill a multiprocessor.
TILES = {
    "f4": (Tile(128, 128, 8, 8, 8), Tile(64, 64, 8, 8, 8), Tile(128, 32, 8, 8, 4), Tile(32, 32, 8, 4, 4)),
    "f8": (Tile(64, 64, 8, 4, 4), Tile(32, 32, 8, 4, 4)),
}

# The same on tensor cores: a warp has 32 × 64 sums, 4 × 16 of them each thread (kernels/tensor.py).
TENSOR = {TILES["f4"][0]: Tile(128, 128, 8, 4, 16)}


class Share(NamedTuple):
    """What one thread loads of a step's operand, a matrix of `lines` × depth: vectors or single elements.

    Thread t takes lines first(t) + i * line_step for i < lines_each, and of each the products from
    start(t) + j * product_step for j < products_each.
    """

    along: str  # "line": vectors along lines; "product": along products; "": no vectors
    width: int  # elements of a vector
    across: int  # positions that threads take side by side: of lines, or of products if along == "product"
    line_step: int
    lines_each: int
    product_step: int
    products_each: int

    @property
    def held(self) -> int:
        """Elements that a thread holds between loading and storing."""
        return self.lines_each * self.products_each * self.width


def share(tile: Tile, lines: int, along: str, dtype: str) -> Share:
    """Share the loading of lines × tile.depth elements among a block's threads."""
    width = LANES[dtype] if along else 1
    if along == "product":
        across = tile.depth // width
        line_step = tile.threads // across
        return Share(along, width, across, line_step, max(lines // line_step, 1), tile.depth, 1)
    across = lines // width
    lines_each = max(across // tile.threads, 1)
    product_step = max(tile.threads // across, 1)
    return Share(along, width, across, tile.threads * width, lines_each, product_step, tile.depth // product_step)
