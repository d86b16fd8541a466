"""Convolutions of layers: planned for many runs, where `functional` plans for one; some with weights that stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

import fastconv
from fastconv import _arguments, _core
from fastconv._core import empty

if TYPE_CHECKING:
    from fastconv._arguments import Array

__all__ = ["PackedConvolution", "convolve", "empty", "input_gradient"]

# Stride, padding, dilation, groups.
Window = tuple[Any, Any, Any, int]

# Shapes of images for which a packed convolution keeps plans.
_KEPT_SHAPES = 8


def _plan(
    axes: int, size: tuple[int, ...], weight: Array, window: Window, layout: str, direction: int, activation: str | None
) -> _core.ConvPlan:
    conv = _arguments.conv(axes, size, weight.shape, *window, layout)
    plan = _core.ConvPlan()
    _arguments.describe(plan, conv, direction, weight.dtype, _core.MANY, "auto", activation)
    return plan


def convolve(
    axes: int, inputs: Array, weight: Array, bias: Array | None, window: Window, layout: str, activation: str | None
) -> Array:
    """Return the convolution of a batch, as `functional.conv2d` and its kin do.

    Examples
    --------
    >>> x, w = np.ones((1, 2, 2, 1), "f4"), np.ones((2, 2, 1, 1), "f4")
    >>> convolve(2, x, w, None, (1, 0, 1, 1), "NHWC", None).ravel()
    array([4.], dtype=float32)
    """
    options = (*window, layout, activation, "many")
    there = _arguments.on_device(inputs)  # plans are the processor's
    made = None if there else _core.conv(axes, inputs, weight, bias, options, None, None)
    if made is None and not there:
        made = _core.conv(
            axes,
            inputs,
            weight,
            bias,
            options,
            None,
            lambda: _plan(axes, inputs.shape, weight, window, layout, _core.FORWARD, activation),
        )
    if made is None:
        made = getattr(fastconv.functional, f"conv{axes}d")(
            inputs, weight, bias, *window, layout=layout, activation=activation
        )
    return cast("Array", made)


def input_gradient(
    axes: int, size: tuple[int, ...], weight: Array, grad_output: Array, window: Window, layout: str
) -> Array:
    """Return the gradient with respect to a convolution's input, as `grad.conv2d_input` and its kin do.

    Examples
    --------
    >>> w, g = np.ones((2, 2, 1, 1), "f4"), np.ones((1, 1, 1, 1), "f4")
    >>> input_gradient(2, (1, 2, 2, 1), w, g, (1, 0, 1, 1), "NHWC").ravel()
    array([1., 1., 1., 1.], dtype=float32)
    """
    if _arguments.on_device(grad_output):
        return cast(
            "Array", getattr(fastconv.grad, f"conv{axes}d_input")(size, weight, grad_output, *window, layout=layout)
        )
    key = ("layer_input", axes, size[1:], weight.shape, weight.dtype.char, *window, layout)
    plan = _core.kept(key)
    if plan is None:
        plan = _plan(axes, size, weight, window, layout, _core.BACKWARD_INPUT, None)
        _core.keep_plan(key, plan)
    made = cast("_core.ConvPlan", plan).once(grad_output, weight, None, None)
    if made is None:
        made = getattr(fastconv.grad, f"conv{axes}d_input")(size, weight, grad_output, *window, layout=layout)
    return cast("Array", made)


class PackedConvolution:
    """A convolution whose weights stay packed, with a normalisation by averages folded into them.

    The arrays may be written to at any time: every run compares their bytes with those that were packed.

    Parameters
    ----------
    axes : int
    kernel : ndarray (..., c / groups, k)
        Channels last.
    vectors : list of ndarray or None
        Bias, and where something is folded mean, variance, gamma and offset; each (k,).
    epsilon : float
        Added to the variance.
    window : tuple
        Stride, padding, dilation, groups.
    activation : str, optional
        By the engine's name.

    Examples
    --------
    >>> kernel = np.ones((1, 1, 1, 1), "f4")
    >>> double = PackedConvolution(2, kernel, [None], 0.0, (1, 0, 1, 1), None)
    >>> x = np.ones((1, 1, 1, 1), "f4")
    >>> double(x).item()
    1.0
    >>> kernel *= 2
    >>> double(x).item()
    2.0
    """

    def __init__(
        self,
        axes: int,
        kernel: Array,
        vectors: list[Array | None],
        epsilon: float,
        window: Window,
        activation: str | None,
    ) -> None:
        self._axes = axes
        self._kernel = kernel
        self._vectors = vectors
        self._epsilon = epsilon
        self._window = window
        self._activation = activation
        self._arrays = [kernel, *(vector for vector in vectors if vector is not None)]
        # Copies of the arrays, and the plans with what was packed of them by shape; replaced, never changed, together.
        self._packed: tuple[list[Array], dict[Any, _core.ConvPlan]] = ([], {})

    def __call__(self, inputs: Array) -> Array:
        """Return the outputs of a batch of plain inputs of the kernel's type."""
        seen, plans = self._packed
        if not seen or not _core.same_bytes(self._arrays, seen):
            seen, plans = self._packed = ([array.copy() for array in self._arrays], {})
        key = (inputs.shape[1:], _core.circumstances_now())
        plan = plans.get(key)
        if plan is None:
            weight, bias = self._folded(seen)
            plan = _plan(self._axes, inputs.shape, weight, self._window, "NHWC", _core.FORWARD, self._activation)
            if not plan.pack(weight, bias):
                raise RuntimeError("the engine refused checked weights")
            if len(plans) >= _KEPT_SHAPES:
                plans.clear()
            plans[key] = plan
        made = plan.execute(inputs, None)
        if made is None:
            made = plan.execute(_arguments.plain("inputs", inputs), None)
        return cast("Array", made)

    def _folded(self, seen: list[Array]) -> tuple[Array, Array | None]:
        """Return kernel and bias with the normalisation in them."""
        rest = iter(seen[1:])
        kernel = seen[0]
        bias, *averages = (None if vector is None else next(rest) for vector in self._vectors)
        if not averages:
            return kernel, bias
        mean, variance, gamma, offset = (None if vector is None else vector.astype(np.float64) for vector in averages)
        if mean is None or variance is None:
            raise ValueError("expected a mean and a variance")
        factor = (1.0 if gamma is None else gamma) / np.sqrt(variance + self._epsilon)
        shift = ((0.0 if bias is None else bias) - mean) * factor + (0.0 if offset is None else offset)
        return (kernel * factor).astype(kernel.dtype), shift.astype(kernel.dtype)
