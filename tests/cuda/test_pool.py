"""Pools and their gradients, on the smallest images that have every tail."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cuda_device import assert_equal, assert_near, to_device, to_host
from fastconv import functional, grad, reference
from fastconv.cuda.operators import pool as operators

CASES: dict[str, tuple[int, tuple[int, ...], dict[str, Any]]] = {
    "2x2": (2, (2, 3, 5, 4), {"kernel_size": 2}),
    "3x3 stride 2 padded": (2, (1, 4, 5, 6), {"kernel_size": 3, "stride": 2, "padding": 1}),
    "ceil": (2, (1, 1, 5, 5), {"kernel_size": 2, "stride": 2, "ceil_mode": True}),
    "same": (2, (1, 2, 4, 3), {"kernel_size": (2, 3), "stride": 1, "padding": "same"}),
    "1-D": (1, (1, 2, 7), {"kernel_size": 3, "stride": 2}),
    "3-D": (3, (1, 2, 3, 2, 3), {"kernel_size": 2, "stride": 1, "padding": 1}),
    "without a batch": (2, (2, 4, 4), {"kernel_size": 2}),
}
LAYOUTS = ("NCHW", "NHWC")


def laid(x: np.ndarray, axes: int, layout: str) -> np.ndarray:
    """Move the channels of an array that has them first."""
    return x if layout == "NCHW" else np.ascontiguousarray(np.moveaxis(x, -axes - 1, -1))


def whole_numbers(shape: tuple[int, ...], dtype: Any = np.float32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-9, 9, shape).astype(dtype)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", CASES)
def test_maxima(name: str, layout: str) -> None:
    axes, shape, options = CASES[name]
    x = laid(whole_numbers(shape), axes, layout)
    run, expected = getattr(functional, f"max_pool{axes}d"), getattr(reference, f"max_pool{axes}d")
    maxima, indices = expected(x, **options, return_indices=True, layout=layout)
    assert_equal(run(to_device(x), **options, layout=layout), maxima, name)
    got, where = run(to_device(x), **options, return_indices=True, layout=layout)
    assert_equal(got, maxima, name)
    assert_equal(where, indices, name)
    g = whole_numbers(maxima.shape, seed=1)
    back = getattr(grad, f"max_pool{axes}d")
    found = getattr(reference, f"max_pool{axes}d_backward")(x, g, **options, layout=layout)
    assert_equal(back(to_device(x), to_device(g), **options, layout=layout), found, name)
    assert_equal(back(to_device(x), to_device(g), **options, layout=layout, indices=where), found, name)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", CASES)
def test_means(name: str, layout: str) -> None:
    axes, shape, options = CASES[name]
    for pad in (True, False):
        told = {**options, "count_include_pad": pad, "layout": layout}
        x = laid(whole_numbers(shape, np.float64 if pad else np.float32), axes, layout)
        expected = getattr(reference, f"avg_pool{axes}d")(x, **told)
        assert_near(getattr(functional, f"avg_pool{axes}d")(to_device(x), **told), expected, name, pad)
        g = whole_numbers(expected.shape, x.dtype, seed=1)
        found = getattr(reference, f"avg_pool{axes}d_backward")(x.shape, g, **told)
        assert_near(getattr(grad, f"avg_pool{axes}d")(x.shape, to_device(g), **told), found, name, pad)


def test_a_divisor_of_the_callers() -> None:
    x = whole_numbers((1, 1, 4, 4))
    expected = reference.avg_pool2d(x, 2, divisor_override=3)
    assert_near(functional.avg_pool2d(to_device(x), 2, divisor_override=3), expected)
    g = whole_numbers(expected.shape)
    found = reference.avg_pool2d_backward(x.shape, g, 2, divisor_override=3)
    assert_near(grad.avg_pool2d(x.shape, to_device(g), 2, divisor_override=3), found)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [1, (2, 3), 0])
def test_adaptive(size: Any, layout: str) -> None:
    x = laid(whole_numbers((2, 9, 5, 4)), 2, layout)
    means = reference.adaptive_avg_pool2d(x, size, layout=layout)
    maxima, indices = reference.adaptive_max_pool2d(x, size, return_indices=True, layout=layout)
    assert_near(functional.adaptive_avg_pool2d(to_device(x), size, layout=layout), means, size)
    assert_equal(functional.adaptive_max_pool2d(to_device(x), size, layout=layout), maxima, size)
    _, where = functional.adaptive_max_pool2d(to_device(x), size, return_indices=True, layout=layout)
    assert_equal(where, indices, size)
    if size != 0:
        g = whole_numbers(means.shape, seed=1)
        assert_near(
            grad.adaptive_avg_pool2d(x.shape, to_device(g), layout=layout),
            reference.adaptive_avg_pool2d_backward(x.shape, g, layout=layout),
        )
        assert_equal(
            grad.adaptive_max_pool2d(to_device(x), to_device(g), layout=layout),
            reference.adaptive_max_pool2d_backward(x, g, layout=layout),
        )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_window_of_the_whole_image(layout: str) -> None:
    x = laid(whole_numbers((1, 3, 9, 8)), 2, layout)
    assert_near(
        functional.avg_pool2d(to_device(x), (9, 8), layout=layout), reference.avg_pool2d(x, (9, 8), layout=layout)
    )


def test_nan_and_infinity() -> None:
    x = np.float32([[[np.nan, 1, 2, 3], [1, 1, -np.inf, -np.inf], [1, 1, -np.inf, -np.inf]]])
    maxima, indices = functional.max_pool2d(to_device(x), (1, 2), return_indices=True)
    expected = reference.max_pool2d(x, (1, 2), return_indices=True)
    np.testing.assert_array_equal(to_host(maxima), expected[0])
    assert_equal(indices, expected[1])
    assert np.isnan(to_host(functional.adaptive_max_pool2d(to_device(x), 1))).all()


def test_images_in_several_launches(monkeypatch: pytest.MonkeyPatch) -> None:
    x, g = whole_numbers((3, 2, 4, 4)), whole_numbers((3, 2, 2, 2))
    monkeypatch.setattr(operators, "MOST", 40)
    assert_equal(functional.max_pool2d(to_device(x), 2), reference.max_pool2d(x, 2))
    assert_equal(grad.max_pool2d(to_device(x), to_device(g), 2), reference.max_pool2d_backward(x, g, 2))


def test_mistakes_are_named() -> None:
    x = to_device(np.zeros((1, 1, 4, 4), np.float32))
    with pytest.raises(ValueError, match=r"^kernel_size: "):
        functional.max_pool2d(x, 0)
    with pytest.raises(ValueError, match=r"^grad_output: expected shape \(1, 1, 2, 2\), got shape \(1, 1, 3, 2\)"):
        grad.max_pool2d(x, to_device(np.zeros((1, 1, 3, 2), np.float32)), 2)
    with pytest.raises(TypeError, match=r"^input: expected an array in GPU memory"):
        grad.max_pool2d(np.zeros((1, 1, 4, 4), np.float32), to_device(np.zeros((1, 1, 2, 2), np.float32)), 2)
    with pytest.raises(ValueError, match=r"^out: expected shape"):
        functional.avg_pool2d(x, 2, out=x)
