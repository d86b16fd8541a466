"""Constructors of the Keras face: whatever is wrong about an argument, the error names it, and nothing hangs."""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest

from fastconv import callbacks, initializers, layers, losses, metrics, optimizers, regularizers

FAMILIES = (callbacks, initializers, layers, losses, metrics, optimizers, regularizers)
NEEDED: dict[str, Any] = {
    "filename": "log.csv",
    "filepath": "model.npz",
    "schedule": lambda epoch, rate: rate,
    "rate": 0.5,
    "target_shape": (4,),
    "activation": "relu",
    "shape": (4,),
    "function": len,
}
# Not of numbers and names: arrays of any kind, or what the class says about all of its arguments together.
OTHERS = {"CallbackList", "InputLayer", "FunctionLoss", "LossMetric"}
TEXTS = (
    "activation",
    "data_format",
    "filename",
    "filepath",
    "distribution",
    "interpolation",
    "mode",
    "monitor",
    "name",
    "padding",
    "reduction",
)


def constructors() -> list[Any]:
    found = {}
    for family in FAMILIES:
        for name in family.__all__:
            value = getattr(family, name)
            if isinstance(value, type) and value.__name__ not in OTHERS:
                found[f"{family.__name__.rpartition('.')[2]}.{value.__name__}"] = value
    return [pytest.param(value, id=name) for name, value in sorted(found.items())]


def needed(made: type) -> tuple[list[inspect.Parameter], dict[str, Any]]:
    every = inspect.signature(made).parameters.values()
    named = [one for one in every if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)]
    return named, {one.name: NEEDED.get(one.name, 2) for one in named if one.default is one.empty}


@pytest.mark.parametrize("made", constructors())
def test_errors_name_the_argument(made: type) -> None:
    parameters, given = needed(made)
    made(**given)
    for one in parameters:
        values: list[Any] = [object(), [1, "b"], math.nan]
        if not isinstance(one.default, str) and one.name not in TEXTS:
            values.append("nonsense")
        for value in values:
            with pytest.raises((TypeError, ValueError), match=one.name):
                made(**given | {one.name: value})


SMALL: list[tuple[type, str, Any]] = [
    (layers.Dropout, "seed", -1),
    (initializers.RandomNormal, "seed", -1),
    (initializers.RandomNormal, "stddev", -1),
    (callbacks.EarlyStopping, "patience", -1),
    (callbacks.EarlyStopping, "start_from_epoch", -1),
    (callbacks.ReduceLROnPlateau, "factor", -1),
    (callbacks.ReduceLROnPlateau, "cooldown", -1),
    (callbacks.ReduceLROnPlateau, "min_lr", -1),
    (callbacks.ModelCheckpoint, "save_freq", 0),
    (callbacks.ModelCheckpoint, "save_freq", True),
    (callbacks.CSVLogger, "separator", "ab"),
    (metrics.TopKCategoricalAccuracy, "k", 0),
    (metrics.BinaryAccuracy, "threshold", 1),
    (optimizers.SGD, "learning_rate", -1),
    (optimizers.SGD, "clipnorm", -1),
    (optimizers.Adam, "epsilon", -1),
    (layers.BatchNormalization, "epsilon", -1),
    (layers.Dense, "use_bias", 2),
]


@pytest.mark.parametrize(("made", "name", "value"), SMALL, ids=[f"{m.__name__}-{n}" for m, n, _ in SMALL])
def test_values_out_of_range(made: type, name: str, value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=name):
        made(**needed(made)[1] | {name: value})


def test_what_keras_takes() -> None:
    assert not layers.Dense(2, use_bias=0).use_bias
    assert callbacks.EarlyStopping(verbose=True).patience == 0
    assert callbacks.EarlyStopping(baseline=math.inf).baseline == math.inf
    assert layers.Dropout(0.5, seed=2**70).seed == 2**70

    class Own(layers.Layer):
        def __init__(self, use_bias: str, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.use_bias = use_bias

    assert Own("a class of one's own says what a name means").use_bias.startswith("a class")
