"""The loops over batches: training, evaluation, prediction, and what goes into them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fastconv import utils
from fastconv.callbacks import CallbackList, History
from fastconv.layers.arguments import Array
from fastconv.models.batches import Batches, Structure, as_arrays, count, each, split, weights_of_classes
from fastconv.models.chain import Chain
from fastconv.models.graph import Graph
from fastconv.models.progress import Bar, Progress, progress
from fastconv.models.steps import Evaluation, Training

if TYPE_CHECKING:
    from fastconv.models.model import Model

__all__ = [
    "Evaluation",
    "Training",
    "as_list",
    "count",
    "evaluate",
    "fit",
    "one_batch",
    "placed",
    "predict",
    "prepared",
    "samples",
    "split",
    "unpacked",
]

# Inputs, targets, and weights of the samples; arrays, or lists of them where a model has several.
Samples: TypeAlias = tuple[Any, Any, Any]


# --- data -----------------------------------------------------------------------------------------------------------


def samples(
    model: Model, x: Any, y: Any, sample_weight: Any = None, class_weight: Mapping[int, float] | None = None
) -> Samples:
    """Return inputs, targets and weights as arrays, or as lists of arrays where the model has several.

    Raises
    ------
    TypeError
        If they hold anything but real numbers.
    ValueError
        If there are weights of both kinds, or another number of them than of samples, or of arrays than the model has.

    Examples
    --------
    >>> from fastconv import Sequential
    >>> samples(Sequential(), [[1, 2]], [1], class_weight={1: 3.0})[2]
    array([3.])
    """
    outputs = Structure(model.output_names, model.several_outputs, "y")
    targets = as_arrays(y, outputs)
    weights = None
    if sample_weight is not None:
        shared = outputs.several and not isinstance(sample_weight, (list, tuple, Mapping))
        given = [sample_weight] * len(outputs.names) if shared else sample_weight
        weights = as_arrays(given, outputs._replace(what="sample_weight"))
    if class_weight is not None:
        if weights is not None:
            raise ValueError("You cannot use `class_weight` and `sample_weight` at the same time.")
        if outputs.several:
            raise ValueError("`class_weight` is only supported for Models with a single output.")
        weights = weights_of_classes(class_weight, targets)
    inputs = as_arrays(x, Structure(model.input_names, model.takes_list, "x"))
    if weights is not None and count(weights) != count(inputs):
        raise ValueError(f"sample_weight: expected a weight for each of {count(inputs)} samples, got {count(weights)}")
    return inputs, targets, weights


def unpacked(validation_data: Any) -> tuple[Any, ...]:
    """Return (x, y) or (x, y, sample_weight) as a tuple.

    Raises
    ------
    ValueError
        If it is neither.

    Examples
    --------
    >>> unpacked([1, 2])
    (1, 2)
    """
    if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
        raise ValueError("validation_data: expected (x, y) or (x, y, sample_weight)")
    return tuple(validation_data)


def prepared(model: Model, data: Samples, batch_size: int | None) -> tuple[Chain | Graph, Batches]:
    """Check data against a model and its loss; return the model's chain, or its graph, and the data as batches.

    A batch is (inputs, targets for metrics, targets for the loss if they differ, weights).

    Raises
    ------
    ValueError
        If the model is not compiled, or the data do not fit.
    """
    objective = model.objective
    x, y, weights = data
    inputs, chain = model.prepare_inputs(x)
    if count(inputs) == 0:
        raise ValueError("x: expected at least one sample, got none")
    if count(y) != count(inputs):
        raise ValueError(
            "Data cardinality is ambiguous. Make sure all arrays contain the same number of samples."
            f" x has {count(inputs)}, y {count(y)}"
        )
    shape = _known(model.compute_output_shape(each(inputs, np.shape)))
    truth = objective.require_loss().prepare(y, shape, model.output_dtype)
    objective.bind(each(y, np.shape), shape)
    return chain, Batches(inputs, model.dtype, [y, None if truth is y else truth, weights], batch_size)


# --- loops ----------------------------------------------------------------------------------------------------------


def fit(
    model: Model,
    chain: Chain | Graph,
    batches: Batches,
    held_out: Batches | None,
    epochs: range,
    verbose: Any,
    callbacks: Any,
    shuffle: bool,
    validation_freq: int,
) -> History:
    """Train a model; the arguments are those of `Model.fit`, the data checked."""
    objective = model.objective
    training = _training(model, chain, objective)
    evaluation = Evaluation(model, chain, objective)
    history, report = History(), progress(verbose)
    extra = list(callbacks) if isinstance(callbacks, (list, tuple)) else [] if callbacks is None else [callbacks]
    events = CallbackList(
        [history, *extra], model, epochs=epochs.stop, steps=len(batches), verbose=1 if verbose == "auto" else verbose
    )
    model.stop_training = False
    model.history = history
    events.call("on_train_begin", {})
    logs: dict[str, float] = {}
    for epoch in epochs:
        events.call("on_epoch_begin", epoch, {})
        report.begin(f"Epoch {epoch + 1}/{epochs.stop}", len(batches))
        order = utils.generator().permutation(batches.count) if shuffle else None
        objective.reset()
        training.begin_epoch()
        _each_batch(training, batches, order, events, report, "train", lambda: model.stop_training)
        training.end_epoch()
        logs = objective.results()
        if held_out is not None and (epoch + 1) % validation_freq == 0:
            found = _evaluated(evaluation, held_out, events, Progress())
            logs |= {f"val_{name}": value for name, value in found.items()}
        report.end(logs)
        events.call("on_epoch_end", epoch, logs)
        if model.stop_training:
            break
    events.call("on_train_end", logs)
    return history


def _training(model: Model, chain: Any, objective: Any) -> Training:
    """Return what trains a batch where the chain's weights are."""
    if isinstance(chain, Chain | Graph):
        return Training(model, chain, objective, model.last_layer, model.optimizer)
    made: Training = chain.training(objective, model.last_layer, model.optimizer)
    return made


def evaluate(model: Model, chain: Chain | Graph, batches: Batches, verbose: Any, callbacks: Any) -> dict[str, float]:
    """Return loss and metrics of a model; the arguments are those of `Model.evaluate`, the data checked."""
    report = progress(verbose)
    events = CallbackList(callbacks, model, steps=len(batches), verbose=verbose)
    return _evaluated(Evaluation(model, chain, model.objective), batches, events, report)


def predict(
    model: Model, chain: Chain | Graph, inputs: Any, batch_size: int | None, verbose: Any, callbacks: Any
) -> Any:
    """Return the outputs of a model; the arguments are those of `Model.predict`, the data checked."""
    batches = Batches(inputs, model.dtype, [], batch_size)
    events = CallbackList(callbacks, model, steps=len(batches), verbose=verbose)
    report = progress(verbose)
    if verbose == "auto" and not isinstance(report, Bar):
        report = Progress()
    events.call("on_predict_begin", {})
    report.begin("Predict", len(batches))
    listened = any(events.listens(f"on_predict_batch_{which}") for which in ("begin", "end"))
    outputs: Any = None
    if type(report) is Progress and not listened and isinstance(chain, Chain) and inputs.dtype == model.dtype:
        outputs = chain.forward_whole(inputs)
    if outputs is not None:
        events.call("on_predict_end", {})
        return outputs
    start = 0
    for batch, (part,) in enumerate(batches):
        events.call("on_predict_batch_begin", batch, {})
        made = chain.forward(part)
        if outputs is None:
            outputs = each(made, lambda array: np.empty((batches.count, *array.shape[1:]), array.dtype))
        samples = count(made)
        for whole, array in zip(outputs, made, strict=True) if isinstance(made, list) else [(outputs, made)]:
            whole[start : start + samples] = array
        start += samples
        events.call("on_predict_batch_end", batch, {"outputs": made})
        report.step(dict)
    if outputs is None:
        outputs = chain.forward(each(inputs, lambda array: array.astype(model.dtype)))
    report.end({})
    events.call("on_predict_end", {})
    return outputs


def one_batch(step: Evaluation, batches: Batches) -> dict[str, float]:
    """Run one step on all of the data, and return its loss and metrics alone."""
    step.objective.reset()
    for inputs, targets, truth, weights in batches:
        step.run(inputs, targets, targets if truth is None else truth, weights)
    return step.objective.results()


def as_list(logs: Mapping[str, float]) -> Any:
    """Return the values as a list, or a single one by itself.

    Examples
    --------
    >>> as_list({"loss": 0.5}), as_list({"loss": 0.5, "accuracy": 1.0})
    (0.5, [0.5, 1.0])
    """
    values = list(logs.values())
    return values[0] if len(values) == 1 else values


def placed(model: Model, chain: Chain | Graph, device: str, fresh: bool = False) -> Any:
    """Return a chain with its weights on a device, "cpu" or "cuda"; `fresh` takes it over as it is now.

    Raises
    ------
    ImportError, RuntimeError
        If there is no numba-cuda, or no GPU.
    ValueError
        If the device is another, or a layer does not run there.
    """
    if device == "cpu":
        return chain
    if device != "cuda":
        raise ValueError(f"device: expected 'cpu' or 'cuda', got {device!r}")
    from fastconv.models.device.chain import chain_for

    return chain_for(model, chain, fresh)


def _known(shape: Any) -> Any:
    """Return a shape, or a list of shapes, without what is not known."""
    if isinstance(shape, list):
        return [_known(item) for item in shape]
    return tuple(extent or 0 for extent in shape)


def _evaluated(step: Evaluation, batches: Batches, events: CallbackList, report: Progress) -> dict[str, float]:
    step.objective.reset()
    events.call("on_test_begin", {})
    report.begin("Evaluate", len(batches))
    _each_batch(step, batches, None, events, report, "test", lambda: False)
    logs = step.objective.results()
    report.end(logs)
    events.call("on_test_end", logs)
    return logs


def _each_batch(
    step: Evaluation,
    batches: Batches,
    order: Array | None,
    events: CallbackList,
    report: Progress,
    phase: str,
    stopped: Callable[[], bool],
) -> None:
    """Run a step on every batch, and tell callbacks and progress."""
    begin, end = f"on_{phase}_batch_begin", f"on_{phase}_batch_end"
    begins, ends = events.listens(begin), events.listens(end)
    for batch, (inputs, targets, truth, weights) in enumerate(batches.in_order(order)):
        if begins:
            events.call(begin, batch, {})
        step.run(inputs, targets, targets if truth is None else truth, weights)
        report.step(step.objective.results)
        if ends:
            events.call(end, batch, step.objective.results())
        if stopped():
            break
