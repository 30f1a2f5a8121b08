"""Run by run: couplets, short and long runs of ectopic beats, after the convention of ``rxr``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from ecgedge.recordings.annotations import RHYTHM
from ecgedge.scoring.figures import Ratio
from ecgedge.scoring.marks import AAMI, SKIP_S, WINDOW_S, Mark, is_shutdown, samples

LONGEST = 6
"""Runs are counted up to this length; it stands for every longer one, and for flutter or fibrillation."""

Kind = Literal["V", "S"]
Event = tuple[int, str]
"""Sample and label: an AAMI class, ``[`` and ``]`` for ventricular flutter, ``{`` and ``}`` for AF,
U where the signal becomes unreadable."""

_BEATS_OF = {"V": "VF", "S": "S"}
_ON = {"V": "[", "S": "{"}
_OFF = {"V": "]", "S": "}"}
_ENDS = {"V": "]{U", "S": "}[U"}
"""What ends flutter or fibrillation when looking for the other annotator's longest run."""


def _square() -> list[list[int]]:
    return [[0] * (LONGEST + 1) for _ in range(LONGEST + 1)]


@dataclass(frozen=True)
class RunCounts:
    """EC57's run-by-run comparison: runs against the longest that the other annotator has there."""

    sensitivity: list[list[int]] = field(default_factory=_square)
    """``[reference][test]``, one entry for each run of the reference."""
    predictivity: list[list[int]] = field(default_factory=_square)
    """``[reference][test]``, one entry for each run of the test."""

    def figures(self, prefix: str) -> dict[str, Ratio]:
        """Sensitivity and positive predictivity of couplets (2), short (3 to 5) and long runs (from 6).

        After the convention of ``rxr``: a run is found where the other side has one of at least the
        class's shortest length.
        """
        classes = {"couplet": (2, 2), "short": (3, 5), "long": (6, LONGEST)}
        out = {}
        for name, (low, high) in classes.items():
            of_class = range(low, high + 1)
            reference = [self.sensitivity[length] for length in of_class]
            test = [[row[length] for row in self.predictivity] for length in of_class]
            for figure, runs in (("se", reference), ("ppv", test)):
                found = sum(sum(row[low:]) for row in runs)
                out[f"{prefix}_{name}_{figure}"] = Ratio(found, sum(sum(row) for row in runs))
        return out


def compare_runs(
    reference: Sequence[Mark],
    test: Sequence[Mark],
    kind: Kind,
    *,
    rate_hz: float,
    skip_s: float = SKIP_S,
    end: int | None = None,
    window_s: float = WINDOW_S,
) -> RunCounts:
    """Compare two annotators run by run: EC57's run-by-run comparison, in the convention of ``rxr``.

    A run is a row of V (with ``kind`` V; fusion beats count) or of S. Its length is set against the
    longest run of the other side from 150 ms before its first to 150 ms after its last beat. Ventricular
    flutter counts as a long run of V; atrial fibrillation and flutter as a long run of S, in which every
    normal beat is an S. A run that no other beat has ended by the end of the test period is not counted.

    Parameters
    ----------
    reference, test : marks in order of time, samples at the reference's rate
    kind : V or S
    rate_hz : that rate
    skip_s : learning period, seconds
    end : last sample of the record, where known
    window_s : match window, seconds
    """
    window, start = samples(window_s, rate_hz), samples(skip_s, rate_hz)
    counts = RunCounts()
    ref, tst = _events(reference), _events(test)
    there = _Longest(tst, kind)
    for length, first, last in _runs(ref, kind, start, end, window):
        counts.sensitivity[length][there.between(first, last)] += 1
    there = _Longest(ref, kind)
    for length, first, last in _runs(tst, kind, start, end, window):
        counts.predictivity[there.between(first, last)][length] += 1
    return counts


def _events(marks: Sequence[Mark]) -> list[Event]:
    """Label what starts, continues or ends runs; everything else is left out."""
    out: list[Event] = []
    state = ""  # "AF", "VF" or neither
    unreadable = False
    for mark in marks:
        label = ""
        if mark.symbol in AAMI:
            label = AAMI[mark.symbol]
            if label == "N" and state == "AF":
                label = "S"
        elif mark.symbol == "~":
            label = "U" if is_shutdown(mark) and not unreadable else ""
            unreadable = is_shutdown(mark)
        else:
            label, state = _rhythm_event(mark, state)
        if label:
            out.append((mark.sample, label))
    return out


def _rhythm_event(mark: Mark, state: str) -> tuple[str, str]:
    """Return the label and the state after a mark that is neither a beat nor of signal quality."""
    change = mark.symbol == RHYTHM
    if mark.symbol == "[" or (change and mark.aux.startswith("(VF")):
        return ("" if state == "VF" else "["), "VF"
    if change and mark.aux.startswith("(AF"):
        return ("" if state == "AF" else "{"), "AF"
    if state == "VF" and (change or mark.symbol == "]"):
        return "]", ""
    if state == "AF" and change:
        return "}", ""
    return "", state


def _runs(
    events: Sequence[Event], kind: Kind, start: int, end: int | None, window: int
) -> list[tuple[int, int, int]]:
    """Length of each ended run, and the first and last sample of the window to search for its like."""
    beats, on, off = _BEATS_OF[kind], _ON[kind], _OFF[kind]
    length = first = last = 0
    out = []
    for time, label in events:
        if end is not None and time > end:
            break
        if time < start:
            # Fibrillation that began in the learning period is there when the test period begins.
            if label == on:
                length, first, last = LONGEST, start - window, start + window
            elif label in "]}":
                length = 0
        elif not length:
            if label in beats:
                length, first, last = 1, time - window, time + window
            elif label == on:
                length, first = LONGEST, time - window
                last = time + window
        elif label in beats:
            length, last = min(LONGEST, length + 1), time + window
        elif label == off:
            last = time + window
        elif label in "NQUSVF":
            out.append((length, first, last))
            length = 0
    return out


class _Longest:
    """Longest run inside windows that come in order of time; no event is read twice."""

    def __init__(self, events: Sequence[Event], kind: Kind) -> None:
        self._events, self._kind = events, kind
        self._at = 0
        self._busy_until = -1
        """End of the last flutter or fibrillation that was met."""

    def between(self, first: int, last: int) -> int:
        """Length of the longest run from ``first`` to ``last``, up to ``LONGEST``."""
        if self._busy_until > first:
            return LONGEST
        events, beats, on = self._events, _BEATS_OF[self._kind], _ON[self._kind]
        while self._at < len(events) and events[self._at][0] < first:
            if events[self._at][1] == on and self._pass_fibrillation() > first:
                return LONGEST
            self._at += 1
        longest = length = 0
        while self._at < len(events) and events[self._at][0] <= last:
            label = events[self._at][1]
            if label == on:
                self._pass_fibrillation()
                return LONGEST
            if label in beats:
                length = min(LONGEST, length + 1)
            elif label in "NQUSVF[{":
                length = 0
            longest = max(longest, length)
            self._at += 1
        return longest

    def _pass_fibrillation(self) -> int:
        """Move on to what ends it (the end of all things if nothing does) and return its sample."""
        ends = _ENDS[self._kind]
        while self._at < len(self._events) and self._events[self._at][1] not in ends:
            self._at += 1
        at_end = self._at >= len(self._events)
        self._busy_until = 2**62 if at_end else self._events[self._at][0]
        return self._busy_until
