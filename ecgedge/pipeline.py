"""The whole road from decoded samples to verdicts and episodes; no threads, no clock, no I/O.

The same object serves the live stream and ``classify``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ecgedge.accounts import Accounts
from ecgedge.clock import Clock
from ecgedge.frontend import KEPT_S, Consumer, Frontend, Notice, Prepared
from ecgedge.hrv import HeartRate
from ecgedge.messages import (
    Beat,
    Board,
    Counters,
    Gap,
    Message,
    SampleBlock,
    Scores,
    Segment,
    Status,
    StretchEnd,
    Verdict,
)
from ecgedge.rhythm import BRIDGE_S, AfEpisodes
from ecgedge.verdict import judge

if TYPE_CHECKING:
    from ecgedge.classifier import Classifier

STATUS_S = 1.0
"""Seconds of stream between two statuses."""


@dataclass
class _Model:
    classifier: Classifier
    episodes: AfEpisodes


class Pipeline:
    """One stream's processing.

    Parameters
    ----------
    classifiers : opened models
    rate_hz : sampling rate given by the user, else the board's or measured
    lead : column of the samples, from 0
    minimum_episode_s : shortest episode that is told, seconds
    samples : give out the SampleBlocks too, as the clock numbered them (for a recorder)
    """

    def __init__(
        self,
        classifiers: tuple[Classifier, ...],
        *,
        rate_hz: float | None = None,
        lead: int = 0,
        minimum_episode_s: float = 30.0,
        samples: bool = False,
    ) -> None:
        self._clock = Clock(rate_hz)
        self._give_samples = samples
        self._models: dict[str, _Model] = {}
        consumers = []
        longest_s = 0.0  # from the end of an interval to the word on it
        for classifier in classifiers:
            bundle = classifier.bundle
            thresholds = bundle.manifest["thresholds"]
            episodes = AfEpisodes(
                bundle.name,
                hop_s=bundle.window.hop_s,
                on=thresholds["af_on"],
                off=thresholds["af_off"],
                minimum_s=minimum_episode_s,
            )
            self._models[bundle.name] = _Model(classifier, episodes)
            longest_s = max(longest_s, bundle.window.length_s + 2 * bundle.window.hop_s)
            manifest = bundle.manifest
            consumers.append(
                Consumer(bundle.name, manifest["preprocessing"], bundle.window, manifest["inputs"])
            )
        self._frontend = Frontend(tuple(consumers), lead)
        self._accounts = Accounts(tuple(self._models), longest_s + minimum_episode_s + BRIDGE_S + KEPT_S)
        self._heart_rate = HeartRate()
        self._verdict: Verdict | None = None
        self._in_stretch = False
        self._gap_end = 0
        self._samples = 0
        self._leads_off = 0
        self._electrode_off = False
        self._next_status_s = STATUS_S

    @property
    def time_s(self) -> float:
        """Seconds of stream so far, gaps included."""
        return self._clock.time_s(self._clock.sample)

    @property
    def samples(self) -> int:
        """Samples taken so far."""
        return self._samples

    def counters(self, wire: Counters | None = None) -> Counters:
        """What was read and lost so far; ``wire`` adds the decoder's part."""
        return replace(
            wire or Counters(),
            samples=self._samples,
            lost=self._clock.lost + (wire.lost if wire else 0),
            lost_estimated=self._clock.lost_estimated,
            leads_off=self._leads_off,
        )

    def push(self, message: Board | SampleBlock | Status, wire: Counters | None = None) -> list[Message]:
        """Take what a decoder or a recording gave."""
        if isinstance(message, Status):
            return [
                replace(message, sample=self._clock.sample, time_s=self.time_s, counters=self.counters(wire))
            ]
        out: list[Message] = []
        for timed in self._clock.push(message):
            out += self._take(timed, wire)
        return out

    def finish(self, wire: Counters | None = None) -> list[Message]:
        """End of the stream: what was held back, open episodes, a last status."""
        out: list[Message] = []
        for timed in self._clock.finish():
            out += self._take(timed, wire)
        rest = [message for item in self._frontend.finish() for message in self._judge(item, wire)]
        for model in self._models.values():
            rest += model.episodes.finish()
        for message in rest:
            self._accounts.push(message)
        out += [*rest, *self._accounts.finish()]
        out.append(self.status("ended", wire=wire))
        return out

    def status(self, state: str | None = None, text: str = "", wire: Counters | None = None) -> Status:
        """Where the stream stands now."""
        verdict, mains = self._verdict, self._frontend.mains
        return Status(
            sample=self._clock.sample,
            time_s=self.time_s,
            state=state or ("leads_off" if self._electrode_off else "streaming"),  # type: ignore[arg-type]
            text=text,
            heart_rate_bpm=self._heart_rate.bpm(self.time_s),
            verdict=verdict.verdict if verdict else None,
            probability=verdict.probability if verdict else None,
            quality=verdict.quality.index if verdict else None,
            mains_hz=mains.hum.seen_hz if mains.hum else None,
            mains_share=mains.share if mains.hum and mains.share else None,
            counters=self.counters(wire),
        )

    def _take(self, timed: Segment | SampleBlock | Gap, wire: Counters | None) -> list[Message]:
        out: list[Message] = []
        if isinstance(timed, Segment):
            out.append(timed)
        if isinstance(timed, SampleBlock):
            self._samples += timed.n
            self._leads_off += timed.n if timed.leads_off else 0
            out += [timed] if self._give_samples else []
        judged = [message for item in self._frontend.push(timed) for message in self._judge(item, wire)]
        for message in judged:
            self._accounts.push(message)
        electrode = self._electrode(timed, wire) if isinstance(timed, SampleBlock) else []
        # "Off" comes before what that ends; "back on" after the gap that it closes.
        out += electrode + judged if self._electrode_off else judged + electrode
        if isinstance(timed, SampleBlock):
            end = timed.first + timed.n
            out += self._accounts.advance(end, self._clock.time_s(end))
        if self.time_s >= self._next_status_s:
            self._next_status_s = (self.time_s // STATUS_S + 1) * STATUS_S
            out.append(self.status(wire=wire))
        return out

    def _electrode(self, block: SampleBlock, wire: Counters | None) -> list[Message]:
        """Say when an electrode comes off, and when it is back."""
        if block.leads_off == self._electrode_off:
            return []
        self._electrode_off = block.leads_off
        text = "electrode off: check the leads" if block.leads_off else "electrode back on"
        return [self.status(text=text, wire=wire)]

    def _judge(
        self, item: Gap | Beat | Prepared | StretchEnd | Notice, wire: Counters | None
    ) -> list[Message]:
        if isinstance(item, Notice):
            return [self.status(text=item.text, wire=wire)]
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
        model = self._models[item.model]
        verdict = self._score(model.classifier, item)
        self._verdict = verdict
        return [verdict, *model.episodes.push(verdict)]

    def _interrupt(self, sample: int) -> list[Message]:
        """No window will reach across: an episode that has gone on too long without a vote ends."""
        out: list[Message] = []
        for model in self._models.values():
            out += model.episodes.interrupt(sample, self._clock.time_s(sample))
        return out

    @staticmethod
    def _score(classifier: Classifier, item: Prepared) -> Verdict:
        window = item.window
        probabilities = classifier.probabilities(classifier.logits(item.tensors))
        scores = Scores(
            model=item.model,
            first=window.first,
            last=window.last,
            time_s=window.time_s,
            seconds=window.seconds,
            scores=probabilities,
            label=max(probabilities, key=probabilities.__getitem__),
            provisional=window.provisional,
        )
        manifest = classifier.bundle.manifest
        confidence = manifest["thresholds"]["confidence"]
        return judge(scores, item.quality, item.irregularity, manifest["words"], confidence)
