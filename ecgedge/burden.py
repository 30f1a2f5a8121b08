"""Verdicts, AF episodes and heart rate -> AF burden of every hour, every day and the whole stream.

Time is counted from the first sample. Each moment is one of four: in an AF episode; else inconclusive (at
least half of the full windows over it were); else judged; or not judged, because no window covers it
(gap, loose electrode, a piece shorter than a window may be). An episode may begin up to its minimum
duration before it is told, so an hour is told some time after its end.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import inf
from typing import Literal

from ecgedge.coverage import JUDGED, Coverage, Span, overlap, uncovered
from ecgedge.messages import Episode, Hrv, Period, Verdict

HOUR_S, DAY_S = 3600.0, 86400.0
INCONCLUSIVE = "inconclusive"


@dataclass(slots=True)
class _Total:
    """What a period has come to."""

    first: int = 0
    time_s: float = 0.0
    judged_s: float = 0.0
    af_s: float = 0.0
    inconclusive_s: float = 0.0
    episodes: int = 0
    rr: int = 0
    rr_s: float = 0.0
    lowest: float = inf
    highest: float = 0.0
    _hours: int = field(default=0)

    def add(self, hour: _Total, continued: int) -> None:
        """Take an hour; ``continued`` of its episodes were counted before."""
        self.judged_s += hour.judged_s
        self.af_s += hour.af_s
        self.inconclusive_s += hour.inconclusive_s
        self.episodes += hour.episodes - (continued if self._hours else 0)
        self.rr += hour.rr
        self.rr_s += hour.rr_s
        self.lowest, self.highest = min(self.lowest, hour.lowest), max(self.highest, hour.highest)
        self._hours += 1

    def period(self, span: Literal["hour", "day", "stream"], model: str, last: int, end_s: float) -> Period:
        judged = self.judged_s
        return Period(
            span=span,
            model=model,
            first=self.first,
            last=last,
            time_s=self.time_s,
            seconds=end_s - self.time_s,
            judged_s=judged,
            af_s=self.af_s,
            burden=min(1.0, self.af_s / judged) if judged > 0 else None,
            inconclusive=min(1.0, self.inconclusive_s / judged) if judged > 0 else None,
            episodes=self.episodes,
            heart_rate_bpm=60.0 * self.rr / self.rr_s if self.rr else None,
            lowest_bpm=self.lowest if self.highest else None,
            highest_bpm=self.highest or None,
        )


def _word(inconclusive: list[bool]) -> str:
    return INCONCLUSIVE if 2 * sum(inconclusive) >= len(inconclusive) else JUDGED


class Burden:
    """Periods of one model.

    Parameters
    ----------
    model : whose verdicts and episodes count
    delay_s : how long after a moment it is certain whether it lies in an AF episode, seconds
    """

    def __init__(self, model: str, delay_s: float) -> None:
        self._model, self._delay_s = model, delay_s
        self._coverage = Coverage(_word)
        self._episodes: dict[int, Span] = {}
        self._hour, self._day, self._stream = _Total(), _Total(), _Total()
        self._edges: deque[tuple[int, float]] = deque()
        self._rates: deque[Hrv] = deque()

    def push(self, message: Verdict | Episode | Hrv) -> None:
        """Take what was found; other models' findings, provisional verdicts and sums are passed over."""
        if isinstance(message, Hrv):
            if message.span == "5 min":
                self._rates.append(message)
        elif isinstance(message, Episode):
            if message.model == self._model:
                end_s = message.offset_s if message.state == "closed" else inf
                self._episodes[message.onset] = message.onset_s, end_s
        elif message.scores.model == self._model and not message.scores.provisional:
            scores = message.scores
            self._coverage.push(
                scores.time_s, scores.time_s + scores.seconds, message.verdict == INCONCLUSIVE
            )

    def edge(self, sample: int, time_s: float) -> None:
        """An hour ends here; it is told when it is certain what lay in it."""
        self._edges.append((sample, time_s))

    def advance(self, time_s: float) -> list[Period]:
        """All was pushed that lies before this time: tell what is certain by now."""
        out: list[Period] = []
        while self._edges and time_s >= self._edges[0][1] + self._delay_s:
            out += self._tell(*self._edges.popleft())
        return out

    def finish(self, sample: int, time_s: float) -> list[Period]:
        """The stream ends here: the rest, the day so far, and all of it."""
        self._coverage.settle(inf)
        out: list[Period] = []
        while self._edges:
            out += self._tell(*self._edges.popleft())
        if time_s > self._hour.time_s:
            out += self._tell(sample, time_s)
        if self._day.time_s < time_s:
            out.append(self._day.period("day", self._model, sample, time_s))
        return [*out, self._stream.period("stream", self._model, sample, time_s)]

    def _tell(self, sample: int, end_s: float) -> list[Period]:
        self._coverage.settle(end_s)
        hour = self._hour
        span = hour.time_s, end_s
        af = sorted(
            (max(a, span[0]), min(b, end_s)) for a, b in self._episodes.values() if overlap((a, b), span)
        )
        hour.episodes = len(af)
        hour.af_s = sum(b - a for a, b in af)
        spans = self._coverage.spans
        hour.judged_s = hour.af_s + self._outside([s[:2] for s in spans], span, af)
        hour.inconclusive_s = self._outside([s[:2] for s in spans if s[2] == INCONCLUSIVE], span, af)
        while self._rates and self._rates[0].time_s < end_s:
            rate = self._rates.popleft()
            hour.rr += rate.rr_intervals
            hour.rr_s += rate.rr_s
            hour.lowest = min(hour.lowest, inf if rate.lowest_bpm is None else rate.lowest_bpm)
            hour.highest = max(hour.highest, rate.highest_bpm or 0.0)
        continued = sum(a < span[0] < b for a, b in self._episodes.values())
        self._day.add(hour, continued)
        self._stream.add(hour, continued)
        out = [hour.period("hour", self._model, sample, end_s)]
        if end_s - self._day.time_s >= DAY_S:
            out.append(self._day.period("day", self._model, sample, end_s))
            self._day = _Total(sample, end_s)
        self._hour = _Total(sample, end_s)
        self._episodes = {k: e for k, e in self._episodes.items() if e[1] > end_s}
        self._coverage.forget(end_s)
        return out

    @staticmethod
    def _outside(spans: list[Span], within: Span, af: list[Span]) -> float:
        """Seconds of the spans that lie within an hour, but in no episode."""
        total = 0.0
        for begin, end in spans:
            inside = max(begin, within[0]), min(end, within[1])
            total += sum(b - a for a, b in uncovered(inside, af)) if inside[0] < inside[1] else 0.0
        return total
