"""Training curves: from the same weights and batches, losses are PyTorch's for a hundred steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastconv import models, optimizers
from fastconv.bench import lenet, vgg

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]

STEPS = 100


@pytest.fixture(scope="module")
def torch() -> Any:
    import torch

    return torch


def images(count: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Classes that can be learned: each has a pattern of its own under the noise."""
    rng = np.random.default_rng(12)
    labels = rng.integers(0, 10, count)
    patterns = rng.standard_normal((10, *shape))
    return (patterns[labels] + rng.standard_normal((count, *shape))).astype(np.float32), labels


def curves(torch: Any, model: Any, network: Any, x: np.ndarray, y: np.ndarray, batch: int) -> np.ndarray:
    """Return both losses of every step."""
    model.compile(optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy")
    optimizer = torch.optim.SGD(network.train().parameters(), lr=0.01, momentum=0.9)
    loss = torch.nn.CrossEntropyLoss()
    found = np.empty((2, STEPS))
    for step in range(STEPS):
        part = slice(step * batch % len(x), step * batch % len(x) + batch)
        found[0, step] = model.train_on_batch(x[part], y[part])
        optimizer.zero_grad()
        value = loss(network(torch.from_numpy(x[part].transpose(0, 3, 1, 2).copy())), torch.from_numpy(y[part]))
        value.backward()
        optimizer.step()
        found[1, step] = value.item()
    return found


def test_lenet(torch: Any) -> None:
    nn = torch.nn
    weights = lenet.random_weights()
    network = nn.Sequential(
        *(nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Conv2d(16, 120, 5), nn.Tanh(), nn.Flatten(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10)),
    )
    with torch.no_grad():
        for parameter, weight in zip(network.parameters(), weights, strict=True):
            axes = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[weight.ndim]
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(weight.transpose(axes))))
    model = models.LeNet5()
    model.set_weights(weights)
    own, theirs = curves(torch, model, network, *images(320, (32, 32, 1)), 32)
    assert own[-1] < own[0] / 2
    np.testing.assert_allclose(own, theirs, atol=1e-3)


def test_vgg(torch: Any) -> None:
    model = vgg.model(dropout=0.0)
    model.set_weights(vgg.random_weights())
    network = vgg.torch_model(torch, "NHWC", dropout=0.0)
    own, theirs = curves(torch, model, network, *images(160, (32, 32, 3)), 16)
    assert own[-1] < own[0] / 2
    np.testing.assert_allclose(own[-1], theirs[-1], atol=1e-3)
