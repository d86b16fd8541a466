"""Initial weights, their spread and their seeds; regularizers; helpers."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest

from fastconv import initializers, layers, regularizers, utils

SHAPE = (3, 3, 40, 50)
FAN_IN, FAN_OUT = 9 * 40, 9 * 50

SPREADS: list[tuple[str, float, float]] = [
    ("glorot_uniform", np.sqrt(2 / (FAN_IN + FAN_OUT)), np.sqrt(6 / (FAN_IN + FAN_OUT))),
    ("he_uniform", np.sqrt(2 / FAN_IN), np.sqrt(6 / FAN_IN)),
    ("lecun_uniform", np.sqrt(1 / FAN_IN), np.sqrt(3 / FAN_IN)),
    ("glorot_normal", np.sqrt(2 / (FAN_IN + FAN_OUT)), 2 / 0.8796 * np.sqrt(2 / (FAN_IN + FAN_OUT))),
    ("he_normal", np.sqrt(2 / FAN_IN), 2 / 0.8796 * np.sqrt(2 / FAN_IN)),
    ("lecun_normal", np.sqrt(1 / FAN_IN), 2 / 0.8796 * np.sqrt(1 / FAN_IN)),
    ("random_normal", 0.05, 0.05 * 6),
    ("random_uniform", 0.05 / np.sqrt(3), 0.05),
    ("truncated_normal", 0.05 * 0.8796, 0.1),
    ("zeros", 0.0, 0.0),
]


@pytest.mark.parametrize(("name", "deviation", "limit"), SPREADS, ids=[name for name, _, _ in SPREADS])
def test_spread(name: str, deviation: float, limit: float) -> None:
    utils.set_random_seed(0)
    for dtype in (np.float32, np.float64):
        values = initializers.get(name)(SHAPE, dtype)
        assert values.dtype == dtype
        assert values.shape == SHAPE
        assert values.std() == pytest.approx(deviation, rel=0.03)
        assert abs(values.mean()) <= 4 * deviation / np.sqrt(values.size)
        assert np.abs(values).max() <= limit * 1.0001
        assert np.abs(values).max() >= 0.6 * limit


def test_the_rest() -> None:
    assert (initializers.Ones()((2, 3)) == 1).all()
    assert (initializers.Constant(0.5)((2, 3)) == 0.5).all()
    scaled = initializers.VarianceScaling(3.0, "fan_out", "untruncated_normal", seed=1)((100, 300))
    assert scaled.std() == pytest.approx(0.1, rel=0.03)
    vector = initializers.get("he_normal")((1000,))
    assert vector.std() == pytest.approx(np.sqrt(2 / 1000), rel=0.15)
    assert initializers.get("he_normal")(()).shape == ()


def test_seeds() -> None:
    own = initializers.HeNormal(seed=3)
    np.testing.assert_array_equal(own((4, 5)), own((4, 5)))
    common = initializers.get("he_normal")
    utils.set_random_seed(1)
    first = common((4, 5))
    assert (common((4, 5)) != first).any()
    utils.set_random_seed(1)
    np.testing.assert_array_equal(common((4, 5)), first)


def test_names_and_configurations() -> None:
    for made in (
        initializers.Zeros(),
        initializers.Constant(2.0),
        initializers.RandomNormal(1.0, 0.1, 3),
        initializers.RandomUniform(0.0, 1.0, 3),
        initializers.TruncatedNormal(seed=2),
        initializers.VarianceScaling(2.0, "fan_avg", "uniform", 1),
        initializers.GlorotUniform(seed=1),
        initializers.LecunNormal(seed=1),
    ):
        again = initializers.get(json.loads(json.dumps(initializers.serialize(made))))
        assert type(again) is type(made)
        np.testing.assert_array_equal(again((3, 4)), made((3, 4)))
    for name in ("GlorotUniform", "glorot_uniform", initializers.GlorotUniform, initializers.glorot_uniform):
        assert isinstance(initializers.get(name), initializers.GlorotUniform)
    dense = layers.Dense(2, kernel_initializer=initializers.Constant(3.0), bias_initializer="ones")
    np.testing.assert_array_equal(dense(np.ones((1, 2))), [[7, 7]])
    own = layers.Dense(2, kernel_initializer=lambda shape, dtype: np.full(shape, 2.0, dtype))
    np.testing.assert_array_equal(own(np.ones((1, 2))), [[4, 4]])


REGULARIZERS: list[tuple[Any, float]] = [
    (regularizers.L1(0.5), 0.5 * 6),
    (regularizers.L2(0.5), 0.5 * 14),
    (regularizers.L1L2(0.1, 0.2), 0.1 * 6 + 0.2 * 14),
    (regularizers.get("l1"), 0.01 * 6),
    (regularizers.get("l2"), 0.01 * 14),
    (regularizers.get("l1_l2"), 0.01 * 20),
    (regularizers.l1_l2(0.5), 3.0),
]


@pytest.mark.parametrize(("regularizer", "penalty"), REGULARIZERS)
def test_regularizers(regularizer: Any, penalty: float) -> None:
    weights = np.array([[1.0, -2.0], [3.0, 0.0]])
    assert regularizer(weights) == pytest.approx(penalty)
    moved = np.eye(2) * 1e-6
    slope = (regularizer(weights + moved) - regularizer(weights - moved)) / 2e-6
    assert np.diag(regularizer.gradient(weights)).sum() == pytest.approx(slope, abs=1e-5)
    again = regularizers.get(json.loads(json.dumps(regularizers.serialize(regularizer))))
    assert again.get_config() == regularizer.get_config()


MISTAKES: list[tuple[Any, str]] = [
    (lambda: initializers.get("no"), "initializer: unknown name 'no'; expected one of Constant"),
    (lambda: initializers.VarianceScaling(0), "scale: expected a positive number, got 0"),
    (lambda: initializers.VarianceScaling(mode="fan"), "mode: expected 'fan_in', 'fan_out' or 'fan_avg', got 'fan'"),
    (lambda: initializers.VarianceScaling(distribution="x"), "distribution: expected 'truncated_normal'"),
    (lambda: regularizers.get("no"), "regularizer: unknown name 'no'"),
    (lambda: regularizers.L2("much"), "l2: expected a finite number, got 'much'"),
    (lambda: regularizers.L1(float("nan")), "l1: expected a finite number, got nan"),
    (lambda: utils.to_categorical([0, 3], 3), r"x: expected labels in 0 … 2, got 0 … 3"),
    (lambda: utils.to_categorical([-1, 0]), r"x: expected labels in 0 … 0, got -1 … 0"),
    (lambda: utils.to_categorical([]), "x: expected at least one label where num_classes is not given"),
    (lambda: utils.set_random_seed(-1), r"seed: expected an integer in 0 … 2\*\*32 - 1, got -1"),
    (lambda: utils.set_random_seed(1.5), "seed: expected an integer"),
]


@pytest.mark.parametrize(("mistake", "text"), MISTAKES, ids=[text[:40] for _, text in MISTAKES])
def test_mistakes(mistake: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        mistake()


def test_bases_say_what_is_missing() -> None:
    with pytest.raises(TypeError, match=r"Initializer defines no __call__\(shape, dtype\)"):
        initializers.Initializer()((2,))
    with pytest.raises(TypeError, match=r"Regularizer defines no gradient\(x\)"):
        regularizers.Regularizer().gradient(np.ones(2))


def test_to_categorical() -> None:
    np.testing.assert_array_equal(utils.to_categorical([[1], [0]], 3), [[0, 1, 0], [1, 0, 0]])
    assert utils.to_categorical(np.zeros((2, 3), int), 4).shape == (2, 3, 4)
    assert utils.to_categorical([], 4).shape == (0, 4)


def test_set_random_seed_seeds_everything() -> None:
    found = []
    for _ in range(2):
        utils.set_random_seed(11)
        drop = layers.Dropout(0.5)(np.ones((3, 7)), training=True)
        found.append((random.random(), np.random.rand(), utils.generator().random(), drop.tolist()))  # noqa: NPY002
    assert found[0] == found[1]


def test_registered_names() -> None:
    @utils.register_keras_serializable("mine", name="registered_activation")
    def cubed(x: np.ndarray) -> np.ndarray:
        return x**3

    np.testing.assert_array_equal(layers.Activation("registered_activation")([[2.0]]), [[8.0]])
