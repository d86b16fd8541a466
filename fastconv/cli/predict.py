"""``fastconv predict``: which digit a picture shows."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastconv
from fastconv.cli.digit_image import read_digit
from fastconv.cli.errors import CommandError, reported

_BAR = 40


def predict(options: argparse.Namespace) -> None:
    """Print ten probabilities for each picture.

    Parameters
    ----------
    options : argparse.Namespace
        The options of ``fastconv predict``.

    Raises
    ------
    CommandError
        If the model or a picture cannot be read, or the model does not read digits.
    """
    if options.threads is not None:
        fastconv.set_num_threads(options.threads)
    model, size = load_reader(options.weights)
    pictures = np.stack([read_digit(path, size) for path in options.images])
    probabilities = model.predict(pictures[..., None], verbose=0)
    if not np.isfinite(probabilities).all() or not np.allclose(probabilities.sum(axis=1), 1, atol=1e-3):
        raise CommandError(f"{options.weights}: its output is not ten probabilities, the weights are damaged")
    print("\n\n".join(map(described, options.images, probabilities)))


def load_reader(path: str) -> tuple[Any, int]:
    """Load a model that takes one-channel square images and returns ten probabilities.

    Parameters
    ----------
    path : str
        The file.

    Returns
    -------
    model : Sequential or Model
        The model.
    size : int
        Height and width of its input.

    Raises
    ------
    CommandError
        If the file is missing, damaged, foreign, or holds a model of other shapes.
    """
    file = Path(path)
    if not file.exists():
        raise CommandError(f"{file}: no such file; 'fastconv train' makes one, --weights names it")
    if not file.is_file():
        raise CommandError(f"{file}: not a regular file")
    with reported(ValueError, OSError, ImportError, MemoryError, about=file):
        model = fastconv.models.load_model(file)
    taken, given = tuple(model.input_shape), tuple(model.output_shape)
    size = taken[1] if len(taken) == 4 else None
    if size is None or taken[1:] != (size, size, 1) or not 8 <= size <= 1024 or given[1:] != (10,):
        raise CommandError(
            f"{file}: expected a model from (None, 32, 32, 1) or another square to (None, 10), got {taken} to {given}"
        )
    return model, int(size)


def described(name: str, probabilities: NDArray[Any]) -> str:
    """Write ten probabilities as text, with a bar for each.

    Parameters
    ----------
    name : str
        Of the picture.
    probabilities : ndarray
        Shape (10,).

    Returns
    -------
    str
        Eleven lines.

    Examples
    --------
    >>> print(described("seven.png", np.array([0, 0.25, 0, 0, 0, 0, 0, 0.75, 0, 0])))  # doctest: +ELLIPSIS
    seven.png: 7 (75.0%)
      0    0.00%
      1   25.00% ██████████
    ...
    """
    best = int(np.argmax(probabilities))
    lines = [
        f"  {digit}  {share:7.2%} {'█' * round(float(share) * _BAR)}".rstrip()
        for digit, share in enumerate(probabilities)
    ]
    return "\n".join([f"{name}: {best} ({probabilities[best]:.1%})", *lines])
