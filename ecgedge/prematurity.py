"""Classes and RR intervals of the beats around -> whether a beat is early, and whether that means anything.

* Early: the RR interval is below ``EARLY`` times the usual one, the median over the latest intervals between
  normal beats.
* At once: a premature beat, or the first of a run of them, comes early against the interval before it, too.
  Where the rate goes up from beat to beat, as with breath or effort, none does.
* In a regular rhythm: in the first seconds of atrial fibrillation early beats are no premature ones yet to
  windows of 30 s. So the ``AROUND`` beats on either side are looked at, each for itself: every interval is
  compared with the latest one between beats of the same two classes. That follows bigeminy and runs as it
  follows sinus rhythm; in fibrillation nothing repeats.
* Not each second beat: where a block of every second beat ends, beats come at half the interval with the
  P wave that they always had.

The numbers were chosen on DS1 of the MIT-BIH Arrhythmia Database with the classes of nets that had not seen
the record, and on its records with every second QRS erased for some time; ``UNREST`` also on the onsets of
the MIT-BIH Atrial Fibrillation Database. ``benchmarks.ectopy`` tells what each gate does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import pairwise
from math import log

from ecgedge.messages import Beat, BeatClass
from ecgedge.order import middle

EARLY = 0.90
USUAL = 12
"""So many of the latest intervals between normal beats say what is usual."""
RECENT_S = 60.0
"""They count for so long."""
FEW = 3
"""With fewer, others do."""
SHORTEST_S, LONGEST_S = 0.3, 3.0
"""Intervals beyond are flutter, or a pause, and say nothing of what is usual."""
NORMAL, EARLY_CLASS = "N", "S"
AROUND = 12
"""Beats on either side that must be regular."""
UNREST = 0.10
"""Median change from which on they are not, as a share of the interval."""
HALF = 0.45, 0.55
"""Share of the usual interval that is half of it."""
USUAL_P = 0.7
"""Least correlation of a P wave that is the usual one."""


class UsualInterval:
    """What RR interval is usual now.

    The median over the latest intervals between normal beats; where there were few of late (bigeminy, a
    rhythm of the ventricles), over those that no early beat ended, however long ago. So a run of early beats
    never becomes what is usual.
    """

    def __init__(self) -> None:
        self._normal: deque[tuple[float, float]] = deque(maxlen=USUAL)
        """When each ended, and the interval."""
        self._others: deque[float] = deque(maxlen=USUAL)
        self._after_normal = False

    def push(self, beat: Beat, label: str) -> None:
        """Take the next beat that could be read."""
        rr_s = beat.rr_s
        if rr_s is not None and SHORTEST_S <= rr_s <= LONGEST_S and label != EARLY_CLASS:
            self._others.append(rr_s)
            if self._after_normal and label == NORMAL:
                self._normal.append((beat.time_s, rr_s))
        self._after_normal = label == NORMAL

    def pause(self) -> None:
        """A beat was passed over: the next interval does not follow on the one before."""
        self._after_normal = False

    def share(self, beat: Beat) -> float | None:
        """A beat's RR interval over the usual one; None where either is unknown."""
        known = [rr_s for at, rr_s in self._normal if at > beat.time_s - RECENT_S]
        if len(known) < FEW:
            known = list(self._others)
        if beat.rr_s is None or len(known) < FEW:
            return None
        return beat.rr_s / middle(known)


class EarlyRows:
    """Follows beats that come early in a row: they count where the first of them came at once."""

    def __init__(self) -> None:
        self._in_row = False
        self._rr_s: float | None = None
        """Interval before the latest beat."""

    def push(self, beat: Beat, share: float | None) -> bool:
        """Take the next beat and its share of the usual interval; whether it comes early in such a row."""
        before, self._rr_s = self._rr_s, beat.rr_s
        early = share is not None and share < EARLY
        at_once = before is None or (beat.rr_s is not None and beat.rr_s < EARLY * before)
        self._in_row = early and (self._in_row or at_once)
        return self._in_row

    def pass_over(self, beat: Beat) -> None:
        """The next beat is none that could be early."""
        self._in_row, self._rr_s = False, beat.rr_s


def unrest(beats: Iterable[BeatClass]) -> float:
    """Median change of an interval against the latest one between beats of the same two classes, as a share.

    Parameters
    ----------
    beats : in order; the interval before the first does not count. Intervals that touch beats of other
        classes than ``NORMAL`` and ``EARLY_CLASS`` are left out.

    Returns
    -------
    0 where there are fewer than ``FEW`` such changes.
    """
    latest: dict[str, float] = {}
    changes = []
    for one, other in pairwise(beats):
        kind, rr_s = one.label + other.label, other.beat.rr_s
        if not rr_s or not set(kind) <= {NORMAL, EARLY_CLASS}:
            continue
        length = log(rr_s)
        if kind in latest:
            changes.append(abs(length - latest[kind]))
        latest[kind] = length
    return middle(changes) if len(changes) >= FEW else 0.0


def ends_block(share: float, p_likeness: float) -> bool:
    """Whether a beat is the one that a block of every second beat would have left out."""
    return HALF[0] <= share <= HALF[1] and p_likeness >= USUAL_P
