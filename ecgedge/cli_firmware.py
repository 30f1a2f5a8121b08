"""The commands ``firmware list``, ``export`` and ``flash``: programs for makers' boards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_NAME = typer.Argument(metavar="SKETCH", help="A sketch of: ecgedge firmware list.")

firmware_app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Programs for boards with an ECG sensor: list, copy, or write them to a board.",
)


def add_to(app: typer.Typer) -> None:
    """Give the command line these commands."""
    app.add_typer(firmware_app, name="firmware")


@firmware_app.command("list")
def list_sketches() -> None:
    """List the sketches: sensor, board."""
    from ecgedge.firmware import SKETCHES

    width = max(len(sketch.name) for sketch in SKETCHES)
    for sketch in SKETCHES:
        typer.echo(f"{sketch.name:{width}}  {sketch.about}")


@firmware_app.command()
def export(
    sketch: Annotated[str, _NAME],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to put the folder SKETCH.")],
) -> None:
    """Copy a sketch with its library and wiring diagram, ready to be opened in the Arduino IDE."""
    from ecgedge import firmware

    typer.echo(firmware.export(sketch, folder))


@firmware_app.command()
def flash(
    sketch: Annotated[str, _NAME],
    port: Annotated[str, typer.Option("--port", metavar="PORT", help="See: ecgedge ports.")],
    board: Annotated[
        str | None,
        typer.Option("--board", metavar="FQBN", help="Another board, such as arduino:avr:nano."),
    ] = None,
) -> None:
    """Compile a sketch and write it to a board, with arduino-cli (or avr-gcc and avrdude for ecg_board)."""
    from ecgedge import firmware

    firmware.flash(sketch, port, board)
    typer.echo(f"{sketch} is on the board. Next: ecgedge stream --port {port}")
