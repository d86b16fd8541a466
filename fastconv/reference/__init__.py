"""What is right: every operator in plain NumPy and float64, for the tests and for reading.

The functions carry the names and arguments of :mod:`fastconv.functional` and of the convolutions' gradients in
:mod:`fastconv.grad`; the gradient of any other operator is called ``<operator>_backward``. They convert what they get
to float64, return new float64 arrays, loop over the positions of the kernel, and check hardly anything: the arguments
are taken to be valid. Nothing else in the package uses this module.

Dimensions: ``n`` images, ``c`` channels, ``h`` rows, ``w`` columns; ``k`` output channels; ``g`` groups.
"""

from __future__ import annotations

from fastconv.reference.activation import (
    ACTIVATIONS,
    elu,
    gelu,
    hardsigmoid,
    hardswish,
    leaky_relu,
    log_softmax,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    softmax,
    softplus,
    tanh,
)
from fastconv.reference.activation_gradients import (
    elu_backward,
    gelu_backward,
    hardsigmoid_backward,
    hardswish_backward,
    leaky_relu_backward,
    log_softmax_backward,
    relu6_backward,
    relu_backward,
    selu_backward,
    sigmoid_backward,
    silu_backward,
    softmax_backward,
    softplus_backward,
    tanh_backward,
)
from fastconv.reference.conv import conv2d, conv2d_bias, conv2d_input, conv2d_weight, linear
from fastconv.reference.pool import (
    adaptive_avg_pool2d,
    adaptive_avg_pool2d_backward,
    adaptive_max_pool2d,
    adaptive_max_pool2d_backward,
    avg_pool2d,
    avg_pool2d_backward,
    max_pool2d,
    max_pool2d_backward,
)
from fastconv.reference.shapes import output_size, padding_edges

__all__ = [
    "ACTIVATIONS",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_backward",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "conv2d",
    "conv2d_bias",
    "conv2d_input",
    "conv2d_weight",
    "elu",
    "elu_backward",
    "gelu",
    "gelu_backward",
    "hardsigmoid",
    "hardsigmoid_backward",
    "hardswish",
    "hardswish_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "linear",
    "log_softmax",
    "log_softmax_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "output_size",
    "padding_edges",
    "relu",
    "relu6",
    "relu6_backward",
    "relu_backward",
    "selu",
    "selu_backward",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "softmax",
    "softmax_backward",
    "softplus",
    "softplus_backward",
    "tanh",
    "tanh_backward",
]
