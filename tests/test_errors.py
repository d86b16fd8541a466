"""Wrong arguments: the type of the error, and a text that names the argument, what was expected and what was got."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastconv
from cases import LAYOUTS
from fastconv import functional, grad, reference

X = np.zeros((2, 4, 6, 7), np.float32)
W = np.zeros((6, 4, 3, 2), np.float32)
B = np.zeros(6, np.float32)
G = np.zeros((2, 6, 4, 6), np.float32)
POOLED = np.zeros((2, 4, 3, 3), np.float32)
FLAT = np.zeros((3, 8), np.float32)

HUGE = (2**31, 2**40, 2**61, 2**62, 2**63 - 1)
BEYOND = (2**63, 2**64, 10**30)
NOT_INTEGERS = (1.5, 1.0, True, "1", None, [1.0, 1], (True, 1), np.float32(2), {1})
NOT_PAIRS = ((), (1,), (1, 2, 3), [1, 2, 3, 4])


def refused(call: Callable[[], Any], argument: str | tuple[str, ...], *parts: str, error: Any = ValueError) -> None:
    """The call raises, its message starts with the argument, and says what was expected and got."""
    starts = tuple(f"{name}: expected " for name in ((argument,) if isinstance(argument, str) else argument))
    with pytest.raises(error) as caught:
        call()
    text = str(caught.value)
    assert text.startswith(starts), text
    assert ", got " in text
    for part in parts:
        assert part in text, text


def fails_clearly(call: Callable[[], Any]) -> None:
    """An honest refusal of what nothing could hold: by value, or for want of memory."""
    with pytest.raises((ValueError, MemoryError)) as caught:
        call()
    text = str(caught.value)
    assert ": expected " in text if caught.type is ValueError else "memory" in text or "allocate" in text, text


# ---------------------------------------------------------------------------------------------------------------------
# Numbers that steer a window

WINDOWED: dict[str, Callable[..., Any]] = {
    "conv2d": lambda **more: functional.conv2d(X, W, **more),
    "conv2d_reflected": lambda **more: functional.conv2d(X, W, padding_mode="reflect", **more),
    "plan_conv2d": lambda **more: fastconv.plan_conv2d(X.shape, W, **more),
    "grad.conv2d_input": lambda **more: grad.conv2d_input(X.shape, W, G, **more),
    "grad.conv2d_weight": lambda **more: grad.conv2d_weight(X, W.shape, G, **more),
    "max_pool2d": lambda **more: functional.max_pool2d(X, 2, **more),
    "avg_pool2d": lambda **more: functional.avg_pool2d(X, 2, **more),
    "grad.max_pool2d": lambda **more: grad.max_pool2d(X, POOLED, 2, **more),
    "grad.avg_pool2d": lambda **more: grad.avg_pool2d(X.shape, POOLED, 2, **more),
}
STEERED = [
    *((name, option) for name in WINDOWED for option in ("stride", "padding")),
    *((name, "dilation") for name in WINDOWED if "avg" not in name),
]


@pytest.mark.parametrize(("name", "option"), STEERED)
def test_strides_paddings_and_dilations(name: str, option: str) -> None:
    call = WINDOWED[name]
    call()  # so that nothing remembered about the right call answers for a wrong one
    least = 0 if option == "padding" else 1
    for value in (least - 1, -7, (1, least - 1), (least - 1, 1)):
        refused(lambda v=value: call(**{option: v}), option, str(value))
    for value in NOT_PAIRS:
        refused(lambda v=value: call(**{option: v}), option, str(value))
    for value in NOT_INTEGERS:
        if value is None and "pool" in name and option == "stride":
            continue  # the window's own
        error = ValueError if option == "padding" and value == "1" else TypeError  # a word, but none of its words
        refused(lambda v=value: call(**{option: v}), option, error=error)
    for value in BEYOND:
        refused(lambda v=value: call(**{option: v}), option, "63 bits")
    for value in (*HUGE, (1, 2**62), (2**62, 1)):
        if option == "stride":
            continue  # one window is left, which is right
        fails_clearly(lambda v=value: call(**{option: v}))


def test_a_huge_stride_leaves_one_window() -> None:
    x, w = np.ones((1, 1, 6, 7), np.float32), np.ones((1, 1, 3, 2), np.float32)
    for stride in HUGE:
        assert functional.conv2d(x, w, stride=stride).tolist() == [[[[6]]]]
        assert functional.conv2d(x, w, stride=stride, padding="same").shape == (1, 1, 1, 1)
        assert functional.max_pool2d(x, 2, stride).tolist() == [[[[1]]]]
        assert functional.avg_pool2d(x, 2, stride).tolist() == [[[[1]]]]
        one = np.ones((1, 1, 1, 1), np.float32)
        assert grad.conv2d_input(x.shape, w, one, stride=stride).sum() == 6
        assert grad.conv2d_weight(x, w.shape, one, stride=stride).sum() == 6
        assert grad.max_pool2d(x, one, 2, stride).sum() == 1
        assert grad.avg_pool2d(x.shape, one, 2, stride).sum() == 1


@pytest.mark.parametrize("name", WINDOWED)
def test_words_and_pairs_of_padding(name: str) -> None:
    call = WINDOWED[name]
    for value in ("full", "SAME", ""):
        refused(lambda v=value: call(padding=v), "padding", "'same'", repr(value))
    for value in (((1, 2), 3), ((1, 2),), ((1, 2), (3, 4), (5, 6)), ((1, 2, 3), (1, 2)), ((1,), (2,))):
        refused(lambda v=value: call(padding=v), "padding")
    for value in (((0, -1), (0, 0)), ((0, 0), (-1, 0))):
        refused(lambda v=value: call(padding=v), "padding", str(value))
    refused(lambda: call(padding=((0, 0.5), (0, 0))), "padding", error=TypeError)


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d", "grad.max_pool2d", "grad.avg_pool2d"])
def test_windows_of_pools(name: str) -> None:
    def call(size: Any, **more: Any) -> Any:
        return {
            "max_pool2d": lambda: functional.max_pool2d(X, size, **more),
            "avg_pool2d": lambda: functional.avg_pool2d(X, size, **more),
            "grad.max_pool2d": lambda: grad.max_pool2d(X, POOLED, size, **more),
            "grad.avg_pool2d": lambda: grad.avg_pool2d(X.shape, POOLED, size, **more),
        }[name]()

    call(2)
    for value in (0, -1, (2, 0), (-3, 2)):
        refused(lambda v=value: call(v), "kernel_size", str(value))
    for value in NOT_PAIRS:
        refused(lambda v=value: call(v), "kernel_size", str(value))
    for value in NOT_INTEGERS:
        refused(lambda v=value: call(v), "kernel_size", error=TypeError)
    for value in (7, (1, 8), *HUGE):
        refused(lambda v=value: call(v), ("input", "input_size"), "padded extents of at least")
    for value in BEYOND:
        refused(lambda v=value: call(v), "kernel_size", "63 bits")
    refused(lambda: call(2, padding=2), "padding", "at most half")
    refused(lambda: call(3, padding=(1, 2)), "padding", "at most half")
    refused(lambda: call(2, ceil_mode="yes"), "ceil_mode", "True or False", error=TypeError)
    refused(lambda: call(2, ceil_mode=1), "ceil_mode", error=TypeError)
    if "avg" in name:
        refused(lambda: call(2, divisor_override=0), "divisor_override", "other than 0")
        refused(lambda: call(2, divisor_override=1.5), "divisor_override", error=TypeError)
        refused(lambda: call(2, count_include_pad="no"), "count_include_pad", error=TypeError)


def test_adaptive_output_sizes() -> None:
    for operator in (functional.adaptive_avg_pool2d, functional.adaptive_max_pool2d):
        operator(X, 1)
        for value in (-1, (1, -2), (), (1,), (1, 2, 3)):
            refused(lambda v=value, f=operator: f(X, v), "output_size", str(value))
        for value in (1.0, True, "1", (1, 2.5)):
            refused(lambda v=value, f=operator: f(X, v), "output_size", error=TypeError)
        for value in (2**40, 2**62, (2**31, 2**31), 2**63, (1, 10**30)):
            fails_clearly(lambda v=value, f=operator: f(X, v))
        assert operator(X, (0, 3)).shape == (2, 4, 0, 3)


# ---------------------------------------------------------------------------------------------------------------------
# Names


@pytest.mark.parametrize("value", ["nchw", "NCWH", "", None, 1])
def test_layouts(value: Any) -> None:
    error = ValueError if isinstance(value, str) else TypeError
    for call in (
        *WINDOWED.values(),
        lambda **more: functional.adaptive_avg_pool2d(X, 1, **more),
        lambda **more: functional.adaptive_max_pool2d(X, 1, **more),
        lambda **more: grad.conv2d_bias(G, **more),
        lambda **more: grad.adaptive_avg_pool2d(X.shape, POOLED, **more),
        lambda **more: grad.adaptive_max_pool2d(X, POOLED, **more),
    ):
        refused(lambda f=call: f(layout=value), "layout", "'NCHW', 'NHWC'", error=error)


def test_names_of_algorithms_activations_and_modes() -> None:
    for value, error in (("fft", ValueError), ("Direct", ValueError), (None, TypeError), (1, TypeError)):
        refused(lambda v=value: functional.conv2d(X, W, algorithm=v), "algorithm", "'direct', 'im2col'", error=error)
        refused(lambda v=value: fastconv.plan_conv2d(X.shape, W, algorithm=v), "algorithm", error=error)
        refused(lambda v=value: functional.conv2d(X, W, padding_mode=v), "padding_mode", "'reflect'", error=error)
    for value, error in (("ReLU", ValueError), ("softmax", ValueError), (1, TypeError), (np.tanh, TypeError)):
        refused(lambda v=value: functional.conv2d(X, W, activation=v), "activation", "'relu'", error=error)
        refused(lambda v=value: functional.linear(FLAT, FLAT, activation=v), "activation", "'relu'", error=error)


def test_an_algorithm_that_cannot_serve() -> None:
    """Winograd's tiles are for two to five taps a side of each phase of a stride."""
    for call in (
        lambda: functional.conv2d(X, W, stride=3, algorithm="winograd"),
        lambda: fastconv.plan_conv2d(X.shape, W, stride=3, algorithm="winograd"),
    ):
        refused(call, "algorithm", "'direct'", "'im2col'", "winograd")


def test_how_far_padding_modes_reach() -> None:
    for padding, mode, most in ((6, "reflect", 5), ((0, 7), "reflect", 6), (7, "circular", 6), ((0, 8), "circular", 7)):
        refused(
            lambda p=padding, m=mode: functional.conv2d(X, W, padding=p, padding_mode=m),
            "padding", f"at most {most}", repr(mode),
        )  # fmt: skip
    assert functional.conv2d(X, W, padding=30, padding_mode="replicate").shape == (2, 6, 64, 66)


# ---------------------------------------------------------------------------------------------------------------------
# Shapes


@pytest.mark.parametrize(
    "shape", [(), (7,), (6, 7), (1, 2, 4, 6, 7), (0, 6, 7), (2, 0, 6, 7), (2, 4, 0, 7), (2, 4, 6, 0)]
)
def test_images_that_are_none(shape: tuple[int, ...]) -> None:
    x = np.zeros(shape, np.float32)
    for layout in LAYOUTS:
        w = W if layout == "NCHW" else W.transpose(2, 3, 1, 0)
        for call in (
            lambda w=w, at=layout: functional.conv2d(x, w, layout=at, padding=1),
            lambda at=layout: functional.max_pool2d(x, 2, layout=at),
            lambda at=layout: functional.avg_pool2d(x, 2, layout=at),
            lambda at=layout: functional.adaptive_avg_pool2d(x, 2, layout=at),
            lambda at=layout: functional.adaptive_max_pool2d(x, 2, layout=at),
            lambda w=w, at=layout: grad.conv2d_weight(x, w.shape, G, layout=at),
            lambda at=layout: grad.max_pool2d(x, POOLED, 2, layout=at),
            lambda at=layout: grad.adaptive_max_pool2d(x, np.ones([1] * x.ndim, np.float32), layout=at),
        ):
            refused(call, "input", str(shape))
    refused(lambda: grad.conv2d_bias(x), "grad_output", str(shape))
    refused(lambda: fastconv.plan_conv2d(shape, W), "input_shape", str(shape))
    for call in (
        lambda: grad.conv2d_input(shape, W, G),
        lambda: grad.avg_pool2d(shape, POOLED, 2),
        lambda: grad.adaptive_avg_pool2d(shape, np.ones([1] * x.ndim, np.float32)),
    ):
        refused(call, "input_size", str(shape))


@pytest.mark.parametrize("size", [(2, 4, -6, 7), (2, 4, 6, 2**63), (2, 4, 6.0, 7), 4, None, "2467"])
def test_sizes_that_are_none(size: Any) -> None:
    wrong_type = not isinstance(size, tuple) or any(isinstance(extent, float) for extent in size)
    error = TypeError if wrong_type else ValueError
    refused(lambda: grad.conv2d_input(size, W, G), "input_size", error=error)
    refused(lambda: grad.avg_pool2d(size, POOLED, 2), "input_size", error=error)
    refused(lambda: grad.adaptive_avg_pool2d(size, POOLED), "input_size", error=error)
    refused(lambda: grad.conv2d_weight(X, size, G), "weight_size", error=error)
    refused(lambda: fastconv.plan_conv2d(size, W), "input_shape", error=error)


@pytest.mark.parametrize(
    "shape", [(), (6,), (6, 4, 3), (6, 4, 3, 2, 1), (0, 4, 3, 2), (6, 0, 3, 2), (6, 4, 0, 2), (6, 4, 3, 0)]
)
def test_weights_that_are_none(shape: tuple[int, ...]) -> None:
    w = np.zeros(shape, np.float32)
    refused(lambda: functional.conv2d(X, w), "weight", str(shape))
    refused(lambda: functional.conv2d(X[0], w), "weight", str(shape))
    refused(lambda: fastconv.plan_conv2d(X.shape, w), "weight", str(shape))
    refused(lambda: grad.conv2d_input(X.shape, w, G), "weight", str(shape))
    refused(lambda: grad.conv2d_weight(X, shape, G), "weight_size", str(shape))


def test_channels_and_groups() -> None:
    refused(lambda: functional.conv2d(X, W[:, :3]), "weight", "4 input channels", "3 in shape")
    refused(lambda: functional.conv2d(X, W, groups=2), "weight", "2 input channels")
    refused(lambda: functional.conv2d(X, W, layout="NHWC"), "weight")
    refused(lambda: grad.conv2d_weight(X, (6, 5, 3, 2), G), "weight_size", "4 input channels")
    refused(lambda: grad.conv2d_input((2, 5, 6, 7), W, G), "weight", "5 input channels")
    for groups in (0, -1):
        refused(lambda g=groups: functional.conv2d(X, W, groups=g), "groups", "a positive int", str(groups))
    for groups in (3, 4, 5, 2**40):
        refused(lambda g=groups: functional.conv2d(X, W[:, :1], groups=g), "groups", "a divisor", str(groups))
    for groups in (1.0, True, "1", None, (1, 1)):
        refused(lambda g=groups: functional.conv2d(X, W, groups=g), "groups", error=TypeError)


def test_biases() -> None:
    for shape in ((), (5,), (7,), (1, 6), (6, 1), (0,)):
        b = np.zeros(shape, np.float32)
        refused(lambda b=b: functional.conv2d(X, W, b), "bias", "shape (6,)", f"shape {shape}")
        refused(lambda b=b: fastconv.plan_conv2d(X.shape, W, b), "bias", "shape (6,)")
    refused(lambda: functional.linear(FLAT, FLAT, np.zeros(2, np.float32)), "bias", "shape (3,)")


def test_kernels_that_reach_past_the_image() -> None:
    for shape in ((6, 4, 7, 2), (6, 4, 1, 8), (6, 4, 100, 100)):
        w = np.zeros(shape, np.float32)
        refused(lambda w=w: functional.conv2d(X, w), "input", "padded extents of at least", "6 x 7")
        refused(lambda w=w: fastconv.plan_conv2d(X.shape, w), "input_shape", "padded extents of at least")
        refused(lambda w=w: grad.conv2d_input(X.shape, w, G), "input_size", "padded extents of at least")
        refused(lambda s=shape: grad.conv2d_weight(X, s, G), "input", "padded extents of at least")
    refused(lambda: functional.conv2d(X, W, dilation=3), "input", "7 x 4", "6 x 7")
    assert functional.conv2d(X, W, dilation=3, padding=((0, 1), (0, 0))).shape == (2, 6, 1, 4)
    for dilation in (2**61, 2**62, 2**63 - 1):
        refused(lambda d=dilation: functional.conv2d(X, W, dilation=d), "input")
        refused(lambda d=dilation: functional.conv2d(X, W, dilation=d, padding=2**62), "input")
        fails_clearly(lambda d=dilation: functional.conv2d(X, W, dilation=d, padding="same"))


def test_more_than_memory_holds() -> None:
    endless = np.broadcast_to(np.float32(0), (1, 4, 2**20, 2**30))
    fails_clearly(lambda: functional.conv2d(endless, W))
    fails_clearly(lambda: functional.max_pool2d(endless, 2))
    fails_clearly(lambda: functional.relu(endless))
    fails_clearly(
        lambda: grad.avg_pool2d((1, 4, 2**25, 2**25), np.broadcast_to(np.float32(0), (1, 4, 2**24, 2**24)), 2)
    )
    fails_clearly(lambda: grad.conv2d_weight(X, (2**24, 4, 2**24, 1), G))
    fails_clearly(lambda: functional.conv2d(X, W, padding=((2**40, 0), (0, 0))))


def test_gradients_of_other_shapes() -> None:
    for shape in ((2, 6, 4, 5), (2, 6, 5, 6), (2, 5, 4, 6), (1, 6, 4, 6), (6, 4, 6), (2, 6, 4, 6, 1), (0, 6, 4, 6)):
        g = np.zeros(shape, np.float32)
        refused(lambda g=g: grad.conv2d_input(X.shape, W, g), "grad_output", str(shape))
        refused(lambda g=g: grad.conv2d_weight(X, W.shape, g), "grad_output", str(shape))
    for shape in ((2, 4, 3, 2), (2, 4, 4, 3), (2, 3, 3, 3), (1, 4, 3, 3), (4, 3, 3), (0, 4, 3, 3)):
        g = np.zeros(shape, np.float32)
        refused(lambda g=g: grad.max_pool2d(X, g, 2), "grad_output", str(shape))
        refused(lambda g=g: grad.avg_pool2d(X.shape, g, 2), "grad_output", str(shape))
    for shape in ((2, 3, 3, 3), (1, 4, 3, 3), (4, 3, 3), (0, 4, 3, 3), (2, 4, 3)):
        g = np.zeros(shape, np.float32)
        refused(lambda g=g: grad.adaptive_avg_pool2d(X.shape, g), "grad_output", str(shape))
        refused(lambda g=g: grad.adaptive_max_pool2d(X, g), "grad_output", str(shape))


@pytest.mark.parametrize("value", [-2, -(2**63), 42, 2**31, 2**63 - 1])
def test_indices_out_of_their_plane(value: int) -> None:
    for place in ((0, 0, 0, 0), (1, 3, 2, 2)):
        indices = np.zeros(POOLED.shape, np.int64)
        indices[place] = value
        out = np.full(X.shape, 7, np.float32)
        refused(lambda i=indices, o=out: grad.max_pool2d(X, POOLED, 2, indices=i, out=o), "indices", str(value))
        assert (out == 7).all(), "checked before anything is written"
        refused(lambda i=indices: grad.adaptive_max_pool2d(X, POOLED, indices=i), "indices", str(value))


def test_indices_of_other_shapes_and_types() -> None:
    for shape in ((2, 4, 3, 2), (1, 4, 3, 3), (4, 3, 3), ()):
        indices = np.zeros(shape, np.int64)
        refused(lambda i=indices: grad.max_pool2d(X, POOLED, 2, indices=i), "indices", str(shape))
        refused(lambda i=indices: grad.adaptive_max_pool2d(X, POOLED, indices=i), "indices", str(shape))
    for dtype in (np.float64, np.int32, np.uint64, bool, object):
        indices = np.zeros(POOLED.shape, dtype)
        refused(lambda i=indices: grad.max_pool2d(X, POOLED, 2, indices=i), "indices", "int64", error=TypeError)
    refused(lambda: grad.max_pool2d(X, POOLED, 2, indices=[0]), "indices", error=TypeError)


def test_matrices() -> None:
    refused(lambda: functional.linear(FLAT, np.zeros((3, 7), np.float32)), "input", "(..., 7)", "(3, 8)")
    refused(lambda: functional.linear(np.ones((), np.float32), FLAT), "input", "shape ()")
    for shape in ((), (3, 8, 1), (0, 8), (3, 0)):
        refused(lambda s=shape: functional.linear(FLAT, np.zeros(s, np.float32)), "weight", str(shape))


# ---------------------------------------------------------------------------------------------------------------------
# Pointwise


def test_axes_of_softmax() -> None:
    for operator in (
        lambda dim: functional.softmax(FLAT, dim),
        lambda dim: functional.log_softmax(FLAT, dim),
        lambda dim: grad.softmax(FLAT, FLAT, dim),
        lambda dim: grad.log_softmax(FLAT, FLAT, dim),
    ):
        operator(0)
        for dim in (2, -3, 2**40, 2**70):
            refused(lambda d=dim, f=operator: f(d), "dim", str(dim))
        for dim in (0.0, "0", (0,), True):
            refused(lambda d=dim, f=operator: f(d), "dim", error=TypeError)


def test_parameters_of_activations() -> None:
    for value in ("1", None, 1j, [1]):
        refused(lambda v=value: functional.leaky_relu(FLAT, v), "negative_slope", error=TypeError)
        refused(lambda v=value: functional.elu(FLAT, v), "alpha", error=TypeError)
        refused(lambda v=value: functional.softplus(FLAT, v), "beta", error=TypeError)
        refused(lambda v=value: functional.softplus(FLAT, 1, v), "threshold", error=TypeError)
        refused(lambda v=value: functional.dropout(FLAT, v), "p", error=TypeError)
    refused(lambda: functional.gelu(FLAT, "exact"), "approximate", "'none', 'tanh'", "'exact'")
    refused(lambda: functional.gelu(FLAT, None), "approximate", error=TypeError)
    for value in (-0.1, 1.1, np.nan, np.inf):
        refused(lambda v=value: functional.dropout(FLAT, v), "p", "0", "1")
    refused(lambda: functional.relu(FLAT, "yes"), "inplace", "True or False", error=TypeError)
    refused(lambda: functional.dropout(FLAT, training=1), "training", error=TypeError)
    locked = FLAT.copy()
    locked.flags.writeable = False
    with pytest.raises(ValueError, match=r"read-only|writ"):
        functional.relu(locked, inplace=True)


@pytest.mark.parametrize(
    "name", [*sorted({*reference.ACTIVATIONS} - {"linear", "exp", "gelu_tanh"}), "softmax", "log_softmax"]
)
def test_gradients_of_activations_of_other_shapes(name: str) -> None:
    operator = getattr(grad, name)
    more = (1,) if "softmax" in name else ()
    for shape in ((3, 7), (8,), (1, 8), (3, 8, 1), ()):
        with pytest.raises(ValueError, match=r"(grad_output|output|input): expected shape .*, got shape"):
            operator(FLAT, np.zeros(shape, np.float32), *more)


# ---------------------------------------------------------------------------------------------------------------------
# Arrays


def test_masked_arrays() -> None:
    masked = np.ma.masked_array(X, mask=X == 0)
    refused(lambda: functional.conv2d(masked, W), "input", "without masked elements", error=TypeError)
    refused(lambda: functional.relu(masked), "input", error=TypeError)
    refused(lambda: functional.max_pool2d(masked, 2), "input", error=TypeError)
    unmasked = np.ma.masked_array(X, mask=False)
    assert type(functional.relu(unmasked)) is np.ndarray


def test_mixed_dtypes() -> None:
    refused(lambda: functional.conv2d(X, W.astype(np.float64)), "weight", "float32", "float64", error=TypeError)
    refused(lambda: functional.conv2d(X, W, B.astype(np.float64)), "bias", "float32", "float64", error=TypeError)
    refused(
        lambda: grad.conv2d_input(X.shape, W, G.astype(float)), ("grad_output", "weight"), "float32", error=TypeError
    )


def test_plans_refuse_other_images() -> None:
    plan = fastconv.plan_conv2d(X.shape, W)
    for shape in ((2, 4, 6, 8), (2, 4, 5, 7), (2, 3, 6, 7), (6, 7), (2, 2, 4, 6, 7)):
        with pytest.raises(ValueError, match=r"expected .*, got .*"):
            plan(np.zeros(shape, np.float32))
    with pytest.raises(TypeError, match="float32"):
        plan(X.astype(np.float64))
    with pytest.raises(TypeError, match="float32"):
        plan(X.tolist())
    with pytest.raises(ValueError, match=r"out.*shape"):
        plan(X, out=np.zeros((2, 6, 4, 5), np.float32))
    with pytest.raises(TypeError, match="out"):
        plan(X, out=np.zeros((2, 6, 4, 6)))


def test_unknown_names_in_functional() -> None:
    with pytest.raises(AttributeError, match=r"functional.*convolve"):
        _ = functional.convolve
    with pytest.raises(TypeError):
        functional.conv2d(X, W, strides=1)
