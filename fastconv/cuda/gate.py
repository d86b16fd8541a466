"""The compile gate: every kernel, compiled for two generations of GPUs, must keep what it promises.

``python -m fastconv.cuda.gate [PATTERN]`` prints a line for each kernel and fails when one uses local memory, spills
registers, takes more of them than it declares, or lacks an instruction that it declares. It needs the extra ``cuda``
and no GPU.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from importlib import import_module

from fastconv.cuda.kernel import Compiled, Kernel

MODULES = ("pointwise",)
CAPABILITIES = ((8, 0), (9, 0))


def kernels() -> Iterator[Kernel]:
    """Every kernel that an operator can ask for."""
    for name in MODULES:
        yield from import_module(f"fastconv.cuda.kernels.{name}").specialisations()


def complaints(kernel: Kernel, made: Compiled) -> list[str]:
    """Return what a compiled kernel does not keep of its promises."""
    found = []
    if made.stack or "__local_depot" in made.ptx:
        found.append(f"{made.stack} bytes of local memory")
    if made.spills:
        found.append(f"{made.spills} bytes of spills")
    if made.registers > kernel.registers:
        found.append(f"{made.registers} registers, more than {kernel.registers}")
    found += [f"no {instruction}" for instruction in kernel.instructions if not made.count(instruction)]
    return found


def main(pattern: str = "") -> int:
    """Compile all kernels whose name matches; return how many fail."""
    failures = 0
    start = time.perf_counter()
    chosen = [kernel for kernel in kernels() if re.search(pattern, kernel.name)]
    for kernel in chosen:
        for cc in CAPABILITIES:
            made = kernel.compile(cc)
            found = complaints(kernel, made)
            failures += bool(found)
            text = "; ".join(found) or "ok"
            print(f"{kernel.name:60} sm_{cc[0]}{cc[1]} {made.registers:4} registers {made.shared:6} shared  {text}")
    print(f"{len(chosen)} kernels, {failures} failures, {time.perf_counter() - start:.0f} s")
    return failures


if __name__ == "__main__":
    sys.exit(bool(main(*sys.argv[1:])))
