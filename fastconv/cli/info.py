"""``fastconv info``: what computes here."""

from __future__ import annotations

import platform
import re
from pathlib import Path
from typing import Any

import fastconv

_OPENMP_LIBRARY = re.compile(r"/\S*/lib(?:gomp|omp|iomp5)\b[^/\s]*$", re.MULTILINE)


def info() -> None:
    """Print version, instruction sets, OpenMP runtime, threads, and the versions of NumPy and Python."""
    facts: dict[str, Any] = fastconv.show_config("dicts") or {}
    rows = {
        "fastconv": facts["version"],
        "instruction sets": ", ".join(facts["isas"]),
        "in use": facts["isa"],
        "OpenMP": openmp_runtime() if facts["openmp"] else "none: built without it, on one thread",
        "threads": facts["threads"],
        "precision": facts["precision"],
        "NumPy": facts["numpy"],
        "Python": f"{platform.python_version()}, {platform.system()} {platform.machine()}",
    }
    for name, value in rows.items():
        print(f"{name:<18}{value}")


def openmp_runtime() -> str:
    """Name the OpenMP libraries that this process has loaded, where the system tells.

    Returns
    -------
    str
        Their paths, or ``"yes"``.
    """
    try:
        maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "yes"
    return ", ".join(sorted(set(_OPENMP_LIBRARY.findall(maps)))) or "yes"
