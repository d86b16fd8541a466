"""The pool of reusable memory: nothing is lent twice, everything comes back, and it stays bounded."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest

import fastconv
from fastconv import _core, functional

MIB = 1 << 20
X = np.ones((1, 4, 128, 128), np.float32)  # relu of it is 256 KiB


@pytest.fixture(autouse=True)
def pool():
    """Start and end with nothing idle and the limit that is documented."""
    fastconv.set_cache_limit(512 * MIB)
    fastconv.empty_cache()
    yield
    gc.collect()
    fastconv.empty_cache()


def test_memory_comes_back_when_the_last_view_dies():
    assert _core.idle_block_bytes() == 0
    result = functional.relu(X)
    address = result.ctypes.data
    view = result[0, 2:, ::3].T
    del result
    assert _core.idle_block_bytes() == 0
    assert (view == 1).all()
    del view
    assert 256 * 1024 <= _core.idle_block_bytes() <= 300 * 1024
    again = functional.relu(X)
    assert again.ctypes.data == address
    assert _core.idle_block_bytes() == 0


def test_results_are_aligned_and_behave_as_arrays():
    result = functional.relu(X)
    assert result.ctypes.data % 64 == 0
    assert result.flags.c_contiguous
    assert result.flags.writeable
    assert type(result) is np.ndarray
    with memoryview(result.base) as memory:
        assert memory.nbytes == result.nbytes
    assert (result.copy() == result).all()
    result += 1
    assert (result == 2).all()


def test_small_results_own_their_memory():
    result = functional.relu(np.ones(1000, np.float32))
    assert result.flags.owndata
    assert _core.idle_block_bytes() == 0


def test_nothing_is_lent_twice():
    rng = np.random.default_rng(3)
    alive = []
    for i in range(400):
        x = np.full(rng.integers(1 << 14, 1 << 16), i, np.float32)
        alive.append((i, functional.relu(x)))
        if len(alive) > 20:
            number, array = alive.pop(rng.integers(len(alive)))
            assert (array == number).all()
    for number, array in alive:
        assert (array == number).all()
    bounds = sorted((array.ctypes.data, array.ctypes.data + array.nbytes) for _, array in alive)
    assert all(end <= start for (_, end), (start, _) in pairwise(bounds))


def test_threads_share_the_pool():
    def work(number):
        rng = np.random.default_rng(number)
        for _ in range(60):
            x = np.full(rng.integers(1 << 14, 1 << 16), number, np.float32)
            if not (functional.relu(x) == number).all():
                return False
        return True

    with ThreadPoolExecutor(4) as executor:
        assert all(executor.map(work, range(1, 9)))


def test_another_thread_may_give_memory_back():
    box = [functional.relu(X)]
    thread = threading.Thread(target=box.clear)
    thread.start()
    thread.join()
    assert _core.idle_block_bytes() >= X.nbytes


def test_the_limit_holds():
    fastconv.set_cache_limit(MIB)
    arrays = [functional.relu(X) for _ in range(16)]
    arrays.clear()
    assert 0 < _core.idle_block_bytes() <= MIB
    fastconv.set_cache_limit(X.nbytes // 2)
    assert _core.idle_block_bytes() <= X.nbytes // 2
    functional.relu(X)
    assert _core.idle_block_bytes() <= X.nbytes // 2
    fastconv.set_cache_limit(0)
    functional.relu(X)
    assert _core.idle_block_bytes() == 0
    for limit in (-1, 1.5, None):
        with pytest.raises((TypeError, ValueError), match=r"nbytes: "):
            fastconv.set_cache_limit(limit)


def test_empty_cache():
    functional.relu(X)
    assert _core.idle_block_bytes() > 0
    fastconv.empty_cache()
    assert _core.idle_block_bytes() == 0


def test_calls_leave_nothing_behind():
    resource = pytest.importorskip("resource")
    x, weight = np.ones((4, 8, 64, 64), np.float32), np.ones((16, 8, 3, 3), np.float32)

    def work():
        result = functional.max_pool2d(functional.conv2d(x, weight, padding=1), 2)
        plan = fastconv.plan_conv2d(x.shape, weight)
        plan(x)
        fastconv.grad.conv2d_input(x.shape, weight, functional.conv2d(x, weight))
        fastconv.grad.conv2d_weight(x, weight.shape, functional.conv2d(x, weight))
        functional.softmax(result)

    for _ in range(5):
        work()
    idle, peak = _core.idle_block_bytes(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(60):
        work()
    assert _core.idle_block_bytes() == idle
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 8 * 1024  # KiB; one call makes 3.5 MiB


def test_plans_that_functional_keeps_are_bounded():
    weight = np.ones((1, 1, 1, 1), np.float32)
    for extent in range(1, 700):
        assert functional.conv2d(np.ones((1, 1, extent), np.float32), weight).shape == (1, 1, extent)
    assert functional.conv2d(np.ones((1, 1, 1), np.float32), weight).shape == (1, 1, 1)


@pytest.mark.parametrize("exponent", [45, 50, 60])
def test_out_of_memory_is_a_memory_error(exponent):
    one = np.ones((1, 1, 1), np.float32)
    huge = np.broadcast_to(one, (1 << exponent, 1, 1, 1))
    with pytest.raises(MemoryError):
        functional.conv2d(huge, one[None])
    with pytest.raises(MemoryError):
        functional.relu(huge)
    with pytest.raises((MemoryError, ValueError), match=r"memory|63 bits"):
        functional.conv2d(one, one[None], padding=1 << (exponent // 2))
    with pytest.raises((MemoryError, ValueError), match=r"memory|63 bits"):
        functional.adaptive_avg_pool2d(one, (1 << (exponent - 22), 1 << 22))
    assert (functional.relu(X) == 1).all()


def test_results_may_outlive_the_interpreter():
    program = """
import sys, threading, numpy as np, fastconv
x = np.ones((1, 4, 128, 128), np.float32)
kept = fastconv.functional.relu(x)
sys.kept = [fastconv.functional.relu(x) for _ in range(3)]
class Holder:
    def __init__(self): self.array = fastconv.functional.relu(x); self.me = self
    def __del__(self): assert self.array[0, 3, 127, 127] == 1
holder = Holder()
thread = threading.Thread(target=lambda: fastconv.functional.relu(x), daemon=True); thread.start()
print("end")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "end", "")


def test_the_block_itself():
    block = _core.Block(1000)
    memory = np.frombuffer(block, np.uint8)
    assert memory.size == 1000
    assert memory.ctypes.data % 64 == 0
    memory[:] = 7
    with pytest.raises((MemoryError, ValueError)):
        _core.Block(-1)
    with pytest.raises(MemoryError, match="no memory for"):
        _core.Block(1 << 62)
    with pytest.raises(MemoryError):
        _core.empty((1 << 40, 1 << 40), np.dtype(np.float32))
