"""Whole networks with branches, written with Model(inputs, outputs): their outputs and gradients are PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastconv import Input, Model, layers

pytestmark = pytest.mark.peers

RNG = np.random.default_rng(17)


class Ours:
    """Layers by short names; each call makes one and keeps it."""

    def __init__(self) -> None:
        self.made: list[Any] = []

    def _call(self, layer: Any, x: Any) -> Any:
        self.made.append(layer)
        return layer(x)

    def conv(self, x: Any, filters: int, size: Any, stride: int = 1, pad: int = 0, relu: bool = False) -> Any:
        flat = len(x.shape) == 3
        if pad:
            x = (layers.ZeroPadding1D if flat else layers.ZeroPadding2D)(pad)(x)
        kind = layers.Conv1D if flat else layers.Conv2D
        return self._call(kind(filters, size, stride, activation="relu" if relu else None), x)

    def up(self, x: Any, filters: int) -> Any:
        return self._call(layers.Conv2DTranspose(filters, 2, 2), x)

    def dense(self, x: Any, units: int) -> Any:
        return self._call(layers.Dense(units), x)

    def norm(self, x: Any) -> Any:
        return self._call(layers.BatchNormalization(), x)

    def relu(self, x: Any) -> Any:
        return layers.ReLU()(x)

    def add(self, a: Any, b: Any) -> Any:
        return layers.Add()([a, b])

    def join(self, *parts: Any) -> Any:
        return layers.Concatenate()(list(parts))

    def pool(self, x: Any, size: int, stride: int, same: bool = False) -> Any:
        kind = layers.MaxPooling1D if len(x.shape) == 3 else layers.MaxPooling2D
        return kind(size, stride, "same" if same else "valid")(x)

    def mean(self, x: Any) -> Any:
        return (layers.GlobalAveragePooling1D if len(x.shape) == 3 else layers.GlobalAveragePooling2D)()(x)


class Theirs:
    """The same in PyTorch, channels first, with the weights of the layers that `Ours` made, in order."""

    def __init__(self, made: list[Any]) -> None:
        import torch

        self.torch, self.f, self._layers, self.weights = torch, torch.nn.functional, iter(made), []

    def _next(self) -> list[Any]:
        layer = next(self._layers)
        tensors = []
        for variable in layer.weights:
            value = variable.numpy()
            if value.ndim > 2:
                value = value.transpose(-1, -2, *range(value.ndim - 2))
            elif value.ndim == 2:
                value = value.T
            tensors.append(self.torch.tensor(value.copy(), requires_grad=variable.trainable))
        self.weights += [(v, t) for v, t in zip(layer.weights, tensors, strict=True) if v.trainable]
        return tensors

    def conv(self, x: Any, filters: int, size: Any, stride: int = 1, pad: int = 0, relu: bool = False) -> Any:
        made = (self.f.conv1d if x.ndim == 3 else self.f.conv2d)(x, *self._next(), stride, pad)
        return self.f.relu(made) if relu else made

    def up(self, x: Any, filters: int) -> Any:
        return self.f.conv_transpose2d(x, *self._next(), 2)

    def dense(self, x: Any, units: int) -> Any:
        return self.f.linear(x, *self._next())

    def norm(self, x: Any) -> Any:
        gamma, beta, mean, variance = self._next()
        return self.f.batch_norm(x, mean, variance, gamma, beta, training=False, eps=1e-3)

    def relu(self, x: Any) -> Any:
        return self.f.relu(x)

    def add(self, a: Any, b: Any) -> Any:
        return a + b

    def join(self, *parts: Any) -> Any:
        return self.torch.cat(parts, 1)

    def pool(self, x: Any, size: int, stride: int, same: bool = False) -> Any:
        pool = self.f.max_pool1d if x.ndim == 3 else self.f.max_pool2d
        return pool(x, size, stride, size // 2 if same else 0)

    def mean(self, x: Any) -> Any:
        return x.flatten(2).mean(2)


def resnet18(net: Any, x: Any) -> Any:
    """He et al., 2015, with all 18 layers and an eighth of the channels."""
    x = net.relu(net.norm(net.conv(x, 8, 7, 2, 3)))
    x = net.pool(x, 3, 2)
    for stage, filters in enumerate((8, 16, 32, 64)):
        for block in range(2):
            stride = 2 if stage and not block else 1
            y = net.relu(net.norm(net.conv(x, filters, 3, stride, 1)))
            y = net.norm(net.conv(y, filters, 3, 1, 1))
            if stride == 2:
                x = net.norm(net.conv(x, filters, 1, 2))
            x = net.relu(net.add(y, x))
    return net.dense(net.mean(x), 10)


def unet(net: Any, x: Any) -> Any:
    """Ronneberger et al., 2015, three levels deep, with a border so that images keep their size."""
    skips = []
    for filters in (4, 8):
        x = net.conv(net.conv(x, filters, 3, 1, 1, True), filters, 3, 1, 1, True)
        skips.append(x)
        x = net.pool(x, 2, 2)
    x = net.conv(net.conv(x, 16, 3, 1, 1, True), 16, 3, 1, 1, True)
    for filters, skip in ((8, skips[1]), (4, skips[0])):
        x = net.join(skip, net.up(x, filters))
        x = net.conv(net.conv(x, filters, 3, 1, 1, True), filters, 3, 1, 1, True)
    return net.conv(x, 2, 1)


def inception(net: Any, x: Any) -> Any:
    """GoogLeNet's block 3a (Szegedy et al., 2014), with a quarter of the channels."""
    one = net.conv(x, 16, 1, relu=True)
    three = net.conv(net.conv(x, 24, 1, relu=True), 32, 3, 1, 1, True)
    five = net.conv(net.conv(x, 4, 1, relu=True), 8, 5, 1, 2, True)
    return net.join(one, three, five, net.conv(net.pool(x, 3, 1, True), 8, 1, relu=True))


def speech(net: Any, x: Any) -> Any:
    """M5 for waveforms (Dai et al., 2016), with a quarter of the channels."""
    x = net.pool(net.relu(net.norm(net.conv(x, 32, 80, 4))), 4, 4)
    for filters in (32, 64, 128):
        x = net.pool(net.relu(net.norm(net.conv(x, filters, 3, 1, 1))), 4, 4)
    return net.dense(net.mean(x), 12)


NETWORKS: dict[str, tuple[Callable[[Any, Any], Any], tuple[int, ...]]] = {
    "resnet18": (resnet18, (2, 64, 64, 3)),
    "unet": (unet, (2, 32, 24, 1)),
    "inception": (inception, (2, 14, 14, 48)),
    "speech": (speech, (2, 3000, 1)),
}


def close(got: np.ndarray, want: np.ndarray, tolerance: float) -> None:
    assert got.shape == want.shape
    assert np.abs(got - want).max() <= tolerance * np.abs(want).max()


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_and_gradients(name: str) -> None:
    network, shape = NETWORKS[name]
    ours, given = Ours(), Input(shape[1:])
    model = Model(given, network(ours, given), name=name)
    model.set_weights(
        [w + np.abs(0.1 * RNG.standard_normal(w.shape).astype(np.float32)) if w.ndim == 1 else w
         for w in model.get_weights()]
    )  # fmt: skip
    x = RNG.standard_normal(shape).astype(np.float32)
    theirs = Theirs(ours.made)
    tensor = theirs.torch.tensor(np.moveaxis(x, -1, 1).copy(), requires_grad=True)
    wanted = network(theirs, tensor)
    found = model.predict(x, verbose=0)
    last_first = (lambda a: np.moveaxis(a, 1, -1)) if wanted.ndim > 2 else (lambda a: a)
    close(found, last_first(wanted.detach().numpy()), 1e-5)
    direction = RNG.standard_normal(found.shape).astype(np.float32)
    wanted.backward(theirs.torch.tensor(np.moveaxis(direction, -1, 1).copy() if wanted.ndim > 2 else direction))
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = False  # moving averages, as PyTorch was told
    model(x, training=True)
    gradient = model.backward(direction.copy())
    close(gradient, np.moveaxis(tensor.grad.numpy(), 1, -1), 1e-4)
    kinds = {id(v) for layer in ours.made if not isinstance(layer, layers.BatchNormalization) for v in layer.weights}
    for variable, other in theirs.weights:
        if id(variable) in kinds:
            grad = other.grad.numpy()
            grad = grad.transpose(*range(2, grad.ndim), 1, 0) if grad.ndim > 1 else grad
            close(variable.gradient, grad, 1e-4)
