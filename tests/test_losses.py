"""Losses against their formulas, gradients against finite differences, reductions, weights and mistakes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from fastconv import losses

RNG = np.random.default_rng(4)
PROBABILITIES = RNG.random((5, 4)) * 0.9 + 0.05
SCORES = RNG.standard_normal((5, 4)) * 3
LABELS = np.array([0, 3, 1, 1, 2])
TRUTH = np.eye(4)[LABELS]
MAPS = RNG.random((2, 3, 3, 4)) + 0.05

CASES: list[tuple[losses.Loss, np.ndarray, np.ndarray]] = [
    (losses.SparseCategoricalCrossentropy(), LABELS, PROBABILITIES),
    (losses.SparseCategoricalCrossentropy(), RNG.integers(0, 4, (2, 3, 3)), MAPS),
    (losses.SparseCategoricalCrossentropy(from_logits=True), LABELS[:, None], SCORES),
    (losses.SparseCategoricalCrossentropy(ignore_class=1), LABELS, PROBABILITIES),
    (losses.SparseCategoricalCrossentropy(True, ignore_class=1, reduction="sum"), LABELS, SCORES),
    (losses.CategoricalCrossentropy(), TRUTH, PROBABILITIES),
    (losses.CategoricalCrossentropy(label_smoothing=0.2), TRUTH, PROBABILITIES),
    (losses.CategoricalCrossentropy(True, 0.1), TRUTH.astype(np.uint8), SCORES),
    (losses.BinaryCrossentropy(), TRUTH, PROBABILITIES),
    (losses.BinaryCrossentropy(True, 0.2), TRUTH, SCORES),
    (losses.BinaryCrossentropy(True), LABELS > 1, SCORES[:, :1]),
    (losses.MeanSquaredError(), SCORES[::-1].copy(), SCORES),
    (losses.MeanSquaredError("sum"), RNG.random(5), SCORES[:, :1]),
    (losses.MeanAbsoluteError("mean_with_sample_weight"), SCORES[::-1].copy(), SCORES),
]
IDS = [f"{i}-{loss.name}" for i, (loss, _, _) in enumerate(CASES)]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("loss", "truth", "predicted"), CASES, ids=IDS)
def test_gradients(loss: losses.Loss, truth: np.ndarray, predicted: np.ndarray, weighted: bool) -> None:
    predicted = predicted.copy()
    weights = np.linspace(0, 2, len(predicted)) if weighted else None
    prepared = loss.prepare(truth, predicted.shape, predicted.dtype)
    value, gradient = loss.value_and_gradient(prepared, predicted, weights)
    assert value == pytest.approx(loss(truth, predicted, weights))
    assert value == pytest.approx(loss.value(prepared, predicted, weights))
    found = np.empty_like(predicted)
    for index in np.ndindex(predicted.shape):
        before = predicted[index]
        predicted[index] = before + 1e-6
        above = loss(truth, predicted, weights)
        predicted[index] = before - 1e-6
        below = loss(truth, predicted, weights)
        predicted[index] = before
        found[index] = (above - below) / 2e-6
    np.testing.assert_allclose(gradient, found, atol=1e-7)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


@pytest.mark.parametrize(
    ("kind", "options", "truth", "activation"),
    [
        (losses.SparseCategoricalCrossentropy, {}, LABELS, softmax),
        (losses.SparseCategoricalCrossentropy, {"ignore_class": 1}, LABELS, softmax),
        (losses.CategoricalCrossentropy, {"label_smoothing": 0.1}, TRUTH, softmax),
        (losses.BinaryCrossentropy, {"label_smoothing": 0.1}, TRUTH, lambda x: 1 / (1 + np.exp(-x))),
    ],
)
def test_gradient_through_the_last_activation(kind: Any, options: Any, truth: Any, activation: Any) -> None:
    apart, joint = kind(from_logits=True, **options), kind(**options)
    assert apart.fused_activation is None
    assert joint.fused_activation in {"softmax", "sigmoid"}
    prepared = joint.prepare(truth, SCORES.shape, SCORES.dtype)
    value, gradient = joint.value_and_gradient(prepared, activation(SCORES), None, before_activation=True)
    wanted_value, wanted = apart.value_and_gradient(prepared, SCORES, None)
    assert value == pytest.approx(wanted_value, rel=1e-6)
    np.testing.assert_allclose(gradient, wanted, atol=1e-12)


def test_formulas() -> None:
    shares = PROBABILITIES / PROBABILITIES.sum(1, keepdims=True)
    chosen = shares[np.arange(5), LABELS]
    assert losses.SparseCategoricalCrossentropy()(LABELS, PROBABILITIES) == pytest.approx(-np.log(chosen).mean())
    assert losses.CategoricalCrossentropy()(TRUTH, PROBABILITIES) == pytest.approx(-np.log(chosen).mean())
    assert losses.SparseCategoricalCrossentropy(True)(LABELS, SCORES) == pytest.approx(
        -np.log(softmax(SCORES)[np.arange(5), LABELS]).mean()
    )
    binary = -(TRUTH * np.log(PROBABILITIES) + (1 - TRUTH) * np.log(1 - PROBABILITIES))
    assert losses.BinaryCrossentropy()(TRUTH, PROBABILITIES) == pytest.approx(binary.mean())
    assert losses.MeanSquaredError()(TRUTH, SCORES) == pytest.approx(((TRUTH - SCORES) ** 2).mean())
    assert losses.MeanAbsoluteError()(TRUTH, SCORES) == pytest.approx(np.abs(TRUTH - SCORES).mean())
    ignoring = losses.SparseCategoricalCrossentropy(ignore_class=1)
    assert ignoring(LABELS, PROBABILITIES) == pytest.approx(-np.log(chosen[LABELS != 1]).mean())
    assert ignoring(np.ones(5), PROBABILITIES) == 0
    assert losses.SparseCategoricalCrossentropy(ignore_class=-1)([-1, 0], PROBABILITIES[:2]) > 0


def test_extremes_stay_finite() -> None:
    certain = np.array([[0.0, 1.0], [1.0, 0.0]], np.float32)
    scores = np.array([[-1e4, 1e4], [1e4, -1e4]], np.float32)
    wrong, one_hot = np.array([0, 1]), np.eye(2)
    for loss, truth, predicted in (
        (losses.SparseCategoricalCrossentropy(), wrong, certain),
        (losses.SparseCategoricalCrossentropy(True), wrong, scores),
        (losses.CategoricalCrossentropy(), one_hot, certain),
        (losses.CategoricalCrossentropy(True), one_hot, scores),
        (losses.BinaryCrossentropy(), one_hot, certain),
        (losses.BinaryCrossentropy(True), one_hot, scores),
    ):
        prepared = loss.prepare(truth, predicted.shape, predicted.dtype)
        value, gradient = loss.value_and_gradient(prepared, predicted)
        assert np.isfinite(value)
        assert value > 10
        assert np.isfinite(gradient).all()
        assert gradient.dtype == np.float32


def test_reductions_and_weights() -> None:
    values = np.square(SCORES - TRUTH).mean(1)
    weights = np.array([1, 2, 0, 1, 0.5])
    for reduction, wanted in (
        ("sum_over_batch_size", (values * weights).mean()),
        ("mean", (values * weights).mean()),
        ("sum", (values * weights).sum()),
        ("mean_with_sample_weight", (values * weights).sum() / weights.sum()),
    ):
        for shape in ((5,), (5, 1)):
            assert losses.MeanSquaredError(reduction)(TRUTH, SCORES, weights.reshape(shape)) == pytest.approx(wanted)
    for reduction in ("none", None):
        np.testing.assert_allclose(losses.MeanSquaredError(reduction)(TRUTH, SCORES), values)
        np.testing.assert_allclose(losses.MeanSquaredError(reduction)(TRUTH, SCORES, weights), values * weights)
        with pytest.raises(ValueError, match="training needs one that gives a number"):
            losses.MeanSquaredError(reduction).value_and_gradient(TRUTH, SCORES)
    np.testing.assert_allclose(losses.mean_squared_error(TRUTH, SCORES), values)
    assert losses.MeanSquaredError("mean_with_sample_weight")(TRUTH, SCORES, np.zeros(5)) == 0


def test_names_and_configurations() -> None:
    for name in ["mse", "mae", "bce", "mean_squared_error", "sparse_categorical_crossentropy", "BinaryCrossentropy"]:
        assert isinstance(losses.get(name), losses.Loss)
    assert losses.get(losses.mean_squared_error).name == "mean_squared_error"
    assert losses.get(None) is None
    for loss, _, _ in CASES:
        again = losses.get(json.loads(json.dumps(losses.serialize(loss))))
        assert again.get_config() == loss.get_config()
        assert again.fused_activation == loss.fused_activation
    wrapped = losses.get(np.hypot)
    assert wrapped.name == "hypot"
    assert losses.serialize(wrapped) == "hypot"


MISTAKES: list[tuple[Any, str]] = [
    (lambda: losses.MeanSquaredError("average"), "reduction: expected one of .*, got 'average'"),
    (
        lambda: losses.CategoricalCrossentropy(label_smoothing=2),
        "label_smoothing: expected a number from 0 to 1, got 2",
    ),
    (lambda: losses.CategoricalCrossentropy(axis=1), "axis: expected -1, the last, got 1"),
    (lambda: losses.MeanSquaredError()(TRUTH, SCORES[:3]), "must have the same shape"),
    (lambda: losses.MeanSquaredError()(np.array(["a"]), SCORES[:1, 0]), "y_true: expected real numbers, got the dtype"),
    (lambda: losses.SparseCategoricalCrossentropy()(LABELS + 1, SCORES), r"labels in 0 … 3 .*, got 1 … 4"),
    (lambda: losses.SparseCategoricalCrossentropy()(TRUTH, SCORES), "the same shape up until the last dimension"),
    (lambda: losses.SparseCategoricalCrossentropy()(["a"] * 5, SCORES), "expected integer labels, got the dtype"),
    (lambda: losses.MeanSquaredError()(TRUTH, SCORES, np.ones(3)), r"sample_weight: expected the shape \(5,\)"),
    (lambda: losses.get("no"), "loss: unknown name 'no'"),
]


@pytest.mark.parametrize(("mistake", "text"), MISTAKES, ids=[text[:40] for _, text in MISTAKES])
def test_mistakes(mistake: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        mistake()


def test_a_loss_that_says_too_little() -> None:
    with pytest.raises(TypeError, match=r"Loss defines no call\(y_true, y_pred\)"):
        losses.Loss()(TRUTH, SCORES)
    with pytest.raises(TypeError, match="not differentiated together with an activation"):
        losses.MeanSquaredError().gradient_before_activation(TRUTH, SCORES)
    with pytest.raises(TypeError, match="loss: expected a name, a configuration or an object, got 3"):
        losses.get(3)
