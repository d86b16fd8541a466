"""What MaxPooling2D and AveragePooling2D share: the window and its checks."""

from __future__ import annotations

from typing import Any

from fastconv.layers.arguments import Array, Pair, Shape, border, data_layout, engine_layout, pair, window_shape
from fastconv.layers.layer import Layer


class Pooling2D(Layer):
    """Base of the layers that reduce each channel within a moving window.

    Parameters
    ----------
    pool_size, strides : int or (int, int)
        Rows, columns; the strides are the pool size if None.
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

    exact_rank = 4

    def __init__(
        self,
        pool_size: Pair,
        strides: Pair | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.pool_size = pair(pool_size, "pool_size")
        self.strides = self.pool_size if strides is None else pair(strides, "strides")
        self.padding = border(padding)
        self.data_format = data_layout(data_format)
        self._layout = engine_layout(self.data_format)
        self._saved: Any = None

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the outputs' shape."""
        channels = input_shape[-1 if self._layout == "NHWC" else 1]
        return window_shape(
            input_shape, self.pool_size, self.strides, (1, 1), self.padding, self.data_format, channels, self.name
        )


class GlobalPooling2D(Layer):
    """Base of the layers that reduce each channel of an image to one number.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, optional
    keepdims : bool
        Keep the two spatial axes, with extent 1.
    **kwargs
        As for `Layer`.
    """

    exact_rank = 4

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = data_layout(data_format)
        self.keepdims = bool(keepdims)
        self._layout = engine_layout(self.data_format)
        self._saved: Any = None

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the outputs' shape."""
        if self._layout == "NHWC":
            return (input_shape[0], 1, 1, input_shape[3]) if self.keepdims else (input_shape[0], input_shape[3])
        return (*input_shape[:2], 1, 1) if self.keepdims else input_shape[:2]

    def _squeeze(self, outputs: Array) -> Array:
        if self.keepdims:
            return outputs
        return outputs.reshape(outputs.shape[0], outputs.shape[-1 if self._layout == "NHWC" else 1])

    def _expand(self, grad_outputs: Array) -> Array:
        if self.keepdims:
            return grad_outputs
        batch, channels = grad_outputs.shape
        return grad_outputs.reshape((batch, 1, 1, channels) if self._layout == "NHWC" else (batch, channels, 1, 1))
