"""The command line: it trains, reads pictures, draws, and ends every mishap with one line and status 2."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fastconv
from damage import damaged
from fastconv.cli import main, pictures
from fastconv.cli.digit_image import centre, ink_of, read_digit
from fastconv.cli.distort import distorted
from fastconv.cli.errors import CommandError
from fastconv.datasets import digits

PICTURES = ["curves.png", "filters.png", "feature-maps.png", "confusion.png", "mistakes.png"]


def run(*arguments: object) -> tuple[int, str, str]:
    """Run the command in this process: its status, stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(argument) for argument in arguments])
    return status, out.getvalue(), err.getvalue()


def assert_refused(result: tuple[int, str, str], message: str = "") -> None:
    status, _, err = result
    assert status == 2, (status, err)
    assert err.count("\n") == 1, err
    assert err.startswith("fastconv"), err
    assert re.search(message, err), err


@pytest.fixture(autouse=True)
def _threads_as_before() -> None:
    before = fastconv.get_num_threads()
    yield
    fastconv.set_num_threads(before)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Give the folder and the output of one training with nothing but the defaults."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    status, out, err = run("train", "--output", folder)
    assert status == 0, err
    return folder, out


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Give a picture of a test digit, dark on light."""
    _, (images, _) = digits.load_data()
    Image.fromarray(255 - images[0]).resize((64, 64)).save(tmp_path / "digit.png")
    return tmp_path / "digit.png"


def mnist_folder(folder: Path, count: int = 120) -> Path:
    """Write scikit-learn's digits in the form of MNIST."""
    folder.mkdir()
    (x, y), (x_test, y_test) = digits.load_data(size=28)
    for name, array in [
        ("train-images-idx3-ubyte", x[:count]),
        ("train-labels-idx1-ubyte", y[:count]),
        ("t10k-images-idx3-ubyte", x_test[:40]),
        ("t10k-labels-idx1-ubyte", y_test[:40]),
    ]:
        sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
        (folder / name).write_bytes(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes())
    return folder


# --- train -------------------------------------------------------------------------------------------------------


def test_training_reads_97_percent(trained: tuple[Path, str]) -> None:
    folder, out = trained
    accuracy, wrong, total = re.search(r"Test accuracy: ([\d.]+)% \((\d+) of (\d+) read wrongly\)", out).groups()
    assert float(accuracy) >= 97
    assert int(total) == 359
    model = fastconv.models.load_model(folder / "lenet5.npz")
    _, (images, labels) = digits.load_data()
    readings = model.predict(images[..., None].astype(np.float32) / 255, verbose=0).argmax(axis=1)
    assert (readings != labels).sum() == int(wrong)


def test_training_says_what_it_does(trained: tuple[Path, str]) -> None:
    _, out = trained
    assert "scikit-learn's digits: 1,294 digits to learn from and 2,588 distorted copies, 144 to validate" in out
    assert "61,706" in out  # the summary
    assert "8/8" in out  # the last epoch
    assert "Trained for" in out


def test_training_writes_everything(trained: tuple[Path, str]) -> None:
    folder, out = trained
    assert {file.name for file in folder.iterdir()} == {"lenet5.npz", "history.csv", *PICTURES}
    assert all(name in out for name in PICTURES)
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"]) / 5
    assert float(rows[-1]["val_accuracy"]) > 0.9


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_show_something(trained: tuple[Path, str], name: str) -> None:
    with Image.open(trained[0] / name) as image:
        assert image.format == "PNG"
        assert image.width >= 600
        pixels = np.asarray(image.convert("RGB"))
    drawn = (pixels != 255).any(axis=2)
    assert 0.02 < drawn.mean() < 0.9
    assert len(np.unique(pixels.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32))) > 20
    border = np.concatenate([drawn[:4].ravel(), drawn[-4:].ravel(), drawn[:, :4].ravel(), drawn[:, -4:].ravel()])
    assert not border.any(), "something is cut off at the edge"


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop", "sgd"])
def test_mnist_files_train_too(tmp_path: Path, optimizer: str) -> None:
    data = mnist_folder(tmp_path / "mnist")
    options = ("--data", data, "--epochs", 2, "--batch-size", 16, "--optimizer", optimizer, "--threads", 1)
    status, out, err = run("train", *options, "--output", tmp_path / "out", "--no-pictures", "--quiet")
    assert status == 0, err
    assert re.fullmatch(r"Test accuracy: [\d.]+% \(\d+ of 40 read wrongly\)\n", out)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["history.csv", "lenet5.npz"]


def test_the_seed_decides(tmp_path: Path) -> None:
    data = mnist_folder(tmp_path / "mnist")
    weights = []
    for name, seed in [("a", 1), ("b", 1), ("c", 2)]:
        options = ("--seed", seed, "--distort", 1, "--epochs", 1, "--no-pictures", "--quiet", "--output")
        assert run("train", "--data", data, *options, tmp_path / name)[0] == 0
        weights.append(fastconv.models.load_model(tmp_path / name / "lenet5.npz").get_weights())
    assert all(np.array_equal(a, b) for a, b in zip(weights[0], weights[1], strict=True))
    assert not np.array_equal(weights[0][0], weights[2][0])


def test_a_diverged_training_says_so(tmp_path: Path) -> None:
    data = mnist_folder(tmp_path / "mnist")
    options = ("--optimizer", "sgd", "--learning-rate", 1e38, "--epochs", 3, "--no-pictures", "--quiet")
    with np.errstate(all="ignore"):
        result = run("train", "--data", data, *options, "--output", tmp_path / "out")
    assert_refused(result, "the training diverged, its loss is not finite: try a --learning-rate below 1e")


# --- predict -----------------------------------------------------------------------------------------------------


def read(out: str) -> list[int]:
    return [int(digit) for digit in re.findall(r"^\S.*: (\d) \([\d.]+%\)$", out, re.MULTILINE)]


def probabilities(out: str) -> np.ndarray:
    return np.array([float(share) for share in re.findall(r"^  \d +([\d.]+)%", out, re.MULTILINE)]) / 100


def test_predict_prints_ten_probabilities(trained: tuple[Path, str], picture: Path) -> None:
    status, out, _ = run("predict", picture, "--weights", trained[0] / "lenet5.npz", "--threads", 1)
    assert status == 0
    shares = probabilities(out)
    assert shares.shape == (10,)
    assert abs(shares.sum() - 1) < 0.001
    assert read(out) == [int(shares.argmax())]
    assert "█" in out


def test_predict_reads_digits_of_either_ground_and_any_size(trained: tuple[Path, str], tmp_path: Path) -> None:
    _, (images, labels) = digits.load_data()
    files = []
    for index in range(60):
        ink = Image.fromarray(images[index]).resize(
            [(32, 32), (200, 200), (90, 90)][index % 3], Image.Resampling.BICUBIC
        )
        page = Image.new("L", (ink.width * 2, ink.height * 3 // 2), 0)
        page.paste(ink, [(0, 0), (ink.width // 2, ink.height // 4), (ink.width, 10)][index // 20])
        light, dark = [(255, 0), (230, 40), (0, 255), (70, 200)][index % 4]
        shades = np.asarray(page) / 255
        files.append(tmp_path / f"{index}.png")
        Image.fromarray((light + (dark - light) * shades).astype(np.uint8)).save(files[-1])
    status, out, _ = run("predict", *files, "--weights", trained[0] / "lenet5.npz")
    assert status == 0
    assert (np.array(read(out)) == labels[:60]).mean() >= 0.95


@pytest.fixture
def as_saved(picture: Path, tmp_path: Path) -> dict[str, Path]:
    """Give one picture in many forms."""
    grey = Image.open(picture).convert("L").resize((128, 128))
    ink = 255 - np.asarray(grey)
    sheet = np.zeros((128, 128, 4), np.uint8)
    sheet[..., 3] = ink
    white = sheet.copy()
    white[..., :3] = 255
    colour = np.stack([255 - ink // 3, 255 - ink // 2, 255 - ink], axis=-1)
    forms = {
        "grey.png": grey,
        "negative.png": Image.fromarray(ink),
        "photo.jpg": Image.fromarray(colour),
        "colour.bmp": Image.fromarray(colour),
        "palette.gif": grey.convert("P"),
        "scan.tiff": Image.fromarray(np.asarray(grey, np.uint16) * 257),
        "depth16.png": Image.fromarray(ink.astype(np.uint16) * 64),
        "float.tiff": Image.fromarray(ink.astype(np.float32) / 255),
        "black-ink.png": Image.fromarray(sheet),
        "white-ink.png": Image.fromarray(white),
        "web.webp": grey.convert("RGB"),
        "large.png": grey.resize((1500, 1500), Image.Resampling.BICUBIC),
    }
    for name, image in forms.items():
        image.save(tmp_path / name)
    return {name: tmp_path / name for name in forms}


def test_every_form_of_a_picture_reads_the_same(as_saved: dict[str, Path]) -> None:
    expected = read_digit(as_saved["grey.png"])
    assert expected.shape == (32, 32)
    assert expected.dtype == np.float32
    for name, file in as_saved.items():
        got = read_digit(file)
        assert np.abs(got - expected).mean() < 0.02, name
        assert np.corrcoef(got.ravel(), expected.ravel())[0, 1] > 0.98, name


def test_digits_are_centred_like_the_training_data() -> None:
    ink = np.zeros((40, 200))
    ink[5:35, 150:160] = 1
    drawn = centre(ink_of(1 - ink), 32)
    rows, columns = np.flatnonzero(drawn.max(axis=1) > 0.5), np.flatnonzero(drawn.max(axis=0) > 0.5)
    assert (rows[0], rows[-1] + 1) == (6, 26)
    assert (columns[0] + columns[-1] + 1) / 2 == 16
    lopsided = np.zeros((30, 30))
    lopsided[:, :3], lopsided[27:, :] = 1, 1  # an L, heavy at the lower left
    drawn = centre(lopsided, 32).astype(np.float64)
    for axis in (0, 1):
        assert abs(drawn.sum(axis=1 - axis) @ (np.arange(32) + 0.5) / drawn.sum() - 16) < 0.1


def test_specks_and_faint_ground_do_not_move_the_digit() -> None:
    random = np.random.RandomState(0)
    page = 0.8 + 0.02 * random.randn(120, 120)
    page[40:80, 50:70] = 0.2
    clean = centre(ink_of(page))
    page[3, 117] = page[110, 5] = 0.1
    np.testing.assert_allclose(centre(ink_of(page)), clean, atol=0.1)


def test_a_flat_picture_holds_no_digit(tmp_path: Path, trained: tuple[Path, str]) -> None:
    for name, size in [("flat.png", (40, 40)), ("dot.png", (1, 1)), ("line.png", (1, 300))]:
        Image.new("RGB", size, (200, 10, 10)).save(tmp_path / name)
        result = run("predict", tmp_path / name, "--weights", trained[0] / "lenet5.npz")
        assert_refused(result, f"{name}: no digit found")


# --- mishaps -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["learn"], "invalid choice: 'learn'"),
        (["train", "--epochs", "0"], "--epochs: expected a whole number of at least 1, got '0'"),
        (["train", "--epochs", "many"], "got 'many'"),
        (["train", "--batch-size", "-3"], "--batch-size: expected a whole number of at least 1, got '-3'"),
        (["train", "--distort", "101"], "--distort: expected a whole number from 0 to 100, got '101'"),
        (["train", "--seed", "-1"], "--seed: expected a whole number from 0 to 4294967295"),
        (["train", "--threads", "0"], "--threads: expected a whole number from 1 to 1024, got '0'"),
        (["train", "--learning-rate", "nan"], "--learning-rate: expected a number above 0, got 'nan'"),
        (["train", "--optimizer", "magic"], "invalid choice: 'magic'"),
        (["train", "--data", "nowhere"], "nowhere: no such file or folder; fastconv downloads nothing"),
        (["train", "--data", "."], "no train-images-idx3-ubyte"),
        (["train", "--data", "text.txt"], r"text\.txt: not an \.npz file"),
        (["train", "--output", "text.txt"], r"text\.txt: "),
        (["predict"], "the following arguments are required: IMAGE"),
        (["predict", "text.txt"], "fastconv-run/lenet5.npz: no such file; 'fastconv train' makes one"),
        (["predict", "text.txt", "--weights", "."], r"\.: not a regular file"),
        (["predict", "text.txt", "--weights", "text.txt"], r"text\.txt"),
        (["predict", "text.txt", "--weights", "WEIGHTS"], r"text\.txt: not a picture that Pillow can read"),
        (["predict", "gone.png", "--weights", "WEIGHTS"], r"gone\.png: no such file"),
        (["predict", ".", "--weights", "WEIGHTS"], r"\.: not a regular file"),
        (["predict", "pipe", "--weights", "WEIGHTS"], "pipe: not a regular file"),
    ],
)
def test_one_line_and_status_2(
    arguments: list[str], message: str, trained: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    Path("text.txt").write_text("neither a picture\nnor a model\n")
    os.mkfifo("pipe")
    weights = str(trained[0] / "lenet5.npz")
    assert_refused(run(*(weights if word == "WEIGHTS" else word for word in arguments)), message)


def test_a_model_of_other_shapes_is_refused(tmp_path: Path, picture: Path) -> None:
    layers = fastconv.layers
    for name, stack in {
        "flat": [layers.Input((784,)), layers.Dense(10)],
        "colour": [layers.Input((32, 32, 3)), layers.Flatten(), layers.Dense(10)],
        "oblong": [layers.Input((32, 28, 1)), layers.Flatten(), layers.Dense(10)],
        "two": [layers.Input((32, 32, 1)), layers.Flatten(), layers.Dense(2)],
    }.items():
        fastconv.Sequential(stack).save(tmp_path / f"{name}.npz")
        result = run("predict", picture, "--weights", tmp_path / f"{name}.npz")
        assert_refused(result, rf"{name}\.npz: expected a model from \(None, 32, 32, 1\)")


def test_a_model_that_gives_no_probabilities_is_refused(tmp_path: Path, picture: Path) -> None:
    layers = fastconv.layers
    model = fastconv.Sequential([layers.Input((32, 32, 1)), layers.Flatten(), layers.Dense(10)])
    model.save(tmp_path / "logits.npz")
    result = run("predict", picture, "--weights", tmp_path / "logits.npz")
    assert_refused(result, "its output is not ten probabilities")


def test_a_model_of_another_size_is_served(tmp_path: Path, picture: Path) -> None:
    layers = fastconv.layers
    model = fastconv.Sequential([layers.Input((28, 28, 1)), layers.Flatten(), layers.Dense(10, activation="softmax")])
    model.save(tmp_path / "small.npz")
    assert run("predict", picture, "--weights", tmp_path / "small.npz")[0] == 0


@pytest.mark.parametrize(
    ("module", "arguments", "message"),
    [
        ("matplotlib", ["train"], "drawing pictures .* needs matplotlib, which is not installed"),
        ("matplotlib", ["bench"], "drawing pictures .* needs matplotlib, which is not installed"),
        ("sklearn.datasets", ["train", "--no-pictures"], "the digits come with scikit-learn"),
        ("PIL", ["predict", "digit.png", "--weights", "WEIGHTS"], "reading a picture needs Pillow"),
    ],
)
def test_a_missing_extra_says_what_to_install(
    module: str,
    arguments: list[str],
    message: str,
    trained: tuple[Path, str],
    picture: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(picture.parent)
    monkeypatch.setitem(sys.modules, module, None)
    weights = str(trained[0] / "lenet5.npz")
    result = run(*(weights if word == "WEIGHTS" else word for word in arguments))
    assert_refused(result, rf"{message}.*pip install 'fastconv\[demo\]'")


def test_a_picture_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("1", (400, 400)).save(tmp_path / "large.png")
    for limit in (100_000, 1000):  # Pillow warns of the first and refuses the second
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(CommandError, match=r"large\.png: picture too large"):
            read_digit(tmp_path / "large.png")


@pytest.mark.parametrize("name", ["grey.png", "photo.jpg", "colour.bmp", "palette.gif", "scan.tiff", "web.webp"])
def test_damaged_pictures(name: str, as_saved: dict[str, Path], trained: tuple[Path, str]) -> None:
    file = as_saved[name]
    refused = 0
    for turn, data in enumerate(damaged(file.read_bytes(), 250, seed=11)):
        file.write_bytes(data)
        if turn % 10 == 0:
            result = run("predict", file, "--weights", trained[0] / "lenet5.npz")
            assert result[0] in (0, 2)
            if result[0] == 2:
                assert_refused(result, name)
            continue
        try:
            assert read_digit(file).shape == (32, 32)
        except CommandError as error:
            assert name in str(error)  # noqa: PT017
            refused += 1
    assert refused > 40


@pytest.mark.parametrize("kind", ["npz", "safetensors"])
def test_damaged_models(kind: str, trained: tuple[Path, str], picture: Path, tmp_path: Path) -> None:
    file = tmp_path / f"broken.{kind}"
    fastconv.models.load_model(trained[0] / "lenet5.npz").save(file)
    good = file.read_bytes()
    refused = 0
    with np.errstate(all="ignore"):  # a flipped bit makes a weight of 1e38
        for data in damaged(good, 500, seed=13):
            file.write_bytes(data)
            result = run("predict", picture, "--weights", file)
            assert result[0] in (0, 2)
            if result[0] == 2:
                assert_refused(result, rf"broken\.{kind}")
                refused += 1
    assert refused > 150


def test_damaged_data(tmp_path: Path) -> None:
    data = mnist_folder(tmp_path / "mnist")
    file = data / "t10k-labels-idx1-ubyte"
    good = file.read_bytes()
    for broken in (good[:7], good[:-1], b"\xff" + good[1:], good[:4] + b"\xff" * 4 + good[8:], b""):
        file.write_bytes(broken)
        result = run("train", "--data", data, "--output", tmp_path / "out", "--no-pictures")
        assert_refused(result, "t10k-labels-idx1-ubyte")


# --- info, and the command itself --------------------------------------------------------------------------------


def test_info() -> None:
    status, out, err = run("info")
    assert (status, err) == (0, "")
    assert fastconv.__version__ in out
    assert np.__version__ in out
    assert all(isa in out for isa in fastconv.available_isas())
    assert re.search(rf"threads\s+{fastconv.get_num_threads()}\b", out)
    assert re.search(r"OpenMP\s+\S+", out)


def test_info_follows_the_choice() -> None:
    for isa in fastconv.available_isas():
        with fastconv.use_isa(isa):
            assert re.search(rf"in use\s+{isa}\b", run("info")[1])


def command(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-P", *arguments]
    return subprocess.run(words, capture_output=True, text=True, check=False, **options)


def test_module_and_entry_point_are_the_same_command() -> None:
    by_module = command("-m", "fastconv", "--version")
    assert (by_module.returncode, by_module.stdout) == (0, f"fastconv {fastconv.__version__}\n")
    script = shutil.which("fastconv", path=str(Path(sys.executable).parent))
    assert script, "the entry point is not installed"
    by_script = command(script, "predict", "gone.png", "--weights", "gone.npz")
    assert by_script.returncode == 2
    assert by_script.stderr == "fastconv: gone.npz: no such file; 'fastconv train' makes one, --weights names it\n"


def test_help_names_every_option() -> None:
    status, out, _ = run("train", "--help")
    assert status == 0
    for option in ("data", "epochs", "batch-size", "optimizer", "learning-rate", "seed", "threads", "output"):
        assert f"--{option}" in out


def test_the_extras_load_only_when_needed() -> None:
    program = """
import sys
from fastconv.cli import main
import fastconv.cli.train, fastconv.cli.predict, fastconv.cli.pictures, fastconv.datasets
main(["info"])
print(*{"matplotlib", "sklearn", "PIL", "tqdm", "scipy"} & set(sys.modules), "loaded")
"""
    done = command("-c", program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].strip() == "loaded"


def test_a_terminal_without_unicode_gets_question_marks(trained: tuple[Path, str], picture: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    weights = str(trained[0] / "lenet5.npz")
    done = command("-m", "fastconv", "predict", str(picture), "--weights", weights, env=environment)
    assert done.returncode == 0, done.stderr
    assert "?" in done.stdout


def test_a_reader_that_goes_away_is_no_mishap() -> None:
    program = f"{sys.executable} -P -m fastconv info | head -c 1"
    done = subprocess.run(program, shell=True, capture_output=True, text=True, check=False)
    assert done.stderr == ""


# --- the parts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [(KeyboardInterrupt(), 130, "interrupted"), (MemoryError("for 9 TB"), 2, "out of memory for 9 TB")],
)
def test_interruption_and_lack_of_memory(
    error: BaseException, status: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("fastconv.show_config", fail)
    assert run("info") == (status, "", f"fastconv: {message}\n")


def test_distorted_copies_are_new_and_repeatable() -> None:
    (images, _), _ = digits.load_data()
    scaled = images[:50].astype(np.float32) / 255
    copies = distorted(scaled, 3)
    assert copies.dtype == np.float32
    assert copies.min() >= 0
    assert copies.max() <= 1
    np.testing.assert_array_equal(copies, distorted(scaled, 3))
    assert not np.array_equal(copies, distorted(scaled, 4))
    likeness = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(scaled, copies, strict=True)]
    assert 0.5 < np.mean(likeness) < 0.95


def test_pictures_of_extremes(tmp_path: Path) -> None:
    """One epoch, a loss of zero, no mistakes, nothing but mistakes, a filter of zeros: each is drawn."""
    pictures.training_curves({"loss": [0.0]}, tmp_path / "a.png")
    pictures.training_curves({"accuracy": [1.0, 1.0], "val_accuracy": [1.0, 1.0]}, tmp_path / "b.png", test_accuracy=1)
    pictures.filters(np.zeros((3, 3, 2, 1)), tmp_path / "c.png")
    pictures.filters(np.ones((3, 7, 1, 20)), tmp_path / "d.png", bias=np.zeros(20))
    labels = np.arange(40) % 10
    right, wrong = np.eye(10)[labels], np.eye(10)[(labels + 1) % 10]
    pictures.mistakes(np.zeros((40, 8, 8)), labels, right, tmp_path / "e.png")
    pictures.mistakes(np.zeros((40, 8, 8)), labels, wrong, tmp_path / "f.png")
    pictures.confusion_matrix(labels, (labels + 1) % 10, tmp_path / "g.png")
    stages = [pictures.Stage("input", np.zeros((9, 5, 3))), pictures.Stage("output", np.full(10, 0.1))]
    pictures.feature_maps(stages, tmp_path / "h.png", title="Nothing")
    for name in "abcdefgh":
        with Image.open(tmp_path / f"{name}.png") as image:
            assert len(image.convert("RGB").getcolors(1 << 24)) > 10


def test_pictures_of_the_same_numbers_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        pictures.filters(np.arange(50.0).reshape(5, 5, 1, 2), tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


# --- filter ---------------------------------------------------------------------------------------------------------


def test_filter(tmp_path: Path) -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    colour, grey, out = tmp_path / "colour.png", tmp_path / "grey.png", tmp_path / "out.png"
    Image.fromarray(pixels).save(colour)
    Image.fromarray(pixels[..., 0]).save(grey)
    np.save(tmp_path / "kernel.npy", np.array([[0, 0, 0], [1, 0, 0], [0, 0, 0]]))
    (tmp_path / "kernel.csv").write_text("0,0,0\n1,0,0\n0,0,0\n")
    (tmp_path / "kernel.txt").write_text("0 0 0\n\n1 0 0\n0 0 0\n")
    moved = np.concatenate([pixels[:, :1], pixels[:, :-1]], 1)
    for name in ("kernel.npy", "kernel.csv", "kernel.txt"):
        assert run("filter", colour, "--kernel", tmp_path / name, "-o", out) == (0, "", "")
        np.testing.assert_array_equal(np.asarray(Image.open(out)), moved)
    for name, kernel in (("sobel_x", [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]), ("blur", np.full((5, 5), 1 / 25))):
        assert run("filter", grey, "--kernel", name, "-o", out)[0] == 0
        wanted = fastconv.image.correlate(pixels[..., 0].astype(np.float32), kernel)
        wanted = np.clip(np.rint(np.abs(wanted)), 0, 255)
        np.testing.assert_array_equal(np.asarray(Image.open(out)), wanted)
    Image.fromarray((pixels[..., 0] * 256.0).astype(np.uint16)).save(tmp_path / "deep.png")
    assert run("filter", tmp_path / "deep.png", "--kernel", "sharpen", "-o", tmp_path / "out.jpg")[0] == 0


def test_filter_refuses_with_one_line(tmp_path: Path) -> None:
    good, out = tmp_path / "good.png", tmp_path / "out.png"
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(good)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    files = {"words.txt": "a b", "ragged.txt": "1 2\n3", "empty.txt": "", "huge.csv": "nan,1"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    np.save(tmp_path / "line.npy", np.ones(3))
    assert_refused(run("filter", tmp_path / "none.png", "--kernel", "blur", "-o", out), "no such file")
    assert_refused(run("filter", tmp_path, "--kernel", "blur", "-o", out), "not a regular file")
    assert_refused(run("filter", tmp_path / "bad.png", "--kernel", "blur", "-o", out), "not a picture that Pillow")
    assert_refused(run("filter", good, "--kernel", "emboss", "-o", out), "no kernel of that name .*sobel_x")
    for name in (*files, "line.npy"):
        assert_refused(run("filter", good, "--kernel", tmp_path / name, "-o", out), name)
    assert_refused(run("filter", good, "--kernel", "blur", "-o", tmp_path / "out.nothing"), "out.nothing|extension")
    assert_refused(run("filter", good, "--kernel", "blur", "-o", tmp_path / "no" / "out.png"), "out.png")
    assert_refused(run("filter", good, "--kernel", "blur"), "required")
    assert not out.exists()
