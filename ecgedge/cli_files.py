"""The commands ``convert``, ``plot`` and ``score``: files in, files or tables out.

The first two need packages that extras bring.
"""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from ecgedge import words
from ecgedge.errors import UsageError
from ecgedge.extras import needed

_PATH = typer.Argument(metavar="PATH", help="A WFDB record (.hea, .dat, .mat) or a CSV file.")
_RATE = typer.Option("--fs", metavar="HZ", help="Samples per second, where the recording does not tell.")


class To(str, Enum):
    """What a recording can be turned into."""

    wfdb = "wfdb"
    edf = "edf"
    csv = "csv"
    parquet = "parquet"


class Samples(str, Enum):
    """How a WFDB record keeps its samples."""

    bits16 = "16"
    bits24 = "24"
    bits12 = "212"
    mat = "mat"


class Tables(str, Enum):
    """How tables are written."""

    text = "text"
    jsonl = "jsonl"
    md = "md"


def add_to(app: typer.Typer) -> None:
    """Give the command line these commands."""
    app.command()(convert)
    app.command()(plot)
    app.command()(score)


def convert(
    path: Annotated[Path, _PATH],
    to: Annotated[To, typer.Option("--to", help="The format wanted.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="[the record's name, in this folder]")
    ] = None,
    fs: Annotated[float | None, _RATE] = None,
    format_: Annotated[
        Samples | None,
        typer.Option("--format", help="Samples of a WFDB record. [16, or 24 for more than 16 bits]"),
    ] = None,
) -> None:
    """Turn a recording into WFDB, EDF+, CSV or Parquet; gaps stay gaps (edf, parquet: extra convert)."""
    from ecgedge.convert import convert as run

    with needed():
        typer.echo(run(path, to.value, out, fs, format_.value if format_ else None))


def plot(
    path: Annotated[Path, _PATH],
    from_: Annotated[float, typer.Option("--from", metavar="SECONDS", help="Where to begin.")] = 0.0,
    to: Annotated[
        float | None, typer.Option("--to", metavar="SECONDS", help="Where to end. [60 s later]")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="PNG, SVG or PDF. [the record's name, in this folder]"),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="NAME|PATH", help="Model bundle; repeatable. [those of stream]"),
    ] = None,
    lead: Annotated[
        str | None, typer.Option("--lead", metavar="NAME|NUMBER", help="Lead to draw. [0]")
    ] = None,
    fs: Annotated[float | None, _RATE] = None,
) -> None:
    """Draw a strip on ECG paper with beats, episodes, quality and verdicts (extra plot)."""
    from ecgedge.plot import plot as run

    with needed():
        asked = {"models": tuple(model)} if model else {}
        typer.echo(run(path, out, **asked, from_s=from_, to_s=to, lead=lead, fs=fs))


def score(
    reference: Annotated[
        Path, typer.Argument(metavar="REFERENCE", help="A WFDB annotation file, or a folder of them.")
    ],
    test: Annotated[Path, typer.Argument(metavar="TEST", help="The same, of what is to be judged.")],
    annotators: Annotated[
        tuple[str, str],
        typer.Option("--annotators", metavar="REF TEST", help="Endings of the files in folders."),
    ] = ("atr", "ecg"),
    skip: Annotated[
        float, typer.Option("--skip", metavar="SECONDS", help="Learning period that is left out.")
    ] = 300.0,
    fs: Annotated[
        float | None, typer.Option("--fs", metavar="HZ", help="Samples per second, where no header tells.")
    ] = None,
    format_: Annotated[
        Tables, typer.Option("--format", help="Tables for people, JSON lines, or Markdown.")
    ] = Tables.text,
) -> None:
    """Score annotations against a reference, after ANSI/AAMI EC57: beats, runs, AF episodes."""
    if not 0 <= skip <= words.LONGEST_S:
        raise UsageError(f"--skip {skip:g}", f"a number of seconds, 0 to {words.LONGEST_S:g}")
    words.positive("--fs", fs, 1e6)
    from ecgedge.scoring.report import report

    lines, remarks = report(reference, test, annotators, skip, fs, format_.value)
    for line in lines:
        typer.echo(line)
    for remark in remarks:
        print(f"ecgedge: {remark}", file=sys.stderr)
