"""Activation functions by their Keras names, each with its gradient and how it fuses with the layer before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import fastconv
from fastconv import _registry
from fastconv.layers.arguments import Array

# Keras' leaky_relu differs from torch's.
_LEAKY_SLOPE = 0.2


class ActivationFunction:
    """A function of one array, with its gradient.

    Parameters
    ----------
    name : str
    forward : callable
        ``forward(inputs, out)``; `out` may be None, for a new array, or `inputs` itself.
    backward : callable, optional
        ``backward(grad_outputs, saved)`` may write over its first argument; without it there is no training.
    saves : {"output", "input"}
        What `backward` wants as `saved`.
    fused : str, optional
        The name under which `functional.conv2d` and `functional.linear` apply it on their way.
    parameters : dict, optional
        What was chosen in place of the defaults of the same name.
    engine : (str, float, float), optional
        The name under which programs apply it, with the two parameters that the engine takes; of a softmax, the axis.

    Examples
    --------
    >>> import numpy as np
    >>> get("relu")(np.array([-1.0, 2.0], "float32"))
    array([0., 2.], dtype=float32)
    """

    __slots__ = ("backward", "engine", "forward", "fused", "name", "parameters", "saves")

    def __init__(
        self,
        name: str,
        forward: Callable[[Array, Array | None], Array],
        backward: Callable[[Array, Array], Array] | None,
        saves: Literal["output", "input"] = "output",
        fused: str | None = None,
        parameters: dict[str, Any] | None = None,
        engine: tuple[str, float, float] | None = None,
    ) -> None:
        self.name = name
        self.forward = forward
        self.backward = backward
        self.saves = saves
        self.fused = fused
        self.parameters = parameters
        self.engine = engine

    def __call__(self, inputs: Array) -> Array:
        """Return the function of an array, as a new one."""
        return self.forward(inputs, None)

    @property
    def __name__(self) -> str:
        return self.name


def _plain(name: str, saves: Literal["output", "input"], fused: bool, engine: str | None = None) -> ActivationFunction:
    """Wrap an activation that has no parameters; `engine` is its name in `functional` where Keras has another."""
    own = engine or name
    return ActivationFunction(
        name,
        lambda x, out: getattr(fastconv.functional, own)(x, out=out),
        lambda g, saved: getattr(fastconv.grad, own)(g, saved, out=g),
        saves,
        own if fused else None,
        engine=(own, 20.0, 1.0) if name == "softplus" else (own, 0.0, 0.0),
    )


def leaky_relu(negative_slope: float = _LEAKY_SLOPE) -> ActivationFunction:
    """Make a leaky rectifier: negative inputs are scaled by a slope.

    Examples
    --------
    >>> leaky_relu(0.5).name
    'leaky_relu'
    """
    return ActivationFunction(
        "leaky_relu",
        lambda x, out: fastconv.functional.leaky_relu(x, negative_slope, out=out),
        lambda g, saved: fastconv.grad.leaky_relu(g, saved, negative_slope, out=g),
        parameters=None if negative_slope == _LEAKY_SLOPE else {"negative_slope": negative_slope},
        engine=("leaky_relu", negative_slope, 0.0),
    )


def elu(alpha: float = 1.0) -> ActivationFunction:
    """Make an exponential linear unit: negative inputs become ``alpha * (exp(x) - 1)``.

    Examples
    --------
    >>> elu(1.0).name
    'elu'
    """
    return ActivationFunction(
        "elu",
        lambda x, out: fastconv.functional.elu(x, alpha, out=out),
        lambda g, saved: fastconv.grad.elu(g, saved, alpha, out=g),
        fused="elu" if alpha == 1.0 else None,
        parameters=None if alpha == 1.0 else {"alpha": alpha},
        engine=("elu", alpha, 0.0),
    )


def softmax(axis: int = -1) -> ActivationFunction:
    """Make the softmax along an axis.

    Examples
    --------
    >>> softmax().name
    'softmax'
    """
    return ActivationFunction(
        "softmax",
        lambda x, out: fastconv.functional.softmax(x, dim=axis, out=out),
        lambda g, saved: fastconv.grad.softmax(g, saved, dim=axis, out=g),
        parameters=None if axis == -1 else {"axis": axis},
        engine=("softmax", axis, 0.0),
    )


def _linear(x: Array, out: Array | None) -> Array:
    return x


LINEAR = ActivationFunction("linear", _linear, lambda g, saved: g)

_TABLE: dict[str, ActivationFunction] = {
    "linear": LINEAR,
    "relu": _plain("relu", "output", fused=True),
    "relu6": _plain("relu6", "output", fused=True),
    "leaky_relu": leaky_relu(),
    "elu": elu(),
    "selu": _plain("selu", "output", fused=False),
    "tanh": _plain("tanh", "output", fused=True),
    "sigmoid": _plain("sigmoid", "output", fused=True),
    "hard_sigmoid": _plain("hard_sigmoid", "output", fused=False, engine="hardsigmoid"),
    "silu": _plain("silu", "input", fused=True),
    "gelu": _plain("gelu", "input", fused=True),
    "softplus": _plain("softplus", "input", fused=True),
    "hard_silu": _plain("hard_silu", "input", fused=False, engine="hardswish"),
    "softmax": softmax(),
    "log_softmax": ActivationFunction(
        "log_softmax",
        lambda x, out: fastconv.functional.log_softmax(x, dim=-1, out=out),
        lambda g, saved: fastconv.grad.log_softmax(g, saved, dim=-1, out=g),
        engine=("log_softmax", -1, 0.0),
    ),
}
_TABLE |= {"swish": _TABLE["silu"], "hard_swish": _TABLE["hard_silu"]}
_FACTORIES: dict[str, Callable[..., ActivationFunction]] = {"leaky_relu": leaky_relu, "elu": elu, "softmax": softmax}


def serialize(activation: ActivationFunction) -> Any:
    """Describe an activation: its name, or its name and parameters as a dict.

    Examples
    --------
    >>> serialize(get("tanh")), serialize(elu(0.5))
    ('tanh', {'class_name': 'elu', 'config': {'alpha': 0.5}})
    """
    if activation.parameters is None:
        return activation.name
    return {"class_name": activation.name, "config": activation.parameters}


def get(identifier: Any) -> ActivationFunction:
    """Return an activation by name, from an activation layer, or a callable as one without a gradient.

    Parameters
    ----------
    identifier : None, str, dict, ActivationFunction, Layer or callable
        None is the identity.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If the identifier is nothing of the kind.

    Examples
    --------
    >>> get(None).name
    'linear'
    """
    if identifier is None:
        return LINEAR
    if isinstance(identifier, ActivationFunction):
        return identifier
    function = getattr(identifier, "function", None)
    if isinstance(function, ActivationFunction):
        return function
    if isinstance(identifier, dict):
        return _registry.resolve(identifier, _FACTORIES, "activation")  # type: ignore[no-any-return]
    if isinstance(identifier, str):
        if _registry.custom(identifier) is not None:
            return get(_registry.custom(identifier))
        if identifier.lower() not in _TABLE:
            raise ValueError(f"activation: unknown name {identifier!r}; expected one of {', '.join(sorted(_TABLE))}")
        return _TABLE[identifier.lower()]
    if callable(identifier):
        name = getattr(identifier, "__name__", type(identifier).__name__)
        return ActivationFunction(str(name), lambda x, out: identifier(x), None)
    raise TypeError(f"activation: expected a name or a callable, got {identifier!r}")
