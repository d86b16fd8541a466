"""Windows as columns, padding, interpolation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from fastconv.reference.shapes import (
    Array,
    Axes,
    Padding,
    channels_first,
    output_size,
    padded,
    padding_edges,
    per_axis,
    restore,
    shape_channels_first,
    tap,
    unpadded,
)


def unfold(
    input: ArrayLike,
    kernel_size: Axes,
    dilation: Axes = 1,
    padding: Padding = 0,
    stride: Axes = 1,
    *,
    layout: str = "NCHW",
) -> Array:
    """Every window as a column, as ``torch.nn.functional.unfold``; "NHWC": as a row, its channels last.

    >>> unfold([[[1, 2, 3]]], (1, 2))
    array([[1., 2.],
           [2., 3.]])
    """
    images, batched = channels_first(input, layout)
    kernel, steps, spread = (per_axis(value, 2) for value in (kernel_size, stride, dilation))
    edges = padding_edges(padding, images.shape[2:], kernel, steps, spread)
    out = output_size(images.shape[2:], kernel, steps, edges, spread)
    whole = padded(images, edges)
    windows = [whole[tap(position, out, steps, spread)] for position in np.ndindex(*kernel)]
    columns = np.stack(windows, axis=2).reshape(*images.shape[:2], len(windows), -1)
    columns = columns.reshape(len(images), -1, columns.shape[-1]) if layout == "NCHW" else (
        columns.transpose(0, 3, 2, 1).reshape(len(images), columns.shape[-1], -1)
    )  # fmt: skip
    return np.ascontiguousarray(columns if batched else columns[0])


def fold(
    input: ArrayLike,
    output_size: Axes,
    kernel_size: Axes,
    dilation: Axes = 1,
    padding: Padding = 0,
    stride: Axes = 1,
    *,
    layout: str = "NCHW",
) -> Array:
    """Columns added up where their windows were, as ``torch.nn.functional.fold``.

    >>> fold([[1, 2], [3, 4]], (1, 3), (1, 2))
    array([[[1., 5., 4.]]])
    """
    columns = np.asarray(input).astype(np.float64)
    batched = columns.ndim == 3
    columns = columns if batched else columns[None]
    kernel, steps, spread, size = (per_axis(value, 2) for value in (kernel_size, stride, dilation, output_size))
    edges = padding_edges(padding, size, kernel, steps, spread)
    taps = math.prod(kernel)
    if layout == "NCHW":
        columns = columns.reshape(len(columns), -1, taps, columns.shape[2])
    else:
        columns = columns.reshape(len(columns), columns.shape[1], taps, -1).transpose(0, 3, 2, 1)
    whole = np.zeros((*columns.shape[:2], *(extent + sum(edge) for extent, edge in zip(size, edges, strict=True))))
    out = _windows_along(whole.shape[2:], kernel, steps, spread)
    for i, position in enumerate(np.ndindex(*kernel)):
        whole[tap(position, out, steps, spread)] += columns[:, :, i].reshape(*whole.shape[:2], *out)
    return restore(unpadded(whole, edges), layout, batched)


def _windows_along(size: Sequence[int], kernel: Axes, steps: Axes, spread: Axes) -> tuple[int, ...]:
    return output_size(size, kernel, steps, 0, spread)


def pad(
    input: ArrayLike, pad: Sequence[int], mode: str = "constant", value: float | None = None, *, layout: str = "NCHW"
) -> Array:
    """Positions added around an array, as ``torch.nn.functional.pad``; "NHWC": channels are left out.

    >>> pad([[1, 2, 3]], (2, 1), "reflect")
    array([[3., 2., 1., 2., 3., 2.]])
    """
    result = np.asarray(input).astype(np.float64)
    for axis, places in _sources(result.shape, pad, mode, layout):
        taken = np.take(result, np.maximum(places, 0), axis)
        shape = [-1 if i == axis else 1 for i in range(taken.ndim)]
        result = np.where(places.reshape(shape) < 0, 0.0 if value is None else value, taken)
    return result


def pad_backward(
    input_size: Sequence[int],
    grad_output: ArrayLike,
    pad: Sequence[int],
    mode: str = "constant",
    *,
    layout: str = "NCHW",
) -> Array:
    """Gradient of :func:`pad`.

    >>> pad_backward((1, 3), [[1, 2, 3, 4, 5]], (1, 1), "reflect")
    array([[2., 9., 4.]])
    """
    result = np.asarray(grad_output).astype(np.float64)
    for axis, places in _sources(input_size, pad, mode, layout):
        lines = np.moveaxis(result, axis, 0)
        gathered = np.zeros((input_size[axis], *lines.shape[1:]))
        for line, place in zip(lines, places, strict=True):
            if place >= 0:
                gathered[place] += line
        result = np.moveaxis(gathered, 0, axis)
    return result


def _sources(
    shape: Sequence[int], pad: Sequence[int], mode: str, layout: str
) -> list[tuple[int, np.ndarray[tuple[int], np.dtype[np.int64]]]]:
    """For each padded axis, which of its positions every position of the result holds; -1 is none."""
    axes = range(len(shape))[::-1] if layout == "NCHW" else range(len(shape) - 1)[::-1]
    result = []
    for axis, before, after in zip(axes, pad[::2], pad[1::2], strict=False):
        size, places = shape[axis], []
        for at in range(-before, size + after):
            if mode == "constant":
                places.append(at if 0 <= at < size else -1)
            elif mode == "replicate":
                places.append(min(max(at, 0), size - 1))
            elif mode == "reflect":
                places.append(-at if at < 0 else 2 * (size - 1) - at if at >= size else at)
            else:  # what is cut off does not come round
                first, left = max(-before, 0), size + min(before, 0) + min(after, 0)
                places.append(first + (at - first) % left)
        result.append((axis, np.array(places, np.int64)))
    return result


def interpolate(
    input: ArrayLike,
    size: Axes | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    *,
    layout: str = "NCHW",
) -> Array:
    """Images of another size, as ``torch.nn.functional.interpolate``.

    >>> interpolate([[[1, 2, 4]]], 5, mode="linear", align_corners=True)
    array([[[1. , 1.5, 2. , 3. , 4. ]]])
    """
    shape = np.shape(input)
    images, batched = channels_first(input, layout, len(shape) - 2)
    for axis, matrix in enumerate(
        _blends(images.shape[2:], size, scale_factor, mode, bool(align_corners), recompute_scale_factor)
    ):
        images = np.moveaxis(np.tensordot(matrix, images, (1, axis + 2)), 0, axis + 2)
    return restore(images, layout, batched)


def interpolate_backward(
    input_size: Sequence[int],
    grad_output: ArrayLike,
    size: Axes | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    *,
    layout: str = "NCHW",
) -> Array:
    """Gradient of :func:`interpolate`.

    >>> interpolate_backward((1, 1, 3), [[[1, 2, 3, 4, 5, 6]]], scale_factor=2)
    array([[[ 3.,  7., 11.]]])
    """
    axes = len(input_size) - 2
    shape, batched = shape_channels_first(input_size, layout, axes)
    gradient = channels_first(grad_output, layout, axes)[0]
    for axis, matrix in enumerate(
        _blends(shape[2:], size, scale_factor, mode, bool(align_corners), recompute_scale_factor)
    ):
        gradient = np.moveaxis(np.tensordot(matrix.T, gradient, (1, axis + 2)), 0, axis + 2)
    return restore(gradient, layout, batched)


def _blends(
    src: Sequence[int],
    size: Axes | None,
    scale_factor: float | Sequence[float] | None,
    mode: str,
    corners: bool,
    recompute: bool | None,
) -> list[Array]:
    """Return a matrix (out, in) for each axis."""
    axes = len(src)
    factors: list[float | None] = [None] * axes
    if scale_factor is not None:
        given = [float(f) for f in (scale_factor if isinstance(scale_factor, Sequence) else [scale_factor] * axes)]
        size = [math.floor(s * f) for s, f in zip(src, given, strict=True)]
        factors = factors if recompute else [*given]
    assert size is not None
    dst = per_axis(size, axes)
    return [_blend(s, d, f, mode, corners, axes) for s, d, f in zip(src, dst, factors, strict=True)]


def _blend(src: int, dst: int, factor: float | None, mode: str, corners: bool, axes: int) -> Array:
    matrix = np.zeros((dst, src))
    step = src / dst if factor is None else 1 / factor
    for i in range(dst):
        if mode == "area":
            window = slice(i * src // dst, -(-(i + 1) * src // dst))
            matrix[i, window] = 1 / (window.stop - window.start)
        elif mode == "nearest":
            plain = axes == 2 and dst in (src, 2 * src)
            at = i * src // dst if plain else math.floor(np.float32(i) * np.float32(step))
            matrix[i, min(at, src - 1)] = 1
        elif mode == "nearest-exact":
            matrix[i, min(math.floor(np.float32(i + 0.5) * np.float32(step)), src - 1)] = 1
        else:
            place = i * (src - 1) / max(dst - 1, 1) if corners else (i + 0.5) * step - 0.5
            if mode != "bicubic":
                place = float(i) if src == dst else max(place, 0.0)
            first = math.floor(place)
            reach = (0, 1) if mode != "bicubic" else (-1, 0, 1, 2)
            for k in reach:
                distance = abs(place - first - k)
                matrix[i, min(max(first + k, 0), src - 1)] += _weight(distance, mode)
    return matrix


def _weight(distance: float, mode: str) -> float:
    if mode != "bicubic":
        return 1 - distance
    a = -0.75
    if distance <= 1:
        return (a + 2) * distance**3 - (a + 3) * distance**2 + 1
    return a * distance**3 - 5 * a * distance**2 + 8 * a * distance - 4 * a
