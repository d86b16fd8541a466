"""A layer's array of weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from fastconv.regularizers import Regularizer


class Variable:
    """Weights and their gradient, two arrays that are made once and only ever written in place.

    Whoever sets `value` writes into it, too: layers and programs of the engine read the weights where they are.

    Parameters
    ----------
    value : ndarray
        The first weights, taken over without a copy.
    trainable : bool
    regularizer : Regularizer, optional
    name : str
    path : str
        The name with the layer's before it.

    Examples
    --------
    >>> weights = Variable(np.zeros(2), name="bias")
    >>> weights.assign([1.0, 2.0])
    >>> weights.numpy()
    array([1., 2.])
    """

    __slots__ = ("_gradient", "_value", "name", "path", "regularizer", "trainable")

    def __init__(
        self,
        value: NDArray[Any],
        trainable: bool = True,
        regularizer: Regularizer | None = None,
        name: str = "variable",
        path: str | None = None,
    ) -> None:
        self._value = value
        self.trainable = trainable
        self.regularizer = regularizer
        self.name = name
        self.path = path or name
        self._gradient: NDArray[Any] | None = None

    @property
    def value(self) -> NDArray[Any]:
        """The weights; setting them overwrites the array in place."""
        return self._value

    @value.setter
    def value(self, value: ArrayLike) -> None:
        if value is not self._value:
            self.assign(value)

    @property
    def gradient(self) -> NDArray[Any]:
        """The gradient of the loss with respect to the weights; a layer's ``backward`` fills it."""
        if self._gradient is None:
            self._gradient = np.zeros_like(self.value)
        return self._gradient

    @property
    def shape(self) -> tuple[int, ...]:
        """The weights' shape."""
        return self.value.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The weights' type."""
        return self.value.dtype

    def numpy(self) -> NDArray[Any]:
        """Return a copy of the weights."""
        return self.value.copy()

    def assign(self, value: ArrayLike) -> None:
        """Overwrite the weights.

        Raises
        ------
        ValueError
            If the shape differs.
        """
        values = np.asarray(value)
        if values.shape != self.value.shape:
            raise ValueError(f"{self.path}: expected weights of shape {self.value.shape}, got {values.shape}")
        np.copyto(self.value, values, casting="same_kind" if values.dtype.kind == "f" else "unsafe")

    def assign_add(self, value: ArrayLike) -> None:
        """Add to the weights."""
        self.value += np.asarray(value, dtype=self.value.dtype)

    def assign_sub(self, value: ArrayLike) -> None:
        """Subtract from the weights."""
        self.value -= np.asarray(value, dtype=self.value.dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy:
            return np.array(self.value, dtype=dtype, copy=True)
        return np.asarray(self.value, dtype=dtype)

    def __repr__(self) -> str:
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}>"
