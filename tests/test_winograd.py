"""Winograd's convolution against the reference: every instruction set, dtype and layout, forward and backward."""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pytest

import fastconv
from cases import DTYPES, LAYOUTS, generator, swap_axes, swap_weights, whole_numbers
from compare import (
    ISAS,
    Guarded,
    assert_close_overall,
    assert_exact,
    assert_same_bits,
    precision,
    running,
    running_threads,
)
from fastconv import _arguments, _core, functional, grad, reference


class Case(NamedTuple):
    shape: tuple[int, int, int, int]
    outputs: int
    padding: Any = 1
    dilation: int | tuple[int, int] = 1
    groups: int = 1
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)

    @property
    def taps(self) -> tuple[int, int]:
        """Taps of each phase of the stride."""
        return (-(-self.kernel[0] // self.stride[0]), -(-self.kernel[1] // self.stride[1]))

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        return (self.outputs, self.shape[1] // self.groups, *self.kernel)

    @property
    def options(self) -> dict[str, Any]:
        return {
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "groups": self.groups,
        }


CASES = {
    "one_tile": Case((1, 16, 4, 4), 16),
    "one_pixel": Case((2, 3, 3, 3), 5, 0),
    "padding_alone": Case((1, 2, 1, 1), 3, 4),
    "odd": Case((2, 5, 9, 11), 7, ((0, 2), (1, 3))),
    "tails": Case((1, 33, 17, 30), 41, "same"),
    "map_of_7": Case((3, 20, 7, 7), 36),
    "wide": Case((1, 9, 3, 150), 18, (1, 0)),
    "tall": Case((1, 18, 70, 2), 10, (0, 2)),
    "dilated": Case((2, 12, 13, 14), 20, 3, 3),
    "dilated_two_ways": Case((1, 6, 9, 21), 8, (5, 2), (4, 2)),
    "dilated_past_the_image": Case((1, 4, 5, 6), 8, 9, 9),
    "groups": Case((2, 24, 10, 9), 36, 1, 1, 3),
    "groups_dilated": Case((1, 34, 12, 12), 38, ((1, 0), (2, 3)), 2, 2),
    "several_blocks": Case((1, 40, 60, 61), 24),
    "several_parts_of_channels": Case((1, 1100, 11, 12), 17),
    "fives": Case((2, 33, 17, 30), 41, "same", kernel=(5, 5)),
    "fives_one_tile": Case((1, 16, 6, 6), 16, 0, kernel=(5, 5)),
    "fives_padding_alone": Case((1, 2, 1, 2), 3, 5, kernel=(5, 5)),
    "fives_odd": Case((2, 5, 9, 11), 7, ((0, 2), (1, 3)), kernel=(5, 5)),
    "fives_dilated_in_groups": Case((1, 34, 20, 13), 38, (4, 3), (3, 2), 2, kernel=(5, 5)),
    "fives_in_parts_of_channels": Case((1, 1100, 9, 10), 17, 2, kernel=(5, 5)),
    "line_of_3": Case((2, 33, 9, 17), 41, "same", kernel=(1, 3)),
    "line_of_5": Case((3, 20, 7, 30), 18, (0, 2), kernel=(1, 5)),
    "line_of_7": Case((1, 40, 17, 17), 24, (0, 3), kernel=(1, 7)),
    "line_of_7_alone": Case((2, 16, 1, 75), 8, ((0, 0), (2, 3)), kernel=(1, 7)),
    "column_of_3": Case((2, 18, 70, 2), 10, (2, 0), kernel=(3, 1)),
    "column_of_5": Case((1, 33, 17, 30), 41, ((0, 3), (1, 0)), kernel=(5, 1)),
    "column_of_7": Case((2, 20, 15, 9), 18, "same", kernel=(7, 1)),
    "column_dilated_in_groups": Case((1, 34, 20, 13), 38, (4, 0), (3, 2), 2, kernel=(5, 1)),
    "line_dilated": Case((1, 12, 5, 40), 20, "same", (2, 3), kernel=(1, 7)),
    "line_in_parts_of_channels": Case((1, 1100, 30, 10), 17, 1, kernel=(1, 3)),
    "twos": Case((2, 33, 17, 31), 41, 0, kernel=(2, 2)),
    "twos_dilated_in_groups": Case((1, 34, 20, 13), 38, (4, 3), (3, 2), 2, kernel=(2, 2)),
    "fours": Case((2, 33, 17, 31), 41, "same", kernel=(4, 4)),
    "fours_padding_alone": Case((1, 2, 1, 2), 3, 4, kernel=(4, 4)),
    "fours_in_parts_of_channels": Case((1, 1100, 9, 10), 17, 2, kernel=(4, 4)),
}
STRIDED = {
    "first_of_resnet": Case((2, 3, 37, 58), 20, 3, kernel=(7, 7), stride=(2, 2)),
    "first_of_alexnet": Case((1, 3, 63, 47), 18, 2, kernel=(11, 11), stride=(4, 4)),
    "first_of_dqn": Case((2, 4, 44, 44), 32, 0, kernel=(8, 8), stride=(4, 4)),
    "one_channel": Case((1, 1, 40, 31), 9, 1, kernel=(4, 4), stride=(2, 2)),
    "halved": Case((2, 40, 21, 30), 24, 1, kernel=(4, 4), stride=(2, 2)),
    "threes_halved": Case((1, 20, 19, 18), 17, 1, kernel=(3, 3), stride=(2, 2)),
    "fives_halved_in_groups": Case((1, 26, 17, 24), 18, ((0, 2), (3, 1)), 1, 2, kernel=(5, 5), stride=(2, 2)),
    "two_strides": Case((1, 12, 25, 24), 10, 2, kernel=(6, 4), stride=(3, 2)),
    "stride_past_the_kernel": Case((1, 12, 5, 40), 10, (0, 2), kernel=(1, 5), stride=(3, 1)),
    "dilated_one_way": Case((1, 12, 25, 40), 10, 2, (3, 1), kernel=(2, 4), stride=(1, 2)),
    "line_halved": Case((2, 20, 3, 61), 18, (0, 4), kernel=(1, 10), stride=(1, 2)),
    "column_of_thirds": Case((1, 7, 70, 4), 12, (1, 0), kernel=(8, 1), stride=(3, 2)),
    "padding_alone_halved": Case((1, 2, 1, 1), 3, 5, kernel=(5, 5), stride=(2, 2)),
    "halved_in_parts_of_channels": Case((1, 611, 9, 10), 17, 1, kernel=(4, 4), stride=(2, 2)),
}
EVERY = CASES | STRIDED


def problem(case: Case, n: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = generator(repr(case))
    images = rng.standard_normal((n or case.shape[0], *case.shape[1:]))
    return images, rng.standard_normal(case.weight_shape), rng.standard_normal(case.outputs)


def plan_of(x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None, **options: Any) -> fastconv.Conv2dPlan:
    return fastconv.plan_conv2d(x.shape, w, b, algorithm="winograd", **options)


def planned_gradient(case: Case, layout: str, dtype: Any) -> Any:
    x, w = (np.empty(shape) for shape in (case.shape, case.weight_shape))
    shapes = swap_axes(x, layout).shape, swap_weights(w, layout).shape
    conv = _arguments.conv(2, *shapes, case.stride, case.padding, case.dilation, case.groups, layout)
    return _arguments.plan_conv(conv, _core.BACKWARD_INPUT, np.dtype(dtype), algorithm="winograd")


@pytest.mark.parametrize("case", EVERY.values(), ids=EVERY)
def test_forward(case: Case) -> None:
    """And every image comes out with the same bits alone, among others, by a plan, and on any number of threads."""
    images, weight, bias = problem(case, case.shape[0] + 1)
    for dtype in DTYPES:
        rounded = images.astype(dtype), weight.astype(dtype), bias.astype(dtype)
        expected = reference.conv2d(*rounded, **case.options, activation="relu")
        magnitude = reference.conv2d(*map(np.abs, rounded), **case.options)
        for layout, isa in product(LAYOUTS, ISAS):
            label = (isa, dtype.__name__, layout)
            x, w = swap_axes(rounded[0], layout), swap_weights(rounded[1], layout)
            want = swap_axes(expected, layout)
            options = {**case.options, "layout": layout, "activation": "relu"}
            with running(isa):
                plan = plan_of(x, w, rounded[2], **options)
                assert plan.algorithm == "winograd", label
                assert isa in plan.explain().split(), label
                out = Guarded(want.shape, dtype)
                assert plan(x, out=out.array) is out.array, label
                out.check(*label)
                assert_close_overall(out.array, want, swap_axes(magnitude, layout), *label)
                got = functional.conv2d(x, w, rounded[2], **options, algorithm="winograd")
                assert_same_bits(got, out.array, "functional", *label)
                assert_same_bits(plan(x[-1]), out.array[-1], "an image alone", *label)
                for threads in (2, 3):
                    with running_threads(threads):
                        assert_same_bits(plan(x), out.array, f"{threads} threads", *label)


@pytest.mark.parametrize("case", EVERY.values(), ids=EVERY)
def test_gradient_of_the_input(case: Case) -> None:
    """With a stride as so many convolutions, unless one of them had no tap."""
    if any(kernel < stride for kernel, stride in zip(case.kernel, case.stride, strict=True)):
        with pytest.raises(ValueError, match="algorithm: expected one that serves"):
            planned_gradient(case, "NCHW", np.float32)
        return
    images, weight, _ = problem(case)
    gradient = generator("gradient").standard_normal(reference.conv2d(images, weight, **case.options).shape)
    for dtype in DTYPES:
        w, g = weight.astype(dtype), gradient.astype(dtype)
        expected, magnitude = (
            reference.conv2d_input(images.shape, f(w), f(g), **case.options) for f in (np.asarray, np.abs)
        )
        for layout, isa in product(LAYOUTS, ISAS):
            x, lw = swap_axes(images, layout), swap_weights(w, layout)
            with running(isa):
                plan = planned_gradient(case, layout, dtype)
                out = Guarded(x.shape, dtype)
                assert plan.once(swap_axes(g, layout), lw, None, out.array) is out.array
                out.check(isa, dtype, layout)
                want, size = swap_axes(expected, layout), swap_axes(magnitude, layout)
                assert_close_overall(out.array, want, size, isa, dtype.__name__, layout)


def test_planes_of_a_volume() -> None:
    rng = generator("volume")
    images, weight = rng.standard_normal((2, 5, 3, 9, 10)), rng.standard_normal((17, 5, 1, 3, 3))
    expected, magnitude = (
        np.stack([reference.conv2d(f(images[:, :, i]), f(weight[:, :, 0]), padding=1) for i in range(3)], 2)
        for f in (np.asarray, np.abs)
    )
    for isa in ISAS:
        with running(isa):
            got = functional.conv3d(images, weight, padding=(0, 1, 1), algorithm="winograd")
            x, w = (np.moveaxis(a, source, -1).copy() for a, source in ((images, 1), (np.moveaxis(weight, 1, -1), 0)))
            last = functional.conv3d(x, w, padding=(0, 1, 1), layout="NHWC", algorithm="winograd")
        assert_close_overall(got, expected, magnitude, isa)
        assert_close_overall(np.moveaxis(last, -1, 1), expected, magnitude, "NHWC", isa)


def test_every_form_is_used() -> None:
    forms = set()
    for case in EVERY.values():
        for isa in ISAS:
            with running(isa):
                images, weight, _ = problem(case)
                forms.add((plan_of(images, weight, **case.options).chosen["tile"], case.taps))
    squares = {((2, 2), (3, 3)), ((4, 4), (3, 3)), ((2, 2), (5, 5)), ((5, 5), (2, 2)), ((3, 3), (4, 4))}
    lines = {((1, 6), (1, 3)), ((1, 4), (1, 5)), ((1, 2), (1, 7))}
    assert forms == squares | lines | {(tile[::-1], kernel[::-1]) for tile, kernel in lines}


@pytest.mark.parametrize("activation", reference.ACTIVATIONS)
def test_activations(activation: str) -> None:
    images, weight, bias = problem(CASES["tails"])
    weight /= 20
    for layout, dtype, isa in product(LAYOUTS, DTYPES, ISAS):
        x, w, b = (a.astype(dtype) for a in (images, weight, bias))
        options = {**CASES["tails"].options, "activation": activation}
        expected = swap_axes(reference.conv2d(x, w, b, **options), layout)
        with running(isa):
            got = functional.conv2d(
                swap_axes(x, layout), swap_weights(w, layout), b, **options, layout=layout, algorithm="winograd"
            )
        np.testing.assert_allclose(got, expected, rtol=100 * np.finfo(dtype).eps, atol=100 * np.finfo(dtype).eps)


@pytest.mark.parametrize(
    "name",
    [
        "tails",
        "map_of_7",
        "dilated",
        "groups",
        "fives",
        "fives_dilated_in_groups",
        "line_of_7",
        "column_dilated_in_groups",
        "fours",
        "first_of_alexnet",
        "halved",
        "fives_halved_in_groups",
        "line_halved",
    ],
)
def test_what_is_not_finite_stays_where_it_belongs(name: str) -> None:
    case = EVERY[name]
    images, weight, bias = (a.astype(np.float32) for a in problem(case))
    n, c, h, w = case.shape
    images[0, 0, 0, 0], images[0, 1, h // 2, w // 2], images[n - 1, c - 1, h - 1, 1] = np.nan, np.inf, -np.inf
    infinite = weight.copy()
    infinite[1, 0, case.kernel[0] // 2, case.kernel[1] - 1] = np.inf
    infinite[case.outputs - 1, 1, 0, 0] = np.nan
    # more products a result, and larger ones, beside those of 3 x 3 and of lines
    bound = 3e-4 if name in STRIDED else 2e-4 if case.kernel in {(4, 4), (5, 5)} else 1e-4
    for given, layout, isa in product((weight, infinite), LAYOUTS, ISAS):
        x, lw = swap_axes(images, layout), swap_weights(given, layout)
        with running(isa):
            direct, got = (
                functional.conv2d(x, lw, bias, **case.options, layout=layout, algorithm=algorithm)
                for algorithm in ("direct", "winograd")
            )
            same = np.where(np.isfinite(direct), 0, direct)
            assert_exact(np.where(np.isfinite(got), 0, got), same, isa, layout)
            finite = np.isfinite(direct)
            assert np.abs(got[finite] - direct[finite]).max() < bound
            with running_threads(3):
                again = functional.conv2d(x, lw, bias, **case.options, layout=layout, algorithm="winograd")
            assert_same_bits(again, got, "3 threads", isa, layout)


@pytest.mark.parametrize("name", ["several_blocks", "map_of_7", "fives", "line_of_5", "column_of_7", "halved"])
def test_an_offset_of_a_thousand(name: str) -> None:
    case = EVERY[name]
    images, weight, _ = problem(case)
    for dtype, layout, isa in product(DTYPES, LAYOUTS, ISAS):
        x, w = (images + 1000).astype(dtype), weight.astype(dtype)
        expected, magnitude = (reference.conv2d(f(x), f(w), **case.options) for f in (np.asarray, np.abs))
        with running(isa):
            got = functional.conv2d(
                swap_axes(x, layout), swap_weights(w, layout), **case.options, layout=layout, algorithm="winograd"
            )
        error = np.linalg.norm(got - swap_axes(expected, layout))
        assert error <= 4 * np.finfo(dtype).eps * np.linalg.norm(magnitude), (isa, layout, dtype)


def test_highest_precision_adds_products_as_they_are() -> None:
    rng = generator("precision")
    x, w = (whole_numbers(rng, *shape).astype(np.float32) for shape in ((1, 64, 40, 40), (64, 64, 3, 3)))
    expected = reference.conv2d(x, w, padding=1)
    assert fastconv.plan_conv2d(x.shape, w, padding=1).algorithm == "winograd"
    assert (functional.conv2d(x, w, padding=1) != expected).any()
    with precision("highest"):
        assert fastconv.plan_conv2d(x.shape, w, padding=1).algorithm == "direct"
        assert plan_of(x, w, padding=1).algorithm == "winograd"
        assert_exact(functional.conv2d(x, w, padding=1), expected)
        to_input = reference.conv2d_input(x.shape, w, expected, padding=1)
        assert_exact(grad.conv2d_input(x.shape, w, expected.astype(np.float32), padding=1), to_input)
    assert (functional.conv2d(x, w, padding=1) != expected).any()


@pytest.mark.parametrize(
    ("kernel", "options"),
    [
        ((3, 3), {"stride": 3}),
        ((3, 3), {"stride": (1, 2)}),
        ((3, 3), {"stride": 2, "dilation": 2}),
        ((7, 7), {}),
        ((5, 3), {}),
        ((1, 1), {}),
        ((3, 2), {}),
        ((1, 9), {}),
        ((2, 1), {}),
    ],
)
def test_what_it_cannot_serve(kernel: tuple[int, int], options: dict[str, Any]) -> None:
    x, w = np.ones((1, 4, 9, 9), np.float32), np.ones((8, 4, *kernel), np.float32)
    message = r"algorithm: expected one that serves this convolution \('auto', 'direct', 'im2col'\), got 'winograd'"
    with pytest.raises(ValueError, match=message):
        functional.conv2d(x, w, **options, algorithm="winograd")
    with pytest.raises(ValueError, match=message):
        fastconv.plan_conv2d(x.shape, w, **options, algorithm="winograd")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_blocks_fit_the_second_level_cache(layout: str) -> None:
    """Three quarters of it, whatever the channels and extents."""
    shapes = [(c, k, size) for c in (16, 64, 200, 512, 2048) for k in (16, 64, 512) for size in (7, 28, 112)]
    kernels = [((3, 3), 1), ((5, 5), 1), ((1, 7), 1), ((5, 1), 1), ((4, 4), 2), ((7, 7), 2), ((11, 11), 4)]
    for (c, k, size), (kernel, stride), isa, dilation in product(shapes, kernels, ISAS, (1, 6)):
        if stride > 1 and dilation > 1:
            continue
        images, weights = (1, c, size, size), (k, c, *kernel)
        if layout == "NHWC":
            images, weights = (1, size, size, c), (*kernel, c, k)
        conv = _arguments.conv(2, images, weights, stride, "same", dilation, 1, layout)
        with running(isa):
            plan = _arguments.plan_conv(conv, _core.FORWARD, np.dtype(np.float32), algorithm="winograd")
        assert plan.workspace(8, 1) <= _core.l2_bytes() * 3 // 4, (c, k, size, kernel, isa)
        assert plan.workspace(8, 3) == 3 * plan.workspace(8, 1)


def test_patches_that_do_not_fit_the_cache_are_planned() -> None:
    """Of a far dilation, a patch and its turned rows take more than there is: one tile at a time, then."""
    weight = np.zeros((9, 100, 5, 5), np.float32)
    for distance in range(1, 3 * _core.l2_bytes() // 4096):
        options: dict[str, Any] = {"padding": (2, 2 * distance), "dilation": (1, distance)}
        plan = plan_of(np.empty((1, 100, 1, 3), np.float32), weight, **options)
        assert plan.chosen["tile"] == (2, 2), distance
