"""Activations as device functions: what pointwise kernels apply, and convolutions to their accumulators.

Each takes (x, alpha, beta) of one dtype, with the parameters of csrc/fastconv.h, and returns that dtype. A NaN comes
out as a NaN.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from fastconv.cuda._numba import device_function
from fastconv.cuda.primitives import REALS, erfc, exp, expm1, log1p, tanh

Function = Callable[[Any, Any, Any], Any]


@functools.cache
def forward(name: str, dtype: str) -> Function:
    """Return the device function of an activation for a dtype."""
    return device_function(_FORWARD[name](REALS[dtype]))


def _linear(_: Any) -> Function:
    return lambda x, alpha, beta: x


def _relu(real: Any) -> Function:
    zero = real(0)
    return lambda x, alpha, beta: zero if x < zero else x


def _relu6(real: Any) -> Function:
    zero, six = real(0), real(6)
    return lambda x, alpha, beta: zero if x < zero else (six if x > six else x)


def _leaky_relu(real: Any) -> Function:
    zero = real(0)
    return lambda x, alpha, beta: x if x > zero else x * alpha


def _elu(real: Any) -> Function:
    zero = real(0)
    return lambda x, alpha, beta: x if x > zero else real(alpha * expm1(x))


def _selu(real: Any) -> Function:
    zero, scale, below = real(0), real(1.0507009873554804934193349852946), real(1.7580993408473768599402175208123)
    return lambda x, alpha, beta: x * scale if x > zero else real(below * expm1(x))


def _tanh(real: Any) -> Function:
    return lambda x, alpha, beta: real(tanh(x))


def _sigmoid(real: Any) -> Function:
    one = real(1)
    return lambda x, alpha, beta: real(one / (one + exp(-x)))


def _hardsigmoid(real: Any) -> Function:
    zero, one, half, sixth = real(0), real(1), real(0.5), real(1 / 6)

    def function(x: Any, alpha: Any, beta: Any) -> Any:
        y = x * sixth + half
        return zero if y < zero else (one if y > one else y)

    return function


def _hardswish(real: Any) -> Function:
    zero, one, half, sixth = real(0), real(1), real(0.5), real(1 / 6)

    def function(x: Any, alpha: Any, beta: Any) -> Any:
        y = x * sixth + half
        return x * (zero if y < zero else (one if y > one else y))

    return function


def _silu(real: Any) -> Function:
    one = real(1)
    return lambda x, alpha, beta: real(x / (one + exp(-x)))


def _gelu(real: Any) -> Function:
    half, root = real(0.5), real(-math.sqrt(0.5))
    return lambda x, alpha, beta: real(half * x * real(erfc(x * root)))


def _gelu_tanh(real: Any) -> Function:
    one, half, scale, cubic = real(1), real(0.5), real(math.sqrt(2 / math.pi)), real(0.044715)
    return lambda x, alpha, beta: real(half * x * (one + real(tanh(scale * (x + cubic * x * x * x)))))


def _softplus(real: Any) -> Function:
    return lambda x, alpha, beta: x if x * beta > alpha else real(log1p(exp(x * beta)) / beta)


def _exp(real: Any) -> Function:
    return lambda x, alpha, beta: real(exp(x))


_FORWARD: dict[str, Callable[[Any], Function]] = {
    "linear": _linear,
    "relu": _relu,
    "relu6": _relu6,
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "selu": _selu,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "hardsigmoid": _hardsigmoid,
    "hardswish": _hardswish,
    "silu": _silu,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "softplus": _softplus,
    "exp": _exp,
}
NAMES = tuple(_FORWARD)
