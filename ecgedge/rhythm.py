"""Verdicts -> episodes of atrial fibrillation.

Windows overlap, so each hop-long interval is judged by the mean probability over all windows that cover
it, as soon as no later window can. Intervals become episodes by two thresholds (one to begin, a lower
one to end) and a minimum duration; 30 s is the consensus minimum (Hindricks et al., 2020 ESC Guidelines
for atrial fibrillation). Heart rate and RR intervals play no part here.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from ecgedge.errors import BundleError, UsageError
from ecgedge.messages import Episode, Verdict

BRIDGE_S = 30.0
"""Longest time without a vote (noise, gap) that an episode may span."""
_EPS_S = 1e-6
_SLACK = 0.1  # share of a hop by which a window may reach into an interval without voting on it


@dataclass(slots=True)
class _Run:
    """Atrial fibrillation that goes on; ``offset`` is the end of its last interval with a vote."""

    onset: int
    onset_s: float
    offset: int
    offset_s: float
    weighted: float = 0.0
    seconds: float = 0.0
    told: bool = False

    def extend(self, offset: int, offset_s: float, probability: float, seconds: float) -> None:
        self.offset, self.offset_s = offset, offset_s
        self.weighted += probability * seconds
        self.seconds += seconds


class AfEpisodes:
    """Episodes of one model's verdicts.

    Parameters
    ----------
    model : name that the episodes carry
    hop_s : seconds between the starts of neighbouring windows
    on, off : an interval at or above ``on`` begins an episode, one below ``off`` ends it
    minimum_s : shorter runs are no episodes, seconds

    Raises
    ------
    UsageError
        If the figures make no sense.
    """

    def __init__(self, model: str, *, hop_s: float, on: float, off: float, minimum_s: float = 30.0) -> None:
        if not 0 < off <= on <= 1:
            raise UsageError(f"episode thresholds on {on}, off {off}", "0 < off <= on <= 1")
        if not hop_s > 0:
            raise UsageError(f"a hop of {hop_s} s", "more than 0 s")
        if not minimum_s >= 0:
            raise UsageError(f"a minimum episode of {minimum_s} s", "0 s or more")
        self._model = model
        self._hop_s, self._on, self._off, self._minimum_s = hop_s, on, off, minimum_s
        self._run: _Run | None = None
        # The grid of intervals starts anew with the first window of each stretch.
        self._origin: tuple[int, float, float] | None = None  # first sample, its time, samples per second
        self._next = 0  # first interval not yet decided
        self._votes: list[list[float]] = []  # of the intervals from there on
        self._end: tuple[int, float] = (0, 0.0)  # how far the windows of the stretch reach

    def push(self, verdict: Verdict) -> list[Episode]:
        """Take a verdict; windows of a stretch come in order. Provisional ones are passed over.

        Raises
        ------
        BundleError
            If the scores lack a class for AF.
        """
        scores = verdict.scores
        if scores.provisional:
            return []
        probability = verdict.af_probability
        if probability is None:
            raise BundleError(
                f"scores of the classes {', '.join(scores.scores)}", "a class for AF among them"
            )
        if self._origin is None:
            rate = (scores.last - scores.first) / scores.seconds
            self._origin = scores.first, scores.time_s, rate
            self._next, self._votes, self._end = 0, [], (scores.first, scores.time_s)
        into_s = scores.time_s - self._origin[1]
        start = max(self._next, round(into_s / self._hop_s))
        stop = max(start + 1, ceil((into_s + scores.seconds) / self._hop_s - _SLACK))
        out = self._decide(start)  # a later window cannot cover what lies before this one
        self._votes.extend([] for _ in range(stop - self._next - len(self._votes)))
        if verdict.readable:
            for votes in self._votes[start - self._next : stop - self._next]:
                votes.append(probability)
        self._end = max(self._end, (scores.last, scores.time_s + scores.seconds))
        return out + self._decide(start + 1)

    def interrupt(self, sample: int, time_s: float) -> list[Episode]:
        """The stretch has ended: no window will cover what lies before this sample and time.

        May be called again while nothing comes, so that an open episode ends in time.
        """
        out = self._decide(self._next + len(self._votes))
        self._origin = None
        self._votes = []
        if self._run is not None and time_s - self._run.offset_s > BRIDGE_S + _EPS_S:
            out += self._close()
        return out

    def finish(self) -> list[Episode]:
        """The stream has ended."""
        out = self._decide(self._next + len(self._votes))
        self._origin = None
        self._votes = []
        return out + self._close()

    def _decide(self, before: int) -> list[Episode]:
        """Judge all intervals up to ``before``."""
        out: list[Episode] = []
        while self._next < before:
            votes = self._votes.pop(0) if self._votes else []
            if votes:
                out += self._judge(self._next, sum(votes) / len(votes))
            self._next += 1
        return out

    def _edge(self, interval: int) -> tuple[int, float]:
        """Sample and time at which an interval starts, no later than the windows reach."""
        assert self._origin is not None
        first, time_s, rate = self._origin
        into_s = interval * self._hop_s
        return min((first + round(into_s * rate), time_s + into_s), self._end)

    def _judge(self, interval: int, probability: float) -> list[Episode]:
        (first, first_s), (last, last_s) = self._edge(interval), self._edge(interval + 1)
        out: list[Episode] = []
        run = self._run
        if run is not None and (probability < self._off or first_s - run.offset_s > BRIDGE_S + _EPS_S):
            out += self._close()
            run = None
        if run is None:
            if probability < self._on:
                return out
            run = self._run = _Run(first, first_s, first, first_s)
        run.extend(last, last_s, probability, last_s - first_s)
        if not run.told and run.offset_s - run.onset_s >= self._minimum_s - _EPS_S:
            run.told = True
            out.append(self._episode(run, closed=False))
        return out

    def _close(self) -> list[Episode]:
        run, self._run = self._run, None
        return [self._episode(run, closed=True)] if run is not None and run.told else []

    def _episode(self, run: _Run, closed: bool) -> Episode:
        probability = run.weighted / run.seconds if run.seconds else 0.0
        return Episode(
            kind="AF",
            state="closed" if closed else "open",
            model=self._model,
            onset=run.onset,
            offset=run.offset,
            onset_s=run.onset_s,
            offset_s=run.offset_s,
            probability=probability,
        )
