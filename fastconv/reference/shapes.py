"""Extents, padding and layouts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[np.float64]
Indices: TypeAlias = NDArray[np.int64]
Layout: TypeAlias = Literal["NCHW", "NHWC"]
Axes: TypeAlias = int | Sequence[int]
Padding: TypeAlias = str | int | Sequence[int] | Sequence[Sequence[int]]
Edges: TypeAlias = Sequence[tuple[int, int]]

PAD_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def per_axis(value: Axes, axes: int) -> tuple[int, ...]:
    """``value`` for each spatial axis."""
    if isinstance(value, int | np.integer):
        return (int(value),) * axes
    values = tuple(map(int, value))
    if len(values) != axes:
        raise ValueError(f"{axes} spatial axes, but {value}")
    return values


def axes_of(*values: Axes) -> int:
    """How many axes values are for: two if all are single numbers."""
    return next((len(value) for value in values if not isinstance(value, int | np.integer)), 2)


def padding_edges(padding: Padding, size: Axes, kernel: Axes, stride: Axes = 1, dilation: Axes = 1) -> Edges:
    """Bring padding of any form to ``((top, bottom), (left, right))``.

    Parameters
    ----------
    padding : {"valid", "same", "same_lower"}, int, (h, w) or ((top, bottom), (left, right))
        ``"same"`` makes ``ceil(size / stride)`` outputs and puts an odd pixel at the end, ``"same_lower"`` at the
        start.
    size, kernel, stride, dilation : int or one for each axis
        Rows and columns where nothing says how many axes there are.

    Returns
    -------
    tuple
        Four non-negative extents.

    Raises
    ------
    ValueError
        If ``padding`` is an unknown word.

    Examples
    --------
    >>> padding_edges("same", size=5, kernel=3)
    ((1, 1), (1, 1))
    >>> padding_edges("same", size=(6, 7), kernel=(4, 2), stride=2)
    ((1, 1), (0, 1))
    >>> padding_edges("same_lower", size=6, kernel=2)
    ((1, 0), (1, 0))
    """
    axes = axes_of(size, kernel, stride, dilation)
    values = [per_axis(value, axes) for value in (size, kernel, stride, dilation)]
    if isinstance(padding, str):
        if padding not in ("valid", "same", "same_lower"):
            raise ValueError(f"padding must be 'valid', 'same' or 'same_lower', got {padding!r}")
        edges = []
        for i, k, s, d in zip(*values, strict=True):
            total = 0 if padding == "valid" else max((math.ceil(i / s) - 1) * s + (k - 1) * d + 1 - i, 0)
            edges.append((total // 2, total - total // 2) if padding == "same" else (total - total // 2, total // 2))
        return tuple(edges)
    if isinstance(padding, int | np.integer):
        return ((int(padding), int(padding)),) * axes
    return tuple((end, end) if isinstance(end, int | np.integer) else (int(end[0]), int(end[1])) for end in padding)


def output_size(
    size: Axes, kernel: Axes, stride: Axes = 1, padding: Padding = 0, dilation: Axes = 1, ceil_mode: bool = False
) -> tuple[int, ...]:
    """Rows and columns of a convolution's or a pooling's output: ``floor((n - k + 2p) / s) + 1`` for each.

    Parameters
    ----------
    size, kernel, stride, dilation : int or one for each axis
        Rows and columns where nothing says how many axes there are.
    padding : str, int or sequence
        As in :func:`padding_edges`.
    ceil_mode : bool
        Round up, but drop a window that would start in the bottom or right padding (torch's rule).

    Returns
    -------
    (oh, ow) : tuple of int

    Examples
    --------
    A 5x5 image under a 3x3 filter, "valid" and "same":

    >>> output_size(5, 3), output_size(5, 3, padding="same")
    ((3, 3), (5, 5))

    A stride that does not divide, an image that is not square, padding of one's own:

    >>> output_size(7, 3, stride=2), output_size(8, 3, stride=2)
    ((3, 3), (3, 3))
    >>> output_size((32, 20), (5, 3), stride=(3, 2), padding=((2, 0), (1, 1)))
    (10, 10)
    >>> output_size(6, 3, stride=2), output_size(6, 3, stride=2, ceil_mode=True)
    ((2, 2), (3, 3))
    """
    edges = padding_edges(padding, size, kernel, stride, dilation)
    values = [per_axis(value, len(edges)) for value in (size, kernel, stride, dilation)]
    result = []
    for i, k, s, d, (before, after) in zip(*values, edges, strict=True):
        steps = i + before + after - ((k - 1) * d + 1)
        count = (math.ceil(steps / s) if ceil_mode else steps // s) + 1
        if ceil_mode and (count - 1) * s >= i + before:
            count -= 1
        result.append(count)
    return tuple(result)


def channels_first(array: ArrayLike, layout: str, axes: int = 2) -> tuple[Array, bool]:
    """Images as float64 (n, c, ...), and whether there was a batch axis."""
    images = np.asarray(array).astype(np.float64)
    batched = images.ndim == axes + 2
    if not batched:
        images = images[None]
    return (images if layout == "NCHW" else np.moveaxis(images, -1, 1)), batched


def restore(images: NDArray[Any], layout: str, batched: bool) -> NDArray[Any]:
    """Undo ``channels_first``."""
    images = images if layout == "NCHW" else np.moveaxis(images, 1, -1)
    return np.ascontiguousarray(images if batched else images[0])


def shape_channels_first(shape: Sequence[int], layout: str, axes: int = 2) -> tuple[tuple[int, ...], bool]:
    """Return a shape of images as (n, c, ...), and whether there was a batch axis."""
    batched = len(shape) == axes + 2
    whole = tuple(shape) if batched else (1, *shape)
    return (whole if layout == "NCHW" else (whole[0], whole[-1], *whole[1:-1])), batched


def outputs_first(weight: ArrayLike, layout: str) -> Array:
    """Weights as float64 (k, c / g, ...)."""
    weights = np.asarray(weight).astype(np.float64)
    return weights if layout == "NCHW" else np.moveaxis(np.moveaxis(weights, -1, 0), -1, 1)


def outputs_restored(weights: Array, layout: str) -> Array:
    """Undo ``outputs_first``."""
    return np.ascontiguousarray(
        weights if layout == "NCHW" else np.moveaxis(np.moveaxis(weights, 0, -1), 0, -2)
    )  # fmt: skip


def padded(images: Array, edges: Edges, mode: str = "zeros") -> Array:
    """Pad the spatial axes."""
    return np.pad(images, ((0, 0), (0, 0), *edges), mode=PAD_MODES[mode])  # type: ignore[call-overload, no-any-return]


def unpadded(images: Array, edges: Edges) -> Array:
    """Cut padding off the last axes."""
    ends = zip(images.shape[-len(edges) :], edges, strict=True)
    inside: tuple[Any, ...] = (..., *(slice(before, extent - after) for extent, (before, after) in ends))
    result: Array = images[inside]
    return result


def tap(position: Sequence[int], out: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> tuple[Any, ...]:
    """Which padded pixels a position of the kernel meets, one for each output pixel."""
    every = zip(position, out, stride, dilation, strict=True)
    return (..., *(slice(i * d, i * d + (o - 1) * s + 1, s) if o else slice(0, 0) for i, o, s, d in every))
