"""The pool of results' memory."""

from __future__ import annotations

import itertools

from fastconv.cuda.pool import Pool, block_size


def test_blocks_come_back_to_their_own_queue() -> None:
    made = itertools.count()
    pool = Pool(lambda nbytes: (next(made), nbytes))
    first = pool.lease("a", 1000)
    block = first.block
    del first
    assert pool.idle_bytes == block_size(1000)
    assert pool.lease("b", 1000).block != block
    again = pool.lease("a", 900)  # of the same size class
    assert again.block == block
    assert pool.idle_bytes == block_size(1000)  # b's, which nobody holds


def test_no_more_than_the_limit_waits() -> None:
    pool = Pool(lambda nbytes: bytearray(1), limit=10_000)
    held = [pool.lease("a", 1024 * n) for n in range(1, 8)]
    del held[:]
    assert 0 < pool.idle_bytes <= 10_000
    pool.set_limit(2000)
    assert pool.idle_bytes <= 2000
    pool.trim(0)
    assert pool.idle_bytes == 0
    assert pool.lease("a", 512).block is not None


def test_sizes_waste_at_most_an_eighth() -> None:
    for nbytes in (*range(1, 5000, 7), 10**6 + 1, 10**9):
        assert nbytes <= block_size(nbytes) <= max(nbytes * 9 // 8 + 512, 512)
        assert block_size(block_size(nbytes)) == block_size(nbytes)
