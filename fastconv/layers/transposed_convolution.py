"""What transposed convolutions over one, two and three axes share."""

from __future__ import annotations

from typing import Any

from fastconv import initializers, regularizers
from fastconv.layers.affine import no_constraint
from fastconv.layers.arguments import Extents, Shape, positive, with_channels
from fastconv.layers.convolution import Convolution


class TransposedConvolution(Convolution):
    """Base of Conv1DTranspose, Conv2DTranspose and Conv3DTranspose, whose docstrings say what the arguments are."""

    def __init__(
        self,
        filters: int,
        kernel_size: Extents,
        strides: Extents = 1,
        padding: str = "valid",
        output_padding: Extents | None = None,
        data_format: str | None = None,
        dilation_rate: Extents = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: None = None,
        kernel_constraint: None = None,
        bias_constraint: None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            activation=activation,
            use_bias=use_bias,
            bias_initializer=bias_initializer,
            bias_regularizer=bias_regularizer,
            bias_constraint=bias_constraint,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )
        no_constraint(kernel_constraint, "kernel_constraint")
        self.filters = positive(filters, "filters")
        self.output_padding = None if output_padding is None else _extra(output_padding, self.rank, self.strides)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        edges = [self._edges(axis) for axis in range(self.rank)]
        self._cut = tuple(cut for cut, _ in edges)
        self._added = tuple(added for _, added in edges)

    def build(self, input_shape: Shape) -> None:
        """Create kernel and bias."""
        channels = self._input_channels(input_shape)
        shape = (*self.kernel_size, self.filters, channels)
        self.kernel = self.add_weight(
            shape, self.kernel_initializer, regularizer=self.kernel_regularizer, name="kernel"
        )
        self._add_bias(self.filters)
        self._convolve_with(self.kernel, shape, 1)
        self._engine_name = f"conv_transpose{self.rank}d"

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the outputs' shape."""
        first = 1 if self.data_format == "channels_last" else 2
        spatial = [self._extent(extent, axis) for axis, extent in enumerate(input_shape[first : first + self.rank])]
        return with_channels(input_shape[0], spatial, self.filters, self.data_format)

    def _extent(self, extent: int | None, axis: int) -> int | None:
        if extent is None:
            return None
        reach = (self.kernel_size[axis] - 1) * self.dilation_rate[axis] + 1
        made = (extent - 1) * self.strides[axis] + reach - sum(self._cut[axis]) + self._added[axis]
        if made <= 0:
            raise ValueError(f"layer {self.name!r}: an extent of {extent} leaves no output")
        return made

    def _edges(self, axis: int) -> tuple[tuple[int, int], int]:
        """Return what is cut off the full result at both ends, and what is added at its end.

        ``valid`` makes (in - 1)·stride + max(reach, stride) positions, ``same`` in·stride of them, in its middle. With
        an `output_padding`, ``valid`` adds it to the full result, and ``same`` to what a kernel that is cut off by half
        on both sides makes, as Keras has it.
        """
        stride, reach = self.strides[axis], (self.kernel_size[axis] - 1) * self.dilation_rate[axis] + 1
        extra = None if self.output_padding is None else self.output_padding[axis]
        if self.padding == "valid":
            return (0, 0), max(stride - reach, 0) if extra is None else extra
        # Positions that the forward convolution of the same name would pad.
        total = stride + reach - 2 if extra is None else reach + reach % 2 - 2 + extra
        begin = min(total // 2 + total % 2, reach - 1)
        end = total - begin
        return (reach - 1 - begin, max(reach - 1 - end, 0)), max(end - reach + 1, 0)

    def _window(self) -> tuple[Any, ...]:
        return self.strides, self._cut, self._added, 1, self.dilation_rate


def _extra(value: Any, rank: int, strides: tuple[int, ...]) -> tuple[int, ...]:
    entries = tuple(value) if isinstance(value, (tuple, list)) else (value,) * rank
    whole = all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in entries)
    if len(entries) != rank or not whole:
        raise ValueError(f"output_padding: expected non-negative integers for {rank} axes, got {value!r}")
    if any(n >= stride for n, stride in zip(entries, strides, strict=True)):
        raise ValueError(
            f"Strides must be greater than output padding. Received: strides={strides}, output_padding={value}"
        )
    return entries
