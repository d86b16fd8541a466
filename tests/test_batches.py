"""Batches of small images, which go through vectors along images: an image gives the bits that it gives alone."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from cases import generator, whole_numbers
from compare import ISAS, Guarded, assert_exact, assert_same_bits, running
from fastconv import functional, reference

DTYPES = (np.float32, np.float64)

# Of one image, of the weight, and options.
SHAPES: dict[str, tuple[tuple[int, int, int], tuple[int, int, int, int], dict[str, Any]]] = {
    "lenet_c1": ((1, 32, 32), (6, 1, 5, 5), {"activation": "tanh"}),
    "lenet_c2": ((6, 14, 14), (16, 6, 5, 5), {"activation": "relu"}),
    "padded": ((3, 9, 7), (5, 3, 3, 3), {"padding": ((2, 1), (0, 3))}),
    "strided": ((4, 11, 10), (7, 4, 3, 4), {"stride": (2, 3), "padding": 1}),
    "dilated": ((2, 12, 9), (4, 2, 3, 2), {"dilation": (2, 3), "padding": (0, 2)}),
    "grouped": ((6, 8, 8), (9, 2, 3, 3), {"groups": 3, "padding": 1}),
    "one_pixel": ((5, 1, 1), (3, 5, 1, 1), {}),
    "many_products": ((70, 4, 4), (20, 70, 3, 3), {"padding": 1}),
}


@pytest.mark.parametrize("name", SHAPES)
def test_exact(name: str) -> None:
    shape, weight_shape, options = SHAPES[name]
    options = {**options, "activation": None}
    rng = generator(name)
    x, w = whole_numbers(rng, 43, *shape), whole_numbers(rng, *weight_shape)
    b = whole_numbers(rng, weight_shape[0])
    expected = reference.conv2d(x, w, b, **options)
    for isa, dtype, threads in product(ISAS, DTYPES, (1, 3)):
        out = Guarded(expected.shape, dtype)
        with running(isa, threads):
            functional.conv2d(x.astype(dtype), w.astype(dtype), b.astype(dtype), **options, out=out.array)
        assert_exact(out.array, expected.astype(dtype), name, isa, dtype, threads)
        out.check(name, isa, dtype, threads)


@pytest.mark.parametrize("name", SHAPES)
def test_the_bits_of_one(name: str) -> None:
    shape, weight_shape, options = SHAPES[name]
    rng = generator(name)
    x = rng.standard_normal((43, *shape))
    w, b = rng.standard_normal(weight_shape), rng.standard_normal(weight_shape[0])
    for isa, dtype in product(ISAS, DTYPES):
        images, weight, bias = x.astype(dtype), w.astype(dtype), b.astype(dtype)
        with running(isa):
            alone = np.concatenate([functional.conv2d(image[None], weight, bias, **options) for image in images])
            for count in (3, 8, 15, 16, 17, 43):
                got = functional.conv2d(images[:count], weight, bias, **options)
                assert_same_bits(got, alone[:count], name, isa, dtype, count)
