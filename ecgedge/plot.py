"""A recording as a strip on ECG paper: 25 mm/s, 10 mm/mV, rows of ten seconds.

What stands over the signal comes from the code of ``classify``. Matplotlib comes with the extra ``plot``
and is imported when a strip is drawn.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge.errors import RecordingError, UsageError
from ecgedge.strip import Strip, read_strip

if TYPE_CHECKING:
    from ecgedge.messages import EctopicRun

ROW_S = 10.0
MM_PER_S, MM_PER_MV = 25.0, 10.0
SUFFIXES = (".png", ".svg", ".pdf")

_LEFT, _RIGHT, _TOP, _BOTTOM = 15.0, 10.0, 22.0, 13.0
_HEAD, _SPACE = 7.0, 4.0  # above a row, and between rows
_AROUND_S = 0.2  # of a bar under a row of beats, before the first and behind the last
_RATE_MM = 18.0  # kept free for the heart rate
_LETTER_MM = 1.4  # of the notes, on average
_BETWEEN = "   ·   "
_PAPER, _FINE, _BOLD = "#fffaf8", "#f8dcd6", "#efb3a9"
_INK, _GREY, _AF = "#16181d", "#6b7078", "#b4142d"
_BEAT = "#2257a5"
_KINDS = {"APC": ("A", "#7a2fb5"), "PVC": ("V", "#c2410c"), "fusion": ("F", "#0f766e")}
"""Letter and colour of beats that are not ordinary."""
_CHIPS = {"sinus": "#1f7a4d", "AF": _AF, "other": "#b8690a", "inconclusive": "#7b818a"}


class Page:
    """A strip on a page; all lengths are millimetres, counted from the lower left corner."""

    below = 0.0
    """Kept free under each row."""

    def __init__(self, strip: Strip) -> None:
        from matplotlib.figure import Figure

        self._strip = strip
        self._rows = max(1, math.ceil((strip.to_s - strip.from_s) / ROW_S - 1e-9))
        self._middle, self._per_unit, self.up, self.down = _fit(strip)
        self._pitch = _HEAD + self.up + self.down + self.below + _SPACE
        self.left, self.wide = _LEFT, ROW_S * MM_PER_S
        self.width = _LEFT + self.wide + _RIGHT
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
            zero = self.height - _TOP - row * self._pitch - _HEAD - self.up
            self._paper(zero)
            self._events(start, zero)
            self._trace(start, zero)
            self._row_head(start, zero + self.up)
            if row == 0 and self._strip.in_mv:
                self._calibration(zero)
        self._footing()

    def save(self, out: Path) -> None:
        """Write the page; the kind of file follows from its name."""
        with warnings.catch_warnings():
            # A letter that the font does not have is an empty box.
            warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
            self.figure.savefig(out, dpi=150)

    def _text(self, x: float, y: float, text: str, **kwargs: Any) -> Any:
        style = {"fontsize": 8, "color": _INK, "va": "center", "parse_math": False, **kwargs}
        return self._axes.text(x, y, text, **style)

    def _box(self, x: float, y: float, w: float, h: float, **kwargs: Any) -> None:
        from matplotlib.patches import Rectangle

        self._axes.add_patch(Rectangle((x, y), w, h, **{"linewidth": 0, **kwargs}))

    def _heading(self) -> None:
        strip = self._strip
        y = self.height - 9
        title = self._text(_LEFT, y, strip.title, fontsize=14, weight="bold")
        title.set_in_layout(False)
        span = f"{clock(strip.from_s)} to {clock(strip.to_s)}"
        self._text(
            _LEFT, y - 6.5, f"lead {strip.lead}   ·   {span}   ·   {strip.rate_hz:g} samples/s", color=_GREY
        )
        x = _LEFT + self.wide
        for word in reversed(_CHIPS):
            width = self._chip(x, y, word, align="right")
            x -= width + 2
        self._text(
            _LEFT + self.wide, y - 6.5, f"verdicts of {strip.model} over 30 s", ha="right", color=_GREY
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

        low, high, left, right = zero - self.down, zero + self.up, _LEFT, _LEFT + self.wide
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
        low, high = zero - self.down, self.up + self.down
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
                self._beat(x, zero + self.up, self._strip.kinds.get(beat.sample))
        for row in self._strip.rows.values():
            self._ectopic_row(row, start, low)

    def _beat(self, x: float, top: float, kind: str | None) -> None:
        """A mark over an R peak; of an ectopic or fusion beat in colour, with its letter."""
        letter, colour = _KINDS.get(kind or "", ("", _BEAT))
        self._axes.plot([x], [top - 1.2], "v", color=colour, ms=4.2 if letter else 3.2, mew=0, zorder=5)
        if letter:
            self._text(x + 1.4, top - 1.4, letter, color=colour, weight="bold", fontsize=7, zorder=6)

    def _ectopic_row(self, row: EctopicRun, start: float, low: float) -> None:
        """A bar under a row of ectopic beats, named where it begins."""
        begin_s = row.onset_s - _AROUND_S
        at = self._span(start, begin_s, row.offset_s + _AROUND_S)
        if at is None:
            return
        colour = _KINDS[row.of][1]
        self._box(at[0], low, at[1], 0.9, facecolor=colour, zorder=3)
        if start <= max(begin_s, self._strip.from_s) < start + ROW_S:
            name = f"run of {row.beats}" if row.kind == "run" else row.kind
            x = min(at[0], _LEFT + self.wide - 22)
            self._text(x, low + 2.2, f"{row.of} {name}", color=colour, weight="bold", fontsize=6.5, zorder=6)

    def _trace(self, start: float, zero: float) -> None:
        strip = self._strip
        first = round((start - strip.from_s) * strip.rate_hz)
        values = strip.signal[first : first + round(ROW_S * strip.rate_hz) + 1]
        x = _LEFT + np.arange(len(values)) / strip.rate_hz * MM_PER_S
        y = np.clip((values - self._middle) * self._per_unit, -self.down, self.up) + zero
        self._axes.plot(
            x, y, color=_INK, linewidth=0.85, solid_joinstyle="round", solid_capstyle="round", zorder=4
        )

    def _row_head(self, start: float, top: float) -> None:
        y = top + 3.2
        self._text(_LEFT - 2, top - 2, clock(start), ha="right", weight="bold")
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
            self._text(x, y, _fitting(notes, _LEFT + self.wide - _RATE_MM - x), color=_GREY, fontsize=7.5)
        inside = [b for b in self._strip.beats if start <= b.time_s < end and b.rr_s]
        if inside and (verdict is None or verdict.quality.usable):
            rate = 60.0 / float(np.median([b.rr_s for b in inside if b.rr_s]))
            self._text(_LEFT + self.wide, y, f"{rate:.0f}/min", ha="right", weight="bold")
        for episode in self._strip.episodes.values():
            seen = max(episode.onset_s, self._strip.from_s)
            over = episode.state == "closed" and episode.offset_s <= seen
            if start <= seen < end and not over:
                at = _LEFT + (max(episode.onset_s, start) - start) * MM_PER_S
                text = f"AF episode, probability {episode.probability:.2f}"
                low = top - self.up - self.down
                at = min(at, _LEFT + self.wide - 45)
                style = {"color": "white", "weight": "bold", "fontsize": 5.8}
                self._text(at + 1.2, low - 1.3, text, zorder=6, **style)

    def _calibration(self, zero: float) -> None:
        """The pulse of one millivolt and a fifth of a second that a strip begins with."""
        x = np.array([-9, -7.5, -7.5, -2.5, -2.5, -1]) + _LEFT
        y = np.array([0, 0, 1, 1, 0, 0]) * MM_PER_MV + zero
        self._axes.plot(x, y, color=_INK, linewidth=0.85, solid_joinstyle="miter")

    def _footing(self) -> None:
        gain = "10 mm/mV" if self._strip.in_mv else "amplitude of unknown scale"
        said = {self._strip.kinds.get(beat.sample) for beat in self._strip.beats}
        marks = ["▾ R peak", *(f"{letter} {kind}" for kind, (letter, _) in _KINDS.items() if kind in said)]
        self._text(_LEFT, 5, _BETWEEN.join(["25 mm/s", gain, *marks]), color=_GREY)
        self._text(_LEFT + self.wide, 5, "ecgedge   ·   not a medical device", ha="right", color=_GREY)


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


def clock(seconds: float) -> str:
    """Minutes and seconds, or hours as well, with tenths where there are any."""
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
