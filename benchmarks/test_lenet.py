"""LeNet-5 as a whole: prediction, and training for an epoch with SGD and momentum."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import pytest

from fastconv import models, optimizers
from fastconv.bench import exact, lenet, peers
from fastconv.bench.contender import Array, Call, Contender, to_layout

PREDICTED = (1, 64, 1024)
TRAINED = (32, 128)
EPOCH = 512  # images
RATE, MOMENTUM = 0.05, 0.9
WEIGHTS = lenet.random_weights()


class Batch(NamedTuple):
    """How many images at a time; `images` is channels first."""

    name: str
    size: int

    @property
    def images(self) -> Array:
        count = EPOCH if self.name.startswith("lenet_train") else self.size
        return exact.generator(self.name).standard_normal((count, 1, 32, 32), np.float32)

    @property
    def labels(self) -> Array:
        return exact.generator(self.name + " labels").integers(0, 10, EPOCH)


class Training(NamedTuple):
    """One step changes the weights in place; all() reads them in Keras' order and layouts."""

    step: Callable[[Array, Array], Any]
    epoch: Callable[[], Any]
    all: Callable[[], list[Array]]


# --- prediction --------------------------------------------------------------------------------------------------


def fastconv_predict(case: Batch, threads: int) -> Call:
    model = models.LeNet5()
    model.set_weights(WEIGHTS)
    return Call(partial(model.predict_on_batch, to_layout(case.images, "NHWC")), np.asarray)


def torch_network(torch: Any, layout: str) -> Any:
    """Without the softmax, which training leaves to the loss."""
    nn = torch.nn
    network = nn.Sequential(
        *(nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Conv2d(16, 120, 5), nn.Tanh(), nn.Flatten(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10)),
    )
    with torch.no_grad():
        for parameter, weight in zip(network.parameters(), WEIGHTS, strict=True):
            axes = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[weight.ndim]
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(weight.transpose(axes))))
    return network.to(memory_format=torch.contiguous_format if layout == "NCHW" else torch.channels_last)


def torch_predict(layout: str, case: Batch, threads: int) -> Call:
    torch = peers.torch_with(threads)
    network = torch.nn.Sequential(torch_network(torch, layout), torch.nn.Softmax(1)).eval()
    return peers.torch_call(torch, network, peers.torch_tensor(torch, case.images, layout))


def onnx(case: Batch) -> bytes:
    w1, b1, w3, b3, w5, b5, w6, b6, w7, b7 = WEIGHTS
    halve: tuple[str, dict[str, Any], dict[str, Array]] = (
        "AveragePool",
        {"kernel_shape": [2, 2], "strides": [2, 2]},
        {},
    )
    convs = [
        ("Conv", {}, {f"w{number}": w.transpose(3, 2, 0, 1), f"b{number}": b})
        for number, (w, b) in enumerate([(w1, b1), (w3, b3), (w5, b5)])
    ]
    steps = [convs[0], ("Tanh", {}, {}), halve, convs[1], ("Tanh", {}, {}), halve, convs[2], ("Tanh", {}, {})]
    steps += [("Flatten", {}, {}), ("Gemm", {}, {"w6": w6, "b6": b6}), ("Tanh", {}, {})]
    steps += [("Gemm", {}, {"w7": w7, "b7": b7}), ("Softmax", {}, {})]
    return peers.onnx_model((case.size, 1, 32, 32), (case.size, 10), steps)


def onnxruntime_predict(case: Batch, threads: int) -> Call:
    return peers.onnxruntime_call(onnx(case), case.images, (case.size, 10), threads)


def openvino_predict(case: Batch, threads: int) -> Call:
    return peers.openvino_call(onnx(case), case.images, (case.size, 10), threads, "NCHW")


@cache
def right_probabilities(case: Batch) -> exact.Sample:
    """Of some images, the first and the last among them."""
    rows = np.unique([0, case.size - 1, *exact.generator("images").integers(0, case.size, 6)])
    values = lenet.forward(WEIGHTS, to_layout(case.images[rows], "NHWC"))[-1]
    where = np.broadcast_arrays(rows[:, None], np.arange(10))
    return exact.Sample((case.size, 10), tuple(where), values)


# --- training ----------------------------------------------------------------------------------------------------


def fastconv_train(case: Batch, threads: int) -> Training:
    model = models.LeNet5()
    model.set_weights(WEIGHTS)
    optimizer = optimizers.SGD(learning_rate=RATE, momentum=MOMENTUM)
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy")
    x, options = to_layout(case.images, "NHWC"), {"epochs": 1, "shuffle": False, "verbose": 0}
    return Training(
        lambda images, labels: model.train_on_batch(to_layout(images, "NHWC"), labels),
        partial(model.fit, x, case.labels, batch_size=case.size, **options),
        model.get_weights,
    )


def torch_train(layout: str, case: Batch, threads: int) -> Training:
    torch = peers.torch_with(threads)
    network = torch_network(torch, layout).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE, momentum=MOMENTUM, fused=True)
    loss = torch.nn.CrossEntropyLoss()
    x, y = peers.torch_tensor(torch, case.images, layout), torch.from_numpy(case.labels)

    def step(images: Any, labels: Any) -> None:
        optimizer.zero_grad()
        loss(network(images), labels).backward()
        optimizer.step()

    def epoch() -> None:
        for first in range(0, EPOCH, case.size):
            step(x[first : first + case.size], y[first : first + case.size])

    def weights() -> list[Array]:
        arrays = [parameter.detach().numpy() for parameter in network.parameters()]
        return [array.transpose({4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}[array.ndim]).copy() for array in arrays]

    def from_numpy(images: Array, labels: Array) -> None:
        step(peers.torch_tensor(torch, images, layout), torch.from_numpy(labels))

    return Training(from_numpy, epoch, weights)


@cache
def right_changes(case: Batch) -> list[Any]:
    """What the first step adds to the weights: momentum has nothing to add yet."""
    x = to_layout(case.images[: case.size], "NHWC")
    return [-RATE * gradient for gradient in lenet.gradients(WEIGHTS, x, case.labels[: case.size])]


def check_first_step(case: Batch, training: Training) -> None:
    training.step(case.images[: case.size], case.labels[: case.size])
    for after, before, right in zip(training.all(), WEIGHTS, right_changes(case), strict=True):
        error = np.linalg.norm((after.astype(np.float64) - before) - right)
        # a weight's own rounding, and the gradient's
        allowed = 1e-7 * np.linalg.norm(before) + 1e-4 * np.linalg.norm(right)
        assert error <= allowed, f"a change of shape {right.shape} is off by {error:.1e}, at most {allowed:.1e}"


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
    found = [Contender("fastconv", "NHWC", fastconv_train)]
    if peers.TORCH:
        found += [Contender("torch", layout, partial(torch_train, layout)) for layout in ("NCHW", "NHWC")]
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    predicts = metafunc.definition.name == "test_lenet_predict"
    what, sizes = ("predict", PREDICTED) if predicts else ("train", TRAINED)
    cases = [
        pytest.param(Batch(f"lenet_{what}_b{size}", size), contender, id=f"b{size}-{contender.id}")
        for size in sizes
        for contender in (predicting() if predicts else training())
    ]
    metafunc.parametrize(("case", "contender"), cases)


def test_lenet_predict(case: Batch, contender: Contender, threads: int, measure: Any) -> None:
    call = contender.make(case, threads)
    right_probabilities(case).check(call.read(call.run()), contender.bound)
    title = f"LeNet-5, predicting {'one image' if case.size == 1 else f'{case.size} images'}"
    work = {"GFLOP/s": lenet.FLOPS * case.size / 1e9, "images/s": case.size}
    measure(call, case.name, title, case.size < 1024, **work)


def test_lenet_train(case: Batch, contender: Contender, threads: int, measure: Any) -> None:
    made = contender.make(case, threads)
    check_first_step(case, made)
    title = f"LeNet-5, training on batches of {case.size}, {EPOCH} images"
    measure(Call(made.epoch, np.asarray), case.name, title, case.size == 32, **{"images/s": EPOCH})
