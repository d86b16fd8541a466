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
Pair: TypeAlias = int | Sequence[int]
Padding: TypeAlias = str | int | Sequence[int] | Sequence[Sequence[int]]
Edges: TypeAlias = tuple[tuple[int, int], tuple[int, int]]

PAD_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def pair(value: Pair) -> tuple[int, int]:
    """``value`` for rows and for columns."""
    if isinstance(value, int | np.integer):
        return int(value), int(value)
    first, second = value
    return int(first), int(second)


def padding_edges(padding: Padding, size: Pair, kernel: Pair, stride: Pair = 1, dilation: Pair = 1) -> Edges:
    """Bring padding of any form to ``((top, bottom), (left, right))``.

    Parameters
    ----------
    padding : {"valid", "same", "same_lower"}, int, (h, w) or ((top, bottom), (left, right))
        ``"same"`` makes ``ceil(size / stride)`` outputs and puts an odd pixel at the end, ``"same_lower"`` at the
        start.
    size, kernel, stride, dilation : int or pair of int
        For rows and columns.

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
    if isinstance(padding, str):
        if padding not in ("valid", "same", "same_lower"):
            raise ValueError(f"padding must be 'valid', 'same' or 'same_lower', got {padding!r}")
        edges = []
        for i, k, s, d in zip(pair(size), pair(kernel), pair(stride), pair(dilation), strict=True):
            total = 0 if padding == "valid" else max((math.ceil(i / s) - 1) * s + (k - 1) * d + 1 - i, 0)
            edges.append((total // 2, total - total // 2) if padding == "same" else (total - total // 2, total // 2))
        return edges[0], edges[1]
    if isinstance(padding, int | np.integer):
        return (int(padding), int(padding)), (int(padding), int(padding))
    rows, columns = padding
    return _ends(rows), _ends(columns)


def _ends(value: Any) -> tuple[int, int]:
    return pair(value)


def output_size(
    size: Pair, kernel: Pair, stride: Pair = 1, padding: Padding = 0, dilation: Pair = 1, ceil_mode: bool = False
) -> tuple[int, int]:
    """Rows and columns of a convolution's or a pooling's output: ``floor((n - k + 2p) / s) + 1`` for each.

    Parameters
    ----------
    size, kernel, stride, dilation : int or pair of int
        For rows and columns.
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
    result = []
    for i, k, s, d, (before, after) in zip(pair(size), pair(kernel), pair(stride), pair(dilation), edges, strict=True):
        steps = i + before + after - ((k - 1) * d + 1)
        count = (math.ceil(steps / s) if ceil_mode else steps // s) + 1
        if ceil_mode and (count - 1) * s >= i + before:
            count -= 1
        result.append(count)
    return result[0], result[1]


def nchw(array: ArrayLike, layout: str) -> tuple[Array, bool]:
    """Images as float64 (n, c, h, w), and whether there was a batch axis."""
    images = np.asarray(array).astype(np.float64)
    batched = images.ndim == 4
    if not batched:
        images = images[None]
    return (images if layout == "NCHW" else images.transpose(0, 3, 1, 2)), batched


def restore(images: NDArray[Any], layout: str, batched: bool) -> NDArray[Any]:
    """Undo ``nchw``."""
    images = images if layout == "NCHW" else images.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images if batched else images[0])


def shape_nchw(shape: Sequence[int], layout: str) -> tuple[tuple[int, int, int, int], bool]:
    """Return a shape of images as (n, c, h, w), and whether there was a batch axis."""
    batched = len(shape) == 4
    a, b, c, d = shape if batched else (1, *shape)
    return ((a, b, c, d) if layout == "NCHW" else (a, d, b, c)), batched


def oihw(weight: ArrayLike, layout: str) -> Array:
    """Weights as float64 (k, c / g, kh, kw)."""
    weights = np.asarray(weight).astype(np.float64)
    return weights if layout == "NCHW" else weights.transpose(3, 2, 0, 1)


def pad(images: Array, edges: Edges, mode: str = "zeros") -> Array:
    """Pad rows and columns."""
    return np.pad(images, ((0, 0), (0, 0), *edges), mode=PAD_MODES[mode])  # type: ignore[call-overload, no-any-return]


def tap(i: int, j: int, out: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]) -> tuple[Any, ...]:
    """Which padded pixels kernel position ``(i, j)`` meets, one for each output pixel."""
    (oh, ow), (sh, sw), (dh, dw) = out, stride, dilation
    rows = slice(i * dh, i * dh + (oh - 1) * sh + 1, sh) if oh else slice(0, 0)
    columns = slice(j * dw, j * dw + (ow - 1) * sw + 1, sw) if ow else slice(0, 0)
    return ..., rows, columns
