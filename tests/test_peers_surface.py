"""Every operator over its argument space, and its gradients, against PyTorch. Run with ``pytest -m peers``."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from cases import DTYPES, LAYOUTS, generator
from fastconv import functional, grad
from surface import CALLS, FROM_INPUT, Call, columns_to, images_to, weights_to

torch: Any
F: Any

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning"),
]

OPERATORS = sorted({call.operator for call in CALLS.values()} - {"geometric_avg_pool2d", "harmonic_avg_pool2d"})
TOLERANCE = {np.float32: {"rtol": 1e-4, "atol": 1e-4}, np.float64: {"rtol": 1e-10, "atol": 1e-10}}


@pytest.fixture(autouse=True, scope="module")
def _import_torch() -> None:
    """Only when these tests are asked for: they fail, and are not skipped, where torch is missing."""
    global torch, F
    import torch

    F = torch.nn.functional
    torch.set_num_threads(1)


def laid_out(call: Call, array: np.ndarray, layout: str) -> np.ndarray:
    if call.operator == "unfold":
        return columns_to(array, layout, call.shape[-3])
    return images_to(array, layout, call.axes)


@pytest.mark.parametrize("operator", OPERATORS)
def test_operators_and_their_gradients(operator: str) -> None:
    for call, dtype in product((call for call in CALLS.values() if call.operator == operator), DTYPES):
        if call.axes == 1 and call.options.get("output_size") == (None,):
            continue  # which torch takes with two and three axes alone
        arrays = [array for array in call.arrays(dtype) if array is not None]
        tensors = [torch.from_numpy(array.copy()).requires_grad_() for array in arrays]
        theirs = getattr(F, operator)(*tensors, **call.options)
        g = generator("gradient").standard_normal(tuple(theirs.shape)).astype(dtype)
        if theirs.numel():
            theirs.backward(torch.from_numpy(g))
        for layout in LAYOUTS:
            given = [
                images_to(arrays[0], layout, call.axes),
                *(weights_to(w, layout) for w in arrays[1:2]),
                *arrays[2:],
            ]
            got = getattr(functional, operator)(*given, **call.options, layout=layout)
            wanted = laid_out(call, theirs.detach().numpy(), layout)
            assert got.dtype == dtype
            np.testing.assert_allclose(got, wanted, **TOLERANCE[dtype], err_msg=f"{call.name} {layout}")
            if theirs.numel():
                compare_gradients(call, given, laid_out(call, g, layout), tensors, layout, dtype)


def compare_gradients(call: Call, given: list[Any], g: np.ndarray, tensors: Any, layout: str, dtype: Any) -> None:
    name, options = call.operator, {**call.options, "layout": layout}
    wanted = images_to(tensors[0].grad.numpy(), layout, call.axes)
    label = f"{call.name} {layout} gradient"
    if len(given) > 1:
        got = getattr(grad, f"{name}_input")(given[0].shape, given[1], g, **options)
        to_weight = getattr(grad, f"{name}_weight")(given[0], given[1].shape, g, **options)
        expected = weights_to(tensors[1].grad.numpy(), layout)
        np.testing.assert_allclose(to_weight, expected, **TOLERANCE[dtype], err_msg=f"{label} weight")
        to_bias = getattr(grad, f"{name}_bias")(g, layout=layout)
        np.testing.assert_allclose(to_bias, tensors[2].grad.numpy(), **TOLERANCE[dtype], err_msg=f"{label} bias")
    else:
        options.pop("output_size", None), options.pop("value", None)
        first = given[0] if name.startswith(FROM_INPUT) else given[0].shape
        got = getattr(grad, name)(first, g, **options)
    np.testing.assert_allclose(got, wanted, **TOLERANCE[dtype], err_msg=label)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_indices_and_unpooling(axes: int) -> None:
    rng = generator("unpool")
    for kernel, stride, padding, unbatched in product((2, 3), (None, 2), (0, 1), (False, True)):
        x = rng.standard_normal((2, 3, *(7, 8, 6)[:axes]))
        x = x[0] if unbatched else x
        theirs, where = getattr(F, f"max_pool{axes}d")(
            torch.from_numpy(x), kernel, stride, padding, return_indices=True
        )
        values, indices = getattr(functional, f"max_pool{axes}d")(x, kernel, stride, padding, return_indices=True)
        np.testing.assert_array_equal(values, theirs.numpy())
        np.testing.assert_array_equal(indices, where.numpy())
        for size in (None, x.shape[-axes:]):
            unpool = getattr(functional, f"max_unpool{axes}d")
            try:
                expected = getattr(F, f"max_unpool{axes}d")(theirs, where, kernel, stride, padding, size)
            except RuntimeError as error:
                assert "invalid max index" in str(error), error  # noqa: PT017
                with pytest.raises(ValueError, match="indices: expected positions"):
                    unpool(values, indices, kernel, stride, padding, size)
                continue
            np.testing.assert_array_equal(unpool(values, indices, kernel, stride, padding, size), expected.numpy())


# What torch refuses is refused, and what it takes is taken, with the extras of the package aside.
REFUSALS: dict[str, Any] = {
    "conv1d: weight of another rank": lambda f, a: f.conv1d(a(2, 3, 8), a(4, 3, 2, 2)),
    "conv2d: input of rank 5": lambda f, a: f.conv2d(a(1, 2, 3, 8, 8), a(4, 3, 2, 2)),
    "conv2d: kernel larger than the input": lambda f, a: f.conv2d(a(1, 3, 2, 2), a(4, 3, 3, 3)),
    "conv2d: channels": lambda f, a: f.conv2d(a(1, 3, 4, 4), a(4, 2, 3, 3)),
    "conv2d: bias": lambda f, a: f.conv2d(a(1, 3, 4, 4), a(4, 3, 3, 3), a(3)),
    "conv3d: stride of two": lambda f, a: f.conv3d(a(1, 3, 4, 4, 4), a(4, 3, 2, 2, 2), stride=(1, 2)),
    "conv3d: negative padding": lambda f, a: f.conv3d(a(1, 3, 4, 4, 4), a(4, 3, 2, 2, 2), padding=-1),
    "conv_transpose2d: output padding": lambda f, a: f.conv_transpose2d(
        a(1, 3, 4, 4), a(3, 2, 2, 2), stride=2, output_padding=2
    ),
    "conv_transpose2d: nothing left": lambda f, a: f.conv_transpose2d(a(1, 3, 1, 1), a(3, 2, 2, 2), padding=1),
    "conv_transpose2d: groups": lambda f, a: f.conv_transpose2d(a(1, 3, 4, 4), a(3, 2, 2, 2), groups=2),
    "conv_transpose1d: stride zero": lambda f, a: f.conv_transpose1d(a(1, 3, 4), a(3, 2, 2), stride=0),
    "max_pool1d: padding": lambda f, a: f.max_pool1d(a(1, 3, 8), 2, padding=2),
    "max_pool3d: rank": lambda f, a: f.max_pool3d(a(3, 8, 8), 2),
    "max_pool2d: empty plane": lambda f, a: f.max_pool2d(a(2, 3, 0, 4), 2),
    "avg_pool3d: divisor": lambda f, a: f.avg_pool3d(a(1, 3, 4, 4, 4), 2, divisor_override=0),
    "avg_pool2d: window zero": lambda f, a: f.avg_pool2d(a(1, 3, 4, 4), 0),
    "lp_pool2d: window larger": lambda f, a: f.lp_pool2d(a(1, 3, 4, 4), 2, 5),
    "adaptive_avg_pool1d: negative": lambda f, a: f.adaptive_avg_pool1d(a(1, 3, 4), -1),
    "unfold: window larger": lambda f, a: f.unfold(a(1, 3, 4, 4), 5),
    "unfold: rank": lambda f, a: f.unfold(a(3, 4), 2),
    "fold: windows": lambda f, a: f.fold(a(1, 12, 8), (4, 4), 2),
    "fold: channels": lambda f, a: f.fold(a(1, 11, 9), (4, 4), 2),
    "pad: odd": lambda f, a: f.pad(a(1, 3, 4), (1, 2, 3)),
    "pad: too many": lambda f, a: f.pad(a(4), (1, 2, 3, 4)),
    "pad: reflected too far": lambda f, a: f.pad(a(1, 3, 4), (4, 0), "reflect"),
    "pad: circular too far": lambda f, a: f.pad(a(1, 3, 4), (5, 0), "circular"),
    "pad: cut too far": lambda f, a: f.pad(a(1, 3, 4), (-5, 0)),
    "pad: unknown mode": lambda f, a: f.pad(a(1, 3, 4), (1, 0), "wrap"),
    "interpolate: nothing": lambda f, a: f.interpolate(a(1, 3, 4)),
    "interpolate: both": lambda f, a: f.interpolate(a(1, 3, 4), 3, 2.0),
    "interpolate: rank": lambda f, a: f.interpolate(a(1, 3, 4), 3, mode="bilinear"),
    "interpolate: corners": lambda f, a: f.interpolate(a(1, 3, 4), 3, mode="nearest", align_corners=True),
    "interpolate: size": lambda f, a: f.interpolate(a(1, 3, 4, 4), (3, 3, 3)),
    "interpolate: zero": lambda f, a: f.interpolate(a(1, 3, 4, 4), 0),
    "max_unpool2d: indices": lambda f, a: f.max_unpool2d(
        a(1, 3, 2, 2), (a(1, 3, 2, 2) + 99).round().long() if hasattr(a(1), "long") else np.full((1, 3, 2, 2), 99), 2
    ),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_what_torch_refuses_is_refused(what: str) -> None:
    # torch has no rule for its own: any of these is a refusal
    with pytest.raises((RuntimeError, ValueError, NotImplementedError, IndexError, TypeError, AssertionError)):
        REFUSALS[what](F, lambda *shape: torch.zeros(*shape))
    with pytest.raises((ValueError, TypeError), match=r"^\w+: expected .*, got "):
        REFUSALS[what](functional, lambda *shape: np.zeros(shape, np.float32))


# Degenerate shapes that torch takes: the same shapes come out.
TAKEN: dict[str, Any] = {
    "conv2d without images": lambda f, a: f.conv2d(a(0, 3, 4, 4), a(2, 3, 3, 3)),
    "conv_transpose3d without images": lambda f, a: f.conv_transpose3d(a(0, 3, 2, 2, 2), a(3, 2, 2, 2, 2)),
    "max_pool2d without images": lambda f, a: f.max_pool2d(a(0, 3, 4, 4), 2),
    "avg_pool1d without images": lambda f, a: f.avg_pool1d(a(0, 3, 4), 2),
    "adaptive_avg_pool2d to nothing": lambda f, a: f.adaptive_avg_pool2d(a(2, 3, 4, 4), (0, 2)),
    "unfold without images": lambda f, a: f.unfold(a(0, 3, 4, 4), 2),
    "pad of nothing": lambda f, a: f.pad(a(0, 3), (1, 2, 3, 4)),
    "pad by nothing": lambda f, a: f.pad(a(2, 3), ()),
    "interpolate without images": lambda f, a: f.interpolate(a(0, 3, 4, 4), 3),
    "linear without rows": lambda f, a: f.linear(a(0, 3), a(2, 3)),
    "one position": lambda f, a: f.conv3d(a(1, 1, 1, 1, 1), a(1, 1, 1, 1, 1)),
    "unbatched pool": lambda f, a: f.lp_pool1d(a(3, 4), 2, 2),
}


@pytest.mark.parametrize("what", TAKEN)
def test_degenerate_shapes_come_out_as_torchs(what: str) -> None:
    theirs = TAKEN[what](F, lambda *shape: torch.ones(*shape))
    ours = TAKEN[what](functional, lambda *shape: np.ones(shape, np.float32))
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-6)
