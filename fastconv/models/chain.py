"""Layers one after the other: what prediction and training run."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from fastconv.layers.arguments import Array
from fastconv.layers.layer import Layer
from fastconv.models.compiled import CompiledRun, is_known


class Chain:
    """Built layers, one after the other.

    Parameters
    ----------
    layers : sequence of Layer

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> Chain([layers.Flatten(), layers.ReLU()]).forward(np.array([[[-1.0, 2.0]]], "float32"))
    array([[0., 2.]], dtype=float32)
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = list(layers)
        self._steps = [(layer, layer.call, layer.call_takes_training, layer.dtype) for layer in layers]
        self._runs = _runs(self._layers)
        only = self._runs[0] if len(self._runs) == 1 else None
        # What runs all of the layers, if there is one such.
        self.only = only if isinstance(only, CompiledRun) else None

    @property
    def layers(self) -> list[Layer]:
        """The layers, in order."""
        return self._layers

    def program(self, shape: tuple[int, ...]) -> Any:
        """Return the one program of the engine that predicts from images of a shape, or None if it takes more."""
        return None if self.only is None else self.only.program(shape)

    def ready(self, inputs: Array) -> Array | None:
        """Return the outputs for inputs that need no preparation, if one program that is there serves them."""
        program = None if self.only is None else self.only.ready(inputs.shape[1:])
        return None if program is None else program(inputs)

    def training_program(self, shape: tuple[int, ...]) -> Any:
        """Return the one program of the engine that trains on images of a shape, or None if it takes more."""
        return None if self.only is None else self.only.training_program(shape)

    def forward_whole(self, inputs: Array) -> Array | None:
        """Return the outputs for inputs of any number, in little memory beside them; None where that takes batches."""
        program = self.program(inputs.shape[1:])
        return None if program is None else self._predict(inputs)

    def forward(self, inputs: Array, training: bool = False) -> Array:
        """Return the last layer's outputs; in training every layer keeps what `backward` needs."""
        return self._train(inputs) if training else self._predict(inputs)

    def _predict(self, inputs: Array) -> Array:
        for run in self._runs:
            dtype = run.layers[0].dtype if isinstance(run, CompiledRun) else run.dtype
            if inputs.dtype != dtype:
                inputs = inputs.astype(dtype)
            inputs = run.run(inputs) if isinstance(run, CompiledRun) else run.call(inputs)
        return inputs

    def _train(self, inputs: Array) -> Array:
        for _, call, takes_training, dtype in self._steps:
            if inputs.dtype != dtype:
                inputs = inputs.astype(dtype)
            inputs = call(inputs, training=True) if takes_training else call(inputs)  # type: ignore[call-arg]
        return inputs

    @property
    def first_trainable(self) -> int | None:
        """The index of the first layer with weights that training changes, where the way back ends."""
        return next((index for index, layer in enumerate(self._layers) if layer.trainable_variables), None)

    def backward(self, gradient: Array, down_to: int | None = None, before_activation: bool = False) -> Array | None:
        """Fill the gradients of all weights.

        Parameters
        ----------
        gradient : ndarray
            With respect to the outputs; may be written over.
        down_to : int, optional
            The last layer to visit, which then needs no gradient of its inputs. By default all are visited.
        before_activation : bool
            `gradient` is with respect to what the last layer applies its activation to.

        Returns
        -------
        ndarray or None
            The gradient with respect to the inputs, or None with `down_to`.
        """
        lowest = down_to or 0
        for index in range(len(self._layers) - 1, lowest - 1, -1):
            layer, _, _, dtype = self._steps[index]
            if gradient.dtype != dtype or not gradient.flags.writeable:
                gradient = gradient.astype(dtype)
            wanted = down_to is None or index > lowest
            if before_activation:
                below = layer.backward_before_activation(gradient, wanted)
                before_activation = False
            elif layer.backward_takes_input_gradient:
                below = layer.backward(gradient, input_gradient=wanted)  # type: ignore[call-arg]
            else:
                below = layer.backward(gradient)
            if not wanted:
                return None
            if below is None:
                raise ValueError(f"layer {layer.name!r}: backward returned no gradient of the inputs")
            gradient = below
        return gradient


def _runs(layers: Sequence[Layer]) -> list[CompiledRun | Layer]:
    """Return layers, those together that the engine may run in one call."""
    runs: list[CompiledRun | Layer] = []
    for (known, _), group in groupby(layers, lambda layer: (is_known(layer), layer.dtype)):
        members = list(group)
        runs.extend([CompiledRun(members)] if known else members)
    return runs
