"""Every kernel compiles without a GPU for compute capabilities 8.0 and 9.0, and keeps what it promises."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys

from fastconv.cuda import gate, kernels


def test_every_kernel_keeps_its_promises() -> None:
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "0"}
    command = [sys.executable, "-m", "fastconv.cuda.gate"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    broken = [line for line in done.stdout.splitlines() if not line.endswith(" ok")]
    assert done.returncode == 0, "\n".join([*broken, done.stderr[-2000:]])
    assert ", 0 failures, " in broken[-1], broken


def test_every_factory_is_there_for_both_dtypes() -> None:
    found = {(k.function.__module__, k.function.__qualname__.partition(".")[0], d)
             for k in gate.kernels() for d in ("f4", "f8") if re.search(rf"\b{d}\b", k.name)}  # fmt: skip
    there = [
        importlib.import_module(f"fastconv.cuda.kernels.{each.name}") for each in pkgutil.iter_modules(kernels.__path__)
    ]
    modules = [module for module in there if hasattr(module, "specialisations")]
    factories = {
        (module.__name__, name)
        for module in modules
        for name, value in vars(module).items()
        if hasattr(value, "cache_info") and inspect.get_annotations(value.__wrapped__)["return"] == "Kernel"
        and value.__module__ == module.__name__
    }  # fmt: skip
    assert len(factories) > 15
    assert found == {(*factory, dtype) for factory in factories for dtype in ("f4", "f8")}


def test_no_kernel_is_there_twice() -> None:
    names = [kernel.name for kernel in gate.kernels()]
    assert len(names) == len(set(names))


def test_the_gate_finds_what_is_wrong() -> None:
    program = """
from fastconv.cuda import gate
from fastconv.cuda._numba import cuda
from fastconv.cuda.kernel import Kernel
import numpy as np

def kernel(src, dst, n):
    held = cuda.local.array(64, np.float32)
    for i in range(64):
        held[i] = src[i]
    dst[0] = held[n]

wrong = Kernel("wrong", kernel, ("f4[]", "f4[]", "i4"), 32, registers=4, instructions=("ld.shared.v4.f32",))
print("; ".join(gate.complaints(wrong, *wrong.compile((9, 0)))))
"""
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "0"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment)
    assert "bytes of local memory" in done.stdout, done.stderr
    assert "more than 4" in done.stdout
    assert "no ld.shared.v4.f32" in done.stdout
