"""Depthwise convolutions and their gradients: one filter for each channel, one channel for each filter."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from fastconv.cuda import arrays
from fastconv.cuda._numba import cuda
from fastconv.cuda.arrays import Operand
from fastconv.cuda.kernels import depthwise, geometry
from fastconv.cuda.operators.product import Digit, Phase, Product, add_splits, table_of, whole
from fastconv.cuda.primitives import LANES, divisor

MOST_IMAGES = 65535  # of blocks along y
LENGTH = 2048  # positions of one part of a sum


class Plan(NamedTuple):
    """Everything but the arrays."""

    rows: int
    phases: int
    taps: int
    vectors: bool
    table: Any
    depths: Any
    geometry: Any


def run(
    product: Product, taps: int, src: Operand, weights: Operand, bias: Operand | None, dst: Operand, stream: Any,
    *, activation: tuple[str, float, float] = ("linear", 0.0, 0.0),
) -> None:  # fmt: skip
    """Launch; the last digit of each phase counts images. `taps` is how many products the phases have at most."""
    name, alpha, beta = activation
    lanes = LANES[src.dtype]
    along = product.src_group == product.weight_group == product.dst_group == 1
    steps = [step for phase in product.phases for digit in phase.digits for step in (digit.src, digit.dst)]
    vectors = (
        along and product.groups % lanes == 0 and src.aligned() and weights.aligned() and dst.aligned()
        and whole(lanes, *steps, *(phase.dst_origin for phase in product.phases))
    )  # fmt: skip
    made = plan(product, lanes if vectors else 1, src.dtype, arrays.device_id())
    images = product.phases[0].digits[-1].extent if product.phases else 0
    exact = taps if taps in depthwise.UNROLLED and len(product.phases) == 1 else 0
    kernel = depthwise.depthwise(src.dtype, vectors and made.vectors, exact, name)
    grid = (-(-made.rows // kernel.threads), min(images, MOST_IMAGES), made.phases)
    kernel.launch(grid, stream, src.flat, weights.flat, src.flat if bias is None else bias.flat, dst.flat, made.table,
                  made.depths, made.geometry, images, int(bias is not None), alpha, beta)  # fmt: skip


@functools.lru_cache(maxsize=1024)
def plan(product: Product, lanes: int, dtype: str, device: int) -> Plan:
    """Return the rows' numbers and the tables, uploaded; vectors stay if they are whole from tap to tap."""
    tables = [table_of(phase, 1) for phase in product.phases]
    if lanes > 1 and not all(whole(lanes, *table[:, :2].ravel().tolist()) for table, _ in tables):
        lanes = 1
    rows, start, most = [], 0, 0
    for phase, (table, _) in zip(product.phases, tables, strict=True):
        *positions, image = phase.digits
        channel = Digit(product.groups // lanes, product.src_group * lanes, product.dst_group * lanes)
        first = product.dst_group == 1
        numbered = [channel, *positions] if first else [*positions, channel]
        made = {
            "rows": math.prod(digit.extent for digit in numbered), "table": start, "steps": len(table),
            "src_image": image.src, "dst_image": image.dst,
            "depth": product.extents[0], "height": product.extents[1], "width": product.extents[2],
            "origin_z": phase.origin[0], "origin_y": phase.origin[1], "origin_x": phase.origin[2],
            "dst_origin": phase.dst_origin,
        }  # fmt: skip
        made |= numbering(numbered)
        place = 0 if first else len(numbered) - 1
        made[f"weight_{place}"], made[f"bias_{place}"] = product.weight_group * lanes, lanes
        rows.append(geometry.row(made))
        most, start = max(most, made["rows"]), start + len(table)
    entries = np.concatenate([table for table, _ in tables]) if tables else np.zeros((0, 4), np.int32)
    depths = np.concatenate([depth for _, depth in tables]) if tables else np.zeros(0, np.int32)
    return Plan(
        most, len(rows), start, lanes > 1, uploaded(entries), uploaded(depths), uploaded(np.array(rows, np.int64))
    )


def numbering(digits: list[Digit]) -> dict[str, int]:
    """Return the fields that take a row's number apart."""
    made = {}
    for place, digit in enumerate([*digits, *[Digit(1, 0, 0)] * (geometry.DIGITS - len(digits))]):
        if place < geometry.DIGITS - 1:
            made[f"multiplier_{place}"], made[f"shift_{place}"] = divisor(max(digit.extent, 1))
            made[f"extent_{place}"] = digit.extent
        made[f"src_{place}"], made[f"dst_{place}"] = digit.src, digit.dst
        if digit.axis >= 0:
            made[f"{'zyx'[digit.axis]}_{place}"] = digit.step
    return made


def uploaded(table: np.ndarray) -> Any:
    """Return a table on the device; an empty one has an element all the same."""
    return cuda.to_device(table.ravel() if table.size else np.zeros(1, table.dtype))


def run_weight(forward: Product, src: Operand, grad: Operand, dst: Operand, stream: Any) -> None:
    """Launch the gradient of the weights of a convolution that `forward` describes; dst is dense."""
    (phase,) = forward.phases
    rows, parts = phase.rows, max(min(-(-phase.rows // LENGTH), 1024), 1)
    table, numbers, taps = weight_plan(phase, forward.extents, arrays.device_id())
    side = 32 if forward.src_group == 1 and forward.groups > 1 else 1
    kernel = depthwise.depthwise_weight(src.dtype, side)
    partial = dst.flat if parts == 1 else arrays.pooled((parts * dst.size,), dst.dtype, stream)
    kernel.launch(
        (-(-forward.groups // side), taps, parts), stream, src.flat, grad.flat, partial, table, numbers, rows,
        -(-rows // parts), forward.groups, forward.src_group, forward.dst_group, forward.weight_group, dst.size,
    )  # fmt: skip
    if parts > 1:
        add_splits(partial, parts, None, dst, stream)


@functools.lru_cache(maxsize=1024)
def weight_plan(phase: Phase, extents: tuple[int, int, int], device: int) -> tuple[Any, Any, int]:
    """Return the taps with their depths, and the numbering of output positions."""
    entries, depths = table_of(phase, 1)
    made = {
        "depth": extents[0], "height": extents[1], "width": extents[2],
        "origin_z": phase.origin[0], "origin_y": phase.origin[1], "origin_x": phase.origin[2],
    } | numbering(list(phase.digits))  # fmt: skip
    both = np.concatenate([entries.ravel(), depths])
    return uploaded(both), uploaded(np.array(geometry.row(made), np.int64)), len(entries)
