"""Gradients of convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from fastconv import _arguments, _core, cuda

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastconv._arguments import Array, Layout, Padding, Padding1d, Padding3d, Pair, Triple


def conv1d_input(
    input_size: Sequence[int],
    weight: Array,
    grad_output: Array,
    stride: int | tuple[int] = 1,
    padding: Padding1d = 0,
    dilation: int | tuple[int] = 1,
    groups: int = 1,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Return the gradient of conv1d with respect to its input; as conv2d_input, with one spatial axis.

    Parameters
    ----------
    input_size : (n, c, l) or (c, l)
        Shape of the input, in the layout.
    weight : ndarray (o, c / groups, k), or (k, c / groups, o) with ``layout="NHWC"``
        The filters.
    grad_output : ndarray (n, o, ol)
        Gradient with respect to the result.
    stride, padding, dilation, groups, layout, out
        As in conv2d_input.

    Returns
    -------
    ndarray in the shape `input_size`
        The gradient.

    Raises
    ------
    TypeError, ValueError
        As in conv2d_input.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.conv1d_input((1, 4), np.float32([[[1, 0, -1]]]), np.float32([[1, 2]]))
    array([[ 1.,  2., -1., -2.]], dtype=float32)
    """
    options = (stride, padding, dilation, groups, layout)
    return _input(1, input_size, weight, grad_output, options, out)


def conv1d_weight(
    input: Array,
    weight_size: Sequence[int],
    grad_output: Array,
    stride: int | tuple[int] = 1,
    padding: Padding1d = 0,
    dilation: int | tuple[int] = 1,
    groups: int = 1,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Return the gradient of conv1d with respect to its weights; as conv2d_weight, with one spatial axis.

    Parameters
    ----------
    input : ndarray (n, c, l) or (c, l)
        The images.
    weight_size : (o, c / groups, k), or (k, c / groups, o) with ``layout="NHWC"``
        Shape of the filters.
    grad_output : ndarray (n, o, ol)
        Gradient with respect to the result.
    stride, padding, dilation, groups, layout, out
        As in conv2d_weight.

    Returns
    -------
    ndarray in the shape `weight_size`
        The gradient.

    Raises
    ------
    TypeError, ValueError
        As in conv2d_weight.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.conv1d_weight(np.float32([[1, 2, 3, 4]]), (1, 1, 3), np.float32([[1, 10]]))
    array([[[21., 32., 43.]]], dtype=float32)
    """
    options = (stride, padding, dilation, groups, layout)
    return _weight(1, input, weight_size, grad_output, options, out)


def conv1d_bias(grad_output: Array, *, layout: Layout = "NCHW", out: Array | None = None) -> Array:
    """Return the gradient of conv1d with respect to its bias: conv2d_bias with one spatial axis.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.conv1d_bias(np.arange(8, dtype=np.float32).reshape(2, 4))
    array([ 6., 22.], dtype=float32)
    """
    return bias(1, grad_output, layout, out)


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
    options = (stride, padding, dilation, groups, layout)
    return _input(2, input_size, weight, grad_output, options, out)


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
    options = (stride, padding, dilation, groups, layout)
    return _weight(2, input, weight_size, grad_output, options, out)


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
    return bias(2, grad_output, layout, out)


def conv3d_input(
    input_size: Sequence[int],
    weight: Array,
    grad_output: Array,
    stride: int | Triple = 1,
    padding: Padding3d = 0,
    dilation: int | Triple = 1,
    groups: int = 1,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Return the gradient of conv3d with respect to its input; as conv2d_input, with three spatial axes.

    Parameters
    ----------
    input_size : (n, c, d, h, w) or (c, d, h, w)
        Shape of the input, in the layout.
    weight : ndarray (o, c / groups, kd, kh, kw), or (kd, kh, kw, c / groups, o) with ``layout="NHWC"``
        The filters.
    grad_output : ndarray (n, o, od, oh, ow)
        Gradient with respect to the result.
    stride, padding, dilation, groups, layout, out
        As in conv2d_input.

    Returns
    -------
    ndarray in the shape `input_size`
        The gradient.

    Raises
    ------
    TypeError, ValueError
        As in conv2d_input.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> w = np.ones((1, 1, 2, 2, 2), np.float32)
    >>> grad.conv3d_input((1, 2, 2, 3), w, np.ones((1, 1, 1, 2), np.float32))[0, 0]
    array([[1., 2., 1.],
           [1., 2., 1.]], dtype=float32)
    """
    options = (stride, padding, dilation, groups, layout)
    return _input(3, input_size, weight, grad_output, options, out)


def conv3d_weight(
    input: Array,
    weight_size: Sequence[int],
    grad_output: Array,
    stride: int | Triple = 1,
    padding: Padding3d = 0,
    dilation: int | Triple = 1,
    groups: int = 1,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Return the gradient of conv3d with respect to its weights; as conv2d_weight, with three spatial axes.

    Parameters
    ----------
    input : ndarray (n, c, d, h, w) or (c, d, h, w)
        The images.
    weight_size : (o, c / groups, kd, kh, kw), or (kd, kh, kw, c / groups, o) with ``layout="NHWC"``
        Shape of the filters.
    grad_output : ndarray (n, o, od, oh, ow)
        Gradient with respect to the result.
    stride, padding, dilation, groups, layout, out
        As in conv2d_weight.

    Returns
    -------
    ndarray in the shape `weight_size`
        The gradient.

    Raises
    ------
    TypeError, ValueError
        As in conv2d_weight.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> x, g = np.ones((1, 2, 2, 3), np.float32), np.ones((1, 1, 1, 2), np.float32)
    >>> grad.conv3d_weight(x, (1, 1, 2, 2, 2), g)[0, 0, 0]
    array([[2., 2.],
           [2., 2.]], dtype=float32)
    """
    options = (stride, padding, dilation, groups, layout)
    return _weight(3, input, weight_size, grad_output, options, out)


def conv3d_bias(grad_output: Array, *, layout: Layout = "NCHW", out: Array | None = None) -> Array:
    """Return the gradient of conv3d with respect to its bias: conv2d_bias with three spatial axes.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.conv3d_bias(np.arange(8, dtype=np.float32).reshape(2, 1, 2, 2))
    array([ 6., 22.], dtype=float32)
    """
    return bias(3, grad_output, layout, out)


def key_of(
    name: str, axes: int, size: object, first: object, second: object, options: tuple[object, ...]
) -> tuple[object, ...]:
    """Return what a plan depends on; a key that is never kept when these are no arrays."""
    if type(first) is not np.ndarray or type(second) is not np.ndarray:
        return (name, first)
    return (name, axes, size, first.shape, second.shape, second.dtype.char, *options)


def _input(
    axes: int, input_size: Sequence[int], weight: object, grad_output: object, options: tuple[Any, ...], out: object
) -> Array:
    key = key_of("conv_input", axes, input_size, weight, grad_output, options)
    plan = _core.kept(key)
    if plan is not None:
        result = cast("_core.ConvPlan", plan).once(grad_output, weight, None, out)
        if result is not None:
            return result
    if _arguments.on_device(grad_output):
        return cuda.run("conv_input", axes, input_size, weight, grad_output, options, out)
    grad, w = _arguments.real("grad_output", grad_output), _arguments.strided("weight", weight)
    size = _arguments.sizes("input_size", input_size, (axes + 1, axes + 2))
    conv = _arguments.conv(axes, size, w.shape, *options, names=("input_size", "weight"))
    _arguments.same_dtype("weight", w, ("grad_output", grad))
    made = _arguments.plan_conv(conv, _core.BACKWARD_INPUT, w.dtype)
    _arguments.has_shape("grad_output", grad, conv.input.shape(conv.layout, conv.oc, made.dst))
    if out is not None:
        out = _arguments.output(out, size, w.dtype, [("weight", weight), ("grad_output", grad_output)])
    _core.keep_plan(key, made)
    plain = _arguments.plain("grad_output", grad)
    result = made.once(plain, w, None, out)
    return _arguments.delivered(made.once(plain, w, None, None) if result is None else result, out)


def _weight(
    axes: int, input: object, weight_size: Sequence[int], grad_output: Any, options: tuple[Any, ...], out: Array | None
) -> Array:
    key = key_of("conv_weight", axes, weight_size, input, grad_output, options)
    plan = _core.kept(key)
    if plan is not None:
        target = _core.empty(tuple(weight_size), grad_output.dtype) if out is None else out
        result = cast("_core.ConvPlan", plan).weight_grad(input, grad_output, target)
        if result is not None:
            return result
    if _arguments.on_device(input):
        return cuda.run("conv_weight", axes, input, weight_size, grad_output, options, out)
    x, grad = _arguments.real("input", input), _arguments.real("grad_output", grad_output)
    size = _arguments.sizes("weight_size", weight_size, (axes + 2,))
    conv = _arguments.conv(axes, x.shape, size, *options, names=("input", "weight_size"))
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


def bias(axes: int, grad_output: object, layout: object, out: Array | None) -> Array:
    """Sum over everything but channels."""
    if _arguments.on_device(grad_output):
        return cuda.run("conv_bias", axes, grad_output, layout, out)
    grad = _arguments.plain("grad_output", grad_output)
    order = _arguments.layout_of(layout)
    channels = _arguments.image("grad_output", grad.shape, order, axes).channels
    if out is not None:
        out = _arguments.output(out, (channels,), grad.dtype, [("grad_output", grad_output)])
    batch = grad if grad.ndim == axes + 2 else grad[None]
    result = None if out is None else _core.bias_grad(_core.LAYOUTS[order], batch, out)
    if result is None:
        result = _core.bias_grad(_core.LAYOUTS[order], batch, np.empty(channels, grad.dtype))
    return _arguments.delivered(result, out)
