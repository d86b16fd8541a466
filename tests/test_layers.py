"""Layers: shapes, weights, gradients against finite differences, configurations, mistakes, and layers of one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastconv import Sequential, layers, models, utils
from fastconv.layers import activations
from fastconv.models.chain import Chain

RNG = np.random.default_rng(11)
IMAGES = (3, 6, 5, 4)

# Name, layer, shape of the inputs.
CASES: list[tuple[str, layers.Layer, tuple[int, ...]]] = [
    ("conv", layers.Conv2D(3, 3, dtype="float64"), IMAGES),
    ("conv-same-strided", layers.Conv2D(3, (3, 2), (2, 1), "same", activation="tanh", dtype="float64"), IMAGES),
    ("conv-grouped", layers.Conv2D(6, 2, groups=2, use_bias=False, activation="silu", dtype="float64"), IMAGES),
    ("conv-dilated", layers.Conv2D(3, 2, dilation_rate=2, activation="softmax", dtype="float64"), IMAGES),
    ("conv-first", layers.Conv2D(3, 3, data_format="channels_first", activation="gelu", dtype="float64"), IMAGES),
    ("depthwise", layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", dtype="float64"), IMAGES),
    ("depthwise-first", layers.DepthwiseConv2D(2, data_format="channels_first", dtype="float64"), IMAGES),
    ("max", layers.MaxPooling2D(dtype="float64"), IMAGES),
    ("max-same", layers.MaxPooling2D(3, 2, "same", dtype="float64"), IMAGES),
    ("max-first", layers.MaxPooling2D(2, data_format="channels_first", dtype="float64"), IMAGES),
    ("average", layers.AveragePooling2D(2, dtype="float64"), IMAGES),
    ("average-same", layers.AveragePooling2D(3, 2, "same", dtype="float64"), IMAGES),
    ("global-max", layers.GlobalMaxPooling2D(dtype="float64"), IMAGES),
    ("global-max-first", layers.GlobalMaxPooling2D("channels_first", True, dtype="float64"), IMAGES),
    ("global-average", layers.GlobalAveragePooling2D(keepdims=True, dtype="float64"), IMAGES),
    ("global-average-first", layers.GlobalAveragePooling2D("channels_first", dtype="float64"), IMAGES),
    ("dense", layers.Dense(4, activation="sigmoid", dtype="float64"), (5, 7)),
    ("dense-deep", layers.Dense(4, activation="hard_silu", use_bias=False, dtype="float64"), (2, 3, 7)),
    ("flatten", layers.Flatten(dtype="float64"), IMAGES),
    ("flatten-first", layers.Flatten("channels_first", dtype="float64"), IMAGES),
    ("reshape", layers.Reshape((-1, 2), dtype="float64"), IMAGES),
    ("padding", layers.ZeroPadding2D(((1, 0), (2, 1)), dtype="float64"), IMAGES),
    ("padding-first", layers.ZeroPadding2D(2, "channels_first", dtype="float64"), IMAGES),
    ("normal", layers.BatchNormalization(dtype="float64"), IMAGES),
    ("normal-axis", layers.BatchNormalization(axis=1, scale=False, dtype="float64"), IMAGES),
    ("normal-frozen", layers.BatchNormalization(trainable=False, dtype="float64"), IMAGES),
    ("relu", layers.ReLU(dtype="float64"), IMAGES),
    ("relu-all", layers.ReLU(1.2, 0.1, 0.3, dtype="float64"), IMAGES),
    ("leaky", layers.LeakyReLU(dtype="float64"), IMAGES),
    ("elu", layers.ELU(0.6, dtype="float64"), IMAGES),
    ("softmax", layers.Softmax(dtype="float64"), IMAGES),
    ("softmax-axis", layers.Softmax(1, dtype="float64"), IMAGES),
    ("activation", layers.Activation("log_softmax", dtype="float64"), IMAGES),
    ("model", Sequential([layers.Conv2D(2, 2, dtype="float64"), layers.ReLU(dtype="float64")]), IMAGES),
]
WIDE: dict[str, Any] = {"dtype": "float64"}
LINES, VOLUMES = (3, 7, 4), (2, 4, 5, 3, 2)
CASES += [
    ("conv1d", layers.Conv1D(3, 3, 2, "same", activation="tanh", **WIDE), LINES),
    ("conv1d-dilated", layers.Conv1D(4, 2, dilation_rate=3, groups=2, use_bias=False, **WIDE), LINES),
    ("conv1d-first", layers.Conv1D(3, 2, data_format="channels_first", **WIDE), LINES),
    ("conv3d", layers.Conv3D(3, (2, 3, 2), activation="silu", **WIDE), VOLUMES),
    ("conv3d-first", layers.Conv3D(2, 2, (1, 2, 1), "same", data_format="channels_first", **WIDE), VOLUMES),
    ("transpose", layers.Conv2DTranspose(3, 3, 2, activation="tanh", **WIDE), IMAGES),
    ("transpose-same", layers.Conv2DTranspose(3, (4, 3), (2, 3), "same", **WIDE), IMAGES),
    ("transpose-short", layers.Conv2DTranspose(2, 2, 3, "same", use_bias=False, **WIDE), IMAGES),
    ("transpose-first", layers.Conv2DTranspose(2, 3, 2, "same", 1, "channels_first", **WIDE), IMAGES),
    ("transpose-dilated", layers.Conv2DTranspose(2, 2, 1, dilation_rate=2, **WIDE), IMAGES),
    ("transpose1d", layers.Conv1DTranspose(3, 4, 3, output_padding=1, **WIDE), LINES),
    ("transpose3d", layers.Conv3DTranspose(2, 2, (2, 1, 2), "same", **WIDE), VOLUMES),
    ("separable", layers.SeparableConv2D(5, 3, 2, "same", depth_multiplier=2, activation="tanh", **WIDE), IMAGES),
    ("separable-first", layers.SeparableConv2D(3, 2, data_format="channels_first", use_bias=False, **WIDE), IMAGES),
    ("separable1d", layers.SeparableConv1D(3, 3, dilation_rate=2, **WIDE), LINES),
    ("depthwise1d", layers.DepthwiseConv1D(3, 2, depth_multiplier=2, **WIDE), LINES),
    ("max1d", layers.MaxPooling1D(3, 2, "same", **WIDE), LINES),
    ("max3d", layers.MaxPooling3D((2, 2, 1), **WIDE), VOLUMES),
    ("average1d", layers.AveragePooling1D(3, 1, "same", **WIDE), LINES),
    ("average3d-first", layers.AveragePooling3D(2, data_format="channels_first", **WIDE), VOLUMES),
    ("global-max1d", layers.GlobalMaxPooling1D(keepdims=True, **WIDE), LINES),
    ("global-max3d", layers.GlobalMaxPooling3D(**WIDE), VOLUMES),
    ("global-average1d", layers.GlobalAveragePooling1D("channels_first", **WIDE), LINES),
    ("global-average3d", layers.GlobalAveragePooling3D("channels_first", True, **WIDE), VOLUMES),
    ("layer-normal", layers.LayerNormalization(**WIDE), IMAGES),
    ("layer-normal-axes", layers.LayerNormalization([1, -1], scale=False, **WIDE), IMAGES),
    ("layer-normal-plain", layers.LayerNormalization(2, center=False, scale=False, **WIDE), IMAGES),
    ("up1d", layers.UpSampling1D(3, **WIDE), LINES),
    ("up", layers.UpSampling2D((2, 3), "channels_first", **WIDE), IMAGES),
    ("up-bilinear", layers.UpSampling2D((3, 2), interpolation="bilinear", **WIDE), IMAGES),
    ("up3d", layers.UpSampling3D((1, 2, 3), **WIDE), VOLUMES),
    ("crop1d", layers.Cropping1D((2, 1), **WIDE), LINES),
    ("crop", layers.Cropping2D(((1, 0), (2, 1)), **WIDE), IMAGES),
    ("crop3d", layers.Cropping3D((1, 0, 1), **WIDE), VOLUMES),
    ("padding1d", layers.ZeroPadding1D((2, 0), "channels_first", **WIDE), LINES),
    ("padding3d", layers.ZeroPadding3D(**WIDE), VOLUMES),
]
IDS = [name for name, _, _ in CASES]


def perturbed(layer: layers.Layer, shape: tuple[int, ...]) -> np.ndarray:
    """Build a layer, give it weights that are no zeros and ones, and return inputs for it."""
    inputs = RNG.standard_normal(shape)
    layer(inputs)
    layer.set_weights([np.abs(RNG.standard_normal(w.shape)) + 0.2 for w in layer.weights])
    return inputs


def differences(function: Any, array: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """The gradient of a number with respect to an array that it depends on, by central differences."""
    gradient = np.empty_like(array)
    for index in np.ndindex(array.shape):
        before = array[index]
        array[index] = before + step
        above = function()
        array[index] = before - step
        below = function()
        array[index] = before
        gradient[index] = (above - below) / (2 * step)
    return gradient


@pytest.mark.parametrize(("name", "layer", "shape"), CASES, ids=IDS)
def test_gradients(name: str, layer: layers.Layer, shape: tuple[int, ...]) -> None:
    inputs = perturbed(layer, shape)
    before = layer.get_weights()

    def outputs() -> np.ndarray:
        layer.set_weights(before)
        return layer.call(inputs, training=True) if layer.call_takes_training else layer.call(inputs)

    direction = RNG.standard_normal(outputs().shape)
    outputs()
    found = layer.backward(direction.copy())
    np.testing.assert_allclose(found, differences(lambda: float((outputs() * direction).sum()), inputs), atol=1e-7)
    outputs()
    layer.backward(direction.copy())
    gradients = [v.gradient.copy() for v in layer.trainable_variables]
    for which, gradient in enumerate(gradients):
        position = [v is layer.trainable_variables[which] for v in layer.weights].index(True)
        wanted = differences(lambda: float((outputs() * direction).sum()), before[position])
        np.testing.assert_allclose(gradient, wanted, atol=1e-7)


@pytest.mark.parametrize(("name", "layer", "shape"), CASES, ids=IDS)
def test_shapes_and_prediction(name: str, layer: layers.Layer, shape: tuple[int, ...]) -> None:
    inputs = perturbed(layer, shape)
    made = layer(inputs)
    assert made.dtype == np.float64
    assert made.shape == tuple(layer.compute_output_shape(shape))
    assert layer.compute_output_shape((None, *shape[1:])) == (None, *made.shape[1:])
    assert layer(inputs[:0]).shape == (0, *made.shape[1:])
    for one in range(len(inputs)):
        np.testing.assert_array_equal(layer(inputs[one : one + 1])[0], made[one])


@pytest.mark.parametrize(("name", "layer", "shape"), CASES, ids=IDS)
def test_configuration_makes_the_same_layer(name: str, layer: layers.Layer, shape: tuple[int, ...]) -> None:
    inputs = perturbed(layer, shape)
    config = json.loads(json.dumps(layer.get_config()))
    again = type(layer).from_config(config)
    assert again.get_config() == layer.get_config()
    again(inputs)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(inputs), layer(inputs))


@pytest.mark.parametrize("name", sorted(activations._TABLE))
def test_activation_fused_or_not(name: str) -> None:
    fused = layers.Conv2D(5, 3, activation=name)
    plain = layers.Conv2D(5, 3)
    images = RNG.standard_normal((2, 6, 6, 3)).astype(np.float32)
    fused(images)
    plain(images)
    plain.set_weights(fused.get_weights())
    after = layers.Activation(name)
    np.testing.assert_allclose(fused(images), after(plain(images)), rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(fused(images, training=True), fused(images), rtol=2e-6, atol=1e-6)
    gradient = RNG.standard_normal((2, 4, 4, 5)).astype(np.float32)
    after(plain(images, training=True), training=True)
    wanted = plain.backward(after.backward(gradient.copy()))
    np.testing.assert_allclose(fused.backward(gradient.copy()), wanted, rtol=1e-5, atol=1e-5)


def test_layouts_agree() -> None:
    images = RNG.standard_normal((2, 6, 7, 4)).astype(np.float32)
    first = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    for make in (
        lambda **k: layers.Conv2D(6, 3, strides=2, padding="same", groups=2, **k),
        lambda **k: layers.DepthwiseConv2D(3, **k),
        lambda **k: layers.MaxPooling2D(3, 2, "same", **k),
        lambda **k: layers.AveragePooling2D(2, **k),
    ):
        last, other = make(), make(data_format="channels_first")
        last(images)
        other(first)
        assert [w.shape for w in last.weights] == [w.shape for w in other.weights]
        other.set_weights(last.get_weights())
        np.testing.assert_allclose(other(first).transpose(0, 2, 3, 1), last(images), rtol=1e-5, atol=1e-5)
    flat = layers.Flatten(data_format="channels_first")(first)
    np.testing.assert_array_equal(flat, layers.Flatten()(images))


def test_worked_shapes() -> None:
    assert layers.Conv2D(12, 3, padding="same").compute_output_shape((None, 32, 32, 3)) == (None, 32, 32, 12)
    assert layers.MaxPooling2D(2).compute_output_shape((None, 32, 32, 12)) == (None, 16, 16, 12)
    conv = layers.Conv2D(40, 5)
    assert conv(np.zeros((1, 128, 128, 3))).shape == (1, 124, 124, 40)
    assert conv.count_params() == (5 * 5 * 3 + 1) * 40
    assert layers.Conv2D(1, 3).compute_output_shape((None, None, 9, 3)) == (None, None, 7, 1)


def test_weights_are_in_keras_order_and_layout() -> None:
    conv, depthwise, dense = (
        layers.Conv2D(6, (3, 2), groups=2),
        layers.DepthwiseConv2D(3, depth_multiplier=2),
        layers.Dense(5),
    )
    conv.build((None, 8, 8, 4))
    depthwise.build((None, 8, 8, 4))
    dense.build((None, 7))
    normal = layers.BatchNormalization()
    normal.build((None, 4))
    assert [w.shape for w in conv.weights] == [(3, 2, 2, 6), (6,)]
    assert [w.shape for w in depthwise.weights] == [(3, 3, 4, 2), (8,)]
    assert [w.shape for w in dense.weights] == [(7, 5), (5,)]
    assert [w.name for w in normal.weights] == ["gamma", "beta", "moving_mean", "moving_variance"]
    assert [w.name for w in normal.trainable_weights] == ["gamma", "beta"]
    normal.trainable = False
    assert normal.trainable_weights == []
    assert len(normal.non_trainable_weights) == 4


def test_inputs_of_any_real_type() -> None:
    dense = layers.Dense(3)
    wanted = dense(np.arange(8, dtype=np.float32).reshape(2, 4))
    for given in (np.arange(8).reshape(2, 4), np.arange(8, dtype=np.uint8).reshape(2, 4), [[0, 1, 2, 3], [4, 5, 6, 7]]):
        assert dense(given).dtype == np.float32
        np.testing.assert_array_equal(dense(given), wanted)
    big = np.arange(8, dtype=">f8").reshape(2, 4)
    np.testing.assert_array_equal(dense(big), wanted)


def test_names_count_up_and_start_again() -> None:
    utils.clear_session()
    assert [layers.Dense(1).name, layers.Dense(1).name, layers.MaxPooling2D().name] == [
        "dense",
        "dense_1",
        "max_pooling2d",
    ]
    assert layers.GlobalAveragePooling2D().name == "global_average_pooling2d"
    assert layers.DepthwiseConv2D(3).name == "depthwise_conv2d"
    assert layers.Conv2D(1, 1, name="mine").name == "mine"
    utils.clear_session()
    assert layers.Dense(1).name == "dense"


def test_dropout() -> None:
    utils.set_random_seed(5)
    drop = layers.Dropout(0.25)
    ones = np.ones((200, 50), np.float32)
    np.testing.assert_array_equal(drop(ones), ones)
    dropped = drop(ones, training=True)
    assert set(np.unique(dropped)) == {np.float32(0), np.float32(1) / np.float32(0.75)}
    assert abs(float((dropped == 0).mean()) - 0.25) < 0.02
    np.testing.assert_array_equal(drop.backward(ones.copy()), dropped)
    utils.set_random_seed(5)
    np.testing.assert_array_equal(layers.Dropout(0.25)(ones, training=True), dropped)
    shared = layers.Dropout(0.5, noise_shape=(None, 1), seed=3)(ones, training=True)
    assert (shared == shared[:, :1]).all()
    assert 0 < (shared[:, 0] == 0).sum() < 200
    np.testing.assert_array_equal(layers.Dropout(0.5, noise_shape=(None, 1), seed=3)(ones, training=True), shared)
    assert not layers.Dropout(1.0)(ones, training=True).any()
    assert not layers.Dropout(1.0, seed=1)(ones, training=True).any()
    np.testing.assert_array_equal(layers.Dropout(0.0)(ones, training=True), ones)


def test_batch_normalization_moves_its_averages() -> None:
    normal = layers.BatchNormalization(momentum=0.9)
    inputs = RNG.standard_normal((50, 3)).astype(np.float32) * 2 + 5
    made = normal(inputs, training=True)
    np.testing.assert_allclose(made.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(made.std(0), 1, atol=1e-3)
    np.testing.assert_allclose(normal.moving_mean.numpy(), 0.1 * inputs.mean(0), rtol=1e-5)
    np.testing.assert_allclose(normal.moving_variance.numpy(), 0.9 + 0.1 * inputs.var(0), rtol=1e-5)
    before = normal.get_weights()
    normal(inputs)
    normal.trainable = False
    normal(inputs, training=True)
    for now, then in zip(normal.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


# --- layers of one's own --------------------------------------------------------------------------------------------


class Scale(layers.Layer):
    """Multiplies by one weight; knows its way back, but not its output shape."""

    def build(self, input_shape: Any) -> None:
        self.factor = self.add_weight(shape=(1,), initializer="ones", name="factor")

    def call(self, inputs: np.ndarray) -> np.ndarray:
        self.inputs = inputs
        return inputs * self.factor.value

    def backward(self, grad_outputs: np.ndarray) -> np.ndarray:
        self.factor.gradient[:] = (grad_outputs * self.inputs).sum()
        return grad_outputs * self.factor.value


class Forward(layers.Layer):
    """Can only predict."""

    def call(self, inputs: np.ndarray, training: bool = False) -> np.ndarray:
        return inputs.astype(np.float64)[:, ::-1] + training


class Block(layers.Layer):
    """Holds other layers."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.inner = [layers.Dense(units), Scale()]

    def call(self, inputs: np.ndarray, training: bool = False) -> np.ndarray:
        return self.inner[1](self.inner[0](inputs, training))

    def backward(self, grad_outputs: np.ndarray) -> np.ndarray:
        return self.inner[0].backward(self.inner[1].backward(grad_outputs))


def test_a_layer_of_ones_own_learns() -> None:
    utils.set_random_seed(0)
    model = Sequential([layers.Input((4,)), layers.Dense(5, activation="tanh"), Scale(), Block(3), layers.Dense(1)])
    assert model.output_shape == (None, 1)
    assert [len(layer.weights) for layer in model.layers] == [2, 1, 3, 2]
    inputs = RNG.standard_normal((64, 4))
    model.compile("adam", "mse")
    history = model.fit(inputs, inputs.sum(1), epochs=15, verbose=0).history["loss"]
    assert history[-1] < 0.9 * history[0]
    assert model.layers[1].factor.numpy()[0] != 1
    assert Block(3, name="b").get_config() == {"name": "b", "trainable": True, "dtype": "float32", "units": 3}
    model.layers[2].trainable = False
    assert len(model.trainable_weights) == 2 + 1 + 2


def test_a_layer_without_a_way_back() -> None:
    model = Sequential([layers.Input((4,)), layers.Dense(3), Forward(), layers.Dense(1)])
    inputs = np.ones((2, 4), np.float32)
    assert model.predict(inputs, verbose=0).dtype == np.float32
    model.compile("sgd", "mse")
    with pytest.raises(TypeError, match=r"Forward defines no backward\(grad_outputs\) to train with"):
        model.fit(inputs, np.ones(2), verbose=0)
    frozen = Sequential([Forward(input_shape=(4,)), layers.Dense(1)])
    frozen.compile("sgd", "mse")
    before = frozen.get_weights()
    frozen.fit(inputs, np.full(2, 3.0), verbose=0)
    assert (frozen.get_weights()[1] != before[1]).all()


def test_layers_that_say_too_little() -> None:
    with pytest.raises(TypeError, match=r"Layer defines no call\(inputs\)"):
        layers.Layer()(np.zeros(3))
    with pytest.raises(ValueError, match=r"Scale defines no compute_output_shape\(input_shape\)"):
        Scale().compute_output_shape((None, None, 3))
    dense = layers.Dense(3)
    dense(np.zeros((2, 4)))
    with pytest.raises(ValueError, match="backward needs a call with training=True"):
        dense.backward(np.zeros((2, 3), np.float32))
    custom = layers.Dense(3, activation=np.sin)
    np.testing.assert_allclose(custom(np.zeros((2, 4))), 0)
    custom(np.zeros((2, 4)), training=True)
    with pytest.raises(TypeError, match="the activation 'sin' has no gradient to train with"):
        custom.backward(np.zeros((2, 3), np.float32))


def test_a_scalar_weight(tmp_path: Path) -> None:
    class Shift(layers.Layer):
        def build(self, input_shape: Any) -> None:
            self.by = self.add_weight(initializer="zeros", name="by")

        def call(self, inputs: np.ndarray) -> np.ndarray:
            return inputs + self.by.value

        def backward(self, grad_outputs: np.ndarray) -> np.ndarray:
            self.by.gradient[...] = grad_outputs.sum()
            return grad_outputs

    model = Sequential([layers.Input((3,)), Shift()])
    assert [w.shape for w in model.get_weights()] == [()]
    model.compile("adam", "mse")
    model.fit(np.zeros((4, 3)), np.ones((4, 3)), epochs=2, verbose=0)
    assert model.get_weights()[0] > 0
    for suffix in ("npz", "safetensors"):
        model.save(tmp_path / f"m.{suffix}")
        again = models.load_model(tmp_path / f"m.{suffix}", {"Shift": Shift})
        assert again.get_weights() == model.get_weights()
    wrong = layers.Dense(2, kernel_initializer=lambda shape, dtype: np.zeros(3))
    with pytest.raises(ValueError, match=r"the initializer returned weights of shape \(3,\), expected \(4, 2\)"):
        wrong(np.zeros((1, 4)))


def test_an_activation_layer_as_an_activation() -> None:
    dense = layers.Dense(3, activation=layers.LeakyReLU(0.25))
    again = layers.Dense.from_config(json.loads(json.dumps(dense.get_config())))
    inputs = RNG.standard_normal((5, 4))
    dense(inputs)
    again(inputs)
    again.set_weights(dense.get_weights())
    plain = layers.Dense(3)
    plain(inputs)
    plain.set_weights(dense.get_weights())
    np.testing.assert_allclose(again(inputs), layers.LeakyReLU(0.25)(plain(inputs)), rtol=1e-6)


def test_the_first_layer_computes_no_gradient_of_its_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastconv import _planned

    calls: list[tuple[int, ...]] = []
    whole = _planned.input_gradient

    def counted(axes: int, size: Any, *args: Any) -> Any:
        calls.append(tuple(size))
        return whole(axes, size, *args)

    monkeypatch.setattr(_planned, "input_gradient", counted)
    stack = [layers.Conv2D(3, 3), layers.Conv2D(4, 3)]
    images = np.zeros((2, 8, 8, 1), np.float32)
    made = images
    for layer in stack:
        made = layer(made)
    chain = Chain(stack)
    chain.forward(images, training=True)
    assert chain.backward(np.ones_like(made), chain.first_trainable) is None
    assert calls == [(2, 6, 6, 3)]
    chain.forward(images, training=True)
    below = chain.backward(np.ones_like(made))
    assert below is not None
    assert below.shape == images.shape


# --- mistakes -------------------------------------------------------------------------------------------------------

MISTAKES: list[tuple[Any, str]] = [
    (lambda: layers.Conv2D(0, 3), "filters: expected a positive integer, got 0"),
    (lambda: layers.Conv2D(True, 3), "filters: expected a positive integer, got True"),
    (lambda: layers.Conv2D(4, -1), "kernel_size: expected a positive integer, got -1"),
    (lambda: layers.Conv2D(4, (1, 2, 3)), r"kernel_size: expected an integer or 2 integers, got \(1, 2, 3\)"),
    (lambda: layers.Conv2D(4, 3, strides=0), "strides: expected a positive integer, got 0"),
    (lambda: layers.Conv2D(4, 3, padding="half"), "padding: expected 'valid' or 'same', got 'half'"),
    (lambda: layers.Conv2D(4, 3, data_format="NHWC"), "data_format: expected 'channels_last' or 'channels_first'"),
    (lambda: layers.Conv2D(4, 3, strides=2, dilation_rate=2), "`strides > 1` not supported in conjunction"),
    (lambda: layers.Conv2D(4, 3, groups=3), "The number of filters must be evenly divisible by the number of groups"),
    (lambda: layers.Conv2D(4, 3, groups=2).build((None, 8, 8, 3)), "number of input channels must be evenly divisible"),
    (lambda: layers.Conv2D(4, 3, activation="no"), "activation: unknown name 'no'; expected one of elu, gelu"),
    (lambda: layers.Conv2D(4, 3, kernel_initializer="no"), "initializer: unknown name 'no'; expected one of Constant"),
    (lambda: layers.Conv2D(4, 3, kernel_constraint="max_norm"), "kernel_constraint: expected None"),
    (lambda: layers.Conv2D(4, 3, activity_regularizer="l2"), "activity_regularizer: expected None, got 'l2'"),
    (lambda: layers.Conv2D(4, 3, colour=1), r"Unrecognized keyword arguments passed to Conv2D: \{'colour': 1\}"),
    (lambda: layers.Conv2D(4, 3, dtype="float16"), "dtype: expected 'float32' or 'float64', got 'float16'"),
    (lambda: layers.Conv2D(4, 3, input_shape=(2, -1)), r"input_shape: expected non-negative integers and None"),
    (lambda: layers.Conv2D(4, 3)(np.zeros((8, 8, 1))), "expected ndim=4, found ndim=3"),
    (lambda: layers.Conv2D(4, 3)(np.zeros((1, 8, 8, 0))), "channel dimension of the inputs should be defined"),
    (
        lambda: layers.Conv2D(4, 9).compute_output_shape((None, 8, 8, 1)),
        "a window of 9 .* does not fit into an extent of 8",
    ),
    (lambda: layers.Conv2D(4, 9)(np.zeros((1, 8, 8, 1))), "at least the kernel's 9 x 9, got 8 x 8"),
    (lambda: layers.DepthwiseConv2D(3, depth_multiplier=0), "depth_multiplier: expected a positive integer, got 0"),
    (lambda: layers.MaxPooling2D(0), "pool_size: expected a positive integer, got 0"),
    (lambda: layers.AveragePooling2D(2, strides=-1), "strides: expected a positive integer, got -1"),
    (lambda: layers.GlobalMaxPooling2D()(np.zeros((2, 3))), "expected ndim=4, found ndim=2"),
    (lambda: layers.Dense(2.5), "units: expected a positive integer, got 2.5"),
    (lambda: layers.Dense(2)(np.zeros(3)), "expected min_ndim=2, found ndim=1"),
    (lambda: layers.Dense(2).build((None, None)), "last dimension of the inputs should be defined"),
    (lambda: layers.Dropout(-0.1), "rate: expected a number from 0 to 1, got -0.1"),
    (lambda: layers.Dropout(0.5, (1,))(np.zeros((2, 3)), training=True), "noise_shape: expected 2 extents"),
    (lambda: layers.Reshape((-1, -1)), r"target_shape: expected non-negative integers and at most one -1"),
    (lambda: layers.Reshape((3,))(np.zeros((2, 4))), "The total size of the tensor must be unchanged"),
    (lambda: layers.ZeroPadding2D((1, 2, 3)), "padding: expected an integer, 2 integers or 2 pairs"),
    (lambda: layers.ZeroPadding2D(-1), "padding: expected non-negative integers, got -1"),
    (lambda: layers.Conv1D(4, (3, 3)), r"kernel_size: expected an integer, got \(3, 3\)"),
    (lambda: layers.Conv3D(4, (3, 3)), r"kernel_size: expected an integer or 3 integers, got \(3, 3\)"),
    (lambda: layers.Conv1D(4, 3)(np.zeros((1, 8, 8, 1))), "expected ndim=3, found ndim=4"),
    (lambda: layers.ZeroPadding1D((1, 2, 3)), r"padding: expected an integer or 2 integers, got \(1, 2, 3\)"),
    (lambda: layers.Cropping3D((1, 2)), "cropping: expected an integer, 3 integers or 3 pairs of integers"),
    (lambda: layers.Cropping2D(2)(np.zeros((1, 4, 9, 1))), "should be smaller than the corresponding spatial"),
    (lambda: layers.UpSampling2D(0), "size: expected a positive integer, got 0"),
    (lambda: layers.UpSampling2D(2, interpolation="cubic"), "interpolation: expected 'nearest' or 'bilinear'"),
    (lambda: layers.Conv2DTranspose(1, 3, 2, output_padding=2), "Strides must be greater than output padding"),
    (lambda: layers.Conv2DTranspose(1, 3, 2, output_padding=-1), "output_padding: expected non-negative integers"),
    (lambda: layers.SeparableConv2D(1, 3, pointwise_constraint="x"), "pointwise_constraint: expected None"),
    (lambda: layers.LayerNormalization(3)(np.zeros((2, 3))), "axis: expected one of 2 axes, got 3"),
    (lambda: layers.LayerNormalization().build((None, None)), "of the inputs should be defined"),
    (lambda: layers.BatchNormalization(axis=4)(np.zeros((2, 3))), "axis: expected one of 2 axes, got 4"),
    (lambda: layers.BatchNormalization(gamma_constraint="x"), "gamma_constraint: expected None"),
    (lambda: layers.ReLU(max_value=-1.0), "max_value of a ReLU layer cannot be a negative value. Received: -1.0"),
    (lambda: layers.LeakyReLU(None), "negative_slope value of a Leaky ReLU layer cannot be None"),
    (lambda: layers.Input(), "expected one of shape and batch_shape"),
    (lambda: layers.Input((None, "a")), "shape: expected non-negative integers and None"),
    (lambda: layers.Input(batch_shape=()), "batch_shape: expected at least the batch"),
    (lambda: layers.Input(batch_shape=(1, 2), batch_size=1), "batch_size: expected None where batch_shape is given"),
    (lambda: layers.Dense(3).count_params(), "tried to call `count_params` on layer"),
    (lambda: layers.Dense(3).set_weights([1]), "with a weight list of length 1, but the layer was expecting 0 weights"),
]


@pytest.mark.parametrize(("mistake", "text"), MISTAKES, ids=[text[:40] for _, text in MISTAKES])
def test_mistakes(mistake: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        mistake()


def test_a_built_layer_refuses_other_channels() -> None:
    for layer, good, bad in (
        (layers.Conv2D(2, 3), (1, 5, 5, 3), (1, 5, 5, 4)),
        (layers.Dense(2), (1, 3), (1, 4)),
        (layers.BatchNormalization(), (1, 3), (1, 4)),
    ):
        layer(np.zeros(good))
        with pytest.raises(ValueError, match="expected axis -1 of input shape to have value 3, but received"):
            layer(np.zeros(bad))


def test_set_weights_changes_all_or_nothing() -> None:
    dense = layers.Dense(2)
    dense(np.zeros((1, 3)))
    before = dense.get_weights()
    with pytest.raises(ValueError, match=r"weight shape \(2,\) is not compatible with provided weight shape \(3,\)"):
        dense.set_weights([np.ones((3, 2)), np.ones(3)])
    np.testing.assert_array_equal(dense.get_weights()[0], before[0])
