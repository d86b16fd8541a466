"""Threads, instruction sets, precision, memory and random numbers: what holds for every operator."""

from __future__ import annotations

import math
import os
from _thread import allocate_lock  # threading itself would be an import beyond NumPy
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fastconv import _arguments, _core

if TYPE_CHECKING:
    from contextvars import Token
    from types import TracebackType

    from numpy.typing import NDArray


__all__ = [
    "available_isas",
    "empty_cache",
    "get_isa",
    "get_num_threads",
    "get_precision",
    "set_cache_limit",
    "set_num_threads",
    "set_precision",
    "set_seed",
    "show_config",
    "use_isa",
]

MOST_THREADS = 1024
PRECISIONS = ("highest", "high", "medium")

_precision = "high"
_generator: np.random.Generator | None = None
_seed: int | None = None
_draws: Draws | None = None
# So many random numbers are drawn faster by hand than NumPy's generators are imported.
_MOST_BY_HAND = 1 << 17
_generator_lock = allocate_lock()


def set_num_threads(count: int) -> None:
    """Set how many threads an operator may use from now on, in the whole process.

    Results have the same bits with any number. A process that was forked stays at one thread whatever is set, and so
    does a build without OpenMP.

    Parameters
    ----------
    count : int
        From 1 to 1024.

    Raises
    ------
    TypeError, ValueError
        For anything else.

    Examples
    --------
    >>> import fastconv
    >>> before = fastconv.get_num_threads()
    >>> fastconv.set_num_threads(1)
    >>> fastconv.get_num_threads()
    1
    >>> fastconv.set_num_threads(before)
    """
    number = _arguments.integer("count", count, 1)
    if number > MOST_THREADS:
        _arguments.wrong("count", f"at most {MOST_THREADS} threads", count)
    _core.set_threads(number)


def get_num_threads() -> int:
    """Return how many threads an operator may use.

    Without set_num_threads: what OMP_NUM_THREADS or threadpoolctl say, else one per processor that this process may
    run on.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.get_num_threads() >= 1
    True
    """
    return _core.get_threads()


def available_isas() -> list[str]:
    """Return the instruction sets that this build has kernels for and this processor runs, the narrowest first.

    Examples
    --------
    >>> import fastconv
    >>> set(fastconv.available_isas()) <= {"baseline", "avx2", "avx512", "neon"}
    True
    """
    return [name for name, isa in _core.ISAS.items() if _core.isa_available(isa)]


def get_isa() -> str:
    """Return the instruction set whose kernels run here and now.

    Examples
    --------
    >>> import fastconv
    >>> from fastconv import runtime
    >>> runtime.get_isa() in fastconv.available_isas()
    True
    """
    return next(name for name, isa in _core.ISAS.items() if isa == _core.get_isa())


class use_isa:  # noqa: N801
    """Run the kernels of one instruction set within a ``with`` block.

    The choice belongs to the current context (``contextvars``): to this thread or asynchronous task, not to others
    that run meanwhile. Plans keep the instruction set that they were made under. The environment variable
    FASTCONV_ISA chooses for a whole process.

    Parameters
    ----------
    name : {"baseline", "avx2", "avx512", "neon"}
        One of ``available_isas()``.

    Raises
    ------
    TypeError, ValueError
        For a name that does not exist or is not available here.

    Examples
    --------
    >>> import fastconv
    >>> from fastconv import runtime
    >>> name = fastconv.available_isas()[0]
    >>> with fastconv.use_isa(name):
    ...     runtime.get_isa() == name
    True
    """

    def __init__(self, name: str) -> None:
        self._isa = checked_isa("name", name)
        self._tokens: list[Token[int]] = []

    def __enter__(self) -> None:
        self._tokens.append(_core.choose_isa(self._isa))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _core.unchoose_isa(self._tokens.pop())


def checked_isa(source: str, name: object) -> int:
    """Return the number of an instruction set that is available."""
    isa = _core.ISAS[_arguments.choice(source, name, _core.ISAS)]
    if not _core.isa_available(isa):
        available = ", ".join(map(repr, available_isas()))
        _arguments.wrong(source, f"an instruction set that is available here ({available})", repr(name))
    return isa


def set_precision(precision: Literal["highest", "high", "medium"]) -> None:
    """Set which roundings an operator may add, in the whole process.

    Parameters
    ----------
    precision : {"highest", "high", "medium"}
        "highest": every output is the sum of its own products, exact on integer-valued data. "high", the default:
        algorithms that transform their input are allowed too. "medium": inputs may be rounded as well,
        which large float32 convolutions on a GPU do, to TF32. An ``algorithm=`` that is asked for by name wins over it.

    Raises
    ------
    TypeError, ValueError
        For anything else.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.set_precision("highest")
    >>> fastconv.get_precision()
    'highest'
    >>> fastconv.set_precision("high")
    """
    global _precision
    _precision = _arguments.choice("precision", precision, PRECISIONS)
    _core.set_highest_precision(_precision == "highest")


def get_precision() -> str:
    """Return the precision that set_precision has set.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.get_precision()
    'high'
    """
    return _precision


def set_seed(seed: int) -> None:
    """Seed all of fastconv's random numbers: dropout, the order of samples, initial weights.

    All come from Philox, a counter-based generator (Salmon et al., 2011), and do not depend on the number of threads.

    Parameters
    ----------
    seed : int
        At least 0.

    Raises
    ------
    TypeError, ValueError
        For anything else.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv
    >>> from fastconv import functional as F
    >>> fastconv.set_seed(7)
    >>> first = F.dropout(np.ones(8))
    >>> fastconv.set_seed(7)
    >>> bool((F.dropout(np.ones(8)) == first).all())
    True
    """
    global _generator, _seed, _draws
    number = _arguments.integer("seed", seed, 0)
    with _generator_lock:
        _generator, _seed, _draws = None, number, Draws(number)


def generator() -> np.random.Generator:
    """Return the generator behind initial weights and the order of samples."""
    global _generator
    with _generator_lock:
        if _generator is None:
            _generator = np.random.Generator(np.random.Philox(_seed))
        return _generator


class Draws:
    """Calls of dropout: each gets numbers of its own.

    Parameters
    ----------
    seed : int, optional
        At least 0; the system's randomness by default.

    Examples
    --------
    >>> Draws(1).next() == Draws(1).next() != Draws(2).next()
    True
    """

    def __init__(self, seed: int | None = None) -> None:
        if seed is None:
            self.key = int.from_bytes(os.urandom(8), "little")
        else:
            self.key = _mixed(seed)
        self.calls = 0

    def next(self, calls: int = 1) -> tuple[int, int]:
        """Return the key, and the number of the first of some calls."""
        with _generator_lock:
            first, self.calls = self.calls, self.calls + calls
        return self.key, first


def _mixed(seed: int) -> int:
    """Return 64 bits that differ a lot where seeds differ a little: SplitMix64 (Steele, Lea and Flood, 2014)."""
    bits = (1 << 64) - 1
    state = 0
    while True:
        state = (state ^ seed & bits) + 0x9E3779B97F4A7C15 & bits
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & bits
        state = (state ^ state >> 27) * 0x94D049BB133111EB & bits
        state ^= state >> 31
        seed >>= 64
        if not seed:
            return state


def uniform(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Draw numbers in [0, 1); few of them without NumPy's generators, whose import takes as long as a cold start may.

    Examples
    --------
    >>> uniform((2, 3)).shape
    (2, 3)
    """
    count = math.prod(shape)
    if count > _MOST_BY_HAND:
        return generator().random(shape, np.float32)
    key, call = draws().next()
    low = np.uint64(0xFFFFFFFF)
    word: list[Any] = [np.uint64(w) for w in (0, 1 << 31, call & 0xFFFFFFFF, call >> 32)]
    word[0] = np.arange(-(-count // 4), dtype=np.uint64)
    keys = [key & 0xFFFFFFFF, key >> 32]
    for _ in range(10):  # Philox4x32-10; the second word keeps these numbers apart from those of dropout
        first, third = np.uint64(0xD2511F53) * word[0], np.uint64(0xCD9E8D57) * word[2]
        word[0], word[1] = third >> np.uint64(32) ^ word[1] ^ np.uint64(keys[0]), third & low
        word[2], word[3] = first >> np.uint64(32) ^ word[3] ^ np.uint64(keys[1]), first & low
        keys = [keys[0] + 0x9E3779B9 & 0xFFFFFFFF, keys[1] + 0xBB67AE85 & 0xFFFFFFFF]
    words = np.stack(np.broadcast_arrays(*word), axis=-1).reshape(-1)[:count]
    numbers: NDArray[np.float32] = (words >> np.uint64(8)).astype(np.float32).reshape(shape)
    numbers *= np.float32(2**-24)
    return numbers


def draws() -> Draws:
    """Return what dropout draws from unless a layer has a seed of its own."""
    global _draws
    with _generator_lock:
        if _draws is None:
            _draws = Draws()
        return _draws


def empty_cache() -> None:
    """Give the memory that waits for reuse back to the system.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.empty_cache()
    """
    _core.trim_blocks()


def set_cache_limit(nbytes: int) -> None:
    """Set how much memory may wait for reuse, 512 MiB unless set; what is above goes back to the system.

    Parameters
    ----------
    nbytes : int
        At least 0.

    Raises
    ------
    TypeError, ValueError
        For anything else.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.set_cache_limit(2**29)
    """
    _core.set_block_limit(_arguments.integer("nbytes", nbytes, 0))


def show_config(mode: Literal["stdout", "dicts"] = "stdout") -> dict[str, Any] | None:
    """Print what fastconv runs on, or return it, as ``numpy.show_config`` does.

    Parameters
    ----------
    mode : {"stdout", "dicts"}
        Print, or return a dict.

    Returns
    -------
    dict or None
        Version, instruction sets, OpenMP, threads, precision, memory that waits for reuse, NumPy's version.

    Examples
    --------
    >>> import fastconv
    >>> sorted(fastconv.show_config("dicts"))
    ['cached_bytes', 'isa', 'isas', 'numpy', 'openmp', 'precision', 'threads', 'version']
    """
    from fastconv import __version__

    facts: dict[str, Any] = {
        "version": __version__,
        "isas": available_isas(),
        "isa": get_isa(),
        "openmp": _core.has_openmp(),
        "threads": get_num_threads(),
        "precision": get_precision(),
        "cached_bytes": _core.idle_block_bytes(),
        "numpy": np.__version__,
    }
    if _arguments.choice("mode", mode, ("stdout", "dicts")) == "dicts":
        return facts
    for name, value in facts.items():
        text = ", ".join(value) if isinstance(value, list) else value
        print(f"{name.replace('_', ' ') + ':':<14}{text}")
    return None


def configure() -> None:
    """Take over what the environment says, once, at import."""
    if not os.environ.get("OMP_NUM_THREADS"):
        try:
            _core.bound_default_threads(len(os.sched_getaffinity(0)))
        except (AttributeError, OSError):  # not every system tells
            _core.bound_default_threads(os.cpu_count() or 1)
    name = os.environ.get("FASTCONV_ISA")
    if name:
        try:
            _core.set_default_isa(checked_isa("FASTCONV_ISA", name))
        except ValueError as error:
            raise ImportError(f"environment variable {error}") from None
