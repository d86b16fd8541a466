"""Gradients of the operators in ``fastconv.functional``, in the manner of ``torch.nn.grad``.

With L the loss, every function takes ``grad_output``, the gradient of L with respect to an operator's result, and
returns the gradient with respect to what its name says, or to the operator's input. Options are those that the operator
was called with; sizes are in the layout that is named. Arrays, `layout` and `out` are as in ``fastconv.functional``;
`out` is overwritten, never added to.

References
----------
https://docs.pytorch.org/docs/stable/nn.html#module-torch.nn.grad
"""

from __future__ import annotations

from fastconv.grad.activation import (
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
from fastconv.grad.conv import conv2d_bias, conv2d_input, conv2d_weight
from fastconv.grad.pool import (
    adaptive_avg_pool2d,
    adaptive_max_pool2d,
    avg_pool2d,
    max_pool2d,
)

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "avg_pool2d",
    "conv2d_bias",
    "conv2d_input",
    "conv2d_weight",
    "elu",
    "gelu",
    "hardsigmoid",
    "hardswish",
    "leaky_relu",
    "log_softmax",
    "max_pool2d",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
]
