"""The option ``--config`` and the command ``config show``: flags whose values are kept in a file."""

from __future__ import annotations

import json
import math
import os
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from ecgedge import config, places
from ecgedge.errors import UsageError

COMMAND = "stream"
"""The command whose flags are what a configuration may hold; others take those of them that they have."""
_NOT_SETTINGS = ("config", "help")

config_app = typer.Typer(rich_markup_mode=None, help="Show the configuration: file, environment, defaults.")


def add_to(app: typer.Typer) -> None:
    """Give the command line these commands."""
    app.add_typer(config_app, name="config")


def _load(context: typer.Context, asked: Path | None) -> Path | None:
    """Before any other flag is looked at: what is set elsewhere becomes the default."""
    if context.resilient_parsing:
        return asked
    own = _flags(context.command)
    for word, setting in config.settings(_words(context), asked).items():
        if word in own:
            _set(context, own[word], word, setting)
    return asked


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        is_eager=True,
        callback=_load,
        help="TOML file with values of flags. [~/.config/ecgedge/config.toml]",
    ),
]


@config_app.command()
def show(context: typer.Context, config_: ConfigOption = None) -> None:
    """Print every setting and where it comes from, as a TOML file."""
    path = config.file_of(config_)
    typer.echo(f"# file: {path or _no_file()}")
    command = _command(context)
    flags = _flags(command)
    found = config.settings(list(flags), config_)
    # A context of that command: values are read there just as they will be.
    inner = type(context)(command, info_name=COMMAND)
    for word, option in flags.items():
        if word in found:
            _set(inner, option, word, found[word])
        typer.echo(_line(word, option, found.get(word)))
    for name in sorted(os.environ):
        if name.startswith(config.PREFIX) and name not in map(config.variable, (*flags, "config")):
            typer.echo(f"# the variable {name} is not of a flag")


def _no_file() -> str:
    usual = config.usual_file(os.environ)
    return "none (no home is known)" if usual is None else f"{usual} (not there)"


def _line(word: str, option: Any, setting: config.Setting | None) -> str:
    if setting is not None:
        return f"{word} = {_toml(setting.value)}  # {setting.source}"
    default = option.default() if callable(option.default) else option.default
    if default is None:
        return f"# {word}: not set"
    return f"{word} = {_toml(default.value if isinstance(default, Enum) else default)}  # default"


def _toml(value: Any) -> str:
    """A text, truth value, list of texts or finite number is written the same in JSON and TOML."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def _set(context: typer.Context, option: Any, word: str, setting: config.Setting) -> None:
    """Make a setting the default of a flag, if it is of the flag's kind."""
    value: Any = setting.value
    if option.multiple:
        value = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    elif isinstance(value, list) or not (isinstance(value, str) or isinstance(value, bool) == option.is_flag):
        raise UsageError(_told(word, setting), "true or false" if option.is_flag else "one value")
    if isinstance(value, str) and value.startswith("~/"):  # in a file no shell has done it
        path = places.home(value)
        if path is None:
            raise UsageError(_told(word, setting), "a path without ~, as no home is known")
        value = str(path)
    try:
        read = option.type_cast_value(context, value)
    except typer.BadParameter as error:
        raise UsageError(f"{_told(word, setting)}: {error.message.rstrip('.')}") from None
    except OverflowError:  # infinity as a whole number
        read = 0
    if isinstance(value, float) and isinstance(read, int) and read != value:  # cut off
        raise UsageError(_told(word, setting), "a whole number")
    context.default_map = {**(context.default_map or {}), option.name: value}


def _told(word: str, setting: config.Setting) -> str:
    return f"{word} = {_toml(setting.value)} ({setting.source})"


def _words(context: typer.Context) -> list[str]:
    return list(_flags(_command(context)))


def _command(context: typer.Context) -> Any:
    root: Any = context.find_root().command
    return root.commands[COMMAND]


def _flags(command: Any) -> dict[str, Any]:
    """Options of a command by their word."""
    found = {}
    for option in command.params:
        word = next((flag[2:] for flag in option.opts if flag.startswith("--")), "")
        if word and word not in _NOT_SETTINGS:
            found[word] = option
    return found
