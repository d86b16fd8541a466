"""Running the implicit matrix product: from strides and taps to tables, a tile, a split of the sum, and launches."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from fastconv.cuda import arrays
from fastconv.cuda._numba import SIMULATED, cuda
from fastconv.cuda.arrays import Operand
from fastconv.cuda.kernel import Kernel
from fastconv.cuda.kernels import gemm, geometry, reduction
from fastconv.cuda.kernels.gemm_operands import NOWHERE
from fastconv.cuda.kernels.tiles import TENSOR, TILES, Tile
from fastconv.cuda.operators.activation import apply as pass_activation
from fastconv.cuda.primitives import LANES, divisor

Three = tuple[int, int, int]


class Digit(NamedTuple):
    """One digit of a row's number: its extent, and what one more of it adds to places and to the position."""

    extent: int
    src: int
    dst: int
    axis: int = -1  # of (z, y, x), or -1 for none
    step: int = 0  # along it


class Term(NamedTuple):
    """One axis of the products: for each index, what is added to the places in src and weights and to the position."""

    src: tuple[int, ...]
    weight: tuple[int, ...]
    axis: int = -1
    move: tuple[int, ...] = ()


class Phase(NamedTuple):
    """Rows whose products are the same: digits from the fastest, terms from the slowest."""

    digits: tuple[Digit, ...]
    terms: tuple[Term, ...]
    origin: Three = (0, 0, 0)
    dst_origin: int = 0

    @property
    def rows(self) -> int:
        """Rows of one group."""
        return math.prod(digit.extent for digit in self.digits)

    @property
    def products(self) -> int:
        """Products of one image."""
        return math.prod(len(term.src) for term in self.terms)


class Product(NamedTuple):
    """dst[group][row][column] = sum over images and products of src · weights; hashable, so that plans are kept."""

    phases: tuple[Phase, ...]
    columns: int
    groups: int
    extents: Three  # of the positions that src has
    src_group: int
    weight_group: int
    dst_group: int
    weight_column: int
    dst_column: int
    images: int = 1  # that the sum runs over
    src_image: int = 0
    weight_image: int = 0


class Request(NamedTuple):
    """What else a plan depends on."""

    dtype: str
    aligned: tuple[bool, bool, bool]  # src, weights and dst, to 128 bits
    dense: int  # elements of dst if they are all there is between the first and the last, else 0
    bias_inner: int  # elements of dst between two channels
    has_bias: bool
    activation: str
    processors: int
    device: int
    tile: Tile | None = None
    splits: int = 0
    tensor: bool = False  # whether the largest tiles may round to TF32


class Plan(NamedTuple):
    """Everything but the arrays."""

    kernel: Kernel
    grid: Three
    table: Any
    depths: Any
    geometry: Any
    splits: int
    divide: tuple[int, int]
    after: bool  # whether the activation takes a pass of its own


# What a step of a tile costs beside one of 128 x 128 of the same area: estimated from loads per product.
WEIGHT = {(128, 128): 1.0, (64, 64): 1.2, (128, 32): 1.5, (32, 32): 2.0}
# Activations that tiles of any size end with. Others, unrolled for 64 sums, push them out of registers (256 bytes of
# local memory with gelu), in float64 those of 16 too: tiles of more than MOST_SUMS sums a thread leave them to a pass
# of their own, for which results must be dense.
LIGHT = {"linear", "relu", "relu6", "leaky_relu"}
MOST_SUMS = {"f4": 16, "f8": 0}
LEAST_STEPS = 8  # of one split; shorter ones spend their time on partial sums
MOST_SPLITS = 64


def run(
    product: Product, src: Operand, weights: Operand, bias: Operand | None, dst: Operand, stream: Any,
    *, activation: tuple[str, float, float] = ("linear", 0.0, 0.0), bias_inner: int = 1,
    tile: Tile | None = None, splits: int = 0, tensor: bool = False,
) -> None:  # fmt: skip
    """Launch a product on a stream. `tile` and `splits` choose what is otherwise chosen by size.

    `tensor` allows tensor cores, which round the operands to TF32.
    """
    if product.groups == 1:
        product = product._replace(src_group=0, weight_group=0, dst_group=0)
    name, alpha, beta = activation
    lanes = LANES[src.dtype]
    dense = dst.size if len(dst.flat) == dst.size else 0
    aligned = (src.aligned(), weights.aligned(), dst.aligned() and (dense == 0 or dense % lanes == 0))
    made = plan(
        product,
        Request(src.dtype, aligned, dense, bias_inner, bias is not None, name, processors(), arrays.device_id(),
                tile, splits, tensor and src.dtype == "f4"),
    )  # fmt: skip
    offset = bias.flat if bias is not None else src.flat
    if made.splits == 1:
        made.kernel.launch(made.grid, stream, src.flat, weights.flat, offset, dst.flat, made.table, made.depths,
                           made.geometry, alpha, beta)  # fmt: skip
        if made.after:
            pass_activation(name, alpha, beta, dst, dst, stream)
        return
    partial = arrays.pooled((made.splits * dst.size,), dst.dtype, stream)
    made.kernel.launch(made.grid, stream, src.flat, weights.flat, offset, partial, made.table, made.depths,
                       made.geometry, 0.0, 0.0)  # fmt: skip
    add_splits(partial, made.splits, bias, dst, stream, made.divide, activation)


def add_splits(
    partial: Any, parts: int, bias: Operand | None, dst: Operand, stream: Any,
    divide: tuple[int, int] | None = None, activation: tuple[str, float, float] = ("linear", 0.0, 0.0),
) -> None:  # fmt: skip
    """Launch dst = activation(sum of the parts + bias); `divide` is the divisor of what lies between two channels."""
    name, alpha, beta = activation
    kernel, lanes = reduction.splits(dst.dtype, name), LANES[dst.dtype]
    blocks = -(-dst.size // (lanes * kernel.threads))
    offset, channels = (dst.flat, 0) if bias is None else (bias.flat, bias.size)
    kernel.launch(blocks, stream, partial, offset, dst.flat, dst.size, parts, int(dst.aligned(dst.size)),
                  *(divide or divisor(1)), channels, alpha, beta)  # fmt: skip


@functools.cache
def processors() -> int:
    """Return how many multiprocessors the device has."""
    return 2 if SIMULATED else int(cuda.get_current_device().MULTIPROCESSOR_COUNT)


@functools.lru_cache(maxsize=1024)
def plan(product: Product, request: Request) -> Plan:
    """Choose a tile, vectors and a split, and upload the tables."""
    dtype = request.dtype
    if max((phase.rows for phase in product.phases), default=0) >= 2**31 - 128:
        raise ValueError("input: expected fewer than 2**31 output positions in a call on a GPU; split the batch")
    tile, splits = choose(product, request)
    fast = "column" if product.dst_column == 1 else "row"
    volumes = is_deep(product)
    tensor = request.tensor and not volumes and tile in TENSOR
    if tensor:
        tile = TENSOR[tile]
    tables = [table_of(phase, tile.depth) for phase in product.phases]
    wish = ("", "") if volumes else (left_vectors(product, tables, request), right_vectors(product, tables, request))
    left, right, fast = gemm.form(tile, *wish, fast)
    heavy = request.activation not in LIGHT and tile.rows_each * tile.columns_each > MOST_SUMS[dtype]
    after = splits == 1 and heavy and bool(request.dense)
    activation = request.activation if splits == 1 and not after else "linear"
    kernel = gemm.gemm(tile, dtype, left, right, fast, volumes, activation, tensor)
    rows, start = [], 0
    for phase, (table, _) in zip(product.phases, tables, strict=True):
        rows.append(
            geometry.row(fields(product, phase, tile, start, len(table) // tile.depth, splits, request, tensor))
        )
        start += len(table)
    entries = np.concatenate([table for table, _ in tables])
    depths = np.concatenate([depth for _, depth in tables])
    row_tiles = max(-(-phase.rows // tile.rows) for phase in product.phases)
    tiles = row_tiles * -(-product.columns // tile.columns) * product.groups
    return Plan(
        kernel,
        (tiles, splits, len(product.phases)),
        cuda.to_device(entries.ravel()),
        cuda.to_device(depths),
        cuda.to_device(np.array(rows, np.int64).ravel()),
        splits,
        divisor(request.bias_inner),
        after,
    )


def is_deep(product: Product) -> bool:
    """Whether positions have a depth."""
    return product.extents[0] > 1 or any(term.axis == 0 for phase in product.phases for term in phase.terms)


def choose(product: Product, request: Request) -> tuple[Tile, int]:
    """Return the tile and the number of splits that finish first, by a model of waves and steps."""
    best: tuple[float, Tile, int] | None = None
    tiles = TILES[request.dtype] if request.tile is None else (request.tile,)
    in_place = request.dense or request.activation in LIGHT
    if is_deep(product) or not in_place:  # volumes need more registers; activations need elements side by side
        tiles = tiles[-1:]
    for tile in tiles:
        steps = max(-(-phase.products // tile.depth) for phase in product.phases) * product.images
        blocks = product.groups * -(-product.columns // tile.columns)
        blocks *= sum(-(-phase.rows // tile.rows) for phase in product.phases)
        splits = 1
        if request.dense and blocks < request.processors:
            splits = max(min(2 * request.processors // max(blocks, 1), steps // LEAST_STEPS, MOST_SPLITS), 1)
        if request.splits:
            splits = request.splits
        waves = -(-max(blocks, 1) * splits // request.processors)
        weight = WEIGHT.get((tile.rows, tile.columns), 1.0) * tile.rows * tile.columns
        time = waves * (-(-steps // splits) + 4 + 2 * splits) * weight
        if best is None or time < best[0]:
            best = time, tile, splits
    assert best is not None
    return best[1:]


def table_of(phase: Phase, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the table of a phase's products, (products, 4) int32, and their depths, padded to whole steps."""
    entries = np.zeros((1, 5), np.int64)  # src, weight, z, y, x
    for term in phase.terms:
        more = np.zeros((len(term.src), 5), np.int64)
        more[:, 0], more[:, 1] = term.src, term.weight
        if term.axis >= 0:
            more[:, 2 + term.axis] = term.move
        entries = (entries[:, None] + more).reshape(-1, 5)
    if phase.products == 0:
        entries = entries[:0]
    if np.abs(entries).max(initial=0) >= 2**30:
        raise ValueError("input: expected images of less than 2**30 elements on a GPU")
    padded = np.zeros((-(-len(entries) // depth) * depth, 5), np.int32)
    padded[:, 3] = NOWHERE
    padded[: len(entries)] = entries
    return np.ascontiguousarray(padded[:, [0, 1, 3, 4]]), np.ascontiguousarray(padded[:, 2])


def fields(
    product: Product, phase: Phase, tile: Tile, start: int, steps: int, splits: int, request: Request, tensor: bool
) -> dict[str, int]:
    """Return the geometry of one phase."""
    digits = [*phase.digits, *[Digit(1, 0, 0)] * (geometry.DIGITS - len(phase.digits))]
    total = steps * product.images
    made = {
        "rows": phase.rows, "columns": product.columns,
        "row_tiles": max(-(-other.rows // tile.rows) for other in product.phases),
        "column_tiles": -(-product.columns // tile.columns),
        "table": start, "steps": steps, "last_step": total, "split_steps": -(-total // splits),
        "src_image": product.src_image, "weight_image": product.weight_image,
        "src_group": product.src_group, "weight_group": product.weight_group, "dst_group": product.dst_group,
        "weight_column": product.weight_column, "dst_column": product.dst_column,
        "depth": product.extents[0], "height": product.extents[1], "width": product.extents[2],
        "origin_z": phase.origin[0], "origin_y": phase.origin[1], "origin_x": phase.origin[2],
        "dst_origin": phase.dst_origin, "dst_split": request.dense if splits > 1 else 0,
        "bias": int(request.has_bias and splits == 1), "vectors": int(not tensor and stores_vectors(product, request)),
    }  # fmt: skip
    for place, digit in enumerate(digits):
        if place < geometry.DIGITS - 1:
            made[f"multiplier_{place}"], made[f"shift_{place}"] = divisor(max(digit.extent, 1))
            made[f"extent_{place}"] = digit.extent
        made[f"src_{place}"], made[f"dst_{place}"] = digit.src, digit.dst
        if digit.axis >= 0:
            made[f"{'zyx'[digit.axis]}_{place}"] = digit.step
    return made


# ---- where 128 bits can be moved at a time ------------------------------------------------------------------------


def whole(lanes: int, *numbers: int) -> bool:
    """Whether all numbers are multiples of the lanes."""
    return all(number % lanes == 0 for number in numbers)


def consecutive(places: np.ndarray, lanes: int) -> bool:
    """Whether places come in aligned runs of so many."""
    if len(places) % lanes:
        return False
    runs = places.reshape(-1, lanes)
    return bool((runs[:, 0] % lanes == 0).all() and (np.diff(runs, axis=1) == 1).all())


def left_vectors(product: Product, tables: list[tuple[np.ndarray, np.ndarray]], request: Request) -> str:
    """Return what vectors of the rows' operand can run along."""
    lanes = LANES[request.dtype]
    if not request.aligned[0] or not whole(lanes, product.src_image, product.src_group):
        return ""
    digits = [digit for phase in product.phases for digit in phase.digits if digit.extent > 1]
    entries = [table[: phase.products] for phase, (table, _) in zip(product.phases, tables, strict=True)]
    if all(
        consecutive(table[:, 0], lanes) and not np.diff(table[:, 2:].reshape(-1, lanes, 2), axis=1).any()
        for table in entries
    ) and whole(lanes, *(digit.src for digit in digits)):
        return "product"
    first = [phase.digits[0] for phase in product.phases]
    others = [digit for phase in product.phases for digit in phase.digits[1:] if digit.extent > 1]
    if all(digit.src == 1 and digit.step == 0 and digit.extent % lanes == 0 for digit in first) and whole(
        lanes, *(digit.src for digit in others), *(int(place) for table in entries for place in table[:, 0])
    ):
        return "line"
    return ""


def right_vectors(product: Product, tables: list[tuple[np.ndarray, np.ndarray]], request: Request) -> str:
    """Return what vectors of the columns' operand can run along."""
    lanes = LANES[request.dtype]
    if not request.aligned[1] or not whole(lanes, product.weight_image, product.weight_group):
        return ""
    places = [table[: phase.products, 1] for phase, (table, _) in zip(product.phases, tables, strict=True)]
    apart = product.columns == 1 or product.weight_column % lanes == 0
    if apart and all(consecutive(each, lanes) for each in places):
        return "product"
    side_by_side = product.weight_column == 1 and product.columns % lanes == 0
    return "line" if side_by_side and all((each % lanes == 0).all() for each in places) else ""


def stores_vectors(product: Product, request: Request) -> bool:
    """Whether results are stored in vectors along the fast axis."""
    lanes = LANES[request.dtype]
    if not request.aligned[2] or not whole(lanes, product.dst_group, *(phase.dst_origin for phase in product.phases)):
        return False
    by_column = product.dst_column == 1
    for phase in product.phases:
        digits = phase.digits if by_column else phase.digits[1:]
        if not whole(lanes, *(digit.dst for digit in digits if digit.extent > 1)):
            return False
        if not by_column and (phase.digits[0].dst != 1 or phase.digits[0].extent % lanes):
            return False
    return product.columns % lanes == 0 if by_column else product.columns == 1 or product.dst_column % lanes == 0
