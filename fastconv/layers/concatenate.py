"""Several arrays, one behind the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv._arguments.values import index
from fastconv.layers.arguments import Array, Shape
from fastconv.layers.layer import Layer


class Concatenate(Layer):
    """Several inputs as one, one behind the other along an axis.

    Parameters
    ----------
    axis : int
        The only one along which the inputs' extents may differ; the channels by default.
    **kwargs
        As for `Layer`.

    Raises
    ------
    ValueError
        If there are no inputs, or their shapes do not fit.

    Examples
    --------
    >>> Concatenate()([[[1.0, 2.0]], [[3.0]]])
    array([[1., 2., 3.]], dtype=float32)
    """

    takes_list = True

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = index("axis", axis, "an int")
        self._saved: list[int] | None = None

    def check_input_shape(self, input_shape: Any) -> None:
        """Raise a ValueError if the layer cannot take inputs of these shapes."""
        self.compute_output_shape(input_shape)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the outputs' shape."""
        shapes = [tuple(shape) for shape in input_shape]
        if not shapes:
            raise ValueError("A `Concatenate` layer should be called on a list of at least 1 input. Received: 0")
        rank = len(shapes[0])
        if not -rank <= self.axis < rank:
            raise ValueError(f"axis: expected one of {rank} axes, got {self.axis}")
        axis = self.axis % rank
        for other in shapes[1:]:
            same = len(other) == rank and all(
                a is None or b is None or a == b
                for place, (a, b) in enumerate(zip(shapes[0], other, strict=True))
                if place != axis
            )
            if not same:
                raise ValueError(
                    "A `Concatenate` layer requires inputs with matching shapes except for the concatenation axis."
                    f" Received: input_shape={shapes}"
                )
        extents = [shape[axis] for shape in shapes]
        whole = list(shapes[0])
        for place in range(rank):
            whole[place] = next((shape[place] for shape in shapes if shape[place] is not None), None)
        whole[axis] = None if None in extents else sum(extent or 0 for extent in extents)
        return tuple(whole)

    def call(self, inputs: list[Array], training: bool = False) -> Array:
        """Return the inputs as one array."""
        if training:
            self._saved = [array.shape[self.axis] for array in inputs]
        return np.concatenate(inputs, axis=self.axis)

    def backward(self, grad_outputs: Array) -> list[Array]:
        """Return each input's part of the gradient."""
        if self._saved is None:
            raise ValueError(f"layer {self.name!r}: backward needs a call with training=True before it")
        extents, self._saved = self._saved, None
        parts = np.split(grad_outputs, np.cumsum(extents)[:-1], axis=self.axis)
        return [np.ascontiguousarray(part) for part in parts]
