"""``fastconv train``: LeNet-5 learns handwritten digits."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastconv
from fastconv.cli import MODEL_FILE
from fastconv.cli.distort import distorted
from fastconv.cli.errors import CommandError, need_matplotlib, reported

SIDE = 32
"""Height and width of LeNet-5's input."""

_VALIDATION_SHARE = 0.1
_RATES = {"adam": 2e-3, "adamw": 2e-3, "rmsprop": 1e-3, "sgd": 2e-2}

Floats = NDArray[np.float32]
Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class Digits:
    """A data set made ready for LeNet-5: images (N, 32, 32, 1) from 0 to 1, labels (N,)."""

    name: str
    train: tuple[Floats, Labels]
    validation: tuple[Floats, Labels]
    test: tuple[Floats, Labels]
    copies: int

    def __str__(self) -> str:
        learned = len(self.train[1]) // (1 + self.copies)
        more = f" and {len(self.train[1]) - learned:,} distorted copies" if self.copies else ""
        return (
            f"{self.name}: {learned:,} digits to learn from{more}, {len(self.validation[1]):,} to validate, "
            f"{len(self.test[1]):,} to test"
        )


def train(options: argparse.Namespace) -> None:
    """Train, evaluate and save as the options say.

    Parameters
    ----------
    options : argparse.Namespace
        The options of ``fastconv train``.

    Raises
    ------
    CommandError
        If the data, the output folder or a package is missing, or the training diverges.
    """
    say: Callable[[str], None] = (lambda _: None) if options.quiet else print
    if not options.no_pictures:
        need_matplotlib()
    folder = Path(options.output)
    with reported(OSError, about=folder):
        folder.mkdir(parents=True, exist_ok=True)
    fastconv.utils.set_random_seed(options.seed)
    fastconv.set_num_threads(options.threads)
    digits = load(options.data, options.distort, options.seed)
    say(str(digits))
    model = fastconv.models.LeNet5()
    if not options.quiet:
        model.summary()
    history, seconds = _fit(model, digits, options, folder / "history.csv")
    probabilities = model.predict(digits.test[0], verbose=0)
    wrong = int((probabilities.argmax(axis=1) != digits.test[1]).sum())
    accuracy = 1 - wrong / len(digits.test[1])
    say(f"Trained for {seconds:.1f} s.")
    print(f"Test accuracy: {accuracy:.2%} ({wrong:,} of {len(digits.test[1]):,} read wrongly)")
    with reported(OSError, about=folder):
        model.save(folder / MODEL_FILE)
        written = [MODEL_FILE, "history.csv"]
        if not options.no_pictures:
            from fastconv.cli.gallery import draw_all

            written += draw_all(model, history, digits.test, probabilities, folder)
    say(f"Written to {folder}: {', '.join(written)}")


def load(data: str, copies: int | None, seed: int) -> Digits:
    """Load a data set, hold validation digits out and add distorted copies of the others.

    Parameters
    ----------
    data : str
        ``"digits"``, ``"mnist"``, or the path of MNIST's files.
    copies : int or None
        Distorted copies of each training digit; None means 2 for ``"digits"`` and 0 for others.
    seed : int
        Of the distortions. The split does not depend on it, so that accuracies can be compared.

    Returns
    -------
    Digits
        The digits at LeNet-5's size.

    Raises
    ------
    CommandError
        If there is no such file, a file is damaged, or scikit-learn is needed and not installed.
    """
    with reported(ImportError, ValueError, OSError):
        if data == "digits":
            name, (learn, test) = "scikit-learn's digits", fastconv.datasets.digits.load_data(SIDE)
        else:
            path = None if data == "mnist" else data
            name, (learn, test) = data, fastconv.datasets.mnist.load_data(path)
    held_out = max(round(len(learn[1]) * _VALIDATION_SHARE), 1)
    if len(learn[1]) <= held_out:
        raise CommandError(f"{data}: {len(learn[1])} training digits are too few")
    if copies is None:
        copies = 2 if data == "digits" else 0
    images, labels = prepared(learn[0]), learn[1]
    train_images, train_labels = images[:-held_out], labels[:-held_out]
    sets = [train_images, *(distorted(train_images, (seed + turn) % 2**32) for turn in range(1, copies + 1))]
    return Digits(
        name=name,
        train=(np.concatenate(sets)[..., None], np.tile(train_labels, 1 + copies)),
        validation=(images[-held_out:, ..., None], labels[-held_out:]),
        test=(prepared(test[0])[..., None], test[1]),
        copies=copies,
    )


def prepared(images: NDArray[np.uint8]) -> Floats:
    """Scale bytes (N, height, width) to 0 … 1 and put them in the middle of 32×32 pixels.

    Parameters
    ----------
    images : ndarray of uint8
        Shape (N, height, width) of at most 32×32.

    Returns
    -------
    ndarray of float32
        Shape (N, 32, 32).

    Examples
    --------
    >>> prepared(np.full((1, 28, 28), 255, np.uint8))[0, :4, 16]
    array([0., 0., 1., 1.], dtype=float32)
    """
    _, height, width = images.shape
    top, left = (SIDE - height) // 2, (SIDE - width) // 2
    board = np.zeros((len(images), SIDE, SIDE), np.float32)
    np.divide(images, 255, out=board[:, top : top + height, left : left + width], dtype=np.float32)
    return board


def _fit(model: Any, digits: Digits, options: argparse.Namespace, log: Path) -> tuple[dict[str, list[float]], float]:
    rate = options.learning_rate or _RATES[options.optimizer]
    model.compile(
        optimizer=_optimizer(options.optimizer, rate), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    start = time.perf_counter()
    with reported(OSError, about=log):
        run = model.fit(
            *digits.train,
            batch_size=options.batch_size,
            epochs=options.epochs,
            validation_data=digits.validation,
            callbacks=[fastconv.callbacks.CSVLogger(str(log))],
            verbose=0 if options.quiet else 1,
        )
    history: dict[str, list[float]] = run.history
    if not all(math.isfinite(value) for values in history.values() for value in values):
        raise CommandError(f"the training diverged, its loss is not finite: try a --learning-rate below {rate:g}")
    return history, time.perf_counter() - start


def _optimizer(name: str, rate: float) -> Any:
    kinds = fastconv.optimizers
    if name == "sgd":
        return kinds.SGD(learning_rate=rate, momentum=0.9, nesterov=True)
    kind = {"adam": kinds.Adam, "adamw": kinds.AdamW, "rmsprop": kinds.RMSprop}[name]
    return kind(learning_rate=rate)
