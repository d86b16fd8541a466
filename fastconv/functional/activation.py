"""Activations, pointwise and along an axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fastconv import _arguments, _core, cuda

if TYPE_CHECKING:
    from fastconv._arguments import Array

KIND = _core.ACTIVATIONS
NAMES = {kind: name for name, kind in KIND.items()}


def unary(
    kind: int,
    alpha: float,
    beta: float,
    input: Array,
    inplace: bool,
    out: Array | None,
) -> Array:
    """Apply an activation into a new array, `out`, or the input itself."""
    if inplace is False:
        result = _core.activation(kind, alpha, beta, input, out)
        if result is not None:
            return result
    if _arguments.on_device(input):
        return cuda.run("unary", NAMES[kind], alpha, beta, input, inplace, out)
    x = _arguments.real("input", input)
    target = destination(x, input, inplace, out, [("input", input)])
    plain = _arguments.plain("input", x)
    result = _core.activation(kind, alpha, beta, plain, target)
    return _arguments.delivered(_core.activation(kind, alpha, beta, plain, None) if result is None else result, target)


def destination(
    x: Array,
    input: object,
    inplace: bool,
    out: object,
    inputs: list[tuple[str, object]],
) -> Array | None:
    """Return the array that an operator writes to, if the caller has named one."""
    if _arguments.flag("inplace", inplace):
        if out is not None and out is not input:
            _arguments.wrong("out", "None or the input itself with inplace=True", "another array")
        return _arguments.pointwise_output(input, x, inputs, "inplace")
    return None if out is None else _arguments.pointwise_output(out, x, inputs)


def relu(input: Array, inplace: bool = False, *, out: Array | None = None) -> Array:
    """Rectify: ``max(x, 0)``.

    Parameters
    ----------
    input : ndarray (...)
        Any shape.
    inplace : bool
        Write over the input and return it.
    out : ndarray, optional
        Where the result goes; may be the input.

    Returns
    -------
    ndarray (...)
        The result.

    Raises
    ------
    TypeError
        For anything but a float32 or float64 array.
    ValueError
        For an `out` of another shape, and for a read-only input in place.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.relu(np.float32([-1, 0, 2]))
    array([0., 0., 2.], dtype=float32)
    """
    return unary(KIND["relu"], 0.0, 0.0, input, inplace, out)


def relu6(input: Array, inplace: bool = False, *, out: Array | None = None) -> Array:
    """Rectify and cut off: ``min(max(x, 0), 6)``; arguments as in relu.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.relu6(np.float32([-1, 2, 9]))
    array([0., 2., 6.], dtype=float32)
    """
    return unary(KIND["relu6"], 0.0, 0.0, input, inplace, out)


def leaky_relu(
    input: Array,
    negative_slope: float = 0.01,
    inplace: bool = False,
    *,
    out: Array | None = None,
) -> Array:
    """Rectify with a slope below zero: x where x > 0, else ``negative_slope * x``; other arguments as in relu.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.leaky_relu(np.float32([-1, 2]), 0.5)
    array([-0.5,  2. ], dtype=float32)
    """
    return unary(KIND["leaky_relu"], _arguments.number("negative_slope", negative_slope), 0.0, input, inplace, out)


def elu(input: Array, alpha: float = 1.0, inplace: bool = False, *, out: Array | None = None) -> Array:
    """Apply the exponential linear unit: x where x > 0, else ``alpha * (exp(x) - 1)``; arguments as in relu.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.elu(np.float64([-1, 2])).round(3)
    array([-0.632,  2.   ])
    """
    return unary(KIND["elu"], _arguments.number("alpha", alpha), 0.0, input, inplace, out)


def selu(input: Array, inplace: bool = False, *, out: Array | None = None) -> Array:
    """Apply the self-normalising exponential linear unit (Klambauer et al., 2017); arguments as in relu.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.selu(np.float64([-1, 2])).round(3)
    array([-1.111,  2.101])
    """
    return unary(KIND["selu"], 0.0, 0.0, input, inplace, out)


def silu(input: Array, inplace: bool = False, *, out: Array | None = None) -> Array:
    """Apply the sigmoid linear unit (swish): ``x * sigmoid(x)``; arguments as in relu.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.silu(np.float64([-1, 2])).round(3)
    array([-0.269,  1.762])
    """
    return unary(KIND["silu"], 0.0, 0.0, input, inplace, out)


def gelu(input: Array, approximate: Literal["none", "tanh"] = "none", *, out: Array | None = None) -> Array:
    """Apply the Gaussian error linear unit: ``x * Phi(x)``, or its tanh form; input and out as in relu.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.gelu(np.float64([-1, 2])).round(3)
    array([-0.159,  1.954])
    """
    form = _arguments.choice("approximate", approximate, ("none", "tanh"))
    return unary(KIND["gelu" if form == "none" else "gelu_tanh"], 0.0, 0.0, input, False, out)


def softplus(input: Array, beta: float = 1.0, threshold: float = 20.0, *, out: Array | None = None) -> Array:
    """Apply a smooth rectifier: ``log(1 + exp(beta * x)) / beta``, and x itself where ``beta * x > threshold``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.softplus(np.float64([0, 30])).round(3)
    array([ 0.693, 30.   ])
    """
    alpha, slope = _arguments.number("threshold", threshold), _arguments.number("beta", beta)
    return unary(KIND["softplus"], alpha, slope, input, False, out)


def hardsigmoid(input: Array, inplace: bool = False, *, out: Array | None = None) -> Array:
    """Apply the piecewise linear sigmoid: ``min(max(x / 6 + 1 / 2, 0), 1)``; arguments as in relu.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.hardsigmoid(np.float64([-4, 0, 1.5]))
    array([0.  , 0.5 , 0.75])
    """
    return unary(KIND["hardsigmoid"], 0.0, 0.0, input, inplace, out)


def hardswish(input: Array, inplace: bool = False, *, out: Array | None = None) -> Array:
    """Apply ``x * hardsigmoid(x)`` (Howard et al., 2019); arguments as in relu.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.hardswish(np.float64([-4, 1.5, 4])).round(3)
    array([-0.   ,  1.125,  4.   ])
    """
    return unary(KIND["hardswish"], 0.0, 0.0, input, inplace, out)


def tanh(input: Array, *, out: Array | None = None) -> Array:
    """Apply the hyperbolic tangent; arguments as in relu.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.tanh(np.float64([-1, 0])).round(3)
    array([-0.762,  0.   ])
    """
    return unary(KIND["tanh"], 0.0, 0.0, input, False, out)


def sigmoid(input: Array, *, out: Array | None = None) -> Array:
    """Apply the logistic function: ``1 / (1 + exp(-x))``; arguments as in relu.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.sigmoid(np.float64([0, 2])).round(3)
    array([0.5  , 0.881])
    """
    return unary(KIND["sigmoid"], 0.0, 0.0, input, False, out)


def softmax(
    input: Array, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None, *, out: Array | None = None
) -> Array:
    """Exponentiate and normalise along an axis: ``exp(x) / sum(exp(x))``.

    Parameters
    ----------
    input : ndarray (...)
        Any shape.
    dim : int, optional
        The axis that sums to one; torch's rule without: 0 for 0, 1 or 3 axes, else 1.
    _stacklevel : int
        Not used.
    dtype : float32 or float64, optional
        The type in which to compute, and that of the result; the input's without.
    out : ndarray, optional
        Where the result goes; may be the input.

    Returns
    -------
    ndarray (...)
        The result.

    Raises
    ------
    TypeError
        For anything but a float32 or float64 array, or an axis that is no int.
    ValueError
        For an axis that the array has not, and an `out` of another shape.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.softmax(np.log(np.float64([[1, 2, 1]])), dim=1)
    array([[0.25, 0.5 , 0.25]])
    """
    return normalised(False, in_type(input, dtype), dim, out)


def log_softmax(
    input: Array, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None, *, out: Array | None = None
) -> Array:
    """Return the logarithm of softmax, computed without its loss of digits; arguments as in softmax.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.log_softmax(np.float64([[0, 1000]]), dim=1)
    array([[-1000.,     0.]])
    """
    return normalised(True, in_type(input, dtype), dim, out)


def in_type(input: Array, dtype: Any) -> Array:
    """Return an array in the type that is asked for, itself if it has it or none is."""
    if dtype is None:
        return input
    try:
        kind = np.dtype(dtype)
    except TypeError:
        kind = np.dtype(object)
    if kind not in (np.float32, np.float64):
        _arguments.wrong("dtype", "float32 or float64", dtype, TypeError)
    return _arguments.real("input", input).astype(kind, copy=False)


def normalised(logarithm: bool, input: Array, dim: int | None, out: Array | None) -> Array:
    """Apply softmax or its logarithm."""
    if _arguments.on_device(input):
        return cuda.run("softmax", logarithm, input, dim, out)
    x = _arguments.real("input", input)
    axis = axis_of(dim, x.ndim)
    result = _core.softmax(logarithm, axis, input, out)
    if result is not None:
        return result
    target = destination(x, input, False, out, [("input", input)])
    plain = _arguments.plain("input", x)
    result = _core.softmax(logarithm, axis, plain, target)
    return _arguments.delivered(_core.softmax(logarithm, axis, plain, None) if result is None else result, target)


def axis_of(dim: object, ndim: int) -> int:
    """Return an axis in [0, ndim), by torch's rule when it is not named."""
    if dim is None:
        return 0 if ndim in (0, 1, 3) else 1
    most = max(ndim, 1)
    axis = _arguments.index("dim", dim, f"an int in [{-most}, {most - 1}]")
    if not -most <= axis < most:
        _arguments.wrong("dim", f"an int in [{-most}, {most - 1}] for {ndim} axes", dim)
    return axis % most
