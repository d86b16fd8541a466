"""What every layer has: a name, weights, a configuration, a way forward and a way back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import FunctionType
from typing import Any, ClassVar, Self

import numpy as np

from fastconv import _registry, initializers, regularizers
from fastconv._arguments import constructors as check
from fastconv._planned import empty
from fastconv.layers import symbolic
from fastconv.layers.arguments import Array, Shape, shape_of
from fastconv.layers.symbolic import Node
from fastconv.layers.variable import Variable

# While a model is loaded: how many more weights its layers may create.
_weights_left: ContextVar[list[int] | None] = ContextVar("_weights_left", default=None)


@contextmanager
def unfilled_weights(limit: int) -> Iterator[None]:
    """Within the block, weights are created without values, and no more of them than a limit.

    A file that is loaded says what layers there are; the limit keeps a forged one from asking for all memory.

    Examples
    --------
    >>> with unfilled_weights(4):
    ...     Layer().add_weight(shape=(4,)).shape
    (4,)
    """
    token = _weights_left.set([limit])
    try:
        yield
    finally:
        _weights_left.reset(token)


_RULES: dict[str, check.Rule] = {
    **dict.fromkeys(("autocast", "center", "keepdims", "scale", "trainable", "use_bias"), check.switch),
    **dict.fromkeys(("alpha", "momentum"), check.finite),
    **dict.fromkeys(("max_value", "negative_slope", "threshold"), check.no_nan),
    "epsilon": check.not_negative,
    "seed": check.seed,
    **dict.fromkeys(
        (
            *("beta_initializer", "bias_initializer", "depthwise_initializer", "gamma_initializer"),
            *("kernel_initializer", "moving_mean_initializer", "moving_variance_initializer", "pointwise_initializer"),
        ),
        check.found_by(initializers.get),
    ),
    **dict.fromkeys(
        (
            *("beta_regularizer", "bias_regularizer", "depthwise_regularizer"),
            *("gamma_regularizer", "kernel_regularizer", "pointwise_regularizer"),
        ),
        check.found_by(regularizers.get),
    ),
}


class Layer(check.Checked, rules=_RULES):
    """Base of all layers, and of a user's own.

    A layer of one's own defines ``call`` and, where it has weights, ``build``. To be trained it also defines
    ``backward(grad_outputs)``: it fills the gradients of its weights from what ``call`` kept, and returns the gradient
    with respect to its inputs. It may write over `grad_outputs`, as the layer below may over what it returns. If
    ``call`` has an argument ``training``, that says whether ``backward`` will follow. A layer of several inputs says
    ``takes_list = True``: `call` then gets a list of arrays, shapes come as a list of tuples, and `backward` returns a
    list. Where a model calls a layer more than once, what `call` kept in attributes is put back before `backward`.

    Parameters
    ----------
    activity_regularizer : None
        Accepted for Keras' sake.
    trainable : bool
        Whether training changes the weights.
    dtype : {"float32", "float64"}, optional
        The type of weights and computation, float32 by default. Inputs of any real type are converted.
    autocast : bool
        Accepted for Keras' sake.
    name : str, optional
        Unique within a model.
    **kwargs
        ``input_shape``, without the batch, or ``input_dim``, on a model's first layer.

    Raises
    ------
    ValueError
        If an argument is unknown or has a value that is not supported.

    Examples
    --------
    >>> class Scale(Layer):
    ...     def build(self, input_shape):
    ...         self.factor = self.add_weight(shape=(1,), initializer="ones", name="factor")
    ...     def call(self, inputs):
    ...         self.inputs = inputs
    ...         return inputs * self.factor.value
    ...     def backward(self, grad_outputs):
    ...         self.factor.gradient[:] = (grad_outputs * self.inputs).sum()
    ...         return grad_outputs * self.factor.value
    >>> Scale()([[1, 2]])
    array([[1., 2.]], dtype=float32)
    """

    # The least rank of an input, or its only rank; 0 for any.
    min_rank: ClassVar[int] = 0
    exact_rank: int = 0
    # Whether inputs are a list of arrays.
    takes_list: bool = False
    # Which of the optional arguments this class' call and backward take.
    call_takes_training: ClassVar[bool] = False
    backward_takes_input_gradient: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.call_takes_training = "training" in _arguments(cls.call)
        cls.backward_takes_input_gradient = "input_gradient" in _arguments(cls.backward)

    def __init__(
        self,
        *,
        activity_regularizer: None = None,
        trainable: bool = True,
        dtype: Any = None,
        autocast: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if activity_regularizer is not None:
            raise ValueError(f"activity_regularizer: expected None, got {activity_regularizer!r}")
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name: expected a string, got {name!r}")
        input_shape = kwargs.pop("input_shape", None)
        input_dim = kwargs.pop("input_dim", None)
        if kwargs:
            raise ValueError(f"Unrecognized keyword arguments passed to {type(self).__name__}: {kwargs}")
        if input_dim is not None:
            input_shape = (input_dim,)
        self.name = name or _registry.unique_name(type(self).__name__)
        self.dtype = _standard_dtype(dtype)
        self.built = False
        self._trainable = bool(trainable)
        self.input_shape_argument = None if input_shape is None else shape_of(input_shape, "input_shape")
        self._variables: list[Variable] = []
        self.inbound_nodes: list[Node] = []

    @property
    def last_activation(self) -> str | None:
        """The name of the activation with which the layer ends, where a loss may be differentiated together with it."""
        return None

    # --- to be overridden ---

    def build(self, input_shape: Shape) -> None:
        """Create the weights for inputs of a shape, the batch first; by default there are none."""

    def call(self, inputs: Any) -> Any:
        """Return the outputs of a batch of inputs; subclasses define it."""
        raise TypeError(f"layer {self.name!r}: {type(self).__name__} defines no call(inputs)")

    def backward(self, grad_outputs: Any) -> Any:
        """Fill the weights' gradients and return that of the inputs; subclasses that can be trained define it."""
        raise TypeError(f"layer {self.name!r}: {type(self).__name__} defines no backward(grad_outputs) to train with")

    def backward_before_activation(self, grad_products: Array, input_gradient: bool = True) -> Array | None:
        """Do what `backward` does, from a gradient with respect to what `last_activation` is applied to."""
        raise TypeError(f"layer {self.name!r} does not end with an activation")

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the outputs' shape, the batch first; by default it is found by calling the layer once on zeros."""
        if any(extent is None for extent in input_shape[1:]):
            raise ValueError(
                f"layer {self.name!r}: {type(self).__name__} defines no compute_output_shape(input_shape), which inputs"
                f" of shape {input_shape} need"
            )
        zeros = np.zeros((1, *(extent or 0 for extent in input_shape[1:])), self.dtype)
        return (input_shape[0], *np.shape(self.call(zeros))[1:])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain JSON types, read from the attributes of the same names."""
        config: dict[str, Any] = {"name": self.name, "trainable": self.trainable, "dtype": self.dtype.name}
        for name in self._argument_names():
            if hasattr(self, name):
                config[name] = _registry.serialize(getattr(self, name))
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Make a layer, with fresh weights, from what `get_config` returned."""
        return cls(**config)

    # --- weights ---

    def add_weight(
        self,
        shape: Sequence[int] = (),
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        regularizer: Any = None,
        name: str = "variable",
    ) -> Variable:
        """Create an array of weights.

        Parameters
        ----------
        shape : sequence of int
        initializer : str or Initializer, optional
            Glorot's uniform one by default.
        dtype : dtype, optional
            The layer's by default.
        trainable : bool
        regularizer : str or Regularizer, optional
        name : str

        Returns
        -------
        Variable

        Raises
        ------
        ValueError
            If the initializer returns another shape or, while a model is loaded, the file holds fewer weights.
        """
        shape, dtype = tuple(shape), np.dtype(dtype or self.dtype)
        path = f"{self.name}/{name}"
        left = _weights_left.get()
        if left is not None:
            left[0] -= math.prod(shape)
            if left[0] < 0:
                raise ValueError(f"{path} of shape {shape} is more than the file holds")
        # from the beginning of a cache line on: vectors that lie across two take longer to read
        value = empty(shape, dtype)
        if left is None:
            first = np.asarray(initializers.get(initializer or "glorot_uniform")(shape, dtype))
            if first.shape != shape:
                raise ValueError(f"{path}: the initializer returned weights of shape {first.shape}, expected {shape}")
            value[...] = first
        variable = Variable(value, trainable, regularizers.get(regularizer), name, path)
        self._variables.append(variable)
        return variable

    @property
    def variables(self) -> list[Variable]:
        """The weights of the layer and of the layers that it holds, in the order in which they were created."""
        held = (v for layer in self.sublayers() for v in layer.variables)
        return list(dict.fromkeys([*self._variables, *held]))

    weights = variables

    @property
    def trainable_variables(self) -> list[Variable]:
        """The weights that training changes."""
        if not self.trainable:
            return []
        own = [v for v in self._variables if v.trainable]
        return list(dict.fromkeys([*own, *(v for layer in self.sublayers() for v in layer.trainable_variables)]))

    trainable_weights = trainable_variables

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """The weights that training leaves alone."""
        changing = set(map(id, self.trainable_variables))
        return [v for v in self.variables if id(v) not in changing]

    non_trainable_weights = non_trainable_variables

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights; setting it sets it for the layers that this one holds."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for layer in self.sublayers():
            layer.trainable = value

    def get_weights(self) -> list[Array]:
        """Return copies of all weights."""
        return [variable.numpy() for variable in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Overwrite all weights.

        Raises
        ------
        ValueError
            If their number or a shape differs; then no weight has changed.
        """
        values = [np.asarray(weight) for weight in weights]
        variables = self.weights
        if len(values) != len(variables):
            raise ValueError(
                f"You called `set_weights(weights)` on layer '{self.name}' with a weight list of length {len(values)},"
                f" but the layer was expecting {len(variables)} weights."
            )
        for variable, value in zip(variables, values, strict=True):
            if variable.shape != value.shape:
                raise ValueError(
                    f"Layer {self.name} weight shape {variable.shape} is not compatible with provided weight shape"
                    f" {value.shape} ({variable.path})."
                )
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    def count_params(self) -> int:
        """Return the number of weights.

        Raises
        ------
        ValueError
            If the layer has not been built.
        """
        if not self.built:
            raise ValueError(
                f"You tried to call `count_params` on layer '{self.name}', but the layer isn't built. You can build it"
                " manually via: `layer.build(input_shape)`."
            )
        return sum(variable.value.size for variable in self.weights)

    # --- running ---

    def ensure_built(self, input_shape: Shape) -> None:
        """Check that inputs of a shape fit, and create the weights if that has not been done."""
        self.check_input_shape(input_shape)
        if not self.built:
            self.build(input_shape)
            self.built = True

    def check_input_shape(self, input_shape: Shape) -> None:
        """Raise a ValueError if the layer cannot take inputs of a shape."""
        rank = len(input_shape)
        if self.exact_rank and rank != self.exact_rank:
            self._refuse(f"expected ndim={self.exact_rank}, found ndim={rank}. Full shape received: {input_shape}")
        if rank < self.min_rank:
            self._refuse(f"expected min_ndim={self.min_rank}, found ndim={rank}. Full shape received: {input_shape}")

    def __call__(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the outputs of a batch of inputs of any real type, building the layer first if it has not been.

        Parameters
        ----------
        inputs : array_like, (batch, …), or SymbolicTensor
            A list of them where the layer takes several. For what `Input` returned, the result is symbolic, too.
        training : bool, optional
            Run as training does, and keep what `backward` needs. On a symbolic tensor, None is as the model runs.

        Raises
        ------
        ValueError
            If the inputs do not fit.
        """
        if symbolic.is_symbolic(inputs):
            return symbolic.apply(self, inputs, training)
        values: Any
        shape: Any
        if self.takes_list:
            values = [np.asarray(value, self.dtype) for value in self.in_order(inputs)]
            shape = [value.shape for value in values]
        else:
            values = np.asarray(inputs, self.dtype)
            shape = values.shape
        self.ensure_built(shape)
        return self.call(values, training=bool(training)) if self.call_takes_training else self.call(values)  # type: ignore[call-arg]

    def in_order(self, inputs: Any) -> list[Any]:
        """Return several inputs as a list.

        Raises
        ------
        ValueError
            If they are none.
        """
        if isinstance(inputs, Mapping) or not isinstance(inputs, (list, tuple)):
            raise ValueError(f"layer {self.name!r}: expected a list of inputs, got {type(inputs).__name__}")
        return list(inputs)

    @property
    def input(self) -> Any:
        """The symbolic tensor, or the list of them, that the layer was called on.

        Raises
        ------
        AttributeError
            If it was not called on one, or more than once.
        """
        node = self._only_node("input")
        return node.inputs if node.several else (node.inputs or node.outputs)[0]

    @property
    def output(self) -> Any:
        """The symbolic tensor, or the list of them, that a call on symbolic tensors returned.

        Raises
        ------
        AttributeError
            If there was no such call, or more than one.
        """
        return self._only_node("output").result

    def _only_node(self, what: str) -> Node:
        if len(self.inbound_nodes) != 1:
            raise AttributeError(
                f"layer '{self.name}' has no single {what}: it was called on symbolic tensors"
                f" {len(self.inbound_nodes)} times"
            )
        return self.inbound_nodes[0]

    def _refuse(self, reason: str) -> None:
        raise ValueError(f"Input 0 of layer '{self.name}' is incompatible with the layer: {reason}")

    def sublayers(self) -> list[Layer]:
        """Return the layers that this one holds, in attributes or in lists that are attributes."""
        found: list[Layer] = []
        for value in vars(self).values():
            if isinstance(value, Layer):
                found.append(value)
            elif isinstance(value, (list, tuple)):
                found.extend(item for item in value if isinstance(item, Layer))
        return found

    @classmethod
    def _argument_names(cls) -> list[str]:
        names = [name for kind in reversed(cls.__mro__) for name in _arguments(vars(kind).get("__init__"))]
        common = {"self", "name", "trainable", "dtype", "autocast", "activity_regularizer"}
        return [name for name in dict.fromkeys(names) if name not in common]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


def _arguments(function: Any) -> tuple[str, ...]:
    """Return the names of a Python function's arguments."""
    function = getattr(function, "__wrapped__", function)
    if not isinstance(function, FunctionType):
        return ()
    code = function.__code__
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def _standard_dtype(dtype: Any) -> np.dtype[Any]:
    try:
        standard = np.dtype(np.float32 if dtype is None else dtype)
    except TypeError:
        standard = np.dtype(object)
    if standard not in (np.float32, np.float64):
        raise ValueError(f"dtype: expected 'float32' or 'float64', got {dtype!r}")
    return standard.newbyteorder("=")
