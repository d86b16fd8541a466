"""A VGG of CIFAR's size (Simonyan and Zisserman, 2014, with batch normalisation), and what it predicts.

Images are (batch, 32, 32, 3). Three blocks of two 3 × 3 convolutions with 32, 64 and 128 filters, each normalised and
rectified, end with a 2 × 2 maximum and dropout; two dense layers follow. Weights are in Keras' order and layouts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.bench.exact import Array, generator

FILTERS = [(3, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128)]
EXTENTS = [32, 32, 16, 16, 8, 8]
DENSE = [(2048, 128), (128, 10)]
DROPOUT = [0.2, 0.3, 0.4, 0.5]  # after each block, and between the dense layers
EPSILON = 1e-3
# Two for a multiply-add.
FLOPS = sum(18 * c * k * extent**2 for (c, k), extent in zip(FILTERS, EXTENTS, strict=True)) + sum(
    2 * c * k for c, k in DENSE
)


def random_weights() -> list[Array]:
    """Kernel, bias, gamma, beta, mean and variance of each convolution; kernel and bias of each dense layer."""
    rng, weights = generator("VGG"), []
    for c, k in FILTERS:
        kernel = rng.standard_normal((3, 3, c, k)) * np.sqrt(2 / (9 * c))
        vectors = [rng.uniform(-0.1, 0.1, k), rng.uniform(0.8, 1.2, k), *rng.uniform(-0.1, 0.1, (2, k))]
        weights += [kernel, *vectors, rng.uniform(0.8, 1.2, k)]
    for c, k in DENSE:
        weights += [rng.standard_normal((c, k)) * np.sqrt(1 / c), rng.uniform(-0.1, 0.1, k)]
    return [weight.astype(np.float32) for weight in weights]


def model(dropout: float | None = None) -> Any:
    """Return fastconv's; `dropout` replaces all rates."""
    from fastconv import Sequential, layers

    rates = DROPOUT if dropout is None else [dropout] * len(DROPOUT)
    made: list[Any] = [layers.Input((32, 32, 3))]
    for number, (_, filters) in enumerate(FILTERS):
        made += [layers.Conv2D(filters, 3, padding="same"), layers.BatchNormalization(), layers.ReLU()]
        if number % 2:
            made += [layers.MaxPooling2D(), layers.Dropout(rates[number // 2])]
    made += [layers.Flatten(), layers.Dense(DENSE[0][1], activation="relu"), layers.Dropout(rates[3])]
    return Sequential([*made, layers.Dense(DENSE[1][1], activation="softmax")])


def torch_model(torch: Any, layout: str, dropout: float | None = None) -> Any:
    """Return PyTorch's with the random weights, without the softmax, which training leaves to the loss."""
    nn, rates = torch.nn, DROPOUT if dropout is None else [dropout] * len(DROPOUT)
    made: list[Any] = []
    for number, (c, k) in enumerate(FILTERS):
        made += [nn.Conv2d(c, k, 3, padding=1), nn.BatchNorm2d(k, eps=EPSILON, momentum=0.01), nn.ReLU()]
        if number % 2:
            made += [nn.MaxPool2d(2), nn.Dropout(rates[number // 2])]
    made += [nn.Flatten(), nn.Linear(*DENSE[0]), nn.ReLU(), nn.Dropout(rates[3]), nn.Linear(*DENSE[1])]
    network = nn.Sequential(*made)
    tensors = [value for key, value in network.state_dict().items() if not key.endswith("num_batches_tracked")]
    with torch.no_grad():
        for tensor, weight in zip(tensors, torch_weights(random_weights()), strict=True):
            tensor.copy_(torch.from_numpy(weight))
    return network.to(memory_format=torch.contiguous_format if layout == "NCHW" else torch.channels_last)


def torch_weights(weights: list[Array]) -> list[Array]:
    """Return weights in PyTorch's layouts: what the first dense layer reads is flattened channels first there."""
    found = []
    for weight in weights:
        if weight.shape == DENSE[0]:
            found.append(weight.reshape(4, 4, 128, -1).transpose(3, 2, 0, 1).reshape(-1, DENSE[0][0]))
        else:
            found.append(weight.transpose({4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[weight.ndim]))
    return [np.ascontiguousarray(weight) for weight in found]


def convolve(x: Array, kernel: Array, bias: Array) -> Array:
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), (3, 3), axis=(1, 2))
    made: Array = np.einsum("nhwcij,ijck->nhwk", windows, kernel, optimize=True) + bias
    return made


def forward(weights: list[Array], x: Array) -> Array:
    """Return the probabilities that the network predicts, in float64."""
    exact = [weight.astype(np.float64) for weight in weights]
    x = x.astype(np.float64)
    for number in range(len(FILTERS)):
        kernel, bias, gamma, beta, mean, variance = exact[6 * number : 6 * number + 6]
        x = convolve(x, kernel, bias)
        x = np.maximum((x - mean) / np.sqrt(variance + EPSILON) * gamma + beta, 0)
        if number % 2:
            n, h, w, c = x.shape
            x = x.reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))
    w1, b1, w2, b2 = exact[-4:]
    scores = np.maximum(x.reshape(len(x), -1) @ w1 + b1, 0) @ w2 + b2
    powers = np.exp(scores - scores.max(1, keepdims=True))
    probabilities: Array = powers / powers.sum(1, keepdims=True)
    return probabilities
