"""The activations to fifty digits, in the standard library's decimal arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Context, Decimal, localcontext

_CONTEXT = Context(prec=60)
_PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")
_BEYOND = 3000  # exp(-3000) is nothing to a double


def _exp(x: Decimal) -> Decimal:
    return Decimal(0) if x < -_BEYOND else x.exp()


def _expm1(x: Decimal) -> Decimal:
    if abs(x) > Decimal("1e-12"):
        return _exp(x) - 1
    return x * (1 + x / 2 * (1 + x / 3 * (1 + x / 4)))


def _log1p(x: Decimal) -> Decimal:
    if abs(x) > Decimal("1e-12"):
        return (1 + x).ln()
    return x * (1 - x * (Decimal(1) / 2 - x * (Decimal(1) / 3 - x / 4)))


def _sigmoid(x: Decimal) -> Decimal:
    small = _exp(-abs(x))
    return (1 if x >= 0 else small) / (1 + small)


def _tanh(x: Decimal) -> Decimal:
    small = _expm1(-2 * abs(x))
    return (-small / (2 + small)).copy_sign(x)


def _normal_tail(x: Decimal) -> Decimal:
    """Probability that a standard normal variable exceeds ``x``, which is not negative."""
    density = _exp(-x * x / 2) / (2 * _PI).sqrt()
    if x < 6:  # 1/2 minus a series of positive terms
        term = total = x
        count = 1
        while term > total * Decimal("1e-60"):
            count += 2
            term *= x * x / count
            total += term
        return Decimal("0.5") - density * total
    fraction = x
    for count in range(120, 0, -1):
        fraction = x + count / fraction
    return density / fraction


def _gelu(x: Decimal) -> Decimal:
    return x * (1 - _normal_tail(x)) if x >= 0 else x * _normal_tail(-x)


def _gelu_tanh(x: Decimal) -> Decimal:
    return x * _sigmoid(2 * (2 / _PI).sqrt() * (x + Decimal("0.044715") * x**3))


def _softplus(x: Decimal) -> Decimal:
    return x if x > 20 else _log1p(_exp(x))


def _clip6(x: Decimal) -> Decimal:
    return min(max(x, Decimal(0)), Decimal(6))


def _elu(x: Decimal) -> Decimal:
    return x if x > 0 else _expm1(x)


def _selu(x: Decimal) -> Decimal:
    scale, alpha = Decimal("1.0507009873554804934193349852946"), Decimal("1.6732632423543772848170429916717")
    return scale * (x if x > 0 else alpha * _expm1(x))


FUNCTIONS: dict[str, Callable[[Decimal], Decimal]] = {
    "relu": lambda x: max(x, Decimal(0)),
    "relu6": _clip6,
    "leaky_relu": lambda x: x if x > 0 else Decimal("0.01") * x,
    "elu": _elu,
    "selu": _selu,
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "silu": lambda x: x * _sigmoid(x),
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "softplus": _softplus,
    "hardsigmoid": lambda x: _clip6(x + 3) / 6,
    "hardswish": lambda x: x * _clip6(x + 3) / 6,
}


def activation(name: str, values: list[float]) -> list[Decimal]:
    """``FUNCTIONS[name]`` of every value."""
    with localcontext(_CONTEXT):
        return [FUNCTIONS[name](Decimal(value)) for value in values]


def softmax(values: list[float]) -> list[Decimal]:
    with localcontext(_CONTEXT):
        largest = Decimal(max(values))
        powers = [_exp(Decimal(value) - largest) for value in values]
        return [power / sum(powers) for power in powers]


def log_softmax(values: list[float]) -> list[Decimal]:
    with localcontext(_CONTEXT):
        largest = Decimal(max(values))
        total = sum(_exp(Decimal(value) - largest) for value in values)
        return [Decimal(value) - largest - total.ln() for value in values]
