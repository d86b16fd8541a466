"""Layers that make one array of several, element by element."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from fastconv.layers.arguments import Array, Shape
from fastconv.layers.layer import Layer


class Merge(Layer):
    """Base of the layers that combine inputs of one shape; extents of 1 are stretched.

    A subclass defines `_merge` and `_gradients`.

    Parameters
    ----------
    **kwargs
        As for `Layer`.

    Raises
    ------
    ValueError
        If there is no input, or their shapes do not fit.
    """

    takes_list = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._saved: Any = None

    def _merge(self, inputs: list[Array]) -> Array:
        """Return one array of the inputs."""
        raise TypeError(f"{type(self).__name__} defines no _merge(inputs)")

    def _gradients(self, inputs: list[Array], grad_outputs: Array) -> list[Array]:
        """Return the gradients of the inputs before they are summed over stretched axes, each its own to write to."""
        raise TypeError(f"{type(self).__name__} defines no _gradients(inputs, grad_outputs)")

    def check_input_shape(self, input_shape: Any) -> None:
        """Raise a ValueError if the layer cannot take inputs of these shapes."""
        self.compute_output_shape(input_shape)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the outputs' shape."""
        if not input_shape:
            raise ValueError(
                f"A `{type(self).__name__}` layer should be called on a list of at least 1 input. Received: 0"
            )
        if len({len(shape) for shape in input_shape}) > 1:
            raise ValueError(f"Inputs have incompatible shapes. Received shapes {[tuple(s) for s in input_shape]}")
        if len({shape[0] for shape in input_shape if shape} - {None}) > 1:
            shapes = [tuple(shape) for shape in input_shape]
            raise ValueError(f"Cannot merge tensors with different batch sizes. Received shapes {shapes}")
        extents: list[int | None] = []
        for column in zip(*input_shape, strict=True):
            large = {extent for extent in column if extent not in (1, None)}
            if len(large) > 1:
                raise ValueError(f"Inputs have incompatible shapes. Received shapes {[tuple(s) for s in input_shape]}")
            extents.append(large.pop() if large else None if None in column else 1)
        return tuple(extents)

    def call(self, inputs: list[Array], training: bool = False) -> Array:
        """Return one array of the inputs; in training keep them."""
        if training:
            self._saved = inputs
        return self._merge(inputs)

    def backward(self, grad_outputs: Array) -> list[Array]:
        """Return the gradients of the inputs."""
        if self._saved is None:
            raise ValueError(f"layer {self.name!r}: backward needs a call with training=True before it")
        inputs, self._saved = self._saved, None
        gradients = self._gradients(inputs, grad_outputs)
        return [_unstretched(g, x.shape) for g, x in zip(gradients, inputs, strict=True)]


class Add(Merge):
    """The sum of the inputs.

    Parameters
    ----------
    **kwargs
        As for `Layer`.

    Examples
    --------
    >>> Add()([[[1.0]], [[2.0]], [[4.0]]])
    array([[7.]], dtype=float32)
    """

    def _merge(self, inputs: list[Array]) -> Array:
        return _folded(np.add, inputs)

    def _gradients(self, inputs: list[Array], grad_outputs: Array) -> list[Array]:
        return [grad_outputs, *(grad_outputs.copy() for _ in inputs[1:])]


class Subtract(Merge):
    """The first of two inputs less the second.

    Parameters
    ----------
    **kwargs
        As for `Layer`.

    Raises
    ------
    ValueError
        If there are not two inputs.

    Examples
    --------
    >>> Subtract()([[[1.0]], [[3.0]]])
    array([[-2.]], dtype=float32)
    """

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the outputs' shape."""
        if len(input_shape) != 2:
            raise ValueError(f"A `Subtract` layer should be called on exactly 2 inputs. Received: {len(input_shape)}")
        return super().compute_output_shape(input_shape)

    def _merge(self, inputs: list[Array]) -> Array:
        return np.subtract(*inputs)

    def _gradients(self, inputs: list[Array], grad_outputs: Array) -> list[Array]:
        return [grad_outputs, -grad_outputs]


class Multiply(Merge):
    """The product of the inputs.

    Parameters
    ----------
    **kwargs
        As for `Layer`.

    Examples
    --------
    >>> Multiply()([[[2.0]], [[3.0]]])
    array([[6.]], dtype=float32)
    """

    def _merge(self, inputs: list[Array]) -> Array:
        return _folded(np.multiply, inputs)

    def _gradients(self, inputs: list[Array], grad_outputs: Array) -> list[Array]:
        return [
            _folded(np.multiply, [grad_outputs, *inputs[:index], *inputs[index + 1 :]]) for index in range(len(inputs))
        ]


class Average(Merge):
    """The mean of the inputs.

    Parameters
    ----------
    **kwargs
        As for `Layer`.

    Examples
    --------
    >>> Average()([[[1.0]], [[2.0]]])
    array([[1.5]], dtype=float32)
    """

    def _merge(self, inputs: list[Array]) -> Array:
        outputs = _folded(np.add, inputs)
        outputs /= len(inputs)
        return outputs

    def _gradients(self, inputs: list[Array], grad_outputs: Array) -> list[Array]:
        grad_outputs /= len(inputs)
        return [grad_outputs, *(grad_outputs.copy() for _ in inputs[1:])]


class _Extremum(Merge):
    """The largest or smallest input; where two are equal, each gets half of the gradient."""

    _choose: np.ufunc

    def _merge(self, inputs: list[Array]) -> Array:
        return _folded(type(self)._choose, inputs)

    def _gradients(self, inputs: list[Array], grad_outputs: Array) -> list[Array]:
        best = list(itertools.accumulate(inputs[:-1], type(self)._choose))
        gradients = []
        for before, values in zip(reversed(best), reversed(inputs[1:]), strict=True):
            share = np.where(before == values, 0.5, type(self)._choose(before, values) == values)
            own = grad_outputs * share.astype(grad_outputs.dtype)
            gradients.append(own)
            grad_outputs = grad_outputs - own
        return [grad_outputs, *reversed(gradients)]


class Maximum(_Extremum):
    """The largest of the inputs, element by element.

    Parameters
    ----------
    **kwargs
        As for `Layer`.

    Examples
    --------
    >>> Maximum()([[[1.0, 5.0]], [[2.0, 3.0]]])
    array([[2., 5.]], dtype=float32)
    """

    _choose = np.maximum


class Minimum(_Extremum):
    """The smallest of the inputs, element by element.

    Parameters
    ----------
    **kwargs
        As for `Layer`.

    Examples
    --------
    >>> Minimum()([[[1.0, 5.0]], [[2.0, 3.0]]])
    array([[1., 3.]], dtype=float32)
    """

    _choose = np.minimum


def _folded(function: np.ufunc, inputs: list[Array]) -> Array:
    """Return function(… function(function(a, b), c) …) as a new array, of one input a copy."""
    if len(inputs) == 1:
        return inputs[0].copy()
    outputs: Array = function(inputs[0], inputs[1])
    for values in inputs[2:]:
        outputs = function(outputs, values)
    return outputs


def _unstretched(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Sum a gradient over the axes along which an input was repeated."""
    axes = tuple(axis for axis, (large, own) in enumerate(zip(gradient.shape, shape, strict=True)) if own != large)
    return gradient.sum(axes, keepdims=True) if axes else gradient
