"""Gradients of the operators in ``fastconv.functional``, in the manner of ``torch.nn.grad``.

With L the loss, every function takes ``grad_output``, the gradient of L with respect to an operator's result, and
returns the gradient with respect to what its name says, or to the operator's input. Options are those that the operator
was called with; sizes are in the layout that is named. Arrays, `layout` and `out` are as in ``fastconv.functional``;
`out` is overwritten, never added to.

References
----------
https://docs.pytorch.org/docs/stable/nn.html#module-torch.nn.grad
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from fastconv import _arguments, _core
from fastconv._activation_gradients import (
    elu,
    gelu,
    hardsigmoid,
    hardswish,
    leaky_relu,
    log_softmax,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    softmax,
    softplus,
    tanh,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastconv._arguments import Array, Layout, Padding, Pair

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "avg_pool2d",
    "conv2d_bias",
    "conv2d_input",
    "conv2d_weight",
    "elu",
    "gelu",
    "hardsigmoid",
    "hardswish",
    "leaky_relu",
    "log_softmax",
    "max_pool2d",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
]


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


def max_pool2d(
    input: Array,
    grad_output: Array,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: Padding = 0,
    dilation: int | Pair = 1,
    ceil_mode: bool = False,
    *,
    layout: Layout = "NCHW",
    indices: Array | None = None,
    out: Array | None = None,
) -> Array:
    """Return the gradient of max_pool2d with respect to its input.

    Parameters
    ----------
    input : ndarray (n, c, h, w) or (c, h, w), or with the channels last
        The images.
    grad_output : ndarray (n, c, oh, ow), or (n, oh, ow, c)
        Gradient with respect to the maxima.
    kernel_size, stride, padding, dilation, ceil_mode, layout
        As max_pool2d was called.
    indices : ndarray of int64, in the shape of grad_output, optional
        What ``return_indices=True`` gave; without, the maxima are looked for again.
    out : ndarray, optional
        Where the gradient goes.

    Returns
    -------
    ndarray in the shape of input
        Each window's gradient at its maximum, added up.

    Raises
    ------
    TypeError, ValueError
        As in functional.conv2d, for sizes that do not belong together, and for an index outside the image.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.max_pool2d(np.float32([[[1, 3, 2, 1]]]), np.float32([[[5, 7]]]), (1, 2))
    array([[[0., 5., 7., 0.]]], dtype=float32)
    """
    ceil_word = _arguments.word("ceil_mode", ceil_mode)
    options = (kernel_size, stride, padding, dilation, ceil_word, layout)
    key, result = _kept_gradient("max_pool2d", getattr(input, "shape", ()), options, input, grad_output, indices, out)
    if result is not None:
        return result
    x = _arguments.real("input", input)
    pool = _arguments.pool2d(
        True, x.shape, kernel_size, stride, padding, dilation, layout, ceil_mode=bool(ceil_word)
    )  # fmt: skip
    return _pool_gradient(pool, key, x.shape, input, grad_output, indices, out)


def avg_pool2d(
    input_size: Sequence[int],
    grad_output: Array,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Return the gradient of avg_pool2d with respect to its input.

    Parameters
    ----------
    input_size : (n, c, h, w) or (c, h, w)
        Shape of the input, in the layout.
    grad_output : ndarray (n, c, oh, ow), or (n, oh, ow, c)
        Gradient with respect to the means.
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, layout
        As avg_pool2d was called.
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
    >>> grad.avg_pool2d((1, 1, 5), np.float32([[[2, 4]]]), (1, 2))
    array([[[1., 1., 2., 2., 0.]]], dtype=float32)
    """
    words = _arguments.word("ceil_mode", ceil_mode), _arguments.word("count_include_pad", count_include_pad)
    options = (kernel_size, stride, padding, *words, divisor_override, layout)
    key, result = _kept_gradient("avg_pool2d", input_size, options, None, grad_output, None, out)
    if result is not None:
        return result
    size = _arguments.sizes("input_size", input_size, (3, 4))
    pool = _arguments.pool2d(
        False,
        size,
        kernel_size,
        stride,
        padding,
        1,
        layout,
        ceil_mode=bool(words[0]),
        include_pad=bool(words[1]),
        divisor_override=divisor_override,
        name="input_size",
    )
    return _pool_gradient(pool, key, size, None, grad_output, None, out)


def adaptive_avg_pool2d(
    input_size: Sequence[int], grad_output: Array, *, layout: Layout = "NCHW", out: Array | None = None
) -> Array:
    """Return the gradient of adaptive_avg_pool2d with respect to its input.

    Parameters
    ----------
    input_size : (n, c, h, w) or (c, h, w)
        Shape of the input, in the layout.
    grad_output : ndarray (n, c, oh, ow), or (n, oh, ow, c)
        Gradient with respect to the means.
    layout : {"NCHW", "NHWC"}
        Order of the axes.
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
    >>> grad.adaptive_avg_pool2d((1, 2, 2), np.float32([[[8]]]))
    array([[[2., 2.],
            [2., 2.]]], dtype=float32)
    """
    key, result = _kept_gradient("adaptive_avg_pool2d", input_size, (layout,), None, grad_output, None, out)
    if result is not None:
        return result
    size = _arguments.sizes("input_size", input_size, (3, 4))
    pool = _adaptive(False, size, grad_output, layout, "input_size")
    return _pool_gradient(pool, key, size, None, grad_output, None, out)


def adaptive_max_pool2d(
    input: Array,
    grad_output: Array,
    *,
    layout: Layout = "NCHW",
    indices: Array | None = None,
    out: Array | None = None,
) -> Array:
    """Return the gradient of adaptive_max_pool2d with respect to its input.

    Parameters
    ----------
    input : ndarray (n, c, h, w) or (c, h, w), or with the channels last
        The images.
    grad_output : ndarray (n, c, oh, ow), or (n, oh, ow, c)
        Gradient with respect to the maxima.
    layout, indices, out
        As in max_pool2d.

    Returns
    -------
    ndarray in the shape of input
        The gradient.

    Raises
    ------
    TypeError, ValueError
        As in max_pool2d.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.adaptive_max_pool2d(np.float32([[[1, 2], [4, 3]]]), np.float32([[[8]]]))
    array([[[0., 0.],
            [8., 0.]]], dtype=float32)
    """
    size = getattr(input, "shape", ())
    key, result = _kept_gradient("adaptive_max_pool2d", size, (layout,), input, grad_output, indices, out)
    if result is not None:
        return result
    x = _arguments.real("input", input)
    pool = _adaptive(True, x.shape, grad_output, layout, "input")
    return _pool_gradient(pool, key, x.shape, input, grad_output, indices, out)


def _adaptive(
    maximum: bool, size: tuple[int, ...], grad_output: object, layout: object, name: Literal["input", "input_size"]
) -> _arguments.Pool2d:
    """Check an adaptive pooling whose output size is that of grad_output."""
    order = _arguments.layout_of(layout)
    _arguments.image(name, size, order)
    grad = _arguments.real("grad_output", grad_output)
    if grad.ndim != len(size):
        _arguments.wrong("grad_output", f"{len(size)} axes, as {name} has", f"shape {grad.shape}")
    spatial = grad.shape[-2:] if order == "NCHW" else grad.shape[-3:-1]
    return _arguments.adaptive_pool2d(maximum, size, spatial, order, name=name)


def _kept_gradient(
    name: str,
    size: Sequence[int],
    options: tuple[object, ...],
    x: object,
    grad_output: Array,
    indices: object,
    out: Array | None,
) -> tuple[tuple[object, ...], Array | None]:
    """Run the plan that is kept for these shapes and options, if there is one and the arrays are plain."""
    if type(grad_output) is not np.ndarray:
        return (name, grad_output), None
    key = (name, size, grad_output.shape, grad_output.dtype.char, *options)
    plan = _core.kept(key)
    if plan is None:
        return key, None
    target = _core.empty(tuple(size), grad_output.dtype) if out is None else out
    result = cast("_core.PoolPlan", plan).backward(x, indices, grad_output, target)
    return key, None if result is False else result


def _pool_gradient(
    pool: _arguments.Pool2d,
    key: tuple[object, ...],
    size: tuple[int, ...],
    x: object,
    grad_output: object,
    indices: object,
    out: object,
) -> Array:
    """Check what belongs together, and run."""
    grad = _arguments.plain("grad_output", grad_output)
    image = None if x is None else _arguments.plain("input", x)
    _arguments.same_dtype("grad_output", grad, ("input", image))
    empty = pool.dst is not None and 0 in pool.dst
    plan = None if empty else pool.plan(grad.dtype)
    dst = plan.dst if plan is not None else pool.dst
    shape = pool.input.shape(pool.layout, pool.input.channels, dst or (0, 0))
    _arguments.has_shape("grad_output", grad, shape)
    positions = None if indices is None else _arguments.positions("indices", indices, shape)
    target = None
    if out is not None:
        inputs = [("input", x), ("grad_output", grad_output), ("indices", indices)]
        target = _arguments.output(out, size, grad.dtype, inputs)
    if plan is None:
        return _arguments.delivered(np.zeros(size, grad.dtype), target)
    _core.keep_plan(key, plan)
    result = None if target is None else plan.backward(image, positions, grad, target)
    if result is None:
        result = plan.backward(image, positions, grad, _core.empty(size, grad.dtype))
    if result is False:
        last = pool.input.spatial[0] * pool.input.spatial[1] - 1
        given = np.asarray(positions)
        outside = given[(given < -1) | (given > last)]
        _arguments.wrong("indices", f"positions in [-1, {last}]", int(outside[0]))
    return _arguments.delivered(result, target)
