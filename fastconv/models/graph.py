"""Layers that branch and join: which calls lead from inputs to outputs, and how they run forward and backward."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastconv.layers.arguments import Array
from fastconv.layers.layer import Layer
from fastconv.layers.symbolic import Node, SymbolicTensor
from fastconv.layers.variable import Variable

# The attributes of a layer and of those that it holds, as a call left them.
State = list[tuple[Layer, dict[str, Any]]]


def calls_between(inputs: Sequence[SymbolicTensor], outputs: Sequence[SymbolicTensor]) -> list[Node]:
    """Return the calls that the outputs follow from, each after those that it needs, without those that made inputs.

    Raises
    ------
    ValueError
        If an output follows from something that is not among the inputs.
    """
    given = {tensor.node for tensor in inputs}
    found: set[Node] = set()
    waiting = [tensor.node for tensor in outputs]
    while waiting:
        node = waiting.pop()
        if node in found or node in given:
            continue
        if not node.inputs:
            raise ValueError(
                f"outputs: they depend on the input '{node.layer.name}' of shape {node.outputs[0].shape},"
                f" which is not among the inputs {[tensor.name for tensor in inputs]}"
            )
        found.add(node)
        waiting.extend(tensor.node for tensor in node.inputs)
    return sorted(found, key=lambda node: node.number)


def layers_by_depth(inputs: Sequence[SymbolicTensor], outputs: Sequence[SymbolicTensor]) -> list[Layer]:
    """Return a model's layers in Keras' order, which is that of its weights.

    The deepest come first: a layer is one deeper than the deepest that takes what it makes. Those of one depth follow
    each other as a walk from the outputs, through the inputs of each call in order, first meets them.
    """
    met: dict[Layer, int] = {}
    finished: list[Node] = []
    seen: set[Node] = set()
    stack: list[tuple[Node, bool]] = [(tensor.node, False) for tensor in reversed(outputs)]
    while stack:
        node, done = stack.pop()
        if done:
            finished.append(node)
        elif node not in seen:
            seen.add(node)
            met.setdefault(node.layer, len(met))
            stack.append((node, True))
            stack.extend((tensor.node, False) for tensor in reversed(node.inputs))
    depths: dict[Layer, int] = {}
    node_depths: dict[Node, int] = {}
    for node in reversed(finished):
        depth = max(node_depths.get(node, 0), depths.get(node.layer, 0))
        depths[node.layer] = node_depths[node] = depth
        for tensor in node.inputs:
            node_depths[tensor.node] = max(node_depths.get(tensor.node, 0), depth + 1)
    for tensor in inputs:
        if tensor.node.layer not in depths:
            depths[tensor.node.layer] = 0
            met[tensor.node.layer] = -1
    return sorted(depths, key=lambda layer: (-depths[layer], met[layer]))


class Step(NamedTuple):
    """One call of a layer, with the places of what it takes and makes."""

    layer: Layer
    several: bool
    several_outputs: bool
    training: bool | None
    sources: tuple[int, ...]
    targets: tuple[int, ...]
    # Places that nothing reads after this call.
    frees: tuple[int, ...]
    # Another call changes what this one keeps for the way back.
    shared: bool


class Graph:
    """Built layers between inputs and outputs: the counterpart of `Chain` where there are branches.

    Calls run in the order in which they were made; without training an array is let go after the last call that reads
    it. On the way back, gradients of an array that several calls read are added, and so are those of weights that
    several calls use.

    Parameters
    ----------
    inputs, outputs : sequence of SymbolicTensor
    several_inputs, several_outputs : bool
        They come and go as lists, if of one array.

    Raises
    ------
    ValueError
        If an output follows from something that is not among the inputs.

    Examples
    --------
    >>> from fastconv import layers
    >>> x = layers.Input((2,))
    >>> twice = Graph([x], [layers.Add()([x, x])])
    >>> twice.forward(np.ones((1, 2), np.float32), training=True), twice.backward(np.ones((1, 2), np.float32))
    (array([[2., 2.]], dtype=float32), array([[2., 2.]], dtype=float32))
    """

    def __init__(
        self,
        inputs: Sequence[SymbolicTensor],
        outputs: Sequence[SymbolicTensor],
        several_inputs: bool = False,
        several_outputs: bool = False,
    ) -> None:
        self._several_inputs = several_inputs
        self.several_outputs = several_outputs
        nodes = calls_between(inputs, outputs)
        places: dict[SymbolicTensor, int] = {}
        for tensor in [*inputs, *(tensor for node in nodes for tensor in node.outputs)]:
            places.setdefault(tensor, len(places))
        self._places = len(places)
        self._input_places = [places[tensor] for tensor in inputs]
        self._output_places = [places[tensor] for tensor in outputs]
        last_reader = {places[tensor]: node for node in nodes for tensor in (*node.outputs, *node.inputs)}
        held = set(self._output_places)
        users: dict[Layer, set[Node]] = {}
        for node in nodes:
            for layer in _within(node.layer):
                users.setdefault(layer, set()).add(node)
        self._steps = [
            Step(
                node.layer,
                node.several,
                node.several_outputs,
                node.training,
                tuple(places[tensor] for tensor in node.inputs),
                tuple(places[tensor] for tensor in node.outputs),
                tuple(place for place, reader in last_reader.items() if reader is node and place not in held),
                any(len(users[layer]) > 1 for layer in _within(node.layer)),
            )
            for node in nodes
        ]
        # What the last call with training=True left for the way back.
        self.kept: list[tuple[State | None, list[tuple[int, ...]]]] = []

    @property
    def last(self) -> Layer | None:
        """The layer that makes the only output, if nothing else reads that."""
        steps = [step for step in self._steps if self._output_places[0] in step.targets]
        read = any(self._output_places[0] in step.sources for step in self._steps)
        alone = len(self._output_places) == 1 and not self.several_outputs and not read
        return steps[0].layer if steps and alone else None

    @property
    def first_trainable(self) -> int | None:
        """The index of the first call of a layer with weights that training changes; None if there is none."""
        return next((index for index, step in enumerate(self._steps) if step.layer.trainable_variables), None)

    # --- forward ---

    def forward(self, inputs: Any, training: bool = False) -> Any:
        """Return the outputs for inputs; in training every layer keeps what `backward` needs.

        Parameters
        ----------
        inputs : ndarray or list of ndarray
        training : bool

        Returns
        -------
        ndarray or list of ndarray
        """
        arrays: list[Any] = [None] * self._places
        for place, array in zip(self._input_places, inputs if self._several_inputs else [inputs], strict=True):
            arrays[place] = array
        kept: list[tuple[State | None, list[tuple[int, ...]]]] = []
        for step in self._steps:
            made = _call(step, [_cast(arrays[place], step.layer.dtype) for place in step.sources], training)
            for place, array in zip(step.targets, made if step.several_outputs else [made], strict=True):
                arrays[place] = array
            if training:
                shapes = [np.shape(arrays[place]) for place in step.targets]
                kept.append((_state(step.layer) if step.shared else None, shapes))
            for place in step.frees:
                arrays[place] = None
        if training:
            self.kept = kept
        outputs = [arrays[place] for place in self._output_places]
        return outputs if self.several_outputs else outputs[0]

    # --- backward ---

    def backward(self, gradient: Any, down_to: int | None = None, before_activation: bool = False) -> Any:
        """Fill the gradients of all weights.

        Parameters
        ----------
        gradient : ndarray or list of ndarray or None
            With respect to the outputs; may be written over. None where an output has no influence.
        down_to : int, optional
            Not None where no gradient of the inputs is needed.
        before_activation : bool
            `gradient` is with respect to what the layer `last` applies its activation to.

        Returns
        -------
        ndarray, list of ndarray or None
            The gradient with respect to the inputs, or None with `down_to`.

        Raises
        ------
        ValueError
            If a layer returns no gradient of its inputs, or was called with ``training=False``.
        """
        kept, self.kept = self.kept, []
        if len(kept) != len(self._steps):
            raise ValueError("backward needs a call with training=True before it")
        gradients: list[Array | None] = [None] * self._places
        for place, array in zip(self._output_places, gradient if self.several_outputs else [gradient], strict=True):
            _add(gradients, place, array)
        wanted = self._wanted(down_to is None)
        before = self._output_places[0] if before_activation else None
        filled: set[Variable] = set()
        for step, (state, shapes) in zip(reversed(self._steps), reversed(kept), strict=True):
            given = [gradients[place] for place in step.targets]
            for place in step.targets:
                gradients[place] = None
            if wanted.isdisjoint(step.targets):
                continue
            variables = step.layer.trainable_variables
            shared = [(v, v.gradient.copy()) for v in variables if v in filled]
            new = [v for v in variables if v not in filled]
            filled.update(new)
            if all(array is None for array in given):
                for variable in new:
                    variable.gradient[...] = 0
                continue
            if state is not None:
                _restore(state)
            below = self._step_back(step, given, shapes, not wanted.isdisjoint(step.sources), before in step.targets)
            for variable, others in shared:
                variable.gradient[...] += others
            for place, array in zip(step.sources, below, strict=True):
                if place in wanted:
                    _add(gradients, place, array)
        if down_to is not None:
            return None
        found = [gradients[place] for place in self._input_places]
        return found if self._several_inputs else found[0]

    def _wanted(self, of_inputs: bool) -> set[int]:
        """Return the places of arrays whose gradients are needed: trainable weights or the inputs lie before them."""
        wanted = set(self._input_places) if of_inputs else set()
        for step in self._steps:
            if step.layer.trainable_variables or not wanted.isdisjoint(step.sources):
                wanted.update(step.targets)
        return wanted

    def _step_back(
        self, step: Step, given: list[Array | None], shapes: list[tuple[int, ...]], below: bool, before: bool
    ) -> list[Array | None]:
        """Run one layer's way back; return the gradients of what it took."""
        layer = step.layer
        if step.training is False:
            raise ValueError(
                f"layer {layer.name!r} was called with training=False and keeps nothing for a way back;"
                " set trainable = False for it and for the layers before it"
            )
        grads = [
            np.zeros(shape, layer.dtype) if array is None else _owned(array, layer.dtype)
            for array, shape in zip(given, shapes, strict=True)
        ]
        gradient: Any = grads if step.several_outputs else grads[0]
        if before:
            found: Any = layer.backward_before_activation(gradient, below)
        elif layer.backward_takes_input_gradient:
            found = layer.backward(gradient, input_gradient=below)  # type: ignore[call-arg]
        else:
            found = layer.backward(gradient)
        if not below:
            return [None] * len(step.sources)
        if found is None:
            raise ValueError(f"layer {layer.name!r}: backward returned no gradient of the inputs")
        return list(found) if step.several else [found]


def _call(step: Step, values: list[Array], training: bool) -> Any:
    inputs: Any = values if step.several else values[0]
    if not step.layer.call_takes_training:
        return step.layer.call(inputs)
    return step.layer.call(inputs, training=training if step.training is None else step.training)  # type: ignore[call-arg]


def _cast(array: Array, dtype: np.dtype[Any]) -> Array:
    return array if array.dtype == dtype else array.astype(dtype)


def _owned(array: Array, dtype: np.dtype[Any]) -> Array:
    return array if array.dtype == dtype and array.flags.writeable else array.astype(dtype)


def _add(gradients: list[Array | None], place: int, gradient: Array | None) -> None:
    """Add a gradient to what has come from other readers of the same array."""
    if gradient is None:
        return
    so_far = gradients[place]
    if so_far is None:
        gradients[place] = gradient
    elif so_far.flags.writeable and so_far is not gradient:
        so_far += gradient
    else:
        gradients[place] = so_far + gradient


def _within(layer: Layer) -> Iterator[Layer]:
    """Give out a layer and all that it holds."""
    yield layer
    for inner in layer.sublayers():
        yield from _within(inner)


def _state(layer: Layer) -> State:
    return [(inner, dict(vars(inner))) for inner in _within(layer)]


def _restore(state: State) -> None:
    for layer, attributes in state:
        vars(layer).update(attributes)
