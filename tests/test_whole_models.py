"""Whole networks, small and large: stale weights, layers of one's own, memory, bits, and random zeros on the way."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv import Sequential, layers, losses, optimizers, utils
from fastconv.bench import vgg
from fastconv.datasets import digits
from fastconv.models import LeNet5

RNG = np.random.default_rng(31)
IMAGES = RNG.standard_normal((9, 32, 32, 3), np.float32)
LABELS = RNG.integers(0, 10, 9)


def one_by_one(model: Any, x: Any) -> Any:
    for layer in model.layers:
        x = layer.call(np.asarray(x, layer.dtype))
    return x


def close(got: Any, want: Any, bound: float = 1.5e-6) -> None:
    """Of probabilities, by two ways through a network: folded normalisations and, unless the bound says so, other forms
    of Winograd's round differently.

    An error e of the logits changes a probability p by p (1 - p) e at most: both bounds are twice what was seen, 7e-7
    of the probabilities and 4e-6 of each (6e-7 with every product added, where the bound is 1e-6).
    """
    np.testing.assert_allclose(got, want, rtol=0, atol=bound)
    np.testing.assert_allclose(got, want, rtol=8e-6, atol=0)


def made_vgg() -> Any:
    model = vgg.model()
    model.set_weights(vgg.random_weights())
    return model


def test_a_large_network_predicts_what_its_layers_do() -> None:
    model = made_vgg()
    for count in (1, 2, 9):
        x = IMAGES[:count]
        close(model.predict_on_batch(x), one_by_one(model, x))
        close(model.predict(x, batch_size=4, verbose=0), one_by_one(model, x))
    close(model.predict_on_batch(IMAGES), vgg.forward(vgg.random_weights(), IMAGES))
    model.compile("sgd", "sparse_categorical_crossentropy")
    loss = losses.SparseCategoricalCrossentropy().value(LABELS, one_by_one(model, IMAGES))
    assert model.evaluate(IMAGES, LABELS, verbose=0) == pytest.approx(loss, rel=1e-6)


CHANGES: dict[str, Callable[[Any], Any]] = {
    "fit": lambda model: model.fit(IMAGES, LABELS, epochs=2, verbose=0),
    "set_weights": lambda model: model.set_weights([w * 1.02 for w in model.get_weights()]),
    "assign": lambda model: model.layers[3].kernel.assign(model.layers[3].kernel.value[::-1].copy()),
    "written in place": lambda model: model.layers[0].kernel.value.__imul__(np.float32(0.5)),
    "one bias": lambda model: model.layers[0].bias.value.__setitem__(3, 1.5),
    "moving averages": lambda model: model.layers[1].moving_mean.value.__iadd__(np.float32(0.25)),
    "gamma": lambda model: model.layers[1].gamma.value.__imul__(np.float32(-1)),
    "epsilon": lambda model: setattr(model.layers[1], "epsilon", 0.5),
    "activation": lambda model: setattr(model.layers[2], "function", layers.Activation("tanh").function),
    "frozen, then trained": lambda model: (
        setattr(model.layers[0], "trainable", False),
        setattr(model.layers[1], "trainable", False),
        model.fit(IMAGES, LABELS, verbose=0),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_no_weight_is_ever_stale(change: str) -> None:
    model = made_vgg()
    model.compile("adam", "sparse_categorical_crossentropy")
    before = model.predict_on_batch(IMAGES)
    CHANGES[change](model)
    after = model.predict_on_batch(IMAGES)
    assert (after != before).any()
    close(after, one_by_one(model, IMAGES))
    close(model.predict(IMAGES, verbose=0), one_by_one(model, IMAGES))


def test_frozen_layers_of_a_large_network_keep_their_weights() -> None:
    model = made_vgg()
    model.layers[0].trainable = model.layers[1].trainable = False
    model.compile("adam", "sparse_categorical_crossentropy")
    before = model.get_weights()
    model.fit(IMAGES, LABELS, verbose=0)
    for index, (old, new) in enumerate(zip(before, model.get_weights(), strict=True)):
        assert np.array_equal(old, new) == (index < 6)


class Doubled(layers.Layer):
    """A user's own layer."""

    def call(self, inputs: Any) -> Any:
        return 2 * inputs

    def backward(self, grad_outputs: Any) -> Any:
        return 2 * grad_outputs


@pytest.mark.parametrize("extent", [8, 64])
def test_a_layer_of_ones_own_in_the_middle(extent: int) -> None:
    made = [layers.Conv2D(8, 3, activation="relu", padding="same"), Doubled(), layers.Conv2D(8, 3, padding="same")]
    made += [layers.BatchNormalization(), layers.ReLU(), layers.GlobalAveragePooling2D(), layers.Dense(3, "softmax")]
    model = Sequential([layers.Input((extent, extent, 4)), *made])
    x, y = RNG.standard_normal((12, extent, extent, 4), np.float32), RNG.integers(0, 3, 12)
    model.compile(optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    close(model.predict(x, verbose=0), one_by_one(model, x))
    values = model.fit(x, y, batch_size=12, epochs=20, verbose=0).history["loss"]
    assert values[-1] < values[0]
    close(model.predict(x, verbose=0), one_by_one(model, x))


def test_instruction_sets_and_precisions_have_packs_of_their_own() -> None:
    model, found = made_vgg(), []
    for isa in fastconv.available_isas():
        with fastconv.use_isa(isa):
            found.append(model.predict_on_batch(IMAGES))
            close(found[-1], one_by_one(model, IMAGES))
    fastconv.set_precision("highest")
    try:
        close(model.predict_on_batch(IMAGES), one_by_one(model, IMAGES), 1e-6)
        close(model.predict_on_batch(IMAGES[:1]), one_by_one(model, IMAGES[:1]), 1e-6)
    finally:
        fastconv.set_precision("high")


# --- random zeros --------------------------------------------------------------------------------------------------


def dropping() -> Any:
    made = [layers.Conv2D(6, 3, activation="tanh"), layers.Dropout(0.3), layers.AveragePooling2D(2), layers.Flatten()]
    made += [layers.Dense(40, "relu"), layers.Dropout(0.5), layers.Dense(5, "softmax")]
    return Sequential([layers.Input((10, 11, 2)), *made])


def test_programs_drop_what_layers_drop(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = RNG.standard_normal((90, 10, 11, 2), np.float32), RNG.integers(0, 5, 90)
    start, found = dropping().get_weights(), []
    for served in (True, False):
        model = dropping()
        model.set_weights(start)
        model.compile(optimizers.SGD(0.05), "sparse_categorical_crossentropy")
        if served:
            assert model.chain(x.shape).training_program(x.shape[1:]).dropouts == 2
        else:
            monkeypatch.setattr("fastconv.models.chain.Chain.training_program", lambda self, shape: None)
        fastconv.set_seed(8)
        model.fit(x, y, batch_size=40, epochs=2, verbose=0)
        found.append(model.get_weights())
    for got, want, first in zip(*found, start, strict=True):
        assert (got != first).any()
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["program", "layers"])
def test_the_same_seed_gives_the_same_bits_on_any_number_of_threads(kind: str) -> None:
    (x, y), _ = digits.load_data(size=16)
    x, before, found = x[..., None] / np.float32(255), fastconv.get_num_threads(), []
    try:
        for threads in (1, 2):
            fastconv.set_num_threads(threads)
            utils.set_random_seed(4)
            made = [layers.Conv2D(16, 3, padding="same"), *[layers.BatchNormalization()] * (kind == "layers")]
            made += [
                layers.ReLU(),
                layers.MaxPooling2D(),
                layers.Dropout(0.25),
                layers.Conv2D(32, 3, activation="relu"),
            ]
            made += [layers.Flatten(), layers.Dropout(0.5), layers.Dense(10, "softmax")]
            model = Sequential([layers.Input((16, 16, 1)), *made])
            model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
            served = model.chain((1, 16, 16, 1)).training_program((16, 16, 1))
            assert (served is not None) == (kind == "program")
            history = model.fit(x, y, batch_size=64, epochs=3, verbose=0).history
            found.append(model.get_weights())
    finally:
        fastconv.set_num_threads(before)
    assert history["accuracy"][-1] > 0.6
    for got, want in zip(*found, strict=True):
        assert got.tobytes() == want.tobytes()


def test_lenet_on_the_digits_has_the_same_bits_on_any_number_of_threads() -> None:
    (x, y), _ = digits.load_data()
    x, before, found = x[..., None] / np.float32(255), fastconv.get_num_threads(), []
    try:
        for threads in (1, 2):
            fastconv.set_num_threads(threads)
            utils.set_random_seed(4)
            model = LeNet5()
            model.compile(optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy")
            model.fit(x, y, batch_size=32, epochs=3, verbose=0)
            found.append(model.get_weights())
    finally:
        fastconv.set_num_threads(before)
    for got, want in zip(*found, strict=True):
        assert got.tobytes() == want.tobytes()


# --- memory ----------------------------------------------------------------------------------------------------------

MEASURED = """
import resource, numpy as np, fastconv
from fastconv import models, optimizers

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10

model = models.LeNet5()
model.compile(optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy")
x = np.ones(({images}, 32, 32, 1), np.float32)
labels = np.zeros(128, np.int64)
model.predict_on_batch(x[:1])
model.fit(x[:1], labels[:1], verbose=0)
before = peak()
{work}
print(peak() - before)
"""


def peak_of(images: int, work: str) -> int:
    script = MEASURED.format(images=images, work=work)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_predicting_many_images_takes_no_memory_besides() -> None:
    assert peak_of(60_000, "y = model.predict(x, verbose=0); assert len(y) == 60_000") - 60_000 * 40 < 20e6


def test_a_training_step_takes_less_than_60_megabytes() -> None:
    assert peak_of(128, "model.train_on_batch(x, labels)") < 60e6
