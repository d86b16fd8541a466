"""Numbers, names and shapes."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from fastconv import _core

if TYPE_CHECKING:
    from collections.abc import Collection

Ints = tuple[int, ...]
Pair = tuple[int, int]
Triple = tuple[int, int, int]
LARGEST = 2**63 - 1

# kind, alpha and beta of csrc/fastconv.h for an activation that is asked for by its name alone
ACTIVATIONS = {
    name: (kind, {"leaky_relu": 0.01, "elu": 1.0, "softplus": 20.0}.get(name, 0.0), float(name == "softplus"))
    for name, kind in _core.ACTIVATIONS.items()
}


TUPLES = {1: "a tuple", 2: "a pair", 3: "a triple"}  # of as many entries as there are spatial axes


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


def per_axis(name: str, value: object, minimum: int, axes: int) -> Ints:
    """Return an integer of at least `minimum` for each spatial axis, from one for all or one for each."""
    expected = f"{'a positive int' if minimum == 1 else f'an int of at least {minimum}'} or {TUPLES[axes]} of them"
    if isinstance(value, tuple | list):
        if len(value) != axes:
            wrong(name, expected, value)
        entries = tuple(index(name, entry, expected) for entry in value)
    else:
        entries = (index(name, value, expected),) * axes
    if min(entries) < minimum:
        wrong(name, expected, value)
    return entries


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
    if min(shape, default=0) < 0:
        wrong(name, expected, shorten(value))
    return shape
