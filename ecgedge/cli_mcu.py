"""The command ``models export``: a bundle as C for microcontrollers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add_to(models_app: typer.Typer) -> None:
    """Give the commands about models this one."""
    models_app.command("export")(export)


def export(
    name: Annotated[str, typer.Argument(metavar="NAME|PATH")],
    mcu: Annotated[Path, typer.Option("--mcu", metavar="DIR", help="Folder for the two files.")],
) -> None:
    """Write a bundle as a C array and a header for TensorFlow Lite Micro."""
    from ecgedge import mcu as room
    from ecgedge.bundle import open_bundle

    for path in room.export(open_bundle(name), mcu):
        typer.echo(path)
