"""The commands of the workbench: ``train``, ``evaluate``, ``compare`` (extra train; pictures: extra plot)."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from ecgedge.errors import UsageError
from ecgedge.extras import needed

_ROOT = typer.Option("--root", metavar="DIR", help="Folder with the data sets. [ECGEDGE_DATA]")
_SET = typer.Option(
    "--data", metavar="NAME", help="Data set, of rhythm models cinc2017 or mitdb. [the first of the task]"
)
_SPLIT = typer.Option(
    "--split",
    metavar="NAME",
    help="inner or validation of cinc2017, ds1 or ds2 of mitdb. [the one to choose by]",
)


_RECIPES = sorted(path.stem for path in (Path(__file__).parent / "training" / "recipes").glob("*.toml"))


class Precision(str, Enum):
    """Arithmetic of a training run."""

    single = "32"
    bf16 = "bf16"
    half = "16"


def add_to(app: typer.Typer) -> None:
    """Give the command line these commands."""
    app.command()(train)
    app.command()(evaluate)
    app.command()(compare)


def train(
    recipe: Annotated[str, typer.Argument(help=f"Path of a TOML file, or one of: {', '.join(_RECIPES)}.")],
    root: Annotated[Path | None, _ROOT] = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for checkpoints and logs (CSV, TensorBoard).")
    ] = Path("runs"),
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="In place of the recipe's; RECIPE-seedN is written.")
    ] = None,
    fold: Annotated[
        str | None,
        typer.Option(
            "--fold", metavar="K/N", help="Leave the K-th of N parts out; RECIPE-foldKofN is written."
        ),
    ] = None,
    devices: Annotated[
        str,
        typer.Option(
            "--devices", metavar="N|auto", help="Graphics cards, or processes where there are none."
        ),
    ] = "auto",
    precision: Annotated[
        Precision, typer.Option("--precision", help="Arithmetic; bf16 and 16 are mixed with 32 bits.")
    ] = Precision.single,
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Processes that make crops; the crops stay the same.")
    ] = 0,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Threads on a CPU. [torch's choice]")
    ] = None,
) -> None:
    """Train a model; given again after an interruption, the command goes on (extra train)."""
    if devices != "auto" and not (devices.isdecimal() and int(devices) > 0):
        raise UsageError(f"--devices {devices}", "a number above 0, or auto")
    with needed():
        from ecgedge.training import tasks

        task = tasks.of_recipe(recipe)
        run = tasks.module(task.run)
    other = {key: value for key, value in (("seed", seed), ("fold", fold)) if value is not None}
    if not task.varied and other:
        raise UsageError(f"--{next(iter(other))} with recipe {recipe}", "a recipe for rhythm")
    run.train(
        recipe,
        root,
        out,
        threads=threads,
        workers=workers,
        devices=devices if devices == "auto" else int(devices),
        precision=precision.value,
        **other,
    )


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A checkpoint (.pt), or a bundle.")],
    data: Annotated[str | None, _SET] = None,
    split: Annotated[str | None, _SPLIT] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Of a checkpoint: the bundle of its name instead.")
    ] = False,
    root: Annotated[Path | None, _ROOT] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Write JSON and a confusion matrix (PNG) there."),
    ] = None,
) -> None:
    """Score a model on labelled records: a checkpoint in float, a bundle as on the device (extra train)."""
    with needed():
        from ecgedge.datasets.archive import data_root
        from ecgedge.training import tasks

        if out is not None:
            import matplotlib.figure  # noqa: F401 -- fails before a long evaluation, as the next does

            from ecgedge.training.place import usable

            usable(out)
        report = tasks.module(tasks.of_model(model).report)
    for path in report.command(model, data_root(root), int8=int8, data=data, split=split, out=out):
        typer.echo(path)


def compare(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL...", help="Checkpoints, bundles, or JSON files that evaluate wrote."),
    ],
    data: Annotated[str | None, _SET] = None,
    split: Annotated[str | None, _SPLIT] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Of checkpoints: the bundles of their names instead.")
    ] = False,
    root: Annotated[Path | None, _ROOT] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write JSON and confusion matrices there.")
    ] = None,
) -> None:
    """Compare models record by record, each with the first (extra train)."""
    with needed():
        from ecgedge.training import compare as comparing
        from ecgedge.training import report

        if out is not None:
            import matplotlib.figure  # noqa: F401 -- fails before a long evaluation, as the next does

            from ecgedge.training.place import usable

            usable(out)
    told = comparing.evaluations(models, root, data, split, int8)
    report.show_comparison(told)
    for path in report.keep_comparison(told, out) if out is not None else []:
        typer.echo(path)
