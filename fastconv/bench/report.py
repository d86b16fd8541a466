"""What a benchmark leaves behind: lines for the terminal, a record as JSON, a page in Markdown."""

from __future__ import annotations

import math
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from fastconv import _machine, runtime
from fastconv.bench.race import Race, Time

PACKAGES = ["fastconv", "numpy", "torch", "onnxruntime", "openvino", "ncnn", "opencv-python-headless"]
NAMES = {
    "torch": "PyTorch",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "opencv": "OpenCV",
    "opencv-python-headless": "OpenCV",
    "numpy": "NumPy",
}
HEADER = (
    f"{'layer':<34}{'fastconv':>10} {'GFLOP/s':>8} {'of roof':>8}  {'fastest peer':<22}{'its time':>10} {'ratio':>6}"
)


def processor() -> str:
    """Name the processor, as far as the system tells."""
    try:
        found = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1) if found else platform.processor() or platform.machine()


def machine() -> dict[str, Any]:
    """Return where and when a benchmark ran: processor, instruction set, what it can do at best, versions, date."""
    versions = {d.name: d.version for d in metadata.distributions() if d.name in PACKAGES}
    roof = _machine.Roofline(1.0, 1.0, False)
    return {
        "processor": processor(),
        "isa": runtime.get_isa(),
        "peak_gflops": round(roof.peak / 1e9, 1),
        "copy_gb_per_s": round(roof.copy / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": dict(sorted(versions.items())),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def who(time: Time) -> str:
    return f"{NAMES.get(time.implementation, time.implementation)} {time.layout}"


def duration(seconds: float) -> str:
    return f"{seconds * 1e6:,.1f} us" if seconds < 1e-3 else f"{seconds * 1e3:,.2f} ms"


def line(race: Race) -> str:
    """One row of the terminal's table."""
    own, peer, ratio = race.own, race.peer, race.ratio
    row = f"{race.layer.name:<34}{duration(own.seconds):>10} {race.rate(own.seconds):>8.1f}"
    row += f" {race.roof_seconds / own.seconds:>8.2f}"
    return row + (f"  {who(peer):<22}{duration(peer.seconds):>10} {ratio:>6.2f}" if peer else "")


def geomean(races: Sequence[Race]) -> float | None:
    """The geometric mean of the ratios, of those races that a peer took part in."""
    ratios = [race.ratio for race in races if race.ratio is not None]
    return math.exp(math.fsum(map(math.log, ratios)) / len(ratios)) if ratios else None


def record(races: Sequence[Race], where: dict[str, Any]) -> dict[str, Any]:
    """Return everything that was measured, as JSON takes it."""
    return {
        "machine": where,
        "races": [
            {
                "layer": race.layer.name,
                "title": race.layer.title,
                "flops": race.layer.flops,
                "threads": race.threads,
                "roof_us": race.roof_seconds * 1e6,
                "bound": race.bound,
                "times_us": {f"{time.implementation} {time.layout}": time.seconds * 1e6 for time in race.times},
            }
            for race in races
        ],
    }


def page(races: Sequence[Race], where: dict[str, Any], picture: str) -> str:
    """Return the page in Markdown: machine, versions, date, a table for each number of threads."""
    peak, copy = where["peak_gflops"], where["copy_gb_per_s"]
    versions = ", ".join(f"{NAMES.get(name, name)} {version}" for name, version in where["versions"].items())
    parts = [
        "# How fast\n",
        f"Made by `fastconv bench` on {where['date']}: {where['processor']} ({where['isa']}), {where['system']}, "
        f"Python {where['python']}, {versions}. One core does {peak} GFLOP/s in a loop of multiply-adds in registers, "
        f"and copies {copy} GB/s, read and written, between arrays past its caches; the roof is what these two allow. "
        "Times are medians over turns that all contenders take in one process, each in its better layout; the ratio is "
        "the fastest peer's time over fastconv's.\n",
    ]
    for threads in sorted({race.threads for race in races}):
        mine = [race for race in races if race.threads == threads]
        mean = geomean(mine)
        parts.append(f"## {threads} thread{'s' * (threads > 1)}\n")
        if mean is not None:
            parts.append(f"Geometric mean of the ratios: {mean:.2f}.\n")
        parts.append(f"![GFLOP/s against the roof]({picture.format(threads=threads)})\n")
        parts.append("| layer | fastconv | GFLOP/s | of the roof | fastest peer | its time | ratio |")
        parts.append("|---|---:|---:|---:|---|---:|---:|")
        for race in mine:
            own, peer, ratio = race.own, race.peer, race.ratio
            cells = [race.layer.title, f"{duration(own.seconds)}, {own.layout}", f"{race.rate(own.seconds):.1f}"]
            cells.append(f"{race.roof_seconds / own.seconds:.2f}")
            cells += [who(peer), duration(peer.seconds), f"{ratio:.2f}"] if peer else ["", "", ""]
            parts.append(f"| {' | '.join(cells)} |")
        parts.append("")
    return "\n".join(parts)
