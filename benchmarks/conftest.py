"""Few rounds for each benchmark, thread counts, and what a record says beyond its times."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import fastconv
from fastconv import runtime
from fastconv.bench.contender import Call, Contender

# A contender's idle threads may spin on the cores of the next one for a while.
PAUSE_SECONDS = 0.03
PACKAGES = ["fastconv", "numpy", "torch", "onnxruntime", "openvino", "ncnn", "opencv-python-headless", "scipy"]
MOST_THREADS = fastconv.get_num_threads()

Measure = Callable[..., None]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if collection_path.name == "test_random.py" and not config.getoption("--random") else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    device = getattr(metafunc.module, "DEVICE", "cpu")
    if "device" in metafunc.fixturenames:
        metafunc.parametrize("device", [device])
    if "threads" in metafunc.fixturenames:
        numbers = sorted({1, MOST_THREADS}) if device == "cpu" else [1]
        metafunc.parametrize("threads", numbers, ids="threads={}".format)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order, and rounds of a millisecond for a tenth of a second unless the command line says otherwise."""
    wanted = {"max_time": ("1.0", 0.1), "min_time": ("0.000005", 0.001), "warmup_iterations": (100000, 1)}
    options: dict[str, Any] = {
        name: value
        for name, (default, value) in wanted.items()
        if str(config.getoption(f"benchmark_{name}", default)) == str(default)
    }
    order: dict[Any, int] = {}

    def place(item: pytest.Item) -> tuple[int, int]:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        group = (item.location[0], parameters["case"], parameters.get("what")) if "case" in parameters else item.nodeid
        return order.setdefault(group, len(order)), parameters.get("threads", 0)

    # contenders for one case and number of threads in a row, so that a drift of the machine's speed hits all alike
    items.sort(key=place)
    for item in items:
        if "benchmark" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.benchmark(warmup=True, disable_gc=True, **options))


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """What the table says about where it was made."""
    machine_info["isa"] = runtime.get_isa()
    machine_info["versions"] = {
        distribution.name: distribution.version
        for distribution in metadata.distributions()
        if distribution.name in PACKAGES
    }


@pytest.fixture
def measure(benchmark: Any, contender: Contender, threads: int, device: str) -> Iterator[Measure]:
    """Time a call that was found right, and note what it was and how much it did a second."""

    def measured(call: Call, name: str, title: str, headline: bool, **work: float) -> None:
        benchmark.group = f"{name} {device} threads={threads}"
        benchmark.extra_info.update(
            title=title,
            headline=headline,
            implementation=contender.implementation,
            layout=contender.layout,
            threads=threads,
            device=device,
        )
        time.sleep(PAUSE_SECONDS)
        benchmark(call.run)
        if benchmark.stats is not None:
            for unit, amount in work.items():
                benchmark.extra_info[unit] = float(f"{amount / benchmark.stats.stats.median:.4g}")

    before = fastconv.get_num_threads()
    fastconv.set_num_threads(threads)
    yield measured
    fastconv.set_num_threads(before)
    # A wrong result is not, on top of that, a benchmark that was forgotten.
    benchmark.skipped = "title" not in benchmark.extra_info
