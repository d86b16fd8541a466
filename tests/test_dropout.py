"""Random zeros: the generator against its published numbers, threads, instruction sets, and the way back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv import functional, layers
from fastconv._training import dropped

# Counter, key and result of Philox4x32-10, as its authors publish them with Random123 (kat_vectors).
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def philox(counter: tuple[int, ...], key: tuple[int, ...]) -> tuple[int, ...]:
    (a, b, c, d), (k, m) = counter, key
    for _ in range(10):
        first, third = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = third >> 32 ^ b ^ k, third & 0xFFFFFFFF, first >> 32 ^ d ^ m, first & 0xFFFFFFFF
        k, m = k + 0x9E3779B9 & 0xFFFFFFFF, m + 0xBB67AE85 & 0xFFFFFFFF
    return a, b, c, d


def kept(shape: tuple[int, int], rate: float, key: int, call: int) -> np.ndarray:
    """Which elements the definition keeps."""
    rows, count = shape
    mask = np.empty(shape, bool)
    for row in range(rows):
        for i in range(count):
            counter = (i // 64 * 16 + i % 16, row, call & 0xFFFFFFFF, call >> 32)
            word = philox(counter, (key & 0xFFFFFFFF, key >> 32))[i % 64 // 16]
            mask[row, i] = word >= round(rate * 2**32)
    return mask


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_the_definition_is_the_published_one(counter: Any, key: Any, words: Any) -> None:
    assert philox(counter, key) == words


@pytest.mark.parametrize("isa", fastconv.available_isas())
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (3, 63), (2, 64), (2, 65), (1, 200)])
def test_the_engine_draws_by_the_definition(isa: str, dtype: Any, shape: tuple[int, int]) -> None:
    drawn = (0x299F31D0A4093822, 0x0370734413198A2E)
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    with fastconv.use_isa(isa):
        found = dropped(x, 0.25, drawn)
    np.testing.assert_array_equal(found, x * np.where(kept(shape, 0.25, *drawn), dtype(4 / 3), dtype(0)))


def test_rows_that_are_longer_than_a_block() -> None:
    x, drawn = np.ones((2, 16384 + 70), np.float32), (5, 6)
    whole = dropped(x, 0.5, drawn)
    np.testing.assert_array_equal(whole[:, 16384:] != 0, kept((2, 16384 + 70), 0.5, *drawn)[:, 16384:])


def test_threads_change_no_bit() -> None:
    x, before, found = np.ones((33, 40_001), np.float32), fastconv.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            fastconv.set_num_threads(threads)
            found.append(dropped(x, 0.3, (1, 2)).tobytes())
    finally:
        fastconv.set_num_threads(before)
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("rate", [0.01, 0.25, 0.5, 0.9, 1.0])
def test_the_rate_is_kept(rate: float) -> None:
    fastconv.set_seed(11)
    y = functional.dropout(np.ones(100_000, np.float32), rate)
    assert abs((y == 0).mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / y.size) + 1e-9
    again = functional.dropout(np.ones(100_000, np.float32), rate)
    assert rate == 1 or (again != y).any()


def test_the_way_back_is_the_way_forth() -> None:
    fastconv.set_seed(3)
    layer = layers.Dropout(0.4)
    x = np.random.default_rng(1).standard_normal((7, 5, 5, 3), np.float32)
    y = layer.call(x, training=True)
    g = np.random.default_rng(2).standard_normal(x.shape, np.float32)
    np.testing.assert_array_equal(layer.backward(g.copy()), np.where(y == 0, 0, g * np.float32(1 / 0.6)))
    np.testing.assert_array_equal(layer.call(x), x)


def test_a_layer_with_a_seed_of_its_own() -> None:
    x = np.ones((4, 100), np.float32)
    first, second = layers.Dropout(0.5, seed=1), layers.Dropout(0.5, seed=1)
    one = first.call(x, training=True)
    fastconv.set_seed(99)
    np.testing.assert_array_equal(second.call(x, training=True), one)
    assert (first.call(x, training=True) != one).any()
    shared = layers.Dropout(0.5, noise_shape=(None, 1)).call(x, training=True)
    assert (shared == shared[:, :1]).all()


def test_infinity_where_it_is_dropped_is_nan() -> None:
    y = functional.dropout(np.full(64, np.inf), 0.5)
    assert np.isnan(y).any()
    assert np.isinf(y).any()
