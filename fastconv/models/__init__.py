"""Models: layers strung together, trained, evaluated, saved and loaded, under Keras' names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastconv.models.lenet5 import LeNet5
from fastconv.models.model import Model
from fastconv.models.sequential import Sequential

if TYPE_CHECKING:
    from fastconv.models.saving import load_model

__all__ = ["LeNet5", "Model", "Sequential", "load_model"]


def __getattr__(name: str) -> Any:
    # Files are read and written by modules that predictions do without.
    if name == "load_model":
        from fastconv.models.saving import load_model

        return load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
