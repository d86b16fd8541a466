"""Interpolation and its gradient on every instruction set, against the reference in float64."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from compare import ISAS, running, running_threads
from fastconv import functional, grad, reference

RNG = np.random.default_rng(15)
# Images, and what they become: up and down, along one axis alone, so far down that few places of a row are read.
CASES: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((7, 9), {"scale_factor": 2}),
    ((5, 6), {"size": (5, 13)}),
    ((5, 6), {"size": (8, 6)}),
    ((1, 1), {"size": (3, 70)}),
    ((30, 95), {"size": (4, 3)}),
    ((9, 40), {"scale_factor": (0.3, 1.7)}),
    ((3, 4, 5), {"size": (5, 3, 11)}),
    ((17,), {"size": 40}),
]
MODES = {1: ["linear"], 2: ["bilinear", "bicubic"], 3: ["trilinear"]}


def last(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(x, 1, -1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("isa", ISAS)
def test_every_instruction_set(isa: str, layout: str, dtype: type) -> None:
    bound = 1e-6 if dtype is np.float32 else 1e-13
    turn = last if layout == "NHWC" else np.asarray
    for (size, way), channels in itertools.product(CASES, (1, 3, 8, 21)):
        x = RNG.standard_normal((2, channels, *size)).astype(dtype)
        for mode, corners in itertools.product(MODES[len(size)], (False, True)):
            options = {**way, "mode": mode, "align_corners": corners}
            want = reference.interpolate(x.astype(np.float64), **options)
            given: Any = {**options, "layout": layout}
            pull = RNG.standard_normal(want.shape).astype(dtype)
            slopes = reference.interpolate_backward(x.shape, pull.astype(np.float64), **options)
            guarded = np.full((3, *turn(want).shape), 7, dtype)
            with running(isa):
                assert functional.interpolate(turn(x), **given, out=guarded[1]) is not None
                back = grad.interpolate(turn(x).shape, turn(pull), **given)
            weights = 8 if mode == "bicubic" else 1
            # positions are computed in the images' own type, so that they are off by its last bit times the extent
            spread = max(size) if dtype is np.float32 else 1
            assert np.abs(guarded[1] - turn(want)).max() <= bound * weights * spread * np.abs(x).max()
            assert np.abs(back - turn(slopes)).max() <= bound * weights * spread * np.abs(slopes).max()
            assert (guarded[[0, 2]] == 7).all()


def test_threads_change_no_bit() -> None:
    x = RNG.standard_normal((2, 3, 90, 70)).astype(np.float32)
    made = []
    for threads in (1, 2, 3):
        with running_threads(threads):
            y = functional.interpolate(x, (150, 131), mode="bilinear")
            made.append((y, grad.interpolate(x.shape, y, (150, 131), mode="bilinear")))
    for y, back in made[1:]:
        np.testing.assert_array_equal(y, made[0][0])
        np.testing.assert_array_equal(back, made[0][1])


def test_what_is_not_finite_stays_where_it_is_seen() -> None:
    x = np.zeros((1, 1, 6, 6), np.float32)
    x[0, 0, 2, 2] = np.nan
    seen = np.isnan(functional.interpolate(x, (12, 12), mode="bilinear"))[0, 0]
    assert seen[3:7, 3:7].all()
    assert seen.sum() == 16
    assert not np.isnan(functional.interpolate(x[:, :, 3:], (6, 12), mode="bilinear")).any()


def test_any_memory() -> None:
    x = RNG.standard_normal((2, 3, 8, 10)).astype(np.float32)
    want = functional.interpolate(x, scale_factor=1.5, mode="bilinear")
    wide = np.zeros((*want.shape, 2), np.float32)[..., 0]
    for source in (x, np.asfortranarray(x), x.astype(">f4"), x[:, ::-1][:, ::-1]):
        np.testing.assert_array_equal(functional.interpolate(source, scale_factor=1.5, mode="bilinear"), want)
        assert functional.interpolate(source, scale_factor=1.5, mode="bilinear", out=wide) is wide
        np.testing.assert_array_equal(wide, want)
    same = functional.interpolate(x, (8, 10), mode="bilinear")
    assert not np.shares_memory(same, x)
    np.testing.assert_array_equal(same, x)
    assert functional.interpolate(x[:0], (4, 4), mode="bilinear").shape == (0, 3, 4, 4)
