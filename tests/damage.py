"""Files as an accident or an attacker leaves them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def damaged(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Yield `count` seeded variants of a file: cut short, bits flipped, bytes overwritten, cut out or put in.

    Half of the damage falls into the first and last 200 bytes, where headers and directories stand.
    """
    random = np.random.RandomState(seed)
    size = len(data)

    def place() -> int:
        edge = random.randint(0, min(200, size))
        return [random.randint(0, size), edge, size - 1 - edge, random.randint(0, size)][random.randint(0, 4)]

    for turn in range(count):
        broken = bytearray(data)
        at = place()
        match turn % 5:
            case 0:
                del broken[at:]
            case 1 | 2:
                for _ in range(1 + turn % 3):
                    broken[place()] ^= 1 << random.randint(0, 8)
            case 3:
                broken[at : at + 4] = random.bytes(4) if turn % 2 else b"\xff\xff\xff\xff"
            case _:
                length = random.randint(1, 64)
                broken[at : at + (length if turn % 2 else 0)] = b"" if turn % 2 else random.bytes(length)
        yield bytes(broken)
