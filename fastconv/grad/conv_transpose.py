"""Gradients of transposed convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from fastconv import _arguments, _core, cuda
from fastconv.grad.conv import bias, key_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastconv._arguments import Array, Layout, Padding, Padding1d, Padding3d, Pair, Triple


def conv_transpose1d_input(
    input_size: Sequence[int],
    weight: Array,
    grad_output: Array,
    stride: int | tuple[int] = 1,
    padding: Padding1d = 0,
    output_padding: int | tuple[int] = 0,
    groups: int = 1,
    dilation: int | tuple[int] = 1,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Return the gradient of conv_transpose1d with respect to its input.

    Parameters
    ----------
    input_size : (n, c, l) or (c, l)
        Shape of the input, in the layout.
    weight : ndarray (c, o / groups, k), or (k, o / groups, c) with ``layout="NHWC"``
        The filters.
    grad_output : ndarray
        Gradient with respect to the result.
    stride, padding, output_padding, groups, dilation, layout
        As conv_transpose1d was called.
    out : ndarray, optional
        Where the gradient goes.

    Returns
    -------
    ndarray in the shape `input_size`
        The gradient.

    Raises
    ------
    TypeError, ValueError
        As in functional.conv_transpose1d, and for sizes that do not belong together.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> w = np.float32([[[1, 10, 100]]])
    >>> grad.conv_transpose1d_input((1, 2), w, np.float32([[1, 1, 1, 1, 2]]), stride=2)
    array([[111., 211.]], dtype=float32)
    """
    options = (stride, padding, output_padding, groups, dilation, layout)
    return _input(1, input_size, weight, grad_output, options, out)


def conv_transpose1d_weight(
    input: Array,
    weight_size: Sequence[int],
    grad_output: Array,
    stride: int | tuple[int] = 1,
    padding: Padding1d = 0,
    output_padding: int | tuple[int] = 0,
    groups: int = 1,
    dilation: int | tuple[int] = 1,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Return the gradient of conv_transpose1d with respect to its weights.

    Parameters
    ----------
    input : ndarray (n, c, l) or (c, l)
        The input.
    weight_size : (c, o / groups, k), or (k, o / groups, c) with ``layout="NHWC"``
        Shape of the filters.
    grad_output : ndarray
        Gradient with respect to the result.
    stride, padding, output_padding, groups, dilation, layout
        As conv_transpose1d was called.
    out : ndarray, optional
        Where the gradient goes.

    Returns
    -------
    ndarray in the shape `weight_size`
        The gradient.

    Raises
    ------
    TypeError, ValueError
        As in functional.conv_transpose1d, and for sizes that do not belong together.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> x, g = np.float32([[1, 2]]), np.float32([[1, 1, 1, 1, 2]])
    >>> grad.conv_transpose1d_weight(x, (1, 1, 3), g, stride=2)
    array([[[3., 3., 5.]]], dtype=float32)
    """
    options = (stride, padding, output_padding, groups, dilation, layout)
    return _weight(1, input, weight_size, grad_output, options, out)


def conv_transpose1d_bias(grad_output: Array, *, layout: Layout = "NCHW", out: Array | None = None) -> Array:
    """Return the gradient of conv_transpose1d with respect to its bias, which is conv1d_bias.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.conv_transpose1d_bias(np.ones((2, 2), np.float32))
    array([2., 2.], dtype=float32)
    """
    return bias(1, grad_output, layout, out)


def conv_transpose2d_input(
    input_size: Sequence[int],
    weight: Array,
    grad_output: Array,
    stride: int | Pair = 1,
    padding: Padding = 0,
    output_padding: int | Pair = 0,
    groups: int = 1,
    dilation: int | Pair = 1,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Return the gradient of conv_transpose2d with respect to its input.

    Parameters
    ----------
    input_size : (n, c, h, w) or (c, h, w)
        Shape of the input, in the layout.
    weight : ndarray (c, o / groups, kh, kw), or (kh, kw, o / groups, c) with ``layout="NHWC"``
        The filters.
    grad_output : ndarray
        Gradient with respect to the result.
    stride, padding, output_padding, groups, dilation, layout
        As conv_transpose2d was called.
    out : ndarray, optional
        Where the gradient goes.

    Returns
    -------
    ndarray in the shape `input_size`
        The gradient.

    Raises
    ------
    TypeError, ValueError
        As in functional.conv_transpose2d, and for sizes that do not belong together.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> g = np.arange(9, dtype=np.float32).reshape(1, 3, 3)
    >>> grad.conv_transpose2d_input((1, 2, 2), np.ones((1, 1, 2, 2), np.float32), g)
    array([[[ 8., 12.],
            [20., 24.]]], dtype=float32)
    """
    options = (stride, padding, output_padding, groups, dilation, layout)
    return _input(2, input_size, weight, grad_output, options, out)


def conv_transpose2d_weight(
    input: Array,
    weight_size: Sequence[int],
    grad_output: Array,
    stride: int | Pair = 1,
    padding: Padding = 0,
    output_padding: int | Pair = 0,
    groups: int = 1,
    dilation: int | Pair = 1,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Return the gradient of conv_transpose2d with respect to its weights.

    Parameters
    ----------
    input : ndarray (n, c, h, w) or (c, h, w)
        The input.
    weight_size : (c, o / groups, kh, kw), or (kh, kw, o / groups, c) with ``layout="NHWC"``
        Shape of the filters.
    grad_output : ndarray
        Gradient with respect to the result.
    stride, padding, output_padding, groups, dilation, layout
        As conv_transpose2d was called.
    out : ndarray, optional
        Where the gradient goes.

    Returns
    -------
    ndarray in the shape `weight_size`
        The gradient.

    Raises
    ------
    TypeError, ValueError
        As in functional.conv_transpose2d, and for sizes that do not belong together.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> x, g = np.float32([[[1, 2], [3, 4]]]), np.ones((1, 3, 3), np.float32)
    >>> grad.conv_transpose2d_weight(x, (1, 1, 2, 2), g)
    array([[[[10., 10.],
             [10., 10.]]]], dtype=float32)
    """
    options = (stride, padding, output_padding, groups, dilation, layout)
    return _weight(2, input, weight_size, grad_output, options, out)


def conv_transpose2d_bias(grad_output: Array, *, layout: Layout = "NCHW", out: Array | None = None) -> Array:
    """Return the gradient of conv_transpose2d with respect to its bias, which is conv2d_bias.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.conv_transpose2d_bias(np.ones((2, 2, 2), np.float32))
    array([4., 4.], dtype=float32)
    """
    return bias(2, grad_output, layout, out)


def conv_transpose3d_input(
    input_size: Sequence[int],
    weight: Array,
    grad_output: Array,
    stride: int | Triple = 1,
    padding: Padding3d = 0,
    output_padding: int | Triple = 0,
    groups: int = 1,
    dilation: int | Triple = 1,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Return the gradient of conv_transpose3d with respect to its input.

    Parameters
    ----------
    input_size : (n, c, d, h, w) or (c, d, h, w)
        Shape of the input, in the layout.
    weight : ndarray (c, o / groups, kd, kh, kw), or (kd, kh, kw, o / groups, c) with ``layout="NHWC"``
        The filters.
    grad_output : ndarray
        Gradient with respect to the result.
    stride, padding, output_padding, groups, dilation, layout
        As conv_transpose3d was called.
    out : ndarray, optional
        Where the gradient goes.

    Returns
    -------
    ndarray in the shape `input_size`
        The gradient.

    Raises
    ------
    TypeError, ValueError
        As in functional.conv_transpose3d, and for sizes that do not belong together.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> w, g = np.ones((1, 1, 2, 2, 2), np.float32), np.ones((1, 2, 2, 4), np.float32)
    >>> grad.conv_transpose3d_input((1, 1, 1, 2), w, g, stride=2)
    array([[[[8., 8.]]]], dtype=float32)
    """
    options = (stride, padding, output_padding, groups, dilation, layout)
    return _input(3, input_size, weight, grad_output, options, out)


def conv_transpose3d_weight(
    input: Array,
    weight_size: Sequence[int],
    grad_output: Array,
    stride: int | Triple = 1,
    padding: Padding3d = 0,
    output_padding: int | Triple = 0,
    groups: int = 1,
    dilation: int | Triple = 1,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Return the gradient of conv_transpose3d with respect to its weights.

    Parameters
    ----------
    input : ndarray (n, c, d, h, w) or (c, d, h, w)
        The input.
    weight_size : (c, o / groups, kd, kh, kw), or (kd, kh, kw, o / groups, c) with ``layout="NHWC"``
        Shape of the filters.
    grad_output : ndarray
        Gradient with respect to the result.
    stride, padding, output_padding, groups, dilation, layout
        As conv_transpose3d was called.
    out : ndarray, optional
        Where the gradient goes.

    Returns
    -------
    ndarray in the shape `weight_size`
        The gradient.

    Raises
    ------
    TypeError, ValueError
        As in functional.conv_transpose3d, and for sizes that do not belong together.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> x, g = np.float32([[[[1, 2]]]]), np.ones((1, 2, 2, 4), np.float32)
    >>> grad.conv_transpose3d_weight(x, (1, 1, 2, 2, 2), g, stride=2).sum()
    np.float32(24.0)
    """
    options = (stride, padding, output_padding, groups, dilation, layout)
    return _weight(3, input, weight_size, grad_output, options, out)


def conv_transpose3d_bias(grad_output: Array, *, layout: Layout = "NCHW", out: Array | None = None) -> Array:
    """Return the gradient of conv_transpose3d with respect to its bias, which is conv3d_bias.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.conv_transpose3d_bias(np.ones((2, 2, 2, 2), np.float32))
    array([8., 8.], dtype=float32)
    """
    return bias(3, grad_output, layout, out)


def _input(
    axes: int,
    input_size: Sequence[int],
    weight: object,
    grad_output: object,
    options: tuple[Any, ...],
    out: Array | None,
) -> Array:
    """Convolve: a transposed convolution's gradient is an ordinary one."""
    key = key_of("conv_transpose_input", axes, input_size, weight, grad_output, options)
    plan = _core.kept(key)
    if plan is not None:
        result = cast("_core.ConvPlan", plan).once(grad_output, weight, None, out)
        if result is not None:
            return result
    if _arguments.on_device(grad_output):
        return cuda.run("conv_transpose_input", axes, input_size, weight, grad_output, options, out)
    grad, w = _arguments.real("grad_output", grad_output), _arguments.strided("weight", weight)
    size = _arguments.sizes("input_size", input_size, (axes + 1, axes + 2))
    conv, longer = _arguments.conv_transpose(axes, size, w.shape, *options, names=("input_size", "weight"))
    _arguments.same_dtype("weight", w, ("grad_output", grad))
    made = _arguments.plan_conv(conv, _core.FORWARD, w.dtype)
    _arguments.has_shape("grad_output", grad, conv.input.shape(conv.layout, conv.input.channels, conv.input.spatial))
    if out is not None:
        out = _arguments.output(out, size, w.dtype, [("weight", weight), ("grad_output", grad_output)])
    plain = _arguments.plain("grad_output", grad)
    if any(longer):
        whole = _arguments.delivered(made.once(plain, w, None, None), None)
        return _arguments.delivered(whole[tuple(map(slice, size))].copy(), out)
    _core.keep_plan(key, made)
    result = made.once(plain, w, None, out)
    return _arguments.delivered(made.once(plain, w, None, None) if result is None else result, out)


def _weight(
    axes: int, input: object, weight_size: Sequence[int], grad_output: Any, options: tuple[Any, ...], out: Array | None
) -> Array:
    """Take the weights' gradient of the ordinary convolution that leads from the result back to the input."""
    key = key_of("conv_transpose_weight", axes, weight_size, input, grad_output, options)
    plan = _core.kept(key)
    if plan is not None:
        target = _core.empty(tuple(weight_size), grad_output.dtype) if out is None else out
        result = cast("_core.ConvPlan", plan).weight_grad(grad_output, input, target)
        if result is not None:
            return result
    if _arguments.on_device(input):
        return cuda.run("conv_transpose_weight", axes, input, weight_size, grad_output, options, out)
    x, grad = _arguments.real("input", input), _arguments.real("grad_output", grad_output)
    size = _arguments.sizes("weight_size", weight_size, (axes + 2,))
    conv, longer = _arguments.conv_transpose(axes, x.shape, size, *options, names=("input", "weight_size"))
    _arguments.same_dtype("input", x, ("grad_output", grad))
    made = _arguments.plan_conv(conv, _core.BACKWARD_WEIGHT, x.dtype.newbyteorder("="))
    _arguments.has_shape("grad_output", grad, conv.input.shape(conv.layout, conv.input.channels, conv.input.spatial))
    plain_x = _arguments.plain("input", _arguments.lengthened(x, conv.layout, longer))
    plain_grad = _arguments.plain("grad_output", grad)
    if out is not None:
        out = _arguments.output(out, size, plain_x.dtype, [("input", input), ("grad_output", grad_output)])
    if not any(longer):
        _core.keep_plan(key, made)
    result = None if out is None else made.weight_grad(plain_grad, plain_x, out)
    if result is None:
        result = made.weight_grad(plain_grad, plain_x, _core.empty(size, plain_x.dtype))
    return _arguments.delivered(result, out)
