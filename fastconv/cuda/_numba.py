"""The one module that imports CUDA for Python: to move to numba-cuda's successor, change what is imported here.

With ``NUMBA_ENABLE_CUDASIM=1`` in the environment when this is loaded, kernels run in Numba's simulator: SIMULATED is
true, and every primitive that the simulator lacks has a plain twin.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

try:
    from numba import config, cuda, types
except ImportError as error:
    raise ImportError(
        "fastconv.cuda: expected numba-cuda, which the extra 'cuda' installs (pip install 'fastconv[cuda]'), "
        f"got {error}"
    ) from error

__all__ = ["ALIGNED", "SIMULATED", "cuda", "device_function", "int32", "int64", "require_device", "types"]

SIMULATED = bool(config.ENABLE_CUDASIM)

# Alignment of shared and local arrays that are read 128 bits at a time; the simulator knows none.
ALIGNED = None if SIMULATED else 16

int32: Callable[[Any], Any] = int if SIMULATED else types.int32
int64: Callable[[Any], Any] = int if SIMULATED else types.int64


def device_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function part of the kernels that call it; it must not name ``cuda``, which only kernels' modules may.

    (The simulator swaps ``cuda`` in the module of whatever runs, for one thread at a time.)
    """
    made: Callable[..., Any] = function if SIMULATED else cuda.jit(device=True, inline="always")(function)
    return made


def require_device() -> None:
    """Refuse to go on without a GPU or the simulator."""
    if not cuda.is_available():
        raise RuntimeError("fastconv.cuda: expected an NVIDIA GPU and its driver, got none that Numba can use")
