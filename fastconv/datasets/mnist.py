"""MNIST from files that are already on the disk: IDX, plain or gzipped, or Keras' ``mnist.npz``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv.datasets._files import read_idx, read_npz

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]

_IDX_STEMS = ("train-images", "train-labels", "t10k-images", "t10k-labels")
_NPZ_NAMES = ("x_train", "y_train", "x_test", "y_test")
_GET_IT = (
    "fastconv downloads nothing: get mnist.npz, or the four files train-images-idx3-ubyte.gz, "
    "train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz, and name the file or its "
    "folder by path="
)


def load_data(path: str | os.PathLike[str] | None = None) -> tuple[Pair, Pair]:
    """Load the MNIST digits, or another data set in the same files (Fashion-MNIST, KMNIST).

    The name and the result are those of ``keras.datasets.mnist.load_data``.

    Parameters
    ----------
    path : str or PathLike, optional
        A folder with the four IDX files, each plain or ``.gz``, or an ``mnist.npz``. A relative path that does not
        exist is looked for in Keras' cache, ``~/.keras/datasets`` (or ``$KERAS_HOME/datasets``). None takes
        ``mnist.npz`` from there.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        Images of shape (N, 28, 28) and labels of shape (N,), both uint8; ink is bright, labels are 0 to 9.

    Raises
    ------
    FileNotFoundError
        If there is no such file or folder, or a file is missing in the folder.
    ValueError
        If a file is damaged or holds something else; the message names the file.

    Examples
    --------
    >>> load_data("nowhere/mnist.npz")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    FileNotFoundError: nowhere/mnist.npz: no such file or folder; fastconv downloads nothing: get mnist.npz, or ...
    """
    source = _find(path)
    arrays = _load_folder(source) if source.is_dir() else _load_npz(source)
    (x_train, x_train_from), (y_train, y_train_from), (x_test, x_test_from), (y_test, y_test_from) = arrays
    train = _checked(x_train, x_train_from, y_train, y_train_from)
    return train, _checked(x_test, x_test_from, y_test, y_test_from)


def _find(path: str | os.PathLike[str] | None) -> Path:
    cache = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "datasets"
    given = Path("mnist.npz" if path is None else path)
    places = [cache / given] if path is None else [given, cache / given]
    for place in places:
        if place.exists():
            return place
    raise FileNotFoundError(f"{places[0]}: no such file or folder; {_GET_IT}")


def _load_folder(folder: Path) -> list[tuple[NDArray[Any], str]]:
    files = []
    for stem in _IDX_STEMS:
        rank = 3 if stem.endswith("images") else 1
        names = [f"{stem}{dot}idx{rank}-ubyte{suffix}" for dot in "-." for suffix in ("", ".gz")]
        found = [folder / name for name in names if (folder / name).is_file()]
        if not found and (folder / "mnist.npz").is_file():
            return _load_npz(folder / "mnist.npz")
        if not found:
            raise FileNotFoundError(f"{folder}: no {names[0]} (plain or .gz) in this folder; {_GET_IT}")
        files.append(found[0])
    return [(read_idx(file), str(file)) for file in files]


def _load_npz(file: Path) -> list[tuple[NDArray[Any], str]]:
    arrays = read_npz(file, _NPZ_NAMES)
    train_x, train_y, test_x, test_y = ((arrays[name], f"{file}: {name}") for name in _NPZ_NAMES)
    return [train_x, train_y, test_x, test_y]


def _checked(images: NDArray[Any], images_from: str, labels: NDArray[Any], labels_from: str) -> Pair:
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (28, 28) or len(images) == 0:
        raise ValueError(
            f"{images_from}: expected uint8 images of shape (N, 28, 28), got {images.dtype} of shape {images.shape}"
        )
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise ValueError(
            f"{labels_from}: expected {len(images)} whole-number labels, got {labels.dtype} of shape {labels.shape}"
        )
    if labels.min() < 0 or labels.max() > 9:
        raise ValueError(f"{labels_from}: expected labels 0 to 9, got {labels.min()} to {labels.max()}")
    return images, labels.astype(np.uint8, copy=False)
