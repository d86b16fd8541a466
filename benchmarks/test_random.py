"""Convolution forward on random shapes (`--random 100`), so that nothing is tuned to a list: plans and peers."""

from __future__ import annotations

from typing import Any

import pytest

from fastconv.bench.contender import Contender
from fastconv.bench.conv import contenders, right
from fastconv.bench.layers import Layer
from fastconv.bench.random_layers import random_layers


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    cases = [
        pytest.param(case, contender, id=f"{case.name}-{contender.id}")
        for case in random_layers(metafunc.config.getoption("--random"))
        for contender in contenders(case)
        if contender.implementation != "fastconv-functional"
    ]
    metafunc.parametrize(("case", "contender"), cases)


def test_random(case: Layer, contender: Contender, threads: int, measure: Any) -> None:
    call = contender.make(case, threads)
    right(case).check(call.read(call.run()), contender.bound)
    measure(call, case.name, case.title, case.headline, **{"GFLOP/s": case.flops / 1e9})
