"""Convolution, activation and 2 × 2 pooling in one launch, for networks that run them one after the other."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from fastconv import _arguments, _core
from fastconv.cuda import arrays
from fastconv.cuda._numba import cuda
from fastconv.cuda.arrays import DTYPES
from fastconv.cuda.kernels import fused
from fastconv.cuda.operators import convolution
from fastconv.cuda.primitives import divisor

# Products of one sum up to which models take one launch for two. Estimated: a sum of more of them costs more here than
# in the implicit matrix product, and what is saved, a launch and the results that lie between, stays the same.
PAYS = 160


def serves(made: _arguments.Conv) -> bool:
    """Whether one launch does it: two axes, one group, and filters that fit shared memory."""
    weights = made.input.channels * math.prod(made.kernel) * fused.OUTPUTS
    return len(made.kernel) == 2 and made.groups == 1 and weights <= fused.MOST_WEIGHTS


def conv_pool(input: Any, weight: Any, bias: Any, options: tuple[Any, ...], pool: str, out: Any = None) -> Any:
    """Return max or average pooling, 2 × 2 at stride 2, of conv2d with functional's options; None if two launches must.

    Parameters
    ----------
    options : tuple
        (stride, padding, dilation, groups, layout, activation).
    pool : {"max", "avg"}
    """
    *numbers, activation = options
    x, w = arrays.operand("input", input), arrays.operand("weight", weight)
    made = _arguments.conv(2, x.shape, w.shape, *numbers)
    b = arrays.vector("bias", bias, made.oc)
    arrays.same_dtype(x, w, b)
    extents = _arguments.plan_conv(made, _core.FORWARD, DTYPES[x.dtype]).dst
    if not serves(made) or min(extents) < 2:
        return None
    stream = arrays.stream_of(input)
    given = [each for each in (x, w, b) if each is not None]
    shape = made.input.shape(made.layout, made.oc, tuple(extent // 2 for extent in extents))
    y = arrays.result(shape, x, stream, out, given)
    arrays.join(stream, *given, y)
    name, alpha, beta = convolution.ending(activation)
    layouts = (
        convolution.images(x, 2, made.layout),
        convolution.images(w, 2, made.layout, filters=True),
        convolution.images(y, 2, made.layout),
    )
    parameters = uploaded(made, *layouts, b is not None, arrays.device_id())
    kernel = fused.conv_pool(x.dtype, pool, name)
    count = y.size // made.oc
    grid = (-(-count // kernel.threads), -(-made.oc // fused.OUTPUTS))
    kernel.launch(grid, stream, x.flat, w.flat, x.flat if b is None else b.flat, y.flat, parameters, alpha, beta)
    return y.array


@functools.lru_cache(maxsize=256)
def uploaded(
    made: _arguments.Conv, x: convolution.Images, w: convolution.Images, y: convolution.Images, bias: bool, device: int
) -> Any:
    """Return the kernel's parameters on the device."""
    _, rows, columns = y.spatial
    values = {
        "count": y.batch * rows * columns, "channels": x.channels, "outputs": made.oc,
        "kernel_height": made.kernel[0], "kernel_width": made.kernel[1], "height": x.spatial[1], "width": x.spatial[2],
        "stride_y": made.stride[0], "stride_x": made.stride[1],
        "dilation_y": made.dilation[0], "dilation_x": made.dilation[1],
        "top": made.pad_begin[0], "left": made.pad_begin[1],
        "rows": rows, "rows_multiplier": divisor(rows)[0], "rows_shift": divisor(rows)[1],
        "columns": columns, "columns_multiplier": divisor(columns)[0], "columns_shift": divisor(columns)[1],
        "src_n": x.n, "src_c": x.c, "src_y": x.steps[1], "src_x": x.steps[2],
        "dst_n": y.n, "dst_c": y.c, "dst_y": y.steps[1], "dst_x": y.steps[2],
        "weight_o": w.n, "weight_c": w.c, "weight_y": w.steps[1], "weight_x": w.steps[2],
        "bias": int(bias),
    }  # fmt: skip
    return cuda.to_device(np.array([values[name] for name in fused.PARAMETERS], np.int64))
