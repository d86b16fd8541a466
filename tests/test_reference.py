"""The reference itself: against definitions written out once more, one output at a time, in another way."""

from __future__ import annotations

import ast
import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest

import exact
from cases import ADAPTIVE_CASES, CONV_CASES, POOL_CASES, generator, swap_axes, swap_weights, whole_numbers
from fastconv import reference

SMALL_CONVS = [case for case in CONV_CASES.values() if case.products < 30_000]
SMALL_POOLS = [case for case in POOL_CASES.values() if np.prod(case.shape) < 700]


def test_it_imports_numpy_alone() -> None:
    files = sorted(Path(reference.__file__).parent.glob("*.py"))
    modules = set()
    for node in (node for file in files for node in ast.walk(ast.parse(file.read_text()))):
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            own = str(node.module).startswith("fastconv.reference.")
            modules.add("reference" if own else str(node.module).split(".")[0])
    assert modules == {"__future__", "collections", "itertools", "math", "numpy", "reference", "typing"}


@pytest.mark.parametrize("case", SMALL_CONVS, ids=lambda case: case.name)
def test_convolution_is_the_sum_of_its_definition(case) -> None:
    """Every product by itself; and both gradients are what makes <g, conv(x, w)> bilinear."""
    rng = generator(case.name)
    images, weight = whole_numbers(rng, *case.shape), whole_numbers(rng, *case.weight_shape)
    got = reference.conv2d(images, weight, **case.arguments)
    (n, k, oh, ow), (_, per_group, kh, kw) = case.output_shape, case.weight_shape
    assert got.shape == (n, k, oh, ow)
    (top, _), (left, _) = reference.padding_edges(case.padding, case.shape[2:], (kh, kw), case.stride, case.dilation)
    sh, sw = np.broadcast_to(case.stride, 2)
    dh, dw = np.broadcast_to(case.dilation, 2)
    expected = np.zeros(got.shape)
    for b, o, i, j in product(range(n), range(k), range(oh), range(ow)):
        first = o // (k // case.groups) * per_group
        for r, s in product(range(kh), range(kw)):
            y, x = i * sh - top + r * dh, j * sw - left + s * dw
            if 0 <= y < case.shape[2] and 0 <= x < case.shape[3]:
                expected[b, o, i, j] += images[b, first : first + per_group, y, x] @ weight[o, :, r, s]
    np.testing.assert_array_equal(got, expected)
    gradient = whole_numbers(rng, *got.shape)
    to_input = reference.conv2d_input(case.shape, weight, gradient, **case.arguments)
    to_weight = reference.conv2d_weight(images, case.weight_shape, gradient, **case.arguments)
    assert to_input.shape == case.shape
    assert to_weight.shape == case.weight_shape
    # With other x and w too, or these would hold for too little.
    other_images, other_weight = whole_numbers(rng, *case.shape), whole_numbers(rng, *case.weight_shape)
    forward = reference.conv2d(other_images, weight, **case.arguments)
    assert (forward * gradient).sum() == (other_images * to_input).sum()
    forward = reference.conv2d(images, other_weight, **case.arguments)
    assert (forward * gradient).sum() == (other_weight * to_weight).sum()
    for arguments in ({**case.arguments, "layout": "NHWC"},):
        x, w, g = swap_axes(images, "NHWC"), swap_weights(weight, "NHWC"), swap_axes(gradient, "NHWC")
        np.testing.assert_array_equal(reference.conv2d(x, w, **arguments), swap_axes(got, "NHWC"))
        back = reference.conv2d_input(x.shape, w, g, **arguments)
        np.testing.assert_array_equal(back, swap_axes(to_input, "NHWC"))
        back = reference.conv2d_weight(x, w.shape, g, **arguments)
        np.testing.assert_array_equal(back, swap_weights(to_weight, "NHWC"))


def window_pixels(case, i: int, j: int, dilation: int | tuple[int, int]) -> tuple[list[tuple[int, int]], int]:
    """The pixels of the window of output (i, j), and how many positions it has in image and padding."""
    kernel = tuple(np.broadcast_to(case.kernel_size, 2))
    stride = kernel if case.stride is None else np.broadcast_to(case.stride, 2)
    size = case.shape[2:]
    edges = reference.padding_edges(case.padding, size, kernel, stride, dilation)
    spread = np.broadcast_to(dilation, 2)
    axes, counted = [], 1
    for at, k, s, d, extent, (before, after) in zip((i, j), kernel, stride, spread, size, edges, strict=True):
        positions = [at * s - before + t * d for t in range(k)]
        counted *= sum(-before <= p < extent + after for p in positions)
        axes.append([p for p in positions if 0 <= p < extent])
    return list(product(*axes)), counted


@pytest.mark.parametrize("case", SMALL_POOLS, ids=lambda case: case.name)
def test_pools_are_their_definition(case) -> None:
    images = whole_numbers(generator(case.name), *case.shape)
    values, where = reference.max_pool2d(images, **case.max_arguments, return_indices=True)
    for i, j in product(*map(range, values.shape[2:])):
        pixels, _ = window_pixels(case, i, j, case.dilation)
        for b, c in product(*map(range, case.shape[:2])):
            best = max(pixels, key=lambda pixel: images[b, c, pixel[0], pixel[1]])
            assert values[b, c, i, j] == images[b, c, best[0], best[1]]
            assert where[b, c, i, j] == best[0] * case.shape[3] + best[1]
    for counting in ({}, {"count_include_pad": False}, {"divisor_override": 7}):
        averages = reference.avg_pool2d(images, **case.average_arguments, **counting)
        expected = np.empty(averages.shape)
        for i, j in product(*map(range, averages.shape[2:])):
            pixels, counted = window_pixels(case, i, j, 1)
            total = sum(images[:, :, y, x] for y, x in pixels)
            expected[:, :, i, j] = total / (
                7 if "divisor_override" in counting else len(pixels) if counting else counted
            )
        np.testing.assert_array_equal(averages, expected)


@pytest.mark.parametrize("name", ADAPTIVE_CASES)
def test_adaptive_pools_are_their_definition(name: str) -> None:
    shape, wanted = ADAPTIVE_CASES[name]
    images = whole_numbers(generator(name), *shape)
    averages = reference.adaptive_avg_pool2d(images, wanted)
    values, where = reference.adaptive_max_pool2d(images, wanted, return_indices=True)
    oh, ow = averages.shape[2:]
    flat = images.reshape(*shape[:2], shape[2] * shape[3])
    winners = np.take_along_axis(flat, where.reshape(*shape[:2], oh * ow), 2)
    np.testing.assert_array_equal(winners.reshape(values.shape), values)
    for i, j in product(range(oh), range(ow)):
        rows = slice(math.floor(i * shape[2] / oh), math.ceil((i + 1) * shape[2] / oh))
        columns = slice(math.floor(j * shape[3] / ow), math.ceil((j + 1) * shape[3] / ow))
        np.testing.assert_array_equal(averages[:, :, i, j], images[:, :, rows, columns].mean(axis=(2, 3)))
        np.testing.assert_array_equal(values[:, :, i, j], images[:, :, rows, columns].max(axis=(2, 3), initial=-np.inf))


@pytest.mark.parametrize("case", SMALL_POOLS, ids=lambda case: case.name)
def test_gradients_of_pools_are_adjoint(case) -> None:
    """An average is linear; a maximum is, as long as the same pixels win."""
    rng = generator(case.name)
    images = rng.permutation(int(np.prod(case.shape))).reshape(case.shape) * 4.0
    moved = images + rng.integers(-1, 2, case.shape)
    forward = reference.max_pool2d(moved, **case.max_arguments)
    gradient = whole_numbers(rng, *forward.shape)
    back = reference.max_pool2d_backward(images, gradient, **case.max_arguments)
    assert (forward * gradient).sum() == (moved * back).sum()
    for counting in ({}, {"count_include_pad": False}, {"divisor_override": 7}):
        arguments = {**case.average_arguments, **counting}
        forward = reference.avg_pool2d(images, **arguments)
        gradient = whole_numbers(rng, *forward.shape)
        back = reference.avg_pool2d_backward(case.shape, gradient, **arguments)
        np.testing.assert_allclose((forward * gradient).sum(), (images * back).sum(), rtol=1e-12)


@pytest.mark.parametrize("name", exact.FUNCTIONS)
def test_activations_are_their_definition(name: str) -> None:
    operator, options = ("gelu", {"approximate": "tanh"}) if name == "gelu_tanh" else (name, {})
    x = np.concatenate([np.linspace(-30, 30, 301), np.geomspace(1e-300, 1, 50), -np.geomspace(1e-300, 1, 50)])
    expected = [float(value) for value in exact.activation(name, x.tolist())]
    np.testing.assert_allclose(getattr(reference, operator)(x, **options), expected, rtol=2e-13, atol=1e-300)


def test_softmax_is_its_definition() -> None:
    rows = generator("softmax").standard_normal((4, 30)) * 20
    for row in rows:
        np.testing.assert_allclose(reference.softmax(row), np.array(exact.softmax(row.tolist()), float), rtol=1e-13)
        np.testing.assert_allclose(
            reference.log_softmax(row), np.array(exact.log_softmax(row.tolist()), float), rtol=1e-13, atol=1e-13
        )
    np.testing.assert_array_equal(reference.softmax(rows.T, 0), reference.softmax(rows).T)
    assert reference.softmax(rows[0]).shape == (30,)
    np.testing.assert_allclose(reference.softmax(rows.reshape(2, 2, 30)).sum(axis=0), 1)


def test_gradients_of_activations_are_differences() -> None:
    x = np.linspace(-8, 8, 400)
    x = x[np.min(np.abs(x[:, None] - np.array([-3, 0, 3, 6])), axis=1) > 1e-3]
    for name in exact.FUNCTIONS:
        operator, options = ("gelu", {"approximate": "tanh"}) if name == "gelu_tanh" else (name, {})
        forward = getattr(reference, operator)
        slope = (forward(x + 1e-5, **options) - forward(x - 1e-5, **options)) / 2e-5
        from_input = name in ("silu", "gelu", "gelu_tanh", "softplus", "hardswish")
        saved = x if from_input else forward(x, **options)
        got = getattr(reference, f"{operator}_backward")(np.ones_like(x), saved, **options)
        np.testing.assert_allclose(got, slope, rtol=1e-7, atol=1e-9, err_msg=name)


def test_parameters_of_the_course_networks() -> None:
    """``((m * n * d) + 1) * k`` for each layer of LeNet-5, and its feature maps."""
    image = np.zeros((1, 1, 32, 32))
    maps, parameters = image, []
    for filters, pooled in ((6, True), (16, True), (120, False)):
        weight, bias = np.zeros((filters, maps.shape[1], 5, 5)), np.zeros(filters)
        parameters.append(weight.size + bias.size)
        maps = reference.conv2d(maps, weight, bias, activation="tanh")
        assert maps.shape[1:] == {6: (6, 28, 28), 16: (16, 10, 10), 120: (120, 1, 1)}[filters]
        if pooled:
            maps = reference.avg_pool2d(maps, 2)
            assert maps.shape[1:] == {6: (6, 14, 14), 16: (16, 5, 5)}[filters]
    assert parameters == [156, 2416, 48120]
    assert sum(parameters) + (120 + 1) * 84 + (84 + 1) * 10 == 61706
