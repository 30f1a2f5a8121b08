"""Conditioned signal and beats of a stretch -> windows of neighbouring beats for a model that classes beats.

A window holds ``beats`` places for beats in a row; those at ``emit`` are reported by it, the others are
their surroundings. The first window reports the first beats of the stretch, the next one the beats behind
them: every beat is reported exactly once. Places before the stretch's first beat or behind its last are empty
(zeros). The rule is the same in training and in the stream, and no figure of a window depends on how the
signal was cut.

A beat is told against what is ordinary for this person now, not against a record: its piece of signal is
measured in standard deviations of the running template (the median over the latest beats that did not come
early, so that the other ones of a bigeminy have no part in it), the difference from that template stands
beside it, and its RR intervals are told as shares of the running median. How far its P wave, QRS and T wave
are from the template is told as a share of how far this person's ordinary beats are.

What each place holds (see ``BeatWindow``), by kind of input:

* ``beat-segments``: signal around the R peak, without its mean, over the template's standard deviation;
* ``beat-deviations``: the same minus the template;
* ``beat-intervals``: figures of RR intervals, height and likeness to the template, see ``beat_figures``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge.beat_figures import INTERVALS, LOCAL, TINY, USUAL_RR_S, deviation, figures, likeness, ordinary
from ecgedge.errors import BundleError
from ecgedge.messages import Likeness
from ecgedge.order import upper_median

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ecgedge.messages import Beat, Floats, Signal32

KINDS = ("beat-segments", "beat-deviations", "beat-intervals")
PARTS_S = ((-0.26, -0.06), (-0.09, 0.10), (0.12, 0.38))
"""Where the P wave, the QRS and the T wave of a beat are looked for: from and to, about its R peak."""
_P_ALIKE, _QRS_ALIKE = (INTERVALS.index(f"{wave}: correlation with the template") for wave in ("P", "QRS"))
LONGEST_S = 2.0
"""Most signal on either side of an R peak."""
MOST_BEATS, MOST_LATEST = 256, 1024
"""Most places of a window, and most beats or intervals that a running median is of."""
KEPT_S = 20.0
"""Signal is kept for so long: a beat comes at most some seconds behind it."""


@dataclass(frozen=True, slots=True)
class BeatSpec:
    """How a bundle wants its windows of beats.

    Raises
    ------
    BundleError
        For figures that no window can have.
    """

    rate_hz: float
    """Of the conditioned signal."""
    beats: int
    """Places in a window."""
    emit: tuple[int, int]
    """First place that is reported, and one past the last."""
    before_s: float
    after_s: float
    """Signal before and after the R peak."""
    template_beats: int
    """Latest beats whose median is the template."""
    rhythm_beats: int
    """Latest RR intervals whose median is the running one."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "emit", tuple(self.emit))  # of JSON or TOML, a list
        first, last = self.emit
        if not 0 <= first < last <= self.beats <= MOST_BEATS:
            found = f"window of {self.beats} beats that reports {list(self.emit)}"
            raise BundleError(found, f"places in it, {MOST_BEATS} at most")
        said = f"window with {self.before_s} s before, {self.after_s} s after, at {self.rate_hz} Hz"
        if not (isfinite(self.rate_hz) and self.rate_hz > 0):
            raise BundleError(said, "a rate above 0")
        if not all(0 < each <= LONGEST_S for each in (self.before_s, self.after_s)):
            raise BundleError(said, f"above 0 to {LONGEST_S:g} s")
        if any(part.stop - part.start < 2 for part in self.parts):
            raise BundleError(
                said, "P wave, QRS and T wave in it", "0.26 s before and 0.38 s after hold them."
            )
        if not all(self.beats <= n <= MOST_LATEST for n in (self.template_beats, self.rhythm_beats)):
            raise BundleError(
                f"running medians of {self.template_beats} and {self.rhythm_beats} beats",
                f"{self.beats}, as in the window, to {MOST_LATEST}",
            )

    @property
    def samples(self) -> int:
        """Of a beat's segment."""
        return round(self.before_s * self.rate_hz) + round(self.after_s * self.rate_hz)

    @property
    def parts(self) -> list[slice]:
        """Where P wave, QRS and T wave lie in a segment."""
        before = round(self.before_s * self.rate_hz)
        edges = [[before + round(s * self.rate_hz) for s in part] for part in PARTS_S]
        return [slice(max(0, begin), min(end, self.samples)) for begin, end in edges]

    @property
    def reported(self) -> int:
        """Most beats that a window reports."""
        return self.emit[1] - self.emit[0]

    def shape(self, kind: str) -> tuple[int, int]:
        """Rows and columns of an input."""
        return self.beats, len(INTERVALS) if kind == "beat-intervals" else self.samples


@dataclass(frozen=True, slots=True, eq=False)
class BeatWindow:
    """Beats in a row, ready for a model; float32, empty places are zeros."""

    beats: tuple[Beat, ...]
    """Those that are reported: rows 0, 1, ... of the model's output; the other rows mean nothing."""
    likeness: tuple[Likeness, ...]
    """Of each of them."""
    places: tuple[int, int]
    """First place of the window that holds a beat, and one past the last."""
    segments: Signal32
    """Shape (places, samples), in standard deviations of the template."""
    deviations: Signal32
    """Difference from the template, shape (places, samples), same unit."""
    intervals: Signal32
    """Shape (places, len(INTERVALS))."""
    last: Beat
    """The latest beat that the window needs, reported or not."""
    signal_needed: int
    """How many samples of conditioned signal, from the start of the stretch, the window needs."""


def make_inputs(entries: list[dict[str, Any]], window: BeatWindow) -> dict[str, Signal32]:
    """Tensors by the input's name, float32, clipped to +-``clip``, in the ``shape`` of its description."""
    parts = dict(zip(KINDS, (window.segments, window.deviations, window.intervals), strict=True))
    return {
        entry["name"]: parts[entry["kind"]].clip(-entry["clip"], entry["clip"]).reshape(entry["shape"])
        for entry in entries
    }


class BeatWindower:
    """Windows of one stretch.

    Parameters
    ----------
    spec : the bundle's windows
    first : stream sample of the stretch's first sample
    rate_in_hz : stream samples per second
    """

    def __init__(self, spec: BeatSpec, first: int, rate_in_hz: float) -> None:
        self._spec, self._first = spec, first
        self._rate_in, self._ratio = rate_in_hz, spec.rate_hz / rate_in_hz
        self._before = round(spec.before_s * spec.rate_hz)
        self._samples = spec.samples
        self._parts = spec.parts
        self._kept = round(KEPT_S * spec.rate_hz)
        self._signal: Signal32 = np.empty(0, dtype=np.float32)
        self._base = 0  # sample of the stretch at the buffer's start
        self._waiting: list[Beat] = []  # whose signal is not all there
        self._beats: list[Beat] = []
        self._segments: Signal32 = np.empty((0, self._samples), dtype=np.float32)
        self._peaks: Floats = np.empty((2, 0))  # stream sample and height of each
        self._dropped = 0  # beats before the first of these three
        self._next = 0  # number of the first beat that the next window reports

    @property
    def due(self) -> int | None:
        """Samples of the stretch with which the next window is complete; None while beats are missing."""
        missing = self._next + self._spec.beats - self._spec.emit[0] - self._dropped - len(self._beats)
        if missing > len(self._waiting):
            return None
        return max((self._needed(beat) for beat in self._waiting[: max(0, missing)]), default=0)

    def add(self, beats: Sequence[Beat]) -> None:
        """Take beats, in order, ahead of the signal."""
        self._waiting += beats

    def push(self, signal: Signal32, beats: Sequence[Beat] = ()) -> list[BeatWindow]:
        """Take conditioned signal, shape (n,), float32, and beats, in order; return what is certain."""
        self._signal = np.concatenate((self._signal, signal))
        self.add(beats)
        total = self._base + self._signal.size
        first, last = self._spec.emit
        done = 0
        while done < len(self._waiting) and self._needed(self._waiting[done]) <= total:
            done += 1
        missing = self._next + self._spec.beats - first - self._dropped - len(self._beats)
        # In one go they cost less; but where no more of them come the signal must not pile up.
        if done >= max(1, missing) or (done and self._signal.size > 2 * self._kept):
            self._take(self._waiting[:done])
            del self._waiting[:done]
        self._forget()
        out = []
        while self._dropped + len(self._beats) >= self._next + self._spec.beats - first:
            out.append(self._window(self._spec.beats - last))
        return out

    def _forget(self) -> None:
        """Drop signal that no beat will ask for; not at every push."""
        drop = self._signal.size - self._kept
        if self._waiting:
            drop = min(drop, self._place(self._waiting[0])[0] - 1 - self._base)
        if drop > self._kept:
            self._signal = self._signal[drop:]
            self._base += drop

    def finish(self) -> list[BeatWindow]:
        """The stretch has ended: the beats that no window has reported."""
        if self._waiting:
            self._take(self._waiting)
            self._waiting = []
        out = []
        while (left := self._dropped + len(self._beats) - self._next) > 0:
            behind = max(0, min(left - self._spec.reported, self._spec.beats - self._spec.emit[1]))
            out.append(self._window(behind))
        return out

    def _place(self, beat: Beat) -> tuple[int, float]:
        """Where a beat's segment begins in the conditioned signal, whole samples and the rest (0-1)."""
        at = (beat.sample - self._first) * self._ratio - self._before
        whole = floor(at)
        return whole, at - whole

    def _needed(self, beat: Beat) -> int:
        return self._place(beat)[0] + self._samples + 2

    def _take(self, beats: list[Beat]) -> None:
        """Cut out segments, R peaks on a sample (cubic through four samples, Catmull and Rom)."""
        n = self._samples
        begins, rests = zip(*map(self._place, beats), strict=True)
        places = np.array(begins)[:, None] + (np.arange(n + 3) - self._base - 1)
        # Beyond its ends the signal stays at its first and last value.
        places = places.clip(0, max(0, self._signal.size - 1))
        around = self._signal[places].astype(np.float64) if self._signal.size else np.zeros(places.shape)
        t = np.array(rests)[:, None]
        cut = t * (-0.5 + t * (1 - 0.5 * t)) * around[:, :n]
        cut += (1 + t * t * (1.5 * t - 2.5)) * around[:, 1 : n + 1]
        cut += t * (0.5 + t * (2 - 1.5 * t)) * around[:, 2 : n + 2]
        cut += t * t * (0.5 * t - 0.5) * around[:, 3:]
        cut -= np.add.reduce(cut, axis=1, keepdims=True) / n
        figures = np.array([[beat.sample for beat in beats], [abs(beat.height) for beat in beats]])
        self._beats += beats
        self._segments = np.concatenate((self._segments, cut.astype(np.float32)))
        self._peaks = np.concatenate((self._peaks, figures), axis=1)

    def _window(self, behind: int) -> BeatWindow:
        """The next window, with ``behind`` beats after those that it reports."""
        spec = self._spec
        reported = min(spec.reported, self._dropped + len(self._beats) - self._next)
        stop = self._next + reported + behind - self._dropped  # of the kept beats
        at = self._next - self._dropped
        begin = max(0, at - spec.emit[0])
        place = spec.emit[0] - (at - begin)
        places = (place, place + stop - begin)
        inside = slice(*places)
        start = max(0, stop - spec.rhythm_beats - 1)
        times, heights = self._peaks[:, start:stop]
        rr = np.log(np.maximum((times[1:] - times[:-1]) / self._rate_in, 0.01) / USUAL_RR_S)
        latest = self._segments[max(0, stop - spec.template_beats) : stop]
        usual = ordinary(latest, rr)
        template = upper_median(usual)
        scale = max(deviation(template), TINY)
        segments, deviations = (np.zeros(spec.shape(kind), dtype=np.float32) for kind in KINDS[:2])
        own = latest[begin - stop :]
        segments[inside] = own / scale
        deviations[inside] = (own - template) / scale
        intervals = np.zeros(spec.shape("beat-intervals"), dtype=np.float32)
        told = figures(rr, heights, stop - begin)
        told[:, -7:-1] = likeness(own, usual, template, scale, self._parts)
        intervals[inside] = told
        alike = told[at - begin : at - begin + reported, [_P_ALIKE, _QRS_ALIKE]].tolist()
        last = self._beats[stop - 1]
        window = BeatWindow(
            beats=tuple(self._beats[at : at + reported]),
            likeness=tuple(Likeness(*row) for row in alike),
            places=places,
            segments=segments,
            deviations=deviations,
            intervals=intervals,
            last=last,
            signal_needed=self._needed(last),
        )
        self._next += reported
        kept = max(spec.template_beats, spec.rhythm_beats + LOCAL + 1)
        drop = max(0, self._next - self._dropped - kept)
        del self._beats[:drop]
        self._segments, self._peaks = self._segments[drop:], self._peaks[:, drop:]
        self._dropped += drop
        return window
