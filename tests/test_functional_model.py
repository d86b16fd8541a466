"""Model(inputs, outputs): branches, shared layers, several inputs and outputs, gradients, files, mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastconv import Input, Model, Sequential, layers, models, utils
from fastconv.models.functional import Functional
from fastconv.models.graph import Graph

RNG = np.random.default_rng(21)
WIDE = {"dtype": "float64"}


def residual() -> Any:
    x = Input((6, 5, 3), name="image", dtype="float64")
    y = layers.Conv2D(4, 3, padding="same", activation="tanh", **WIDE)(x)
    z = layers.Conv2D(4, 1, **WIDE)(x)
    y = layers.Add(**WIDE)([y, z, layers.Conv2D(4, 3, padding="same", **WIDE)(y)])
    y = layers.Concatenate(**WIDE)([y, x, layers.MaxPooling2D(3, 1, "same", **WIDE)(y)])
    return Model(x, layers.Dense(2, **WIDE)(layers.GlobalAveragePooling2D(**WIDE)(y)), name="residual")


def shared() -> Any:
    """A network that is called on two inputs, one of its layers once more by itself, and a shared dense layer."""
    a, b = Input((5,), name="a", dtype="float64"), Input((5,), name="b", dtype="float64")
    inner = layers.Dense(4, activation="tanh", **WIDE)
    tower = Sequential([Input((5,), dtype="float64"), inner, layers.Dense(3, activation="softplus", **WIDE)])
    gate = layers.Dense(3, activation="sigmoid", **WIDE)
    left, right = tower(a), tower(b)
    left, right = gate(gate(left)), layers.Multiply(**WIDE)([right, gate(right)])
    both = layers.Concatenate(**WIDE)([left, right, inner(a)])
    return Model([a, b], layers.Dense(2, **WIDE)(both), name="shared")


def several() -> Any:
    """Two inputs, three outputs, one of which another follows from, and a model within."""
    a, b = Input((4,), name="a", dtype="float64"), Input((3,), name="b", dtype="float64")
    p = Input((7,), dtype="float64")
    inside = Model(p, [layers.Dense(3, **WIDE)(p), layers.Dense(2, activation="relu", **WIDE)(p)], name="inside")
    first, second = inside(layers.Concatenate(**WIDE)([a, b]))
    third = layers.Subtract(**WIDE)([layers.Dense(3, **WIDE)(second), first])
    return Model([a, b], [first, layers.Dense(1, name="one", **WIDE)(second), third], name="several")


MODELS = {"residual": residual, "shared": shared, "several": several}


def data_for(model: Any, count: int = 3) -> Any:
    arrays = [RNG.standard_normal((count, *tensor.shape[1:])) for tensor in model.inputs]
    return arrays if model.takes_list else arrays[0]


def listed(value: Any) -> list[np.ndarray]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("name", MODELS)
def test_gradients(name: str) -> None:
    model = MODELS[name]()
    given = data_for(model)
    made = listed(model(given))
    directions = [RNG.standard_normal(array.shape) for array in made]

    def total() -> float:
        return sum(float((a * d).sum()) for a, d in zip(listed(model.call(given)), directions, strict=True))

    model(given, training=True)
    seeds: Any = [d.copy() for d in directions]
    found = listed(model.backward(seeds if model.several_outputs else seeds[0]))
    arrays = [*listed(given), *(v.value for v in model.trainable_variables)]
    gradients = [*found, *(v.gradient for v in model.trainable_variables)]
    for array, gradient in zip(arrays, gradients, strict=True):
        for _ in range(min(array.size, 12)):
            index = tuple(int(RNG.integers(0, extent)) for extent in array.shape)
            before, step = array[index], 1e-6
            array[index] = before + step
            above = total()
            array[index] = before - step
            below = total()
            array[index] = before
            np.testing.assert_allclose(gradient[index], (above - below) / (2 * step), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", MODELS)
def test_shapes_configuration_and_files(name: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    given = data_for(model, 5)
    made = listed(model.predict(given, batch_size=2, verbose=0))
    expected = model.output_shape if model.several_outputs else [model.output_shape]
    assert [(None, *array.shape[1:]) for array in made] == expected
    assert [(None, *array.shape[1:]) for array in listed(given)] == (
        model.input_shape if model.takes_list else [model.input_shape]
    )
    for mine, other in zip(made, listed(model.predict_on_batch(given)), strict=True):
        np.testing.assert_array_equal(mine, other)
    config = json.loads(json.dumps(model.get_config()))
    again = Functional.from_config(config)
    assert json.loads(json.dumps(again.get_config())) == config
    again.set_weights(model.get_weights())
    model.compile("adam", "mse")
    targets = [np.ones_like(array) for array in made]
    y = targets if model.several_outputs else targets[0]
    model.fit(given, y, epochs=2, verbose=0)
    model.save(tmp_path / "model.npz")
    loaded = models.load_model(tmp_path / "model.npz")
    assert len(loaded.get_weights()) == len(again.get_weights()) == len(model.get_weights())
    for mine, other in zip(listed(model(given)), listed(loaded(given)), strict=True):
        np.testing.assert_array_equal(mine, other)
    for mine, other in zip(made, listed(again(given)), strict=True):
        np.testing.assert_array_equal(mine, other)
    for one in (model, loaded):
        one.fit(given, y, epochs=1, shuffle=False, verbose=0)
    for mine, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_it_learns_and_reports_each_output() -> None:
    utils.set_random_seed(2)
    a, b = Input((4,), name="a"), Input((3,), name="b")
    h = layers.Dense(12, activation="tanh")(layers.Concatenate()([a, b]))
    total, sign = layers.Dense(1, name="total")(h), layers.Dense(2, activation="softmax", name="sign")(h)
    model = Model({"a": a, "b": b}, {"total": total, "sign": sign})
    assert model.input_names == ["a", "b"]
    assert model.output_names == ["total", "sign"]
    x = {"b": RNG.standard_normal((60, 3)), "a": RNG.standard_normal((60, 4))}
    sums = x["a"].sum(1) + x["b"].sum(1)
    y = {"total": sums, "sign": (sums > 0).astype(int)}
    model.compile(
        "adam",
        {"sign": "sparse_categorical_crossentropy", "total": "mse"},
        loss_weights={"total": 0.5},
        metrics={"sign": ["accuracy"]},
    )
    history = model.fit(x, y, batch_size=10, epochs=30, validation_split=0.2, verbose=0).history
    names = ["loss", "total_loss", "sign_loss", "sign_accuracy"]
    assert list(history) == [*names, *(f"val_{name}" for name in names)]
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    assert list(logs) == names
    np.testing.assert_allclose(logs["loss"], 0.5 * logs["total_loss"] + logs["sign_loss"], rtol=1e-6)
    assert model.evaluate([x["a"], x["b"]], [y["total"], y["sign"]], verbose=0) == list(logs.values())
    heavy = model.evaluate(x, y, sample_weight=np.full(60, 2.0), verbose=0, return_dict=True)
    np.testing.assert_allclose(heavy["loss"], 2 * logs["loss"], rtol=1e-6)
    assert len(model.train_on_batch(x, y)) == len(model.test_on_batch(x, y)) == 4
    assert [array.shape for array in model.predict(x, verbose=0)] == [(60, 1), (60, 2)]


def test_an_output_without_a_loss_leaves_its_layers_alone() -> None:
    x = Input((3,))
    h = layers.Dense(4, name="h")(x)
    model = Model(x, [layers.Dense(1, name="a")(h), layers.Dense(1, name="b", kernel_regularizer="l2")(h)])
    model.compile("sgd", {"a": "mse"})
    before = model.get_weights()
    data, targets = np.ones((4, 3)), [np.ones((4, 1)), np.ones((4, 1))]
    model.fit(data, targets, epochs=3, verbose=0)
    changed = {v.path for v, old in zip(model.weights, before, strict=True) if (v.value != old).any()}
    assert changed == {"h/kernel", "h/bias", "a/kernel", "a/bias", "b/kernel"}
    other = model.get_layer("b").kernel
    gradient = other.regularizer.gradient(other.value)
    model.train_on_batch(data, targets)
    assert np.abs(other.gradient).max() <= np.abs(gradient).max() * 1.001


def test_frozen_layers_and_layers_that_never_train() -> None:
    x = Input((6, 6, 2))
    normal = layers.BatchNormalization(name="normal")
    y = normal(layers.Conv2D(3, 3, name="conv")(x), training=False)
    model = Model(x, layers.Dense(1)(layers.Flatten()(y)))
    images, targets = RNG.standard_normal((4, 6, 6, 2)), np.ones((4, 1))
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="layer 'normal' was called with training=False and keeps nothing"):
        model.fit(images, targets, verbose=0)
    model.get_layer("conv").trainable = normal.trainable = False
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.fit(images, targets, verbose=0)
    changed = [(old != new).any() for old, new in zip(before, model.get_weights(), strict=True)]
    assert changed == [False] * 6 + [True] * 2
    assert Functional.from_config(model.get_config()).get_config() == model.get_config()


def test_arrays_are_let_go_after_their_last_reader() -> None:
    import weakref

    alive: list[Any] = []
    most = 0

    class Watched(layers.Layer):
        def compute_output_shape(self, input_shape: Any) -> Any:
            return input_shape

        def call(self, inputs: np.ndarray) -> np.ndarray:
            nonlocal most
            made = inputs + 1
            alive.append(weakref.ref(made))
            most = max(most, sum(ref() is not None for ref in alive))
            return made

    x = Input((3,))
    y = Watched()(x)
    for _ in range(6):
        y = Watched()(y)
    graph = Graph([x], [y])
    np.testing.assert_array_equal(graph.forward(np.zeros((2, 3), np.float32)), 7)
    assert most <= 2


def test_a_model_of_parts_of_another() -> None:
    model = residual()
    features = Model(model.input, model.layers[1].output)
    assert features.output_shape == (None, 6, 5, 4)
    assert features.layers == model.layers[:2]
    images = data_for(model)
    np.testing.assert_array_equal(features(images), model.layers[1](images))
    deeper = Sequential([features, layers.Flatten(**WIDE), layers.Dense(2, **WIDE)])
    deeper.compile("sgd", "mse")
    before = features.get_weights()
    deeper.fit(images, np.ones((3, 2)), verbose=0)
    assert all((old != new).any() for old, new in zip(before, features.get_weights(), strict=True))
    other = Model(p := Input((6, 5, 3), dtype="float64"), [model(p), features(p)], name="other")
    with pytest.raises(ValueError, match="cannot be described: two of its layers hold the layer"):
        other.get_config()


def test_summary_names_connections(capsys: pytest.CaptureFixture[str]) -> None:
    model = residual()
    model.summary(show_trainable=True)
    text = capsys.readouterr().out
    joined = next(line for line in text.splitlines() if "(Concatenate)" in line)
    assert "image" in joined
    assert "(None, 6, 5, 11)" in joined
    assert "Connected to" in text
    assert f"Total params: {model.count_params():,}" in text
    several().summary()


def test_a_symbolic_tensor_has_no_values() -> None:
    x = Input((3, 4), name="x")
    assert repr(x) == "<SymbolicTensor shape=(None, 3, 4), dtype=float32, name=x>"
    assert (x.ndim, x.name) == (3, "x")
    with pytest.raises(TypeError, match="has no values; build a Model"):
        np.asarray(x)
    with pytest.raises(TypeError, match="has no length"):
        len(x)
    dense = layers.Dense(2)
    with pytest.raises(AttributeError, match="no single output: it was called on symbolic tensors 0 times"):
        _ = dense.output
    y = dense(x)
    assert dense.output is y
    assert dense.input is x
    dense(x)
    with pytest.raises(AttributeError, match="no single input: it was called on symbolic tensors 2 times"):
        _ = dense.input


MERGERS: dict[str, tuple[type[layers.Layer], list[tuple[int, ...]]]] = {
    "add": (layers.Add, [(2, 3, 4), (2, 1, 4), (2, 3, 4)]),
    "subtract": (layers.Subtract, [(2, 3, 4), (2, 3, 4)]),
    "multiply": (layers.Multiply, [(2, 3, 4), (2, 3, 1), (2, 1, 4)]),
    "average": (layers.Average, [(2, 3), (2, 3), (2, 3)]),
    "maximum": (layers.Maximum, [(2, 3), (2, 3), (2, 1)]),
    "minimum": (layers.Minimum, [(2, 3), (2, 3), (2, 3)]),
    "concatenate": (layers.Concatenate, [(2, 3, 4), (2, 3, 1), (2, 3, 2)]),
}


@pytest.mark.parametrize("name", MERGERS)
def test_merging_layers(name: str) -> None:
    kind, shapes = MERGERS[name]
    layer = kind(dtype="float64")
    assert kind.from_config(json.loads(json.dumps(layer.get_config()))).get_config() == layer.get_config()
    inputs = [RNG.standard_normal(shape) for shape in shapes]
    outputs = layer(inputs, training=True)
    assert outputs.shape == tuple(layer.compute_output_shape(shapes))
    assert tuple(layer.compute_output_shape([(None, *shape[1:]) for shape in shapes])) == (None, *outputs.shape[1:])
    direction = RNG.standard_normal(outputs.shape)
    for found, array in zip(layer.backward(direction.copy()), inputs, strict=True):

        def total() -> float:
            return float((layer.call(inputs) * direction).sum())

        wanted = np.empty_like(array)
        for index in np.ndindex(array.shape):
            before = array[index]
            array[index] = before + 1e-6
            above = total()
            array[index] = before - 1e-6
            wanted[index] = (above - total()) / 2e-6
            array[index] = before
        np.testing.assert_allclose(found, wanted, atol=1e-7)
    with pytest.raises(ValueError, match="backward needs a call with training=True before it"):
        layer.backward(direction)


def test_equal_inputs_share_the_gradient() -> None:
    layer = layers.Maximum()
    layer([np.ones((1, 2)), np.array([[1.0, 2.0]])], training=True)
    first, second = layer.backward(np.ones((1, 2), np.float32))
    assert (first.tolist(), second.tolist()) == ([[0.5, 0.0]], [[0.5, 1.0]])


def two(shape: tuple[int, ...] = (3,)) -> list[Any]:
    return [Input(shape), Input(shape)]


MISTAKES: list[tuple[Any, type[Exception], str]] = [
    (lambda: Model(Input((3,)), np.ones(3)), TypeError, "outputs: expected what Input or a layer called on it"),
    (lambda: Model(3, Input((3,))), TypeError, "inputs: expected what Input or a layer called on it returns, got 3"),
    (lambda: Model(Input((3,), name="p"), layers.Dense(1)(Input((3,), name="q"))), ValueError,
     r"depend on the input 'q' of shape \(None, 3\), which is not among the inputs \['p'\]"),
    (lambda: Model(layers.Dense(1, name="d")(Input((3,))), Input((3,))), ValueError,
     "inputs: expected what Input returns, got the output of layer 'd'"),
    (lambda: Model([(x := Input((3,))), x], layers.Dense(1)(x)), ValueError, "inputs: expected different ones"),
    (lambda: Model(x := Input((3,)), layers.Dense(1, name="d")(layers.Dense(1, name="d")(x))), ValueError,
     'The name "d" is used 2 times in the model'),
    (lambda: layers.Dense(1)(two()), ValueError, r"expects 1 input\(s\), but it received 2 input tensors"),
    (lambda: layers.Add()([Input((3,)), np.ones((1, 3))]), TypeError, "expected what Input or a layer called on it"),
    (lambda: layers.Add()([]), ValueError, "a list of at least 1 input. Received: 0"),
    (lambda: layers.Add()([Input((3,)), Input((4,))]), ValueError, "Inputs have incompatible shapes"),
    (lambda: layers.Add()([Input((3,)), Input((3, 3))]), ValueError, "Inputs have incompatible shapes"),
    (lambda: layers.Add()(np.ones((2, 3))), ValueError, "expected a list of inputs, got ndarray"),
    (lambda: layers.Subtract()([*two(), Input((3,))]), ValueError, "exactly 2 inputs. Received: 3"),
    (lambda: layers.Concatenate()([Input((2, 3)), Input((3, 3))]), ValueError, "matching shapes except for the"),
    (lambda: layers.Concatenate(3)(two()), ValueError, "axis: expected one of 2 axes, got 3"),
    (lambda: layers.Concatenate()([]), ValueError, "at least 1 input"),
    (lambda: layers.Conv2D(1, 3)(Input((8, 8))), ValueError, "expected ndim=4, found ndim=3"),
    (lambda: residual()(np.zeros((1, 5, 5, 3))), ValueError, r"expected shape=\(None, 6, 5, 3\)"),
    (lambda: several()([np.zeros((1, 4))]), ValueError, r"expected a list of 2 for \['a', 'b'\], got 1"),
    (lambda: several().predict({"a": np.zeros((1, 4))}), ValueError, r"names \['a', 'b'\], got \['a'\]"),
    (lambda: several().predict([np.zeros((1, 4)), np.zeros((2, 3))]), ValueError, "Data cardinality is ambiguous"),
    (lambda: several().predict([np.zeros((1, 4)), np.zeros((1, 4))]), ValueError, r"expected shape=\(None, 3\)"),
    (lambda: several().compile(loss=["mse"]), ValueError, "loss: expected a list of 3"),
    (lambda: several().compile(loss={"two": "mse"}), ValueError, r"loss: expected names among the outputs .* got"),
    (lambda: several().compile(loss="mse", metrics=["mae"]), ValueError, "metrics: expected a list of 3"),
    (lambda: residual().compile(loss="mse", loss_weights=[1.0]), ValueError, "loss_weights: expected None, since"),
    (lambda: residual().backward(np.zeros((1, 2))), ValueError, r"backward needs a call with training=True before it"),
    (lambda: Functional.from_config({"name": "x"}), ValueError, "config: expected a dict with 'layers' and 'calls'"),
    (lambda: Sequential(3), TypeError, "."),
    (lambda: models.Model(name="m", colour=1), ValueError, "Unrecognized keyword arguments"),
]  # fmt: skip


@pytest.mark.parametrize(("mistake", "error", "text"), MISTAKES, ids=[text[:40] for _, _, text in MISTAKES])
def test_mistakes(mistake: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        mistake()


def test_class_weights_need_one_output() -> None:
    model = several()
    model.compile("sgd", "mse")
    given = data_for(model)
    y = [np.ones((3, n)) for n in (3, 1, 3)]
    with pytest.raises(ValueError, match="`class_weight` is only supported for Models with a single output"):
        model.fit(given, y, class_weight={0: 1.0}, verbose=0)
    with pytest.raises(ValueError, match="y: expected a list of 3"):
        model.fit(given, y[:2], verbose=0)
    with pytest.raises(ValueError, match="x has 3, y 2"):
        model.fit(given, [array[:2] for array in y], verbose=0)
