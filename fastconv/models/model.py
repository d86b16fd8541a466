"""What a model can do beyond being a layer: be compiled, trained, evaluated, asked, saved and looked at."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from fastconv.layers.arguments import Shape
from fastconv.layers.layer import Layer
from fastconv.models.batches import as_array, each, fit_inputs, shares
from fastconv.models.chain import Chain

if TYPE_CHECKING:
    from fastconv.callbacks import History
    from fastconv.metrics import Metric
    from fastconv.models.graph import Graph
    from fastconv.models.objective import Objective

# What only training, saving and showing need is imported where they begin: predictions start sooner without.


class Model(Layer):
    """Base of models: a layer that is made of layers, with Keras' ``compile``, ``fit`` and the rest.

    ``Model(inputs, outputs)`` makes a `Functional` model, and `Sequential` is one without branches; a model of one's
    own defines `layers` and `chain`.

    Parameters
    ----------
    *args
        Inputs and outputs, which may also be given by name: see `Functional`.
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

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Make a `Functional` where a plain `Model` is given inputs and outputs."""
        if cls is Model and (args or "inputs" in kwargs or "outputs" in kwargs):
            from fastconv.models.functional import Functional

            return super().__new__(Functional)
        return super().__new__(cls)

    def __init__(self, *args: Any, trainable: bool = True, name: str | None = None, **kwargs: Any) -> None:
        if args:
            raise TypeError(f"{type(self).__name__}: expected no inputs and outputs, got {len(args)} arguments")
        super().__init__(trainable=trainable, name=name, **kwargs)
        self.optimizer: Any = None
        self.stop_training = False
        self.history: History | None = None
        self._objective: Objective | None = None
        self.compile_arguments: dict[str, Any] | None = None

    # --- what a subclass defines ---

    @property
    def layers(self) -> list[Layer]:
        """The layers, in order, without those that only say what a model takes."""
        raise TypeError(f"{type(self).__name__} defines no layers")

    def chain(self, input_shape: Any) -> Chain | Graph:
        """Return the layers as one chain, or as a graph, built for inputs of a shape."""
        raise TypeError(f"{type(self).__name__} defines no chain(input_shape)")

    def expected_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of inputs that the model was built for; by default any."""
        return input_shape

    # Whether the outputs are a list, as the inputs are with `takes_list`.
    several_outputs: bool = False

    @property
    def input_names(self) -> list[str]:
        """The names by which inputs may be given in a dict."""
        return ["input"]

    @property
    def output_names(self) -> list[str]:
        """The names by which targets, losses and metrics may be given in a dict."""
        return [self.last_layer.name] if self.layers else ["output"]

    @property
    def last_layer(self) -> Layer:
        """The layer that makes the outputs."""
        return self.layers[-1]

    @property
    def output_dtype(self) -> Any:
        """The type of the outputs, a list for several."""
        return self.last_layer.dtype

    # --- training ---

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
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
            A callable can be evaluated but not trained with. For several outputs one for all, or a list, or a dict by
            the outputs' names.
        loss_weights : list or dict of float, optional
            For several outputs.
        metrics : sequence of str, Metric or callable, optional
            For several outputs a list, or a dict by their names, of such sequences.
        weighted_metrics : sequence of str, Metric or callable, optional
            Metrics that heed sample weights.
        run_eagerly, steps_per_execution, jit_compile, auto_scale_loss
            Accepted for Keras' sake.

        Raises
        ------
        ValueError
            If a name is unknown.
        """
        from fastconv import optimizers

        objective: Objective
        if self.several_outputs:
            from fastconv.models.joint import JointObjective

            plain, weighted = metrics or [], weighted_metrics or []
            objective = JointObjective(self.output_names, loss, loss_weights, plain, weighted)
        else:
            from fastconv.models.objective import Objective

            if loss_weights is not None:
                raise ValueError(f"loss_weights: expected None, since the model has one output, got {loss_weights!r}")
            plain, weighted = _listed(metrics, "metrics"), _listed(weighted_metrics, "weighted_metrics")
            objective = Objective(loss, plain, weighted)
        self.optimizer = optimizers.get(optimizer)
        self._objective = objective
        told = {"metrics": plain, "weighted_metrics": weighted}
        self.compile_arguments = told if loss_weights is None else told | {"loss_weights": loss_weights}

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
        device: str = "cpu",
    ) -> History:
        """Train the model.

        Parameters
        ----------
        x : array_like, (samples, …)
            Of any real type; it is converted batch by batch. A list, or a dict by name, for several inputs.
        y : array_like, (samples, …)
            The same for several outputs.
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
        device : {"cpu", "cuda"}
            Where the layers run. "cuda" needs the extra ``fastconv[cuda]`` and an NVIDIA GPU; the weights come back
            after each epoch.

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
        from fastconv.models import loops

        data = loops.samples(self, x, y, sample_weight, class_weight)
        validation = None if validation_data is None else loops.samples(self, *loops.unpacked(validation_data))
        if validation is None and validation_split:
            data, validation = loops.split(data, validation_split)
            if class_weight is not None:  # weighs training alone
                validation = (*validation[:2], None)
        chain, batches = loops.prepared(self, data, batch_size)
        chain = loops.placed(self, chain, device, fresh=True)
        held_out = None
        if validation is not None:
            _, held_out = loops.prepared(self, validation, validation_batch_size or batch_size)
        return loops.fit(
            self, chain, batches, held_out, range(initial_epoch, epochs), verbose, callbacks, shuffle, validation_freq
        )

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
        device: str = "cpu",
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
        device : {"cpu", "cuda"}
            Where the layers run; "cuda" needs the extra ``fastconv[cuda]`` and an NVIDIA GPU.

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
        from fastconv.models import loops

        chain, batches = loops.prepared(self, loops.samples(self, x, y, sample_weight), batch_size)
        chain = loops.placed(self, chain, device)
        logs = loops.evaluate(self, chain, batches, verbose, callbacks)
        return logs if return_dict else loops.as_list(logs)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: None = None,
        callbacks: Any = None,
        device: str = "cpu",
    ) -> Any:
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
        device : {"cpu", "cuda"}
            Where the layers run; "cuda" needs the extra ``fastconv[cuda]`` and an NVIDIA GPU.

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
        from fastconv.models import loops

        inputs, chain = self.prepare_inputs(x)
        chain = loops.placed(self, chain, device)
        return loops.predict(self, chain, inputs, batch_size, verbose, callbacks)

    def predict_on_batch(self, x: Any) -> Any:
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
        made = self._outputs_at_once(x)
        if made is not None:
            return made
        inputs, chain = self.prepare_inputs(x)
        outputs = chain.forward(each(inputs, lambda array: array.astype(self.dtype, copy=False)))
        # Layers that change nothing, or only a shape, return what they got: never the caller's own memory.
        return each(outputs, lambda array: array.copy() if shares(array, inputs) else array)

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
        from fastconv.models import loops

        data = loops.samples(self, x, y, sample_weight, class_weight)
        chain, batches = loops.prepared(self, data, loops.count(data[0]))
        logs = loops.one_batch(loops.Training(self, chain, self.objective, self.last_layer, self.optimizer), batches)
        return logs if return_dict else loops.as_list(logs)

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
        from fastconv.models import loops

        data = loops.samples(self, x, y, sample_weight)
        chain, batches = loops.prepared(self, data, loops.count(data[0]))
        logs = loops.one_batch(loops.Evaluation(self, chain, self.objective), batches)
        return logs if return_dict else loops.as_list(logs)

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
        from fastconv.models.summary import print_summary

        print_summary(self, self._layer_shapes(), line_length, print_fn, show_trainable, self.connections())

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
        from fastconv.models import saving

        saving.save_model(self, filepath, overwrite)

    def save_weights(self, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Save the weights alone; see `save`."""
        from fastconv.models import saving

        saving.save_weights(self, filepath, overwrite)

    def load_weights(self, filepath: str | os.PathLike[str]) -> None:
        """Take the weights from a file that `save` or `save_weights` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no file.
        ValueError
            If the file is damaged or foreign, or its weights have other shapes; then none has changed.
        """
        from fastconv.models import saving

        saving.load_weights(self, filepath)

    def get_compile_config(self) -> dict[str, Any] | None:
        """Return what `compile` was told, as plain JSON types, or None."""
        from fastconv.models import saving

        return saving.compile_config(self)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile the model by what `get_compile_config` returned."""
        self.compile(**config)

    # --- within ---

    @property
    def objective(self) -> Objective:
        """The loss and the metrics that the model was compiled with.

        Raises
        ------
        ValueError
            If it was not.
        """
        if self._objective is None:
            raise ValueError("You must call `compile()` before using the model.")
        return self._objective

    def prepare_inputs(self, x: Any) -> tuple[Any, Chain | Graph]:
        """Return inputs in the shape that the model was built for, building it first if it was not, and its chain."""
        inputs = as_array(x, "x")
        expected = self.expected_shape(inputs.shape)
        if inputs.shape[1:] != expected[1:]:
            inputs = fit_inputs(inputs, expected, self.name)
        return inputs, self.chain(inputs.shape)

    def _outputs_at_once(self, x: Any) -> Any:
        """Return outputs for inputs that need no preparation, or None where they may."""
        return None

    def connections(self) -> list[str] | None:
        """Return for each layer the names of those that it was called on; None where they just follow one another."""
        return None

    def _layer_shapes(self) -> list[Shape | None]:
        return [None for _ in self.layers]


def _listed(metrics: Any, name: str) -> list[Any]:
    if metrics is None:
        return []
    if not isinstance(metrics, (list, tuple)):
        raise ValueError(f"{name}: expected a list, got {metrics!r}")
    return list(metrics)
