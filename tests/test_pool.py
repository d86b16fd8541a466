"""Pooling, forward and backward: every case on every instruction set, dtype and layout."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from itertools import product
from typing import Any

import numpy as np
import pytest

from cases import (
    ADAPTIVE_CASES,
    DTYPES,
    GRADCHECK_POOLS,
    LARGE_POOLS,
    LAYOUTS,
    POOL_CASES,
    PoolCase,
    generator,
    swap_axes,
    whole_numbers,
)
from compare import (
    ISAS,
    Guarded,
    assert_close,
    assert_exact,
    assert_same_bits,
    central_differences,
    running,
    running_threads,
)
from fastconv import functional, grad, reference

every_case = pytest.mark.parametrize("case", POOL_CASES.values(), ids=POOL_CASES)
every_adaptive_case = pytest.mark.parametrize("name", ADAPTIVE_CASES)

# How an average may count; the divisor that is given comes last.
AVERAGES: tuple[dict[str, Any], ...] = (
    {},
    {"count_include_pad": False},
    {"divisor_override": 7},
)


@lru_cache(maxsize=2)
def maxima(case: PoolCase) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    images = whole_numbers(generator(case.name), *case.shape)  # small integers: many windows have ties
    return images, *reference.max_pool2d(images, **case.max_arguments, return_indices=True)


@every_case
def test_maxima_are_exact(case: PoolCase) -> None:
    images, values, where = maxima(case)
    for isa in ISAS:
        with running(isa):
            for dtype, layout in product(DTYPES, LAYOUTS):
                label = (isa, dtype.__name__, layout)
                x, want = swap_axes(images, layout).astype(dtype), swap_axes(values, layout)
                options = {**case.max_arguments, "layout": layout}
                out = Guarded(want.shape, dtype)
                got = functional.max_pool2d(x, **options, out=out.array)
                assert got is out.array, label
                out.check(*label)
                assert_exact(got, want, *label)
                again, indices = functional.max_pool2d(x, **options, return_indices=True)
                assert_same_bits(again, got, "with indices", *label)
                assert indices.dtype == np.int64
                assert_exact(indices, swap_axes(where, layout), "indices", *label)
                out = Guarded(want.shape, dtype)
                functional.max_pool2d(x, **options, return_indices=True, out=out.array)
                out.check("with indices", *label)
                if len(x):
                    assert_same_bits(functional.max_pool2d(x[:1], **options), got[:1], "alone", *label)
                    assert_same_bits(functional.max_pool2d(x[0], **options), got[0], "unbatched", *label)


@every_case
def test_gradients_of_maxima_are_exact(case: PoolCase) -> None:
    images, values, where = maxima(case)
    gradient = whole_numbers(generator(case.name), *values.shape)
    expected = reference.max_pool2d_backward(images, gradient, **case.max_arguments)
    for isa in ISAS:
        with running(isa):
            for dtype, layout in product(DTYPES, LAYOUTS):
                x, g = swap_axes(images, layout).astype(dtype), swap_axes(gradient, layout).astype(dtype)
                options = {**case.max_arguments, "layout": layout}
                for indices in (None, swap_axes(where, layout)):
                    label = (isa, dtype.__name__, layout, "searching" if indices is None else "by indices")
                    out = Guarded(x.shape, dtype)
                    got = grad.max_pool2d(x, g, **options, indices=indices, out=out.array)
                    assert got is out.array, label
                    out.check(*label)
                    assert_exact(got, swap_axes(expected, layout), *label)
                    assert_same_bits(grad.max_pool2d(x, g, **options, indices=indices), got, "again", *label)


@pytest.mark.parametrize("share", [0.02, 1.0])
@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 2)])
def test_places_may_lie_outside_their_windows(kernel: int, stride: int, share: float) -> None:
    rng = generator("places")
    images = whole_numbers(rng, 2, 70, 8, 12)
    values, where = reference.max_pool2d(images, kernel, stride, return_indices=True)
    gradient = whole_numbers(rng, *values.shape)
    where = np.where(rng.random(where.shape) < share, rng.integers(-1, 8 * 12, where.shape), where)
    expected = np.zeros((2, 70, 8 * 12 + 1))  # what is nowhere goes to the last
    np.add.at(expected, (*np.indices(where.shape)[:2], where), gradient)
    expected = expected[..., :-1].reshape(images.shape)
    for isa in ISAS:
        with running(isa):
            for dtype, layout in product(DTYPES, LAYOUTS):
                x, g, given = (swap_axes(a, layout) for a in (images.astype(dtype), gradient.astype(dtype), where))
                got = grad.max_pool2d(x, g, kernel, stride, layout=layout, indices=given)
                assert_exact(got, swap_axes(expected, layout), isa, dtype.__name__, layout)


@every_case
def test_averages_are_close(case: PoolCase) -> None:
    rng = generator(case.name)
    data = rng.standard_normal((max(case.shape[0], 2), *case.shape[1:]))
    for dtype, counting in product(DTYPES, AVERAGES):
        images = data.astype(dtype)
        options = {**case.average_arguments, **counting}
        expected = reference.avg_pool2d(images, **options)
        magnitude = reference.avg_pool2d(np.abs(images), **options)
        gradient = rng.standard_normal(expected.shape).astype(dtype)
        expected_back = reference.avg_pool2d_backward(images.shape, gradient, **options)
        magnitude_back = reference.avg_pool2d_backward(images.shape, np.abs(gradient), **options)
        for layout in LAYOUTS:
            x, g = swap_axes(images, layout), swap_axes(gradient, layout)
            want, size = swap_axes(expected, layout), swap_axes(magnitude, layout)
            want_back, size_back = swap_axes(expected_back, layout), swap_axes(magnitude_back, layout)
            for isa in ISAS:
                label = (isa, dtype.__name__, layout, counting)
                with running(isa):
                    out = Guarded(want.shape, dtype)
                    got = functional.avg_pool2d(x, **options, layout=layout, out=out.array)
                    assert got is out.array, label
                    out.check(*label)
                    assert_close(got, want, size, *label)
                    assert_same_bits(functional.avg_pool2d(x, **options, layout=layout), got, "again", *label)
                    alone = functional.avg_pool2d(x[1:2], **options, layout=layout)
                    assert_same_bits(alone, got[1:2], "alone", *label)
                    unbatched = functional.avg_pool2d(x[1], **options, layout=layout)
                    assert_same_bits(unbatched, got[1], "unbatched", *label)
                    out = Guarded(x.shape, dtype)
                    back = grad.avg_pool2d(x.shape, g, **options, layout=layout, out=out.array)
                    assert back is out.array, label
                    out.check("gradient", *label)
                    assert_close(back, want_back, size_back, "gradient", *label)
                    unbatched = grad.avg_pool2d(x.shape[1:], g[1], **options, layout=layout)
                    assert_same_bits(unbatched, back[1], "gradient, unbatched", *label)


def test_averages_of_whole_numbers_over_powers_of_two_are_exact() -> None:
    images = whole_numbers(generator("averages"), 2, 6, 28, 28)
    expected = reference.avg_pool2d(images, 2)
    for isa, dtype, layout in product(ISAS, DTYPES, LAYOUTS):
        with running(isa):
            got = functional.avg_pool2d(swap_axes(images, layout).astype(dtype), 2, layout=layout)
        assert_exact(got, swap_axes(expected, layout), isa, dtype, layout)


@every_adaptive_case
def test_adaptive_averages_are_close(name: str) -> None:
    shape, output_size = ADAPTIVE_CASES[name]
    rng = generator(name)
    for dtype in DTYPES:
        images = rng.standard_normal(shape).astype(dtype)
        expected = reference.adaptive_avg_pool2d(images, output_size)
        magnitude = reference.adaptive_avg_pool2d(np.abs(images), output_size)
        gradient = rng.standard_normal(expected.shape).astype(dtype)
        expected_back = reference.adaptive_avg_pool2d_backward(shape, gradient)
        magnitude_back = reference.adaptive_avg_pool2d_backward(shape, np.abs(gradient))
        for isa, layout in product(ISAS, LAYOUTS):
            label = (isa, dtype.__name__, layout)
            x, g = swap_axes(images, layout), swap_axes(gradient, layout)
            want = swap_axes(expected, layout)
            with running(isa):
                out = Guarded(want.shape, dtype)
                got = functional.adaptive_avg_pool2d(x, output_size, layout=layout, out=out.array)
                assert got is out.array, label
                out.check(*label)
                assert_close(got, want, swap_axes(magnitude, layout), *label)
                again = functional.adaptive_avg_pool2d(x, output_size, layout=layout)
                assert_same_bits(again, got, "again", *label)
                out = Guarded(x.shape, dtype)
                got = grad.adaptive_avg_pool2d(x.shape, g, layout=layout, out=out.array)
                out.check("gradient", *label)
                assert_close(got, swap_axes(expected_back, layout), swap_axes(magnitude_back, layout), *label)


@every_adaptive_case
def test_adaptive_maxima_are_exact(name: str) -> None:
    shape, output_size = ADAPTIVE_CASES[name]
    rng = generator(name)
    images = whole_numbers(rng, *shape)
    values, where = reference.adaptive_max_pool2d(images, output_size, return_indices=True)
    gradient = whole_numbers(rng, *values.shape)
    expected = reference.adaptive_max_pool2d_backward(images, gradient)
    for isa, dtype, layout in product(ISAS, DTYPES, LAYOUTS):
        label = (isa, dtype.__name__, layout)
        x, g = swap_axes(images, layout).astype(dtype), swap_axes(gradient, layout).astype(dtype)
        want = swap_axes(values, layout)
        with running(isa):
            out = Guarded(want.shape, dtype)
            got = functional.adaptive_max_pool2d(x, output_size, layout=layout, out=out.array)
            assert got is out.array, label
            out.check(*label)
            assert_exact(got, want, *label)
            got, indices = functional.adaptive_max_pool2d(x, output_size, return_indices=True, layout=layout)
            assert_exact(got, want, "with indices", *label)
            assert_exact(indices, swap_axes(where, layout), "indices", *label)
            for given in (None, indices):
                out = Guarded(x.shape, dtype)
                got = grad.adaptive_max_pool2d(x, g, layout=layout, indices=given, out=out.array)
                out.check("gradient", *label)
                assert_exact(got, swap_axes(expected, layout), "gradient", given is None, *label)


def every_pool(
    case: PoolCase, layout: str, x: np.ndarray, g: np.ndarray, g_adaptive: np.ndarray
) -> dict[str, Callable[[], Any]]:
    return {
        "max": lambda: functional.max_pool2d(x, **case.max_arguments, layout=layout),
        "average": lambda: functional.avg_pool2d(x, **case.average_arguments, layout=layout),
        "adaptive average": lambda: functional.adaptive_avg_pool2d(x, (5, 6), layout=layout),
        "adaptive max": lambda: functional.adaptive_max_pool2d(x, (5, 6), layout=layout),
        "max backward": lambda: grad.max_pool2d(x, g, **case.max_arguments, layout=layout),
        "average backward": lambda: grad.avg_pool2d(x.shape, g, **case.average_arguments, layout=layout),
        "adaptive average backward": lambda: grad.adaptive_avg_pool2d(x.shape, g_adaptive, layout=layout),
        "adaptive max backward": lambda: grad.adaptive_max_pool2d(x, g_adaptive, layout=layout),
    }


@pytest.mark.parametrize("name", [*LARGE_POOLS, "many_tiny_images"])
def test_any_number_of_threads_gives_the_same_bits(name: str) -> None:
    case = POOL_CASES[name]
    rng = generator(name)
    data = rng.standard_normal(case.shape)
    result_shape = reference.avg_pool2d(data, **case.average_arguments).shape
    gradients = rng.standard_normal(result_shape), rng.standard_normal((*case.shape[:2], 5, 6))
    for isa, dtype, layout in product(ISAS, DTYPES, LAYOUTS):
        x = swap_axes(data, layout).astype(dtype)
        g, g_adaptive = (swap_axes(gradient, layout).astype(dtype) for gradient in gradients)
        calls = every_pool(case, layout, x, g, g_adaptive)
        for operator, call in calls.items():
            with running(isa):
                results = []
                for threads in (1, 2, 3):
                    with running_threads(threads):
                        results.append(call())
            assert_same_bits(results[1], results[0], operator, "2 threads", isa, dtype, layout)
            assert_same_bits(results[2], results[0], operator, "3 threads", isa, dtype, layout)


# ---------------------------------------------------------------------------------------------------------------------
# NaN and infinity


@pytest.mark.parametrize("window", [(1, 1), (1, 2), (2, 1), (2, 2), (3, 3), (1, 5)])
def test_nan_wins_in_every_lane(window: tuple[int, int]) -> None:
    """A NaN at each place of a row that is longer than the longest vector, and in each place of a window."""
    kh, kw = window
    for stride, dtype in product((1, kw), DTYPES):
        width = 34 * stride + kw
        images = generator("nan").standard_normal((kh * width, 1, kh, width)).astype(dtype)
        for place, image in enumerate(images):
            image[0].flat[place] = np.nan  # every image has its own bad pixel
        expected = reference.max_pool2d(images, window, (1, stride), return_indices=True)
        assert np.isnan(expected[0]).any(axis=(1, 2, 3)).all()
        for isa, layout in product(ISAS, LAYOUTS):
            with running(isa):
                got = functional.max_pool2d(
                    swap_axes(images, layout), window, (1, stride), return_indices=True, layout=layout
                )
            assert_exact(got[0], swap_axes(expected[0], layout), isa, dtype, layout)
            assert_exact(got[1], swap_axes(expected[1], layout), "indices", isa, dtype, layout)
    # And at each place among channels.
    for dtype, channels in product(DTYPES, (1, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 70)):
        images = generator("nan").standard_normal((channels, channels, kh, kw)).astype(dtype)
        for place, image in enumerate(images):
            image[place].flat[place % (kh * kw)] = np.nan
        expected = reference.max_pool2d(images, window)
        assert (np.isnan(expected[..., 0, 0]) == np.eye(channels, dtype=bool)).all()
        for isa, layout in product(ISAS, LAYOUTS):
            with running(isa):
                got = functional.max_pool2d(swap_axes(images, layout), window, layout=layout)
                adaptive = functional.adaptive_max_pool2d(swap_axes(images, layout), 1, layout=layout)
            assert_exact(got, swap_axes(expected, layout), isa, dtype, layout, channels)
            assert_exact(adaptive, swap_axes(expected, layout), "adaptive", isa, dtype, layout, channels)


def test_the_last_nan_of_a_window_is_where_the_maximum_stands() -> None:
    row = np.array([[[[1, np.nan, 3, np.nan, 2, np.inf, 0, -np.inf]]]])
    for isa, dtype, layout in product(ISAS, DTYPES, LAYOUTS):
        x = swap_axes(row, layout).astype(dtype)
        g = np.ones((1, 1, 1, 1), dtype)
        with running(isa):
            for value, where in (
                functional.max_pool2d(x, (1, 8), return_indices=True, layout=layout),
                functional.adaptive_max_pool2d(x, 1, return_indices=True, layout=layout),
            ):
                assert np.isnan(value).all()
                assert where.item() == 3, (isa, dtype, layout)
            for back in (
                grad.max_pool2d(x, g, (1, 8), layout=layout),
                grad.adaptive_max_pool2d(x, g, layout=layout),
            ):
                assert_exact(back.reshape(8), np.eye(8)[3], isa, dtype, layout)


@pytest.mark.parametrize("channels", [1, 4, 9, 16, 33])
def test_windows_of_minus_infinity(channels: int) -> None:
    images = np.full((2, channels, 5, 19), -np.inf)
    options = {"kernel_size": 3, "stride": 2, "padding": 1}
    expected, where = reference.max_pool2d(images, **options, return_indices=True)
    assert (expected == -np.inf).all()
    for isa, dtype, layout in product(ISAS, DTYPES, LAYOUTS):
        with running(isa):
            x = swap_axes(images, layout).astype(dtype)
            got, indices = functional.max_pool2d(x, **options, return_indices=True, layout=layout)
        assert_exact(got, swap_axes(expected, layout), isa, dtype, layout)
        assert_exact(indices, swap_axes(where, layout), "indices", isa, dtype, layout)


def test_windows_that_hold_only_padding() -> None:
    """Maxima over nothing are -inf from nowhere, and give nobody a gradient."""
    images = whole_numbers(generator("padding"), 2, 9, 3, 4)
    options = {"kernel_size": 2, "stride": 1, "padding": ((4, 3), (3, 5))}
    expected, where = reference.max_pool2d(images, **options, return_indices=True)
    assert ((expected == -np.inf) == (where == -1)).all()
    assert (where == -1).any()
    gradient = whole_numbers(generator("gradient"), *expected.shape)
    back = reference.max_pool2d_backward(images, gradient, **options)
    for isa, dtype, layout in product(ISAS, DTYPES, LAYOUTS):
        label = (isa, dtype, layout)
        x, g = swap_axes(images, layout).astype(dtype), swap_axes(gradient, layout).astype(dtype)
        with running(isa):
            got, indices = functional.max_pool2d(x, **options, return_indices=True, layout=layout)
            assert_exact(got, swap_axes(expected, layout), *label)
            assert_exact(indices, swap_axes(where, layout), "indices", *label)
            for given in (None, indices):
                got = grad.max_pool2d(x, g, **options, indices=given, layout=layout)
                assert_exact(got, swap_axes(back, layout), "gradient", given is None, *label)
            for counting in (True, False):  # of no position at all, the mean is NaN
                got = functional.avg_pool2d(x, **options, count_include_pad=counting, layout=layout)
                means = reference.avg_pool2d(images, **options, count_include_pad=counting)
                np.testing.assert_allclose(got, swap_axes(means, layout), rtol=1e-6)
                got = grad.avg_pool2d(x.shape, g, **options, count_include_pad=counting, layout=layout)
                spread = reference.avg_pool2d_backward(images.shape, gradient, **options, count_include_pad=counting)
                np.testing.assert_allclose(got, swap_axes(spread, layout), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_values_stay_in_their_windows(value: float) -> None:
    images = whole_numbers(generator("average"), 1, 5, 9, 37)
    images[0, 3, 4, 18] = images[0, 1, 8, 36] = images[0, 0, 0, 0] = value
    options = {"kernel_size": 3, "stride": 2, "padding": 1}
    averages, maxima_ = reference.avg_pool2d(images, **options), reference.max_pool2d(images, **options)
    spread = reference.adaptive_avg_pool2d(images, (4, 5))
    for isa, dtype, layout in product(ISAS, DTYPES, LAYOUTS):
        x = swap_axes(images, layout).astype(dtype)
        with running(isa):
            got = functional.avg_pool2d(x, **options, layout=layout)
            adaptive = functional.adaptive_avg_pool2d(x, (4, 5), layout=layout)
            largest = functional.max_pool2d(x, **options, layout=layout)
        for result, expected in ((got, averages), (adaptive, spread)):
            want = swap_axes(expected, layout)
            np.testing.assert_array_equal(np.isnan(result), np.isnan(want))
            np.testing.assert_allclose(result, want, rtol=1e-5, atol=1e-6)
        assert_exact(largest, swap_axes(maxima_, layout), isa, dtype, layout)


# ---------------------------------------------------------------------------------------------------------------------
# Gradients against differences


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", GRADCHECK_POOLS)
def test_gradients_are_the_differences_of_the_forward(name: str, layout: str) -> None:
    case = POOL_CASES[name]
    rng = generator(name)
    shape = (min(case.shape[0], 2), 2, *case.shape[2:])
    # All values apart by more than the step, so that no maximum changes hands.
    images = swap_axes(rng.permutation(int(np.prod(shape))).reshape(shape) * 0.5, layout)
    options = {**case.max_arguments, "layout": layout}
    gradient = rng.standard_normal(functional.max_pool2d(images, **options).shape)
    expected = central_differences(partial(functional.max_pool2d, **options), images, gradient, 0.125)
    np.testing.assert_allclose(grad.max_pool2d(images, gradient, **options), expected, rtol=1e-9, atol=1e-9)
    for counting in AVERAGES:
        options = {**case.average_arguments, **counting, "layout": layout}
        gradient = rng.standard_normal(functional.avg_pool2d(images, **options).shape)
        expected = central_differences(partial(functional.avg_pool2d, **options), images, gradient, 0.125)
        got = grad.avg_pool2d(images.shape, gradient, **options)
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["global", "dividing", "not_dividing", "overlapping", "larger_than_input"])
def test_adaptive_gradients_are_the_differences_of_the_forward(name: str, layout: str) -> None:
    shape, output_size = ADAPTIVE_CASES[name]
    rng = generator(name)
    images = swap_axes(rng.permutation(int(np.prod(shape))).reshape(shape) * 0.5, layout)
    gradient = rng.standard_normal(functional.adaptive_avg_pool2d(images, output_size, layout=layout).shape)
    for function, got in (
        (functional.adaptive_avg_pool2d, grad.adaptive_avg_pool2d(images.shape, gradient, layout=layout)),
        (functional.adaptive_max_pool2d, grad.adaptive_max_pool2d(images, gradient, layout=layout)),
    ):
        call = partial(function, output_size=output_size, layout=layout)
        expected = central_differences(call, images, gradient, 0.125)
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


# ---------------------------------------------------------------------------------------------------------------------


def test_worked_example() -> None:
    image = np.array([[1, 3, 2, 1], [2, 9, 1, 1], [1, 3, 2, 3], [5, 6, 1, 2]], np.float32)[None, None]
    assert_exact(functional.max_pool2d(image, 2)[0, 0], np.array([[9, 2], [6, 3]]))
    assert_exact(functional.avg_pool2d(image, 2)[0, 0], np.array([[3.75, 1.25], [3.75, 2.0]]))
    colours = np.ones((1, 32, 32, 12), np.float32)
    assert functional.max_pool2d(colours, 2, layout="NHWC").shape == (1, 16, 16, 12)
    assert functional.adaptive_avg_pool2d(colours, 1, layout="NHWC").shape == (1, 1, 1, 12)
