"""Ctrl-C ends a long call: in a child, whose signal comes while a call that would take many seconds runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import fastconv
import fastconv.functional as fn
from fastconv import grad, layers, models

CHILD = """
import os, signal, threading, time
import numpy as np
import fastconv
from fastconv import functional as F, grad, image, layers, models

def fire():
    time.sleep(0.3)
    signals.append(time.process_time())
    os.kill(os.getpid(), signal.SIGINT)

signals = []
fastconv.set_num_threads({threads})
rng = np.random.default_rng(0)
{prepare}
threading.Thread(target=fire).start()
try:
    {call}
except KeyboardInterrupt:
    late = time.process_time() - signals[0]  # of all threads together; a busy machine does not make it longer
    ones = F.conv2d(np.ones((1, 8, 64, 64), np.float32), np.ones((8, 8, 3, 3), np.float32), algorithm="direct")
    assert (ones == 72).all()
    print("interrupted", late)
else:
    print("finished")
"""

NETWORK = """
network = models.Sequential([layers.Input((32, 32, 1)), layers.Conv2D(16, 5, activation="tanh"),
                             layers.Conv2D(64, 5, activation="tanh"), layers.AveragePooling2D(12), layers.Flatten(),
                             layers.Dense(10, activation="softmax")])
network.compile("sgd", "sparse_categorical_crossentropy")
x = np.ones((20000, 32, 32, 1), np.float32)
network.predict(x[:2], verbose=0)
"""

# Nearly all of its time goes to a pool of 51 x 51 windows, which a step of the program runs by itself.
POOLS = """
network = models.Sequential([layers.Input((100, 100, 1)), layers.AveragePooling2D(50, strides=1), layers.Flatten(),
                             layers.Dense(10, activation="softmax")])
network.compile("sgd", "sparse_categorical_crossentropy")
x = np.ones((8000, 100, 100, 1), np.float32)
network.predict(x[:2], verbose=0)
"""

# What takes several seconds, most of it twenty, from little memory.
LONG = {
    "conv": (
        "x, w = np.ones((1, 32, 256, 256), np.float32), np.ones((64, 32, 63, 63), np.float32)",
        "F.conv2d(x, w, padding=31)",
    ),
    "conv of channels last": (
        "x, w = np.ones((1, 256, 256, 32), np.float32), np.ones((63, 63, 32, 64), np.float32)",
        "F.conv2d(x, w, padding=31, layout='NHWC')",
    ),
    "transposed conv": (
        "x, w = np.ones((1, 64, 256, 256), np.float32), np.ones((64, 32, 63, 63), np.float32)",
        "F.conv_transpose2d(x, w, stride=2)",
    ),
    "winograd": (
        "x, w = np.ones((2, 512, 128, 128), np.float32), np.ones((1024, 512, 3, 3), np.float32)",
        "F.conv2d(x, w, padding=1, algorithm='winograd')",
    ),
    "depthwise": (
        "x, w = np.ones((1, 512, 512, 32), np.float32), np.ones((127, 127, 1, 32), np.float32)",
        "F.conv2d(x, w, groups=32, padding=63, layout='NHWC')",
    ),
    "weight gradient": (
        "x, g = np.ones((2, 64, 256, 256), np.float32), np.ones((2, 64, 256, 256), np.float32)",
        "grad.conv2d_weight(x, (64, 64, 31, 31), g, padding=15)",
    ),
    "max pool": (
        "x = np.resize(rng.normal(size=1000).astype(np.float32), (1, 64, 512, 512))",
        "F.max_pool2d(x, 255, stride=1, padding=127, return_indices=True)",
    ),
    "filter": (
        "x, k = np.ones((2048, 2048), np.float32), rng.normal(size=(129, 129)).astype(np.float32)",
        "image.correlate(x, k)",
    ),
    "predict": (NETWORK, "network.predict(x, batch_size=20000, verbose=0)"),
    "predict on a batch": (NETWORK, "network.predict_on_batch(x)"),
    "predict by windows": (POOLS, "network.predict(x, batch_size=8000, verbose=0)"),
    "fit": (NETWORK, "network.fit(x, np.zeros(20000, int), batch_size=10000, verbose=0)"),
}


@pytest.mark.parametrize("job", LONG)
def test_ctrl_c_ends_a_long_call(job: str) -> None:
    check(job, threads=2)


@pytest.mark.parametrize("job", ["conv", "max pool", "weight gradient"])
def test_ctrl_c_ends_a_long_call_of_one_thread(job: str) -> None:
    check(job, threads=1)


def check(job: str, threads: int) -> None:
    prepare, call = LONG[job]
    program = CHILD.format(threads=threads, prepare=prepare, call=call)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    word, *late = done.stdout.split()
    assert word == "interrupted"
    assert float(late[0]) < 0.5 * threads


def test_a_handler_that_does_not_raise_ends_nothing() -> None:
    program = """
import os, signal, threading, time
import numpy as np
from fastconv import functional as F

seen = []
def handle(number, frame):
    seen.append(float(F.max_pool1d(np.arange(9, dtype=np.float32)[None], 9)[0, 0]))  # the engine serves it

signal.signal(signal.SIGINT, handle)
x, w = np.ones((1, 32, 128, 128), np.float32), np.ones((64, 32, 31, 31), np.float32)
def fire():
    while len(seen) < 2:
        time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)
fires = threading.Thread(target=fire)
fires.start()
got = F.conv2d(x, w)
fires.join()
assert (got == 32 * 31 * 31).all() and set(seen) == {8.0}, seen
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def together(run: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> None:
    # A batch is cut into turns, a single image of it is not.
    for threads in (1, 2, 3):
        fastconv.set_num_threads(threads)
        batch = run(x)
        for i in (0, len(x) // 2, len(x) - 1):
            np.testing.assert_array_equal(batch[i : i + 1], run(x[i : i + 1]))


@pytest.fixture(autouse=True)
def threads_again() -> Iterator[None]:
    before = fastconv.get_num_threads()
    yield
    fastconv.set_num_threads(before)


RNG = np.random.default_rng(7)


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("algorithm", ["direct", "im2col", "winograd"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_turns_change_no_bit_of_a_convolution(algorithm: str, layout: str) -> None:
    x, w = normal(24, 32, 56, 55), normal(48, 32, 3, 3)
    if layout == "NHWC":
        x, w = np.ascontiguousarray(x.transpose(0, 2, 3, 1)), np.ascontiguousarray(w.transpose(2, 3, 1, 0))
    together(lambda part: fn.conv2d(part, w, padding=1, layout=layout, algorithm=algorithm), x)


def test_turns_change_no_bit_of_other_operators() -> None:
    x = normal(40, 16, 64, 61)
    together(lambda part: fn.max_pool2d(part, 13, stride=1), x)
    together(lambda part: fn.avg_pool2d(part, 13, stride=1), x)
    together(lambda part: fn.conv_transpose2d(part, normal_weights(16, 8, 9, 9), stride=2), x)
    together(lambda part: fn.conv2d(part, normal_weights(16, 1, 11, 11), groups=16), x)
    together(lambda part: fn.gelu(part), np.concatenate([x] * 2))
    together(lambda part: fn.softmax(part, 1), np.concatenate([x] * 2))
    together(lambda part: fn.instance_norm(part), np.concatenate([x] * 4))


def normal_weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


def test_turns_change_no_bit_of_gradients() -> None:
    x, g = normal(32, 32, 56, 55), normal(32, 48, 56, 55)
    results = []
    for threads in (1, 2, 3):
        fastconv.set_num_threads(threads)
        results.append(grad.conv2d_weight(x, (48, 32, 3, 3), g, padding=1))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])
    together(lambda part: grad.conv2d_input((len(part), 32, 56, 55), normal_weights(48, 32, 3, 3), part, padding=1), g)


def test_turns_change_no_bit_of_a_network() -> None:
    network = models.Sequential(
        [layers.Input((28, 28, 1)), layers.Conv2D(32, 5, activation="tanh"), layers.Conv2D(32, 5), layers.Flatten()]
    )
    together(lambda part: network.predict_on_batch(part), normal(100, 28, 28, 1))
