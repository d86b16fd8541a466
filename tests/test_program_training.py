"""Programs that train: the gradients of one call are those of the layers, and threads change no bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv import layers, losses, optimizers, utils
from fastconv.models import LeNet5, Sequential

ISAS = fastconv.available_isas()
RNG = np.random.default_rng(21)

NETWORKS: dict[str, tuple[tuple[int, ...], list[Any]]] = {
    "lenet": ((32, 32, 1), LeNet5().layers),
    "same": (
        (9, 7, 3),
        [
            layers.Conv2D(5, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2, padding="same"),
            layers.Conv2D(20, (1, 4), padding="same", use_bias=False),
            layers.Activation("elu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ],
    ),
    "strided": (
        (13, 15, 4),
        [
            layers.ZeroPadding2D(((1, 0), (2, 1))),
            layers.Conv2D(18, 5, strides=(2, 3), padding="same", activation="sigmoid"),
            layers.Conv2D(6, 2, dilation_rate=2, activation="leaky_relu"),
            layers.Flatten(),
            layers.Dense(33, activation="selu"),
            layers.Dense(2),
            layers.Softmax(),
        ],
    ),
    "grouped": (
        (8, 8, 6),
        [
            layers.Conv2D(40, 3, groups=2, padding="same", activation="tanh"),
            layers.DepthwiseConv2D(3, strides=2, padding="same"),
            layers.AveragePooling2D(2),
            layers.Conv2D(36, 2, activation="tanh"),
            layers.Reshape((36,)),
            layers.Dense(4, activation="softmax"),
        ],
    ),
    "rows": ((20,), [layers.Dense(48, activation="relu"), layers.Dense(5, activation="softmax")]),
}


def network(name: str, dtype: str = "float32") -> Any:
    shape, like = NETWORKS[name]
    made = [type(layer).from_config(layer.get_config() | {"dtype": dtype}) for layer in like]
    model = Sequential([layers.Input(shape, dtype=dtype), *made])
    for weight in model.weights:
        weight.assign(RNG.standard_normal(weight.shape) / np.sqrt(max(weight.value.size / weight.shape[-1], 9)))
    return model


def batch(name: str, count: int, classes: int, dtype: str = "float32") -> tuple[Any, Any]:
    shape, _ = NETWORKS[name]
    return RNG.standard_normal((count, *shape)).astype(dtype), RNG.integers(0, classes, count)


def by_layers(model: Any, x: Any, loss: Any, truth: Any, weights: Any = None) -> tuple[float, Any, list[Any]]:
    chain = model.chain(x.shape)
    outputs = chain.forward(x, training=True)
    value, gradient = loss.value_and_gradient(truth, outputs, weights, before_activation=True)
    chain.backward(gradient, chain.first_trainable, before_activation=True)
    return value, outputs, [v.gradient.copy() for v in model.trainable_variables]


def close(got: Any, want: Any, dtype: str) -> None:
    bound = 2e-5 if dtype == "float32" else 1e-12
    assert np.abs(got - want).max() <= bound * max(np.abs(want).max(), 1e-3)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("isa", ISAS)
def test_gradients_are_those_of_the_layers(name: str, dtype: str, isa: str) -> None:
    model = network(name, dtype)
    with fastconv.use_isa(isa):
        for count in (1, 7, 33, 150):
            classes = model.output_shape[1]
            x, truth = batch(name, count, classes, dtype)
            weights = RNG.random(count).astype(dtype)
            loss = losses.SparseCategoricalCrossentropy()
            program = model.chain(x.shape).training_program(x.shape[1:])
            want = by_layers(model, x, loss, truth, weights)
            for variable in model.variables:
                variable.gradient[...] = np.nan
            value, outputs = program.train(x, truth, weights, 1 / count)
            assert value == pytest.approx(want[0], rel=1e-5)
            close(outputs, want[1], dtype)
            for variable, gradient in zip(model.trainable_variables, want[2], strict=True):
                close(variable.gradient, gradient, dtype)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_model_is_trained_as_its_layers_train_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, results = network(name).get_weights(), []
    x, truth = batch(name, 90, 2)
    for served in (True, False):
        model = network(name)
        model.set_weights(weights)
        one_hot = utils.to_categorical(truth, model.output_shape[1])
        model.compile(optimizers.SGD(0.05, momentum=0.9), losses.CategoricalCrossentropy(label_smoothing=0.1))
        if not served:
            monkeypatch.setattr("fastconv.models.chain.Chain.training_program", lambda self, shape: None)
        history = model.fit(x, one_hot, batch_size=40, epochs=3, shuffle=False, verbose=0)
        results.append((history.history["loss"], model.get_weights()))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-5)
    for got, want in zip(results[0][1], results[1][1], strict=True):
        close(got, want, "float32")


def test_threads_change_no_bit_of_training() -> None:
    before, found = fastconv.get_num_threads(), []
    x, truth = batch("lenet", 300, 10)
    try:
        for threads in (1, 2, 3):
            fastconv.set_num_threads(threads)
            utils.set_random_seed(5)
            model = LeNet5()
            model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
            model.fit(x, truth, batch_size=128, epochs=3, verbose=0)
            found.append(model.get_weights())
    finally:
        fastconv.set_num_threads(before)
    for other in found[1:]:
        for got, want in zip(other, found[0], strict=True):
            np.testing.assert_array_equal(got, want)


def test_layers_that_are_not_trainable_keep_their_weights() -> None:
    model = network("lenet")
    x, truth = batch("lenet", 40, 10)
    model.compile("sgd", "sparse_categorical_crossentropy")
    for frozen in ((0, 2), (0, 2, 4), (4,), (0, 2, 4, 6), (7,)):
        for index, layer in enumerate(model.layers):
            layer.trainable = index not in frozen
        before = [layer.get_weights() for layer in model.layers]
        model.fit(x, truth, verbose=0)
        for index, layer in enumerate(model.layers):
            for old, new in zip(before[index], layer.get_weights(), strict=True):
                assert np.array_equal(old, new) == (index in frozen)


def test_regularizers_and_sample_weights_count() -> None:
    results = []
    x, truth = batch("rows", 50, 5)
    weights = RNG.random(50)
    start = None
    for served in (True, False):
        made = [layers.Dense(9, "tanh", kernel_regularizer="l2"), layers.Dense(5, "softmax")]
        model = Sequential([layers.Input((20,)), *made])
        if start is None:
            start = model.get_weights()
        model.set_weights(start)
        model.compile("sgd", "sparse_categorical_crossentropy", weighted_metrics=["accuracy"])
        if not served:
            model.layers[0].call = type(model.layers[0]).call.__get__(model.layers[0])  # the layer asked itself
        results.append(model.fit(x, truth, sample_weight=weights, epochs=2, shuffle=False, verbose=0).history)
    assert results[0]["loss"] == pytest.approx(results[1]["loss"], rel=1e-5)
    assert results[0]["accuracy"] == pytest.approx(results[1]["accuracy"])


def test_what_programs_do_not_know_is_trained_by_the_layers() -> None:
    x, truth = batch("rows", 40, 5)
    for made, loss in (
        ([layers.Dense(9, "gelu"), layers.Dense(5, "softmax")], "sparse_categorical_crossentropy"),
        ([layers.Dense(9), layers.BatchNormalization(), layers.Dense(5, "softmax")], "sparse_categorical_crossentropy"),
        ([layers.Dense(9), layers.Dense(1)], "mse"),
        ([layers.Dense(9), layers.Dense(5, "sigmoid")], "categorical_crossentropy"),
    ):
        model = Sequential([layers.Input((20,)), *made])
        model.compile("adam", loss)
        wanted = utils.to_categorical(truth, 5) if loss == "categorical_crossentropy" else truth
        values = model.fit(x, wanted, epochs=8, verbose=0).history["loss"]
        assert values[-1] < values[0]


def test_a_training_step_takes_little_memory() -> None:
    model, (x, truth) = LeNet5(), batch("lenet", 128, 10)
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.train_on_batch(x, truth)
    program = model.chain(x.shape).training_program(x.shape[1:])
    assert program.training_bytes(128, 2) < 12 << 20


def test_wrong_truth_is_refused() -> None:
    model, (x, truth) = network("rows"), batch("rows", 8, 5)
    program = model.chain(x.shape).training_program(x.shape[1:])
    assert program.train(x, truth[:7], None, 1.0) is None
    assert program.train(x, truth.astype(np.float32), None, 1.0) is None
    assert program.train(x, np.zeros((8, 4), np.float32), None, 1.0) is None
    assert program.train(x, truth, np.ones(7, np.float32), 1.0) is None
    assert program.train(x[:, :19], truth, None, 1.0) is None
