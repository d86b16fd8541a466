"""Layers as programs of the engine: which layers have steps, and how a chain of layers is cut into programs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastconv._program import Sides, Steps
from fastconv.layers.arguments import Array
from fastconv.layers.layer import Layer
from fastconv.layers.variable import Variable

# Shapes of images for which a run keeps its programs.
_KEPT_SHAPES = 8

# A layer with a step: it adds its steps and says so, or adds nothing and returns False.
Adder = Callable[[Steps, Any], bool]


def _note(steps: Steps, layer: Layer, *names: str) -> None:
    """Tie the program to attributes of a layer."""
    for name in names:
        steps.facts.append((vars(layer), name, vars(layer)[name]))


def _same(extent: int, size: int, stride: int, dilation: int) -> tuple[int, int]:
    total = max((-(-extent // stride) - 1) * stride + (size - 1) * dilation + 1 - extent, 0)
    return total // 2, total - total // 2


def _border(layer: Any, shape: tuple[int, ...], size: tuple[int, int], dilation: tuple[int, int]) -> Sides:
    if layer.padding == "valid":
        return ((0, 0), (0, 0))
    rows, columns = (_same(shape[a], size[a], layer.strides[a], dilation[a]) for a in range(2))
    return (rows, columns)


def _activate(steps: Steps, activation: Any) -> bool:
    if activation.name == "linear" and activation.engine is None:
        return activation.backward is not None
    if activation.engine is None:
        return False
    name, alpha, beta = activation.engine
    if name in ("softmax", "log_softmax"):
        if alpha != -1:
            return False
        steps.softmax(name == "log_softmax")
    else:
        steps.activation(name, alpha, beta)
    return True


def _convolution(steps: Steps, layer: Any) -> bool:
    shape = steps.shape
    if layer.data_format != "channels_last" or not _can_activate(layer.activation):
        return False
    kernel = layer._kernel_variable.value.reshape(layer._engine_shape)
    border = _border(layer, shape, layer.kernel_size, layer.dilation_rate)
    bias = None if layer.bias is None else layer.bias.value
    gradients = _gradients(steps, layer, layer._kernel_variable, kernel.shape)
    steps.convolution(kernel, bias, layer.strides, layer.dilation_rate, border, layer._groups, gradients)
    steps.shape = _made(layer, shape)
    _note(steps, layer, "activation", "strides", "padding", "dilation_rate", "bias")
    return _activate(steps, layer.activation)


def _dense(steps: Steps, layer: Any) -> bool:
    if not _can_activate(layer.activation):
        return False
    features, units = layer.kernel.shape
    bias = None if layer.bias is None else layer.bias.value
    shape = (1, 1, features, units)
    steps.convolution(layer.kernel.value.reshape(shape), bias, gradients=_gradients(steps, layer, layer.kernel, shape))
    steps.shape = (*steps.shape[:-1], units)
    _note(steps, layer, "activation", "bias")
    return _activate(steps, layer.activation)


def _gradients(steps: Steps, layer: Any, kernel: Variable, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Return the arrays for the gradients of kernel and bias, where training wants them."""
    if not steps.training or not layer.trainable:
        return None, None
    return kernel.gradient.reshape(shape), None if layer.bias is None else layer.bias.gradient


def _can_activate(activation: Any) -> bool:
    if activation.engine is None:
        return activation.name == "linear" and activation.backward is not None
    return activation.engine[0] not in ("softmax", "log_softmax") or activation.engine[1] == -1


def _pool(maximum: bool) -> Adder:
    def add(steps: Steps, layer: Any) -> bool:
        if layer.data_format != "channels_last":
            return False
        shape = steps.shape
        steps.pool(maximum, layer.pool_size, layer.strides, _border(layer, shape, layer.pool_size, (1, 1)))
        steps.shape = _made(layer, shape)
        _note(steps, layer, "pool_size", "strides", "padding")
        return True

    return add


def _global_pool(maximum: bool) -> Adder:
    def add(steps: Steps, layer: Any) -> bool:
        if layer.data_format != "channels_last":
            return False
        shape = steps.shape
        steps.pool(maximum, (1, 1), (1, 1), ((0, 0), (0, 0)), whole=True)
        steps.shape = _made(layer, shape)
        _note(steps, layer, "keepdims")
        return True

    return add


def _normalisation(steps: Steps, layer: Any) -> bool:
    if layer.axis % (len(steps.shape) + 1) != len(steps.shape):
        return False
    gamma, beta = (None if v is None else v.value for v in (layer.gamma, layer.beta))
    steps.normalise(layer.moving_mean.value, layer.moving_variance.value, gamma, beta, layer.epsilon)
    _note(steps, layer, "axis", "epsilon", "gamma", "beta")
    return True


def _activation(steps: Steps, layer: Any) -> bool:
    _note(steps, layer, "function")
    return _can_activate(layer.function) and _activate(steps, layer.function)


def _reshape(steps: Steps, layer: Any) -> bool:
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        return False
    shape = _made(layer, steps.shape)
    if not 1 <= len(shape) <= 3:
        return False
    steps.shape = shape
    return True


def _padding(steps: Steps, layer: Any) -> bool:
    if layer.data_format != "channels_last":
        return False
    steps.pad(layer.padding)
    steps.shape = _made(layer, steps.shape)
    _note(steps, layer, "padding")
    return True


def _dropout(steps: Steps, layer: Any) -> bool:
    return not steps.training or layer.rate == 0


def _made(layer: Layer, shape: tuple[int, ...]) -> tuple[int, ...]:
    _, *extents = layer.compute_output_shape((None, *shape))
    return tuple(extent or 0 for extent in extents)


# By module and name of the very class: a subclass may do something else.
_ADDERS: dict[str, Adder] = {
    "activation.Activation": _activation,
    "average_pooling2d.AveragePooling2D": _pool(maximum=False),
    "batch_normalization.BatchNormalization": _normalisation,
    "conv2d.Conv2D": _convolution,
    "dense.Dense": _dense,
    "depthwise_conv2d.DepthwiseConv2D": _convolution,
    "dropout.Dropout": _dropout,
    "elu.ELU": _activation,
    "flatten.Flatten": _reshape,
    "global_average_pooling2d.GlobalAveragePooling2D": _global_pool(maximum=False),
    "global_max_pooling2d.GlobalMaxPooling2D": _global_pool(maximum=True),
    "leaky_relu.LeakyReLU": _activation,
    "max_pooling2d.MaxPooling2D": _pool(maximum=True),
    "relu.ReLU": _activation,
    "reshape.Reshape": _reshape,
    "softmax.Softmax": _activation,
    "zero_padding2d.ZeroPadding2D": _padding,
}


def _adder(layer: Layer) -> Adder | None:
    kind = type(layer)
    home, _, module = kind.__module__.rpartition(".")
    if home != "fastconv.layers" or "call" in vars(layer):
        return None
    return _ADDERS.get(f"{module}.{kind.__qualname__}")


def is_known(layer: Layer) -> bool:
    """Whether a layer may have steps: it is one of fastconv's own.

    Examples
    --------
    >>> from fastconv import layers
    >>> is_known(layers.Flatten()), is_known(layers.Layer())
    (True, False)
    """
    return _adder(layer) is not None


class CompiledRun:
    """Built layers of one type, one after the other, as programs for each shape of image that comes along.

    Parameters
    ----------
    layers : sequence of Layer
        All of them known.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> CompiledRun([layers.Flatten(), layers.ReLU()]).run(np.array([[[-1.0, 2.0]]], "float32"))
    array([[0., 2.]], dtype=float32)
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = list(layers)
        self._programs: dict[tuple[int, ...], list[Any]] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> CompiledRun:
        return CompiledRun(copy.deepcopy(self.layers, memo))

    def program(self, shape: tuple[int, ...]) -> Any:
        """Return the one program that serves images of a shape with all layers, or None."""
        parts = self._parts(shape)
        return parts[0] if len(parts) == 1 and not isinstance(parts[0], Layer) else None

    def run(self, inputs: Array) -> Array:
        """Return the last layer's outputs for a batch of the layers' type."""
        values = inputs
        for part in self._parts(inputs.shape[1:]):
            if isinstance(part, Layer):
                values = part.call(values)
                continue
            outputs = part(values)
            if outputs is None and not part.is_current():
                # An attribute of a layer has changed, or the instruction set: programs are made anew.
                self._programs.clear()
                return self.run(inputs)
            values = part(np.require(values, self.layers[0].dtype, ["C", "A", "E"])) if outputs is None else outputs
        return values

    def training_program(self, shape: tuple[int, ...]) -> Any:
        """Return a program that trains all layers on images of a shape, or None."""
        steps = Steps(shape, self.layers[0].dtype == np.float64, training=True)
        return steps.program() if all(_add(steps, layer) for layer in self.layers) and len(steps) else None

    def _parts(self, shape: tuple[int, ...]) -> list[Any]:
        parts = self._programs.get(shape)
        if parts is None:
            if len(self._programs) >= _KEPT_SHAPES:
                for oldest in list(self._programs)[:1]:  # another thread may do the same
                    self._programs.pop(oldest, None)
            parts = self._programs[shape] = _compile(self.layers, shape)
        return parts


def _compile(layers: Sequence[Layer], shape: tuple[int, ...]) -> list[Any]:
    """Return the fewest programs, and single layers between them, that serve layers for images of a shape."""
    parts: list[Any] = []
    start = 0
    while start < len(layers):
        steps, end = Steps(shape, layers[start].dtype == np.float64), start
        while 1 <= len(shape) <= 3 and end < len(layers) and _add(steps, layers[end]):
            end += 1
        program = steps.program() if len(steps) else None
        if program is None:
            end = max(end, start + 1)
            parts.extend(layers[start:end])
            for layer in layers[start:end]:
                shape = _made(layer, shape)
        else:
            parts.append(program)
            shape = steps.shape
        start = end
    return parts


def _add(steps: Steps, layer: Layer) -> bool:
    adder = _adder(layer)
    return adder is not None and adder(steps, layer)
