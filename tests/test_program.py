"""Programs of the engine: what a model predicts in one call is what its layers give one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv import _core, layers, models
from fastconv.layers.layer import Layer
from fastconv.models import LeNet5, Sequential

ISAS = fastconv.available_isas()
RNG = np.random.default_rng(20)
# Single images, less and more than half a vector of them, whole vectors, and several blocks of vectors.
BATCHES = (1, 2, 5, 8, 9, 16, 17, 33, 130)


def one_by_one(model: Any, x: Any) -> Any:
    for layer in model.layers:
        x = layer.call(np.asarray(x, layer.dtype))
    return x


def randomised(model: Any) -> Any:
    for weight in model.weights:
        value = RNG.standard_normal(weight.shape) * 0.3
        weight.assign(np.abs(value) + 0.5 if weight.name == "moving_variance" else value)
    return model


def images(count: int, shape: tuple[int, ...], dtype: Any = np.float32) -> Any:
    return RNG.standard_normal((count, *shape)).astype(dtype)


NETWORKS: dict[str, tuple[tuple[int, ...], list[Any]]] = {
    "lenet": ((32, 32, 1), LeNet5().layers),
    "same": (
        (9, 7, 3),
        [
            layers.Conv2D(5, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2, padding="same"),
            layers.Conv2D(20, (1, 4), padding="same", use_bias=False),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ],
    ),
    "strided": (
        (13, 15, 4),
        [
            layers.Conv2D(18, 5, strides=(2, 3), padding="same", activation="silu"),
            layers.Conv2D(6, 2, dilation_rate=2, activation="elu"),
            layers.Flatten(),
            layers.Dense(33, activation="gelu"),
            layers.Dense(2, activation="log_softmax"),
        ],
    ),
    "grouped": (
        (8, 8, 6),
        [
            layers.Conv2D(12, 3, groups=3, padding="same", activation="leaky_relu"),
            layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same"),
            layers.ReLU(6.0),
            layers.AveragePooling2D(3, strides=2, padding="same"),
            layers.Softmax(),
        ],
    ),
    "normalised": (
        (6, 6, 2),
        [
            layers.BatchNormalization(),
            layers.ZeroPadding2D(((1, 0), (2, 1))),
            layers.Conv2D(17, 3),
            layers.BatchNormalization(scale=False),
            layers.Activation("tanh"),
            layers.Dropout(0.5),
            layers.Conv2D(4, 1, activation="sigmoid"),
            layers.BatchNormalization(center=False),
            layers.GlobalMaxPooling2D(keepdims=True),
        ],
    ),
    "planes": (
        (15, 18, 1),
        [
            layers.Conv2D(3, (4, 3)),
            layers.ELU(0.5),
            layers.MaxPooling2D((3, 2), strides=(2, 1)),
            layers.AveragePooling2D((2, 3), strides=2),
            layers.Conv2D(19, 2, activation="tanh"),
            layers.Flatten(),
            layers.Dense(4),
        ],
    ),
    "bands": (
        (13, 31, 1),
        [
            layers.Conv2D(3, (2, 4), activation="tanh"),
            layers.MaxPooling2D(2),
            layers.Conv2D(9, 2, padding="same", activation="sigmoid"),
            layers.MaxPooling2D((2, 3), strides=(2, 1)),
            layers.Conv2D(4, 1, strides=(1, 2)),
            layers.BatchNormalization(),
            layers.AveragePooling2D((3, 2)),
            layers.Flatten(),
            layers.Dense(3),
        ],
    ),
    "other rows for a band": (
        (8, 8, 1),
        [layers.Conv2D(4, 1), layers.Reshape((64, 1, 4)), layers.MaxPooling2D((2, 1)), layers.Flatten()],
    ),
    "other channels for planes": (
        (8, 8, 1),
        [
            layers.Conv2D(2, 1),
            layers.Reshape((8, 4, 4)),
            layers.MaxPooling2D(2),
            layers.Reshape((4, 4, 2)),
            layers.AveragePooling2D(1),
            layers.Conv2D(3, 1),
        ],
    ),
    "rows": (
        (20,),
        [
            layers.Dense(48, activation="hard_silu"),
            layers.Reshape((4, 4, 3)),
            layers.Conv2D(7, 2, activation="softplus"),
            layers.Reshape((9, 7)),
            layers.Dense(5, activation="selu"),
        ],
    ),
}


def network(name: str, dtype: str = "float32") -> Any:
    shape, like = NETWORKS[name]
    made = [type(layer).from_config(layer.get_config() | {"dtype": dtype}) for layer in like]
    return randomised(Sequential([layers.Input(shape, dtype=dtype), *made]))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("isa", ISAS)
def test_a_program_agrees_with_its_layers(name: str, dtype: str, isa: str) -> None:
    model, (shape, _) = network(name, dtype), NETWORKS[name]
    with fastconv.use_isa(isa):
        for count in BATCHES:
            x = images(count, shape, dtype)
            want = one_by_one(model, x)
            got = model.predict_on_batch(x)
            assert got.shape == want.shape
            assert got.dtype == want.dtype
            bound = 1e-6 if dtype == "float32" else 1e-14
            assert np.abs(got - want).max() <= bound * max(1.0, np.abs(want).max())
        assert model.chain((None, *shape)).program(shape).chosen["isa"] == isa


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("isa", ISAS)
def test_neither_batch_nor_threads_change_a_bit(name: str, isa: str) -> None:
    model, (shape, _) = network(name), NETWORKS[name]
    x = images(131, shape)
    before = fastconv.get_num_threads()
    with fastconv.use_isa(isa):
        try:
            results = []
            for threads in (1, 2, 3):
                fastconv.set_num_threads(threads)
                results.append(model.predict(x, verbose=0))
            for size in (1, 7, 50):
                parts = [model.predict_on_batch(x[i : i + size]) for i in range(0, 131, size)]
                results.append(np.concatenate(parts))
        finally:
            fastconv.set_num_threads(before)
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_no_weight_is_stale() -> None:
    model, x = network("normalised"), images(20, (6, 6, 2))
    model.compile(optimizer="sgd", loss="mse")
    before = model.predict(x, verbose=0)
    changes = [
        lambda: model.fit(x, np.zeros((20, 1, 1, 4)), batch_size=10, verbose=0),
        lambda: model.set_weights([w * 0.9 for w in model.get_weights()]),
        lambda: model.layers[2].kernel.assign(model.layers[2].kernel.numpy() + 0.1),
        lambda: np.multiply(model.layers[2].kernel.value, 1.1, out=model.layers[2].kernel.value),
        lambda: setattr(model.layers[2].bias, "value", model.layers[2].bias.numpy() + 1),
        lambda: model.layers[0].moving_mean.assign([0.5, 0.25]),
        lambda: setattr(model.layers[6], "activation", layers.activations.get("relu")),
        lambda: setattr(model.layers[3], "epsilon", 0.5),
    ]
    for change in changes:
        change()
        after = model.predict(x, verbose=0)
        assert np.abs(after - before).max() > 1e-6
        np.testing.assert_allclose(after, one_by_one(model, x), rtol=1e-5, atol=1e-6)
        before = after


def test_untrainable_layers_still_predict_from_their_weights() -> None:
    model, x = network("normalised"), images(20, (6, 6, 2))
    model.compile(optimizer="sgd", loss="mse")
    model.predict(x, verbose=0)
    model.layers[2].trainable = False
    model.fit(x, np.zeros((20, 1, 1, 4)), batch_size=10, verbose=0)
    np.testing.assert_allclose(model.predict(x, verbose=0), one_by_one(model, x), rtol=1e-5, atol=1e-6)


class Doubled(Layer):
    """A user's own layer, in Python."""

    def call(self, inputs: Any) -> Any:
        return inputs * 2

    def backward(self, grad_outputs: Any) -> Any:
        return grad_outputs * 2


def test_a_layer_of_ones_own_splits_the_program() -> None:
    like = [layers.Conv2D(3, 3, activation="relu"), Doubled(), layers.Flatten(), layers.Dense(2)]
    model = randomised(Sequential([layers.Input((6, 6, 1)), *like]))
    x = images(40, (6, 6, 1))
    assert model.chain((None, 6, 6, 1)).program((6, 6, 1)) is None
    np.testing.assert_allclose(model.predict(x, verbose=0), one_by_one(model, x), rtol=1e-5, atol=1e-6)
    model.compile(optimizer="sgd", loss="mse")
    before = model.evaluate(x, np.zeros((40, 2)), verbose=0)
    model.fit(x, np.zeros((40, 2)), epochs=3, verbose=0)
    assert model.evaluate(x, np.zeros((40, 2)), verbose=0) < before


def test_a_subclass_of_a_known_layer_is_asked_itself() -> None:
    class Shifted(layers.Dense):
        def call(self, inputs: Any, training: bool = False) -> Any:
            return super().call(inputs, training=training) + 1

    model = Sequential([layers.Input((4,)), layers.Dense(3), Shifted(2)])
    x = images(20, (4,))
    np.testing.assert_allclose(model.predict(x, verbose=0), one_by_one(model, x), rtol=1e-5, atol=1e-6)


def test_arrays_that_are_not_plain_are_made_so() -> None:
    model, x = network("lenet"), images(6, (32, 32, 1))
    want = model.predict_on_batch(x)
    spread = np.zeros((6, 32, 64, 1), np.float32)[:, :, ::2]
    spread[...] = x
    for other in (spread, x.astype(">f4"), np.asfortranarray(x), x[::-1][::-1]):
        np.testing.assert_array_equal(model.predict_on_batch(other), want)
    np.testing.assert_array_equal(model.predict(x.astype(np.float64), verbose=0), want)
    assert model.predict_on_batch(x[:0]).shape == (0, 10)


def test_images_of_several_shapes_each_get_a_program() -> None:
    model = randomised(Sequential([layers.Input((None, None, 2)), layers.Conv2D(3, 3), layers.GlobalMaxPooling2D()]))
    for side in (*range(3, 14), 3):
        x = images(3, (side, side + 1, 2))
        np.testing.assert_allclose(model.predict_on_batch(x), one_by_one(model, x), rtol=1e-5, atol=1e-6)


def test_large_images_are_left_to_the_layers() -> None:
    model = Sequential([layers.Input((256, 256, 3)), layers.Conv2D(2, 3), layers.GlobalMaxPooling2D()])
    assert model.chain((None, 256, 256, 3)).program((256, 256, 3)) is None
    x = images(2, (256, 256, 3))
    np.testing.assert_allclose(model.predict_on_batch(x), one_by_one(model, x), rtol=1e-5, atol=1e-6)


def test_prediction_of_many_images_takes_little_memory() -> None:
    model = network("lenet")
    x = images(4096, (32, 32, 1))
    model.predict(x[:64], verbose=0)
    program = model.chain(x.shape).program((32, 32, 1))
    assert program.chosen["thread_bytes"] < 2 << 20
    assert models.LeNet5().predict(x, verbose=0).shape == (4096, 10)


def test_values_that_are_no_numbers_go_through() -> None:
    model = network("same")
    x = images(20, (9, 7, 3))
    x[3, 4, 4, 1] = np.nan
    x[7] = np.inf
    got = model.predict_on_batch(x)
    assert np.isnan(got[3]).all()
    assert np.isfinite(np.delete(got, [3, 7], 0)).all()


def described(height: int, width: int, **step: Any) -> tuple[int, Any]:
    program = _core.Program()
    given = {"kind": _core.STEPS["conv"], "src": (height, width), "ic": 1, "oc": 1, **step}
    status = program.describe(double_precision=False, read=(height, width, 1), made=(1,), steps=[given], facts=[])
    return status, program


def test_extents_that_are_no_number_are_refused() -> None:
    huge = 2**31 - 1  # whose padded image has 2^64 elements
    pad = {"kind": _core.STEPS["pad"], "pad_begin": (huge, huge), "pad_end": (huge, huge)}
    assert described(2, 2, **pad)[0] == _core.OVERFLOW
    assert described(2, 2, kind=_core.STEPS["pad"], pad_begin=(2**62, 0), pad_end=(2**62, 0))[0] == _core.OVERFLOW
    assert described(2, 2, kind=_core.STEPS["pad"], pad_begin=(-1, 0))[0] == _core.BAD_SHAPE


def test_a_kernel_of_the_images_size_that_reaches_past_it() -> None:
    kernel = images(1, (5, 3, 1)).reshape(5, 3, 1, 1)
    status, program = described(5, 3, weights=kernel, kernel=(5, 3), dilation=(1, 2), pad_end=(0, 2))
    assert status == _core.OK
    x = images(20, (5, 3, 1))
    padding = ((0, 0), (0, 2))
    want = fastconv.functional.conv2d(x, kernel, padding=padding, dilation=(1, 2), layout="NHWC")
    np.testing.assert_allclose(program(x), want.reshape(20, 1), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(program(x[:1]), program(x)[:1])
