"""Classes of beats, verdicts and ectopic events -> APCs and PVCs of every hour, day and the whole stream.

A rate is one over the time that could be judged: seconds that readable windows cover (``coverage.ground``),
and of APCs only those in which AF is not likely. What was covered but not readable stands beside it. An
event is told some time after its beat, and an hour some time after its end. A row of beats counts in the
hour in which it begins.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Literal

from ecgedge.coverage import AF, JUDGED, UNREADABLE, Coverage, ground, overlap
from ecgedge.messages import BeatClass, Ectopic, EctopicKind, EctopicRun, EctopyCount, EctopyOf, Verdict

DAY_S = 86400.0
WORDS = (JUDGED, AF, UNREADABLE)


@dataclass(slots=True)
class _Total:
    """What a period has come to."""

    first: int = 0
    time_s: float = 0.0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(WORDS, 0.0))
    """By what beats stood on."""
    beats: int = 0
    events: Counter[str] = field(default_factory=Counter)
    rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    longest: Counter[str] = field(default_factory=Counter)
    """Beats of the longest run, by kind."""

    def add(self, hour: _Total) -> None:
        """Take an hour."""
        self.seconds = {word: self.seconds[word] + hour.seconds[word] for word in WORDS}
        self.beats += hour.beats
        self.events += hour.events
        self.rows += hour.rows
        self.longest |= hour.longest

    def _of(self, kind: str, seconds: float) -> EctopyOf:
        count = self.events[kind]
        return EctopyOf(
            count=count,
            per_hour=3600.0 * count / seconds if seconds > 0 else None,
            burden=min(1.0, count / self.beats) if self.beats else None,
            couplets=self.rows[kind, "couplet"],
            runs=self.rows[kind, "run"],
            longest_run=self.longest[kind],
            bigeminies=self.rows[kind, "bigeminy"],
            trigeminies=self.rows[kind, "trigeminy"],
        )

    def told(
        self, span: Literal["hour", "day", "stream"], model: str, last: int, end_s: float
    ) -> EctopyCount:
        judged, af, unread = (self.seconds[word] for word in WORDS)
        covered = judged + af + unread
        return EctopyCount(
            span=span,
            model=model,
            first=self.first,
            last=last,
            time_s=self.time_s,
            seconds=end_s - self.time_s,
            judged_s=judged + af,
            af_s=af,
            inconclusive=min(1.0, unread / covered) if covered > 0 else None,
            beats=self.beats,
            apc=self._of("APC", judged),
            pvc=self._of("PVC", judged + af),
        )


class EctopyBooks:
    """Periods of one stream.

    Parameters
    ----------
    model : name of the model that classes the beats
    rhythm : name of the model whose verdicts say what can be judged
    delay_s : how long after a moment all is known of it, seconds
    """

    def __init__(self, model: str, rhythm: str, delay_s: float) -> None:
        self._model, self._rhythm, self._delay_s = model, rhythm, delay_s
        self._coverage: Coverage[tuple[bool, float]] = Coverage(ground)
        self._beats: deque[float] = deque()
        self._events: deque[tuple[float, EctopicKind]] = deque()
        self._rows: dict[tuple[str, str, int], EctopicRun] = {}
        self._edges: deque[tuple[int, float]] = deque()
        self._hour, self._day, self._stream = _Total(), _Total(), _Total()

    def push(self, message: BeatClass | Verdict | Ectopic | EctopicRun) -> None:
        """Take what was found; other models' and provisional verdicts are passed over."""
        if isinstance(message, BeatClass):
            self._beats.append(message.beat.time_s)
        elif isinstance(message, Ectopic):
            self._events.append((message.beat.time_s, message.kind))
        elif isinstance(message, EctopicRun):
            self._row(message)
        elif message.scores.model == self._rhythm and not message.scores.provisional:
            scores = message.scores
            vote = message.readable, message.af_probability or 0.0
            self._coverage.push(scores.time_s, scores.time_s + scores.seconds, vote)

    def _row(self, row: EctopicRun) -> None:
        """The latest word on a row; of one whose hour was told already, only its length is news."""
        if row.onset_s >= self._hour.time_s:
            self._rows[row.of, row.kind, row.onset] = row
        elif row.kind == "run":
            for total in (self._day, self._stream):
                if row.onset_s >= total.time_s:
                    total.longest[row.of] = max(total.longest[row.of], row.beats)

    def edge(self, sample: int, time_s: float) -> None:
        """An hour ends here; it is told when all is known of it."""
        self._edges.append((sample, time_s))

    def advance(self, time_s: float) -> list[EctopyCount]:
        """All was pushed that lies before this time: tell what is certain by now."""
        out: list[EctopyCount] = []
        while self._edges and time_s >= self._edges[0][1] + self._delay_s:
            out += self._tell(*self._edges.popleft())
        return out

    def finish(self, sample: int, time_s: float) -> list[EctopyCount]:
        """The stream ends here: the rest, the day so far, and all of it."""
        self._coverage.settle_all()
        out: list[EctopyCount] = []
        while self._edges:
            out += self._tell(*self._edges.popleft())
        if time_s > self._hour.time_s:
            out += self._tell(sample, time_s)
        if self._day.time_s < time_s:
            out.append(self._day.told("day", self._model, sample, time_s))
        return [*out, self._stream.told("stream", self._model, sample, time_s)]

    def _tell(self, sample: int, end_s: float) -> list[EctopyCount]:
        self._coverage.settle(end_s)
        hour, spans = self._hour, self._coverage.spans
        for begin, end, word in spans:
            hour.seconds[word] += overlap((begin, end), (hour.time_s, end_s))
        at = 0
        while self._beats and self._beats[0] < end_s:
            time_s = self._beats.popleft()
            while at < len(spans) and spans[at][1] <= time_s:
                at += 1
            hour.beats += at < len(spans) and spans[at][0] <= time_s and spans[at][2] != UNREADABLE
        while self._events and self._events[0][0] < end_s:
            hour.events[self._events.popleft()[1]] += 1
        for row in [row for row in self._rows.values() if row.onset_s < end_s]:
            hour.rows[row.of, row.kind] += 1
            if row.kind == "run":
                hour.longest[row.of] = max(hour.longest[row.of], row.beats)
            del self._rows[row.of, row.kind, row.onset]
        self._day.add(hour)
        self._stream.add(hour)
        out = [hour.told("hour", self._model, sample, end_s)]
        if end_s - self._day.time_s >= DAY_S:
            out.append(self._day.told("day", self._model, sample, end_s))
            self._day = _Total(sample, end_s)
        self._hour = _Total(sample, end_s)
        self._coverage.forget(end_s)
        return out
