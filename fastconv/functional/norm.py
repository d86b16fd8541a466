"""Normalisation over a batch, images, groups of channels and layers, and by neighbouring channels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastconv import _arguments, _core, cuda
from fastconv.functional.avg_pool import avg_pool3d

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastconv._arguments import Array, Layout


class Norm(NamedTuple):
    """What is normalised: a kind of `_core.NORMS`, and the array as images of channels of pixels."""

    kind: str
    layout: str
    n: int
    channels: int
    groups: int
    pixels: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The same for the engine."""
        return (_core.NORMS[self.kind], _core.LAYOUTS[self.layout], self.n, self.channels, self.groups, self.pixels)

    @property
    def sets(self) -> int:
        """How many sets of values have a mean of their own."""
        return {"batch": self.channels, "instance": self.n * self.channels, "group": self.n * self.groups}[self.kind]

    @property
    def values(self) -> int:
        """How many values each set has."""
        return self.n * self.channels * self.pixels // max(self.sets, 1)


def norm_of(kind: str, x: Array, layout: object, least: int, groups: int = 1) -> Norm:
    """Take an array of at least `least` axes apart."""
    named = _arguments.layout_of(layout)
    axes = "(n, c, ...)" if named == "NCHW" else "(n, ..., c)"
    if x.ndim < least:
        _arguments.wrong("input", f"at least {least} axes {axes}", f"shape {x.shape}")
    channels = x.shape[1] if named == "NCHW" else x.shape[-1]
    spatial = x.shape[2:] if named == "NCHW" else x.shape[1:-1]
    return Norm(kind, named, x.shape[0], channels, groups, math.prod(spatial))


def statistics(norm: Norm, x: Array) -> tuple[Array, Array]:
    """Return each set's mean and biased variance in float64."""
    mean, variance = np.empty(norm.sets), np.empty(norm.sets)
    _core.norm_statistics(norm.shape, x, mean, variance)
    return mean, variance


def checked(norm: Norm, x: Array, **vectors: object) -> list[Array | None]:
    """Return optional vectors of one value per channel, plain and of the input's dtype."""
    found = [_arguments.vector(name, value, norm.channels) for name, value in vectors.items()]
    _arguments.same_dtype("input", x, *zip(vectors, found, strict=True))
    return found


def normalised(
    norm: Norm,
    eps: object,
    input: object,
    x: Array,
    given: tuple[Array, Array],
    weight: Array | None,
    bias: Array | None,
    out: object,
) -> Array:
    """Return (x - mean) / sqrt(variance + eps) * weight + bias."""
    target, result = destination(x, [("input", input), ("weight", weight), ("bias", bias)], out)
    if x.size:
        _core.norm_run(norm.shape, _arguments.number("eps", eps), 0, x, *given, weight, bias, result)
    return _arguments.delivered(result, target)


def destination(x: Array, inputs: list[tuple[str, object]], out: object) -> tuple[Array | None, Array]:
    """Return the caller's `out`, checked, and where the engine writes."""
    target = None if out is None else _arguments.output(out, x.shape, x.dtype, inputs)
    usable = target is not None and type(target) is np.ndarray and target.flags.c_contiguous and target.flags.aligned
    if target is not None and usable and target.dtype.isnative:
        return target, target
    return target, _core.empty(x.shape, x.dtype)


def running(name: str, value: object, norm: Norm, x: Array, written: bool) -> Array:
    """Return a running statistic, an array (c,) that may be written to."""
    array = _arguments.real(name, value)
    _arguments.has_shape(name, array, (norm.channels,))
    _arguments.same_dtype("input", x, (name, array))
    if written and not array.flags.writeable:
        _arguments.wrong(name, "a writable array", "a read-only one")
    return array


def move(average: Array | None, now: Array, momentum: float) -> None:
    """Move a running average towards what is seen now."""
    if average is not None:
        average[...] = (1 - momentum) * average + momentum * now


def averages(
    norm: Norm, x: Array, running_mean: object, running_var: object, used: bool
) -> tuple[Array | None, Array | None]:
    """Check the two running statistics, which are written in training and needed (used) otherwise."""
    found: list[Array | None] = []
    for name, value in (("running_mean", running_mean), ("running_var", running_var)):
        if value is None and used:
            _arguments.wrong(name, f"an array ({norm.channels},) unless the input's own statistics are used", None)
        found.append(None if value is None else running(name, value, norm, x, not used))
    return found[0], found[1]


def batch_norm(
    input: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None = None,
    bias: Array | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Normalise each channel by its mean and variance over the batch and all pixels.

    Parameters
    ----------
    input : ndarray (n, c, ...), or (n, ..., c)
        At least two axes.
    running_mean, running_var : ndarray (c,), optional
        What is used without `training`. In training they are moved, in place, towards the batch's mean and unbiased
        variance.
    weight, bias : ndarray (c,), optional
        What the normalised values are multiplied by, and what is added.
    training : bool
        Use the batch's own statistics.
    momentum : float
        Weight of the batch in the running statistics.
    eps : float
        Added to the variance.
    layout, out
        As in conv2d.

    Returns
    -------
    ndarray in the shape of input
        ``(x - mean) / sqrt(variance + eps) * weight + bias``.

    Raises
    ------
    TypeError, ValueError
        As in conv2d; in training also for channels of a single value.

    References
    ----------
    Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing internal covariate shift",
    2015.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.batch_norm(np.float32([[1, 5], [3, 5]]), None, None, training=True).round(3)
    array([[-1.,  0.],
           [ 1.,  0.]], dtype=float32)
    """
    if _arguments.on_device(input):
        told = (weight, bias, training, momentum, eps, layout, out)
        return cuda.run("batch_norm", input, running_mean, running_var, *told)
    x = _arguments.plain("input", input)
    norm = norm_of("batch", x, layout, 2)
    own = _arguments.flag("training", training)
    rate = _arguments.number("momentum", momentum)
    means, variances = averages(norm, x, running_mean, running_var, not own)
    w, b = checked(norm, x, weight=weight, bias=bias)
    if not own:
        assert means is not None
        assert variances is not None
        return normalised(norm, eps, input, x, (in_double(means), in_double(variances)), w, b, out)
    if norm.values == 1:
        _arguments.wrong("input", "more than 1 value per channel when training", f"shape {x.shape}")
    if not x.size:
        return normalised(norm, eps, input, x, (np.zeros(norm.sets), np.zeros(norm.sets)), w, b, out)
    mean, variance = statistics(norm, x)
    result = normalised(norm, eps, input, x, (mean, variance), w, b, out)
    move(means, mean, rate)
    move(variances, variance * (norm.values / (norm.values - 1)), rate)
    return result


def in_double(array: Array) -> Array:
    """Return a plain float64 array of the same values."""
    return np.ascontiguousarray(array, np.float64)


def instance_norm(
    input: Array,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    weight: Array | None = None,
    bias: Array | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Normalise each channel of each image by its mean and variance over the pixels.

    Arguments as in batch_norm, with `use_input_stats` for `training`; the input has at least three axes, and the
    running statistics move towards the mean of the images'.

    References
    ----------
    Ulyanov, Vedaldi and Lempitsky, "Instance normalization: the missing ingredient for fast stylization", 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.instance_norm(np.float32([[[1, 3], [5, 9]]])).round(3)
    array([[[-1.,  1.],
            [-1.,  1.]]], dtype=float32)
    """
    x = _arguments.plain("input", input)
    own = _arguments.flag("use_input_stats", use_input_stats)
    norm = norm_of("instance" if own else "batch", x, layout, 3)
    rate = _arguments.number("momentum", momentum)
    means, variances = averages(norm, x, running_mean, running_var, not own)
    w, b = checked(norm, x, weight=weight, bias=bias)
    if not own:
        assert means is not None
        assert variances is not None
        return normalised(norm, eps, input, x, (in_double(means), in_double(variances)), w, b, out)
    if norm.pixels == 1:
        _arguments.wrong("input", "more than 1 pixel when its own statistics are used", f"shape {x.shape}")
    if not x.size:
        return normalised(norm, eps, input, x, (np.zeros(0), np.zeros(0)), w, b, out)
    mean, variance = statistics(norm, x)
    result = normalised(norm, eps, input, x, (mean, variance), w, b, out)
    each = (norm.n, norm.channels)
    move(means, mean.reshape(each).mean(0), rate)
    move(variances, variance.reshape(each).mean(0) * (norm.pixels / (norm.pixels - 1)), rate)
    return result


def group_norm(
    input: Array,
    num_groups: int,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Normalise each image's groups of neighbouring channels by their mean and variance.

    Parameters
    ----------
    input : ndarray (n, c, ...), or (n, ..., c)
        At least two axes.
    num_groups : int
        A divisor of c.
    weight, bias, eps, layout, out
        As in batch_norm.

    Returns
    -------
    ndarray in the shape of input
        The result.

    Raises
    ------
    TypeError, ValueError
        As in batch_norm, and for groups that do not divide the channels.

    References
    ----------
    Wu and He, "Group normalization", 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.group_norm(np.float32([[1, 3, 5, 9]]), 2).round(3)
    array([[-1.,  1., -1.,  1.]], dtype=float32)
    """
    x, norm = group_norm_of(input, num_groups, layout)
    w, b = checked(norm, x, weight=weight, bias=bias)
    given = statistics(norm, x) if x.size else (np.zeros(norm.sets), np.zeros(norm.sets))
    return normalised(norm, eps, input, x, given, w, b, out)


def group_norm_of(input: object, num_groups: object, layout: object) -> tuple[Array, Norm]:
    """Check what group_norm and its gradient take."""
    x = _arguments.plain("input", input)
    groups = _arguments.integer("num_groups", num_groups, 1)
    norm = norm_of("group", x, layout, 2, groups)
    if norm.channels % groups:
        _arguments.wrong("num_groups", f"a divisor of the {norm.channels} channels", groups)
    if norm.n * norm.channels // groups * norm.pixels == 1:
        _arguments.wrong("input", "more than 1 value per channel when training", f"shape {x.shape}")
    return x, norm


def layer_norm(
    input: Array,
    normalized_shape: int | Sequence[int],
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
    *,
    out: Array | None = None,
) -> Array:
    """Normalise by mean and variance over the last axes.

    Parameters
    ----------
    input : ndarray (..., *normalized_shape)
        Any number of axes before.
    normalized_shape : int or sequence of int
        The extents of the axes that are normalised together.
    weight, bias : ndarray (*normalized_shape), optional
        What the normalised values are multiplied by, and what is added.
    eps : float
        Added to the variance.
    out : ndarray, optional
        Where the result goes.

    Returns
    -------
    ndarray in the shape of input
        The result.

    Raises
    ------
    TypeError, ValueError
        As in conv2d, and for an input that does not end in `normalized_shape`.

    References
    ----------
    Ba, Kiros and Hinton, "Layer normalization", 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.layer_norm(np.float32([[1, 3], [9, 5]]), 2).round(3)
    array([[-1.,  1.],
           [ 1., -1.]], dtype=float32)
    """
    x, tail, w, b = layer_arguments(input, normalized_shape, weight, bias)
    rows, count = x.size // max(math.prod(tail), 1), math.prod(tail)
    target, result = destination(x, [("input", input), ("weight", weight), ("bias", bias)], out)
    if x.size:
        number = _arguments.number("eps", eps)
        _core.layer_norm(rows, count, number, x, w, b, np.empty(rows), np.empty(rows), result)
    return _arguments.delivered(result, target)


def layer_arguments(
    input: object, normalized_shape: object, weight: object, bias: object
) -> tuple[Array, tuple[int, ...], Array | None, Array | None]:
    """Check what layer_norm and its gradient take."""
    x = _arguments.plain("input", input)
    given = normalized_shape if isinstance(normalized_shape, tuple | list) else (normalized_shape,)
    tail = tuple(_arguments.integer("normalized_shape", extent, 0) for extent in given)
    if not tail or x.shape[max(x.ndim - len(tail), 0) :] != tail:
        _arguments.wrong("input", f"shape (..., {', '.join(map(str, tail))})", f"shape {x.shape}")
    found: list[Array | None] = []
    for name, value in (("weight", weight), ("bias", bias)):
        array = None if value is None else _arguments.plain(name, value)
        if array is not None:
            _arguments.has_shape(name, array, tail)
            _arguments.same_dtype("input", x, (name, array))
        found.append(array)
    return x, tail, found[0], found[1]


def local_response_norm(
    input: Array,
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Divide each value by a power of the mean of the squares of its neighbours in the channels.

    Parameters
    ----------
    input : ndarray (n, c, ...), or (n, ..., c)
        At least three axes.
    size : int
        How many neighbouring channels, of which ``size // 2`` lie before; those beyond the ends are zeros.
    alpha, beta, k : float
        As in the formula.
    layout, out
        As in conv2d.

    Returns
    -------
    ndarray in the shape of input
        ``x / (k + alpha * mean(x ** 2)) ** beta``.

    Raises
    ------
    TypeError, ValueError
        As in conv2d.

    References
    ----------
    Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks", 2012.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.local_response_norm(np.float32([[[3], [4]]]), 2, alpha=2, beta=0.5, k=0).round(3)
    array([[[1.   ],
            [0.8]]], dtype=float32)
    """
    x, norm, width = local_response_of(input, size, layout)
    numbers = [_arguments.number(name, value) for name, value in (("alpha", alpha), ("beta", beta), ("k", k))]
    target = None if out is None else _arguments.output(out, x.shape, x.dtype, [("input", input)])
    if not x.size:
        return _arguments.delivered(_core.empty(x.shape, x.dtype), target)
    base = response_base(norm, x, width, numbers[0], numbers[2])
    np.power(base, x.dtype.type(-numbers[1]), out=base)
    return _arguments.delivered(np.multiply(base, x, out=base), target)


def local_response_of(input: object, size: object, layout: object) -> tuple[Array, Norm, int]:
    """Check what local_response_norm and its gradient take."""
    x = _arguments.plain("input", input)
    return x, norm_of("batch", x, layout, 3), _arguments.integer("size", size, 1)


def response_base(norm: Norm, x: Array, size: int, alpha: float, k: float) -> Array:
    """Return k + alpha * mean of the squares of neighbouring channels."""
    base = neighbours(norm, np.square(x), size, (size // 2, (size - 1) // 2))
    base *= x.dtype.type(alpha)
    base += x.dtype.type(k)
    return base


def neighbours(norm: Norm, x: Array, size: int, padding: tuple[int, int]) -> Array:
    """Return the mean of `size` neighbouring channels, where what lies beyond the ends counts as zero."""
    if norm.layout == "NCHW":
        volume, kernel, edges = (norm.n, 1, norm.channels, norm.pixels, 1), (size, 1, 1), (padding, (0, 0), (0, 0))
    else:
        volume, kernel, edges = (norm.n, 1, norm.pixels, norm.channels, 1), (1, size, 1), ((0, 0), padding, (0, 0))
    return avg_pool3d(x.reshape(volume), kernel, 1, edges).reshape(x.shape)
