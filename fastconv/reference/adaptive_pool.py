"""Pooling over windows that divide the input evenly."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from fastconv.reference.pool import positions_of, scatter, take_maximum
from fastconv.reference.shapes import Array, channels_first, restore, shape_channels_first


def adaptive_avg_pool2d(
    input: ArrayLike, output_size: int | Sequence[int | None] | None, *, layout: str = "NCHW"
) -> Array:
    """Means of windows that divide the input evenly, as ``torch.nn.functional.adaptive_avg_pool2d``.

    Parameters
    ----------
    input : array_like, shape (n, c, h, w) or (c, h, w); "NHWC": (n, h, w, c) or (h, w, c)
    output_size : int, None or a pair of them
        Rows and columns of the output; None keeps the input's.
    layout : {"NCHW", "NHWC"}

    Returns
    -------
    ndarray of float64, shape (n, c, oh, ow) in ``layout``

    Examples
    --------
    >>> adaptive_avg_pool2d([[[1, 2, 3, 4, 5]]], (1, 2))
    array([[[2., 4.]]])
    """
    return _adaptive_means(2, input, output_size, layout)


def adaptive_avg_pool2d_backward(input_size: Sequence[int], grad_output: ArrayLike, *, layout: str = "NCHW") -> Array:
    """Gradient of :func:`adaptive_avg_pool2d`.

    Parameters
    ----------
    input_size : sequence of int
        Shape of the input, in ``layout``.
    grad_output : array_like, shape (n, c, oh, ow) in ``layout``
    layout : {"NCHW", "NHWC"}

    Returns
    -------
    ndarray of float64, shape input_size

    Examples
    --------
    >>> adaptive_avg_pool2d_backward((1, 1, 5), [[[3, 6]]])
    array([[[1., 1., 3., 2., 2.]]])
    """
    return _adaptive_means_backward(2, input_size, grad_output, layout)


def adaptive_max_pool2d(
    input: ArrayLike,
    output_size: int | Sequence[int | None] | None,
    return_indices: bool = False,
    *,
    layout: str = "NCHW",
) -> Any:
    """Maxima of windows that divide the input evenly, as ``torch.nn.functional.adaptive_max_pool2d``.

    Parameters
    ----------
    input : array_like, shape (n, c, h, w) or (c, h, w); "NHWC": (n, h, w, c) or (h, w, c)
    output_size : int, None or a pair of them
        Rows and columns of the output; None keeps the input's.
    return_indices : bool
        As in :func:`max_pool2d`.
    layout : {"NCHW", "NHWC"}

    Returns
    -------
    ndarray of float64, shape (n, c, oh, ow) in ``layout``, or a pair of that and the indices as int64

    Examples
    --------
    >>> adaptive_max_pool2d([[[1, 5, 3, 4, 2]]], (1, 2), return_indices=True)
    (array([[[5., 4.]]]), array([[[1, 3]]]))
    """
    return _adaptive_maxima(2, input, output_size, return_indices, layout)


def adaptive_max_pool2d_backward(input: ArrayLike, grad_output: ArrayLike, *, layout: str = "NCHW") -> Array:
    """Gradient of :func:`adaptive_max_pool2d`.

    Parameters
    ----------
    input : array_like
        As in :func:`adaptive_max_pool2d`.
    grad_output : array_like, shape (n, c, oh, ow) in ``layout``
    layout : {"NCHW", "NHWC"}

    Returns
    -------
    ndarray of float64, shape of input

    Examples
    --------
    >>> adaptive_max_pool2d_backward([[[1, 5, 3, 4, 2]]], [[[10, 20]]])
    array([[[ 0., 10.,  0., 20.,  0.]]])
    """
    return _adaptive_maxima_backward(2, input, grad_output, layout)


def adaptive_avg_pool1d(
    input: ArrayLike, output_size: int | Sequence[int | None] | None, *, layout: str = "NCHW"
) -> Array:
    """:func:`adaptive_avg_pool2d` with one spatial axis."""
    return _adaptive_means(1, input, output_size, layout)


def adaptive_avg_pool1d_backward(input_size: Sequence[int], grad_output: ArrayLike, *, layout: str = "NCHW") -> Array:
    """:func:`adaptive_avg_pool2d_backward` with one spatial axis."""
    return _adaptive_means_backward(1, input_size, grad_output, layout)


def adaptive_max_pool1d(
    input: ArrayLike,
    output_size: int | Sequence[int | None] | None,
    return_indices: bool = False,
    *,
    layout: str = "NCHW",
) -> Any:
    """:func:`adaptive_max_pool2d` with one spatial axis."""
    return _adaptive_maxima(1, input, output_size, return_indices, layout)


def adaptive_max_pool1d_backward(input: ArrayLike, grad_output: ArrayLike, *, layout: str = "NCHW") -> Array:
    """:func:`adaptive_max_pool2d_backward` with one spatial axis."""
    return _adaptive_maxima_backward(1, input, grad_output, layout)


def adaptive_avg_pool3d(
    input: ArrayLike, output_size: int | Sequence[int | None] | None, *, layout: str = "NCHW"
) -> Array:
    """:func:`adaptive_avg_pool2d` with three spatial axes."""
    return _adaptive_means(3, input, output_size, layout)


def adaptive_avg_pool3d_backward(input_size: Sequence[int], grad_output: ArrayLike, *, layout: str = "NCHW") -> Array:
    """:func:`adaptive_avg_pool2d_backward` with three spatial axes."""
    return _adaptive_means_backward(3, input_size, grad_output, layout)


def adaptive_max_pool3d(
    input: ArrayLike,
    output_size: int | Sequence[int | None] | None,
    return_indices: bool = False,
    *,
    layout: str = "NCHW",
) -> Any:
    """:func:`adaptive_max_pool2d` with three spatial axes."""
    return _adaptive_maxima(3, input, output_size, return_indices, layout)


def adaptive_max_pool3d_backward(input: ArrayLike, grad_output: ArrayLike, *, layout: str = "NCHW") -> Array:
    """:func:`adaptive_max_pool2d_backward` with three spatial axes."""
    return _adaptive_maxima_backward(3, input, grad_output, layout)


Cell: TypeAlias = tuple[tuple[int, ...], tuple[slice, ...]]


def _grid(size: Sequence[int], wanted: int | Sequence[int | None] | None) -> tuple[tuple[int, ...], list[Cell]]:
    """Extents of the output, and for each of its pixels the window: from floor(i * s / o) to ceil((i + 1) * s / o)."""
    every = (wanted,) * len(size) if wanted is None or isinstance(wanted, int | np.integer) else tuple(wanted)
    out = tuple(s if w is None else int(w) for s, w in zip(size, every, strict=True))
    spans = [[slice(i * s // o, -(-(i + 1) * s // o)) for i in range(o)] for s, o in zip(size, out, strict=True)]
    return out, list(zip(product(*map(range, out)), product(*spans), strict=True))


def _adaptive_means(axes: int, input: ArrayLike, output_size: int | Sequence[int | None] | None, layout: str) -> Array:
    images, batched = channels_first(input, layout, axes)
    out, grid = _grid(images.shape[2:], output_size)
    result = np.empty((*images.shape[:2], *out))
    for cell, window in grid:
        at: tuple[Any, ...] = (..., *cell)
        inside: tuple[Any, ...] = (..., *window)
        result[at] = images[inside].mean(axis=tuple(range(2, axes + 2)))
    return restore(result, layout, batched)


def _adaptive_means_backward(axes: int, input_size: Sequence[int], grad_output: ArrayLike, layout: str) -> Array:
    shape, batched = shape_channels_first(input_size, layout, axes)
    gradient = channels_first(grad_output, layout, axes)[0]
    result = np.zeros(shape)
    for cell, window in _grid(shape[2:], gradient.shape[2:])[1]:
        inside: tuple[Any, ...] = (..., *window)
        share = result[inside]
        at: tuple[Any, ...] = (..., *(slice(i, i + 1) for i in cell))
        share += gradient[at] / np.prod(share.shape[2:])
    return restore(result, layout, batched)


def _adaptive_maxima(
    axes: int,
    input: ArrayLike,
    output_size: int | Sequence[int | None] | None,
    return_indices: bool,
    layout: str,
) -> Any:
    images, batched = channels_first(input, layout, axes)
    out, grid = _grid(images.shape[2:], output_size)
    positions = positions_of(images.shape[2:])
    best = np.full((*images.shape[:2], *out), -np.inf)
    where = np.full(best.shape, -1)
    for cell, window in grid:
        at: tuple[Any, ...] = (..., *(slice(i, i + 1) for i in cell))
        for pixel in product(*(range(span.start, span.stop) for span in window)):
            here: tuple[Any, ...] = (..., *(slice(i, i + 1) for i in pixel))
            take_maximum(best[at], where[at], images[here], positions[here])
    values = restore(best, layout, batched)
    return (values, restore(where, layout, batched)) if return_indices else values


def _adaptive_maxima_backward(axes: int, input: ArrayLike, grad_output: ArrayLike, layout: str) -> Array:
    images, batched = channels_first(input, layout, axes)
    gradient = channels_first(grad_output, layout, axes)[0]
    _, where = _adaptive_maxima(axes, images, gradient.shape[2:], True, "NCHW")
    return restore(scatter(images.shape, gradient, where), layout, batched)
