"""Helpers that training scripts use: class labels as one-hot rows, seeding, custom objects by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from fastconv import _registry

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "clear_session",
    "custom_object_scope",
    "normalize",
    "register_keras_serializable",
    "set_random_seed",
    "to_categorical",
]

_Object = TypeVar("_Object")


def to_categorical(x: ArrayLike, num_classes: int | None = None) -> NDArray[np.float64]:
    """Turn class labels into one-hot rows, as ``keras.utils.to_categorical`` does.

    Parameters
    ----------
    x : array_like of int, shape (...) or (..., 1)
        Labels in ``0 … num_classes - 1``.
    num_classes : int, optional
        Length of a row; the largest label plus one by default.

    Returns
    -------
    ndarray of float64, shape (..., num_classes)

    Raises
    ------
    ValueError
        If a label is negative or not below `num_classes`, or `x` is empty and `num_classes` is not given.

    Examples
    --------
    >>> to_categorical([0, 2, 1])
    array([[1., 0., 0.],
           [0., 0., 1.],
           [0., 1., 0.]])
    """
    labels = np.array(x, dtype=np.int64)
    shape = labels.shape[:-1] if labels.ndim > 1 and labels.shape[-1] == 1 else labels.shape
    labels = labels.reshape(-1)
    if num_classes is None:
        if labels.size == 0:
            raise ValueError("x: expected at least one label where num_classes is not given, got an empty array")
        num_classes = int(labels.max()) + 1
    if labels.size and (labels.min() < 0 or labels.max() >= num_classes):
        raise ValueError(f"x: expected labels in 0 … {num_classes - 1}, got {labels.min()} … {labels.max()}")
    rows = np.zeros((labels.size, num_classes))
    rows[np.arange(labels.size), labels] = 1.0
    return rows.reshape(*shape, num_classes)


def normalize(x: ArrayLike, axis: int = -1, order: int = 2) -> NDArray[Any]:
    """Scale an array to unit norm along an axis, as ``keras.utils.normalize`` does.

    Parameters
    ----------
    x : array_like
    axis : int
        The axis along which norms are taken.
    order : int
        The norm's order, 2 for Euclidean length.

    Returns
    -------
    ndarray of `x`'s shape
        Slices of norm zero stay zero.

    Examples
    --------
    >>> normalize([[3.0, 4.0]])
    array([[0.6, 0.8]])
    """
    values = np.asarray(x)
    norms = np.atleast_1d(np.linalg.norm(values, order, axis))
    norms[norms == 0] = 1
    scaled: NDArray[Any] = values / np.expand_dims(norms, axis)
    return scaled


def set_random_seed(seed: int) -> None:
    """Seed everything random: Python's ``random``, NumPy's global state, and fastconv.

    After it, initial weights, the order in which ``fit`` visits samples, and dropout repeat exactly.

    Parameters
    ----------
    seed : int
        In 0 … 2**32 - 1.

    Raises
    ------
    ValueError
        If the seed is no such integer.

    Examples
    --------
    >>> set_random_seed(7)
    """
    if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise ValueError(f"seed: expected an integer in 0 … 2**32 - 1, got {seed!r}")
    import random  # here: a cold start does without

    from fastconv.runtime import set_seed

    random.seed(int(seed))
    np.random.seed(int(seed))  # noqa: NPY002
    set_seed(int(seed))


def generator() -> np.random.Generator:
    """Return the generator behind initial weights and the order of samples.

    Examples
    --------
    >>> set_random_seed(0)
    >>> first = generator().random()
    >>> set_random_seed(0)
    >>> first == generator().random()
    True
    """
    from fastconv import runtime

    return runtime.generator()


def clear_session(free_memory: bool = True) -> None:
    """Start automatic layer names again, at ``dense``, ``conv2d`` and so on.

    Parameters
    ----------
    free_memory : bool
        Also hand the engine's pool of reusable result blocks back to the system.

    Examples
    --------
    >>> clear_session()
    """
    _registry.reset_names()
    if free_memory:
        from fastconv.runtime import empty_cache

        empty_cache()


def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Callable[[_Object], _Object]:
    """Decorate a class or function of one's own so that ``load_model`` finds it by name.

    Parameters
    ----------
    package : str
        Accepted for Keras' sake; names are looked up without it.
    name : str, optional
        The name to register; the object's own by default.

    Examples
    --------
    >>> from fastconv import layers
    >>> @register_keras_serializable()
    ... class Twice(layers.Layer):
    ...     def call(self, inputs):
    ...         return inputs * 2
    """

    def decorate(value: _Object) -> _Object:
        _registry.register(name or str(getattr(value, "__name__", type(value).__name__)), value)
        return value

    return decorate


def custom_object_scope(custom_objects: Mapping[str, Any]) -> AbstractContextManager[None]:
    """Make classes and functions known by name to ``load_model`` and ``from_config`` within a ``with`` block.

    Examples
    --------
    >>> with custom_object_scope({"Twice": object}):
    ...     pass
    """
    return _registry.custom_objects_in_scope(custom_objects)
