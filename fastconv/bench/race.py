"""Contenders that take turns, so that a drift of the machine's speed hits all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from fastconv import _machine, runtime
from fastconv.bench.contender import Call, Contender
from fastconv.bench.conv import contenders, right
from fastconv.bench.layers import Layer

TURN_SECONDS, PAUSE_SECONDS = 2e-3, 0.03
OWN = "fastconv-plan-auto"


class Time(NamedTuple):
    """How long one contender took for a layer, the median of its turns."""

    implementation: str
    layout: str
    seconds: float


class Race(NamedTuple):
    """All times of one layer on so many threads, and the least time that the machine's roof allows."""

    layer: Layer
    threads: int
    times: list[Time]
    roof_seconds: float
    bound: str

    @property
    def own(self) -> Time:
        """The faster of fastconv's two layouts, as chosen without being asked for an algorithm."""
        return min((t for t in self.times if t.implementation == OWN), key=lambda t: t.seconds)

    @property
    def peer(self) -> Time | None:
        """The fastest of the others."""
        others = [t for t in self.times if not t.implementation.startswith("fastconv")]
        return min(others, key=lambda t: t.seconds, default=None)

    @property
    def ratio(self) -> float | None:
        """The fastest peer's time over fastconv's."""
        return self.peer.seconds / self.own.seconds if self.peer else None

    def rate(self, seconds: float) -> float:
        """GFLOP/s at that time."""
        return self.layer.flops / seconds / 1e9


def take_turns(calls: dict[Contender, Call], rounds: int, threads: int) -> list[Time]:
    """Run every call once to warm up, then in rounds of some milliseconds each."""
    repeats: dict[Contender, int] = {}
    turns: dict[Contender, list[float]] = {contender: [] for contender in calls}
    for contender, call in calls.items():
        call.run()
        repeats[contender] = max(1, round(TURN_SECONDS / max(_turn(call.run, 1), 1e-7)))
    for _ in range(rounds):
        for contender, call in calls.items():
            if threads > 1:  # the last contender's idle threads may spin on our cores for a while
                time.sleep(PAUSE_SECONDS)
                call.run()
            turns[contender].append(_turn(call.run, repeats[contender]))
    return [Time(c.implementation, c.layout, statistics.median(turns[c])) for c in calls]


def _turn(run: Callable[[], Any], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - start) / repeats


def race(layer: Layer, threads: int, rounds: int = 5, peers: bool = True) -> Race:
    """Check every contender's result, then time them.

    Parameters
    ----------
    layer : Layer
    threads : int
        For fastconv and for every peer.
    rounds : int
        Turns of each contender.
    peers : bool
        Whether the others that are installed take part.

    Returns
    -------
    Race

    Raises
    ------
    AssertionError
        If somebody's result is wrong.
    """
    before = runtime.get_num_threads()
    runtime.set_num_threads(threads)
    try:
        calls = {}
        for contender in contenders(layer):
            if peers or contender.implementation.startswith("fastconv"):
                calls[contender] = contender.make(layer, threads)
                right(layer).check(calls[contender].read(calls[contender].run()), contender.bound)
        times = take_turns(calls, rounds, threads)
    finally:
        runtime.set_num_threads(before)
    moved = 4.0 * sum(_size(shape) for shape in (layer.input, layer.weight, layer.output))
    roof = _machine.Roofline(layer.flops, moved, False)
    # memory is shared by the cores, arithmetic is not
    seconds = roof.seconds / (threads if roof.bound == "arithmetic" else 1)
    return Race(layer, threads, times, seconds, roof.bound)


def _size(shape: Sequence[int]) -> int:
    product = 1
    for extent in shape:
        product *= extent
    return product
