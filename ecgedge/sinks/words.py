"""Times and shares as people read them."""

from __future__ import annotations


def clock_time(seconds: float) -> str:
    """Return seconds as ``m:ss.s``, or ``h:mm:ss`` from one hour on."""
    if seconds < 3600:
        tenths = round(seconds * 10)
        return f"{tenths // 600}:{tenths % 600 / 10:04.1f}"
    whole = round(seconds)
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"


def percent(share: float) -> str:
    """Return a share (0-1) in per cent; near the ends with a decimal, so that few never reads as none."""
    value = 100.0 * share
    if value in (0.0, 100.0) or 9.95 <= value < 99.0:
        return f"{value:.0f} %"
    return f"{min(max(value, 0.1), 99.9):.1f} %"
