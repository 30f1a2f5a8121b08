"""The commands ``data list``, ``info``, ``fetch`` and ``pack``: public data sets on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ecgedge.errors import UsageError
from ecgedge.extras import needed

_NAME = typer.Argument(metavar="NAME", help="A set of: ecgedge data list.")
_ROOT = typer.Option("--root", metavar="DIR", help="Folder with the data sets. [ECGEDGE_DATA]")
_MATCH = typer.Option(
    "--match",
    metavar="PATTERN",
    help="Files to fetch instead of the usual ones; repeatable. * stays within a folder, ** does not.",
)

data_app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Public data sets: list them, tell of one, fetch it from PhysioNet, pack it into one file.",
)


def add_to(app: typer.Typer) -> None:
    """Give the command line these commands."""
    app.add_typer(data_app, name="data")


@data_app.command("list")
def list_sets(root: Annotated[Path | None, _ROOT] = None) -> None:
    """List the data sets that are known, and which of them are here."""
    with needed():
        from ecgedge.datasets.describe import list_lines
    for line in list_lines(_known_root(root)):
        typer.echo(line)


@data_app.command()
def info(
    name: Annotated[str, _NAME],
    root: Annotated[Path | None, _ROOT] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every file and compare it with its checksum.")
    ] = False,
) -> None:
    """Tell of a set: what it is, its terms, whether it is here and whole."""
    with needed():
        from ecgedge.datasets.archive import data_root
        from ecgedge.datasets.catalogue import find
        from ecgedge.datasets.describe import info_lines
    known = find(name)
    for line in info_lines(known, data_root(root) if verify else _known_root(root), verify):
        typer.echo(line)


@data_app.command()
def fetch(
    name: Annotated[str, _NAME],
    root: Annotated[Path | None, _ROOT] = None,
    match: Annotated[list[str] | None, _MATCH] = None,
) -> None:
    """Fetch a set from PhysioNet. Run again, it goes on where it was left, and mends what is damaged."""
    with needed():
        from ecgedge.datasets.bar import bar
        from ecgedge.datasets.catalogue import find
        from ecgedge.datasets.describe import label_lines
        from ecgedge.datasets.fetch import fetch as run
    known = find(name)
    folder = root or _variable()
    if folder is None:
        raise UsageError("no folder for the data sets", "--root or ECGEDGE_DATA", "Example: --root data")
    typer.echo(f"{known.title}\nLicence {known.licence}. Cite: {known.citation}")
    with bar() as progress:
        done = run(known, folder, progress, match or ())
    typer.echo(f"{done.folder}: {done.files} files with the right checksum, {done.new} of them new")
    for line in () if match else label_lines(known, folder):
        typer.echo(line)


@data_app.command()
def pack(
    name: Annotated[str, _NAME],
    rate: Annotated[
        float | None, typer.Option("--rate", metavar="HZ", help="Samples per second. [the set's own]")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.npz", help="[NAME-RATEhz.npz in this folder]")
    ] = None,
    root: Annotated[Path | None, _ROOT] = None,
) -> None:
    """Put a whole set into one small file, resampled where that is wanted.

    Commands take the file in place of the data folder (--root FILE). At its own rate a set loses nothing:
    cinc2017 takes 53 MB at 300 Hz, 35 MB at 150 Hz, 27 MB at 100 Hz.
    """
    if rate is not None and not 20 <= rate <= 2000:
        raise UsageError(f"--rate {rate:g}", "20 to 2000")
    if out is not None and out.suffix != ".npz":
        raise UsageError(f"--out {out}", "a name that ends in .npz")
    with needed():
        from ecgedge.datasets.archive import data_root
        from ecgedge.datasets.catalogue import find
        from ecgedge.datasets.describe import size_text
        from ecgedge.datasets.pack import write_pack
        from ecgedge.datasets.readers import READERS, splits_of
    known = find(name)
    hz = known.rate_hz() if rate is None else rate
    path = out or Path(f"{name}-{hz:g}hz.npz")
    folder = data_root(root)
    n = write_pack(path, known, READERS[name](folder), hz, splits_of(known, folder))
    typer.echo(f"{path}: {n} records at {hz:g} Hz, {size_text(path.stat().st_size)}; licence {known.licence}")


def _variable() -> Path | None:
    named = os.environ.get("ECGEDGE_DATA")
    return Path(named) if named else None


def _known_root(given: Path | None) -> Path | None:
    """The folder of the data sets, where one is named; what is named must be there."""
    from ecgedge.datasets.archive import data_root

    return None if given is None and _variable() is None else data_root(given)
