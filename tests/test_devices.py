"""Arrays in a GPU's memory, where there is none: what is said about them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from fastconv import _arguments, cuda

CHILD = """
import sys
sys.modules["numba"] = None  # as if it were not installed
import numpy as np
from fastconv import cuda, functional

class Foreign:
    __cuda_array_interface__ = {"shape": (2,), "typestr": "<f4", "data": (0, False), "version": 3}

assert not cuda.is_available()
functional.relu(np.zeros(2, np.float32))
try:
    functional.relu(Foreign())
except ImportError as error:
    print(error)
from fastconv import Sequential, layers
model = Sequential([layers.Input((2,)), layers.Dense(1)])
try:
    model.predict(np.zeros((1, 2)), device="cuda")
except ImportError as error:
    print(error)
"""


def test_without_numba_the_error_names_the_extra() -> None:
    done = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=False)
    assert done.stdout.count("pip install 'fastconv[cuda]'") == 2, done.stderr


def test_only_arrays_of_a_gpu_are_on_one() -> None:
    class Foreign:
        def __dlpack_device__(self) -> tuple[int, int]:
            return 2, 0

    class Host(Foreign):
        def __dlpack_device__(self) -> tuple[int, int]:
            return 1, 0

    assert _arguments.on_device(Foreign())
    for value in (Host(), np.zeros(3), np.float32(1), [1.0], (2,), None, 1, "x", memoryview(b"x")):
        assert not _arguments.on_device(value)


def test_unknown_names() -> None:
    with pytest.raises(KeyError):
        cuda.run("no such operator")
