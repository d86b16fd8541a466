"""What of a model goes into a file, and how a model comes out of it again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv import _registry, losses, optimizers
from fastconv.layers.arguments import Array
from fastconv.layers.layer import unfilled_weights
from fastconv.layers.variable import Variable
from fastconv.models import containers
from fastconv.models.containers import DamagedFileError
from fastconv.models.known import model_classes

if TYPE_CHECKING:
    from fastconv.models.model import Model

_FORMAT = "fastconv model"
_VERSION = 1


def save_model(model: Model, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
    """Write architecture, weights, what ``compile`` was told, and the optimizer's state.

    Raises
    ------
    ValueError
        If the file's suffix is unknown.
    TypeError
        If a part of the model cannot be described.
    """
    path = Path(filepath)
    containers.check_suffix(path)
    named = _named(model.variables)
    arrays = {name: variable.value for name, variable in named.items()}
    description = _description(named) | {"model": _registry.serialize(model), "compile": compile_config(model)}
    if model.compiled:
        description["iterations"] = model.optimizer.iterations
        description["slots"] = slots = []
        for name, variable in named.items():
            for slot, array in model.optimizer.slots_of(variable).items():
                slots.append([name, slot])
                arrays[_slot_key(name, slot)] = array
    containers.write(path, json.dumps(description), arrays, overwrite)


def save_weights(model: Model, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
    """Write the weights alone.

    Raises
    ------
    ValueError
        If the file's suffix is unknown or the model has no weights yet.
    """
    path = Path(filepath)
    containers.check_suffix(path)
    if not model.built:
        raise ValueError(f"model {model.name!r} has no weights to save before it is built")
    named = _named(model.variables)
    arrays = {name: variable.value for name, variable in named.items()}
    containers.write(path, json.dumps(_description(named)), arrays, overwrite)


def load_weights(model: Model, filepath: str | os.PathLike[str]) -> None:
    """Take a model's weights from a file.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    ValueError
        If the file is damaged or foreign, or its weights do not fit; then none has changed.
    """
    if not model.built:
        raise ValueError(f"model {model.name!r} has to be built before it can load weights")
    path = Path(filepath)
    description, arrays = _read(path)
    _assign(model.variables, [arrays[name] for name in description["weights"]], path)


def load_model(
    filepath: str | os.PathLike[str],
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Any:
    """Load a model that ``save`` wrote; it goes on as the saved one would have.

    Parameters
    ----------
    filepath : path
        Ends in ``.npz`` or ``.safetensors``.
    custom_objects : mapping of str to object, optional
        Layers, losses and functions of one's own, by name.
    compile : bool
        Compile the model, with the optimizer's state, if the saved one was.
    safe_mode : bool
        Accepted for Keras' sake; loading never runs code from a file.

    Returns
    -------
    Sequential or Functional

    Raises
    ------
    FileNotFoundError
        If there is no file.
    ValueError
        If the file is damaged or foreign, or holds weights alone.

    Examples
    --------
    >>> import tempfile
    >>> from fastconv import models
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     models.LeNet5().save(f"{folder}/lenet5.npz")
    ...     load_model(f"{folder}/lenet5.npz").count_params()
    61706
    """
    path = Path(filepath)
    description, arrays = _read(path)
    if description.get("model") is None:
        raise ValueError(f"{path} holds weights alone; load them by load_weights")
    try:
        with _registry.custom_objects_in_scope(custom_objects):
            stored = [arrays[name] for name in description["weights"]]
            with unfilled_weights(sum(array.size for array in stored)):
                model = _registry.resolve(description["model"], model_classes(), "model")
            _assign(model.variables, stored, path)
            if compile and description.get("compile") is not None:
                model.compile_from_config(description["compile"])
                _restore(model, description, arrays)
    except DamagedFileError:
        raise
    except Exception as error:  # a configuration can be wrong in any way
        raise ValueError(f"{path} describes no model that can be made: {error}") from error
    return model


def compile_config(model: Model) -> dict[str, Any] | None:
    """Return what a model's ``compile`` was told, as plain JSON types, or None."""
    told = model.compile_arguments
    if told is None:
        return None
    loss = model.loss
    several = [losses.serialize(one) for one in loss.losses] if model.several_outputs and loss is not None else None
    return {
        "optimizer": optimizers.serialize(model.optimizer),
        "loss": losses.serialize(loss) if several is None else several,
        **{name: _registry.serialize(value) for name, value in told.items()},
    }


def _description(named: Mapping[str, Variable]) -> dict[str, Any]:
    from fastconv import __version__

    return {"format": _FORMAT, "version": _VERSION, "fastconv": __version__, "weights": list(named)}


def _named(variables: list[Variable]) -> dict[str, Variable]:
    """Give each array of weights a name of its own: its path, with a number where two have the same."""
    named: dict[str, Variable] = {}
    for variable in variables:
        name, count = variable.path, 1
        while name in named:
            count += 1
            name = f"{variable.path}_{count}"
        named[name] = variable
    return named


def _slot_key(name: str, slot: str) -> str:
    return f"optimizer/{name}/{slot}"


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return a file's description, checked, and its arrays."""
    text, arrays = containers.read(path)
    try:
        description = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"{path} is damaged: {error}") from error
    if not isinstance(description, dict) or description.get("format") != _FORMAT:
        raise DamagedFileError(f"{path} is no fastconv model")
    if description.get("version") != _VERSION:
        raise DamagedFileError(f"{path} has the format version {description.get('version')!r}, expected {_VERSION}")
    names = description.get("weights")
    if not isinstance(names, list) or not all(isinstance(name, str) and name in arrays for name in names):
        raise DamagedFileError(f"{path} is damaged: weights are missing")
    return description, arrays


def _assign(variables: list[Variable], stored: list[Array], path: Path) -> None:
    if len(variables) != len(stored):
        raise ValueError(f"{path} holds {len(stored)} arrays of weights, but the model has {len(variables)}")
    for variable, array in zip(variables, stored, strict=True):
        if variable.shape != array.shape:
            raise ValueError(f"{path} holds weights of shape {array.shape} for {variable.path}, not {variable.shape}")
    for variable, array in zip(variables, stored, strict=True):
        variable.assign(array)


def _restore(model: Model, description: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Bring the optimizer to where it was."""
    by_name = dict(zip(description["weights"], model.variables, strict=True))
    model.optimizer.iterations = int(description["iterations"])
    states: dict[Variable, dict[str, Array]] = {}
    for name, slot in description["slots"]:
        states.setdefault(by_name[name], {})[slot] = np.array(arrays[_slot_key(name, slot)])
    for variable, state in states.items():
        model.optimizer.restore(variable, state)
