"""The forms in which Keras takes a layer's arguments, brought to one, and the extents that follow from them."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[Any]"
Shape: TypeAlias = tuple[int | None, ...]
Extents: TypeAlias = int | Sequence[int]
Layout: TypeAlias = Literal["NHWC", "NCHW"]


def positive(value: Any, name: str) -> int:
    """Return a strictly positive integer.

    Raises
    ------
    ValueError
        If the value is no integer or not positive.

    Examples
    --------
    >>> positive(3, "units")
    3
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if number <= 0 or isinstance(value, bool):
        raise ValueError(f"{name}: expected a positive integer, got {value!r}")
    return number


def extents(value: Any, rank: int, name: str) -> tuple[int, ...]:
    """Return a positive integer for each spatial axis, from one of them or from as many as there are axes.

    Raises
    ------
    ValueError
        If the value is neither.

    Examples
    --------
    >>> extents(3, 2, "strides")
    (3, 3)
    """
    if isinstance(value, (tuple, list)):
        if len(value) != rank:
            more = "" if rank == 1 else f" or {rank} integers"
            raise ValueError(f"{name}: expected an integer{more}, got {value!r}")
        return tuple(positive(entry, name) for entry in value)
    return (positive(value, name),) * rank


def sides(value: Any, rank: int, name: str) -> tuple[tuple[int, int], ...]:
    """Return how many positions at the beginning and at the end of each spatial axis.

    Raises
    ------
    ValueError
        If the value is no integer, one for each axis, or two for each axis, or one is negative.

    Examples
    --------
    >>> sides(1, 2, "padding"), sides((1, 2), 1, "padding"), sides(((1, 2), 3), 2, "padding")
    (((1, 1), (1, 1)), ((1, 2),), ((1, 2), (3, 3)))
    """
    forms = "2 integers" if rank == 1 else f"{rank} integers or {rank} pairs of integers"
    wanted = f"{name}: expected an integer{'' if rank > 1 else ' or'}{', ' if rank > 1 else ' '}{forms}, got {value!r}"
    if isinstance(value, (tuple, list)):
        entries: list[Any] = list(value)
        # A single axis may come as its own pair.
        if rank == 1 and not (len(entries) == 1 and isinstance(entries[0], (tuple, list))):
            entries = [entries]
    else:
        entries = [value] * rank
    pairs = [tuple(entry) if isinstance(entry, (tuple, list)) else (entry, entry) for entry in entries]
    if len(pairs) != rank or any(len(pair) != 2 for pair in pairs):
        raise ValueError(wanted)
    if any(not isinstance(n, int) or isinstance(n, bool) or n < 0 for pair in pairs for n in pair):
        raise ValueError(f"{name}: expected non-negative integers, got {value!r}")
    return tuple((first, last) for first, last in pairs)


def border(value: Any) -> Literal["valid", "same"]:
    """Return ``"valid"`` or ``"same"`` from any spelling.

    Raises
    ------
    ValueError
        If the value is neither.

    Examples
    --------
    >>> border("SAME")
    'same'
    """
    text = value.lower() if isinstance(value, str) else ""
    if text == "valid":
        return "valid"
    if text == "same":
        return "same"
    raise ValueError(f"padding: expected 'valid' or 'same', got {value!r}")


def data_layout(data_format: Any) -> Literal["channels_last", "channels_first"]:
    """Return Keras' name of a layout; None is ``"channels_last"``.

    Raises
    ------
    ValueError
        If the value is none of them.

    Examples
    --------
    >>> data_layout(None)
    'channels_last'
    """
    text = data_format.lower() if isinstance(data_format, str) else "" if data_format is not None else "channels_last"
    if text == "channels_last":
        return "channels_last"
    if text == "channels_first":
        return "channels_first"
    raise ValueError(f"data_format: expected 'channels_last' or 'channels_first', got {data_format!r}")


def engine_layout(data_format: str) -> Layout:
    """Return `fastconv.functional`'s name of a Keras layout.

    Examples
    --------
    >>> engine_layout("channels_last")
    'NHWC'
    """
    return "NHWC" if data_format == "channels_last" else "NCHW"


def shape_of(value: Any, name: str = "shape") -> Shape:
    """Return a shape as a tuple of integers and None.

    Raises
    ------
    ValueError
        If an extent is neither None nor a non-negative integer.

    Examples
    --------
    >>> shape_of([None, 3])
    (None, 3)
    """
    extents = (value,) if isinstance(value, (int, np.integer)) else value
    if not isinstance(extents, (tuple, list)):
        raise ValueError(f"{name}: expected a tuple of integers and None, got {value!r}")
    for extent in extents:
        whole = isinstance(extent, (int, np.integer)) and not isinstance(extent, bool)
        if extent is not None and not (whole and extent >= 0):
            raise ValueError(f"{name}: expected non-negative integers and None, got {value!r}")
    return tuple(None if extent is None else int(extent) for extent in extents)


def window_extent(
    extent: int | None, size: int, stride: int, dilation: int, padding: str, layer_name: str
) -> int | None:
    """Return how many windows fit along one axis; None, an extent that is not known yet, gives None.

    ``valid`` is ⌊(extent - (size - 1)·dilation - 1) / stride⌋ + 1, ``same`` ⌈extent / stride⌉.

    Raises
    ------
    ValueError
        If not even one window fits.

    Examples
    --------
    >>> window_extent(32, 5, 1, 1, "valid", "conv2d"), window_extent(7, 3, 2, 1, "same", "conv2d")
    (28, 4)
    """
    if extent is None:
        return None
    if padding == "same":
        return -(-extent // stride)
    count = (extent - (size - 1) * dilation - 1) // stride + 1
    if count <= 0:
        raise ValueError(
            f"layer {layer_name!r}: a window of {size} (dilation {dilation}) does not fit into an extent of {extent}"
        )
    return count


def window_shape(
    input_shape: Sequence[int | None],
    size: tuple[int, ...],
    strides: tuple[int, ...],
    dilation: tuple[int, ...],
    padding: str,
    data_format: str,
    channels: int | None,
    layer_name: str,
) -> Shape:
    """Return the output shape of a layer that moves a window over sequences, images or volumes.

    Parameters
    ----------
    input_shape : (batch, …, channels) or, channels first, (batch, channels, …)
    size, strides, dilation : tuple of int
        For each spatial axis.
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}
    channels : int or None
        Channels of the output.
    layer_name : str
        For the error text.

    Raises
    ------
    ValueError
        If a window does not fit.

    Examples
    --------
    >>> window_shape((None, 32, 32, 1), (5, 5), (1, 1), (1, 1), "valid", "channels_last", 6, "conv2d")
    (None, 28, 28, 6)
    """
    first = 1 if data_format == "channels_last" else 2
    spatial = [
        window_extent(input_shape[first + axis], size[axis], strides[axis], dilation[axis], padding, layer_name)
        for axis in range(len(size))
    ]
    return with_channels(input_shape[0], spatial, channels, data_format)


def with_channels(batch: int | None, spatial: Sequence[int | None], channels: int | None, data_format: str) -> Shape:
    """Return a shape in a layout.

    Examples
    --------
    >>> with_channels(None, (4, 5), 3, "channels_first")
    (None, 3, 4, 5)
    """
    return (batch, *spatial, channels) if data_format == "channels_last" else (batch, channels, *spatial)
