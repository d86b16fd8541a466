"""From a picture file to a digit that looks like the training data.

MNIST's recipe: find the ink, scale its longer side to 20 of 32 pixels, put its centre of mass in the middle. Dark ink
on a light ground and light ink on a dark one are told apart by the picture's border, which is taken to be ground.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastconv.cli.errors import CommandError, missing_extra
from fastconv.datasets.digits import INK_SHARE

if TYPE_CHECKING:
    from PIL.Image import Image

_WORKING_SIDE = 256
"""Larger pictures are reduced to about this side before the ink is looked for."""

_LEAST_CONTRAST = 0.06
"""Share of full scale by which ink must differ from the ground."""


def read_digit(path: str | Path, size: int = 32) -> NDArray[np.float32]:
    """Read a picture of one digit.

    Parameters
    ----------
    path : str or Path
        Any file that Pillow reads: of several frames the first, transparent or not, 1 to 32 bits a channel.
    size : int
        Height and width of the result.

    Returns
    -------
    ndarray of float32
        Shape (size, size); 0 is ground and 1 is ink.

    Raises
    ------
    CommandError
        If the file cannot be read as a picture or nothing is drawn on it, or Pillow is not installed.
    """
    file = Path(path)
    if not file.exists():
        raise CommandError(f"{file}: no such file")
    if not file.is_file():
        raise CommandError(f"{file}: not a regular file")
    grey = _read_grey(file)
    ink = ink_of(grey)
    if ink is None:
        raise CommandError(f"{file}: no digit found, the picture is all one shade")
    return centre(ink, size)


def _read_grey(file: Path) -> NDArray[np.float64]:
    """Brightness (height, width) from 0 to 1, with transparent parts taken as ground."""
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError as error:
        raise missing_extra("Pillow", "reading a picture") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file) as image:
                image.load()
                grey = _grey(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:
        raise CommandError(f"{file}: not a picture that Pillow can read") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise CommandError(f"{file}: picture too large ({error})") from error
    except Exception as error:
        # Pillow's decoders raise whatever their parsing stumbles over: SyntaxError, struct.error, KeyError, ...
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CommandError(f"{file}: damaged picture ({reason})") from error
    return grey


def _grey(image: Image) -> NDArray[np.float64]:
    if min(image.size) < 1:
        raise ValueError("it has no pixels")
    if image.mode[0] in "IF":  # 16 and 32 bits have no fixed white, so the brightest pixel is white
        values = np.nan_to_num(np.asarray(image, np.float64), posinf=0.0, neginf=0.0)
        low, high = values.min(), values.max()
        return _reduced((values - low) / (high - low) if high > low else np.zeros_like(values))
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = np.asarray(image.convert("RGBA"), np.float64) / 255
        brightness, alpha = rgba[..., :3] @ (0.299, 0.587, 0.114), rgba[..., 3]
        weight = alpha.sum()
        ground = 0.0 if weight > 0 and (brightness * alpha).sum() / weight > 0.5 else 1.0
        return _reduced(brightness * alpha + ground * (1 - alpha))
    return _reduced(np.asarray(image.convert("L"), np.float64) / 255)


def _reduced(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average blocks so that the longer side comes near the working size; a fraction of a block is cut off."""
    step = max(grey.shape) // _WORKING_SIDE
    if step < 2:
        return grey
    rows, columns = (max(side // step, 1) for side in grey.shape)
    step_y, step_x = grey.shape[0] // rows, grey.shape[1] // columns
    blocks = grey[: rows * step_y, : columns * step_x].reshape(rows, step_y, columns, step_x)
    mean: NDArray[np.float64] = blocks.mean(axis=(1, 3))
    return mean


def ink_of(grey: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Tell ink from ground.

    Parameters
    ----------
    grey : ndarray
        Brightness (height, width) from 0 to 1.

    Returns
    -------
    ndarray or None
        Ink from 0 to 1, cut to the box that holds it; None if the picture is flat.
    """
    rim = max(1, round(0.04 * min(grey.shape)))
    inner = np.zeros(grey.shape, bool)
    inner[rim:-rim, rim:-rim] = True
    ground = float(np.median(grey[~inner]))
    dark_ink = ground - grey.min() >= grey.max() - ground
    ink = np.clip(ground - grey if dark_ink else grey - ground, 0, None)
    if ink.max() < _LEAST_CONTRAST:
        return None
    threshold = _otsu(ink)
    mask = _without_specks(ink > threshold)
    full = np.percentile(ink[mask], 75)
    ink = np.clip((ink - threshold / 2) / max(full - threshold / 2, 1e-6), 0, 1)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _otsu(values: NDArray[np.float64]) -> float:
    """Threshold that parts the values into the two most separate groups (Otsu 1979)."""
    counts, edges = np.histogram(values, bins=128)
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = below[-1] + counts[-1] - below
    sums = np.cumsum(counts * middles)
    gap = sums[:-1] / np.maximum(below, 1) - (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    return float(edges[1 + np.argmax(below * above * gap**2)])


def _without_specks(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Clear pixels with fewer than 2 set neighbours of 8, unless nothing would be left."""
    padded = np.pad(mask, 1).astype(np.int8)
    height, width = mask.shape
    neighbours = sum(padded[i : i + height, j : j + width] for i in range(3) for j in range(3)) - mask
    cleaned: NDArray[np.bool_] = mask & (neighbours >= 2)
    return cleaned if cleaned.any() else mask


def centre(ink: NDArray[np.float64], size: int = 32) -> NDArray[np.float32]:
    """Scale a digit's ink and put its centre of mass in the middle of an empty image.

    Parameters
    ----------
    ink : ndarray
        Ink (height, width) from 0 to 1 that reaches all four edges.
    size : int
        Height and width of the result; the ink's longer side becomes ``INK_SHARE`` of it.

    Returns
    -------
    ndarray of float32
        Shape (size, size), from 0 to 1.
    """
    scale = INK_SHARE * size / max(ink.shape)
    mass = ink.sum()
    weights: list[NDArray[Any]] = []
    for axis, side in enumerate(ink.shape):
        middle = float(ink.sum(axis=1 - axis) @ (np.arange(side) + 0.5) / mass)
        target = np.clip(size / 2, middle * scale, size - (side - middle) * scale)  # the whole box stays inside
        weights.append(_tent_weights(side, size, scale, middle, float(target)))
    drawn: NDArray[np.float64] = weights[0] @ ink @ weights[1].T
    return drawn.clip(0, 1).astype(np.float32)


def _tent_weights(side: int, size: int, scale: float, middle: float, target: float) -> NDArray[np.float64]:
    """Weights (size, side) that draw `side` cells on `size` pixels, the point `middle` of the cells on `target`."""
    cells = (np.arange(side) + 0.5 - middle) * scale + target
    reach = max(scale, 1.0)
    tent = np.clip(1 - np.abs(np.arange(size)[:, None] + 0.5 - cells) / reach, 0, None)
    # A picture that shrinks is averaged (each pixel's weights sum to 1), one that grows is interpolated.
    return tent * (scale if scale < 1 else 1.0)
