"""A captured graph: everything that a call launches on a stream, replayed by one call of the driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastconv.cuda._numba import SIMULATED


def driver() -> Any:
    """Return the module that speaks to the CUDA driver, or None where it is missing or cannot capture."""
    if SIMULATED:
        return None
    try:
        from cuda.bindings import driver as found
    except ImportError:
        return None
    return found if hasattr(found, "cuStreamBeginCapture") else None


class Captured:
    """What a function launches on a stream, captured once.

    Parameters
    ----------
    speaker : module
        As `driver` returns it.
    stream : int
        The stream's handle.
    function : callable
        It launches on that stream alone, allocates nothing from the driver, and waits for nothing.

    Raises
    ------
    RuntimeError
        If the driver refuses.
    """

    def __init__(self, speaker: Any, stream: int, function: Callable[[], Any]) -> None:
        self._driver, self._stream = speaker, stream
        relaxed = speaker.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
        self._said("cuStreamBeginCapture", stream, relaxed)
        try:
            self.result = function()
        finally:
            # A capture that an error broke off must end, too, or the stream serves nobody any more.
            graph = self._said("cuStreamEndCapture", stream)
        self._graph = graph
        self._made = self._said("cuGraphInstantiate", graph, 0)

    def launch(self) -> None:
        """Launch all of it."""
        self._said("cuGraphLaunch", self._made, self._stream)

    def _said(self, name: str, *arguments: Any) -> Any:
        status, *results = getattr(self._driver, name)(*arguments)
        if int(status) != 0:
            raise RuntimeError(f"fastconv.cuda: {name} failed with {status}")
        return results[0] if results else None

    def __del__(self) -> None:
        for name, made in (("cuGraphExecDestroy", "_made"), ("cuGraphDestroy", "_graph")):
            if getattr(self, made, None) is not None:
                getattr(self._driver, name)(getattr(self, made))
