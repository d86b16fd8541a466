"""Choose what pytest collects, and keep the source tree from standing in for the installed package.

``pytest`` runs ``tests/``, ``pytest --benchmark`` runs ``benchmarks/``.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent

# Python puts the current folder first, where fastconv/ has no compiled module unless it was installed in editable mode.
# What is tested is what is installed, here and in the processes that tests start.
os.environ["PYTHONSAFEPATH"] = "1"
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--benchmark", action="store_true", help="run benchmarks/ instead of tests/")
    parser.addoption("--random", type=int, default=0, metavar="N", help="so many random layers in the benchmarks")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--benchmark") and config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args[:] = [str(ROOT / "benchmarks")]


def pytest_collection_finish() -> None:
    gc.freeze()  # a collection of garbage looks through thousands of tests otherwise


def pytest_runtest_setup() -> None:
    from fastconv import utils  # here: only now is it the installed one

    utils.set_random_seed(0)  # initial weights are the same in every run, whichever tests run before
