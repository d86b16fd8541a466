"""Every operator of fastconv.functional that takes images, on its whole argument space: one table for all tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from math import inf
from typing import Any

import numpy as np

from cases import generator


@dataclass(frozen=True)
class Call:
    """One call: an operator over `axes` spatial axes, the shapes of its arrays (channels first), its options."""

    operator: str
    axes: int
    shape: tuple[int, ...]
    weight: tuple[int, ...] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    positive: bool = False  # the operator wants positive input

    @property
    def name(self) -> str:
        options = ",".join(f"{key}={value}" for key, value in self.options.items())
        weight = "" if self.weight is None else f"-{'x'.join(map(str, self.weight))}"
        return f"{self.operator}-{'x'.join(map(str, self.shape))}{weight}-{options}".replace(" ", "")

    def arrays(self, dtype: Any) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """Input, weight and bias, channels first."""
        rng = generator(self.name)
        x = rng.standard_normal(self.shape).astype(dtype)
        if self.positive:
            x = (np.abs(x) + dtype(0.1)).astype(dtype)
        if self.weight is None:
            return x, None, None
        w = rng.standard_normal(self.weight).astype(dtype)
        transposed = self.operator.startswith("conv_transpose")
        outputs = self.weight[1] * self.options.get("groups", 1) if transposed else self.weight[0]
        return x, w, rng.standard_normal(outputs).astype(dtype)


def images_to(array: np.ndarray, layout: str, axes: int) -> np.ndarray:
    """Images, channels first, in a layout."""
    return array if layout == "NCHW" else np.ascontiguousarray(np.moveaxis(array, -axes - 1, -1))


def weights_to(weight: np.ndarray, layout: str) -> np.ndarray:
    """Weights (a, b, ...) as (..., b, a)."""
    return weight if layout == "NCHW" else np.ascontiguousarray(np.moveaxis(np.moveaxis(weight, 0, -1), 0, -2))


def columns_to(columns: np.ndarray, layout: str, channels: int) -> np.ndarray:
    """The matrix of unfold, channel by channel, in a layout."""
    if layout == "NCHW":
        return columns
    *lead, window, count = columns.shape
    split = columns.reshape(*lead, channels, window // channels, count)
    return np.ascontiguousarray(np.swapaxes(split, -1, -3)).reshape(*lead, count, window)


SPACE = {1: (9,), 2: (7, 8), 3: (4, 5, 6)}


def _convolutions() -> list[Call]:
    calls = []
    for axes, spatial in SPACE.items():
        kernels = ((3,) * axes, (2, 3, 1)[:axes])
        for kernel, stride, padding, dilation, groups in product(kernels, (1, 2), (0, 1), (1, 2), (1, 2)):
            if axes == 3 and dilation == 2 and padding == 0 and kernel[0] == 3:
                continue  # reaches past the depth
            options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
            calls.append(Call(f"conv{axes}d", axes, (2, 4, *spatial), (6, 4 // groups, *kernel), options))
        calls += [
            Call(f"conv{axes}d", axes, (4, *spatial), (5, 4, *(2,) * axes)),
            Call(f"conv{axes}d", axes, (0, 4, *spatial), (5, 4, *(2,) * axes)),
            Call(f"conv{axes}d", axes, (1, 3, *spatial), (3, 1, *(2,) * axes), {"groups": 3, "padding": "same"}),
            Call(f"conv{axes}d", axes, (1, 3, *spatial), (6, 1, *(3,) * axes), {"groups": 3, "padding": "valid"}),
            Call(f"conv{axes}d", axes, (2, 3, *spatial), (4, 3, *(1,) * axes), {"stride": (3, 2, 1)[:axes]}),
        ]
    return calls


def _transposed() -> list[Call]:
    calls = []
    for axes, spatial in SPACE.items():
        small = tuple(extent // 2 for extent in spatial)
        for stride, padding, dilation, groups, more in product((1, 2, 3), (0, 1), (1, 2), (1, 2), (0, 1)):
            if more >= max(stride, dilation):
                continue
            options = {
                "stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "output_padding": more
            }  # fmt: skip
            calls.append(Call(f"conv_transpose{axes}d", axes, (2, 4, *small), (4, 6 // groups, *(3,) * axes), options))
        mixed = {"stride": (3, 2, 1)[:axes], "output_padding": (2, 1, 0)[:axes]}
        calls += [
            Call(f"conv_transpose{axes}d", axes, (4, *small), (4, 3, *(2,) * axes)),
            Call(f"conv_transpose{axes}d", axes, (0, 4, *small), (4, 3, *(2,) * axes)),
            Call(f"conv_transpose{axes}d", axes, (1, 3, *small), (3, 2, *(2,) * axes), {"groups": 3, **mixed}),
        ]
    return calls


def _pools() -> list[Call]:
    calls = []
    for axes, spatial in SPACE.items():
        shapes = ((2, 3, *spatial), (3, *spatial), (0, 3, *spatial))
        for stride, padding, ceil_mode in product((None, 1, 3), (0, 1), (False, True)):
            options = {"kernel_size": 2, "stride": stride, "padding": padding, "ceil_mode": ceil_mode}
            calls.append(Call(f"max_pool{axes}d", axes, shapes[0], None, {**options, "dilation": 2}))
            calls.append(Call(f"max_pool{axes}d", axes, shapes[0], None, options))
            both = ({**options, "count_include_pad": counted} for counted in (True, False))
            calls += [Call(f"avg_pool{axes}d", axes, shapes[0], None, counting) for counting in both]
        for shape in shapes[1:]:
            calls += [Call(f"{kind}_pool{axes}d", axes, shape, None, {"kernel_size": 3}) for kind in ("max", "avg")]
        if axes > 1:
            calls.append(Call(f"avg_pool{axes}d", axes, shapes[0], None, {"kernel_size": 3, "divisor_override": 4}))
        for size in (1, 3, (5, 2, 3)[:axes], (None, 2, None)[:axes]):
            for shape in shapes[:2]:
                calls.append(Call(f"adaptive_avg_pool{axes}d", axes, shape, None, {"output_size": size}))
                calls.append(Call(f"adaptive_max_pool{axes}d", axes, shape, None, {"output_size": size}))
        for power, stride, ceil_mode in product((1, 2, 3.5, inf, -inf), (2, 3), (False, True)):
            options = {"norm_type": power, "kernel_size": 3, "stride": stride, "ceil_mode": ceil_mode}
            calls.append(Call(f"lp_pool{axes}d", axes, shapes[0], None, options, positive=True))
    return calls


def _means() -> list[Call]:
    calls = []
    for kind, padding, ceil_mode, shape in product(
        ("geometric", "harmonic"), (0, 1, ((0, 1), (1, 0))), (False, True), ((2, 3, 7, 8), (3, 6, 5))
    ):
        options = {"kernel_size": (3, 2), "stride": 2, "padding": padding, "ceil_mode": ceil_mode}
        calls.append(Call(f"{kind}_avg_pool2d", 2, shape, None, options, positive=True))
    return calls


def _columns() -> list[Call]:
    return [
        Call("unfold", 2, shape, None, {"kernel_size": k, "dilation": d, "padding": p, "stride": s})
        for shape, k, d, p, s in product(((2, 3, 7, 8), (3, 7, 8)), (1, (2, 3)), (1, (2, 1)), (0, (1, 2)), (1, (3, 2)))
    ]


def _paddings() -> list[Call]:
    calls = [
        Call("pad", axes, (2, 3, *spatial), None, {"pad": tuple(pad[: 2 * axes]), "mode": mode})
        for axes, spatial in SPACE.items()
        for mode in ("constant", "reflect", "replicate", "circular")
        for pad in ((1, 2, 0, 3, 2, 1), (0, 1, 2, 0, 0, 0), (-1, 2, 1, -2, -1, -1))
    ]
    calls += [Call("pad", 2, (3, 5, 6), None, {"pad": (2, 1, 1, 0), "mode": mode}) for mode in ("reflect", "circular")]
    calls.append(Call("pad", 2, (2, 3, 5, 6), None, {"pad": (1, 2), "value": 2.5}))
    return calls


def _sizes() -> list[Call]:
    calls = []
    blends = {1: "linear", 2: "bilinear", 3: "trilinear"}
    for axes, spatial in SPACE.items():
        modes = ["nearest", "nearest-exact", "area", blends[axes]] + ["bicubic"] * (axes == 2)
        ways: list[dict[str, Any]] = [
            {"size": 5},
            {"size": (3, 11, 6)[:axes]},
            {"scale_factor": 2},
            {"scale_factor": 1.7},
            {"scale_factor": (0.6, 1.3, 2.0)[:axes], "recompute_scale_factor": True},
        ]
        for mode, way in product(modes, ways):
            blend = mode in (blends[axes], "bicubic")
            for corners in (None, True, False) if blend else (None,):
                options = {**way, "mode": mode, "align_corners": corners}
                calls.append(Call("interpolate", axes, (2, 3, *spatial), None, options))
    return calls


CALLS = {
    call.name: call
    for call in (
        *_convolutions(), *_transposed(), *_pools(), *_means(), *_columns(), *_paddings(), *_sizes()
    )
}  # fmt: skip

FROM_INPUT = ("max_pool", "adaptive_max_pool", "lp_pool", "geometric", "harmonic")  # gradients that want the input
