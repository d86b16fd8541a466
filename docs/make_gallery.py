"""Make the pictures of the README: edges of scikit-learn's sample photograph, and those of ``fastconv train``.

Run it as ``python docs/make_gallery.py [FOLDER]`` where fastconv[demo] is installed; the pictures go beside this file,
or into FOLDER. Their colours are reduced to a palette so that they stay small.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_image

from fastconv import functional
from fastconv.cli import main, pictures

VERTICAL = np.array([[1, 0, -1], [1, 0, -1], [1, 0, -1]], np.float32)
HORIZONTAL = VERTICAL.T.copy()


def photograph() -> NDArray[np.uint8]:
    """Return the temple of scikit-learn's sample image, shape (height, width, 3)."""
    picture: NDArray[np.uint8] = load_sample_image("china.jpg")
    return picture[:400, 60:600]


def edges(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Filter the brightness (height, width) with both kernels: shape (2, height, width)."""
    grey = (picture @ np.array([0.299, 0.587, 0.114])).astype(np.float32)
    kernels = np.stack([VERTICAL, HORIZONTAL])[:, None]
    filtered: NDArray[np.float32] = functional.conv2d(grey[None, None], kernels, padding="same")[0]
    return filtered


def draw_edges(path: Path) -> None:
    """Draw the photograph, the two kernels and what they find."""
    picture = photograph()
    found = edges(picture)[:, 1:-1, 1:-1]
    limit = float(np.percentile(np.abs(found), 98))
    subtitle = "One call of conv2d with two 3×3 filters. Red: brighter on the side of the ones; blue: darker."
    width, height = 11.0, 3.75
    with pictures.figure(path, width, height, "Vertical and horizontal edges", subtitle) as drawing:
        panel, tall = 3.36, 3.36 * picture.shape[0] / picture.shape[1]
        shown = [("the photograph", None), ("vertical edges", VERTICAL), ("horizontal edges", HORIZONTAL)]
        for place, (name, kernel) in enumerate(shown):
            left = 0.3 + place * (panel + 0.16)
            axes = drawing.add_axes((left / width, 0.12 / height, panel / width, tall / height))
            axes.set_axis_off()
            if kernel is None:
                axes.imshow(picture, interpolation="lanczos")
            else:
                axes.imshow(found[place - 1], cmap=pictures.SIGNED, vmin=-limit, vmax=limit, interpolation="lanczos")
                draw_kernel(axes, kernel)
            axes.set_title(name, pad=5)


def draw_kernel(axes: Any, kernel: NDArray[np.float32]) -> None:
    """Write a kernel's numbers into the upper right corner."""
    inset = axes.inset_axes((0.79, 0.72, 0.195, 0.263))
    inset.imshow(kernel, cmap=pictures.SIGNED, vmin=-2, vmax=2)
    inset.set_xticks([])
    inset.set_yticks([])
    inset.spines[:].set_visible(True)
    for (row, column), value in np.ndenumerate(kernel):
        text = f"{value:.0f}".replace("-", "−")
        inset.text(column, row, text, ha="center", va="center", fontsize=8.5, fontweight="bold")


def shrink(path: Path, colours: int, method: Image.Quantize) -> None:
    """Write a PNG again with a palette."""
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(colours, method=method, kmeans=1, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


def make(folder: Path) -> None:
    """Make all pictures in a folder."""
    draw_edges(folder / "edges.png")
    shrink(folder / "edges.png", 160, Image.Quantize.MEDIANCUT)
    with tempfile.TemporaryDirectory() as run:
        if main(["train", "--output", run]) != 0:
            raise SystemExit("the training failed")
        for name in ("curves.png", "filters.png", "feature-maps.png", "confusion.png", "mistakes.png"):
            (folder / name).write_bytes((Path(run) / name).read_bytes())
            shrink(folder / name, 256, Image.Quantize.MAXCOVERAGE)


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
