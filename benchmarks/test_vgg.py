"""A VGG of CIFAR's size as a whole: prediction, and training steps with SGD and momentum, in batches of 64."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import pytest

from fastconv import optimizers
from fastconv.bench import exact, peers, vgg
from fastconv.bench.contender import Array, Call, Contender, to_layout

BATCH = 64
STEPS = 4
RATE, MOMENTUM = 0.01, 0.9
WEIGHTS = vgg.random_weights()


class Case(NamedTuple):
    name: str

    @property
    def images(self) -> Array:
        return exact.generator(self.name).standard_normal((BATCH, 3, 32, 32), np.float32)

    @property
    def labels(self) -> Array:
        return exact.generator(self.name + " labels").integers(0, 10, BATCH)


# --- prediction --------------------------------------------------------------------------------------------------


def fastconv_predict(case: Case, threads: int) -> Call:
    model = vgg.model()
    model.set_weights(WEIGHTS)
    return Call(partial(model.predict_on_batch, to_layout(case.images, "NHWC")), np.asarray)


def torch_predict(layout: str, case: Case, threads: int) -> Call:
    torch = peers.torch_with(threads)
    network = torch.nn.Sequential(vgg.torch_model(torch, layout), torch.nn.Softmax(1)).eval()
    return peers.torch_call(torch, network, peers.torch_tensor(torch, case.images, layout))


def onnx() -> bytes:
    steps: list[tuple[str, dict[str, Any], dict[str, Array]]] = []
    names = ("w", "b", "gamma", "beta", "mean", "variance")
    weights = vgg.torch_weights(WEIGHTS)
    for number in range(len(vgg.FILTERS)):
        named = {f"{n}{number}": v for n, v in zip(names, weights[6 * number : 6 * number + 6], strict=True)}
        first, rest = dict(list(named.items())[:2]), dict(list(named.items())[2:])
        steps += [("Conv", {"pads": [1, 1, 1, 1]}, first), ("BatchNormalization", {"epsilon": vgg.EPSILON}, rest)]
        steps.append(("Relu", {}, {}))
        if number % 2:
            steps.append(("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}, {}))
    w6, b6, w7, b7 = weights[-4:]
    steps += [("Flatten", {}, {}), ("Gemm", {"transB": 1}, {"w6": w6, "b6": b6}), ("Relu", {}, {})]
    steps += [("Gemm", {"transB": 1}, {"w7": w7, "b7": b7}), ("Softmax", {}, {})]
    return peers.onnx_model((BATCH, 3, 32, 32), (BATCH, 10), steps)


def onnxruntime_predict(case: Case, threads: int) -> Call:
    return peers.onnxruntime_call(onnx(), case.images, (BATCH, 10), threads)


def openvino_predict(case: Case, threads: int) -> Call:
    return peers.openvino_call(onnx(), case.images, (BATCH, 10), threads, "NCHW")


@cache
def right_probabilities(case: Case) -> exact.Sample:
    rows = np.array([0, 17, BATCH - 1])
    values = vgg.forward(WEIGHTS, to_layout(case.images[rows], "NHWC"))
    return exact.Sample((BATCH, 10), tuple(np.broadcast_arrays(rows[:, None], np.arange(10))), values)


# --- training ----------------------------------------------------------------------------------------------------


def fastconv_train(case: Case, threads: int) -> tuple[Callable[[], Any], Callable[[], float]]:
    model = vgg.model()
    model.set_weights(WEIGHTS)
    model.compile(optimizers.SGD(RATE, momentum=MOMENTUM), "sparse_categorical_crossentropy")
    x, y = np.tile(to_layout(case.images, "NHWC"), (STEPS, 1, 1, 1)), np.tile(case.labels, STEPS)
    fit = partial(model.fit, x, y, batch_size=BATCH, shuffle=False, verbose=0)
    return fit, lambda: float(model.evaluate(x[:BATCH], y[:BATCH], verbose=0))


def torch_train(layout: str, compiled: bool, case: Case, threads: int) -> tuple[Callable[[], Any], Callable[[], float]]:
    torch = peers.torch_with(threads)
    network = vgg.torch_model(torch, layout).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE, momentum=MOMENTUM, fused=True)
    loss = torch.nn.CrossEntropyLoss()
    x, y = peers.torch_tensor(torch, case.images, layout), torch.from_numpy(case.labels)

    def value(images: Any, labels: Any) -> Any:
        return loss(network(images), labels)

    step = torch.compile(value) if compiled else value

    def epoch() -> None:
        for _ in range(STEPS):
            optimizer.zero_grad()
            step(x, y).backward()
            optimizer.step()

    def evaluated() -> float:
        network.eval()
        with torch.no_grad():
            found = float(value(x, y))
        network.train()
        return found

    return epoch, evaluated


# --- what pytest runs --------------------------------------------------------------------------------------------


def predicting() -> list[Contender]:
    found = [Contender("fastconv", "NHWC", fastconv_predict)]
    if peers.TORCH:
        found += [Contender("torch", layout, partial(torch_predict, layout)) for layout in ("NCHW", "NHWC")]
    if peers.ONNXRUNTIME:
        found.append(Contender("onnxruntime", "NCHW", onnxruntime_predict))
    if peers.OPENVINO:
        found.append(Contender("openvino", "NCHW", openvino_predict))
    return found


def training() -> list[Contender]:
    found = [Contender("fastconv", "NHWC", fastconv_train)]  # type: ignore[arg-type]
    if peers.TORCH:
        kinds = [(name, layout) for name in ("torch", "torch_compiled") for layout in ("NCHW", "NHWC")]
        makes = [partial(torch_train, layout, name == "torch_compiled") for name, layout in kinds]
        found += [Contender(*kind, make) for kind, make in zip(kinds, makes, strict=True)]  # type: ignore[arg-type]
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    predicts = metafunc.definition.name == "test_vgg_predict"
    case = Case(f"vgg_{'predict' if predicts else 'train'}_b{BATCH}")
    contenders = predicting() if predicts else training()
    metafunc.parametrize(("case", "contender"), [pytest.param(case, one, id=one.id) for one in contenders])


def test_vgg_predict(case: Case, contender: Contender, threads: int, measure: Any) -> None:
    call = contender.make(case, threads)
    right_probabilities(case).check(call.read(call.run()), contender.bound)
    work = {"GFLOP/s": vgg.FLOPS * BATCH / 1e9, "images/s": BATCH}
    measure(call, case.name, f"VGG for CIFAR, predicting {BATCH} images", True, **work)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.compile warns of torch itself
def test_vgg_train(case: Case, contender: Contender, threads: int, measure: Any) -> None:
    epoch, evaluated = contender.make(case, threads)  # type: ignore[misc]
    before = evaluated()
    for _ in range(3):
        epoch()
    assert evaluated() < before, "twelve steps on one batch must lower its loss"
    title = f"VGG for CIFAR, {STEPS} training steps of {BATCH} images"
    measure(Call(epoch, np.asarray), case.name, title, True, **{"images/s": STEPS * BATCH})
