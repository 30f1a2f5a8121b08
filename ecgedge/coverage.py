"""Overlapping windows -> spans of time, each with what most windows over it say.

Used by the books of AF (``burden``) and of ectopy (``ectopy``, ``ectopy_count``), so that an hour is judged,
or not, by one rule.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Span = tuple[float, float]
Vote = TypeVar("Vote")

UNREADABLE, AF, JUDGED = "unreadable", "AF", "judged"
AF_LIKELY = 0.5
"""Mean probability of AF from which on no beat is called premature."""


def overlap(a: Span, b: Span) -> float:
    """Seconds that two spans share."""
    return max(0.0, min(a[1], b[1]) - max(a[0], b[0]))


def uncovered(span: Span, by: list[Span]) -> list[Span]:
    """What is left of a span without the others, which are in order and apart."""
    out: list[Span] = []
    at = span[0]
    for begin, end in by:
        if begin >= span[1]:
            break
        if end <= at:
            continue
        if begin > at:
            out.append((at, begin))
        at = end
    return [*out, (at, span[1])] if at < span[1] else out


def ground(votes: list[tuple[bool, float]]) -> str:
    """What beats stand on, of windows' votes (readable or not, probability of AF).

    ``unreadable`` where half of the windows or more are; else ``AF`` where the mean probability of the
    readable ones makes it likely; else ``judged``.
    """
    readable = [probability for is_readable, probability in votes if is_readable]
    if 2 * len(readable) <= len(votes):
        return UNREADABLE
    return AF if sum(readable) / len(readable) >= AF_LIKELY else JUDGED


class Coverage(Generic[Vote]):
    """Overlapping windows in order of their start -> spans, each with the word that the rule gives it.

    Parameters
    ----------
    rule : votes of the windows over a moment, one or more -> a word
    """

    def __init__(self, rule: Callable[[list[Vote]], str]) -> None:
        self._rule = rule
        self._open: list[tuple[float, float, Vote]] = []
        self._at = 0.0
        self.spans: list[tuple[float, float, str]] = []
        """Begin, end, word; in order and apart, neighbours of one word joined; grows as windows come."""

    def push(self, begin_s: float, end_s: float, vote: Vote) -> None:
        """Take the next window."""
        self.settle(begin_s)
        self._open.append((begin_s, end_s, vote))

    def settle(self, before_s: float) -> None:
        """No later window begins before this time: judge up to there."""
        borders = sorted({x for w in self._open for x in w[:2]} | {before_s})
        for border in borders:
            if border > before_s or border <= self._at:
                continue
            over = [w[2] for w in self._open if w[0] < border and w[1] > self._at]
            if over:
                self._join(border, self._rule(over))
            self._at = border
        self._open = [w for w in self._open if w[1] > self._at]

    def settle_all(self) -> None:
        """No later window overlaps those that came."""
        self.settle(max((w[1] for w in self._open), default=self._at))

    def _join(self, end_s: float, word: str) -> None:
        if self.spans and self.spans[-1][1:] == (self._at, word):
            self.spans[-1] = self.spans[-1][0], end_s, word
        else:
            self.spans.append((self._at, end_s, word))

    def forget(self, before_s: float) -> None:
        """Drop what lies before a time."""
        self.spans = [s for s in self.spans if s[1] > before_s]

    def word(self, time_s: float) -> str | None:
        """What was said of a moment that is settled; None where no window covers it."""
        return next((word for begin, end, word in self.spans if begin <= time_s < end), None)
