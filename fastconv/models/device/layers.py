"""Layers on a GPU: the model's own, whose weights and arrays lie there.

A layer's `call` and `backward` go through ``functional`` and ``grad``, which serve a GPU's arrays as they are. Those
that do more than that get methods of their own here.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

from fastconv.cuda import arrays
from fastconv.cuda.operators import fused, linear, norm
from fastconv.cuda.operators.dropout import dropped
from fastconv.layers.layer import Layer
from fastconv.layers.variable import Variable
from fastconv.models.device.weights import Weights

POOLS = ("AveragePooling", "GlobalAveragePooling", "GlobalMaxPooling", "MaxPooling")
KNOWN = {
    *(f"{name}{rank}D" for name in (*POOLS, "Conv") for rank in (1, 2, 3)),
    "Activation", "BatchNormalization", "Dense", "DepthwiseConv1D", "DepthwiseConv2D", "Dropout", "ELU", "Flatten",
    "LeakyReLU", "ReLU", "Reshape", "Softmax",
}  # fmt: skip


def on_device(layer: Layer, weights: Weights) -> Any:
    """Return a layer's twin on the GPU.

    Raises
    ------
    ValueError
        If there is none.
    """
    kind = type(layer)
    known = kind.__module__.startswith("fastconv.layers.") and kind.__name__ in KNOWN and "call" not in vars(layer)
    if not known:
        raise ValueError(f"device: layer {layer.name!r} ({kind.__name__}) does not run on a GPU; expected {_names()}")
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise ValueError(f"device: layer {layer.name!r} has data_format='channels_first'; a GPU takes 'channels_last'")
    if any(variable.regularizer is not None for variable in layer.trainable_variables):
        raise ValueError(f"device: layer {layer.name!r} has a regularizer, which a GPU does not apply")
    twin: Any = copy.copy(layer)
    for name, value in vars(layer).items():
        if isinstance(value, Variable):
            twin.__dict__[name] = weights.twins[value]
    for name, value in _OWN.get(kind.__name__, {}).items():
        twin.__dict__[name] = value.__get__(twin)
    check = _CHECKS.get(kind.__name__)
    if check is not None:
        check(layer)
    return twin


def _names() -> str:
    return "one of " + ", ".join(sorted(KNOWN))


# ---- a convolution and the pool after it ---------------------------------------------------------------------------


def predicting(layers: Sequence[Any]) -> list[Callable[[Any], Any]]:
    """Return what predicts, twin after twin: their calls, and one for a convolution and a pool that it can end in.

    Training runs the layers one by one: the way back needs the activation's result at every position.
    """
    steps, rest = [], list(layers)
    while rest:
        both = _conv_pool(*rest[:2]) if len(rest) > 1 else None
        steps.append(both or rest[0].call)
        del rest[: 2 if both else 1]
    return steps


def _conv_pool(conv: Any, pool: Any) -> Callable[[Any], Any] | None:
    kind = {"MaxPooling2D": "max", "AveragePooling2D": "avg"}.get(type(pool).__name__)
    if kind is None or type(conv).__name__ != "Conv2D":
        return None
    plain = conv.activation.name == "linear" and conv.activation.backward is not None
    name = "linear" if plain else conv.activation.fused
    windows = pool.pool_size == pool.strides == (2, 2) and pool.padding == "valid"
    if name is None or not windows or math.prod(conv.kernel.shape[:-1]) > fused.PAYS:
        return None

    def call(inputs: Any) -> Any:
        made = fused.conv_pool(inputs, conv.kernel.value, conv._bias, (*conv._window(), "NHWC", name), kind)
        return pool.call(conv.call(inputs)) if made is None else made

    return call


# ---- layers that do more than call functional and grad -------------------------------------------------------------


def _dense(self: Any, inputs: Any, activation: str | None) -> Any:
    bias = None if self.bias is None else self.bias.value
    return linear.linear(inputs, self.kernel.value, bias, activation, None, True)


def _normalise(self: Any, inputs: Any, training: bool = False) -> Any:
    if self.axis % len(inputs.shape) != len(inputs.shape) - 1:
        raise ValueError(f"device: layer {self.name!r} has axis={self.axis}; a GPU takes the last axis, -1")
    own = training and self.trainable
    mean, variance = self.moving_mean.value, self.moving_variance.value
    gamma, beta = (None if each is None else each.value for each in (self.gamma, self.beta))
    if training:
        self._saved = inputs, own
    told = (own, 1 - self.momentum, self.epsilon, "NHWC", None)
    return norm.batch_norm(inputs, mean, variance, gamma, beta, *told, unbiased=False)


def _normalise_backward(self: Any, grad_outputs: Any) -> Any:
    (inputs, own), self._saved = self._saved, None
    gamma = None if self.gamma is None else self.gamma.value
    mean, variance = self.moving_mean.value, self.moving_variance.value
    into = [None if each is None or not own else each.gradient for each in (self.gamma, self.beta)]
    found = norm.batch_norm_backward(
        inputs, grad_outputs, mean, variance, gamma, own, self.epsilon, "NHWC", None, into=into
    )
    return found[0]


def _drop(self: Any, inputs: Any, training: bool = False) -> Any:
    self._drawn = None
    if not training or self.rate == 0:
        return inputs
    self._drawn = self.draw()
    return _dropped(inputs, self.rate, self._drawn)


def _drop_backward(self: Any, grad_outputs: Any) -> Any:
    drawn, self._drawn = self._drawn, None
    return grad_outputs if drawn is None else _dropped(grad_outputs, self.rate, drawn)


def _dropped(array: Any, rate: float, drawn: tuple[int, int]) -> Any:
    x = arrays.operand("input", array)
    stream = arrays.stream_of(array)
    y = arrays.result(x.shape, x, stream)
    dropped(x, y, rate, drawn, x.shape[0], stream)
    return y.array


def _check_noise(layer: Any) -> None:
    if layer.noise_shape is not None:
        raise ValueError(f"device: layer {layer.name!r} has a noise_shape; a GPU takes None")


_OWN: dict[str, dict[str, Any]] = {
    "BatchNormalization": {"call": _normalise, "backward": _normalise_backward},
    "Dense": {"_apply": _dense},
    "Dropout": {"call": _drop, "backward": _drop_backward},
}
_CHECKS = {"Dropout": _check_noise}
