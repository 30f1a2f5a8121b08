"""Mains hum: tones of known amplitude at many sampling rates, what is not hum, and real recordings."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal

from ecgedge.errors import UsageError
from ecgedge.mains import BLOCK_S, Hum, MainsMeter, MainsWatch, lines

RNG_SEED = 8


def ecg(rate: float, seconds: float = 30.0, seed: int = RNG_SEED) -> np.ndarray:
    """Narrow QRS and T in mV on a wandering baseline, with a little noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    x = 5.0 + 0.3 * np.sin(2 * np.pi * 0.2 * t) + rng.normal(0, 0.01, t.size)
    at = 0.4
    while at < seconds:
        x += 1.2 * np.exp(-(((t - at) / 0.012) ** 2) / 2) - 0.3 * np.exp(-(((t - at - 0.03) / 0.01) ** 2) / 2)
        x += 0.3 * np.exp(-(((t - at - 0.3) / 0.05) ** 2) / 2)
        at += rng.uniform(0.7, 0.9)
    return x


def hum(rate: float, hz: float, amplitude: float, seconds: float = 30.0) -> np.ndarray:
    t = np.arange(round(seconds * rate)) / rate
    return amplitude * np.sin(2 * np.pi * hz * t + 0.7)


def found(x: np.ndarray, rate: float) -> list[Hum]:
    return MainsMeter(0.0, rate).push(x)


@pytest.mark.parametrize(
    "rate", [125.0, 130.0, 180.0, 194.0, 200.0, 250.0, 300.0, 360.0, 500.0, 512.0, 1000.0]
)
@pytest.mark.parametrize("mains", [50.0, 60.0])
@pytest.mark.parametrize("amplitude", [0.05, 0.2, 1.0])
def test_amplitude_and_frequency_of_a_known_tone(rate: float, mains: float, amplitude: float) -> None:
    findings = found(ecg(rate) + hum(rate, mains * 1.002, amplitude), rate)
    assert len(findings) == 3
    for finding in findings:
        assert finding.name == f"{mains:g} Hz"
        assert finding.amplitude == pytest.approx(amplitude, rel=0.12)
        assert finding.seen_hz == pytest.approx(mains * 1.002, abs=0.05)
        assert not finding.mirrored


@pytest.mark.parametrize("rate", [100.0, 125.0, 250.0, 360.0, 1000.0])
def test_an_ecg_without_hum_has_none(rate: float) -> None:
    for seed in range(10):
        assert [f.name for f in found(ecg(rate, seed=seed), rate)] == ["", "", ""]


@pytest.mark.parametrize("bpm", [60.0, 100.0, 150.0])
def test_a_metronome_of_a_heart_is_no_hum(bpm: float) -> None:
    """A beat that repeats exactly has lines of its own, 50 Hz among them at these rates."""
    rate, period = 500.0, 60.0 / bpm
    t = np.arange(round(30 * rate)) / rate
    x = np.exp(-((((t + 0.1) % period - 0.1) / 0.008) ** 2) / 2)
    assert {f.name for f in found(x, rate)} == {""}


@pytest.mark.parametrize("colour", ["white", "muscle"])
def test_noise_is_no_hum(colour: str) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(0, 0.3, 100_000)
    if colour == "muscle":
        x = scipy.signal.sosfilt(scipy.signal.butter(2, (20, 120), "bandpass", fs=500, output="sos"), x)
    assert sum(f.name != "" for f in found(x, 500.0)) <= 1


def test_a_tone_beside_the_mains_is_no_hum() -> None:
    for hz in (45.0, 47.5, 53.0, 57.0, 63.0, 80.0):
        assert {f.name for f in found(ecg(500.0) + hum(500.0, hz, 0.3), 500.0)} == {""}


def test_at_100_samples_a_second_60_hz_is_named_by_its_mirror_and_50_hz_is_not_claimed() -> None:
    (line,) = lines(100.0)
    assert (line.name, line.hz, line.mirrored) == ("60 Hz", 40.0, True)
    findings = found(ecg(100.0) + hum(100.0, 60.0, 0.3), 100.0)
    assert {(f.name, f.mirrored) for f in findings} == {("60 Hz", True)}
    assert findings[0].seen_hz == pytest.approx(40.0, abs=0.05)
    assert findings[0].amplitude == pytest.approx(0.3, rel=0.12)
    assert {f.name for f in found(ecg(100.0) + hum(100.0, 50.0, 0.3), 100.0)} == {""}


def test_where_both_frequencies_look_alike_neither_is_claimed() -> None:
    assert [line.name for line in lines(110.0)] == ["50 or 60 Hz"]
    for mains in (50.0, 60.0):
        names = {f.name for f in found(ecg(110.0) + hum(110.0, mains, 0.3), 110.0)}
        assert names == {"50 or 60 Hz"}


@pytest.mark.parametrize("rate", [20.0, 40.0, 60.0])
def test_a_rate_that_shows_nothing_gives_nothing(rate: float) -> None:
    assert lines(rate) == ()
    assert found(np.ones(5000), rate) == []


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e5])
def test_scale_does_not_matter(scale: float) -> None:
    x = ecg(250.0) + hum(250.0, 50.0, 0.2)
    here, there = found(x, 250.0), found(scale * x, 250.0)
    for a, b in zip(here, there, strict=True):
        assert b.name == a.name
        assert b.amplitude == pytest.approx(scale * a.amplitude)


@pytest.mark.parametrize("chunk", [1, 7, 50, 4096])
def test_chunks_do_not_matter(chunk: int) -> None:
    x = ecg(250.0) + hum(250.0, 60.0, 0.2)
    meter = MainsMeter(3.0, 250.0)
    cut = [f for at in range(0, x.size, chunk) for f in meter.push(x[at : at + chunk])]
    assert cut == MainsMeter(3.0, 250.0).push(x)
    assert [f.time_s for f in cut] == [3.0 + BLOCK_S, 3.0 + 2 * BLOCK_S, 3.0 + 3 * BLOCK_S]


def test_flat_and_impossible() -> None:
    assert {f.name for f in found(np.zeros(7500), 250.0)} == {""}
    for rate in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError):
            MainsMeter(0.0, rate)


def blocks(*amplitudes: float, name: str = "50 Hz") -> list[Hum]:
    return [Hum(10.0 * i, name if a else "", 50.0, a) for i, a in enumerate(amplitudes)]


def test_hum_is_told_once_and_its_end_once() -> None:
    watch = MainsWatch()
    said = [watch.push(h, 1.0, True) for h in blocks(0.02, 0.2, 0.2, 0.2, 0.07, 0.04, 0.2, 0.04, 0, 0)]
    assert [bool(text) for text in said] == [i in (2, 8) for i in range(10)]
    assert said[2].startswith("mains hum at 50 Hz (0.2 mV, 20 % of the QRS)")
    assert said[8] == "50 Hz mains hum is gone"
    assert not watch.is_high


def test_one_loud_block_is_no_news() -> None:
    watch = MainsWatch()
    assert not any(watch.push(h, 1.0, True) for h in blocks(0.2, 0, 0.2, 0, 0.2, 0))


def test_without_beats_the_share_is_open() -> None:
    watch = MainsWatch()
    assert not any(watch.push(h, None, True) for h in blocks(1.0, 1.0, 1.0))
    assert watch.hum is not None


def test_counts_of_unknown_scale_have_no_millivolt() -> None:
    watch = MainsWatch()
    said = [watch.push(h, 1000.0, False) for h in blocks(300.0, 300.0)][1]
    assert "30 % of the QRS" in said
    assert "mV" not in said


def test_a_finding_comes_with_the_sample_that_was_told() -> None:
    meter, x = MainsMeter(0.0, 100.0), ecg(100.0)
    for n in range(1, x.size + 1):
        assert bool(meter.push(x[n - 1 : n])) == (n == (n - 1) // 1000 * 1000 + 1000)
        assert meter.due == n // 1000 * 1000 + 1000
    assert MainsMeter(0.0, 50.0).due is None  # neither 50 nor 60 Hz can be told at this rate
