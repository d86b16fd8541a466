"""Convolution forward: plans by every algorithm that serves the layer, the function, and the peers."""

from __future__ import annotations

from functools import cache, lru_cache, partial
from typing import Any

import numpy as np

import fastconv
from fastconv import functional
from fastconv.bench import exact, peers
from fastconv.bench.contender import Array, Call, Contender, from_layout, to_layout, weight_to_layout
from fastconv.bench.layers import Layer


@lru_cache(1)
def tensors(case: Layer) -> tuple[Array, Array, Array]:
    """Return input, weight and bias, random, channels first."""
    rng = exact.generator(case.name)
    x = rng.standard_normal(case.input, np.float32)
    w = rng.standard_normal(case.weight, np.float32)
    if case.separable:
        w[0, 0] = np.outer(*rng.standard_normal((2, case.kernel[0]))).astype(np.float32)
    return x, w, rng.standard_normal(case.k, np.float32)


@lru_cache(1)
def right(case: Layer) -> exact.Sample:
    return exact.conv(case, *tensors(case))


def planned(case: Layer, layout: str, algorithm: str) -> Any:
    _, w, b = tensors(case)
    shape = case.input if layout == "NCHW" else (case.n, case.h, case.w, case.c)
    options: dict[str, Any] = {**case.arguments, "layout": layout, "algorithm": algorithm}
    return fastconv.plan_conv2d(shape, weight_to_layout(w, layout), b, **options)


def plan(layout: str, algorithm: str, case: Layer, threads: int) -> Call:
    made, x = planned(case, layout, algorithm), to_layout(tensors(case)[0], layout)
    return Call(partial(made, x, out=made(x)), partial(from_layout, layout=layout))


def function(layout: str, case: Layer, threads: int) -> Call:
    x, w, b = tensors(case)
    options: dict[str, Any] = {**case.arguments, "layout": layout}
    run = partial(functional.conv2d, to_layout(x, layout), weight_to_layout(w, layout), b, **options)
    return Call(run, partial(from_layout, layout=layout))


def torch(layout: str, case: Layer, threads: int) -> Call:
    module = peers.torch_with(threads)
    x, w, b = tensors(case)
    tx, tw = (peers.torch_tensor(module, array, layout) for array in (x, w))
    options = case.stride, case.padding, case.dilation, case.groups
    return peers.torch_call(module, module.nn.functional.conv2d, tx, tw, module.from_numpy(b), *options)


def onnx(case: Layer) -> bytes:
    _, w, b = tensors(case)
    attributes = {
        "kernel_shape": case.kernel,
        "strides": [case.stride] * 2,
        "pads": case.padding * 2,
        "dilations": [case.dilation] * 2,
        "group": case.groups,
    }
    return peers.onnx_model(case.input, case.output, [("Conv", attributes, {"w": w, "b": b})])


def onnxruntime(case: Layer, threads: int) -> Call:
    return peers.onnxruntime_call(onnx(case), tensors(case)[0], case.output, threads)


def openvino(layout: str, case: Layer, threads: int) -> Call:
    return peers.openvino_call(onnx(case), tensors(case)[0], case.output, threads, layout)


def ncnn(case: Layer, threads: int) -> Call:
    return peers.ncnn_call(case, *tensors(case), threads)


def opencv(case: Layer, threads: int) -> Call:
    return peers.opencv_call(case, *tensors(case), threads)


@cache
def algorithms(case: Layer, layout: str) -> list[str]:
    """What "auto" takes, then the others that serve the layer."""
    chosen, names = planned(case, layout, "auto").algorithm, ["auto"]
    for algorithm in ("direct", "im2col", "winograd"):
        try:
            served = planned(case, layout, algorithm).algorithm
        except ValueError:
            continue
        if served != chosen:
            names.append(algorithm)
    return names


def contenders(case: Layer) -> list[Contender]:
    layouts = ("NCHW", "NHWC")
    found = [
        Contender(f"fastconv-plan-{algorithm}", layout, partial(plan, layout, algorithm))
        for layout in layouts
        for algorithm in algorithms(case, layout)
    ]
    found += [Contender("fastconv-functional", layout, partial(function, layout)) for layout in layouts]
    if peers.TORCH:
        found += [Contender("torch", layout, partial(torch, layout)) for layout in layouts]
    if peers.ONNXRUNTIME:
        found.append(Contender("onnxruntime", "NCHW", onnxruntime))
    if peers.OPENVINO:
        found += [Contender("openvino", layout, partial(openvino, layout)) for layout in layouts]
    if peers.NCNN:
        found.append(Contender("ncnn", "NCHW", ncnn))
    if peers.OPENCV and case.n == case.c == case.k == 1:
        found.append(Contender("opencv", "NCHW", opencv))
    return found
