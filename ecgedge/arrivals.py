"""The clock by which live ports tell when bytes arrived; a replay's arrival times are on a virtual one."""

from __future__ import annotations

import time


def now_s() -> float:
    """Seconds on the clock of arrival times: nobody sets it, and it goes on while the machine sleeps."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()
