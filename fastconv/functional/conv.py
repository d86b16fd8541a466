"""Convolutions over one, two and three spatial axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastconv import _arguments, _core, cuda

if TYPE_CHECKING:
    from fastconv._arguments import (
        Algorithm,
        Array,
        Layout,
        Padding,
        Padding1d,
        Padding3d,
        PaddingMode,
        Pair,
        Triple,
    )


def conv1d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: int | tuple[int] = 1,
    padding: Padding1d = 0,
    dilation: int | tuple[int] = 1,
    groups: int = 1,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
    activation: str | None = None,
    padding_mode: PaddingMode = "zeros",
    algorithm: Algorithm = "auto",
) -> Array:
    """Convolve sequences with filters: conv2d with one spatial axis.

    Parameters
    ----------
    input : ndarray (n, c, l) or (c, l)
        Sequences; (n, l, c) or (l, c) with ``layout="NHWC"``.
    weight : ndarray (o, c / groups, k)
        Filters; (k, c / groups, o) with ``layout="NHWC"``.
    bias : ndarray (o,), optional
        Added to each output channel.
    stride, dilation : int or (int,)
        Steps between windows, and between the taps of one.
    padding : int, (l,), ((left, right),), "valid", "same" or "same_lower"
        Positions added at the ends.
    groups, layout, out, activation, padding_mode, algorithm
        As in conv2d.

    Returns
    -------
    ndarray (n, o, ol)
        In the layout of the input, and without n like it.

    Raises
    ------
    TypeError, ValueError
        As in conv2d.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.conv1d(np.float32([[1, 2, 4, 8]]), np.float32([[[1, -1]]]), padding=((1, 0),))
    array([[-1., -1., -2., -4.]], dtype=float32)
    """
    options = (stride, padding, dilation, groups, layout, activation, algorithm)
    if padding_mode == "zeros":
        result = _core.conv(1, input, weight, bias, options, out, None)
        if result is not None:
            return result
    return _conv(1, input, weight, bias, options, padding_mode, out)


def conv2d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: int | Pair = 1,
    padding: Padding = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
    activation: str | None = None,
    padding_mode: PaddingMode = "zeros",
    algorithm: Algorithm = "auto",
) -> Array:
    """Convolve images with filters (a cross-correlation, as in torch and Keras).

    Parameters
    ----------
    input : ndarray (n, c, h, w) or (c, h, w)
        Images; (n, h, w, c) or (h, w, c) with ``layout="NHWC"``.
    weight : ndarray (o, c / groups, kh, kw)
        Filters; (kh, kw, c / groups, o) with ``layout="NHWC"``. Any strides are read in place.
    bias : ndarray (o,), optional
        Added to each output channel.
    stride, dilation : int or (int, int)
        Steps between windows, and between the taps of one.
    padding : int, (h, w), ((top, bottom), (left, right)), "valid", "same" or "same_lower"
        Positions added around the image. "same" makes ``ceil(h / stride)`` rows at any stride and puts an odd
        position at the end, "same_lower" at the beginning.
    groups : int
        Output channels of group g see the input channels of group g alone.
    layout : {"NCHW", "NHWC"}
        Order of the axes.
    out : ndarray, optional
        Where the result goes.
    activation : str, optional
        Applied to the result while it is in registers: "relu", "relu6", "leaky_relu", "elu", "selu", "tanh",
        "sigmoid", "hardsigmoid", "hardswish", "silu", "gelu", "gelu_tanh", "softplus", "exp" or "linear".
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        What the added positions hold, with torch's limits: reflected ones reach less than the image's extent,
        circular ones at most that far.
    algorithm : {"auto", "direct", "im2col", "winograd"}
        "auto" chooses by shape.

    Returns
    -------
    ndarray (n, o, oh, ow)
        In the layout of the input, and without n like it;
        ``oh = floor((h + top + bottom - (kh - 1) * dilation - 1) / stride) + 1``.

    Raises
    ------
    TypeError
        For another dtype, a mixture of dtypes, or an option of the wrong type.
    ValueError
        For shapes that do not fit, a kernel that reaches past the padded image, or an algorithm that cannot serve it.

    Examples
    --------
    A vertical edge, found by the filter 1 0 -1:

    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> image = np.repeat(np.float32([[10, 10, 10, 0, 0, 0]]), 6, axis=0)
    >>> edge = np.repeat(np.float32([[1, 0, -1]]), 3, axis=0)
    >>> F.conv2d(image[None, None], edge[None, None])[0, 0]
    array([[ 0., 30., 30.,  0.],
           [ 0., 30., 30.,  0.],
           [ 0., 30., 30.,  0.],
           [ 0., 30., 30.,  0.]], dtype=float32)

    Extents: "same" keeps 32 x 32 x 3 at 32 x 32 with 12 filters; 40 filters of 5 x 5 make 124 x 124 of 128 x 128;
    5 x 5 by 3 x 3 is 3 x 3, or 5 x 5 with "same".

    >>> x, w = np.zeros((32, 32, 3), np.float32), np.zeros((3, 3, 3, 12), np.float32)
    >>> F.conv2d(x, w, padding="same", layout="NHWC").shape
    (32, 32, 12)
    >>> x, w = np.zeros((128, 128, 3), np.float32), np.zeros((5, 5, 3, 40), np.float32)
    >>> F.conv2d(x, w, layout="NHWC").shape
    (124, 124, 40)
    >>> x, w = np.zeros((1, 5, 5), np.float32), np.zeros((1, 1, 3, 3), np.float32)
    >>> F.conv2d(x, w).shape, F.conv2d(x, w, padding="same").shape
    ((1, 3, 3), (1, 5, 5))

    A stride that does not divide, an image that is not square, padding on one side alone:
    floor((7 - 3 + 0) / 3) + 1 = 2 and floor((10 - 3 + 2) / 2) + 1 = 5.

    >>> x = np.zeros((1, 7, 10), np.float32)
    >>> F.conv2d(x, w, stride=(3, 2), padding=((0, 0), (2, 0))).shape
    (1, 2, 5)
    """
    options = (stride, padding, dilation, groups, layout, activation, algorithm)
    if padding_mode == "zeros":
        result = _core.conv(2, input, weight, bias, options, out, None)
        if result is not None:
            return result
    return _conv(2, input, weight, bias, options, padding_mode, out)


def conv3d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: int | Triple = 1,
    padding: Padding3d = 0,
    dilation: int | Triple = 1,
    groups: int = 1,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
    activation: str | None = None,
    padding_mode: PaddingMode = "zeros",
    algorithm: Algorithm = "auto",
) -> Array:
    """Convolve volumes with filters: conv2d with three spatial axes.

    Parameters
    ----------
    input : ndarray (n, c, d, h, w) or (c, d, h, w)
        Volumes; (n, d, h, w, c) or (d, h, w, c) with ``layout="NHWC"``.
    weight : ndarray (o, c / groups, kd, kh, kw)
        Filters; (kd, kh, kw, c / groups, o) with ``layout="NHWC"``.
    bias : ndarray (o,), optional
        Added to each output channel.
    stride, dilation : int or (int, int, int)
        Steps between windows, and between the taps of one.
    padding : int, (d, h, w), ((front, back), (top, bottom), (left, right)), "valid", "same" or "same_lower"
        Positions added around the volume.
    groups, layout, out, activation, padding_mode, algorithm
        As in conv2d.

    Returns
    -------
    ndarray (n, o, od, oh, ow)
        In the layout of the input, and without n like it.

    Raises
    ------
    TypeError, ValueError
        As in conv2d.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> x, w = np.ones((1, 3, 4, 5), np.float32), np.ones((1, 1, 2, 2, 2), np.float32)
    >>> F.conv3d(x, w, stride=2)
    array([[[[8., 8.],
             [8., 8.]]]], dtype=float32)
    """
    options = (stride, padding, dilation, groups, layout, activation, algorithm)
    if padding_mode == "zeros":
        result = _core.conv(3, input, weight, bias, options, out, None)
        if result is not None:
            return result
    return _conv(3, input, weight, bias, options, padding_mode, out)


def _conv(
    axes: int,
    input: object,
    weight: object,
    bias: object,
    options: tuple[object, ...],
    padding_mode: object,
    out: object,
) -> Array:
    """Check everything, make the arrays plain, keep the plan."""
    if _arguments.on_device(input):
        return cuda.run("conv", axes, input, weight, bias, options, padding_mode, out)
    stride, padding, dilation, groups, layout, activation, algorithm = options
    x, w = _arguments.real("input", input), _arguments.strided("weight", weight)
    conv = _arguments.conv(axes, x.shape, w.shape, stride, padding, dilation, groups, layout)
    b = _arguments.vector("bias", bias, conv.oc)
    _arguments.same_dtype("input", x, ("weight", w), ("bias", b))
    mode = _arguments.choice("padding_mode", padding_mode, ("zeros", *_arguments.PAD_MODES))
    algorithm = _arguments.choice("algorithm", algorithm, _core.ALGORITHMS)
    activation = _arguments.activation_name(activation)
    if mode != "zeros":
        x = _arguments.pad(x, conv, mode)
        options = (stride, 0, dilation, groups, layout, activation, algorithm)
        conv = _arguments.conv(axes, x.shape, w.shape, stride, 0, dilation, groups, layout)

    def make() -> _core.ConvPlan:
        return _arguments.plan_conv(conv, _core.FORWARD, w.dtype, algorithm=algorithm, activation=activation)

    if out is not None:
        shape = conv.input.shape(conv.layout, conv.oc, make().dst)
        out = _arguments.output(out, shape, w.dtype, [("input", input), ("weight", weight), ("bias", bias)])
    plain = _arguments.plain("input", x)
    canonical = (conv.stride, conv.padding, conv.dilation, conv.groups, conv.layout, activation, algorithm)
    for key, target in ((options, out), (canonical, out), (canonical, None)):
        result = _core.conv(axes, plain, w, b, key, target, make)
        if result is not None:
            break
    return _arguments.delivered(result, out)
