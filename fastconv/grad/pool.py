"""Gradients of pools."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from fastconv import _arguments, _core, cuda

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastconv._arguments import Array, Layout, Padding, Padding1d, Padding3d, Pair, Triple


def max_pool1d(
    input: Array,
    grad_output: Array,
    kernel_size: int | tuple[int],
    stride: int | tuple[int] | None = None,
    padding: Padding1d = 0,
    dilation: int | tuple[int] = 1,
    ceil_mode: bool = False,
    *,
    layout: Layout = "NCHW",
    indices: Array | None = None,
    out: Array | None = None,
) -> Array:
    """Return the gradient of max_pool1d with respect to its input: max_pool2d with one spatial axis.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.max_pool1d(np.float32([[1, 3, 2, 1]]), np.float32([[5, 7]]), 2)
    array([[0., 5., 7., 0.]], dtype=float32)
    """
    options = (kernel_size, stride, padding, dilation, _arguments.word("ceil_mode", ceil_mode), layout)
    return _maximum(1, input, grad_output, options, indices, out)


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
    options = (kernel_size, stride, padding, dilation, _arguments.word("ceil_mode", ceil_mode), layout)
    return _maximum(2, input, grad_output, options, indices, out)


def max_pool3d(
    input: Array,
    grad_output: Array,
    kernel_size: int | Triple,
    stride: int | Triple | None = None,
    padding: Padding3d = 0,
    dilation: int | Triple = 1,
    ceil_mode: bool = False,
    *,
    layout: Layout = "NCHW",
    indices: Array | None = None,
    out: Array | None = None,
) -> Array:
    """Return the gradient of max_pool3d with respect to its input: max_pool2d with three spatial axes.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> x = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2)
    >>> grad.max_pool3d(x, np.float32([[[[5]]]]), 2)[0, 1]
    array([[0., 0.],
           [0., 5.]], dtype=float32)
    """
    options = (kernel_size, stride, padding, dilation, _arguments.word("ceil_mode", ceil_mode), layout)
    return _maximum(3, input, grad_output, options, indices, out)


def avg_pool1d(
    input_size: Sequence[int],
    grad_output: Array,
    kernel_size: int | tuple[int],
    stride: int | tuple[int] | None = None,
    padding: Padding1d = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Return the gradient of avg_pool1d with respect to its input: avg_pool2d with one spatial axis.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.avg_pool1d((1, 5), np.float32([[2, 4]]), 2)
    array([[1., 1., 2., 2., 0.]], dtype=float32)
    """
    words = _arguments.word("ceil_mode", ceil_mode), _arguments.word("count_include_pad", count_include_pad)
    options = (kernel_size, stride, padding, *words, None, layout)
    return _average(1, input_size, grad_output, options, out)


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
    return _average(2, input_size, grad_output, options, out)


def avg_pool3d(
    input_size: Sequence[int],
    grad_output: Array,
    kernel_size: int | Triple,
    stride: int | Triple | None = None,
    padding: Padding3d = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Return the gradient of avg_pool3d with respect to its input: avg_pool2d with three spatial axes.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.avg_pool3d((1, 1, 2, 2), np.float32([[[[4]]]]), (1, 2, 2))
    array([[[[1., 1.],
             [1., 1.]]]], dtype=float32)
    """
    words = _arguments.word("ceil_mode", ceil_mode), _arguments.word("count_include_pad", count_include_pad)
    options = (kernel_size, stride, padding, *words, divisor_override, layout)
    return _average(3, input_size, grad_output, options, out)


def adaptive_avg_pool1d(
    input_size: Sequence[int], grad_output: Array, *, layout: Layout = "NCHW", out: Array | None = None
) -> Array:
    """Return the gradient of adaptive_avg_pool1d with respect to its input: adaptive_avg_pool2d with one spatial axis.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.adaptive_avg_pool1d((1, 5), np.float32([[3, 6]]))
    array([[1., 1., 3., 2., 2.]], dtype=float32)
    """
    return _adaptive_average(1, input_size, grad_output, layout, out)


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
    return _adaptive_average(2, input_size, grad_output, layout, out)


def adaptive_avg_pool3d(
    input_size: Sequence[int], grad_output: Array, *, layout: Layout = "NCHW", out: Array | None = None
) -> Array:
    """Return the gradient of adaptive_avg_pool3d with respect to its input, along three spatial axes.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.adaptive_avg_pool3d((1, 1, 2, 2), np.float32([[[[8]]]]))
    array([[[[2., 2.],
             [2., 2.]]]], dtype=float32)
    """
    return _adaptive_average(3, input_size, grad_output, layout, out)


def adaptive_max_pool1d(
    input: Array,
    grad_output: Array,
    *,
    layout: Layout = "NCHW",
    indices: Array | None = None,
    out: Array | None = None,
) -> Array:
    """Return the gradient of adaptive_max_pool1d with respect to its input: adaptive_max_pool2d with one spatial axis.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> grad.adaptive_max_pool1d(np.float32([[1, 5, 3, 4, 2]]), np.float32([[10, 20]]))
    array([[ 0., 10.,  0., 20.,  0.]], dtype=float32)
    """
    return _adaptive_maximum(1, input, grad_output, layout, indices, out)


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
    return _adaptive_maximum(2, input, grad_output, layout, indices, out)


def adaptive_max_pool3d(
    input: Array,
    grad_output: Array,
    *,
    layout: Layout = "NCHW",
    indices: Array | None = None,
    out: Array | None = None,
) -> Array:
    """Return the gradient of adaptive_max_pool3d with respect to its input, along three spatial axes.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import grad
    >>> x = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2)
    >>> grad.adaptive_max_pool3d(x, np.float32([[[[5]]]]))[0, 1]
    array([[0., 0.],
           [0., 5.]], dtype=float32)
    """
    return _adaptive_maximum(3, input, grad_output, layout, indices, out)


def _maximum(
    axes: int,
    input: Array,
    grad_output: Array,
    options: tuple[Any, ...],
    indices: object,
    out: Array | None,
) -> Array:
    name = f"max_pool{axes}d"
    key, result = _kept(name, getattr(input, "shape", ()), options, input, grad_output, indices, out)
    if result is not None:
        return result
    kernel, stride, padding, dilation, ceil_word, layout = options
    if _arguments.on_device(grad_output):
        told = ("max", kernel, stride, padding, dilation, layout, ceil_word, "", None)
        return cuda.run("pool_backward", axes, "max", None, input, grad_output, told, indices, out)
    x = _arguments.real("input", input)
    pool = _arguments.pool(
        axes, True, x.shape, kernel, stride, padding, dilation, layout, ceil_mode=bool(ceil_word)
    )  # fmt: skip
    return _checked(pool, key, x.shape, input, grad_output, indices, out)


def _average(
    axes: int, input_size: Sequence[int], grad_output: Array, options: tuple[Any, ...], out: Array | None
) -> Array:
    key, result = _kept(f"avg_pool{axes}d", input_size, options, None, grad_output, None, out)
    if result is not None:
        return result
    kernel, stride, padding, ceil_word, pad_word, divisor, layout = options
    if _arguments.on_device(grad_output):
        told = ("avg", kernel, stride, padding, 1, layout, ceil_word, pad_word, divisor)
        return cuda.run("pool_backward", axes, "avg", input_size, None, grad_output, told, None, out)
    size = _arguments.sizes("input_size", input_size, (axes + 1, axes + 2))
    pool = _arguments.pool(
        axes,
        False,
        size,
        kernel,
        stride,
        padding,
        1,
        layout,
        ceil_mode=bool(ceil_word),
        include_pad=bool(pad_word),
        divisor_override=divisor,
        name="input_size",
    )
    return _checked(pool, key, size, None, grad_output, None, out)


def _adaptive_average(
    axes: int, input_size: Sequence[int], grad_output: Array, layout: object, out: Array | None
) -> Array:
    key, result = _kept(f"adaptive_avg_pool{axes}d", input_size, (layout,), None, grad_output, None, out)
    if result is not None:
        return result
    if _arguments.on_device(grad_output):
        return cuda.run(
            "pool_backward", axes, "adaptive avg", input_size, None, grad_output, (layout,), None, out
        )  # fmt: skip
    size = _arguments.sizes("input_size", input_size, (axes + 1, axes + 2))
    pool = _adaptive(axes, False, size, grad_output, layout, "input_size")
    return _checked(pool, key, size, None, grad_output, None, out)


def _adaptive_maximum(
    axes: int, input: Array, grad_output: Array, layout: object, indices: object, out: Array | None
) -> Array:
    size = getattr(input, "shape", ())
    key, result = _kept(f"adaptive_max_pool{axes}d", size, (layout,), input, grad_output, indices, out)
    if result is not None:
        return result
    if _arguments.on_device(grad_output):
        return cuda.run("pool_backward", axes, "adaptive max", None, input, grad_output, (layout,), indices, out)
    x = _arguments.real("input", input)
    pool = _adaptive(axes, True, x.shape, grad_output, layout, "input")
    return _checked(pool, key, x.shape, input, grad_output, indices, out)


def _adaptive(
    axes: int,
    maximum: bool,
    size: tuple[int, ...],
    grad_output: object,
    layout: object,
    name: Literal["input", "input_size"],
) -> _arguments.Pool:
    """Check an adaptive pooling whose output size is that of grad_output."""
    order = _arguments.layout_of(layout)
    _arguments.image(name, size, order, axes)
    grad = _arguments.real("grad_output", grad_output)
    if grad.ndim != len(size):
        _arguments.wrong("grad_output", f"{len(size)} axes, as {name} has", f"shape {grad.shape}")
    spatial = tuple(grad.shape[axis] for axis in _arguments.spatial_axes(grad.ndim, order, axes))
    return _arguments.adaptive_pool(axes, maximum, size, spatial, order, name=name)


def _kept(
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


def _checked(
    pool: _arguments.Pool,
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
    shape = pool.input.shape(pool.layout, pool.input.channels, dst or ())
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
        last = math.prod(pool.input.spatial) - 1
        given = np.asarray(positions)
        outside = given[(given < -1) | (given > last)]
        _arguments.wrong("indices", f"positions in [-1, {last}]", int(outside[0]))
    return _arguments.delivered(result, target)
