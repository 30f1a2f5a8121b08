"""Signal of 8-35 Hz -> heartbeats, causally, a few tenths of a second behind.

Motion of the electrodes is strongest at low frequencies, where T and P waves are too; the band
leaves most of them behind and keeps the steep part of the QRS. Being wide, it needs only short filters.

The envelope (amplitude plus slope, summed over about the length of a QRS) has one hump per beat. Its
local maxima are candidates; which of them are beats is decided in order, by a threshold between the
running levels of beats and of noise, a refractory time, the slope (T waves are slower than the QRS before
them) and a look back where a beat is overdue. The scheme of thresholds goes back to Pan & Tompkins, IEEE
Trans. Biomed. Eng. 32 (1985); envelope, figures and the rules for P waves, spikes and silence are this
project's own.

Where the noise is high against the beats, a logistic score takes the threshold's place: height, slope,
agreement with the running shape of this patient's QRS, time since the last beat, and the noise itself. Its
weights were fitted on every other record of the MIT-BIH Arrhythmia Database with the second half of the
electrode-motion noise of the Noise Stress Test Database; ``benchmarks.beats`` reports on the first half of
the noise, and on the other records by themselves.

Everything before the decisions is element-wise (shifted sums and maxima of fixed order), so that results
are bit-equal however the signal was cut. Decisions run once per candidate, not once per sample. No figure
depends on the unit or polarity of the signal.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge.messages import Beat

if TYPE_CHECKING:
    import numpy.typing as npt

    from ecgedge.messages import Floats, Signal32

RATE_HZ = 200.0
BAND: dict[str, Any] = {"version": 1, "rate_hz": RATE_HZ, "highpass_hz": 8.0, "lowpass_hz": 35.0}
"""Conditioning that the detector's input must have gone through."""

# Times in samples of 5 ms.
_SLOPE = 2  # slope: difference over twice this
_SUM = 14  # envelope: sum over this many samples on either side
_RULE = 14  # a candidate is the highest of this many on either side
_LOOK = _SLOPE + _SUM + _RULE  # samples past a candidate that must be there before it is one
_REFRACTORY = 40
_T_WAVE = 64  # within this time after a beat, a candidate of less than _T_SLOPE of its slope is its T wave
_P_WAVE = 44  # a low, early candidate waits so long for a higher one: then it was a P wave
_LEARN = 600  # signal at the start from which the first levels are taken
_SILENCE = 800  # after this time without a beat the level of beats sinks

_THRESHOLD = 0.40  # of the way from the noise level to the beat level
_BACK_AFTER = 1.75  # RR intervals after which a beat is overdue
_BACK_THRESHOLD = 0.60  # share of the threshold that is enough then
_T_SLOPE = 0.7
_LOW, _EARLY, _HIGHER = 0.9, 1.05, 1.1  # of beat level, of RR interval, times the candidate
_ALIKE = 0.97  # agreement with the shape of a QRS from which there is no need to wait
_CAP = 1.2  # one beat counts for no more than this times the level of beats
_SPIKE = 8.0  # times the level of beats: an artefact, unless it comes again
_SPIKES = 3  # so many within _SPIKE_SPAN are a new level
_SPIKE_SPAN = 1000
_NOISE_GAIN = 0.125
_SINK = 0.7  # factor per second of silence
_FLOOR = 3.0  # the level of beats stays above this times that of noise
_NOISY = 0.35  # noise over level of beats from which the score decides
_CUT, _BACK_CUT = -1.0, -2.5  # log odds that make a beat, and one that is overdue
_SHAPE = 16  # the shape of a QRS reaches so far on either side of its peak
_SHAPE_GAIN, _SHAPE_GAIN_NOISY = 0.06, 0.01
_QUIET = 0.3  # noise over level of beats up to which the shape is learned at the greater gain
_SIDE = 1.3  # an R peak is on the other side of zero than most only if it is so much higher there
_WEIGHTS = (
    2.35,
    2.40,
    3.71,
    -4.01,
    -0.60,
    -7.04,
    -1.26,
    -4.93,
    -0.27,
    -2.84,
    2.63,
    -2.03,
    3.40,
    6.30,
)
"""Of 1; height h and slope s (log of the ratio to those of beats), agreement c (0-1) with the shape, noise n
(over the level of beats), earliness e and lateness (log of the RR interval's share); h n, s n, c n, e n,
h h, e e, c c."""
_KEPT = 8  # beats and intervals whose median is the level, the rhythm

_ONES = np.ones(2 * _SHAPE + 1)
_TINY = 1e-300
_AROUND = np.arange(2 * _LOOK + 1)
_STEEP = np.arange(-12, 13) + _LOOK - _SLOPE


@dataclass(frozen=True, slots=True)
class _Candidate:
    at: int
    height: float
    slope: float
    extremes: tuple[tuple[int, float], tuple[int, float]]  # places and values of the highest and lowest point
    around: Floats  # signal _LOOK on either side


class RPeakDetector:
    """Beats of one stretch.

    A beat is given out at most ``delay_s`` after its R peak went in (``delay_low_s`` for an early, low one
    of unusual shape that might be a P wave; later where it is found looking back, and in the first 3 s).

    Parameters
    ----------
    first : stream sample at which the stretch begins
    time_s : its time in seconds
    rate_in_hz : the stream's samples per second; beats are told in these
    in_mv : whether the signal is in millivolt, so that heights mean something
    """

    delay_s = (_LOOK + _SUM) / RATE_HZ
    delay_low_s = (_LOOK + _SUM + _P_WAVE) / RATE_HZ

    def __init__(self, first: int, time_s: float, rate_in_hz: float, in_mv: bool = True) -> None:
        self._first, self._time_s, self._rate, self._in_mv = first, time_s, rate_in_hz, in_mv
        self._signal: Floats = np.zeros(_LOOK)  # from _LOOK before the next sample to search
        self._searched = 0  # no candidate before this sample is unknown
        self._last_candidate = -_LOOK
        self._waiting: list[_Candidate] = []  # not yet decided
        self._refused: list[_Candidate] = []  # since the last beat, for looking back
        self._told = _LEARN + _LOOK  # samples of the signal after which decisions were made so far
        self._learned = False
        self._heights: list[float] = []
        self._level = 0.0
        self._noise = 0.0
        self._intervals: list[int] = []
        self._interval = 160.0
        self._spikes: list[tuple[int, float]] = []
        self._beat: _Candidate | None = None  # the last one; _anchor may be the R after a P taken for it
        self._anchor: _Candidate | None = None
        self._sunk_to = 0
        self._beat_sample: int | None = None
        self._scores: dict[int, float] = {}  # of the refused, by place
        self._shape: Floats | None = None  # of a QRS, at unit energy
        self._steep = 0.0  # slope of beats
        self._side = 0.0  # near 1 where R peaks are mostly positive, near -1 where negative

    def push(self, signal: Signal32) -> list[Beat]:
        """Take signal in ``BAND``, shape (n,), float32, at 200 Hz; return the beats that are certain."""
        return [beat for _, beat in self.push_timed(signal)]

    def push_timed(self, signal: Signal32) -> list[tuple[int, Beat]]:
        """The same, each beat after the number of samples of the signal that made it certain."""
        self._search(signal.astype(np.float64))
        return self._decide(final=False)

    def finish(self) -> list[Beat]:
        """End of the stretch: decide what is still open."""
        self._search(np.zeros(_LOOK))
        return [beat for _, beat in self._decide(final=True)]

    # -- candidates -----------------------------------------------------------------------------------

    def _search(self, signal: Floats) -> None:
        """Find the local maxima of the envelope as far as they are certain."""
        y = self._signal = np.concatenate((self._signal, signal))
        n = y.size - 2 * _LOOK  # so many more samples can be searched
        if n <= 0:
            return
        slope = np.abs(y[2 * _SLOPE :] - y[: -2 * _SLOPE])
        envelope = _sum29(slope + np.abs(y[_SLOPE:-_SLOPE]))
        middle = envelope[_RULE:-_RULE]
        found = []
        for i in np.flatnonzero((middle >= _max29(envelope)) & (middle > 0)).tolist():
            if self._searched + i - self._last_candidate > _RULE:  # of a plateau, the first of equals rules
                self._last_candidate = self._searched + i
                found.append(i)
        if found:
            self._waiting += _candidates(np.array(found), self._searched, y, slope, middle)
        self._searched += n
        self._signal = y[n:]

    # -- decisions ------------------------------------------------------------------------------------

    def _decide(self, final: bool) -> list[tuple[int, Beat]]:
        if not self._learned:
            if self._searched < _LEARN and not final:
                return []
            self._learn()
        out: list[tuple[int, Beat]] = []
        done = 0
        for candidate in self._waiting:
            self._told = max(self._told, candidate.at + _LOOK + 1)
            # These two may be run again for a candidate that has to wait: they change nothing then.
            out += [(self._told, beat) for beat in self._look_back(candidate.at)]
            self._sink(candidate.at)
            doubtful = self._might_be_p_wave(candidate)
            if doubtful:
                if self._searched <= candidate.at + _P_WAVE and not final:
                    break
                self._told = max(self._told, candidate.at + _P_WAVE + _LOOK + 1)
            done += 1
            if self._is_beat(candidate, self._waiting[done : done + 4] if doubtful else []):
                out.append((self._told, self._accept(candidate)))
        del self._waiting[:done]
        return out

    def _learn(self) -> None:
        """First level of beats: the middle one of the highest humps of the first three seconds."""
        highest = [0.0, 0.0, 0.0]
        for c in self._waiting:
            if c.at < _LEARN:
                second = c.at * 3 // _LEARN
                highest[second] = max(highest[second], c.height)
        level = median(highest) or max(highest)
        self._heights = [level] * _KEPT
        self._level, self._noise = level, 0.1 * level
        self._learned = bool(self._waiting)

    def _since(self, at: int) -> int:
        return at - self._anchor.at if self._anchor is not None else 1 << 30

    def _threshold(self) -> float:
        return self._noise + _THRESHOLD * (self._level - self._noise)

    def _might_be_p_wave(self, c: _Candidate) -> bool:
        """Whether to wait for what follows."""
        if c.height >= _LOW * self._level or self._since(c.at) >= _EARLY * self._interval:
            return False
        return self._agreement(c) < _ALIKE

    def _is_beat(self, c: _Candidate, following: list[_Candidate]) -> bool:
        since = self._since(c.at)
        if since <= _REFRACTORY:
            anchor = self._anchor
            assert anchor is not None
            if c.height > anchor.height:  # what was taken for the beat was the P wave before it
                self._heights[-1] = min(c.height, 3 * self._level)
                self._level = median(self._heights)
                self._anchor = c
            return False
        if c.height > _SPIKE * self._level and not self._repeated(c):
            return False
        if self._noisy():
            score = self._scores[c.at] = self._score(c, since)
            beat = score > _CUT
        else:
            beat = c.height > self._threshold()
            if beat and since < _T_WAVE and self._anchor is not None:
                beat = c.slope >= _T_SLOPE * self._anchor.slope
        if beat and any(o.at - c.at <= _P_WAVE and o.height > _HIGHER * c.height for o in following):
            return False
        if not beat:
            self._refused.append(c)
            self._noise += _NOISE_GAIN * (min(c.height, self._level) - self._noise)
        return beat

    def _noisy(self) -> bool:
        return self._noise > _NOISY * self._level

    def _score(self, c: _Candidate, since: int) -> float:
        """Log odds that a candidate is a beat, for noisy signal."""
        h = log(c.height / self._level + 1e-9)
        s = log(c.slope / (self._steep or c.slope or 1.0) + 1e-9)
        r = log(min(since, _SILENCE) / self._interval)
        a = self._agreement(c)
        n = min(self._noise / self._level, 1.5)
        e = max(0.0, -r)
        terms = (1.0, h, s, a, n, e, max(0.0, r), h * n, s * n, a * n, e * n, h * h, e * e, a * a)
        return sum(w * x for w, x in zip(_WEIGHTS, terms, strict=True))

    def _agreement(self, c: _Candidate) -> float:
        """Highest correlation of the shape of a QRS with the signal around a candidate."""
        if self._shape is None:
            return 0.0
        energy = np.correlate(c.around * c.around, _ONES, "valid")
        return float((np.correlate(c.around, self._shape, "valid") / np.sqrt(energy + _TINY)).max())

    def _learn_shape(self, c: _Candidate, peak: int) -> None:
        """Blend a beat into the shape of a QRS and its slope."""
        k = peak - c.at + _LOOK
        piece = c.around[k - _SHAPE : k + _SHAPE + 1]
        energy = float(np.dot(piece, piece))
        if energy <= 0:
            return
        gain = _SHAPE_GAIN if self._noise < _QUIET * self._level else _SHAPE_GAIN_NOISY
        shape = piece / sqrt(energy)
        if self._shape is not None:
            shape = (1 - gain) * self._shape + gain * shape
            shape /= sqrt(float(np.dot(shape, shape)))
        self._shape = shape
        steep = self._steep or c.slope
        self._steep = steep + 0.125 * (min(c.slope, 1.5 * steep) - steep)

    def _peak(self, c: _Candidate) -> tuple[int, float]:
        """Place and value of the R peak: the farthest from zero, on the usual side."""
        (up, high), (down, low) = c.extremes
        bar = _SIDE if self._side > 0 else 1 / _SIDE if self._side < 0 else 1.0
        positive = high * bar >= -low
        self._side += 0.1 * ((1.0 if positive else -1.0) - self._side)
        return (up, high) if positive else (down, low)

    def _repeated(self, c: _Candidate) -> bool:
        """Whether a hump far too high has come so often that it is the new level."""
        self._spikes = [s for s in self._spikes if c.at - s[0] < _SPIKE_SPAN]
        self._spikes.append((c.at, c.height))
        if len(self._spikes) < _SPIKES:
            return False
        self._level = median(height for _, height in self._spikes)
        self._heights = [self._level] * _KEPT
        self._spikes = []
        return True

    def _sink(self, at: int) -> None:
        """Without beats for long, the level follows what is there, but stays clear of the noise."""
        start = (self._anchor.at if self._anchor is not None else 0) + _SILENCE
        self._sunk_to = max(self._sunk_to, start)
        while at - self._sunk_to >= RATE_HZ:
            self._sunk_to += int(RATE_HZ)
            level = max(_SINK * self._level, min(self._level, _FLOOR * self._noise))
            if self._level > 0:
                self._steep *= level / self._level
            self._level = level
            self._heights = [self._level] * _KEPT
            self._refused = [r for r in self._refused if at - r.at < 2 * _SILENCE]

    def _look_back(self, at: int) -> list[Beat]:
        """A beat is overdue: the highest of the refused, if it is not far below the threshold."""
        out: list[Beat] = []
        while self._beat is not None and self._refused:
            if self._since(at) <= _BACK_AFTER * self._interval:
                break
            if self._noisy():
                best = max(self._refused, key=lambda c: self._scores.get(c.at, _BACK_CUT - 1.0))
                enough = self._scores.get(best.at, _BACK_CUT - 1.0) >= _BACK_CUT
            else:
                best = max(self._refused, key=lambda c: c.height)
                enough = best.height >= _BACK_THRESHOLD * self._threshold()
            if not enough:
                break
            later = [c for c in self._refused if c.at > best.at + _REFRACTORY]
            out.append(self._accept(best, found_back=True))
            self._refused = later
        return out

    def _accept(self, c: _Candidate, found_back: bool = False) -> Beat:
        if self._beat is not None and not found_back:
            self._intervals = [*self._intervals[1 - _KEPT :], self._since(c.at)]
            self._interval = median(self._intervals)
        self._beat = self._anchor = c
        self._refused = []
        peak, value = self._peak(c)
        self._learn_shape(c, max(c.extremes, key=lambda p: abs(p[1]))[0])
        self._scores = {}
        self._heights = [*self._heights[1:], min(c.height, _CAP * self._level)]
        self._level = median(self._heights)
        sample = self._first + round(peak * self._rate / RATE_HZ)
        before, self._beat_sample = self._beat_sample, sample
        return Beat(
            sample=sample,
            time_s=self._time_s + (sample - self._first) / self._rate,
            rr_s=None if before is None else (sample - before) / self._rate,
            height=value,
            in_mv=self._in_mv,
        )


def _candidates(
    places: npt.NDArray[np.intp], base: int, y: Floats, slope: Floats, heights: Floats
) -> list[_Candidate]:
    """What is known of the humps at some places of the signal, all at once; ``base`` is its first sample."""
    around = y[places[:, None] + _AROUND]
    near = around[:, _LOOK - _SUM : _LOOK + _SUM + 1]
    steep = slope[places[:, None] + _STEEP].max(axis=1).tolist()
    sides = []
    for side in (near.argmax(axis=1), near.argmin(axis=1)):
        values = near[np.arange(places.size), side]
        sides.append(list(zip((places + base + side - _SUM).tolist(), values.tolist(), strict=True)))
    rows = zip((places + base).tolist(), heights[places].tolist(), steep, *sides, around, strict=True)
    return [_Candidate(at, height, s, (up, down), piece) for at, height, s, up, down, piece in rows]


def _sum29(x: Floats) -> Floats:
    """Sum of 29 consecutive values, always in the same order; shape (n - 28,)."""
    two = x[1:] + x[:-1]
    four = two[2:] + two[:-2]
    eight = four[4:] + four[:-4]
    sixteen = eight[8:] + eight[:-8]
    n = x.size - 28
    return np.asarray((sixteen[:n] + eight[16 : 16 + n]) + (four[24 : 24 + n] + x[28:]))


def _max29(x: Floats) -> Floats:
    """Highest of 29 consecutive values; shape (n - 28,)."""
    two = np.maximum(x[1:], x[:-1])
    four = np.maximum(two[2:], two[:-2])
    eight = np.maximum(four[4:], four[:-4])
    sixteen = np.maximum(eight[8:], eight[:-8])
    n = x.size - 28
    return np.asarray(np.maximum(sixteen[:n], sixteen[13 : 13 + n]))
