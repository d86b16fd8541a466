"""Pools and their gradients."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from fastconv import _arguments
from fastconv.cuda import arrays
from fastconv.cuda.arrays import DTYPES, Operand
from fastconv.cuda.kernels import pool as kernels
from fastconv.cuda.primitives import LANES, divisor

Ints = tuple[int, ...]
MOST = 2**31 - 1  # outputs of one launch
AXES = 3


def nothing() -> Any:
    """Return what stands for indices where there are none."""
    return arrays.constant((0,), "i8", arrays.device_id())


def three(values: Ints, fill: int) -> Ints:
    """Return one number for each of (z, y, x)."""
    return (fill,) * (AXES - len(values)) + values


def pool(axes: int, input: Any, options: tuple[Any, ...], return_indices: bool, out: Any) -> Any:
    """Pool; the arguments are functional's."""
    x = arrays.operand("input", input)
    made = _arguments.pooling(axes, x.shape, options)
    extents, shape = result_shape(made, x.dtype)
    stream = arrays.stream_of(input)
    y = arrays.result(shape, x, stream, out, [x])
    arrays.dense(y)
    arrays.join(stream, x, y)
    at = None
    if return_indices:
        at = arrays.operand("indices", arrays.empty(shape, "i8", input, stream), "i")
    if not (at is None and whole(made, x, y, extents, stream)):
        launch(made, x, y, at, extents, stream)
    return y.array if at is None else (y.array, at.array)


def pool_backward(
    axes: int, kind: str, size: Any, input: Any, grad_output: Any, options: tuple[Any, ...], indices: Any, out: Any
) -> Any:
    """Return a pool's gradient; `options` are functional's, but of adaptive pools those of the layout alone."""
    g = arrays.operand("grad_output", grad_output)
    x = None if input is None else arrays.operand("input", input)
    arrays.same_dtype(g, x)
    size = _arguments.sizes("input_size", size, (axes + 1, axes + 2)) if x is None else x.shape
    if kind.startswith("adaptive"):
        order = _arguments.layout_of(options[-1])
        _arguments.image("input_size" if x is None else "input", size, order, axes)
        if len(g.shape) != len(size):
            _arguments.wrong("grad_output", f"{len(size)} axes, as the input has", f"shape {g.shape}")
        spatial = tuple(g.shape[axis] for axis in _arguments.spatial_axes(len(g.shape), order, axes))
        options = (kind, spatial, order)
    made = _arguments.pooling(axes, size, options, "input_size" if x is None else "input")
    extents, shape = result_shape(made, g.dtype)
    if g.shape != shape:
        _arguments.wrong("grad_output", f"shape {shape}", f"shape {g.shape}")
    stream = arrays.stream_of(grad_output)
    dx = arrays.result(size, g, stream, out, [each for each in (g, x) if each is not None])
    for each in (g, dx):
        arrays.dense(each)
    at = positions(made, x, g, indices, extents, stream) if made.maximum else None
    arrays.join(stream, *(each for each in (g, x, at, dx) if each is not None))
    last = made.layout == "NHWC"
    vectors = fits_vectors(made, g, dx)
    adaptive = made.dst is not None
    kernel = kernels.gradient(made.maximum, g.dtype, last, vectors, adaptive)
    spatial = three(made.input.spatial, 1)
    for count, geometry in geometries(made, g, extents, spatial, vectors):
        kernel.launch(-(-count // kernel.threads), stream, g.flat, dx.flat, nothing() if at is None
                      else at.flat, geometry)  # fmt: skip
    return dx.array


def positions(
    made: _arguments.Pool, x: Operand | None, g: Operand, indices: Any, extents: Ints, stream: Any
) -> Operand:
    """Return where the maxima were: the caller's, or looked for again."""
    if indices is not None:
        at = arrays.operand("indices", indices, "i")
        if at.shape != g.shape:
            _arguments.wrong("indices", f"shape {g.shape}", f"shape {at.shape}")
        arrays.dense(at)
        return at
    assert x is not None
    at = arrays.operand("indices", arrays.pooled(g.shape, "i8", stream), "i")
    y = arrays.operand("maxima", arrays.pooled(g.shape, g.dtype, stream))
    arrays.join(stream, x)
    launch(made, x, y, at, extents, stream)
    return at


def result_shape(made: _arguments.Pool, dtype: str) -> tuple[Ints, Ints]:
    """Return the extents and the shape of a pool's result."""
    empty = made.dst is not None and 0 in made.dst
    extents = made.dst if empty else made.plan(DTYPES[dtype]).dst
    assert extents is not None
    return extents, made.input.shape(made.layout, made.input.channels, extents)


def launch(made: _arguments.Pool, x: Operand, y: Operand, at: Operand | None, extents: Ints, stream: Any) -> None:
    """Run the windows of all images."""
    last, adaptive = made.layout == "NHWC", made.dst is not None
    vectors = fits_vectors(made, x, y)
    unrolled = x.dtype == "f4" and not adaptive and at is None and made.kernel[:-2] in ((), (1,))
    fixed = next((each for each in kernels.FIXED if each == made.kernel[-2:]), None) if unrolled else None
    kernel = kernels.windows(made.maximum, x.dtype, last, vectors, adaptive, fixed, at is not None)
    for count, geometry in geometries(made, x, extents, three(extents, 1), vectors):
        kernel.launch(-(-count // kernel.threads), stream, x.flat, y.flat, nothing() if at is None
                      else at.flat, geometry)  # fmt: skip


def whole(made: _arguments.Pool, x: Operand, y: Operand, extents: Ints, stream: Any) -> bool:
    """Run a pool whose one window is the image, and say so; False if it is another or the pixels lie too loosely."""
    covers = made.dst is not None or (
        made.kernel == made.input.spatial and not any(made.pad_begin) and not any(made.pad_end)
    )
    covers = covers and set(made.dilation) == {1} and made.divisor == 0 and not made.ceil_mode
    if not covers or set(extents) != {1} or y.size == 0:
        return False
    n, c, steps = strides(x, len(extents), made.layout)
    for axis in (1, 0):
        if (
            three(made.input.spatial, 1)[axis] > 1
            and steps[axis] != steps[axis + 1] * three(made.input.spatial, 1)[axis + 1]
        ):
            return False
    last = made.layout == "NHWC"
    kernel = kernels.whole(made.maximum, x.dtype, last)
    channels = made.input.channels
    tiles = -(-channels // (kernel.threads // kernels.STRANDS[last]))
    kernel.launch(
        y.size // channels * tiles, stream, x.flat, y.flat, channels, tiles, math.prod(made.input.spatial), n, c,
        steps[-1],
    )  # fmt: skip
    return True


def strides(x: Operand, axes: int, layout: str) -> tuple[int, int, Ints]:
    """Return the strides of images, channels and (z, y, x)."""
    steps = x.strides if len(x.shape) == axes + 2 else (x.size, *x.strides)
    spatial = steps[2:] if layout == "NCHW" else steps[1:-1]
    return steps[0], steps[1] if layout == "NCHW" else steps[-1], three(spatial, 0)


def fits_vectors(made: _arguments.Pool, read: Operand, written: Operand) -> bool:
    """Whether 128 bits can be moved at a time: channels last and next to each other, in whole vectors."""
    n, c, steps = strides(read, len(made.kernel), made.layout)
    lanes = LANES[read.dtype]
    fits = made.layout == "NHWC" and made.dst is None and c == 1 and made.input.channels % lanes == 0
    return fits and read.aligned(n, *steps) and written.aligned()


def geometries(
    made: _arguments.Pool, read: Operand, extents: Ints, made_extents: Ints, vectors: bool
) -> Iterator[tuple[int, Any]]:
    """Yield a number of threads and a geometry for each launch; what is made has the extents `made_extents`."""
    lanes = LANES[read.dtype] if vectors else 1
    axes, channels = len(made.kernel), made.input.channels
    n, c, steps = strides(read, axes, made.layout)
    digits = (channels // lanes, *made_extents[::-1]) if made.layout == "NHWC" else (*made_extents[::-1], channels)
    each = math.prod(digits)
    images = read.shape[0] if len(read.shape) == axes + 2 else 1
    if each == 0:
        return
    if each > MOST:
        _arguments.wrong(made.name, f"images with at most {MOST} outputs on a GPU", f"{each}")
    together = max(MOST // each, 1)
    fields = {
        "n": n, "c": c, "divisor": made.divisor, "include_pad": int(made.include_pad),
    }  # fmt: skip
    for what, values, fill in (
        ("size", made.input.spatial, 1), ("out", extents, 1), ("kernel", made.kernel, 1), ("stride", made.stride, 1),
        ("dilation", made.dilation, 1), ("begin", made.pad_begin, 0), ("end", made.pad_end, 0),
    ):  # fmt: skip
        fields |= {f"{what}_{letter}": value for letter, value in zip("zyx", three(values, fill), strict=True)}
    fields |= dict(zip("zyx", steps, strict=True))
    for letter, stride in zip("zyx", three(made.stride, 1), strict=True):
        fields[f"quick_{letter}"], fields[f"quick_shift_{letter}"] = divisor(stride)
    for place, extent in enumerate(digits[:4]):
        fields[f"multiplier_{place}"], fields[f"shift_{place}"] = divisor(extent)
        fields[f"extent_{place}"] = extent
    for first in range(0, images, together):
        count = min(together, images - first) * each
        fields |= {"count": count, "src_at": first * n, "dst_at": first * each * lanes}
        row = tuple(fields[name] for name in kernels.NAMES)
        yield count, arrays.constant(row, "i8", arrays.device_id())
