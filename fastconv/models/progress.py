"""How far training is: a bar in a terminal, one line per epoch elsewhere, or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

# Seconds between two updates of a bar.
_INTERVAL = 0.1


class Progress:
    """Reports nothing; the base of what reports something.

    Examples
    --------
    >>> Progress().begin("Epoch 1/3", 10)
    """

    def begin(self, title: str, steps: int) -> None:
        """Start a pass over the data."""

    def step(self, results: Callable[[], Mapping[str, float]]) -> None:
        """Finish a batch."""

    def end(self, results: Mapping[str, float]) -> None:
        """Finish the pass, with its values."""


class Lines(Progress):
    """One line for each pass."""

    def __init__(self) -> None:
        self._title = ""
        self._steps = 0
        self._start = 0.0
        self._seconds = 0.0

    def begin(self, title: str, steps: int) -> None:
        """Start a pass over the data."""
        self._title = title
        self._steps = steps
        self._start = time.perf_counter()

    def step(self, results: Callable[[], Mapping[str, float]]) -> None:
        """Finish a batch."""
        self._seconds = time.perf_counter() - self._start

    def end(self, results: Mapping[str, float]) -> None:
        """Print the line."""
        total = time.perf_counter() - self._start
        pace = _pace(self._seconds / max(self._steps, 1))
        parts = [self._title, f"{self._steps} steps", f"{total:.1f}s", pace, *_values(results)]
        print(" - ".join(parts), flush=True)


class Bar(Progress):
    """A bar for each pass, drawn by tqdm."""

    def __init__(self, tqdm: Any) -> None:
        self._tqdm = tqdm
        self._bar: Any = None
        self._done = 0
        self._start = 0.0
        self._drawn = 0.0

    def begin(self, title: str, steps: int) -> None:
        """Start a pass over the data."""
        layout = "{desc} {n_fmt}/{total_fmt} |{bar:24}| {elapsed}{postfix}"
        self._bar = self._tqdm(total=steps, desc=title, file=sys.stdout, bar_format=layout, mininterval=0)
        self._done = 0
        self._start = self._drawn = time.perf_counter()

    def step(self, results: Callable[[], Mapping[str, float]]) -> None:
        """Finish a batch; draw the bar now and then."""
        self._done += 1
        now = time.perf_counter()
        if now - self._drawn >= _INTERVAL:
            self._drawn = now
            self._draw(results(), now)

    def end(self, results: Mapping[str, float]) -> None:
        """Draw the bar for the last time."""
        self._draw(results, self._drawn if self._done == self._bar.n else time.perf_counter())
        self._bar.close()

    def _draw(self, results: Mapping[str, float], now: float) -> None:
        pace = _pace((now - self._start) / max(self._done, 1))
        self._bar.set_postfix_str(" - ".join([pace, *_values(results)]), refresh=False)
        self._bar.n = self._done
        self._bar.refresh()


def progress(verbose: Any) -> Progress:
    """Choose how to report: ``0`` nothing; ``1`` or ``"auto"`` a bar, where tqdm and a terminal are; ``2`` lines.

    Raises
    ------
    ValueError
        If `verbose` is none of them.

    Examples
    --------
    >>> type(progress(2)).__name__
    'Lines'
    """
    if verbose not in (0, 1, 2, "auto"):
        raise ValueError(f"verbose: expected 0, 1, 2 or 'auto', got {verbose!r}")
    if verbose == 0:
        return Progress()
    if verbose in (1, "auto") and sys.stdout is not None and sys.stdout.isatty():
        try:
            from tqdm import tqdm
        except ImportError:
            return Lines()
        return Bar(tqdm)
    return Lines()


def _pace(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.1f}s/step"
    return f"{seconds * 1e3:.0f}ms/step" if seconds >= 0.01 else f"{seconds * 1e3:.2g}ms/step"


def _values(results: Mapping[str, float]) -> list[str]:
    return [
        f"{name}: {value:.4f}" if value == 0 or abs(value) > 1e-3 else f"{name}: {value:.4e}"
        for name, value in results.items()
    ]
