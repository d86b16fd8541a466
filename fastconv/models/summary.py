"""A model as a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastconv.layers.arguments import Shape
from fastconv.layers.layer import Layer

if TYPE_CHECKING:
    from fastconv.models.model import Model

_HEADER = ("Layer (type)", "Output Shape", "Param #")


def print_summary(
    model: Model,
    shapes: list[Shape | None],
    line_length: int | None = None,
    print_fn: Callable[[str], Any] | None = None,
    show_trainable: bool = False,
    connections: list[str] | None = None,
) -> None:
    """Print a model's layers, the shapes of their outputs and the numbers of their weights.

    Parameters
    ----------
    model : Model
    shapes : list of tuple or None
        One for each layer; None where it is not known yet.
    line_length : int, optional
        The least width.
    print_fn : callable, optional
        Called once, with the whole text, in place of ``print``.
    show_trainable : bool
        Add a column that says whether training changes a layer's weights.
    connections : list of str, optional
        For each layer, what it was called on.
    """
    header = (*_HEADER, "Trainable") if show_trainable else _HEADER
    rows = [_row(layer, shape, show_trainable) for layer, shape in zip(model.layers, shapes, strict=True)]
    if connections is not None:
        header = (*header, "Connected to")
        rows = [(*row, text) for row, text in zip(rows, connections, strict=True)]
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    missing = (line_length or 0) - sum(widths) - 3 * (len(widths) - 1)
    widths[0] += max(missing, 0)
    rule = "─" * (sum(widths) + 3 * (len(widths) - 1))
    lines = [f'Model: "{model.name}"', rule, _line(header, widths), rule]
    lines += [_line(row, widths) for row in rows]
    lines.append(rule)
    trainable = sum(v.value.size for v in model.trainable_variables)
    fixed = sum(v.value.size for v in model.non_trainable_variables)
    size = sum(v.value.nbytes for v in model.variables)
    lines.append(f"Total params: {trainable + fixed:,} ({_bytes(size)})")
    lines.append(f"Trainable params: {trainable:,}")
    lines.append(f"Non-trainable params: {fixed:,}")
    text = "\n".join(lines)
    if print_fn is None:
        print(text)
    else:
        print_fn(text)


def _row(layer: Layer, shape: Shape | None, show_trainable: bool) -> tuple[str, ...]:
    count = f"{layer.count_params():,}" if layer.built else "0 (unbuilt)"
    row = (f"{layer.name} ({type(layer).__name__})", "?" if shape is None else str(shape), count)
    if not show_trainable:
        return row
    return (*row, ("Y" if layer.trainable else "N") if layer.weights else "-")


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    cells = [
        text.rjust(width) if column == 2 else text.ljust(width)
        for column, (text, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "   ".join(cells).rstrip()


def _bytes(count: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1024:
            return f"{count:.2f} {unit}"
        count /= 1024
    return f"{count:.2f} TB"
