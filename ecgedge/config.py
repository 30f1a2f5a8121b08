"""Values of flags from a TOML file and from the environment, each with where it came from.

A key is a flag's word without its dashes (``min-episode = 60``), the variable the same in capitals
(``ECGEDGE_MIN_EPISODE``). The command line beats the environment, the environment beats the file. Variables
that are no flag's are other programs' or the workbench's matter (``ECGEDGE_DATA``); keys that are none are
refused, since a file is written for this program alone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from ecgedge import places
from ecgedge.errors import MissingExtraError, UsageError

PREFIX = "ECGEDGE_"
FILE_VARIABLE = "ECGEDGE_CONFIG"

Value = str | int | float | bool | list[str]


@dataclass(frozen=True, slots=True)
class Setting:
    """A value that was set."""

    value: Value
    source: str
    """Where, in words."""


def usual_file(environment: Mapping[str, str]) -> Path | None:
    """Where the configuration lies unless told otherwise: ``~/.config/ecgedge/config.toml``.

    None where the system knows no home of this user.
    """
    folder = environment.get("XDG_CONFIG_HOME", "")
    # The standard (XDG base directories) has relative paths ignored.
    base = Path(folder) if folder.startswith("/") else places.home("~/.config")
    return None if base is None else base / "ecgedge" / "config.toml"


def settings(
    known: Collection[str], asked: Path | None = None, environment: Mapping[str, str] = os.environ
) -> dict[str, Setting]:
    """All values that are set, by the flag's word.

    Parameters
    ----------
    known : words of flags
    asked : file that the user named; None: that of ``ECGEDGE_CONFIG``, or else the usual one if there is one
    environment : variables

    Raises
    ------
    UsageError
        If a file that was named is missing, is no TOML, or has a key or value that makes no sense.
    """
    found = _from_file(known, file_of(asked, environment), environment)
    for word in known:
        name = variable(word)
        if environment.get(name, "") != "":
            found[word] = Setting(environment[name], f"environment {name}")
    return found


def variable(word: str) -> str:
    """The environment variable of a flag."""
    return PREFIX + word.replace("-", "_").upper()


def file_of(asked: Path | None, environment: Mapping[str, str] = os.environ) -> Path | None:
    """The file that is read; None where there is none.

    Raises
    ------
    UsageError
        If the file that was named, by a flag or by the environment, is not there.
    """
    named = asked or (Path(environment[FILE_VARIABLE]) if environment.get(FILE_VARIABLE) else None)
    path = named or usual_file(environment)
    if path is not None and places.is_file(path):
        return path
    if named is not None:
        why = places.absent(named) or "no file"
        raise UsageError(f"no configuration file {named} ({why})", "a TOML file", "See: ecgedge config show")
    return None


def _from_file(
    known: Collection[str], path: Path | None, environment: Mapping[str, str]
) -> dict[str, Setting]:
    if path is None:
        return {}
    found = {}
    for key, value in _read(path).items():
        if key not in known:
            raise UsageError(f"{path}: unknown key {key!r}", f"one of {', '.join(sorted(known))}")
        whole = isinstance(value, list) and all(isinstance(item, str) for item in value)
        if not (whole or isinstance(value, str | int | float)):
            raise UsageError(
                f"{path}: {key} = {value!r}", "a text, a number, true or false, or a list of texts"
            )
        found[key] = Setting(value, str(path))
    return found


def _read(path: Path) -> dict[str, Value]:
    try:
        tomllib: Any = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    except ModuleNotFoundError:
        advice = "Or in its environment: pip install tomli"
        raise MissingExtraError(
            f"{path}: Python 3.10 reads no TOML", "Python 3.11 or newer", advice
        ) from None
    try:
        found: dict[str, Value] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise UsageError(f"{path}: {reason}", 'a TOML file such as: port = "/dev/ttyUSB0"') from None
    return found
