"""Every operator over one, two and three axes, and its gradients, against the reference: both dtypes, both layouts."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from cases import DTYPES, LAYOUTS, generator
from compare import Guarded
from fastconv import functional, grad, reference
from surface import CALLS, FROM_INPUT, Call, columns_to, images_to, weights_to

TOLERANCE = {np.float32: {"rtol": 1e-4, "atol": 1e-4}, np.float64: {"rtol": 1e-10, "atol": 1e-10}}


def operators() -> dict[str, list[Call]]:
    table: dict[str, list[Call]] = {}
    for call in CALLS.values():
        table.setdefault(call.operator, []).append(call)
    return table


def close(got: np.ndarray, expected: np.ndarray, dtype: Any, *label: Any) -> None:
    assert got.dtype == dtype
    np.testing.assert_allclose(got, expected, **TOLERANCE[dtype], err_msg=str(label))


def laid_out(call: Call, array: np.ndarray, layout: str) -> np.ndarray:
    """A result, channels first, in a layout."""
    if call.operator == "unfold":
        return columns_to(array, layout, call.shape[-3])
    return images_to(array, layout, call.axes)


@pytest.mark.parametrize("operator", operators())
def test_operators_and_their_gradients(operator: str) -> None:
    for call, dtype in product(operators()[operator], DTYPES):
        x, w, b = call.arrays(np.float64)
        arrays = (x,) if w is None else (x, w, b)
        expected = getattr(reference, operator)(*arrays, **call.options)
        g = generator("gradient").standard_normal(expected.shape)
        gradients = expected_gradients(call, x, w, g)
        for layout in LAYOUTS:
            image = images_to(x, layout, call.axes).astype(dtype)
            gradient = laid_out(call, g, layout).astype(dtype)
            label = (call.name, dtype, layout)
            wanted = laid_out(call, expected, layout)
            out = Guarded(wanted.shape, dtype)
            given = (image,) if w is None else (image, weights_to(w, layout).astype(dtype), b.astype(dtype))
            got = getattr(functional, operator)(*given, **call.options, layout=layout, out=out.array)
            assert got is out.array
            out.check(*label)
            close(got, wanted, dtype, *label)
            close(getattr(functional, operator)(*given, **call.options, layout=layout), wanted, dtype, *label)
            compare_gradients(call, given, gradient, gradients, layout, dtype)


def expected_gradients(call: Call, x: np.ndarray, w: np.ndarray | None, g: np.ndarray) -> list[np.ndarray]:
    """With respect to the input, and to the weight if there is one."""
    name, options = call.operator, call.options
    if w is not None:
        to_input = getattr(reference, f"{name}_input")(x.shape, w, g, **options)
        return [to_input, getattr(reference, f"{name}_weight")(x, w.shape, g, **options)]
    if name == "unfold":
        return [reference.fold(g, x.shape[-2:], **options)]
    backward, options = getattr(reference, f"{name}_backward"), dict(options)
    options.pop("output_size", None), options.pop("value", None)
    return [backward(x if name.startswith(FROM_INPUT) else x.shape, g, **options)]


def compare_gradients(
    call: Call, given: Any, gradient: np.ndarray, expected: list[np.ndarray], layout: str, dtype: Any
) -> None:
    name, options = call.operator, {**call.options, "layout": layout}
    x, out, label = given[0], Guarded(given[0].shape, dtype), (call.name, dtype, layout, "gradient")
    if len(given) > 1:
        w = given[1]
        getattr(grad, f"{name}_input")(x.shape, w, gradient, **options, out=out.array)
        to_weight = getattr(grad, f"{name}_weight")(x, w.shape, gradient, **options)
        close(to_weight, weights_to(expected[1], layout), dtype, *label, "weight")
    else:
        options.pop("output_size", None), options.pop("value", None)
        first = x if name.startswith(FROM_INPUT) else x.shape
        getattr(grad, name)(first, gradient, **options, out=out.array)
    out.check(*label)
    close(out.array, images_to(expected[0], layout, call.axes), dtype, *label)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_words_and_sides_of_padding_of_transposed_convolutions(axes: int, layout: str) -> None:
    rng = generator("transposed")
    x, w = rng.standard_normal((2, 3, *(3, 4, 2)[:axes])), rng.standard_normal((3, 2, *(3, 2, 4)[:axes]))
    forward, back = getattr(functional, f"conv_transpose{axes}d"), getattr(reference, f"conv_transpose{axes}d")
    sides = tuple(((1, 0), (0, 1), (1, 2))[:axes])
    for stride, padding in product((1, 2, 3), ("same", "same_lower", "valid", sides)):
        expected = back(x, w, None, stride, padding, activation="tanh")
        if padding == "same":
            assert expected.shape[2:] == tuple(extent * stride for extent in x.shape[2:])
        image, weight = images_to(x, layout, axes), weights_to(w, layout)
        got = forward(image, weight, None, stride, padding, activation="tanh", layout=layout)
        close(got, images_to(expected, layout, axes), np.float64, stride, padding)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_fold_and_unpooling_undo(axes: int, layout: str) -> None:
    rng = generator("unpool")
    x = rng.standard_normal((2, 3, *(6, 8, 4)[:axes]))
    pool, unpool = getattr(functional, f"max_pool{axes}d"), getattr(functional, f"max_unpool{axes}d")
    values, where = pool(images_to(x, layout, axes), 2, return_indices=True, layout=layout)
    back = unpool(values, where, 2, layout=layout)
    first = np.moveaxis(values, -1, 1), np.moveaxis(where, -1, 1)
    plain = (values, where) if layout == "NCHW" else first
    expected = getattr(reference, f"max_unpool{axes}d")(*plain, 2)
    np.testing.assert_array_equal(back, images_to(expected, layout, axes))
    assert (pool(np.where(back == 0, -np.inf, back), 2, layout=layout) == values).all()
    g = rng.standard_normal(back.shape)
    gathered = getattr(grad, f"max_unpool{axes}d")(g, where, layout=layout)
    assert gathered.shape == where.shape
    np.testing.assert_allclose((gathered * values).sum(), (g * back).sum())
    if axes == 2:
        columns = functional.unfold(images_to(x, layout, 2), (2, 3), stride=(2, 1), layout=layout)
        theirs = reference.fold(columns, x.shape[2:], (2, 3), stride=(2, 1), layout=layout)
        ours = functional.fold(columns, x.shape[2:], (2, 3), stride=(2, 1), layout=layout)
        np.testing.assert_allclose(ours, theirs)
        again = grad.fold(ours, (2, 3), stride=(2, 1), layout=layout)
        np.testing.assert_allclose(again, reference.unfold(theirs, (2, 3), stride=(2, 1), layout=layout))


def test_means_of_zeros_and_negative_values() -> None:
    x = np.array([[[4.0, 9.0, 0.0, 5.0, -0.0, 3.0, -1.0, 2.0, np.nan, 1.0]]])
    for name, first in (("geometric", 6.0), ("harmonic", 72 / 13)):
        means = getattr(functional, f"{name}_avg_pool2d")(x, (1, 2))
        np.testing.assert_allclose(means, [[[first, 0.0, 0.0, np.nan, np.nan]]])
        gradient = getattr(grad, f"{name}_avg_pool2d")(x, np.ones((1, 1, 5)), (1, 2))[0, 0]
        assert (gradient[2:6] == 0).all()
        assert np.isnan(gradient[6:]).all()
        assert np.isfinite(gradient[:2]).all()
        np.testing.assert_allclose(gradient[:2] @ x[0, 0, :2], first)  # means grow as their values do
