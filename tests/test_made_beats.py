"""Rhythms that are made: where the beats are, what stays as it was, and what the device finds there."""

from __future__ import annotations

import numpy as np
import pytest

from ecgedge.training.beats import made
from ecgedge.training.beats.data import find_beats

RATE_HZ = 250.0


def recording(beats: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A lead with P wave, QRS and T wave at each beat, on a slow swing, and its R peaks."""
    rng = np.random.default_rng(seed)
    times = 0.6 + np.cumsum(0.85 + 0.02 * rng.standard_normal(beats))
    t = np.arange(round((times[-1] + 1) * RATE_HZ)) / RATE_HZ
    signal = 0.1 * np.sin(2 * np.pi * 0.2 * t) + 0.005 * rng.standard_normal(t.size)
    for wave, at, width in ((0.15, -0.16, 0.025), (1.2, 0.0, 0.012), (-0.3, 0.03, 0.01), (0.3, 0.27, 0.05)):
        for beat in times:
            signal += wave * np.exp(-0.5 * ((t - beat - at) / width) ** 2)
    return signal, np.rint(times * RATE_HZ).astype(int)


@pytest.mark.parametrize("beats", [40, 400])
@pytest.mark.parametrize("seed", range(4))
def test_made_beats_are_early_and_the_device_finds_them(beats: int, seed: int) -> None:
    signal, peaks = recording(beats)
    free = np.ones(beats, dtype=bool)
    changed, at, early = made.make(signal, RATE_HZ, peaks, free, 0.08, np.random.default_rng(seed))
    assert np.isfinite(changed).all()
    assert 0 < early.sum() < beats
    assert not early[: made.FIRST].any()
    shares = np.diff(at) / np.diff(peaks)
    assert shares[early[1:]].max() < 0.92
    assert shares[early[1:]].min() > 0.33
    starts = np.flatnonzero(early[1:] & ~early[:-1])
    found = np.array([beat.sample for beat in find_beats(changed, RATE_HZ)])
    near = np.abs(found[:, None] - at).min(axis=0)
    assert np.mean(near <= 0.05 * RATE_HZ) > 0.98
    assert np.mean(near[starts + 1] <= 0.05 * RATE_HZ) > 0.9
    assert found.size <= 1.02 * at.size


def test_the_qrs_of_each_beat_stays() -> None:
    signal, peaks = recording(300)
    rng = np.random.default_rng(2)
    changed, at, _ = made.make(signal, RATE_HZ, peaks, np.ones(300, dtype=bool), 0.1, rng)
    around = np.arange(-8, 9)
    for was, now in zip(peaks, at, strict=True):
        # A slope of the T wave before may lie below it.
        assert np.corrcoef(signal[was + around], changed[now + around])[0, 1] > 0.98


def test_beats_that_are_not_free_keep_their_intervals() -> None:
    signal, peaks = recording(300)
    free = np.arange(300) < 150
    for seed in range(6):
        rng = np.random.default_rng(seed)
        _, at, early = made.make(signal, RATE_HZ, peaks, free, 0.1, rng)
        assert not early[150:].any()
        assert np.array_equal(np.diff(at)[150:], np.diff(peaks)[150:])


def test_without_events_only_the_rate_changes_and_no_beat_is_early() -> None:
    signal, peaks = recording(40)
    free = np.ones(40, dtype=bool)
    kept = 0
    for seed in range(10):
        changed, at, early = made.make(signal, RATE_HZ, peaks, free, 0.0, np.random.default_rng(seed))
        assert not early.any()
        if np.array_equal(at, peaks):
            assert changed == pytest.approx(signal)
            kept += 1
    assert 0 < kept < 10


# -- beats that are not conducted ------------------------------------------------------------------------


@pytest.mark.parametrize("beats", [40, 400])
def test_a_block_leaves_out_whole_beats_and_the_device_finds_the_others(beats: int) -> None:
    signal, peaks = recording(beats)
    free = np.ones(beats, dtype=bool)
    left_out = 0
    for seed in range(4):
        changed, conducted = made.block(signal, RATE_HZ, peaks, free, np.random.default_rng(seed))
        left_out += int((~conducted).sum())
        assert not (~conducted[1:] & ~conducted[:-1]).any()  # never two in a row
        found = np.array([beat.sample for beat in find_beats(changed, RATE_HZ)])
        far = np.abs(found[:, None] - peaks[conducted])
        assert np.mean(far.min(axis=0) <= 0.05 * RATE_HZ) > 0.98
        assert np.mean(far.min(axis=1) <= 0.05 * RATE_HZ) > 0.98  # nothing is found where beats were
    assert left_out > 0.08 * 4 * beats


def test_the_p_wave_of_a_beat_that_is_not_conducted_stays() -> None:
    signal, peaks = recording(300)
    changed, conducted = made.block(
        signal, RATE_HZ, peaks, np.ones(300, dtype=bool), np.random.default_rng(1)
    )
    at_p = np.arange(round(-0.24 * RATE_HZ), round(-0.08 * RATE_HZ))
    later = np.arange(round(0.2 * RATE_HZ), round(0.34 * RATE_HZ))
    for peak in peaks[~conducted]:
        np.testing.assert_array_equal(changed[peak + at_p], signal[peak + at_p])
        assert np.ptp(changed[peak + later]) < 0.5 * np.ptp(signal[peak + later])  # no T wave
    for peak in peaks[conducted]:
        np.testing.assert_array_equal(changed[peak + later], signal[peak + later])


def test_beats_beside_others_are_conducted() -> None:
    signal, peaks = recording(300)
    free = np.arange(300) % 7 != 0
    for seed in range(4):
        _, conducted = made.block(signal, RATE_HZ, peaks, free, np.random.default_rng(seed))
        around = free.copy()
        around[1:] &= free[:-1]
        around[:-1] &= free[1:]
        assert not (~conducted & ~around).any()
        assert not conducted.all()


# -- atrial fibrillation ----------------------------------------------------------------------------------


@pytest.mark.parametrize("beats", [60, 400])
def test_made_fibrillation_is_irregular_without_p_waves_and_the_device_finds_its_beats(beats: int) -> None:
    signal, peaks = recording(beats)
    free = np.ones(beats, dtype=bool)
    for seed in range(3):
        changed, at, inside = made.fibrillate(signal, RATE_HZ, peaks, free, np.random.default_rng(seed))
        assert np.isfinite(changed).all()
        assert 0.1 * beats < inside.sum() < 0.95 * beats
        rr = np.diff(at) / RATE_HZ
        steps = np.abs(np.diff(np.log(rr)))
        both = inside[2:] & inside[1:-1]
        assert np.median(steps[both]) > 0.05
        assert np.median(steps[~inside[2:] & ~inside[1:-1] & ~inside[:-2]]) < 0.04
        found = np.array([beat.sample for beat in find_beats(changed, RATE_HZ)])
        assert np.mean(np.abs(found[:, None] - at).min(axis=0) <= 0.05 * RATE_HZ) > 0.97
        places = np.arange(round(-0.24 * RATE_HZ), round(-0.07 * RATE_HZ))
        waves = np.array([changed[k + places] for k in at[inside] if k > 200])
        mean, own = waves.mean(axis=0), signal[peaks[20] + places]
        assert np.ptp(mean - np.linspace(mean[0], mean[-1], mean.size)) < 0.6 * np.ptp(own)


def test_fibrillation_spares_what_is_not_free() -> None:
    signal, peaks = recording(300)
    free = np.arange(300) < 150
    _, at, inside = made.fibrillate(signal, RATE_HZ, peaks, free, np.random.default_rng(2))
    assert inside.any()
    assert not inside[150:].any()
    np.testing.assert_array_equal(np.diff(at)[150:], np.diff(peaks)[150:])
