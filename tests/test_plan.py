"""Plans: the same results as functional.conv2d, for any batch, from any thread, with what was chosen on show."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import fastconv
from fastconv import functional

RNG = np.random.default_rng(5)
LAYOUTS = ("NCHW", "NHWC")


def images(layout, n=2, c=4, h=9, w=11, dtype=np.float32):
    shape = (n, c, h, w) if layout == "NCHW" else (n, h, w, c)
    return RNG.integers(-4, 5, shape).astype(dtype)


def filters(layout, o=6, i=4, kh=3, kw=2, dtype=np.float32):
    shape = (o, i, kh, kw) if layout == "NCHW" else (kh, kw, i, o)
    return RNG.integers(-4, 5, shape).astype(dtype)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("algorithm", ["auto", "direct", "im2col"])
def test_a_plan_gives_what_conv2d_gives_for_any_batch(layout, dtype, algorithm):
    weight, bias = filters(layout, i=2, dtype=dtype), RNG.integers(-4, 5, 6).astype(dtype)
    options = (2, ((1, 0), (2, 1)), 1, 2)
    extras = {"layout": layout, "activation": "relu", "algorithm": algorithm}
    plan = fastconv.plan_conv2d(images(layout).shape, weight, bias, *options, **extras)
    for n in (0, 1, 2, 7):
        x = images(layout, n, dtype=dtype)
        expected = functional.conv2d(x, weight, bias, *options, **extras)
        assert (plan(x) == expected).all()
        out = np.full_like(expected, np.nan)
        assert plan(x, out=out) is out
        assert (out == expected).all()
        assert plan(x).dtype == dtype
    one = images(layout, 1, dtype=dtype)
    assert (plan(one[0]) == plan(one)[0]).all()
    assert plan(one[0]).ndim == 3


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_arrays_are_taken(layout):
    x, weight = images(layout), filters(layout)
    reversed_weight = np.ascontiguousarray(weight[::-1, :, ::-1])[::-1, :, ::-1]
    plan = fastconv.plan_conv2d(x.shape, reversed_weight, layout=layout)
    expected = functional.conv2d(x, weight, layout=layout)
    spread = np.zeros((*x.shape[:3], 2 * x.shape[3]), np.float32)
    spread[..., ::2] = x
    read_only = x.copy()
    read_only.flags.writeable = False
    misaligned = np.frombuffer(b"." + x.tobytes(), np.float32, offset=1).reshape(x.shape)
    for given in (spread[..., ::2], x.astype(">f4"), read_only, misaligned, x[:, ::-1].copy()[:, ::-1]):
        assert (plan(given) == expected).all()
    for out in (
        np.zeros((*expected.shape[:3], 2 * expected.shape[3]), np.float32)[..., ::2],
        expected.astype(">f4") * 0,
    ):
        assert plan(x, out=out) is out
        assert (out == expected).all()
    swapped = fastconv.plan_conv2d(x.shape, weight.astype(">f4"), layout=layout)
    assert (swapped(x) == expected).all()


def test_weights_are_copied():
    x, weight, bias = images("NCHW"), filters("NCHW"), np.ones(6, np.float32)
    plan = fastconv.plan_conv2d(x.shape, weight, bias)
    expected = plan(x)
    weight[:], bias[:] = 0, 0
    assert (plan(x) == expected).all()


def test_what_a_plan_tells():
    weight = filters("NCHW", o=6, i=1, kh=5, kw=5)
    plan = fastconv.plan_conv2d((10, 1, 28, 28), weight, padding=2, activation="tanh")
    assert plan.flops == 10 * 2 * 28 * 28 * 6 * 25
    assert plan.algorithm in ("direct", "im2col")
    assert plan.workspace_bytes >= 0
    text = plan.explain()
    shapes = "(10, 1, 28, 28) -> (10, 6, 28, 28)"
    for part in (shapes, plan.algorithm, plan.isa, "float32", "tanh", "GFLOP/s", "at least"):
        assert part in text
    assert "(10, 1, 28, 28)" in repr(plan)
    for algorithm in ("direct", "im2col"):
        asked = fastconv.plan_conv2d((10, 1, 28, 28), weight, padding=2, algorithm=algorithm)
        assert asked.algorithm == algorithm
        assert "as asked for" in asked.explain()


def test_small_images_are_turned_in_some_blocks():
    """Channels-first ones whose planes would waste more than turning them costs, and their results back."""
    x = RNG.integers(-3, 4, (21, 64, 13, 13)).astype(np.float32)
    weight, bias = RNG.integers(-3, 4, (48, 64, 3, 3)).astype(np.float32), RNG.integers(-9, 9, 48).astype(np.float32)
    options = {"stride": 2, "padding": 1, "activation": "relu"}
    plan = fastconv.plan_conv2d(x.shape, weight, bias, **options)
    direct = fastconv.plan_conv2d(x.shape, weight, bias, **options, algorithm="direct")
    together = plan.chosen["turned"]
    assert plan.algorithm != "winograd"
    assert 0 < together < len(x) - 1
    assert direct.chosen["turned"] == 0
    assert f"turned to NHWC, {together} at a time" in plan.explain()
    assert "turned" not in direct.explain()
    expected = direct(x)
    before = fastconv.get_num_threads()
    try:
        for threads in (1, 2, 3):
            fastconv.set_num_threads(threads)
            for n in (1, together, together + 1, len(x)):
                assert (plan(x[:n]) == expected[:n]).all(), (threads, n)
    finally:
        fastconv.set_num_threads(before)


def test_threads_may_share_a_plan():
    x, weight = images("NCHW", 4, 8, 20, 20), filters("NCHW", 16, 8)
    plan = fastconv.plan_conv2d(x.shape, weight)
    expected, wrong = plan(x), []

    def work():
        wrong.extend(i for i in range(50) if not (plan(x) == expected).all())

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda plan, x: plan(x[:, :3]),
            ValueError,
            r"x: expected shape \(4, 9, 11\), or \(n, 4, 9, 11\), got shape \(2, 3",
        ),
        (lambda plan, x: plan(x[0, 0]), ValueError, r"x: expected shape"),
        (lambda plan, x: plan(x.astype(np.float64)), TypeError, r"x: expected the plan's dtype float32, got float64"),
        (lambda plan, x: plan(x.astype(np.int32)), TypeError, r"x: expected float32 or float64 .*astype.*got int32"),
        (lambda plan, x: plan(x.tolist()), TypeError, r"x: expected a float32 or float64 numpy.ndarray, got list"),
        (lambda plan, x: plan(None), TypeError, r"x: expected"),
        (lambda plan, x: plan(x, out=x), ValueError, r"out: expected shape"),
        (lambda plan, x: plan(x, out=np.empty((2, 6, 7, 10))), TypeError, r"out: expected dtype float32, got float64"),
        (lambda plan, x: plan(x, out="out"), TypeError, r"out: expected a float32 numpy.ndarray"),
    ],
)
def test_wrong_calls(call, error, message):
    x = images("NCHW")
    plan = fastconv.plan_conv2d(x.shape, filters("NCHW"))
    with pytest.raises(error, match=message):
        call(plan, x)


def test_out_must_not_overlap():
    memory = np.zeros(4 * 9 * 11 + 6 * 7 * 10, np.float32)
    x = memory[: 4 * 9 * 11].reshape(4, 9, 11)
    plan = fastconv.plan_conv2d(x.shape, filters("NCHW"))
    apart, touching = memory[-6 * 7 * 10 :], memory[-6 * 7 * 10 - 1 : -1]
    plan(x, out=apart.reshape(6, 7, 10))
    with pytest.raises(ValueError, match="out: expected an array that shares no memory with x"):
        plan(x, out=touching.reshape(6, 7, 10))
    apart.flags.writeable = False
    with pytest.raises(ValueError, match="out: expected a writable array, got a read-only one"):
        plan(x, out=apart.reshape(6, 7, 10))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"input_shape": (2, 3, 9, 11)}, ValueError, r"weight: expected 3 input channels .*got 4 in shape"),
        ({"input_shape": (9, 11)}, ValueError, r"input_shape: expected a tuple of 3 or 4 ints"),
        ({"input_shape": 9}, TypeError, r"input_shape: "),
        (
            {"input_shape": (2, 4, 2, 11)},
            ValueError,
            r"input_shape: expected .* least the kernel's 3 x 2, got 2 x 11",
        ),
        ({"input_shape": (2, 4, -9, 11)}, ValueError, r"input_shape: "),
        ({"input_shape": (2, 4, 2**62, 2**62)}, ValueError, r"63 bits"),
        ({"bias": np.ones(5, np.float32)}, ValueError, r"bias: expected shape \(6,\), got shape \(5,\)"),
        ({"bias": np.ones(6)}, TypeError, r"bias: expected the dtype of weight, float32, got float64"),
        ({"weight": np.ones((6, 4, 3, 2), np.float16)}, TypeError, r"weight: expected float32 or float64"),
        (
            {"algorithm": "fft"},
            ValueError,
            r"algorithm: expected one of 'auto', 'direct', 'im2col', 'winograd', got 'fft'",
        ),
        ({"activation": "softmax"}, ValueError, r"activation: expected one of 'linear', 'relu'"),
        ({"layout": "CHWN"}, ValueError, r"layout: expected one of 'NCHW', 'NHWC', got 'CHWN'"),
    ],
)
def test_wrong_descriptions(arguments, error, message):
    given = {"input_shape": (2, 4, 9, 11), "weight": filters("NCHW"), **arguments}
    with pytest.raises(error, match=message):
        fastconv.plan_conv2d(**given)


def test_a_bare_plan_of_the_engine_is_harmless():
    from fastconv import _core

    with pytest.raises(RuntimeError, match="no weights"):
        _core.ConvPlan()(images("NCHW"))
    assert _core.ConvPlan().once(images("NCHW"), filters("NCHW"), None, None) is None
    assert not _core.ConvPlan().pack(filters("NCHW"), None)
