"""Gradients of pools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from fastconv import _arguments, _core

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastconv._arguments import Array, Layout, Padding, Pair


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
