"""Beats -> heart rate."""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ecgedge.messages import Beat

SPAN_S = 10.0
"""The rate is the median over the RR intervals that ended in these last seconds."""
STALE_S = 5.0
"""Without a beat for so long there is no rate to tell."""
_KEPT = 256  # beats; over half a minute at any heart rate, for readers that ask about the recent past


class HeartRate:
    """Heart rate over the last seconds; a median, so that one missed or extra beat does not move it."""

    def __init__(self) -> None:
        self._beats: deque[tuple[float, float | None]] = deque(maxlen=_KEPT)

    def push(self, beat: Beat) -> None:
        """Take the next beat, in order of time."""
        self._beats.append((beat.time_s, beat.rr_s))

    def bpm(self, time_s: float) -> float | None:
        """Beats per minute at a time; None with fewer than two intervals or no recent beat.

        Beats after ``time_s`` do not count, so the answer does not depend on how far ahead they came.
        """
        intervals: list[float] = []
        latest: float | None = None
        for at, rr in reversed(self._beats):
            if at > time_s:
                continue
            if latest is None:
                latest = at
            if at <= time_s - SPAN_S:
                break
            if rr is None:
                break  # what lies before a gap is another stretch
            intervals.append(rr)
        if latest is None or time_s - latest > STALE_S or len(intervals) < 2:
            return None
        return 60.0 / median(intervals)
