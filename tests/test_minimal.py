"""If only one test is run: an installation computes, and predicts.

``python tests/test_minimal.py`` runs it where there is NumPy and no pytest.
"""

from __future__ import annotations

import numpy as np

import fastconv
from fastconv import functional


def test_vertical_edges() -> None:
    image = np.tile(np.array([10, 10, 10, 0, 0, 0], np.float32), (1, 1, 6, 1))
    weight = np.tile(np.array([1, 0, -1], np.float32), (1, 1, 3, 1))
    edges = functional.conv2d(image, weight)
    assert edges.dtype == np.float32
    np.testing.assert_array_equal(edges, np.tile(np.array([0, 30, 30, 0], np.float32), (1, 1, 4, 1)))


def test_predict() -> None:
    model = fastconv.models.LeNet5()
    images = np.random.default_rng(0).random((3, 32, 32, 1), np.float32)
    probabilities = model.predict(images, verbose=0)
    assert probabilities.shape == (3, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


if __name__ == "__main__":
    test_vertical_edges()
    test_predict()
    print(f"fastconv {fastconv.__version__} computes and predicts with {', '.join(fastconv.available_isas())}")
