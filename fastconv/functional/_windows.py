"""How every pool runs: by the plan that is kept, or after all checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastconv import _arguments, _core, cuda

if TYPE_CHECKING:
    from fastconv._arguments import Array


def run(
    axes: int,
    input: object,
    options: tuple[object, ...],
    return_indices: bool,
    out: object,
) -> Array | tuple[Array, Array]:
    """Pool with the plan that is kept for this shape and these options, or check everything and make one."""
    result = _core.pool(axes, input, options, return_indices, out, None)
    return _checked(axes, input, options, return_indices, out) if result is None else result


def _checked(
    axes: int,
    input: object,
    options: tuple[object, ...],
    return_indices: bool,
    out: object,
) -> Array | tuple[Array, Array]:
    """Check everything, make the array plain, keep the plan."""
    if _arguments.on_device(input):
        return cuda.run("pool", axes, input, options, return_indices, out)
    x = _arguments.real("input", input)
    pool = _arguments.pooling(axes, x.shape, options)
    if pool.dst is not None:
        canonical: tuple[object, ...] = (options[0], pool.dst, pool.layout)
    else:
        window = (pool.kernel, pool.stride, pool.padding, pool.dilation)
        canonical = (options[0], *window, pool.layout, *options[6:8], pool.divisor or None)
    dtype = x.dtype.newbyteorder("=")
    empty = pool.dst is not None and 0 in pool.dst
    dst = pool.dst if pool.dst is not None else pool.plan(dtype).dst
    shape = pool.input.shape(pool.layout, pool.input.channels, dst)
    if out is not None:
        out = _arguments.output(out, shape, dtype, [("input", input)])
    if empty:
        maxima = np.empty(shape, dtype) if out is None else out
        return (maxima, np.empty(shape, np.int64)) if return_indices else maxima
    plain = _arguments.plain("input", x)
    for key, target in ((options, out), (canonical, out), (canonical, None)):
        result = _core.pool(axes, plain, key, return_indices, target, lambda: pool.plan(dtype))
        if result is not None:
            break
    if isinstance(result, tuple):
        return _arguments.delivered(result[0], out), result[1]
    return _arguments.delivered(result, out)
