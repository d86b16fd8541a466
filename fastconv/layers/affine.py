"""What convolutions and Dense share: a kernel, a bias, and an activation that is applied on the way."""

from __future__ import annotations

from typing import Any

from fastconv import initializers, regularizers
from fastconv.layers import activations
from fastconv.layers.arguments import Array
from fastconv.layers.layer import Layer
from fastconv.layers.variable import Variable


class AffineLayer(Layer):
    """Base of the layers that compute ``activation(kernel · inputs + bias)``.

    A subclass defines how the kernel is applied, in `_apply` and `_apply_backward`.

    Parameters
    ----------
    activation : None, str or callable
        Fused with the product where the engine can; None is the identity.
    use_bias : bool
    bias_initializer, bias_regularizer : str or object, optional
    bias_constraint : None
        Accepted for Keras' sake.
    **kwargs
        As for `Layer`.

    Raises
    ------
    ValueError
        If a constraint is asked for.
    """

    def __init__(
        self,
        activation: Any = None,
        use_bias: bool = True,
        bias_initializer: Any = "zeros",
        bias_regularizer: Any = None,
        bias_constraint: None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        no_constraint(bias_constraint, "bias_constraint")
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        self.bias_initializer = initializers.get(bias_initializer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.bias: Variable | None = None
        self._saved: tuple[Array, Array] | None = None

    @property
    def last_activation(self) -> str | None:
        """The name of the activation."""
        return self.activation.name if self.activation.parameters is None else None

    @property
    def _bias(self) -> Array | None:
        return None if self.bias is None else self.bias.value

    def _apply(self, inputs: Array, activation: str | None) -> Array:
        """Return the activation of kernel · inputs + bias."""
        raise TypeError(f"{type(self).__name__} defines no _apply(inputs, activation)")

    def _apply_backward(self, inputs: Array, grad_products: Array, input_gradient: bool) -> Array | None:
        """Fill the gradients of kernel and bias if the layer is trainable; return that of the inputs if asked for."""
        raise TypeError(f"{type(self).__name__} defines no _apply_backward(inputs, grad_products, input_gradient)")

    def _add_bias(self, size: int) -> None:
        if self.use_bias:
            self.bias = self.add_weight((size,), self.bias_initializer, regularizer=self.bias_regularizer, name="bias")

    def call(self, inputs: Array, training: bool = False) -> Array:
        """Return the activation of kernel · inputs + bias.

        Parameters
        ----------
        inputs : ndarray
        training : bool
            Keep what `backward` needs.
        """
        activation = self.activation
        # Where the gradient needs the activation's input, that has to be kept, so the two cannot be fused.
        split = training and activation.saves == "input"
        fused = None if split else activation.fused
        outputs = self._apply(inputs, fused)
        saved = outputs
        if fused is None:
            outputs = activation.forward(outputs, None if split else outputs)
        if training:
            self._saved = (inputs, saved if split else outputs)
        return outputs

    def backward(self, grad_outputs: Array, input_gradient: bool = True) -> Array | None:
        """Fill the weights' gradients; return that of the inputs, or None if it is not asked for.

        Raises
        ------
        TypeError
            If the activation is a callable, whose derivative is not known.
        """
        if self.activation.backward is None:
            raise TypeError(
                f"layer {self.name!r}: the activation {self.activation.name!r} has no gradient to train with"
            )
        _, saved = self._kept()
        return self.backward_before_activation(self.activation.backward(grad_outputs, saved), input_gradient)

    def backward_before_activation(self, grad_products: Array, input_gradient: bool = True) -> Array | None:
        """Do what `backward` does, from a gradient with respect to what the activation is applied to."""
        inputs, _ = self._kept()
        self._saved = None
        return self._apply_backward(inputs, grad_products, input_gradient)

    def _kept(self) -> tuple[Array, Array]:
        if self._saved is None:
            raise ValueError(f"layer {self.name!r}: backward needs a call with training=True before it")
        return self._saved

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain JSON types."""
        return super().get_config() | {"activation": activations.serialize(self.activation)}


def no_constraint(constraint: Any, name: str) -> None:
    """Raise a ValueError if a constraint on weights is asked for."""
    if constraint is not None:
        raise ValueError(f"{name}: expected None, since weights cannot be constrained, got {constraint!r}")
