"""Products of vectors and matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastconv import _arguments, _core, cuda

if TYPE_CHECKING:
    from fastconv._arguments import Array


def linear(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    out: Array | None = None,
    activation: str | None = None,
) -> Array:
    """Multiply vectors by a matrix: ``input @ weight.T + bias``.

    Parameters
    ----------
    input : ndarray (..., i)
        Vectors, with any axes before.
    weight : ndarray (o, i) or (i,)
        The matrix; a vector gives scalars. Any strides are read in place, so the transpose of an (i, o) matrix
        costs nothing. Products are added along a row whose weights are neighbours, in another order where they are
        not, so that two such matrices of the same values may differ in a result's last bits.
    bias : ndarray (o,), optional
        Added to each result; of shape () for a vector of weights.
    out : ndarray, optional
        Where the result goes.
    activation : str, optional
        As in conv2d.

    Returns
    -------
    ndarray (..., o)
        (...) for a vector of weights.

    Raises
    ------
    TypeError, ValueError
        As in conv2d.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.linear(np.float32([[1, 2]]), np.float32([[1, 10], [0, 1], [3, 0]]), np.float32([0, 0, 1]))
    array([[21.,  2.,  4.]], dtype=float32)
    """
    result = _core.linear(input, weight, bias, (activation,), out, None)
    return _linear(input, weight, bias, activation, out) if result is None else result


def _linear(input: object, weight: object, bias: object, activation: object, out: object) -> Array:
    if _arguments.on_device(input):
        return cuda.run("linear", input, weight, bias, activation, out)
    x, w = _arguments.real("input", input), _arguments.strided("weight", weight)
    if w.ndim not in (1, 2) or not w.size:
        _arguments.wrong("weight", "shape (o, i) or (i,) with extents of at least 1", f"shape {w.shape}")
    if x.ndim < 1 or x.shape[-1] != w.shape[-1]:
        _arguments.wrong("input", f"shape (..., {w.shape[-1]}), as weight has shape {w.shape}", f"shape {x.shape}")
    name = _arguments.activation_name(activation)
    shape = (*x.shape[:-1], *w.shape[:-1])
    b = None
    if bias is not None:
        b = _arguments.plain("bias", bias)
        _arguments.has_shape("bias", b, w.shape[:-1])
        b = b.reshape(-1)
    _arguments.same_dtype("input", x, ("weight", w), ("bias", b))
    if out is not None:
        out = _arguments.output(out, shape, w.dtype, [("input", input), ("weight", weight), ("bias", bias)])
    matrix = w if w.ndim == 2 else w[None]
    conv = _arguments.conv(2, (1, 1, matrix.shape[1]), (1, 1, *matrix.shape[::-1]), 1, 0, 1, 1, "NHWC")

    def make() -> _core.ConvPlan:
        return _arguments.plan_conv(conv, _core.FORWARD, matrix.dtype, activation=name)

    plain = _arguments.plain("input", x)
    fitting = out if w.ndim == 2 else None
    for key, target in (((activation,), fitting), ((name,), fitting), ((name,), None)):
        result = _core.linear(plain, matrix, b, key, target, make)
        if result is not None:
            break
    return _arguments.delivered(result if result is None or result is out else result.reshape(shape), out)
