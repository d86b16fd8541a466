"""Which memory an array is in."""

from __future__ import annotations

import numpy as np

CUDA = 2  # DLPack's number for it


def on_device(value: object) -> bool:
    """Whether a value is an array in a GPU's memory; cheap to ask of NumPy's own."""
    if isinstance(value, np.ndarray | int | float | list | tuple | None):
        return False
    kind = type(value)
    if getattr(kind, "__cuda_ndarray__", False):
        return True
    if kind.__module__.partition(".")[0] == "torch":
        return bool(getattr(value, "is_cuda", False))
    if getattr(value, "__cuda_array_interface__", None) is not None:
        return True
    device = getattr(value, "__dlpack_device__", None)
    return device is not None and device()[0] == CUDA
