"""Convolutions, transposed ones and their gradients, in the simulator: small shapes with every kind of tail."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cases import ConvCase, generator, swap_axes, swap_weights, whole_numbers
from cuda_device import assert_equal, to_device
from fastconv import functional, grad, reference
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
    ConvCase("pointwise_tails", (1, 7, 3, 3), (18, 1, 1)),
    ConvCase("pointwise_strided", (1, 4, 5, 5), (4, 1, 1), stride=2),
    ConvCase("vectors", (1, 8, 4, 4), (8, 3, 3), padding=1),
    ConvCase("more_columns_than_a_tile", (1, 2, 2, 3), (20, 2, 2)),
    ConvCase("zero_batch", (0, 2, 4, 4), (3, 3, 3)),
    ConvCase("only_padding_rows", (1, 1, 1, 5), (2, 3, 3), padding=(3, 0)),
]


@pytest.fixture(autouse=True)
def _tiny_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(product, "TILES", {dtype: (tile,) for dtype, tile in TINY.items()})
    monkeypatch.setattr(product.gemm, "FORMS_OF", dict.fromkeys(TINY.values(), product.gemm.FORMS))
    product.plan.cache_clear()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_forward_and_gradients_are_exact_on_integers(case: ConvCase, layout: str) -> None:
    rng = generator(case.name)
    x, w, b = (whole_numbers(rng, *s) for s in (case.shape, case.weight_shape, (case.kernel[0],)))
    g = whole_numbers(rng, *case.output_shape)
    for dtype in (np.float32, np.float64) if case.name in ("plain", "vectors") else (np.float32,):
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
