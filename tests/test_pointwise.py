"""Activations, softmax and dropout, with their gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from itertools import product
from typing import Any

import numpy as np
import pytest

import exact
import fastconv
from cases import DTYPES, generator
from compare import ISAS, Guarded, assert_exact, assert_same_bits, running, running_threads, ulps
from fastconv import functional, grad, reference

ULPS = 4

# Every activation with all that can be said about it: its name, its arguments, whether its gradient starts from its
# output, and its values at infinity and minus infinity.
ACTIVATIONS: dict[str, tuple[str, dict[str, Any], bool, float, float]] = {
    "relu": ("relu", {}, True, np.inf, 0),
    "relu6": ("relu6", {}, True, 6, 0),
    "leaky_relu": ("leaky_relu", {}, True, np.inf, -np.inf),
    "elu": ("elu", {}, True, np.inf, -1),
    "selu": ("selu", {}, True, np.inf, -1.7580993408473766),
    "sigmoid": ("sigmoid", {}, True, 1, 0),
    "tanh": ("tanh", {}, True, 1, -1),
    "hardsigmoid": ("hardsigmoid", {}, True, 1, 0),
    "silu": ("silu", {}, False, np.inf, np.nan),
    "gelu": ("gelu", {}, False, np.inf, np.nan),
    "gelu_tanh": ("gelu", {"approximate": "tanh"}, False, np.inf, np.nan),
    "softplus": ("softplus", {}, False, np.inf, 0),
    "hardswish": ("hardswish", {}, False, np.inf, np.nan),
}
# And with other arguments.
PARAMETERS: dict[str, tuple[str, dict[str, Any], bool]] = {
    **{name: entry[:3] for name, entry in ACTIVATIONS.items()},
    "leaky_relu_half": ("leaky_relu", {"negative_slope": 0.5}, True),
    "leaky_relu_0": ("leaky_relu", {"negative_slope": 0.0}, True),
    "elu_3": ("elu", {"alpha": 3.0}, True),
    "softplus_steep": ("softplus", {"beta": 2.5, "threshold": 8.0}, False),
    "softplus_flat": ("softplus", {"beta": 0.5}, False),
}
TAKES_INPLACE = {"relu", "relu6", "leaky_relu", "elu", "selu", "silu", "hardsigmoid", "hardswish"}

every_activation = pytest.mark.parametrize("name", ACTIVATIONS)
with_every_parameter = pytest.mark.parametrize("name", PARAMETERS)


def function(name: str) -> Callable[..., Any]:
    operator, options, _ = PARAMETERS[name]
    return partial(getattr(functional, operator), **options)


def backward(name: str) -> Callable[..., Any]:
    operator, options, _ = PARAMETERS[name]
    return partial(getattr(grad, operator), **options)


@lru_cache
def points(dtype: Any) -> np.ndarray:
    """Subnormal to huge, dense where the functions bend, both signs; corners and their neighbours."""
    info = np.finfo(dtype)
    rng = generator("points")
    magnitudes = np.geomspace(float(info.tiny), float(info.max) / 4, 120)
    corners = np.array([0, 1, 3, 6, 20, 88, 104, 709, 745], dtype)
    positive = np.concatenate(
        [
            magnitudes,
            np.arange(1, 40) * 3.0 * float(info.smallest_subnormal),
            rng.uniform(0, 1, 150),
            rng.uniform(0, 25, 250),
            rng.uniform(0, 120, 60),
            rng.uniform(0, 800, 60),
        ]
    ).astype(dtype)
    near = [corners, np.nextafter(corners, dtype(np.inf)), np.nextafter(corners[1:], dtype(0))]
    positive = np.concatenate([positive, *near])
    return np.concatenate([positive, -positive])


@every_activation
def test_activations_are_within_four_units_in_the_last_place(name: str) -> None:
    for dtype in DTYPES:
        x = points(dtype)
        expected = exact.activation(name, x.tolist())
        for isa in ISAS:
            with running(isa):
                got = function(name)(x)
            assert got.dtype == dtype
            assert got.shape == x.shape
            error = ulps(got, expected)
            worst = int(np.argmax(np.where(np.isnan(error), np.inf, error)))
            assert (error <= ULPS).all(), (
                f"{isa} {np.dtype(dtype)}: {np.count_nonzero(~(error <= ULPS))} of {x.size}, the worst "
                f"{name}({x[worst]!r}) = {got[worst]!r}, not {float(expected[worst])!r}: {error[worst]:.1f} ulp"
            )


@every_activation
def test_activations_of_values_that_are_not_finite(name: str) -> None:
    at_infinity, at_minus_infinity = ACTIVATIONS[name][3:]
    for isa, dtype, place in product(ISAS, DTYPES, (0, 3, 16, 35, 66)):
        x = np.linspace(-2, 2, 67).astype(dtype)
        clean = function(name)(x)
        for value, expected in ((np.inf, at_infinity), (-np.inf, at_minus_infinity), (np.nan, np.nan)):
            x[place] = value
            with running(isa):
                got = function(name)(x)
            np.testing.assert_allclose(got[place], dtype(expected), rtol=1e-6, err_msg=f"{isa} {dtype} {place} {value}")
            others = np.arange(67) != place
            np.testing.assert_allclose(got[others], clean[others], rtol=1e-6)


@with_every_parameter
def test_activations_do_the_same_in_every_lane(name: str) -> None:
    for isa, dtype in product(ISAS, DTYPES):
        x = (generator(name).standard_normal(131) * 4).astype(dtype)
        with running(isa):
            whole = function(name)(x)
            assert_same_bits(function(name)(x), whole, "again", isa, dtype)
            for n in range(70):
                out = Guarded((n,), dtype)
                assert function(name)(x[:n], out=out.array) is out.array
                out.check(n, isa, dtype)
                assert_same_bits(out.array, whole[:n], f"the first {n}", isa, dtype)
            for start in range(1, 20):
                assert_same_bits(function(name)(x[start : start + 37]), whole[start : start + 37], start, isa, dtype)
            for shape in ((131, 1), (1, 131, 1, 1)):
                assert_same_bits(function(name)(x.reshape(shape)), whole.reshape(shape), shape, isa, dtype)
            assert_same_bits(function(name)(np.asarray(x[7])), np.asarray(whole[7]), "0-d", isa, dtype)
            same = x.copy()
            assert function(name)(same, out=same) is same
            assert_same_bits(same, whole, "onto itself", isa, dtype)
            if PARAMETERS[name][0] in TAKES_INPLACE:
                same = x.copy()
                assert function(name)(same, inplace=True) is same
                assert_same_bits(same, whole, "in place", isa, dtype)


@with_every_parameter
def test_activations_follow_their_arguments(name: str) -> None:
    operator, options, _ = PARAMETERS[name]
    for isa, dtype in product(ISAS, DTYPES):
        x = np.linspace(-9, 9, 403).astype(dtype)
        expected = getattr(reference, operator)(x, **options)
        with running(isa):
            got = function(name)(x)
        # In float64 the reference is no better than this itself.
        rtol = 4 * np.finfo(dtype).eps if dtype == np.float32 else 1e-13
        np.testing.assert_allclose(got, expected, rtol=rtol, atol=np.finfo(dtype).tiny)


@with_every_parameter
def test_gradients_of_activations(name: str) -> None:
    operator, options, from_output = PARAMETERS[name]
    for dtype in DTYPES:
        x = np.concatenate([np.linspace(-9, 9, 403), np.linspace(-110, 110, 100)]).astype(dtype)
        x[::29] = 0
        g = generator(name).standard_normal(x.size).astype(dtype)
        saved = getattr(reference, operator)(x, **options).astype(dtype) if from_output else x
        expected = getattr(reference, f"{operator}_backward")(g, saved, **options)
        eps = np.finfo(dtype).eps
        bound = 8 * eps * np.maximum(np.abs(g), np.abs(expected))
        for isa in ISAS:
            label = (isa, dtype.__name__)
            with running(isa):
                out = Guarded(g.shape, dtype)
                got = backward(name)(g, saved, out=out.array)
                assert got is out.array, label
                out.check(*label)
                assert got.dtype == dtype
                assert (np.abs(got - expected) <= bound).all(), (label, np.abs((got - expected) / bound).max())
                assert_same_bits(backward(name)(g, saved), got, "again", *label)
                for n in (0, 1, 3, 8, 15, 17, 33, 63):
                    assert_same_bits(backward(name)(g[:n], saved[:n]), got[:n], f"the first {n}", *label)
                over = g.copy()
                assert backward(name)(over, saved, out=over) is over
                assert_same_bits(over, got, "onto grad_output", *label)


@with_every_parameter
def test_gradients_are_the_differences_of_the_forward(name: str) -> None:
    corners = (-3, 0, 3, 6, 3.2, 40)  # where a derivative jumps, for the arguments above
    x = np.linspace(-8, 8, 400)
    x = x[np.min(np.abs(x[:, None] - np.array(corners)), axis=1) > 1e-3].reshape(2, -1)
    g = generator(name).standard_normal(x.shape)
    step = 1e-5
    for isa in ISAS:
        with running(isa):
            slope = (function(name)(x + step) - function(name)(x - step)) / (2 * step)
            got = backward(name)(g, function(name)(x) if PARAMETERS[name][2] else x)
        np.testing.assert_allclose(got, g * slope, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", ["relu", "gelu", "tanh", "elu_3"])
def test_any_number_of_threads_gives_the_same_bits(name: str) -> None:
    for isa, dtype in product(ISAS, DTYPES):
        x = generator(name).standard_normal(800_003).astype(dtype)
        with running(isa):
            results = []
            for threads in (1, 2, 3):
                with running_threads(threads):
                    results.append((function(name)(x), backward(name)(x, x)))
        for threads in (2, 3):
            assert_same_bits(results[threads - 1][0], results[0][0], f"{threads} threads", isa, dtype)
            assert_same_bits(results[threads - 1][1], results[0][1], f"gradient, {threads} threads", isa, dtype)


# ---------------------------------------------------------------------------------------------------------------------
# Softmax

SOFTMAX_SHAPES = [
    ((), (None, 0, -1)),
    ((1,), (None, 0, -1)),
    ((10,), (None, 0)),
    ((3, 10), (None, 0, 1, -1, -2)),
    ((2, 5, 17), (None, 0, 1, 2)),
    ((2, 5, 3, 33), (None, 0, 1, 2, 3, -4)),
    ((4, 1000), (1,)),
    ((33, 3), (0, 1)),
    ((5, 600), (0, 1)),
    ((2, 5, 300), (1,)),
    ((0, 4), (0, 1)),
    ((4, 0), (0, 1)),
    *(((2, n), (1,)) for n in range(1, 70)),
    *(((2, 3, n), (1,)) for n in range(1, 70, 4)),
]


@pytest.mark.parametrize("operator", ["softmax", "log_softmax"])
def test_softmax_along_every_axis(operator: str) -> None:
    for (shape, dims), dtype in product(SOFTMAX_SHAPES, DTYPES):
        rng = generator(str(shape))
        x = rng.standard_normal(shape).astype(dtype) * dtype(3)
        g = rng.standard_normal(shape).astype(dtype)
        x, g = np.asarray(x), np.asarray(g)
        eps = np.finfo(dtype).eps
        for dim in dims:
            expected = np.asarray(getattr(reference, operator)(x, dim))
            saved = expected.astype(dtype)
            expected_back = np.asarray(getattr(reference, f"{operator}_backward")(g, saved, dim))
            for isa in ISAS:
                label = (shape, dim, isa, dtype.__name__)
                with running(isa):
                    out = Guarded(shape, dtype)
                    got = getattr(functional, operator)(x, dim, out=out.array)
                    assert got is out.array, label
                    out.check(*label)
                    np.testing.assert_allclose(got, expected, rtol=20 * eps, atol=20 * eps * (operator != "softmax"))
                    assert_same_bits(getattr(functional, operator)(x, dim), got, "again", *label)
                    same = x.copy()
                    assert getattr(functional, operator)(same, dim, out=same) is same
                    assert_same_bits(same, got, "onto itself", *label)
                    out = Guarded(shape, dtype)
                    back = getattr(grad, operator)(g, saved, dim, out=out.array)
                    assert back is out.array, label
                    out.check("gradient", *label)
                    bound = 40 * eps * max(np.abs(g).max(initial=1), np.abs(g).sum() if operator != "softmax" else 1)
                    assert (np.abs(back - expected_back) <= bound).all(), label
                    same = g.copy()
                    getattr(grad, operator)(same, saved, dim, out=same)
                    assert_same_bits(same, back, "gradient onto itself", *label)


@pytest.mark.parametrize("spread", [1, 10, 80])
def test_softmax_is_within_four_units_in_the_last_place(spread: int) -> None:
    for dtype, n in product(DTYPES, (1, 2, 10, 17, 100)):
        rows = (generator(f"softmax{n}").standard_normal((6, n)) * spread).astype(dtype)
        expected = [exact.softmax(row) for row in rows.tolist()]
        expected_log = [exact.log_softmax(row) for row in rows.tolist()]
        for isa in ISAS:
            with running(isa):
                got = functional.softmax(rows, 1), functional.softmax(np.ascontiguousarray(rows.T), 0).T
                got_log = functional.log_softmax(rows, 1), functional.log_softmax(np.ascontiguousarray(rows.T), 0).T
            for axis, result in enumerate(got):
                for row, want in zip(result, expected, strict=True):
                    assert (ulps(row, want) <= ULPS).all(), (isa, dtype, n, axis, ulps(row, want).max())
            for axis, result in enumerate(got_log):
                for row, want in zip(result, expected_log, strict=True):
                    floor = np.array([float(value) for value in want])
                    unit = np.spacing(np.maximum(np.abs(floor), 1).astype(dtype))
                    assert (np.abs(row - floor) <= ULPS * unit).all(), (isa, dtype, n, axis, row, floor)


def test_softmax_of_values_that_are_not_finite() -> None:
    rows = np.array(
        [
            [-np.inf, 0, 0, -np.inf, 0, 0],
            [-np.inf] * 6,
            [np.inf, 0, 1, 2, 3, 4],
            [np.nan, 0, 1, 2, 3, 4],
            [3e38, -3e38, 3e38, 0, 0, 0],
            [1, 1, 1, 1, 1, np.nan],
        ]
    )
    for isa, dtype, operator in product(ISAS, DTYPES, ("softmax", "log_softmax")):
        x = rows.astype(dtype)
        with np.errstate(over="ignore"):
            expected = getattr(reference, operator)(x).astype(dtype)
        with running(isa):
            got = getattr(functional, operator)(x, 1)
            across = getattr(functional, operator)(np.ascontiguousarray(x.T), 0).T
        np.testing.assert_allclose(got, expected, rtol=1e-6)
        np.testing.assert_allclose(across, expected, rtol=1e-6)
    assert_exact(functional.softmax(rows[:1], 1), np.array([[0, 0.25, 0.25, 0, 0.25, 0.25]]))


@pytest.mark.parametrize("operator", ["softmax", "log_softmax"])
def test_gradients_of_softmax_are_differences(operator: str) -> None:
    for shape, dim in (((4, 5), 1), ((4, 5), 0), ((2, 3, 4), 1)):
        rng = generator(operator)
        x, g = rng.standard_normal(shape), rng.standard_normal(shape)
        forward = partial(getattr(functional, operator), dim=dim)
        expected = np.empty_like(x)
        for index in np.ndindex(shape):
            step = np.zeros(shape)
            step[index] = 1e-5
            expected[index] = ((forward(x + step) - forward(x - step)) * g).sum() / 2e-5
        np.testing.assert_allclose(getattr(grad, operator)(g, forward(x), dim), expected, rtol=1e-6, atol=1e-8)


def test_softmax_with_any_number_of_threads_gives_the_same_bits() -> None:
    for isa, dtype, (shape, dim) in product(ISAS, DTYPES, (((4001, 200), 1), ((200, 4001), 0), ((3, 120, 1500), 1))):
        x = generator("softmax").standard_normal(shape).astype(dtype)
        with running(isa):
            results = []
            for threads in (1, 2, 3):
                with running_threads(threads):
                    results.append((functional.softmax(x, dim), grad.softmax(x, x, dim)))
        for threads in (2, 3):
            assert_same_bits(results[threads - 1][0], results[0][0], f"{threads} threads", isa, dtype, shape)
            assert_same_bits(results[threads - 1][1], results[0][1], f"gradient, {threads} threads", isa, dtype, shape)


# ---------------------------------------------------------------------------------------------------------------------
# Dropout


@pytest.mark.parametrize("dtype", DTYPES)
def test_dropout_keeps_its_share_and_scales_it(dtype: Any) -> None:
    fastconv.set_seed(7)
    x = np.ones((100, 1000), dtype)
    for p in (0.1, 0.5, 0.9):
        got = functional.dropout(x, p)
        assert got.dtype == dtype
        kept = got != 0
        np.testing.assert_allclose(got[kept], 1 / (1 - p), rtol=1e-6)
        spread = 5 * np.sqrt(p * (1 - p))
        assert abs(kept.mean() - (1 - p)) < spread / np.sqrt(x.size)
        # No row, column, or neighbourhood is favoured.
        assert (np.abs(kept.mean(axis=1) - (1 - p)) < spread / np.sqrt(1000)).all()
        assert (np.abs(kept.mean(axis=0) - (1 - p)) < spread / np.sqrt(100)).all()
        pairs = (kept[:, 1:] & kept[:, :-1]).mean()
        assert abs(pairs - (1 - p) ** 2) < 5 / np.sqrt(x.size)
    assert (x == 1).all()


def test_dropout_repeats_with_its_seed() -> None:
    x = np.ones(1000, np.float32)
    fastconv.set_seed(3)
    first, second = functional.dropout(x), functional.dropout(x)
    assert not np.array_equal(first, second)
    for isa, threads in product(ISAS, (1, 2)):
        with running(isa), running_threads(threads):
            fastconv.set_seed(3)
            assert_same_bits(functional.dropout(x), first, isa, threads)
            assert_same_bits(functional.dropout(x), second, isa, threads)
    fastconv.set_seed(4)
    assert not np.array_equal(functional.dropout(x), first)


def test_dropout_at_its_ends() -> None:
    x = np.linspace(-1, 1, 33)
    assert_exact(functional.dropout(x, 0.0), x)
    assert_exact(functional.dropout(x, 1.0), np.zeros(33))
    assert_exact(functional.dropout(x, 0.5, training=False), x)
    out = Guarded((33,), np.float64)
    assert functional.dropout(x, 0.0, out=out.array) is out.array
    out.check()
    assert_exact(out.array, x)
    same = x.copy()
    assert functional.dropout(same, 0.5, inplace=True) is same
    assert not np.array_equal(same, x)
    with_infinity = np.array([np.inf, np.nan, 1.0])
    np.testing.assert_array_equal(functional.dropout(with_infinity, 0.5, training=False), with_infinity)
