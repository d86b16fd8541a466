"""Model files: what goes in comes out, and anything else is a clear error that takes little memory."""

from __future__ import annotations

import io
import json
import os
import stat
import struct
import sys
import tracemalloc
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastconv import Input, Sequential, callbacks, layers, losses, models, optimizers, utils
from fastconv.models import containers, saving

RNG = np.random.default_rng(6)
ROWS = RNG.standard_normal((20, 4)).astype(np.float32)
LABELS = RNG.integers(0, 3, 20)
SUFFIXES = [".npz", ".safetensors"]


def trained(optimizer: Any = "adam") -> Sequential:
    model = Sequential(
        [
            Input((4,)),
            layers.Dense(5, activation="tanh"),
            layers.BatchNormalization(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(ROWS, LABELS, batch_size=7, epochs=2, verbose=0)
    return model


def same(one: list[np.ndarray], two: list[np.ndarray]) -> None:
    for mine, other in zip(one, two, strict=True):
        np.testing.assert_array_equal(mine, other)


# --- what goes in comes out -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_loaded_model_goes_on_as_the_saved_one_would(tmp_path: Path, suffix: str) -> None:
    utils.set_random_seed(1)
    optimizer = optimizers.SGD(optimizers.schedules.ExponentialDecay(0.1, 3, 0.5), momentum=0.9, clipnorm=1.0)
    model = trained(optimizer)
    path = tmp_path / f"model{suffix}"
    model.save(path)
    again = models.load_model(str(path))
    assert again.get_config() == model.get_config()
    assert again.get_compile_config() == model.get_compile_config()
    assert again.optimizer.iterations == 6
    same(again.get_weights(), model.get_weights())
    np.testing.assert_array_equal(again.predict(ROWS, verbose=0), model.predict(ROWS, verbose=0))
    assert again.evaluate(ROWS, LABELS, verbose=0) == model.evaluate(ROWS, LABELS, verbose=0)
    for one in (model, again):
        one.fit(ROWS, LABELS, epochs=2, shuffle=False, verbose=0)
    same(again.get_weights(), model.get_weights())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_lenet5_in_and_out(tmp_path: Path, suffix: str) -> None:
    model = models.LeNet5()
    path = tmp_path / f"lenet5{suffix}"
    model.save(path)
    again = models.load_model(path)
    assert not again.compiled
    images = RNG.random((2, 32, 32, 1))
    np.testing.assert_array_equal(again(images), model(images))
    names = [f"{layer}/{kind}" for layer in ("c1", "c3", "c5", "f6", "output") for kind in ("kernel", "bias")]
    if suffix == ".npz":
        with np.load(path) as content:
            assert content.files == ["fastconv.json", *names]
            np.testing.assert_array_equal(content["c1/kernel"], model.get_weights()[0])
    else:
        from safetensors import safe_open

        with safe_open(path, "numpy") as content:
            assert set(content.keys()) == set(names)
            assert json.loads(content.metadata()["fastconv"])["weights"] == names


def test_every_layer_and_setting_survives(tmp_path: Path) -> None:
    from test_layers import CASES

    for name, layer, shape in CASES:
        model = Sequential([Input(shape[1:], dtype="float64"), type(layer).from_config(layer.get_config())])
        model.save(tmp_path / f"{name}.npz")
        again = models.load_model(tmp_path / f"{name}.npz")
        inputs = RNG.standard_normal(shape)
        np.testing.assert_array_equal(again(inputs), model(inputs), err_msg=name)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_weights_alone(tmp_path: Path, suffix: str) -> None:
    model, path = trained(), tmp_path / f"weights{suffix}"
    model.save_weights(path)
    other = trained()
    other.load_weights(path)
    same(other.get_weights(), model.get_weights())
    with pytest.raises(ValueError, match=r"holds weights alone; load them by load_weights"):
        models.load_model(path)
    model.save(path)
    whole = trained()
    whole.load_weights(path)
    same(whole.get_weights(), model.get_weights())
    stranger = Sequential([Input((4,)), layers.Dense(5), layers.Dense(3)])
    before = stranger.get_weights()
    with pytest.raises(ValueError, match=r"holds 8 arrays of weights, but the model has 4"):
        stranger.load_weights(path)
    Sequential([Input((4,)), layers.Dense(5), layers.Dense(4)]).save_weights(path)
    with pytest.raises(ValueError, match=r"holds weights of shape \(5, 4\) for .*/kernel, not \(5, 3\)"):
        stranger.load_weights(path)
    same(stranger.get_weights(), before)
    with pytest.raises(ValueError, match="has to be built before it can load weights"):
        Sequential([layers.Dense(3)]).load_weights(path)
    with pytest.raises(ValueError, match="has no weights to save before it is built"):
        Sequential([layers.Dense(3)]).save_weights(path)


def test_models_of_ones_own(tmp_path: Path) -> None:
    from test_layers import Block

    @utils.register_keras_serializable()
    def half(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return np.abs(y_pred - y_true).sum(-1) / 2

    model = Sequential(
        [Input((4,)), Block(3), layers.Dense(3, name="same"), Sequential([layers.Dense(2, name="same")])]
    )
    model.compile(optimizers.AdamW(0.01), half, metrics=[half, "mae"])
    path = tmp_path / "own.npz"
    model.save(path)
    with pytest.raises(ValueError, match="describes no model that can be made: layer: unknown name 'Block'"):
        models.load_model(path)
    again = models.load_model(path, custom_objects={"Block": Block})
    np.testing.assert_array_equal(again(ROWS), model(ROWS))
    assert again.evaluate(ROWS, np.ones((20, 2)), verbose=0) == model.evaluate(ROWS, np.ones((20, 2)), verbose=0)
    assert not models.load_model(path, {"Block": Block}, compile=False).compiled


def test_unbuilt_model(tmp_path: Path) -> None:
    Sequential([layers.Dense(3)]).save(tmp_path / "unbuilt.npz")
    again = models.load_model(tmp_path / "unbuilt.npz")
    assert not again.built
    assert again.predict(ROWS, verbose=0).shape == (20, 3)


def test_compile_settings_survive(tmp_path: Path) -> None:
    model = Sequential([Input((4,)), layers.Dense(3, kernel_regularizer="l2", kernel_initializer="he_normal")])
    loss = losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    model.compile(optimizers.RMSprop(0.02, centered=True), loss, metrics=["accuracy"], weighted_metrics=["mse"])
    model.save(tmp_path / "m.npz")
    again = models.load_model(tmp_path / "m.npz")
    assert again.loss.get_config() == loss.get_config()
    assert again.optimizer.get_config() == model.optimizer.get_config()
    assert again.metrics_names == ["loss", "accuracy", "mse"]
    assert again.layers[0].kernel_regularizer.l2 == pytest.approx(0.01)
    truth = utils.to_categorical(LABELS)
    assert again.evaluate(ROWS, truth, verbose=0) == model.evaluate(ROWS, truth, verbose=0)
    model.compile(optimizers.SGD(lambda: 0.1), "mse")
    with pytest.raises(TypeError, match="a callable cannot be described in a configuration; use a schedule"):
        model.save(tmp_path / "m.npz")
    assert models.load_model(tmp_path / "m.npz").compiled


# --- writing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_failed_save_leaves_the_old_file_whole(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"model{suffix}"
    first = trained()
    first.save(path)
    before = path.read_bytes()

    def full_disk(fileno: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full_disk)
        with pytest.raises(OSError, match="No space left on device"):
            trained().save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    same(models.load_model(path).get_weights(), first.get_weights())
    path.chmod(0o640)
    trained().save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert path.read_bytes() != before


def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "model.npz"
    link.symlink_to(tmp_path / "real" / "model.npz")
    trained().save(link)
    assert link.is_symlink()
    assert models.load_model(link).built


def test_overwrite_and_names(tmp_path: Path) -> None:
    model, path = trained(), tmp_path / "model.npz"
    model.save(path, overwrite=False)
    with pytest.raises(FileExistsError, match="overwrite=False"):
        model.save(path, overwrite=False)
    for name in ("model.h5", "model.keras", "model"):
        for call in (model.save, model.save_weights, model.load_weights, models.load_model):
            with pytest.raises(ValueError, match=r"expected a name that ends in .npz or .safetensors, got '.*model"):
                call(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        models.load_model(tmp_path / "nothing.npz")
    with pytest.raises(FileNotFoundError):
        model.save(tmp_path / "no" / "folder.npz")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(ValueError, match="is a folder, not a model"):
        models.load_model(tmp_path / "folder.npz")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder.npz", "model.npz"]


def test_without_safetensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, path = trained(), tmp_path / "model.safetensors"
    model.save(path)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    for call in (model.save, models.load_model):
        with pytest.raises(ImportError, match=r"need the package safetensors; .npz needs none"):
            call(path)
    model.save(tmp_path / "model.npz")
    assert models.load_model(tmp_path / "model.npz").built


# --- damage ---------------------------------------------------------------------------------------------------------


def content(suffix: str, folder: Path) -> bytes:
    path = folder / f"good{suffix}"
    model = Sequential([Input((3,)), layers.Dense(2, name="d")])
    model.compile(optimizers.SGD(0.1, momentum=0.9), "mse", metrics=["mae"])
    model.fit(np.ones((2, 3)), np.ones((2, 2)), verbose=0)
    model.save(path)
    return path.read_bytes()


def refuses(path: Path, damaged: bytes) -> str:
    """Load a file of these bytes, which are not really written thousands of times; return the error's text."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Path, "read_bytes", lambda self: damaged)
        return refused(path)


def refused(path: Path) -> str:
    with pytest.raises(ValueError, match=r"\.(npz|safetensors)") as caught:
        models.load_model(path)
    return str(caught.value)


def mutated(good: bytes, rng: np.random.Generator) -> bytes:
    """Flip bits, overwrite, remove, insert, repeat, swap or cut off bytes."""
    bad = bytearray(good)
    kind = rng.integers(0, 7)
    at, length = int(rng.integers(0, len(bad))), int(rng.integers(1, 24))
    if kind == 0:
        bad[at] ^= 1 << int(rng.integers(0, 8))
    elif kind == 1:
        bad[at : at + length] = rng.bytes(length)
    elif kind == 2:
        del bad[at : at + length]
    elif kind == 3:
        bad[at:at] = rng.bytes(length)
    elif kind == 4:
        bad[at:at] = bad[at : at + length]
    elif kind == 5:
        bad[at : at + 8] = struct.pack("<Q", int(rng.integers(0, 2**63)))
    else:
        del bad[at:]
    return bytes(bad)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_thousands_of_damaged_files(tmp_path: Path, suffix: str) -> None:
    good, path, rng = content(suffix, tmp_path), tmp_path / f"bad{suffix}", np.random.default_rng(1)
    for _ in range(1500):
        damaged = mutated(good, rng)
        if damaged != good:
            text = refuses(path, damaged)
            assert "is damaged, or no fastconv file" in text


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_flipped_bit_and_every_cut(tmp_path: Path, suffix: str) -> None:
    good, path = content(suffix, tmp_path), tmp_path / f"bad{suffix}"
    rng = np.random.default_rng(2)
    for bit in rng.choice(8 * len(good), 1500, replace=False):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << (bit % 8)
        refuses(path, bytes(bad))
    for length in (0, 1, 7, 8, 9, *rng.choice(len(good), 200, replace=False)):
        refuses(path, good[:length])
    path.write_bytes(good[:-1])
    refused(path)


def resealed(body: bytes) -> bytes:
    """Give a damaged archive a checksum that fits."""
    body = body[: -len(b"00000000")]
    return body + b"%08x" % zlib.crc32(body)


def test_forged_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, path, rng = content(".npz", tmp_path), tmp_path / "forged.npz", np.random.default_rng(3)
    outcomes = {"loaded": 0, "refused": 0}
    for _ in range(1500):
        bad = bytearray(good)
        for _ in range(int(rng.integers(1, 4))):
            at = int(rng.integers(0, len(bad) - 8))
            bad[at] = int(rng.integers(0, 256))
        forged = resealed(bytes(bad))
        monkeypatch.setattr(Path, "read_bytes", lambda self, forged=forged: forged)
        try:
            models.load_model(path)  # a date or a weight may have changed
            outcomes["loaded"] += 1
        except ValueError:
            outcomes["refused"] += 1
    assert outcomes["refused"] > 500, outcomes


def described(changes: Any, folder: Path) -> tuple[Path, Path]:
    """Files whose descriptions were changed by somebody who knows the checksum."""
    text, arrays = containers.read(folder / "good.npz")
    description = json.loads(text)
    changed = changes(description)
    paths = folder / "forged.npz", folder / "forged.safetensors"
    for path in paths:
        containers.write(path, changed if isinstance(changed, str) else json.dumps(description), arrays)
    return paths


def put(*keys: Any) -> Any:
    """Return a function that changes a description at a place."""

    def change(description: Any) -> None:
        *way, last, value = keys
        for key in way:
            description = description[key]
        description[last] = value

    return change


DENSE = ("model", "config", "layers", 1, "config")
FORGED: list[tuple[Any, str]] = [
    (lambda d: "[" * 100_000, "is damaged"),
    (lambda d: "[]", "is no fastconv model"),
    (lambda d: "{}", "is no fastconv model"),
    (put("version", 2), "has the format version 2, expected 1"),
    (put("weights", ["d/kernel", "nothing"]), "weights are missing"),
    (put("weights", {}), "weights are missing"),
    (put("weights", []), "more than the file holds"),
    (put("weights", ["d/bias", "d/kernel"]), r"holds weights of shape \(2,\) for d/kernel, not \(3, 2\)"),
    (put("weights", ["d/kernel", "d/kernel"]), "describes no model|holds weights of shape"),
    (put("model", 3), "describes no model that can be made"),
    (put("model", {}), "describes no model that can be made"),
    (put("model", "class_name", "Dense"), "model: unknown name 'Dense'"),
    (put("model", "config", "layers", {}), "expected a dict with 'name' and 'layers'"),
    (put(*DENSE, "units", 10**12), "more than the file holds"),
    (put(*DENSE, "units", -1), "units: expected a positive integer, got -1"),
    (put(*DENSE, "units", "many"), "units: expected a positive integer, got 'many'"),
    (put(*DENSE, "activation", "os.system"), "activation: unknown name 'os.system'"),
    (put(*DENSE, "kernel_initializer", {"class_name": "Zeros", "config": {"x": 1}}), "describes no model"),
    (put(*DENSE, "surprise", 1), "Unrecognized keyword arguments"),
    (put("model", "config", "layers", 0, "config", "batch_shape", [None, 10**15]), "more than the file holds"),
    (put("compile", "loss", "eval"), "loss: unknown name 'eval'"),
    (put("compile", "optimizer", None), "describes no model"),
    (put("iterations", None), "describes no model"),
    (put("slots", [["d/kernel", "nothing"]]), "describes no model"),
    (put("slots", [["d/kernel", "velocity"]]), "describes no model"),
    (put("slots", 7), "describes no model"),
]


@pytest.mark.parametrize(("change", "text"), FORGED, ids=[f"{i}-{text[:30]}" for i, (_, text) in enumerate(FORGED)])
def test_forged_descriptions(tmp_path: Path, change: Any, text: str) -> None:
    content(".npz", tmp_path)
    for path in described(change, tmp_path):
        tracemalloc.start()
        with pytest.raises(ValueError, match=text):
            models.load_model(path)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 20e6


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as file:
        for name, member in members.items():
            file.writestr(name, member)
        file.comment = b"fastconv crc32 00000000"
    return resealed(stream.getvalue())


def array_member(header: dict[str, Any], data: bytes = b"", magic: bytes = b"\x93NUMPY\x01\x00") -> bytes:
    text = repr(header).encode() + b"\n"
    return magic + struct.pack("<H", len(text)) + text + data


GOOD_HEADER = {"descr": "<f4", "fortran_order": False, "shape": (2,)}
FOREIGN: dict[str, bytes] = {
    "empty": b"",
    "text": b"hello\n" * 50,
    "no array": archive({"fastconv.json": b"{}", "a.txt": b"x"}),
    "no description": archive({"a.npy": array_member(GOOD_HEADER, bytes(8))}),
    "packed": archive({"fastconv.json": b"{}" + b" " * 1000}, zipfile.ZIP_DEFLATED),
    "terabytes": archive({"fastconv.json": b"{}", "a.npy": array_member(GOOD_HEADER | {"shape": (10**12,)}, bytes(8))}),
    "overflow": archive({"fastconv.json": b"{}", "a.npy": array_member(GOOD_HEADER | {"shape": (2**62, 4)}, b"")}),
    "negative": archive({"fastconv.json": b"{}", "a.npy": array_member(GOOD_HEADER | {"shape": (-2, -1)}, bytes(8))}),
    "objects": archive({"fastconv.json": b"{}", "a.npy": array_member(GOOD_HEADER | {"descr": "|O"}, bytes(16))}),
    "integers": archive({"fastconv.json": b"{}", "a.npy": array_member(GOOD_HEADER | {"descr": "<i4"}, bytes(8))}),
    "columns": archive(
        {"fastconv.json": b"{}", "a.npy": array_member(GOOD_HEADER | {"fortran_order": True}, bytes(8))}
    ),
    "code": archive({"fastconv.json": b"{}", "a.npy": array_member({"descr": "__import__('os')"}, bytes(8))}),
    "format 9": archive({"fastconv.json": b"{}", "a.npy": array_member(GOOD_HEADER, bytes(8), b"\x93NUMPY\x09\x00")}),
    "no magic": archive({"fastconv.json": b"{}", "a.npy": b"nothing"}),
    "bytes": archive({"fastconv.json": b"\xff\xfe"}),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_archives(tmp_path: Path, name: str) -> None:
    tracemalloc.start()
    text = refuses(tmp_path / "foreign.npz", FOREIGN[name])
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "is damaged, or no fastconv file" in text
    assert most < 20e6


def test_files_of_others(tmp_path: Path) -> None:
    np.savez(tmp_path / "plain.npz", a=np.zeros(3))
    refused(tmp_path / "plain.npz")
    np.savez(tmp_path / "pickled.npz", a=np.array([{}], object))
    refused(tmp_path / "pickled.npz")
    from safetensors.numpy import save

    refuses(tmp_path / "plain.safetensors", save({"a": np.zeros(3)}))
    refuses(tmp_path / "other.safetensors", save({"a": np.zeros(3)}, {"format": "pt"}))
    header = b'{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}'
    refuses(tmp_path / "large.safetensors", struct.pack("<Q", len(header)) + header)
    refuses(tmp_path / "header.safetensors", struct.pack("<Q", 2**62) + header)


def test_wrong_weights_are_a_value_error_for_load_weights(tmp_path: Path) -> None:
    good = content(".npz", tmp_path)
    path = tmp_path / "bad.npz"
    path.write_bytes(good[:-3])
    model = Sequential([Input((3,)), layers.Dense(2)])
    with pytest.raises(ValueError, match="is damaged, or no fastconv file: its end is missing"):
        model.load_weights(path)


def test_checkpoints_are_whole_models(tmp_path: Path) -> None:
    model = trained()
    keep = callbacks.ModelCheckpoint(tmp_path / "deep" / "{epoch:02d}-{loss:.1f}.npz")
    model.fit(ROWS, LABELS, epochs=2, verbose=0, callbacks=[keep])
    first, last = sorted((tmp_path / "deep").iterdir())
    assert first.name.startswith("01-")
    same(models.load_model(last).get_weights(), model.get_weights())


def test_nothing_unpickles() -> None:
    for module in (containers, saving):
        source = Path(str(module.__file__)).read_text()
        assert "pickle" not in source.replace("allow_pickle=False", "").replace("unpickled", "")
