"""Conditioned signal of a stretch -> windows of a bundle's length and hop.

The rule is the same in training, ``classify`` and the live stream:

* full windows of ``length_s`` begin every ``hop_s`` from the start of the stretch;
* before the first full one, a provisional window of what is there comes at ``minimum_s`` and then every hop;
* when the stretch ends between two hops, one last window covers its last ``length_s``;
* a stretch between ``minimum_s`` and ``length_s`` long gives its whole as one window (not provisional);
  a shorter one gives none. ``features`` pads.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from ecgedge.errors import BundleError
from ecgedge.messages import Window

if TYPE_CHECKING:
    from ecgedge.messages import Signal32


LONGEST_S = 3600.0


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """How a bundle wants its windows cut; seconds, and samples per second of the conditioned signal.

    Raises
    ------
    BundleError
        For figures that no window can have.
    """

    rate_hz: float
    length_s: float
    hop_s: float
    minimum_s: float

    def __post_init__(self) -> None:
        either = (self.hop_s, self.minimum_s)
        fits = all(s * self.rate_hz >= 1 and s <= self.length_s <= LONGEST_S for s in either)
        if not (fits and isfinite(self.rate_hz)):
            raise BundleError(
                f"{self}",
                f"hop and minimum from one sample to the length, which is {LONGEST_S:g} s at most",
            )


class Windower:
    """Cuts one stretch into windows.

    Parameters
    ----------
    spec : the bundle's window
    first : stream sample of the stretch's first sample
    time_s : its time in seconds
    rate_in_hz : stream samples per second, to give windows their stream samples
    """

    def __init__(self, spec: WindowSpec, first: int, time_s: float, rate_in_hz: float) -> None:
        self._spec = spec
        self._first = first
        self._time_s = time_s
        self._rate_in = rate_in_hz
        self._length = round(spec.length_s * spec.rate_hz)
        self._hop = round(spec.hop_s * spec.rate_hz)
        self._minimum = round(spec.minimum_s * spec.rate_hz)
        self._signal: Signal32 = np.empty(0, dtype=np.float32)
        self._bridges: list[tuple[int, int]] = []  # conditioned samples that bridge gaps, from and to
        self._base = 0  # conditioned sample at the buffer's start
        self._next = 0  # where the next full window begins
        self._early = self._minimum  # length at which the next provisional window is due

    @property
    def due(self) -> int:
        """Samples of the stretch with which the next window is complete."""
        early = self._next == 0 and self._early < self._length
        return self._early if early else self._next + self._length

    def bridge(self, begin: int, end: int) -> None:
        """Samples ``begin`` to before ``end`` of the stretch, which are still to come, bridge a gap."""
        self._bridges.append((begin, end))

    def push(self, signal: Signal32) -> list[Window]:
        """Take conditioned signal, shape (n,)."""
        self._signal = np.concatenate((self._signal, signal))
        total = self._base + self._signal.size
        out: list[Window] = []
        while self._next == 0 and self._early < self._length and total >= self._early:
            out.append(self._window(0, self._early, provisional=True))
            self._early += self._hop
        while total >= self._next + self._length:
            out.append(self._window(self._next, self._length, provisional=False))
            self._next += self._hop
        # One hop before the next window stays, for a last window that ends with the stretch.
        drop = max(0, self._next - self._hop - self._base)
        self._signal = self._signal[drop:]
        self._base += drop
        if self._bridges:
            self._bridges = [bridge for bridge in self._bridges if bridge[1] > self._base]
        return out

    def finish(self) -> list[Window]:
        """Give the last window, if the stretch has a part that no full window covered."""
        total = self._base + self._signal.size
        covered = self._next - self._hop + self._length if self._next else 0
        if total <= covered or total < self._minimum:
            return []
        n = min(total, self._length)
        return [self._window(total - n, n, provisional=False)]

    def _window(self, begin: int, n: int, *, provisional: bool) -> Window:
        ratio = self._rate_in / self._spec.rate_hz
        inside = slice(begin - self._base, begin - self._base + n)
        bridged = sum(max(0, min(end, begin + n) - max(start, begin)) for start, end in self._bridges)
        return Window(
            first=self._first + round(begin * ratio),
            last=self._first + round((begin + n) * ratio),
            time_s=self._time_s + begin / self._spec.rate_hz,
            seconds=n / self._spec.rate_hz,
            signal=self._signal[inside].copy(),
            rate_hz=self._spec.rate_hz,
            filled=bridged / n,
            provisional=provisional,
        )
