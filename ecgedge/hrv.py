"""Beats -> heart rate, and its variability over the intervals between normal beats.

What is left out of the variability (SDNN, RMSSD, pNN50) is decided after the fact: a beat is known to be
premature by the beats around it, AF when its episode is. So five minutes are told some time after their
end. An RR interval counts as normal (NN) if

* it does not span a gap, and lies between ``SHORTEST_S`` and ``LONGEST_S``;
* it is not premature (below ``EARLY`` times the median of the five intervals on either side and itself), does
  not follow a premature one (the pause), and is not overlong (above ``LATE`` times that median: a pause, or a
  missed beat);
* neither of its beats has a QRS of odd height (off its neighbours' median by more than ``ODD_HEIGHT``), or,
  where a model classes beats, a class other than normal;
* no AF episode, and no window without readable signal (unless a readable one covers it too), touches it.

Single ectopic beats are found so; a run of them, or an atrial rhythm, is regular in itself and is not, unless
a model classes its beats.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf, sqrt
from typing import TYPE_CHECKING, Literal

import numpy as np

from ecgedge.messages import Beat, BeatClass, Episode, Hrv, Verdict
from ecgedge.order import middle

if TYPE_CHECKING:
    from ecgedge.messages import Floats

SPAN_S = 10.0
"""The rate is the median over the RR intervals that ended in these last seconds."""
STALE_S = 5.0
"""Without a beat for so long there is no rate to tell."""
_KEPT = 256  # beats; over half a minute at any heart rate, for readers that ask about the recent past


class HeartRate:
    """Heart rate over the last seconds; a median, so that one missed or extra beat does not move it."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._intervals: list[float | None] = []

    def push(self, beat: Beat) -> None:
        """Take the next beat, in order of time."""
        self._times.append(beat.time_s)
        self._intervals.append(beat.rr_s)
        if len(self._times) > 2 * _KEPT:
            del self._times[:_KEPT], self._intervals[:_KEPT]

    def bpm(self, time_s: float) -> float | None:
        """Beats per minute at a time; None with fewer than two intervals or no recent beat.

        Beats after ``time_s`` do not count, so the answer does not depend on how far ahead they came.
        """
        end = bisect_right(self._times, time_s)
        if not end or time_s - self._times[end - 1] > STALE_S:
            return None
        intervals = self._intervals[bisect_right(self._times, time_s - SPAN_S, 0, end) : end]
        while None in intervals:  # what lies before a gap is another stretch
            del intervals[: intervals.index(None) + 1]
        return 60.0 / middle(intervals) if len(intervals) >= 2 else None  # type: ignore[arg-type]


SPAN_5MIN_S = 300.0
PAUSE_S = 3.0
"""A longer interval is a signal without beats rather than a rate."""
SHORTEST_S, LONGEST_S = 0.3, 2.0
EARLY, LATE = 0.80, 1.50
ODD_HEIGHT = 0.40
AROUND = 5
"""Neighbours on either side that say what is usual."""
LEAST_INTERVALS = 30
"""Fewer NN intervals tell no variability."""
NORMAL = "N"
"""Class of a normal beat."""
LONGEST_KEPT_S = 30.0
"""No RR interval that is asked about is longer."""


@dataclass(frozen=True, slots=True)
class Edge:
    """A border between two spans."""

    sample: int
    time_s: float


class Sums:
    """Running sums of a series of intervals: constant memory, and no loss of digits over a week."""

    def __init__(self) -> None:
        self.rr = 0
        self.rr_s = 0.0
        self.lowest, self.highest = inf, 0.0
        self.unreadable_s = 0.0
        self.nn = 0
        self._mean = 0.0  # of the NN intervals, seconds; Welford's recurrence
        self._squares = 0.0
        self.steps = 0
        self._step_squares = 0.0
        self._steps_over_50 = 0

    def beat(self, rr_s: float, bpm: float | None) -> None:
        """Take any RR interval, and the rate at its end."""
        self.rr += 1
        self.rr_s += rr_s
        if bpm is not None:
            self.lowest, self.highest = min(self.lowest, bpm), max(self.highest, bpm)

    def normal(self, rr_s: float, before_s: float | None) -> None:
        """Take an NN interval, and the one right before it if that is one too."""
        self.nn += 1
        delta = rr_s - self._mean
        self._mean += delta / self.nn
        self._squares += delta * (rr_s - self._mean)
        if before_s is not None:
            self.steps += 1
            self._step_squares += (rr_s - before_s) ** 2
            # Intervals are whole samples apart: 50 ms exactly must not count for want of a last digit.
            self._steps_over_50 += abs(rr_s - before_s) > 0.05 + 1e-9

    def result(self, span: Literal["5 min", "stream"], begin: Edge, end: Edge) -> Hrv:
        """Figures of the span between two edges."""
        seconds = end.time_s - begin.time_s
        enough = self.nn >= LEAST_INTERVALS
        steps = enough and self.steps >= LEAST_INTERVALS - 1
        return Hrv(
            span=span,
            first=begin.sample,
            last=end.sample,
            time_s=begin.time_s,
            seconds=seconds,
            rr_intervals=self.rr,
            rr_s=self.rr_s,
            heart_rate_bpm=60.0 * self.rr / self.rr_s if self.rr else None,
            lowest_bpm=self.lowest if self.highest else None,
            highest_bpm=self.highest or None,
            nn_intervals=self.nn,
            coverage=min(1.0, self.nn * self._mean / seconds) if seconds > 0 else 0.0,
            inconclusive=min(1.0, self.unreadable_s / seconds) if seconds > 0 else 0.0,
            mean_nn_ms=1000 * self._mean if enough else None,
            sdnn_ms=1000 * sqrt(self._squares / (self.nn - 1)) if enough else None,
            rmssd_ms=1000 * sqrt(self._step_squares / self.steps) if steps else None,
            pnn50=self._steps_over_50 / self.steps if steps else None,
        )


def normal_intervals(rr_s: list[float | None], heights: list[float]) -> list[bool]:
    """Which intervals of a row of beats are between normal beats, by the beats alone.

    Parameters
    ----------
    rr_s : seconds since the beat before; None after a gap
    heights : signed heights of the QRS, any unit
    """
    starts = [i for i, rr in enumerate(rr_s) if rr is None or i == 0] + [len(rr_s)]
    out: list[bool] = []
    for begin, end in pairwise(starts):  # one unbroken run of beats; its first has no interval
        unknown = int(rr_s[begin] is None)
        rr = np.array([inf] * unknown + rr_s[begin + unknown : end], dtype=np.float64)
        height = np.array(heights[begin:end])
        usual_height, usual = _usual(height, 0), _usual(rr, unknown)
        unlike = (rr < EARLY * usual) | (np.abs(height - usual_height) > ODD_HEIGHT * np.abs(usual_height))
        normal = (rr >= SHORTEST_S) & (rr <= LONGEST_S) & (rr <= LATE * usual) & ~unlike
        normal[1:] &= ~unlike[:-1]
        normal[0] = False
        out += normal.tolist()
    return out


def _usual(values: Floats, first: int) -> Floats:
    """Median of each value and up to ``AROUND`` on either side of it, those before ``first`` left out."""
    n, width = values.size, 2 * AROUND + 1
    padded = np.full(n + 2 * AROUND, np.inf)  # sorts behind the values
    padded[AROUND + first : AROUND + n] = values[first:]
    rows = np.sort(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1)
    at = np.arange(n)
    known = np.minimum(at + AROUND + 1, n) - np.maximum(at - AROUND, first)
    known = np.maximum(known, 1)  # of none: infinity
    return np.asarray((rows[at, (known - 1) // 2] + rows[at, known // 2]) / 2)


class Variability:
    """Heart rate and HRV of a stream, every five minutes and over all of it.

    Parameters
    ----------
    delay_s : how long after a moment it is certain whether it lies in an AF episode, seconds
    """

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._beats: list[Beat] = []  # not yet told, after some that give context
        self._told = 0  # how many of these
        self._before_s: float | None = None  # the last interval told, if it was NN
        self._rate = HeartRate()
        self._edges: deque[Edge] = deque()
        self._begin = self._origin = Edge(0, 0.0)
        self._all = Sums()
        self._af: dict[tuple[str, int], tuple[float, float]] = {}
        self._windows: deque[tuple[float, float, bool]] = deque()
        self._ectopic: set[int] = set()  # samples of beats whose class is not normal

    def push(self, message: Beat | BeatClass | Verdict | Episode) -> None:
        """Take what was found, in the order it was found."""
        if isinstance(message, Beat):
            self._beats.append(message)
        elif isinstance(message, BeatClass):
            if message.label != NORMAL:
                self._ectopic.add(message.beat.sample)
        elif isinstance(message, Episode):
            end_s = message.offset_s if message.state == "closed" else inf
            self._af[message.model, message.onset] = message.onset_s, end_s
        elif not message.scores.provisional:
            scores = message.scores
            self._windows.append((scores.time_s, scores.time_s + scores.seconds, message.readable))

    def edge(self, edge: Edge) -> None:
        """Five minutes end here; they are told when it is certain what lay in them."""
        self._edges.append(edge)

    def advance(self, time_s: float) -> list[Hrv]:
        """All was pushed that lies before this time: tell what is certain by now."""
        out: list[Hrv] = []
        while self._edges and time_s >= self._edges[0].time_s + self._delay_s:
            out.append(self._tell(self._edges.popleft()))
        return out

    def finish(self, end: Edge) -> list[Hrv]:
        """The stream ends here: the rest, and all of it."""
        out = [self._tell(edge) for edge in self._edges]
        self._edges.clear()
        if end.time_s > self._begin.time_s or self._told < len(self._beats):
            out.append(self._tell(Edge(end.sample, max(end.time_s, self._begin.time_s)), last=True))
        return [*out, self._all.result("stream", self._origin, end)]

    def _tell(self, edge: Edge, last: bool = False) -> Hrv:
        stop = self._told
        while stop < len(self._beats) and (last or self._beats[stop].time_s < edge.time_s):
            stop += 1
        near = self._beats[: stop + AROUND]
        normal = normal_intervals([b.rr_s for b in near], [b.height for b in near])
        sums = Sums()
        was_ectopic = self._told > 0 and near[self._told - 1].sample in self._ectopic
        for beat, is_normal in zip(near[self._told : stop], normal[self._told : stop], strict=True):
            by_class, was_ectopic = was_ectopic, beat.sample in self._ectopic
            rr_s, before_s, self._before_s = beat.rr_s, self._before_s, None
            if rr_s is None or rr_s > PAUSE_S or not self._readable(beat.time_s - rr_s, beat.time_s):
                self._rate.push(replace(beat, rr_s=None))  # as after a gap
                continue
            self._rate.push(beat)
            bpm = self._rate.bpm(beat.time_s)
            self._all.beat(rr_s, bpm)
            sums.beat(rr_s, bpm)
            by_class |= was_ectopic
            if is_normal and not by_class and not self._in_af(beat.time_s - rr_s, beat.time_s):
                self._all.normal(rr_s, before_s)
                sums.normal(rr_s, before_s)
                self._before_s = rr_s
        sums.unreadable_s = self._unreadable_s(self._begin.time_s, edge.time_s)
        self._all.unreadable_s += sums.unreadable_s
        result = sums.result("5 min", self._begin, edge)
        self._forget(stop, edge)
        return result

    def _in_af(self, begin_s: float, end_s: float) -> bool:
        return any(a < end_s and b > begin_s for a, b in self._af.values())

    def _readable(self, begin_s: float, end_s: float) -> bool:
        """Whether a readable window covers an interval, or none that tells otherwise touches it."""
        touching = [w for w in self._windows if w[0] < end_s and w[1] > begin_s]
        return all(w[2] for w in touching) or any(
            w[2] and w[0] <= begin_s and w[1] >= end_s for w in touching
        )

    def _unreadable_s(self, begin_s: float, end_s: float) -> float:
        """Seconds between two moments that no readable window covers, but another does."""
        cuts = {begin_s, end_s} | {at for window in self._windows for at in window[:2]}
        inside = sorted(at for at in cuts if begin_s <= at <= end_s)
        return sum(b - a for a, b in pairwise(inside) if not self._readable(a, b))

    def _forget(self, told: int, edge: Edge) -> None:
        """Keep what the next span needs."""
        keep = max(0, told - 2 * AROUND - 2)
        self._beats, self._told, self._begin = self._beats[keep:], told - keep, edge
        if self._beats and self._ectopic:
            self._ectopic = {sample for sample in self._ectopic if sample >= self._beats[0].sample}
        since_s = edge.time_s - LONGEST_KEPT_S
        self._af = {key: span for key, span in self._af.items() if span[1] > since_s}
        while self._windows and self._windows[0][1] < since_s:
            self._windows.popleft()
