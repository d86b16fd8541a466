"""Operators over one to three axes on shapes that nobody thought of, found by hypothesis, against the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cases import DTYPES, LAYOUTS, whole_numbers
from compare import ISAS, Guarded, assert_exact, running
from fastconv import functional, grad, reference
from surface import columns_to, images_to, weights_to

searching = settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
machines = st.tuples(st.sampled_from(ISAS), st.sampled_from(DTYPES), st.sampled_from(LAYOUTS))
seeds = st.integers(0, 2**32 - 1)


def per_axis(axes: int, values: Any) -> Any:
    return st.tuples(*[values] * axes)


@st.composite
def windows(draw: Any) -> tuple[int, tuple[int, ...], dict[str, Any]]:
    """Axes, spatial extents, and a kernel, stride, padding and dilation over them."""
    axes = draw(st.integers(1, 3))
    largest = {1: 40, 2: 12, 3: 6}[axes]
    size = draw(per_axis(axes, st.integers(1, largest)))
    return axes, size, {
        "kernel": draw(per_axis(axes, st.integers(1, 4))),
        "stride": draw(per_axis(axes, st.integers(1, 4))),
        "padding": draw(
            st.sampled_from(["valid", "same", "same_lower"])
            | per_axis(axes, st.integers(0, 3))
            | per_axis(axes, st.tuples(st.integers(0, 3), st.integers(0, 3)))
        ),
        "dilation": draw(per_axis(axes, st.integers(1, 3))),
    }  # fmt: skip


@searching
@given(windows(), st.integers(0, 2), st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), machines, seeds)
def test_convolutions(problem: Any, n: int, groups: int, ic: int, oc: int, machine: Any, seed: int) -> None:
    (axes, size, options), (isa, dtype, layout) = problem, machine
    kernel = options.pop("kernel")
    assume(min(reference.output_size(size, kernel, **options)) > 0)
    rng = np.random.default_rng(seed)
    x, w = whole_numbers(rng, n, groups * ic, *size), whole_numbers(rng, groups * oc, ic, *kernel)
    options["groups"] = groups
    expected = getattr(reference, f"conv{axes}d")(x, w, **options)
    g = whole_numbers(rng, *expected.shape)
    to_input = getattr(reference, f"conv{axes}d_input")(x.shape, w, g, **options)
    to_weight = getattr(reference, f"conv{axes}d_weight")(x, w.shape, g, **options)
    image, weight = images_to(x, layout, axes).astype(dtype), weights_to(w, layout).astype(dtype)
    gradient = images_to(g, layout, axes).astype(dtype)
    out = Guarded(gradient.shape, dtype)
    with running(isa):
        forward = getattr(functional, f"conv{axes}d")
        forward(image, weight, None, **options, layout=layout, algorithm="direct", out=out.array)
        back = getattr(grad, f"conv{axes}d_input")(image.shape, weight, gradient, **options, layout=layout)
        to = getattr(grad, f"conv{axes}d_weight")(image, weight.shape, gradient, **options, layout=layout)
    out.check()
    assert_exact(out.array, images_to(expected, layout, axes))
    np.testing.assert_allclose(back, images_to(to_input, layout, axes), rtol=1e-4, atol=1e-2)
    assert_exact(to, weights_to(to_weight, layout))


@searching
@given(windows(), st.data(), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), machines, seeds)
def test_transposed_convolutions(
    problem: Any, data: Any, groups: int, ic: int, oc: int, machine: Any, seed: int
) -> None:
    (axes, size, options), (isa, dtype, layout) = problem, machine
    kernel, rng = options.pop("kernel"), np.random.default_rng(seed)
    options["groups"] = groups
    if not isinstance(options["padding"], str):
        most = [max(s, d) - 1 for s, d in zip(options["stride"], options["dilation"], strict=True)]
        options["output_padding"] = tuple(data.draw(st.integers(0, m)) for m in most)
    x, w = whole_numbers(rng, 2, groups * ic, *size), whole_numbers(rng, groups * ic, oc, *kernel)
    image, weight = images_to(x, layout, axes).astype(dtype), weights_to(w, layout).astype(dtype)
    forward, bias = getattr(functional, f"conv_transpose{axes}d"), whole_numbers(rng, groups * oc)
    try:
        with running(isa):
            got = forward(image, weight, bias.astype(dtype), **options, layout=layout, activation="relu")
    except ValueError as error:
        assert str(error).startswith("padding: expected less than what is there"), error  # noqa: PT017
        return
    expected = getattr(reference, f"conv_transpose{axes}d")(x, w, bias, **options, activation="relu")
    np.testing.assert_allclose(got, images_to(expected, layout, axes), rtol=1e-4, atol=1e-2)
    g = whole_numbers(rng, *expected.shape)
    gradient = images_to(g, layout, axes).astype(dtype)
    with running(isa):
        back = getattr(grad, f"conv_transpose{axes}d_input")(image.shape, weight, gradient, **options, layout=layout)
        to = getattr(grad, f"conv_transpose{axes}d_weight")(image, weight.shape, gradient, **options, layout=layout)
    to_input = getattr(reference, f"conv_transpose{axes}d_input")(x.shape, w, g, **options)
    np.testing.assert_allclose(back, images_to(to_input, layout, axes), rtol=1e-4, atol=1e-2)
    assert_exact(to, weights_to(getattr(reference, f"conv_transpose{axes}d_weight")(x, w.shape, g, **options), layout))


@searching
@given(windows(), st.booleans(), st.booleans(), machines, seeds)
def test_pools(problem: Any, ceil_mode: bool, counted: bool, machine: Any, seed: int) -> None:
    (axes, size, options), (isa, dtype, layout) = problem, machine
    kernel, rng = options.pop("kernel"), np.random.default_rng(seed)
    dilation = options.pop("dilation")
    if not isinstance(options["padding"], str):
        options["padding"] = tuple((k - 1) // 2 for k in kernel)
    sizing = {**options, "ceil_mode": ceil_mode}
    assume(min(reference.output_size(size, kernel, **sizing)) > 0)
    assume(min(reference.output_size(size, kernel, **sizing, dilation=dilation)) > 0)
    x = whole_numbers(rng, 2, 3, *size)
    image = images_to(x, layout, axes).astype(dtype)
    options = {"kernel_size": kernel, **sizing}
    values, where = getattr(reference, f"max_pool{axes}d")(x, **options, dilation=dilation, return_indices=True)
    with np.errstate(invalid="ignore"):
        means = getattr(reference, f"avg_pool{axes}d")(x, **options, count_include_pad=counted)
    g = whole_numbers(rng, *values.shape)
    back = getattr(reference, f"max_pool{axes}d_backward")(x, g, **options, dilation=dilation)
    with running(isa):
        pool, average = getattr(functional, f"max_pool{axes}d"), getattr(functional, f"avg_pool{axes}d")
        got, indices = pool(image, **options, dilation=dilation, return_indices=True, layout=layout)
        averages = average(image, **options, count_include_pad=counted, layout=layout)
        gradient = images_to(g, layout, axes).astype(dtype)
        spread = getattr(grad, f"max_pool{axes}d")(image, gradient, **options, dilation=dilation, layout=layout)
    assert_exact(got, images_to(values, layout, axes))
    assert_exact(indices, images_to(where, layout, axes))
    assert_exact(spread, images_to(back, layout, axes))
    np.testing.assert_allclose(averages, images_to(means, layout, axes), rtol=1e-5, atol=1e-5)


@searching
@given(windows(), machines, seeds)
def test_columns(problem: Any, machine: Any, seed: int) -> None:
    (axes, size, options), (_, dtype, layout) = problem, machine
    assume(axes == 2)
    kernel, rng = options.pop("kernel"), np.random.default_rng(seed)
    assume(min(reference.output_size(size, kernel, **options)) > 0)
    x = whole_numbers(rng, 2, 3, *size)
    expected = reference.unfold(x, kernel, **options)
    got = functional.unfold(images_to(x, layout, 2).astype(dtype), kernel, **options, layout=layout)
    assert_exact(got, columns_to(expected, layout, 3))
    folded = functional.fold(got, size, kernel, **options, layout=layout)
    assert_exact(folded, images_to(reference.fold(expected, size, kernel, **options), layout, 2))


@searching
@given(st.data(), machines, seeds)
def test_paddings(data: Any, machine: Any, seed: int) -> None:
    _, dtype, layout = machine
    axes = data.draw(st.integers(1, 3))
    size = data.draw(per_axis(axes, st.integers(1, 7)))
    mode = data.draw(st.sampled_from(["constant", "reflect", "replicate", "circular"]))
    widths = data.draw(st.lists(st.integers(-2, 6), min_size=2 * axes, max_size=2 * axes))
    x = whole_numbers(np.random.default_rng(seed), 2, 3, *size)
    image = images_to(x, layout, axes).astype(dtype)
    try:
        got = functional.pad(image, widths, mode, layout=layout)
    except ValueError as error:
        assert str(error).startswith("pad: expected "), error  # noqa: PT017
        return
    assert_exact(got, images_to(reference.pad(x, widths, mode), layout, axes))
    g = whole_numbers(np.random.default_rng(seed), *reference.pad(x, widths, mode).shape)
    back = grad.pad(image.shape, images_to(g, layout, axes).astype(dtype), widths, mode, layout=layout)
    assert_exact(back, images_to(reference.pad_backward(x.shape, g, widths, mode), layout, axes))


@searching
@given(windows(), st.data(), machines, seeds)
def test_adaptive_pools(problem: Any, data: Any, machine: Any, seed: int) -> None:
    (axes, size, _), (isa, dtype, layout) = problem, machine
    wanted = data.draw(per_axis(axes, st.integers(1, 6)))
    x = whole_numbers(np.random.default_rng(seed), 2, 3, *size)
    values, where = getattr(reference, f"adaptive_max_pool{axes}d")(x, wanted, return_indices=True)
    means = getattr(reference, f"adaptive_avg_pool{axes}d")(x, wanted)
    image = images_to(x, layout, axes).astype(dtype)
    with running(isa):
        got, indices = getattr(functional, f"adaptive_max_pool{axes}d")(image, wanted, True, layout=layout)
        averages = getattr(functional, f"adaptive_avg_pool{axes}d")(image, wanted, layout=layout)
        back = getattr(grad, f"adaptive_avg_pool{axes}d")(image.shape, averages, layout=layout)
    assert_exact(got, images_to(values, layout, axes))
    assert_exact(indices, images_to(where, layout, axes))
    np.testing.assert_allclose(averages, images_to(means, layout, axes), rtol=1e-5, atol=1e-5)
    expected = getattr(reference, f"adaptive_avg_pool{axes}d_backward")(x.shape, means)
    np.testing.assert_allclose(back, images_to(expected, layout, axes), rtol=1e-4, atol=1e-4)


@searching
@given(windows(), st.booleans(), st.sampled_from([1, 2, 3]), machines, seeds)
def test_norms_and_other_means(problem: Any, ceil_mode: bool, power: int, machine: Any, seed: int) -> None:
    (axes, size, options), (isa, dtype, layout) = problem, machine
    kernel, stride = options["kernel"], options["stride"]
    assume(min(reference.output_size(size, kernel, stride, ceil_mode=ceil_mode)) > 0)
    x = np.abs(whole_numbers(np.random.default_rng(seed), 2, 3, *size))
    image = images_to(x, layout, axes).astype(dtype)
    expected = getattr(reference, f"lp_pool{axes}d")(x, power, kernel, stride, ceil_mode)
    slopes = getattr(reference, f"lp_pool{axes}d_backward")(x, expected, power, kernel, stride, ceil_mode)
    with running(isa):
        got = getattr(functional, f"lp_pool{axes}d")(image, power, kernel, stride, ceil_mode, layout=layout)
        back = getattr(grad, f"lp_pool{axes}d")(image, got, power, kernel, stride, ceil_mode, layout=layout)
    np.testing.assert_allclose(got, images_to(expected, layout, axes), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(back, images_to(slopes, layout, axes), rtol=1e-3, atol=1e-3)
    for kind in ("geometric", "harmonic") if axes == 2 else ():
        wanted = getattr(reference, f"{kind}_avg_pool2d")(x, kernel, stride, 0, ceil_mode)
        means = getattr(functional, f"{kind}_avg_pool2d")(image, kernel, stride, 0, ceil_mode, layout=layout)
        np.testing.assert_allclose(means, images_to(wanted, layout, 2), rtol=1e-6, atol=1e-30)


@searching
@given(windows(), st.data(), machines, seeds)
def test_interpolation(problem: Any, data: Any, machine: Any, seed: int) -> None:
    (axes, size, _), (isa, _, layout) = problem, machine
    modes = {1: "linear", 2: "bilinear", 3: "trilinear"}
    mode = data.draw(st.sampled_from(["nearest", "nearest-exact", "area", modes[axes], *["bicubic"] * (axes == 2)]))
    corners = data.draw(st.booleans()) if "linear" in mode or mode == "bicubic" else None
    options = data.draw(
        st.fixed_dictionaries({"size": per_axis(axes, st.integers(1, 14))})
        | st.fixed_dictionaries({"scale_factor": per_axis(axes, st.sampled_from([1.0, 1.3, 2.0, 2.1, 3.0]))})
    )
    x = whole_numbers(np.random.default_rng(seed), 2, 3, *size)
    image = images_to(x, layout, axes)
    expected = reference.interpolate(x, **options, mode=mode, align_corners=corners)
    with running(isa):
        got = functional.interpolate(image, **options, mode=mode, align_corners=corners, layout=layout)
        back = grad.interpolate(image.shape, got, **options, mode=mode, align_corners=corners, layout=layout)
    np.testing.assert_allclose(got, images_to(expected, layout, axes), rtol=1e-9, atol=1e-9)
    slopes = reference.interpolate_backward(x.shape, expected, **options, mode=mode, align_corners=corners)
    np.testing.assert_allclose(back, images_to(slopes, layout, axes), rtol=1e-9, atol=1e-9)


@searching
@given(windows(), machines, seeds)
def test_unpooling(problem: Any, machine: Any, seed: int) -> None:
    (axes, size, options), (_, dtype, layout) = problem, machine
    kernel = options["kernel"]
    assume(min(reference.output_size(size, kernel, kernel)) > 0)
    x = images_to(whole_numbers(np.random.default_rng(seed), 2, 3, *size), layout, axes).astype(dtype)
    values, where = getattr(functional, f"max_pool{axes}d")(x, kernel, return_indices=True, layout=layout)
    got = getattr(functional, f"max_unpool{axes}d")(values, where, kernel, output_size=size, layout=layout)
    expected = getattr(reference, f"max_unpool{axes}d")(values, where, kernel, output_size=size, layout=layout)
    assert_exact(got, expected)
