"""Filters of an image: fastconv.image and scipy.ndimage, called alike."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
import pytest

from fastconv import image
from fastconv.bench import exact
from fastconv.bench.contender import Array, Call, Contender, installed

SHAPE = (2048, 2048)


class Filter(NamedTuple):
    """A function of both packages; its parameter is the kernel in KERNELS if it is None."""

    name: str
    function: str
    parameter: float | None
    title: str
    size: int
    headline: bool = False


def square(size: int) -> Array:
    return exact.generator(f"kernel{size}").standard_normal((size, size))


def bell(sigma: float, radius: int) -> Array:
    line = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return np.outer(line, line) / line.sum() ** 2


FILTERS = [
    Filter("correlate_5", "correlate", None, "correlate 5×5", 5),
    Filter("correlate_15", "correlate", None, "correlate 15×15", 15, True),
    Filter("gaussian_5", "gaussian_filter", 0.5, "gaussian_filter, 5×5", 5),
    Filter("gaussian_15", "gaussian_filter", 1.75, "gaussian_filter, 15×15", 15, True),
    Filter("uniform_5", "uniform_filter", 5, "uniform_filter, 5×5", 5),
    Filter("uniform_15", "uniform_filter", 15, "uniform_filter, 15×15", 15),
    Filter("sobel", "sobel", 0, "sobel", 3, True),
    Filter("maximum_5", "maximum_filter", 5, "maximum_filter, 5×5", 5),
    Filter("maximum_15", "maximum_filter", 15, "maximum_filter, 15×15", 15, True),
]
# What the linear ones sum up; the others are maxima.
KERNELS = {
    "correlate_5": square(5),
    "correlate_15": square(15),
    "gaussian_5": bell(0.5, 2),
    "gaussian_15": bell(1.75, 7),
    "uniform_5": np.full((5, 5), 1 / 25),
    "uniform_15": np.full((15, 15), 1 / 225),
    "sobel": np.outer([-1, 0, 1], [1, 2, 1]),
}


@lru_cache(1)
def picture(name: str) -> Array:
    return exact.generator(name).standard_normal(SHAPE, np.float32)


@lru_cache(1)
def right(case: Filter) -> exact.Sample:
    x = np.pad(picture(case.name).astype(np.float64), case.size // 2, "symmetric")
    kernel = KERNELS.get(case.name)

    def value(row: int, column: int) -> float:
        seen = x[row : row + case.size, column : column + case.size]
        return float(seen.max() if kernel is None else (seen * kernel).sum())

    return exact.sample(case.name, SHAPE, value)


def call(module: Any, case: Filter, threads: int) -> Call:
    x = picture(case.name)
    parameter = KERNELS[case.name] if case.parameter is None else case.parameter
    return Call(partial(getattr(module, case.function), x, parameter, output=np.empty_like(x)), lambda made: made)


def contenders() -> list[Contender]:
    found = [Contender("fastconv", "NCHW", partial(call, image))]
    if installed("scipy"):
        import scipy.ndimage

        found.append(Contender("scipy", "NCHW", partial(call, scipy.ndimage)))
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    cases = [
        pytest.param(case, contender, id=f"{case.name}-{contender.id}")
        for case in FILTERS
        for contender in contenders()
    ]
    metafunc.parametrize(("case", "contender"), cases)


def test_image(case: Filter, contender: Contender, threads: int, measure: Any) -> None:
    prepared = contender.make(case, threads)
    right(case).check(prepared.read(prepared.run()), contender.bound)
    title = f"{case.title}, {SHAPE[1]}×{SHAPE[0]} image"
    measure(prepared, case.name, title, case.headline, **{"GB/s": 8 * np.prod(SHAPE) / 1e9})
