"""The whole road from decoded samples to verdicts and episodes; no threads, no clock, no I/O.

The same object serves the live stream and ``classify``. What is told, and in which order, follows the
samples alone: a block of a minute gives what six hundred blocks of a tenth of a second give. Every second of
the stream has its status, with all in it that was certain by then.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING

from ecgedge.accounts import Accounts
from ecgedge.clock import Clock
from ecgedge.errors import UsageError
from ecgedge.frontend import KEPT_S, Cut, Frontend, Notice, PreparedBeats
from ecgedge.heads import Heads, consumer
from ecgedge.hrv import HeartRate
from ecgedge.messages import (
    UNKNOWN,
    Beat,
    Board,
    Counters,
    Gap,
    Message,
    Person,
    SampleBlock,
    Segment,
    Status,
    StretchEnd,
    Verdict,
)
from ecgedge.rhythm import BRIDGE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ecgedge.classifier import Classifier
    from ecgedge.frontend import Come, Out

STATUS_S = 1.0
"""Seconds of stream between two statuses."""


class Pipeline:
    """One stream's processing.

    Parameters
    ----------
    classifiers : opened models; see ``Heads`` for which go together
    rate_hz : sampling rate given by the user, else the board's or measured
    lead : column of the samples, from 0, or what the board calls it
    minimum_episode_s : shortest episode that is told, seconds
    samples : give out the SampleBlocks too, as the clock numbered them (for a recorder)
    person : whose heart it is, for models that ask for age and sex
    attention : tell what a model of APC windows looked at, too
    wire : gives what a decoder has read and dropped so far, for the statuses

    Raises
    ------
    UsageError
        For models that do not go together.
    """

    def __init__(
        self,
        classifiers: tuple[Classifier, ...],
        *,
        rate_hz: float | None = None,
        lead: int | str = 0,
        minimum_episode_s: float = 30.0,
        samples: bool = False,
        person: Person = UNKNOWN,
        attention: bool = False,
        wire: Callable[[], Counters] = Counters,
    ) -> None:
        self._clock = Clock(rate_hz)
        self._wire = wire
        self._give_samples = samples
        self._heads = heads = Heads(classifiers, minimum_episode_s, attention)
        self._frontend = Frontend(tuple(consumer(c.bundle) for c in classifiers), lead, person)
        longest_s = max((head.longest_s for head in heads.rhythm.values()), default=0.0)
        self._accounts = Accounts(
            tuple(heads.rhythm),
            longest_s + minimum_episode_s + BRIDGE_S + KEPT_S,
            heads.beats.name if heads.beats is not None else None,
        )
        self._heart_rate = HeartRate()
        self._verdict: Verdict | None = None
        self._in_stretch = False
        self._gap_end = 0
        self._at = 0  # one past the last stream sample that was dealt with
        self._samples = 0
        self._leads_off = 0
        self._electrode_off = False
        self._next_status_s = STATUS_S
        self._status_at: int | None = None  # the sample it falls on, once that is known
        self._segment: Segment | None = None
        self._idle = False  # nothing can be made of the samples of the present segment

    @property
    def time_s(self) -> float:
        """Seconds of stream so far, gaps included."""
        return self._clock.time_s(self._at)

    @property
    def lead(self) -> int:
        """The column in which the lead stands now."""
        return self._frontend.lead

    @property
    def samples(self) -> int:
        """Samples taken so far."""
        return self._samples

    @property
    def sample(self) -> int:
        """One past the last stream sample so far, gaps included."""
        return self._at

    def counters(self) -> Counters:
        """What was read and lost so far."""
        wire = self._wire()
        return Counters(
            bytes=wire.bytes,
            discarded_bytes=wire.discarded_bytes,
            frames=wire.frames,
            bad_frames=wire.bad_frames,
            samples=self._samples,
            lost=self._clock.lost + wire.lost,
            lost_estimated=self._clock.lost_estimated,
            leads_off=self._leads_off,
        )

    def push(self, message: Board | SampleBlock | Status) -> list[Message]:
        """Take what a decoder or a recording gave."""
        if isinstance(message, Status):
            return [replace(message, sample=self._at, time_s=self.time_s, counters=self.counters())]
        out: list[Message] = []
        for timed in self._clock.push(message):
            out += self._take(timed)
        return out

    def cut(self) -> list[Message]:
        """The connection was lost and made again; what comes next follows a gap."""
        return [message for timed in self._clock.cut() for message in self._take(timed)]

    def finish(self) -> list[Message]:
        """End of the stream: what was held back, open episodes, a last status."""
        out: list[Message] = []
        for timed in self._clock.finish():
            out += self._take(timed)
        out += self._accounts.advance(self._at, self.time_s)
        for item in self._frontend.finish():
            out += self._tell(item)
        for message in self._heads.finish():
            self._accounts.push(message)
            out.append(message)
        out += self._accounts.finish()
        out.append(self.status("ended"))
        return out

    def status(self, state: str | None = None, text: str = "") -> Status:
        """Where the stream stands now; without a heart rate while the latest window cannot be read."""
        verdict, mains = self._verdict, self._frontend.mains
        readable = verdict is None or verdict.readable  # else the beats are those of the noise
        return Status(
            sample=self._at,
            time_s=self.time_s,
            state=state or ("leads_off" if self._electrode_off else "streaming"),  # type: ignore[arg-type]
            text=text,
            heart_rate_bpm=self._heart_rate.bpm(self.time_s) if readable else None,
            verdict=verdict.verdict if verdict else None,
            probability=verdict.probability if verdict else None,
            quality=verdict.quality.index if verdict else None,
            mains_hz=mains.hum.seen_hz if mains.hum else None,
            mains_share=mains.share if mains.hum and mains.share else None,
            counters=self.counters(),
        )

    def _take(self, timed: Segment | SampleBlock | Gap) -> list[Message]:
        if isinstance(timed, SampleBlock):
            return self._block(timed)
        out: list[Message] = []
        if isinstance(timed, Segment):
            before, self._segment = self._segment, timed
            out += [timed, *self._accounts.advance(timed.first, timed.time_s)]  # the last at the old rate
            items, refusal = self._begin(timed, first=before is None)
            if refusal is not None:
                out.append(self.status(text=f"the samples from here on are left out: {refusal}"))
            if before is not None and timed.source == "measured" and timed.rate_hz != before.rate_hz:
                text = f"samples arrive at {timed.rate_hz:g} a second from here on, not {before.rate_hz:g}"
                out.append(self.status(text=text))
        else:
            self._at = timed.first + timed.n
            items = self._frontend.push(timed)
        for item in items:
            out += self._tell(item)
        self._status_at = None
        return out + self._second() if self.time_s >= self._next_status_s else out

    def _begin(self, segment: Segment, *, first: bool) -> tuple[list[Out], UsageError | None]:
        """What ends where a segment begins, and why its samples cannot be worked on, if they cannot.

        With the first segment that is an error of whoever started the stream. Later on it is the board that
        has changed, and may change back: a monitor goes on.
        """
        self._idle = False
        try:
            return self._frontend.push(segment), None
        except UsageError as refusal:
            if first:
                raise
            self._idle = True
            return self._frontend.finish(), refusal

    def _block(self, block: SampleBlock) -> list[Message]:
        """What the samples of a block bring about, each at the sample that made it certain."""
        out: list[Message] = [block] if self._give_samples else []
        electrode = block.leads_off != self._electrode_off
        for sample, come in self._with_electrode(block) if electrode else self._found(block):
            out += self._statuses(sample - 1, block)
            self._move(sample, block)
            for item in come():
                out += self._tell(item)
        end = block.first + block.n
        if self._due() <= end:
            out += self._statuses(end, block)
        self._move(end, block)
        return out

    def _found(self, block: SampleBlock) -> Iterable[Come]:
        """What the frontend finds in a block."""
        return () if self._idle else self._frontend.push_timed(block)

    def _with_electrode(self, block: SampleBlock) -> Iterator[Come]:
        """What the frontend finds in a block with which an electrode comes off or is back, and that."""
        at, told = block.first + 1, False
        if block.leads_off:  # before what that ends
            told = True
            yield at, self._electrode
        for sample, come in self._found(block):
            if not told and sample > at:  # after the gap that it closes
                told = True
                yield at, self._electrode
            yield sample, come
        if not told:
            yield at, self._electrode

    def _electrode(self) -> list[Out]:
        """An electrode has come off, or is back on."""
        self._electrode_off = not self._electrode_off
        return [Notice("electrode off: check the leads" if self._electrode_off else "electrode back on")]

    def _statuses(self, last: int, block: SampleBlock) -> list[Message]:
        """One for each second of the stream that is complete by a sample."""
        out: list[Message] = []
        while (sample := self._due()) <= last:
            self._move(sample, block)
            out += self._second()
        return out

    def _due(self) -> int:
        """The sample on which the next status falls at the present rate."""
        if self._status_at is None:
            segment = self._segment
            assert segment is not None
            sample = ceil((self._next_status_s - segment.time_s) * segment.rate_hz - 1e-6) + segment.first
            while self._clock.time_s(sample) < self._next_status_s:
                sample += 1
            self._status_at = sample
        return self._status_at

    def _second(self) -> list[Message]:
        """The books, and a status, at a full second of the stream."""
        time_s = self.time_s
        self._next_status_s, self._status_at = (time_s // STATUS_S + 1) * STATUS_S, None
        return [*self._accounts.advance(self._at, time_s), self.status()]

    def _move(self, sample: int, block: SampleBlock) -> None:
        """Samples up to here were dealt with."""
        n = sample - self._at
        self._samples += n
        self._leads_off += n if block.leads_off else 0
        self._at = sample

    def _tell(self, item: Out) -> list[Message]:
        """What follows from something that the frontend found; the books take it, too."""
        out = self._judge(item)
        for message in out:
            self._accounts.push(message)
        return out

    def _judge(self, item: Out) -> list[Message]:
        if isinstance(item, Notice):
            return [self.status(text=item.text)]
        if isinstance(item, Gap):
            self._gap_end = item.first + item.n
            return [item] if self._in_stretch else [item, *self._interrupt(self._gap_end)]
        if isinstance(item, StretchEnd):
            self._verdict, self._in_stretch = None, False
            return self._interrupt(max(item.last, self._gap_end))
        self._in_stretch = True
        if isinstance(item, Beat):
            self._heart_rate.push(item)
            return [item]
        if isinstance(item, Cut):
            self._heads.cut(item)
            return []
        if isinstance(item, PreparedBeats):
            return self._heads.row(item)
        self._verdict, more = self._heads.window(item)
        return [self._verdict, *more]

    def _interrupt(self, sample: int) -> list[Message]:
        """No window will reach across."""
        return self._heads.interrupt(sample, self._clock.time_s(sample))
