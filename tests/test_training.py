"""Training: it learns, repeats to the bit, reports, and refuses what it cannot do."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv import Input, Sequential, datasets, layers, losses, metrics, models, optimizers, utils

RNG = np.random.default_rng(9)
ROWS = RNG.standard_normal((60, 4)).astype(np.float32)
STEADY = [RNG.standard_normal(shape) for shape in ((4, 8), (8,), (8, 3), (3,))]
LABELS = (ROWS[:, 0] > 0).astype(int) + (ROWS[:, 1] > 0.5)


def classifier() -> Sequential:
    return Sequential([Input((4,)), layers.Dense(8, activation="tanh"), layers.Dense(3, activation="softmax")])


def compiled(**options: Any) -> Sequential:
    model = classifier()
    options = {"optimizer": "adam", "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]} | options
    model.compile(**options)
    return model


# --- it learns ------------------------------------------------------------------------------------------------------


def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    (x_train, y_train), (x_test, y_test) = datasets.digits.load_data()
    return x_train / 255.0, y_train, x_test / 255.0, y_test


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Keep a busy machine from making threads wait for each other."""
    threads = fastconv.get_num_threads()
    fastconv.set_num_threads(1)
    yield
    fastconv.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_lenet5_learns_digits() -> None:
    utils.set_random_seed(1)
    x_train, y_train, x_test, y_test = digits()
    model = models.LeNet5()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x_train, y_train, epochs=3, verbose=0)
    assert history.history["loss"][-1] < 0.3
    assert model.evaluate(x_test, y_test, verbose=0)[1] > 0.9


def test_one_dense_layer_learns_digits_of_28_by_28() -> None:
    utils.set_random_seed(1)
    x_train, y_train, x_test, y_test = digits()
    flat, flat_test = (x[:, 2:30, 2:30].reshape(len(x), 784) for x in (x_train, x_test))
    model = Sequential()
    model.add(layers.Dense(10, input_shape=(784,), activation="sigmoid"))
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(flat, y_train, epochs=12, verbose=0)
    assert model.evaluate(flat_test, y_test, verbose=0)[1] > 0.85


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adam", "adamw"])
def test_every_optimizer_learns(optimizer: str) -> None:
    """From any first weights: of eight seeds and each optimizer, the worst ends at 0.82 and 0.38 of the first loss.

    After 25 epochs accuracies are 0.78 to 0.82, so that the bound would test the seed.
    """
    utils.set_random_seed(3)
    model = compiled(optimizer=optimizer)
    model.optimizer.learning_rate = 0.1 if optimizer == "sgd" else 0.01
    history = model.fit(ROWS, LABELS, batch_size=6, epochs=40, verbose=0).history
    assert history["accuracy"][-1] > 0.8
    assert history["loss"][-1] < 0.4 * history["loss"][0]


@pytest.mark.parametrize("loss", ["mse", "mae", "binary_crossentropy", "categorical_crossentropy"])
def test_every_loss_learns(loss: str) -> None:
    utils.set_random_seed(2)
    ending = {"binary_crossentropy": "sigmoid", "categorical_crossentropy": "softmax"}.get(loss)
    model = Sequential([Input((4,)), layers.Dense(8, activation="tanh"), layers.Dense(3, activation=ending)])
    model.compile(optimizers.Adam(0.02), loss)
    history = model.fit(ROWS, utils.to_categorical(LABELS), batch_size=6, epochs=15, verbose=0).history["loss"]
    assert history[-1] < 0.7 * history[0]


def test_convolutions_normalise_and_drop() -> None:
    utils.set_random_seed(3)
    images = RNG.standard_normal((48, 8, 8, 2)).astype(np.float32)
    labels = (images.mean((1, 2, 3)) > 0).astype(int)
    images += labels[:, None, None, None] * 0.5
    model = Sequential(
        [
            Input((8, 8, 2)),
            layers.ZeroPadding2D(1),
            layers.Conv2D(6, 3, use_bias=False, kernel_regularizer="l2"),
            layers.BatchNormalization(momentum=0.8),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.DepthwiseConv2D(3, activation="relu", padding="same"),
            layers.Dropout(0.1),
            layers.GlobalAveragePooling2D(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(optimizers.Adam(0.02), "binary_crossentropy", metrics=["accuracy"])
    model.fit(images, labels, batch_size=8, epochs=12, verbose=0)
    assert model.evaluate(images, labels, verbose=0)[1] > 0.9


# --- it is sound ----------------------------------------------------------------------------------------------------


def test_softmax_and_cross_entropy_survive_certainty() -> None:
    for ending, loss, truth in (
        ("softmax", "sparse_categorical_crossentropy", np.array([0, 1])),
        ("softmax", "categorical_crossentropy", np.eye(2)),
        ("sigmoid", "binary_crossentropy", np.eye(2)),
    ):
        model = Sequential([Input((2,)), layers.Dense(2, activation=ending)])
        model.set_weights([np.array([[-500.0, 500], [500, -500]]), np.zeros(2)])
        model.compile(optimizers.SGD(1.0), loss)
        value = model.train_on_batch(np.eye(2), truth)
        assert np.isfinite(value)
        step = model.get_weights()[0] - np.array([[-500.0, 500], [500, -500]])
        assert (np.sign(step) == [[1, -1], [-1, 1]]).all(), "wrong and certain: the gradient must not vanish"


def test_fused_and_unfused_gradients_agree() -> None:
    for loss, truth in (
        (losses.SparseCategoricalCrossentropy, LABELS),
        (losses.CategoricalCrossentropy, utils.to_categorical(LABELS)),
    ):
        fused = classifier()
        logits = Sequential([Input((4,)), layers.Dense(8, activation="tanh"), layers.Dense(3)])
        apart = Sequential(
            [Input((4,)), layers.Dense(8, activation="tanh"), layers.Dense(3, activation="softmax"), layers.Flatten()]
        )
        layered = Sequential([Input((4,)), layers.Dense(8, activation="tanh"), layers.Dense(3), layers.Softmax()])
        for model, from_logits in ((fused, False), (logits, True), (apart, False), (layered, False)):
            model.set_weights(fused.get_weights())
            model.compile(optimizers.SGD(0.5), loss(from_logits=from_logits))
        for model in (logits, apart, layered, fused):
            model.train_on_batch(ROWS, truth)
        for model in (logits, apart, layered):
            for mine, other in zip(model.get_weights(), fused.get_weights(), strict=True):
                np.testing.assert_allclose(mine, other, atol=1e-6)


def test_regularizers_add_to_loss_and_gradient() -> None:
    model = Sequential([Input((4,)), layers.Dense(1, kernel_regularizer="l2", use_bias=False)])
    model.set_weights([np.full((4, 1), 2.0)])
    model.compile(optimizers.SGD(1.0), "mse")
    rows = np.zeros((3, 4))
    assert model.evaluate(rows, np.zeros(3), verbose=0) == pytest.approx(0.01 * 16)
    model.train_on_batch(rows, np.zeros(3))
    np.testing.assert_allclose(model.get_weights()[0], 2 - 0.04, rtol=1e-6)


def test_frozen_layers_stay() -> None:
    model = compiled()
    model.layers[0].trainable = False
    before = model.get_weights()
    model.fit(ROWS, LABELS, epochs=2, verbose=0)
    after = model.get_weights()
    np.testing.assert_array_equal(before[0], after[0])
    assert (before[2] != after[2]).any()
    model.trainable = False
    model.fit(ROWS, LABELS, epochs=1, verbose=0)
    for mine, other in zip(model.get_weights(), after, strict=True):
        np.testing.assert_array_equal(mine, other)
    model.trainable = True
    model.fit(ROWS, LABELS, epochs=1, verbose=0)
    assert (model.get_weights()[0] != after[0]).any()


def test_same_seed_same_bits() -> None:
    def run(seed: int) -> list[np.ndarray]:
        utils.set_random_seed(seed)
        model = Sequential([Input((8, 8, 1)), layers.Conv2D(4, 3, activation="tanh"), layers.Dropout(0.3)])
        model.add(layers.Flatten())
        model.add(layers.Dense(3, activation="softmax"))
        model.compile("adam", "sparse_categorical_crossentropy")
        images = np.random.default_rng(0).random((50, 8, 8, 1))
        history = model.fit(images, np.arange(50) % 3, batch_size=16, epochs=3, validation_split=0.2, verbose=0)
        return [*model.get_weights(), np.array(history.history["loss"]), np.array(history.history["val_loss"])]

    for one, two in zip(run(4), run(4), strict=True):
        np.testing.assert_array_equal(one, two)
    assert any((one != two).any() for one, two in zip(run(4), run(5), strict=True))


def test_same_bits_with_any_number_of_threads() -> None:
    found = []
    threads = fastconv.get_num_threads()
    try:
        for count in (1, 2, 3):
            fastconv.set_num_threads(count)
            utils.set_random_seed(1)
            model = models.LeNet5()
            model.compile(optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy")
            images = np.random.default_rng(0).random((70, 32, 32, 1), dtype=np.float32)
            model.fit(images, np.arange(70) % 10, batch_size=32, verbose=0)
            found.append(model.get_weights())
    finally:
        fastconv.set_num_threads(threads)
    for other in found[1:]:
        for mine, first in zip(other, found[0], strict=True):
            np.testing.assert_array_equal(mine, first)


# --- data -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int64, ">i2", bool])
@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_hold_every_sample_once(dtype: Any, shuffle: bool) -> None:
    from fastconv.models.batches import Batches

    inputs = np.arange(46).reshape(23, 2).astype(dtype)
    targets = np.arange(23)
    order = np.random.default_rng(1).permutation(23) if shuffle else None
    batches = Batches(inputs, np.dtype("float32"), [targets, None], 5)
    assert len(batches) == 5
    for _ in range(2):
        parts = [(x.copy(), y.copy(), w) for x, y, w in batches.in_order(order)]
        assert [len(x) for x, _, _ in parts] == [5, 5, 5, 5, 3]
        assert {x.dtype for x, _, _ in parts} == {np.dtype("float32")}
        assert all(w is None for _, _, w in parts)
        visited = np.concatenate([y for _, y, _ in parts])
        np.testing.assert_array_equal(visited, targets if order is None else order)
        np.testing.assert_array_equal(np.concatenate([x for x, _, _ in parts]), inputs[visited].astype(np.float32))


def test_float32_batches_are_views_and_the_data_stay() -> None:
    from fastconv.models.batches import Batches

    inputs = np.zeros((10, 3), np.float32)
    assert all(np.shares_memory(x, inputs) for (x,) in Batches(inputs, inputs.dtype, [], 4))
    data, labels = ROWS.copy(), LABELS.copy()
    data.flags.writeable = labels.flags.writeable = False
    compiled().fit(data, labels, epochs=2, verbose=0, validation_split=0.1)
    np.testing.assert_array_equal(data, ROWS)


def test_targets_in_every_form() -> None:
    found = []
    for truth, loss in (
        (LABELS, "sparse_categorical_crossentropy"),
        (LABELS[:, None], "sparse_categorical_crossentropy"),
        (LABELS.astype(np.uint8).tolist(), "sparse_categorical_crossentropy"),
        (LABELS.astype(np.float64), "sparse_categorical_crossentropy"),
        (utils.to_categorical(LABELS), "categorical_crossentropy"),
    ):
        model = compiled(optimizer="sgd", loss=loss)
        model.set_weights(STEADY)
        model.fit(ROWS, truth, shuffle=False, verbose=0)
        found.append([*model.get_weights(), np.array(model.evaluate(ROWS, truth, verbose=0))])
    for other in found[1:]:
        for mine, first in zip(other, found[0], strict=True):
            np.testing.assert_allclose(mine, first, atol=1e-6)


def test_sample_and_class_weights() -> None:
    def trained(rows: np.ndarray, labels: np.ndarray, **options: Any) -> list[np.ndarray]:
        model = compiled(optimizer=optimizers.SGD(0.1), loss=losses.SparseCategoricalCrossentropy(reduction="sum"))
        model.set_weights(STEADY)
        model.fit(rows, labels, batch_size=200, shuffle=False, verbose=0, **options)
        return model.get_weights()

    weights = np.where(LABELS == 1, 2.0, 1.0)
    twice = np.repeat(np.arange(60), weights.astype(int))
    for options in ({"sample_weight": weights}, {"class_weight": {1: 2.0}}):
        for mine, other in zip(trained(ROWS, LABELS, **options), trained(ROWS[twice], LABELS[twice]), strict=True):
            np.testing.assert_allclose(mine, other, atol=1e-5)
    model = compiled(metrics=["accuracy"], weighted_metrics=[metrics.SparseCategoricalAccuracy(name="weighted")])
    only = (model.predict(ROWS, verbose=0).argmax(1) == LABELS).astype(float)
    found = model.evaluate(ROWS, LABELS, sample_weight=only, verbose=0, return_dict=True)
    assert found["weighted"] == 1
    assert found["accuracy"] == pytest.approx(only.mean())


def test_validation_data_and_split() -> None:
    model = compiled()
    history = model.fit(ROWS, LABELS, epochs=2, validation_split=0.25, verbose=0).history
    assert list(history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert history["val_loss"][-1] == pytest.approx(model.evaluate(ROWS[45:], LABELS[45:], verbose=0)[0])
    other = (ROWS[:7] * 2, LABELS[:7])
    history = model.fit(ROWS, LABELS, epochs=4, validation_data=other, validation_freq=2, verbose=0).history
    assert len(history["val_loss"]) == 2
    assert history["val_loss"][-1] == pytest.approx(model.evaluate(*other, verbose=0)[0])
    weighted = model.fit(ROWS, LABELS, validation_data=(*other, np.zeros(7)), verbose=0).history
    assert weighted["val_loss"] == [0.0]


def test_history_and_epochs() -> None:
    model = compiled()
    history = model.fit(ROWS, LABELS, epochs=5, initial_epoch=3, batch_size=16, verbose=0)
    assert history.epoch == [3, 4]
    assert len(history.history["loss"]) == 2
    assert history.params == {"epochs": 5, "steps": 4, "verbose": 0}
    assert history.model is model
    assert model.history is history
    assert model.optimizer.iterations == 8


def test_what_is_returned() -> None:
    model = compiled()
    assert model.metrics_names == ["loss", "accuracy"]
    values = model.evaluate(ROWS, LABELS, verbose=0)
    assert isinstance(values, list)
    assert model.evaluate(ROWS, LABELS, verbose=0, return_dict=True) == dict(
        zip(model.metrics_names, values, strict=True)
    )
    assert model.test_on_batch(ROWS, LABELS) == pytest.approx(values)
    bare = compiled(metrics=None)
    assert isinstance(bare.evaluate(ROWS, LABELS, verbose=0), float)
    assert isinstance(bare.train_on_batch(ROWS, LABELS), float)
    assert list(model.train_on_batch(ROWS, LABELS, return_dict=True)) == ["loss", "accuracy"]
    assert model.loss.name == "sparse_categorical_crossentropy"
    assert [metric.name for metric in model.metrics] == ["accuracy"]
    model.reset_metrics()
    assert model.metrics[0].result() == 0


def test_own_losses_and_metrics() -> None:
    def largest_error(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return np.abs(y_true - y_pred).max(-1)

    model = Sequential([Input((4,)), layers.Dense(2)])
    truth = RNG.standard_normal((60, 2))
    model.compile("sgd", largest_error, metrics=[largest_error, "mae"])
    wanted = np.abs(model.predict(ROWS, verbose=0) - truth).max(1).mean()
    loss, metric, _ = model.evaluate(ROWS, truth, verbose=0)
    assert loss == pytest.approx(wanted)
    assert metric == pytest.approx(wanted)
    assert model.metrics_names == ["loss", "largest_error", "mae"]
    with pytest.raises(TypeError, match=r"FunctionLoss defines no gradient\(y_true, y_pred\) to train with"):
        model.fit(ROWS, truth, verbose=0)

    class Halved(losses.Loss):
        def call(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
            return np.square(y_pred - y_true).sum(-1) / 2

        def gradient(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
            return y_pred - y_true

    model.compile(optimizers.SGD(0.05), Halved())
    history = model.fit(ROWS, truth, epochs=3, verbose=0).history["loss"]
    assert history[-1] < history[0]


MISTAKES: list[tuple[Any, type[Exception], str]] = [
    (lambda m: classifier().fit(ROWS, LABELS), ValueError, r"You must call `compile\(\)` before using the model"),
    (lambda m: classifier().evaluate(ROWS, LABELS), ValueError, r"You must call `compile\(\)`"),
    (lambda m: compiled(loss=None).fit(ROWS, LABELS), ValueError, "No loss to compute. Provide a `loss` argument"),
    (lambda m: m.compile("sgd", "no"), ValueError, "loss: unknown name 'no'; expected one of BCE"),
    (lambda m: m.compile("no", "mse"), ValueError, "optimizer: unknown name 'no'; expected one of Adam"),
    (lambda m: m.compile("sgd", "mse", metrics=["no"]), ValueError, "metric: unknown name 'no'"),
    (lambda m: m.compile("sgd", "mse", metrics="accuracy"), ValueError, "metrics: expected a list, got 'accuracy'"),
    (lambda m: m.compile("sgd", "mse", loss_weights=[1]), ValueError, "loss_weights: expected None"),
    (lambda m: m.compile(3, "mse"), TypeError, "optimizer: expected a name, a configuration or an object, got 3"),
    (lambda m: m.fit(ROWS), TypeError, "y: expected an array, got NoneType"),
    (lambda m: m.fit(ROWS, LABELS[:5]), ValueError, "same number of samples. x has 60, y 5"),
    (lambda m: m.fit(ROWS[:0], LABELS[:0]), ValueError, "x: expected at least one sample, got none"),
    (lambda m: m.fit(ROWS, LABELS + 1), ValueError, r"expected labels in 0 … 2 .*, got 1 … 3"),
    (lambda m: m.fit(ROWS, LABELS - 1), ValueError, r"expected labels in 0 … 2 .*, got -1 … 1"),
    (lambda m: m.fit(ROWS, np.zeros((60, 3))), ValueError, "must have the same shape up until the last dimension"),
    (lambda m: m.fit(ROWS[:, :3], LABELS), ValueError, r"expected shape=\(None, 4\), found shape=\(60, 3\)"),
    (lambda m: m.fit(ROWS, LABELS, batch_size=0), ValueError, "batch_size: expected a positive integer, got 0"),
    (lambda m: m.fit(ROWS, LABELS, verbose=7), ValueError, "verbose: expected 0, 1, 2 or 'auto', got 7"),
    (lambda m: m.fit(ROWS, LABELS, validation_split=1.5), ValueError, "validation_split: expected a number from 0"),
    (lambda m: m.fit(ROWS[:1], LABELS[:1], validation_split=0.5), ValueError, "leaves nothing to train"),
    (lambda m: m.fit(ROWS, LABELS, validation_data=ROWS), ValueError, r"validation_data: expected \(x, y\)"),
    (lambda m: m.fit(ROWS, LABELS, validation_data=(ROWS, LABELS + 5)), ValueError, "expected labels in 0 … 2"),
    (lambda m: m.fit(ROWS, LABELS, sample_weight=np.ones(3)), ValueError, "a weight for each of 60 samples, got 3"),
    (lambda m: m.fit(ROWS, LABELS, callbacks=[3]), TypeError, "callbacks: expected Callback objects, got 3"),
    (lambda m: m.fit(ROWS, LABELS, steps_per_epoch=3), ValueError, "expected None; an epoch visits every sample"),
    (lambda m: m.fit(ROWS, LABELS, validation_freq=0), ValueError, "validation_freq: expected a positive integer"),
    (
        lambda m: m.fit(ROWS, LABELS, sample_weight=np.ones(60), class_weight={}),
        ValueError,
        "You cannot use `class_weight` and `sample_weight` at the same time",
    ),
    (lambda m: m.evaluate(ROWS, LABELS, steps=1), ValueError, "steps: expected None"),
    (lambda m: m.predict(ROWS, steps=1), ValueError, "steps: expected None"),
]


@pytest.mark.parametrize(("mistake", "error", "text"), MISTAKES, ids=[text[:40] for _, _, text in MISTAKES])
def test_mistakes(mistake: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        mistake(compiled())


def test_a_mistake_leaves_the_weights_alone() -> None:
    model = compiled()
    before = model.get_weights()
    with pytest.raises(ValueError, match="expected labels"):
        model.fit(ROWS, LABELS, validation_data=(ROWS, LABELS + 5), verbose=0)
    for mine, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, other)


# --- progress -------------------------------------------------------------------------------------------------------

LINE = (
    r"Epoch {} - 4 steps - \d+\.\ds - [\d.e+-]+m?s/step"
    r" - loss: \d.*- accuracy: \d.*- val_loss: \d.*- val_accuracy: \d.*"
)


@pytest.mark.parametrize("verbose", ["auto", 1, 2])
def test_one_line_per_epoch_without_a_terminal(verbose: Any, capsys: pytest.CaptureFixture[str]) -> None:
    compiled().fit(ROWS, LABELS, epochs=2, batch_size=12, validation_split=0.2, verbose=verbose)
    first, second, *rest = capsys.readouterr().out.splitlines()
    assert re.fullmatch(LINE.format("1/2"), first)
    assert re.fullmatch(LINE.format("2/2"), second)
    assert not rest


def test_verbose_0_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    model = compiled()
    model.fit(ROWS, LABELS, epochs=2, verbose=0)
    model.evaluate(ROWS, LABELS, verbose=0)
    model.predict(ROWS, verbose=0)
    model.predict(ROWS)
    assert capsys.readouterr() == ("", "")
    model.evaluate(ROWS, LABELS)
    assert capsys.readouterr().out.startswith("Evaluate - 2 steps - ")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    compiled().fit(ROWS, LABELS, epochs=2, batch_size=12, validation_split=0.2)
    drawn = terminal.getvalue()
    assert "Epoch 1/2: 4/4 |" in drawn.replace("Epoch 1/2 4/4", "Epoch 1/2: 4/4")
    last = drawn.splitlines()[-1]
    assert re.search(
        r"Epoch 2/2:? 4/4 .*ms/step - loss: \d.* - accuracy: \d.* - val_loss: \d.* - val_accuracy: \d", last
    )
    terminal.truncate(0)
    compiled().fit(ROWS, LABELS, verbose=2)
    assert "Epoch 1/1 - 2 steps" in terminal.getvalue()


def test_lines_in_a_terminal_without_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    compiled().fit(ROWS, LABELS)
    assert terminal.getvalue().startswith("Epoch 1/1 - 2 steps - ")
