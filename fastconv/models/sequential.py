"""A model whose layers follow one another."""

from __future__ import annotations

from _thread import RLock  # threading itself would slow the first prediction
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from fastconv import _registry
from fastconv.layers.arguments import Array, Shape, shape_of
from fastconv.layers.input_layer import InputLayer
from fastconv.layers.layer import Layer
from fastconv.layers.symbolic import SymbolicTensor
from fastconv.models.chain import Chain
from fastconv.models.known import layer_classes
from fastconv.models.model import Model

# One thread at a time builds a model; the lock is not the model's own, which may be copied.
_building = RLock()


class Sequential(Model):
    """A model whose layers follow one another.

    Its weights are created as soon as the shape of its inputs is known: from an `Input` or an ``input_shape`` of the
    first layer, by `build`, or by the first data.

    Parameters
    ----------
    layers : sequence of Layer, optional
    trainable : bool
    name : str, optional

    Raises
    ------
    ValueError
        If something is no layer, two layers have one name, or shapes do not fit.

    Examples
    --------
    >>> from fastconv import layers
    >>> model = Sequential([layers.Input((28, 28, 1)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(10)])
    >>> model.output_shape, model.count_params()
    ((None, 10), 27090)
    """

    def __init__(
        self,
        layers: Sequence[Layer | SymbolicTensor] | Layer | None = None,
        trainable: bool = True,
        name: str | None = None,
    ) -> None:
        super().__init__(trainable=trainable, name=name)
        self._layers: list[Layer] = []
        self._chain: Chain | None = None
        given: Sequence[Any] = () if layers is None else [layers] if isinstance(layers, Layer) else list(layers)
        for layer in given:
            self.add(layer, rebuild=False)
        self._rebuild()

    # --- layers ---

    @property
    def layers(self) -> list[Layer]:
        """The layers, in order, without the one that only says what the model takes."""
        return [layer for layer in self._layers if not isinstance(layer, InputLayer)]

    def add(self, layer: Layer | SymbolicTensor, rebuild: bool = True) -> None:
        """Add a layer, or what `Input` returned, at the end.

        Raises
        ------
        ValueError
            If it is no layer, its name is taken, or it does not fit.
        """
        if isinstance(layer, SymbolicTensor) and isinstance(layer.node.layer, InputLayer):
            layer = layer.node.layer
        if not isinstance(layer, Layer):
            raise ValueError(
                "Only instances of `Layer` can be added to a Sequential model."
                f" Received: {layer} (of type {type(layer)})"
            )
        if any(layer is other for other in self._layers):
            raise ValueError(f"layer '{layer.name}' is in the model already; a layer cannot be trained in two places")
        if any(layer.name == other.name for other in self._layers):
            raise ValueError(
                "All layers added to a Sequential model should have unique names."
                f" Name '{layer.name}' is already the name of a layer in this model."
            )
        if isinstance(layer, InputLayer) and self._layers:
            raise ValueError(f"Sequential model '{self.name}': an Input layer has to be the first")
        if not self._layers and layer.input_shape_argument is not None:
            self._layers.append(InputLayer(layer.input_shape_argument, dtype=layer.dtype.name))
        self._layers.append(layer)
        if not rebuild:
            return
        try:
            self._rebuild()
        except Exception:
            self._layers.pop()
            self._rebuild()
            raise

    def pop(self, rebuild: bool = True) -> Layer:
        """Remove the last layer and return it.

        Raises
        ------
        ValueError
            If there is none.
        """
        if not self._layers:
            raise ValueError("There are no layers in the model.")
        layer = self._layers.pop()
        if rebuild:
            self._rebuild()
        return layer

    def _rebuild(self) -> None:
        self.built = False
        self.input_shape_argument = None
        self._chain = None
        if len(self._layers) > 1 and isinstance(self._layers[0], InputLayer):
            self.build(self._layers[0].batch_shape)

    def build(self, input_shape: Shape | None = None) -> None:
        """Create the weights for inputs of a shape, the batch first.

        Raises
        ------
        ValueError
            If there are no layers, or the shape does not fit.
        """
        if not self.layers:
            raise ValueError(f"Sequential model {self.name} cannot be built because it has no layers.")
        first = self._layers[0]
        if input_shape is None:
            raise ValueError(f"Sequential model {self.name}: build needs an input_shape")
        shape = shape_of(input_shape, "input_shape")
        given = None
        if not isinstance(first, InputLayer):
            given = InputLayer(batch_shape=(None, *shape[1:]), dtype=first.dtype.name)
        elif shape[1:] != first.batch_shape[1:]:
            raise ValueError(
                f"Sequential model '{self.name}' has already been configured to use input shape {first.batch_shape}."
                f" You cannot build it with input_shape {shape}"
            )
        for layer in self.layers:
            layer.ensure_built(shape)
            shape = tuple(layer.compute_output_shape(shape))
        if given is not None:  # only now that every layer took the shape
            self._layers.insert(0, given)
        self.dtype = self.layers[0].dtype
        self.input_shape_argument = self.input_shape[1:]
        self._chain = Chain(self.layers)
        self.built = True

    # --- shapes ---

    @property
    def input_shape(self) -> Shape:
        """The shape of the inputs, the batch first.

        Raises
        ------
        AttributeError
            If it is not known yet.
        """
        if self._layers and isinstance(self._layers[0], InputLayer):
            return self._layers[0].batch_shape
        raise AttributeError(f"Sequential model '{self.name}' has no defined input shape yet.")

    @property
    def output_shape(self) -> Shape:
        """The shape of the outputs, the batch first.

        Raises
        ------
        AttributeError
            If it is not known yet.
        """
        if not self.built:
            raise AttributeError(f"Sequential model '{self.name}' has no defined output shape yet.")
        return self.compute_output_shape(self.input_shape)

    def expected_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of inputs that the model was built for."""
        if self._layers and isinstance(self._layers[0], InputLayer):
            return self._layers[0].batch_shape
        return input_shape

    def check_input_shape(self, input_shape: Shape) -> None:
        """Raise a ValueError if the model has been built for inputs of another shape."""
        expected = self.expected_shape(input_shape)
        fits = len(input_shape) == len(expected) and all(
            want is None or got in (None, want) for got, want in zip(input_shape[1:], expected[1:], strict=True)
        )
        if not fits:
            self._refuse(f"expected shape={expected}, found shape={input_shape}")

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the outputs' shape for inputs of a shape."""
        for layer in self.layers:
            input_shape = tuple(layer.compute_output_shape(input_shape))
        return input_shape

    def _layer_shapes(self) -> list[Shape | None]:
        if not self.built:
            return super()._layer_shapes()
        shapes: list[Shape | None] = []
        shape = self.input_shape
        for layer in self.layers:
            shape = tuple(layer.compute_output_shape(shape))
            shapes.append(shape)
        return shapes

    # --- running ---

    def chain(self, input_shape: Shape) -> Chain:
        """Return the layers as one chain, built for inputs of a shape."""
        if self._chain is None:
            with _building:
                if self._chain is None:
                    self.build((None, *input_shape[1:]))
        if self._chain is None:
            raise ValueError(f"Sequential model '{self.name}' could not be built for inputs of shape {input_shape}")
        return self._chain

    def _outputs_at_once(self, x: Any) -> Any:
        """Return outputs where a program has served inputs of the same shape before."""
        chain = self._chain
        run = None if chain is None else chain.only
        program = None if run is None else run.latest
        made = None if program is None else program(x)
        return chain.ready(x) if made is None and chain is not None and type(x) is np.ndarray else made

    def call(self, inputs: Array, training: bool = False) -> Array:
        """Return the outputs of a batch of inputs."""
        return self.chain(inputs.shape).forward(inputs, training)

    def backward(self, grad_outputs: Array, input_gradient: bool = True) -> Array | None:
        """Fill the gradients of all weights; return that of the inputs, or None if it is not asked for."""
        chain = self.chain(self.input_shape)
        if input_gradient:
            return chain.backward(grad_outputs)
        lowest = chain.first_trainable
        return None if lowest is None else chain.backward(grad_outputs, lowest)

    # --- configuration ---

    def get_config(self) -> dict[str, Any]:
        """Return name, layers and input shape as plain JSON types."""
        config: dict[str, Any] = {"name": self.name, "trainable": self.trainable}
        config["layers"] = [_registry.serialize(layer) for layer in self._layers]
        if self.built:
            config["build_input_shape"] = list(self.input_shape)
        return config

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
        if not isinstance(config, dict) or not isinstance(config.get("layers"), list):
            raise ValueError(f"config: expected a dict with 'name' and 'layers', got {config!r}")
        with _registry.custom_objects_in_scope(custom_objects):
            made = [_registry.resolve(item, layer_classes(), "layer") for item in config["layers"]]
        model = cls(made, name=config.get("name"))
        if not config.get("trainable", True):
            model.trainable = False
        if not model.built and config.get("build_input_shape") and model.layers:
            model.build(shape_of(config["build_input_shape"], "build_input_shape"))
        return model
