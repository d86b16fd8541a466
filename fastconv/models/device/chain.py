"""A chain of layers on a GPU, with the face of `fastconv.models.chain.Chain`: NumPy in, NumPy out."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from fastconv.cuda import arrays, capture
from fastconv.cuda._numba import SIMULATED, cuda, require_device
from fastconv.cuda.kernels import training as kernels
from fastconv.layers.arguments import Array
from fastconv.layers.layer import Layer
from fastconv.models.chain import Chain
from fastconv.models.device.layers import on_device, predicting
from fastconv.models.device.optimizers import DeviceOptimizer
from fastconv.models.device.weights import Weights, to_host
from fastconv.models.objective import Objective
from fastconv.models.steps import Training
from fastconv.runtime import get_precision

# Shapes of batches for which a chain keeps a captured graph.
KEPT_SHAPES = 8


class DeviceChain:
    """Built layers of one dtype, one after the other, with their weights on the GPU.

    Parameters
    ----------
    model : Layer
        Owns the weights.
    layers : sequence of Layer

    Raises
    ------
    ValueError
        If one of the layers does not run there.
    """

    def __init__(self, model: Layer, layers: list[Layer]) -> None:
        require_device()
        dtypes = {layer.dtype for layer in layers}
        if len(dtypes) != 1 or not dtypes <= {np.dtype(np.float32), np.dtype(np.float64)}:
            raise ValueError(
                f"device: expected layers of one dtype, float32 or float64, got {sorted(map(str, dtypes))}"
            )
        self.dtype = dtypes.pop()
        self.stream: Any = 0 if SIMULATED else cuda.stream()
        self.weights = Weights(model.trainable_variables, model.non_trainable_variables, self.stream)
        self.layers = [on_device(layer, self.weights) for layer in layers]
        self._predicting = predicting(self.layers)
        self._facts = [(layer, dict(vars(layer))) for layer in layers]
        self._graphs: dict[tuple[tuple[int, ...], str], Replay | None] = {}

    @property
    def trainable_variables(self) -> list[Any]:
        """The twins of the weights that training changes."""
        return [twin for twin in self.weights.twins.values() if twin.gradient is not None]

    @property
    def first_trainable(self) -> int | None:
        """The index of the first layer with weights that training changes."""
        return next((index for index, (layer, _) in enumerate(self._facts) if layer.trainable_variables), None)

    def is_current(self, layers: list[Layer]) -> bool:
        """Whether these are the layers, and nobody has set an attribute of theirs since."""
        return len(layers) == len(self._facts) and all(
            layer is told
            and all(name.startswith("_") or vars(layer).get(name) is value for name, value in facts.items())
            for layer, (told, facts) in zip(layers, self._facts, strict=True)
        )

    def refresh(self) -> None:
        """Upload the weights anew if the host's have changed."""
        self.weights.refresh()

    # --- forward and backward ---

    def forward(self, inputs: Array, training: bool = False) -> Array:
        """Return the last layer's outputs; in training every layer keeps what `backward` needs."""
        with arrays.stream(self.stream):
            return to_host(self.run(self.upload(inputs), training), self.stream)

    def upload(self, array: Array, dtype: Any = None) -> Any:
        """Return an array's copy on the GPU, in memory from the pool, of the chain's dtype unless another is named."""
        plain = np.ascontiguousarray(array, dtype or self.dtype)
        made = arrays.pooled(plain.shape, f"{plain.dtype.kind}{plain.dtype.itemsize}", self.stream)
        if plain.size:
            made.copy_to_device(plain, stream=self.stream)
        return made

    def run(self, inputs: Any, training: bool = False) -> Any:
        """Return the outputs for an array in GPU memory; one shape that comes again is replayed from a graph.

        A replay's outputs are overwritten by the next one of that shape.
        """
        if training:
            return self._call(inputs, True)
        key = inputs.shape, get_precision()
        replay = self._graphs.get(key)
        if replay is not None:
            return replay(inputs)
        with arrays.stream(self.stream):
            outputs = self._call(inputs, False)
            speaker = capture.driver()
            if speaker is not None and key in self._graphs and inputs.size:
                self._graphs[key] = Replay(self, inputs, speaker)
        if key not in self._graphs and len(self._graphs) < KEPT_SHAPES:
            self._graphs[key] = None  # the next time is worth a graph
        return outputs

    def _call(self, inputs: Any, training: bool) -> Any:
        if not training:
            for call in self._predicting:
                inputs = call(inputs)
            return inputs
        for layer in self.layers:
            inputs = layer.call(inputs, training=True) if layer.call_takes_training else layer.call(inputs)
        return inputs

    def backward(self, gradient: Array, down_to: int | None = None, before_activation: bool = False) -> None:
        """Fill the gradients of all weights, as `Chain.backward` does, down to a layer that needs no further one."""
        with arrays.stream(self.stream):
            self._backward(self.upload(gradient), down_to or 0, before_activation)

    def train(self, inputs: Array, truth: Array, weights: Array | None, share: float, lowest: int) -> Any:
        """Go forth and back by cross-entropy over the last softmax, with no wait; return the outputs on the GPU."""
        sparse = truth.ndim == 1
        with arrays.stream(self.stream):
            outputs = self.run(self.upload(inputs), True)
            rows, classes = outputs.shape
            gradient = arrays.pooled(outputs.shape, f"f{self.dtype.itemsize}", self.stream)
            flat = [
                arrays.operand(name, each, "fi").flat
                for name, each in (
                    ("outputs", outputs),
                    ("truth", self.upload(truth, np.int64 if sparse else None)),
                    ("weights", outputs if weights is None else self.upload(weights)),
                    ("gradient", gradient),
                )
            ]
            kernel = kernels.entropy(f"f{self.dtype.itemsize}", sparse)
            blocks = -(-rows // kernel.threads)
            kernel.launch(blocks, self.stream, *flat, rows, classes, share, int(weights is not None))
            self._backward(gradient, lowest, True)
        return outputs

    def _backward(self, below: Any, lowest: int, before_activation: bool) -> None:
        for index in range(len(self.layers) - 1, lowest - 1, -1):
            layer, wanted = self.layers[index], index > lowest
            if before_activation:
                below = layer.backward_before_activation(below, wanted)
                before_activation = False
            elif layer.backward_takes_input_gradient:
                below = layer.backward(below, input_gradient=wanted)
            else:
                below = layer.backward(below)

    def training(self, objective: Objective, last: Layer, optimizer: Any) -> DeviceTraining:
        """Return what trains a batch."""
        return DeviceTraining(self, objective, last, optimizer)


class Replay:
    """The predictions for one shape as a captured graph.

    Parameters
    ----------
    chain : DeviceChain
    inputs : array
        Of the shape; every kernel has run for it before.
    speaker : module
        The driver's.
    """

    def __init__(self, chain: DeviceChain, inputs: Any, speaker: Any) -> None:
        self._stream = chain.stream
        self._inputs = cuda.device_array(inputs.shape, inputs.dtype)
        # What lies between must neither move nor serve anybody else while the graph lives. The first run fills the
        # pool with as many blocks, so that the captured one asks the driver for none.
        with arrays.keeping() as kept:
            chain._call(self._inputs, False)
        del kept[:]
        with arrays.keeping() as self._kept:
            self._graph = capture.Captured(speaker, int(chain.stream), lambda: chain._call(self._inputs, False))

    def __call__(self, inputs: Any) -> Any:
        """Return the outputs."""
        self._inputs.copy_to_device(inputs, stream=self._stream)
        self._graph.launch()
        return self._graph.result


class DeviceTraining(Training):
    """Training whose layers, gradients and optimizer are on the GPU; the loss and metrics are the host's.

    Parameters
    ----------
    chain : DeviceChain
    objective, last, optimizer
        As for `Training`.
    """

    def __init__(self, chain: DeviceChain, objective: Objective, last: Layer, optimizer: Any) -> None:
        on_gpu: Any = DeviceOptimizer(optimizer, chain.weights, chain.stream)
        face: Any = chain
        super().__init__(face, face, objective, last, on_gpu)
        self._weights, self._on_gpu = chain.weights, chain

    def run(self, inputs: Array, targets: Array, truth: Array, weights: Array | None) -> None:
        """Run a batch, change the weights, and add the batch to the objective."""
        if not self.entropy or self.lowest is None or truth.ndim != (1 if self.sparse else 2):
            super().run(inputs, targets, truth, weights)
            return
        share = self.loss.share(truth if self.sparse else truth[:, 0], weights)
        outputs = self._on_gpu.train(inputs, truth, weights, share, self.lowest)
        self.optimizer.apply([], self.variables)
        made = to_host(outputs, self._on_gpu.stream)
        self.objective.add(self.loss.value(truth, made, weights), targets, made, weights)

    def begin_epoch(self) -> None:
        """Take over what callbacks did to the weights."""
        self._weights.refresh()

    def end_epoch(self) -> None:
        """Bring weights and the optimizer's state back."""
        self._weights.bring_back()
        on_gpu: Any = self.optimizer
        on_gpu.bring_back()


_kept: weakref.WeakKeyDictionary[Any, DeviceChain] = weakref.WeakKeyDictionary()


def chain_for(model: Layer, chain: Any, fresh: bool = False) -> DeviceChain:
    """Return a model's chain on the GPU, with the weights as they are; `fresh` makes it anew.

    Raises
    ------
    ValueError
        If the model is not a plain chain of layers that run there.
    """
    if not isinstance(chain, Chain):
        raise ValueError(f"device: model {model.name!r} has branches; a GPU takes a Sequential model")
    layers = list(chain.layers)
    made = _kept.get(model)
    if fresh or made is None or not made.is_current(layers):
        made = _kept[model] = DeviceChain(model, layers)
    made.refresh()
    return made
