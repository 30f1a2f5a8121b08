"""Keeps the books of a stream: HRV of every five minutes, AF and ectopy of every hour and day, and of it all.

Wires ``hrv``, ``burden`` and ``ectopy_count``: tells them where five minutes, hours and days end, by stream
sample.
"""

from __future__ import annotations

from ecgedge.burden import HOUR_S, Burden
from ecgedge.ectopy_count import EctopyBooks
from ecgedge.hrv import SPAN_5MIN_S, Edge, Variability
from ecgedge.messages import (
    Beat,
    BeatClass,
    Ectopic,
    EctopicRun,
    EctopyCount,
    Episode,
    Hrv,
    Message,
    Period,
    Verdict,
)

Told = Hrv | Period | EctopyCount


class Accounts:
    """Books of one stream.

    Parameters
    ----------
    models : names of the models that judge the rhythm
    delay_s : how long after a moment it is certain whether it lies in an AF episode, seconds
    beats : name of the model that classes beats, if there is one; the first of ``models`` says what is judged
    """

    def __init__(self, models: tuple[str, ...], delay_s: float, beats: str | None = None) -> None:
        self._variability = Variability(delay_s)
        self._burdens = [Burden(model, delay_s) for model in models]
        self._ectopy = EctopyBooks(beats, models[0], delay_s) if beats is not None else None
        self._now = Edge(0, 0.0)
        self._spans = 0  # five minutes that ended

    def push(self, message: Message) -> None:
        """Take a message; those that are not of beats, verdicts or episodes do not concern the books."""
        if isinstance(message, Beat):  # the most of all
            self._variability.push(message)
            return
        if isinstance(message, (BeatClass, Verdict, Episode)):
            self._variability.push(message)
        if self._ectopy is not None and isinstance(message, (BeatClass, Verdict, Ectopic, EctopicRun)):
            self._ectopy.push(message)
        if isinstance(message, (Verdict, Episode)):
            for burden in self._burdens:
                burden.push(message)

    def advance(self, sample: int, time_s: float) -> list[Told]:
        """The stream has come to a sample and its time; messages up to there were pushed, late ones apart.

        Between two calls the time per sample must be constant.
        """
        before, now = self._now, Edge(sample, time_s)
        per_s = (sample - before.sample) / (time_s - before.time_s) if time_s > before.time_s else 0.0
        out: list[Told] = []
        while (self._spans + 1) * SPAN_5MIN_S <= time_s:
            self._spans += 1
            border_s = self._spans * SPAN_5MIN_S
            at = before.sample + round((border_s - before.time_s) * per_s)
            self._variability.edge(Edge(at, border_s))
            if border_s % HOUR_S == 0:
                for burden in self._burdens:
                    burden.edge(at, border_s)
                if self._ectopy is not None:
                    self._ectopy.edge(at, border_s)
            out += self._tell(border_s)  # a long gap must not pile up borders
        self._now = now
        return out + self._tell(time_s)

    def _tell(self, time_s: float) -> list[Told]:
        told = self._variability.advance(time_s)
        out: list[Told] = list(told)
        for burden in self._burdens:
            for hrv in told:
                burden.push(hrv)
            out += burden.advance(time_s)
        return out + (self._ectopy.advance(time_s) if self._ectopy is not None else [])

    def finish(self) -> list[Told]:
        """The stream has ended: what is open, and the whole; nothing of a stream without a sample."""
        if not self._now.sample:
            return []
        told = self._variability.finish(self._now)
        out: list[Told] = list(told)
        for burden in self._burdens:
            for hrv in told:
                burden.push(hrv)
            out += burden.finish(self._now.sample, self._now.time_s)
        if self._ectopy is not None:
            out += self._ectopy.finish(self._now.sample, self._now.time_s)
        return out
