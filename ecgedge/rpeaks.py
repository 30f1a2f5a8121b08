"""Signal of 10-35 Hz -> heartbeats, causally, a few tenths of a second behind.

Motion of the electrodes is strongest at low frequencies, where T and P waves are too; the band leaves most of
them behind and keeps the steep part of the QRS. Its edges are gentle, so that its filters are short.

The humps of the envelope (``ecgedge.humps``) are candidates; which are beats is decided in order, by a
threshold between the running levels of beats and of noise, a refractory time, the slope (T waves are slower
than the QRS before them) and a look back where a beat is overdue. The scheme of thresholds goes back to Pan &
Tompkins, IEEE Trans. Biomed. Eng. 32 (1985); the figures and the rules for P waves, spikes and silence are
this project's own. A candidate that might be a P wave waits for 100 ms more of the envelope, no longer: the
QRS that follows a P wave has risen above it by then.

Where the noise is high against the beats, a logistic score takes the threshold's place, and every candidate
waits so long: height, slope, agreement with the running shape of this patient's QRS, what follows, time since
the last beats and how sure the last one was, and the noise itself. What was taken for a beat there may have
been noise just before one: a candidate that would have been a better beat is given out as well, be it within
the refractory time. ``ecgedge.training.beat_score`` fits the weights, on CinC 2017 records with noise.

Decisions run once per candidate, not once per sample, and never depend on how the signal was cut. No figure
depends on the unit or polarity of the signal.

After a beat nothing is told until 0.5 s after its hump, unless there is noise: a beat that follows so soon is
told within half a second all the same. Until then the signal may be held back, and be worked off in one go: a
third of the detector's cost.
"""

from __future__ import annotations

from math import inf, log, sqrt
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ecgedge.humps import LOOK, RULE, SUM, Hump, Humps
from ecgedge.messages import Beat
from ecgedge.order import middle

if TYPE_CHECKING:
    from ecgedge.messages import Floats, Signal32

RATE_HZ = 200.0
BAND: dict[str, Any] = {"version": 2, "rate_hz": RATE_HZ, "highpass_hz": 10.0, "lowpass_hz": 35.0}
"""Conditioning that the detector's input must have gone through."""

# Times in samples of 5 ms.
_REFRACTORY = 40
_T_WAVE = 64  # within this time after a beat, a candidate of less than _T_SLOPE of its slope is its T wave
_AHEAD = 34  # so far past a doubtful candidate the envelope is looked at
_WAIT = _AHEAD - RULE  # beyond what makes it one
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
_LONGEST_BACK = 1600  # a refused candidate is no beat any more after so long
_BACK_CUT = -1.5  # an overdue beat may be so much less sure
_SHAPE = 16  # the shape of a QRS reaches so far on either side of its peak
_SHAPE_GAIN, _SHAPE_GAIN_NOISY = 0.06, 0.01
_QUIET = 0.3  # noise over level of beats up to which the shape is learned at the greater gain
_SIDE = 1.3  # an R peak is on the other side of zero than most only if it is so much higher there
_SURER = 0.5  # by so much a candidate within the refractory time must surpass the beat before it
_SURE, _LEAST_SURE = 6.0, -3.0  # log odds of a beat above the threshold, and the least that count
_LEAST, _MOST = -1.5, 0.7  # bounds of the logarithms of height and slope
_REST = 100  # after a beat nothing is told for so long from its hump on, unless there is noise
_SAME_S = 0.07  # R peaks of two humps that are no farther apart are one, and the first has been told
_BRIEF_S = 1.0  # of a shorter stretch nothing tells whether its highest hump is a beat
_KEPT = 8  # beats and intervals whose median is the level, the rhythm

_ONES = np.ones(2 * _SHAPE + 1)
_TINY = 1e-300


class RPeakDetector:
    """Beats of one stretch.

    A beat is given out at most ``delay_s`` after its R peak went in (``delay_low_s`` under noise, and for an
    early, low one of unusual shape that might be a P wave; later where it follows at once on another or is
    found looking back, and in the first 3 s).

    Parameters
    ----------
    first : stream sample at which the stretch begins
    time_s : its time in seconds
    rate_in_hz : the stream's samples per second; beats are told in these
    in_mv : whether the signal is in millivolt, so that heights mean something
    """

    delay_s = (LOOK + SUM) / RATE_HZ
    delay_low_s = (LOOK + SUM + _WAIT) / RATE_HZ
    weights: ClassVar[tuple[float, ...]] = (
        -0.81,
        2.45,
        1.59,
        2.24,
        -2.32,
        -4.89,
        -2.14,
        3.21,
        0.06,
        -1.99,
        -1.54,
        -1.41,
        -5.11,
    )
    """Of the terms of the score, in their order."""
    cut: ClassVar[float] = -1.5
    """Log odds that make a beat."""

    def __init__(self, first: int, time_s: float, rate_in_hz: float, in_mv: bool = True) -> None:
        self._first, self._time_s, self._rate, self._in_mv = first, time_s, rate_in_hz, in_mv
        self._humps = Humps()
        self._waiting: list[Hump] = []  # not yet decided
        self._refused: list[Hump] = []  # since the last beat, for looking back
        self._told = _LEARN + LOOK  # samples of the signal after which decisions were made so far
        self._learned = False
        self._heights: list[float] = []
        self._level = 0.0
        self._noise = 0.0
        self._intervals: list[int] = []
        self._interval = 160.0
        self._spikes: list[tuple[int, float]] = []
        self._beat: Hump | None = None  # the last one; _anchor may be the R after a P taken for it
        self._anchor: Hump | None = None
        self._before: int | None = None  # place of the beat before the anchor
        self._sure = _SURE  # log odds of the anchor
        self._sunk_to = 0
        self._beat_sample: int | None = None
        self._scores: dict[int, float] = {}  # of the refused, by place
        self._shape: Floats | None = None  # of a QRS, at unit energy
        self._steep = 0.0  # slope of beats
        self._side = 0.0  # near 1 where R peaks are mostly positive, near -1 where negative

    @property
    def due(self) -> int:
        """Samples of the signal before which no beat will be told: until then it may be held back."""
        return self._told

    def push(self, signal: Signal32) -> list[Beat]:
        """Take signal in ``BAND``, shape (n,), float32, at 200 Hz; return the beats that are certain."""
        return [beat for _, beat in self.push_timed(signal)]

    def push_timed(self, signal: Signal32) -> list[tuple[int, Beat]]:
        """The same, each beat after the number of samples of the signal that made it certain."""
        self._search(signal)
        return self._decide(final=False)

    def finish(self) -> list[Beat]:
        """End of the stretch: decide what is still open, unless it was too brief to know a beat in it."""
        if self._humps.searched + LOOK < _BRIEF_S * RATE_HZ:
            return []
        self._search(np.zeros(LOOK))
        return [beat for _, beat in self._decide(final=True)]

    def _search(self, signal: Signal32 | Floats) -> None:
        self._waiting += self._humps.push(signal, self._waiting[0].at if self._waiting else None)

    def _decide(self, final: bool) -> list[tuple[int, Beat]]:
        if not self._learned:
            if self._humps.searched < _LEARN and not final:
                return []
            self._learn()
        out: list[tuple[int, Beat]] = []
        done = 0
        for candidate in self._waiting:
            self._told = max(self._told, candidate.at + LOOK + 1)
            if self._told > self._humps.searched + LOOK and not final:
                break  # at rest
            # These two may be run again for a candidate that has to wait: they change nothing then.
            out += [(self._told, beat) for beat in self._look_back(candidate.at)]
            self._sink(candidate.at)
            noisy = self._noisy()
            ahead = 0.0
            if noisy or self._might_be_p_wave(candidate):
                if self._humps.searched <= candidate.at + _WAIT and not final:
                    break
                self._told = max(self._told, candidate.at + _WAIT + LOOK + 1)
                ahead = self._humps.ahead(candidate, _AHEAD) / candidate.height
            done += 1
            is_beat = self._is_noisy_beat if noisy else self._is_beat
            if is_beat(candidate, ahead):
                out += [(self._told, beat) for beat in self._accept(candidate)]
                self._told = max(self._told, candidate.at + (0 if noisy else _REST))
        del self._waiting[:done]
        return out

    def _learn(self) -> None:
        """First level of beats: the middle one of the highest humps of the first three seconds."""
        highest = [0.0, 0.0, 0.0]
        for c in self._waiting:
            if c.at < _LEARN:
                second = c.at * 3 // _LEARN
                highest[second] = max(highest[second], c.height)
        level = middle(highest) or max(highest)
        self._heights = [level] * _KEPT
        self._level, self._noise = level, 0.1 * level
        self._learned = bool(self._waiting)

    def _since(self, at: int) -> int:
        return at - self._anchor.at if self._anchor is not None else 1 << 30

    def _threshold(self) -> float:
        return self._noise + _THRESHOLD * (self._level - self._noise)

    def _might_be_p_wave(self, c: Hump) -> bool:
        """Whether what follows decides: it is a beat but for that, and low, early and of another shape."""
        since = self._since(c.at)
        if c.height >= _LOW * self._level or since >= _EARLY * self._interval:
            return False
        if since <= _REFRACTORY or c.height <= self._threshold():
            return False
        return self._agreement(c) < _ALIKE

    def _is_beat(self, c: Hump, ahead: float) -> bool:
        """By the threshold; ``ahead`` is the highest of what follows over the candidate's own height."""
        since = self._since(c.at)
        if since <= _REFRACTORY:
            self._take_over(c)
            return False
        if self._is_spike(c):
            return False
        beat = c.height > self._threshold()
        if beat and since < _T_WAVE and self._anchor is not None:
            beat = c.slope >= _T_SLOPE * self._anchor.slope
        if beat and ahead > _HIGHER:
            return False
        if not beat:
            self._refuse(c)
        return beat

    def _is_noisy_beat(self, c: Hump, ahead: float) -> bool:
        """By the score."""
        since = self._since(c.at)
        if since <= _REFRACTORY:
            if self._before is not None and c.height <= _SPIKE * self._level:
                score = self._scores[c.at] = self._score(c, c.at - self._before, ahead)
                if score > self._sure + _SURER:
                    return True
            self._take_over(c)
            return False
        if self._is_spike(c):
            return False
        score = self._scores[c.at] = self._score(c, since, ahead)
        if score > self.cut:
            return True
        self._refuse(c)
        return False

    def _take_over(self, c: Hump) -> None:
        """Within the refractory time: what was taken for the beat may be the P wave before it."""
        assert self._anchor is not None
        if c.height > self._anchor.height:
            self._heights[-1] = min(c.height, 3 * self._level)
            self._level = middle(self._heights)
            self._anchor = c

    def _is_spike(self, c: Hump) -> bool:
        return c.height > _SPIKE * self._level and not self._repeated(c)

    def _refuse(self, c: Hump) -> None:
        self._refused.append(c)
        self._noise += _NOISE_GAIN * (min(c.height, self._level) - self._noise)

    def _noisy(self) -> bool:
        return self._noise > _NOISY * self._level

    def _score(self, c: Hump, since: int, ahead: float) -> float:
        """Log odds that a candidate is a beat, for noisy signal."""
        return sum(w * x for w, x in zip(self.weights, self._terms(c, since, ahead), strict=True))

    def _terms(self, c: Hump, since: int, ahead: float) -> tuple[float, ...]:
        """What the score weighs.

        1; logs of height and slope over those of beats, h, s; agreement with the shape; noise over the level
        of beats; earliness e (log of the share of the RR interval); h h; e e; how sure the last beat was, p;
        e p; e times the log by which the time since the beat before the last is off; what follows, as
        logarithm and as excess over the candidate's height.
        """
        h = min(max(log(c.height / self._level + 1e-9), _LEAST), _MOST)
        s = min(max(log(c.slope / (self._steep or c.slope or 1.0) + 1e-9), _LEAST), _MOST)
        a = -log(1.02 - min(self._agreement(c), 1.0))
        n = min(self._noise / self._level, 1.5)
        e = max(0.0, -log(since / self._interval))
        p = min(max(self._sure, _LEAST_SURE), _SURE) / 3
        before = min(c.at - self._before, _SILENCE) if self._before is not None else self._interval
        off = min(abs(log(before / self._interval)), 1.0)
        excess = min(max(0.0, ahead - 1), 2.0)
        return 1.0, h, s, a, n, e, h * h, e * e, p, e * p, e * off, log(ahead + 0.05), excess

    def _agreement(self, c: Hump) -> float:
        """Highest correlation of the shape of a QRS with the signal around a candidate."""
        if self._shape is None:
            return 0.0
        energy = np.correlate(c.around * c.around, _ONES, "valid")
        return float((np.correlate(c.around, self._shape, "valid") / np.sqrt(energy + _TINY)).max())

    def _learn_shape(self, c: Hump, peak: int) -> None:
        """Blend a beat into the shape of a QRS and its slope."""
        k = peak - c.at + LOOK
        piece = c.around[k - _SHAPE : k + _SHAPE + 1]
        energy = float(np.dot(piece, piece))
        if energy <= 0:
            return
        if self._shape is None:
            self._shape = piece / sqrt(energy)
        else:
            gain = _SHAPE_GAIN if self._noise < _QUIET * self._level else _SHAPE_GAIN_NOISY
            self._shape = shape = (1 - gain) * self._shape + (gain / sqrt(energy)) * piece
            shape /= sqrt(float(np.dot(shape, shape)))
        steep = self._steep or c.slope
        self._steep = steep + 0.125 * (min(c.slope, 1.5 * steep) - steep)

    def _peak(self, c: Hump) -> tuple[int, float]:
        """Place and value of the R peak: the farthest from zero, on the usual side."""
        (up, high), (down, low) = c.extremes
        bar = _SIDE if self._side > 0 else 1 / _SIDE if self._side < 0 else 1.0
        positive = high * bar >= -low
        self._side += 0.1 * ((1.0 if positive else -1.0) - self._side)
        return (up, high) if positive else (down, low)

    def _repeated(self, c: Hump) -> bool:
        """Whether a hump far too high has come so often that it is the new level."""
        self._spikes = [s for s in self._spikes if c.at - s[0] < _SPIKE_SPAN]
        self._spikes.append((c.at, c.height))
        if len(self._spikes) < _SPIKES:
            return False
        self._level = middle(height for _, height in self._spikes)
        self._heights = [self._level] * _KEPT
        self._spikes = []
        return True

    def _sink(self, at: int) -> None:
        """Without beats for long, the level follows what is there, but stays clear of the noise."""
        start = (self._anchor.at if self._anchor is not None else 0) + _SILENCE
        if at < start:
            return
        self._sunk_to = max(self._sunk_to, start)
        while at - self._sunk_to >= RATE_HZ:
            self._sunk_to += int(RATE_HZ)
            level = max(_SINK * self._level, min(self._level, _FLOOR * self._noise))
            if self._level > 0:
                self._steep *= level / self._level
            self._level = level
            self._heights = [self._level] * _KEPT

    def _look_back(self, at: int) -> list[Beat]:
        """A beat is overdue: the highest of the refused, if it is not far below the threshold."""
        out: list[Beat] = []
        # Windows of beats keep no signal for one that comes much later than it was.
        self._refused = [c for c in self._refused if at - c.at < _LONGEST_BACK]
        while self._refused and self._beat is not None:
            if self._since(at) <= _BACK_AFTER * self._interval:
                break
            if self._noisy():
                best = max(self._refused, key=lambda c: self._scores.get(c.at, -inf))
                enough = self._scores.get(best.at, -inf) > self.cut + _BACK_CUT
            else:
                best = max(self._refused, key=lambda c: c.height)
                enough = best.height >= _BACK_THRESHOLD * self._threshold()
            if not enough:
                break
            later = [c for c in self._refused if c.at > best.at + _REFRACTORY]
            out += self._accept(best, found_back=True)
            self._refused = later
        return out

    def _accept(self, c: Hump, found_back: bool = False) -> list[Beat]:
        """Take a candidate for a beat, and tell it, unless its R peak is that of the beat before."""
        instead = self._since(c.at) <= _REFRACTORY
        if self._anchor is not None and not instead:
            self._before = self._anchor.at
        self._sure = self._scores.get(c.at, _SURE)
        if self._beat is not None and not found_back:
            if instead and self._before is not None:
                self._intervals = [*self._intervals[:-1], c.at - self._before]
            else:
                self._intervals = [*self._intervals[1 - _KEPT :], self._since(c.at)]
            self._interval = middle(self._intervals)
        self._beat = self._anchor = c
        self._refused = []
        peak, value = self._peak(c)
        self._learn_shape(c, max(c.extremes, key=lambda p: abs(p[1]))[0])
        self._scores = {}
        self._heights = [*self._heights[1:], min(c.height, _CAP * self._level)]
        self._level = middle(self._heights)
        sample = self._first + round(peak * self._rate / RATE_HZ)
        before, self._beat_sample = self._beat_sample, sample
        if before is not None and sample - before <= _SAME_S * self._rate:
            self._beat_sample = before
            return []
        time_s = self._time_s + (sample - self._first) / self._rate
        rr_s = None if before is None else (sample - before) / self._rate
        return [Beat(sample, time_s, rr_s, value, self._in_mv)]
