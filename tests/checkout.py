"""Where the sources lie that the tests read: the folder that holds tests/, be it a clone or an unpacked sdist."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
C_SOURCES = sorted(path for path in (ROOT / "csrc").rglob("*") if path.suffix in {".c", ".h"})
MODULES = sorted(path for path in (ROOT / "fastconv").rglob("*.py") if "__pycache__" not in path.parts)


def text_files() -> list[Path]:
    """Every file that somebody wrote, without what builds and tools leave behind."""
    folders = [".ci", "benchmarks", "csrc", "docs", "fastconv", "tests"]
    suffixes = {
        ".c",
        ".cfg",
        ".h",
        ".ini",
        ".in",
        ".md",
        ".pxd",
        ".py",
        ".pyi",
        ".pyx",
        ".sh",
        ".toml",
        ".yaml",
        ".yml",
        "",
    }
    found = [path for folder in folders for path in (ROOT / folder).rglob("*")] + list(ROOT.iterdir())
    skipped = {"__pycache__", ".git"}  # a linked worktree's .git is a file
    return sorted(p for p in found if p.is_file() and p.suffix in suffixes and not skipped.intersection(p.parts))
