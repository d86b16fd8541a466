"""The layers, training and arithmetic of Keras 3 itself, on the same weights and data."""

from __future__ import annotations

import inspect
import os
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")

from fastconv import initializers, layers, losses, metrics, models, optimizers, regularizers, utils

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]

RNG = np.random.default_rng(3)
IMAGES = RNG.standard_normal((5, 9, 8, 4)).astype(np.float32)
ROWS = RNG.standard_normal((6, 7)).astype(np.float32)


@pytest.fixture(scope="module")
def keras() -> Any:
    import keras

    return keras


def close(got: Any, want: Any, tolerance: float = 1e-5) -> None:
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


# --- layers ---------------------------------------------------------------------------------------------------------

IMAGE_LAYERS: list[tuple[str, dict[str, Any]]] = [
    ("Conv2D", {"filters": 6, "kernel_size": 3}),
    ("Conv2D", {"filters": 6, "kernel_size": (3, 2), "strides": (2, 3), "padding": "same", "activation": "relu"}),
    ("Conv2D", {"filters": 4, "kernel_size": 3, "groups": 2, "use_bias": False, "activation": "tanh"}),
    ("Conv2D", {"filters": 5, "kernel_size": 3, "dilation_rate": 2, "padding": "SAME", "activation": "gelu"}),
    ("DepthwiseConv2D", {"kernel_size": 3, "depth_multiplier": 2, "padding": "same", "strides": 2}),
    ("DepthwiseConv2D", {"kernel_size": (2, 3), "activation": "sigmoid", "use_bias": False}),
    ("MaxPooling2D", {}),
    ("MaxPooling2D", {"pool_size": 3, "strides": 2, "padding": "same"}),
    ("AveragePooling2D", {"pool_size": 2}),
    # Where "same" pads one side more, Keras on torch counts the padding, and TensorFlow, like this, does not.
    ("AveragePooling2D", {"pool_size": 3, "strides": (2, 1), "padding": "same"}),
    ("GlobalMaxPooling2D", {}),
    ("GlobalMaxPooling2D", {"keepdims": True}),
    ("GlobalAveragePooling2D", {}),
    ("GlobalAveragePooling2D", {"keepdims": True}),
    ("ZeroPadding2D", {}),
    ("ZeroPadding2D", {"padding": ((1, 2), (0, 3))}),
    ("Flatten", {}),
    ("Reshape", {"target_shape": (4, -1)}),
    ("BatchNormalization", {}),
    ("BatchNormalization", {"scale": False, "momentum": 0.5, "epsilon": 0.1}),
    ("Softmax", {}),
    ("Softmax", {"axis": 1}),
    ("ReLU", {"max_value": 1.0, "negative_slope": 0.1, "threshold": 0.5}),
    ("ReLU", {"max_value": 6}),
    ("LeakyReLU", {}),
    ("ELU", {"alpha": 0.7}),
    ("Dropout", {"rate": 0.4}),
    ("Dense", {"units": 3, "activation": "softplus"}),
]
IMAGE_LAYERS += [
    ("Conv2DTranspose", {"filters": 3, "kernel_size": 3, "strides": 2, "activation": "tanh"}),
    ("Conv2DTranspose", {"filters": 3, "kernel_size": (4, 3), "strides": 2, "padding": "same"}),
    ("Conv2DTranspose", {"filters": 2, "kernel_size": 2, "strides": 2, "padding": "same", "use_bias": False}),
    ("Conv2DTranspose", {"filters": 2, "kernel_size": 2, "dilation_rate": 2}),
    ("Conv2DTranspose", {"filters": 2, "kernel_size": 3, "strides": 2, "output_padding": 1}),
    ("Conv2DTranspose", {"filters": 2, "kernel_size": 3, "strides": 2, "output_padding": 1, "padding": "same"}),
    ("SeparableConv2D", {"filters": 5, "kernel_size": 3, "padding": "same", "depth_multiplier": 2}),
    ("SeparableConv2D", {"filters": 5, "kernel_size": 3, "strides": 2, "activation": "relu", "use_bias": False}),
    ("LayerNormalization", {}),
    ("LayerNormalization", {"axis": [1, 2, 3], "epsilon": 0.1, "center": False}),
    ("UpSampling2D", {}),
    ("UpSampling2D", {"size": (3, 2), "interpolation": "bilinear"}),
    ("Cropping2D", {"cropping": ((1, 2), (0, 3))}),
    ("Cropping2D", {"cropping": 1}),
]
OTHER_LAYERS: list[tuple[str, dict[str, Any]]] = [
    ("Conv1D", {"filters": 6, "kernel_size": 3, "strides": 2, "padding": "same", "activation": "relu"}),
    ("Conv1D", {"filters": 6, "kernel_size": 2, "dilation_rate": 3, "groups": 2}),
    ("Conv3D", {"filters": 3, "kernel_size": (2, 3, 1), "strides": (1, 2, 1)}),
    ("Conv3D", {"filters": 3, "kernel_size": 3, "padding": "same", "activation": "tanh"}),
    ("Conv1DTranspose", {"filters": 3, "kernel_size": 4, "strides": 2, "padding": "same"}),
    ("Conv1DTranspose", {"filters": 3, "kernel_size": 3, "strides": 2}),
    ("Conv3DTranspose", {"filters": 2, "kernel_size": 2, "strides": 2}),
    ("SeparableConv1D", {"filters": 5, "kernel_size": 3, "depth_multiplier": 2}),
    ("DepthwiseConv1D", {"kernel_size": 3, "depth_multiplier": 2, "padding": "same"}),
    ("MaxPooling1D", {}),
    ("MaxPooling1D", {"pool_size": 3, "strides": 1, "padding": "same"}),
    ("MaxPooling3D", {}),
    ("AveragePooling1D", {"pool_size": 3, "strides": 2}),
    ("AveragePooling3D", {"pool_size": 2}),
    ("GlobalMaxPooling1D", {}),
    ("GlobalMaxPooling3D", {"keepdims": True}),
    ("GlobalAveragePooling1D", {"keepdims": True}),
    ("GlobalAveragePooling3D", {}),
    ("UpSampling1D", {}),
    ("UpSampling3D", {"size": (1, 2, 3)}),
    ("Cropping1D", {}),
    ("Cropping3D", {"cropping": (1, 0, 1)}),
    ("ZeroPadding1D", {"padding": (2, 1)}),
    ("ZeroPadding3D", {}),
]
ACTIVATIONS = ["linear", "relu", "relu6", "leaky_relu", "elu", "selu", "tanh", "sigmoid", "hard_sigmoid", "silu"]
ACTIVATIONS += ["swish", "gelu", "softplus", "hard_silu", "softmax", "log_softmax"]
IMAGE_LAYERS += [("Activation", {"activation": name}) for name in ACTIVATIONS]


def named(case: tuple[str, dict[str, Any]]) -> str:
    kind, arguments = case
    return f"{kind}-{'-'.join(map(str, arguments.values()))}"


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("case", IMAGE_LAYERS, ids=named)
def test_layer_and_its_gradients(keras: Any, case: tuple[str, dict[str, Any]], data_format: str) -> None:
    kind, arguments = case
    if data_format == "channels_first":
        if "data_format" not in inspect.signature(getattr(layers, kind)).parameters:
            assert kind not in {"Conv2D", "MaxPooling2D", "Flatten"}
            return
        arguments = arguments | {"data_format": data_format}
    images = IMAGES if data_format == "channels_last" else np.ascontiguousarray(IMAGES.transpose(0, 3, 1, 2))
    agree(keras, kind, arguments, images)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("case", OTHER_LAYERS, ids=named)
def test_layer_over_one_or_three_axes(keras: Any, case: tuple[str, dict[str, Any]], data_format: str) -> None:
    kind, arguments = case
    if data_format == "channels_first":
        if "data_format" not in inspect.signature(getattr(layers, kind)).parameters:
            assert kind in {"Cropping1D", "UpSampling1D"}
            return
        arguments = arguments | {"data_format": data_format}
    values = RNG.standard_normal((3, 7, 4) if "1D" in kind else (2, 5, 6, 4, 2)).astype(np.float32)
    agree(keras, kind, arguments, values if data_format == "channels_last" else np.moveaxis(values, -1, 1).copy())


def agree(keras: Any, kind: str, arguments: dict[str, Any], images: np.ndarray) -> None:
    """Shapes, weights, outputs and gradients of a layer and of Keras'."""
    import torch

    theirs, ours = getattr(keras.layers, kind)(**arguments), getattr(layers, kind)(**arguments)
    theirs.build(images.shape)
    assert ours(images).shape == tuple(theirs.compute_output_shape(images.shape))
    assert tuple(ours.compute_output_shape((None, *images.shape[1:]))) == tuple(
        theirs.compute_output_shape((None, *images.shape[1:]))
    )
    values = [RNG.standard_normal(w.shape).astype(np.float32) ** 2 + 0.1 for w in theirs.get_weights()]
    theirs.set_weights(values)
    ours.set_weights(values)
    assert [w.shape for w in ours.weights] == [tuple(w.shape) for w in theirs.weights]
    assert [w.name for w in ours.weights] == [w.name for w in theirs.weights]
    assert ours.count_params() == theirs.count_params()
    close(ours(images), theirs(images).detach())
    if kind == "Dropout":
        return
    tensor = torch.tensor(images, requires_grad=True)
    outputs = theirs(tensor, training=True) if kind == "BatchNormalization" else theirs(tensor)
    gradient = RNG.standard_normal(outputs.shape).astype(np.float32)
    outputs.backward(torch.tensor(gradient))
    close(ours(images, training=True), outputs.detach())
    close(ours.backward(gradient.copy()), tensor.grad, 1e-4)
    for mine, other in zip(ours.trainable_weights, theirs.trainable_weights, strict=True):
        close(mine.gradient, other.value.grad, 1e-4)
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        close(mine, other)


MERGING = ["Add", "Average", "Maximum", "Minimum", "Multiply", "Concatenate"]


@pytest.mark.parametrize("kind", MERGING)
def test_merging_layer_and_its_gradients(keras: Any, kind: str) -> None:
    import torch

    inputs = [IMAGES, IMAGES[::-1].copy(), np.where(IMAGES > 0, IMAGES, 0.5).astype(np.float32)]
    theirs, ours = getattr(keras.layers, kind)(), getattr(layers, kind)()
    tensors = [torch.tensor(array, requires_grad=True) for array in inputs]
    outputs = theirs(tensors)
    gradient = RNG.standard_normal(outputs.shape).astype(np.float32)
    outputs.backward(torch.tensor(gradient))
    close(ours(inputs, training=True), outputs.detach())
    for mine, other in zip(ours.backward(gradient.copy()), tensors, strict=True):
        close(mine, other.grad)


LAYER_NAMES = sorted({kind for kind, _ in IMAGE_LAYERS + OTHER_LAYERS} | {"InputLayer", *MERGING})


def plain(default: Any) -> Any:
    """One number stands for the same along every axis."""
    return default[0] if isinstance(default, tuple) and len(set(default)) == 1 and default[0] in (1, 2) else default


@pytest.mark.parametrize("kind", LAYER_NAMES)
def test_arguments_and_defaults(keras: Any, kind: str) -> None:
    ours = inspect.signature(getattr(layers, kind).__init__).parameters
    theirs = inspect.signature(getattr(keras.layers, kind).__init__).parameters
    left_out = {
        *("lora_rank", "lora_alpha", "quantization_config", "renorm", "renorm_clipping", "renorm_momentum"),
        *("synchronized", "sparse", "ragged", "input_tensor", "optional"),
    }
    wanted = {name: plain(p.default) for name, p in theirs.items() if name not in left_out}
    assert {name: plain(p.default) for name, p in ours.items()} == wanted
    assert [name for name in ours if name in theirs] == list(wanted)


@pytest.mark.parametrize(
    ("module", "names"),
    [
        (optimizers, "SGD RMSprop Adam AdamW"),
        (losses, "SparseCategoricalCrossentropy CategoricalCrossentropy BinaryCrossentropy MeanSquaredError"),
        (losses, "MeanAbsoluteError"),
        (initializers, "Constant RandomNormal RandomUniform TruncatedNormal GlorotUniform HeNormal VarianceScaling"),
        (regularizers, "L1 L2 L1L2"),
    ],
)
def test_defaults_of_the_rest(keras: Any, module: Any, names: str) -> None:
    peer = getattr(keras, module.__name__.split(".")[-1])
    for name in names.split():
        ours = inspect.signature(getattr(module, name).__init__).parameters
        theirs = inspect.signature(getattr(peer, name).__init__).parameters
        common = [key for key in theirs if key in ours]
        assert [key for key in ours if key in theirs] == common, name
        assert {key: ours[key].default for key in common} == {key: theirs[key].default for key in common}, name


# --- optimizers, losses, metrics ------------------------------------------------------------------------------------

OPTIMIZERS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"learning_rate": 0.1}),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9}),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"learning_rate": 0.1, "clipnorm": 0.05}),
    ("SGD", {"learning_rate": 0.1, "clipvalue": 0.01}),
    ("SGD", {"learning_rate": 0.1, "global_clipnorm": 0.1}),
    ("RMSprop", {}),
    ("RMSprop", {"learning_rate": 0.01, "momentum": 0.5, "centered": True}),
    ("Adam", {}),
    ("Adam", {"learning_rate": 0.01, "amsgrad": True}),
    ("AdamW", {"learning_rate": 0.01}),
]


def network(module: Any) -> Any:
    return module.models.Sequential(
        [
            module.Input((9, 8, 4)) if hasattr(module, "Input") else module.layers.Input((9, 8, 4)),
            module.layers.Conv2D(6, 3, activation="tanh"),
            module.layers.AveragePooling2D(2),
            module.layers.BatchNormalization(),
            module.layers.Flatten(),
            module.layers.Dense(10, activation="relu", kernel_regularizer="l2"),
            module.layers.Dense(3, activation="softmax"),
        ]
    )


class Ours:
    """fastconv's modules under the names that `network` uses."""

    layers, models = layers, models


@pytest.mark.parametrize("case", OPTIMIZERS, ids=named)
def test_steps_of_training(keras: Any, case: tuple[str, dict[str, Any]]) -> None:
    kind, arguments = case
    labels = np.array([0, 2, 1, 1, 0])
    theirs, ours = network(keras), network(Ours)
    # Adam divides a gradient by its own size: of a gradient that is all but zero it makes a step of rounding errors.
    # So the weights are the same in every run, and such that nothing comes near the tolerance.
    rng = np.random.default_rng(4)
    values = [0.3 * rng.standard_normal(w.shape).astype(np.float32) for w in theirs.get_weights()]
    values = [np.abs(value) if value.ndim == 1 else value for value in values]  # a variance is not negative
    theirs.set_weights(values)
    ours.set_weights(values)
    close(ours.predict(IMAGES, verbose=0), theirs.predict(IMAGES, verbose=0))
    for model, module in ((theirs, keras.optimizers), (ours, optimizers)):
        model.compile(getattr(module, kind)(**arguments), "sparse_categorical_crossentropy", metrics=["accuracy"])
    for _ in range(3):
        close(ours.train_on_batch(IMAGES, labels), theirs.train_on_batch(IMAGES, labels))
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        close(mine, other)
    close(ours.test_on_batch(IMAGES, labels), theirs.test_on_batch(IMAGES, labels))
    close(ours.evaluate(IMAGES, labels, verbose=0), theirs.evaluate(IMAGES, labels, verbose=0))


SCHEDULES = [
    ("ExponentialDecay", (0.1, 3, 0.5)),
    ("ExponentialDecay", (0.1, 3, 0.5, True)),
    ("InverseTimeDecay", (0.1, 3, 0.5)),
    ("PiecewiseConstantDecay", ([2, 5], [0.3, 0.2, 0.1])),
    ("PolynomialDecay", (0.1, 4, 0.01, 2.0, True)),
    ("CosineDecay", (0.1, 6, 0.1, "CosineDecay", 0.3, 2)),
]


@pytest.mark.parametrize(("kind", "arguments"), SCHEDULES)
def test_schedules(keras: Any, kind: str, arguments: tuple[Any, ...]) -> None:
    theirs = getattr(keras.optimizers.schedules, kind)(*arguments)
    ours = getattr(optimizers.schedules, kind)(*arguments)
    for step in range(12):
        close(ours(step), float(theirs(step)), 1e-6)


PROBABILITIES = np.abs(RNG.standard_normal((6, 4)).astype(np.float32)) / 2
PROBABILITIES[0] = [1e-9, 0.2, 0.8, 0.0]
LOSSES: list[tuple[str, dict[str, Any], Any]] = [
    ("SparseCategoricalCrossentropy", {}, np.array([0, 3, 1, 2, 2, 0])),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, np.array([[0], [3], [1], [2], [2], [0]])),
    ("SparseCategoricalCrossentropy", {"ignore_class": 2}, np.array([0, 3, 1, 2, 2, 0])),
    ("CategoricalCrossentropy", {}, np.eye(4)[[0, 3, 1, 2, 2, 0]]),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}, np.eye(4)[[0, 3, 1, 2, 2, 0]]),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.2}, np.eye(4)[[0, 3, 1, 2, 2, 0]]),
    ("BinaryCrossentropy", {}, np.eye(4)[[0, 3, 1, 2, 2, 0]]),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, np.eye(4)[[0, 3, 1, 2, 2, 0]]),
    ("MeanSquaredError", {}, RNG.standard_normal((6, 4))),
    ("MeanAbsoluteError", {"reduction": "sum"}, RNG.standard_normal((6, 4))),
    ("MeanSquaredError", {"reduction": "mean_with_sample_weight"}, RNG.standard_normal((6, 4))),
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("case", LOSSES, ids=lambda case: named(case[:2]))
def test_losses_and_their_gradients(keras: Any, case: tuple[str, dict[str, Any], Any], weighted: bool) -> None:
    import torch

    kind, arguments, truth = case
    weights = np.array([1, 2, 0, 1, 0.5, 3], np.float32) if weighted else None
    predicted = PROBABILITIES
    ours, theirs = getattr(losses, kind)(**arguments), getattr(keras.losses, kind)(**arguments)
    close(ours(truth, predicted, weights), float(theirs(truth, predicted, sample_weight=weights)))
    tensor = torch.tensor(predicted, requires_grad=True)
    value = theirs(torch.tensor(truth), tensor, sample_weight=None if weights is None else torch.tensor(weights))
    value.backward()
    prepared = ours.prepare(np.asarray(truth), predicted.shape, predicted.dtype)
    mine, gradient = ours.value_and_gradient(prepared, predicted.copy(), weights)
    close(mine, float(value))
    close(gradient, tensor.grad)


METRICS: list[tuple[str, dict[str, Any], Any]] = [
    ("BinaryAccuracy", {"threshold": 0.3}, np.eye(4)[[0, 3, 1, 2, 2, 0]]),
    ("CategoricalAccuracy", {}, np.eye(4)[[0, 3, 1, 2, 2, 0]]),
    ("SparseCategoricalAccuracy", {}, np.array([0, 3, 1, 2, 2, 0])),
    ("TopKCategoricalAccuracy", {"k": 2}, np.eye(4)[[0, 3, 1, 2, 2, 0]]),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, np.array([0, 3, 1, 2, 2, 0])),
    ("MeanSquaredError", {}, RNG.standard_normal((6, 4))),
    ("MeanAbsoluteError", {}, RNG.standard_normal((6, 4))),
]


@pytest.mark.parametrize("case", METRICS, ids=lambda case: named(case[:2]))
def test_metrics(keras: Any, case: tuple[str, dict[str, Any], Any]) -> None:
    kind, arguments, truth = case
    ours, theirs = getattr(metrics, kind)(**arguments), getattr(keras.metrics, kind)(**arguments)
    assert ours.name == theirs.name
    for weights in (None, np.array([1, 2, 0, 1, 0.5, 3])):
        for metric in (ours, theirs):
            metric.update_state(truth, PROBABILITIES, sample_weight=weights)
        close(ours.result(), float(theirs.result()))


def test_accuracy_is_resolved_the_same_way(keras: Any) -> None:
    for shape, truth in (
        (1, np.array([0.0, 1, 1, 0, 1, 0])),
        (4, np.array([0, 1, 2, 3, 1, 2])),
        (4, np.array([[0], [1], [2], [3], [1], [2]])),
        (4, np.eye(4)[[0, 1, 2, 3, 1, 2]]),
    ):
        values = []
        for module in (keras, Ours):
            model = module.models.Sequential([module.layers.Input((7,)), module.layers.Dense(shape)])
            model.set_weights([np.linspace(-1, 1, 7 * shape).reshape(7, shape), np.zeros(shape)])
            model.compile("sgd", "mse" if truth.ndim > 1 and truth.shape[1] > 1 else None, metrics=["acc", "mae"])
            if model.loss is None:
                model.compile("sgd", "mse" if shape == 1 else "sparse_categorical_crossentropy", metrics=["acc"])
            values.append(model.evaluate(ROWS, truth, verbose=0))
        close(*values)


def test_initial_weights_have_the_same_spread(keras: Any) -> None:
    names = "glorot_uniform glorot_normal he_uniform he_normal lecun_uniform lecun_normal truncated_normal"
    for name in [*names.split(), "random_normal", "random_uniform", "zeros", "ones"]:
        ours = initializers.get(name)((3, 3, 64, 128))
        theirs = np.asarray(keras.initializers.get(name)((3, 3, 64, 128)))
        assert ours.dtype == np.float32
        close(ours.std(), theirs.std(), 5e-3)
        if "normal" not in name:  # Keras on torch now and then lets a truncated normal pass its limit
            close(np.abs(ours).max(), np.abs(theirs).max(), 1e-3)
        assert abs(float(ours.mean()) - float(theirs.mean())) < 1e-3


@pytest.mark.parametrize("regularizer", [("L1", (0.1,)), ("L2", (0.1,)), ("L1L2", (0.1, 0.2))])
def test_regularizers(keras: Any, regularizer: tuple[str, tuple[float, ...]]) -> None:
    kind, arguments = regularizer
    ours, theirs = getattr(regularizers, kind)(*arguments), getattr(keras.regularizers, kind)(*arguments)
    close(ours(ROWS), float(theirs(ROWS)))


def test_utils(keras: Any) -> None:
    for labels, classes in (([0, 2, 1], None), ([[1], [0]], 4), ([[0, 1], [2, 1]], 3)):
        close(utils.to_categorical(labels, classes), keras.utils.to_categorical(labels, classes))
    close(utils.normalize(ROWS, axis=1), keras.utils.normalize(ROWS, axis=1))


# --- whole scripts --------------------------------------------------------------------------------------------------

SCRIPT = """
import numpy as np
from PACKAGE import Input, Sequential, callbacks, layers, models, optimizers, utils

utils.set_random_seed(1)
rng = np.random.default_rng(0)
labels = rng.integers(0, 3, 96)
images = (rng.random((96, 16, 16)) * 60 + 60 * (np.arange(3) == labels[:, None])[:, :, None].repeat(16, 1)[:, :16]
          ).astype("uint8")
x_train, y_train, x_test, y_test = images[:72], labels[:72], images[72:], labels[72:]
x_train = x_train[..., np.newaxis] / 255.0
x_test = np.expand_dims(x_test, -1).astype("float32") / 255

model = models.Sequential()
model.add(layers.Conv2D(6, kernel_size=(5, 5), strides=(1, 1), activation="tanh", padding="same",
                        input_shape=(16, 16, 1)))
model.add(layers.AveragePooling2D(pool_size=(2, 2), strides=(2, 2), padding="valid"))
model.add(layers.Conv2D(16, (5, 5), activation="tanh"))
model.add(layers.MaxPooling2D())
model.add(layers.Flatten())
model.add(layers.Dense(24, activation="relu", kernel_initializer="he_normal"))
model.add(layers.Dropout(0.0))
model.add(layers.Dense(3, activation="softmax"))
model.summary(print_fn=lambda text: None)

weights = [np.random.default_rng(i).standard_normal(w.shape).astype("float32") * 0.1
           for i, w in enumerate(model.get_weights())]
model.set_weights(weights)
model.compile(optimizer=optimizers.SGD(learning_rate=0.05, momentum=0.9), loss="categorical_crossentropy",
              metrics=["accuracy"])
stop = callbacks.EarlyStopping(monitor="val_loss", patience=2, restore_best_weights=True)
history = model.fit(x_train, utils.to_categorical(y_train, 3), batch_size=16, epochs=4, verbose=0, shuffle=False,
                    validation_split=0.25, callbacks=[stop])
loss, accuracy = model.evaluate(x_test, utils.to_categorical(y_test, 3), verbose=0)
predicted = np.argmax(model.predict(x_test, verbose=0), axis=1)
found = [history.history, loss, accuracy, model.get_weights(), predicted, len(model.layers), model.count_params(),
         [layer.name for layer in model.layers], model.input_shape, model.output_shape]
"""


SECOND_SCRIPT = """
import numpy as np
import PACKAGE as keras
from PACKAGE import layers
from PACKAGE.callbacks import ReduceLROnPlateau
from PACKAGE.optimizers.schedules import ExponentialDecay

keras.utils.set_random_seed(3)
rng = np.random.default_rng(2)
labels = rng.integers(0, 4, 120)
x_train = rng.random((120, 12, 12, 3)) + labels[:, None, None, None] / 4
model = keras.Sequential([
    keras.Input(shape=(12, 12, 3)),
    layers.ZeroPadding2D(1),
    layers.Conv2D(8, 3, use_bias=False, kernel_regularizer=keras.regularizers.L2(1e-3)),
    layers.BatchNormalization(),
    layers.LeakyReLU(negative_slope=0.1),
    layers.MaxPooling2D(pool_size=(2, 2)),
    layers.DepthwiseConv2D(3, padding="same", activation="elu"),
    layers.Activation("relu"),
    layers.GlobalAveragePooling2D(),
    layers.Dense(4),
], name="second")
model.set_weights([np.random.default_rng(i).random(w.shape).astype("float32") * 0.3
                   for i, w in enumerate(model.get_weights())])
model.compile(
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    optimizer=keras.optimizers.Adam(learning_rate=ExponentialDecay(0.01, 5, 0.9)),
    metrics=[keras.metrics.SparseCategoricalAccuracy(name="right"), keras.metrics.SparseTopKCategoricalAccuracy(k=2)],
)
history = model.fit(x_train, labels, batch_size=32, epochs=3, verbose=0, shuffle=False,
                    validation_data=(x_train[:20], labels[:20]), class_weight={0: 2.0, 3: 0.5})
frozen = model.get_layer(index=1)
frozen.trainable = False
model.compile(loss="sparse_categorical_crossentropy", optimizer="rmsprop", metrics=["acc"])
second = model.fit(x_train, labels, batch_size=50, epochs=1, verbose=0, shuffle=False,
                   callbacks=[ReduceLROnPlateau(monitor="loss")])
loss, accuracy = model.evaluate(x_train, labels, verbose=0)
predicted = model.predict(x_train, batch_size=100, verbose=0).argmax(-1)
found = [history.history | {"second_" + k: v for k, v in second.history.items() if k != "learning_rate"}, loss,
         accuracy, model.get_weights(), predicted, model.name, len(model.trainable_weights),
         len(model.non_trainable_weights), [layer.name for layer in model.layers], model.count_params()]
"""


def run(source: str, package: str) -> list[Any]:
    names: dict[str, Any] = {}
    exec(compile(source.replace("PACKAGE", package), f"<script for {package}>", "exec"), names)
    found: list[Any] = names["found"]
    return found


# Adam and RMSprop divide a gradient by its own size, so that the last bits of a gradient near zero become a step.
@pytest.mark.parametrize(("script", "drift"), [(SCRIPT, 2e-5), (SECOND_SCRIPT, 2e-3)], ids=["first", "second"])
def test_a_script_with_only_its_import_line_changed(keras: Any, script: str, drift: float) -> None:
    keras.utils.clear_session()
    utils.clear_session()
    theirs, ours = run(script, "keras"), run(script, "fastconv")
    assert ours[0].keys() == theirs[0].keys()
    for name, values in theirs[0].items():
        close(ours[0][name], values, max(drift / 10, 2e-5))
    close(ours[1:3], theirs[1:3], max(drift / 10, 2e-5))
    for mine, other in zip(ours[3], theirs[3], strict=True):
        close(mine, other, drift)
    assert ours[4].tolist() == theirs[4].tolist()
    assert ours[5:] == theirs[5:]


def test_lenet5_predicts_the_same(keras: Any) -> None:
    theirs = keras.Sequential(
        [
            keras.Input((32, 32, 1)),
            keras.layers.Conv2D(6, 5, activation="tanh"),
            keras.layers.AveragePooling2D(2),
            keras.layers.Conv2D(16, 5, activation="tanh"),
            keras.layers.AveragePooling2D(2),
            keras.layers.Conv2D(120, 5, activation="tanh"),
            keras.layers.Flatten(),
            keras.layers.Dense(84, activation="tanh"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    ours = models.LeNet5()
    assert ours.count_params() == theirs.count_params() == 61706
    ours.set_weights(theirs.get_weights())
    images = RNG.integers(0, 2, (7, 32, 32, 1)).astype(np.uint8)
    close(ours.predict(images, verbose=0), theirs.predict(images, verbose=0))


def branches(module: Any) -> Any:
    x = module.layers.Input((9, 8, 4))
    y = module.layers.Conv2D(6, 3, padding="same", activation="relu", name="c1")(x)
    dense = module.layers.Dense(5, activation="tanh", name="shared")
    z = module.layers.Add(name="add")([module.layers.Conv2D(6, 1, name="c2")(x), y])
    both = module.layers.Concatenate(name="both")([z, module.layers.MaxPooling2D(3, 1, "same", name="p")(y)])
    flat = module.layers.Flatten(name="flat")
    pooled = module.layers.GlobalAveragePooling2D(name="g")
    far = module.layers.Dense(3, activation="softmax", name="far")(module.layers.Dense(5, name="up")(flat(both)))
    near = module.layers.Dense(1, name="near")(dense(dense(module.layers.Dense(5, name="d")(pooled(y)))))
    return module.models.Model(x, [far, near])


def test_steps_of_training_a_model_with_branches(keras: Any) -> None:
    theirs, ours = branches(keras), branches(Ours)
    assert [layer.name for layer in ours.layers][1:] == [layer.name for layer in theirs.layers][1:]
    assert [v.shape for v in ours.weights] == [tuple(v.shape) for v in theirs.weights]
    values = [0.2 * RNG.standard_normal(w.shape).astype(np.float32) for w in theirs.get_weights()]
    theirs.set_weights(values)
    ours.set_weights(values)
    for mine, other in zip(ours.predict(IMAGES, verbose=0), theirs.predict(IMAGES, verbose=0), strict=True):
        close(mine, other)
    targets = [np.array([0, 2, 1, 1, 0]), RNG.standard_normal((5, 1)).astype(np.float32)]
    for model in (theirs, ours):
        model.compile(
            "sgd", ["sparse_categorical_crossentropy", "mse"], loss_weights=[1.0, 0.3], metrics=[["accuracy"], ["mae"]]
        )
        model.fit(IMAGES, targets, epochs=3, batch_size=2, shuffle=False, verbose=0)
    assert ours.history.history.keys() == theirs.history.history.keys()
    for name, series in theirs.history.history.items():
        close(ours.history.history[name], series)
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        close(mine, other)


# --- errors ---------------------------------------------------------------------------------------------------------

MISTAKES = [
    "layers.Conv2D(0, 3)",
    "layers.Conv2D(4, 0)",
    "layers.Conv2D(4, 3, strides=0)",
    "layers.Conv2D(4, (3, 3, 3))",
    "layers.Conv2D(4, 3, padding='some')",
    "layers.Conv2D(4, 3, groups=3)",
    "layers.Conv2D(4, 3, strides=2, dilation_rate=2)",
    "layers.Conv2D(4, 3, activation='nothing')",
    "layers.Conv2D(4, 3, data_format='NHWC')",
    "layers.Conv2D(4, 3)(np.zeros((2, 8, 8), 'float32'))",
    "layers.Conv2D(4, 9)(np.zeros((2, 8, 8, 1), 'float32'))",
    "layers.Conv2D(4, 3, groups=2)(np.zeros((2, 8, 8, 3), 'float32'))",
    "layers.MaxPooling2D(0)",
    "layers.Dense(0)",
    "layers.Dense(3, wrong=1)",
    "layers.Dense(3, kernel_initializer='nothing')",
    "layers.Dropout(1.5)",
    "layers.ReLU(negative_slope=-1.0)",
    "layers.LeakyReLU(negative_slope=-1.0)",
    "layers.ZeroPadding2D((1, 2, 3))",
    "layers.Dense(3).count_params()",
    "layers.Reshape((5,))(np.zeros((2, 8), 'float32'))",
    "layers.Dense(3).set_weights([np.zeros(3)])",
    "models.Sequential([layers.Input((4,)), layers.Dense(3)]).set_weights([np.zeros((4, 4)), np.zeros(3)])",
    "models.Sequential([layers.Input((4,)), layers.Dense(3)]).fit(np.zeros((2, 4)), np.zeros(2))",
    "models.Sequential([layers.Input((4,)), layers.Dense(3)]).predict(np.zeros((2, 5)))",
    "models.Sequential([layers.Dense(3, name='a'), layers.Dense(3, name='a')])",
    "models.Sequential([1])",
    "models.Sequential([layers.Dense(3)]).get_layer('b')",
    "optimizers.SGD(momentum=2.0)",
    "optimizers.SGD(clipnorm=1.0, clipvalue=1.0)",
    "optimizers.SGD(wrong=1)",
    "optimizers.Adam(learning_rate='fast')",
    "optimizers.get('nothing')",
    "losses.get('nothing')",
    "utils.to_categorical([0, 5], 3)",
]


@pytest.mark.parametrize("expression", MISTAKES)
def test_mistakes_are_errors_in_both(keras: Any, expression: str) -> None:
    ours = {"np": np, "layers": layers, "models": models, "optimizers": optimizers, "losses": losses, "utils": utils}
    theirs = {"np": np} | {name: getattr(keras, name) for name in ours if name != "np"}
    with pytest.raises(Exception):  # noqa: B017, PT011 - what Keras raises is often its backend's
        eval(expression, theirs)
    with pytest.raises(ValueError):  # noqa: PT011 - the texts are asserted where each class is tested
        eval(expression, ours)
