"""Tensors that have a shape but no values yet, and the calls of layers that lead from one to another."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from fastconv.layers.arguments import Shape

if TYPE_CHECKING:
    import numpy as np

    from fastconv.layers.layer import Layer

_order = itertools.count()


class SymbolicTensor:
    """What `Input` and a layer that is called on it return: a shape, a type, and the call that makes the values.

    Parameters
    ----------
    node : Node
        The call of a layer that makes it.
    index : int
        Its place among the results of that call.
    shape : tuple of int or None
        The batch first.

    Examples
    --------
    >>> from fastconv import layers
    >>> layers.Dense(3)(layers.Input((8,))).shape
    (None, 3)
    """

    __slots__ = ("index", "node", "shape")

    def __init__(self, node: Node, index: int, shape: Shape) -> None:
        self.node = node
        self.index = index
        self.shape = shape

    @property
    def name(self) -> str:
        """The name of the layer that makes it."""
        return self.node.layer.name

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of its values."""
        return self.node.layer.dtype

    @property
    def ndim(self) -> int:
        """The number of its axes."""
        return len(self.shape)

    def __array__(self, *arguments: Any, **options: Any) -> NoReturn:
        raise TypeError(f"{self!r} has no values; build a Model(inputs, outputs) and call it on arrays")

    def __len__(self) -> NoReturn:
        raise TypeError(f"{self!r} has no length")

    def __repr__(self) -> str:
        return f"<SymbolicTensor shape={self.shape}, dtype={self.dtype}, name={self.name}>"


class Node:
    """One call of a layer on symbolic tensors.

    Parameters
    ----------
    layer : Layer
    inputs : sequence of SymbolicTensor
        Empty for an `InputLayer`.
    several : bool
        The layer takes a list, if of one tensor.
    training : bool, optional
        Whether the layer runs as in training; by default it does when the model trains.
    """

    __slots__ = ("inputs", "layer", "number", "outputs", "several", "several_outputs", "training")

    def __init__(
        self,
        layer: Layer,
        inputs: Sequence[SymbolicTensor],
        output_shape: Shape | list[Shape],
        several: bool = False,
        training: bool | None = None,
    ) -> None:
        self.layer = layer
        self.inputs = list(inputs)
        self.several = several
        self.training = training
        self.several_outputs = isinstance(output_shape, list)
        shapes = output_shape if isinstance(output_shape, list) else [output_shape]
        self.outputs = [SymbolicTensor(self, index, tuple(shape)) for index, shape in enumerate(shapes)]
        # Nodes are made from tensors that exist, so that this number orders them from inputs to outputs.
        self.number = next(_order)
        layer.inbound_nodes.append(self)

    @property
    def result(self) -> Any:
        """The tensor that the call returned, or a list of several."""
        return self.outputs if self.several_outputs else self.outputs[0]


def is_symbolic(value: Any) -> bool:
    """Say whether a value is a symbolic tensor, or a list, tuple or mapping that holds one.

    Examples
    --------
    >>> is_symbolic([1.0, 2.0])
    False
    """
    if isinstance(value, SymbolicTensor):
        return True
    if isinstance(value, Mapping):
        value = list(value.values())
    return isinstance(value, (list, tuple)) and any(isinstance(item, SymbolicTensor) for item in value)


def tensors_of(value: Any, name: str) -> list[SymbolicTensor]:
    """Return one symbolic tensor, or a list, tuple or mapping of them, as a list.

    Raises
    ------
    TypeError
        If it holds anything else.

    Examples
    --------
    >>> tensors_of(3, "inputs")
    Traceback (most recent call last):
    TypeError: inputs: expected what Input or a layer called on it returns, got 3
    """
    items = list(value.values()) if isinstance(value, Mapping) else value
    items = list(items) if isinstance(items, (list, tuple)) else [items]
    for item in items:
        if not isinstance(item, SymbolicTensor):
            raise TypeError(f"{name}: expected what Input or a layer called on it returns, got {item!r}")
    return items


def apply(layer: Layer, inputs: Any, training: bool | None = None) -> Any:
    """Call a layer on symbolic tensors: build it, and return tensors of its outputs' shapes.

    Raises
    ------
    TypeError
        If something among the inputs is no symbolic tensor.
    ValueError
        If the shapes do not fit, or the layer takes one tensor and is given several.

    Examples
    --------
    >>> from fastconv import layers
    >>> apply(layers.Flatten(), layers.Input((4, 5))).shape
    (None, 20)
    """
    if isinstance(inputs, Mapping):
        inputs = layer.in_order(inputs)
    several = layer.takes_list
    tensors = tensors_of(inputs, f"inputs of layer {layer.name!r}")
    if not several and len(tensors) != 1:
        raise ValueError(
            f"Layer '{layer.name}' expects 1 input(s), but it received {len(tensors)} input tensors."
            " (A layer that takes a list says so: takes_list = True.)"
        )
    shape: Any = [tensor.shape for tensor in tensors] if several else tensors[0].shape
    layer.ensure_built(shape)
    return Node(layer, tensors, layer.compute_output_shape(shape), several, training).result
