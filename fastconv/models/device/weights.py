"""A model's weights in the GPU's memory: uploaded once, all in one array, and brought back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv.cuda._numba import SIMULATED, cuda
from fastconv.layers.variable import Variable

ALIGNMENT = 64  # elements; 128-bit copies may then start at every variable


def to_host(array: Any, stream: Any) -> np.ndarray:
    """Download an array and wait for it."""
    host: np.ndarray = array.copy_to_host(stream=stream)
    if not SIMULATED:
        stream.synchronize()
    return host


class DeviceVariable:
    """A variable whose value and gradient lie in the GPU's memory.

    Parameters
    ----------
    host : Variable
        Whose twin it is.
    value, gradient : array
        Parts of the arrays of all weights.
    start : int
        Where they begin.
    """

    regularizer = None

    def __init__(self, host: Variable, value: Any, gradient: Any, start: int) -> None:
        self.host, self.value, self.gradient, self.start = host, value, gradient, start
        self.name, self.path, self.trainable = host.name, host.path, host.trainable
        self.shape, self.dtype, self.size = host.shape, host.dtype, host.value.size


class Weights:
    """The variables of a model, those that are trained first.

    Parameters
    ----------
    trained, others : sequence of Variable
        Of one dtype.
    stream : stream of Numba

    Attributes
    ----------
    end : int
        Where the trained ones end.
    """

    def __init__(self, trained: Sequence[Variable], others: Sequence[Variable], stream: Any) -> None:
        self._hosts = [*trained, *others]
        self._stream = stream
        dtype = self._hosts[0].dtype if self._hosts else np.dtype(np.float32)
        self.starts, at = [], 0
        for variable in self._hosts:
            self.starts.append(at)
            at += -(-variable.value.size // ALIGNMENT) * ALIGNMENT
        self.end = self.starts[len(trained)] if len(others) else at
        self._copy = np.zeros(max(at, 1), dtype)  # what the GPU's memory holds, as far as the host knows
        self._gather()
        self.values = cuda.to_device(self._copy, stream=stream)
        self.gradients = cuda.to_device(np.zeros(max(self.end, 1), dtype), stream=stream)
        self.twins: dict[Variable, DeviceVariable] = {}
        for number, (variable, start) in enumerate(zip(self._hosts, self.starts, strict=True)):
            value, gradient = (
                None if array is None else array[start : start + variable.value.size].reshape(variable.shape)
                for array in (self.values, self.gradients if number < len(trained) else None)
            )
            self.twins[variable] = DeviceVariable(variable, value, gradient, start)

    def _gather(self) -> bool:
        """Copy the host's values together; return whether any has changed."""
        changed = False
        for variable, start in zip(self._hosts, self.starts, strict=True):
            part = self._copy[start : start + variable.value.size].reshape(variable.shape)
            if not np.array_equal(part, variable.value):
                part[...] = variable.value
                changed = True
        return changed

    def refresh(self) -> None:
        """Upload the weights anew if the host's have changed since."""
        if self._gather():
            self.values.copy_to_device(self._copy, stream=self._stream)

    def bring_back(self) -> None:
        """Download the weights into the host's variables."""
        self._copy[...] = to_host(self.values, self._stream)
        for variable, start in zip(self._hosts, self.starts, strict=True):
            variable.value[...] = self._copy[start : start + variable.value.size].reshape(variable.shape)
