"""Processes and threads of Python around the engine: every way to start a child, many callers, the end in a call."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import fastconv
import fastconv.functional as fn
from fastconv import models

CHILDREN = """
import multiprocessing
import numpy as np
import fastconv
from fastconv import functional as F

def convolve(seed):
    x = np.random.default_rng(seed).normal(size=(4, 16, 64, 64)).astype(np.float32)
    w = np.random.default_rng(1).normal(size=(16, 16, 3, 3)).astype(np.float32)
    return F.conv2d(x, w, padding=1)

if __name__ == "__main__":
    fastconv.set_num_threads(2)
    expected = [convolve(seed) for seed in range(6)]  # the parent's threads are there
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        got = pool.map(convolve, range(6))
        assert all((a == b).all() for a, b in zip(got, expected, strict=True))
    assert (convolve(0) == expected[0]).all()
    print("same")
"""


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_children_give_the_same_bits(method: str, tmp_path: Path) -> None:
    script = tmp_path / "children.py"
    script.write_text(CHILDREN.format(method=method))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "same"), done.stderr


def test_many_callers_at_once() -> None:
    rng = np.random.default_rng(2)
    network = models.LeNet5()
    images = rng.normal(size=(40, 32, 32, 1)).astype(np.float32)
    x, w = rng.normal(size=(2, 16, 48, 48)).astype(np.float32), rng.normal(size=(16, 16, 3, 3)).astype(np.float32)
    plan = fastconv.plan_conv2d(x.shape, w, padding=1)
    calls = [
        lambda: plan(x),
        lambda: fn.conv2d(x, w, stride=2),
        lambda: fn.max_pool2d(x, 3, stride=1),
        lambda: fn.gelu(x),
        lambda: network.predict_on_batch(images),
    ]
    expected = [call() for call in calls]

    def work(number: int) -> bool:
        return all((calls[i % 5]() == expected[i % 5]).all() for i in range(number, number + 40))

    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(work, range(12)))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="on_exit, by which the end is drawn out")
def test_the_interpreter_ends_while_a_thread_is_in_a_long_call() -> None:
    program = """
import ctypes, sys, threading, time
import numpy as np
import fastconv
from fastconv import functional as F
fastconv.set_num_threads(2)
libc = ctypes.CDLL(None)
libc.on_exit(libc.usleep, None)  # is given the status: the process lives .2 s longer than its interpreter
x, w = np.ones((1, 32, 256, 256), np.float32), np.ones((64, 32, 31, 31), np.float32)
threading.Thread(target=lambda: F.conv2d(x, w), daemon=True).start()
time.sleep(0.1)
print("end")
sys.exit(800 * 256)  # 0 for the system, which keeps its last byte
"""
    for _ in range(4):  # by chance the call ends in time
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "end", "")


def test_subnormals_stay() -> None:
    tiny = np.full(1000, 1e-40, np.float32)
    fastconv.set_num_threads(fastconv.get_num_threads())
    fn.conv2d(np.ones((8, 16, 64, 64), np.float32), np.ones((16, 16, 3, 3), np.float32))
    assert (tiny * np.float32(0.5) > 0).all()  # the process computes with them, after the engine as before it
    assert (fn.conv1d(tiny[None], np.full((1, 1, 1), 0.5, np.float32)) == np.float32(5e-41)).all()
    np.testing.assert_array_equal(fn.leaky_relu(-tiny, 0.5), tiny * np.float32(-0.5))
    assert (fn.max_pool1d(tiny[None], 4) == np.float32(1e-40)).all()
