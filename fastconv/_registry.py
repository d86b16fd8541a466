"""Names for objects: unique layer names, and the tables that turn a name or a configuration into an object."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

_custom_objects: dict[str, Any] = {}
_name_counts: defaultdict[str, int] = defaultdict(int)


def snake_case(name: str) -> str:
    """Write a class name as Keras writes it in automatic names: ``MaxPooling2D`` is ``max_pooling2d``."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def unique_name(class_name: str) -> str:
    """Return ``dense``, ``dense_1``, ``dense_2`` … for successive objects of one class."""
    prefix = snake_case(class_name)
    count = _name_counts[prefix]
    _name_counts[prefix] += 1
    return f"{prefix}_{count}" if count else prefix


def reset_names() -> None:
    """Start all automatic names again."""
    _name_counts.clear()


def custom(name: str) -> Any:
    """Return a custom object by name, or None."""
    return _custom_objects.get(name)


def register(name: str, value: Any) -> None:
    """Make an object known by name to every later look-up."""
    _custom_objects[name] = value


@contextmanager
def custom_objects_in_scope(custom_objects: Mapping[str, Any] | None) -> Iterator[None]:
    """Make objects known by name within a ``with`` block."""
    before = dict(_custom_objects)
    _custom_objects.update(custom_objects or {})
    try:
        yield
    finally:
        _custom_objects.clear()
        _custom_objects.update(before)


def serialize(value: Any) -> Any:
    """Describe a configurable object as plain JSON types; None, strings and numbers are returned as they are."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (list, tuple)):
        return [serialize(item) for item in value]
    if isinstance(value, dict):
        return {str(key): serialize(item) for key, item in value.items()}
    if hasattr(value, "get_config"):
        kind = type(value)
        return {"module": kind.__module__, "class_name": kind.__name__, "config": value.get_config()}
    if callable(value) and hasattr(value, "__name__"):
        return value.__name__
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"cannot describe {value!r} (of type {type(value).__name__}) in a configuration")


def resolve(identifier: Any, table: Mapping[str, Callable[..., Any]], kind: str) -> Any:
    """Turn a name, a configuration, a class or an object into an object.

    Parameters
    ----------
    identifier : None, str, dict, type or object
        None is returned as it is, and so is an object.
    table : mapping of str to callable
        The classes that may be named, by class name and by alias.
    kind : str
        What is being looked up, for the error text.

    Raises
    ------
    ValueError
        If a name is unknown.
    TypeError
        If the identifier is neither a name, a configuration nor callable.
    """
    if identifier is None:
        return None
    if isinstance(identifier, str):
        made = _find(identifier, table, kind)
        return made() if isinstance(made, type) else made
    if isinstance(identifier, dict):
        if not isinstance(identifier.get("class_name"), str) or not isinstance(identifier.get("config"), dict):
            raise ValueError(f"{kind}: expected a dict with 'class_name' and 'config', got {identifier!r}")
        made = _find(identifier["class_name"], table, kind)
        config = identifier["config"]
        return made.from_config(config) if hasattr(made, "from_config") else made(**config)
    if isinstance(identifier, type):
        return identifier()
    if callable(identifier) or hasattr(identifier, "get_config"):
        return identifier
    raise TypeError(f"{kind}: expected a name, a configuration or an object, got {identifier!r}")


def _find(name: str, table: Mapping[str, Callable[..., Any]], kind: str) -> Any:
    for candidate in (name, name.lower()):
        if candidate in _custom_objects:
            return _custom_objects[candidate]
        if candidate in table:
            return table[candidate]
    raise ValueError(f"{kind}: unknown name {name!r}; expected one of {', '.join(sorted(table))}")
