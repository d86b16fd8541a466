"""Measure how exact each algorithm is, and write ``accuracy.md`` and ``accuracy.png``.

Run it as ``python docs/make_accuracy.py [FOLDER]`` where fastconv[demo] is installed; both go beside this file, or into
FOLDER. Every figure is held against :mod:`fastconv.reference`, plain NumPy in float64.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastconv import functional, grad, reference
from fastconv.cli import pictures

Array = NDArray[Any]
CHANNELS = [1, 4, 16, 32, 64, 128, 256, 512, 1024]
SIZES = [4, 7, 8, 14, 28, 56]
OUTPUTS, SIZE, WIDTH = 16, 14, 32
HIGH, HIGHEST, DOUBLE = 1e-5, 3e-6, 1e-14
COLOURS = {"direct": pictures.BLUE, "im2col": pictures.ORANGE, "winograd": pictures.RED}


class Data(NamedTuple):
    """One 3×3 layer, with its exact result and what the size of a rounding error is measured by."""

    x: Array
    w: Array
    exact: Array
    scale: Array


def data(channels: int, size: int, mean: float, dtype: type = np.float32) -> Data:
    """Draw x (1, channels, size, size) around `mean` and w (16, channels, 3, 3) around zero."""
    rng = np.random.default_rng(channels * 1000 + size)
    x = (rng.standard_normal((1, channels, size, size)) + mean).astype(dtype)
    w = rng.standard_normal((OUTPUTS, channels, 3, 3)).astype(dtype)
    return Data(x, w, reference.conv2d(x, w, padding=1), reference.conv2d(np.abs(x), np.abs(w), padding=1))


def relative(got: Array, exact: Array, scale: Array | None = None) -> float:
    """Return ‖got - exact‖ / ‖scale‖, the scale being the exact result unless another is given."""
    return float(np.linalg.norm(got - exact) / np.linalg.norm(exact if scale is None else scale))


def by_channels(algorithm: str) -> list[float]:
    """Errors of a 14×14 layer over the number of input channels, on data of mean zero."""
    found = []
    for channels in CHANNELS:
        one = data(channels, SIZE, 0)
        found.append(relative(functional.conv2d(one.x, one.w, padding=1, algorithm=algorithm), one.exact))
    return found


def by_size(algorithm: str) -> list[float]:
    """Errors of a layer of 32 channels over the size of its map, on data of mean zero."""
    found = []
    for size in SIZES:
        one = data(WIDTH, size, 0)
        found.append(relative(functional.conv2d(one.x, one.w, padding=1, algorithm=algorithm), one.exact))
    return found


def table() -> list[tuple[str, str, float, float]]:
    """Return rows of (what, algorithm, error at mean zero, error at mean a thousand against ‖|x| ∗ |w|‖)."""
    rows = []
    centred, offset = data(WIDTH, SIZE, 0), data(WIDTH, SIZE, 1000)
    for algorithm in COLOURS:
        got = [functional.conv2d(one.x, one.w, padding=1, algorithm=algorithm) for one in (centred, offset)]
        first, second = relative(got[0], centred.exact), relative(got[1], offset.exact, offset.scale)
        rows.append(("convolution, float32", algorithm, first, second))
    wide = [data(WIDTH, SIZE, mean, np.float64) for mean in (0, 1000)]
    for algorithm in COLOURS:
        got = [functional.conv2d(one.x, one.w, padding=1, algorithm=algorithm) for one in wide]
        first, second = relative(got[0], wide[0].exact), relative(got[1], wide[1].exact, wide[1].scale)
        rows.append(("convolution, float64", algorithm, first, second))
    gradients: dict[str, Callable[[Any, Array, Array, Array], Array]] = {
        "gradient of the input, float32": lambda m, x, w, g: m.conv2d_input(x.shape, w, g, padding=1),
        "gradient of the weights, float32": lambda m, x, w, g: m.conv2d_weight(x, w.shape, g, padding=1),
    }
    for name, gradient in gradients.items():
        errors = []
        for one in (centred, offset):
            upstream = np.random.default_rng(1).standard_normal(one.exact.shape).astype(np.float32)
            got, exact = (gradient(module, one.x, one.w, upstream) for module in (grad, reference))
            scale = gradient(reference, np.abs(one.x), np.abs(one.w), np.abs(upstream))
            errors.append(relative(got, exact, scale if errors else None))
        rows.append((name, "auto", *errors))
    return rows


def draw(path: Path) -> None:
    """Draw the errors over channels and over sizes, with the bounds that are promised."""
    subtitle = "3×3 layers in float32, random data of mean zero, against float64; dashed: what is promised."
    width, height = 10.0, 4.2
    with pictures.figure(path, width, height, "How far from the exact result", subtitle) as drawing:
        panels: list[tuple[str, list[int], Callable[[str], list[float]]]] = [
            (f"input channels ({SIZE}×{SIZE})", CHANNELS, by_channels),
            (f"height and width ({WIDTH} channels)", SIZES, by_size),
        ]
        for place, (label, values, errors) in enumerate(panels):
            axes = drawing.add_axes((0.08 + 0.48 * place, 0.6 / height, 0.41, 1 - 1.5 / height))
            for algorithm, colour in COLOURS.items():
                axes.loglog(values, errors(algorithm), marker="o", markersize=4, color=colour, label=algorithm)
            for bound, name in ((HIGH, '"high"'), (HIGHEST, '"highest"')):
                axes.axhline(bound, color=pictures.SOFT, linestyle="--", linewidth=1)
                axes.text(values[0], bound * 1.08, name, color=pictures.SOFT, fontsize=9, va="bottom")
            axes.set_xticks(values, [str(value) for value in values])
            axes.minorticks_off()
            axes.set_ylim(3e-8, 3e-5)
            axes.set_xlabel(label)
            axes.set_ylabel("‖got − exact‖ / ‖exact‖" if place == 0 else "")
            axes.legend(loc="lower right")


def page() -> str:
    """Return the page in Markdown."""
    lines = [
        "# How exact",
        "",
        "Each algorithm against plain NumPy in float64, `fastconv.reference`. `python docs/make_accuracy.py` makes",
        "this page.",
        "",
        "![Relative errors over channels and sizes](accuracy.png)",
        "",
        "`direct` and `im2col` add every product of an output, in partial sums of at most 512, so that their error",
        "hardly grows past 64 channels; on integers they are exact. `winograd` transforms tiles first and loses two to",
        "three times as much. `fastconv.set_precision` says which ones may be chosen:",
        "",
        "| precision | may choose | ‖got − exact‖ / ‖exact‖, data of mean zero |",
        "|---|---|---|",
        '| `"highest"` | direct, im2col | at most 3·10⁻⁶ in float32, 10⁻¹⁴ in float64 |',
        '| `"high"`, the default | these, Winograd, separable passes | at most 10⁻⁵ in float32, 10⁻¹⁴ in float64 |',
        '| `"medium"` | these; on a GPU TF32 in large float32 convolutions | there at most 10⁻³, else as above |',
        "",
        "Where results cancel, as those of an image with a large offset may, no algorithm can keep digits that the",
        "sums do not have; what is bounded then is ‖got − exact‖ against ‖|x| ∗ |w|‖, the size of what was added.",
        "",
        f"Measured on a 3×3 layer of {WIDTH} to {OUTPUTS} channels, {SIZE}×{SIZE}:",
        "",
        "| what | algorithm | mean 0: of ‖exact‖ | mean 1,000: of ‖\\|x\\| ∗ \\|w\\|‖ |",
        "|---|---|---:|---:|",
    ]
    lines += [f"| {what} | {algorithm} | {first:.1e} | {second:.1e} |" for what, algorithm, first, second in table()]
    return "\n".join([*lines, ""])


def make(folder: Path) -> None:
    """Write the page and its picture into a folder."""
    (folder / "accuracy.md").write_text(page(), encoding="utf-8")
    draw(folder / "accuracy.png")


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
