"""Every kernel compiles without a GPU for compute capabilities 8.0 and 9.0, and keeps what it promises."""

from __future__ import annotations

import os
import subprocess
import sys


def test_every_kernel_keeps_its_promises() -> None:
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "0"}
    command = [sys.executable, "-m", "fastconv.cuda.gate"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    broken = [line for line in done.stdout.splitlines() if not line.endswith(" ok")]
    assert done.returncode == 0, "\n".join([*broken, done.stderr[-2000:]])
    assert ", 0 failures, " in broken[-1], broken


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
