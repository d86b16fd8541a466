"""Convolution forward: plans by every algorithm that serves the layer, the function, and the peers."""

from __future__ import annotations

from typing import Any

import pytest

from fastconv.bench.contender import Contender
from fastconv.bench.conv import contenders, right
from fastconv.bench.layers import LAYERS, Layer


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    cases = [
        pytest.param(case, contender, id=f"{case.name}-{contender.id}")
        for case in LAYERS
        for contender in contenders(case)
    ]
    metafunc.parametrize(("case", "contender"), cases)


def test_conv(case: Layer, contender: Contender, threads: int, measure: Any) -> None:
    call = contender.make(case, threads)
    right(case).check(call.read(call.run()), contender.bound)
    measure(call, case.name, case.title, case.headline, **{"GFLOP/s": case.flops / 1e9})
