"""Sums of ten thousand positive numbers: added one by one they would lose several digits more."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

from cases import LAYOUTS, generator, swap_axes, swap_weights
from compare import ISAS, running
from fastconv import functional, grad, reference

# Relative, in float32. One running sum of so many terms is off by about 70 of these halves, at its worst element.
BOUND = 8 * np.finfo(np.float32).eps


def uniform(name: str, *shape: int) -> np.ndarray:
    return generator(name).random(shape, np.float32)


CONVOLUTIONS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "channels": ((1, 1200, 4, 5), (5, 1200, 3, 3), {"padding": 1}),
    "channels_1x1": ((2, 10_000, 2, 3), (3, 10_000, 1, 1), {}),
    "taps": ((1, 1, 105, 104), (2, 1, 101, 100), {}),
    "grouped": ((1, 2400, 3, 3), (6, 1200, 3, 3), {"groups": 2}),
    "depthwise": ((1, 5, 102, 103), (5, 1, 101, 101), {"groups": 5}),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution(name: str) -> None:
    shape, weight_shape, options = CONVOLUTIONS[name]
    x, w = uniform(name, *shape), uniform(f"{name} weight", *weight_shape)
    expected = reference.conv2d(x, w, **options)
    for isa, layout, algorithm in product(ISAS, LAYOUTS, ("auto", "direct", "im2col")):
        with running(isa):
            got = functional.conv2d(
                swap_axes(x, layout), swap_weights(w, layout), **options, layout=layout, algorithm=algorithm
            )
        within(got, swap_axes(expected, layout), name, isa, layout, algorithm)


def within(got: np.ndarray, expected: np.ndarray, *label: Any) -> None:
    assert got.dtype == np.float32
    error = np.abs(got / expected - 1).max()
    assert error <= BOUND, (*label, error / BOUND)


# Shapes of images and weight whose gradient of the input, or of the weight, sums over many.
INPUT_GRADIENTS = {
    "filters": ((1, 4, 3, 4), (1200, 4, 3, 3), {"padding": 1}),
    "filters_1x1": ((2, 3, 2, 2), (10_000, 3, 1, 1), {}),
    "filters_strided": ((1, 2, 8, 8), (2500, 2, 4, 4), {"stride": 2, "padding": 1}),
}
WEIGHT_GRADIENTS = {
    "pixels": ((2, 3, 80, 81), (5, 3, 3, 3), {"padding": 1}),
    "images": ((2500, 2, 3, 3), (3, 2, 2, 2), {}),
    "pixels_depthwise": ((1, 6, 110, 100), (6, 1, 3, 3), {"padding": 1, "groups": 6}),
}


@pytest.mark.parametrize("name", [*INPUT_GRADIENTS, *WEIGHT_GRADIENTS])
def test_gradients_of_convolution(name: str) -> None:
    shape, weight_shape, options = {**INPUT_GRADIENTS, **WEIGHT_GRADIENTS}[name]
    x, w = uniform(name, *shape), uniform(f"{name} weight", *weight_shape)
    g = np.float32(0.5) + uniform(f"{name} gradient", *reference.conv2d(x[:, :], w, **options).shape)
    by_input = name in INPUT_GRADIENTS
    expected = (
        reference.conv2d_input(shape, w, g, **options)
        if by_input
        else reference.conv2d_weight(x, weight_shape, g, **options)
    )
    for isa, layout in product(ISAS, LAYOUTS):
        images, weight, gradient = swap_axes(x, layout), swap_weights(w, layout), swap_axes(g, layout)
        with running(isa):
            if by_input:
                got = grad.conv2d_input(images.shape, weight, gradient, **options, layout=layout)
                within(got, swap_axes(expected, layout), name, isa, layout)
            else:
                got = grad.conv2d_weight(images, weight.shape, gradient, **options, layout=layout)
                within(got, swap_weights(expected, layout), name, isa, layout)


@pytest.mark.parametrize("shape", [(1, 3, 120, 121), (3000, 5, 2, 2), (1, 1, 1, 20_000), (4, 70, 60, 50)])
def test_gradient_of_bias(shape: tuple[int, ...]) -> None:
    g = uniform("bias", *shape)
    expected = reference.conv2d_bias(g)
    for isa, layout in product(ISAS, LAYOUTS):
        with running(isa):
            within(grad.conv2d_bias(swap_axes(g, layout), layout=layout), expected, isa, layout)


POOLS: dict[str, Callable[..., Any]] = {
    "window": lambda module, x, **more: module.avg_pool2d(x, (101, 100), 1, **more),
    "global": lambda module, x, **more: module.adaptive_avg_pool2d(x, 1, **more),
    "halves": lambda module, x, **more: module.adaptive_avg_pool2d(x, (1, 2), **more),
}


@pytest.mark.parametrize("name", POOLS)
def test_averages(name: str) -> None:
    x = uniform(name, 1, 5, 103, 140)
    expected = POOLS[name](reference, x)
    for isa, layout in product(ISAS, LAYOUTS):
        with running(isa):
            got = POOLS[name](functional, swap_axes(x, layout), layout=layout)
        within(got, swap_axes(expected, layout), isa, layout)


def test_linear_and_softmax() -> None:
    x, w = uniform("rows", 3, 20_000), uniform("matrix", 5, 20_000)
    expected = reference.linear(x, w)
    smooth = reference.softmax(x, 1)
    for isa in ISAS:
        with running(isa):
            within(functional.linear(x, w), expected, isa)
            within(functional.softmax(x, 1), smooth, "softmax", isa)
            within(functional.softmax(np.ascontiguousarray(x.T), 0).T, smooth, "softmax of columns", isa)
