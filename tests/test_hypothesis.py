"""Shapes that nobody thought of, found by hypothesis, against the reference: exact on whole numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cases import DTYPES, LAYOUTS, swap_axes, swap_weights, whole_numbers
from compare import ISAS, Guarded, assert_exact, running
from fastconv import functional, grad, reference

searching = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

extents = st.integers(1, 12) | st.integers(1, 40)
kernels = st.integers(1, 4) | st.integers(1, 9)
steps = st.integers(1, 3) | st.integers(1, 7)
margins = st.integers(0, 3) | st.integers(0, 9)
paddings = (
    st.sampled_from(["valid", "same", "same_lower"])
    | margins
    | st.tuples(margins, margins)
    | st.tuples(st.tuples(margins, margins), st.tuples(margins, margins))
)
machines = st.tuples(st.sampled_from(ISAS), st.sampled_from(DTYPES), st.sampled_from(LAYOUTS))


@st.composite
def convolutions(draw: Any) -> tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]:
    """Shapes of images and weight, and the other arguments, of a convolution that has an output."""
    groups = draw(st.sampled_from([1, 1, 1, 2, 3, 8]))
    shape = (draw(st.integers(0, 3)), groups * draw(st.integers(1, 20)), draw(extents), draw(extents))
    weight = (groups * draw(st.integers(1, 20)), shape[1] // groups, draw(kernels), draw(kernels))
    if draw(st.booleans()) and groups > 1:
        shape, weight = (shape[0], groups, *shape[2:]), (weight[0], 1, *weight[2:])  # depthwise
    options = {
        "stride": draw(steps | st.tuples(steps, steps)),
        "padding": draw(paddings),
        "dilation": draw(steps | st.tuples(steps, steps)),
    }
    assume(min(reference.output_size(shape[2:], weight[2:], **options)) > 0)
    return shape, weight, {**options, "groups": groups}


@searching
@given(convolutions(), machines, st.sampled_from(["auto", "direct", "im2col"]), st.integers(0, 2**32 - 1))
def test_convolution(problem: Any, machine: Any, algorithm: str, seed: int) -> None:
    (shape, weight_shape, options), (isa, dtype, layout) = problem, machine
    rng = np.random.default_rng(seed)
    images, weight = whole_numbers(rng, *shape), whole_numbers(rng, *weight_shape)
    bias = whole_numbers(rng, weight_shape[0])
    expected = swap_axes(reference.conv2d(images, weight, bias, **options), layout)
    x, w = swap_axes(images, layout).astype(dtype), swap_weights(weight, layout).astype(dtype)
    out = Guarded(expected.shape, dtype)
    with running(isa):
        functional.conv2d(x, w, bias.astype(dtype), **options, layout=layout, algorithm=algorithm, out=out.array)
    out.check()
    if algorithm == "auto":  # which may choose one that rounds
        np.testing.assert_allclose(out.array, expected, rtol=1e-4, atol=1e-2)
    else:
        assert_exact(out.array, expected)


@searching
@given(convolutions(), machines, st.integers(0, 2**32 - 1))
def test_gradients_of_convolution(problem: Any, machine: Any, seed: int) -> None:
    (shape, weight_shape, options), (isa, dtype, layout) = problem, machine
    rng = np.random.default_rng(seed)
    images, weight = whole_numbers(rng, *shape), whole_numbers(rng, *weight_shape)
    out_shape = reference.conv2d(images[:0], weight, **options).shape
    gradient = whole_numbers(rng, shape[0], *out_shape[1:])
    to_input = reference.conv2d_input(shape, weight, gradient, **options)
    to_weight = reference.conv2d_weight(images, weight_shape, gradient, **options)
    x, g = swap_axes(images, layout).astype(dtype), swap_axes(gradient, layout).astype(dtype)
    w = swap_weights(weight, layout).astype(dtype)
    outs = Guarded(x.shape, dtype), Guarded(w.shape, dtype)
    with running(isa):
        grad.conv2d_input(x.shape, w, g, **options, layout=layout, out=outs[0].array)
        grad.conv2d_weight(x, w.shape, g, **options, layout=layout, out=outs[1].array)
    for out, expected in zip(outs, (swap_axes(to_input, layout), swap_weights(to_weight, layout)), strict=True):
        out.check()
        assert_exact(out.array, expected)


@st.composite
def pools(draw: Any) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Shape of images and the arguments of a pooling, whose every window holds a pixel."""
    shape = (draw(st.integers(0, 3)), draw(st.integers(1, 40)), draw(extents), draw(extents))
    kernel = draw(st.tuples(kernels, kernels))
    dilation = draw(st.just(1) | st.tuples(st.integers(1, 3), st.integers(1, 3)))
    half = [(k - 1) // 2 for k in kernel]
    symmetric = st.tuples(st.integers(0, half[0]), st.integers(0, half[1]))
    each = st.tuples(*(st.tuples(st.integers(0, h), st.integers(0, h)) for h in half))
    options = {
        "kernel_size": kernel,
        "stride": draw(st.none() | steps | st.tuples(steps, steps)),
        "padding": draw(st.sampled_from(["valid", "same", "same_lower"]) | symmetric | each),
        "dilation": dilation,
        "ceil_mode": draw(st.booleans()),
    }
    sizing = dict(options, kernel=kernel, stride=kernel if options["stride"] is None else options["stride"])
    del sizing["kernel_size"]
    assume(min(reference.output_size(shape[2:], **sizing)) > 0)
    assume(min(reference.output_size(shape[2:], **{**sizing, "dilation": 1})) > 0)
    return shape, options


@searching
@given(pools(), machines, st.booleans(), st.integers(0, 2**32 - 1))
def test_pools(problem: Any, machine: Any, count_include_pad: bool, seed: int) -> None:
    (shape, options), (isa, dtype, layout) = problem, machine
    rng = np.random.default_rng(seed)
    images = whole_numbers(rng, *shape)
    x = swap_axes(images, layout).astype(dtype)
    values, where = reference.max_pool2d(images, **options, return_indices=True)
    gradient = whole_numbers(rng, *values.shape)
    back = reference.max_pool2d_backward(images, gradient, **options)
    outs = Guarded(swap_axes(values, layout).shape, dtype), Guarded(x.shape, dtype)
    with running(isa):
        _, indices = functional.max_pool2d(x, **options, return_indices=True, layout=layout, out=outs[0].array)
        grad.max_pool2d(x, swap_axes(gradient, layout).astype(dtype), **options, layout=layout, out=outs[1].array)
    assert_exact(outs[0].array, swap_axes(values, layout))
    assert_exact(indices, swap_axes(where, layout))
    assert_exact(outs[1].array, swap_axes(back, layout))
    options.pop("dilation")
    options["count_include_pad"] = count_include_pad
    with np.errstate(invalid="ignore"):
        means = reference.avg_pool2d(images, **options)
    gradient = whole_numbers(rng, *means.shape)
    back = reference.avg_pool2d_backward(shape, gradient, **options)
    averages = Guarded(swap_axes(means, layout).shape, dtype), Guarded(x.shape, dtype)
    with running(isa):
        functional.avg_pool2d(x, **options, layout=layout, out=averages[0].array)
        g = swap_axes(gradient, layout).astype(dtype)
        grad.avg_pool2d(x.shape, g, **options, layout=layout, out=averages[1].array)
    np.testing.assert_allclose(averages[0].array, swap_axes(means, layout), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(averages[1].array, swap_axes(back, layout), rtol=1e-5, atol=1e-4)
    for out in (*outs, *averages):
        out.check()


@searching
@given(
    st.tuples(st.integers(0, 3), st.integers(1, 40), extents, extents),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    machines,
    st.integers(0, 2**32 - 1),
)
def test_adaptive_pools(shape: Any, output_size: Any, machine: Any, seed: int) -> None:
    isa, dtype, layout = machine
    images = whole_numbers(np.random.default_rng(seed), *shape)
    x = swap_axes(images, layout).astype(dtype)
    values, where = reference.adaptive_max_pool2d(images, output_size, return_indices=True)
    means = reference.adaptive_avg_pool2d(images, output_size)
    outs = Guarded(swap_axes(values, layout).shape, dtype), Guarded(swap_axes(values, layout).shape, dtype)
    with running(isa):
        _, indices = functional.adaptive_max_pool2d(x, output_size, True, layout=layout, out=outs[0].array)
        functional.adaptive_avg_pool2d(x, output_size, layout=layout, out=outs[1].array)
    assert_exact(outs[0].array, swap_axes(values, layout))
    assert_exact(indices, swap_axes(where, layout))
    np.testing.assert_allclose(outs[1].array, swap_axes(means, layout), rtol=1e-5, atol=1e-5)
    for out in outs:
        out.check()


@searching
@given(
    st.lists(st.integers(0, 5), max_size=3),
    st.integers(1, 80),
    st.integers(1, 80),
    machines,
    st.integers(0, 2**32 - 1),
)
def test_linear(leading: list[int], inputs: int, outputs: int, machine: Any, seed: int) -> None:
    isa, dtype, _ = machine
    rng = np.random.default_rng(seed)
    x, w = whole_numbers(rng, *leading, inputs), whole_numbers(rng, outputs, inputs)
    out = Guarded((*leading, outputs), dtype)
    with running(isa):
        functional.linear(x.astype(dtype), w.astype(dtype), out=out.array)
    out.check()
    assert_exact(out.array, reference.linear(x, w))
