"""Windows of beats: every beat once, any chunking, template and intervals against plain arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import CubicHermiteSpline

from ecgedge.beat_figures import INTERVALS
from ecgedge.beat_windows import KINDS, BeatSpec, BeatWindow, BeatWindower, make_inputs
from ecgedge.errors import BundleError
from ecgedge.messages import Beat

RATE_IN = 360.0
FIGURES = {
    "rate_hz": 100.0,
    "beats": 16,
    "emit": (6, 14),
    "before_s": 0.4,
    "after_s": 0.4,
    "template_beats": 32,
    "rhythm_beats": 64,
}
SPEC = BeatSpec(**FIGURES)
SEED = 5


def stretch(beats: int, first: int = 1000) -> tuple[np.ndarray, list[Beat]]:
    """Smooth signal at 100 Hz with a hump at each beat, and the beats; every seventh comes early."""
    rng = np.random.default_rng(SEED)
    rr = rng.uniform(0.75, 0.95, beats)
    rr[6::7] *= 0.7
    times = 0.2 + np.cumsum(rr)
    samples = np.rint(times * RATE_IN).astype(int)
    t = np.arange(round((times[-1] + 0.3) * 100)) / 100
    signal = 0.1 * np.sin(2 * np.pi * 0.7 * t)
    heights = rng.uniform(0.8, 1.2, beats)
    for at, height in zip(samples / RATE_IN, heights, strict=True):
        signal += height * np.exp(-(((t - at) / 0.03) ** 2))
    steps = [None, *(np.diff(samples) / RATE_IN).tolist()]
    rows = zip(samples.tolist(), steps, heights.tolist(), strict=True)
    return signal.astype(np.float32), [Beat(first + s, s / RATE_IN, r, h, True) for s, r, h in rows]


def cut(signal: np.ndarray, beats: list[Beat], chunk: int, late_s: float = 1.0) -> list[BeatWindow]:
    """Windows of signal that comes ``chunk`` samples at a time, each beat ``late_s`` behind its R peak."""
    windower, out, told = BeatWindower(SPEC, 1000, RATE_IN), [], 0
    for begin in range(0, signal.size, chunk):
        end = begin + chunk
        come = told
        while come < len(beats) and (beats[come].time_s + late_s) * 100 < end:
            come += 1
        out += windower.push(signal[begin:end], beats[told:come])
        told = come
    return out + windower.push(signal[:0], beats[told:]) + windower.finish()


@pytest.mark.parametrize("n", [0, 1, 2, 7, 8, 9, 15, 16, 17, 23, 100])
def test_every_beat_is_reported_once_in_order(n: int) -> None:
    signal, beats = stretch(n) if n else (np.zeros(300, dtype=np.float32), [])
    windows = cut(signal, beats, 50)
    assert [beat for w in windows for beat in w.beats] == beats
    for w in windows:
        first = SPEC.emit[0]
        assert w.places[0] <= first
        assert first + len(w.beats) <= w.places[1] <= SPEC.beats
        empty = np.ones(SPEC.beats, dtype=bool)
        empty[slice(*w.places)] = False
        for part in (w.segments, w.deviations, w.intervals):
            assert part.dtype == np.float32
            assert not part[empty].any()
        assert (w.intervals[~empty, -1] == 1).all()


@pytest.mark.parametrize("chunk", [1, 7, 333, 100_000])
@pytest.mark.parametrize("late_s", [0.3, 4.0])
def test_any_chunking(chunk: int, late_s: float) -> None:
    signal, beats = stretch(60)
    for a, b in zip(cut(signal, beats, 40), cut(signal, beats, chunk, late_s), strict=True):
        assert (a.beats, a.places, a.last, a.signal_needed) == (b.beats, b.places, b.last, b.signal_needed)
        for name in ("segments", "deviations", "intervals"):
            assert np.array_equal(getattr(a, name), getattr(b, name))


def test_a_window_comes_as_soon_as_what_it_needs_is_there() -> None:
    signal, beats = stretch(40)
    windower = BeatWindower(SPEC, 1000, RATE_IN)
    windower.push(signal[:0], beats)
    for at in range(signal.size):
        for w in windower.push(signal[at : at + 1]):
            assert w.signal_needed == at + 1
            assert w.last.sample >= w.beats[-1].sample


def test_figures_against_plain_arithmetic() -> None:
    signal, beats = stretch(60)
    windows = cut(signal, beats, 64)
    number = {beat.sample: k for k, beat in enumerate(beats)}
    samples = np.array([beat.sample for beat in beats])
    heights = np.array([beat.height for beat in beats])
    rr = np.r_[np.nan, np.diff(samples) / RATE_IN]
    for w in windows:
        stop = number[w.last.sample] + 1
        rows = range(stop - (w.places[1] - w.places[0]), stop)
        running = np.sort(rr[max(1, stop - SPEC.rhythm_beats) : stop])
        middle = running[running.size // 2]
        for row, k in zip(range(*w.places), rows, strict=True):
            figures = dict(zip(INTERVALS, w.intervals[row].tolist(), strict=True))
            before = 0.0 if k == 0 else np.log(rr[k] / middle)
            behind = 0.0 if k + 1 >= stop else np.log(rr[k + 1] / middle)
            one = 0.0 if k < 2 else np.log(rr[k] / rr[k - 1])
            local = rr[max(1, k - 4) : k]
            mean = 0.0 if k < 2 else np.log(rr[k]) - np.log(local).mean()
            eight = np.sort(rr[max(1, k - 8) : k])
            near = eight[eight.size // 2] if k > 1 else np.nan
            wanted = {
                "RR before / running median": before,
                "RR behind / running median": behind,
                "RR before / the one before it": one,
                "RR before / mean of the four before it": mean,
                "RR before / median of the eight before it": 0.0 if k < 2 else np.log(rr[k] / near),
                "running median / 0.8 s": np.log(middle / 0.8),
            }
            for name, value in wanted.items():
                assert figures[name] == pytest.approx(value, abs=1e-5), name
        ordinary = np.sort(heights[max(0, stop - SPEC.rhythm_beats - 1) : stop])
        wanted_heights = np.log(heights[rows.start : stop] / ordinary[ordinary.size // 2])
        column = w.intervals[slice(*w.places), INTERVALS.index("height / running median")]
        assert column == pytest.approx(wanted_heights, abs=1e-4)


def test_segments_are_the_signal_around_the_r_peak() -> None:
    # Catmull and Rom's cubic is Hermite's with central differences for slopes.
    signal, beats = stretch(40)
    x = signal.astype(np.float64)
    curve = CubicHermiteSpline(np.arange(x.size), x, np.gradient(x))
    windows = cut(signal, beats, 64)
    number = {beat.sample: k for k, beat in enumerate(beats)}

    def segment(beat: Beat) -> np.ndarray:
        at = (beat.sample - 1000) / RATE_IN * 100 + np.arange(-40, 40)
        piece = curve(np.clip(at, 0, x.size - 1))
        return piece - piece.mean()

    for w in windows[1:-1]:
        stop = number[w.last.sample] + 1
        latest = np.array([segment(beat) for beat in beats[max(0, stop - SPEC.template_beats) : stop]])
        samples = [beat.sample for beat in beats[max(0, stop - SPEC.rhythm_beats - 1) : stop]]
        rr = np.diff(samples)
        late = np.r_[True, rr >= 0.85 * np.sort(rr)[rr.size // 2]][-len(latest) :]
        assert not late.all()
        template = np.sort(latest[late], axis=0)[late.sum() // 2]
        own = latest[-(w.places[1] - w.places[0]) :]
        there = slice(*w.places)
        # The first beats of the stretch reach beyond its start, where the two differ.
        far = slice(1, None) if w is windows[1] else slice(None)
        assert w.segments[there][far] == pytest.approx(own[far] / template.std(), abs=2e-3)
        assert w.deviations[there][far] == pytest.approx((own - template)[far] / template.std(), abs=2e-3)


def test_likeness_to_the_template_against_plain_arithmetic() -> None:
    signal, beats = stretch(60)
    names = [
        f"{part}: {what}"
        for part in ("P", "QRS", "T")
        for what in ("distance from the template / usual one", "correlation with the template")
    ]
    columns = {name: INTERVALS.index(name) for name in names}
    parts = {"P": slice(14, 34), "QRS": slice(31, 50), "T": slice(52, 78)}
    for w in cut(signal, beats, 64)[1:-1]:
        template = w.segments[w.places[0]] - w.deviations[w.places[0]]
        for part, where in parts.items():
            own = w.segments[slice(*w.places), where].astype(float)
            wanted = [np.corrcoef(piece, template[where])[0, 1] for piece in own]
            told = w.intervals[slice(*w.places), columns[f"{part}: correlation with the template"]]
            assert told == pytest.approx(wanted, abs=1e-2)
            far = w.deviations[slice(*w.places), where].astype(float).std(axis=1)
            half_logs = w.intervals[
                slice(*w.places), columns[f"{part}: distance from the template / usual one"]
            ]
            ratios = (far[:, None] + 0.02) / (far + 0.02)
            shown = np.abs(half_logs) < 1
            both = shown[:, None] & shown
            differences = half_logs[:, None] - half_logs
            assert differences[both] == pytest.approx(np.log(ratios)[both] / 2, abs=1e-3)


def test_gain_and_offset_change_nothing() -> None:
    signal, beats = stretch(40)
    for a, b in zip(cut(signal, beats, 64), cut(50 * signal + 3, beats, 64), strict=True):
        assert a.segments == pytest.approx(b.segments, abs=1e-3)
        assert a.deviations == pytest.approx(b.deviations, abs=1e-3)


def test_a_flat_signal_gives_finite_figures() -> None:
    _, beats = stretch(20)
    for w in cut(np.zeros(2500, dtype=np.float32), beats, 64):
        assert not w.segments.any()
        assert not w.deviations.any()
        assert np.isfinite(w.intervals).all()


def test_inputs_are_clipped_and_shaped() -> None:
    window = cut(*stretch(40), 64)[1]
    clips = (0.5, 0.25, 1.0)
    entries = [
        {"name": kind, "kind": kind, "shape": [1, *SPEC.shape(kind), 1], "clip": clip}
        for kind, clip in zip(KINDS, clips, strict=True)
    ]
    made = make_inputs(entries, window)
    assert {name: value.shape for name, value in made.items()} == {
        "beat-segments": (1, 16, 80, 1),
        "beat-deviations": (1, 16, 80, 1),
        "beat-intervals": (1, 16, len(INTERVALS), 1),
    }
    assert made["beat-segments"].max() == 0.5
    assert made["beat-deviations"].min() >= -0.25
    assert np.array_equal(made["beat-intervals"].reshape(16, len(INTERVALS)), window.intervals)


@pytest.mark.parametrize(
    "odd",
    [
        {"emit": (8, 8)},
        {"emit": (6, 17)},
        {"emit": (-1, 4)},
        {"before_s": 0.0},
        {"before_s": float("nan")},
        {"after_s": float("inf")},
        {"before_s": 0.07},  # no P wave in it: it would have no mean
        {"after_s": 0.12},  # no T wave
        {"rate_hz": -100.0},
        {"template_beats": 15},
        {"rhythm_beats": 3},
    ],
)
def test_impossible_windows_are_refused(odd: dict[str, object]) -> None:
    with pytest.raises(BundleError):
        BeatSpec(**{**FIGURES, **odd})  # type: ignore[arg-type]


def test_what_is_due_comes_with_the_sample_that_was_told() -> None:
    signal, beats = stretch(60)
    windower, came = BeatWindower(SPEC, 1000, RATE_IN), 0
    windower.add(beats)
    for n in range(1, signal.size + 1):
        due = windower.due
        windows = windower.push(signal[n - 1 : n])
        assert bool(windows) == (n == due)
        came += sum(len(window.beats) for window in windows)
    assert windower.due is None  # too few beats are left to tell
    assert came + sum(len(window.beats) for window in windower.finish()) == len(beats)
