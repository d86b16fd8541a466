"""Reading DLPack's capsules, for arrays that have no __cuda_array_interface__."""

from __future__ import annotations

import ctypes
from typing import Any

KINDS = {0: "i", 1: "u", 2: "f"}
LEGACY_STREAM = 1  # CUDA's default stream, as DLPack numbers it


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype = ctypes.c_void_p
_pointer_of.argtypes = (ctypes.py_object, ctypes.c_char_p)


def interface(capsule: Any) -> dict[str, Any]:
    """Return what a capsule describes, in the words of __cuda_array_interface__.

    The capsule is not consumed: whoever holds it holds the memory.

    Examples
    --------
    >>> import numpy as np
    >>> array = np.zeros((2, 3), np.float32)
    >>> said = interface(array.__dlpack__())
    >>> said["shape"], said["strides"], said["typestr"], said["data"][0] == array.ctypes.data
    ((2, 3), (12, 4), '<f4', True)
    """
    tensor = _Tensor.from_address(_pointer_of(capsule, b"dltensor"))
    size = tensor.bits // 8
    kind = KINDS.get(tensor.code, "V") if tensor.lanes == 1 else "V"
    shape = tuple(tensor.shape[axis] for axis in range(tensor.ndim))
    strides = tuple(tensor.strides[axis] * size for axis in range(tensor.ndim)) if tensor.strides else None
    address = (tensor.data or 0) + tensor.byte_offset
    return {"shape": shape, "strides": strides, "typestr": f"<{kind}{size}", "data": (address, False), "version": 3}
