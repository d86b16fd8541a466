"""What ``fastconv train`` shows of a trained model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv import functional, layers
from fastconv.cli import pictures


def draw_all(
    model: Any,
    history: Mapping[str, Sequence[float]],
    test: tuple[NDArray[np.float32], NDArray[np.uint8]],
    probabilities: NDArray[Any],
    folder: Path,
) -> list[str]:
    """Draw the five pictures of a training.

    Parameters
    ----------
    model : Sequential
        A trained LeNet-5.
    history : mapping of str to sequence of float
        What ``fit`` returned in its History.
    test : tuple of ndarray
        Images (N, height, width, 1) and labels (N,).
    probabilities : ndarray
        Shape (N, 10), the model's output for the test images.
    folder : Path
        Where the files go.

    Returns
    -------
    list of str
        The names of the files.
    """
    images, labels = test
    readings = probabilities.argmax(axis=1)
    accuracy = float((readings == labels).mean())
    convolution = next(layer for layer in model.layers if isinstance(layer, layers.Conv2D))
    kernel, bias = convolution.get_weights()
    # A digit that was read rightly, and not without a doubt, so that the output has something to show.
    right = np.where(readings == labels, probabilities.max(axis=1), np.inf)
    chosen = int(np.argmin(np.abs(right - 0.97))) if np.isfinite(right).any() else 0
    pictures.training_curves(history, folder / "curves.png", test_accuracy=accuracy)
    pictures.filters(kernel, folder / "filters.png", name=convolution.name.capitalize(), bias=bias)
    pictures.feature_maps(
        stages(model, images[chosen]),
        folder / "feature-maps.png",
        title=f"A {labels[chosen]} on its way through LeNet-5",
        subtitle="Each row is a layer; red is positive, blue is negative, white is zero.",
    )
    pictures.confusion_matrix(labels, readings, folder / "confusion.png")
    pictures.mistakes(images[..., 0], labels, probabilities, folder / "mistakes.png")
    return ["curves.png", "filters.png", "feature-maps.png", "confusion.png", "mistakes.png"]


def stages(model: Any, image: NDArray[np.float32]) -> list[pictures.Stage]:
    """Follow one image through a model, a convolution's activation as a step of its own.

    Parameters
    ----------
    model : Sequential
        Any model that begins with an image.
    image : ndarray of float32
        Shape (height, width, channels).

    Returns
    -------
    list of Stage
        The input and every layer's output but those that only reshape.
    """
    found = [pictures.Stage("Input", image)]
    values: NDArray[Any] = image[None]
    for layer in model.layers:
        before, values = values, np.asarray(layer(values))
        if isinstance(layer, layers.Flatten):
            continue
        activation = _activation_name(layer)
        note = _note(layer)
        if isinstance(layer, layers.Conv2D) and activation and values.shape[1:3] != (1, 1):
            found.append(pictures.Stage(layer.name.capitalize(), _convolved(layer, before)[0], note))
            note, activation = activation, ""
        shown = values[0].ravel() if values.ndim == 2 or values.shape[1:3] == (1, 1) else values[0]
        found.append(pictures.Stage(layer.name.capitalize(), shown, ", ".join(filter(None, (note, activation)))))
    return found


def _activation_name(layer: Any) -> str:
    name = layer.get_config().get("activation") or "linear"
    return "" if name == "linear" else str(name)


def _note(layer: Any) -> str:
    def times(pair: Sequence[int]) -> str:
        return "×".join(map(str, pair))

    if isinstance(layer, layers.Conv2D):
        return f"convolution {times(layer.kernel_size)}"
    if isinstance(layer, layers.AveragePooling2D):
        return f"average of {times(layer.pool_size)}"
    if isinstance(layer, layers.MaxPooling2D):
        return f"maximum of {times(layer.pool_size)}"
    return "dense" if isinstance(layer, layers.Dense) else type(layer).__name__.lower()


def _convolved(layer: layers.Conv2D, images: NDArray[Any]) -> NDArray[Any]:
    """Apply a convolution layer without its activation."""
    kernel, bias = layer.get_weights()
    (down, across), (tall, wide) = layer.strides, layer.dilation_rate
    return functional.conv2d(
        images,
        kernel,
        bias,
        stride=(down, across),
        padding=layer.padding,
        dilation=(tall, wide),
        groups=layer.groups,
        layout="NHWC",
    )
