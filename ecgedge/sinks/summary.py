"""What a run came to: the figures of the closing summary, kept up message by message."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ecgedge.messages import Beat, Counters, Episode, Gap, GapCause, Message, Status, Verdict

CAUSES = {
    "lost": "samples lost on the wire",
    "leads_off": "electrode off",
    "missing": "no value for this lead",
    "silent": "the board sent nothing",
    "reset": "the board restarted",
    "unplugged": "cable out",
}
"""What a gap's cause means, in words."""


def clock_time(seconds: float) -> str:
    """Return seconds as ``m:ss.s``, or ``h:mm:ss`` from one hour on."""
    if seconds < 3600:
        tenths = round(seconds * 10)
        return f"{tenths // 600}:{tenths % 600 / 10:04.1f}"
    whole = round(seconds)
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"


def percent(share: float) -> str:
    """Return a share (0-1) in per cent; near the ends with a decimal, so that few never reads as none."""
    value = 100.0 * share
    if value in (0.0, 100.0) or 9.95 <= value < 99.0:
        return f"{value:.0f} %"
    return f"{min(max(value, 0.1), 99.9):.1f} %"


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
        elif isinstance(message, Status):
            self.counters = message.counters
            self._reach(message.time_s)

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
            out.append(f"{model}: AF burden {percent(self.burden(model))} in {found}")
            out += [
                f"  {clock_time(e.onset_s)} to {clock_time(e.offset_s)}, probability {e.probability:.2f}"
                + ("" if e.state == "closed" else " (not ended)")
                for e in mine
            ]
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
