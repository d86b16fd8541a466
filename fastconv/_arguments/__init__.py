"""The one gate: every argument of the package is checked here, before any memory is touched.

Errors name the argument, what was expected and what was got. ``TypeError`` is for the wrong type or dtype,
``ValueError`` for a wrong shape or value, ``MemoryError`` for what no memory could hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastconv._arguments.arrays import (
    FLOAT32,
    FLOAT64,
    delivered,
    has_shape,
    output,
    overlaps,
    plain,
    plain_copy,
    pointwise_output,
    positions,
    real,
    same_dtype,
    strided,
    vector,
)
from fastconv._arguments.convolution import (
    Algorithm,
    Conv2d,
    can_describe,
    conv2d,
    describe,
    plan_conv,
    refuse,
)
from fastconv._arguments.images import (
    PAD_MODES,
    Image,
    Layout,
    Padding,
    PaddingMode,
    by_axis,
    image,
    pad,
    padding_of,
    same_total,
)
from fastconv._arguments.pooling import Pool2d, adaptive_pool2d, pool2d
from fastconv._arguments.values import (
    ACTIVATIONS,
    LARGEST,
    Pair,
    activation_name,
    choice,
    flag,
    index,
    integer,
    kind_of,
    layout_of,
    number,
    pair,
    shorten,
    sizes,
    word,
    wrong,
)

if TYPE_CHECKING:
    from fastconv._arguments.arrays import Array

__all__ = [
    "ACTIVATIONS",
    "FLOAT32",
    "FLOAT64",
    "LARGEST",
    "PAD_MODES",
    "Algorithm",
    "Array",
    "Conv2d",
    "Image",
    "Layout",
    "Padding",
    "PaddingMode",
    "Pair",
    "Pool2d",
    "activation_name",
    "adaptive_pool2d",
    "by_axis",
    "can_describe",
    "choice",
    "conv2d",
    "delivered",
    "describe",
    "flag",
    "has_shape",
    "image",
    "index",
    "integer",
    "kind_of",
    "layout_of",
    "number",
    "output",
    "overlaps",
    "pad",
    "padding_of",
    "pair",
    "plain",
    "plain_copy",
    "plan_conv",
    "pointwise_output",
    "pool2d",
    "positions",
    "real",
    "refuse",
    "same_dtype",
    "same_total",
    "shorten",
    "sizes",
    "strided",
    "vector",
    "word",
    "wrong",
]
