"""An optimizer's step on the GPU: all weights lie in one array, so that it is one launch, or a few."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np

from fastconv._training import UPDATES
from fastconv.cuda import arrays
from fastconv.cuda._numba import cuda
from fastconv.cuda.kernels import training as kernels
from fastconv.models.device.weights import Weights, to_host
from fastconv.optimizers import Optimizer

KINDS = {number: name for name, number in UPDATES.items()}


class DeviceOptimizer:
    """An optimizer of the host's, whose arrays for each variable are on the GPU until they are brought back.

    Parameters
    ----------
    optimizer : Optimizer
        With a rule of the engine's.
    weights : Weights
    stream : stream of Numba

    Raises
    ------
    ValueError
        If the optimizer is one of the user's own.
    """

    def __init__(self, optimizer: Optimizer, weights: Weights, stream: Any) -> None:
        self._optimizer, self._weights, self._stream = optimizer, weights, stream
        if type(optimizer).update_step is not Optimizer.update_step or optimizer.rule(0.0) is None:
            raise ValueError(f"device: optimizer {type(optimizer).__name__} has no step on a GPU")
        self._twins = [twin for twin in weights.twins.values() if twin.gradient is not None]
        optimizer.build([twin.host for twin in self._twins])
        self._names = optimizer.slot_names()
        self._slots: dict[str, Any] = {}
        dtype = self._twins[0].dtype if self._twins else np.dtype(np.float32)
        self._key = f"f{dtype.itemsize}"
        for name in self._names:
            whole = np.zeros(max(weights.end, 1), dtype)
            for twin in self._twins:
                whole[twin.start : twin.start + twin.size] = optimizer.slot(twin.host, name).reshape(-1)
            self._slots[name] = cuda.to_device(whole, stream=stream)

    def apply(self, grads: Sequence[Any], variables: Sequence[Any]) -> None:
        """Take one step from the gradients that the way back has left on the GPU."""
        optimizer = self._optimizer
        rate = optimizer.learning_rate
        keeps = [1.0] * len(self._twins)
        if optimizer.weight_decay is not None:
            decay = 1 - optimizer.weight_decay * rate
            keeps = [decay if optimizer.decays(twin.host) else 1.0 for twin in self._twins]
        scales, limit = self._clipping()
        optimizer.begin_step()
        rule = optimizer.rule(rate)
        assert rule is not None
        kind = KINDS[rule["kind"]]
        slots = [self._slots.get(name) for name in (*rule["slots"], None, None)[:3]]
        second = slots[0] is not None if kind == "sgd" else slots[1] is not None
        kernel = kernels.update(kind, self._key, second, slots[2] is not None, bool(rule.get("nesterov")) and second)
        values, gradients = self._weights.values, self._weights.gradients
        told = [slot if slot is not None else values for slot in slots]
        numbers = (
            rate if kind == "sgd" else rule["rate"], rule.get("momentum", 0.0), 1 - rule.get("first", 0.0),
            1 - rule.get("second", 0.0), rule.get("epsilon", 0.0),
        )  # fmt: skip
        for (keep, scale), members in groupby(zip(keeps, scales, self._twins, strict=True), lambda each: each[:2]):
            group = [twin for _, _, twin in members]
            start, end = group[0].start, group[-1].start + group[-1].size
            kernel.launch(
                -(-(end - start) // kernel.threads), self._stream, values, gradients, *told, start, end - start, scale,
                limit, keep, *numbers,
            )  # fmt: skip
        optimizer.iterations += 1

    def _clipping(self) -> tuple[list[float], float]:
        """Return what each gradient is multiplied by, and the largest magnitude that is left of an element."""
        optimizer, count = self._optimizer, len(self._twins)
        if not optimizer.clipnorm and not optimizer.global_clipnorm:
            return [1.0] * count, optimizer.clipvalue or math.inf
        starts, counts = (tuple(getattr(twin, name) for twin in self._twins) for name in ("start", "size"))
        totals = arrays.pooled((count,), "f8", self._stream)
        tables = [arrays.constant(each, "i8", arrays.device_id()) for each in (starts, counts)]
        kernels.squares(self._key).launch(count, self._stream, self._weights.gradients, *tables, totals)
        norms = np.sqrt(to_host(totals, self._stream))
        return optimizer.scales([float(each) for each in norms]), math.inf

    def bring_back(self) -> None:
        """Download the optimizer's arrays into the host's."""
        for name, whole in self._slots.items():
            host = to_host(whole, self._stream)
            for twin in self._twins:
                into = self._optimizer.slot(twin.host, name)
                into[...] = host[twin.start : twin.start + twin.size].reshape(into.shape)
