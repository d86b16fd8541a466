"""What constructors of layers, optimizers, losses, metrics, callbacks … are told: checked by the names of arguments."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from fastconv._arguments.values import index, integer, number, shorten, wrong

Rule = Callable[[str, object], None]


def switch(name: str, value: object) -> None:
    """Refuse what is neither True or False nor 1 or 0."""
    if not isinstance(value, bool | np.bool_) and not (isinstance(value, int | np.integer) and value in (0, 1)):
        wrong(name, "True or False", shorten(value), TypeError)


def finite(name: str, value: object) -> None:
    """Refuse what is no finite number."""
    if not math.isfinite(number(name, value)):
        wrong(name, "a finite number", value)


def not_negative(name: str, value: object) -> None:
    """Refuse what is no finite number of at least 0."""
    finite(name, value)
    if number(name, value) < 0:
        wrong(name, "a number of at least 0", value)


def any_number(name: str, value: object) -> None:
    """Refuse what is no number; infinities pass, NaN does not."""
    if math.isnan(number(name, value)):
        wrong(name, "a number", value)


def no_nan(name: str, value: object) -> None:
    """Refuse NaN; anything else has another check to pass."""
    if isinstance(value, float | np.floating) and math.isnan(value):
        wrong(name, "a number", value)


def count(name: str, value: object) -> None:
    """Refuse what is no int of at least 0; True is 1 where Keras says so."""
    integer(name, int(value) if isinstance(value, bool) else value, 0)


def positive(name: str, value: object) -> None:
    """Refuse what is no int of at least 1."""
    integer(name, value, 1)


def whole(name: str, value: object) -> None:
    """Refuse what is no int."""
    index(name, value, "an int")


def text(name: str, value: object) -> None:
    """Refuse what is no string."""
    if not isinstance(value, str):
        wrong(name, "a string", shorten(value), TypeError)


def letter(name: str, value: object) -> None:
    """Refuse what is no string of one character."""
    text(name, value)
    if len(str(value)) != 1:
        wrong(name, "a string of one character", value)


def path(name: str, value: object) -> None:
    """Refuse what names no file."""
    if not isinstance(value, str | os.PathLike):
        wrong(name, "a path", shorten(value), TypeError)


def function(name: str, value: object) -> None:
    """Refuse what cannot be called."""
    if not callable(value):
        wrong(name, "a callable", shorten(value), TypeError)


def real_type(name: str, value: object) -> None:
    """Refuse what names no type of floating-point numbers."""
    try:
        kind = np.dtype(value).kind  # type: ignore[call-overload]
    except (TypeError, ValueError):
        kind = ""
    if kind != "f":
        wrong(name, "a type of floating-point numbers", shorten(value), TypeError)


def optional(rule: Rule) -> Rule:
    """Return a rule that lets None pass."""

    def check(name: str, value: object) -> None:
        if value is not None:
            rule(name, value)

    return check


def found_by(get: Callable[[Any], Any]) -> Rule:
    """Return a rule that asks a package's ``get`` whether it knows what is named, and names the argument if not."""

    def check(name: str, value: object) -> None:
        try:
            get(value)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{name}: {str(error).partition(': ')[2] or error}") from None

    return check


def seed(name: str, value: object) -> None:
    """Refuse what is neither None nor an int of at least 0, however large."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        wrong(name, "None or an int of at least 0", shorten(value), TypeError)
    if value < 0:
        wrong(name, "None or an int of at least 0", value)


class Checked:
    """Base of classes whose constructors check their arguments by name before they run.

    The rules come with the first class, ``class Layer(Checked, rules={...})``, and hold for those that the package
    derives from it; a user's own class may mean something else by a name.
    """

    _rules: ClassVar[Mapping[str, Rule]] = {}

    def __init_subclass__(cls, rules: Mapping[str, Rule] | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if rules is not None:
            cls._rules = rules
        if cls.__module__.partition(".")[0] == "fastconv" and "__init__" in vars(cls):
            cls.__init__ = _checking(vars(cls)["__init__"], cls._rules)  # type: ignore[method-assign]


def _checking(init: Callable[..., None], rules: Mapping[str, Rule]) -> Callable[..., None]:
    code = init.__code__
    names = code.co_varnames[: code.co_argcount]
    known = {*code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]} & rules.keys()

    @functools.wraps(init)
    def checked(self: Any, *args: Any, **kwargs: Any) -> None:
        for name, value in [*zip(names[1:], args, strict=False), *kwargs.items()]:
            if name in known:
                rules[name](name, value)
        init(self, *args, **kwargs)

    return checked
