"""Layers with Keras' names, arguments, defaults and weights; they store, and forward to the engine.

``Layer`` is the base; a layer of one's own derives from it. A layer runs by ``call`` and, in training, is followed by
``backward``, which fills the gradients of its weights. See `fastconv.models` for what strings them together.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastconv.layers.activation import Activation
    from fastconv.layers.average_pooling1d import AveragePooling1D
    from fastconv.layers.average_pooling1d import AveragePooling1D as AvgPool1D
    from fastconv.layers.average_pooling2d import AveragePooling2D
    from fastconv.layers.average_pooling2d import AveragePooling2D as AvgPool2D
    from fastconv.layers.average_pooling3d import AveragePooling3D
    from fastconv.layers.average_pooling3d import AveragePooling3D as AvgPool3D
    from fastconv.layers.batch_normalization import BatchNormalization
    from fastconv.layers.concatenate import Concatenate
    from fastconv.layers.conv1d import Conv1D
    from fastconv.layers.conv1d import Conv1D as Convolution1D
    from fastconv.layers.conv1d_transpose import Conv1DTranspose
    from fastconv.layers.conv1d_transpose import Conv1DTranspose as Convolution1DTranspose
    from fastconv.layers.conv2d import Conv2D
    from fastconv.layers.conv2d import Conv2D as Convolution2D
    from fastconv.layers.conv2d_transpose import Conv2DTranspose
    from fastconv.layers.conv2d_transpose import Conv2DTranspose as Convolution2DTranspose
    from fastconv.layers.conv3d import Conv3D
    from fastconv.layers.conv3d import Conv3D as Convolution3D
    from fastconv.layers.conv3d_transpose import Conv3DTranspose
    from fastconv.layers.conv3d_transpose import Conv3DTranspose as Convolution3DTranspose
    from fastconv.layers.cropping1d import Cropping1D
    from fastconv.layers.cropping2d import Cropping2D
    from fastconv.layers.cropping3d import Cropping3D
    from fastconv.layers.dense import Dense
    from fastconv.layers.depthwise_conv1d import DepthwiseConv1D
    from fastconv.layers.depthwise_conv2d import DepthwiseConv2D
    from fastconv.layers.dropout import Dropout
    from fastconv.layers.elu import ELU
    from fastconv.layers.flatten import Flatten
    from fastconv.layers.global_average_pooling1d import GlobalAveragePooling1D
    from fastconv.layers.global_average_pooling1d import GlobalAveragePooling1D as GlobalAvgPool1D
    from fastconv.layers.global_average_pooling2d import GlobalAveragePooling2D
    from fastconv.layers.global_average_pooling2d import GlobalAveragePooling2D as GlobalAvgPool2D
    from fastconv.layers.global_average_pooling3d import GlobalAveragePooling3D
    from fastconv.layers.global_average_pooling3d import GlobalAveragePooling3D as GlobalAvgPool3D
    from fastconv.layers.global_max_pooling1d import GlobalMaxPooling1D
    from fastconv.layers.global_max_pooling1d import GlobalMaxPooling1D as GlobalMaxPool1D
    from fastconv.layers.global_max_pooling2d import GlobalMaxPooling2D
    from fastconv.layers.global_max_pooling2d import GlobalMaxPooling2D as GlobalMaxPool2D
    from fastconv.layers.global_max_pooling3d import GlobalMaxPooling3D
    from fastconv.layers.global_max_pooling3d import GlobalMaxPooling3D as GlobalMaxPool3D
    from fastconv.layers.input_layer import Input, InputLayer
    from fastconv.layers.layer import Layer
    from fastconv.layers.layer_normalization import LayerNormalization
    from fastconv.layers.leaky_relu import LeakyReLU
    from fastconv.layers.max_pooling1d import MaxPooling1D
    from fastconv.layers.max_pooling1d import MaxPooling1D as MaxPool1D
    from fastconv.layers.max_pooling2d import MaxPooling2D
    from fastconv.layers.max_pooling2d import MaxPooling2D as MaxPool2D
    from fastconv.layers.max_pooling3d import MaxPooling3D
    from fastconv.layers.max_pooling3d import MaxPooling3D as MaxPool3D
    from fastconv.layers.merging import Add, Average, Maximum, Minimum, Multiply, Subtract
    from fastconv.layers.relu import ReLU
    from fastconv.layers.reshape import Reshape
    from fastconv.layers.separable_conv1d import SeparableConv1D
    from fastconv.layers.separable_conv1d import SeparableConv1D as SeparableConvolution1D
    from fastconv.layers.separable_conv2d import SeparableConv2D
    from fastconv.layers.separable_conv2d import SeparableConv2D as SeparableConvolution2D
    from fastconv.layers.softmax import Softmax
    from fastconv.layers.up_sampling1d import UpSampling1D
    from fastconv.layers.up_sampling2d import UpSampling2D
    from fastconv.layers.up_sampling3d import UpSampling3D
    from fastconv.layers.zero_padding1d import ZeroPadding1D
    from fastconv.layers.zero_padding2d import ZeroPadding2D
    from fastconv.layers.zero_padding3d import ZeroPadding3D

# Layers are loaded when they are first used: a program that predicts needs few of them.
_HOMES = {
    "Activation": "activation",
    "Add": "merging",
    "Average": "merging",
    "AveragePooling1D": "average_pooling1d",
    "AveragePooling2D": "average_pooling2d",
    "AveragePooling3D": "average_pooling3d",
    "AvgPool1D": "average_pooling1d",
    "AvgPool2D": "average_pooling2d",
    "AvgPool3D": "average_pooling3d",
    "BatchNormalization": "batch_normalization",
    "Concatenate": "concatenate",
    "Conv1D": "conv1d",
    "Conv1DTranspose": "conv1d_transpose",
    "Conv2D": "conv2d",
    "Conv2DTranspose": "conv2d_transpose",
    "Conv3D": "conv3d",
    "Conv3DTranspose": "conv3d_transpose",
    "Convolution1D": "conv1d",
    "Convolution1DTranspose": "conv1d_transpose",
    "Convolution2D": "conv2d",
    "Convolution2DTranspose": "conv2d_transpose",
    "Convolution3D": "conv3d",
    "Convolution3DTranspose": "conv3d_transpose",
    "Cropping1D": "cropping1d",
    "Cropping2D": "cropping2d",
    "Cropping3D": "cropping3d",
    "Dense": "dense",
    "DepthwiseConv1D": "depthwise_conv1d",
    "DepthwiseConv2D": "depthwise_conv2d",
    "Dropout": "dropout",
    "ELU": "elu",
    "Flatten": "flatten",
    "GlobalAveragePooling1D": "global_average_pooling1d",
    "GlobalAveragePooling2D": "global_average_pooling2d",
    "GlobalAveragePooling3D": "global_average_pooling3d",
    "GlobalAvgPool1D": "global_average_pooling1d",
    "GlobalAvgPool2D": "global_average_pooling2d",
    "GlobalAvgPool3D": "global_average_pooling3d",
    "GlobalMaxPool1D": "global_max_pooling1d",
    "GlobalMaxPool2D": "global_max_pooling2d",
    "GlobalMaxPool3D": "global_max_pooling3d",
    "GlobalMaxPooling1D": "global_max_pooling1d",
    "GlobalMaxPooling2D": "global_max_pooling2d",
    "GlobalMaxPooling3D": "global_max_pooling3d",
    "Input": "input_layer",
    "InputLayer": "input_layer",
    "Layer": "layer",
    "LayerNormalization": "layer_normalization",
    "LeakyReLU": "leaky_relu",
    "MaxPool1D": "max_pooling1d",
    "MaxPool2D": "max_pooling2d",
    "MaxPool3D": "max_pooling3d",
    "MaxPooling1D": "max_pooling1d",
    "MaxPooling2D": "max_pooling2d",
    "MaxPooling3D": "max_pooling3d",
    "Maximum": "merging",
    "Minimum": "merging",
    "Multiply": "merging",
    "ReLU": "relu",
    "Reshape": "reshape",
    "SeparableConv1D": "separable_conv1d",
    "SeparableConv2D": "separable_conv2d",
    "SeparableConvolution1D": "separable_conv1d",
    "SeparableConvolution2D": "separable_conv2d",
    "Softmax": "softmax",
    "Subtract": "merging",
    "UpSampling1D": "up_sampling1d",
    "UpSampling2D": "up_sampling2d",
    "UpSampling3D": "up_sampling3d",
    "ZeroPadding1D": "zero_padding1d",
    "ZeroPadding2D": "zero_padding2d",
    "ZeroPadding3D": "zero_padding3d",
}
_ALIASES = {
    "AvgPool1D": "AveragePooling1D",
    "AvgPool2D": "AveragePooling2D",
    "AvgPool3D": "AveragePooling3D",
    "Convolution1D": "Conv1D",
    "Convolution1DTranspose": "Conv1DTranspose",
    "Convolution2D": "Conv2D",
    "Convolution2DTranspose": "Conv2DTranspose",
    "Convolution3D": "Conv3D",
    "Convolution3DTranspose": "Conv3DTranspose",
    "GlobalAvgPool1D": "GlobalAveragePooling1D",
    "GlobalAvgPool2D": "GlobalAveragePooling2D",
    "GlobalAvgPool3D": "GlobalAveragePooling3D",
    "GlobalMaxPool1D": "GlobalMaxPooling1D",
    "GlobalMaxPool2D": "GlobalMaxPooling2D",
    "GlobalMaxPool3D": "GlobalMaxPooling3D",
    "MaxPool1D": "MaxPooling1D",
    "MaxPool2D": "MaxPooling2D",
    "MaxPool3D": "MaxPooling3D",
    "SeparableConvolution1D": "SeparableConv1D",
    "SeparableConvolution2D": "SeparableConv2D",
}

__all__ = [
    "ELU",
    "Activation",
    "Add",
    "Average",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "AvgPool1D",
    "AvgPool2D",
    "AvgPool3D",
    "BatchNormalization",
    "Concatenate",
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DTranspose",
    "Convolution1D",
    "Convolution1DTranspose",
    "Convolution2D",
    "Convolution2DTranspose",
    "Convolution3D",
    "Convolution3DTranspose",
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "Dense",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "Dropout",
    "Flatten",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalAvgPool1D",
    "GlobalAvgPool2D",
    "GlobalAvgPool3D",
    "GlobalMaxPool1D",
    "GlobalMaxPool2D",
    "GlobalMaxPool3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "Input",
    "InputLayer",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPool3D",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
    "Maximum",
    "Minimum",
    "Multiply",
    "ReLU",
    "Reshape",
    "SeparableConv1D",
    "SeparableConv2D",
    "SeparableConvolution1D",
    "SeparableConvolution2D",
    "Softmax",
    "Subtract",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), _ALIASES.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
