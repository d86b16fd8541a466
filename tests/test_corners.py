"""Corners that were wrong once: what a reading by strangers found."""

from __future__ import annotations

import copy
import math
import threading

import numpy as np
import pytest

import fastconv
from fastconv import callbacks, functional, grad, image, layers, models, reference


def unaligned(shape, dtype=np.float32):
    count, size = math.prod(shape), np.dtype(dtype).itemsize
    array = np.zeros(count * size + 1, np.uint8)[1:].view(dtype).reshape(shape)
    assert not array.flags.aligned
    return array


def test_a_gradient_with_one_depth_tap_left_takes_its_weights():
    w = np.zeros((1, 1, 2, 3, 3), np.float32)
    w[0, 0, 0], w[0, 0, 1] = 1, 100
    g, options = np.ones((1, 1, 1, 4, 4), np.float32), {"stride": (2, 1, 1), "padding": (1, 1, 1)}
    got = grad.conv3d_input((1, 1, 1, 4, 4), w, g, **options)
    assert (got == reference.conv3d_input((1, 1, 1, 4, 4), w, g, **options)).all()


def test_separable_passes_overflow_no_earlier_than_their_sum():
    binomial = np.array([1, 4, 6, 4, 1], np.float32) / 16
    x = np.full((1, 1, 8, 24), 1e38, np.float32)
    got = functional.conv2d(x, np.outer(binomial, binomial)[None, None])
    assert np.allclose(got, 1e38)


def test_a_dilation_that_wraps_is_refused():
    far = -(-(2**64) // 192)
    x, w = np.ones((1, 1, 1, 1), np.float32), np.ones((1, 1, 3, 3), np.float32)
    with pytest.raises((ValueError, MemoryError)):
        functional.conv2d(x, w, padding=(1, far), dilation=(1, far), algorithm="winograd")


@pytest.mark.parametrize("pool", [functional.avg_pool2d, functional.avg_pool3d])
def test_a_divisor_may_be_numpys(pool):
    x = np.arange(64.0).reshape(1, 1, 4, 4, 4)[(0,) * (pool is functional.avg_pool2d)]
    assert (pool(x, 2, divisor_override=np.int64(3)) == pool(x, 2, divisor_override=3)).all()


def test_dropout_of_one_number():
    assert functional.dropout(np.array(1.0, "f")) in (0, 2)


def test_batch_norm_of_nothing():
    mean, variance = np.zeros(2), np.ones(2)
    got = functional.batch_norm(np.empty((0, 2, 3)), mean, variance, training=True)
    assert got.shape == (0, 2, 3)
    assert not mean.any()
    assert (variance == 1).all()


def test_training_on_nothing_moves_no_average():
    layer = layers.BatchNormalization()
    layer(np.ones((2, 3), np.float32))
    layer(np.empty((0, 3), np.float32), training=True)
    assert all(np.isfinite(weight).all() for weight in layer.get_weights())


def test_gradients_of_images_round_between_passes():
    a = np.array([[0.4, 9.6, 0.4]] * 3) + np.eye(3) * 0.7
    assert image.sobel(a, output=np.int32)[0].tolist() == [33, 0, -36]
    assert image.laplace(a, output=np.int32)[0].tolist() == [8, -17, 9]
    assert image.sobel(a.astype(">f4")).dtype.isnative
    assert (image.gaussian_laplace(a, 1, axes=()) == a).all()
    for name, options in {"sigma": (math.inf,), "truncate": (1, 0, None, "reflect", 0.0, math.inf)}.items():
        with pytest.raises(ValueError, match=name):
            image.gaussian_filter(a, *options)


def test_merging_wants_one_batch_size():
    with pytest.raises(ValueError, match="different batch sizes"):
        layers.Add()([np.ones((4, 3)), np.ones((1, 3))])


def small(**compiled):
    model = models.Sequential(
        [layers.Input((8, 8, 1)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(3, activation="softmax")]
    )
    if compiled:
        model.compile(loss="sparse_categorical_crossentropy", **compiled)
    return model


def data(n=12):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, 8, 8, 1), np.float32), rng.integers(0, 3, n)


def test_a_loss_that_is_not_a_number_is_seen():
    x, y = data()
    x[5] = np.nan
    model = small(optimizer="sgd")
    history = model.fit(x, y, epochs=4, verbose=0, callbacks=[callbacks.TerminateOnNaN()])
    assert len(history.history["loss"]) == 1
    assert math.isnan(history.history["loss"][0])


def test_class_weights_are_for_training_alone():
    x, y = data(16)
    model = small(optimizer=fastconv.optimizers.SGD(0.0))
    weights = dict.fromkeys(range(3), 10.0)
    history = model.fit(x, y, validation_split=0.5, class_weight=weights, verbose=0, shuffle=False).history
    assert history["val_loss"][0] == pytest.approx(model.evaluate(x[8:], y[8:], verbose=0), rel=1e-5)


def test_a_refused_shape_leaves_the_model_to_be_built():
    model = models.Sequential([layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(2)])
    with pytest.raises(ValueError, match=r"conv2d|shape|dim"):
        model.predict(np.zeros((2, 28, 28)), verbose=0)
    assert model.predict(np.zeros((2, 28, 28, 1)), verbose=0).shape == (2, 2)


def test_threads_build_a_model_once():
    x = np.ones((1, 12, 12, 1), np.float32)
    for _ in range(5):
        model = models.Sequential([layers.Conv2D(8, 3), layers.Flatten(), layers.Dense(300)])
        workers = [threading.Thread(target=model.predict_on_batch, args=(x,)) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert len(model.weights) == 4


def test_unaligned_images_are_predicted():
    model, x = small(), unaligned((2, 8, 8, 1))
    x[...] = data(2)[0]
    assert (model.predict(x, verbose=0) == model.predict(x.copy(), verbose=0)).all()
    assert (model.predict_on_batch(x) == model.predict_on_batch(x.copy())).all()
    normal = models.Sequential([layers.Input((8, 8, 1)), layers.BatchNormalization()])
    assert normal(x, training=True).shape == x.shape


@pytest.mark.parametrize(
    "built",
    [
        [layers.AveragePooling2D(2), layers.Conv2D(4, 3)],
        [layers.Conv2D(1, 3), layers.AveragePooling2D(3, padding="same"), layers.Conv2D(2, 3)],
        [layers.Conv2D(4, 3), layers.AveragePooling2D(9, 2), layers.Conv2D(4, 2)],
    ],
    ids=["one channel", "a channel in between", "long sums"],
)
def test_an_image_alone_has_the_bits_of_a_batch(built):
    model = models.Sequential([layers.Input((32, 32, 1)), *built])
    x = np.random.default_rng(1).standard_normal((37, 32, 32, 1), np.float32)
    together = model.predict_on_batch(x)
    alone = np.concatenate([model.predict_on_batch(x[i : i + 1]) for i in range(len(x))])
    assert (together == alone).all()


def test_a_copied_model_trains_like_the_original():
    x, y = data()
    model = small(optimizer="sgd")
    model.predict(x, verbose=0)
    other = copy.deepcopy(model)
    losses = [one.fit(x, y, epochs=3, verbose=0, shuffle=False).history["loss"] for one in (model, other)]
    assert losses[0] == losses[1]
    assert losses[0][-1] < losses[0][0]
    assert all((a == b).all() for a, b in zip(model.get_weights(), other.get_weights(), strict=True))


def test_predictions_are_never_the_callers_memory():
    model = models.Sequential([layers.Input((4,)), layers.Dropout(0.5)])
    x = np.ones((3, 4), np.float32)
    model.predict_on_batch(x)[:] = 5
    assert (x == 1).all()


def test_a_stride_of_billions_is_refused_at_once() -> None:
    one = np.ones((1, 1, 1), np.float32)
    with pytest.raises(ValueError, match=r"^stride: expected a product over the axes of at most 1048576"):
        grad.conv1d_input((1, 1, 3_037_000_500), one, one, stride=3_037_000_500)


def test_pads_that_equal_each_other_are_told_apart() -> None:
    x = np.ones((1, 1, 4), np.float32)
    assert functional.pad(x, (1, 1)).shape == (1, 1, 6)
    for wrong in ((1.0, 1.0), (True, True)):
        with pytest.raises(TypeError, match=r"^pad: "):
            functional.pad(x, wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^mode: "):
        functional.pad(x, (1, 1), ["reflect"])  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pads_of_rows_of_any_length(dtype: type) -> None:
    """Short rows are copied in blocks, the last of which meets the one before it; long ones by the library."""
    modes = {"reflect": "reflect", "replicate": "edge", "circular": "wrap", "constant": "constant"}
    for width in (3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 64, 67, 255, 256, 511, 513, 700):
        x = np.arange(2 * 3 * width, dtype=dtype).reshape(1, 2, 3, width)
        for name, numpys in modes.items():
            want = np.pad(x, ((0, 0), (0, 0), (1, 2), (2, 1)), numpys)  # type: ignore[call-overload]
            np.testing.assert_array_equal(functional.pad(x, (2, 1, 1, 2), name), want)  # type: ignore[arg-type]
            out = np.full_like(want, 7)
            assert functional.pad(x, [2, 1, 1, 2], name, out=out) is out  # type: ignore[arg-type]
            np.testing.assert_array_equal(out, want)


def test_pads_along_many_axes_and_into_any_memory() -> None:
    x = np.arange(2 * 3 * 4 * 5, dtype=np.float64).reshape(2, 3, 4, 5)
    pad = (1, 0, 2, 1, 0, 3, 1, 1)
    want = np.pad(x, ((1, 1), (0, 3), (2, 1), (1, 0)), constant_values=2.5)
    out = np.zeros((*want.shape, 2))[..., 0]
    for source in (x, np.asfortranarray(x), x.astype(">f8"), x[:, ::-1][:, ::-1]):
        np.testing.assert_array_equal(functional.pad(source, pad, value=2.5), want)
        assert functional.pad(source, pad, value=2.5, out=out) is out
        np.testing.assert_array_equal(out, want)
    for mode, theirs in (("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")):
        for channels in (1, 2, 3, 4, 9):
            images = np.random.default_rng(channels).standard_normal((2, 6, 7, channels)).astype(np.float32)
            got = functional.pad(images, (2, 1, 0, 3), mode, layout="NHWC")  # type: ignore[arg-type]
            np.testing.assert_array_equal(got, np.pad(images, ((0, 0), (0, 3), (2, 1), (0, 0)), theirs))  # type: ignore[call-overload]


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("groups", [16, 1])
def test_weights_that_are_not_finite_show_at_every_border(layout: str, groups: int) -> None:
    for size, stride, dilation in ((3, 1, 1), (5, 2, 1), (3, 1, 2), (3, 2, 1)):
        x, w = np.ones((13, 16, 9, 9), np.float32), np.ones((16, 16 // groups, size, size), np.float32)
        w[:, :, 0, 0], w[:, :, -1, 1] = np.inf, np.nan
        options = {"stride": stride, "padding": size // 2 * dilation, "dilation": dilation, "groups": groups}
        want = reference.conv2d(x.astype(np.float64), w.astype(np.float64), **options)
        if layout == "NHWC":
            x, w, want = x.transpose(0, 2, 3, 1), w.transpose(2, 3, 1, 0), want.transpose(0, 2, 3, 1)
        for algorithm in ("auto", "direct"):
            plan = fastconv.plan_conv2d(x.shape, w, **options, layout=layout, algorithm=algorithm)  # type: ignore[arg-type]
            got = functional.conv2d(x, w, **options, layout=layout, algorithm=algorithm)  # type: ignore[arg-type]
            for result in (got, plan(x)):
                np.testing.assert_array_equal(np.isnan(result), np.isnan(want))
