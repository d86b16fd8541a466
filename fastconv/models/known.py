"""The layers and models that a configuration may name."""

from __future__ import annotations

from fastconv import layers
from fastconv.layers.layer import Layer


def model_classes() -> dict[str, type[Layer]]:
    """Return the kinds of models by class name.

    Examples
    --------
    >>> sorted(model_classes())
    ['Functional', 'Sequential']
    """
    from fastconv.models.functional import Functional
    from fastconv.models.sequential import Sequential

    return {"Functional": Functional, "Sequential": Sequential}


def layer_classes() -> dict[str, type[Layer]]:
    """Return the package's layers and models by class name.

    Examples
    --------
    >>> layer_classes()["Dense"].__name__
    'Dense'
    """
    table = {name: kind for name in layers.__all__ if isinstance(kind := getattr(layers, name), type)}
    return table | model_classes()
