"""Two-dimensional convolution, forward: every case on every instruction set, dtype, layout and algorithm."""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import pytest

import fastconv
from cases import (
    CONV_CASES,
    DTYPES,
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
    running,
    running_threads,
    steepness,
)
from fastconv import functional, reference

ALGORITHMS = ("direct", "im2col")
every_case = pytest.mark.parametrize("case", CONV_CASES.values(), ids=CONV_CASES)


def arrays(case: ConvCase, layout: str, dtype: Any, *images_and_weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    images, weight = images_and_weight
    return swap_axes(images, layout).astype(dtype), swap_weights(weight, layout).astype(dtype)


@lru_cache(maxsize=4)
def whole_problem(case: ConvCase) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = generator(case.name)
    images, weight = whole_numbers(rng, *case.shape), whole_numbers(rng, *case.weight_shape)
    bias = whole_numbers(rng, case.kernel[0])
    return images, weight, bias, reference.conv2d(images, weight, bias, **case.arguments)


@every_case
def test_whole_numbers_are_exact(case: ConvCase) -> None:
    images, weight, bias, expected = whole_problem(case)
    for isa in ISAS:
        with running(isa):
            for dtype, layout in product(DTYPES, LAYOUTS):
                x, w = arrays(case, layout, dtype, images, weight)
                b, want = bias.astype(dtype), swap_axes(expected, layout)
                for algorithm in ALGORITHMS:
                    label = (isa, dtype.__name__, layout, algorithm)
                    out = Guarded(want.shape, dtype)
                    options = {**case.arguments, "layout": layout, "algorithm": algorithm}
                    got = functional.conv2d(x, w, b, out=out.array, **options)
                    assert got is out.array, label
                    out.check(*label)
                    assert got.dtype == dtype
                    assert_exact(got, want, *label)
                    assert_same_bits(functional.conv2d(x, w, b, **options), got, "again", *label)


@every_case
def test_random_numbers_are_close(case: ConvCase) -> None:
    """And every image comes out with the same bits alone and among others."""
    rng = generator(case.name)
    n = max(case.shape[0], 2)
    images = rng.standard_normal((n, *case.shape[1:]))
    weight = rng.standard_normal(case.weight_shape)
    for dtype in DTYPES:
        rounded = images.astype(dtype), weight.astype(dtype)
        expected = reference.conv2d(*rounded, **case.arguments)
        magnitude = reference.conv2d(*map(np.abs, rounded), **case.arguments)
        for layout in LAYOUTS:
            x, w = arrays(case, layout, dtype, images, weight)
            want, size = swap_axes(expected, layout), swap_axes(magnitude, layout)
            for isa in ISAS:
                with running(isa):
                    for algorithm in (*ALGORITHMS, "auto"):
                        label = (isa, dtype.__name__, layout, algorithm)
                        options = {**case.arguments, "layout": layout, "algorithm": algorithm}
                        got = functional.conv2d(x, w, **options)
                        assert got.dtype == dtype
                        check = assert_close_overall if algorithm == "auto" else assert_close
                        check(got, want, size, *label)
                        for i in {0, n // 2, n - 1}:
                            alone = functional.conv2d(x[i : i + 1], w, **options)
                            assert_same_bits(alone, got[i : i + 1], f"image {i} alone", *label)
                        unbatched = functional.conv2d(x[0], w, **options)
                        assert_same_bits(unbatched, got[0], "without a batch axis", *label)


@pytest.mark.parametrize("name", THREADED_CONVS)
def test_any_number_of_threads_gives_the_same_bits(name: str) -> None:
    case = CONV_CASES[name]
    assert case.products > 3 * 500_000, "too small to be shared among three threads"
    rng = generator(name)
    images, weight = rng.standard_normal(case.shape), rng.standard_normal(case.weight_shape)
    for isa in ISAS:
        with running(isa):
            for dtype, layout, algorithm in product(DTYPES, LAYOUTS, ALGORITHMS):
                x, w = arrays(case, layout, dtype, images, weight)
                results = []
                for threads in (1, 2, 3):
                    with running_threads(threads):
                        out = Guarded(swap_axes(np.empty(case.output_shape), layout).shape, dtype)
                        functional.conv2d(x, w, **case.arguments, layout=layout, algorithm=algorithm, out=out.array)
                        out.check(isa, dtype, layout, algorithm, threads)
                        results.append(out.array)
                assert_same_bits(results[1], results[0], "2 threads", isa, dtype, layout, algorithm)
                assert_same_bits(results[2], results[0], "3 threads", isa, dtype, layout, algorithm)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("channels", "kernel"), [((97, 90), (3, 3)), ((70, 46), (5, 5)), ((520, 300), (1, 1))])
def test_threads_pack_the_same_weights(channels: tuple[int, int], kernel: tuple[int, int], layout: str) -> None:
    rng = generator(repr((channels, kernel)))
    x, w = rng.integers(-3, 4, (1, channels[0], 7, 6)), rng.integers(-3, 4, (*channels[::-1], *kernel))
    want = reference.conv2d(x.astype(float), w.astype(float), padding=1)
    for isa, dtype in product(ISAS, DTYPES):
        images, weight = swap_axes(x, layout).astype(dtype), swap_weights(w, layout).astype(dtype)
        y, options = swap_axes(want, layout).astype(dtype), {"padding": 1, "layout": layout}
        with running(isa):
            for algorithm, threads in product(("direct", "im2col"), (1, 2, 3)):
                with running_threads(threads):
                    got = functional.conv2d(images, weight, **options, algorithm=algorithm)
                    planned = fastconv.plan_conv2d(images.shape, weight, **options, algorithm=algorithm)
                    assert_same_bits(got, y, isa, dtype, algorithm, threads)
                    assert_same_bits(planned(images), y, isa, dtype, algorithm, threads)
            chosen = []
            for threads in (1, 2, 3):
                with running_threads(threads):
                    back = fastconv.grad.conv2d_input(images.shape, weight, y, **options)
                    chosen.append((functional.conv2d(images, weight, **options), back))
            for threads, (forward, back) in enumerate(chosen, 1):
                assert_same_bits(forward, chosen[0][0], isa, dtype, threads)
                assert_same_bits(back, chosen[0][1], isa, dtype, threads)


@pytest.mark.parametrize("steps", [(2, 2), (1, 1), (0, 1), (4, -1), (-3, 1), (1, 3), (8, 3)])
@pytest.mark.parametrize("channels", [(20, 17), (3, 5)])
def test_weights_may_overlap_themselves(channels: tuple[int, int], steps: tuple[int, int]) -> None:
    rng = generator(repr((channels, steps)))
    memory, x = rng.standard_normal(4000), rng.standard_normal((2, channels[0], 9, 8))
    strides = tuple(8 * step for step in (9 * channels[0], 9, *steps))
    w = np.lib.stride_tricks.as_strided(memory[20:], (channels[1], channels[0] // 2, 3, 3), strides)
    grad = rng.standard_normal((2, channels[1], 7, 6))
    for isa in ISAS:
        with running(isa):
            for algorithm in ALGORITHMS:
                want = functional.conv2d(x[:, : w.shape[1]], w.copy(), algorithm=algorithm)
                got = functional.conv2d(x[:, : w.shape[1]], w, algorithm=algorithm)
                assert_same_bits(got, want, isa, algorithm, steps)
            shape = (2, w.shape[1], 9, 8)
            back = fastconv.grad.conv2d_input(shape, w, grad)
            assert_same_bits(back, fastconv.grad.conv2d_input(shape, w.copy(), grad), isa, steps)


@every_case
def test_plans_are_exact_for_any_batch(case: ConvCase) -> None:
    images, weight, bias, expected = whole_problem(case)
    for isa in ISAS:
        with running(isa):
            for dtype, layout in product(DTYPES, LAYOUTS):
                x, w = arrays(case, layout, dtype, images, weight)
                want = swap_axes(expected, layout)
                for algorithm in ALGORITHMS:
                    label = (isa, dtype.__name__, layout, algorithm)
                    options = {**case.arguments, "layout": layout, "algorithm": algorithm}
                    plan = fastconv.plan_conv2d((1, *x.shape[1:]), w, bias.astype(dtype), **options)
                    assert plan.algorithm == algorithm
                    assert plan.isa == isa, label
                    assert isa in plan.explain().replace(",", " ").split(), f"{label}: {plan.explain()}"
                    out = Guarded(want.shape, dtype)
                    assert plan(x, out=out.array) is out.array
                    out.check(*label)
                    assert_exact(out.array, want, *label)
                    twice = plan(np.concatenate([x, x]))
                    assert_exact(twice, np.concatenate([want, want]), "a larger batch", *label)


# ---------------------------------------------------------------------------------------------------------------------
# The epilogue


@pytest.mark.parametrize("activation", reference.ACTIVATIONS)
def test_activation_after_convolution(activation: str) -> None:
    names = (
        "lenet_c1",
        "asymmetric_strided",
        "depthwise",
        "depthwise_turned",
        "groups_odd",
        "outputs_17",
        "pixels_33",
        "residual_3x3",
    )
    for case in map(CONV_CASES.__getitem__, names):
        rng = generator(case.name)
        images, weight = rng.standard_normal(case.shape), rng.standard_normal(case.weight_shape)
        weight /= np.sqrt(weight[0].size)
        bias = rng.standard_normal(case.kernel[0])
        for dtype in DTYPES:
            rounded = images.astype(dtype), weight.astype(dtype), bias.astype(dtype)
            expected = reference.conv2d(*rounded, **case.arguments, activation=activation)
            magnitude = reference.conv2d(*map(np.abs, rounded), **case.arguments)
            bound = steepness(activation, expected) * magnitude + np.abs(expected) + 1
            for layout, isa, algorithm in product(LAYOUTS, ISAS, ALGORITHMS):
                x, w = arrays(case, layout, dtype, images, weight)
                options = {**case.arguments, "layout": layout, "algorithm": algorithm, "activation": activation}
                with running(isa):
                    got = functional.conv2d(x, w, bias.astype(dtype), **options)
                    plan = fastconv.plan_conv2d(x.shape, w, bias.astype(dtype), **options)
                    planned = plan(x)
                label = (case.name, isa, dtype.__name__, layout, algorithm)
                assert_close(got, swap_axes(expected, layout), swap_axes(bound, layout), *label)
                assert_close(planned, swap_axes(expected, layout), swap_axes(bound, layout), "plan", *label)


@pytest.mark.parametrize("padding_mode", ["zeros", "reflect", "replicate", "circular"])
def test_padding_modes(padding_mode: str) -> None:
    rng = generator(padding_mode)
    images, weight = whole_numbers(rng, 2, 4, 7, 6), whole_numbers(rng, 6, 4, 4, 3)
    paddings = (0, 1, (3, 2), ((1, 0), (2, 3)), "same", "same_lower", "valid")
    for padding, stride, dilation in product(paddings, (1, (2, 3)), (1, (1, 2))):
        options = {"stride": stride, "padding": padding, "dilation": dilation, "padding_mode": padding_mode}
        expected = reference.conv2d(images, weight, **options)
        for isa, dtype, layout, algorithm in product(ISAS, DTYPES, LAYOUTS, ALGORITHMS):
            x, w = swap_axes(images, layout).astype(dtype), swap_weights(weight, layout).astype(dtype)
            with running(isa):
                got = functional.conv2d(x, w, **options, layout=layout, algorithm=algorithm)
            assert_exact(got, swap_axes(expected, layout), isa, dtype, layout, algorithm, options)


# ---------------------------------------------------------------------------------------------------------------------
# Values that are not numbers, or hardly

NON_FINITE_CASES = (
    "lenet_c2",
    "outputs_17",
    "pixels_33",
    "width_17",
    "depthwise_width_19",
    "depthwise_31",
    "depthwise_strided",
    "squares_9",
    "groups_odd",
)


@pytest.mark.parametrize("name", NON_FINITE_CASES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_inputs_reach_every_output_they_should(name: str, value: float) -> None:
    """One bad pixel at a time, against finite weights some of which are zero: nothing is skipped, nothing leaks."""
    case = CONV_CASES[name]
    rng = generator(name)
    images, weight = whole_numbers(rng, *case.shape), whole_numbers(rng, *case.weight_shape)
    places = [tuple(rng.integers(0, case.shape)) for _ in range(3)]
    places += [(0, 0, 0, 0), tuple(np.array(case.shape) - 1)]
    for place in places:
        bad = images.copy()
        bad[place] = value
        with np.errstate(invalid="ignore"):
            expected = reference.conv2d(bad, weight, **case.arguments)
        for isa, dtype, layout, algorithm in product(ISAS, DTYPES, LAYOUTS, ALGORITHMS):
            x, w = arrays(case, layout, dtype, bad, weight)
            with running(isa):
                got = functional.conv2d(x, w, **case.arguments, layout=layout, algorithm=algorithm)
            assert_exact(got, swap_axes(expected, layout), place, isa, dtype, layout, algorithm)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_weights_and_bias(value: float) -> None:
    rng = generator("weights")
    images, weight, bias = whole_numbers(rng, 1, 5, 6, 7), whole_numbers(rng, 18, 5, 3, 3), whole_numbers(rng, 18)
    weight[11, 2, 1, 0], bias[4] = value, value
    with np.errstate(invalid="ignore"):
        expected = reference.conv2d(images, weight, bias)
    assert not np.isfinite(expected[:, 11]).any()
    for isa, dtype, layout, algorithm in product(ISAS, DTYPES, LAYOUTS, ALGORITHMS):
        x, w = swap_axes(images, layout).astype(dtype), swap_weights(weight, layout).astype(dtype)
        with running(isa):
            got = functional.conv2d(x, w, bias.astype(dtype), layout=layout, algorithm=algorithm)
        assert_exact(got, swap_axes(expected, layout), isa, dtype, layout, algorithm)


def test_subnormal_numbers_survive() -> None:
    for isa, dtype, layout, algorithm in product(ISAS, DTYPES, LAYOUTS, ALGORITHMS):
        tiny = np.finfo(dtype).smallest_subnormal
        images = (np.arange(-48, 48) * tiny).reshape(1, 1, 8, 12).astype(dtype)
        weight = np.full((3, 1, 1, 1), 3, dtype)
        with running(isa):
            got = functional.conv2d(
                swap_axes(images, layout), swap_weights(weight, layout), layout=layout, algorithm=algorithm
            )
        assert_exact(swap_axes(got, layout) if layout == "NCHW" else got.transpose(0, 3, 1, 2).copy(),
                     np.repeat(images * dtype(3), 3, axis=1), isa, dtype, layout, algorithm)  # fmt: skip


def test_precision_highest_is_exact_by_any_algorithm() -> None:
    before = fastconv.get_precision()
    fastconv.set_precision("highest")
    try:
        for name in ("residual_3x3", "same_odd", "lenet_c2", "large_channel"):
            case = CONV_CASES[name]
            images, weight, bias, expected = whole_problem(case)
            for dtype, layout in product(DTYPES, LAYOUTS):
                x, w = arrays(case, layout, dtype, images, weight)
                got = functional.conv2d(x, w, bias.astype(dtype), **case.arguments, layout=layout)
                assert_exact(got, swap_axes(expected, layout), name, dtype, layout)
    finally:
        fastconv.set_precision(before)


@pytest.mark.parametrize(("algorithm", "layout"), [("direct", "NCHW"), ("im2col", "NHWC")])
def test_more_products_than_32_bits_count(algorithm: str, layout: str) -> None:
    """Of im2col, more than 2**31 elements, were they ever all in memory."""
    images, weight = np.ones((1, 1, 800, 800), np.float32), np.ones((1, 1, 64, 64), np.float32)
    got = functional.conv2d(swap_axes(images, layout), swap_weights(weight, layout), algorithm=algorithm, layout=layout)
    assert got.size * weight.size > 2**31
    assert (got == 64 * 64).all()


# ---------------------------------------------------------------------------------------------------------------------
# The course's numbers


@pytest.mark.parametrize("dtype", DTYPES)
def test_worked_example(dtype: Any) -> None:
    image = np.tile([10, 10, 10, 0, 0, 0], (6, 1)).astype(dtype)[None, None]
    vertical = np.tile([1, 0, -1], (3, 1)).astype(dtype)[None, None]
    rows = np.tile([0, 30, 30, 0], (4, 1))
    assert_exact(functional.conv2d(image, vertical)[0, 0], rows)
    transposed = functional.conv2d(image.swapaxes(2, 3), vertical.swapaxes(2, 3))
    assert_exact(transposed[0, 0], rows.T)


@pytest.mark.parametrize(
    ("image", "weight", "options", "expected"),
    [
        ((1, 32, 32, 3), (3, 3, 3, 12), {"padding": "same"}, (1, 32, 32, 12)),
        ((1, 128, 128, 3), (5, 5, 3, 40), {}, (1, 124, 124, 40)),
        ((1, 5, 5, 1), (3, 3, 1, 1), {}, (1, 3, 3, 1)),
        ((1, 5, 5, 1), (3, 3, 1, 1), {"padding": "same"}, (1, 5, 5, 1)),
        ((1, 7, 7, 1), (3, 3, 1, 1), {"stride": 2}, (1, 3, 3, 1)),
        ((1, 8, 8, 1), (3, 3, 1, 1), {"stride": 2}, (1, 3, 3, 1)),
        ((1, 9, 7, 2), (3, 3, 2, 4), {"stride": (3, 2), "padding": 2}, (1, 4, 5, 4)),
        ((1, 32, 20, 1), (5, 3, 1, 2), {"stride": (3, 2), "padding": ((2, 0), (1, 1))}, (1, 10, 10, 2)),
        ((1, 28, 28, 1), (5, 5, 1, 6), {"padding": 2, "dilation": 2}, (1, 24, 24, 6)),
    ],
)
def test_output_shapes(image: tuple[int, ...], weight: tuple[int, ...], options: dict[str, Any], expected: Any) -> None:
    got = functional.conv2d(np.ones(image, np.float32), np.ones(weight, np.float32), layout="NHWC", **options)
    assert got.shape == expected
