"""The one gate: every argument of the package is checked here, before any memory is touched.

Errors name the argument, what was expected and what was got. ``TypeError`` is for the wrong type or dtype,
``ValueError`` for a wrong shape or value, ``MemoryError`` for what no memory could hold.
"""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn

import numpy as np

from fastconv import _core

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]

Pair = tuple[int, int]
Layout = Literal["NCHW", "NHWC"]
Algorithm = Literal["auto", "direct", "im2col", "winograd"]
PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]
Padding = int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]] | Literal["valid", "same", "same_lower"]

LARGEST = 2**63 - 1
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
PAD_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}

# kind, alpha and beta of csrc/fastconv.h for an activation that is asked for by its name alone
ACTIVATIONS = {
    name: (kind, {"leaky_relu": 0.01, "elu": 1.0, "softplus": 20.0}.get(name, 0.0), float(name == "softplus"))
    for name, kind in _core.ACTIVATIONS.items()
}


def shorten(value: object) -> str:
    """Return a value's repr, cut to a length that suits a message."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def kind_of(value: object) -> str:
    """Return a type's name; NumPy's scalars are named so that they cannot be taken for dtypes."""
    return f"a NumPy scalar ({type(value).__name__})" if isinstance(value, np.generic) else type(value).__name__


def wrong(name: str, expected: str, got: object, error: type[Exception] = ValueError) -> NoReturn:
    """Raise the error that every check ends in."""
    raise error(f"{name}: expected {expected}, got {got if isinstance(got, str) else shorten(got)}")


# ---- numbers and names ---------------------------------------------------------------------------------------------


def index(name: str, value: object, expected: str) -> int:
    """Return an integer that is no bool and fits the engine's 63 bits."""
    if isinstance(value, bool | np.bool_):
        wrong(name, expected, value, TypeError)
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        wrong(name, expected, f"{shorten(value)} ({type(value).__name__})", TypeError)
    if abs(number) > LARGEST:
        wrong(name, f"{expected} of less than 63 bits", value)
    return number


def integer(name: str, value: object, minimum: int) -> int:
    """Return an integer of at least `minimum`."""
    expected = {0: "an int of at least 0", 1: "a positive int"}.get(minimum, f"an int of at least {minimum}")
    number = index(name, value, expected)
    if number < minimum:
        wrong(name, expected, value)
    return number


def number(name: str, value: object) -> float:
    """Return a real number."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        wrong(name, "a number", f"{shorten(value)} ({type(value).__name__})", TypeError)
    try:
        return float(value)
    except OverflowError:
        return wrong(name, "a number that a float64 holds", value)


def flag(name: str, value: object) -> bool:
    """Return a bool, NumPy's own included."""
    if not isinstance(value, bool | np.bool_):
        wrong(name, "True or False", shorten(value), TypeError)
    return bool(value)


def word(name: str, value: object) -> str:
    """Return a flag as a word, which equals no number where options are compared."""
    return "yes" if value is True or (value is not False and flag(name, value)) else ""


def pair(name: str, value: object, minimum: int) -> Pair:
    """Return two integers of at least `minimum` from one or two."""
    expected = f"{'a positive int' if minimum == 1 else f'an int of at least {minimum}'} or a pair of them"
    if isinstance(value, tuple | list):
        if len(value) != 2:
            wrong(name, expected, value)
        first, second = (index(name, entry, expected) for entry in value)
    else:
        first = second = index(name, value, expected)
    if first < minimum or second < minimum:
        wrong(name, expected, value)
    return first, second


def choice(name: str, value: object, allowed: Collection[str]) -> str:
    """Return a string that is one of those allowed."""
    if not isinstance(value, str):
        wrong(name, f"one of {', '.join(map(repr, allowed))}", shorten(value), TypeError)
    if value not in allowed:
        wrong(name, f"one of {', '.join(map(repr, allowed))}", shorten(value))
    return str(value)


def layout_of(value: object) -> str:
    """Return the layout's name."""
    return choice("layout", value, _core.LAYOUTS)


def activation_name(value: object) -> str:
    """Return the name of an activation that can end a convolution; None is the identity."""
    return "linear" if value is None else choice("activation", value, ACTIVATIONS)


def sizes(name: str, value: object, lengths: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape whose length is one of `lengths`."""
    expected = f"a tuple of {' or '.join(map(str, lengths))} ints of at least 0"
    if not isinstance(value, tuple | list):
        wrong(name, expected, shorten(value), TypeError)
    if len(value) not in lengths:
        wrong(name, expected, shorten(value))
    shape = tuple(index(name, extent, expected) for extent in value)
    if min(shape) < 0:
        wrong(name, expected, shorten(value))
    return shape


# ---- arrays --------------------------------------------------------------------------------------------------------


def real(name: str, value: object) -> Array:
    """Return a float32 or float64 array as an ndarray of its own memory, of any strides and byte order."""
    if not isinstance(value, np.ndarray):
        wrong(name, "a float32 or float64 numpy.ndarray", kind_of(value), TypeError)
    if type(value) is not np.ndarray:
        if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
            wrong(name, "an array without masked elements (fill them with x.filled(0))", "a masked array", TypeError)
        value = np.asarray(value)
    if value.dtype.kind != "f" or value.dtype.itemsize not in (4, 8):
        wrong(name, "float32 or float64 (convert it: x.astype(np.float32))", value.dtype.name, TypeError)
    return value


def strided(name: str, value: object) -> Array:
    """Return a float32 or float64 array in native byte order and aligned; a copy only when it is not."""
    array = real(name, value)
    return array if array.dtype.isnative and array.flags.aligned else plain_copy(name, array)


def plain(name: str, value: object) -> Array:
    """Return a float32 or float64 array in native byte order, aligned and C-contiguous; a copy only when it is not."""
    array = real(name, value)
    flags = array.flags
    return array if flags.c_contiguous and flags.aligned and array.dtype.isnative else plain_copy(name, array)


def plain_copy(name: str, array: Array) -> Array:
    """Copy an array into memory from the pool."""
    try:
        copy = _core.empty(array.shape, array.dtype.newbyteorder("="))
    except MemoryError:
        raise MemoryError(f"{name}: no memory for a contiguous copy of {array.nbytes} bytes") from None
    np.copyto(copy, array)
    return copy


def same_dtype(first: str, array: Array, *others: tuple[str, Array | None]) -> None:
    """Refuse a mixture of float32 and float64."""
    for name, other in others:
        if other is not None and other.dtype.itemsize != array.dtype.itemsize:
            wrong(name, f"the dtype of {first}, {array.dtype.name}", other.dtype.name, TypeError)


def has_shape(name: str, array: Array, shape: tuple[int, ...]) -> None:
    """Refuse any other shape."""
    if array.shape != shape:
        wrong(name, f"shape {shape}", f"shape {array.shape}")


def positions(name: str, value: object, shape: tuple[int, ...]) -> Array:
    """Return int64 indices in plain form."""
    if not isinstance(value, np.ndarray):
        wrong(name, f"an int64 numpy.ndarray of shape {shape}", type(value).__name__, TypeError)
    if value.dtype.newbyteorder("=") != np.int64:
        wrong(name, "dtype int64", value.dtype.name, TypeError)
    has_shape(name, value, shape)
    array = np.asarray(value)
    flags = array.flags
    return array if flags.c_contiguous and flags.aligned and array.dtype.isnative else plain_copy(name, array)


def vector(name: str, value: object, length: int) -> Array | None:
    """Return an optional array (length,), plain."""
    if value is None:
        return None
    array = plain(name, value)
    has_shape(name, array, (length,))
    return array


def overlaps(a: Array, b: Array) -> bool:
    """Whether two arrays share an element; where that is too hard to tell, whether their bounds meet."""
    try:
        return np.may_share_memory(a, b) and np.shares_memory(a, b, max_work=10_000)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def output(
    out: object, shape: tuple[int, ...], dtype: np.dtype[Any], inputs: Iterable[tuple[str, object]], name: str = "out"
) -> Array:
    """Return `out` if results of this shape and dtype can be written there without changing an input."""
    if not isinstance(out, np.ndarray) or isinstance(out, np.ma.MaskedArray):
        wrong(name, f"a {dtype.name} numpy.ndarray of shape {shape}", type(out).__name__, TypeError)
    if out.dtype.newbyteorder("=") != dtype:
        wrong(name, f"dtype {dtype.name}", out.dtype.name, TypeError)
    if out.shape != shape:
        wrong(name, f"shape {shape}", f"shape {out.shape}")
    if not out.flags.writeable:
        wrong(name, "a writable array", "a read-only one")
    for other, array in inputs:
        if isinstance(array, np.ndarray) and overlaps(out, array):
            wrong(name, f"an array that shares no memory with {other}", "one that does")
    return out


def delivered(result: Array | None, out: Array | None) -> Array:
    """Copy a result to where the caller wants it, if it is not there yet."""
    if result is None:
        raise RuntimeError("the engine refused checked arrays")
    if out is None or result is out:
        return result
    np.copyto(out, result)
    return out


def pointwise_output(out: object, like: Array, inputs: Sequence[tuple[str, object]], name: str = "out") -> Array:
    """Return `out` as in output(), where it may also be one of the inputs, element for element."""

    def is_out(array: object) -> bool:
        return (
            isinstance(array, np.ndarray)
            and isinstance(out, np.ndarray)
            and array.__array_interface__["data"][0] == out.__array_interface__["data"][0]
            and array.strides == out.strides
            and array.dtype == out.dtype
        )

    dtype = like.dtype.newbyteorder("=")
    return output(out, like.shape, dtype, [(key, array) for key, array in inputs if not is_out(array)], name)


# ---- images --------------------------------------------------------------------------------------------------------


class Image(NamedTuple):
    """What the shape of a batch of images, or of one, says."""

    lead: tuple[int, ...]  # (n,), or () for one image without a batch axis
    channels: int
    spatial: Pair

    def shape(self, layout: str, channels: int, spatial: Pair) -> tuple[int, ...]:
        """Return the shape with other channels and extents."""
        tail = (channels, *spatial) if layout == "NCHW" else (*spatial, channels)
        return (*self.lead, *tail)


def image(name: str, shape: tuple[int, ...], layout: str) -> Image:
    """Take the shape of a batch of images apart; only the batch may be empty."""
    letters = "(n, c, h, w) or (c, h, w)" if layout == "NCHW" else "(n, h, w, c) or (h, w, c)"
    if len(shape) not in (3, 4):
        wrong(name, f"3 or 4 axes {letters}", f"shape {shape}")
    lead, tail = shape[:-3], shape[-3:]
    if min(tail) < 1:
        wrong(name, f"{letters} with channels and extents of at least 1", f"shape {shape}")
    channels, *spatial = tail if layout == "NCHW" else (tail[2], tail[0], tail[1])
    return Image(lead, channels, (spatial[0], spatial[1]))


def padding_of(value: object, src: Pair, kernel: Pair, stride: Pair, dilation: Pair) -> tuple[Pair, Pair]:
    """Return (top, left) and (bottom, right) for any form of padding."""
    expected = "an int of at least 0, (h, w), ((top, bottom), (left, right)), 'valid', 'same' or 'same_lower'"
    if isinstance(value, str):
        if value not in ("valid", "same", "same_lower"):
            wrong("padding", expected, shorten(value))
        totals = (0, 0) if value == "valid" else tuple(map(same_total, src, kernel, stride, dilation))
        small = (totals[0] // 2, totals[1] // 2)
        large = (totals[0] - small[0], totals[1] - small[1])
        return (large, small) if value == "same_lower" else (small, large)
    if isinstance(value, tuple | list) and any(isinstance(entry, tuple | list) for entry in value):
        if len(value) != 2 or not all(isinstance(entry, tuple | list) and len(entry) == 2 for entry in value):
            wrong("padding", expected, shorten(value))
        (top, bottom), (left, right) = ([index("padding", entry, expected) for entry in row] for row in value)
        if min(top, bottom, left, right) < 0:
            wrong("padding", expected, shorten(value))
        return (top, left), (bottom, right)
    if isinstance(value, tuple | list) and len(value) != 2:
        wrong("padding", expected, shorten(value))
    entries = value if isinstance(value, tuple | list) else (value, value)
    first, second = (index("padding", entry, expected) for entry in entries)
    if min(first, second) < 0:
        wrong("padding", expected, shorten(value))
    return (first, second), (first, second)


def by_axis(begin: Pair, end: Pair) -> tuple[Pair, Pair]:
    """Return ((top, bottom), (left, right))."""
    return (begin[0], end[0]), (begin[1], end[1])


def same_total(src: int, kernel: int, stride: int, dilation: int) -> int:
    """Return the padding that makes ceil(src / stride) output positions."""
    total = max((-(-src // stride) - 1) * stride + (kernel - 1) * dilation + 1 - src, 0)
    return total if total <= LARGEST else wrong("dilation", "a kernel of less than 63 bits", dilation)


# ---- convolution ---------------------------------------------------------------------------------------------------


class Conv2d(NamedTuple):
    """A checked 2-D convolution, whichever of its three products is wanted."""

    name: str  # of the argument that gave the input's shape
    layout: str
    input: Image
    oc: int
    groups: int
    kernel: Pair
    stride: Pair
    dilation: Pair
    pad_begin: Pair
    pad_end: Pair

    @property
    def padding(self) -> tuple[Pair, Pair]:
        """The padding as ((top, bottom), (left, right))."""
        return by_axis(self.pad_begin, self.pad_end)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """The weights' shape in the layout."""
        ic = self.input.channels // self.groups
        return (self.oc, ic, *self.kernel) if self.layout == "NCHW" else (*self.kernel, ic, self.oc)


def conv2d(
    input_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    stride: object,
    padding: object,
    dilation: object,
    groups: object,
    layout: object,
    *,
    names: tuple[str, str] = ("input", "weight"),
) -> Conv2d:
    """Check shapes and options of a convolution."""
    first, second = names
    layout = layout_of(layout)
    picture = image(first, input_shape, layout)
    letters = "(o, i, h, w)" if layout == "NCHW" else "(h, w, i, o)"
    if len(weight_shape) != 4:
        wrong(second, f"4 axes {letters}", f"shape {weight_shape}")
    if min(weight_shape) < 1:
        wrong(second, f"{letters} with every extent at least 1", f"shape {weight_shape}")
    order = (0, 1, 2, 3) if layout == "NCHW" else (3, 2, 0, 1)
    oc, ic, kh, kw = (weight_shape[axis] for axis in order)
    strides, dilations = pair("stride", stride, 1), pair("dilation", dilation, 1)
    count = integer("groups", groups, 1)
    if picture.channels % count or oc % count:
        wrong("groups", f"a divisor of the {picture.channels} input and {oc} output channels", groups)
    if ic * count != picture.channels:
        per_group = f"{picture.channels} channels of {first}" + (f" / {count} groups" if count > 1 else "")
        wrong(second, f"{picture.channels // count} input channels ({per_group})", f"{ic} in shape {weight_shape}")
    begin, end = padding_of(padding, picture.spatial, (kh, kw), strides, dilations)
    return Conv2d(first, layout, picture, oc, count, (kh, kw), strides, dilations, begin, end)


def plan_conv(
    conv: Conv2d,
    direction: int,
    dtype: np.dtype[Any],
    *,
    algorithm: object = "auto",
    activation: object = None,
) -> _core.ConvPlan:
    """Return a plan that packs its weights for each run."""
    plan = _core.ConvPlan()
    describe(plan, conv, direction, dtype, _core.ONCE, algorithm, activation)
    return plan


def describe(
    plan: _core.ConvPlan,
    conv: Conv2d,
    direction: int,
    dtype: np.dtype[Any],
    reuse: int,
    algorithm: object,
    activation: object,
) -> None:
    """Describe a checked convolution to the engine, or say why it cannot be."""
    chosen = choice("algorithm", algorithm, _core.ALGORITHMS)
    kind, alpha, beta = ACTIVATIONS[activation_name(activation)]
    status = plan.describe(
        direction=direction,
        algorithm=_core.ALGORITHMS[chosen],
        reuse=reuse,
        double_precision=dtype == FLOAT64,
        layout=_core.LAYOUTS[conv.layout],
        activation=kind,
        alpha=alpha,
        beta=beta,
        ic=conv.input.channels,
        oc=conv.oc,
        groups=conv.groups,
        src=conv.input.spatial,
        kernel=conv.kernel,
        stride=conv.stride,
        dilation=conv.dilation,
        pad_begin=conv.pad_begin,
        pad_end=conv.pad_end,
    )
    if status == _core.UNSUPPORTED:
        others = [name for name in _core.ALGORITHMS if name != chosen]
        possible = [name for name in others if can_describe(conv, direction, dtype, reuse, name)]
        wrong("algorithm", f"one that serves this convolution ({', '.join(map(repr, possible))})", repr(chosen))
    refuse(status, conv)


def can_describe(conv: Conv2d, direction: int, dtype: np.dtype[Any], reuse: int, algorithm: str) -> bool:
    """Whether an algorithm serves a convolution."""
    try:
        describe(_core.ConvPlan(), conv, direction, dtype, reuse, algorithm, None)
    except ValueError:
        return False
    return True


def refuse(status: int, made: Conv2d | Pool2d) -> None:
    """Turn the status of a plan into the error that says what does not fit; return when it is OK."""
    if status == _core.OK:
        return
    padded = tuple(map(sum, zip(made.input.spatial, made.pad_begin, made.pad_end, strict=True)))
    reach = tuple((k - 1) * d + 1 for k, d in zip(made.kernel, made.dilation, strict=True))
    if status == _core.EMPTY_OUTPUT or any(r > p for r, p in zip(reach, padded, strict=True)):
        least = f"padded extents of at least the kernel's {reach[0]} x {reach[1]}"
        wrong(made.name, least, f"{padded[0]} x {padded[1]}")
    if status == _core.OVERFLOW:
        wrong(made.name, "sizes whose products fit 63 bits", f"extents {padded} with padding, kernel {made.kernel}")
    raise RuntimeError(f"the engine refused a checked description: status {status}")


def pad(x: Array, conv: Conv2d, mode: str) -> Array:
    """Pad the spatial axes by something other than zeros, with torch's limits on how far."""
    for axis, (extent, begin, end) in enumerate(zip(conv.input.spatial, conv.pad_begin, conv.pad_end, strict=True)):
        most = {"reflect": extent - 1, "circular": extent}.get(mode, LARGEST)
        if max(begin, end) > most:
            name = ("height", "width")[axis]
            wrong("padding", f"at most {most} for padding_mode={mode!r} and a {name} of {extent}", max(begin, end))
    widths = [(0, 0)] * x.ndim
    first = x.ndim - (2 if conv.layout == "NCHW" else 3)
    widths[first : first + 2] = list(zip(conv.pad_begin, conv.pad_end, strict=True))
    shape = [extent + sum(width) for extent, width in zip(x.shape, widths, strict=True)]
    if math.prod(shape) * x.itemsize > LARGEST:
        raise MemoryError(f"padding: no memory for an input of shape {tuple(shape)}")
    return np.pad(x, widths, mode=PAD_MODES[mode])  # type: ignore[call-overload, no-any-return]


# ---- pooling -------------------------------------------------------------------------------------------------------


class Pool2d(NamedTuple):
    """A checked 2-D pooling."""

    name: str  # of the argument that gave the input's shape
    maximum: bool
    layout: str
    input: Image
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    pad_begin: Pair = (0, 0)
    pad_end: Pair = (0, 0)
    ceil_mode: bool = False
    include_pad: bool = True
    divisor: int = 0
    dst: Pair | None = None  # of an adaptive pooling

    @property
    def padding(self) -> tuple[Pair, Pair]:
        """The padding as ((top, bottom), (left, right))."""
        return by_axis(self.pad_begin, self.pad_end)

    def plan(self, dtype: np.dtype[Any]) -> _core.PoolPlan:
        """Describe it to the engine, or say why it cannot be."""
        plan = _core.PoolPlan()
        status = plan.describe(
            maximum=self.maximum,
            adaptive=self.dst is not None,
            ceil_mode=self.ceil_mode,
            include_pad=self.include_pad,
            divisor=float(self.divisor),
            double_precision=dtype == FLOAT64,
            layout=_core.LAYOUTS[self.layout],
            channels=self.input.channels,
            src=self.input.spatial,
            kernel=self.kernel,
            stride=self.stride,
            dilation=self.dilation,
            pad_begin=self.pad_begin,
            pad_end=self.pad_end,
            dst=self.dst or (0, 0),
        )
        if self.dst is not None and status != _core.OK:
            wrong("output_size", "sizes whose products fit 63 bits", self.dst)
        refuse(status, self)
        return plan


def pool2d(
    maximum: bool,
    input_shape: tuple[int, ...],
    kernel_size: object,
    stride: object,
    padding: object,
    dilation: object,
    layout: object,
    *,
    ceil_mode: object = False,
    include_pad: object = True,
    divisor_override: object = None,
    name: str = "input",
) -> Pool2d:
    """Check shape and options of a pooling; an int or a pair of padding is at most half the kernel, as in torch."""
    layout = layout_of(layout)
    picture = image(name, input_shape, layout)
    kernel = pair("kernel_size", kernel_size, 1)
    strides = kernel if stride is None else pair("stride", stride, 1)
    dilations = pair("dilation", dilation, 1)
    begin, end = padding_of(padding, picture.spatial, kernel, strides, dilations)
    by_side = isinstance(padding, str) or (isinstance(padding, tuple | list) and isinstance(padding[0], tuple | list))
    for p, k, d in zip(begin, kernel, dilations, strict=True):
        if not by_side and p > ((k - 1) * d + 1) // 2:
            wrong("padding", f"at most half of the kernel's extent of {(k - 1) * d + 1}", padding)
    divisor = 0
    if divisor_override is not None:
        divisor = index("divisor_override", divisor_override, "an int other than 0")
        if divisor == 0:
            wrong("divisor_override", "an int other than 0", divisor_override)
    flags = flag("ceil_mode", ceil_mode), flag("count_include_pad", include_pad)
    return Pool2d(name, maximum, layout, picture, kernel, strides, dilations, begin, end, *flags, divisor)


def adaptive_pool2d(
    maximum: bool, input_shape: tuple[int, ...], output_size: object, layout: object, *, name: str = "input"
) -> Pool2d:
    """Check shape and output size of an adaptive pooling; None keeps an extent."""
    layout = layout_of(layout)
    picture = image(name, input_shape, layout)
    expected = "an int of at least 0, None, or a pair of them"
    if isinstance(output_size, tuple | list) and len(output_size) != 2:
        wrong("output_size", expected, output_size)
    entries = output_size if isinstance(output_size, tuple | list) else (output_size, output_size)
    height, width = (
        extent if entry is None else index("output_size", entry, expected)
        for entry, extent in zip(entries, picture.spatial, strict=True)
    )
    if min(height, width) < 0:
        wrong("output_size", expected, output_size)
    return Pool2d(name, maximum, layout, picture, dst=(height, width))
