"""A recording as a strip on ECG paper: 25 mm/s, 10 mm/mV, rows of ten seconds.

What stands over the signal comes from the code of ``classify``. Matplotlib comes with the extra ``plot``
and is imported when a strip is drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge.errors import RecordingError, UsageError
from ecgedge.messages import Beat, Episode, Gap, Verdict
from ecgedge.recordings import Recording, open_recording
from ecgedge.session import DEFAULT_MODELS, classify, open_models

if TYPE_CHECKING:
    from ecgedge.messages import Floats

ROW_S = 10.0
SPAN_S = 60.0
"""Seconds shown where no end is given."""
LONGEST_S = 600.0
MM_PER_S, MM_PER_MV = 25.0, 10.0
SUFFIXES = (".png", ".svg", ".pdf")

_LEFT, _RIGHT, _TOP, _BOTTOM = 15.0, 10.0, 22.0, 13.0
_HEAD, _SPACE = 7.0, 4.0  # above a row, and between rows
_RATE_MM = 18.0  # kept free for the heart rate
_LETTER_MM = 1.4  # of the notes, on average
_BETWEEN = "   ·   "
_PAPER, _FINE, _BOLD = "#fffaf8", "#f8dcd6", "#efb3a9"
_INK, _GREY, _AF = "#16181d", "#6b7078", "#b4142d"
_CHIPS = {"sinus": "#1f7a4d", "AF": _AF, "other": "#b8690a", "inconclusive": "#7b818a"}


@dataclass
class Strip:
    """All that is drawn."""

    title: str
    lead: str
    model: str
    rate_hz: float
    in_mv: bool
    from_s: float
    to_s: float
    signal: Floats
    """Millivolt or counts from ``from_s`` on; not-a-number where there is nothing."""
    beats: list[Beat] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    episodes: dict[int, Episode] = field(default_factory=dict)
    """Latest word on each, by onset."""

    def verdict(self, start_s: float, end_s: float) -> Verdict | None:
        """The full window whose middle is nearest to that of a row, if it lies in it; else a provisional."""
        middle = (start_s + end_s) / 2
        best: tuple[bool, float] | None = None
        found = None
        for verdict in self.verdicts:
            scores = verdict.scores
            away = abs(scores.time_s + scores.seconds / 2 - middle)
            covers = scores.time_s < end_s and scores.time_s + scores.seconds > start_s
            rank = (scores.provisional, away)
            if covers and (best is None or rank < best):
                best, found = rank, verdict
        return found


def read_strip(
    path: Path,
    *,
    model: str = DEFAULT_MODELS[0],
    from_s: float = 0.0,
    to_s: float | None = None,
    lead: str | None = None,
    fs: float | None = None,
) -> Strip:
    """Read a part of a recording and what the model says of it.

    Raises
    ------
    UsageError
        Times that make no span of this recording, or one too long to draw.
    RecordingError, BundleError
        See ``open_recording`` and ``open_models``.
    """
    recording = open_recording(path, fs, lead if lead is not None else 0)
    rate = recording.board.rate_hz
    assert rate is not None, "recordings always have a rate"
    seconds = recording.n_samples / rate
    end_s = min(from_s + SPAN_S if to_s is None else to_s, seconds)
    if not 0 <= from_s < end_s:
        raise UsageError(f"--from {from_s:g} --to {end_s:g}", f"a span within 0 to {seconds:.1f} s")
    if end_s - from_s > LONGEST_S:
        raise UsageError(
            f"a strip of {end_s - from_s:g} s", f"at most {LONGEST_S:g} s", "See --from and --to."
        )
    strip = Strip(
        title=recording.board.name,
        lead=recording.lead_names[0],
        model=model,
        rate_hz=rate,
        in_mv=recording.board.uv_per_count is not None,
        from_s=from_s,
        to_s=end_s,
        signal=_signal(recording, round(from_s * rate), round(end_s * rate)),
    )
    _listen(strip, recording, path, model)
    return strip


def _signal(recording: Recording, first: int, last: int) -> Floats:
    out = np.full(last - first, np.nan)
    for block in recording.blocks():
        if block.first >= last:
            break
        a, b = max(block.first, first), min(block.first + block.n, last)
        if a < b and not block.leads_off:
            out[a - first : b - first] = block.counts[a - block.first : b - block.first, 0]
    scale = recording.board.uv_per_count
    return out if scale is None else out * (scale / 1000.0)


def _listen(strip: Strip, recording: Recording, path: Path, model: str) -> None:
    """Take the messages up to a good while after the strip's end: windows and episodes come late."""
    for message in classify(recording, str(path), open_models((model,))):
        if isinstance(message, Beat):
            if message.time_s > strip.to_s + 90.0:
                break
            if strip.from_s <= message.time_s < strip.to_s:
                strip.beats.append(message)
        elif isinstance(message, Gap):
            strip.gaps.append(message)
        elif isinstance(message, Verdict):
            strip.model = message.scores.model
            strip.verdicts.append(message)
        elif isinstance(message, Episode):
            strip.episodes[message.onset] = message


class Page:
    """A strip on a page; all lengths are millimetres, counted from the lower left corner."""

    def __init__(self, strip: Strip) -> None:
        from matplotlib.figure import Figure

        self._strip = strip
        self._rows = max(1, math.ceil((strip.to_s - strip.from_s) / ROW_S - 1e-9))
        self._middle, self._per_unit, self._up, self._down = _fit(strip)
        self._pitch = _HEAD + self._up + self._down + _SPACE
        self._wide = ROW_S * MM_PER_S
        self.width = _LEFT + self._wide + _RIGHT
        self.height = _TOP + self._rows * self._pitch + _BOTTOM
        self.figure = Figure(figsize=(self.width / 25.4, self.height / 25.4), facecolor="white")
        self._axes: Any = self.figure.add_axes((0.0, 0.0, 1.0, 1.0))
        self._axes.set(xlim=(0, self.width), ylim=(0, self.height))
        self._axes.set_axis_off()

    def draw(self) -> None:
        """Draw everything."""
        self._heading()
        for row in range(self._rows):
            start = self._strip.from_s + row * ROW_S
            zero = self.height - _TOP - row * self._pitch - _HEAD - self._up
            self._paper(zero)
            self._events(start, zero)
            self._trace(start, zero)
            self._row_head(start, zero + self._up)
            if row == 0 and self._strip.in_mv:
                self._calibration(zero)
        self._footing()

    def save(self, out: Path) -> None:
        """Write the page; the kind of file follows from its name."""
        self.figure.savefig(out, dpi=150)

    def _text(self, x: float, y: float, text: str, **kwargs: Any) -> Any:
        return self._axes.text(x, y, text, **{"fontsize": 8, "color": _INK, "va": "center", **kwargs})

    def _box(self, x: float, y: float, w: float, h: float, **kwargs: Any) -> None:
        from matplotlib.patches import Rectangle

        self._axes.add_patch(Rectangle((x, y), w, h, **{"linewidth": 0, **kwargs}))

    def _heading(self) -> None:
        strip = self._strip
        y = self.height - 9
        title = self._text(_LEFT, y, strip.title, fontsize=14, weight="bold")
        title.set_in_layout(False)
        span = f"{_clock(strip.from_s)} to {_clock(strip.to_s)}"
        self._text(
            _LEFT, y - 6.5, f"lead {strip.lead}   ·   {span}   ·   {strip.rate_hz:g} samples/s", color=_GREY
        )
        x = _LEFT + self._wide
        for word in reversed(_CHIPS):
            width = self._chip(x, y, word, align="right")
            x -= width + 2
        self._text(
            _LEFT + self._wide, y - 6.5, f"verdicts of {strip.model} over 30 s", ha="right", color=_GREY
        )

    def _chip(self, x: float, y: float, text: str, align: str = "left", colour: str | None = None) -> float:
        """A word on a coloured label; returns its width."""
        from matplotlib.patches import FancyBboxPatch

        width = 1.62 * len(text) + 3.5
        left = x if align == "left" else x - width
        word = text.split(" ")[0]
        self._axes.add_patch(
            FancyBboxPatch(
                (left + 0.8, y - 1.5), width - 1.6, 3.0, boxstyle="round,pad=0.6,rounding_size=1.2",
                linewidth=0, facecolor=colour or _CHIPS.get(word, _GREY),
            )
        )  # fmt: skip
        self._text(left + width / 2, y - 0.1, text, ha="center", color="white", weight="bold", fontsize=7.5)
        return width

    def _paper(self, zero: float) -> None:
        from matplotlib.collections import LineCollection

        low, high, left, right = zero - self._down, zero + self._up, _LEFT, _LEFT + self._wide
        self._box(left, low, right - left, high - low, facecolor=_PAPER)
        for step, colour, width in ((1, _FINE, 0.35), (5, _BOLD, 0.6)):
            lines = [[(x, low), (x, high)] for x in np.arange(left, right + 0.1, step)]
            lines += [[(left, y), (right, y)] for y in np.arange(low, high + 0.1, step)]
            self._axes.add_collection(LineCollection(lines, colors=colour, linewidths=width, zorder=1))

    def _span(self, start: float, a: float, b: float) -> tuple[float, float] | None:
        """Where in this row a span of time lies, as left edge and width."""
        a, b = max(a, start), min(b, start + ROW_S, self._strip.to_s)
        return (_LEFT + (a - start) * MM_PER_S, (b - a) * MM_PER_S) if a < b else None

    def _events(self, start: float, zero: float) -> None:
        low, high = zero - self._down, self._up + self._down
        for gap in self._strip.gaps:
            at = self._span(start, gap.time_s, gap.time_s + gap.seconds)
            if at:
                self._box(
                    at[0], low, at[1], high, facecolor="#eceef0", edgecolor="#c3c7cc", hatch="////", zorder=2
                )
                if at[1] > 30:
                    words = gap.cause.replace("_", " ")
                    box = {"facecolor": "white", "edgecolor": "none", "pad": 2.0}
                    self._text(at[0] + at[1] / 2, zero, words, ha="center", color=_GREY, bbox=box, zorder=5)
        for episode in self._strip.episodes.values():
            end = math.inf if episode.state == "open" else episode.offset_s
            at = self._span(start, episode.onset_s, end)
            if at:
                self._box(at[0], low, at[1], high, facecolor=_AF, alpha=0.05, zorder=2)
                self._box(at[0], low - 2.4, at[1], 2.4, facecolor=_AF, zorder=2)
        rate, from_s = self._strip.rate_hz, self._strip.from_s
        for beat in self._strip.beats:
            if start <= beat.sample / rate < start + ROW_S and beat.sample / rate >= from_s:
                x = _LEFT + (beat.sample / rate - start) * MM_PER_S
                self._axes.plot([x], [zero + self._up - 1.2], "v", color="#2257a5", ms=3.2, mew=0, zorder=5)

    def _trace(self, start: float, zero: float) -> None:
        strip = self._strip
        first = round((start - strip.from_s) * strip.rate_hz)
        values = strip.signal[first : first + round(ROW_S * strip.rate_hz) + 1]
        x = _LEFT + np.arange(len(values)) / strip.rate_hz * MM_PER_S
        y = np.clip((values - self._middle) * self._per_unit, -self._down, self._up) + zero
        self._axes.plot(
            x, y, color=_INK, linewidth=0.85, solid_joinstyle="round", solid_capstyle="round", zorder=4
        )

    def _row_head(self, start: float, top: float) -> None:
        y = top + 3.2
        self._text(_LEFT - 2, top - 2, _clock(start), ha="right", weight="bold")
        end = min(start + ROW_S, self._strip.to_s)
        verdict = self._strip.verdict(start, end)
        x = _LEFT
        if verdict is None:
            self._text(x, y, "no verdict", color=_GREY)
        else:
            scores = verdict.scores
            said = verdict.verdict
            text = said if said == "inconclusive" else f"{said} {verdict.probability:.2f}"
            x += self._chip(x, y, text) + 3
            notes = [f"quality {100 * verdict.quality.index:.0f} %", *verdict.quality.reasons]
            notes += [r for r in verdict.reasons if r not in notes]
            notes += ["provisional"] if scores.provisional else []
            self._text(x, y, _fitting(notes, _LEFT + self._wide - _RATE_MM - x), color=_GREY, fontsize=7.5)
        inside = [b for b in self._strip.beats if start <= b.time_s < end and b.rr_s]
        if inside and (verdict is None or verdict.quality.usable):
            rate = 60.0 / float(np.median([b.rr_s for b in inside if b.rr_s]))
            self._text(_LEFT + self._wide, y, f"{rate:.0f}/min", ha="right", weight="bold")
        for episode in self._strip.episodes.values():
            seen = max(episode.onset_s, self._strip.from_s)
            over = episode.state == "closed" and episode.offset_s <= seen
            if start <= seen < end and not over:
                at = _LEFT + (max(episode.onset_s, start) - start) * MM_PER_S
                text = f"AF episode, probability {episode.probability:.2f}"
                low = top - self._up - self._down
                at = min(at, _LEFT + self._wide - 45)
                style = {"color": "white", "weight": "bold", "fontsize": 5.8}
                self._text(at + 1.2, low - 1.3, text, zorder=6, **style)

    def _calibration(self, zero: float) -> None:
        """The pulse of one millivolt and a fifth of a second that a strip begins with."""
        x = np.array([-9, -7.5, -7.5, -2.5, -2.5, -1]) + _LEFT
        y = np.array([0, 0, 1, 1, 0, 0]) * MM_PER_MV + zero
        self._axes.plot(x, y, color=_INK, linewidth=0.85, solid_joinstyle="miter")

    def _footing(self) -> None:
        gain = "10 mm/mV" if self._strip.in_mv else "amplitude of unknown scale"
        self._text(_LEFT, 5, f"25 mm/s   ·   {gain}   ·   ▾ R peak", color=_GREY)
        self._text(_LEFT + self._wide, 5, "ecgedge   ·   not a medical device", ha="right", color=_GREY)


def _fit(strip: Strip) -> tuple[float, float, float, float]:
    """Middle of the signal, millimetres a unit, and the millimetres needed above and below."""
    known = strip.signal[np.isfinite(strip.signal)]
    if not known.size:
        return 0.0, MM_PER_MV, 10.0, 10.0
    middle = float(np.median(known))
    low, high = (float(v) - middle for v in np.percentile(known, [0.1, 99.9]))
    per_unit = MM_PER_MV if strip.in_mv else 20.0 / max(high - low, 1e-12)
    up, down = (min(30.0, max(10.0, 5.0 * math.ceil(v * per_unit / 5.0 + 0.4))) for v in (high, -low))
    return middle, per_unit, up, down


def _fitting(notes: list[str], room_mm: float) -> str:
    """As many notes as have room, worst first; dots where some have none."""
    for n in range(len(notes), 1, -1):
        text = _BETWEEN.join((*notes[:n], *(("...",) if n < len(notes) else ())))
        if len(text) * _LETTER_MM <= room_mm:
            return text
    return notes[0]


def _clock(seconds: float) -> str:
    whole, tenth = divmod(round(seconds * 10), 10)
    text = f"{whole // 3600}:{whole % 3600 // 60:02d}" if whole >= 3600 else f"{whole // 60}"
    return f"{text}:{whole % 60:02d}" + (f".{tenth}" if tenth else "")


def plot(path: Path, out: Path | None = None, **options: Any) -> Path:
    """Draw a strip of a recording to a file; return the file.

    Parameters
    ----------
    out : ``.png``, ``.svg`` or ``.pdf``; by default the recording's name, as PNG, in the current folder
    options : see ``read_strip``

    Raises
    ------
    UsageError
        A file name of another kind.
    RecordingError
        Where ``out`` cannot be written.
    ModuleNotFoundError
        Without Matplotlib.
    """
    import matplotlib.figure  # noqa: F401 -- fails before a long recording is read

    if out is not None and out.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--out {out}", f"a name ending in {', '.join(SUFFIXES)}")
    strip = read_strip(path, **options)
    out = out or Path(f"{strip.title}.png")
    page = Page(strip)
    page.draw()
    try:
        page.save(out)
    except OSError as error:
        raise RecordingError(f"{out}: cannot be written ({error.strerror or error})") from None
    return out
