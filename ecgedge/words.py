"""The words of the command line and of the Python API -> what the stream is asked to do."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ecgedge.errors import UsageError

if TYPE_CHECKING:
    from ecgedge.messages import Person
    from ecgedge.session import StreamOptions

DEFAULT_MODELS = ("efficientecg-s", "ecg-sl")
"""The models of a command that names none: one of the rhythm, one of the beats."""
OLDEST = 130.0
LONGEST_S = 1e9
"""Thirty years: no stream, and no part of a recording, is longer."""


def positive(word: str, value: float | None, most: float = math.inf) -> None:
    """Refuse what is no number above 0, or more than the most; None stands for a word that was not given."""
    if value is not None and not (math.isfinite(value) and 0 < value <= most):
        up_to = "" if math.isinf(most) else f" and up to {most:g}"
        raise UsageError(f"{word} {value:g}", f"a number above 0{up_to}")


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
    positive("baud", baud)
    positive("duration", duration, LONGEST_S)
    positive("fs", fs)
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


def rhythm_models(models: Iterable[str]) -> list[str]:
    """Names of those of the models that judge the rhythm.

    Raises
    ------
    BundleError
        If a model cannot be opened.
    """
    from ecgedge.bundle import open_bundle

    return sorted({bundle.name for bundle in map(open_bundle, models) if bundle.task == "rhythm"})


def ignored(models: Iterable[str], person: Person) -> str:
    """Which rhythm models do not ask for what was told of the person, in words; empty where there is none.

    Raises
    ------
    BundleError
        If a model cannot be opened.
    """
    from ecgedge.bundle import open_bundle
    from ecgedge.features import PERSON

    told = {word for word in PERSON if getattr(person, word) is not None}
    left: dict[str, list[str]] = {}
    for bundle in map(open_bundle, models if told else ()):
        if bundle.task != "rhythm":
            continue
        asked = {entry["kind"] for entry in bundle.manifest["inputs"]}
        if told - asked:
            left[bundle.name] = sorted(told - asked)
    return "; ".join(f"{name} makes no use of {' and '.join(words)}" for name, words in left.items())
