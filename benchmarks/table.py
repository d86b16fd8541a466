"""Turn a record of ``pytest --benchmark --benchmark-json=benchmark.json`` into README's table.

    python benchmarks/table.py [--all] [benchmark.json]

A row compares what fastconv chooses by itself with the fastest peer that took part, by the median of the rounds and
each in its better layout. Without --all only the headlines are rows, and a record of some benchmarks makes some rows.
"""

from __future__ import annotations

import argparse
import json
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

COLUMNS = ["work", "fastconv, 1 thread", "rate", "fastest peer", "its time", "ratio, 1 thread"]
UNITS = ["GFLOP/s", "GB/s", "images/s"]
NAMES = {
    "torch": "PyTorch",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "opencv": "OpenCV",
    "opencv-python-headless": "OpenCV",
    "scipy": "SciPy",
    "numpy": "NumPy",
}
# What a user gets without asking for an algorithm, and with nothing packed or allocated again for each call.
OWN = {"fastconv-plan-auto", "fastconv-grad", "fastconv"}


class Result(NamedTuple):
    seconds: float
    name: str
    layout: str
    rate: str

    @property
    def time(self) -> str:
        for factor, unit in ((1e6, "µs"), (1e3, "ms")):
            if self.seconds * factor < 1000:
                return f"{self.seconds * factor:.3g} {unit}"
        return f"{self.seconds:.3g} s"


class Pair(NamedTuple):
    """The fastest of fastconv and the fastest peer, where there are any."""

    own: Result | None
    peer: Result | None

    @property
    def ratio(self) -> str:
        return f"{self.peer.seconds / self.own.seconds:.2f}" if self.own and self.peer else ""


def result(entry: dict[str, Any]) -> Result:
    info = entry["extra_info"]
    name = NAMES.get(info["implementation"], info["implementation"])
    rate = next(
        f"{info[unit]:,.3g} {unit}" if info[unit] < 1000 else f"{info[unit]:,.0f} {unit}"
        for unit in UNITS
        if unit in info
    )
    return Result(entry["stats"]["median"], name, info["layout"], rate)


def fastest(entries: list[dict[str, Any]], threads: int) -> Pair:
    own, peers = [], []
    for entry in entries:
        info = entry["extra_info"]
        if info["threads"] != threads:
            continue
        if info["implementation"] in OWN:
            own.append(result(entry))
        elif not info["implementation"].startswith("fastconv"):
            peers.append(result(entry))
    return Pair(min(own, default=None), min(peers, default=None))


def row(title: str, entries: list[dict[str, Any]], threads: list[int]) -> list[str]:
    one, *more = (fastest(entries, count) for count in threads)
    cells = [title]
    cells += [f"{one.own.time}, {one.own.layout}", one.own.rate] if one.own else ["", ""]
    cells += [f"{one.peer.name}, {one.peer.layout}", one.peer.time] if one.peer else ["", ""]
    return [*cells, one.ratio, *(pair.ratio for pair in more)]


def where(record: dict[str, Any], threads: list[int]) -> str:
    machine = record["machine_info"]
    versions = ", ".join(f"{NAMES.get(name, name)} {version}" for name, version in sorted(machine["versions"].items()))
    day = datetime.fromisoformat(record["datetime"]).strftime("%-d %B %Y")
    counts = " and ".join(f"{count} thread{'s' * (count > 1)}" for count in threads)
    return f"{machine['cpu'].get('brand_raw', 'Unknown processor')} ({machine['isa']}), {counts}, {day}: {versions}."


def table(record: dict[str, Any], everything: bool) -> str:
    """Return the sentence that says where, and the rows in the record's order, one for each title."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for entry in record["benchmarks"]:
        if everything or entry["extra_info"]["headline"]:
            rows.setdefault(entry["extra_info"]["title"], []).append(entry)
    if not rows:
        raise SystemExit("The record holds no row of the table; --all shows what it holds.")
    threads = sorted({1} | {entry["extra_info"]["threads"] for entries in rows.values() for entry in entries})
    columns = COLUMNS + [f"ratio, {count} threads" for count in threads[1:]]
    rules = ["---" if name in ("work", "fastest peer") else "---:" for name in columns]
    lines = [columns, rules, *(row(title, entries, threads) for title, entries in rows.items())]
    return "\n".join([where(record, threads), "", *(f"| {' | '.join(cells)} |" for cells in lines)])


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a Markdown table of a record of the benchmarks.")
    parser.add_argument("record", nargs="?", type=Path, default=Path("benchmark.json"), help="default: %(default)s")
    parser.add_argument("--all", action="store_true", help="every case instead of README's rows")
    arguments = parser.parse_args()
    try:
        record = json.loads(arguments.record.read_text())
    except OSError as error:
        raise SystemExit(f"{error}\nMake it: pytest --benchmark --benchmark-json={arguments.record}") from error
    print(table(record, arguments.all))


if __name__ == "__main__":
    main()
