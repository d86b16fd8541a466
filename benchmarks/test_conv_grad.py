"""Convolution backward: the gradient with respect to the input (dX) and to the weights (dW)."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import numpy as np
import pytest

from fastconv import grad
from fastconv.bench import exact, peers
from fastconv.bench.contender import (
    Array,
    Call,
    Contender,
    from_layout,
    to_layout,
    weight_from_layout,
    weight_to_layout,
)
from fastconv.bench.layers import TRAINED, Layer


@lru_cache(1)
def tensors(case: Layer) -> tuple[Array, Array, Array]:
    """Return input, weight and the gradient that comes from above, random, channels first."""
    rng = exact.generator(case.name)
    x, w, g = (rng.standard_normal(shape, np.float32) for shape in (case.input, case.weight, case.output))
    return x, w, g


@lru_cache(2)
def right(case: Layer, what: str) -> exact.Sample:
    x, w, g = tensors(case)
    return exact.conv_input(case, w, g) if what == "input" else exact.conv_weight(case, x, g)


def fastconv(layout: str, what: str, case: Layer, threads: int) -> Call:
    x, w, g = tensors(case)
    x, w, g = to_layout(x, layout), weight_to_layout(w, layout), to_layout(g, layout)
    options: dict[str, Any] = {**case.arguments, "layout": layout}
    if what == "input":
        run = partial(grad.conv2d_input, x.shape, w, g, **options, out=np.empty_like(x))
        return Call(run, partial(from_layout, layout=layout))
    run = partial(grad.conv2d_weight, x, w.shape, g, **options, out=np.empty_like(w))
    return Call(run, partial(weight_from_layout, layout=layout))


def torch(layout: str, what: str, case: Layer, threads: int) -> Call:
    module = peers.torch_with(threads)
    x, w, g = (peers.torch_tensor(module, array, layout) for array in tensors(case))
    where = [case.stride] * 2, list(case.padding), [case.dilation] * 2, False, [0, 0], case.groups
    mask = [what == "input", what == "weight", False]
    call = peers.torch_call(module, module.ops.aten.convolution_backward, g, x, w, None, *where, mask)
    return Call(call.run, lambda results: results[0 if what == "input" else 1].numpy())


def contenders(what: str) -> list[Contender]:
    makers = {"fastconv-grad": fastconv}
    if peers.TORCH:
        makers["torch"] = torch
    return [
        Contender(name, layout, partial(make, layout, what))
        for name, make in makers.items()
        for layout in ("NCHW", "NHWC")
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    cases = [
        pytest.param(case, what, contender, id=f"{case.name}-{what}-{contender.id}")
        for case in TRAINED
        for what in ("input", "weight")
        for contender in contenders(what)
    ]
    metafunc.parametrize(("case", "what", "contender"), cases)


def test_conv_grad(case: Layer, what: str, contender: Contender, threads: int, measure: Any) -> None:
    call = contender.make(case, threads)
    right(case, what).check(call.read(call.run()), contender.bound)
    title = f"{case.title}, gradient of the {'input' if what == 'input' else 'weights'}"
    headline = case.name == "resnet_3x3_56"
    measure(call, f"{case.name} gradient of {what}", title, headline, **{"GFLOP/s": case.flops / 1e9})
