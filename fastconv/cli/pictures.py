"""The pictures that a training leaves behind: arrays in, one PNG file out.

Everything is drawn with matplotlib's object interface on its Agg canvas, so no window system is needed and nothing
global changes. Blue is negative, red is positive, and white is zero wherever a value has a sign.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastconv.cli.errors import missing_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT, LINE = "#1b2530", "#66727f", "#dfe4ea"
BLUE, ORANGE, RED = "#2a6fbb", "#e07b00", "#c8372d"
SIGNED, AMOUNT = "RdBu_r", "Blues"

_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "axes.titlecolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "grid.color": LINE,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
}
_DPI = 110


@dataclass(frozen=True)
class Stage:
    """One row of the picture of feature maps.

    Parameters
    ----------
    name : str
        What made the values, such as ``"C1 convolution"``.
    values : ndarray
        Shape (height, width, channels) for maps, (units,) for a vector.
    note : str
        A word about how, such as ``"5×5, tanh"``.
    """

    name: str
    values: NDArray[Any]
    note: str = ""


@contextmanager
def figure(path: str | Path, width: float, height: float, title: str, subtitle: str = "") -> Iterator[Figure]:
    """Give an empty figure with its title; write it to `path` as a PNG when the block ends.

    Parameters
    ----------
    path : str or Path
        The file to write.
    width, height : float
        Size in inches.
    title, subtitle : str
        Two lines at the upper left.

    Raises
    ------
    CommandError
        If matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_extra("matplotlib", "drawing pictures") from error
    with matplotlib.rc_context(_STYLE):
        drawing = Figure(figsize=(width, height), dpi=_DPI, facecolor="white")
        FigureCanvasAgg(drawing)
        drawing.text(0.3 / width, 1 - 0.22 / height, title, fontsize=15, fontweight="bold", va="top")
        drawing.text(0.3 / width, 1 - 0.56 / height, subtitle, fontsize=10, color=SOFT, va="top")
        yield drawing
        options = {"optimize": True}
        drawing.savefig(path, format="png", metadata={"Software": None}, pil_kwargs=options)


def training_curves(
    history: Mapping[str, Sequence[float]], path: str | Path, *, test_accuracy: float | None = None
) -> None:
    """Draw loss and accuracy over the epochs.

    Parameters
    ----------
    history : mapping of str to sequence of float
        ``loss``, ``accuracy``, ``val_loss`` and ``val_accuracy``, one value an epoch; those that are there are drawn.
    path : str or Path
        The PNG file to write.
    test_accuracy : float, optional
        Drawn as a level line over the accuracies.
    """
    epochs = np.arange(1, 1 + max(len(values) for values in history.values()))
    subtitle = "Validation digits were held out of the training."
    with figure(path, 10, 4.3, "How the training went", subtitle) as drawing:
        box = {"left": 0.07, "right": 0.905, "top": 0.74, "bottom": 0.12, "wspace": 0.38}
        panels = drawing.subplots(1, 2, gridspec_kw=box)
        for axes, key, heading in zip(panels, ("loss", "accuracy"), ("Loss", "Accuracy"), strict=True):
            axes.set_title(heading, pad=10)
            axes.grid(axis="y", linewidth=0.8)
            axes.set_axisbelow(True)
            axes.set_xlabel("epoch")
            axes.set_xlim(epochs[0] - 0.3, epochs[-1] + 0.3)
            axes.xaxis.get_major_locator().set_params(integer=True)
            ends = []
            for name, colour, label in ((key, BLUE, "training"), (f"val_{key}", ORANGE, "validation")):
                if name in history:
                    axes.plot(epochs, history[name], color=colour, linewidth=2, marker="o", markersize=3.5)
                    ends.append((float(history[name][-1]), colour, label))
            if key == "accuracy" and test_accuracy is not None:
                axes.axhline(test_accuracy, color=RED, linewidth=1.2, linestyle=(0, (4, 3)))
                ends.append((test_accuracy, RED, "test"))
            _scale(axes, ends, share=key == "accuracy")
            axes.tick_params(which="both", length=0)
            _label_ends(axes, ends, share=key == "accuracy")


def _scale(axes: Axes, ends: Sequence[tuple[float, str, str]], *, share: bool) -> None:
    """Percent for accuracies, a logarithmic axis with plain numbers for losses that allow one."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter

    low, high = axes.get_ylim()
    if share:
        axes.set_ylim(low, max(high, 1.005))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0 if high - low > 0.05 else 1))
    elif axes.dataLim.y0 > 0:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())


def _label_ends(axes: Axes, ends: Sequence[tuple[float, str, str]], *, share: bool) -> None:
    """Write each curve's name and last value at its end, pushed apart where they would touch."""
    drawing = axes.get_figure(root=True)
    assert drawing is not None
    height = axes.get_position().height * drawing.get_figheight() * 72
    ordered = sorted(ends)
    places = [
        float(axes.transAxes.inverted().transform(axes.transData.transform((1, value)))[1]) * height
        for value, _, _ in ordered
    ]
    for index in range(1, len(places)):
        places[index] = max(places[index], places[index - 1] + 25)
    overshoot = max(places[-1] - height, 0.0) if places else 0.0
    for index in reversed(range(len(places))):
        ceiling = height if index == len(places) - 1 else places[index + 1] - 25
        places[index] = min(places[index], ceiling) if overshoot else places[index]
    for place, (value, colour, label) in zip(places, ordered, strict=True):
        text = f"{label}\n{value:.2%}" if share else f"{label}\n{value:.3g}"
        axes.annotate(
            text, (1.0, place / height), xycoords="axes fraction", xytext=(7, 0), textcoords="offset points",
            color=colour, fontsize=9, va="center", linespacing=1.1, annotation_clip=False,
        )  # fmt: skip


def filters(kernel: NDArray[Any], path: str | Path, *, name: str = "C1", bias: NDArray[Any] | None = None) -> None:
    """Draw a convolution's filters, one tile for each.

    Parameters
    ----------
    kernel : ndarray
        Shape (height, width, channels, filters); of several channels the mean is drawn.
    path : str or Path
        The PNG file to write.
    name : str
        The layer's name.
    bias : ndarray, optional
        Shape (filters,), written under the tiles.
    """
    height, width, channels, count = kernel.shape
    tiles = kernel.mean(axis=2)
    limit = float(np.abs(tiles).max()) or 1.0
    columns = min(count, 8)
    rows = -(-count // columns)
    subtitle = f"{count} filters of {height}×{width}×{channels}" + (", mean over the channels" if channels > 1 else "")
    size = (1.5 * columns + 1.6, 1.75 * rows + 1.15)
    with figure(path, *size, f"What {name} looks for", subtitle) as drawing:
        box = {"left": 0.3 / size[0], "right": 1 - 1.3 / size[0], "top": 1 - 1.1 / size[1], "bottom": 0.2 / size[1]}
        grid = drawing.subplots(rows, columns, squeeze=False, gridspec_kw={**box, "wspace": 0.12, "hspace": 0.3})
        for axes in grid.flat:
            axes.set_axis_off()
        image = None
        for index, axes in zip(range(count), grid.flat, strict=False):
            image = axes.imshow(tiles[:, :, index], cmap=SIGNED, vmin=-limit, vmax=limit, interpolation="nearest")
            label = f"{index + 1}" + ("" if bias is None else f"   bias {bias[index]:+.2f}".replace("-", "−"))
            axes.set_title(label, fontsize=9, fontweight="normal", color=SOFT, loc="center", pad=4)
        assert image is not None
        side = drawing.add_axes((1 - 0.95 / size[0], 0.3 / size[1], 0.13 / size[0], (size[1] - 1.6) / size[1]))
        _colour_bar(drawing, image, side)


def _colour_bar(drawing: Figure, image: Any, side: Axes) -> None:
    from matplotlib.ticker import FixedLocator, StrMethodFormatter

    bar = drawing.colorbar(image, cax=side)
    bar.outline.set_visible(False)
    low, high = image.get_clim()
    bar.locator = FixedLocator([low, (low + high) / 2, high])
    bar.formatter = StrMethodFormatter("{x:.2g}")
    bar.update_ticks()
    side.tick_params(length=0, labelsize=8)


def feature_maps(stages: Sequence[Stage], path: str | Path, *, title: str, subtitle: str = "") -> None:
    """Draw what every layer makes of one image, a row for each.

    Parameters
    ----------
    stages : sequence of Stage
        From the input to the output. A last stage that is a vector of ten probabilities becomes a bar chart.
    path : str or Path
        The PNG file to write.
    title, subtitle : str
        Two lines at the upper left.
    """
    width, caption, side = 11.0, 2.35, 0.85
    heights = [_row_height(stage, width - caption - side) for stage in stages]
    gap, top = 0.26, 1.0
    height = top + sum(heights) + gap * len(stages)
    with figure(path, width, height, title, subtitle) as drawing:
        below = height - top
        for position, (stage, tall) in enumerate(zip(stages, heights, strict=True)):
            below -= tall
            box = (caption / width, below / height, (width - caption - side) / width, tall / height)
            axes = drawing.add_axes(box)
            middle = (below + tall / 2) / height
            size = "×".join(map(str, stage.values.shape)) + (" units" if stage.values.ndim == 1 else "")
            drawing.text(0.3 / width, middle, stage.name, fontsize=11, fontweight="bold", va="bottom")
            text = f"{size}\n{stage.note}".rstrip()
            drawing.text(0.3 / width, middle - 0.03 / height, text, fontsize=9, color=SOFT, va="top", linespacing=1.35)
            if position == len(stages) - 1 and stage.values.ndim == 1:
                _probability_bars(axes, stage.values)
                continue
            image = _draw_stage(axes, stage, first=position == 0)
            bar = drawing.add_axes((1 - (side - 0.12) / width, below / height, 0.1 / width, tall / height))
            _colour_bar(drawing, image, bar)
            below -= gap


def _columns(stage: Stage) -> int:
    return min(stage.values.size, 60) if stage.values.ndim == 1 else min(int(stage.values.shape[2]), 8)


def _row_height(stage: Stage, width: float) -> float:
    """Inches that a stage takes when its tiles share `width` inches."""
    columns = _columns(stage)
    if stage.values.ndim == 1:
        return 0.95 if stage.values.size == 10 else max(0.16 * -(-stage.values.size // columns), 0.5)
    height, breadth, count = map(int, stage.values.shape)
    return min(width / columns, 1.22) * -(-count // columns) * height / breadth


def _draw_stage(axes: Axes, stage: Stage, *, first: bool) -> Any:
    """Show all maps of a stage as one picture with white gaps between them."""
    axes.set_axis_off()
    values, columns = stage.values, _columns(stage)
    if values.ndim == 1:
        values = np.full((-(-values.size // columns), columns), np.nan, np.float32)
        values.flat[: stage.values.size] = stage.values
        board, anchor = values, "W"
    else:
        board, anchor = montage(values, columns), "W"
    signed = bool(np.nanmin(board) < 0)
    high = 1.0 if first else float(np.nanmax(np.abs(board))) or 1.0
    limits = (-high, high) if signed else (0.0, high)
    colours = "gray_r" if first else (SIGNED if signed else AMOUNT)
    image = axes.imshow(board, cmap=colours, vmin=limits[0], vmax=limits[1], interpolation="nearest")
    axes.set_anchor(anchor)
    return image


def montage(maps: NDArray[Any], columns: int) -> NDArray[np.float32]:
    """Lay maps side by side.

    Parameters
    ----------
    maps : ndarray
        Shape (height, width, channels).
    columns : int
        Maps in a row.

    Returns
    -------
    ndarray of float32
        One picture; NaN between the maps and in unused places.

    Examples
    --------
    >>> montage(np.ones((5, 5, 3)), columns=2).shape
    (11, 11)
    """
    height, width, count = maps.shape
    rows = -(-count // columns)
    gap = max(1, round(width / 14))
    board = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), np.nan, np.float32)
    for index in range(count):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        board[top : top + height, left : left + width] = maps[:, :, index]
    return board


def _probability_bars(axes: Axes, probabilities: NDArray[Any]) -> None:
    best = int(np.argmax(probabilities))
    places = np.arange(probabilities.size)
    colours = [BLUE if place == best else "#c9d2dc" for place in places]
    axes.bar(places, probabilities, width=0.8, color=colours)
    axes.set_ylim(0, 1.05)
    axes.set_xlim(-0.6, probabilities.size - 0.4)
    axes.set_xticks(places, [str(place) for place in places])
    axes.set_yticks([])
    axes.tick_params(length=0, labelsize=10)
    axes.spines["left"].set_visible(False)
    for place, probability in zip(places, probabilities, strict=True):
        if probability >= 0.005:
            inside = probability > 0.75
            axes.annotate(
                f"{probability:.1%}", (place, probability), xytext=(0, -4 if inside else 3),
                textcoords="offset points", ha="center", va="top" if inside else "bottom", fontsize=8.5,
                color="white" if inside else SOFT,
            )  # fmt: skip


def confusion_matrix(labels: NDArray[Any], predictions: NDArray[Any], path: str | Path) -> None:
    """Draw how often each digit was read as each.

    Parameters
    ----------
    labels, predictions : ndarray of int
        Shape (N,), 0 to 9: what the digits are and what they were read as.
    path : str or Path
        The PNG file to write.
    """
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (labels, predictions), 1)
    wrong = int(counts.sum() - np.trace(counts))
    subtitle = f"{counts.sum():,} test digits, {wrong:,} read wrongly; a row is what the digit is"
    with figure(path, 7.6, 7.7, "Which digit is taken for which", subtitle) as drawing:
        axes = drawing.add_axes((0.085, 0.03, 0.78, 0.80))
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        diagonal = np.eye(10, dtype=bool)
        axes.set_facecolor("#f5f7f9")
        axes.imshow(np.where(diagonal, share, np.nan), cmap=AMOUNT, vmin=0, vmax=1.25)
        most = max(int(counts[~diagonal].max()), 1)
        axes.imshow(np.where(diagonal | (counts == 0), np.nan, counts), cmap="Oranges", vmin=-most / 4, vmax=2 * most)
        for row, column in np.ndindex(10, 10):
            number = counts[row, column]
            if number:
                colour = "white" if row == column and share[row, column] > 0.5 else INK
                axes.text(column, row, f"{number:,}", ha="center", va="center", color=colour, fontweight="bold")
        for row in range(10):
            axes.text(9.75, row, f"{share[row, row]:.1%}", va="center", fontsize=9, color=SOFT)
        axes.text(9.75, -0.85, "found", fontsize=9, color=SOFT, va="center")
        axes.set_xticks(range(10))
        axes.set_yticks(range(10))
        axes.xaxis.tick_top()
        axes.xaxis.set_label_position("top")
        axes.set_xlabel("read as", labelpad=6)
        axes.set_ylabel("is", rotation=0, labelpad=10)
        axes.tick_params(length=0, labelsize=11, colors=INK)
        axes.set_xticks(np.arange(-0.5, 10), minor=True)
        axes.set_yticks(np.arange(-0.5, 10), minor=True)
        axes.grid(which="minor", color="white", linewidth=2)
        axes.tick_params(which="minor", length=0)
        axes.spines[:].set_visible(False)


def mistakes(
    images: NDArray[Any], labels: NDArray[Any], probabilities: NDArray[Any], path: str | Path, *, limit: int = 24
) -> None:
    """Draw the digits that were read wrongly, the surest mistakes first.

    Parameters
    ----------
    images : ndarray
        Shape (N, height, width), ink is bright.
    labels : ndarray of int
        Shape (N,), what the digits are.
    probabilities : ndarray
        Shape (N, 10), what the network made of them.
    path : str or Path
        The PNG file to write.
    limit : int
        Show at most so many.
    """
    readings = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(readings != labels)
    sureness = probabilities[wrong, readings[wrong]]
    shown = wrong[np.argsort(-sureness, kind="stable")][:limit]
    columns = min(max(len(shown), 4), 8)
    rows = max(-(-len(shown) // columns), 1)
    subtitle = f"{len(wrong):,} of {len(labels):,} test digits"
    if len(shown) < len(wrong):
        subtitle += f"; the {len(shown)} of which the network was surest"
    size = (max(1.25 * columns + 0.5, 6.0), 1.72 * rows + 0.8)
    with figure(path, *size, "Read wrongly", subtitle) as drawing:
        if len(shown) == 0:
            drawing.text(0.5, 0.4, "not a single one", ha="center", fontsize=14, color=SOFT)
            return
        box = {"left": 0.3 / size[0], "right": (0.3 + 1.25 * columns) / size[0] - 0.15 / size[0]}
        box |= {"top": 1 - 0.85 / size[1], "bottom": 0.5 / size[1]}
        grid = drawing.subplots(rows, columns, squeeze=False, gridspec_kw={**box, "wspace": 0.14, "hspace": 0.42})
        for axes in grid.flat:
            axes.set_axis_off()
        for index, axes in zip(shown, grid.flat, strict=False):
            axes.imshow(images[index], cmap="gray_r", interpolation="nearest")
            reading = readings[index]
            axes.text(0.5, -0.04, f"is {labels[index]}", transform=axes.transAxes, ha="center", va="top", fontsize=9.5)
            axes.text(0.5, -0.18, f"read as {reading}, {probabilities[index, reading]:.0%}", transform=axes.transAxes,
                      ha="center", va="top", fontsize=8.5, color=RED)  # fmt: skip
