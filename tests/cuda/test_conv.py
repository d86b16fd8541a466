"""Convolutions, transposed ones and their gradients, in the simulator: small shapes with every kind of tail."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product as combinations
from typing import Any

import numpy as np
import pytest

from cases import ConvCase, generator, swap_axes, swap_weights, whole_numbers
from cuda_device import assert_equal, assert_near, to_device, to_host
from fastconv import cuda, functional, grad, reference
from fastconv.cuda.kernel import Kernel
from fastconv.cuda.kernels.tiles import Tile
from fastconv.cuda.operators import product

LAYOUTS = ("NCHW", "NHWC")
TINY = {"f4": Tile(16, 16, 8, 4, 4), "f8": Tile(16, 16, 8, 4, 4)}  # 16 threads: a simulated one is one of Python's

CASES = [
    ConvCase("one_number", (1, 1, 1, 1), (1, 1, 1)),
    ConvCase("plain", (1, 3, 5, 6), (5, 3, 3)),
    ConvCase("padded_batch", (2, 2, 4, 5), (3, 3, 3), padding=1),
    ConvCase("asymmetric", (1, 2, 4, 5), (3, 3, 2), padding=((2, 0), (1, 3))),
    ConvCase("strided", (1, 3, 7, 8), (4, 3, 3), stride=(2, 3), padding=1),
    ConvCase("stride_over_kernel", (1, 2, 7, 8), (3, 2, 1), stride=3),
    ConvCase("dilated", (1, 2, 7, 8), (3, 3, 2), padding=2, dilation=(2, 3)),
    ConvCase("dilated_strided", (1, 2, 8, 9), (3, 3, 3), stride=2, padding=2, dilation=2),
    ConvCase("groups", (1, 6, 4, 5), (4, 3, 3), padding=1, groups=2),
    ConvCase("depthwise", (1, 5, 4, 5), (5, 3, 3), padding=1, groups=5),
    ConvCase("multiplier", (1, 3, 4, 5), (6, 2, 3), groups=3),
    ConvCase("pointwise", (2, 8, 3, 4), (8, 1, 1)),
    ConvCase("pointwise_tails", (1, 5, 3, 3), (6, 1, 1)),
    ConvCase("pointwise_pixels", (1, 3, 2, 4), (4, 1, 1)),
    ConvCase("pointwise_strided", (1, 4, 5, 5), (4, 1, 1), stride=2),
    ConvCase("vectors", (1, 8, 4, 4), (8, 3, 3), padding=1),
    ConvCase("more_columns_than_a_tile", (1, 2, 2, 3), (17, 2, 2)),
    ConvCase("zero_batch", (0, 2, 4, 4), (3, 3, 3)),
    ConvCase("only_padding_rows", (1, 1, 1, 5), (2, 3, 3), padding=(3, 0)),
]


forms_seen: set[tuple[str, str, str]] = set()
splits_seen: set[int] = set()


@pytest.fixture(autouse=True)
def _tiny_tiles(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(product, "TILES", {dtype: (tile,) for dtype, tile in TINY.items()})
    monkeypatch.setattr(product.gemm, "FORMS_OF", dict.fromkeys(TINY.values(), product.gemm.FORMS))
    product.plan.cache_clear()
    form, choose = product.gemm.form, product.choose

    def noting_form(*arguments: Any) -> Any:
        forms_seen.add(form(*arguments))
        return form(*arguments)

    def noting_splits(*arguments: Any) -> Any:
        splits_seen.add(choose(*arguments)[1])
        return choose(*arguments)

    monkeypatch.setattr(product.gemm, "form", noting_form)
    monkeypatch.setattr(product, "choose", noting_splits)
    yield
    product.plan.cache_clear()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_forward_and_gradients_are_exact_on_integers(case: ConvCase, layout: str) -> None:
    rng = generator(case.name)
    x, w, b = (whole_numbers(rng, *s) for s in (case.shape, case.weight_shape, (case.kernel[0],)))
    g = whole_numbers(rng, *case.output_shape)
    for dtype in (np.float32, np.float64) if case.name in ("strided", "pointwise") else (np.float32,):
        dx, dw, db, dg = (
            to_device(a.astype(dtype)) for a in (swap_axes(x, layout), swap_weights(w, layout), b, swap_axes(g, layout))
        )
        options: Any = {**case.arguments, "layout": layout}
        got = functional.conv2d(dx, dw, db, **options)
        assert_equal(got, swap_axes(reference.conv2d(x, w, b, **case.arguments), layout), "forward", dtype)
        got = grad.conv2d_input(dx.shape, dw, dg, **options)
        assert_equal(got, swap_axes(reference.conv2d_input(x.shape, w, g, **case.arguments), layout), "input", dtype)
        got = grad.conv2d_weight(dx, dw.shape, dg, **options)
        expected = reference.conv2d_weight(x, w.shape, g, **case.arguments)
        assert_equal(got, swap_weights(expected, layout), "weight", dtype)
        assert_equal(grad.conv2d_bias(dg, layout=layout), g.sum((0, 2, 3)), "bias", dtype)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_transposed(layout: str, groups: int) -> None:
    rng = generator(f"transposed {groups}")
    x, w, b = (whole_numbers(rng, *s) for s in ((2, 4, 3, 4), (4, 4 // groups, 3, 2), (4,)))
    options: Any = {"stride": (2, 3), "padding": (1, 0), "output_padding": (1, 0), "dilation": (1, 2), "groups": groups}
    expected = reference.conv_transpose2d(x, w, b, **options)
    g = whole_numbers(rng, *expected.shape)
    dx, dw, dg = (to_device(swap_axes(a, layout).astype(np.float32)) for a in (x, x, g))
    dw, db = to_device(swap_weights(w, layout).astype(np.float32)), to_device(b.astype(np.float32))
    options["layout"] = layout
    assert_equal(functional.conv_transpose2d(dx, dw, db, **options), swap_axes(expected, layout))
    del options["layout"]
    expected_input = swap_axes(reference.conv_transpose2d_input(x.shape, w, g, **options), layout)
    expected_weight = swap_weights(reference.conv_transpose2d_weight(x, w.shape, g, **options), layout)
    options["layout"] = layout
    assert_equal(grad.conv_transpose2d_input(dx.shape, dw, dg, **options), expected_input)
    assert_equal(grad.conv_transpose2d_weight(dx, dw.shape, dg, **options), expected_weight)


def test_sequences_and_volumes() -> None:
    rng = generator("axes")
    for axes, shape, kernel in ((1, (1, 2, 7), (3, 2, 3)), (3, (1, 2, 3, 4, 3), (2, 2, 2, 3, 2))):
        x, w = whole_numbers(rng, *shape), whole_numbers(rng, *kernel)
        options: Any = {"stride": 2, "padding": 1}
        expected = getattr(reference, f"conv{axes}d")(x, w, **options)
        g = whole_numbers(rng, *expected.shape)
        dx, dw, dg = (to_device(a.astype(np.float32)) for a in (x, w, g))
        assert_equal(getattr(functional, f"conv{axes}d")(dx, dw, **options), expected, axes)
        assert_equal(
            getattr(grad, f"conv{axes}d_input")(dx.shape, dw, dg, **options),
            getattr(reference, f"conv{axes}d_input")(x.shape, w, g, **options),
            axes,
        )
        assert_equal(
            getattr(grad, f"conv{axes}d_weight")(dx, dw.shape, dg, **options),
            getattr(reference, f"conv{axes}d_weight")(x, w.shape, g, **options),
            axes,
        )


def test_strides_are_read_and_written_in_place() -> None:
    rng = generator("strides")
    x, w = whole_numbers(rng, 1, 4, 3, 4), whole_numbers(rng, 4, 4, 3, 3)
    last = to_device(swap_axes(x, "NHWC").astype(np.float32))
    filters = to_device(np.ascontiguousarray(w.transpose(0, 2, 3, 1)).astype(np.float32))
    out = to_device(np.zeros((1, 3, 4, 4), np.float32))
    seen = [type(a)(a._ary.transpose(0, 3, 1, 2)) for a in (last, filters, out)] if cuda.is_simulated() else []
    if not seen:
        pytest.skip("views of Numba's arrays are made here for the simulator alone")
    got = functional.conv2d(seen[0], seen[1], padding=1, out=seen[2])
    assert got is seen[2]
    assert_equal(out, swap_axes(reference.conv2d(x, w, padding=1), "NHWC"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_split_sum_has_the_same_value_and_bits(layout: str) -> None:
    rng = generator("split")
    x, w, b = (rng.standard_normal(s) for s in ((1, 16, 2, 4), (4, 16, 2, 2), (4,)))
    dx, dw, db = (to_device(a.astype(np.float32)) for a in (swap_axes(x, layout), swap_weights(w, layout), b))
    expected = swap_axes(reference.conv2d(x, w, b, padding="same", activation="tanh"), layout)
    bits = set()
    before = product.LEAST_STEPS
    try:
        product.LEAST_STEPS = 2
        product.processors.cache_clear()
        for _ in range(2):
            got = functional.conv2d(dx, dw, db, padding="same", activation="tanh", layout=layout)
            assert_near(got, expected)
            bits.add(to_host(got).tobytes())
    finally:
        product.LEAST_STEPS = before
    assert len(bits) == 1
    assert any(plan > 1 for plan in splits_seen), splits_seen


def test_heavy_activations_take_a_pass_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = generator("heavy")
    x, w = rng.standard_normal((1, 2, 3, 4)), rng.standard_normal((3, 2, 2, 2))
    dx, dw = to_device(x.astype(np.float32)), to_device(w.astype(np.float32))
    fused = functional.conv2d(dx, dw, activation="gelu")
    monkeypatch.setattr(product, "MOST_SUMS", {"f4": 0, "f8": 0})
    product.plan.cache_clear()
    apart = functional.conv2d(dx, dw, activation="gelu")
    expected = reference.conv2d(x, w, activation="gelu")
    assert_near(fused, expected)
    assert_near(apart, expected)


def test_the_cases_reach_every_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every way of loading and storing that operators may ask for is among the exact cases above."""
    monkeypatch.setattr(Kernel, "launch", lambda self, grid, stream, *arguments: None)
    forms_seen.clear()
    for case, layout in combinations(CASES, LAYOUTS):
        x, w, g = (np.zeros(s, np.float32) for s in (case.shape, case.weight_shape, case.output_shape))
        dx, dw, dg = map(to_device, (swap_axes(x, layout), swap_weights(w, layout), swap_axes(g, layout)))
        options: Any = {**case.arguments, "layout": layout}
        functional.conv2d(dx, dw, **options)
        grad.conv2d_input(dx.shape, dw, dg, **options)
        grad.conv2d_weight(dx, dw.shape, dg, **options)
    assert forms_seen >= set(product.gemm.FORMS)


def test_mistakes_are_named() -> None:
    x, w = to_device(np.zeros((1, 2, 4, 4), np.float32)), to_device(np.zeros((3, 2, 3, 3), np.float32))
    with pytest.raises(TypeError, match=r"^weight: expected an array in GPU memory"):
        functional.conv2d(x, np.zeros((3, 2, 3, 3), np.float32))
    with pytest.raises(TypeError, match=r"^weight: expected the dtype of input, float32, got float64"):
        functional.conv2d(x, to_device(np.zeros((3, 2, 3, 3))))
    with pytest.raises(ValueError, match=r"^weight: expected 2 input channels"):
        functional.conv2d(x, to_device(np.zeros((3, 1, 3, 3), np.float32)))
    with pytest.raises(ValueError, match=r"^grad_output: expected shape \(1, 3, 2, 2\)"):
        grad.conv2d_input(x.shape, w, x)
    with pytest.raises(ValueError, match=r"^algorithm: expected one that serves an array on a GPU"):
        functional.conv2d(x, w, algorithm="winograd")
    with pytest.raises(ValueError, match=r"^out: expected an array that shares no memory with input"):
        functional.conv2d(x, w, padding=1, out=type(x)(np.lib.stride_tricks.as_strided(x._ary, (1, 3, 4, 4))))
