"""Metrics: values, weights, batches that add up, and which accuracy "accuracy" is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastconv import losses, metrics

RNG = np.random.default_rng(2)
SCORES = RNG.random((40, 6))
LABELS = RNG.integers(0, 6, 40)
TRUTH = np.eye(6)[LABELS]
RIGHT = SCORES.argmax(1) == LABELS
RANKS = (SCORES[np.arange(40), LABELS][:, None] < SCORES).sum(1)

CASES: list[tuple[metrics.Metric, np.ndarray, np.ndarray, np.ndarray]] = [
    (metrics.SparseCategoricalAccuracy(), LABELS, SCORES, RIGHT),
    (metrics.SparseCategoricalAccuracy(), LABELS[:, None], SCORES, RIGHT),
    (metrics.CategoricalAccuracy(), TRUTH, SCORES, RIGHT),
    (metrics.Accuracy(), LABELS, SCORES.argmax(1), RIGHT),
    (metrics.SparseTopKCategoricalAccuracy(3), LABELS, SCORES, RANKS < 3),
    (metrics.TopKCategoricalAccuracy(2), TRUTH, SCORES, RANKS < 2),
    (metrics.TopKCategoricalAccuracy(100), TRUTH, SCORES, RANKS < 100),
    (metrics.SparseTopKCategoricalAccuracy(2, from_sorted_ids=True), LABELS, np.argsort(-SCORES, 1), RANKS < 2),
    (metrics.MeanSquaredError(), TRUTH, SCORES, np.square(TRUTH - SCORES).mean(1)),
    (metrics.MeanAbsoluteError(), TRUTH, SCORES, np.abs(TRUTH - SCORES).mean(1)),
    (metrics.LossMetric(losses.MeanSquaredError()), TRUTH, SCORES, np.square(TRUTH - SCORES).mean(1)),
    (metrics.BinaryAccuracy(), LABELS > 2, SCORES[:, :1], (SCORES[:, 0] > 0.5) == (LABELS > 2)),
    (metrics.BinaryAccuracy(threshold=0.2), LABELS > 2, SCORES[:, 0], (SCORES[:, 0] > 0.2) == (LABELS > 2)),
]


@pytest.mark.parametrize(("metric", "truth", "predicted", "each"), CASES, ids=lambda v: getattr(v, "name", ""))
def test_values(metric: metrics.Metric, truth: np.ndarray, predicted: np.ndarray, each: np.ndarray) -> None:
    metric.reset_state()
    assert metric.result() == 0
    assert metric(truth, predicted) == pytest.approx(each.mean())
    metric.reset_state()
    for part in (slice(0, 7), slice(7, 39), slice(39, 40)):
        metric.update_state(truth[part], predicted[part])
    assert metric.result() == pytest.approx(each.mean())
    metric.reset_state()
    weights = np.linspace(0, 1, 40)
    metric.update_state(truth, predicted, sample_weight=weights)
    assert metric.result() == pytest.approx((each * weights).sum() / weights.sum())
    again = type(metric).from_config(metric.get_config())
    again.update_state(truth, predicted)
    assert again.result() == pytest.approx(each.mean())


def test_binary_accuracy_of_many_columns() -> None:
    wanted = ((SCORES > 0.5) == TRUTH).mean()
    assert metrics.BinaryAccuracy()(TRUTH, SCORES) == pytest.approx(wanted)
    weights = np.arange(40.0)
    metric = metrics.BinaryAccuracy()
    metric.update_state(TRUTH, SCORES, sample_weight=weights)
    assert metric.result() == pytest.approx((((SCORES > 0.5) == TRUTH).mean(1) * weights).sum() / weights.sum())


def test_mean() -> None:
    mean = metrics.Mean()
    mean.update_state([1.0, 2.0, 6.0], sample_weight=[1, 1, 2])
    mean.update_state(3.0)
    assert mean.result() == pytest.approx((1 + 2 + 12 + 3) / 5)


def test_top_k_does_not_count_what_is_no_number() -> None:
    scores = np.array([[np.nan, 0.2, 0.1], [0.3, np.inf, 0.1]])
    np.testing.assert_array_equal(metrics.sparse_top_k_categorical_accuracy([0, 1], scores, 3), [False, False])


@pytest.mark.parametrize(
    ("target_shape", "output_shape", "kind"),
    [
        ((8,), (8, 1), metrics.BinaryAccuracy),
        ((8, 1), (8, 1), metrics.BinaryAccuracy),
        ((8,), (8, 10), metrics.SparseCategoricalAccuracy),
        ((8, 1), (8, 10), metrics.SparseCategoricalAccuracy),
        ((8, 10), (8, 10), metrics.CategoricalAccuracy),
        ((8, 5, 5), (8, 5, 5, 3), metrics.SparseCategoricalAccuracy),
    ],
)
def test_accuracy_is_resolved_by_shapes(target_shape: Any, output_shape: Any, kind: type) -> None:
    for name in ("accuracy", "acc"):
        metric = metrics.get(name, target_shape, output_shape)
        assert type(metric) is kind
        assert metric.name == name


def test_names() -> None:
    for name in ("mse", "MSE", "top_k_categorical_accuracy", "binary_accuracy", "sparse_categorical_crossentropy"):
        assert metrics.get(name).name == name
    assert isinstance(metrics.get("binary_crossentropy"), metrics.LossMetric)
    assert metrics.get(lambda y_true, y_pred: y_pred).name == "<lambda>"
    with pytest.raises(ValueError, match="metric: unknown name 'no'; expected one of Accuracy"):
        metrics.get("no")
    with pytest.raises(ValueError, match="threshold: expected a number between 0 and 1, got 2"):
        metrics.BinaryAccuracy(threshold=2)


def test_a_metric_that_says_too_little() -> None:
    for call in (metrics.Metric().update_state, metrics.Metric().result, metrics.Metric().reset_state):
        with pytest.raises(TypeError, match="Metric defines no"):
            call()
