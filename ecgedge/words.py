"""The words of the command line and of the Python API -> what the stream is asked to do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ecgedge.errors import UsageError

if TYPE_CHECKING:
    from ecgedge.messages import Person
    from ecgedge.session import StreamOptions

OLDEST = 130.0


def positive(word: str, value: float | None) -> None:
    """Refuse what is no number above 0; None stands for a word that was not given."""
    if value is not None and not (math.isfinite(value) and value > 0):
        raise UsageError(f"{word} {value:g}", "a number above 0")


def pace(speed: str | float) -> float:
    """Read ``speed``: a positive factor of real time, or ``max`` (infinity)."""
    if speed == "max":
        return math.inf
    try:
        value = float(speed)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"speed {speed}", "a number above 0, or max", "For example 20")
    return value


def person(age: float | None, sex: str | None) -> Person:
    """Read ``age`` (years) and ``sex``; None where one is unknown."""
    if age is not None and not 0 <= age <= OLDEST:
        raise UsageError(f"age {age:g}", f"years, 0 to {OLDEST:g}", "Leave it out where it is unknown.")
    if sex not in (None, "f", "m"):
        raise UsageError(f"sex {sex}", "f or m", "Leave it out where it is unknown.")
    from ecgedge.messages import Person

    return Person(age, sex)  # type: ignore[arg-type]  # one of the three by now


def stream_options(
    port: str,
    model: Sequence[str],
    *,
    baud: int | None = None,
    protocol: str = "auto",
    duration: float | None = None,
    lead: str | None = None,
    fs: float | None = None,
    speed: str | float = 1.0,
    seed: int = 0,
    board: str | None = None,
    min_episode: float = 30.0,
    samples: bool = False,
    person: Person | None = None,
    attention: bool = False,
    reconnect: bool = True,
) -> StreamOptions:
    """What a stream is asked to do, checked as far as that goes without opening anything.

    Raises
    ------
    UsageError
        For a value that makes no sense.
    """
    for word, value in (("baud", baud), ("duration", duration), ("fs", fs)):
        positive(word, value)
    if not (math.isfinite(min_episode) and min_episode >= 0):
        raise UsageError(f"min-episode {min_episode:g}", "a number of seconds, 0 or more")
    speed = pace(speed)
    from ecgedge.messages import UNKNOWN
    from ecgedge.session import StreamOptions

    return StreamOptions(
        port=port,
        baud=baud,
        protocol=protocol,
        models=tuple(model),
        duration_s=duration,
        lead=lead,
        fs=fs,
        speed=speed,
        seed=seed,
        board=board,
        minimum_episode_s=min_episode,
        samples=samples,
        person=person or UNKNOWN,
        attention=attention,
        reconnect=reconnect,
    )
