"""The command ``explain``: a picture of what a model looked at (extra plot)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from ecgedge.errors import UsageError
from ecgedge.extras import needed


def add_to(app: typer.Typer) -> None:
    """Give the command line this command."""
    app.command()(explain)


def explain(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="A WFDB record (.hea, .dat, .mat) or a CSV file.")
    ],
    at: Annotated[float, typer.Option("--at", metavar="SECONDS", help="The moment to look at.")],
    model: Annotated[
        str, typer.Option("--model", metavar="NAME|PATH", help="Model bundle that tells its attention.")
    ] = "danet",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="PNG, SVG or PDF. [the record's name and moment, in this folder]"
        ),
    ] = None,
    lead: Annotated[
        str | None, typer.Option("--lead", metavar="NAME|NUMBER", help="Lead to look at. [0]")
    ] = None,
    fs: Annotated[
        float | None,
        typer.Option("--fs", metavar="HZ", help="Samples per second, where the recording does not tell."),
    ] = None,
) -> None:
    """Draw the window around a moment, shaded by what the model attended to (extra plot)."""
    if not math.isfinite(at):
        raise UsageError(f"--at {at:g}", "a number of seconds")
    from ecgedge.explain import draw

    with needed():
        written, told = draw(path, at, out, model=model, lead=lead, fs=fs)
    window = told.prepared.window
    span = f"{window.time_s:g} to {window.time_s + window.seconds:g} s"
    typer.echo(f"{written}: {span}, {told.word}, probability {told.probability:.2f}")
