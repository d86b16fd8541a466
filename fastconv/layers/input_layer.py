"""What a model takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastconv.layers.arguments import Array, Shape, shape_of
from fastconv.layers.layer import Layer
from fastconv.layers.symbolic import Node, SymbolicTensor


class InputLayer(Layer):
    """The shape of what a model takes; it returns its inputs.

    Parameters
    ----------
    shape : sequence of int or None, optional
        Without the batch; None is any extent.
    batch_size : int, optional
    dtype : dtype, optional
    batch_shape : sequence of int or None, optional
        With the batch, in place of `shape` and `batch_size`.
    name : str, optional
    **kwargs
        As for `Layer`.

    Raises
    ------
    ValueError
        If not exactly one of `shape` and `batch_shape` is given, or it is no shape.

    Examples
    --------
    >>> InputLayer((28, 28, 1)).batch_shape
    (None, 28, 28, 1)
    """

    def __init__(
        self,
        shape: Sequence[int | None] | None = None,
        batch_size: int | None = None,
        dtype: Any = None,
        batch_shape: Sequence[int | None] | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        # Keras' images may be declared as integers; the model computes in floats all the same.
        super().__init__(name=name, dtype=dtype if dtype in ("float32", "float64") else None, **kwargs)
        if (shape is None) == (batch_shape is None):
            raise ValueError(f"expected one of shape and batch_shape, got shape={shape}, batch_shape={batch_shape}")
        if batch_shape is None:
            self.batch_shape: Shape = (batch_size, *shape_of(shape, "shape"))
        else:
            if batch_size is not None:
                raise ValueError(f"batch_size: expected None where batch_shape is given, got {batch_size}")
            self.batch_shape = shape_of(batch_shape, "batch_shape")
        if not self.batch_shape:
            raise ValueError("batch_shape: expected at least the batch, got ()")
        self.built = True
        self.tensor = Node(self, [], self.batch_shape).outputs[0]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the inputs' shape."""
        return input_shape

    def call(self, inputs: Array) -> Array:
        """Return the inputs."""
        return inputs

    def backward(self, grad_outputs: Array) -> Array:
        """Return the gradient."""
        return grad_outputs

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain JSON types."""
        return {"batch_shape": list(self.batch_shape), "dtype": self.dtype.name, "name": self.name}


def Input(  # noqa: N802
    shape: Sequence[int | None] | None = None,
    batch_size: int | None = None,
    dtype: Any = None,
    batch_shape: Sequence[int | None] | None = None,
    name: str | None = None,
) -> SymbolicTensor:
    """Say what a model takes: the first element of a `Sequential`, or what the layers of a `Model` are called on.

    Parameters
    ----------
    shape : sequence of int or None, optional
        Without the batch; None is any extent.
    batch_size : int, optional
    dtype : dtype, optional
    batch_shape : sequence of int or None, optional
        With the batch, in place of `shape` and `batch_size`.
    name : str, optional

    Returns
    -------
    SymbolicTensor

    Raises
    ------
    ValueError
        If not exactly one of `shape` and `batch_shape` is given, or it is no shape.

    Examples
    --------
    >>> from fastconv import Model, Sequential, layers
    >>> Sequential([Input((784,)), layers.Dense(10)]).output_shape
    (None, 10)
    >>> x = Input((8, 8, 3))
    >>> Model(x, layers.Add()([x, layers.Conv2D(3, 3, padding="same")(x)])).output_shape
    (None, 8, 8, 3)
    """
    return InputLayer(shape, batch_size, dtype, batch_shape, name).tensor
