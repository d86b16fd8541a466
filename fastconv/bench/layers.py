"""The layers that are timed: shapes of networks that people run, filters of images, and pools."""

from __future__ import annotations

from typing import Literal, NamedTuple

Pair = tuple[int, int]


def extent(size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


class Layer(NamedTuple):
    """One convolution; `words` replaces the title that is made from the shape, `headline` puts it in README's table."""

    name: str
    n: int
    c: int
    h: int
    w: int
    k: int
    kernel: Pair
    stride: int = 1
    padding: Pair = (0, 0)
    dilation: int = 1
    groups: int = 1
    separable: bool = False
    words: str = ""
    headline: bool = False

    @property
    def input(self) -> tuple[int, ...]:
        return (self.n, self.c, self.h, self.w)

    @property
    def weight(self) -> tuple[int, ...]:
        return (self.k, self.c // self.groups, *self.kernel)

    @property
    def output(self) -> tuple[int, ...]:
        oh = extent(self.h, self.kernel[0], self.stride, self.padding[0], self.dilation)
        ow = extent(self.w, self.kernel[1], self.stride, self.padding[1], self.dilation)
        return (self.n, self.k, oh, ow)

    @property
    def flops(self) -> int:
        """Of the sums as they are defined, two for a multiply-add, whatever an algorithm saves."""
        n, k, oh, ow = self.output
        return 2 * n * k * oh * ow * (self.c // self.groups) * self.kernel[0] * self.kernel[1]

    @property
    def arguments(self) -> dict[str, int | Pair]:
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}

    @property
    def title(self) -> str:
        if self.words:
            return self.words
        depthwise = 1 < self.groups == self.c
        what = f"{self.kernel[0]}×{self.kernel[1]}"
        what += f" stride {self.stride}" * (self.stride > 1) + f" dilation {self.dilation}" * (self.dilation > 1)
        what += " depthwise" if depthwise else f" in {self.groups} groups" * (self.groups > 1)
        channels = f"{self.c}" if depthwise else f"{self.c} → {self.k}"
        return f"{what}, {channels} channels, {self.h}×{self.w}" + f", {self.n} images" * (self.n > 1)


class Pool(NamedTuple):
    name: str
    kind: Literal["maximum", "average", "global average"]
    n: int
    c: int
    h: int
    w: int
    kernel: int
    stride: int
    padding: int = 0
    headline: bool = False

    @property
    def input(self) -> tuple[int, ...]:
        return (self.n, self.c, self.h, self.w)

    @property
    def output(self) -> tuple[int, ...]:
        edges = (extent(size, self.kernel, self.stride, self.padding) for size in (self.h, self.w))
        return (self.n, self.c, *edges)

    @property
    def title(self) -> str:
        window = "" if self.kind == "global average" else f"{self.kernel}×{self.kernel} stride {self.stride} "
        return f"{window}{self.kind}, {self.c} channels, {self.h}×{self.w}" + f", {self.n} images" * (self.n > 1)


LAYERS = [
    # LeNet-5: small enough that a call's overhead shows
    Layer("lenet_c1", 1, 1, 32, 32, 6, (5, 5), words="LeNet-5's first convolution, one image", headline=True),
    Layer("lenet_c3", 1, 6, 14, 14, 16, (5, 5), words="LeNet-5's second convolution, one image"),
    Layer("lenet_c1_b64", 64, 1, 32, 32, 6, (5, 5), words="LeNet-5's first convolution, 64 images"),
    Layer("lenet_c3_b64", 64, 6, 14, 14, 16, (5, 5), words="LeNet-5's second convolution, 64 images", headline=True),
    # ResNet-50: first layer, 3×3 of three stages, 1×1 that reduce and expand, a strided one
    Layer("resnet_first", 1, 3, 224, 224, 64, (7, 7), 2, (3, 3), headline=True),
    Layer("resnet_3x3_56", 1, 64, 56, 56, 64, (3, 3), 1, (1, 1), headline=True),
    Layer("resnet_3x3_28", 1, 128, 28, 28, 128, (3, 3), 1, (1, 1)),
    Layer("resnet_3x3_7", 1, 512, 7, 7, 512, (3, 3), 1, (1, 1)),
    Layer("resnet_1x1_reduce_56", 1, 256, 56, 56, 64, (1, 1), headline=True),
    Layer("resnet_1x1_expand_14", 1, 256, 14, 14, 1024, (1, 1)),
    Layer("resnet_3x3_stride2_56", 1, 128, 56, 56, 128, (3, 3), 2, (1, 1)),
    # VGG-16, ResNeXt-50, a dilated layer of DeepLab
    Layer("vgg_3x3_56", 1, 256, 56, 56, 256, (3, 3), 1, (1, 1)),
    Layer("resnext_3x3_28", 1, 256, 28, 28, 256, (3, 3), 1, (1, 1), 1, 32),
    Layer("deeplab_3x3_28", 1, 256, 28, 28, 256, (3, 3), 1, (2, 2), 2),
    # MobileNet, EfficientNet: depthwise and the 1×1 after it
    Layer("mobilenet_depthwise_112", 1, 32, 112, 112, 32, (3, 3), 1, (1, 1), 1, 32, headline=True),
    Layer("mobilenet_depthwise_stride2_112", 1, 96, 112, 112, 96, (3, 3), 2, (1, 1), 1, 96),
    Layer("mobilenet_depthwise_14", 1, 384, 14, 14, 384, (3, 3), 1, (1, 1), 1, 384),
    Layer("mobilenet_1x1_7", 1, 960, 7, 7, 320, (1, 1)),
    # Inception v3: a row as the kernel
    Layer("inception_1x7_17", 1, 128, 17, 17, 192, (1, 7), 1, (0, 3)),
    # one-channel images
    Layer("filter_3x3_1080", 1, 1, 1080, 1920, 1, (3, 3), 1, (1, 1), words="3×3 filter, 1920×1080 image"),
    Layer(
        "filter_blur15_512", 1, 1, 512, 512, 1, (15, 15), 1, (7, 7), 1, 1, True, "15×15 separable filter, 512×512 image"
    ),
]

# Layers whose gradients are timed too.
TRAINED = [
    layer
    for layer in LAYERS
    if layer.name
    in {
        "lenet_c1_b64",
        "lenet_c3_b64",
        "resnet_first",
        "resnet_3x3_56",
        "resnet_1x1_reduce_56",
        "resnet_3x3_stride2_56",
        "mobilenet_depthwise_112",
    }
]

POOLS = [
    Pool("lenet_average", "average", 1, 6, 28, 28, 2, 2),
    Pool("lenet_average_b64", "average", 64, 6, 28, 28, 2, 2),
    Pool("resnet_maximum_112", "maximum", 1, 64, 112, 112, 3, 2, 1, headline=True),
    Pool("vgg_maximum_112", "maximum", 1, 128, 112, 112, 2, 2),
    Pool("vgg_maximum_28", "maximum", 1, 512, 28, 28, 2, 2),
    Pool("inception_average_35", "average", 1, 288, 35, 35, 3, 1, 1),
    Pool("resnet_global_7", "global average", 1, 2048, 7, 7, 7, 1),
]
