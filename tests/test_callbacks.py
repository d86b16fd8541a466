"""Callbacks: when they are called, when they stop, save, write and set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastconv import Input, Sequential, callbacks, layers, models, optimizers

ROWS = np.random.default_rng(1).standard_normal((12, 3)).astype(np.float32)


def model(rate: float = 0.1) -> Sequential:
    made = Sequential([Input((3,)), layers.Dense(1)])
    made.compile(optimizers.SGD(rate), "mse", metrics=["mae"])
    return made


def fit(callback: Any, epochs: int = 3, one: Sequential | None = None, **options: Any) -> callbacks.History:
    one = one or model()
    return one.fit(ROWS, ROWS.sum(1), batch_size=5, epochs=epochs, verbose=0, callbacks=callback, **options)


class Scripted(callbacks.Callback):
    """Puts values of its own into the logs of an epoch, before other callbacks see them."""

    def __init__(self, name: str, values: list[float]) -> None:
        self.name, self.values = name, values

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs[self.name] = self.values[epoch]


EVENTS = [name for name in dir(callbacks.Callback) if name.startswith("on_")]


def test_events_come_in_keras_order() -> None:
    seen: list[Any] = []

    class Listener(callbacks.Callback):
        pass

    for event in EVENTS:
        setattr(
            Listener, event, lambda self, *args, event=event: seen.append((event, *args[:-1], sorted(args[-1] or {})))
        )
    one = model()
    fit(Listener(), epochs=1, one=one, validation_split=0.25)
    names = ["loss", "mae"]
    batches = [("on_train_batch_begin", 0, []), ("on_train_batch_end", 0, names)]
    batches += [("on_train_batch_begin", 1, []), ("on_train_batch_end", 1, names)]
    tests = [
        ("on_test_begin", []),
        ("on_test_batch_begin", 0, []),
        ("on_test_batch_end", 0, names),
        ("on_test_end", names),
    ]
    ends = [("on_epoch_end", 0, [*names, "val_loss", "val_mae"]), ("on_train_end", [*names, "val_loss", "val_mae"])]
    assert seen == [("on_train_begin", []), ("on_epoch_begin", 0, []), *batches, *tests, *ends]
    seen.clear()
    one.predict(ROWS[:3], callbacks=[Listener()], verbose=0)
    batch = [("on_predict_batch_begin", 0, []), ("on_predict_batch_end", 0, ["outputs"])]
    assert seen == [("on_predict_begin", []), *batch, ("on_predict_end", [])]


def test_batch_logs_run_over_the_epoch() -> None:
    losses: list[float] = []
    history = fit(
        callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: losses.append(logs["loss"])), epochs=2
    )
    assert len(losses) == 6
    assert losses[2] == history.history["loss"][0]
    assert losses[5] == history.history["loss"][1]


def test_lambda_callback() -> None:
    seen: list[Any] = []
    fit(
        callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: seen.append(epoch),
            on_train_end=lambda logs: seen.append(sorted(logs)),
            on_test_begin=lambda logs: seen.append("test"),
        ),
        epochs=2,
        validation_split=0.5,
    )
    assert seen == [0, "test", 1, "test", ["loss", "mae", "val_loss", "val_mae"]]
    with pytest.raises(ValueError, match="unknown event 'on_lunch'"):
        callbacks.LambdaCallback(on_lunch=print)


@pytest.mark.parametrize(
    ("values", "options", "epochs", "best"),
    [
        ([5, 4, 3, 3, 3, 3], {}, 4, 3),
        ([5, 4, 3, 3, 3, 3], {"patience": 2}, 5, 3),
        ([5, 4, 4.5, 3, 2, 1], {"patience": 2}, 6, 1),
        ([5, 4.9, 4.8, 4.7, 4.6, 4.5], {"min_delta": 1}, 2, 5),
        ([1, 2, 3, 2, 3, 4], {"mode": "max"}, 4, 3),
        ([5, 4, 3, 2, 1, 0], {"baseline": 2.5, "patience": 2}, 6, 0),
        ([5, 6, 7, 3, 4, 5], {"start_from_epoch": 3}, 5, 3),
    ],
)
def test_early_stopping(values: list[float], options: dict[str, Any], epochs: int, best: float) -> None:
    stop = callbacks.EarlyStopping("score", **({"mode": "min"} | options))
    history = fit([Scripted("score", values), stop], epochs=6)
    assert len(history.epoch) == epochs
    assert stop.best == best
    assert stop.stopped_epoch == (0 if epochs == 6 else epochs - 1)


def test_early_stopping_restores_the_best_weights(capsys: pytest.CaptureFixture[str]) -> None:
    one = model()
    kept: list[Any] = []
    keep = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: kept.append(one.get_weights()))
    stop = callbacks.EarlyStopping("score", patience=2, mode="min", restore_best_weights=True, verbose=1)
    fit([Scripted("score", [3, 1, 2, 2, 2]), keep, stop], epochs=5, one=one)
    assert len(kept) == 4
    for mine, other in zip(one.get_weights(), kept[1], strict=True):
        np.testing.assert_array_equal(mine, other)
    assert stop.best_epoch == 1
    said = capsys.readouterr().out
    assert said == "Epoch 4: early stopping\nRestoring model weights from the end of the best epoch: 2.\n"
    kept.clear()
    fit([Scripted("score", [1, 2, 3]), keep, stop], epochs=3, one=one)
    assert len(kept) == 3


def test_which_direction_is_better() -> None:
    one = model()
    for monitor in ("val_loss", "loss", "val_mae", "mae"):
        stop = callbacks.EarlyStopping(monitor)
        fit([stop], epochs=1, one=one, validation_split=0.5)
        assert stop._improves(1.0, 2.0)
    classes = Sequential([Input((3,)), layers.Dense(2, activation="softmax")])
    classes.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    stop = callbacks.EarlyStopping("val_accuracy")
    classes.fit(ROWS, np.zeros(12), validation_split=0.5, verbose=0, callbacks=[stop])
    assert stop._improves(2.0, 1.0)
    with pytest.raises(ValueError, match=r"monitor=score, but it is not known whether .* Pass `mode='max'`"):
        fit([Scripted("score", [1, 2]), callbacks.EarlyStopping("score")], epochs=2)
    with pytest.warns(UserWarning, match="mode 'up' is unknown, fallback to auto mode"):
        callbacks.EarlyStopping(mode="up")


def test_a_value_that_is_not_there_is_a_warning() -> None:
    with pytest.warns(UserWarning, match="`val_loss` which is not available. Available metrics are: loss,mae"):
        history = fit(callbacks.EarlyStopping(), epochs=2)
    assert len(history.epoch) == 2


def test_model_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    every = callbacks.ModelCheckpoint(tmp_path / "e{epoch:02d}.npz", verbose=1)
    batches = callbacks.ModelCheckpoint(tmp_path / "b{epoch}-{batch}.npz", save_freq=2, save_weights_only=True)
    best = callbacks.ModelCheckpoint(tmp_path / "best{epoch}.safetensors", "score", save_best_only=True, mode="max")
    fit([Scripted("score", [1, 3, 2]), every, batches, best], epochs=3)
    names = ["b1-2.npz", "b2-1.npz", "b2-3.npz", "b3-2.npz", "best1.safetensors", "best2.safetensors"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [*names, "e01.npz", "e02.npz", "e03.npz"]
    assert models.load_model(tmp_path / "e03.npz").optimizer.iterations == 9
    model().load_weights(tmp_path / "b3-2.npz")
    assert "Epoch 3: saved to " in capsys.readouterr().out
    high = callbacks.ModelCheckpoint(tmp_path / "high.npz", "score", 1, True, mode="max", initial_value_threshold=5)
    fit([Scripted("score", [4, 5, 6]), high], epochs=3)
    assert high.best == 6
    assert capsys.readouterr().out.splitlines()[:2] == [
        f"Epoch {n}: score did not improve from 5.00000" for n in (1, 2)
    ]
    with pytest.warns(UserWarning, match="Saving the best model is conditioned on metric `val_loss` which is not"):
        fit(callbacks.ModelCheckpoint(tmp_path / "any.npz", save_best_only=True), epochs=1)
    assert (tmp_path / "any.npz").exists()


def test_model_checkpoint_mistakes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a name that ends in .npz or .safetensors, got 'model.h5'"):
        callbacks.ModelCheckpoint("model.h5")
    with pytest.raises(ValueError, match="save_freq: expected 'epoch' or a positive int, got 'weekly'"):
        callbacks.ModelCheckpoint("model.npz", save_freq="weekly")
    with pytest.raises(KeyError, match="Failed to format this callback filepath"):
        fit(callbacks.ModelCheckpoint(tmp_path / "{nothing}.npz"), epochs=1)


def test_csv_logger(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    history = fit(callbacks.CSVLogger(path), epochs=2)
    lines = path.read_text().splitlines()
    assert lines[0] == "epoch,loss,mae,val_loss,val_mae"
    *numbers, first, second = lines[2].split(",")
    assert [float(value) for value in numbers] == [1, *(history.history[k][1] for k in ("loss", "mae"))]
    assert (first, second) == ("NA", "NA")
    assert len(lines) == 3
    fit(callbacks.CSVLogger(path, append=True), epochs=1)
    assert len(path.read_text().splitlines()) == 4
    assert path.read_text().count("epoch") == 1
    fit(callbacks.CSVLogger(str(path), separator=";"), epochs=2, validation_split=0.5, validation_freq=2)
    lines = path.read_text().splitlines()
    assert lines[0] == "epoch;loss;mae;val_loss;val_mae"
    assert lines[1].endswith(";NA;NA")
    assert "NA" not in lines[2]
    fit([callbacks.CSVLogger(path)], epochs=1, validation_split=0.5)
    assert path.read_text().splitlines()[0] == "epoch,loss,mae,val_loss,val_mae"


def test_learning_rate_callbacks(capsys: pytest.CaptureFixture[str]) -> None:
    one = model(0.1)
    fit(callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2, verbose=1), epochs=2, one=one)
    assert one.optimizer.learning_rate == pytest.approx(0.025)
    assert "setting learning rate to 0.05." in capsys.readouterr().out
    one = model(1.0)
    lower = callbacks.ReduceLROnPlateau("score", 0.5, patience=2, mode="min", min_lr=0.3, cooldown=1, verbose=1)
    values = [3, 3, 3, 3, 3, 3, 3, 3, 3, 3]
    rates: list[float] = []
    watch = callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: rates.append(one.optimizer.learning_rate))
    fit([Scripted("score", [float(v) for v in values]), watch, lower], epochs=10, one=one)
    assert rates == [1.0, 1.0, 1.0, 0.5, 0.5, 0.3, 0.3, 0.3, 0.3, 0.3]
    assert "ReduceLROnPlateau reducing learning rate to 0.5." in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"does not support a factor >= 1.0"):
        callbacks.ReduceLROnPlateau(factor=1.0)


def test_terminate_on_nan(capsys: pytest.CaptureFixture[str]) -> None:
    one = model()
    one.set_weights([np.full((3, 1), np.nan), np.zeros(1)])
    history = fit(callbacks.TerminateOnNaN(), epochs=5, one=one)
    assert len(history.epoch) == 1
    assert one.optimizer.iterations == 1
    assert capsys.readouterr().out == "Batch 0: Invalid loss, terminating training\n"


def test_stop_training_ends_after_the_batch_or_epoch() -> None:
    one = model()

    class Stop(callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.stop_training = epoch == 1

    assert fit(Stop(), epochs=9, one=one).epoch == [0, 1]
    assert fit(callbacks.Callback(), epochs=2, one=one).epoch == [0, 1]
