"""What filters of images are told: modes, origins, axes, sizes, outputs, in the forms that scipy.ndimage takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv._arguments.values import choice, index, kind_of, number, shorten, wrong

if TYPE_CHECKING:
    from fastconv._arguments.arrays import Array

BORDER_MODES = {
    "reflect": "reflect",
    "grid-mirror": "reflect",
    "constant": "constant",
    "grid-constant": "constant",
    "nearest": "nearest",
    "mirror": "mirror",
    "wrap": "wrap",
    "grid-wrap": "wrap",
}


def picture(value: object, name: str = "input") -> Array:
    """Return real numbers of any kind as an array."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        wrong(name, "an array without masked elements", "a masked array", TypeError)
    try:
        array = np.asarray(value)
    except ValueError:
        wrong(name, "an array", kind_of(value), TypeError)
    if array.dtype.kind not in "biuf":
        wrong(name, "an array of real numbers", f"dtype {array.dtype.name}", TypeError)
    return array


def border_mode(value: object) -> str:
    """Return scipy's first name of a border mode."""
    return BORDER_MODES[choice("mode", value, BORDER_MODES)]


def axes_of(value: object, ndim: int, name: str = "axes") -> tuple[int, ...]:
    """Return the axes to filter, counted from the front; None is all of them."""
    if value is None:
        return tuple(range(ndim))
    entries = value if isinstance(value, tuple | list) else (value,)
    axes = []
    for entry in entries:
        axis = index(name, entry, "an int or a tuple of them")
        if not -ndim <= axis < ndim:
            wrong(name, f"axes of an array of {ndim} axes", shorten(value))
        axes.append(axis % ndim)
    if len(set(axes)) < len(axes):
        wrong(name, "different axes", shorten(value))
    return tuple(axes)


def per_axis(name: str, value: Any, count: int) -> list[Any]:
    """Return one entry for each axis that is filtered, from one for all or from a sequence."""
    if isinstance(value, np.ndarray) and value.ndim:
        value = value.tolist()
    if isinstance(value, tuple | list):
        if len(value) != count:
            wrong(name, f"one entry, or one for each of {count} axes", shorten(value))
        return list(value)
    return [value] * count


def reach(size: int, origin: object) -> tuple[int, int]:
    """Return how far a window reaches before and behind its place; an origin moves it without leaving the window."""
    shift = index("origin", origin, "an int")
    if not -(size // 2) <= shift <= (size - 1) // 2:
        wrong("origin", f"{-(size // 2)} to {(size - 1) // 2} for a window of {size}", shift)
    return size // 2 + shift, size - 1 - size // 2 - shift


def real_number(name: str, value: object) -> float:
    """Return a real number, a NumPy array of one element included."""
    return number(name, value.item() if isinstance(value, np.ndarray) and value.size == 1 else value)


def filter_output(output: Any, source: Array) -> tuple[np.dtype[Any], Array | None]:
    """Return the result's dtype, and the array that it goes to if there is one."""
    if isinstance(output, np.ndarray):
        if output.shape != source.shape:
            wrong("output", f"shape {source.shape}", f"shape {output.shape}")
        if not output.flags.writeable:
            wrong("output", "a writable array", "a read-only one")
        dtype = output.dtype
    else:
        try:
            dtype = source.dtype.newbyteorder("=") if output is None else np.dtype(output)
        except TypeError:
            wrong("output", "an array or a dtype", shorten(output), TypeError)
    if dtype.kind not in "biuf":
        wrong("output", "real numbers", f"dtype {dtype.name}", TypeError)
    return dtype, output if isinstance(output, np.ndarray) else None
