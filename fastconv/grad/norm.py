"""Gradients of normalisation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import numpy as np

from fastconv import _arguments, _core, cuda
from fastconv.functional.norm import (
    Norm,
    averages,
    checked,
    destination,
    group_norm_of,
    in_double,
    layer_arguments,
    local_response_of,
    neighbours,
    norm_of,
    response_base,
    statistics,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastconv._arguments import Array, Layout


def gradients(
    norm: Norm,
    eps: object,
    x: Array,
    grad_output: object,
    given: tuple[Array, Array],
    weight: Array | None,
    constant: bool,
    out: object,
) -> tuple[Array, Array, Array]:
    """Return the gradients of the input, the weight and the bias."""
    number = _arguments.number("eps", eps)
    grad = _arguments.plain("grad_output", grad_output)
    _arguments.has_shape("grad_output", grad, x.shape)
    _arguments.same_dtype("input", x, ("grad_output", grad))
    target, result = destination(x, [("input", x), ("grad_output", grad_output), ("weight", weight)], out)
    dweight, dbias = np.zeros(norm.channels, x.dtype), np.zeros(norm.channels, x.dtype)
    if x.size:
        _core.norm_backward(norm.shape, number, x, grad, *given, weight, constant, result, dweight, dbias)
    return _arguments.delivered(result, target), dweight, dbias


def batch_norm(
    input: Array,
    grad_output: Array,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    weight: Array | None = None,
    training: bool = False,
    eps: float = 1e-5,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> tuple[Array, Array, Array]:
    """Return the gradients of batch_norm with respect to its input, its weight and its bias.

    Parameters
    ----------
    input : ndarray (n, c, ...), or (n, ..., c)
        What was normalised.
    grad_output : ndarray in the shape of input
        Gradient with respect to the result.
    running_mean, running_var, weight, training, eps, layout
        As batch_norm was called; the running statistics count only without `training`, and are not moved.
    out : ndarray, optional
        Where the input's gradient goes.

    Returns
    -------
    input_gradient : ndarray in the shape of input
    weight_gradient, bias_gradient : ndarray (c,)

    Raises
    ------
    TypeError, ValueError
        As in functional.batch_norm.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> dx, dw, db = grad.batch_norm(np.float64([[1], [3], [5]]), np.float64([[1], [0], [0]]), training=True, eps=0)
    >>> dx.round(3).ravel(), dw.round(3), db
    (array([ 0.102, -0.204,  0.102]), array([-1.225]), array([1.]))
    """
    if _arguments.on_device(input):
        told = (running_mean, running_var, weight, training, eps, layout, out)
        return cast("tuple[Array, Array, Array]", cuda.run("batch_norm_backward", input, grad_output, *told))
    x = _arguments.plain("input", input)
    norm = norm_of("batch", x, layout, 2)
    own = _arguments.flag("training", training)
    (w,) = checked(norm, x, weight=weight)
    if own and norm.values == 1:
        _arguments.wrong("input", "more than 1 value per channel when training", f"shape {x.shape}")
    given = batch_statistics(norm, x, running_mean, running_var, own)
    return gradients(norm, eps, x, grad_output, given, w, not own, out)


def batch_statistics(norm: Norm, x: Array, running_mean: object, running_var: object, own: bool) -> tuple[Array, Array]:
    """Return what the values were normalised by."""
    if own:
        return statistics(norm, x) if x.size else (np.zeros(norm.sets), np.zeros(norm.sets))
    mean, variance = averages(norm, x, running_mean, running_var, True)
    assert mean is not None
    assert variance is not None
    return in_double(mean), in_double(variance)


def instance_norm(
    input: Array,
    grad_output: Array,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    weight: Array | None = None,
    use_input_stats: bool = True,
    eps: float = 1e-5,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> tuple[Array, Array, Array]:
    """Return the gradients of instance_norm with respect to its input, its weight and its bias: as batch_norm's.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> dx, dw, db = grad.instance_norm(np.float64([[[1, 3, 5]]]), np.float64([[[1, 0, 0]]]), eps=0)
    >>> dx.round(3).ravel()
    array([ 0.102, -0.204,  0.102])
    """
    x = _arguments.plain("input", input)
    own = _arguments.flag("use_input_stats", use_input_stats)
    norm = norm_of("instance" if own else "batch", x, layout, 3)
    (w,) = checked(norm, x, weight=weight)
    if own and norm.pixels == 1:
        _arguments.wrong("input", "more than 1 pixel when its own statistics are used", f"shape {x.shape}")
    given = batch_statistics(norm, x, running_mean, running_var, own)
    return gradients(norm, eps, x, grad_output, given, w, not own, out)


def group_norm(
    input: Array,
    grad_output: Array,
    num_groups: int,
    weight: Array | None = None,
    eps: float = 1e-5,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> tuple[Array, Array, Array]:
    """Return the gradients of group_norm with respect to its input, its weight and its bias: as batch_norm's.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> dx, dw, db = grad.group_norm(np.float64([[1, 3, 5]]), np.float64([[1, 0, 0]]), 1, eps=0)
    >>> dx.round(3).ravel()
    array([ 0.102, -0.204,  0.102])
    """
    x, norm = group_norm_of(input, num_groups, layout)
    (w,) = checked(norm, x, weight=weight)
    given = statistics(norm, x) if x.size else (np.zeros(norm.sets), np.zeros(norm.sets))
    return gradients(norm, eps, x, grad_output, given, w, False, out)


def layer_norm(
    input: Array,
    grad_output: Array,
    normalized_shape: int | Sequence[int],
    weight: Array | None = None,
    eps: float = 1e-5,
    *,
    out: Array | None = None,
) -> tuple[Array, Array, Array]:
    """Return the gradients of layer_norm with respect to its input, its weight and its bias.

    Parameters
    ----------
    input, normalized_shape, weight, eps
        As layer_norm was called.
    grad_output : ndarray in the shape of input
        Gradient with respect to the result.
    out : ndarray, optional
        Where the input's gradient goes.

    Returns
    -------
    input_gradient : ndarray in the shape of input
    weight_gradient, bias_gradient : ndarray (*normalized_shape)

    Raises
    ------
    TypeError, ValueError
        As in functional.layer_norm.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> dx, dw, db = grad.layer_norm(np.float64([[1, 3, 5]]), np.float64([[1, 0, 0]]), 3, eps=0)
    >>> dx.round(3), db
    (array([[ 0.102, -0.204,  0.102]]), array([1., 0., 0.]))
    """
    x, tail, w, _ = layer_arguments(input, normalized_shape, weight, None)
    number = _arguments.number("eps", eps)
    grad = _arguments.plain("grad_output", grad_output)
    _arguments.has_shape("grad_output", grad, x.shape)
    _arguments.same_dtype("input", x, ("grad_output", grad))
    target, result = destination(x, [("input", input), ("grad_output", grad_output), ("weight", weight)], out)
    dweight, dbias = np.zeros(tail, x.dtype), np.zeros(tail, x.dtype)
    if x.size:
        count = math.prod(tail)
        rows = x.size // count
        means = np.empty(rows), np.empty(rows)
        _core.layer_norm_backward(rows, count, number, x, grad, w, *means, result, dweight, dbias)
    return _arguments.delivered(result, target), dweight, dbias


def local_response_norm(
    input: Array,
    grad_output: Array,
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Return the gradient of local_response_norm with respect to its input; arguments as there.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> x = np.float64([[[3], [4]]])
    >>> grad.local_response_norm(x, np.ones_like(x), 1, alpha=1, beta=1, k=0).round(3).ravel()
    array([-0.111, -0.062])
    """
    x, norm, width = local_response_of(input, size, layout)
    a, b, c = (_arguments.number(name, value) for name, value in (("alpha", alpha), ("beta", beta), ("k", k)))
    grad = _arguments.plain("grad_output", grad_output)
    _arguments.has_shape("grad_output", grad, x.shape)
    _arguments.same_dtype("input", x, ("grad_output", grad))
    target = None
    if out is not None:
        target = _arguments.output(out, x.shape, x.dtype, [("input", input), ("grad_output", grad_output)])
    if not x.size:
        return _arguments.delivered(_core.empty(x.shape, x.dtype), target)
    # With s = k + alpha mean(x^2): dx = g s^-beta - 2 alpha beta / size x sum over the windows of g x s^(-beta - 1).
    base = response_base(norm, x, width, a, c)
    result = grad * np.power(base, x.dtype.type(-b))
    inner = result * x
    inner /= base
    inner = neighbours(norm, inner, width, ((width - 1) // 2, width // 2))
    inner *= x
    inner *= x.dtype.type(2 * a * b)
    result -= inner
    return _arguments.delivered(result, target)
