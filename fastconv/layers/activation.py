"""An activation function as a layer."""

from __future__ import annotations

from typing import Any

from fastconv.layers import activations
from fastconv.layers.activations import ActivationFunction
from fastconv.layers.arguments import Array, Shape
from fastconv.layers.layer import Layer


class ActivationLayer(Layer):
    """Base of the layers that apply a function to each input.

    Parameters
    ----------
    function : ActivationFunction
    **kwargs
        As for `Layer`.
    """

    def __init__(self, function: ActivationFunction, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.function = function
        self._saved: Array | None = None

    @property
    def last_activation(self) -> str | None:
        """The name of the function."""
        return self.function.name if self.function.parameters is None else None

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the inputs' shape."""
        return input_shape

    def call(self, inputs: Array, training: bool = False) -> Array:
        """Return the function of the inputs; in training keep what the gradient needs."""
        outputs = self.function.forward(inputs, None)
        if training:
            self._saved = inputs if self.function.saves == "input" else outputs
        return outputs

    def backward(self, grad_outputs: Array) -> Array:
        """Return the gradient with respect to the inputs.

        Raises
        ------
        TypeError
            If the function is a callable, whose derivative is not known.
        """
        if self.function.backward is None:
            raise TypeError(f"layer {self.name!r}: the activation {self.function.name!r} has no gradient to train with")
        if self._saved is None:
            raise ValueError(f"layer {self.name!r}: backward needs a call with training=True before it")
        saved, self._saved = self._saved, None
        return self.function.backward(grad_outputs, saved)

    def backward_before_activation(self, grad_products: Array, input_gradient: bool = True) -> Array:
        """Return a gradient that is already one with respect to the inputs."""
        self._saved = None
        return grad_products

    @classmethod
    def _argument_names(cls) -> list[str]:
        return [name for name in super()._argument_names() if name != "function"]


class Activation(ActivationLayer):
    """An activation function by name.

    Parameters
    ----------
    activation : str or callable
    **kwargs
        As for `Layer`.

    Raises
    ------
    ValueError
        If the name is unknown.

    Examples
    --------
    >>> Activation("relu")([[-1.0, 2.0]])
    array([[0., 2.]], dtype=float32)
    """

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(activations.get(activation), **kwargs)

    @property
    def activation(self) -> ActivationFunction:
        """The function."""
        return self.function

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain JSON types."""
        return super().get_config() | {"activation": activations.serialize(self.function)}
