"""What the compiler made of the register tiles, read from the installed module with objdump (binutils).

A processor can hide a missing FMA or a spilled accumulator from a benchmark; the instructions cannot. OBJDUMP and
FASTCONV_MODULE point the same checks at a build for another processor.
"""

from __future__ import annotations

import os
import re
import subprocess
from typing import NamedTuple

import pytest

import fastconv._core

MODULE = os.environ.get("FASTCONV_MODULE", fastconv._core.__file__)
TABLE = re.compile(r"fc_(?P<dtype>f32|f64)_(?P<kind>conv_(?:channel|plane|weight_grad))_(?P<isa>[a-z0-9]+)$")
FUSED = re.compile(r"\s(vfmadd\d+p[sd]|fmla)\s")
PRODUCT = re.compile(r"\s(mulp[sd])\s")
# A vector register beside an operand on the stack; %rbp counts where the function made it its frame pointer.
VECTOR = re.compile(r"%[xyz]mm\d|\b[qv]\d+\b")
STACK = re.compile(r"\(%rsp|\[sp\b")
FRAME = re.compile(r"\(%rsp|-0x[0-9a-f]+\(%rbp")


class Tile(NamedTuple):
    """One register tile: its name, how many products a step takes, and its instructions by address."""

    name: str
    products: int
    code: dict[int, str]

    def hot_loops(self) -> list[list[str]]:
        """The innermost loops that multiply."""
        jumps = [
            (at, re.search(r"\s(?:j\w+|b\.?\w*|cbn?z|tbn?z)\s+(?:\w+, )?(?:#\w+, )?([0-9a-f]+) <", text))
            for at, text in self.code.items()
        ]
        loops = [
            (int(jump[1], 16), at)
            for at, jump in jumps
            if jump and int(jump[1], 16) in self.code and int(jump[1], 16) <= at
        ]
        inner = [(a, b) for a, b in loops if not any((a, b) != (c, d) and a <= c and d <= b for c, d in loops)]
        bodies = [[text for at, text in self.code.items() if first <= at <= last] for first, last in inner]
        return [body for body in bodies if any(FUSED.search(text) or PRODUCT.search(text) for text in body)]


def objdump(*arguments: str) -> str:
    command = [os.environ.get("OBJDUMP", "objdump"), *arguments, MODULE]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def tables() -> dict[str, list[Tile]]:
    """Every table of register tiles in the module, by its symbol."""
    functions: dict[int, str] = {}
    spans: dict[str, range] = {}
    for at, kind, size, name in re.findall(
        r"^([0-9a-f]+).{8}\S*\s*(\S+)\s+([0-9a-f]+)\s+(?:\.hidden )?(\w+)$", objdump("-t"), re.MULTILINE
    ):
        if TABLE.match(name):
            spans[name] = range(int(at, 16), int(at, 16) + int(size, 16))
        elif kind == ".text":
            functions[int(at, 16)] = name
    code: dict[int, dict[int, str]] = {}
    for line in objdump("-d", "--no-show-raw-insn", "-j", ".text").splitlines():
        if heading := re.match(r"([0-9a-f]{8,}) <", line):
            body = code.setdefault(int(heading[1], 16), {})
        elif instruction := re.match(r"\s+([0-9a-f]+):(.*)", line):
            body[int(instruction[1], 16)] = instruction[2] + " "
    found: dict[str, list[Tile]] = {name: [] for name in spans}
    for slot, target in re.findall(
        r"^([0-9a-f]+) R_\w+_RELATIVE\s+\*ABS\*\+0x([0-9a-f]+)", objdump("-R"), re.MULTILINE
    ):
        for name, span in spans.items():
            if int(slot, 16) in span:
                tile = functions[int(target, 16)]
                vectors, rows = map(int, re.findall(r"\d+", tile)[-2:])
                found[name].append(Tile(tile, vectors * rows, code[int(target, 16)]))
    return found


def test_every_isa_has_its_tables(tables: dict[str, list[Tile]]) -> None:
    seen = [TABLE.match(name) for name in tables]
    isas = {match["isa"] for match in seen if match}
    assert isas in ({"baseline", "avx2", "avx512"}, {"neon"})
    assert len(tables) == len(isas) * 2 * 3
    assert all(len(tiles) >= 8 for tiles in tables.values())


def test_tiles_multiply_and_add_in_one_instruction(tables: dict[str, list[Tile]]) -> None:
    for table, tiles in tables.items():
        for tile in [] if table.endswith("baseline") else tiles:
            loops = tile.hot_loops()
            assert loops, f"{table}: {tile.name} has no loop that multiplies"
            for body in loops:
                count = sum(bool(FUSED.search(text)) for text in body)
                assert count >= tile.products, f"{table}: {tile.name} has {count} FMAs a step, not {tile.products}"


def test_tiles_keep_their_vectors_in_registers(tables: dict[str, list[Tile]]) -> None:
    spilled = []
    for table, tiles in tables.items():
        for tile in tiles:
            frame = any(re.search(r"mov\s+%rsp,%rbp", text) for text in tile.code.values())
            stack = FRAME if frame else STACK
            loops = tile.hot_loops()
            assert loops, f"{table}: {tile.name} has no loop that multiplies"
            spilled += [
                f"{table}: {tile.name}: {text}"
                for body in loops
                for text in body
                if VECTOR.search(text) and stack.search(text)
            ]
    assert not spilled, "\n".join(spilled)
