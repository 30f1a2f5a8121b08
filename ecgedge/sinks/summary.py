"""What a run came to: the figures of the closing summary, kept up message by message."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from ecgedge.messages import (
    Beat,
    Counters,
    Ectopic,
    EctopyCount,
    Episode,
    Gap,
    GapCause,
    Hrv,
    Message,
    Period,
    Status,
    Verdict,
)
from ecgedge.sinks.ectopic import ectopy_words
from ecgedge.sinks.words import clock_time, percent

CAUSES = {
    "lost": "samples lost",
    "leads_off": "electrode off",
    "silent": "the board sent nothing",
    "reset": "the board restarted",
    "unplugged": "the port was lost",
}
"""What a gap's cause means, in words."""


LENGTHS = {"hour": 3600.0, "day": 86400.0}
"""Seconds of the periods that are counted."""
HOURS = 24
"""So many last hours are listed one by one."""


def mains_words(hz: float, share: float) -> str:
    """Say what hum there is."""
    return f"hum at {hz:.0f} Hz, {100 * share:.0f} % of the QRS"


def rate_words(lowest: float | None, mean: float | None, highest: float | None) -> str:
    """Say the heart rate of a while."""
    if mean is None:
        return "heart rate --"
    if lowest is None or highest is None:
        return f"heart rate {mean:.0f}/min"
    return f"heart rate {mean:.0f}/min ({lowest:.0f} to {highest:.0f})"


def period_words(message: Period) -> str:
    """Say AF burden, what was inconclusive and what could not be judged, and the heart rate."""
    rate = rate_words(message.lowest_bpm, message.heart_rate_bpm, message.highest_bpm)
    found = f"{message.episodes} episode{'' if message.episodes == 1 else 's'}"
    if message.burden is None or message.inconclusive is None:
        return f"AF burden unknown, nothing was judged; {rate}"
    unjudged = max(0.0, 1 - message.judged_s / message.seconds) if message.seconds > 0 else 0.0
    return (
        f"AF burden {percent(message.burden)} in {found}, "
        f"inconclusive {percent(message.inconclusive)} of the time, "
        f"not judged {percent(unjudged)}; {rate}"
    )


def whole_words(message: Period | EctopyCount) -> str:
    """Say what an hour, a day or the stream came to."""
    return ectopy_words(message) if isinstance(message, EctopyCount) else period_words(message)


def hrv_words(message: Hrv) -> str:
    """Say the variability, and what it was taken from."""
    if message.sdnn_ms is None or message.rmssd_ms is None or message.pnn50 is None:
        return f"HRV: too few normal intervals ({message.nn_intervals})"
    return (
        f"HRV: SDNN {message.sdnn_ms:.0f} ms, RMSSD {message.rmssd_ms:.0f} ms, "
        f"pNN50 {percent(message.pnn50)}, "
        f"from {message.nn_intervals} normal intervals ({percent(message.coverage)} of the time; "
        f"inconclusive {percent(message.inconclusive)})"
    )


def span_words(message: Period | EctopyCount) -> str:
    """Name an hour or a day by its number, from 1."""
    length = LENGTHS.get(message.span)
    return message.span if length is None else f"{message.span} {round(message.time_s / length) + 1}"


@dataclass
class Summary:
    """Running totals of one stream."""

    seconds: float = 0.0
    """Time of the last sample heard of, seconds since the first."""
    beats: int = 0
    windows: dict[str, Counter[str]] = field(default_factory=dict)
    """Verdicts of the full windows, counted by model."""
    provisional: int = 0
    episodes: dict[tuple[str, str, int], Episode] = field(default_factory=dict)
    """Latest word on each episode, by model, kind and onset."""
    gap_seconds: dict[GapCause, float] = field(default_factory=dict)
    """Seconds without usable signal, by cause."""
    counters: Counters = field(default_factory=Counters)
    ectopic: Counter[str] = field(default_factory=Counter)
    """Ectopic beats so far, by kind."""
    hours: dict[str, deque[Period | EctopyCount]] = field(default_factory=dict)
    """The last hours, by model."""
    days: dict[str, list[Period | EctopyCount]] = field(default_factory=dict)
    total: dict[str, Period | EctopyCount] = field(default_factory=dict)
    """The whole stream, by model; there at its end."""
    hrv: Hrv | None = None
    """Of the whole stream; there at its end."""

    def add(self, message: Message) -> None:
        """Take one message into account."""
        if isinstance(message, Beat):
            self.beats += 1
            self._reach(message.time_s)
        elif isinstance(message, Verdict):
            scores = message.scores
            self._reach(scores.time_s + scores.seconds)
            if scores.provisional:
                self.provisional += 1
            else:
                self.windows.setdefault(scores.model, Counter())[message.verdict] += 1
        elif isinstance(message, Episode):
            self.episodes[message.model, message.kind, message.onset] = message
        elif isinstance(message, Gap):
            self.gap_seconds[message.cause] = self.gap_seconds.get(message.cause, 0.0) + message.seconds
            self._reach(message.time_s + message.seconds)
        elif isinstance(message, Hrv):
            self.hrv = message if message.span == "stream" else self.hrv
        elif isinstance(message, Ectopic):
            self.ectopic[message.kind] += 1
        elif isinstance(message, Period | EctopyCount):
            self._period(message)
        elif isinstance(message, Status):
            self.counters = message.counters
            self._reach(message.time_s)

    def _period(self, message: Period | EctopyCount) -> None:
        if message.span == "hour":
            self.hours.setdefault(message.model, deque(maxlen=HOURS)).append(message)
        elif message.span == "day":
            self.days.setdefault(message.model, []).append(message)
        else:
            self.total[message.model] = message

    def _reach(self, time_s: float) -> None:
        self.seconds = max(self.seconds, time_s)

    def burden(self, model: str) -> float:
        """Share (0-1) of the stream's time that lies in episodes of this model."""
        total = sum(e.offset_s - e.onset_s for e in self.episodes.values() if e.model == model)
        return min(1.0, total / self.seconds) if self.seconds > 0 else 0.0

    def lines(self) -> list[str]:
        """Return the summary, one line an item."""
        beats = f"{self.beats} beat{'' if self.beats == 1 else 's'}"
        out = [f"{clock_time(self.seconds)} of stream, {beats}"]
        models = sorted({*self.windows, *(key[0] for key in self.episodes)})
        for model in models:
            counts = self.windows.get(model, Counter())
            total = sum(counts.values())
            shares = ", ".join(
                f"{verdict} {percent(counts[verdict] / total)}"
                for verdict in sorted(counts, key=lambda v: (v == "inconclusive", -counts[v], v))
            )
            out.append(
                f"{model}: {total} window{'' if total == 1 else 's'}" + (f": {shares}" if shares else "")
            )
            mine = [e for e in self.episodes.values() if e.model == model]
            found = f"{len(mine)} episode{'' if len(mine) == 1 else 's'}"
            whole = self.total.get(model)
            burden = f"AF burden {percent(self.burden(model))} in {found}"
            out.append(f"{model}: {whole_words(whole) if whole else burden}")
            out += [
                f"  {clock_time(e.onset_s)} to {clock_time(e.offset_s)}, probability {e.probability:.2f}"
                + ("" if e.state == "closed" else " (not ended)")
                for e in mine
            ]
            out += self._parts(model)
        for model in [m for m, whole in self.total.items() if isinstance(whole, EctopyCount)]:
            out += [f"{model}: {whole_words(self.total[model])}", *self._parts(model)]
        if self.hrv is not None and models:
            out.append(hrv_words(self.hrv))
        if not models:
            out.append(
                "no full window, no verdict but a provisional one" if self.provisional else "no verdict"
            )
        if self.gap_seconds:
            causes = ", ".join(
                f"{CAUSES[cause]} {seconds:.1f} s" for cause, seconds in self.gap_seconds.items()
            )
            out.append(f"gaps: {causes}")
        out.append(self.loss_line())
        return out

    def _parts(self, model: str) -> list[str]:
        """Days and hours of a model, where there is more than one."""
        hours, days = self.hours.get(model, ()), self.days.get(model, ())
        shown = [*(days if len(days) > 1 else ()), *(hours if len(hours) > 1 else ())]
        return [f"  {span_words(p)}: {whole_words(p)}" for p in shown]

    def loss_line(self) -> str:
        """Return the samples received and lost, exact counts apart from estimates."""
        c = self.counters
        parts = [f"{c.samples} samples received", f"{c.lost} lost (exact)"]
        if c.lost_estimated:
            parts.append(f"about {c.lost_estimated} lost (estimated)")
        if c.leads_off:
            parts.append(f"{c.leads_off} with an electrode off")
        if c.bad_frames:
            parts.append(f"{c.bad_frames} bad frames")
        if c.discarded_bytes:
            parts.append(f"{c.discarded_bytes} of {c.bytes} bytes discarded")
        return ", ".join(parts)
