"""What every implementation is reduced to: a call without arguments, and how to read what it returns."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]


class Call(NamedTuple):
    """run() is what is timed; read(run()) is the result as NumPy has it, channels first."""

    run: Callable[[], Any]
    read: Callable[[Any], Array]


class Contender(NamedTuple):
    """One way to compute a layer; make(case, threads) prepares everything that a user would prepare once."""

    implementation: str
    layout: str
    make: Callable[[Any, int], Call]

    @property
    def id(self) -> str:
        return f"{self.implementation}-{self.layout}"

    @property
    def bound(self) -> float:
        """The error that a result may have, relative to float64: fastconv keeps its own word, peers are given slack."""
        return 1e-5 if self.implementation.startswith("fastconv") else 1e-4


def installed(*modules: str) -> bool:
    return all(find_spec(module) is not None for module in modules)


def to_layout(x: Array, layout: str) -> Array:
    return x if layout == "NCHW" else np.ascontiguousarray(x.transpose(0, 2, 3, 1))


def from_layout(x: Array, layout: str) -> Array:
    return x if layout == "NCHW" else x.transpose(0, 3, 1, 2)


def weight_to_layout(w: Array, layout: str) -> Array:
    return w if layout == "NCHW" else np.ascontiguousarray(w.transpose(2, 3, 1, 0))


def weight_from_layout(w: Array, layout: str) -> Array:
    return w if layout == "NCHW" else w.transpose(3, 2, 0, 1)
