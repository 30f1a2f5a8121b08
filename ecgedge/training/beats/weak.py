"""Classes of beats by rules, where only the rhythm of the recording is known (CinC 2017).

Few persons of the MIT-BIH Arrhythmia Database have supraventricular beats; among the thousands of CinC 2017
many have, but no beat is marked. What can be said with some certainty is said, everything else is left open:

* in a normal recording every beat is N that does not come much too early, odd QRS too: there they are noise;
* in atrial fibrillation ordinary QRS are N, however early they come;
* in one of another rhythm that is regular on the whole, an ordinary QRS is N where it is in time and S where
  it is early, and an odd QRS that is early and followed by a pause is V.

On DS1, as if every record were of another rhythm, these rules are right in nine of ten S beats and find four
of ten.
"""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

import numpy as np

from ecgedge.beat_figures import INTERVALS
from ecgedge.training.beats.data import CLASSES, NONE

if TYPE_CHECKING:
    import numpy.typing as npt

    from ecgedge.beat_windows import BeatSpec
    from ecgedge.training.beats.data import BeatSet

QRS_S = 0.1
"""A QRS lies within this time on either side of its R peak."""
ALIKE, ODD = 0.92, 0.6
"""Least correlation of an ordinary QRS with the template; highest of an odd one."""
SIZE = (0.7, 1.4)
"""Of an ordinary QRS, over that of the template."""
EARLY, IN_TIME, MUCH_TOO_EARLY, PAUSE = (log(x) for x in (0.86, 0.9, 0.72, 1.05))
"""RR intervals as shares of the running median."""
REGULAR = 0.06
"""Spread of the running RR intervals up to which a rhythm is regular on the whole."""


def by_rules(windows: BeatSet, rhythms: str, spec: BeatSpec) -> npt.NDArray[np.int8]:
    """Class of each reported beat, or ``NONE``, shape (windows, reported).

    Parameters
    ----------
    rhythms : letter N, A, O or ~ of each recording
    """
    emitted = slice(*spec.emit)
    rhythm = np.array(list(rhythms))[windows.records][:, None]
    alike, size = likeness(windows, spec)
    figures = windows.intervals[:, emitted].astype(np.float32)
    before, behind, local = (figures[..., k] for k in range(3))
    names = ("spread of the running RR intervals", "a beat is there")
    spread, there = (figures[..., INTERVALS.index(name)] for name in names)
    ordinary = (alike > ALIKE) & (size > SIZE[0]) & (size < SIZE[1])
    regular = (rhythm == "O") & (spread < REGULAR)
    early = (before < EARLY) & (local < EARLY)
    out = np.full(before.shape, NONE, dtype=np.int8)
    out[(rhythm == "A") & ordinary] = CLASSES.index("N")
    out[(rhythm == "N") & (before > MUCH_TOO_EARLY)] = CLASSES.index("N")
    out[(rhythm == "O") & ordinary & (before > IN_TIME)] = CLASSES.index("N")
    out[regular & ordinary & early] = CLASSES.index("S")
    out[regular & (alike < ODD) & (before < EARLY) & (behind > PAUSE)] = CLASSES.index("V")
    out[there == 0] = NONE
    return out


def likeness(windows: BeatSet, spec: BeatSpec) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Correlation of each reported QRS with the template, and its size over that of the template."""
    peak, reach = round(spec.before_s * spec.rate_hz), round(QRS_S * spec.rate_hz)
    part = (slice(None), slice(*spec.emit), slice(max(0, peak - reach), peak + reach + 1))
    qrs = windows.segments[part].astype(np.float32)
    template = qrs - windows.deviations[part].astype(np.float32)
    qrs -= qrs.mean(axis=2, keepdims=True)
    template -= template.mean(axis=2, keepdims=True)
    energy, ordinary = ((x**2).sum(axis=2) + 1e-9 for x in (qrs, template))
    return (qrs * template).sum(axis=2) / np.sqrt(energy * ordinary), np.sqrt(energy / ordinary)


def telling(labels: npt.NDArray[np.int8], records: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Which windows are of recordings that have a beat other than N, shape (windows,)."""
    other = (labels > 0).any(axis=1)
    return np.isin(records, records[other])
