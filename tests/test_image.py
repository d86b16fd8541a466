"""fastconv.image: against sums over a padded copy and, marked peers, against scipy.ndimage itself."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import fastconv
from compare import ISAS, running
from fastconv import image

RNG = np.random.default_rng(8)
MODES = ["reflect", "constant", "nearest", "mirror", "wrap"]
ALIASES = {"grid-mirror": "reflect", "grid-constant": "constant", "grid-wrap": "wrap"}
PAD = {"reflect": "symmetric", "constant": "constant", "nearest": "edge", "mirror": "reflect", "wrap": "wrap"}
KERNELS = [(1, 1), (3, 3), (2, 3), (1, 4), (5, 1), (4, 7), (15, 15)]


def padded(x: np.ndarray, sides: list[tuple[int, int]], mode: str, cval: float) -> np.ndarray:
    """Pad by NumPy, which does it again and again where the border is larger than the image."""
    options: Any = {"constant_values": cval} if mode == "constant" else {}
    return np.pad(x, sides, PAD[mode], **options)  # type: ignore[call-overload, no-any-return]


def plain_correlate(x: np.ndarray, kernel: np.ndarray, mode: str, cval: float, origins: tuple[int, ...]) -> np.ndarray:
    """Sum shifted copies of the padded image, in float64."""
    sides = [(k // 2 + o, k - 1 - k // 2 - o) for k, o in zip(kernel.shape, origins, strict=True)]
    whole = padded(x.astype(np.float64), sides, mode, cval)
    total = np.zeros(x.shape)
    for offsets in np.ndindex(kernel.shape):
        part = tuple(slice(o, o + n) for o, n in zip(offsets, x.shape, strict=True))
        total += kernel[offsets] * whole[part]
    return total


def close(got: np.ndarray, want: np.ndarray, x: np.ndarray, weight: float = 1.0) -> None:
    """Within 1e-6 of what the values could add up to; 1e-13 in float64."""
    assert got.shape == want.shape
    bound = (1e-6 if got.dtype == np.float32 else 1e-13) * weight * max(np.abs(x).max(), 1e-30)
    assert np.abs(got - want).max() <= bound


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (17, 23), (40, 9), (33, 70)], ids=str)
@pytest.mark.parametrize("isa", ISAS)
def test_correlate(isa: str, shape: tuple[int, int], mode: str) -> None:
    with running(isa):
        for size, dtype in itertools.product(KERNELS, (np.float32, np.float64)):
            x = RNG.standard_normal(shape).astype(dtype)
            kernel = RNG.standard_normal(size)
            for origins in ((0, 0), (-(size[0] // 2), (size[1] - 1) // 2)):
                got = image.correlate(x, kernel, mode=mode, cval=0.7, origin=origins)
                want = plain_correlate(x, kernel, mode, 0.7, origins)
                assert got.dtype == dtype
                close(got, want, np.append(x, 0.7), np.abs(kernel).sum())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(3, 3), (2, 5), (1, 13), (14, 3), (31, 40)], ids=str)
def test_extrema(size: tuple[int, int], mode: str) -> None:
    for shape, cval in itertools.product([(2, 3), (24, 37), (50, 41)], (0.0, 3.0, -3.0)):
        x = RNG.standard_normal(shape).astype(np.float32)
        for origins in ((0, 0), ((size[0] - 1) // 2, -(size[1] // 2))):
            sides = [(k // 2 + o, k - 1 - k // 2 - o) for k, o in zip(size, origins, strict=True)]
            windows = np.lib.stride_tricks.sliding_window_view(padded(x, sides, mode, cval), size)
            given: dict[str, Any] = {"mode": mode, "cval": cval, "origin": origins}
            np.testing.assert_array_equal(image.maximum_filter(x, size, **given), windows.max((2, 3)))
            np.testing.assert_array_equal(image.minimum_filter(x, size, **given), windows.min((2, 3)))
            footprint = RNG.random(size) < 0.5
            footprint[0, 0] = True
            np.testing.assert_array_equal(
                image.maximum_filter(x, footprint=footprint, **given), windows.max((2, 3), where=footprint, initial=-9)
            )


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["f4", "f8", "u1", "i4"])
def test_extrema_see_every_place(dtype: str, isa: str) -> None:
    """Windows that are taken in one, in runs of rows and columns, and as maxima of maxima; and every NaN in them."""
    for shape, size in itertools.product([(40, 33), (270, 6), (3, 150)], [(3, 5), (8, 1), (1, 17), (13, 23), (9, 65)]):
        x = (RNG.standard_normal(shape) * 50 + 100).astype(dtype)
        if dtype[0] == "f":
            x[RNG.random(shape) < 0.01] = np.nan
            x[RNG.random(shape) < 0.01] = -np.inf
        windows = np.lib.stride_tricks.sliding_window_view(
            padded(x, [(k // 2, k - 1 - k // 2) for k in size], "reflect", 0), size
        )
        with running(isa):
            np.testing.assert_array_equal(image.maximum_filter(x, size), windows.max((2, 3)))
            np.testing.assert_array_equal(image.minimum_filter(x, size), windows.min((2, 3)))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("shape", [(37, 45), (5, 6, 7), (4, 300, 2), (2, 3)], ids=str)
def test_derivatives_are_added_line_by_line(shape: tuple[int, ...], isa: str) -> None:
    for dtype, axes in itertools.product(("f4", "f8", ">f8", "u1"), (None, (0,), (0, -1))):
        x = (RNG.standard_normal(shape) * 20 + 100).astype(dtype)
        along = range(len(shape)) if axes is None else [axis % len(shape) for axis in axes]

        def derivative(axis: int, order: int, x: np.ndarray = x, along: Sequence[int] = tuple(along)) -> np.ndarray:
            orders = [order if other == axis else 0 for other in along]
            return image.gaussian_filter(x, 1.3, orders, np.float64, axes=along, radius=4)

        length = np.sqrt(sum(derivative(axis, 1) ** 2 for axis in along))
        curvature = sum(derivative(axis, 2) for axis in along)
        close_by = {"rtol": 1e-12, "atol": 1e-11} if dtype[-1] == "8" else {"rtol": 1e-5, "atol": 1e-4}
        output = np.float32 if dtype == "u1" else dtype
        for function, want in ((image.gaussian_gradient_magnitude, length), (image.gaussian_laplace, curvature)):
            with running(isa):
                options: dict[str, Any] = {"axes": axes, "radius": 4}
                np.testing.assert_allclose(function(x, 1.3, output, **options), want, **close_by)
                out = np.full((shape[0] + 2, *shape[1:]), 7, output)
                function(x, 1.3, out[1:-1], **options)
                np.testing.assert_allclose(out[1:-1], want, **close_by)
                assert (out[[0, -1]] == 7).all()
                if x.dtype == output:
                    inside = x.copy()
                    assert function(inside, 1.3, inside, **options) is inside
                    np.testing.assert_allclose(inside, want, **close_by)


def test_modes_have_scipys_other_names() -> None:
    x = RNG.standard_normal((7, 8))
    for other, name in ALIASES.items():
        np.testing.assert_array_equal(
            image.uniform_filter(x, 3, mode=other, cval=2), image.uniform_filter(x, 3, mode=name, cval=2)
        )


def test_stacks_and_channels() -> None:
    stack = RNG.standard_normal((3, 12, 11, 4)).astype(np.float32)
    kernel = RNG.standard_normal((5, 4))
    wanted = np.empty_like(stack)
    for n, c in np.ndindex(3, 4):
        wanted[n, ..., c] = image.correlate(stack[n, ..., c], kernel)
    got = image.correlate(stack, kernel, axes=(1, 2))
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(image.correlate(stack, kernel, axes=(2, 1)), got)
    np.testing.assert_allclose(image.correlate(stack, kernel[None, ..., None]), wanted, rtol=1e-5, atol=1e-5)
    first = np.ascontiguousarray(stack.transpose(0, 3, 1, 2))
    np.testing.assert_allclose(
        image.correlate(first, kernel, axes=(2, 3)).transpose(0, 2, 3, 1), wanted, rtol=1e-5, atol=1e-5
    )
    for axes in ((0, 2), (1, 3), (0, 3)):
        other = image.correlate(np.ascontiguousarray(np.moveaxis(stack, axes, (1, 2))), kernel, axes=(1, 2))
        np.testing.assert_allclose(
            image.correlate(stack, kernel, axes=axes), np.moveaxis(other, (1, 2), axes), rtol=1e-5, atol=1e-5
        )
    for axis in range(4):
        lines = np.moveaxis(stack, axis, -1).reshape(-1, stack.shape[axis])
        along = image.correlate1d(np.ascontiguousarray(lines), [1, 2, -4, 3], axis=1)
        moved = np.moveaxis(image.correlate1d(stack, [1, 2, -4, 3], axis=axis), axis, -1)
        np.testing.assert_allclose(moved.reshape(along.shape), along, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(image.maximum_filter(stack, 3, axes=(1, 2))[1, ..., 2],
                                  image.maximum_filter(stack[1, ..., 2], 3))  # fmt: skip


def test_any_memory_and_any_output() -> None:
    x = RNG.standard_normal((19, 26)).astype(np.float32)
    kernel = RNG.standard_normal((3, 5))
    wanted = image.correlate(x, kernel)
    views = [x[::-1][::-1], np.asfortranarray(x), x.astype(">f4"), np.stack([x, x], -1)[..., 0]]
    for view in views:
        np.testing.assert_array_equal(image.correlate(view, kernel), wanted)
    before = x.copy()
    for dtype in (np.float32, np.float64, np.int16):
        out = np.full(x.shape, 7, dtype)
        assert image.correlate(x, kernel, out) is out
        np.testing.assert_allclose(out, wanted.astype(dtype), rtol=1e-6, atol=1e-6)
        assert image.correlate(x, kernel, dtype).dtype == dtype
    strided = np.zeros((19, 52), np.float32)[:, ::2]
    assert image.correlate(x, kernel, output=strided) is strided
    np.testing.assert_array_equal(strided, wanted)
    np.testing.assert_array_equal(x, before)
    assert image.gaussian_filter(x, 2, output=x) is x
    np.testing.assert_array_equal(x, image.gaussian_filter(before, 2))
    nothing = image.uniform_filter(before, 1)
    assert not np.may_share_memory(nothing, before)
    np.testing.assert_array_equal(nothing, before)
    assert image.gaussian_filter(np.zeros((0, 5)), 1).shape == (0, 5)


def test_threads_change_no_bit() -> None:
    x = RNG.standard_normal((300, 301)).astype(np.float32)
    wanted = [image.gaussian_filter(x, 3), image.maximum_filter(x, 21), image.sobel(x)]
    before = fastconv.get_num_threads()
    try:
        fastconv.set_num_threads(2)
        for got, want in zip([image.gaussian_filter(x, 3), image.maximum_filter(x, 21), image.sobel(x)], wanted,
                             strict=True):  # fmt: skip
            np.testing.assert_array_equal(got, want)
    finally:
        fastconv.set_num_threads(before)


def test_whole_numbers() -> None:
    x = RNG.integers(0, 256, (20, 21)).astype(np.uint8)
    mean = plain_correlate(x, np.ones((3, 1)), "reflect", 0, (0, 0)) // 3
    mean = plain_correlate(mean, np.ones((1, 3)), "reflect", 0, (0, 0)) // 3
    np.testing.assert_array_equal(image.uniform_filter(x, 3), mean.astype(np.uint8))
    wide = plain_correlate(x, np.array([[-1.0, 0, 1]]), "reflect", 0, (0, 0))
    np.testing.assert_array_equal(image.correlate1d(x, [-1, 0, 1]), wide.astype(np.int64).astype(np.uint8))
    np.testing.assert_array_equal(image.correlate1d(x, [-1, 0, 1], output=np.int16), wide)
    np.testing.assert_array_equal(image.maximum_filter(x, 5), image.maximum_filter(x.astype(np.float64), 5))
    np.testing.assert_array_equal(image.minimum_filter(x > 99, 5), image.minimum_filter((x > 99) * 1.0, 5) > 0)
    large = np.array([[2**52 + 1, 2**52 - 1]], np.int64)
    np.testing.assert_array_equal(image.maximum_filter(large, 1), large)
    np.testing.assert_array_equal(image.correlate1d(np.array([1, 2], np.uint64), [-1.0]), [2**64 - 1, 2**64 - 2])


MISTAKES: list[tuple[Any, type[Exception], str]] = [
    (lambda x: image.correlate(x, np.ones(3)), ValueError, r"weights: expected 2 axes of at least 1, as many as are"),
    (lambda x: image.correlate(x, np.ones((3, 0))), ValueError, r"weights: expected 2 axes"),
    (lambda x: image.correlate(x, np.ones((3, 3)), mode="edge"), ValueError, "mode: expected one of 'reflect', 'grid"),
    (lambda x: image.correlate(x, np.ones((3, 3)), mode=3), TypeError, "mode: expected one of"),
    (lambda x: image.correlate(x, np.ones((3, 3)), origin=2), ValueError, "origin: expected -1 to 1 for a window of 3"),
    (lambda x: image.correlate(x, np.ones((3, 3)), origin=(1, 2, 3)), ValueError, "origin: expected one entry, or one"),
    (lambda x: image.correlate(x, np.ones((3, 3)), axes=(0, 0)), ValueError, "axes: expected different axes"),
    (lambda x: image.correlate(x, np.ones((3, 3)), axes=(0, 2)), ValueError, "axes: expected axes of an array of 2"),
    (lambda x: image.correlate(x[None], np.ones((3, 3, 3))), ValueError, "weights: expected at most two axes longer"),
    (lambda x: image.correlate(x, np.ones((3, 3)), np.zeros((2, 2))), ValueError, r"output: expected shape \(6, 7\)"),
    (lambda x: image.correlate(x, np.ones((3, 3)), "nothing"), TypeError, "output: expected an array or a dtype"),
    (lambda x: image.correlate(x, np.ones((3, 3)), complex), TypeError, "output: expected real numbers"),
    (lambda x: image.correlate(x, np.ones((3, 3)), cval="a"), TypeError, "cval: expected a number, got 'a'"),
    (lambda x: image.correlate(x + 1j, np.ones((3, 3))), TypeError, "input: expected an array of real numbers, got"),
    (lambda x: image.correlate("text", np.ones((3, 3))), TypeError, "input: expected an array of real numbers"),
    (lambda x: image.correlate1d(x, np.ones((3, 3))), ValueError, "weights: expected one axis of at least 1"),
    (lambda x: image.correlate1d(x, [1], axis=2), ValueError, "axis: expected axes of an array of 2 axes, got 2"),
    (lambda x: image.uniform_filter(x, 0), ValueError, "size: expected a positive int, got 0"),
    (lambda x: image.uniform_filter(x, 2.5), TypeError, "size: expected a positive int, got 2.5"),
    (lambda x: image.gaussian_filter(x, -1), ValueError, "sigma: expected a number of at least 0, got -1"),
    (lambda x: image.gaussian_filter(x, 1, order=-1), ValueError, "order: expected an int of at least 0, got -1"),
    (lambda x: image.gaussian_filter(x, 1, radius=-1), ValueError, "radius: expected an int of at least 0, got -1"),
    (lambda x: image.gaussian_laplace(x, 1, width=3), TypeError, "width: an unexpected keyword argument, expected tr"),
    (lambda x: image.gaussian_filter(x, 0, radius=3), ValueError, "sigma: expected a number above 0 where a radius"),
    (lambda x: image.maximum_filter(x), ValueError, "size: expected an int or one for each axis, where there is no"),
    (lambda x: image.maximum_filter(x, footprint=np.zeros((3, 3))), ValueError, "footprint: expected 2 axes with a"),
    (lambda x: image.maximum_filter(x, footprint=[True]), ValueError, "footprint: expected 2 axes with a place"),
    (lambda x: image.maximum_filter(np.ma.masked_less(x, 0), 3), TypeError, "without masked elements"),
]  # fmt: skip


@pytest.mark.parametrize(("mistake", "error", "text"), MISTAKES, ids=[text[:40] for _, _, text in MISTAKES])
def test_mistakes(mistake: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        mistake(RNG.standard_normal((6, 7)) - 0.5)


# --- scipy ----------------------------------------------------------------------------------------------------------

FILTERS: dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]] = {
    "correlate": [((RNG.random(k),), {"origin": o}) for k, o in (((3, 3), 0), ((4, 5), (-2, 1)), ((15, 2), 0))],
    "convolve": [((RNG.random(k),), {"origin": o}) for k, o in (((3, 3), 0), ((4, 5), (-1, 2)), ((2, 15), 0))],
    "correlate1d": [((RNG.standard_normal(k),), {"axis": a}) for k in (1, 2, 5, 16) for a in (0, 1)],
    "convolve1d": [((RNG.standard_normal(k),), {"axis": a, "origin": k // 3}) for k in (2, 5, 16) for a in (0, -1)],
    "uniform_filter": [((3,), {}), ((15,), {}), (((2, 7),), {"origin": (-1, 2)}), (((1, 6),), {})],
    "uniform_filter1d": [((4,), {"axis": 0, "origin": 1}), ((9,), {})],
    "gaussian_filter": [
        ((1.5,), {}), (((0, 2),), {}), (((1, 3), (0, 1)), {}), ((2.0, 2), {"truncate": 2.5}), ((1.0, 3), {"radius": 5}),
    ],
    "gaussian_filter1d": [((1.0,), {"order": order}) for order in range(4)] + [((4.0,), {"axis": 0, "radius": 3})],
    "sobel": [((), {}), ((0,), {})],
    "prewitt": [((), {}), ((0,), {})],
    "laplace": [((), {})],
    "gaussian_laplace": [((1.2,), {}), (((1, 2),), {"truncate": 3})],
    "gaussian_gradient_magnitude": [((1.2,), {}), (((1, 2),), {"radius": 4})],
    "maximum_filter": [((3,), {}), (((15, 2),), {"origin": (3, -1)}), ((), {"footprint": np.eye(4)}), ((33,), {})],
    "minimum_filter": [((3,), {}), (((15, 2),), {"origin": (3, -1)}), ((), {"footprint": np.eye(4)}), ((33,), {})],
    "maximum_filter1d": [((5,), {"axis": 0}), ((18,), {"origin": 4})],
    "minimum_filter1d": [((5,), {"axis": 0}), ((18,), {"origin": 4})],
}  # fmt: skip


@pytest.mark.peers
@pytest.mark.parametrize("mode", [*MODES, *ALIASES])
@pytest.mark.parametrize("name", FILTERS)
def test_scipy(name: str, mode: str) -> None:
    import scipy.ndimage

    assert sorted(FILTERS) == sorted(image.__all__)
    theirs, ours = getattr(scipy.ndimage, name), getattr(image, name)
    for shape in ((5, 4), (1, 9), (37, 50), (64, 33)):
        base = RNG.standard_normal(shape)
        for (arguments, options), cval in itertools.product(FILTERS[name], (0.0, 0.8)):
            options = options | {"mode": mode, "cval": cval}
            want = theirs(base, *arguments, **options)
            weight = np.abs(arguments[0]).sum() if isinstance(arguments[:1], tuple) and name[:3] == "cor" else 8.0
            got = ours(base, *arguments, **options)
            assert got.dtype == want.dtype
            np.testing.assert_allclose(got, want, atol=1e-12 * max(weight, 8))
            single = base.astype(np.float32)
            got, want = ours(single, *arguments, **options), theirs(single, *arguments, **options)
            assert got.dtype == want.dtype
            np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6 * max(np.abs(want).max(), 1))


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore:invalid value encountered in sqrt")  # of squares that wrapped, by scipy
def test_scipy_on_whole_numbers() -> None:
    import scipy.ndimage

    cases: list[tuple[str, tuple[Any, ...]]] = [
        ("correlate", (np.arange(9.0).reshape(3, 3) - 3,)),
        ("uniform_filter", (5,)),
        ("uniform_filter", ((4, 1),)),
        ("correlate1d", (np.array([0.3, -0.2, 0.7, 1.1]), 0)),
        ("convolve1d", (np.array([0.1, 0.5, -0.5, -0.1, 0.2]),)),
        ("gaussian_filter", (0.7,)),
        ("gaussian_filter", (2.0, (0, 1))),
        ("gaussian_filter1d", (1.5,)),
        ("gaussian_gradient_magnitude", (1.0,)),
        ("sobel", (0,)),
        ("prewitt", ()),
        ("laplace", ()),
        ("maximum_filter", (4,)),
        ("minimum_filter", (13,)),
    ]
    for dtype in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "?"):
        x = RNG.integers(0, 2 if dtype == "?" else 120, (31, 29)).astype(dtype)
        for name, arguments in cases:
            if dtype == "u8" and name in ("sobel", "prewitt", "gaussian_gradient_magnitude"):
                continue  # scipy passes -1 on from the first axis to the second as 2.0**64
            for output in (None, np.float32, np.int32):
                want = getattr(scipy.ndimage, name)(x, *arguments, output=output)
                got = getattr(image, name)(x, *arguments, output=output)
                assert got.dtype == want.dtype
                np.testing.assert_allclose(
                    got.astype(float), want.astype(float), 1e-6, 1e-12, err_msg=f"{name} {dtype}"
                )


@pytest.mark.peers
@pytest.mark.parametrize("shape", [(300, 2600), (140, 900, 3), (1, 5000), (5000, 1)], ids=str)
@pytest.mark.parametrize("isa", ISAS)
def test_scipy_bit_by_bit(isa: str, shape: tuple[int, ...]) -> None:
    """Whole numbers are cut off at the point where scipy's are: products are rounded and added as there."""
    import scipy.ndimage

    cases: list[tuple[str, tuple[Any, ...]]] = [
        ("gaussian_filter", ((1.2, 0.5),)),
        ("gaussian_filter", ((0.6, 3), (1, 0))),
        ("uniform_filter", ((3, 15),)),
        ("maximum_filter", ((3, 7),)),
        ("minimum_filter", ((15, 2),)),
        ("sobel", ()),
        ("laplace", ()),
    ]
    for dtype in (np.uint8, np.int16):
        x = RNG.integers(0, 256, shape).astype(dtype)
        x[:, : shape[1] // 2] = 255
        for (name, arguments), mode in itertools.product(cases, ("mirror", "constant")):
            options: dict[str, Any] = {"mode": mode, "cval": 7.5} | ({} if name == "sobel" else {"axes": (0, 1)})
            want = getattr(scipy.ndimage, name)(x, *arguments, **options)
            with running(isa):
                np.testing.assert_array_equal(getattr(image, name)(x, *arguments, **options), want, f"{name} {mode}")


@pytest.mark.parametrize("isa", ISAS)
def test_kernels_over_two_axes_of_whole_numbers(isa: str) -> None:
    """Lines in float64, cut off at the point; beyond 64 taps the image becomes one of float64 first."""
    for dtype, size, mode in itertools.product(("u1", "i2", "i4"), ((5, 5), (2, 7), (9, 8)), ("reflect", "constant")):
        x = RNG.integers(-300, 300, (40, 67)).astype(dtype)
        kernel = RNG.standard_normal(size)
        want = plain_correlate(x, kernel, mode, 0.7, (0, 0))
        sure = np.abs(want - np.rint(want)) > 1e-9
        with running(isa):
            got = image.correlate(x, kernel, mode=mode, cval=0.7)
            close(image.correlate(x, kernel, np.float64, mode, 0.7), want, x.astype(float), np.abs(kernel).sum())
        assert got.dtype == dtype
        assert sure.mean() > 0.99
        np.testing.assert_array_equal(got[sure], want.astype(np.int64).astype(dtype)[sure])


@pytest.mark.parametrize("isa", ISAS)
def test_sums_are_cut_off_where_doubles_are(isa: str) -> None:
    """Lines of whole numbers are float32 and most sums, too; what may be cut off elsewhere is the sum in float64."""
    bell = np.exp(-0.5 * (np.arange(-7, 8) / 3.0) ** 2)
    kernels = [bell / bell.sum(), np.full(3, 1 / 3), np.full(10, 0.1), np.array([0.1, 0.2, 0.4, 0.2, 0.1])]
    kernels += [np.array([-0.7, -0.1, 0.0, 0.1, 0.7]), RNG.standard_normal(6), np.array([1, 4, 6, 4, 1]) / 16]
    for dtype, kernel, axis in itertools.product(("u1", "i1", "u2", "i2"), kernels, (0, 1)):
        limits = np.iinfo(dtype)
        x = RNG.integers(limits.min, limits.max, (70, 67), dtype, True)
        x[:30], x[30:34] = limits.max, 0
        half, size = len(kernel) // 2, len(kernel)
        sides = [(half, size - 1 - half) if one == axis else (0, 0) for one in (0, 1)]
        lines = np.moveaxis(np.pad(x.astype(np.float64), sides, "symmetric"), axis, 0)
        taps = [lines[t : t + x.shape[axis]] for t in range(size)]
        sign = next((s for s in (1, -1) if np.allclose(kernel, s * kernel[::-1], 0, 1e-16) and size % 2), 0)
        total = taps[half if sign else -1] * kernel[half if sign else -1]
        for t in range(half if sign else size - 1):
            total = total + (taps[t] + sign * taps[-1 - t]) * kernel[t]
        want = np.moveaxis(total, 0, axis).astype(np.int32).astype(dtype)
        with running(isa):
            np.testing.assert_array_equal(image.correlate1d(x, kernel, axis), want, f"{dtype} {kernel}")


@pytest.mark.parametrize("isa", ISAS)
def test_rows_are_read_where_they_lie(isa: str) -> None:
    """Windows inside the image are read from it, those at the border from a copy; equal weights as sums of sums."""
    for width, size, dtype in itertools.product((1, 9, 33, 64, 97, 128, 171, 900), (3, 8, 15, 40), ("f4", "f8")):
        x = RNG.standard_normal((3, width)).astype(dtype)
        for kernel, origin in itertools.product((RNG.standard_normal(size), np.full(size, 0.4)), (0, size // 2 - 1)):
            for mode in ("wrap", "constant"):
                out = np.full((5, width), 7, dtype)
                with running(isa):
                    image.correlate1d(x, kernel, 1, out[1:-1], mode, 0.5, origin)
                want = plain_correlate(x, kernel[None], mode, 0.5, (0, origin))
                close(out[1:-1], want, np.append(x, 0.5), np.abs(kernel).sum())
                assert (out[[0, -1]] == 7).all()
                with running(isa):  # down columns, over more rows than a band has
                    down = image.correlate1d(x.T.copy(), kernel, 0, None, mode, 0.5, origin)
                close(down, want.T, np.append(x, 0.5), np.abs(kernel).sum())


def test_lines_of_any_kind() -> None:
    """Rows by rows, in strips, read in place and from copies: the same as pixel by pixel in float64."""
    for shape, dtype in itertools.product([(7, 2500), (270, 33), (3, 41)], ("f4", "f8", "u1", "i2", ">i2", ">f4")):
        x = (RNG.standard_normal(shape) * 50 + 100).astype(dtype)
        for size in ((1, 5), (5, 1), (6, 3), (2, 17)):
            kernels = [np.full(size[0], 1 / size[0]), np.full(size[1], 1 / size[1])]
            want = plain_correlate(x, np.outer(*kernels), "reflect", 0, (0, 0))
            got = image.uniform_filter(x, size, output=np.float64)
            np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-9)
            out = np.full((shape[0] + 2, shape[1]), 77.0)
            assert image.uniform_filter(x, size, output=out[1:-1]) is not None
            np.testing.assert_array_equal(out[1:-1], got)
            assert (out[[0, -1]] == 77).all()
    x = RNG.integers(0, 99, (40, 50)).astype(np.uint8)
    before = image.gaussian_filter(x, 2)
    assert image.gaussian_filter(x, 2, output=x) is x
    np.testing.assert_array_equal(x, before)


@pytest.mark.peers
def test_scipy_in_three_axes() -> None:
    import scipy.ndimage

    x = RNG.standard_normal((6, 9, 8))
    cases: list[tuple[str, tuple[Any, ...]]] = [("gaussian_filter", (1.0,)), ("uniform_filter", (4,)), ("laplace", ())]
    cases += [("maximum_filter", (3,)), ("minimum_filter", ((3, 1, 4),)), ("sobel", (1,)), ("prewitt", (0,))]
    for name, arguments in cases:
        want = getattr(scipy.ndimage, name)(x, *arguments)
        np.testing.assert_allclose(getattr(image, name)(x, *arguments), want, atol=1e-12)
    kernel = RNG.standard_normal((3, 5))
    for axes, origin in (((2, 1), (1, -1)), ((0, 2), (0, 2)), ((2, 0), (-1, 1))):
        options: dict[str, Any] = {"axes": axes, "origin": origin}
        for name in ("correlate", "convolve"):
            want = getattr(scipy.ndimage, name)(x, kernel, **options)
            np.testing.assert_allclose(getattr(image, name)(x, kernel, **options), want, atol=1e-12)
        want = scipy.ndimage.maximum_filter(x, footprint=kernel > 0, **options)
        np.testing.assert_array_equal(image.maximum_filter(x, footprint=kernel > 0, **options), want)
        want = scipy.ndimage.uniform_filter(x, (4, 3), axes=axes)
        np.testing.assert_allclose(image.uniform_filter(x, (4, 3), axes=axes), want, atol=1e-12)
    for name, arguments in (("gaussian_filter", (1.0,)), ("uniform_filter", (4,)), ("minimum_filter", (3,))):
        want = getattr(scipy.ndimage, name)(x, *arguments, axes=(0, 2), mode=("wrap", "nearest"))
        got = getattr(image, name)(x, *arguments, axes=(0, 2), mode=("wrap", "nearest"))
        np.testing.assert_allclose(got, want, atol=1e-12)
