"""The gradients of convolution: every case on every instruction set, dtype and layout, and against differences."""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import numpy as np
import pytest

from cases import (
    CONV_CASES,
    DTYPES,
    GRADCHECK_CONVS,
    LAYOUTS,
    THREADED_CONVS,
    ConvCase,
    generator,
    swap_axes,
    swap_weights,
    whole_numbers,
)
from compare import (
    ISAS,
    Guarded,
    assert_close,
    assert_close_overall,
    assert_exact,
    assert_same_bits,
    central_differences,
    precision,
    running,
    running_threads,
)
from fastconv import functional, grad, reference

every_case = pytest.mark.parametrize("case", CONV_CASES.values(), ids=CONV_CASES)


@lru_cache(maxsize=4)
def whole_problem(case: ConvCase) -> tuple[np.ndarray, ...]:
    rng = generator(case.name)
    images, weight = whole_numbers(rng, *case.shape), whole_numbers(rng, *case.weight_shape)
    gradient = whole_numbers(rng, *case.output_shape)
    to_input = reference.conv2d_input(case.shape, weight, gradient, **case.arguments)
    to_weight = reference.conv2d_weight(images, case.weight_shape, gradient, **case.arguments)
    return images, weight, gradient, to_input, to_weight


@every_case
def test_whole_numbers_are_exact(case: ConvCase) -> None:
    images, weight, gradient, to_input, to_weight = whole_problem(case)
    to_bias = gradient.sum(axis=(0, 2, 3))
    for isa in ISAS:
        with running(isa), precision("highest"):
            for dtype, layout in product(DTYPES, LAYOUTS):
                label = (isa, dtype.__name__, layout)
                options = {**case.arguments, "layout": layout}
                x, g = swap_axes(images, layout).astype(dtype), swap_axes(gradient, layout).astype(dtype)
                w = swap_weights(weight, layout).astype(dtype)
                for function, first, second, expected in (
                    (grad.conv2d_input, x.shape, w, swap_axes(to_input, layout)),
                    (grad.conv2d_weight, x, w.shape, swap_weights(to_weight, layout)),
                ):
                    out = Guarded(expected.shape, dtype)
                    got = function(first, second, g, **options, out=out.array)
                    assert got is out.array, label
                    out.check(function.__name__, *label)
                    assert_exact(got, expected, function.__name__, *label)
                    again = function(first, second, g, **options)
                    assert_same_bits(again, got, function.__name__, "again", *label)
                out = Guarded(to_bias.shape, dtype)
                assert grad.conv2d_bias(g, layout=layout, out=out.array) is out.array
                out.check("conv2d_bias", *label)
                assert_exact(out.array, to_bias, "conv2d_bias", *label)


@every_case
def test_random_numbers_are_close(case: ConvCase) -> None:
    """And the gradient of every input has the same bits alone and among others."""
    rng = generator(case.name)
    n = max(case.shape[0], 2)
    images, weight = rng.standard_normal((n, *case.shape[1:])), rng.standard_normal(case.weight_shape)
    gradient = rng.standard_normal((n, *case.output_shape[1:]))
    for dtype in DTYPES:
        x, w, g = images.astype(dtype), weight.astype(dtype), gradient.astype(dtype)
        to_input, input_size = (
            reference.conv2d_input(x.shape, f(w), f(g), **case.arguments) for f in (np.asarray, np.abs)
        )
        to_weight, weight_size = (
            reference.conv2d_weight(f(x), w.shape, f(g), **case.arguments) for f in (np.asarray, np.abs)
        )
        to_bias, bias_size = (reference.conv2d_bias(f(g)) for f in (np.asarray, np.abs))
        for layout in LAYOUTS:
            x, g = swap_axes(images, layout).astype(dtype), swap_axes(gradient, layout).astype(dtype)
            w = swap_weights(weight, layout).astype(dtype)
            options = {**case.arguments, "layout": layout}
            for isa in ISAS:
                label = (isa, dtype.__name__, layout)
                with running(isa):
                    got = grad.conv2d_input(x.shape, w, g, **options)
                    want, size = swap_axes(to_input, layout), swap_axes(input_size, layout)
                    assert_close_overall(got, want, size, "input", *label)
                    with precision("highest"):
                        assert_close(grad.conv2d_input(x.shape, w, g, **options), want, size, "input", *label)
                    for i in (0, n - 1):
                        alone = grad.conv2d_input((1, *x.shape[1:]), w, g[i : i + 1], **options)
                        assert_same_bits(alone, got[i : i + 1], f"image {i} alone", *label)
                    unbatched = grad.conv2d_input(x.shape[1:], w, g[0], **options)
                    assert_same_bits(unbatched, got[0], "without a batch axis", *label)
                    dw = grad.conv2d_weight(x, w.shape, g, **options)
                    assert_close(
                        dw, swap_weights(to_weight, layout), swap_weights(weight_size, layout), "weight", *label
                    )
                    of_one = grad.conv2d_weight(x[:1], w.shape, g[:1], **options)
                    unbatched = grad.conv2d_weight(x[0], w.shape, g[0], **options)
                    assert_same_bits(unbatched, of_one, "without a batch axis", *label)
                    assert_close(grad.conv2d_bias(g, layout=layout), to_bias, bias_size, "bias", *label)


@pytest.mark.parametrize("name", THREADED_CONVS)
def test_any_number_of_threads_gives_the_same_bits(name: str) -> None:
    case = CONV_CASES[name]
    rng = generator(name)
    images, weight = rng.standard_normal(case.shape), rng.standard_normal(case.weight_shape)
    gradient = rng.standard_normal(case.output_shape)
    for isa in ISAS:
        with running(isa):
            for dtype, layout in product(DTYPES, LAYOUTS):
                x, g = swap_axes(images, layout).astype(dtype), swap_axes(gradient, layout).astype(dtype)
                w = swap_weights(weight, layout).astype(dtype)
                options = {**case.arguments, "layout": layout}
                results = []
                for threads in (1, 2, 3):
                    with running_threads(threads):
                        outs = [Guarded(x.shape, dtype), Guarded(w.shape, dtype)]
                        grad.conv2d_input(x.shape, w, g, **options, out=outs[0].array)
                        grad.conv2d_weight(x, w.shape, g, **options, out=outs[1].array)
                        for out in outs:
                            out.check(isa, dtype, layout, threads)
                        results.append([out.array for out in outs])
                for threads in (2, 3):
                    for one, many, of in zip(results[0], results[threads - 1], ("input", "weight"), strict=True):
                        assert_same_bits(many, one, of, f"{threads} threads", isa, dtype, layout)


def test_bias_with_any_number_of_threads_gives_the_same_bits() -> None:
    gradient = generator("bias").standard_normal((3, 40, 119, 120))
    for isa, dtype, layout in product(ISAS, DTYPES, LAYOUTS):
        g = swap_axes(gradient, layout).astype(dtype)
        results = []
        for threads in (1, 2, 3):
            with running(isa, threads):
                results.append(grad.conv2d_bias(g, layout=layout))
        assert_same_bits(results[1], results[0], "2 threads", isa, dtype, layout)
        assert_same_bits(results[2], results[0], "3 threads", isa, dtype, layout)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", GRADCHECK_CONVS)
def test_gradients_are_the_differences_of_the_forward(name: str, layout: str) -> None:
    case = CONV_CASES[name]
    rng = generator(name)
    images = swap_axes(rng.standard_normal(case.shape), layout)
    weight = swap_weights(rng.standard_normal(case.weight_shape), layout)
    bias = rng.standard_normal(case.kernel[0])
    gradient = swap_axes(rng.standard_normal(case.output_shape), layout)
    options = {**case.arguments, "layout": layout}

    def forward(x: np.ndarray = images, w: np.ndarray = weight, b: np.ndarray = bias) -> np.ndarray:
        return functional.conv2d(x, w, b, **options)

    for got, function, at in (
        (grad.conv2d_input(images.shape, weight, gradient, **options), lambda x: forward(x=x), images),
        (grad.conv2d_weight(images, weight.shape, gradient, **options), lambda w: forward(w=w), weight),
        (grad.conv2d_bias(gradient, layout=layout), lambda b: forward(b=b), bias),
    ):
        # The result is linear in each: no step is too long.
        expected = central_differences(function, at, gradient, 1e-2)
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_gradients_reach_every_pixel_they_should(value: float) -> None:
    for name in ("lenet_c2", "outputs_17", "width_17", "depthwise_width_19", "groups_odd", "stride_not_dividing"):
        case = CONV_CASES[name]
        rng = generator(name)
        images, weight = whole_numbers(rng, *case.shape), whole_numbers(rng, *case.weight_shape)
        gradient = whole_numbers(rng, *case.output_shape)
        images[images == 0] = weight[weight == 0] = 1
        gradient[tuple(rng.integers(0, case.output_shape))] = value
        # Where a kernel leaves out taps that only meet padding, 0 * inf is not formed: compare where no padding is.
        inner = {**case.arguments, "padding": 0}
        with np.errstate(invalid="ignore"):
            gradient = gradient[:, :, : reference.output_size(case.shape[2:], case.kernel[1:], case.stride)[0]]
            gradient = gradient[:, :, :, : reference.output_size(case.shape[2:], case.kernel[1:], case.stride)[1]]
            to_input = reference.conv2d_input(case.shape, weight, gradient, **inner)
            to_weight = reference.conv2d_weight(images, case.weight_shape, gradient, **inner)
        for isa, dtype, layout in product(ISAS, DTYPES, LAYOUTS):
            x, g = swap_axes(images, layout).astype(dtype), swap_axes(gradient, layout).astype(dtype)
            w = swap_weights(weight, layout).astype(dtype)
            with running(isa):
                got = grad.conv2d_input(x.shape, w, g, **inner, layout=layout)
                assert_exact(got, swap_axes(to_input, layout), "input", name, isa, dtype, layout)
                got = grad.conv2d_weight(x, w.shape, g, **inner, layout=layout)
                assert_exact(got, swap_weights(to_weight, layout), "weight", name, isa, dtype, layout)


def test_worked_example() -> None:
    image = np.tile([10, 10, 10, 0, 0, 0], (6, 1)).astype(np.float64)[None, None]
    ones = np.ones((1, 1, 4, 4))
    assert_exact(
        grad.conv2d_weight(image, (1, 1, 3, 3), ones)[0, 0], np.tile([120.0, 80.0, 40.0], (3, 1)), "sums of windows"
    )
    vertical = np.tile([1.0, 0.0, -1.0], (3, 1))[None, None]
    got = grad.conv2d_input((1, 1, 6, 6), vertical, ones)[0, 0]
    assert_exact(got, np.outer([1.0, 2.0, 3.0, 3.0, 2.0, 1.0], [1.0, 1.0, 0.0, 0.0, -1.0, -1.0]))
