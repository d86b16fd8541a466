"""Distorted copies of digits, so that a network trained on few of them reads other hands and pens.

Random affine maps with a change of stroke weight, after section III.C of LeCun et al. 1998, "Gradient-based learning
applied to document recognition".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_TURN = 0.2
"""Largest rotation (radians) and largest slant."""

_SHIFT = 0.05
"""Largest shift as a share of the side."""

_AT_ONCE = 2000
"""Images that are distorted together, which bounds the memory that this takes."""


def distorted(images: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Rotate, slant, stretch, shift and re-ink each image a little at random.

    Parameters
    ----------
    images : ndarray of float32
        Shape (N, size, size), 0 is ground and 1 is ink.
    seed : int
        The same seed gives the same copies.

    Returns
    -------
    ndarray of float32
        New images of the same shape and range.

    Examples
    --------
    >>> image = np.zeros((1, 32, 32), np.float32)
    >>> image[0, 8:24, 14:18] = 1
    >>> distorted(image, seed=1).shape
    (1, 32, 32)
    """
    random = np.random.RandomState(seed)
    copies = np.empty_like(images)
    for start in range(0, len(images), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        copies[part] = _distorted(images[part], random)
    return copies


def _distorted(images: NDArray[np.float32], random: np.random.RandomState) -> NDArray[np.float32]:
    count, size, _ = images.shape
    middle = (size - 1) / 2
    maps = _inverse_maps(count, random)
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size), indexing="ij")).reshape(2, -1) - middle
    shift = random.uniform(-_SHIFT * size, _SHIFT * size, (count, 2, 1))
    points = np.clip(maps @ grid + middle + shift, 0, size - 1 - 1e-3)
    corner = points.astype(np.intp)
    part_y, part_x = (points - corner).astype(np.float32).transpose(1, 0, 2)
    index = corner[:, 0] * size + corner[:, 1]
    flat = images.reshape(count, -1)

    def at(offset: int) -> NDArray[np.float32]:
        return np.take_along_axis(flat, index + offset, axis=1)

    upper = at(0) * (1 - part_x) + at(1) * part_x
    lower = at(size) * (1 - part_x) + at(size + 1) * part_x
    drawn = upper * (1 - part_y) + lower * part_y
    # Cutting the grey skirt off thins a stroke, saturating it early thickens it.
    floor = random.uniform(0, 0.5, (count, 1))
    full = np.maximum(random.uniform(0.6, 1, (count, 1)), floor + 0.3)
    inked: NDArray[np.float64] = (drawn - floor) / (full - floor)
    return inked.clip(0, 1).astype(np.float32).reshape(images.shape)


def _inverse_maps(count: int, random: np.random.RandomState) -> NDArray[np.float64]:
    """Matrices (count, 2, 2) that take a point (row, column) of the copy to one of the original."""
    turn = random.uniform(-_TURN, _TURN, count)
    slant = random.uniform(-_TURN, _TURN, count)
    height, width = random.uniform(0.85, 1.1, count), random.uniform(0.8, 1.2, count)
    cosine, sine = np.cos(turn), np.sin(turn)
    rows = [cosine / height, -sine / height, (sine + slant * cosine) / width, (cosine - slant * sine) / width]
    return np.stack(rows, axis=-1).reshape(count, 2, 2)
