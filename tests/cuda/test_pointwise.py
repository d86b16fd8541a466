"""Activations, softmax, dropout, batch normalisation, and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastconv
from cuda_device import assert_near, to_device, to_host
from fastconv import _core, functional, grad, reference
from fastconv.cuda.kernels.activations import FROM_ARGUMENT

DTYPES = (np.float32, np.float64)
NAMED = [name for name in _core.ACTIVATIONS if name not in ("linear", "exp", "gelu_tanh")]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMED)
def test_activations(name: str, dtype: Any) -> None:
    for count in (1, 3, 8, 257):
        x = np.linspace(-7, 7, count).astype(dtype)
        got = getattr(functional, name)(to_device(x))
        assert_near(got, getattr(reference, name)(x), name, count)


def test_in_place_and_out() -> None:
    x = np.float32([-1, 0, 2, np.nan])
    device = to_device(x)
    assert functional.relu(device, inplace=True) is device
    np.testing.assert_array_equal(to_host(device), np.float32([0, 0, 2, np.nan]))
    out = to_device(np.zeros(4, np.float32))
    assert functional.tanh(device, out=out) is out
    assert_near(out[:3], np.tanh([0, 0, 2]))


@pytest.mark.parametrize("count", [2, 4, 7])
@pytest.mark.parametrize("start", [1, 4])
def test_what_is_not_aligned_and_what_lies_beside_it(start: int, count: int) -> None:
    x, held = np.arange(16, dtype=np.float32) - 6, to_device(np.full(16, 5, np.float32))
    functional.relu(to_device(x)[start : start + count], out=held[start : start + count])
    expected, here = np.full(16, 5.0), slice(start, start + count)
    expected[here] = np.maximum(x[here], 0)
    np.testing.assert_array_equal(to_host(held), expected)
    g = np.arange(1, 17, dtype=np.float32)
    got = grad.relu(to_device(g)[:count], to_device(x)[here])
    np.testing.assert_array_equal(to_host(got), np.where(x[here] > 0, g[:count], 0))


def test_extremes_saturate() -> None:
    x = np.float32([-np.inf, -1000, 1000, np.inf])
    np.testing.assert_array_equal(to_host(functional.sigmoid(to_device(x))), [0, 0, 1, 1])
    np.testing.assert_array_equal(to_host(functional.elu(to_device(x))), [-1, -1, 1000, np.inf])


def test_mistakes_are_named() -> None:
    x = to_device(np.zeros(4, np.float32))
    with pytest.raises(TypeError, match=r"^input: expected float32 or float64, got int32"):
        functional.relu(to_device(np.zeros(4, np.int32)))
    with pytest.raises(ValueError, match=r"^out: expected shape \(4,\), got shape \(3,\)"):
        functional.relu(x, out=to_device(np.zeros(3, np.float32)))
    with pytest.raises(TypeError, match=r"^out: expected an array in GPU memory, like the input, got ndarray"):
        functional.relu(x, out=np.zeros(4, np.float32))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [each for each in NAMED if hasattr(grad, each)])
def test_gradients(name: str, dtype: Any) -> None:
    for count in (3, 8):
        x = np.linspace(-3.5, 3.5, count).astype(dtype)
        g = np.arange(1, count + 1).astype(dtype)
        saved = x if name in FROM_ARGUMENT else getattr(functional, name)(x)
        assert_near(getattr(grad, name)(to_device(g), to_device(saved)), getattr(grad, name)(g, saved), name, count)


def test_gradients_pass_no_nan_through_a_closed_gate() -> None:
    g, y = np.float32([np.nan, np.inf, 3]), np.float32([0, 0, 1])
    device = to_device(g)
    assert grad.relu(device, to_device(y), out=device) is device
    np.testing.assert_array_equal(to_host(device), np.float32([0, 0, 3]))


@pytest.mark.parametrize(("shape", "dim"), [((3, 10), 1), ((2, 3, 2), 1), ((2, 40), 1), ((1, 600), 1), ((5,), 0)])
def test_softmax(shape: tuple[int, ...], dim: int) -> None:
    draw = np.random.default_rng(0)
    x, g = (draw.standard_normal(shape) for _ in range(2))
    for name in ("softmax", "log_softmax"):
        y = getattr(reference, name)(x, dim)
        assert_near(getattr(functional, name)(to_device(np.float32(x)), dim), y, name)
        found = getattr(grad, name)(g, y, dim)
        assert_near(getattr(grad, name)(to_device(g), to_device(y), dim), found, name)


def test_softmax_of_large_values() -> None:
    x = np.float32([[1000, 1000], [-1000, 0], [np.nan, 0]])
    got = to_host(functional.softmax(to_device(x), 1))
    np.testing.assert_array_equal(got, np.float32([[0.5, 0.5], [0, 1], [np.nan, np.nan]]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_dropout_is_that_of_the_processor(dtype: Any) -> None:
    x = np.arange(1, 151, dtype=dtype)
    fastconv.set_seed(5)
    expected = functional.dropout(x, 0.3)
    fastconv.set_seed(5)
    np.testing.assert_array_equal(to_host(functional.dropout(to_device(x), 0.3)), expected)
    device = to_device(x)
    assert functional.dropout(device, 0.3, training=False) is device
    assert functional.dropout(device, 1.0, inplace=True) is device
    assert not to_host(device).any()


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("training", [False, True])
def test_batch_norm(training: bool, layout: str) -> None:
    draw = np.random.default_rng(0)
    x = np.float64(draw.standard_normal((2, 3, 2, 2) if layout == "NCHW" else (2, 2, 2, 3))) + 5
    g = draw.standard_normal(x.shape)
    mean, var, weight, bias = draw.random((4, 3)) + 0.5
    told = {"training": training, "layout": layout}
    running = [mean.copy(), var.copy()], [to_device(mean), to_device(var)]
    expected = functional.batch_norm(x, *running[0], weight, bias, **told)
    assert_near(functional.batch_norm(to_device(x), *running[1], to_device(weight), to_device(bias), **told), expected)
    for host, device in zip(*running, strict=True):
        assert_near(device, host)
    found = grad.batch_norm(x, g, mean, var, weight, **told)
    got = grad.batch_norm(to_device(x), to_device(g), to_device(mean), to_device(var), to_device(weight), **told)
    for one, other in zip(got, found, strict=True):
        assert_near(one, other)


def test_batch_norm_of_many_rows_without_weights() -> None:
    x = np.float32(np.random.default_rng(0).standard_normal((19, 33)))
    assert_near(functional.batch_norm(to_device(x), None, None, training=True),
                functional.batch_norm(np.float64(x), None, None, training=True))  # fmt: skip
    with pytest.raises(ValueError, match=r"^running_mean: expected an array \(33,\)"):
        functional.batch_norm(to_device(x), None, None)
