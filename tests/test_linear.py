"""The dense layer's product: every case on every instruction set and dtype."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from cases import DTYPES, LARGE_LINEARS, LINEAR_CASES, generator, whole_numbers
from compare import (
    ISAS,
    Guarded,
    assert_close,
    assert_exact,
    assert_same_bits,
    running,
    running_threads,
    steepness,
)
from fastconv import functional, reference


@pytest.mark.parametrize("name", LINEAR_CASES)
def test_whole_numbers_are_exact(name: str) -> None:
    leading, inputs, outputs = LINEAR_CASES[name]
    rng = generator(name)
    x, w = whole_numbers(rng, *leading, inputs), whole_numbers(rng, outputs, inputs)
    b = whole_numbers(rng, outputs)
    for isa, dtype, bias in product(ISAS, DTYPES, (None, b)):
        label = (isa, dtype.__name__, "no bias" if bias is None else "bias")
        expected = reference.linear(x, w, bias)
        arguments = x.astype(dtype), w.astype(dtype), None if bias is None else bias.astype(dtype)
        with running(isa):
            out = Guarded(expected.shape, dtype)
            got = functional.linear(*arguments, out=out.array)
            assert got is out.array, label
            out.check(*label)
            assert_exact(got, expected, *label)
            assert_same_bits(functional.linear(*arguments), got, "again", *label)


@pytest.mark.parametrize("name", LINEAR_CASES)
def test_random_numbers_are_close(name: str) -> None:
    """And every row comes out with the same bits alone and among others."""
    leading, inputs, outputs = LINEAR_CASES[name]
    rng = generator(name)
    rows = max(int(np.prod(leading)), 3)
    for dtype in DTYPES:
        x = rng.standard_normal((rows, inputs)).astype(dtype)
        w = rng.standard_normal((outputs, inputs)).astype(dtype)
        b = rng.standard_normal(outputs).astype(dtype)
        expected = reference.linear(x, w, b)
        magnitude = reference.linear(np.abs(x), np.abs(w), np.abs(b))
        for isa in ISAS:
            label = (isa, dtype.__name__)
            with running(isa):
                got = functional.linear(x, w, b)
                assert got.dtype == dtype
                assert_close(got, expected, magnitude, *label)
                for i in (0, rows // 2, rows - 1):
                    assert_same_bits(functional.linear(x[i : i + 1], w, b)[0], got[i], f"row {i} alone", *label)
                    assert_same_bits(functional.linear(x[i], w, b), got[i], f"row {i} as a vector", *label)


@pytest.mark.parametrize("name", LARGE_LINEARS)
def test_any_number_of_threads_gives_the_same_bits(name: str) -> None:
    leading, inputs, outputs = LINEAR_CASES[name]
    assert int(np.prod(leading)) * inputs * outputs > 3 * 500_000
    rng = generator(name)
    for isa, dtype in product(ISAS, DTYPES):
        x = rng.standard_normal((*leading, inputs)).astype(dtype)
        w = rng.standard_normal((outputs, inputs)).astype(dtype)
        with running(isa):
            results = []
            for threads in (1, 2, 3):
                with running_threads(threads):
                    out = Guarded((*leading, outputs), dtype)
                    functional.linear(x, w, out=out.array)
                    out.check(isa, dtype, threads)
                    results.append(out.array)
        assert_same_bits(results[1], results[0], "2 threads", isa, dtype)
        assert_same_bits(results[2], results[0], "3 threads", isa, dtype)


@pytest.mark.parametrize("activation", reference.ACTIVATIONS)
def test_activation_after_product(activation: str) -> None:
    rng = generator(activation)
    x, w, b = rng.standard_normal((5, 37)), rng.standard_normal((19, 37)) / 6, rng.standard_normal(19)
    for isa, dtype in product(ISAS, DTYPES):
        arguments = x.astype(dtype), w.astype(dtype), b.astype(dtype)
        expected = reference.linear(*arguments, activation=activation)
        magnitude = reference.linear(*map(np.abs, arguments))
        with running(isa):
            got = functional.linear(*arguments, activation=activation)
        assert_close(got, expected, steepness(activation, expected) * magnitude + np.abs(expected) + 1, isa, dtype)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_values_stay_in_their_row(value: float) -> None:
    for isa, dtype, inputs in product(ISAS, DTYPES, (1, 5, 16, 33)):
        x = np.arange(1, 4 * inputs + 1).reshape(4, inputs).astype(dtype)
        w = np.ones((18, inputs), dtype)
        x[2, inputs // 2] = value
        with running(isa):
            assert_exact(functional.linear(x, w), reference.linear(x, w), isa, dtype, inputs)


@pytest.mark.parametrize("activation", [None, "relu", "tanh"])
@pytest.mark.parametrize(("inputs", "outputs"), [(5, 3000), (700, 45), (1030, 33), (64, 64)])
def test_weights_of_either_order_give_every_row_the_same_bits(
    inputs: int, outputs: int, activation: str | None
) -> None:
    """Rows of weights, or columns: for a sample, for few, for as many as pay for packing, and for more."""
    rng = generator(f"{inputs} {outputs}")
    for dtype, rows in product(DTYPES, (1, 2, 3, 4, 70, 600)):
        x = rng.standard_normal((rows, inputs)).astype(dtype)
        b = rng.standard_normal(outputs).astype(dtype)
        by_rows = rng.standard_normal((outputs, inputs)).astype(dtype)
        expected = reference.linear(x, by_rows, b)
        expected = {None: expected, "relu": np.maximum(expected, 0), "tanh": np.tanh(expected)}[activation]
        magnitude = reference.linear(np.abs(x), np.abs(by_rows), np.abs(b))
        for isa, w in product(ISAS, (by_rows, np.asfortranarray(by_rows))):
            label = (isa, dtype.__name__, rows, w.strides)
            with running(isa):
                got = functional.linear(x, w, b, activation=activation)
                assert_close(got, expected, magnitude, *label)
                for i in (0, rows - 1):
                    alone = functional.linear(x[i : i + 1], w, b, activation=activation)
                    assert_same_bits(alone[0], got[i], f"row {i} alone", *label)
