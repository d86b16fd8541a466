"""Models: how they are put together, predict, and show themselves; LeNet-5; what importing them costs."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv import Input, Sequential, layers, models, utils

RNG = np.random.default_rng(5)


def small() -> Sequential:
    return Sequential([Input((6, 6, 1)), layers.Conv2D(2, 3, activation="relu"), layers.Flatten(), layers.Dense(3)])


def test_lenet5_is_the_network_of_1998() -> None:
    model = models.LeNet5()
    assert model.count_params() == 61706
    assert model.input_shape == (None, 32, 32, 1)
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    text = "\n".join(lines)
    shapes = ["28, 28, 6", "14, 14, 6", "10, 10, 16", "5, 5, 16", "1, 1, 120", "120", "84", "10"]
    rows = [line for line in text.splitlines() if "(None, " in line]
    assert [row.split("(None, ")[1].split(")")[0] for row in rows] == shapes
    counts = ["156", "0", "2,416", "0", "48,120", "0", "10,164", "850"]
    assert [row.split()[-1] for row in rows] == counts
    assert "Total params: 61,706 (241.04 KB)" in text
    probabilities = model.predict_on_batch(RNG.random((3, 32, 32, 1)))
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    kinds = [type(layer).__name__ for layer in model.layers]
    pooled = ["Conv2D", "AveragePooling2D"]
    assert kinds == [*pooled, *pooled, "Conv2D", "Flatten", "Dense", "Dense"]
    names = [getattr(layer, "activation", None) for layer in model.layers]
    assert [n.name for n in names if n is not None] == ["tanh", "tanh", "tanh", "tanh", "softmax"]


def test_lenet5_for_other_pictures() -> None:
    assert models.LeNet5((36, 32, 3), classes=4).output_shape == (None, 4)
    with pytest.raises(ValueError, match=r"layer 'c5': a window of 5 .* does not fit into an extent of 4"):
        models.LeNet5((28, 28, 1))


def test_ways_to_put_a_model_together() -> None:
    stack = [layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(3)]
    by_shape = Sequential([layers.Conv2D(2, 3, input_shape=(6, 6, 1)), *stack[1:]])
    assert by_shape.built
    added = Sequential(name="added")
    assert added.layers == []
    added.add(Input(shape=(6, 6, 1)))
    for layer in (layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(3)):
        added.add(layer)
    later = Sequential([layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(3)])
    assert not later.built
    assert later.weights == []
    assert later.predict(np.zeros((5, 6, 6, 1)), verbose=0).shape == (5, 3)
    built = Sequential([layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(3)])
    built.build((None, 6, 6, 1))
    for model in (by_shape, added, later, built):
        assert model.input_shape == (None, 6, 6, 1)
        assert model.output_shape == (None, 3)
        assert [w.shape for w in model.weights] == [(3, 3, 1, 2), (2,), (32, 3), (3,)]
        assert len(model.layers) == 3
    dimension = Sequential([layers.Dense(2, input_dim=7)])
    assert dimension.input_shape == (None, 7)


def test_add_and_pop() -> None:
    model = small()
    kept = model.get_weights()[:2]
    last = model.pop()
    assert isinstance(last, layers.Dense)
    assert model.output_shape == (None, 32)
    model.add(layers.Dense(4))
    assert model.output_shape == (None, 4)
    np.testing.assert_array_equal(model.get_weights()[0], kept[0])
    with pytest.raises(ValueError, match="does not fit into an extent"):
        Sequential([Input((2, 2, 1)), layers.Conv2D(1, 3)])
    with pytest.raises(ValueError, match="expected ndim=4"):
        model.add(layers.Conv2D(1, 3))
    assert len(model.layers) == 3
    assert model.output_shape == (None, 4)
    empty = Sequential()
    with pytest.raises(ValueError, match="There are no layers in the model"):
        empty.pop()
    with pytest.raises(ValueError, match="cannot be built because it has no layers"):
        empty.predict(np.zeros((1, 2)), verbose=0)


def test_mistakes_in_putting_together() -> None:
    with pytest.raises(ValueError, match="Only instances of `Layer` can be added"):
        Sequential([3])  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"should have unique names. Name 'a' is already"):
        Sequential([layers.Dense(3, name="a"), layers.Dense(3, name="a")])
    twice = layers.Dense(3)
    with pytest.raises(ValueError, match=f"layer '{twice.name}' is in the model already; a layer cannot be trained"):
        Sequential([twice, twice])
    with pytest.raises(ValueError, match="an Input layer has to be the first"):
        small().add(Input((2,)))
    with pytest.raises(ValueError, match=r"already been configured to use input shape \(None, 6, 6, 1\)"):
        small().build((None, 5, 5, 1))
    with pytest.raises(AttributeError, match="no defined input shape yet"):
        _ = Sequential([layers.Dense(2)]).input_shape
    with pytest.raises(AttributeError, match="no defined output shape yet"):
        _ = Sequential([layers.Dense(2)]).output_shape


def test_get_layer() -> None:
    model = small()
    assert model.get_layer(index=0) is model.layers[0]
    assert model.get_layer(model.layers[1].name) is model.layers[1]
    with pytest.raises(ValueError, match=r"No such layer: nobody. Existing layers are"):
        model.get_layer("nobody")
    with pytest.raises(ValueError, match="index: expected one of 3 layers, got 7"):
        model.get_layer(index=7)
    with pytest.raises(ValueError, match="expected one of name and index"):
        model.get_layer()


def test_prediction_is_the_same_in_any_batch() -> None:
    model = models.LeNet5()
    images = RNG.random((70, 32, 32, 1), dtype=np.float32)
    whole = model.predict_on_batch(images)
    for size in (1, 7, 32, 100, None):
        np.testing.assert_array_equal(model.predict(images, batch_size=size, verbose=0), whole)
    np.testing.assert_array_equal(model(images), whole)
    np.testing.assert_array_equal(model.predict(images[::-1], verbose=0), whole[::-1])
    assert model.predict(images[:0], verbose=0).shape == (0, 10)
    before = images.copy()
    model.predict(images, verbose=0)
    np.testing.assert_array_equal(images, before)


def test_threads_may_predict_at_once() -> None:
    model = models.LeNet5()
    images = RNG.random((8, 3, 32, 32, 1), dtype=np.float32)
    wanted = [model.predict_on_batch(part) for part in images]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            for made, want in zip(pool.map(model.predict_on_batch, images), wanted, strict=True):
                np.testing.assert_array_equal(made, want)


def test_inputs_that_a_model_takes() -> None:
    model = small()
    images = RNG.integers(0, 255, (4, 6, 6, 1)).astype(np.uint8)
    wanted = model.predict(images.astype(np.float32), verbose=0)
    for given in (images, images.astype(np.float64), images[..., 0], images.tolist(), images.astype(">i4")):
        np.testing.assert_array_equal(model.predict(given, verbose=0), wanted)
    np.testing.assert_array_equal(model.predict(images.astype(bool), verbose=0), model.predict(images > 0, verbose=0))
    flat = Sequential([Input((6,)), layers.Dense(2)])
    assert flat.predict(np.zeros((3, 6, 1)), verbose=0).shape == (3, 2)


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        (np.zeros((2, 5, 5, 1)), ValueError, r"expected shape=\(None, 6, 6, 1\), found shape=\(2, 5, 5, 1\)"),
        (np.zeros((2, 6, 6, 3)), ValueError, r"found shape=\(2, 6, 6, 3\)"),
        (np.zeros(3), ValueError, r"found shape=\(3,\)"),
        (3.0, ValueError, "x: expected an array with a batch axis, got a single number"),
        (None, TypeError, "x: expected an array, got NoneType"),
        ("images", TypeError, "x: expected an array, got str"),
        (iter([1]), TypeError, "x: expected an array, got list_iterator"),
        (np.zeros((2, 6, 6, 1), complex), TypeError, "x: expected real numbers, got an array of dtype complex128"),
        (np.zeros((2, 6, 6, 1), object), TypeError, "x: expected real numbers, got an array of dtype object"),
        ([[1, 2], [3]], ValueError, "."),
    ],
)
def test_inputs_that_a_model_refuses(given: Any, error: type[Exception], text: str) -> None:
    for ask in (small().predict, small().predict_on_batch):
        with pytest.raises(error, match=text):
            ask(given)


def test_a_model_called_as_a_layer_checks_its_inputs() -> None:
    with pytest.raises(ValueError, match=r"expected shape=\(None, 6, 6, 1\), found shape=\(2, 6, 6, 3\)"):
        small()(np.zeros((2, 6, 6, 3)))


def test_weights_in_and_out() -> None:
    model, other = small(), small()
    other.set_weights(model.get_weights())
    images = RNG.random((2, 6, 6, 1))
    np.testing.assert_array_equal(model(images), other(images))
    held = model.get_weights()
    held[0][:] = 7
    assert (model.get_weights()[0] != 7).all()
    with pytest.raises(ValueError, match="weight list of length 1, but the layer was expecting 4 weights"):
        model.set_weights(held[:1])
    assert [v.path.split("/")[1] for v in model.variables] == ["kernel", "bias", "kernel", "bias"]
    np.testing.assert_array_equal(np.asarray(model.variables[1]), held[1])
    model.variables[1].assign([1.0, 2.0])
    model.variables[1].assign_add([1.0, 1.0])
    model.variables[1].assign_sub([0.5, 0.0])
    np.testing.assert_array_equal(model.variables[1].numpy(), [1.5, 3.0])
    with pytest.raises(ValueError, match=r"expected weights of shape \(2,\), got \(3,\)"):
        model.variables[1].assign(np.zeros(3))


def test_trainable_reaches_all_layers() -> None:
    model = small()
    assert len(model.trainable_weights) == 4
    model.trainable = False
    assert model.trainable_weights == []
    assert not model.layers[0].trainable
    model.layers[2].trainable = True
    assert len(model.non_trainable_weights) == 4
    model.trainable = True
    model.layers[0].trainable = False
    assert [v.shape for v in model.trainable_weights] == [(32, 3), (3,)]


def test_a_model_within_a_model() -> None:
    inner = small()
    outer = Sequential([inner, layers.Dense(2, name="top")])
    assert outer.input_shape == (None, 6, 6, 1)
    assert outer.count_params() == inner.count_params() + 3 * 2 + 2
    again = Sequential.from_config(json.loads(json.dumps(outer.get_config())))
    again.set_weights(outer.get_weights())
    images = RNG.random((3, 6, 6, 1))
    np.testing.assert_array_equal(outer(images), again(images))
    before = inner.get_weights()
    outer.compile("sgd", "mse")
    outer.fit(images, np.ones((3, 2)), verbose=0)
    assert any((a != b).any() for a, b in zip(before, inner.get_weights(), strict=True))


def test_configuration_makes_the_same_model() -> None:
    utils.clear_session()
    model = small()
    config = json.loads(json.dumps(model.get_config()))
    again = Sequential.from_config(config)
    assert again.get_config() == model.get_config()
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    deferred = Sequential([layers.Dense(2)])
    assert not Sequential.from_config(deferred.get_config()).built
    with pytest.raises(ValueError, match="config: expected a dict with 'name' and 'layers'"):
        Sequential.from_config({"name": "x"})
    config["layers"][1]["class_name"] = "Nothing"
    with pytest.raises(ValueError, match="layer: unknown name 'Nothing'; expected one of Activation"):
        Sequential.from_config(config)


def test_custom_objects() -> None:
    class Doubled(layers.Layer):
        def call(self, inputs: np.ndarray) -> np.ndarray:
            return inputs * 2

    model = Sequential([Input((3,)), Doubled()])
    config = model.get_config()
    with pytest.raises(ValueError, match="layer: unknown name 'Doubled'"):
        Sequential.from_config(config)
    assert Sequential.from_config(config, custom_objects={"Doubled": Doubled})(np.ones((1, 3))).max() == 2
    with utils.custom_object_scope({"Doubled": Doubled}):
        assert Sequential.from_config(config).built
    with pytest.raises(ValueError, match="layer: unknown name 'Doubled'"):
        Sequential.from_config(config)


def test_summary(capsys: pytest.CaptureFixture[str]) -> None:
    model = small()
    model.layers[0].trainable = False
    model.summary(show_trainable=True, line_length=90)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) == 90
    assert f'Model: "{model.name}"' in text
    assert "Trainable params: 99\n" in text
    assert "Non-trainable params: 20\n" in text
    rows = [line for line in text.splitlines() if "(None, " in line]
    assert [row.split()[-1] for row in rows] == ["N", "-", "Y"]
    Sequential([layers.Dense(3)]).summary()
    assert "?" in capsys.readouterr().out


def test_float64_throughout() -> None:
    model = Sequential([layers.Dense(3, dtype="float64", input_shape=(4,)), layers.Dense(2, dtype="float64")])
    assert model.predict(np.ones((2, 4), np.float32), verbose=0).dtype == np.float64
    model.compile("adam", "mse")
    model.fit(np.ones((4, 4)), np.ones((4, 2)), verbose=0)
    assert {w.dtype for w in model.get_weights()} == {np.dtype("float64")}
    mixed = Sequential([layers.Dense(3, dtype="float64", input_shape=(4,)), layers.Dense(2)])
    mixed.compile("sgd", "mse")
    mixed.fit(np.ones((4, 4)), np.ones((4, 2)), verbose=0)
    assert mixed.predict(np.ones((2, 4)), verbose=0).dtype == np.float32


def test_import_brings_numpy_and_the_standard_library_alone() -> None:
    program = (
        "import sys, numpy; before = set(sys.modules)\n"
        "import fastconv; fastconv.models.LeNet5().predict_on_batch(numpy.zeros((1, 32, 32, 1), 'f4'))\n"
        "roots = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(roots - set(sys.stdlib_module_names) - {'numpy', 'fastconv'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path.home())
    strangers = {name for name in done.stdout.split() if not name.startswith(("_cython", "cython_runtime"))}
    assert not strangers


def test_the_root_has_keras_names() -> None:
    assert fastconv.Sequential is models.Sequential
    assert fastconv.Model is models.Model
    assert fastconv.Input is layers.Input
    assert issubclass(Sequential, models.Model)
