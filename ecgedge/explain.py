"""What a model looked at: ten seconds on ECG paper, shaded by its attention, under its verdict.

The window is the one of the stream that has the wanted moment nearest to its middle: signal, quality and
verdict are those of ``classify``. Matplotlib comes with the extra ``plot`` and is imported when a picture is
drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge.bundle import Bundle, open_bundle
from ecgedge.classifier import Classifier
from ecgedge.errors import RecordingError, UsageError
from ecgedge.frontend import Consumer, Frontend, Out, Prepared
from ecgedge.messages import Beat, Segment
from ecgedge.plot import MM_PER_S, SUFFIXES, Page, clock
from ecgedge.recordings import open_recording
from ecgedge.strip import Strip, signal_between
from ecgedge.verdict import INCONCLUSIVE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ecgedge.messages import Floats
    from ecgedge.recordings import Recording

MODEL = "danet"
EARLY = 0.85
"""An interval shorter than this share of the window's median is set in bold."""
_LANE, _LANE_SPACE = 15.0, 5.5  # of the curve under the paper, and what is free above and below it
_SHADE = (0.97, 0.66, 0.0)
_CURVE, _YES, _NO, _DOUBT = "#d98300", "#b4142d", "#1f7a4d", "#7b818a"
_INK, _GREY, _RULE = "#16181d", "#6b7078", "#c3c7cc"


@dataclass(frozen=True, eq=False)
class Explanation:
    """One window and what a model made of it."""

    strip: Strip
    """Signal as it was recorded, and beats, from the window's begin to its end."""
    at_s: float
    """The moment that was asked for."""
    attention: Floats
    """Weights 0 to 1, shape (n,), evenly over the window."""
    prepared: Prepared
    probability: float
    """Of the model's second class."""
    word: str
    """Verdict in words."""
    called: bool
    """Whether the window was called."""


def explain(
    path: Path, at_s: float, *, model: str = MODEL, lead: str | None = None, fs: float | None = None
) -> Explanation:
    """Ask a model about the window around a moment of a recording.

    Raises
    ------
    UsageError
        For a moment outside of the recording or without a whole window around it, or a model that tells no
        attention.
    RecordingError, BundleError
        See ``open_recording`` and ``open_bundle``.
    """
    bundle = open_bundle(model)
    kinds = {entry["kind"]: entry["name"] for entry in bundle.manifest["outputs"]}
    if "attention" not in kinds:
        raise UsageError(f"--model {bundle.name}, which tells no attention", f"one that does, as {MODEL}")
    recording = open_recording(path, fs, lead if lead is not None else 0)
    rate = recording.board.rate_hz
    assert rate is not None, "recordings always have a rate"
    if not 0 <= at_s <= recording.n_samples / rate:
        raise UsageError(f"--at {at_s:g}", f"a moment within 0 to {recording.n_samples / rate:.1f} s")
    prepared, beats = _around(recording, bundle, at_s)
    classifier, manifest = Classifier(bundle), bundle.manifest
    outputs = classifier.outputs(prepared.tensors)
    probability = classifier.probabilities(outputs[kinds["logits"]].reshape(-1))[bundle.classes[1]]
    called = probability >= manifest["thresholds"]["apc"]
    word = manifest["words"][bundle.classes[int(called)]]
    window = prepared.window
    first, last = window.first, window.first + round(window.seconds * rate)
    strip = Strip(
        title=recording.board.name,
        lead=recording.lead_names[0],
        model=bundle.name,
        rate_hz=rate,
        in_mv=recording.board.uv_per_count is not None,
        from_s=window.time_s,
        to_s=window.time_s + window.seconds,
        signal=signal_between(recording, first, last),
        beats=[b for b in beats if window.time_s <= b.time_s < window.time_s + window.seconds],
    )
    return Explanation(
        strip=strip,
        at_s=at_s,
        attention=outputs[kinds["attention"]].reshape(-1),
        prepared=prepared,
        probability=probability,
        word=word if prepared.quality.usable else INCONCLUSIVE,
        called=called and prepared.quality.usable,
    )


def _around(recording: Recording, bundle: Bundle, at_s: float) -> tuple[Prepared, list[Beat]]:
    """The whole window that has the moment nearest to its middle, and the beats up to its end.

    Raises
    ------
    UsageError
        If no window holds it: near gaps and in short recordings.
    """
    best: Prepared | None = None
    beats: list[Beat] = []
    for item in _heard(recording, bundle):
        if isinstance(item, Beat):
            beats.append(item)
        if not isinstance(item, Prepared) or item.window.provisional:
            continue
        middle = item.window.time_s + item.window.seconds / 2
        holds = abs(middle - at_s) <= item.window.seconds / 2
        if holds and (best is None or abs(middle - at_s) < _away(best, at_s)):
            best = item
        if middle > at_s + bundle.window.length_s:
            break
    if best is None or best.window.seconds < bundle.window.length_s:
        raise UsageError(
            f"--at {at_s:g}, around which no whole window lies",
            f"{bundle.window.length_s:g} s of signal without a gap",
        )
    return best, beats


def _away(item: Prepared, at_s: float) -> float:
    return abs(item.window.time_s + item.window.seconds / 2 - at_s)


def _heard(recording: Recording, bundle: Bundle) -> Iterator[Out]:
    """What the device's frontend makes of a recording, for this model."""
    manifest, board = bundle.manifest, recording.board
    frontend = Frontend(
        (Consumer(bundle.name, manifest["preprocessing"], bundle.window, manifest["inputs"]),)
    )
    assert board.rate_hz is not None, "recordings always have a rate"
    yield from frontend.push(Segment(0, 0.0, board.rate_hz, "declared", board))
    for block in recording.blocks():
        yield from frontend.push(block)
    yield from frontend.finish()


class Picture(Page):
    """The window on ECG paper, with attention as shade and as a curve."""

    below = _LANE + _LANE_SPACE + 1.5

    def __init__(self, told: Explanation) -> None:
        super().__init__(told.strip)
        self._told = told

    def _heading(self) -> None:
        strip, y = self._strip, self.height - 9
        self._text(self.left, y, strip.title, fontsize=14, weight="bold").set_in_layout(False)
        span = f"{clock(strip.from_s)} to {clock(strip.to_s)}"
        rate = f"{strip.rate_hz:g} samples/s"
        self._text(self.left, y - 6.5, f"lead {strip.lead}   ·   {span}   ·   {rate}", color=_GREY)
        right = self.left + self.wide
        self._text(right, y, f"what {strip.model} looked at", ha="right", fontsize=10, weight="bold")
        window = self._told.prepared.window
        words = f"window of {window.seconds:g} s at {window.rate_hz:g} samples/s"
        self._text(right, y - 6.5, words, ha="right", color=_GREY)

    def _events(self, start: float, zero: float) -> None:
        super()._events(start, zero)
        low, high = zero - self.down, zero + self.up
        shade = np.empty((1, self._told.attention.size, 4))
        shade[..., :3] = _SHADE
        shade[..., 3] = 0.75 * np.clip(self._told.attention, 0, 1)
        extent = (self.left, self.left + self.wide, low, high)
        self._axes.imshow(shade, extent=extent, aspect="auto", interpolation="nearest", zorder=2)
        self._axes.set(xlim=(0, self.width), ylim=(0, self.height))
        self._intervals(start, high)
        self._axes.plot([self._x(self._told.at_s)], [low + 1.3], "^", color=_GREY, ms=4, mew=0, zorder=5)
        self._lane(low)

    def _x(self, time_s: float) -> float:
        return self.left + (time_s - self._strip.from_s) * MM_PER_S

    def _intervals(self, start: float, high: float) -> None:
        """RR intervals between the marks of the R peaks; the early ones stand out."""
        times = [beat.time_s for beat in self._strip.beats]
        each = np.diff(times)
        for a, b, interval in zip(times, times[1:], each, strict=False):
            early = interval < EARLY * np.median(each)
            style: dict[str, Any] = {
                "color": _YES if early else _GREY,
                "weight": "bold" if early else "normal",
            }
            x = self._x((a + b) / 2)
            self._text(x, high - 1.4, f"{1000 * interval:.0f}", ha="center", fontsize=6.2, zorder=5, **style)

    def _lane(self, low: float) -> None:
        """The curve of attention, 0 to 1, and the seconds."""
        zero, right = low - _LANE_SPACE - _LANE, self.left + self.wide
        values = np.clip(self._told.attention, 0, 1)
        x = self.left + (np.arange(values.size) + 0.5) / values.size * self.wide
        self._axes.fill_between(
            x, zero, zero + _LANE * values, color=_SHADE, alpha=0.3, linewidth=0, zorder=2
        )
        self._axes.plot(x, zero + _LANE * values, color=_CURVE, linewidth=0.9, zorder=3)
        for height, label in ((0.0, "0"), (0.5, ""), (1.0, "1")):
            y = zero + _LANE * height
            self._axes.plot([self.left, right], [y, y], color=_RULE, linewidth=0.5, zorder=1)
            self._text(self.left - 1.5, y, label, ha="right", color=_GREY, fontsize=6.5)
        self._text(self.left - 8, zero + _LANE / 2, "attention", rotation=90, ha="center", color=_GREY)
        for second in range(int(self._strip.to_s - self._strip.from_s) + 1):
            at = self._strip.from_s + second
            style: dict[str, Any] = {"ha": "center", "color": _GREY, "fontsize": 6.2}
            self._text(self._x(at), zero - 2.2, clock(at), **style)

    def _row_head(self, start: float, top: float) -> None:
        told, quality, y = self._told, self._told.prepared.quality, top + 3.2
        colour = (_YES if told.called else _NO) if quality.usable else _DOUBT
        text = told.word if told.word == INCONCLUSIVE else f"{told.word} {told.probability:.2f}"
        x = self.left + self._chip(self.left, y, text, colour=colour) + 3
        notes = "   ·   ".join((f"quality {100 * quality.index:.0f} %", *quality.reasons[:2]))
        self._text(x, y, notes, color=_GREY, fontsize=7.5)
        intervals = [beat.rr_s for beat in self._strip.beats if beat.rr_s]
        if intervals and quality.usable:
            rate = f"{60.0 / float(np.median(intervals)):.0f}/min"
            self._text(self.left + self.wide, y, rate, ha="right", weight="bold")

    def _footing(self) -> None:
        gain = "10 mm/mV" if self._strip.in_mv else "amplitude of unknown scale"
        words = ("25 mm/s", gain, "▾ R peak, intervals in ms", "shade: attention", "▴ the moment asked for")
        self._text(self.left, 5, "   ·   ".join(words), color=_GREY)
        self._text(self.left + self.wide, 5, "ecgedge   ·   not a medical device", ha="right", color=_GREY)


def draw(path: Path, at_s: float, out: Path | None = None, **options: Any) -> tuple[Path, Explanation]:
    """Explain and draw to a file; return the file and what it shows.

    Parameters
    ----------
    out : ``.png``, ``.svg`` or ``.pdf``; by default the recording's name and the moment, as PNG, in the
        current folder
    options : see ``explain``

    Raises
    ------
    UsageError
        A file name of another kind, and see ``explain``.
    RecordingError
        Where ``out`` cannot be written.
    ModuleNotFoundError
        Without Matplotlib.
    """
    import matplotlib.figure  # noqa: F401 -- fails before a long recording is read

    if out is not None and out.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--out {out}", f"a name ending in {', '.join(SUFFIXES)}")
    told = explain(path, at_s, **options)
    out = out or Path(f"{told.strip.title}-{at_s:g}s.png")
    picture = Picture(told)
    picture.draw()
    try:
        picture.save(out)
    except OSError as error:
        raise RecordingError(f"{out}: cannot be written ({error.strerror or error})") from None
    return out, told
