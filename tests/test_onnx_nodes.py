"""ONNX's own tests of single nodes, through a small adapter from its attributes to ours. Run with ``pytest -m peers``.

Every case of the operators in ADAPTERS runs, but those that EXCLUDED names with the reason.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest

from fastconv import functional

F = functional
pytestmark = pytest.mark.peers

EXCLUDED = {
    "test_maxpool_2d_uint8": "integers, which functional refuses",
    "test_col2im_5d": "three spatial axes, which torch's fold has not",
    "test_hardsigmoid": "another slope than torch's sixth",
    "test_hardsigmoid_default": "another slope than torch's sixth",
    "test_hardsigmoid_example": "another slope than torch's sixth",
    "test_celu_float16": "float16, which functional refuses",
    "test_celu_bfloat16": "bfloat16, which NumPy has not",
}

Attributes = dict[str, Any]


def edges_of(a: Attributes, size: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[Any, tuple[int, ...], Any]:
    """Padding by sides, strides and dilations from a node's attributes."""
    axes = len(size)
    strides, dilations = a.get("strides", [1] * axes), a.get("dilations", [1] * axes)
    pads, auto = a.get("pads", [0] * 2 * axes), a.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        return {"SAME_UPPER": "same", "SAME_LOWER": "same_lower"}[auto], tuple(strides), tuple(dilations)
    return tuple(zip(pads[:axes], pads[axes:], strict=True)), tuple(strides), tuple(dilations)


def conv(a: Attributes, x: Any, w: Any, b: Any = None) -> Any:
    padding, strides, dilations = edges_of(a, x.shape[2:], w.shape[2:])
    return getattr(F, f"conv{x.ndim - 2}d")(x, w, b, strides, padding, dilations, a.get("group", 1))


def conv_transpose(a: Attributes, x: Any, w: Any, b: Any = None) -> Any:
    axes, (padding, strides, dilations) = x.ndim - 2, edges_of(a, x.shape[2:], w.shape[2:])
    more = list(a.get("output_padding", [0] * axes))
    if "output_shape" in a and padding not in ("same", "same_lower"):
        sides = []
        for i, size in enumerate(a["output_shape"][-axes:]):
            reach = (w.shape[2 + i] - 1) * dilations[i] + 1
            total = strides[i] * (x.shape[2 + i] - 1) + more[i] + reach - size
            more[i] += max(-total, 0)
            sides.append((max(total, 0) - max(total, 0) // 2, max(total, 0) // 2))
        padding = tuple(sides)
    return getattr(F, f"conv_transpose{axes}d")(x, w, b, strides, padding, tuple(more), a.get("group", 1), dilations)


def max_pool(a: Attributes, x: Any) -> Any:
    padding, strides, dilations = edges_of(a, x.shape[2:], tuple(a["kernel_shape"]))
    pool = getattr(F, f"max_pool{x.ndim - 2}d")
    values, where = pool(
        x, tuple(a["kernel_shape"]), strides, padding, dilations, bool(a.get("ceil_mode", 0)), return_indices=True
    )
    if a.get("storage_order", 0):
        h, w = x.shape[-2:]
        where = where // w + where % w * h
    plane = math.prod(x.shape[2:])
    offsets = np.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], *[1] * (x.ndim - 2)) * plane
    return values, where + offsets


def sums(a: Attributes, x: Any, counted: Any) -> Any:
    """Sums of windows and what `counted` of their positions adds up to, by a convolution with ones."""
    axes, c = x.ndim - 2, x.shape[1]
    kernel = tuple(a["kernel_shape"])
    padding, strides, dilations = edges_of(a, x.shape[2:], kernel)
    if isinstance(padding, str):
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
        totals = [max((-(-i // s) - 1) * s + r - i, 0) for i, s, r in zip(x.shape[2:], strides, reach, strict=True)]
        order = slice(None) if padding == "same" else slice(None, None, -1)
        padding = tuple((t // 2, t - t // 2)[order] for t in totals)
    if a.get("ceil_mode", 0):  # as far as a last window hangs over, unless it starts in the padding
        every = zip(x.shape[2:], kernel, strides, dilations, padding, strict=True)
        padding = tuple(hanging(*values) for values in every)
    weight = np.ones((c, 1, *kernel), x.dtype)
    function = getattr(F, f"conv{axes}d")
    total = function(x, weight, None, strides, padding, dilations, c)
    if counted is None:
        return total, None
    asked = edges_of(a, x.shape[2:], kernel)[0]
    sides = padding if isinstance(asked, str) else asked
    ones = np.ones_like(x)
    flat = [side for pair in reversed(sides) for side in pair]
    ones = F.pad(ones, flat, value=1.0 if counted else 0.0)
    rest = tuple((0, all_[1] - some[1]) for all_, some in zip(padding, sides, strict=True))
    return total, function(ones, weight, None, strides, rest, dilations, c)


def hanging(size: int, kernel: int, stride: int, dilation: int, sides: tuple[int, int]) -> tuple[int, int]:
    reach, padded = (kernel - 1) * dilation + 1, size + sum(sides)
    count = -(-(padded - reach) // stride) + 1
    if (count - 1) * stride >= size + sides[0]:
        count -= 1
    return sides[0], max(sides[1], (count - 1) * stride + reach - size - sides[0])


def average_pool(a: Attributes, x: Any) -> Any:
    counted = bool(a.get("count_include_pad", 0))
    if any(d != 1 for d in a.get("dilations", [1])):  # which torch's averages have not
        total, count = sums(a, x, counted)
        return total / count
    padding, strides, _ = edges_of(a, x.shape[2:], tuple(a["kernel_shape"]))
    pool = getattr(F, f"avg_pool{x.ndim - 2}d")
    return pool(x, tuple(a["kernel_shape"]), strides, padding, bool(a.get("ceil_mode", 0)), counted)


def lp_pool(a: Attributes, x: Any) -> Any:
    power = a.get("p", 2)
    plain = not any(a.get("pads", [0])) and a.get("auto_pad", "NOTSET") == "NOTSET"
    if plain and all(d == 1 for d in a.get("dilations", [1])):
        pool = getattr(F, f"lp_pool{x.ndim - 2}d")
        return pool(np.abs(x), power, tuple(a["kernel_shape"]), tuple(a.get("strides", [1] * (x.ndim - 2))))
    return sums(a, np.abs(x) ** power, None)[0] ** (1 / power)


def max_unpool(a: Attributes, x: Any, indices: Any, output_shape: Any = None) -> Any:
    axes, kernel = x.ndim - 2, tuple(a["kernel_shape"])
    strides = tuple(a.get("strides", [1] * axes))
    usual = tuple((i - 1) * s + k for i, s, k in zip(x.shape[2:], strides, kernel, strict=True))
    result = getattr(F, f"max_unpool{axes}d")(x, indices % math.prod(usual), kernel, strides)
    if output_shape is None:
        return result
    more = [int(wanted) - extent for wanted, extent in zip(output_shape[2:], usual, strict=True)]
    return F.pad(result, [side for extra in reversed(more) for side in (0, extra)])


def over_all(name: str) -> Any:
    return lambda a, x: getattr(F, f"adaptive_{name}_pool{x.ndim - 2}d")(x, 1)


def gemm(a: Attributes, left: Any, right: Any, bias: Any = None) -> Any:
    left = left.T if a.get("transA", 0) else left
    right = right if a.get("transB", 0) else right.T
    product = F.linear(left, right) * np.float32(a.get("alpha", 1.0))
    return product if bias is None else product + np.float32(a.get("beta", 1.0)) * bias


def batch_norm(a: Attributes, x: Any, scale: Any, bias: Any, mean: Any, variance: Any) -> Any:
    eps = a.get("epsilon", 1e-5)
    if not a.get("training_mode", 0):
        return F.batch_norm(x, mean, variance, scale, bias, eps=eps)
    kept, count = a.get("momentum", 0.9), x.size // x.shape[1]
    means, variances = mean.copy(), variance.copy()
    result = F.batch_norm(x, means, variances, scale, bias, True, 1 - kept, eps)
    old = np.float32(kept) * variance  # torch averages unbiased variances, ONNX those of the batch itself
    return result, means, old + (variances - old) * np.float32((count - 1) / count)


def local_response(a: Attributes, x: Any) -> Any:
    return F.local_response_norm(x, a["size"], a.get("alpha", 1e-4), a.get("beta", 0.75), a.get("bias", 1.0))


def softmax(name: str) -> Any:
    return lambda a, x: getattr(F, name)(x, a.get("axis", -1))


def col2im(a: Attributes, x: Any, image_shape: Any, block_shape: Any) -> Any:
    pads = a.get("pads", [0, 0, 0, 0])
    padding = ((pads[0], pads[2]), (pads[1], pads[3]))
    size, block = (tuple(int(extent) for extent in shape) for shape in (image_shape, block_shape))
    options = tuple(a.get("dilations", [1, 1])), padding, tuple(a.get("strides", [1, 1]))
    return F.fold(x, size, block, *options)


ADAPTERS: dict[str, Any] = {
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "LpPool": lp_pool,
    "MaxUnpool": max_unpool,
    "GlobalAveragePool": over_all("avg"),
    "GlobalMaxPool": over_all("max"),
    "BatchNormalization": batch_norm,
    "LRN": local_response,
    "Gemm": gemm,
    "Col2Im": col2im,
    "Relu": lambda a, x: F.relu(x),
    "LeakyRelu": lambda a, x: F.leaky_relu(x, a.get("alpha", 0.01)),
    "Elu": lambda a, x: F.elu(x, a.get("alpha", 1.0)),
    "Celu": lambda a, x: np.float32(a["alpha"]) * F.elu(x / np.float32(a["alpha"])),
    "Selu": lambda a, x: F.selu(x) if not a else selu(a, x),
    "Sigmoid": lambda a, x: F.sigmoid(x),
    "Tanh": lambda a, x: F.tanh(x),
    "HardSigmoid": lambda a, x: F.hardsigmoid(x),
    "HardSwish": lambda a, x: F.hardswish(x),
    "Softplus": lambda a, x: F.softplus(x),
    "Gelu": lambda a, x: F.gelu(x, a.get("approximate", "none")),
    "Swish": lambda a, x: F.silu(x * np.float32(a.get("alpha", 1.0))) / np.float32(a.get("alpha", 1.0)),
    "Softmax": softmax("softmax"),
    "LogSoftmax": softmax("log_softmax"),
}


def selu(a: Attributes, x: Any) -> Any:
    """A scale of one's own, through elu's."""
    return np.float32(a.get("gamma", 1.05070102)) * F.elu(x, a.get("alpha", 1.67326319))


@pytest.fixture(scope="module")
def cases() -> dict[str, Any]:
    """Only when these tests are asked for: they fail, and are not skipped, where onnx is missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests

        every = load_model_tests(kind="node")
    alone = {case.name: case for case in every if case.model is not None and len(case.model.graph.node) == 1}
    return {name: case for name, case in alone.items() if case.model.graph.node[0].op_type in ADAPTERS}


@pytest.mark.parametrize("operator", ADAPTERS)
def test_nodes(operator: str, cases: dict[str, Any]) -> None:
    from onnx import helper

    ran = 0
    for name, case in cases.items():
        node = case.model.graph.node[0]
        if node.op_type != operator or name in EXCLUDED:
            continue
        attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        attributes = {key: value.decode() if isinstance(value, bytes) else value for key, value in attributes.items()}
        for inputs, outputs in case.data_sets:
            arrays = [np.array(array) for array in inputs]
            got = ADAPTERS[operator](attributes, *arrays)
            results = got if isinstance(got, tuple) else (got,)
            for result, expected in zip(results, outputs, strict=False):
                assert result.shape == np.shape(expected), f"{name}: {result.shape}, not {np.shape(expected)}"
                np.testing.assert_allclose(result, expected, rtol=max(case.rtol, 1e-5), atol=1e-5, err_msg=name)
            ran += 1
    assert ran or all(name in EXCLUDED for name, case in cases.items() if case.model.graph.node[0].op_type == operator)


def test_what_is_excluded_is_there(cases: dict[str, Any]) -> None:
    assert set(EXCLUDED) <= set(cases)
