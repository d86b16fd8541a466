"""What is right, from the definitions, in NumPy and float64; no code is shared with fastconv or a peer.

Whole layers would take minutes that way, so that outputs are checked where a seeded sample says, corners included.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from fastconv.bench.layers import Layer, Pool

Array = np.ndarray[Any, Any]
SAMPLES = 96


class Sample(NamedTuple):
    """Some positions of a result and what stands there."""

    shape: tuple[int, ...]
    where: tuple[Array, ...]
    values: Array

    def check(self, got: Array, bound: float) -> None:
        """Raise unless the result has its shape, is finite, and is right at the sample, relative to the 2-norm."""
        assert got.shape == self.shape, f"shape {got.shape}, expected {self.shape}"
        assert np.isfinite(got).all(), "not finite"
        error = np.linalg.norm(got[self.where] - self.values) / np.linalg.norm(self.values)
        assert error <= bound, f"off by {error:.1e} of the float64 result, at most {bound:.0e} is allowed"


def generator(name: str) -> np.random.Generator:
    return np.random.default_rng(crc32(name.encode()))


def sample(name: str, shape: tuple[int, ...], value: Callable[..., float]) -> Sample:
    """Evaluate value(*position) at all corners and at random."""
    corners = np.array(list(product(*({0, extent - 1} for extent in shape))))
    chance = generator(name + " positions").integers(0, shape, (SAMPLES, len(shape)))
    positions = np.unique(np.concatenate([corners, chance]), axis=0)
    values = np.array([value(*map(int, position)) for position in positions])
    return Sample(shape, tuple(positions.T), values)


def padded(layer: Layer | Pool, x: Array, value: float = 0) -> Array:
    top, left = (layer.padding,) * 2 if isinstance(layer.padding, int) else layer.padding
    return np.pad(x.astype(np.float64), ((0, 0), (0, 0), (top, top), (left, left)), constant_values=value)


def taps(start: int, count: int, step: int) -> slice:
    return slice(start, start + (count - 1) * step + 1, step)


def conv(layer: Layer, x: Array, w: Array, b: Array) -> Sample:
    wide, weight = padded(layer, x), w.astype(np.float64)
    per_group, inputs = layer.k // layer.groups, layer.c // layer.groups

    def value(n: int, k: int, i: int, j: int) -> float:
        first = k // per_group * inputs
        rows = taps(i * layer.stride, layer.kernel[0], layer.dilation)
        columns = taps(j * layer.stride, layer.kernel[1], layer.dilation)
        return float((wide[n, first : first + inputs, rows, columns] * weight[k]).sum() + b[k])

    return sample(layer.name, layer.output, value)


def conv_input(layer: Layer, w: Array, g: Array) -> Sample:
    wide, weight = g.astype(np.float64), w.astype(np.float64)
    per_group, inputs = layer.k // layer.groups, layer.c // layer.groups
    oh, ow = layer.output[2:]

    def value(n: int, c: int, y: int, x: int) -> float:
        total, outputs = 0.0, slice(c // inputs * per_group, (c // inputs + 1) * per_group)
        for ki, kj in np.ndindex(*layer.kernel):
            i, no_row = divmod(y + layer.padding[0] - ki * layer.dilation, layer.stride)
            j, no_column = divmod(x + layer.padding[1] - kj * layer.dilation, layer.stride)
            if not (no_row or no_column) and 0 <= i < oh and 0 <= j < ow:
                total += float(wide[n, outputs, i, j] @ weight[outputs, c % inputs, ki, kj])
        return total

    return sample(layer.name, layer.input, value)


def conv_weight(layer: Layer, x: Array, g: Array) -> Sample:
    wide, upstream = padded(layer, x), g.astype(np.float64)
    per_group, inputs = layer.k // layer.groups, layer.c // layer.groups
    oh, ow = layer.output[2:]

    def value(k: int, c: int, ki: int, kj: int) -> float:
        rows = taps(ki * layer.dilation, oh, layer.stride)
        columns = taps(kj * layer.dilation, ow, layer.stride)
        return float((wide[:, k // per_group * inputs + c, rows, columns] * upstream[:, k]).sum())

    return sample(layer.name, layer.weight, value)


def pool(case: Pool, x: Array) -> Sample:
    """Padding counts as zeros in an average, as torch has it by default, and as nothing in a maximum."""
    wide = padded(case, x, -np.inf if case.kind == "maximum" else 0)
    reduce = np.max if case.kind == "maximum" else np.mean

    def value(n: int, c: int, i: int, j: int) -> float:
        rows, columns = taps(i * case.stride, case.kernel, 1), taps(j * case.stride, case.kernel, 1)
        return float(reduce(wide[n, c, rows, columns]))

    return sample(case.name, case.output, value)
