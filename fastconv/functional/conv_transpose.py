"""Transposed convolutions: the engine's gradients of the input, with a bias and an activation at their end."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from fastconv import _arguments, _core, cuda

if TYPE_CHECKING:
    from fastconv._arguments import Algorithm, Array, Layout, Padding, Padding1d, Padding3d, Pair, Triple


def conv_transpose1d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: int | tuple[int] = 1,
    padding: Padding1d = 0,
    output_padding: int | tuple[int] = 0,
    groups: int = 1,
    dilation: int | tuple[int] = 1,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
    activation: str | None = None,
    algorithm: Algorithm = "auto",
) -> Array:
    """Convolve sequences the other way round: conv_transpose2d with one spatial axis.

    Parameters
    ----------
    input : ndarray (n, c, l) or (c, l)
        Sequences; (n, l, c) or (l, c) with ``layout="NHWC"``.
    weight : ndarray (c, o / groups, k)
        Filters; (k, o / groups, c) with ``layout="NHWC"``.
    bias : ndarray (o,), optional
        Added to each output channel.
    stride, output_padding, dilation : int or (int,)
        As in conv_transpose2d.
    padding : int, (l,), ((left, right),), "valid", "same" or "same_lower"
        Positions cut off around the result.
    groups, layout, out, activation, algorithm
        As in conv_transpose2d.

    Returns
    -------
    ndarray
        In the layout of the input, and without n like it.

    Raises
    ------
    TypeError, ValueError
        As in conv_transpose2d.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.conv_transpose1d(np.float32([[1, 2]]), np.float32([[[1, 10, 100]]]), stride=2)
    array([[  1.,  10., 102.,  20., 200.]], dtype=float32)
    """
    options = (stride, padding, output_padding, groups, dilation, layout, activation, algorithm)
    return _transposed(1, input, weight, bias, options, out)


def conv_transpose2d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: int | Pair = 1,
    padding: Padding = 0,
    output_padding: int | Pair = 0,
    groups: int = 1,
    dilation: int | Pair = 1,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
    activation: str | None = None,
    algorithm: Algorithm = "auto",
) -> Array:
    """Convolve images the other way round: what the gradient of conv2d does to its output, as an operator of its own.

    Parameters
    ----------
    input : ndarray (n, c, h, w) or (c, h, w)
        Images; (n, h, w, c) or (h, w, c) with ``layout="NHWC"``.
    weight : ndarray (c, o / groups, kh, kw)
        Filters; (kh, kw, o / groups, c) with ``layout="NHWC"``, as Keras' Conv2DTranspose. Any strides are read in
        place.
    bias : ndarray (o,), optional
        Added to each output channel.
    stride, dilation : int or (int, int)
        Steps between the windows that are written, and between the taps of one.
    padding : int, (h, w), ((top, bottom), (left, right)), "valid", "same" or "same_lower"
        Positions cut off around the result. The words are Keras': "same" makes ``h * stride`` rows, "valid"
        ``(h - 1) * stride + max(kh, stride)``.
    output_padding : int or (int, int)
        Rows and columns added at the end of the result, fewer than the stride or the dilation; 0 with words.
    groups : int
        Output channels of group g see the input channels of group g alone.
    layout : {"NCHW", "NHWC"}
        Order of the axes.
    out : ndarray, optional
        Where the result goes.
    activation, algorithm
        As in conv2d.

    Returns
    -------
    ndarray (n, o, oh, ow)
        In the layout of the input, and without n like it;
        ``oh = (h - 1) * stride - top - bottom + (kh - 1) * dilation + output_padding + 1``.

    Raises
    ------
    TypeError
        For another dtype, a mixture of dtypes, or an option of the wrong type.
    ValueError
        For shapes that do not fit, and for padding that leaves nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.conv_transpose2d(np.float32([[[1, 2], [3, 4]]]), np.ones((1, 1, 2, 2), np.float32))
    array([[[ 1.,  3.,  2.],
            [ 4., 10.,  6.],
            [ 3.,  7.,  4.]]], dtype=float32)
    >>> x, w = np.zeros((7, 7, 16), np.float32), np.zeros((3, 3, 8, 16), np.float32)
    >>> F.conv_transpose2d(x, w, stride=2, padding="same", layout="NHWC").shape
    (14, 14, 8)
    """
    options = (stride, padding, output_padding, groups, dilation, layout, activation, algorithm)
    return _transposed(2, input, weight, bias, options, out)


def conv_transpose3d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: int | Triple = 1,
    padding: Padding3d = 0,
    output_padding: int | Triple = 0,
    groups: int = 1,
    dilation: int | Triple = 1,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
    activation: str | None = None,
    algorithm: Algorithm = "auto",
) -> Array:
    """Convolve volumes the other way round: conv_transpose2d with three spatial axes.

    Parameters
    ----------
    input : ndarray (n, c, d, h, w) or (c, d, h, w)
        Volumes; (n, d, h, w, c) or (d, h, w, c) with ``layout="NHWC"``.
    weight : ndarray (c, o / groups, kd, kh, kw)
        Filters; (kd, kh, kw, o / groups, c) with ``layout="NHWC"``.
    bias : ndarray (o,), optional
        Added to each output channel.
    stride, output_padding, dilation : int or (int, int, int)
        As in conv_transpose2d.
    padding : int, (d, h, w), ((front, back), (top, bottom), (left, right)), "valid", "same" or "same_lower"
        Positions cut off around the result.
    groups, layout, out, activation, algorithm
        As in conv_transpose2d.

    Returns
    -------
    ndarray
        In the layout of the input, and without n like it.

    Raises
    ------
    TypeError, ValueError
        As in conv_transpose2d.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> x, w = np.ones((2, 3, 4, 5), np.float32), np.ones((2, 6, 2, 2, 2), np.float32)
    >>> F.conv_transpose3d(x, w, stride=2).shape
    (6, 6, 8, 10)
    """
    options = (stride, padding, output_padding, groups, dilation, layout, activation, algorithm)
    return _transposed(3, input, weight, bias, options, out)


def _transposed(
    axes: int, input: object, weight: object, bias: object, options: tuple[object, ...], out: object
) -> Array:
    """Run the plan that is kept for these shapes and options, or check everything and make one."""
    key = ("conv_transpose", axes)
    if type(input) is np.ndarray and type(weight) is np.ndarray:
        key = (*key, input.shape[-axes - 1 :], weight.shape, weight.dtype.char, *options)
        plan = _core.kept(key)
        if plan is not None:
            result = cast("_core.ConvPlan", plan).once(input, weight, bias, out)
            if result is not None:
                return result
    return _checked(axes, input, weight, bias, options, out, key)


def _checked(
    axes: int,
    input: object,
    weight: object,
    bias: object,
    options: tuple[object, ...],
    out: object,
    key: tuple[object, ...],
) -> Array:
    """Check everything, make the arrays plain, keep the plan."""
    if _arguments.on_device(input):
        return cuda.run("conv_transpose", axes, input, weight, bias, options, out)
    *numbers, activation, algorithm = options
    x, w = _arguments.real("input", input), _arguments.strided("weight", weight)
    conv, longer = _arguments.conv_transpose(axes, x.shape, w.shape, *numbers)
    b = _arguments.vector("bias", bias, conv.input.channels)
    _arguments.same_dtype("input", x, ("weight", w), ("bias", b))
    plan = _arguments.plan_conv(conv, _core.BACKWARD_INPUT, w.dtype, algorithm=algorithm, activation=activation)
    if out is not None:
        shape = conv.input.shape(conv.layout, conv.input.channels, conv.input.spatial)
        out = _arguments.output(out, shape, w.dtype, [("input", input), ("weight", weight), ("bias", bias)])
    if not any(longer):
        _core.keep_plan(key, plan)
    plain = _arguments.plain("input", _arguments.lengthened(x, conv.layout, longer))
    result = plan.once(plain, w, b, out)
    return _arguments.delivered(plan.once(plain, w, b, None) if result is None else result, out)
