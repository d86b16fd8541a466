"""Layers that nobody tuned for: shapes of the kinds that networks have, drawn from a seed."""

from __future__ import annotations

import numpy as np

from fastconv.bench.layers import Layer

COUNT, SEED = 100, 2026
MOST_FLOPS, LEAST_FLOPS = 1.5e9, 1e6
# How often each kind is drawn.
KINDS = {"3x3": 0.3, "1x1": 0.25, "strided": 0.1, "depthwise": 0.12, "first": 0.08, "wide": 0.08, "other": 0.07}
CHANNELS = [16, 24, 32, 40, 48, 64, 80, 96, 112, 128, 160, 192, 256, 320, 384, 512]
SIZES = [7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 112]


def random_layer(rng: np.random.Generator, name: str) -> Layer:
    """Draw one layer of any size."""
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    n = int(rng.choice([1, 1, 1, 2, 4, 8]))
    c, k = (int(value) for value in rng.choice(CHANNELS, 2))
    h = int(rng.choice(SIZES))
    w = h if rng.random() < 0.7 else int(rng.choice(SIZES))
    if kind == "1x1":
        return Layer(name, n, c, h, w, k, (1, 1), int(rng.choice([1, 1, 1, 2])))
    if kind == "strided":
        return Layer(name, n, c, h, w, k, (3, 3), 2, (1, 1))
    if kind == "depthwise":
        size = int(rng.choice([3, 3, 3, 5, 7]))
        return Layer(name, n, c, h, w, c, (size, size), int(rng.choice([1, 1, 2])), (size // 2,) * 2, 1, c)
    if kind == "first":
        size = int(rng.choice([3, 5, 7]))
        c, k = int(rng.choice([1, 3, 3, 4])), min(k, 96)
        return Layer(name, n, c, 2 * h + 1, 2 * w, k, (size, size), int(rng.choice([1, 2])), (size // 2,) * 2)
    if kind == "wide":
        size = int(rng.choice([5, 7]))
        kernel = [(size, size), (1, size), (size, 1)][int(rng.integers(3))]
        return Layer(name, n, c, h, w, k, kernel, 1, (kernel[0] // 2, kernel[1] // 2))
    if kind == "other":
        if rng.random() < 0.5:
            return Layer(name, n, c, h, w, k, (3, 3), 1, (2, 2), 2)
        groups = int(rng.choice([2, 4, 8]))
        return Layer(name, n, c, h, w, k, (3, 3), 1, (1, 1), 1, groups)
    return Layer(name, n, c, h, w, k, (3, 3), 1, (1, 1))


def random_layers(count: int = COUNT, seed: int = SEED) -> list[Layer]:
    """Draw layers whose work lies between LEAST_FLOPS and MOST_FLOPS; the same ones for the same seed."""
    rng = np.random.default_rng(seed)
    found: list[Layer] = []
    while len(found) < count:
        layer = random_layer(rng, f"random_{len(found):03}")
        if min(layer.output) > 0 and LEAST_FLOPS <= layer.flops <= MOST_FLOPS:
            found.append(layer)
    return found
