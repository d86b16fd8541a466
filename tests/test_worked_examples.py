"""Textbook cases with their numbers, and the pages of documentation that show them."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import numpy as np
import pytest

from checkout import ROOT
from fastconv import functional, layers, models

DTYPES = [np.float32, np.float64]


def test_page_of_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "examples.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    source = "\n".join(blocks)
    runner = doctest.DocTestRunner()
    runner.run(doctest.DocTestParser().get_doctest(source, {}, "examples.md", "examples.md", 0))
    assert runner.summarize(verbose=False).failed == 0
    assert runner.tries == source.count(">>> ") > 30


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("algorithm", ["direct", "im2col"])
def test_vertical_edge(dtype: type, layout: str, algorithm: str) -> None:
    image = np.tile(np.array([10, 10, 10, 0, 0, 0], dtype), (6, 1))
    kernel = np.tile(np.array([1, 0, -1], dtype), (3, 1))
    in_layout = (None, None, ...) if layout == "NCHW" else (None, ..., None)
    of_kernel = (None, None, ...) if layout == "NCHW" else (..., None, None)
    edges = functional.conv2d(image[in_layout], kernel[of_kernel], layout=layout, algorithm=algorithm)
    assert edges.dtype == dtype
    np.testing.assert_array_equal(edges.reshape(4, 4), np.tile([0, 30, 30, 0], (4, 1)))


@pytest.mark.parametrize(
    ("filters", "size", "padding", "image", "result"),
    [
        (12, 3, "same", (32, 32, 3), (32, 32, 12)),
        (12, 5, "same", (32, 32, 3), (32, 32, 12)),
        (40, 5, "valid", (128, 128, 3), (124, 124, 40)),
        (1, 3, "valid", (5, 5, 1), (3, 3, 1)),
        (1, 3, "same", (5, 5, 1), (5, 5, 1)),
        (7, (3, 5), "valid", (20, 31, 2), (18, 27, 7)),
    ],
)
def test_volumes_and_parameters(filters: int, size: object, padding: str, image: tuple, result: tuple) -> None:
    layer = layers.Conv2D(filters, size, padding=padding)
    made = np.asarray(layer(np.ones((2, *image), np.float32)))
    assert made.shape == (2, *result)
    m, n = layer.get_weights()[0].shape[:2]
    assert layer.count_params() == ((m * n * image[2]) + 1) * filters
    pooled = np.asarray(layers.MaxPooling2D(2)(made))
    assert pooled.shape == (2, result[0] // 2, result[1] // 2, filters)


GRID = [(n, k, p, s) for n in (5, 6, 7, 13) for k in (1, 2, 3, 5) for p in (0, 1, 2) for s in (1, 2, 3, 4)]


def test_size_formula_for_strides_that_do_not_divide() -> None:
    for n, k, p, s in GRID:
        image, kernel = np.ones((1, 1, n, 9), np.float32), np.ones((1, 1, k, 2), np.float32)
        rows = (n - k + 2 * p) // s + 1
        assert functional.conv2d(image, kernel, stride=(s, 3), padding=(p, 1)).shape == (1, 1, rows, 4), (n, k, p, s)


def test_size_formula_for_a_padding_of_its_own_on_each_side() -> None:
    for top, bottom, left, right in [(0, 1, 2, 3), (3, 0, 0, 1), (1, 1, 4, 0), (2, 5, 0, 0)]:
        image, kernel = np.ones((1, 2, 11, 6), np.float32), np.ones((3, 2, 4, 3), np.float32)
        made = functional.conv2d(image, kernel, stride=(3, 2), padding=((top, bottom), (left, right)))
        assert made.shape == (1, 3, (11 - 4 + top + bottom) // 3 + 1, (6 - 3 + left + right) // 2 + 1)
        assert made.max() == 4 * 3 * 2


def test_lenet5_summary_shows_the_table_of_1998(capsys: pytest.CaptureFixture[str]) -> None:
    models.LeNet5().summary()
    shown = capsys.readouterr().out
    maps = ["28, 28, 6", "14, 14, 6", "10, 10, 16", "5, 5, 16", "120", "84", "10"]
    places = []
    for shape in maps:
        match = re.compile(rf"\(None, (?:1, 1, )?{shape}\)").search(shown, places[-1] if places else 0)
        assert match, f"{shape} is not in the summary, or not in its place:\n{shown}"
        places.append(match.end())
    assert "61,706" in shown


def test_photograph_filters_tell_the_directions_apart() -> None:
    from sklearn.datasets import load_sample_image

    grey = load_sample_image("china.jpg")[:64, :80].mean(axis=2).astype(np.float32)
    vertical = np.tile(np.array([1, 0, -1], np.float32), (3, 1))
    filters = np.stack([vertical, vertical.T])[:, None]
    got = functional.conv2d(grey[None, None], filters)[0]
    turned = functional.conv2d(np.ascontiguousarray(grey.T)[None, None], filters)[0]
    expected = (grey[:, :-2] - grey[:, 2:])[:-2] + (grey[:, :-2] - grey[:, 2:])[1:-1] + (grey[:, :-2] - grey[:, 2:])[2:]
    np.testing.assert_allclose(got[0], expected, atol=1e-3)
    np.testing.assert_allclose(turned[1], got[0].T, atol=1e-3)
