"""The architecture, read from the sources: who may include or import whom, and what each layer keeps out."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from checkout import C_SOURCES, MODULES, ROOT, text_files

CSRC = ROOT / "csrc"

# --- C -----------------------------------------------------------------------------------------------------------

# Which layers a layer's files may include: downwards, and into their own folder.
MAY_INCLUDE = {
    "fastconv.h": set(),
    "kernel contracts": {"kernel contracts", "fastconv.h"},
    "dispatch": {"dispatch", "kernel contracts", "fastconv.h"},
    "kernels": {"kernels", "kernel contracts", "fastconv.h"},
    "ops": {"ops", "kernel contracts", "fastconv.h"},
}
# What of the standard library a kernel may see: types, limits, mathematics, and memcpy and its like.
KERNEL_LIBRARY = {"assert.h", "float.h", "limits.h", "math.h", "stdbool.h", "stddef.h", "stdint.h", "string.h"}
INTRINSICS = r"\b(_mm\d*_\w+|__m\d+\w*|__builtin_ia32_\w+|vld1q?_\w+|vst1q?_\w+)\b|<(immintrin|x86intrin|arm_neon)\.h>"
LIBC_STATE = (
    r"\b(malloc|calloc|realloc|free|alloca|posix_memalign|aligned_alloc|fopen|f?printf|abort|exit|errno|s?rand)\b"
)


def layer(path: Path) -> str:
    """The folder, but what dispatch/ promises of kernels is a layer of its own: dispatch/*kernels.h."""
    if path.parent.name == "dispatch" and path.name.endswith("kernels.h"):
        return "kernel contracts"
    return path.relative_to(CSRC).parts[0]


def includes(path: Path) -> list[tuple[str, str]]:
    return re.findall(r'^\s*#\s*include\s*([<"])([^>"]+)', path.read_text(), re.MULTILINE)


def code(path: Path) -> str:
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", path.read_text(), flags=re.DOTALL)


def test_the_c_sources_were_found() -> None:
    assert {layer(path) for path in C_SOURCES} >= {"fastconv.h", "kernels", "ops", "dispatch"}


@pytest.mark.parametrize("path", C_SOURCES, ids=lambda path: path.name)
def test_includes_point_downwards(path: Path) -> None:
    own = layer(path)
    for kind, name in includes(path):
        if kind == "<":
            assert own != "kernels" or path.name == "simd.h" or name in KERNEL_LIBRARY, f"{path.name} includes <{name}>"
            continue
        target = next((t for t in (path.parent / name, CSRC / name) if t.exists()), None)
        assert target is not None, f"{path.name} includes {name}, which lies neither beside it nor in csrc/"
        assert target.suffix == ".h", f"{path.name} includes the source {name}"
        reached = layer(target.resolve())
        assert reached in MAY_INCLUDE[own], f"{path.name} ({own}) includes {name} ({reached})"


@pytest.mark.parametrize("path", [p for p in C_SOURCES if p.parent.name == "kernels"], ids=lambda path: path.name)
def test_kernels_only_compute(path: Path) -> None:
    assert not re.findall(LIBC_STATE, code(path))
    mutable = r"^static (?!inline|const\b|_Noreturn)[\w \*]+\b\w+(\[[^\]]*\])*\s*(=[^=]|;)"
    assert not re.findall(mutable, code(path), re.MULTILINE), "a kernel keeps state between calls"


def test_openmp_stays_in_ops() -> None:
    users = {path for path in C_SOURCES if re.search(r"#\s*pragma omp|_Pragma\(\"omp|<omp\.h>|\bomp_\w+", code(path))}
    assert users
    assert {layer(path) for path in users} == {"ops"}


def test_intrinsics_stay_in_simd_h() -> None:
    assert {path.name for path in C_SOURCES if re.search(INTRINSICS, code(path))} == {"simd.h"}


def test_cython_sees_one_header() -> None:
    headers = set()
    for path in (ROOT / "fastconv").rglob("*.p[yx][xd]"):
        headers |= set(re.findall(r"cdef extern from\s+[\"']([^\"']+)", path.read_text()))
    ours = {name for name in headers - {"Python.h"} if not name.startswith("<")}
    assert ours == {"fastconv.h"}


# --- Python ------------------------------------------------------------------------------------------------------

KERAS_FACE = {"callbacks", "datasets", "initializers", "layers", "losses", "metrics", "models", "optimizers"}
KERAS_FACE |= {"regularizers", "utils"}
# From the bottom up; a module imports from its own row and the rows below. The package's root holds lazy names.
ROWS = [
    {"_core"},
    {
        "_arguments",
        "_machine",
        "_planned",
        "_program",
        "cuda",
        "_training",
        "functional",
        "grad",
        "image",
        "plan",
        "runtime",
    },
    KERAS_FACE | {"_registry"},
    {"__main__", "bench", "cli", "pictures"},
]
RANK = {name: rank for rank, row in enumerate(ROWS) for name in row}


def name_of(path: Path) -> str:
    """The module's name below fastconv: "functional", "layers.pooling", or "" for the package itself."""
    return ".".join(part for part in path.relative_to(ROOT / "fastconv").with_suffix("").parts if part != "__init__")


def imported(path: Path) -> set[str]:
    """Return the absolute names of all modules that a file imports anywhere; `from . import x` gives "fastconv.x"."""
    package = ["fastconv", *path.relative_to(ROOT / "fastconv").parent.parts]
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            # What `from fastconv import x` names may be a module: then x is what is imported.
            inner = {f"{module}.{alias.name}" for alias in node.names}
            names |= inner if module == "fastconv" else {module}
    return names


def parts(path: Path) -> set[str]:
    """The modules and subpackages directly under fastconv that a file imports."""
    return {name.split(".")[1] for name in imported(path) if name.startswith("fastconv.")}


OPERATING = [p for p in MODULES if name_of(p).split(".")[0] not in {"", "reference"}]


@pytest.mark.parametrize("path", OPERATING, ids=name_of)
def test_imports_point_downwards(path: Path) -> None:
    top = name_of(path).split(".")[0]
    assert top in RANK, f"{top} has no row: say in ROWS where it belongs"
    for target in parts(path) & RANK.keys():
        assert RANK[target] <= RANK[top], f"{name_of(path)} imports {target} from a row above its own"
        assert target != "_core" or RANK[top] == 1, f"{name_of(path)} reaches past functional to _core"
    assert "reference" not in parts(path), f"{name_of(path)} imports the reference"


def test_reference_stands_alone() -> None:
    library = {"numpy", "__future__", "collections", "itertools", "math", "typing"}
    files = sorted((ROOT / "fastconv" / "reference").glob("*.py"))
    assert files
    for path in files:
        outside = {name for name in imported(path) if not name.startswith("fastconv.reference.")}
        assert {name.split(".")[0] for name in outside} <= library, path.name
    assert "reference" not in {name.split(".")[-1] for name in imported(ROOT / "fastconv" / "__init__.py")}


def child(program: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_import_brings_numpy_and_nothing_else() -> None:
    program = "import numpy, sys; before = set(sys.modules); import fastconv; print(*set(sys.modules) - before)"
    # Cython registers its shared types under names of its own; __future__ belongs to the language.
    ours = r"fastconv(\.|$)|_cython_|cython_runtime$|__future__$"
    assert not {name for name in child(program) if not re.match(ours, name)}


def test_submodules_load_on_first_use() -> None:
    loaded = "[name for name in sys.modules if name.split('.')[:1] == ['fastconv']]"
    early = child(f"import fastconv, sys; print(*{loaded})")
    assert not {f"fastconv.{name}" for name in [*KERAS_FACE, "cli", "reference"]} & set(early)
    for name in [*KERAS_FACE, "functional", "grad", "Sequential", "Model", "Input", "plan_conv2d"]:
        assert child(f"import fastconv; print(fastconv.{name} is not None, {name!r} in dir(fastconv))") == [
            "True",
            "True",
        ]


# --- everywhere --------------------------------------------------------------------------------------------------

FORBIDDEN = {
    "flags that trade IEEE arithmetic for speed": r"-f?fast.math|-Ofast|-funsafe-math|-ffinite-math",
    "paths of one machine": r"(?:^|[ \"'=(])/(?:work|farm|tmp|home|root)/",
    "hosts of package registries": r"pypi\.org|pythonhosted\.org|deb\.debian\.org|npmjs\.org",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_holds(what: str) -> None:
    prose = {".md"} if "flags" in what else set()
    files = [path for path in text_files() if path.suffix not in prose]
    assert len(files) > 20
    held = {path.name for path in files if re.search(FORBIDDEN[what], path.read_text(), re.MULTILINE)}
    assert held <= {"test_structure.py"} if "flags" in what else not held
