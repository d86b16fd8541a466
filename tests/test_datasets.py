"""Data sets from files and from scikit-learn; no file, however damaged, gives anything but data or a clear error."""

from __future__ import annotations

import gzip
import io
import os
import sys
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from damage import damaged
from fastconv.datasets import digits, mnist
from fastconv.datasets._files import read_idx, read_npz

NAMES = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]


def idx(array: np.ndarray, code: int = 0x08) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, code, array.ndim]) + sizes + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.fixture
def arrays() -> list[np.ndarray]:
    random = np.random.RandomState(3)
    sizes = [(12, 28, 28), (12,), (5, 28, 28), (5,)]
    return [random.randint(0, 10 if len(size) == 1 else 256, size).astype(np.uint8) for size in sizes]


def write_idx(folder: Path, arrays: list[np.ndarray], suffix: str = "", names: list[str] = NAMES) -> Path:
    folder.mkdir(exist_ok=True)
    for name, array in zip(names, arrays, strict=True):
        data = idx(array)
        (folder / f"{name}{suffix}").write_bytes(gzip.compress(data, 1) if suffix else data)
    return folder


def write_npz(file: Path, arrays: list[np.ndarray], save: Callable[..., None] = np.savez) -> Path:
    save(file, **dict(zip(("x_train", "y_train", "x_test", "y_test"), arrays, strict=True)))
    return file


def assert_is(loaded: tuple, arrays: list[np.ndarray]) -> None:
    flat = [array for pair in loaded for array in pair]
    assert [array.dtype for array in flat] == [np.uint8] * 4
    for got, expected in zip(flat, arrays, strict=True):
        np.testing.assert_array_equal(got, expected)
        assert got.flags.writeable


# --- MNIST -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("dot", ["-", "."])
def test_mnist_from_idx(tmp_path: Path, arrays: list[np.ndarray], suffix: str, dot: str) -> None:
    names = [name.replace("-idx", f"{dot}idx") for name in NAMES]
    assert_is(mnist.load_data(write_idx(tmp_path / "mnist", arrays, suffix, names)), arrays)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_mnist_from_npz(tmp_path: Path, arrays: list[np.ndarray], save: Callable[..., None]) -> None:
    file = write_npz(tmp_path / "mnist.npz", arrays, save)
    assert_is(mnist.load_data(str(file)), arrays)
    assert_is(mnist.load_data(tmp_path), arrays)  # a folder that holds mnist.npz


def test_mnist_labels_of_other_integer_types(tmp_path: Path, arrays: list[np.ndarray]) -> None:
    wide = [arrays[0], arrays[1].astype(">i8"), arrays[2], arrays[3].astype(np.int32)]
    assert_is(mnist.load_data(write_npz(tmp_path / "mnist.npz", wide)), arrays)


def test_mnist_from_keras_cache(tmp_path: Path, arrays: list[np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "datasets").mkdir()
    write_npz(tmp_path / "datasets" / "mnist.npz", arrays)
    assert_is(mnist.load_data(), arrays)
    assert_is(mnist.load_data("mnist.npz"), arrays)


def test_mnist_without_a_file_says_what_to_get(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"datasets/mnist\.npz: no such file or folder; fastconv downloads"):
        mnist.load_data()
    with pytest.raises(FileNotFoundError, match=r"other\.npz: no such file or folder"):
        mnist.load_data("other.npz")
    with pytest.raises(FileNotFoundError, match=r"no train-images-idx3-ubyte .* in this folder"):
        mnist.load_data(tmp_path)


@pytest.mark.parametrize(
    ("which", "wrong", "message"),
    [
        (0, np.zeros((12, 28, 27), np.uint8), r"x_train: expected uint8 images of shape \(N, 28, 28\), got uint8"),
        (0, np.zeros((12, 784), np.uint8), r"got uint8 of shape \(12, 784\)"),
        (2, np.zeros((5, 28, 28), np.float32), r"x_test: expected uint8 .* got float32"),
        (0, np.zeros((0, 28, 28), np.uint8), r"got uint8 of shape \(0, 28, 28\)"),
        (1, np.zeros(11, np.uint8), r"y_train: expected 12 whole-number labels, got uint8 of shape \(11,\)"),
        (1, np.zeros((12, 10), np.uint8), r"expected 12 whole-number labels, got uint8 of shape \(12, 10\)"),
        (3, np.zeros(5), r"y_test: expected 5 whole-number labels, got float64"),
        (3, np.array([0, 1, 2, 3, 10]), "y_test: expected labels 0 to 9, got 0 to 10"),
        (3, np.array([0, 1, 2, 3, -1]), "y_test: expected labels 0 to 9, got -1 to 3"),
    ],
)
def test_mnist_refuses_what_is_not_mnist(
    tmp_path: Path, arrays: list[np.ndarray], which: int, wrong: np.ndarray, message: str
) -> None:
    arrays[which] = wrong
    with pytest.raises(ValueError, match=message):
        mnist.load_data(write_npz(tmp_path / "mnist.npz", arrays))


# --- IDX and npz -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "dtype"), [(8, "u1"), (9, "i1"), (0x0B, "i2"), (0x0C, "i4"), (0x0D, "f4"), (0x0E, "f8")]
)
def test_idx_reads_every_type(tmp_path: Path, code: int, dtype: str) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    (tmp_path / "file").write_bytes(idx(array, code))
    got = read_idx(tmp_path / "file")
    assert got.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(got, array)


GOOD = idx(np.arange(10, dtype=np.uint8))
FORGED = bytes([0, 0, 8, 3]) + b"\xff" * 12


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"not an IDX file \(it begins with nothing\)"),
        (b"PNG", r"not an IDX file \(it begins with 50 4e 47\)"),
        (b"\x00\x00\x07\x01" + GOOD[4:], "not an IDX file"),
        (b"\x00\x00\x08\x00" + GOOD[4:], "not an IDX file"),
        (GOOD[:6], "truncated IDX header"),
        (GOOD[:-1], r"an IDX array of shape \(10,\) takes 10 bytes, the file has 9"),
        (GOOD + b"\0", "takes 10 bytes, more follow"),
        (FORGED, "would take 79228162458924105385300197375 bytes, more than 1073741824"),
        (bytes([0, 0, 8, 1]) + (1 << 29).to_bytes(4, "big"), "takes 536870912 bytes, the file has 0"),
        (gzip.compress(FORGED, mtime=0), "would take 79228162458924105385300197375 bytes"),
        (gzip.compress(GOOD, mtime=0)[:-5], "damaged gzip data"),
        (gzip.compress(GOOD, mtime=0)[:-8] + b"\0" * 8, "damaged gzip data"),
        (gzip.compress(GOOD, mtime=0)[:10] + b"\xff" * 20, "damaged gzip data"),
    ],
)
def test_idx_names_what_is_wrong(tmp_path: Path, data: bytes, message: str) -> None:
    file = tmp_path / "some-idx"
    file.write_bytes(data)
    with pytest.raises(ValueError, match=rf"some-idx: .*{message}"):
        read_idx(file)


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        for read in (read_idx, lambda path: read_npz(path, ["x"])):
            with pytest.raises(ValueError, match="not a regular file"):
                read(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="nothing: no such file"):
        read_idx(tmp_path / "nothing")


def npy(header: bytes, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


def zipped(content: bytes, name: str = "x.npy") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


FIELDS = b"{'descr': '<f8', 'fortran_order': False, 'shape': (%s,)}"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not an .npz file"),
        (b"PK\x03\x04 no more", "not an .npz file"),
        (zipped(npy(FIELDS % b"0"), "y.npy"), r"no array 'x' in it \(it holds y.npy\)"),
        (zipped(b"no array"), "'x' is not a NumPy array"),
        (zipped(b"\x93NUMPY\x09\x00"), "'x' is not a NumPy array"),
        (zipped(b"\x93NUMPY\x02\x00\xff\xff\xff\xff"), "header of 4294967295 bytes"),
        (zipped(npy(b"{'descr': ")), "damaged header"),
        (zipped(npy(b"(" * 4000)), "damaged header"),
        (zipped(npy(b"[1]")), "damaged header"),
        (zipped(npy(FIELDS % b"-1")), "damaged header"),
        (zipped(npy(FIELDS % b"2.0")), "damaged header"),
        (zipped(npy(FIELDS % b"99999999999999")), "would take 799999999999992 bytes"),
        (zipped(npy(FIELDS % b"9999999")), "takes 79999992 bytes, the file has 0"),
        (zipped(npy((FIELDS % b"1").replace(b"<f8", b"|O"), b"12345678")), "holds object, not numbers"),
        (zipped(npy((FIELDS % b"1").replace(b"<f8", b"<q9"), b"12345678")), "damaged header"),
        (zipped(npy((FIELDS % b"1").replace(b"'<f8'", b"[('a', 'O')]"), b"12345678")), "damaged header"),
    ],
)
def test_npz_names_what_is_wrong(tmp_path: Path, data: bytes, message: str) -> None:
    file = tmp_path / "some.npz"
    file.write_bytes(data)
    with pytest.raises(ValueError, match=rf"some\.npz: .*{message}"):
        read_npz(file, ["x"])


def test_npz_never_unpickles(tmp_path: Path) -> None:
    np.savez(tmp_path / "some.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="holds object, not numbers"):
        read_npz(tmp_path / "some.npz", ["x"])


@pytest.mark.parametrize("order", ["C", "F"])
def test_npz_reads_both_orders(tmp_path: Path, order: str) -> None:
    array = np.asarray(np.arange(6).reshape(2, 3), order=order)
    np.savez(tmp_path / "some.npz", x=array, y=np.float64(3))
    got = read_npz(tmp_path / "some.npz", ["x", "y"])
    np.testing.assert_array_equal(got["x"], array)
    assert got["y"].shape == ()


@pytest.fixture
def bounded_memory() -> Iterator[None]:
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20


@pytest.mark.usefixtures("bounded_memory")
@pytest.mark.parametrize("kind", ["idx", "gz", "npz", "compressed npz"])
def test_damaged_files(tmp_path: Path, arrays: list[np.ndarray], kind: str) -> None:
    if "npz" in kind:
        file = write_npz(tmp_path / "mnist.npz", arrays, np.savez if kind == "npz" else np.savez_compressed)
        load = file
    else:
        load = write_idx(tmp_path / "mnist", arrays, ".gz" if kind == "gz" else "")
        file = load / (NAMES[0] + (".gz" if kind == "gz" else ""))
    refused = 0
    for data in damaged(file.read_bytes(), 500, seed=7):
        file.write_bytes(data)
        try:
            (x, y), _ = mnist.load_data(load)
        except ValueError as error:
            assert str(tmp_path) in str(error)  # noqa: PT017
            refused += 1
        else:
            assert x.shape[1:] == (28, 28)
            assert len(x) == len(y)
    assert refused > 150  # what got through had only its pixels changed


# --- scikit-learn's digits ---------------------------------------------------------------------------------------


def test_digits_are_split_evenly_and_always_the_same() -> None:
    (x_train, y_train), (x_test, y_test) = digits.load_data()
    assert x_train.shape == (1438, 32, 32)
    assert x_test.shape == (359, 32, 32)
    assert {a.dtype for a in (x_train, y_train, x_test, y_test)} == {np.dtype(np.uint8)}
    counts = np.bincount(y_test)
    assert counts.min() >= 35
    assert counts.max() <= 37
    assert y_test[:12].tolist() == FIRST_TEST_LABELS
    again = digits.load_data()
    np.testing.assert_array_equal(again[0][0], x_train)
    np.testing.assert_array_equal(again[1][1], y_test)


FIRST_TEST_LABELS = [6, 3, 2, 4, 0, 1, 8, 5, 7, 6, 6, 8]


def test_digits_of_another_seed_and_share() -> None:
    (x_train, _), (x_test, y_test) = digits.load_data(size=28, test_fraction=0.5, seed=5)
    assert x_train.shape[1:] == (28, 28)
    assert len(x_train) + len(x_test) == 1797
    assert abs(len(x_train) - len(x_test)) < 10
    assert y_test[:12].tolist() != FIRST_TEST_LABELS


def test_no_digit_is_lost_or_in_both_sets() -> None:
    from sklearn.datasets import load_digits

    (x_train, y_train), (x_test, y_test) = digits.load_data(size=16)
    everything = digits._draw(load_digits().images, 16).reshape(1797, -1)
    split = np.concatenate([x_train, x_test]).reshape(1797, -1)
    np.testing.assert_array_equal(np.sort(split, axis=0), np.sort(everything, axis=0))
    assert np.bincount(np.concatenate([y_train, y_test])).tolist() == np.bincount(load_digits().target).tolist()
    assert len({row.tobytes() for row in split}) == len({row.tobytes() for row in everything})


def test_digits_are_drawn_like_mnist() -> None:
    (images, _), _ = digits.load_data()
    mass = images.sum(axis=(1, 2), dtype=np.float64)
    for axis in (1, 2):
        centre = images.sum(axis=3 - axis, dtype=np.float64) @ (np.arange(32) + 0.5) / mass
        np.testing.assert_allclose(centre, 16, atol=0.5)
    rows = (images > 127).any(axis=2).sum(axis=1)
    assert 17 <= rows.mean() <= 21
    assert images.max() == 255
    assert (images[:, 0] > 0).any(axis=1).mean() < 0.01


def test_interpolation_is_exact_where_it_can_be() -> None:
    weights = digits._cubic_weights(np.array([3.5]), 13)[0]
    inner = weights[4:9]
    np.testing.assert_allclose(inner.sum(axis=1), 1, atol=1e-12)
    points = (np.arange(13) + 0.5 - 6.5) / (13 * digits.INK_SHARE / 8) + 3.5
    np.testing.assert_allclose(inner @ np.arange(8), points[4:9], atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"size": 7}, ValueError, "size must be at least 8, got 7"),
        ({"size": 32.0}, TypeError, "size must be an int, got 32.0"),
        ({"size": True}, TypeError, "size must be an int, got True"),
        ({"test_fraction": 0}, ValueError, "test_fraction must be between 0 and 1, got 0"),
        ({"test_fraction": float("nan")}, ValueError, "test_fraction must be between 0 and 1, got nan"),
        ({"test_fraction": "half"}, TypeError, "test_fraction must be a float, got 'half'"),
        ({"seed": -1}, ValueError, "seed must be between 0 and"),
    ],
)
def test_digits_check_their_arguments(arguments: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        digits.load_data(**arguments)


def test_digits_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'fastconv\[demo\]'"):
        digits.load_data()
