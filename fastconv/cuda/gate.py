"""The compile gate: every kernel, compiled for two generations of GPUs, must keep what it promises.

What operators can choose is compiled: every tile with every way of loading its operands, both dtypes, all windows,
activations, losses and optimizers, each once. Kernels that end in an activation are compiled with a light one or none,
and again with a heavy one (tanh, gelu) where that can cost registers, not with all fifteen: the activations themselves
are all among the elementwise kernels. Tails, padding, strides and groups are arguments of a kernel and no reason to
compile it again; the simulator's tests are for them.

``python -m fastconv.cuda.gate [PATTERN]`` prints a line for each kernel and fails when one uses local memory, spills
registers, takes more of them than it declares, or lacks an instruction that it declares. It needs the extra ``cuda``
and no GPU.
"""

from __future__ import annotations

import concurrent.futures
import itertools
import multiprocessing
import re
import sys
import time
from collections.abc import Iterator
from importlib import import_module

from fastconv.cuda.kernel import Compiled, Kernel

MODULES = ("gemm", "depthwise", "fused", "reduction", "pointwise", "pool", "softmax", "norm", "training")
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


def judge(number: int) -> tuple[int, str]:
    """Compile the kernel of a number for all capabilities; return how often it fails, and lines that say so."""
    kernel = next(itertools.islice(kernels(), number, None))
    lines, failures = [], 0
    for cc, made in zip(CAPABILITIES, kernel.compile(*CAPABILITIES), strict=True):
        found = complaints(kernel, made)
        failures += bool(found)
        text = "; ".join(found) or "ok"
        lines.append(f"{kernel.name:76} sm_{cc[0]}{cc[1]} {made.registers:4} registers {made.shared:6} shared  {text}")
    return failures, "\n".join(lines)


def main(pattern: str = "") -> int:
    """Compile all kernels whose name matches, in as many processes as there are processors; return how many fail."""
    failures, start = 0, time.perf_counter()
    chosen = [number for number, kernel in enumerate(kernels()) if re.search(pattern, kernel.name)]
    with concurrent.futures.ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        for failed, lines in pool.map(judge, chosen):
            failures += failed
            print(lines, flush=True)
    print(f"{len(chosen)} kernels, {failures} failures, {time.perf_counter() - start:.0f} s")
    return failures


if __name__ == "__main__":
    sys.exit(bool(main(*sys.argv[1:])))
