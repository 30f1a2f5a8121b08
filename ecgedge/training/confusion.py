"""Confusion matrices as pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

INK = "#16181d"


def draw(path: Path, counts: Sequence[Sequence[int]], classes: Sequence[str], title: str) -> None:
    """Write one matrix as a PNG; needs matplotlib."""
    from matplotlib.figure import Figure

    side = 1.2 + 0.95 * len(classes)
    figure = Figure(figsize=(side, 0.9 * side), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    matrix(axes, counts, classes, classes)
    axes.set_title(title, fontsize=10, fontweight="bold", color=INK)
    figure.savefig(path)


def matrix(axes: Any, counts: Sequence[Sequence[int]], rows: Sequence[str], columns: Sequence[str]) -> None:
    """Draw counts into matplotlib's axes, shaded by their share of the row (reference down, told across)."""
    from matplotlib.colors import LinearSegmentedColormap

    table = np.array(counts, dtype=np.float64)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    shade = LinearSegmentedColormap.from_list("shade", ["#f6f7f9", "#9db8d6", "#1f4e80"])
    axes.imshow(shares, cmap=shade, vmin=0, vmax=1, aspect="auto")
    for (y, x), value in np.ndenumerate(shares):
        colour = "white" if value > 0.55 else INK
        look = {"ha": "center", "va": "center", "color": colour, "textcoords": "offset points"}
        axes.annotate(f"{counts[y][x]}", (x, y), (0, 5), fontsize=13, **look)
        axes.annotate(f"{100 * value:.1f} %", (x, y), (0, -9), fontsize=8, **look)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xticks(np.arange(1, len(columns)) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, len(rows)) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2.5)
    axes.tick_params(which="both", length=0, labelcolor=INK)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("told")
    axes.set_ylabel("reference")
