"""Kernels for arrays in an NVIDIA GPU's memory, behind the functions of ``fastconv.functional`` and ``grad``.

A function that is given a GPU's array, of Numba, CuPy, PyTorch or anything with ``__cuda_array_interface__``, runs here
and returns an array of the same kind, on the stream of the array's library and without a copy to the host. All arrays
of a call must be on the GPU. The extra ``fastconv[cuda]`` installs what this needs; nothing is imported before its use.

``python -m fastconv.cuda.gate`` compiles every kernel for two generations of GPUs, with no GPU at hand. fastconv/cuda/
README.md says how the parts fit together and how a kernel is added.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from fastconv._arguments import Array

__all__ = ["empty_cache", "is_available", "is_simulated", "set_cache_limit", "stream"]

# Operators that functional and grad hand over, by the module of fastconv.cuda.operators that has them.
_HOMES = {
    "activation_grad": "activation",
    "batch_norm": "norm",
    "batch_norm_backward": "norm",
    "conv": "convolution",
    "conv_bias": "convolution",
    "conv_input": "convolution",
    "conv_transpose": "transposed",
    "conv_transpose_input": "transposed",
    "conv_transpose_weight": "transposed",
    "conv_weight": "convolution",
    "dropout": "dropout",
    "linear": "linear",
    "pool": "pool",
    "pool_backward": "pool",
    "softmax": "softmax",
    "softmax_backward": "softmax",
    "unary": "activation",
}


def run(name: str, *arguments: Any) -> Array:
    """Run an operator on a GPU's arrays; for functional and grad, whose own arguments these are.

    The result is typed as theirs are, though it is an array of the input's kind.
    """
    module = import_module(f"fastconv.cuda.operators.{_HOMES[name]}")
    result: Array = getattr(module, name)(*arguments)
    return result


def is_available() -> bool:
    """Whether numba-cuda is installed and finds a GPU, or simulates one.

    Examples
    --------
    >>> from fastconv import cuda
    >>> cuda.is_available() in (True, False)
    True
    """
    try:
        from fastconv.cuda import _numba
    except ImportError:
        return False
    return bool(_numba.cuda.is_available())


def is_simulated() -> bool:
    """Whether kernels run in Numba's simulator: NUMBA_ENABLE_CUDASIM was 1 when this was loaded."""
    from fastconv.cuda import _numba

    return _numba.SIMULATED


def stream(value: Any) -> AbstractContextManager[None]:
    """Launch everything within a ``with`` block on a stream of ``numba.cuda``, whatever stream the arrays are on."""
    from fastconv.cuda import arrays

    return arrays.stream(value)


def empty_cache() -> None:
    """Give the GPU memory that waits for reuse back to the driver."""
    from fastconv.cuda import arrays

    arrays.POOL.trim(0)


def set_cache_limit(nbytes: int) -> None:
    """Set how much GPU memory may wait for reuse, 1 GiB unless set."""
    from fastconv.cuda import arrays

    arrays.POOL.set_limit(nbytes)
