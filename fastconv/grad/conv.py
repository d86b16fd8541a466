"""Gradients of convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from fastconv import _arguments, _core

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastconv._arguments import Array, Layout, Padding, Pair


def conv2d_input(
    input_size: Sequence[int],
    weight: Array,
    grad_output: Array,
    stride: int | Pair = 1,
    padding: Padding = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Return the gradient of conv2d with respect to its input.

    Parameters
    ----------
    input_size : (n, c, h, w) or (c, h, w)
        Shape of the input, in the layout.
    weight : ndarray (o, c / groups, kh, kw), or (kh, kw, c / groups, o) with ``layout="NHWC"``
        The filters.
    grad_output : ndarray (n, o, oh, ow), or (n, oh, ow, o)
        Gradient with respect to the result.
    stride, padding, dilation, groups, layout
        As conv2d was called.
    out : ndarray, optional
        Where the gradient goes.

    Returns
    -------
    ndarray in the shape `input_size`
        The gradient.

    Raises
    ------
    TypeError, ValueError
        As in functional.conv2d, and for sizes that do not belong together.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.conv2d_input((1, 1, 4), np.float32([[[[1, 0, -1]]]]), np.float32([[[1, 2]]]))
    array([[[ 1.,  2., -1., -2.]]], dtype=float32)
    """
    key = _key("conv2d_input", input_size, weight, grad_output, (stride, padding, dilation, groups, layout))
    plan = _core.kept(key)
    if plan is not None:
        result = cast("_core.ConvPlan", plan).once(grad_output, weight, None, out)
        if result is not None:
            return result
    grad, w = _arguments.real("grad_output", grad_output), _arguments.strided("weight", weight)
    size = _arguments.sizes("input_size", input_size, (3, 4))
    conv = _arguments.conv2d(
        size, w.shape, stride, padding, dilation, groups, layout, names=("input_size", "weight")
    )  # fmt: skip
    _arguments.same_dtype("weight", w, ("grad_output", grad))
    made = _arguments.plan_conv(conv, _core.BACKWARD_INPUT, w.dtype)
    _arguments.has_shape("grad_output", grad, conv.input.shape(conv.layout, conv.oc, made.dst))
    if out is not None:
        out = _arguments.output(out, size, w.dtype, [("weight", weight), ("grad_output", grad_output)])
    _core.keep_plan(key, made)
    plain = _arguments.plain("grad_output", grad)
    result = made.once(plain, w, None, out)
    return _arguments.delivered(made.once(plain, w, None, None) if result is None else result, out)


def conv2d_weight(
    input: Array,
    weight_size: Sequence[int],
    grad_output: Array,
    stride: int | Pair = 1,
    padding: Padding = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Return the gradient of conv2d with respect to its weights.

    Parameters
    ----------
    input : ndarray (n, c, h, w) or (c, h, w), or with the channels last
        The images.
    weight_size : (o, c / groups, kh, kw), or (kh, kw, c / groups, o) with ``layout="NHWC"``
        Shape of the filters.
    grad_output : ndarray (n, o, oh, ow), or (n, oh, ow, o)
        Gradient with respect to the result.
    stride, padding, dilation, groups, layout
        As conv2d was called.
    out : ndarray, optional
        Where the gradient goes; any strides are written in place.

    Returns
    -------
    ndarray in the shape `weight_size`
        The gradient, summed over the images: zero without any.

    Raises
    ------
    TypeError, ValueError
        As in functional.conv2d, and for sizes that do not belong together.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.conv2d_weight(np.float32([[[1, 2, 3, 4]]]), (1, 1, 1, 3), np.float32([[[1, 10]]]))
    array([[[[21., 32., 43.]]]], dtype=float32)
    """
    key = _key("conv2d_weight", weight_size, input, grad_output, (stride, padding, dilation, groups, layout))
    plan = _core.kept(key)
    if plan is not None:
        target = _core.empty(tuple(weight_size), grad_output.dtype) if out is None else out
        result = cast("_core.ConvPlan", plan).weight_grad(input, grad_output, target)
        if result is not None:
            return result
    x, grad = _arguments.real("input", input), _arguments.real("grad_output", grad_output)
    size = _arguments.sizes("weight_size", weight_size, (4,))
    conv = _arguments.conv2d(
        x.shape, size, stride, padding, dilation, groups, layout, names=("input", "weight_size")
    )  # fmt: skip
    plain_x, plain_grad = _arguments.plain("input", x), _arguments.plain("grad_output", grad)
    _arguments.same_dtype("input", plain_x, ("grad_output", plain_grad))
    made = _arguments.plan_conv(conv, _core.BACKWARD_WEIGHT, plain_x.dtype)
    _arguments.has_shape("grad_output", grad, conv.input.shape(conv.layout, conv.oc, made.dst))
    if out is not None:
        out = _arguments.output(out, size, plain_x.dtype, [("input", input), ("grad_output", grad_output)])
    _core.keep_plan(key, made)
    result = None if out is None else made.weight_grad(plain_x, plain_grad, out)
    if result is None:
        result = made.weight_grad(plain_x, plain_grad, _core.empty(size, plain_x.dtype))
    return _arguments.delivered(result, out)


def _key(name: str, size: object, first: object, second: object, options: tuple[object, ...]) -> tuple[object, ...]:
    """Return what a plan depends on; a key that is never kept when these are no arrays."""
    if type(first) is not np.ndarray or type(second) is not np.ndarray:
        return (name, first)
    return (name, size, first.shape, second.shape, second.dtype.char, *options)


def conv2d_bias(grad_output: Array, *, layout: Layout = "NCHW", out: Array | None = None) -> Array:
    """Return the gradient of conv2d with respect to its bias: the sum over everything but channels.

    Parameters
    ----------
    grad_output : ndarray (n, o, oh, ow) or (o, oh, ow), or with the channels last
        Gradient with respect to the result.
    layout : {"NCHW", "NHWC"}
        Order of the axes.
    out : ndarray (o,), optional
        Where the gradient goes.

    Returns
    -------
    ndarray (o,)
        The gradient.

    Raises
    ------
    TypeError, ValueError
        As in functional.conv2d.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.conv2d_bias(np.arange(8, dtype=np.float32).reshape(2, 2, 2), layout="NCHW")
    array([ 6., 22.], dtype=float32)
    """
    grad = _arguments.plain("grad_output", grad_output)
    order = _arguments.layout_of(layout)
    channels = _arguments.image("grad_output", grad.shape, order).channels
    if out is not None:
        out = _arguments.output(out, (channels,), grad.dtype, [("grad_output", grad_output)])
    batch = grad if grad.ndim == 4 else grad[None]
    result = None if out is None else _core.bias_grad(_core.LAYOUTS[order], batch, out)
    if result is None:
        result = _core.bias_grad(_core.LAYOUTS[order], batch, np.empty(channels, grad.dtype))
    return _arguments.delivered(result, out)
