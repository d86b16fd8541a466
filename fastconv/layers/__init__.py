"""Layers with Keras' names, arguments, defaults and weights; they store, and forward to the engine.

``Layer`` is the base; a layer of one's own derives from it. A layer runs by ``call`` and, in training, is followed by
``backward``, which fills the gradients of its weights. See `fastconv.models` for what strings them together.
"""

from fastconv.layers.activation import Activation
from fastconv.layers.average_pooling2d import AveragePooling2D
from fastconv.layers.batch_normalization import BatchNormalization
from fastconv.layers.concatenate import Concatenate
from fastconv.layers.conv2d import Conv2D
from fastconv.layers.dense import Dense
from fastconv.layers.depthwise_conv2d import DepthwiseConv2D
from fastconv.layers.dropout import Dropout
from fastconv.layers.elu import ELU
from fastconv.layers.flatten import Flatten
from fastconv.layers.global_average_pooling2d import GlobalAveragePooling2D
from fastconv.layers.global_max_pooling2d import GlobalMaxPooling2D
from fastconv.layers.input_layer import Input, InputLayer
from fastconv.layers.layer import Layer
from fastconv.layers.leaky_relu import LeakyReLU
from fastconv.layers.max_pooling2d import MaxPooling2D
from fastconv.layers.merging import Add, Average, Maximum, Minimum, Multiply, Subtract
from fastconv.layers.relu import ReLU
from fastconv.layers.reshape import Reshape
from fastconv.layers.softmax import Softmax
from fastconv.layers.zero_padding2d import ZeroPadding2D

AvgPool2D = AveragePooling2D
Convolution2D = Conv2D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalMaxPool2D = GlobalMaxPooling2D
MaxPool2D = MaxPooling2D

__all__ = [
    "ELU",
    "Activation",
    "Add",
    "Average",
    "AveragePooling2D",
    "AvgPool2D",
    "BatchNormalization",
    "Concatenate",
    "Conv2D",
    "Convolution2D",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "Flatten",
    "GlobalAveragePooling2D",
    "GlobalAvgPool2D",
    "GlobalMaxPool2D",
    "GlobalMaxPooling2D",
    "Input",
    "InputLayer",
    "Layer",
    "LeakyReLU",
    "MaxPool2D",
    "MaxPooling2D",
    "Maximum",
    "Minimum",
    "Multiply",
    "ReLU",
    "Reshape",
    "Softmax",
    "Subtract",
    "ZeroPadding2D",
]
