"""Recordings -> windows of beats, as the stream has them, with labels.

Conditioning, R peaks and windows are the device's own code; what the detector misses is not learned from, and
what it finds where there is no beat has no label.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ecgedge.beat_windows import BeatSpec, BeatWindow, BeatWindower
from ecgedge.rpeaks import BAND, RPeakDetector
from ecgedge.training.data import condition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ecgedge.messages import Beat, Floats
    from ecgedge.recordings.annotations import Annotation

CLASSES = ("N", "S", "V", "F")
SYMBOLS = {
    **dict.fromkeys("NLRBejn", "N"),
    **dict.fromkeys("AaJS", "S"),
    **dict.fromkeys("VEr", "V"),
    "F": "F",
}
"""MIT beat code to class, after de Chazal et al. (IEEE Trans. Biomed. Eng. 51, 2004): escape beats of atria
and node count as N, since they come late, not early. Paced and unclassifiable beats have none."""
NONE = -1
"""Label of a beat that nothing is said of."""
MATCH_S = 0.15


@dataclass
class BeatSet:
    """Windows of beats of many recordings."""

    segments: npt.NDArray[np.float16]
    """Shape (windows, places, samples), clipped."""
    deviations: npt.NDArray[np.float16]
    """Same shape."""
    intervals: npt.NDArray[np.float16]
    """Shape (windows, places, figures)."""
    labels: npt.NDArray[np.int8]
    """Class of each reported beat, or ``NONE``, shape (windows, reported); where a window has one class,
    shape (windows, 1); where it may have several, 0 or 1 for each, shape (windows, classes)."""
    records: npt.NDArray[np.int32]
    """Number of the recording, shape (windows,)."""

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: npt.NDArray[Any]) -> BeatSet:
        """Some of the windows, by number or mask."""
        return BeatSet(*(getattr(self, f.name)[rows] for f in fields(self)))

    @staticmethod
    def join(sets: Sequence[BeatSet]) -> BeatSet:
        """All windows of several sets; their recordings stay apart."""
        sets = [s for s in sets if len(s)] or sets[:1]
        out = BeatSet(*(np.concatenate([getattr(s, f.name) for s in sets]) for f in fields(BeatSet)))
        first = np.cumsum([0, *(int(s.records.max(initial=-1)) + 1 for s in sets[:-1])])
        out.records = np.concatenate([s.records + k for s, k in zip(sets, first, strict=True)])
        return out


def find_beats(signal: Floats, rate_hz: float) -> list[Beat]:
    """The beats that the device finds in one lead, shape (n,)."""
    detector = RPeakDetector(0, 0.0, rate_hz)
    return detector.push(condition(signal, rate_hz, BAND)) + detector.finish()


def windows_of(
    signal: Floats, rate_hz: float, spec: BeatSpec, preprocessing: dict[str, Any], beats: list[Beat]
) -> list[BeatWindow]:
    """The windows of one lead, shape (n,), whose samples are all there."""
    windower = BeatWindower(spec, 0, rate_hz)
    out = windower.push(condition(signal, rate_hz, preprocessing), beats)
    return out + windower.finish()


def match(beats: Sequence[Beat], marks: Sequence[Annotation], rate_hz: float) -> npt.NDArray[np.int8]:
    """Class of each beat: that of the nearest mark no more than ``MATCH_S`` away that has no nearer beat."""
    labels = np.full(len(beats), NONE, dtype=np.int8)
    if not beats or not marks:
        return labels
    found = np.array([beat.sample for beat in beats])
    true = np.array([mark.sample for mark in marks])
    nearest = _nearest(true, found)
    back = _nearest(found, true)
    mutual = back[nearest] == np.arange(len(found))
    close = np.abs(true[nearest] - found) <= MATCH_S * rate_hz
    for k in np.flatnonzero(mutual & close):
        name = SYMBOLS.get(marks[nearest[k]].symbol)
        labels[k] = NONE if name is None else CLASSES.index(name)
    return labels


def _nearest(places: npt.NDArray[Any], to: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Number of the one of ``places`` (in order) that is nearest to each of ``to``."""
    right = np.searchsorted(places, to).clip(1, max(1, len(places) - 1))
    left = right - 1
    right = right.clip(0, len(places) - 1)
    return np.where(np.abs(places[left] - to) <= np.abs(places[right] - to), left, right)


def rows_of(
    windows: Sequence[BeatWindow], labels: npt.NDArray[np.int8], spec: BeatSpec
) -> npt.NDArray[np.int8]:
    """Classes of a recording's beats, in order, as its windows report them: shape (windows, reported)."""
    out = np.full((len(windows), spec.reported), NONE, dtype=np.int8)
    first = 0
    for row, window in zip(out, windows, strict=True):
        n = len(window.beats)
        row[:n] = labels[first : first + n]
        first += n
    return out


def stack(
    windows: Sequence[Sequence[BeatWindow]], rows: Sequence[npt.NDArray[np.int8]], spec: BeatSpec, clip: float
) -> BeatSet:
    """Windows of several recordings and what is told of them, an array a recording, a row a window."""
    every = [w for part in windows for w in part]
    shape, figures = ((len(every), *spec.shape(kind)) for kind in ("beat-segments", "beat-intervals"))
    segments, deviations = (
        np.array(parts, dtype=np.float32).reshape(shape).clip(-clip, clip).astype(np.float16)
        for parts in ([w.segments for w in every], [w.deviations for w in every])
    )
    return BeatSet(
        segments,
        deviations,
        np.array([w.intervals for w in every]).reshape(figures).astype(np.float16),
        np.concatenate(rows) if rows else np.empty((0, spec.reported), dtype=np.int8),
        np.repeat(np.arange(len(windows), dtype=np.int32), [len(part) for part in windows]),
    )
