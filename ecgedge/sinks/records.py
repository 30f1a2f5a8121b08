"""Classified recordings for a person: one line a record, and a summary at the end."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TextIO

from ecgedge.messages import EctopyCount, Message, Record
from ecgedge.sinks import Sink
from ecgedge.sinks.ectopic import ectopy_words
from ecgedge.sinks.words import clock_time, percent


def record_line(message: Record) -> str:
    """Say what a record was taken for, with the mean score of every class."""
    if message.label is None:
        return f"{message.path}  {message.verdict}  no window  {clock_time(message.seconds)}"
    values = " ".join(f"{name} {value:.3f}" for name, value in message.scores.items())
    windows = f"{message.windows} window{'' if message.windows == 1 else 's'}"
    return (
        f"{message.path}  {message.verdict}  {message.label}  [{values}]  "
        f"{clock_time(message.seconds)}, {windows}, {percent(message.inconclusive)} inconclusive  "
        f"({message.model})"
    )


class RecordSink(Sink):
    """The text output of ``ecgedge classify``: path, verdict, label, scores, length, model; ectopic beats.

    Parameters
    ----------
    stream : where the lines go; standard output when not given
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stdout if stream is None else stream
        self._verdicts: dict[str, Counter[str]] = {}
        self._ectopy: EctopyCount | None = None
        self._problems = 0
        self._closed = False

    def write(self, message: Message) -> None:
        """Print the lines of a finished record; everything before them is detail for JSON lines."""
        if isinstance(message, EctopyCount):
            self._ectopy = message  # the last one is of the whole recording
        elif isinstance(message, Record):
            self._verdicts.setdefault(message.model, Counter())[message.verdict] += 1
            self._line(record_line(message))
            if self._ectopy is not None:
                found, self._ectopy = self._ectopy, None
                self._line(f"  {found.beats} beats: {ectopy_words(found)}  ({found.model})")

    def _line(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()

    def problem(self, text: str) -> None:
        """Count the record as unread and write ``text`` to standard error."""
        self._problems += 1
        self._ectopy = None
        print(f"ecgedge: {text}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Print the summary; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        for model, counts in sorted(self._verdicts.items()):
            shares = ", ".join(f"{counts[v]} {v}" for v in sorted(counts, key=lambda v: (-counts[v], v)))
            n = sum(counts.values())
            self._line(f"{model}: {n} record{'' if n == 1 else 's'}: {shares}")
        if self._problems:
            self._line(f"{self._problems} could not be read")
        self._line("Not a medical device.")
