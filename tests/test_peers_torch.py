"""The reference and the operators against PyTorch's, on a grid of arguments. Run with ``pytest -m peers``."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

from cases import ADAPTIVE_CASES, CONV_CASES, POOL_CASES, ConvCase, PoolCase, generator
from cases import swap_axes as to_layout
from fastconv import functional, grad, reference

torch: Any
F: Any

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning"),
]

TOLERANCE = {np.float32: {"rtol": 2e-5, "atol": 2e-5}, np.float64: {"rtol": 1e-11, "atol": 1e-11}}


@pytest.fixture(autouse=True, scope="module")
def _import_torch() -> None:
    """Only when these tests are asked for: they fail, and are not skipped, where torch is missing."""
    global torch, F
    import torch

    F = torch.nn.functional
    torch.set_num_threads(1)


def torch_padding(case: ConvCase | PoolCase, kernel: tuple[int, int], dilation: Any) -> tuple[Any, list[int]]:
    """What torch's operator pads itself, and what has to be padded before, as ``pad`` wants it."""
    stride = kernel if case.stride is None else case.stride
    (top, bottom), (left, right) = reference.padding_edges(case.padding, case.shape[2:], kernel, stride, dilation)
    if (top, left) == (bottom, right):
        return (top, left), [0, 0, 0, 0]
    return 0, [left, right, top, bottom]


def agree(got: np.ndarray, theirs: Any, dtype: Any, *label: Any) -> None:
    expected = theirs.detach().numpy()
    scale = max(np.abs(expected).max(initial=0), 1.0)
    np.testing.assert_allclose(got / scale, expected / scale, **TOLERANCE[dtype], err_msg=str(label))


@pytest.mark.parametrize("case", CONV_CASES.values(), ids=CONV_CASES)
def test_convolution_and_its_gradients(case: ConvCase) -> None:
    rng = generator(case.name)
    for dtype in (np.float32, np.float64):
        x = rng.standard_normal(case.shape).astype(dtype)
        w = rng.standard_normal(case.weight_shape).astype(dtype)
        b = rng.standard_normal(case.kernel[0]).astype(dtype)
        g = rng.standard_normal(case.output_shape).astype(dtype)
        tx, tw, tb = (torch.from_numpy(array.copy()).requires_grad_() for array in (x, w, b))
        padding, before = torch_padding(case, case.kernel[1:], case.dilation)
        theirs = F.conv2d(F.pad(tx, before), tw, tb, case.stride, padding, case.dilation, case.groups)
        agree(reference.conv2d(x, w, b, **case.arguments), theirs, dtype, "reference")
        agree(functional.conv2d(x, w, b, **case.arguments), theirs, dtype)
        if not case.shape[0]:
            continue
        theirs.backward(torch.from_numpy(g))
        for module in (reference, grad):
            agree(module.conv2d_input(x.shape, w, g, **case.arguments), tx.grad, dtype, module, "input")
            agree(module.conv2d_weight(x, w.shape, g, **case.arguments), tw.grad, dtype, module, "weight")
            agree(module.conv2d_bias(g), tb.grad, dtype, module, "bias")


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 5)])
@pytest.mark.parametrize("stride", [1, 2, (3, 1)])
@pytest.mark.parametrize("dilation", [1, (2, 3)])
def test_grid_of_convolutions(kernel: tuple[int, int], stride: Any, dilation: Any) -> None:
    """And what torch's own layer makes of the padding modes."""
    rng = generator("grid")
    for padding, groups, mode in product((0, 1, (2, 3)), (1, 2, 6), ("zeros", "reflect", "replicate", "circular")):
        x, w = rng.standard_normal((2, 6, 15, 17)), rng.standard_normal((12, 6 // groups, *kernel))
        layer = torch.nn.Conv2d(
            6, 12, kernel, stride, padding, dilation, groups, bias=False, padding_mode=mode, dtype=torch.float64
        )
        layer.weight.data = torch.from_numpy(w)
        theirs = layer(torch.from_numpy(x))
        options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "padding_mode": mode}
        agree(reference.conv2d(x, w, **options), theirs, np.float64, options)
        for algorithm in ("auto", "direct", "im2col"):
            agree(functional.conv2d(x, w, **options, algorithm=algorithm), theirs, np.float64, options, algorithm)
        if stride == 1 and mode == "zeros":
            same = F.conv2d(torch.from_numpy(x), layer.weight, None, 1, "same", dilation, groups)
            agree(functional.conv2d(x, w, None, 1, "same", dilation, groups), same, np.float64, options, "same")


@pytest.mark.parametrize("case", POOL_CASES.values(), ids=POOL_CASES)
def test_pools_and_their_gradients(case: PoolCase) -> None:
    rng = generator(case.name)
    kernel = tuple(int(k) for k in np.broadcast_to(case.kernel_size, 2))
    for dtype in (np.float32, np.float64):
        x = rng.standard_normal(case.shape).astype(dtype)
        padding, before = torch_padding(case, kernel, case.dilation)
        if any(before) and case.ceil_mode:
            continue  # torch pads on both sides alike, and where it may not, ceil_mode counts from elsewhere
        tx = torch.from_numpy(x.copy()).requires_grad_()
        options = (kernel, case.stride, padding, case.dilation, case.ceil_mode)
        theirs, where = F.max_pool2d(F.pad(tx, before, value=-np.inf), *options, return_indices=True)
        got, indices = functional.max_pool2d(x, **case.max_arguments, return_indices=True)
        expected, expected_indices = reference.max_pool2d(x, **case.max_arguments, return_indices=True)
        agree(expected, theirs, dtype, "reference")
        agree(got, theirs, dtype)
        if not any(before):  # or torch counts places in the padded plane
            np.testing.assert_array_equal(expected_indices, where.numpy())
            np.testing.assert_array_equal(indices, where.numpy())
        g = rng.standard_normal(got.shape).astype(dtype)
        theirs.backward(torch.from_numpy(g))
        agree(reference.max_pool2d_backward(x, g, **case.max_arguments), tx.grad, dtype, "reference")
        agree(grad.max_pool2d(x, g, **case.max_arguments), tx.grad, dtype)
        for counted, divisor in ((True, None), (False, None), (True, 5)):
            padding, before = torch_padding(case, kernel, 1)
            if any(before) and not counted:
                continue
            tx = torch.from_numpy(x.copy()).requires_grad_()
            theirs = F.avg_pool2d(F.pad(tx, before), kernel, case.stride, padding, case.ceil_mode, counted, divisor)
            counting = {"count_include_pad": counted, "divisor_override": divisor, **case.average_arguments}
            agree(reference.avg_pool2d(x, **counting), theirs, dtype, counting, "reference")
            agree(functional.avg_pool2d(x, **counting), theirs, dtype, counting)
            g = rng.standard_normal(theirs.shape).astype(dtype)
            theirs.backward(torch.from_numpy(g))
            agree(reference.avg_pool2d_backward(x.shape, g, **counting), tx.grad, dtype, counting, "reference")
            agree(grad.avg_pool2d(x.shape, g, **counting), tx.grad, dtype, counting)


@pytest.mark.parametrize("name", ADAPTIVE_CASES)
def test_adaptive_pools_and_their_gradients(name: str) -> None:
    shape, output_size = ADAPTIVE_CASES[name]
    rng = generator(name)
    for dtype in (np.float32, np.float64):
        x = rng.standard_normal(shape).astype(dtype)
        tx = torch.from_numpy(x.copy()).requires_grad_()
        theirs = F.adaptive_avg_pool2d(tx, output_size)
        g = rng.standard_normal(theirs.shape).astype(dtype)
        agree(reference.adaptive_avg_pool2d(x, output_size), theirs, dtype, "reference")
        agree(functional.adaptive_avg_pool2d(x, output_size), theirs, dtype)
        theirs.backward(torch.from_numpy(g))
        agree(reference.adaptive_avg_pool2d_backward(shape, g), tx.grad, dtype, "reference")
        agree(grad.adaptive_avg_pool2d(shape, g), tx.grad, dtype)
        tx = torch.from_numpy(x.copy()).requires_grad_()
        theirs, where = F.adaptive_max_pool2d(tx, output_size, return_indices=True)
        for module in (reference, functional):
            got, indices = module.adaptive_max_pool2d(x, output_size, return_indices=True)
            agree(got, theirs, dtype, module)
            np.testing.assert_array_equal(indices, where.numpy())
        theirs.backward(torch.from_numpy(g))
        agree(reference.adaptive_max_pool2d_backward(x, g), tx.grad, dtype, "reference")
        agree(grad.adaptive_max_pool2d(x, g), tx.grad, dtype)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_nan_and_ties_in_maxima(layout: str) -> None:
    rng = generator("ties")
    x = rng.integers(0, 3, (3, 5, 9, 21)).astype(np.float32)
    x[rng.random(x.shape) < 0.2] = np.nan
    x[rng.random(x.shape) < 0.2] = -np.inf
    theirs, where = F.max_pool2d(torch.from_numpy(x), 3, 2, 1, return_indices=True)
    expected = reference.max_pool2d(x, 3, 2, 1, return_indices=True)
    got = functional.max_pool2d(to_layout(x, layout), 3, 2, 1, return_indices=True, layout=layout)
    for values, indices in (expected, (to_first(got[0], layout), to_first(got[1], layout))):
        np.testing.assert_array_equal(values, theirs.numpy())
        np.testing.assert_array_equal(indices, where.numpy())


def to_first(array: np.ndarray, layout: str) -> np.ndarray:
    return array if layout == "NCHW" else array.transpose(0, 3, 1, 2)


# Ours takes what torch's does, by the same names.
POINTWISE: dict[str, list[dict[str, Any]]] = {
    "relu": [{}],
    "relu6": [{}],
    "leaky_relu": [{}, {"negative_slope": 0.2}, {"negative_slope": 0.0}],
    "elu": [{}, {"alpha": 0.3}],
    "selu": [{}],
    "silu": [{}],
    "gelu": [{}, {"approximate": "none"}, {"approximate": "tanh"}],
    "softplus": [{}, {"beta": 2.0}, {"beta": 0.5, "threshold": 3.0}],
    "hardsigmoid": [{}],
    "hardswish": [{}],
    "tanh": [{}],
    "sigmoid": [{}],
}
FROM_INPUT = {"silu", "gelu", "softplus", "hardswish"}


@pytest.mark.parametrize("name", POINTWISE)
def test_activations_and_their_gradients(name: str) -> None:
    theirs_: Callable[..., Any] = getattr(F, name, None) or getattr(torch, name)
    for dtype, options in product((np.float32, np.float64), POINTWISE[name]):
        rng = generator(name)
        x = np.concatenate([rng.standard_normal(300) * 3, rng.uniform(-30, 30, 100), [0.0, -0.0]]).astype(dtype)
        x = x.reshape(2, 201)
        g = rng.standard_normal(x.shape).astype(dtype)
        tx = torch.from_numpy(x.copy()).requires_grad_()
        theirs = theirs_(tx, **options)
        theirs.backward(torch.from_numpy(g))
        got = getattr(functional, name)(x, **options)
        agree(getattr(reference, name)(x, **options), theirs, dtype, options, "reference")
        agree(got, theirs, dtype, options)
        saved = x if name in FROM_INPUT else got
        coarse = np.float32 if name == "hardsigmoid" else dtype  # torch takes a sixth in float32
        agree(getattr(reference, f"{name}_backward")(g, saved, **options), tx.grad, coarse, options, "reference")
        agree(getattr(grad, name)(g, saved, **options), tx.grad, coarse, options)
        special = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0] * 7, dtype)
        if name != "gelu":  # torch 2.13 makes NaN of gelu(inf)
            expected = theirs_(torch.from_numpy(special), **options).numpy()
            np.testing.assert_allclose(getattr(functional, name)(special, **options), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.filterwarnings("ignore:Implicit dimension choice")
def test_softmax_and_its_gradient(name: str) -> None:
    for dtype, shape in product((np.float32, np.float64), [(), (7,), (3, 10), (2, 5, 17), (2, 3, 4, 5)]):
        rng = generator(name)
        x = np.asarray(rng.standard_normal(shape) * 4, dtype)
        g = np.asarray(rng.standard_normal(shape), dtype)
        for dim in (None, *range(-len(shape), len(shape))):
            tx = torch.from_numpy(x.copy()).requires_grad_()
            theirs = getattr(F, name)(tx, dim)
            theirs.backward(torch.from_numpy(g))
            got = getattr(functional, name)(x, dim)
            agree(np.asarray(getattr(reference, name)(x, dim)), theirs, dtype, shape, dim, "reference")
            agree(got, theirs, dtype, shape, dim)
            agree(np.asarray(getattr(reference, f"{name}_backward")(g, got, dim)), tx.grad, dtype, shape, dim)
            agree(getattr(grad, name)(g, got, dim), tx.grad, dtype, shape, dim)


def test_linear() -> None:
    rng = generator("linear")
    for dtype, leading, bias in product((np.float32, np.float64), ((), (4,), (2, 3), (0,)), (False, True)):
        x, w = rng.standard_normal((*leading, 33)).astype(dtype), rng.standard_normal((17, 33)).astype(dtype)
        b = rng.standard_normal(17).astype(dtype) if bias else None
        theirs = F.linear(*(None if array is None else torch.from_numpy(array) for array in (x, w, b)))
        agree(reference.linear(x, w, b), theirs, dtype, "reference")
        agree(functional.linear(x, w, b), theirs, dtype)


def test_dropout_has_torchs_moments() -> None:
    x = np.ones(200_000, np.float32)
    for p in (0.0, 0.2, 0.7, 1.0):
        ours, theirs = functional.dropout(x, p), F.dropout(torch.from_numpy(x), p).numpy()
        np.testing.assert_array_equal(np.unique(ours), np.unique(theirs))
        assert abs(ours.mean() - theirs.mean()) < 0.03
