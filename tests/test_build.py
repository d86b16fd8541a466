"""What an installation consists of, and what building it says when it cannot. .ci/run makes the slow variants."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

import pytest

import fastconv
import fastconv._core
from checkout import ROOT


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the sources that a build may write to."""
    copy = tmp_path / "fastconv"
    for folder in ("csrc", "fastconv", "tests"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for file in filter(Path.is_file, ROOT.iterdir()):
        shutil.copy(file, copy)
    return copy


def build_ext(tree: Path, **environment: str) -> str:
    """Run a build that must fail; return what it said."""
    command = [sys.executable, "setup.py", "--quiet", "build_ext"]
    done = subprocess.run(
        command, cwd=tree, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize(
    "environment",
    [{"CC": "no-such-compiler"}, {"CC": "gcc", "PATH": "no-such-folder"}, {"CC": f"{os.devnull} -pthread"}],
    ids=["unknown", "empty-path", "not-a-program"],
)
def test_missing_compiler(tree: Path, environment: dict[str, str]) -> None:
    said = build_ext(tree, **environment)
    name = environment["CC"].split()[0]
    assert re.search(
        rf"error: fastconv is compiled on installation and needs a C compiler: {name} does not start", said
    )
    assert "apt-get install gcc python3-dev" in said
    assert not (tree / "build").exists()


def test_missing_python_headers(tree: Path, tmp_path: Path) -> None:
    compiler = tmp_path / "compiler"
    compiler.write_text('#!/bin/sh\n[ "$1" = -dumpmachine ] && echo x86_64-linux-gnu || exit 1\n')
    compiler.chmod(0o755)
    said = build_ext(tree, CC=str(compiler))
    assert "compiler cannot compile Python.h for baseline" in said
    assert "python3-dev" in said


def test_foreign_processor(tree: Path, tmp_path: Path) -> None:
    compiler = tmp_path / "compiler"
    compiler.write_text("#!/bin/sh\necho riscv64-linux-gnu\n")
    compiler.chmod(0o755)
    assert "fastconv has kernels for x86-64 and aarch64, but" in build_ext(tree, CC=str(compiler))


def test_broken_source(tree: Path) -> None:
    broken = next((tree / "csrc" / "dispatch").glob("*.c"))
    broken.write_text('#error "planted"\n')
    for source in [*(tree / "csrc" / "kernels").glob("*.c"), *(tree / "csrc" / "ops").glob("*.c")]:
        source.unlink()
    said = build_ext(tree)
    assert f"-c {broken.relative_to(tree)}" in said
    assert "planted" in said


def test_sdist_has_everything(tree: Path) -> None:
    command = [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", "dist", "."]
    subprocess.run(command, cwd=tree, capture_output=True, check=True)
    (archive,) = (tree / "dist").glob("*.tar.gz")
    assert archive.name == f"fastconv-{fastconv.__version__}.tar.gz"
    with tarfile.open(archive) as content:
        held = {name.partition("/")[2] for name in content.getnames()}
    wanted = {
        path.relative_to(tree).as_posix()
        for folder in ("csrc", "fastconv", "tests")
        for path in (tree / folder).rglob("*")
        if path.is_file()
    }
    wanted |= {"setup.py", "pyproject.toml", "conftest.py", "LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"}
    assert wanted <= held


def test_version_has_one_source() -> None:
    assert importlib.metadata.version("fastconv") == fastconv.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", fastconv.__version__)
    assert f"## {fastconv.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_numpy_is_the_only_requirement() -> None:
    requirements = importlib.metadata.requires("fastconv") or []
    assert [line for line in requirements if "extra ==" not in line] == ["numpy>=1.26"]
    extras = importlib.metadata.metadata("fastconv").get_all("Provides-Extra")
    assert set(extras or []) == {"demo", "test", "peers", "cuda", "dev"}


def test_the_module_uses_the_stable_abi() -> None:
    suffix = Path(fastconv._core.__file__).name.partition(".")[2]
    own = {sysconfig.get_config_var("EXT_SUFFIX").lstrip("."), "abi3.so"}
    assert suffix in own
    assert suffix == "abi3.so" or sysconfig.get_config_var("Py_GIL_DISABLED") or os.environ.get("FASTCONV_ABI3") == "0"


def test_installed_files() -> None:
    files = [str(file) for file in importlib.metadata.files("fastconv") or []]
    assert files
    assert not [name for name in files if name.endswith((".c", ".h", ".pyx", ".pxd", ".o"))]
    package = Path(fastconv.__file__).parent
    assert [path.name for path in package.glob("_core*.so")] == [Path(fastconv._core.__file__).name]
    assert (package / "py.typed").exists()
    assert (package / "_core.pyi").exists()
