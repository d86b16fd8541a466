"""Pooling forward."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import numpy as np
import pytest

from fastconv import functional
from fastconv.bench import exact, peers
from fastconv.bench.contender import Array, Call, Contender, from_layout, to_layout
from fastconv.bench.layers import POOLS, Pool


@lru_cache(1)
def tensor(case: Pool) -> Array:
    return exact.generator(case.name).standard_normal(case.input, np.float32)


@lru_cache(1)
def right(case: Pool) -> exact.Sample:
    return exact.pool(case, tensor(case))


def operator(module: Any, case: Pool) -> partial[Any]:
    """The function and its arguments after the input: fastconv.functional's and torch's are the same."""
    if case.kind == "global average":
        return partial(module.adaptive_avg_pool2d, output_size=1)
    function = module.max_pool2d if case.kind == "maximum" else module.avg_pool2d
    return partial(function, kernel_size=case.kernel, stride=case.stride, padding=case.padding)


def fastconv(layout: str, case: Pool, threads: int) -> Call:
    x, run = to_layout(tensor(case), layout), partial(operator(functional, case), layout=layout)
    return Call(partial(run, x, out=run(x)), partial(from_layout, layout=layout))


def torch(layout: str, case: Pool, threads: int) -> Call:
    module = peers.torch_with(threads)
    x = peers.torch_tensor(module, tensor(case), layout)
    return peers.torch_call(module, operator(module.nn.functional, case), x)


def onnx(case: Pool) -> bytes:
    names = {"maximum": "MaxPool", "average": "AveragePool", "global average": "GlobalAveragePool"}
    attributes: dict[str, Any] = {}
    if case.kind != "global average":
        attributes = {"kernel_shape": [case.kernel] * 2, "strides": [case.stride] * 2, "pads": [case.padding] * 4}
    if case.kind == "average":
        attributes["count_include_pad"] = 1
    return peers.onnx_model(case.input, case.output, [(names[case.kind], attributes, {})])


def onnxruntime(case: Pool, threads: int) -> Call:
    return peers.onnxruntime_call(onnx(case), tensor(case), case.output, threads)


def openvino(layout: str, case: Pool, threads: int) -> Call:
    return peers.openvino_call(onnx(case), tensor(case), case.output, threads, layout)


def contenders() -> list[Contender]:
    makers = {"fastconv": fastconv}
    if peers.TORCH:
        makers["torch"] = torch
    if peers.OPENVINO:
        makers["openvino"] = openvino
    found = [
        Contender(name, layout, partial(make, layout)) for name, make in makers.items() for layout in ("NCHW", "NHWC")
    ]
    return found + [Contender("onnxruntime", "NCHW", onnxruntime)] * peers.ONNXRUNTIME


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    cases = [
        pytest.param(case, contender, id=f"{case.name}-{contender.id}") for case in POOLS for contender in contenders()
    ]
    metafunc.parametrize(("case", "contender"), cases)


def test_pool(case: Pool, contender: Contender, threads: int, measure: Any) -> None:
    call = contender.make(case, threads)
    right(case).check(call.read(call.run()), contender.bound)
    moved = 4 * (np.prod(case.input) + np.prod(case.output))
    measure(call, case.name, case.title, case.headline, **{"GB/s": moved / 1e9})
