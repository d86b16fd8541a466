"""What else could do the work, each called the way that is fastest for its user and imported when it is first used.

Whoever is not installed does not take part.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from fastconv.bench.contender import Array, Call, installed, to_layout
from fastconv.bench.layers import Layer

TORCH = installed("torch")
ONNXRUNTIME = installed("onnx", "onnxruntime")
OPENVINO = installed("onnx", "openvino")
NCNN = installed("ncnn")
OPENCV = installed("cv2")


def torch_with(threads: int) -> Any:
    import torch

    torch.set_num_threads(threads)
    return torch


def torch_tensor(torch: Any, array: Array, layout: str) -> Any:
    """Give the array to torch; to torch NHWC is a memory format, and the shape stays channels first."""
    form = torch.contiguous_format if layout == "NCHW" else torch.channels_last
    return torch.from_numpy(array).contiguous(memory_format=form)


def torch_call(torch: Any, function: Callable[..., Any], *arguments: Any) -> Call:
    """Without the bookkeeping for gradients, which nobody asks for here."""

    def run() -> Any:
        with torch.inference_mode():
            return function(*arguments)

    return Call(run, lambda result: result.numpy())


def onnx_model(
    x: tuple[int, ...], y: tuple[int, ...], steps: list[tuple[str, dict[str, Any], Mapping[str, Array]]]
) -> bytes:
    """Write a chain of (operator, attributes, further inputs) from "x" to "y"."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what its own imports deprecate
        from onnx import TensorProto, helper, numpy_helper

    names = ["x", *(f"t{number}" for number in range(1, len(steps))), "y"]
    nodes, constants = [], []
    for number, (operator, attributes, more) in enumerate(steps):
        nodes.append(helper.make_node(operator, [names[number], *more], [names[number + 1]], **attributes))
        constants += [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in more.items()]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("x", x), ("y", y))]
    graph = helper.make_graph(nodes, "benchmark", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def onnxruntime_call(model: bytes, x: Array, y_shape: tuple[int, ...], threads: int) -> Call:
    """Input and output are bound once, so that a run copies and allocates nothing."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    output = onnxruntime.OrtValue.ortvalue_from_numpy(np.empty(y_shape, np.float32))
    binding = session.io_binding()
    binding.bind_cpu_input("x", x)
    binding.bind_ortvalue_output("y", output)
    return Call(partial(session.run_with_iobinding, binding), lambda _: output.numpy())


def openvino_call(model: bytes, x: Array, y_shape: tuple[int, ...], threads: int, layout: str) -> Call:
    """In NHWC the model takes and gives tensors of that layout; output of two axes has none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import openvino
        from openvino.preprocess import PrePostProcessor

    core = openvino.Core()
    network = core.read_model(model, b"")
    back = layout == "NHWC" and len(y_shape) == 4
    if layout == "NHWC":
        steps = PrePostProcessor(network)
        steps.input().tensor().set_layout(openvino.Layout("NHWC"))
        steps.input().model().set_layout(openvino.Layout("NCHW"))
        if back:
            steps.output().model().set_layout(openvino.Layout("NCHW"))
            steps.output().tensor().set_layout(openvino.Layout("NHWC"))
        network = steps.build()
    options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    compiled = core.compile_model(network, "CPU", options)
    request = compiled.create_infer_request()
    source, result = to_layout(x, layout), np.empty(list(compiled.output(0).shape), np.float32)
    request.set_input_tensor(openvino.Tensor(source, shared_memory=True))
    request.set_output_tensor(openvino.Tensor(result, shared_memory=True))

    def read(_: Any, kept: Any = (source, compiled)) -> Array:
        return result.transpose(0, 3, 1, 2) if back else result

    return Call(partial(request.infer, share_outputs=True), read)


def ncnn_call(layer: Layer, x: Array, w: Array, b: Array, threads: int) -> Call:
    """It knows no batch: one image after another."""
    import ncnn

    (kh, kw), (top, left) = layer.kernel, layer.padding
    options = {0: layer.k, 1: kw, 11: kh, 2: layer.dilation, 3: layer.stride, 4: left, 14: top, 5: 1, 6: w.size}
    kind = "Convolution"
    if layer.groups > 1:
        kind, options[7] = "ConvolutionDepthWise", layer.groups
    listed = " ".join(f"{key}={value}" for key, value in options.items())
    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    with TemporaryDirectory() as folder:
        Path(folder, "param").write_text(f"7767517\n2 2\nInput x 0 1 x\n{kind} y 1 1 x y {listed}\n")
        Path(folder, "bin").write_bytes(bytes(4) + w.tobytes() + b.tobytes())  # four zeros: the weights are float32
        assert net.load_param(f"{folder}/param") == 0
        assert net.load_model(f"{folder}/bin") == 0
    images = [ncnn.Mat(image) for image in x]

    def run(_kept: Array = x) -> list[Any]:
        results = []
        for image in images:
            extractor = net.create_extractor()
            extractor.input("x", image)
            results.append(extractor.extract("y")[1])
        return results

    return Call(run, lambda results: np.stack([np.array(result) for result in results]))


def opencv_call(layer: Layer, x: Array, w: Array, b: Array, threads: int) -> Call:
    """One image of one channel; a separable kernel is handed over as its two factors."""
    import cv2

    cv2.setNumThreads(threads)
    image, result = x[0, 0], np.empty_like(x[0, 0])
    options = {"dst": result, "delta": float(b[0]), "borderType": cv2.BORDER_CONSTANT}
    if layer.separable:
        u, s, v = np.linalg.svd(w[0, 0].astype(np.float64))
        factors = v[0].astype(np.float32), (u[:, 0] * s[0]).astype(np.float32)
        run = partial(cv2.sepFilter2D, image, -1, *factors, **options)
    else:
        run = partial(cv2.filter2D, image, -1, w[0, 0], **options)
    return Call(run, lambda _: result[None, None])
