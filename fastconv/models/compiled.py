"""Layers as programs of the engine: which layers have steps, and how a chain of layers is cut into programs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastconv._planned import PackedConvolution
from fastconv._program import Program, Sides, Steps
from fastconv.layers.arguments import Array
from fastconv.layers.layer import Layer
from fastconv.layers.variable import Variable

# Shapes of images for which a run keeps its programs.
_KEPT_SHAPES = 8

# Of a dense layer. A program reads weights once for every few images; more than these had better be read once a batch.
_MANY_WEIGHTS = 64 * 1024

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
    if not steps.training and features * units > _MANY_WEIGHTS:
        return False
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
    if not steps.training or layer.rate == 0:
        _note(steps, layer, "rate")
        return True
    if layer.seed is not None or layer.noise_shape is not None:
        return False
    steps.dropout(layer.rate)
    _note(steps, layer, "rate")
    return True


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
        # The one that `ready` found last: it looks at shape and type itself, and whether it is current.
        self.latest: Program | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> CompiledRun:
        return CompiledRun(copy.deepcopy(self.layers, memo))

    def program(self, shape: tuple[int, ...]) -> Any:
        """Return the one program that serves images of a shape with all layers, or None."""
        parts = self._parts(shape)
        return parts[0] if len(parts) == 1 and type(parts[0]) is Program else None

    def ready(self, shape: tuple[int, ...]) -> Program | None:
        """Return what `program` does if it has been made before."""
        parts = self._programs.get(shape)
        self.latest = parts[0] if parts is not None and len(parts) == 1 and type(parts[0]) is Program else None
        return self.latest

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
    """Return programs and single steps that serve layers for images of a shape."""
    parts: list[Any] = []
    start = 0
    while start < len(layers):
        steps, end = Steps(shape, layers[start].dtype == np.float64), start
        while 1 <= len(shape) <= 3 and end < len(layers) and _add(steps, layers[end]):
            end += 1
        program = steps.program() if len(steps) else None
        if program is not None:
            parts.append(program)
            shape = steps.shape
        else:
            end = max(_spatial_end(layers, start, end), start + 1)
            parts.extend(_large(layers[start:end]))
            for layer in layers[start:end]:
                shape = _made(layer, shape)
        start = end
    return parts


def _spatial_end(layers: Sequence[Layer], start: int, end: int) -> int:
    """Return where images that are too large for a program end, so that what follows may be one."""
    flat = ("Flatten", "GlobalAveragePooling2D", "GlobalMaxPooling2D")
    return next((index + 1 for index in range(start, end) if type(layers[index]).__name__ in flat), end)


class LargeConvolution:
    """A convolution over large images with what follows it: a normalisation, an activation.

    Parameters
    ----------
    layer : Conv2D or DepthwiseConv2D
    norm : BatchNormalization, optional
    activation : Activation or ReLU, …, optional
        A layer whose activation the engine knows.

    Examples
    --------
    >>> from fastconv import layers
    >>> conv = layers.Conv2D(2, 3)
    >>> conv.ensure_built((None, 3, 3, 1))
    >>> LargeConvolution(conv, None, None)(np.zeros((1, 3, 3, 1), "f4")).ravel()
    array([0., 0.], dtype=float32)
    """

    def __init__(self, layer: Any, norm: Any, activation: Any) -> None:
        self.layers = [layer] if norm is None else [layer, norm]
        self.layers += [] if activation is None else [activation]
        names = {"activation", "strides", "padding", "dilation_rate", "bias", "axis", "epsilon", "gamma", "beta"}
        self._facts = [
            (vars(one), name, vars(one)[name])
            for one in self.layers
            for name in sorted(names | {"function"})
            if name in vars(one)
        ]
        vectors = [None if layer.bias is None else layer.bias.value]
        if norm is not None:
            scale = [None if v is None else v.value for v in (norm.gamma, norm.beta)]
            vectors += [norm.moving_mean.value, norm.moving_variance.value, *scale]
        ending = layer.activation if activation is None else activation.function
        kernel = layer._kernel_variable.value.reshape(layer._engine_shape)
        epsilon = 0.0 if norm is None else norm.epsilon
        self._run = PackedConvolution(layer.rank, kernel, vectors, epsilon, layer._window(), ending.fused)

    def is_current(self) -> bool:
        """Whether the layers are as they were."""
        return all(one.get(name) is value for one, name, value in self._facts)

    def __call__(self, inputs: Array) -> Array | None:
        """Return the outputs of a batch, or None when the layers have changed."""
        return self._run(inputs) if self.is_current() else None


def _large(layers: Sequence[Layer]) -> list[Any]:
    """Return layers, convolutions among them with what they can take over."""
    parts: list[Any] = []
    rest = list(layers)
    while rest:
        layer: Any = rest.pop(0)
        linear = _adder(layer) is _convolution and layer.data_format == "channels_last" and layer.kernel.value.size > 0
        if not linear or (layer.activation.fused is None and layer.activation.name != "linear"):
            parts.append(layer)
            continue
        plain = layer.activation.name == "linear" and layer.activation.engine is None
        norm = rest.pop(0) if plain and rest and _adder(rest[0]) is _normalisation and _over_channels(rest[0]) else None
        takes = plain and rest and _adder(rest[0]) is _activation and rest[0].function.fused is not None  # type: ignore[attr-defined]
        parts.append(LargeConvolution(layer, norm, rest.pop(0) if takes else None))
    return parts


def _over_channels(norm: Any) -> bool:
    return bool(norm.axis in (-1, 3))


def _add(steps: Steps, layer: Layer) -> bool:
    adder = _adder(layer)
    return adder is not None and adder(steps, layer)
