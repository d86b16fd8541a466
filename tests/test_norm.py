"""Normalisation and its gradients."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from cases import DTYPES, generator
from compare import ISAS, assert_same_bits, running, running_threads
from fastconv import functional, grad, reference

LAYOUTS = ("NCHW", "NHWC")
# n, c and the pixels' axes: one pixel, tails of vectors and blocks, more pixels than a block, more rows than a chunk.
SHAPES = [(4, 6, 5, 7), (2, 70, 9), (3, 16, 33, 40), (9, 4), (300, 8), (2, 12, 2, 3, 5), (1, 2, 300)]
TOLERANCE = {np.float32: 2e-6, np.float64: 1e-13}


def arrays(shape: tuple[int, ...], layout: str, dtype: Any) -> tuple[np.ndarray, ...]:
    """Values about a mean that is not zero, a gradient, a weight, a bias, a mean and a variance."""
    rng = generator(f"norm {shape}")
    channels = shape[1]
    order = shape if layout == "NCHW" else (shape[0], *shape[2:], channels)
    images = (rng.standard_normal(order) * 2 + 3, rng.standard_normal(order))
    vectors = (*(rng.standard_normal(channels) for _ in range(3)), rng.random(channels) + 0.1)
    return tuple(np.asarray(array, dtype) for array in images + vectors)


def assert_near(got: Any, expected: np.ndarray, dtype: Any, *label: Any) -> None:
    assert got.dtype == dtype, label
    assert got.shape == expected.shape, label
    scale = max(float(np.abs(expected).max()), 1e-3)
    assert np.abs(got - expected).max() <= TOLERANCE[dtype] * scale, (label, np.abs(got - expected).max() / scale)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_normalisation_equals_the_reference(layout: str) -> None:
    for shape, dtype in product(SHAPES, DTYPES):
        x, _, w, b, m, v = arrays(shape, layout, dtype)
        last = x.shape[-1]
        for isa, threads in product(ISAS, (1, 3)):
            label = (shape, dtype.__name__, isa, threads)
            with running(isa, threads):
                got = functional.batch_norm(x, None, None, w, b, True, layout=layout)
                assert_near(got, reference.batch_norm(x, None, None, w, b, True, layout=layout), dtype, "batch", label)
                got = functional.batch_norm(x, m, v, w, layout=layout)
                assert_near(got, reference.batch_norm(x, m, v, w, layout=layout), dtype, "inference", label)
                got = functional.group_norm(x, 2, w, b, layout=layout)
                assert_near(got, reference.group_norm(x, 2, w, b, layout=layout), dtype, "group", label)
                got = functional.layer_norm(x, last, x.reshape(-1)[:last], None, 0.1)
                expected = reference.layer_norm(x, last, x.reshape(-1)[:last], None, 0.1)
                assert_near(got, expected, dtype, "layer", label)
                if len(shape) > 2:
                    got = functional.instance_norm(x, weight=w, bias=b, layout=layout)
                    expected = reference.instance_norm(x, weight=w, bias=b, layout=layout)
                    assert_near(got, expected, dtype, "instance", label)
                    got = functional.local_response_norm(x, 4, 0.3, 0.6, 2.0, layout=layout)
                    expected = reference.local_response_norm(x, 4, 0.3, 0.6, 2.0, layout=layout)
                    assert_near(got, expected, dtype, "response", label)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_equal_the_reference(layout: str) -> None:
    for shape, dtype in product(SHAPES, DTYPES):
        x, g, w, _, m, v = arrays(shape, layout, dtype)
        tail = x.shape[1:]
        scale = np.asarray(generator("weights").standard_normal(tail), dtype)
        options = {"eps": 0.1, "layout": layout}
        for isa, threads in product(ISAS, (1, 3)):
            with running(isa, threads):
                pairs = [
                    (grad.batch_norm(x, g, m, v, w, own, **options), ("batch_norm", (x, g, m, v, w, own), options))
                    for own in (True, False)
                ]
                pairs.append((grad.group_norm(x, g, 2, w, **options), ("group_norm", (x, g, 2, w), options)))
                layer = grad.layer_norm(x, g, tail, scale, 0.1)
                pairs.append((layer, ("layer_norm", (x, g, tail, scale, 0.1), {})))
                if len(shape) > 2:
                    instance = grad.instance_norm(x, g, weight=w, **options)
                    pairs.append((instance, ("group_norm", (x, g, shape[1], w), options)))
                    response = grad.local_response_norm(x, g, 4, 0.3, 0.6, 2.0, layout=layout)
                    arguments = (x, g, 4, 0.3, 0.6, 2.0)
                    pairs.append(((response,), ("local_response_norm", arguments, {"layout": layout})))
            for got, (name, given, named) in pairs:
                expected = getattr(reference, f"{name}_backward")(*given, **named)
                for one, right in zip(got, expected if isinstance(expected, tuple) else (expected,), strict=True):
                    assert_near(one, right, dtype, name, shape, isa, threads)


def test_gradients_are_the_differences_of_the_forward() -> None:
    x, g, w, b, m, v = arrays((3, 4, 5), "NCHW", np.float64)
    for own in (True, False):
        dx, dw, db = grad.batch_norm(x, g, m, v, w, own)
        for array, slope in ((x, dx), (w, dw), (b, db)):
            for place in np.ndindex(array.shape):
                kept, found = array[place], []
                for step in (1e-6, -1e-6):
                    array[place] = kept + step
                    found.append(float((functional.batch_norm(x, m.copy(), v.copy(), w, b, own) * g).sum()))
                array[place] = kept
                assert abs((found[0] - found[1]) / 2e-6 - slope[place]) < 1e-7


def test_a_large_mean_costs_no_digits() -> None:
    x = (generator("mean").standard_normal((4, 3, 40, 41)) + 3000).astype(np.float32)
    for isa, layout in product(ISAS, LAYOUTS):
        y = x if layout == "NCHW" else np.ascontiguousarray(x.transpose(0, 2, 3, 1))
        with running(isa):
            got = functional.batch_norm(y, None, None, training=True, layout=layout)
        assert np.abs(got - reference.batch_norm(y, None, None, training=True, layout=layout)).max() < 2e-6


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_number_of_threads_gives_the_same_bits(layout: str) -> None:
    for isa, dtype in product(ISAS, DTYPES):
        x, g, w, b, _, _ = arrays((4, 40, 37, 31), layout, dtype)
        results: list[list[np.ndarray]] = []
        for threads in (1, 2, 3):
            with running(isa), running_threads(threads):
                found = [functional.batch_norm(x, None, None, w, b, True, layout=layout)]
                found += grad.batch_norm(x, g, weight=w, training=True, layout=layout)
                found += [functional.group_norm(x, 4, w, b, layout=layout), functional.layer_norm(x, x.shape[2:])]
                found += grad.layer_norm(x, g, x.shape[2:])
            results.append(found)
        for other in results[1:]:
            for one, first in zip(other, results[0], strict=True):
                assert_same_bits(one, first, isa, dtype)


def test_running_statistics_move() -> None:
    x, *_ = arrays((4, 6, 5, 7), "NCHW", np.float64)
    mean, variance = np.zeros(6), np.ones(6)
    functional.batch_norm(x, mean, variance, training=True, momentum=0.25)
    np.testing.assert_allclose(mean, 0.25 * x.mean((0, 2, 3)))
    np.testing.assert_allclose(variance, 0.75 + 0.25 * x.var((0, 2, 3), ddof=1))
    mean, variance = np.zeros(6), np.ones(6)
    functional.instance_norm(x, mean, variance, momentum=0.25)
    np.testing.assert_allclose(mean, 0.25 * x.mean((2, 3)).mean(0))
    np.testing.assert_allclose(variance, 0.75 + 0.25 * x.var((2, 3), ddof=1).mean(0))


def test_results_go_where_they_are_wanted() -> None:
    x, g, w, b, _, _ = arrays((4, 6, 5, 7), "NCHW", np.float32)
    strange = np.zeros((7, 5, 6, 4), np.float32).T
    expected = functional.batch_norm(x, None, None, w, b, True)
    assert functional.batch_norm(np.asfortranarray(x), None, None, w, b, True, out=strange) is strange
    np.testing.assert_array_equal(strange, expected)
    for out in (np.empty_like(x), strange):
        assert grad.group_norm(x, g, 3, w, out=out)[0] is out
        np.testing.assert_array_equal(out, grad.group_norm(x, g, 3, w)[0])
        assert functional.layer_norm(x, 7, out=out) is out
    assert functional.batch_norm(np.zeros((0, 3, 2), np.float32), b[:3], w[:3]).shape == (0, 3, 2)
    assert functional.layer_norm(np.zeros((0, 3), np.float32), 3).shape == (0, 3)


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda x, w: functional.batch_norm(x, None, None), ValueError, "running_mean"),
        (lambda x, w: functional.batch_norm(x, w, None), ValueError, "running_var"),
        (lambda x, w: functional.batch_norm(x, None, None, w[:2], training=True), ValueError, "weight"),
        (lambda x, w: functional.batch_norm(x, None, None, w.astype("f8"), training=True), TypeError, "weight"),
        (lambda x, w: functional.batch_norm(x[:1, :, 0], None, None, training=True), ValueError, "input"),
        (lambda x, w: functional.batch_norm(x[0, 0], None, None, training=True), ValueError, "input"),
        (lambda x, w: functional.batch_norm(x, w, w, training=1), TypeError, "training"),
        (lambda x, w: functional.batch_norm(x, w, w, layout="CHW"), ValueError, "layout"),
        (lambda x, w: functional.batch_norm(x, w, w, eps="0"), TypeError, "eps"),
        (lambda x, w: functional.batch_norm(x, w, w, out=x), ValueError, "out"),
        (lambda x, w: functional.instance_norm(x[:, :, :1]), ValueError, "input"),
        (lambda x, w: functional.group_norm(x, 4), ValueError, "num_groups"),
        (lambda x, w: functional.group_norm(x, 0), ValueError, "num_groups"),
        (lambda x, w: functional.layer_norm(x, 4), ValueError, "input"),
        (lambda x, w: functional.layer_norm(x, ()), ValueError, "input"),
        (lambda x, w: functional.layer_norm(x, 5, w), ValueError, "weight"),
        (lambda x, w: functional.local_response_norm(x, 0), ValueError, "size"),
        (lambda x, w: functional.local_response_norm(x[0], 2), ValueError, "input"),
        (lambda x, w: grad.batch_norm(x, x[0], training=True), ValueError, "grad_output"),
        (lambda x, w: grad.layer_norm(x, x.astype("f8"), 5), TypeError, "grad_output"),
        (lambda x, w: grad.batch_norm(x, x), ValueError, "running_mean"),
    ],
)
def test_what_is_refused(call: Any, error: type[Exception], name: str) -> None:
    x, _, w, *_ = arrays((2, 6, 5), "NCHW", np.float32)
    with pytest.raises(error, match=name):
        call(x, w)


@pytest.mark.peers
def test_normalisation_equals_pytorch() -> None:
    import torch

    peer = torch.nn.functional
    for shape, dtype, layout in product(SHAPES, DTYPES, LAYOUTS):
        x, g, w, b, m, v = arrays(shape, layout, dtype)

        def turned(array: np.ndarray, layout: str = layout) -> Any:
            first = array if layout == "NCHW" else np.moveaxis(array, -1, 1)
            return torch.from_numpy(np.array(first)).requires_grad_()

        tw, tb = torch.from_numpy(w).requires_grad_(), torch.from_numpy(b).requires_grad_()
        means, variances = (torch.from_numpy(np.array(array)) for array in (m, v))
        pairs: list[tuple[Any, Any, Any]] = []
        for own in (False, True):
            tx, mine = turned(x), (m.copy(), v.copy())
            y = peer.batch_norm(tx, means, variances, tw, tb, own, 0.3, 0.1)
            got = functional.batch_norm(x, *mine, w, b, own, 0.3, 0.1, layout=layout)
            back = torch.autograd.grad(y, (tx, tw, tb), turned(g))
            pairs.append((got, y, (grad.batch_norm(x, g, *mine, w, own, 0.1, layout=layout), back)))
            if own:
                np.testing.assert_allclose(mine[0], means.numpy(), rtol=1e-5, atol=1e-6)
                np.testing.assert_allclose(mine[1], variances.numpy(), rtol=1e-5, atol=1e-6)
        tx = turned(x)
        y = peer.group_norm(tx, 2, tw, tb, 0.1)
        back = torch.autograd.grad(y, (tx, tw, tb), turned(g))
        found = functional.group_norm(x, 2, w, b, 0.1, layout=layout)
        pairs.append((found, y, (grad.group_norm(x, g, 2, w, 0.1, layout=layout), back)))
        if len(shape) > 2:
            tx = turned(x)
            y = peer.local_response_norm(tx, 3, 0.2, 0.8, 1.5)
            (dx,) = torch.autograd.grad(y, (tx,), turned(g))
            found = functional.local_response_norm(x, 3, 0.2, 0.8, 1.5, layout=layout)
            mine_back = grad.local_response_norm(x, g, 3, 0.2, 0.8, 1.5, layout=layout)
            pairs.append((found, y, ((mine_back,), (dx,))))
        tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype is np.float32 else {"rtol": 1e-10, "atol": 1e-10}
        for got, y, (mine_back, back) in pairs:
            np.testing.assert_allclose(got, to_layout(y, layout), **tolerance)
            np.testing.assert_allclose(mine_back[0], to_layout(back[0], layout), **tolerance)
            for one, other in zip(mine_back[1:], back[1:], strict=True):
                np.testing.assert_allclose(one, other.numpy(), **tolerance)


def to_layout(tensor: Any, layout: str) -> np.ndarray:
    array = tensor.detach().numpy()
    return array if layout == "NCHW" else np.moveaxis(array, 1, -1)
