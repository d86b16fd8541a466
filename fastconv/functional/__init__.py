"""The operators: the names, argument order, defaults and results of ``torch.nn.functional``, on NumPy arrays.

Arrays are float32 or float64 and of one dtype per call; nothing is cast, other types are a ``TypeError``. They may have
any strides, byte order and alignment and may be read-only; they are copied only where the engine needs them
contiguous. Subclasses are taken as the ndarrays they are, a masked array only if it masks nothing; results are plain
ndarrays. Large results come from a pool of reusable memory, so that their pages need not be touched for the first time.

Beyond torch every operator takes, by keyword only,

layout : {"NCHW", "NHWC"}
    Order of an image's axes: n images, c channels, h height, w width; without n for one image. Weights are
    (o, i, kh, kw) or (kh, kw, i, o) with i = c / groups.
out : ndarray, optional
    Where the result goes and what is returned: of the result's shape and dtype, of any strides, sharing no memory with
    an input. (Activations may write over their own input.)

References
----------
https://docs.pytorch.org/docs/stable/nn.functional.html
"""

from __future__ import annotations

from fastconv.functional.activation import (
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
from fastconv.functional.adaptive_pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
)
from fastconv.functional.avg_pool import avg_pool1d, avg_pool2d, avg_pool3d
from fastconv.functional.conv import conv1d, conv2d, conv3d
from fastconv.functional.conv_transpose import conv_transpose1d, conv_transpose2d, conv_transpose3d
from fastconv.functional.dropout import dropout
from fastconv.functional.fold import fold, unfold
from fastconv.functional.interpolate import interpolate
from fastconv.functional.linear import linear
from fastconv.functional.max_pool import max_pool1d, max_pool2d, max_pool3d
from fastconv.functional.max_unpool import max_unpool1d, max_unpool2d, max_unpool3d
from fastconv.functional.mean_pool import geometric_avg_pool2d, harmonic_avg_pool2d, lp_pool1d, lp_pool2d, lp_pool3d
from fastconv.functional.norm import (
    batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    local_response_norm,
)
from fastconv.functional.pad import pad

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
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "dropout",
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
    "linear",
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
