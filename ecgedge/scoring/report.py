"""Scores -> tables for people (text, Markdown) and JSON lines: a row a record, gross and average."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecgedge.scoring.beats import LABELS, BeatCounts
from ecgedge.scoring.episodes import EpisodeCounts
from ecgedge.scoring.figures import average, gross
from ecgedge.scoring.records import RecordScore, score_paths

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Table:
    """One table of the report: a title, column heads, and rows of cells that are already text."""

    title: str
    heads: tuple[str, ...]
    rows: list[tuple[str, ...]]


def percent(value: float | None) -> str:
    """Return a share (0-1) in per cent; ``-`` where it is undefined."""
    return "-" if value is None else f"{100.0 * value:.2f}"


_BEATS = {
    "QRS Se": "qrs_se",
    "QRS +P": "qrs_ppv",
    "V Se": "v_se",
    "V +P": "v_ppv",
    "V FPR": "v_fpr",
    "S Se": "s_se",
    "S +P": "s_ppv",
}
_RUNS = {
    f"{name} {short}": f"{name.lower()}_{figure}"
    for name in ("Couplet", "Short", "Long")
    for short, figure in (("Se", "se"), ("+P", "ppv"))
}
_EPISODES = {
    "Episode Se": "episode_se",
    "Episode +P": "episode_ppv",
    "Duration Se": "duration_se",
    "Duration +P": "duration_ppv",
}


def tables(scores: Sequence[RecordScore]) -> list[Table]:
    """Make the tables of the comparisons that at least one record allowed."""
    out = []
    with_beats = [s for s in scores if s.beats]
    if with_beats:
        out.append(_figures_table("Beats (%)", _BEATS, with_beats, ("Missed", "Extra"), _missed_and_extra))
        out.append(_confusion([s.beats for s in with_beats if s.beats]))
        for kind, prefix in (("V", "v"), ("S", "s")):
            columns = {head: f"{prefix}_{name}" for head, name in _RUNS.items()}
            out.append(_figures_table(f"Runs of {kind} (%)", columns, with_beats, (), _nothing))
    with_rhythm = [s for s in scores if s.af]
    for title, prefix in (
        ("AF, atrial flutter neutral (%)", "af"),
        ("AF, atrial flutter counted as AF (%)", "af_afl"),
    ):
        if with_rhythm:
            columns = {head: f"{prefix}_{name}" for head, name in _EPISODES.items()}
            seconds = _Seconds(prefix)
            out.append(_figures_table(title, columns, with_rhythm, ("Reference s", "Test s"), seconds))
    return out


Extra = Callable[[Sequence[RecordScore]], tuple[str, ...]]


def _figures_table(
    title: str, columns: dict[str, str], scores: Sequence[RecordScore], heads: tuple[str, ...], extra: Extra
) -> Table:
    """One table; ``extra`` makes the cells under ``heads`` from one or all records."""
    rows = []
    for score in scores:
        figures = score.figures()
        rows.append(
            (score.record, *(percent(figures[name].value) for name in columns.values()), *extra([score]))
        )
    pooled = gross(score.figures() for score in scores)
    mean = average(score.figures() for score in scores)
    rows.append(("Gross", *(percent(pooled[name].value) for name in columns.values()), *extra(scores)))
    rows.append(("Average", *(percent(mean[name]) for name in columns.values()), *("" for _ in heads)))
    return Table(title, ("Record", *columns, *heads), rows)


def _nothing(scores: Sequence[RecordScore]) -> tuple[str, ...]:
    return ()


def _missed_and_extra(scores: Sequence[RecordScore]) -> tuple[str, ...]:
    counts = pooled_beats(scores)
    return str(counts.count("NSVFQ", "OX")), str(counts.count("OX", "NSVFQ"))


@dataclass(frozen=True)
class _Seconds:
    """Cells with the seconds of AF in the reference and in the test."""

    field: str

    def __call__(self, scores: Sequence[RecordScore]) -> tuple[str, ...]:
        counts: list[EpisodeCounts] = [getattr(score, self.field) for score in scores]
        return f"{sum(c.reference_s for c in counts):.0f}", f"{sum(c.test_s for c in counts):.0f}"


def pooled_beats(scores: Sequence[RecordScore]) -> BeatCounts:
    """Sum of the confusion matrices."""
    return sum((score.beats for score in scores if score.beats), BeatCounts())


def _confusion(counts: Sequence[BeatCounts]) -> Table:
    matrix = sum(counts, BeatCounts()).matrix
    rows = [(label, *map(str, row)) for label, row in zip(LABELS, matrix, strict=True)]
    title = "Beat labels, reference down, test across (O: no beat, X: shutdown)"
    return Table(title, ("", *LABELS.lower()), rows)


def text_lines(scores: Sequence[RecordScore]) -> Iterator[str]:
    """Tables in columns for a terminal."""
    for table in tables(scores):
        yield table.title
        grid = [table.heads, *table.rows]
        widths = [max(len(row[k]) for row in grid) for k in range(len(table.heads))]
        for row in grid:
            cells = [
                cell.ljust(w) if k == 0 else cell.rjust(w)
                for k, (cell, w) in enumerate(zip(row, widths, strict=True))
            ]
            yield "  ".join(cells).rstrip()
        yield ""


def markdown_lines(scores: Sequence[RecordScore]) -> Iterator[str]:
    """Tables in Markdown."""
    for table in tables(scores):
        yield f"**{table.title}**"
        yield ""
        yield f"| {' | '.join(table.heads)} |"
        yield "|---" + "|---:" * (len(table.heads) - 1) + "|"
        for row in table.rows:
            yield f"| {' | '.join(row)} |"
        yield ""


def json_lines(scores: Sequence[RecordScore]) -> Iterator[str]:
    """One JSON object a record, then one each for gross and average figures.

    Every figure of a record and of the gross line is ``[value, part, whole]``, value None where undefined.
    """
    for score in scores:
        yield _json("score", scores=[score], record=score.record, seconds=score.seconds, notes=score.notes)
    yield _json("gross", scores=scores, records=len(scores))
    mean = average(score.figures() for score in scores)
    yield json.dumps(
        {"schema": SCHEMA_VERSION, "type": "average", "records": len(scores), "figures": mean},
        separators=(",", ":"),
    )


def _json(type_: str, scores: Sequence[RecordScore], **more: Any) -> str:
    figures = gross(score.figures() for score in scores)
    out = {"schema": SCHEMA_VERSION, "type": type_, **more}
    out["figures"] = {name: [r.value, r.part, r.whole] for name, r in figures.items()}
    if any(score.beats for score in scores):
        out["labels"] = LABELS
        out["confusion"] = pooled_beats(scores).matrix
    return json.dumps(out, separators=(",", ":"))


_WRITERS = {"text": text_lines, "jsonl": json_lines, "md": markdown_lines}


def report(
    reference: Path,
    test: Path,
    annotators: tuple[str, str],
    skip_s: float,
    rate_hz: float | None,
    form: str,
) -> tuple[list[str], list[str]]:
    """Score files or folders; see ``ecgedge.scoring.records``.

    Parameters
    ----------
    form : ``text``, ``jsonl`` or ``md``

    Returns
    -------
    lines : the report
    remarks : what was not compared, and why
    """
    found, missing = score_paths(reference, test, annotators=annotators, skip_s=skip_s, rate_hz=rate_hz)
    scores = list(found)
    remarks = [f"{score.record}: {note}" for score in scores for note in score.notes]
    if missing:
        remarks.append(f"without a test, left out: {' '.join(missing)}")
    return list(_WRITERS[form](scores)), remarks
