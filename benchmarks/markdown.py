"""Pieces of README: tables, paragraphs, figures with their intervals."""

from __future__ import annotations

import textwrap

from benchmarks import report


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]


def prose(text: str) -> list[str]:
    """A paragraph in lines of README's width."""
    return textwrap.wrap(text, 110, break_long_words=False, break_on_hyphens=False)


def share(value: float | None, digits: int = 3) -> str:
    """A number of 0 to 1; a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """A share (0-1) in per cent."""
    return "-" if value is None else f"{100 * value:.1f} %"


def interval(row: report.Json, name: str) -> str:
    """A figure with its bootstrap interval."""
    low, high = row[f"{name}_interval"]
    return f"{row[name]:.3f} ({low:.3f} to {high:.3f})"


def source(result: report.Json) -> list[str]:
    """Where the figures come from."""
    seen = result["machine"]
    hashes = ", ".join(f"{name} {facts['sha256'][:12]}" for name, facts in result["models"].items())
    cores = f"{seen['cores_used']} of {seen['cores']} cores"
    return prose(
        f"`{result['command']}` on {result['date']}, ecgedge {result['ecgedge']}, {seen['cpu']} ({cores}, "
        f"{seen['system']}), Python {seen['python']}{f'; model {hashes}' if hashes else ''}."
    )
