"""A kernel: a function, the types of its arguments, and what it must come to when it is compiled.

The same object is launched, simulated, and compiled without a GPU by the gate.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastconv.cuda._numba import SIMULATED, cuda, types

if TYPE_CHECKING:
    from collections.abc import Callable

SCALARS = {
    "f4": types.float32,
    "f8": types.float64,
    "i4": types.int32,
    "i8": types.int64,
    "u8": types.uint64,
}


def type_of(letters: str) -> Any:
    """Return Numba's type: "f4" is a float32, "f4[]" a one-dimensional contiguous array of them."""
    scalar = SCALARS[letters.removesuffix("[]")]
    return scalar[::1] if letters.endswith("[]") else scalar


@dataclass(frozen=True)
class Compiled:
    """What the compiler made of a kernel."""

    ptx: str
    cubin: bytes
    registers: int
    stack: int
    spills: int
    shared: int

    def count(self, instruction: str) -> int:
        """Return how often an instruction stands in the PTX."""
        return len(re.findall(rf"^\s*(?:@!?%p\d+ )?{re.escape(instruction)}\b", self.ptx, re.MULTILINE))


@dataclass(frozen=True, eq=False)
class Kernel:
    """One specialisation of a kernel.

    Parameters
    ----------
    name : str
        Factory and constants: what an error or a report calls it.
    function : callable
        What Numba compiles. Its arguments have the types `signature`; arrays are one-dimensional.
    signature : tuple of str
        As type_of takes them.
    threads : int
        Threads of a block, all along x.
    registers : int
        Most registers of a thread; the gate compares.
    resident : int
        Blocks that a multiprocessor must have room for; 0 leaves it to the compiler.
    instructions : tuple of str
        PTX instructions that the kernel must hold, such as "ld.shared.v4.f32".
    """

    name: str
    function: Callable[..., None]
    signature: tuple[str, ...]
    threads: int
    registers: int = 64
    resident: int = 0
    instructions: tuple[str, ...] = field(default=())

    @functools.cached_property
    def _launchable(self) -> Any:
        if SIMULATED:
            return cuda.jit(self.function)
        return cuda.jit(types.void(*map(type_of, self.signature)), launch_bounds=self._bounds)(self.function)

    @property
    def _bounds(self) -> tuple[int, ...] | None:
        """What the compiler is told of launches, from which it takes how many registers a thread may have."""
        return (self.threads, self.resident) if self.resident else None

    def launch(self, grid: int | tuple[int, ...], stream: Any, *arguments: Any) -> None:
        """Run so many blocks on a stream; no blocks are no launch."""
        blocks = (grid,) if isinstance(grid, int) else grid
        if min(blocks) > 0:
            self._launchable[blocks, self.threads, stream](*arguments)

    def compile(self, *capabilities: tuple[int, int]) -> list[Compiled]:
        """Compile for compute capabilities, with no GPU at hand: PTX for the first, and of it machine code for each."""
        signature = types.void(*map(type_of, self.signature))
        ptx, _ = cuda.compile(
            self.function,
            signature,
            cc=capabilities[0],
            device=False,
            abi="numba",
            output="ptx",
            launch_bounds=self._bounds,
        )
        text = ptx if isinstance(ptx, str) else ptx.decode()
        return [self._assemble(text, cc) for cc in capabilities]

    def _assemble(self, text: str, cc: tuple[int, int]) -> Compiled:
        from cuda.core import Linker, LinkerOptions, ObjectCode

        options = LinkerOptions(arch=f"sm_{cc[0]}{cc[1]}", ptxas_options=["-v"], verbose=True)
        linker = Linker(ObjectCode.from_ptx(text.encode()), options=options)
        cubin = linker.link("cubin").code
        said = linker.get_info_log()

        def number(pattern: str) -> int:
            return max((int(found) for found in re.findall(pattern, said)), default=0)

        return Compiled(
            text,
            bytes(cubin),
            registers=number(r"Used (\d+) registers"),
            stack=number(r"(\d+) bytes stack frame"),
            spills=number(r"(\d+) bytes spill stores"),
            shared=number(r"(\d+) bytes smem"),
        )
