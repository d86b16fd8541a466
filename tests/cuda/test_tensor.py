"""TF32 on tensor cores: its rounding, a warp's fragments by the PTX ISA's tables, convolutions of rounded operands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastconv
from cases import ConvCase, generator, swap_axes, swap_weights, whole_numbers
from cuda_device import assert_equal, assert_near, to_device, to_host
from fastconv import functional, grad, reference
from fastconv.cuda import is_simulated
from fastconv.cuda.kernels import tensor
from fastconv.cuda.kernels.gemm import FORWARD
from fastconv.cuda.kernels.tiles import Tile
from fastconv.cuda.operators import product
from fastconv.cuda.primitives import to_tf32

PLAIN, TINY = Tile(16, 16, 8, 4, 4), Tile(32, 32, 8, 2, 8)  # two warps of 16 × 32
CASES = [
    ConvCase("padded_batch", (2, 2, 4, 5), (3, 3, 3), padding=1),
    ConvCase("strided_groups", (1, 6, 5, 6), (4, 3, 2), stride=(2, 1), padding=1, groups=2),
    ConvCase("dilated", (1, 3, 5, 6), (17, 2, 2), dilation=2),
    ConvCase("vectors", (1, 8, 6, 6), (8, 3, 3), padding=1),
]


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Tiny tiles, "medium" precision, and a list that says of each product whether it is one of tensor cores."""
    seen: list[bool] = []
    make = product.gemm.gemm

    def noting(*arguments: Any) -> Any:
        seen.append(arguments[-1])
        return make(*arguments)

    monkeypatch.setattr(product.gemm, "gemm", noting)
    monkeypatch.setattr(product, "TILES", {"f4": (PLAIN,), "f8": (PLAIN,)})
    monkeypatch.setattr(product, "TENSOR", {PLAIN: TINY})
    monkeypatch.setattr(product.gemm, "FORMS_OF", {TINY: FORWARD})
    product.plan.cache_clear()
    fastconv.set_precision("medium")
    yield seen
    fastconv.set_precision("high")
    product.plan.cache_clear()


def rounded(x: np.ndarray) -> np.ndarray:
    """Round to 11 significant bits, ties away from zero, by arithmetic in float64."""
    fraction, exponent = np.frexp(np.asarray(x, np.float64))
    return np.ldexp(np.copysign(np.floor(np.abs(fraction) * 2**11 + 0.5), fraction), exponent - 11)


@pytest.mark.skipif(not is_simulated(), reason="looks at the simulator's twin of an instruction")
def test_rounding() -> None:
    rng = np.random.default_rng(0)
    x = np.float32([0, 1, 2047, 2049, 2050, 4097, 4098, 4102, 1 / 3, 1e-30, 3e38, 1 + 2**-11, 1 + 2**-11 - 2**-23])
    x = np.concatenate([x, -x, np.float32(rng.standard_normal(200) * 10.0 ** rng.integers(-30, 30, 200))])
    np.testing.assert_array_equal([float(to_tf32(value)) for value in x], rounded(x))
    assert to_tf32(np.float32(2049)) == 2050
    assert to_tf32(np.float32(-2049)) == -2050
    assert to_tf32(np.float32(np.inf)) == np.inf
    assert np.isnan(to_tf32(np.float32(np.nan)))
    assert to_tf32(np.finfo(np.float32).max) == np.inf


# mma.m16n8k8 with .tf32 operands, from the PTX ISA: what thread `lane` holds, by register.
GROUP, MEMBER = np.arange(32) >> 2, np.arange(32) % 4
A_ROW = [GROUP, GROUP + 8, GROUP, GROUP + 8]
A_COLUMN = [MEMBER, MEMBER, MEMBER + 4, MEMBER + 4]
B_ROW, B_COLUMN = [MEMBER, MEMBER + 4], [GROUP, GROUP]
C_ROW, C_COLUMN = [GROUP, GROUP, GROUP + 8, GROUP + 8], [MEMBER * 2 + (i & 1) for i in range(4)]


@pytest.mark.skipif(not is_simulated(), reason="runs device functions as Python's")
@pytest.mark.parametrize("tile", [TINY, Tile(64, 32, 8, 4, 4), *product.TENSOR.values()], ids=str)
def test_the_fragments_of_a_warp_make_the_product(tile: Tile) -> None:
    rng = generator("fragments")
    pitch_left, pitch_right = tile.rows + tensor.PAD, tile.columns + tensor.PAD
    left, right = whole_numbers(rng, 8, pitch_left), whole_numbers(rng, 8, pitch_right)
    expected = left[:, : tile.rows].T @ right[:, : tile.columns]
    found, alone = np.full((2, tile.rows, tile.columns), np.nan)
    place_of, twin = tensor.places(tile), tensor.twin(tile, (pitch_left, pitch_right))
    for warp in range(tile.threads // 32):
        held: list[list[Any]] = [[] for _ in range(32)]
        sums = np.zeros((32, tile.rows_each * tile.columns_each))
        places = [place_of(warp * 32 + lane) for lane in range(32)]
        for lane, (row, column) in enumerate(places):

            def note(_: Any, i: int, j: int, a: Any, k: int, b: Any, m: int, calls: list[Any] = held[lane]) -> None:
                calls.append(((i, i + 1, j, j + 1), a[k : k + 4].copy(), b[m : m + 2].copy()))

            step = tensor.by_fragments(tile, (pitch_left, pitch_right), note)
            a, b = np.zeros(2 * tile.rows_each), np.zeros(tile.columns_each)
            own = np.zeros(tile.rows_each * tile.columns_each)
            for run, into in ((step, sums[lane]), (twin, own)):
                run(into, left.ravel(), right.ravel(), a, b, 0, 0, row, column)
            scatter(tile, alone, own, row, column)
        for calls in zip(*held, strict=True):
            rows, columns = np.full((16, 8), np.nan), np.full((8, 8), np.nan)
            for i in range(4):
                rows[A_ROW[i], A_COLUMN[i]] = [call[1][i] for call in calls]
            for i in range(2):
                columns[B_ROW[i], B_COLUMN[i]] = [call[2][i] for call in calls]
            made = rows @ columns
            for i in range(4):
                sums[np.arange(32), [call[0][i] for call in calls]] += made[C_ROW[i], C_COLUMN[i]]
        for lane, (row, column) in enumerate(places):
            scatter(tile, found, sums[lane], row, column)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(alone, expected)


def scatter(tile: Tile, into: np.ndarray, sums: np.ndarray, row: int, column: int) -> None:
    """Put a thread's sums where its strips say."""
    lines = [
        first + np.arange(strip.each) // strip.run * strip.step + np.arange(strip.each) % strip.run
        for strip, first in zip(tensor.strips(tile), (row, column), strict=True)
    ]
    into[np.ix_(*lines)] = sums.reshape(tile.rows_each, tile.columns_each)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_convolutions(case: ConvCase, layout: str, chosen: list[bool]) -> None:
    rng = generator(case.name)
    options: Any = {**case.arguments, "layout": layout}
    x, w, b = (whole_numbers(rng, *s) for s in (case.shape, case.weight_shape, (case.kernel[0],)))
    dx, dw = swap_axes(x, layout).astype(np.float32), swap_weights(w, layout).astype(np.float32)
    got = functional.conv2d(to_device(dx), to_device(dw), to_device(b.astype(np.float32)), **options)
    assert_equal(got, swap_axes(reference.conv2d(x, w, b, **case.arguments), layout))
    assert chosen == [True]


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_operands_are_rounded_and_nothing_else(layout: str, chosen: list[bool]) -> None:
    rng = generator("rounded")
    x, w, b = (np.float32(rng.standard_normal(s)) for s in ((1, 4, 5, 4), (4, 4, 3, 3), (4,)))
    dx, dw, db = map(to_device, (swap_axes(x, layout), swap_weights(w, layout), b))
    options: Any = {"padding": 1, "activation": "gelu", "layout": layout}
    expected = swap_axes(reference.conv2d(rounded(x), rounded(w), b, padding=1, activation="gelu"), layout)
    got = functional.conv2d(dx, dw, db, **options)
    assert_near(got, expected)
    exact = swap_axes(reference.conv2d(x, w, b, padding=1, activation="gelu"), layout)
    assert 1e-5 < np.linalg.norm(to_host(got) - exact) / np.linalg.norm(exact) < 1e-3
    assert_near(functional.conv2d(dx, dw, db, **options, algorithm="direct"), exact)
    fastconv.set_precision("high")
    assert_near(functional.conv2d(dx, dw, db, **options), exact)
    assert chosen == [True, False]  # the two that are exact share a plan


def test_gradients_and_float64_are_not_rounded(chosen: list[bool]) -> None:
    rng = generator("not rounded")
    x, w, g = (rng.standard_normal(s) for s in ((1, 2, 4, 4), (3, 2, 3, 3), (1, 3, 2, 2)))
    assert_near(functional.conv2d(to_device(x), to_device(w)), reference.conv2d(x, w))
    dx, dw, dg = (to_device(each.astype(np.float32)) for each in (x, w, g))
    assert_near(grad.conv2d_input(x.shape, dw, dg), reference.conv2d_input(x.shape, w, g))
    assert_near(grad.conv2d_weight(dx, w.shape, dg), reference.conv2d_weight(x, w.shape, g))
    assert chosen == [False] * 3
