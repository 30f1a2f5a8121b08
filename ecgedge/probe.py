"""A few seconds of a port -> what is on it and how good it is, in figures and in words.

The stream's own code reads the port, without models; the figures come from its samples, their arrival times
and its counters.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge.clipping import clipped_share
from ecgedge.conditioning import Conditioner
from ecgedge.errors import PortError
from ecgedge.mains import BLOCK_S, MainsMeter
from ecgedge.messages import Beat, Board, Counters, Gap, Message, SampleBlock, Segment, Status, Window
from ecgedge.polarity import SURE, vote
from ecgedge.rate import RateFit, fit_rate
from ecgedge.session import LiveStream
from ecgedge.sinks import Sink

if TYPE_CHECKING:
    from ecgedge.messages import Floats
    from ecgedge.session import StreamOptions

SECONDS = 20.0
LEAST_S = 12.0
"""Mains hum is measured over ten seconds, and a rate without a declaration takes five."""
_BAND = {"version": 1, "rate_hz": 100.0, "highpass_hz": 0.5, "lowpass_hz": 40.0}
_AROUND_S = 0.06  # of a QRS, to either side
_AWAY_S = 0.15  # from an R peak, where noise is looked for
_SMOOTH_S = 0.05  # what is slower is signal, not noise
_LOST, _LOST_MUCH = 0.001, 0.02
_OFF, _OFF_MUCH = 0.02, 0.5
_RATE = 0.02
_HUM, _HUM_MUCH = 0.1, 0.5  # over the height of the QRS
_NOISE, _NOISE_MUCH = 0.1, 0.3
_CLIPPED = 0.001
_LATE_S = 1.0


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be."""

    serious: bool
    """Whether it stands in the way of a verdict on the rhythm."""
    text: str


@dataclass(frozen=True)
class Report:
    """What was found. Heights and noise are in ``unit``; shares are 0-1; None where it could not be told."""

    port: str
    place: str
    """Device behind it."""
    protocol: str | None
    baud: int | None
    board: str
    leads: int
    lead_names: tuple[str, ...]
    seconds: float
    samples: int
    rate_hz: float | None
    """What the stream would use."""
    rate_source: str | None
    measured_hz: float | None
    """From counts and arrival times alone."""
    measured_error_hz: float | None
    """Half of the 95 % interval of that."""
    burst_ms: float | None
    """Median time between arrivals."""
    jitter_ms: float | None
    """Delay behind the earliest that 95 % of the arrivals keep to."""
    longest_ms: float | None
    counters: Counters
    gaps: int
    loss: float
    """Lost samples, exact and estimated, over all."""
    leads_off: float
    unit: str
    heart_rate_bpm: float | None
    qrs: float | None
    """Median height of the QRS, peak to peak."""
    noise: float | None
    """Standard deviation of what is faster than 50 ms away from beats (robust)."""
    hum_hz: float | None
    hum: float | None
    """Amplitude."""
    clipped: float
    upside_down: bool | None
    findings: tuple[Finding, ...] = ()

    @property
    def verdict(self) -> str:
        """One sentence for a person."""
        serious = [finding.text for finding in self.findings if finding.serious]
        if serious:
            return f"not usable yet: {serious[0]}"
        if self.findings:
            return f"usable, but {self.findings[0].text}"
        return "good: the signal is clean and complete"

    def as_json(self) -> dict[str, Any]:
        """All figures, the findings and the verdict."""
        return {"schema": 1, "verdict": self.verdict, **asdict(self)}


@dataclass
class Heard(Sink):
    """What the stream told; a sink."""

    segment: Segment | None = None
    blocks: list[SampleBlock] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    beats: list[Beat] = field(default_factory=list)
    counters: Counters = field(default_factory=Counters)
    notices: list[str] = field(default_factory=list)

    def write(self, message: Message) -> None:
        """Take one message. A new segment begins the figures anew: the last one counts."""
        if isinstance(message, Segment):
            self.segment = message
            self.blocks, self.gaps, self.beats = [], [], []
        elif isinstance(message, SampleBlock):
            self.blocks.append(message)
        elif isinstance(message, Gap):
            self.gaps.append(message)
        elif isinstance(message, Beat):
            self.beats.append(message)
        elif isinstance(message, Status):
            self.counters = message.counters
            if message.text:
                self.notices.append(message.text)


@dataclass(frozen=True)
class Trace:
    """The longest stretch of one lead without a gap."""

    rate_hz: float
    values: Floats
    """Shape (n,), in the unit of the report."""
    time_s: float
    beats: tuple[float, ...]
    """R peaks, seconds from its first sample."""


def listen(options: StreamOptions) -> tuple[Report, Trace, Heard]:
    """Read a port for as long as the options say, and report.

    Raises
    ------
    PortError
        If it cannot be opened, is lost, or nothing comes.
    UnrecognisedError
        If bytes come that make no sense.
    UsageError
        As ``run_stream``.
    """
    heard = Heard()
    live = LiveStream(replace(options, models=(), samples=True, reconnect=False), heard)
    try:
        while live.step():
            pass
        live.finish()
    finally:
        live.close()
    live.check_recognised()
    if not heard.counters.bytes:
        raise PortError(
            f"nothing came from {options.port} in {options.duration_s or 0:g} s",
            "a board that sends",
            "Check its power and sketch; one that waits to be asked needs --protocol.",
        )
    lead = live.lead
    trace = find_trace(heard, lead)
    report = describe(
        heard, trace, port=options.port, place=live.place, protocol=live.protocol, baud=live.baud
    )
    return report, trace, heard


def find_trace(heard: Heard, lead: int = 0) -> Trace:
    """The longest stretch without a gap, electrode off, or value that is none."""
    segment = heard.segment
    if segment is None:
        return Trace(0.0, np.empty(0), 0.0, ())
    scale = segment.board.uv_per_count
    runs: list[tuple[int, list[Floats]]] = []
    end = None
    for block in heard.blocks:
        values = block.counts[:, lead] * (1.0 if scale is None else scale / 1000.0)
        if block.leads_off or not np.isfinite(values).all():
            end = None
            continue
        if block.first != end:
            runs.append((block.first, []))
        runs[-1][1].append(values)
        end = block.first + block.n
    if not runs:
        return Trace(segment.rate_hz, np.empty(0), 0.0, ())
    first, pieces = max(runs, key=lambda run: sum(piece.size for piece in run[1]))
    values = np.concatenate(pieces)
    inside = [beat for beat in heard.beats if first <= beat.sample < first + values.size]
    time_s = segment.time_s + (first - segment.first) / segment.rate_hz
    return Trace(
        segment.rate_hz, values, time_s, tuple((beat.sample - first) / segment.rate_hz for beat in inside)
    )


def describe(
    heard: Heard, trace: Trace, *, port: str, place: str, protocol: str | None, baud: int | None
) -> Report:
    """The figures of what was heard, and what to say of them."""
    segment, counters = heard.segment, heard.counters
    board = Board("unknown") if segment is None else segment.board
    lost = counters.lost + counters.lost_estimated
    total = counters.samples + lost
    last = heard.blocks[-1] if heard.blocks else None
    seconds = 0.0
    if segment is not None and last is not None:
        seconds = segment.time_s + (last.first + last.n - segment.first) / segment.rate_hz
    fit = arrivals(heard)
    heights = _heights(trace)
    qrs = float(np.median(heights)) if heights.size else None
    hum_hz, hum = _hum(trace)
    noise = _noise(trace)
    rr = np.diff(trace.beats)
    report = Report(
        port=port,
        place=place,
        protocol=protocol,
        baud=baud,
        board=board.name,
        leads=board.leads,
        lead_names=board.lead_names,
        seconds=round(seconds, 3),
        samples=counters.samples,
        rate_hz=None if segment is None else segment.rate_hz,
        rate_source=None if segment is None else segment.source,
        measured_hz=None if fit is None else round(fit.rate_hz, 3),
        measured_error_hz=None if fit is None else round(fit.error_hz, 3),
        burst_ms=None if fit is None else round(1e3 * fit.burst_s, 1),
        jitter_ms=None if fit is None else round(1e3 * fit.jitter_s, 1),
        longest_ms=None if fit is None else round(1e3 * fit.longest_s, 1),
        counters=counters,
        gaps=len(heard.gaps),
        loss=lost / total if total else 0.0,
        leads_off=counters.leads_off / counters.samples if counters.samples else 0.0,
        unit="counts" if board.uv_per_count is None else "mV",
        heart_rate_bpm=round(60.0 / float(np.median(rr)), 1) if rr.size >= 3 else None,
        qrs=_rounded(qrs),
        noise=_rounded(noise),
        hum_hz=_rounded(hum_hz),
        hum=_rounded(hum),
        clipped=clipped_share(trace.values, trace.rate_hz) if trace.values.size else 0.0,
        upside_down=_upside_down(trace),
    )
    return replace(report, findings=tuple(judge(report, flat=_flat(trace))))


def arrivals(heard: Heard) -> RateFit | None:
    """Rate and jitter from the counts and arrival times of the blocks."""
    blocks = heard.blocks
    if not blocks:
        return None
    times = [block.arrival_s for block in blocks]
    counts = [block.first + block.n - blocks[0].first for block in blocks]
    return fit_rate(times, counts)


def judge(report: Report, *, flat: bool) -> list[Finding]:
    """What is wrong, the worst first."""
    r = report
    found: list[Finding] = []

    def say(when: bool, serious: bool, text: str) -> None:
        if when:
            found.append(Finding(serious, text))

    say(r.samples == 0, True, "bytes came, but no sample could be read. Check --protocol and --baud")
    off = f"an electrode was off for {100 * r.leads_off:.0f} % of the time. Moisten them, press them on"
    say(r.leads_off > _OFF, r.leads_off > _OFF_MUCH, off)
    say(flat, True, "the line is flat. Check the wire from the sensor's output to the board")
    _judge_loss(r, say)
    if r.measured_hz and r.rate_hz and r.measured_error_hz is not None:
        apart = abs(r.measured_hz - r.rate_hz)
        wrong = r.rate_source != "measured" and apart > _RATE * r.rate_hz and apart > 2 * r.measured_error_hz
        text = (
            f"samples arrive at {r.measured_hz:.1f} a second, not at the {r.rate_hz:g} that are "
            f"{r.rate_source}: every interval is wrong by as much. Mend the sketch's timing, or give --fs"
        )
        say(wrong, True, text)
    say(
        r.clipped > _CLIPPED,
        r.clipped > 0.05,
        f"{100 * r.clipped:.1f} % of the samples are cut off at an end of the range. Lower the gain, or "
        "check the electrodes",
    )
    beats = r.heart_rate_bpm is not None and r.qrs is not None
    text = "no heartbeats were found. Check that the electrodes are on a person, and which --lead is the ECG"
    say(r.samples > 0 and not beats and not flat and r.leads_off <= _OFF_MUCH, True, text)
    if r.qrs:
        hum, noise = (r.hum or 0.0) / r.qrs, (r.noise or 0.0) / r.qrs
        advice = "Keep leads away from power cords and chargers, or run on a battery"
        text = f"mains hum at {r.hum_hz or 0:.0f} Hz is {100 * hum:.0f} % of the QRS. {advice}"
        say(hum > _HUM, hum > _HUM_MUCH, text)
        text = f"the noise is {100 * noise:.0f} % of the QRS. Sit still; use fresh electrodes"
        say(noise > _NOISE and noise > hum, noise > _NOISE_MUCH, text)
    say(r.upside_down is True, False, "the ECG looks upside down. Swap the two electrodes")
    late = f"data came up to {(r.longest_ms or 0) / 1e3:.1f} s late: the computer or cable is busy"
    say((r.longest_ms or 0.0) > 1e3 * _LATE_S, False, late)
    return sorted(found, key=lambda finding: not finding.serious)


def _judge_loss(r: Report, say: Any) -> None:
    c = r.counters
    how = "" if not c.lost_estimated else " (estimated)" if not c.lost else " (in part estimated)"
    advice = "Try another cable or port, or a higher baud rate"
    text = f"{100 * r.loss:.1f} % of the samples were lost{how}. {advice}"
    say(r.loss > _LOST, r.loss > _LOST_MUCH, text)
    share = c.discarded_bytes / c.bytes if c.bytes else 0.0
    say(share > 0.05, share > 0.5, f"{100 * share:.0f} % of the bytes made no sense. Check --baud and cable")


def _heights(trace: Trace) -> Floats:
    """Of every QRS, peak to peak."""
    around, rate = round(_AROUND_S * trace.rate_hz), trace.rate_hz
    at = [round(beat * rate) for beat in trace.beats]
    inside = [k for k in at if around <= k < trace.values.size - around]
    return np.array([float(np.ptp(trace.values[k - around : k + around + 1])) for k in inside])


def _noise(trace: Trace) -> float | None:
    """Robust standard deviation of what is faster than ``_SMOOTH_S``, away from beats."""
    width = 2 * (round(_SMOOTH_S * trace.rate_hz) // 2) + 1
    if trace.values.size < 2 * width or width < 3:
        return None
    smooth = np.convolve(trace.values, np.ones(width) / width, mode="valid")
    edge = width // 2
    rest = trace.values[edge : trace.values.size - edge] - smooth
    away = np.ones(rest.size, dtype=bool)
    reach = round(_AWAY_S * trace.rate_hz)
    for beat in trace.beats:
        k = round(beat * trace.rate_hz) - edge
        away[max(0, k - reach) : max(0, k + reach)] = False
    kept = rest[away]
    if kept.size < width:
        return None
    spread = float(np.median(np.abs(kept - np.median(kept)))) * 1.4826
    return spread / float(np.sqrt(1 - 1 / width))  # the mean of a window takes its share of white noise along


def _hum(trace: Trace) -> tuple[float | None, float | None]:
    """Frequency and amplitude of mains hum, medians of the blocks that have it; None without any."""
    if trace.values.size < BLOCK_S * trace.rate_hz:
        return None, None
    found = [hum for hum in MainsMeter(0.0, trace.rate_hz).push(trace.values) if hum.name]
    if not found:
        return None, None
    return float(np.median([h.seen_hz for h in found])), float(np.median([h.amplitude for h in found]))


def _upside_down(trace: Trace) -> bool | None:
    if len(trace.beats) < 5 or trace.values.size < 5 * trace.rate_hz:
        return None
    chain = Conditioner(_BAND, trace.rate_hz)
    signal = np.concatenate((chain.push(trace.values), chain.finish()))
    window = Window(0, signal.size, 0.0, signal.size / 100.0, signal, 100.0, 0.0, False)
    said = vote(window, np.array(trace.beats))
    return None if said is None or abs(said) < SURE else said < 0


def _flat(trace: Trace) -> bool:
    return trace.values.size > trace.rate_hz and float(np.ptp(trace.values)) == 0.0


def _rounded(value: float | None) -> float | None:
    """Four figures."""
    return None if value is None else float(f"{value:.4g}")
