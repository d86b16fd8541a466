"""What a model can do beyond being a layer: be compiled, trained, evaluated, asked, saved and looked at."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from fastconv import optimizers, utils
from fastconv.callbacks import CallbackList, History
from fastconv.layers.arguments import Array, Shape
from fastconv.layers.layer import Layer
from fastconv.metrics import Metric
from fastconv.models import saving
from fastconv.models.batches import Batches, as_array, fit_inputs, split, weights_of_classes
from fastconv.models.chain import Chain
from fastconv.models.objective import Objective
from fastconv.models.progress import Bar, Progress, progress
from fastconv.models.steps import Evaluation, Training
from fastconv.models.summary import print_summary

# Inputs, targets, and weights of the samples.
_Samples: TypeAlias = "tuple[Array, Array, Array | None]"


class Model(Layer):
    """Base of models: a layer that is made of layers, with Keras' ``compile``, ``fit`` and the rest.

    `Sequential` is the model to use; a model of one's own defines `layers` and `chain`.

    Parameters
    ----------
    trainable : bool
    name : str, optional
    **kwargs
        As for `Layer`.

    Examples
    --------
    >>> from fastconv import Sequential
    >>> isinstance(Sequential(), Model)
    True
    """

    def __init__(self, trainable: bool = True, name: str | None = None, **kwargs: Any) -> None:
        super().__init__(trainable=trainable, name=name, **kwargs)
        self.optimizer: Any = None
        self.stop_training = False
        self._objective: Objective | None = None
        self.compile_arguments: dict[str, Any] | None = None

    # --- what a subclass defines ---

    @property
    def layers(self) -> list[Layer]:
        """The layers, in order, without those that only say what a model takes."""
        raise TypeError(f"{type(self).__name__} defines no layers")

    def chain(self, input_shape: Shape) -> Chain:
        """Return the layers as one chain, built for inputs of a shape."""
        raise TypeError(f"{type(self).__name__} defines no chain(input_shape)")

    def expected_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of inputs that the model was built for; by default any."""
        return input_shape

    # --- training ---

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: None = None,
        metrics: Sequence[Any] | None = None,
        weighted_metrics: Sequence[Any] | None = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Say how the model is trained.

        Parameters
        ----------
        optimizer : str or Optimizer
        loss : str, Loss or callable, optional
            A callable can be evaluated but not trained with.
        loss_weights : None
        metrics : sequence of str, Metric or callable, optional
        weighted_metrics : sequence of str, Metric or callable, optional
            Metrics that heed sample weights.
        run_eagerly, steps_per_execution, jit_compile, auto_scale_loss
            Accepted for Keras' sake.

        Raises
        ------
        ValueError
            If a name is unknown.
        """
        if loss_weights is not None:
            raise ValueError(f"loss_weights: expected None, since models have one output, got {loss_weights!r}")
        plain, weighted = _listed(metrics, "metrics"), _listed(weighted_metrics, "weighted_metrics")
        objective = Objective(loss, plain, weighted)
        self.optimizer = optimizers.get(optimizer)
        self._objective = objective
        self.compile_arguments = {"metrics": plain, "weighted_metrics": weighted}

    @property
    def compiled(self) -> bool:
        """Whether `compile` has been called."""
        return self._objective is not None

    @property
    def loss(self) -> Any:
        """The loss that the model was compiled with."""
        return None if self._objective is None else self._objective.loss

    @property
    def metrics(self) -> list[Metric]:
        """The metrics that the model was compiled with; before the first batch, those that are known by then."""
        return [] if self._objective is None else self._objective.metrics

    @property
    def metrics_names(self) -> list[str]:
        """The names of the values that training and evaluation report."""
        return [] if self._objective is None else self._objective.names

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: None = None,
        validation_steps: None = None,
        validation_batch_size: int | None = None,
        validation_freq: int = 1,
    ) -> History:
        """Train the model.

        Parameters
        ----------
        x : array_like, (samples, …)
            Of any real type; it is converted batch by batch.
        y : array_like, (samples, …)
        batch_size : int, optional
            32 by default.
        epochs : int
            The number of the last epoch.
        verbose : {"auto", 0, 1, 2}
            A bar per epoch where tqdm and a terminal are, else a line; nothing; the same as "auto"; a line.
        callbacks : Callback or sequence of Callback, optional
        validation_split : float
            The part of the samples, from the end, that is only evaluated after each epoch.
        validation_data : (x, y) or (x, y, sample_weight), optional
            What is evaluated after each epoch; wins over `validation_split`.
        shuffle : bool
            Visit the samples in another order each epoch, from the generator that `utils.set_random_seed` seeds.
        class_weight : mapping of int to float, optional
        sample_weight : array_like, (samples,), optional
        initial_epoch : int
            The number of epochs that have been trained before.
        steps_per_epoch, validation_steps : None
        validation_batch_size : int, optional
        validation_freq : int
            Evaluate after every so many epochs.

        Returns
        -------
        History

        Raises
        ------
        ValueError
            If the model is not compiled, or data or arguments do not fit.
        TypeError
            If data are no arrays of real numbers.
        """
        if steps_per_epoch is not None or validation_steps is not None:
            raise ValueError("steps_per_epoch, validation_steps: expected None; an epoch visits every sample")
        if validation_freq < 1:
            raise ValueError(f"validation_freq: expected a positive integer, got {validation_freq!r}")
        data: _Samples = _samples(x, y, sample_weight, class_weight)
        validation = None if validation_data is None else _samples(*_unpacked(validation_data))
        if validation is None and validation_split:
            data, validation = split(data, validation_split)
        chain, batches = self._prepared(data, batch_size)
        objective = self._compiled_objective()
        training = Training(self, chain, objective, self.layers[-1], self.optimizer)
        history, report = History(), progress(verbose)
        extra = list(callbacks) if isinstance(callbacks, (list, tuple)) else [] if callbacks is None else [callbacks]
        events = CallbackList(
            [history, *extra], self, epochs=epochs, steps=len(batches), verbose=1 if verbose == "auto" else verbose
        )
        validation_size = validation_batch_size or batch_size
        if validation is not None:
            self._prepared(validation, validation_size)
        self.stop_training = False
        events.call("on_train_begin", {})
        logs: dict[str, float] = {}
        for epoch in range(initial_epoch, epochs):
            events.call("on_epoch_begin", epoch, {})
            report.begin(f"Epoch {epoch + 1}/{epochs}", len(batches))
            order = utils.generator().permutation(batches.count) if shuffle else None
            objective.reset()
            _each_batch(training, batches, order, events, report, "train", lambda: self.stop_training)
            logs = objective.results()
            if validation is not None and (epoch + 1) % validation_freq == 0:
                found = self._evaluate(validation, validation_size, events)
                logs |= {f"val_{name}": value for name, value in found.items()}
            report.end(logs)
            events.call("on_epoch_end", epoch, logs)
            if self.stop_training:
                break
        events.call("on_train_end", logs)
        return history

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Return loss and metrics on data.

        Parameters
        ----------
        x, y : array_like, (samples, …)
        batch_size : int, optional
            32 by default.
        verbose : {"auto", 0, 1, 2}
        sample_weight : array_like, (samples,), optional
        steps : None
        callbacks : Callback or sequence of Callback, optional
        return_dict : bool

        Returns
        -------
        float, list of float or dict
            The loss alone where there are no metrics.

        Raises
        ------
        ValueError
            If the model is not compiled, or data do not fit.
        """
        if steps is not None:
            raise ValueError("steps: expected None; an evaluation visits every sample")
        data = _samples(x, y, sample_weight)
        events = CallbackList(callbacks, self, steps=-(-len(data[0]) // (batch_size or 32)), verbose=verbose)
        logs = self._evaluate(data, batch_size, events, progress(verbose))
        return logs if return_dict else _as_list(logs)

    def predict(
        self, x: Any, batch_size: int | None = None, verbose: Any = "auto", steps: None = None, callbacks: Any = None
    ) -> Array:
        """Return the model's outputs.

        Parameters
        ----------
        x : array_like, (samples, …)
        batch_size : int, optional
            32 by default.
        verbose : {"auto", 0, 1, 2}
            With "auto" only a terminal is told.
        steps : None
        callbacks : Callback or sequence of Callback, optional

        Returns
        -------
        ndarray, (samples, …)

        Raises
        ------
        ValueError
            If the inputs do not fit.
        """
        if steps is not None:
            raise ValueError("steps: expected None; a prediction visits every sample")
        inputs, chain = self._inputs(x)
        batches = Batches(inputs, self.dtype, [], batch_size)
        events = CallbackList(callbacks, self, steps=len(batches), verbose=verbose)
        report = progress(verbose)
        if verbose == "auto" and not isinstance(report, Bar):
            report = Progress()
        events.call("on_predict_begin", {})
        report.begin("Predict", len(batches))
        outputs: Array | None = None
        start = 0
        for batch, (part,) in enumerate(batches):
            events.call("on_predict_batch_begin", batch, {})
            made = chain.forward(part)
            if outputs is None:
                outputs = np.empty((batches.count, *made.shape[1:]), made.dtype)
            outputs[start : start + len(made)] = made
            start += len(made)
            events.call("on_predict_batch_end", batch, {"outputs": made})
            report.step(dict)
        if outputs is None:
            outputs = chain.forward(inputs.astype(self.dtype))
        report.end({})
        events.call("on_predict_end", {})
        return outputs

    def predict_on_batch(self, x: Any) -> Array:
        """Return the model's outputs for one batch.

        Parameters
        ----------
        x : array_like, (batch, …)

        Returns
        -------
        ndarray, (batch, …)

        Raises
        ------
        ValueError
            If the inputs do not fit.
        """
        inputs, chain = self._inputs(x)
        return chain.forward(inputs if inputs.dtype == self.dtype else inputs.astype(self.dtype))

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Train on one batch; return its loss and metrics.

        Parameters
        ----------
        x, y : array_like, (batch, …)
        sample_weight : array_like, (batch,), optional
        class_weight : mapping of int to float, optional
        return_dict : bool

        Returns
        -------
        float, list of float or dict

        Raises
        ------
        ValueError
            If the model is not compiled, or data do not fit.
        """
        data = _samples(x, y, sample_weight, class_weight)
        chain, batches = self._prepared(data, len(data[0]))
        step = Training(self, chain, self._compiled_objective(), self.layers[-1], self.optimizer)
        return self._one_batch(step, batches, return_dict)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """Evaluate one batch; return its loss and metrics.

        Parameters
        ----------
        x, y : array_like, (batch, …)
        sample_weight : array_like, (batch,), optional
        return_dict : bool

        Returns
        -------
        float, list of float or dict

        Raises
        ------
        ValueError
            If the model is not compiled, or data do not fit.
        """
        data = _samples(x, y, sample_weight)
        chain, batches = self._prepared(data, len(data[0]))
        return self._one_batch(Evaluation(self, chain, self._compiled_objective()), batches, return_dict)

    def reset_metrics(self) -> None:
        """Forget the batches that loss and metrics have gathered."""
        if self._objective is not None:
            self._objective.reset()

    # --- weights, files, looks ---

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return a layer by name or index.

        Raises
        ------
        ValueError
            If there is no such layer, or not exactly one of the arguments is given.
        """
        if (name is None) == (index is None):
            raise ValueError(f"expected one of name and index, got name={name!r}, index={index!r}")
        if index is not None:
            if not -len(self.layers) <= index < len(self.layers):
                raise ValueError(f"index: expected one of {len(self.layers)} layers, got {index}")
            return self.layers[index]
        found = next((layer for layer in self.layers if layer.name == name), None)
        if found is None:
            raise ValueError(f"No such layer: {name}. Existing layers are: {[layer.name for layer in self.layers]}.")
        return found

    def summary(
        self,
        line_length: int | None = None,
        positions: Any = None,
        print_fn: Callable[[str], Any] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Any = None,
    ) -> None:
        """Print the layers, the shapes of their outputs and the numbers of their weights.

        Parameters
        ----------
        line_length : int, optional
            The least width.
        print_fn : callable, optional
            Called once, with the whole text, in place of ``print``.
        show_trainable : bool
            Add a column that says whether training changes a layer's weights.
        positions, expand_nested, layer_range
            Accepted for Keras' sake.
        """
        print_summary(self, self._layer_shapes(), line_length, print_fn, show_trainable)

    def save(self, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Save architecture, weights, what `compile` was told, and the optimizer's state.

        Parameters
        ----------
        filepath : path
            Ends in ``.npz``, which NumPy alone reads, or ``.safetensors``, which needs the package of that name.
        overwrite : bool

        Raises
        ------
        ValueError
            If the name ends otherwise, or the model has not been built.
        FileExistsError
            If the file exists and `overwrite` is false.
        """
        saving.save_model(self, Path(filepath), overwrite)

    def save_weights(self, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Save the weights alone; see `save`."""
        saving.save_weights(self, Path(filepath), overwrite)

    def load_weights(self, filepath: str | os.PathLike[str]) -> None:
        """Take the weights from a file that `save` or `save_weights` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no file.
        ValueError
            If the file is damaged or foreign, or its weights have other shapes; then none has changed.
        """
        saving.load_weights(self, Path(filepath))

    def get_compile_config(self) -> dict[str, Any] | None:
        """Return what `compile` was told, as plain JSON types, or None."""
        return saving.compile_config(self)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile the model by what `get_compile_config` returned."""
        self.compile(**config)

    # --- within ---

    def _compiled_objective(self) -> Objective:
        if self._objective is None:
            raise ValueError("You must call `compile()` before using the model.")
        return self._objective

    def _layer_shapes(self) -> list[Shape | None]:
        return [None for _ in self.layers]

    def _inputs(self, x: Any) -> tuple[Array, Chain]:
        """Return inputs in the shape that the model was built for, building it first if it was not, and its chain."""
        inputs = as_array(x, "x")
        expected = self.expected_shape(inputs.shape)
        if inputs.shape[1:] != expected[1:]:
            inputs = fit_inputs(inputs, expected, self.name)
        return inputs, self.chain(inputs.shape)

    def _prepared(self, data: _Samples, batch_size: int | None) -> tuple[Chain, Batches]:
        """Check data against the model and its loss; return the chain and the data as batches."""
        x, y, weights = data
        objective = self._compiled_objective()
        inputs, chain = self._inputs(x)
        if len(inputs) == 0:
            raise ValueError("x: expected at least one sample, got none")
        if len(y) != len(inputs):
            raise ValueError(
                "Data cardinality is ambiguous. Make sure all arrays contain the same number of samples."
                f" x has {len(inputs)}, y {len(y)}"
            )
        shape = tuple(extent or 0 for extent in self.compute_output_shape(inputs.shape))
        truth = objective.require_loss().prepare(y, shape, self.layers[-1].dtype)
        objective.bind(y.shape, shape)
        return chain, Batches(inputs, self.dtype, [y, None if truth is y else truth, weights], batch_size)

    def _evaluate(
        self,
        data: _Samples,
        batch_size: int | None,
        events: CallbackList,
        report: Progress | None = None,
    ) -> dict[str, float]:
        chain, batches = self._prepared(data, batch_size)
        objective = self._compiled_objective()
        objective.reset()
        report = report or Progress()
        events.call("on_test_begin", {})
        report.begin("Evaluate", len(batches))
        _each_batch(Evaluation(self, chain, objective), batches, None, events, report, "test", lambda: False)
        logs = objective.results()
        report.end(logs)
        events.call("on_test_end", logs)
        return logs

    def _one_batch(self, step: Evaluation, batches: Batches, return_dict: bool) -> Any:
        step.objective.reset()
        for inputs, targets, truth, weights in batches:
            step.run(inputs, targets, targets if truth is None else truth, weights)
        logs = step.objective.results()
        return logs if return_dict else _as_list(logs)


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


def _samples(x: Any, y: Any, sample_weight: Any = None, class_weight: Mapping[int, float] | None = None) -> _Samples:
    """Return inputs, targets and weights as arrays."""
    targets = as_array(y, "y")
    weights = None if sample_weight is None else as_array(sample_weight, "sample_weight")
    if class_weight is not None:
        if weights is not None:
            raise ValueError("You cannot use `class_weight` and `sample_weight` at the same time.")
        weights = weights_of_classes(class_weight, targets)
    inputs = as_array(x, "x")
    if weights is not None and len(weights) != len(inputs):
        raise ValueError(f"sample_weight: expected a weight for each of {len(inputs)} samples, got {len(weights)}")
    return inputs, targets, weights


def _unpacked(validation_data: Any) -> tuple[Any, ...]:
    if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
        raise ValueError("validation_data: expected (x, y) or (x, y, sample_weight)")
    return tuple(validation_data)


def _listed(metrics: Any, name: str) -> list[Any]:
    if metrics is None:
        return []
    if not isinstance(metrics, (list, tuple)):
        raise ValueError(f"{name}: expected a list, got {metrics!r}")
    return list(metrics)


def _as_list(logs: Mapping[str, float]) -> Any:
    values = list(logs.values())
    return values[0] if len(values) == 1 else values
