"""``fastconv filter``: a picture through a kernel."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv import image
from fastconv.cli.errors import CommandError, missing_extra, reported

KERNELS: dict[str, Any] = {
    "sobel_x": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "sobel_y": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
    "sharpen": [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
    "blur": [[1 / 25] * 5] * 5,
}
_LARGEST = 1023


def filter_picture(options: argparse.Namespace) -> None:
    """Correlate each channel of a picture with a kernel, and write the result as a picture.

    Edges of both signs are written as their size; other results are cut off at black and white.

    Parameters
    ----------
    options : argparse.Namespace
        The options of ``fastconv filter``.

    Raises
    ------
    CommandError
        If picture or kernel cannot be read, or the result cannot be written.
    """
    kernel = read_kernel(options.kernel)
    pixels = _read(Path(options.image))
    made = image.correlate(pixels, kernel, axes=(0, 1))
    if abs(kernel.sum()) < 1e-6 * np.abs(kernel).sum():
        made = np.abs(made)
    _write(Path(options.output), np.clip(np.rint(made), 0, 255).astype(np.uint8))


def read_kernel(name: str) -> NDArray[np.float64]:
    """Return a kernel by name, or from a file: ``.npy``, or numbers in rows, separated by commas or blanks.

    Parameters
    ----------
    name : str

    Returns
    -------
    ndarray (kh, kw)

    Raises
    ------
    CommandError
        If it is neither, or no matrix of numbers.

    Examples
    --------
    >>> read_kernel("sharpen").sum()
    np.float64(1.0)
    """
    if name in KERNELS:
        return np.array(KERNELS[name], np.float64)
    file = Path(name)
    if not file.is_file():
        raise CommandError(f"{name}: no kernel of that name ({', '.join(KERNELS)}) and no such file")
    with reported(Exception, about=file):
        if file.suffix == ".npy":
            values = np.asarray(np.load(file, allow_pickle=False))
        else:
            rows = [line.replace(",", " ").replace(";", " ").split() for line in file.read_text().splitlines()]
            values = np.array([[float(number) for number in row] for row in rows if row])
    if values.ndim != 2 or values.dtype.kind not in "biuf" or not 0 < max(values.shape) <= _LARGEST:
        raise CommandError(f"{file}: expected rows of as many numbers, up to {_LARGEST}, got shape {values.shape}")
    if 0 in values.shape or not np.isfinite(values).all():
        raise CommandError(f"{file}: expected finite numbers")
    return values.astype(np.float64)


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise missing_extra("Pillow", "filtering a picture") from error
    return Image


def _read(file: Path) -> NDArray[np.float32]:
    """Return a picture as (height, width), or (height, width, 3) where it has colours."""
    pillow = _pillow()
    if not file.is_file():
        raise CommandError(f"{file}: {'not a regular file' if file.exists() else 'no such file'}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", pillow.DecompressionBombWarning)
            with pillow.open(file) as picture:
                picture.load()
                grey = picture.mode in ("1", "L", "LA") or picture.mode[0] in "IF"
                if picture.mode[0] in "IF":  # no fixed white: the brightest pixel is white
                    values = np.nan_to_num(np.asarray(picture, np.float64), posinf=0.0, neginf=0.0)
                    low, high = values.min(), values.max()
                    return np.asarray((values - low) * (255 / (high - low) if high > low else 0), np.float32)
                return np.asarray(picture.convert("L" if grey else "RGB"), np.float32)
    except Exception as error:  # Pillow's decoders raise whatever their parsing stumbles over
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CommandError(f"{file}: not a picture that Pillow can read ({reason})") from error


def _write(file: Path, pixels: NDArray[np.uint8]) -> None:
    with reported(Exception, about=file):
        _pillow().fromarray(pixels).save(file)
