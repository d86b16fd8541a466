"""What pooling over one, two and three axes shares: the window, its checks, and the calls of the engine."""

from __future__ import annotations

from typing import Any, ClassVar

import fastconv
from fastconv.layers.arguments import (
    Array,
    Extents,
    Shape,
    border,
    data_layout,
    engine_layout,
    extents,
    window_shape,
    with_channels,
)
from fastconv.layers.layer import Layer


class Pooling(Layer):
    """Base of the layers that reduce each channel within a moving window.

    Parameters
    ----------
    pool_size, strides : int or tuple of int
        For each spatial axis; the strides are the pool size if None.
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
    name : str, optional
    **kwargs
        As for `Layer`.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """

    # The number of spatial axes.
    rank: ClassVar[int] = 2

    def __init__(
        self,
        pool_size: Extents,
        strides: Extents | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.pool_size = extents(pool_size, self.rank, "pool_size")
        self.strides = self.pool_size if strides is None else extents(strides, self.rank, "strides")
        self.padding = border(padding)
        self.data_format = data_layout(data_format)
        self.exact_rank = self.rank + 2
        self._layout = engine_layout(self.data_format)
        self._saved: Any = None

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the outputs' shape."""
        channels = input_shape[-1 if self._layout == "NHWC" else 1]
        return window_shape(
            input_shape,
            self.pool_size,
            self.strides,
            (1,) * self.rank,
            self.padding,
            self.data_format,
            channels,
            self.name,
        )


class MaxPooling(Pooling):
    """Base of MaxPooling1D, MaxPooling2D and MaxPooling3D."""

    def __init__(
        self,
        pool_size: Extents = 2,
        strides: Extents | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name, **kwargs)

    def call(self, inputs: Array, training: bool = False) -> Array:
        """Return the largest values; in training keep where they stood."""
        pool = getattr(fastconv.functional, f"max_pool{self.rank}d")
        outputs: Array
        if not training:
            outputs = pool(inputs, self.pool_size, self.strides, self.padding, layout=self._layout)
            return outputs
        outputs, indices = pool(
            inputs, self.pool_size, self.strides, self.padding, return_indices=True, layout=self._layout
        )
        self._saved = (inputs, indices)
        return outputs

    def backward(self, grad_outputs: Array) -> Array:
        """Send each gradient to where the largest value stood."""
        (inputs, indices), self._saved = self._saved, None
        gradient: Array = getattr(fastconv.grad, f"max_pool{self.rank}d")(
            inputs, grad_outputs, self.pool_size, self.strides, self.padding, layout=self._layout, indices=indices
        )
        return gradient


class AveragePooling(Pooling):
    """Base of AveragePooling1D, AveragePooling2D and AveragePooling3D; padding is not counted."""

    def call(self, inputs: Array, training: bool = False) -> Array:
        """Return the means."""
        if training:
            self._saved = inputs.shape
        outputs: Array = getattr(fastconv.functional, f"avg_pool{self.rank}d")(
            inputs, self.pool_size, self.strides, self.padding, count_include_pad=False, layout=self._layout
        )
        return outputs

    def backward(self, grad_outputs: Array) -> Array:
        """Spread each gradient over its window."""
        shape, self._saved = self._saved, None
        gradient: Array = getattr(fastconv.grad, f"avg_pool{self.rank}d")(
            shape,
            grad_outputs,
            self.pool_size,
            self.strides,
            self.padding,
            count_include_pad=False,
            layout=self._layout,
        )
        return gradient


class GlobalPooling(Layer):
    """Base of the layers that reduce each channel to one number.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, optional
    keepdims : bool
        Keep the spatial axes, with extent 1.
    **kwargs
        As for `Layer`.
    """

    # The number of spatial axes.
    rank: ClassVar[int] = 2

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = data_layout(data_format)
        self.keepdims = bool(keepdims)
        self.exact_rank = self.rank + 2
        self._layout = engine_layout(self.data_format)
        self._saved: Any = None

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the outputs' shape."""
        channels = input_shape[-1 if self._layout == "NHWC" else 1]
        ones = (1,) * self.rank if self.keepdims else ()
        return with_channels(input_shape[0], ones, channels, self.data_format)

    def _squeeze(self, outputs: Array) -> Array:
        if self.keepdims:
            return outputs
        return outputs.reshape(outputs.shape[0], outputs.shape[-1 if self._layout == "NHWC" else 1])

    def _expand(self, grad_outputs: Array) -> Array:
        if self.keepdims:
            return grad_outputs
        batch, channels = grad_outputs.shape
        ones = (1,) * self.rank
        return grad_outputs.reshape((batch, *ones, channels) if self._layout == "NHWC" else (batch, channels, *ones))


class GlobalMaxPooling(GlobalPooling):
    """Base of GlobalMaxPooling1D, GlobalMaxPooling2D and GlobalMaxPooling3D."""

    def call(self, inputs: Array, training: bool = False) -> Array:
        """Return the largest values; in training keep where they stood."""
        pool = getattr(fastconv.functional, f"adaptive_max_pool{self.rank}d")
        if not training:
            return self._squeeze(pool(inputs, 1, layout=self._layout))
        outputs, indices = pool(inputs, 1, return_indices=True, layout=self._layout)
        self._saved = (inputs, indices)
        return self._squeeze(outputs)

    def backward(self, grad_outputs: Array) -> Array:
        """Send each gradient to where the largest value stood."""
        (inputs, indices), self._saved = self._saved, None
        gradient: Array = getattr(fastconv.grad, f"adaptive_max_pool{self.rank}d")(
            inputs, self._expand(grad_outputs), layout=self._layout, indices=indices
        )
        return gradient


class GlobalAveragePooling(GlobalPooling):
    """Base of GlobalAveragePooling1D, GlobalAveragePooling2D and GlobalAveragePooling3D."""

    def call(self, inputs: Array, training: bool = False) -> Array:
        """Return the means."""
        if training:
            self._saved = inputs.shape
        return self._squeeze(
            getattr(fastconv.functional, f"adaptive_avg_pool{self.rank}d")(inputs, 1, layout=self._layout)
        )

    def backward(self, grad_outputs: Array) -> Array:
        """Spread each gradient over its channel."""
        shape, self._saved = self._saved, None
        gradient: Array = getattr(fastconv.grad, f"adaptive_avg_pool{self.rank}d")(
            shape, self._expand(grad_outputs), layout=self._layout
        )
        return gradient
