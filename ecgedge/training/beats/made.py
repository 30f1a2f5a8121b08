"""Rhythms made from ordinary ones: more persons who have them than the annotated sets hold.

A recording is laid out anew, a beat at a time, from before its P wave to before the next one. Where an
interval gets shorter, the next beat begins on what the one before has left: an early P wave rides on the
T wave, as in nature. Where it gets longer, baseline fills the pause.

* Early beats come one at a time, as couplets, as bigeminy or trigeminy, and as runs of up to a minute that
  begin and end at once. Each focus has a P wave of its own: as it was, smaller, turned over, gone, or another
  one elsewhere. What follows is a pause that is less than compensatory, or none.
* In between the rate goes up and down as it does in health, with the breath or over some minutes, and these
  beats stay N: not every interval that is short tells an early beat.

The QRS is that of an ordinary beat. ``training.apc.premature`` moves one beat in a window of fixed length.

Two rhythms are made, too, in which no beat is an early one, though many seem to be: where a block ends, beats
come at half the interval, or two thirds (``block``); where atrial fibrillation begins, what was usual before
it says nothing (``fibrillate``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ecgedge.messages import Floats

P_S, QRS_S = 0.26, 0.05
"""A beat's piece begins so long before its R peak; its P wave ends so long before it."""
SHORTEST_S = 0.3
EARLY = (0.55, 0.85)
"""Usual interval before an early beat of a recording, as a share of what it was."""
LEAST, MOST = 0.42, 0.9
"""Of such a share."""
PAUSE = (0.95, 1.35)
"""Interval behind early beats, as a share of what it was."""
FIRST = 3
"""Beats at the start that stay as they are, and at the end."""
LONG = 300
"""Beats of a recording that has room for long runs and slow changes of rate, or long blocks."""
BLOCKED_S = (-0.06, 0.42)
"""QRS and T wave of a beat, about its R peak."""
RATIOS = (2, 2, 2, 2, 3, 3, 4)
"""A block leaves out one beat of so many; drawn from these."""


@dataclass
class Course:
    """What becomes of the beats of a recording, each shape (beats,)."""

    shares: Floats
    """Of the interval before each beat, what it was made over what it was."""
    early: npt.NDArray[np.bool_]
    """Or in fibrillation."""
    focus: npt.NDArray[np.int64]
    """Number of the P wave that it gets; -1 for its own."""


@dataclass(frozen=True)
class Focus:
    """P wave of an ectopic focus: the ordinary one times ``kept``, and a hump; times in seconds."""

    kept: float
    height: float = 0.0
    """Over that of the ordinary one."""
    at: float = 0.1
    width: float = 0.025


def make(
    signal: Floats,
    rate_hz: float,
    peaks: npt.NDArray[np.int64],
    free: npt.NDArray[np.bool_],
    density: float,
    rng: np.random.Generator,
) -> tuple[Floats, npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """A recording with early beats, where its R peaks are then, and which of them are early.

    Parameters
    ----------
    signal : one lead, shape (n,)
    peaks : its R peaks in order, samples, shape (beats,)
    free : which of them are ordinary beats of a regular rhythm; the others keep their intervals
    density : of such events, a beat; 0 makes none
    """
    course = plan(free, density, rng)
    foci = {k: _focus(rng) for k in np.unique(course.focus)}
    return *_laid_out(signal, rate_hz, peaks, course, foci)[:2], course.early


def fibrillate(
    signal: Floats,
    rate_hz: float,
    peaks: npt.NDArray[np.int64],
    free: npt.NDArray[np.bool_],
    rng: np.random.Generator,
) -> tuple[Floats, npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """A recording with stretches of atrial fibrillation, where its R peaks are then, and which are in them.

    There intervals are independent of each other and mostly shorter, P waves are gone, and a saw tooth of 4
    to 8 Hz runs on (harmonics after Stridh and Soernmo, IEEE Trans. Biomed. Eng. 48, 2001). For the
    parameters see ``make``.
    """
    n = peaks.size
    between, lasting = ((20, 150), (20, 200)) if n > LONG else ((4, 20), (8, 40))
    course = Course(np.ones(n), np.zeros(n, dtype=bool), np.full(n, -1))
    at = FIRST
    while (at := at + int(rng.integers(*between))) < n - FIRST:
        stop = min(at + int(rng.integers(*lasting)), n - FIRST)
        inside = np.arange(at, stop)[free[at:stop]]
        drawn = rng.uniform(0.5, 1.0) * np.exp(rng.uniform(0.12, 0.3) * rng.standard_normal(inside.size))
        course.shares[inside] = drawn.clip(0.35, 1.6)
        course.early[inside], course.focus[inside] = True, 0
        at = stop
    gone = Focus(rng.uniform(-0.05, 0.1))
    out, moved, usual = _laid_out(signal, rate_hz, peaks, course, {0: gone})
    begins = np.flatnonzero(course.early[1:] & ~course.early[:-1]) + 1
    ends = np.flatnonzero(course.early[:-1] & ~course.early[1:]) + 1
    for begin, end in zip(moved[begins], moved[ends], strict=True):
        span = slice(int(begin) - round(P_S * rate_hz), int(end) - round(P_S * rate_hz))
        out[span] += usual * rng.uniform(0.1, 0.7) * _saw_tooth(out[span].size, rate_hz, rng)
    return out, moved, course.early


def _saw_tooth(n: int, rate_hz: float, rng: np.random.Generator) -> Floats:
    """Fibrillatory waves of height 1, their frequency swinging a little, shape (n,)."""
    t = np.arange(n) / rate_hz
    swing = rng.uniform(0.5, 3.0) * np.sin(2 * np.pi * 0.13 * t + rng.uniform(0, 6))
    phase = 2 * np.pi * rng.uniform(4.0, 8.0) * t + swing
    size = 1 + 0.4 * np.sin(2 * np.pi * 0.21 * t + rng.uniform(0, 6))
    return np.asarray(size * sum(np.sin(k * phase) / k for k in (1, 2, 3)) / 2)


def _laid_out(
    signal: Floats,
    rate_hz: float,
    peaks: npt.NDArray[np.int64],
    course: Course,
    foci: dict[int, Focus],
) -> tuple[Floats, npt.NDArray[np.int64], float]:
    """The recording as its course says, where its R peaks are then, and the usual height of a P wave."""
    before, shortest = round(P_S * rate_hz), round(SHORTEST_S * rate_hz)
    begins = np.maximum(peaks - before, 0)
    ends = np.append(begins[1:], signal.size)
    usual = float(
        np.median([np.ptp(_p_wave(signal[b:p], rate_hz)) for b, p in zip(begins, peaks, strict=True)])
    )
    parts: list[Floats] = [signal[: begins[0]]]
    at, left = int(begins[0]), np.empty(0)
    moved = np.zeros_like(peaks)
    for k in range(peaks.size):
        piece = signal[begins[k] : ends[k]].astype(np.float64)
        moved[k] = at + peaks[k] - begins[k]
        if course.focus[k] >= 0 and peaks[k] - begins[k] == before:
            _change(piece[: before - round(QRS_S * rate_hz)], foci[course.focus[k]], usual, rate_hz)
        over = min(left.size, piece.size)
        piece[:over] += left[:over] - signal[begins[k]]
        if k + 1 == peaks.size:
            parts.append(piece)
            break
        interval, share = int(peaks[k + 1] - peaks[k]), course.shares[k + 1]
        earlier = 0 if share == 1 else interval - max(round(interval * share), shortest)
        if earlier > 0:
            earlier = min(earlier, max(0, piece.size - shortest))
        left = piece[piece.size - earlier :] if earlier > 0 else piece[:0]
        parts.append(piece[: piece.size - max(0, earlier)])
        if earlier < 0:
            parts.append(_rest(piece[-before // 3 :], -earlier))
        at += piece.size - earlier
    return np.concatenate(parts), moved, usual


def block(
    signal: Floats,
    rate_hz: float,
    peaks: npt.NDArray[np.int64],
    free: npt.NDArray[np.bool_],
    rng: np.random.Generator,
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """A recording in which, some time and again, one P wave of two to four is not conducted.

    In place of QRS and T wave stands a line with the noise of the signal before it.

    Parameters
    ----------
    signal : one lead, shape (n,)
    peaks : its R peaks in order, samples, shape (beats,)
    free : which of them are ordinary beats of a regular rhythm; those next to others are always conducted

    Returns
    -------
    the changed signal, and which beats are conducted, shape (beats,)
    """
    n = peaks.size
    between, lasting = ((10, 80), (8, 160)) if n > LONG else ((3, 25), (4, 24))
    conducted = np.ones(n, dtype=bool)
    at = FIRST
    while (at := at + int(rng.integers(*between))) < n - FIRST:
        stop, ratio = min(at + int(rng.integers(*lasting)), n - FIRST), int(rng.choice(RATIOS))
        for k in range(at, stop, ratio):
            conducted[k] = not free[k - 1 : k + 2].all()
        at = stop
    out = signal.astype(np.float64)
    for k in np.flatnonzero(~conducted):
        begin, end = (int(peaks[k]) + round(s * rate_hz) for s in BLOCKED_S)
        # Not into the next P wave.
        end = max(min(end, int(peaks[k + 1]) - round(P_S * rate_hz)), int(peaks[k]) + round(0.1 * rate_hz))
        steps = np.abs(np.diff(signal[max(0, begin - round(0.1 * rate_hz)) : begin]))
        noise = 0.7 * float(np.median(steps)) if steps.size else 0.0
        out[begin:end] = np.linspace(out[begin], out[end], end - begin)
        out[begin:end] += noise * rng.standard_normal(end - begin)
    return out, conducted


def plan(free: npt.NDArray[np.bool_], density: float, rng: np.random.Generator) -> Course:
    """Draw which beats come early, and how the rate of the others changes."""
    n = free.size
    out = Course(np.ones(n), np.zeros(n, dtype=bool), np.full(n, -1))
    usual = rng.uniform(*EARLY)
    at, focus = FIRST, 0
    while density and (at := at + int(rng.geometric(density))) < n - FIRST:
        run, step, events = _event(n, rng)
        for _ in range(events):
            stop = min(at + run, n - FIRST)
            if at >= stop or not free[at - 1 : stop + 2].all():
                break
            first = usual + 0.06 * rng.standard_normal() if rng.random() < 0.7 else rng.uniform(0.45, MOST)
            pace = rng.uniform(0.5, 0.85) * (1 + 0.025 * rng.standard_normal(stop - at))
            pace[0] = first
            out.shares[at:stop] = pace.clip(LEAST, MOST)
            out.shares[stop] = rng.uniform(*PAUSE)
            out.early[at:stop], out.focus[at:stop] = True, focus
            at += step
        focus += 1
    if rng.random() < 0.4:
        out.shares[free] *= _healthy(n, rng)[free]
    return out


def _event(n: int, rng: np.random.Generator) -> tuple[int, int, int]:
    """Beats of a run, beats from one to the next, how many."""
    kind = rng.random()
    if kind < 0.58:
        return 1, 2, 1
    if kind < 0.72:  # bigeminy, trigeminy
        return 1, int(rng.integers(2, 4)), int(rng.integers(3, 10))
    if kind < 0.82:
        return 2, 3, 1
    length = int(rng.integers(3, 10)) if kind < 0.93 else int(rng.integers(10, 120 if n > LONG else 15))
    return length, length + 1, 1


def _healthy(n: int, rng: np.random.Generator) -> Floats:
    """Shares of intervals that the breath changes, or some minutes of a faster rate that comes and goes."""
    out = np.ones(n)
    if rng.random() < 0.6:
        depth, period = rng.uniform(0.03, 0.18), rng.uniform(3.0, 9.0)
        out -= depth * (1 - np.sin(2 * np.pi * np.arange(n) / period + rng.uniform(0, 6)))
    if n > LONG and rng.random() < 0.6:
        begin, slope, held = (int(rng.integers(*span)) for span in ((20, n - 150), (12, 50), (30, 100)))
        corners = np.cumsum([begin, slope, held, slope])
        out *= np.interp(np.arange(n), corners, [1.0, fastest := rng.uniform(0.55, 0.9), fastest, 1.0])
    return out


def _focus(rng: np.random.Generator) -> Focus:
    kind = rng.random()
    if kind < 0.2:
        return Focus(1.0)
    if kind < 0.45:
        return Focus(rng.uniform(-1.0, 0.6))
    if kind < 0.6:
        return Focus(rng.uniform(-0.1, 0.1))
    height = rng.choice((-1.0, 1.0)) * rng.uniform(0.5, 1.5)
    return Focus(rng.uniform(-0.2, 0.3), height, rng.uniform(0.05, 0.19), rng.uniform(0.018, 0.04))


def _p_wave(before: Floats, rate_hz: float) -> Floats:
    """What stands above the line from its first to its last sample, of the signal before an R peak."""
    wave = before[: max(2, before.size - round(QRS_S * rate_hz))]
    return wave - np.linspace(wave[0], wave[-1], wave.size) if before.size > 2 else np.zeros(2)


def _change(wave: Floats, focus: Focus, usual: float, rate_hz: float) -> None:
    """Put another P wave in place of a beat's own; its ends stay."""
    own = wave - np.linspace(wave[0], wave[-1], wave.size)
    edge = np.hanning(wave.size) ** 0.3
    t = np.arange(wave.size) / rate_hz
    hump = focus.height * usual * np.exp(-0.5 * ((t - focus.at) / focus.width) ** 2)
    wave += edge * ((focus.kept - 1) * own + hump)


def _rest(tail: Floats, n: int) -> Floats:
    """Baseline of ``n`` samples that goes on from ``tail``: back and forth over it."""
    back = np.concatenate((tail[::-1], tail))
    return np.resize(back, n)
