"""fastconv: convolution and pooling on NumPy arrays, as fast as the processor allows.

``fastconv.functional`` holds the operators by torch's names, ``fastconv.grad`` their gradients, ``plan_conv2d`` plans
one convolution for many calls; ``fastconv.layers``, ``models`` and the rest are Keras' names over them. Submodules are
loaded on first use; importing fastconv imports NumPy and nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastconv import runtime
from fastconv.runtime import (
    available_isas,
    empty_cache,
    get_num_threads,
    get_precision,
    set_cache_limit,
    set_num_threads,
    set_precision,
    set_seed,
    show_config,
    use_isa,
)

if TYPE_CHECKING:
    from fastconv import (
        callbacks,
        cuda,
        datasets,
        functional,
        grad,
        image,
        initializers,
        layers,
        losses,
        metrics,
        models,
        optimizers,
        regularizers,
        utils,
    )
    from fastconv.layers import Input
    from fastconv.models import Model, Sequential
    from fastconv.plan import Conv2dPlan, plan_conv2d

__version__ = "0.1.0"

__all__ = [
    "Conv2dPlan",
    "Input",
    "Model",
    "Sequential",
    "available_isas",
    "callbacks",
    "cuda",
    "datasets",
    "empty_cache",
    "functional",
    "get_num_threads",
    "get_precision",
    "grad",
    "image",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "plan_conv2d",
    "regularizers",
    "runtime",
    "set_cache_limit",
    "set_num_threads",
    "set_precision",
    "set_seed",
    "show_config",
    "use_isa",
    "utils",
]

_HOMES = {
    "Conv2dPlan": "plan",
    "Input": "layers",
    "Model": "models",
    "Sequential": "models",
    "plan_conv2d": "plan",
}

runtime.configure()


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(f"fastconv.{_HOMES[name]}"), name)
    elif name in __all__:
        value = import_module(f"fastconv.{name}")
    else:
        raise AttributeError(f"module 'fastconv' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
