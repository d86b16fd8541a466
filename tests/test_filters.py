"""Filters of one channel; those that are the outer product of two vectors run in two passes."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

import fastconv
from cases import LAYOUTS, generator, swap_axes, swap_weights, whole_numbers
from compare import ISAS, Guarded, assert_close, assert_exact, assert_same_bits, running
from fastconv import functional, grad, reference

DTYPES = (np.float32, np.float64)

# Of images (n, 1, h, w) and kernels: vectors and a few columns more or less, edges wider than the image, many rows of
# sums, more taps than one partial sum holds.
SHAPES: dict[str, tuple[tuple[int, int, int], tuple[int, int], Any]] = {
    "sobel": ((1, 19, 70), (3, 3), 1),
    "line": ((2, 1, 83), (1, 5), (0, 2)),
    "column": ((1, 41, 7), (6, 1), ((2, 3), (0, 0))),
    "valid": ((3, 17, 133), (5, 7), 0),
    "lopsided": ((1, 23, 97), (4, 6), ((3, 0), (1, 5))),
    "wide_edges": ((1, 6, 5), (7, 9), (5, 7)),
    "beyond": ((1, 4, 3), (5, 5), ((4, 5), (6, 4))),
    "partial_sums": ((1, 30, 66), (25, 31), (12, 15)),
}


def magnitude(x: np.ndarray, w: np.ndarray, padding: Any) -> np.ndarray:
    return reference.conv2d(np.abs(x), np.abs(w), padding=padding)


@pytest.mark.parametrize("name", SHAPES)
def test_every_product(name: str) -> None:
    (n, height, width), kernel, padding = SHAPES[name]
    rng = generator(name)
    x, w = whole_numbers(rng, n, 1, height, width), whole_numbers(rng, 1, 1, *kernel)
    b = whole_numbers(rng, 1)
    expected = reference.conv2d(x, w, b, padding=padding)
    for isa, dtype, layout, threads in product(ISAS, DTYPES, LAYOUTS, (1, 3)):
        out = Guarded(swap_axes(expected, layout).shape, dtype)
        with running(isa, threads):
            functional.conv2d(
                swap_axes(x, layout).astype(dtype),
                swap_weights(w, layout).astype(dtype),
                b.astype(dtype),
                padding=padding,
                layout=layout,
                out=out.array,
            )
        assert_exact(out.array, swap_axes(expected, layout).astype(dtype), name, isa, dtype, layout, threads)
        out.check(name, isa, dtype, layout)


@pytest.mark.parametrize("name", [name for name, case in SHAPES.items() if min(case[1]) > 3])
def test_two_passes(name: str) -> None:
    (n, height, width), (rows, columns), padding = SHAPES[name]
    rng = generator(name)
    x = rng.standard_normal((n, 1, height, width))
    w = np.multiply.outer(rng.standard_normal(rows), rng.standard_normal(columns))[None, None]
    for isa, dtype in product(ISAS, DTYPES):
        image, kernel = x.astype(dtype), w.astype(dtype)
        expected = reference.conv2d(image, kernel, padding=padding)
        bound = 4 * magnitude(image, kernel, padding)  # each weight is known to eight roundings
        with running(isa):
            got = functional.conv2d(image, kernel, padding=padding)
            with running(isa, 3):
                assert_same_bits(functional.conv2d(image, kernel, padding=padding), got, name, isa)
            assert_same_bits(functional.conv2d(image[-1:], kernel, padding=padding), got[-1:], name, isa)
        assert_close(got, expected, bound, name, isa, dtype)


def gaussian(size: int) -> np.ndarray:
    line = np.exp(-0.5 * (np.arange(size) - size // 2) ** 2 / (size / 5) ** 2)
    return np.outer(line, line) / line.sum() ** 2


def passes(image: np.ndarray, kernel: np.ndarray) -> int:
    """1 where "auto" adds every product as "direct" does, 2 where it must have done otherwise."""
    weight = kernel.astype(image.dtype)[None, None]
    auto, direct = (functional.conv2d(image, weight, algorithm=a) for a in ("auto", "direct"))
    return 1 if auto.tobytes() == direct.tobytes() else 2


@pytest.mark.parametrize("isa", ISAS)
def test_results_beyond_the_caches(isa: str) -> None:
    """Results of more than 16 MiB are stored another way; images of a part of the rows have the same bits."""
    rng = generator("beyond the caches")
    x = rng.standard_normal((1, 1, 1040, 4120), np.float32)
    w, bias = rng.standard_normal((1, 1, 3, 3), np.float32), rng.standard_normal(1, np.float32)
    place = np.empty(x.size + 1, np.float32)
    with running(isa):
        part = functional.conv2d(x[:, :, :60], w, bias, padding=1)[:, :, :59]
        for activation in (None, "relu"):
            want = np.maximum(part, 0) if activation else part
            for out in (None, place[:-1].reshape(x.shape), place[1:].reshape(x.shape)):
                got = functional.conv2d(x, w, bias, padding=1, activation=activation, out=out)
                assert got.nbytes > 2**24
                assert_same_bits(got[:, :, :59], want)
                edge = functional.conv2d(x[:, :, -2:], w, bias, padding=1, activation=activation)
                assert_same_bits(got[:, :, -1], edge[:, :, -1])


def test_highest_precision_adds_every_product() -> None:
    image = generator("highest").standard_normal((1, 1, 40, 90)).astype(np.float32)
    weight = gaussian(9).astype(np.float32)[None, None]
    direct = functional.conv2d(image, weight, algorithm="direct")
    before = fastconv.get_precision()
    try:
        for precision in ("highest", "high"):
            fastconv.set_precision(precision)
            got = functional.conv2d(image, weight)
            planned = fastconv.plan_conv2d(image.shape, weight)(image)
            assert_same_bits(planned, got, precision)
            assert (got.tobytes() == direct.tobytes()) == (precision == "highest")
    finally:
        fastconv.set_precision(before)


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_separable(dtype: type) -> None:
    image = generator("separable").standard_normal((1, 1, 40, 90)).astype(dtype)
    kernel = gaussian(9)
    assert passes(image, kernel) == 2
    assert passes(image, np.ones((5, 5)) / 25) == 2
    assert passes(image, np.ones((4, 4)) / 16) == 1  # sixteen products are not worth it
    assert passes(image, kernel[:1]) == passes(image, kernel[:, :1]) == 1
    eps = float(np.finfo(dtype).eps)
    for change in (1 + 100 * eps, 1 + 1e-3, -1.0, 0.0):
        near = kernel.copy()
        near[0, 8] *= change
        assert passes(image, near) == 1, change
    assert passes(image, kernel + np.eye(9) * 1e-4) == 1
    assert passes(image, np.zeros((5, 5))) == 1


def test_whole_numbers_stay_whole() -> None:
    rng = generator("binomial")
    x = whole_numbers(rng, 2, 1, 33, 71)
    line = np.float64([1, 4, 6, 4, 1])
    for kernel in (np.outer(line, line), np.outer([-2, 0, 6, 4, 2], line), np.full((5, 6), 3.0)):
        expected = reference.conv2d(x, kernel[None, None], padding=2)
        for isa, dtype in product(ISAS, DTYPES):
            with running(isa):
                got = functional.conv2d(x.astype(dtype), kernel[None, None].astype(dtype), padding=2)
            assert_exact(got, expected.astype(dtype), isa, dtype)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite(value: float) -> None:
    kernel = np.outer([1.0, 0, -2, 3, 0.5], [0.25, -1, 0, 2, 1])[None, None].astype(np.float32)
    x = generator("finite").standard_normal((1, 1, 20, 50)).astype(np.float32)
    x[0, 0, 9, 21] = value
    x[0, 0, 11, 23] = np.inf
    auto, direct = (functional.conv2d(x, kernel, padding=2, algorithm=a) for a in ("auto", "direct"))
    finite = np.isfinite(direct)
    assert np.array_equal(finite, np.isfinite(auto))
    assert not finite.all()
    assert np.array_equal(auto[~finite], direct[~finite], equal_nan=True)
    np.testing.assert_allclose(auto[finite], direct[finite], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_epilogue_and_gradient(layout: str) -> None:
    rng = generator("epilogue")
    for kernel in (rng.standard_normal((5, 5)), gaussian(7)):
        x, w, b = rng.standard_normal((2, 1, 21, 75)), kernel[None, None], rng.standard_normal(1)
        result = reference.conv2d(x, w, b, padding=2, activation="tanh")
        bound = 4 * magnitude(x, w, 2) + np.abs(b) + 1
        pull = rng.standard_normal(result.shape)
        back = reference.conv2d_input(x.shape, w, pull, padding=2)
        back_bound = 4 * reference.conv2d_input(x.shape, np.abs(w), np.abs(pull), padding=2)
        for isa in ISAS:
            with running(isa):
                got = functional.conv2d(
                    swap_axes(x, layout), swap_weights(w, layout), b, padding=2, activation="tanh", layout=layout
                )
                size = swap_axes(x, layout).shape
                got_back = grad.conv2d_input(
                    size, swap_weights(w, layout), swap_axes(pull, layout), padding=2, layout=layout
                )
            assert_close(got, swap_axes(result, layout), swap_axes(bound, layout), isa)
            assert_close(got_back, swap_axes(back, layout), swap_axes(back_bound, layout), isa)


def test_blur_of_every_channel() -> None:
    rng = generator("colours")
    x = rng.standard_normal((2, 3, 30, 101)).astype(np.float32)
    w = np.stack([gaussian(7), gaussian(7).T * 2, rng.standard_normal((7, 7))])[:, None].astype(np.float32)
    expected = reference.conv2d(x, w, padding=3, groups=3)
    bound = 4 * reference.conv2d(np.abs(x), np.abs(w), padding=3, groups=3)
    for isa in ISAS:
        with running(isa):
            assert_close(functional.conv2d(x, w, padding=3, groups=3), expected, bound, isa)
