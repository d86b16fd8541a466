"""One batch of evaluation, and one of training."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv import runtime
from fastconv.layers.arguments import Array
from fastconv.layers.layer import Layer
from fastconv.losses import CategoricalCrossentropy, SparseCategoricalCrossentropy
from fastconv.models.chain import Chain
from fastconv.models.graph import Graph
from fastconv.models.objective import Objective
from fastconv.optimizers import Optimizer


class Evaluation:
    """Forward and loss of a batch, without a change of weights.

    Parameters
    ----------
    model : Layer
        Owns the weights, whose regularizers add to the loss.
    chain : Chain or Graph
        The model's layers.
    objective : Objective
        Gathers loss and metrics.

    Raises
    ------
    ValueError
        If there is no loss.
    """

    def __init__(self, model: Layer, chain: Chain | Graph, objective: Objective) -> None:
        self.chain = chain
        self.objective = objective
        self.loss = objective.require_loss()
        self.variables = model.trainable_variables
        self.penalised = [(v, v.regularizer) for v in self.variables if v.regularizer is not None]

    def run(self, inputs: Array, targets: Array, truth: Array, weights: Array | None) -> None:
        """Run a batch and add it to the objective.

        Parameters
        ----------
        inputs : ndarray, (batch, …)
        targets, truth : ndarray, (batch, …)
            As the user gave them, for metrics, and as the loss wants them.
        weights : ndarray, (batch,), optional
        """
        outputs = self.chain.forward(inputs)
        value = self.loss.value(truth, outputs, weights) + self.penalty()
        self.objective.add(value, targets, outputs, weights)

    def begin_epoch(self) -> None:
        """Make ready for an epoch; nothing by default."""

    def end_epoch(self) -> None:
        """Leave the model as the epoch has made it; nothing by default."""

    def penalty(self) -> float:
        """Return what the regularizers add to the loss."""
        return sum(regularizer(variable.value) for variable, regularizer in self.penalised)


class Training(Evaluation):
    """Forward, loss, backward and a step of the optimizer.

    It is planned from which layers are trainable when it is made.

    Parameters
    ----------
    model, chain, objective
        As for `Evaluation`.
    last : Layer
        The model's last layer.
    optimizer : Optimizer

    Raises
    ------
    ValueError
        If there is no loss.
    """

    def __init__(
        self, model: Layer, chain: Chain | Graph, objective: Objective, last: Layer, optimizer: Optimizer
    ) -> None:
        super().__init__(model, chain, objective)
        self.optimizer = optimizer
        self.lowest = chain.first_trainable
        # Softmax and cross-entropy, sigmoid and binary cross-entropy: their joint gradient never divides by a
        # probability.
        self.fused = self.loss.fused_activation is not None and self.loss.fused_activation == last.last_activation
        # The loss that programs know, over their last softmax.
        self.sparse = type(self.loss) is SparseCategoricalCrossentropy
        known = type(self.loss) is CategoricalCrossentropy or (
            self.sparse and getattr(self.loss, "ignore_class", None) is None
        )
        self.entropy = self.fused and known and self.loss.reduction not in ("none", None)
        self._programs: dict[tuple[int, ...], Any] = {}

    def run(self, inputs: Array, targets: Array, truth: Array, weights: Array | None) -> None:
        """Run a batch, change the weights, and add the batch to the objective."""
        value, outputs, gradient = self._run_program(inputs, truth, weights) or self._run_layers(inputs, truth, weights)
        value += self.penalty()
        self.objective.add(value, targets, outputs, weights)
        if self.lowest is None:
            return
        if gradient is not None:
            self.chain.backward(gradient, self.lowest, self.fused)
        for variable, regularizer in self.penalised:
            variable.gradient[...] += regularizer.gradient(variable.value)
        self.optimizer.apply([variable.gradient for variable in self.variables], self.variables)

    def _run_layers(self, inputs: Array, truth: Array, weights: Array | None) -> tuple[float, Any, Any]:
        """Return a batch's loss, its outputs, and the gradient with which the way back begins."""
        outputs = self.chain.forward(inputs, training=True)
        value, gradient = self.loss.value_and_gradient(truth, outputs, weights, before_activation=self.fused)
        return value, outputs, gradient

    def _run_program(self, inputs: Array, truth: Array, weights: Array | None) -> tuple[float, Any, Any] | None:
        """Do the way forth and back in one call of the engine, where it can; None otherwise."""
        if not self.entropy or self.lowest is None:
            return None
        shape = inputs.shape[1:]
        if shape not in self._programs:
            self._programs[shape] = self.chain.training_program(shape) if isinstance(self.chain, Chain) else None
        program = self._programs[shape]
        if program is None or truth.ndim != (1 if self.sparse else 2):
            return None
        scale = None if weights is None else np.ascontiguousarray(weights, inputs.dtype)
        share = self.loss.share(truth if self.sparse else truth[:, 0], scale)
        drawn = runtime.draws().next(program.dropouts) if program.dropouts else (0, 0)
        done = program.train(inputs, truth, scale, share, drawn)
        if done is None and not program.is_current():
            self._programs.clear()
        return None if done is None else (*done, None)
