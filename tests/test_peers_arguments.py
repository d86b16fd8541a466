"""Every argument of every function at values that other tables leave alone, against PyTorch. ``pytest -m peers``."""

from __future__ import annotations

import inspect
from itertools import product
from math import inf
from typing import Any

import numpy as np
import pytest

from cases import DTYPES, LAYOUTS, generator
from fastconv import functional
from surface import columns_to, images_to, weights_to

torch: Any
F: Any

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning"),
]

Entry = tuple[tuple[tuple[int, ...], ...], dict[str, Any]]  # shapes of arrays, options
SPACE = {1: (11,), 2: (9, 8), 3: (6, 7, 5)}


@pytest.fixture(autouse=True, scope="module")
def _import_torch() -> None:
    """Only when these tests are asked for: they fail, and are not skipped, where torch is missing."""
    global torch, F
    import torch

    F = torch.nn.functional
    torch.set_num_threads(1)


def images() -> dict[str, list[Entry]]:
    table: dict[str, list[Entry]] = {}
    for axes, space in SPACE.items():
        x, one, few = (2, 4, *space), (4, *space), (3, 2, 1)[:axes]
        table[f"conv{axes}d"] = [
            (
                (x, (6, 4, *few)),
                {"stride": (2, 1, 3)[:axes], "padding": (1, 0, 2)[:axes], "dilation": (1, 2, 1)[:axes]},
            ),
            ((x, (6, 2, *(2,) * axes), (6,)), {"padding": "same", "dilation": (2, 1, 2)[:axes], "groups": 2}),
            ((one, (6, 4, *(4,) * axes)), {"padding": "same"}),
            ((one, (6, 4, *few), (6,)), {"padding": "valid", "stride": 2}),
        ]
        table[f"conv_transpose{axes}d"] = [
            (
                (x, (4, 3, *few)),
                {"stride": (2, 1, 3)[:axes], "padding": (1, 0, 0)[:axes], "dilation": (1, 2, 1)[:axes]},
            ),
            ((one, (4, 3, *(2,) * axes), (6,)), {"stride": 3, "output_padding": (1, 2, 0)[:axes], "groups": 2}),
        ]
        windows = {"kernel_size": (3, 2, 2)[:axes], "stride": (1, 2, 2)[:axes], "padding": (1, 0, 1)[:axes]}
        table[f"max_pool{axes}d"] = [
            ((x,), {**windows, "dilation": (2, 1, 1)[:axes], "ceil_mode": True, "return_indices": True}),
            ((one,), {**windows, "return_indices": True}),
            ((x,), {"kernel_size": few, "stride": None}),
        ]
        table[f"avg_pool{axes}d"] = [
            ((shape,), {**windows, "ceil_mode": ceil, "count_include_pad": counted})
            for shape, ceil, counted in product((x, one), (False, True), (False, True))
        ]
        if axes > 1:
            table[f"avg_pool{axes}d"] += [
                ((x,), {**windows, "ceil_mode": ceil, "divisor_override": by}) for ceil, by in ((True, 3), (False, -2))
            ]
        window = 3 if axes == 1 else few  # torch takes no tuple along one axis
        table[f"lp_pool{axes}d"] = [
            ((shape,), {"norm_type": power, "kernel_size": window, "stride": stride, "ceil_mode": ceil})
            for shape, power, stride, ceil in product((x, one), (1.0, 2, 4.0, inf, -inf), (None, 2), (False, True))
        ]
        for kind in ("avg", "max"):
            sizes = (4, (3, 4, 2)[:axes]) if axes == 1 else (4, (3, 4, 2)[:axes], (None, 3, None)[:axes])
            table[f"adaptive_{kind}_pool{axes}d"] = [
                ((shape,), {"output_size": size} | ({"return_indices": True} if kind == "max" else {}))
                for shape, size in product((x, one), sizes)
            ]
        blend = ("linear", "bilinear", "trilinear")[axes - 1]
        table.setdefault("interpolate", []).extend(
            ((x,), {**size, "mode": mode})
            for mode in ("nearest", "nearest-exact", "area", blend)
            for size in (
                {"size": (7, 12, 5)[:axes]},
                {"size": 4},
                {"scale_factor": (1.5, 2.0, 0.5)[:axes], "recompute_scale_factor": False},
                {"scale_factor": 3.0, "recompute_scale_factor": True},
                {"scale_factor": 2.0, "align_corners": True if mode == blend else None},
            )
        )
        ends = ((2, 0), (1, 3), (0, 1))[:axes]
        for mode in ("constant", "reflect", "replicate", "circular"):
            flat = tuple(end for pair in ends for end in pair)
            table.setdefault("pad", []).extend(
                ((shape,), {"pad": flat, "mode": mode, "value": 1.5 if mode == "constant" else None})
                for shape in (x, one)
            )
    table["pad"] += [
        (((2, 4, 9, 8),), {"pad": (0, -2, 3, 0), "value": -1.0}),
        (((2, 4, 9, 8),), {"pad": [0, 0, 1, 1]}),
    ]
    table["unfold"] = [(((2, 4, 9, 8),), {"kernel_size": [2, 3], "dilation": (1, 2), "padding": 1, "stride": (2, 1)})]
    return table


FOLDED = {"output_size": (9, 8), "kernel_size": (3, 2), "dilation": (2, 1), "padding": (1, 0), "stride": (2, 1)}
# Without a layout, or with arrays of other ranks.
OTHERS: dict[str, list[Entry]] = {
    "fold": [
        (((2, 24, 49),), {"output_size": (9, 8), "kernel_size": (3, 2)}),
        (((24, 49),), {"output_size": [9, 8], "kernel_size": [3, 2]}),
        (
            ((2, 24, 28),),
            {"output_size": (9, 8), "kernel_size": (3, 2), "dilation": (2, 1), "padding": (1, 0), "stride": (2, 1)},
        ),
    ],
    "pad": [
        (((2, 3, 4),), {"pad": (1, 2, 0, 1, 2, 2), "value": 3.0}),
        (((2, 1, 2, 3, 2, 2),), {"pad": (1, 0, 0, 1, 1, 1, 0, 2, 1, 0, 2, 1)}),
        (((5,),), {"pad": (1, -3)}),
        (((2, 3, 4, 5),), {"pad": (0, 0, 0, 0, 1, 0, 2, 1), "value": None}),
    ],
    "softmax": [(((3, 4, 5),), {"dim": dim, "dtype": kind}) for dim in (0, -1) for kind in (None, "f4", "f8")],
    "log_softmax": [(((3, 4, 5),), {"dim": dim, "dtype": kind}) for dim in (1, -1) for kind in (None, "f4", "f8")],
    "layer_norm": [
        (((2, 3, 4, 5),), {"normalized_shape": (4, 5)}),
        (((2, 3, 4, 5),), {"normalized_shape": [5], "eps": 0.1}),
        (((2, 3, 4, 5), (3, 4, 5)), {"normalized_shape": (3, 4, 5)}),
        (((2, 3, 4, 5), (4, 5), (4, 5)), {"normalized_shape": (4, 5), "eps": 1e-3}),
    ],
    "linear": [(((33,), (17, 33)), {}), (((2, 3, 33), (17, 33), (17,)), {}), (((4, 33), (33,)), {})],
}
NORMS: list[tuple[str, dict[str, Any], bool]] = [  # function, options, running statistics
    ("batch_norm", {"training": True}, False),
    ("batch_norm", {"training": True, "momentum": 0.0}, True),
    ("batch_norm", {"training": True, "momentum": 1.0, "eps": 0.1}, True),
    ("batch_norm", {"training": False}, True),
    ("instance_norm", {}, False),
    ("instance_norm", {"use_input_stats": True, "momentum": 0.4, "eps": 0.1}, True),
    ("instance_norm", {"use_input_stats": False}, True),
    ("group_norm", {"num_groups": 1}, False),
    ("group_norm", {"num_groups": 6, "eps": 0.1}, False),
    ("local_response_norm", {"size": 2}, False),
    ("local_response_norm", {"size": 5, "alpha": 0.5, "beta": 1.5, "k": 2.0}, False),
]
ACTIVATIONS = ("relu", "relu6", "leaky_relu", "elu", "selu", "silu", "hardsigmoid", "hardswish", "dropout")


def close(got: Any, theirs: Any, dtype: Any, label: str) -> None:
    theirs = theirs.numpy()
    assert got.dtype == theirs.dtype, label
    tolerance = 1e-4 if dtype is np.float32 or theirs.dtype == np.float32 else 1e-10
    np.testing.assert_allclose(got, theirs, rtol=tolerance, atol=tolerance, err_msg=label)


@pytest.mark.parametrize("name", images())
def test_images(name: str) -> None:
    for (shapes, options), dtype in product(images()[name], DTYPES):
        rng = generator(name)
        arrays = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
        theirs = getattr(F, name)(*map(torch.from_numpy, arrays), **options)
        axes = int(name[-2]) if name[-1] == "d" and name[-2].isdigit() else len(shapes[0]) - 2
        if name == "pad":
            axes = min(axes, 3) if len(options["pad"]) // 2 == axes else len(options["pad"]) // 2
        for layout in LAYOUTS:
            given = [images_to(arrays[0], layout, axes), *(weights_to(w, layout) for w in arrays[1:2]), *arrays[2:]]
            got = getattr(functional, name)(*given, **options, layout=layout)
            pairs = zip(got, theirs, strict=True) if isinstance(got, tuple) else [(got, theirs)]
            for mine, wanted in pairs:
                first = wanted.numpy()
                turned = columns_to(first, layout, 4) if name == "unfold" else images_to(first, layout, axes)
                close(mine, torch.from_numpy(np.ascontiguousarray(turned)), dtype, f"{name} {options} {layout}")


@pytest.mark.parametrize("name", OTHERS)
def test_others(name: str) -> None:
    for (shapes, options), dtype in product(OTHERS[name], DTYPES):
        rng = generator(name)
        arrays = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
        kinds = {"f4": torch.float32, "f8": torch.float64, None: None}
        peers = options | ({"dtype": kinds[options["dtype"]]} if "dtype" in options else {})
        names = ("input", "weight", "bias")
        tensors = dict(zip(names, map(torch.from_numpy, arrays), strict=False))
        theirs = getattr(F, name)(**tensors, **peers)
        got = getattr(functional, name)(**dict(zip(names, arrays, strict=False)), **options)
        close(got, theirs, dtype, f"{name} {options}")


@pytest.mark.parametrize("case", NORMS, ids=lambda case: f"{case[0]}-{'-'.join(map(str, case[1].values()))}")
def test_norms(case: tuple[str, dict[str, Any], bool]) -> None:
    name, options, running = case
    for dtype, affine, layout in product(DTYPES, (False, True), LAYOUTS):
        rng = generator(name)
        x = rng.standard_normal((3, 6, 4, 5)).astype(dtype)
        keywords: dict[str, Any] = {}
        if affine and name != "local_response_norm":
            keywords |= {key: rng.standard_normal(6).astype(dtype) for key in ("weight", "bias")}
        if running:
            keywords |= {"running_mean": rng.standard_normal(6).astype(dtype)}
            keywords |= {"running_var": rng.random(6).astype(dtype) + 1}
        elif name == "batch_norm":
            keywords |= {"running_mean": None, "running_var": None}
        tensors = {key: value if value is None else torch.from_numpy(value.copy()) for key, value in keywords.items()}
        theirs = getattr(F, name)(torch.from_numpy(x), **tensors, **options).numpy()
        got = getattr(functional, name)(images_to(x, layout, 2), **keywords, **options, layout=layout)
        close(got, torch.from_numpy(images_to(theirs, layout, 2)), dtype, f"{case} {affine} {layout}")
        for key in keywords.keys() & {"running_mean", "running_var"}:
            if keywords[key] is not None:
                close(keywords[key], tensors[key], dtype, f"{case} {key}")


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_in_place(name: str) -> None:
    for dtype in DTYPES:
        x = generator(name).standard_normal(100).astype(dtype)
        theirs = torch.from_numpy(x.copy())
        options: dict[str, Any] = {"p": 0.0} if name == "dropout" else {}
        getattr(F, name)(theirs, **options, inplace=True)
        assert getattr(functional, name)(x, **options, inplace=True) is x
        close(x, theirs, dtype, name)
    if name == "dropout":
        np.testing.assert_array_equal(functional.dropout(x, 0.9, training=False), x)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_sizes_of_unpooling(axes: int) -> None:
    x = generator("sizes").standard_normal((2, 3, *SPACE[axes]))
    kernel = (2, 3, 2)[:axes]
    values, where = getattr(F, f"max_pool{axes}d")(torch.from_numpy(x), kernel, return_indices=True)
    for size in (x.shape[-axes:], list(x.shape[-axes:]), x.shape):
        theirs = getattr(F, f"max_unpool{axes}d")(values, where, kernel, output_size=size)
        got = getattr(functional, f"max_unpool{axes}d")(values.numpy(), where.numpy(), kernel, output_size=size)
        np.testing.assert_array_equal(got, theirs.numpy())


def test_no_argument_is_missing() -> None:
    """Names and their order, where Python knows torch's; ours end in options of our own."""
    extras = {"layout", "out", "activation", "padding_mode", "algorithm"}
    for name in functional.__all__:
        theirs, ours = getattr(F, name, None), getattr(functional, name)
        if theirs is None or not callable(ours):
            continue
        try:
            wanted = list(inspect.signature(theirs).parameters)
        except ValueError:
            continue  # written in C
        if wanted[0] != "args":
            assert [one for one in inspect.signature(ours).parameters if one not in extras] == wanted, name
