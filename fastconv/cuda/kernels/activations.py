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


# ---- derivatives ---------------------------------------------------------------------------------------------------


@functools.cache
def slope(name: str, dtype: str) -> Function:
    """Return the device function (saved, alpha, beta) of an activation's derivative.

    `saved` is the result, or the argument for those in FROM_ARGUMENT; at corners the derivative is torch's.
    """
    return device_function(_SLOPES[name](REALS[dtype]))


def _relu_slope(real: Any) -> Function:
    zero, one = real(0), real(1)
    return lambda y, alpha, beta: zero if y <= zero else one


def _relu6_slope(real: Any) -> Function:
    zero, one, six = real(0), real(1), real(6)
    return lambda y, alpha, beta: zero if (y <= zero) | (y >= six) else one


def _leaky_relu_slope(real: Any) -> Function:
    zero, one = real(0), real(1)
    return lambda y, alpha, beta: one if y > zero else alpha


def _elu_slope(real: Any) -> Function:
    zero, one = real(0), real(1)
    return lambda y, alpha, beta: one if y > zero else y + alpha


def _selu_slope(real: Any) -> Function:
    zero, scale, below = real(0), real(1.0507009873554804934193349852946), real(1.7580993408473768599402175208123)
    return lambda y, alpha, beta: scale if y > zero else y + below


def _tanh_slope(real: Any) -> Function:
    one = real(1)
    return lambda y, alpha, beta: (one - y) * (one + y)


def _sigmoid_slope(real: Any) -> Function:
    one = real(1)
    return lambda y, alpha, beta: y * (one - y)


def _hardsigmoid_slope(real: Any) -> Function:
    zero, one, sixth = real(0), real(1), real(1 / 6)
    return lambda y, alpha, beta: sixth if (y > zero) & (y < one) else zero


def _hardswish_slope(real: Any) -> Function:
    zero, one, half, three, third = real(0), real(1), real(0.5), real(3), real(1 / 3)
    return lambda x, alpha, beta: zero if x <= -three else (one if x >= three else x * third + half)


def _silu_slope(real: Any) -> Function:
    one = real(1)

    def function(x: Any, alpha: Any, beta: Any) -> Any:
        # s and 1 - s are one of e / (1 + e) and 1 / (1 + e), so that neither is a difference.
        e = real(exp(-abs(x)))
        larger = one / (one + e)
        smaller = e * larger
        return (larger if x >= one - one else smaller) + x * (larger * smaller)

    return function


def _gelu_slope(real: Any) -> Function:
    half, root, peak, least, most = (
        real(0.5),
        real(-math.sqrt(0.5)),
        real(1 / math.sqrt(2 * math.pi)),
        real(-40),
        real(40),
    )

    def function(x: Any, alpha: Any, beta: Any) -> Any:
        a = least if x < least else (most if x > most else x)
        return half * real(erfc(a * root)) + a * peak * real(exp(-half * a * a))

    return function


def _gelu_tanh_slope(real: Any) -> Function:
    one, half, three, scale, cubic = real(1), real(0.5), real(3), real(math.sqrt(2 / math.pi)), real(0.044715)
    least, most = real(-12), real(12)

    def function(x: Any, alpha: Any, beta: Any) -> Any:
        a = least if x < least else (most if x > most else x)
        t = real(tanh(scale * (a + cubic * a * a * a)))
        return half * (one + t) + half * a * (one - t) * (one + t) * scale * (one + three * cubic * a * a)

    return function


def _softplus_slope(real: Any) -> Function:
    one = real(1)
    return lambda x, alpha, beta: one if x * beta > alpha else real(one / (one + exp(-x * beta)))


_SLOPES: dict[str, Callable[[Any], Function]] = {
    "linear": lambda real: lambda y, alpha, beta: real(1),
    "relu": _relu_slope,
    "relu6": _relu6_slope,
    "leaky_relu": _leaky_relu_slope,
    "elu": _elu_slope,
    "selu": _selu_slope,
    "tanh": _tanh_slope,
    "sigmoid": _sigmoid_slope,
    "hardsigmoid": _hardsigmoid_slope,
    "hardswish": _hardswish_slope,
    "silu": _silu_slope,
    "gelu": _gelu_slope,
    "gelu_tanh": _gelu_tanh_slope,
    "softplus": _softplus_slope,
    "exp": lambda real: lambda y, alpha, beta: y,
}
FROM_ARGUMENT = ("hardswish", "silu", "gelu", "gelu_tanh", "softplus")
# A slope of zero of these passes no NaN and no infinity on.
GATES = ("relu", "relu6", "hardsigmoid", "hardswish")
