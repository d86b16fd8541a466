"""``fastconv bench`` and what it is made of."""

from __future__ import annotations

import json
import math

import pytest

from fastconv.bench import race, report
from fastconv.bench.layers import LAYERS
from fastconv.bench.random_layers import LEAST_FLOPS, MOST_FLOPS, random_layers
from fastconv.cli import main

CASE = next(layer for layer in LAYERS if layer.name == "lenet_c1")


def times(own: float, peer: float) -> race.Race:
    rows = [race.Time(race.OWN, "NCHW", own), race.Time(race.OWN, "NHWC", 2 * own), race.Time("torch", "NCHW", peer)]
    return race.Race(CASE, 1, rows, own / 2, "arithmetic")


def test_the_command_writes_page_record_and_picture(tmp_path, capsys):
    assert main(["bench", "--alone", "--only", "lenet_c1", "--rounds", "1", "--output", str(tmp_path)]) == 0
    assert "lenet_c1_b64" in capsys.readouterr().out
    found = json.loads((tmp_path / "results.json").read_text())
    assert [entry["layer"] for entry in found["races"]] == ["lenet_c1", "lenet_c1_b64"]
    assert all(value > 0 for entry in found["races"] for value in entry["times_us"].values())
    assert found["machine"]["peak_gflops"] > 0
    page = (tmp_path / "RESULTS.md").read_text()
    assert CASE.title in page
    assert "results-threads-1.png" in page
    assert (tmp_path / "results-threads-1.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("options", [["--only", "nothing"], ["--threads", "0"], ["--output", "/dev/null/x"]])
def test_what_the_command_refuses(options, capsys):
    assert main(["bench", "--alone", *options]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_ratio_is_the_fastest_peer_over_the_better_layout():
    one, two = times(1e-6, 2e-6), times(1e-6, 8e-6)
    assert one.own.layout == "NCHW"
    assert one.ratio == pytest.approx(2)
    assert report.geomean([one, two]) == pytest.approx(4)
    alone = race.Race(CASE, 1, one.times[:2], 1.0, "arithmetic")
    assert alone.peer is alone.ratio is report.geomean([alone]) is None
    assert "PyTorch NCHW" in report.line(one)
    assert report.line(alone).startswith("lenet_c1")


def test_random_layers_are_the_same_for_the_same_seed():
    layers = random_layers(40)
    assert layers == random_layers(40)
    assert layers[:10] == random_layers(10)
    assert layers != random_layers(40, seed=1)
    for layer in layers:
        assert LEAST_FLOPS <= layer.flops <= MOST_FLOPS
        assert min(layer.output) > 0
        n, k, oh, ow = layer.output
        per_output = layer.c // layer.groups * math.prod(layer.kernel)
        assert layer.flops == 2 * n * k * oh * ow * per_output
