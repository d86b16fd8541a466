"""Every example in the docstrings and in the README runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import fastconv
from checkout import ROOT

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
NAMES = [
    "fastconv",
    *(m.name for m in pkgutil.walk_packages(fastconv.__path__, "fastconv.") if "__main__" not in m.name),
]
# These import Numba, which only the extra [cuda] installs: tests/cuda/test_docs.py.
NAMES = [name for name in NAMES if not name.startswith(("fastconv.cuda.", "fastconv.models.device."))]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # an example may write files


@pytest.mark.parametrize("name", NAMES)
def test_docstrings(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=OPTIONS)
    assert failed == 0


OPERATORS = [fastconv.functional, fastconv.grad]
PUBLIC = {f"{m.__name__}.{name}": getattr(m, name) for m in [*OPERATORS, fastconv] for name in m.__all__}


@pytest.mark.parametrize("name", [name for name, what in PUBLIC.items() if inspect.isfunction(what)])
def test_public_functions_have_examples(name: str) -> None:
    assert ">>>" in (PUBLIC[name].__doc__ or "")


@pytest.mark.parametrize("page", ["README.md"])
def test_pages(page: str) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    scope: dict[str, object] = {}
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    for number, block in enumerate(blocks):
        if ">>>" in block:
            test = doctest.DocTestParser().get_doctest(block, scope, f"{page}[{number}]", page, 0)
            runner.run(test, clear_globs=False)
            scope = test.globs
        else:
            exec(compile(block, f"{page}[{number}]", "exec"), scope)
    assert runner.summarize(verbose=False).failed == 0
