"""Convolution, activation and pooling in one launch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cases import generator, swap_axes, swap_weights
from cuda_device import assert_near, to_device
from fastconv import reference
from fastconv.cuda.operators import fused

LAYOUTS = ("NCHW", "NHWC")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("shape", "kernel", "options"),
    [
        ((2, 1, 8, 7), (6, 3, 3), (1, 0, 1)),
        ((1, 2, 7, 9), (3, 3, 2), (2, 1, 1)),
        ((1, 3, 6, 6), (5, 2, 3), (1, "same", 2)),
    ],
)
def test_conv_pool(layout: str, shape: Any, kernel: Any, options: Any) -> None:
    rng = generator(f"fused {shape}")
    k, kh, kw = kernel
    x, w, b = (rng.standard_normal(s) for s in (shape, (k, shape[1], kh, kw), (k,)))
    for pool, activation, dtype in (("max", "relu", np.float32), ("avg", "tanh", np.float64)):
        whole = reference.conv2d(x, w, b, *options, activation=activation)
        expected = getattr(reference, f"{pool}_pool2d")(whole, 2)
        dx, dw, db = (to_device(a.astype(dtype)) for a in (swap_axes(x, layout), swap_weights(w, layout), b))
        got = fused.conv_pool(dx, dw, db, (*options, 1, layout, activation), pool)
        assert_near(got, swap_axes(expected, layout), pool, layout)


def test_what_does_not_fit_takes_two_launches() -> None:
    x, w = to_device(np.zeros((1, 64, 8, 8), np.float32)), to_device(np.zeros((4, 64, 5, 5), np.float32))
    assert fused.conv_pool(x, w, None, (1, 0, 1, 1, "NCHW", None), "max") is None
