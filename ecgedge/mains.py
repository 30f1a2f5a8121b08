"""Raw samples -> hum of the mains, 50 or 60 Hz: measured every ten seconds, in the unit of the signal.

A tone of constant frequency stands in one line of the spectrum, heartbeats and muscle spread over all of
it; so the line is compared with the highest of its neighbourhood. A board that samples too slowly shows
mains at a mirrored frequency (60 Hz at 100 samples/s looks like 40 Hz). That is measured too, as long as
nothing else could look the same: at 100 samples/s, 50 Hz stands at the very edge of the spectrum, where its
height depends on chance, and is not claimed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ecgedge.errors import UsageError

if TYPE_CHECKING:
    import numpy.typing as npt

    from ecgedge.messages import Floats

    Complexes = npt.NDArray[np.complex128]

MAINS_HZ = (50.0, 60.0)
BLOCK_S = 10.0
DRIFT = 0.012
"""Share by which a line may be off its nominal frequency: mains wander by 0.4 %, boards' clocks by 1 %."""
LINE = 4.0
"""Times the highest neighbour from which a line is a tone."""
HIGH, LOW = 0.10, 0.05
"""Amplitude over the height of the QRS (8-35 Hz) from which hum is told, and below which it is gone."""
REPEATED = 2
"""Blocks in a row that a change takes."""
_LOWEST_HZ = 25.0  # a mirrored line below stands among the heartbeats
_EDGE_HZ = 1.5  # to half the sampling rate
_NEAR_HZ = 4.0  # neighbourhood on either side
_LOBE = 3  # lines to either side that belong to the tone under a Hann window (two, and one for drift)


@dataclass(frozen=True, slots=True)
class Hum:
    """What ten seconds of raw signal hold of the mains."""

    time_s: float
    """End of the block, seconds of the stream."""
    name: str
    """``50 Hz``, ``60 Hz``, or ``50 or 60 Hz`` where both would look alike; empty without a tone."""
    seen_hz: float
    """Where it stands in the spectrum; the true frequency unless ``mirrored``. 0 without a tone."""
    amplitude: float
    """Half of its peak-to-peak, in the unit of the signal; 0 without a tone."""
    mirrored: bool = False
    """True where the sampling rate is too low to hold the true frequency."""


@dataclass(frozen=True, slots=True)
class Line:
    """Where to look for what."""

    name: str
    hz: float
    reach_hz: float
    mirrored: bool


def lines(rate_hz: float) -> tuple[Line, ...]:
    """Which mains frequencies can be measured at a sampling rate, and where they stand."""
    found: list[Line] = []
    for mains_hz in MAINS_HZ:
        seen_hz = abs(mains_hz - rate_hz * round(mains_hz / rate_hz))
        line = Line(f"{mains_hz:g} Hz", seen_hz, DRIFT * mains_hz, mains_hz > rate_hz / 2)
        if not _LOWEST_HZ <= seen_hz <= rate_hz / 2 - _EDGE_HZ:
            continue
        alike = [f for f in found if abs(f.hz - seen_hz) < f.reach_hz + line.reach_hz]
        for other in alike:
            found.remove(other)
            line = Line("50 or 60 Hz", (other.hz + seen_hz) / 2, 2 * line.reach_hz, True)
        found.append(line)
    return tuple(found)


class MainsMeter:
    """Measures one stretch of raw signal.

    Parameters
    ----------
    time_s : stream time of its first sample, seconds
    rate_hz : samples per second

    Raises
    ------
    UsageError
        For a rate that is no rate.
    """

    def __init__(self, time_s: float, rate_hz: float) -> None:
        if not 0 < rate_hz < float("inf"):
            raise UsageError(f"a rate of {rate_hz} samples/s", "more than 0")
        self._time_s, self._rate = time_s, rate_hz
        self._lines = lines(rate_hz)
        self._block: Floats = np.empty(max(16, round(BLOCK_S * rate_hz)))
        self._have = 0
        self._window = np.hanning(self._block.size + 1)[:-1]
        self._scale = 2 / self._window.sum()
        self._places = np.arange(self._block.size, dtype=np.float64)
        self._done = 0

    @property
    def due(self) -> int | None:
        """Samples of the stretch with which the next finding is there; None at a rate that tells nothing."""
        return self._done + self._block.size if self._lines else None

    def push(self, values: Floats) -> list[Hum]:
        """Take raw values, shape (n,), float64; one finding each ten seconds, none below a usable rate."""
        if not self._lines:
            return []
        out: list[Hum] = []
        at = 0
        while at < values.size:
            n = min(values.size - at, self._block.size - self._have)
            self._block[self._have : self._have + n] = values[at : at + n]
            self._have += n
            at += n
            if self._have == self._block.size:
                self._done += self._have
                self._have = 0
                out.append(self._measure())
        return out

    def _measure(self) -> Hum:
        x, n = self._block, self._block.size
        first, last = float(x[0]), float(x[-1])
        x = x - (self._places * ((last - first) / (n - 1)) + first)
        x -= np.add.reduce(x) / n
        spectrum = np.fft.rfft(x * self._window)
        end_s = self._time_s + self._done / self._rate
        best = Hum(end_s, "", 0.0, 0.0)
        for line in self._lines:
            hz, amplitude = self._tone(spectrum, line)
            if amplitude > best.amplitude:
                best = Hum(end_s, line.name, hz, amplitude, line.mirrored)
        return best

    def _tone(self, spectrum: Complexes, line: Line) -> tuple[float, float]:
        """Frequency and amplitude of the tone near a line; zeros where none stands out."""
        step = self._rate / self._block.size
        first = max(_LOBE, int(np.ceil((line.hz - line.reach_hz) / step)))
        last = min(spectrum.size - _LOBE - 1, int((line.hz + line.reach_hz) / step))
        if last < first:
            return 0.0, 0.0
        reach = max(round(_NEAR_HZ / step), _LOBE)
        begin = max(0, first - reach)
        # Amplitude of a sine in the unit of the signal at the top of its line.
        heights = np.abs(spectrum[begin : last + reach + 1]) * self._scale
        peak = first - begin + int(heights[first - begin : last - begin + 1].argmax())
        below = heights[max(0, peak - reach, 1 - begin) : peak - _LOBE]
        above = heights[peak + _LOBE + 1 : peak + reach + 1]
        around = max(float(part.max()) for part in (below, above) if part.size)
        lobe = heights[peak - _LOBE : peak + _LOBE + 1]
        # The power under a Hann window's lobe is 1.5 times that of its top bin when the tone is centred;
        # the sum is the same wherever between two bins it stands, and for one that wanders a little.
        amplitude = float(np.sqrt(np.square(lobe).sum() / 1.5))
        if amplitude <= 0 or amplitude < LINE * around:
            return 0.0, 0.0
        weights = np.square(lobe)
        centre = float(
            (weights * np.arange(begin + peak - _LOBE, begin + peak + _LOBE + 1)).sum() / weights.sum()
        )
        return centre * step, amplitude


class MainsWatch:
    """Says when hum is high beside the QRS, and when it is gone."""

    def __init__(self) -> None:
        self.hum: Hum | None = None
        """The latest finding with a tone; None when the latest had none, or none was made yet."""
        self.share = 0.0
        """Its amplitude over the height of the QRS."""
        self._told = ""
        self._differs = 0

    def pause(self) -> None:
        """The signal ended: what was measured is over, what was told stands until it is measured again."""
        self.hum, self.share, self._differs = None, 0.0, 0

    @property
    def is_high(self) -> bool:
        """Whether the latest finding stands, and hum has been told and has not gone since."""
        return bool(self._told) and self.hum is not None

    def push(self, hum: Hum, qrs_height: float | None, in_mv: bool) -> str:
        """Take the next finding; return a notice, empty where there is no news.

        Parameters
        ----------
        hum : finding
        qrs_height : median height of the QRS in the same unit; None without beats, which leaves it open
        in_mv : whether that unit is millivolt
        """
        self.hum = hum if hum.name else None
        if hum.name and not qrs_height:
            return ""
        self.share = hum.amplitude / qrs_height if qrs_height else 0.0
        now = hum.name if self.share >= (LOW if self._told == hum.name else HIGH) else ""
        self._differs = self._differs + 1 if now != self._told else 0
        if self._differs < REPEATED:
            return ""
        before, self._told, self._differs = self._told, now, 0
        if not now:
            return f"{before} mains hum is gone"
        return f"{self.words(in_mv)}: keep the leads away from power cords and chargers, or run on a battery"

    def words(self, in_mv: bool) -> str:
        """The latest finding, for a person."""
        if self.hum is None:
            return ""
        size = f"{self.hum.amplitude:.2g} mV, " if in_mv else ""
        seen = f", seen at {self.hum.seen_hz:.1f} Hz" if self.hum.mirrored else ""
        return f"mains hum at {self.hum.name} ({size}{100 * self.share:.0f} % of the QRS{seen})"
