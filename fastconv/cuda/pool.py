"""Memory of results, kept for reuse: an allocation waits for the device, and its free list must not grow for ever."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

DEFAULT_LIMIT = 2**30
GRANULE = 512  # bytes; the driver aligns its blocks to as much


class Lease:
    """A block in use; when the last array over it dies, the block goes back to the pool."""

    __slots__ = ("_pool", "block", "nbytes", "queue")

    def __init__(self, pool: Pool, queue: Hashable, nbytes: int, block: Any) -> None:
        self._pool, self.queue, self.nbytes, self.block = pool, queue, nbytes, block

    def __del__(self) -> None:
        self._pool.take_back(self.queue, self.nbytes, self.block)


class Pool:
    """Blocks of memory that wait for reuse, at most `limit` bytes of them.

    A block is given out again on the queue (a device's stream) that it came from alone: there, whatever still reads it
    runs before whatever writes it next. Block sizes step by an eighth of a power of two, so that at most an eighth is
    slack. The blocks that waited longest are let go first.

    Parameters
    ----------
    allocate : callable
        Makes a block of so many bytes.
    limit : int
        Most bytes that may wait.
    """

    def __init__(self, allocate: Callable[[int], Any], limit: int = DEFAULT_LIMIT) -> None:
        self._allocate = allocate
        self._limit = limit
        self._waiting: OrderedDict[int, tuple[Hashable, int, Any]] = OrderedDict()
        self._ages: dict[tuple[Hashable, int], list[int]] = {}
        self._age = 0
        self._bytes = 0
        # A lease may die inside any allocation of Python's, even one made while this thread holds the lock.
        self._lock = threading.RLock()

    @property
    def idle_bytes(self) -> int:
        """Bytes that wait for reuse."""
        return self._bytes

    def lease(self, queue: Hashable, nbytes: int) -> Lease:
        """Give out a block of at least so many bytes."""
        size = block_size(nbytes)
        with self._lock:
            ages = self._ages.get((queue, size))
            if ages:
                _, _, block = self._waiting.pop(ages.pop())  # the one used last: it may still be in the cache
                self._bytes -= size
                return Lease(self, queue, size, block)
        return Lease(self, queue, size, self._allocate(size))

    def take_back(self, queue: Hashable, nbytes: int, block: Any) -> None:
        """Let a block wait for its next use."""
        with self._lock:
            self._age += 1
            self._waiting[self._age] = queue, nbytes, block
            self._ages.setdefault((queue, nbytes), []).append(self._age)
            self._bytes += nbytes
            self.trim(self._limit)

    def trim(self, limit: int) -> None:
        """Let go of the blocks that waited longest until at most `limit` bytes wait."""
        with self._lock:
            while self._bytes > limit:
                age, (queue, nbytes, _) = self._waiting.popitem(last=False)
                self._ages[queue, nbytes].remove(age)
                self._bytes -= nbytes

    def set_limit(self, nbytes: int) -> None:
        """Set how much may wait."""
        self._limit = nbytes
        self.trim(nbytes)


def block_size(nbytes: int) -> int:
    """Round up to an eighth of a power of two, and to whole granules.

    Examples
    --------
    >>> block_size(1), block_size(1025), block_size(1_000_000)
    (512, 1536, 1048576)
    """
    step = max(GRANULE, 1 << max((nbytes - 1).bit_length() - 4, 0))
    return max(-(-nbytes // step), 1) * step
