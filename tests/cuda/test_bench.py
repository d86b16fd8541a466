"""The benchmark runs through in the simulator, on tiny sizes."""

from __future__ import annotations

import json
from pathlib import Path

import fastconv
from fastconv.bench import gpu


def test_it_runs_through_and_everything_is_right(tmp_path: Path) -> None:
    rows, text = tmp_path / "rows.json", tmp_path / "table.md"
    assert gpu.main(["--tiny", "--json", str(rows), "--table", str(text)]) == 0
    found = json.loads(rows.read_text())["rows"]
    assert {row["what"] for row in found} == {"conv", "pool", "LeNet-5 predict", "LeNet-5 train"}
    assert all(row["error"] <= gpu.BOUNDS[row["implementation"]] and row["microseconds"] > 0 for row in found)
    assert "| conv | tiny_3x3 | fastconv | NHWC |" in text.read_text()
    assert "| conv | tiny_3x3 | fastconv tf32 | NHWC |" in text.read_text()
    assert fastconv.get_precision() == "high"


def test_a_wrong_result_is_found_and_ratios_are_of_the_better_layout() -> None:
    right = gpu.Row("conv", "a", "fastconv", "NCHW", 2.0, 1e-7)
    rows = [right, right._replace(layout="NHWC", microseconds=4.0, error=1e-3),
            right._replace(implementation="torch ieee", microseconds=6.0)]  # fmt: skip
    assert gpu.wrong(rows) == [rows[1]]
    assert gpu.wrong([right._replace(error=float("nan"))])
    assert gpu.wrong([rows[1]._replace(implementation="fastconv tf32", error=5e-4)]) == []
    assert gpu.ratios(rows, "conv", "torch ieee") == [3.0]
    assert "3.00 times as fast as torch ieee" in gpu.table(rows, "a device")
