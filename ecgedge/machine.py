"""The machine that figures were measured on, as far as they depend on it."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

SYSTEM = Path("/sys")
PROCESSES = Path("/proc")
_THROTTLING = {
    0: "under-voltage now",
    1: "frequency capped now",
    2: "throttled now",
    3: "soft temperature limit now",
    16: "under-voltage since boot",
    17: "frequency capped since boot",
    18: "throttled since boot",
    19: "soft temperature limit since boot",
}
"""Bits of a Raspberry Pi's ``get_throttled`` (Raspberry Pi documentation, vcgencmd)."""


def facts() -> dict[str, Any]:
    """Processor, cores (all, and those this process may use), load, system, Python."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "cores_used": usable,
        "load_average": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def condition() -> dict[str, Any]:
    """What changes a machine's speed from hour to hour; None where it does not tell.

    ``governor`` of the first core, ``clock_mhz`` now, ``temperature_c`` of the first thermal zone, and
    ``throttling`` of a Raspberry Pi, in words.
    """
    frequency = SYSTEM / "devices/system/cpu/cpu0/cpufreq"
    clock = _number(frequency / "scaling_cur_freq")
    heat = _number(SYSTEM / "class/thermal/thermal_zone0/temp")
    return {
        "governor": _text(frequency / "scaling_governor"),
        "clock_mhz": None if clock is None else round(clock / 1000),
        "temperature_c": None if heat is None else round(heat / 1000, 1),
        "throttling": _throttling(),
    }


def resident_mb() -> float | None:
    """Memory of this process that is in RAM, 10**6 bytes; None where the system does not tell."""
    try:
        lines = (PROCESSES / "self/status").read_text(encoding="ascii").splitlines()
        return round(int(next(line.split()[1] for line in lines if line.startswith("VmRSS:"))) * 1024e-6, 1)
    except (OSError, StopIteration, ValueError):
        return None


class Energy:
    """The energy counter of the processor package (powercap), where there is one that may be read."""

    def __init__(self) -> None:
        zone = SYSTEM / "class/powercap/intel-rapl:0"
        self._counter, self._range = zone / "energy_uj", _number(zone / "max_energy_range_uj")
        self._begin = _number(self._counter)

    def joules(self) -> float | None:
        """Joules since this object was made; None without a counter."""
        now = _number(self._counter)
        if now is None or self._begin is None:
            return None
        spent = now - self._begin
        return (spent if spent >= 0 else spent + (self._range or 0)) / 1e6


def _cpu() -> str:
    """Name of the processor, or of the board where the processor does not tell."""
    try:
        for line in (PROCESSES / "cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
        return (PROCESSES / "device-tree/model").read_text(encoding="utf-8").strip("\0 \n")
    except OSError:
        return platform.processor() or "unknown"


def _throttling() -> list[str] | None:
    """What slows a Raspberry Pi down, by its firmware; None on other machines."""
    try:
        told = subprocess.run(["vcgencmd", "get_throttled"], capture_output=True, text=True, timeout=2)
        bits = int(told.stdout.strip().partition("=")[2], 16)
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None
    return [words for bit, words in _THROTTLING.items() if bits >> bit & 1]


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None


def _number(path: Path) -> float | None:
    try:
        return float(_text(path) or "")
    except ValueError:
        return None
