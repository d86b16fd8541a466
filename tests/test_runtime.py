"""Threads, instruction sets, precision, seeds: what holds for the whole process, much of it tried in a fresh one."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import fastconv
from fastconv import _core, _machine, functional, runtime

ISAS = fastconv.available_isas()
BIG = """import numpy as np, fastconv, os
x, w = np.ones((8, 16, 64, 64), np.float32), np.ones((16, 16, 3, 3), np.float32)"""


def run(program: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
    """Run a program in a fresh interpreter, its environment changed."""
    variables = {**os.environ, **environment}
    kept = {name: value for name, value in variables.items() if value is not None}
    command = [sys.executable, "-W", "error::RuntimeWarning", "-c", program]
    return subprocess.run(command, env=kept, capture_output=True, text=True, timeout=120, check=False)


def output(program: str, **environment: str | None) -> str:
    done = run(program, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def threads():
    """Let a test set the number of threads."""
    before = fastconv.get_num_threads()
    yield
    fastconv.set_num_threads(before)


# ---- import --------------------------------------------------------------------------------------------------------


def test_import_brings_numpy_and_nothing_else():
    program = (
        "import sys, numpy; before = set(sys.modules); import fastconv;"
        "new = [name for name in set(sys.modules) - before if hasattr(sys.modules[name], '__file__')];"
        "new = {name.split('.')[0] for name in new} - set(sys.stdlib_module_names);"
        "print(sorted(new)); print(sorted(name for name in sys.modules if name.startswith('fastconv')))"
    )
    foreign, own = output(program).splitlines()
    parts = sorted(path.stem for path in (Path(fastconv.__file__).parent / "_arguments").glob("[a-z]*.py"))
    later = {"constructors", "filters"}  # they load with layers and with image
    gate = ["_arguments", *(f"_arguments.{name}" for name in parts if name not in later)]
    loaded = [*gate, "_core", "runtime"]
    assert foreign == "['fastconv']"
    assert own == str(["fastconv", *(f"fastconv.{name}" for name in loaded)])


def test_every_public_name_is_there_and_loaded_on_first_use():
    for name in fastconv.__all__:
        assert getattr(fastconv, name) is not None
        assert name in dir(fastconv)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = fastconv.nothing


# ---- threads -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("threads")
def test_number_of_threads():
    for count in (1, 2, 3):
        fastconv.set_num_threads(count)
        assert fastconv.get_num_threads() == (count if fastconv.show_config("dicts")["openmp"] else 1)


@pytest.mark.parametrize(
    ("count", "error", "message"),
    [
        (0, ValueError, r"count: expected a positive int, got 0"),
        (-1, ValueError, r"count: expected a positive int, got -1"),
        (10**30, ValueError, r"count: "),
        (100_000, ValueError, r"count: expected at most 1024 threads, got 100000"),
        (2.0, TypeError, r"count: expected a positive int, got 2.0 \(float\)"),
        (True, TypeError, r"count: expected a positive int, got True"),
        (None, TypeError, r"count: "),
        ("2", TypeError, r"count: "),
    ],
)
def test_wrong_numbers_of_threads(count, error, message):
    before = fastconv.get_num_threads()
    with pytest.raises(error, match=message):
        fastconv.set_num_threads(count)
    assert fastconv.get_num_threads() == before


def test_omp_num_threads_is_respected():
    program = "import fastconv; print(fastconv.get_num_threads(), fastconv.show_config('dicts')['openmp'])"
    for count in ("1", "3"):
        found, openmp = output(program, OMP_NUM_THREADS=count).split()
        assert found == (count if openmp == "True" else "1")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="LOUD: this system has no processor affinity")
def test_default_is_the_processors_that_the_process_may_use():
    program = (
        "import os, sys; cpu = min(os.sched_getaffinity(0)); os.sched_setaffinity(0, {cpu} if sys.argv[1:] else"
        " os.sched_getaffinity(0)); import fastconv; print(fastconv.get_num_threads(), len(os.sched_getaffinity(0)))"
    )
    found, allowed = map(int, output(program, OMP_NUM_THREADS=None).split())
    assert found == (allowed if fastconv.show_config("dicts")["openmp"] else 1)
    narrowed = program.replace("sys.argv[1:]", "True")
    assert output(narrowed, OMP_NUM_THREADS=None) == "1 1"


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="LOUD: this system does not list a process's threads")
def test_workers_run_where_the_process_may():
    """Not only where the thread may that happened to make the first call."""
    program = f"""{BIG}
import threading, time
fastconv.set_num_threads(2)
few = fastconv.get_num_threads() - 1
everywhere = os.sched_getaffinity(0)
tasks = lambda: set(map(int, os.listdir("/proc/self/task")))
before = tasks()
def call():
    os.sched_setaffinity(threading.get_native_id(), {{min(everywhere)}})
    fastconv.functional.conv2d(x, w)
thread = threading.Thread(target=call); thread.start(); thread.join()
for _ in range(1000):
    workers = tasks() - before - {{thread.native_id}}
    if len(workers) == few and all(os.sched_getaffinity(worker) == everywhere for worker in workers):
        break
    time.sleep(0.01)
print(len(workers) == few, all(os.sched_getaffinity(worker) == everywhere for worker in workers))
"""
    assert output(program) == "True True"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="LOUD: this system has no fork")
def test_a_forked_child_works_on_one_thread_for_ever():
    program = f"""{BIG}
fastconv.set_num_threads(2)
expected = fastconv.functional.conv2d(x, w)
child = os.fork()
if child == 0:
    ok = fastconv.get_num_threads() == 1
    fastconv.set_num_threads(2)
    ok = ok and fastconv.get_num_threads() == 1 and (fastconv.functional.conv2d(x, w) == expected).all()
    grandchild = os.fork()
    if grandchild == 0:
        os._exit(0 if fastconv.get_num_threads() == 1 and (fastconv.functional.conv2d(x, w) == expected).all() else 3)
    ok = ok and os.waitpid(grandchild, 0)[1] == 0
    os._exit(0 if ok else 4)
print(os.waitpid(child, 0)[1], fastconv.get_num_threads())
"""
    assert output(program) == f"0 {2 if fastconv.show_config('dicts')['openmp'] else 1}"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="LOUD: this system has no fork")
def test_fork_while_another_thread_convolves():
    program = f"""{BIG}
import threading
from pathlib import Path
stop = threading.Event()
def work():
    while not stop.is_set():
        fastconv.functional.relu(fastconv.functional.conv2d(x, w, padding=1))
thread = threading.Thread(target=work); thread.start()
expected = fastconv.functional.conv2d(x, w)
failed = 0
for _ in range(10):
    child = os.fork()
    if child == 0:
        os._exit(0 if (fastconv.functional.conv2d(x, w) == expected).all() else 5)
    failed += os.waitpid(child, 0)[1] != 0
stop.set(); thread.join(); print(failed)
"""
    assert output(program, PYTHONWARNINGS="ignore::DeprecationWarning") == "0"


# ---- instruction sets ----------------------------------------------------------------------------------------------


def test_use_isa_nests_and_ends():
    outside = runtime.get_isa()
    with fastconv.use_isa(ISAS[0]):
        assert runtime.get_isa() == ISAS[0]
        with fastconv.use_isa(ISAS[-1]):
            assert runtime.get_isa() == ISAS[-1]
        assert runtime.get_isa() == ISAS[0]
    assert runtime.get_isa() == outside
    choice = fastconv.use_isa(ISAS[0])
    with pytest.raises(ZeroDivisionError), choice, choice:
        _ = 1 / 0
    assert runtime.get_isa() == outside


@pytest.mark.parametrize("isa", ISAS)
def test_plans_run_the_instruction_set_that_was_chosen(isa):
    weight = np.ones((4, 2, 3, 3), np.float32)
    with fastconv.use_isa(isa):
        plan = fastconv.plan_conv2d((1, 2, 6, 6), weight)
    assert plan.isa == isa
    assert f" {isa}" in plan.explain()
    assert (plan(np.ones((1, 2, 6, 6), np.float32)) == 18).all()
    assert plan.isa == isa


def test_use_isa_belongs_to_one_thread():
    outside, seen = runtime.get_isa(), []
    with fastconv.use_isa(ISAS[0]):
        thread = threading.Thread(target=lambda: seen.append(runtime.get_isa()))
        thread.start()
        thread.join()
    assert seen == [outside]


def test_wrong_instruction_sets():
    with pytest.raises(ValueError, match=r"name: expected one of 'baseline', 'avx2', 'avx512', 'neon', got 'sse9'"):
        fastconv.use_isa("sse9")
    with pytest.raises(TypeError, match=r"name: "):
        fastconv.use_isa(2)
    missing = next(name for name in ("neon", "baseline") if name not in ISAS)
    with pytest.raises(
        ValueError, match=rf"name: expected an instruction set that is available here .*got '{missing}'"
    ):
        fastconv.use_isa(missing)


def test_environment_chooses_an_instruction_set():
    program = "import fastconv; print(fastconv.runtime.get_isa())"
    for isa in ISAS:
        assert output(program, FASTCONV_ISA=isa) == isa
    assert output(program, FASTCONV_ISA="") == runtime.get_isa()
    missing = next(name for name in ("neon", "baseline") if name not in ISAS)
    for name in ("sse9", missing):
        done = run(program, FASTCONV_ISA=name)
        last = done.stderr.strip().splitlines()[-1]
        assert done.returncode != 0
        assert last.startswith("ImportError: environment variable FASTCONV_ISA: expected ")
        assert last.endswith(f"got {name!r}")


# ---- precision, seeds, configuration -------------------------------------------------------------------------------


def test_precision():
    assert fastconv.get_precision() == "high"
    try:
        for precision in ("highest", "medium", "high"):
            fastconv.set_precision(precision)
            assert fastconv.get_precision() == precision
        with pytest.raises(ValueError, match=r"precision: expected one of 'highest', 'high', 'medium', got 'low'"):
            fastconv.set_precision("low")
        with pytest.raises(TypeError, match="precision"):
            fastconv.set_precision(3)
    finally:
        fastconv.set_precision("high")


def test_dropout_draws_from_a_seeded_generator():
    x = np.ones((64, 64), np.float32)
    state = np.random.get_state()[1].tolist()  # noqa: NPY002
    fastconv.set_seed(11)
    first, second = functional.dropout(x, 0.3), functional.dropout(x, 0.3)
    fastconv.set_seed(11)
    assert (functional.dropout(x, 0.3) == first).all()
    assert (functional.dropout(x, 0.3) == second).all()
    assert (first != second).any()
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002
    assert set(np.unique(first)) == {np.float32(0), np.float32(1 / 0.7)}
    assert abs((first == 0).mean() - 0.3) < 0.05


def test_dropout_at_its_edges():
    x = np.arange(6, dtype=np.float64).reshape(2, 3)
    assert functional.dropout(x, training=False) is x
    assert functional.dropout(x, 0.0) is x
    assert (functional.dropout(x, 1.0) == 0).all()
    assert functional.dropout(x.astype(">f8"), 0.5).dtype == np.float64
    given = x.copy()
    assert functional.dropout(given, 0.5, inplace=True) is given
    assert set((given[x > 0] / x[x > 0]).tolist()) <= {0.0, 2.0}
    out = np.empty_like(x)
    assert functional.dropout(x, 0.5, training=False, out=out) is out
    assert (out == x).all()
    for p in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match=r"p: expected a probability in \[0, 1\]"):
            functional.dropout(x, p)
    for p in ("0.5", None, True):
        with pytest.raises(TypeError, match=r"p: expected a number"):
            functional.dropout(x, p)
    for seed in (-1, 1.0, None):
        with pytest.raises((TypeError, ValueError), match=r"seed: "):
            fastconv.set_seed(seed)


def test_show_config(capsys):
    assert fastconv.show_config() is None
    printed = capsys.readouterr().out
    facts = fastconv.show_config("dicts")
    assert facts["version"] == fastconv.__version__
    assert facts["numpy"] == np.__version__
    assert facts["isas"] == ISAS
    assert facts["isa"] == runtime.get_isa()
    for name in ("version", "isas", "openmp", "threads", "numpy"):
        assert f"{name}:" in printed
    assert ", ".join(ISAS) in printed
    with pytest.raises(ValueError, match=r"mode: expected one of 'stdout', 'dicts', got 'yaml'"):
        fastconv.show_config("yaml")


def test_the_machine_is_measured():
    for name in fastconv.available_isas():
        single = _machine.peak_rate(False, _core.ISAS[name])
        assert 1e8 < _machine.peak_rate(True, _core.ISAS[name]) < 1e13
        assert 1e8 < single < 1e13
    memory = _machine.Roofline(1.0, 1e9, False)
    assert memory.bound == "memory"
    assert memory.seconds == pytest.approx(1e9 / memory.copy)
    assert _machine.Roofline(1e9, 1.0, False).bound == "arithmetic"
    assert 1 << 18 <= _core.l2_bytes() <= 1 << 22


def test_uniform_numbers_are_philox_words():
    from test_dropout import philox

    fastconv.set_seed(5)
    found = runtime.uniform((3, 5)).ravel()
    key, call = runtime.Draws(5).next()
    words = [
        word
        for counter in range(4)
        for word in philox((counter, 1 << 31, call & 0xFFFFFFFF, call >> 32), (key & 0xFFFFFFFF, key >> 32))
    ]
    np.testing.assert_array_equal(found, np.array([(word >> 8) / 2**24 for word in words[:15]], np.float32))
    many = runtime.uniform((1 << 16,))
    assert 0 <= many.min() < 1e-3 < 0.999 < many.max() < 1
    assert abs(many.mean() - 0.5) < 0.005
    assert runtime.uniform((0, 3)).shape == (0, 3)
