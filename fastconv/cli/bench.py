"""``fastconv bench``: how fast convolution is on this machine, beside the peers that are installed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from fastconv.bench import report
from fastconv.bench.layers import LAYERS, Layer
from fastconv.bench.race import Race, race
from fastconv.bench.random_layers import random_layers
from fastconv.cli.errors import CommandError, need_matplotlib, reported
from fastconv.cli.pictures import BLUE, INK, ORANGE, SOFT, figure

PAGE, RECORD, PICTURE = "RESULTS.md", "results.json", "results-threads-{threads}.png"


def bench(options: argparse.Namespace) -> None:
    """Race every layer that the options name, print a table, write page, record and pictures.

    Raises
    ------
    CommandError
        If no layer has a name like that, somebody's result is wrong, nothing can be written, or matplotlib is not there
        to draw with.
    """
    layers = chosen(options.only, options.random)
    if not options.no_pictures:
        need_matplotlib()
    folder = Path(options.output)
    with reported(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    where, races = report.machine(), []
    for threads in options.threads:
        print(f"{threads} thread{'s' * (threads > 1)}\n{report.HEADER}", flush=True)
        for layer in layers:
            with reported(AssertionError, about=layer.name):  # somebody's result is wrong
                races.append(race(layer, threads, options.rounds, not options.alone))
            print(report.line(races[-1]), flush=True)
        mean = report.geomean([r for r in races if r.threads == threads])
        print(f"geometric mean of the ratios: {mean:.2f}\n" if mean is not None else "")
    with reported(OSError):
        (folder / RECORD).write_text(json.dumps(report.record(races, where), indent=1) + "\n", encoding="utf-8")
        (folder / PAGE).write_text(report.page(races, where, PICTURE), encoding="utf-8")
        if not options.no_pictures:
            for threads in options.threads:
                name = PICTURE.format(threads=threads)
                draw([r for r in races if r.threads == threads], folder / name, where["processor"])
    print(f"wrote {folder / PAGE}")


def chosen(only: str | None, count: int) -> list[Layer]:
    """Return the layers of networks and so many random ones, as far as their names hold one of the given words."""
    layers = [*LAYERS, *random_layers(count)]
    words = only.split(",") if only else [""]
    found = [layer for layer in layers if any(word in layer.name for word in words)]
    if not found:
        raise CommandError(f"--only {only}: no layer has a name like that: {', '.join(layer.name for layer in LAYERS)}")
    return found


def draw(races: Sequence[Race], path: Path, processor: str) -> None:
    """Draw one line a layer: fastconv's rate, the fastest peer's, and where the roof is."""
    threads = races[0].threads
    height = 1.4 + 0.26 * len(races)
    subtitle = f"{processor}, {threads} thread{'s' * (threads > 1)}; a bar ends where the machine's roof is."
    with figure(path, 10, height, "GFLOP/s of convolutions", subtitle) as drawing:
        axes = drawing.add_axes((0.3, 0.5 / height, 0.66, 1 - 1.45 / height))
        rows = range(len(races))
        axes.barh(rows, [r.rate(r.roof_seconds) for r in races], height=0.62, color="#eef1f5", zorder=1)
        peers = [(row, r.rate(r.peer.seconds)) for row, r in zip(rows, races, strict=True) if r.peer]
        if peers:
            axes.scatter([rate for _, rate in peers], [row for row, _ in peers], s=26, color=ORANGE, zorder=2)
            axes.scatter([], [], s=26, color=ORANGE, label="fastest peer")
        axes.scatter([r.rate(r.own.seconds) for r in races], rows, s=30, color=BLUE, zorder=3, label="fastconv")
        axes.set_yticks(rows, [r.layer.name for r in races], color=INK)
        axes.set_ylim(len(races) - 0.4, -0.6)
        axes.set_xlim(left=0)
        axes.set_xlabel("GFLOP/s", color=SOFT)
        axes.tick_params(which="both", length=0)
        axes.legend(loc="lower right")
