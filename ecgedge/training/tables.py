"""What the reports of all tasks are set in: tables and cells for people, JSON for files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

from rich import box
from rich.table import Table

from ecgedge import __version__
from ecgedge.training.place import made

if TYPE_CHECKING:
    from pathlib import Path


class Named(Protocol):
    """A model that was evaluated."""

    @property
    def name(self) -> str:
        """Of its recipe."""

    @property
    def arithmetic(self) -> str:
        """``float32`` or ``int8``."""

    @property
    def sha256(self) -> str:
        """Of its file."""


def table(*heads: str) -> Table:
    """A table whose first column holds words, the others numbers."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for k, head in enumerate(heads):
        made.add_column(head, justify="right" if k else "left")
    return made


def number(value: float | None, digits: int = 3) -> str:
    """A number, or a dash for none."""
    return "-" if value is None else f"{value:.{digits}f}"


def with_interval(row: dict[str, Any], name: str, digits: int = 3, sign: str = "") -> str:
    """A figure and, where there is one, its 95 % interval, which stands beside it in the row."""
    if row[name] is None:
        return "-"
    ends = row[f"{name}_interval"]
    between = f" ({ends[0]:{sign}.3f} to {ends[1]:{sign}.3f})" if ends else ""
    return f"{row[name]:{sign}.{digits}f}{between}"


def keep(folder: Path, model: Named, data: str, split: str, note: str, **told: Any) -> Path:
    """Write what a model scored on a split of a data set as JSON; returns the path.

    Raises
    ------
    UsageError
        If the folder cannot be written.
    """
    made(folder)
    path = folder / f"{model.name}-{model.arithmetic}-{data}-{split}.json"
    facts = {"model": model.name, "arithmetic": model.arithmetic, "sha256": model.sha256}
    content = {"ecgedge": __version__, "note": note, **facts, "set": data, "split": split, **told}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path
