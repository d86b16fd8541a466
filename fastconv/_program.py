"""A network as a list of steps, planned once and run in one call of the engine."""

from __future__ import annotations

from typing import Any

from fastconv import _core
from fastconv._core import Program

__all__ = ["Program", "Sides", "Steps"]

# Activations of one group of images beyond this would leave the second-level cache of common processors.
_CACHE_BYTES = 1536 * 1024

Sides = tuple[tuple[int, int], tuple[int, int]]


class Steps:
    """The steps of a network, gathered one after the other.

    An image is (height, width, channels), (pixels, channels) or (features,), in memory order throughout, so that
    reshaping it costs nothing.

    Parameters
    ----------
    shape : tuple of int
        Of one image that goes in.
    double_precision : bool
    training : bool
        The program is to be trained: convolutions are given the arrays of their gradients.

    Attributes
    ----------
    shape : tuple of int
        Of one image after the steps so far.
    facts : list of (dict, str, object)
        What the program is made from: it is current as long as each dict holds that very object under the name.

    Examples
    --------
    >>> import numpy as np
    >>> steps = Steps((1, 1, 2), False)
    >>> steps.convolution(np.eye(2, dtype="f4").reshape(1, 1, 2, 2), None)
    >>> steps.activation("relu", 0.0, 0.0)
    >>> steps.program()(np.array([[[[-1.0, 2.0]]]], "f4")).ravel()
    array([0., 2.], dtype=float32)
    """

    def __init__(self, shape: tuple[int, ...], double_precision: bool, training: bool = False) -> None:
        self.shape = shape
        self.training = training
        self.facts: list[tuple[dict[str, Any], str, object]] = []
        self._read = shape
        self._double_precision = double_precision
        self._steps: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return len(self._steps)

    def _add(self, kind: str, channels: int, **given: Any) -> None:
        height, width, ic = (1, 1, 1, *self.shape)[-3:]
        self._steps.append({"kind": _core.STEPS[kind], "src": (height, width), "ic": ic, "oc": channels, **given})

    def convolution(
        self,
        kernel: Any,
        bias: Any,
        strides: tuple[int, int] = (1, 1),
        dilation: tuple[int, int] = (1, 1),
        padding: Sides = ((0, 0), (0, 0)),
        groups: int = 1,
        gradients: tuple[Any, Any] = (None, None),
    ) -> None:
        """Add a convolution; `kernel` is (height, width, channels / groups, filters), and so is its gradient."""
        self._add(
            "conv",
            kernel.shape[3],
            weights=kernel,
            bias=bias,
            kernel=kernel.shape[:2],
            stride=strides,
            dilation=dilation,
            groups=groups,
            grad_weights=gradients[0],
            grad_bias=gradients[1],
            **_sides(padding),
        )

    def pool(
        self, maximum: bool, size: tuple[int, int], strides: tuple[int, int], padding: Sides, whole: bool = False
    ) -> None:
        """Add a pool that does not count padding, or one over the whole image."""
        sides = _sides(padding)
        self._add("pool", self.shape[-1], maximum=maximum, kernel=size, stride=strides, adaptive=whole, **sides)

    def pad(self, padding: Sides) -> None:
        """Add a border of zeros."""
        self._add("pad", self.shape[-1], **_sides(padding))

    def normalise(self, mean: Any, variance: Any, gamma: Any, offset: Any, epsilon: float) -> None:
        """Normalise each channel by averages; the convolution before takes that over where it can."""
        given = {"mean": mean, "variance": variance, "gamma": gamma, "offset": offset, "epsilon": epsilon}
        last = self._steps[-1] if self._steps else {}
        takes = last.get("kind") == _core.STEPS["conv"] and "activation" not in last and "mean" not in last
        if takes and last["oc"] == self.shape[-1]:
            last.update(given)
        else:
            self._add("point", self.shape[-1], **given)

    def activation(self, name: str, alpha: float, beta: float) -> None:
        """Apply an activation by the engine's name; the convolution before takes that over where it can."""
        given = {"activation": _core.ACTIVATIONS[name], "alpha": alpha, "beta": beta}
        last = self._steps[-1] if self._steps else {}
        if last.get("kind") in (_core.STEPS["conv"], _core.STEPS["point"]) and "activation" not in last:
            last.update(given)
        else:
            self._add("point", self.shape[-1], **given)

    def dropout(self, rate: float) -> None:
        """Set a random part to zero, in training."""
        self._add("dropout", self.shape[-1], alpha=rate)

    def softmax(self, logarithm: bool) -> None:
        """Normalise along the channels."""
        self._add("softmax", self.shape[-1], logarithm=logarithm)

    def program(self) -> _core.Program | None:
        """Plan for the current instruction set; None where the layers by themselves serve the network better."""
        program = _core.Program()
        status = program.describe(
            double_precision=self._double_precision,
            read=self._read,
            made=self.shape,
            steps=self._steps,
            facts=self.facts,
        )
        if status != _core.OK or program.chosen["image_bytes"] > _CACHE_BYTES:
            return None
        if self.training and not program.trains:
            return None
        return program


def _sides(padding: Sides) -> dict[str, tuple[int, int]]:
    (top, bottom), (left, right) = padding
    return {"pad_begin": (top, left), "pad_end": (bottom, right)}
