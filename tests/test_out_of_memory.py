"""Memory that runs out: every allocation of a call fails in turn, and a process hits the limit of its address space."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent / "c" / "failing.c"

# What glibc keeps for a thread would count as lent out.
TUNABLES = "glibc.malloc.tcache_count=0"

PRELUDE = """
import ctypes, gc, os
import numpy as np
import fastconv
from fastconv import functional as F, grad, image, layers, models

rng = np.random.default_rng(0)
x, w = rng.normal(size=(4, 8, 32, 32)).astype(np.float32), rng.normal(size=(16, 8, 3, 3)).astype(np.float32)
g = rng.normal(size=(4, 16, 30, 30)).astype(np.float32)
images, classes = rng.normal(size=(64, 16, 16, 1)).astype(np.float32), np.arange(64) % 10

def is_usable():
    ones = np.ones((8, 8, 64, 64), np.float32)
    return (F.conv2d(ones, np.ones((8, 8, 3, 3), np.float32), algorithm="direct") == 72).all()

def network(*extra):
    made = models.Sequential([layers.Input((16, 16, 1)), layers.Conv2D(8, 3, activation="relu"), *extra,
                              layers.MaxPooling2D(), layers.Flatten(), layers.Dense(10, activation="softmax")])
    made.compile("adam", "sparse_categorical_crossentropy")
    return made
"""

FAILING = """
lib = ctypes.CDLL(os.environ["LD_PRELOAD"])
lib.failing_in_use.restype = ctypes.c_size_t
refused = ctypes.c_long()

def attempt(call, skip, count):
    # The result or the error of a call whose allocations fail from the `skip`-th on, and how many did.
    fastconv.empty_cache()
    result = error = None
    try:
        lib.failing_arm(1, skip, count)
        result = call()
    except BaseException as caught:
        error = caught
    while True:
        try:
            lib.failing_disarm(ctypes.byref(refused))
            return result, error, refused.value
        except MemoryError:
            pass

def is_memory_error(error):
    # NumPy 2.4 forgets to say what its reductions ran out of.
    return isinstance(error, MemoryError) or (isinstance(error, SystemError) and "without" in str(error))

def round_of(call, count, step):
    raised = 0
    for skip in range(0, 100000, step):
        result, error, failed = attempt(call, skip, count)
        if failed == 0:
            assert error is None, error
            return raised
        assert error is None or is_memory_error(error), (skip, type(error), error)
        raised += error is not None
        if error is None and expected is not None:  # it did without: the arrays that waited in the pool were given back
            assert all((a == b).all() for a, b in zip(arrays(result), expected))

def arrays(result):
    return result if isinstance(result, tuple) else (result,)

call = {call}
expected = arrays(call()) if {pure} else None
raised = [round_of(call, 1, 1), round_of(call, 20, 7)]
gc.collect()
fastconv.empty_cache()
before = lib.failing_in_use()
again = [round_of(call, 1, 3)]
gc.collect()
fastconv.empty_cache()
assert lib.failing_in_use() - before < 20000, lib.failing_in_use() - before
assert is_usable()
print(*raised, *again, lib.failing_in_use() - before + (1 << 30))
"""

# A call, and whether it does the same each time.
CALLS = {
    "conv2d": ("lambda: F.conv2d(x, w)", True),
    "conv2d, a bias, channels last": (
        "lambda: F.conv2d(x.transpose(0, 2, 3, 1), w.transpose(2, 3, 1, 0), w[:, 0, 0, 0], layout='NHWC')",
        True,
    ),
    "conv_transpose2d": ("lambda: F.conv_transpose2d(x, w.transpose(1, 0, 2, 3), stride=2)", True),
    "max_pool2d": ("lambda: F.max_pool2d(x, 2, return_indices=True)", True),
    "batch_norm": ("lambda: F.batch_norm(x, None, None, training=True)", True),
    "gradients": ("lambda: (grad.conv2d_weight(x, w.shape, g), grad.conv2d_input(x.shape, w, g))", True),
    "gaussian_filter": ("lambda: image.gaussian_filter(x[0, 0], 2)", True),
    "plan": ("lambda: fastconv.plan_conv2d(x.shape, w)(x)", True),
    "predict": ("(lambda made: lambda: made.predict(images, verbose=0))(network())", True),
    "a step of a program": ("(lambda made: lambda: made.train_on_batch(images, classes))(network())", False),
    "a step layer by layer": (
        "(lambda made: lambda: made.train_on_batch(images, classes))"
        "(network(layers.BatchNormalization(), layers.Dropout(0.5)))",
        False,
    ),
}


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("failing") / "failing.so"
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    subprocess.run([*compiler, "-O1", "-shared", "-fPIC", str(SOURCE), "-o", str(target), "-ldl"], check=True)
    return target


@pytest.mark.parametrize("name", CALLS)
def test_every_allocation_may_fail(name: str, failing: Path) -> None:
    call, pure = CALLS[name]
    # Python's own small objects are allocations too: one by one, not from an arena.
    environment = os.environ | {"LD_PRELOAD": str(failing), "PYTHONMALLOC": "malloc", "GLIBC_TUNABLES": TUNABLES}
    program = PRELUDE + FAILING.format(call=call, pure=pure)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(int(count) > 0 for count in done.stdout.split()), done.stdout


LIMITED = """
import resource
fastconv.set_num_threads(2)
F.conv2d(np.ones((8, 16, 64, 64), np.float32), np.ones((16, 16, 3, 3), np.float32))  # the threads are there
small = network()
small.predict(images, verbose=0)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20),) * 2)
plane = np.ones((1, 1, 4096, 4096), np.float32)
for call in (
    lambda: F.conv2d(plane, np.ones((8, 1, 3, 3), np.float32), padding=1),
    lambda: F.conv_transpose2d(plane, np.ones((1, 1, 2, 2), np.float32), stride=3),
    lambda: F.unfold(plane, 5, padding=2),
    lambda: F.interpolate(plane, scale_factor=4.0),
    lambda: F.pad(plane, (4096, 4096, 4096, 4096)),
    lambda: F.conv2d(np.ones((1, 4096, 8, 8), np.float32), np.broadcast_to(np.float32(1), (4096, 4096, 3, 3))),
    lambda: layers.Conv2D(4096, 7)(np.ones((1, 8, 8, 4096), np.float32)),
    lambda: layers.UpSampling2D(8)(plane.transpose(0, 2, 3, 1)),
):
    try:
        call()
    except MemoryError:
        pass
    else:
        raise AssertionError("there was memory")
    assert is_usable()
    small.predict(images, verbose=0)
    small.train_on_batch(images, classes)
print("usable")
"""


def test_the_limit_of_the_address_space() -> None:
    done = subprocess.run([sys.executable, "-c", PRELUDE + LIMITED], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "usable"), done.stderr


REFUSED = """
import resource, threading
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20),) * 2)
try:
    threading.Thread(target=print).start()
except RuntimeError:
    pass
else:
    raise AssertionError("there was a thread")
fastconv.set_num_threads(3)
many = F.conv2d(np.ones((8, 16, 64, 64), np.float32), np.ones((16, 16, 3, 3), np.float32))
fastconv.set_num_threads(1)
print((many == F.conv2d(np.ones((8, 16, 64, 64), np.float32), np.ones((16, 16, 3, 3), np.float32))).all())
"""


def test_a_system_that_refuses_threads() -> None:
    """A stack is a gigabyte here, which the address space has no room for: the caller's thread does everything."""
    shell = 'ulimit -S -s 1048576 && exec "$0" -c "$1"'
    done = subprocess.run(
        ["sh", "-c", shell, sys.executable, PRELUDE + REFUSED],
        capture_output=True,
        text=True,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "True"), done.stderr
