"""LeNet-5."""

from __future__ import annotations

from fastconv.layers import AveragePooling2D, Conv2D, Dense, Flatten, Input
from fastconv.models.sequential import Sequential


def LeNet5(  # noqa: N802
    input_shape: tuple[int, int, int] = (32, 32, 1), classes: int = 10, name: str = "lenet5"
) -> Sequential:
    """Make the network that read cheques in 1998, with 61,706 parameters.

    Two rounds of 5 × 5 convolution, tanh and 2 × 2 average, a third convolution that sees the whole map, and two dense
    layers; the last one's radial basis functions have become a softmax (LeCun et al., "Gradient-based learning applied
    to document recognition", 1998).

    Parameters
    ----------
    input_shape : (int, int, int)
        Height, width, channels.
    classes : int
    name : str

    Returns
    -------
    Sequential
        Takes (batch, 32, 32, 1), returns probabilities, (batch, 10).

    Raises
    ------
    ValueError
        If images are too small for three convolutions.

    Examples
    --------
    >>> LeNet5().count_params()
    61706
    """
    return Sequential(
        [
            Input(input_shape),
            Conv2D(6, 5, activation="tanh", name="c1"),
            AveragePooling2D(2, name="s2"),
            Conv2D(16, 5, activation="tanh", name="c3"),
            AveragePooling2D(2, name="s4"),
            Conv2D(120, 5, activation="tanh", name="c5"),
            Flatten(name="flatten"),
            Dense(84, activation="tanh", name="f6"),
            Dense(classes, activation="softmax", name="output"),
        ],
        name=name,
    )
