"""Arrays as people have them: any strides, byte order, alignment; read-only; subclasses; and any ``out``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import fastconv
from cases import DTYPES, generator
from compare import Guarded, assert_close, assert_exact, assert_same_bits
from fastconv import functional, grad

# Every operator as a function of arrays alone, with the shapes of these. The first is what `out` may overlap.
OPERATORS: dict[str, tuple[Callable[..., Any], list[tuple[int, ...]]]] = {
    "conv2d": (functional.conv2d, [(2, 4, 6, 7), (5, 4, 3, 2), (5,)]),
    "conv2d_nhwc": (
        lambda x, w, b, **more: functional.conv2d(x, w, b, layout="NHWC", padding=1, **more),
        [(2, 6, 7, 9), (3, 3, 9, 5), (5,)],
    ),
    "conv2d_im2col": (
        lambda x, w, b, **more: functional.conv2d(x, w, b, algorithm="im2col", stride=2, padding=1, **more),
        [(2, 4, 6, 7), (5, 4, 3, 2), (5,)],
    ),
    "conv2d_reflected": (
        lambda x, w, **more: functional.conv2d(x, w, padding=1, padding_mode="reflect", activation="relu", **more),
        [(2, 4, 6, 7), (5, 4, 3, 3)],
    ),
    "depthwise": (
        lambda x, w, **more: functional.conv2d(x, w, groups=4, padding="same", **more),
        [(2, 4, 6, 7), (4, 1, 3, 3)],
    ),
    "linear": (functional.linear, [(3, 2, 8), (5, 8), (5,)]),
    "max_pool2d": (lambda x, **more: functional.max_pool2d(x, 3, 2, 1, **more), [(2, 3, 7, 8)]),
    "max_pool2d_nhwc": (lambda x, **more: functional.max_pool2d(x, 2, layout="NHWC", **more), [(2, 6, 8, 5)]),
    "avg_pool2d": (lambda x, **more: functional.avg_pool2d(x, 3, 2, 1, **more), [(2, 3, 7, 8)]),
    "avg_pool2d_nhwc": (lambda x, **more: functional.avg_pool2d(x, 2, layout="NHWC", **more), [(2, 6, 8, 5)]),
    "adaptive_avg_pool2d": (lambda x, **more: functional.adaptive_avg_pool2d(x, (3, 2), **more), [(2, 3, 7, 8)]),
    "adaptive_max_pool2d": (lambda x, **more: functional.adaptive_max_pool2d(x, (3, 2), **more), [(2, 3, 7, 8)]),
    "relu": (functional.relu, [(4, 5, 6)]),
    "relu6": (functional.relu6, [(4, 5, 6)]),
    "leaky_relu": (functional.leaky_relu, [(4, 5, 6)]),
    "elu": (functional.elu, [(4, 5, 6)]),
    "selu": (functional.selu, [(4, 5, 6)]),
    "silu": (functional.silu, [(4, 5, 6)]),
    "gelu": (functional.gelu, [(4, 5, 6)]),
    "softplus": (functional.softplus, [(4, 5, 6)]),
    "hardsigmoid": (functional.hardsigmoid, [(4, 5, 6)]),
    "hardswish": (functional.hardswish, [(4, 5, 6)]),
    "tanh": (functional.tanh, [(4, 5, 6)]),
    "sigmoid": (functional.sigmoid, [(4, 5, 6)]),
    "softmax": (lambda x, **more: functional.softmax(x, 1, **more), [(4, 5, 6)]),
    "log_softmax": (lambda x, **more: functional.log_softmax(x, -1, **more), [(4, 5, 6)]),
    "dropout": (lambda x, **more: (fastconv.set_seed(1), functional.dropout(x, **more))[1], [(4, 5, 6)]),
    "grad.conv2d_input": (
        lambda w, g, **more: grad.conv2d_input((2, 4, 6, 7), w, g, 2, 1, **more),
        [(5, 4, 3, 2), (2, 5, 3, 4)],
    ),
    "grad.conv2d_weight": (
        lambda x, g, **more: grad.conv2d_weight(x, (5, 4, 3, 2), g, 2, 1, **more),
        [(2, 4, 6, 7), (2, 5, 3, 4)],
    ),
    "grad.conv2d_weight_nhwc": (
        lambda x, g, **more: grad.conv2d_weight(x, (3, 3, 4, 5), g, padding=1, layout="NHWC", **more),
        [(2, 6, 7, 4), (2, 6, 7, 5)],
    ),
    "grad.conv2d_bias": (grad.conv2d_bias, [(2, 5, 3, 4)]),
    "grad.max_pool2d": (lambda x, g, **more: grad.max_pool2d(x, g, 3, 2, 1, **more), [(2, 3, 7, 8), (2, 3, 4, 4)]),
    "grad.avg_pool2d": (lambda g, **more: grad.avg_pool2d((2, 3, 7, 8), g, 3, 2, 1, **more), [(2, 3, 4, 4)]),
    "grad.adaptive_avg_pool2d": (lambda g, **more: grad.adaptive_avg_pool2d((2, 3, 7, 8), g, **more), [(2, 3, 3, 2)]),
    "grad.adaptive_max_pool2d": (grad.adaptive_max_pool2d, [(2, 3, 7, 8), (2, 3, 3, 2)]),
    **{
        f"grad.{name}": (getattr(grad, name), [(4, 5, 6), (4, 5, 6)])
        for name in (
            "relu", "relu6", "leaky_relu", "elu", "selu", "tanh", "sigmoid", "hardsigmoid", "silu", "gelu", "softplus",
            "hardswish",
        )
    },
    "grad.softmax": (lambda g, y, **more: grad.softmax(g, y, 1, **more), [(4, 5, 6), (4, 5, 6)]),
    "grad.log_softmax": (lambda g, y, **more: grad.log_softmax(g, y, 1, **more), [(4, 5, 6), (4, 5, 6)]),
}  # fmt: skip
every_operator = pytest.mark.parametrize("name", OPERATORS)


def arrays_for(name: str, dtype: Any) -> list[np.ndarray]:
    rng = generator(name)
    return [rng.standard_normal(shape).astype(dtype) for shape in OPERATORS[name][1]]


# ---------------------------------------------------------------------------------------------------------------------
# The same values in other clothes


class Labelled(np.ndarray):
    """A subclass that notices when it is asked to take part in arithmetic."""

    def __array_wrap__(self, *_: Any) -> Any:
        raise AssertionError("the operator computed with the subclass")


def every_second(array: np.ndarray) -> np.ndarray:
    wide = np.full((*array.shape[:-1], 2 * array.shape[-1]), np.nan, array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]


def backwards(array: np.ndarray) -> np.ndarray:
    flip = (slice(None, None, -1),) * array.ndim
    return np.ascontiguousarray(array[flip])[flip]


def transposed(array: np.ndarray) -> np.ndarray:
    return np.asfortranarray(array)


def inside_larger(array: np.ndarray) -> np.ndarray:
    larger = np.full([extent + 3 for extent in array.shape], np.nan, array.dtype)
    place = tuple(slice(1, 1 + extent) for extent in array.shape)
    larger[place] = array
    return larger[place]


def swapped(array: np.ndarray) -> np.ndarray:
    return array.astype(array.dtype.newbyteorder())


def swapped_and_backwards(array: np.ndarray) -> np.ndarray:
    return backwards(swapped(array))


def misaligned(array: np.ndarray) -> np.ndarray:
    raw = np.zeros(array.nbytes + 1, np.uint8)
    view = raw[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    assert not view.flags.aligned or array.size == 0
    return view


def read_only(array: np.ndarray) -> np.ndarray:
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def subclass(array: np.ndarray) -> np.ndarray:
    return array.copy().view(Labelled)


def odd_strides(array: np.ndarray) -> np.ndarray:
    """A field of packed records: strides that are no multiple of the item."""
    records = np.zeros(array.shape, np.dtype([("tag", "u1"), ("value", array.dtype)]))
    records["value"] = array
    return records["value"]


CLOTHES = (
    every_second,
    backwards,
    transposed,
    inside_larger,
    swapped,
    swapped_and_backwards,
    misaligned,
    read_only,
    subclass,
    odd_strides,
)


def assert_alike(got: np.ndarray, expected: np.ndarray, name: str, i: int, arrays: Sequence[np.ndarray]) -> None:
    """With argument i in other memory the results have the same bits, except that `linear` adds its products in the
    order in which the weights lie."""
    if (name, i) == ("linear", 1):
        assert_close(got, expected, OPERATORS[name][0](*map(np.abs, arrays)), name, f"argument {i}")
    else:
        assert_same_bits(got, expected, name, f"argument {i}")


@every_operator
@pytest.mark.parametrize("dress", CLOTHES, ids=lambda dress: dress.__name__)
def test_every_array_computes_like_its_contiguous_copy(name: str, dress: Callable[[np.ndarray], np.ndarray]) -> None:
    operator = OPERATORS[name][0]
    for dtype in DTYPES:
        arrays = arrays_for(name, dtype)
        expected = operator(*arrays)
        assert type(expected) is np.ndarray
        assert expected.flags.c_contiguous
        assert expected.flags.writeable
        assert expected.dtype == dtype
        assert expected.dtype.isnative
        for i in range(len(arrays)):
            dressed = list(arrays)
            dressed[i] = dress(arrays[i])
            got = operator(*dressed)
            assert type(got) is np.ndarray
            assert_alike(got, expected, name, i, arrays)
            assert_same_bits(np.ascontiguousarray(np.asarray(dressed[i])).astype(dtype), arrays[i], "input was changed")


@every_operator
def test_broadcast_arrays(name: str) -> None:
    """Strides of zero, along the first and along the last axis."""
    operator = OPERATORS[name][0]
    for dtype in DTYPES:
        arrays = arrays_for(name, dtype)
        for i, array in enumerate(arrays):
            for thin in (array[:1], array[..., :1]):
                flat = np.broadcast_to(thin, array.shape)
                assert 0 in flat.strides
                given, copied = list(arrays), list(arrays)
                given[i], copied[i] = flat, flat.copy()
                assert_alike(operator(*given), operator(*copied), name, i, copied)


@every_operator
def test_out_may_be_any_writable_array(name: str) -> None:
    operator = OPERATORS[name][0]
    for dtype in DTYPES:
        arrays = arrays_for(name, dtype)
        expected = operator(*arrays)
        outs = {
            dress.__name__: dress(np.full(expected.shape, np.nan, dtype))
            for dress in (every_second, backwards, transposed, inside_larger, misaligned, odd_strides, subclass)
        }
        for kind, out in outs.items():
            got = operator(*arrays, out=out)
            assert got is out, (name, kind)
            assert_same_bits(np.array(out, dtype, order="C", subok=False), expected, name, kind)
        # What lies between the elements stays.
        for kind, skipped in (("every_second", (..., slice(1, None, 2))), ("inside_larger", (0,))):
            assert np.isnan(outs[kind].base[skipped]).all(), (name, kind)
        for offset in (0, dtype(0).itemsize, 64):
            guarded = Guarded(expected.shape, dtype, offset)
            operator(*arrays, out=guarded.array)
            guarded.check(name, offset)
            assert_same_bits(guarded.array, expected, name, offset)


@every_operator
def test_out_that_overlaps_an_input(name: str) -> None:
    """Refused before anything is written; an elementwise operator may write just over its input."""
    operator, shapes = OPERATORS[name]
    elementwise = {operator(*arrays_for(name, np.float32)).shape, *shapes} == {(4, 5, 6)}
    for dtype in DTYPES:
        arrays = arrays_for(name, dtype)
        expected = operator(*arrays)
        for i, shape in enumerate(shapes):
            size = int(np.prod(shape))
            for start in {0, 1, size // 2, size - 1, size}:
                memory = np.full(start + max(size, expected.size) + size, 5, dtype)
                given = list(arrays)
                given[i] = memory[:size].reshape(shape)
                given[i][...] = arrays[i]
                before = memory.copy()
                out = memory[start : start + expected.size].reshape(expected.shape)
                if start == size or (elementwise and start == 0):
                    assert operator(*given, out=out) is out
                    assert_same_bits(out, expected, name, f"argument {i}", f"from element {start}")
                else:
                    with pytest.raises(ValueError, match=r"^out: expected an array that shares no memory with \w+"):
                        operator(*given, out=out)
                    assert_same_bits(memory, before, name, "memory was written")


@every_operator
def test_out_must_fit(name: str) -> None:
    operator = OPERATORS[name][0]
    arrays = arrays_for(name, np.float32)
    shape = operator(*arrays).shape
    with pytest.raises(ValueError, match=r"out.*shape"):
        operator(*arrays, out=np.empty((*shape, 1), np.float32))
    with pytest.raises(ValueError, match=r"out.*shape"):
        operator(*arrays, out=np.empty([extent + 1 for extent in shape], np.float32))
    for dtype in (np.float64, np.float16, np.int32, np.complex64, object):
        with pytest.raises(TypeError, match=r"out"):
            operator(*arrays, out=np.empty(shape, dtype))
    with pytest.raises(ValueError, match=r"out.*(read-only|writ)"):
        operator(*arrays, out=read_only(np.empty(shape, np.float32)))
    with pytest.raises(TypeError, match=r"out"):
        operator(*arrays, out=[0.0])


@every_operator
def test_other_types_are_refused(name: str) -> None:
    operator = OPERATORS[name][0]
    arrays = arrays_for(name, np.float32)
    others = (np.float16, np.longdouble, np.int64, np.uint8, np.bool_, np.complex64, object, "datetime64[s]", "U4")
    for i, array in enumerate(arrays):
        for dtype in others:
            given = list(arrays)
            given[i] = np.zeros(array.shape, dtype)
            with pytest.raises(TypeError, match=r"float32.*float64|float64.*float32"):
                operator(*given)
        given = list(arrays)
        given[i] = array.tolist()
        with pytest.raises(TypeError):
            operator(*given)
        given[i] = None
        if name not in ("conv2d", "conv2d_nhwc", "conv2d_im2col", "linear") or i != 2:
            with pytest.raises(TypeError):
                operator(*given)
        if len(arrays) > 1:
            given[i] = array.astype(np.float64)
            with pytest.raises(TypeError, match=r"dtype|float32|float64"):
                operator(*given)


@pytest.mark.parametrize("name", [name for name, (_, shapes) in OPERATORS.items() if len(shapes[0]) == 4])
def test_inputs_are_never_written(name: str) -> None:
    operator = OPERATORS[name][0]
    arrays = arrays_for(name, np.float64)
    copies = [array.copy() for array in arrays]
    results = [operator(*arrays) for _ in range(3)]
    for array, copy in zip(arrays, copies, strict=True):
        assert_same_bits(array, copy, name)
    for result in results[1:]:
        assert not np.shares_memory(result, results[0])
        assert_exact(result, results[0], name)


def test_results_outlive_each_other() -> None:
    """Blocks of memory are used again only when nobody looks at them."""
    x, w = generator("blocks").standard_normal((4, 8, 40, 40)), np.ones((16, 8, 1, 1))
    kept = [functional.conv2d(x + i, w) for i in range(4)]
    row = functional.conv2d(x, w)[3, 15, 39]  # a view keeps its whole block
    expected = [result.copy() for result in kept], row.copy()
    for _ in range(8):
        functional.conv2d(np.full_like(x, np.nan), w)
    for result, copy in zip(kept, expected[0], strict=True):
        assert_same_bits(result, copy)
    assert_same_bits(row, expected[1])


def test_many_callers_at_once() -> None:
    """Plans, workspaces and blocks of memory are nobody's by turns: each caller gets what it would get alone."""
    names = ("conv2d", "conv2d_nhwc", "depthwise", "max_pool2d", "gelu", "grad.conv2d_input", "grad.conv2d_weight")
    problems = [(name, dtype, arrays_for(name, dtype)) for name in names for dtype in DTYPES]
    expected = [OPERATORS[name][0](*arrays) for name, _, arrays in problems]
    x, w = generator("callers").standard_normal((4, 16, 40, 40)), generator("w").standard_normal((24, 16, 3, 3))
    plan = fastconv.plan_conv2d(x.shape, w)
    of_plan = plan(x)

    def call(turn: int) -> list[np.ndarray]:
        order = np.random.default_rng(turn).permutation(len(problems))
        results = {i: OPERATORS[problems[i][0]][0](*problems[i][2]) for i in order}
        return [results[i] for i in range(len(problems))] + [plan(x)]

    with ThreadPoolExecutor(4) as pool:
        for results in pool.map(call, range(40)):
            for got, want in zip(results, [*expected, of_plan], strict=True):
                assert_same_bits(got, want)
