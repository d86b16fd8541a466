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
from fastconv.grad.conv import (
    conv1d_bias,
    conv1d_input,
    conv1d_weight,
    conv2d_bias,
    conv2d_input,
    conv2d_weight,
    conv3d_bias,
    conv3d_input,
    conv3d_weight,
)
from fastconv.grad.conv_transpose import (
    conv_transpose1d_bias,
    conv_transpose1d_input,
    conv_transpose1d_weight,
    conv_transpose2d_bias,
    conv_transpose2d_input,
    conv_transpose2d_weight,
    conv_transpose3d_bias,
    conv_transpose3d_input,
    conv_transpose3d_weight,
)
from fastconv.grad.fold import fold, unfold
from fastconv.grad.interpolate import interpolate
from fastconv.grad.max_unpool import max_unpool1d, max_unpool2d, max_unpool3d
from fastconv.grad.mean_pool import geometric_avg_pool2d, harmonic_avg_pool2d, lp_pool1d, lp_pool2d, lp_pool3d
from fastconv.grad.norm import (
    batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    local_response_norm,
)
from fastconv.grad.pad import pad
from fastconv.grad.pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm",
    "conv1d_bias",
    "conv1d_input",
    "conv1d_weight",
    "conv2d_bias",
    "conv2d_input",
    "conv2d_weight",
    "conv3d_bias",
    "conv3d_input",
    "conv3d_weight",
    "conv_transpose1d_bias",
    "conv_transpose1d_input",
    "conv_transpose1d_weight",
    "conv_transpose2d_bias",
    "conv_transpose2d_input",
    "conv_transpose2d_weight",
    "conv_transpose3d_bias",
    "conv_transpose3d_input",
    "conv_transpose3d_weight",
    "elu",
    "fold",
    "gelu",
    "geometric_avg_pool2d",
    "group_norm",
    "hardsigmoid",
    "hardswish",
    "harmonic_avg_pool2d",
    "instance_norm",
    "interpolate",
    "layer_norm",
    "leaky_relu",
    "local_response_norm",
    "log_softmax",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
    "pad",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
    "unfold",
]
