"""The GPU's rows beside the processor's: the same layers and pools, waited for after each call.

``python -m fastconv.bench.gpu`` compares with PyTorch, at batch 32 and by the GPU's own clock.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from fastconv import cuda
from fastconv.bench import exact, gpu
from fastconv.bench.contender import Call, Contender
from fastconv.bench.layers import LAYERS, POOLS, Layer, Pool

DEVICE = "cuda"  # for conftest.py
THERE = cuda.is_available() and not cuda.is_simulated()


def make(layout: str, case: Layer | Pool, threads: int) -> Call:
    return gpu.conv_call(case, layout) if isinstance(case, Layer) else gpu.pool_call(case, layout)


def right(case: Layer | Pool) -> exact.Sample:
    given = gpu.arrays_of(case)
    return exact.conv(case, *given) if isinstance(case, Layer) else exact.pool(case, *given)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marks = [pytest.mark.skipif(not THERE, reason="needs an NVIDIA GPU and the extra fastconv[cuda]")]
    cases = [
        pytest.param(
            case, Contender("fastconv", layout, partial(make, layout)), id=f"{case.name}-{layout}", marks=marks
        )
        for case in (*LAYERS, *POOLS)
        for layout in gpu.LAYOUTS
    ]
    metafunc.parametrize(("case", "contender"), cases)


def test_gpu(case: Layer | Pool, contender: Contender, threads: int, measure: Any) -> None:
    call = contender.make(case, threads)
    right(case).check(call.read(call.run()), contender.bound)
    measure(call, case.name, case.title, case.headline, **gpu.work(case))
