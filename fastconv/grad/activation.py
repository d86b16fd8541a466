"""The pointwise gradients of ``fastconv.grad``, from the result where that is enough and from the input otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from fastconv import _arguments, _core, cuda
from fastconv.functional.activation import NAMES, axis_of

if TYPE_CHECKING:
    from fastconv._arguments import Array

KIND = _core.ACTIVATIONS


def gradient(
    kind: int, alpha: float, beta: float, grad_output: Array, saved: Array, name: str, out: Array | None
) -> Array:
    """Multiply grad_output by an activation's derivative."""
    result = _core.activation_grad(kind, alpha, beta, grad_output, saved, out)
    if result is not None:
        return result
    if _arguments.on_device(grad_output):
        return cuda.run("activation_grad", NAMES[kind], alpha, beta, grad_output, saved, name, out)
    grad, state, target = checked(grad_output, saved, name, out)
    result = _core.activation_grad(kind, alpha, beta, grad, state, target)
    if result is None:
        result = _core.activation_grad(kind, alpha, beta, grad, state, None)
    return _arguments.delivered(result, target)


def checked(grad_output: object, saved: object, name: str, out: object) -> tuple[Array, Array, Array | None]:
    """Return the arrays in plain form, and where the gradient goes if the caller has named it."""
    grad, state = _arguments.plain("grad_output", grad_output), _arguments.plain(name, saved)
    _arguments.same_dtype("grad_output", grad, (name, state))
    _arguments.has_shape(name, state, grad.shape)
    if out is None:
        return grad, state, None
    return grad, state, _arguments.pointwise_output(out, grad, [("grad_output", grad_output), (name, saved)])


def relu(grad_output: Array, output: Array, *, out: Array | None = None) -> Array:
    """Return the gradient of relu with respect to its input.

    Parameters
    ----------
    grad_output : ndarray (...)
        Gradient with respect to the result.
    output : ndarray (...)
        The result.
    out : ndarray (...), optional
        Where the gradient goes; may be grad_output.

    Returns
    -------
    ndarray (...)
        The gradient; from the left where the derivative jumps, as in torch.

    Raises
    ------
    TypeError
        For anything but float32 or float64 arrays of one dtype.
    ValueError
        For shapes that differ.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.relu(np.float32([5, 5, 5]), np.float32([0, 0, 2]))
    array([0., 0., 5.], dtype=float32)
    """
    return gradient(KIND["relu"], 0.0, 0.0, grad_output, output, "output", out)


def relu6(grad_output: Array, output: Array, *, out: Array | None = None) -> Array:
    """Return the gradient of relu6 with respect to its input; arguments as in relu.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.relu6(np.float32([5, 5, 5]), np.float32([0, 2, 6]))
    array([0., 5., 0.], dtype=float32)
    """
    return gradient(KIND["relu6"], 0.0, 0.0, grad_output, output, "output", out)


def leaky_relu(
    grad_output: Array, output: Array, negative_slope: float = 0.01, *, out: Array | None = None
) -> Array:  # fmt: skip
    """Return the gradient of leaky_relu with respect to its input, for a slope of at least 0; arguments as in relu.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.leaky_relu(np.float32([4, 4]), np.float32([-1, 1]), 0.5)
    array([2., 4.], dtype=float32)
    """
    slope = _arguments.number("negative_slope", negative_slope)
    return gradient(KIND["leaky_relu"], slope, 0.0, grad_output, output, "output", out)


def elu(grad_output: Array, output: Array, alpha: float = 1.0, *, out: Array | None = None) -> Array:
    """Return the gradient of elu with respect to its input, for an alpha of at least 0; arguments as in relu.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.elu(np.float32([4, 4]), np.float32([-0.5, 1]))
    array([2., 4.], dtype=float32)
    """
    return gradient(KIND["elu"], _arguments.number("alpha", alpha), 0.0, grad_output, output, "output", out)


def selu(grad_output: Array, output: Array, *, out: Array | None = None) -> Array:
    """Return the gradient of selu with respect to its input; arguments as in relu.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.selu(np.float64([1, 1]), np.float64([-1, 1])).round(3)
    array([0.758, 1.051])
    """
    return gradient(KIND["selu"], 0.0, 0.0, grad_output, output, "output", out)


def tanh(grad_output: Array, output: Array, *, out: Array | None = None) -> Array:
    """Return the gradient of tanh with respect to its input; arguments as in relu.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.tanh(np.float32([4, 4]), np.float32([0, 0.5]))
    array([4., 3.], dtype=float32)
    """
    return gradient(KIND["tanh"], 0.0, 0.0, grad_output, output, "output", out)


def sigmoid(grad_output: Array, output: Array, *, out: Array | None = None) -> Array:
    """Return the gradient of sigmoid with respect to its input; arguments as in relu.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.sigmoid(np.float32([4, 4]), np.float32([0.5, 1]))
    array([1., 0.], dtype=float32)
    """
    return gradient(KIND["sigmoid"], 0.0, 0.0, grad_output, output, "output", out)


def hardsigmoid(grad_output: Array, output: Array, *, out: Array | None = None) -> Array:
    """Return the gradient of hardsigmoid with respect to its input; arguments as in relu.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.hardsigmoid(np.float32([6, 6, 6]), np.float32([0, 0.5, 1]))
    array([0., 1., 0.], dtype=float32)
    """
    return gradient(KIND["hardsigmoid"], 0.0, 0.0, grad_output, output, "output", out)


def silu(grad_output: Array, input: Array, *, out: Array | None = None) -> Array:
    """Return the gradient of silu with respect to its input; arguments as in relu, but the input for the result.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.silu(np.float32([4]), np.float32([0]))
    array([2.], dtype=float32)
    """
    return gradient(KIND["silu"], 0.0, 0.0, grad_output, input, "input", out)


def gelu(
    grad_output: Array,
    input: Array,
    approximate: Literal["none", "tanh"] = "none",
    *,
    out: Array | None = None,
) -> Array:
    """Return the gradient of gelu with respect to its input; arguments as in silu, `approximate` as gelu was called.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.gelu(np.float32([4]), np.float32([0]))
    array([2.], dtype=float32)
    """
    form = _arguments.choice("approximate", approximate, ("none", "tanh"))
    return gradient(KIND["gelu" if form == "none" else "gelu_tanh"], 0.0, 0.0, grad_output, input, "input", out)


def softplus(
    grad_output: Array,
    input: Array,
    beta: float = 1.0,
    threshold: float = 20.0,
    *,
    out: Array | None = None,
) -> Array:
    """Return the gradient of softplus with respect to its input; arguments as in silu, options as softplus was called.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.softplus(np.float32([4, 4]), np.float32([0, 30]))
    array([2., 4.], dtype=float32)
    """
    alpha, slope = _arguments.number("threshold", threshold), _arguments.number("beta", beta)
    return gradient(KIND["softplus"], alpha, slope, grad_output, input, "input", out)


def hardswish(grad_output: Array, input: Array, *, out: Array | None = None) -> Array:
    """Return the gradient of hardswish with respect to its input; arguments as in silu.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.hardswish(np.float32([4, 4, 4]), np.float32([-4, 0, 4]))
    array([0., 2., 4.], dtype=float32)
    """
    return gradient(KIND["hardswish"], 0.0, 0.0, grad_output, input, "input", out)


def softmax(grad_output: Array, output: Array, dim: int | None = None, *, out: Array | None = None) -> Array:
    """Return the gradient of softmax with respect to its input; `dim` as softmax was called, others as in relu.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.softmax(np.float32([[4, 0]]), np.float32([[0.5, 0.5]]), dim=1)
    array([[ 1., -1.]], dtype=float32)
    """
    return normalised(False, grad_output, output, dim, out)


def log_softmax(grad_output: Array, output: Array, dim: int | None = None, *, out: Array | None = None) -> Array:
    """Return the gradient of log_softmax with respect to its input; arguments as in softmax.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.log_softmax(np.float32([[4, 0]]), np.log(np.float32([[0.5, 0.5]])), dim=1)
    array([[ 2., -2.]], dtype=float32)
    """
    return normalised(True, grad_output, output, dim, out)


def normalised(logarithm: bool, grad_output: Array, output: Array, dim: int | None, out: Array | None) -> Array:
    """Return the gradient of softmax or of its logarithm."""
    if _arguments.on_device(grad_output):
        return cuda.run("softmax_backward", logarithm, grad_output, output, dim, out)
    axis = axis_of(dim, _arguments.real("grad_output", grad_output).ndim)
    result = _core.softmax_grad(logarithm, axis, grad_output, output, out)
    if result is not None:
        return result
    grad, state, target = checked(grad_output, output, "output", out)
    result = _core.softmax_grad(logarithm, axis, grad, state, target)
    if result is None:
        result = _core.softmax_grad(logarithm, axis, grad, state, None)
    return _arguments.delivered(result, target)
