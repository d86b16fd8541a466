"""The forms that gradients take: passes over channels, joined taps, vectors along pixels, dense products."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from cases import DTYPES, LAYOUTS, ConvCase, generator, swap_axes, swap_weights, whole_numbers
from compare import ISAS, assert_exact, assert_same_bits, precision, running
from fastconv import functional, grad, reference

FORMS = [
    ConvCase("channels_in_passes", (1, 530, 16, 33), (35, 1, 1)),
    ConvCase("regions_of_rows", (2, 40, 36, 30), (19, 3, 3), padding=1),
    ConvCase("joined_taps", (2, 5, 17, 40), (50, 3, 5), padding=(1, 2)),
    ConvCase("joined_taps_strided", (3, 3, 19, 23), (33, 3, 4), stride=2),
    ConvCase("wide_groups", (2, 40, 9, 11), (74, 3, 3), padding=1, groups=2),
    ConvCase("along_pixels", (5, 1, 20, 37), (6, 5, 5)),
    ConvCase("along_pixels_strided", (2, 12, 9, 35), (15, 3, 3), stride=(1, 2), padding=1, groups=3),
    ConvCase("along_pixels_dilated", (2, 8, 15, 21), (8, 3, 2), dilation=(2, 3), padding=2, groups=4),
    ConvCase("depthwise_strided", (2, 19, 13, 18), (19, 3, 3), stride=2, padding=1, groups=19),
    ConvCase("depthwise_turned", (2, 21, 70, 66), (21, 3, 3), stride=2, padding=1, groups=21),
    ConvCase("depthwise_turned_uneven", (1, 10, 75, 53), (10, 2, 5), stride=(3, 2), padding=(0, 1), groups=10),
    ConvCase("pixels_in_place", (3, 40, 21, 30), (70, 1, 1)),
    ConvCase("pixels_in_place_strided", (2, 70, 15, 17), (64, 1, 1), stride=2, groups=2),
    ConvCase("rows_in_place", (2, 3, 19, 27), (32, 5, 5), stride=2),
    ConvCase("depthwise_in_place", (2, 16, 21, 75), (16, 3, 3), padding=1, groups=16),
    ConvCase("depthwise_in_place_strided", (2, 32, 12, 150), (32, 3, 3), stride=2, padding=1, groups=32),
    ConvCase("depthwise_in_place_dilated", (1, 16, 9, 90), (16, 5, 2), dilation=(1, 3), padding=(2, 4), groups=16),
]
COVERED = [
    ConvCase("covered", (33, 6, 5, 4), (20, 5, 4)),
    ConvCase("covered_row", (2, 3, 1, 70), (5, 1, 70)),
    ConvCase("covered_column", (3, 16, 9, 1), (40, 9, 1)),
]
TRANSFORMED = [
    ConvCase("one_block", (1, 64, 28, 28), (72, 3, 3), padding=1),
    ConvCase("blocks_of_images", (7, 40, 33, 35), (33, 3, 3), padding=(2, 0)),
    ConvCase("tails", (3, 37, 22, 30), (51, 3, 3)),
]
ids = {"ids": lambda case: case.name}


def gradients(case: ConvCase, layout: str, dtype: type, problem: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    x, g = (swap_axes(a, layout).astype(dtype) for a in (problem[0], problem[2]))
    w = swap_weights(problem[1], layout).astype(dtype)
    options = {**case.arguments, "layout": layout}
    return grad.conv2d_input(x.shape, w, g, **options), grad.conv2d_weight(x, w.shape, g, **options)


@pytest.mark.parametrize("case", FORMS + COVERED, **ids)
def test_forms_are_exact_on_any_number_of_threads(case: ConvCase) -> None:
    rng = generator(case.name)
    problem = [whole_numbers(rng, *shape) for shape in (case.shape, case.weight_shape, case.output_shape)]
    to_input = reference.conv2d_input(case.shape, problem[1], problem[2], **case.arguments)
    to_weight = reference.conv2d_weight(problem[0], case.weight_shape, problem[2], **case.arguments)
    rough = [rng.standard_normal(part.shape) for part in problem]
    for isa, dtype, layout in product(ISAS, DTYPES, LAYOUTS):
        label = (case.name, isa, dtype.__name__, layout)
        with running(isa, 1), precision("highest"):
            dx, dw = gradients(case, layout, dtype, problem)
            alone = gradients(case, layout, dtype, rough)
        assert_exact(dx, swap_axes(to_input, layout), "input", *label)
        assert_exact(dw, swap_weights(to_weight, layout), "weight", *label)
        for threads in (2, 3):
            with running(isa, threads), precision("highest"):
                together = gradients(case, layout, dtype, rough)
            for got, want in zip(together, alone, strict=True):
                assert_same_bits(got, want, f"{threads} threads", *label)


@pytest.mark.parametrize("case", COVERED, **ids)
def test_covered_inputs_take_weights_of_any_strides(case: ConvCase) -> None:
    """Forward and both gradients, with weights that no single stride can step through."""
    rng = generator(case.name)
    x, w, g = (whole_numbers(rng, *shape) for shape in (case.shape, case.weight_shape, case.output_shape))
    for layout in LAYOUTS:
        images, gradient = (np.ascontiguousarray(swap_axes(a, layout)) for a in (x, g))
        weight = swap_weights(w, layout)
        holder = np.zeros([2 * extent for extent in weight.shape[::-1]])
        strided = holder[tuple(slice(None, None, 2) for _ in weight.shape)].transpose()
        strided[...] = weight
        options = {**case.arguments, "layout": layout}
        for isa in ISAS:
            with running(isa, 1), precision("highest"):
                assert_exact(
                    functional.conv2d(images, strided, **options), swap_axes(reference.conv2d(x, w), layout), isa
                )
                got = grad.conv2d_input(images.shape, strided, gradient, **options)
                assert_exact(got, swap_axes(reference.conv2d_input(x.shape, w, g), layout), "input", isa)
                holder[...] = 0
                grad.conv2d_weight(images, weight.shape, gradient, **options, out=strided)
                assert_exact(strided, swap_weights(reference.conv2d_weight(x, w.shape, g), layout), "weight", isa)
                strided[...] = weight


def test_no_image_gives_zeros() -> None:
    for case, isa, layout in product(FORMS + COVERED, ISAS, LAYOUTS):
        x, g = (swap_axes(np.zeros((0, *shape[1:])), layout) for shape in (case.shape, case.output_shape))
        shape = swap_weights(np.zeros(case.weight_shape), layout).shape
        with running(isa, 1), precision("highest"):
            got = grad.conv2d_weight(x, shape, g, **case.arguments, layout=layout, out=np.ones(shape))
        assert_exact(got, np.zeros(shape), case.name, isa, layout)


@pytest.mark.parametrize("case", TRANSFORMED, **ids)
def test_transformed_weight_gradients(case: ConvCase) -> None:
    rng = generator(case.name)
    problem = [rng.standard_normal(shape) for shape in (case.shape, case.weight_shape, case.output_shape)]
    for isa, dtype in product(ISAS, DTYPES):
        rounded = [part.astype(dtype).astype(np.float64) for part in problem]
        expected = swap_weights(
            reference.conv2d_weight(rounded[0], case.weight_shape, rounded[2], **case.arguments), "NHWC"
        )
        with running(isa, 1):
            _, got = gradients(case, "NHWC", dtype, problem)
            with precision("highest"):
                _, direct = gradients(case, "NHWC", dtype, problem)
        assert (got != direct).any(), "the transforms were not taken"
        assert np.linalg.norm(got - expected) <= 20 * np.finfo(dtype).eps * np.linalg.norm(expected), (isa, dtype)
        for threads in (2, 3):
            with running(isa, threads):
                assert_same_bits(gradients(case, "NHWC", dtype, problem)[1], got, f"{threads} threads", isa)


@pytest.mark.parametrize("case", TRANSFORMED, **ids)
def test_transformed_weight_gradients_of_what_is_not_finite(case: ConvCase) -> None:
    rng = generator(case.name)
    problem = [rng.standard_normal(shape) for shape in (case.shape, case.weight_shape, case.output_shape)]
    problem[0][0, 1, 3, 5], problem[2][0, 2, 0, 0] = np.inf, np.nan
    for isa, dtype in product(ISAS, DTYPES):
        with running(isa, 2):
            _, got = gradients(case, "NHWC", dtype, problem)
            with precision("highest"):
                _, direct = gradients(case, "NHWC", dtype, problem)
        assert not np.isfinite(direct).all()
        assert_same_bits(got, direct, isa, dtype)
