"""Examples in the docstrings of fastconv.cuda."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import fastconv.cuda

NAMES = [m.name for m in pkgutil.walk_packages(fastconv.cuda.__path__, "fastconv.cuda.")]


@pytest.mark.parametrize("name", NAMES)
def test_docstrings(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert failed == 0
