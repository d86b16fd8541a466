"""The 1,797 handwritten digits that come with scikit-learn, drawn large enough for LeNet-5."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]

INK_SHARE = 5 / 8
"""Share of the side that a digit's height takes: 20 of 32 pixels, as in the LeNet-5 paper."""

_GRID = 8
_FULL_INK = 16.0


def load_data(size: int = 32, test_fraction: float = 0.2, seed: int = 0) -> tuple[Pair, Pair]:
    """Load scikit-learn's digits as `size` × `size` images, split into a training and a test set.

    The 8×8 originals count the ink in 4×4 blocks of a 32×32 scan. They are drawn the way MNIST was made: scaled to
    `INK_SHARE` of the side by cubic interpolation (Keys 1981, a = −1/2), with the centre of the ink's mass in the
    middle of the image.

    Parameters
    ----------
    size : int
        Height and width of the images, at least 8.
    test_fraction : float
        Share of each digit's images that goes into the test set, between 0 and 1.
    seed : int
        Chooses the split and the order, 0 to 2³² − 1. The same seed gives the same split on every machine and with
        every version of NumPy.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        Images of shape (N, size, size) and labels of shape (N,), both uint8; ink is bright, labels are 0 to 9.

    Raises
    ------
    ImportError
        If scikit-learn is not installed.
    TypeError, ValueError
        If an argument is of the wrong type or out of range.

    Examples
    --------
    >>> (x_train, y_train), (x_test, y_test) = load_data()
    >>> x_train.shape, x_test.shape, x_train.dtype
    ((1438, 32, 32), (359, 32, 32), dtype('uint8'))
    """
    _check(size, test_fraction, seed)
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError("the digits come with scikit-learn: pip install 'fastconv[demo]'") from error
    grids, labels = load_digits(return_X_y=True)
    images = _draw(np.asarray(grids, np.float64).reshape(-1, _GRID, _GRID), size)
    classes = np.asarray(labels).astype(np.uint8)
    train, test = _stratified_split(classes, test_fraction, seed)
    return (images[train], classes[train]), (images[test], classes[test])


def _check(size: int, test_fraction: float, seed: int) -> None:
    for name, value in (("size", size), ("seed", seed)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TypeError(f"{name} must be an int, got {value!r}")
    if size < _GRID:
        raise ValueError(f"size must be at least {_GRID}, got {size}")
    if not 0 <= seed < 1 << 32:
        raise ValueError(f"seed must be between 0 and 2**32 - 1, got {seed}")
    if isinstance(test_fraction, bool) or not isinstance(test_fraction, (int, float, np.floating)):
        raise TypeError(f"test_fraction must be a float, got {test_fraction!r}")
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction must be between 0 and 1, got {test_fraction}")


def _draw(grids: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
    """Interpolate grids (N, 8, 8) with ink 0 to 16 to images (N, size, size) with ink 0 to 255."""
    mass = np.maximum(grids.sum(axis=(1, 2)), 1e-12)
    cells = np.arange(_GRID)
    weights = [
        _cubic_weights(grids.sum(axis=other) @ cells / mass, size)  # along rows, then along columns
        for other in (2, 1)
    ]
    drawn = weights[0] @ grids @ weights[1].transpose(0, 2, 1)
    return np.clip(np.rint(drawn * (255.0 / _FULL_INK)), 0, 255).astype(np.uint8)


def _cubic_weights(centres: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Weights (N, size, 8) that sample 8 cells at `size` points, centre n in the middle; outside there is no ink."""
    scale = INK_SHARE * size / _GRID
    points = (np.arange(size) + 0.5 - size / 2) / scale + centres[:, None]
    distance = np.abs(points[:, :, None] - np.arange(_GRID))
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    weights: NDArray[np.float64] = np.where(distance < 1, near, np.where(distance < 2, far, 0.0))
    return weights


def _stratified_split(
    labels: NDArray[np.uint8], test_fraction: float, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Shuffled indices of a training and a test set that hold each class in the same proportion."""
    shuffle = np.random.RandomState(seed)  # its stream is frozen by NumPy's policy, a Generator's is not
    train, test = [], []
    for label in np.unique(labels):
        members = shuffle.permutation(np.flatnonzero(labels == label))
        count = min(max(round(len(members) * test_fraction), 1), len(members) - 1)
        test.append(members[:count])
        train.append(members[count:])
    return shuffle.permutation(np.concatenate(train)), shuffle.permutation(np.concatenate(test))
