"""Annotations as the comparisons see them: AAMI beat labels, excluded intervals, rhythms.

Times are samples at the reference's sampling rate.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from ecgedge.recordings.annotations import BEATS, RHYTHM, Annotation

WINDOW_S = 0.15
"""Two beats up to this far apart may be the same beat, in EC57's beat-by-beat comparison."""
SKIP_S = 300.0
"""EC57's learning period: the first five minutes of a record, before the test period; seconds."""

AAMI = {
    **dict.fromkeys("NLRB", "N"),
    **dict.fromkeys("AaJSejn", "S"),
    **dict.fromkeys("VEr", "V"),
    "F": "F",
    **dict.fromkeys("/fQ?", "Q"),
}
"""MIT beat code to class of EC57 (N, S, V, F, Q), after the convention of ``bxb``.

N: normal and bundle branch block. S: supraventricular ectopic, escape beats of the atria and the node
(``e``, ``j``, ``n``) included, which some papers count as N. V: ventricular ectopic and escape.
F: fusion of ventricular and normal. Q: paced, fusion with paced, unclassifiable. Every other code is no
beat; flutter waves (``!``) lie inside ventricular flutter, which is excluded.
"""

Interval = tuple[int, int]


Mark = Annotation
"""One annotation; its ``sample`` is at the reference's rate."""


def samples(seconds: float, rate_hz: float) -> int:
    """Return the nearest whole number of samples; halves go up, as the C tools round."""
    return int(seconds * rate_hz + 0.5)


def is_shutdown(mark: Mark) -> bool:
    """Whether a quality mark says that both signals are unreadable (bits 4 and 5 of its subtype)."""
    return mark.symbol == "~" and mark.subtype & 0x30 == 0x30


def has_beats(marks: Sequence[Mark]) -> bool:
    """Whether any mark is a beat."""
    return any(mark.symbol in BEATS for mark in marks)


def has_rhythm(marks: Sequence[Mark]) -> bool:
    """Whether any mark names a rhythm."""
    return any(is_rhythm(mark) for mark in marks)


def is_rhythm(mark: Mark) -> bool:
    """Whether a mark is a change of rhythm that names the rhythm."""
    return mark.symbol == RHYTHM and mark.aux.startswith("(")


@dataclass
class BeatTrack:
    """One annotator's beats and the intervals without."""

    times: list[int] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    flutter: list[Interval] = field(default_factory=list)
    """Ventricular flutter or fibrillation, ``[`` to ``]``, both ends included."""
    shutdown: list[Interval] = field(default_factory=list)
    """Where no signal could be read, both ends included."""


FOREVER = 2**62


def beat_track(marks: Sequence[Mark], window: int) -> BeatTrack:
    """Sort an annotator's marks into beats, ventricular flutter and shutdown, after ``bxb``.

    Beats inside ventricular flutter are left out. Shutdown runs from a mark that calls all signals
    unreadable to the next quality mark; where another mark follows directly (the AHA way of marking it),
    from ``window`` samples after the beat or flutter before to ``window`` before that next mark.
    """
    out = BeatTrack()
    at = 0
    while at < len(marks):
        mark = marks[at]
        at += 1
        if mark.symbol in AAMI:
            out.times.append(mark.sample)
            out.labels.append(AAMI[mark.symbol])
        elif mark.symbol == "[":
            while at < len(marks) and marks[at].symbol != "]":
                at += 1
            out.flutter.append((mark.sample, marks[at].sample if at < len(marks) else FOREVER))
            at += 1
        elif is_shutdown(mark):
            follower = marks[at] if at < len(marks) else None
            if follower is None:
                out.shutdown.append((mark.sample, FOREVER))
            elif follower.symbol == "~" and not is_shutdown(follower):
                out.shutdown.append((mark.sample, follower.sample))
                at += 1
            else:
                before = max(out.times[-1:] + [off for _, off in out.flutter[-1:]], default=0)
                end = follower.sample - window
                out.shutdown.append((min(before + window, end), end))
    return out


def inside(intervals: Sequence[Interval], time: int) -> bool:
    """Whether ``time`` lies in one of the sorted intervals, ends included."""
    at = bisect_right(intervals, (time, FOREVER)) - 1
    return at >= 0 and time <= intervals[at][1]
