"""Ectopic beats in words: one event, a row of them, and what an hour came to."""

from __future__ import annotations

from collections import Counter

from ecgedge.messages import Ectopic, EctopicRun, EctopyCount, EctopyOf
from ecgedge.sinks.words import clock_time, percent

QUIET_S = 60.0
"""After an event was told, others of its kind are only counted for so long."""
_BEATS = {"APC": "supraventricular", "PVC": "ventricular"}


def event_line(message: Ectopic, more: int = 0) -> str:
    """Say that a beat was premature, what speaks for it, and how many like it were passed over before."""
    text = f"{message.kind} at {clock_time(message.beat.time_s)}, probability {message.probability:.2f}"
    if message.prematurity is not None and message.prematurity < 1:
        text += f", {100 * (1 - message.prematurity):.0f} % early"
    if message.confirmed is not None:
        text += ", confirmed" if message.confirmed else ", not confirmed"
    text += f" ({message.model})"
    return text + (f"; {more} more before it" if more else "")


def run_line(message: EctopicRun) -> str:
    """Say what row of ectopic beats there is, or was."""
    began, ended = clock_time(message.onset_s), clock_time(message.offset_s)
    if message.kind in ("couplet", "run"):
        name = "couplet" if message.kind == "couplet" else f"run of {message.beats}"
        rate = "" if message.bpm is None else f", {message.bpm:.0f}/min"
        what = f"{name} {_BEATS[message.of]} beats" if message.kind == "run" else f"{message.of} couplet"
        return f"{what} at {began}{rate}" + ("" if message.state == "closed" else ", going on")
    if message.state == "open":
        return f"{message.of} {message.kind} since {began}"
    return f"{message.of} {message.kind} ended: {began} to {ended}, {message.beats} {message.of}s"


def ectopy_words(message: EctopyCount) -> str:
    """Say how many ectopic beats of each kind there were, and over what time."""
    if message.inconclusive is None or message.judged_s <= 0:
        return "ectopic beats unknown, nothing was judged"
    kinds = f"APC {_kind_words(message.apc)}, PVC {_kind_words(message.pvc)}"
    judged = f"judged {clock_time(message.judged_s)}"
    if message.af_s > 0:
        judged += f" ({clock_time(message.af_s)} of it AF)"
    return f"{kinds}; {judged}, inconclusive {percent(message.inconclusive)}"


def _kind_words(of: EctopyOf) -> str:
    if not of.count:
        return "0" if of.per_hour is not None else "unknown"
    parts = [] if of.per_hour is None else [f"{of.per_hour:.1f} an hour"]
    parts += [] if of.burden is None else [f"{percent(of.burden)} of beats"]
    for n, name in ((of.couplets, "couplet"), (of.runs, "run")):
        parts += [f"{n} {name}{'' if n == 1 else 's'}"] if n else []
    if of.runs:
        parts[-1] += f" of up to {of.longest_run}"
    parts += [f"{of.bigeminies} x bigeminy"] if of.bigeminies else []
    parts += [f"{of.trigeminies} x trigeminy"] if of.trigeminies else []
    return f"{of.count} ({', '.join(parts)})"


class Teller:
    """Decides which events are told one by one: the first of a kind, and then one a minute at most."""

    def __init__(self) -> None:
        self._told_s: dict[str, float] = {}
        self._passed: Counter[str] = Counter()

    def line(self, message: Ectopic) -> str | None:
        """The line of an event; None where it is only counted."""
        kind, time_s = message.kind, message.beat.time_s
        if kind in self._told_s and time_s < self._told_s[kind] + QUIET_S:
            self._passed[kind] += 1
            return None
        self._told_s[kind] = time_s
        return event_line(message, self._passed.pop(kind, 0))
