"""Build fastconv: every kernel once per (instruction set, dtype), the rest of csrc/ once, one Cython module over them.

pyproject.toml holds everything static. These environment variables choose a variant:

CC, CFLAGS            the compiler (GCC 11, Clang 12 or newer) and flags added to its own
FASTCONV_OPENMP=0     serial build; otherwise OpenMP is used when the compiler has it
FASTCONV_DEBUG=1      assertions and debug information, little optimisation
FASTCONV_SANITIZE=…   as FASTCONV_DEBUG, with -fsanitize=…: address, undefined, address,undefined or thread
FASTCONV_WERROR=1     warnings are errors
FASTCONV_ABI3=0       an extension for this Python alone; free-threaded Pythons always get one
"""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, PlatformError

ISA_FLAGS = {
    "x86": {
        "baseline": ["-march=x86-64-v2"],
        "avx2": ["-march=x86-64-v3"],
        "avx512": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
    },
    "aarch64": {"neon": ["-march=armv8-a"]},
}
ARCHITECTURES = {"x86_64": "x86", "amd64": "x86", "aarch64": "aarch64", "arm64": "aarch64"}
DTYPES = {"f32": ("float", 32), "f64": ("double", 64)}
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic"] + ["-Werror"] * (os.environ.get("FASTCONV_WERROR") == "1")
FLAGS = [
    "-std=c11",
    "-ffp-contract=fast",  # -std=c11 alone keeps a * b + c from becoming an FMA
    *("-fno-math-errno", "-fvisibility=hidden", "-fPIC", "-pthread", "-Icsrc"),
    *WARNINGS,
]

SANITIZE = os.environ.get("FASTCONV_SANITIZE", "")
DEBUG = bool(SANITIZE) or os.environ.get("FASTCONV_DEBUG") == "1"
LINES = "-g1" if SANITIZE else "-g"  # what a sanitizer reports; all of -g is half of the time that a kernel takes
MODE = ["-O1", LINES, "-UNDEBUG", "-fno-omit-frame-pointer"] if DEBUG else ["-O3", "-g0", "-DNDEBUG"]
# Sources that -O3 makes half as large again and no faster: whole tiles in straight lines; what calls kernels and Python
# and does no arithmetic of its own. And what processors before 2013 run: a smaller wheel is worth more there than some
# percent of speed.
SMALL = {
    "conv_channel f64": ["-O2"],
    "winograd": ["-O2"],
    "conv_store f64": ["-O2"],
    "pool f64": ["-O2"],
    "norm f64": ["-O2"],
    "conv_depthwise": ["-O2"],
    "depthwise_squares": ["-O2"],
    "depthwise_lines": ["-O2"],
    "lanes": ["-O2"],
    "lanes f64": ["-Os"],  # networks in float64 are rare
    "baseline": ["-Os"],
    "ops": ["-O2"],
    "_core": ["-O2"],
}
# No exception passes through C, so nothing needs to unwind it: tables of 170 KB.
UNWIND = [] if DEBUG else ["-fno-asynchronous-unwind-tables"]
SANITIZER = [f"-fsanitize={SANITIZE}", "-fno-sanitize-recover=all"] if SANITIZE else []
# GCC's AddressSanitizer calls its checks, since written out they double the time that a kernel takes to compile.
CALLED_CHECKS = ["--param", "asan-instrumentation-with-call-threshold=0"]
# What a debug or sanitizer build does with kernels that nothing runs: a third of its time otherwise.
UNUSED = ["-O0", "-g0"]
NEEDS = {"avx2": {"avx2", "bmi2", "fma"}, "avx512": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}}
CPUINFO = Path("/proc/cpuinfo")
ABI3 = os.environ.get("FASTCONV_ABI3") != "0" and not sysconfig.get_config_var("Py_GIL_DISABLED")

NO_COMPILER = """fastconv is compiled on installation and needs a C compiler: {problem}.
Install GCC 11 or newer (Debian, Ubuntu: apt-get install gcc python3-dev; Fedora: dnf install gcc python3-devel),
or Clang 12 or newer (macOS: xcode-select --install), or name one: CC=/path/to/compiler pip install …"""


def smaller(*keys: str) -> list[str]:
    """Return the flags of the first of `keys` that is to be small."""
    return [] if DEBUG else next((SMALL[key] for key in keys if key in SMALL), [])


def runs_here(isa: str) -> bool:
    """Return whether this processor may have an instruction set: true where nothing says what it has."""
    return not CPUINFO.exists() or NEEDS.get(isa, set()) <= set(CPUINFO.read_text().split())


class Unit(NamedTuple):
    """One compilation: a source file, the folder of its object, and the flags it gets beyond the common ones."""

    source: Path
    folder: Path
    flags: list[str]
    runs: bool = True


def sources(folder: str) -> list[Path]:
    return sorted(Path("csrc", folder).glob("*.c"))


class Compiler:
    """The C compiler that CC or Python's own configuration names, and what it can do."""

    def __init__(self) -> None:
        self.name, *_ = self.command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
        target = self.run("-dumpmachine").stdout.split("-")[0]
        if target not in ARCHITECTURES:
            raise PlatformError(f"fastconv has kernels for x86-64 and aarch64, but {self.name} compiles for {target!r}")
        self.arch = ARCHITECTURES[target]
        self.version = self.run("--version").stdout
        self.isas = {isa: list(flags) for isa, flags in ISA_FLAGS[self.arch].items()}
        if self.arch == "aarch64" and "clang" not in self.version:
            self.isas["neon"].append("-fno-schedule-insns")  # GCC's first scheduling pass spills the register tiles
        for isa, flags in self.isas.items():
            if not self.builds("#include <Python.h>\n", *flags, f"-I{sysconfig.get_path('include')}"):
                raise PlatformError(NO_COMPILER.format(problem=f"{self.name} cannot compile Python.h for {isa}"))
        called = "address" in SANITIZE and "clang" not in self.version
        self.sanitizer = [*SANITIZER, *(CALLED_CHECKS if called else [])]
        probe = "#include <omp.h>\nint threads(void) { return omp_get_max_threads(); }\n"
        wanted = os.environ.get("FASTCONV_OPENMP") != "0"
        self.openmp = ["-fopenmp"] if wanted and self.builds(probe, "-fopenmp") else []

    def run(self, *args: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run([*self.command, *args], capture_output=True, text=True, check=False)
        except OSError as error:
            problem = f"{self.name} does not start ({error.strerror})"
            raise PlatformError(NO_COMPILER.format(problem=problem)) from None

    def builds(self, program: str, *flags: str) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text(program)
            return self.run(*flags, "-shared", "-fPIC", str(source), "-o", f"{folder}/probe.so").returncode == 0

    def compile(self, unit: Unit) -> str:
        """Compile one unit, unless its object was made by the same command from the same contents; return its path."""
        unit.folder.mkdir(parents=True, exist_ok=True)
        target = unit.folder / f"{unit.source.stem}.o"
        extra = shlex.split(os.environ.get("CFLAGS", ""))
        mode = [*MODE, *UNWIND, *self.sanitizer] if unit.runs else UNUSED
        args = [*FLAGS, *mode, *extra, *unit.flags, "-c", str(unit.source), "-o", str(target)]
        stamp, depends = target.with_suffix(".stamp"), target.with_suffix(".d")
        if target.exists() and stamp.exists() and stamp.read_text() == self.digest(args, depends):
            return str(target)
        stamp.unlink(missing_ok=True)
        done = self.run(*args, "-MD", "-MF", str(depends))
        if done.returncode:
            raise CompileError(f"{shlex.join([*self.command, *args])}\n{done.stderr}")
        print(target, done.stderr, sep="\n", end="")
        stamp.write_text(self.digest(args, depends))
        return str(target)

    def digest(self, args: list[str], depends: Path) -> str:
        """Hash the compiler, the command and every file that the compiler read the last time."""
        state = hashlib.sha256(repr([self.command, self.version, args]).encode())
        for name in shlex.split(depends.read_text().replace("\\\n", " "))[1:]:
            state.update(Path(name).read_bytes() if Path(name).exists() else b"missing")
        return state.hexdigest()


class BuildExt(build_ext):
    """Compile csrc/ in parallel and link its objects into the extension module."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.force = True  # flags and environment variables have no timestamps

    def build_extension(self, ext: Extension) -> None:
        compiler = Compiler()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            ext.extra_objects = list(pool.map(compiler.compile, self.units(compiler)))
        wrap = ["-fno-wrapv"] * bool(SANITIZE)
        ext.extra_compile_args = [*MODE, *smaller("_core"), *UNWIND, *compiler.sanitizer, "-fvisibility=hidden", *wrap]
        ext.extra_link_args = ["-pthread", *SANITIZER, *compiler.openmp]
        ext.sources = cythonize(ext, build_dir="build/cython")[0].sources
        super().build_extension(ext)

    @staticmethod
    def units(compiler: Compiler) -> list[Unit]:
        objects = Path("build", "objects")
        units = []
        used = [isa for isa in compiler.isas if not DEBUG or runs_here(isa)]
        if SANITIZE == "thread":
            used = used[-1:]  # what threads do is the same for all of them
        for isa in compiler.isas:
            runs = isa in used
            for dtype, (real, bits) in DTYPES.items():
                macros = {"ISA": isa, f"ISA_{isa.upper()}": 1, "DTYPE": dtype, "REAL": real, "REAL_BITS": bits}
                flags = [*compiler.isas[isa], *(f"-DFC_{name}={value}" for name, value in macros.items())]
                for source in sources("kernels"):
                    small = smaller(isa, f"{source.stem} {dtype}", source.stem)
                    units.append(Unit(source, objects / f"{isa}-{dtype}", [*flags, *small], runs))
        arch = f"-DFC_BUILD_{compiler.arch.upper()}=1"
        openmp = [*compiler.openmp, "-DFC_OPENMP=1"] if compiler.openmp else []
        units += [Unit(s, objects / "ops", [arch, *openmp, *smaller("ops")]) for s in sources("ops")]
        units += [Unit(s, objects / "dispatch", [arch]) for s in sources("dispatch")]
        return units


core = Extension(
    "fastconv._core",
    ["fastconv/_core.pyx"],
    include_dirs=["csrc"],
    define_macros=[("Py_LIMITED_API", "0x030B0000")] if ABI3 else [],
    py_limited_api=ABI3,
)

setup(
    ext_modules=[core],
    cmdclass={"build_ext": BuildExt},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if ABI3 else {},
)
