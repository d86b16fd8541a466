"""Collect these tests only when they are asked for by ``-m cuda``, and run their kernels in Numba's simulator.

``NUMBA_ENABLE_CUDASIM=0 pytest -m cuda`` runs them on a GPU instead, and those that are marked ``gpu`` too.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("NUMBA_ENABLE_CUDASIM", "1")  # read when Numba is imported, which nothing has done yet

HERE = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    expression = config.getoption("markexpr")
    asked = ("cuda" in expression or "gpu" in expression) and "not cuda" not in expression
    return None if asked or HERE not in collection_path.parents else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    simulated = os.environ["NUMBA_ENABLE_CUDASIM"] == "1"
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("cuda")
            if simulated and item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a GPU, and this is the simulator"))
