"""What the implicit matrix product reads of a problem: one row of int64 for each phase, and how rows are numbered."""

from __future__ import annotations

from typing import Any

from fastconv.cuda._numba import device_function, int32
from fastconv.cuda.primitives import fetch, quotient

DIGITS = 4  # a row's number has up to four digits: three spatial positions and an image, in any order

_NAMES = (
    "rows", "columns", "row_tiles", "column_tiles",  # of one group
    "table", "steps", "last_step", "split_steps",  # first product; steps per image, in all, and of one split
    "src_image", "weight_image",  # from image to image of a sum that runs over images
    "src_group", "weight_group", "dst_group", "weight_column", "dst_column",  # from one to the next
    "depth", "height", "width", "origin_z", "origin_y", "origin_x", "dst_origin", "dst_split",
    "bias", "vectors",  # whether there is a bias; whether results are stored 128 bits at a time
    "multiplier_0", "shift_0", "extent_0", "multiplier_1", "shift_1", "extent_1", "multiplier_2", "shift_2", "extent_2",
    "dst_image",  # from image to image of the result, where rows do not count them
    *(f"{what}_{digit}" for what in ("src", "dst", "z", "y", "x", "weight", "bias") for digit in range(DIGITS)),
)  # fmt: skip
FIELDS = len(_NAMES)
FIELD = {name: place for place, name in enumerate(_NAMES)}

_DIVIDE = tuple(FIELD[f"multiplier_{digit}"] for digit in range(DIGITS - 1))
_D0, _D1, _D2 = _DIVIDE


def row(values: dict[str, int]) -> tuple[int, ...]:
    """Return a row of the geometry from its fields by name; those that are not named are zero."""
    assert values.keys() <= FIELD.keys()
    return tuple(values.get(name, 0) for name in _NAMES)


@device_function
def digits(number: Any, geometry: Any, at: Any) -> Any:
    """Return the digits of a row's number, the fastest first."""
    rest_0 = quotient(number, fetch(geometry, at + _D0), fetch(geometry, at + _D0 + 1))
    rest_1 = quotient(rest_0, fetch(geometry, at + _D1), fetch(geometry, at + _D1 + 1))
    rest_2 = quotient(rest_1, fetch(geometry, at + _D2), fetch(geometry, at + _D2 + 1))
    return (
        int32(number - rest_0 * fetch(geometry, at + _D0 + 2)),
        int32(rest_0 - rest_1 * fetch(geometry, at + _D1 + 2)),
        int32(rest_1 - rest_2 * fetch(geometry, at + _D2 + 2)),
        int32(rest_2),
    )


@device_function
def along(number: Any, geometry: Any, at: Any) -> Any:
    """Return the sum of digits times what the four fields at `at` say."""
    return (
        number[0] * fetch(geometry, at)
        + number[1] * fetch(geometry, at + 1)
        + number[2] * fetch(geometry, at + 2)
        + number[3] * fetch(geometry, at + 3)
    )
