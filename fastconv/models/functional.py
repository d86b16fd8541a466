"""A model whose layers branch and join."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self

from fastconv import _registry
from fastconv.layers.arguments import Shape
from fastconv.layers.input_layer import InputLayer
from fastconv.layers.layer import Layer
from fastconv.layers.symbolic import Node, SymbolicTensor, tensors_of
from fastconv.models.batches import Structure, as_arrays, fit_inputs
from fastconv.models.graph import Graph, calls_between, layers_by_depth
from fastconv.models.known import layer_classes
from fastconv.models.model import Model


class Functional(Model):
    """A model whose layers branch and join; ``Model(inputs, outputs)`` makes one.

    Parameters
    ----------
    inputs : SymbolicTensor, or list or dict of them
        What `Input` returned.
    outputs : SymbolicTensor, or list or dict of them
        What the last layers returned when they were called.
    name : str, optional
    trainable : bool

    Raises
    ------
    TypeError
        If inputs or outputs are no symbolic tensors.
    ValueError
        If an output follows from something that is not among the inputs, or two layers have one name.

    Examples
    --------
    >>> from fastconv import Input, Model, layers
    >>> x = Input((16, 16, 3))
    >>> y = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    >>> y = layers.Add()([y, layers.Conv2D(8, 1)(x)])
    >>> model = Model(x, layers.Dense(10)(layers.GlobalAveragePooling2D()(y)))
    >>> model.output_shape, model.count_params()
    ((None, 10), 346)
    """

    def __init__(
        self, inputs: Any = None, outputs: Any = None, name: str | None = None, trainable: bool = True
    ) -> None:
        super().__init__(name=name)
        self.inputs = tensors_of(inputs, "inputs")
        self.outputs = tensors_of(outputs, "outputs")
        for tensor in self.inputs:
            if not isinstance(tensor.node.layer, InputLayer):
                raise ValueError(f"inputs: expected what Input returns, got the output of layer '{tensor.name}'")
        if len({tensor.name for tensor in self.inputs}) < len(self.inputs):
            raise ValueError(f"inputs: expected different ones, got {[tensor.name for tensor in self.inputs]}")
        self._input_keys = list(inputs) if isinstance(inputs, Mapping) else None
        self._output_keys = list(outputs) if isinstance(outputs, Mapping) else None
        self.takes_list = not isinstance(inputs, SymbolicTensor)
        self.several_outputs = not isinstance(outputs, SymbolicTensor)
        self._graph = Graph(self.inputs, self.outputs, self.takes_list, self.several_outputs)
        self._layers = layers_by_depth(self.inputs, self.outputs)
        names = [layer.name for layer in self._layers]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(
                    f'The name "{name}" is used {names.count(name)} times in the model.'
                    " All layer names should be unique."
                )
        self.dtype = self.inputs[0].dtype
        self.built = True
        if not trainable:
            self.trainable = False
        self._saved: Any = None

    # --- what it is made of ---

    @property
    def layers(self) -> list[Layer]:
        """The layers in Keras' order, from inputs to outputs, with those that only say what the model takes."""
        return list(self._layers)

    @property
    def last_layer(self) -> Layer:
        """The layer that makes the only output, or else one that ends with no activation."""
        return self._graph.last or self.inputs[0].node.layer

    @property
    def input_names(self) -> list[str]:
        """The names by which inputs may be given in a dict."""
        return self._input_keys or [tensor.name for tensor in self.inputs]

    @property
    def output_names(self) -> list[str]:
        """The names by which targets, losses and metrics may be given in a dict."""
        if self._output_keys:
            return self._output_keys
        made = [tensor.name for tensor in self.outputs]
        return [name if made.count(name) == 1 else f"{name}_{index}" for index, name in enumerate(made)]

    @property
    def input(self) -> Any:
        """What `Input` returned, or the list of it."""
        return self.inputs if self.takes_list else self.inputs[0]

    @property
    def output(self) -> Any:
        """The symbolic outputs, one or a list."""
        return self.outputs if self.several_outputs else self.outputs[0]

    @property
    def output_dtype(self) -> Any:
        """The type of the outputs, a list for several."""
        return [tensor.dtype for tensor in self.outputs] if self.several_outputs else self.outputs[0].dtype

    @property
    def input_shape(self) -> Any:
        """The shape of the inputs, the batch first; a list of shapes for a list of inputs."""
        shapes = [tensor.shape for tensor in self.inputs]
        return shapes if self.takes_list else shapes[0]

    @property
    def output_shape(self) -> Any:
        """The shape of the outputs, the batch first; a list of shapes for a list of outputs."""
        shapes = [tensor.shape for tensor in self.outputs]
        return shapes if self.several_outputs else shapes[0]

    # --- shapes ---

    def in_order(self, inputs: Any) -> list[Any]:
        """Return several inputs, a list or a dict by name, in the model's order."""
        return Structure(self.input_names, True, f"inputs of model {self.name!r}").listed(inputs)

    def check_input_shape(self, input_shape: Any) -> None:
        """Raise a ValueError if the model was built for inputs of other shapes."""
        given = list(input_shape) if self.takes_list else [input_shape]
        expected = [tensor.shape for tensor in self.inputs]
        if len(given) != len(expected):
            self._refuse(f"expected {len(expected)} inputs, got {len(given)}")
        for shape, wanted in zip(given, expected, strict=True):
            fits = len(shape) == len(wanted) and all(
                want is None or got in (None, want) for got, want in zip(shape[1:], wanted[1:], strict=True)
            )
            if not fits:
                self._refuse(f"expected shape={wanted}, found shape={shape}")

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the outputs, or a list of shapes, for inputs of a shape, or of a list of shapes."""
        given = list(input_shape) if self.takes_list else [input_shape]
        shapes: dict[SymbolicTensor, Shape] = dict(zip(self.inputs, map(tuple, given), strict=True))
        for node in calls_between(self.inputs, self.outputs):
            taken: Any = [shapes[tensor] for tensor in node.inputs]
            made = node.layer.compute_output_shape(taken if node.several else taken[0])
            for tensor, shape in zip(node.outputs, made if isinstance(made, list) else [made], strict=True):
                shapes[tensor] = tuple(shape)
        found = [shapes[tensor] for tensor in self.outputs]
        return found if self.several_outputs else found[0]

    def _layer_shapes(self) -> list[Shape | None]:
        shapes = {tensor.node.layer: tensor.shape for tensor in self.inputs}
        for node in calls_between(self.inputs, self.outputs):
            shapes.setdefault(node.layer, _shapes_of(node))
        return [shapes[layer] for layer in self._layers]

    def connections(self) -> list[str]:
        """Return for each layer the names of those that it was called on."""
        calls = calls_between(self.inputs, self.outputs)
        return [
            ", ".join(tensor.name for node in calls if node.layer is layer for tensor in node.inputs) or "-"
            for layer in self._layers
        ]

    # --- running ---

    def chain(self, input_shape: Any) -> Any:
        """Return the layers as a graph, which runs forward and backward as a chain does."""
        return self._graph

    def prepare_inputs(self, x: Any) -> tuple[Any, Any]:
        """Return inputs in the shapes that the model was built for, one array or a list, and what runs them."""
        arrays = as_arrays(x, Structure(self.input_names, self.takes_list, "x"))
        listed = arrays if isinstance(arrays, list) else [arrays]
        fitted = [
            array if array.shape[1:] == tensor.shape[1:] else fit_inputs(array, tensor.shape, self.name)
            for array, tensor in zip(listed, self.inputs, strict=True)
        ]
        return fitted if self.takes_list else fitted[0], self._graph

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return the outputs of a batch of inputs."""
        outputs = self._graph.forward(inputs, training)
        if training:
            self._saved = self._graph.kept
        return outputs

    def backward(self, grad_outputs: Any, input_gradient: bool = True) -> Any:
        """Fill the gradients of all weights; return that of the inputs, or None if it is not asked for."""
        if self._saved is not None:
            self._graph.kept, self._saved = self._saved, None
        return self._graph.backward(grad_outputs, None if input_gradient else 0)

    # --- configuration ---

    def get_config(self) -> dict[str, Any]:
        """Return name, layers and calls as plain JSON types."""
        calls = [*(tensor.node for tensor in self.inputs), *calls_between(self.inputs, self.outputs)]
        numbers = {node: number for number, node in enumerate(calls)}

        def places(tensors: list[SymbolicTensor]) -> list[list[int]]:
            return [[numbers[tensor.node], tensor.index] for tensor in tensors]

        return {
            "name": self.name,
            "trainable": self.trainable,
            "layers": self._described_layers(),
            "calls": [
                {
                    "layer": self._layers.index(node.layer),
                    "inputs": places(node.inputs),
                    "several": node.several,
                    "training": node.training,
                }
                for node in calls
            ],
            "inputs": _structured(places(self.inputs), self._input_keys, self.takes_list),
            "outputs": _structured(places(self.outputs), self._output_keys, self.several_outputs),
        }

    def _described_layers(self) -> list[Any]:
        """Describe each layer, one that another of them holds by the way to it, so that both stay the same layer."""
        ways: dict[Layer, list[int]] = {}
        for place, layer in enumerate(self._layers):
            for way, inner in _held(layer, [place]):
                if inner in ways:
                    raise ValueError(
                        f"model '{self.name}' cannot be described: two of its layers hold the layer '{inner.name}'"
                    )
                ways[inner] = way
        return [{"within": ways[layer]} if layer in ways else _registry.serialize(layer) for layer in self._layers]

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        """Make a model, with fresh weights, from what `get_config` returned.

        Parameters
        ----------
        config : dict
        custom_objects : mapping of str to class, optional
            Layers of one's own, by class name.

        Raises
        ------
        ValueError
            If the configuration is none, or names an unknown layer.
        """
        if not isinstance(config, dict) or not isinstance(config.get("calls"), list):
            raise ValueError(f"config: expected a dict with 'layers' and 'calls', got {config!r}")
        with _registry.custom_objects_in_scope(custom_objects):
            classes = layer_classes()
            made = [
                None if "within" in item else _registry.resolve(item, classes, "layer") for item in config["layers"]
            ]
        for place, item in enumerate(config["layers"]):
            if "within" in item:
                holder, *path = item["within"]
                layer: Layer = made[holder]
                for index in path:
                    layer = layer.sublayers()[index]
                made[place] = layer
        tensors: list[list[SymbolicTensor]] = []

        def found(place: Any) -> SymbolicTensor:
            number, index = place
            return tensors[int(number)][int(index)]

        for call in config["calls"]:
            layer = made[call["layer"]]
            if isinstance(layer, InputLayer):
                tensors.append([layer.tensor])
                continue
            taken = [found(place) for place in call["inputs"]]
            result = layer(taken if call["several"] else taken[0], training=call["training"])
            tensors.append(result if isinstance(result, list) else [result])
        ends: list[Any] = []
        for entry in (config["inputs"], config["outputs"]):
            if isinstance(entry, dict):
                ends.append({name: found(place) for name, place in entry.items()})
            elif entry and isinstance(entry[0], list):
                ends.append([found(place) for place in entry])
            else:
                ends.append(found(entry))
        model = cls(ends[0], ends[1], name=config.get("name"))
        model._trainable = bool(config.get("trainable", True))
        return model


def _held(layer: Layer, way: list[int]) -> Iterator[tuple[list[int], Layer]]:
    """Give out the layers that a layer holds, however deep, with the ways to them."""
    for index, inner in enumerate(layer.sublayers()):
        yield [*way, index], inner
        yield from _held(inner, [*way, index])


def _structured(places: list[list[int]], keys: list[str] | None, several: bool) -> Any:
    if keys is not None:
        return dict(zip(keys, places, strict=True))
    return places if several else places[0]


def _shapes_of(node: Node) -> Any:
    shapes = [tensor.shape for tensor in node.outputs]
    return shapes if node.several_outputs else shapes[0]
