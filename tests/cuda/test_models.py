"""Models: the same predictions, evaluations and weights as on a CPU, within rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv import Sequential, layers, optimizers, utils
from fastconv.cuda import capture
from fastconv.cuda.kernel import Kernel
from fastconv.cuda.operators import fused
from fastconv.models.device import chain as chains


def small(last: str = "softmax") -> Any:
    """A network with a layer of every kind that does more than one call."""
    utils.set_random_seed(1)
    return Sequential(
        [
            layers.Input((4, 4, 1)),
            layers.Conv2D(2, 3, padding="same", use_bias=False),
            layers.BatchNormalization(momentum=0.5),
            layers.Activation("tanh"),
            layers.MaxPooling2D(),
            layers.Conv2D(3, 2, activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.25),
            layers.Dense(3, activation=last),
        ]
    )


def data(count: int = 5) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    return np.float32(draw.standard_normal((count, 4, 4, 1))), draw.integers(0, 3, count)


def assert_same(model: Any, other: Any, tolerance: float = 2e-5) -> None:
    for mine, yours in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(mine, yours, atol=tolerance, rtol=tolerance)


def test_predictions_follow_the_weights() -> None:
    model, (x, _) = small(), data(3)
    for _ in range(2):
        np.testing.assert_allclose(model.predict(x, device="cuda", batch_size=2), model.predict(x), atol=1e-6)
        model.set_weights([weights * 0.5 + 0.1 for weights in model.get_weights()])
    assert model.predict(x[:0], device="cuda").shape == (0, 3)


def dense() -> Any:
    """A network in which there is little beside the optimizer."""
    utils.set_random_seed(1)
    return Sequential([layers.Input((4, 4, 1)), layers.Flatten(), layers.Dense(3, activation="softmax")])


@pytest.mark.parametrize(
    ("network", "optimizer"),
    [
        (small, lambda: optimizers.SGD(0.1, momentum=0.9, nesterov=True, clipnorm=0.5)),
        (dense, lambda: optimizers.AdamW(0.01, weight_decay=0.1, amsgrad=True)),
        (dense, lambda: optimizers.RMSprop(0.01, momentum=0.5, centered=True, global_clipnorm=1.0)),
    ],
)
def test_training_is_that_of_the_processor(network: Any, optimizer: Any) -> None:
    x, y = data()
    made = []
    for device in ("cpu", "cuda"):
        model = network()
        model.compile(optimizer(), "sparse_categorical_crossentropy", metrics=["accuracy"])
        fastconv.set_seed(3)
        history = model.fit(x, y, batch_size=3, epochs=1, verbose=0, shuffle=False, device=device)
        made.append((model, history.history))
    (host, told), (device_model, heard) = made
    assert_same(host, device_model)
    np.testing.assert_allclose(told["loss"], heard["loss"], rtol=1e-4)
    assert told["accuracy"] == heard["accuracy"]
    assert host.optimizer.iterations == device_model.optimizer.iterations == 2
    for mine, yours in zip(host.optimizer.variables, device_model.optimizer.variables, strict=True):
        np.testing.assert_allclose(mine, yours, atol=2e-5, rtol=1e-4)
    found = device_model.evaluate(x, y, verbose=0, return_dict=True, device="cuda")
    np.testing.assert_allclose(
        found["loss"], device_model.evaluate(x, y, verbose=0, return_dict=True)["loss"], rtol=1e-5
    )


def test_weighed_distributions_train() -> None:
    x, y = data(3)
    weights, made = np.float32([1, 0.5, 2]), []
    for device in ("cpu", "cuda"):
        model = Sequential([layers.Input((4, 4, 1)), layers.Flatten(), layers.Dense(3, activation="softmax")])
        model.set_weights([np.eye(16, 3), np.zeros(3)])
        model.compile(optimizers.SGD(0.5), "categorical_crossentropy")
        model.fit(x, np.eye(3)[y] * 0.8 + 0.1, sample_weight=weights, verbose=0, shuffle=False, device=device)
        made.append(model)
    assert_same(*made)


def test_a_frozen_layer_stays_and_other_losses_train() -> None:
    x, _ = data(2)
    targets = np.float32([[1, 2, 3], [0, 1, 0]])
    made = []
    for device in ("cpu", "cuda"):
        model = small(last="linear")
        model.layers[0].trainable = False
        model.layers[6].rate = 0.0
        model.compile(optimizers.SGD(0.05), "mse")
        first = model.layers[0].get_weights()[0].copy()
        model.fit(x, targets, verbose=0, epochs=1, device=device)
        np.testing.assert_array_equal(model.layers[0].get_weights()[0], first)
        made.append(model)
    assert_same(*made)


def launched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list to which the name of every kernel is added that runs from here on."""
    names: list[str] = []
    launch = Kernel.launch

    def noting(self: Kernel, *arguments: Any) -> None:
        names.append(self.name)
        launch(self, *arguments)

    monkeypatch.setattr(Kernel, "launch", noting)
    return names


def test_lenet5_predicts_in_a_launch_for_each_convolution_and_its_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    model = fastconv.models.LeNet5()
    x = np.float32(np.random.default_rng(0).random((1, 32, 32, 1)))
    names = launched(monkeypatch)
    np.testing.assert_allclose(model.predict(x, device="cuda"), model.predict(x), atol=1e-6)
    assert names[:2] == ["conv_pool f4 avg tanh"] * 2
    assert not any(name.startswith("pool") for name in names)


def pair(conv: dict[str, Any], pool: Any) -> Any:
    """A network in which a pool follows a convolution."""
    utils.set_random_seed(1)
    return Sequential([layers.Input((5, 6, 2)), layers.Conv2D(3, **conv), pool, layers.Flatten(), layers.Dense(2)])


@pytest.mark.parametrize(
    ("conv", "pool", "together"),
    [
        ({"kernel_size": 2, "activation": "relu", "dilation_rate": 2}, layers.MaxPooling2D(), True),
        ({"kernel_size": 3, "padding": "same", "use_bias": False}, layers.AveragePooling2D(2), True),
        ({"kernel_size": 2, "activation": "leaky_relu"}, layers.MaxPooling2D(), False),
        ({"kernel_size": 2, "activation": "relu"}, layers.MaxPooling2D(2, strides=1), False),
        ({"kernel_size": 2, "activation": "relu"}, layers.MaxPooling2D(2, padding="same"), False),
        ({"kernel_size": 2, "activation": "relu"}, layers.MaxPooling2D(3, strides=2), False),
    ],
)
def test_a_pool_joins_the_convolution_before_it(
    monkeypatch: pytest.MonkeyPatch, conv: dict[str, Any], pool: Any, together: bool
) -> None:
    model, x = pair(conv, pool), np.float32(np.random.default_rng(0).standard_normal((2, 5, 6, 2)))
    names = launched(monkeypatch)
    np.testing.assert_allclose(model.predict(x, device="cuda"), model.predict(x), atol=1e-6)
    assert any(name.startswith("conv_pool") for name in names) is together


def test_sums_of_many_products_stay_with_the_matrix_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "PAYS", 7)
    model, x = pair({"kernel_size": 2}, layers.MaxPooling2D()), np.ones((1, 5, 6, 2), np.float32)
    names = launched(monkeypatch)
    np.testing.assert_allclose(model.predict(x, device="cuda"), model.predict(x), atol=1e-6)
    assert not any(name.startswith("conv_pool") for name in names)


def test_what_does_not_run_there_is_named() -> None:
    x, y = data(2)
    model = Sequential([layers.Input((4, 4, 1)), layers.ZeroPadding2D(), layers.Flatten(), layers.Dense(2)])
    with pytest.raises(ValueError, match=r"^device: layer 'zero_padding2d\w*' \(ZeroPadding2D\) does not run on a GPU"):
        model.predict(x, device="cuda")
    with pytest.raises(ValueError, match=r"^device: expected 'cpu' or 'cuda', got 'tpu'"):
        model.predict(x, device="tpu")

    class Own(optimizers.Optimizer):
        def update_step(self, gradient: Any, variable: Any, learning_rate: float) -> None:
            raise AssertionError

    other = small()
    other.compile(Own(), "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"^device: optimizer Own has no step on a GPU"):
        other.fit(x, y, verbose=0, device="cuda")


class Driver:
    """The part of the driver that captures, without a GPU."""

    class CUstreamCaptureMode:
        CU_STREAM_CAPTURE_MODE_RELAXED = "relaxed"

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("cu"):
            raise AttributeError(name)

        def call(*arguments: Any) -> tuple[Any, ...]:
            self.calls.append((name, *arguments))
            made = {"cuStreamEndCapture": "graph", "cuGraphInstantiate": "executable"}.get(name)
            return (0,) if made is None else (0, made)

        return call


def test_a_captured_graph_is_begun_ended_and_launched() -> None:
    driver = Driver()
    captured = capture.Captured(driver, 7, lambda: driver.calls.append(("work",)) or "result")
    captured.launch()
    assert captured.result == "result"
    assert driver.calls == [
        ("cuStreamBeginCapture", 7, "relaxed"), ("work",), ("cuStreamEndCapture", 7),
        ("cuGraphInstantiate", "graph", 0), ("cuGraphLaunch", "executable", 7),
    ]  # fmt: skip
    del captured
    assert [call[0] for call in driver.calls[-2:]] == ["cuGraphExecDestroy", "cuGraphDestroy"]


def test_a_capture_that_fails_ends() -> None:
    driver = Driver()

    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        capture.Captured(driver, 7, fail)
    assert driver.calls[-1][0] == "cuStreamEndCapture"


def test_a_shape_that_comes_again_is_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    driver, replayed = Driver(), []

    class Replay:
        def __init__(self, chain: Any, inputs: Any, speaker: Any) -> None:
            assert speaker is driver
            self.chain = chain

        def __call__(self, inputs: Any) -> Any:
            replayed.append(inputs.shape)
            return self.chain._call(inputs, False)

    monkeypatch.setattr(capture, "driver", lambda: driver)
    monkeypatch.setattr(chains, "Replay", Replay)
    model, (x, _) = small(), data(2)
    for _ in range(3):
        np.testing.assert_allclose(model.predict(x, device="cuda"), model.predict(x), atol=1e-6)
    assert replayed == [(2, 4, 4, 1)]
